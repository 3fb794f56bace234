//! What `kernels.rs` measures: one row per operator, gradient or kernel at a named shape. The rows
//! are data, so that a test can hold them against the table of operators.

#![allow(dead_code, reason = "the bench and the coverage test each use their own part")]

pub mod convolutions;
mod families;
mod lines;
mod lrn;
mod pool;
pub mod products;
pub mod recurrent;

use std::collections::BTreeSet;

use retape::ops::Backward;
use retape::random::Stream;
use retape::{Graph, HostData, Result, Shape, Tape, Value};

/// All rows.
pub fn rows() -> Vec<Row> {
    let mut rows = products::rows();
    rows.extend(convolutions::rows());
    rows.extend(families::rows());
    rows.extend(lines::rows());
    rows.extend(pool::rows());
    rows.extend(lrn::rows());
    rows.extend(recurrent::rows());
    rows
}

/// What a step of a row does.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Work {
    /// Floating-point operations of a product.
    Flops(u64),
    /// Bytes that the operators' operands and results have, each counted once where it is read and
    /// once where it is written.
    Bytes(u64),
}

/// Contents of an input.
pub enum Data {
    F32(Vec<f32>),
    U32(Vec<u32>),
}

impl Data {
    fn as_host(&self) -> HostData<'_> {
        match self {
            Data::F32(data) => HostData::from(data),
            Data::U32(data) => HostData::from(data),
        }
    }
}

/// What a row records: its results, and its inputs with their contents.
pub struct Step {
    pub outputs: Vec<Value>,
    pub inputs: Vec<(Value, Data)>,
}

type Build = dyn Fn(&mut Graph) -> Result<Step>;

/// One row: a name such as `relu [1024, 1024]`, and how to record it.
pub struct Row {
    pub name: String,
    flops: Option<u64>,
    build: Box<Build>,
}

/// A row's tape with its inputs.
pub struct Recorded {
    pub tape: Tape,
    pub inputs: Vec<(Value, Data)>,
    pub work: Work,
}

impl Row {
    /// A row limited by memory; its bytes follow from the tape.
    pub fn memory(name: impl Into<String>, build: impl Fn(&mut Graph) -> Result<Step> + 'static) -> Row {
        Row { name: name.into(), flops: None, build: Box::new(build) }
    }

    /// A row limited by arithmetic.
    pub fn arithmetic(
        name: impl Into<String>,
        flops: u64,
        build: impl Fn(&mut Graph) -> Result<Step> + 'static,
    ) -> Row {
        Row { name: name.into(), flops: Some(flops), build: Box::new(build) }
    }

    /// Records the row.
    pub fn record(&self) -> Result<Recorded> {
        let mut g = Graph::new();
        let Step { outputs, inputs } = (self.build)(&mut g)?;
        let tape = g.forward(outputs)?;
        // A gradient need not read what its operator read.
        let held = tape.persistent();
        let inputs = inputs.into_iter().filter(|(value, _)| held.contains(value)).collect();
        let work = self.flops.map_or_else(|| Work::Bytes(bytes(&tape)), Work::Flops);
        Ok(Recorded { tape, inputs, work })
    }

    /// The names of the operators that the row runs.
    pub fn operators(&self) -> Result<BTreeSet<&'static str>> {
        Ok(self.record()?.tape.ops().iter().map(|node| node.op.name()).collect())
    }
}

impl Recorded {
    /// The inputs as sessions take them.
    pub fn host_data(&self) -> Vec<(Value, HostData<'_>)> {
        self.inputs.iter().map(|(value, data)| (*value, data.as_host())).collect()
    }
}

/// What a kernel cannot do without: every operand read once, every result written once.
fn bytes(tape: &Tape) -> u64 {
    let size = |v: &Value| tape.value(*v).map_or(0, |info| info.ty.bytes());
    let kernels = tape.ops().iter().filter(|node| !node.op.is_view());
    let of = |node: &retape::graph::Node| -> u64 {
        let written: Vec<Value> = node.op.mutates().iter().map(|&i| node.inputs[i]).collect();
        // These overwrite their state without reading it.
        let unread =
            if ["assign", "load_batch"].contains(&node.op.name()) { size(&node.inputs[0]) } else { 0 };
        let operands = node.inputs.iter().chain(&node.outputs).chain(&written);
        operands.map(size).sum::<u64>() - unread
    };
    kernels.map(of).sum()
}

/// An f32 input of uniform numbers.
pub fn uniform(g: &mut Graph, name: &str, shape: impl Into<Shape>, [low, high]: [f32; 2]) -> (Value, Data) {
    let shape = shape.into();
    let stream = Stream { seed: name.len() as u32, step: 0, stream: u32::from(name.as_bytes()[0]) };
    let number = |i: usize| low + (high - low) * stream.uniform(i as u32) as f32;
    (g.input(name, shape), Data::F32((0..shape.numel()).map(number).collect()))
}

/// A u32 input of numbers below `limit`.
pub fn indices(g: &mut Graph, name: &str, shape: impl Into<Shape>, limit: u32) -> (Value, Data) {
    let shape = shape.into();
    let stream = Stream { seed: 1, step: 0, stream: 79 };
    let number = |i: usize| stream.words(i as u32)[0] % limit;
    (g.indices(name, shape), Data::U32((0..shape.numel()).map(number).collect()))
}

/// A step of one operator over its inputs.
pub fn step(output: Value, inputs: Vec<(Value, Data)>) -> Step {
    Step { outputs: vec![output], inputs }
}

/// The step that computes the gradients of the operator that made `y`, from a gradient of `y` that
/// is an input. What the gradient does not read of the forward pass is left out.
pub fn gradient(g: &mut Graph, y: Value, mut inputs: Vec<(Value, Data)>) -> Result<Step> {
    let dy = uniform(g, "dy", g.shape(y)?, [0.5, 1.5]);
    let forward = g.forward([y])?;
    let node = forward.ops().iter().find(|node| node.outputs.contains(&y)).expect("y is computed");
    let needs: Vec<bool> = node.inputs.iter().map(|v| inputs.iter().any(|(input, _)| input == v)).collect();
    let grads = [Some(dy.0)];
    let cx =
        Backward { graph: g, inputs: &node.inputs, outputs: &node.outputs, grads: &grads, needs: &needs };
    let found = node.op.backward(&cx).expect("the operator has a gradient")?;
    inputs.push(dy);
    Ok(Step { outputs: found.into_iter().flatten().collect(), inputs })
}
