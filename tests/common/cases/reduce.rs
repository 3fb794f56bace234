//! Reductions and argmax.

use retape::ops::Reduction;

use super::super::Case;
use super::super::data::{distinct, hostile, signed};

pub fn cases() -> Vec<Case> {
    let table: [(&[usize], &[isize]); 16] = [
        (&[1], &[]),
        (&[7], &[0]),
        (&[128], &[]),
        (&[5, 13], &[0]),
        (&[5, 13], &[1]),
        (&[65, 129], &[-1]),
        (&[129, 65], &[0]),
        (&[3, 4, 5], &[1]),
        (&[3, 4, 5], &[0, 2]),
        (&[2, 3, 2, 3, 2, 3], &[0, 2, 4]),
        (&[2, 3, 2, 3, 2, 3], &[1, 3, 5]),
        (&[4, 1, 6], &[1]),
        (&[4, 256], &[1]),
        (&[20_011], &[]),
        (&[3, 17_000], &[1]),
        (&[130, 7, 130], &[0, 2]),
    ];
    let mut cases = Vec::new();
    for &kind in Reduction::ALL {
        for (dims, axes) in table {
            for keepdims in [false, true] {
                let shape = retape::Shape::new(dims).expect("rank fits");
                let input = match kind {
                    Reduction::Sum | Reduction::Mean => signed(shape, 1),
                    Reduction::Max | Reduction::Min => distinct(shape, 1),
                    other => panic!("{other:?} has no case"),
                };
                let name = format!("{kind:?} of {dims:?} over {axes:?}, keepdims {keepdims}");
                cases.push(Case::new(name, vec![input], move |g, x| g.reduce(kind, x[0], axes, keepdims)));
            }
        }
        let name = format!("{kind:?} of hostile numbers");
        cases.push(
            Case::new(name, vec![hostile([9, 17])], move |g, x| g.reduce(kind, x[0], &[1], false)).rough(),
        );
    }
    for (dims, axis) in [([1, 1], 0), ([5, 13], 1), ([13, 5], 0), ([65, 10], -1), ([64, 257], 1)] {
        let name = format!("argmax of {dims:?} along {axis}");
        cases.push(Case::new(name, vec![distinct(dims, 3)], move |g, x| g.argmax(x[0], axis)));
    }
    cases.push(Case::new("argmax of ties", vec![hostile([9, 17])], |g, x| g.argmax(x[0], 1)));
    cases
}
