use std::borrow::Cow;
use std::collections::{HashMap, HashSet};
use std::sync::PoisonError;

use super::context::GpuContext;
use crate::error::Result;
use crate::kernel::Access;
use crate::tape::{Dispatch, Plan};

type LayoutKey = Vec<(u32, Access)>;
/// A shader's address, its entry point and the bits of its constants.
type PipelineKey = (usize, &'static str, Vec<(&'static str, u64)>);

/// Compiled kernels and their layouts, shared by all sessions of a device. Layouts are few: one
/// per pattern of bindings, so that switching between most kernels rebinds nothing.
#[derive(Default)]
pub(crate) struct PipelineCache {
    layouts: HashMap<LayoutKey, (wgpu::BindGroupLayout, wgpu::PipelineLayout)>,
    pipelines: HashMap<PipelineKey, wgpu::ComputePipeline>,
}

/// What tells the pipeline of a dispatch from others.
fn key_of(dispatch: &Dispatch) -> PipelineKey {
    let identity = std::ptr::from_ref(dispatch.shader).addr();
    let constants = dispatch.constants.iter().map(|&(name, value)| (name, value.to_bits())).collect();
    (identity, dispatch.entry, constants)
}

impl GpuContext {
    /// How many kernels of a plan have not been compiled.
    pub fn kernels_to_compile(&self, plan: &Plan) -> usize {
        let cache = self.pipelines.lock().unwrap_or_else(PoisonError::into_inner);
        let keys: HashSet<PipelineKey> = plan.dispatches.iter().map(key_of).collect();
        keys.iter().filter(|key| !cache.pipelines.contains_key(*key)).count()
    }

    /// Compiles everything anew from here on.
    pub fn forget_pipelines(&self) {
        *self.pipelines.lock().unwrap_or_else(PoisonError::into_inner) = PipelineCache::default();
    }

    /// The pipeline of a dispatch and the layout of its bind group.
    pub fn pipeline(&self, dispatch: &Dispatch) -> Result<(wgpu::ComputePipeline, wgpu::BindGroupLayout)> {
        let mut cache = self.pipelines.lock().unwrap_or_else(PoisonError::into_inner);
        let PipelineCache { layouts, pipelines } = &mut *cache;
        let pattern = &dispatch.reflected.bindings;
        let (groups, layout) = layouts.entry(pattern.clone()).or_insert_with(|| make_layout(self, pattern));
        let key = key_of(dispatch);
        if let Some(known) = pipelines.get(&key) {
            return Ok((known.clone(), groups.clone()));
        }
        let module = make_module(&self.device, dispatch)?;
        let pipeline = self.device.create_compute_pipeline(&wgpu::ComputePipelineDescriptor {
            label: Some(dispatch.shader.name()),
            layout: Some(layout),
            module: &module,
            entry_point: Some(dispatch.entry),
            compilation_options: wgpu::PipelineCompilationOptions {
                constants: &[],
                // Our kernels write their workgroup memory before they read it.
                zero_initialize_workgroup_memory: is_checked(dispatch),
            },
            cache: None,
        });
        pipelines.insert(key, pipeline.clone());
        Ok((pipeline, groups.clone()))
    }
}

/// Whether a kernel runs under wgpu's bounds checks, loop bounding and zeroing: because nobody
/// vouches for it, or because `RETAPE_CHECKED=1` asks for them.
fn is_checked(dispatch: &Dispatch) -> bool {
    let asked = std::env::var("RETAPE_CHECKED").is_ok_and(|v| !v.is_empty() && v != "0");
    asked || !dispatch.shader.unchecked
}

/// A module of the one entry point, with its constants put in: a device then never sees kernels
/// that need features it lacks.
fn make_module(device: &wgpu::Device, dispatch: &Dispatch) -> Result<wgpu::ShaderModule> {
    let module = dispatch.shader.specialise(dispatch.entry, &dispatch.constants)?;
    let descriptor = wgpu::ShaderModuleDescriptor {
        label: Some(dispatch.shader.name()),
        source: wgpu::ShaderSource::Naga(Cow::Owned(module)),
    };
    Ok(if is_checked(dispatch) {
        device.create_shader_module(descriptor)
    } else {
        // SAFETY: the module passed naga's validation, and its author vouched for its indices and
        // loops with `Shader::new_unchecked`.
        unsafe { device.create_shader_module_trusted(descriptor, wgpu::ShaderRuntimeChecks::unchecked()) }
    })
}

fn make_layout(
    GpuContext { device, profile, .. }: &GpuContext,
    pattern: &[(u32, Access)],
) -> (wgpu::BindGroupLayout, wgpu::PipelineLayout) {
    let entry = |&(binding, access): &(u32, Access)| wgpu::BindGroupLayoutEntry {
        binding,
        visibility: wgpu::ShaderStages::COMPUTE,
        ty: wgpu::BindingType::Buffer {
            ty: wgpu::BufferBindingType::Storage { read_only: access == Access::Read },
            has_dynamic_offset: false,
            min_binding_size: None,
        },
        count: None,
    };
    let entries: Vec<_> = pattern.iter().map(entry).collect();
    let groups =
        device.create_bind_group_layout(&wgpu::BindGroupLayoutDescriptor { label: None, entries: &entries });
    let layout = device.create_pipeline_layout(&wgpu::PipelineLayoutDescriptor {
        label: None,
        bind_group_layouts: &[Some(&groups)],
        immediate_size: profile.max_param_bytes,
    });
    (groups, layout)
}
