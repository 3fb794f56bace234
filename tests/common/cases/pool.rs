//! Pooling over windows of images.

use retape::prelude::*;
use retape::{Result, Shape};

use super::super::data::{distinct, hostile, noise, signed};
use super::super::{Case, Input};

type Call = fn(&Graph, Value, PoolOptions) -> Result<Value>;

const MAX: (&str, Call) = ("max", |g, x, options| g.max_pool2d(x, options));
const AVERAGE: (&str, Call) = ("average", |g, x, options| g.avg_pool2d(x, options));
const SUM: (&str, Call) = ("sum", |g, x, options| g.sum_pool2d(x, options));

pub fn cases() -> Vec<Case> {
    let mut cases = Vec::new();
    strides_and_tails(&mut cases);
    dilations(&mut cases);
    shapes(&mut cases);
    ceilings(&mut cases);
    ties(&mut cases);
    rough_numbers(&mut cases);
    adaptive(&mut cases);
    global(&mut cases);
    linear_gradients(&mut cases);
    cases
}

/// A case without ties: its maxima stay where they are within a finite difference.
fn case((name, call): (&str, Call), shape: [usize; 4], options: PoolOptions) -> Case {
    let input = if name == "max" { distinct(shape, 5) } else { signed(shape, 5) };
    let name = format!("{name} pooling of {shape:?}, {options:?}");
    Case::new(name, vec![input], move |g, x| call(g, x[0], options))
}

fn paddings() -> [Padding; 4] {
    [Padding::Valid, Padding::Same, Padding::Full, Padding::Explicit { top: 1, left: 0, bottom: 2, right: 1 }]
}

/// Strides against padding, at sizes whose tail leaves out 0, 1 and 2 rows.
fn strides_and_tails(cases: &mut Vec<Case>) {
    for stride in [1, 2, 3] {
        for padding in paddings() {
            for tail in [0, 1, 2] {
                let batch = if tail == 1 { 1 } else { 3 };
                let options = PoolOptions::new(3).stride(stride).padding(padding);
                let shape = [batch, 2, 6 + tail, 9 - tail];
                cases.push(case(MAX, shape, options));
                cases.push(case(AVERAGE, shape, options.count_include_pad(tail == 2)));
                if tail == 0 {
                    cases.push(case(SUM, shape, options));
                }
            }
        }
    }
    for padding in paddings() {
        for kind in [MAX, AVERAGE, SUM] {
            // Cells with gaps between the windows.
            cases.push(case(kind, [1, 3, 7, 8], PoolOptions::new(2).stride(3).padding(padding)));
            cases.push(case(kind, [3, 1, 8, 7], PoolOptions::new(2).padding(padding)));
        }
    }
}

fn dilations(cases: &mut Vec<Case>) {
    for stride in [1, 2, 3] {
        for padding in paddings() {
            let options = PoolOptions::new(3).stride(stride).padding(padding).dilation(2);
            cases.push(case(MAX, [1, 2, 8, 9], options));
            cases.push(case(MAX, [3, 1, 7, 10], options.ceil_mode()));
        }
    }
    // Taps in cells of their own.
    cases.push(case(MAX, [2, 2, 11, 9], PoolOptions::new(2).stride(4).dilation([3, 2])));
    cases.push(case(MAX, [2, 2, 11, 9], PoolOptions::new(2).stride(5).dilation(3).padding(Padding::Same)));
    // Taps that stride over the image, and still meet it.
    let over = PoolOptions::new(3).stride(4).dilation([4, 1]).padding(Padding::Full);
    cases.push(case(MAX, [1, 1, 3, 5], over));
}

fn shapes(cases: &mut Vec<Case>) {
    for kind in [MAX, AVERAGE, SUM] {
        cases.push(case(kind, [1, 1, 1, 1], PoolOptions::new(1)));
        cases.push(case(kind, [2, 3, 6, 8], PoolOptions::new([3, 2])));
        cases.push(case(kind, [2, 3, 7, 9], PoolOptions::new([1, 4]).stride([2, 1])));
        cases.push(case(kind, [1, 2, 9, 7], PoolOptions::new([5, 2]).stride([1, 3]).padding(Padding::Same)));
        cases.push(case(kind, [1, 1, 13, 17], PoolOptions::new(11).padding(Padding::symmetric(5)).stride(1)));
        cases.push(case(kind, [1, 1, 3, 257], PoolOptions::new([3, 2])));
        cases.push(case(kind, [5, 67, 2, 2], PoolOptions::new(2)));
        // Rows enough that a thread takes a whole one.
        cases.push(case(kind, [8, 65, 4, 7], PoolOptions::new([2, 3]).stride([2, 2])));
        cases.push(case(kind, [2, 3, 10, 10], PoolOptions::new(5)));
        // One window, with a stride that leads nowhere, and many that nearly cover the image.
        cases.push(case(kind, [1, 2, 5, 6], PoolOptions::new([4, 5]).stride((1 << 31) - 1)));
        cases.push(case(kind, [1, 2, 7, 6], PoolOptions::new(6).stride(1)));
    }
    let sequences: [(&str, Call); 2] =
        [("max", |g, x, o| g.max_pool1d(x, o)), ("average", |g, x, o| g.avg_pool1d(x, o))];
    for (name, call) in sequences {
        for padding in paddings() {
            let options = PoolOptions::new(3).stride(2).padding(padding);
            let case_name = format!("{name} pooling of a sequence, {options:?}");
            let input = vec![distinct([2, 3, 11], 2)];
            cases.push(Case::new(case_name, input, move |g, x| call(g, x[0], options)));
        }
    }
}

/// Windows that hang over the end, and what an average divides them by.
fn ceilings(cases: &mut Vec<Case>) {
    for kind in [MAX, AVERAGE, SUM] {
        for (size, stride, pad) in [(2, 2, 0), (3, 2, 0), (3, 2, 1), (2, 3, 1), (3, 3, 1), (4, 3, 2)] {
            for side in [6, 7, 8] {
                let options = PoolOptions::new(size).stride(stride).ceil_mode();
                let options = options.padding(Padding::symmetric(pad)).count_include_pad(side != 7);
                cases.push(case(kind, [1, 2, side, side + 1], options));
            }
        }
        // The only window hangs over the image.
        for (size, stride, sides) in [(3, 2, [2, 2]), (4, 3, [2, 5]), (3, 2, [4, 2])] {
            let options = PoolOptions::new(size).stride(stride).ceil_mode();
            cases.push(case(kind, [2, 3, sides[0], sides[1]], options));
        }
    }
}

/// Equal maxima: forward and gradient agree on which counts, whichever kernel computes them.
fn ties(cases: &mut Vec<Case>) {
    let shape = Shape::from([2, 3, 9, 8]);
    let n = shape.numel();
    let relu = noise(n, 8, -1.0, 1.0).into_iter().map(|v| v.max(0.0)).collect();
    let few = noise(n, 9, 0.0, 3.0).into_iter().map(f32::floor).collect();
    let signs = (0..n).map(|i| if i % 3 == 1 { -0.0 } else { 0.0 }).collect();
    let inputs: [(&str, Vec<f32>); 5] = [
        ("equal numbers", vec![-2.5; n]),
        ("relu's zeros", relu),
        ("three numbers", few),
        ("zeros of both signs", signs),
        ("minus infinity", vec![f32::NEG_INFINITY; n]),
    ];
    for (what, data) in inputs {
        for options in windows() {
            let input = Input::F32(shape, data.clone());
            let name = format!("max pooling of {what}, {options:?}");
            cases.push(Case::new(name, vec![input], move |g, x| g.max_pool2d(x[0], options)).rough());
        }
    }
}

fn windows() -> [PoolOptions; 7] {
    [
        PoolOptions::new(2),
        PoolOptions::new(3).padding(Padding::symmetric(1)),
        PoolOptions::new(3).stride(1).padding(Padding::Same),
        PoolOptions::new(3).stride(2).ceil_mode(),
        PoolOptions::new(2).stride(1).dilation(2).padding(Padding::Full),
        PoolOptions::new([9, 8]),
        PoolOptions::new([5, 6]),
    ]
}

/// Denormals, large numbers, infinities, and a NaN, which a maximum passes on.
fn rough_numbers(cases: &mut Vec<Case>) {
    let shape = Shape::from([2, 3, 9, 8]);
    let some = |special: f32| {
        let data = noise(shape.numel(), 3, -400.0, 400.0).into_iter().enumerate();
        Input::F32(shape, data.map(|(i, v)| if i % 23 == 5 { special } else { v }).collect())
    };
    for options in windows() {
        let mut inputs = vec![("hostile numbers", hostile(shape))];
        if options != PoolOptions::new(2).stride(1).dilation(2).padding(Padding::Full) {
            for (kind, call) in [AVERAGE, SUM] {
                let name = format!("{kind} pooling of hostile numbers, {options:?}");
                let input = vec![hostile(shape)];
                cases.push(Case::new(name, input, move |g, x| call(g, x[0], options)).rough());
            }
        }
        inputs.push(("some minus infinity", some(f32::NEG_INFINITY)));
        inputs.push(("some infinity", some(f32::INFINITY)));
        inputs.push(("some NaN", some(f32::NAN)));
        inputs.push(("some negative NaN", some(-f32::NAN)));
        inputs.push(("the largest numbers", some(f32::MAX)));
        for (what, input) in inputs {
            let name = format!("max pooling of {what}, {options:?}");
            cases.push(Case::new(name, vec![input], move |g, x| g.max_pool2d(x[0], options)).rough());
        }
    }
}

fn adaptive(cases: &mut Vec<Case>) {
    // Even and uneven windows, overlapping ones, more windows than elements.
    for (shape, size) in [
        ([2, 3, 8, 6], [4, 2]),
        ([1, 2, 7, 10], [3, 4]),
        ([2, 1, 5, 13], [5, 7]),
        ([1, 1, 3, 4], [7, 9]),
        ([3, 2, 9, 8], [1, 1]),
        ([2, 2, 1, 257], [1, 63]),
        ([1, 2, 10, 10], [10, 3]),
        ([1, 1, 1, 100_003], [1, 9973]),
        ([5, 65, 3, 4], [2, 3]),
    ] {
        let name = format!("adaptive average pooling of {shape:?} to {size:?}");
        let call = move |g: &mut Graph, x: &[Value]| g.adaptive_avg_pool2d(x[0], size);
        cases.push(Case::new(name.clone(), vec![signed(shape, 1)], call));
        cases.push(Case::new(name + ", hostile numbers", vec![hostile(shape)], call).rough());
    }
}

fn global(cases: &mut Vec<Case>) {
    for shape in [[2, 3, 5, 7], [1, 1, 1, 1], [3, 65, 7, 7], [1, 2, 64, 65]] {
        let name = format!("global average pooling of {shape:?}");
        cases.push(Case::new(name, vec![signed(shape, 1)], |g, x| g.global_avg_pool2d(x[0])));
        let name = format!("global max pooling of {shape:?}");
        cases.push(Case::new(name, vec![distinct(shape, 1)], |g, x| g.global_max_pool2d(x[0])));
    }
}

/// The gradients of averages and sums as operators of their own: linear in the given gradient.
fn linear_gradients(cases: &mut Vec<Case>) {
    let calls: [(&str, Call); 3] =
        [AVERAGE, SUM, ("adaptive average", |g, x, _| g.adaptive_avg_pool2d(x, [3, 4]))];
    for (name, call) in calls {
        let options = PoolOptions::new(3).stride([3, 2]).padding(Padding::Same);
        let name = format!("gradient of {name} pooling");
        cases.push(Case::new(name, vec![signed([2, 1, 7, 8], 1), signed([2, 1, 3, 4], 2)], move |g, x| {
            let total = g.sum(g.mul(call(g, x[0], options)?, x[1])?, &[], false)?;
            // That of the square depends on both inputs.
            Ok(g.differentiate(g.mul(total, total)?, &[x[0]])?[0])
        }));
    }
}
