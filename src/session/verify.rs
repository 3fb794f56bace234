use std::collections::BTreeMap;
use std::fmt;

use half::f16;

use super::Session;
use crate::array::{Array, flush};
use crate::compare::{Comparison, compare, is_ordinary};
use crate::dtype::{DType, Element};
use crate::error::{Result, in_layer};
use crate::graph::{Op, Reference, Value};
use crate::tape::Tape;

/// Data for an input: f32, f16 or u32 elements.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub enum HostData<'a> {
    /// f32 elements.
    F32(&'a [f32]),
    /// f16 elements.
    F16(&'a [f16]),
    /// u32 elements.
    U32(&'a [u32]),
}

impl<'a, T: Element> From<&'a [T]> for HostData<'a> {
    fn from(data: &'a [T]) -> Self {
        match T::DTYPE {
            DType::F32 => HostData::F32(bytemuck::cast_slice(data)),
            DType::F16 => HostData::F16(bytemuck::cast_slice(data)),
            DType::U32 => HostData::U32(bytemuck::cast_slice(data)),
        }
    }
}

impl<'a, T: Element> From<&'a Vec<T>> for HostData<'a> {
    fn from(data: &'a Vec<T>) -> Self {
        HostData::from(&data[..])
    }
}

/// How one operator compared with its reference.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct OpCheck {
    /// Its number on the tape.
    pub op: usize,
    /// Its name.
    pub name: &'static str,
    /// The recorded operators that it stands for, where it is a fused one; else none.
    pub stands_for: Vec<&'static str>,
    /// Its layer; empty for none.
    pub layer: String,
    /// The worst element of everything it wrote.
    pub worst: Comparison,
}

/// The result of [`Session::verify`]; prints as a table.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Verification {
    /// One row per operator.
    pub rows: Vec<OpCheck>,
}

impl Verification {
    /// The first operator whose results are out of tolerance.
    pub fn first_difference(&self) -> Option<&OpCheck> {
        self.rows.iter().find(|r| !r.worst.passes())
    }

    /// Whether every operator is within its tolerance.
    pub fn passes(&self) -> bool {
        self.first_difference().is_none()
    }
}

impl fmt::Display for Verification {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "  op  name                      largest error   tolerance   of it  layer")?;
        for row in &self.rows {
            let worst = &row.worst;
            let mark = if worst.passes() { "" } else { "  DIFFERS" };
            let share = 100.0 * worst.error / worst.bound;
            writeln!(
                f,
                "{:4}  {:24} {:14.3e} {:11.3e} {share:6.1}%  {}{mark}",
                row.op, row.name, worst.error, worst.bound, row.layer
            )?;
            if !row.stands_for.is_empty() {
                writeln!(f, "      {}", row.stands_for.join(" "))?;
            }
        }
        match self.first_difference() {
            None => writeln!(f, "all {} ops agree with the reference", self.rows.len()),
            Some(OpCheck { op, name, layer, worst, .. }) => {
                writeln!(f, "op {op} ({name}){} is the first to differ: {worst}", in_layer(layer))
            }
        }
    }
}

/// What takes numbers from an operator's results that no bound promises, without being a fault of its kernel.
struct Excuses<'a> {
    /// The reference's results, some of which f32 may not hold: what is computed through them is lost too.
    results: &'a [Array],
    /// Those on inputs whose subnormals are zeros, as a GPU may read them.
    flushed: Vec<Array>,
}

impl<'a> Excuses<'a> {
    fn new(op: &dyn Op, cx: &Reference<'_>, results: &'a [Array], bounds: &[Vec<f64>]) -> Self {
        let unbounded = bounds.iter().flatten().any(|&bound| bound == f64::INFINITY);
        let subnormal = |x: &f64| *x != 0.0 && flush(*x) == 0.0;
        let flushed = match unbounded && cx.inputs.iter().any(|input| input.data.iter().any(subnormal)) {
            true => {
                let inputs: Vec<Array> = cx.inputs.iter().map(|input| input.map(flush)).collect();
                op.reference(&Reference { inputs: inputs.iter().collect(), ..*cx })
            }
            false => Vec::new(),
        };
        Excuses { results, flushed }
    }

    /// What the kernel gave for a result, but the reference's number where it is excused.
    fn seen(&self, number: usize, got: &Array, bound: &[f64]) -> Array {
        let want = &self.results[number];
        let beyond = |other: &Array, i: usize| {
            other.data.len() == want.data.len() && other.data[i].abs() > f64::from(f32::MAX)
        };
        let excused = |i: usize| {
            let flushed = self.flushed.get(number).and_then(|flushed| flushed.data.get(i));
            let flushed = flushed.is_some_and(|&number| !is_ordinary(number));
            flushed || self.results.iter().any(|other| beyond(other, i))
        };
        let comparable = got.data.len() == want.data.len() && bound.len() == want.data.len();
        let lost = |i: usize| comparable && bound[i] == f64::INFINITY && !is_ordinary(got.data[i]);
        Array::from_fn(got.shape, |i| if lost(i) && excused(i) { want.data[i] } else { got.data[i] })
    }
}

/// What becomes of an operator's results, and of how far off they may be, when they are stored.
fn store(dtype: DType, results: &mut [f64], bounds: &mut [f64]) {
    if dtype != DType::F16 {
        return;
    }
    for (result, bound) in results.iter_mut().zip(bounds) {
        *bound += dtype.storing_error(*result, *bound);
        *result = dtype.stored(*result);
    }
}

impl Session {
    /// Checks the session against the f64 reference, operator by operator, on the given inputs
    /// (those not given keep their contents).
    ///
    /// Those are the operators of the [fused](Tape::fuse) tape, unless the session is the reference's own:
    /// each row says which recorded ones it stands for. Each operator runs alone on the device and its
    /// results are read back; the reference of the same operator runs on the results that the device gave
    /// *when they were made*. A wrong kernel therefore shows at its own operator, and a plan that lets one
    /// value overwrite another shows at the operator that read the overwritten one. A zero, NaN or infinity
    /// where the reference has an ordinary number is a difference whatever error an operator allows itself.
    /// Parameters, states and the step count are as before afterwards.
    ///
    /// # Errors
    /// As [`write`](Session::write), [`snapshot`](Session::snapshot) and [`replay`](Session::replay). A
    /// difference is not an error: see [`Verification::passes`].
    pub fn verify(&mut self, inputs: &[(Value, HostData<'_>)]) -> Result<Verification> {
        for &(value, data) in inputs {
            match data {
                HostData::F32(data) => self.write(value, data)?,
                HostData::F16(data) => self.write(value, data)?,
                HostData::U32(data) => self.write(value, data)?,
            }
        }
        let before = self.snapshot()?;
        let checked = self.check_ops();
        self.restore(&before)?;
        Ok(Verification { rows: checked? })
    }

    fn check_ops(&mut self) -> Result<Vec<OpCheck>> {
        let tape = self.replayed().clone();
        // The device's results as they were when they were made, by root value.
        let fetched = tape.persistent().into_iter().map(|value| Ok((value, self.fetch(&tape, value)?)));
        let mut host: BTreeMap<Value, Array> = fetched.collect::<Result<_>>()?;
        let mut rows = Vec::with_capacity(tape.ops().len());
        for (index, node) in tape.ops().iter().enumerate() {
            let input =
                |&v: &Value| Array { shape: tape.recording().ty(v).shape, ..host[&tape.root(v)].clone() };
            let inputs: Vec<Array> = node.inputs.iter().map(input).collect();
            let (inputs, outputs) = (inputs.iter().collect(), &tape.types(&node.outputs));
            let cx = Reference { inputs, outputs, scalars: self.scalars.values() };
            let mut results = node.op.reference(&cx);
            let mut bounds = node.op.error_bound(&cx, &results);
            for ((value, result), bound) in node.written().zip(&mut results).zip(&mut bounds) {
                store(tape.recording().ty(value).dtype, &mut result.data, bound);
            }
            self.executor.run_op(index, &self.scalars)?;
            let excuses = Excuses::new(node.op.as_ref(), &cx, &results, &bounds);
            let mut worst = Comparison::exact();
            for (number, ((value, result), bound)) in node.written().zip(&results).zip(&bounds).enumerate() {
                let got = self.fetch(&tape, value)?;
                let seen = excuses.seen(number, &got, bound);
                worst = worst.worse_of(compare(&seen.data, &result.data, bound));
                host.insert(tape.root(value), got);
            }
            let layer = tape.layer(node).to_owned();
            let stands_for = node.stands_for().map(|node| node.op.name()).collect();
            rows.push(OpCheck { op: index, name: node.op.name(), stands_for, layer, worst });
        }
        Ok(rows)
    }

    /// The contents of a value of the tape that is replayed.
    pub(super) fn fetch(&self, tape: &Tape, value: Value) -> Result<Array> {
        Ok(Array::new(tape.recording().ty(value).shape, self.contents(value)?))
    }
}
