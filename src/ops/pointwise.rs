//! Which operators work on each element alone, and how.

use std::any::Any;

use super::binary::{Binary, BinaryOp};
use super::common::*;
use super::conv::Conv;
use super::layout::{Pad, moves_equally, stretches};
use super::matmul::Matmul;
use super::merged::Merged;
use super::noise::{Dropout, Dropped};
use super::norm::Normalize;
use super::pool::adaptive::AdaptivePool;
use super::pool::max::MaxPoolGrad;
use super::pool::sum::{LinearPool, SumPool};
use super::select::Select;
use super::unary::{UnaryGrad, UnaryOp};

/// What an operator makes of the elements at one place of its operands, which are broadcast to its result;
/// but for a head, whose result others go on with.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Pointwise {
    /// A function of one operand.
    Unary(UnaryOp),
    /// The derivative of one, at its first operand and times its second.
    Slope(UnaryOp),
    /// A function of two.
    Binary(Binary),
    /// The second operand where the first is not zero, else the third.
    Select,
    /// The operand itself.
    Broadcast,
    /// The first operand less the second, over the root of the third and this number, and then with the scale
    /// and the shift that there are; all but the first are of a channel, axis 1.
    Normalize([bool; 2], f32),
    /// The operand, or 0 as a random word of the element says.
    Drop(Dropped),
    /// An operator whose kernels end in `finish`, so that the others may be part of them.
    Head,
}

impl Pointwise {
    /// What an operator does, if that is all it does.
    pub fn of(op: &dyn Op) -> Option<Pointwise> {
        let op: &dyn Any = op;
        if let Some(op) = op.downcast_ref::<UnaryOp>() {
            return Some(Pointwise::Unary(*op));
        }
        if let Some(&UnaryGrad(op)) = op.downcast_ref() {
            return Some(Pointwise::Slope(op));
        }
        if let Some(&BinaryOp(kind)) = op.downcast_ref() {
            return Some(Pointwise::Binary(kind));
        }
        if op.is::<Select>() {
            return Some(Pointwise::Select);
        }
        if let Some(&Normalize(form)) = op.downcast_ref() {
            return form.given().map(|(affine, epsilon)| Pointwise::Normalize(affine, epsilon));
        }
        if let Some(dropout) = op.downcast_ref::<Dropout>() {
            return dropout.of_elements().map(Pointwise::Drop);
        }
        stretches(op).then_some(Pointwise::Broadcast)
    }

    /// Whether its operands alone say what it makes.
    pub fn is_function(self) -> bool {
        !matches!(self, Pointwise::Drop(_))
    }

    /// The shape under which an operand of so many is broadcast to a result of this rank.
    pub fn operand_shape(self, operand: usize, shape: Shape, rank: usize) -> Shape {
        let is_channels = matches!(self, Pointwise::Normalize(..)) && operand > 0;
        let ones = if is_channels { rank.saturating_sub(2) } else { 0 };
        // It is no longer than the result's, and so valid.
        Shape::new(&[shape.dims(), &vec![1; ones]].concat()).unwrap_or(shape)
    }

    /// That of an operator whose kernels let others change what they store.
    pub fn of_head(op: &dyn Op) -> Option<Pointwise> {
        let any: &dyn Any = op;
        let is_product = any.is::<Matmul>() || any.is::<Conv>();
        let is_pooling = any.is::<MaxPoolGrad>()
            || any.is::<LinearPool<SumPool>>()
            || any.is::<LinearPool<AdaptivePool>>();
        let is_norm = any.is::<Normalize>() || Merged::of(op).is_some_and(Merged::finishes);
        (is_product || is_pooling || is_norm || any.is::<Pad>()).then_some(Pointwise::Head)
    }

    /// Whether a small error of an operand is a small one of the result, or at least one that the ends of its
    /// range show.
    pub fn is_continuous(self) -> bool {
        !matches!(self, Pointwise::Binary(Binary::Equal | Binary::NotEqual))
    }

    /// The function of `elementwise.wgsl` that computes it, and its number there.
    pub fn function(self) -> Option<(&'static str, u32)> {
        match self {
            Pointwise::Unary(op) => Some(("unary", op.kind as u32)),
            Pointwise::Slope(op) => Some(("slope_by", op.kind as u32)),
            Pointwise::Binary(kind) => Some(("binary", kind as u32)),
            _ => None,
        }
    }

    /// The call that computes it; `words` gives the random words of a stream.
    pub fn text(self, given: &[String], words: impl Fn(u32) -> String) -> String {
        let operands = given.join(", ");
        let function = self.function().map(|(name, kind)| format!("{name}_{kind}")).unwrap_or_default();
        match self {
            Pointwise::Unary(UnaryOp { p: [a, b], .. }) | Pointwise::Slope(UnaryOp { p: [a, b], .. }) => {
                format!("{function}({operands}, {}, {})", number(a), number(b))
            }
            Pointwise::Binary(_) => format!("{function}({operands})"),
            Pointwise::Select => format!("choose({operands})"),
            Pointwise::Normalize([scale, shift], epsilon) => {
                let scale_text = if scale { given[3].as_str() } else { "ONE" };
                let shift_text = if shift { given[3 + usize::from(scale)].as_str() } else { "ZERO" };
                format!(
                    "normalise({}, {scale_text}, {shift_text}, {})",
                    given[..3].join(", "),
                    number(epsilon)
                )
            }
            Pointwise::Drop(Dropped { stream, threshold, scale }) => {
                format!("dropped({operands}, {}, {threshold}u, {})", words(stream), number(scale))
            }
            Pointwise::Broadcast | Pointwise::Head => operands,
        }
    }
}

/// Whether two operators make the same of the same inputs; not every pair that does is known to.
pub(crate) fn is_equal(one: &dyn Op, other: &dyn Op) -> bool {
    let known = Pointwise::of(one);
    (known.is_some() && known == Pointwise::of(other)) || moves_equally(one, other)
}

/// A number in WGSL, where constants are finite.
pub(super) fn number(x: f32) -> String {
    match x {
        f32::INFINITY => "infinity()".to_owned(),
        f32::NEG_INFINITY => "-infinity()".to_owned(),
        _ => format!("{x:?}f"),
    }
}
