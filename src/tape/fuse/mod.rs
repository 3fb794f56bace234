//! Fusion: from the tape that was recorded to one that computes the same in fewer operators. Plain data in
//! and out; the same tape and profile give the same result.

mod chains;
mod fold;
mod merge;
mod order;
mod strides;

use std::collections::{BTreeSet, HashMap};

use super::Tape;
use crate::graph::{Node, Source, Value};
use crate::kernel::DeviceProfile;

impl Tape {
    /// What a session replays on a device of this profile: the same values, parameters and states by fewer
    /// operators. Constants are computed here, equal operators once, and elementwise operators that follow
    /// each other become one (`chain`, with the names of those it stands for), which may begin with an
    /// operator of another kind. Some that are unlike have a kernel for both (`merged`), such as a loss and
    /// its gradient. Values that are [kept](Tape::keep) are computed as before.
    ///
    /// Sessions fuse by themselves, see [`SessionOptions::fuse`](crate::SessionOptions::fuse); this is for
    /// looking at the result.
    ///
    /// ```
    /// use retape::prelude::*;
    /// let mut g = Graph::new();
    /// let (x, b) = (g.input("x", [32, 10]), g.parameter("b", [10], Init::Zeros));
    /// let y = g.relu(g.add(x, b)?)?;
    /// let tape = g.forward([y])?;
    /// let fused = tape.fuse(&retape::tape::DeviceProfile::baseline());
    /// assert_eq!((tape.ops().len(), fused.ops().len()), (2, 1));
    /// # Ok::<(), retape::Error>(())
    /// ```
    #[must_use]
    pub fn fuse(&self, profile: &DeviceProfile) -> Tape {
        self.fused(profile, true)
    }

    /// The same without what is done for fewer kernels alone.
    pub(crate) fn fuse_chains(&self, profile: &DeviceProfile) -> Tape {
        self.fused(profile, false)
    }

    fn fused(&self, profile: &DeviceProfile, merge: bool) -> Tape {
        let mut fused = self.clone();
        // What a value is a view of may have been replaced by each of them.
        let mut pass = |pass: &dyn Fn(&mut Tape)| {
            pass(&mut fused);
            fused.recording.replace_nodes(&fused.ops);
        };
        if merge {
            pass(&Tape::pull_strides);
        }
        pass(&|tape| {
            tape.fold();
            tape.drop_unused();
        });
        if merge {
            pass(&Tape::add_before_spreading);
            pass(&Tape::spread_directly);
            pass(&Tape::merge);
        }
        pass(&|tape| {
            tape.delay_updates();
            tape.chain(profile, merge);
            tape.drop_unused();
        });
        // Constants that nothing reads any more take no buffer; what the program writes or reads stays.
        let is_constant = |v: &Value| matches!(fused.info(*v).source, Source::Constant(_));
        let lasting =
            self.held.iter().copied().filter(|v| fused.info(*v).source.is_persistent() && !is_constant(v));
        let touched = fused.ops.iter().flat_map(Node::touched);
        fused.held = lasting.chain(touched).chain(fused.kept.iter().copied()).collect();
        fused
    }

    /// Drops operators whose results nobody reads.
    fn drop_unused(&mut self) {
        let mut needed: BTreeSet<Value> = self.kept.clone();
        let mut used: Vec<Node> = Vec::with_capacity(self.ops.len());
        for node in std::mem::take(&mut self.ops).into_iter().rev() {
            if !node.op.mutates().is_empty() || node.outputs.iter().any(|output| needed.contains(output)) {
                needed.extend(node.inputs.iter().copied());
                used.push(node);
            }
        }
        used.reverse();
        self.ops = used;
    }

    /// The operators that overwrite each value.
    fn writers(&self) -> HashMap<Value, Vec<usize>> {
        let mut writers: HashMap<Value, Vec<usize>> = HashMap::new();
        for (index, node) in self.ops.iter().enumerate() {
            node.mutated().for_each(|value| writers.entry(self.root(value)).or_default().push(index));
        }
        writers
    }

    /// The operators that read a value or a view of it, by their positions; the number of operators if it is
    /// kept.
    fn readers(&self) -> HashMap<Value, Vec<usize>> {
        let mut readers: HashMap<Value, Vec<usize>> = HashMap::new();
        for &value in &self.kept {
            readers.entry(self.root(value)).or_default().push(self.ops.len());
        }
        for (index, node) in self.ops.iter().enumerate().filter(|(_, node)| !node.op.is_view()) {
            for &input in &node.inputs {
                readers.entry(self.root(input)).or_default().push(index);
            }
        }
        readers
    }
}
