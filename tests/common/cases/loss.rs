//! Losses.

use retape::{Graph, Shape, Value};

use super::super::data::{distinct, hostile, indices, noise, signed, uniform};
use super::super::{Case, Input};
use super::SIZES;

type Call = fn(&Graph, Value, Value) -> retape::Result<Value>;

pub fn cases() -> Vec<Case> {
    let mut cases = Vec::new();
    softmax_rows(&mut cases);
    softmax_hostile(&mut cases);
    softmax_masked(&mut cases);
    elementwise(&mut cases);
    cases
}

fn shape(dims: &[usize]) -> Shape {
    Shape::new(dims).expect("rank fits")
}

/// Rows of probabilities.
fn probabilities(dims: &[usize], seed: u32) -> Input {
    let shape = shape(dims);
    let classes = dims[dims.len() - 1];
    let mut data = noise(shape.numel(), seed, 0.01, 1.0);
    for row in data.chunks_mut(classes) {
        let total: f32 = row.iter().sum();
        row.iter_mut().for_each(|p| *p /= total);
    }
    Input::F32(shape, data)
}

fn softmax_rows(cases: &mut Vec<Case>) {
    let calls: [(&str, Call); 2] = [
        ("softmax_cross_entropy", |g, x, t| g.softmax_cross_entropy(x, t)),
        ("softmax_cross_entropy_rows", |g, x, t| g.softmax_cross_entropy_rows(x, t)),
    ];
    // Classes on both sides of where a workgroup takes a row.
    let shapes: [&[usize]; 14] = [
        &[1],
        &[7],
        &[1, 1],
        &[5, 1],
        &[1, 10],
        &[2, 3, 5],
        &[63, 10],
        &[64, 2],
        &[65, 127],
        &[3, 128],
        &[5, 257],
        &[257, 5],
        &[1021, 3],
        &[2, 1021],
    ];
    for (name, call) in calls {
        for dims in shapes {
            let classes = dims[dims.len() - 1];
            let labels = indices(shape(&dims[..dims.len() - 1]), 2, classes as u32);
            for (kind, targets) in [("labels", labels), ("probabilities", probabilities(dims, 3))] {
                let name = format!("{name} of {dims:?} with {kind}");
                let inputs = vec![signed(shape(dims), 1), targets];
                cases.push(Case::new(name, inputs, move |g, x| call(g, x[0], x[1])));
            }
        }
    }
    let inputs = vec![signed([6, 5], 1), signed([6, 5], 2)];
    cases.push(Case::new("softmax_cross_entropy with weights of both signs", inputs, |g, x| {
        g.softmax_cross_entropy(x[0], x[1])
    }));
    let inputs = vec![signed([6, 5], 1), indices([6], 2, 5)];
    cases.push(Case::new("softmax_cross_entropy with one-hot rows", inputs, |g, x| {
        g.softmax_cross_entropy(x[0], g.one_hot(x[1], 5)?)
    }));
}

fn softmax_hostile(cases: &mut Vec<Case>) {
    for dims in [[34, 17], [5, 257], [3, 1021]] {
        let large = Input::F32(shape(&dims), vec![400.0; dims[0] * dims[1]]);
        let inputs = [
            ("hostile numbers", hostile(dims)),
            ("-400..400", uniform(dims, 4, -400.0, 400.0)),
            ("ties at 400", large),
        ];
        for (what, input) in inputs {
            let labels = indices([dims[0]], 5, dims[1] as u32);
            let targets = [
                ("labels", labels),
                ("probabilities", probabilities(&dims, 6)),
                ("hostile targets", hostile(dims)),
            ];
            for (kind, targets) in targets {
                let name = format!("softmax_cross_entropy of {what} {dims:?} with {kind}");
                let case = Case::new(name, vec![input.clone(), targets], |g, x| {
                    g.softmax_cross_entropy_rows(x[0], x[1])
                });
                cases.push(case.rough());
            }
        }
    }
}

/// Logits of -inf at classes that no target weighs, and computed labels past the last class.
fn softmax_masked(cases: &mut Vec<Case>) {
    for classes in [7, 257] {
        let label = |row: usize| (row * 3) % classes;
        let masked = |i: usize| i % classes != label(i / classes) && !i.is_multiple_of(3);
        let logits = noise(5 * classes, 1, -2.0, 2.0).into_iter().enumerate();
        let logits = logits.map(|(i, x)| if masked(i) { f32::NEG_INFINITY } else { x }).collect();
        let logits = Input::F32(shape(&[5, classes]), logits);
        let labels = Input::U32(shape(&[5]), (0..5).map(|row| label(row) as u32).collect());
        let name = format!("softmax_cross_entropy of {classes} masked classes");
        let inputs = vec![logits, labels];
        let labels_case = Case::new(format!("{name} with labels"), inputs.clone(), |g, x| {
            g.softmax_cross_entropy_rows(x[0], x[1])
        });
        let soft_case = Case::new(format!("{name} with one-hot rows"), inputs, move |g, x| {
            g.softmax_cross_entropy_rows(x[0], g.one_hot(x[1], classes)?)
        });
        cases.extend([labels_case.rough(), soft_case.rough()]);
        let inputs = vec![signed([5, classes], 2), distinct([5, 1021], 3)];
        let name = format!("softmax_cross_entropy of {classes} classes with labels past the end");
        cases.push(Case::new(name, inputs, |g, x| g.softmax_cross_entropy(x[0], g.argmax(x[1], 1)?)));
    }
}

fn elementwise(cases: &mut Vec<Case>) {
    let calls: [(&str, Call); 3] = [
        ("sigmoid_binary_cross_entropy", |g, x, t| g.sigmoid_binary_cross_entropy(x, t)),
        ("sigmoid_binary_cross_entropy_elements", |g, x, t| g.sigmoid_binary_cross_entropy_elements(x, t)),
        ("mean_squared_error", |g, x, t| g.mean_squared_error(x, t)),
    ];
    for (name, call) in calls {
        for n in SIZES {
            let inputs = vec![signed([n], 1), uniform([n], 2, 0.0, 1.0)];
            cases.push(Case::new(format!("{name} of [{n}]"), inputs, move |g, x| call(g, x[0], x[1])));
        }
        for dims in [&[][..], &[5, 13], &[2, 3, 5]] {
            let inputs = vec![signed(shape(dims), 3), uniform(shape(dims), 4, 0.0, 1.0)];
            cases.push(Case::new(format!("{name} of {dims:?}"), inputs, move |g, x| call(g, x[0], x[1])));
        }
        let ends: Vec<f32> = (0..300).map(|i| (i % 2) as f32).collect();
        let wide = uniform([300], 5, -400.0, 400.0);
        let hostiles = [
            ("-400..400 and certain targets", wide.clone(), Input::F32(shape(&[300]), ends)),
            ("-400..400 and targets between", wide, uniform([300], 6, 0.0, 1.0)),
            ("hostile numbers", hostile([17, 3]), uniform([17, 3], 7, 0.0, 1.0)),
            ("hostile targets", uniform([17, 3], 8, -3.0, 3.0), hostile([17, 3])),
        ];
        for (what, x, t) in hostiles {
            let case = Case::new(format!("{name} of {what}"), vec![x, t], move |g, x| call(g, x[0], x[1]));
            cases.push(case.rough());
        }
    }
}
