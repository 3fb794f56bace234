//! NaN, infinities, zeros of both signs and subnormal numbers: every elementwise function, on the reference path and
//! under the plans for both kinds of device, against what IEEE 754, C's annex F, NumPy and PyTorch say of them.

use crate::common::special::{INF, NAN, PATHS, is_one_of, read_as, run, with_gradients};
use retape::ops::{Binary, Unary};

const VALUES: [f32; 24] = [
    f32::NAN,
    f32::INFINITY,
    f32::NEG_INFINITY,
    0.0,
    -0.0,
    1e-45,
    -1e-45,
    1e-40,
    -1e-40,
    f32::MIN_POSITIVE,
    -f32::MIN_POSITIVE,
    1.0,
    -1.0,
    0.5,
    -0.5,
    2.5,
    -2.5,
    3.0,
    -3.0,
    30.0,
    -30.0,
    1e30,
    -1e30,
    -f32::NAN,
];

fn normal_cdf(x: f64) -> f64 {
    0.5 * libm::erfc(-x / 2f64.sqrt())
}

fn sigmoid(x: f64) -> f64 {
    1.0 / (1.0 + (-x).exp())
}

/// A function and its derivative, by the formulas of NumPy and PyTorch; `None` where nothing flows back,
/// whatever comes.
fn unary(kind: Unary, x: f64) -> (f64, Option<f64>) {
    // A NaN is handed on.
    let below = |limit: f64| x < limit;
    let [scale, alpha] = [1.050_700_987_355_480_5, 1.673_263_242_354_377_2];
    let tanh_form = |x: f64| 0.797_884_560_802_865_4 * (x + 0.044_715 * x * x * x);
    match kind {
        Unary::Neg => (-x, Some(-1.0)),
        Unary::Abs => (x.abs(), Some(if x == 0.0 { 0.0 } else { x.signum() })),
        Unary::Square => (x * x, Some(2.0 * x)),
        Unary::Sqrt => (x.sqrt(), Some(0.5 / x.sqrt())),
        Unary::Exp => (x.exp(), Some(x.exp())),
        Unary::Log => (x.ln(), Some(1.0 / x)),
        Unary::Sign => (if x == 0.0 { 0.0 } else { x.signum() }, None),
        Unary::Sigmoid => (sigmoid(x), Some(sigmoid(x) * (1.0 - sigmoid(x)))),
        Unary::Tanh => (x.tanh(), Some(1.0 - x.tanh().powi(2))),
        Unary::Relu => {
            if x <= 0.0 {
                (0.0, None)
            } else {
                (x, Some(1.0))
            }
        }
        Unary::LeakyRelu => {
            if x <= 0.0 {
                (0.1 * x, Some(0.1))
            } else {
                (x, Some(1.0))
            }
        }
        Unary::Elu => {
            if x <= 0.0 {
                (1.3 * x.exp_m1(), Some(1.3 * x.exp()))
            } else {
                (x, Some(1.0))
            }
        }
        Unary::Selu if x <= 0.0 => (scale * alpha * x.exp_m1(), Some(scale * alpha * x.exp())),
        Unary::Selu => (scale * x, Some(scale)),
        Unary::Gelu => {
            (x * normal_cdf(x), Some(normal_cdf(x) + x * (-0.5 * x * x).exp() / std::f64::consts::TAU.sqrt()))
        }
        Unary::GeluTanh => {
            let s = sigmoid(2.0 * tanh_form(x));
            let inner = 0.797_884_560_802_865_4 * (1.0 + 3.0 * 0.044_715 * x * x);
            let rest =
                if s * (1.0 - s) == 0.0 && x.is_finite() { 0.0 } else { 2.0 * x * s * (1.0 - s) * inner };
            (x * s, Some(s + rest))
        }
        Unary::Softplus if below(0.0) => (x.exp().ln_1p(), Some(sigmoid(x))),
        Unary::Softplus => (x + (-x).exp().ln_1p(), Some(sigmoid(x))),
        Unary::Softsign => (x / (1.0 + x.abs()), Some((1.0 + x.abs()).powi(-2))),
        Unary::HardSigmoid if x <= -3.0 => (0.0, None),
        Unary::HardSigmoid if x >= 3.0 => (1.0, None),
        Unary::HardSigmoid => (x / 6.0 + 0.5, Some(1.0 / 6.0)),
        Unary::Swish => (x * sigmoid(x), Some(sigmoid(x) * (1.0 + x * (1.0 - sigmoid(x))))),
        Unary::Step => (if x.is_nan() { NAN } else { f64::from(x >= 0.0) }, None),
        Unary::Clip if below(-0.75) => (-0.75, None),
        Unary::Clip if x > 0.8 => (0.8, None),
        Unary::Clip => (x, Some(1.0)),
        Unary::Reciprocal => (1.0 / x, Some(-1.0 / (x * x))),
        Unary::LogCosh if x.abs() < 1e-4 => (0.5 * x * x, Some(x.tanh())),
        Unary::LogCosh => (x.abs() - 2f64.ln() + (-2.0 * x.abs()).exp().ln_1p(), Some(x.tanh())),
        other => panic!("{other:?} has no row"),
    }
}

/// Two of the same length, so that kernels work in place too.
#[test]
fn functions_of_one_operand() {
    let n = VALUES.len();
    for &kind in Unary::ALL {
        let parameters: Vec<f32> = kind.parameters().iter().map(|p| p.1).collect();
        for (path, w) in PATHS.into_iter().flat_map(|path| [2.0, f32::NAN].map(|w| (path, w))) {
            let found = run(path, &[(&[n], &VALUES), (&[n], &vec![w; n])], |g, x| {
                with_gradients(g, g.unary(kind, x[0], &parameters)?, x)
            });
            let kept = run(path, &[(&[n], &VALUES)], |g, x| {
                // Nothing else reads what the function reads, nor its result.
                Ok(vec![g.neg(g.unary(kind, g.neg(g.neg(x[0])?)?, &parameters)?)?])
            });
            for (i, &x) in VALUES.iter().enumerate() {
                let seen: Vec<_> = read_as(x).into_iter().map(|x| unary(kind, x)).collect();
                let values: Vec<f64> = seen.iter().map(|s| s.0).collect();
                let slopes: Vec<f64> =
                    seen.iter().map(|s| s.1.map_or(0.0, |slope| slope * f64::from(w))).collect();
                let what = format!("{kind:?} of {x:e}, {path:?}");
                assert!(is_one_of(found[0][i], &values), "{what}: {} for {values:?}", found[0][i]);
                assert!(is_one_of(-kept[0][i], &values), "{what} in place: {} for {values:?}", -kept[0][i]);
                assert!(
                    is_one_of(found[1][i], &slopes),
                    "slope of {what} by {w}: {} for {slopes:?}",
                    found[1][i]
                );
            }
        }
    }
}

const OPERANDS: [f32; 21] = [
    f32::NAN,
    f32::INFINITY,
    f32::NEG_INFINITY,
    0.0,
    -0.0,
    1.0,
    -1.0,
    2.0,
    -2.0,
    3.0,
    -3.0,
    0.5,
    -0.5,
    2.5,
    -2.5,
    1e30,
    -1e30,
    1e-40,
    16_777_215.0,
    -16_777_215.0,
    -f32::NAN,
];

fn binary(kind: Binary, a: f64, b: f64) -> f64 {
    let nan_or = |v: f64| if a.is_nan() || b.is_nan() { NAN } else { v };
    match kind {
        Binary::Add => a + b,
        Binary::Sub => a - b,
        Binary::Mul => a * b,
        Binary::Div => a / b,
        Binary::Pow => libm::pow(a, b),
        Binary::Min => nan_or(a.min(b)),
        Binary::Max => nan_or(a.max(b)),
        Binary::Equal => f64::from(a == b),
        Binary::NotEqual => f64::from(a != b),
        Binary::Less => f64::from(a < b),
        Binary::LessEqual => f64::from(a <= b),
        Binary::Greater => f64::from(a > b),
        Binary::GreaterEqual => f64::from(a >= b),
        other => panic!("{other:?} has no row"),
    }
}

/// All pairs, by the kernels for one element and for four.
#[test]
fn functions_of_two_operands() {
    let k = OPERANDS.len();
    let pairs: Vec<(f32, f32)> =
        OPERANDS.iter().flat_map(|&a| OPERANDS.iter().map(move |&b| (a, b))).collect();
    for &kind in Binary::ALL {
        for (path, n) in PATHS.into_iter().flat_map(|path| [k * k, k * k / 4 * 4].map(|n| (path, n))) {
            let (a, b): (Vec<f32>, Vec<f32>) = pairs[..n].iter().copied().unzip();
            let found = run(path, &[(&[n], &a), (&[n], &b)], |g, x| Ok(vec![g.binary(kind, x[0], x[1])?]));
            for (i, &(a, b)) in pairs[..n].iter().enumerate() {
                let wanted: Vec<f64> = read_as(a)
                    .into_iter()
                    .flat_map(|a| read_as(b).into_iter().map(move |b| binary(kind, a, b)))
                    .collect();
                let got = found[0][i];
                assert!(
                    is_one_of(got, &wanted),
                    "{kind:?} of {a:e} and {b:e}, {path:?}: {got} for {wanted:?}"
                );
                let is_edge = kind == Binary::Pow && wanted.len() == 1 && (got == 0.0 || got.is_infinite());
                assert!(
                    !is_edge || got.is_sign_negative() == wanted[0].is_sign_negative(),
                    "the sign of {a}^{b}, {path:?}"
                );
            }
        }
    }
}

/// The rows of ISO/IEC 9899, annex F.10.4.4.
#[test]
fn powers_at_the_edges_are_those_of_c() {
    let rows: [(f64, f64, f64); 40] = [
        (0.0, -3.0, INF),
        (-0.0, -3.0, -INF),
        (-0.0, -1.0, -INF),
        (0.0, -2.0, INF),
        (-0.0, -2.0, INF),
        (-0.0, -2.5, INF),
        (0.0, -INF, INF),
        (-0.0, -INF, INF),
        (0.0, 3.0, 0.0),
        (-0.0, 3.0, -0.0),
        (-0.0, 2.0, 0.0),
        (-0.0, 0.5, 0.0),
        (-1.0, INF, 1.0),
        (-1.0, -INF, 1.0),
        (1.0, NAN, 1.0),
        (1.0, INF, 1.0),
        (NAN, 0.0, 1.0),
        (NAN, -0.0, 1.0),
        (INF, 0.0, 1.0),
        (-INF, -0.0, 1.0),
        (0.0, 0.0, 1.0),
        (-2.0, 0.5, NAN),
        (-2.0, -1.5, NAN),
        (0.5, -INF, INF),
        (-0.5, -INF, INF),
        (2.0, -INF, 0.0),
        (0.5, INF, 0.0),
        (-2.0, INF, INF),
        (-INF, -3.0, -0.0),
        (-INF, -2.0, 0.0),
        (-INF, -0.5, 0.0),
        (-INF, 3.0, -INF),
        (-INF, 2.0, INF),
        (-INF, 0.5, INF),
        (INF, -0.5, 0.0),
        (INF, 0.5, INF),
        (NAN, 1.0, NAN),
        (2.0, NAN, NAN),
        (-1.0, NAN, NAN),
        (-8.0, 3.0, -512.0),
    ];
    for path in PATHS {
        let [a, b] = [|r: &(f64, f64, f64)| r.0 as f32, |r: &(f64, f64, f64)| r.1 as f32]
            .map(|of| rows.iter().map(of).collect::<Vec<_>>());
        let inputs: [(&[usize], &[f32]); 2] = [(&[40], &a), (&[40], &b)];
        let found = run(path, &inputs, |g, x| Ok(vec![g.pow(x[0], x[1])?]));
        for (&(a, b, want), &got) in rows.iter().zip(&found[0]) {
            let same = got.is_sign_negative() == want.is_sign_negative() && (got - want).abs() <= 1e-3;
            let same = same || got == want && want.is_infinite() || got.is_nan() && want.is_nan();
            assert!(same, "{a}^{b} is {got}, not {want}, {path:?}");
        }
    }
}

/// What PyTorch gives but for the exponents of bases that have no logarithm, whose gradient is 0 here; also if a NaN
/// comes back.
#[test]
fn gradients_of_powers_at_the_edges() {
    let rows: [(f64, f64, f64, f64); 13] = [
        (0.0, 2.0, 0.0, 0.0),
        (0.0, 1.0, 1.0, 0.0),
        (0.0, 0.0, 0.0, 0.0),
        (NAN, 0.0, 0.0, NAN),
        (1.0, NAN, NAN, 0.0),
        (NAN, 2.0, NAN, NAN),
        (2.0, NAN, NAN, NAN),
        (0.0, -1.0, -INF, 0.0),
        (-0.0, -1.0, -INF, 0.0),
        (-2.0, 3.0, 12.0, 0.0),
        (-INF, 3.0, INF, 0.0),
        (INF, -1.0, -0.0, NAN),
        (INF, 2.0, INF, INF),
    ];
    let [a, b] = [rows.map(|r| r.0 as f32), rows.map(|r| r.1 as f32)];
    for (path, w) in PATHS.into_iter().flat_map(|path| [1.0, f32::NAN].map(|w| (path, w))) {
        let inputs: [(&[usize], &[f32]); 3] = [(&[13], &a), (&[13], &b), (&[13], &[w; 13])];
        let found = run(path, &inputs, |g, x| with_gradients(g, g.pow(x[0], x[1])?, x));
        for (i, &(a, b, base, exponent)) in rows.iter().enumerate() {
            let [of_base, of_exponent] = [found[1][i], found[2][i]];
            let what = format!("{a}^{b} by {w}, {path:?}: {of_base}, {of_exponent}");
            let by = |slope: f64, is_cut: bool| if is_cut { 0.0 } else { slope * f64::from(w) };
            assert!(is_one_of(of_base, &[by(base, b == 0.0)]), "{what}");
            assert!(is_one_of(of_exponent, &[by(exponent, a <= 0.0)]), "{what}");
        }
    }
}

/// Both operands have the gradient where either is NaN, one of them elsewhere.
#[test]
fn gradients_of_the_smaller_and_the_larger() {
    let n = f32::NAN;
    let (a, b) = ([n, 1.0, n, 1.0, 2.0, 2.0, f32::INFINITY], [1.0, n, n, 2.0, 1.0, 2.0, n]);
    let w = [2.0, 2.0, 2.0, 2.0, 2.0, 2.0, 2.0];
    let inputs: [(&[usize], &[f32]); 3] = [(&[7], &a), (&[7], &b), (&[7], &w)];
    for path in PATHS {
        let larger = run(path, &inputs, |g, x| with_gradients(g, g.maximum(x[0], x[1])?, x));
        assert!(larger[0][..3].iter().all(|v| v.is_nan()) && larger[0][6].is_nan(), "{path:?}: {larger:?}");
        assert_eq!(larger[0][3..6], [2.0, 2.0, 2.0]);
        assert_eq!(larger[1], [2.0, 2.0, 2.0, 0.0, 2.0, 2.0, 2.0]);
        assert_eq!(larger[2], [2.0, 2.0, 2.0, 2.0, 0.0, 0.0, 2.0]);
        let smaller = run(path, &inputs, |g, x| with_gradients(g, g.minimum(x[0], x[1])?, x));
        assert_eq!(smaller[0][3..6], [1.0, 1.0, 2.0]);
        assert_eq!(smaller[1], [2.0, 2.0, 2.0, 2.0, 0.0, 2.0, 2.0]);
        assert_eq!(smaller[2], [2.0, 2.0, 2.0, 0.0, 2.0, 0.0, 2.0]);
    }
}

/// NaN as a condition is not 0. What is not chosen has a gradient of 0, though a NaN comes back.
#[test]
fn choices() {
    let n = f32::NAN;
    let (c, a, b) = ([n, 0.0, -0.0, 1.0, 1e-40], [1.0, n, 1.0, 1.0, 1.0], [2.0, 2.0, n, n, 2.0]);
    for path in PATHS {
        let inputs: [(&[usize], &[f32]); 4] = [(&[5], &c), (&[5], &a), (&[5], &b), (&[5], &[n; 5])];
        let found = run(path, &inputs, |g, x| with_gradients(g, g.select(x[0], x[1], x[2])?, x));
        assert!(found[0][2].is_nan());
        assert_eq!((found[0][..2].to_vec(), found[0][3..].to_vec()), (vec![1.0, 2.0], vec![1.0, 1.0]));
        let is_nan = |v: &[f64]| v.iter().map(|v| v.is_nan()).collect::<Vec<_>>();
        assert_eq!(is_nan(&found[2]), [true, false, false, true, true], "{path:?}");
        assert_eq!(is_nan(&found[3]), [false, true, true, false, false], "{path:?}");
    }
}
