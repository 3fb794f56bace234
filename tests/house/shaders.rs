//! Every shader, without a GPU: it parses, validates, and translates for Vulkan, Metal and DX12,
//! so that a kernel another platform would refuse fails here.

use std::collections::BTreeSet;

use naga::back::{hlsl, msl, pipeline_constants::process_overrides, spv};
use naga::{ShaderStage, valid};
use retape::kernel::Shader;
use retape::ops::{Binary, Unary};
use retape::prelude::*;
use retape::shaders;
use retape::tape::{DeviceKind, DeviceProfile, Dispatch};
use retape::testing::specialise;

/// What is appended to other shaders: the prelude to all, the others to some.
const SHARED: [&str; 18] = [
    "column_sums.wgsl",
    "elementwise.wgsl",
    "finish.wgsl",
    "gemm.wgsl",
    "tiles.wgsl",
    "limit.wgsl",
    "limited_gradient.wgsl",
    "no_sums.wgsl",
    "norm_grad.wgsl",
    "norm_shared.wgsl",
    "prelude.wgsl",
    "recurrent.wgsl",
    "recurrent_lanes.wgsl",
    "recurrent_plain.wgsl",
    "recurrent_steps.wgsl",
    "two_sum.wgsl",
    "whole_gradient.wgsl",
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

/// So do the kernels that are put together when a tape is fused: chains of every function and derivative,
/// with operands stretched in every way, by themselves and at the end of every kind of product.
#[test]
fn fused_kernels_translate_for_every_platform() {
    let known: Vec<_> = shaders().iter().map(|shader| std::ptr::from_ref(*shader)).collect();
    let mut found = BTreeSet::new();
    for tape in [chains(), finished_products(), finished_others()] {
        for kind in [DeviceKind::Gpu, DeviceKind::Cpu] {
            for subgroups in [None, Some((8, 8))] {
                let profile = DeviceProfile { kind, subgroups, ..DeviceProfile::baseline() };
                let plan = tape.fuse(&profile).plan(&profile).unwrap();
                for dispatch in
                    plan.dispatches.iter().filter(|d| !known.contains(&std::ptr::from_ref(d.shader)))
                {
                    translate(dispatch.shader, dispatch.entry);
                    found.insert(format!("{}:{}", dispatch.shader.name(), dispatch.entry));
                }
            }
        }
    }
    let products = ["naive", "tiles_teams", "join", "forward", "image"];
    let others =
        ["tree", "apply_apart", "apply_parts", "lanes", "infer", "max_cells", "max_gather", "sum_gather"];
    let entries = [&products[..], &others].concat();
    let missing =
        entries.iter().filter(|&&entry| !found.iter().any(|name| name.ends_with(&format!(":{entry}"))));
    assert_eq!(missing.count(), 0, "{found:?}");
    assert!(found.iter().filter(|name| name.starts_with("chain")).count() > 10, "{found:?}");
}

/// And all kernels of steps in half precision, whose modules are those of f32 with narrower buffers.
#[test]
fn kernels_on_half_precision_translate_for_every_platform() {
    let mut found = BTreeSet::new();
    let tapes = in_half();
    for kind in [DeviceKind::Gpu, DeviceKind::Cpu] {
        let profile = DeviceProfile { kind, f16: true, subgroups: Some((8, 8)), ..DeviceProfile::baseline() };
        let fused = tapes.iter().map(|tape| tape.fuse(&profile));
        let plans = fused.chain(tapes.iter().cloned()).map(|tape| tape.plan(&profile).unwrap());
        let all: Vec<Dispatch> = plans.flat_map(|plan| plan.dispatches).collect();
        for dispatch in all.iter().filter(|dispatch| !dispatch.halves().is_empty()) {
            let (shader, entry) = (dispatch.shader, dispatch.entry);
            let name = format!("{}:{entry}, f16", shader.name());
            let module = specialise(shader, entry, &dispatch.constants, &dispatch.halves()).unwrap();
            let info = valid::Validator::new(valid::ValidationFlags::all(), valid::Capabilities::all())
                .subgroup_stages(valid::ShaderStages::COMPUTE)
                .subgroup_operations(valid::SubgroupOperationSet::all())
                .validate(&module)
                .unwrap_or_else(|e| panic!("{name}: {e:?}"));
            to_spirv(&name, entry, &module, &info);
            to_msl(&name, entry, &module, &info);
            to_hlsl(&name, entry, &module, &info);
            found.insert(name);
        }
    }
    assert!(found.len() > 25, "{found:?}");
}

/// A training step with most of the operators that take half precision, and one whose result is an index.
fn in_half() -> [Tape; 2] {
    let mut g = Graph::new();
    let x = g.input("x", [4, 8, 13, 13]);
    let [w, v] = [("w", 8), ("v", 1)].map(|(w, c)| g.parameter(w, [8, c, 3, 3], Init::Ones));
    let [scale, shift] = ["scale", "shift"].map(|name| g.parameter(name, [8], Init::Ones));
    let u = g.parameter("u", [8 * 6 * 6, 40], Init::Ones);
    let x = g.cast(x, DType::F16).unwrap();
    let y = g.conv2d(x, w, None, ConvOptions::new().padding(Padding::Same)).unwrap();
    let y = g.relu(g.batch_norm(y, scale, shift, 1e-5).unwrap().y()).unwrap();
    let y = g.conv2d(y, v, None, ConvOptions::new().padding(Padding::Same).groups(8)).unwrap();
    let y = g.max_pool2d(g.gelu(y).unwrap(), PoolOptions::new([2, 2])).unwrap();
    let y = g.softmax(g.matmul(g.flatten(y).unwrap(), u).unwrap(), 1).unwrap();
    let words = g.argmax(y, 1).unwrap();
    let turned = g.transpose(y, &[1, 0]).unwrap();
    let padded = g.pad(y, &[(0, 36), (0, 0)], 0.0).unwrap();
    let moved = g.concat(&[turned, g.slice_axis(padded, 1, 0..4).unwrap()], 0).unwrap();
    let loss = g.mean(g.square(moved).unwrap(), &[], false).unwrap();
    [g.training_step(loss, &Sgd::new(0.1)).unwrap(), g.forward([words]).unwrap()]
}

/// Every function of one and two operands, a few to a chain, with derivatives.
fn chains() -> Tape {
    let mut g = Graph::new();
    let x = g.input("x", [2, 3, 4, 4]);
    let others = [vec![4], vec![3, 1, 1], vec![3, 4, 1], vec![], vec![2, 3, 4, 4]];
    let others: Vec<Value> =
        (0..).zip(others).map(|(i, dims)| g.input(&format!("x{i}"), Shape::new(&dims).unwrap())).collect();
    let mut kept = Vec::new();
    for kind in Unary::ALL {
        let parameters: Vec<f32> = kind.parameters().iter().map(|p| p.1).collect();
        let y = g.unary(*kind, g.mul(x, others[kept.len() % others.len()]).unwrap(), &parameters).unwrap();
        kept.extend(g.differentiate(g.sum(g.square(y).unwrap(), &[], false).unwrap(), &[x]).unwrap());
        kept.push(y);
    }
    for kind in Binary::ALL {
        let y = g.binary(*kind, g.neg(x).unwrap(), others[kept.len() % others.len()]).unwrap();
        kept.push(g.select(y, x, others[0]).unwrap());
    }
    g.forward(kept).unwrap()
}

/// Products of all kinds with a bias, an activation and its derivative.
fn finished_products() -> Tape {
    let mut g = Graph::new();
    let mut losses = Vec::new();
    for (name, [m, k, n]) in [("small", [3, 2, 4]), ("large", [64, 4096, 48]), ("wide", [512, 64, 520])] {
        let x = g.input(&format!("{name}.x"), [m, k]);
        let [w, v] =
            [("w", k), ("v", n)].map(|(w, rows)| g.parameter(&format!("{name}.{w}"), [rows, n], Init::Ones));
        let b = g.parameter(&format!("{name}.b"), [n], Init::Ones);
        let hidden = g.gelu(g.add(g.matmul(x, w).unwrap(), b).unwrap()).unwrap();
        losses.push(g.mean(g.square(g.matmul(hidden, v).unwrap()).unwrap(), &[], false).unwrap());
    }
    for (name, groups, channels) in [("whole", 1, 8), ("depthwise", 8, 8)] {
        let x = g.input(&format!("{name}.x"), [2, channels, 9, 9]);
        let [w, v] = ["w", "v"]
            .map(|w| g.parameter(&format!("{name}.{w}"), [channels, channels / groups, 3, 3], Init::Ones));
        let b = g.parameter(&format!("{name}.b"), [channels, 1, 1], Init::Ones);
        let options = ConvOptions::new().padding(Padding::Same).groups(groups);
        let hidden = g.tanh(g.add(g.conv2d(x, w, None, options).unwrap(), b).unwrap()).unwrap();
        let y = g.add(g.conv2d(hidden, v, None, options).unwrap(), hidden).unwrap();
        losses.push(g.mean(g.square(y).unwrap(), &[], false).unwrap());
    }
    g.training_step(losses, &Sgd::new(0.1)).unwrap()
}

/// Normalisation and pooling with activations, derivatives and residuals.
fn finished_others() -> Tape {
    let mut g = Graph::new();
    let mut losses = Vec::new();
    for (name, dims) in [("long", [4, 3, 64, 64]), ("short", [64, 200, 2, 2])] {
        let x = g.input(&format!("{name}.x"), dims);
        let channels = dims[1];
        let [scale, shift] =
            ["scale", "shift"].map(|w| g.parameter(&format!("{name}.{w}"), [channels], Init::Ones));
        let y = g.batch_norm(x, scale, shift, 1e-5).unwrap().y();
        let y = g.relu(g.add(y, x).unwrap()).unwrap();
        let [mean, variance] = ["mean", "variance"].map(|w| g.input(&format!("{name}.{w}"), [channels]));
        let given = g.batch_norm_inference(x, scale, shift, mean, variance, 1e-5).unwrap();
        losses.push(g.mean(g.relu(given).unwrap(), &[], false).unwrap());
        for stride in [1, 2] {
            let options = PoolOptions::new([2, 2]).stride([stride; 2]);
            let [most, mean] =
                [g.max_pool2d(g.tanh(y).unwrap(), options), g.avg_pool2d(g.swish(y).unwrap(), options)];
            losses.extend([most, mean].map(|p| g.mean(g.square(p.unwrap()).unwrap(), &[], false).unwrap()));
        }
    }
    g.training_step(losses, &Sgd::new(0.1)).unwrap()
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
    let mut options = hlsl::Options { shader_model: hlsl::ShaderModel::V6_2, ..Default::default() };
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
