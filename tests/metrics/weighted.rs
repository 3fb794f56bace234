//! Metrics to which samples count by their weights: as if each were there as often as its weight says.

use crate::common;
use retape::Result;
use retape::data::Samples;
use retape::prelude::*;
use retape::train::{Average, LossFunction};

fn devices() -> [Device; 3] {
    [Device::reference(), Device::cpu(), common::gpu().clone()]
}

/// How often each sample is there.
const TIMES: [usize; 11] = [1, 3, 0, 2, 1, 5, 1, 0, 4, 2, 1];

/// Rows of a column, each as often as it is there.
fn repeated<T: Copy>(column: &[T]) -> Vec<T> {
    let size = column.len() / TIMES.len();
    let rows = column.chunks(size).zip(TIMES);
    rows.flat_map(|(row, times)| std::iter::repeat_n(row, times).flatten().copied()).collect()
}

/// The figures of a model that passes its inputs on, in evaluation and in training at a rate of 0.
fn figures(
    device: &Device,
    loss: impl LossFunction + 'static,
    metrics: Vec<Metric>,
    outputs: usize,
    samples: &Samples<'_>,
) -> Result<Vec<(String, f64)>> {
    let identity: Vec<f32> =
        (0..outputs * outputs).map(|i| f32::from(u8::from(i % (outputs + 1) == 0))).collect();
    let model = Sequential::new().add(Dense::new(outputs).weight_init(Init::Values(identity)));
    let trainer = Trainer::new(model, [outputs]).loss(loss).optimizer(Sgd::new(0.0));
    let trainer = match samples.weights.is_some() {
        true => trainer.weighted_metrics(metrics),
        false => trainer.metrics(metrics),
    };
    let mut trainer = trainer.batch_size(4).build(device)?;
    let history = trainer.fit(samples.slice(0..samples.len()), Fit::epochs(1).shuffle(false))?;
    let evaluation = trainer.evaluate(samples.slice(0..samples.len()))?;
    let of = |logs: &retape::train::Logs| -> Vec<(String, f64)> {
        let figures = logs.iter().filter(|(name, _)| !["loss", "learning_rate"].contains(name));
        figures.map(|(name, value)| (name.to_owned(), value)).collect()
    };
    let (trained, evaluated) = (of(&history.epochs[0]), of(evaluation.logs()));
    for ((name, a), (_, b)) in trained.iter().zip(&evaluated) {
        assert!((a - b).abs() <= 1e-6 * b.abs().max(1.0) || (a.is_nan() && b.is_nan()), "{name}: {a}, {b}");
    }
    Ok(evaluated)
}

fn check(
    loss: impl LossFunction + Copy + 'static,
    metrics: &[Metric],
    outputs: usize,
    numbers: &[f32],
    targets: (Shape, retape::data::ColumnData<'static>, retape::data::ColumnData<'static>),
) {
    let weights: Vec<f32> = TIMES.iter().map(|&times| times as f32).collect();
    let (shape, each, all) = targets;
    let weighted = Samples::new().input([outputs], numbers).target(shape, each).weights(weights);
    let whole = Samples::new().input([outputs], repeated(numbers)).target(shape, all);
    for device in devices() {
        let found = figures(&device, loss, metrics.to_vec(), outputs, &weighted).unwrap();
        let want = figures(&device, loss, metrics.to_vec(), outputs, &whole).unwrap();
        assert!(!want.is_empty());
        for ((name, found), (same, want)) in found.iter().zip(&want) {
            assert_eq!(name, same);
            let error = (found - want).abs() / want.abs().max(1.0);
            assert!(error <= 1e-5, "{name} of {outputs} outputs on {device:?}: {found} for {want}");
        }
    }
}

#[test]
fn a_weight_is_how_often_a_sample_is_there() {
    let n = TIMES.len();
    let averaged = |average| {
        [
            Metric::Precision(average),
            Metric::Recall(average),
            Metric::Specificity(average),
            Metric::F1(average),
        ]
    };
    // One class of three, by labels and by rows.
    let scores = common::data::noise(3 * n, 5, -2.0, 2.0);
    let labels: Vec<u32> = (0..n as u32).map(|i| i * i % 3).collect();
    let metrics: Vec<Metric> = [Average::Macro, Average::Micro, Average::Weighted, Average::PerClass]
        .into_iter()
        .flat_map(averaged)
        .chain([
            Metric::Accuracy,
            Metric::TopKAccuracy { k: 2 },
            Metric::ConfusionMatrix,
            Metric::roc_auc(Average::Macro),
        ])
        .collect();
    let columns = (Shape::from([]), labels.clone().into(), repeated(&labels).into());
    check(Loss::SparseCategoricalCrossEntropy, &metrics, 3, &scores, columns);
    let rows: Vec<f32> =
        labels.iter().flat_map(|&label| [0, 1, 2].map(|class| f32::from(u8::from(class == label)))).collect();
    let columns = (Shape::from([3]), rows.clone().into(), repeated(&rows).into());
    check(Loss::CategoricalCrossEntropy, &metrics, 3, &scores, columns);

    // A single output, and two that are each a yes or no.
    let binary: Vec<Metric> = averaged(Average::Binary)
        .into_iter()
        .flat_map(|metric| [metric.clone(), metric.at_threshold(0.3)])
        .chain([
            Metric::Accuracy,
            Metric::BinaryAccuracy { threshold: 0.6 },
            Metric::ConfusionMatrix,
            Metric::roc_auc(Average::Binary),
        ])
        .collect();
    let yes: Vec<f32> = (0..n).map(|i| f32::from(u8::from(i % 3 != 1))).collect();
    let columns = (Shape::from([1]), yes.clone().into(), repeated(&yes).into());
    check(Loss::BinaryCrossEntropy, &binary, 1, &common::data::noise(n, 6, -2.0, 2.0), columns);
    let many: Vec<Metric> = averaged(Average::Macro)
        .into_iter()
        .chain([Metric::BinaryAccuracy { threshold: 0.5 }, Metric::roc_auc(Average::PerClass)])
        .collect();
    let yes: Vec<f32> = (0..2 * n).map(|i| f32::from(u8::from(i % 5 < 2))).collect();
    let columns = (Shape::from([2]), yes.clone().into(), repeated(&yes).into());
    check(Loss::BinaryCrossEntropy, &many, 2, &common::data::noise(2 * n, 7, -2.0, 2.0), columns);

    // A regression.
    let errors = [
        Metric::MeanSquaredError,
        Metric::RootMeanSquaredError,
        Metric::MeanAbsoluteError,
        Metric::SumOfSquaredErrors,
        Metric::RSquared,
    ];
    let wanted = common::data::noise(2 * n, 8, -2.0, 2.0);
    let columns = (Shape::from([2]), wanted.clone().into(), repeated(&wanted).into());
    check(Loss::MeanSquaredError, &errors, 2, &common::data::noise(2 * n, 9, -2.0, 2.0), columns);
}

/// Plain metrics beside weighted ones, with weights of samples and of classes; in evaluation, classes have
/// none.
#[test]
fn plain_and_weighted_metrics_go_side_by_side() -> Result<()> {
    // Predicted 0, 1, 1, 0.
    let numbers = [1.0f32, 0.0, 0.0, 1.0, 0.0, 1.0, 1.0, 0.0];
    let samples = || Samples::new().input([2], numbers.to_vec()).labels(vec![0, 1, 0, 1]);
    for device in devices() {
        let model =
            || Sequential::new().add(Dense::new(2).weight_init(Init::Values(vec![1.0, 0.0, 0.0, 1.0])));
        let mut trainer = Trainer::new(model(), [2])
            .loss(Loss::SparseCategoricalCrossEntropy)
            .optimizer(Sgd::new(0.0))
            .metrics([Metric::Accuracy])
            .weighted_metrics([Metric::Accuracy, Metric::Recall(Average::PerClass)])
            .batch_size(3)
            .build(&device)?;
        let names = ["loss", "accuracy", "weighted_accuracy", "recall_0", "recall_1"];
        let evaluation = trainer.evaluate(samples())?;
        assert_eq!(evaluation.logs().iter().map(|(name, _)| name).collect::<Vec<_>>(), names);
        let close = |found: Option<f64>, want: f64, what: &str| {
            assert!(found.is_some_and(|found| (found - want).abs() < 1e-6), "{what}: {found:?} for {want}");
        };
        let weights = vec![1.0, 2.0, 3.0, 0.5];
        let weighted = || samples().weights(weights.clone());
        // Without weights, all are 1.
        for (data, want) in [(samples(), [0.5, 0.5, 0.5]), (weighted(), [3.0 / 6.5, 0.25, 0.8])] {
            let found = trainer.evaluate(data)?;
            close(found.get("accuracy"), 0.5, "accuracy");
            for (name, want) in ["weighted_accuracy", "recall_0", "recall_1"].into_iter().zip(want) {
                close(found.get(name), want, name);
            }
        }
        // Class 1 counts four times: 1, 8, 3 and 2.
        let fit = Fit::epochs(1).class_weights([(1, 4.0)]).validation(weighted());
        let history = trainer.fit(weighted(), fit)?;
        close(history.last("accuracy"), 0.5, "accuracy");
        close(history.last("weighted_accuracy"), 9.0 / 14.0, "weighted accuracy");
        close(history.last("val_weighted_accuracy"), 3.0 / 6.5, "weighted accuracy of the validation");
        let logs = trainer.train_on_batch(weighted())?;
        close(logs.get("weighted_accuracy"), 3.0 / 6.5, "of a batch");

        // What watches a figure knows which way it goes.
        let stop = retape::train::callbacks::EarlyStopping::new("val_weighted_accuracy");
        trainer.fit(weighted(), Fit::epochs(1).validation(weighted()).callback(stop))?;

        // A weighted metric alone has its own name.
        let trainer = Trainer::new(model(), [2]).loss(Loss::SparseCategoricalCrossEntropy);
        let trainer = trainer.optimizer(Sgd::new(0.0)).weighted_metrics([Metric::Accuracy]);
        close(trainer.build(&device)?.evaluate(weighted())?.get("accuracy"), 3.0 / 6.5, "alone");
    }
    Ok(())
}
