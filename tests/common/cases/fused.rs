//! Steps in which operators of unlike kinds are put together when their tape is fused.

use retape::prelude::*;
use retape::{Result, Shape};

use super::super::data::noise;

/// A step whose data are parameters, and labels with what is written to them.
pub struct Step {
    pub name: String,
    pub tape: Tape,
    pub labels: Option<(Value, Vec<u32>)>,
}

/// The steps.
pub fn steps() -> Vec<Step> {
    let mut steps = Vec::new();
    for dims in [[1, 2], [128, 10], [257, 3], [300, 40], [40, 300], [2, 9000]] {
        for labelled in [true, false] {
            for trained in [true, false] {
                steps.push(loss(dims, labelled, trained).expect("it records"));
            }
        }
    }
    for rows in [1, 5, 300] {
        for labelled in [true, false] {
            for parts in [2, 3, 4, 5, 6] {
                steps.push(tally(rows, labelled, parts).expect("it records"));
            }
        }
    }
    for dims in [[1, 1], [4, 1], [33, 31], [100, 77]] {
        for trained in [true, false] {
            steps.push(binary_loss(dims, trained).expect("it records"));
        }
    }
    for dims in [&[5, 7][..], &[40, 3, 5], &[4, 3, 64, 64], &[64, 200, 2, 2], &[3, 129, 7, 1]] {
        for alone in [true, false] {
            steps.push(norm(dims, alone).expect("it records"));
        }
    }
    for sizes in [[3, 2, 1], [4, 9, 17], [70, 33, 20], [128, 784, 10], [65, 64, 128], [4100, 65, 48]] {
        for rate in [None, Some(0.25)] {
            steps.push(dense(sizes, rate).expect("it records"));
        }
    }
    for (dims, filters, groups) in [([2, 3, 9, 9], 4, 1), ([5, 6, 8, 7], 6, 2), ([64, 1, 28, 28], 10, 1)] {
        for stride in [1, 2] {
            steps.push(convolution(dims, filters, groups, stride).expect("it records"));
        }
    }
    steps
}

fn parameter(g: &mut Graph, name: &str, dims: &[usize]) -> Result<Value> {
    Ok(g.parameter(name, Shape::new(dims)?, Init::Uniform { low: -1.0, high: 1.5 }))
}

/// The mean over rows, weighted where it is not wanted whole.
fn loss([rows, classes]: [usize; 2], labelled: bool, trained: bool) -> Result<Step> {
    let mut g = Graph::new();
    let x = parameter(&mut g, "x", &[rows, classes])?;
    let numbers: Vec<u32> = (0..rows).map(|row| (7 * row % classes) as u32).collect();
    let labels = labelled.then(|| (g.labels("labels", [rows]), numbers));
    let targets = match &labels {
        Some((labels, _)) => *labels,
        None => g.constant([rows, classes], &noise(rows * classes, 4, 0.0, 1.0))?,
    };
    let loss = g.softmax_cross_entropy(x, targets)?;
    let tape = if trained { g.training_step(loss, &Sgd::new(0.1))? } else { g.forward([loss])? };
    Ok(Step { name: format!("loss of {rows}x{classes}, {labelled}, {trained}"), tape, labels })
}

/// What training says of itself: how many rows are right, beside other numbers, added to what there was.
fn tally(rows: usize, labelled: bool, parts: usize) -> Result<Step> {
    let mut g = Graph::new();
    let x = parameter(&mut g, "x", &[rows, 7])?;
    let numbers: Vec<u32> = (0..rows).map(|row| (3 * row % 7) as u32).collect();
    let labels = labelled.then(|| (g.labels("labels", [rows]), numbers));
    let targets = match &labels {
        Some((labels, _)) => *labels,
        None => g.constant([rows, 7], &noise(rows * 7, 4, 0.0, 1.0))?,
    };
    let hits = g.sum(g.categorical_accuracy_rows(x, targets)?, &[], false)?;
    let row = g.sum(g.square(x)?, &[0], false)?;
    let pair = g.concat(&[g.reshape(hits, [1])?, g.constant([1], &[rows as f32])?], 0)?;
    let others: Vec<Value> =
        (3..=parts).map(|i| g.mul(row, g.scalar_constant(i as f32))).collect::<Result<_>>()?;
    // With more parts than a kernel takes, one comes twice too.
    let twice = others.last().copied().filter(|_| parts > 5);
    let all = g.concat(&[&[pair][..], &others, twice.as_slice()].concat(), 0)?;
    let ty = g.shape(all)?;
    let (total, carry) = (g.state("total", ty, Init::Ones), g.state("carry", ty, Init::Zeros));
    g.accumulate(total, carry, all)?;
    let tape = g.forward([row])?;
    Ok(Step { name: format!("tally of {rows}, {labelled}, {parts}"), tape, labels })
}

fn binary_loss(dims: [usize; 2], trained: bool) -> Result<Step> {
    let mut g = Graph::new();
    let x = parameter(&mut g, "x", &dims)?;
    let targets = g.constant(dims, &noise(dims[0] * dims[1], 4, 0.0, 1.0))?;
    let loss = g.sigmoid_binary_cross_entropy(x, targets)?;
    let tape = if trained { g.training_step(loss, &Sgd::new(0.1))? } else { g.forward([loss])? };
    Ok(Step { name: format!("binary loss of {dims:?}, {trained}"), tape, labels: None })
}

/// With its running statistics alone, or with a residual and an activation too.
fn norm(dims: &[usize], alone: bool) -> Result<Step> {
    let mut g = Graph::new();
    let x = parameter(&mut g, "x", dims)?;
    let [scale, shift] = [parameter(&mut g, "scale", &dims[1..2])?, parameter(&mut g, "shift", &dims[1..2])?];
    let made = g.batch_norm(x, scale, shift, 1e-3)?;
    let (mean, variance) = (g.slot(scale, "mean")?, g.slot(scale, "variance")?);
    g.update_running_stats(&made, mean, variance, 0.25)?;
    let y = if alone { made.y() } else { g.square(g.relu(g.add(made.y(), x)?)?)? };
    let tape = g.training_step(g.mean(y, &[], false)?, &Sgd::new(0.1))?;
    Ok(Step { name: format!("norm of {dims:?}, {alone}"), tape, labels: None })
}

fn dense([batch, inputs, outputs]: [usize; 3], rate: Option<f32>) -> Result<Step> {
    let mut g = Graph::new();
    let x = g.constant([batch, inputs], &noise(batch * inputs, 3, -1.0, 1.0))?;
    let (w, b) = (parameter(&mut g, "w", &[inputs, outputs])?, parameter(&mut g, "b", &[outputs])?);
    let y = g.tanh(g.add(g.matmul(x, w)?, b)?)?;
    let y = rate.map_or(Ok(y), |rate| g.dropout(y, rate))?;
    let tape = g.training_step(g.mean(g.square(y)?, &[], false)?, &Sgd::new(0.1))?;
    Ok(Step { name: format!("dense layer of {batch}x{inputs}x{outputs}, {rate:?}"), tape, labels: None })
}

fn convolution(dims: [usize; 4], filters: usize, groups: usize, stride: usize) -> Result<Step> {
    let mut g = Graph::new();
    let [_, channels, ..] = dims;
    let x = g.constant(dims, &noise(dims.iter().product(), 3, -1.0, 1.0))?;
    let w = parameter(&mut g, "w", &[filters, channels / groups, 3, 3])?;
    let b = parameter(&mut g, "b", &[filters])?;
    let options = ConvOptions::new().padding(Padding::Same).groups(groups).stride([stride; 2]);
    let y = g.tanh(g.conv2d(x, w, Some(b), options)?)?;
    let tape = g.training_step(g.mean(g.square(y)?, &[], false)?, &Sgd::new(0.1))?;
    Ok(Step { name: format!("convolution of {dims:?}, {filters}, {groups}, {stride}"), tape, labels: None })
}
