//! Dropout, spatial dropout and additive noise.

use retape::{Graph, Shape, Value};

use super::super::data::{hostile, signed};
use super::super::{Case, Input};
use super::SIZES;

type Call = fn(&Graph, Value, f32) -> retape::Result<Value>;

const RATES: [f32; 4] = [0.0, 0.1, 0.5, 0.999];
const STDS: [f32; 3] = [0.0, 0.3, 1e4];

pub fn cases() -> Vec<Case> {
    let mut cases = Vec::new();
    for rate in RATES {
        elementwise("dropout", |g, x, rate| g.dropout(x, rate), rate, &mut cases);
        spatial(rate, &mut cases);
    }
    for std in STDS {
        elementwise("gaussian_noise", |g, x, std| g.gaussian_noise(x, std), std, &mut cases);
    }
    chains(&mut cases);
    cases
}

/// Infinities, NaN and the largest numbers: dropped ones are 0, kept ones stay.
fn not_finite(shape: impl Into<Shape>) -> Input {
    const NUMBERS: [f32; 5] = [f32::INFINITY, f32::NEG_INFINITY, f32::NAN, f32::MAX, -f32::MAX];
    let shape = shape.into();
    Input::F32(shape, (0..shape.numel()).map(|i| NUMBERS[i % NUMBERS.len()]).collect())
}

fn elementwise(name: &str, call: Call, amount: f32, cases: &mut Vec<Case>) {
    let case = |what: String, input: Input| {
        Case::new(format!("{name} {amount} of {what}"), vec![input], move |g, x| call(g, x[0], amount))
    };
    for n in SIZES.into_iter().chain([255, 256]) {
        // A slope is lost in the rounding of a loss of large numbers.
        let ordinary = case(format!("[{n}]"), signed([n], n as u32));
        cases.push(if amount > 1.0 { ordinary.rough() } else { ordinary });
    }
    cases.push(case("hostile numbers".to_owned(), hostile([67])).rough());
    cases.push(case("numbers that are not finite".to_owned(), not_finite([41])).rough());
}

fn spatial(rate: f32, cases: &mut Vec<Case>) {
    // Channels of one, fewer than four, four and more elements, ending anywhere within a thread's.
    let shapes: [&[usize]; 12] = [
        &[1, 1, 1],
        &[1, 5, 1],
        &[3, 7, 1, 1],
        &[2, 5, 2],
        &[2, 3, 3],
        &[4, 3, 2, 2],
        &[2, 3, 5, 1],
        &[3, 5, 7, 11],
        &[2, 9, 8, 8],
        &[1, 2, 1021],
        &[2, 3, 2, 3, 2, 3],
        &[5, 17, 3, 5],
    ];
    let case = move |name: String, input: Input| {
        Case::new(name, vec![input], move |g: &mut Graph, x| g.spatial_dropout(x[0], rate))
    };
    for dims in shapes {
        let shape = Shape::new(dims).expect("rank fits");
        cases.push(case(format!("spatial_dropout {rate} of {dims:?}"), signed(shape, 3)));
    }
    cases.push(case(format!("spatial_dropout {rate} of hostile numbers"), hostile([3, 7, 5])).rough());
    let name = format!("spatial_dropout {rate} of numbers that are not finite");
    cases.push(case(name, not_finite([5, 9, 3])).rough());
}

/// In place, between other operators, and in the gradient of a gradient.
fn chains(cases: &mut Vec<Case>) {
    let input = || vec![signed([3, 5, 14], 8)];
    cases.push(Case::new("noise, dropout and spatial dropout after another", input(), |g, x| {
        let y = g.dropout(g.gaussian_noise(g.neg(x[0])?, 0.1)?, 0.3)?;
        g.exp(g.spatial_dropout(g.sigmoid(y)?, 0.3)?)
    }));
    cases.push(Case::new("the slope of a square after dropout", input(), |g, x| {
        let y = g.dropout(x[0], 0.4)?;
        let total = g.sum(g.mul(y, y)?, &[], false)?;
        Ok(g.differentiate(total, &[x[0]])?[0])
    }));
}
