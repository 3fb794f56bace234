//! The CPU as a device: the fused tape in f32, on buffers that are planned once.

mod cell;
mod memory;
mod steps;

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Instant;

use half::f16;

use super::memory::reserve;
use super::{Executor, Links, ScalarTable, elements, numbers};
use crate::array::spread_elements;
use crate::dtype::DType;
use crate::error::{Error, Result};
use crate::graph::{Compute, Operands, Scratch, Spot, Value, Written};
use crate::kernel::{DeviceKind, DeviceProfile};
use crate::tape::{Layout, Tape};
use cell::Cell;
use steps::Step;

use memory::needed;

/// What a tape for the CPU is fused by: nothing limits a binding, and few buffers at a time are streams that a
/// core follows.
pub(crate) fn profile() -> DeviceProfile {
    DeviceProfile {
        name: "cpu".to_owned(),
        kind: DeviceKind::Cpu,
        max_storage_buffers: 8,
        max_binding_bytes: u64::MAX,
        max_buffer_bytes: u64::MAX,
        ..DeviceProfile::baseline()
    }
}

/// Multiply-adds, or a quarter as many elements, from which on a step is worth several threads.
const WORTH_THREADS: u64 = 1 << 20;

/// Runs a tape in f32.
pub(crate) struct CpuExecutor {
    tape: Arc<Tape>,
    buffers: Vec<Vec<f32>>,
    /// What others may have in common with this session, by address, each with its buffer, where it is while
    /// this session works with it.
    cells: Vec<(usize, Arc<Cell>)>,
    spots: HashMap<Value, Spot>,
    steps: Vec<Step>,
    /// The buffers that an operator writes, while it does.
    written: Vec<Written>,
    scratch: Scratch,
    /// Whether steps are worth several threads.
    in_pool: bool,
}

impl CpuExecutor {
    pub fn new(tape: Arc<Tape>, links: &Links<'_>) -> Result<Self> {
        let layout = tape.layout();
        let steps = Step::all(&tape, &layout)?;
        reserve("cpu", needed(&tape, &layout, &steps, links))?;
        let Layout { buffers: planned, values, .. } = &layout;
        let ty = |value: Value| tape.recording().ty(value);
        let spots: HashMap<Value, Spot> =
            values.iter().map(|v| (v.value, Spot { buffer: v.buffer, len: ty(v.value).numel() })).collect();
        let persistent = tape.persistent();
        let mut cells: Vec<(usize, Arc<Cell>)> = Vec::new();
        for value in persistent {
            let Spot { buffer, len } = spots[&value];
            let theirs = match links.of(value) {
                Some(link) => Some(stored(link.executor, link.theirs)?),
                None => None,
            };
            cells.push((buffer, theirs.unwrap_or_else(|| Arc::new(Cell::new(len)))));
        }
        cells.sort_by_key(|(_, cell)| Arc::as_ptr(cell).addr());
        if cells.windows(2).any(|pair| Arc::ptr_eq(&pair[0].1, &pair[1].1)) {
            return Err(Error::share("two values of this tape are one value of the other session"));
        }
        let mut buffers: Vec<Vec<f32>> = planned.iter().map(|b| vec![0.0; b.bytes as usize / 4]).collect();
        cells.iter().for_each(|&(buffer, _)| buffers[buffer] = Vec::new());
        let written = Vec::with_capacity(steps.iter().map(|step| step.results.len()).max().unwrap_or(0));
        let in_pool = steps.iter().any(|step| step.work >= WORTH_THREADS);
        Ok(CpuExecutor { tape, buffers, cells, spots, steps, written, scratch: Scratch::default(), in_pool })
    }

    /// What it replays.
    pub fn tape(&self) -> &Arc<Tape> {
        &self.tape
    }

    pub fn run_op(&mut self, index: usize, scalars: &ScalarTable) -> Result<()> {
        let borrowed = Borrowed::new(self);
        let own = &mut *borrowed.0;
        if let Some(step) = own.steps.iter().position(|step| step.op == index) {
            own.run(step, scalars.values());
        }
        Ok(())
    }

    pub fn replay(&mut self, scalars: &mut ScalarTable, steps: usize) -> Result<()> {
        self.working(|own| {
            for _ in 0..steps {
                (0..own.steps.len()).for_each(|step| own.run(step, scalars.values()));
                scalars.advance();
            }
        });
        Ok(())
    }

    /// Runs the operators of a step without counting it; their numbers and the seconds that each takes.
    pub fn timed(&mut self, scalars: &ScalarTable) -> Vec<(usize, f64)> {
        self.working(|own| {
            let count = own.steps.len();
            let timed = |step: usize| {
                let start = Instant::now();
                own.run(step, scalars.values());
                (own.steps[step].op, start.elapsed().as_secs_f64())
            };
            (0..count).map(timed).collect()
        })
    }

    /// Whether an operator has an f32 routine.
    pub fn has_routine(&self, op: usize) -> bool {
        self.steps.iter().any(|step| step.op == op && step.routine.is_some())
    }

    /// What `work` makes of the executor when it has what it may have in common with others.
    fn working<R: Send>(&mut self, work: impl FnOnce(&mut CpuExecutor) -> R + Send) -> R {
        let in_pool = self.in_pool;
        let borrowed = Borrowed::new(self);
        // Within the pool, operators hand each other's work on without waking the calling thread in between.
        if in_pool { rayon::scope(|_| work(borrowed.0)) } else { work(borrowed.0) }
    }

    /// Runs an operator.
    fn run(&mut self, step: usize, scalars: &[f64]) {
        let CpuExecutor { tape, buffers, steps, written, scratch, .. } = self;
        let step = &steps[step];
        let Some(routine) = &step.routine else { return step.by_reference(tape, buffers, scalars) };
        for &spot in &step.results {
            written.push(Written { spot, data: std::mem::take(&mut buffers[spot.buffer]) });
        }
        routine(&mut Compute {
            inputs: Operands { buffers, spots: &step.inputs },
            results: written,
            in_place: step.in_place,
            scratch,
            scalars,
        });
        for &result in &step.halves {
            spread_elements([&mut written[result]], &|_, [numbers]| {
                numbers.iter_mut().for_each(|number| *number = f16::from_f32(*number).to_f32());
            });
        }
        for Written { spot, data } in written.drain(..) {
            buffers[spot.buffer] = data;
        }
    }

    /// What `f` makes of a value's elements.
    fn with<R>(&self, value: Value, f: impl FnOnce(&mut [f32]) -> R) -> Option<R> {
        let Spot { buffer, len } = *self.spots.get(&value)?;
        let cell = self.cells.iter().find(|cell| cell.0 == buffer);
        cell.map(|(_, cell)| cell.with(|elements| f(&mut elements[..len])))
    }

    /// The elements of a value.
    pub fn elements(&self, value: Value) -> Vec<f32> {
        let Some(&Spot { buffer, len }) = self.spots.get(&value) else { return Vec::new() };
        self.with(value, |elements| elements.to_vec()).unwrap_or_else(|| self.buffers[buffer][..len].to_vec())
    }

    pub fn read(&self, value: Value) -> Vec<u8> {
        match self.tape.recording().ty(value).dtype {
            dtype @ DType::F16 => elements(dtype, &self.read_f64(value)),
            DType::F32 | DType::U32 => bytemuck::cast_slice(&self.elements(value)).to_vec(),
        }
    }

    pub fn read_f64(&self, value: Value) -> Vec<f64> {
        let dtype = self.tape.recording().ty(value).dtype;
        numbers(computed_as(dtype), bytemuck::cast_slice(&self.elements(value))).collect()
    }

    /// A value that the tape does not use is not kept.
    pub fn write(&mut self, value: Value, bytes: &[u8]) -> Result<()> {
        let dtype = self.tape.recording().ty(value).dtype;
        self.with(value, |own| match dtype {
            DType::F16 => own.iter_mut().zip(numbers(dtype, bytes)).for_each(|(to, x)| *to = x as f32),
            DType::F32 | DType::U32 => bytemuck::cast_slice_mut(own).copy_from_slice(bytes),
        });
        Ok(())
    }

    pub fn restore(&mut self, value: Value, data: &[f64]) -> Result<()> {
        self.write(value, &elements(self.tape.recording().ty(value).dtype, data))
    }
}

/// The type of what stands for an element of a type here.
fn computed_as(dtype: DType) -> DType {
    if dtype == DType::F16 { DType::F32 } else { dtype }
}

/// The storage of a value of another session.
fn stored(executor: &Executor, value: Value) -> Result<Arc<Cell>> {
    let Executor::Cpu(other) = executor else {
        let place = executor.place();
        return Err(Error::share(format!("the other session runs on {place}, this one on the CPU")));
    };
    let spot = other.spots.get(&value);
    let cell = spot.and_then(|spot| other.cells.iter().find(|cell| cell.0 == spot.buffer));
    cell.map(|(_, cell)| cell.clone())
        .ok_or_else(|| Error::share("the other session does not keep a value that is fed"))
}

/// An executor that has taken what it may have in common with others, until this is dropped.
struct Borrowed<'a>(&'a mut CpuExecutor);

impl<'a> Borrowed<'a> {
    fn new(executor: &'a mut CpuExecutor) -> Self {
        let CpuExecutor { buffers, cells, .. } = executor;
        // In one order, so that sessions on several threads never wait for each other in a circle.
        cells.iter().for_each(|(buffer, cell)| buffers[*buffer] = cell.take());
        Borrowed(executor)
    }
}

impl Drop for Borrowed<'_> {
    fn drop(&mut self) {
        let CpuExecutor { buffers, cells, written, .. } = &mut *self.0;
        // What an operator that panicked left behind.
        for Written { spot, data } in written.drain(..) {
            buffers[spot.buffer] = data;
        }
        cells.iter().for_each(|(buffer, cell)| cell.put(std::mem::take(&mut buffers[*buffer])));
    }
}
