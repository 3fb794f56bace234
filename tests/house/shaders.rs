//! Every shader, without a GPU: it parses, validates, and translates for Vulkan, Metal and DX12,
//! so that a kernel another platform would refuse fails here.

use naga::back::{hlsl, msl, pipeline_constants::process_overrides, spv};
use naga::{ShaderStage, valid};
use retape::kernel::Shader;
use retape::shaders;

/// What is appended to other shaders: the prelude to all, the others to some.
const SHARED: [&str; 10] = [
    "elementwise.wgsl",
    "finish.wgsl",
    "gemm.wgsl",
    "norm_shared.wgsl",
    "prelude.wgsl",
    "recurrent.wgsl",
    "recurrent_lanes.wgsl",
    "recurrent_plain.wgsl",
    "recurrent_steps.wgsl",
    "workgroup.wgsl",
];

/// Each shader in `shaders/` belongs to one of the built-in list, the shared parts aside.
#[test]
fn every_file_is_a_registered_shader() {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/shaders");
    let files = std::fs::read_dir(folder).expect("the folder of shaders exists");
    let mut files: Vec<String> = files
        .map(|f| f.expect("a readable entry").file_name().into_string().expect("a plain name"))
        .filter(|f| !SHARED.contains(&f.as_str()))
        .collect();
    files.sort();
    let mut known: Vec<String> = shaders().iter().map(|s| format!("{}.wgsl", s.name())).collect();
    known.sort();
    // A source may be combined with either of two shared ones.
    known.dedup();
    assert_eq!(files, known);
}

#[test]
fn every_entry_point_translates_for_every_platform() {
    for shader in shaders() {
        for entry in shader.entries().unwrap_or_else(|e| panic!("{e}")) {
            translate(shader, &entry);
        }
    }
}

fn translate(shader: &Shader, entry: &str) {
    let name = format!("{}:{entry}", shader.name());
    let (module, info) = retape::testing::module(shader).unwrap_or_else(|e| panic!("{e}"));
    let stage = (ShaderStage::Compute, entry);
    let constants = Default::default();
    let (module, info) =
        process_overrides(module, info, Some(stage), &constants).unwrap_or_else(|e| panic!("{name}: {e}"));
    to_spirv(&name, entry, &module, &info);
    to_msl(&name, entry, &module, &info);
    to_hlsl(&name, entry, &module, &info);
}

fn to_spirv(name: &str, entry: &str, module: &naga::Module, info: &valid::ModuleInfo) {
    let pipeline = spv::PipelineOptions { shader_stage: ShaderStage::Compute, entry_point: entry.to_owned() };
    let options = spv::Options { lang_version: (1, 3), ..Default::default() };
    let words = spv::write_vec(module, info, &options, Some(&pipeline))
        .unwrap_or_else(|e| panic!("{name}: SPIR-V: {e}"));
    assert_eq!(words[0], 0x0723_0203, "{name}: not SPIR-V");
}

fn to_msl(name: &str, entry: &str, module: &naga::Module, info: &valid::ModuleInfo) {
    let mut resources = msl::EntryPointResources { sizes_buffer: Some(30), ..Default::default() };
    resources.immediates_buffer = Some(29);
    for (_, global) in module.global_variables.iter() {
        if let Some(binding) = global.binding {
            let target =
                msl::BindTarget { buffer: Some(binding.binding as u8), mutable: true, ..Default::default() };
            resources.resources.insert(binding, target);
        }
    }
    let options = msl::Options {
        lang_version: (2, 4),
        per_entry_point_map: [(entry.to_owned(), resources)].into_iter().collect(),
        fake_missing_bindings: false,
        ..Default::default()
    };
    let pipeline = msl::PipelineOptions {
        entry_point: Some((ShaderStage::Compute, entry.to_owned())),
        ..Default::default()
    };
    let (source, translated) =
        msl::write_string(module, info, &options, &pipeline).unwrap_or_else(|e| panic!("{name}: MSL: {e}"));
    let renamed = translated.entry_point_names.iter().all(Result::is_ok);
    assert!(renamed && source.contains("kernel void"), "{name}: MSL without its entry point");
}

fn to_hlsl(name: &str, entry: &str, module: &naga::Module, info: &valid::ModuleInfo) {
    let mut options = hlsl::Options { shader_model: hlsl::ShaderModel::V6_0, ..Default::default() };
    options.fake_missing_bindings = true;
    options.immediates_target = Some(hlsl::BindTarget { space: 15, ..Default::default() });
    let pipeline = hlsl::PipelineOptions { entry_point: Some((ShaderStage::Compute, entry.to_owned())) };
    let mut source = String::new();
    let mut writer = hlsl::Writer::new(&mut source, &options, &pipeline);
    let translated = writer.write(module, info, None).unwrap_or_else(|e| panic!("{name}: HLSL: {e}"));
    assert!(translated.entry_point_names.iter().all(Result::is_ok), "{name}: HLSL without its entry point");
    assert!(source.contains("[numthreads("), "{name}: HLSL without a compute entry");
}

/// Reflection finds what the WGSL says: the layouts that bind groups and parameter blocks are
/// checked against when a plan is made.
#[test]
fn reflection_reports_bindings_parameters_and_sizes() {
    use retape::kernel::Access;
    static SHADER: Shader = Shader::new(
        "probe",
        "
        override SIZE: u32 = 8u;
        struct P { n: u32, scale: vec2<f32> }
        @group(0) @binding(3) var<storage, read_write> y: array<f32>;
        @group(0) @binding(1) var<storage, read> x: array<f32>;
        @group(0) @binding(2) var<storage, read> unused: array<f32>;
        var<workgroup> tile: array<f32, SIZE * 4>;
        var<immediate> p: P;
        @compute @workgroup_size(SIZE, 2)
        fn main(@builtin(local_invocation_index) i: u32) {
            tile[i] = x[i] * p.scale.x;
            workgroupBarrier();
            if i < p.n { y[i] = tile[i]; }
        }
        ",
    );
    let main = SHADER.entry("main", &[("SIZE", 16.0)]).expect("it reflects");
    assert_eq!(main.workgroup_size, [16, 2, 1]);
    assert_eq!(main.workgroup_bytes, 256);
    assert_eq!(main.bindings, [(1, Access::Read), (3, Access::ReadWrite)]);
    assert_eq!(main.params, [("n".to_owned(), 0, 4), ("scale".to_owned(), 8, 8)]);
    assert!(SHADER.entry("absent", &[]).is_err());
    assert!(SHADER.entry("main", &[("WRONG", 1.0)]).is_err());
}

#[test]
fn a_broken_shader_is_reported_with_its_line() {
    static BROKEN: Shader = Shader::new("broken", "\n\nfn f() -> u32 { return 1.5f; }\n");
    let message = BROKEN.entries().expect_err("it is broken").to_string();
    assert!(message.contains("broken:3:"), "{message}");
}
