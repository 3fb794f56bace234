//! Names are for people and files: a layer and its parameters may be called anything that is unique.

use crate::common::data::noise;
use crate::common::folder::Folder;
use crate::common::gpu;
use retape::data::Dataset;
use retape::prelude::*;
use retape::train::pruning::Pruning;
use retape::{Error, Result};

/// `y = x W1 W2 ..`, with square weights of these names.
#[derive(Debug)]
struct Products(&'static [&'static str]);

impl Layer for Products {
    fn kind(&self) -> &'static str {
        "products"
    }

    fn record(&self, cx: &mut LayerContext<'_>, inputs: &[Value]) -> Result<Value> {
        let mut x = cx.one(inputs)?;
        for name in self.0 {
            let w = cx.parameter(name, [3, 3], Init::GlorotUniform);
            x = cx.graph().matmul(x, w)?;
        }
        Ok(x)
    }
}

fn trainer(model: impl Layer, device: &Device) -> Trainer {
    let trainer = Trainer::new(model, [3]).loss(Loss::SparseCategoricalCrossEntropy).seed(3).batch_size(4);
    trainer.optimizer(Adam::new(0.02).ema(0.5)).metrics([Metric::Accuracy]).build(device).unwrap()
}

fn rows() -> Dataset {
    Dataset::new([3], noise(30, 8, -1.0, 1.0), (0..10).map(|i| i % 3).collect(), 3).unwrap()
}

/// What a trainer keeps for itself, under any name, gets in nobody's way, nor in a checkpoint's.
#[test]
fn names_that_a_trainer_uses_itself_are_the_programs_too() {
    const SUMS: &[&str] = &["total", "carry"];
    const FED: &[&str] =
        &["input", "target", "sample_weight", "sample_mask", "training.total", "w", "w.mask"];
    let models: [fn() -> Sequential; 2] = [
        || Sequential::new().add(Products(SUMS).named("training")).add(Products(SUMS).named("evaluation")),
        || Sequential::new().add(Products(&["w", "w.mask", "w.average", "w.m"]).named("products")),
    ];
    for device in [gpu(), &Device::cpu(), &Device::reference()] {
        for model in models {
            goes_through_everything(&|| trainer(model(), device));
        }
        goes_through_everything(&|| trainer(Products(FED), device));
    }
}

fn goes_through_everything(build: &dyn Fn() -> Trainer) {
    let mut straight = build();
    straight.prune(&Pruning::per_layer(0.3)).unwrap();
    straight.fit(rows(), Fit::epochs(4)).unwrap();

    let folder = Folder::new();
    let path = format!("{}/half.safetensors", folder.path());
    let mut half = build();
    half.prune(&Pruning::per_layer(0.3)).unwrap();
    half.fit(rows(), Fit::epochs(2)).unwrap();
    half.save_checkpoint(&path).unwrap();
    let mut resumed = build();
    resumed.fit(rows(), Fit::epochs(4).resume(&path)).unwrap();
    assert_eq!(resumed.weights().unwrap(), straight.weights().unwrap());
    for trainer in [&mut resumed, &mut straight] {
        trainer.swap_averages().unwrap();
        assert!(trainer.evaluate(rows()).unwrap().get("loss").unwrap().is_finite());
    }
    assert_eq!(resumed.weights().unwrap(), straight.weights().unwrap());
    let zeros = |data: &[f32]| data.iter().filter(|&&w| w == 0.0).count();
    assert!(straight.weights().unwrap().arrays.iter().all(|array| zeros(&array.data) == 3));
}

/// A name that the program gives twice is refused at the program's line, with what may be done.
#[test]
fn a_name_given_twice_is_told_at_the_programs_line() {
    let mut g = Graph::new();
    let x = g.input("x", [2, 3]);
    let model = Sequential::new().add(Products(&["w", "w"]));
    let error = model.record(&mut g, x, Mode::Training).unwrap_err();
    let text = error.to_string();
    assert!(matches!(error.root(), Error::DuplicateName { name, .. } if name == "products.w"), "{text}");
    // The line in the layer that declares it, and the layer.
    let declares =
        include_str!("names.rs").lines().position(|line| line.contains("cx.parameter(name")).unwrap();
    let at = format!("names.rs:{}:", declares + 1);
    assert!(text.contains(&at) && text.contains("in layer `products`"), "{text}");

    let line = line!() + 1;
    let model = Sequential::new().add(Dense::new(3));
    let mut g = Graph::new();
    let x = g.input("x", [2, 3]);
    model.record(&mut g, x, Mode::Training).unwrap();
    let text = model.record(&mut g, x, Mode::Training).unwrap_err().to_string();
    for fact in ["`dense.weight` is declared twice", "Graph::layer", "shared()", &format!("names.rs:{line}:")]
    {
        assert!(text.contains(fact), "{fact} is missing in: {text}");
    }
}
