use std::panic::Location;
use std::sync::atomic::{AtomicU32, Ordering};

use super::layer::first_output;
use super::{Layer, LayerContext, LayerSpec, Mode, Sequential, Summary};
use crate::dtype::DType;
use crate::error::{Error, Result};
use crate::graph::{Graph, Value};
use crate::shape::Shape;

/// An input of a [`Network`] or an output of one of its layers. A plain handle.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Node {
    network: u32,
    index: usize,
}

impl From<Node> for Vec<Node> {
    fn from(node: Node) -> Self {
        vec![node]
    }
}

/// Layers with branches and skips: the functional form.
///
/// Each call of [`add`](Network::add) places a layer and returns its output, to be the input of
/// other layers; [`output`](Network::output) ends with a [`Model`]. A [`shared`](Layer::shared) layer
/// may be placed several times, and has one set of weights.
///
/// ```
/// use retape::prelude::*;
///
/// let mut net = Network::new();
/// let x = net.input();
/// let a = net.add(Dense::new(16).activation(Activation::Relu), x);
/// let b = net.add(Dense::new(16).activation(Activation::Tanh), a);
/// let skip = net.add(Add, [a, b]);
/// let both = net.add(Concat::channels(), [x, skip]);
/// let y = net.add(Dense::new(1), both);
/// let model = net.output(y);
///
/// let summary = model.summary([4])?;
/// assert_eq!(summary.layers.len(), 5);
/// assert_eq!(summary.parameters, (4 * 16 + 16) + (16 * 16 + 16) + (20 + 1));
/// # Ok::<(), retape::Error>(())
/// ```
#[derive(Clone, Debug)]
pub struct Network {
    id: u32,
    /// How many there are.
    nodes: usize,
    /// Those that are inputs.
    inputs: Vec<Node>,
    placed: Vec<Placed>,
}

/// A layer with its inputs.
#[derive(Clone, Debug)]
struct Placed {
    spec: LayerSpec,
    inputs: Vec<Node>,
    /// Its first output among the nodes.
    first: usize,
}

static NEXT_NETWORK: AtomicU32 = AtomicU32::new(0);

impl Default for Network {
    fn default() -> Self {
        Network::new()
    }
}

impl Network {
    /// A network without inputs and layers.
    pub fn new() -> Self {
        let id = NEXT_NETWORK.fetch_add(1, Ordering::Relaxed);
        Network { id, nodes: 0, inputs: Vec::new(), placed: Vec::new() }
    }

    /// The next input of the model.
    pub fn input(&mut self) -> Node {
        let node = self.node();
        self.inputs.push(node);
        node
    }

    /// Places a layer on one input, or on an array of them, and returns its first output.
    #[track_caller]
    pub fn add(&mut self, layer: impl Into<LayerSpec>, inputs: impl Into<Vec<Node>>) -> Node {
        self.add_all(layer, inputs)[0]
    }

    /// [`add`](Network::add) for a layer of several outputs.
    #[track_caller]
    pub fn add_all(&mut self, layer: impl Into<LayerSpec>, inputs: impl Into<Vec<Node>>) -> Vec<Node> {
        let spec = layer.into().added_at(Location::caller());
        let outputs = (0..spec.layer().outputs().max(1)).map(|_| self.node()).collect::<Vec<_>>();
        self.placed.push(Placed { spec, inputs: inputs.into(), first: outputs[0].index });
        outputs
    }

    /// The model that ends in this node.
    pub fn output(self, node: Node) -> Model {
        self.outputs([node])
    }

    /// The model that ends in these nodes.
    pub fn outputs(self, nodes: impl Into<Vec<Node>>) -> Model {
        Model { network: self, outputs: nodes.into() }
    }

    fn node(&mut self) -> Node {
        self.nodes += 1;
        Node { network: self.id, index: self.nodes - 1 }
    }
}

/// A finished [`Network`]. A layer itself: it nests in any other model, with all its inputs and
/// outputs.
#[derive(Clone, Debug)]
pub struct Model {
    network: Network,
    outputs: Vec<Node>,
}

impl Model {
    /// Records the layers and returns the first output; `inputs` is a value, or an array of them,
    /// with the batch as dimension 0. [`nn::record`](super::record) returns all outputs.
    ///
    /// # Errors
    /// What a layer refuses, with the layer's name and the line that added it;
    /// [`Error::ForeignValue`] for a node of another network.
    #[track_caller]
    pub fn record(&self, g: &mut Graph, inputs: impl Into<Vec<Value>>, mode: Mode) -> Result<Value> {
        super::record(self, g, &inputs.into(), mode)?.output()
    }

    /// The layers with their shapes and sizes, for examples of this shape (without the batch).
    /// [`Summary::of`] takes several inputs.
    ///
    /// # Errors
    /// What a layer refuses, with the layer's name and the line that added it.
    #[track_caller]
    pub fn summary(&self, input: impl Into<Shape>) -> Result<Summary> {
        Summary::of(self, &[input.into()])
    }

    /// The values of some nodes, once they are recorded.
    fn values(&self, nodes: &[Node], known: &[Option<Value>]) -> Result<Vec<Value>> {
        let value = |node: &Node| {
            let value = known.get(node.index).copied().flatten();
            value.filter(|_| node.network == self.network.id).ok_or(Error::ForeignValue)
        };
        nodes.iter().map(value).collect()
    }
}

/// The same layers under the same names, with one input.
impl From<Sequential> for Model {
    fn from(sequential: Sequential) -> Self {
        let mut net = Network::new();
        let x = net.input();
        let mut outputs = vec![x];
        for spec in sequential.layers {
            outputs = net.add_all(spec, outputs[0]);
        }
        net.outputs(outputs)
    }
}

impl Layer for Model {
    fn kind(&self) -> &'static str {
        "model"
    }

    fn record(&self, cx: &mut LayerContext<'_>, inputs: &[Value]) -> Result<Value> {
        first_output(&self.record_all(cx, inputs)?)
    }

    fn outputs(&self) -> usize {
        self.outputs.len()
    }

    fn record_all(&self, cx: &mut LayerContext<'_>, inputs: &[Value]) -> Result<Vec<Value>> {
        let network = &self.network;
        let fits = inputs.len() == network.inputs.len();
        Error::expect(fits, "inputs", inputs.len(), "a model takes as many as its network has")?;
        let mut known = vec![None; network.nodes];
        for (node, &value) in network.inputs.iter().zip(inputs) {
            known[node.index] = Some(value);
        }
        for placed in &network.placed {
            let inputs = self.values(&placed.inputs, &known);
            let outputs = cx.add_spec(&placed.spec, inputs?)?;
            known[placed.first..].iter_mut().zip(outputs).for_each(|(known, value)| *known = Some(value));
        }
        self.values(&self.outputs, &known)
    }

    fn input_dtype(&self, input: usize) -> DType {
        let node = self.network.inputs.get(input);
        let mut readers = self.network.placed.iter().filter_map(|placed| {
            let position = placed.inputs.iter().position(|read| Some(read) == node)?;
            Some(placed.spec.layer().input_dtype(position))
        });
        readers.next().unwrap_or(DType::F32)
    }
}
