//! Every operator's kernels, forward and backward, against the f64 reference on poisoned and
//! guarded buffers, under the plans for both kinds of device.

use std::collections::BTreeSet;
use std::panic::{AssertUnwindSafe, catch_unwind};

use crate::common;
use crate::common::{Case, cases};
use retape::tape::{DeviceKind, DeviceProfile};
use retape::testing::*;
use retape::{Device, Graph, SessionOptions};

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

#[test]
fn the_cpu_agrees_with_the_references() {
    let fails = |case: &Case| catch_unwind(AssertUnwindSafe(|| case.check_on_cpu())).is_err();
    let failed: Vec<String> = cases::all().into_iter().filter(fails).map(|c| c.name).collect();
    assert!(failed.is_empty(), "{} cases failed: {failed:#?}", failed.len());
}

#[test]
fn updates_on_the_cpu_agree_with_their_references() {
    for (name, tape) in &cases::updates::tapes() {
        let options = SessionOptions::new().seed(3);
        let mut session = tape.session_with(&Device::cpu(), options).expect("it builds");
        for steps in [1, 7, 3] {
            let checked = session.verify(&[]).expect("it runs");
            assert!(checked.passes(), "{name}\n{checked}");
            session.replay_n(steps).expect("it replays");
        }
        session.set_updates(999);
        let checked = session.verify(&[]).expect("it runs");
        assert!(checked.passes(), "{name} at update 1000\n{checked}");
    }
}

/// Operators that kernels of their own do together; at the first step and after another.
#[test]
fn merged_operators_agree_with_their_references() {
    let device = common::gpu();
    let own = device.profile().expect("a GPU");
    for step in &cases::fused::steps() {
        for kind in [DeviceKind::Cpu, DeviceKind::Gpu] {
            let name = format!("{}, {kind:?}", step.name);
            let profile = DeviceProfile { kind, ..own.clone() };
            let fused = step.tape.fuse(&profile);
            let plan = fused.plan(&profile).expect("it plans");
            let options = guarded(SessionOptions::new().seed(3));
            let mut session = session_with_plan(&fused, device, plan, options).expect("it builds");
            poison(&session);
            let data: Vec<_> = step.labels.iter().map(|(labels, data)| (*labels, data.into())).collect();
            for _ in 0..2 {
                let checked = session.verify(&data).unwrap_or_else(|e| panic!("{name}: {e}"));
                assert!(checked.passes(), "{name}\n{checked}");
                session.replay().expect("it replays");
            }
            assert!(broken_guards(&session).expect("guards can be read").is_empty(), "{name}");
        }
    }
}

/// Updates overwrite parameters and states: checked at the first update, the second, the ninth and
/// the thousandth; by the rules for software drivers and for GPUs.
#[test]
fn updates_agree_with_their_references() {
    let device = common::gpu();
    let own = device.profile().expect("a GPU");
    let kinds = [DeviceKind::Cpu, DeviceKind::Gpu];
    for ((name, tape), kind) in cases::updates::tapes().iter().flat_map(|t| kinds.map(|kind| (t, kind))) {
        let plan = tape.plan(&DeviceProfile { kind, ..own.clone() }).expect("it plans");
        let options = guarded(SessionOptions::new().seed(3));
        let mut session = session_with_plan(tape, device, plan, options).expect("it builds");
        poison(&session);
        for steps in [1, 7, 3] {
            let checked = session.verify(&[]).expect("it runs");
            assert!(checked.passes(), "{name}, {kind:?}\n{checked}");
            session.replay_n(steps).expect("it replays");
        }
        session.set_updates(999);
        let checked = session.verify(&[]).expect("it runs");
        assert!(checked.passes(), "{name} at update 1000\n{checked}");
        assert!(broken_guards(&session).expect("guards can be read").is_empty(), "{name}");
    }
}

/// No kernel goes untested: under the rules for software drivers and for a GPU, the cases reach every
/// entry point of every shader. And none loops without saying how often.
#[test]
fn the_cases_reach_every_entry_point() {
    let cases = cases::all().into_iter().map(|c| c.record().expect("the case records").tape);
    let probes = probes(64, 16).map(|tape| tape.expect("a probe records"));
    let tapes = cases.chain(cases::updates::tapes().into_iter().map(|(_, tape)| tape)).chain(probes);
    let steps: Vec<_> = cases::fused::steps().into_iter().map(|step| step.tape).collect();
    let (mut reached, mut seen) = (BTreeSet::new(), BTreeSet::new());
    for tape in steps {
        for kind in [DeviceKind::Cpu, DeviceKind::Gpu] {
            let profile = DeviceProfile { kind, ..DeviceProfile::baseline() };
            let plan = tape.fuse(&profile).plan(&profile).expect("it plans");
            reached.extend(plan.dispatches.iter().map(|d| (d.shader.name(), d.entry.to_owned())));
        }
    }
    for case in crate::tiles::cases() {
        let profile = DeviceProfile { busy_invocations: 64, ..DeviceProfile::baseline() };
        let plan = case.record().expect("the case records").tape.plan(&profile).expect("it plans");
        reached.extend(plan.dispatches.iter().map(|d| (d.shader.name(), d.entry.to_owned())));
    }
    for tape in tapes {
        for (kind, lanes) in [(DeviceKind::Cpu, 8), (DeviceKind::Cpu, 4), (DeviceKind::Gpu, 32)] {
            let subgroups = Some((lanes, lanes));
            let profile = DeviceProfile { kind, subgroups, ..DeviceProfile::baseline() };
            let plan = tape.plan(&profile).expect("it plans");
            reached.extend(plan.dispatches.iter().map(|d| (d.shader.name(), d.entry.to_owned())));
            for d in plan.dispatches.iter().filter(|d| d.loops == 0) {
                let bits: Vec<_> = d.constants.iter().map(|&(name, value)| (name, value.to_bits())).collect();
                if !seen.insert((d.shader.name(), d.entry, bits)) {
                    continue;
                }
                let module =
                    specialise(d.shader, d.entry, &d.constants, &d.halves()).expect("the shader specialises");
                assert!(!has_loops(&module), "{}:{} declares no loops", d.shader.name(), d.entry);
            }
        }
    }
    let all = retape::shaders().into_iter().flat_map(|shader| {
        let entries = shader.entries().expect("the shader parses");
        entries.into_iter().map(|entry| (shader.name(), entry)).collect::<Vec<_>>()
    });
    let missed: Vec<_> = all.filter(|e| !reached.contains(e)).collect();
    assert!(missed.is_empty(), "entry points that no case reaches: {missed:?}");
}

fn has_loops(module: &naga::Module) -> bool {
    fn within(block: &naga::Block) -> bool {
        block.iter().any(|statement| match statement {
            naga::Statement::Loop { .. } => true,
            naga::Statement::Block(inner) => within(inner),
            naga::Statement::If { accept, reject, .. } => within(accept) || within(reject),
            naga::Statement::Switch { cases, .. } => cases.iter().any(|case| within(&case.body)),
            _ => false,
        })
    }
    let entries = module.entry_points.iter().map(|entry| &entry.function);
    entries.chain(module.functions.iter().map(|(_, f)| f)).any(|function| within(&function.body))
}

/// More than 65,535 workgroups: the grid is folded, and every element is still reached.
#[test]
fn folded_grids_reach_every_element() {
    let device = common::gpu();
    // Four elements a thread, 64 threads a workgroup.
    let n = 65_535 * 64 * 4 + 4 * 64 + 3;
    let mut g = Graph::new();
    let x = g.input("x", [n]);
    let y = g.square(x).expect("it records");
    let mut session = g.forward([y]).expect("it records").session(device).expect("it builds");
    let plan = session.plan().expect("it is on a GPU");
    assert!(plan.dispatches[0].groups[1] > 1, "{plan}");
    poison(&session);
    let data: Vec<f32> = (0..n).map(|i| (i % 4099) as f32).collect();
    session.write(x, &data).expect("it fits");
    session.replay().expect("it replays");
    let wrong = session.read(y).expect("it is kept").iter().zip(&data).position(|(y, x)| *y != x * x);
    assert_eq!(wrong, None);

    // One row a workgroup, by the rule for GPUs.
    let rows = 65_535 + 70;
    let mut g = Graph::new();
    let x = g.input("x", [rows, 128]);
    let y = g.softmax(x, 1).expect("it records");
    let tape = g.forward([y]).expect("it records");
    let profile = DeviceProfile { kind: DeviceKind::Gpu, ..device.profile().expect("a GPU").clone() };
    let plan = tape.plan(&profile).expect("it plans");
    assert!(plan.dispatches[0].groups[1] > 1, "{plan}");
    let mut session = session_with_plan(&tape, device, plan, SessionOptions::new()).expect("it builds");
    poison(&session);
    session.write(x, &vec![1.0; rows * 128]).expect("it fits");
    session.replay().expect("it replays");
    let wrong = session.read(y).expect("it is kept").iter().position(|y| *y != 1.0 / 128.0);
    assert_eq!(wrong, None);
}
