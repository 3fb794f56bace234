//! Tapes over special values, by every path.

use retape::prelude::*;
use retape::tape::{DeviceKind, DeviceProfile};
use retape::testing::*;
use retape::{Result, SessionOptions};

pub const NAN: f64 = f64::NAN;
pub const INF: f64 = f64::INFINITY;

/// What computes a tape.
#[derive(Clone, Copy, Debug)]
pub enum Path {
    Reference,
    /// The CPU device.
    Cpu,
    /// The kernels of a plan for such an adapter.
    Kernels(DeviceKind),
}

/// The reference, the CPU device, and the plans for a software driver and for a GPU.
pub const PATHS: [Path; 4] =
    [Path::Reference, Path::Cpu, Path::Kernels(DeviceKind::Cpu), Path::Kernels(DeviceKind::Gpu)];

pub type Built = Result<Vec<Value>>;

/// What `build` makes of inputs.
pub fn run(
    path: Path,
    inputs: &[(&[usize], &[f32])],
    build: impl Fn(&Graph, &[Value]) -> Built,
) -> Vec<Vec<f64>> {
    let mut g = Graph::new();
    let mut values = Vec::new();
    for (i, &(dims, _)) in inputs.iter().enumerate() {
        values.push(g.input(&format!("x{i}"), Shape::new(dims).unwrap()));
    }
    let outputs = build(&g, &values).unwrap();
    let tape = g.forward(outputs.clone()).unwrap();
    let mut session = match path {
        Path::Reference => tape.session(&Device::reference()).unwrap(),
        Path::Cpu => tape.session(&Device::cpu()).unwrap(),
        Path::Kernels(kind) => {
            let device = super::gpu();
            let plan = tape.plan(&DeviceProfile { kind, ..device.profile().unwrap().clone() }).unwrap();
            session_with_plan(&tape, device, plan, SessionOptions::new()).unwrap()
        }
    };
    for (&value, (_, data)) in values.iter().zip(inputs) {
        session.write(value, data).unwrap();
    }
    session.replay().unwrap();
    let numbers = |v: Value| match session.read_f64(v) {
        Ok(numbers) => numbers,
        Err(_) => session.read_u32(v).unwrap().into_iter().map(f64::from).collect(),
    };
    outputs.into_iter().map(numbers).collect()
}

/// `y`, and the gradients of the sum of `y w` with respect to the inputs before the last, which is `w`.
pub fn with_gradients(g: &Graph, y: Value, x: &[Value]) -> Built {
    let (w, operands) = x.split_last().unwrap();
    let weighted = g.mul(y, *w)?;
    let loss = g.sum(weighted, &[], false)?;
    // A gradient of zeros reads no weights; the product does.
    Ok([vec![y], g.differentiate(loss, operands)?, vec![weighted]].concat())
}

/// Whether a result is one of those wanted, as f32 holds them.
pub fn is_one_of(got: f64, wanted: &[f64]) -> bool {
    wanted.iter().map(|&want| f64::from(want as f32)).any(|want| {
        let near = (got - want).abs() <= 2e-6 + 2e-5 * want.abs();
        f64::from(got as f32) == want || (got.is_nan() && want.is_nan()) || (want.is_finite() && near)
    })
}

/// A number as a device reads it: a subnormal one perhaps as 0.
pub fn read_as(x: f32) -> Vec<f64> {
    let x = f64::from(x);
    if (x as f32).is_subnormal() { vec![x, 0.0, -0.0] } else { vec![x] }
}
