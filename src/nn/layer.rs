use std::fmt;
use std::ops::Range;
use std::panic::Location;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use super::{LayerContext, UnitFlow};
use crate::dtype::DType;
use crate::error::{Error, Result};
use crate::graph::Value;

/// What a model is recorded for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Mode {
    /// Dropout drops, augmentation changes images, batch normalisation uses the batch's statistics
    /// and updates the running ones.
    #[default]
    Training,
    /// Dropout, noise and augmentation do nothing, batch normalisation uses the running statistics.
    Evaluation,
}

/// A layer: records its operators and declares what it trains.
///
/// A layer is a description, without shapes and without numbers. It learns the shapes of its
/// inputs when it is recorded, and declares its parameters then, under names that are the same in
/// every recording of a model: sessions share them by name
/// ([`SessionOptions::share_parameters`](crate::SessionOptions::share_parameters)). So what it
/// declares and the layers it is made of must not depend on the mode.
///
/// A layer of the program's own goes wherever a built-in one does:
///
/// ```
/// use retape::prelude::*;
///
/// /// `y = s x`, with a trained factor for each feature.
/// #[derive(Debug)]
/// struct Scale;
///
/// impl Layer for Scale {
///     fn kind(&self) -> &'static str {
///         "scale"
///     }
///
///     fn record(&self, cx: &mut LayerContext<'_>, inputs: &[Value]) -> retape::Result<Value> {
///         let x = cx.one(inputs)?;
///         let features = *cx.graph().shape(x)?.dims().last().unwrap_or(&1);
///         let s = cx.parameter("factor", [features], Init::Ones);
///         cx.graph().mul(x, s)
///     }
/// }
///
/// /// `y = x + s relu(W x)`, made of other layers.
/// #[derive(Debug)]
/// struct Residual;
///
/// impl Layer for Residual {
///     fn kind(&self) -> &'static str {
///         "residual"
///     }
///
///     fn record(&self, cx: &mut LayerContext<'_>, inputs: &[Value]) -> retape::Result<Value> {
///         let x = cx.one(inputs)?;
///         let features = *cx.graph().shape(x)?.dims().last().unwrap_or(&1);
///         let h = cx.add(Dense::new(features).activation(Activation::Relu), x)?;
///         let h = cx.add(Scale, h)?;
///         cx.graph().add(x, h)
///     }
/// }
///
/// let model = Sequential::new().add(Residual).add(Residual.named("last")).add(Dense::new(1));
/// let mut g = Graph::new();
/// let x = g.input("x", [8, 3]);
/// let y = model.record(&mut g, x, Mode::Training)?;
/// assert_eq!(g.shape(y)?, Shape::from([8, 1]));
///
/// let session = g.forward([y])?.session(&Device::cpu())?;
/// assert_eq!(
///     session.parameter_names(),
///     [
///         "residual.dense.weight", "residual.dense.bias", "residual.scale.factor",
///         "last.dense.weight", "last.dense.bias", "last.scale.factor",
///         "dense.weight", "dense.bias",
///     ]
/// );
/// # Ok::<(), retape::Error>(())
/// ```
#[expect(unused_variables, reason = "what a layer says of itself by default needs no arguments")]
pub trait Layer: fmt::Debug + Send + Sync + 'static {
    /// What the layer is called where the program gives it no name: `conv2d`, and `conv2d_1`,
    /// `conv2d_2` for those that follow it in the same model.
    fn kind(&self) -> &'static str;

    /// Records the layer. The batch is dimension 0 of every input and output.
    ///
    /// # Errors
    /// Whatever does not fit; the layer's name and line are put on the error by the caller.
    fn record(&self, cx: &mut LayerContext<'_>, inputs: &[Value]) -> Result<Value>;

    /// How many outputs the layer has.
    fn outputs(&self) -> usize {
        1
    }

    /// Records a layer of several outputs, such as a sequence and a final state. The first one is
    /// what [`record`](Layer::record) returns.
    ///
    /// # Errors
    /// As [`record`](Layer::record).
    fn record_all(&self, cx: &mut LayerContext<'_>, inputs: &[Value]) -> Result<Vec<Value>> {
        Ok(vec![self.record(cx, inputs)?])
    }

    /// Whether the layer treats each step of a sequence `[batch, time, ..]` by itself: its outputs
    /// `[batch, time, ..]` then have the mask of its input ([`LayerContext::mask`]). Of several inputs with
    /// masks, a step counts that does in any of them, as in Keras 3; inputs without one have no say.
    ///
    /// Where a layer does not, and has operators of its own on a masked sequence without asking for the mask, that
    /// ends there, of which the log warns.
    fn keeps_steps(&self) -> bool {
        false
    }

    /// How the features of the output come from those of the input.
    fn units(&self) -> UnitFlow {
        UnitFlow::Mixed
    }

    /// The same layer with another number of units, for one with [`UnitFlow::Own`].
    fn with_units(&self, units: usize) -> Option<LayerSpec> {
        None
    }

    /// The dtype of an input: what reads word numbers says `u32` here.
    fn input_dtype(&self, input: usize) -> DType {
        DType::F32
    }

    /// The layer under a name of the program's, which must be unique within its model.
    fn named(self, name: &str) -> LayerSpec
    where
        Self: Sized,
    {
        LayerSpec::from(self).named(name)
    }

    /// The layer with one set of weights wherever the model calls it; see [`LayerSpec::shared`].
    fn shared(self) -> LayerSpec
    where
        Self: Sized,
    {
        LayerSpec::from(self).shared()
    }

    /// The layer with its parameters trained or frozen at first, those of the layers it is made of too. No
    /// gradient is computed for frozen ones, and batch normalisation uses its running statistics. A trainer
    /// freezes layers and trains them again by name, whatever the model says here:
    /// [`Trainer::freeze`](crate::train::Trainer::freeze), [`unfreeze`](crate::train::Trainer::unfreeze).
    fn trainable(self, trainable: bool) -> LayerSpec
    where
        Self: Sized,
    {
        LayerSpec::from(self).trainable(trainable)
    }
}

/// A layer as it stands in a model: with its name, if the program gave one, and whether it is
/// trained. Every layer turns into one.
#[derive(Clone)]
#[must_use]
pub struct LayerSpec {
    layer: Arc<dyn Layer>,
    pub(super) name: Option<String>,
    pub(super) trainable: bool,
    /// Which shared layer it is, if it is one.
    pub(super) shared: Option<u32>,
    /// The line that added it to its model.
    pub(super) at: Option<&'static Location<'static>>,
}

static NEXT_SHARED: AtomicU32 = AtomicU32::new(0);

impl LayerSpec {
    /// Makes it a layer that a model may call several times with the same weights, as Keras does with a
    /// layer that is called twice: siamese, tied and triplet networks, towers and decoders in common.
    ///
    /// ```
    /// use retape::nn::Summary;
    /// use retape::prelude::*;
    ///
    /// let tower = Sequential::new()
    ///     .add(Dense::new(16).activation(Activation::Relu))
    ///     .add(Dense::new(4))
    ///     .named("tower")
    ///     .shared();
    /// let mut net = Network::new();
    /// let (left, right) = (net.input(), net.input());
    /// let a = net.add(&tower, left);
    /// let b = net.add(&tower, right);
    /// let both = net.add(Concat::channels(), [a, b]);
    /// let model = net.output(both);
    ///
    /// let summary = Summary::of(&model, &[Shape::from([8]), Shape::from([8])])?;
    /// assert_eq!((summary.layers[0].name.as_str(), summary.layers[0].calls), ("tower", 2));
    /// assert_eq!(summary.parameters, (8 * 16 + 16) + (16 * 4 + 4)); // once
    /// assert_eq!(summary.multiply_adds, 2 * (8 * 16 + 16 * 4)); // for both calls
    /// # Ok::<(), retape::Error>(())
    /// ```
    ///
    /// Every place that `&tower` is added to, within one recording of a model and in any layer of it,
    /// records the layer again on other inputs, under the name of the first one and over what was
    /// declared there: the names, and whether it is trained, are those of the first call. A gradient is
    /// the sum over all calls. A penalty of a parameter counts once, one of what the layer computes in
    /// each call. Dropout draws anew in each. Running statistics are updated by each call in order, as in
    /// Keras; a stateful recurrent layer starts where its call before ended.
    ///
    /// A layer of the program's own that is shared, or in one that is, is recorded once for each call. What
    /// it declares must not depend on which.
    ///
    /// Inputs of other shapes are welcome as long as the same weights fit:
    /// [`Error::SharedWeight`](crate::Error::SharedWeight) otherwise.
    pub fn shared(mut self) -> Self {
        self.shared = Some(NEXT_SHARED.fetch_add(1, Ordering::Relaxed));
        self
    }

    setters! {
        /// Gives the layer a name, unique within its model; no dots.
        named: &str => name = Some(named.to_owned());
        /// Trains or freezes the layer's parameters; see [`Layer::trainable`].
        trainable: bool => trainable;
    }

    /// Whether a model that calls it several times uses the same weights.
    pub fn is_shared(&self) -> bool {
        self.shared.is_some()
    }

    /// The layer itself, for a layer made around another one.
    pub fn layer(&self) -> &dyn Layer {
        self.layer.as_ref()
    }

    /// The same layer under the same name with another number of units, if it has any.
    pub fn with_units(&self, units: usize) -> Option<LayerSpec> {
        let resized = self.layer.with_units(units)?;
        Some(LayerSpec { layer: resized.layer, ..self.clone() })
    }

    pub(super) fn added_at(mut self, at: &'static Location<'static>) -> Self {
        self.at.get_or_insert(at);
        self
    }
}

impl<L: Layer> From<L> for LayerSpec {
    fn from(layer: L) -> Self {
        LayerSpec { layer: Arc::new(layer), name: None, trainable: true, shared: None, at: None }
    }
}

impl From<&LayerSpec> for LayerSpec {
    fn from(spec: &LayerSpec) -> Self {
        spec.clone()
    }
}

impl fmt::Debug for LayerSpec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(name) = &self.name {
            write!(f, "{name}: ")?;
        }
        self.layer.fmt(f)?;
        f.write_str(if self.trainable { "" } else { " (frozen)" })?;
        f.write_str(if self.shared.is_some() { " (shared)" } else { "" })
    }
}

/// A layer as it was recorded.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct RecordedLayer {
    /// Its full name: `block.conv2d_1`.
    pub name: String,
    /// Its kind: `conv2d`.
    pub kind: &'static str,
    /// How many layers it is nested in.
    pub depth: usize,
    /// Whether its own parameters are trained; not in a frozen layer.
    pub trainable: bool,
    /// Its inputs, of the first call.
    pub inputs: Vec<Value>,
    /// Its outputs, of the first call.
    pub outputs: Vec<Value>,
    /// The trained parameters that it, and the layers it is made of, declared.
    pub parameters: Vec<Value>,
    /// The states: running statistics, frozen parameters.
    pub states: Vec<Value>,
    /// The operators of each call among those of the graph.
    pub(super) calls: Vec<Range<usize>>,
    /// The layer that it is in, among those of the recording.
    pub(super) parent: Option<usize>,
}

impl RecordedLayer {
    /// How often the model calls it: once unless it is [shared](Layer::shared), or in one that is.
    pub fn calls(&self) -> usize {
        self.calls.len()
    }
}

/// A model as it was recorded.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Recorded {
    /// The outputs of the model.
    pub outputs: Vec<Value>,
    /// For each output `[batch, time, ..]`, which of its steps count, f32 `[batch, time]`, where it comes from
    /// padded sequences step by step ([`LayerContext::mask`]).
    pub masks: Vec<Option<Value>>,
    /// The trained parameters of all layers.
    pub parameters: Vec<Value>,
    /// The states of all layers: running statistics, frozen parameters.
    pub states: Vec<Value>,
    /// Every layer, those nested in another one after it.
    pub layers: Vec<RecordedLayer>,
    /// The operators among those of the graph.
    pub(super) nodes: Range<usize>,
    /// What the program is to hear of.
    pub(super) warnings: Vec<String>,
}

impl Recorded {
    /// Tells the log what the program is to hear of.
    pub(crate) fn warn(&self) {
        self.warnings.iter().for_each(|warning| log::warn!("{warning}"));
    }

    /// The first output.
    ///
    /// # Errors
    /// [`Error::Argument`] for a model of no outputs.
    pub fn output(&self) -> Result<Value> {
        first_output(&self.outputs)
    }
}

/// The first output of a model.
pub(super) fn first_output(outputs: &[Value]) -> Result<Value> {
    outputs.first().copied().ok_or_else(|| Error::argument("outputs", 0, "a model has at least one"))
}
