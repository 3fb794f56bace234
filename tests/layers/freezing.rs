//! Frozen layers: they stay as they are, and cost no backward work.

use crate::common;
use crate::common::folder::Folder;
use crate::common::gpu;
use retape::data::Dataset;
use retape::graph::Phase;
use retape::prelude::*;
use retape::train::pruning::Pruning;
use retape::train::{TrainerBuilder, Weights};
use retape::{Error, Result};

/// Two convolutions with batch normalisation in a block, and a head.
#[derive(Debug)]
struct Base;

impl Layer for Base {
    fn kind(&self) -> &'static str {
        "base"
    }

    fn record(&self, cx: &mut LayerContext<'_>, inputs: &[Value]) -> Result<Value> {
        let x = cx.one(inputs)?;
        let x = cx.add(Conv2d::new(3, [3, 3]).activation(Activation::Relu), x)?;
        let x = cx.add(BatchNorm::new(), x)?;
        cx.add(Conv2d::new(2, [3, 3]), x)
    }
}

fn builder() -> TrainerBuilder {
    let model = Sequential::new()
        .add(Base)
        .add(Flatten)
        .add(Dense::new(6).activation(Activation::Relu))
        .add(Dense::new(3));
    Trainer::new(model, [1, 7, 7])
        .loss(Loss::SparseCategoricalCrossEntropy)
        .optimizer(Adam::new(0.01))
        .batch_size(4)
        .seed(9)
}

fn images() -> Dataset {
    let labels = (0..10).map(|i| i % 3).collect();
    Dataset::new([1, 7, 7], common::data::noise(10 * 49, 8, -1.0, 1.0), labels, 3).unwrap()
}

/// The operators of each phase that belong to layers of this name or within them.
fn operators(trainer: &Trainer, layer: &str, phase: Phase) -> usize {
    let tape = trainer.session().tape();
    let within = |name: &str| name == layer || name.starts_with(&format!("{layer}."));
    tape.ops().iter().filter(|op| op.phase == phase && within(tape.layer(op))).count()
}

fn moved(before: &Weights, after: &Weights) -> Vec<String> {
    let moved = before.arrays.iter().filter(|array| after.get(&array.name) != Some(*array));
    moved.map(|array| array.name.clone()).collect()
}

#[test]
fn a_frozen_base_costs_no_backward_work() {
    let (whole, frozen) = (builder().build(gpu()).unwrap(), builder().freeze(["base"]).build(gpu()).unwrap());
    assert_eq!(
        frozen.frozen().collect::<Vec<_>>(),
        ["base", "base.batch_norm", "base.conv2d", "base.conv2d_1"]
    );
    assert!(operators(&whole, "base", Phase::Backward) >= 4, "{}", whole.session().tape());
    assert_eq!(operators(&frozen, "base", Phase::Backward), 0, "{}", frozen.session().tape());
    assert!(operators(&frozen, "dense", Phase::Backward) > 0);
    assert!(operators(&frozen, "base", Phase::Forward) > 0);

    let ops = |trainer: &Trainer| trainer.session().tape().ops().len();
    let dispatches = |trainer: &Trainer| trainer.session().plan().unwrap().dispatches.len();
    assert!(ops(&frozen) < ops(&whole), "{} against {}", ops(&frozen), ops(&whole));
    assert!(dispatches(&frozen) < dispatches(&whole));
    let tape = frozen.session().tape();
    let infos = tape.persistent().into_iter().filter_map(|v| tape.value(v));
    let trained: Vec<_> = infos.filter(|v| v.source.is_trained()).filter_map(|v| v.name.as_deref()).collect();
    assert_eq!(trained, ["dense.weight", "dense.bias", "dense_1.weight", "dense_1.bias"]);
    assert_eq!(frozen.session().parameter_names(), whole.session().parameter_names());
}

#[test]
fn frozen_layers_stay_as_they_are() {
    for device in [gpu(), &Device::cpu(), &Device::reference()] {
        let mut trainer = builder().freeze(["base.conv2d", "dense_1"]).build(device).unwrap();
        let before = trainer.weights().unwrap();
        trainer.fit(images(), Fit::epochs(2)).unwrap();
        let moved = moved(&before, &trainer.weights().unwrap());
        assert!(!moved.iter().any(|name| name.starts_with("base.conv2d.") || name.starts_with("dense_1.")));
        for name in ["base.conv2d_1.weight", "base.batch_norm.running_mean", "dense.weight", "dense.bias"] {
            assert!(moved.iter().any(|m| m == name), "{name} is not frozen: {moved:?}");
        }
    }
}

/// Batch normalisation of a frozen block keeps its running statistics too.
#[test]
fn a_whole_block_is_frozen_by_its_name() {
    let mut trainer = builder().build(gpu()).unwrap();
    trainer.fit(images(), Fit::epochs(1)).unwrap();
    let before = trainer.weights().unwrap();
    trainer.freeze(["base"]).unwrap();
    assert_eq!(trainer.weights().unwrap(), before, "freezing moves nothing");
    trainer.fit(images(), Fit::epochs(2)).unwrap();
    let moved = moved(&before, &trainer.weights().unwrap());
    assert!(moved.iter().all(|name| name.starts_with("dense")), "{moved:?}");
    assert!(!moved.is_empty());
}

/// What is trained on as before goes on with its moments where other layers are frozen; where layers are
/// trained again, the optimiser starts anew.
#[test]
fn moments_are_carried_over_until_layers_are_trained_again() {
    for device in [gpu(), &Device::cpu(), &Device::reference()] {
        let train = |between: &dyn Fn(&mut Trainer)| {
            let mut trainer = builder().build(device).unwrap();
            trainer.fit(images(), Fit::epochs(1)).unwrap();
            between(&mut trainer);
            // One step: its update of a layer depends on that layer's moments alone.
            let batch = images().take(4);
            trainer.train_on_batch(&batch).unwrap();
            trainer.weights().unwrap()
        };
        let untouched = train(&|_| ());
        let frozen = train(&|trainer| trainer.freeze(["dense"]).unwrap());
        assert_eq!(moved(&untouched, &frozen), ["dense.weight", "dense.bias"]);
        let there_and_back = train(&|trainer| {
            trainer.freeze(["dense"]).unwrap();
            trainer.unfreeze(["dense"]).unwrap();
        });
        assert!(moved(&untouched, &there_and_back).iter().any(|name| name.starts_with("base")));
    }
}

/// Moments that begin while the count of updates is high would make steps of several times the rate.
#[test]
fn steps_after_unfreezing_are_no_longer_than_the_rate() {
    let model = || Sequential::new().add(Dense::new(5).named("base")).add(Dense::new(3));
    let (inputs, labels) = ((0..60).map(|i| (i * 7 % 13) as f32 / 13.0).collect(), vec![0, 1, 2]);
    let data = retape::data::Dataset::new([4], inputs, labels.repeat(5), 3).unwrap();
    let built = Trainer::new(model(), [4])
        .loss(Loss::SparseCategoricalCrossEntropy)
        .optimizer(Adam::new(0.01))
        .batch_size(15)
        .freeze(["base"])
        .build(gpu());
    let mut trainer = built.unwrap();
    trainer.fit(&data, Fit::epochs(200)).unwrap();
    trainer.unfreeze(["base"]).unwrap();
    let before = trainer.weights().unwrap();
    trainer.fit(&data, Fit::epochs(5)).unwrap();
    let after = trainer.weights().unwrap();
    for (a, b) in after.arrays.iter().flat_map(|w| &w.data).zip(before.arrays.iter().flat_map(|w| &w.data)) {
        assert!((a - b).abs() <= 5.0 * 0.011, "{b} became {a} in five steps of 0.01");
    }
}

#[test]
fn layers_are_trained_again() {
    let mut trainer = builder().freeze(["base"]).build(gpu()).unwrap();
    trainer.unfreeze(["base.conv2d_1"]).unwrap();
    assert_eq!(trainer.frozen().collect::<Vec<_>>(), ["base", "base.batch_norm", "base.conv2d"]);
    let before = trainer.weights().unwrap();
    trainer.fit(images(), Fit::epochs(1)).unwrap();
    let moved = moved(&before, &trainer.weights().unwrap());
    assert!(moved.contains(&"base.conv2d_1.weight".to_owned()), "{moved:?}");
    assert!(!moved.iter().any(|name| name.starts_with("base.conv2d.")), "{moved:?}");
    trainer.unfreeze(["base"]).unwrap();
    assert_eq!(trainer.frozen().count(), 0);
}

/// A callback that unfreezes does so from the next step on; evaluation and validation go on.
#[test]
fn layers_are_trained_again_in_the_middle() {
    let data = images();
    let mut trainer = builder().freeze(["base"]).build(gpu()).unwrap();
    let fit = Fit::epochs(4).validation(&data).on_epoch_end(|run| match run.epoch() {
        1 => run.trainer().unfreeze(["base"]),
        _ => Ok(()),
    });
    let (start, history) = (trainer.weights().unwrap(), trainer.fit(&data, fit).unwrap());
    assert_eq!(history.get("val_loss").len(), 4);
    let moved = moved(&start, &trainer.weights().unwrap());
    assert!(moved.iter().any(|name| name.starts_with("base.")), "{moved:?}");

    let mut frozen = builder().freeze(["base"]).build(gpu()).unwrap();
    let two = frozen.fit(&data, Fit::epochs(4).validation(&data)).unwrap();
    assert_eq!(two.get("val_loss")[..2], history.get("val_loss")[..2]);
    assert_ne!(two.get("val_loss")[2..], history.get("val_loss")[2..]);
}

/// At a learning rate of 0, freezing, training again and pruning nothing in the middle of an epoch change no
/// figure: sums of an epoch and the states that layers carry go on, for each size of a batch.
#[test]
fn figures_and_carried_states_go_on_in_the_middle_of_an_epoch() {
    let noise = |count, seed| common::data::noise(count, seed, -1.0, 1.0);
    let samples = || retape::data::Samples::new().input([3, 2], noise(42, 3)).target([1], noise(7, 4));
    for device in [gpu(), &Device::cpu(), &Device::reference()] {
        let losses = |change: &dyn Fn(&mut Trainer) -> Result<()>| {
            let model = Sequential::new().add(Lstm::new(4).stateful(true)).add(Dense::new(1));
            let trainer = Trainer::new(model, [3, 2]).loss(Loss::MeanSquaredError).optimizer(Sgd::new(0.0));
            let mut trainer = trainer.batch_size(4).freeze(["dense"]).seed(2).build(device).unwrap();
            let fit = Fit::epochs(5).shuffle(false).on_steps(1, |run| change(run.trainer()));
            trainer.fit(samples(), fit).unwrap().get("loss")
        };
        let expected = losses(&|_| Ok(()));
        assert!(expected.windows(2).all(|pair| pair[0] != pair[1]), "{expected:?}");
        let changed = losses(&|trainer| match trainer.steps() {
            3 => trainer.unfreeze(["dense"]),
            5 => trainer.prune(&Pruning::per_layer(0.0)).map(|_| ()),
            7 => trainer.freeze(["lstm"]),
            9 => trainer.unfreeze(["lstm"]),
            _ => Ok(()),
        });
        let close = |(a, b): (&f64, &f64)| (a - b).abs() <= 1e-6;
        assert!(changed.iter().zip(&expected).all(close), "{changed:?} where {expected:?} was expected");
    }
}

/// What is pruned stays zero, also where it was frozen for a while; what was frozen is pruned later.
#[test]
fn pruned_weights_stay_so() {
    for device in [gpu(), &Device::cpu(), &Device::reference()] {
        let mut trainer = builder().freeze(["dense_1"]).build(device).unwrap();
        trainer.prune(&Pruning::per_layer(0.5)).unwrap();
        let zeros = |trainer: &Trainer, name: &str| {
            let weights = trainer.weights().unwrap();
            weights.get(name).unwrap().data.iter().filter(|&&w| w == 0.0).count()
        };
        assert_eq!((zeros(&trainer, "dense.weight"), zeros(&trainer, "dense_1.weight")), (54, 0));
        trainer.freeze(["dense"]).unwrap();
        trainer.fit(images(), Fit::epochs(1)).unwrap();
        trainer.unfreeze(["dense", "dense_1"]).unwrap();
        let before = trainer.weights().unwrap();
        trainer.fit(images(), Fit::epochs(2)).unwrap();
        assert!(moved(&before, &trainer.weights().unwrap()).contains(&"dense.weight".to_owned()));
        assert_eq!(zeros(&trainer, "dense.weight"), 54);
        trainer.prune(&Pruning::per_layer(0.5)).unwrap();
        trainer.fit(images(), Fit::epochs(1)).unwrap();
        assert_eq!((zeros(&trainer, "dense.weight"), zeros(&trainer, "dense_1.weight")), (54, 9));
    }
}

/// Which elements of a weight are zero.
fn zeros(trainer: &Trainer, name: &str) -> Vec<bool> {
    trainer.weights().unwrap().get(name).unwrap().data.iter().map(|&w| w == 0.0).collect()
}

/// Weights that are zero by themselves are not pruned, frozen for a while or not.
#[test]
fn zeros_that_were_never_pruned_are_trained_again() {
    for device in [gpu(), &Device::cpu(), &Device::reference()] {
        let model = Sequential::new()
            .add(Dense::new(6).activation(Activation::Tanh))
            .add(Dense::new(3).weight_init(Init::Zeros));
        let mut trainer = Trainer::new(model, [4])
            .loss(Loss::SparseCategoricalCrossEntropy)
            .optimizer(Sgd::new(0.1).momentum(0.9))
            .build(device)
            .unwrap();
        trainer.prune(&Pruning::per_layer(0.5).layers(["dense"])).unwrap();
        trainer.freeze(["dense_1"]).unwrap();
        trainer.unfreeze(["dense_1"]).unwrap();
        assert_eq!(zeros(&trainer, "dense_1.weight"), [true; 18]);
        let data = common::data::noise(12 * 4, 3, -1.0, 1.0);
        let data = Dataset::new([4], data, (0..12).map(|i| i % 3).collect(), 3).unwrap();
        trainer.fit(&data, Fit::epochs(2)).unwrap();
        assert_eq!(zeros(&trainer, "dense_1.weight"), [false; 18]);
        assert_eq!(zeros(&trainer, "dense.weight").iter().filter(|&&zero| zero).count(), 12);
    }
}

/// What is pruned stays so while it is frozen, and a checkpoint written then says what is.
#[test]
fn masks_of_frozen_weights_are_kept() {
    let folder = Folder::new();
    let path = folder.0.join("frozen.safetensors");
    for device in [gpu(), &Device::cpu(), &Device::reference()] {
        let build = || builder().build(device).unwrap();
        let mut first = build();
        let mut whole = first.weights().unwrap();
        first.prune(&Pruning::per_layer(0.5)).unwrap();
        let pruned = zeros(&first, "dense.weight");
        first.freeze(["dense"]).unwrap();
        // Some that were never pruned are zero too.
        let dense = whole.arrays.iter_mut().find(|array| array.name == "dense.weight").unwrap();
        dense.data.iter_mut().step_by(5).for_each(|w| *w = 0.0);
        first.set_weights(&whole).unwrap();
        first.fit(images(), Fit::epochs(1)).unwrap();
        first.save_checkpoint(&path).unwrap();

        let mut resumed = build();
        let epoch = resumed.load_checkpoint(&path).unwrap();
        for trainer in [&mut first, &mut resumed] {
            trainer.unfreeze(["dense"]).unwrap();
            trainer.fit(images(), Fit::epochs(3).initial_epoch(epoch)).unwrap();
            let after = zeros(trainer, "dense.weight");
            assert!(pruned.iter().zip(&after).all(|(&pruned, &after)| after || !pruned));
            assert!((0..after.len()).step_by(5).any(|i| !after[i]), "what was never pruned learns");
        }
        assert_eq!(resumed.weights().unwrap(), first.weights().unwrap());
    }
}

#[test]
fn whatever_is_put_into_frozen_weights_is_pruned() {
    let mut trainer = builder().build(gpu()).unwrap();
    let whole = trainer.weights().unwrap();
    trainer.prune(&Pruning::per_layer(0.5)).unwrap();
    let pruned = zeros(&trainer, "dense.weight");
    trainer.freeze(["dense"]).unwrap();
    trainer.set_weights(&whole).unwrap();
    assert_eq!(zeros(&trainer, "dense.weight"), pruned);
    trainer.unfreeze(["dense"]).unwrap();
    trainer.fit(images(), Fit::epochs(1)).unwrap();
    assert!(pruned.iter().zip(zeros(&trainer, "dense.weight")).all(|(&before, after)| after || !before));
}

#[test]
fn names_that_there_are_not_and_nothing_left_to_train() {
    for build in [builder().freeze(["bas"]), builder().freeze(["dense", "conv2d"])] {
        match build.build(gpu()).map(|_| ()) {
            Err(Error::Unknown { what: "layer", known, .. }) => {
                let layers = [
                    "base",
                    "base.conv2d",
                    "base.batch_norm",
                    "base.conv2d_1",
                    "flatten",
                    "dense",
                    "dense_1",
                ];
                assert_eq!(known, layers);
            }
            other => panic!("{other:?}"),
        }
    }
    let all = ["base", "dense", "dense_1"];
    let refused = builder().freeze(all).build(gpu()).unwrap_err();
    assert!(matches!(refused.root(), Error::NothingToTrain), "{refused}");

    let mut trainer = builder().build(gpu()).unwrap();
    let before = trainer.weights().unwrap();
    assert!(matches!(trainer.freeze(all).unwrap_err().root(), Error::NothingToTrain));
    assert!(matches!(trainer.unfreeze(["nosuch"]), Err(Error::Unknown { .. })));
    assert_eq!((trainer.frozen().count(), trainer.weights().unwrap()), (0, before.clone()));
    trainer.fit(images(), Fit::epochs(1)).unwrap();
    assert!(moved(&before, &trainer.weights().unwrap()).iter().any(|name| name.starts_with("base.")));
}

/// What the model freezes is frozen like anything else: a trainer says so, and trains it again by name.
#[test]
fn layers_that_the_model_freezes_are_trained_again() {
    for device in [gpu(), &Device::cpu(), &Device::reference()] {
        let model = Sequential::new()
            .add(Flatten)
            .add(Dense::new(6).activation(Activation::Tanh).trainable(false))
            .add(BatchNorm::new().trainable(false))
            .add(Dense::new(3));
        let mut trainer = Trainer::new(model, [1, 7, 7])
            .loss(Loss::SparseCategoricalCrossEntropy)
            .optimizer(Adam::new(0.01))
            .batch_size(5)
            .build(device)
            .unwrap();
        assert_eq!(trainer.frozen().collect::<Vec<_>>(), ["batch_norm", "dense"]);
        let train = |trainer: &mut Trainer| {
            let before = trainer.weights().unwrap();
            trainer.fit(images(), Fit::epochs(1)).unwrap();
            moved(&before, &trainer.weights().unwrap())
        };
        assert_eq!(train(&mut trainer), ["dense_1.weight", "dense_1.bias"]);
        trainer.unfreeze(["dense"]).unwrap();
        assert_eq!(trainer.frozen().collect::<Vec<_>>(), ["batch_norm"]);
        let names = ["dense.weight", "dense.bias", "dense_1.weight", "dense_1.bias"];
        assert_eq!(train(&mut trainer), names);
        trainer.unfreeze(["batch_norm"]).unwrap();
        assert_eq!(train(&mut trainer).len(), names.len() + 4);
        trainer.freeze(["dense", "batch_norm"]).unwrap();
        assert_eq!(train(&mut trainer), ["dense_1.weight", "dense_1.bias"]);
    }
}

/// A frozen weight is read, written, saved and loaded by its name like any other, and stays as it is.
#[test]
fn frozen_weights_are_weights() {
    for device in [gpu(), &Device::cpu(), &Device::reference()] {
        let mut trainer = builder().build(device).unwrap();
        trainer.freeze(["dense"]).unwrap();
        let weights = trainer.weights().unwrap();
        let weight = &weights.get("dense.weight").unwrap().data;
        assert_eq!(&trainer.session().parameter("dense.weight").unwrap(), weight);
        let ones = vec![1.0; weight.len()];
        trainer.session_mut().set_parameter("dense.weight", &ones).unwrap();
        trainer.fit(images(), Fit::epochs(1)).unwrap();
        assert_eq!(trainer.session().parameter("dense.weight").unwrap(), ones);

        let folder = Folder::new();
        let path = format!("{}/frozen.safetensors", folder.path());
        trainer.save_weights(&path).unwrap();
        let mut other = builder().freeze(["base", "dense_1"]).seed(4).build(device).unwrap();
        other.load_weights(&path).unwrap();
        assert_eq!(other.weights().unwrap(), trainer.weights().unwrap());
        assert_eq!(other.session().parameter("dense.weight").unwrap(), ones);
    }
    let summary =
        Sequential::new().add(Dense::new(2).trainable(false)).add(Dense::new(1)).summary([3]).unwrap();
    assert_eq!((summary.trainable, summary.non_trainable), (3, 8));
    assert_eq!((summary.layers[0].trainable, summary.layers[0].non_trainable), (0, 8));
}

/// Weights of another framework go into a frozen layer too.
#[test]
fn weights_are_loaded_into_a_frozen_layer() {
    use retape::nn::recurrent_layouts::LayerWeights;
    let model = Sequential::new().add(SimpleRnn::new(2).trainable(false)).add(Dense::new(2));
    let trainer = Trainer::new(model, [4, 3]).loss(Loss::SparseCategoricalCrossEntropy);
    let mut trainer = trainer.optimizer(Sgd::new(0.1)).build(&Device::reference()).unwrap();
    let ones = |n: usize| vec![1.0; n];
    let weights =
        LayerWeights { weight: ones(6), recurrent_weight: ones(4), bias: Some(ones(2)), peepholes: None };
    weights.set(trainer.session_mut(), "simple_rnn").unwrap();
    assert_eq!(trainer.session().parameter("simple_rnn.recurrent_weight").unwrap(), ones(4));
}
