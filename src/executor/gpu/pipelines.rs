use std::borrow::Cow;
use std::collections::{HashMap, HashSet};
use std::sync::{MutexGuard, PoisonError};

use rayon::prelude::*;

use super::context::GpuContext;
use crate::error::Result;
use crate::kernel::Access;
use crate::tape::{Dispatch, Plan};

type LayoutKey = Vec<(u32, Access)>;
/// A shader's address, its entry point, the bits of its constants and its bindings of half precision.
type PipelineKey = (usize, &'static str, Vec<(&'static str, u64)>, Vec<u32>);

/// The layout of a pipeline and that of its bind group.
#[derive(Clone)]
pub(crate) struct Layouts {
    groups: wgpu::BindGroupLayout,
    pipeline: wgpu::PipelineLayout,
}

/// Compiled kernels and their layouts, shared by all sessions of a device. Layouts are few: one
/// per pattern of bindings, so that switching between most kernels rebinds nothing.
#[derive(Default)]
pub(crate) struct Pipelines {
    layouts: HashMap<LayoutKey, Layouts>,
    pipelines: HashMap<PipelineKey, wgpu::ComputePipeline>,
}

/// What tells the pipeline of a dispatch from others.
fn key_of(dispatch: &Dispatch) -> PipelineKey {
    let identity = std::ptr::from_ref(dispatch.shader).addr();
    let constants = dispatch.constants.iter().map(|&(name, value)| (name, value.to_bits())).collect();
    (identity, dispatch.entry, constants, dispatch.halves())
}

impl GpuContext {
    /// How many kernels of a plan have not been compiled.
    pub fn kernels_to_compile(&self, plan: &Plan) -> usize {
        self.missing(plan).len()
    }

    /// A dispatch of each kernel of a plan that has not been compiled, in the plan's order.
    fn missing<'p>(&self, plan: &'p Plan) -> Vec<&'p Dispatch> {
        let Pipelines { pipelines, .. } = &*self.made();
        let mut seen = HashSet::new();
        let mut is_new = |key: PipelineKey| !pipelines.contains_key(&key) && seen.insert(key);
        plan.dispatches.iter().filter(|dispatch| is_new(key_of(dispatch))).collect()
    }

    /// Compiles everything anew from here on.
    pub fn forget_pipelines(&self) {
        *self.made() = Pipelines::default();
    }

    fn made(&self) -> MutexGuard<'_, Pipelines> {
        self.pipelines.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Compiles the kernels of a plan that have not been, side by side: they are most of what the start of a
    /// session takes. Says how many they were. Those that can be made are kept; of the others, the first in the
    /// plan's order is the error.
    pub fn compile(&self, plan: &Plan) -> Result<usize> {
        let missing = self.missing(plan);
        if missing.is_empty() {
            return Ok(0);
        }
        let made: Vec<Result<_>> = missing.into_par_iter().map(|dispatch| self.pipeline(dispatch)).collect();
        self.kernel_cache.save();
        made.into_iter().try_fold(0, |count, made| made.map(|_| count + 1))
    }

    /// The pipeline of a dispatch and the layout of its bind group.
    pub fn pipeline(&self, dispatch: &Dispatch) -> Result<(wgpu::ComputePipeline, wgpu::BindGroupLayout)> {
        let layouts = self.layouts(&dispatch.reflected.bindings)?;
        let key = key_of(dispatch);
        if let Some(known) = self.made().pipelines.get(&key) {
            return Ok((known.clone(), layouts.groups));
        }
        // No lock is held meanwhile. Scopes of wgpu's errors belong to their thread.
        let pipeline = self.scoped(0, || self.make_pipeline(dispatch, &layouts.pipeline))??;
        Ok((self.made().pipelines.entry(key).or_insert(pipeline).clone(), layouts.groups))
    }

    /// The layouts for a pattern of bindings, of which there is one pair.
    fn layouts(&self, pattern: &LayoutKey) -> Result<Layouts> {
        if let Some(known) = self.made().layouts.get(pattern) {
            return Ok(known.clone());
        }
        let layouts = self.scoped(0, || make_layouts(self, pattern))?;
        Ok(self.made().layouts.entry(pattern.clone()).or_insert(layouts).clone())
    }

    /// Called where errors are [caught](GpuContext::scoped).
    fn make_pipeline(
        &self,
        dispatch: &Dispatch,
        layout: &wgpu::PipelineLayout,
    ) -> Result<wgpu::ComputePipeline> {
        let module = make_module(&self.device, dispatch)?;
        Ok(self.device.create_compute_pipeline(&wgpu::ComputePipelineDescriptor {
            label: Some(dispatch.shader.name()),
            layout: Some(layout),
            module: &module,
            entry_point: Some(dispatch.entry),
            compilation_options: wgpu::PipelineCompilationOptions {
                constants: &[],
                // Our kernels write their workgroup memory before they read it.
                zero_initialize_workgroup_memory: is_checked(dispatch),
            },
            cache: self.kernel_cache.get(),
        }))
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
    let module = dispatch.shader.specialise(dispatch.entry, &dispatch.constants, &dispatch.halves())?;
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

fn make_layouts(GpuContext { device, profile, .. }: &GpuContext, pattern: &[(u32, Access)]) -> Layouts {
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
    let pipeline = device.create_pipeline_layout(&wgpu::PipelineLayoutDescriptor {
        label: None,
        bind_group_layouts: &[Some(&groups)],
        immediate_size: profile.max_param_bytes,
    });
    Layouts { groups, pipeline }
}
