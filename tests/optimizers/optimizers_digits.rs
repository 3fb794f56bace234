//! Every optimiser trains the digits network.

use crate::common::gpu;
use retape::data::Dataset;
use retape::prelude::*;
use retape::random::Stream;

/// Real handwritten digits: to learn from, and to be judged by.
fn digits() -> (Dataset, Dataset) {
    let (records, _) = include_bytes!("../../examples/data/digits.bin").as_chunks::<65>();
    let inputs = records.iter().flat_map(|r| &r[..64]).map(|&pixel| f32::from(pixel) / 16.0).collect();
    let labels = records.iter().map(|r| u32::from(r[64])).collect();
    let all = Dataset::new([64], inputs, labels, 10).unwrap();
    let order = Stream { seed: 1, step: 0, stream: 0 }.permutation(all.len());
    all.select(&order).split_last(0.2).unwrap()
}

fn accuracy(optimizer: impl Optimizer + 'static, epochs: usize) -> f64 {
    let (train, test) = digits();
    let model = Sequential::new().add(Dense::new(64).activation(Activation::Relu)).add(Dense::new(10));
    let mut trainer = Trainer::new(model, [64])
        .loss(Loss::SparseCategoricalCrossEntropy)
        .optimizer(optimizer)
        .metrics([Metric::Accuracy])
        .batch_size(32)
        .seed(3)
        .build(gpu())
        .unwrap();
    trainer.fit(&train, Fit::epochs(epochs)).unwrap();
    trainer.evaluate(&test).unwrap().get("accuracy").unwrap()
}

macro_rules! trains {
    ($($name:ident: $optimizer:expr;)*) => {
        $(#[test]
        fn $name() {
            let reached = accuracy($optimizer, 15);
            assert!(reached >= 0.93, "{:?} reaches {reached}", $optimizer);
        })*
    };
}

trains! {
    sgd: Sgd::new(0.1);
    sgd_with_momentum: Sgd::new(0.02).momentum(0.9);
    sgd_with_nesterov_momentum: Sgd::new(0.02).momentum(0.9).nesterov();
    adagrad: Adagrad::new(0.05);
    adadelta: Adadelta::new(1.0);
    rmsprop: RmsProp::new(2e-3);
    rmsprop_centred_with_momentum: RmsProp::new(1e-3).centered().momentum(0.5);
    adam: Adam::new(3e-3);
    amsgrad: Adam::new(3e-3).amsgrad();
    adamw: AdamW::new(3e-3);
    adamax: Adamax::new(5e-3);
    nadam: Nadam::new(3e-3);
    lion: Lion::new(5e-4);
    ftrl: Ftrl::new(0.1);
    adafactor: Adafactor::new(0.02);
}

#[test]
fn without_a_rate_nothing_is_learnt() {
    let reached = accuracy(Sgd::new(0.0), 15);
    assert!(reached < 0.3, "untrained, the network reaches {reached}");
}
