//! Bad input: each mistake is a typed error with the facts in it, at the line that made it, and
//! nothing is lost.

use crate::common;
use retape::kernel::{KernelCall, Shader, Slot};
use retape::ops::{Lowering, Op, Reference};
use retape::prelude::*;
use retape::{Error, Result, TensorType};

fn devices() -> [Device; 3] {
    [Device::reference(), Device::cpu(), common::gpu().clone()]
}

#[test]
fn a_shape_error_names_the_op_the_layer_both_shapes_and_the_line() {
    let mut g = Graph::new();
    let x = g.input("x", [32, 784]);
    let w = g.parameter("w", [500, 10], Init::Zeros);
    let line = line!() + 1;
    let error = g.layer("dense", |g| g.matmul(x, w)).unwrap_err();
    let text = error.to_string();
    for fact in ["matmul", "`dense`", "[32, 784]", "[500, 10]", &format!("errors.rs:{line}")] {
        assert!(text.contains(fact), "{fact} is missing in: {text}");
    }
    assert!(matches!(error.root(), Error::ShapeMismatch { .. }));
    // Nothing was recorded by the failed call.
    assert!(g.forward([x]).unwrap().ops().is_empty());
}

#[test]
fn recording_errors_are_typed() {
    let mut g = Graph::new();
    let x = g.input("x", [4, 6]);
    let ids = g.indices("ids", [4]);
    let other = Graph::new().input("foreign", [4, 6]);
    let three = g.input("three", [3]);
    macro_rules! refused {
        ($recorded:expr, $variant:pat) => {
            let error = $recorded.unwrap_err();
            assert!(matches!(error.root(), $variant), "{error} is no {}", stringify!($variant));
            assert!(error.to_string().contains("errors.rs:"), "the line is missing in: {error}");
        };
    }
    refused!(g.add(x, three), Error::Broadcast { .. });
    refused!(g.add(x, other), Error::ForeignValue);
    refused!(g.reshape(x, [5, 5]), Error::Reshape { .. });
    refused!(g.relu(ids), Error::DTypeMismatch { .. });
    refused!(g.sum(x, &[2], false), Error::Axis { .. });
    refused!(g.sum(x, &[0, -2], false), Error::Axis { .. });
    refused!(g.transpose(x, &[0, 0]), Error::Axis { .. });
    refused!(g.transpose(x, &[0]), Error::Rank { .. });
    refused!(g.matmul(three, x), Error::Rank { .. });
    refused!(g.slice_axis(x, 1, 2..9), Error::Argument { .. });
    refused!(g.slice_axis(x, 1, 3..3), Error::Argument { .. });
    refused!(g.clip(x, 1.0, -1.0), Error::Argument { .. });
    refused!(g.concat(&[], 0), Error::Argument { .. });
    refused!(g.concat(&[x, three], 0), Error::ShapeMismatch { .. });
    refused!(g.pad(x, &[(1, 1)], 0.0), Error::Rank { .. });
    refused!(g.constant([3], &[1.0f32, 2.0]), Error::Length { .. });
    assert!(matches!(Shape::new(&[1; 7]), Err(Error::RankLimit { rank: 7, limit: 6 })));
    let assigned = g.assign(x, x).unwrap_err();
    assert!(matches!(assigned.root(), Error::NotWritable { .. }), "{assigned}");
}

#[test]
fn a_zero_size_batch_is_refused_by_name() {
    let mut g = Graph::new();
    let x = g.input("images", [0, 784]);
    let w = g.parameter("w", [784, 10], Init::Zeros);
    let error = g.matmul(x, w).unwrap_err();
    assert!(matches!(error.root(), Error::EmptyDimension { .. }), "{error:?}");
    let text = error.to_string();
    assert!(text.contains("`images`") && text.contains("[0, 784]") && text.contains("batch"), "{text}");
    assert!(g.constant::<f32>([0], &[]).is_err());
}

#[test]
fn a_name_declared_twice_and_a_bad_initialiser_are_refused() {
    let mut g = Graph::new();
    let first = g.parameter("w", [2], Init::Zeros);
    let second = g.parameter("w", [2], Init::Zeros);
    assert!(matches!(g.exp(second).unwrap_err().root(), Error::DuplicateName { .. }));
    assert!(g.exp(first).is_ok());
    for init in [
        Init::Values(vec![1.0]),
        Init::Constant(f32::NAN),
        Init::Orthogonal { gain: 1.0 },
        Init::Normal { mean: 0.0, std: -1.0 },
        Init::Uniform { low: 1.0, high: 0.0 },
    ] {
        let name = init.to_string();
        let bad = g.parameter(&name, [2], init);
        assert!(matches!(g.exp(bad).unwrap_err().root(), Error::Argument { argument: "init", .. }), "{name}");
    }
}

#[test]
fn differentiation_says_what_it_cannot_do() {
    let mut g = Graph::new();
    let x = g.input("x", [4]);
    let w = g.parameter("w", [4], Init::Ones);
    let y = g.mul(x, w).unwrap();
    let refusal = |losses: Value, optimizer: &dyn Optimizer| g.training_step(losses, optimizer).unwrap_err();
    assert!(matches!(refusal(y, &Sgd::new(0.1)).root(), Error::LossNotScalar { .. }));
    let constant = g.sum(x, &[], false).unwrap();
    assert!(matches!(refusal(constant, &Sgd::new(0.1)).root(), Error::NothingToTrain));
    let loss = g.sum(y, &[], false).unwrap();
    for bad in [
        &Sgd::new(f32::NAN) as &dyn Optimizer,
        &Sgd::new(-1.0),
        &Sgd::new(0.1).momentum(1.0),
        &Sgd::new(0.1).nesterov(),
        &RmsProp::new(0.1).rho(1.5),
        &Adam::new(0.1).epsilon(0.0),
        &Adam::new(0.1).betas(0.9, -0.1),
    ] {
        assert!(matches!(refusal(loss, bad).root(), Error::Argument { .. }), "{bad:?}");
    }
    // A gradient of a gradient that has no kernel says so.
    let once = g.differentiate(g.sum(g.sigmoid(w).unwrap(), &[], false).unwrap(), &[w]).unwrap()[0];
    let again = g.differentiate(g.sum(once, &[], false).unwrap(), &[w]).unwrap_err();
    assert!(matches!(again.root(), Error::NoGradient { op: "sigmoid_grad", .. }), "{again}");
    // A value the loss does not depend on has a gradient of zeros.
    let unused = g.parameter("unused", [3], Init::Ones);
    let zeros = g.differentiate(loss, &[unused]).unwrap()[0];
    let mut session = g.forward([zeros]).unwrap().session(&Device::reference()).unwrap();
    session.replay().unwrap();
    assert_eq!(session.read(zeros).unwrap(), [0.0; 3]);
}

#[test]
fn optimisers_refuse_settings_out_of_range() {
    let bad: [(&str, &dyn Optimizer); 22] = [
        ("learning_rate", &Lion::new(f32::INFINITY)),
        ("weight_decay", &Adamax::new(0.1).weight_decay(-1.0)),
        ("decoupled_weight_decay", &AdamW::new(0.1).decoupled_weight_decay(f32::NAN)),
        ("decoupled_weight_decay", &Sgd::new(0.1).decoupled_weight_decay(-0.1)),
        ("initial_accumulator", &Adagrad::new(0.1).initial_accumulator(-0.1)),
        ("epsilon", &Adagrad::new(0.1).epsilon(0.0)),
        ("rho", &Adadelta::new(0.1).rho(1.0)),
        ("momentum", &RmsProp::new(0.1).momentum(-0.1)),
        ("beta_2", &Adamax::new(0.1).betas(0.9, 1.0)),
        ("momentum_decay", &Nadam::new(0.1).momentum_decay(0.0)),
        ("beta_1", &Lion::new(0.1).betas(1.5, 0.9)),
        ("learning_rate_power", &Ftrl::new(0.1).learning_rate_power(0.5)),
        ("initial_accumulator", &Ftrl::new(0.1).initial_accumulator(0.0)),
        ("l1", &Ftrl::new(0.1).l1(-1.0)),
        ("l2", &Ftrl::new(0.1).l2(-1.0)),
        ("beta", &Ftrl::new(0.1).beta(-1.0)),
        ("l2_shrinkage", &Ftrl::new(0.1).l2_shrinkage(-1.0)),
        ("beta_2_decay", &Adafactor::new(0.1).beta_2_decay(0.0)),
        ("epsilon_1", &Adafactor::new(0.1).epsilons(0.0, 1e-3)),
        ("clip_threshold", &Adafactor::new(0.1).clip_threshold(0.0)),
        ("decay", &Sgd::new(0.1).ema(1.0)),
        ("decay", &Sgd::new(0.1).ema(f32::NAN)),
    ];
    let mut g = Graph::new();
    let w = g.parameter("w", [2, 3], Init::Ones);
    let loss = g.sum(w, &[], false).unwrap();
    for (name, optimizer) in bad {
        let found = g.training_step(loss, optimizer).unwrap_err();
        assert!(
            matches!(found.root(), Error::Argument { argument, .. } if *argument == name),
            "{optimizer:?}: {found}"
        );
    }
}

#[test]
fn writes_are_checked_and_lose_nothing() {
    for device in devices() {
        let mut g = Graph::new();
        let x = g.input("x", [2, 3]);
        let labels = g.labels("labels", [2]);
        let targets = g.targets("targets", [2, 3]);
        let fixed = g.constant([3], &[1.0f32, 2.0, 3.0]).unwrap();
        let y = g.add(g.mul(x, fixed).unwrap(), targets).unwrap();
        let loss = g.softmax_cross_entropy(y, labels).unwrap();
        let mut session = g.forward([y, loss]).unwrap().session(&device).unwrap();
        session.write(x, &[1.0; 6]).unwrap();
        session.write(targets, &[0.5; 6]).unwrap();
        session.write(labels, &[2u32, 0]).unwrap();

        let text = |e: Error| e.to_string();
        let error = session.write(x, &[9.0; 5]).unwrap_err();
        assert!(matches!(error, Error::Length { found: 5, .. }));
        assert!(text(error).contains("`x` is f32[2, 3]: 6 elements, 5 given"));
        assert!(matches!(session.write(x, &[1u32; 6]), Err(Error::DTypeMismatch { .. })));
        assert!(matches!(session.write(labels, &[1.0f32; 2]), Err(Error::DTypeMismatch { .. })));
        let error = session.write(labels, &[0u32, 3]).unwrap_err();
        assert!(matches!(error, Error::LabelOutOfRange { index: 1, label: 3, limit: 3, .. }), "{error}");
        let error = session.write(targets, &[0.0, 1.0, f32::NAN, 0.0, 0.0, 0.0]).unwrap_err();
        assert!(matches!(error, Error::NonFinite { index: 2, .. }), "{error}");
        assert!(session.write(targets, &[f32::INFINITY; 6]).is_err());
        assert!(matches!(session.write(fixed, &[0.0; 3]), Err(Error::NotWritable { .. })));
        assert!(matches!(session.write(y, &[0.0; 6]), Err(Error::NotWritable { .. })));
        assert!(matches!(session.read(labels), Err(Error::DTypeMismatch { .. })));
        assert!(matches!(session.parameter("w"), Err(Error::Unknown { .. })));
        let foreign = Graph::new().input("x", [2, 3]);
        assert!(matches!(session.write(foreign, &[1.0; 6]), Err(Error::Unknown { .. })));
        assert!(matches!(session.read(foreign), Err(Error::Unknown { .. })));

        // What was written before the mistakes is still there.
        session.replay().unwrap();
        assert_eq!(session.read(y).unwrap(), [1.5, 2.5, 3.5, 1.5, 2.5, 3.5]);
        assert_eq!(session.read_u32(labels).unwrap(), [2, 0]);
    }
}

/// A label limit reaches the input through views and copies.
#[test]
fn labels_are_checked_through_a_reshape() {
    let mut g = Graph::new();
    let x = g.input("x", [6, 4]);
    let labels = g.labels("labels", [2, 3]);
    let flat = g.reshape(labels, [6]).unwrap();
    let loss = g.softmax_cross_entropy(x, flat).unwrap();
    let mut session = g.forward([loss]).unwrap().session(&Device::reference()).unwrap();
    let error = session.write(labels, &[0u32, 1, 2, 3, 4, 0]).unwrap_err();
    assert!(matches!(error, Error::LabelOutOfRange { index: 4, label: 4, limit: 4, .. }), "{error}");
}

/// Labels shuffled on the device: the order is bounded by the number of labels, not of classes.
#[test]
fn what_labels_are_looked_up_with_has_its_own_limit() {
    let mut g = Graph::new();
    let x = g.input("x", [6, 3]);
    let labels = g.labels("labels", [6]);
    let order = g.indices("order", [6]);
    let shuffled = g.gather(labels, order, 0).unwrap();
    let loss = g.softmax_cross_entropy(x, shuffled).unwrap();
    let mut session = g.forward([loss]).unwrap().session(&Device::reference()).unwrap();
    session.write(order, &[5u32, 4, 3, 2, 1, 0]).unwrap();
    assert!(matches!(session.write(order, &[6u32; 6]), Err(Error::LabelOutOfRange { limit: 6, .. })));
    assert!(matches!(session.write(labels, &[3u32; 6]), Err(Error::LabelOutOfRange { limit: 3, .. })));
}

#[test]
fn a_value_over_the_binding_limit_is_refused_before_allocation() {
    let device = common::gpu();
    let limit = device.profile().unwrap().max_binding_bytes;
    let elements = limit as usize / 4 + 1024;
    let mut g = Graph::new();
    let x = g.input("x", [2, elements / 2]);
    // Elementwise operators go by ranges; a transpose needs its operand whole.
    let y = g.layer("huge", |g| g.transpose(x, &[1, 0])).unwrap();
    let error = g.forward([y]).unwrap().session(device).err().unwrap();
    let text = error.to_string();
    assert!(matches!(error, Error::Limit { .. }), "{text}");
    assert!(text.contains("`huge`") && text.contains(&limit.to_string()), "{text}");
}

#[test]
fn an_absent_adapter_lists_those_there_are() {
    let error = Device::named("no such adapter").unwrap_err();
    let text = error.to_string();
    assert!(matches!(error, Error::NoAdapter { .. }));
    assert!(text.contains("no such adapter") && text.contains(common::gpu().name()), "{text}");
    assert!(text.contains("mesa-vulkan-drivers"), "{text}");
    for select in [Device::named, Device::select] {
        for name in ["", " "] {
            let refused = select(name);
            assert!(matches!(refused, Err(Error::Argument { argument: "name", .. })), "{refused:?}");
        }
    }
}

#[test]
fn a_lost_device_is_reported_as_such() {
    let device = common::open_gpu();
    let mut g = Graph::new();
    let x = g.input("x", [4]);
    let y = g.exp(x).unwrap();
    let mut session = g.forward([y]).unwrap().session(&device).unwrap();
    session.replay().unwrap();
    // A device is lost once its last submission has run.
    session.read(y).unwrap();
    device.wgpu().unwrap().0.destroy();
    let lost = |r: Result<()>| assert!(matches!(r, Err(Error::DeviceLost { .. })), "{r:?}");
    lost(session.replay());
    lost(session.read(y).map(|_| ()));
    lost(session.write(x, &[1.0; 4]));
    lost(g.forward([y]).unwrap().session(&device).map(|_| ()));
}

static SHADER: Shader = Shader::new(
    "odd",
    "
    struct Params { n: u32, scale: f32 }
    @group(0) @binding(0) var<storage, read> x: array<f32>;
    @group(0) @binding(1) var<storage, read_write> y: array<f32>;
    var<immediate> p: Params;
    @compute @workgroup_size(64)
    fn main(@builtin(global_invocation_id) id: vec3<u32>) {
        if id.x < p.n { y[id.x] = p.scale * x[id.x]; }
    }
    ",
);

retape::params! {
    struct Right { n: u32, scale: f32 }
}

retape::params! {
    struct Swapped { scale: f32, n: u32 }
}

/// An operator of the program's own that calls its kernel wrongly.
#[derive(Clone, Copy, Debug)]
enum Mistake {
    Parameters,
    TooFewBindings,
    WritesAnInput,
    UnknownEntry,
    UnknownField,
}

impl Op for Mistake {
    fn name(&self) -> &'static str {
        "mistake"
    }

    fn outputs(&self, inputs: &[TensorType]) -> Result<Vec<TensorType>> {
        Ok(vec![inputs[0]])
    }

    fn lower(&self, cx: &mut Lowering<'_>) -> Result<()> {
        let right = Right { n: 4, scale: 1.0 };
        let io = [Slot::Input(0), Slot::Output(0)];
        cx.call(match self {
            Mistake::Parameters => {
                KernelCall::new(&SHADER, "main").params(&Swapped { scale: 1.0, n: 4 }).binds(io)
            }
            Mistake::TooFewBindings => {
                KernelCall::new(&SHADER, "main").params(&right).binds([Slot::Output(0)])
            }
            Mistake::WritesAnInput => {
                KernelCall::new(&SHADER, "main").params(&right).binds([Slot::Output(0), Slot::Input(0)])
            }
            Mistake::UnknownEntry => KernelCall::new(&SHADER, "absent").params(&right).binds(io),
            Mistake::UnknownField => {
                KernelCall::new(&SHADER, "main").params(&right).scalar("rate", Scalar::STEP).binds(io)
            }
        });
        Ok(())
    }

    fn reference(&self, cx: &Reference<'_>) -> Vec<retape::array::Array> {
        vec![cx.inputs[0].clone()]
    }
}

#[test]
fn a_kernel_call_is_checked_against_its_shader() {
    for (mistake, fact) in [
        (Mistake::Parameters, "n@0+4"),
        (Mistake::TooFewBindings, "2 bindings used, 1 given"),
        (Mistake::WritesAnInput, "does not mutate"),
        (Mistake::UnknownEntry, "no such entry point"),
        (Mistake::UnknownField, "names no parameter field"),
    ] {
        let mut g = Graph::new();
        let x = g.input("x", [4]);
        let y = g.apply1(mistake, &[x]).unwrap();
        let error = g.forward([y]).unwrap().session(common::gpu()).err().unwrap();
        assert!(matches!(error, Error::KernelMismatch { .. }), "{error}");
        assert!(error.to_string().contains(fact), "{mistake:?}: {error}");
    }
}

#[test]
fn sizes_that_cannot_be_are_refused_on_every_device() {
    let mut g = Graph::new();
    let huge = g.input("huge", [1 << 40]);
    let error = g.relu(huge).unwrap_err();
    assert!(matches!(error.root(), Error::TooManyElements { .. }), "{error}");
    let huger = g.input("huger", [2, 1 << 40, 1 << 40]);
    assert!(matches!(g.sum(huger, &[1], false).unwrap_err().root(), Error::TooManyElements { .. }));
    assert!(matches!(g.reshape(huger, [usize::MAX]).unwrap_err().root(), Error::TooManyElements { .. }));
    let x = g.input("x", [2]);
    for padding in [(usize::MAX, 3), (1 << 40, 0)] {
        let error = g.pad(x, &[padding], 0.0).unwrap_err();
        assert!(matches!(error.root(), Error::TooManyElements { .. }), "{error}");
    }
    assert!(matches!(g.broadcast_to(x, [1 << 40, 2]).unwrap_err().root(), Error::TooManyElements { .. }));
    let ids = g.indices("ids", [4]);
    assert!(matches!(g.pad(ids, &[(1, 1)], -1.5).unwrap_err().root(), Error::Argument { .. }));
}

/// A mistake in a declaration is found even where no operator uses the value.
#[test]
fn tapes_check_the_declarations_they_hold() {
    let mut g = Graph::new();
    let empty = g.input("empty", [0, 3]);
    let values = g.parameter("values", [3], Init::Values(vec![1.0; 50]));
    assert!(matches!(g.forward([empty]).unwrap_err().root(), Error::EmptyDimension { .. }));
    assert!(matches!(g.forward([values]).unwrap_err().root(), Error::Argument { .. }));
}

#[test]
fn what_a_tape_does_not_use_it_does_not_have() {
    for device in devices() {
        let mut g = Graph::new();
        let x = g.input("x", [2]);
        let labels = g.labels("labels", [2]);
        let unused = g.parameter("unused", [2], Init::Ones);
        let w = g.parameter("w", [2], Init::Ones);
        let y = g.mul(x, w).unwrap();
        let mut session = g.forward([y]).unwrap().session(&device).unwrap();
        assert_eq!(session.parameter_names(), ["w"]);
        assert!(matches!(session.read(unused), Err(Error::Unknown { .. })));
        assert!(matches!(session.write(unused, &[1.0; 2]), Err(Error::Unknown { .. })));
        let error = session.write(labels, &[0u32; 2]).unwrap_err().to_string();
        assert!(error.contains("`labels`") && error.contains("x, w"), "{error}");
        let error = session.parameter("unused").unwrap_err().to_string();
        assert!(error.contains("`unused`") && error.ends_with("there are: w"), "{error}");
        let error = session.write(x, &[1u32; 2]).unwrap_err().to_string();
        assert!(error.contains("the data for `x` is u32, f32 needed"), "{error}");
        assert!(matches!(session.read_scalar(y), Err(Error::NotScalar { .. })));
        assert!(session.set_scalar("learning_rate", 1.0).is_err());
    }
}

#[test]
fn small_mistakes_are_not_silent() {
    let mut g = Graph::new();
    let w = g.parameter("w", [2], Init::Ones);
    let foreign = Graph::new().input("foreign", [2]);
    let is_foreign = |r: Result<Value>| assert!(matches!(r.unwrap_err().root(), Error::ForeignValue));
    is_foreign(g.keep(foreign));
    is_foreign(g.slot(foreign, "m"));
    is_foreign(g.name(foreign, "other"));
    assert!(g.shape(foreign).is_err() && g.ty(foreign).is_err());
    assert!(g.name(w, "renamed").is_err());
    assert!(matches!(g.scalar_value(Scalar::STEP).unwrap_err().root(), Error::DTypeMismatch { .. }));
    let loss = g.sum(w, &[], false).unwrap();
    let mut training = g.training_step(loss, &Sgd::new(0.1)).unwrap().session(&Device::reference()).unwrap();
    assert!(matches!(training.set_scalar("learning_rate", f32::NAN), Err(Error::Argument { .. })));
    // Nothing in common: a misspelt name.
    let mut other = Graph::new();
    let typo = other.parameter("W", [2], Init::Ones);
    let y = other.exp(typo).unwrap();
    let options = retape::SessionOptions::new().share_parameters(&training);
    let error = other.forward([y]).unwrap().session_with(&Device::reference(), options).err().unwrap();
    assert!(matches!(error, Error::Share { .. }), "{error}");
}

/// NaN goes through the functions that limit a range: a training that diverged shows.
#[test]
fn nan_is_not_hidden() {
    for device in devices() {
        let mut g = Graph::new();
        let x = g.input("x", [1]);
        let clipped = g.clip(x, -1.0, 1.0).unwrap();
        let gate = g.hard_sigmoid(x).unwrap();
        let positive = g.relu(x).unwrap();
        let unequal = g.not_equal(x, x).unwrap();
        let mut session = g.forward([clipped, gate, positive, unequal]).unwrap().session(&device).unwrap();
        session.write(x, &[f32::NAN]).unwrap();
        session.replay().unwrap();
        for value in [clipped, gate, positive] {
            assert!(session.read_scalar(value).unwrap().is_nan(), "{value:?}");
        }
        assert_eq!(session.read(unequal).unwrap(), [1.0]);
    }
}
