//! What cannot be meant is refused, with what may be done about it; what is meant is taken as it is.

use crate::common;
use retape::data::{Dataset, Samples};
use retape::nn::Node;
use retape::prelude::*;
use retape::train::{LossFunction, TrainerBuilder};
use retape::{Error, Result};

fn devices() -> [Device; 3] {
    [Device::reference(), Device::cpu(), common::gpu().clone()]
}

fn ends_in(last: Dense, loss: impl LossFunction + 'static) -> TrainerBuilder {
    let model = Sequential::new().add(Dense::new(4).activation(Activation::Relu)).add(last);
    Trainer::new(model, [2]).loss(loss).optimizer(Sgd::new(0.1)).batch_size(4)
}

fn refused(built: Result<Trainer>, facts: &[&str]) {
    let error = built.expect_err("it is refused");
    let text = error.to_string();
    assert!(matches!(error.root(), Error::Argument { .. }), "{text}");
    assert!(facts.iter().all(|fact| text.contains(fact)), "{facts:?}: {text}");
    assert!(text.contains("refusals.rs:"), "the program's line: {text}");
}

#[test]
fn one_output_takes_no_softmax() {
    let one = || Dense::new(1).activation(Activation::Softmax);
    let binary = Loss::BinaryCrossEntropy;
    let losses: [Box<dyn LossFunction>; 4] = [
        Box::new(binary),
        Box::new(binary.from_probabilities()),
        Box::new(Loss::MeanSquaredError),
        Box::new(Loss::KlDivergence),
    ];
    for loss in losses {
        refused(ends_in(one(), loss).build(&Device::reference()), &["softmax over one class", "Sigmoid"]);
    }
    // One class of one, however it is given.
    for loss in [Loss::SparseCategoricalCrossEntropy, Loss::CategoricalCrossEntropy] {
        refused(
            ends_in(one(), loss.from_probabilities()).build(&Device::reference()),
            &["BinaryCrossEntropy"],
        );
        refused(
            ends_in(Dense::new(1), loss).build(&Device::reference()),
            &["classes is 1", "BinaryCrossEntropy"],
        );
    }
    // Several classes do, and another axis that is long enough.
    let two = ends_in(Dense::new(2).activation(Activation::Softmax), Loss::MeanSquaredError);
    assert!(two.build(&Device::reference()).is_ok());
}

#[test]
fn probabilities_are_what_the_model_ends_in() {
    use Activation::{LogSoftmax, Relu, Sigmoid, Softmax, Tanh};
    let ends = |activation, loss: &dyn Fn() -> Box<dyn LossFunction>| {
        ends_in(Dense::new(3).activation(activation), loss()).build(&Device::reference())
    };
    let losses =
        [Loss::SparseCategoricalCrossEntropy, Loss::CategoricalCrossEntropy, Loss::BinaryCrossEntropy];
    for loss in losses {
        let boxed = || Box::new(loss.from_probabilities()) as Box<dyn LossFunction>;
        for wrong in [Activation::Linear, Tanh, LogSoftmax, Activation::Swish] {
            refused(ends(wrong, &boxed), &["from_probabilities", "Softmax"]);
        }
        for right in [Softmax, Sigmoid, Activation::HardSigmoid] {
            assert!(ends(right, &boxed).is_ok(), "{loss:?} of {right:?}");
        }
        // Rows are divided by their sums, single outputs are not.
        assert_eq!(ends(Relu, &boxed).is_ok(), loss != Loss::BinaryCrossEntropy);
    }
    let unbiased = Dense::new(3).bias(false);
    refused(
        ends_in(unbiased, Loss::BinaryCrossEntropy.from_probabilities()).build(&Device::reference()),
        &["matmul", "logits"],
    );
    // Of a convolution, and behind a view.
    let pictures = Sequential::new().add(Conv2d::new(3, [2, 2])).add(Flatten);
    let loss = Loss::BinaryCrossEntropy.from_probabilities();
    let built =
        Trainer::new(pictures, [1, 2, 2]).loss(loss).optimizer(Sgd::new(0.1)).build(&Device::reference());
    refused(built, &["from_probabilities"]);

    let divergence = || Box::new(Loss::KlDivergence) as Box<dyn LossFunction>;
    refused(ends(Activation::Linear, &divergence), &["kl_divergence", "Softmax"]);
    assert!(ends(Softmax, &divergence).is_ok());
    let likelihood = || Box::new(Loss::NegativeLogLikelihood) as Box<dyn LossFunction>;
    for wrong in [Activation::Linear, Softmax] {
        refused(ends(wrong, &likelihood), &["LogSoftmax", "SparseCategoricalCrossEntropy"]);
    }
    assert!(ends(LogSoftmax, &likelihood).is_ok());
}

/// What a model ends in is known through layers that leave numbers, or their signs, as they are.
#[test]
fn what_the_model_ends_in_is_known_through_its_last_layers() {
    let loss = || Loss::BinaryCrossEntropy.from_probabilities();
    let built = |model: Model, shape: &[usize]| {
        let shape = Shape::new(shape).unwrap();
        Trainer::new(model, shape)
            .loss(loss())
            .optimizer(Sgd::new(0.1))
            .batch_size(2)
            .build(&Device::reference())
    };
    let dense = |units| Dense::new(units);
    let branches = |join: fn(&mut Network, [Node; 2]) -> Node, right: bool| -> Model {
        let mut net = Network::new();
        let x = net.input();
        let activation = if right { Activation::Sigmoid } else { Activation::Linear };
        let ends = [0; 2].map(|_| net.add(dense(2).activation(activation), x));
        let joined = join(&mut net, ends);
        net.output(joined)
    };
    type Join = fn(&mut Network, [Node; 2]) -> Node;
    let joins: [Join; 2] = [|net, ends| net.add(Add, ends), |net, ends| net.add(Concat::new(-1), ends)];
    for join in joins {
        assert!(built(branches(join, false), &[3]).is_err());
        assert!(built(branches(join, true), &[3]).is_ok());
    }
    let sequence = || Sequential::new().add(Embedding::new(20, 3));
    let image = || Sequential::new().add(Conv2d::new(2, [2, 2]));
    let wrong: [(&str, Model, &[usize]); 9] = [
        ("conv", image().add(GlobalAvgPool2d).into(), &[1, 4, 4]),
        ("largest", image().add(GlobalMaxPool2d).into(), &[1, 4, 4]),
        ("pooled", image().add(AvgPool2d::new([3, 3])).add(Flatten).into(), &[1, 4, 4]),
        ("dropout", Sequential::new().add(dense(1)).add(Dropout::new(0.5)).into(), &[3]),
        ("embedding", sequence().add(GlobalAvgPool1d).into(), &[5]),
        ("lstm", sequence().add(Lstm::new(2)).into(), &[5]),
        ("gru", sequence().add(Gru::new(2)).add(Dropout::new(0.1)).into(), &[5]),
        ("simple", sequence().add(SimpleRnn::new(1)).into(), &[5]),
        ("both ways", sequence().add(Bidirectional::new(Lstm::new(1))).into(), &[5]),
    ];
    for (name, model, shape) in wrong {
        let error = built(model, shape).expect_err(name).to_string();
        assert!(error.contains("from_probabilities"), "{name}: {error}");
    }
    let one = Sequential::new().add(dense(1).activation(Activation::Softmax)).add(Dropout::new(0.5));
    let error = built(one.into(), &[3]).expect_err("one class").to_string();
    assert!(error.contains("softmax over one class") && error.contains("the result of softmax"), "{error}");
    // What is behind them may be right, and what is not known is taken.
    let right = dense(2).activation(Activation::Sigmoid);
    assert!(built(Sequential::new().add(right).add(Dropout::new(0.5)).into(), &[3]).is_ok());
    let scaled = image().add(GlobalAvgPool2d).add(FunctionLayer);
    assert!(built(scaled.into(), &[1, 4, 4]).is_ok());
}

/// `(tanh(x) + 1) / 2`, which is from 0 to 1.
#[derive(Debug)]
struct FunctionLayer;

impl Layer for FunctionLayer {
    fn kind(&self) -> &'static str {
        "shifted"
    }

    fn record(&self, cx: &mut LayerContext<'_>, inputs: &[Value]) -> Result<Value> {
        let x = cx.one(inputs)?;
        let g = cx.graph();
        let one = g.scalar_constant(1.0);
        g.mul(g.add(g.tanh(x)?, one)?, g.scalar_constant(0.5))
    }
}

/// A mixture of softmaxes is a product, and a temperature a factor: neither is linear in weights of its own.
#[derive(Debug)]
struct Mixture;

impl Layer for Mixture {
    fn kind(&self) -> &'static str {
        "mixture"
    }

    fn record(&self, cx: &mut LayerContext<'_>, inputs: &[Value]) -> Result<Value> {
        let x = cx.one(inputs)?;
        let w = cx.parameter("experts", [2, 3], Init::GlorotUniform);
        let g = cx.graph();
        g.matmul(g.softmax(x, -1)?, g.softmax(w, -1)?)
    }
}

#[test]
fn probabilities_of_a_program_s_own_are_taken() {
    let model = Sequential::new().add(Dense::new(2)).add(Mixture);
    let built = Trainer::new(model, [2]).loss(Loss::SparseCategoricalCrossEntropy.from_probabilities());
    built.optimizer(Sgd::new(0.1)).build(&Device::reference()).unwrap();
}

#[test]
fn a_last_batch_of_one_names_what_leaves_it_out() {
    let data = |count: usize| {
        let inputs = common::data::noise(2 * count, 3, -1.0, 1.0);
        Samples::new().input([2], inputs).target([1], vec![0.5; count])
    };
    for device in devices() {
        let model = Sequential::new().add(Dense::new(3)).add(BatchNorm::new()).add(Dense::new(1));
        let trainer = Trainer::new(model, [2]).loss(Loss::MeanSquaredError).optimizer(Sgd::new(0.1));
        let mut trainer = trainer.batch_size(4).build(&device).unwrap();
        let before = trainer.weights().unwrap();
        let error = trainer.fit(data(9), Fit::epochs(1)).unwrap_err();
        let text = error.to_string();
        assert!(matches!(error, Error::LastBatch { samples: 1, batch: 4, .. }), "{text}");
        assert!(matches!(error.root(), Error::Argument { argument: "values per channel", .. }), "{text}");
        let facts = ["1 of 4 samples", "drop_last(true)", "batch_norm", "more than 1 value"];
        assert!(facts.iter().all(|fact| text.contains(fact)), "{text}");
        assert_eq!(trainer.weights().unwrap(), before, "nothing was trained");
        trainer.fit(data(9), Fit::epochs(1).drop_last(true)).unwrap();
        trainer.fit(data(10), Fit::epochs(1)).unwrap();
        // Where it is the only batch, leaving it out leaves nothing.
        let error = trainer.fit(data(1), Fit::epochs(1)).unwrap_err();
        assert!(!error.to_string().contains("drop_last"), "{error}");
    }
}

fn classified(targets: Samples<'static>, outputs: usize, loss: impl LossFunction + 'static) -> Result<f64> {
    let model = Sequential::new().add(Dense::new(outputs).weight_init(Init::Zeros));
    let trainer = Trainer::new(model, [1]).loss(loss).optimizer(Sgd::new(0.0));
    let mut trainer = trainer.batch_size(2).build(&Device::reference())?;
    let history = trainer.fit(targets, Fit::epochs(1).class_weights([(0, 3.0), (1, 0.5)]))?;
    Ok(history.get("loss")[0])
}

#[test]
fn class_weights_are_for_classes() {
    let x = || Samples::new().input([1], vec![1.0; 2]);
    let rows = |data: Vec<f32>| x().target([2], data);
    let (ln2, mean) = (2f64.ln(), (3.0 + 0.5) / 2.0);
    let close = |found: Result<f64>, want: f64| {
        let found = found.unwrap();
        assert!((found - want).abs() < 1e-6, "{found} for {want}");
    };
    close(classified(x().labels(vec![0, 1]), 2, Loss::SparseCategoricalCrossEntropy), mean * ln2);
    close(classified(rows(vec![1.0, 0.0, 0.0, 1.0]), 2, Loss::CategoricalCrossEntropy), mean * ln2);
    close(classified(rows(vec![0.9, 0.1, 0.2, 0.8]), 2, Loss::CategoricalCrossEntropy), mean * ln2);
    close(classified(x().target([1], vec![0.0, 1.0]), 1, Loss::BinaryCrossEntropy), mean * ln2);
    close(classified(x().labels(vec![0, 1]), 1, Loss::BinaryCrossEntropy), mean * ln2);
    // One-hot rows are classes whatever the loss.
    close(classified(rows(vec![1.0, 0.0, 0.0, 1.0]), 2, Loss::MeanSquaredError), mean * 0.5);

    let refused = |result: Result<f64>| {
        let error = result.unwrap_err();
        assert!(matches!(error.root(), Error::Argument { argument: "class_weights", .. }), "{error}");
        assert!(error.to_string().contains("Samples::weights"), "{error}");
    };
    refused(classified(rows(vec![0.3, 0.7, 1.5, -2.0]), 2, Loss::MeanSquaredError));
    refused(classified(rows(vec![0.3, 0.7, 0.4, 0.6]), 2, Loss::MeanAbsoluteError));
    refused(classified(rows(vec![1.0, 0.0, 0.0, 0.0]), 2, Loss::MeanSquaredError));
    refused(classified(rows(vec![2.0, 0.0, 0.0, 1.0]), 2, Loss::CategoricalCrossEntropy));
    refused(classified(rows(vec![1.0, 1.0, 0.0, 1.0]), 2, Loss::BinaryCrossEntropy));
    refused(classified(x().target([1], vec![0.5, 1.0]), 1, Loss::MeanSquaredError));
    refused(classified(x().target([1], vec![0.0, 2.0]), 1, Loss::Poisson));
    // Rows of steps are rows of classes, those of pixels are none.
    let rows = [[1.0, 0.0], [1.0, 0.0], [0.0, 1.0], [1.0, 0.0]].concat();
    let fitted = |shape: &[usize]| {
        let of = |size: usize| Shape::new(&[shape, &[size]].concat()).unwrap();
        let model = Sequential::new().add(Dense::new(2).weight_init(Init::Zeros));
        let built = Trainer::new(model, of(1)).loss(Loss::CategoricalCrossEntropy).optimizer(Sgd::new(0.0));
        let samples = Samples::new().input(of(1), vec![1.0; 4]).target(of(2), rows.clone());
        let fit = Fit::epochs(1).class_weights([(0, 3.0)]);
        built
            .batch_size(1)
            .build(&Device::reference())?
            .fit(samples, fit)
            .map(|history| history.get("loss")[0])
    };
    close(fitted(&[4]), 2.5 * ln2);
    refused(fitted(&[2, 2]));
}

/// Labels 0 and 1 are what a yes or no is given by, in training, validation and evaluation.
#[test]
fn labels_are_taken_for_a_yes_or_no() -> Result<()> {
    let inputs = || vec![0.0f32, 0.0, 0.0, 1.0, 1.0, 0.0, 1.0, 1.0];
    let labels = vec![0u32, 1, 1, 0];
    let numbers: Vec<f32> = labels.iter().map(|&label| label as f32).collect();
    let data = Dataset::new([2], inputs(), labels.clone(), 2)?;
    let same = Samples::new().input([2], inputs()).target([1], numbers);
    for device in devices() {
        for loss in [Loss::BinaryCrossEntropy, Loss::Hinge, Loss::SquaredHinge] {
            let build = || {
                let model =
                    Sequential::new().add(Dense::new(4).activation(Activation::Tanh)).add(Dense::new(1));
                let trainer = Trainer::new(model, [2]).loss(loss).optimizer(Adam::new(0.05));
                trainer.metrics([Metric::Accuracy]).batch_size(3).seed(2).build(&device)
            };
            let (mut by_label, mut by_number) = (build()?, build()?);
            let history = by_label.fit(&data, Fit::epochs(3).validation(&data))?;
            let same_samples = || same.slice(0..4);
            let fit = Fit::epochs(3).validation(same_samples());
            assert_eq!(by_number.fit(same_samples(), fit)?, history);
            assert_eq!(by_label.evaluate(&data)?, by_number.evaluate(same_samples())?);
            by_label.train_on_batch(&data)?;
            by_number.train_on_batch(same_samples())?;
            assert_eq!(by_label.weights()?, by_number.weights()?);
            let classes = by_label.predict_classes(&data)?;
            assert_eq!(classes.len(), 4);

            let past = Dataset::new([2], inputs(), vec![0, 1, 2, 0], 3)?;
            let error = by_label.fit(&past, Fit::epochs(1)).unwrap_err();
            assert!(matches!(error, Error::LabelOutOfRange { index: 2, label: 2, limit: 2, .. }), "{error}");
        }
        // A regression has no labels.
        let model = Sequential::new().add(Dense::new(1));
        let trainer = Trainer::new(model, [2]).loss(Loss::MeanSquaredError).optimizer(Adam::new(0.05));
        let error = trainer.build(&device)?.fit(&data, Fit::epochs(1)).unwrap_err();
        assert!(matches!(error, Error::TargetMismatch { .. }), "{error}");
    }
    Ok(())
}
