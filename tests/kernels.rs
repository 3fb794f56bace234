//! Every operator's kernels, forward and backward, against the f64 reference on poisoned and
//! guarded buffers, under the plans for both kinds of device.

mod common;

use std::collections::BTreeSet;
use std::panic::{AssertUnwindSafe, catch_unwind};

use common::{Case, cases};
use retape::Device;
use retape::tape::DeviceKind;

fn check_all(device: &Device, kind: DeviceKind) {
    let fails = |case: &Case| catch_unwind(AssertUnwindSafe(|| case.check_kernels(device, kind))).is_err();
    let failed: Vec<String> = cases::all().into_iter().filter(fails).map(|c| c.name).collect();
    assert!(failed.is_empty(), "{} cases failed: {failed:#?}", failed.len());
}

#[test]
fn kernels_for_software_drivers_agree_with_their_references() {
    check_all(&common::open_gpu(), DeviceKind::Cpu);
}

#[test]
fn kernels_for_gpus_agree_with_their_references() {
    check_all(&common::open_gpu(), DeviceKind::Gpu);
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
