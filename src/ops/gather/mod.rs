//! Rows of a table picked by index, and one-hot rows. Shaders: `gather.wgsl`, and for the gradient
//! of many indices `gather_sorted.wgsl`.

mod compute;
mod grad;

use super::common::*;
use grad::GatherGrad;

pub(super) static SHADER: Shader = built_in!("gather", "../../../shaders/gather.wgsl");
pub(super) static SORTED: Shader = built_in!("gather_sorted", "../../../shaders/gather_sorted.wgsl");

crate::params! {
    struct GatherParams { n: u32, rows: u32, count: u32, inner: u32, padding: u32 }
}

pub(super) static FAMILY: Family = Family {
    operators: &[
        OperatorInfo::new("gather", Gradient::Yes, "f32, f16, u32"),
        OperatorInfo::new("gather_grad", Gradient::None, "f32, f16"),
        OperatorInfo::new("one_hot", Gradient::Zero, "u32"),
    ],
    shaders: &[&SHADER, &SORTED],
};

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
        let [outer, inner] = [before, &after[1..]].map(|dims| dims.iter().product());
        Picks { outer, rows: after[0], count: indices.numel(), inner }
    }

    /// Whether the elements of a row go by fours.
    fn by_fours(&self) -> bool {
        self.inner.is_multiple_of(4)
    }

    /// What threads take of a row: its elements, or fours of them.
    fn units(&self) -> usize {
        if self.by_fours() { self.inner / 4 } else { self.inner }
    }

    /// One of two entry points: for elements, or for fours of them.
    fn entry(&self, entries: [&'static str; 2]) -> &'static str {
        entries[usize::from(self.by_fours())]
    }

    /// A call over `outer * lines * inner` elements, or a quarter as many quads.
    fn call(&self, entries: [&'static str; 2], lines: usize, padding: Option<u32>) -> KernelCall {
        let n = self.outer * lines * self.units();
        let [rows, count, inner] = [self.rows, self.count, self.units()].map(word);
        let padding = padding.unwrap_or(u32::MAX);
        KernelCall::new(&SHADER, self.entry(entries))
            .params(&GatherParams { n: word(n), rows, count, inner, padding })
            .grid(Grid::linear(n, 64))
    }

    /// The row that an index names: past the last, the last.
    fn row(&self, index: f64) -> usize {
        (index as usize).min(self.rows - 1)
    }
}

/// `y[.., i.., ..] = x[.., index[i..], ..]` along an axis; inputs table and indices.
#[derive(Clone, Copy, Debug)]
pub(super) struct Gather {
    pub axis: usize,
    /// The row that gets no gradient.
    pub padding: Option<u32>,
}

/// The end of a listing's attributes.
fn padding_text(padding: Option<u32>) -> String {
    padding.map(|row| format!(", padding={row}")).unwrap_or_default()
}

/// Rows of `0` classes with a single 1.
#[derive(Clone, Copy, Debug)]
pub(super) struct OneHot(pub usize);

impl Op for Gather {
    fn name(&self) -> &'static str {
        "gather"
    }

    fn attributes(&self) -> String {
        format!("axis={}{}", self.axis, padding_text(self.padding))
    }

    fn precision(&self) -> Precision {
        Precision::Kept
    }

    fn outputs(&self, inputs: &[TensorType]) -> Result<Vec<TensorType>> {
        expect_dtype("the indices operand", inputs[1], DType::U32)?;
        let rows = inputs[0].shape.dims()[self.axis];
        if let Some(padding) = self.padding.filter(|&row| row as usize >= rows) {
            let value = format!("{padding}, with {rows} rows");
            return Err(Error::argument("padding", value, "a row of the table"));
        }
        let (before, after) = inputs[0].shape.dims().split_at(self.axis);
        let dims = [before, inputs[1].shape.dims(), &after[1..]].concat();
        Ok(vec![TensorType { shape: Shape::new(&dims)?, ..inputs[0] }])
    }

    fn index_limit(&self, inputs: &[TensorType]) -> Option<(usize, u32)> {
        Some((1, word(inputs[0].shape.dims()[self.axis])))
    }

    fn backward(&self, cx: &Backward<'_>) -> Option<Result<Vec<Option<Value>>>> {
        let Gather { axis, padding } = *self;
        let grad = GatherGrad { axis, table: cx.graph.shape_of(cx.inputs[0]), padding };
        cx.first(cx.graph.apply1(grad, &[cx.inputs[1], cx.grad()]))
    }

    fn lower(&self, cx: &mut Lowering<'_>) -> Result<()> {
        let picks = Picks::new(cx.inputs[0].shape, self.axis, cx.inputs[1].shape);
        let call = picks.call(["gather", "gather_quads"], picks.count, None).binds(cx.operands());
        cx.only(call.bytes(8 * cx.outputs[0].numel() as u64 + 4 * picks.count as u64))
    }

    fn reference(&self, cx: &Reference<'_>) -> Vec<Array> {
        let (x, index) = (cx.inputs[0], cx.inputs[1]);
        let picks = Picks::new(x.shape, self.axis, index.shape);
        let Picks { rows, count, inner, .. } = picks;
        let pick = |e: usize| {
            let (outer, i, c) = (e / (count * inner), e / inner % count, e % inner);
            x.data[(outer * rows + picks.row(index.data[i])) * inner + c]
        };
        vec![Array::from_fn(cx.outputs[0].shape, pick)]
    }

    fn routine(&self, inputs: &[TensorType], _: &[TensorType]) -> Option<Routine> {
        let picks = Picks::new(inputs[0].shape, self.axis, inputs[1].shape);
        Some(Box::new(move |cx| picks.run(cx)))
    }

    fn error_bound(&self, _: &Reference<'_>, results: &[Array]) -> Vec<Vec<f64>> {
        within(0.0, results)
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
        let params =
            GatherParams { n: word(n), rows: word(self.0), count: word(count), inner: 1, padding: u32::MAX };
        let call = KernelCall::new(&SHADER, "one_hot").params(&params).grid(Grid::linear(n, 64));
        cx.only(call.binds(cx.operands()))
    }

    fn reference(&self, cx: &Reference<'_>) -> Vec<Array> {
        let index = &cx.inputs[0].data;
        let hot = |e: usize| f64::from(index[e / self.0] as usize == e % self.0);
        vec![Array::from_fn(cx.outputs[0].shape, hot)]
    }

    fn routine(&self, _: &[TensorType], _: &[TensorType]) -> Option<Routine> {
        let depth = self.0;
        Some(Box::new(move |cx| compute::one_hot(depth, cx)))
    }

    fn error_bound(&self, _: &Reference<'_>, results: &[Array]) -> Vec<Vec<f64>> {
        within(0.0, results)
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
        let row = g.indices("row", [3]);
        assert!(g.embedding(table, row, Some(1)).is_ok());
        let padding = g.embedding(table, row, Some(2)).unwrap_err();
        assert!(matches!(padding.root(), Error::Argument { argument: "padding", .. }), "{padding}");
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
