//! What the random operators draw: by seed, step, operator and element alone, the same on the CPU
//! path and on a GPU, forward and backward.

use std::sync::OnceLock;

use crate::common;
use crate::common::gpu;
use retape::array::Array;
use retape::kernel::{Grid, KernelCall, Shader, Slot};
use retape::ops::{Lowering, Op, Reference};
use retape::prelude::*;
use retape::random::Stream;
use retape::{Error, Result, TensorType};

fn devices() -> [Device; 3] {
    [Device::reference(), Device::cpu(), gpu().clone()]
}

fn bits(data: Vec<f32>) -> Vec<u32> {
    data.into_iter().map(f32::to_bits).collect()
}

/// The prelude's words, an index per thread.
static WORDS: Shader = Shader::new(
    "words",
    "
struct Params { n: u32, stream: u32, step: u32, seed: u32 }

@group(0) @binding(0) var<storage, read_write> y: array<vec4<u32>>;
var<immediate> p: Params;

@compute @workgroup_size(64)
fn words(@builtin(global_invocation_id) id: vec3<u32>) {
    let i = linear_index(id, 64u);
    if i < p.n { y[i] = random_words(i, p.stream, p.step, p.seed); }
}
",
);

retape::params! {
    struct WordsParams { n: u32, stream: u32, step: u32, seed: u32 }
}

#[derive(Debug)]
struct Words {
    quads: usize,
    stream: u32,
}

impl Op for Words {
    fn name(&self) -> &'static str {
        "words"
    }

    fn outputs(&self, _: &[TensorType]) -> Result<Vec<TensorType>> {
        Ok(vec![TensorType::u32([self.quads, 4])])
    }

    fn lower(&self, cx: &mut Lowering<'_>) -> Result<()> {
        let params = WordsParams { n: self.quads as u32, stream: self.stream, step: 0, seed: 0 };
        cx.call(
            KernelCall::new(&WORDS, "words")
                .params(&params)
                .scalar("step", Scalar::STEP)
                .scalar("seed", Scalar::SEED)
                .bind(Slot::Output(0))
                .grid(Grid::linear(self.quads, 64)),
        );
        Ok(())
    }

    fn reference(&self, cx: &Reference<'_>) -> Vec<Array> {
        let [seed, step] = [Scalar::SEED, Scalar::STEP].map(|s| cx.scalar(s) as u32);
        let stream = Stream { seed, step, stream: self.stream };
        let word = |i: usize| f64::from(stream.operator_words(i as u32 / 4)[i % 4]);
        vec![Array::from_fn([self.quads, 4], word)]
    }
}

/// The generator in WGSL is that in Rust, word for word.
#[test]
fn kernels_draw_the_same_words() {
    const QUADS: usize = 5000;
    for (seed, step, stream) in [(0, 0, 0), (7, 3, 1), (u32::MAX, u32::MAX - 1, 0x8000_0001)] {
        let g = Graph::new();
        let y = g.apply1(Words { quads: QUADS, stream }, &[]).unwrap();
        let tape = g.forward([y]).unwrap();
        for device in devices() {
            let mut session = tape.session_with(&device, SessionOptions::new().seed(seed)).unwrap();
            session.set_step(step);
            for step in [step, step + 1] {
                session.replay().unwrap();
                let stream = Stream { seed, step, stream };
                let want: Vec<u32> = (0..QUADS as u32).flat_map(|i| stream.operator_words(i)).collect();
                assert!(session.read_u32(y).unwrap() == want, "{seed} {step} {stream:?}");
            }
        }
    }
}

/// Two dropouts, a spatial one and noise over one input, with the gradients of the dropouts.
struct Net {
    tape: Tape,
    x: Value,
    first: Value,
    second: Value,
    spatial: Value,
    noise: Value,
    slopes: [Value; 2],
}

const DIMS: [usize; 4] = [8, 33, 5, 7];
const LEN: usize = 8 * 33 * 5 * 7;
const RATE: f32 = 0.3;

fn record() -> Result<Net> {
    let mut g = Graph::new();
    let x = g.input("x", DIMS);
    let (first, second) = (g.dropout(x, RATE)?, g.dropout(x, RATE)?);
    let (spatial, noise) = (g.spatial_dropout(x, RATE)?, g.gaussian_noise(x, 2.0)?);
    let slope = |y| Ok(g.differentiate(g.sum(y, &[], false)?, &[x])?[0]);
    let slopes = [slope(first)?, slope(spatial)?];
    let tape = g.forward([first, second, spatial, noise, slopes[0], slopes[1]])?;
    Ok(Net { tape, x, first, second, spatial, noise, slopes })
}

fn net() -> &'static Net {
    static NET: OnceLock<Net> = OnceLock::new();
    NET.get_or_init(|| record().expect("it records"))
}

fn open(net: &Net, device: &Device, seed: u32) -> Session {
    let mut session = net.tape.session_with(device, SessionOptions::new().seed(seed)).unwrap();
    session.write(net.x, &vec![1.0; LEN]).unwrap();
    session
}

/// The share of elements on which two masks differ.
fn difference(a: &[f32], b: &[f32]) -> f64 {
    let differing = a.iter().zip(b).filter(|(a, b)| (**a == 0.0) != (**b == 0.0)).count();
    differing as f64 / a.len() as f64
}

/// Independent masks differ on `2 rate (1 - rate)` of their elements, within five standard deviations.
fn assert_independent(a: &[f32], b: &[f32], what: &str) {
    let share = 2.0 * f64::from(RATE) * (1.0 - f64::from(RATE));
    let deviation = (share * (1.0 - share) / a.len() as f64).sqrt();
    let found = difference(a, b);
    assert!((found - share).abs() < 5.0 * deviation, "{what}: {found} differ, {share} expected");
}

#[test]
fn masks_differ_between_steps_operators_and_seeds() {
    let net = net();
    for device in devices() {
        let (mut session, mut reseeded) = (open(net, &device, 1), open(net, &device, 2));
        let mut earlier: Vec<Vec<f32>> = Vec::new();
        for step in 0..4 {
            session.replay().unwrap();
            reseeded.replay().unwrap();
            let mask = session.read(net.first).unwrap();
            assert_independent(&mask, &session.read(net.second).unwrap(), "two operators");
            assert_independent(&mask, &reseeded.read(net.first).unwrap(), "two seeds");
            for (before, other) in earlier.iter().enumerate() {
                assert_independent(&mask, other, &format!("steps {before} and {step}"));
            }
            assert_independent(&mask[1..], &mask[..LEN - 1], "neighbours");
            assert_independent(&mask[4..], &mask[..LEN - 4], "neighbouring calls of the generator");
            earlier.push(mask);
        }
    }
}

#[test]
fn the_cpu_path_and_the_gpu_drop_the_same_to_the_bit() {
    let net = net();
    let data = common::data::noise(LEN, 3, -2.0, 2.0);
    let mut sessions = devices().map(|device| open(net, &device, 42));
    for session in &mut sessions {
        session.write(net.x, &data).unwrap();
    }
    for step in 0..5 {
        sessions.iter_mut().for_each(|session| session.replay().unwrap());
        let [exact, others @ ..] = &sessions;
        for other in others {
            for value in [net.first, net.second, net.spatial, net.slopes[0], net.slopes[1]] {
                let (want, got) = (bits(exact.read(value).unwrap()), bits(other.read(value).unwrap()));
                assert!(want == got, "step {step}: {value:?} differs");
            }
            let (want, got) = (exact.read(net.noise).unwrap(), other.read(net.noise).unwrap());
            let far = want.iter().zip(&got).position(|(a, b)| (a - b).abs() > 1e-5 * (2.0 + a.abs()));
            assert_eq!(far, None, "step {step}");
        }
    }
}

#[test]
fn the_same_seed_and_step_draw_the_same() {
    let net = net();
    let again = record().unwrap();
    for device in devices() {
        let (mut session, mut other) = (open(net, &device, 5), open(&again, &device, 5));
        session.replay_n(3).unwrap();
        for _ in 0..3 {
            other.replay().unwrap();
        }
        let all = |net: &Net| [net.first, net.second, net.spatial, net.noise, net.slopes[0], net.slopes[1]];
        let contents = |s: &Session, net: &Net| all(net).map(|v| bits(s.read(v).unwrap()));
        let third = contents(&session, net);
        assert!(third == contents(&other, &again), "recorded again, replayed one by one");
        session.replay().unwrap();
        assert!(third != contents(&session, net), "the fourth step draws anew");
        session.set_step(2);
        session.replay().unwrap();
        assert!(third == contents(&session, net), "the third step again");
        session.set_seed(6);
        session.set_step(2);
        session.replay().unwrap();
        assert!(third != contents(&session, net), "another seed");
    }
}

#[test]
fn shares_and_moments_are_those_of_the_distributions() {
    const N: usize = 200_000;
    let mut g = Graph::new();
    let x = g.input("x", [N]);
    let rates = [0.0, 0.1, 0.5, 0.9, 0.999];
    let dropped = rates.map(|rate| g.dropout(x, rate).unwrap());
    let noise = g.gaussian_noise(x, 3.0).unwrap();
    let mut kept = dropped.to_vec();
    kept.push(noise);
    let tape = g.forward(kept).unwrap();
    for device in devices() {
        let mut session = tape.session(&device).unwrap();
        session.write(x, &vec![1.0; N]).unwrap();
        session.replay().unwrap();
        for (rate, y) in rates.into_iter().zip(dropped) {
            let (y, rate) = (session.read(y).unwrap(), f64::from(rate));
            let share = y.iter().filter(|v| **v != 0.0).count() as f64 / N as f64;
            let deviation = (rate * (1.0 - rate) / N as f64).sqrt();
            assert!((share - (1.0 - rate)).abs() <= 5.0 * deviation, "{share} kept at rate {rate}");
            let scaled = y.iter().filter(|v| **v != 0.0).all(|v| *v == (1.0 / (1.0 - rate)) as f32);
            assert!(scaled, "what is kept is not scaled by {}", 1.0 / (1.0 - rate));
        }
        let drawn: Vec<f64> =
            session.read(noise).unwrap().iter().map(|y| (f64::from(*y) - 1.0) / 3.0).collect();
        let mean = |f: &dyn Fn(f64) -> f64| drawn.iter().map(|z| f(*z)).sum::<f64>() / N as f64;
        // Five standard deviations of each moment's mean: 1, 2, 15 and 96 are the variances.
        let bound = |variance: f64| 5.0 * (variance / N as f64).sqrt();
        assert!(mean(&|z| z).abs() < bound(1.0));
        assert!((mean(&|z| z * z) - 1.0).abs() < bound(2.0));
        assert!(mean(&|z| z.powi(3)).abs() < bound(15.0));
        assert!((mean(&|z| z.powi(4)) - 3.0).abs() < bound(96.0));
        let neighbours: f64 = drawn.windows(2).map(|w| w[0] * w[1]).sum::<f64>() / N as f64;
        assert!(neighbours.abs() < bound(1.0));
        let beyond_one = mean(&|z| f64::from(u8::from(z.abs() > 1.0)));
        assert!((beyond_one - 0.317_310_5).abs() < bound(0.25));
    }
}

#[test]
fn spatial_dropout_drops_whole_channels() {
    let net = net();
    for device in devices() {
        let mut session = open(net, &device, 9);
        session.replay().unwrap();
        let y = session.read(net.spatial).unwrap();
        let channels: Vec<&[f32]> = y.chunks_exact(DIMS[2] * DIMS[3]).collect();
        assert!(channels.iter().all(|c| c.iter().all(|v| *v == c[0])));
        let dropped = channels.iter().filter(|c| c[0] == 0.0).count() as f64;
        let expected = f64::from(RATE) * channels.len() as f64;
        let deviation = (expected * (1.0 - f64::from(RATE))).sqrt();
        assert!((dropped - expected).abs() < 5.0 * deviation, "{dropped} of {} dropped", channels.len());
    }
}

#[test]
fn the_gradient_has_the_mask_of_the_forward_pass() {
    let net = net();
    for device in devices() {
        let mut session = open(net, &device, 11);
        for _ in 0..3 {
            session.replay().unwrap();
            // The input and the loss's weights are all 1.
            for (y, slope) in [(net.first, net.slopes[0]), (net.spatial, net.slopes[1])] {
                assert_eq!(session.read(y).unwrap(), session.read(slope).unwrap());
            }
        }
    }
}

#[test]
fn what_is_dropped_is_zero_whatever_it_was() {
    let net = net();
    let hostile = [f32::INFINITY, f32::NEG_INFINITY, f32::NAN];
    for device in devices() {
        let mut session = open(net, &device, 13);
        session.replay().unwrap();
        let mask = session.read(net.first).unwrap();
        let data: Vec<f32> = (0..LEN).map(|i| hostile[i % 3]).collect();
        session.write(net.x, &data).unwrap();
        session.set_step(0);
        session.replay().unwrap();
        let y = session.read(net.first).unwrap();
        for ((y, x), keep) in y.iter().zip(&data).zip(&mask) {
            let want = if *keep == 0.0 { 0.0 } else { *x };
            assert!(y.to_bits() == want.to_bits() || (y.is_nan() && want.is_nan()), "{y} for {want}");
        }
    }
}

/// A seed decides a whole training with random operators, to the bit.
#[test]
fn training_with_dropout_reproduces_and_learns() {
    let train = |device: &Device, seed: u32| -> Result<(f32, Vec<u32>)> {
        let mut g = Graph::new();
        let x = g.input("x", [32, 6]);
        let t = g.targets("t", [32, 2]);
        let w1 = g.parameter("w1", [6, 24], Init::HeUniform);
        let w2 = g.parameter("w2", [24, 2], Init::GlorotUniform);
        let h = g.dropout(g.relu(g.matmul(g.gaussian_noise(x, 0.05)?, w1)?)?, 0.2)?;
        let loss = g.mean(g.square(g.sub(g.matmul(h, w2)?, t)?)?, &[], false)?;
        let tape = g.training_step(loss, &Sgd::new(0.1))?;
        let mut session = tape.session_with(device, SessionOptions::new().seed(seed))?;
        let data = common::data::noise(32 * 6, 1, -1.0, 1.0);
        let targets: Vec<f32> = data.chunks(6).flat_map(|r| [r[0] - r[1], r[2] + r[3]]).collect();
        session.write(x, &data)?;
        session.write(t, &targets)?;
        session.replay_n(300)?;
        Ok((session.read_scalar(loss)?, bits(session.parameter("w1")?)))
    };
    for device in devices() {
        let (first, again, other) =
            (train(&device, 1).unwrap(), train(&device, 1).unwrap(), train(&device, 2).unwrap());
        assert!(first.0 < 0.2, "loss {}", first.0);
        assert_eq!(first.1, again.1);
        assert_ne!(first.1, other.1);
    }
}

#[test]
fn bad_arguments_are_typed_errors() {
    let mut g = Graph::new();
    let x = g.input("x", [4, 6]);
    let ids = g.indices("ids", [4, 6, 2]);
    for rate in [-0.1, 1.0, 1.5, f32::NAN, f32::INFINITY] {
        for found in [g.dropout(x, rate), g.spatial_dropout(x, rate)] {
            let error = found.unwrap_err();
            assert!(matches!(error.root(), Error::Argument { argument: "rate", .. }), "{error}");
            assert!(error.to_string().contains("noise.rs:"), "{error}");
        }
    }
    for std in [-1.0, f32::NAN, f32::INFINITY] {
        let error = g.gaussian_noise(x, std).unwrap_err();
        assert!(matches!(error.root(), Error::Argument { argument: "std", .. }), "{error}");
    }
    let error = g.spatial_dropout(x, 0.5).unwrap_err();
    assert!(matches!(error.root(), Error::Rank { .. }) && error.to_string().contains("[4, 6]"), "{error}");
    for found in [g.dropout(ids, 0.5), g.spatial_dropout(ids, 0.5), g.gaussian_noise(ids, 0.5)] {
        assert!(matches!(found.unwrap_err().root(), Error::DTypeMismatch { .. }));
    }
}
