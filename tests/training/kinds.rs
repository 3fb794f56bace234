//! What a state is follows from its kind, whatever it is called.

use retape::prelude::*;
use retape::train::pruning::Pruning;
use retape::{Result, Value};

use crate::common;

/// Descent with a velocity in a slot of a name of choice.
#[derive(Debug)]
struct Named(&'static str);

impl Optimizer for Named {
    fn record(&self, g: &Graph, gradients: &[(Value, Value)]) -> Result<()> {
        let rate = g.scalar_value(g.rate("learning_rate", 0.05))?;
        for &(w, dw) in gradients {
            let slot = g.slot(w, self.0)?;
            let velocity = g.add(g.mul(slot, g.scalar_constant(0.5))?, dw)?;
            g.assign(slot, velocity)?;
            g.assign(w, g.sub(w, g.mul(rate, velocity)?)?)?;
        }
        Ok(())
    }
}

fn data() -> data::Dataset {
    let inputs: Vec<f32> = (0..64).map(|i| (i * 37 % 64) as f32 / 64.0).collect();
    let labels = inputs.chunks(2).map(|p| u32::from(p[0] > p[1])).collect();
    data::Dataset::new([2], inputs, labels, 2).expect("it is whole")
}

fn trainer(optimizer: impl Optimizer + 'static, device: &Device) -> Trainer {
    let model = Sequential::new().add(Dense::new(8).activation(Activation::Tanh)).add(Dense::new(2));
    let builder = Trainer::new(model, [2]).loss(Loss::SparseCategoricalCrossEntropy);
    builder.optimizer(optimizer).batch_size(8).build(device).expect("it builds")
}

#[test]
fn a_slot_called_mask_prunes_nothing() -> Result<()> {
    for device in [Device::reference(), Device::cpu(), common::gpu().clone()] {
        let mut trainer = trainer(Named("mask"), &device);
        trainer.fit(data(), Fit::epochs(2))?;
        let sparsity = trainer.prune(&Pruning::global(0.5))?;
        assert_eq!(sparsity.share(), 0.5);
        let zeros = |trainer: &Trainer| -> Result<usize> {
            let weights = trainer.weights()?;
            let pruned = weights.arrays.iter().filter(|array| array.shape.rank() == 2);
            Ok(pruned.flat_map(|array| &array.data).filter(|&&w| w == 0.0).count())
        };
        assert_eq!(zeros(&trainer)?, 16);
        // The slot moves on as if there were no masks, and the masks hold.
        let slot = trainer.session().tape().persistent().into_iter().find(|&value| {
            let info = trainer.session().tape().value(value).expect("it is the tape's");
            matches!(info.source.state_kind(), Some(retape::graph::StateKind::Slot { .. }))
        });
        let slot = slot.expect("there is one");
        let before = trainer.session().read(slot)?;
        trainer.fit(data(), Fit::epochs(1))?;
        assert_ne!(trainer.session().read(slot)?, before);
        assert_eq!(zeros(&trainer)?, 16);
    }
    Ok(())
}

#[test]
fn a_slot_called_average_is_not_swapped_in() -> Result<()> {
    for device in [Device::reference(), Device::cpu(), common::gpu().clone()] {
        let mut trainer = trainer(Named("average").ema(0.5), &device);
        trainer.fit(data(), Fit::epochs(1))?;
        let before = trainer.weights()?;
        trainer.swap_averages()?;
        let averages = trainer.weights()?;
        for (weight, average) in before.arrays.iter().zip(&averages.arrays) {
            let far = |(w, a): (&f32, &f32)| (w - a).abs() > 0.1;
            let same = weight.data == average.data;
            assert!(!same && !weight.data.iter().zip(&average.data).any(far), "{}", weight.name);
        }
        trainer.swap_averages()?;
        assert_eq!(trainer.weights()?, before);
    }
    Ok(())
}

/// A scale under whatever names.
#[derive(Debug)]
struct Scale(&'static str);

impl Layer for Scale {
    fn kind(&self) -> &'static str {
        "scale"
    }

    fn record(&self, cx: &mut LayerContext<'_>, inputs: &[Value]) -> Result<Value> {
        let scale = cx.parameter(self.0, [1], Init::Ones);
        cx.graph().mul(cx.one(inputs)?, scale)
    }
}

#[test]
fn names_of_the_trainers_own_are_free_for_layers() -> Result<()> {
    for (layer, parameter) in [("training", "total"), ("training", "carry"), ("evaluation", "total")] {
        let model = Sequential::new().add(Scale(parameter).named(layer)).add(Dense::new(2));
        let mut trainer = Trainer::new(model, [2])
            .loss(Loss::SparseCategoricalCrossEntropy)
            .optimizer(Adam::new(0.1).ema(0.9))
            .accumulate(2)
            .build(&Device::reference())?;
        let before = trainer.evaluate(data())?.loss;
        trainer.fit(data(), Fit::epochs(20))?;
        assert!(trainer.evaluate(data())?.loss < before);
        let name = format!("{layer}.{parameter}");
        assert_ne!(trainer.session().parameter(&name)?, [1.0], "{name}");
    }
    Ok(())
}

/// Parameters that are called as states of others are in listings.
#[test]
fn names_may_look_like_relations() -> Result<()> {
    let mut g = Graph::new();
    let w = g.parameter("w", [2], Init::Values(vec![1.0, 2.0]));
    let others =
        ["w.velocity", "w.mask", "w.average", "w.gradient"].map(|name| g.parameter(name, [2], Init::Ones));
    let mut all = w;
    for other in others {
        all = g.add(all, other)?;
    }
    let loss = g.sum(g.square(all)?, &[], false)?;
    let mut session =
        g.training_step(loss, &Sgd::new(0.01).momentum(0.9).ema(0.5))?.session(&Device::reference())?;
    session.replay()?;
    // The gradient is twice the sum, of 5 and 6.
    assert_eq!(session.read(w)?, [0.9, 1.88]);
    others.iter().try_for_each(|&other| {
        assert_eq!(session.read(other)?, [0.9, 0.88]);
        Ok(())
    })
}
