//! Operators on numbers of half precision: the kernels of f32, over buffers whose elements are narrower.

use std::collections::BTreeSet;
use std::panic::{AssertUnwindSafe, catch_unwind};

use retape::half::f16;
use retape::prelude::*;
use retape::tape::{DeviceKind, DeviceProfile};
use retape::{Error, Result};

use crate::common::{self, Case, cases};

/// The cases that take half precision.
fn in_half() -> Vec<Case> {
    let takes = |case: &Case| match case.record() {
        Ok(_) => true,
        Err(error) if matches!(error.root(), Error::DTypeMismatch { .. }) => false,
        Err(error) => panic!("{}: {error}", case.name),
    };
    cases::all().into_iter().map(Case::in_half).filter(takes).collect()
}

/// As many of the cases as it takes to reach each kernel with each combination of bindings of half precision; with
/// `RETAPE_TEST_ALL`, all of them.
fn chosen(profile: &DeviceProfile) -> Vec<Case> {
    let all = std::env::var("RETAPE_TEST_ALL").is_ok();
    let mut reached = BTreeSet::new();
    let mut is_chosen = |case: &Case| {
        let plan = case.record().and_then(|recorded| recorded.tape.plan(profile)).expect("it plans");
        let kernels = plan.dispatches.iter().map(|d| (d.shader.name(), d.entry, d.halves()));
        kernels.filter(|kernel| reached.insert(kernel.clone())).count() > 0 || all
    };
    in_half().into_iter().filter(|case| is_chosen(case)).collect()
}

/// Every operator that the table says takes half precision is in a case that does; gradients follow what they are of.
#[test]
fn what_is_said_to_take_half_precision_does() {
    let recorded = in_half().into_iter().map(|case| case.record().expect("it records").tape);
    let mut reached = BTreeSet::new();
    for tape in recorded {
        for node in tape.ops() {
            let has_half = |value: &Value| tape.value(*value).is_some_and(|info| info.ty.dtype == DType::F16);
            if node.inputs.iter().chain(&node.outputs).any(has_half) {
                reached.insert(node.op.name());
            }
        }
    }
    let said = retape::operators().into_iter().filter(|operator| operator.dtypes.contains("f16"));
    let missed: Vec<_> = said.map(|operator| operator.name).filter(|name| !reached.contains(name)).collect();
    assert!(missed.is_empty(), "operators that no case has in half precision: {missed:?}");
}

fn check(kind: DeviceKind) {
    let device = common::open_gpu();
    let profile = DeviceProfile { kind, ..device.profile().expect("a GPU").clone() };
    if !profile.f16 {
        return refuses(&device);
    }
    let fails = |case: &Case| catch_unwind(AssertUnwindSafe(|| case.check_kernels(&device, kind))).is_err();
    let failed: Vec<String> = chosen(&profile).into_iter().filter(fails).map(|c| c.name).collect();
    assert!(failed.is_empty(), "{} cases failed: {failed:#?}", failed.len());
}

/// A device that has no numbers of half precision says so, with the operator and the value.
fn refuses(device: &Device) {
    let mut g = Graph::new();
    let x = g.input("x", [4]);
    let y = g.cast(x, DType::F16).expect("it records");
    let tape = g.forward([y]).expect("it records");
    let error = tape.session(device).expect_err("there is no half precision");
    let Error::NoHalfPrecision { op, value, .. } = error.root() else { panic!("{error}") };
    assert_eq!((op.as_str(), value.as_str()), ("cast", "%1"));
}

#[test]
fn kernels_for_software_drivers_agree_in_half_precision() {
    check(DeviceKind::Cpu);
}

#[test]
fn kernels_for_gpus_agree_in_half_precision() {
    check(DeviceKind::Gpu);
}

#[test]
fn the_cpu_agrees_in_half_precision() {
    let profile = DeviceProfile { f16: true, ..DeviceProfile::baseline() };
    let fails = |case: &Case| catch_unwind(AssertUnwindSafe(|| case.check_on_cpu())).is_err();
    let failed: Vec<String> = chosen(&profile).into_iter().filter(fails).map(|c| c.name).collect();
    assert!(failed.is_empty(), "{} cases failed: {failed:#?}", failed.len());
}

#[test]
fn a_device_without_half_precision_refuses_it() {
    let mut g = Graph::new();
    let x = g.input("x", [4]);
    let w = g.parameter("w", [4], Init::Ones);
    let y = g.layer("block", |g| g.relu(g.mul(g.cast(x, DType::F16)?, w)?)).expect("it records");
    let tape = g.forward([y]).expect("it records");
    let error = tape.plan(&DeviceProfile::baseline()).expect_err("there is no half precision");
    assert!(error.to_string().contains("`baseline` lacks shader-f16"), "{error}");
    let Error::NoHalfPrecision { layer, .. } = error.root() else { panic!("{error}") };
    assert_eq!(layer, "block");
}

/// An odd number of elements, of which the last word of a buffer holds one; each device rounds as the host does.
#[test]
fn numbers_are_rounded_as_they_are_stored() -> Result<()> {
    let data = [0.1f32, -2049.0, 65_519.0, 65_536.0, 6e-8, f32::NAN, -0.0];
    let want: Vec<u16> = data.iter().map(|&x| f16::from_f32(x).to_bits()).collect();
    let gpu = common::gpu();
    for device in [&Device::cpu(), &Device::reference(), gpu] {
        if device.profile().is_some_and(|profile| !profile.f16) {
            continue;
        }
        let mut g = Graph::new();
        let x = g.input("x", [7]);
        let half = g.cast(x, DType::F16)?;
        let wide = g.cast(half, DType::F32)?;
        // Fused, what is only passed on would not be rounded.
        let options = retape::SessionOptions::new().fuse(false);
        let mut session = g.forward([x, half, wide])?.session_with(device, options)?;
        session.write(x, &data)?;
        session.replay()?;
        let bits: Vec<u16> = session.read_f16(half)?.into_iter().map(f16::to_bits).collect();
        let is_nan = |bits: u16| f16::from_bits(bits).is_nan();
        let agree = bits.iter().zip(&want).all(|(&a, &b)| a == b || (is_nan(a) && is_nan(b)));
        assert!(agree && bits.len() == 7, "{bits:x?}, not {want:x?}");
        let exact = |(wide, &bits): (f32, &u16)| {
            wide.to_bits() == f16::from_bits(bits).to_f32().to_bits() || wide.is_nan()
        };
        assert!(session.read(wide)?.into_iter().zip(&bits).all(exact), "{:?}", session.read(wide)?);
        // Either type may be written in the other.
        session.write(x, &[f16::from_f32(0.5); 7])?;
        session.replay()?;
        assert_eq!((session.read(x)?, session.read_f64(half)?), (vec![0.5; 7], vec![0.5; 7]));
    }
    Ok(())
}
