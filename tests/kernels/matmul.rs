//! Products whose batches broadcast: NumPy's shapes and numbers.

use crate::common;
use retape::Error;
use retape::prelude::*;
use retape::tape::DeviceProfile;

/// `a [2, 1, 1, 2]` by `b [3, 2, 1]`: every row of a by every column of b.
#[test]
fn batches_of_one_and_missing_ones_broadcast() {
    let mut g = Graph::new();
    let (a, b) = (g.input("a", [2, 1, 1, 2]), g.input("b", [3, 2, 1]));
    let y = g.matmul(a, b).unwrap();
    assert_eq!(g.shape(y).unwrap(), Shape::from([2, 3, 1, 1]));
    // Every element of y counts as often as its place says.
    let weights = g.constant([2, 3, 1, 1], &[1.0f32, 2.0, 3.0, 4.0, 5.0, 6.0]).unwrap();
    let loss = g.sum(g.mul(y, weights).unwrap(), &[], false).unwrap();
    let grads = g.differentiate(loss, &[a, b]).unwrap();
    let tape = g.forward([y, grads[0], grads[1]]).unwrap();
    for device in [Device::reference(), Device::cpu(), common::gpu().clone()] {
        let mut session = tape.session(&device).unwrap();
        session.write(a, &[1.0, 2.0, 3.0, 4.0]).unwrap();
        session.write(b, &[1.0, 0.0, 0.0, 1.0, 10.0, 100.0]).unwrap();
        session.replay().unwrap();
        assert_eq!(session.read(y).unwrap(), [1.0, 2.0, 210.0, 3.0, 4.0, 430.0]);
        // Of a: 1 (1, 0) + 2 (0, 1) + 3 (10, 100), and the same with 4, 5, 6.
        assert_eq!(session.read(grads[0]).unwrap(), [31.0, 302.0, 64.0, 605.0]);
        // Of b: 1 (1, 2) + 4 (3, 4), 2 (1, 2) + 5 (3, 4), 3 (1, 2) + 6 (3, 4).
        assert_eq!(session.read(grads[1]).unwrap(), [13.0, 18.0, 17.0, 24.0, 21.0, 30.0]);
    }
}

#[test]
fn batches_that_do_not_broadcast_are_refused_with_both_shapes() {
    let mut g = Graph::new();
    let (a, b) = (g.input("a", [2, 3, 4, 5]), g.input("b", [2, 5, 6]));
    let error = g.matmul(a, b).unwrap_err();
    assert!(matches!(error.root(), Error::ShapeMismatch { .. }), "{error}");
    let text = error.to_string();
    for fact in ["batch", "[2, 3, 4, 5]", "[2, 5, 6]", "matmul.rs:"] {
        assert!(text.contains(fact), "{fact} is missing in: {text}");
    }
    // More than 32-bit indices reach.
    let (a, b) = (g.input("wide", [1 << 16, 1, 4, 4]), g.input("long", [1, 1 << 16, 4, 4]));
    assert!(matches!(g.matmul(a, b).unwrap_err().root(), Error::TooManyElements { .. }));
}

/// The entry points of a plan's products, gradients included, on a GPU of the least limits.
fn entries(tape: &Tape) -> Vec<&'static str> {
    let profile = DeviceProfile { max_workgroup_bytes: 32 << 10, ..DeviceProfile::baseline() };
    let plan = tape.plan(&profile).unwrap();
    plan.dispatches.iter().filter(|d| d.work.multiply_adds > 0).map(|d| d.entry).collect()
}

/// A loss of the square of what is made of `x [48, 40]`, with all gradients.
fn step(record: impl FnOnce(&mut Graph, Value) -> retape::Result<Value>) -> Tape {
    let mut g = Graph::new();
    let x = g.input("x", [48, 40]);
    let y = record(&mut g, x).unwrap();
    let loss = g.sum(g.square(y).unwrap(), &[], false).unwrap();
    let weights: Vec<Value> = [&[x], &g.parameters()[..]].concat();
    let gradients = g.differentiate(loss, &weights).unwrap();
    g.forward([&[loss], &gradients[..]].concat()).unwrap()
}

#[test]
fn a_forced_route_is_planned_and_right() {
    for (route, entry) in [
        (MatmulRoute::Naive, "naive"),
        (MatmulRoute::Tile16, "tile_16"),
        (MatmulRoute::Rows, "rows"),
        (MatmulRoute::Teams32, "tiles_teams"),
        (MatmulRoute::Tiles64, "tiles_8x4"),
        (MatmulRoute::Split128, "tiles_8x8"),
    ] {
        let product = step(|g, x| {
            let w = g.parameter("w", [33, 40], Init::GlorotUniform);
            g.matmul_by(x, w, MatmulOptions::new().transpose_b(true).route(route))
        });
        let layer = step(|g, x| {
            let layer = Dense::new(33).bias(false).route(route);
            Sequential::new().add(layer).record(g, x, Mode::Training)
        });
        for tape in [product, layer] {
            assert_eq!(entries(&tape), [entry; 3], "{route:?}");
            for device in [Device::cpu(), common::gpu().clone()] {
                let mut session = tape.session(&device).unwrap();
                let x = tape.persistent()[0];
                session.write(x, &common::data::noise(48 * 40, 5, -1.0, 1.0)).unwrap();
                let found = session.verify(&[]).unwrap();
                assert!(found.passes(), "{route:?} on {}\n{found}", device.name());
            }
        }
    }
    // Without a route, it is not by one thread for an element.
    let chosen = step(|g, x| Sequential::new().add(Dense::new(33).bias(false)).record(g, x, Mode::Training));
    assert!(!entries(&chosen).contains(&"naive"), "{:?}", entries(&chosen));
    assert_eq!(MatmulOptions::new(), MatmulOptions::default());
}

#[test]
fn a_route_without_room_is_refused_by_the_plan() {
    let tape = step(|g, x| {
        Sequential::new().add(Dense::new(33).route(MatmulRoute::Tiles128)).record(g, x, Mode::Training)
    });
    let small = DeviceProfile { max_workgroup_bytes: 1024, ..DeviceProfile::baseline() };
    let error = tape.plan(&small).unwrap_err();
    assert!(matches!(error.root(), Error::Limit { .. }), "{error}");
    assert!(error.to_string().contains("dense"), "{error}");
}
