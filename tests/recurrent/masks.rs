//! Masks of padded sequences: which layers make them, pass them and heed them.

use crate::common;
use crate::common::data::noise;
use retape::nn::{LayerSpec, Recorded, record};
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

/// A model recorded for evaluation on the CPU path and on a GPU driver: its outputs, and their masks.
fn run(model: &dyn Layer, inputs: &[(&[usize], Vec<f32>)]) -> Vec<(Vec<f32>, Option<Vec<f32>>)> {
    let [cpu, gpu] = [Device::reference(), common::gpu().clone()].map(|device| {
        let mut g = Graph::new();
        let declare = |(i, (dims, _)): (usize, &(&[usize], Vec<f32>))| {
            g.input(&format!("x{i}"), Shape::new(dims).unwrap())
        };
        let values: Vec<Value> = inputs.iter().enumerate().map(declare).collect();
        let Recorded { outputs, masks, .. } = record(model, &mut g, &values, Mode::Evaluation).unwrap();
        let read = outputs.iter().copied().chain(masks.iter().copied().flatten());
        let tape = g.forward(read.collect::<Vec<_>>()).unwrap();
        let mut session = tape.session_with(&device, SessionOptions::new().seed(3)).unwrap();
        for (&value, (_, data)) in values.iter().zip(inputs) {
            session.write(value, data).unwrap();
        }
        session.replay().unwrap();
        let both = outputs.iter().zip(&masks);
        both.map(|(&y, mask)| (session.read(y).unwrap(), mask.map(|mask| session.read(mask).unwrap())))
            .collect::<Vec<_>>()
    });
    for ((a, a_mask), (b, b_mask)) in cpu.iter().zip(&gpu) {
        near(a, b);
        assert_eq!(a_mask, b_mask);
    }
    gpu
}

/// The mask of one output.
fn mask_after(layer: impl Into<LayerSpec>) -> Option<Vec<f32>> {
    let model = Sequential::new().add(SequenceMask).add(layer);
    let x = (&[2usize, 3, 4][..], noise(24, 1, -1.0, 1.0));
    run(&model, &[x, (&[2, 3], vec![0.0, 1.0, 1.0, 1.0, 0.0, 7.0])]).remove(0).1
}

const PATTERNS: [[f32; 5]; 5] = [
    [0.0, 0.0, 1.0, 1.0, 1.0],
    [1.0, 1.0, 0.0, 0.0, 0.0],
    [1.0, 0.0, 1.0, 0.0, 1.0],
    [0.0, 1.0, 1.0, 0.0, 0.0],
    [0.0, 0.0, 0.0, 0.0, 1.0],
];

/// Padding in front, behind and in between is skipped: states and outputs are those of the other steps alone.
#[test]
fn recurrent_layers_skip_padding_wherever_it_is() {
    let x = noise(5 * 5 * 2, 2, -1.0, 1.0);
    let layers: [fn(RecurrentRoute, bool) -> LayerSpec; 4] = [
        |route, back| {
            SimpleRnn::new(3).return_sequences(true).return_state(true).go_backwards(back).route(route).into()
        },
        |route, back| {
            Lstm::new(3).return_sequences(true).return_state(true).go_backwards(back).route(route).into()
        },
        |route, back| {
            Gru::new(3).return_sequences(true).return_state(true).go_backwards(back).route(route).into()
        },
        |route, back| {
            let gru = Gru::new(3).reset(GruReset::Before).return_sequences(true).return_state(true);
            gru.go_backwards(back).route(route).into()
        },
    ];
    for layer in layers {
        for (route, back) in [(RecurrentRoute::Sequence, false), (RecurrentRoute::Steps, true)] {
            let layer = || layer(route, back).named("l");
            let model = Sequential::new().add(SequenceMask).add(layer());
            let poisoned = x
                .iter()
                .enumerate()
                .map(|(i, &v)| if PATTERNS[i / 10][i / 2 % 5] == 0.0 { f32::NAN } else { v });
            let inputs = [(&[5usize, 5, 2][..], poisoned.collect()), (&[5, 5], PATTERNS.concat())];
            let made = run(&model, &inputs);
            assert_eq!(made[0].1, Some(PATTERNS.concat()));
            assert_eq!(made[1].1, None);
            for (n, pattern) in PATTERNS.iter().enumerate() {
                let taken: Vec<usize> = (0..5).filter(|&t| pattern[t] == 1.0).collect();
                let own: Vec<f32> = taken.iter().flat_map(|t| x[n * 10 + t * 2..][..2].to_vec()).collect();
                let alone = run(&Sequential::new().add(layer()), &[(&[1, taken.len(), 2], own)]);
                let outputs = |t: usize| &made[0].0[(n * 5 + t) * 3..][..3];
                for (step, &t) in taken.iter().enumerate() {
                    near(outputs(t), &alone[0].0[step * 3..][..3]);
                }
                for (state, single) in made[1..].iter().zip(&alone[1..]) {
                    near(&state.0[n * 3..][..3], &single.0);
                }
                // The state passes padding.
                let order: Vec<usize> = if back { (0..5).rev().collect() } else { (0..5).collect() };
                let mut state = vec![0.0; 3];
                for t in order {
                    if pattern[t] == 1.0 { state = outputs(t).to_vec() } else { near(outputs(t), &state) }
                }
            }
        }
    }
}

/// Zeros where Keras and PyTorch have them, by option for one direction, by default for two.
#[test]
fn outputs_at_padding_are_zeros_or_the_state() {
    let padded = |layer: LayerSpec| {
        let model = Sequential::new().add(SequenceMask).add(layer.named("l"));
        let inputs = [(&[1usize, 4, 2][..], noise(8, 3, -1.0, 1.0)), (&[1, 4], vec![0.0, 1.0, 1.0, 0.0])];
        run(&model, &inputs).remove(0)
    };
    let lstm = || Lstm::new(3).return_sequences(true);
    let (zeros, mask) = padded(lstm().zero_output_for_mask(true).into());
    let (states, _) = padded(lstm().into());
    assert_eq!(mask, Some(vec![0.0, 1.0, 1.0, 0.0]));
    assert_eq!([&zeros[..3], &zeros[9..]], [[0.0; 3]; 2]);
    assert_eq!(zeros[3..9], states[3..9]);
    assert_eq!((&states[..3], &states[9..]), (&[0.0; 3][..], &states[6..9]));
    let (both, mask) = padded(Bidirectional::new(lstm()).into());
    let (left, _) = padded(Bidirectional::new(lstm()).zero_output_for_mask(false).into());
    assert_eq!(mask, Some(vec![0.0, 1.0, 1.0, 0.0]));
    assert_eq!([&both[..6], &both[18..]], [[0.0; 6]; 2]);
    assert_eq!(both[6..18], left[6..18]);
    // Forward states behind the sequence, backward ones in front of it.
    assert_eq!((&left[..3], &left[3..6]), (&[0.0; 3][..], &left[9..12]));
    assert_eq!((&left[18..21], &left[21..]), (&left[12..15], &[0.0; 3][..]));
    // The last states are those of the steps alone, whatever stands at padding.
    let (last, _) = padded(Bidirectional::new(Lstm::new(3)).into());
    near(&last[..3], &left[12..15]);
    near(&last[3..], &left[9..12]);
}

#[test]
fn masks_travel_as_the_table_says() {
    let given = Some(vec![0.0, 1.0, 1.0, 1.0, 0.0, 1.0]);
    let passing: [LayerSpec; 16] = [
        BatchNorm::new().into(),
        BatchNorm::new().axis(-1).into(),
        InstanceNorm::new().into(),
        Reshape::new([3, 2, 2]).into(),
        images(MaxPool2d::new(2)),
        images(ZeroPad2d::new(1)),
        images(GlobalAvgPool2d),
        Dense::new(2).into(),
        Activation::Relu.into(),
        Activation::Linear.into(),
        Dropout::new(0.5).into(),
        GaussianNoise::new(0.5).into(),
        SpatialDropout::new(0.5).into(),
        LayerNorm::new().into(),
        ActivityPenalty::new(Penalty::l2(0.1)).into(),
        Sequential::new().add(Dense::new(3)).add(Lstm::new(2).return_sequences(true)).into(),
    ];
    for layer in passing {
        assert_eq!(mask_after(&layer), given, "{layer:?}");
    }
    let ending: [LayerSpec; 12] = [
        GroupNorm::new(3).into(),
        images(LocalResponseNorm::new(3)),
        images(Conv2d::new(3, 1)),
        Gru::new(2).into(),
        Gru::new(2).return_sequences(true).ignore_mask(true).into(),
        GlobalAvgPool1d.into(),
        GlobalMaxPool1d.into(),
        Flatten.into(),
        Reshape::new([4, 3]).into(),
        Sequential::new().add(Dense::new(1)).add(Reshape::new([3])).into(),
        Conv1d::new(2, 1).into(),
        LayerNorm::new().axis(1).into(),
    ];
    for layer in ending {
        assert_eq!(mask_after(&layer), None, "{layer:?}");
    }
    // Windows of two steps that overlap: all of them have a step that counts.
    assert_eq!(mask_after(MaxPool1d::new(2).stride(1)), Some(vec![1.0; 4]));
    assert_eq!(mask_after(AvgPool1d::new(1)), given);
}

/// A layer of images, on sequences of them.
fn images(layer: impl Into<LayerSpec>) -> LayerSpec {
    Sequential::new().add(Reshape::new([3, 2, 2])).add(layer).into()
}

/// With the features for channels, over the steps that count: as of those alone, whatever stands at padding, also of
/// numbers whose squares overflow.
#[test]
fn batch_normalisation_leaves_padding_out() {
    let mask = [1.0f32, 0.0, 1.0, 0.0, 0.0, 0.0, 1.0, 1.0];
    let real: Vec<usize> = (0..8).filter(|&i| mask[i] != 0.0).collect();
    for (device, size) in
        [(Device::reference(), 1.0f32), (common::gpu().clone(), 1.0), (common::gpu().clone(), 1e25)]
    {
        let numbers: Vec<f32> = noise(24, 9, -1.0, 3.0).iter().map(|x| x * size).collect();
        let factors = noise(24, 10, -1.0, 1.0);
        // The output, its gradient's way back to the input, scale, shift and both running statistics.
        let train = |x: Vec<f32>, factors: Vec<f32>, shape: &[usize], mask: Option<&[f32]>| {
            let mut g = Graph::new();
            let x = g.parameter("x", Shape::new(shape).unwrap(), Init::Values(x));
            let layer = BatchNorm::new().axis(-1).scale_init(Init::Constant(1.5)).named("norm");
            let recorded = match mask {
                None => record(&Sequential::new().add(layer), &mut g, &[x], Mode::Training),
                Some(mask) => {
                    let mask = g.constant([shape[0], shape[1]], mask).unwrap();
                    let model = Sequential::new().add(SequenceMask).add(layer);
                    record(&model, &mut g, &[x, mask], Mode::Training)
                }
            };
            let recorded = recorded.unwrap();
            let y = recorded.output().unwrap();
            let weighted = g.mul(y, g.constant(Shape::new(shape).unwrap(), &factors).unwrap()).unwrap();
            let loss = g.sum(weighted, &[], false).unwrap();
            let tape = g.training_step(loss, &Sgd::new(1.0)).unwrap();
            let (dx, tape) = (tape.gradient(x).unwrap(), tape.keep([y]).unwrap());
            let mut session = tape.keep([dx]).unwrap().session(&device).unwrap();
            session.replay().unwrap();
            let mut found = vec![session.read(y).unwrap(), session.read(dx).unwrap()];
            assert!(session.verify(&[]).unwrap().passes());
            found.extend(["norm.scale", "norm.shift"].map(|name| session.parameter(name).unwrap()));
            found.extend(recorded.states.iter().map(|&state| session.read(state).unwrap()));
            found
        };
        let rows =
            |from: &[f32]| -> Vec<f32> { real.iter().flat_map(|i| from[3 * i..][..3].to_vec()).collect() };
        let padded: Vec<f32> =
            (0..24).map(|i| if mask[i / 3] == 0.0 { f32::NAN } else { numbers[i] }).collect();
        let no_factor: Vec<f32> = (0..24).map(|i| factors[i] * mask[i / 3]).collect();
        let found = train(padded, no_factor, &[2, 4, 3], Some(&mask));
        let want = train(rows(&numbers), rows(&factors), &[4, 3], None);
        for (which, (found, want)) in found.iter().zip(&want).enumerate() {
            let found = if which < 2 { rows(found) } else { found.clone() };
            let most = want
                .iter()
                .fold(f32::MIN_POSITIVE, |most, x| if x.is_finite() { most.max(x.abs()) } else { most });
            for (found, want) in found.iter().zip(want) {
                let close = found == want || (found - want).abs() <= 4e-6 * most;
                assert!(close, "{which} on {device:?}, {size}: {found} for {want}");
            }
        }
        // A batch of nothing but padding.
        let none = train(vec![f32::NAN; 24], vec![0.0; 24], &[2, 4, 3], Some(&[0.0; 8]));
        near(&none[4], &[0.0; 3]);
        near(&none[5], &[1.0; 3]);
        assert!(none[0].iter().chain(&none[1]).all(|&x| x == 0.0), "{none:?}");
    }
}

/// Over any axis: as over axis 1 of the transposed input; in evaluation too.
#[test]
fn batch_normalisation_of_other_axes() {
    let x = noise(2 * 3 * 4, 11, -1.0, 1.0);
    let run = |layer: BatchNorm, shape: [usize; 3], x: &[f32], mode: Mode| {
        let mut g = Graph::new();
        let input = g.input("x", shape);
        let recorded = record(&Sequential::new().add(layer), &mut g, &[input], mode).unwrap();
        let y = recorded.output().unwrap();
        let mut session = g.forward([y]).unwrap().session(common::gpu()).unwrap();
        session.write(input, x).unwrap();
        session.replay().unwrap();
        (session.read(y).unwrap(), session.read(recorded.states[1]).unwrap())
    };
    let turned =
        |x: &[f32]| -> Vec<f32> { (0..24).map(|i| x[i / 12 * 12 + i % 3 * 4 + i / 3 % 4]).collect() };
    for mode in [Mode::Training, Mode::Evaluation] {
        let last = run(BatchNorm::new().axis(-1), [2, 3, 4], &x, mode);
        let first = run(BatchNorm::new(), [2, 4, 3], &turned(&x), mode);
        near(&turned(&last.0), &first.0);
        near(&last.1, &first.1);
        assert_eq!(run(BatchNorm::new().axis(2), [2, 3, 4], &x, mode), last);
    }
    let refused = |axis: isize| {
        let mut g = Graph::new();
        let x = g.input("x", [2, 3, 4]);
        Sequential::new().add(BatchNorm::new().axis(axis)).record(&mut g, x, Mode::Training).unwrap_err()
    };
    assert!(matches!(refused(0).root(), Error::Argument { argument: "axis", .. }));
    assert!(matches!(refused(3).root(), Error::Axis { .. }));
}

/// Of several inputs, as in Keras 3: a step counts that does in any of them.
#[test]
fn branches_join_their_masks() {
    let joined = |layer: LayerSpec, second: bool| {
        let mut net = Network::new();
        let (x, a, b) = (net.input(), net.input(), net.input());
        let one = net.add(SequenceMask, [x, a]);
        let other = net.add(SequenceMask, [x, b]);
        let y = net.add(layer, if second { [one, other] } else { [one, x] });
        let x = (&[1usize, 3, 2][..], noise(6, 4, -1.0, 1.0));
        let masks = [vec![1.0, 0.0, 0.0], vec![1.0, 0.0, 1.0]].map(|mask| (&[1usize, 3][..], mask));
        let [a, b] = masks;
        let model = if second { net.output(y) } else { net.outputs([y, other]) };
        run(&model, &[x, a, b]).remove(0).1.unwrap()
    };
    assert_eq!(joined(Add.into(), true), [1.0, 0.0, 1.0]);
    assert_eq!(joined(Concat::new(-1).into(), true), [1.0, 0.0, 1.0]);
    assert_eq!(joined(Concat::new(1).into(), true), [1.0, 0.0, 0.0, 1.0, 0.0, 1.0]);
    // One without a mask has no say, and counts whole in time.
    assert_eq!(joined(Add.into(), false), [1.0, 0.0, 0.0]);
    assert_eq!(joined(Concat::new(1).into(), false), [1.0, 0.0, 0.0, 1.0, 1.0, 1.0]);
}

#[test]
fn masking_finds_the_padding() {
    let x = vec![0.0, 0.0, 1.0, 0.0, -1.0, -1.0, 0.0, 0.0];
    let of = |value: f32, x: &[f32]| run(&Masking::new(value), &[(&[1, 4, 2], x.to_vec())]).remove(0);
    assert_eq!(of(0.0, &x), (x.clone(), Some(vec![0.0, 1.0, 1.0, 0.0])));
    let (y, mask) = of(-1.0, &x);
    assert_eq!((&y[4..6], mask), (&[0.0, 0.0][..], Some(vec![1.0, 1.0, 0.0, 1.0])));
    let (y, mask) = of(f32::NAN, &[f32::NAN, f32::NAN, 1.0, 2.0, 3.0, 4.0, f32::NAN, f32::NAN]);
    assert_eq!((y, mask), (vec![0.0, 0.0, 1.0, 2.0, 3.0, 4.0, 0.0, 0.0], Some(vec![0.0, 1.0, 1.0, 0.0])));
}

/// Figures by hand.
#[test]
fn pooling_over_time_leaves_padding_out() {
    // Four steps of two features; the third row is nothing but padding.
    let x = vec![
        1.0, -1.0, 2.0, -2.0, 3.0, -3.0, 6.0, -6.0, //
        9.0, 9.0, 9.0, 9.0, -4.0, 5.0, -8.0, 1.0, //
        1.0, 1.0, 1.0, 1.0, 1.0, 1.0, 1.0, 1.0,
    ];
    let mask = vec![1.0, 1.0, 1.0, 0.0, 0.0, 0.0, 1.0, 1.0, 0.0, 0.0, 0.0, 0.0];
    let pooled = |layer: LayerSpec, masked: bool| {
        let inputs = [(&[3usize, 4, 2][..], x.clone()), (&[3, 4][..], mask.clone())];
        if masked {
            return run(&Sequential::new().add(SequenceMask).add(layer), &inputs).remove(0);
        }
        run(&Sequential::new().add(layer), &inputs[..1]).remove(0)
    };
    let (mean, _) = pooled(GlobalAvgPool1d.into(), true);
    assert_eq!(mean, [2.0, -2.0, -6.0, 3.0, 0.0, 0.0]);
    let (largest, _) = pooled(GlobalMaxPool1d.into(), true);
    assert_eq!(largest, [3.0, -1.0, -4.0, 5.0, 0.0, 0.0]);
    assert_eq!(pooled(GlobalAvgPool1d.into(), false).0[..4], [3.0, -3.0, 1.5, 6.0]);
    assert_eq!(pooled(GlobalMaxPool1d.into(), false).0[..4], [6.0, -1.0, 9.0, 9.0]);

    let counts = Some(vec![1.0, 1.0, 0.0, 1.0, 0.0, 0.0]);
    let (mean, mask) = pooled(AvgPool1d::new(2).into(), true);
    assert_eq!(mean, [1.5, -1.5, 3.0, -3.0, 0.0, 0.0, -6.0, 3.0, 0.0, 0.0, 0.0, 0.0]);
    assert_eq!(mask, counts);
    let (largest, mask) = pooled(MaxPool1d::new(2).into(), true);
    assert_eq!(largest, [2.0, -1.0, 3.0, -3.0, 0.0, 0.0, -4.0, 5.0, 0.0, 0.0, 0.0, 0.0]);
    assert_eq!(mask, counts);
    assert_eq!(
        pooled(AvgPool1d::new(3).stride(1).into(), false).0[..4],
        [2.0, -2.0, 11.0 / 3.0, -11.0 / 3.0]
    );
    // Same padding: a window over the last step alone.
    let (same, _) = pooled(AvgPool1d::new(3).stride(3).padding(Padding::Same).into(), false);
    assert_eq!(same[..4], [1.5, -1.5, 4.5, -4.5]);
    // Of sequences with the channels first, the same numbers.
    let first = |layer: LayerSpec| run(&layer_only(layer), &[(&[1, 2, 4], x[..8].to_vec())]).remove(0).0;
    assert_eq!(first(MaxPool1d::new(2).channels_first().into()), [1.0, 2.0, 3.0, 6.0]);
    assert_eq!(first(AvgPool1d::new(4).channels_first().into()), [0.0, 0.0]);
    assert_eq!(first(GlobalAvgPool1d.channels_first()), [0.0, 0.0]);
    assert_eq!(first(GlobalMaxPool1d.channels_first()), [2.0, 6.0]);
}

fn layer_only(layer: LayerSpec) -> Sequential {
    Sequential::new().add(layer)
}

/// No gradient reaches padding, whichever pooling takes it out, and the others share it.
#[test]
fn gradients_of_poolings_stay_out_of_padding() {
    let gradient = |layer: LayerSpec| {
        let mut g = Graph::new();
        let x = g.parameter("x", [1, 3, 1], Init::Values(vec![1.0, 2.0, 5.0]));
        let mask = g.constant([1, 3], &[1.0f32, 1.0, 0.0]).unwrap();
        let model = Sequential::new().add(SequenceMask).add(layer);
        let y = record(&model, &mut g, &[x, mask], Mode::Training).unwrap().output().unwrap();
        let loss = g.sum(y, &[], false).unwrap();
        let tape = g.training_step(loss, &Sgd::new(1.0)).unwrap();
        let mut session = tape.session(common::gpu()).unwrap();
        session.replay().unwrap();
        let now = session.parameter("x").unwrap();
        assert!(session.verify(&[]).unwrap().passes());
        [1.0 - now[0], 2.0 - now[1], 5.0 - now[2]]
    };
    assert_eq!(gradient(GlobalAvgPool1d.into()), [0.5, 0.5, 0.0]);
    assert_eq!(gradient(GlobalMaxPool1d.into()), [0.0, 1.0, 0.0]);
    assert_eq!(gradient(AvgPool1d::new(3).into()), [0.5, 0.5, 0.0]);
    assert_eq!(gradient(MaxPool1d::new(3).into()), [0.0, 1.0, 0.0]);
}

/// Only steps that count are penalised.
#[test]
fn penalties_of_activity_leave_padding_out() {
    for layer in [LayerSpec::from(ActivityPenalty::new(Penalty::elastic_net(0.5, 2.0))), LayerSpec::from(Own)]
    {
        let mut g = Graph::new();
        let (x, mask) = (g.input("x", [2, 2, 1]), g.input("mask", [2, 2]));
        let mut net = Network::new();
        let (a, b) = (net.input(), net.input());
        let masked = net.add(Announce, [a, b]);
        let y = net.add(layer, masked);
        record(&net.output(y), &mut g, &[x, mask], Mode::Training).unwrap();
        let penalty = g.penalties()[0];
        let mut session = g.forward([penalty]).unwrap().session(common::gpu()).unwrap();
        session.write(x, &[1.0f32, f32::NAN, 3.0, -2.0]).unwrap();
        session.write(mask, &[1.0f32, 0.0, 0.0, 1.0]).unwrap();
        session.replay().unwrap();
        assert_eq!(session.read_scalar(penalty).unwrap(), 0.5 * 3.0 + 2.0 * 5.0);
    }
}

/// Says the mask of its first input, whose padding it leaves as it is.
#[derive(Debug)]
struct Announce;

impl Layer for Announce {
    fn kind(&self) -> &'static str {
        "announce"
    }

    fn record(&self, cx: &mut LayerContext<'_>, inputs: &[Value]) -> Result<Value> {
        let y = cx.graph().copy(inputs[0])?;
        cx.set_mask(y, inputs[1])?;
        Ok(y)
    }
}

/// A layer of the program's own that penalises what it computes.
#[derive(Debug)]
struct Own;

impl Layer for Own {
    fn kind(&self) -> &'static str {
        "own"
    }

    fn record(&self, cx: &mut LayerContext<'_>, inputs: &[Value]) -> Result<Value> {
        let y = cx.graph().abs(cx.one(inputs)?)?;
        cx.penalize(y, Penalty::elastic_net(0.5, 2.0))?;
        Ok(y)
    }

    fn keeps_steps(&self) -> bool {
        true
    }
}

#[test]
fn what_is_no_mask_is_refused_by_name() {
    let text = |layer: LayerSpec, shapes: &[&[usize]]| {
        let mut g = Graph::new();
        let input = |(i, dims): (usize, &&[usize])| g.input(&format!("x{i}"), Shape::new(dims).unwrap());
        let inputs: Vec<Value> = shapes.iter().enumerate().map(input).collect();
        let error = record(&Sequential::new().add(layer), &mut g, &inputs, Mode::Evaluation).unwrap_err();
        assert!(error.to_string().contains("tests/recurrent/masks.rs"), "{error}");
        error
    };
    let shape = text(SequenceMask.into(), &[&[2, 3, 4], &[3, 2]]);
    assert!(matches!(shape.root(), Error::ShapeMismatch { .. }), "{shape}");
    assert!(shape.to_string().contains("`sequence_mask`"), "{shape}");
    let one = text(SequenceMask.into(), &[&[2, 3, 4]]);
    assert!(one.to_string().contains("a sequence and its mask"), "{one}");
    let rank = text(Masking::new(0.0).into(), &[&[2, 3]]);
    assert!(matches!(rank.root(), Error::Rank { .. }), "{rank}");
    for layer in [LayerSpec::from(GlobalAvgPool1d), GlobalMaxPool1d.into(), MaxPool1d::new(2).into()] {
        let rank = text(layer, &[&[2, 3]]);
        assert!(rank.to_string().contains("[batch, time, features]"), "{rank}");
    }
    let none = text(AvgPool1d::new(0).into(), &[&[2, 3, 4]]);
    assert!(none.to_string().contains("size is 0"), "{none}");
    let long = text(AvgPool1d::new(4).into(), &[&[2, 3, 4]]);
    assert!(long.to_string().contains("`avg_pool1d`"), "{long}");
    let masked = Sequential::new().add(SequenceMask).add(MaxPool1d::new(2).channels_first());
    let first = text(masked.into(), &[&[2, 3, 4], &[2, 3]]);
    assert!(first.to_string().contains("channels_first"), "{first}");
}
