//! Operators that overwrite state: assignment, every optimiser's update, constraints, batches loaded into
//! states.

use retape::Result;
use retape::prelude::*;

use super::super::data::noise;

/// Every optimiser with each of its options.
fn optimizers() -> Vec<Box<dyn Optimizer>> {
    vec![
        Box::new(Sgd::new(0.1)),
        Box::new(Sgd::new(0.1).weight_decay(0.01).decoupled_weight_decay(0.1)),
        Box::new(Sgd::new(0.1).momentum(0.9)),
        Box::new(Sgd::new(0.1).momentum(0.9).nesterov().weight_decay(0.01)),
        Box::new(Adagrad::new(0.1).decoupled_weight_decay(0.1)),
        Box::new(Adadelta::new(1.0).weight_decay(0.1)),
        Box::new(RmsProp::new(0.01)),
        Box::new(RmsProp::new(0.01).rho(0.5).weight_decay(0.1)),
        Box::new(RmsProp::new(0.01).momentum(0.9).decoupled_weight_decay(0.1)),
        Box::new(RmsProp::new(0.01).centered()),
        Box::new(RmsProp::new(0.01).centered().momentum(0.5).weight_decay(0.1)),
        Box::new(Adam::new(0.01)),
        Box::new(Adam::new(0.01).betas(0.5, 0.9).epsilon(1e-4).weight_decay(0.1)),
        Box::new(Adam::new(0.01).betas(0.0, 0.99).amsgrad()),
        Box::new(AdamW::new(0.01)),
        Box::new(AdamW::pytorch(0.01)),
        Box::new(Adamax::pytorch(0.01)),
        Box::new(RmsProp::pytorch(0.01).momentum(0.9)),
        Box::new(RmsProp::pytorch(0.01).centered()),
        Box::new(Adagrad::pytorch(0.01)),
        Box::new(Adafactor::pytorch(0.1).decoupled_weight_decay(0.1)),
        Box::new(Adamax::new(0.01)),
        Box::new(Nadam::new(0.01)),
        Box::new(Nadam::new(0.01).momentum_decay(0.004).betas(0.99, 0.9)),
        Box::new(Nadam::new(0.01).betas(0.0, 0.9)),
        Box::new(Lion::new(0.01).decoupled_weight_decay(0.1)),
        Box::new(Ftrl::new(0.1)),
        Box::new(Ftrl::new(0.1).l1(0.1).l2(0.01).beta(1.0).l2_shrinkage(0.1)),
        Box::new(Ftrl::new(0.1).learning_rate_power(-0.7).initial_accumulator(0.5)),
        Box::new(Ftrl::new(0.1).learning_rate_power(0.0).l1(0.5)),
        Box::new(Ftrl::new(0.0)),
        Box::new(Adafactor::new(0.1)),
        Box::new(Adafactor::new(0.1).relative_step(false).weight_decay(0.1).decoupled_weight_decay(0.1)),
        Box::new(Sgd::new(0.1).ema(0.9)),
        Box::new(Sgd::new(0.1).clip(Clip::Value(0.5))),
        Box::new(Sgd::new(0.1).clip(Clip::Norm(0.5))),
        Box::new(Sgd::new(0.1).momentum(0.9).clip(Clip::GlobalNorm(0.5)).clip(Clip::Value(0.75))),
    ]
}

/// Gradients that are none, or that f32 hardly holds.
fn extremes() -> [(&'static str, Vec<f32>); 6] {
    let of_size = |scale: f32| noise(65, 7, -1.0, 1.0).into_iter().map(|v| v * scale).collect();
    let mut spoilt: Vec<f32> = of_size(1.0);
    (spoilt[0], spoilt[34]) = (f32::NAN, f32::NAN);
    [
        ("gradients that are no numbers", spoilt),
        ("zeros", vec![0.0; 65]),
        ("gradients around 1e-40", of_size(1e-40)),
        ("gradients around 1e-20", of_size(1e-20)),
        ("gradients around 1e15", of_size(1e15)),
        ("gradients around 1e30", of_size(1e30)),
    ]
}

/// Each update over parameters of awkward sizes and with hostile gradients, as a named training step.
pub fn tapes() -> Vec<(String, Tape)> {
    let mut tapes = Vec::new();
    for optimizer in optimizers() {
        for n in [1, 3, 64, 65, 257, 1021] {
            let tape = step(&optimizer, &[n]).expect("the step records");
            tapes.push((format!("{optimizer:?} over [{n}]"), tape));
        }
        for (what, gradient) in extremes() {
            let tape = given(&optimizer, &gradient).expect("the step records");
            tapes.push((format!("{optimizer:?} with {what}"), tape));
        }
    }
    tapes.extend(clipped());
    tapes.extend(factored());
    for n in [1, 5, 1021] {
        tapes.push((format!("running sum over [{n}]"), running_sum(n).expect("the step records")));
    }
    for n in [1, 5, 1021] {
        tapes.push((format!("assign over [{n}]"), assignment(n).expect("the step records")));
    }
    for dims in [&[2, 1][..], &[3, 65], &[2, 7, 5, 7], &[2, 1021, 2]] {
        let tape = running_stats(dims).expect("the step records");
        tapes.push((format!("running statistics of {dims:?}"), tape));
    }
    tapes.extend(super::batch::tapes());
    tapes.extend(super::constrain::tapes());
    tapes
}

/// Every update with gradients that it clips by their norm as it reads them: hostile ones, and more side by side
/// than a call for their squares takes.
fn clipped() -> Vec<(String, Tape)> {
    let mut tapes = Vec::new();
    for optimizer in optimizers() {
        let clipped = optimizer.clip(Clip::GlobalNorm(0.5));
        for (what, gradient) in &extremes()[..5] {
            let tape = given(&clipped, gradient).expect("the step records");
            tapes.push((format!("{clipped:?} with {what}"), tape));
        }
    }
    let adam = Adam::new(0.01).weight_decay(0.1);
    let shapes = [&[7][..], &[3, 65], &[], &[40, 3, 3], &[65, 33], &[1030], &[1, 1]].repeat(9);
    for (limit, scale) in [(0.75, 1.0), (1e6, 1.0), (0.75, 0.0)] {
        let tape = several(&adam.clip(Clip::GlobalNorm(limit)), &shapes, scale).expect("the step records");
        tapes.push((format!("{adam:?} over {} values clipped to {limit}, {scale}", shapes.len()), tape));
    }
    tapes
}

/// Adafactor over matrices of awkward sizes, alone and side by side.
fn factored() -> Vec<(String, Tape)> {
    let optimizer = Adafactor::new(0.1).weight_decay(0.1).clip_threshold(0.5);
    let shapes: [&[usize]; 16] = [
        &[],
        &[1, 1],
        &[3, 65],
        &[65, 3],
        &[2, 3, 4],
        &[300, 2, 1],
        &[1, 1030],
        &[1030, 1],
        &[2, 70, 130],
        &[2, 70, 132],
        &[5, 2, 33, 17],
        &[270, 250],
        &[600, 8],
        &[1, 40_000],
        &[3, 16_648],
        &[3, 16_641],
    ];
    let zeros = |dims: &[usize]| -> Result<Tape> {
        let mut g = Graph::new();
        let w = g.parameter("w", Shape::new(dims)?, Init::Zeros);
        let loss = g.sum(g.square(g.sub(w, g.scalar_constant(1.0))?)?, &[], false)?;
        g.training_step(loss, &optimizer.epsilons(1e-12, 0.5))
    };
    let mut tapes = Vec::new();
    for dims in [&[5, 7][..], &[9]] {
        tapes.push((format!("adafactor over zeros {dims:?}"), zeros(dims).expect("the step records")));
    }
    for dims in shapes {
        let tape = step(&optimizer, dims).expect("the step records");
        tapes.push((format!("adafactor over {dims:?}"), tape));
    }
    for dims in [&[3, 65][..], &[300, 2, 1], &[2, 70, 132], &[270, 250], &[600, 8]] {
        let tape = step(&Adafactor::pytorch(0.1).weight_decay(0.1), dims).expect("the step records");
        tapes.push((format!("PyTorch's adafactor over {dims:?}"), tape));
    }
    let together: [&[usize]; 9] =
        [&[7], &[3, 65], &[], &[40, 3, 3], &[6, 8], &[65, 3], &[2, 2], &[130], &[1, 1]];
    for (what, scale) in [("", 1.0), (" and no gradients", 0.0)] {
        let tape = several(&optimizer, &together, scale).expect("the step records");
        tapes.push((format!("adafactor over {together:?}{what}"), tape));
    }
    tapes
}

fn running_stats(dims: &[usize]) -> Result<Tape> {
    let g = Graph::new();
    let shape = Shape::new(dims)?;
    let x = g.constant(shape, &noise(shape.numel(), 6, 99.0, 101.0))?;
    let norm = g.batch_norm(x, None, None, 1e-5)?;
    let mean = g.state("mean", [dims[1]], Init::Normal { mean: 50.0, std: 1.0 });
    let variance = g.state("variance", [dims[1]], Init::Ones);
    g.update_running_stats(&norm, mean, variance, 0.1)?;
    g.forward([norm.y()])
}

fn step(optimizer: &dyn Optimizer, dims: &[usize]) -> Result<Tape> {
    let mut g = Graph::new();
    let shape = Shape::new(dims)?;
    let w = g.parameter("w", shape, Init::Normal { mean: 0.0, std: 1.0 });
    let scale = g.constant(shape, &noise(shape.numel(), 5, -2.0, 2.0))?;
    let loss = g.sum(g.mul(scale, g.square(w)?)?, &[], false)?;
    g.training_step(loss, optimizer)
}

/// A step over several parameters, of gradients scaled by `scale`.
fn several(optimizer: &dyn Optimizer, shapes: &[&[usize]], scale: f32) -> Result<Tape> {
    let mut g = Graph::new();
    let mut losses = Vec::new();
    for (i, dims) in shapes.iter().enumerate() {
        let w = g.parameter(&format!("w{i}"), Shape::new(dims)?, Init::Normal { mean: 0.0, std: 1.0 });
        let sum = g.sum(g.square(w)?, &[], false)?;
        losses.push(g.mul(sum, g.scalar_constant(scale))?);
    }
    g.training_step(losses, optimizer)
}

/// A step of these gradients.
fn given(optimizer: &dyn Optimizer, gradient: &[f32]) -> Result<Tape> {
    let mut g = Graph::new();
    let n = gradient.len();
    let w = g.parameter("w", [n], Init::Normal { mean: 0.0, std: 1.0 });
    let dw = g.constant([n], gradient)?;
    optimizer.record(&g, &[(w, dw)])?;
    g.forward(Vec::new())
}

fn running_sum(n: usize) -> Result<Tape> {
    let g = Graph::new();
    let (total, carry) = (g.state("total", [n], Init::Ones), g.state("carry", [n], Init::Zeros));
    g.accumulate(total, carry, g.constant([n], &noise(n, 6, -1e-3, 1e3))?)?;
    g.forward([g.update_count()?])
}

fn assignment(n: usize) -> Result<Tape> {
    let g = Graph::new();
    let state = g.state("state", [n], Init::Ones);
    g.assign(state, g.mul(state, g.scalar_constant(1.5))?)?;
    g.forward(Vec::new())
}
