//! Numbers that mean nothing, wherever a program may put them: each is refused by a typed error or does what it
//! says, and nothing panics, overflows or takes forever.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use crate::common::cases;
use retape::ops::{ConvOptions, Padding, PoolOptions};
use retape::prelude::*;
use retape::random::Stream;
use retape::tape::{DeviceKind, DeviceProfile};
use retape::{Error, Result};

/// Tapes that have every operator between them.
fn tapes() -> Vec<Tape> {
    let recorded = cases::all().into_iter().map(|case| case.record().expect("a case records").tape);
    let all = recorded.chain(cases::updates::tapes().into_iter().map(|(_, tape)| tape));
    let mut known = BTreeSet::new();
    let mut is_new = |tape: &Tape| {
        let before = known.len();
        known.extend(tape.ops().iter().map(|node| node.op.name()));
        known.len() > before
    };
    all.filter(|tape| is_new(tape)).collect()
}

#[test]
fn profiles_field_by_field() {
    type Set = fn(&mut DeviceProfile, u64);
    let fields: [(&str, Set); 13] = [
        ("max_binding_bytes", |p, n| p.max_binding_bytes = n),
        ("max_buffer_bytes", |p, n| p.max_buffer_bytes = n),
        ("max_storage_buffers", |p, n| p.max_storage_buffers = n as u32),
        ("max_workgroups", |p, n| p.max_workgroups = n as u32),
        ("max_workgroup_bytes", |p, n| p.max_workgroup_bytes = n as u32),
        ("max_invocations", |p, n| p.max_invocations = n as u32),
        ("max_workgroup_size", |p, n| p.max_workgroup_size = [n as u32, 256, 64]),
        ("max_workgroup_size", |p, n| p.max_workgroup_size = [256, 256, n as u32]),
        ("max_param_bytes", |p, n| p.max_param_bytes = n as u32),
        ("offset_alignment", |p, n| p.offset_alignment = n as u32),
        ("subgroups", |p, n| p.subgroups = Some((n as u32, 64))),
        ("subgroups", |p, n| p.subgroups = Some((4, n as u32))),
        ("max_loop_iterations", |p, n| p.max_loop_iterations = n as u32),
    ];
    let numbers = [0, 1, 2, 3, 4, 7, 16, 64, 100, 255, 256, 1000, 65_535, 1 << 31, u64::MAX];
    let tapes = tapes();
    assert!(tapes.len() > 20);
    for kind in [DeviceKind::Cpu, DeviceKind::Gpu] {
        for (name, set) in fields {
            for number in numbers {
                let mut profile = DeviceProfile { kind, ..DeviceProfile::baseline() };
                set(&mut profile, number);
                for tape in &tapes {
                    match tape.plan(&profile) {
                        Ok(plan) => assert!(plan.peak_bytes() <= 1 << 40, "{name} {number}"),
                        Err(error) => {
                            let fits = match error.root() {
                                Error::Argument { argument, .. } => *argument == name,
                                Error::Limit { .. } => true,
                                _ => false,
                            };
                            assert!(fits, "{kind:?} {name} = {number}: {error}\n{tape}");
                        }
                    }
                }
            }
        }
    }
}

/// One of the numbers that programs come to by a wrong subtraction, product or unit.
fn number(words: &mut impl Iterator<Item = u32>) -> usize {
    const ODD: [usize; 14] = [
        0,
        1 << 13,
        1 << 16,
        (1 << 24) + 1,
        1 << 30,
        (1 << 31) - 1,
        1 << 31,
        u32::MAX as usize,
        1 << 32,
        1 << 40,
        1 << 62,
        usize::MAX / 2,
        usize::MAX - 1,
        usize::MAX,
    ];
    let word = words.next().unwrap_or(0) as usize;
    if word.is_multiple_of(5) { ODD[word / 5 % ODD.len()] } else { 1 + word / 5 % 6 }
}

#[test]
fn windows_with_any_numbers() {
    let begun = Instant::now();
    let mut planned = 0;
    for trial in 0..6000 {
        let stream = Stream { seed: 4, step: trial, stream: 17 };
        let mut words = (0..).flat_map(|i| stream.words(i));
        let kind = words.next().unwrap_or(0) % 9;
        let mut n = || number(&mut words);
        let pair = |n: &mut dyn FnMut() -> usize| [n(), n()];
        let padding = match n() % 5 {
            0 => Padding::Valid,
            1 => Padding::Same,
            2 => Padding::Full,
            3 => Padding::symmetric(n()),
            _ => Padding::Explicit { top: n(), left: n(), bottom: n(), right: n() },
        };
        let mut pool = PoolOptions::new(pair(&mut n)).padding(padding).dilation(pair(&mut n));
        if n() % 2 == 0 {
            pool = pool.stride(pair(&mut n));
        }
        if n() % 2 == 0 {
            pool = pool.ceil_mode();
        }
        pool = pool.count_include_pad(n() % 2 == 0);
        let conv = ConvOptions::new().stride(pair(&mut n)).padding(padding).dilation(pair(&mut n));
        let conv = if n() % 3 == 0 { conv.groups(n()) } else { conv };
        let mut g = Graph::new();
        let image = g.input("image", [2, 4, 5, 6]);
        let line = g.input("line", [2, 4, 9]);
        let filters = g.input("filters", [4, 4, 1 + n() % 3, 1 + n() % 3]);
        let taps = g.input("taps", [4, 4, 1 + n() % 3]);
        let made: Result<Value> = match kind {
            0 => g.max_pool2d(image, pool),
            1 => g.avg_pool2d(image, pool),
            2 => g.sum_pool2d(image, pool),
            3 => g.max_pool1d(line, pool),
            4 => g.avg_pool1d(line, pool),
            5 => g.conv2d(image, filters, None, conv),
            6 => g.conv1d(line, taps, None, conv),
            7 => g.conv_transpose2d(image, filters, None, conv, pair(&mut n)),
            _ => g.adaptive_avg_pool2d(image, pair(&mut n)),
        };
        let Ok(value) = made else { continue };
        let shape = g.shape(value).unwrap();
        assert!(shape.numel() < 1 << 48, "{shape}");
        let loss = g.sum(value, &[], false).unwrap();
        let Ok(grads) = g.differentiate(loss, &[if matches!(kind, 3 | 4 | 6) { line } else { image }]) else {
            continue;
        };
        let tape = g.forward(grads).unwrap();
        if let Err(error) = tape.plan(&DeviceProfile::baseline()) {
            assert!(matches!(error.root(), Error::Limit { .. }), "{error}");
        }
        planned += 1;
    }
    assert!(planned > 300, "{planned} of the windows are any good");
    assert!(begun.elapsed() < Duration::from_secs(60), "{:?}", begun.elapsed());
}

#[test]
fn paddings_of_indices_at_their_bound() {
    let mut g = Graph::new();
    let table = g.parameter("table", [10, 4], Init::Ones);
    let ids = g.indices("ids", [6]);
    // The largest index that f32 tells from its neighbour, and numbers that are no index.
    for bad in [-1.0, -0.5, 0.5, 9.5, 4_294_967_296.0, 1e20, f32::NAN, f32::INFINITY, f32::NEG_INFINITY] {
        let refused = g.pad(ids, &[(1, 1)], bad);
        assert!(
            matches!(&refused, Err(e) if matches!(e.root(), Error::Argument { .. })),
            "{bad}: {refused:?}"
        );
    }
    for (fill, fits) in [(0.0, true), (-0.0, true), (9.0, true), (10.0, false), (4_294_967_040.0, false)] {
        let padded = g.pad(ids, &[(0, 1)], fill).unwrap();
        let found = g.gather(table, padded, 0);
        assert_eq!(found.is_ok(), fits, "{fill}: {found:?}");
    }
    for sides in [(usize::MAX, 1), (1, usize::MAX), (1 << 31, 1 << 31), (1 << 62, 0)] {
        let refused = g.pad(ids, &[sides], 0.0);
        assert!(refused.is_err(), "{sides:?}");
    }
    assert!(g.pad(ids, &[], 0.0).is_err() && g.pad(ids, &[(0, 0), (0, 0)], 0.0).is_err());
}

/// What a recording call makes of a number is made when the number is known to be one.
#[test]
fn numbers_of_steps_are_looked_at_before_they_are_counted() {
    let mut g = Graph::new();
    let lengths = g.indices("lengths", [300]);
    for time in [0, (1 << 24) + 1, 1 << 32, 1 << 40, usize::MAX] {
        let error = g.sequence_mask(lengths, time).expect_err("it is refused");
        assert!(matches!(error.root(), Error::Argument { argument: "time", .. }), "{time}: {error}");
    }
    let error = g.sequence_mask(lengths, 1 << 24).expect_err("it is refused");
    assert!(matches!(error.root(), Error::TooManyElements { .. }), "{error}");
}
