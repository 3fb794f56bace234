//! Matrix products: every route at one size, and the three products of dense layers.

use super::{Row, step, uniform};
use retape::ops::{MatmulOptions, MatmulRoute};

pub fn rows() -> Vec<Row> {
    let mut rows: Vec<Row> =
        MatmulRoute::ALL.iter().map(|&route| product([512, 512, 512], [false, false], route)).collect();
    // Forward, the weights' gradient and the input's, of layers of a classifier.
    let shapes = [
        ([128, 784, 512], [false, false]),
        ([784, 128, 512], [true, false]),
        ([128, 512, 784], [false, true]),
        ([128, 512, 10], [false, false]),
        ([512, 128, 10], [true, false]),
        ([128, 10, 512], [false, true]),
        ([32, 64, 10], [false, false]),
        ([1, 512, 512], [false, false]),
        ([512, 512, 1], [false, false]),
        ([511, 509, 503], [false, false]),
    ];
    for (size, sides) in shapes {
        for route in [MatmulRoute::Auto, MatmulRoute::Naive] {
            rows.push(product(size, sides, route));
        }
    }
    rows.push(Row::arithmetic("matmul batched [16, 64, 64] [16, 64, 64]", 2 * 16 * 64 * 64 * 64, |g| {
        let a = uniform(g, "a", [16, 64, 64], [-1.0, 1.0]);
        let b = uniform(g, "b", [16, 64, 64], [-1.0, 1.0]);
        Ok(step(g.matmul(a.0, b.0)?, vec![a, b]))
    }));
    rows
}

fn product([m, k, n]: [usize; 3], [ta, tb]: [bool; 2], route: MatmulRoute) -> Row {
    let side = |transposed, name| if transposed { format!(" {name}^T") } else { String::new() };
    let route_name = format!("{route:?}").to_lowercase();
    let name = format!("matmul {m}x{k}x{n}{}{} {route_name}", side(ta, "a"), side(tb, "b"));
    Row::arithmetic(name, 2 * (m * n * k) as u64, move |g| {
        let a = uniform(g, "a", if ta { [k, m] } else { [m, k] }, [-1.0, 1.0]);
        let b = uniform(g, "b", if tb { [n, k] } else { [k, n] }, [-1.0, 1.0]);
        Ok(step(
            g.matmul_by(a.0, b.0, MatmulOptions::new().transpose_a(ta).transpose_b(tb).route(route))?,
            vec![a, b],
        ))
    })
}
