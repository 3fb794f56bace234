//! States whose names say something else than they are.

use std::collections::BTreeMap;
use std::fs;

use crate::checkpoints::{points, state};
use crate::common::folder::Folder;
use crate::common::gpu;
use retape::Result;
use retape::prelude::*;

/// An optimiser whose slots are called as the crate calls what it keeps itself, and as a weight is called.
#[derive(Debug)]
struct Confusing;

impl Optimizer for Confusing {
    fn record(&self, g: &Graph, gradients: &[(Value, Value)]) -> Result<()> {
        for &(w, dw) in gradients {
            let mut step = g.scalar_constant(0.0);
            for (name, decay) in [("mask", 0.3), ("average", 0.4), ("gradient", 0.5), ("bias", 0.6)] {
                let slot = g.slot(w, name)?;
                let next = g.add(g.mul(slot, g.scalar_constant(decay))?, dw)?;
                g.assign(slot, next)?;
                step = g.add(step, next)?;
            }
            g.assign(w, g.sub(w, g.mul(step, g.scalar_constant(0.02))?)?)?;
        }
        Ok(())
    }
}

/// A dense layer whose bias is called as the slot `bias` of its weight is.
#[derive(Debug)]
struct Dotted;

impl Layer for Dotted {
    fn kind(&self) -> &'static str {
        "dotted"
    }

    fn record(&self, cx: &mut LayerContext<'_>, inputs: &[Value]) -> Result<Value> {
        let x = cx.one(inputs)?;
        let weight = cx.parameter("weight", [6, 7], Init::GlorotUniform);
        let bias = cx.parameter("weight.bias", [7], Init::Uniform { low: -0.5, high: 0.5 });
        cx.graph().add(cx.graph().matmul(x, weight)?, bias)
    }
}

/// What a state is, a checkpoint says; its name says nothing.
#[test]
fn states_of_the_same_names_are_kept_apart() {
    use retape::train::pruning::Pruning;
    let build = |device: &Device| {
        let model = Sequential::new().add(Dotted.named("a")).add(Activation::Tanh).add(Dense::new(4));
        let trainer = Trainer::new(model, [6]).loss(Loss::SparseCategoricalCrossEntropy);
        trainer.optimizer(Confusing.ema(0.5)).batch_size(8).accumulate(2).seed(3).build(device).unwrap()
    };
    for device in [gpu(), &Device::cpu(), &Device::reference()] {
        let (folder, train) = (Folder::new(), points(37));
        let path = folder.0.join("half.safetensors");
        let mut whole = build(device);
        whole.fit(&train, Fit::epochs(1)).unwrap();
        whole.prune(&Pruning::global(0.5)).unwrap();
        whole.save_checkpoint(&path).unwrap();
        let half = fs::read(&path).unwrap();
        let rest = whole.fit(&train, Fit::epochs(3).initial_epoch(1)).unwrap();

        let mut resumed = build(device);
        let history = resumed.fit(&train, Fit::epochs(3).resume(&path)).unwrap();
        assert_eq!(history.epochs[1..], rest.epochs);
        // Their histories differ: one training was of two.
        let [one, other] = [&resumed, &whole].map(|trainer| state(trainer, &folder));
        let tensors = |bytes| -> BTreeMap<String, Vec<u8>> {
            let file = safetensors::SafeTensors::deserialize(bytes).unwrap();
            file.tensors().into_iter().map(|(name, tensor)| (name, tensor.data().to_vec())).collect()
        };
        assert!(tensors(&one) == tensors(&other), "other bits");
        let sparsity = resumed.sparsity().unwrap();
        assert_eq!(sparsity, whole.sparsity().unwrap());
        for trainer in [&mut whole, &mut resumed] {
            trainer.swap_averages().unwrap();
        }
        assert_eq!(resumed.weights().unwrap(), whole.weights().unwrap());
        let weight = resumed.weights().unwrap().get("a.weight").unwrap().data.clone();
        let zeros = weight.iter().filter(|&&w| w == 0.0).count();
        assert!(zeros > 0 && zeros < weight.len(), "{zeros} of {}", weight.len());

        let file = safetensors::SafeTensors::deserialize(&half).unwrap();
        let count = |part: &str| file.names().iter().filter(|name| name.contains(part)).count();
        // 4 weights, with 4 slots, a mean and a sum of gradients each; 2 masks; between epochs no sums of one.
        assert_eq!(file.len(), 4 * 7 + 2, "{:?}", file.names());
        assert_eq!(
            count("a.weight.bias"),
            2 + 6,
            "the bias, what there is for it, and the slot of `a.weight`"
        );
    }
}
