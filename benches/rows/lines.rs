//! Operators that work row by row: softmax, the losses, and table look-ups.

use super::{Row, gradient, indices, step, uniform};

/// The logits of a large classifier.
const LOGITS: [usize; 2] = [1024, 1000];
/// A vocabulary's table, and a batch of sentences.
const TABLE: [usize; 2] = [2000, 32];
const WORDS: [usize; 2] = [32, 100];

pub fn rows() -> Vec<Row> {
    let mut rows = softmaxes();
    rows.extend(losses());
    rows.extend(lookups());
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
        Row::memory(format!("one_hot {WORDS:?} of 100"), |g| {
            let ids = indices(g, "ids", WORDS, 100);
            Ok(step(g.one_hot(ids.0, 100)?, vec![ids]))
        }),
    ]
}
