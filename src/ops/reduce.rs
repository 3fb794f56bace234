//! Reductions over axes, and argmax. Shader: `reduce.wgsl`.

mod compute;
use std::any::Any;

use super::common::*;
use super::softmax::Rows;
use super::strided::Nest;
use compute::Reducing;

pub(super) static SHADER: Shader = built_in!("reduce", "../../shaders/reduce.wgsl");

crate::params! {
    struct ReduceParams {
        kept: [u32; 4], kept_s: [u32; 4], reduced: [u32; 4], reduced_s: [u32; 4],
        n: u32, splits: u32, scale: f32, unused: u32,
    }
}

pub(super) static FAMILY: Family = Family { operators: OPERATORS, shaders: &[&SHADER] };

/// A row: documentation, variant and its number in the shader; documentation and method.
macro_rules! reductions {
    (
        $($(#[$about:meta])+ $kind:ident = $number:literal: $(#[$doc:meta])+ $method:ident;)*
        impl Graph { $($more:tt)* }
    ) => {
        const OPERATORS: &[OperatorInfo] = &[
            $(OperatorInfo::new(stringify!($method), Gradient::Yes, "f32, f16"),)*
            OperatorInfo::new("argmax", Gradient::Zero, "f32, f16"),
        ];

        /// What a reduction computes.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        #[non_exhaustive]
        pub enum Reduction {$($(#[$about])* $kind,)*}

        impl Reduction {
            /// All of them.
            pub const ALL: &'static [Reduction] = &[$(Reduction::$kind,)*];

            /// The name in listings: the method's.
            pub fn name(self) -> &'static str {
                match self {$(Reduction::$kind => stringify!($method),)*}
            }

            fn number(self) -> f64 {
                match self {$(Reduction::$kind => $number,)*}
            }
        }

        /// # Reductions
        ///
        /// `x` is f32 of any shape. `axes` are the axes to reduce, all if empty; negative ones count from the
        /// back. They are dropped, or stay as dimensions of 1 with `keepdims`.
        impl Graph {$(
            $(#[$doc])*
            ///
            /// f32 `x` of any shape gives f32 of the axes that are left, or of as many as `x` has with
            /// `keepdims`.
            ///
            /// # Errors
            /// [`Error::Axis`] for an axis that is not there or named twice; [`Error::DTypeMismatch`] unless
            /// `x` is f32.
            #[track_caller]
            pub fn $method(&self, x: Value, axes: &[isize], keepdims: bool) -> Result<Value> {
                self.reduce(Reduction::$kind, x, axes, keepdims)
            }
        )* $($more)*}
    };
}

reductions! {
    /// The sum.
    Sum = 0.0:
    /// The sum over `axes`.
    ///
    /// ```
    /// use retape::prelude::*;
    /// let mut g = Graph::new();
    /// let x = g.input("x", [4, 6, 8]);
    /// let rows = g.sum(x, &[-1], false)?;
    /// assert_eq!(g.shape(rows)?, Shape::from([4, 6]));
    /// let all = g.sum(x, &[], false)?;
    /// assert_eq!(g.shape(all)?, Shape::from([]));
    /// # Ok::<(), retape::Error>(())
    /// ```
    sum;

    /// The arithmetic mean.
    Mean = 0.0:
    /// The arithmetic mean over `axes`.
    mean;

    /// The largest element.
    Max = 1.0:
    /// The largest element over `axes`, NaN if one is. Equal maxima, or all NaN, share the gradient.
    max;

    /// The smallest element.
    Min = 2.0:
    /// The smallest element over `axes`, NaN if one is. Equal minima, or all NaN, share the gradient.
    min;

    impl Graph {
        /// The index of the first largest element of f32 `x` along `axis`, as u32; the axis is dropped. A NaN
        /// is the largest, as in NumPy, PyTorch and ONNX.
        ///
        /// # Errors
        /// [`Error::Axis`] for an axis that is not there; [`Error::DTypeMismatch`] unless `x` is f32.
        #[track_caller]
        pub fn argmax(&self, x: Value, axis: isize) -> Result<Value> {
            let axis = self.operand_axis("argmax", x, axis)?;
            self.apply1(Argmax(axis), &[x])
        }

        /// `x` summed over the dimensions that broadcasting to its shape would stretch: the gradient
        /// of a broadcast. f32 of a shape that `shape` broadcasts to gives f32 of `shape`.
        ///
        /// # Errors
        /// [`Error::Broadcast`] with both shapes; [`Error::DTypeMismatch`] unless `x` is f32.
        #[track_caller]
        pub fn sum_to(&self, x: Value, shape: impl Into<Shape>) -> Result<Value> {
            let (from, to) = (self.operand_shape("sum", x)?, shape.into());
            if from == to {
                return Ok(x);
            }
            if to.broadcast(from).ok() != Some(from) {
                return self.located("sum", Err(Error::Broadcast { left: from, right: to }));
            }
            let lead = from.rank() - to.rank();
            let stretched =
                |axis: usize| axis < lead || (to.dims()[axis - lead] == 1 && from.dims()[axis] != 1);
            let reduced = (0..from.rank()).map(stretched).collect();
            let summed = self.apply1(Reduce { kind: Reduction::Sum, reduced, keepdims: true }, &[x])?;
            self.reshape(summed, to)
        }

        /// A reduction by its enumeration: `x` and the result are those of the method of that name.
        ///
        /// # Errors
        /// As that method: [`Error::Axis`], [`Error::DTypeMismatch`].
        #[track_caller]
        pub fn reduce(&self, kind: Reduction, x: Value, axes: &[isize], keepdims: bool) -> Result<Value> {
            let shape = self.operand_shape(kind.name(), x)?;
            let reduced = self.located(kind.name(), reduced_axes(shape, axes))?;
            self.apply1(Reduce { kind, reduced, keepdims }, &[x])
        }
    }
}

/// The axes of a shape that are kept and those that are reduced, neighbours merged: at most three of
/// either, since they alternate.
pub(super) struct Axes {
    pub kept: Nest,
    pub reduced: Nest,
}

impl Axes {
    pub fn new(shape: Shape, is_reduced: impl Fn(usize) -> bool) -> Axes {
        let strides = shape.strides();
        let nest = |wanted: bool| {
            let axes = (0..shape.rank()).filter(|&axis| is_reduced(axis) == wanted);
            let (dims, strides) =
                axes.map(|axis| (shape.dims()[axis], strides[axis])).unzip::<_, _, Vec<_>, _>();
            Nest::new(&dims, &[strides])
        };
        Axes { kept: nest(false), reduced: nest(true) }
    }

    /// Extents and strides as kernels take them, of the axes kept and of those reduced.
    pub fn words(&self) -> [[u32; 4]; 4] {
        let Axes { kept, reduced } = self;
        let all = [(&kept.dims, 1), (&kept.strides[0], 0), (&reduced.dims, 1), (&reduced.strides[0], 0)];
        all.map(|(values, unused)| {
            let mut words = [unused; 4];
            (3 - values.len()..3).zip(values).for_each(|(at, &value)| words[at] = word(value));
            words
        })
    }

    /// A call specialised to how many axes there are.
    pub fn call(&self, shader: &'static Shader, entry: &'static str) -> KernelCall {
        KernelCall::new(shader, entry)
            .constant("KEPT", self.kept.rank() as f64)
            .constant("REDUCED", self.reduced.rank() as f64)
    }

    /// Where the elements begin that are reduced to each output, and how far each of them is from there.
    pub fn offsets(&self) -> (impl Fn(usize) -> usize + Sync + use<>, Vec<usize>) {
        // The axes of a valid shape, merged, are a valid shape.
        let indexer = |nest: &Nest| {
            Indexer::new(Shape::new(&nest.dims).unwrap_or(Shape::scalar()), nest.strides[0].clone())
        };
        let (base, inside) = (indexer(&self.kept), indexer(&self.reduced));
        (move |o| base.offset(o), (0..self.reduced.len()).map(|r| inside.offset(r)).collect())
    }
}

/// For each axis of a shape, whether it is among those named, of which none means all.
pub(super) fn reduced_axes(shape: Shape, axes: &[isize]) -> Result<Vec<bool>> {
    let mut reduced = vec![axes.is_empty(); shape.rank()];
    for &axis in axes {
        if std::mem::replace(&mut reduced[shape.axis(axis)?], true) {
            return Err(Error::Axis { axis, shape });
        }
    }
    Ok(reduced)
}

/// A reduction over a set of axes.
#[derive(Clone, Debug)]
pub(super) struct Reduce {
    pub kind: Reduction,
    /// Per axis of the input, whether it is reduced.
    reduced: Vec<bool>,
    keepdims: bool,
}

/// What the sum of all elements of this shape is multiplied by in an operator's only result, if that is one.
pub(super) fn whole_sum(op: &dyn Op, shape: Shape) -> Option<f32> {
    let op: &dyn Any = op;
    let Reduce { kind, reduced, .. } = op.downcast_ref()?;
    match kind {
        _ if !reduced.iter().zip(shape.dims()).all(|(&reduced, &dim)| reduced || dim == 1) => None,
        Reduction::Sum => Some(1.0),
        Reduction::Mean => Some(1.0 / shape.numel() as f32),
        Reduction::Max | Reduction::Min => None,
    }
}

/// Whether an operator sums up an operand of this shape over all axes but `kept`.
pub(super) fn sums_all_but(op: &dyn Op, shape: Shape, kept: usize) -> bool {
    let op: &dyn Any = op;
    let Some(Reduce { kind: Reduction::Sum, reduced, .. }) = op.downcast_ref() else { return false };
    let mut axes = reduced.iter().zip(shape.dims()).enumerate();
    axes.all(|(axis, (&reduced, &dim))| if axis == kept { !reduced } else { reduced || dim == 1 })
}

impl Reduce {
    fn output(&self, input: Shape) -> Result<Shape> {
        let axes = input.dims().iter().zip(&self.reduced);
        let left = axes.filter(|&(_, reduced)| !reduced || self.keepdims);
        let dims = left.map(|(&dim, &reduced)| if reduced { 1 } else { dim });
        Shape::new(&dims.collect::<Vec<_>>())
    }

    fn axes(&self, input: Shape) -> Axes {
        Axes::new(input, |axis| self.reduced[axis])
    }

    /// A call for `n` sums, of which so many are parts of an output.
    fn call(&self, entry: &'static str, axes: &Axes, [n, splits]: [usize; 2], scale: f32) -> KernelCall {
        let [kept, kept_s, reduced, reduced_s] = axes.words();
        let (n, splits) = (word(n), word(splits));
        let params = ReduceParams { kept, kept_s, reduced, reduced_s, n, splits, scale, unused: 0 };
        axes.call(&SHADER, entry).constant("KIND", self.kind.number()).params(&params)
    }

    /// The call that makes each output by a thread.
    fn lanes(&self, axes: &Axes, scale: f32, io: [Slot; 2]) -> KernelCall {
        let n = axes.kept.len();
        let call = self.call("lanes", axes, [n, 1], scale).binds(io);
        call.loops(iterations(&axes.reduced.dims)).grid(Grid::linear(n, 64))
    }
}

/// Elements that a thread adds up at most: few enough for every driver's limit on loops.
const LONGEST: usize = 16_384;

/// How a reduction is dispatched.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Route {
    Lanes,
    Tree,
    Split(usize),
}

/// Many outputs occupy the device with a thread each. Few outputs over many elements are split
/// into parts first; a GPU gives each of a moderate number its own workgroup.
fn route(profile: &DeviceProfile, outputs: usize, count: usize) -> Route {
    if count >= LONGEST && outputs <= 64 {
        return Route::Split((count / 256).clamp(64, 4096).max(count / LONGEST));
    }
    if profile.kind == DeviceKind::Gpu && count >= 128 && outputs <= 16_384 {
        return Route::Tree;
    }
    if count > LONGEST { Route::Split(count.div_ceil(LONGEST / 4)) } else { Route::Lanes }
}

/// Iterations of the nest of loops over the reduced axes, the innermost in blocks of 64.
fn iterations(reduced: &[usize]) -> usize {
    let inner = reduced.last().map_or(1, |&n| n + n.div_ceil(64));
    let outer = &reduced[..reduced.len().saturating_sub(1)];
    outer.iter().rev().fold(inner, |inside, &n| n.saturating_mul(inside.saturating_add(1)))
}

impl Op for Reduce {
    fn name(&self) -> &'static str {
        self.kind.name()
    }

    fn attributes(&self) -> String {
        let axes: Vec<_> = (0..self.reduced.len()).filter(|&i| self.reduced[i]).collect();
        format!("axes={axes:?}{}", if self.keepdims { ", keepdims" } else { "" })
    }

    fn precision(&self) -> Precision {
        Precision::Kept
    }

    fn outputs(&self, inputs: &[TensorType]) -> Result<Vec<TensorType>> {
        expect_float("the operand", inputs[0])?;
        // A sum of many numbers may be more than half precision holds.
        let dtype = match self.kind {
            Reduction::Sum | Reduction::Mean => DType::F32,
            Reduction::Max | Reduction::Min => inputs[0].dtype,
        };
        Ok(vec![TensorType { shape: self.output(inputs[0].shape)?, dtype }])
    }

    fn backward(&self, cx: &Backward<'_>) -> Option<Result<Vec<Option<Value>>>> {
        cx.first(self.gradient(cx))
    }

    fn lower(&self, cx: &mut Lowering<'_>) -> Result<()> {
        let axes = self.axes(cx.inputs[0].shape);
        let (outputs, count) = (cx.outputs[0].numel(), axes.reduced.len());
        let scale = if self.kind == Reduction::Mean { 1.0 / count as f32 } else { 1.0 };
        let io = [Slot::Input(0), Slot::Output(0)];
        match route(cx.profile, outputs, count) {
            Route::Lanes => cx.only(self.lanes(&axes, scale, io)),
            Route::Tree => {
                let call = self.call("tree", &axes, [outputs, 1], scale).binds(io);
                cx.only(call.loops(count / 256 + 9).grid(Grid::linear(outputs, 1)))
            }
            Route::Split(splits) => {
                let all = outputs * splits;
                let parts = cx.scratch(4 * all as u64);
                let split = self.call("partial", &axes, [all, splits], 1.0).binds([Slot::Input(0), parts]);
                cx.call(split.loops(count.div_ceil(splits)).grid(Grid::linear(all, 64)));
                let rows = Axes::new(Shape::from([outputs, splits]), |axis| axis == 1);
                cx.only(self.lanes(&rows, scale, [parts, Slot::Output(0)]))
            }
        }
    }

    fn reference(&self, cx: &Reference<'_>) -> Vec<Array> {
        vec![self.fold(cx, |v| v)]
    }

    /// Where each element of a result's is.
    fn reference_scratch(&self, inputs: &[TensorType], _: &[TensorType]) -> u64 {
        8 * self.axes(inputs[0].shape).reduced.len() as u64
    }

    fn routine(&self, inputs: &[TensorType], _: &[TensorType]) -> Option<Routine> {
        let reducing = Reducing::new(self.kind, self.axes(inputs[0].shape));
        Some(Box::new(move |cx| reducing.run(cx)))
    }

    fn error_bound(&self, cx: &Reference<'_>, results: &[Array]) -> Vec<Vec<f64>> {
        match self.kind {
            Reduction::Max | Reduction::Min => within(FLUSH, results),
            Reduction::Sum | Reduction::Mean => {
                // Each addition rounds by half a unit; a chain is 64 long, then a 64th of the rest.
                let count = self.axes(cx.inputs[0].shape).reduced.len() as f64;
                let ulps = 4.0 + 0.5 * (count.min(64.0) + count / 64.0);
                vec![relative_bound(&self.fold(cx, f64::abs), ulps)]
            }
        }
    }
}

impl Reduce {
    fn fold(&self, cx: &Reference<'_>, map: impl Fn(f64) -> f64 + Sync) -> Array {
        let x = cx.inputs[0];
        let (base, inside) = self.axes(x.shape).offsets();
        let fold = |o: usize| {
            let base = base(o);
            let elements = inside.iter().map(|r| map(x.data[base + r]));
            match self.kind {
                Reduction::Sum => elements.sum(),
                Reduction::Mean => elements.sum::<f64>() / inside.len() as f64,
                Reduction::Max => elements.fold(f64::NEG_INFINITY, larger),
                Reduction::Min => -elements.map(|v| -v).fold(f64::NEG_INFINITY, larger),
            }
        };
        Array::from_fn(cx.outputs[0].shape, fold)
    }

    fn gradient(&self, cx: &Backward<'_>) -> Result<Value> {
        let (g, x) = (cx.graph, cx.inputs[0]);
        let shape = g.shape_of(x);
        let kept = Reduce { keepdims: true, ..self.clone() };
        let kept_shape = kept.output(shape)?;
        let dy = g.reshape(cx.grad(), kept_shape)?;
        match self.kind {
            Reduction::Sum => g.broadcast_to(dy, shape),
            Reduction::Mean => {
                let share = g.scalar_constant(1.0 / self.axes(shape).reduced.len() as f64);
                g.broadcast_to(g.mul(dy, share)?, shape)
            }
            Reduction::Max | Reduction::Min => {
                let equal = g.equal(x, g.reshape(cx.outputs[0], kept_shape)?)?;
                // Where an element is NaN, so is the result, and nothing equals it.
                let hit = g.add(equal, g.not_equal(x, x)?)?;
                let hits = g.apply1(Reduce { kind: Reduction::Sum, ..kept }, &[hit])?;
                g.select(hit, g.div(dy, hits)?, g.scalar_constant(0.0))
            }
        }
    }
}

/// The index of the first largest element along an axis; a NaN is the largest.
#[derive(Clone, Copy, Debug)]
struct Argmax(usize);

/// The index of the first largest number, a NaN being the largest.
pub(super) fn first_largest(row: impl Iterator<Item = f64>) -> usize {
    let exceeds = |a: f64, b: f64| a > b || (a.is_nan() && !b.is_nan());
    let better = |best: (usize, f64), next: (usize, f64)| if exceeds(next.1, best.1) { next } else { best };
    row.enumerate().reduce(better).map_or(0, |best| best.0)
}

impl Op for Argmax {
    fn name(&self) -> &'static str {
        "argmax"
    }

    fn attributes(&self) -> String {
        format!("axis={}", self.0)
    }

    fn precision(&self) -> Precision {
        Precision::Kept
    }

    fn outputs(&self, inputs: &[TensorType]) -> Result<Vec<TensorType>> {
        expect_float("the operand", inputs[0])?;
        let mut dims = inputs[0].shape.dims().to_vec();
        dims.remove(self.0);
        Ok(vec![TensorType::u32(Shape::new(&dims)?)])
    }

    fn backward(&self, _: &Backward<'_>) -> Option<Result<Vec<Option<Value>>>> {
        Some(Ok(vec![None]))
    }

    fn lower(&self, cx: &mut Lowering<'_>) -> Result<()> {
        let rows = Rows::new(cx.inputs[0].shape, self.0);
        let call = KernelCall::new(&SHADER, "argmax")
            .params(&rows.params())
            .binds(cx.operands())
            .loops(rows.axis)
            .grid(Grid::linear(rows.n, 64));
        cx.only(call)
    }

    fn reference(&self, cx: &Reference<'_>) -> Vec<Array> {
        let x = cx.inputs[0];
        let rows = Rows::new(x.shape, self.0);
        let index = |row: usize| first_largest(rows.elements(row).map(|i| x.data[i])) as f64;
        vec![Array::from_fn(cx.outputs[0].shape, index)]
    }

    fn routine(&self, inputs: &[TensorType], _: &[TensorType]) -> Option<Routine> {
        let rows = Rows::new(inputs[0].shape, self.0);
        Some(Box::new(move |cx| compute::argmax(rows, cx)))
    }

    fn error_bound(&self, _: &Reference<'_>, results: &[Array]) -> Vec<Vec<f64>> {
        within(0.0, results)
    }
}
