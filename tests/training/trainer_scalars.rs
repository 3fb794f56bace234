//! Numbers that a program changes while it trains: the same in every step of a trainer, and in its
//! checkpoints.

use crate::common;
use crate::common::folder::Folder;
use crate::common::gpu;
use retape::data::{Column, ColumnData, Samples};
use retape::nn::LayerContext;
use retape::prelude::*;
use retape::train::{History, TrainerBuilder};
use retape::{Error, Result};

/// Four batches of 8, and 5 samples more.
const SAMPLES: usize = 37;

/// `gain x`, with a gain that the program sets.
#[derive(Debug)]
struct Amplifier;

impl Layer for Amplifier {
    fn kind(&self) -> &'static str {
        "amplifier"
    }

    fn record(&self, cx: &mut LayerContext<'_>, inputs: &[Value]) -> Result<Value> {
        let x = cx.one(inputs)?;
        let g = cx.graph();
        g.mul(x, g.scalar_value(g.scalar("gain", 1.0)?)?)
    }
}

fn builder() -> TrainerBuilder {
    let model = Sequential::new().add(Dense::new(3).named("first")).add(Dense::new(1)).add(Amplifier);
    Trainer::new(model, [4]).loss(Loss::MeanSquaredError).optimizer(Adam::new(0.02)).batch_size(8).seed(3)
}

fn column(elements: usize, seed: u32) -> Column<'static> {
    let data = common::data::noise(SAMPLES * elements, seed, -1.0, 1.0);
    Column { shape: [elements].into(), data: ColumnData::F32(data.into()) }
}

fn samples() -> Samples<'static> {
    Samples { inputs: vec![column(4, 1)], targets: Some(column(1, 2)), ..Samples::new() }
}

/// The loss of every sample's output times `gain`, where outputs are of a gain of 1.
fn loss(outputs: &[f32], gain: f32) -> f64 {
    let targets = common::data::noise(SAMPLES, 2, -1.0, 1.0);
    let errors = outputs.iter().zip(&targets).map(|(y, t)| f64::from(gain * y - t).powi(2));
    errors.sum::<f64>() / SAMPLES as f64
}

fn close(found: f64, expected: f64) {
    let error = (found - expected).abs();
    assert!(error <= 1e-5 * expected.abs().max(1.0), "{found} where {expected} was expected");
}

#[test]
fn a_scalar_is_the_same_in_every_step() -> Result<()> {
    for device in [gpu(), &Device::cpu(), &Device::reference()] {
        for accumulate in [1, 2] {
            // A learning rate of 0: the outputs change with the gain alone.
            let still = builder().optimizer(Sgd::new(0.0)).accumulate(accumulate);
            let mut trainer = still.build(device)?;
            let outputs = trainer.predict(samples())?.data;
            for gain in [1.0, -2.5] {
                trainer.set_scalar("gain", gain)?;
                assert_eq!(trainer.scalar("gain")?, gain);
                let history = trainer.fit(samples(), Fit::epochs(1))?;
                close(history.get("loss")[0], loss(&outputs, gain));
                close(trainer.evaluate(samples())?.loss, loss(&outputs, gain));
                let amplified = trainer.predict(samples())?.data;
                amplified.iter().zip(&outputs).for_each(|(a, y)| close(f64::from(*a), f64::from(gain * y)));
            }
            trainer.freeze(["first"])?;
            assert_eq!(trainer.scalar("gain")?, -2.5);
            close(trainer.evaluate(samples())?.loss, loss(&outputs, -2.5));
        }
    }
    Ok(())
}

/// Six epochs with a gain that fades.
fn fading(trainer: &mut Trainer, resume: Option<&std::path::Path>) -> Result<History> {
    let fit = Fit::epochs(6).on_epoch_end(|run| {
        let gain = 0.7 * run.trainer().scalar("gain")?;
        run.trainer().set_scalar("gain", gain)
    });
    trainer.fit(samples(), resume.into_iter().fold(fit, |fit, path| fit.resume(path)))
}

#[test]
fn checkpoints_hold_scalars() -> Result<()> {
    let folder = Folder::new();
    let path = folder.0.join("third.safetensors");
    for device in [gpu(), &Device::cpu(), &Device::reference()] {
        let mut whole = builder().build(device)?;
        let history = fading(&mut whole, None)?;

        let mut killed = builder().build(device)?;
        let fit = Fit::epochs(3).on_epoch_end(|run| {
            let gain = 0.7 * run.trainer().scalar("gain")?;
            run.trainer().set_scalar("gain", gain)
        });
        killed.fit(samples(), fit)?;
        killed.save_checkpoint(&path)?;
        let mut resumed = builder().build(device)?;
        assert_eq!(fading(&mut resumed, Some(&path))?, history);
        assert_eq!(resumed.scalar("gain")?.to_bits(), whole.scalar("gain")?.to_bits());
        assert_eq!(resumed.predict(samples())?, whole.predict(samples())?);

        // A model without the scalar is another model: it is left as it was.
        let plain = Sequential::new().add(Dense::new(3).named("first")).add(Dense::new(1));
        let mut other = Trainer::new(plain, [4])
            .loss(Loss::MeanSquaredError)
            .optimizer(Adam::new(0.02))
            .batch_size(8)
            .seed(3)
            .build(device)?;
        let before = other.predict(samples())?;
        let refused = other.load_checkpoint(&path).expect_err("there is no gain");
        assert!(
            matches!(&refused, Error::Unknown { what: "scalar", name, .. } if name == "gain"),
            "{refused}"
        );
        assert_eq!(other.predict(samples())?, before);
    }
    Ok(())
}

#[test]
fn the_learning_rate_is_a_scalar_too() -> Result<()> {
    let mut trainer = builder().build(&Device::reference())?;
    trainer.set_scalar("learning_rate", 0.5)?;
    assert_eq!((trainer.learning_rate(), trainer.scalar("learning_rate")?), (0.5, 0.5));
    let unknown = trainer.set_scalar("pain", 1.0).expect_err("there is none");
    assert!(matches!(&unknown, Error::Unknown { what: "scalar", .. }), "{unknown}");
    let infinite = trainer.set_scalar("gain", f32::INFINITY).expect_err("it is not finite");
    assert!(matches!(&infinite, Error::Argument { .. }), "{infinite}");
    assert_eq!(trainer.scalar("gain")?, 1.0);
    Ok(())
}
