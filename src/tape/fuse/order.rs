use crate::graph::Node;
use crate::ops::Pointwise;
use crate::tape::Tape;

impl Tape {
    /// Lets elementwise operators and views pass the updates before them, so that they come next to what they
    /// go on with.
    pub(super) fn delay_updates(&mut self) {
        let mut ordered: Vec<Node> = Vec::with_capacity(self.ops.len());
        for node in std::mem::take(&mut self.ops) {
            let passes = node.op.is_view() || Pointwise::of(node.op.as_ref()).is_some();
            let delayed =
                |other: &&Node| passes && other.outputs.is_empty() && !self.writes_for(other, &node);
            let place = ordered.len() - ordered.iter().rev().take_while(delayed).count();
            ordered.insert(place, node);
        }
        self.ops = ordered;
    }

    /// Whether an operator overwrites what another reads.
    fn writes_for(&self, writer: &Node, reader: &Node) -> bool {
        let reads = |value| reader.inputs.iter().any(|&input| self.root(input) == self.root(value));
        writer.mutated().any(reads)
    }
}
