//! Recurrent layers: shapes, names, options, directions, lengths, states, and what they refuse.

use crate::common;
use crate::common::cases::recurrent::Cell;
use crate::common::data::noise;
use crate::common::unrolled::{Settings, UnrolledLayer};
use retape::nn::{LayerSpec, Recorded, Summary, record};
use retape::ops::RecurrentRoute;
use retape::prelude::*;
use retape::{Error, Result};

#[track_caller]
fn near(found: &[f32], expected: &[f32]) {
    assert_eq!(found.len(), expected.len());
    for (f, e) in found.iter().zip(expected) {
        assert!((f - e).abs() <= 1e-5, "{found:?} is not {expected:?}");
    }
}

/// What a program writes to an input.
enum Data {
    F32(Vec<usize>, Vec<f32>),
    Lengths(Vec<u32>),
}

fn sequence(dims: [usize; 3], seed: u32) -> Data {
    Data::F32(dims.to_vec(), noise(dims.iter().product(), seed, -1.0, 1.0))
}

/// A model with a session that has run once.
struct Ran {
    inputs: Vec<Value>,
    recorded: Recorded,
    session: Session,
}

impl Ran {
    fn new(model: &dyn Layer, mode: Mode, data: &[Data]) -> Ran {
        let mut g = Graph::new();
        let declare = |(i, data): (usize, &Data)| match data {
            Data::F32(dims, _) => g.input(&format!("x{i}"), Shape::new(dims).unwrap()),
            Data::Lengths(lengths) => g.indices(&format!("x{i}"), [lengths.len()]),
        };
        let inputs: Vec<Value> = data.iter().enumerate().map(declare).collect();
        let recorded = record(model, &mut g, &inputs, mode).unwrap();
        let tape = g.forward(recorded.outputs.clone()).unwrap();
        let session = tape.session_with(common::gpu(), SessionOptions::new().seed(3)).unwrap();
        let mut ran = Ran { inputs, recorded, session };
        ran.again(data);
        ran
    }

    fn again(&mut self, data: &[Data]) {
        for (&input, data) in self.inputs.iter().zip(data) {
            match data {
                Data::F32(_, data) => self.session.write(input, data).unwrap(),
                // Lengths that no layer heeds are not on the tape.
                Data::Lengths(lengths) => match self.session.write(input, lengths) {
                    Ok(()) | Err(Error::Unknown { .. }) => {}
                    Err(error) => panic!("{error}"),
                },
            }
        }
        self.session.replay().unwrap();
    }

    fn output(&self, index: usize) -> Vec<f32> {
        self.session.read(self.recorded.outputs[index]).unwrap()
    }

    fn outputs(&self) -> Vec<Vec<f32>> {
        (0..self.recorded.outputs.len()).map(|i| self.output(i)).collect()
    }
}

/// What a layer named `l` makes of the data in evaluation.
fn made(layer: impl Into<LayerSpec>, data: &[Data]) -> Vec<Vec<f32>> {
    let model = Sequential::new().add(layer.into().named("l"));
    Ran::new(&model, Mode::Evaluation, data).outputs()
}

/// Step `t` of `[batch, time, n]`.
fn step(x: &[f32], [batch, time, n]: [usize; 3], t: usize) -> Vec<f32> {
    (0..batch).flat_map(|b| x[(b * time + t) * n..][..n].to_vec()).collect()
}

fn three() -> [LayerSpec; 3] {
    [SimpleRnn::new(4).into(), Lstm::new(4).into(), Gru::new(4).into()]
}

#[test]
fn shapes_and_parameters_are_those_of_keras() {
    let probe = |layer: LayerSpec| {
        let summary = Sequential::new().add(layer).summary([20, 10]).unwrap();
        (summary.layers[0].outputs.clone(), summary.layers[0].trainable)
    };
    let (last, all) = (Shape::from([32]), Shape::from([20, 32]));
    assert_eq!(probe(SimpleRnn::new(32).into()), (vec![last], 1376));
    assert_eq!(probe(Lstm::new(32).into()), (vec![last], 5504));
    assert_eq!(probe(Gru::new(32).into()), (vec![last], 4224));
    assert_eq!(probe(Gru::new(32).reset(GruReset::Before).into()), (vec![last], 4128));
    assert_eq!(probe(Gru::new(32).bias(false).return_sequences(true).into()), (vec![all], 4032));
    let both = Lstm::new(32).return_sequences(true).return_state(true).peepholes(true);
    assert_eq!(probe(both.into()), (vec![all, last, last], 5504 + 96));
    let two = Bidirectional::new(Lstm::new(32).return_state(true));
    assert_eq!(probe(two.into()), (vec![Shape::from([64]), last, last, last, last], 11008));
    let sum = Bidirectional::new(Gru::new(32).return_sequences(true)).merge(Merge::Sum);
    assert_eq!(probe(sum.into()), (vec![all], 8448));
}

#[test]
fn names_and_how_parameters_start() {
    let model = Sequential::new()
        .add(Bidirectional::new(Lstm::new(3).peepholes(true).return_sequences(true)))
        .add(Gru::new(2).bias_init(Init::Constant(0.5)))
        .add(RepeatVector::new(2))
        .add(Lstm::new(2).unit_forget_bias(false).named("last"));
    for mode in [Mode::Training, Mode::Evaluation] {
        let ran = Ran::new(&model, mode, &[sequence([2, 4, 5], 1)]);
        let mut expected = Vec::new();
        for direction in ["forward_lstm", "backward_lstm"] {
            for name in ["weight", "recurrent_weight", "bias", "peepholes"] {
                expected.push(format!("bidirectional.{direction}.{name}"));
            }
        }
        for layer in ["gru", "last"] {
            expected.extend(["weight", "recurrent_weight", "bias"].map(|name| format!("{layer}.{name}")));
        }
        assert_eq!(ran.session.parameter_names(), expected);
        let get = |name: &str| ran.session.parameter(name).unwrap();
        let forget = [[0.0; 3], [1.0; 3], [0.0; 3], [0.0; 3]].concat();
        assert_eq!(get("bidirectional.backward_lstm.bias"), forget);
        assert_eq!(get("bidirectional.backward_lstm.peepholes"), [0.0; 9]);
        assert_eq!(get("gru.bias"), [0.5; 12]);
        assert_eq!(get("last.bias"), [0.0; 8]);
        let u = get("bidirectional.forward_lstm.recurrent_weight");
        for (a, b) in (0..3).flat_map(|a| (0..3).map(move |b| (a, b))) {
            let dot: f32 = (0..12).map(|c| u[a * 12 + c] * u[b * 12 + c]).sum();
            assert!((dot - f32::from(u8::from(a == b))).abs() < 1e-5, "rows {a} and {b}: {dot}");
        }
    }
}

/// The layer records what the operator of the graph does, with its parameters.
#[test]
fn a_layer_is_its_operator() {
    let layer = Lstm::new(3)
        .activation(CellActivation::Relu)
        .recurrent_activation(CellActivation::HardSigmoid)
        .peepholes(true)
        .go_backwards(true)
        .return_sequences(true);
    let data = [sequence([2, 3, 4], 5)];
    let model = Sequential::new().add(layer);
    let ran = Ran::new(&model, Mode::Evaluation, &data);
    let mut g = Graph::new();
    let x = g.input("x", [2, 3, 4]);
    let mut parameter = |name: &str, shape: Shape| {
        let values = ran.session.parameter(&format!("lstm.{name}")).unwrap();
        g.parameter(name, shape, Init::Values(values))
    };
    let (w, u) =
        (parameter("weight", Shape::from([4, 12])), parameter("recurrent_weight", Shape::from([3, 12])));
    let weights = RecurrentWeights::new(w, u)
        .bias(parameter("bias", Shape::from([12])))
        .peepholes(parameter("peepholes", Shape::from([3, 3])));
    let options = RecurrentOptions::new()
        .reverse(true)
        .activation(CellActivation::Relu)
        .recurrent_activation(CellActivation::HardSigmoid);
    let made = g.lstm(x, weights, &options).unwrap();
    let mut session = g.forward([made.outputs]).unwrap().session(common::gpu()).unwrap();
    let Data::F32(_, numbers) = &data[0] else { unreachable!() };
    session.write(x, numbers).unwrap();
    session.replay().unwrap();
    near(&ran.output(0), &session.read(made.outputs).unwrap());
}

#[test]
fn the_last_output_is_that_of_the_last_step_taken() {
    let dims = [2, 5, 3];
    let data = || [sequence(dims, 7)];
    for backwards in [false, true] {
        let layer = || Lstm::new(4).go_backwards(backwards);
        let all = made(layer().return_sequences(true).return_state(true), &data());
        let last = made(layer().return_state(true), &data());
        let end = step(&all[0], [2, 5, 4], if backwards { 0 } else { 4 });
        near(&last[0], &end);
        near(&last[1], &end);
        near(&all[1], &end);
        near(&all[2], &last[2]);
        for route in [RecurrentRoute::Steps, RecurrentRoute::Sequence] {
            near(&made(layer().route(route), &data())[0], &last[0]);
        }
        let settings = Settings { reverse: backwards, ..Settings::default() };
        let unrolled = UnrolledLayer { settings, ..UnrolledLayer::new(Cell::Lstm, 4) };
        near(&made(unrolled, &data())[0], &last[0]);
    }
}

/// Going on from the states that a first half ended with is going through the whole.
#[test]
fn initial_states_continue_a_sequence() {
    let whole = noise(2 * 6 * 3, 9, -1.0, 1.0);
    let half = |k: usize| {
        let rows = |b: usize| whole[(b * 6 + k * 3) * 3..][..9].to_vec();
        Data::F32(vec![2, 3, 3], [rows(0), rows(1)].concat())
    };
    let check = |layer: LayerSpec| {
        let expected = made(&layer, &[Data::F32(vec![2, 6, 3], whole.clone())]);
        let first = made(&layer, &[half(0)]);
        let states = first[1..].iter().map(|s| Data::F32(vec![2, 4], s.clone()));
        let data: Vec<Data> = [half(1)].into_iter().chain(states).collect();
        let second = made(&layer, &data);
        expected.iter().zip(&second).for_each(|(e, s)| near(s, e));
    };
    check(SimpleRnn::new(4).return_state(true).into());
    check(Lstm::new(4).return_state(true).into());
    check(Gru::new(4).return_state(true).into());
}

#[test]
fn a_stateful_layer_carries_its_states_from_replay_to_replay() {
    let whole = noise(2 * 6 * 3, 9, -1.0, 1.0);
    let half = |k: usize| {
        let rows = |b: usize| whole[(b * 6 + k * 3) * 3..][..9].to_vec();
        [Data::F32(vec![2, 3, 3], [rows(0), rows(1)].concat())]
    };
    for mode in [Mode::Training, Mode::Evaluation] {
        let expected = made(Lstm::new(4), &[Data::F32(vec![2, 6, 3], whole.clone())]);
        let model = Sequential::new().add(Lstm::new(4).stateful(true).named("l"));
        let mut ran = Ran::new(&model, mode, &half(0));
        let first = ran.output(0);
        ran.again(&half(1));
        near(&ran.output(0), &expected[0]);
        assert_eq!(ran.recorded.states.len(), 2);
        for &state in &ran.recorded.states {
            ran.session.write(state, &[0.0; 8]).unwrap();
        }
        ran.again(&half(0));
        assert_eq!(ran.output(0), first);
    }
}

/// A session of another batch size shares the parameters of a stateful model.
#[test]
fn stateful_sessions_of_two_batch_sizes_share_parameters() {
    let model = Sequential::new().add(Gru::new(4).stateful(true));
    let mut training = Ran::new(&model, Mode::Training, &[sequence([3, 2, 3], 1)]);
    let mut g = Graph::new();
    let x = g.input("x", [1, 2, 3]);
    let y = model.record(&mut g, x, Mode::Evaluation).unwrap();
    let options = SessionOptions::new().share_parameters(&training.session);
    let mut one = g.forward([y]).unwrap().session_with(common::gpu(), options).unwrap();
    let Data::F32(_, data) = sequence([3, 2, 3], 1) else { unreachable!() };
    one.write(x, &data[..6]).unwrap();
    one.replay().unwrap();
    near(&one.read(y).unwrap(), &training.output(0)[..4]);
    training.again(&[sequence([3, 2, 3], 1)]);
    assert_ne!(one.read(y).unwrap(), training.output(0)[..4]);
}

/// Identity weights and no recurrence show the mask of the input; weights of one and a recurrence
/// alone that of the state.
#[test]
fn dropout_draws_once_for_all_steps() {
    let linear = || SimpleRnn::new(40).activation(CellActivation::Linear).return_sequences(true).bias(false);
    let identity: Vec<f32> = (0..1600).map(|i| if i % 41 == 0 { 1.0 } else { 0.0 }).collect();
    let identity = || Init::Values(identity.clone());
    let ones = || [Data::F32(vec![2, 3, 40], vec![1.0; 240])];
    let run = |layer: SimpleRnn, mode: Mode| Ran::new(&Sequential::new().add(layer), mode, &ones());
    let seen = |y: &[f32], t: usize| step(y, [2, 3, 40], t);

    let input = linear().weight_init(identity()).recurrent_init(Init::Zeros).dropout(0.5);
    assert_eq!(run(input.clone(), Mode::Evaluation).output(0), vec![1.0; 240]);
    let mut ran = run(input, Mode::Training);
    let y = ran.output(0);
    assert!(y.iter().all(|&v| v == 0.0 || v == 2.0) && y.contains(&0.0) && y.contains(&2.0), "{y:?}");
    assert!((1..3).all(|t| seen(&y, t) == seen(&y, 0)));
    assert_ne!(y[..40], y[120..160]);
    ran.again(&ones());
    assert_ne!(ran.output(0), y);

    let state = linear().weight_init(identity()).recurrent_init(identity()).recurrent_dropout(0.5);
    assert_eq!(seen(&run(state.clone(), Mode::Evaluation).output(0), 2), [3.0; 80]);
    let y = run(state, Mode::Training).output(0);
    assert_eq!(seen(&y, 0), [1.0; 80]);
    // Kept units take 1 + 2 h.
    let kept = seen(&y, 1);
    assert!(kept.contains(&1.0) && kept.contains(&3.0), "{kept:?}");
    let next: Vec<f32> = kept.iter().map(|&h| if h == 1.0 { 1.0 } else { 7.0 }).collect();
    assert_eq!(seen(&y, 2), next);
}

#[test]
fn bidirectional_is_one_layer_each_way() {
    let data = || sequence([2, 4, 3], 11);
    for sequences in [false, true] {
        let layer = || Gru::new(2).return_sequences(sequences).return_state(true);
        let all = Ran::new(&Sequential::new().add(Bidirectional::new(layer())), Mode::Evaluation, &[data()]);
        let each = |direction: &str, backwards: bool| {
            let model = Sequential::new().add(layer().go_backwards(backwards));
            let mut ran = Ran::new(&model, Mode::Evaluation, &[data()]);
            for name in ["weight", "recurrent_weight", "bias"] {
                let from = all.session.parameter(&format!("bidirectional.{direction}_gru.{name}")).unwrap();
                ran.session.set_parameter(&format!("gru.{name}"), &from).unwrap();
            }
            ran.again(&[data()]);
            ran.outputs()
        };
        let (forward, backward) = (each("forward", false), each("backward", true));
        let pairs = forward[0].chunks(2).zip(backward[0].chunks(2));
        let concat: Vec<f32> = pairs.flat_map(|(f, b)| [f, b].concat()).collect();
        let found = all.outputs();
        near(&found[0], &concat);
        near(&found[1], &forward[1]);
        near(&found[2], &backward[1]);
        let joined = |merge: Merge| made(Bidirectional::new(layer()).merge(merge), &[data()])[0].clone();
        let [sum, mul, mean] = [Merge::Sum, Merge::Mul, Merge::Average].map(joined);
        let parts = joined(Merge::Concat);
        for (i, pair) in parts.chunks(4).enumerate() {
            for j in 0..2 {
                let (f, b, at) = (pair[j], pair[2 + j], 2 * i + j);
                near(&[sum[at], mul[at], mean[at]], &[f + b, f * b, 0.5 * (f + b)]);
            }
        }
    }
}

#[test]
fn bidirectional_takes_the_states_of_both_directions() {
    let layer = || Bidirectional::new(Lstm::new(2).return_state(true));
    let state = |seed| Data::F32(vec![2, 2], noise(4, seed, -1.0, 1.0));
    let zero = || Data::F32(vec![2, 2], vec![0.0; 4]);
    let x = || sequence([2, 4, 3], 12);
    let plain = made(layer(), &[x()]);
    let zeros = made(layer(), &[x(), zero(), zero(), zero(), zero()]);
    plain.iter().zip(&zeros).for_each(|(p, z)| near(z, p));
    let forward = made(layer(), &[x(), state(1), state(2), zero(), zero()]);
    assert_ne!(forward[1], plain[1]);
    near(&forward[3], &plain[3]);
}

/// A batch of padded sequences, each by itself at its length, and what lies in the padding.
#[test]
fn lengths_travel_to_the_recurrent_layers() {
    let model = |lengths: bool| {
        let stack = Sequential::new()
            .add(Dense::new(3).activation(Activation::Tanh))
            .add(Dropout::new(0.5))
            .add(LayerNorm::new())
            .add(GaussianNoise::new(0.5))
            .add(Bidirectional::new(Lstm::new(2).return_sequences(true)))
            .add(Sequential::new().add(Activation::Softsign))
            .add(Gru::new(3).return_sequences(true).return_state(true).go_backwards(true));
        let mut net = Network::new();
        let x = net.input();
        let x = if lengths {
            let lengths = net.input();
            net.add(SequenceLengths, [x, lengths])
        } else {
            x
        };
        let outputs = net.add_all(stack, x);
        let last = net.add(SimpleRnn::new(2).named("last"), outputs[0]);
        net.outputs([outputs[0], outputs[1], last])
    };
    let lengths = [4u32, 2, 1];
    let x = noise(3 * 4 * 2, 13, -1.0, 1.0);
    let batch = |x: Vec<f32>| [Data::F32(vec![3, 4, 2], x), Data::Lengths(lengths.to_vec())];
    let padded = Ran::new(&model(true), Mode::Evaluation, &batch(x.clone())).outputs();
    for (n, length) in lengths.map(|l| l as usize).into_iter().enumerate() {
        let own = Data::F32(vec![1, length, 2], x[n * 8..][..2 * length].to_vec());
        let alone = Ran::new(&model(false), Mode::Evaluation, &[own]).outputs();
        near(&padded[0][n * 12..][..3 * length], &alone[0]);
        near(&padded[1][n * 3..][..3], &alone[1]);
        near(&padded[2][n * 2..][..2], &alone[2]);
    }
    let is_padding = |i: usize| i / 2 % 4 >= lengths[i / 8] as usize;
    let other = (0..24).map(|i| if is_padding(i) { 9.0 } else { x[i] }).collect();
    let other = Ran::new(&model(true), Mode::Evaluation, &batch(other)).outputs();
    assert_eq!((&other[1], &other[2]), (&padded[1], &padded[2]));
}

#[test]
fn lengths_can_be_ignored_and_end_where_steps_do() {
    let x = || Data::F32(vec![2, 4, 3], noise(24, 14, -1.0, 1.0));
    let lengths = || Data::Lengths(vec![2, 3]);
    let with = |layer: LayerSpec| {
        let model = Sequential::new().add(SequenceLengths).add(layer.named("l"));
        Ran::new(&model, Mode::Evaluation, &[x(), lengths()]).output(0)
    };
    let plain = made(Gru::new(2), &[x()])[0].clone();
    assert_ne!(with(Gru::new(2).into()), plain);
    assert_eq!(with(Gru::new(2).ignore_mask(true).into()), plain);
    let announced = |layer: LayerSpec| {
        let mut g = Graph::new();
        let (x, lengths) = (g.input("x", [2, 4, 3]), g.indices("lengths", [2]));
        let model = Sequential::new().add(SequenceLengths).add(layer).add(Probe);
        record(&model, &mut g, &[x, lengths], Mode::Evaluation).is_ok()
    };
    assert!(announced(Dense::new(3).into()));
    assert!(announced(Gru::new(3).return_sequences(true).into()));
    assert!(announced(LayerNorm::new().axis(2).into()));
    assert!(!announced(Gru::new(3).return_sequences(true).ignore_mask(true).into()));
    assert!(!announced(Gru::new(3).into()));
    assert!(!announced(LayerNorm::new().axis(1).into()));
    assert!(announced(Reshape::new([4, 3, 1]).into()));
    assert!(!announced(Reshape::new([3, 4]).into()));
}

/// Refuses an input without a mask.
#[derive(Debug)]
struct Probe;

impl Layer for Probe {
    fn kind(&self) -> &'static str {
        "probe"
    }

    fn record(&self, cx: &mut LayerContext<'_>, inputs: &[Value]) -> Result<Value> {
        let x = cx.one(inputs)?;
        cx.mask(x).map(|_| x).ok_or(Error::ForeignValue)
    }
}

#[test]
fn copies_and_dense_layers_work_step_by_step() {
    let y = made(RepeatVector::new(3), &[Data::F32(vec![2, 2], vec![1.0, 2.0, 3.0, 4.0])]);
    assert_eq!(y[0], [1.0, 2.0, 1.0, 2.0, 1.0, 2.0, 3.0, 4.0, 3.0, 4.0, 3.0, 4.0]);
    let x = noise(2 * 4 * 3, 15, -1.0, 1.0);
    let all = made(Dense::new(5), &[Data::F32(vec![2, 4, 3], x.clone())]);
    for t in 0..4 {
        let one = made(Dense::new(5), &[Data::F32(vec![2, 3], step(&x, [2, 4, 3], t))]);
        near(&step(&all[0], [2, 4, 5], t), &one[0]);
    }
}

/// The sum of a sequence, learned by stacked layers, with and without truncation; a frozen layer
/// stays as it is.
#[test]
fn stacks_train() {
    for (layer, truncate) in [(0, None), (1, None), (2, Some(3))] {
        let lstm = truncate.into_iter().fold(Lstm::new(8), Lstm::truncate);
        let bottom = match layer {
            0 => LayerSpec::from(SimpleRnn::new(8).return_sequences(true)),
            _ => Gru::new(8).return_sequences(true).into(),
        };
        let top = lstm.trainable(layer != 1).named("top");
        let model = Sequential::new().add(bottom).add(top).add(Dense::new(1));
        let mut g = Graph::new();
        let x = g.input("x", [16, 6, 1]);
        let target = g.targets("target", [16, 1]);
        let y = model.record(&mut g, x, Mode::Training).unwrap();
        let loss = g.mean_squared_error(y, target).unwrap();
        let tape = g.training_step(loss, &Adam::new(0.02)).unwrap();
        let mut session = tape.session(common::gpu()).unwrap();
        let data = noise(96, 17, -1.0, 1.0);
        let sums: Vec<f32> = data.chunks(6).map(|s| s.iter().sum::<f32>() * 0.5).collect();
        session.write(x, &data).unwrap();
        session.write(target, &sums).unwrap();
        let before = session.parameter("top.weight").unwrap();
        session.replay().unwrap();
        let first = session.read_scalar(loss).unwrap();
        session.replay_n(60).unwrap();
        let last = session.read_scalar(loss).unwrap();
        assert!(last < 0.25 * first, "{first} to {last}");
        assert_eq!(session.parameter("top.weight").unwrap() == before, layer == 1);
    }
}

#[test]
fn what_does_not_fit_is_refused_by_name() {
    let refused = |layer: LayerSpec, input: &[usize], facts: &[&str]| {
        for mode in [Mode::Training, Mode::Evaluation] {
            let mut g = Graph::new();
            let dims: Vec<usize> = [2].iter().chain(input).copied().collect();
            let x = g.input("x", Shape::new(&dims).unwrap());
            let error = Sequential::new().add(&layer).record(&mut g, x, mode).unwrap_err();
            let text = error.to_string();
            let all = [" in layer `", "nn_recurrent.rs:"].iter().chain(facts);
            all.for_each(|fact| assert!(text.contains(fact), "{fact} is missing in: {text}"));
        }
    };
    for (layer, kind) in three().into_iter().zip(["`simple_rnn`", "`lstm`", "`gru`"]) {
        refused(layer.clone(), &[3], &[kind, "[2, 3]", "[batch, time, features]"]);
        refused(layer.named("mine"), &[3, 4, 5], &["`mine`", "[2, 3, 4, 5]"]);
    }
    refused(Bidirectional::new(Lstm::new(4)).into(), &[3], &["`bidirectional.forward_lstm`", "[2, 3]"]);
    refused(SimpleRnn::new(0).into(), &[3, 4], &["`simple_rnn`", "units is 0"]);
    refused(Lstm::new(0).into(), &[3, 4], &["`lstm`", "units is 0"]);
    refused(Gru::new(usize::MAX).into(), &[3, 4], &["`gru`", "elements"]);
    refused(Lstm::new(100_000).into(), &[3, 4], &["`lstm`", "elements"]);
    for rate in [-0.5, 1.0, f32::NAN] {
        refused(Gru::new(4).dropout(rate).into(), &[3, 4], &["`gru`", "dropout is", "below 1"]);
        refused(Lstm::new(4).recurrent_dropout(rate).into(), &[3, 4], &["recurrent_dropout is"]);
    }
    refused(Gru::new(4).truncate(0).into(), &[3, 4], &["`gru`", "truncate is 0"]);
    refused(RepeatVector::new(0).into(), &[3], &["`repeat_vector`", "n is 0"]);
    refused(RepeatVector::new(2).into(), &[3, 4], &["[2, 3, 4]", "[batch, features]"]);
    refused(SequenceLengths.into(), &[3, 4], &["`sequence_lengths`", "inputs is 1"]);
}

#[test]
fn wrong_states_and_lengths_are_refused_by_name() {
    let refused = |layer: LayerSpec, shapes: &[&[usize]], facts: &[&str]| {
        let mut g = Graph::new();
        let declare = |(i, dims): (usize, &&[usize])| g.input(&format!("x{i}"), Shape::new(dims).unwrap());
        let inputs: Vec<Value> = shapes.iter().enumerate().map(declare).collect();
        let model = Sequential::new().add(layer);
        let text = record(&model, &mut g, &inputs, Mode::Training).unwrap_err().to_string();
        facts.iter().for_each(|fact| assert!(text.contains(fact), "{fact} is missing in: {text}"));
    };
    let (x, h): (&[usize], &[usize]) = (&[2, 3, 4], &[2, 5]);
    refused(Lstm::new(5).into(), &[x, h], &["`lstm`", "initial states is 1", "h and c"]);
    refused(Gru::new(5).into(), &[x, h, h], &["`gru`", "initial states is 2", "one, h"]);
    refused(Gru::new(5).into(), &[x, &[2, 4]], &["`gru`", "initial state", "[2, 4]", "[2, 5]"]);
    refused(Gru::new(5).stateful(true).into(), &[x, h], &["`gru`", "stateful"]);
    refused(Bidirectional::new(Gru::new(5)).into(), &[x, h], &["`bidirectional`", "initial states is 1"]);
    refused(SimpleRnn::new(5).into(), &[], &["`simple_rnn`", "inputs is 0"]);
    refused(Bidirectional::new(Gru::new(5)).into(), &[], &["`bidirectional`", "inputs is 0"]);
    refused(SequenceLengths.into(), &[x, &[2]], &["`sequence_lengths`", "lengths", "u32"]);
    let lengths =
        Summary::of(&Sequential::new().add(SequenceLengths), &[Shape::from([3, 4]), Shape::from([1])]);
    assert!(lengths.unwrap_err().to_string().contains("lengths and sequences"));
}
