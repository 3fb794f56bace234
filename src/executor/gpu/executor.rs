use std::borrow::Cow;
use std::collections::HashMap;
use std::future::Future;
use std::ops::Range;
use std::sync::Arc;

use super::chain::GpuChain;
use super::context::GpuContext;
use super::flight::SMALL;
use super::pace;
use super::range::BufferRange;
use super::readback::Staging;
use super::sharing::shared_buffers;
use crate::error::Result;
use crate::executor::{Links, ScalarTable, elements, numbers};
use crate::graph::Value;
use crate::kernel::{DeviceKind, Scalar};
use crate::tape::{BoundBuffer, BufferPlan, BufferRole, Plan, Tape};

/// Bytes after each buffer in a guarded session.
const GUARD_BYTES: u64 = 256;
/// What guards and poisoned results hold: a quiet NaN that no computation produces, and two of half precision.
const POISON: u32 = 0x7fc0_7fc0;
/// Replays a plan on a GPU.
pub(crate) struct GpuExecutor {
    pub(super) context: Arc<GpuContext>,
    tape: Arc<Tape>,
    pub plan: Plan,
    pub(super) buffers: Vec<wgpu::Buffer>,
    pub(super) commands: Vec<Command>,
    /// What each command is [expected](pace::guess) to take.
    pub(super) guesses: Vec<f64>,
    pub(super) staging: Staging,
    guard: u64,
}

/// One dispatch of an operator, and the per-step scalars in its parameters.
pub(super) struct Command {
    op: usize,
    raw: RawDispatch,
    scalars: Vec<(usize, Scalar)>,
}

/// One dispatch of a session as wgpu objects, in the order of the step.
#[derive(Clone, Debug)]
pub struct RawDispatch {
    /// The kernel.
    pub pipeline: wgpu::ComputePipeline,
    /// Its buffers.
    pub bind_group: wgpu::BindGroup,
    /// Its parameter block.
    pub params: Vec<u8>,
    /// Workgroups along x, y and z.
    pub groups: [u32; 3],
}

impl GpuExecutor {
    pub fn new(
        context: Arc<GpuContext>,
        tape: Arc<Tape>,
        plan: Plan,
        links: &Links<'_>,
        guarded: bool,
    ) -> Result<Self> {
        let guard = if guarded { GUARD_BYTES } else { 0 };
        let shared = shared_buffers(&context, &tape, &plan, links)?;
        let usage = wgpu::BufferUsages::STORAGE | wgpu::BufferUsages::COPY_SRC | wgpu::BufferUsages::COPY_DST;
        let make_buffers = |encoder: &mut wgpu::CommandEncoder| {
            let make = |(index, planned): (usize, &BufferPlan)| {
                shared.get(&index).cloned().unwrap_or_else(|| {
                    let label = format!("{:?}", planned.role);
                    let buffer = context.make_buffer(&label, planned.bytes + guard, usage);
                    // Cleared before the first bind group: wgpu then tracks no uninitialised ranges.
                    encoder.clear_buffer(&buffer, 0, None);
                    buffer
                })
            };
            plan.buffers.iter().enumerate().map(make).collect::<Vec<_>>()
        };
        let buffers = context.submit(plan.peak_bytes(), make_buffers)?;
        let compiled = context.compile(&plan)?;
        let commands = context.scoped(0, || commands(&context, &plan, &buffers))??;
        let guesses = plan.dispatches.iter().map(|d| pace::guess(context.profile.kind, d.work)).collect();
        let staging = Staging::default();
        let executor = GpuExecutor { context, tape, plan, buffers, commands, guesses, staging, guard };
        if compiled > 0 && executor.context.profile.kind == DeviceKind::Cpu {
            executor.warm_up()?;
        }
        Ok(executor)
    }

    /// Software drivers compile a kernel when it first runs, however long ago its pipeline was made. Here each
    /// runs over no workgroups, so that no step waits for that.
    fn warm_up(&self) -> Result<()> {
        self.context.submit(0, |encoder| {
            let mut pass = encoder.begin_compute_pass(&Default::default());
            for Command { raw, .. } in &self.commands {
                pass.set_pipeline(&raw.pipeline);
                pass.set_bind_group(0, &raw.bind_group, &[]);
                if !raw.params.is_empty() {
                    pass.set_immediates(0, &raw.params);
                }
                pass.dispatch_workgroups(0, 0, 0);
            }
        })?;
        self.context.wait()
    }

    /// The device that it runs on.
    pub fn context(&self) -> &Arc<GpuContext> {
        &self.context
    }

    /// What it replays.
    pub fn tape(&self) -> &Arc<Tape> {
        &self.tape
    }

    pub fn read_async(&self, value: Value) -> Result<impl Future<Output = Result<Vec<u8>>> + use<>> {
        self.staging.read(&self.context, &[self.locate(value)?])
    }

    /// Where a value's own bytes are.
    pub fn locate(&self, value: Value) -> Result<BufferRange<'_>> {
        let planned = self.plan.value(value).ok_or_else(|| self.tape.unknown_value(value))?;
        let bytes = self.tape.recording().ty(value).bytes().next_multiple_of(4);
        Ok(BufferRange { buffer: &self.buffers[planned.buffer], offset: planned.offset, bytes })
    }

    /// The contents of a range of a buffer of this device.
    pub(super) fn read_range(&self, range: BufferRange<'_>) -> Result<Vec<u8>> {
        self.staging.read(&self.context, &[range])?.wait()
    }

    /// The contents of several values at one moment, by one copy.
    pub fn read_f64(&self, values: &[Value]) -> Result<Vec<Vec<f64>>> {
        if values.is_empty() {
            return Ok(Vec::new());
        }
        let ranges: Vec<_> = values.iter().map(|&value| self.locate(value)).collect::<Result<_>>()?;
        let bytes = self.staging.read(&self.context, &ranges)?.wait()?;
        let mut rest = &bytes[..];
        let mut part = |(range, &value): (&BufferRange<'_>, &Value)| {
            let (own, after) = rest.split_at(range.bytes as usize);
            rest = after;
            let ty = self.tape.recording().ty(value);
            numbers(ty.dtype, own).take(ty.numel()).collect()
        };
        Ok(ranges.iter().zip(values).map(&mut part).collect())
    }

    /// Records a step into a chain, and moves on to the next.
    pub fn record_step(&self, scalars: &mut ScalarTable, chain: &mut GpuChain) -> Result<()> {
        self.record(0..self.commands.len(), scalars, chain)?;
        scalars.advance();
        Ok(())
    }

    /// Records some of a step's commands.
    fn record(&self, mut range: Range<usize>, scalars: &ScalarTable, chain: &mut GpuChain) -> Result<()> {
        loop {
            let (pass, count) = chain.pass(&self.guesses[range.clone()])?;
            let until = range.start + count;
            encode(pass, &self.commands[range.start..until], scalars);
            range.start = until;
            if range.is_empty() {
                return Ok(());
            }
        }
    }

    /// Fills every result buffer and all guards with NaNs.
    pub fn poison(&self) -> Result<()> {
        for (buffer, plan) in self.buffers.iter().zip(&self.plan.buffers) {
            let start = if plan.role == BufferRole::Transient { 0 } else { plan.bytes };
            let words = (plan.bytes + self.guard - start) / 4;
            if words > 0 {
                let poison = vec![POISON; words as usize];
                let write = || self.context.queue.write_buffer(buffer, start, bytemuck::cast_slice(&poison));
                self.context.scoped(0, write)?;
            }
        }
        Ok(())
    }

    /// The buffers whose guards were overwritten.
    pub fn broken_guards(&self) -> Result<Vec<usize>> {
        let mut broken = Vec::new();
        for (index, (buffer, plan)) in self.buffers.iter().zip(&self.plan.buffers).enumerate() {
            let whole = BufferRange { buffer, offset: 0, bytes: plan.bytes + self.guard };
            let bytes = self.read_range(whole)?;
            let words: Vec<u32> = bytemuck::pod_collect_to_vec(&bytes[plan.bytes as usize..]);
            if words.iter().any(|&w| w != POISON) {
                broken.push(index);
            }
        }
        Ok(broken)
    }

    /// The step's dispatches as wgpu objects.
    pub fn raw_dispatches(&self) -> Vec<RawDispatch> {
        self.commands.iter().map(|command| command.raw.clone()).collect()
    }

    /// The same with pipelines made anew, which no warming up has run.
    pub fn fresh_dispatches(&self) -> Result<Vec<RawDispatch>> {
        self.context.forget_pipelines();
        let made = self.context.scoped(0, || commands(&self.context, &self.plan, &self.buffers))??;
        Ok(made.into_iter().map(|command| command.raw).collect())
    }

    pub fn write(&mut self, value: Value, bytes: &[u8]) -> Result<()> {
        // A value that no operator of this tape uses has no buffer.
        let Ok(range) = self.locate(value) else { return self.context.check() };
        let mut bytes = Cow::Borrowed(bytes);
        if !bytes.len().is_multiple_of(4) {
            bytes.to_mut().extend([0; 2]);
        }
        self.context.scoped(0, || self.context.queue.write_buffer(range.buffer, range.offset, &bytes))
    }

    pub fn read(&self, value: Value) -> Result<Vec<u8>> {
        let mut bytes = self.read_range(self.locate(value)?)?;
        bytes.truncate(self.tape.recording().ty(value).bytes() as usize);
        Ok(bytes)
    }

    pub fn restore(&mut self, value: Value, data: &[f64]) -> Result<()> {
        self.write(value, &elements(self.tape.recording().ty(value).dtype, data))
    }

    pub fn replay(&mut self, scalars: &mut ScalarTable, steps: usize) -> Result<()> {
        let mut chain = GpuChain::new(self.context.clone(), SMALL);
        for _ in 0..steps {
            self.record_step(scalars, &mut chain)?;
        }
        chain.submit()
    }

    pub fn run_op(&mut self, op: usize, scalars: &ScalarTable) -> Result<()> {
        let mut chain = GpuChain::new(self.context.clone(), SMALL);
        let first = self.commands.partition_point(|command| command.op < op);
        let until = self.commands.partition_point(|command| command.op <= op);
        self.record(first..until, scalars, &mut chain)?;
        chain.submit()
    }
}

/// Records commands into a pass.
pub(super) fn encode(pass: &mut wgpu::ComputePass<'_>, commands: &[Command], scalars: &ScalarTable) {
    let mut last: Option<&RawDispatch> = None;
    for Command { raw, scalars: named, .. } in commands {
        if last.is_none_or(|last| last.pipeline != raw.pipeline) {
            pass.set_pipeline(&raw.pipeline);
        }
        if last.is_none_or(|last| last.bind_group != raw.bind_group) {
            pass.set_bind_group(0, &raw.bind_group, &[]);
        }
        let mut params = [0; 128];
        let params = &mut params[..raw.params.len()];
        params.copy_from_slice(&raw.params);
        for &(offset, scalar) in named {
            params[offset..offset + 4].copy_from_slice(&scalars.bytes(scalar));
        }
        if !params.is_empty() {
            pass.set_immediates(0, params);
        }
        let [x, y, z] = raw.groups;
        pass.dispatch_workgroups(x, y, z);
        last = Some(raw);
    }
}

/// The dispatches of a plan with everything looked up, each pipeline and bind group made once.
fn commands(context: &GpuContext, plan: &Plan, buffers: &[wgpu::Buffer]) -> Result<Vec<Command>> {
    let mut bind_groups: HashMap<&[BoundBuffer], wgpu::BindGroup> = HashMap::new();
    let entry = |&BoundBuffer { binding, buffer, offset, bytes, .. }: &BoundBuffer| {
        let range = BufferRange { buffer: &buffers[buffer], offset, bytes };
        wgpu::BindGroupEntry { binding, resource: range.binding() }
    };
    let mut commands = Vec::with_capacity(plan.dispatches.len());
    for dispatch in &plan.dispatches {
        let (pipeline, layout) = context.pipeline(dispatch)?;
        // Equal bindings mean equal access patterns, and those have one layout.
        let bind_group = bind_groups.entry(&dispatch.bindings).or_insert_with(|| {
            let entries: Vec<_> = dispatch.bindings.iter().map(entry).collect();
            let descriptor = wgpu::BindGroupDescriptor { label: None, layout: &layout, entries: &entries };
            context.device.create_bind_group(&descriptor)
        });
        let (bind_group, params, groups) = (bind_group.clone(), dispatch.params.clone(), dispatch.groups);
        let raw = RawDispatch { pipeline, bind_group, params, groups };
        commands.push(Command { op: dispatch.op, raw, scalars: dispatch.scalars.clone() });
    }
    Ok(commands)
}
