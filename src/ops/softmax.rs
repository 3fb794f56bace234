//! Softmax and log-softmax along an axis. Shader: `softmax.wgsl`.

mod compute;

use super::common::*;
pub(super) use compute::exponentials;

pub(super) static SHADER: Shader =
    built_in!("softmax", "../../shaders/softmax.wgsl", "../../shaders/workgroup.wgsl");

crate::params! {
    /// Of rows along an axis.
    pub(super) struct RowsParams { n: u32, axis: u32, inner: u32 }
}

pub(super) static FAMILY: Family = Family {
    operators: &[
        OperatorInfo::new("softmax", Gradient::Yes, "f32, f16"),
        OperatorInfo::new("softmax_grad", Gradient::None, "f32, f16"),
        OperatorInfo::new("log_softmax", Gradient::Yes, "f32, f16"),
        OperatorInfo::new("log_softmax_grad", Gradient::None, "f32, f16"),
    ],
    shaders: &[&SHADER],
};

/// A value viewed as `[outer, axis, inner]`: its rows along one axis.
#[derive(Clone, Copy, Debug)]
pub(super) struct Rows {
    /// How many rows there are.
    pub n: usize,
    /// Elements of a row.
    pub axis: usize,
    inner: usize,
}

impl Rows {
    pub fn new(shape: Shape, axis: usize) -> Self {
        let (before, after) = shape.dims().split_at(axis);
        let inner = after[1..].iter().product();
        Rows { n: before.iter().product::<usize>() * inner, axis: after[0], inner }
    }

    /// What kernels take.
    pub fn params(&self) -> RowsParams {
        RowsParams { n: word(self.n), axis: word(self.axis), inner: word(self.inner) }
    }

    /// The row that flat index `i` belongs to.
    pub fn row_of(&self, i: usize) -> usize {
        i / (self.axis * self.inner) * self.inner + i % self.inner
    }

    /// The flat indices of a row.
    pub fn elements(&self, row: usize) -> impl Iterator<Item = usize> + Clone + use<> {
        let Rows { axis, inner, .. } = *self;
        let base = row / inner * axis * inner + row % inner;
        (0..axis).map(move |k| base + k * inner)
    }

    /// A number per row.
    pub fn map(&self, f: impl Fn(usize) -> f64 + Sync) -> Vec<f64> {
        Array::from_fn([self.n], f).data
    }

    /// The sum of `term` over each row.
    pub fn sum(&self, term: impl Fn(usize) -> f64 + Sync) -> Vec<f64> {
        self.map(|row| self.elements(row).map(&term).sum())
    }

    /// The largest element of each row.
    pub fn max(&self, x: &Array) -> Vec<f64> {
        self.map(|row| self.elements(row).map(|i| x.data[i]).fold(f64::NEG_INFINITY, larger))
    }

    /// A call of the entry that gives a row to a thread, or of the one that gives it to a workgroup; either
    /// goes over its row three times at most.
    pub fn call(
        &self,
        profile: &DeviceProfile,
        shader: &'static Shader,
        entries: [&'static str; 2],
    ) -> KernelCall {
        let (entry, threads, loops) = match by_workgroups(profile, self.n, self.axis, self.inner == 1) {
            false => (entries[0], 64, self.axis + self.axis.div_ceil(64)),
            true => (entries[1], 1, self.axis.div_ceil(256) + 8),
        };
        KernelCall::new(shader, entry).loops(3 * loops).grid(Grid::linear(self.n, threads))
    }

    /// Additions that one number of a row's sum goes through at most: a block of 64 and then the
    /// blocks. A tree's are fewer where it is chosen.
    pub fn chain(&self) -> f64 {
        self.axis.min(64) as f64 + self.axis as f64 / 64.0
    }
}

/// Whether each of many rows gets a workgroup, not a thread. A GPU gives each long row its own, whose threads
/// read neighbours. Only where a row's elements lie apart and there are rows enough to occupy the device does
/// a thread per row read neighbours too. A software driver gains nothing from workgroup memory, but limits how
/// often a thread may loop.
pub(super) fn by_workgroups(profile: &DeviceProfile, rows: usize, length: usize, contiguous: bool) -> bool {
    match profile.kind {
        DeviceKind::Gpu => length >= 128 && (contiguous || rows <= 16_384),
        DeviceKind::Cpu => length > 8192,
    }
}

/// What the exponentials of rows come to.
pub(super) struct Exponentials<'a> {
    x: &'a Array,
    rows: Rows,
    /// The largest element of each row.
    max: Vec<f64>,
    /// The sum of `exp(x - max)` over each row, at least 1.
    pub sum: Vec<f64>,
}

impl<'a> Exponentials<'a> {
    pub fn new(x: &'a Array, rows: Rows) -> Self {
        let max = rows.max(x);
        let sum = rows.sum(|i| (x.data[i] - max[rows.row_of(i)]).exp());
        Exponentials { x, rows, max, sum }
    }

    /// An element less the largest of its row.
    pub fn shifted(&self, i: usize) -> f64 {
        self.x.data[i] - self.max[self.rows.row_of(i)]
    }

    /// The relative error of each sum in f32, in units of `EPS`.
    pub fn ulps(&self) -> Vec<f64> {
        // The exponentials' errors weighted by their share, and half a unit per addition.
        let weighted = self.rows.sum(|i| {
            let e = self.shifted(i).exp();
            if e > 0.0 { e * exp_ulps(self.shifted(i)) } else { 0.0 }
        });
        weighted.iter().zip(&self.sum).map(|(w, s)| w / s + 0.5 * self.rows.chain()).collect()
    }

    /// The absolute error of the logarithm of each sum, in units of `EPS`: WGSL grants the larger of 2^-21,
    /// near 1, and three units in the last place (section 15.7.4).
    pub fn log_ulps(&self) -> Vec<f64> {
        self.ulps().iter().zip(&self.sum).map(|(ulps, sum)| ulps + (3.0 * sum.ln()).max(4.0)).collect()
    }
}

/// The relative error of `exp(x - m)` in units of `EPS`: WGSL grants `3 + 2 |t|` units in the last
/// place for argument `t` (section 15.7.4), and rounding the difference adds `|t| / 2`.
pub(super) fn exp_ulps(shifted: f64) -> f64 {
    3.0 + 2.5 * shifted.abs()
}

/// The two functions; the number of each is `KIND` in the shader.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Softmax,
    LogSoftmax,
}

/// `y = exp(x) / sum(exp(x))` along an axis, or its logarithm.
#[derive(Clone, Copy, Debug)]
pub(super) struct Softmax {
    pub kind: Kind,
    pub axis: usize,
}

/// The gradient; inputs `y` of the forward op and `dy`.
#[derive(Clone, Copy, Debug)]
struct SoftmaxGrad(Softmax);

impl Softmax {
    fn rows(&self, x: Shape) -> Rows {
        Rows::new(x, self.axis)
    }

    fn call(&self, cx: &Lowering<'_>, entries: [&'static str; 2]) -> KernelCall {
        let rows = self.rows(cx.inputs[0].shape);
        rows.call(cx.profile, &SHADER, entries)
            .constant("KIND", f64::from(self.kind as u32))
            .params(&rows.params())
    }
}

impl Op for Softmax {
    fn name(&self) -> &'static str {
        match self.kind {
            Kind::Softmax => "softmax",
            Kind::LogSoftmax => "log_softmax",
        }
    }

    fn attributes(&self) -> String {
        format!("axis={}", self.axis)
    }

    fn outputs(&self, inputs: &[TensorType]) -> Result<Vec<TensorType>> {
        expect_float("the operand", inputs[0])?;
        Ok(vec![inputs[0]])
    }

    fn backward(&self, cx: &Backward<'_>) -> Option<Result<Vec<Option<Value>>>> {
        cx.first(cx.graph.apply1(SoftmaxGrad(*self), &[cx.outputs[0], cx.grad()]))
    }

    fn lower(&self, cx: &mut Lowering<'_>) -> Result<()> {
        cx.only(self.call(cx, ["lanes", "tree"]).binds([Slot::Input(0), Slot::Output(0)]))
    }

    fn reference(&self, cx: &Reference<'_>) -> Vec<Array> {
        let x = cx.inputs[0];
        let rows = self.rows(x.shape);
        let of = Exponentials::new(x, rows);
        let value = |i: usize| match self.kind {
            Kind::Softmax => of.shifted(i).exp() / of.sum[rows.row_of(i)],
            Kind::LogSoftmax => of.shifted(i) - of.sum[rows.row_of(i)].ln(),
        };
        vec![Array::from_fn(x.shape, value)]
    }

    fn reference_scratch(&self, inputs: &[TensorType], _: &[TensorType]) -> u64 {
        16 * self.rows(inputs[0].shape).n as u64
    }

    fn routine(&self, inputs: &[TensorType], _: &[TensorType]) -> Option<Routine> {
        let (op, rows) = (*self, self.rows(inputs[0].shape));
        Some(Box::new(move |cx| op.run(rows, cx)))
    }

    fn error_bound(&self, cx: &Reference<'_>, results: &[Array]) -> Vec<Vec<f64>> {
        let (x, y) = (cx.inputs[0], &results[0]);
        let rows = self.rows(x.shape);
        let of = Exponentials::new(x, rows);
        let (ulps, log_ulps) = (of.ulps(), of.log_ulps());
        let bound = |i: usize| {
            let (row, shifted, y) = (rows.row_of(i), of.shifted(i), y.data[i].abs());
            let error = match self.kind {
                // The reciprocal is granted 2.5 units, the product rounds by half a one.
                Kind::Softmax if y > 0.0 => (exp_ulps(shifted) + ulps[row] + 3.0) * y,
                Kind::Softmax => 0.0,
                // Both differences round.
                Kind::LogSoftmax => 0.5 * shifted.abs() + log_ulps[row] + 0.5 * y,
            };
            error * EPS + FLUSH
        };
        vec![(0..x.data.len()).map(bound).collect()]
    }
}

impl Op for SoftmaxGrad {
    fn name(&self) -> &'static str {
        match self.0.kind {
            Kind::Softmax => "softmax_grad",
            Kind::LogSoftmax => "log_softmax_grad",
        }
    }

    fn attributes(&self) -> String {
        self.0.attributes()
    }

    fn outputs(&self, inputs: &[TensorType]) -> Result<Vec<TensorType>> {
        Ok(vec![inputs[1]])
    }

    fn lower(&self, cx: &mut Lowering<'_>) -> Result<()> {
        let call = self.0.call(cx, ["lanes_grad", "tree_grad"]);
        cx.only(call.binds([Slot::Input(0), Slot::Input(1), Slot::Output(0)]))
    }

    fn reference(&self, cx: &Reference<'_>) -> Vec<Array> {
        let (y, dy) = (&cx.inputs[0].data, &cx.inputs[1].data);
        let rows = self.0.rows(cx.inputs[0].shape);
        let softmax = self.0.kind == Kind::Softmax;
        let total = rows.sum(|i| if softmax { y[i] * dy[i] } else { dy[i] });
        let slope = |i: usize| {
            let total = total[rows.row_of(i)];
            if softmax { y[i] * (dy[i] - total) } else { dy[i] - y[i].exp() * total }
        };
        vec![Array::from_fn(cx.inputs[0].shape, slope)]
    }

    fn reference_scratch(&self, inputs: &[TensorType], _: &[TensorType]) -> u64 {
        8 * self.0.rows(inputs[0].shape).n as u64
    }

    fn routine(&self, inputs: &[TensorType], _: &[TensorType]) -> Option<Routine> {
        let (op, rows) = (self.0, self.0.rows(inputs[0].shape));
        Some(Box::new(move |cx| op.run_back(rows, cx)))
    }

    fn error_bound(&self, cx: &Reference<'_>, _: &[Array]) -> Vec<Vec<f64>> {
        let (y, dy) = (&cx.inputs[0].data, &cx.inputs[1].data);
        let rows = self.0.rows(cx.inputs[0].shape);
        let softmax = self.0.kind == Kind::Softmax;
        // The magnitudes of the row's sum, and of what denormals flushed in it may hide.
        let total = rows.sum(|i| if softmax { (y[i] * dy[i]).abs() } else { dy[i].abs() });
        let hidden = rows.sum(|i| if softmax { 1.0 + dy[i].abs() } else { 1.0 });
        let chain = 0.5 * rows.chain();
        let bound = |i: usize| {
            let row = rows.row_of(i);
            let (total, dy, hidden) = (total[row], dy[i].abs(), hidden[row]);
            if softmax {
                // The sum's products and additions; then the difference and the product.
                let error = (0.5 + chain) * total + dy + total;
                y[i].abs() * (error * EPS + hidden * FLUSH) + (1.0 + dy + total) * FLUSH
            } else {
                // The sum, the exponential and their product; then the difference.
                let e = y[i].exp();
                let error = e * (chain + 3.5 + 2.0 * y[i].abs()) * total + 0.5 * (dy + e * total);
                error * EPS + (2.0 + total + e * hidden) * FLUSH
            }
        };
        vec![(0..y.len()).map(bound).collect()]
    }
}
