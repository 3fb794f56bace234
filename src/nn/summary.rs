use std::fmt;
use std::ops::Range;
use std::slice;

use super::{Layer, Mode, Recorded};
use crate::dtype::DType;
use crate::error::Result;
use crate::graph::{Graph, Value};
use crate::shape::Shape;

/// The layers of a model with their output shapes and sizes, and the totals.
///
/// It is read off a recording of the model for training, so it needs no device and shows what will
/// run. [`Display`](fmt::Display) prints it as a table.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct Summary {
    /// The layers, those nested in another one after it.
    pub layers: Vec<LayerSummary>,
    /// All parameters, trained or not.
    pub parameters: u64,
    /// The parameters that are trained.
    pub trainable: u64,
    /// Those that are not: running statistics, frozen layers.
    pub non_trainable: u64,
    /// Multiply-adds per example of a forward pass: those of products and convolutions.
    pub multiply_adds: u64,
    /// Bytes per example of everything that a forward pass for training computes.
    pub activation_bytes: u64,
}

/// A layer in a [`Summary`]. What a layer made of others has includes theirs.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct LayerSummary {
    /// Its full name.
    pub name: String,
    /// Its kind.
    pub kind: &'static str,
    /// How many layers it is nested in.
    pub depth: usize,
    /// How often the model calls it: more than once if it is [shared](Layer::shared).
    pub calls: usize,
    /// The shape of each output of the first call, without the batch.
    pub outputs: Vec<Shape>,
    /// Parameters that are trained.
    pub trainable: u64,
    /// Parameters that are not.
    pub non_trainable: u64,
    /// Multiply-adds per example, of all calls.
    pub multiply_adds: u64,
}

/// A model recorded for a batch of a certain size, on a graph of its own.
struct Probe {
    graph: Graph,
    recorded: Recorded,
}

/// Batches of two sizes: what differs between their recordings is per example. One example alone
/// has no variance for a batch normalisation to divide by.
const BATCHES: [usize; 2] = [2, 3];

impl Summary {
    /// The summary of a model of any number of inputs, given the shapes of one example.
    ///
    /// # Errors
    /// What a layer refuses, with the layer's name and the line that added it.
    #[track_caller]
    pub fn of(model: &dyn Layer, inputs: &[Shape]) -> Result<Summary> {
        let [small, large] = [Probe::new(model, inputs, BATCHES[0])?, Probe::new(model, inputs, BATCHES[1])?];
        let multiply_adds = |small_calls: &[Range<usize>], large_calls: &[Range<usize>]| {
            large.multiply_adds(large_calls).saturating_sub(small.multiply_adds(small_calls))
        };
        let both = small.recorded.layers.iter().zip(&large.recorded.layers);
        let layers = both.map(|(a, b)| LayerSummary {
            name: a.name.clone(),
            kind: a.kind,
            depth: a.depth,
            calls: a.calls(),
            outputs: a.outputs.iter().map(|&v| small.per_example(v)).collect(),
            trainable: small.elements(&a.parameters),
            non_trainable: small.elements(&a.states),
            multiply_adds: multiply_adds(&a.calls, &b.calls),
        });
        let (a, b) = (&small.recorded, &large.recorded);
        let (trainable, non_trainable) = (small.elements(&a.parameters), small.elements(&a.states));
        Ok(Summary {
            layers: layers.collect(),
            parameters: trainable.saturating_add(non_trainable),
            trainable,
            non_trainable,
            multiply_adds: multiply_adds(slice::from_ref(&a.nodes), slice::from_ref(&b.nodes)),
            activation_bytes: large.bytes(&b.nodes).saturating_sub(small.bytes(&a.nodes)),
        })
    }
}

impl Probe {
    #[track_caller]
    fn new(model: &dyn Layer, inputs: &[Shape], batch: usize) -> Result<Probe> {
        let mut graph = Graph::new();
        let declare = |(index, shape): (usize, &Shape)| {
            let shape = Shape::new(&[&[batch], shape.dims()].concat())?;
            let name = format!("input {index}");
            Ok(match model.input_dtype(index) {
                DType::F32 | DType::F16 => graph.input(&name, shape),
                DType::U32 => graph.indices(&name, shape),
            })
        };
        let inputs: Vec<Value> = inputs.iter().enumerate().map(declare).collect::<Result<_>>()?;
        let recorded = super::record_frozen(model, &mut graph, &inputs, Mode::Training, None)?;
        Ok(Probe { graph, recorded })
    }

    /// The shape of a value of the smaller batch without it, where that is its first dimension.
    fn per_example(&self, value: Value) -> Shape {
        let shape = self.graph.shape_of(value);
        match shape.dims().split_first() {
            Some((&batch, rest)) if batch == BATCHES[0] => Shape::new(rest).unwrap_or(shape),
            _ => shape,
        }
    }

    fn elements(&self, values: &[Value]) -> u64 {
        total(values.iter().map(|&v| self.graph.shape_of(v).numel() as u64))
    }

    fn multiply_adds(&self, calls: &[Range<usize>]) -> u64 {
        let recording = self.graph.recording();
        let types = |values: &[Value]| values.iter().map(|&v| recording.ty(v)).collect::<Vec<_>>();
        let nodes = calls.iter().flat_map(|call| &recording.nodes[call.clone()]);
        total(nodes.map(|n| n.op.multiply_adds(&types(&n.inputs), &types(&n.outputs))))
    }

    /// Bytes of everything computed; a view shares the bytes of what it shows.
    fn bytes(&self, nodes: &Range<usize>) -> u64 {
        let recording = self.graph.recording();
        let nodes = recording.nodes[nodes.clone()].iter().filter(|n| !n.op.is_view());
        total(nodes.flat_map(|n| &n.outputs).map(|&v| recording.ty(v).bytes()))
    }
}

impl LayerSummary {
    /// All parameters, trained or not.
    pub fn parameters(&self) -> u64 {
        self.trainable.saturating_add(self.non_trainable)
    }

    /// The name, indented by the depth, with the kind and the number of calls.
    fn label(&self) -> String {
        let own = self.name.rsplit('.').next().unwrap_or(&self.name);
        let calls = if self.calls > 1 { format!(", {} calls", self.calls) } else { String::new() };
        format!("{:indent$}{own} ({}{calls})", "", self.kind, indent = 2 * self.depth)
    }

    /// The output shapes, the batch as `_`.
    fn shapes(&self) -> String {
        let shape = |shape: &Shape| {
            let dims = shape.dims().iter().map(|d| format!(", {d}")).collect::<String>();
            format!("[_{dims}]")
        };
        self.outputs.iter().map(shape).collect::<Vec<_>>().join(" ")
    }
}

impl fmt::Display for Summary {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let header = ["Layer (kind)", "Output shape", "Parameters", "Multiply-adds"].map(str::to_owned);
        let rows = self.layers.iter().map(|layer| {
            [layer.label(), layer.shapes(), grouped(layer.parameters()), grouped(layer.multiply_adds)]
        });
        let rows: Vec<_> = std::iter::once(header).chain(rows).collect();
        let width = |column: usize| rows.iter().map(|r| r[column].chars().count()).max().unwrap_or(0);
        let widths = [0, 1, 2, 3].map(width);
        let rule = "─".repeat(widths.iter().sum::<usize>() + 9);
        for (index, [layer, shapes, parameters, multiply_adds]) in rows.iter().enumerate() {
            let [a, b, c, d] = widths;
            writeln!(f, "{layer:a$}   {shapes:b$}   {parameters:>c$}   {multiply_adds:>d$}")?;
            if index == 0 || index + 1 == rows.len() {
                writeln!(f, "{rule}")?;
            }
        }
        writeln!(f, "Parameters: {}", grouped(self.parameters))?;
        writeln!(f, "  trainable: {}", grouped(self.trainable))?;
        writeln!(f, "  non-trainable: {}", grouped(self.non_trainable))?;
        writeln!(f, "Per example: {} multiply-adds", grouped(self.multiply_adds))?;
        write!(f, "             {} bytes of activations", grouped(self.activation_bytes))
    }
}

/// The sum, or the largest number there is.
fn total(numbers: impl Iterator<Item = u64>) -> u64 {
    numbers.fold(0, u64::saturating_add)
}

/// Digits in groups of three: `38,390`.
fn grouped(number: u64) -> String {
    match number {
        0..1000 => number.to_string(),
        _ => format!("{},{:03}", grouped(number / 1000), number % 1000),
    }
}
