//! Data that metrics are recorded for: batches of it, masks, and what the sums come to.

use super::gpu;
use retape::Result;
use retape::prelude::*;
use retape::train::{MetricFunction, MetricInputs, Scores};

/// Targets of a whole data set.
#[derive(Clone, Debug)]
pub enum Targets {
    Labels(Vec<u32>),
    Numbers(Vec<f32>),
}

/// Outputs and targets of a whole data set; the first dimension is the number of samples.
#[derive(Clone, Debug)]
pub struct Data {
    pub output: Vec<usize>,
    pub scores: Vec<f32>,
    pub target: Vec<usize>,
    pub targets: Targets,
}

/// `what` of samples `from..from + batch`, those past the end being `filler`.
pub fn batch_of<T: Copy>(what: &[T], samples: usize, from: usize, batch: usize, filler: T) -> Vec<T> {
    let size = what.len() / samples;
    let end = (from + batch).min(samples);
    let mut part = what[from * size..end * size].to_vec();
    part.resize(batch * size, filler);
    part
}

pub fn shape(batch: usize, dims: &[usize]) -> Shape {
    Shape::new(dims).expect("rank fits").with_dim(0, batch)
}

impl Data {
    pub fn labelled<const N: usize>(output: [usize; N], scores: &[f32], labels: &[u32]) -> Data {
        let target = output[..N.saturating_sub(1).max(1)].to_vec();
        let targets = Targets::Labels(labels.to_vec());
        Data { output: output.to_vec(), scores: scores.to_vec(), target, targets }
    }

    pub fn numbered<const N: usize>(output: [usize; N], scores: &[f32], targets: &[f32]) -> Data {
        let targets = Targets::Numbers(targets.to_vec());
        Data { output: output.to_vec(), scores: scores.to_vec(), target: output.to_vec(), targets }
    }

    /// Records the metric for batches of one size and adds up its sums in f32, as an accumulator on the
    /// device does. Where the last batch is not full, its rest holds numbers that would show.
    pub fn sums(
        &self,
        device: &Device,
        metric: &Metric,
        kind: Scores,
        batch: usize,
        masked: bool,
    ) -> Result<Vec<f64>> {
        let mut g = Graph::new();
        let output = g.input("output", shape(batch, &self.output));
        let targets = match &self.targets {
            Targets::Labels(_) => g.labels("targets", shape(batch, &self.target)),
            Targets::Numbers(_) => g.targets("targets", shape(batch, &self.target)),
        };
        let mask = masked.then(|| g.input("mask", [batch]));
        let sums = metric.record(&g, MetricInputs { output, targets, scores: kind, mask })?;
        // A metric need not look at its targets.
        let held: Vec<Value> = [sums, targets].into_iter().chain(mask).collect();
        let mut session = g.forward(held)?.session(device)?;
        let samples = self.output[0];
        assert!(masked || samples.is_multiple_of(batch), "batches without a mask are full");
        let mut accumulator: Vec<f32> = Vec::new();
        for from in (0..samples).step_by(batch) {
            session.write(output, &batch_of(&self.scores, samples, from, batch, 0.75))?;
            match &self.targets {
                Targets::Labels(labels) => {
                    session.write(targets, &batch_of(labels, samples, from, batch, 1))?;
                }
                Targets::Numbers(numbers) => {
                    session.write(targets, &batch_of(numbers, samples, from, batch, 0.25))?;
                }
            }
            if let Some(mask) = mask {
                let counts = (from..from + batch).map(|sample| if sample < samples { 1.0 } else { 0.0 });
                session.write(mask, &counts.collect::<Vec<f32>>())?;
            }
            session.replay()?;
            let part = session.read(sums)?;
            accumulator.resize(part.len(), 0.0);
            accumulator.iter_mut().zip(part).for_each(|(total, new)| *total += new);
        }
        Ok(accumulator.into_iter().map(f64::from).collect())
    }

    /// The results, the same whatever the device, the batches and the mask.
    pub fn results(&self, metric: &Metric, kind: Scores) -> Vec<f64> {
        let samples = self.output[0];
        let ways = [(samples, false), (1, false), (samples.div_ceil(2) + 1, true), (samples + 3, true)];
        let mut found: Option<Vec<f64>> = None;
        for device in [Device::reference(), Device::cpu(), gpu().clone()] {
            for (batch, masked) in ways {
                let sums = self.sums(&device, metric, kind, batch, masked);
                let results = metric.results(&sums.unwrap_or_else(|e| panic!("{metric:?}: {e}")));
                let names = metric.result_names(shape(batch, &self.output));
                assert_eq!(results.len(), names.len(), "{metric:?}: {names:?}");
                let expected = found.get_or_insert_with(|| results.clone());
                assert!(near(&results, expected), "{metric:?}, {batch}, {masked}: {results:?}, {expected:?}");
            }
        }
        found.unwrap_or_default()
    }

    pub fn result(&self, metric: &Metric, kind: Scores) -> f64 {
        let results = self.results(metric, kind);
        assert_eq!(results.len(), 1, "{metric:?}");
        results[0]
    }
}

pub fn near(found: &[f64], expected: &[f64]) -> bool {
    let close = |(a, b): (&f64, &f64)| (a.is_nan() && b.is_nan()) || (a - b).abs() <= 2e-6 * b.abs().max(1.0);
    found.len() == expected.len() && found.iter().zip(expected).all(close)
}

#[track_caller]
pub fn assert_near(found: &[f64], expected: &[f64]) {
    assert!(near(found, expected), "found {found:?}, expected {expected:?}");
}

/// Scores whose largest of each row is at the prediction.
pub fn scores_for(predictions: &[u32], classes: usize) -> Vec<f32> {
    let row = |(i, &prediction): (usize, &u32)| {
        let score = move |class: usize| match class == prediction as usize {
            true => 2.0,
            false => -(((i * 5 + class * 3) % 7) as f32),
        };
        (0..classes).map(score).collect::<Vec<_>>()
    };
    predictions.iter().enumerate().flat_map(row).collect()
}

pub fn predicted(labels: &[u32], predictions: &[u32], classes: usize) -> Data {
    Data::labelled([labels.len(), classes], &scores_for(predictions, classes), labels)
}

pub fn one_hot(labels: &[u32], classes: usize) -> Vec<f32> {
    let row = |&l: &u32| (0..classes).map(move |c| f32::from(u8::from(c == l as usize)));
    labels.iter().flat_map(row).collect()
}
