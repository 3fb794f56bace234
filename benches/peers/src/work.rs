//! What is timed: products, convolutions and training steps, with the numbers that all engines are given.

use retape::random::Stream;

/// Learning rate and epsilon of Adam in the paper's form, of which every engine has a version.
pub const RATE: f32 = 1e-3;
pub const EPSILON: f32 = 1e-7;

/// A piece of work with a name of its own.
#[derive(Clone, Copy)]
pub struct Row {
    pub name: &'static str,
    pub work: Work,
}

#[derive(Clone, Copy)]
pub enum Work {
    /// Of two square matrices.
    Product { size: usize },
    /// The forward pass, without a bias, of square images and kernels.
    Convolution { batch: usize, channels: usize, filters: usize, kernel: usize, side: usize, same: bool },
    /// Forward, backward and the update by Adam.
    Step(Network),
}

#[derive(Clone, Copy)]
pub struct Network {
    pub batch: usize,
    /// The shape of a sample: `[channels, height, width]`, `[time, features]` or `[features]`.
    pub input: &'static [usize],
    pub layers: &'static [Layer],
    pub loss: Loss,
}

/// A layer, after which come those that have no weights.
#[derive(Clone, Copy)]
pub enum Layer {
    /// Filters and kernel, without padding; a ReLU follows.
    Convolution(usize, usize),
    /// Windows of 2x2 at a stride of 2.
    MaxPool,
    Flatten,
    /// Units; `true` for a ReLU.
    Dense(usize, bool),
    /// Units; the state after the last time step is the output.
    Lstm(usize),
}

#[derive(Clone, Copy, PartialEq)]
pub enum Loss {
    /// Softmax cross-entropy of labels, the mean of the batch.
    CrossEntropy,
    MeanSquaredError,
}

/// Numbers with a name and a shape.
pub struct Tensor {
    pub name: String,
    pub shape: Vec<usize>,
    pub data: Vec<f32>,
}

use Layer::{Convolution, Dense, Flatten, Lstm, MaxPool};

pub const XOR: &str = "step XOR 2-8-1";

pub const ROWS: [Row; 8] = [
    Row { name: "product 512x512x512", work: Work::Product { size: 512 } },
    Row {
        name: "convolution 32->64 3x3 on 32x32, batch 32",
        work: Work::Convolution { batch: 32, channels: 32, filters: 64, kernel: 3, side: 32, same: true },
    },
    Row {
        name: "convolution 1->10 5x5 on 28x28, batch 128",
        work: Work::Convolution { batch: 128, channels: 1, filters: 10, kernel: 5, side: 28, same: false },
    },
    Row {
        name: "step MLP 784-512-10, batch 128",
        work: Work::Step(Network {
            batch: 128,
            input: &[784],
            layers: &[Dense(512, true), Dense(10, false)],
            loss: Loss::CrossEntropy,
        }),
    },
    Row {
        name: XOR,
        work: Work::Step(Network {
            batch: 4,
            input: &[2],
            layers: &[Dense(8, true), Dense(1, false)],
            loss: Loss::MeanSquaredError,
        }),
    },
    Row {
        name: "step MNIST CNN, batch 128",
        work: Work::Step(Network {
            batch: 128,
            input: &[1, 28, 28],
            layers: &[
                Convolution(10, 5),
                MaxPool,
                Convolution(20, 5),
                MaxPool,
                Flatten,
                Dense(100, true),
                Dense(10, false),
            ],
            loss: Loss::CrossEntropy,
        }),
    },
    Row {
        name: "step CIFAR CNN, batch 32",
        work: Work::Step(Network {
            batch: 32,
            input: &[3, 32, 32],
            layers: &[
                Convolution(32, 3),
                MaxPool,
                Convolution(64, 3),
                MaxPool,
                Convolution(64, 3),
                Flatten,
                Dense(64, true),
                Dense(10, false),
            ],
            loss: Loss::CrossEntropy,
        }),
    },
    Row {
        name: "step LSTM 32->64, 50 time steps, batch 32",
        work: Work::Step(Network {
            batch: 32,
            input: &[50, 32],
            layers: &[Lstm(64), Dense(10, false)],
            loss: Loss::CrossEntropy,
        }),
    },
];

impl Row {
    /// How often the work is done for the results that are compared: the losses of a few steps, of which the
    /// later ones depend on the gradients and updates before, or the outputs of one pass.
    pub fn compared(&self) -> usize {
        if matches!(self.work, Work::Step(_)) { 3 } else { 1 }
    }

    /// The most that a result may be off, of the largest one.
    pub fn tolerance(&self) -> f32 {
        if matches!(self.work, Work::Step(_)) { 1e-3 } else { 1e-5 }
    }
}

impl Network {
    /// The shape of what a layer is given, for each of them, and at last that of the output; all for one sample.
    pub fn shapes(&self) -> Vec<Vec<usize>> {
        let mut shapes = vec![self.input.to_vec()];
        for layer in self.layers {
            let shape = &shapes[shapes.len() - 1];
            shapes.push(match *layer {
                Convolution(filters, kernel) => vec![filters, shape[1] - kernel + 1, shape[2] - kernel + 1],
                MaxPool => vec![shape[0], shape[1] / 2, shape[2] / 2],
                Flatten => vec![shape.iter().product()],
                Dense(units, _) | Lstm(units) => vec![units],
            });
        }
        shapes
    }

    /// Weights, then the bias, of each layer in order; an LSTM's are those of the input, of the state, and the
    /// bias, with the gates i, f, g and o side by side.
    pub fn weights(&self) -> Vec<Tensor> {
        let mut found = Vec::new();
        for (index, (layer, input)) in self.layers.iter().zip(self.shapes()).enumerate() {
            let shapes = match *layer {
                Convolution(filters, kernel) => {
                    vec![("weight", vec![filters, input[0], kernel, kernel]), ("bias", vec![filters])]
                }
                Dense(units, _) => vec![("weight", vec![input[0], units]), ("bias", vec![units])],
                Lstm(units) => vec![
                    ("weight", vec![input[1], 4 * units]),
                    ("recurrent", vec![units, 4 * units]),
                    ("bias", vec![4 * units]),
                ],
                MaxPool | Flatten => Vec::new(),
            };
            for (name, shape) in shapes {
                let fan_in: usize = if shape.len() == 4 { shape[1..].iter().product() } else { shape[0] };
                let bound = if name == "bias" { 0.1 } else { (3.0 / fan_in as f32).sqrt() };
                found.push(uniform(&format!("{index}.{name}"), shape, bound, 10 + found.len() as u32));
            }
        }
        found
    }

    pub fn inputs(&self) -> Tensor {
        uniform("x", [&[self.batch], self.input].concat(), 1.0, 1)
    }

    /// Labels as numbers, or targets of one value each.
    pub fn targets(&self) -> Tensor {
        let draws = uniform("y", vec![self.batch], 1.0, 2);
        match self.loss {
            Loss::CrossEntropy => {
                let classes = self.classes() as f32;
                let label = |x: &f32| (0.5 * (x + 1.0) * classes).floor().clamp(0.0, classes - 1.0);
                Tensor { data: draws.data.iter().map(label).collect(), ..draws }
            }
            Loss::MeanSquaredError => Tensor { shape: vec![self.batch, 1], ..draws },
        }
    }

    pub fn classes(&self) -> usize {
        self.shapes()[self.layers.len()][0]
    }
}

/// Numbers between `-bound` and `bound`, the same everywhere.
pub fn uniform(name: &str, shape: Vec<usize>, bound: f32, stream: u32) -> Tensor {
    let draws = Stream { seed: 7, step: 0, stream };
    let count: usize = shape.iter().product();
    let data = (0..count as u32).map(|i| (2.0 * draws.uniform(i) as f32 - 1.0) * bound).collect();
    Tensor { name: name.to_owned(), shape, data }
}

/// The factors of a product, or the images and filters of a convolution; none of a network.
pub fn operands(work: &Work) -> Vec<Tensor> {
    match *work {
        Work::Product { size } => {
            ["a", "b"].into_iter().zip(1..).map(|(name, i)| uniform(name, vec![size, size], 1.0, i)).collect()
        }
        Work::Convolution { batch, channels, filters, kernel, side, .. } => vec![
            uniform("x", vec![batch, channels, side, side], 1.0, 1),
            uniform("w", vec![filters, channels, kernel, kernel], 1.0, 2),
        ],
        Work::Step(_) => Vec::new(),
    }
}
