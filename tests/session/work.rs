//! What a plan says there is to do: every multiply-add of the operators once, and no more bytes than are bound.

use std::collections::BTreeSet;

use crate::common::cases;
use crate::steps::{convolutional, perceptron, step_of};
use retape::ops::RecurrentRoute;
use retape::prelude::*;
use retape::tape::{DeviceKind, DeviceProfile, Plan};

/// Profiles of both kinds, and one that splits what it can.
fn profiles() -> Vec<DeviceProfile> {
    let gpu = DeviceProfile {
        max_workgroup_bytes: 32 << 10,
        max_buffer_bytes: 1 << 30,
        ..DeviceProfile::baseline()
    };
    let cpu = DeviceProfile { kind: DeviceKind::Cpu, subgroups: Some((8, 8)), ..gpu.clone() };
    let short = DeviceProfile { max_loop_iterations: 2048, ..gpu.clone() };
    vec![gpu, cpu, short]
}

/// Multiply-adds of the operators, by name.
fn of_operators(tape: &Tape) -> Vec<(&'static str, u64)> {
    let types = |values: &[Value]| values.iter().map(|&v| tape.value(v).unwrap().ty).collect::<Vec<_>>();
    let nodes = tape.ops().iter();
    nodes.map(|n| (n.op.name(), n.op.multiply_adds(&types(&n.inputs), &types(&n.outputs)))).collect()
}

/// Kernels that move or add up what products are made of.
const MOVING: [&str; 8] = ["join", "join_both", "spread", "spread_wide", "gather", "turn", "pack", "arrange"];

fn check(name: &str, tape: &Tape, plan: &Plan) {
    let operators = of_operators(tape);
    let mut planned = vec![0; operators.len()];
    for dispatch in &plan.dispatches {
        planned[dispatch.op] += dispatch.work.multiply_adds;
        let bound: u64 = dispatch.bindings.iter().map(|b| b.bytes).sum();
        assert!((1..=bound).contains(&dispatch.work.bytes), "{name}: {dispatch:?}");
        if MOVING.contains(&dispatch.entry) {
            assert_eq!(dispatch.work.multiply_adds, 0, "{name}: {dispatch:?}");
        }
    }
    for ((op, count), planned) in operators.iter().zip(&planned) {
        assert_eq!(count, planned, "{op} of {name} for {}:\n{plan}", plan.profile.name);
    }
    assert_eq!(plan.work().multiply_adds, planned.iter().sum::<u64>());
}

/// Whether split, joined, merged or part of a chain.
#[test]
fn every_multiply_add_of_a_step_is_planned_once() {
    let (mut multiplying, mut moving) = (BTreeSet::new(), BTreeSet::new());
    for case in cases::all() {
        let tape = case.record().unwrap().tape;
        multiplying.extend(of_operators(&tape).iter().filter(|(_, count)| *count > 0).map(|&(name, _)| name));
        for profile in profiles() {
            for tape in [tape.clone(), tape.fuse(&profile)] {
                // Loops that cannot be split are refused.
                let Ok(plan) = tape.plan(&profile) else { continue };
                check(&case.name, &tape, &plan);
                moving.extend(plan.dispatches.iter().map(|d| d.entry).filter(|entry| MOVING.contains(entry)));
            }
        }
    }
    assert!(MOVING.iter().all(|entry| *entry == "join_both" || moving.contains(entry)), "{moving:?}");
    let expected = [
        "conv2d",
        "conv2d_weight_grad",
        "conv_transpose2d",
        "gru",
        "gru_grad",
        "lstm",
        "lstm_grad",
        "matmul",
        "simple_rnn",
        "simple_rnn_grad",
    ];
    assert_eq!(multiplying, BTreeSet::from(expected));
}

/// Fusion makes other kernels of the same products.
#[test]
fn fused_steps_multiply_as_much() {
    let residual = step_of(&retape::nn::architectures::resnet18(10), &[2, 3, 64, 64]);
    let steps =
        [("perceptron", perceptron(&[100])), ("convolutional", convolutional()), ("residual", residual)];
    for (name, tape) in steps {
        for profile in profiles() {
            let fused = tape.fuse(&profile);
            let plan = fused.plan(&profile).unwrap();
            check(name, &fused, &plan);
            let recorded = tape.plan(&profile).unwrap().work();
            assert_eq!(plan.work().multiply_adds, recorded.multiply_adds, "{name}");
            assert!(plan.work().bytes < recorded.bytes, "{name}: {} and {recorded}", plan.work());
            assert!(plan.to_string().lines().next().unwrap().contains(&plan.work().to_string()), "{plan}");
        }
    }
}

/// A step of a sequence, rows of a table and a batch of the samples are a small part of what is bound.
#[test]
fn kernels_say_what_they_go_through_of_what_they_bind() {
    let mut g = Graph::new();
    let (table, index) = (g.parameter("table", [100_000, 64], Init::Zeros), g.indices("index", [4]));
    let rows = g.gather(table, index, 0).unwrap();
    let long = g.input("long", [1000, 1000]);
    let slice = g.slice_axis(long, 0, 3..5).unwrap();
    let plan = g.forward([rows, slice]).unwrap().plan(&DeviceProfile::baseline()).unwrap();
    let bytes: Vec<u64> = plan.dispatches.iter().map(|dispatch| dispatch.work.bytes).collect();
    assert_eq!(bytes, [4 * (2 * 4 * 64 + 4), 4 * 2 * 2000]);

    let time = 500;
    let mut g = Graph::new();
    let x = g.input("x", [8, time, 16]);
    let layer = Lstm::new(32).route(RecurrentRoute::Steps).return_sequences(true);
    let y = retape::nn::record(&layer, &mut g, &[x], Mode::Training).unwrap().outputs[0];
    let loss = g.mean(g.square(y).unwrap(), &[], false).unwrap();
    let plan = g.training_step(loss, &Sgd::new(0.1)).unwrap().plan(&DeviceProfile::baseline()).unwrap();
    let steps = plan.dispatches.iter().filter(|d| d.entry.ends_with("_step"));
    for dispatch in steps.clone() {
        let bound: u64 = dispatch.bindings.iter().map(|b| b.bytes).sum();
        assert!(10 * dispatch.work.bytes < bound, "{dispatch:?}");
        assert!(dispatch.work.bytes > 4 * 4 * 32 * 32, "the weight is read in every step: {dispatch:?}");
    }
    assert_eq!(steps.count(), 2 * time);
}
