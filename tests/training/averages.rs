//! Averages of weights beside them, and what freezing does to both.

use super::trainer::{builder, network, points, weights};
use crate::common::folder::Folder;
use crate::common::gpu;
use retape::Error;
use retape::prelude::*;
use retape::train::pruning::Pruning;

#[test]
fn averages_take_the_place_of_weights_and_give_it_back() {
    let data = points(40);
    let mut trainer = builder(network(), 8).optimizer(Sgd::new(0.5).ema(0.9)).build(gpu()).unwrap();
    trainer.fit(&data, Fit::epochs(3)).unwrap();
    let (own, judged) = (weights(&trainer), trainer.evaluate(&data).unwrap());
    trainer.swap_averages().unwrap();
    assert_ne!(weights(&trainer), own);
    assert_ne!(trainer.evaluate(&data).unwrap(), judged);
    trainer.swap_averages().unwrap();
    assert_eq!(weights(&trainer), own);
    let refused = builder(network(), 8).build(gpu()).unwrap().swap_averages();
    assert!(matches!(refused, Err(Error::Unknown { .. })));
}

#[test]
fn layers_frozen_between_two_exchanges_of_averages_keep_what_they_were_trained_to() {
    let data = points(40);
    for device in [gpu(), &Device::cpu(), &Device::reference()] {
        let mut trainer = builder(network(), 8).optimizer(Sgd::new(0.5).ema(0.9)).build(device).unwrap();
        trainer.fit(&data, Fit::epochs(3)).unwrap();
        let own = weights(&trainer);
        trainer.swap_averages().unwrap();
        let averages = weights(&trainer);
        trainer.freeze(["dense"]).unwrap();
        // As if it had been frozen before.
        let between = weights(&trainer);
        assert_eq!((&between[..2], &between[2..]), (&own[..2], &averages[2..]));
        assert!(own.iter().zip(&averages).all(|(own, average)| own != average));
        trainer.swap_averages().unwrap();
        assert_eq!(weights(&trainer), own);
        trainer.swap_averages().unwrap();
        assert_eq!(weights(&trainer), between);
        // What is unfrozen begins without averages, so that what was trained is there at once.
        trainer.unfreeze(["dense"]).unwrap();
        assert_eq!(weights(&trainer), own);
        trainer.swap_averages().unwrap();
        assert_eq!(weights(&trainer), own);
        // A layer that cannot be frozen changes nothing.
        trainer.fit(&data, Fit::epochs(1)).unwrap();
        trainer.swap_averages().unwrap();
        let between = weights(&trainer);
        assert!(trainer.freeze(["dense", "dense_1"]).is_err());
        assert_eq!(weights(&trainer), between);
        // Averages that were trained on, and weights that were put in, are the model's own.
        trainer.freeze(["dense"]).unwrap();
        trainer.fit(&data, Fit::epochs(1)).unwrap();
        trainer.swap_averages().unwrap();
        trainer.fit(&data, Fit::epochs(1)).unwrap();
        let trained = weights(&trainer);
        trainer.unfreeze(["dense"]).unwrap();
        assert_eq!(weights(&trainer), trained);
        trainer.fit(&data, Fit::epochs(1)).unwrap();
        trainer.swap_averages().unwrap();
        let given = trainer.weights_snapshot().unwrap();
        let restored = weights(&trainer);
        trainer.restore_weights(&given).unwrap();
        trainer.freeze(["dense"]).unwrap();
        assert_eq!(weights(&trainer), restored);
    }
}

#[test]
fn weights_that_are_back_stay_whatever_happened_between_two_exchanges_of_averages() {
    let data = points(40);
    let folder = Folder::new();
    let between: [&dyn Fn(&mut Trainer); 3] = [
        &|trainer| drop(trainer.prune(&Pruning::global(0.0)).unwrap()),
        &|trainer| trainer.set_weights(&trainer.weights().unwrap()).unwrap(),
        &|trainer| {
            let path = folder.0.join("between.safetensors");
            trainer.save_checkpoint(&path).unwrap();
            *trainer =
                builder(network(), 8).optimizer(Sgd::new(0.5).ema(0.9)).build(trainer.device()).unwrap();
            trainer.load_checkpoint(&path).unwrap();
        },
    ];
    for happen in between {
        for freeze in [true, false] {
            let builder = builder(network(), 8).optimizer(Sgd::new(0.5).ema(0.9));
            let builder = if freeze { builder } else { builder.freeze(["dense_1"]) };
            let mut trainer = builder.build(&Device::reference()).unwrap();
            trainer.fit(&data, Fit::epochs(3)).unwrap();
            let own = weights(&trainer);
            trainer.swap_averages().unwrap();
            happen(&mut trainer);
            trainer.swap_averages().unwrap();
            assert_eq!(weights(&trainer), own);
            if freeze { trainer.freeze(["dense"]) } else { trainer.unfreeze(["dense_1"]) }.unwrap();
            assert_eq!(weights(&trainer), own);
        }
    }
}

#[test]
fn gradients_that_are_summed_up_outlast_unfreezing() {
    let data = points(16);
    let build = || builder(network(), 8).optimizer(Sgd::new(0.5)).accumulate(2).freeze(["dense_1"]);
    let [mut plain, mut thawed] = [build(), build()].map(|b| b.build(&Device::reference()).unwrap());
    let halves = [0, 1].map(|half| data.select(&(8 * half..8 * half + 8).collect::<Vec<_>>()));
    for (trainer, unfreezes) in [(&mut plain, false), (&mut thawed, true)] {
        trainer.train_on_batch(&halves[0]).unwrap();
        if unfreezes {
            trainer.unfreeze(["dense_1"]).unwrap();
        }
        trainer.train_on_batch(&halves[1]).unwrap();
    }
    assert_eq!(weights(&plain)[..2], weights(&thawed)[..2]);
    assert_ne!(weights(&plain)[2..], weights(&thawed)[2..]);
}
