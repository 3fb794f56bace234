use std::collections::HashMap;
use std::future::Future;
use std::sync::Arc;

use super::chain::GpuChain;
use super::context::GpuContext;
use super::range::BufferRange;
use super::readback::Staging;
use super::sharing::shared_buffers;
use crate::dtype::DType;
use crate::error::Result;
use crate::executor::{Links, ScalarTable};
use crate::graph::Value;
use crate::kernel::Scalar;
use crate::tape::{BoundBuffer, BufferPlan, BufferRole, Dispatch, Plan, Tape};

/// Bytes after each buffer in a guarded session.
const GUARD_BYTES: u64 = 256;
/// What guards and poisoned results hold: a quiet NaN that no computation produces.
const POISON: u32 = 0x7fc0_dead;
/// Dispatches after which a replay of several steps is submitted, so that the device starts
/// early and no single submission runs into a driver's time limit.
const DISPATCHES_PER_SUBMIT: usize = 4096;

/// Replays a plan on a GPU.
pub(crate) struct GpuExecutor {
    pub(super) context: Arc<GpuContext>,
    tape: Arc<Tape>,
    plan: Plan,
    pub(super) buffers: Vec<wgpu::Buffer>,
    commands: Vec<Command>,
    pipelines: Vec<wgpu::ComputePipeline>,
    bind_groups: Vec<wgpu::BindGroup>,
    staging: Staging,
    guard: u64,
}

/// One dispatch with everything looked up.
struct Command {
    op: usize,
    pipeline: usize,
    bind_group: usize,
    params: Vec<u8>,
    scalars: Vec<(usize, Scalar)>,
    groups: [u32; 3],
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
        let buffers = context.scoped(plan.peak_bytes(), || {
            let numbered = plan.buffers.iter().enumerate();
            let make = |(index, buffer): (usize, &BufferPlan)| match shared.get(&index) {
                Some(shared) => shared.clone(),
                None => make_buffer(&context.device, buffer.bytes + guard, buffer.role),
            };
            let buffers: Vec<_> = numbered.map(make).collect();
            // Cleared before the first bind group: wgpu then tracks no uninitialised ranges.
            let mut encoder = context.device.create_command_encoder(&Default::default());
            for (index, buffer) in buffers.iter().enumerate() {
                if !shared.contains_key(&index) {
                    encoder.clear_buffer(buffer, 0, None);
                }
            }
            context.queue.submit([encoder.finish()]);
            buffers
        })?;
        let mut executor = GpuExecutor {
            context: context.clone(),
            tape,
            plan,
            buffers,
            commands: Vec::new(),
            pipelines: Vec::new(),
            bind_groups: Vec::new(),
            staging: Staging::default(),
            guard,
        };
        context.scoped(0, || executor.prepare())??;
        Ok(executor)
    }

    /// Makes every pipeline and bind group, each once.
    fn prepare(&mut self) -> Result<()> {
        let mut groups: HashMap<Vec<BoundBuffer>, usize> = HashMap::new();
        for dispatch in &self.plan.dispatches {
            let context = &self.context;
            let (pipeline, layout) = context.pipelines.get(&context.device, &context.profile, dispatch)?;
            let known = self.pipelines.iter().position(|p| *p == pipeline);
            let pipeline = known.unwrap_or_else(|| {
                self.pipelines.push(pipeline);
                self.pipelines.len() - 1
            });
            // Equal bindings mean equal access patterns, and those have one layout.
            let next = self.bind_groups.len();
            let bind_group = *groups.entry(dispatch.bindings.clone()).or_insert(next);
            if bind_group == next {
                self.bind_groups.push(self.make_bind_group(dispatch, &layout));
            }
            let (params, scalars) = (dispatch.params.clone(), dispatch.scalars.clone());
            let (op, groups) = (dispatch.op, dispatch.groups);
            self.commands.push(Command { op, pipeline, bind_group, params, scalars, groups });
        }
        Ok(())
    }

    fn make_bind_group(&self, dispatch: &Dispatch, layout: &wgpu::BindGroupLayout) -> wgpu::BindGroup {
        let entry = |b: &BoundBuffer| wgpu::BindGroupEntry {
            binding: b.binding,
            resource: wgpu::BindingResource::Buffer(wgpu::BufferBinding {
                buffer: &self.buffers[b.buffer],
                offset: b.offset,
                size: std::num::NonZeroU64::new(b.bytes),
            }),
        };
        let entries: Vec<_> = dispatch.bindings.iter().map(entry).collect();
        self.context.device.create_bind_group(&wgpu::BindGroupDescriptor {
            label: None,
            layout,
            entries: &entries,
        })
    }

    pub fn plan(&self) -> &Plan {
        &self.plan
    }

    pub fn read_async(&self, value: Value) -> Result<impl Future<Output = Result<Vec<u8>>> + use<>> {
        self.staging.read(&self.context, &[self.locate(value)?])
    }

    /// Where a value's own bytes are.
    pub fn locate(&self, value: Value) -> Result<BufferRange<'_>> {
        let planned = self.plan.value(value).ok_or_else(|| self.tape.unknown_value(value))?;
        let bytes = self.tape.recording().ty(value).bytes();
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
            self.to_f64(value, own)
        };
        Ok(ranges.iter().zip(values).map(&mut part).collect())
    }

    /// Bytes of a value as numbers.
    fn to_f64(&self, value: Value, bytes: &[u8]) -> Vec<f64> {
        match self.tape.recording().ty(value).dtype {
            DType::F32 => bytemuck::pod_collect_to_vec::<u8, f32>(bytes).into_iter().map(f64::from).collect(),
            DType::U32 => bytemuck::pod_collect_to_vec::<u8, u32>(bytes).into_iter().map(f64::from).collect(),
        }
    }

    /// Records a step into a chain, and moves on to the next.
    pub fn record_step(&self, scalars: &mut ScalarTable, chain: &mut GpuChain) -> Result<()> {
        let pass = chain.pass(self.commands.len(), DISPATCHES_PER_SUBMIT)?;
        self.encode(pass, self.commands.iter(), scalars);
        scalars.advance();
        Ok(())
    }

    fn encode<'a>(
        &'a self,
        pass: &mut wgpu::ComputePass<'_>,
        commands: impl Iterator<Item = &'a Command>,
        scalars: &ScalarTable,
    ) {
        let (mut pipeline, mut group) = (usize::MAX, usize::MAX);
        for command in commands {
            if command.pipeline != pipeline {
                pipeline = command.pipeline;
                pass.set_pipeline(&self.pipelines[pipeline]);
            }
            if command.bind_group != group {
                group = command.bind_group;
                pass.set_bind_group(0, &self.bind_groups[group], &[]);
            }
            if command.scalars.is_empty() {
                if !command.params.is_empty() {
                    pass.set_immediates(0, &command.params);
                }
            } else {
                let mut params = [0; 128];
                let params = &mut params[..command.params.len()];
                params.copy_from_slice(&command.params);
                for &(offset, scalar) in &command.scalars {
                    params[offset..offset + 4].copy_from_slice(&scalars.bytes(scalar));
                }
                pass.set_immediates(0, params);
            }
            let [x, y, z] = command.groups;
            pass.dispatch_workgroups(x, y, z);
        }
    }

    /// Fills every result buffer and all guards with NaNs.
    pub fn poison(&self) {
        for (buffer, plan) in self.buffers.iter().zip(&self.plan.buffers) {
            let start = if plan.role == BufferRole::Transient { 0 } else { plan.bytes };
            let words = (plan.bytes + self.guard - start) / 4;
            if words > 0 {
                let poison = vec![POISON; words as usize];
                self.context.queue.write_buffer(buffer, start, bytemuck::cast_slice(&poison));
            }
        }
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
        let raw = |c: &Command| RawDispatch {
            pipeline: self.pipelines[c.pipeline].clone(),
            bind_group: self.bind_groups[c.bind_group].clone(),
            params: c.params.clone(),
            groups: c.groups,
        };
        self.commands.iter().map(raw).collect()
    }

    pub fn write(&mut self, value: Value, bytes: &[u8]) -> Result<()> {
        // A value that no operator of this tape uses has no buffer.
        if let Ok(range) = self.locate(value) {
            self.context.queue.write_buffer(range.buffer, range.offset, bytes);
        }
        self.context.check()
    }

    pub fn read(&self, value: Value) -> Result<Vec<u8>> {
        self.read_range(self.locate(value)?)
    }

    pub fn restore(&mut self, value: Value, data: &[f64]) -> Result<()> {
        match self.tape.recording().ty(value).dtype {
            DType::F32 => {
                let data: Vec<f32> = data.iter().map(|&v| v as f32).collect();
                self.write(value, bytemuck::cast_slice(&data))
            }
            DType::U32 => {
                let data: Vec<u32> = data.iter().map(|&v| v as u32).collect();
                self.write(value, bytemuck::cast_slice(&data))
            }
        }
    }

    pub fn replay(&mut self, scalars: &mut ScalarTable, steps: usize) -> Result<()> {
        let mut chain = GpuChain::new(self.context.clone());
        for _ in 0..steps {
            self.record_step(scalars, &mut chain)?;
        }
        chain.submit()
    }

    pub fn run_op(&mut self, op: usize, scalars: &ScalarTable) -> Result<()> {
        let mut encoder = self.context.device.create_command_encoder(&Default::default());
        {
            let mut pass = encoder.begin_compute_pass(&Default::default());
            self.encode(&mut pass, self.commands.iter().filter(|c| c.op == op), scalars);
        }
        self.context.queue.submit([encoder.finish()]);
        self.context.check_submitted()
    }
}

fn make_buffer(device: &wgpu::Device, size: u64, role: BufferRole) -> wgpu::Buffer {
    device.create_buffer(&wgpu::BufferDescriptor {
        label: Some(match role {
            BufferRole::Input => "input",
            BufferRole::Parameter => "parameter",
            BufferRole::State => "state",
            BufferRole::Constant => "constant",
            BufferRole::Transient => "results",
        }),
        size,
        usage: wgpu::BufferUsages::STORAGE | wgpu::BufferUsages::COPY_SRC | wgpu::BufferUsages::COPY_DST,
        mapped_at_creation: false,
    })
}
