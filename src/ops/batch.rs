//! Batches made of data that stays on the device. Shader: `batch.wgsl`.

use super::common::*;
use crate::graph::Scalar;
use crate::kernel::{BINDING_ALIGNMENT, Bind, FOLD};

pub(super) static SHADER: Shader = built_in!("batch", "../../shaders/batch.wgsl");

crate::params! {
    struct BatchParams {
        count: u32, inner: u32, rows: u32, row: u32, held: u32, held_more: u32, start: u32, start_more: u32,
        batch_row: u32, batch_start: u32, last: u32, last_step: u32, stride: u32, step: u32,
    }
}

pub(super) static FAMILY: Family =
    Family { operators: &[OperatorInfo::new("load_batch", Gradient::None, "f32, u32")], shaders: &[&SHADER] };

/// `batch[i] = data[order[min(step * stride + i, last)]]` for several columns of the same samples; inputs
/// the batches, the data of each and the order.
#[derive(Clone, Debug)]
pub(super) struct LoadBatch {
    pub stride: u32,
    /// The inputs that are batches.
    pub batches: Vec<usize>,
}

/// Whole rows of a value, and the bytes of its buffer that hold them.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Rows {
    first: usize,
    count: usize,
    /// Where the binding begins: aligned, at or before the first row.
    offset: u64,
    bytes: u64,
}

impl Rows {
    /// Bytes of the binding before the first row.
    fn lead(&self, row_bytes: u64) -> u64 {
        self.first as u64 * row_bytes - self.offset
    }

    fn bind(&self, slot: Slot) -> Bind {
        Bind { slot, offset: self.offset, bytes: Some(self.bytes) }
    }
}

/// The fewest ranges of whole rows that bindings of `limit` bytes hold. A row that is too long for
/// one is a range of its own, which the plan refuses.
fn ranges(rows: usize, row_bytes: u64, limit: u64) -> Vec<Rows> {
    let limit = limit / 16 * 16;
    let alignment = BINDING_ALIGNMENT as u64;
    let mut found = Vec::new();
    let mut first = 0;
    while first < rows {
        let from = first as u64 * row_bytes;
        let offset = from / alignment * alignment;
        let room = limit.saturating_sub(from - offset) / row_bytes;
        let count = usize::try_from(room).unwrap_or(rows).clamp(1, rows - first);
        let bytes = from - offset + count as u64 * row_bytes;
        found.push(Rows { first, count, offset, bytes });
        first += count;
    }
    found
}

/// Elements of a sample: of everything behind dimension 0.
fn sample(shape: Shape) -> usize {
    shape.dims()[1..].iter().product()
}

/// Words of a row from which on workgroups move rows; one would mostly idle on fewer.
const LONG_ROW: usize = 32;
/// What a workgroup moves of a long row: elements, or fours of them.
const SPAN: usize = 512;

/// How threads share the words of a batch: the kernels of `batch.wgsl`.
#[derive(Clone, Copy, PartialEq)]
enum Copying {
    Elements,
    Rows,
    Quads,
}

impl Copying {
    /// The one for rows of `inner` words.
    fn of(inner: usize) -> Copying {
        match inner {
            0..LONG_ROW => Copying::Elements,
            _ if inner.is_multiple_of(4) => Copying::Quads,
            _ => Copying::Rows,
        }
    }

    /// The entry point, and the one that moves a column of words too.
    fn entries(self) -> [&'static str; 2] {
        match self {
            Copying::Elements => ["load_batch"; 2],
            Copying::Rows => ["load_rows", "load_rows_and_words"],
            Copying::Quads => ["load_quads", "load_quads_and_words"],
        }
    }

    /// Words that a thread moves at a time.
    fn unit(self) -> usize {
        if self == Copying::Quads { 4 } else { 1 }
    }

    /// Makes a call that moves `rows` rows of `inner` units.
    fn over(self, call: KernelCall, rows: usize, inner: usize, kind: DeviceKind) -> KernelCall {
        if self == Copying::Elements {
            return call.grid(Grid::linear(rows * inner, 64));
        }
        // One vector of a software driver's lanes: more threads in a workgroup idle at a row's end.
        let width: usize = if kind == DeviceKind::Cpu { 8 } else { 64 };
        let fold = FOLD as usize;
        let grid = Grid::groups([inner.div_ceil(SPAN), rows.min(fold), rows.div_ceil(fold)]);
        let call = call.constant("WIDTH", width as f64).constant("SPAN", SPAN as f64);
        call.grid(grid).loops(2 * SPAN.div_ceil(width))
    }
}

/// A column of the samples: how its rows are copied, and in which ranges of its batch and its data.
struct Column {
    index: usize,
    words: usize,
    copy: Copying,
    batches: Vec<Rows>,
    data: Vec<Rows>,
}

/// What a call moves: a range of the batch, and of the data one, or two of long rows.
type Piece<'a> = (Rows, &'a [Rows]);

impl Column {
    /// Whether another column's dispatch can move it too: a word for each sample, in one binding.
    fn is_words(&self) -> bool {
        self.words == 1 && self.batches.len() == 1 && self.data.len() == 1
    }

    /// What each call moves.
    fn pieces(&self) -> impl Iterator<Item = Piece<'_>> {
        let at_once = if self.copy == Copying::Elements { 1 } else { 2 };
        let data = move || self.data.chunks(at_once);
        self.batches.iter().flat_map(move |&batch| data().map(move |data| (batch, data)))
    }

    /// Where rows start in their binding, in what a thread moves.
    fn start(&self, rows: Rows) -> u32 {
        word((rows.lead(4 * self.words as u64) / 4) as usize / self.copy.unit())
    }
}

impl LoadBatch {
    fn columns(&self) -> usize {
        self.batches.len()
    }

    /// The last step that begins within an order of `m`: past it, every row is the order's last.
    fn last_step(&self, m: usize) -> u32 {
        word(m - 1).checked_div(self.stride).unwrap_or(u32::MAX)
    }

    /// The position in an order of `m` that row `i` of the batch has.
    fn position(&self, step: u32, i: usize, m: usize) -> usize {
        if step > self.last_step(m) {
            return m - 1;
        }
        ((step * self.stride) as usize).saturating_add(i).min(m - 1)
    }

    fn column(&self, cx: &Lowering<'_>, index: usize) -> Column {
        let (batch, data) = (cx.inputs[index].shape, cx.inputs[self.columns() + index].shape);
        let words = sample(data);
        let cut = |shape: Shape| ranges(shape.dims()[0], 4 * words as u64, cx.profile.max_binding_bytes);
        Column { index, words, copy: Copying::of(words), batches: cut(batch), data: cut(data) }
    }

    /// The call that copies a piece of a column, and `words` beside it.
    fn call(
        &self,
        cx: &Lowering<'_>,
        column: &Column,
        piece: Piece<'_>,
        words: Option<Column>,
    ) -> KernelCall {
        let (batch, data) = piece;
        let of_data = |index: usize| Slot::Input(self.columns() + index);
        let order = Slot::Input(2 * self.columns());
        let (copy, inner) = (column.copy, column.words / column.copy.unit());
        // Where there is but one, it is bound twice, and no row is read by the second.
        let (first, more) = (data[0], data.get(1).copied());
        let orders = cx.inputs[2 * self.columns()].numel();
        let params = BatchParams {
            count: word(batch.count),
            inner: word(inner),
            rows: word(cx.inputs[self.columns()].shape.dims()[0]),
            row: word(first.first),
            held: word(first.count),
            held_more: more.map_or(0, |more| word(more.count)),
            start: column.start(first),
            start_more: more.map_or(0, |more| column.start(more)),
            batch_row: word(batch.first),
            batch_start: column.start(batch),
            last: word(orders - 1),
            last_step: self.last_step(orders),
            stride: self.stride,
            step: 0,
        };
        let mut call = KernelCall::new(&SHADER, copy.entries()[usize::from(words.is_some())])
            .bind(batch.bind(Slot::Input(column.index)))
            .bind(first.bind(of_data(column.index)))
            .bind(order);
        if copy != Copying::Elements {
            call = call.bind(more.unwrap_or(first).bind(of_data(column.index)));
        }
        let beside = words.is_some();
        if let Some(Column { index, .. }) = words {
            call = call.binds([Slot::Input(index), of_data(index)]);
        }
        // Rows from where they are to the batch, each with its place in the order.
        let words = 1 + 2 * (column.words + usize::from(beside));
        let call = call.params(&params).scalar("step", Scalar::STEP).bytes(4 * (batch.count * words) as u64);
        copy.over(call, batch.count, inner, cx.profile.kind)
    }
}

impl Op for LoadBatch {
    fn name(&self) -> &'static str {
        "load_batch"
    }

    fn attributes(&self) -> String {
        format!("stride={}", self.stride)
    }

    fn outputs(&self, inputs: &[TensorType]) -> Result<Vec<TensorType>> {
        let (batches, rest) = inputs.split_at(self.columns());
        let (columns, order) = rest.split_at(self.columns());
        expect_dtype("the order", order[0], DType::U32)?;
        expect_rank(order[0].shape, order[0].shape.rank() == 1, "1")?;
        for (batch, data) in batches.iter().zip(columns) {
            expect_dtype("the data", *data, batch.dtype)?;
            for ty in [batch, data] {
                expect_rank(ty.shape, ty.shape.rank() > 0, "at least 1")?;
            }
            let what = "the samples of a batch have the shape of those of its data";
            Error::agree(batch.shape.dims()[1..] == data.shape.dims()[1..], what, batch.shape, data.shape)?;
            for (ty, first) in [(batch, batches[0]), (data, columns[0])] {
                let what = "batches loaded together have as many samples, and so have their data";
                Error::agree(ty.shape.dims()[0] == first.shape.dims()[0], what, first.shape, ty.shape)?;
            }
        }
        Ok(Vec::new())
    }

    fn mutates(&self) -> &[usize] {
        &self.batches
    }

    fn index_limit(&self, inputs: &[TensorType]) -> Option<(usize, u32)> {
        Some((2 * self.columns(), word(inputs[self.columns()].shape.dims()[0])))
    }

    fn lower(&self, cx: &mut Lowering<'_>) -> Result<()> {
        let columns = (0..self.columns()).map(|index| self.column(cx, index));
        let (long, short): (Vec<_>, Vec<_>) = columns.partition(|column| column.copy != Copying::Elements);
        let (mut words, short): (Vec<_>, Vec<_>) = short.into_iter().partition(Column::is_words);
        for column in &long {
            for piece in column.pieces() {
                // One call covers all of the batch's rows, whichever of them it moves.
                let beside = if column.batches.len() == 1 { words.pop() } else { None };
                cx.call(self.call(cx, column, piece, beside));
            }
        }
        for column in words.iter().chain(&short) {
            for piece in column.pieces() {
                cx.call(self.call(cx, column, piece, None));
            }
        }
        Ok(())
    }

    fn reference(&self, cx: &Reference<'_>) -> Vec<Array> {
        let k = self.columns();
        let (rows, order) = (cx.inputs[k].shape.dims()[0], &cx.inputs[2 * k].data);
        let step = cx.scalar(Scalar::STEP) as u32;
        let from: Vec<usize> = (0..cx.inputs[0].shape.dims()[0])
            .map(|i| (order[self.position(step, i, order.len())] as usize).min(rows - 1))
            .collect();
        let column = |index: usize| {
            let (batch, data) = (cx.inputs[index], cx.inputs[k + index]);
            let inner = sample(data.shape);
            Array::from_fn(batch.shape, |e| data.data[from[e / inner] * inner + e % inner])
        };
        (0..k).map(column).collect()
    }

    /// Where each sample is.
    fn reference_scratch(&self, inputs: &[TensorType], _: &[TensorType]) -> u64 {
        8 * inputs[0].shape.dims()[0] as u64
    }

    fn error_bound(&self, _: &Reference<'_>, results: &[Array]) -> Vec<Vec<f64>> {
        within(0.0, results)
    }
}

#[cfg(test)]
mod tests {
    use super::{LoadBatch, Rows, ranges};

    #[test]
    fn ranges_hold_every_row_once_within_the_limit() {
        for row_bytes in [4u64, 12, 16, 20, 256, 260, 3136] {
            for rows in [1usize, 2, 7, 64, 1021] {
                for limit in [4096u64, 5008, 1 << 20] {
                    let mut next = 0;
                    for range in ranges(rows, row_bytes, limit) {
                        let Rows { first, count, offset, bytes } = range;
                        assert_eq!((first, offset % 256), (next, 0));
                        assert!(bytes <= limit && range.lead(row_bytes) < 256);
                        assert_eq!(offset + bytes, (first + count) as u64 * row_bytes);
                        next += count;
                    }
                    assert_eq!(next, rows, "{row_bytes} {rows} {limit}");
                }
            }
        }
        let whole = Rows { first: 0, count: 5, offset: 0, bytes: 100 };
        assert_eq!(
            ranges(5, 20, 100),
            [Rows { count: 4, bytes: 80, ..whole }, Rows { first: 4, count: 1, offset: 0, bytes: 100 }]
        );
        assert_eq!(ranges(5, 20, 112), [whole]);
        assert_eq!(ranges(2, 1024, 512).len(), 2);
    }

    #[test]
    fn positions_stop_at_the_last_without_wrapping() {
        let op = |stride| LoadBatch { stride, batches: vec![0] };
        let three = op(3);
        assert_eq!((0..4).map(|i| three.position(0, i, 5)).collect::<Vec<_>>(), [0, 1, 2, 3]);
        assert_eq!((0..4).map(|i| three.position(1, i, 5)).collect::<Vec<_>>(), [3, 4, 4, 4]);
        assert_eq!(three.position(u32::MAX / 3 + 2, 0, 5), 4);
        assert_eq!(op(0).position(u32::MAX, 2, 5), 2);
        assert_eq!(op(u32::MAX).position(2, 0, 5), 4);
    }
}
