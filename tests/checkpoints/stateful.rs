//! What stateful layers carry from batch to batch, in checkpoints.

use crate::checkpoints::{Kill, state};
use crate::common;
use crate::common::folder::Folder;
use crate::common::gpu;
use retape::data::{Column, ColumnData, Samples};
use retape::prelude::*;
use retape::train::TrainerBuilder;

/// Seven sequences: in batches of four, a whole one and one of three.
fn sequences() -> Samples<'static> {
    let column = |shape: Shape, seed| {
        let data = common::data::noise(7 * shape.numel(), seed, -1.0, 1.0);
        Column { shape, data: ColumnData::F32(data.into()) }
    };
    let targets = Some(column(Shape::from([1]), 4));
    Samples { inputs: vec![column(Shape::from([3, 2]), 3)], targets, ..Samples::new() }
}

fn stateful(accumulate: usize) -> TrainerBuilder {
    let model = Sequential::new().add(Lstm::new(4).stateful(true)).add(Dense::new(1));
    let trainer = Trainer::new(model, [3, 2]).loss(Loss::MeanSquaredError).optimizer(Adam::new(0.02));
    trainer.batch_size(4).accumulate(accumulate).seed(2)
}

/// A state for each size of a batch, which no weights file has.
#[test]
fn the_states_of_stateful_layers_go_on() {
    let folder = Folder::new();
    for (device, accumulate) in
        [gpu(), &Device::cpu(), &Device::reference()].into_iter().flat_map(|d| [1, 2, 3].map(|a| (d, a)))
    {
        let build = || stateful(accumulate).build(device).unwrap();
        let mut whole = build();
        let history = whole.fit(sequences(), Fit::epochs(3).callback(Kill::never())).unwrap();
        for at in 1..=5 {
            let path = folder.0.join("stateful.safetensors");
            let cut = Fit::epochs(3).callback(Kill::new(at, &path, false));
            build().fit(sequences(), cut).unwrap();
            let mut resumed = build();
            let fit = Fit::epochs(3).callback(Kill::never()).resume(&path);
            let case = format!("{device:?}, {accumulate} batches to an update, step {at}");
            assert_eq!(resumed.fit(sequences(), fit).unwrap(), history, "{case}");
            assert!(state(&resumed, &folder) == state(&whole, &folder), "{case}");
        }
        let names = whole.session().weight_names();
        assert!(names.contains(&"lstm.recurrent_weight".to_owned()), "{names:?}");
        assert!(!names.iter().any(|name| name.starts_with("lstm.h_")), "{names:?}");
    }
}

/// At a learning rate of 0, losses change with the states alone: there is one for each size of a batch,
/// whether its step makes an update and whether its samples have weights.
#[test]
fn every_step_for_a_size_has_the_same_states() {
    let folder = Folder::new();
    for device in [gpu(), &Device::cpu(), &Device::reference()] {
        let still = |accumulate: usize| stateful(accumulate).optimizer(Sgd::new(0.0)).build(device).unwrap();
        let fit = |epochs: usize| Fit::epochs(epochs).shuffle(false);
        let expected = still(1).fit(sequences(), fit(6)).unwrap().get("loss");
        assert!(expected.windows(2).all(|pair| pair[0] != pair[1]), "{expected:?}");
        let check = |losses: &[f64], case: &str| {
            let close = |(a, b): (&f64, &f64)| (a - b).abs() <= 1e-6;
            assert!(losses.iter().zip(&expected[6 - losses.len()..]).all(close), "{case}: {losses:?}");
        };
        for accumulate in [2, 3] {
            check(&still(accumulate).fit(sequences(), fit(6)).unwrap().get("loss"), "accumulate");
        }

        let (weights, path) = (vec![1.0; 7], folder.0.join("weighted.safetensors"));
        let mut trainer = still(3);
        trainer.fit(sequences(), fit(2)).unwrap();
        let weighted = || sequences().weights(&weights);
        trainer.fit(weighted(), fit(4).initial_epoch(2)).unwrap();
        trainer.save_checkpoint(&path).unwrap();
        check(&trainer.fit(weighted(), fit(6).initial_epoch(4)).unwrap().get("loss"), "weighted");

        // The states of a checkpoint take the place of those that there are.
        for mut other in [still(3), trainer] {
            assert_eq!(other.load_checkpoint(&path).unwrap(), 4);
            check(&other.fit(sequences(), fit(6).initial_epoch(4)).unwrap().get("loss"), "loaded");
        }
    }
}

/// What a checkpoint has no state for starts anew.
#[test]
fn states_that_a_checkpoint_does_not_have_are_forgotten() {
    let folder = Folder::new();
    let path = folder.0.join("whole-batches.safetensors");
    let still = || stateful(3).optimizer(Sgd::new(0.0)).build(&Device::reference()).unwrap();
    let fit = || Fit::epochs(4).shuffle(false);
    still().save_checkpoint(&path).unwrap();
    let mut trainer = still();
    let history = trainer.fit(sequences(), fit()).unwrap();
    trainer.load_checkpoint(&path).unwrap();
    assert_eq!(trainer.fit(sequences(), fit()).unwrap(), history);
}
