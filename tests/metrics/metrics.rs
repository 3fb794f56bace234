//! Metrics: what they add up over batches on a GPU and on the CPU path, with and without a mask, against
//! numbers worked out by hand.

use crate::common;
use crate::common::data::noise;
use crate::common::metric_data::{Data, assert_near, one_hot, predicted};
use retape::kernel::DeviceProfile;
use retape::prelude::*;
use retape::train::{ConfusionMatrix, MetricFunction, MetricInputs, Scores, roc_auc, roc_curve};
use retape::{Error, Result};

#[test]
fn accuracy_counts_first_maxima() {
    // Rows: right; right; wrong; a tie that the first class wins, right; the same tie, wrong.
    let scores = [3., 1., 2., 0., 0.5, 0.4, 1., 2., 3., 5., 5., 1., 5., 5., 1.];
    let labels = [0, 1, 0, 0, 1];
    let data = Data::labelled([5, 3], &scores, &labels);
    assert_near(&data.results(&Metric::Accuracy, Scores::Logits), &[3.0 / 5.0]);
    let rows = Data::numbered([5, 3], &scores, &one_hot(&labels, 3));
    assert_near(&rows.results(&Metric::Accuracy, Scores::Probabilities), &[3.0 / 5.0]);
    // Soft targets: the first largest is the class.
    let soft = Data::numbered([2, 2], &[1., 0., 1., 0.], &[0.6, 0.4, 0.5, 0.5]);
    assert_near(&soft.results(&Metric::Accuracy, Scores::Logits), &[1.0]);
    // A prediction changed for the wrong changes the number.
    let mut worse = scores;
    worse[0] = 0.0;
    let worse = Data::labelled([5, 3], &worse, &labels);
    assert_near(&worse.results(&Metric::Accuracy, Scores::Logits), &[2.0 / 5.0]);
    // 2 i is a multiple of 10 for i = 0, 5, 10, 15 of 20.
    let labels: Vec<u32> = (0..20).map(|i| i % 10).collect();
    let predictions: Vec<u32> = (0..20).map(|i| i * 3 % 10).collect();
    let ten = predicted(&labels, &predictions, 10);
    assert_near(&ten.results(&Metric::Accuracy, Scores::Logits), &[0.2]);
}

#[test]
fn a_row_with_a_nan_is_wrong() {
    let scores = [f32::NAN, 0.0, f32::NAN, 0.0, 1.0, 0.0];
    let data = Data::labelled([3, 2], &scores, &[0, 1, 0]);
    assert_near(&data.results(&Metric::Accuracy, Scores::Logits), &[1.0 / 3.0]);
    assert_near(&data.results(&Metric::TopKAccuracy { k: 2 }, Scores::Logits), &[1.0 / 3.0]);
}

/// What is wrong in one metric is wrong in all.
#[test]
fn a_row_with_a_nan_is_of_the_first_other_class() {
    let nan = f32::NAN;
    // Labels and what rows stand for: 0 1, 1 0, 2 0, 2 2.
    let scores = [9., nan, 0., 0., 9., nan, nan, nan, nan, 1., 2., 3.];
    let labels = [0, 1, 2, 2];
    for data in
        [Data::labelled([4, 3], &scores, &labels), Data::numbered([4, 3], &scores, &one_hot(&labels, 3))]
    {
        let results = |metric: Metric| data.results(&metric, Scores::Logits);
        assert_near(&results(Metric::Accuracy), &[0.25]);
        assert_near(&results(Metric::ConfusionMatrix), &[0., 1., 0., 1., 0., 0., 1., 0., 1.]);
        assert_near(&results(Metric::Precision(Average::PerClass)), &[0.0, 0.0, 1.0]);
        assert_near(&results(Metric::Recall(Average::PerClass)), &[0.0, 0.0, 0.5]);
        assert_near(&results(Metric::F1(Average::Micro)), &[0.25]);
    }
}

#[test]
fn outputs_that_are_all_nan_score_nothing() {
    let labels = [0, 0, 0, 1];
    let one = Data::labelled([4, 1], &[f32::NAN; 4], &labels);
    let two = Data::labelled([4, 2], &[f32::NAN; 8], &labels);
    for kind in [Scores::Logits, Scores::Probabilities] {
        for data in [&one, &two] {
            let metrics = [Metric::Precision, Metric::Recall, Metric::Specificity, Metric::F1];
            let metrics = metrics.map(|metric| metric(Average::Binary));
            for metric in metrics.into_iter().chain([Metric::Accuracy, Metric::roc_auc(Average::Binary)]) {
                assert_eq!(data.results(&metric, kind), [0.0], "{metric:?}");
            }
            assert_near(&data.results(&Metric::ConfusionMatrix, kind), &[0.0, 3.0, 1.0, 0.0]);
        }
        assert_eq!(one.results(&Metric::BinaryAccuracy { threshold: 0.5 }, kind), [0.0]);
    }
    // One NaN: the pairs of the positive 0.9 with the negatives 0.1, NaN and 0.2 are right, wrong, right.
    let some = Data::labelled([4, 1], &[0.1, f32::NAN, 0.2, 0.9], &labels);
    assert_near(&some.results(&Metric::roc_auc(Average::Binary), Scores::Probabilities), &[2.0 / 3.0]);
    assert_near(&some.results(&Metric::Specificity(Average::Binary), Scores::Probabilities), &[2.0 / 3.0]);
    let constant = Data::numbered([4, 1], &[f32::NAN; 4], &[1.0; 4]);
    let regression = [Metric::RSquared, Metric::MeanSquaredError, Metric::MeanAbsoluteError];
    for metric in regression {
        assert!(constant.result(&metric, Scores::Values).is_nan(), "{metric:?}");
    }
}

#[test]
fn one_output_is_positive_above_its_threshold() {
    // Logits above 0 are positive: yes, no, no (0 is not above), yes, yes.
    let scores = [0.4, -1.0, 0.0, 2.0, 0.1];
    let labels = [1, 0, 1, 1, 0];
    let numbers = labels.map(|l| l as f32);
    for data in [
        Data::labelled([5, 1], &scores, &labels),
        Data { target: vec![5, 1], ..Data::labelled([5, 1], &scores, &labels) },
        Data::labelled([5], &scores, &labels),
        Data::numbered([5, 1], &scores, &numbers),
        Data::numbered([5], &scores, &numbers),
    ] {
        // Right: 0, 1, 3.
        assert_near(&data.results(&Metric::Accuracy, Scores::Logits), &[0.6]);
        // Above 0.5, only 3 is positive: right are 1, 3, 4.
        assert_near(&data.results(&Metric::Accuracy, Scores::Probabilities), &[0.6]);
        assert_near(&data.results(&Metric::Precision(Average::Binary), Scores::Probabilities), &[1.0]);
        assert_near(&data.results(&Metric::Recall(Average::Binary), Scores::Values), &[1.0 / 3.0]);
        let binary = Metric::BinaryAccuracy { threshold: 0.5 };
        assert_near(&data.results(&binary, Scores::Logits), &[0.6]);
    }
}

#[test]
fn binary_accuracy_judges_every_element_at_its_threshold() {
    let scores = [0.9, 0.1, 0.6, 0.5, 0.3, 0.8];
    let targets = [1.0, 0.0, 0.0, 1.0, 1.0, 1.0];
    let data = Data::numbered([3, 2], &scores, &targets);
    let at = |threshold| Metric::BinaryAccuracy { threshold };
    // Above 0.5: yes no | yes no | no yes, so right no.s 0, 1, 5.
    assert_near(&data.results(&at(0.5), Scores::Probabilities), &[0.5]);
    // Above 0.4: yes no | yes yes | no yes, so right no.s 0, 1, 3, 5.
    assert_near(&data.results(&at(0.4), Scores::Values), &[4.0 / 6.0]);
    // sigmoid(x) > 0.7 where x > 0.847: yes no | no no | no no.
    assert_near(&data.results(&at(0.7), Scores::Logits), &[0.5]);
}

#[test]
fn top_k_counts_ties_in() {
    // Ranks of the labels: 0, 1, 2, and of the tie 0 (none scores more).
    let scores =
        [0.1, 0.4, 0.2, 0.3, 0.0, 0.1, 0.4, 0.2, 0.3, 0.0, 0.1, 0.4, 0.2, 0.3, 0.0, 0.5, 0.5, 0.5, 0.0, 0.0];
    let labels = [1, 3, 2, 2];
    for data in
        [Data::labelled([4, 5], &scores, &labels), Data::numbered([4, 5], &scores, &one_hot(&labels, 5))]
    {
        for (k, expected) in [(1, 0.5), (2, 0.75), (3, 1.0), (5, 1.0)] {
            assert_near(&data.results(&Metric::TopKAccuracy { k }, Scores::Logits), &[expected]);
        }
        // The tie's first maximum is class 0.
        assert_near(&data.results(&Metric::Accuracy, Scores::Logits), &[0.25]);
    }
}

#[test]
fn every_step_of_a_sequence_counts() {
    // Two sequences of three steps: predictions 0 1 1, 0 0 1.
    let scores = [1., 0., 0., 1., 0., 1., 1., 0., 1., 0., 0., 1.];
    let labels = [0, 1, 0, 1, 0, 1];
    let data = Data::labelled([2, 3, 2], &scores, &labels);
    // Right are 0, 1, 4, 5.
    assert_near(&data.results(&Metric::Accuracy, Scores::Logits), &[4.0 / 6.0]);
    assert_near(&data.results(&Metric::TopKAccuracy { k: 1 }, Scores::Logits), &[4.0 / 6.0]);
    assert_near(&data.results(&Metric::ConfusionMatrix, Scores::Logits), &[2.0, 1.0, 1.0, 2.0]);
    // A single output a step: logits 1 -1 2, -3 0.5 1 for 1 0 0, 1 0 1: right are 0, 1, 5.
    let numbers = [1.0, 0.0, 0.0, 1.0, 0.0, 1.0];
    let one = Data::numbered([2, 3, 1], &[1.0, -1.0, 2.0, -3.0, 0.5, 1.0], &numbers);
    assert_near(&one.results(&Metric::Accuracy, Scores::Logits), &[0.5]);
    assert_near(&one.results(&Metric::ConfusionMatrix, Scores::Logits), &[1.0, 2.0, 1.0, 2.0]);
    let sigmoid = |x: f32| 1.0 / (1.0 + (-x).exp());
    let exact = roc_auc(&one.scores.iter().map(|&x| sigmoid(x)).collect::<Vec<_>>(), &[1, 0, 0, 1, 0, 1]);
    let area = one.result(&Metric::roc_auc(Average::Binary), Scores::Logits);
    assert_near(&[area], &[exact.expect("both classes occur")]);
}

/// The example of scikit-learn's documentation of these scores.
#[test]
fn class_scores_are_scikit_learns() {
    let data = predicted(&[0, 1, 2, 0, 1, 2], &[0, 2, 1, 0, 0, 1], 3);
    let result = |metric: Metric| data.result(&metric, Scores::Logits);
    // Class 0: tp 2, fp 1, fn 0, tn 3. Class 1: tp 0, fp 2, fn 2, tn 2. Class 2: tp 0, fp 1, fn 2, tn 3.
    let expected = [
        (Metric::Precision as fn(Average) -> Metric, [2. / 9., 1. / 3., 2. / 9.], [2. / 3., 0., 0.]),
        (Metric::Recall, [1. / 3., 1. / 3., 1. / 3.], [1., 0., 0.]),
        (Metric::F1, [4. / 15., 1. / 3., 4. / 15.], [0.8, 0., 0.]),
        (Metric::Specificity, [2. / 3., 8. / 12., 2. / 3.], [0.75, 0.5, 0.75]),
    ];
    for (metric, averages, classes) in expected {
        let found = [Average::Macro, Average::Micro, Average::Weighted].map(|a| result(metric(a)));
        assert_near(&found, &averages);
        assert_near(&data.results(&metric(Average::PerClass), Scores::Logits), &classes);
    }
    let counts = data.results(&Metric::ConfusionMatrix, Scores::Logits);
    assert_near(&counts, &[2.0, 0.0, 0.0, 1.0, 0.0, 1.0, 0.0, 2.0, 0.0]);
}

#[test]
fn a_class_that_never_occurs_scores_zero() {
    let data = predicted(&[0, 0, 0, 1], &[0, 0, 1, 1], 3);
    let results = |metric: Metric| data.results(&metric, Scores::Logits);
    // Class 0: tp 2, fp 0, fn 1, tn 1. Class 1: tp 1, fp 1, fn 0, tn 2. Class 2: tn 4.
    assert_near(&results(Metric::Precision(Average::PerClass)), &[1.0, 0.5, 0.0]);
    assert_near(&results(Metric::Precision(Average::Macro)), &[0.5]);
    assert_near(&results(Metric::Precision(Average::Weighted)), &[3.5 / 4.0]);
    assert_near(&results(Metric::Precision(Average::Micro)), &[0.75]);
    assert_near(&results(Metric::Recall(Average::PerClass)), &[2.0 / 3.0, 1.0, 0.0]);
    assert_near(&results(Metric::Recall(Average::Weighted)), &[0.75]);
    assert_near(&results(Metric::F1(Average::PerClass)), &[0.8, 2.0 / 3.0, 0.0]);
    assert_near(&results(Metric::F1(Average::Macro)), &[(0.8 + 2.0 / 3.0) / 3.0]);
    assert_near(&results(Metric::Specificity(Average::PerClass)), &[1.0, 2.0 / 3.0, 1.0]);
    assert_near(&results(Metric::Specificity(Average::Micro)), &[7.0 / 8.0]);
}

#[test]
fn binary_scores_are_those_of_the_positive_class() {
    // Logits: yes no no yes yes. tp 2, fp 1, fn 1, tn 1.
    let scores = [0.5, -1.0, -0.2, 2.0, 3.0];
    let labels = [1, 0, 1, 1, 0];
    let one = Data::labelled([5, 1], &scores, &labels);
    let two = Data::labelled([5, 2], &scores.map(|x| [0.0, x]).concat(), &labels);
    for data in [one, two] {
        let result = |metric: Metric| data.result(&metric, Scores::Logits);
        assert_near(&[result(Metric::Precision(Average::Binary))], &[2.0 / 3.0]);
        assert_near(&[result(Metric::Recall(Average::Binary))], &[2.0 / 3.0]);
        assert_near(&[result(Metric::Specificity(Average::Binary))], &[0.5]);
        assert_near(&[result(Metric::F1(Average::Binary))], &[2.0 / 3.0]);
        assert_near(&[result(Metric::Recall(Average::Macro))], &[(0.5 + 2.0 / 3.0) / 2.0]);
        let recalls = data.results(&Metric::Recall(Average::PerClass), Scores::Logits);
        assert_near(&recalls, &[0.5, 2.0 / 3.0]);
        assert_near(&data.results(&Metric::ConfusionMatrix, Scores::Logits), &[1.0, 1.0, 1.0, 2.0]);
    }
}

/// What the device adds up is what the host counts.
#[test]
fn device_and_host_agree_on_random_predictions() {
    let draw = |seed, classes: u32| -> Vec<u32> {
        noise(97, seed, 0.0, classes as f32).into_iter().map(|x| x as u32).collect()
    };
    for classes in [2u32, 5, 10] {
        let (labels, predictions) = (draw(1, classes), draw(2, classes));
        let data = predicted(&labels, &predictions, classes as usize);
        let host = ConfusionMatrix::from_labels(&labels, &predictions, classes as usize).expect("it counts");
        let sums = data.sums(common::gpu(), &Metric::ConfusionMatrix, Scores::Logits, 13, true);
        let counts: Vec<u64> = sums.expect("it runs").into_iter().map(|c| c as u64).collect();
        assert_eq!(ConfusionMatrix::from_counts(&counts).expect("it is square"), host);
        assert_near(&data.results(&Metric::Accuracy, Scores::Logits), &[host.accuracy()]);
        let f1 = host.f1(Average::Weighted).expect("it is a number");
        assert_near(&data.results(&Metric::F1(Average::Weighted), Scores::Logits), &[f1]);
    }
}

#[test]
fn areas_of_perfect_inverted_and_constant_scores() {
    let labels = [0, 0, 1, 1];
    let area = |scores: &[f32]| {
        let data = Data::labelled([4, 1], scores, &labels);
        let device = data.result(&Metric::roc_auc(Average::Binary), Scores::Probabilities);
        (device, roc_auc(scores, &labels).expect("both classes occur"))
    };
    for (scores, expected) in [
        ([0.1, 0.2, 0.7, 0.9], 1.0),
        ([0.9, 0.7, 0.2, 0.1], 0.0),
        ([0.3; 4], 0.5),
        // Pairs: 0.1 < 0.35, 0.1 < 0.8, 0.4 > 0.35, 0.4 < 0.8.
        ([0.1, 0.4, 0.35, 0.8], 0.75),
        // 0.1 < 0.4, 0.1 < 0.8, 0.4 = 0.4 for a half, 0.4 < 0.8.
        ([0.1, 0.4, 0.4, 0.8], 0.875),
        ([0.0, 0.0, 1.0, 1.0], 1.0),
    ] {
        let (device, host) = area(&scores);
        assert_eq!(host, expected, "{scores:?}");
        assert_near(&[device], &[expected]);
    }
    let one_class = Data::labelled([3, 1], &[0.1, 0.5, 0.7], &[1, 1, 1]);
    assert!(one_class.result(&Metric::roc_auc(Average::Binary), Scores::Probabilities).is_nan());
}

/// Scores that thresholds tell apart lose nothing; others count as ties.
#[test]
fn areas_come_close_to_the_exact_ones() {
    let labels: Vec<u32> = noise(240, 1, 0.0, 1.0).into_iter().map(|x| u32::from(x > 0.6)).collect();
    // The middles of 64 steps.
    let steps = noise(240, 2, 0.0, 64.0).into_iter().map(|x| (x.floor() + 0.5) / 64.0);
    let on_steps: Vec<f32> = steps.collect();
    let exact = roc_auc(&on_steps, &labels).expect("both classes occur");
    let data = Data::labelled([240, 1], &on_steps, &labels);
    let fine = Metric::RocAuc { average: Average::Binary, thresholds: 65 };
    assert_near(&data.results(&fine, Scores::Probabilities), &[exact]);
    let coarse = Metric::RocAuc { average: Average::Binary, thresholds: 4 };
    let coarse = data.result(&coarse, Scores::Probabilities);
    assert!((coarse - exact).abs() > 1e-4, "4 thresholds tell 64 scores apart: {coarse}");

    let logits: Vec<f32> = noise(240, 3, -3.0, 3.0).iter().zip(&labels).map(|(x, &l)| x + l as f32).collect();
    let exact = roc_auc(&logits, &labels).expect("both classes occur");
    let found =
        Data::labelled([240, 1], &logits, &labels).result(&Metric::roc_auc(Average::Binary), Scores::Logits);
    assert!((found - exact).abs() < 2e-3, "{found}, exactly {exact}");
    assert!((0.55..0.75).contains(&exact), "{exact}");
    // Taken for probabilities, all logits past 1 are one tie.
    let wrong = Data::labelled([240, 1], &logits, &labels)
        .result(&Metric::roc_auc(Average::Binary), Scores::Probabilities);
    assert!((wrong - exact).abs() > 1e-2, "{wrong}, exactly {exact}");
}

#[test]
fn areas_of_several_classes_are_each_against_the_rest() {
    let n = 90;
    // Class 1 is twice as frequent as class 0, class 2 three times, class 3 never occurs.
    let labels: Vec<u32> = (0..n).map(|i| [0, 1, 1, 2, 2, 2][i % 6]).collect();
    let logits: Vec<f32> = noise(4 * n, 5, -1.5, 1.5)
        .into_iter()
        .enumerate()
        .map(|(i, x)| if i % 4 == labels[i / 4] as usize { x + 1.0 } else { x })
        .collect();
    let probabilities: Vec<f32> = logits
        .chunks(4)
        .flat_map(|row| {
            let sum: f32 = row.iter().map(|x| x.exp()).sum();
            row.iter().map(move |x| x.exp() / sum).collect::<Vec<_>>()
        })
        .collect();
    let exact: Vec<f64> = (0..3)
        .map(|class| {
            let scores: Vec<f32> = probabilities.iter().skip(class).step_by(4).copied().collect();
            let is_class: Vec<u32> = labels.iter().map(|&l| u32::from(l as usize == class)).collect();
            roc_auc(&scores, &is_class).expect("the class occurs")
        })
        .collect();
    let expected = [
        (Average::Macro, exact.iter().sum::<f64>() / 3.0),
        (Average::Weighted, (exact[0] + 2.0 * exact[1] + 3.0 * exact[2]) / 6.0),
        (Average::Micro, {
            let all = one_hot(&labels, 4).into_iter().map(|x| x as u32).collect::<Vec<_>>();
            roc_auc(&probabilities, &all).expect("both occur")
        }),
    ];
    for (scores, kind) in [(&logits, Scores::Logits), (&probabilities, Scores::Probabilities)] {
        for data in
            [Data::labelled([n, 4], scores, &labels), Data::numbered([n, 4], scores, &one_hot(&labels, 4))]
        {
            let metric = Metric::RocAuc { average: Average::PerClass, thresholds: 2001 };
            let found = data.sums(common::gpu(), &metric, kind, 30, false).expect("it runs");
            let found = metric.results(&found);
            assert!(found[3].is_nan(), "class 3 never occurs: {found:?}");
            for (found, exact) in found.iter().zip(&exact) {
                assert!((found - exact).abs() < 1e-3, "{found}, exactly {exact}");
            }
            for (average, exact) in expected {
                let metric = Metric::RocAuc { average, thresholds: 2001 };
                let found = data.sums(common::gpu(), &metric, kind, 30, false).expect("it runs");
                let found = metric.results(&found)[0];
                assert!((found - exact).abs() < 1e-3, "{average}: {found}, exactly {exact}");
            }
        }
    }
}

#[test]
fn curves_end_at_one() {
    let curve = roc_curve(&[0.5, 0.5, 0.2, 0.9], &[1, 0, 0, 1]).expect("both classes occur");
    assert_eq!(curve.thresholds, [f32::INFINITY, 0.9, 0.5, 0.2]);
    assert_eq!(curve.true_positive_rate, [0.0, 0.5, 1.0, 1.0]);
    assert_eq!(curve.false_positive_rate, [0.0, 0.0, 0.5, 1.0]);
    // The trapezoids below it are the exact area.
    let points: Vec<_> = curve.false_positive_rate.iter().zip(&curve.true_positive_rate).collect();
    let area: f64 = points.windows(2).map(|p| (p[1].0 - p[0].0) * (p[1].1 + p[0].1) / 2.0).sum();
    assert_near(&[area], &[roc_auc(&[0.5, 0.5, 0.2, 0.9], &[1, 0, 0, 1]).expect("both classes occur")]);
    assert!(matches!(roc_auc(&[0.1], &[1, 0]).unwrap_err(), Error::Length { .. }));
    assert!(matches!(roc_auc(&[0.1, 0.2], &[1, 2]).unwrap_err(), Error::LabelOutOfRange { index: 1, .. }));
    assert!(matches!(roc_auc(&[0.1, 0.2], &[1, 1]).unwrap_err(), Error::Argument { argument: "labels", .. }));
    let nan = roc_auc(&[0.1, f32::NAN], &[1, 0]).unwrap_err();
    assert!(matches!(nan, Error::Argument { argument: "scores", .. }), "{nan}");
}

/// The examples of scikit-learn's documentation of these errors.
#[test]
fn regression_errors_are_scikit_learns() {
    let one = [
        Data::numbered([4, 1], &[2.5, 0.0, 2.0, 8.0], &[3.0, -0.5, 2.0, 7.0]),
        Data::numbered([4], &[2.5, 0.0, 2.0, 8.0], &[3.0, -0.5, 2.0, 7.0]),
    ];
    // Off by -0.5, 0.5, 0, 1. The targets' mean is 2.875, their squared deviations add up to 29.1875.
    for data in one {
        let result = |metric: Metric| data.result(&metric, Scores::Values);
        assert_near(&[result(Metric::MeanSquaredError)], &[0.375]);
        assert_near(&[result(Metric::RootMeanSquaredError)], &[0.375f64.sqrt()]);
        assert_near(&[result(Metric::MeanAbsoluteError)], &[0.5]);
        assert_near(&[result(Metric::SumOfSquaredErrors)], &[1.5]);
        assert_near(&[result(Metric::RSquared)], &[1.0 - 1.5 / 29.1875]);
    }
    // Off by -0.5 1 | 0 1 | 1 1. Squared deviations of the columns: 217/6 and 98/3.
    let two = Data::numbered([3, 2], &[0.0, 2.0, -1.0, 2.0, 8.0, -5.0], &[0.5, 1.0, -1.0, 1.0, 7.0, -6.0]);
    let result = |metric: Metric| two.result(&metric, Scores::Values);
    assert_near(&[result(Metric::MeanSquaredError)], &[4.25 / 6.0]);
    assert_near(&[result(Metric::MeanAbsoluteError)], &[0.75]);
    assert_near(&[result(Metric::SumOfSquaredErrors)], &[4.25]);
    let each = [1.0 - 1.25 / (217.0 / 6.0), 1.0 - 3.0 / (98.0 / 3.0)];
    assert_near(&[result(Metric::RSquared)], &[(each[0] + each[1]) / 2.0]);
}

/// Targets far from 0: squares in f32 hold nothing of their deviation.
#[test]
fn r_squared_holds_where_the_mean_is_large() {
    let n = 512;
    for (mean, tolerance) in [(0.0, 1e-6), (1e3, 1e-6), (-1e3, 1e-6), (1e5, 1e-6), (1e6, 1e-4)] {
        let targets: Vec<f32> = noise(n, 1, -1.7, 1.7).into_iter().map(|x| x + mean).collect();
        let outputs: Vec<f32> =
            targets.iter().zip(noise(n, 2, -0.7, 0.7)).map(|(y, error)| y + error).collect();
        let exact = |y: &[f32]| {
            let y: Vec<f64> = y.iter().map(|&y| f64::from(y)).collect();
            let middle = y.iter().sum::<f64>() / n as f64;
            y.iter().map(|y| (y - middle).powi(2)).sum::<f64>()
        };
        let errors: f64 =
            targets.iter().zip(&outputs).map(|(&y, &f)| (f64::from(y) - f64::from(f)).powi(2)).sum();
        let expected = 1.0 - errors / exact(&targets);
        let data = Data::numbered([n, 1], &outputs, &targets);
        for (batch, masked) in [(n, false), (32, false), (100, true)] {
            for device in [Device::reference(), Device::cpu(), common::gpu().clone()] {
                let sums = data.sums(&device, &Metric::RSquared, Scores::Values, batch, masked);
                let found = Metric::RSquared.results(&sums.expect("it runs"))[0];
                let off = (found - expected).abs();
                assert!(off <= tolerance, "mean {mean}, batch {batch}: {found}, exactly {expected}");
            }
        }
        assert!((0.5..0.99).contains(&expected), "the model is neither perfect nor useless: {expected}");
        if mean >= 1e3 {
            let squares = targets.iter().fold(0.0f32, |sum, y| sum + y * y);
            let sum = targets.iter().sum::<f32>();
            let plain = f64::from(squares - sum * sum / n as f32);
            assert!((plain / exact(&targets) - 1.0).abs() > 0.01, "the plain sums would do at {mean}");
        }
    }
}

#[test]
fn r_squared_of_targets_that_never_change() {
    let constant = |outputs: [f32; 3]| {
        Data::numbered([3, 1], &outputs, &[0.1; 3]).result(&Metric::RSquared, Scores::Values)
    };
    assert_eq!(constant([0.1; 3]), 1.0);
    assert_eq!(constant([0.1, 0.1, 0.2]), 0.0);
    let hopeless =
        Data::numbered([2, 1], &[9.0, -9.0], &[0.0, 1.0]).result(&Metric::RSquared, Scores::Values);
    // Squared errors 81 + 100, squared deviations 1/2.
    assert_near(&[hopeless], &[1.0 - 181.0 / 0.5]);
}

#[test]
fn what_does_not_fit_is_refused_by_name_and_shapes() {
    let mut g = Graph::new();
    let (x, one) = (g.input("x", [4, 3]), g.input("one", [4, 1]));
    let (labels, five) = (g.labels("labels", [4]), g.labels("five", [5]));
    let (rows, column) = (g.targets("rows", [4, 3]), g.targets("column", [4, 1]));
    let (short, wide) = (g.input("short", [3]), g.input("wide", [4, 1, 1]));
    let inputs = |output, targets| MetricInputs { output, targets, scores: Scores::Logits, mask: None };
    let refused = [
        (Metric::Accuracy, inputs(x, five)),
        (Metric::Accuracy, inputs(x, column)),
        (Metric::Accuracy, inputs(labels, labels)),
        (Metric::TopKAccuracy { k: 1 }, inputs(one, column)),
        (Metric::BinaryAccuracy { threshold: 0.5 }, inputs(x, labels)),
        (Metric::Precision(Average::Binary), inputs(x, labels)),
        (Metric::ConfusionMatrix, inputs(x, wide)),
        (Metric::roc_auc(Average::Binary), inputs(x, labels)),
        (Metric::MeanSquaredError, inputs(x, labels)),
        (Metric::MeanAbsoluteError, inputs(one, wide)),
        (Metric::RSquared, inputs(x, column)),
    ];
    for (metric, inputs) in refused {
        let error = metric.record(&g, inputs).unwrap_err();
        let Error::MetricMismatch { metric: name, types, .. } = error.root() else { panic!("{error}") };
        assert_eq!(*name, metric.name());
        let found = [g.ty(inputs.output), g.ty(inputs.targets)].map(|ty| ty.expect("it is this graph's"));
        assert_eq!(**types, found);
        let message = error.to_string();
        assert!(message.contains(&metric.name()) && message.contains(&types[1].to_string()), "{message}");
    }
    for mask in [short, wide, labels] {
        let inputs = MetricInputs { mask: Some(mask), ..inputs(x, rows) };
        let error = Metric::Accuracy.record(&g, inputs).unwrap_err();
        let is_it = matches!(error.root(), Error::ShapeMismatch { .. } | Error::DTypeMismatch { .. });
        assert!(is_it, "{error}");
    }
    let out_of_range = [
        Metric::TopKAccuracy { k: 0 },
        Metric::TopKAccuracy { k: 4 },
        Metric::BinaryAccuracy { threshold: 1.0 },
        Metric::BinaryAccuracy { threshold: f32::NAN },
        Metric::RocAuc { average: Average::Macro, thresholds: 2 },
    ];
    for metric in out_of_range {
        let error = metric.record(&g, inputs(x, rows)).unwrap_err();
        assert!(matches!(error.root(), Error::Argument { .. }), "{metric:?}: {error}");
    }
    let mut other = Graph::new();
    let foreign = other.input("x", [4, 3]);
    let error = Metric::Accuracy.record(&g, inputs(foreign, labels)).unwrap_err();
    assert!(matches!(error.root(), Error::ForeignValue), "{error}");
}

#[test]
fn results_are_named_after_metric_and_average() {
    let (ten, one, flat) = (Shape::from([8, 3]), Shape::from([8, 1]), Shape::from([8]));
    let names = |metric: Metric, output: Shape| metric.result_names(output).join(" ");
    assert_eq!(names(Metric::Accuracy, ten), "accuracy");
    assert_eq!(names(Metric::TopKAccuracy { k: 5 }, ten), "top_5_accuracy");
    assert_eq!(names(Metric::Precision(Average::Macro), ten), "precision_macro");
    assert_eq!(names(Metric::Recall(Average::Binary), one), "recall");
    assert_eq!(names(Metric::F1(Average::PerClass), ten), "f1_0 f1_1 f1_2");
    assert_eq!(names(Metric::Specificity(Average::PerClass), one), "specificity_0 specificity_1");
    let four = "confusion_matrix_0_0 confusion_matrix_0_1 confusion_matrix_1_0 confusion_matrix_1_1";
    assert_eq!(names(Metric::ConfusionMatrix, flat), four);
    assert_eq!(names(Metric::roc_auc(Average::Weighted), ten), "roc_auc_weighted");
    assert_eq!(names(Metric::roc_auc(Average::PerClass), ten), "roc_auc_0 roc_auc_1 roc_auc_2");
    assert_eq!(names(Metric::roc_auc(Average::PerClass), one), "roc_auc");
    assert_eq!(names(Metric::RSquared, one), "r_squared");
}

/// What a metric adds to a step.
#[test]
fn metrics_take_few_dispatches() {
    let dispatches = |metric: Metric, classes: usize, labels: bool, masked: bool| {
        let mut g = Graph::new();
        let output = g.input("output", [128, classes]);
        let targets = if labels { g.labels("t", [128]) } else { g.targets("t", [128, classes]) };
        let mask = masked.then(|| g.input("mask", [128]));
        let inputs = MetricInputs { output, targets, scores: Scores::Logits, mask };
        let sums = metric.record(&g, inputs).expect("it records");
        let profile = DeviceProfile::baseline();
        let plan = g.forward([sums]).expect("it records").fuse(&profile).plan(&profile).expect("it plans");
        println!("{metric:?} of {classes}, masked {masked}:\n{plan}");
        plan.dispatches.len()
    };
    for masked in [false, true] {
        assert_eq!(dispatches(Metric::Accuracy, 10, true, masked), 3);
        assert_eq!(dispatches(Metric::Accuracy, 1, false, masked), 2);
        assert_eq!(dispatches(Metric::roc_auc(Average::Binary), 1, false, masked), 1);
        assert_eq!(dispatches(Metric::MeanSquaredError, 1, false, masked), 4 - usize::from(masked));
        let confusion = 4 + usize::from(masked);
        assert_eq!(dispatches(Metric::F1(Average::Macro), 10, true, masked), confusion);
        // Four of them hold the first sample.
        assert!(dispatches(Metric::RSquared, 1, false, masked) <= 10);
    }
}

/// The mean of the first output: a metric of the program's own.
#[derive(Debug)]
struct FirstOutput;

impl MetricFunction for FirstOutput {
    fn name(&self) -> String {
        "first_output".to_owned()
    }

    fn record(&self, g: &Graph, inputs: MetricInputs) -> Result<Value> {
        let first = g.slice_axis(inputs.output, 1, 0..1)?;
        let batch = g.shape(first)?.dims()[0];
        let both = g.pad(first, &[(0, 0), (0, 1)], 1.0)?;
        match inputs.mask {
            Some(mask) => g.matmul(g.reshape(mask, [1, batch])?, both),
            None => g.sum(both, &[0], false),
        }
    }

    fn results(&self, sums: &[f64]) -> Vec<f64> {
        vec![sums[0] / sums[1]]
    }
}

#[test]
fn a_metric_of_the_programs_own_works_alike() {
    let data = Data::labelled([3, 2], &[1.0, 9.0, 2.0, 9.0, 6.0, 9.0], &[0, 0, 0]);
    let metric = Metric::custom(FirstOutput);
    assert_eq!(metric.name(), "first_output");
    assert_near(&data.results(&metric, Scores::Values), &[3.0]);
}
