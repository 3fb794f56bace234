//! Profiles: a replay like any other, whose dispatches are timed.

use std::collections::BTreeSet;

use crate::common::{self, steps};
use retape::prelude::*;
use retape::session::Profile;
use retape::testing::probes;
use retape::{Clock, Error, ProfileOptions};

/// A training step with dropout, running statistics and an optimiser's moments, and its inputs.
fn network() -> (Tape, Vec<(Value, Vec<f32>)>) {
    let mut g = Graph::new();
    let x = g.input("x", [6, 3, 9, 9]);
    let t = g.targets("t", [6, 5]);
    let model = Sequential::new()
        .add(Conv2d::new(4, 3))
        .add(BatchNorm::new())
        .add(MaxPool2d::new(2))
        .add(Flatten)
        .add(Dropout::new(0.3))
        .add(Dense::new(5));
    let y = model.record(&mut g, x, Mode::Training).unwrap();
    let loss = g.mean_squared_error(y, t).unwrap();
    let tape = g.training_step(loss, &Adam::new(0.01)).unwrap();
    let data = |n: usize, seed: u32| common::data::noise(n, seed, -1.0, 1.0);
    (tape, vec![(x, data(6 * 3 * 81, 1)), (t, data(30, 2))])
}

fn session(device: &Device) -> Session {
    let (tape, inputs) = network();
    let mut session = tape.session(device).unwrap();
    inputs.iter().for_each(|(value, data)| session.write(*value, data).unwrap());
    session
}

/// All that a step leaves: parameters, states and what it keeps.
fn left(session: &Session) -> Vec<Vec<u32>> {
    let tape = session.tape();
    let values = tape.persistent().into_iter().chain(tape.kept());
    let read = |value| session.read(value).map(|data| data.iter().map(|x| x.to_bits()).collect());
    values.filter_map(|value| read(value).ok()).collect()
}

fn devices() -> [Device; 3] {
    [Device::reference(), Device::cpu(), common::gpu().clone()]
}

#[test]
fn a_profile_leaves_what_a_replay_leaves() {
    for device in devices() {
        for (repeats, host_clock) in [(1, false), (3, false), (2, true)] {
            let (mut replayed, mut profiled) = (session(&device), session(&device));
            for step in 1..4 {
                replayed.replay().unwrap();
                let options = ProfileOptions::new().repeats(repeats).host_clock(host_clock);
                let profile = profiled.profile_with(options).unwrap();
                assert_eq!(profile.repeats, repeats);
                assert_eq!((profiled.step(), profiled.updates()), (step, step));
                assert!(left(&replayed).len() > 8);
                assert_eq!(left(&replayed), left(&profiled), "{} repeats on {}", repeats, device.name());
            }
            // The next step goes on from there.
            replayed.replay().unwrap();
            profiled.replay().unwrap();
            assert_eq!(left(&replayed), left(&profiled));
        }
    }
}

/// What holds of every profile.
fn check(session: &Session, profile: &Profile) {
    let total = profile.total();
    assert!(total.microseconds > 0.0 && profile.rows.iter().all(|row| row.cost.microseconds >= 0.0));
    for groups in [profile.by_operator(), profile.by_layer(), profile.by_kernel()] {
        let sum: f64 = groups.groups.iter().map(|group| group.cost.microseconds).sum();
        assert!((sum - total.microseconds).abs() <= 1e-6 * sum, "{groups}");
        let longest_first = groups.groups.windows(2);
        assert!(longest_first.into_iter().all(|w| w[0].cost.microseconds >= w[1].cost.microseconds));
        assert_eq!(groups.groups.iter().map(|group| group.dispatches).sum::<usize>(), profile.rows.len());
    }
    let tape = session.replayed();
    let types = |values: &[Value]| values.iter().map(|&v| tape.value(v).unwrap().ty).collect::<Vec<_>>();
    let products = tape.ops().iter().map(|n| n.op.multiply_adds(&types(&n.inputs), &types(&n.outputs)));
    assert_eq!(total.multiply_adds, products.sum::<u64>());
    assert!(profile.rows.iter().all(|row| row.layer == tape.layer(&tape.ops()[row.op])));
}

#[test]
fn every_dispatch_has_a_row() {
    let device = common::gpu();
    let mut session = session(device);
    let profile = session.profile().unwrap();
    check(&session, &profile);
    let plan = session.plan().unwrap();
    assert_eq!(profile.rows.len(), plan.dispatches.len());
    for (row, dispatch) in profile.rows.iter().zip(&plan.dispatches) {
        assert_eq!((row.op, row.groups), (dispatch.op, dispatch.groups));
        assert_eq!(row.kernel, format!("{}:{}", dispatch.shader.name(), dispatch.entry));
        assert_eq!(
            (row.cost.multiply_adds, row.cost.bytes),
            (dispatch.work.multiply_adds, dispatch.work.bytes)
        );
    }
    let layers: BTreeSet<_> = profile.by_layer().groups.into_iter().map(|group| group.name).collect();
    for layer in ["conv2d", "batch_norm", "dense"] {
        assert!(layers.iter().any(|name| name.contains(layer)), "{layer} in {layers:?}");
    }
    let roofline = device.roofline().unwrap().unwrap();
    assert_eq!(profile.roofline, Some(roofline));
    assert!(profile.rows.iter().all(|row| row.cost.least_microseconds > 0.0), "{profile}");
    assert!(profile.to_string().contains("% of roof"));
}

#[test]
fn the_cpus_are_profiled_by_operator() {
    for device in [Device::cpu(), Device::reference()] {
        let mut session = session(&device);
        let profile = session.profile().unwrap();
        check(&session, &profile);
        assert_eq!(profile.clock, Clock::Host);
        assert_eq!(profile.roofline, device.roofline().unwrap());
        assert_eq!(profile.roofline.is_none(), device.name() == "reference");
        let kernels: BTreeSet<_> = profile.rows.iter().map(|row| &row.kernel[..]).collect();
        assert!(kernels.is_subset(&BTreeSet::from(["routine", "reference"])), "{kernels:?}");
        assert!(profile.rows.len() > 10);
    }
}

/// Times are of what they say: of two products, that of a thousand times the work takes longer by either clock, and all
/// of them together no longer than the host waits.
#[test]
fn times_are_those_of_the_dispatches() {
    let mut g = Graph::new();
    let (small, large) = (g.input("small", [20, 20]), g.input("large", [400, 400]));
    let first = g.layer("first", |g| g.matmul(small, small)).unwrap();
    let second = g.layer("second", |g| g.matmul(large, large)).unwrap();
    let tape = g.forward([first, second]).unwrap();
    for device in [Device::cpu(), common::gpu().clone()] {
        let mut session = tape.session(&device).unwrap();
        for host_clock in [false, true] {
            let options = ProfileOptions::new().repeats(3).host_clock(host_clock);
            // The roofline is measured before.
            session.profile_with(options).unwrap();
            let start = std::time::Instant::now();
            let profile = session.profile_with(options).unwrap();
            let host = start.elapsed().as_secs_f64() * 1e6;
            assert!(!host_clock || profile.clock == Clock::Host);
            assert!(profile.total().microseconds <= host, "{host} us: {profile}");
            assert_eq!(profile.by_layer().groups[0].name, "second", "{profile}");
        }
    }
}

/// A step of more dispatches than a set of queries has room for.
#[test]
fn long_steps_take_several_sets_of_queries() {
    let mut g = Graph::new();
    let x = g.input("x", [3, 3]);
    let mut y = x;
    for _ in 0..2100 {
        y = g.matmul(y, x).unwrap();
    }
    let mut session = g.forward([y]).unwrap().session(common::gpu()).unwrap();
    let turn = [0.0, 1.0, 0.0, 0.0, 0.0, 1.0, 1.0, 0.0, 0.0];
    session.write(x, &turn).unwrap();
    let profile = session.profile_with(ProfileOptions::new().repeats(1)).unwrap();
    assert_eq!(profile.rows.len(), 2100);
    // Of three turns nothing is left.
    assert_eq!(session.read(y).unwrap(), [0.0, 1.0, 0.0, 0.0, 0.0, 1.0, 1.0, 0.0, 0.0]);
    if profile.clock == Clock::Device {
        let timed = profile.rows.iter().filter(|row| row.cost.microseconds > 0.0).count();
        assert!(timed > 2000, "{timed} of 2100 dispatches have a time");
    }
}

#[test]
fn a_device_without_timestamps_is_profiled_by_the_hosts_clock() {
    use retape::wgpu;
    let mut descriptor = wgpu::InstanceDescriptor::new_without_display_handle();
    descriptor.flags = wgpu::InstanceFlags::empty();
    let instance = wgpu::Instance::new(descriptor);
    let name = common::gpu().name();
    let adapters = pollster::block_on(instance.enumerate_adapters(wgpu::Backends::all()));
    let adapter = adapters.into_iter().find(|adapter| adapter.get_info().name == name).unwrap();
    let wanted = wgpu::DeviceDescriptor {
        required_features: wgpu::Features::IMMEDIATES,
        required_limits: adapter.limits(),
        ..Default::default()
    };
    let (device, queue) = pollster::block_on(adapter.request_device(&wanted)).unwrap();
    let device = Device::from_wgpu(&adapter, device, queue).unwrap();
    let mut session = session(&device);
    let profile = session.profile().unwrap();
    assert_eq!(profile.clock, Clock::Host);
    check(&session, &profile);
    assert!(profile.rows.iter().all(|row| row.cost.microseconds > 0.0));
}

#[test]
fn a_trace_is_what_perfetto_reads() {
    let mut g = Graph::new();
    let x = g.input("x", [5, 5]);
    let y = g.layer("a \"quoted\\\" name\n", |g| g.exp(g.matmul(x, x)?)).unwrap();
    let mut session = g.forward([y, g.sum(y, &[], false).unwrap()]).unwrap().session(common::gpu()).unwrap();
    let profile = session.profile().unwrap();
    let folder = common::folder::Folder::new();
    let path = folder.0.join("trace.json");
    profile.write_trace(&path).unwrap();
    let text = std::fs::read_to_string(&path).unwrap();
    assert_eq!(text, profile.trace());
    let trace: serde_json::Value = serde_json::from_str(&text).unwrap();
    let events = trace["traceEvents"].as_array().unwrap();
    let of_kind = |kind: &str, track: u32| {
        let fits = |event: &&serde_json::Value| event["ph"] == kind && event["tid"] == track;
        events.iter().filter(fits).collect::<Vec<_>>()
    };
    let dispatches = of_kind("X", 1);
    assert_eq!(dispatches.len(), profile.rows.len());
    let mut end = 0.0;
    for (event, row) in dispatches.iter().zip(&profile.rows) {
        let time = |key: &str| event[key].as_f64().unwrap();
        assert!((time("ts") - end).abs() < 2e-3 * (1.0 + profile.rows.len() as f64), "{event}");
        end = time("ts") + time("dur");
        assert_eq!(event["name"], row.operator.as_str());
        assert_eq!(event["args"]["kernel"], row.kernel.as_str());
        assert_eq!(event["args"]["multiply_adds"], row.cost.multiply_adds);
    }
    let layers = of_kind("X", 2);
    assert!(layers.iter().any(|event| event["name"] == "a \"quoted\\\" name\n"), "{text}");
    assert_eq!(of_kind("M", 1).len(), 1);

    let missing = profile.write_trace(folder.0.join("no/such/folder")).unwrap_err();
    assert!(matches!(missing, Error::Io { .. }), "{missing}");
    let none = session.profile_with(ProfileOptions::new().repeats(0)).unwrap_err();
    assert!(matches!(none, Error::Argument { argument: "repeats", .. }), "{none}");
    assert_eq!(session.step(), 1);
}

/// The probes compute what they say, whole and ragged, so that nothing of their work is left out.
#[test]
fn probes_compute_what_they_are_to() {
    for device in [Device::cpu(), common::gpu().clone()] {
        for (rows, loops) in [(1, 1), (67, 2), (256, 3), (1021, 16)] {
            for tape in probes(rows, loops) {
                let tape = tape.unwrap();
                let mut session = tape.session(&device).unwrap();
                let x = tape.persistent()[0];
                session.write(x, &common::data::noise(4 * rows, 3, -1.0, 1.0)).unwrap();
                let found = session.verify(&[]).unwrap();
                assert!(found.passes(), "{} {rows} {loops}\n{found}", device.name());
            }
        }
        // A loop more is another result.
        let last = |loops| {
            let [_, tape] = probes(67, loops);
            let tape = tape.unwrap();
            let mut session = tape.session(&device).unwrap();
            session.write(tape.persistent()[0], &[3.0; 4 * 67]).unwrap();
            session.replay().unwrap();
            let y = tape.kept().next().unwrap();
            session.read(y).unwrap()[4 * 67 - 1]
        };
        assert!((last(2) - last(3)).abs() > 0.05);
    }
}

#[test]
fn a_roofline_is_measured_once() {
    for device in [Device::cpu(), common::gpu().clone()] {
        let first = device.roofline().unwrap().unwrap();
        assert!(first.gflops > 0.0 && first.gbps > 0.0 && first.gflops.is_finite() && first.gbps.is_finite());
        assert_eq!(device.clone().roofline().unwrap(), Some(first));
        println!("{}: {first}", device.name());
    }
    assert_eq!(Device::reference().roofline().unwrap(), None);
}

/// The step of a network, for a look at the table: `--nocapture` shows it.
#[test]
fn tables_tell_what_a_step_takes() {
    let tape = steps::step_of(&steps::mnist_cnn(), &[8, 1, 28, 28]);
    let mut session = tape.session(common::gpu()).unwrap();
    let profile = session.profile().unwrap();
    let start = std::time::Instant::now();
    session.replay_n(20).unwrap();
    session.read(session.tape().losses()[0]).unwrap();
    println!("replay {:?}", start.elapsed() / 20);
    println!("{profile}\n{}\n{}\n{}", profile.by_kernel(), profile.by_layer(), profile.by_operator());
    let kernels = profile.by_kernel().to_string();
    assert!(kernels.lines().count() > 5 && kernels.lines().last().unwrap().ends_with("in all"), "{kernels}");
}
