//! The named architectures have the published numbers of parameters, and a training step of each
//! records at a reduced resolution.

use retape::nn::architectures::{self, Shortcut};
use retape::nn::{Layer, record};
use retape::prelude::*;

/// Recorded, differentiated and ordered, without a device.
fn training_step(model: &dyn Layer, input: [usize; 3], classes: usize) -> Tape {
    let mut g = Graph::new();
    let [c, h, w] = input;
    let x = g.input("x", [2, c, h, w]);
    let labels = g.labels("labels", [2]);
    let recorded = record(model, &mut g, &[x], Mode::Training).unwrap();
    let losses: Vec<Value> = recorded
        .outputs
        .iter()
        .map(|&logits| {
            assert_eq!(g.shape(logits).unwrap(), Shape::from([2, classes]));
            g.softmax_cross_entropy(logits, labels).unwrap()
        })
        .collect();
    let parameters = recorded.parameters;
    let tape = g.training_step(losses, &Sgd::new(0.1)).unwrap();
    assert!(parameters.iter().all(|&p| tape.gradient(p).is_some()), "a parameter without a gradient");
    tape
}

fn evaluates(model: &Model, input: [usize; 3], classes: usize) {
    let mut g = Graph::new();
    let [c, h, w] = input;
    let x = g.input("x", [1, c, h, w]);
    let y = model.record(&mut g, x, Mode::Evaluation).unwrap();
    assert_eq!(g.shape(y).unwrap(), Shape::from([1, classes]));
    assert!(g.forward([y]).unwrap().ops().iter().all(|node| node.op.mutates().is_empty()));
}

/// Trainable parameters at the paper's resolution, and a step at a reduced one.
fn check(build: fn(usize) -> Model, classes: usize, input: [usize; 3], trainable: u64, reduced: [usize; 3]) {
    assert_eq!(build(classes).summary(input).unwrap().trainable, trainable);
    let small = build(10);
    training_step(&small, reduced, 10);
    evaluates(&small, reduced, 10);
}

#[test]
fn lenet5() {
    check(architectures::lenet5, 10, [1, 32, 32], 61_706, [1, 32, 32]);
    let summary = architectures::lenet5(10).summary([1, 32, 32]).unwrap();
    let expected = [156, 0, 2_416, 0, 48_120, 0, 10_164, 850];
    assert_eq!(summary.layers.iter().map(|l| l.parameters()).collect::<Vec<_>>(), expected);
}

#[test]
fn alexnet() {
    check(architectures::alexnet, 1000, [3, 227, 227], 60_965_224, [3, 67, 67]);
    check(architectures::alexnet_one_gpu, 1000, [3, 227, 227], 62_378_344, [3, 67, 67]);
    let summary = architectures::alexnet(1000).summary([3, 227, 227]).unwrap();
    let shape = |name: &str| summary.layers.iter().find(|l| l.name == name).unwrap().outputs[0];
    assert_eq!(shape("conv1"), Shape::from([96, 55, 55]));
    assert_eq!(shape("conv2"), Shape::from([256, 27, 27]));
    assert_eq!(shape("conv5"), Shape::from([256, 13, 13]));
    assert_eq!(shape("max_pool2d_2"), Shape::from([256, 6, 6]));
}

#[test]
fn vgg() {
    check(architectures::vgg16, 1000, [3, 224, 224], 138_357_544, [3, 32, 32]);
    check(architectures::vgg19, 1000, [3, 224, 224], 143_667_240, [3, 32, 32]);
    // 15.5 thousand million, as is usually quoted for configuration D.
    let work = architectures::vgg16(1000).summary([3, 224, 224]).unwrap().multiply_adds;
    assert_eq!(work, 15_470_264_320);
}

#[test]
fn googlenet() {
    check(architectures::googlenet, 1000, [3, 224, 224], 6_998_552, [3, 31, 31]);
    assert!(architectures::googlenet(10).summary([3, 30, 30]).is_err());
    let summary = architectures::googlenet(1000).summary([3, 224, 224]).unwrap();
    let modules: Vec<_> = summary.layers.iter().filter(|l| l.kind == "model").collect();
    assert_eq!(modules.len(), 9);
    // The shapes and parameters of table 1 of the paper.
    let table = [
        ([256, 28, 28], 163_696),
        ([480, 28, 28], 388_736),
        ([512, 14, 14], 376_176),
        ([512, 14, 14], 449_160),
        ([512, 14, 14], 510_104),
        ([528, 14, 14], 605_376),
        ([832, 14, 14], 868_352),
        ([832, 7, 7], 1_043_456),
        ([1024, 7, 7], 1_444_080),
    ];
    for (module, (shape, parameters)) in modules.into_iter().zip(table) {
        assert_eq!(module.outputs, [Shape::from(shape)], "{}", module.name);
        assert_eq!(module.parameters(), parameters, "{}", module.name);
    }
}

#[test]
fn googlenet_with_auxiliary_classifiers() {
    let model = architectures::googlenet_with_auxiliary(1000);
    let summary = model.summary([3, 224, 224]).unwrap();
    let side = |inputs: u64| (inputs * 128 + 128) + (128 * 16 * 1024 + 1024) + (1024 * 1000 + 1000);
    assert_eq!(summary.trainable, 6_998_552 + side(512) + side(528));
    assert_eq!(summary.trainable, 13_378_280);
    training_step(&architectures::googlenet_with_auxiliary(10), [3, 79, 79], 10);
    assert!(architectures::googlenet_with_auxiliary(10).summary([3, 78, 78]).is_err());
}

#[test]
fn resnet_of_basic_blocks() {
    check(architectures::resnet18, 1000, [3, 224, 224], 11_689_512, [3, 64, 64]);
    check(architectures::resnet34, 1000, [3, 224, 224], 21_797_672, [3, 64, 64]);
}

#[test]
fn resnet_of_bottlenecks() {
    check(architectures::resnet50, 1000, [3, 224, 224], 25_557_032, [3, 64, 64]);
    check(architectures::resnet101, 1000, [3, 224, 224], 44_549_160, [3, 32, 32]);
    check(architectures::resnet152, 1000, [3, 224, 224], 60_192_808, [3, 32, 32]);
    let summary = architectures::resnet50(1000).summary([3, 224, 224]).unwrap();
    // Running statistics: two for each of the 26,560 normalised channels.
    assert_eq!(summary.non_trainable, 53_120);
    // The paper's table 1 says 3.8 thousand million.
    assert_eq!(summary.multiply_adds / 100_000_000, 38);
    let blocks: Vec<_> = summary.layers.iter().filter(|l| l.kind == "model").collect();
    assert_eq!(blocks.len(), 16);
    assert_eq!(blocks[2].name, "conv2_3");
    assert_eq!(blocks[2].outputs, [Shape::from([256, 56, 56])]);
    assert_eq!(blocks[15].outputs, [Shape::from([2048, 7, 7])]);
}

#[test]
fn resnets_of_the_paper_for_cifar() {
    check(architectures::resnet20, 10, [3, 32, 32], 269_722, [3, 32, 32]);
    let trainable = |n, shortcut| {
        let model = architectures::resnet_cifar(n, 10, shortcut);
        training_step(&model, [3, 16, 16], 10);
        model.summary([3, 32, 32]).unwrap().trainable
    };
    assert_eq!(trainable(3, Shortcut::Projection), 272_474);
    // 32, 44, 56 and 110 layers: 0.46, 0.66, 0.85 and 1.7 million in the paper's table 6.
    assert_eq!(trainable(5, Shortcut::Identity), 464_154);
    assert_eq!(trainable(7, Shortcut::Identity), 658_586);
    assert_eq!(trainable(9, Shortcut::Identity), 853_018);
    assert_eq!(trainable(18, Shortcut::Identity), 1_727_962);
}

#[test]
fn deep_networks_record_the_same_every_time() {
    let model = architectures::resnet50(10);
    let listing = || training_step(&model, [3, 64, 64], 10).to_string();
    assert_eq!(listing(), listing());
}
