//! Softmax and log-softmax.

use retape::{Graph, Shape, Value};

use super::super::data::{distinct, hostile, signed, uniform};
use super::super::{Case, Input};
use super::SIZES;

type Call = fn(&Graph, Value, isize) -> retape::Result<Value>;

const KINDS: [(&str, Call); 2] =
    [("softmax", |g, x, axis| g.softmax(x, axis)), ("log_softmax", |g, x, axis| g.log_softmax(x, axis))];

pub fn cases() -> Vec<Case> {
    // First, middle and last axes; rows on both sides of where a workgroup takes one.
    let table: [(&[usize], isize); 16] = [
        (&[1], 0),
        (&[5, 13], 0),
        (&[5, 13], 1),
        (&[13, 1], -1),
        (&[1, 17], 0),
        (&[3, 4, 5], 1),
        (&[2, 3, 2, 3], -2),
        (&[65, 10], -1),
        (&[63, 127], 1),
        (&[3, 128], 1),
        (&[129, 7], 0),
        (&[2, 257, 3], 1),
        (&[1021, 3], 0),
        (&[3, 1021], 1),
        (&[1021, 5], 1),
        (&[2, 20_011], 1),
    ];
    let mut cases = Vec::new();
    for (kind, call) in KINDS {
        for (dims, axis) in table {
            let shape = Shape::new(dims).expect("rank fits");
            let name = format!("{kind} of {dims:?} along {axis}");
            cases.push(Case::new(name, vec![signed(shape, 1)], move |g, x| call(g, x[0], axis)));
        }
        for n in SIZES {
            let name = format!("{kind} of a row of {n}");
            cases.push(Case::new(name, vec![signed([n], n as u32)], move |g, x| call(g, x[0], 0)));
        }
        hostiles(kind, call, &mut cases);
    }
    cases
}

fn hostiles(kind: &str, call: Call, cases: &mut Vec<Case>) {
    let large = |x: f32| Input::F32(Shape::from([3, 200]), vec![x; 600]);
    // One in three along either axis, never a whole line, whose softmax is not defined.
    let mask = |i: usize| if i / 200 == i % 3 { f32::NEG_INFINITY } else { 0.01 * i as f32 };
    let masked = Input::F32(Shape::from([3, 200]), (0..600).map(mask).collect());
    let inputs = [
        ("hostile numbers", hostile([9, 17])),
        ("long hostile rows", hostile([5, 257])),
        ("distinct numbers", distinct([4, 1021], 3)),
        ("-400..400", uniform([6, 130], 4, -400.0, 400.0)),
        ("-1..1 past 400", uniform([6, 130], 5, 399.0, 401.0)),
        ("zeros", large(0.0)),
        ("ties at 400", large(400.0)),
        ("ties at -400", large(-400.0)),
        ("the largest numbers", large(3e38)),
        ("masked numbers", masked),
    ];
    for (what, input) in inputs {
        for axis in [0, 1] {
            let name = format!("{kind} of {what} along {axis}");
            cases.push(Case::new(name, vec![input.clone()], move |g, x| call(g, x[0], axis)).rough());
        }
    }
}
