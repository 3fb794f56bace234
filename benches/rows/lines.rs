//! Operators that work row by row: softmax, the losses, what metrics count, table look-ups and
//! normalisation.

use retape::prelude::*;

use super::{Data, Row, gradient, indices, step, uniform};

/// The logits of a large classifier.
const LOGITS: [usize; 2] = [1024, 1000];
/// A vocabulary's table, and a batch of sentences.
const TABLE: [usize; 2] = [2000, 32];
const WORDS: [usize; 2] = [32, 100];
/// A larger vocabulary's table, and a batch of longer sentences.
const LARGE_TABLE: [usize; 2] = [10_000, 32];
const LARGE_WORDS: [usize; 2] = [64, 200];

pub fn rows() -> Vec<Row> {
    let mut rows = softmaxes();
    rows.extend(losses());
    rows.extend(counts());
    rows.extend(lookups());
    rows.extend(normalisations());
    rows
}

/// A form of normalisation of x by scale and shift.
type Norm = fn(&Graph, Value, Value, Value) -> retape::Result<Value>;

/// The forms, by where scale and shift begin: an axis, or `None` for channels alone.
const NORMS: [(&str, Option<usize>, Norm); 5] = [
    ("batch_norm", None, |g, x, scale, shift| Ok(g.batch_norm(x, scale, shift, 1e-5)?.y())),
    ("batch_norm_inference", None, |g, x, scale, shift| {
        let c = g.shape(scale)?.numel();
        let (mean, variance) = (g.constant([c], &vec![0.1; c])?, g.constant([c], &vec![0.4; c])?);
        g.batch_norm_inference(x, scale, shift, mean, variance, 1e-5)
    }),
    ("layer_norm", Some(1), |g, x, scale, shift| g.layer_norm(x, 1, scale, shift, 1e-5)),
    ("group_norm", None, |g, x, scale, shift| g.group_norm(x, 8, scale, shift, 1e-5)),
    ("instance_norm", None, |g, x, scale, shift| g.instance_norm(x, scale, shift, 1e-5)),
];

/// Feature maps of a large and a small layer, and the activations of a dense one.
fn normalisations() -> Vec<Row> {
    let mut rows = vec![Row::memory("update_running_stats [128, 512]", |g| {
        let x = uniform(g, "x", [128, 512], [-1.0, 1.0]);
        let norm = g.batch_norm(x.0, None, None, 1e-5)?;
        let (mean, variance) = (g.state("mean", [512], Init::Zeros), g.state("variance", [512], Init::Ones));
        g.update_running_stats(&norm, mean, variance, 0.1)?;
        Ok(super::Step { outputs: Vec::new(), inputs: vec![x] })
    })];
    for dims in [&[128, 32, 28, 28][..], &[32, 64, 8, 8], &[128, 512]] {
        for (name, axis, norm) in NORMS {
            // A single position has no variance.
            if name == "instance_norm" && dims.len() == 2 {
                continue;
            }
            for gradients in [false, true] {
                let what = if gradients { " gradient" } else { "" };
                rows.push(Row::memory(format!("{name}{what} {dims:?}"), move |g| {
                    let x = uniform(g, "x", Shape::new(dims)?, [-1.0, 1.0]);
                    let affine = Shape::new(axis.map_or(&dims[1..2], |axis| &dims[axis..]))?;
                    let scale = uniform(g, "scale", affine, [0.5, 1.5]);
                    let shift = uniform(g, "shift", affine, [-1.0, 1.0]);
                    let y = norm(g, x.0, scale.0, shift.0)?;
                    let inputs: Vec<(Value, Data)> = vec![x, scale, shift];
                    if gradients { gradient(g, y, inputs) } else { Ok(step(y, inputs)) }
                }));
            }
        }
    }
    rows
}

fn softmaxes() -> Vec<Row> {
    let mut rows = Vec::new();
    for axis in [1, 0] {
        for gradients in [false, true] {
            for log in [false, true] {
                let name = if log { "log_softmax" } else { "softmax" };
                let what = if gradients { " gradient" } else { "" };
                rows.push(Row::memory(format!("{name}{what} {LOGITS:?} along {axis}"), move |g| {
                    let x = uniform(g, "x", LOGITS, [-3.0, 3.0]);
                    let y = if log { g.log_softmax(x.0, axis)? } else { g.softmax(x.0, axis)? };
                    if gradients { gradient(g, y, vec![x]) } else { Ok(step(y, vec![x])) }
                }));
            }
        }
    }
    rows
}

fn losses() -> Vec<Row> {
    let classes = LOGITS[1] as u32;
    vec![
        Row::memory(format!("softmax_cross_entropy_rows {LOGITS:?}, labels"), move |g| {
            let (x, t) = (uniform(g, "x", LOGITS, [-3.0, 3.0]), indices(g, "t", [LOGITS[0]], classes));
            Ok(step(g.softmax_cross_entropy_rows(x.0, t.0)?, vec![x, t]))
        }),
        Row::memory(format!("softmax_cross_entropy_rows {LOGITS:?}, probabilities"), |g| {
            let (x, t) = (uniform(g, "x", LOGITS, [-3.0, 3.0]), uniform(g, "t", LOGITS, [0.0, 0.002]));
            Ok(step(g.softmax_cross_entropy_rows(x.0, t.0)?, vec![x, t]))
        }),
        Row::memory(format!("softmax_cross_entropy_grad {LOGITS:?}, labels"), move |g| {
            let (x, t) = (uniform(g, "x", LOGITS, [-3.0, 3.0]), indices(g, "t", [LOGITS[0]], classes));
            let loss = g.softmax_cross_entropy(x.0, t.0)?;
            Ok(step(g.differentiate(loss, &[x.0])?[0], vec![x, t]))
        }),
        Row::memory(format!("sigmoid_binary_cross_entropy {LOGITS:?}"), |g| {
            let (x, t) = (uniform(g, "x", LOGITS, [-3.0, 3.0]), uniform(g, "t", LOGITS, [0.0, 1.0]));
            Ok(step(g.sigmoid_binary_cross_entropy_elements(x.0, t.0)?, vec![x, t]))
        }),
        Row::memory(format!("sigmoid_binary_cross_entropy_grad {LOGITS:?}"), |g| {
            let (x, t) = (uniform(g, "x", LOGITS, [-3.0, 3.0]), uniform(g, "t", LOGITS, [0.0, 1.0]));
            let loss = g.sigmoid_binary_cross_entropy(x.0, t.0)?;
            Ok(step(g.differentiate(loss, &[x.0])?[0], vec![x, t]))
        }),
    ]
}

fn counts() -> Vec<Row> {
    let classes = LOGITS[1] as u32;
    let thresholds: Vec<f32> = (1..200).map(|i| i as f32 / 200.0).collect();
    vec![
        Row::memory(format!("categorical_accuracy_rows {LOGITS:?}"), move |g| {
            let (x, t) = (uniform(g, "x", LOGITS, [-3.0, 3.0]), indices(g, "t", [LOGITS[0]], classes));
            Ok(step(g.categorical_accuracy_rows(x.0, t.0)?, vec![x, t]))
        }),
        Row::memory(format!("in_top_k {LOGITS:?}, 5"), move |g| {
            let (x, t) = (uniform(g, "x", LOGITS, [-3.0, 3.0]), indices(g, "t", [LOGITS[0]], classes));
            Ok(step(g.in_top_k(x.0, t.0, 5)?, vec![x, t]))
        }),
        Row::memory(format!("predicted_classes {LOGITS:?}"), move |g| {
            let (x, t) = (uniform(g, "x", LOGITS, [-3.0, 3.0]), indices(g, "t", [LOGITS[0]], classes));
            Ok(step(g.predicted_classes(x.0, t.0)?, vec![x, t]))
        }),
        Row::memory("threshold_counts [1024, 10] at 199", move |g| {
            let [x, t] = ["x", "t"].map(|name| uniform(g, name, [1024, 10], [0.0, 1.0]));
            let mask = g.constant([1024], &[1.0f32; 1024])?;
            let thresholds = g.constant([199], &thresholds)?;
            Ok(step(g.threshold_counts(x.0, t.0, mask, thresholds)?, vec![x, t]))
        }),
    ]
}

fn lookups() -> Vec<Row> {
    let words = TABLE[0] as u32;
    vec![
        Row::memory(format!("gather {TABLE:?} by {WORDS:?}"), move |g| {
            let (table, ids) = (uniform(g, "table", TABLE, [-1.0, 1.0]), indices(g, "ids", WORDS, words));
            Ok(step(g.gather(table.0, ids.0, 0)?, vec![table, ids]))
        }),
        Row::memory(format!("gather_grad {TABLE:?} by {WORDS:?}"), move |g| {
            let (table, ids) = (uniform(g, "table", TABLE, [-1.0, 1.0]), indices(g, "ids", WORDS, words));
            let loss = g.sum(g.gather(table.0, ids.0, 0)?, &[], false)?;
            Ok(step(g.differentiate(loss, &[table.0])?[0], vec![table, ids]))
        }),
        Row::memory(format!("gather gradient {LARGE_TABLE:?} by {LARGE_WORDS:?}"), |g| {
            let table = uniform(g, "table", LARGE_TABLE, [-1.0, 1.0]);
            let ids = indices(g, "ids", LARGE_WORDS, LARGE_TABLE[0] as u32);
            let y = g.gather(table.0, ids.0, 0)?;
            gradient(g, y, vec![table, ids])
        }),
        Row::memory(format!("one_hot {WORDS:?} of 100"), |g| {
            let ids = indices(g, "ids", WORDS, 100);
            Ok(step(g.one_hot(ids.0, 100)?, vec![ids]))
        }),
        Row::memory(format!("sequence_lengths {LARGE_WORDS:?}"), |g| {
            let ids = indices(g, "ids", LARGE_WORDS, 2);
            Ok(step(g.sequence_lengths(ids.0, 0)?, vec![ids]))
        }),
        Row::memory(format!("padding_mask {LARGE_WORDS:?}"), |g| {
            let ids = indices(g, "ids", LARGE_WORDS, 2);
            Ok(step(g.padding_mask(ids.0, 0)?, vec![ids]))
        }),
    ]
}
