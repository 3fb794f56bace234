//! The kernels of recurrences over a grid of sizes, against the f64 reference: forward, all gradients
//! and the last states.

mod common;

use common::cases::recurrent::{CELLS, Problem, grid};
use retape::ops::RecurrentRoute;
use retape::tape::DeviceKind;

fn check(route: RecurrentRoute, kind: DeviceKind) {
    for problem in CELLS.into_iter().flat_map(grid) {
        Problem { route, ..problem }.case().check_kernels(common::gpu(), kind);
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
