//! What classification metrics count.

use retape::{Graph, Result, Shape, Value};

use super::super::data::{distinct, hostile, indices, noise, uniform};
use super::super::{Case, Input};

pub fn cases() -> Vec<Case> {
    let mut cases = Vec::new();
    hits(&mut cases);
    hostile_hits(&mut cases);
    counts(&mut cases);
    cases
}

fn shape(dims: &[usize]) -> Shape {
    Shape::new(dims).expect("rank fits")
}

fn hits(cases: &mut Vec<Case>) {
    let shapes: [&[usize]; 9] =
        [&[1], &[7], &[1, 1], &[5, 2], &[63, 10], &[64, 3], &[65, 17], &[3, 1021], &[5, 13, 7]];
    for dims in shapes {
        let classes = dims[dims.len() - 1];
        let labels = indices(shape(&dims[..dims.len() - 1]), 2, classes as u32);
        for (kind, targets) in [("labels", labels), ("rows", distinct(shape(dims), 3))] {
            let inputs = vec![distinct(shape(dims), 1), targets];
            let name = format!("categorical_accuracy_rows of {dims:?} with {kind}");
            cases.push(Case::new(name, inputs.clone(), |g, x| g.categorical_accuracy_rows(x[0], x[1])));
            if classes > 1 {
                let name = format!("predicted_classes of {dims:?} with {kind}");
                cases.push(Case::new(name, inputs.clone(), |g, x| g.predicted_classes(x[0], x[1])));
            }
            for k in [1, 2, 5, 700].into_iter().filter(|&k| k <= classes) {
                let name = format!("in_top_k of {dims:?} with {kind}, k {k}");
                cases.push(Case::new(name, inputs.clone(), move |g, x| g.in_top_k(x[0], x[1], k)));
            }
        }
    }
}

fn hostile_hits(cases: &mut Vec<Case>) {
    let dims = [51, 17];
    let labels = Input::U32(shape(&[51]), (0..51).map(|row| row * 7 % 17).collect());
    let broken = noise(51 * 17, 4, -1.0, 1.0).into_iter().enumerate();
    let broken = broken.map(|(i, x)| match i % 37 {
        5 => f32::NAN,
        6 => f32::INFINITY,
        7 => f32::NEG_INFINITY,
        _ => x,
    });
    let equal = Input::F32(shape(&dims), vec![-3.0; 51 * 17]);
    let scores = [
        ("hostile numbers", hostile(dims)),
        ("ties alone", equal),
        ("NaN and infinities", Input::F32(shape(&dims), broken.collect())),
        ("NaN alone", Input::F32(shape(&dims), vec![f32::NAN; 51 * 17])),
    ];
    for (what, scores) in scores {
        for (kind, targets) in [("labels", labels.clone()), ("hostile rows", hostile(dims))] {
            for k in [0, 1, 3, 17] {
                let name = match k {
                    0 => format!("categorical_accuracy_rows of {what} with {kind}"),
                    k => format!("in_top_k of {what} with {kind}, k {k}"),
                };
                let build = move |g: &mut Graph, x: &[Value]| match k {
                    0 => g.categorical_accuracy_rows(x[0], x[1]),
                    k => g.in_top_k(x[0], x[1], k),
                };
                cases.push(Case::new(name, vec![scores.clone(), targets.clone()], build).rough());
            }
            let name = format!("predicted_classes of {what} with {kind}");
            let inputs = vec![scores.clone(), targets.clone()];
            cases.push(Case::new(name, inputs, |g, x| g.predicted_classes(x[0], x[1])).rough());
        }
    }
    let inputs = vec![distinct([5, 7], 2), distinct([5, 1021], 3)];
    let name = "categorical_accuracy_rows of 7 classes with labels past the end";
    cases.push(Case::new(name, inputs, |g, x| g.categorical_accuracy_rows(x[0], g.argmax(x[1], 1)?)));
}

/// How often each sample counts.
type Mask = fn(usize) -> f32;

const ALL: Mask = |_| 1.0;
const EVERY_THIRD: Mask = |i| f32::from(u8::from(i % 3 == 1));
const WEIGHTS: Mask = |i| 0.3 * (i % 4) as f32;

/// Counts of scores from 0 to 1.
fn counted(g: &Graph, scores: Value, targets: Value, mask: Mask, thresholds: usize) -> Result<Value> {
    let batch = g.shape(scores)?.dims()[0];
    let mask: Vec<f32> = (0..batch).map(mask).collect();
    let step = 1.0 / (thresholds + 1) as f32;
    let thresholds: Vec<f32> = (1..=thresholds).map(|i| i as f32 * step).collect();
    let mask = g.constant([batch], &mask)?;
    g.threshold_counts(scores, targets, mask, g.constant([thresholds.len()], &thresholds)?)
}

fn counts(cases: &mut Vec<Case>) {
    let shapes: [&[usize]; 7] =
        [&[1, 1], &[7, 1], &[64, 3], &[65, 10], &[5, 13, 2], &[3, 2, 2, 5], &[20_011, 1]];
    for dims in shapes {
        let masks = [("all", ALL), ("every third", EVERY_THIRD), ("by weights", WEIGHTS)];
        for ((which, mask), thresholds) in
            [0, 1, 0, 1, 2, 2].map(|i| masks[i]).into_iter().zip([1, 1, 63, 198, 1, 7])
        {
            if dims[0] > 10_000 && thresholds > 1 {
                continue;
            }
            let inputs = vec![uniform(shape(dims), 1, 0.0, 1.0), uniform(shape(dims), 2, 0.0, 1.0)];
            let name = format!("threshold_counts of {dims:?} at {thresholds}, {which}");
            let build = move |g: &mut Graph, x: &[Value]| counted(g, x[0], x[1], mask, thresholds);
            cases.push(Case::new(name, inputs, build).rough());
        }
    }
    let mut scores = noise(90, 3, 0.0, 1.0);
    for (i, score) in scores.iter_mut().enumerate() {
        match i % 9 {
            1 => *score = 0.25,
            2 => *score = f32::NAN,
            3 => *score = f32::INFINITY,
            4 => *score = f32::NEG_INFINITY,
            _ => {}
        }
    }
    let inputs = vec![Input::F32(shape(&[30, 3]), scores), hostile([30, 3])];
    let name = "threshold_counts of ties, NaN and infinities";
    cases.push(Case::new(name, inputs, |g, x| counted(g, x[0], x[1], ALL, 3)).rough());
    let broken = |seed| noise(63, seed, 0.0, 1.0).into_iter().map(|x| if x < 0.3 { f32::NAN } else { x });
    for (what, scores) in [("with NaN", broken(4).collect()), ("NaN alone", vec![f32::NAN; 63])] {
        let scores = Input::F32(shape(&[21, 3]), scores);
        let targets = Input::F32(shape(&[21, 3]), broken(5).collect());
        let name = format!("threshold_counts of scores {what} and targets with NaN");
        let build = |g: &mut Graph, x: &[Value]| counted(g, x[0], x[1], EVERY_THIRD, 3);
        cases.push(Case::new(name, vec![scores, targets], build).rough());
    }
}
