//! Operators that overwrite state: assignment, every optimiser's update, constraints.

use retape::Result;
use retape::prelude::*;

use super::super::data;

/// Each update over parameters of awkward sizes, as a named training step.
pub fn tapes() -> Vec<(String, Tape)> {
    let optimizers: [&dyn Optimizer; 11] = [
        &Sgd::new(0.1),
        &Sgd::new(0.1).weight_decay(0.01),
        &Sgd::new(0.1).momentum(0.9),
        &Sgd::new(0.1).momentum(0.9).nesterov().weight_decay(0.01),
        &RmsProp::new(0.01),
        &RmsProp::new(0.01).rho(0.5).weight_decay(0.1),
        &Adam::new(0.01),
        &Adam::new(0.01).betas(0.5, 0.9).epsilon(1e-4).weight_decay(0.1),
        &Sgd::new(0.1).clip(Clip::Value(0.5)),
        &Sgd::new(0.1).clip(Clip::Norm(0.5)),
        &Sgd::new(0.1).momentum(0.9).clip(Clip::GlobalNorm(0.5)).clip(Clip::Value(0.75)),
    ];
    let mut tapes = Vec::new();
    for optimizer in optimizers {
        for n in [1, 3, 64, 65, 257, 1021] {
            let tape = step(optimizer, n).expect("the step records");
            tapes.push((format!("{optimizer:?} over [{n}]"), tape));
        }
    }
    for n in [1, 5, 1021] {
        tapes.push((format!("assign over [{n}]"), assignment(n).expect("the step records")));
    }
    for dims in [&[2, 1][..], &[3, 65], &[2, 7, 5, 7], &[2, 1021, 2]] {
        let tape = running_stats(dims).expect("the step records");
        tapes.push((format!("running statistics of {dims:?}"), tape));
    }
    tapes.extend(super::constrain::tapes());
    tapes
}

fn running_stats(dims: &[usize]) -> Result<Tape> {
    let g = Graph::new();
    let shape = Shape::new(dims)?;
    let x = g.constant(shape, &data::noise(shape.numel(), 6, 99.0, 101.0))?;
    let norm = g.batch_norm(x, None, None, 1e-5)?;
    let mean = g.state("mean", [dims[1]], Init::Normal { mean: 50.0, std: 1.0 });
    let variance = g.state("variance", [dims[1]], Init::Ones);
    g.update_running_stats(&norm, mean, variance, 0.1)?;
    g.forward([norm.y()])
}

fn step(optimizer: &dyn Optimizer, n: usize) -> Result<Tape> {
    let mut g = Graph::new();
    let w = g.parameter("w", [n], Init::Normal { mean: 0.0, std: 1.0 });
    let scale = g.constant([n], &data::noise(n, 5, -2.0, 2.0))?;
    let loss = g.sum(g.mul(scale, g.square(w)?)?, &[], false)?;
    g.training_step(loss, optimizer)
}

fn assignment(n: usize) -> Result<Tape> {
    let g = Graph::new();
    let state = g.state("state", [n], Init::Ones);
    g.assign(state, g.mul(state, g.scalar_constant(1.5))?)?;
    g.forward(Vec::new())
}
