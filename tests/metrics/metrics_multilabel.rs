//! Metrics of models whose outputs are each a yes or no of their own, against numbers worked out by hand.

use crate::common::metric_data::{Data, assert_near};
use retape::Error;
use retape::data::Samples;
use retape::prelude::*;
use retape::train::{MetricFunction, MetricInputs, Scores, roc_auc};

const CLASS_SCORES: [fn(Average) -> Metric; 4] =
    [Metric::Precision, Metric::Recall, Metric::Specificity, Metric::F1];
const AVERAGES: [Average; 3] = [Average::Macro, Average::Micro, Average::Weighted];

fn sigmoid(x: f32) -> f32 {
    1.0 / (1.0 + (-x).exp())
}

/// The data as logits and as probabilities.
fn both<const N: usize>(output: [usize; N], logits: &[f32], targets: &[f32]) -> [(Data, Scores); 2] {
    let probabilities: Vec<f32> = logits.iter().map(|&x| sigmoid(x)).collect();
    [
        (Data::numbered(output, logits, targets), Scores::IndependentLogits),
        (Data::numbered(output, &probabilities, targets), Scores::IndependentProbabilities),
    ]
}

#[test]
fn outputs_that_are_all_right_score_one() {
    let targets = [1., 1., 1., 0., 0., 1., 0., 0.];
    let logits = [1., 3., 2., -1., -1., 2., -3., -2.];
    for (data, kind) in both([4, 2], &logits, &targets) {
        for metric in CLASS_SCORES.into_iter().chain([Metric::roc_auc as fn(Average) -> Metric]) {
            assert_near(&data.results(&metric(Average::PerClass), kind), &[1.0, 1.0]);
            for average in AVERAGES {
                assert_near(&data.results(&metric(average), kind), &[1.0]);
            }
        }
        assert_near(&data.results(&Metric::BinaryAccuracy { threshold: 0.5 }, kind), &[1.0]);
    }
}

#[test]
fn each_output_is_judged_by_itself() {
    // Yes: 0 | 0 1 2 | none | 0 | none.
    let logits = [1., -1., -1., 2., 1., 1., -1., -2., -3., 1., -1., -2., -2., -3., -1.];
    let targets = [1., 0., 1., 1., 1., 0., 0., 1., 0., 0., 0., 0., 1., 0., 0.];
    // Output 0: tp 2, fp 1, fn 1, tn 1. Output 1: tp 1, fn 1, tn 3. Output 2: fp 1, fn 1, tn 3.
    let expected = [
        ([2. / 3., 1., 0.], [5. / 9., 3. / 5., 4. / 6.]),
        ([2. / 3., 1. / 2., 0.], [7. / 18., 1. / 2., 1. / 2.]),
        ([1. / 2., 1., 3. / 4.], [3. / 4., 7. / 9., 4.25 / 6.]),
        ([2. / 3., 2. / 3., 0.], [4. / 9., 6. / 11., 5. / 9.]),
    ];
    // Pairs in order, ties half: 3.5 of 6, 4 of 6, 2.5 of 4; over all outputs by the exact area.
    let areas = [3.5 / 6., 4. / 6., 2.5 / 4.];
    let labels = targets.map(|t| t as u32);
    let of_all = roc_auc(&logits, &labels).expect("both occur");
    for (mut data, kind) in both([5, 3], &logits, &targets) {
        for steps in [false, true] {
            if steps {
                (data.output, data.target) = (vec![5, 1, 3], vec![5, 1, 3]);
            }
            for (metric, (each, averages)) in CLASS_SCORES.into_iter().zip(expected) {
                assert_near(&data.results(&metric(Average::PerClass), kind), &each);
                let found = AVERAGES.map(|average| data.result(&metric(average), kind));
                assert_near(&found, &averages);
            }
            assert_near(&data.results(&Metric::roc_auc(Average::PerClass), kind), &areas);
            let found = AVERAGES.map(|average| data.result(&Metric::roc_auc(average), kind));
            let weighted = (3.0 * areas[0] + 2.0 * areas[1] + areas[2]) / 6.0;
            assert_near(&found, &[areas.iter().sum::<f64>() / 3.0, of_all, weighted]);
            assert_near(&data.results(&Metric::BinaryAccuracy { threshold: 0.5 }, kind), &[10.0 / 15.0]);
        }
    }
}

/// Sums of four outputs are not taken for a matrix of four classes.
#[test]
fn four_outputs_are_no_matrix_of_four_classes() {
    // Yes: 0 3 | 0 1, for 0 2 | 0 1.
    let logits = [1., -1., -2., 2., 3., 1., -1., -1.];
    let targets = [1., 0., 1., 0., 1., 1., 0., 0.];
    for (data, kind) in both([2, 4], &logits, &targets) {
        let results = |metric: fn(Average) -> Metric| data.results(&metric(Average::PerClass), kind);
        assert_near(&results(Metric::Precision), &[1.0, 1.0, 0.0, 0.0]);
        assert_near(&results(Metric::Recall), &[1.0, 1.0, 0.0, 0.0]);
        assert_near(&results(Metric::Specificity), &[0.0, 1.0, 1.0, 0.5]);
    }
}

#[test]
fn a_nan_is_wrong_for_its_output_alone() {
    let (nan, targets) = (f32::NAN, [1., 1., 1., 0., 0., 1., 0., 0.]);
    for (data, kind) in both([4, 2], &[nan; 8], &targets) {
        for metric in CLASS_SCORES.into_iter().chain([Metric::roc_auc as fn(Average) -> Metric]) {
            assert_near(&data.results(&metric(Average::PerClass), kind), &[0.0, 0.0]);
            assert_near(&data.results(&metric(Average::Micro), kind), &[0.0]);
        }
        assert_near(&data.results(&Metric::BinaryAccuracy { threshold: 0.5 }, kind), &[0.0]);
    }
    for (data, kind) in both([4, 2], &[nan, 3., 2., -1., nan, 2., -3., -2.], &targets) {
        // Output 0: tp 1, fp 1, fn 1, tn 1; of its pairs, 2 > -3 alone is right.
        for metric in CLASS_SCORES {
            assert_near(&data.results(&metric(Average::PerClass), kind), &[0.5, 1.0]);
        }
        assert_near(&data.results(&Metric::roc_auc(Average::PerClass), kind), &[0.25, 1.0]);
    }
}

#[test]
fn what_takes_one_class_is_refused() {
    let mut g = Graph::new();
    let (one, first) = (g.input("one", [4, 1]), g.targets("first", [4, 1]));
    for outputs in [2, 3] {
        let output = g.input(&format!("x{outputs}"), [4, outputs]);
        let targets = g.targets(&format!("t{outputs}"), [4, outputs]);
        for scores in [Scores::IndependentLogits, Scores::IndependentProbabilities] {
            let refused = |metric: &Metric, advice: &str| {
                let inputs = MetricInputs { output, targets, scores, mask: None };
                let error = metric.record(&g, inputs).unwrap_err();
                assert!(matches!(error.root(), Error::MetricMismatch { .. }), "{metric:?}: {error}");
                assert!(error.to_string().contains(advice), "{error}");
                let inputs = MetricInputs { output: one, targets: first, ..inputs };
                assert!(metric.record(&g, inputs).is_ok(), "{metric:?} of one output");
            };
            for metric in [Metric::Accuracy, Metric::ConfusionMatrix] {
                refused(&metric, "BinaryAccuracy");
            }
            for metric in CLASS_SCORES.into_iter().chain([Metric::roc_auc as fn(Average) -> Metric]) {
                refused(&metric(Average::Binary), "Average::Binary");
            }
            let inputs = MetricInputs { output, targets, scores, mask: None };
            let error = Metric::TopKAccuracy { k: 1 }.record(&g, inputs).unwrap_err();
            assert!(error.to_string().contains("BinaryAccuracy"), "{error}");
        }
    }
}

/// The signs of two coordinates, which a dense layer tells apart.
#[test]
fn a_trained_model_of_two_outputs_is_judged_by_them() {
    let inputs: Vec<f32> = (0..48).map(|i| ((i * 7 % 11) as f32 - 5.2) / 5.0).collect();
    let targets: Vec<f32> = inputs.iter().map(|&x| f32::from(u8::from(x > 0.0))).collect();
    let data = Samples::new().input([2], &inputs).target([2], &targets);
    let trainer = |metrics: Vec<Metric>| {
        let model = Sequential::new().add(Dense::new(2));
        let builder = Trainer::new(model, [2]).loss(Loss::BinaryCrossEntropy).optimizer(Adam::new(0.1));
        builder.metrics(metrics).batch_size(8).seed(1).build(&Device::reference())
    };
    let metrics = CLASS_SCORES.map(|metric| metric(Average::Macro));
    let metrics = metrics.into_iter().chain([Metric::roc_auc(Average::PerClass)]).collect();
    let mut trained = trainer(metrics).expect("it builds");
    trained.fit(data.clone(), Fit::epochs(60)).expect("it trains");
    let found = trained.evaluate(data.clone()).expect("it is judged");
    for name in ["precision_macro", "recall_macro", "specificity_macro", "f1_macro", "roc_auc_0", "roc_auc_1"]
    {
        assert_eq!(found.get(name), Some(1.0), "{name}: {found}");
    }
    let refused = trained.predict_classes(data.clone()).unwrap_err();
    assert!(matches!(refused.root(), Error::Argument { argument: "number of outputs", .. }), "{refused}");
    let Err(refused) = trainer(vec![Metric::Accuracy]) else { panic!("`Accuracy` takes one class") };
    assert!(matches!(refused.root(), Error::MetricMismatch { .. }), "{refused}");
}

#[test]
fn thresholds_move_what_is_yes() {
    let probabilities = [0.2, 0.4, 0.6, 0.8];
    let logits = probabilities.map(|p: f32| (p / (1.0 - p)).ln());
    let targets = [0.0, 1.0, 0.0, 1.0];
    // At 0.3 tp 2, fp 1, tn 1; at 0.7 tp 1, fn 1, tn 2. Precision, recall, specificity, F1.
    let expected = [
        (0.3, [2. / 3., 1., 1. / 2., 4. / 5.], [1., 1., 0., 2.]),
        (0.7, [1., 1. / 2., 1., 2. / 3.], [2., 0., 1., 1.]),
    ];
    // The second output is the first from the other end.
    let two = |x: [f32; 4]| [x[0], x[3], x[1], x[2], x[2], x[1], x[3], x[0]];
    for (threshold, scores, counts) in expected {
        for (x, kinds) in [
            (logits, [Scores::Logits, Scores::IndependentLogits]),
            (probabilities, [Scores::Probabilities, Scores::IndependentProbabilities]),
            (probabilities, [Scores::Values, Scores::IndependentProbabilities]),
        ] {
            let one = Data::numbered([4, 1], &x, &targets);
            let two = Data::numbered([4, 2], &two(x), &two(targets));
            for (metric, score) in CLASS_SCORES.into_iter().zip(scores) {
                let at = |average| metric(average).at_threshold(threshold);
                assert_near(&one.results(&at(Average::Binary), kinds[0]), &[score]);
                assert_near(&two.results(&at(Average::PerClass), kinds[1]), &[score, score]);
                assert_near(&two.results(&at(Average::Micro), kinds[1]), &[score]);
            }
            let matrix = Metric::ConfusionMatrix.at_threshold(threshold);
            assert_near(&one.results(&matrix, kinds[0]), &counts);
        }
    }
}

#[test]
fn thresholds_are_named_and_checked() {
    let names = |metric: Metric| metric.result_names(Shape::from([8, 2])).join(" ");
    assert_eq!(
        names(Metric::Precision(Average::Binary).at_threshold(0.9).at_threshold(0.3)),
        "precision_at_0.3"
    );
    assert_eq!(names(Metric::Recall(Average::Macro).at_threshold(0.5)), "recall_macro_at_0.5");
    assert_eq!(names(Metric::F1(Average::PerClass).at_threshold(0.25)), "f1_0_at_0.25 f1_1_at_0.25");
    let mut g = Graph::new();
    let (output, targets) = (g.input("x", [4, 2]), g.targets("t", [4, 2]));
    let record = |metric: Metric, scores| {
        metric.record(&g, MetricInputs { output, targets, scores, mask: None }).map_err(|e| e.to_string())
    };
    for metric in [Metric::roc_auc(Average::Macro), Metric::Accuracy, Metric::RSquared] {
        let refused = record(metric.at_threshold(0.3), Scores::IndependentLogits).unwrap_err();
        assert!(refused.contains("threshold is 0.3 for"), "{refused}");
    }
    for threshold in [0.0, 1.0, f32::NAN] {
        let metric = Metric::F1(Average::Micro).at_threshold(threshold);
        let refused = record(metric, Scores::IndependentLogits).unwrap_err();
        assert!(refused.contains("a probability must be above 0"), "{refused}");
    }
    let refused = record(Metric::F1(Average::Micro).at_threshold(0.3), Scores::Logits).unwrap_err();
    assert!(refused.contains("f1_micro_at_0.3") && refused.contains("yes or no"), "{refused}");
}
