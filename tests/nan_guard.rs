//! The guard against NaN: what it names, and what it goes back to.

mod common;

use common::gpu;
use retape::Result;
use retape::data::Dataset;
use retape::nn::LayerContext;
use retape::prelude::*;

/// Samples of four features in batches of 8; the fourth batch has the one that is not like the others.
const ODD: usize = 29;

fn data(odd: f32) -> Dataset {
    let mut inputs: Vec<f32> = (0..4 * 80).map(|i| 1.5 + (i as f32).sin()).collect();
    inputs[4 * ODD..][..4].fill(odd);
    Dataset::new([4], inputs, vec![0; 80], 3).unwrap()
}

fn built(model: Sequential, accumulate: usize, device: &Device) -> Trainer {
    Trainer::new(model, [4])
        .loss(Loss::SparseCategoricalCrossEntropy)
        .optimizer(Adam::new(0.02))
        .batch_size(8)
        .accumulate(accumulate)
        .seed(7)
        .build(device)
        .unwrap()
}

fn weights(trainer: &Trainer) -> Vec<Vec<f32>> {
    let session = trainer.session();
    session.parameter_names().iter().map(|name| session.parameter(name).unwrap()).collect()
}

/// `|x|` as `sqrt(x^2)`, whose gradient is no number at 0.
#[derive(Debug)]
struct Root;

impl Layer for Root {
    fn kind(&self) -> &'static str {
        "root"
    }

    fn record(&self, cx: &mut LayerContext<'_>, inputs: &[Value]) -> Result<Value> {
        let x = cx.one(inputs)?;
        let g = cx.graph();
        g.sqrt(g.mul(x, x)?)
    }
}

/// A gradient that is no number shows in the weights at the update, which may be steps later.
#[test]
fn the_guard_looks_at_summed_gradients() {
    let data = data(0.0);
    let model = || Sequential::new().add(Dense::new(5).bias(false)).add(Root).add(Dense::new(3));
    for device in [gpu(), &Device::cpu()] {
        for (accumulate, every) in [(1, 1), (2, 1), (3, 1), (3, 4), (5, 1), (5, 100)] {
            let mut trainer = built(model(), accumulate, device);
            let history = trainer.fit(&data, Fit::epochs(2).shuffle(false).nan_guard(every)).unwrap();
            let fault = history.fault.expect("there is a NaN in the fourth batch");
            assert_eq!((fault.op, fault.layer.as_str()), (Some("sqrt_grad"), "root"), "{accumulate}");
            let stopped = history.stopped.unwrap();
            assert!(stopped.contains("epoch 1, step 4: sqrt_grad in layer `root`"), "{stopped}");
            let mut before = built(model(), accumulate, device);
            before.fit(&data, Fit::epochs(1).shuffle(false).steps_per_epoch(3)).unwrap();
            assert_eq!(weights(&trainer), weights(&before), "as before the step that spoilt it");
            // The sums of the gradients too: training goes on the same.
            let clean = self::data(1.0);
            let [spoilt, whole] =
                [&mut trainer, &mut before].map(|t| t.fit(&clean, Fit::epochs(1)).unwrap().get("loss"));
            assert!(spoilt == whole && whole[0].is_finite(), "{spoilt:?} {whole:?}");
        }
    }
}
