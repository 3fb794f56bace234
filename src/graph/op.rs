use std::any::Any;
use std::fmt;
use std::ops::Range;

use super::{Graph, Routine, Value};
use crate::array::{Array, relative_bound};
use crate::error::Result;
use crate::kernel::{DeviceProfile, KernelCall, Scalar, Slot, share};
use crate::shape::TensorType;

/// In which precision an operator works where the graph [casts](Graph::autocast) for it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Precision {
    /// Its operands are made f32.
    #[default]
    Full,
    /// One of its operands is made f16 unless another one is, the first that is no weight: a product, whose sums are in
    /// f32 whatever it reads.
    Half,
    /// Its operands stay as they are.
    Kept,
}

/// An operator: everything the engine needs to know about it.
#[expect(unused_variables, reason = "what an operator says of itself by default needs no arguments")]
pub trait Op: Any + fmt::Debug + Send + Sync {
    /// Its name in listings and errors.
    fn name(&self) -> &'static str;

    /// Its attributes in a listing, such as `axis=1`; empty for none.
    fn attributes(&self) -> String {
        String::new()
    }

    /// The shape rule: the types of the outputs, or why the inputs do not fit.
    fn outputs(&self, inputs: &[TensorType]) -> Result<Vec<TensorType>>;

    /// What [`Graph::autocast`] makes of its operands.
    fn precision(&self) -> Precision {
        Precision::Full
    }

    /// Indices of the inputs that the operator overwrites: parameters and states of an update.
    fn mutates(&self) -> &[usize] {
        &[]
    }

    /// Whether output 0 is input 0 under another shape, sharing its buffer.
    fn is_view(&self) -> bool {
        false
    }

    /// The inputs whose buffer output 0 may take over, when it is as large and not read again.
    fn in_place(&self, inputs: &[TensorType]) -> Vec<usize> {
        Vec::new()
    }

    /// For an operator that uses an integer input as an index: the input and its exclusive upper
    /// bound, `u32::MAX` for none. Data written to that input is checked against it; bounds on
    /// the results do not reach it.
    fn index_limit(&self, inputs: &[TensorType]) -> Option<(usize, u32)> {
        None
    }

    /// The largest u32 that its results hold besides what its inputs do, such as what a padding is filled
    /// with: bounds on the results are held against it.
    fn largest_fill(&self) -> Option<u32> {
        None
    }

    /// Multiply-adds that the formula takes: those of products, convolutions and recurrences are counted, the rest is
    /// not. Summaries of models add them up, and plans spread them over the operator's dispatches.
    fn multiply_adds(&self, inputs: &[TensorType], outputs: &[TensorType]) -> u64 {
        0
    }

    /// Records the gradients with respect to the inputs, given those of the outputs: one entry
    /// per input, `None` where there is no dependence. `None` for the operator as a whole means
    /// that it has no gradient at all.
    fn backward(&self, cx: &Backward<'_>) -> Option<Result<Vec<Option<Value>>>> {
        None
    }

    /// Classes of inputs that the operator would like to have side by side in one buffer each, such as
    /// the parameters it updates, their moments and their gradients, as many inputs to each class. Kernels
    /// may then work on many small inputs in one dispatch.
    ///
    /// The plan fulfils it where it can, see [`Lowering::runs`]: for parameters, states and computed
    /// values, views among them, that occur once among the classes. Inputs of the graph and constants
    /// stay in buffers of their own.
    fn packs(&self) -> Vec<Range<usize>> {
        Vec::new()
    }

    /// Whether the operator takes inputs in runs only where they lie side by side for others that [ask](Op::packs) for
    /// it, and puts none there itself.
    fn follows_packs(&self) -> bool {
        false
    }

    /// Adds the kernel calls that compute the outputs.
    fn lower(&self, cx: &mut Lowering<'_>) -> Result<()>;

    /// The f64 reference: the outputs, then the new contents of the mutated inputs in the order
    /// of [`mutates`](Op::mutates).
    fn reference(&self, cx: &Reference<'_>) -> Vec<Array>;

    /// The most bytes that [`reference`](Op::reference) has in use at a time beside its inputs and what it returns,
    /// or a little more: sessions on the CPU reserve them. What is small beside the operands may be left
    /// out.
    fn reference_scratch(&self, inputs: &[TensorType], outputs: &[TensorType]) -> u64 {
        0
    }

    /// How the CPU device computes the operator in f32, for inputs and outputs of these types. `None`: by
    /// [`reference`](Op::reference), whose results are rounded.
    fn routine(&self, inputs: &[TensorType], outputs: &[TensorType]) -> Option<Routine> {
        None
    }

    /// The error allowed to an f32 kernel, absolute and per element, for each array that
    /// [`reference`](Op::reference) returned.
    fn error_bound(&self, cx: &Reference<'_>, results: &[Array]) -> Vec<Vec<f64>> {
        results.iter().map(|r| relative_bound(r, 4.0)).collect()
    }
}

/// What [`Op::backward`] works with.
#[derive(Debug)]
pub struct Backward<'a> {
    /// The graph that gradients are recorded into.
    pub graph: &'a Graph,
    /// The operator's inputs.
    pub inputs: &'a [Value],
    /// Its outputs.
    pub outputs: &'a [Value],
    /// The gradient of each output; `None` where the losses do not depend on it.
    pub grads: &'a [Option<Value>],
    /// Which inputs need a gradient.
    pub needs: &'a [bool],
}

impl Backward<'_> {
    /// The gradient of output 0. [`Op::backward`] of an operator with one output is called only
    /// when it exists.
    pub fn grad(&self) -> Value {
        self.grads[0].expect("backward of a single-output op is called with its gradient")
    }
}

/// What [`Op::lower`] works with.
#[derive(Debug)]
pub struct Lowering<'a> {
    /// The device the plan is for.
    pub profile: &'a DeviceProfile,
    /// Types of the inputs.
    pub inputs: &'a [TensorType],
    /// Types of the outputs.
    pub outputs: &'a [TensorType],
    /// The input whose buffer output 0 has taken over, if any: bind only the output then.
    pub in_place: Option<usize>,
    pub(crate) runs: &'a [Run],
    pub(crate) calls: Vec<KernelCall>,
    pub(crate) scratch: Vec<u64>,
}

/// Positions of an operator's classes ([`Op::packs`]) whose inputs lie side by side in every class: what
/// one dispatch can work on. In classes whose inputs are of the same sizes, they are at the same distances.
///
/// There is padding between them. Kernels that treat each element alone may overwrite it with
/// whatever comes out: no one reads it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Run {
    /// The positions, ascending; just one where nothing lies beside it.
    pub positions: Vec<usize>,
    /// By class: elements of 4 bytes from the first input's first to the last one's last, padding included,
    /// a multiple of 4.
    pub elements: Vec<usize>,
    /// Every input begins at the first multiple of so many elements after the one before it.
    pub alignment: usize,
    /// The run of each class, to be bound.
    pub slots: Vec<Slot>,
}

impl<'a> Lowering<'a> {
    /// Every position of the classes that the operator [asked for](Op::packs), in runs.
    pub fn runs(&self) -> &'a [Run] {
        self.runs
    }

    /// Adds a kernel call.
    pub fn call(&mut self, call: KernelCall) {
        self.calls.push(call);
    }

    /// Gives each call its part of the multiply-adds of the operator that made them.
    pub(crate) fn share(&mut self, op: &dyn Op) {
        share(&mut self.calls, op.multiply_adds(self.inputs, self.outputs));
    }

    /// Reserves scratch space that lives for this operator only.
    pub fn scratch(&mut self, bytes: u64) -> Slot {
        self.scratch.push(bytes);
        Slot::Scratch(self.scratch.len() - 1)
    }
}

/// What [`Op::reference`] works with.
#[derive(Debug)]
pub struct Reference<'a> {
    /// The inputs' contents.
    pub inputs: Vec<&'a Array>,
    /// Types of the outputs.
    pub outputs: &'a [TensorType],
    /// Current per-step scalars, by index.
    pub scalars: &'a [f64],
}

impl Reference<'_> {
    /// The current value of a per-step scalar.
    pub fn scalar(&self, scalar: Scalar) -> f64 {
        self.scalars[scalar.index()]
    }
}
