//! The CPU as a device: what it shares with the others, and what its threads do not change.

use crate::common::{data::noise, gpu};
use crate::steps::{convolutional, perceptron};
use retape::prelude::*;
use retape::{Error, SessionOptions, Tape};

/// Parameters and loss after some steps, to the last bit.
fn trained(tape: &Tape, device: &Device, threads: usize) -> Vec<Vec<u32>> {
    let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
    pool.install(|| {
        let mut session = tape.session_with(device, SessionOptions::new().seed(3)).unwrap();
        for value in tape.ops().iter().flat_map(|node| node.inputs.clone()) {
            let name = tape.value(value).unwrap().name.clone().unwrap_or_default().to_string();
            let n = tape.value(value).unwrap().ty.numel();
            match name.as_str() {
                "x" => session.write(value, &noise(n, 7, -1.0, 1.0)).unwrap(),
                "labels" => session.write(value, &(0..n as u32).map(|i| i % 10).collect::<Vec<_>>()).unwrap(),
                _ => {}
            }
        }
        session.replay_n(3).unwrap();
        let loss = session.read(tape.losses()[0]).unwrap();
        let names: Vec<String> = session.parameter_names().into_iter().map(str::to_owned).collect();
        let weights = names.iter().map(|name| session.parameter(name).unwrap());
        weights.chain([loss]).map(|data| data.into_iter().map(f32::to_bits).collect()).collect()
    })
}

#[test]
fn results_do_not_depend_on_the_number_of_threads() {
    for tape in [perceptron(&[300]), convolutional()] {
        let one = trained(&tape, &Device::cpu(), 1);
        for threads in [2, 5] {
            assert!(trained(&tape, &Device::cpu(), threads) == one, "{threads} threads");
        }
        let exact = trained(&tape, &Device::reference(), 2);
        for (got, want) in one.iter().flatten().zip(exact.iter().flatten()) {
            let (got, want) = (f32::from_bits(*got), f32::from_bits(*want));
            // Adam divides small gradients by their size.
            assert!((got - want).abs() <= 2e-3 * want.abs().max(1.0), "{got} for {want}");
        }
    }
}

/// A session shares with those of its own device and with no others, which the error names.
#[test]
fn devices_do_not_share_storage() {
    let mut g = Graph::new();
    let (x, w) = (g.input("x", [4]), g.parameter("w", [4], Init::Ones));
    let y = g.mul(x, w).unwrap();
    let tape = g.forward([y]).unwrap();
    let devices = [Device::cpu(), Device::reference(), gpu().clone()];
    for (here, device) in devices.iter().enumerate() {
        let mut first = tape.session(device).unwrap();
        let share = |other: &Device| tape.session_with(other, SessionOptions::new().share_parameters(&first));
        for (there, other) in devices.iter().enumerate().filter(|&(there, _)| there != here) {
            match share(other) {
                Err(Error::Share { message }) if here < 2 && there < 2 => {
                    let names = [["the CPU", "the reference"], ["the reference", "the CPU"]][here];
                    assert!(names.iter().all(|name| message.contains(name)), "{message}");
                }
                Err(Error::Share { .. }) => {}
                _ => panic!("{device:?} and {other:?}"),
            }
        }
        let mut second = share(device).unwrap();
        first.write(w, &[2.0; 4]).unwrap();
        second.write(x, &[1.0, 2.0, 3.0, 4.0]).unwrap();
        second.replay().unwrap();
        assert_eq!(second.read(y).unwrap(), [2.0, 4.0, 6.0, 8.0]);
        // Snapshots are of one device, too.
        let snapshot = first.snapshot().unwrap();
        for (_, other) in devices.iter().enumerate().filter(|&(there, _)| there != here) {
            assert!(tape.session(other).unwrap().restore(&snapshot).is_err());
        }
        first.write(w, &[5.0; 4]).unwrap();
        first.restore(&snapshot).unwrap();
        assert_eq!(second.parameter("w").unwrap(), [2.0; 4]);
    }
}

/// Sessions that share parameters take turns with them on several threads.
#[test]
fn sessions_that_share_run_on_several_threads() {
    let mut g = Graph::new();
    let w = g.parameter("w", [1 << 15], Init::Ones);
    let loss = g.sum(g.square(w).unwrap(), &[], false).unwrap();
    let tape = g.training_step(loss, &Sgd::new(0.25)).unwrap();
    let first = tape.session(&Device::cpu()).unwrap();
    let share = || tape.session_with(&Device::cpu(), SessionOptions::new().share_parameters(&first)).unwrap();
    let others: Vec<_> = (0..4).map(|_| share()).collect();
    std::thread::scope(|scope| {
        for mut session in others {
            scope.spawn(move || session.replay_n(5).unwrap());
        }
    });
    // Each of twenty steps halves the weights.
    assert!(first.parameter("w").unwrap().iter().all(|&w| w == 0.5f32.powi(20)));
}

/// Where an operator overwrites what it reads beside it, its reference stands in; and an operator of the
/// program's own needs none but that.
#[test]
fn references_stand_in() {
    let g = Graph::new();
    let state = g.state("state", [3], Init::Ones);
    let moved = g.apply1(Shifted, &[state]).unwrap();
    g.assign(state, moved).unwrap();
    let mut session = g.forward([moved]).unwrap().session(&Device::cpu()).unwrap();
    session.replay_n(2).unwrap();
    assert_eq!(session.read(state).unwrap(), [3.0; 3]);
}

/// `y = x + 1`.
#[derive(Debug)]
struct Shifted;

impl retape::ops::Op for Shifted {
    fn name(&self) -> &'static str {
        "shifted"
    }

    fn outputs(&self, inputs: &[retape::TensorType]) -> retape::Result<Vec<retape::TensorType>> {
        Ok(vec![inputs[0]])
    }

    fn lower(&self, _: &mut retape::ops::Lowering<'_>) -> retape::Result<()> {
        Ok(())
    }

    fn reference(&self, cx: &retape::ops::Reference<'_>) -> Vec<retape::array::Array> {
        vec![cx.inputs[0].map(|x| x + 1.0)]
    }
}
