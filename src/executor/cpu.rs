//! The reference path: the recorded tape in f64, by textbook operators.

use std::collections::HashMap;
use std::sync::{Arc, PoisonError, RwLock};

use super::{Executor, Link, Links, ScalarTable};
use crate::array::Array;
use crate::dtype::DType;
use crate::error::{Error, Result};
use crate::graph::{Reference, Value};
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
            let link = links.fed.iter().chain(&links.shared).find(|link| link.own == value);
            let shape = tape.recording().ty(value).shape;
            let fresh = || Arc::new(RwLock::new(Array::full(shape, 0.0)));
            persistent.insert(value, link.map(stored).transpose()?.flatten().unwrap_or_else(fresh));
        }
        let mut last_use: HashMap<Value, usize> = HashMap::new();
        for (index, node) in tape.ops().iter().enumerate() {
            last_use.extend(node.inputs.iter().chain(&node.outputs).map(|&v| (v, index)));
        }
        let mut dead_after = vec![Vec::new(); tape.ops().len()];
        for (value, index) in last_use {
            if !persistent.contains_key(&value) && !tape.kept().any(|k| k == value) {
                dead_after[index].push(value);
            }
        }
        Ok(CpuExecutor { tape, persistent, results: HashMap::new(), dead_after })
    }

    pub fn run(&mut self, index: usize, scalars: &ScalarTable) {
        let tape = self.tape.clone();
        let node = &tape.ops()[index];
        let types: Vec<_> = node.outputs.iter().map(|&v| tape.recording().ty(v)).collect();
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
            node.op.reference(&Reference { inputs, outputs: &types, scalars: scalars.values() })
        };
        let mutated = node.op.mutates().iter().map(|&i| node.inputs[i]);
        let written: Vec<Value> = node.outputs.iter().copied().chain(mutated).collect();
        for (value, result) in written.into_iter().zip(results) {
            let root = tape.root(value);
            match self.persistent.get(&root) {
                Some(shared) if !node.outputs.contains(&value) => {
                    let mut array = shared.write().unwrap_or_else(PoisonError::into_inner);
                    *array = Array { shape: array.shape, data: result.data };
                }
                _ => {
                    self.results.insert(value, result);
                }
            }
        }
    }

    pub fn write(&mut self, value: Value, bytes: &[u8]) -> Result<()> {
        let dtype = self.tape.recording().ty(value).dtype;
        let data: Vec<f64> = match dtype {
            DType::F32 => bytemuck::pod_collect_to_vec::<u8, f32>(bytes).into_iter().map(f64::from).collect(),
            DType::U32 => bytemuck::pod_collect_to_vec::<u8, u32>(bytes).into_iter().map(f64::from).collect(),
        };
        self.restore(value, &data)
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
        let data = self.read_f64(value);
        match self.tape.recording().ty(value).dtype {
            DType::F32 => data.iter().flat_map(|&v| (v as f32).to_ne_bytes()).collect(),
            DType::U32 => data.iter().flat_map(|&v| (v as u32).to_ne_bytes()).collect(),
        }
    }

    pub fn replay(&mut self, scalars: &mut ScalarTable, steps: usize) {
        for _ in 0..steps {
            for index in 0..self.tape.ops().len() {
                self.run(index, scalars);
                for dead in &self.dead_after[index] {
                    self.results.remove(dead);
                }
            }
            scalars.advance();
        }
    }
}

/// The storage of a value of another executor on the CPU path.
fn stored(link: &Link<'_>) -> Result<Option<Shared>> {
    match link.executor {
        Executor::Cpu(cpu) => Ok(cpu.persistent.get(&link.theirs).cloned()),
        Executor::Gpu(_) => Err(Error::Share {
            message: "the other session runs on a GPU, this one on the CPU path".to_owned(),
        }),
    }
}

/// Fails where the largest value would not fit into memory.
fn reserve(tape: &Tape) -> Result<()> {
    let values = tape.ops().iter().flat_map(|n| n.inputs.iter().chain(&n.outputs));
    let largest = values.map(|&v| tape.recording().ty(v).numel()).max().unwrap_or(0);
    let reserved = Vec::<f64>::new().try_reserve_exact(largest);
    let bytes = (largest as u64).saturating_mul(8);
    reserved.map_err(|_| Error::OutOfMemory { device: "cpu".to_owned(), bytes })
}
