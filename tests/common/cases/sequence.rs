//! Lengths and masks of padded sequences.

use retape::Shape;

use super::super::data::signed;
use super::super::{Case, Input};
use super::SIZES;

pub fn cases() -> Vec<Case> {
    let mut cases = Vec::new();
    for time in SIZES {
        for padding in [0, 3, u32::MAX] {
            let name = format!("of 13 sequences of {time}, padding {padding}");
            let words = sentences(13, time, padding);
            cases.push(Case::new(format!("sequence_lengths {name}"), vec![words.clone()], move |g, x| {
                g.sequence_lengths(x[0], padding)
            }));
            cases.push(Case::new(format!("padding_mask {name}"), vec![words], move |g, x| {
                g.padding_mask(x[0], padding)
            }));
        }
    }
    for batch in [1, 63, 64, 65, 257] {
        let words = sentences(batch, 5, 2);
        cases.push(Case::new(format!("sequence_lengths of {batch}"), vec![words], |g, x| {
            g.sequence_lengths(x[0], 2)
        }));
    }
    let masked = vec![signed([7, 11, 3], 1), sentences(7, 11, 0)];
    cases.push(Case::new("a product with padding_mask", masked, |g, x| {
        g.mul(x[0], g.reshape(g.padding_mask(x[1], 0)?, [7, 11, 1])?)
    }));
    let looked_up = vec![signed([12, 5], 1), sentences(7, 11, 0)];
    cases.push(Case::new("a look-up of sequence_lengths", looked_up, |g, x| {
        g.gather(x[0], g.sequence_lengths(x[1], 0)?, 0)
    }));
    cases
}

/// Rows of every length, nothing and all of the time among them, with padding inside them too.
fn sentences(batch: usize, time: usize, padding: u32) -> Input {
    let word = |i: usize| {
        let (row, t) = (i / time, i % time);
        let length = [time, 0, 1, time / 2, time - 1][row % 5];
        let word = (row * 7 + t * 5) as u32 % 11;
        // The last word of a sequence is one.
        if t >= length || (t + 1 < length && word == 4) { padding } else { word + u32::from(word >= padding) }
    };
    let shape = Shape::from([batch, time]);
    Input::U32(shape, (0..batch * time).map(word).collect())
}
