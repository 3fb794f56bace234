use super::Tape;
use super::pack::Packing;
use super::plan::{BoundBuffer, Dispatch, Plan, pad};
use crate::error::{Error, Result};
use crate::graph::{Node, Value};
use crate::kernel::{Access, EntryPoint, KernelCall, Slot};

/// Turns kernel calls into dispatches, checking each against its shader and the device.
pub(super) struct Binder<'a> {
    pub tape: &'a Tape,
    pub plan: &'a mut Plan,
    pub packing: &'a Packing<'a>,
    /// What kept the calls so far from being bound.
    pub clashes: Vec<Clash>,
}

/// A kernel that reads one value and writes another in the same buffer, which graphics APIs forbid even
/// where the ranges are apart.
pub(super) struct Clash {
    /// The operator.
    pub op: usize,
    /// What is bound on either side.
    pub values: [Vec<Value>; 2],
}

/// What a slot stands for.
struct Located {
    buffer: usize,
    offset: u64,
    bytes: u64,
    /// The values there, views replaced by what they view; none for scratch space.
    values: Vec<Value>,
}

impl Located {
    fn shares_range(&self, other: &Located) -> bool {
        self.offset < other.offset + other.bytes && other.offset < self.offset + self.bytes
    }
}

impl Binder<'_> {
    /// Adds the dispatches of a call of operator `op`, whose scratch space is given by buffer and
    /// size: one, or as many as the size of bindings demands.
    pub fn bind(&mut self, op: usize, call: KernelCall, scratch: &[(usize, u64)]) -> Result<()> {
        let limit = self.plan.profile.max_binding_bytes;
        let sizes: Vec<u64> = call
            .binds
            .iter()
            .filter_map(|bind| self.locate(op, bind.slot, scratch).ok().map(|located| located.bytes))
            .collect();
        if sizes.len() == call.binds.len() && sizes.iter().any(|&bytes| bytes > limit) {
            return call.in_ranges(&sizes, limit).into_iter().try_for_each(|c| self.bind_one(op, c, scratch));
        }
        self.bind_one(op, call, scratch)
    }

    fn bind_one(&mut self, op: usize, call: KernelCall, scratch: &[(usize, u64)]) -> Result<()> {
        let node = &self.tape.ops[op];
        let mismatch = |message: String| Error::KernelMismatch {
            shader: call.shader.name(),
            entry: call.entry,
            message,
        };
        let reflected = call.shader.entry(call.entry, &call.constants)?;
        reflected.check_params(call.fields).map_err(mismatch)?;
        if reflected.bindings.len() != call.binds.len() {
            return Err(mismatch(format!(
                "{} bindings used, {} given",
                reflected.bindings.len(),
                call.binds.len()
            )));
        }
        if call.scalars.iter().any(|&(offset, _)| offset + 4 > call.params.len()) {
            return Err(mismatch("a per-step scalar names no parameter field".to_owned()));
        }
        let bindings = self.bindings(op, &call, &reflected.bindings, scratch).map_err(mismatch)?;
        self.check_limits(node, &call, &reflected, &bindings)?;
        let KernelCall { shader, entry, constants, params, scalars, grid, loops, .. } = call;
        let groups = grid.groups;
        self.plan.dispatches.push(Dispatch {
            op,
            shader,
            entry,
            constants,
            reflected,
            bindings,
            params,
            scalars,
            groups,
            loops,
        });
        Ok(())
    }

    /// What the bindings of a call are bound to.
    fn bindings(
        &mut self,
        op: usize,
        call: &KernelCall,
        reflected: &[(u32, Access)],
        scratch: &[(usize, u64)],
    ) -> Result<Vec<BoundBuffer>, String> {
        let mut bindings: Vec<BoundBuffer> = Vec::with_capacity(call.binds.len());
        let mut bound: Vec<Located> = Vec::with_capacity(call.binds.len());
        for (bind, &(binding, access)) in call.binds.iter().zip(reflected) {
            let located = self.locate(op, bind.slot, scratch)?;
            let (buffer, whole) = (located.buffer, located.bytes);
            let inputs = self.packing.inputs(op, bind.slot).unwrap_or_default();
            let mutates = self.tape.ops[op].op.mutates();
            if access == Access::ReadWrite && inputs.iter().any(|input| !mutates.contains(input)) {
                return Err(format!("binding {binding} writes an input that the operator does not mutate"));
            }
            let bytes = bind.bytes.map_or(whole.saturating_sub(bind.offset), pad);
            if bind.offset + bytes > whole || bytes == 0 {
                return Err(format!("binding {binding} covers bytes {}+{bytes} of {whole}", bind.offset));
            }
            let offset = located.offset + bind.offset;
            let binding = BoundBuffer { binding, access, buffer, offset, bytes };
            for (other, there) in bindings.iter().zip(&bound) {
                self.check_pair(op, (other, there), (&binding, &located))?;
            }
            bindings.push(binding);
            bound.push(located);
        }
        Ok(bindings)
    }

    /// Refuses a range that is read and written, and notes a buffer whose ranges are.
    fn check_pair(
        &mut self,
        op: usize,
        (other, there): (&BoundBuffer, &Located),
        (binding, located): (&BoundBuffer, &Located),
    ) -> Result<(), String> {
        let read_only = binding.access == Access::Read && other.access == Access::Read;
        if other.buffer != binding.buffer || read_only {
            return Ok(());
        }
        if located.shares_range(there) {
            let (first, second) = (other.binding, binding.binding);
            return Err(format!("bindings {first} and {second} read and write one buffer"));
        }
        if binding.access != other.access {
            let values = [there.values.clone(), located.values.clone()];
            self.clashes.push(Clash { op, values });
        }
        Ok(())
    }

    fn locate(&self, op: usize, slot: Slot, scratch: &[(usize, u64)]) -> Result<Located, String> {
        let node = &self.tape.ops[op];
        let missing = || format!("no {slot:?}");
        let values: Vec<Value> = match slot {
            Slot::Scratch(i) => {
                let &(buffer, bytes) = scratch.get(i).ok_or_else(missing)?;
                return Ok(Located { buffer, offset: 0, bytes, values: Vec::new() });
            }
            Slot::Output(i) => node.outputs.get(i).copied().into_iter().collect(),
            Slot::Input(_) | Slot::Inputs(..) => {
                let inputs = self.packing.inputs(op, slot).ok_or_else(missing)?;
                inputs.iter().filter_map(|&i| node.inputs.get(i).copied()).collect()
            }
        };
        let placed = |value: Option<&Value>| value.and_then(|&v| self.plan.value(v)).ok_or_else(missing);
        let (first, last) = (placed(values.first())?, placed(values.last())?);
        let (buffer, offset) = (first.buffer, first.offset);
        let bytes = last.offset + last.bytes - offset;
        Ok(Located { buffer, offset, bytes, values: values.iter().map(|&v| self.tape.root(v)).collect() })
    }

    fn check_limits(
        &self,
        node: &Node,
        call: &KernelCall,
        entry: &EntryPoint,
        bindings: &[BoundBuffer],
    ) -> Result<()> {
        let profile = &self.plan.profile;
        let largest = bindings.iter().map(|b| b.bytes).max().unwrap_or(0);
        let groups = call.grid.groups.iter().max().copied().unwrap_or(0);
        let misaligned = bindings.iter().any(|b| b.offset % u64::from(profile.offset_alignment) != 0);
        let needs: [(&'static str, u64, u64); 10] = [
            ("storage binding size in bytes", largest, profile.max_binding_bytes),
            ("storage buffers of a kernel", bindings.len() as u64, u64::from(profile.max_storage_buffers)),
            ("workgroups in a dimension", u64::from(groups), u64::from(profile.max_workgroups)),
            (
                "workgroup memory in bytes",
                u64::from(entry.workgroup_bytes),
                u64::from(profile.max_workgroup_bytes),
            ),
            (
                "invocations of a workgroup",
                u64::from(entry.invocations()),
                u64::from(profile.max_invocations),
            ),
            (
                "workgroup size along x",
                u64::from(entry.workgroup_size[0]),
                u64::from(profile.max_workgroup_size[0]),
            ),
            (
                "workgroup size along y",
                u64::from(entry.workgroup_size[1]),
                u64::from(profile.max_workgroup_size[1]),
            ),
            (
                "workgroup size along z",
                u64::from(entry.workgroup_size[2]),
                u64::from(profile.max_workgroup_size[2]),
            ),
            ("loop iterations of an invocation", call.loops, u64::from(profile.max_loop_iterations)),
            ("bytes of kernel parameters", call.params.len() as u64, u64::from(profile.max_param_bytes)),
        ];
        for (what, needed, limit) in needs {
            if needed > limit {
                return Err(self.tape.limit(node, profile, what, needed, limit));
            }
        }
        if misaligned {
            let message = format!("a binding starts off the {}-byte alignment", profile.offset_alignment);
            return Err(Error::KernelMismatch { shader: call.shader.name(), entry: call.entry, message });
        }
        Ok(())
    }
}
