//! The tape and the plan are plain data: listings, buffer sharing and limits, without a GPU.

use crate::common::momentum::Momentum;
use crate::common::simulate::simulate;
use retape::ops::{Binary, RecurrentRoute, Reduction, Unary};
use retape::prelude::*;
use retape::random::Stream;
use retape::tape::{BufferRole, DeviceKind, DeviceProfile, Plan};
use retape::{Error, Result};

fn mlp(batch: usize, width: usize) -> Result<(Graph, Value, Value)> {
    let mut g = Graph::new();
    let x = g.input("x", [batch, 6]);
    let t = g.targets("t", [batch, 3]);
    let hidden = g.layer("hidden", |g| {
        let w = g.parameter("hidden.w", [6, width], Init::HeNormal);
        let b = g.parameter("hidden.b", [width], Init::Zeros);
        g.relu(g.add(g.matmul(x, w)?, b)?)
    })?;
    let y = g.layer("output", |g| {
        let w = g.parameter("output.w", [width, 3], Init::GlorotUniform);
        g.matmul(hidden, w)
    })?;
    let loss = g.mean(g.square(g.sub(y, t)?)?, &[], false)?;
    Ok((g, y, loss))
}

/// A random network over `[4, 4]` values: each step applies an operator to earlier values.
fn random_graph(steps: &[(u8, u8, u8)], optimizer: &dyn Optimizer) -> Result<Tape> {
    let mut g = Graph::new();
    let mut values = vec![g.input("x", [4, 4])];
    for i in 0..3 {
        values.push(g.parameter(&format!("w{i}"), [4, 4], Init::GlorotUniform));
    }
    for &(op, a, b) in steps {
        let (a, b) = (values[a as usize % values.len()], values[b as usize % values.len()]);
        values.push(match op % 14 {
            0 => g.unary(Unary::Tanh, a, &[])?,
            1 => g.unary(Unary::Relu, a, &[])?,
            2 => g.binary(Binary::Mul, a, b)?,
            3 => g.matmul(a, b)?,
            4 => g.reshape(g.reshape(a, [2, 8])?, [4, 4])?,
            5 => g.transpose(a, &[1, 0])?,
            6 => g.add(a, g.reduce(Reduction::Mean, b, &[0], false)?)?,
            7 => g.slice_axis(g.concat(&[a, b], 0)?, 0, 2..6)?,
            8 => g.sub(g.stop_gradient(a)?, b)?,
            9 => g.select(g.greater(a, b)?, a, b)?,
            10 => g.unary(Unary::Square, a, &[])?,
            // A reduction and a product that need scratch space.
            11 => {
                let wide = g.broadcast_to(g.sum(b, &[], false)?, [16_384 * 4])?;
                g.add(a, g.mean(wide, &[], false)?)?
            }
            12 => {
                let long = g.broadcast_to(g.reshape(b, [1, 16])?, [2048, 16])?;
                let long = g.reshape(long, [4, 8192])?;
                g.add(a, g.matmul_with(long, long, false, true)?)?
            }
            _ => g.softplus(g.neg(a)?)?,
        });
    }
    let used = values[4..].iter().chain(&values[1..4]);
    let total = used.copied().try_fold(values[1], |sum, v| g.add(sum, v))?;
    let loss = g.mean(g.square(total)?, &[], false)?;
    g.keep(values[values.len() / 2])?;
    g.training_step(loss, optimizer)
}

#[test]
fn no_live_value_is_overwritten() {
    let optimizers: [&dyn Optimizer; 2] = [&Sgd::new(0.1).momentum(0.9), &Momentum { packed: true }];
    for case in 0..200 {
        let random = Stream { seed: case, step: 0, stream: 0 };
        let step = |i| random.words(i).map(|word| (word >> 24) as u8);
        let count = 1 + random.words(0)[0] % 29;
        let steps: Vec<_> = (1..=count).map(step).map(|[op, a, b, _]| (op, a, b)).collect();
        for optimizer in optimizers {
            let tape = random_graph(&steps, optimizer).unwrap();
            let plan = tape.plan(&DeviceProfile::baseline()).unwrap();
            assert_eq!(simulate(&tape, &plan), Ok(()), "case {case}: {steps:?}");
            assert!(plan.peak_bytes() <= plan.unshared_bytes() + 16 * 4096, "case {case}: {steps:?}");
            let again = random_graph(&steps, optimizer).unwrap().plan(&DeviceProfile::baseline()).unwrap();
            assert_eq!(numbers(&plan), numbers(&again), "case {case}: {steps:?}");
        }
    }
}

/// All that a plan decides.
fn numbers(plan: &Plan) -> String {
    let dispatches: Vec<_> = plan.dispatches.iter().map(|d| (d.op, d.groups, &d.bindings)).collect();
    format!("{:?}", (&plan.buffers, dispatches))
}

/// The random networks reach operators that need scratch space, which is no value's buffer.
#[test]
fn scratch_is_part_of_the_property() {
    for op in [11, 12] {
        let tape = random_graph(&[(op, 0, 1)], &Sgd::new(0.1).momentum(0.9)).unwrap();
        let plan = tape.plan(&DeviceProfile::baseline()).unwrap();
        let dispatches = |index: usize| plan.dispatches.iter().filter(move |d| d.op == index).count();
        let forward =
            (0..tape.ops().len()).filter(|&i| ["mean", "matmul"].contains(&tape.ops()[i].op.name()));
        assert!(forward.map(dispatches).any(|count| count > 1), "op {op} needs no scratch:\n{plan}");
    }
}

/// The simulation would notice: every way of moving one written result into a buffer that is
/// still needed is found.
#[test]
fn the_simulation_finds_broken_plans() {
    let (g, _, loss) = mlp(4, 8).unwrap();
    let tape = g.training_step(loss, &Sgd::new(0.1)).unwrap();
    let plan = tape.plan(&DeviceProfile::baseline()).unwrap();
    assert_eq!(simulate(&tape, &plan), Ok(()));
    let mut found = 0;
    for value in 0..plan.values.len() {
        for buffer in 0..plan.buffers.len() {
            let mut broken = plan.clone();
            if broken.buffers[buffer].role == BufferRole::Transient && broken.values[value].buffer != buffer {
                broken.values[value].buffer = buffer;
                found += usize::from(simulate(&tape, &broken).is_err());
            }
        }
    }
    assert!(found > 20, "only {found} broken plans were noticed");
    let mut clash = plan.clone();
    let buffer = clash.dispatches[0].bindings[0].buffer;
    clash.dispatches[0].bindings[2].buffer = buffer;
    assert!(simulate(&tape, &clash).is_err());
}

#[test]
fn the_listing_is_a_snapshot() {
    let listing = || {
        let (g, _, loss) = mlp(4, 8).unwrap();
        g.training_step(loss, &Sgd::new(0.1)).unwrap().to_string()
    };
    assert_eq!(listing(), listing());
    assert_eq!(listing(), include_str!("../snapshots/mlp.txt"), "the new listing:\n{}", listing());
}

/// A value is the same `%7` on the tape, in the plan and in messages.
#[test]
fn a_value_has_one_number() {
    let mut g = Graph::new();
    let (x, table) = (g.input("x", [3]), g.constant([3], &[1.0f32, 2.0, 3.0]).unwrap());
    let y = g.mul(g.exp(x).unwrap(), table).unwrap();
    let tape = g.forward([y]).unwrap();
    let plan = tape.plan(&DeviceProfile::baseline()).unwrap();
    let (listing, plan_listing) = (tape.to_string(), plan.to_string());
    for value in &plan.values {
        let name = tape.value(value.value).unwrap().name.clone().unwrap_or(format!("{:?}", value.value));
        assert_eq!(value.name, name);
        assert!(listing.contains(&format!("{name}[3]")), "{name} is not in:\n{listing}");
        assert!(plan_listing.contains(&name), "{name} is not in:\n{plan_listing}");
    }
    let refused = g.assign(y, x).unwrap_err().to_string();
    assert!(refused.contains(&format!("`{y:?}`")), "{refused}");
    assert!(listing.contains(&format!("-> {y:?}[3]")), "{listing}");
}

/// An optimiser's operator takes all parameters, their states and gradients: hundreds.
#[test]
fn listings_of_large_networks_stay_narrow() {
    let mut g = Graph::new();
    let x = g.input("x", [2, 3, 64, 64]);
    let labels = g.labels("labels", [2]);
    let y = architectures::resnet50(1000).record(&mut g, x, Mode::Training).unwrap();
    let loss = g.softmax_cross_entropy(y, labels).unwrap();
    let tape = g.training_step(loss, &Adam::new(1e-3)).unwrap();
    let plan = tape.plan(&DeviceProfile::baseline()).unwrap();
    let (tape, plan) = (tape.to_string(), plan.to_string());
    for line in tape.lines().chain(plan.lines()) {
        assert!(line.chars().count() <= 160, "{} columns: {line}", line.chars().count());
    }
    assert!(
        tape.lines().any(|line| line.contains(" .. ") && line.contains(" (")),
        "nothing is elided:\n{tape}"
    );
}

#[test]
fn buffers_are_shared_and_in_place_variants_are_used() {
    let mut g = Graph::new();
    let x = g.input("x", [64, 64]);
    let mut y = x;
    for _ in 0..10 {
        y = g.tanh(g.add(y, g.scalar_constant(1.0)).unwrap()).unwrap();
    }
    let plan = g.forward([y]).unwrap().plan(&DeviceProfile::baseline()).unwrap();
    let transient = plan.role_bytes(BufferRole::Transient);
    assert_eq!(transient, 64 * 64 * 4, "one buffer carries the whole chain:\n{plan}");
    assert_eq!(plan.dispatches.iter().filter(|d| d.bindings.len() == 1).count(), 10, "tanh works in place");
}

/// As captured between the engine and a driver: wgpu sets no barrier between dispatches that share no buffer, and
/// one before each that reads what the one before wrote.
#[test]
fn dispatches_wait_for_what_they_read() {
    let mut g = Graph::new();
    let xs: Vec<Value> = (0..8).map(|i| g.input(&format!("x{i}"), [64, 64])).collect();
    let sums: Vec<Value> = xs.iter().map(|&x| g.sum(x, &[1], false).unwrap()).collect();
    let product = |y, &x| g.matmul(y, x).unwrap();
    let last = xs[1..].iter().fold(xs[0], product);
    let profile = DeviceProfile::baseline();
    let waits = |outputs: Vec<Value>| g.forward(outputs).unwrap().plan(&profile).unwrap().barriers();
    assert_eq!(waits(sums), 0);
    assert_eq!(waits(vec![last]), 6);
    // Both gradients of a product read the same, and wait for that once.
    let w = g.parameter("w", [64, 64], Init::Ones);
    let y = g.exp(g.matmul(g.exp(xs[0]).unwrap(), w).unwrap()).unwrap();
    let [dx, dw] = g.differentiate(g.sum(y, &[], false).unwrap(), &[xs[0], w]).unwrap()[..] else { panic!() };
    let plan = g.forward([dx, dw]).unwrap().plan(&profile).unwrap();
    assert!(plan.barriers() + 2 <= plan.dispatches.len(), "{plan}");
}

#[test]
fn a_value_used_twice_is_not_taken_over() {
    let mut g = Graph::new();
    let x = g.input("x", [8]);
    let y = g.exp(x).unwrap();
    let z = g.mul(y, y).unwrap();
    let w = g.add(g.tanh(z).unwrap(), z).unwrap();
    let tape = g.forward([w]).unwrap();
    let plan = tape.plan(&DeviceProfile::baseline()).unwrap();
    assert_eq!(simulate(&tape, &plan), Ok(()));
}

/// Each limit of the device is checked before anything is allocated, by the layer's name.
#[test]
fn every_limit_is_reported_with_the_layer() {
    let (g, _, loss) = mlp(64, 512).unwrap();
    let tape = g.training_step(loss, &Sgd::new(0.1)).unwrap();
    let base = DeviceProfile::baseline();
    let cases = [
        ("storage binding size", DeviceProfile { max_binding_bytes: 64 * 512 * 4 - 16, ..base.clone() }),
        ("buffer size", DeviceProfile { max_buffer_bytes: 64 * 512 * 4 - 16, ..base.clone() }),
        ("storage buffers", DeviceProfile { max_storage_buffers: 2, ..base.clone() }),
        ("workgroups in a dimension", DeviceProfile { max_workgroups: 1, ..base.clone() }),
        ("invocations", DeviceProfile { max_invocations: 32, ..base.clone() }),
        ("workgroup size along x", DeviceProfile { max_workgroup_size: [4, 256, 64], ..base.clone() }),
        ("bytes of kernel parameters", DeviceProfile { max_param_bytes: 8, ..base.clone() }),
    ];
    for (what, profile) in cases {
        let error = tape.plan(&profile).expect_err(what);
        let text = error.to_string();
        assert!(matches!(error, Error::Limit { .. }), "{text}");
        assert!(text.contains(what), "{what}: {text}");
        assert!(text.contains("hidden"), "{what} names its layer: {text}");
        assert!(text.contains("`baseline`"), "{what} names its device: {text}");
    }
}

#[test]
fn workgroup_memory_is_checked() {
    let mut g = Graph::new();
    let x = g.input("x", [4, 1000]);
    let y = g.layer("pool", |g| g.sum(x, &[1], false)).unwrap();
    let profile = DeviceProfile { max_workgroup_bytes: 512, ..DeviceProfile::baseline() };
    let error = g.forward([y]).unwrap().plan(&profile).expect_err("1 KiB is needed").to_string();
    assert!(error.contains("workgroup memory") && error.contains("`pool`"), "{error}");
}

/// A grid longer than 65,535 workgroups is folded, not refused.
#[test]
fn long_grids_are_folded() {
    let mut g = Graph::new();
    let x = g.input("x", [5000, 4001]);
    let y = g.sum(x, &[1], false).unwrap();
    let z = g.exp(x).unwrap();
    let plan = g.forward([y, z]).unwrap().plan(&DeviceProfile::baseline()).unwrap();
    assert!(plan.dispatches.iter().any(|d| d.groups[1] > 1));
    assert!(plan.dispatches.iter().all(|d| d.groups.iter().all(|&n| n <= 65_535)));
}

/// An update that reads a parameter late in the step, such as a running average of weights.
#[derive(Debug)]
struct Track;

impl retape::ops::Op for Track {
    fn name(&self) -> &'static str {
        "track"
    }

    fn outputs(&self, _: &[retape::TensorType]) -> Result<Vec<retape::TensorType>> {
        Ok(Vec::new())
    }

    fn mutates(&self) -> &[usize] {
        &[0]
    }

    fn lower(&self, _: &mut retape::ops::Lowering<'_>) -> Result<()> {
        Ok(())
    }

    fn reference(&self, cx: &retape::ops::Reference<'_>) -> Vec<retape::array::Array> {
        vec![cx.inputs[1].clone()]
    }
}

/// Records `Track` of each parameter, dependent on all gradients, and then plain descent.
#[derive(Debug)]
struct TrackThenDescend;

impl Optimizer for TrackThenDescend {
    fn record(&self, g: &Graph, gradients: &[(Value, Value)]) -> Result<()> {
        for &(w, _) in gradients {
            let sums: Vec<Value> =
                gradients.iter().map(|&(_, dw)| g.sum(dw, &[], false)).collect::<Result<_>>()?;
            let late = sums.into_iter().try_fold(g.scalar_constant(0.0), |sum, s| g.add(sum, s))?;
            g.apply(Track, &[g.slot(w, "average")?, w, late])?;
        }
        Sgd::new(0.1).record(g, gradients)
    }
}

/// Updates move up to where the old contents are no longer needed, but not past an update before
/// them that reads what they overwrite.
#[test]
fn updates_keep_their_order_where_it_matters() {
    // Wide enough that the first weight has an update of its own.
    let (g, _, loss) = mlp(4, 700_000).unwrap();
    let early = g.training_step(loss, &Sgd::new(0.1)).unwrap();
    let names: Vec<_> = early.ops().iter().map(|n| n.op.name()).collect();
    assert!(names.iter().position(|n| *n == "sgd") < names.iter().rposition(|n| *n == "matmul"), "{early}");

    let (g, _, loss) = mlp(4, 8).unwrap();
    let tape = g.training_step(loss, &TrackThenDescend).unwrap();
    for parameter in g.parameters() {
        let touching = |name: &str| {
            tape.ops().iter().position(|n| n.op.name() == name && n.inputs.contains(&parameter)).unwrap()
        };
        assert!(touching("track") < touching("sgd"), "{tape}");
    }
}

/// The dispatches of an LSTM's training step (32 sequences of 50 steps, 32 features, 64 units, a dense
/// unit on the last state) as a plan lists them.
fn lstm_step(route: RecurrentRoute, hidden: usize, profile: &DeviceProfile) -> Plan {
    let model = Sequential::new().add(Lstm::new(hidden).route(route)).add(Dense::new(1));
    let mut g = Graph::new();
    let x = g.input("x", [32, 50, 32]);
    let targets = g.targets("targets", [32, 1]);
    let y = model.record(&mut g, x, Mode::Training).expect("it records");
    let loss = g.mean_squared_error(y, targets).expect("it records");
    let tape = g.training_step(loss, &Adam::new(1e-3)).expect("it records");
    tape.plan(profile).expect("it fits")
}

#[test]
fn recurrent_steps_take_few_dispatches() {
    let gpu = DeviceProfile { max_workgroup_bytes: 32 << 10, ..DeviceProfile::baseline() };
    let cpu = DeviceProfile { kind: DeviceKind::Cpu, subgroups: Some((8, 8)), ..gpu.clone() };
    for profile in [gpu, cpu] {
        let whole = lstm_step(RecurrentRoute::Sequence, 64, &profile);
        println!("{whole}");
        assert!(whole.dispatches.len() <= 30, "{whole}");
        let steps = lstm_step(RecurrentRoute::Steps, 64, &profile);
        assert!(steps.dispatches.len() <= 4 * 50, "{steps}");
        let entries = |plan: &Plan| plan.dispatches.iter().map(|d| d.entry).collect::<Vec<_>>();
        assert_eq!(entries(&lstm_step(RecurrentRoute::Auto, 64, &profile)), entries(&whole));
        // More units than a workgroup has room for.
        let wide = lstm_step(RecurrentRoute::Auto, 512, &profile);
        assert!(entries(&wide).contains(&"forward_step"), "{wide}");
    }
}
