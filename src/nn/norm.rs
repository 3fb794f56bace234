//! Normalisations.

use super::context::each_element;
use super::macros::one_input;
use super::{LayerContext, Mode, UnitFlow};
use crate::error::{Error, Result};
use crate::graph::{Init, Value};
use crate::shape::Shape;

/// Each channel brought to mean 0 and variance 1 over the batch, then scaled and shifted (Ioffe
/// and Szegedy, ICML 2015): [`Graph::batch_norm`](crate::Graph::batch_norm).
///
/// | | shape |
/// |---|---|
/// | input, output | `[batch, channels, ..]`; with `axis(-1)` `[batch, .., channels]` |
/// | `scale`, `shift` | `[channels]` |
/// | `running_mean`, `running_variance` | `[channels]`, states |
///
/// In training the batch's own statistics are used, and the running ones move towards them by
/// `momentum`; in evaluation, and where the layer is frozen, the running ones are used. Defaults:
/// epsilon 1e-5, momentum 0.1, scale 1, shift 0, both trained, and channels along axis 1: the features of
/// sequences `[batch, time, features]` are along [`axis(-1)`](BatchNorm::axis), as in Keras.
///
/// Steps of padding of an input with a mask ([`LayerContext::mask`]) are left out of the statistics, as in Keras 3,
/// and have the shift for output in training; a channel of nothing but padding leaves its running statistics as
/// they are.
///
/// ```
/// use retape::prelude::*;
/// let model = Sequential::new()
///     .add(Embedding::new(1000, 16).padding_index(0))
///     .add(BatchNorm::new().axis(-1))
///     .add(Lstm::new(8));
/// assert_eq!(model.summary([20])?.layers[1].outputs, [Shape::from([20, 16])]);
/// assert_eq!(model.summary([20])?.layers[1].trainable, 2 * 16);
/// # Ok::<(), retape::Error>(())
/// ```
#[derive(Clone, Debug)]
#[must_use]
pub struct BatchNorm {
    axis: isize,
    momentum: f32,
    form: Form,
}

/// Each example brought to mean 0 and variance 1 over its last axes, then scaled and shifted (Ba,
/// Kiros and Hinton, arXiv 1607.06450, 2016): [`Graph::layer_norm`](crate::Graph::layer_norm).
///
/// | | shape |
/// |---|---|
/// | input, output | `[batch, .., features]` |
/// | `scale`, `shift` | that of the axes normalised over: `[features]` |
///
/// Defaults: the last axis, epsilon 1e-5, scale 1, shift 0, both trained.
#[derive(Clone, Debug)]
#[must_use]
pub struct LayerNorm {
    axis: isize,
    form: Form,
}

/// Each example brought to mean 0 and variance 1 over groups of its channels, then scaled and
/// shifted (Wu and He, ECCV 2018): [`Graph::group_norm`](crate::Graph::group_norm).
///
/// | | shape |
/// |---|---|
/// | input, output | `[batch, channels, ..]` |
/// | `scale`, `shift` | `[channels]` |
///
/// Defaults: epsilon 1e-5, scale 1, shift 0, both trained. Of sequences `[batch, time, features]` the channels would
/// be steps, of which groups take padding in: [`LayerNorm`] normalises each step by itself.
#[derive(Clone, Debug)]
#[must_use]
pub struct GroupNorm {
    groups: usize,
    form: Form,
}

/// Each channel of each example brought to mean 0 and variance 1 over its positions, then scaled
/// and shifted (Ulyanov, Vedaldi and Lempitsky, arXiv 1607.08022, 2016):
/// [`Graph::instance_norm`](crate::Graph::instance_norm).
///
/// | | shape |
/// |---|---|
/// | input, output | `[batch, channels, ..]` |
/// | `scale`, `shift` | `[channels]` |
///
/// Defaults: epsilon 1e-5, scale 1, shift 0, both trained.
#[derive(Clone, Debug, Default)]
#[must_use]
pub struct InstanceNorm {
    form: Form,
}

/// What the normalisations share.
#[derive(Clone, Debug)]
struct Form {
    epsilon: f32,
    has_scale: bool,
    has_shift: bool,
    scale_init: Init,
    shift_init: Init,
}

impl Default for Form {
    fn default() -> Self {
        let (scale_init, shift_init) = (Init::Ones, Init::Zeros);
        Form { epsilon: 1e-5, has_scale: true, has_shift: true, scale_init, shift_init }
    }
}

impl Form {
    /// Declares scale and shift.
    fn declare(&self, cx: &mut LayerContext<'_>, shape: Shape) -> (Option<Value>, Option<Value>) {
        let scale = self.has_scale.then(|| cx.parameter("scale", shape, self.scale_init.clone()));
        let shift = self.has_shift.then(|| cx.parameter("shift", shape, self.shift_init.clone()));
        (scale, shift)
    }
}

impl BatchNorm {
    /// The defaults.
    pub fn new() -> Self {
        BatchNorm { axis: 1, momentum: 0.1, form: Form::default() }
    }

    setters! {
        /// The axis of the channels, not the batch's, axis 0: 1 by default; negative ones count from the back.
        axis: isize => axis;
        /// The weight of the batch in the running statistics: 0.1 by default.
        momentum: f32 => momentum;
    }
}

impl Default for BatchNorm {
    fn default() -> Self {
        BatchNorm::new()
    }
}

impl LayerNorm {
    /// Over the last axis.
    pub fn new() -> Self {
        LayerNorm { axis: -1, form: Form::default() }
    }

    setters! {
        /// Over all axes from this one on; negative ones count from the back. Not the batch, axis 0.
        axis: isize => axis;
    }
}

impl Default for LayerNorm {
    fn default() -> Self {
        LayerNorm::new()
    }
}

impl GroupNorm {
    /// This many groups, which must divide the channels.
    pub fn new(groups: usize) -> Self {
        GroupNorm { groups, form: Form::default() }
    }
}

impl InstanceNorm {
    /// The defaults.
    pub fn new() -> Self {
        InstanceNorm::default()
    }
}

macro_rules! form_methods {
    ($($layer:ident)+) => {$(
        setters! {
            $layer,
            /// What is added to the variance: 1e-5 by default.
            epsilon: f32 => form.epsilon;
            /// Whether the result is scaled; it is by default.
            scale: bool => form.has_scale;
            /// Whether the result is shifted; it is by default.
            shift: bool => form.has_shift;
            /// How the scale starts: ones by default.
            scale_init: Init => form.scale_init;
            /// How the shift starts: zeros by default.
            shift_init: Init => form.shift_init;
        }
    )+};
}

form_methods! { BatchNorm LayerNorm GroupNorm InstanceNorm }

/// The shape of a number for each channel: dimension 1.
fn per_channel(shape: Shape) -> Result<Shape> {
    match *shape.dims() {
        [_, channels, ..] => Ok(Shape::from([channels])),
        _ => Err(Error::Rank { shape, expected: "at least 2 ([batch, channels, ..])" }),
    }
}

one_input! {
    BatchNorm, "batch_norm",
    units: |layer| if layer.axis == 1 { UnitFlow::Kept } else { UnitFlow::Mixed },
    keeps_steps: |_| true,
    |layer, cx, x| {
        let shape = cx.graph().shape(x)?;
        per_channel(shape)?;
        let axis = shape.axis(layer.axis)?;
        Error::expect(axis != 0, "axis", layer.axis, "the channels are along another axis than the batch")?;
        let channels = Shape::from([shape.dims()[axis]]);
        let (scale, shift) = layer.form.declare(cx, channels);
        let mean = cx.state("running_mean", channels, Init::Zeros);
        let variance = cx.state("running_variance", channels, Init::Ones);
        let (mask, g, epsilon) = (cx.mask(x), cx.graph(), layer.form.epsilon);
        // What is in front of the channels, and behind them.
        let (before, behind) = (&shape.dims()[..axis], &shape.dims()[axis + 1..]);
        let view = [before.iter().product(), shape.dims()[axis], behind.iter().product::<usize>()];
        let viewed = |x: Value| if axis == 1 { Ok(x) } else { g.reshape(x, view) };
        if cx.mode() == Mode::Evaluation || !cx.is_trainable() {
            let y = g.batch_norm_inference(viewed(x)?, scale, shift, mean, variance, epsilon)?;
            return if axis == 1 { Ok(y) } else { g.reshape(y, shape) };
        }
        let norm = match mask {
            None => g.batch_norm(viewed(x)?, scale, shift, epsilon)?,
            Some(mask) => {
                let (x, mask) = (g.reshape(x, view)?, g.reshape(each_element(g, mask, shape)?, view)?);
                g.masked_batch_norm(x, mask, [scale, shift], epsilon, [mean, variance])?
            }
        };
        g.update_running_stats(&norm, mean, variance, layer.momentum)?;
        if axis == 1 && mask.is_none() { Ok(norm.y()) } else { g.reshape(norm.y(), shape) }
    };

    LayerNorm, "layer_norm", keeps_steps: |layer| layer.axis == -1 || layer.axis > 1, |layer, cx, x| {
        let shape = cx.graph().shape(x)?;
        let axis = shape.axis(layer.axis)?;
        let expected = "an example is normalised over axes other than the batch";
        Error::expect(axis != 0, "axis", layer.axis, expected)?;
        let (scale, shift) = layer.form.declare(cx, Shape::new(&shape.dims()[axis..])?);
        cx.graph().layer_norm(x, axis as isize, scale, shift, layer.form.epsilon)
    };

    GroupNorm, "group_norm", |layer, cx, x| {
        let channels = per_channel(cx.graph().shape(x)?)?;
        let (scale, shift) = layer.form.declare(cx, channels);
        cx.graph().group_norm(x, layer.groups, scale, shift, layer.form.epsilon)
    };

    InstanceNorm, "instance_norm", keeps_steps: |_| true, |layer, cx, x| {
        let channels = per_channel(cx.graph().shape(x)?)?;
        let (scale, shift) = layer.form.declare(cx, channels);
        cx.graph().instance_norm(x, scale, shift, layer.form.epsilon)
    };
}

/// Each element divided by a power of the squares of its neighbours in the channels before and
/// after it: [`Graph::local_response_norm`](crate::Graph::local_response_norm).
///
/// ```text
/// y = x / (k + alpha / size * sum over the `size` channels around of x^2)^beta
/// ```
///
/// | | shape |
/// |---|---|
/// | input | `[batch, channels, h, w]` |
/// | output | the same |
///
/// No parameters. Defaults: those of AlexNet (Krizhevsky et al., NeurIPS 2012), size 5, beta 0.75,
/// k 2, and alpha 5e-4, since the paper does not divide its 1e-4 by the size.
#[derive(Clone, Copy, Debug)]
#[must_use]
pub struct LocalResponseNorm {
    size: usize,
    alpha: f32,
    beta: f32,
    k: f32,
}

impl Default for LocalResponseNorm {
    fn default() -> Self {
        LocalResponseNorm::new(5)
    }
}

impl LocalResponseNorm {
    /// Over this many channels.
    pub fn new(size: usize) -> Self {
        LocalResponseNorm { size, alpha: 5e-4, beta: 0.75, k: 2.0 }
    }
}

setters! {
    LocalResponseNorm,
    /// The factor of the mean square: 5e-4 by default.
    alpha: f32 => alpha;
    /// The exponent: 0.75 by default.
    beta: f32 => beta;
    /// What is added to the sum: 2 by default.
    k: f32 => k;
}

one_input! {
    LocalResponseNorm, "local_response_norm", |layer, cx, x| {
        super::image(cx.graph().shape(x)?)?;
        let &LocalResponseNorm { size, alpha, beta, k } = layer;
        cx.graph().local_response_norm(x, size, alpha, beta, k)
    };
}
