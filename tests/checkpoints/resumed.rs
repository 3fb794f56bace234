//! What a training that goes on shows, against one that was never interrupted: figures of metrics with sums of
//! several kinds, gradients summed up over batches, padded sequences, weights.

use std::path::Path;

use crate::checkpoints::state;
use crate::common::data::noise;
use crate::common::folder::Folder;
use crate::common::gpu;
use retape::Result;
use retape::data::Samples;
use retape::prelude::*;
use retape::random::Stream;
use retape::train::callbacks::Run;
use retape::train::{Average, History};

const EPOCHS: usize = 3;

/// 21 sequences of up to 5 words, with a label and a weight for each step.
fn sequences() -> Samples<'static> {
    let (mut words, mut labels, mut weights) = (Vec::new(), Vec::new(), Vec::new());
    let stream = Stream { seed: 8, step: 0, stream: 1 };
    for i in 0..21u32 {
        let [length, word, label, weight] = stream.words(i);
        for step in 0..5 {
            words.push(if step <= length % 5 { 1 + (word >> (3 * step)) % 6 } else { 0 });
            labels.push((label >> (2 * step)) % 3);
            weights.push(0.25 + ((weight >> (2 * step)) % 4) as f32);
        }
    }
    Samples::new().input([5], words).target([5], labels).weights(weights)
}

fn trainer(device: &Device, accumulate: usize) -> Trainer {
    let model = Sequential::new()
        .add(Embedding::new(7, 4).padding_index(0))
        .add(Lstm::new(3).return_sequences(true))
        .add(Dropout::new(0.2))
        .add(Dense::new(3));
    Trainer::new(model, [5])
        .loss(Loss::SparseCategoricalCrossEntropy)
        .optimizer(Adam::new(0.02))
        .metrics([Metric::Accuracy, Metric::ConfusionMatrix, Metric::TopKAccuracy { k: 2 }])
        .batch_size(4)
        .accumulate(accumulate)
        .seed(5)
        .build(device)
        .unwrap()
}

/// Points with a weight each, and figures that are made of many sums.
fn judged(device: &Device, accumulate: usize) -> (Trainer, Samples<'static>) {
    let x = noise(21 * 3, 4, -1.0, 1.0);
    let y: Vec<f32> = x.chunks_exact(3).map(|p| f32::from(u8::from(p[0] > 0.3 * p[1]))).collect();
    let samples = Samples::new().input([3], x).target([1], y).weights(noise(21, 5, 0.1, 2.0));
    let model = Sequential::new().add(Dense::new(4).activation(Activation::Tanh)).add(Dense::new(1));
    let built = Trainer::new(model, [3]).loss(Loss::BinaryCrossEntropy).optimizer(RmsProp::new(0.01));
    let built =
        built.metrics([Metric::Accuracy, Metric::roc_auc(Average::Macro), Metric::F1(Average::Binary)]);
    (built.batch_size(4).accumulate(accumulate).seed(9).build(device).unwrap(), samples)
}

/// A checkpoint of each step and each end of an epoch: with callbacks' own ones, by request.
fn fit<'a>(folder: &'a Path, samples: &Samples<'a>, writes: bool) -> Fit<'a> {
    let step = move |run: &mut Run<'_>| -> Result<()> {
        if writes {
            let path = folder.join(format!("step-{}.safetensors", run.trainer().steps()));
            run.write_checkpoint(&path);
        }
        Ok(())
    };
    let epoch = move |run: &mut Run<'_>| -> Result<()> {
        if writes {
            run.write_checkpoint(folder.join(format!("epoch-{}.safetensors", run.epoch())));
        }
        Ok(())
    };
    Fit::epochs(EPOCHS).validation(samples.clone()).on_steps(1, step).on_epoch_end(epoch)
}

fn bits(history: &History) -> Vec<(&str, u64)> {
    history.epochs.iter().flat_map(|logs| logs.iter().map(|(name, v)| (name, v.to_bits()))).collect()
}

fn check(build: impl Fn() -> Trainer, samples: &Samples<'_>, case: &str, steps: &[u32]) {
    let (folder, files) = (Folder::new(), Folder::new());
    let mut whole = build();
    let history = whole.fit(samples.clone(), fit(&files.0, samples, true)).unwrap();
    assert!(history.epochs[0].iter().count() > 6, "{case}");
    let end = state(&whole, &folder);
    let steps = steps.iter().map(|step| format!("step-{step}"));
    let epochs: Vec<String> = (0..EPOCHS).map(|epoch| format!("epoch-{epoch}")).collect();
    for name in steps.chain(epochs) {
        let path = files.0.join(format!("{name}.safetensors"));
        let mut resumed = build();
        let again = resumed.fit(samples.clone(), fit(&files.0, samples, false).resume(&path)).unwrap();
        assert_eq!(bits(&again), bits(&history), "{case}, {name}: the figures differ");
        assert!(state(&resumed, &folder) == end, "{case}, {name}: parameters or states differ");
        // The trainer's own part is enough between epochs: what is left has the same figures.
        if let Some(epoch) = name.strip_prefix("epoch-") {
            let mut loaded = build();
            let first = loaded.load_checkpoint(&path).unwrap();
            assert_eq!(first, epoch.parse::<usize>().unwrap() + 1);
            let rest = fit(&files.0, samples, false).initial_epoch(first);
            let rest = loaded.fit(samples.clone(), rest).unwrap();
            let figures = history.epochs[0].iter().count();
            assert_eq!(bits(&rest), bits(&history)[first * figures..], "{case}, {name}: loaded");
            assert_eq!(loaded.weights().unwrap(), whole.weights().unwrap(), "{case}, {name}: loaded");
        }
    }
}

/// An epoch is six batches, the last of one sample: windows of four go over the ends of epochs.
#[test]
fn figures_go_on_bit_by_bit() {
    for device in [&Device::reference(), &Device::cpu(), gpu()] {
        for accumulate in [1, 3, 4] {
            let case = format!("{device:?}, {accumulate} batches to an update");
            let steps = [1, 2, 5, 6, 7, 13, 17];
            let (_, samples) = judged(device, accumulate);
            check(|| judged(device, accumulate).0, &samples, &case, &steps);
        }
        let case = format!("{device:?}, sequences");
        check(|| trainer(device, 4), &sequences(), &case, &[1, 5, 6, 8]);
    }
}
