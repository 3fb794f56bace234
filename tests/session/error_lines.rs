//! Every error of a recording call names the line of the program that made the call, whatever the call is
//! made of.

use std::collections::BTreeSet;
use std::fs;
use std::panic::Location;
use std::path::{Path, PathBuf};

use retape::nn;
use retape::ops::{
    AffineOptions, Binary, ConvOptions, GruReset, PoolOptions, RecurrentOptions, RecurrentWeights, Reduction,
    Unary,
};
use retape::prelude::*;
use retape::train::{
    Clip, Constraint, LossFunction, MetricFunction, MetricInputs, Optimizer, Penalty, Scores,
};
use retape::{Error, Result};

/// Calls that were made with arguments that they refuse, by name.
struct Calls {
    /// Values that no operator takes in all its places.
    bad: Vec<Value>,
    seen: BTreeSet<String>,
    /// What was not refused, or at another line.
    wrong: Vec<String>,
}

impl Calls {
    /// Values of `g`, and one of another graph.
    fn new(g: &mut Graph) -> Self {
        let shapes: [&[usize]; 5] = [&[], &[5], &[7, 11], &[2, 3, 4], &[1, 2, 3, 5, 7]];
        let mut bad: Vec<Value> = vec![Graph::new().input("foreign", [2, 3]), g.indices("bad_ids", [4, 9])];
        for (number, shape) in shapes.into_iter().enumerate() {
            bad.push(g.input(&format!("bad_{number}"), Shape::new(shape).unwrap()));
        }
        Calls { bad, seen: BTreeSet::new(), wrong: Vec::new() }
    }

    /// Makes a call with each of the bad values: some are refused, and every error names the line of this
    /// call.
    #[track_caller]
    fn refused<T>(&mut self, name: &str, call: impl Fn(Value) -> Result<T>) {
        let errors: Vec<Error> = self.bad.iter().filter_map(|&value| call(value).err()).collect();
        self.wrong.extend(elsewhere(name, &errors, Location::caller()));
        self.seen.insert(name.to_owned());
    }

    fn check(self) -> BTreeSet<String> {
        assert!(self.wrong.is_empty(), "{}", self.wrong.join("\n"));
        self.seen
    }
}

/// Errors of a call that name another line than its own, or none; a call without an error is one too.
fn elsewhere(name: &str, errors: &[Error], line: &Location<'_>) -> Vec<String> {
    let here = |error: &&Error| match error {
        Error::Record { at, .. } => (at.file(), at.line()) == (line.file(), line.line()),
        _ => false,
    };
    let mut wrong: Vec<_> =
        errors.iter().filter(|e| !here(e)).map(|e| format!("{line}: {name}: {e}")).collect();
    wrong.extend(errors.is_empty().then(|| format!("{line}: {name} takes anything")));
    wrong
}

fn sources(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        match path.is_dir() {
            true => sources(&path, found),
            false => found.push(path),
        }
    }
}

/// The text between an opening line and the `}` below its first letter that closes it.
fn blocks(text: &str, opens: impl Fn(&str) -> bool) -> Vec<Vec<&str>> {
    let mut blocks = Vec::new();
    let mut lines = text.lines();
    while let Some(line) = lines.next() {
        if opens(line.trim_start()) {
            let end = format!("{:1$}}}", "", line.len() - line.trim_start().len());
            let inside = lines.by_ref().take_while(|line| *line != end);
            blocks.push([line].into_iter().chain(inside).collect());
        }
    }
    blocks
}

/// The methods of `Graph` that may fail, from the sources: those written out, and those that a macro makes
/// of the enumerations.
fn fallible_methods() -> BTreeSet<String> {
    let mut files = Vec::new();
    sources(&Path::new(env!("CARGO_MANIFEST_DIR")).join("src"), &mut files);
    let mut found = BTreeSet::new();
    for file in files {
        let text = fs::read_to_string(&file).unwrap();
        for block in blocks(&text, |line| line == "impl Graph {") {
            let text = block.join(" ");
            for method in text.split("pub fn ").skip(1) {
                let signature = method.split('{').next().unwrap();
                let name = signature.split(['(', '<']).next().unwrap();
                if signature.contains("Result<") && name.bytes().all(|b| b != b'$') {
                    found.insert(name.to_owned());
                }
            }
        }
    }
    found.extend(Unary::ALL.iter().map(|kind| kind.name().to_owned()));
    found.extend(Binary::ALL.iter().map(|kind| kind.name().to_owned()));
    found.extend(Reduction::ALL.iter().map(|kind| kind.name().to_owned()));
    found
}

fn elementwise(calls: &mut Calls, g: &Graph, x: Value) {
    calls.refused("neg", |v| g.neg(v));
    calls.refused("abs", |v| g.abs(v));
    calls.refused("square", |v| g.square(v));
    calls.refused("sqrt", |v| g.sqrt(v));
    calls.refused("exp", |v| g.exp(v));
    calls.refused("log", |v| g.log(v));
    calls.refused("sign", |v| g.sign(v));
    calls.refused("sigmoid", |v| g.sigmoid(v));
    calls.refused("tanh", |v| g.tanh(v));
    calls.refused("relu", |v| g.relu(v));
    calls.refused("selu", |v| g.selu(v));
    calls.refused("gelu", |v| g.gelu(v));
    calls.refused("gelu_tanh", |v| g.gelu_tanh(v));
    calls.refused("softplus", |v| g.softplus(v));
    calls.refused("softsign", |v| g.softsign(v));
    calls.refused("hard_sigmoid", |v| g.hard_sigmoid(v));
    calls.refused("swish", |v| g.swish(v));
    calls.refused("step", |v| g.step(v));
    calls.refused("reciprocal", |v| g.reciprocal(v));
    calls.refused("log_cosh", |v| g.log_cosh(v));
    calls.refused("leaky_relu", |v| g.leaky_relu(v, 0.1));
    calls.refused("elu", |v| g.elu(v, 1.0));
    calls.refused("clip", |v| g.clip(v, 0.0, 1.0));
    calls.refused("clip", |_| g.clip(x, 1.0, 0.0));
    calls.refused("unary", |v| g.unary(Unary::Tanh, v, &[]));
    calls.refused("add", |v| g.add(x, v));
    calls.refused("sub", |v| g.sub(v, x));
    calls.refused("mul", |v| g.mul(x, v));
    calls.refused("div", |v| g.div(v, x));
    calls.refused("pow", |v| g.pow(x, v));
    calls.refused("minimum", |v| g.minimum(v, x));
    calls.refused("maximum", |v| g.maximum(x, v));
    calls.refused("equal", |v| g.equal(v, x));
    calls.refused("not_equal", |v| g.not_equal(x, v));
    calls.refused("less", |v| g.less(v, x));
    calls.refused("less_equal", |v| g.less_equal(x, v));
    calls.refused("greater", |v| g.greater(v, x));
    calls.refused("greater_equal", |v| g.greater_equal(x, v));
    calls.refused("binary", |v| g.binary(Binary::Add, x, v));
    calls.refused("select", |v| g.select(v, x, x));
    calls.refused("select", |v| g.select(x, v, x));
    calls.refused("select", |v| g.select(x, x, v));
    calls.refused("dropout", |v| g.dropout(v, 0.5));
    calls.refused("spatial_dropout", |v| g.spatial_dropout(v, 0.5));
    calls.refused("gaussian_noise", |v| g.gaussian_noise(v, 0.5));
    calls.refused("random_uniform", |_| g.random_uniform([2], 1.0, 0.0));
    calls.refused("random_affine", |v| g.random_affine(v, &AffineOptions::new()));
    calls.refused("random_brightness", |v| g.random_brightness(v, 0.0, 1.0));
    calls.refused("random_contrast", |v| g.random_contrast(v, 0.0, 1.0));
    calls.refused("random_contrast", |_| g.random_contrast(x, 2.0, 1.0));
}

fn reductions_and_layout(calls: &mut Calls, g: &Graph, x: Value) {
    calls.refused("sum", |v| g.sum(v, &[0], false));
    calls.refused("mean", |v| g.mean(v, &[4], false));
    calls.refused("max", |v| g.max(v, &[0, 0], true));
    calls.refused("min", |v| g.min(v, &[-3], true));
    calls.refused("reduce", |v| g.reduce(Reduction::Sum, v, &[1], false));
    calls.refused("argmax", |v| g.argmax(v, 1));
    calls.refused("sum_to", |v| g.sum_to(v, [3]));
    calls.refused("softmax", |v| g.softmax(v, 1));
    calls.refused("log_softmax", |v| g.log_softmax(v, 1));
    calls.refused("global_norm", |v| g.global_norm(&[x, v]));
    calls.refused("clip_by_norm", |v| g.clip_by_norm(x, v, 1.0));
    calls.refused("clip_by_norm", |v| g.clip_by_norm(v, x, 1.0));
    calls.refused("clip_gradients", |v| g.clip_gradients(&[x, v], Clip::Value(1.0)));
    calls.refused("clip_gradients", |v| g.clip_gradients(&[x, v], Clip::Norm(1.0)));
    calls.refused("clip_gradients", |v| g.clip_gradients(&[x, v], Clip::GlobalNorm(1.0)));
    calls.refused("clip_gradients", |_| g.clip_gradients(&[x], Clip::Norm(-1.0)));
    calls.refused("reshape", |v| g.reshape(v, [13]));
    calls.refused("flatten", |v| g.flatten(v));
    calls.refused("stop_gradient", |v| g.stop_gradient(v));
    calls.refused("copy", |v| g.copy(v));
    calls.refused("cast", |v| g.cast(v, DType::F16));
    calls.refused("transpose", |v| g.transpose(v, &[1, 0]));
    calls.refused("broadcast_to", |v| g.broadcast_to(v, [3]));
    calls.refused("slice", |v| g.slice(v, &[(0..1).into()]));
    calls.refused("slice_axis", |v| g.slice_axis(v, 1, 0..9));
    calls.refused("pad", |v| g.pad(v, &[(1, 1)], 0.0));
    calls.refused("concat", |v| g.concat(&[x, v], 0));
    calls.refused("concat", |_| g.concat(&[], 0));
    calls.refused("gather", |v| g.gather(x, v, 0));
    calls.refused("gather", |v| g.gather(v, x, 0));
    calls.refused("embedding", |v| g.embedding(x, v, None));
    calls.refused("embedding", |v| g.embedding(v, x, Some(9)));
    calls.refused("one_hot", |v| g.one_hot(v, 3));
    calls.refused("sequence_lengths", |v| g.sequence_lengths(v, 0));
    calls.refused("padding_mask", |v| g.padding_mask(v, 0));
    calls.refused("sequence_mask", |v| g.sequence_mask(v, 3));
    let step = retape::graph::Scalar::STEP;
    calls.refused("scalar_value", |_| g.scalar_value(step));
    g.scalar("scalar", 0.5).unwrap();
    calls.refused("scalar", |_| g.scalar("scalar", 0.9));
    calls.refused("constant", |_| g.constant([3], &[1.0f32]));
    calls.refused("name", |v| g.name(v, "name"));
    calls.refused("keep", |v| g.keep(v));
    calls.refused("shape", |v| g.shape(v));
    calls.refused("ty", |v| g.ty(v));
}

fn products(calls: &mut Calls, g: &Graph, x: Value, w: Value) {
    calls.refused("matmul", |v| g.matmul(x, v));
    calls.refused("matmul", |v| g.matmul(v, x));
    calls.refused("matmul_with", |v| g.matmul_with(x, v, true, true));
    calls.refused("matmul_by", |v| g.matmul_by(x, v, MatmulOptions::new().transpose_a(true)));
    let (one, two) = (ConvOptions::new(), PoolOptions::new(2));
    let grouped = ConvOptions::new().groups(2);
    calls.refused("conv2d", |v| g.conv2d(v, w, None, one));
    calls.refused("conv2d", |v| g.conv2d(w, v, None, one));
    calls.refused("conv2d", |v| g.conv2d(w, w, Some(v), one));
    calls.refused("conv2d", |_| g.conv2d(w, w, None, grouped));
    let line = g.reshape(w, [2, 2, 9]).unwrap();
    calls.refused("conv1d", |v| g.conv1d(v, line, None, one));
    calls.refused("conv1d", |v| g.conv1d(line, v, None, one));
    calls.refused("conv1d", |v| g.conv1d(line, line, Some(v), one));
    calls.refused("conv_transpose2d", |v| g.conv_transpose2d(v, w, None, one, 0));
    calls.refused("conv_transpose2d", |v| g.conv_transpose2d(w, v, None, one, 0));
    calls.refused("conv_transpose2d", |v| g.conv_transpose2d(w, w, Some(v), one, 0));
    calls.refused("conv_transpose2d", |_| g.conv_transpose2d(w, w, None, one, 9));
    calls.refused("max_pool2d", |v| g.max_pool2d(v, two));
    calls.refused("avg_pool2d", |v| g.avg_pool2d(v, two));
    calls.refused("sum_pool2d", |v| g.sum_pool2d(v, two));
    calls.refused("adaptive_avg_pool2d", |v| g.adaptive_avg_pool2d(v, [2, 2]));
    calls.refused("global_avg_pool2d", |v| g.global_avg_pool2d(v));
    calls.refused("global_max_pool2d", |v| g.global_max_pool2d(v));
    calls.refused("max_pool1d", |v| g.max_pool1d(v, two));
    calls.refused("max_pool1d", |_| g.max_pool1d(line, PoolOptions::new(50)));
    calls.refused("avg_pool1d", |v| g.avg_pool1d(v, two));
    calls.refused("avg_pool1d", |_| g.avg_pool1d(line, PoolOptions::new(50)));
    calls.refused("local_response_norm", |v| g.local_response_norm(v, 5, 1e-4, 0.75, 1.0));
}

fn recurrences(calls: &mut Calls, g: &mut Graph) {
    let x = g.input("sequence", [2, 5, 3]);
    let mut operands = |prefix: &str, gates: usize| {
        let input = g.parameter(&format!("{prefix}.w"), [3, gates * 4], Init::Ones);
        let recurrent = g.parameter(&format!("{prefix}.u"), [4, gates * 4], Init::Ones);
        RecurrentWeights { input, recurrent, bias: None, peepholes: None }
    };
    let (simple, lstm, gru) = (operands("simple", 1), operands("lstm", 4), operands("gru", 3));
    let g = &*g;
    let plain = RecurrentOptions::new();
    let with = |v: Value| RecurrentOptions::new().lengths(v);
    calls.refused("simple_rnn", |v| g.simple_rnn(v, simple, &plain));
    calls.refused("simple_rnn", |v| g.simple_rnn(x, simple, &with(v)));
    calls.refused("simple_rnn", |v| g.simple_rnn(x, RecurrentWeights { bias: Some(v), ..simple }, &plain));
    calls.refused("lstm", |v| g.lstm(v, lstm, &plain));
    calls.refused("lstm", |v| g.lstm(x, RecurrentWeights { input: v, ..lstm }, &plain));
    calls.refused("lstm", |v| g.lstm(x, RecurrentWeights { recurrent: v, ..lstm }, &with(v)));
    calls.refused("gru", |v| g.gru(v, gru, GruReset::After, &plain));
    calls.refused("gru", |v| g.gru(x, RecurrentWeights { bias: Some(v), ..gru }, GruReset::Before, &plain));
}

fn normalisations(calls: &mut Calls, g: &Graph, x: Value, w: Value) {
    let channels = g.state("channels", [2], Init::Ones);
    let norm = g.batch_norm(w, None, None, 1e-5).unwrap();
    calls.refused("batch_norm", |v| g.batch_norm(v, None, None, 1e-5));
    calls.refused("batch_norm", |v| g.batch_norm(w, v, None, 1e-5));
    calls.refused("batch_norm", |v| g.batch_norm(w, None, v, 1e-5));
    calls.refused("batch_norm", |_| g.batch_norm(w, None, None, -1.0));
    calls.refused("update_running_stats", |v| g.update_running_stats(&norm, v, channels, 0.1));
    calls.refused("update_running_stats", |v| g.update_running_stats(&norm, channels, v, 0.1));
    calls.refused("update_running_stats", |_| g.update_running_stats(&norm, channels, channels, 7.0));
    calls.refused("batch_norm_inference", |v| g.batch_norm_inference(v, None, None, channels, v, 1e-5));
    calls.refused("batch_norm_inference", |v| g.batch_norm_inference(w, v, None, channels, channels, 1e-5));
    calls.refused("batch_norm_inference", |v| g.batch_norm_inference(w, None, v, v, channels, 1e-5));
    calls.refused("layer_norm", |v| g.layer_norm(v, 1, None, None, 1e-5));
    calls.refused("layer_norm", |v| g.layer_norm(x, 1, v, None, 1e-5));
    calls.refused("group_norm", |v| g.group_norm(v, 2, None, None, 1e-5));
    calls.refused("group_norm", |v| g.group_norm(w, 2, v, None, 1e-5));
    calls.refused("instance_norm", |v| g.instance_norm(v, None, None, 1e-5));
    calls.refused("instance_norm", |v| g.instance_norm(w, v, v, 1e-5));
}

fn losses_and_metrics(calls: &mut Calls, g: &Graph, x: Value) {
    calls.refused("softmax_cross_entropy", |v| g.softmax_cross_entropy(x, v));
    calls.refused("softmax_cross_entropy", |v| g.softmax_cross_entropy(v, x));
    calls.refused("softmax_cross_entropy_rows", |v| g.softmax_cross_entropy_rows(x, v));
    calls.refused("sigmoid_binary_cross_entropy", |v| g.sigmoid_binary_cross_entropy(x, v));
    calls.refused("sigmoid_binary_cross_entropy_elements", |v| g.sigmoid_binary_cross_entropy_elements(x, v));
    calls.refused("mean_squared_error", |v| g.mean_squared_error(x, v));
    calls.refused("mean_squared_error", |v| g.mean_squared_error(v, v));
    calls.refused("categorical_accuracy_rows", |v| g.categorical_accuracy_rows(x, v));
    calls.refused("in_top_k", |v| g.in_top_k(x, v, 2));
    calls.refused("predicted_classes", |v| g.predicted_classes(x, v));
    calls.refused("threshold_counts", |v| g.threshold_counts(x, x, v, v));
    for loss in [Loss::MeanSquaredError, Loss::BinaryCrossEntropy, Loss::Huber { delta: -1.0 }] {
        calls.refused("loss", |v| loss.record(g, x, v));
        calls.refused("loss", |v| loss.label_smoothing(0.1).record(g, v, x));
        calls.refused("targets", |_| loss.targets(Shape::scalar()));
    }
    let inputs = |v| MetricInputs { output: x, targets: v, scores: Scores::Logits, mask: None };
    for metric in [Metric::Accuracy, Metric::RSquared, Metric::ConfusionMatrix, Metric::MeanAbsoluteError] {
        calls.refused("metric", |v| metric.record(g, inputs(v)));
    }
    calls.refused("metric", |v| Metric::TopKAccuracy { k: 0 }.record(g, inputs(v)));
    calls.refused("activation", |v| Activation::Softmax.apply(g, v, 1));
}

fn states_and_steps(calls: &mut Calls, g: &Graph, w: Value) {
    let state = g.state("a_state", [2], Init::Zeros);
    let count = g.constant([2], &[0u32, 1]).unwrap();
    calls.refused("slot", |v| g.slot(v, "slot"));
    calls.refused("slot_with", |v| g.slot_with(v, "slot", Init::Ones));
    calls.refused("assign", |v| g.assign(v, w));
    calls.refused("assign", |v| g.assign(w, v));
    calls.refused("accumulate", |v| g.accumulate(v, state, state));
    calls.refused("accumulate", |v| g.accumulate(state, v, state));
    calls.refused("accumulate", |_| g.accumulate(state, state, state));
    calls.refused("load_batch", |v| g.load_batch(state, v, count, 1));
    calls.refused("load_batch", |v| g.load_batch(v, w, count, 1));
    calls.refused("load_batches", |v| g.load_batches(&[(state, w)], v, 1));
    calls.refused("load_batches", |_| g.load_batches(&[], count, 1));
    calls.refused("constrain", |v| g.constrain(v, Constraint::UnitNorm, &[0]));
    calls.refused("constrain", |_| g.constrain(w, Constraint::MaxNorm { limit: -1.0 }, &[0]));
    calls.refused("mask", |v| g.mask(w, v));
    calls.refused("mask", |v| g.mask(v, w));
    calls.refused("apply_constraint", |v| g.apply_constraint(v, Constraint::NonNegative, &[0]));
    calls.refused("apply_mask", |v| g.apply_mask(v, w));
    calls.refused("apply_mask", |v| g.apply_mask(w, v));
    calls.refused("penalize", |v| g.penalize(v, Penalty::l2(0.1)));
    calls.refused("penalize", |_| g.penalize(w, Penalty::l1(f32::NAN)));
    calls.refused("differentiate", |v| g.differentiate(v, &[w]));
    calls.refused("differentiate", |v| g.differentiate([], &[v]));
    calls.refused("forward", |v| g.forward([w, v]));
    calls.refused("training_step", |v| g.training_step(v, &Sgd::new(0.1)));
    let loss = g.sum(w, &[], false).unwrap();
    calls.refused("training_step", |_| g.training_step(loss, &Sgd::new(-1.0)));
    calls.refused("training_step", |_| g.training_step(loss, &Adam::new(0.1).clip(Clip::Norm(-1.0))));
    calls.refused("training_step", |_| g.training_step(loss, &Wrong));
    let group = |v: Value| [ParameterGroup::new(loss, &Wrong).parameters(vec![v])];
    calls.refused("training_groups", |v| g.training_groups(&group(v)));
}

/// Writes to what is no state, in the crate's own way.
#[derive(Debug)]
struct Wrong;

impl Optimizer for Wrong {
    fn record(&self, g: &Graph, gradients: &[(Value, Value)]) -> Result<()> {
        Adam::new(-1.0).record(g, gradients)
    }
}

/// An operator that refuses everything.
#[derive(Debug)]
struct Refuses;

impl retape::ops::Op for Refuses {
    fn name(&self) -> &'static str {
        "refuses"
    }

    fn outputs(&self, _: &[retape::TensorType]) -> Result<Vec<retape::TensorType>> {
        Err(Error::NothingToTrain)
    }

    fn lower(&self, _: &mut retape::ops::Lowering<'_>) -> Result<()> {
        Ok(())
    }

    fn reference(&self, _: &retape::ops::Reference<'_>) -> Vec<retape::array::Array> {
        Vec::new()
    }
}

/// What cannot be given a wrong argument.
const NEVER_FAILS: [&str; 1] = ["update_count"];

#[test]
fn every_recording_call_names_the_programs_line() {
    let mut g = Graph::new();
    let mut calls = Calls::new(&mut g);
    let x = g.input("x", [2, 3]);
    let w = g.parameter("w", [2, 2, 3, 3], Init::Ones);
    recurrences(&mut calls, &mut g);
    let g = &g;
    elementwise(&mut calls, g, x);
    reductions_and_layout(&mut calls, g, x);
    products(&mut calls, g, x, w);
    normalisations(&mut calls, g, x, w);
    losses_and_metrics(&mut calls, g, x);
    calls.refused("apply", |v| g.apply(Refuses, &[v]));
    calls.refused("apply1", |v| g.apply1(Refuses, &[v]));
    states_and_steps(&mut calls, g, w);

    let seen = calls.check();
    let called = |name: &String| seen.contains(name) || NEVER_FAILS.contains(&name.as_str());
    let missing: Vec<_> = fallible_methods().into_iter().filter(|name| !called(name)).collect();
    assert!(missing.is_empty(), "methods of `Graph` without a call here: {missing:?}");
    assert!(fallible_methods().len() > 100, "the sources are not found");
}

/// Optimisers that a program records itself.
#[test]
fn an_optimiser_names_the_line_that_records_it() {
    let mut g = Graph::new();
    let mut calls = Calls::new(&mut g);
    let w = g.parameter("w", [2, 3], Init::Ones);
    let g = &g;
    calls.refused("sgd", |v| Sgd::new(0.1).record(g, &[(w, v)]));
    calls.refused("sgd", |_| Sgd::new(-0.1).record(g, &[(w, w)]));
    calls.refused("momentum", |v| Sgd::new(0.1).momentum(0.9).record(g, &[(v, w)]));
    calls.refused("adagrad", |v| Adagrad::new(0.1).record(g, &[(w, v)]));
    calls.refused("adadelta", |v| Adadelta::new(0.1).record(g, &[(w, v)]));
    calls.refused("rms_prop", |v| RmsProp::new(0.1).record(g, &[(w, v)]));
    calls.refused("lion", |v| Lion::new(0.1).record(g, &[(w, v)]));
    calls.refused("ftrl", |v| Ftrl::new(0.1).record(g, &[(w, v)]));
    calls.refused("adam", |v| Adam::new(0.1).record(g, &[(w, v)]));
    calls.refused("adam_w", |v| AdamW::new(0.1).record(g, &[(w, v)]));
    calls.refused("adamax", |v| Adamax::new(0.1).record(g, &[(w, v)]));
    calls.refused("nadam", |v| Nadam::new(0.1).record(g, &[(w, v)]));
    calls.refused("adafactor", |v| Adafactor::new(0.1).record(g, &[(w, v)]));
    calls.refused("clipped", |v| Sgd::new(0.1).clip(Clip::Value(1.0)).record(g, &[(w, v)]));
    calls.refused("averaged", |v| Sgd::new(0.1).ema(0.9).record(g, &[(w, v)]));
    let boxed: Box<dyn Optimizer> = Box::new(Sgd::new(-0.1));
    calls.refused("boxed", |v| boxed.record(g, &[(w, v)]));
    calls.check();
}

/// A mistake in a declaration is that of the line that declares, wherever it is noticed.
#[test]
fn a_declaration_names_its_line() {
    let mut g = Graph::new();
    g.input("taken", [2]);
    g.parameter("taken", [2], Init::Ones);
    let mut declared = |make: &dyn Fn(&mut Graph) -> Value, line: u32| {
        let value = make(&mut g);
        let error = g.forward([value]).unwrap_err();
        let Error::Record { at, .. } = error else { panic!("{error}") };
        assert_eq!((at.file(), at.line()), (file!(), line), "{error}");
    };
    declared(&|g| g.input("taken", [2]), line!());
    declared(&|g| g.indices("taken", [2]), line!());
    declared(&|g| g.labels("taken", [2]), line!());
    declared(&|g| g.targets("taken", [2]), line!());
    declared(&|g| g.parameter("taken", [2], Init::Ones), line!());
    declared(&|g| g.state("taken", [2], Init::Ones), line!());
    declared(&|g| g.state_u32("taken", [2]), line!());
    declared(&|g| g.parameter("bad", [2], Init::Constant(f32::NAN)), line!());
}

/// The names that `retape::nn` exports and that are no layers.
const NO_LAYERS: [&str; 17] = [
    "Constraint",
    "Penalty",
    "Layer",
    "LayerContext",
    "LayerSpec",
    "LayerSummary",
    "Merge",
    "Mode",
    "Model",
    "Network",
    "Node",
    "Recorded",
    "RecordedLayer",
    "Sequential",
    "Summary",
    "UnitFlow",
    "record",
];

fn layers() -> BTreeSet<String> {
    let text = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("src/nn/mod.rs")).unwrap();
    let exports = text.split("\npub use ").skip(1).map(|item| item.split(';').next().unwrap());
    let names = exports.flat_map(|item| item.split_once("::").unwrap().1.split(['{', '}', ',']));
    let names = names.map(|name| name.trim().to_owned()).filter(|name| !name.is_empty());
    names.filter(|name| !NO_LAYERS.contains(&&**name)).collect()
}

/// Models of one layer that are given what it refuses, by the layer's name.
#[derive(Default)]
struct Models {
    seen: BTreeSet<String>,
    wrong: Vec<String>,
}

impl Models {
    /// Records a model, which the call itself puts together, with each of the bad values.
    #[track_caller]
    fn refused(&mut self, name: &str, model: Sequential) {
        let mut errors = Vec::new();
        for mode in [Mode::Training, Mode::Evaluation] {
            let mut g = Graph::new();
            let bad = Calls::new(&mut g).bad;
            errors.extend(bad.iter().filter_map(|&x| model.record(&mut g, x, mode).err()));
        }
        self.wrong.extend(elsewhere(name, &errors, Location::caller()));
        self.seen.insert(name.to_owned());
    }
}

#[test]
fn a_layer_names_the_line_that_added_it() {
    let mut models = Models::default();
    models.refused("Activation", Sequential::new().add(Activation::Relu));
    models.refused("Add", Sequential::new().add(Add));
    models.refused("Concat", Sequential::new().add(Concat::new(1)));
    models.refused("AvgPool2d", Sequential::new().add(AvgPool2d::new(2)));
    models.refused("MaxPool2d", Sequential::new().add(MaxPool2d::new(2)));
    models.refused("GlobalAvgPool2d", Sequential::new().add(GlobalAvgPool2d));
    models.refused("GlobalMaxPool2d", Sequential::new().add(GlobalMaxPool2d));
    models.refused("BatchNorm", Sequential::new().add(BatchNorm::new()));
    models.refused("LayerNorm", Sequential::new().add(LayerNorm::new()));
    models.refused("GroupNorm", Sequential::new().add(GroupNorm::new(3)));
    models.refused("InstanceNorm", Sequential::new().add(InstanceNorm::new()));
    models.refused("LocalResponseNorm", Sequential::new().add(LocalResponseNorm::new(5)));
    models.refused("Conv1d", Sequential::new().add(Conv1d::new(2, 3)));
    models.refused("Conv2d", Sequential::new().add(Conv2d::new(2, 3)));
    models.refused("ConvTranspose2d", Sequential::new().add(ConvTranspose2d::new(2, 3)));
    models.refused("DepthwiseConv2d", Sequential::new().add(DepthwiseConv2d::new(3)));
    models.refused("Dense", Sequential::new().add(Dense::new(4)));
    models.refused("Embedding", Sequential::new().add(Embedding::new(9, 4)));
    models.refused("Flatten", Sequential::new().add(Flatten));
    models.refused("Reshape", Sequential::new().add(Reshape::new([13])));
    models.refused("RepeatVector", Sequential::new().add(RepeatVector::new(2)));
    models.refused("ZeroPad2d", Sequential::new().add(ZeroPad2d::new(1)));
    models.refused("Dropout", Sequential::new().add(Dropout::new(0.5)));
    models.refused("SpatialDropout", Sequential::new().add(SpatialDropout::new(0.5)));
    models.refused("GaussianNoise", Sequential::new().add(GaussianNoise::new(0.5)));
    models.refused("RandomAffine", Sequential::new().add(RandomAffine::new(AffineOptions::new())));
    models.refused("RandomBrightness", Sequential::new().add(RandomBrightness::new(0.1)));
    models.refused("RandomContrast", Sequential::new().add(RandomContrast::new(0.1)));
    models.refused("RandomCrop", Sequential::new().add(RandomCrop::new([2, 2])));
    models.refused("RandomFlip", Sequential::new().add(RandomFlip::horizontal()));
    models.refused("RandomRotation", Sequential::new().add(RandomRotation::new(0.1)));
    models.refused("RandomTranslation", Sequential::new().add(RandomTranslation::new(0.1, 0.1)));
    models.refused("RandomZoom", Sequential::new().add(RandomZoom::new(0.1)));
    models.refused("SimpleRnn", Sequential::new().add(SimpleRnn::new(4)));
    models.refused("Lstm", Sequential::new().add(Lstm::new(4)));
    models.refused("Gru", Sequential::new().add(Gru::new(4)));
    models.refused("Bidirectional", Sequential::new().add(Bidirectional::new(Lstm::new(4))));
    models.refused("RecurrentLayer", Sequential::new().add(nn::RecurrentLayer::from(Gru::new(4))));
    models.refused("SequenceLengths", Sequential::new().add(SequenceLengths));
    models.refused("SequenceMask", Sequential::new().add(SequenceMask));
    models.refused("Masking", Sequential::new().add(Masking::new(0.0)));
    models.refused("AvgPool1d", Sequential::new().add(AvgPool1d::new(2)));
    models.refused("MaxPool1d", Sequential::new().add(MaxPool1d::new(2)));
    models.refused("GlobalAvgPool1d", Sequential::new().add(GlobalAvgPool1d));
    models.refused("GlobalMaxPool1d", Sequential::new().add(GlobalMaxPool1d));
    models.refused("ActivityPenalty", Sequential::new().add(ActivityPenalty::new(Penalty::l1(0.1))));
    assert!(models.wrong.is_empty(), "{}", models.wrong.join("\n"));
    let missing: Vec<_> = layers().into_iter().filter(|name| !models.seen.contains(name)).collect();
    assert!(missing.is_empty(), "layers without a model here: {missing:?}");
    assert!(layers().len() > 30, "the sources are not found");
}
