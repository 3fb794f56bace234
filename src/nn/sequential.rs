use std::panic::Location;

use super::{Layer, LayerContext, LayerSpec, Mode, Summary};
use crate::dtype::DType;
use crate::error::Result;
use crate::graph::{Graph, Value};
use crate::shape::Shape;

/// Layers one after the other. A layer itself: it nests in any other model.
///
/// ```
/// use retape::prelude::*;
///
/// let model = Sequential::new()
///     .add(Flatten)
///     .add(Dense::new(128).activation(Activation::Relu))
///     .add(Dense::new(10));
/// let summary = model.summary([28, 28])?;
/// assert_eq!(summary.parameters, 784 * 128 + 128 + 128 * 10 + 10);
///
/// let mut g = Graph::new();
/// let x = g.input("x", [32, 28, 28]);
/// let labels = g.labels("labels", [32]);
/// let logits = model.record(&mut g, x, Mode::Training)?;
/// let loss = g.softmax_cross_entropy(logits, labels)?;
/// let tape = g.training_step(loss, &Sgd::new(0.1))?;
/// # let _ = tape;
/// # Ok::<(), retape::Error>(())
/// ```
#[derive(Clone, Debug, Default)]
#[must_use]
pub struct Sequential {
    pub(super) layers: Vec<LayerSpec>,
}

impl Sequential {
    /// No layers yet.
    pub fn new() -> Self {
        Sequential::default()
    }

    /// Puts a layer at the end.
    #[track_caller]
    #[expect(clippy::should_implement_trait, reason = "the name that Keras gives it")]
    pub fn add(mut self, layer: impl Into<LayerSpec>) -> Self {
        self.layers.push(layer.into().added_at(Location::caller()));
        self
    }

    /// The layers in order.
    pub fn layers(&self) -> &[LayerSpec] {
        &self.layers
    }

    /// Records the layers; `x` has the batch as dimension 0.
    ///
    /// # Errors
    /// What a layer refuses, with the layer's name and the line that added it.
    #[track_caller]
    pub fn record(&self, g: &mut Graph, x: Value, mode: Mode) -> Result<Value> {
        super::record(self, g, &[x], mode)?.output()
    }

    /// The layers with their shapes and sizes, for examples of this shape (without the batch).
    ///
    /// # Errors
    /// What a layer refuses, with the layer's name and the line that added it.
    #[track_caller]
    pub fn summary(&self, input: impl Into<Shape>) -> Result<Summary> {
        Summary::of(self, &[input.into()])
    }
}

impl Layer for Sequential {
    fn kind(&self) -> &'static str {
        "sequential"
    }

    fn record(&self, cx: &mut LayerContext<'_>, inputs: &[Value]) -> Result<Value> {
        self.record_all(cx, inputs).map(|outputs| outputs[0])
    }

    fn outputs(&self) -> usize {
        self.layers.last().map_or(1, |spec| spec.layer().outputs())
    }

    fn record_all(&self, cx: &mut LayerContext<'_>, inputs: &[Value]) -> Result<Vec<Value>> {
        let Some((first, rest)) = self.layers.split_first() else {
            return Ok(vec![cx.one(inputs)?]);
        };
        let outputs = cx.add_spec(first, inputs.to_vec())?;
        rest.iter().try_fold(outputs, |outputs, spec| cx.add_spec(spec, vec![outputs[0]]))
    }

    fn input_dtype(&self, input: usize) -> DType {
        self.layers.first().map_or(DType::F32, |spec| spec.layer().input_dtype(input))
    }
}
