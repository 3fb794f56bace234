//! Weights that are pruned stay zero; units that are taken out leave a model that computes the same.

use std::path::PathBuf;

use crate::common::folder::Folder;
use crate::common::gpu;
use retape::data::Dataset;
use retape::prelude::*;
use retape::random::Stream;
use retape::train::Weights;
use retape::train::callbacks::{Callback, EarlyStopping, Run};
use retape::train::pruning::{GradualPruning, Pruning, prune_units};
use retape::{Error, Result};

fn data() -> Dataset {
    let stream = Stream { seed: 5, step: 0, stream: 0 };
    let inputs: Vec<f32> = (0..6 * 40).map(|i| stream.normal(i) as f32).collect();
    let labels = inputs.chunks_exact(6).map(|p| u32::from(p[0] + p[1] > p[2])).collect();
    Dataset::new([6], inputs, labels, 2).unwrap()
}

fn trainer(device: &Device) -> Trainer {
    accumulating(device, 1)
}

fn accumulating(device: &Device, batches: usize) -> Trainer {
    let model = Sequential::new()
        .add(Dense::new(10).activation(Activation::Tanh).bias_init(Init::Uniform { low: 0.1, high: 0.2 }))
        .add(Dense::new(5).activation(Activation::Tanh))
        .add(Dense::new(2));
    Trainer::new(model, [6])
        .loss(Loss::SparseCategoricalCrossEntropy)
        .optimizer(Sgd::new(0.1).momentum(0.9))
        .batch_size(8)
        .accumulate(batches)
        .seed(2)
        .build(device)
        .unwrap()
}

fn parameter(trainer: &Trainer, name: &str) -> Vec<f32> {
    trainer.session().parameter(name).unwrap()
}

fn zeros(data: &[f32]) -> Vec<bool> {
    data.iter().map(|&w| w == 0.0).collect()
}

const WEIGHTS: [&str; 3] = ["dense.weight", "dense_1.weight", "dense_2.weight"];

#[test]
fn the_share_is_exact_and_the_smallest_go() {
    let mut whole = trainer(gpu());
    let before: Vec<Vec<f32>> = WEIGHTS.iter().map(|name| parameter(&whole, name)).collect();
    let sparsity = whole.prune(&Pruning::global(0.6)).unwrap();
    assert_eq!((sparsity.weights(), sparsity.share()), (120, 0.6));
    let after: Vec<Vec<f32>> = WEIGHTS.iter().map(|name| parameter(&whole, name)).collect();
    let gone = |keep: bool| {
        let pairs = before.iter().flatten().zip(after.iter().flatten());
        pairs.filter(move |(_, a)| (**a != 0.0) == keep).map(|(b, _)| b.abs())
    };
    let (largest_gone, smallest_left) = (gone(false).fold(0.0, f32::max), gone(true).fold(1e9, f32::min));
    assert!(largest_gone <= smallest_left, "{largest_gone} went, {smallest_left} stayed");
    assert!(parameter(&whole, "dense.bias").iter().all(|&b| b != 0.0), "biases are left alone");

    let sparsity = trainer(gpu()).prune(&Pruning::per_layer(0.5)).unwrap();
    assert!(sparsity.layers.iter().all(|layer| layer.share() == 0.5), "{sparsity}");
    let some = trainer(gpu()).prune(&Pruning::per_layer(0.5).layers(["dense_1"])).unwrap();
    let zeros: Vec<usize> = some.layers.iter().map(|layer| layer.zeros).collect();
    assert_eq!(zeros, [0, 25, 0]);
}

#[test]
fn masks_last_through_training() {
    for device in [gpu(), &Device::cpu(), &Device::reference()] {
        let mut trainer = trainer(device);
        trainer.fit(data(), Fit::epochs(2)).unwrap();
        trainer.prune(&Pruning::per_layer(0.5)).unwrap();
        let pruned: Vec<Vec<f32>> = WEIGHTS.iter().map(|name| parameter(&trainer, name)).collect();
        trainer.fit(data(), Fit::epochs(3)).unwrap();
        for (name, before) in WEIGHTS.iter().zip(&pruned) {
            let after = parameter(&trainer, name);
            assert_eq!(zeros(&after), zeros(before), "{name}");
            assert_ne!(&after, before, "what is left learns");
        }
        let more = trainer.prune(&Pruning::per_layer(0.8)).unwrap();
        assert_eq!(more.share(), 0.8);
        for (name, before) in WEIGHTS.iter().zip(&pruned) {
            let after = parameter(&trainer, name);
            assert!(zeros(before).iter().zip(zeros(&after)).all(|(&before, after)| after || !before));
        }
    }
}

/// Pruning less, or less of some layers, brings nothing back; what has been pruned counts first.
#[test]
fn pruning_again_takes_nothing_back() {
    let shares = |trainer: &mut Trainer, pruning: Pruning| {
        let told = trainer.prune(&pruning).unwrap();
        trainer.fit(data(), Fit::epochs(1)).unwrap();
        let found = trainer.sparsity().unwrap();
        assert_eq!(told, found, "what is told is what holds");
        (found.share(), found.layers.iter().map(|layer| layer.zeros).collect::<Vec<_>>())
    };
    for device in [gpu(), &Device::cpu(), &Device::reference()] {
        let mut less = trainer(device);
        let (first, layers) = shares(&mut less, Pruning::global(0.5));
        assert_eq!(first, 0.5);
        assert_eq!(shares(&mut less, Pruning::global(0.2)), (0.5, layers.clone()));
        assert_eq!(shares(&mut less, Pruning::per_layer(0.0)), (0.5, layers));
        assert_eq!(shares(&mut less, Pruning::global(0.6)).0, 0.6);

        let mut overlapping = trainer(device);
        let dense = Pruning::per_layer(0.8).layers(["dense"]);
        assert_eq!(shares(&mut overlapping, dense).1, [48, 0, 0]);
        assert_eq!(shares(&mut overlapping, Pruning::global(0.3)).1, [48, 0, 0]);
        let (share, layers) = shares(&mut overlapping, Pruning::global(0.5));
        assert!(share == 0.5 && layers[0] >= 48, "{layers:?}");
    }
}

/// A weight that is zero by itself is none of those that were pruned before.
#[test]
fn zeros_that_were_never_pruned_are_the_next_to_go() {
    let mut trainer = trainer(gpu());
    // All of what follows stays, so that every weight has a gradient.
    let half = Pruning::per_layer(0.5).layers(["dense"]);
    trainer.prune(&half).unwrap();
    let pruned = zeros(&parameter(&trainer, "dense.weight"));
    let mut weights = trainer.weights().unwrap();
    weights.arrays.iter_mut().find(|array| array.name == "dense.weight").unwrap().data.fill(0.0);
    trainer.set_weights(&weights).unwrap();
    let again = trainer.prune(&half).unwrap();
    assert_eq!(again.layers.iter().map(|layer| layer.zeros).collect::<Vec<_>>(), [30, 0, 0]);
    assert_eq!(trainer.sparsity().unwrap().layers[0].zeros, 60);
    trainer.fit(data(), Fit::epochs(1)).unwrap();
    assert_eq!(zeros(&parameter(&trainer, "dense.weight")), pruned);
    assert_eq!(trainer.sparsity().unwrap(), again);
}

#[test]
fn weights_without_a_mask_come_back() {
    let mut trainer = trainer(gpu());
    let mut weights = trainer.weights().unwrap();
    weights.arrays[0].data[..30].fill(0.0);
    trainer.set_weights(&weights).unwrap();
    trainer.fit(data(), Fit::epochs(1)).unwrap();
    let zeros = parameter(&trainer, "dense.weight").iter().filter(|&&w| w == 0.0).count();
    assert!(zeros < 5, "{zeros} of 30 are still zero");
}

#[test]
fn a_pruned_model_that_is_not_trained_computes_with_zeros() {
    let mut masked = trainer(gpu());
    masked.prune(&Pruning::global(0.5)).unwrap();
    let mut plain = trainer(gpu());
    plain.set_weights(&masked.weights().unwrap()).unwrap();
    assert_eq!(masked.predict(data()).unwrap(), plain.predict(data()).unwrap());
    assert_ne!(masked.predict(data()).unwrap(), trainer(gpu()).predict(data()).unwrap());
}

#[test]
fn gradual_pruning_follows_its_schedule() {
    let gradual = GradualPruning::new(Pruning::global(0.8), 10, 30).initial(0.2).every(5);
    assert_eq!(gradual.sparsity(9), 0.0);
    assert!((gradual.sparsity(10) - 0.2).abs() < 1e-12);
    assert!((gradual.sparsity(20) - (0.8 - 0.6 * 0.125)).abs() < 1e-12);
    assert_eq!((gradual.sparsity(30), gradual.sparsity(99)), (0.8, 0.8));

    let mut shares = Vec::new();
    let mut pruned = trainer(gpu());
    // Five steps an epoch.
    let fit = Fit::epochs(8).callback(gradual.clone()).on_epoch_end(|run| {
        shares.push(run.trainer().sparsity()?.share());
        Ok(())
    });
    pruned.fit(data(), fit).unwrap();
    let expected: Vec<f64> =
        (1..=8).map(|epoch| (gradual.sparsity(5 * epoch) * 120.0).round() / 120.0).collect();
    assert_eq!(shares, expected);

    let mut stopped = trainer(gpu());
    let never = EarlyStopping::new("loss").min_delta(100.0).patience(2);
    stopped.fit(data(), Fit::epochs(8).callback(gradual).callback(never)).unwrap();
    assert_eq!(stopped.sparsity().unwrap().share(), expected[2]);
}

#[test]
fn shares_and_layers_are_checked() {
    let mut trainer = trainer(gpu());
    for share in [1.0, -0.1, f64::NAN] {
        let refused = trainer.prune(&Pruning::global(share));
        assert!(matches!(refused, Err(Error::Argument { argument: "sparsity", .. })));
    }
    let refused = trainer.prune(&Pruning::global(0.5).layers(["conv2d"])).unwrap_err();
    assert!(matches!(&refused, Error::Unknown { name, .. } if name == "conv2d"), "{refused}");
    assert_eq!(trainer.sparsity().unwrap().share(), 0.0);
    let backwards = GradualPruning::new(Pruning::global(0.5), 9, 3);
    let refused = trainer.fit(data(), Fit::epochs(1).callback(backwards));
    assert!(matches!(refused, Err(Error::Argument { argument: "updates", .. })));
}

/// A schedule that begins with less than there is pruned waits until it asks for more.
#[test]
fn gradual_pruning_goes_on_from_what_is_pruned() {
    let gradual = GradualPruning::new(Pruning::global(0.8), 5, 30).initial(0.1).every(5);
    let mut trainer = trainer(gpu());
    trainer.prune(&Pruning::global(0.5)).unwrap();
    let mut shares = Vec::new();
    let fit = Fit::epochs(7).callback(gradual.clone()).on_epoch_end(|run| {
        shares.push(run.trainer().sparsity()?.share());
        Ok(())
    });
    trainer.fit(data(), fit).unwrap();
    let share = |epoch: u32| (gradual.sparsity(5 * epoch) * 120.0).round() / 120.0;
    assert!(share(1) < 0.5 && share(4) > 0.5);
    assert_eq!(shares, (1..=7).map(|epoch| share(epoch).max(0.5)).collect::<Vec<_>>());
}

/// Two convolutions, one with batch normalisation, and two dense layers.
fn images() -> Sequential {
    Sequential::new()
        .add(Conv2d::new(6, 3).activation(Activation::Relu))
        .add(MaxPool2d::new(2))
        .add(Conv2d::new(4, 2))
        .add(BatchNorm::new())
        .add(Activation::Relu)
        .add(Dropout::new(0.3))
        .add(Flatten)
        .add(Dense::new(8).activation(Activation::Relu).named("hidden"))
        .add(Dense::new(3))
}

fn image_trainer(model: &Sequential) -> Trainer {
    Trainer::new(model.clone(), [1, 8, 8])
        .loss(Loss::SparseCategoricalCrossEntropy)
        .optimizer(Adam::new(0.01))
        .batch_size(4)
        .seed(9)
        .build(gpu())
        .unwrap()
}

/// Sets what belongs to every second unit to zero, so that the unit says nothing.
fn silence(weights: &mut Weights) {
    for array in &mut weights.arrays {
        let dims = array.shape.dims().to_vec();
        let by_unit = match array.name.as_str() {
            name if name.starts_with("dense") => continue,
            "batch_norm.running_variance" => continue,
            "hidden.weight" => 1,
            _ => array.data.len() / dims[0],
        };
        let units = if array.name == "hidden.weight" { dims[1] } else { dims[0] };
        for (index, w) in array.data.iter_mut().enumerate() {
            if index / by_unit % units % 2 == 1 {
                *w = 0.0;
            }
        }
    }
}

#[test]
fn a_model_without_its_silent_units_computes_the_same() -> Result<()> {
    let stream = Stream { seed: 6, step: 0, stream: 0 };
    let pixels: Vec<f32> = (0..10 * 64).map(|i| stream.normal(i) as f32).collect();
    let data = Dataset::new([1, 8, 8], pixels, (0..10).map(|i| i % 3).collect(), 3)?;
    let model = images();
    let mut whole = image_trainer(&model);
    whole.fit(&data, Fit::epochs(3))?;
    let mut weights = whole.weights()?;
    silence(&mut weights);
    whole.set_weights(&weights)?;
    let (smaller, fewer) = prune_units(&model, [1, 8, 8], &weights, 0.5)?;
    let counts = |model: &Sequential| model.summary([1, 8, 8]).map(|s| s.parameters);
    let smaller_count = (3 * 9 + 3) + (2 * 3 * 4 + 2) + 4 * 2 + (2 * 4 * 4 + 4) + (4 * 3 + 3);
    assert_eq!(counts(&smaller)?, smaller_count as u64);
    let mut pruned = image_trainer(&smaller);
    pruned.set_weights(&fewer)?;
    let (expected, found) = (whole.predict(&data)?, pruned.predict(&data)?);
    for (a, b) in expected.data.iter().zip(&found.data) {
        assert!((a - b).abs() <= 1e-5 * a.abs().max(1.0), "{a} before, {b} after");
    }
    assert!(expected.data.iter().any(|y| y.abs() > 0.1));
    pruned.fit(&data, Fit::epochs(1))?;
    Ok(())
}

#[test]
fn units_that_cannot_be_followed_stay() -> Result<()> {
    // A dense layer over the width of images is no continuation of their channels.
    let model = Sequential::new().add(Conv2d::new(4, 3)).add(Dense::new(5)).add(Flatten).add(Dense::new(3));
    let trainer = Trainer::new(model.clone(), [1, 6, 6])
        .loss(Loss::SparseCategoricalCrossEntropy)
        .optimizer(Sgd::new(0.1))
        .build(gpu())?;
    let weights = trainer.weights()?;
    let (same, kept) = prune_units(&model, [1, 6, 6], &weights, 0.5)?;
    assert_eq!(kept, weights);
    assert_eq!(same.summary([1, 6, 6])?.parameters, model.summary([1, 6, 6])?.parameters);
    let refused = prune_units(&model, [1, 6, 6], &weights, 1.0);
    assert!(matches!(refused, Err(Error::Argument { argument: "fraction", .. })));
    let none = Weights::default();
    assert!(matches!(prune_units(&model, [1, 6, 6], &none, 0.5), Err(Error::Unknown { .. })));
    Ok(())
}

#[test]
fn what_is_pruned_stays_so_whatever_is_put_in() {
    let mut trainer = trainer(gpu());
    let whole = trainer.weights().unwrap();
    let snapshot = trainer.weights_snapshot().unwrap();
    trainer.prune(&Pruning::global(0.5)).unwrap();
    trainer.set_weights(&whole).unwrap();
    assert_eq!(trainer.sparsity().unwrap().share(), 0.5);
    trainer.restore_weights(&snapshot).unwrap();
    assert_eq!(trainer.sparsity().unwrap().share(), 0.5);
}

#[test]
fn averages_are_pruned_too() {
    let model = Sequential::new().add(Dense::new(10)).add(Dense::new(2));
    let mut trainer = Trainer::new(model, [6])
        .loss(Loss::SparseCategoricalCrossEntropy)
        .optimizer(Sgd::new(0.1).ema(0.9))
        .build(gpu())
        .unwrap();
    trainer.fit(data(), Fit::epochs(1)).unwrap();
    trainer.prune(&Pruning::global(0.5)).unwrap();
    trainer.fit(data(), Fit::epochs(1)).unwrap();
    trainer.swap_averages().unwrap();
    assert_eq!(trainer.sparsity().unwrap().share(), 0.5);
}

#[test]
fn gradual_pruning_begins_with_its_training() {
    let mut trainer = trainer(gpu());
    trainer.fit(data(), Fit::epochs(4)).unwrap();
    trainer.fit(data(), Fit::epochs(4).callback(GradualPruning::new(Pruning::global(0.5), 0, 12))).unwrap();
    assert_eq!(trainer.sparsity().unwrap().share(), 0.5);
}

/// What is pruned first goes before the first step where the schedule begins with the training.
#[test]
fn the_first_share_goes_when_its_time_comes() {
    let whole = Pruning::global(0.8);
    for (begin, end, share) in [(0, 100, 0.5), (7, 100, 0.5), (0, 0, 0.8), (7, 7, 0.8)] {
        let gradual = GradualPruning::new(whole.clone(), begin, end).initial(0.5).every(100);
        assert_eq!((gradual.sparsity(begin), gradual.sparsity(end)), (share, 0.8));
        let mut shares = Vec::new();
        let mut trainer = trainer(gpu());
        let fit = Fit::epochs(2).callback(gradual).on_steps(1, |run| {
            shares.push(run.trainer().sparsity()?.share());
            Ok(())
        });
        trainer.fit(data(), fit).unwrap();
        let expected = (1..=10).map(|update| if update < begin { 0.0 } else { share });
        assert_eq!(shares, expected.collect::<Vec<f64>>(), "{begin} to {end}");
    }
    let mut untrained = trainer(gpu());
    let gradual = GradualPruning::new(whole, 0, 9).initial(0.5);
    untrained.fit(data(), Fit::epochs(0).callback(gradual)).unwrap();
    assert_eq!(untrained.sparsity().unwrap().share(), 0.5);
}

#[test]
fn gradual_pruning_goes_by_updates() {
    let gradual = GradualPruning::new(Pruning::global(0.8), 2, 8).initial(0.1).every(2);
    let mut trainer = accumulating(gpu(), 3);
    let mut found = Vec::new();
    let fit = Fit::epochs(6).callback(gradual.clone()).on_steps(1, |run| {
        found.push((run.trainer().updates(), run.trainer().sparsity()?.share()));
        Ok(())
    });
    trainer.fit(data(), fit).unwrap();
    let share = |update: u32| (gradual.sparsity(update / 2 * 2) * 120.0).round() / 120.0;
    let expected = (1..=30).map(|step| (step / 3, share(step / 3)));
    assert_eq!(found, expected.collect::<Vec<_>>());
}

/// Writes a checkpoint after this step; at 0, before the first.
struct WriteAt(Option<u32>, PathBuf);

impl Callback for WriteAt {
    fn on_train_begin(&mut self, run: &mut Run<'_>) -> Result<()> {
        self.on_step(run)
    }

    fn every_steps(&self) -> Option<u32> {
        Some(1)
    }

    fn on_step(&mut self, run: &mut Run<'_>) -> Result<()> {
        if self.0 == Some(run.trainer().steps()) {
            run.write_checkpoint(&self.1);
        }
        Ok(())
    }
}

#[test]
fn gradual_pruning_that_is_resumed_prunes_the_same() {
    let folder = Folder::new();
    let path = folder.0.join("gradual.safetensors");
    for (device, batches, steps) in [(&Device::reference(), 2, 0..=11), (gpu(), 1, 0..=1), (gpu(), 2, 4..=5)]
    {
        for step in steps {
            let fit = |at| {
                let gradual = GradualPruning::new(Pruning::global(0.8), 0, 5).initial(0.4).every(2);
                Fit::epochs(3).callback(gradual).callback(WriteAt(at, path.clone()))
            };
            let mut whole = accumulating(device, batches);
            whole.fit(data(), fit(Some(step))).unwrap();
            let mut resumed = accumulating(device, batches);
            resumed.fit(data(), fit(None).resume(&path)).unwrap();
            assert_eq!(resumed.weights().unwrap(), whole.weights().unwrap(), "{device} from step {step}");
            assert_eq!(resumed.sparsity().unwrap().share(), 0.8);
        }
    }
}
