use super::pack::Packing;
use super::plan::{BoundBuffer, Dispatch, Plan, ValuePlan, pad};
use crate::dtype::DType;
use crate::error::{Error, Result};
use crate::graph::Value;
use crate::kernel::{Access, Bind, Grid, KernelCall, Slot, Work};

/// Turns kernel calls into dispatches, checking each against its shader and the device.
pub(super) struct Binder<'a> {
    pub plan: Plan,
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
    dtype: DType,
    /// The values there, views replaced by what they view; none for scratch space.
    values: Vec<Value>,
}

impl Binder<'_> {
    /// Adds the dispatches of a call of operator `op`, whose scratch space is given by buffer and
    /// size: one, or as many as the size of bindings demands.
    pub fn bind(&mut self, op: usize, call: KernelCall, scratch: &[(usize, u64)]) -> Result<()> {
        let limit = self.plan.profile.max_binding_bytes;
        let size = |bind: &Bind| {
            let Located { bytes, dtype, .. } = self.locate(op, bind.slot, scratch)?;
            Ok((bytes * dtype.narrowing(), dtype.narrowing()))
        };
        match call.binds.iter().map(size).collect::<Result<(Vec<u64>, Vec<u64>), String>>() {
            Ok((sizes, narrowing)) if sizes.iter().any(|&bytes| bytes > limit) => {
                let narrowing = narrowing.into_iter().max().unwrap_or(1);
                let calls = call.in_ranges(&sizes, limit, narrowing);
                calls.into_iter().try_for_each(|call| self.bind_one(op, call, scratch))
            }
            _ => self.bind_one(op, call, scratch),
        }
    }

    fn bind_one(&mut self, op: usize, call: KernelCall, scratch: &[(usize, u64)]) -> Result<()> {
        let (shader, entry) = (call.shader, call.entry);
        let mismatch = |message: String| Error::KernelMismatch { shader: shader.name(), entry, message };
        let reflected = shader.entry(entry, &call.constants)?;
        reflected.check_params(call.fields).map_err(mismatch)?;
        let (used, given) = (reflected.bindings.len(), call.binds.len());
        if used != given {
            return Err(mismatch(format!("{used} bindings used, {given} given")));
        }
        let fits = |&at: &usize| at + 4 <= call.params.len();
        let placed = |&(field, scalar)| Some((call.offset_of(field).filter(fits)?, scalar));
        let Some(scalars) = call.scalars.iter().map(placed).collect() else {
            return Err(mismatch("a per-step scalar names no parameter field".to_owned()));
        };
        let bindings = self.bindings(op, &call, &reflected.bindings, scratch).map_err(mismatch)?;
        let bound = bindings.iter().map(|bound| bound.bytes).sum();
        let bytes = call.bytes.map_or(bound, |bytes| bytes.min(bound));
        let multiply_adds = call.multiply_adds.unwrap_or(0);
        let work = Work::new(multiply_adds, call.issued.unwrap_or(multiply_adds), bytes);
        let KernelCall { constants, params, grid: Grid { groups }, loops, .. } = call;
        let dispatch = Dispatch {
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
            work,
        };
        self.check_limits(&dispatch)?;
        let alignment = self.plan.profile.offset_alignment;
        if dispatch.bindings.iter().any(|b| !b.offset.is_multiple_of(u64::from(alignment))) {
            return Err(mismatch(format!("a binding starts off the {alignment}-byte alignment")));
        }
        self.plan.dispatches.push(dispatch);
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
        let mut bound: Vec<(BoundBuffer, Located)> = Vec::with_capacity(call.binds.len());
        for (bind, &(binding, access)) in call.binds.iter().zip(reflected) {
            let mut located = self.locate(op, bind.slot, scratch)?;
            let whole = located.bytes;
            let inputs = self.packing.inputs(op, bind.slot).unwrap_or_default();
            let mutates = self.packing.tape.ops[op].op.mutates();
            if access == Access::ReadWrite && inputs.iter().any(|input| !mutates.contains(input)) {
                return Err(format!("binding {binding} writes an input that the operator does not mutate"));
            }
            // Calls count bytes of elements of 32 bits.
            let (dtype, narrowing) = (located.dtype, located.dtype.narrowing());
            let start = bind.offset / narrowing;
            let bytes = bind.bytes.map_or(whole.saturating_sub(start), |bytes| pad(bytes / narrowing));
            if start + bytes > whole || bytes == 0 {
                return Err(format!("binding {binding} covers bytes {start}+{bytes} of {whole}"));
            }
            let (buffer, offset) = (located.buffer, located.offset + start);
            // Of scratch space, a kernel may use two ranges in two ways.
            if located.values.is_empty() {
                (located.offset, located.bytes) = (offset, bytes);
            }
            let new = (BoundBuffer { binding, access, buffer, offset, bytes, dtype }, located);
            bound.iter().try_for_each(|known| self.check_pair(op, known, &new))?;
            bound.push(new);
        }
        Ok(bound.into_iter().map(|(binding, _)| binding).collect())
    }

    /// Refuses a range that is read and written, and notes a buffer whose ranges are.
    fn check_pair(
        &mut self,
        op: usize,
        (other, there): &(BoundBuffer, Located),
        (binding, located): &(BoundBuffer, Located),
    ) -> Result<(), String> {
        let read_only = binding.access == Access::Read && other.access == Access::Read;
        if other.buffer != binding.buffer || read_only {
            return Ok(());
        }
        if located.offset < there.offset + there.bytes && there.offset < located.offset + located.bytes {
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
        let node = &self.packing.tape.ops[op];
        let missing = || format!("no {slot:?}");
        let values: Vec<Value> = match slot {
            Slot::Scratch(i) => {
                let &(buffer, bytes) = scratch.get(i).ok_or_else(missing)?;
                return Ok(Located { buffer, offset: 0, bytes, dtype: DType::F32, values: Vec::new() });
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
        let dtype = self.packing.tape.info(first.value).ty.dtype;
        let bytes = last.offset + last.bytes - offset;
        let values = values.iter().map(|&v| self.packing.tape.root(v)).collect();
        Ok(Located { buffer, offset, bytes, dtype, values })
    }

    fn check_limits(&self, dispatch: &Dispatch) -> Result<()> {
        let (profile, entry) = (&self.plan.profile, &dispatch.reflected);
        let largest = dispatch.bindings.iter().map(|b| b.bytes).max().unwrap_or(0);
        let groups = dispatch.groups.into_iter().max().unwrap_or(0);
        let (params, buffers) = (dispatch.params.len() as u64, dispatch.bindings.len() as u32);
        let ([x, y, z], [max_x, max_y, max_z]) = (entry.workgroup_size, profile.max_workgroup_size);
        let counts: [(&'static str, u32, u32); 7] = [
            ("storage buffers of a kernel", buffers, profile.max_storage_buffers),
            ("workgroups in a dimension", groups, profile.max_workgroups),
            ("workgroup memory in bytes", entry.workgroup_bytes, profile.max_workgroup_bytes),
            ("invocations of a workgroup", entry.invocations(), profile.max_invocations),
            ("workgroup size along x", x, max_x),
            ("workgroup size along y", y, max_y),
            ("workgroup size along z", z, max_z),
        ];
        let counts = counts.map(|(what, needed, limit)| (what, u64::from(needed), u64::from(limit)));
        let bytes = ("storage binding size in bytes", largest, profile.max_binding_bytes);
        let params = ("bytes of kernel parameters", params, u64::from(profile.max_param_bytes));
        let loops =
            ("loop iterations of an invocation", dispatch.loops, u64::from(profile.max_loop_iterations));
        let mut needs = [bytes].into_iter().chain(counts).chain([loops, params]);
        let Some((what, needed, limit)) = needs.find(|(_, needed, limit)| needed > limit) else {
            return Ok(());
        };
        let tape = self.packing.tape;
        let node = &tape.ops[dispatch.op];
        let widest = dispatch.bindings.iter().find(|b| what == bytes.0 && b.bytes == largest);
        let value = widest.and_then(|b| self.value_at(dispatch.op, b)).unwrap_or_default().into();
        let (op, layer) = (node.title(), tape.layer(node).to_owned());
        Err(Error::Limit { op, value, layer, what, needed, limit, device: profile.name.clone() })
    }

    /// The name of what lies at the beginning of a binding; none for scratch space.
    fn value_at(&self, op: usize, bound: &BoundBuffer) -> Option<String> {
        let lives = |v: &&ValuePlan| v.buffer == bound.buffer && (v.first..=v.last).contains(&op);
        let mut values = self.plan.values.iter().filter(lives);
        let found = values.find(|v| (v.offset..v.offset + v.bytes).contains(&bound.offset))?;
        Some(found.name.clone())
    }
}
