//! `Session::verify` finds what it must find: a wrong kernel, a kernel that writes too little, a
//! wrong plan, each at the operator where it happens.

use crate::common;
use retape::array::Array;
use retape::kernel::{Grid, KernelCall, Shader, Slot};
use retape::ops::{Lowering, Op, Reference};
use retape::prelude::*;
use retape::testing::*;
use retape::{Result, SessionOptions, TensorType};

static SHADER: Shader = Shader::new(
    "triple",
    "
    struct Params { n: u32, factor: f32 }
    @group(0) @binding(0) var<storage, read> x: array<f32>;
    @group(0) @binding(1) var<storage, read_write> y: array<f32>;
    var<immediate> p: Params;

    @compute @workgroup_size(64)
    fn main(@builtin(global_invocation_id) id: vec3<u32>) {
        let i = linear_index(id, 64u);
        if i < p.n { y[i] = p.factor * x[i]; }
    }
    ",
);

retape::params! {
    struct Params { n: u32, factor: f32 }
}

/// `y = 3 x`, with a kernel that may be wrong in one of several ways.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Triple {
    Right,
    WrongFactor,
    NotANumber,
    LastElementMissing,
    /// Times this factor, and no error is too large for it.
    Boundless(f32),
}

impl Op for Triple {
    fn name(&self) -> &'static str {
        "triple"
    }

    fn outputs(&self, inputs: &[TensorType]) -> Result<Vec<TensorType>> {
        Ok(vec![inputs[0]])
    }

    fn lower(&self, cx: &mut Lowering<'_>) -> Result<()> {
        let n = cx.outputs[0].numel() as u32;
        let (n, factor) = match self {
            Triple::Right => (n, 3.0),
            Triple::WrongFactor => (n, 3.000_01),
            Triple::NotANumber => (n, f32::NAN),
            Triple::LastElementMissing => (n - 1, 3.0),
            Triple::Boundless(factor) => (n, *factor),
        };
        let call = KernelCall::new(&SHADER, "main").params(&Params { n, factor });
        cx.call(call.binds([Slot::Input(0), Slot::Output(0)]).grid(Grid::linear(n as usize, 64)));
        Ok(())
    }

    fn reference(&self, cx: &Reference<'_>) -> Vec<Array> {
        vec![cx.inputs[0].map(|x| 3.0 * x)]
    }

    fn error_bound(&self, _: &Reference<'_>, results: &[Array]) -> Vec<Vec<f64>> {
        let bound = |y: &f64| if let Triple::Boundless(_) = self { f64::INFINITY } else { 1e-6 * y.abs() };
        vec![results[0].data.iter().map(bound).collect()]
    }
}

/// exp, triple in a layer, tanh over `[64]`.
fn network(kind: Triple) -> (Tape, Value, Value) {
    let mut g = Graph::new();
    let x = g.input("x", [64]);
    let e = g.exp(x).unwrap();
    let t = g.layer("suspect", |g| g.apply1(kind, &[e])).unwrap();
    let y = g.tanh(t).unwrap();
    (g.forward([y]).unwrap(), x, y)
}

fn verified(kind: Triple) -> (retape::Verification, Vec<usize>) {
    let (tape, x, _) = network(kind);
    let mut session = tape.session_with(common::gpu(), guarded(SessionOptions::new())).unwrap();
    poison(&session);
    let data = common::data::noise(64, 1, -1.0, 1.0);
    let table = session.verify(&[(x, (&data).into())]).unwrap();
    (table, broken_guards(&session).unwrap())
}

#[test]
fn a_right_kernel_passes() {
    let (table, guards) = verified(Triple::Right);
    assert!(table.passes() && guards.is_empty(), "{table}");
    assert!(table.to_string().contains("all 3 ops agree"), "{table}");
}

#[test]
fn every_wrong_kernel_is_found_at_its_operator() {
    for kind in [Triple::WrongFactor, Triple::NotANumber, Triple::LastElementMissing] {
        let (table, _) = verified(kind);
        let first = table.first_difference().unwrap_or_else(|| panic!("{kind:?} passed\n{table}"));
        assert_eq!(
            (first.op, first.name, first.layer.as_str()),
            (1, "triple", "suspect"),
            "{kind:?}\n{table}"
        );
        assert!(table.rows[2].worst.passes(), "the op after it is judged on what it was given\n{table}");
        assert!(
            table.to_string().contains("op 1 (triple) in layer `suspect` is the first to differ"),
            "{table}"
        );
    }
}

/// An operator may promise nothing, but zero, NaN and infinity are no numbers where the reference has one.
#[test]
fn a_loss_is_found_whatever_the_bound_says() {
    for factor in [0.0, f32::NAN, f32::INFINITY, f32::NEG_INFINITY, 1e-40] {
        let (table, _) = verified(Triple::Boundless(factor));
        let first = table.first_difference().unwrap_or_else(|| panic!("{factor} passed\n{table}"));
        assert_eq!((first.op, first.name), (1, "triple"), "{table}");
    }
    let (table, _) = verified(Triple::Boundless(-7.0));
    assert!(table.passes(), "no digit was promised\n{table}");
}

/// What a driver makes of a subnormal operand is no loss of the kernel's.
#[test]
fn subnormal_operands_excuse_what_they_cause() {
    let mut g = Graph::new();
    let x = g.input("x", [4]);
    let y = g.log(x).unwrap();
    let mut session = g.forward([y]).unwrap().session(common::gpu()).unwrap();
    let table = session.verify(&[(x, (&[1e-40f32, 2.0, 0.0, 1e-38][..]).into())]).unwrap();
    assert!(table.passes(), "{table}");
}

/// A buffer written one word past its end is noticed.
#[test]
fn a_write_past_the_end_breaks_a_guard() {
    let (tape, _, y) = network(Triple::Right);
    let session = tape.session_with(common::gpu(), guarded(SessionOptions::new())).unwrap();
    poison(&session);
    assert!(broken_guards(&session).unwrap().is_empty());
    let (_, queue) = common::gpu().wgpu().unwrap();
    let y = session.buffer(y).unwrap();
    queue.write_buffer(y.buffer, y.offset + 64 * 4, &[0; 4]);
    assert_eq!(broken_guards(&session).unwrap().len(), 1);
}

/// A plan that lets a result overwrite a value still needed is found at the reader.
#[test]
fn a_broken_plan_is_found_where_the_overwritten_value_is_read() {
    let mut g = Graph::new();
    let x = g.input("x", [64]);
    let a = g.exp(x).unwrap();
    let b = g.sin_like(a);
    let c = g.add(b, a).unwrap();
    let tape = g.forward([c]).unwrap();
    let profile = common::gpu().profile().unwrap();
    let right = tape.plan(profile).unwrap();
    let data = common::data::noise(64, 1, -1.0, 1.0);
    let run = |plan| {
        let mut session = session_with_plan(&tape, common::gpu(), plan, SessionOptions::new()).unwrap();
        session.verify(&[(x, (&data).into())]).unwrap()
    };
    assert!(run(right.clone()).passes());

    // The third op writes its result over `a`, which the last op still reads.
    let mut broken = right.clone();
    let a_buffer = broken.value(a).unwrap().buffer;
    let victim = broken.dispatches.iter().position(|d| d.op == 2).unwrap();
    let last = broken.dispatches[victim].bindings.len() - 1;
    broken.dispatches[victim].bindings[last].buffer = a_buffer;
    let table = run(broken);
    let first = table.first_difference().unwrap_or_else(|| panic!("the plan passed\n{table}"));
    assert!(first.op >= 2, "{table}");
}

trait SinLike {
    fn sin_like(&self, x: Value) -> Value;
}

impl SinLike for Graph {
    /// Two operators, so that there is a result between.
    fn sin_like(&self, x: Value) -> Value {
        self.square(self.tanh(x).unwrap()).unwrap()
    }
}

/// Parameters, states and the step count are as before.
#[test]
fn verifying_changes_nothing() {
    let mut g = Graph::new();
    let x = g.input("x", [4, 3]);
    let w = g.parameter("w", [3, 2], Init::GlorotUniform);
    let loss = g.mean(g.square(g.matmul(x, w).unwrap()).unwrap(), &[], false).unwrap();
    let tape = g.training_step(loss, &Adam::new(0.1)).unwrap();
    for device in [Device::reference(), Device::cpu(), common::gpu().clone()] {
        let run = |verify: bool| {
            let mut session = tape.session(&device).unwrap();
            session.write(x, &common::data::noise(12, 1, -1.0, 1.0)).unwrap();
            session.replay_n(3).unwrap();
            if verify {
                assert!(session.verify(&[]).unwrap().passes());
            }
            session.replay_n(3).unwrap();
            (session.step(), session.parameter("w").unwrap())
        };
        assert_eq!(run(false), run(true));
    }
}

/// The CPU path goes on in f64 where f32 would be infinite: that is no difference.
#[test]
fn what_f32_does_not_hold_agrees_with_itself() {
    for device in [common::gpu().clone(), Device::cpu(), Device::reference()] {
        let mut g = Graph::new();
        let x = g.input("x", [4]);
        let y = g.exp(x).unwrap();
        let z = g.square(y).unwrap();
        let mut session = g.forward([y, z]).unwrap().session(&device).unwrap();
        let verified =
            session.verify(&[(x, retape::HostData::from(&[100f32, 1.0, 50.0, 88.9][..]))]).unwrap();
        assert!(verified.passes(), "{verified}");
    }
}
