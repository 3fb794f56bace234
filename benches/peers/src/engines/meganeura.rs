//! Meganeura on Blade, with its defaults.

use meganeura::{Graph, Mode, NodeId, Session, SessionConfig, build};

use super::Engine;
use crate::work::{self, EPSILON, Layer, Loss, Network, RATE, Row, operands};

pub struct Work {
    session: Session,
    result: Result,
}

/// How the last result is read.
enum Result {
    Output(usize),
    Loss,
}

impl Work {
    pub fn new(row: &Row) -> std::result::Result<Work, String> {
        match row.work {
            work::Work::Step(network) => training(&network),
            _ => Ok(forward(row)),
        }
    }
}

fn forward(row: &Row) -> Work {
    let mut g = Graph::new();
    let given = operands(&row.work);
    let flat = |tensor: &work::Tensor| [tensor.data.len()];
    let (y, outputs) = match row.work {
        work::Work::Convolution { batch, channels, filters, kernel, side, same } => {
            let (x, w) = (g.input("x", &flat(&given[0])), g.input("w", &flat(&given[1])));
            let padding = if same { kernel / 2 } else { 0 };
            let size = side + 2 * padding - kernel + 1;
            let numbers = [batch, channels, side, side, filters, kernel, kernel, 1, padding];
            let [n, c, h, w_in, f, kh, kw, stride, padding] = numbers.map(|number| number as u32);
            (g.conv2d(x, w, n, c, h, w_in, f, kh, kw, stride, padding), batch * filters * size * size)
        }
        _ => {
            let (a, b) = (g.input("a", &given[0].shape), g.input("b", &given[1].shape));
            (g.matmul(a, b), given[0].shape[0] * given[1].shape[1])
        }
    };
    g.set_outputs(vec![y]);
    let mut session = build(&g, SessionConfig { mode: Mode::Inference, ..SessionConfig::default() }).0;
    given.iter().for_each(|tensor| session.set_input(&tensor.name, &tensor.data));
    Work { session, result: Result::Output(outputs) }
}

fn training(network: &Network) -> std::result::Result<Work, String> {
    let weights = network.weights();
    let mut g = Graph::new();
    // Images are flat there, and so are the filters.
    let inputs = network.inputs();
    let flat = |shape: &[usize]| if shape.len() == 4 { vec![shape.iter().product()] } else { shape.to_vec() };
    let mut x = g.input("x", &flat(&inputs.shape));
    let declared: Vec<NodeId> = weights.iter().map(|t| g.parameter(&t.name, &flat(&t.shape))).collect();
    let mut declared = declared.into_iter();
    let mut next = || declared.next().expect("each layer has its weights");
    let batch = network.batch as u32;
    for (layer, input) in network.layers.iter().zip(network.shapes()) {
        let size = |axis: usize| input[axis] as u32;
        x = match *layer {
            Layer::Convolution(filters, kernel) => {
                let (w, b) = (next(), next());
                let [filters, kernel] = [filters as u32, kernel as u32];
                let y = g.conv2d(x, w, batch, size(0), size(1), size(2), filters, kernel, kernel, 1, 0);
                let spatial = (size(1) - kernel + 1) * (size(2) - kernel + 1);
                let y = g.add_per_channel(y, b, filters, spatial);
                g.relu(y)
            }
            Layer::MaxPool => g.max_pool_2d(x, batch, size(0), size(1), size(2), 2, 2, 2, 0),
            Layer::Flatten => g.reshape(x, &[network.batch, input.iter().product()]),
            Layer::Dense(_, active) => {
                let y = g.matmul(x, next());
                let y = g.bias_add(y, next());
                if active { g.relu(y) } else { y }
            }
            Layer::Lstm(_) => return Err("no recurrent layer".to_owned()),
        };
    }
    let (targets, loss) = match network.loss {
        Loss::CrossEntropy => {
            let labels = g.input("y", &[network.batch, network.classes()]);
            (one_hot(network), g.cross_entropy_loss(x, labels))
        }
        Loss::MeanSquaredError => {
            let targets = network.targets();
            let wanted = g.input("y", &targets.shape);
            (targets.data, g.mse_loss(x, wanted))
        }
    };
    g.set_outputs(vec![loss]);
    let mut session = build(&g, SessionConfig::default()).0;
    weights.iter().for_each(|tensor| session.set_parameter(&tensor.name, &tensor.data));
    session.set_input("x", &inputs.data);
    session.set_input("y", &targets);
    session.set_adam(RATE, 0.9, 0.999, EPSILON);
    Ok(Work { session, result: Result::Loss })
}

/// A row with a one at the label, for each sample.
fn one_hot(network: &Network) -> Vec<f32> {
    let classes = network.classes();
    let row = |&label: &f32| (0..classes).map(move |class| f32::from(u8::from(class == label as usize)));
    network.targets().data.iter().flat_map(row).collect()
}

impl Engine for Work {
    fn run(&mut self, times: usize) {
        (0..times).for_each(|_| self.session.step());
        self.session.wait();
    }

    fn result(&mut self) -> Vec<f32> {
        match self.result {
            Result::Output(outputs) => self.session.read_output(outputs),
            Result::Loss => vec![self.session.read_loss()],
        }
    }

    fn device(&self) -> String {
        self.session.device_information().device_name.clone()
    }
}
