//! Well-known networks and their training steps, on noise in place of data: what a step takes does not depend on it.

use retape::nn::{architectures, record};
use retape::prelude::*;
use retape::random::Stream;

/// The network that `--network` names.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Net {
    Mlp,
    MnistCnn,
    CifarCnn,
    Lenet5,
    Resnet20,
    Resnet50,
    Vgg16,
    Lstm,
    Gru,
}

/// A training step of a classifier with its inputs.
pub struct Step {
    pub tape: Tape,
    pub batch: usize,
    x: Value,
    labels: Value,
    classes: u32,
}

impl Net {
    /// All of them, the small ones first.
    pub const ALL: [Net; 9] = [
        Net::Mlp,
        Net::Lstm,
        Net::Gru,
        Net::MnistCnn,
        Net::Lenet5,
        Net::CifarCnn,
        Net::Resnet20,
        Net::Resnet50,
        Net::Vgg16,
    ];

    /// As `--network` has it.
    pub fn flag(self) -> &'static str {
        match self {
            Net::Mlp => "mlp",
            Net::MnistCnn => "mnist-cnn",
            Net::CifarCnn => "cifar-cnn",
            Net::Lenet5 => "lenet5",
            Net::Resnet20 => "resnet20",
            Net::Resnet50 => "resnet50",
            Net::Vgg16 => "vgg16",
            Net::Lstm => "lstm",
            Net::Gru => "gru",
        }
    }

    /// The shape of a sample.
    pub fn input(self) -> &'static [usize] {
        match self {
            Net::Mlp => &[784],
            Net::MnistCnn => &[1, 28, 28],
            Net::Lenet5 => &[1, 32, 32],
            Net::CifarCnn | Net::Resnet20 => &[3, 32, 32],
            Net::Resnet50 | Net::Vgg16 => &[3, 224, 224],
            // Time steps and features.
            Net::Lstm | Net::Gru => &[50, 32],
        }
    }

    /// The samples of a step, unless `--batch` says how many.
    pub fn batch(self) -> usize {
        match self {
            Net::Mlp | Net::MnistCnn | Net::Lenet5 | Net::Resnet20 => 128,
            Net::CifarCnn | Net::Resnet50 | Net::Lstm | Net::Gru => 32,
            Net::Vgg16 => 8,
        }
    }

    fn classes(self) -> u32 {
        if matches!(self, Net::Resnet50 | Net::Vgg16) { 1000 } else { 10 }
    }

    /// The model, up to its logits.
    pub fn model(self) -> Box<dyn Layer> {
        let classes = self.classes() as usize;
        let dense = |units| Dense::new(units).activation(Activation::Relu);
        let convolution = |filters, size: usize| Conv2d::new(filters, size).activation(Activation::Relu);
        let empty = Sequential::new();
        let plain = match self {
            Net::Lenet5 => return Box::new(architectures::lenet5(classes)),
            Net::Resnet20 => return Box::new(architectures::resnet20(classes)),
            Net::Resnet50 => return Box::new(architectures::resnet50(classes)),
            Net::Vgg16 => return Box::new(architectures::vgg16(classes)),
            Net::Mlp => empty.add(dense(512)).add(dense(512)),
            Net::Lstm => empty.add(Lstm::new(64)),
            Net::Gru => empty.add(Gru::new(64)),
            Net::MnistCnn => empty
                .add(convolution(10, 5))
                .add(MaxPool2d::new(2))
                .add(convolution(20, 5))
                .add(MaxPool2d::new(2))
                .add(Flatten)
                .add(dense(100)),
            Net::CifarCnn => empty
                .add(convolution(32, 3))
                .add(MaxPool2d::new(2))
                .add(convolution(64, 3))
                .add(MaxPool2d::new(2))
                .add(convolution(64, 3))
                .add(Flatten)
                .add(dense(64)),
        };
        Box::new(plain.add(Dense::new(classes)))
    }

    /// A training step with Adam.
    pub fn step(self, batch: usize) -> retape::Result<Step> {
        let mut g = Graph::new();
        let x = g.input("x", Shape::new(&[&[batch], self.input()].concat())?);
        let labels = g.labels("labels", [batch]);
        let logits = record(self.model().as_ref(), &mut g, &[x], Mode::Training)?.outputs[0];
        let loss = g.softmax_cross_entropy(logits, labels)?;
        let tape = g.training_step(loss, &Adam::new(1e-3))?;
        Ok(Step { tape, batch, x, labels, classes: self.classes() })
    }
}

impl Step {
    /// Writes noise and labels.
    pub fn fill(&self, session: &mut Session, seed: u32) -> retape::Result<()> {
        let stream = Stream { seed, step: 0, stream: 1 };
        let elements = self.tape.value(self.x).map_or(0, |info| info.ty.numel()) as u32;
        let noise: Vec<f32> = (0..elements).map(|i| stream.uniform(i) as f32 - 0.5).collect();
        session.write(self.x, &noise)?;
        let labels: Vec<u32> = (0..self.batch as u32).map(|i| stream.words(i)[1] % self.classes).collect();
        session.write(self.labels, &labels)
    }

    /// What is read to wait until a step has run.
    pub fn loss(&self) -> Value {
        self.tape.losses()[0]
    }

    /// Seconds of a step: the best of some runs, which are waited for, each of so many steps that it takes a while.
    pub fn seconds(&self, session: &mut Session) -> retape::Result<f64> {
        let mut run = |steps: usize| -> retape::Result<f64> {
            let start = std::time::Instant::now();
            session.replay_n(steps)?;
            session.read_scalar(self.loss())?;
            Ok(start.elapsed().as_secs_f64() / steps as f64)
        };
        run(1)?;
        let once = run(1)?;
        let steps = (0.1 / once).clamp(1.0, 1000.0) as usize;
        let runs = if once > 1.0 { 1 } else { 3 };
        (0..runs).try_fold(once, |best, _| Ok(best.min(run(steps)?)))
    }
}
