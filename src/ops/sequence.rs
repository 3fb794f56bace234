//! What sequences of indices that are padded to one length hold. Shader: `sequence.wgsl`.

use super::common::*;

pub(super) static SHADER: Shader = built_in!("sequence", "../../shaders/sequence.wgsl");

crate::params! {
    struct SequenceParams { n: u32, time: u32, padding: u32 }
}

pub(super) static FAMILY: Family = Family {
    operators: &[
        OperatorInfo::new("sequence_lengths", Gradient::Zero, "u32"),
        OperatorInfo::new("padding_mask", Gradient::Zero, "u32"),
    ],
    shaders: &[&SHADER],
};

/// What is known of sequences that are padded with an index.
#[derive(Clone, Copy, Debug)]
pub(super) struct Padded {
    pub padding: u32,
    /// Whether the result is each row's length along the last axis: one more than the place of its last index
    /// other than the padding. Otherwise it is a mask: 0 where an index is the padding, 1 elsewhere.
    pub lengths: bool,
}

impl Op for Padded {
    fn name(&self) -> &'static str {
        if self.lengths { "sequence_lengths" } else { "padding_mask" }
    }

    fn attributes(&self) -> String {
        format!("padding={}", self.padding)
    }

    fn outputs(&self, inputs: &[TensorType]) -> Result<Vec<TensorType>> {
        expect_dtype("the indices operand", inputs[0], DType::U32)?;
        let shape = inputs[0].shape;
        if !self.lengths {
            return Ok(vec![TensorType::f32(shape)]);
        }
        let Some((_, rows)) = shape.dims().split_last() else {
            return Err(Error::Rank { shape, expected: "at least 1 ([.., time])" });
        };
        Ok(vec![TensorType::u32(Shape::new(rows)?)])
    }

    /// Any index will do; and a bound on the lengths is none on the indices.
    fn index_limit(&self, _: &[TensorType]) -> Option<(usize, u32)> {
        self.lengths.then_some((0, u32::MAX))
    }

    fn backward(&self, _: &Backward<'_>) -> Option<Result<Vec<Option<Value>>>> {
        Some(Ok(vec![None]))
    }

    fn lower(&self, cx: &mut Lowering<'_>) -> Result<()> {
        let n = cx.outputs[0].numel();
        let time = cx.inputs[0].numel() / n;
        let call = KernelCall::new(&SHADER, self.name())
            .params(&SequenceParams { n: word(n), time: word(time), padding: self.padding })
            .binds([Slot::Input(0), Slot::Output(0)]);
        cx.only(match self.lengths {
            true => call.loops(time).grid(Grid::linear(n, 64)),
            false => call.elementwise("n", n, 1),
        })
    }

    fn reference(&self, cx: &Reference<'_>) -> Vec<Array> {
        let (index, n) = (&cx.inputs[0].data, cx.outputs[0].numel());
        let is_kept = |&i: &f64| i != f64::from(self.padding);
        // Of the mask, a row is an index.
        let rows: Vec<&[f64]> = index.chunks(index.len() / n).collect();
        let length = |row: usize| rows[row].iter().rposition(is_kept).map_or(0.0, |last| last as f64 + 1.0);
        vec![Array::from_fn(cx.outputs[0].shape, length)]
    }

    fn error_bound(&self, _: &Reference<'_>, results: &[Array]) -> Vec<Vec<f64>> {
        within(0.0, results)
    }
}

#[cfg(test)]
mod tests {
    use crate::{DType, Device, Error, Graph, Shape};

    #[test]
    fn lengths_drop_the_time_and_masks_keep_the_shape() {
        let mut g = Graph::new();
        let index = g.indices("index", [4, 6, 3]);
        assert_eq!(g.shape_of(g.sequence_lengths(index, 0).unwrap()), Shape::from([4, 6]));
        assert_eq!(g.shape_of(g.padding_mask(index, 0).unwrap()), Shape::from([4, 6, 3]));
        let (row, single) = (g.indices("row", [5]), g.indices("single", []));
        assert_eq!(g.shape_of(g.sequence_lengths(row, 0).unwrap()), Shape::scalar());
        assert_eq!(g.shape_of(g.padding_mask(single, 0).unwrap()), Shape::scalar());
        let error = g.sequence_lengths(single, 0).unwrap_err();
        assert!(matches!(error.root(), Error::Rank { .. }), "{error}");
        let x = g.input("x", [4, 6]);
        for error in [g.sequence_lengths(x, 0).unwrap_err(), g.padding_mask(x, 0).unwrap_err()] {
            assert!(matches!(error.root(), Error::DTypeMismatch { found: DType::F32, .. }), "{error}");
        }
    }

    /// Lengths that are looked up in a small table do not bound the words that they are counted of.
    #[test]
    fn a_table_of_lengths_does_not_bound_the_words() {
        let mut g = Graph::new();
        let words = g.indices("words", [2, 3]);
        let lengths = g.sequence_lengths(words, u32::MAX).unwrap();
        let hot = g.one_hot(lengths, 4).unwrap();
        let mut session = g.forward([hot]).unwrap().session(&Device::cpu()).unwrap();
        session.write(words, &[900, u32::MAX, u32::MAX, 1, 2, 3]).unwrap();
        session.replay().unwrap();
        assert_eq!(session.read(hot).unwrap(), [0.0, 1.0, 0.0, 0.0, 0.0, 0.0, 0.0, 1.0]);
    }
}
