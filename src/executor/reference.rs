//! The reference path: the recorded tape in f64, by textbook operators.

use std::collections::HashMap;
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Instant;

use super::memory::reserve;
use super::{Executor, Link, Links, ScalarTable, elements, numbers};
use crate::array::Array;
use crate::dtype::DType;
use crate::error::{Error, Result};
use crate::graph::{Reference, Value};
use crate::tape::Tape;

type Shared = Arc<RwLock<Array>>;

/// Runs a tape with the reference operators.
pub(crate) struct ReferenceExecutor {
    tape: Arc<Tape>,
    persistent: HashMap<Value, Shared>,
    results: HashMap<Value, Array>,
    /// Per operator, the results that nothing reads after it.
    dead_after: Vec<Vec<Value>>,
}

impl ReferenceExecutor {
    pub fn new(tape: Arc<Tape>, links: &Links<'_>) -> Result<Self> {
        reserve("reference", needed(&tape, links))?;
        let mut persistent = HashMap::new();
        for value in tape.persistent() {
            let shape = tape.recording().ty(value).shape;
            let fresh = || Arc::new(RwLock::new(Array::full(shape, 0.0)));
            let theirs = links.of(value).map(stored).transpose()?.flatten();
            persistent.insert(value, theirs.unwrap_or_else(fresh));
        }
        let mut dead_after = vec![Vec::new(); tape.ops().len()];
        for (value, index) in tape.last_uses() {
            if let Some(dead) = dead_after.get_mut(index) {
                dead.push(value);
            }
        }
        Ok(ReferenceExecutor { tape, persistent, results: HashMap::new(), dead_after })
    }

    pub fn run_op(&mut self, index: usize, scalars: &ScalarTable) -> Result<()> {
        let tape = self.tape.clone();
        let node = &tape.ops()[index];
        let results = {
            // Each lock once, and by address, so that sessions on several threads never wait for
            // each other in a circle.
            let mut shared: Vec<&Shared> =
                node.inputs.iter().filter_map(|v| self.persistent.get(v)).collect();
            shared.sort_by_key(|s| Arc::as_ptr(s).addr());
            shared.dedup_by_key(|s| Arc::as_ptr(s).addr());
            let guards: Vec<_> =
                shared.iter().map(|s| s.read().unwrap_or_else(PoisonError::into_inner)).collect();
            let contents = |v: &Value| match self.persistent.get(v) {
                Some(own) => shared.iter().position(|s| Arc::ptr_eq(s, own)).map(|i| &*guards[i]),
                None => self.results.get(v),
            };
            let inputs: Vec<&Array> = node.inputs.iter().filter_map(contents).collect();
            let outputs = &tape.types(&node.outputs);
            node.op.reference(&Reference { inputs, outputs, scalars: scalars.values() })
        };
        for (value, mut result) in node.written().zip(results) {
            let dtype = tape.recording().ty(value).dtype;
            if dtype == DType::F16 {
                result.data.iter_mut().for_each(|number| *number = dtype.stored(*number));
            }
            match self.persistent.get(&tape.root(value)) {
                Some(shared) if !node.outputs.contains(&value) => {
                    let mut array = shared.write().unwrap_or_else(PoisonError::into_inner);
                    array.data = result.data;
                }
                _ => {
                    self.results.insert(value, result);
                }
            }
        }
        Ok(())
    }

    pub fn write(&mut self, value: Value, bytes: &[u8]) -> Result<()> {
        if let Some(shared) = self.persistent.get(&value) {
            let mut array = shared.write().unwrap_or_else(PoisonError::into_inner);
            let dtype = self.tape.recording().ty(value).dtype;
            array.data.iter_mut().zip(numbers(dtype, bytes)).for_each(|(to, number)| *to = number);
        }
        Ok(())
    }

    pub fn read_f64(&self, value: Value) -> Vec<f64> {
        self.reading(value, <[f64]>::to_vec)
    }

    /// What `of` makes of a value's contents.
    fn reading<T>(&self, value: Value, of: impl Fn(&[f64]) -> T) -> T {
        let root = self.tape.root(value);
        match (self.persistent.get(&root), self.results.get(&value)) {
            (Some(shared), _) => of(&shared.read().unwrap_or_else(PoisonError::into_inner).data),
            (None, Some(array)) => of(&array.data),
            // Nothing has been replayed yet: like a fresh GPU buffer, all zeros.
            (None, None) => of(&vec![0.0; self.tape.recording().ty(value).numel()]),
        }
    }

    pub fn restore(&mut self, value: Value, data: &[f64]) -> Result<()> {
        if let Some(shared) = self.persistent.get(&value) {
            let mut array = shared.write().unwrap_or_else(PoisonError::into_inner);
            array.data.clear();
            array.data.extend_from_slice(data);
        }
        Ok(())
    }

    pub fn read(&self, value: Value) -> Vec<u8> {
        let dtype = self.tape.recording().ty(value).dtype;
        self.reading(value, |data| elements(dtype, data))
    }

    pub fn replay(&mut self, scalars: &mut ScalarTable, steps: usize) -> Result<()> {
        for _ in 0..steps {
            (0..self.tape.ops().len()).try_for_each(|index| self.run_next(index, scalars))?;
            scalars.advance();
        }
        Ok(())
    }

    /// Runs an operator of a whole step, and drops what nothing reads after it.
    fn run_next(&mut self, index: usize, scalars: &ScalarTable) -> Result<()> {
        self.run_op(index, scalars)?;
        for dead in &self.dead_after[index] {
            self.results.remove(dead);
        }
        Ok(())
    }

    /// Runs the operators of a step without counting it; their numbers and the seconds that each takes.
    pub fn timed(&mut self, scalars: &ScalarTable) -> Result<Vec<(usize, f64)>> {
        let count = self.tape.ops().len();
        let timed = |index: usize| {
            let start = Instant::now();
            self.run_next(index, scalars)?;
            Ok((index, start.elapsed().as_secs_f64()))
        };
        (0..count).map(timed).collect()
    }
}

/// The storage of a value of another executor of this kind.
fn stored(link: &Link<'_>) -> Result<Option<Shared>> {
    match link.executor {
        Executor::Reference(other) => Ok(other.persistent.get(&link.theirs).cloned()),
        other => Err(Error::share(format!(
            "the other session runs on {}, this one on the reference",
            other.place()
        ))),
    }
}

/// The most bytes in use at a time: what the session has of its own, what it keeps, the results of a step
/// that are waiting to be read beside those being made and what their operator needs for itself, and a copy of
/// the largest value that can be read.
pub(crate) fn needed(tape: &Tape, links: &Links<'_>) -> u64 {
    let bytes = |value: Value| (tape.recording().ty(value).numel() as u64).saturating_mul(8);
    let sum = |values: &mut dyn Iterator<Item = Value>| values.map(bytes).fold(0, u64::saturating_add);
    let persistent = tape.persistent();
    let is_own = |value: &Value| links.of(*value).is_none();
    let lasting: Vec<Value> = tape.kept().filter(|value| !persistent.contains(value)).collect();
    let held = sum(&mut persistent.iter().copied().filter(is_own).chain(lasting.iter().copied()));
    let last = tape.last_uses();
    let (mut live, mut peak) = (0u64, 0u64);
    let mut dying: HashMap<usize, u64> = HashMap::new();
    for (index, node) in tape.ops().iter().enumerate() {
        // What is written over has its new contents beside the old ones.
        let scratch = node.op.reference_scratch(&tape.types(&node.inputs), &tape.types(&node.outputs));
        let made = sum(&mut node.written()).saturating_add(scratch);
        peak = peak.max(live.saturating_add(made));
        for &output in &node.outputs {
            let until = last.get(&output).copied().unwrap_or(index);
            if until < tape.ops().len() {
                live = live.saturating_add(bytes(output));
                let dying = dying.entry(until).or_default();
                *dying = dying.saturating_add(bytes(output));
            }
        }
        live = live.saturating_sub(dying.remove(&index).unwrap_or(0));
    }
    let copied = persistent.into_iter().chain(lasting).map(bytes).max().unwrap_or(0);
    held.saturating_add(peak.max(copied))
}
