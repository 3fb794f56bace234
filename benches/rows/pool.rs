//! Pooling, at the shapes of small and large convolutional networks.

use retape::prelude::*;

use super::{Row, gradient, step, uniform};

/// After the first convolution of a small network for handwritten digits.
const SMALL: [usize; 4] = [128, 10, 24, 24];
/// Before the first pooling of a residual network, and after its last block.
const WIDE: [usize; 4] = [8, 64, 56, 56];
const LAST: [usize; 4] = [32, 512, 7, 7];

type Call = fn(&Graph, Value) -> retape::Result<Value>;

pub fn rows() -> Vec<Row> {
    let calls: [(&str, [usize; 4], Call); 14] = [
        ("max_pool2d 2x2", SMALL, |g, x| g.max_pool2d(x, PoolOptions::new(2))),
        ("avg_pool2d 2x2", SMALL, |g, x| g.avg_pool2d(x, PoolOptions::new(2))),
        ("sum_pool2d 2x2", SMALL, |g, x| g.sum_pool2d(x, PoolOptions::new(2))),
        ("max_pool2d 2x2", WIDE, |g, x| g.max_pool2d(x, PoolOptions::new(2))),
        ("avg_pool2d 2x2", WIDE, |g, x| g.avg_pool2d(x, PoolOptions::new(2))),
        ("max_pool2d 3x3 stride 2", SMALL, |g, x| g.max_pool2d(x, PoolOptions::new(3).stride(2))),
        ("max_pool2d 3x3 stride 2 padded", WIDE, |g, x| g.max_pool2d(x, overlapping())),
        ("avg_pool2d 3x3 stride 2 padded", WIDE, |g, x| g.avg_pool2d(x, overlapping())),
        ("max_pool2d 3x3 stride 1 same", WIDE, |g, x| {
            g.max_pool2d(x, PoolOptions::new(3).stride(1).padding(Padding::Same))
        }),
        ("adaptive_avg_pool2d to 6x6", WIDE, |g, x| g.adaptive_avg_pool2d(x, [6, 6])),
        ("adaptive_avg_pool2d to 7x7", WIDE, |g, x| g.adaptive_avg_pool2d(x, [7, 7])),
        ("adaptive_avg_pool2d to 1x1", LAST, |g, x| g.adaptive_avg_pool2d(x, [1, 1])),
        ("avg_pool2d 7x7", LAST, |g, x| g.avg_pool2d(x, PoolOptions::new(7))),
        ("max_pool2d 7x7", LAST, |g, x| g.max_pool2d(x, PoolOptions::new(7))),
    ];
    calls.into_iter().flat_map(|(name, shape, call)| pair(name, shape, call)).collect()
}

/// A residual network's first pooling.
fn overlapping() -> PoolOptions {
    PoolOptions::new(3).stride(2).padding(Padding::symmetric(1))
}

fn pair(name: &str, shape: [usize; 4], call: Call) -> [Row; 2] {
    let forward = Row::memory(format!("{name} {shape:?}"), move |g| {
        let x = uniform(g, "x", shape, [-1.0, 1.0]);
        Ok(step(call(g, x.0)?, vec![x]))
    });
    let backward = Row::memory(format!("{name} gradient {shape:?}"), move |g| {
        let x = uniform(g, "x", shape, [-1.0, 1.0]);
        let y = call(g, x.0)?;
        gradient(g, y, vec![x])
    });
    [forward, backward]
}
