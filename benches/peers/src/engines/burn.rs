//! Burn on wgpu, with what its crate turns on by default: fusion and autotuning.

use burn::module::{Module, Param};
use burn::nn::conv::{Conv2d, Conv2dConfig};
use burn::nn::loss::{CrossEntropyLossConfig, MseLoss, Reduction};
use burn::nn::pool::{MaxPool2d, MaxPool2dConfig};
use burn::nn::{Linear, LinearConfig, Lstm, LstmConfig};
use burn::optim::{AdamConfig, GradientsParams, ModuleOptimizer};
use burn::tensor::activation::relu;
use burn::tensor::module::conv2d;
use burn::tensor::ops::ConvOptions;
use burn::tensor::{Device, DeviceKind, Int, Tensor, TensorData};
use retape::tape::DeviceKind as Kind;

use super::Engine;
use crate::work::{self, EPSILON, Layer, Loss, Network, RATE, Row, operands};

pub struct Work {
    device: Device,
    job: Job,
}

enum Job {
    Product { a: Tensor<2>, b: Tensor<2>, y: Option<Tensor<2>> },
    Convolution { x: Tensor<4>, w: Tensor<4>, padding: usize, y: Option<Tensor<4>> },
    Step(Box<Training>),
}

struct Training {
    network: Network,
    model: Option<Model>,
    optimizer: ModuleOptimizer,
    x: Input,
    labels: Option<Tensor<1, Int>>,
    targets: Option<Tensor<2>>,
    loss: Option<Tensor<1>>,
}

#[derive(Clone)]
enum Input {
    Rows(Tensor<2>),
    Sequences(Tensor<3>),
    Images(Tensor<4>),
}

/// The layers with weights, by kind, each in the network's order.
#[derive(Module, Debug)]
struct Model {
    convolutions: Vec<Conv2d>,
    pool: MaxPool2d,
    lstm: Option<Lstm>,
    dense: Vec<Linear>,
}

fn tensor<const D: usize>(t: &work::Tensor, device: &Device) -> Tensor<D> {
    Tensor::from_data(TensorData::new(t.data.clone(), t.shape.clone()), device)
}

fn parameter<const D: usize>(t: &work::Tensor, device: &Device) -> Param<Tensor<D>> {
    Param::from_tensor(tensor(t, device))
}

impl Work {
    pub fn new(row: &Row, device: &retape::prelude::Device) -> Work {
        // The adapter is chosen by its kind: the first of that kind is taken.
        let device = Device::wgpu(match device.profile().map(|profile| profile.kind) {
            Some(Kind::Cpu) => DeviceKind::Cpu,
            _ => DeviceKind::DefaultDevice,
        });
        let given = operands(&row.work);
        match row.work {
            work::Work::Product { .. } => {
                let (a, b) = (tensor(&given[0], &device), tensor(&given[1], &device));
                Work { job: Job::Product { a, b, y: None }, device }
            }
            work::Work::Convolution { kernel, same, .. } => {
                let padding = if same { kernel / 2 } else { 0 };
                let (x, w) = (tensor(&given[0], &device), tensor(&given[1], &device));
                Work { job: Job::Convolution { x, w, padding, y: None }, device }
            }
            work::Work::Step(network) => {
                let device = device.autodiff();
                Work { job: Job::Step(Box::new(Training::new(network, &device))), device }
            }
        }
    }
}

impl Engine for Work {
    fn run(&mut self, times: usize) {
        for _ in 0..times {
            match &mut self.job {
                Job::Product { a, b, y } => *y = Some(a.clone().matmul(b.clone())),
                Job::Convolution { x, w, padding, y } => {
                    let options = ConvOptions::new([1, 1], [*padding; 2], [1, 1], 1);
                    *y = Some(conv2d(x.clone(), w.clone(), None, options));
                }
                Job::Step(training) => training.step(),
            }
        }
        self.device.sync().expect("the device finishes");
    }

    fn result(&mut self) -> Vec<f32> {
        let data = match &self.job {
            Job::Product { y, .. } => y.clone().map(Tensor::into_data),
            Job::Convolution { y, .. } => y.clone().map(Tensor::into_data),
            Job::Step(training) => training.loss.clone().map(Tensor::into_data),
        };
        data.expect("the work is done").try_into_vec::<f32>().expect("results are f32")
    }

    fn device(&self) -> String {
        self.device.identity().map_or_else(|| "unknown".to_owned(), |identity| identity.name)
    }
}

impl Training {
    fn new(network: Network, device: &Device) -> Training {
        let inputs = network.inputs();
        let x = match inputs.shape.len() {
            2 => Input::Rows(tensor(&inputs, device)),
            3 => Input::Sequences(tensor(&inputs, device)),
            _ => Input::Images(tensor(&inputs, device)),
        };
        let wanted = network.targets();
        let (labels, targets) = match network.loss {
            Loss::CrossEntropy => {
                let labels: Vec<i32> = wanted.data.iter().map(|&label| label as i32).collect();
                (Some(Tensor::from_data(TensorData::new(labels, [network.batch]), device)), None)
            }
            Loss::MeanSquaredError => (None, Some(tensor(&wanted, device))),
        };
        let optimizer = AdamConfig::new().with_epsilon(EPSILON).init();
        let model = Some(Model::new(&network, device));
        Training { network, model, optimizer, x, labels, targets, loss: None }
    }

    fn step(&mut self) {
        let model = self.model.take().expect("the model is put back");
        let y = model.forward(&self.network, self.x.clone());
        let loss = match (&self.labels, &self.targets) {
            (Some(labels), _) => CrossEntropyLossConfig::new().init(&y.device()).forward(y, labels.clone()),
            (None, Some(targets)) => MseLoss::new().forward(y, targets.clone(), Reduction::Mean),
            (None, None) => unreachable!("a network has labels or targets"),
        };
        let gradients = GradientsParams::from_grads(loss.backward(), &model);
        self.loss = Some(loss.detach());
        self.model = Some(self.optimizer.step(f64::from(RATE), model, gradients));
    }
}

impl Model {
    fn new(network: &Network, device: &Device) -> Model {
        let pool = MaxPool2dConfig::new([2, 2]).with_strides([2, 2]).init();
        let mut model = Model { convolutions: Vec::new(), pool, lstm: None, dense: Vec::new() };
        let weights = network.weights();
        let mut weights = weights.iter();
        let mut next = || weights.next().expect("each layer has its weights");
        for (layer, input) in network.layers.iter().zip(network.shapes()) {
            match *layer {
                Layer::Convolution(filters, kernel) => {
                    let mut made = Conv2dConfig::new([input[0], filters], [kernel; 2]).init(device);
                    (made.weight, made.bias) = (parameter(next(), device), Some(parameter(next(), device)));
                    model.convolutions.push(made);
                }
                Layer::Dense(units, _) => {
                    let mut made = LinearConfig::new(input[0], units).init(device);
                    (made.weight, made.bias) = (parameter(next(), device), Some(parameter(next(), device)));
                    model.dense.push(made);
                }
                Layer::Lstm(units) => {
                    model.lstm = Some(lstm(input[1], units, [next(), next(), next()], device));
                }
                Layer::MaxPool | Layer::Flatten => {}
            }
        }
        model
    }

    fn forward(&self, network: &Network, mut x: Input) -> Tensor<2> {
        let (mut convolutions, mut dense) = (self.convolutions.iter(), self.dense.iter());
        for layer in network.layers {
            x = match (*layer, x) {
                (Layer::Convolution(..), Input::Images(x)) => {
                    Input::Images(relu(convolutions.next().expect("it is there").forward(x)))
                }
                (Layer::MaxPool, Input::Images(x)) => Input::Images(self.pool.forward(x)),
                (Layer::Flatten, Input::Images(x)) => Input::Rows(x.flatten(1, 3)),
                (Layer::Dense(_, active), Input::Rows(x)) => {
                    let y = dense.next().expect("it is there").forward(x);
                    Input::Rows(if active { relu(y) } else { y })
                }
                (Layer::Lstm(_), Input::Sequences(x)) => {
                    let (_, state) = self.lstm.as_ref().expect("it is there").forward(x, None);
                    Input::Rows(state.hidden)
                }
                _ => unreachable!("layers follow each other by shape"),
            };
        }
        match x {
            Input::Rows(x) => x,
            _ => unreachable!("networks end in a dense layer"),
        }
    }
}

/// Burn adds one bias with the input and one with the state; the second stays zero and untrained, so that the
/// network is the others'.
fn lstm(features: usize, units: usize, weights: [&work::Tensor; 3], device: &Device) -> Lstm {
    let mut lstm = LstmConfig::new(features, units, true).init(device);
    let forget = lstm.forget_gate.as_mut().expect("gates are not coupled by default");
    let gates = [&mut lstm.input_gate, forget, &mut lstm.cell_gate, &mut lstm.output_gate];
    for (gate, made) in gates.into_iter().enumerate() {
        let [weight, recurrent, bias] = weights.map(|whole| columns(whole, gate, units));
        made.input_transform.weight = parameter(&weight, device);
        made.input_transform.bias = Some(parameter(&bias, device));
        made.hidden_transform.weight = parameter(&recurrent, device);
        let zeros = Param::from_tensor(Tensor::<1>::zeros([units], device)).set_require_grad(false);
        made.hidden_transform.bias = Some(zeros);
    }
    lstm
}

/// The columns of a gate.
fn columns(whole: &work::Tensor, gate: usize, units: usize) -> work::Tensor {
    let rows = whole.data.chunks(4 * units);
    let data = rows.flat_map(|row| row[gate * units..(gate + 1) * units].to_vec()).collect();
    let shape = whole.shape.iter().map(|&n| if n == 4 * units { units } else { n }).collect();
    work::Tensor { name: whole.name.clone(), shape, data }
}
