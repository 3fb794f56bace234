//! The graph: what a program records. Shapes are static, and every mistake is reported by the
//! call that makes it.

mod compute;
mod declarations;
mod init;
mod limits;
mod notes;
mod op;
mod scalars;
mod types;

use std::cell::{Ref, RefCell};
use std::collections::BTreeMap;
use std::panic::Location;
use std::sync::Arc;

pub(crate) use compute::Spot;
pub use compute::{Compute, Operands, Routine, Scratch, Written};
pub use init::Init;
pub use op::{Backward, Lowering, Op, Precision, Reference, Run};
pub(crate) use types::{Average, Context, Role, Rule, StateKey};
pub use types::{Node, Phase, Source, StateKind, Value, ValueInfo};

use crate::dtype::DType;
use crate::error::{Error, Result};
pub use crate::kernel::{Scalar, ScalarInfo};
use crate::shape::{Shape, TensorType};

#[derive(Clone, Debug, Default)]
pub(crate) struct Recording {
    pub id: u32,
    pub values: Vec<ValueInfo>,
    pub nodes: Vec<Node>,
    pub layers: Vec<String>,
    pub scalars: Vec<ScalarInfo>,
    pub kept: Vec<Value>,
    /// The norm that the update being recorded clips all gradients by; of several, the first.
    pub gradient_norm: Option<Value>,
    /// Terms that training steps add to their losses.
    pub penalties: Vec<Value>,
    /// What parameters are held to after each update.
    pub rules: Vec<Rule>,
    /// Averages to be recorded at the end of the step.
    averages: Vec<Average>,
    random_streams: u32,
    /// Which steps of the sequences that a value holds are no padding, as layers announce it.
    pub masks: BTreeMap<Value, Value>,
    /// What operators are recorded under.
    pub context: Context,
    casts: Option<Casts>,
    mistaken: Vec<Mistaken>,
}

/// The operators that change the precision of an operand: to f16 and to f32.
pub(crate) type Casts = [Arc<dyn Op>; 2];

/// A declaration with a mistake, which the first operator that uses the value reports.
#[derive(Clone, Debug)]
struct Mistaken {
    value: Value,
    is_new: bool,
    layer: usize,
    at: &'static Location<'static>,
}

/// Records values and operators.
///
/// Declarations ([`input`](Graph::input), [`parameter`](Graph::parameter) and their like) take
/// `&mut self`; operators take `&self`, so that calls nest. A mistake in a declaration is
/// reported by the first operator that uses the value. Methods come in groups:
/// - [declarations, names and shapes](#declarations-names-and-shapes);
/// - functions of [one operand](#functions-of-one-operand) and of [two](#functions-of-two-operands),
///   [reductions](#reductions), [choices and noise](#choices-and-noise), [shapes, parts and
///   tables](#shapes-parts-and-tables);
/// - networks: [products, convolutions and pooling](#products-convolutions-and-pooling),
///   [normalisation, softmax and recurrences](#normalisation-softmax-and-recurrences), padded sequences among
///   the last;
/// - training: [losses, counts and norms](#losses-counts-and-norms), [states and
///   batches](#states-and-batches), [gradients and tapes](#gradients-and-tapes), [steps and
///   clipping](#training-steps-and-clipping), [penalties and constraints](#penalties-and-constraints).
///
/// ```
/// use retape::prelude::*;
/// let mut g = Graph::new();
/// let x = g.input("x", [2, 3]);
/// let w = g.parameter("w", [3, 4], Init::GlorotUniform);
/// let y = g.relu(g.matmul(x, w)?)?;
/// assert_eq!(g.shape(y)?, Shape::from([2, 4]));
///
/// let wrong = g.matmul(w, x).unwrap_err();
/// assert!(wrong.to_string().starts_with("matmul at "));
/// # Ok::<(), retape::Error>(())
/// ```
#[derive(Debug)]
pub struct Graph {
    data: RefCell<Recording>,
}

impl Default for Graph {
    fn default() -> Self {
        Graph::new()
    }
}

impl Graph {
    /// An empty graph; what this crate records in it is attributed to a line of the program's.
    pub(crate) fn on_behalf_of(at: &'static Location<'static>) -> Self {
        let mut graph = Graph::new();
        graph.data.get_mut().context.at = Some(at);
        graph
    }

    /// A state of some kind. What is there for another value has a name beside that value's; where it is
    /// taken, as after a training step recorded before, a numbered one.
    #[track_caller]
    pub(crate) fn state_of_kind(&self, name: &str, ty: TensorType, kind: StateKind, init: Init) -> Value {
        self.declare(name, ty, Source::State(kind, init))
    }

    /// [`layer`](Graph::layer) of this full name, where what this crate records in `body` is attributed
    /// to a line of the program's; where the crate itself wrote that line too, to the one it stands for.
    pub(crate) fn layer_at<T>(
        &mut self,
        full: String,
        at: Option<&'static Location<'static>>,
        body: impl FnOnce(&mut Graph) -> T,
    ) -> T {
        let data = self.data.get_mut();
        let layer = data.layers.iter().position(|l| *l == full).unwrap_or(data.layers.len());
        if layer == data.layers.len() {
            data.layers.push(full);
        }
        let at = at.filter(|at| !types::is_own(at)).or(data.context.at);
        let context = Context { layer, at, ..data.context };
        self.within(context, body)
    }

    /// Runs `body` with everything it records put under `context`.
    fn within<T>(&mut self, context: Context, body: impl FnOnce(&mut Graph) -> T) -> T {
        let outer = std::mem::replace(&mut self.data.get_mut().context, context);
        let result = body(self);
        self.data.get_mut().context = outer;
        result
    }

    /// The name of the layer being recorded; empty for none.
    pub(crate) fn layer_name(&self) -> String {
        let data = self.data.borrow();
        data.layers[data.context.layer].clone()
    }

    /// The full name of something in the layer that is being recorded.
    pub(crate) fn name_within(&self, name: &str) -> String {
        match self.layer_name().as_str() {
            "" => name.to_owned(),
            layer => format!("{layer}.{name}"),
        }
    }

    /// The shape of a value that is known to be this graph's.
    pub(crate) fn shape_of(&self, value: Value) -> Shape {
        self.type_of(value).shape
    }

    /// Shape and dtype of a value that is known to be this graph's.
    pub(crate) fn type_of(&self, value: Value) -> TensorType {
        self.data.borrow().ty(value)
    }

    #[track_caller]
    pub(crate) fn apply_shared(&self, op: Arc<dyn Op>, inputs: &[Value]) -> Result<Vec<Value>> {
        let inputs = &self.in_precision(op.as_ref(), inputs)?;
        let types = self.located(op.name(), self.output_types(op.as_ref(), inputs))?;
        let node = self.recording().nodes.len();
        let sources = (0..).map(|output| Source::Op { node, output });
        let infos = types.into_iter().zip(sources).map(|(ty, source)| ValueInfo::unnamed(ty, source));
        let outputs: Vec<_> = infos.map(|info| self.push_value(info)).collect();
        let mut data = self.data.borrow_mut();
        let Context { layer, phase, .. } = data.context;
        let (inputs, at) = (inputs.to_vec(), data.context.line(Location::caller()));
        data.nodes.push(Node { op, inputs, outputs: outputs.clone(), layer, at, phase });
        Ok(outputs)
    }

    /// Runs `body` with these operators between others of unlike [precision](Precision).
    pub(crate) fn casting_by<T>(&mut self, casts: Option<Casts>, body: impl FnOnce(&mut Graph) -> T) -> T {
        let outer = std::mem::replace(&mut self.data.get_mut().casts, casts);
        let result = body(self);
        self.data.get_mut().casts = outer;
        result
    }

    /// The operands of an operator in the precision that it works in.
    #[track_caller]
    fn in_precision(&self, op: &dyn Op, inputs: &[Value]) -> Result<Vec<Value>> {
        let mut inputs = inputs.to_vec();
        let Some([narrow, widen]) = self.recording().casts.clone() else { return Ok(inputs) };
        let is = |input: Value, dtype: DType| self.owns(input) && self.type_of(input).dtype == dtype;
        match op.precision() {
            Precision::Kept => {}
            Precision::Half if inputs.iter().any(|&input| is(input, DType::F16)) => {}
            Precision::Half => {
                // Of an activation and a weight, the activation.
                let lasts = |input: Value| self.recording().kind(input).is_some();
                let wide = |at: &usize| is(inputs[*at], DType::F32) && !op.mutates().contains(at);
                let passes = (0..inputs.len()).filter(wide).find(|&at| !lasts(inputs[at]));
                if let Some(at) = passes.or_else(|| (0..inputs.len()).find(wide)) {
                    inputs[at] = self.apply_shared(narrow, &[inputs[at]])?[0];
                }
            }
            Precision::Full => {
                for input in inputs.iter_mut().filter(|input| is(**input, DType::F16)) {
                    *input = self.apply_shared(widen.clone(), &[*input])?[0];
                }
            }
        }
        Ok(inputs)
    }

    /// What an operator makes of inputs, or why it refuses them. Lowers the bounds on its indices.
    fn output_types(&self, op: &dyn Op, inputs: &[Value]) -> Result<Vec<TensorType>> {
        for &input in inputs {
            if !self.owns(input) {
                return Err(Error::ForeignValue);
            }
            self.recording().check_declaration(input)?;
        }
        let types: Vec<_> = inputs.iter().map(|&v| self.type_of(v)).collect();
        let outputs = op.outputs(&types)?;
        outputs.iter().try_for_each(|ty| ty.shape.check_size(op.name()))?;
        if let Some((input, limit)) = op.index_limit(&types).filter(|&(_, limit)| limit < u32::MAX) {
            self.tighten(inputs[input], limit)?;
        }
        self.tighten_sources(op, inputs, &types)?;
        Ok(outputs)
    }

    #[track_caller]
    fn declare(&self, name: &str, ty: TensorType, source: Source) -> Value {
        let at = Location::caller();
        let (key, is_new) = self.recording().new_key(name, &source);
        let context = self.recording().context;
        let (name, key, layer) = (Some(key.to_string()), Some(Arc::new(key)), context.layer);
        let value = self.push_value(ValueInfo { name, key, layer, ..ValueInfo::unnamed(ty, source) });
        let mut data = self.data.borrow_mut();
        if data.check_declared(value, is_new).is_err() {
            data.mistaken.push(Mistaken { value, is_new, layer, at: context.line(at) });
        }
        value
    }

    fn push_value(&self, info: ValueInfo) -> Value {
        let mut data = self.data.borrow_mut();
        data.values.push(info);
        Value { graph: data.id, index: data.values.len() as u32 - 1 }
    }

    pub(crate) fn owns(&self, value: Value) -> bool {
        self.recording().owns(value)
    }

    /// Puts the operator, the layer and the caller's line on an error of an argument.
    #[track_caller]
    pub(crate) fn located<T>(&self, op: &'static str, result: Result<T>) -> Result<T> {
        let at = Location::caller();
        result.map_err(|error| match error {
            Error::Record { .. } => error,
            _ => {
                let (layer, at) = (self.layer_name(), self.recording().context.line(at));
                Error::Record { op, layer, at, source: Box::new(error) }
            }
        })
    }

    /// The shape of an operand, or an error for a value of another graph.
    #[track_caller]
    pub(crate) fn operand_shape(&self, op: &'static str, value: Value) -> Result<Shape> {
        Ok(self.operand_type(op, value)?.shape)
    }

    /// The type of an operand.
    #[track_caller]
    pub(crate) fn operand_type(&self, op: &'static str, value: Value) -> Result<TensorType> {
        let found = if self.owns(value) { Ok(self.type_of(value)) } else { Err(Error::ForeignValue) };
        self.located(op, found)
    }

    /// An axis of an operand, counted from the front.
    #[track_caller]
    pub(crate) fn operand_axis(&self, op: &'static str, value: Value, axis: isize) -> Result<usize> {
        let shape = self.operand_shape(op, value)?;
        self.located(op, shape.axis(axis))
    }

    /// Notes something in the recording, or takes what was noted; `note` must record nothing.
    pub(crate) fn noted<T>(&self, note: impl FnOnce(&mut Recording) -> T) -> T {
        note(&mut self.data.borrow_mut())
    }

    pub(crate) fn recording(&self) -> Ref<'_, Recording> {
        self.data.borrow()
    }

    /// Runs `body` with everything it records put under `context`.
    pub(crate) fn recording_as<T>(&self, context: Context, body: impl FnOnce() -> T) -> T {
        let outer = std::mem::replace(&mut self.data.borrow_mut().context, context);
        let result = body();
        self.data.borrow_mut().context = outer;
        result
    }
}

impl Recording {
    /// What a value to be declared is called, and whether that is new.
    fn new_key(&self, name: &str, source: &Source) -> (StateKey, bool) {
        let kind = source.state_kind().unwrap_or(StateKind::Own);
        let is_input = matches!(source, Source::Input | Source::Labels);
        let (role, of) = kind.relation();
        let role = if is_input { Role::Input } else { role };
        let of = of.and_then(|of| self.values[of.index()].key.clone());
        let mut key = StateKey { role, name: name.to_owned(), of };
        let is_new = |key: &StateKey| self.values.iter().all(|info| info.key.as_deref() != Some(key));
        let mut count = 2;
        while kind.of().is_some() && !is_new(&key) {
            key.name = format!("{name}.{count}");
            count += 1;
        }
        let new = is_new(&key);
        (key, new)
    }

    /// What a state is; `None` for anything else.
    pub(crate) fn kind(&self, value: Value) -> Option<StateKind> {
        self.values[value.index()].source.state_kind()
    }

    /// What a declared value is called across graphs.
    pub(crate) fn key(&self, value: Value) -> Option<&Arc<StateKey>> {
        self.values[value.index()].key.as_ref()
    }

    /// Fails where the declaration of a value has a mistake, with its line.
    pub(crate) fn check_declaration(&self, value: Value) -> Result<()> {
        let found = self.mistaken.iter().find(|mistaken| mistaken.value == value);
        let Some(&Mistaken { is_new, layer, at, .. }) = found else { return Ok(()) };
        self.check_declared(value, is_new).map_err(|error| {
            let layer = self.layers[layer].clone();
            Error::Record { op: "declaration", layer, at, source: Box::new(error) }
        })
    }

    /// The mistake in a declaration, under a new name or not.
    fn check_declared(&self, value: Value, is_new: bool) -> Result<()> {
        let (name, ValueInfo { ty, source, .. }) = (self.describe(value), &self.values[value.index()]);
        ty.shape.check_size(&name)?;
        if !is_new {
            let cure = "; `Graph::layer` keeps the names of two models apart, and a layer called twice with \
                        the same weights is `shared()`";
            return Err(Error::DuplicateName { name, cure });
        }
        match source {
            Source::State(_, init) if !init.fits(ty.shape) => {
                let value = format!("{init} for shape {}", ty.shape);
                let expected = "an initialiser fits the shape, and its numbers are finite";
                Err(Error::argument("init", value, expected))
            }
            _ => Ok(()),
        }
    }

    pub(crate) fn owns(&self, value: Value) -> bool {
        value.graph == self.id && value.index() < self.values.len()
    }

    /// The handle of a value.
    pub(crate) fn value(&self, index: usize) -> Value {
        Value { graph: self.id, index: index as u32 }
    }

    pub(crate) fn ty(&self, value: Value) -> TensorType {
        self.values[value.index()].ty
    }

    /// A value of fixed contents beside those of the program.
    pub(crate) fn add_constant(&mut self, ty: TensorType, data: Arc<[f64]>) -> Value {
        let value = Value { graph: self.id, index: self.values.len() as u32 };
        self.values.push(ValueInfo::unnamed(ty, Source::Constant(data)));
        value
    }

    /// A value for an operator to make, once [`replace_nodes`](Recording::replace_nodes) says which.
    pub(crate) fn add_result(&mut self, ty: TensorType) -> Value {
        let value = Value { graph: self.id, index: self.values.len() as u32 };
        self.values.push(ValueInfo::unnamed(ty, Source::Op { node: self.nodes.len(), output: 0 }));
        value
    }

    /// Operators in place of those that made the same values.
    pub(crate) fn replace_nodes(&mut self, nodes: &[Node]) {
        for node in nodes {
            for (output, value) in node.outputs.iter().enumerate() {
                self.values[value.index()].source = Source::Op { node: self.nodes.len(), output };
            }
            self.nodes.push(node.clone());
        }
    }

    /// The value whose buffer `value` is a view of; itself if it is none.
    pub(crate) fn root(&self, mut value: Value) -> Value {
        while let Source::Op { node, output: 0 } = self.values[value.index()].source {
            let node = &self.nodes[node];
            if !node.op.is_view() {
                break;
            }
            value = node.inputs[0];
        }
        value
    }

    /// The value's name, or `%index`.
    pub(crate) fn describe(&self, value: Value) -> String {
        let name = self.values.get(value.index()).and_then(|info| info.name.clone());
        name.unwrap_or_else(|| format!("{value:?}"))
    }
}
