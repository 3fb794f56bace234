//! The distinct dispatches of training steps, and what a compiler makes of each.

use std::collections::BTreeMap;

use naga::back::spv;
use naga::proc::{BoundsCheckPolicies, BoundsCheckPolicy};
use naga::valid::{Capabilities, ShaderStages, SubgroupOperationSet, ValidationFlags, Validator};
use retape::kernel::Shader;
use retape::tape::{DeviceProfile, Dispatch};

use crate::steps;

/// An entry point with its constants.
#[derive(Clone, Debug)]
pub struct Kernel {
    pub shader: &'static Shader,
    pub entry: &'static str,
    pub constants: Vec<(&'static str, f64)>,
    /// The bindings of half precision.
    pub halves: Vec<u32>,
}

impl Kernel {
    fn of(dispatch: &Dispatch) -> Kernel {
        let Dispatch { shader, entry, constants, .. } = dispatch;
        Kernel { shader, entry, constants: constants.clone(), halves: dispatch.halves() }
    }

    /// Shader, entry point, the constants that are not zero, and the bindings of half precision.
    pub fn name(&self) -> String {
        let set: Vec<_> = self
            .constants
            .iter()
            .filter(|(_, value)| *value != 0.0)
            .map(|(name, value)| format!("{name}={value}"))
            .collect();
        let halves: Vec<_> = self.halves.iter().map(|binding| format!("f16@{binding}")).collect();
        let all = [set, halves].concat().join(" ");
        format!("{}:{} {all}", self.shader.name(), self.entry).trim_end().to_owned()
    }

    /// SPIR-V, as wgpu makes it of a kernel without run-time checks.
    pub fn words(&self) -> Vec<u32> {
        let name = self.name();
        let module = retape::testing::specialise(self.shader, self.entry, &self.constants, &self.halves)
            .unwrap_or_else(|e| panic!("{name}: {e}"));
        let info = Validator::new(ValidationFlags::all(), Capabilities::all())
            .subgroup_stages(ShaderStages::COMPUTE)
            .subgroup_operations(SubgroupOperationSet::all())
            .validate(&module)
            .unwrap_or_else(|e| panic!("{name}: {e}"));
        let unchecked = BoundsCheckPolicy::Unchecked;
        let options = spv::Options {
            lang_version: (1, 6),
            flags: spv::WriterFlags::LABEL_VARYINGS,
            bounds_check_policies: BoundsCheckPolicies {
                index: unchecked,
                buffer: unchecked,
                image_load: unchecked,
                binding_array: unchecked,
            },
            zero_initialize_workgroup_memory: spv::ZeroInitializeWorkgroupMemoryMode::None,
            force_loop_bounding: false,
            emit_int_div_checks: false,
            ..Default::default()
        };
        let pipeline = spv::PipelineOptions {
            shader_stage: naga::ShaderStage::Compute,
            entry_point: self.entry.to_owned(),
        };
        spv::write_vec(&module, &info, &options, Some(&pipeline)).unwrap_or_else(|e| panic!("{name}: {e}"))
    }
}

/// The kernels of all steps on a discrete GPU, by name.
pub fn all() -> BTreeMap<String, Kernel> {
    let profile = discrete();
    let mut found = BTreeMap::new();
    for (_, tape) in steps::all() {
        let plan = tape.fuse(&profile).plan(&profile).expect("the step fits a discrete GPU");
        for dispatch in &plan.dispatches {
            let kernel = Kernel::of(dispatch);
            found.entry(kernel.name()).or_insert(kernel);
        }
    }
    found
}

/// What a discrete GPU has, without promises that only some keep.
pub fn discrete() -> DeviceProfile {
    DeviceProfile {
        name: "discrete".to_owned(),
        max_binding_bytes: (1 << 31) - 4,
        max_buffer_bytes: 1 << 32,
        max_workgroup_bytes: 32 << 10,
        f16: true,
        ..DeviceProfile::baseline()
    }
}
