//! Models of padded sequences in a trainer: in words, numbers, labels and weights, what stands at padding
//! matters to nothing, and everything is a mean over the steps that count.

use crate::common::gpu;
use crate::common::logs::logged;

use retape::Result;
use retape::data::Samples;
use retape::nn::{Layer, LayerContext, Model, Node};
use retape::prelude::*;
use retape::train::{Average, TrainerBuilder, Weights};

pub const TIME: usize = 6;
pub const ROWS: usize = 5;

/// Which steps of the numbers count: padding behind, in front, on both sides, nowhere, and nothing else.
const MASK: [[u8; TIME]; ROWS] =
    [[1, 1, 0, 0, 0, 0], [0, 0, 0, 1, 1, 1], [0, 1, 1, 0, 0, 0], [1; TIME], [0; TIME]];

/// Words, with 0 for padding, of other lengths.
const WORDS: [[u32; TIME]; ROWS] =
    [[0, 0, 3, 4, 0, 0], [1, 2, 0, 0, 0, 0], [5; TIME], [0, 0, 0, 0, 0, 2], [1, 0, 2, 0, 3, 0]];

/// Whether step `i` of all counts in the first input, in the second.
pub fn counts(i: usize) -> [bool; 2] {
    [MASK.concat()[i] == 1, WORDS.concat()[i] != 0]
}

/// A model of numbers `[batch, 6, 3]` with a mask, and of words as vectors of three with theirs.
pub fn model(build: impl Fn(&mut Network, Node, Node) -> Node) -> Model {
    let mut net = Network::new();
    let (x, mask, words) = (net.input(), net.input(), net.input());
    let numbers = net.add(SequenceMask, [x, mask]);
    let init = Init::Uniform { low: -1.0, high: 1.0 };
    let words = net.add(Embedding::new(6, 3).padding_index(0).weight_init(init), words);
    let y = build(&mut net, numbers, words);
    net.output(y)
}

pub fn trainer(model: impl Layer) -> TrainerBuilder {
    Trainer::with_inputs(model, [Shape::from([TIME, 3]), Shape::from([TIME]), Shape::from([TIME])])
        .loss(Loss::SparseCategoricalCrossEntropy)
        .optimizer(Sgd::new(0.1))
        .seed(5)
}

pub fn label(i: usize) -> u32 {
    (i * i % 3 % 2) as u32
}

/// The samples, with other numbers and labels where nothing counts.
pub fn samples(is_real: impl Fn(usize) -> bool, [number, weight]: [f32; 2], filler: u32) -> Samples<'static> {
    let x = (0..ROWS * TIME * 3).map(|i| if counts(i / 3)[0] { (i as f32).sin() } else { number });
    let mask = MASK.concat().into_iter().map(f32::from);
    let labels = (0..ROWS * TIME).map(|i| if is_real(i) { label(i) } else { filler });
    let weights = (0..ROWS * TIME).map(|i| if is_real(i) { (i % 4) as f32 / 2.0 } else { weight });
    Samples::new()
        .input([TIME, 3], x.collect::<Vec<_>>())
        .input([TIME], mask.collect::<Vec<_>>())
        .input([TIME], WORDS.concat())
        .target([TIME], labels.collect::<Vec<_>>())
        .weights(weights.collect::<Vec<f32>>())
}

#[track_caller]
pub fn close(found: f64, want: f64, what: &str) {
    assert!((found - want).abs() <= 3e-6 * want.abs().max(1.0), "{what}: {found} for {want}");
}

/// The mean over the steps that count of the weighted loss, and the shares of right ones, plain and weighted:
/// from logits.
fn by_hand(logits: &[f32], is_real: impl Fn(usize) -> bool) -> [f64; 3] {
    let [mut loss, mut right, mut weighted, mut count, mut weight] = [0.0; 5];
    for (i, row) in logits.chunks_exact(2).enumerate().filter(|(i, _)| is_real(*i)) {
        let (own, label) = ((i % 4) as f64 / 2.0, label(i) as usize);
        let [a, b] = [f64::from(row[0]), f64::from(row[1])];
        let is_right = f64::from(u8::from(usize::from(b > a) == label));
        loss += own * ((a.exp() + b.exp()).ln() - [a, b][label]);
        (right, weighted) = (right + is_right, weighted + own * is_right);
        (count, weight) = (count + 1.0, weight + own);
    }
    [loss / count, right / count, weighted / weight]
}

type Build = fn(&mut Network, Node, Node) -> Node;
type Joins = fn([bool; 2]) -> bool;

/// Models with a label for each step, and which steps count in the end.
const TAGGERS: [(&str, Build, Joins); 11] = [
    (
        "the layers of the issue's kind",
        |net, _, words| net.add(Lstm::new(4).return_sequences(true), words),
        |c| c[1],
    ),
    (
        "both directions",
        |net, _, words| net.add(Bidirectional::new(Gru::new(3).return_sequences(true)), words),
        |c| c[1],
    ),
    (
        "stacked, with dropout",
        |net, x, _| {
            let h = net.add(SimpleRnn::new(4).return_sequences(true).dropout(0.2), x);
            net.add(Lstm::new(3).return_sequences(true).go_backwards(true).recurrent_dropout(0.2), h)
        },
        |c| c[0],
    ),
    (
        "step by step",
        |net, x, _| {
            let h = net.add(Dense::new(8).activation(Activation::Tanh), x);
            let h = net.add(Dropout::new(0.3), h);
            let h = net.add(LayerNorm::new(), h);
            let h = net.add(Activation::Relu, h);
            let h = net.add(GaussianNoise::new(0.1), h);
            let h = net.add(Reshape::new([TIME, 2, 4]), h);
            let h = net.add(Reshape::new([TIME, 8]), h);
            net.add(SpatialDropout::new(0.1), h)
        },
        |c| c[0],
    ),
    (
        "normalised",
        |net, x, _| {
            let h = net.add(BatchNorm::new().axis(-1), x);
            let h = net.add(Gru::new(4).return_sequences(true), h);
            net.add(BatchNorm::new().axis(-1), h)
        },
        |c| c[0],
    ),
    (
        "penalised",
        |net, _, words| {
            let h = net.add(Dense::new(4), words);
            net.add(ActivityPenalty::new(Penalty::elastic_net(0.01, 0.01)), h)
        },
        |c| c[1],
    ),
    (
        "shared",
        |net, x, words| {
            let tower = Gru::new(4).return_sequences(true).shared();
            let [a, b] = [x, words].map(|input| net.add(&tower, input));
            net.add(Add, [a, b])
        },
        |c| c[0] || c[1],
    ),
    (
        "side by side",
        |net, x, words| {
            let both = net.add(Concat::new(-1), [x, words]);
            net.add(Lstm::new(4).return_sequences(true), both)
        },
        |c| c[0] || c[1],
    ),
    (
        "added, with a skip",
        |net, x, words| {
            let h = net.add(Bidirectional::new(Lstm::new(3).return_sequences(true)).merge(Merge::Sum), x);
            let sum = net.add(Add, [h, words]);
            net.add(Add, [sum, x])
        },
        |c| c[0] || c[1],
    ),
    (
        "windows that overlap",
        |net, x, _| {
            let h = net.add(MaxPool1d::new(1), x);
            net.add(Gru::new(3).return_sequences(true).zero_output_for_mask(true), h)
        },
        |c| c[0],
    ),
    (
        "within a model",
        |net, x, _| {
            let inner = Sequential::new().add(Dense::new(4)).add(Gru::new(3).return_sequences(true));
            net.add(Sequential::new().add(inner).add(Dropout::new(0.1)), x)
        },
        |c| c[0],
    ),
];

#[test]
fn nothing_at_padding_matters_to_models_of_steps() {
    for (name, build, joins) in TAGGERS {
        let is_real = |i: usize| joins(counts(i));
        let model = || {
            model(|net, x, words| {
                let h = build(net, x, words);
                net.add(Dense::new(2), h)
            })
        };
        for device in [Device::reference(), Device::cpu(), gpu().clone()] {
            let run = |filler: u32, numbers: [f32; 2]| -> Result<_> {
                let mut trainer = trainer(model())
                    .metrics([Metric::Accuracy, Metric::F1(Average::Macro)])
                    .weighted_metrics([Metric::Accuracy, Metric::ConfusionMatrix])
                    .batch_size(3)
                    .accumulate(2)
                    .build(&device)?;
                let data = samples(is_real, numbers, filler);
                let before = trainer.evaluate(data.clone())?;
                let logits = trainer.predict(data.clone())?.data;
                let fit = Fit::epochs(2).class_weights([(1, 3.0)]).validation(data.clone());
                let history = trainer.fit(data.clone(), fit)?;
                Ok((before, logits, history, trainer.weights()?, trainer.evaluate(data)?))
            };
            let clean = run(0, [0.0, 0.0]).unwrap();
            let [loss, accuracy, weighted] = by_hand(&clean.1, is_real);
            close(clean.0.loss, loss, name);
            close(clean.0.get("accuracy").unwrap(), accuracy, name);
            close(clean.0.get("weighted_accuracy").unwrap(), weighted, name);
            assert!(clean.2.last("loss").is_some_and(f64::is_finite), "{name}: {:?}", clean.2);
            let noisy = run(1, [f32::NAN, 7.0]).unwrap();
            assert!(clean == noisy, "{name} on {device:?}: {:?}, {:?}", clean.2, noisy.2);
        }
    }
    assert!(logged(log::Level::Warn).is_empty());
}

/// Models with a label for each sequence.
const CLASSIFIERS: [(&str, Build); 8] = [
    ("the mean", |net, x, _| net.add(GlobalAvgPool1d, x)),
    ("the largest", |net, x, _| net.add(GlobalMaxPool1d, x)),
    ("the last state", |net, x, _| net.add(Gru::new(3), x)),
    ("both ends", |net, x, words| {
        let both = net.add(Concat::new(1), [x, words]);
        net.add(Bidirectional::new(Lstm::new(2)), both)
    }),
    ("windows", |net, x, _| {
        let h = net.add(AvgPool1d::new(2), x);
        let h = net.add(MaxPool1d::new(2).stride(1), h);
        net.add(SimpleRnn::new(3), h)
    }),
    ("normalised", |net, x, _| {
        let h = net.add(BatchNorm::new().axis(-1), x);
        net.add(GlobalAvgPool1d, h)
    }),
    ("two towers", |net, x, words| {
        let tower = Sequential::new().add(Dense::new(4)).add(GlobalMaxPool1d).shared();
        let [a, b] = [x, words].map(|input| net.add(&tower, input));
        net.add(Concat::channels(), [a, b])
    }),
    ("an encoder and its states", |net, x, words| {
        let states = net.add_all(Lstm::new(3).return_state(true), x);
        net.add(Lstm::new(3), [words, states[1], states[2]])
    }),
];

#[test]
fn nothing_at_padding_matters_to_models_of_sequences() {
    for (name, build) in CLASSIFIERS {
        for device in [Device::reference(), Device::cpu(), gpu().clone()] {
            let run = |number: f32| -> Result<_> {
                let model = model(|net, x, words| {
                    let h = build(net, x, words);
                    net.add(Dense::new(2), h)
                });
                let mut trainer = trainer(model).metrics([Metric::Accuracy]).batch_size(2).build(&device)?;
                let mut data = samples(|_| true, [number, 1.0], 0);
                data.weights = None;
                let data = data.labels(&[0, 1, 1, 0, 1]);
                let history = trainer.fit(data.clone(), Fit::epochs(2).class_weights([(1, 3.0)]))?;
                assert!(history.last("loss").is_some_and(f64::is_finite), "{name}: {history:?}");
                Ok((history, trainer.weights()?, trainer.evaluate(data.clone())?, trainer.predict(data)?))
            };
            let (clean, noisy) = (run(0.0).unwrap(), run(f32::NAN).unwrap());
            assert!(clean == noisy, "{name} on {device:?}: {:?}, {:?}", clean.0, noisy.0);
        }
    }
    assert!(logged(log::Level::Warn).is_empty());
}

/// Adds what its layer makes of a sequence to that, as a residual block does.
#[derive(Debug)]
struct Residual {
    keeps_steps: bool,
    asks: bool,
}

impl Layer for Residual {
    fn kind(&self) -> &'static str {
        "residual"
    }

    fn record(&self, cx: &mut LayerContext<'_>, inputs: &[Value]) -> Result<Value> {
        let x = cx.one(inputs)?;
        let mask = if self.asks { cx.mask(x) } else { None };
        cx.penalize(x, Penalty::l2(0.1))?;
        let h = cx.add(Dense::new(3), x)?;
        let y = cx.graph().add(x, h)?;
        mask.map_or(Ok(()), |mask| cx.set_mask(y, mask))?;
        Ok(y)
    }

    fn keeps_steps(&self) -> bool {
        self.keeps_steps
    }
}

/// Takes a sequence apart by other layers alone.
#[derive(Debug)]
struct Encoder;

impl Layer for Encoder {
    fn kind(&self) -> &'static str {
        "encoder"
    }

    fn record(&self, cx: &mut LayerContext<'_>, inputs: &[Value]) -> Result<Value> {
        let x = cx.one(inputs)?;
        cx.penalize(x, Penalty::l2(0.1))?;
        let h = cx.add(Lstm::new(3), x)?;
        cx.graph().relu(h)
    }
}

/// Where a mask ends and padding goes into the result, the log says so: once, with the layer and the line.
#[test]
fn the_end_of_a_mask_is_said_once() {
    let warnings = |build: Build, time: bool| {
        logged(log::Level::Warn);
        let model = model(|net, x, words| {
            let h = build(net, x, words);
            let h = if time { net.add(GlobalAvgPool1d, h) } else { h };
            net.add(Dense::new(2), h)
        });
        let mut trainer = trainer(model).batch_size(2).build(&Device::reference()).unwrap();
        let mut data = samples(|_| true, [0.0, 1.0], 0);
        data.weights = None;
        let data = data.labels(&[0, 1, 1, 0, 1]);
        trainer.fit(data.clone(), Fit::epochs(1).validation(data.clone())).unwrap();
        trainer.freeze(["embedding"]).unwrap();
        trainer.fit(data, Fit::epochs(1)).unwrap();
        logged(log::Level::Warn)
    };
    let ending: [(&str, Build, bool); 8] = [
        ("flatten", |net, x, _| net.add(Flatten, x), false),
        ("reshape", |net, x, _| net.add(Reshape::new([3, 6]), x), true),
        ("conv1d", |net, x, _| net.add(Conv1d::new(4, 2), x), true),
        ("group_norm", |net, x, _| net.add(GroupNorm::new(2), x), true),
        ("norm", |net, x, _| net.add(LayerNorm::new().axis(1).named("norm"), x), true),
        (
            "sequential.flatten",
            |net, x, _| net.add(Sequential::new().add(Dense::new(2)).add(Flatten), x),
            false,
        ),
        ("residual", |net, x, _| net.add(Residual { keeps_steps: false, asks: false }, x), true),
        (
            "conv1d",
            |net, x, _| {
                let h = net.add(Conv1d::new(4, 2), x);
                net.add(Conv1d::new(4, 2), h)
            },
            true,
        ),
    ];
    for (layer, build, time) in ending {
        let said = warnings(build, time);
        assert_eq!(said.len(), 1, "{layer}: {said:?}");
        let of_layer =
            said[0].contains(&format!("`{layer}`")) && said[0].contains("tests/training/masks.rs:");
        assert!(of_layer && said[0].contains("goes into its result"), "{layer}: {said:?}");
    }
    let silent: [(&str, Build, bool); 6] = [
        ("steps", |net, x, _| net.add(Residual { keeps_steps: true, asks: false }, x), true),
        ("its own mask", |net, x, _| net.add(Residual { keeps_steps: false, asks: true }, x), true),
        ("an encoder", |net, x, _| net.add(Encoder, x), false),
        ("ignored", |net, x, _| net.add(Gru::new(3).ignore_mask(true), x), false),
        ("one state", |net, x, _| net.add_all(Lstm::new(3).return_state(true), x)[1], false),
        ("pooled", |net, x, _| net.add(GlobalMaxPool1d, x), false),
    ];
    for (layer, build, time) in silent {
        assert_eq!(warnings(build, time), [""; 0], "{layer}");
    }
    // A program that records by itself; a summary says nothing.
    let model = Sequential::new().add(Embedding::new(5, 2).padding_index(0)).add(Flatten);
    model.summary([4]).unwrap();
    let mut g = Graph::new();
    let x = g.indices("x", [2, 4]);
    model.record(&mut g, x, Mode::Evaluation).unwrap();
    assert_eq!(logged(log::Level::Warn).len(), 1);
}

/// The largest difference between weights.
pub fn difference(a: &Weights, b: &Weights) -> f32 {
    let numbers = |w: &Weights| w.arrays.iter().flat_map(|array| array.data.clone()).collect::<Vec<f32>>();
    let pairs = numbers(a).into_iter().zip(numbers(b));
    pairs.fold(0.0, |most, (a, b)| most.max((a - b).abs()))
}

fn tagger(accumulate: usize, batch: usize) -> TrainerBuilder {
    let model = model(|net, x, words| {
        let h = net.add(Concat::new(-1), [x, words]);
        let h = net.add(Gru::new(4).return_sequences(true).weight_penalty(Penalty::l2(0.05)), h);
        net.add(Dense::new(2), h)
    });
    let built = trainer(model).batch_size(batch).accumulate(accumulate);
    built.parameter_group(|w| w.shape.rank() == 1, Adam::new(0.05).rate_name("biases"))
}

/// Batches with more padding and smaller ones, in one update: that of one batch of all, in every kind of
/// weights.
#[test]
fn an_update_of_several_batches_is_that_of_one() {
    let is_real = |i: usize| counts(i) != [false; 2];
    for device in [Device::reference(), Device::cpu(), gpu().clone()] {
        for weighted in [false, true] {
            let trained = |batch: usize, accumulate: usize| {
                let mut trainer = tagger(accumulate, batch).build(&device).unwrap();
                let mut data = samples(is_real, [f32::NAN, 3.0], 1);
                let mut fit = Fit::epochs(1).shuffle(false);
                if weighted {
                    fit = fit.class_weights([(0, 2.5)]);
                } else {
                    data.weights = None;
                }
                trainer.fit(data, fit).unwrap();
                assert_eq!(trainer.updates(), 1);
                trainer.weights().unwrap()
            };
            let whole = trained(5, 1);
            for (batch, accumulate) in [(1, 5), (2, 3), (3, 2), (4, 2), (2, 9)] {
                let most = difference(&whole, &trained(batch, accumulate));
                assert!(most <= 3e-7, "{accumulate} batches of {batch} on {device:?}: {most}");
            }
        }
    }
}

/// Batches of nothing but padding add their penalties, and nothing else, whether alone in an update or not.
#[test]
fn batches_of_nothing_but_padding_leave_the_penalties() {
    let data = |rows: &[usize]| {
        let all = samples(|i| counts(i)[0], [0.0, 1.0], 0);
        let mut inputs = Samples::new();
        for (index, each) in [(0, TIME * 3), (1, TIME)] {
            let retape::data::ColumnData::F32(numbers) = &all.inputs[index].data else { panic!("numbers") };
            let numbers: Vec<f32> =
                rows.iter().flat_map(|&row| numbers[row * each..][..each].to_vec()).collect();
            inputs =
                inputs.input(if index == 0 { Shape::from([TIME, 3]) } else { Shape::from([TIME]) }, numbers);
        }
        inputs.target([TIME], vec![1u32; TIME * rows.len()])
    };
    for device in [Device::reference(), Device::cpu(), gpu().clone()] {
        let trained = |rows: &[usize], batch: usize, accumulate: usize| {
            let mut net = Network::new();
            let (x, mask) = (net.input(), net.input());
            let h = net.add(SequenceMask, [x, mask]);
            let y = net.add(Dense::new(2).weight_penalty(Penalty::l2(0.5)), h);
            let built = Trainer::with_inputs(net.output(y), [Shape::from([TIME, 3]), Shape::from([TIME])]);
            let built = built.loss(Loss::SparseCategoricalCrossEntropy).optimizer(Sgd::new(0.1)).seed(5);
            let mut trainer = built.batch_size(batch).accumulate(accumulate).build(&device).unwrap();
            let before = trainer.weights().unwrap();
            trainer.fit(data(rows), Fit::epochs(1).shuffle(false)).unwrap();
            (before, trainer.weights().unwrap())
        };
        // Row 4 has no steps.
        let (before, alone) = trained(&[4, 4], 2, 1);
        let shrunk = |w: f32| w - 0.1 * 2.0 * 0.5 * w;
        for (w, after) in before.arrays[0].data.iter().zip(&alone.arrays[0].data) {
            assert!((shrunk(*w) - after).abs() <= 1e-7, "{w}, {after}");
        }
        assert!(difference(&trained(&[4, 4], 1, 2).1, &alone) <= 1e-7);
        assert!(difference(&trained(&[4, 0, 4], 1, 3).1, &trained(&[4, 0, 4], 3, 1).1) <= 1e-7);
    }
}

/// Outputs `[batch, time]` with a mask are one number for each step.
#[test]
fn outputs_of_one_number_a_step_are_masked_too() {
    let mask = [1.0f32, 1.0, 0.0, 0.0, 1.0, 1.0];
    let run = |filler: f32| {
        let model = Sequential::new().add(SequenceMask).add(BatchNorm::new());
        let built = Trainer::with_inputs(model, [Shape::from([3]), Shape::from([3])]);
        let built = built.loss(Loss::BinaryCrossEntropy).optimizer(Sgd::new(0.1));
        let built =
            built.metrics([Metric::Accuracy]).weighted_metrics([Metric::Precision(Average::PerClass)]);
        let mut trainer = built.batch_size(2).build(gpu()).unwrap();
        let number = |i: usize| if mask[i] == 0.0 { filler } else { (i as f32).cos() };
        let data = Samples::new()
            .input([3], (0..6).map(number).collect::<Vec<f32>>())
            .input([3], mask.to_vec())
            .target(
                [3],
                (0..6).map(|i| if mask[i] == 0.0 { filler } else { (i % 2) as f32 }).collect::<Vec<_>>(),
            );
        let stop = retape::train::callbacks::EarlyStopping::new("precision_1");
        let fit = Fit::epochs(2).class_weights([(1, 2.0)]).callback(stop);
        (trainer.fit(data.clone(), fit).unwrap(), trainer.evaluate(data).unwrap(), trainer.weights().unwrap())
    };
    assert_eq!(run(0.0), run(1.0));
}

/// How many steps a window has so far is part of a checkpoint, and outlasts a new recording.
#[test]
fn a_window_of_padded_batches_is_gone_on_with() {
    let is_real = |i: usize| counts(i) != [false; 2];
    let data = samples(is_real, [0.0, 1.0], 0);
    for device in [Device::reference(), Device::cpu(), gpu().clone()] {
        let begin = || {
            let mut trainer = tagger(3, 2).build(&device).unwrap();
            trainer.train_on_batch(data.slice(0..2)).unwrap();
            trainer
        };
        let end = |trainer: &mut Trainer| {
            trainer.train_on_batch(data.slice(3..5)).unwrap();
            assert!(trainer.flush_gradients().unwrap());
            trainer.weights().unwrap()
        };
        let whole = end(&mut begin());
        let mut fresh = tagger(3, 2).build(&device).unwrap();
        fresh.restore(&begin().checkpoint().unwrap()).unwrap();
        assert_eq!(end(&mut fresh), whole);
        let mut frozen = begin();
        frozen.freeze(["dense"]).unwrap();
        let (frozen, gru) = (end(&mut frozen), "gru.weight");
        assert_eq!(frozen.get(gru), whole.get(gru));
        assert_ne!(frozen.get("dense.weight"), whole.get("dense.weight"));
    }
}
