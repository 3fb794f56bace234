//! Every operator's kernels, forward and backward, against the f64 reference on poisoned and
//! guarded buffers, under the plans for both kinds of device.

mod common;

use std::collections::BTreeSet;

use common::cases;
use retape::tape::DeviceKind;

#[test]
fn kernels_agree_with_their_references() {
    let device = common::gpu();
    for case in cases::all() {
        case.check_kernels(device, DeviceKind::Cpu);
    }
}

#[test]
fn kernels_for_gpus_agree_with_their_references() {
    let device = common::gpu();
    for case in cases::all() {
        case.check_kernels(device, DeviceKind::Gpu);
    }
}

/// The routes by thread and by workgroup are chosen by shape and kind; the cases reach them all.
#[test]
fn the_cases_reach_every_entry_point_of_the_row_kernels() {
    let device = common::gpu();
    let mut reached = BTreeSet::new();
    for case in cases::all() {
        let recorded = case.record().expect("the case records");
        for kind in [DeviceKind::Cpu, DeviceKind::Gpu] {
            let plan = case.plan(&recorded.tape, device, kind);
            reached.extend(plan.dispatches.iter().map(|d| (d.shader.name(), d.entry.to_owned())));
        }
    }
    for shader in retape::ops::shaders() {
        if !["reduce", "gather", "softmax", "loss"].contains(&shader.name()) {
            continue;
        }
        for entry in shader.entries().expect("the shader parses") {
            assert!(reached.contains(&(shader.name(), entry.clone())), "{}: {entry}", shader.name());
        }
    }
}
