//! The operators. One file per family: formula, shape rule, gradient, GPU dispatches and the f64
//! reference; the shader has the same stem.
//!
//! An operator outside the crate implements [`Op`] and is recorded with
//! [`Graph::apply`](crate::Graph::apply).

/// A shader of this crate, without run-time checks: its file, then the files that it shares with
/// others.
macro_rules! built_in {
    ($name:literal, $($path:literal),+) => {
        // SAFETY: the kernels of this crate take their sizes from the shapes that the plan bound,
        // clamp the indices they compute, and loop up to a parameter; the tests run them with the
        // checks on and off, on poisoned and guarded buffers.
        unsafe { Shader::new_unchecked($name, concat!($(include_str!($path)),+)) }
    };
}
pub(crate) use built_in;

// The documentation of `Graph` has its groups in the order of these.
mod unary;

mod binary;

mod reduce;

mod graph;

mod augment;
mod batch;
pub(crate) mod chain;
mod clip;
mod common;
mod constrain;
mod conv;
mod counts;
mod float;
mod gather;
mod layout;
mod loss;
mod lrn;
mod matmul;
pub(crate) mod merged;
mod noise;
mod norm;
mod outcome;
mod pointwise;
mod pool;
mod probe;
mod recurrent;
mod runs;
mod select;
mod sequence;
mod single;
mod softmax;
mod strided;
mod tally;
mod update;
mod window;
mod with_sums;

pub(crate) use augment::check_crop;
pub use augment::{AffineOptions, FillMode};
pub use binary::Binary;
pub(crate) use clip::{check_limit, limit_of};
pub(crate) use common::same_shape;
pub use common::{Gradient, OperatorInfo, expect_dtype, word};
pub(crate) use constrain::{ConstrainNorm, Elements, Units};
pub use conv::{ConvOptions, ConvRoute};
pub(crate) use conv::{Unstrided, unstrided};
pub(crate) use counts::joint_hits;
pub use layout::SliceRange;
pub(crate) use layout::{Simpler, scalar_read, scatters_equally, simpler, spread_of};
pub(crate) use loss::joint_loss;
pub use matmul::{MatmulOptions, MatmulRoute};
pub(crate) use noise::RandomKey;
use noise::stream_at;
pub use norm::BatchNorm;
pub(crate) use norm::joint_norm;
pub(crate) use outcome::{Outcome, outcome};
pub(crate) use pointwise::{Pointwise, is_equal};
pub use pool::PoolOptions;
pub(crate) use probe::Probe;
pub(crate) use recurrent::Cell as RecurrentCell;
pub use recurrent::{
    CellActivation, GruReset, Recurrence, RecurrentOptions, RecurrentRoute, RecurrentWeights,
};
pub use reduce::Reduction;
pub(crate) use tally::joint_tally;
pub use unary::{Domain, Unary};
pub(crate) use update::{
    Approximate, Decay, Number, Slots, Step, Update, UpdateRule, correction, numbers, zeros,
};
pub use window::{Padding, Pair};
pub(crate) use window::{Window, WindowAxis};
pub(crate) use with_sums::joint_sums;

pub use crate::array::{EPS, FLUSH, relative_bound};
pub use crate::graph::{
    Backward, Compute, Lowering, Op, Operands, Reference, Routine, Run, Scratch, Written,
};
use crate::kernel::Shader;
use common::Family;

/// The families of this module.
static FAMILIES: &[&Family] = &[
    &unary::FAMILY,
    &unary::DERIVATIVES,
    &binary::FAMILY,
    &select::FAMILY,
    &layout::FAMILY,
    &reduce::FAMILY,
    &matmul::FAMILY,
    &conv::FAMILY,
    &pool::FAMILY,
    &lrn::FAMILY,
    &gather::FAMILY,
    &sequence::FAMILY,
    &softmax::FAMILY,
    &loss::FAMILY,
    &counts::FAMILY,
    &noise::FAMILY,
    &norm::FAMILY,
    &recurrent::FAMILY,
    &clip::FAMILY,
    &constrain::FAMILY,
    &update::FAMILY,
    &tally::FAMILY,
    &batch::FAMILY,
    &augment::FAMILY,
    &probe::FAMILY,
];

/// Every operator of this module: what can appear in a listing of a tape besides updates of optimisers and
/// operators of the program's own. [`operators`](crate::operators) has those of optimisers too.
pub fn operators() -> Vec<OperatorInfo> {
    FAMILIES.iter().flat_map(|family| family.operators).copied().collect()
}

/// Every shader of this module.
pub fn shaders() -> Vec<&'static Shader> {
    FAMILIES.iter().flat_map(|family| family.shaders).copied().collect()
}
