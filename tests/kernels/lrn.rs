//! Local response normalisation: its window, its constants, and what is refused.

use crate::common;
use retape::prelude::*;
use retape::{Error, Result};

/// Whether an error is of this variant.
macro_rules! is {
    ($variant:ident) => {
        |error: &Error| matches!(error, Error::$variant { .. })
    };
}

fn normalised(device: &Device, x: &[f32], size: usize) -> Vec<f32> {
    let mut g = Graph::new();
    let input = g.input("x", [1, x.len()]);
    let y = g.local_response_norm(input, size, 1.0, 1.0, 1.0).unwrap();
    let mut session = g.forward([y]).unwrap().session(device).unwrap();
    session.write(input, x).unwrap();
    session.replay().unwrap();
    session.read(y).unwrap()
}

/// An impulse shows which channels it divides: for even sizes, in ONNX's order, the odd one of a
/// window lies after its centre.
#[test]
fn windows_are_onnxs() {
    let impulse: Vec<f32> = (0..9).map(|c| if c == 4 { 2.0 } else { 1.0 }).collect();
    for device in [Device::reference(), Device::cpu(), common::gpu().clone()] {
        for (size, divided) in [(1, 4..=4), (2, 3..=4), (3, 3..=5), (4, 2..=5), (5, 2..=6)] {
            let y = normalised(&device, &impulse, size);
            for (c, found) in y.into_iter().enumerate() {
                let first = c.saturating_sub((size - 1) / 2);
                let last = (c + size / 2).min(8);
                let squares: f32 = impulse[first..=last].iter().map(|v| v * v).sum();
                assert_eq!((first..=last).contains(&4), divided.contains(&c));
                let wanted = impulse[c] / (1.0 + squares / size as f32);
                assert!((found - wanted).abs() <= 4e-6 * wanted, "size {size}: {found}, not {wanted}");
            }
        }
    }
}

/// By hand: alpha is divided by the size, whatever part of the window there is.
#[test]
fn alpha_is_shared_over_the_size() {
    for device in [Device::reference(), Device::cpu(), common::gpu().clone()] {
        let mut g = Graph::new();
        let x = g.input("x", [1, 3, 1, 1]);
        let y = g.local_response_norm(x, 3, 3.0, 0.5, 2.0).unwrap();
        let mut session = g.forward([y]).unwrap().session(&device).unwrap();
        session.write(x, &[1.0, 1.0, 6.0]).unwrap();
        session.replay().unwrap();
        // 1 / sqrt(2 + 1 + 1), 1 / sqrt(2 + 1 + 1 + 36), 6 / sqrt(2 + 1 + 36).
        let wanted = [0.5, 1.0 / 40f32.sqrt(), 6.0 / 39f32.sqrt()];
        for (found, wanted) in session.read(y).unwrap().into_iter().zip(wanted) {
            assert!((found - wanted).abs() <= 4e-6 * wanted, "{found}, not {wanted}");
        }
    }
}

/// 3 and 4 times a number over the root of their squares, 5 times it, whatever f32 makes of those; and the
/// gradient of the first, (1 - 0.36) / 5 and -0.48 / 5 over the number.
#[test]
fn squares_past_the_range_of_f32_are_normalised() {
    for size in [1e18f32, 1e20, 1e30, 5e37] {
        let mut g = Graph::new();
        let x = g.input("x", [1, 2]);
        let y = g.local_response_norm(x, 3, 3.0, 0.5, 1.0).unwrap();
        let first = g.sum(g.slice_axis(y, 1, 0..1).unwrap(), &[], false).unwrap();
        let dx = g.differentiate(first, &[x]).unwrap()[0];
        let dx = g.mul(dx, g.scalar_constant(size)).unwrap();
        let tape = g.forward([y, dx]).unwrap();
        for device in [Device::reference(), Device::cpu(), common::gpu().clone()] {
            let mut session = tape.session(&device).unwrap();
            session.write(x, &[3.0 * size, 4.0 * size]).unwrap();
            session.replay().unwrap();
            let found = [session.read(y).unwrap(), session.read(dx).unwrap()].concat();
            for (found, wanted) in found.iter().zip([0.6, 0.8, 0.128, -0.096]) {
                assert!((found - wanted).abs() <= 1e-4, "{size:e}: {found}, not {wanted}");
            }
            assert!(session.verify(&[]).unwrap().passes());
        }
    }
}

#[test]
fn what_cannot_be_normalised_is_refused() {
    let mut g = Graph::new();
    let x = g.input("x", [2, 6, 3, 3]);
    let row = g.input("row", [6]);
    let ids = g.indices("ids", [2, 6]);
    let refused = |found: Result<Value>, is: fn(&Error) -> bool, fact: &str| {
        let error = found.unwrap_err();
        let text = error.to_string();
        assert!(is(error.root()), "another error expected: {text}");
        for fact in [fact, "local_response_norm", "lrn.rs:"] {
            assert!(text.contains(fact), "{fact} is missing in: {text}");
        }
    };
    refused(g.local_response_norm(row, 5, 1e-4, 0.75, 1.0), is!(Rank), "[6]");
    refused(g.local_response_norm(ids, 5, 1e-4, 0.75, 1.0), is!(DTypeMismatch), "u32");
    refused(g.local_response_norm(x, 0, 1e-4, 0.75, 1.0), is!(Argument), "size");
    for bad in [-1.0, f32::NAN, f32::INFINITY] {
        refused(g.local_response_norm(x, 5, bad, 0.75, 1.0), is!(Argument), "alpha");
    }
    for bad in [0.0, -1.0, f32::NAN, f32::INFINITY, 1e-40] {
        refused(g.local_response_norm(x, 5, 1e-4, bad, 1.0), is!(Argument), "beta");
        refused(g.local_response_norm(x, 5, 1e-4, 0.75, bad), is!(Argument), "k");
    }
}
