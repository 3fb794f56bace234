//! Training in mixed precision: activations in f16, weights and sums in f32.

use retape::prelude::*;
use retape::tape::{DeviceKind, DeviceProfile};
use retape::testing::session_with_plan;
use retape::{HostData, Result};

use crate::common;
use crate::common::data::noise;

/// Samples of a batch, their channels, height and width, and classes.
const IMAGES: [usize; 4] = [8, 3, 9, 10];
const CLASSES: usize = 5;

/// A network with a convolution, a normalisation, pooling, a product and what lies between them; its tape, images,
/// labels and loss.
fn network(half: bool) -> Result<(Tape, [Value; 2], Value)> {
    let mut g = Graph::new();
    let x = g.input("x", IMAGES);
    let labels = g.labels("labels", [IMAGES[0]]);
    let w = g.parameter("w", [6, 3, 3, 3], Init::HeNormal);
    let [scale, shift] = [("scale", Init::Ones), ("shift", Init::Zeros)].map(|(n, i)| g.parameter(n, [6], i));
    let [mean, variance] = ["mean", "variance"].map(|name| g.state(name, [6], Init::Zeros));
    let v = g.parameter("v", [6 * 4 * 5, CLASSES], Init::GlorotUniform);
    let b = g.parameter("b", [CLASSES], Init::Zeros);
    let model = |g: &mut Graph| {
        let y = g.conv2d(x, w, None, ConvOptions::new().padding(Padding::Same))?;
        let norm = g.batch_norm(y, Some(scale), Some(shift), 1e-5)?;
        g.update_running_stats(&norm, mean, variance, 0.1)?;
        let y = g.dropout(g.max_pool2d(g.relu(norm.y())?, PoolOptions::new([2, 2]))?, 0.2)?;
        g.add(g.matmul(g.flatten(y)?, v)?, b)
    };
    let logits = if half { g.autocast(model)? } else { model(&mut g)? };
    assert_eq!(g.ty(logits)?.dtype, if half { DType::F16 } else { DType::F32 });
    let logits = g.cast(logits, DType::F32)?;
    let loss = g.softmax_cross_entropy(logits, labels)?;
    Ok((g.training_step(loss, &Adam::new(1e-2))?, [x, labels], loss))
}

fn data() -> (Vec<f32>, Vec<u32>) {
    let labels = (0..IMAGES[0] as u32).map(|i| i % CLASSES as u32).collect();
    (noise(IMAGES.iter().product(), 3, -1.0, 1.0), labels)
}

/// The losses of some steps.
fn losses(device: &Device, half: bool) -> Result<Vec<f32>> {
    let (tape, [x, y], loss) = network(half)?;
    let (images, labels) = data();
    let mut session = tape.session(device)?;
    session.write(x, &images)?;
    session.write(y, &labels)?;
    let step = |_| {
        session.replay()?;
        session.read_scalar(loss)
    };
    (0..30).map(step).collect()
}

#[test]
fn fused_steps_in_half_precision_agree_with_their_references() -> Result<()> {
    let device = common::gpu();
    let own = device.profile().expect("a GPU");
    let (images, labels) = data();
    let (tape, [x, y], _) = network(true)?;
    let host = [(x, HostData::from(&images)), (y, HostData::from(&labels))];
    let mut on_cpu = tape.session(&Device::cpu())?;
    for _ in 0..3 {
        let checked = on_cpu.verify(&host)?;
        assert!(checked.passes(), "{checked}");
        on_cpu.replay()?;
    }
    for kind in [DeviceKind::Gpu, DeviceKind::Cpu].into_iter().filter(|_| own.f16) {
        let profile = DeviceProfile { kind, ..own.clone() };
        let fused = tape.fuse(&profile);
        let mut session = session_with_plan(&fused, device, fused.plan(&profile)?, SessionOptions::new())?;
        for _ in 0..3 {
            let checked = session.verify(&host)?;
            assert!(checked.passes(), "{kind:?}\n{checked}");
            session.replay()?;
        }
    }
    Ok(())
}

#[test]
fn training_keeps_its_course() -> Result<()> {
    let gpu = common::gpu();
    let devices = [Device::cpu(), gpu.clone()].into_iter();
    for device in devices.filter(|device| device.profile().is_none_or(|profile| profile.f16)) {
        let (half, full) = (losses(&device, true)?, losses(&device, false)?);
        assert!(full[29] < 0.5 * full[0], "{full:?}");
        for (step, (half, full)) in half.iter().zip(&full).enumerate() {
            assert!((half - full).abs() < 0.02 + 0.1 * full, "step {step}: {half}, in f32 {full}");
        }
        assert_ne!(half, full, "it is in half precision");
    }
    Ok(())
}

/// The bytes of activations halve, those of weights stay.
#[test]
fn a_step_in_half_precision_moves_fewer_bytes() -> Result<()> {
    let profile = DeviceProfile { f16: true, max_storage_buffers: 16, ..DeviceProfile::baseline() };
    let bytes = |half: bool| -> Result<u64> {
        let (tape, ..) = network(half)?;
        let plan = tape.fuse(&profile).plan(&profile)?;
        Ok(plan.dispatches.iter().flat_map(|d| &d.bindings).map(|bound| bound.bytes).sum())
    };
    let (half, full) = (bytes(true)?, bytes(false)?);
    assert!(10 * half < 8 * full, "{half} of {full}");
    Ok(())
}

/// What is past the range of f16 until it is scaled is not stored there in between, whichever kernel scales it.
#[test]
fn large_numbers_of_f32_are_scaled_before_they_are_narrowed() -> Result<()> {
    let mut g = Graph::new();
    let (x, w) = (g.input("x", [4, 8]), g.input("w", [8, 4]));
    let rate = g.scalar_value(g.scalar("rate", 1e-4)?)?;
    let y = g.cast(g.mul(g.matmul(x, w)?, rate)?, DType::F16)?;
    let tape = g.forward([y])?;
    let gpu = common::gpu();
    for device in [Device::reference(), Device::cpu(), gpu.clone()] {
        if device.profile().is_some_and(|profile| !profile.f16) {
            continue;
        }
        let mut session = tape.session(&device)?;
        session.write(x, &[100.0f32; 32])?;
        session.write(w, &[200.0f32; 32])?;
        session.replay()?;
        assert_eq!(session.read(y)?, [16.0; 16], "{device:?}");
    }
    Ok(())
}
