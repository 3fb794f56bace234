//! Sequences with padding in a trainer: nothing depends on what stands there.

use crate::common::gpu;
use retape::data::Samples;
use retape::prelude::*;
use retape::train::{LossFunction, MetricFunction, MetricInputs, Scores};
use retape::{Error, Result};

const TIME: usize = 6;

/// Words of four texts, with padding behind, in front, on both sides and nowhere.
const WORDS: [[u32; TIME]; 4] =
    [[1, 2, 0, 0, 0, 0], [0, 0, 0, 3, 4, 5], [0, 5, 1, 0, 0, 0], [2, 3, 4, 1, 1, 5]];

fn words() -> Vec<u32> {
    WORDS.concat()
}

/// A label for each word, `filler` at padding.
fn labels(filler: u32) -> Vec<u32> {
    words().iter().map(|&word| if word == 0 { filler } else { word % 2 }).collect()
}

fn tagger(units: usize) -> Sequential {
    Sequential::new()
        .add(Embedding::new(6, 4).padding_index(0).weight_init(Init::Uniform { low: -1.0, high: 1.0 }))
        .add(Lstm::new(5).return_sequences(true))
        .add(Dropout::new(0.1))
        .add(Dense::new(units))
}

fn trainer(model: Sequential, loss: impl LossFunction + 'static, batch: usize) -> Trainer {
    trainer_on(gpu(), model, loss, batch)
}

fn trainer_on(
    device: &Device,
    model: Sequential,
    loss: impl LossFunction + 'static,
    batch: usize,
) -> Trainer {
    Trainer::new(model, [TIME])
        .loss(loss)
        .optimizer(Sgd::new(0.1))
        .batch_size(batch)
        .seed(3)
        .build(device)
        .unwrap()
}

#[track_caller]
fn close(found: f64, expected: f64) {
    assert!((found - expected).abs() <= 2e-6 * (1.0 + expected.abs()), "{found} is not {expected}");
}

/// The cross-entropy of each step with these labels, and whether it is right; from the logits.
fn judged(logits: &[f32], labels: &[u32]) -> Vec<(f64, bool)> {
    let step = |(row, &label): (&[f32], &u32)| {
        let sum: f64 = row.iter().map(|&v| f64::from(v).exp()).sum();
        let best = (1..row.len()).fold(0, |best, i| if row[i] > row[best] { i } else { best });
        (sum.ln() - f64::from(row[label as usize]), best == label as usize)
    };
    logits.chunks_exact(2).zip(labels).map(step).collect()
}

/// The sum over real steps, and how many they are.
fn mean_of(steps: impl Iterator<Item = f64>) -> f64 {
    let (mut sum, mut count) = (0.0, 0.0);
    for ((value, &word), ()) in steps.zip(&words()).zip(std::iter::repeat(())) {
        if word != 0 {
            (sum, count) = (sum + value, count + 1.0);
        }
    }
    sum / count
}

/// `Embedding(padding_index 0) -> Lstm(return_sequences) -> Dense(2)`: loss and accuracy are means over the
/// words.
#[test]
fn labels_of_padding_count_in_nothing() {
    for device in [Device::reference(), Device::cpu(), gpu().clone()] {
        // Batches of three leave one of a single text, and in evaluation samples that only fill up.
        for batch in [4, 3] {
            let run = |filler: u32| {
                let built = Trainer::new(tagger(2), [TIME])
                    .loss(Loss::SparseCategoricalCrossEntropy)
                    .optimizer(Sgd::new(0.1))
                    .metrics([
                        Metric::Accuracy,
                        Metric::F1(Average::Macro),
                        Metric::TopKAccuracy { k: 1 },
                        Metric::roc_auc(Average::Macro),
                    ])
                    .batch_size(batch)
                    .seed(3);
                let mut trainer = built.build(&device).unwrap();
                let (words, labels) = (words(), labels(filler));
                let data = Samples::new().input([TIME], &words).target([TIME], &labels);
                let before = trainer.evaluate(&data).unwrap();
                let logits = trainer.predict(&data).unwrap().data;
                let steps = judged(&logits, &labels);
                close(before.loss, mean_of(steps.iter().map(|step| step.0)));
                let accuracy = mean_of(steps.iter().map(|step| f64::from(u8::from(step.1))));
                close(before.get("accuracy").unwrap(), accuracy);
                close(before.get("top_1_accuracy").unwrap(), accuracy);
                let history = trainer.fit(&data, Fit::epochs(3).validation(&data)).unwrap();
                assert!(history.last("loss") < Some(before.loss));
                (before, history, trainer.weights().unwrap(), trainer.evaluate(&data).unwrap())
            };
            assert_eq!(run(0), run(1), "batches of {batch}");
        }
    }
}

/// A batch's gradient is that of the mean over its real steps: that of the same steps without padding.
#[test]
fn gradients_are_those_of_the_real_steps() {
    let update = |rows: &[[u32; TIME]], time: usize| {
        let words: Vec<u32> = rows.iter().flat_map(|row| row[..time].to_vec()).collect();
        let labels: Vec<u32> = words.iter().map(|word| word % 2).collect();
        let model = Sequential::new()
            .add(Embedding::new(6, 4).padding_index(0))
            .add(Gru::new(5).return_sequences(true))
            .add(Dense::new(2));
        let built = Trainer::new(model, [time]).loss(Loss::SparseCategoricalCrossEntropy);
        let mut trainer = built.optimizer(Sgd::new(0.5)).batch_size(2).seed(3).build(gpu()).unwrap();
        let data = Samples::new().input([time], &words).target([time], &labels);
        let logs = trainer.train_on_batch(&data).unwrap();
        (logs.get("loss").unwrap(), trainer.weights().unwrap())
    };
    let padded = update(&[[1, 2, 3, 0, 0, 0], [4, 5, 1, 0, 0, 0]], TIME);
    let cut = update(&[[1, 2, 3, 0, 0, 0], [4, 5, 1, 0, 0, 0]], 3);
    close(padded.0, cut.0);
    for (a, b) in padded.1.arrays.iter().zip(&cut.1.arrays) {
        for (a, b) in a.data.iter().zip(&b.data) {
            assert!((a - b).abs() <= 1e-6, "{a} padded, {b} cut");
        }
    }
}

/// Every kind of loss, each element of a step by itself or not.
#[test]
fn every_loss_leaves_padding_out() {
    let (words, flags) = (words(), labels(0));
    let rows = |filler: f32, units: usize| -> Vec<f32> {
        let step = |(&word, &label): (&u32, &u32)| {
            let filled = (0..units).map(|_| filler).collect();
            if word == 0 {
                filled
            } else {
                (0..units).map(|i| f32::from(u8::from(i == label as usize))).collect()
            }
        };
        words.iter().zip(&flags).flat_map(|pair| -> Vec<f32> { step(pair) }).collect()
    };
    for (loss, units) in [
        (Loss::BinaryCrossEntropy, 1),
        (Loss::BinaryCrossEntropy, 3),
        (Loss::CategoricalCrossEntropy, 2),
        (Loss::MeanSquaredError, 2),
        (Loss::MeanAbsoluteError, 1),
        (Loss::Huber { delta: 1.0 }, 2),
        (Loss::LogCosh, 1),
        (Loss::Hinge, 1),
        (Loss::CategoricalHinge, 2),
        (Loss::CosineSimilarity, 3),
    ] {
        let run = |filler: f32| {
            let metrics: Vec<Metric> = match loss {
                Loss::BinaryCrossEntropy => vec![Metric::BinaryAccuracy { threshold: 0.5 }],
                Loss::MeanSquaredError => vec![Metric::MeanSquaredError, Metric::RSquared],
                _ => Vec::new(),
            };
            let built = Trainer::new(tagger(units), [TIME]).loss(loss).optimizer(Sgd::new(0.1));
            let mut trainer = built.metrics(metrics).batch_size(4).seed(3).build(gpu()).unwrap();
            let targets = rows(filler, units);
            let data = Samples::new().input([TIME], &words).target([TIME, units], &targets);
            let before = trainer.evaluate(&data).unwrap();
            if loss == Loss::MeanSquaredError {
                let outputs = trainer.predict(&data).unwrap().data;
                let errors = outputs.iter().zip(&targets).map(|(y, t)| f64::from(y - t).powi(2));
                let errors: Vec<f64> = errors.collect();
                let steps = errors.chunks_exact(units).map(|step| step.iter().sum::<f64>() / units as f64);
                close(before.loss, mean_of(steps));
                close(before.get("mean_squared_error").unwrap(), before.loss);
            }
            let history = trainer.fit(&data, Fit::epochs(2)).unwrap();
            (before, history, trainer.weights().unwrap())
        };
        assert_eq!(run(0.0), run(1.0), "{loss:?}");
    }
}

/// Weights of steps, of samples, and none, with padding and without it.
#[test]
fn weights_may_be_of_steps() {
    let (words, labels) = (words(), labels(0));
    let each: Vec<f32> = (0..4 * TIME).map(|i| (i % 5) as f32 / 2.0).collect();
    let mut masked = trainer(tagger(2), Loss::SparseCategoricalCrossEntropy, 3);
    let data = || Samples::new().input([TIME], &words).target([TIME], &labels);
    let steps = judged(&masked.predict(data()).unwrap().data, &labels);
    let weighted = masked.evaluate(data().weights(&each)).unwrap().loss;
    close(weighted, mean_of(steps.iter().zip(&each).map(|(step, &w)| step.0 * f64::from(w))));
    let samples = [1.0f32, 0.0, 2.5, 0.5];
    let by_sample: Vec<f32> = samples.iter().flat_map(|&w| [w; TIME]).collect();
    let of_samples = masked.evaluate(data().weights(&samples)).unwrap();
    assert_eq!(of_samples, masked.evaluate(data().weights(&by_sample)).unwrap());
    let plain = masked.evaluate(data()).unwrap();
    assert_eq!(plain, masked.evaluate(data().weights(vec![1.0f32; 4 * TIME])).unwrap());

    // Training, shuffled, in batches of three and one.
    let fit = |weights: Option<&[f32]>, model: fn() -> Sequential, device: &Device| {
        let mut trainer = trainer_on(device, model(), Loss::SparseCategoricalCrossEntropy, 3);
        let data = weights.map_or(data(), |weights| data().weights(weights));
        let history = trainer.fit(data, Fit::epochs(2)).unwrap();
        (history, trainer.weights().unwrap())
    };
    let unmasked: fn() -> Sequential = || {
        Sequential::new().add(Embedding::new(6, 4)).add(Gru::new(3).return_sequences(true)).add(Dense::new(2))
    };
    let models: [fn() -> Sequential; 2] = [|| tagger(2), unmasked];
    for model in models {
        assert_eq!(fit(Some(&samples), model, gpu()).0.epochs.len(), 2);
        let (of_samples, of_steps) = (fit(Some(&samples), model, gpu()), fit(Some(&by_sample), model, gpu()));
        close(of_samples.0.last("loss").unwrap(), of_steps.0.last("loss").unwrap());
        assert_ne!(fit(Some(&each), model, gpu()).1, of_steps.1);
        let cpu = fit(Some(&each), model, &Device::reference());
        close(fit(Some(&each), model, gpu()).0.last("loss").unwrap(), cpu.0.last("loss").unwrap());
    }
    // Without padding, the mean is over all steps.
    let mut open = trainer(unmasked(), Loss::SparseCategoricalCrossEntropy, 3);
    let steps = judged(&open.predict(data()).unwrap().data, &labels);
    let sum: f64 = steps.iter().zip(&each).map(|(step, &w)| step.0 * f64::from(w)).sum();
    close(open.evaluate(data().weights(&each)).unwrap().loss, sum / (4 * TIME) as f64);
}

#[test]
fn weights_of_steps_that_are_not_there_are_refused() {
    let (words, labels) = (words(), labels(0));
    let data = || Samples::new().input([TIME], &words).target([TIME], &labels);
    let mut tagger = trainer(tagger(2), Loss::SparseCategoricalCrossEntropy, 4);
    let short = tagger.fit(data().weights(vec![1.0f32; 8]), Fit::epochs(1)).unwrap_err();
    assert!(matches!(short.root(), Error::ShapeMismatch { .. }), "{short}");
    assert!(short.to_string().contains("[4, 2]") && short.to_string().contains("[4, 6, 2]"), "{short}");
    let part = tagger.evaluate(data().weights(vec![1.0f32; 7])).unwrap_err();
    assert!(matches!(part.root(), Error::SampleCount { found: 7, expected: 4, .. }), "{part}");
    let negative = tagger.evaluate(data().weights(vec![-1.0f32; 24])).unwrap_err();
    assert!(matches!(negative.root(), Error::SampleWeight { index: 0, .. }), "{negative}");
    let model = Sequential::new().add(Embedding::new(6, 4)).add(Gru::new(3)).add(Dense::new(2));
    let mut whole = trainer(model, Loss::SparseCategoricalCrossEntropy, 4);
    let one = Samples::new().input([TIME], &words).labels(&[0, 1, 0, 1]);
    let refused = whole.evaluate(one.weights(vec![1.0f32; 8])).unwrap_err();
    assert!(matches!(refused.root(), Error::ShapeMismatch { .. }), "{refused}");
}

/// A model of texts: an embedding, its mean over the words and a dense layer.
#[test]
fn an_embedding_its_mean_and_a_dense_layer_learn() {
    // The number of words 1 decides; padding in front of half of them, behind the others.
    let mut words = Vec::new();
    let mut targets = Vec::new();
    for i in 0..64usize {
        let length = 2 + i % 5;
        let own = (0..length).map(|t| if i % 2 == 0 { 1 + (t % 2) as u32 * (t / 3 % 2) as u32 } else { 3 });
        let (own, padding): (Vec<u32>, _) = (own.collect(), vec![0u32; TIME - length]);
        let row = if i % 4 < 2 { [own, padding].concat() } else { [padding, own].concat() };
        words.extend(row);
        targets.push(if i % 2 == 0 { 1.0f32 } else { 0.0 });
    }
    let model =
        Sequential::new().add(Embedding::new(4, 8).padding_index(0)).add(GlobalAvgPool1d).add(Dense::new(1));
    let built = Trainer::new(model, [TIME]).loss(Loss::BinaryCrossEntropy).optimizer(Adam::new(0.05));
    let mut trainer = built.metrics([Metric::Accuracy]).batch_size(16).seed(1).build(gpu()).unwrap();
    let data = Samples::new().input([TIME], &words).target([1], &targets);
    trainer.fit(&data, Fit::epochs(20)).unwrap();
    assert_eq!(trainer.evaluate(&data).unwrap().get("accuracy"), Some(1.0));
    // The mean does not see how much padding there is.
    let rows = [[3u32, 0, 0, 0, 0, 0], [0, 0, 3, 3, 0, 0], [3; TIME]].concat();
    let same = trainer.predict(Samples::new().input([TIME], &rows)).unwrap().data;
    close(f64::from(same[0]), f64::from(same[1]));
    close(f64::from(same[0]), f64::from(same[2]));
}

/// Sequences of nothing but padding have a loss of 0 and move nothing.
#[test]
fn nothing_but_padding_moves_nothing() {
    let mut tagger = trainer(tagger(2), Loss::SparseCategoricalCrossEntropy, 2);
    let before = tagger.weights().unwrap();
    let data = Samples::new().input([TIME], vec![0u32; 2 * TIME]).target([TIME], vec![1u32; 2 * TIME]);
    let history = tagger.fit(&data, Fit::epochs(2)).unwrap();
    assert_eq!(history.last("loss"), Some(0.0));
    assert_eq!(tagger.weights().unwrap(), before);
}

/// Lengths and masks may be inputs of the model; penalties of activity keep to the words.
#[test]
fn inputs_may_say_which_steps_count() {
    let mask = vec![1.0f32, 1.0, 0.0, 0.0, 1.0, 1.0];
    let run = |garbage: f32| {
        let model = Sequential::new()
            .add(SequenceMask)
            .add(ActivityPenalty::new(Penalty::l2(0.01)))
            .add(Dense::new(1));
        let built = Trainer::with_inputs(model, [Shape::from([3, 2]), Shape::from([3])])
            .loss(Loss::MeanSquaredError)
            .optimizer(Sgd::new(0.1));
        let mut trainer = built.batch_size(2).seed(2).build(gpu()).unwrap();
        let x: Vec<f32> =
            (0..12).map(|i| if mask[i / 2] == 0.0 { garbage } else { (i as f32).sin() }).collect();
        let t: Vec<f32> = (0..6).map(|i| if mask[i] == 0.0 { 50.0 } else { (i as f32).cos() }).collect();
        let data = Samples::new().input([3, 2], x).input([3], &mask).target([3, 1], t);
        let history = trainer.fit(&data, Fit::epochs(3)).unwrap();
        let evaluation = trainer.evaluate(&data).unwrap();
        assert!(evaluation.loss < 1.0);
        (history, evaluation, trainer.predict(&data).unwrap())
    };
    assert_eq!(run(0.0), run(f32::NAN));

    let model = Sequential::new().add(SequenceLengths).add(Dense::new(1));
    let built = Trainer::with_inputs(model, [Shape::from([3, 2]), Shape::from([])]);
    let mut trainer = built.loss(Loss::MeanSquaredError).optimizer(Sgd::new(0.1)).build(gpu()).unwrap();
    let judge = |trainer: &mut Trainer, filler: f32| {
        let t = [0.5, filler, filler, 0.25, -0.5, filler];
        let data = Samples::new().input([3, 2], vec![0.5f32; 12]).input([], vec![1u32, 2]);
        trainer.evaluate(data.target([3, 1], &t)).unwrap()
    };
    assert_eq!(judge(&mut trainer, 0.0), judge(&mut trainer, 9.0));
    // A prediction has no use for the lengths.
    let data = Samples::new().input([3, 2], vec![0.5f32; 12]).input([], vec![1u32, 2]);
    assert_eq!(trainer.predict(&data).unwrap().len(), 2);
}

/// A loss and a metric of the program's own see steps as samples.
#[derive(Debug)]
struct Absolute;

impl LossFunction for Absolute {
    fn targets(&self, output: Shape) -> Result<retape::TensorType> {
        Ok(retape::TensorType::f32(output))
    }

    fn record(&self, g: &Graph, output: Value, targets: Value) -> Result<Value> {
        let axes: Vec<isize> = (1..g.shape(output)?.rank() as isize).collect();
        g.mean(g.abs(g.sub(output, targets)?)?, &axes, false)
    }
}

impl MetricFunction for Absolute {
    fn name(&self) -> String {
        "largest_sum".to_owned()
    }

    fn record(&self, g: &Graph, inputs: MetricInputs) -> Result<Value> {
        assert_eq!(inputs.scores, Scores::Values);
        let mask = inputs.mask.expect("a mask of the steps");
        let errors = LossFunction::record(self, g, inputs.output, inputs.targets)?;
        g.sum(g.mul(errors, mask)?, &[], false)
    }

    fn results(&self, sums: &[f64]) -> Vec<f64> {
        sums.to_vec()
    }
}

#[test]
fn losses_and_metrics_of_the_program_leave_padding_out() {
    let words = words();
    let built = Trainer::new(tagger(1), [TIME]).loss(Absolute).optimizer(Sgd::new(0.1));
    let mut trainer = built.metrics([Metric::custom(Absolute)]).batch_size(3).seed(3).build(gpu()).unwrap();
    let run = |trainer: &mut Trainer, filler: f32| {
        let targets: Vec<f32> = words.iter().map(|&word| if word == 0 { filler } else { 1.0 }).collect();
        let data = Samples::new().input([TIME], &words).target([TIME, 1], &targets);
        let found = trainer.evaluate(&data).unwrap();
        let outputs = trainer.predict(&data).unwrap().data;
        close(found.loss, mean_of(outputs.iter().zip(&targets).map(|(y, t)| f64::from((y - t).abs()))));
        close(found.get("largest_sum").unwrap(), found.loss * 13.0);
        found
    };
    assert_eq!(run(&mut trainer, 0.0), run(&mut trainer, 40.0));
}
