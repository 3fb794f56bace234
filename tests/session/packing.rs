//! Values side by side in one buffer: what a plan makes of an operator that asks for it, what runs on
//! it, and what sessions share of it.

use std::ops::Range;

use crate::common;
use crate::common::momentum::{Momentum, MomentumUpdate, SIZES, graph, record_group, updates};
use crate::common::simulate::simulate;
use crate::common::twice::{self, SetTwice, Twice};
use retape::array::Array;
use retape::kernel::{Access, Slot};
use retape::ops::{Lowering, Op, Reference};
use retape::prelude::*;
use retape::tape::{BufferRole, DeviceProfile, Dispatch, Plan};
use retape::testing::*;
use retape::{Error, Result, TensorType};

fn bits(session: &Session, values: &[Value]) -> Vec<Vec<u32>> {
    let read = |&v: &Value| session.read(v).expect("it is readable");
    values.iter().map(|v| read(v).iter().map(|x| x.to_bits()).collect()).collect()
}

/// A session on poisoned, guarded buffers, verified.
fn checked(tape: &Tape, plan: Plan) -> Session {
    let options = guarded(SessionOptions::new().seed(5));
    assert_eq!(simulate(tape, &plan), Ok(()), "{plan}");
    let mut session = session_with_plan(tape, common::gpu(), plan, options).expect("it builds");
    poison(&session);
    let checked = session.verify(&[]).expect("it runs");
    assert!(checked.passes(), "{checked}");
    assert!(broken_guards(&session).expect("guards can be read").is_empty());
    session
}

fn profile() -> &'static DeviceProfile {
    common::gpu().profile().expect("a GPU")
}

/// Trains the same graph packed and unpacked, and compares every bit; returns the packed session.
fn trains_alike(record: impl Fn() -> Result<(Graph, Value, Vec<Value>)>, profile: &DeviceProfile) -> Session {
    let run = |packed: bool| {
        let (g, loss, parameters) = record().expect("it records");
        let tape = g.training_step(loss, &Momentum { packed }).expect("it records").keep_gradients();
        let mut session = checked(&tape, tape.plan(profile).expect("it plans"));
        session.replay_n(3).expect("it runs");
        let states = tape.persistent().into_iter().filter(|&v| {
            tape.value(v).is_some_and(|info| info.source.state_kind().is_some() && !info.source.is_trained())
        });
        let gradients = parameters.iter().filter_map(|&w| tape.gradient(w));
        let values: Vec<Value> = parameters.iter().copied().chain(states).chain(gradients).collect();
        (bits(&session, &values), session)
    };
    let (packed, session) = run(true);
    assert_eq!(packed, run(false).0);
    session
}

#[test]
fn thirty_small_parameters_are_updated_in_one_dispatch() {
    let session = trains_alike(|| graph(&SIZES), profile());
    let plan = session.plan().expect("a GPU session");
    assert_eq!(updates(plan).len(), 1, "{plan}");
    // One arena for each of parameters, velocities and gradients.
    let count = |role: BufferRole| plan.buffers.iter().filter(|b| b.role == role).count();
    assert_eq!((count(BufferRole::Parameter), count(BufferRole::State)), (1, 1), "{plan}");
    let text = plan.to_string();
    assert!(text.contains(&format!("+{}", profile().offset_alignment.max(16))), "{text}");

    let (g, loss, _) = graph(&SIZES).unwrap();
    let apart = g.training_step(loss, &Momentum { packed: false }).unwrap().plan(profile()).unwrap();
    assert_eq!(updates(&apart).len(), 30, "{apart}");
}

/// Every member begins at the device's alignment, in the same order at the same distances in each class,
/// and the plan accounts for every byte.
#[test]
fn members_are_aligned_and_counted() {
    let baseline = DeviceProfile::baseline();
    for profile in [DeviceProfile { offset_alignment: 4, ..baseline.clone() }, baseline] {
        let (g, loss, parameters) = graph(&SIZES).unwrap();
        let tape = g.training_step(loss, &Momentum { packed: true }).unwrap();
        let plan = tape.plan(&profile).unwrap();
        assert_eq!(simulate(&tape, &plan), Ok(()), "{plan}");
        let alignment = u64::from(profile.offset_alignment).max(16);
        let mut end = 0;
        for (&w, n) in parameters.iter().zip(SIZES) {
            let own = plan.value(w).unwrap();
            let gradient = plan.value(tape.gradient(w).unwrap()).unwrap();
            assert_eq!(own.offset, u64::next_multiple_of(end, alignment), "{plan}");
            assert_eq!(gradient.offset, own.offset, "{plan}");
            assert_eq!(own.bytes, (4 * n as u64).next_multiple_of(16));
            end = own.offset + own.bytes;
        }
        assert_eq!(plan.role_bytes(BufferRole::Parameter), end, "{plan}");
        assert_eq!(plan.role_bytes(BufferRole::State), end, "{plan}");
        assert!(plan.role_bytes(BufferRole::Transient) >= end, "{plan}");
        let sum: u64 = plan.buffers.iter().map(|b| b.bytes).sum();
        assert_eq!(plan.peak_bytes(), sum);
        let again = g.training_step(loss, &Momentum { packed: true }).unwrap().plan(&profile).unwrap();
        let bindings = |p: &Plan| p.dispatches.iter().map(|d| d.bindings.clone()).collect::<Vec<_>>();
        assert_eq!(bindings(&plan), bindings(&again));
    }
}

/// Writing one member leaves its neighbours alone; every way of reading finds it at its offset.
#[test]
fn members_are_read_and_written_at_their_offsets() {
    let (g, loss, parameters) = graph(&SIZES).unwrap();
    let tape = g.training_step(loss, &Momentum { packed: true }).unwrap().keep_gradients();
    let mut session = checked(&tape, tape.plan(profile()).unwrap());
    let mut expected: Vec<Vec<f32>> = parameters.iter().map(|&w| session.read(w).unwrap()).collect();
    for (i, n) in SIZES.into_iter().enumerate().rev() {
        expected[i] = common::data::noise(n, 77 + i as u32, 3.0, 4.0);
        session.set_parameter(&format!("w{i}"), &expected[i]).unwrap();
        let found: Vec<Vec<f32>> = parameters.iter().map(|&w| session.read(w).unwrap()).collect();
        assert_eq!(found, expected);
    }
    session.set_scalar("learning_rate", 0.0).unwrap_err();
    session.replay().unwrap();
    let gradient = tape.gradient(parameters[1]).unwrap();
    let pending = session.read_async(gradient).unwrap();
    assert_eq!(pollster::block_on(pending).unwrap(), session.read(gradient).unwrap());

    let place = session.buffer(parameters[4]).unwrap();
    let plan = session.plan().unwrap();
    assert_eq!((place.offset, place.bytes), (plan.value(parameters[4]).unwrap().offset, 4 * 13));
    assert!(place.offset > 0);
    assert_eq!(place.slice().size(), 4 * 13);
    // The program's own command encoder writes where the session reads.
    let (device, queue) = common::gpu().wgpu().unwrap();
    queue.write_buffer(place.buffer, place.offset, bytemuck::cast_slice(&[9.0f32; 13]));
    device.poll(retape::wgpu::PollType::wait_indefinitely()).unwrap();
    let before = session.read(parameters[5]).unwrap();
    assert_eq!(session.read(parameters[4]).unwrap(), [9.0; 13]);
    assert_eq!(session.read(parameters[5]).unwrap(), before);
}

/// One gradient is a view, one is that of two parameters, one is an input, one parameter is too large
/// for a binding with others: what can be packed is, the rest is updated on its own.
fn awkward() -> Result<(Graph, Value, Vec<Value>)> {
    let mut g = Graph::new();
    let names = ["a", "b", "viewed", "tied", "twin", "given", "large", "z"];
    let sizes = [5, 17, 12, 6, 6, 4, 1 << 10, 3];
    let parameters: Vec<Value> = names
        .into_iter()
        .zip(sizes)
        .map(|(name, n)| g.parameter(name, [n], Init::Uniform { low: -1.0, high: 1.0 }))
        .collect();
    let x = g.constant([4], &[1.0, -2.0, 3.0, -4.0])?;
    let mut terms = Vec::new();
    for &w in &[parameters[0], parameters[1], parameters[6], parameters[7]] {
        terms.push(g.sum(g.square(w)?, &[], false)?);
    }
    let viewed = g.tanh(g.reshape(parameters[2], [3, 4])?)?;
    terms.push(g.sum(g.square(viewed)?, &[], false)?);
    terms.push(g.sum(g.square(g.add(parameters[3], parameters[4])?)?, &[], false)?);
    terms.push(g.sum(g.mul(parameters[5], x)?, &[], false)?);
    let loss = terms.into_iter().try_fold(g.scalar_constant(0.0), |sum, term| g.add(sum, term))?;
    Ok((g, loss, parameters))
}

/// One operator over all parameters, whatever their gradients are.
#[derive(Debug)]
struct AllAtOnce(bool);

impl Optimizer for AllAtOnce {
    fn record(&self, g: &Graph, gradients: &[(Value, Value)]) -> Result<()> {
        record_group(g, gradients, self.0)
    }
}

#[test]
fn what_cannot_be_packed_is_handled_on_its_own() {
    let narrow = DeviceProfile { max_binding_bytes: 4 << 10, ..profile().clone() };
    let run = |packed: bool| {
        let (g, loss, parameters) = awkward().unwrap();
        let tape = g.training_step(loss, &AllAtOnce(packed)).unwrap();
        let mut session = checked(&tape, tape.plan(&narrow).unwrap());
        session.replay_n(3).unwrap();
        (bits(&session, &parameters), session, tape, parameters)
    };
    let (found, session, tape, parameters) = run(true);
    assert_eq!(found, run(false).0);
    let plan = session.plan().unwrap();
    let buffer = |v: Value| plan.value(v).unwrap().buffer;
    let gradient = |i: usize| tape.gradient(parameters[i]).unwrap();
    assert_eq!(tape.gradient(parameters[3]), tape.gradient(parameters[4]), "they are tied");
    let arena = buffer(parameters[0]);
    for member in [1, 2, 3, 7] {
        assert_eq!(buffer(parameters[member]), arena, "{plan}");
        assert_eq!(buffer(gradient(member)), buffer(gradient(0)), "{plan}");
    }
    // The second that has the gradient, and the one that fills a binding.
    for alone in [4, 6] {
        assert_ne!(buffer(parameters[alone]), arena, "{plan}");
        assert_eq!(plan.value(parameters[alone]).unwrap().offset, 0);
    }
    // The run, `twin` and `large`; `given`, whose gradient is computed too, is in the run.
    assert_eq!(updates(plan).len(), 3, "{plan}");
}

/// Gradients that are inputs or parameters stay where they are.
#[test]
fn persistent_gradients_are_not_packed() {
    let run = |packed: bool| {
        let mut g = Graph::new();
        let given = g.input("given", [5]);
        let w: Vec<Value> = (0..5).map(|i| g.parameter(&format!("w{i}"), [5], Init::Ones)).collect();
        let computed = [g.exp(w[0]).unwrap(), g.tanh(w[1]).unwrap()];
        let constant = g.constant([5], &[2.0f32; 5]).unwrap();
        let pairs = [(w[0], computed[0]), (w[1], computed[1]), (w[2], given), (w[3], constant)];
        record_group(&g, &pairs, packed).unwrap();
        let tape = g.forward(Vec::new()).unwrap();
        let mut session = checked(&tape, tape.plan(profile()).unwrap());
        session.write(given, &[1.0, 2.0, 3.0, 4.0, 5.0]).unwrap();
        session.replay_n(2).unwrap();
        (bits(&session, &w[..4]), session)
    };
    let (found, session) = run(true);
    assert_eq!(found, run(false).0);
    assert_eq!(updates(session.plan().unwrap()).len(), 3);
}

/// A pack never exceeds a binding or a buffer: it is split, in every class at the same parameters.
#[test]
fn packs_are_split_at_the_size_of_bindings() {
    for narrow in [
        DeviceProfile { max_binding_bytes: 4096, ..profile().clone() },
        DeviceProfile { max_buffer_bytes: 4096, ..profile().clone() },
    ] {
        let session = trains_alike(|| graph(&SIZES), &narrow);
        let plan = session.plan().unwrap();
        let runs = updates(plan).len();
        assert!((3..10).contains(&runs), "{plan}");
        assert!(plan.buffers.iter().all(|b| b.bytes <= 4096), "{plan}");
        assert!(plan.dispatches.iter().flat_map(|d| &d.bindings).all(|b| b.bytes <= 4096), "{plan}");
    }
}

/// Scale and shift of batch normalisation: one kernel writes both gradients, into one buffer.
#[test]
fn a_kernel_may_write_two_members() {
    let record = || {
        let mut g = Graph::new();
        let x = g.constant([4, 7, 3], &common::data::noise(84, 3, -1.0, 1.0))?;
        let scale = g.parameter("scale", [7], Init::Ones);
        let shift = g.parameter("shift", [7], Init::Zeros);
        let y = g.batch_norm(x, Some(scale), Some(shift), 1e-5)?.y();
        let loss = g.mean(g.square(g.tanh(y)?)?, &[], false)?;
        Ok((g, loss, vec![scale, shift]))
    };
    let session = trains_alike(record, profile());
    let plan = session.plan().unwrap();
    let twice = |d: &&Dispatch| {
        let written: Vec<_> = d.bindings.iter().filter(|b| b.access == Access::ReadWrite).collect();
        written.len() == 2 && written[0].buffer == written[1].buffer
    };
    assert_eq!(plan.dispatches.iter().filter(twice).count(), 1, "{plan}");
    assert_eq!(updates(plan).len(), 1, "{plan}");
}

/// Layers whose kernels write several gradients, and an optimiser that clips them, which it would do in
/// place if they were not to lie side by side.
#[test]
fn a_recurrent_step_with_clipping_is_updated_in_few_dispatches() {
    let run = |packed: bool| {
        let mut g = Graph::new();
        let x = g.input("x", [3, 5, 4]);
        let model = Sequential::new().add(Lstm::new(7)).add(Dense::new(6)).add(Dense::new(1));
        let y = model.record(&mut g, x, Mode::Training).unwrap();
        let loss = g.mean(g.square(y).unwrap(), &[], false).unwrap();
        let optimizer = Momentum { packed }.clip(Clip::GlobalNorm(0.01));
        let tape = g.training_step(loss, &optimizer).unwrap();
        let mut session = checked(&tape, tape.plan(profile()).unwrap());
        session.write(x, &common::data::noise(60, 8, -1.0, 1.0)).unwrap();
        poison(&session);
        assert!(session.verify(&[]).unwrap().passes());
        session.replay_n(3).unwrap();
        (bits(&session, &g.parameters()), session)
    };
    let ((found, session), (expected, apart)) = (run(true), run(false));
    assert_eq!(found, expected);
    let count = |session: &Session| updates(session.plan().unwrap()).len();
    assert_eq!((count(&session), count(&apart)), (1, found.len()), "{}", session.plan().unwrap());
}

/// Records the update of four parameters, of whose gradients one is computed from another, and after it
/// what writes the last parameter from the first.
fn entangled(packed: bool) -> Result<(Tape, Vec<Value>)> {
    let mut g = Graph::new();
    let w: Vec<Value> =
        (0..4).map(|i| g.parameter(&format!("w{i}"), [9], Init::Constant(i as f32))).collect();
    let first = g.exp(w[0])?;
    let gradients = [first, g.apply1(Twice, &[first])?, g.tanh(w[2])?, g.sigmoid(w[3])?];
    let pairs: Vec<(Value, Value)> = w.iter().copied().zip(gradients).collect();
    record_group(&g, &pairs, packed)?;
    g.apply(SetTwice, &[w[0], w[3]])?;
    Ok((g.forward(Vec::new())?, w))
}

/// Values that a kernel reads and writes at once are in different buffers, which graphics APIs ask for.
#[test]
fn a_kernel_never_reads_and_writes_one_buffer() {
    let run = |packed: bool| {
        let (tape, w) = entangled(packed).unwrap();
        let mut session = checked(&tape, tape.plan(profile()).unwrap());
        session.replay_n(2).unwrap();
        (bits(&session, &w), session, w)
    };
    let (found, session, w) = run(true);
    assert_eq!(found, run(false).0);
    let plan = session.plan().unwrap();
    let buffer = |v: Value| plan.value(v).unwrap().buffer;
    assert_eq!(buffer(w[0]), buffer(w[2]), "{plan}");
    assert!(buffer(w[1]) != buffer(w[0]) && buffer(w[3]) != buffer(w[0]), "{plan}");
    assert_eq!(updates(plan).len(), 3, "{plan}");
}

/// A second operator over the same parameters uses the layout that the first one gave them.
#[test]
fn two_operators_may_pack_the_same_parameters() {
    let run = |packed: bool| {
        let mut g = Graph::new();
        let w: Vec<Value> = (0..4).map(|i| g.parameter(&format!("w{i}"), [9], Init::Ones)).collect();
        for number in 0..2 {
            let factor = g.scalar_constant(number as f32 + 0.5);
            let pairs: Vec<(Value, Value)> = w.iter().map(|&w| (w, g.mul(w, factor).unwrap())).collect();
            record_group(&g, &pairs, packed).unwrap();
        }
        let tape = g.forward(Vec::new()).unwrap();
        let mut session = checked(&tape, tape.plan(profile()).unwrap());
        session.replay_n(2).unwrap();
        (bits(&session, &w), session)
    };
    let (found, session) = run(true);
    assert_eq!(found, run(false).0);
    assert_eq!(updates(session.plan().unwrap()).len(), 2);
}

/// What an operator may not ask for, and may not bind.
#[derive(Debug)]
struct Wrong(Vec<Range<usize>>, Option<Slot>);

impl Op for Wrong {
    fn name(&self) -> &'static str {
        "wrong"
    }

    fn outputs(&self, inputs: &[TensorType]) -> Result<Vec<TensorType>> {
        Ok(vec![inputs[0]])
    }

    fn packs(&self) -> Vec<Range<usize>> {
        self.0.clone()
    }

    fn lower(&self, cx: &mut Lowering<'_>) -> Result<()> {
        if let Some(slot) = self.1 {
            cx.call(twice::call(1, [slot, Slot::Output(0)]));
        }
        Ok(())
    }

    fn reference(&self, cx: &Reference<'_>) -> Vec<Array> {
        vec![cx.inputs[0].clone()]
    }
}

#[test]
fn classes_that_do_not_match_are_refused() {
    let plan = |packs: &[[usize; 2]], slot: Option<Slot>| {
        let mut g = Graph::new();
        let sizes = [4, 6, 4, 8].into_iter().enumerate();
        let inputs: Vec<Value> = sizes.map(|(i, n)| g.parameter(&format!("w{i}"), [n], Init::Ones)).collect();
        let packs = packs.iter().map(|&[start, end]| start..end).collect();
        let y = g.apply1(Wrong(packs, slot), &inputs).unwrap();
        g.forward([y]).unwrap().plan(&DeviceProfile::baseline())
    };
    let cases: [(&[[usize; 2]], usize, usize); 3] =
        [(&[[0, 1], [2, 4]], 0, 1), (&[[0, 2], [2, 3]], 1, 1), (&[[3, 5]], 0, 1)];
    for (packs, class, position) in cases {
        let error = plan(packs, None).unwrap_err();
        let found = match &error {
            Error::PackMismatch { op: "wrong", class, position } => (*class, *position),
            other => panic!("{packs:?}: {other}"),
        };
        assert_eq!(found, (class, position), "{packs:?}");
    }
    assert!(plan(&[[0, 1], [2, 3]], None).is_ok());
    // Only runs are bound through.
    assert!(plan(&[[0, 4]], Some(Slot::Inputs(0, 3))).is_ok());
    let message = plan(&[[0, 4]], Some(Slot::Inputs(0, 2))).unwrap_err().to_string();
    assert!(message.contains("no Inputs(0, 2)"), "{message}");
}

/// A result twice as large as its operand, whose buffer it would take over if that were as large.
#[derive(Debug)]
struct Spread;

impl Op for Spread {
    fn name(&self) -> &'static str {
        "spread"
    }

    fn outputs(&self, inputs: &[TensorType]) -> Result<Vec<TensorType>> {
        Ok(vec![TensorType::f32([2 * inputs[0].numel()])])
    }

    fn in_place(&self, _: &[TensorType]) -> Vec<usize> {
        vec![0]
    }

    fn lower(&self, _: &mut Lowering<'_>) -> Result<()> {
        Ok(())
    }

    fn reference(&self, cx: &Reference<'_>) -> Vec<Array> {
        vec![Array::full(cx.outputs[0].shape, 0.0)]
    }
}

/// The buffer of two values is as large as a result, but it is not one operand's.
#[test]
fn no_result_takes_a_pack_over() {
    let mut g = Graph::new();
    let w: Vec<Value> = (0..2).map(|i| g.parameter(&format!("w{i}"), [4], Init::Ones)).collect();
    let pairs: Vec<(Value, Value)> = w.iter().map(|&w| (w, g.exp(w).unwrap())).collect();
    record_group(&g, &pairs, true).unwrap();
    let y = g.apply1(Spread, &[pairs[1].1]).unwrap();
    let tape = g.forward([y]).unwrap();
    let plan = tape.plan(&DeviceProfile { offset_alignment: 16, ..DeviceProfile::baseline() }).unwrap();
    assert_eq!(plan.value(pairs[1].1).unwrap().offset, 16, "{plan}");
    assert_eq!(plan.value(y).unwrap().aliases, None, "{plan}");
}

/// An evaluation over the parameters of [`graph`], each times 3.
fn evaluation(sizes: &[usize]) -> Result<(Tape, Vec<Value>, Vec<Value>)> {
    let mut g = Graph::new();
    let parameters: Vec<Value> =
        sizes.iter().enumerate().map(|(i, &n)| g.parameter(&format!("w{i}"), [n], Init::Zeros)).collect();
    let tripled: Vec<Value> =
        parameters.iter().map(|&w| g.mul(w, g.scalar_constant(3.0))).collect::<Result<_>>()?;
    Ok((g.forward(tripled.clone())?, parameters, tripled))
}

fn training(packed: bool) -> (Tape, Vec<Value>) {
    let (g, loss, parameters) = graph(&SIZES).unwrap();
    (g.training_step(loss, &Momentum { packed }).unwrap(), parameters)
}

fn sharing<'a>(with: &'a Session) -> SessionOptions<'a> {
    guarded(SessionOptions::new().seed(9)).share_parameters(with)
}

/// The evaluation sees what packed training writes, at once and without a copy; and the other way round.
#[test]
fn an_evaluation_shares_packed_parameters() {
    let (tape, trained) = training(true);
    let mut session = checked(&tape, tape.plan(profile()).unwrap());
    let (eval, own, tripled) = evaluation(&SIZES).unwrap();
    let mut evaluated = eval.session_with(common::gpu(), sharing(&session)).unwrap();
    poison(&evaluated);
    assert_eq!(bits(&session, &trained), bits(&evaluated, &own));
    session.replay_n(3).unwrap();
    evaluated.replay().unwrap();
    assert_eq!(bits(&session, &trained), bits(&evaluated, &own));
    for (&w, &y) in trained.iter().zip(&tripled) {
        let expected: Vec<f32> = session.read(w).unwrap().iter().map(|w| 3.0 * w).collect();
        assert_eq!(evaluated.read(y).unwrap(), expected);
    }
    evaluated.set_parameter("w3", &[1.0, 2.0, 3.0, 4.0, 5.0]).unwrap();
    assert_eq!(session.parameter("w3").unwrap(), [1.0, 2.0, 3.0, 4.0, 5.0]);
    assert!(evaluated.verify(&[]).unwrap().passes());
    assert_eq!(bits(&session, &trained), bits(&evaluated, &own));
    assert!(broken_guards(&session).unwrap().is_empty() && broken_guards(&evaluated).unwrap().is_empty());
    let [a, b] = [session.buffer(trained[5]).unwrap(), evaluated.buffer(own[5]).unwrap()];
    assert_eq!((a.buffer, a.offset, a.bytes), (b.buffer, b.offset, b.bytes));
}

/// Two trainings of one layout use one buffer, velocities included, and take turns.
#[test]
fn two_packed_trainings_share_everything() {
    let (tape, trained) = training(true);
    let mut alone = checked(&tape, tape.plan(profile()).unwrap());
    let mut first = checked(&tape, tape.plan(profile()).unwrap());
    let (other, theirs) = training(true);
    let mut second = other.session_with(common::gpu(), sharing(&first).fuse(false)).unwrap();
    assert_eq!(updates(second.plan().unwrap()).len(), 1);
    assert_eq!(second.plan().unwrap().peak_bytes(), first.plan().unwrap().peak_bytes());
    for _ in 0..2 {
        first.replay().unwrap();
        second.replay().unwrap();
    }
    alone.replay_n(4).unwrap();
    assert_eq!(bits(&first, &trained), bits(&alone, &trained));
    assert_eq!(bits(&second, &theirs), bits(&alone, &trained));
}

/// A training that would pack, beside a session that has the parameters elsewhere: it does without, and
/// gives the same numbers.
#[test]
fn a_packing_gives_way_to_another_sessions_layout() {
    let (tape, trained) = training(true);
    let alone = |steps: usize| {
        let mut session = tape.session_with(common::gpu(), SessionOptions::new().seed(5)).unwrap();
        session.replay_n(steps).unwrap();
        bits(&session, &trained)
    };
    // An evaluation has every parameter in a buffer of its own; velocities are the training's.
    let (eval, own, _) = evaluation(&SIZES).unwrap();
    let mut evaluated = eval.session_with(common::gpu(), guarded(SessionOptions::new())).unwrap();
    let start = tape.session_with(common::gpu(), SessionOptions::new().seed(5)).unwrap();
    for (&w, &v) in trained.iter().zip(&own) {
        evaluated.write(v, &start.read(w).unwrap()).unwrap();
    }
    let mut session = tape.session_with(common::gpu(), sharing(&evaluated)).unwrap();
    let plan = session.plan().unwrap();
    assert_eq!(updates(plan).len(), 30, "{plan}");
    assert_eq!(simulate(session.replayed(), plan), Ok(()), "{plan}");
    poison(&session);
    session.replay_n(3).unwrap();
    assert_eq!(bits(&evaluated, &own), alone(3));
    assert!(broken_guards(&session).unwrap().is_empty());

    // A packed training of only some parameters, in another order: its neighbours stay neighbours.
    let mut g = Graph::new();
    let order = [20, 21, 22, 3, 4, 5, 0, 9];
    let pairs: Vec<(Value, Value)> = order
        .into_iter()
        .map(|i: usize| {
            let w = g.parameter(&format!("w{i}"), [SIZES[i]], Init::Constant(i as f32));
            (w, g.tanh(w).unwrap())
        })
        .collect();
    record_group(&g, &pairs, true).unwrap();
    let other = g.forward(Vec::new()).unwrap();
    let other = checked(&other, other.plan(profile()).unwrap());
    let mut session = tape.session_with(common::gpu(), sharing(&other)).unwrap();
    let plan = session.plan().unwrap();
    // `w3 w4 w5`, `w20 w21 w22`, `w0 w9`, and the 22 others together.
    assert_eq!(updates(plan).len(), 4, "{plan}");
    assert_eq!(simulate(session.replayed(), plan), Ok(()), "{plan}");
    poison(&session);
    assert!(session.verify(&[]).unwrap().passes());
    session.replay().unwrap();
    for (i, &(w, _)) in order.into_iter().zip(&pairs) {
        assert_eq!(bits(&session, &[trained[i]]), bits(&other, &[w]));
    }
}

/// What two values in one buffer of the other session make impossible is said by name.
#[test]
fn what_cannot_be_shared_is_refused() {
    let (tape, _) = training(true);
    let session = checked(&tape, tape.plan(profile()).unwrap());
    let mut g = Graph::new();
    let [a, b] = ["w21", "w22"].map(|name| g.parameter(name, [1], Init::Zeros));
    g.apply(SetTwice, &[a, b]).unwrap();
    let writes = g.forward(Vec::new()).unwrap();
    assert!(writes.session(common::gpu()).is_ok());
    let error = writes.session_with(common::gpu(), sharing(&session)).err().unwrap();
    assert!(matches!(error, Error::Share { .. }), "{error}");
    let message = error.to_string();
    assert!(["`set_twice`", "`w21`", "`w22`"].iter().all(|name| message.contains(name)), "{message}");

    // A plan made for no one in particular has its values elsewhere.
    let (eval, ..) = evaluation(&SIZES).unwrap();
    let plan = eval.plan(profile()).unwrap();
    let error = session_with_plan(&eval, common::gpu(), plan, sharing(&session)).err().unwrap();
    assert!(error.to_string().contains("in another place"), "{error}");
}

/// The CPU path knows nothing of buffers.
#[test]
fn the_cpu_path_is_the_same() {
    let run = |packed: bool| {
        let (tape, parameters) = training(packed);
        let mut session = tape.session(&Device::reference()).unwrap();
        session.replay_n(2).unwrap();
        bits(&session, &parameters)
    };
    assert_eq!(run(true), run(false));
}

/// The update alone, on parameters and gradients that nothing else touches.
#[test]
fn an_operator_without_gradients_to_wait_for_is_packed() {
    let g = Graph::new();
    let state = |name: &str, i: usize| g.state(&format!("{name}{i}"), [3], Init::Constant(i as f32));
    let names = ["w", "u", "d"];
    let inputs: Vec<Value> = names.iter().flat_map(|name| (0..4).map(|i| state(name, i))).collect();
    g.apply(MomentumUpdate::new(4, true), &inputs).unwrap();
    let tape = g.forward(Vec::new()).unwrap();
    let session = checked(&tape, tape.plan(profile()).unwrap());
    let plan = session.plan().unwrap();
    assert_eq!((updates(plan).len(), plan.buffers.len()), (1, 3), "{plan}");
}
