//! The gradient of a gather with respect to its table, by two routes that depend on sizes alone.
//! Shaders: `gather.wgsl`, `gather_sorted.wgsl`.

use super::{Picks, SORTED, padding_text};
use crate::ops::common::*;

crate::params! {
    struct SortParams { rows: u32, count: u32, blocks: u32, shift: u32 }
}

crate::params! {
    struct SumParams { n: u32, rows: u32, count: u32, inner: u32, chunk: u32, padding: u32 }
}

/// Digits of a pass of the sort, and their bits.
const DIGITS: usize = 32;
const DIGIT_BITS: usize = 5;
/// Lanes of a workgroup that counts digits, positions of a lane and positions of a workgroup.
const LANES: usize = 64;
const RUN: usize = 16;
const BLOCK: usize = LANES * RUN;

/// Indices that a thread of the direct route looks through at most, and all its threads together.
const DIRECT_COUNT: usize = 4096;
const DIRECT_STEPS: usize = 1 << 18;
/// As few indices as this are looked through whatever the size of the table: that costs less than
/// the dispatches of a sort.
const DIRECT_ALWAYS: usize = 32;

/// The gradient of a gather with respect to the table; inputs indices and `dy`.
#[derive(Clone, Copy, Debug)]
pub(super) struct GatherGrad {
    pub axis: usize,
    pub table: Shape,
    /// A row without a gradient.
    pub padding: Option<u32>,
}

impl GatherGrad {
    fn picks(&self, indices: Shape) -> Picks {
        Picks::new(self.table, self.axis, indices)
    }

    /// Indices of a piece of the sorted route; `None` for the direct one, in which every thread looks through
    /// all of them. By sizes only, so that the bound on errors knows the order of the sum.
    fn piece(&self, picks: Picks) -> Option<usize> {
        let Picks { outer, rows, count, .. } = picks;
        let steps = (outer * rows * picks.units()).saturating_mul(count);
        let direct = (count <= DIRECT_COUNT && steps <= DIRECT_STEPS) || count <= DIRECT_ALWAYS;
        (!direct).then(|| count.isqrt().next_power_of_two().max(DIRECT_ALWAYS))
    }

    fn lower_sorted(&self, cx: &mut Lowering<'_>, picks: Picks, chunk: usize) {
        let Picks { outer, rows, count, .. } = picks;
        let (index, dy, dx) = (Slot::Input(0), Slot::Input(1), Slot::Output(0));
        let order = sort(cx, index, rows, count);
        let pieces = count / chunk;
        let run_start = cx.scratch(4 * rows as u64);
        let part = cx.scratch(4 * (outer * pieces * picks.inner) as u64);
        let inner = picks.units();
        let call = |entry, n: usize| {
            let [rows, count, inner, chunk] = [rows, count, inner, chunk].map(word);
            let padding = self.padding.unwrap_or(u32::MAX);
            KernelCall::new(&SORTED, entry)
                .params(&SumParams { n: word(n), rows, count, inner, chunk, padding })
                .grid(Grid::linear(n, 64))
        };
        let (parts, sums) = (picks.entry(["parts", "parts_quads"]), picks.entry(["sums", "sums_quads"]));
        let bisections = count.ilog2() as usize + 1;
        cx.call(call("starts", rows).loops(bisections).binds([index, order, run_start]));
        cx.call(call(parts, outer * pieces * inner).loops(chunk).binds([index, order, dy, part]));
        let sums = call(sums, outer * rows * inner).loops(2 * chunk + pieces);
        cx.call(sums.binds([order, run_start, dy, part, dx]));
    }

    /// Per element of the table, the sum of `term` of the gradients that belong to it.
    fn scatter(&self, cx: &Reference<'_>, term: impl Fn(f64) -> f64) -> Array {
        let (index, dy) = (cx.inputs[0], cx.inputs[1]);
        let picks = self.picks(index.shape);
        let Picks { outer, rows, count, inner } = picks;
        let mut dx = Array::full(self.table, 0.0);
        for o in 0..outer {
            for i in 0..count {
                let row = picks.row(index.data[i]);
                if self.padding.is_some_and(|padding| padding as usize == row) {
                    continue;
                }
                let (to, from) = ((o * rows + row) * inner, (o * count + i) * inner);
                for c in 0..inner {
                    dx.data[to + c] += term(dy.data[from + c]);
                }
            }
        }
        dx
    }
}

/// The positions of the indices in the order of the rows that they name, equal ones as they stand.
fn sort(cx: &mut Lowering<'_>, index: Slot, rows: usize, count: usize) -> Slot {
    let blocks = count.div_ceil(BLOCK);
    let bytes = 4 * count as u64;
    let orders = [cx.scratch(bytes), cx.scratch(bytes)];
    let counts = cx.scratch(4 * (DIGITS * blocks) as u64);
    let bits = (usize::BITS - (rows - 1).leading_zeros()) as usize;
    // The first pass reads no order; it is given a buffer that it does not write.
    let mut from = index;
    for pass in 0..bits.div_ceil(DIGIT_BITS).max(1) {
        let to = orders[pass % 2];
        let call = |entry, grid| {
            let (rows, count, blocks) = (word(rows), word(count), word(blocks));
            KernelCall::new(&SORTED, entry)
                .params(&SortParams { rows, count, blocks, shift: word(pass * DIGIT_BITS) })
                .grid(grid)
        };
        let on_blocks = |entry| call(entry, Grid::linear(blocks, 1)).constant("FIRST", f64::from(pass == 0));
        let scan = 2 * (DIGITS * blocks).div_ceil(256) + 8;
        cx.call(on_blocks("count").loops(DIGITS + RUN + LANES).binds([index, from, counts]));
        cx.call(call("scan", Grid::linear(1, 1)).loops(scan).binds([counts]));
        cx.call(on_blocks("scatter").loops(DIGITS + 2 * RUN + LANES).binds([index, from, counts, to]));
        from = to;
    }
    from
}

impl Op for GatherGrad {
    fn name(&self) -> &'static str {
        "gather_grad"
    }

    fn attributes(&self) -> String {
        format!("axis={}, table {}{}", self.axis, self.table, padding_text(self.padding))
    }

    fn outputs(&self, inputs: &[TensorType]) -> Result<Vec<TensorType>> {
        Ok(vec![TensorType { shape: self.table, ..inputs[1] }])
    }

    fn lower(&self, cx: &mut Lowering<'_>) -> Result<()> {
        let picks = self.picks(cx.inputs[0].shape);
        if let Some(chunk) = self.piece(picks) {
            self.lower_sorted(cx, picks, chunk);
            return Ok(());
        }
        let call = picks.call(["gather_grad", "gather_grad_quads"], picks.rows, self.padding);
        cx.only(call.loops(picks.count + picks.count.div_ceil(64)).binds(cx.operands()))
    }

    fn reference(&self, cx: &Reference<'_>) -> Vec<Array> {
        vec![self.scatter(cx, |dy| dy)]
    }

    fn routine(&self, inputs: &[TensorType], _: &[TensorType]) -> Option<Routine> {
        let (op, picks) = (*self, self.picks(inputs[0].shape));
        Some(Box::new(move |cx| op.run(picks, cx)))
    }

    fn error_bound(&self, cx: &Reference<'_>, _: &[Array]) -> Vec<Vec<f64>> {
        // Half a unit per addition of the longest chain that a term goes through. Directly, those of
        // a block of 64 indices and then the blocks; adding zero is exact, so only indices that hit
        // count. Sorted, those of a piece or of an end of the run, then the pieces and the rest.
        let picks = self.picks(cx.inputs[0].shape);
        let chain = |hits: f64| match self.piece(picks) {
            None => hits.min(64.0) + hits.min(picks.count.div_ceil(64) as f64),
            Some(chunk) => hits.min(chunk as f64) + (hits / chunk as f64).ceil() + 1.0,
        };
        let (magnitude, hits) = (self.scatter(cx, f64::abs), self.scatter(cx, |_| 1.0));
        let bound = |(m, &h): (&f64, &f64)| 0.5 * chain(h) * EPS * m + (1.0 + h) * FLUSH;
        vec![magnitude.data.iter().zip(&hits.data).map(bound).collect()]
    }
}

#[cfg(test)]
mod tests {
    use crate::Graph;
    use crate::tape::{DeviceProfile, Plan};

    /// The gradient of a table of single numbers, planned for a device that cuts loops short.
    fn plan(rows: usize, count: usize) -> Plan {
        let mut g = Graph::new();
        let (table, index) = (g.input("table", [rows]), g.indices("index", [count]));
        let total = g.sum(g.gather(table, index, 0).unwrap(), &[], false).unwrap();
        let slope = g.differentiate(total, &[table]).unwrap()[0];
        let profile = DeviceProfile { max_loop_iterations: 65_535, ..DeviceProfile::baseline() };
        g.forward([slope]).unwrap().plan(&profile).unwrap()
    }

    fn dispatches(plan: &Plan) -> usize {
        plan.dispatches.iter().filter(|d| d.shader.name().starts_with("gather")).count()
    }

    /// Up to the most indices and rows that the device binds at once.
    #[test]
    fn no_table_and_no_number_of_indices_is_refused_for_its_loops() {
        for rows in [1, 7, 1000, 10_000, 1 << 25] {
            for count in [1, 33, 4097, 12_800, 70_001, 1 << 20, 1 << 25] {
                assert!(dispatches(&plan(rows, count)) > 0, "{count} of {rows}");
            }
        }
    }

    #[test]
    fn the_number_of_dispatches_follows_from_the_rows() {
        for (rows, count, expected) in
            [(64, 4096, 1), (65, 4096, 9), (32, 70_001, 6), (1025, 12_800, 12), (1 << 25, 32, 1)]
        {
            assert_eq!(dispatches(&plan(rows, count)), expected, "{count} of {rows}");
        }
    }
}
