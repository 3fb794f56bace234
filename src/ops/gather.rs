//! Rows of a table picked by index, and one-hot rows. Shader: `gather.wgsl`.

use super::{Backward, EPS, FLUSH, Gradient, Lowering, Op, OperatorInfo, Reference, expect_dtype, word};
use crate::cpu::Array;
use crate::dtype::DType;
use crate::error::Result;
use crate::graph::{Graph, Value};
use crate::kernel::{Grid, KernelCall, Shader, Slot};
use crate::shape::{Shape, TensorType};

pub(super) static SHADER: Shader = built_in!("gather", "../../shaders/gather.wgsl");

crate::params! {
    struct GatherParams { n: u32, rows: u32, count: u32, inner: u32 }
}

pub(super) const OPERATORS: [OperatorInfo; 3] = [
    OperatorInfo::new("gather", Gradient::Yes, "f32, u32"),
    OperatorInfo::new("gather_grad", Gradient::None, "f32"),
    OperatorInfo::new("one_hot", Gradient::Zero, "u32"),
];

/// A table viewed as `[outer, rows, inner]`, of which `count` rows are picked.
#[derive(Clone, Copy, Debug)]
struct Picks {
    outer: usize,
    rows: usize,
    count: usize,
    inner: usize,
}

impl Picks {
    fn new(table: Shape, axis: usize, indices: Shape) -> Self {
        let (before, after) = table.dims().split_at(axis);
        Picks {
            outer: before.iter().product(),
            rows: after[0],
            count: indices.numel(),
            inner: after[1..].iter().product(),
        }
    }

    /// The call over `outer * lines * inner` elements, by fours where the rows allow it.
    fn call(&self, [words, quads]: [&'static str; 2], lines: usize) -> KernelCall {
        let (entry, inner) =
            if self.inner.is_multiple_of(4) { (quads, self.inner / 4) } else { (words, self.inner) };
        let n = self.outer * lines * inner;
        let (rows, count, inner) = (word(self.rows), word(self.count), word(inner));
        KernelCall::new(&SHADER, entry)
            .params(&GatherParams { n: word(n), rows, count, inner })
            .grid(Grid::linear(n, 64))
    }

    /// The row that an index names: past the last, the last.
    fn row(&self, index: f64) -> usize {
        (index as usize).min(self.rows - 1)
    }
}

/// `y[.., i.., ..] = x[.., index[i..], ..]` along an axis; inputs table and indices.
#[derive(Clone, Copy, Debug)]
struct Gather(usize);

/// The gradient of [`Gather`] with respect to the table; inputs indices and `dy`.
#[derive(Clone, Copy, Debug)]
struct GatherGrad {
    axis: usize,
    table: Shape,
}

/// Rows of `0` classes with a single 1.
#[derive(Clone, Copy, Debug)]
struct OneHot(usize);

impl Op for Gather {
    fn name(&self) -> &'static str {
        "gather"
    }

    fn attributes(&self) -> String {
        format!("axis={}", self.0)
    }

    fn outputs(&self, inputs: &[TensorType]) -> Result<Vec<TensorType>> {
        expect_dtype("the indices operand", inputs[1], DType::U32)?;
        let (before, after) = inputs[0].shape.dims().split_at(self.0);
        let dims = [before, inputs[1].shape.dims(), &after[1..]].concat();
        Ok(vec![TensorType { shape: Shape::new(&dims)?, ..inputs[0] }])
    }

    fn index_limit(&self, inputs: &[TensorType]) -> Option<(usize, u32)> {
        Some((1, word(inputs[0].shape.dims()[self.0])))
    }

    fn backward(&self, cx: &Backward<'_>) -> Option<Result<Vec<Option<Value>>>> {
        let grad = GatherGrad { axis: self.0, table: cx.graph.shape_of(cx.inputs[0]) };
        Some(cx.graph.apply1(grad, &[cx.inputs[1], cx.grad()]).map(|dx| vec![Some(dx), None]))
    }

    fn lower(&self, cx: &mut Lowering<'_>) -> Result<()> {
        let picks = Picks::new(cx.inputs[0].shape, self.0, cx.inputs[1].shape);
        let call = picks.call(["gather", "gather_quads"], picks.count);
        cx.call(call.binds([Slot::Input(0), Slot::Input(1), Slot::Output(0)]));
        Ok(())
    }

    fn reference(&self, cx: &Reference<'_>) -> Vec<Array> {
        let (x, index) = (cx.inputs[0], cx.inputs[1]);
        let picks = Picks::new(x.shape, self.0, index.shape);
        let Picks { rows, count, inner, .. } = picks;
        let pick = |e: usize| {
            let (outer, i, c) = (e / (count * inner), e / inner % count, e % inner);
            x.data[(outer * rows + picks.row(index.data[i])) * inner + c]
        };
        vec![Array::from_fn(cx.outputs[0].shape, pick)]
    }

    fn error_bound(&self, _: &Reference<'_>, results: &[Array]) -> Vec<Vec<f64>> {
        vec![vec![0.0; results[0].data.len()]]
    }
}

impl GatherGrad {
    /// Per element of the table, the sum of `term` of the gradients that belong to it.
    fn scatter(&self, cx: &Reference<'_>, term: impl Fn(f64) -> f64) -> Array {
        let (index, dy) = (cx.inputs[0], cx.inputs[1]);
        let picks = Picks::new(self.table, self.axis, index.shape);
        let Picks { outer, rows, count, inner } = picks;
        let mut dx = Array::full(self.table, 0.0);
        for o in 0..outer {
            for i in 0..count {
                let (to, from) = ((o * rows + picks.row(index.data[i])) * inner, (o * count + i) * inner);
                for c in 0..inner {
                    dx.data[to + c] += term(dy.data[from + c]);
                }
            }
        }
        dx
    }
}

impl Op for GatherGrad {
    fn name(&self) -> &'static str {
        "gather_grad"
    }

    fn attributes(&self) -> String {
        format!("axis={}, table {}", self.axis, self.table)
    }

    fn outputs(&self, _: &[TensorType]) -> Result<Vec<TensorType>> {
        Ok(vec![TensorType::f32(self.table)])
    }

    fn lower(&self, cx: &mut Lowering<'_>) -> Result<()> {
        let picks = Picks::new(self.table, self.axis, cx.inputs[0].shape);
        let call = picks.call(["gather_grad", "gather_grad_quads"], picks.rows);
        let loops = picks.count + picks.count.div_ceil(64);
        cx.call(call.loops(loops).binds([Slot::Input(0), Slot::Input(1), Slot::Output(0)]));
        Ok(())
    }

    fn reference(&self, cx: &Reference<'_>) -> Vec<Array> {
        vec![self.scatter(cx, |dy| dy)]
    }

    fn error_bound(&self, cx: &Reference<'_>, _: &[Array]) -> Vec<Vec<f64>> {
        // Half a unit per addition, of which a block of 64 indices and then the blocks make a
        // chain; only indices that hit count, since adding zero is exact.
        let blocks = cx.inputs[0].data.len().div_ceil(64) as f64;
        let (magnitude, hits) = (self.scatter(cx, f64::abs), self.scatter(cx, |_| 1.0));
        let bound = |(m, h): (&f64, &f64)| 0.5 * (h.min(64.0) + h.min(blocks)) * EPS * m + (1.0 + h) * FLUSH;
        vec![magnitude.data.iter().zip(&hits.data).map(bound).collect()]
    }
}

impl Op for OneHot {
    fn name(&self) -> &'static str {
        "one_hot"
    }

    fn attributes(&self) -> String {
        format!("depth={}", self.0)
    }

    fn outputs(&self, inputs: &[TensorType]) -> Result<Vec<TensorType>> {
        expect_dtype("the indices operand", inputs[0], DType::U32)?;
        let dims = [inputs[0].shape.dims(), &[self.0]].concat();
        Ok(vec![TensorType::f32(Shape::new(&dims)?)])
    }

    fn index_limit(&self, _: &[TensorType]) -> Option<(usize, u32)> {
        Some((0, word(self.0)))
    }

    fn backward(&self, _: &Backward<'_>) -> Option<Result<Vec<Option<Value>>>> {
        Some(Ok(vec![None]))
    }

    fn lower(&self, cx: &mut Lowering<'_>) -> Result<()> {
        let (n, count) = (cx.outputs[0].numel(), cx.inputs[0].numel());
        let params = GatherParams { n: word(n), rows: word(self.0), count: word(count), inner: 1 };
        let call = KernelCall::new(&SHADER, "one_hot").params(&params).grid(Grid::linear(n, 64));
        cx.call(call.binds([Slot::Input(0), Slot::Output(0)]));
        Ok(())
    }

    fn reference(&self, cx: &Reference<'_>) -> Vec<Array> {
        let mut y = Array::full(cx.outputs[0].shape, 0.0);
        for (row, &index) in y.data.chunks_mut(self.0).zip(&cx.inputs[0].data) {
            if let Some(hot) = row.get_mut(index as usize) {
                *hot = 1.0;
            }
        }
        vec![y]
    }

    fn error_bound(&self, _: &Reference<'_>, results: &[Array]) -> Vec<Vec<f64>> {
        vec![vec![0.0; results[0].data.len()]]
    }
}

impl Graph {
    /// Slices of `table` picked by `indices` along `axis`, as NumPy's `take` and ONNX's `Gather`:
    /// `y[a.., i.., b..] = table[a.., indices[i..], b..]`. `table` is f32 or u32, `indices` u32 of
    /// any shape, which takes the place of the axis: a table `[words, features]` at indices
    /// `[batch, time]` along axis 0 gives `[batch, time, features]`.
    ///
    /// Indices that the program writes are checked against the axis; one computed on the device
    /// that lies past the end picks the last slice. The gradient of the table is summed in a fixed
    /// order without atomics, at a cost of the table's elements times the number of indices: meant
    /// for tables of some thousand rows.
    ///
    /// # Errors
    /// [`Error::Axis`](crate::Error::Axis); [`Error::DTypeMismatch`](crate::Error::DTypeMismatch)
    /// unless the indices are u32; [`Error::RankLimit`](crate::Error::RankLimit) if the result
    /// has too many dimensions; [`Error::LabelOutOfRange`](crate::Error::LabelOutOfRange) for
    /// constant indices past the axis.
    #[track_caller]
    pub fn gather(&self, table: Value, indices: Value, axis: isize) -> Result<Value> {
        let axis = self.operand_axis("gather", table, axis)?;
        self.apply1(Gather(axis), &[table, indices])
    }

    /// Rows of `depth` numbers, 1 at the index and 0 elsewhere: u32 `indices` of any shape give
    /// f32 of that shape and a new last axis. Indices that the program writes are checked against
    /// `depth`; one computed on the device that lies past it gives a row of zeros. No gradient
    /// flows.
    ///
    /// # Errors
    /// [`Error::DTypeMismatch`](crate::Error::DTypeMismatch) unless the indices are u32;
    /// [`Error::RankLimit`](crate::Error::RankLimit);
    /// [`Error::EmptyDimension`](crate::Error::EmptyDimension) for a depth of 0;
    /// [`Error::LabelOutOfRange`](crate::Error::LabelOutOfRange) for constant indices past it.
    #[track_caller]
    pub fn one_hot(&self, indices: Value, depth: usize) -> Result<Value> {
        self.apply1(OneHot(depth), &[indices])
    }
}

#[cfg(test)]
mod tests {
    use crate::{DType, Device, Error, Graph, MAX_RANK, Shape};

    #[test]
    fn the_indices_take_the_place_of_the_axis() {
        let mut g = Graph::new();
        let table = g.input("table", [2, 5, 3]);
        let index = g.indices("index", [4, 6]);
        for (axis, dims) in [(0, [4, 6, 5, 3]), (1, [2, 4, 6, 3]), (-1, [2, 5, 4, 6])] {
            assert_eq!(g.shape_of(g.gather(table, index, axis).unwrap()), Shape::from(dims));
        }
        assert_eq!(g.shape_of(g.one_hot(index, 7).unwrap()), Shape::from([4, 6, 7]));
    }

    #[test]
    fn what_does_not_fit_is_refused_when_recorded() {
        let mut g = Graph::new();
        let table = g.input("table", [2, 5, 3]);
        let index = g.indices("index", [2, 2, 2, 2, 2]);
        let root = |r: crate::Result<_>| format!("{:?}", r.unwrap_err().root());
        let is = |error: Error, r| assert_eq!(root(r), format!("{error:?}"));
        is(Error::Axis { axis: 3, shape: Shape::from([2, 5, 3]) }, g.gather(table, index, 3));
        is(Error::RankLimit { rank: 7, limit: MAX_RANK }, g.gather(table, index, 0));
        let what = "the indices operand".to_owned();
        let mismatch = |what| Error::DTypeMismatch { what, found: DType::F32, expected: DType::U32 };
        is(mismatch(what.clone()), g.gather(table, table, 0));
        is(mismatch(what), g.one_hot(table, 3));
        assert!(matches!(g.one_hot(index, 0).unwrap_err().root(), Error::EmptyDimension { .. }));
        let rows = g.constant([2], &[0u32, 5]).unwrap();
        let past = g.gather(table, rows, 1).unwrap_err();
        assert!(matches!(past.root(), Error::LabelOutOfRange { label: 5, limit: 5, .. }), "{past}");
    }

    #[test]
    fn written_indices_are_checked_against_the_smallest_table() {
        let mut g = Graph::new();
        let (wide, narrow) = (g.input("wide", [9, 2]), g.input("narrow", [4, 2]));
        let index = g.indices("index", [3]);
        let (a, b) = (g.gather(wide, index, 0).unwrap(), g.gather(narrow, index, 0).unwrap());
        let mut session = g.forward([a, b]).unwrap().session(&Device::cpu()).unwrap();
        session.write(index, &[0u32, 3, 1]).unwrap();
        let past = session.write(index, &[0u32, 1, 4]).unwrap_err();
        assert!(matches!(past, Error::LabelOutOfRange { index: 2, label: 4, limit: 4, .. }), "{past}");
    }
}
