//! A small training step that shows whether a device computes right.

use std::time::Instant;

use retape::prelude::*;

/// What a self-test found.
pub struct SelfTest {
    /// Operators that agree with the f64 reference; of that itself none is.
    pub verified: usize,
    /// Milliseconds per replay of the step.
    pub milliseconds: f64,
}

/// A training step with products, sums and updates, small enough for any device: each operator is
/// compared with its reference, and a hundred replays have to lower the loss.
pub fn self_test(device: &Device) -> retape::Result<SelfTest> {
    let wrong = |message| retape::Error::Gpu { device: device.name().to_owned(), message };
    let mut g = Graph::new();
    let x = g.input("x", [33, 17]);
    let t = g.targets("t", [33, 5]);
    let w1 = g.parameter("w1", [17, 29], Init::HeNormal);
    let b1 = g.parameter("b1", [29], Init::Zeros);
    let w2 = g.parameter("w2", [29, 5], Init::GlorotUniform);
    let hidden = g.tanh(g.add(g.matmul(x, w1)?, b1)?)?;
    let loss = g.mean_squared_error(g.matmul(hidden, w2)?, t)?;
    let mut session = g.training_step(loss, &Adam::new(1e-3))?.session(device)?;

    let stream = retape::random::Stream { seed: 1, step: 0, stream: 1 };
    let noise = |n: u32| (0..n).map(|i| stream.normal(i) as f32).collect::<Vec<f32>>();
    let (inputs, targets) = (noise(33 * 17), noise(33 * 5));
    session.write(x, &inputs)?;
    session.write(t, &targets)?;
    let mut verified = 0;
    if device.name() != "reference" {
        let checked = session.verify(&[])?;
        if let Some(first) = checked.first_difference() {
            return Err(wrong(format!("{} computes wrong results: {}", first.name, first.worst)));
        }
        verified = checked.rows.len();
    }
    session.replay()?;
    let before = session.read_scalar(loss)?;
    let (start, steps) = (Instant::now(), 100);
    session.replay_n(steps)?;
    let after = session.read_scalar(loss)?;
    let milliseconds = start.elapsed().as_secs_f64() * 1e3 / steps as f64;
    let learns = after < before;
    if !learns {
        return Err(wrong(format!("{steps} steps of training took the loss from {before} to {after}")));
    }
    Ok(SelfTest { verified, milliseconds })
}
