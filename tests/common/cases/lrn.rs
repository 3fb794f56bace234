//! Local response normalisation.

use retape::Shape;

use super::super::data::{hostile, signed, uniform};
use super::super::{Case, Input};

/// AlexNet's constants, and others: size, alpha, beta, k.
const ALEXNET: (usize, f32, f32, f32) = (5, 5e-4, 0.75, 2.0);

pub fn cases() -> Vec<Case> {
    let mut cases = Vec::new();
    let shapes: [&[usize]; 10] = [
        &[1, 1],
        &[3, 7],
        &[2, 65],
        &[2, 3, 5],
        &[1, 1, 4, 4],
        &[3, 4, 3, 5],
        &[1, 9, 1, 64],
        &[2, 17, 2, 2, 3],
        &[1, 5, 1, 2, 1, 3],
        &[1030, 3],
    ];
    for dims in shapes {
        let shape = Shape::new(dims).expect("rank fits");
        for constants in [ALEXNET, (3, 2.0, 0.5, 1.0), (2, 1.0, 1.0, 0.5), (4, 0.7, 2.5, 1.5)] {
            cases.push(case("numbers", signed(shape, 1), constants));
        }
    }
    // One channel, more than there are, and nothing but k.
    let shape = Shape::from([2, 6, 3, 3]);
    for constants in [(1, 1.0, 0.75, 1.0), (11, 1.0, 0.75, 1.0), (12, 3.0, 0.3, 0.1), (5, 0.0, 0.75, 2.0)] {
        cases.push(case("numbers", signed(shape, 2), constants));
    }
    cases.push(case("numbers", signed(shape, 2), (usize::MAX, 1e3, 0.75, 1.0)));
    hostiles(&mut cases);
    cases
}

fn case(what: &str, input: Input, (size, alpha, beta, k): (usize, f32, f32, f32)) -> Case {
    let (Input::F32(shape, _) | Input::U32(shape, _)) = input;
    let name = format!("local response norm of {what} {shape}, size {size}, {alpha}, {beta}, {k}");
    Case::new(name, vec![input], move |g, x| g.local_response_norm(x[0], size, alpha, beta, k))
}

fn hostiles(cases: &mut Vec<Case>) {
    let shape = Shape::from([2, 11, 3, 3]);
    let all = |value: f32| Input::F32(shape, vec![value; shape.numel()]);
    let spike = |i: usize| if i % 31 == 3 { 3e19 } else { 0.1 * (i % 7) as f32 - 0.2 };
    let spikes = Input::F32(shape, (0..shape.numel()).map(spike).collect());
    let inputs = [
        ("hostile numbers", hostile(shape)),
        ("zeros", all(0.0)),
        ("equal numbers", all(-2.5)),
        ("-400..400", uniform(shape, 4, -400.0, 400.0)),
        ("large numbers", uniform(shape, 5, -1e18, 1e18)),
        ("1e30", uniform(shape, 6, -1e30, 1e30)),
        ("denormals", all(-1e-40)),
        ("squares past the range", spikes),
        ("the largest numbers", all(3e38)),
    ];
    for (what, input) in inputs {
        for constants in [ALEXNET, (4, 1.0, 0.75, 1.0), (3, 1.0, 2.0, 1e-6), (3, 100.0, 0.1, 1e-30)] {
            cases.push(case(what, input.clone(), constants).rough());
        }
    }
}
