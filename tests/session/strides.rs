//! Pointwise convolutions under a stride, and elements that are spread among zeros, on fused tapes.

use crate::common::{self, data::noise};
use crate::fuse::names;
use retape::ops::{ConvOptions, SliceRange};
use retape::prelude::*;
use retape::tape::{DeviceKind, DeviceProfile};

/// Fused and unfused, on kernels for GPUs and for this driver, the gradients are those of the reference.
fn check(tape: &Tape, x: Value, image: &[f32]) {
    let run = |device: &Device, fuse: bool| {
        let mut session = tape.session_with(device, SessionOptions::new().fuse(fuse)).unwrap();
        let checked = session.verify(&[(x, image.into())]).unwrap();
        assert!(checked.passes(), "{checked}");
        tape.kept().map(|value| session.read(value).unwrap()).collect::<Vec<_>>().concat()
    };
    let wanted = run(&Device::reference(), false);
    for (device, fuse) in [(common::gpu(), true), (common::gpu(), false), (&Device::cpu(), true)] {
        for (one, other) in run(device, fuse).iter().zip(&wanted) {
            assert!((one - other).abs() <= 1e-4 * (1.0 + other.abs()), "{one} {other}");
        }
    }
}

fn for_gpus(tape: &Tape) -> Vec<String> {
    let profile = DeviceProfile { kind: DeviceKind::Gpu, ..common::gpu().profile().unwrap().clone() };
    names(&tape.fuse(&profile))
}

/// Two convolutions of an image share what their stride leaves of it, and their gradients are added up before they
/// are spread over the image again.
#[test]
fn strided_pointwise_convolutions_share_their_pixels() {
    let mut g = Graph::new();
    let x = g.input("x", [3, 4, 9, 8]);
    let start = g.relu(x).unwrap();
    let mut of = |name: &str, filters, groups, stride: [usize; 2]| {
        let w = g.parameter(name, [filters, 4 / groups, 1, 1], Init::GlorotUniform);
        g.conv2d(start, w, None, ConvOptions::new().stride(stride).groups(groups)).unwrap()
    };
    // Gradients are added up from the last one back.
    let (c, a, b) = (of("c", 2, 1, [3, 1]), of("a", 6, 1, [2, 3]), of("b", 6, 2, [2, 3]));
    let sum = g.add(g.tanh(a).unwrap(), g.square(b).unwrap()).unwrap();
    let loss = g.mean(sum, &[], false).unwrap();
    let loss = g.add(loss, g.mean(g.square(c).unwrap(), &[], false).unwrap()).unwrap();
    let gradients = g.differentiate(loss, &[vec![x], g.parameters()].concat()).unwrap();
    let tape = g.forward(gradients).unwrap();
    let found = for_gpus(&tape);
    let count = |name: &str| found.iter().filter(|found| *found == name).count();
    assert_eq!((count("slice"), count("pad"), count("conv2d_weight_grad")), (2, 1, 3), "{found:#?}");
    assert!(found.contains(&"chain(conv_transpose2d add)".to_owned()), "{found:#?}");
    assert!(found.contains(&"chain(pad add relu_grad)".to_owned()), "{found:#?}");
    check(&tape, x, &noise(3 * 4 * 72, 3, -1.0, 1.0));
}

/// What is read in steps, turned round or repeated is spread from where it lies.
#[test]
fn elements_are_spread_from_where_they_lie() {
    let mut g = Graph::new();
    let x = g.input("x", [4, 6, 8]);
    let steps = |start, stop, step| SliceRange { start, stop, step };
    let thin = g.slice(x, &[steps(1, 4, 2), steps(0, 6, 1), steps(0, 8, 2)]).unwrap();
    let a = g.pad(thin, &[(1, 1), (0, 0), (2, 2)], -0.5).unwrap();
    let quads = g.slice(x, &[steps(0, 2, 1), steps(2, 6, 1), steps(4, 8, 1)]).unwrap();
    let b = g.pad(quads, &[(1, 0), (2, 1), (4, 8)], 0.0).unwrap();
    let c = g.pad(g.transpose(x, &[2, 0, 1]).unwrap(), &[(0, 0), (1, 2), (3, 0)], 0.0).unwrap();
    let row = g.slice(x, &[steps(3, 4, 1), steps(0, 6, 1), steps(7, 8, 1)]).unwrap();
    let wide = g.broadcast_to(row, [4, 6, 5]).unwrap();
    let d = g.exp(g.pad(wide, &[(0, 1), (0, 0), (1, 1)], 0.0).unwrap()).unwrap();
    // This one is wanted by itself as well.
    let kept = g.slice(x, &[steps(0, 4, 3), steps(0, 6, 1), steps(0, 8, 1)]).unwrap();
    let e = g.pad(kept, &[(1, 1), (0, 0), (0, 0)], 0.0).unwrap();
    let tape = g.forward([a, b, c, d, e, kept]).unwrap();
    let found = for_gpus(&tape);
    assert_eq!(found.iter().filter(|name| *name == "pad").count(), 4, "{found:#?}");
    assert_eq!(found.iter().filter(|name| *name == "slice").count(), 2, "{found:#?}");
    assert!(found.contains(&"chain(pad exp)".to_owned()), "{found:#?}");
    check(&tape, x, &noise(192, 7, -1.0, 1.0));
}
