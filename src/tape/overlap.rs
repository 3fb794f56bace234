//! Barriers between dispatches. wgpu puts one before a dispatch that binds a buffer which the step has used
//! before, unless both only read it; whole buffers count. Dispatches without one between them may overlap.

use std::collections::{BTreeSet, HashMap};

use super::Plan;
use crate::kernel::Access;

/// The most that results in buffers of their own may add to a plan: this share of its bytes, and so many.
const SHARE: u64 = 16;
const MOST: u64 = 1 << 20;

/// What each buffer of a step was used for last: whether it was written.
#[derive(Default)]
pub(super) struct Uses(HashMap<usize, bool>);

impl Uses {
    /// Whether a dispatch that reads and writes these buffers waits for those before it.
    pub fn waits(&self, read: &BTreeSet<usize>, written: &BTreeSet<usize>) -> bool {
        let used = |buffer: &usize| self.0.get(buffer).copied();
        read.iter().any(|buffer| used(buffer) == Some(true))
            || written.iter().any(|buffer| used(buffer).is_some())
    }

    pub fn note(&mut self, read: &BTreeSet<usize>, written: &BTreeSet<usize>) {
        self.0.extend(read.iter().map(|&buffer| (buffer, false)));
        self.0.extend(written.iter().map(|&buffer| (buffer, true)));
    }
}

/// What an operator of one dispatch, or of several, uses: groups of values that share storage.
pub(super) struct Used {
    pub read: BTreeSet<usize>,
    pub written: BTreeSet<usize>,
    /// Of those it writes, the ones that begin with it and may have any buffer.
    pub begun: BTreeSet<usize>,
}

/// Gives results buffers of their own where their operators then need not wait for those before them, as far
/// as that takes little memory; `add` makes a buffer for a group. Returns where the groups are.
pub(super) fn set_apart(
    used: &[Used],
    mut buffer_of: Vec<usize>,
    bytes: &dyn Fn(usize) -> u64,
    total: u64,
    mut add: impl FnMut(usize) -> usize,
) -> Vec<usize> {
    let mut left = MOST.min(total / SHARE);
    let mut uses = Uses::default();
    for Used { read, written, begun } in used {
        let of = |groups: &BTreeSet<usize>, buffer_of: &[usize]| -> BTreeSet<usize> {
            groups.iter().map(|&group| buffer_of[group]).collect()
        };
        let rest: BTreeSet<usize> = written.difference(begun).copied().collect();
        let cost: u64 = begun.iter().map(|&group| bytes(group)).sum();
        let (reads, writes) = (of(read, &buffer_of), of(written, &buffer_of));
        let is_worth_it = uses.waits(&reads, &writes) && !uses.waits(&reads, &of(&rest, &buffer_of));
        if is_worth_it && cost <= left && !begun.is_empty() {
            left -= cost;
            begun.iter().for_each(|&group| buffer_of[group] = add(group));
        }
        uses.note(&reads, &of(written, &buffer_of));
    }
    buffer_of
}

impl Plan {
    /// How many dispatches wait for those before them: wgpu puts a barrier before each that binds a buffer
    /// which the step has used before, unless both only read it. Others may overlap with the one before.
    pub fn barriers(&self) -> usize {
        let mut uses = Uses::default();
        let waits = self.dispatches.iter().filter(|dispatch| {
            let bound = |wanted: bool| -> BTreeSet<usize> {
                let bound = dispatch.bindings.iter().filter(|b| (b.access == Access::ReadWrite) == wanted);
                bound.map(|b| b.buffer).collect()
            };
            let (read, written) = (bound(false), bound(true));
            let waits = uses.waits(&read, &written);
            uses.note(&read, &written);
            waits
        });
        waits.count()
    }
}
