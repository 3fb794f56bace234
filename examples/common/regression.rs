//! Training a network that predicts numbers, and judging it: the loop of the examples on curves.

use retape::prelude::*;
use retape::random::Stream;

use super::{Epoch, Flags, Progress};

/// Inputs with the numbers that belong to them, a row of each for every sample.
pub struct Samples {
    pub inputs: Vec<f32>,
    pub targets: Vec<f32>,
    pub len: usize,
}

impl Samples {
    fn row(numbers: &[f32], len: usize, index: usize) -> &[f32] {
        let width = numbers.len() / len;
        &numbers[index * width..][..width]
    }

    pub fn input(&self, index: usize) -> &[f32] {
        Samples::row(&self.inputs, self.len, index)
    }

    pub fn target(&self, index: usize) -> &[f32] {
        Samples::row(&self.targets, self.len, index)
    }

    /// The first so many.
    pub fn take(mut self, n: usize) -> Self {
        let n = n.min(self.len);
        self.inputs.truncate(self.inputs.len() / self.len * n);
        self.targets.truncate(self.targets.len() / self.len * n);
        Samples { len: n, ..self }
    }
}

/// The mean squared difference of two rows of numbers.
pub fn mean_squared(predictions: &[f32], targets: &[f32]) -> f64 {
    let squares = predictions.iter().zip(targets).map(|(p, t)| f64::from(p - t).powi(2));
    squares.sum::<f64>() / targets.len() as f64
}

/// Samples that the evaluation takes at once.
const AT_ONCE: usize = 32;

/// A network recorded twice: with the mean squared error and the update, and for predictions. The
/// second session shares the parameters of the first.
pub struct Regression {
    pub training: Session,
    x: Value,
    t: Value,
    loss_sum: Value,
    batch: usize,
    evaluation: Session,
    eval_x: Value,
    y: Value,
}

impl Regression {
    /// For inputs and targets of these shapes, without the batch.
    pub fn new(
        device: &Device,
        seed: u32,
        optimizer: &dyn Optimizer,
        batch: usize,
        [input, target]: [&[usize]; 2],
        model: &Sequential,
    ) -> retape::Result<Self> {
        let of = |batch: usize, sample: &[usize]| Shape::new(&[&[batch], sample].concat());

        let mut g = Graph::new();
        let x = g.input("x", of(batch, input)?);
        let t = g.targets("t", of(batch, target)?);
        let y = model.record(&mut g, x, Mode::Training)?;
        let loss = g.mean_squared_error(y, t)?;
        let loss_sum = g.state("loss_sum", [], Init::Zeros);
        g.assign(loss_sum, g.add(loss_sum, loss)?)?;
        let tape = g.training_step(loss, optimizer)?;
        let training = tape.session_with(device, SessionOptions::new().seed(seed))?;

        let mut g = Graph::new();
        let eval_x = g.input("x", of(AT_ONCE, input)?);
        let y = model.record(&mut g, eval_x, Mode::Evaluation)?;
        let options = SessionOptions::new().share_parameters(&training);
        let evaluation = g.forward([y])?.session_with(device, options)?;
        Ok(Regression { training, x, t, loss_sum, batch, evaluation, eval_x, y })
    }

    /// Trains for so many epochs with a learning rate that falls to zero, and shows each of them.
    pub fn train(
        &mut self,
        flags: &Flags,
        epochs: usize,
        learning_rate: f32,
        [train, test]: [&Samples; 2],
    ) -> retape::Result<Vec<Epoch>> {
        let steps = train.len / self.batch;
        let mut progress = Progress::new(epochs, steps);
        let (mut inputs, mut targets) = (Vec::<f32>::new(), Vec::<f32>::new());
        for epoch in 0..epochs {
            let order = Stream { seed: flags.seed, step: epoch as u32, stream: 1 }.permutation(train.len);
            self.training
                .set_scalar("learning_rate", learning_rate * (1.0 - epoch as f32 / epochs as f32))?;
            self.training.write(self.loss_sum, &[0.0])?;
            // A last batch that is not full is left out; the next epoch's order is another one.
            for indices in order.chunks_exact(self.batch) {
                inputs.clear();
                targets.clear();
                for &index in indices {
                    inputs.extend(train.input(index));
                    targets.extend(train.target(index));
                }
                self.training.write(self.x, &inputs)?;
                self.training.write(self.t, &targets)?;
                self.training.replay()?;
                progress.steps(1);
            }
            let loss = f64::from(self.training.read_scalar(self.loss_sum)?) / steps as f64;
            progress.epoch(epoch + 1, &[("loss", loss), ("test_loss", self.loss(test)?)]);
        }
        Ok(progress.finish())
    }

    /// What the network makes of any number of inputs.
    pub fn predict(&mut self, inputs: &[f32], count: usize) -> retape::Result<Vec<f32>> {
        let width = inputs.len() / count;
        let mut all = Vec::new();
        for some in inputs.chunks(AT_ONCE * width) {
            let mut filled = some.to_vec();
            filled.resize(AT_ONCE * width, 0.0);
            self.evaluation.write(self.eval_x, &filled)?;
            self.evaluation.replay()?;
            let y = self.evaluation.read(self.y)?;
            all.extend(&y[..some.len() / width * (y.len() / AT_ONCE)]);
        }
        Ok(all)
    }

    /// The mean squared error over all samples.
    pub fn loss(&mut self, samples: &Samples) -> retape::Result<f64> {
        Ok(mean_squared(&self.predict(&samples.inputs, samples.len)?, &samples.targets))
    }
}
