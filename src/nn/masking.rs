//! Which steps of sequences are padding: layers that say so.

use super::context::without_padding;
use super::macros::one_input;
use super::{Layer, LayerContext};
use crate::dtype::DType;
use crate::error::{Error, Result};
use crate::graph::Value;

/// Says how long each sequence is, where the program knows it: the steps behind are padding, which what
/// follows leaves out ([`LayerContext::mask`]).
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

/// Says which steps of each sequence count, where the program knows it: those of 0 are padding, in front,
/// behind or in between, which what follows leaves out ([`LayerContext::mask`]).
///
/// | | shape |
/// |---|---|
/// | inputs | `[batch, time, ..]`, and a mask, f32 `[batch, time]` |
/// | output | the sequence, with zeros at padding; word numbers as they are |
///
/// No parameters.
#[derive(Clone, Copy, Debug, Default)]
pub struct SequenceMask;

/// Takes the steps whose features all are one number for padding, which what follows leaves out
/// ([`LayerContext::mask`]): Keras's `Masking`.
///
/// | | shape |
/// |---|---|
/// | input | `[batch, time, features, ..]` |
/// | output | the same, with zeros at padding |
///
/// No parameters. Default: padding of zeros. With NaN as the number, steps without any other are padding.
///
/// ```
/// use retape::nn::{self, Masking};
/// use retape::prelude::*;
///
/// let mut g = Graph::new();
/// let x = g.input("x", [1, 3, 2]);
/// let recorded = nn::record(&Masking::new(-1.0), &mut g, &[x], Mode::Evaluation)?;
/// let mask = recorded.masks[0].expect("a mask");
/// let mut session = g.forward([recorded.outputs[0], mask])?.session(&Device::cpu())?;
/// session.write(x, &[-1.0f32, -1.0, -1.0, 2.0, 3.0, 4.0])?;
/// session.replay()?;
/// assert_eq!(session.read(mask)?, [0.0, 1.0, 1.0]);
/// assert_eq!(session.read(recorded.outputs[0])?, [0.0, 0.0, -1.0, 2.0, 3.0, 4.0]);
/// # Ok::<(), retape::Error>(())
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Masking {
    value: f32,
}

impl Masking {
    /// Steps of this number alone are padding.
    pub fn new(value: f32) -> Self {
        Masking { value }
    }
}

/// The sequence and what says how it is padded.
fn sequence_with(inputs: &[Value], expected: &'static str) -> Result<[Value; 2]> {
    inputs.try_into().map_err(|_| Error::argument("inputs", inputs.len(), expected))
}

/// A value of its own, so that other readers of the sequence do not see the mask.
fn apart(cx: &mut LayerContext<'_>, x: Value) -> Result<Value> {
    let shape = cx.graph().shape(x)?;
    cx.graph().reshape(x, shape)
}

/// Zeros where the mask has padding: what is there never matters.
fn padded_with_zeros(cx: &mut LayerContext<'_>, x: Value) -> Result<Value> {
    match cx.mask(x) {
        Some(mask) if cx.graph().ty(x)?.dtype.is_float() => {
            let padded = without_padding(cx.graph(), x, mask, 0.0)?;
            cx.set_mask(padded, mask).map(|()| padded)
        }
        _ => Ok(x),
    }
}

impl Layer for SequenceLengths {
    fn kind(&self) -> &'static str {
        "sequence_lengths"
    }

    fn record(&self, cx: &mut LayerContext<'_>, inputs: &[Value]) -> Result<Value> {
        let [x, lengths] = sequence_with(inputs, "this layer takes a sequence and its lengths")?;
        let sequence = apart(cx, x)?;
        cx.set_lengths(sequence, lengths)?;
        Ok(sequence)
    }

    fn input_dtype(&self, input: usize) -> DType {
        if input == 1 { DType::U32 } else { DType::F32 }
    }
}

impl Layer for SequenceMask {
    fn kind(&self) -> &'static str {
        "sequence_mask"
    }

    fn record(&self, cx: &mut LayerContext<'_>, inputs: &[Value]) -> Result<Value> {
        let [x, mask] = sequence_with(inputs, "this layer takes a sequence and its mask")?;
        let sequence = apart(cx, x)?;
        let mask = cx.graph().not_equal(mask, cx.graph().scalar_constant(0.0))?;
        cx.set_mask(sequence, mask)?;
        padded_with_zeros(cx, sequence)
    }
}

one_input! {
    Masking, "masking", |layer, cx, x| {
        let shape = cx.graph().shape(x)?;
        let rank = shape.rank() as isize;
        if rank < 3 {
            return Err(Error::Rank { shape, expected: "at least 3 ([batch, time, features, ..])" });
        }
        let g = cx.graph();
        let other = match layer.value.is_nan() {
            true => g.equal(x, x)?,
            false => g.not_equal(x, g.scalar_constant(layer.value))?,
        };
        let mask = g.max(other, &(2..rank).collect::<Vec<_>>(), false)?;
        let sequence = without_padding(g, x, mask, 0.0)?;
        cx.set_mask(sequence, mask)?;
        Ok(sequence)
    };
}
