//! The kernels of recurrences over a grid of sizes, against the f64 reference: forward, all gradients
//! and the last states.

use crate::common;
use crate::common::cases::recurrent::{CELLS, Cell, Problem, grid};
use crate::common::data::noise;
use crate::common::unrolled::Form;
use crate::common::{Case, Input};
use retape::SessionOptions;
use retape::ops::RecurrentRoute;
use retape::tape::{DeviceKind, DeviceProfile};
use retape::testing::*;

fn check(route: RecurrentRoute, kind: DeviceKind) {
    for problem in CELLS.into_iter().flat_map(grid) {
        Problem { form: Form::Fused(route), ..problem }.case().check_kernels(common::gpu(), kind);
    }
}

#[test]
fn sequences_agree_on_software_drivers() {
    check(RecurrentRoute::Sequence, DeviceKind::Cpu);
}

#[test]
fn sequences_agree_on_gpus() {
    check(RecurrentRoute::Sequence, DeviceKind::Gpu);
}

#[test]
fn steps_agree_on_software_drivers() {
    check(RecurrentRoute::Steps, DeviceKind::Cpu);
}

/// Outputs weighted differently at each step, and the last states: little to add up in one loop.
fn weighted(problem: Problem) -> Case {
    Case::new(format!("{problem:?}"), problem.inputs(), move |g, x| {
        let made = problem.build(g, x)?;
        let shape = g.shape(made.outputs)?;
        let weights = g.constant(shape, &noise(shape.numel(), 98, -1.0, 1.0))?;
        let mut seen = vec![g.sum(g.mul(made.outputs, weights)?, &[1], false)?];
        seen.extend(made.states);
        g.concat(&seen, 0)
    })
}

/// The bits of the result, the loss and all gradients, and the dispatches they take, by the plan for a
/// device of `kind` that gives an invocation so many loop iterations.
fn bits(case: &Case, kind: DeviceKind, max_loop_iterations: u32) -> (Vec<Vec<u32>>, usize) {
    let recorded = case.record().unwrap_or_else(|e| panic!("{}: {e}", case.name));
    let device = common::gpu();
    let profile = device.profile().expect("kernels run on GPU adapters").clone();
    let profile = DeviceProfile { kind, max_loop_iterations, ..profile };
    let plan = recorded.tape.plan(&profile).unwrap_or_else(|e| panic!("{}: {e}", case.name));
    let dispatches = plan.dispatches.len();
    let options = guarded(SessionOptions::new());
    let mut session =
        session_with_plan(&recorded.tape, device, plan, options).expect("the plan is the tape's");
    poison(&session);
    for (&value, input) in recorded.inputs.iter().zip(&case.inputs) {
        match input {
            Input::F32(_, data) => session.write(value, data),
            Input::U32(_, data) => session.write(value, data),
        }
        .expect("the inputs fit");
    }
    session.replay().expect("the step replays");
    let kept = [recorded.y].into_iter().chain(recorded.loss).chain(recorded.grads);
    let read = |value| session.read(value).expect("kept").into_iter().map(f32::to_bits).collect();
    (kept.map(read).collect(), dispatches)
}

/// Where a device ends loops early, a sequence takes several dispatches, each of a range of steps. They
/// carry the states, forward and back, and change no bit.
#[test]
fn a_sequence_in_ranges_of_steps_is_the_same() {
    for cell in CELLS {
        let plain = Problem::new(cell, [3, 24, 2, 5]);
        let peepholes = cell == Cell::Lstm;
        for problem in [
            plain,
            Problem { initial: true, lengths: true, reverse: true, mask: true, peepholes, ..plain },
            // Cut within ranges and where they meet.
            Problem { initial: true, truncate: Some(2), ..plain },
        ] {
            for kind in [DeviceKind::Cpu, DeviceKind::Gpu] {
                let case = weighted(problem);
                let (whole, once) = bits(&case, kind, u32::MAX);
                let (split, more) = bits(&case, kind, 100);
                assert!(more >= once + 2, "{}: {once} dispatches, {more} in ranges", case.name);
                assert_eq!(split, whole, "{}", case.name);
            }
        }
    }
}
