//! NaN and infinities in every family that chooses or compares, on the reference path and under the plans for both
//! kinds of device, against what NumPy and PyTorch say of them.

use crate::common;
use crate::common::special::{INF, PATHS, Path, is_one_of, run, with_gradients};
use retape::Result;
use retape::ops::{CellActivation, ConvOptions, RecurrentOptions, RecurrentRoute, RecurrentWeights};
use retape::prelude::*;

/// Rows of every route: by thread, by workgroup, in parts; with the NaN first, last and in between.
#[test]
fn extremes_of_rows() {
    for (rows, length) in [(3, 1), (3, 5), (4, 64), (3, 300), (2, 20_011)] {
        let plain: Vec<f32> = (0..rows * length).map(|i| ((i * 37 + 11) % 1009) as f32 - 500.0).collect();
        for at in [0, length / 2, length - 1] {
            let mut data = plain.clone();
            data[length + at] = if at % 2 == 0 { f32::NAN } else { -f32::NAN };
            let w = vec![2.0; rows];
            let inputs: [(&[usize], &[f32]); 2] = [(&[rows, length], &data), (&[rows], &w)];
            for (path, largest) in PATHS.into_iter().flat_map(|path| [true, false].map(|l| (path, l))) {
                let found = run(path, &inputs, |g, x| {
                    let of = if largest { Graph::max } else { Graph::min };
                    with_gradients(g, of(g, x[0], &[1], false)?, x)
                });
                for row in 0..rows {
                    let of_row = &data[row * length..][..length];
                    let fold = if largest { f32::max } else { f32::min };
                    let best = of_row.iter().copied().reduce(fold).map(f64::from).unwrap();
                    let what = format!("row {row} of [{rows}, {length}], {path:?}, largest {largest}");
                    let hit = |i: usize| if row == 1 { i == at } else { f64::from(of_row[i]) == best };
                    let (got, hits) = (found[0][row], (0..length).filter(|&i| hit(i)).count());
                    assert!(if row == 1 { got.is_nan() } else { got == best }, "{what}: {got}");
                    for i in 0..length {
                        let want = if hit(i) { 2.0 / hits as f64 } else { 0.0 };
                        assert!(is_one_of(found[1][row * length + i], &[want]), "{what}: gradient of {i}");
                    }
                }
            }
        }
    }
    let infinite = [f32::NEG_INFINITY; 8];
    for path in PATHS {
        let found = run(path, &[(&[2, 4], &infinite)], |g, x| {
            Ok(vec![g.max(x[0], &[1], false)?, g.min(x[0], &[0], false)?, g.argmax(x[0], 1)?])
        });
        assert_eq!(found, [vec![-INF; 2], vec![-INF; 4], vec![0.0; 2]]);
        let mixed = [f32::INFINITY, f32::NAN, -1.0, f32::NEG_INFINITY];
        let found = run(path, &[(&[2, 2], &mixed)], |g, x| {
            Ok(vec![g.max(x[0], &[0], false)?, g.min(x[0], &[0, 1], false)?, g.mean(x[0], &[1], false)?])
        });
        assert!(found[0][0] == INF && [found[0][1], found[1][0], found[2][0]].iter().all(|v| v.is_nan()));
        assert_eq!(found[2][1], -INF);
    }
}

#[test]
fn the_first_nan_is_the_largest() {
    let n = f32::NAN;
    let rows = [
        ([1.0, n, 2.0, 0.0], 1.0),
        ([1.0, f32::INFINITY, n, -n], 2.0),
        ([-n, n, 5.0, 1.0], 0.0),
        ([-0.0, 0.0, -1.0, -0.0], 0.0),
        ([f32::NEG_INFINITY, f32::NEG_INFINITY, -3.0, -3.0], 2.0),
        ([0.0, 1e-45, 3e-45, 1e-45], 2.0),
    ];
    let data: Vec<f32> = rows.iter().flat_map(|row| row.0).collect();
    for path in PATHS {
        let found = run(path, &[(&[6, 4], &data)], |g, x| {
            Ok(vec![g.argmax(x[0], 1)?, g.argmax(g.transpose(x[0], &[1, 0])?, 0)?])
        });
        let want: Vec<f64> = rows.iter().map(|row| row.1).collect();
        assert_eq!(found, [want.clone(), want], "{path:?}");
    }
}

/// Short rows and rows long enough for a workgroup on either kind of device: a row that a NaN or +inf is in is
/// NaN, and so is one of nothing but -inf; the others keep out of it.
#[test]
fn softmax_and_cross_entropy_of_rows() {
    for length in [3, 200, 9000] {
        let rows = 6;
        let mut data: Vec<f32> = (0..rows * length).map(|i| (i * 7 % 13) as f32 * 0.25).collect();
        data[length - 1] = f32::NAN;
        data[length] = -f32::NAN;
        data[2 * length + 1] = f32::INFINITY;
        data[3 * length..4 * length].fill(f32::NEG_INFINITY);
        data[4 * length + 1] = f32::NEG_INFINITY;
        let mut soft = vec![0.0; rows * length];
        (0..rows).for_each(|row| soft[row * length] = 1.0);
        let inputs: [(&[usize], &[f32]); 2] = [(&[rows, length], &data), (&[rows, length], &soft)];
        for path in PATHS {
            let found = run(path, &inputs, |g, x| {
                let labels = g.argmax(x[1], 1)?;
                let by_label = g.softmax_cross_entropy_rows(x[0], labels)?;
                let by_row = g.softmax_cross_entropy_rows(x[0], x[1])?;
                let mut all = vec![g.softmax(x[0], 1)?, g.log_softmax(x[0], 1)?];
                for y in all.clone() {
                    all.push(g.differentiate(g.sum(g.mul(y, x[1])?, &[], false)?, &[x[0]])?[0]);
                }
                for y in [by_label, by_row] {
                    all.push(g.differentiate(g.sum(y, &[], false)?, &[x[0]])?[0]);
                }
                all.extend([by_label, by_row]);
                Ok(all)
            });
            for (which, found) in found.iter().enumerate() {
                let each = found.len() / rows;
                for (row, values) in found.chunks(each).enumerate() {
                    let broken = row < 4;
                    let fits = values.iter().all(|v| v.is_nan() == broken);
                    // -log 0 is infinite, not NaN.
                    assert!(
                        fits,
                        "result {which} of row {row} of {length}, {path:?}: {:?}",
                        &values[..3.min(each)]
                    );
                }
            }
        }
    }
}

#[test]
fn sigmoid_cross_entropy() {
    let logits = [f32::NAN, 1.0, -f32::NAN, 0.0, f32::NAN];
    let targets = [0.0, 0.0, 1.0, 1.0, 0.5];
    let inputs: [(&[usize], &[f32]); 2] = [(&[5], &logits), (&[5], &targets)];
    for path in PATHS {
        let found = run(path, &inputs, |g, x| {
            let y = g.sigmoid_binary_cross_entropy_elements(x[0], x[1])?;
            Ok(vec![y, g.differentiate(g.sum(y, &[], false)?, &[x[0]])?[0]])
        });
        for values in found {
            assert_eq!(
                values.iter().map(|v| v.is_nan()).collect::<Vec<_>>(),
                [true, false, true, false, true]
            );
        }
    }
}

/// Windows apart, overlapping, dilated and over the whole image: by all kernels of the gradient.
#[test]
fn pooling_takes_the_first_nan() {
    let n = 6 * 7;
    let mut data: Vec<f32> = (0..n).map(|i| (i * 11 % 17) as f32).collect();
    (data[9], data[10], data[29]) = (f32::NAN, -f32::NAN, f32::INFINITY);
    let windows = [
        PoolOptions::new(2),
        PoolOptions::new(3).stride(1).padding(Padding::Same),
        PoolOptions::new(3).stride(2).padding(Padding::symmetric(1)),
        PoolOptions::new(2).dilation(2).stride(1),
        PoolOptions::new([6, 7]),
    ];
    for options in windows {
        let pool = |path| {
            run(path, &[(&[1, 1, 6, 7], &data)], |g, x| {
                let y = g.max_pool2d(x[0], options)?;
                Ok(vec![y, g.differentiate(g.sum(y, &[], false)?, &[x[0]])?[0]])
            })
        };
        let exact = pool(Path::Reference);
        assert!(exact[0].iter().any(|v| v.is_nan()) && exact[1].iter().all(|v| v.is_finite()));
        // A window that holds both takes the first.
        assert!(exact[1][9] >= 1.0, "{options:?}: {:?}", exact[1]);
        for path in &PATHS[1..] {
            for (got, want) in pool(*path).iter().flatten().zip(exact.iter().flatten()) {
                assert!(is_one_of(*got, &[*want]), "{options:?}, {path:?}: {got} for {want}");
            }
        }
    }
    for path in PATHS {
        let found = run(path, &[(&[1, 2, 3, 7], &data)], |g, x| {
            Ok(vec![
                g.global_max_pool2d(x[0])?,
                g.global_avg_pool2d(x[0])?,
                g.adaptive_avg_pool2d(x[0], [1, 1])?,
            ])
        });
        for values in found {
            assert!(values[0].is_nan() && values[1] == INF, "{path:?}: {values:?}");
        }
    }
}

/// Conv, products, recurrences and norms: what a NaN in the first sample reaches is NaN, result and gradient, and
/// the second sample is as without it; on a GPU as on the reference path.
#[test]
fn a_nan_shows_in_its_sample() {
    type Call = Box<dyn Fn(&Graph, Value) -> Result<Value>>;
    let mut calls: Vec<(String, Call)> = Vec::new();
    let mut add = |name: &str, call: Call| calls.push((name.to_owned(), call));
    add("matmul", Box::new(|g, x| g.matmul(g.reshape(x, [2, 24])?, g.constant([24, 3], &[0.5; 72])?)));
    add(
        "conv2d",
        Box::new(|g, x| g.conv2d(x, g.constant([2, 4, 3, 2], &[0.5; 48])?, None, ConvOptions::new())),
    );
    add("local_response_norm", Box::new(|g, x| g.local_response_norm(x, 3, 1e-2, 0.75, 1.0)));
    add("layer_norm", Box::new(|g, x| g.layer_norm(x, 1, None, None, 1e-5)));
    add("group_norm", Box::new(|g, x| g.group_norm(x, 1, None, None, 1e-5)));
    add("avg_pool2d", Box::new(|g, x| g.avg_pool2d(x, PoolOptions::new([3, 2]))));
    add("max", Box::new(|g, x| g.add(g.mean(x, &[1, 2, 3], true)?, g.max(x, &[1, 2, 3], true)?)));
    add("softmax", Box::new(|g, x| g.softmax(g.reshape(x, [2, 24])?, -1)));
    for activation in [CellActivation::Sigmoid, CellActivation::HardSigmoid, CellActivation::Relu] {
        for route in [RecurrentRoute::Steps, RecurrentRoute::Sequence] {
            let options = RecurrentOptions::new().activation(activation).recurrent_activation(activation);
            let options = options.route(route);
            let [w, u] = [72, 36].map(|n| common::data::noise(n, 3, -0.3, 0.5));
            let cell = move |g: &Graph, x: Value| {
                let weights = RecurrentWeights::new(g.constant([6, 12], &w)?, g.constant([3, 12], &u)?);
                Ok(g.lstm(g.reshape(x, [2, 4, 6])?, weights, &options)?.outputs)
            };
            add(&format!("lstm of {activation:?} by {route:?}"), Box::new(cell));
        }
    }
    let plain = common::data::noise(48, 5, -1.0, 1.0);
    let mut data = plain.clone();
    (data[2], data[13]) = (f32::NAN, f32::NAN);
    for (name, call) in calls {
        let of = |path, data: &[f32]| {
            run(path, &[(&[2, 4, 3, 2], data)], |g, x| {
                let y = call(g, x[0])?;
                Ok(vec![y, g.differentiate(g.sum(g.square(y)?, &[], false)?, &[x[0]])?[0]])
            })
        };
        let (exact, without) = (of(Path::Reference, &data), of(Path::Reference, &plain));
        assert!(exact.iter().all(|v| v[..v.len() / 2].iter().any(|v| v.is_nan())), "{name}: {exact:?}");
        for (which, (exact, without)) in exact.iter().zip(&without).enumerate() {
            assert_eq!(exact[exact.len() / 2..], without[without.len() / 2..], "{name}, {which}");
        }
        for path in &PATHS[1..] {
            for (got, want) in of(*path, &data).iter().flatten().zip(exact.iter().flatten()) {
                assert!(is_one_of(*got, &[*want]), "{name}, {path:?}: {got} for {want}");
            }
        }
    }
}
