//! One layer called several times: one set of weights, whose gradient is the sum over the calls.

use crate::common::data::noise;
use crate::common::folder::Folder;
use crate::common::gpu;
use retape::data::Dataset;
use retape::nn::{self, LayerSpec, Recorded, Summary};
use retape::prelude::*;
use retape::train::pruning::{Pruning, prune_units};
use retape::{Error, Result};

/// A batch normalisation between two dense layers.
fn tower() -> Sequential {
    Sequential::new().add(Dense::new(5).activation(Activation::Tanh)).add(BatchNorm::new()).add(Dense::new(2))
}

/// A layer called on each of so many inputs.
fn calls_of(layer: impl Into<LayerSpec>, calls: usize) -> Model {
    let layer = layer.into();
    let mut net = Network::new();
    let mut outputs = Vec::new();
    for _ in 0..calls {
        let x = net.input();
        outputs.push(net.add(&layer, x));
    }
    net.outputs(outputs)
}

/// A model recorded on inputs of these shapes.
struct Calls {
    graph: Graph,
    inputs: Vec<Value>,
    recorded: Recorded,
}

impl Calls {
    fn of(model: &dyn Layer, shapes: &[&[usize]], mode: Mode) -> Result<Calls> {
        let mut graph = Graph::new();
        let mut inputs = Vec::new();
        for (i, dims) in shapes.iter().enumerate() {
            inputs.push(graph.input(&format!("x{i}"), Shape::new(dims)?));
        }
        let recorded = nn::record(model, &mut graph, &inputs, mode)?;
        Ok(Calls { graph, inputs, recorded })
    }

    /// A session of the forward pass, with these numbers as the inputs, replayed once.
    fn forward(&self, device: &Device, data: &[Vec<f32>]) -> Session {
        let mut session = self.graph.forward(self.recorded.outputs.clone()).unwrap().session(device).unwrap();
        for (&x, data) in self.inputs.iter().zip(data) {
            session.write(x, data).unwrap();
        }
        session.replay().unwrap();
        session
    }

    fn losses(&self) -> Vec<Value> {
        self.recorded.outputs.iter().map(|&y| mean_square(&self.graph, y)).collect()
    }

    fn names(&self, values: &[Value]) -> Vec<String> {
        let tape = self.graph.forward(values.to_vec()).unwrap();
        values.iter().map(|&v| tape.value(v).unwrap().name.clone().unwrap()).collect()
    }
}

fn mean_square(g: &Graph, y: Value) -> Value {
    g.mean(g.square(y).unwrap(), &[], false).unwrap()
}

fn assert_close(a: &[f32], b: &[f32]) {
    assert_eq!(a.len(), b.len());
    for (a, b) in a.iter().zip(b) {
        assert!((a - b).abs() <= 1e-5, "{a} is not {b}");
    }
}

#[test]
fn calls_share_names_and_values() {
    let model = calls_of(tower().named("t").shared(), 3);
    let calls = Calls::of(&model, &[&[4, 3], &[4, 3], &[4, 3]], Mode::Evaluation).unwrap();
    let names = [
        "t.dense.weight",
        "t.dense.bias",
        "t.batch_norm.scale",
        "t.batch_norm.shift",
        "t.dense_1.weight",
        "t.dense_1.bias",
    ];
    assert_eq!(calls.names(&calls.recorded.parameters), names);
    assert_eq!(calls.recorded.states.len(), 2);
    let layers = calls.recorded.layers.iter().map(|l| (l.name.as_str(), l.calls(), l.depth));
    let expected = [("t", 3, 0), ("t.dense", 3, 1), ("t.batch_norm", 3, 1), ("t.dense_1", 3, 1)];
    assert_eq!(layers.collect::<Vec<_>>(), expected);
    for device in [gpu(), &Device::cpu(), &Device::reference()] {
        let [same, other] = [noise(12, 3, -1.0, 1.0), noise(12, 4, -1.0, 1.0)];
        let session = calls.forward(device, &[same.clone(), other, same]);
        let outputs: Vec<_> = calls.recorded.outputs.iter().map(|&y| session.read(y).unwrap()).collect();
        assert_eq!(outputs[0], outputs[2]);
        assert_ne!(outputs[0], outputs[1]);
    }
}

/// Without sharing, each call has weights of its own; the same layer under one name is refused, and told
/// what to do.
#[test]
fn a_layer_is_shared_only_where_the_program_says_so() {
    let model = calls_of(Dense::new(2), 2);
    let calls = Calls::of(&model, &[&[4, 3], &[4, 3]], Mode::Training).unwrap();
    let names = ["dense.weight", "dense.bias", "dense_1.weight", "dense_1.bias"];
    assert_eq!(calls.names(&calls.recorded.parameters), names);

    let error = Calls::of(&calls_of(Dense::new(2).named("d"), 2), &[&[4, 3], &[4, 3]], Mode::Training);
    let error = error.err().unwrap();
    assert!(matches!(error.root(), Error::DuplicateName { name, .. } if name == "d"), "{error}");
    for fact in ["`d` is declared twice", "`shared()`", "`&layer`", "sharing.rs:"] {
        assert!(error.to_string().contains(fact), "{fact} is missing in: {error}");
    }
    // Two layers that are shared each by itself are two layers.
    let mut net = Network::new();
    let x = net.input();
    let a = net.add(Dense::new(3).shared(), x);
    let b = net.add(Dense::new(3).shared(), a);
    let calls = Calls::of(&net.output(b), &[&[4, 3]], Mode::Training).unwrap();
    assert_eq!(calls.names(&calls.recorded.parameters), names);
}

/// Two calls on four examples each are one call on all eight, but for the order of the sums.
#[test]
fn a_gradient_is_the_sum_over_the_calls() {
    let layer = || Sequential::new().add(Dense::new(5).activation(Activation::Tanh)).add(Dense::new(2));
    let twice = Calls::of(&calls_of(layer().named("t").shared(), 2), &[&[4, 3], &[4, 3]], Mode::Training);
    let once = Calls::of(&calls_of(layer().named("t"), 1), &[&[8, 3]], Mode::Training);
    let (twice, once) = (twice.unwrap(), once.unwrap());
    // The gradient of the mean over all is half that of the two means.
    let optimizers = [Sgd::new(0.25), Sgd::new(0.5)];
    let data = noise(24, 3, -1.0, 1.0);
    for device in [gpu(), &Device::cpu(), &Device::reference()] {
        let trained = [&twice, &once].into_iter().zip(&optimizers).map(|(calls, optimizer)| {
            let mut session =
                calls.graph.training_step(calls.losses(), optimizer).unwrap().session(device).unwrap();
            for (&x, data) in calls.inputs.iter().zip(data.chunks(24 / calls.inputs.len())) {
                session.write(x, data).unwrap();
            }
            let before = session.parameter("t.dense.weight").unwrap();
            session.replay_n(3).unwrap();
            assert_ne!(before, session.parameter("t.dense.weight").unwrap());
            session
        });
        let sessions: Vec<Session> = trained.collect();
        let [twice, once] = [&sessions[0], &sessions[1]];
        for name in ["t.dense.weight", "t.dense.bias", "t.dense_1.weight", "t.dense_1.bias"] {
            assert_close(&twice.parameter(name).unwrap(), &once.parameter(name).unwrap());
        }
    }
}

/// Running statistics move by each call, in order, and evaluation sees them.
#[test]
fn each_call_updates_the_running_statistics() {
    let norm = calls_of(BatchNorm::new().momentum(0.25).shared(), 2);
    let train = Calls::of(&norm, &[&[2, 1], &[2, 1]], Mode::Training).unwrap();
    let eval = Calls::of(&norm, &[&[2, 1], &[2, 1]], Mode::Evaluation).unwrap();
    let data = [vec![1.0, 3.0], vec![10.0, 20.0]];
    let mixed = |old: f32, first: f32, second: f32| 0.75 * (0.75 * old + 0.25 * first) + 0.25 * second;
    let [mean, variance] = [mixed(0.0, 2.0, 15.0), mixed(1.0, 2.0, 50.0)];
    for device in [gpu(), &Device::cpu(), &Device::reference()] {
        let session = train.forward(device, &data);
        let states: Vec<_> = train.recorded.states.iter().map(|&s| session.read(s).unwrap()[0]).collect();
        assert_close(&states, &[mean, variance]);
        // Each call is normalised by its own batch.
        for &y in &train.recorded.outputs {
            assert_close(&session.read(y).unwrap(), &[-0.999_99, 0.999_99]);
        }
        let options = SessionOptions::new().share_parameters(&session);
        let tape = eval.graph.forward(eval.recorded.outputs.clone()).unwrap();
        let mut evaluation = tape.session_with(device, options).unwrap();
        for (&x, data) in eval.inputs.iter().zip(&data) {
            evaluation.write(x, data).unwrap();
        }
        evaluation.replay().unwrap();
        for (&y, data) in eval.recorded.outputs.iter().zip(&data) {
            let expected: Vec<f32> = data.iter().map(|x| (x - mean) / (variance + 1e-5).sqrt()).collect();
            assert_close(&evaluation.read(y).unwrap(), &expected);
        }
    }
}

#[test]
fn dropout_draws_anew_in_each_call() {
    let model = calls_of(Dropout::new(0.5).shared(), 2);
    for device in [gpu(), &Device::cpu(), &Device::reference()] {
        for (mode, differs) in [(Mode::Training, true), (Mode::Evaluation, false)] {
            let calls = Calls::of(&model, &[&[8, 8], &[8, 8]], mode).unwrap();
            let session = calls.forward(device, &[vec![1.0; 64], vec![1.0; 64]]);
            let [a, b] = [0, 1].map(|i| session.read(calls.recorded.outputs[i]).unwrap());
            assert_eq!(a != b, differs);
        }
    }
}

#[test]
fn a_summary_shows_a_shared_layer_once_with_its_calls() {
    let model = calls_of(tower().named("t").shared(), 3);
    let summary = Summary::of(&model, &[Shape::from([3]), Shape::from([3]), Shape::from([3])]).unwrap();
    let alone = tower().summary([3]).unwrap();
    assert_eq!(summary.layers.len(), 4);
    assert!(summary.layers.iter().all(|layer| layer.calls == 3));
    assert_eq!((summary.trainable, summary.non_trainable), (alone.trainable, alone.non_trainable));
    assert_eq!(summary.layers[0].parameters(), alone.parameters);
    assert_eq!(summary.multiply_adds, 3 * alone.multiply_adds);
    assert_eq!(summary.layers[1].multiply_adds, 3 * 15);
    assert_eq!(summary.layers[0].outputs, [Shape::from([2])]);
    let text = summary.to_string();
    assert!(text.contains("t (sequential, 3 calls)") && text.contains("  dense (dense, 3 calls)"), "{text}");
    assert!(!alone.to_string().contains("calls"));
}

#[test]
fn inputs_that_the_weights_do_not_fit_are_refused() {
    let model = calls_of(tower().named("t").shared(), 2);
    for mode in [Mode::Training, Mode::Evaluation] {
        let error = Calls::of(&model, &[&[4, 3], &[4, 6]], mode).err().unwrap();
        let Error::SharedWeight { name, inputs, weights } = error.root() else { panic!("{error}") };
        assert_eq!(name, "t.dense.weight");
        assert_eq!(**inputs, [Shape::from([4, 3]), Shape::from([4, 6])]);
        assert_eq!(**weights, [Shape::from([3, 5]), Shape::from([6, 5])]);
        for fact in ["in layer `t.dense`", "[4, 3]", "[4, 6]", "[3, 5]", "[6, 5]", "sharing.rs:"] {
            assert!(error.to_string().contains(fact), "{fact} is missing in: {error}");
        }
    }
    // What the weights do not depend on may differ.
    let calls = Calls::of(&model, &[&[4, 3], &[9, 3]], Mode::Training).unwrap();
    assert_eq!(calls.recorded.parameters.len(), 6);
    let gru = calls_of(Gru::new(2).shared(), 2);
    let calls = Calls::of(&gru, &[&[4, 3, 5], &[2, 7, 5]], Mode::Training).unwrap();
    assert_eq!(calls.recorded.parameters.len(), 3);
    let any = calls_of(Flatten.shared(), 2);
    assert!(Calls::of(&any, &[&[4, 3, 5], &[2, 7]], Mode::Training).is_ok());
}

/// A layer that calls one of its own twice, between others.
#[derive(Debug)]
struct Recycled;

impl Layer for Recycled {
    fn kind(&self) -> &'static str {
        "recycled"
    }

    fn record(&self, cx: &mut LayerContext<'_>, inputs: &[Value]) -> Result<Value> {
        let x = cx.one(inputs)?;
        let again = Dense::new(3).shared();
        let x = cx.add(Dense::new(3), x)?;
        let x = cx.add(&again, x)?;
        let x = cx.add(&again, x)?;
        let x = cx.add(Dense::new(3), x)?;
        cx.penalize(x, Penalty::l2(0.1))?;
        Ok(x)
    }
}

#[test]
fn shared_layers_nest_in_shared_layers() {
    let calls = Calls::of(&calls_of(Recycled.shared(), 2), &[&[4, 3], &[4, 3]], Mode::Training).unwrap();
    let layers = calls.recorded.layers.iter().map(|l| (l.name.as_str(), l.calls()));
    assert_eq!(
        layers.collect::<Vec<_>>(),
        [("recycled", 2), ("recycled.dense", 2), ("recycled.dense_1", 4), ("recycled.dense_2", 2),]
    );
    assert_eq!(calls.recorded.parameters.len(), 6);
    // What a layer computes is penalised in each call.
    assert_eq!(calls.graph.penalties().len(), 2);
}

/// A layer shared by two others that are nested in the model has one place, that of its first call.
#[test]
fn a_layer_is_shared_across_nested_models() {
    let common = Dense::new(3).named("common").shared();
    let encoder = Sequential::new().add(&common).add(Dense::new(3));
    let decoder = Sequential::new().add(Dense::new(3)).add(&common);
    let model = Sequential::new().add(encoder.named("encoder")).add(decoder.named("decoder"));
    let calls = Calls::of(&model, &[&[4, 3]], Mode::Training).unwrap();
    let layers = calls.recorded.layers.iter().map(|l| (l.name.as_str(), l.calls()));
    let expected =
        [("encoder", 1), ("encoder.common", 2), ("encoder.dense", 1), ("decoder", 1), ("decoder.dense", 1)];
    assert_eq!(layers.collect::<Vec<_>>(), expected);
    assert_eq!(calls.recorded.parameters.len(), 6);
    assert_eq!(model.summary([3]).unwrap().multiply_adds, 4 * 9);
}

#[test]
fn penalties_and_constraints_of_parameters_count_once() {
    let dense = Dense::new(3).weight_penalty(Penalty::l2(0.5)).weight_constraint(Constraint::UnitNorm);
    let calls =
        Calls::of(&calls_of(dense.shared(), 3), &[&[4, 3], &[4, 3], &[4, 3]], Mode::Training).unwrap();
    assert_eq!(calls.graph.penalties().len(), 1);
    let losses = [calls.losses(), calls.graph.penalties()].concat();
    let tape = calls.graph.training_step(losses, &Sgd::new(0.1)).unwrap();
    assert_eq!(tape.ops().iter().filter(|op| op.op.name() == "constrain_norm").count(), 1, "{tape}");
    assert_eq!(tape.ops().iter().filter(|op| op.op.name() == "sgd").count(), 1, "{tape}");
}

/// A stateful layer called on the two halves of a sequence is one called on all of it.
#[test]
fn a_stateful_layer_goes_on_where_its_call_before_ended() {
    let gru = |stateful| Gru::new(2).return_sequences(true).stateful(stateful);
    let halves =
        Calls::of(&calls_of(gru(true).shared(), 2), &[&[2, 3, 1], &[2, 3, 1]], Mode::Training).unwrap();
    let whole = Calls::of(&calls_of(gru(false), 1), &[&[2, 6, 1]], Mode::Training).unwrap();
    let data = noise(12, 5, -1.0, 1.0);
    let half = |first: usize| [&data[first..first + 3], &data[6 + first..9 + first]].concat();
    for device in [gpu(), &Device::cpu(), &Device::reference()] {
        let (a, b) =
            (halves.forward(device, &[half(0), half(3)]), whole.forward(device, std::slice::from_ref(&data)));
        let y = b.read(whole.recorded.outputs[0]).unwrap();
        for (i, &half) in halves.recorded.outputs.iter().enumerate() {
            let expected = [&y[6 * i..6 * i + 6], &y[12 + 6 * i..18 + 6 * i]].concat();
            assert_close(&a.read(half).unwrap(), &expected);
        }
        let state = a.read(halves.recorded.states[0]).unwrap();
        assert_close(&state, &[y[10], y[11], y[22], y[23]]);
    }
}

/// Three steps of one block, and a head.
fn builder() -> retape::train::TrainerBuilder {
    let block = Sequential::new().add(Dense::new(4).activation(Activation::Tanh)).add(BatchNorm::new());
    let block = block.named("block").shared();
    let model = Sequential::new().add(Dense::new(4)).add(&block).add(&block).add(&block).add(Dense::new(3));
    Trainer::new(model, [5])
        .loss(Loss::SparseCategoricalCrossEntropy)
        .optimizer(Adam::new(0.02))
        .batch_size(6)
        .seed(3)
}

fn rows() -> Dataset {
    let inputs = noise(18 * 5, 8, -1.0, 1.0);
    let labels = inputs.chunks(5).map(|x| u32::from(x[0] > 0.0) + u32::from(x[1] > 0.2)).collect();
    Dataset::new([5], inputs, labels, 3).unwrap()
}

#[test]
fn a_trainer_fits_freezes_prunes_and_stores_shared_layers() {
    for device in [gpu(), &Device::cpu(), &Device::reference()] {
        let mut trainer = builder().build(device).unwrap();
        let history = trainer.fit(rows(), Fit::epochs(30)).unwrap();
        let loss = |history: &History, epoch: usize| history.get("loss")[epoch];
        assert!(loss(&history, 29) < 0.5 * loss(&history, 0), "{:?}", history.get("loss"));
        let names: Vec<_> = trainer.weights().unwrap().arrays.into_iter().map(|a| a.name).collect();
        assert_eq!(names.len(), 2 + 6 + 2, "{names:?}");
        let evaluated = trainer.evaluate(rows()).unwrap().get("loss").unwrap();

        let folder = Folder::new();
        let path = format!("{}/shared.safetensors", folder.path());
        trainer.save_weights(&path).unwrap();
        let mut other = builder().seed(99).build(device).unwrap();
        other.load_weights(&path).unwrap();
        assert_eq!(other.weights().unwrap(), trainer.weights().unwrap());
        assert_eq!(other.evaluate(rows()).unwrap().get("loss").unwrap(), evaluated);

        trainer.freeze(["block"]).unwrap();
        let before = trainer.weights().unwrap();
        trainer.fit(rows(), Fit::epochs(1)).unwrap();
        for array in trainer.weights().unwrap().arrays {
            let moved = before.get(&array.name) != Some(&array);
            assert_eq!(moved, !array.name.starts_with("block."), "{}", array.name);
        }
        trainer.unfreeze(["block"]).unwrap();
        trainer.prune(&Pruning::per_layer(0.5)).unwrap();
        trainer.fit(rows(), Fit::epochs(1)).unwrap();
        assert_eq!(trainer.sparsity().unwrap().layers.len(), 3);
        let after = trainer.weights().unwrap();
        let weight = after.get("block.dense.weight").unwrap();
        assert_eq!(weight.data.iter().filter(|&&w| w == 0.0).count(), 8);
        assert_ne!(before.get("block.batch_norm.running_mean"), after.get("block.batch_norm.running_mean"));
    }
}

#[test]
fn a_frozen_layer_is_frozen_in_every_call() {
    let model = calls_of(tower().named("t").trainable(false).shared(), 2);
    let calls = Calls::of(&model, &[&[4, 3], &[4, 3]], Mode::Training).unwrap();
    let data = noise(12, 2, -1.0, 1.0);
    let session = calls.forward(&Device::reference(), &[data.clone(), data]);
    let mean = calls.recorded.states.iter().find(|&&s| calls.names(&[s])[0] == "t.batch_norm.running_mean");
    assert_eq!(session.read(*mean.unwrap()).unwrap(), [0.0; 5]);
}

#[test]
fn units_of_a_shared_layer_are_not_taken_out() {
    let square = Dense::new(4).shared();
    let model = Sequential::new().add(&square).add(&square);
    let trainer = Trainer::new(model.clone(), [4]).loss(Loss::SparseCategoricalCrossEntropy);
    let trainer = trainer.optimizer(Sgd::new(0.1)).build(&Device::reference()).unwrap();
    let refused = prune_units(&model, [4], &trainer.weights().unwrap(), 0.5).unwrap_err();
    assert!(matches!(refused, Error::Argument { argument: "model", .. }), "{refused}");
}
