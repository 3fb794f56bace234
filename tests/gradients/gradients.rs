//! The reference gradients against finite differences.

use crate::common::cases;
use retape::prelude::*;

#[test]
fn gradients_agree_with_finite_differences() {
    for case in cases::all().into_iter().filter(|c| c.smooth) {
        case.check_gradients();
    }
}

/// What f32 has no number for is a constant to the last digit on the CPU path: a third, a tenth.
#[test]
fn constants_of_the_cpu_path_are_of_f64() {
    let read = |g: &Graph, value: Value| {
        let mut session = g.forward([value]).unwrap().session(&Device::reference()).unwrap();
        session.replay().unwrap();
        session.read_f64(value).unwrap()[0]
    };
    for n in [3usize, 7, 10, 49] {
        let mut g = Graph::new();
        let x = g.input("x", [2, n]);
        let loss = g.sum(g.mean(x, &[1], false).unwrap(), &[], false).unwrap();
        let dx = g.differentiate(loss, &[x]).unwrap()[0];
        assert_eq!(read(&g, dx), 1.0 / n as f64);
    }
    let g = Graph::new();
    assert_eq!(read(&g, g.scalar_constant(0.1)), 0.1);
    assert_eq!(read(&g, g.scalar_constant(0.1f32)), f64::from(0.1f32));
}
