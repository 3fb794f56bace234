//! Training a classifier and judging it: the loop of the examples that read a data set from files.

use retape::data::{Dataset, TrainTest};
use retape::prelude::*;
use retape::random::Stream;

use super::{Epoch, Flags, Progress, Results, Score, evaluate, parameters_hash, round};

/// What belongs into MNIST's folder, and where it is to be had.
pub const MNIST: &str = "train-images-idx3-ubyte, train-labels-idx1-ubyte, t10k-images-idx3-ubyte and \
                         t10k-labels-idx1-ubyte (plain or .gz) of MNIST (http://yann.lecun.com/exdb/mnist)";

/// The same for CIFAR-10.
pub const CIFAR10: &str = "data_batch_1.bin to data_batch_5.bin and test_batch.bin of the binary version of \
                           CIFAR-10 (https://www.cs.toronto.edu/~kriz/cifar.html)";

/// Changes one sample for the epoch at hand; the words are random and the sample's own.
pub type Augment<'a> = &'a dyn Fn(&mut [f32], [u32; 4]);

/// How to train.
pub struct Training<'a> {
    pub optimizer: &'a dyn Optimizer,
    pub epochs: usize,
    pub batch: usize,
    /// The learning rate of an epoch, counted from 0; without it, the optimiser's throughout.
    pub learning_rate: Option<&'a dyn Fn(usize) -> f32>,
    /// What is done to the samples before each use, if anything.
    pub augment: Option<Augment<'a>>,
}

impl Flags {
    /// The part of a data set that `--limit` leaves.
    pub fn limited(&self, TrainTest { train, test }: TrainTest) -> TrainTest {
        let limit = self.limit.unwrap_or(usize::MAX);
        let data = TrainTest { train: train.take(limit), test: test.take(limit) };
        println!("{} images to learn from, {} to be judged by", data.train.len(), data.test.len());
        data
    }
}

impl<'a> Training<'a> {
    /// The epochs and the batch that the flags ask for, else these.
    pub fn new(optimizer: &'a dyn Optimizer, flags: &Flags, epochs: usize, batch: usize) -> Self {
        let (epochs, batch) = (flags.epochs.unwrap_or(epochs), flags.batch.unwrap_or(batch));
        Training { optimizer, epochs, batch, learning_rate: None, augment: None }
    }

    /// Trains the network that `record` puts into a graph, shows every epoch, and returns the
    /// results under the example's name.
    pub fn run(
        &self,
        example: &str,
        device: &Device,
        seed: u32,
        data: &TrainTest,
        record: impl Fn(&mut Graph, Value, Mode) -> retape::Result<Value>,
    ) -> retape::Result<Results> {
        let batch = self.batch.min(data.train.len());
        let mut classifier = Classifier::new(device, seed, self.optimizer, &data.train, batch, record)?;
        let steps = data.train.len() / batch;
        let mut progress = Progress::new(self.epochs, steps);
        let mut last = None;
        for epoch in 0..self.epochs {
            if let Some(rate) = self.learning_rate {
                classifier.training.set_scalar("learning_rate", rate(epoch))?;
            }
            let seen = classifier.epoch(&data.train, seed, epoch as u32, self.augment, &progress)?;
            let score = classifier.judge(&data.test)?;
            let figures = [
                ("loss", seen.loss),
                ("accuracy", seen.accuracy),
                ("test_loss", score.loss),
                ("test_accuracy", score.accuracy),
            ];
            progress.epoch(epoch + 1, &figures);
            last = Some((seen, score));
        }
        let history = progress.finish();
        classifier.results(example, device, data, last, history)
    }
}

/// Loss and accuracy over the batches of an epoch, each before the step that it caused.
struct Seen {
    loss: f64,
    accuracy: f64,
}

/// A network recorded twice: with the loss, the gradients and the update, and for judging. The
/// second session shares the parameters and the running statistics of the first.
struct Classifier {
    training: Session,
    x: Value,
    labels: Value,
    loss_sum: Value,
    right_sum: Value,
    evaluation: Session,
    eval_x: Value,
    log_p: Value,
    batch: usize,
}

impl Classifier {
    fn new(
        device: &Device,
        seed: u32,
        optimizer: &dyn Optimizer,
        samples: &Dataset,
        batch: usize,
        record: impl Fn(&mut Graph, Value, Mode) -> retape::Result<Value>,
    ) -> retape::Result<Self> {
        let sample = samples.input_shape();
        let dims: Vec<usize> = [batch].iter().chain(sample.dims()).copied().collect();
        let shape = Shape::new(&dims)?;
        let classes = samples.classes() as usize;

        let mut g = Graph::new();
        let x = g.input("x", shape);
        let labels = g.labels("labels", [batch]);
        let logits = record(&mut g, x, Mode::Training)?;
        let loss = g.softmax_cross_entropy(logits, labels)?;
        // Sums over an epoch stay on the device: nothing is read back before its end.
        let taken_for = g.one_hot(g.argmax(logits, 1)?, classes)?;
        let right = g.sum(g.mul(taken_for, g.one_hot(labels, classes)?)?, &[], false)?;
        let loss_sum = g.state("loss_sum", [], Init::Zeros);
        let right_sum = g.state("right_sum", [], Init::Zeros);
        g.assign(loss_sum, g.add(loss_sum, loss)?)?;
        g.assign(right_sum, g.add(right_sum, right)?)?;
        let tape = g.training_step(loss, optimizer)?;
        let training = tape.session_with(device, SessionOptions::new().seed(seed))?;

        let mut g = Graph::new();
        let eval_x = g.input("x", shape);
        let logits = record(&mut g, eval_x, Mode::Evaluation)?;
        let log_p = g.log_softmax(logits, 1)?;
        let options = SessionOptions::new().share_parameters(&training);
        let evaluation = g.forward([log_p])?.session_with(device, options)?;
        Ok(Classifier { training, x, labels, loss_sum, right_sum, evaluation, eval_x, log_p, batch })
    }

    /// One pass over the samples, in an order that follows from the seed and the epoch. A last
    /// batch that is not full is left out; the next epoch's order is another one.
    fn epoch(
        &mut self,
        samples: &Dataset,
        seed: u32,
        epoch: u32,
        augment: Option<Augment<'_>>,
        progress: &Progress,
    ) -> retape::Result<Seen> {
        let order = Stream { seed, step: epoch, stream: 1 }.permutation(samples.len());
        let draws = Stream { seed, step: epoch, stream: 2 };
        let size = samples.input_shape().numel();
        let (mut inputs, mut labels) = (Vec::new(), Vec::new());
        self.training.write(self.loss_sum, &[0.0])?;
        self.training.write(self.right_sum, &[0.0])?;
        for indices in order.chunks_exact(self.batch) {
            samples.gather(indices, &mut inputs, &mut labels);
            if let Some(augment) = augment {
                let images = inputs.chunks_exact_mut(size).zip(indices);
                images.for_each(|(image, &index)| augment(image, draws.words(index as u32)));
            }
            self.training.write(self.x, &inputs)?;
            self.training.write(self.labels, &labels)?;
            self.training.replay()?;
            progress.steps(1);
        }
        let steps = (samples.len() / self.batch) as f64;
        Ok(Seen {
            loss: f64::from(self.training.read_scalar(self.loss_sum)?) / steps,
            accuracy: f64::from(self.training.read_scalar(self.right_sum)?) / (steps * self.batch as f64),
        })
    }

    fn judge(&mut self, samples: &Dataset) -> retape::Result<Score> {
        evaluate(&mut self.evaluation, self.eval_x, self.log_p, samples)
    }

    fn results(
        &mut self,
        example: &str,
        device: &Device,
        data: &TrainTest,
        last: Option<(Seen, Score)>,
        history: Vec<Epoch>,
    ) -> retape::Result<Results> {
        let mut parameters = 0;
        for name in self.training.parameter_names() {
            parameters += self.training.parameter(name)?.len();
        }
        let mut results = Results::new(example, device);
        results.set("epochs", history.len());
        results.set("batch", self.batch);
        results.set("parameters", parameters);
        results.set("train_samples", data.train.len());
        results.set("test_samples", data.test.len());
        let score = match last {
            Some((seen, score)) => {
                results.set("train_accuracy", round(seen.accuracy, 6));
                results.set("train_loss", round(seen.loss, 6));
                score
            }
            None => self.judge(&data.test)?,
        };
        println!("{:.2} % of {} test images are read correctly", 100.0 * score.accuracy, data.test.len());
        results.set("test_accuracy", round(score.accuracy, 6));
        results.set("test_loss", round(score.loss, 6));
        results.set("parameters_hash", parameters_hash(&self.training)?);
        results.history(history);
        Ok(results)
    }
}
