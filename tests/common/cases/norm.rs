//! Batch, layer, group and instance norm, and batch norm by given statistics.

use retape::random::Stream;
use retape::{Graph, Result, Shape, Value};

use super::super::data::{hostile, noise, signed, uniform};
use super::super::{Case, Input};

const EPSILON: f32 = 1e-5;

/// A form of normalisation; group norm's groups are as few as divide the channels, but not one.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Form {
    Batch,
    Inference,
    Layer(isize),
    Group,
    Instance,
}

const FORMS: [Form; 6] =
    [Form::Batch, Form::Inference, Form::Layer(1), Form::Layer(-1), Form::Group, Form::Instance];

impl Form {
    fn call(self, g: &Graph, x: Value, scale: Option<Value>, shift: Option<Value>) -> Result<Value> {
        match self {
            Form::Batch => Ok(g.batch_norm(x, scale, shift, EPSILON)?.y()),
            Form::Inference => {
                let c = g.shape(x)?.dims()[1];
                let mean = g.constant([c], &noise(c, 7, -0.5, 0.5))?;
                let variance = g.constant([c], &noise(c, 8, 0.3, 2.0))?;
                g.batch_norm_inference(x, scale, shift, mean, variance, EPSILON)
            }
            Form::Layer(axis) => g.layer_norm(x, axis, scale, shift, EPSILON),
            Form::Group => {
                let c = g.shape(x)?.dims()[1];
                let groups = (2..=c).find(|n| c.is_multiple_of(*n)).unwrap_or(1);
                g.group_norm(x, groups, scale, shift, EPSILON)
            }
            Form::Instance => g.instance_norm(x, scale, shift, EPSILON),
        }
    }

    /// The shape of scale and shift.
    fn affine(self, x: Shape) -> Shape {
        let from = match self {
            Form::Layer(axis) => x.axis(axis).expect("the axis exists"),
            _ => return Shape::from([x.dims()[1]]),
        };
        Shape::new(&x.dims()[from..]).expect("rank fits")
    }

    /// Elements that share statistics.
    fn count(self, x: Shape) -> usize {
        let dims = x.dims();
        let space: usize = dims[2..].iter().product();
        let (n, c) = (dims[0], dims[1]);
        match self {
            Form::Batch => n * space,
            Form::Inference => usize::MAX,
            Form::Layer(_) => self.affine(x).numel(),
            Form::Group => c / (2..=c).find(|n| c.is_multiple_of(*n)).unwrap_or(1) * space,
            Form::Instance => space,
        }
    }

    /// Whether it takes operands of this shape: one number has no variance, and the last axis of a
    /// matrix is its first normalised one.
    fn takes(self, x: Shape) -> bool {
        match self {
            Form::Batch | Form::Instance => self.count(x) > 1,
            Form::Layer(axis) => axis > 0 || x.rank() > 2,
            Form::Inference | Form::Group => true,
        }
    }

    /// Whether finite differences tell anything: two or three numbers are normalised to much the
    /// same whatever they are, and far beyond what differences of third order follow.
    fn smooth(self, x: Shape) -> bool {
        self.count(x) >= 5 && x.numel() <= 4000
    }
}

pub fn cases() -> Vec<Case> {
    let mut cases = Vec::new();
    let spaces: [&[usize]; 4] = [&[], &[1], &[5, 7], &[13, 13]];
    for n in [1, 2, 3] {
        for c in [1, 3, 7, 64, 65] {
            for space in spaces {
                shapes(&[&[n, c], space].concat(), &mut cases);
            }
        }
    }
    // Long groups, which are split; many; the sides of where a workgroup takes one; other ranks.
    let more: [&[usize]; 14] = [
        &[2, 3, 40, 41],
        &[3, 2, 53, 59],
        &[130, 2, 2, 2],
        &[128, 2, 3],
        &[257, 3],
        &[1021, 65],
        &[2, 1021],
        &[3, 20_011],
        &[129, 127],
        &[5, 128],
        &[300, 129],
        &[2, 4, 63],
        &[2, 6, 3, 2, 7],
        &[2, 3, 2, 5, 1, 4],
    ];
    more.iter().for_each(|dims| shapes(dims, &mut cases));
    hostiles(&mut cases);
    parameters_only(&mut cases);
    cases
}

fn shapes(dims: &[usize], cases: &mut Vec<Case>) {
    let x = Shape::new(dims).expect("rank fits");
    for form in FORMS.into_iter().filter(|form| form.takes(x)) {
        cases.push(affine(form, &format!("{dims:?}"), signed(x, dims[0] as u32), form.smooth(x)));
        if dims[0] == 2 {
            for (scale, shift) in [(false, false), (true, false), (false, true)] {
                cases.push(partly_affine(form, x, scale, shift));
            }
        }
    }
}

fn affine(form: Form, what: &str, x: Input, smooth: bool) -> Case {
    let Input::F32(shape, _) = &x else { unreachable!("the operand is f32") };
    let by_channel = form.affine(*shape);
    let inputs = vec![x, uniform(by_channel, 11, 0.5, 1.5), uniform(by_channel, 12, -1.0, 1.0)];
    let name = format!("{form:?} norm of {what}");
    let case = Case::new(name, inputs, move |g, x| form.call(g, x[0], Some(x[1]), Some(x[2])));
    if smooth { case } else { case.rough() }
}

fn partly_affine(form: Form, x: Shape, scale: bool, shift: bool) -> Case {
    let mut inputs = vec![signed(x, 3)];
    if scale || shift {
        inputs.push(uniform(form.affine(x), 13, 0.5, 1.5));
    }
    let name = format!("{form:?} norm of {x}, scale {scale}, shift {shift}");
    let case =
        Case::new(name, inputs, move |g, x| form.call(g, x[0], scale.then(|| x[1]), shift.then(|| x[1])));
    if form.smooth(x) { case } else { case.rough() }
}

/// Standard normal numbers.
fn normal(shape: Shape, seed: u32, map: impl Fn(usize, f64) -> f64) -> Input {
    let stream = Stream { seed, step: 0, stream: 80 };
    let number = |i: usize| map(i, stream.normal(i as u32)) as f32;
    Input::F32(shape, (0..shape.numel()).map(number).collect())
}

fn hostiles(cases: &mut Vec<Case>) {
    // Groups by thread and by workgroup, whole and in parts, with and without spatial axes.
    let shapes: [&[usize]; 5] = [&[3, 4, 9, 11], &[2, 3, 40, 41], &[3, 2, 53, 59], &[300, 6], &[5, 2000]];
    for dims in shapes {
        let x = Shape::new(dims).expect("rank fits");
        let space: usize = dims[2..].iter().product();
        let inputs = [
            ("mean 1e4, deviation 1e-2", normal(x, 1, |_, z| 1e4 + 1e-2 * z)),
            ("mean -1e4, deviation 1e-2, by channel", {
                normal(x, 2, |i, z| -1e4 * (1 + i / space % dims[1]) as f64 + 1e-2 * z)
            }),
            ("an outlier first", normal(x, 3, |i, z| if i % (dims[1] * space) == 0 { 1e4 } else { z })),
            ("outliers at both ends", {
                normal(x, 4, |i, z| if i == 0 || i + 1 == x.numel() { 1e4 } else { z })
            }),
            ("one constant", Input::F32(x, vec![0.1; x.numel()])),
            ("a constant of 1e6", Input::F32(x, vec![1e6 + 0.5; x.numel()])),
            ("zeros", Input::F32(x, vec![0.0; x.numel()])),
            ("hostile numbers", hostile(x)),
            ("-400..400", uniform(x, 5, -400.0, 400.0)),
            ("denormals", normal(x, 6, |_, z| 1e-40 * z)),
            ("tiny numbers", normal(x, 7, |_, z| 1e-20 * z)),
            ("huge numbers", normal(x, 8, |_, z| 1e15 * z)),
            ("numbers whose squares overflow", normal(x, 9, |_, z| 1e19 * z)),
            ("1e30", normal(x, 10, |_, z| 1e30 * z)),
            ("one of 1e25", normal(x, 11, |i, z| if i % space.max(7) == 3 { 1e25 } else { z })),
            ("1e30 and deviations of 1e24", normal(x, 12, |_, z| 1e30 + 1e24 * z)),
        ];
        for (what, input) in inputs {
            for form in FORMS.into_iter().filter(|form| form.takes(x)) {
                cases.push(affine(form, &format!("{what} {dims:?}"), input.clone(), false));
            }
        }
        // Differences overflow as well, and one number is none.
        let ends = normal(x, 13, |i, _| if i % 3 == 0 { -3e38 } else { 3e38 });
        let nan = normal(x, 14, |i, z| if i == 5 { f64::NAN } else { z });
        let infinite = normal(x, 15, |i, z| if i == 0 { f64::INFINITY } else { z });
        for form in FORMS.into_iter().filter(|&form| form != Form::Inference && form.takes(x)) {
            cases.push(affine(form, &format!("both ends of f32 {dims:?}"), ends.clone(), false));
            cases.push(affine(form, &format!("a NaN {dims:?}"), nan.clone(), false));
            cases.push(affine(form, &format!("an infinity {dims:?}"), infinite.clone(), false));
        }
    }
    let zero_scale = |form: Form| {
        let shape = Shape::from([2, 6, 5]);
        let zeros = Input::F32(form.affine(shape), vec![0.0; form.affine(shape).numel()]);
        let inputs = vec![signed(shape, 1), zeros.clone(), zeros];
        Case::new(format!("{form:?} norm, zero scale and shift"), inputs, move |g, x| {
            form.call(g, x[0], Some(x[1]), Some(x[2]))
        })
    };
    cases.extend(FORMS.map(zero_scale));
}

/// Only scale and shift are trained, of a constant.
fn parameters_only(cases: &mut Vec<Case>) {
    for dims in [&[3, 6, 5, 7][..], &[20, 6], &[2, 2, 3000], &[300, 2], &[2, 2, 9000]] {
        let x = Shape::new(dims).expect("rank fits");
        for form in FORMS.into_iter().filter(|form| form.takes(x)) {
            let inputs = vec![uniform(form.affine(x), 1, 0.5, 1.5), uniform(form.affine(x), 2, -1.0, 1.0)];
            let name = format!("{form:?} norm of a constant {dims:?}");
            cases.push(Case::new(name, inputs, move |g, by| {
                let x = g.constant(x, &noise(x.numel(), 5, -2.0, 2.0))?;
                form.call(g, x, Some(by[0]), Some(by[1]))
            }));
        }
    }
}
