//! Random augmentation of images, drawn for each sample, and uniform numbers. Shader: `augment.wgsl`.

mod affine;
mod options;

pub(crate) use options::check_crop;
pub use options::{AffineOptions, FillMode};

use super::common::*;
use super::stream_at;
use crate::graph::Scalar;

pub(super) use affine::RandomAffine;

pub(super) static SHADER: Shader = built_in!("augment", "../../../shaders/augment.wgsl");

crate::params! {
    struct UniformParams { n: u32, low: f32, span: f32, high: f32, stream: u32, step: u32, seed: u32 }
}

pub(super) static FAMILY: Family = Family {
    operators: &[
        OperatorInfo::new("random_uniform", Gradient::Zero, "f32"),
        OperatorInfo::new("random_affine", Gradient::None, "f32"),
    ],
    shaders: &[&SHADER],
};

/// Uniform numbers; no inputs.
#[derive(Clone, Copy, Debug)]
pub(super) struct RandomUniform {
    pub shape: Shape,
    pub low: f32,
    pub high: f32,
    pub stream: u32,
}

impl Op for RandomUniform {
    fn name(&self) -> &'static str {
        "random_uniform"
    }

    fn attributes(&self) -> String {
        format!("low={}, high={}, stream={}", self.low, self.high, self.stream)
    }

    fn outputs(&self, _: &[TensorType]) -> Result<Vec<TensorType>> {
        let &RandomUniform { low, high, .. } = self;
        if !(low <= high && (high - low).is_finite()) {
            let expected = "a range is finite, its smaller end first";
            return Err(Error::argument("range", format!("[{low}, {high}]"), expected));
        }
        Ok(vec![TensorType::f32(self.shape)])
    }

    fn lower(&self, cx: &mut Lowering<'_>) -> Result<()> {
        let &RandomUniform { low, high, stream, .. } = self;
        let quads = self.shape.numel().div_ceil(4);
        let params = UniformParams { n: word(quads), low, span: high - low, high, stream, step: 0, seed: 0 };
        let call = KernelCall::new(&SHADER, "random_uniform").bind(Slot::Output(0)).params(&params);
        let call = call.scalar("step", Scalar::STEP).scalar("seed", Scalar::SEED);
        cx.only(call.grid(Grid::linear(quads, 64)))
    }

    fn reference(&self, cx: &Reference<'_>) -> Vec<Array> {
        let stream = stream_at(|scalar| cx.scalar(scalar), self.stream);
        let [low, high, span] = [self.low, self.high, self.high - self.low].map(f64::from);
        vec![Array::from_fn(self.shape, |i| {
            let drawn = stream.operator_words(word(i / 4))[i % 4] >> 8;
            (low + span * f64::from(drawn) / f64::from(1u32 << 24)).min(high)
        })]
    }

    fn error_bound(&self, _: &Reference<'_>, results: &[Array]) -> Vec<Vec<f64>> {
        let largest = f64::from(self.low).abs() + f64::from(self.high - self.low);
        vec![vec![EPS * largest + 3.0 * FLUSH; results[0].data.len()]]
    }
}
