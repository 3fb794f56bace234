//! Normalisation by mean and variance: batch, layer, group and instance norm. Shaders: `norm.wgsl`
//! and, element by element, `norm_elements.wgsl`.
//!
//! All four are one operator over different groups of elements: see `Geometry`.

mod backward;
mod compute;
mod forward;
mod geometry;
mod masked;
mod tracked;

use super::common::*;
use crate::error::Setting;
use forward::Form;
pub(super) use forward::{Normalize, RunningStats};
use geometry::Geometry;
pub(crate) use tracked::joint_norm;

pub(super) static SHADER: Shader = built_in!(
    "norm",
    "../../../shaders/norm.wgsl",
    "../../../shaders/norm_grad.wgsl",
    "../../../shaders/norm_shared.wgsl",
    "../../../shaders/workgroup.wgsl",
    "../../../shaders/finish.wgsl"
);

pub(super) static ELEMENTS: Shader = built_in!(
    "norm_elements",
    "../../../shaders/norm_elements.wgsl",
    "../../../shaders/norm_shared.wgsl",
    "../../../shaders/finish.wgsl"
);

pub(super) static FAMILY: Family = Family {
    operators: &[
        OperatorInfo::new("batch_norm", Gradient::Yes, "f32, f16"),
        OperatorInfo::new("batch_norm_inference", Gradient::Yes, "f32, f16"),
        OperatorInfo::new("layer_norm", Gradient::Yes, "f32, f16"),
        OperatorInfo::new("group_norm", Gradient::Yes, "f32, f16"),
        OperatorInfo::new("instance_norm", Gradient::Yes, "f32, f16"),
        OperatorInfo::new("norm_grad", Gradient::None, "f32, f16"),
        OperatorInfo::new("norm_channel_grad", Gradient::None, "f32, f16"),
        OperatorInfo::new("update_running_stats", Gradient::None, "f32"),
    ],
    shaders: &[&SHADER, &ELEMENTS],
};

/// Which elements are normalised together.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
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

    /// How many elements of an operand of this shape are normalised together.
    pub(super) fn count(self, x: Shape) -> Result<usize> {
        Ok(self.geometry(x)?.count())
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
    pub(super) y: Value,
    pub(super) stats: Value,
}

impl BatchNorm {
    /// The normalised values.
    pub fn y(&self) -> Value {
        self.y
    }

    /// The batch's statistics, `[6, channels]`: mean, biased variance, `size` times an anchor near the mean,
    /// `(anchor - mean) / sqrt(variance + epsilon)`, `1 / (size sqrt(variance + epsilon))`, and `size`, which
    /// is 1, or 2^-84 for a channel whose numbers are so far apart (2^47) that their squares might overflow.
    /// All are NaN for a channel with an element that is not finite. No gradient flows through them: a loss
    /// that depends on them is refused with [`Error::NoGradient`].
    pub fn stats(&self) -> Value {
        self.stats
    }
}

impl Graph {
    /// The outputs of the operator, whose inputs are those given, scale and shift.
    #[track_caller]
    pub(super) fn normalized(
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
