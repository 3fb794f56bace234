//! Layers and models: shapes, names, sharing between recordings, summaries, errors.

use crate::common;
use retape::nn::{LayerSpec, Recorded, Summary, record};
use retape::prelude::*;
use retape::{DType, Result};

/// A layer by itself on an input `[2, ..]`: the shape of one output example, and its parameters.
fn probe(layer: impl Into<LayerSpec>, input: &[usize]) -> (Vec<usize>, u64, u64) {
    let summary = Sequential::new().add(layer).summary(Shape::new(input).unwrap()).unwrap();
    let only = &summary.layers[0];
    assert_eq!(summary.layers.len(), 1);
    assert_eq!(only.outputs.len(), 1);
    (only.outputs[0].dims().to_vec(), only.trainable, only.non_trainable)
}

/// Batch 2, recorded for training.
fn recorded(model: &dyn Layer, input: &[usize]) -> Result<(Graph, Recorded)> {
    let mut g = Graph::new();
    let dims: Vec<usize> = [2].iter().chain(input).copied().collect();
    let x = g.input("x", Shape::new(&dims)?);
    let recorded = record(model, &mut g, &[x], Mode::Training)?;
    Ok((g, recorded))
}

/// The names of the parameters and states of a tape.
fn declared(tape: &Tape) -> Vec<String> {
    let named = tape.persistent().into_iter().filter_map(|v| tape.value(v)?.name.clone());
    named.filter(|n| n.contains('.')).collect()
}

fn mnist_cnn() -> Sequential {
    Sequential::new()
        .add(Conv2d::new(10, [5, 5]).activation(Activation::Relu))
        .add(MaxPool2d::new([2, 2]))
        .add(Conv2d::new(20, [5, 5]).activation(Activation::Relu))
        .add(MaxPool2d::new([2, 2]))
        .add(Flatten)
        .add(Dense::new(100).activation(Activation::Relu))
        .add(Dense::new(10))
}

#[test]
fn dense_layers_and_shapes_infer_their_outputs() {
    assert_eq!(probe(Dense::new(7), &[5]), (vec![7], 42, 0));
    assert_eq!(probe(Dense::new(7).bias(false), &[4, 5]), (vec![4, 7], 35, 0));
    assert_eq!(probe(Dense::new(1), &[3, 2, 1]), (vec![3, 2, 1], 2, 0));
    assert_eq!(probe(Flatten, &[3, 4, 5]), (vec![60], 0, 0));
    assert_eq!(probe(Flatten, &[]), (vec![1], 0, 0));
    assert_eq!(probe(Reshape::new([5, 12]), &[3, 4, 5]), (vec![5, 12], 0, 0));
    assert_eq!(probe(ZeroPad2d::new([1, 2]), &[3, 4, 5]), (vec![3, 6, 9], 0, 0));
    assert_eq!(probe(ZeroPad2d::sides(1, 2, 3, 4), &[3, 4, 5]), (vec![3, 8, 11], 0, 0));
    assert_eq!(probe(Activation::Softmax, &[9]), (vec![9], 0, 0));
    assert_eq!(probe(Activation::Linear, &[9]), (vec![9], 0, 0));
}

#[test]
fn convolutions_infer_their_outputs() {
    assert_eq!(probe(Conv2d::new(6, 5), &[1, 28, 28]), (vec![6, 24, 24], 156, 0));
    let same = Conv2d::new(8, [3, 5]).padding(Padding::Same).stride([2, 1]).bias(false);
    assert_eq!(probe(same, &[4, 9, 10]), (vec![8, 5, 10], 8 * 4 * 15, 0));
    let grouped = Conv2d::new(8, 3).groups(2).dilation(2).padding(Padding::symmetric(2));
    assert_eq!(probe(grouped, &[4, 9, 9]), (vec![8, 9, 9], 8 * 2 * 9 + 8, 0));
    assert_eq!(probe(DepthwiseConv2d::new(3), &[4, 9, 9]), (vec![4, 7, 7], 4 * 9 + 4, 0));
    let twice = DepthwiseConv2d::new(3).multiplier(2).stride(2).padding(Padding::Same);
    assert_eq!(probe(twice, &[4, 9, 9]), (vec![8, 5, 5], 8 * 9 + 8, 0));
    assert_eq!(probe(ConvTranspose2d::new(5, 2).stride(2), &[3, 4, 4]), (vec![5, 8, 8], 3 * 5 * 4 + 5, 0));
    let grown = ConvTranspose2d::new(6, 3).stride(2).groups(3).output_padding(1);
    assert_eq!(probe(grown, &[3, 4, 4]), (vec![6, 10, 10], 3 * 2 * 9 + 6, 0));
    assert_eq!(probe(Conv1d::new(4, 3), &[2, 10]), (vec![4, 8], 4 * 2 * 3 + 4, 0));
    let strided = Conv1d::new(4, 3).stride(2).groups(2).padding(Padding::Same).bias(false);
    assert_eq!(probe(strided, &[2, 9]), (vec![4, 5], 4 * 3, 0));
}

#[test]
fn poolings_normalisations_and_noise_infer_their_outputs() {
    assert_eq!(probe(MaxPool2d::new(2), &[3, 9, 8]), (vec![3, 4, 4], 0, 0));
    assert_eq!(probe(MaxPool2d::new(3).stride(2).ceil_mode(), &[3, 8, 8]), (vec![3, 4, 4], 0, 0));
    assert_eq!(probe(MaxPool2d::new(2).stride(1).dilation(3), &[3, 8, 8]), (vec![3, 5, 5], 0, 0));
    let padded = AvgPool2d::new([3, 1]).stride(2).padding(Padding::symmetric([1, 0])).count_include_pad(true);
    assert_eq!(probe(padded, &[3, 8, 8]), (vec![3, 4, 4], 0, 0));
    assert_eq!(probe(GlobalAvgPool2d, &[3, 8, 8]), (vec![3], 0, 0));
    assert_eq!(probe(GlobalMaxPool2d, &[3, 8, 8]), (vec![3], 0, 0));
    assert_eq!(probe(BatchNorm::new(), &[3, 8, 8]), (vec![3, 8, 8], 6, 6));
    assert_eq!(probe(BatchNorm::new().scale(false), &[7]), (vec![7], 7, 14));
    assert_eq!(probe(LayerNorm::new(), &[4, 8]), (vec![4, 8], 16, 0));
    assert_eq!(probe(LayerNorm::new().axis(1).shift(false), &[4, 8]), (vec![4, 8], 32, 0));
    assert_eq!(probe(GroupNorm::new(2), &[4, 8, 8]), (vec![4, 8, 8], 8, 0));
    assert_eq!(probe(InstanceNorm::new(), &[4, 8, 8]), (vec![4, 8, 8], 8, 0));
    assert_eq!(probe(LocalResponseNorm::new(5), &[4, 8, 8]), (vec![4, 8, 8], 0, 0));
    assert_eq!(probe(Dropout::new(0.5), &[4]), (vec![4], 0, 0));
    assert_eq!(probe(SpatialDropout::new(0.5), &[4, 3, 3]), (vec![4, 3, 3], 0, 0));
    assert_eq!(probe(GaussianNoise::new(0.1), &[4]), (vec![4], 0, 0));
}

#[test]
fn names_count_by_kind_and_scope_and_are_the_same_in_both_modes() {
    let block = || {
        let mut net = Network::new();
        let x = net.input();
        let a = net.add(Conv2d::new(3, 3).padding(Padding::Same), x);
        let a = net.add(BatchNorm::new(), a);
        let a = net.add(Dropout::new(0.5), a);
        let sum = net.add(Add, [a, x]);
        net.output(sum)
    };
    let model = Sequential::new()
        .add(Conv2d::new(3, 3))
        .add(Conv2d::new(3, 1).named("middle"))
        .add(Conv2d::new(3, 1))
        .add(block())
        .add(block().named("last"))
        .add(Flatten)
        .add(Dense::new(2).named("dense_1"))
        .add(Dense::new(2))
        .add(Dense::new(2));
    let names = |mode| {
        let mut g = Graph::new();
        let x = g.input("x", [2, 3, 8, 8]);
        let y = model.record(&mut g, x, mode).unwrap();
        declared(&g.forward([y]).unwrap())
    };
    let training = names(Mode::Training);
    let of_block = ["conv2d.weight", "conv2d.bias"].into_iter().chain([
        "batch_norm.scale",
        "batch_norm.shift",
        "batch_norm.running_mean",
        "batch_norm.running_variance",
    ]);
    let mut expected = vec![];
    for layer in ["conv2d", "middle", "conv2d_1"] {
        expected.extend([format!("{layer}.weight"), format!("{layer}.bias")]);
    }
    for layer in ["model", "last"] {
        expected.extend(of_block.clone().map(|name| format!("{layer}.{name}")));
    }
    // The automatic names pass over the one that is taken.
    for layer in ["dense_1", "dense", "dense_2"] {
        expected.extend([format!("{layer}.weight"), format!("{layer}.bias")]);
    }
    assert_eq!(training, expected);
    assert_eq!(training, names(Mode::Evaluation));

    // A model turned into another form, and one within a layer of the graph.
    let mut g = Graph::new();
    let x = g.input("x", [2, 3, 8, 8]);
    let same = Model::from(model.clone());
    let y = g.layer("encoder", |g| same.record(g, x, Mode::Training)).unwrap();
    let z = model.record(&mut g, x, Mode::Training).unwrap();
    let both = declared(&g.forward([y, z]).unwrap());
    let prefixed = expected.iter().map(|n| format!("encoder.{n}"));
    assert_eq!(both, prefixed.chain(expected.clone()).collect::<Vec<_>>());
}

#[test]
fn recordings_tell_what_each_layer_declared() {
    let inner = Sequential::new().add(Dense::new(3)).add(BatchNorm::new());
    let model = Sequential::new().add(inner.named("inner")).add(Dense::new(1).trainable(false));
    let (g, recorded) = recorded(&model, &[4]).unwrap();
    let counts =
        |l: &retape::nn::RecordedLayer| (l.name.clone(), l.depth, l.parameters.len(), l.states.len());
    let expected = [
        ("inner".to_owned(), 0, 4, 2),
        ("inner.dense".to_owned(), 1, 2, 0),
        ("inner.batch_norm".to_owned(), 1, 2, 2),
        ("dense".to_owned(), 0, 0, 2),
    ];
    assert_eq!(recorded.layers.iter().map(counts).collect::<Vec<_>>(), expected);
    assert_eq!((recorded.parameters.len(), recorded.states.len()), (4, 4));
    assert_eq!(recorded.parameters, g.parameters());
    assert_eq!(recorded.layers[3].inputs, recorded.layers[0].outputs);
    assert_eq!(recorded.layers[3].outputs, recorded.outputs);
}

#[test]
fn summary_of_the_mnist_cnn() {
    let summary = mnist_cnn().summary([1, 28, 28]).unwrap();
    let parameters: Vec<u64> = summary.layers.iter().map(|l| l.parameters()).collect();
    assert_eq!(parameters, [260, 0, 5_020, 0, 0, 32_100, 1_010]);
    assert_eq!((summary.parameters, summary.trainable, summary.non_trainable), (38_390, 38_390, 0));
    let convolutions = 10 * 24 * 24 * 25 + 20 * 8 * 8 * 10 * 25;
    assert_eq!(summary.multiply_adds, convolutions + 320 * 100 + 100 * 10);
    assert_eq!(summary.layers[2].multiply_adds, 320_000);
    let text = summary.to_string() + "\n";
    assert_eq!(text, include_str!("../snapshots/mnist_cnn.txt"), "the new summary:\n{text}");
}

#[test]
fn summary_of_the_cifar_cnn() {
    let conv = |filters| Conv2d::new(filters, 3).activation(Activation::Relu);
    let model = Sequential::new()
        .add(conv(32))
        .add(MaxPool2d::new(2))
        .add(conv(64))
        .add(MaxPool2d::new(2))
        .add(conv(64))
        .add(Flatten)
        .add(Dense::new(64).activation(Activation::Relu))
        .add(Dense::new(10));
    let summary = model.summary([3, 32, 32]).unwrap();
    assert_eq!(summary.parameters, 122_570);
    assert_eq!(summary.layers[5].outputs, [Shape::from([1024])]);
}

#[test]
fn activation_bytes_are_per_example() {
    // Product, bias, rectifier; the flattened view is free.
    let model = Sequential::new().add(Flatten).add(Dense::new(7).activation(Activation::Relu));
    assert_eq!(model.summary([3, 5]).unwrap().activation_bytes, 3 * 7 * 4);
    // Statistics of the batch are not per example.
    let model = Sequential::new().add(BatchNorm::new());
    assert_eq!(model.summary([3]).unwrap().activation_bytes, 12);
}

#[test]
fn frozen_layers_cost_no_backward_work() {
    let model = |trainable: bool| {
        Sequential::new()
            .add(Dense::new(5).named("first").trainable(trainable))
            .add(BatchNorm::new().trainable(trainable))
            .add(Dense::new(3))
    };
    let step = |trainable| {
        let mut g = Graph::new();
        let x = g.input("x", [4, 6]);
        let labels = g.labels("labels", [4]);
        let y = model(trainable).record(&mut g, x, Mode::Training).unwrap();
        let loss = g.softmax_cross_entropy(y, labels).unwrap();
        g.training_step(loss, &Sgd::new(0.1)).unwrap()
    };
    let (trained, frozen) = (step(true), step(false));
    assert_eq!(declared(&trained), declared(&frozen));
    let backward = |tape: &Tape| {
        let is_it = |n: &&retape::graph::Node| n.phase == retape::graph::Phase::Backward;
        tape.ops().iter().filter(is_it).map(|n| tape.layer(n).to_owned()).collect::<Vec<_>>()
    };
    assert!(backward(&trained).iter().any(|layer| layer == "first"));
    assert!(!backward(&frozen).iter().any(|layer| layer == "first" || layer == "batch_norm"));
    // Frozen statistics stand still.
    let overwritten = |tape: &Tape| tape.ops().iter().map(|n| n.op.mutates().len()).sum::<usize>();
    assert_eq!((overwritten(&trained), overwritten(&frozen)), (6 + 2, 2));

    let summary = model(false).summary([6]).unwrap();
    assert_eq!((summary.trainable, summary.non_trainable), (18, 35 + 20));
    // A frozen model freezes what is in it.
    let outer = Sequential::new().add(model(true).trainable(false)).add(Dense::new(1));
    assert_eq!(outer.summary([6]).unwrap().trainable, 4);

    // The frozen layers take their numbers from the session that trained them.
    let device = Device::reference();
    let trained = trained.session_with(&device, SessionOptions::new().seed(7)).unwrap();
    let options = SessionOptions::new().seed(9).share_parameters(&trained);
    let session = frozen.session_with(&device, options).unwrap();
    let is_it = |v: &Value| frozen.value(*v).unwrap().name.as_deref() == Some("first.weight");
    let weight = frozen.persistent().into_iter().find(is_it).unwrap();
    assert_eq!(session.read(weight).unwrap(), trained.parameter("first.weight").unwrap());
}

/// Trains on one device with one batch size, evaluates with another one.
fn trains_and_evaluates(device: &Device) {
    let model = Sequential::new()
        .add(Conv2d::new(4, 3).bias(false))
        .add(BatchNorm::new())
        .add(Activation::Relu)
        .add(Dropout::new(0.25))
        .add(Flatten)
        .add(Dense::new(3));
    let mut g = Graph::new();
    let x = g.input("x", [6, 2, 5, 5]);
    let labels = g.labels("labels", [6]);
    let logits = model.record(&mut g, x, Mode::Training).unwrap();
    let loss = g.softmax_cross_entropy(logits, labels).unwrap();
    let tape = g.training_step(loss, &Sgd::new(0.05)).unwrap();
    let mut training = tape.session_with(device, SessionOptions::new().seed(3)).unwrap();
    training.write(x, &common::data::noise(6 * 50, 5, -1.0, 3.0)).unwrap();
    training.write(labels, &[0, 1, 2, 0, 1, 2]).unwrap();

    let mut h = Graph::new();
    let image = h.input("x", [1, 2, 5, 5]);
    let output = model.record(&mut h, image, Mode::Evaluation).unwrap();
    let options = SessionOptions::new().seed(4).share_parameters(&training);
    let mut evaluation = h.forward([output]).unwrap().session_with(device, options).unwrap();
    evaluation.write(image, &common::data::noise(50, 6, -1.0, 3.0)).unwrap();
    let mut evaluate = || {
        evaluation.replay().unwrap();
        evaluation.read(output).unwrap()
    };
    let before = evaluate();
    assert_eq!(before, evaluate(), "evaluation draws nothing");
    let first = {
        training.replay().unwrap();
        training.read_scalar(loss).unwrap()
    };
    assert_ne!(before, evaluate(), "evaluation sees what training learnt");
    training.replay_n(60).unwrap();
    assert!(training.read_scalar(loss).unwrap() < 0.5 * first);

    // The running statistics are those of the training's batches: 0.9^61 of the first mean, 0, is
    // left, and the mean of the convolution's result is elsewhere.
    let state = |name: &str| {
        let is_it = |v: &Value| tape.value(*v).unwrap().name.as_deref() == Some(name);
        training.read(tape.persistent().into_iter().find(is_it).unwrap()).unwrap()
    };
    let (mean, variance) = (state("batch_norm.running_mean"), state("batch_norm.running_variance"));
    assert!(mean.iter().any(|m| m.abs() > 0.05), "{mean:?}");
    assert!(variance.iter().all(|v| (v - 1.0).abs() > 1e-3), "{variance:?}");
}

#[test]
fn evaluation_shares_parameters_and_statistics_with_training() {
    trains_and_evaluates(&Device::reference());
    trains_and_evaluates(common::gpu());
}

#[test]
fn options_decide_how_parameters_start() {
    let model = Sequential::new()
        .add(Conv2d::new(2, 1).bias_init(Init::Constant(0.5)).weight_init(Init::Constant(2.0)))
        .add(BatchNorm::new().scale_init(Init::Constant(3.0)).shift_init(Init::Constant(4.0)))
        .add(Flatten)
        .add(Dense::new(300));
    let (g, recorded) = recorded(&model, &[1, 8, 8]).unwrap();
    let session = g.forward(recorded.outputs).unwrap().session(&Device::reference()).unwrap();
    assert_eq!(session.parameter("conv2d.weight").unwrap(), [2.0; 2]);
    assert_eq!(session.parameter("conv2d.bias").unwrap(), [0.5; 2]);
    assert_eq!(session.parameter("batch_norm.scale").unwrap(), [3.0; 2]);
    assert_eq!(session.parameter("batch_norm.shift").unwrap(), [4.0; 2]);
    assert_eq!(session.parameter("dense.bias").unwrap(), [0.0; 300]);
    let weight = session.parameter("dense.weight").unwrap();
    let bound = (6.0f32 / (128.0 + 300.0)).sqrt();
    let largest = weight.iter().fold(0.0f32, |m, w| m.max(w.abs()));
    assert!(largest <= bound && largest > 0.99 * bound, "Glorot uniform: {largest} against {bound}");
}

#[test]
fn activations_are_the_functions_of_the_graph() {
    let all = [
        (Activation::Linear, "reshape"),
        (Activation::Relu, "relu"),
        (Activation::LeakyRelu(0.1), "leaky_relu"),
        (Activation::Elu(1.0), "elu"),
        (Activation::Selu, "selu"),
        (Activation::Gelu, "gelu"),
        (Activation::GeluTanh, "gelu_tanh"),
        (Activation::Sigmoid, "sigmoid"),
        (Activation::HardSigmoid, "hard_sigmoid"),
        (Activation::Tanh, "tanh"),
        (Activation::Softplus, "softplus"),
        (Activation::Softsign, "softsign"),
        (Activation::Swish, "swish"),
        (Activation::Exp, "exp"),
        (Activation::Step, "step"),
        (Activation::Clip(0.0, 6.0), "clip"),
        (Activation::Softmax, "softmax"),
        (Activation::LogSoftmax, "log_softmax"),
    ];
    for (activation, name) in all {
        for model in [
            Sequential::new().add(Flatten).add(activation),
            Sequential::new().add(Flatten).add(Dense::new(3).activation(activation)),
            Sequential::new().add(Conv2d::new(3, 1).activation(activation)),
        ] {
            let (g, recorded) = recorded(&model, &[2, 4, 4]).unwrap();
            let tape = g.forward(recorded.outputs).unwrap();
            let last = tape.ops().last().unwrap();
            if name != "reshape" {
                assert_eq!(last.op.name(), name);
            }
            if activation != Activation::Linear {
                assert_eq!(activation.kind(), name);
            }
        }
    }
    // Over the channels of a convolution, over the features of a dense layer.
    let softmax = Conv2d::new(3, 1).activation(Activation::Softmax);
    let (g, recorded) = recorded(&Sequential::new().add(softmax), &[2, 4, 5]).unwrap();
    let sum = g.sum(recorded.outputs[0], &[1], false).unwrap();
    let mut session = g.forward([sum]).unwrap().session(&Device::reference()).unwrap();
    session.replay().unwrap();
    assert!(session.read(sum).unwrap().iter().all(|s| (s - 1.0).abs() < 1e-5));
}

#[test]
fn dense_layers_map_the_last_axis() {
    let model = Sequential::new().add(Dense::new(2).weight_init(Init::Values(vec![1.0, 10.0, 2.0, 20.0])));
    let mut g = Graph::new();
    let x = g.input("x", [1, 3, 2]);
    let y = model.record(&mut g, x, Mode::Training).unwrap();
    let mut session = g.forward([y]).unwrap().session(&Device::reference()).unwrap();
    session.write(x, &[1.0, 0.0, 0.0, 1.0, 1.0, 1.0]).unwrap();
    session.replay().unwrap();
    assert_eq!(session.read(y).unwrap(), [1.0, 10.0, 2.0, 20.0, 3.0, 30.0]);
}

#[test]
fn skips_and_branches_compute_what_they_say() {
    let mut net = Network::new();
    let x = net.input();
    let factor = |f| Dense::new(1).bias(false).weight_init(Init::Constant(f));
    let double = net.add(factor(2.0), x);
    let triple = net.add(factor(3.0), x);
    let sum = net.add(Add, [double, triple, x]);
    let all = net.add(Concat::new(-1), [x, double, triple, sum]);
    let model = net.output(all);
    // Nested in a sequence, which is nested in a network of two outputs.
    let mut outer = Network::new();
    let (a, b) = (outer.input(), outer.input());
    let ones = Dense::new(1).bias(false).weight_init(Init::Ones);
    let left = outer.add(Sequential::new().add(model).add(ones), a);
    let right = outer.add(Add, [left, b]);
    let outer = outer.outputs([right, left]);

    let mut g = Graph::new();
    let (a, b) = (g.input("a", [2, 1]), g.input("b", [2, 1]));
    let recorded = record(&outer, &mut g, &[a, b], Mode::Training).unwrap();
    let outputs = recorded.outputs;
    let mut session = g.forward(outputs.clone()).unwrap().session(&Device::reference()).unwrap();
    session.write(a, &[1.0, 10.0]).unwrap();
    session.write(b, &[0.5, 0.25]).unwrap();
    session.replay().unwrap();
    assert_eq!(session.read(outputs[1]).unwrap(), [12.0, 120.0]);
    assert_eq!(session.read(outputs[0]).unwrap(), [12.5, 120.25]);
    let mut h = Graph::new();
    let (a, b) = (h.input("a", [2, 1]), h.input("b", [2, 1]));
    let first = outer.record(&mut h, [a, b], Mode::Training).unwrap();
    assert_eq!(h.shape(first).unwrap(), Shape::from([2, 1]));

    let summary = Summary::of(&outer, &[Shape::from([1]), Shape::from([1])]).unwrap();
    let depths: Vec<_> = summary.layers.iter().map(|l| (l.name.as_str(), l.depth)).collect();
    let expected = [
        ("sequential", 0),
        ("sequential.model", 1),
        ("sequential.model.dense", 2),
        ("sequential.model.dense_1", 2),
        ("sequential.model.add", 2),
        ("sequential.model.concat", 2),
        ("sequential.dense", 1),
        ("add", 0),
    ];
    assert_eq!(depths, expected);
    assert_eq!(summary.layers[0].trainable, 6);
    assert_eq!(summary.trainable, 6);
    assert!(summary.to_string().contains("    dense_1 (dense)"), "{summary}");
}

/// Word numbers to vectors, with the sum over the sequence as a second output.
#[derive(Debug)]
struct WordVectors {
    words: usize,
    width: usize,
}

impl Layer for WordVectors {
    fn kind(&self) -> &'static str {
        "word_vectors"
    }

    fn outputs(&self) -> usize {
        2
    }

    fn input_dtype(&self, _: usize) -> DType {
        DType::U32
    }

    fn record(&self, cx: &mut LayerContext<'_>, inputs: &[Value]) -> Result<Value> {
        Ok(self.record_all(cx, inputs)?[0])
    }

    fn record_all(&self, cx: &mut LayerContext<'_>, inputs: &[Value]) -> Result<Vec<Value>> {
        let words = cx.one(inputs)?;
        let init = Init::Uniform { low: -0.05, high: 0.05 };
        let table = cx.parameter("table", [self.words, self.width], init);
        let sequence = cx.graph().gather(table, words, 0)?;
        Ok(vec![sequence, cx.graph().sum(sequence, &[1], false)?])
    }
}

#[test]
fn a_layer_of_the_programs_own_may_read_indices_and_have_several_outputs() {
    let mut net = Network::new();
    let x = net.input();
    let outputs = net.add_all(WordVectors { words: 50, width: 4 }, x);
    let scores = net.add(Dense::new(2), outputs[1]);
    let model = net.outputs([scores, outputs[0]]);
    assert_eq!(model.input_dtype(0), DType::U32);
    assert_eq!(Sequential::new().add(model.clone()).input_dtype(0), DType::U32);

    let summary = model.summary([7]).unwrap();
    assert_eq!(summary.layers[0].outputs, [Shape::from([7, 4]), Shape::from([4])]);
    assert!(summary.to_string().contains("[_, 7, 4] [_, 4]"), "{summary}");
    assert_eq!(summary.parameters, 200 + 10);

    let mut g = Graph::new();
    let words = g.indices("words", [3, 7]);
    let labels = g.labels("labels", [3]);
    let logits = model.record(&mut g, words, Mode::Training).unwrap();
    let loss = g.softmax_cross_entropy(logits, labels).unwrap();
    let mut session = g.training_step(loss, &Adam::new(0.1)).unwrap().session(&Device::reference()).unwrap();
    session.write(words, &(0..21).collect::<Vec<u32>>()).unwrap();
    session.write(labels, &[0, 1, 0]).unwrap();
    session.replay_n(30).unwrap();
    assert!(session.read_scalar(loss).unwrap() < 0.1);
}

#[test]
fn embeddings_look_up_words_of_any_shape() {
    assert_eq!(probe(Embedding::new(50, 4), &[7]), (vec![7, 4], 200, 0));
    assert_eq!(probe(Embedding::new(50, 4), &[]), (vec![4], 200, 0));
    assert_eq!(probe(Embedding::new(3, 1).padding_index(2), &[2, 5]), (vec![2, 5, 1], 3, 0));
    assert_eq!(probe(Embedding::new(50, 4).trainable(false), &[7]), (vec![7, 4], 0, 200));

    let model =
        Sequential::new().add(Embedding::new(500, 8)).add(Flatten).add(Dense::new(3)).add(Reshape::new([3]));
    assert_eq!(model.input_dtype(0), DType::U32);
    let mut g = Graph::new();
    let words = g.indices("words", [2, 3]);
    let y = model.record(&mut g, words, Mode::Evaluation).unwrap();
    let mut session = g.forward([y]).unwrap().session(&Device::reference()).unwrap();
    let weight = session.parameter("embedding.weight").unwrap();
    let largest = weight.iter().fold(0.0f32, |m, w| m.max(w.abs()));
    assert!(largest <= 0.05 && largest > 0.049, "uniform to 0.05: {largest}");
    let past = session.write(words, &[0u32, 1, 2, 3, 500, 5]).unwrap_err();
    assert!(matches!(past, retape::Error::LabelOutOfRange { index: 4, limit: 500, .. }), "{past}");

    let mut g = Graph::new();
    let word = g.indices("word", [2]);
    let layer = Embedding::new(3, 2).weight_init(Init::Values(vec![1., 2., 3., 4., 5., 6.])).padding_index(1);
    let y = Sequential::new().add(layer).record(&mut g, word, Mode::Evaluation).unwrap();
    let mut session = g.forward([y]).unwrap().session(&Device::reference()).unwrap();
    session.write(word, &[2u32, 1]).unwrap();
    session.replay().unwrap();
    assert_eq!(session.read(y).unwrap(), [5., 6., 0., 0.]);
}

/// Word vectors, their mean over the time, and a dense layer learn which of two kinds of words a
/// sentence is made of; each step on the GPU agrees with the CPU path.
#[test]
fn a_mean_of_word_vectors_learns() {
    const WORDS: u32 = 1000;
    let (batch, time) = (16, 20);
    let mut g = Graph::new();
    let words = g.indices("words", [batch, time]);
    let labels = g.labels("labels", [batch]);
    let table = Sequential::new().add(Embedding::new(WORDS as usize, 16).padding_index(0));
    let vectors = table.record(&mut g, words, Mode::Training).unwrap();
    let mean = g.mean(vectors, &[1], false).unwrap();
    let logits = Sequential::new().add(Dense::new(2)).record(&mut g, mean, Mode::Training).unwrap();
    let loss = g.softmax_cross_entropy(logits, labels).unwrap();
    let tape = g.training_step(loss, &Adam::new(0.02)).unwrap();

    // Sentences of 5 to 20 words, even ones or odd ones, padded with 0.
    let stream = retape::random::Stream { seed: 5, step: 0, stream: 1 };
    let sentences = |step: u32| -> Vec<u32> {
        let word = |i: usize| {
            let (row, t) = (i / time, i % time);
            let drawn = stream.words(step * 1000 + i as u32)[0] % (WORDS / 2 - 1);
            if t < 5 + row % 16 { 2 + 2 * drawn - (row % 2) as u32 } else { 0 }
        };
        (0..batch * time).map(word).collect()
    };
    let answers: Vec<u32> = (0..batch as u32).map(|row| row % 2).collect();
    let options = SessionOptions::new().seed(11);
    let mut cpu = tape.session_with(&Device::reference(), options).unwrap();
    let mut gpu = tape.session_with(common::gpu(), options).unwrap();
    let started = gpu.parameter("embedding.weight").unwrap();
    for step in 0..60 {
        for session in [&mut cpu, &mut gpu] {
            session.write(words, &sentences(step)).unwrap();
            session.write(labels, &answers).unwrap();
        }
        if step % 20 == 0 {
            let verified = gpu.verify(&[]).unwrap();
            assert!(verified.passes(), "step {step}\n{verified}");
        }
        cpu.replay().unwrap();
        gpu.replay().unwrap();
        let (want, got) = (cpu.read_scalar(loss).unwrap(), gpu.read_scalar(loss).unwrap());
        assert!((got - want).abs() <= 1e-4 * want.abs(), "step {step}: {got} against {want}");
    }
    let last = gpu.read_scalar(loss).unwrap();
    assert!(last < 0.2, "it has learnt: {last}");
    for session in [&cpu, &gpu] {
        let weight = session.parameter("embedding.weight").unwrap();
        assert_eq!(weight[..16], [0.0; 16], "the padding stays at zeros");
        assert_eq!(weight[999 * 16..], started[999 * 16..], "a word that never occurs stays as it was");
        assert_ne!(weight[16..32], started[16..32]);
    }
}
