//! Fused tapes: what becomes one operator, that it computes the same, and what they say of themselves.

use crate::common;
use crate::common::data::noise;
use crate::steps::step_of;
use retape::array::Array;
use retape::ops::{Binary, Reference, Unary};
use retape::prelude::*;
use retape::random::Stream;
use retape::tape::{DeviceKind, DeviceProfile};
use retape::testing::{broken_guards, guarded, poison, session_with_plan};
use retape::{HostData, Result};

/// The names of a tape's operators; of a fused one, those of its members.
pub fn names(tape: &Tape) -> Vec<String> {
    let name = |node: &retape::graph::Node| match node.op.attributes() {
        attributes if ["chain", "merged"].contains(&node.op.name()) => {
            format!("{}({attributes})", node.op.name())
        }
        _ => node.op.name().to_owned(),
    };
    tape.ops().iter().map(name).collect()
}

fn fused(tape: &Tape) -> Tape {
    tape.fuse(&DeviceProfile::baseline())
}

#[test]
fn functions_that_follow_each_other_become_one() {
    let mut g = Graph::new();
    let (x, b) = (g.input("x", [4, 6]), g.parameter("b", [6], Init::Ones));
    let y = g.relu(g.add(x, b).unwrap()).unwrap();
    let tape = fused(&g.forward([y]).unwrap());
    assert_eq!(names(&tape), ["chain(add relu)"]);
    assert!(tape.to_string().contains("chain(add relu)"), "{tape}");
}

#[test]
fn a_value_that_others_read_leaves_its_chain() {
    let mut g = Graph::new();
    let x = g.input("x", [4, 4]);
    let a = g.tanh(x).unwrap();
    let b = g.square(a).unwrap();
    let product = g.matmul(a, b).unwrap();
    // The chain ends before the product, which reads both.
    let c = g.add(g.exp(a).unwrap(), product).unwrap();
    let tape = fused(&g.forward([c]).unwrap());
    assert_eq!(names(&tape), ["chain(tanh square)", "chain(matmul exp add)"]);
    assert_eq!(tape.ops()[0].outputs, [a, b]);
    let kept = fused(&g.forward([c, b]).unwrap());
    assert_eq!(names(&kept), names(&tape));
}

#[test]
fn shapes_and_stretched_operands_do_not_end_a_chain() {
    let mut g = Graph::new();
    let x = g.input("x", [2, 6, 2, 2]);
    let bias = g.parameter("bias", [6], Init::Ones);
    let a = g.add(x, g.reshape(bias, [6, 1, 1]).unwrap()).unwrap();
    let flat = g.flatten(g.sigmoid(a).unwrap()).unwrap();
    let wide = g.broadcast_to(g.scalar_constant(2.0), [2, 24]).unwrap();
    let y = g.mul(g.neg(flat).unwrap(), wide).unwrap();
    let tape = fused(&g.forward([y]).unwrap());
    assert_eq!(names(&tape).last().unwrap(), "chain(add sigmoid neg mul)");
    assert_eq!(tape.ops().len(), 2, "{tape}");
}

#[test]
fn what_depends_on_constants_alone_is_computed_once() {
    let mut g = Graph::new();
    let x = g.input("x", [3]);
    let third = g.div(g.scalar_constant(1.0), g.scalar_constant(3.0)).unwrap();
    let scaled = g.mul(x, g.reshape(third, [1]).unwrap()).unwrap();
    let again = g.mul(x, third).unwrap();
    let y = g.sum(g.add(scaled, again).unwrap(), &[], false).unwrap();
    let tape = g.forward([y, third]).unwrap();
    // A kept value is computed all the same.
    assert!(names(&fused(&tape)).contains(&"div".to_owned()));
    let tape = fused(&g.forward([y]).unwrap());
    assert_eq!(names(&tape), ["chain(mul mul add)", "sum"]);
}

#[test]
fn equal_operators_are_computed_once_and_unread_ones_never() {
    let mut g = Graph::new();
    let x = g.input("x", [3, 3]);
    let (a, b) = (g.exp(x).unwrap(), g.exp(x).unwrap());
    g.log(b).unwrap();
    let y = g.matmul(a, b).unwrap();
    let tape = fused(&g.forward([y]).unwrap());
    assert_eq!(names(&tape), ["exp", "matmul"]);
    assert_eq!(tape.ops()[1].inputs, [a, a]);
}

/// Elements that are moved twice are moved once, and a product reads what was turned round for it as it lies.
#[test]
fn elements_are_moved_once_or_not_at_all() {
    let mut g = Graph::new();
    let (x, w) = (g.input("x", [2, 3, 4]), g.parameter("w", [2, 5, 4], Init::GlorotUniform));
    let turned = g.transpose(w, &[0, 2, 1]).unwrap();
    let twice = g.transpose(g.transpose(x, &[2, 0, 1]).unwrap(), &[1, 2, 0]).unwrap();
    let product = g.matmul(twice, turned).unwrap();
    let flat = g.reshape(g.reshape(product, [30]).unwrap(), [2, 3, 5]).unwrap();
    let other = g.transpose(g.transpose(flat, &[1, 0, 2]).unwrap(), &[2, 1, 0]).unwrap();
    let thin = g.transpose(g.reshape(x, [24, 1]).unwrap(), &[1, 0]).unwrap();
    let again = g.matmul(g.transpose(product, &[0, 2, 1]).unwrap(), x).unwrap();
    let tape = g.forward([other, thin, again]).unwrap();
    let fused = fused(&tape);
    // The kept values are made as they are asked for.
    assert_eq!(names(&fused), ["matmul", "transpose", "reshape", "matmul"], "{fused}");
    assert_eq!(fused.ops()[0].inputs, [x, w]);
    assert_eq!(fused.ops().last().unwrap().inputs, [product, x]);
    let mut session = tape.session(common::gpu()).unwrap();
    let checked = session.verify(&[(x, (&noise(24, 5, -1.0, 1.0)).into())]).unwrap();
    assert!(checked.passes(), "{checked}");
    let mut exact = tape.session(&Device::reference()).unwrap();
    exact.write(x, &noise(24, 5, -1.0, 1.0)).unwrap();
    exact.replay().unwrap();
    for value in [other, thin, again] {
        for (a, b) in session.read(value).unwrap().iter().zip(exact.read(value).unwrap()) {
            assert!((a - b).abs() < 1e-5, "{a} {b}");
        }
    }
}

/// Numbers are drawn by kernels that store, and by those of gradients, as an operator by itself draws them.
#[test]
fn products_drop_what_they_store() {
    let convolution = |filters| Conv2d::new(filters, 3).activation(Activation::Relu);
    let model = Sequential::new()
        .add(convolution(6))
        .add(Dropout::new(0.25))
        .add(convolution(5))
        .add(SpatialDropout::new(0.25))
        .add(Flatten)
        .add(Dense::new(33).activation(Activation::Relu))
        .add(Dropout::new(0.5))
        .add(Dense::new(10));
    let tape = step_of(&model, &[7, 3, 9, 9]).keep_gradients();
    let profile = DeviceProfile { kind: DeviceKind::Gpu, ..common::gpu().profile().unwrap().clone() };
    let fused = tape.fuse(&profile);
    let found = names(&fused);
    for wanted in [
        "chain(conv2d add relu dropout)",
        "chain(matmul add relu dropout)",
        "chain(matmul dropout relu_grad)",
        "chain(conv_transpose2d dropout relu_grad)",
        "spatial_dropout",
    ] {
        assert!(found.contains(&wanted.to_owned()), "{wanted}: {found:#?}");
    }
    assert_eq!(found.iter().filter(|name| *name == "random_key").count(), 1);
    assert!(!found.contains(&"dropout".to_owned()), "{found:#?}");

    let inputs = tape.persistent();
    let (x, labels) = (inputs[0], inputs[1]);
    let (image, of) = (noise(7 * 243, 3, -1.0, 1.0), [0u32, 1, 2, 3, 4, 5, 6]);
    let plan = fused.plan(&profile).unwrap();
    let mut session = session_with_plan(&fused, common::gpu(), plan, guarded(SessionOptions::new())).unwrap();
    poison(&session);
    session.set_step(11);
    let checked = session.verify(&[(x, (&image).into()), (labels, HostData::U32(&of))]).unwrap();
    assert!(checked.passes(), "{checked}");
    let mut results = Vec::new();
    let mut others = vec![session];
    for device in [common::gpu(), &Device::cpu(), &Device::reference()] {
        others.push(tape.session_with(device, SessionOptions::new().seed(5)).unwrap());
    }
    for mut session in others {
        session.write(x, &image).unwrap();
        session.write(labels, &of).unwrap();
        (0..2).for_each(|_| session.replay().unwrap());
        results.push(tape.kept().map(|v| session.read(v).unwrap()).collect::<Vec<_>>().concat());
    }
    for found in &results[1..3] {
        for (one, other) in found.iter().zip(&results[3]) {
            assert!((one - other).abs() <= 1e-4 * (1.0 + other.abs()), "{one} {other}");
        }
    }
}

/// A matrix that an update overwrites between its transpose and the product is read before that.
#[test]
fn a_transposed_state_is_read_as_the_step_began() {
    let mut g = Graph::new();
    let x = g.input("x", [3, 3]);
    let total = g.state("total", [3, 3], Init::Ones);
    let turned = g.transpose(total, &[1, 0]).unwrap();
    g.assign(total, g.add(total, x).unwrap()).unwrap();
    let y = g.matmul(x, turned).unwrap();
    let tape = g.forward([y]).unwrap();
    let mut results = Vec::new();
    for (device, fuse) in [(common::gpu(), true), (&Device::cpu(), true), (&Device::reference(), false)] {
        let mut session = tape.session_with(device, SessionOptions::new().fuse(fuse)).unwrap();
        session.write(x, &[1.0, 2.0, 0.0, 4.0, 5.0, 1.0, 0.5, 3.0, 2.0]).unwrap();
        session.replay_n(3).unwrap();
        results.push((session.read(y).unwrap(), session.read(total).unwrap()));
    }
    assert_eq!(results[0], results[2]);
    assert_eq!(results[1], results[2]);
}

/// A network of all kinds of layers that have operators beside each other which one kernel does.
fn classifier() -> (Graph, Value, Value, Value) {
    let mut g = Graph::new();
    let (x, labels) = (g.input("x", [8, 3, 10, 10]), g.labels("labels", [8]));
    let model = Sequential::new()
        .add(Conv2d::new(6, 3))
        .add(BatchNorm::new())
        .add(Activation::Relu)
        .add(Conv2d::new(4, 3).activation(Activation::Relu))
        .add(MaxPool2d::new(2))
        .add(Flatten)
        .add(Dense::new(5));
    let logits = model.record(&mut g, x, Mode::Training).unwrap();
    let loss = g.softmax_cross_entropy(logits, labels).unwrap();
    (g, x, labels, loss)
}

#[test]
fn losses_norms_and_gradients_of_weights_take_others_along() {
    let (g, x, labels, loss) = classifier();
    let tape = g.training_step(loss, &Adam::new(0.01)).unwrap();
    let names = names(&fused(&tape));
    for wanted in [
        "chain(batch_norm update_running_stats relu)",
        "merged(softmax_cross_entropy_rows softmax_cross_entropy_grad mean)",
        "merged(sum matmul)",
        "merged(sum conv2d_weight_grad)",
        "chain(max_pool2d_grad relu_grad)",
    ] {
        assert!(names.contains(&wanted.to_owned()), "{wanted}: {names:#?}");
    }
    let mut session = tape.session(common::gpu()).unwrap();
    let (image, of) = (noise(2400, 3, -1.0, 1.0), [0, 1, 2, 3, 4, 0, 1, 2u32]);
    let checked = session.verify(&[(x, (&image).into()), (labels, HostData::U32(&of))]).unwrap();
    assert!(checked.passes(), "{checked}");
    let row = checked.rows.iter().find(|row| row.stands_for.contains(&"update_running_stats")).unwrap();
    assert_eq!(row.stands_for, ["batch_norm", "update_running_stats", "relu"]);

    // All states are as those of a session that does one after the other.
    let states: Vec<Value> = tape.persistent();
    let contents = |fuse: bool| {
        let mut session = tape.session_with(common::gpu(), SessionOptions::new().fuse(fuse)).unwrap();
        session.write(x, &image).unwrap();
        session.write(labels, &of).unwrap();
        session.replay_n(3).unwrap();
        states.iter().filter(|v| **v != labels).map(|&v| session.read(v).unwrap()).collect::<Vec<_>>()
    };
    for (one, other) in contents(true).concat().iter().zip(contents(false).concat()) {
        assert!((one - other).abs() <= 1e-3 * (1.0 + other.abs()), "{one} {other}");
    }

    session.write(x, &[f32::INFINITY; 2400]).unwrap();
    session.write(labels, &of).unwrap();
    let found = session.find_non_finite().unwrap().unwrap();
    assert_eq!((found.op, found.value.as_str()), (None, "x"));
}

#[test]
fn a_fused_loss_tells_which_of_its_operators_failed() {
    let mut g = Graph::new();
    let (x, labels) = (g.parameter("x", [4, 3], Init::Zeros), g.labels("labels", [4]));
    let loss = g.softmax_cross_entropy(x, labels).unwrap();
    let tape = g.training_step(loss, &Sgd::new(0.0)).unwrap();
    let mut session = tape.session(common::gpu()).unwrap();
    session.replay().unwrap();
    assert!((session.read_scalar(loss).unwrap() - 3f32.ln()).abs() < 1e-6);
    assert_eq!(session.find_non_finite().unwrap(), None);
    // A difference that f32 does not hold.
    session.write(x, &[-3e38, 3e38, 0.0, 1.0, 2.0, 3.0, 1.0, 2.0, 3.0, 1.0, 2.0, 3.0]).unwrap();
    let found = session.find_non_finite().unwrap().unwrap();
    assert_eq!((found.op, found.index), (Some("softmax_cross_entropy_rows"), 0));
}

/// In evaluation, a normalisation with running statistics is part of the convolution before it.
#[test]
fn evaluation_normalises_in_the_convolution() {
    let mut g = Graph::new();
    let x = g.input("x", [2, 3, 8, 8]);
    let model = Sequential::new()
        .add(Conv2d::new(5, 3).bias(false))
        .add(BatchNorm::new())
        .add(Activation::Relu)
        .add(Flatten)
        .add(Dense::new(6))
        .add(BatchNorm::new())
        .add(Activation::Relu);
    let y = model.record(&mut g, x, Mode::Evaluation).unwrap();
    let tape = g.forward([y]).unwrap();
    for kind in [DeviceKind::Gpu, DeviceKind::Cpu] {
        let profile = DeviceProfile { kind, ..common::gpu().profile().unwrap().clone() };
        let fused = tape.fuse(&profile);
        let wanted =
            ["chain(conv2d batch_norm_inference relu)", "chain(matmul add batch_norm_inference relu)"];
        let found: Vec<String> = names(&fused).into_iter().filter(|name| name.starts_with("chain")).collect();
        assert_eq!(found, wanted);
        let plan = fused.plan(&profile).unwrap();
        assert_eq!(plan.dispatches.len(), 2, "{plan}");
        let mut session =
            session_with_plan(&fused, common::gpu(), plan, guarded(SessionOptions::new())).unwrap();
        poison(&session);
        let draw =
            |value: Value, low: f32| noise(tape.value(value).unwrap().ty.numel(), low as u32, low, 2.0);
        for state in tape.persistent().into_iter().filter(|&v| v != x) {
            session.write(state, &draw(state, 0.25)).unwrap();
        }
        let checked = session.verify(&[(x, (&draw(x, -2.0)).into())]).unwrap();
        assert!(checked.passes(), "{checked}");
    }
}

#[test]
fn a_state_is_read_before_it_is_overwritten() {
    let mut g = Graph::new();
    let x = g.input("x", [4]);
    let total = g.state("total", [4], Init::Zeros);
    let before = g.square(total).unwrap();
    g.assign(total, g.add(total, x).unwrap()).unwrap();
    let y = g.mul(g.sum(before, &[], false).unwrap(), before).unwrap();
    let tape = g.forward([y]).unwrap();
    let mut results = Vec::new();
    for fuse in [true, false] {
        let mut session = tape.session_with(common::gpu(), SessionOptions::new().fuse(fuse)).unwrap();
        session.write(x, &[1.0, 2.0, 3.0, 4.0]).unwrap();
        (0..3).for_each(|_| session.replay().unwrap());
        results.push(session.read(y).unwrap());
    }
    assert_eq!(results[0], [480.0, 1920.0, 4320.0, 7680.0]);
    assert_eq!(results[0], results[1]);
}

#[test]
fn a_fused_session_says_what_it_stands_for() {
    let mut g = Graph::new();
    let (x, rate) = (g.input("x", [5]), g.scalar("rate", 0.5).unwrap());
    let at = line!() + 1;
    let a = g.log(x).unwrap();
    g.name(a, "logarithm").unwrap();
    let y = g.mul(a, g.scalar_value(rate).unwrap()).unwrap();
    let pi = g.constant([2], &[3.0f32, 1.0]).unwrap();
    let z = g.add(pi, g.scalar_constant(1.0)).unwrap();
    let tape = g.forward([y, z]).unwrap();
    let mut session = tape.session(common::gpu()).unwrap();
    assert_eq!(names(session.replayed()), ["chain(log mul)", "add"]);
    let checked = session.verify(&[(x, HostData::F32(&[1.0, 2.0, 3.0, 4.0, 5.0]))]).unwrap();
    assert!(checked.passes(), "{checked}");
    let row = checked.rows.iter().find(|row| row.name == "chain").unwrap();
    assert_eq!(row.stands_for, ["log", "mul"]);
    assert!(checked.to_string().contains("log mul"), "{checked}");
    session.replay().unwrap();
    assert_eq!((session.read(pi).unwrap(), session.read(z).unwrap()), (vec![3.0, 1.0], vec![4.0, 2.0]));
    session.set_scalar("rate", 2.0).unwrap();
    session.replay().unwrap();
    assert_eq!(session.read(y).unwrap()[0], 0.0);
    assert!((session.read(y).unwrap()[1] - 2.0 * 2f32.ln()).abs() < 1e-6);

    session.write(x, &[1.0, 2.0, 0.0, 4.0, 5.0]).unwrap();
    let found = session.find_non_finite().unwrap().unwrap();
    assert_eq!((found.op, found.index, found.element), (Some("log"), 2, f32::NEG_INFINITY));
    assert_eq!((found.value.as_str(), found.at.unwrap().line()), ("logarithm", at));
    let unfused = tape.session_with(common::gpu(), SessionOptions::new().fuse(false)).unwrap();
    assert_eq!(unfused.replayed().ops().len(), tape.ops().len());
}

/// Draws graphs: a pool of values that operators are drawn over.
struct Drawn {
    g: Graph,
    stream: Stream,
    drawn: u32,
    pool: Vec<Value>,
    inputs: Vec<Value>,
}

impl Drawn {
    fn below(&mut self, n: usize) -> usize {
        self.drawn += 1;
        self.stream.words(self.drawn)[0] as usize % n
    }

    fn pick(&mut self) -> Value {
        let recent = self.pool.len().min(6);
        let back = self.below(recent);
        self.pool[self.pool.len() - 1 - back]
    }

    fn new(seed: u32) -> Drawn {
        let (g, stream) = (Graph::new(), Stream { seed, step: 0, stream: 5 });
        let mut drawn = Drawn { g, stream, drawn: 0, pool: Vec::new(), inputs: Vec::new() };
        let shapes: [&[usize]; 4] = [&[6, 8], &[3, 5, 7], &[2, 4, 3, 4], &[1, 9]];
        let shape = shapes[drawn.below(4)];
        for index in 0..2 {
            let x = drawn.g.input(&format!("x{index}"), Shape::new(shape).unwrap());
            drawn.inputs.push(x);
        }
        let mut small = vec![shape[shape.len() - 1..].to_vec(), Vec::new()];
        small.push(shape.iter().enumerate().map(|(axis, &dim)| if axis == 1 { dim } else { 1 }).collect());
        small.push(shape.iter().enumerate().map(|(axis, &dim)| if axis == 1 { 1 } else { dim }).collect());
        for (index, dims) in small.iter().enumerate() {
            let shape = Shape::new(dims).unwrap();
            drawn.pool.push(drawn.g.parameter(
                &format!("w{index}"),
                shape,
                Init::Uniform { low: 0.5, high: 1.5 },
            ));
        }
        drawn.pool.extend(&drawn.inputs.clone());
        drawn
    }

    /// One more operator, whose results stay within a few units.
    fn grow(&mut self) -> Result<()> {
        let (a, b, c) = (self.pick(), self.pick(), self.pick());
        let which = self.below(18);
        let number = 0.25 + self.below(8) as f32;
        let kind = self.below(Unary::ALL.len());
        let pair =
            [Binary::Add, Binary::Sub, Binary::Mul, Binary::Max, Binary::Min, Binary::Less][self.below(6)];
        let name = format!("p{}", self.drawn);
        let mut drawn = 0;
        let mut parameter = |g: &mut Graph, shape: Shape| {
            drawn += 1;
            g.parameter(&format!("{name}_{drawn}"), shape, Init::Uniform { low: -0.5, high: 0.5 })
        };
        let g = &mut self.g;
        let (shape, other, third) = (g.shape(a)?, g.shape(b)?, g.shape(c)?);
        let is_batch = shape.rank() > 1 && shape.numel() >= 4 * shape.dims()[1];
        let made = match which {
            0..=2 => {
                let kind = Unary::ALL[kind];
                let parameters: Vec<f32> = kind.parameters().iter().map(|p| p.1).collect();
                let tame = ["sqrt", "log", "reciprocal"].contains(&kind.name());
                let x = if tame { g.add(g.sigmoid(a)?, g.scalar_constant(0.5))? } else { g.tanh(a)? };
                g.unary(kind, x, &parameters)
            }
            3..=5 if shape.broadcast(other).is_ok() => g.tanh(g.binary(pair, a, b)?),
            6 if shape.broadcast(other).is_ok_and(|s| s.broadcast(third).is_ok()) => {
                g.select(g.greater(a, b)?, b, c)
            }
            7 => g.mul(a, g.scalar_constant(number)).and_then(|x| g.tanh(x)),
            8 => {
                g.reshape(a, [shape.numel()]).and_then(|flat| g.reshape(g.exp(g.neg(g.abs(flat)?)?)?, shape))
            }
            9 if shape.rank() > 1 => g.softmax(a, -1),
            10 if shape.rank() > 1 => g.mean(a, &[0], true),
            11 | 12 if shape.rank() == 2 => {
                let columns = shape.dims()[1];
                let w = parameter(g, [columns, columns].into());
                let b = parameter(g, [columns].into());
                g.matmul(a, w).and_then(|y| g.add(y, b))
            }
            11 | 12 if shape.rank() == 4 => {
                let channels = shape.dims()[1];
                let size = if number > 1.0 { 3 } else { 1 };
                let w = parameter(g, [channels, channels, size, size].into());
                let b = parameter(g, [channels].into());
                g.conv2d(a, w, Some(b), ConvOptions::new().padding(Padding::Same))
            }
            13 if is_batch => {
                let [scale, shift, mean, variance] = [0; 4].map(|_| parameter(g, [shape.dims()[1]].into()));
                let made = g.batch_norm(a, scale, shift, 1e-3)?;
                let [mean, variance] = [mean, variance].map(|of| g.slot(of, "running"));
                g.update_running_stats(&made, mean?, variance?, 0.1)?;
                let y = if number > 1.0 && shape == other { g.add(made.y(), b)? } else { made.y() };
                g.relu(y)
            }
            14 if is_batch => {
                let [scale, shift, mean, variance] = [0; 4].map(|_| parameter(g, [shape.dims()[1]].into()));
                g.tanh(g.batch_norm_inference(a, scale, shift, mean, g.abs(variance)?, 0.5)?)
            }
            15 if shape.rank() == 4 => {
                let options = PoolOptions::new([2, 2]).stride([1; 2]).padding(Padding::Same);
                if number > 1.0 { g.max_pool2d(g.sigmoid(a)?, options) } else { g.avg_pool2d(a, options) }
            }
            16 if shape.rank() > 1 && shape == other => g.softmax_cross_entropy_rows(a, g.softmax(b, -1)?),
            17 => g.dropout(a, 0.25),
            _ => g.sigmoid(a),
        }?;
        self.pool.push(made);
        Ok(())
    }

    /// A training step over what was drawn, and what of it is kept.
    fn finish(mut self) -> Result<(Tape, Vec<Value>, Vec<Value>)> {
        let first = self.g.mul(self.inputs[0], self.pool[0])?;
        let last: Vec<Value> = self.pool.iter().rev().take(3).chain([&first]).copied().collect();
        let means: Vec<Value> =
            last.iter().map(|&v| self.g.mean(self.g.square(v)?, &[], false)).collect::<Result<_>>()?;
        let loss = means
            .into_iter()
            .reduce(|a, b| self.g.add(a, b).expect("both are numbers"))
            .expect("there are three");
        let middle = self.pick();
        let tape = self.g.training_step(loss, &Adam::new(0.01))?.keep(loss)?.keep_gradients();
        // Not every value that was drawn is needed.
        let tape = tape.clone().keep(middle).unwrap_or(tape);
        let kept = tape.kept().collect();
        let used = tape.persistent();
        Ok((tape, self.inputs.into_iter().filter(|x| used.contains(x)).collect(), kept))
    }
}

/// Random graphs agree with the f64 reference fused, as recorded and with parts of them run again, for either
/// family of kernels; on poisoned and guarded buffers.
#[test]
fn random_graphs_compute_the_same_fused() {
    let device = common::gpu();
    let profile = device.profile().unwrap();
    let (mut chains, mut merged, mut repeated) = (0, 0, 0);
    for seed in 0..24 {
        let mut drawn = Drawn::new(seed);
        (0..14).for_each(|step| drawn.grow().unwrap_or_else(|e| panic!("{seed} {step}: {e}")));
        let (tape, inputs, kept) = drawn.finish().unwrap();
        let kind = if seed % 2 == 0 { DeviceKind::Gpu } else { DeviceKind::Cpu };
        let profile = DeviceProfile { kind, ..profile.clone() };
        let fused = tape.fuse(&profile);
        assert_eq!(fused.to_string(), tape.fuse(&profile).to_string());
        let count = |prefix: &str| names(&fused).iter().filter(|name| name.starts_with(prefix)).count();
        (chains, merged) = (chains + count("chain"), merged + count("merged"));
        let data: Vec<Vec<f32>> = (0..)
            .zip(&inputs)
            .map(|(i, &x)| noise(tape.value(x).unwrap().ty.numel(), seed + i, -2.0, 2.0))
            .collect();
        let host: Vec<_> = inputs.iter().zip(&data).map(|(&x, data)| (x, HostData::from(data))).collect();
        let mut results = Vec::new();
        let again = tape.recompute(Recompute::every(1 + seed as usize % 4)).unwrap();
        repeated += again.recomputed().unwrap().operators;
        for tape in [&fused, &tape, &again.fuse(&profile)] {
            let plan = tape.plan(&profile).unwrap();
            let mut session = session_with_plan(tape, device, plan, guarded(SessionOptions::new())).unwrap();
            poison(&session);
            let checked = session.verify(&host).unwrap();
            assert!(checked.passes(), "{seed}\n{tape}\n{checked}");
            assert_eq!(broken_guards(&session).unwrap(), [0usize; 0], "{seed}");
            (0..3).for_each(|_| session.replay().unwrap());
            results.push(kept.iter().map(|&v| session.read(v).unwrap()).collect::<Vec<_>>());
        }
        for fuse in [true, false] {
            let options = SessionOptions::new().fuse(fuse);
            let mut session = tape.session_with(&Device::cpu(), options).unwrap();
            let checked = session.verify(&host).unwrap();
            assert!(checked.passes(), "{seed}\n{tape}\n{checked}");
            (0..3).for_each(|_| session.replay().unwrap());
            results.push(kept.iter().map(|&v| session.read(v).unwrap()).collect());
        }
        let mut exact = tape.session(&Device::reference()).unwrap();
        inputs.iter().zip(&data).for_each(|(&x, data)| exact.write(x, data).unwrap());
        (0..3).for_each(|_| exact.replay().unwrap());
        for (position, &value) in kept.iter().enumerate() {
            let want = exact.read_f64(value).unwrap();
            let scale = want.iter().fold(1e-3f64, |m, x| m.max(x.abs()));
            for found in &results {
                let worst = found[position]
                    .iter()
                    .zip(&want)
                    .map(|(&a, b)| (f64::from(a) - b).abs())
                    .fold(0.0, f64::max);
                assert!(
                    worst <= 2e-3 * scale,
                    "{seed}: {value:?} is off by {worst} of {scale}\n{tape}\n{fused}"
                );
            }
        }
    }
    let found = format!("{chains} chains, {merged} merged, {repeated} run again");
    assert!(chains > 60 && merged > 10 && repeated > 60, "{found}");
}

/// The root of a negative subnormal is NaN, or 0 where a GPU reads it as 0: what follows in the chain is bounded as little.
#[test]
fn what_flushing_makes_a_number_of_is_not_bounded_further_on() {
    let mut g = Graph::new();
    let x = g.input("x", [3]);
    let y = g.mul(g.sqrt(x).unwrap(), g.constant([3], &[2.0f32, 3.0, 4.0]).unwrap()).unwrap();
    let tape = fused(&g.forward([y]).unwrap());
    assert_eq!(names(&tape), ["chain(sqrt mul)"]);
    let node = &tape.ops()[0];
    let array = |data: &[f64]| Array::new(Shape::from([3]), data.to_vec());
    let (x, weights) = (array(&[-1e-40, -1.0, 4.0]), array(&[2.0, 3.0, 4.0]));
    let outputs = &[tape.value(y).unwrap().ty];
    let cx = Reference { inputs: vec![&x, &weights], outputs, scalars: &[] };
    let results = node.op.reference(&cx);
    let bounds = node.op.error_bound(&cx, &results).swap_remove(0);
    assert!(results[0].data[0].is_nan() && bounds[0] == f64::INFINITY, "{bounds:?}");
    // A NaN that is one whatever is flushed stays one, and numbers keep their digits.
    assert!(results[0].data[1].is_nan() && bounds[1] != f64::INFINITY, "{bounds:?}");
    assert!(results[0].data[2] == 8.0 && bounds[2] < 1e-4, "{bounds:?}");
}
