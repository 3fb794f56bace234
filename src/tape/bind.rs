use super::Tape;
use super::plan::{BoundBuffer, Dispatch, Plan, pad};
use crate::error::{Error, Result};
use crate::graph::Node;
use crate::kernel::{Access, EntryPoint, KernelCall, Slot};

/// Turns kernel calls into dispatches, checking each against its shader and the device.
pub(super) struct Binder<'a> {
    pub tape: &'a Tape,
    pub plan: &'a mut Plan,
}

impl Binder<'_> {
    /// Adds the dispatches of a call of operator `op`, whose scratch space is given by buffer and
    /// size: one, or as many as the size of bindings demands.
    pub fn bind(&mut self, op: usize, call: KernelCall, scratch: &[(usize, u64)]) -> Result<()> {
        let node = &self.tape.ops[op];
        let limit = self.plan.profile.max_binding_bytes;
        let sizes: Vec<u64> = call
            .binds
            .iter()
            .filter_map(|bind| self.locate(node, bind.slot, scratch).ok().map(|(_, bytes)| bytes))
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
        let mut bindings: Vec<BoundBuffer> = Vec::with_capacity(call.binds.len());
        for (bind, &(binding, access)) in call.binds.iter().zip(&reflected.bindings) {
            let (buffer, whole) = self.locate(node, bind.slot, scratch).map_err(mismatch)?;
            let written_input = matches!(bind.slot, Slot::Input(i) if !node.op.mutates().contains(&i));
            if access == Access::ReadWrite && written_input {
                return Err(mismatch(format!(
                    "binding {binding} writes an input that the operator does not mutate"
                )));
            }
            let bytes = bind.bytes.map_or(whole.saturating_sub(bind.offset), pad);
            if bind.offset + bytes > whole || bytes == 0 {
                return Err(mismatch(format!(
                    "binding {binding} covers bytes {}+{bytes} of {whole}",
                    bind.offset
                )));
            }
            let clash = |b: &&BoundBuffer| {
                b.buffer == buffer && (b.access == Access::ReadWrite || access == Access::ReadWrite)
            };
            if let Some(other) = bindings.iter().find(clash) {
                return Err(mismatch(format!(
                    "bindings {} and {binding} read and write one buffer",
                    other.binding
                )));
            }
            bindings.push(BoundBuffer { binding, access, buffer, offset: bind.offset, bytes });
        }
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

    fn locate(&self, node: &Node, slot: Slot, scratch: &[(usize, u64)]) -> Result<(usize, u64), String> {
        let value = match slot {
            Slot::Input(i) => node.inputs.get(i),
            Slot::Output(i) => node.outputs.get(i),
            Slot::Scratch(i) => {
                return scratch.get(i).copied().ok_or_else(|| format!("no {slot:?}"));
            }
        };
        let value = value.and_then(|v| self.plan.by_value.get(v)).ok_or_else(|| format!("no {slot:?}"))?;
        let value = &self.plan.values[*value];
        Ok((value.buffer, value.bytes))
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
