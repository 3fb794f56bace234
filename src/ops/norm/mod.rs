//! Normalisation by mean and variance: batch, layer, group and instance norm. Shaders: `norm.wgsl`
//! and, element by element, `norm_elements.wgsl`.
//!
//! All four are one operator over different groups of elements: see `Geometry`.

mod backward;
mod forward;
mod geometry;

use super::common::*;
use crate::error::Setting;
pub(super) use forward::Normalize;
use forward::{Form, RunningStats};
use geometry::Geometry;

pub(super) static SHADER: Shader = built_in!(
    "norm",
    "../../../shaders/norm.wgsl",
    "../../../shaders/norm_shared.wgsl",
    "../../../shaders/workgroup.wgsl"
);

pub(super) static ELEMENTS: Shader =
    built_in!("norm_elements", "../../../shaders/norm_elements.wgsl", "../../../shaders/norm_shared.wgsl");

pub(super) static FAMILY: Family = Family {
    operators: &[
        OperatorInfo::new("batch_norm", Gradient::Yes, "f32"),
        OperatorInfo::new("batch_norm_inference", Gradient::Yes, "f32"),
        OperatorInfo::new("layer_norm", Gradient::Yes, "f32"),
        OperatorInfo::new("group_norm", Gradient::Yes, "f32"),
        OperatorInfo::new("instance_norm", Gradient::Yes, "f32"),
        OperatorInfo::new("norm_grad", Gradient::None, "f32"),
        OperatorInfo::new("norm_channel_grad", Gradient::None, "f32"),
        OperatorInfo::new("update_running_stats", Gradient::None, "f32"),
    ],
    shaders: &[&SHADER, &ELEMENTS],
};

/// Which elements are normalised together.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    /// A channel of all samples.
    Batch,
    /// A batch's channels by given statistics.
    Inference,
    /// The axes from this one on.
    Layer(usize),
    /// One of so many groups of a sample's channels.
    Group(usize),
    /// A channel of a sample.
    Instance,
}

impl Kind {
    fn name(self) -> &'static str {
        match self {
            Kind::Batch => "batch_norm",
            Kind::Inference => "batch_norm_inference",
            Kind::Layer(_) => "layer_norm",
            Kind::Group(_) => "group_norm",
            Kind::Instance => "instance_norm",
        }
    }

    fn attributes(self) -> String {
        match self {
            Kind::Layer(axis) => format!("axis={axis}"),
            Kind::Group(groups) => format!("groups={groups}"),
            Kind::Batch | Kind::Inference | Kind::Instance => String::new(),
        }
    }

    /// How an operand of this shape is normalised.
    fn geometry(self, x: Shape) -> Result<Geometry> {
        if let Kind::Layer(axis) = self {
            let (rows, row) = x.dims().split_at(axis.min(x.rank()));
            let (samples, width) = (rows.iter().product(), row.iter().product());
            return Ok(Geometry { batch: false, samples, sections: 1, width, space: 1 });
        }
        let &[samples, channels, ref space @ ..] = x.dims() else {
            return Err(Error::Rank { shape: x, expected: "at least 2, samples and channels," });
        };
        let space = space.iter().product();
        let sections = if let Kind::Group(groups) = self { groups } else { channels };
        let (fits, value) = (channels % sections.max(1) == 0, format!("{sections} for shape {x}"));
        Error::expect(fits && sections > 0, "groups", value, "groups must divide the channels, axis 1")?;
        let batch = matches!(self, Kind::Batch | Kind::Inference);
        Ok(Geometry { batch, samples, sections, width: channels / sections, space })
    }

    /// The shape of scale and shift.
    fn affine_shape(self, x: Shape) -> Result<Shape> {
        match self {
            Kind::Layer(axis) => Shape::new(&x.dims()[axis.min(x.rank())..]),
            _ => Ok(Shape::from([self.geometry(x)?.channels()])),
        }
    }

    /// A channel of one number has no variance to learn from.
    fn check_count(self, x: Shape, geometry: Geometry) -> Result<()> {
        let (argument, expected) = match self {
            Kind::Batch => ("values per channel", "expected more than 1 value per channel when training"),
            Kind::Instance => {
                ("values per channel and sample", "expected more than 1 spatial element when training")
            }
            _ => return Ok(()),
        };
        if geometry.count() > 1 {
            return Ok(());
        }
        Err(Error::argument(argument, format!("1 in shape {x}"), expected))
    }
}

/// What [`Graph::batch_norm`] returns.
#[derive(Clone, Copy, Debug)]
#[must_use]
pub struct BatchNorm {
    y: Value,
    stats: Value,
}

impl BatchNorm {
    /// The normalised values.
    pub fn y(&self) -> Value {
        self.y
    }

    /// The batch's statistics, `[6, channels]`: mean, biased variance, `size` times an anchor near the mean,
    /// `(anchor - mean) / sqrt(variance + epsilon)`, `1 / (size sqrt(variance + epsilon))`, and `size`, which
    /// is 1, or 2^-84 for a channel whose numbers are so far apart (2^47) that their squares might overflow.
    /// All are NaN for a channel with an element that is not finite. No gradient flows through them: a loss that depends on them is refused with [`Error::NoGradient`].
    pub fn stats(&self) -> Value {
        self.stats
    }
}

/// # Normalisation
impl Graph {
    /// Batch normalisation in training (Ioffe and Szegedy, ICML 2015): each channel, over all
    /// samples and positions, is brought to mean 0 and variance 1, then scaled and shifted:
    /// `y = (x - mean) / sqrt(variance + epsilon) * scale + shift`, with the biased variance.
    ///
    /// `x` is f32 `[n, c]` or `[n, c, ...]`, and so is `y`; `scale` and `shift` are f32 `[c]`, or `None` for
    /// 1 and 0. The usual epsilon is 1e-5. A mean far larger than the deviations from it does no harm, nor
    /// do deviations whose squares f32 does not hold: `y` and the gradients are as exact for 1e30 as for 1. Only
    /// the variance among the statistics, and so a running variance, is infinite where it is past f32's
    /// range. A NaN or an infinity makes its whole channel NaN.
    ///
    /// ```
    /// use retape::prelude::*;
    /// let mut g = Graph::new();
    /// let x = g.input("x", [4, 1]);
    /// let norm = g.batch_norm(x, None, None, 1e-5)?;
    /// let (mean, variance) = (g.state("mean", [1], Init::Zeros), g.state("variance", [1], Init::Ones));
    /// g.update_running_stats(&norm, mean, variance, 0.1)?;
    /// let mut session = g.forward([norm.y()])?.session(&Device::cpu())?;
    /// session.write(x, &[1.0, 2.0, 3.0, 4.0])?;
    /// session.replay()?;
    /// assert!((session.read(mean)?[0] - 0.25).abs() < 1e-6);
    /// assert!((session.read(variance)?[0] - (0.9 + 0.1 * 5.0 / 3.0)).abs() < 1e-6);
    /// # Ok::<(), retape::Error>(())
    /// ```
    ///
    /// # Errors
    /// [`Error::Argument`] if a channel has only one value, or for an epsilon that is not positive;
    /// [`Error::Rank`] below two axes; [`Error::ShapeMismatch`] unless scale and shift are `[c]`;
    /// [`Error::DTypeMismatch`] unless all are f32; [`Error::ForeignValue`].
    #[track_caller]
    pub fn batch_norm(
        &self,
        x: Value,
        scale: impl Into<Option<Value>>,
        shift: impl Into<Option<Value>>,
        epsilon: f32,
    ) -> Result<BatchNorm> {
        let made = self.normalized(Kind::Batch, &[x], scale.into(), shift.into(), epsilon)?;
        Ok(BatchNorm { y: made[0], stats: made[1] })
    }

    /// Makes each step move the running statistics of a batch norm towards those of its batch:
    /// `running = (1 - momentum) * running + momentum * new`, where the new variance is the unbiased
    /// one, as in PyTorch. Both are f32 states of `[c]`, usually 0 and 1 at first; the usual momentum is
    /// 0.1. [`batch_norm_inference`](Graph::batch_norm_inference) normalises by them.
    ///
    /// # Errors
    /// [`Error::ShapeMismatch`]; [`Error::DTypeMismatch`]; [`Error::NotWritable`] for what is no state,
    /// and for one state as both; [`Error::Argument`] for a momentum outside 0 to 1;
    /// [`Error::ForeignValue`].
    #[track_caller]
    pub fn update_running_stats(
        &self,
        norm: &BatchNorm,
        running_mean: Value,
        running_variance: Value,
        momentum: f32,
    ) -> Result<()> {
        const NAME: &str = "update_running_stats";
        let shape = self.operand_shape(NAME, norm.y)?;
        self.operand_shape(NAME, norm.stats)?;
        let expected = "the share of the new value is from 0 to 1";
        let is_share = (0.0..=1.0).contains(&momentum);
        self.located(NAME, Setting::new("momentum", momentum, is_share, expected).check())?;
        for state in [running_mean, running_variance] {
            self.operand_shape(NAME, state)?;
            if self.recording().kind(state).is_none() || running_mean == running_variance {
                let name = self.recording().describe(state);
                let reason = "running mean and variance are two states";
                return self.located(NAME, Err(Error::NotWritable { name, reason }));
            }
        }
        let count = self.located(NAME, Kind::Batch.geometry(shape))?.count();
        let update = RunningStats { momentum, count };
        self.apply(update, &[running_mean, running_variance, norm.stats]).map(drop)
    }

    /// Batch normalisation by given statistics, as in evaluation:
    /// `y = (x - mean) / sqrt(variance + epsilon) * scale + shift`.
    ///
    /// `x` is f32 `[n, c]` or `[n, c, ...]`, and so is the result; everything else is f32 `[c]`; `scale` and
    /// `shift` may be `None` for 1 and 0. Mean and variance count as constants: no gradient flows to them.
    ///
    /// # Errors
    /// As [`batch_norm`](Graph::batch_norm), but a channel may have one value: [`Error::Argument`],
    /// [`Error::Rank`], [`Error::ShapeMismatch`], [`Error::DTypeMismatch`], [`Error::ForeignValue`].
    #[track_caller]
    pub fn batch_norm_inference(
        &self,
        x: Value,
        scale: impl Into<Option<Value>>,
        shift: impl Into<Option<Value>>,
        mean: Value,
        variance: Value,
        epsilon: f32,
    ) -> Result<Value> {
        let inputs = [x, mean, variance];
        Ok(self.normalized(Kind::Inference, &inputs, scale.into(), shift.into(), epsilon)?[0])
    }

    /// Layer normalisation (Ba, Kiros and Hinton, arXiv 1607.06450, 2016): as
    /// [`batch_norm`](Graph::batch_norm), but with mean and variance of each sample's own elements,
    /// over all axes from `axis` on (usually -1, the last). `x` is f32 of any shape that has this axis, and
    /// so is the result; `scale` and `shift` are f32 and have the shape of those axes.
    ///
    /// # Errors
    /// [`Error::Axis`]; otherwise as [`batch_norm`](Graph::batch_norm), but one value is enough:
    /// [`Error::Argument`], [`Error::ShapeMismatch`], [`Error::DTypeMismatch`],
    /// [`Error::ForeignValue`].
    #[track_caller]
    pub fn layer_norm(
        &self,
        x: Value,
        axis: isize,
        scale: impl Into<Option<Value>>,
        shift: impl Into<Option<Value>>,
        epsilon: f32,
    ) -> Result<Value> {
        let axis = self.operand_axis("layer_norm", x, axis)?;
        Ok(self.normalized(Kind::Layer(axis), &[x], scale.into(), shift.into(), epsilon)?[0])
    }

    /// Group normalisation (Wu and He, ECCV 2018): as [`batch_norm`](Graph::batch_norm), but with
    /// mean and variance over each of `groups` equal groups of a sample's channels and all
    /// positions. `x` is f32 `[n, c]` or `[n, c, ...]`, and so is the result; `scale` and `shift` are f32
    /// `[c]`.
    ///
    /// # Errors
    /// [`Error::Argument`] if the groups do not divide the channels; otherwise as
    /// [`batch_norm`](Graph::batch_norm), but one value is enough: [`Error::Rank`],
    /// [`Error::ShapeMismatch`], [`Error::DTypeMismatch`], [`Error::ForeignValue`].
    #[track_caller]
    pub fn group_norm(
        &self,
        x: Value,
        groups: usize,
        scale: impl Into<Option<Value>>,
        shift: impl Into<Option<Value>>,
        epsilon: f32,
    ) -> Result<Value> {
        Ok(self.normalized(Kind::Group(groups), &[x], scale.into(), shift.into(), epsilon)?[0])
    }

    /// Instance normalisation (Ulyanov, Vedaldi and Lempitsky, arXiv 1607.08022, 2016): as
    /// [`batch_norm`](Graph::batch_norm), but with mean and variance of each channel of each sample
    /// over its positions. `x` is f32 `[n, c, ...]`, and so is the result; `scale` and `shift` are f32
    /// `[c]`.
    ///
    /// # Errors
    /// As [`batch_norm`](Graph::batch_norm), for a single position too: [`Error::Argument`],
    /// [`Error::Rank`], [`Error::ShapeMismatch`], [`Error::DTypeMismatch`], [`Error::ForeignValue`].
    #[track_caller]
    pub fn instance_norm(
        &self,
        x: Value,
        scale: impl Into<Option<Value>>,
        shift: impl Into<Option<Value>>,
        epsilon: f32,
    ) -> Result<Value> {
        Ok(self.normalized(Kind::Instance, &[x], scale.into(), shift.into(), epsilon)?[0])
    }

    /// The outputs of the operator, whose inputs are those given, scale and shift.
    #[track_caller]
    fn normalized(
        &self,
        kind: Kind,
        given: &[Value],
        scale: Option<Value>,
        shift: Option<Value>,
        epsilon: f32,
    ) -> Result<Vec<Value>> {
        self.located(kind.name(), Setting::normal("epsilon", epsilon).check())?;
        let form = Form { kind, scale: scale.is_some(), shift: shift.is_some(), epsilon };
        let inputs: Vec<Value> = given.iter().copied().chain(scale).chain(shift).collect();
        self.apply(Normalize(form), &inputs)
    }
}
