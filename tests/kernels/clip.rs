//! Gradient clipping: hand-worked numbers, f64, broken gradients, and what a training step pays for it.

use crate::common;
use retape::prelude::*;
use retape::tape::{DeviceKind, DeviceProfile};
use retape::testing::*;
use retape::train::Clipped;
use retape::{Error, Result, SessionOptions};

fn devices() -> [Device; 3] {
    [Device::reference(), Device::cpu(), common::gpu().clone()]
}

/// What comes of gradients given as data.
fn clipped(device: &Device, gradients: &[&[f32]], clip: Clip) -> Result<Vec<Vec<f32>>> {
    let mut g = Graph::new();
    let inputs: Vec<Value> =
        gradients.iter().enumerate().map(|(i, data)| g.input(&format!("dw{i}"), [data.len()])).collect();
    let outputs = g.clip_gradients(&inputs, clip)?;
    let mut session = g.forward(outputs.clone())?.session(device)?;
    for (&input, data) in inputs.iter().zip(gradients) {
        session.write(input, data)?;
    }
    session.replay()?;
    outputs.into_iter().map(|v| session.read(v)).collect()
}

fn norm_of(device: &Device, values: &[&[f32]]) -> Result<f32> {
    let mut g = Graph::new();
    let inputs: Vec<Value> =
        values.iter().enumerate().map(|(i, data)| g.input(&format!("x{i}"), [data.len()])).collect();
    let norm = g.global_norm(&inputs)?;
    let mut session = g.forward([norm])?.session(device)?;
    for (&input, data) in inputs.iter().zip(values) {
        session.write(input, data)?;
    }
    session.replay()?;
    session.read_scalar(norm)
}

fn assert_close(got: &[f32], want: &[f32]) {
    assert_eq!(got.len(), want.len());
    for (g, w) in got.iter().zip(want) {
        assert!((g - w).abs() <= 1e-6 * w.abs().max(1.0), "{got:?} against {want:?}");
    }
}

#[test]
fn gradients_are_clipped_as_by_hand() -> Result<()> {
    let gradients: [&[f32]; 2] = [&[2.0, -3.0], &[6.0]];
    for device in devices() {
        let by_value = clipped(&device, &gradients, Clip::Value(2.5))?;
        assert_eq!(by_value, [vec![2.0, -2.5], vec![2.5]]);
        // The norms are sqrt(13) and 6, together 7.
        let by_norm = clipped(&device, &gradients, Clip::Norm(4.0))?;
        assert_eq!(by_norm[0], [2.0, -3.0]);
        assert_close(&by_norm[1], &[4.0]);
        let by_all = clipped(&device, &gradients, Clip::GlobalNorm(3.5))?;
        assert_close(&by_all.concat(), &[1.0, -1.5, 3.0]);
        assert_eq!(norm_of(&device, &gradients)?, 7.0);
    }
    Ok(())
}

/// The norm is within the limit to rounding, and every element is scaled by one factor.
#[test]
fn the_global_norm_keeps_the_direction() -> Result<()> {
    for (scale, limit) in [(1.0f32, 0.5f32), (1e30, 1.0), (1e-30, 1e-31), (1e19, 1e19), (1e36, 1e-20)] {
        let data: Vec<Vec<f32>> = [1usize, 7, 1021, 70_000]
            .into_iter()
            .map(|n| common::data::noise(n, n as u32, -1.0, 1.0).into_iter().map(|v| v * scale).collect())
            .collect();
        let gradients: Vec<&[f32]> = data.iter().map(Vec::as_slice).collect();
        let norm = data.iter().flatten().map(|&v| f64::from(v) * f64::from(v)).sum::<f64>().sqrt();
        assert!(norm > f64::from(limit));
        for device in devices() {
            let found = f64::from(norm_of(&device, &gradients)?);
            assert!((found - norm).abs() <= 1e-6 * norm, "{found} against {norm}");
            let after = clipped(&device, &gradients, Clip::GlobalNorm(limit))?;
            let left = after.iter().flatten().map(|&v| f64::from(v) * f64::from(v)).sum::<f64>().sqrt();
            assert!((left / f64::from(limit) - 1.0).abs() <= 1e-6, "{left} for a limit of {limit}");
            for (&before, &after) in data.iter().flatten().zip(after.iter().flatten()) {
                let want = f64::from(before) * f64::from(limit) / norm;
                let error = (f64::from(after) - want).abs();
                assert!(error <= 1.5e-6 * want.abs() + 2.4e-38, "{after} against {want}");
            }
        }
    }
    Ok(())
}

/// Up to the limit nothing changes, subnormal numbers and the zero's sign included.
#[test]
fn gradients_below_the_limit_keep_their_bits() -> Result<()> {
    let first = [3.0f32, -0.0, 1e-40, f32::from_bits(1), 1.0 / 3.0];
    let second = [-4.0f32, f32::MIN_POSITIVE];
    let bits = |data: &[f32]| data.iter().map(|v| v.to_bits()).collect::<Vec<_>>();
    for (clip, limit) in
        [(Clip::Norm as fn(f32) -> Clip, 4.5), (Clip::GlobalNorm, 5.02), (Clip::GlobalNorm, f32::MAX)]
    {
        let got = clipped(common::gpu(), &[&first, &second], clip(limit))?;
        assert_eq!((bits(&got[0]), bits(&got[1])), (bits(&first), bits(&second)));
    }
    let got = clipped(common::gpu(), &[&first], Clip::Value(3.0))?;
    assert_eq!(got[0], first.map(|v| if v.is_subnormal() { got[0][2].min(v) } else { v }));
    Ok(())
}

#[test]
fn a_gradient_of_zeros_stays_one() -> Result<()> {
    for device in devices() {
        for clip in [Clip::Value(0.1), Clip::Norm(0.1), Clip::GlobalNorm(f32::MIN_POSITIVE)] {
            assert_eq!(clipped(&device, &[&[0.0; 5], &[0.0]], clip)?, [vec![0.0; 5], vec![0.0]]);
        }
        assert_eq!(norm_of(&device, &[&[0.0; 5], &[-0.0]])?, 0.0);
    }
    Ok(())
}

/// Neither NaN nor infinity is clipped away: by norm, all that shares the norm becomes NaN.
#[test]
fn broken_gradients_show() -> Result<()> {
    let all_nan = |data: &[f32]| data.iter().all(|v| v.is_nan());
    for device in devices() {
        for (bad, at) in [(f32::NAN, 0), (f32::NAN, 4), (f32::INFINITY, 2), (f32::NEG_INFINITY, 4)] {
            let mut broken = [0.5, 0.25, -1.0, 2.0, 1e20];
            broken[at] = bad;
            let gradients: [&[f32]; 2] = [&[0.5, 0.25], &broken];
            let norm = norm_of(&device, &gradients)?;
            assert!(if bad.is_nan() { norm.is_nan() } else { norm == f32::INFINITY }, "{norm}");
            let all = clipped(&device, &gradients, Clip::GlobalNorm(1.0))?;
            assert!(all_nan(&all[0]) && all_nan(&all[1]), "{all:?}");
            let own = clipped(&device, &gradients, Clip::Norm(1.0))?;
            assert!(own[0] == [0.5, 0.25] && all_nan(&own[1]), "{own:?}");
            let by_value = clipped(&device, &gradients, Clip::Value(1.0))?;
            let element = by_value[1][at];
            assert!(if bad.is_nan() { element.is_nan() } else { element == bad.signum() }, "{by_value:?}");
            assert_eq!((by_value[1][1], by_value[1][3]), (0.25, if at == 3 { element } else { 1.0 }));
        }
        // Each element fits f32, their norm does not.
        let huge = [3e38f32; 4];
        assert_eq!(norm_of(&device, &[&huge])?, f32::INFINITY);
        assert!(all_nan(&clipped(&device, &[&huge], Clip::Norm(1.0))?[0]));
    }
    Ok(())
}

#[test]
fn limits_have_to_be_positive_numbers() {
    let mut g = Graph::new();
    let x = g.input("x", [2]);
    let words = g.indices("words", [2]);
    let w = g.parameter("w", [2], Init::Ones);
    let loss = g.sum(w, &[], false).unwrap();
    let is_limit = |e: Error| matches!(e.root(), Error::Argument { argument: "limit", .. });
    for limit in [0.0, -1.0, f32::NAN, f32::INFINITY, f32::NEG_INFINITY, 1e-40] {
        for clip in [Clip::Value(limit), Clip::Norm(limit), Clip::GlobalNorm(limit)] {
            let error = g.clip_gradients(&[x], clip).unwrap_err();
            assert!(error.to_string().starts_with("clip_gradients at tests/kernels/clip.rs"), "{error}");
            assert!(is_limit(error), "{clip:?}");
            assert!(is_limit(g.clip_gradients(&[], clip).unwrap_err()), "{clip:?}");
            assert!(is_limit(g.training_step(loss, &Sgd::new(0.1).clip(clip)).unwrap_err()), "{clip:?}");
        }
        assert!(is_limit(g.clip_by_norm(x, loss, limit).unwrap_err()));
    }
    assert!(matches!(g.clip_by_norm(x, x, 1.0).unwrap_err().root(), Error::NotScalar { .. }));
    assert!(matches!(g.global_norm(&[]).unwrap_err().root(), Error::Argument { .. }));
    assert!(matches!(g.global_norm(&[x, words]).unwrap_err().root(), Error::DTypeMismatch { .. }));
    assert!(matches!(g.clip_by_norm(words, loss, 1.0).unwrap_err().root(), Error::DTypeMismatch { .. }));
    assert_eq!(g.clip_gradients(&[], Clip::GlobalNorm(1.0)).unwrap(), []);
}

/// A step of 2 w^2, whose gradient is 4 w, under clipped descent.
#[test]
fn optimisers_are_given_clipped_gradients() -> Result<()> {
    let train = |device: &Device, optimizer: &dyn Optimizer| -> Result<(Vec<f32>, Vec<f32>, Option<f32>)> {
        let mut g = Graph::new();
        let a = g.parameter("a", [2], Init::Values(vec![0.5, -0.75]));
        let b = g.parameter("b", [1], Init::Values(vec![1.5]));
        let total = g.add(g.sum(g.square(a)?, &[], false)?, g.sum(g.square(b)?, &[], false)?)?;
        let loss = g.mul(total, g.scalar_constant(2.0))?;
        let tape = g.training_step(loss, optimizer)?;
        let norm = tape.gradient_norm();
        let mut session = tape.session(device)?;
        session.replay()?;
        let norm = norm.map(|norm| session.read_scalar(norm)).transpose()?;
        Ok((session.parameter("a")?, session.parameter("b")?, norm))
    };
    for device in devices() {
        // Gradients [2, -3] and [6]: their norm is 7.
        let (a, b, norm) = train(&device, &Sgd::new(0.5).clip(Clip::GlobalNorm(3.5)))?;
        assert_close(&[a, b].concat(), &[0.0, 0.0, 0.0]);
        assert_eq!(norm, Some(7.0));
        let (a, b, norm) = train(&device, &Sgd::new(0.25).clip(Clip::Value(1.0)))?;
        assert_eq!((a, b, norm), (vec![0.25, -0.5], vec![1.25], None));
        // The limit named last comes first: [2, -2] and [2], then half of each.
        let twice = Sgd::new(1.0).clip(Clip::GlobalNorm(12f32.sqrt() / 2.0)).clip(Clip::Value(2.0));
        let (a, b, norm) = train(&device, &twice)?;
        assert_close(&a, &[-0.5, 0.25]);
        assert_close(&b, &[0.5]);
        assert_close(&[norm.expect("it is clipped by norm")], &[12f32.sqrt()]);
        // The other way round: [1, -1.5] and [3], then at most 1.25.
        let twice: Clipped<Clipped<Sgd>> = Sgd::new(1.0).clip(Clip::Value(1.25)).clip(Clip::GlobalNorm(3.5));
        let (a, b, norm) = train(&device, &twice)?;
        assert_close(&[a, b].concat(), &[-0.5, 0.5, 0.25]);
        assert_eq!(norm, Some(7.0));
        // Chosen at run time.
        let chosen: Box<dyn Optimizer> = Box::new(Sgd::new(0.25));
        assert_eq!(train(&device, &chosen.clip(Clip::Value(1.0)))?.0, [0.25, -0.5]);
    }
    Ok(())
}

/// 20-32-5 with softmax cross-entropy over 12 samples, its inputs, and its four parameters.
fn mlp(optimizer: &dyn Optimizer) -> Result<(Tape, Value, Value, Value, Vec<Value>)> {
    let mut g = Graph::new();
    let x = g.input("x", [12, 20]);
    let labels = g.labels("labels", [12]);
    let w0 = g.parameter("w0", [20, 32], Init::HeNormal);
    let b0 = g.parameter("b0", [32], Init::Zeros);
    let w1 = g.parameter("w1", [32, 5], Init::HeNormal);
    let b1 = g.parameter("b1", [5], Init::Zeros);
    let h = g.relu(g.add(g.matmul(x, w0)?, b0)?)?;
    let loss = g.softmax_cross_entropy(g.add(g.matmul(h, w1)?, b1)?, labels)?;
    Ok((g.training_step(loss, optimizer)?, x, labels, loss, vec![w0, b0, w1, b1]))
}

/// Ten steps on both paths: losses, norms, and every operator against its reference.
#[test]
fn clipped_steps_agree_with_the_cpu_path() -> Result<()> {
    for clip in [Clip::Value(0.01), Clip::Norm(0.1), Clip::GlobalNorm(0.2)] {
        let (tape, x, labels, loss, _) = mlp(&Adam::new(1e-3).clip(clip))?;
        let mut sessions = Vec::new();
        for device in devices() {
            sessions.push(tape.session_with(&device, SessionOptions::new().seed(7))?);
        }
        for step in 0..10 {
            for session in &mut sessions {
                session.write(x, &common::data::noise(12 * 20, 100 + step, -1.0, 1.0))?;
                session.write(labels, &(0..12).map(|i| (i * 7 + step) % 5).collect::<Vec<u32>>())?;
            }
            let verified = sessions[1].verify(&[])?;
            assert!(verified.passes(), "{clip:?}, step {step}\n{verified}");
            let mut read = Vec::new();
            for session in &mut sessions {
                session.replay()?;
                let norm = tape.gradient_norm().map(|v| session.read_f64(v)).transpose()?.unwrap_or_default();
                read.push([session.read_f64(loss)?, norm].concat());
            }
            for (cpu, gpu) in read[0].iter().zip(&read[1]) {
                assert!((cpu - gpu).abs() <= 2e-5 * cpu.abs(), "{clip:?}, step {step}: {cpu} against {gpu}");
            }
        }
    }
    Ok(())
}

/// By the global norm: the squares of all gradients, and the norm; updates read them clipped. By each one's own
/// norm, three kernels for each. By value, one for each.
#[test]
fn clipping_takes_few_dispatches() -> Result<()> {
    let profiles =
        [DeviceKind::Cpu, DeviceKind::Gpu].map(|kind| DeviceProfile { kind, ..DeviceProfile::baseline() });
    for profile in profiles {
        let plain = mlp(&Adam::new(1e-3))?.0.plan(&profile)?;
        for (clip, more) in [(Clip::GlobalNorm(1.0), 1 + 1), (Clip::Norm(1.0), 4 * 3), (Clip::Value(1.0), 4)]
        {
            let plan = mlp(&Adam::new(1e-3).clip(clip))?.0.plan(&profile)?;
            println!("{clip:?}: {} dispatches, {} without", plan.dispatches.len(), plain.dispatches.len());
            assert_eq!(plan.dispatches.len(), plain.dispatches.len() + more, "{clip:?}\n{plan}");
        }
    }
    Ok(())
}

/// Where a parameter has an update of its own; the gradients of several are put side by side. A norm needs no
/// clipped gradient at all.
#[test]
fn a_gradient_by_itself_is_clipped_in_place() -> Result<()> {
    for clip in [Clip::GlobalNorm(1.0), Clip::Norm(1.0), Clip::Value(1.0)] {
        let mut g = Graph::new();
        let w = g.parameter("w", [300, 300], Init::HeNormal);
        let loss = g.mean(g.square(g.exp(w)?)?, &[], false)?;
        let tape = g.training_step(loss, &Adam::new(1e-3).clip(clip))?;
        let plan = tape.plan(&DeviceProfile::baseline())?;
        let gradient = tape.gradient(w);
        let in_place = plan.values.iter().any(|v| v.aliases.is_some() && v.aliases == gradient);
        assert_eq!(in_place, matches!(clip, Clip::Value(_)), "{clip:?}\n{plan}");
        assert!(!plan.dispatches.iter().any(|d| d.entry.starts_with("clip")), "{clip:?}\n{plan}");
    }
    Ok(())
}

/// Large gradients that are clipped by operators of their own stay in buffers of their own, in place.
#[test]
fn gradients_lie_side_by_side_for_updates_alone() -> Result<()> {
    let mut g = Graph::new();
    let [a, b] = ["a", "b"].map(|name| g.input(name, [300, 300]));
    let computed = [g.exp(a)?, g.tanh(b)?];
    let clipped = g.clip_gradients(&computed, Clip::GlobalNorm(1.0))?;
    let plan = g.forward(clipped.clone())?.plan(&DeviceProfile::baseline())?;
    let in_place = plan.values.iter().filter(|v| v.aliases.is_some_and(|of| computed.contains(&of)));
    assert_eq!(in_place.count(), 2, "{plan}");
    Ok(())
}

/// Gradients larger than a binding are worked on in ranges.
#[test]
fn large_gradients_are_clipped_in_ranges() -> Result<()> {
    let data: [Vec<f32>; 2] = [5000, 130].map(|n| common::data::noise(n, n as u32, -1.0, 1.0));
    for kind in [DeviceKind::Cpu, DeviceKind::Gpu] {
        for n in [5000, 5001, 5119, 5120, 5121] {
            let mut g = Graph::new();
            let (a, b) = (g.input("a", [n]), g.input("b", [130]));
            let mut wide = data[0].clone();
            wide.resize(n, 2.0);
            let clipped = g.clip_gradients(&[a, b], Clip::GlobalNorm(0.5))?;
            let tape = g.forward(clipped)?;
            let profile = common::gpu().profile().expect("a GPU").clone();
            let plan = tape.plan(&DeviceProfile { kind, max_binding_bytes: 4 * 1024, ..profile })?;
            let options = guarded(SessionOptions::new());
            let mut session = session_with_plan(&tape, common::gpu(), plan, options)?;
            poison(&session);
            let checked = session.verify(&[(a, (&wide).into()), (b, (&data[1]).into())])?;
            assert!(checked.passes(), "{kind:?}, {n}\n{checked}");
            assert!(broken_guards(&session)?.is_empty());
        }
    }
    Ok(())
}
