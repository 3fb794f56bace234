//! Sums that a tape keeps from replay to replay.

use crate::common;
use retape::prelude::*;

/// Sums of many numbers keep f32's precision, which plain addition in f32 does not.
#[test]
fn running_sums_keep_their_precision() {
    const N: usize = 100_000;
    for device in [Device::reference(), Device::cpu(), common::gpu().clone()] {
        let mut g = Graph::new();
        let x = g.input("x", [3]);
        let [total, carry, plain] = ["total", "carry", "plain"].map(|n| g.state(n, [3], Init::Zeros));
        g.accumulate(total, carry, x).unwrap();
        g.assign(plain, g.add(plain, x).unwrap()).unwrap();
        let mut session = g.forward(Vec::new()).unwrap().session(&device).unwrap();
        let data = [0.1f32, -1.1, 1e-3];
        session.write(x, &data).unwrap();
        session.replay_n(N).unwrap();
        session.write(x, &[1e6f32, 0.7, f32::INFINITY]).unwrap();
        session.replay().unwrap();
        let [total, carry, plain] = [total, carry, plain].map(|v| session.read(v).unwrap());
        let sum = |i: usize| f64::from(total[i]) + f64::from(carry[i]);
        for (i, last) in [(0, 1e6), (1, f64::from(0.7f32))] {
            let want = N as f64 * f64::from(data[i]) + last;
            let off = |found: f64| (found - want).abs() / want.abs();
            assert!(off(f64::from(total[i])) <= 1e-7, "{} for {want}", total[i]);
            // The CPU path's total has all the digits, which reading it as f32 rounds.
            if device.profile().is_some() {
                assert!(off(sum(i)) <= 1e-11, "{} for {want}", sum(i));
                assert!(off(f64::from(plain[i])) > 1e-7, "{} for {want}", plain[i]);
            }
        }
        assert_eq!((sum(2), carry[2].is_finite()), (f64::INFINITY, true));
    }
}

#[test]
fn running_sums_refuse_what_is_no_state() {
    let mut g = Graph::new();
    let x = g.input("x", [3]);
    let (total, carry) = (g.state("total", [3], Init::Zeros), g.state("carry", [3], Init::Zeros));
    let short = g.state("short", [2], Init::Zeros);
    for (total, carry) in [(x, carry), (total, x), (total, total)] {
        let error = g.accumulate(total, carry, x).unwrap_err();
        assert!(matches!(error.root(), retape::Error::NotWritable { .. }), "{error}");
    }
    let error = g.accumulate(total, short, x).unwrap_err();
    assert!(matches!(error.root(), retape::Error::ShapeMismatch { .. }), "{error}");
    // A state that is added is read as it was when the step began.
    g.accumulate(total, carry, carry).unwrap();
    let error = g.accumulate(total, carry, short).unwrap_err();
    assert!(matches!(error.root(), retape::Error::ShapeMismatch { .. }), "{error}");
}
