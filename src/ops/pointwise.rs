//! Which operators work on each element alone, and how.

use std::any::Any;

use super::binary::{Binary, BinaryOp};
use super::common::*;
use super::conv::Conv;
use super::layout::{moves_equally, stretches};
use super::matmul::Matmul;
use super::select::Select;
use super::unary::{UnaryGrad, UnaryOp};

/// What an operator makes of the elements at one place of its operands, which are broadcast to its result;
/// but for a product, whose result others go on with.
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
    /// A product of matrices, or a convolution, whose kernel the others are part of.
    Product,
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
        stretches(op).then_some(Pointwise::Broadcast)
    }

    /// That of an operator whose kernels let others change what they store.
    pub fn of_product(op: &dyn Op) -> Option<Pointwise> {
        let op: &dyn Any = op;
        (op.is::<Matmul>() || op.is::<Conv>()).then_some(Pointwise::Product)
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
            Pointwise::Select | Pointwise::Broadcast | Pointwise::Product => None,
        }
    }

    /// The call that computes it.
    pub fn text(self, operands: &[String]) -> String {
        let operands = operands.join(", ");
        let function = self.function().map(|(name, kind)| format!("{name}_{kind}")).unwrap_or_default();
        match self {
            Pointwise::Unary(UnaryOp { p: [a, b], .. }) | Pointwise::Slope(UnaryOp { p: [a, b], .. }) => {
                format!("{function}({operands}, {}, {})", number(a), number(b))
            }
            Pointwise::Binary(_) => format!("{function}({operands})"),
            Pointwise::Select => format!("choose({operands})"),
            Pointwise::Broadcast | Pointwise::Product => operands,
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
