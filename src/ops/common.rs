//! What nearly every family is written with.

pub(super) use super::float::{Float, larger, truth};
pub(super) use crate::array::{Array, EPS, FLUSH, Indexer, flush, relative_bound, widen};
pub(super) use crate::dtype::DType;
pub(super) use crate::error::{Error, Result};
pub(super) use crate::graph::{Backward, Graph, Lowering, Op, Precision, Reference, Routine, Value};
pub(super) use crate::kernel::{DeviceKind, DeviceProfile, Finish, Grid, KernelCall, Shader, Slot};
pub(super) use crate::shape::{Shape, TensorType};

crate::params! {
    /// The parameters of kernels that take nothing but the number of elements, or of vectors.
    pub(super) struct Length { pub(super) n: u32 }
}

/// Whether gradients flow through an operator.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Gradient {
    /// It has a gradient.
    Yes,
    /// Its gradient is zero wherever it exists; differentiation passes it by.
    Zero,
    /// It has none: it is itself a gradient or an update, or its result is an index.
    None,
}

/// One row of the operator table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct OperatorInfo {
    /// The name in listings.
    pub name: &'static str,
    /// Whether gradients flow through it.
    pub gradient: Gradient,
    /// The dtypes of its main operand.
    pub dtypes: &'static str,
}

impl OperatorInfo {
    pub(crate) const fn new(name: &'static str, gradient: Gradient, dtypes: &'static str) -> Self {
        OperatorInfo { name, gradient, dtypes }
    }
}

/// What a family of operators registers: its rows of the operator table, and its shaders.
pub(super) struct Family {
    pub operators: &'static [OperatorInfo],
    pub shaders: &'static [&'static Shader],
}

/// Fails unless `ty` has the dtype that the operand `what` needs.
pub fn expect_dtype(what: &str, ty: TensorType, expected: DType) -> Result<()> {
    if ty.dtype == expected {
        return Ok(());
    }
    Err(Error::DTypeMismatch { what: what.to_owned(), found: ty.dtype, expected })
}

/// Fails unless `ty` holds numbers, of whichever precision.
pub(super) fn expect_float(what: &str, ty: TensorType) -> Result<()> {
    if ty.dtype.is_float() { Ok(()) } else { expect_dtype(what, ty, DType::F32) }
}

/// The precision of what is made of several operands: half if one of them has it, so that weights may be f32 beside
/// activations in f16.
pub(super) fn common_float<const N: usize>(operands: [(&str, TensorType); N]) -> Result<DType> {
    operands.iter().try_for_each(|&(what, ty)| expect_float(what, ty))?;
    let is_half = operands.iter().any(|(_, ty)| ty.dtype == DType::F16);
    Ok(if is_half { DType::F16 } else { DType::F32 })
}

/// Fails unless a shape has a rank that fits.
pub(super) fn expect_rank(shape: Shape, fits: bool, expected: &'static str) -> Result<()> {
    if fits { Ok(()) } else { Err(Error::Rank { shape, expected }) }
}

/// Fails unless two shapes are the same.
pub(crate) fn same_shape(what: &'static str, left: Shape, right: Shape) -> Result<()> {
    Error::agree(left == right, what, left, right)
}

/// An index as the shaders take it. Values past `u32` are refused by the plan's size limits, so
/// saturation never reaches a kernel.
pub fn word(n: usize) -> u32 {
    u32::try_from(n).unwrap_or(u32::MAX)
}

/// The same error allowed to every element.
pub(super) fn within(bound: f64, results: &[Array]) -> Vec<Vec<f64>> {
    results.iter().map(|r| vec![bound; r.data.len()]).collect()
}

/// The error of sums of `terms` products of the two operands' elements, which `product` makes.
pub(super) fn product_bound(
    cx: &Reference<'_>,
    terms: usize,
    product: impl Fn(&Array, &Array) -> Array,
) -> Vec<f64> {
    let (a, b) = (cx.inputs[0].map(f64::abs), cx.inputs[1].map(f64::abs));
    let mut bound = relative_bound(&product(&a, &b), 2.0 + 0.5 * terms as f64);
    // Every product with a subnormal operand may be lost.
    let lost = |x: f64| x - flush(x);
    for (a, b) in [(&a.map(lost), &b), (&a, &b.map(lost))] {
        let lost = product(a, b).data;
        bound.iter_mut().zip(lost).for_each(|(bound, lost)| *bound += lost);
    }
    bound
}

impl Backward<'_> {
    /// The gradient `dx` of the first input, where no other input has a gradient.
    pub(super) fn first(&self, dx: Result<Value>) -> Option<Result<Vec<Option<Value>>>> {
        let others = self.inputs.len() - 1;
        Some(dx.map(|dx| [vec![Some(dx)], vec![None; others]].concat()))
    }

    /// The gradients of the inputs that need one; `of(i)` records that of input `i`.
    pub(super) fn needed(&self, of: impl Fn(usize) -> Result<Value>) -> Result<Vec<Option<Value>>> {
        let gradient = |i: usize| self.needs[i].then(|| of(i)).transpose();
        (0..self.inputs.len()).map(gradient).collect()
    }
}

impl Lowering<'_> {
    /// What a kernel binds: the inputs, but the one whose buffer output 0 has taken over, and output 0.
    pub(super) fn operands(&self) -> impl Iterator<Item = Slot> + use<> {
        let over = self.in_place;
        (0..self.inputs.len()).filter(move |&i| Some(i) != over).map(Slot::Input).chain([Slot::Output(0)])
    }

    /// One of two entry points: the plain one, or the one that works in place.
    pub(super) fn entry(&self, entries: [&'static str; 2]) -> &'static str {
        entries[usize::from(self.in_place.is_some())]
    }

    /// Adds the one kernel call of an operator.
    pub(super) fn only(&mut self, call: KernelCall) -> Result<()> {
        self.call(call);
        Ok(())
    }
}
