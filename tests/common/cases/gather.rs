//! Rows picked by index, and one-hot rows.

use retape::{Graph, Shape, Value};

use super::super::data::{distinct, hostile, indices, signed};
use super::super::{Case, Input};
use super::SIZES;

pub fn cases() -> Vec<Case> {
    let mut cases = Vec::new();
    gathers(&mut cases);
    repeats(&mut cases);
    past_the_end(&mut cases);
    sorted(&mut cases);
    paddings(&mut cases);
    one_hots(&mut cases);
    cases
}

fn shape(dims: &[usize]) -> Shape {
    Shape::new(dims).expect("rank fits")
}

fn gathers(cases: &mut Vec<Case>) {
    // Table, axis, indices: every position of the axis, rows that do and do not go by fours.
    let table: [(&[usize], isize, &[usize]); 14] = [
        (&[1], 0, &[1]),
        (&[7], 0, &[]),
        (&[13], -1, &[2, 3]),
        (&[5, 3], 0, &[4]),
        (&[5, 8], 0, &[3, 2]),
        (&[5, 3], 1, &[7]),
        (&[4, 8], -1, &[1, 5]),
        (&[2, 3, 4], 1, &[5]),
        (&[2, 1, 7], 1, &[3]),
        (&[2, 3, 2, 3], 2, &[2, 1, 3]),
        (&[65, 63], 0, &[64]),
        (&[257, 64], 0, &[13, 5]),
        (&[3, 1021], 1, &[65]),
        (&[1021, 4], 0, &[257]),
    ];
    for (dims, axis, picks) in table {
        let at = Shape::axis(&shape(dims), axis).expect("the axis fits");
        let index = indices(shape(picks), 2, dims[at] as u32);
        for values in [signed(shape(dims), 1), indices(shape(dims), 1, 1 << 20)] {
            let kind = if matches!(values, Input::F32(..)) { "f32" } else { "u32" };
            let name = format!("gather {picks:?} of {dims:?} along {axis}, {kind}");
            cases.push(Case::new(name, vec![values, index.clone()], move |g, x| g.gather(x[0], x[1], axis)));
        }
    }
    // The bits of a number arrive as they are, denormals too.
    let index = indices([40], 3, 17);
    cases.push(Case::new("gather of hostile numbers", vec![hostile([17, 3]), index], |g, x| {
        g.gather(x[0], x[1], 0)
    }));
}

/// Many indices of one row: long sums in its gradient, zeros in the others.
fn repeats(cases: &mut Vec<Case>) {
    for n in SIZES {
        let index = Input::U32(shape(&[n]), vec![1; n]);
        let name = format!("gather of row 1 {n} times");
        cases.push(Case::new(name, vec![signed([3, 4], n as u32), index], |g, x| g.gather(x[0], x[1], 0)));
    }
    let name = "a table gathered along two axes";
    let inputs = vec![signed([5, 6], 1), indices([9], 2, 5), indices([4], 3, 6)];
    cases.push(Case::new(name, inputs, |g, x| g.gather(g.gather(x[0], x[1], 0)?, x[2], 1)));
}

/// Indices made on the device, most of them past the last row, stay within the buffer.
fn past_the_end(cases: &mut Vec<Case>) {
    for columns in [3, 4] {
        let name = format!("gather of computed rows past the end, {columns} columns");
        cases.push(Case::new(name, vec![signed([5, columns], 1), distinct([9, 65], 2)], |g, x| {
            g.gather(x[0], g.argmax(x[1], 1)?, 0)
        }));
    }
    cases.push(Case::new("one_hot of computed indices past the end", vec![distinct([9, 65], 2)], |g, x| {
        g.one_hot(g.argmax(x[0], 1)?, 5)
    }));
}

/// Gradients of so many indices that they are sorted: numbers of passes from one to four, counts
/// around blocks of the sort (1024) and pieces of a run, several outer dimensions. The reference
/// does not sort: its finite differences are those of the small cases.
fn sorted(cases: &mut Vec<Case>) {
    // Table, axis, number of indices.
    let sizes: [(&[usize], isize, usize); 12] = [
        (&[7], 0, 70_001),
        (&[1, 13], 0, 30_011),
        (&[31, 65], 0, 257),
        (&[32, 64], 0, 1023),
        (&[33, 67], 0, 1024),
        (&[1021, 12], 0, 1025),
        (&[1024, 7], 0, 65),
        (&[1025, 16], 0, 2049),
        (&[8209, 1], 0, 63),
        (&[40_000, 4], 0, 33),
        (&[3, 257, 5], 1, 1021),
        (&[2, 65, 4, 8], -2, 3001),
    ];
    for (dims, axis, count) in sizes {
        let at = Shape::axis(&shape(dims), axis).expect("the axis fits");
        let index = indices([count], 5, dims[at] as u32);
        let name = format!("gather {count} of {dims:?} along {axis}, sorted");
        let values = signed(shape(dims), 1);
        cases.push(Case::new(name, vec![values, index], move |g, x| g.gather(x[0], x[1], axis)).rough());
    }
    // One row only, all of them in falling order, and runs that end beside the edges of pieces (64).
    let runs = |lengths: &[usize]| -> Vec<u32> {
        lengths.iter().enumerate().flat_map(|(row, &n)| vec![row as u32; n]).collect()
    };
    let patterns = [
        ("one row", vec![600; 3000]),
        ("distinct rows", (0..1021).rev().collect()),
        ("runs at the edges of pieces", runs(&[64, 63, 1, 65, 127, 128, 129, 1, 62, 64, 192, 600, 1200])),
        ("runs one word apart", (0..2500).map(|i| 2 * (i / 129)).collect()),
    ];
    for (what, data) in patterns {
        for columns in [68, 65] {
            let index = Input::U32(shape(&[data.len()]), data.clone());
            let name = format!("gather of {what}, {columns} columns, sorted");
            let values = signed([1021, columns], 2);
            cases.push(Case::new(name, vec![values, index], |g, x| g.gather(x[0], x[1], 0)).rough());
        }
    }
    // A vocabulary's table with a batch of sentences, half of them padding.
    let Input::U32(dims, mut words) = indices([64, 200], 6, 10_000) else { return };
    words.iter_mut().enumerate().filter(|(i, _)| i % 200 >= 100).for_each(|(_, word)| *word = 0);
    let inputs = vec![signed([10_000, 4], 3), Input::U32(dims, words)];
    cases.push(Case::new("gather of a batch of words", inputs, |g, x| g.gather(x[0], x[1], 0)).rough());
}

/// A row without a gradient: directly and sorted, the first row, the last and one in between.
fn paddings(cases: &mut Vec<Case>) {
    for (columns, count) in [(3, 50), (4, 50), (65, 3000), (64, 3000)] {
        for padding in [0, 5, 96] {
            let Input::U32(dims, mut words) = indices([count], 7, 97) else { return };
            words.iter_mut().step_by(2).for_each(|word| *word = padding);
            let name = format!("embedding {count} of [97, {columns}], padding {padding}");
            let inputs = vec![signed([97, columns], 4), Input::U32(dims, words)];
            // Finite differences see the padding as well.
            let lookup = move |g: &mut Graph, x: &[Value]| g.embedding(x[0], x[1], Some(padding));
            cases.push(Case::new(name, inputs, lookup).rough());
        }
    }
}

fn one_hots(cases: &mut Vec<Case>) {
    for (dims, depth) in
        [(&[1][..], 1), (&[], 5), (&[7], 3), (&[3, 5], 10), (&[64], 65), (&[65], 64), (&[13], 257)]
    {
        let name = format!("one_hot of {dims:?}, depth {depth}");
        let index = indices(shape(dims), 4, depth as u32);
        cases.push(Case::new(name, vec![index], move |g, x| g.one_hot(x[0], depth)));
    }
    let inputs = vec![signed([6, 5], 1), indices([6], 2, 5)];
    cases.push(Case::new("a product with one_hot", inputs, |g, x| g.mul(x[0], g.one_hot(x[1], 5)?)));
}
