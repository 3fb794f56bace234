//! Training steps of whole networks: how many dispatches they take, and how much memory.

use crate::common::steps::mnist_cnn;
pub use crate::common::steps::step_of;
use crate::fuse::names;
use retape::nn::architectures::{self, Shortcut};
use retape::prelude::*;
use retape::tape::{DeviceKind, DeviceProfile, Plan};

/// A perceptron for 784 pixels and ten classes, with Adam.
pub fn perceptron(hidden: &[usize]) -> Tape {
    perceptron_by(hidden, &Adam::new(1e-3))
}

fn perceptron_by(hidden: &[usize], optimizer: &dyn Optimizer) -> Tape {
    let mut g = Graph::new();
    let (mut x, labels) = (g.input("x", [128, 784]), g.labels("labels", [128]));
    let widths = [&[784], hidden, &[10]].concat();
    for (layer, pair) in widths.windows(2).enumerate() {
        let w = g.parameter(&format!("w{layer}"), [pair[0], pair[1]], Init::GlorotUniform);
        let b = g.parameter(&format!("b{layer}"), [pair[1]], Init::Zeros);
        x = g.add(g.matmul(x, w).unwrap(), b).unwrap();
        x = if layer + 2 < widths.len() { g.relu(x).unwrap() } else { x };
    }
    let loss = g.softmax_cross_entropy(x, labels).unwrap();
    g.training_step(loss, optimizer).unwrap()
}

pub fn convolutional() -> Tape {
    step_of(&mnist_cnn(), &[128, 1, 28, 28])
}

fn cifar() -> Tape {
    let convolution = |filters| Conv2d::new(filters, 3).activation(Activation::Relu);
    let model = Sequential::new()
        .add(convolution(32))
        .add(MaxPool2d::new(2))
        .add(convolution(64))
        .add(MaxPool2d::new(2))
        .add(convolution(64))
        .add(Flatten)
        .add(Dense::new(64).activation(Activation::Relu))
        .add(Dense::new(10));
    step_of(&model, &[32, 3, 32, 32])
}

pub fn residual(layers: usize) -> Tape {
    match layers {
        20 => step_of(&architectures::resnet_cifar(3, 10, Shortcut::Identity), &[128, 3, 32, 32]),
        _ => step_of(&architectures::resnet50(1000), &[32, 3, 224, 224]),
    }
}

/// What a trainer counts beside a step takes few dispatches more.
#[test]
fn training_with_metrics_takes_few_dispatches() {
    let model = [512, 512]
        .into_iter()
        .fold(Sequential::new(), |model, units| model.add(Dense::new(units).activation(Activation::Relu)));
    let trainer = Trainer::new(model.add(Dense::new(10)), [784])
        .loss(Loss::SparseCategoricalCrossEntropy)
        .optimizer(Adam::new(1e-3))
        .metrics([Metric::Accuracy])
        .batch_size(128)
        .build(&Device::cpu())
        .unwrap();
    for kind in [DeviceKind::Gpu, DeviceKind::Cpu] {
        let profile = DeviceProfile { kind, ..DeviceProfile::baseline() };
        let fused = trainer.session().tape().fuse(&profile);
        let plan = fused.plan(&profile).unwrap();
        let found = names(&fused);
        assert_eq!(plan.dispatches.len(), 13, "{found:#?}");
        for wanted in ["merged(categorical_accuracy_rows sum)", "merged(concat accumulate)"] {
            assert!(found.contains(&wanted.to_owned()), "{found:#?}");
        }
    }
}

/// The bytes that a plan's dispatches bind, all together.
fn bound(plan: &Plan) -> u64 {
    plan.dispatches.iter().flat_map(|dispatch| &dispatch.bindings).map(|binding| binding.bytes).sum()
}

/// How many dispatches a training step takes at most, on a GPU and on a software driver; and about the
/// memory that it takes as it is recorded.
#[test]
fn training_steps_take_few_dispatches() {
    let large = DeviceProfile { max_buffer_bytes: 1 << 30, ..DeviceProfile::baseline() };
    let software = DeviceProfile { kind: DeviceKind::Cpu, subgroups: Some((8, 8)), ..large.clone() };
    let exclusive_or = {
        let mut g = Graph::new();
        let (x, t) = (g.input("x", [4, 2]), g.input("t", [4, 1]));
        let model = Sequential::new().add(Dense::new(8).activation(Activation::Tanh)).add(Dense::new(1));
        let logits = model.record(&mut g, x, Mode::Training).unwrap();
        let loss = g.sigmoid_binary_cross_entropy(logits, t).unwrap();
        g.training_step(loss, &Sgd::new(0.5)).unwrap()
    };
    let dropout = [512, 512].into_iter().fold(Sequential::new(), |model, units| {
        model.add(Dense::new(units).activation(Activation::Relu)).add(Dropout::new(0.2))
    });
    let dropout = step_of(&dropout.add(Dense::new(10)), &[128, 784]);
    let clipped = perceptron_by(&[512, 512], &Adam::new(1e-3).clip(Clip::GlobalNorm(1.0)));
    let lstm = step_of(&Sequential::new().add(Lstm::new(64)).add(Dense::new(10)), &[32, 50, 32]);
    // Dispatches on either, how many of a GPU's wait for those before them, and memory in percent of that
    // without fusion.
    for (name, tape, most, waiting, percent) in [
        ("XOR", exclusive_or, [7, 7], 6, 120),
        ("784-512-10", perceptron(&[512]), [7, 7], 5, 107),
        ("784-512-512-10", perceptron(&[512, 512]), [10, 10], 7, 107),
        ("784-512-512-10, clipped", clipped, [12, 12], 9, 107),
        ("784-512-512-10 with dropout", dropout, [11, 16], 10, 107),
        ("convolutional", convolutional(), [20, 20], 17, 107),
        ("CIFAR", cifar(), [22, 24], 18, 107),
        ("LSTM", lstm, [15, 13], 13, 107),
        ("ResNet-20", residual(20), [164, 169], 162, 101),
        ("ResNet-50", residual(50), [375, 367], 370, 101),
    ] {
        for (profile, most) in [&large, &software].into_iter().zip(most) {
            let (before, after) = (tape.plan(profile).unwrap(), tape.fuse(profile).plan(profile).unwrap());
            let counts = [&before, &after].map(|plan| plan.dispatches.len());
            let (peaks, bytes) = ([&before, &after].map(Plan::peak_bytes), [&before, &after].map(bound));
            let waits = after.barriers();
            println!("{name}, {:?}: dispatches {counts:?}, bytes {peaks:?}, bound {bytes:?}", profile.kind);
            println!("  of which wait {waits}");
            assert!(counts[1] <= most, "{name}: {counts:?}\n{after}");
            assert!(profile.kind == DeviceKind::Cpu || waits <= waiting, "{name}: {waits}\n{after}");
            // Small constants and other lifetimes take their place.
            assert!(100 * peaks[1] <= percent * peaks[0], "{name}: {peaks:?}");
        }
    }
}
