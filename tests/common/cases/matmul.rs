//! Matrix products.

use super::super::data::{hostile, signed};
use super::super::{Case, Input};
use retape::Shape;
use retape::ops::{MatmulOptions, MatmulRoute};

pub fn cases() -> Vec<Case> {
    let mut cases = Vec::new();
    plain(&mut cases);
    batched(&mut cases);
    broadcast(&mut cases);
    // The reference does not depend on the route, so `plain` has its finite differences.
    let forced = MatmulRoute::ALL.iter().copied().filter(|&r| r != MatmulRoute::Auto);
    cases.extend(forced.flat_map(routed).map(Case::rough));
    cases
}

fn product(
    [m, k, n]: [usize; 3],
    [ta, tb]: [bool; 2],
    route: MatmulRoute,
    fill: impl Fn([usize; 2], u32) -> Input,
) -> Case {
    let a = if ta { [k, m] } else { [m, k] };
    let b = if tb { [n, k] } else { [k, n] };
    let name = format!("matmul {m}x{k}x{n}, transposed {ta} {tb}, {route:?}");
    Case::new(name, vec![fill(a, 1), fill(b, 2)], move |g, x| {
        g.matmul_by(x[0], x[1], MatmulOptions::new().transpose_a(ta).transpose_b(tb).route(route))
    })
}

const SIDES: [[bool; 2]; 4] = [[false, false], [true, false], [false, true], [true, true]];

fn plain(cases: &mut Vec<Case>) {
    let sizes = [
        [1, 1, 1],
        [1, 7, 1],
        [5, 1, 3],
        [3, 5, 7],
        [8, 8, 8],
        [16, 16, 16],
        [17, 31, 13],
        [64, 64, 64],
        [63, 65, 67],
        [128, 96, 10],
        [130, 3, 129],
        [1, 512, 33],
        [33, 512, 1],
        [500, 40, 64],
    ];
    for size in sizes {
        for sides in SIDES {
            cases.push(product(size, sides, MatmulRoute::Auto, signed));
        }
    }
    let fill = |shape: [usize; 2], _| hostile(shape);
    cases.push(product([17, 20, 9], [false, false], MatmulRoute::Auto, fill).rough());
}

fn batched(cases: &mut Vec<Case>) {
    for route in [MatmulRoute::Auto, MatmulRoute::Naive] {
        cases.extend(batches(route));
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
}

/// Batches that broadcast, by one axis or several, on either side or both; large enough for every kernel.
fn broadcast(cases: &mut Vec<Case>) {
    let leads: [[&[usize]; 2]; 9] = [
        [&[4], &[1]],
        [&[1], &[3]],
        [&[1], &[1]],
        [&[2, 1], &[3]],
        [&[2, 1], &[1, 3]],
        [&[2, 3], &[3]],
        [&[2, 1, 3], &[2, 4, 1]],
        [&[2, 1, 2, 1], &[1, 3, 1, 2]],
        [&[1, 3], &[2, 1, 1, 1]],
    ];
    for [a, b] in leads {
        for ([m, k, n], [ta, tb]) in
            [([3, 5, 2], [false; 2]), ([17, 9, 12], [true, false]), ([33, 40, 36], [false, true])]
        {
            let matrix =
                |rows, columns, transposed| if transposed { [columns, rows] } else { [rows, columns] };
            let shape =
                |lead: &[usize], last: [usize; 2]| Shape::new(&[lead, &last].concat()).expect("rank fits");
            let (a, b) = (shape(a, matrix(m, k, ta)), shape(b, matrix(k, n, tb)));
            let name = format!("matmul {a} {b}, broadcast, transposed {ta} {tb}");
            let inputs = vec![signed(a, 1), signed(b, 2)];
            cases.push(Case::new(name, inputs, move |g, x| g.matmul_with(x[0], x[1], ta, tb)));
        }
    }
}

/// Three products at a time, sizes that are multiples of four and sizes that are not.
fn batches(route: MatmulRoute) -> Vec<Case> {
    let mut cases = Vec::new();
    for [m, k, n] in [[17, 9, 5], [16, 12, 8]] {
        for [ta, tb] in [[false; 2], [true; 2]] {
            let a = if ta { [3, k, m] } else { [3, m, k] };
            let b = if tb { [3, n, k] } else { [3, k, n] };
            let name = format!("batched matmul {a:?} {b:?}, transposed {ta} {tb}, {route:?}");
            cases.push(Case::new(name, vec![signed(a, 1), signed(b, 2)], move |g, x| {
                g.matmul_by(x[0], x[1], MatmulOptions::new().transpose_a(ta).transpose_b(tb).route(route))
            }));
        }
    }
    cases
}

/// One kernel at the shapes it can get wrong: 1s, primes, k of 1 and of no multiple of four, and
/// its tile and stage sizes plus and minus one. Each case is three products, since gradients take
/// the route too: with neither or both sides transposed, they cover every combination.
fn routed(route: MatmulRoute) -> Vec<Case> {
    let sizes = [
        [1, 1, 1],
        [1, 3, 2],
        [7, 1, 5],
        [4, 4, 4],
        [7, 9, 8],
        [8, 7, 9],
        [9, 16, 31],
        [15, 17, 32],
        [16, 8, 33],
        [17, 15, 16],
        [31, 33, 64],
        [32, 5, 36],
        [33, 32, 63],
        [63, 12, 65],
        [64, 64, 64],
        [65, 63, 61],
        [127, 24, 128],
        [128, 50, 129],
        [129, 128, 127],
        [132, 100, 20],
    ];
    let mut cases = batches(route);
    for size in sizes {
        for sides in [[false; 2], [true; 2]] {
            cases.push(product(size, sides, route, signed));
        }
    }
    for size in [[17, 20, 9], [20, 18, 36]] {
        for sides in [[false; 2], [true; 2]] {
            cases.push(product(size, sides, route, |shape, _| hostile(shape)));
        }
    }
    cases
}
