//! No operator without its tests: every one that can appear on a tape has a kernel case, a
//! gradient case if it has a gradient, a bench row if it dispatches anything, and a row in the
//! table in `docs/operators.md`.

#[path = "../../benches/rows/mod.rs"]
mod rows;

use std::collections::BTreeSet;

use crate::common;
use crate::common::cases;
use retape::operators;
use retape::ops::{Gradient, OperatorInfo};
use retape::prelude::*;

fn names(tapes: impl IntoIterator<Item = Tape>) -> BTreeSet<&'static str> {
    tapes.into_iter().flat_map(|t| t.ops().iter().map(|n| n.op.name()).collect::<Vec<_>>()).collect()
}

fn missing(what: &str, wanted: impl Iterator<Item = OperatorInfo>, found: &BTreeSet<&'static str>) {
    let missing: Vec<_> = wanted.map(|o| o.name).filter(|n| !found.contains(n)).collect();
    assert!(missing.is_empty(), "operators without a {what}: {missing:?}");
}

#[test]
fn every_operator_has_a_kernel_case() {
    let recorded = cases::all().into_iter().map(|c| c.record().expect("a case records").tape);
    let half = cases::all().into_iter().find_map(|case| case.in_half().record().ok()).map(|case| case.tape);
    let updates = cases::updates::tapes().into_iter().map(|(_, tape)| tape);
    let found = names(recorded.chain(updates).chain(half));
    missing("kernel case", operators().into_iter(), &found);
    let known: BTreeSet<_> = operators().iter().map(|o| o.name).collect();
    let unknown: Vec<_> = found.difference(&known).collect();
    assert!(unknown.is_empty(), "not in the table of operators: {unknown:?}");
}

#[test]
fn every_gradient_has_a_finite_difference() {
    let smooth = cases::all().into_iter().filter(|c| c.smooth);
    let recorded: Vec<_> = smooth.map(|c| c.record().expect("a case records")).collect();
    let found = names(recorded.into_iter().filter(|r| !r.grads.is_empty()).map(|r| r.tape));
    // Clip's corners lie within its cases, and casts go in steps; their slopes are checked by hand below.
    let wanted =
        operators().into_iter().filter(|o| o.gradient == Gradient::Yes && !CHECKED_BY_HAND.contains(&o.name));
    missing("gradient case", wanted, &found);
}

#[test]
fn every_operator_has_a_bench_row() {
    let recorded = rows::rows().into_iter().map(|row| row.record().expect("a row records").tape);
    let found = names(recorded);
    // Views of another value's buffer dispatch nothing.
    let views = ["reshape", "stop_gradient"];
    missing("bench row", operators().into_iter().filter(|o| !views.contains(&o.name)), &found);
}

/// So that a word on the command line of the bench can choose any of them.
#[test]
fn every_bench_row_has_a_name_of_its_own() {
    let names: Vec<String> = rows::rows().into_iter().map(|row| row.name).collect();
    let distinct: BTreeSet<&String> = names.iter().collect();
    assert_eq!(distinct.len(), names.len());
}

const CHECKED_BY_HAND: [&str; 4] = ["cast", "clip", "minimum", "maximum"];

#[test]
fn slopes_at_corners_are_as_documented() {
    let mut g = Graph::new();
    let x = g.input("x", [6]);
    let y = g.input("y", [6]);
    let total = |g: &Graph, v: Value| g.sum(v, &[], false).unwrap();
    let clip = g.differentiate(total(&g, g.clip(x, -1.0, 1.0).unwrap()), &[x]).unwrap()[0];
    let least = g.differentiate(total(&g, g.minimum(x, y).unwrap()), &[x, y]).unwrap();
    let most = g.differentiate(total(&g, g.maximum(x, y).unwrap()), &[x, y]).unwrap();
    let mut session = g
        .forward([clip, least[0], least[1], most[0], most[1]])
        .unwrap()
        .session(&Device::reference())
        .unwrap();
    session.write(x, &[-2.0, -1.0, 0.0, 0.5, 1.0, 3.0]).unwrap();
    session.write(y, &[0.0, -1.0, -1.0, 0.5, 2.0, 3.0]).unwrap();
    session.replay().unwrap();
    assert_eq!(session.read(clip).unwrap(), [0.0, 1.0, 1.0, 1.0, 1.0, 0.0]);
    assert_eq!(session.read(least[0]).unwrap(), [1.0, 1.0, 0.0, 1.0, 1.0, 1.0]);
    assert_eq!(session.read(least[1]).unwrap(), [0.0, 0.0, 1.0, 0.0, 0.0, 0.0]);
    assert_eq!(session.read(most[0]).unwrap(), [0.0, 1.0, 1.0, 1.0, 0.0, 1.0]);
    assert_eq!(session.read(most[1]).unwrap(), [1.0, 0.0, 0.0, 0.0, 1.0, 0.0]);
}

/// The gradient of a cast is that of its result, in the precision of its operand.
#[test]
fn casts_hand_gradients_on() {
    let mut g = Graph::new();
    let x = g.input("x", [3]);
    let y = g.cast(x, DType::F16).unwrap();
    let total = g.sum(g.mul(y, g.scalar_constant(0.3)).unwrap(), &[], false).unwrap();
    let dx = g.differentiate(total, &[x]).unwrap()[0];
    assert_eq!((g.ty(y).unwrap().dtype, g.ty(dx).unwrap().dtype), (DType::F16, DType::F32));
    let mut session = g.forward([dx]).unwrap().session(&Device::reference()).unwrap();
    session.replay().unwrap();
    // What reaches the f16 value is rounded to it.
    assert_eq!(session.read(dx).unwrap(), [0.300_048_83; 3]);
}

/// The slopes of a power where its formula is 0 times infinity, or a logarithm of 0.
#[test]
fn powers_have_finite_slopes_at_zero() {
    let mut g = Graph::new();
    let a = g.input("a", [4]);
    let b = g.input("b", [4]);
    let total = g.sum(g.pow(a, b).unwrap(), &[], false).unwrap();
    let slopes = g.differentiate(total, &[a, b]).unwrap();
    for device in [Device::reference(), Device::cpu(), common::gpu().clone()] {
        let mut session = g.forward(slopes.clone()).unwrap().session(&device).unwrap();
        session.write(a, &[0.0, 0.0, 0.0, -2.0]).unwrap();
        session.write(b, &[0.0, 1.0, 2.0, 2.0]).unwrap();
        session.replay().unwrap();
        assert_eq!(session.read(slopes[0]).unwrap(), [0.0, 1.0, 0.0, -4.0]);
        assert_eq!(session.read(slopes[1]).unwrap(), [0.0; 4]);
    }
}

/// Equal maxima share the gradient, as do equal minima.
#[test]
fn ties_share_the_gradient() {
    let mut g = Graph::new();
    let x = g.input("x", [2, 4]);
    let total = |g: &Graph, v: Value| g.sum(v, &[], false).unwrap();
    let most = g.differentiate(total(&g, g.max(x, &[1], false).unwrap()), &[x]).unwrap()[0];
    let least = g.differentiate(total(&g, g.min(x, &[1], true).unwrap()), &[x]).unwrap()[0];
    for device in [Device::reference(), Device::cpu(), common::gpu().clone()] {
        let mut session = g.forward([most, least]).unwrap().session(&device).unwrap();
        session.write(x, &[3.0, 1.0, 3.0, 2.0, 5.0, 5.0, 5.0, 5.0]).unwrap();
        session.replay().unwrap();
        assert_eq!(session.read(most).unwrap(), [0.5, 0.0, 0.5, 0.0, 0.25, 0.25, 0.25, 0.25]);
        assert_eq!(session.read(least).unwrap(), [0.0, 1.0, 0.0, 0.0, 0.25, 0.25, 0.25, 0.25]);
    }
}

/// The table in `docs/operators.md` is the list of operators that a program can record.
#[test]
fn the_documentation_lists_every_operator() {
    let recordable = operators().into_iter().filter(|o| !o.name.ends_with("_grad"));
    let mut table = String::from("| operator | forward | backward | dtypes |\n|---|---|---|---|\n");
    for OperatorInfo { name, gradient, dtypes, .. } in recordable {
        let backward = match gradient {
            Gradient::Yes => "yes",
            Gradient::Zero => "zero",
            Gradient::None => "-",
        };
        table += &format!("| `{name}` | yes | {backward} | {dtypes} |\n");
    }
    let page = include_str!("../../docs/operators.md");
    let start =
        page.find("<!-- operators -->\n").expect("the page marks its table") + "<!-- operators -->\n".len();
    let end = page.find("<!-- /operators -->").expect("the page marks its table");
    assert_eq!(&page[start..end], table, "the table should be:\n{table}");
}
