//! Constraints on parameters, written over their contents after an update: norms of units, signs and
//! masks. Shader: `constrain.wgsl`.

use super::common::*;
use super::reduce::{Axes, reduced_axes};
use super::softmax::by_workgroups;

pub(super) static SHADER: Shader =
    built_in!("constrain", "../../shaders/constrain.wgsl", "../../shaders/workgroup.wgsl");

crate::params! {
    struct NormParams {
        kept: [u32; 4], kept_s: [u32; 4], reduced: [u32; 4], reduced_s: [u32; 4],
        n: u32, low: f32, high: f32, rate: f32,
    }
}

pub(super) static FAMILY: Family = Family {
    operators: &[
        OperatorInfo::new("constrain_norm", Gradient::None, "f32"),
        OperatorInfo::new("non_negative", Gradient::None, "f32"),
        OperatorInfo::new("apply_mask", Gradient::None, "f32"),
    ],
    shaders: &[&SHADER],
};

/// What is added to a norm that is divided by.
const EPSILON: f64 = 1e-7;

/// The units of a parameter: which of its elements have a norm together.
#[derive(Clone, Debug)]
pub(crate) struct Units {
    view: Shape,
    axes: Vec<usize>,
}

impl Units {
    /// One unit for each index over the other axes of `view`, which has the parameter's elements in
    /// their order; no axes means all.
    pub fn over(view: Shape, axes: &[isize]) -> Result<Units> {
        let reduced = reduced_axes(view, axes)?;
        Ok(Units { view, axes: (0..view.rank()).filter(|&axis| reduced[axis]).collect() })
    }

    /// Those kept have an index for each unit.
    fn split(&self) -> Axes {
        Axes::new(self.view, |axis| self.axes.contains(&axis))
    }
}

/// The norm of each unit brought into `[low, high]`, by the share `rate` of the way.
#[derive(Clone, Debug)]
pub(crate) struct ConstrainNorm {
    pub low: f32,
    pub high: f32,
    pub rate: f32,
    pub units: Units,
}

/// Elements of a parameter overwritten one by one.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Elements {
    /// `w = max(w, 0)`.
    NonNegative,
    /// `w = w mask` over `w, mask`.
    Masked,
}

impl ConstrainNorm {
    fn factor(&self, norm: f64) -> f64 {
        let [low, high, rate] = [self.low, self.high, self.rate].map(f64::from);
        if !norm.is_finite() {
            f64::NAN
        } else if norm >= low && norm <= high {
            1.0
        } else {
            (rate * norm.clamp(low, high) + (1.0 - rate) * norm) / (norm + EPSILON)
        }
    }

    /// The error of the factor for a norm that f32 has to within `error` of itself: on the other side
    /// of a limit, the unit would have kept its bits, or not; and squares may be flushed to zero.
    fn factor_error(&self, norm: f64, error: f64, count: f64) -> f64 {
        let factor = self.factor(norm);
        let near = |limit: f32| (norm - f64::from(limit)).abs() <= error * norm;
        let edge = if near(self.low) || near(self.high) { EPSILON / (norm + EPSILON) + error } else { 0.0 };
        let lost = norm * norm < 1e7 * count * FLUSH;
        let flushed = if lost { (self.factor(0.0) - factor).abs() } else { 0.0 };
        error * factor + edge + flushed
    }

    /// The norm of each unit, and the unit of each element.
    fn norms(&self, w: &Array) -> (Vec<f64>, Vec<usize>) {
        let axes = self.units.split();
        let (base, inside) = axes.offsets();
        let square = |o: usize| inside.iter().map(|r| w.data[base(o) + r].powi(2)).sum::<f64>();
        let norms = Array::from_fn([axes.kept.len()], |o| square(o).sqrt()).data;
        let mut unit_of = vec![0; w.data.len()];
        for o in 0..norms.len() {
            inside.iter().for_each(|r| unit_of[base(o) + r] = o);
        }
        (norms, unit_of)
    }
}

impl Op for ConstrainNorm {
    fn name(&self) -> &'static str {
        "constrain_norm"
    }

    fn attributes(&self) -> String {
        let ConstrainNorm { low, high, rate, units } = self;
        let rate = if *rate == 1.0 { String::new() } else { format!(", rate={rate}") };
        format!("{low}..{high}{rate}, axes={:?}", units.axes)
    }

    fn outputs(&self, inputs: &[TensorType]) -> Result<Vec<TensorType>> {
        expect_dtype("the parameter", inputs[0], DType::F32)?;
        if inputs[0].numel() != self.units.view.numel() {
            return Err(Error::Reshape { from: inputs[0].shape, to: self.units.view });
        }
        Ok(Vec::new())
    }

    fn mutates(&self) -> &[usize] {
        &[0]
    }

    fn lower(&self, cx: &mut Lowering<'_>) -> Result<()> {
        let axes = self.units.split();
        let (units, count) = (axes.kept.len(), axes.reduced.len());
        let &ConstrainNorm { low, high, rate, .. } = self;
        let [kept, kept_s, reduced, reduced_s] = axes.words();
        let params = NormParams { kept, kept_s, reduced, reduced_s, n: word(units), low, high, rate };
        let contiguous = axes.reduced.strides[0].last() == Some(&1);
        let (entry, grid, loops) = match by_workgroups(cx.profile, units, count, contiguous) {
            false => ("norm_lanes", Grid::linear(units, 64), 3 * count + 2 * count.div_ceil(64)),
            true => ("norm_tree", Grid::linear(units, 1), 2 * count.div_ceil(256) + 8),
        };
        cx.only(axes.call(&SHADER, entry).params(&params).bind(Slot::Input(0)).loops(loops).grid(grid))
    }

    fn reference(&self, cx: &Reference<'_>) -> Vec<Array> {
        let w = cx.inputs[0];
        let (norms, unit_of) = self.norms(w);
        vec![Array::from_fn(w.shape, |i| w.data[i] * self.factor(norms[unit_of[i]]))]
    }

    /// The norms, and the unit of each element.
    fn reference_scratch(&self, inputs: &[TensorType], _: &[TensorType]) -> u64 {
        16 * inputs[0].numel() as u64
    }

    fn error_bound(&self, cx: &Reference<'_>, results: &[Array]) -> Vec<Vec<f64>> {
        let w = cx.inputs[0];
        let (norms, unit_of) = self.norms(w);
        let count = self.units.split().reduced.len() as f64;
        // Half a unit for each addition of a block of 64, of the blocks and of a tree, halved by the root;
        // the root, the quotient, the sum of two terms in it and the product round too.
        let error = EPS * (0.25 * (count.min(64.0) + count / 64.0 + 10.0) + 14.0);
        let bound = |i: usize| {
            let norm = norms[unit_of[i]];
            self.factor_error(norm, error, count) * w.data[i].abs() + (2.0 + self.factor(norm)) * FLUSH
        };
        vec![(0..results[0].data.len()).map(bound).collect()]
    }
}

impl Op for Elements {
    fn name(&self) -> &'static str {
        match self {
            Elements::NonNegative => "non_negative",
            Elements::Masked => "apply_mask",
        }
    }

    fn outputs(&self, inputs: &[TensorType]) -> Result<Vec<TensorType>> {
        expect_dtype("the parameter", inputs[0], DType::F32)?;
        if let Elements::Masked = self {
            expect_dtype("the mask", inputs[1], DType::F32)?;
            same_shape("a mask needs the shape of its parameter", inputs[0].shape, inputs[1].shape)?;
        }
        Ok(Vec::new())
    }

    fn mutates(&self) -> &[usize] {
        &[0]
    }

    /// One call over vectors of four, with all inputs bound in order.
    fn lower(&self, cx: &mut Lowering<'_>) -> Result<()> {
        let quads = cx.inputs[0].numel().div_ceil(4);
        let call = KernelCall::new(&SHADER, self.name())
            .binds((0..cx.inputs.len()).map(Slot::Input))
            .params(&Length { n: word(quads) })
            .elementwise("n", quads, 4);
        cx.only(call)
    }

    fn reference(&self, cx: &Reference<'_>) -> Vec<Array> {
        let w = cx.inputs[0];
        vec![match self {
            Elements::NonNegative => w.map(|w| if w < 0.0 { 0.0 } else { w }),
            Elements::Masked => Array::from_fn(w.shape, |i| w.data[i] * cx.inputs[1].data[i]),
        }]
    }

    fn error_bound(&self, cx: &Reference<'_>, results: &[Array]) -> Vec<Vec<f64>> {
        let Elements::Masked = self else { return within(FLUSH, results) };
        let factors = cx.inputs[0].data.iter().zip(&cx.inputs[1].data);
        let bound =
            |((w, mask), y): ((&f64, &f64), &f64)| EPS * y.abs() + (1.0 + w.abs() + mask.abs()) * FLUSH;
        vec![factors.zip(&results[0].data).map(bound).collect()]
    }
}
