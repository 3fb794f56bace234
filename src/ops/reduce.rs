//! Reductions over axes, and argmax. Shader: `reduce.wgsl`.

use super::common::*;

pub(super) static SHADER: Shader = built_in!("reduce", "../../shaders/reduce.wgsl");

crate::params! {
    struct ReduceParams {
        kept: [u32; 4], kept_s: [u32; 4], reduced: [u32; 4], reduced_s: [u32; 4],
        n: u32, splits: u32, scale: f32, unused: u32,
    }
}

crate::params! {
    struct ArgmaxParams { n: u32, axis: u32, inner: u32 }
}

pub(super) static FAMILY: Family = Family {
    operators: &[
        OperatorInfo::new("sum", Gradient::Yes, "f32"),
        OperatorInfo::new("mean", Gradient::Yes, "f32"),
        OperatorInfo::new("max", Gradient::Yes, "f32"),
        OperatorInfo::new("min", Gradient::Yes, "f32"),
        OperatorInfo::new("argmax", Gradient::Zero, "f32"),
    ],
    shaders: &[&SHADER],
};

/// What a reduction computes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Reduction {
    /// The sum.
    Sum,
    /// The arithmetic mean.
    Mean,
    /// The largest element.
    Max,
    /// The smallest element.
    Min,
}

impl Reduction {
    /// All of them.
    pub const ALL: &'static [Reduction] = &[Reduction::Sum, Reduction::Mean, Reduction::Max, Reduction::Min];

    /// The name in listings: the method's.
    pub fn name(self) -> &'static str {
        match self {
            Reduction::Sum => "sum",
            Reduction::Mean => "mean",
            Reduction::Max => "max",
            Reduction::Min => "min",
        }
    }

    fn kernel(self) -> f64 {
        match self {
            Reduction::Sum | Reduction::Mean => 0.0,
            Reduction::Max => 1.0,
            Reduction::Min => 2.0,
        }
    }
}

/// A reduction over a set of axes.
#[derive(Clone, Debug)]
struct Reduce {
    kind: Reduction,
    /// Per axis of the input, whether it is reduced.
    reduced: Vec<bool>,
    keepdims: bool,
}

/// A merged axis: extent and stride.
type Axis = (usize, usize);

impl Reduce {
    fn output(&self, input: Shape) -> Result<Shape> {
        let axes = input.dims().iter().zip(&self.reduced);
        let dims: Vec<usize> = axes
            .filter_map(|(&dim, &reduced)| match (reduced, self.keepdims) {
                (false, _) => Some(dim),
                (true, true) => Some(1),
                (true, false) => None,
            })
            .collect();
        Shape::new(&dims)
    }

    /// Elements per output.
    fn count(&self, input: Shape) -> usize {
        input.dims().iter().zip(&self.reduced).filter(|(_, r)| **r).map(|(d, _)| d).product()
    }

    /// The kept and the reduced axes, neighbours merged: at most three of each, since they
    /// alternate.
    fn axes(&self, input: Shape) -> (Vec<Axis>, Vec<Axis>) {
        let mut merged: Vec<(bool, usize, usize)> = Vec::new();
        let strides = input.strides();
        for ((&dim, &stride), &reduced) in input.dims().iter().zip(&strides).zip(&self.reduced) {
            match merged.last_mut() {
                _ if dim == 1 => {}
                Some((kind, extent, step)) if *kind == reduced => {
                    *extent *= dim;
                    *step = stride;
                }
                _ => merged.push((reduced, dim, stride)),
            }
        }
        let of = |wanted| merged.iter().filter(|m| m.0 == wanted).map(|m| (m.1, m.2)).collect();
        (of(false), of(true))
    }

    /// A call specialised to the kind and to how many merged axes there are.
    fn call(&self, entry: &'static str, input: Shape, params: &ReduceParams, grid: Grid) -> KernelCall {
        let (kept, reduced) = self.axes(input);
        KernelCall::new(&SHADER, entry)
            .constant("KIND", self.kind.kernel())
            .constant("KEPT", kept.len() as f64)
            .constant("REDUCED", reduced.len() as f64)
            .params(params)
            .grid(grid)
    }

    fn params(&self, input: Shape, scale: f32) -> ReduceParams {
        let (kept, reduced) = self.axes(input);
        let (kept, kept_s) = axis_words(&kept);
        let (reduced, reduced_s) = axis_words(&reduced);
        ReduceParams { kept, kept_s, reduced, reduced_s, n: 0, splits: 1, scale, unused: 0 }
    }
}

fn axis_words(axes: &[Axis]) -> ([u32; 4], [u32; 4]) {
    let (mut extents, mut strides) = ([1; 4], [0; 4]);
    for (slot, &(extent, stride)) in (3 - axes.len()..3).zip(axes) {
        (extents[slot], strides[slot]) = (word(extent), word(stride));
    }
    (extents, strides)
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

    fn outputs(&self, inputs: &[TensorType]) -> Result<Vec<TensorType>> {
        expect_dtype("the operand", inputs[0], DType::F32)?;
        Ok(vec![TensorType::f32(self.output(inputs[0].shape)?)])
    }

    fn backward(&self, cx: &Backward<'_>) -> Option<Result<Vec<Option<Value>>>> {
        Some(self.gradient(cx).map(|dx| vec![Some(dx)]))
    }

    fn lower(&self, cx: &mut Lowering<'_>) -> Result<()> {
        let input = cx.inputs[0].shape;
        let (outputs, count) = (cx.outputs[0].numel(), self.count(input));
        let scale = if self.kind == Reduction::Mean { 1.0 / count as f32 } else { 1.0 };
        let n = word(outputs);
        let io = [Slot::Input(0), Slot::Output(0)];
        match route(cx.profile, outputs, count) {
            Route::Lanes => {
                let params = ReduceParams { n, ..self.params(input, scale) };
                let call = self.call("lanes", input, &params, Grid::linear(outputs, 64));
                let reduced: Vec<usize> = self.axes(input).1.into_iter().map(|(extent, _)| extent).collect();
                cx.call(call.loops(iterations(&reduced)).binds(io));
            }
            Route::Tree => {
                let params = ReduceParams { n, ..self.params(input, scale) };
                let call = self.call("tree", input, &params, Grid::linear(outputs, 1));
                cx.call(call.loops(count / 256 + 9).binds(io));
            }
            Route::Split(splits) => {
                let all = outputs * splits;
                let parts = cx.scratch(4 * all as u64);
                let params = ReduceParams { n: word(all), splits: word(splits), ..self.params(input, 1.0) };
                let split = self.call("partial", input, &params, Grid::linear(all, 64));
                cx.call(split.loops(count.div_ceil(splits)).binds([Slot::Input(0), parts]));
                let rows = Reduce { kind: self.kind, reduced: vec![false, true], keepdims: false };
                let shape = Shape::from([outputs, splits]);
                let params = ReduceParams { n, ..rows.params(shape, scale) };
                let join = rows.call("lanes", shape, &params, Grid::linear(outputs, 64));
                cx.call(join.loops(iterations(&[splits])).binds([parts, Slot::Output(0)]));
            }
        }
        Ok(())
    }

    fn reference(&self, cx: &Reference<'_>) -> Vec<Array> {
        vec![self.fold(cx, |v| v)]
    }

    fn error_bound(&self, cx: &Reference<'_>, results: &[Array]) -> Vec<Vec<f64>> {
        match self.kind {
            Reduction::Max | Reduction::Min => vec![vec![FLUSH; results[0].data.len()]],
            Reduction::Sum | Reduction::Mean => {
                // Each addition rounds by half a unit; a chain is 64 long, then a 64th of the rest.
                let count = self.count(cx.inputs[0].shape) as f64;
                let ulps = 4.0 + 0.5 * (count.min(64.0) + count / 64.0);
                vec![relative_bound(&self.fold(cx, f64::abs), ulps)]
            }
        }
    }
}

impl Reduce {
    fn fold(&self, cx: &Reference<'_>, map: impl Fn(f64) -> f64 + Sync) -> Array {
        let x = cx.inputs[0];
        let strides = x.shape.strides();
        let pick = |wanted: bool| -> (Vec<usize>, Vec<usize>) {
            (0..strides.len())
                .filter(|&a| self.reduced[a] == wanted)
                .map(|a| (x.shape.dims()[a], strides[a]))
                .unzip()
        };
        let (kept_dims, kept_strides) = pick(false);
        let (reduced_dims, reduced_strides) = pick(true);
        // Subsets of a valid shape's axes are valid shapes.
        let shape = |dims: &[usize]| Shape::new(dims).unwrap_or(Shape::scalar());
        let (kept, reduced) = (shape(&kept_dims), shape(&reduced_dims));
        let (outer, inner) = (Indexer::new(kept, kept_strides), Indexer::new(reduced, reduced_strides));
        let inner: Vec<usize> = (0..reduced.numel()).map(|r| inner.offset(r)).collect();
        let fold = |o: usize| {
            let base = outer.offset(o);
            let elements = inner.iter().map(|r| map(x.data[base + r]));
            match self.kind {
                Reduction::Sum => elements.sum(),
                Reduction::Mean => elements.sum::<f64>() / inner.len() as f64,
                Reduction::Max => elements.fold(f64::NEG_INFINITY, f64::max),
                Reduction::Min => elements.fold(f64::INFINITY, f64::min),
            }
        };
        Array::from_fn(cx.outputs[0].shape, fold)
    }

    fn gradient(&self, cx: &Backward<'_>) -> Result<Value> {
        let (g, x) = (cx.graph, cx.inputs[0]);
        let shape = g.shape_of(x);
        let kept = Reduce { keepdims: true, ..self.clone() }.output(shape)?;
        let dy = g.reshape(cx.grad(), kept)?;
        match self.kind {
            Reduction::Sum => g.broadcast_to(dy, shape),
            Reduction::Mean => {
                let share = g.scalar_constant(1.0 / self.count(shape) as f32);
                g.broadcast_to(g.mul(dy, share)?, shape)
            }
            Reduction::Max | Reduction::Min => {
                let hit = g.equal(x, g.reshape(cx.outputs[0], kept)?)?;
                let hits =
                    g.apply1(Reduce { kind: Reduction::Sum, keepdims: true, ..self.clone() }, &[hit])?;
                g.mul(hit, g.div(dy, hits)?)
            }
        }
    }
}

/// The index of the first largest element along an axis.
#[derive(Clone, Copy, Debug)]
struct Argmax(usize);

impl Op for Argmax {
    fn name(&self) -> &'static str {
        "argmax"
    }

    fn attributes(&self) -> String {
        format!("axis={}", self.0)
    }

    fn outputs(&self, inputs: &[TensorType]) -> Result<Vec<TensorType>> {
        expect_dtype("the operand", inputs[0], DType::F32)?;
        let mut dims = inputs[0].shape.dims().to_vec();
        dims.remove(self.0);
        Ok(vec![TensorType::u32(Shape::new(&dims)?)])
    }

    fn backward(&self, _: &Backward<'_>) -> Option<Result<Vec<Option<Value>>>> {
        Some(Ok(vec![None]))
    }

    fn lower(&self, cx: &mut Lowering<'_>) -> Result<()> {
        let dims = cx.inputs[0].shape.dims();
        let inner: usize = dims[self.0 + 1..].iter().product();
        let n = cx.outputs[0].numel();
        let call = KernelCall::new(&SHADER, "argmax")
            .params(&ArgmaxParams { n: word(n), axis: word(dims[self.0]), inner: word(inner) })
            .binds([Slot::Input(0), Slot::Output(0)])
            .loops(dims[self.0])
            .grid(Grid::linear(n, 64));
        cx.call(call);
        Ok(())
    }

    fn reference(&self, cx: &Reference<'_>) -> Vec<Array> {
        let x = cx.inputs[0];
        let axis = x.shape.dims()[self.0];
        let inner: usize = x.shape.dims()[self.0 + 1..].iter().product();
        let first_largest = |o: usize| {
            let base = o / inner * axis * inner + o % inner;
            let better = |best: usize, k: usize| {
                if x.data[base + k * inner] > x.data[base + best * inner] { k } else { best }
            };
            (1..axis).fold(0, better) as f64
        };
        vec![Array::from_fn(cx.outputs[0].shape, first_largest)]
    }

    fn error_bound(&self, _: &Reference<'_>, results: &[Array]) -> Vec<Vec<f64>> {
        vec![vec![0.0; results[0].data.len()]]
    }
}

macro_rules! methods {
    ($($(#[$doc:meta])* $method:ident => $kind:ident;)*) => {
        /// # Reductions
        ///
        /// `x` is f32 of any shape. `axes` are the axes to reduce, all if empty; negative ones count from the
        /// back. They are dropped, or stay as dimensions of 1 with `keepdims`.
        ///
        /// **Errors**: [`Error::Axis`] for an axis that is not there or named twice, [`Error::DTypeMismatch`].
        impl Graph {$(
            $(#[$doc])*
            #[track_caller]
            pub fn $method(&self, x: Value, axes: &[isize], keepdims: bool) -> Result<Value> {
                self.apply1(self.reduction(Reduction::$kind, x, axes, keepdims)?, &[x])
            }
        )*}
    };
}

methods! {
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
    sum => Sum;
    /// The arithmetic mean over `axes`.
    mean => Mean;
    /// The largest element over `axes`. Equal maxima share the gradient.
    max => Max;
    /// The smallest element over `axes`. Equal minima share the gradient.
    min => Min;
}

impl Graph {
    /// The index of the first largest element of f32 `x` along `axis`, as u32; the axis is dropped.
    ///
    /// # Errors
    /// [`Error::Axis`], [`Error::DTypeMismatch`].
    #[track_caller]
    pub fn argmax(&self, x: Value, axis: isize) -> Result<Value> {
        let axis = self.operand_axis("argmax", x, axis)?;
        self.apply1(Argmax(axis), &[x])
    }

    /// `x` summed over the dimensions that broadcasting to its shape would stretch: the gradient
    /// of a broadcast.
    ///
    /// # Errors
    /// [`Error::Broadcast`] with both shapes.
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
        let stretched = |axis: usize| axis < lead || (to.dims()[axis - lead] == 1 && from.dims()[axis] != 1);
        let reduced = (0..from.rank()).map(stretched).collect();
        let summed = self.apply1(Reduce { kind: Reduction::Sum, reduced, keepdims: true }, &[x])?;
        self.reshape(summed, to)
    }

    /// A reduction by its enumeration.
    ///
    /// # Errors
    /// As the method of that name.
    #[track_caller]
    pub fn reduce(&self, kind: Reduction, x: Value, axes: &[isize], keepdims: bool) -> Result<Value> {
        self.apply1(self.reduction(kind, x, axes, keepdims)?, &[x])
    }

    #[track_caller]
    fn reduction(&self, kind: Reduction, x: Value, axes: &[isize], keepdims: bool) -> Result<Reduce> {
        let shape = self.operand_shape(kind.name(), x)?;
        let mut reduced = vec![axes.is_empty(); shape.rank()];
        for &axis in axes {
            let index = self.located(kind.name(), shape.axis(axis))?;
            if std::mem::replace(&mut reduced[index], true) {
                return self.located(kind.name(), Err(Error::Axis { axis, shape }));
            }
        }
        Ok(Reduce { kind, reduced, keepdims })
    }
}
