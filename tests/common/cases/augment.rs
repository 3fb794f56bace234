//! Uniform numbers, images under random affine maps, brightness and contrast.

use retape::prelude::*;
use retape::{Graph, Shape};

use super::super::data::{hostile, noise, signed};
use super::super::{Case, Input};
use super::SIZES;

pub fn cases() -> Vec<Case> {
    let mut cases = Vec::new();
    for n in SIZES {
        for [low, high] in [[0.0, 1.0], [-3.0, 7.5], [2.5, 2.5], [-1e30, 1e30], [1e-40, 3e-38]] {
            let name = format!("uniform numbers [{n}] from {low} to {high}");
            cases.push(Case::new(name, Vec::new(), move |g, _| g.random_uniform([n], low, high)));
        }
    }
    let shapes = [[1, 1, 1, 1], [3, 1, 1, 5], [2, 3, 7, 1], [5, 3, 8, 8], [9, 2, 13, 17], [33, 1, 3, 2]];
    for shape in shapes {
        for (name, options) in maps([shape[2], shape[3]]) {
            for fill in FILLS {
                cases.push(affine(&format!("{name}, {fill:?}"), shape, options.fill(fill)));
            }
        }
    }
    cases.extend(values());
    cases.push(chained());
    cases
}

const FILLS: [FillMode; 4] =
    [FillMode::Constant(-0.75), FillMode::Nearest, FillMode::Reflect, FillMode::Wrap];

fn maps([height, width]: [usize; 2]) -> Vec<(&'static str, AffineOptions)> {
    let new = AffineOptions::new;
    vec![
        ("nothing", new()),
        ("flips", new().flip_horizontal().flip_vertical()),
        ("shifts", new().shift([height, width / 2])),
        ("crops", new().crop([1, width.div_ceil(2)], 0)),
        ("padded crops and flips", new().flip_horizontal().crop([height + 2, width + 3], 9)),
        ("rotations", new().rotate(-1.0, 1.0)),
        ("zooms", new().zoom(-0.9, 1.0)),
        ("everything", new().flip_vertical().crop([height, width], 2).rotate(-0.1, 0.2).zoom(-0.5, 0.5)),
    ]
}

/// Affine maps have no gradient, so that the image is a constant.
fn affine(name: &str, shape: [usize; 4], options: AffineOptions) -> Case {
    let name = format!("random affine map of {shape:?}: {name}");
    let data = noise(shape.iter().product(), 7, -1.0, 1.0);
    Case::new(name, Vec::new(), move |g, _| {
        // Not the first stream: samples of several operators draw differently.
        g.random_stream();
        let x = g.constant(shape, &data)?;
        g.random_affine(x, &options)
    })
}

/// Brightness and contrast, which have gradients.
fn values() -> Vec<Case> {
    let mut cases = Vec::new();
    for dims in [&[1, 1, 1][..], &[3, 5, 7], &[5, 3, 4, 4], &[2, 7, 3, 5], &[65, 1, 2]] {
        let shape = Shape::new(dims).expect("rank fits");
        let name = format!("random brightness of {dims:?}");
        cases.push(Case::new(name, vec![signed(shape, 1)], |g, x| g.random_brightness(x[0], -0.5, 0.25)));
        let name = format!("random contrast of {dims:?}");
        cases.push(Case::new(name, vec![signed(shape, 2)], |g, x| g.random_contrast(x[0], 0.2, 1.9)));
    }
    let brightness = Case::new("random brightness of hostile numbers", vec![hostile([3, 2, 11])], |g, x| {
        g.random_brightness(x[0], -0.5, 0.25)
    });
    cases.push(brightness.rough());
    cases
}

/// Between other operators, of numbers that stay as they are.
fn chained() -> Case {
    let Input::F32(shape, data) = hostile([4, 2, 5, 6]) else { unreachable!("hostile numbers are f32") };
    Case::new("a random affine map between other operators", Vec::new(), move |g: &mut Graph, _| {
        let x = g.constant(shape, &data)?;
        let y = g.random_affine(g.neg(x)?, &AffineOptions::new().flip_horizontal().shift([2, 1]))?;
        g.neg(g.random_affine(y, &AffineOptions::new().rotate(0.0, 0.25))?)
    })
}
