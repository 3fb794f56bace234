//! Sums that do not round.

use retape::{Graph, Result, Shape, Value};

use super::super::data::{hostile, noise, uniform};
use super::super::{Case, Input};

/// The moments of all rows, or of every third.
fn moments(g: &Graph, y: Value, masked: bool) -> Result<Value> {
    let rows = g.shape(y)?.dims()[0];
    let mask: Vec<f32> = (0..rows).map(|i| f32::from(u8::from(!masked || i % 3 == 1))).collect();
    g.exact_moments(y, g.constant([rows], &mask)?)
}

/// Columns whose largest number is of another size each.
fn of_many_sizes(rows: usize) -> Input {
    const SIZES: [f32; 13] = [0.0, 1e-45, 1e-39, 1e-20, 5e-13, 1e-12, 1e-3, 1.0, 3.99, 4.0, 1e3, 1e7, 1e16];
    let numbers = noise(rows * SIZES.len(), 5, -1.0, 1.0).into_iter().enumerate();
    let data = numbers.map(|(i, v)| v * SIZES[i % SIZES.len()]).collect();
    Input::F32(Shape::from([rows, SIZES.len()]), data)
}

pub fn cases() -> Vec<Case> {
    let mut cases = Vec::new();
    for masked in [false, true] {
        for dims in [[1, 1], [2, 3], [7, 64], [64, 1], [65, 65], [257, 2], [20_011, 1]] {
            let name = format!("exact_moments of {dims:?}, masked {masked}");
            let input = uniform(dims, 1, 999.0, 1001.0);
            cases.push(Case::new(name, vec![input], move |g, x| moments(g, x[0], masked)).rough());
        }
        for (what, input) in [
            ("both signs", uniform([129, 5], 2, -1.0, 1.0)),
            ("hostile numbers", hostile([51, 17])),
            ("many sizes", of_many_sizes(97)),
            ("ones", Input::F32([65, 1].into(), vec![1.0; 65])),
            ("the largest below 2", Input::F32([65, 1].into(), vec![2.0 - f32::EPSILON; 65])),
        ] {
            let name = format!("exact_moments of {what}, masked {masked}");
            cases.push(Case::new(name, vec![input], move |g, x| moments(g, x[0], masked)).rough());
        }
    }
    let broken = [1.0, 2.0, f32::NAN, 1.0, f32::INFINITY, 1.0, 3.0, 4.0, f32::NEG_INFINITY, 0.0, 0.0, 0.0];
    let input = Input::F32([4, 3].into(), broken.to_vec());
    cases.push(
        Case::new("exact_moments of NaN and infinities", vec![input], |g, x| moments(g, x[0], false)).rough(),
    );
    cases
}
