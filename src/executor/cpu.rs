//! The reference path: the recorded tape in f64, by textbook operators.

use std::collections::HashMap;
use std::sync::{Arc, PoisonError, RwLock};

use super::{Executor, Link, Links, ScalarTable, numbers, words};
use crate::array::Array;
use crate::error::{Error, Result};
use crate::graph::{Node, Reference, Value};
use crate::tape::Tape;

type Shared = Arc<RwLock<Array>>;

/// Runs a tape with the reference operators.
pub(crate) struct CpuExecutor {
    tape: Arc<Tape>,
    persistent: HashMap<Value, Shared>,
    results: HashMap<Value, Array>,
    /// Per operator, the results that nothing reads after it.
    dead_after: Vec<Vec<Value>>,
}

impl CpuExecutor {
    pub fn new(tape: Arc<Tape>, links: &Links<'_>) -> Result<Self> {
        reserve(&tape)?;
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
        Ok(CpuExecutor { tape, persistent, results: HashMap::new(), dead_after })
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
        for (value, result) in node.written().zip(results) {
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
        self.restore(value, &numbers(self.tape.recording().ty(value).dtype, bytes))
    }

    pub fn read_f64(&self, value: Value) -> Vec<f64> {
        let root = self.tape.root(value);
        match (self.persistent.get(&root), self.results.get(&value)) {
            (Some(shared), _) => shared.read().unwrap_or_else(PoisonError::into_inner).data.clone(),
            (None, Some(array)) => array.data.clone(),
            // Nothing has been replayed yet: like a fresh GPU buffer, all zeros.
            (None, None) => vec![0.0; self.tape.recording().ty(value).numel()],
        }
    }

    pub fn restore(&mut self, value: Value, data: &[f64]) -> Result<()> {
        if let Some(shared) = self.persistent.get(&value) {
            let mut array = shared.write().unwrap_or_else(PoisonError::into_inner);
            array.data = data.to_vec();
        }
        Ok(())
    }

    pub fn read(&self, value: Value) -> Vec<u8> {
        let dtype = self.tape.recording().ty(value).dtype;
        bytemuck::pod_collect_to_vec(&words(dtype, &self.read_f64(value)))
    }

    pub fn replay(&mut self, scalars: &mut ScalarTable, steps: usize) -> Result<()> {
        for _ in 0..steps {
            for index in 0..self.tape.ops().len() {
                self.run_op(index, scalars)?;
                for dead in &self.dead_after[index] {
                    self.results.remove(dead);
                }
            }
            scalars.advance();
        }
        Ok(())
    }
}

/// The storage of a value of another executor on the CPU path.
fn stored(link: &Link<'_>) -> Result<Option<Shared>> {
    match link.executor {
        Executor::Cpu(cpu) => Ok(cpu.persistent.get(&link.theirs).cloned()),
        Executor::Gpu(_) => Err(Error::share("the other session runs on a GPU, this one on the CPU path")),
    }
}

/// Fails where the largest value would not fit into memory.
fn reserve(tape: &Tape) -> Result<()> {
    let values = tape.ops().iter().flat_map(Node::touched);
    let largest = values.map(|v| tape.recording().ty(v).numel()).max().unwrap_or(0);
    let reserved = Vec::<f64>::new().try_reserve_exact(largest);
    let bytes = (largest as u64).saturating_mul(8);
    reserved.map_err(|_| Error::OutOfMemory { device: "cpu".to_owned(), bytes })
}
