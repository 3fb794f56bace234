//! This crate.

use retape::ops::{ConvOptions, Padding};
use retape::prelude::*;

use super::Engine;
use crate::work::{self, EPSILON, Layer, Loss, Network, RATE, Row, operands};

pub struct Work {
    session: Session,
    device: Device,
    result: Value,
    single: bool,
}

impl Work {
    pub fn new(row: &Row, device: &Device, single: bool) -> retape::Result<Work> {
        let (session, result) = match row.work {
            work::Work::Step(network) => training(&network, device)?,
            _ => forward(row, device)?,
        };
        Ok(Work { session, device: device.clone(), result, single })
    }
}

fn forward(row: &Row, device: &Device) -> retape::Result<(Session, Value)> {
    let mut g = Graph::new();
    let given = operands(&row.work);
    let values: Vec<Value> =
        given.iter().map(|t| Ok(g.input(&t.name, Shape::new(&t.shape)?))).collect::<retape::Result<_>>()?;
    let y = match row.work {
        work::Work::Convolution { same, .. } => {
            let padding = if same { Padding::Same } else { Padding::Valid };
            g.conv2d(values[0], values[1], None, ConvOptions::new().padding(padding))?
        }
        _ => g.matmul(values[0], values[1])?,
    };
    let mut session = g.forward([y])?.session(device)?;
    values.iter().zip(&given).try_for_each(|(&value, tensor)| session.write(value, &tensor.data))?;
    Ok((session, y))
}

fn training(network: &Network, device: &Device) -> retape::Result<(Session, Value)> {
    let mut model = Sequential::new();
    for layer in network.layers {
        let activation = |relu| if relu { Activation::Relu } else { Activation::Linear };
        model = match *layer {
            Layer::Convolution(filters, kernel) => {
                model.add(Conv2d::new(filters, kernel).activation(Activation::Relu))
            }
            Layer::MaxPool => model.add(MaxPool2d::new(2)),
            Layer::Flatten => model.add(Flatten),
            Layer::Dense(units, relu) => model.add(Dense::new(units).activation(activation(relu))),
            Layer::Lstm(units) => model.add(Lstm::new(units)),
        };
    }
    let (inputs, targets) = (network.inputs(), network.targets());
    let mut g = Graph::new();
    let x = g.input("x", Shape::new(&inputs.shape)?);
    let y = model.record(&mut g, x, Mode::Training)?;
    let (wanted, loss) = match network.loss {
        Loss::CrossEntropy => {
            let labels = g.labels("labels", [network.batch]);
            (labels, g.softmax_cross_entropy(y, labels)?)
        }
        Loss::MeanSquaredError => {
            let wanted = g.targets("targets", Shape::new(&targets.shape)?);
            (wanted, g.mean_squared_error(y, wanted)?)
        }
    };
    let parameters = g.parameters();
    let tape = g.training_step(loss, &Adam::pytorch(RATE).epsilon(EPSILON))?;
    let mut session = tape.session(device)?;
    session.write(x, &inputs.data)?;
    match network.loss {
        Loss::CrossEntropy => {
            session.write(wanted, &targets.data.iter().map(|&label| label as u32).collect::<Vec<_>>())?;
        }
        Loss::MeanSquaredError => session.write(wanted, &targets.data)?,
    }
    let weights = network.weights();
    assert_eq!(parameters.len(), weights.len());
    parameters.iter().zip(&weights).try_for_each(|(&value, tensor)| session.write(value, &tensor.data))?;
    Ok((session, loss))
}

impl Engine for Work {
    fn run(&mut self, times: usize) {
        if self.single {
            (0..times).for_each(|_| self.session.replay().expect("the step replays"));
        } else {
            self.session.replay_n(times).expect("the step replays");
        }
        crate::timing::wait(&self.device);
    }

    fn result(&mut self) -> Vec<f32> {
        self.session.read(self.result).expect("the result is kept")
    }

    fn device(&self) -> String {
        self.device.name().to_owned()
    }
}
