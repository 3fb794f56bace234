//! Functions of one and two operands, and select.

use retape::ops::{Binary, Domain, Unary};

use super::super::Case;
use super::super::data::{distinct, hostile, signed, uniform};
use super::SIZES;

pub fn cases() -> Vec<Case> {
    let mut cases = Vec::new();
    for &kind in Unary::ALL {
        unary(kind, &mut cases);
    }
    for &kind in Binary::ALL {
        binary(kind, &mut cases);
    }
    // One gradient for two readers: neither may be overwritten by the first.
    cases.push(Case::new("tanh(x) + exp(x)", vec![signed([130], 3)], |g, x| {
        g.add(g.tanh(x[0])?, g.exp(x[0])?)
    }));
    select(&mut cases);
    cases
}

fn unary(kind: Unary, cases: &mut Vec<Case>) {
    let parameters: Vec<f32> = kind.parameters().iter().map(|p| p.1).collect();
    let call = move |g: &mut retape::Graph, x: &[retape::Value]| g.unary(kind, x[0], &parameters);
    let positive = kind.domain() == Domain::Positive;
    for n in SIZES {
        let input = if positive { uniform([n], 1, 0.2, 3.0) } else { signed([n], n as u32) };
        let case = Case::new(format!("{} of [{n}]", kind.name()), vec![input], call.clone());
        // The corners lie within the range of the numbers.
        cases.push(if kind.domain() == Domain::Cornered { case.rough() } else { case });
    }
    let of_hostile =
        Case::new(format!("{} of hostile numbers", kind.name()), vec![hostile([67])], call.clone());
    cases.push(of_hostile.rough());
    let wide = uniform([300], 5, -30.0, 30.0);
    cases.push(Case::new(format!("{} of -30..30", kind.name()), vec![wide], call).rough());
}

fn binary(kind: Binary, cases: &mut Vec<Case>) {
    let call = move |g: &mut retape::Graph, x: &[retape::Value]| g.binary(kind, x[0], x[1]);
    let shapes: [(&[usize], &[usize]); 15] = [
        (&[1], &[1]),
        (&[7], &[7]),
        (&[64], &[64]),
        (&[5, 13], &[5, 13]),
        (&[6, 8], &[8]),
        (&[8], &[6, 8]),
        (&[6, 7], &[7]),
        (&[3, 5], &[3, 1]),
        (&[4, 1, 3], &[5, 1]),
        (&[2, 1, 4, 1, 3, 1], &[1, 3, 1, 5, 1, 2]),
        (&[], &[3, 4]),
        (&[33, 65], &[]),
        (&[3, 8], &[3, 1]),
        (&[], &[5, 16]),
        (&[2, 3, 1], &[2, 3, 12]),
    ];
    for (left, right) in shapes {
        let name = format!("{} of {left:?} and {right:?}", kind.name());
        let shape = |dims: &[usize]| retape::Shape::new(dims).expect("rank fits");
        let inputs = match kind {
            Binary::Pow => vec![uniform(shape(left), 1, 0.3, 2.5), uniform(shape(right), 2, -2.0, 3.0)],
            Binary::Div => vec![signed(shape(left), 1), signed(shape(right), 2)],
            _ => vec![distinct(shape(left), 1), uniform(shape(right), 2, -1.01, 0.97)],
        };
        let case = Case::new(name, inputs, call);
        let kinked = kind.is_comparison() || matches!(kind, Binary::Min | Binary::Max);
        cases.push(if kinked { case.rough() } else { case });
    }
    let name = format!("{} of hostile numbers", kind.name());
    cases.push(Case::new(name, vec![hostile([17, 4]), hostile([17, 1])], call).rough());
}

fn select(cases: &mut Vec<Case>) {
    let call = |g: &mut retape::Graph, x: &[retape::Value]| {
        let condition = g.greater(x[0], g.scalar_constant(0.0))?;
        g.select(condition, x[1], x[2])
    };
    // Anything but zero chooses the first.
    let inputs = vec![hostile([9, 4]), signed([9, 4], 2), signed([9, 4], 3)];
    cases.push(Case::new("select by numbers", inputs, |g, x| g.select(x[0], x[1], x[2])).rough());
    for (c, a, b) in [([3, 4], [3, 4], [3, 4]), ([3, 1], [1, 4], [3, 4]), ([65, 7], [65, 1], [1, 1])] {
        let inputs = vec![signed(c, 1), signed(a, 2), signed(b, 3)];
        cases.push(Case::new(format!("select of {c:?}, {a:?}, {b:?}"), inputs, call));
    }
}
