//! Local response normalisation, at the shapes of AlexNet's two layers and of a square of numbers.

use super::{Row, gradient, step, uniform};

pub fn rows() -> Vec<Row> {
    let shapes: [&[usize]; 3] = [&[4, 96, 55, 55], &[4, 256, 27, 27], &[1024, 1024]];
    shapes.into_iter().flat_map(|dims| pair(retape::Shape::new(dims).expect("rank fits"))).collect()
}

fn pair(shape: retape::Shape) -> [Row; 2] {
    let forward = Row::memory(format!("local_response_norm {shape}"), move |g| {
        let x = uniform(g, "x", shape, [-3.0, 3.0]);
        Ok(step(g.local_response_norm(x.0, 5, 5e-4, 0.75, 2.0)?, vec![x]))
    });
    let backward = Row::memory(format!("local_response_norm gradient {shape}"), move |g| {
        let x = uniform(g, "x", shape, [-3.0, 3.0]);
        let y = g.local_response_norm(x.0, 5, 5e-4, 0.75, 2.0)?;
        gradient(g, y, vec![x])
    });
    [forward, backward]
}
