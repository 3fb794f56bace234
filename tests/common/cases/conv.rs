//! Convolution with its gradients, by every route: the grid of strides, paddings, dilations, groups,
//! tails and batches, then the sizes that fill each kernel.

use retape::ops::{ConvOptions, ConvRoute, Padding};
use retape::{Graph, Shape, Value};

use super::super::Case;
use super::super::data::{hostile, signed};

const ROUTES: [ConvRoute; 3] = [ConvRoute::Direct, ConvRoute::Im2col, ConvRoute::Implicit];

const PADDINGS: [Padding; 4] = [
    Padding::Valid,
    Padding::Same,
    Padding::Full,
    Padding::Explicit { top: 2, left: 0, bottom: 1, right: 3 },
];

pub fn cases() -> Vec<Case> {
    let mut cases = grid();
    cases.extend(sizes());
    cases.extend(others());
    cases
}

fn case(x: [usize; 4], w: [usize; 4], options: ConvOptions) -> Case {
    let name = format!("conv2d of {x:?} with {w:?}, {options:?}");
    let build = move |g: &mut Graph, v: &[Value]| g.conv2d(v[0], v[1], None, options);
    Case::new(name, vec![signed(x, 1), signed(w, 2)], build)
}

/// Every stride with every padding, dilation, grouping, number of rows and columns that the last
/// window drops, and batch.
fn grid() -> Vec<Case> {
    let mut cases = Vec::new();
    for stride in [1, 2, 3] {
        for dilation in [1, 2] {
            for padding in PADDINGS {
                for (groups, c, o) in [(1, 3, 2), (2, 4, 6), (4, 4, 4)] {
                    for tail in [0, 1, 2] {
                        for (batch, route) in [1, 3].into_iter().flat_map(|n| ROUTES.map(|r| (n, r))) {
                            let options = ConvOptions::new()
                                .stride(stride)
                                .dilation(dilation)
                                .padding(padding)
                                .groups(groups)
                                .route(route);
                            let x = [batch, c, 6 + tail, 7 + tail];
                            cases.push(case(x, [o, c / groups, 3, 2], options));
                        }
                    }
                }
            }
        }
    }
    cases
}

/// Sizes on both sides of what a kernel takes at a time, and windows from 1x1 to 11x11.
fn sizes() -> Vec<Case> {
    let plain = ConvOptions::new();
    let same = plain.padding(Padding::Same);
    let table: [([usize; 4], [usize; 4], ConvOptions); 17] = [
        ([1, 1, 1, 1], [1, 1, 1, 1], plain),
        ([2, 3, 5, 5], [4, 3, 1, 1], plain),
        ([3, 8, 6, 6], [33, 8, 1, 1], plain),
        ([2, 5, 7, 9], [3, 5, 1, 1], plain.stride(2)),
        ([1, 1, 12, 12], [2, 1, 11, 11], plain),
        ([1, 2, 23, 23], [3, 2, 11, 11], plain.stride(4).padding(Padding::Same)),
        ([2, 2, 9, 6], [3, 2, 5, 1], same),
        ([2, 2, 6, 9], [3, 2, 1, 7], same),
        ([2, 4, 9, 9], [9, 4, 3, 3], same),
        ([2, 4, 8, 8], [16, 4, 3, 3], same),
        ([3, 8, 8, 8], [17, 8, 3, 3], same),
        ([2, 16, 12, 12], [33, 16, 3, 3], same.stride(2)),
        ([1, 33, 7, 5], [65, 33, 3, 3], same),
        ([5, 3, 32, 32], [8, 3, 5, 5], plain),
        ([1, 64, 9, 9], [1, 64, 3, 3], plain),
        ([2, 24, 10, 10], [48, 1, 3, 3], same.groups(24)),
        ([1, 1, 182, 182], [1, 1, 3, 3], same),
    ];
    let shaped = table.into_iter().flat_map(|(x, w, options)| {
        ConvRoute::ALL.iter().map(move |&route| case(x, w, options.route(route)))
    });
    shaped.collect()
}

/// One-dimensional and transposed convolution, bias, hostile numbers, and gradients of gradients.
fn others() -> Vec<Case> {
    let mut cases = Vec::new();
    for (stride, padding) in [(1, Padding::Same), (2, Padding::Valid), (3, Padding::symmetric(2))] {
        let options = ConvOptions::new().stride(stride).padding(padding);
        let inputs = vec![signed([2, 3, 17], 1), signed([4, 3, 5], 2), signed([4], 3)];
        let name = format!("conv1d, {options:?}");
        cases.push(Case::new(name, inputs, move |g, v| g.conv1d(v[0], v[1], Some(v[2]), options)));
    }
    for (stride, padding, extra) in [
        (1, Padding::Valid, 0),
        (2, Padding::Same, 0),
        (2, Padding::symmetric(1), 1),
        (3, Padding::Valid, 2),
        (2, Padding::Full, 1),
    ] {
        for groups in [1, 2] {
            let options = ConvOptions::new().stride(stride).padding(padding).groups(groups);
            let inputs = vec![signed([2, 4, 5, 4], 1), signed([4, 3, 3, 3], 2), signed([3 * groups], 3)];
            let name = format!("conv_transpose2d, {options:?}, output padding {extra}");
            cases.push(Case::new(name, inputs, move |g, v| {
                g.conv_transpose2d(v[0], v[1], Some(v[2]), options, extra)
            }));
        }
    }
    for route in ROUTES {
        let options = ConvOptions::new().padding(Padding::Same).route(route);
        let inputs = vec![hostile([2, 3, 6, 5]), hostile([4, 3, 3, 3])];
        let name = format!("conv2d of hostile numbers, {route:?}");
        cases.push(Case::new(name, inputs, move |g, v| g.conv2d(v[0], v[1], None, options)).rough());
        let name = format!("the slope of a convolution's gradients, {route:?}");
        let inputs = vec![signed([2, 3, 6, 5], 1), signed([4, 3, 3, 3], 2)];
        cases.push(Case::new(name, inputs, move |g, v| {
            let square = |v: Value| g.mul(v, v);
            let y = square(g.conv2d(v[0], v[1], None, options)?)?;
            let slopes = g.differentiate(g.sum(y, &[], false)?, v)?;
            let total = |slope: Value| g.sum(square(slope)?, &[], false);
            g.reshape(g.add(total(slopes[0])?, total(slopes[1])?)?, Shape::from([1]))
        }));
    }
    let biased = vec![signed([3, 2, 5, 5], 1), signed([7, 2, 3, 3], 2), signed([7], 3)];
    cases.push(Case::new("conv2d with bias", biased, |g, v| {
        g.conv2d(v[0], v[1], Some(v[2]), ConvOptions::new())
    }));
    cases
}
