//! The norm over several values, and clipping by a norm.

use super::super::data::{hostile, noise, signed};
use super::super::{Case, Input};
use super::SIZES;

/// Numbers of both signs around a magnitude.
fn of_size(n: usize, scale: f32) -> Input {
    Input::F32([n].into(), noise(n, 4, -1.0, 1.0).into_iter().map(|v| v * scale).collect())
}

pub fn cases() -> Vec<Case> {
    let mut cases = Vec::new();
    for n in SIZES {
        let name = format!("global norm of [{n}]");
        cases.push(Case::new(name, vec![signed([n], 1)], |g, x| g.global_norm(x)));
    }
    for dims in [&[][..], &[5, 13], &[3, 1, 4, 1, 5], &[65, 1021], &[300_007]] {
        let shape = retape::Shape::new(dims).expect("rank fits");
        let name = format!("global norm of {dims:?}");
        cases.push(Case::new(name, vec![signed(shape, 2)], |g, x| g.global_norm(x)));
    }
    for (count, n) in [(2, 64), (3, 5), (9, 7), (300, 1)] {
        let inputs = (0..count).map(|i| signed([n + i as usize % 2], i)).collect();
        let name = format!("global norm of {count} values of {n} and {} elements", n + 1);
        cases.push(Case::new(name, inputs, |g, x| g.global_norm(x)));
    }
    cases.push(Case::new("global norm of one value twice", vec![signed([9], 5)], |g, x| {
        g.global_norm(&[x[0], x[0]])
    }));
    // Alone, and beside numbers of which one class is left out.
    let sizes = [1e-45f32, 1e-38, 1e-30, 9.0e-13, 1e-12, 1.0, 1.7e13, 1.8e13, 1e30, 3e38];
    for scale in sizes {
        let name = format!("global norm of numbers around {scale:e}");
        cases.push(Case::new(name, vec![of_size(65, scale)], |g, x| g.global_norm(x)).rough());
        let name = format!("global norm of numbers around {scale:e} and 1e-12");
        let both = vec![of_size(33, scale), of_size(1021, 1e-12)];
        cases.push(Case::new(name, both, |g, x| g.global_norm(x)).rough());
    }
    // Threads of every class side by side, each with numbers of its own size.
    let sizes = [1e-30f32, 1.0, 1e20, 1e-12, 0.0, 1e13];
    for least in [0, 3] {
        let numbers = noise(3001, 6, 0.5, 1.0).into_iter().enumerate();
        let data = numbers.map(|(i, v)| v * sizes[least + i / 4 % 3]).collect();
        let name = format!("global norm of numbers around {:?}", &sizes[least..least + 3]);
        let input = Input::F32([3001].into(), data);
        cases.push(Case::new(name, vec![input], |g, x| g.global_norm(x)).rough());
    }
    let zeros = Input::F32([7].into(), vec![0.0; 7]);
    cases.push(Case::new("global norm of zeros", vec![zeros], |g, x| g.global_norm(x)).rough());
    let name = "global norm of hostile numbers";
    cases.push(Case::new(name, vec![hostile([53])], |g, x| g.global_norm(x)).rough());
    cases.extend(clips());
    cases
}

fn clips() -> Vec<Case> {
    let mut cases = Vec::new();
    for n in SIZES {
        for limit in [0.25, 1e6] {
            let name = format!("clip [{n}] by its norm to {limit}");
            cases.push(Case::new(name, vec![signed([n], 1)], move |g, x| {
                g.clip_by_norm(x[0], g.global_norm(x)?, limit)
            }));
        }
        let name = format!("clip what is computed, of [{n}], by a norm of 3 to 2");
        cases.push(Case::new(name, vec![signed([n], 2)], |g, x| {
            g.clip_by_norm(g.neg(x[0])?, g.scalar_constant(3.0), 2.0)
        }));
    }
    cases.push(Case::new("clip [2, 3] by a norm of shape [1, 1]", vec![signed([2, 3], 3)], |g, x| {
        let norm = g.reshape(g.global_norm(x)?, [1, 1])?;
        g.clip_by_norm(x[0], norm, 0.5)
    }));
    for (norm, limit) in [(3e38, 1e-30), (3e38, 1e30), (2e19, 1.0), (1e-30, 1e-36), (2.0, 2.0)] {
        let name = format!("clip hostile numbers by a norm of {norm:e} to {limit:e}");
        let build = move |g: &mut retape::Graph, x: &[retape::Value]| {
            g.clip_by_norm(x[0], g.scalar_constant(norm), limit)
        };
        cases.push(Case::new(name, vec![hostile([53])], build).rough());
    }
    let name = "clip numbers around 1e-37 by their norm to 2e-38";
    cases.push(
        Case::new(name, vec![of_size(65, 1e-37)], |g, x| g.clip_by_norm(x[0], g.global_norm(x)?, 2e-38))
            .rough(),
    );
    cases
}
