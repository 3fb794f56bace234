//! Matrix products.

use super::super::Case;
use super::super::data::{hostile, signed};

pub fn cases() -> Vec<Case> {
    let mut cases = Vec::new();
    let sizes = [
        (1, 1, 1),
        (1, 7, 1),
        (5, 1, 3),
        (3, 5, 7),
        (8, 8, 8),
        (16, 16, 16),
        (17, 31, 13),
        (64, 64, 64),
        (63, 65, 67),
        (128, 96, 10),
        (130, 3, 129),
        (1, 512, 33),
        (33, 512, 1),
        (500, 40, 64),
    ];
    for (m, k, n) in sizes {
        for (ta, tb) in [(false, false), (true, false), (false, true), (true, true)] {
            let a = if ta { [k, m] } else { [m, k] };
            let b = if tb { [n, k] } else { [k, n] };
            let name = format!("matmul {m}x{k}x{n}, transposed {ta} {tb}");
            cases.push(Case::new(name, vec![signed(a, 1), signed(b, 2)], move |g, x| {
                g.matmul_with(x[0], x[1], ta, tb)
            }));
        }
    }
    for (ta, tb) in [(false, false), (true, true)] {
        let a = if ta { [3, 9, 17] } else { [3, 17, 9] };
        let b = if tb { [3, 5, 9] } else { [3, 9, 5] };
        let name = format!("batched matmul {a:?} {b:?}, transposed {ta} {tb}");
        cases.push(Case::new(name, vec![signed(a, 1), signed(b, 2)], move |g, x| {
            g.matmul_with(x[0], x[1], ta, tb)
        }));
    }
    cases.push(Case::new(
        "matmul [4, 6, 5] by one [5, 7]",
        vec![signed([4, 6, 5], 1), signed([5, 7], 2)],
        |g, x| g.matmul(x[0], x[1]),
    ));
    cases.push(Case::new(
        "matmul one [6, 5] by [4, 5, 7]",
        vec![signed([6, 5], 1), signed([4, 5, 7], 2)],
        |g, x| g.matmul(x[0], x[1]),
    ));
    let batches = vec![signed([2, 3, 4, 5], 1), signed([2, 3, 5, 6], 2)];
    cases.push(Case::new("matmul with two batch axes", batches, |g, x| g.matmul(x[0], x[1])));
    let numbers = vec![hostile([17, 20]), hostile([20, 9])];
    cases.push(Case::new("matmul of hostile numbers", numbers, |g, x| g.matmul(x[0], x[1])).rough());
    cases
}
