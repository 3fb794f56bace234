use crate::dtype::DType;
use crate::error::{Error, Result};
use crate::graph::Value;
use crate::nn::{Layer, LayerContext};

/// Says how long each sequence is, where the program knows it: the recurrent layers that follow stop
/// there ([`LayerContext::lengths`]).
///
/// | | shape |
/// |---|---|
/// | inputs | `[batch, time, ..]`, and lengths from 0 to `time`, u32 `[batch]` |
/// | output | the sequence |
///
/// No parameters.
///
/// ```
/// use retape::nn::{self, SequenceLengths};
/// use retape::prelude::*;
///
/// let model = Sequential::new().add(SequenceLengths).add(Gru::new(8));
/// let mut g = Graph::new();
/// let x = g.input("x", [2, 5, 3]);
/// let lengths = g.indices("lengths", [2]);
/// let recorded = nn::record(&model, &mut g, &[x, lengths], Mode::Evaluation)?;
/// let mut session = g.forward(recorded.outputs)?.session(&Device::cpu())?;
/// session.write(lengths, &[5u32, 2])?;
/// # Ok::<(), retape::Error>(())
/// ```
#[derive(Clone, Copy, Debug, Default)]
pub struct SequenceLengths;

impl Layer for SequenceLengths {
    fn kind(&self) -> &'static str {
        "sequence_lengths"
    }

    fn record(&self, cx: &mut LayerContext<'_>, inputs: &[Value]) -> Result<Value> {
        let &[x, lengths] = inputs else {
            let expected = "this layer takes a sequence and its lengths";
            return Err(Error::argument("inputs", inputs.len(), expected));
        };
        let (shape, found) = (cx.graph().shape(x)?, cx.graph().ty(lengths)?);
        let &[batch, _, ..] = shape.dims() else {
            return Err(Error::Rank { shape, expected: "at least 2 ([batch, time, ..])" });
        };
        crate::ops::expect_dtype("the lengths", found, DType::U32)?;
        Error::agree(found.shape.dims() == [batch], "lengths and sequences", found.shape, shape)?;
        // A value of its own: other readers of the sequence do not see the lengths.
        let sequence = cx.graph().reshape(x, shape)?;
        cx.set_lengths(sequence, lengths);
        Ok(sequence)
    }

    fn input_dtype(&self, input: usize) -> DType {
        if input == 1 { DType::U32 } else { DType::F32 }
    }
}
