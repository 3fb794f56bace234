//! Values larger than a device's bindings: worked on in ranges where an operator allows it, refused
//! by name where not.

use std::ops::Range;

use crate::common;
use retape::prelude::*;
use retape::tape::{DeviceKind, DeviceProfile, Plan};
use retape::testing::*;
use retape::{Error, Result};

/// The test device as if its bindings held no more than this many bytes.
fn narrow(kind: DeviceKind, max_binding_bytes: u64) -> DeviceProfile {
    let profile = common::gpu().profile().expect("a GPU").clone();
    DeviceProfile { kind, max_binding_bytes, ..profile }
}

fn largest_binding(plan: &Plan) -> u64 {
    plan.dispatches.iter().flat_map(|d| &d.bindings).map(|b| b.bytes).max().unwrap_or(0)
}

/// A dense layer whose weight and gradient exceed a binding several times.
fn dense_step(optimizer: &dyn Optimizer, transposed: bool) -> Result<(Tape, Value, Value)> {
    let mut g = Graph::new();
    let x = g.input("x", [5, 300]);
    let shape = if transposed { [200, 300] } else { [300, 200] };
    let w = g.parameter("w", shape, Init::GlorotUniform);
    let y = g.matmul_with(x, w, false, transposed)?;
    let back = g.matmul_with(g.tanh(y)?, w, false, !transposed)?;
    let half = g.mul(w, g.scalar_constant(0.5))?;
    let penalty = g.mean(g.square(g.sum(g.add(half, g.tanh(w)?)?, &[1], false)?)?, &[], false)?;
    let loss = g.add(g.mean(g.square(back)?, &[], false)?, penalty)?;
    let tape = g.training_step(loss, optimizer)?.keep_gradients();
    Ok((tape, x, w))
}

#[test]
fn matrices_larger_than_a_binding_are_worked_on_in_ranges() {
    for kind in [DeviceKind::Cpu, DeviceKind::Gpu] {
        for transposed in [false, true] {
            let optimizers: [&dyn Optimizer; 3] =
                [&Sgd::new(0.1).momentum(0.9), &RmsProp::new(0.01), &Adam::new(0.01)];
            for optimizer in optimizers {
                let (tape, x, _) = dense_step(optimizer, transposed).expect("it records");
                // The sum over rows reads its operand whole; everything else goes by ranges.
                let limit = 4 * 64 * 300;
                let plan = tape.plan(&narrow(kind, 4 * 300 * 200)).expect("it plans");
                assert_eq!(largest_binding(&plan), 4 * 300 * 200);
                let found = tape.plan(&narrow(kind, limit));
                assert!(matches!(&found, Err(Error::Limit { op, .. }) if op == "sum"), "{found:?}");
                let mut session =
                    session_with_plan(&tape, common::gpu(), plan, guarded(SessionOptions::new()))
                        .expect("it builds");
                poison(&session);
                let data = common::data::noise(5 * 300, 1, -1.0, 1.0);
                let checked = session.verify(&[(x, (&data).into())]).expect("it runs");
                assert!(checked.passes(), "{checked}");
            }
        }
    }
}

/// Adafactor's sums read a parameter whole.
#[test]
fn adafactor_needs_parameters_that_a_binding_holds() {
    let mut g = Graph::new();
    let w = g.parameter("w", [300, 200], Init::Ones);
    let dw = g.constant([300, 200], &[1.0f32; 300 * 200]).expect("it is of the size");
    Adafactor::new(0.1).record(&g, &[(w, dw)]).expect("it records");
    let tape = g.forward(Vec::new()).expect("it records");
    let bytes = 4 * 300 * 200;
    assert!(tape.plan(&narrow(DeviceKind::Gpu, bytes)).is_ok());
    let found = tape.plan(&narrow(DeviceKind::Gpu, bytes - 4));
    assert!(matches!(&found, Err(Error::Limit { op, .. }) if op == "adafactor"), "{found:?}");
}

/// Every product that a range can cut: rows of either side, transposed or not, and of the result.
#[test]
fn products_in_ranges_agree_with_their_reference() {
    let routes = [MatmulRoute::Auto, MatmulRoute::Rows, MatmulRoute::Tiles64, MatmulRoute::Tiles128];
    let sizes = [[3, 260, 132], [260, 132, 3], [132, 7, 260], [200, 201, 199], [1, 515, 129]];
    for (size, route) in sizes.into_iter().flat_map(|s| routes.map(|r| (s, r))) {
        for (ta, tb) in [(false, false), (true, false), (false, true), (true, true)] {
            let [m, k, n] = size;
            let mut g = Graph::new();
            let a = g.input("a", if ta { [k, m] } else { [m, k] });
            let b = g.input("b", if tb { [n, k] } else { [k, n] });
            let y = g
                .matmul_by(a, b, MatmulOptions::new().transpose_a(ta).transpose_b(tb).route(route))
                .expect("it records");
            let tape = g.forward([y]).expect("it records");
            // Room for 64 rows of the widest matrix.
            let limit = 4 * 64 * m.max(k).max(n) as u64;
            let plan = tape.plan(&narrow(DeviceKind::Gpu, limit)).expect("it plans");
            assert!(largest_binding(&plan) <= limit, "{plan}");
            let options = guarded(SessionOptions::new());
            let mut session = session_with_plan(&tape, common::gpu(), plan, options).expect("it builds");
            poison(&session);
            let a_data = common::data::noise(m * k, 1, -1.0, 1.0);
            let b_data = common::data::noise(k * n, 2, -1.0, 1.0);
            let checked = session.verify(&[(a, (&a_data).into()), (b, (&b_data).into())]).expect("it runs");
            assert!(checked.passes(), "{size:?} {ta} {tb} {route:?}\n{checked}");
            assert!(broken_guards(&session).expect("guards can be read").is_empty());
        }
    }
}

/// Elementwise operators with operands of one shape, with a single number, and of odd length.
#[test]
fn elementwise_operators_go_by_ranges() {
    for n in [1000usize, 1021, 4096] {
        let mut g = Graph::new();
        let x = g.input("x", [n]);
        let half = g.scalar_constant(0.5);
        let y = g.add(g.mul(g.tanh(x).unwrap(), half).unwrap(), x).unwrap();
        let tape = g.forward([y]).unwrap();
        let plan = tape.plan(&narrow(DeviceKind::Cpu, 1024)).expect("it plans");
        assert!(largest_binding(&plan) <= 1024 && plan.dispatches.len() > 3, "{plan}");
        let options = guarded(SessionOptions::new());
        let mut session = session_with_plan(&tape, common::gpu(), plan, options).expect("it builds");
        poison(&session);
        let data = common::data::noise(n, 1, -1.0, 1.0);
        let checked = session.verify(&[(x, (&data).into())]).expect("it runs");
        assert!(checked.passes(), "{checked}");
        assert!(broken_guards(&session).expect("guards can be read").is_empty());
    }
}

/// The first dense layer of VGG-16: a weight of 411 MB, where lavapipe binds 128 MiB at a time.
#[test]
fn the_largest_layer_of_vgg_16_trains() {
    const IN: usize = 512 * 7 * 7;
    const OUT: usize = 4096;
    let device = common::gpu();
    let mut g = Graph::new();
    let x = g.input("x", [1, IN]);
    let w = g.parameter("w", [IN, OUT], Init::Constant(0.01));
    let loss = g.mean(g.square(g.matmul(x, w).unwrap()).unwrap(), &[], false).unwrap();
    let tape = g.training_step(loss, &Sgd::new(1e-3)).unwrap();
    let profile = device.profile().expect("a GPU");
    if profile.max_buffer_bytes < 4 * (IN * OUT) as u64 {
        let refused = tape.plan(profile);
        assert!(matches!(refused, Err(Error::Limit { .. })), "{refused:?}");
        return;
    }
    let plan = tape.plan(profile).unwrap();
    assert!(largest_binding(&plan) <= profile.max_binding_bytes);
    let mut session = tape.session(device).unwrap();
    let data: Vec<f32> = (0..IN).map(|i| (i % 7) as f32 * 0.1 - 0.2).collect();
    session.write(x, &data).unwrap();
    session.replay().unwrap();
    // Every output is 0.01 sum(x); its square's mean has the slope 2 y / OUT for each.
    let y: f64 = data.iter().map(|&v| 0.01 * f64::from(v)).sum();
    let found = session.read_scalar(loss).unwrap();
    assert!((f64::from(found) - y * y).abs() <= 1e-4 * y * y, "{found} {}", y * y);
    let trained = session.read(w).unwrap();
    let rows: [Range<usize>; 3] = [0..3, IN / 2..IN / 2 + 3, IN - 3..IN];
    for row in rows.into_iter().flatten() {
        let want = 0.01 - 1e-3 * (2.0 * y / OUT as f64) * f64::from(data[row]);
        for column in [0, 1, OUT / 2, OUT - 1] {
            let got = f64::from(trained[row * OUT + column]);
            assert!((got - want).abs() <= 1e-8, "{row}, {column}: {got} {want}");
        }
    }
}

/// llvmpipe leaves loops after 65,535 iterations without a word: long sums are split, and what
/// cannot be is refused.
#[test]
fn long_sums_come_out_whole() {
    let device = common::gpu();
    let check = |what: &str, shape: &[usize], build: &dyn Fn(&Graph, Value) -> Result<Value>, want: f32| {
        let mut g = Graph::new();
        let x = g.input("x", Shape::new(shape).expect("rank fits"));
        let y = build(&g, x).expect("it records");
        let mut session = g.forward([y]).expect("it records").session(device).expect("it builds");
        session.write(x, &vec![1.0; shape.iter().product()]).expect("it fits");
        session.replay().expect("it replays");
        let found = session.read(y).expect("it is kept");
        let close = found.iter().all(|&v| (v - want).abs() <= 1e-5 * want);
        assert!(close, "{what}: {:?} for {want}", found[0]);
    };
    check("sum", &[100_000, 80], &|g, x| g.sum(x, &[0], false), 100_000.0);
    check("sum of pairs", &[2, 50_000, 2, 80], &|g, x| g.sum(x, &[0, 1, 2], false), 200_000.0);
    check("mean", &[70_000, 70], &|g, x| g.mean(x, &[0], false), 1.0);
    check("softmax", &[3, 100_000], &|g, x| g.softmax(x, 1), 1e-5);
    check("softmax of columns", &[100_000, 3], &|g, x| g.softmax(x, 0), 1e-5);
    check("matmul", &[2, 300_000], &|g, x| g.matmul_with(x, x, false, true), 300_000.0);
    let weight = |g: &Graph, x: Value, route: ConvRoute| {
        let w = g.constant([2, 1, 1, 1], &[1.0f32, 1.0])?;
        let y = g.conv2d(x, w, None, ConvOptions::new().route(route))?;
        Ok(g.differentiate(g.sum(y, &[], false)?, &[w])?[0])
    };
    for &route in ConvRoute::ALL {
        let size = [1, 1, 600, 600];
        check(&format!("weights, {route:?}"), &size, &|g, x| weight(g, x, route), 360_000.0);
    }
    let profile = device.profile().expect("a GPU");
    let mut g = Graph::new();
    let x = g.input("x", [100_000, 3]);
    let tape = g.forward([g.argmax(x, 0).expect("it records")]).expect("it records");
    let limited = DeviceProfile { max_loop_iterations: 65_535, ..profile.clone() };
    let found = tape.plan(&limited);
    assert!(matches!(&found, Err(Error::Limit { what, .. }) if what.contains("loop")), "{found:?}");
}

/// Windows over images so large that a thread of a software driver cannot go over all of one.
#[test]
fn large_images_pool_whole() {
    let device = common::gpu();
    let mut g = Graph::new();
    let x = g.input("x", [1, 2, 300, 280]);
    let overlapping = PoolOptions::new(3).stride(2);
    let most = g.max_pool2d(x, overlapping).unwrap();
    let mean = g.avg_pool2d(x, overlapping).unwrap();
    let over_all = g.global_avg_pool2d(x).unwrap();
    let total = |v: Value| g.sum(v, &[], false).unwrap();
    let loss = g.add(g.add(total(most), total(mean)).unwrap(), total(over_all)).unwrap();
    let dx = g.differentiate(loss, &[x]).unwrap()[0];
    let mut session = g.forward([most, mean, over_all, dx]).unwrap().session(device).unwrap();
    let data = common::data::noise(2 * 300 * 280, 1, -1.0, 1.0);
    let checked = session.verify(&[(x, (&data).into())]).unwrap();
    assert!(checked.passes(), "{checked}");
}

/// Long groups of the normalisations, with runs of one element and of many.
#[test]
fn long_groups_are_normalised_whole() {
    for shape in [[15_000, 130, 1], [3, 130, 5000], [2, 2, 40_000]] {
        let mut g = Graph::new();
        let x = g.input("x", shape);
        let normalised = g.batch_norm(x, None, None, 1e-5).unwrap().y();
        let weights = g.constant([shape[1], 1], &common::data::noise(shape[1], 5, 0.5, 1.5)).unwrap();
        let loss = g.sum(g.mul(g.square(normalised).unwrap(), weights).unwrap(), &[], false).unwrap();
        let dx = g.differentiate(loss, &[x]).unwrap()[0];
        let mut session = g.forward([normalised, dx]).unwrap().session(common::gpu()).unwrap();
        let data = common::data::noise(shape.iter().product(), 1, -1.0, 3.0);
        let checked = session.verify(&[(x, (&data).into())]).unwrap();
        assert!(checked.passes(), "{shape:?}\n{checked}");
    }
}
