//! Operators that move elements.

use retape::ops::SliceRange;
use retape::{Graph, Value};

use super::super::data::{indices, signed};
use super::super::{Case, Input};

pub fn cases() -> Vec<Case> {
    let mut cases = Vec::new();
    transposes(&mut cases);
    reshapes(&mut cases);
    slices(&mut cases);
    pads(&mut cases);
    concats(&mut cases);
    cases
}

/// The moved value doubled, so that a kernel reads what the move wrote; gradients still check.
fn doubled(g: &mut Graph, moved: Value) -> retape::Result<Value> {
    if g.ty(moved)?.dtype == retape::DType::F32 { g.add(moved, moved) } else { Ok(moved) }
}

fn transposes(cases: &mut Vec<Case>) {
    let shapes: [(&[usize], &[usize]); 6] = [
        (&[3, 5], &[1, 0]),
        (&[64, 65], &[1, 0]),
        (&[2, 3, 4], &[2, 0, 1]),
        (&[4, 1, 8, 3], &[0, 2, 1, 3]),
        (&[2, 3, 1, 2, 3, 2], &[5, 3, 1, 4, 0, 2]),
        (&[7], &[0]),
    ];
    for (dims, axes) in shapes {
        let shape = retape::Shape::new(dims).expect("rank fits");
        for input in [signed(shape, 1), indices(shape, 1, 1000)] {
            let name = format!("transpose {axes:?} of {dims:?}, {}", dtype(&input));
            cases.push(Case::new(name, vec![input], move |g, x| {
                let moved = g.transpose(x[0], axes)?;
                doubled(g, moved)
            }));
        }
    }
}

fn dtype(input: &Input) -> &'static str {
    if matches!(input, Input::F32(..)) { "f32" } else { "u32" }
}

fn reshapes(cases: &mut Vec<Case>) {
    cases.push(Case::new("reshape [6, 4] to [3, 8]", vec![signed([6, 4], 1)], |g, x| {
        let moved = g.reshape(x[0], [3, 8])?;
        doubled(g, moved)
    }));
    cases.push(Case::new("flatten [2, 3, 5]", vec![signed([2, 3, 5], 1)], |g, x| {
        let moved = g.flatten(x[0])?;
        doubled(g, moved)
    }));
    cases.push(Case::new("copy [65]", vec![signed([65], 1)], |g, x| {
        let moved = g.copy(x[0])?;
        doubled(g, moved)
    }));
    cases.push(Case::new("a per-step scalar", vec![signed([5], 1)], |g, x| {
        g.mul(x[0], g.scalar_value(g.scalar("rate", 0.37)?)?)
    }));
    cases.push(
        Case::new("stop_gradient in x * stop(x)", vec![signed([5], 1)], |g, x| {
            g.mul(x[0], g.stop_gradient(x[0])?)
        })
        .rough(),
    );
    let stretches: [(&[usize], &[usize]); 4] =
        [(&[1], &[5]), (&[3, 1], &[3, 7]), (&[4], &[3, 4]), (&[2, 1, 3, 1], &[2, 5, 3, 65])];
    for (from, to) in stretches {
        let (from_shape, to_shape) =
            (retape::Shape::new(from).expect("rank fits"), retape::Shape::new(to).expect("rank fits"));
        cases.push(Case::new(
            format!("broadcast {from:?} to {to:?}"),
            vec![signed(from_shape, 1)],
            move |g, x| g.broadcast_to(x[0], to_shape),
        ));
    }
}

fn slices(cases: &mut Vec<Case>) {
    let range = |start, stop, step| SliceRange { start, stop, step };
    let table: [(&[usize], Vec<SliceRange>); 6] = [
        (&[10], vec![range(2, 9, 3)]),
        (&[8, 12], vec![range(0, 8, 1), range(4, 8, 1)]),
        (&[5, 7], vec![range(1, 4, 2), range(0, 7, 6)]),
        (&[3, 4, 5], vec![range(2, 3, 1), range(0, 4, 1), range(1, 5, 1)]),
        (&[1021], vec![range(1, 1021, 1)]),
        (&[2, 2, 2, 2, 2, 3], vec![range(1, 2, 1); 6]),
    ];
    for (dims, ranges) in table {
        let shape = retape::Shape::new(dims).expect("rank fits");
        for input in [signed(shape, 1), indices(shape, 2, 50)] {
            let ranges = ranges.clone();
            let name = format!("slice {ranges:?} of {dims:?}, {}", dtype(&input));
            cases.push(Case::new(name, vec![input], move |g, x| g.slice(x[0], &ranges)));
        }
    }
}

fn pads(cases: &mut Vec<Case>) {
    type Row = (&'static [usize], Vec<(usize, usize)>, f32);
    let table: [Row; 4] = [
        (&[5], vec![(2, 1)], 0.0),
        (&[4, 8], vec![(0, 1), (4, 4)], 7.0),
        (&[3, 1, 5], vec![(1, 0), (2, 2), (0, 3)], -1.5),
        (&[65], vec![(0, 0)], 1.0),
    ];
    for (dims, padding, value) in table {
        let shape = retape::Shape::new(dims).expect("rank fits");
        let name = format!("pad {padding:?} of {dims:?} with {value}");
        cases.push(Case::new(name, vec![signed(shape, 1)], move |g, x| g.pad(x[0], &padding, value)));
    }
    cases.push(Case::new("pad of u32", vec![indices([6], 1, 9)], |g, x| g.pad(x[0], &[(1, 2)], 3.0)));
}

fn concats(cases: &mut Vec<Case>) {
    for (axis, shapes) in [
        (0, vec![[2, 3], [1, 3], [4, 3]]),
        (1, vec![[3, 4], [3, 8], [3, 4]]),
        (-1, vec![[5, 1], [5, 6], [5, 2]]),
        (0, vec![[1, 1]]),
    ] {
        let inputs = shapes.iter().enumerate().map(|(i, &s)| signed(s, i as u32)).collect();
        cases.push(Case::new(format!("concat {shapes:?} along {axis}"), inputs, move |g, x| {
            g.concat(x, axis)
        }));
    }
    cases.push(Case::new("concat of a value with itself", vec![signed([3, 2], 1)], |g, x| {
        g.concat(&[x[0], x[0]], 1)
    }));
}
