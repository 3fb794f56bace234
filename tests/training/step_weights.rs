//! Weights of the steps of padded sequences: in metrics, by their classes, and with their samples.

use crate::common::gpu;
use crate::masks::{ROWS, TIME, close, counts, difference, label, model, samples, trainer};
use retape::Error;
use retape::data::Samples;
use retape::prelude::*;
use retape::train::{Average, Logs};

/// Weights and labels of steps go where their samples go: through splits, the order of an epoch, and batches
/// that are uploaded one by one.
#[test]
fn weights_of_steps_go_with_their_samples() {
    let is_real = |i: usize| counts(i)[1];
    let fitted = |device: &Device, resident: u64, held_out: bool| {
        let model = model(|net, _, words| {
            let h = net.add(Lstm::new(4).return_sequences(true), words);
            net.add(Dense::new(2), h)
        });
        let mut trainer =
            trainer(model).weighted_metrics([Metric::Accuracy]).batch_size(2).build(device).unwrap();
        let data = samples(is_real, [0.0, 9.0], 0);
        let fit = Fit::epochs(3).class_weights([(0, 0.5)]).resident_bytes(resident);
        let history = match held_out {
            true => trainer.fit(data.slice(0..3), fit.validation(data.slice(3..5))),
            false => trainer.fit(data, fit.validation_split(0.4)),
        };
        history.unwrap().epochs
    };
    let whole = fitted(gpu(), u64::MAX, true);
    assert!(whole[2].get("val_accuracy").is_some());
    for (resident, held_out) in [(0, true), (0, false), (u64::MAX, false)] {
        assert_eq!(fitted(gpu(), resident, held_out), whole, "{resident}, {held_out}");
    }
    let reference = fitted(&Device::reference(), 0, false);
    close(reference[2].get("val_loss").unwrap(), whole[2].get("val_loss").unwrap(), "val_loss");
}

/// Two sequences of three steps and the classes that they are taken for: the model passes its inputs on.
fn figures(device: &Device, masked: bool, weights: Vec<f32>, class: f32) -> [Logs; 2] {
    // Predicted 0, 1, 1 and 1, 0, 0.
    let x = [[1.0f32, 0.0], [0.0, 1.0], [0.0, 1.0], [0.0, 1.0], [1.0, 0.0], [1.0, 0.0]].concat();
    let identity = || Dense::new(2).weight_init(Init::Values(vec![1.0, 0.0, 0.0, 1.0]));
    let mut net = Network::new();
    let (input, mask) = (net.input(), net.input());
    let rows = net.add(SequenceMask, [input, mask]);
    let y = net.add(identity(), if masked { rows } else { input });
    // What the outputs do not depend on is an input all the same.
    let mut trainer = Trainer::with_inputs(net.output(y), [Shape::from([3, 2]), Shape::from([3])])
        .loss(Loss::SparseCategoricalCrossEntropy)
        .optimizer(Sgd::new(0.0))
        .metrics([Metric::Accuracy])
        .weighted_metrics([Metric::Accuracy, Metric::Precision(Average::PerClass), Metric::ConfusionMatrix])
        .batch_size(2)
        .build(device)
        .unwrap();
    let data = Samples::new()
        .input([3, 2], x)
        .input([3], vec![1.0f32, 1.0, 0.0, 0.0, 1.0, 1.0])
        .target([3], vec![0u32, 0, 1, 0, 0, 1])
        .weights(weights);
    let history = trainer.fit(data.clone(), Fit::epochs(1).class_weights([(1, class)])).unwrap();
    let evaluation = trainer.evaluate(data).unwrap();
    [history.epochs[0].clone(), evaluation.logs().clone()]
}

/// By hand: labels 0 0 1 and 0 0 1, taken for 0 1 1 and 1 0 0.
#[test]
fn weighted_metrics_of_steps() {
    let of_steps = vec![1.0f32, 2.0, 4.0, 8.0, 0.5, 3.0];
    for device in [Device::reference(), Device::cpu(), gpu().clone()] {
        let check = |masked: bool, weights: &[f32], class: f32, [train, test]: [[f64; 8]; 2]| {
            let figures_of = ["accuracy", "weighted_accuracy", "precision_0", "precision_1"];
            let cells = ["0_0", "0_1", "1_0", "1_1"].map(|cell| format!("confusion_matrix_{cell}"));
            let found = figures(&device, masked, weights.to_vec(), class);
            for (found, want) in found.iter().zip([train, test]) {
                for (name, want) in figures_of.into_iter().chain(cells.iter().map(String::as_str)).zip(want) {
                    close(found.get(name).unwrap_or(f64::NAN), want, &format!("{name} in {found}"));
                }
            }
        };
        // Steps 0, 1, 4 and 5 count: right, wrong, right, wrong.
        let plain = [0.5, 1.5 / 6.5, 1.5 / 4.5, 0.0, 1.5, 2.0, 3.0, 0.0];
        check(true, &of_steps, 1.0, [plain, plain]);
        // In training, steps of class 1 count twice.
        let twice = [0.5, 1.5 / 9.5, 1.5 / 7.5, 0.0, 1.5, 2.0, 6.0, 0.0];
        check(true, &of_steps, 2.0, [twice, plain]);
        // Weights of samples.
        let samples = [0.5, 4.0 / 8.0, 4.0 / 7.0, 0.0, 4.0, 1.0, 3.0, 0.0];
        check(true, &[1.0, 3.0], 1.0, [samples, samples]);
        // Without a mask, all steps.
        let open = [0.5, 5.5 / 18.5, 1.5 / 4.5, 4.0 / 14.0, 1.5, 10.0, 3.0, 4.0];
        check(false, &of_steps, 1.0, [open, open]);
    }
}

/// Each step by the weight of its own class, as if that were given with it; rows of zeros are of no class.
#[test]
fn classes_of_steps_have_weights() {
    let is_real = |i: usize| counts(i)[0];
    let model = || {
        model(|net, x, _| {
            let h = net.add(Gru::new(3).return_sequences(true), x);
            net.add(Dense::new(2), h)
        })
    };
    let flat = |rows: [f32; 2], i: usize| if is_real(i) { rows } else { [0.0; 2] };
    let one_hot: Vec<f32> =
        (0..ROWS * TIME).flat_map(|i| flat([[1.0, 0.0], [0.0, 1.0]][label(i) as usize], i)).collect();
    let by_class: Vec<f32> = (0..ROWS * TIME).map(|i| [1.0, 2.5][label(i) as usize]).collect();
    for own in [None, Some(vec![1.0f32, 0.5, 2.0, 1.0, 3.0]), Some((0..30).map(|i| (i % 4) as f32).collect())]
    {
        let fit = |given: bool, rows: bool| {
            let builder = trainer(model()).batch_size(2);
            let builder = if rows { builder.loss(Loss::CategoricalCrossEntropy) } else { builder };
            let mut trainer = builder.build(gpu()).unwrap();
            let mut data = samples(is_real, [0.0, 1.0], 0);
            data.weights = None;
            if rows {
                data = data.target([TIME, 2], one_hot.clone());
            }
            let times = |i: usize| own.as_ref().map_or(1.0, |own| own[i * own.len() / (ROWS * TIME)]);
            let product: Vec<f32> = (0..ROWS * TIME).map(|i| by_class[i] * times(i)).collect();
            let (data, fit) = match (given, &own) {
                (true, _) => (data.weights(product), Fit::epochs(2)),
                (false, Some(own)) => (data.weights(own.clone()), Fit::epochs(2).class_weights([(1, 2.5)])),
                (false, None) => (data, Fit::epochs(2).class_weights([(1, 2.5)])),
            };
            trainer.fit(data, fit).unwrap();
            trainer.weights().unwrap()
        };
        assert_eq!(fit(false, false), fit(true, false));
        assert!(difference(&fit(false, true), &fit(false, false)) <= 2e-6);
        assert!(difference(&fit(false, true), &fit(true, true)) == 0.0);
    }
    // Shares of nothing, and numbers that are no classes.
    let refused = |loss: Loss, targets: Vec<f32>| {
        let mut trainer = trainer(model()).loss(loss).batch_size(2).build(&Device::reference()).unwrap();
        let mut data = samples(is_real, [0.0, 1.0], 0);
        data.weights = None;
        let error = trainer.fit(data.target([TIME, 2], targets), Fit::epochs(1).class_weights([(1, 2.0)]));
        error.unwrap_err()
    };
    let mut wrong = one_hot.clone();
    wrong[2 * (TIME + 4)] = 0.7;
    for (loss, targets) in [(Loss::CategoricalCrossEntropy, wrong), (Loss::MeanSquaredError, one_hot)] {
        let error = refused(loss, targets);
        assert!(matches!(error.root(), Error::Argument { argument: "class_weights", .. }), "{error}");
        assert!(error.to_string().contains("step") && error.to_string().contains("sample"), "{error}");
    }
}
