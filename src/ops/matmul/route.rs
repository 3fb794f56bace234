//! Which kernel computes a product, and its dispatches.
//!
//! The rule looks at nothing but the sizes and the device's profile:
//!
//! - On a CPU-type device, up to 1024 multiplications go to `naive`, whose compilation is the
//!   shortest, and up to 2^17 where rows, columns or depth are 16 at most and the depth is no more than
//!   [`LONGEST_NAIVE`]: that takes some tenths of a millisecond for the product of a classifier of a
//!   hundred units, and the three kernels of blocks that its training step would need take a quarter of a
//!   second to compile. Everything else goes to `lanes` if subgroups have exactly 8 lanes and to `rows` if
//!   not. The wider side of y lies along the lanes where the other has at most 16 rows, and `lanes_16` or
//!   `lanes_8` takes those.
//! - On a GPU, up to 32^3 multiplications go to `naive`. Everything else goes to the tiles of least cost
//!   ([`tiled`]): what they issue, edges included, over what their loops make of it and how much of a GPU their grid
//!   keeps busy. A small grid is filled up by splitting k; `join` adds the parts up in order, so results
//!   stay the same from run to run.
//!
//! A matrix that is larger than a binding of the device is bound a range of rows at a time, each
//! range a product of its own; ranges of k are added up in y.

use std::ops::Range;

use super::Product;
use super::kernel::{
    Kernel, LANES, LANES_8, LANES_16, Operands, ROWS, TEAMS_16, TEAMS_24, TEAMS_32, TILES_16X128,
    TILES_24X128, TILES_32X128, TILES_64, TILES_64X128, TILES_128, TILES_128X64, Tiled, runs_tiles, tiled,
};
use crate::kernel::Bind;
use crate::ops::common::*;

pub(in crate::ops) static ELEMENTS: Shader =
    built_in!("matmul", "../../../shaders/matmul.wgsl", "../../../shaders/finish.wgsl");
pub(in crate::ops) static BLOCKS: Shader = built_in!(
    "matmul_blocks",
    "../../../shaders/matmul_blocks.wgsl",
    "../../../shaders/gemm.wgsl",
    "../../../shaders/tiles.wgsl",
    "../../../shaders/no_sums.wgsl",
    "../../../shaders/finish.wgsl"
);
pub(in crate::ops) static BLOCKS_AND_SUMS: Shader = built_in!(
    "matmul_blocks",
    "../../../shaders/matmul_blocks.wgsl",
    "../../../shaders/gemm.wgsl",
    "../../../shaders/tiles.wgsl",
    "../../../shaders/column_sums.wgsl",
    "../../../shaders/finish.wgsl"
);

crate::params! {
    struct ElementParams {
        extents: [u32; 4], a_batch: [u32; 4], b_batch: [u32; 4],
        m: u32, n: u32, k: u32, a_row: u32, a_col: u32, b_row: u32, b_col: u32,
        tiles_m: u32, tiles_n: u32, tiles: u32, unused: [u32; 2],
    }
}

crate::params! {
    struct BlockParams {
        extents: [u32; 4], a_batch: [u32; 4], b_batch: [u32; 4],
        m: u32, n: u32, k: u32, tiles_m: u32, tiles_n: u32, tiles: u32, batch: u32, part: u32,
        a_first: u32, a_row: u32, b_first: u32, b_row: u32,
        y_first: u32, y_row: u32, y_batch: u32, y_part: u32, sums: u32,
    }
}

crate::params! {
    struct JoinBothParams { n: u32, sums: u32, parts: u32 }
}

crate::params! {
    struct JoinParams { n: u32, parts: u32, inner: u32, rows: u32, columns: u32 }
}

/// A row: attributes, route and, unless the rule chooses, what it is.
macro_rules! routes {
    ($($(#[$attribute:meta])* $route:ident $(= $choice:expr)?;)*) => {
        /// How a product is computed. All give the same numbers to rounding.
        ///
        /// The rule behind [`Auto`](MatmulRoute::Auto) looks at nothing but sizes and the device's profile, for the
        /// product and each of its two gradients on its own:
        ///
        /// - on a GPU, `Naive` up to 32^3 multiplications and where workgroups are too small for tiles; else the tiles
        ///   that come out cheapest by what they issue, edges included, what their loops make of it and how much of the
        ///   GPU their grid keeps busy; k is split where the grid is small;
        /// - on a software driver, `Naive` for the smallest, and `Lanes` or its narrow forms for everything else, where
        ///   subgroups have 8 lanes; else `Rows`.
        ///
        /// A forced route is taken on any device that has room for its workgroups; elsewhere the plan refuses it
        /// ([`Error::Limit`](crate::Error::Limit)).
        #[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
        #[non_exhaustive]
        pub enum MatmulRoute {$($(#[$attribute])* $route,)*}

        impl MatmulRoute {
            /// All of them.
            pub const ALL: &'static [MatmulRoute] = &[$(MatmulRoute::$route,)*];

            /// What it is on a device whose subgroups have 8 lanes; `None` for what the rule chooses.
            fn choice(self) -> Option<Choice> {
                match self {$(MatmulRoute::$route => [$($choice)?].into_iter().next(),)*}
            }
        }
    };
}

routes! {
    /// What the rule chooses.
    #[default]
    Auto;
    /// A thread per element.
    Naive = Choice::Naive;
    /// Tiles of 16x16 through workgroup memory.
    Tile16 = Choice::Tile16;
    /// 32x32 per subgroup of 8; `Rows` where subgroups have other sizes.
    Lanes = Choice::blocks(LANES);
    /// `Lanes` computing the transpose.
    LanesSwapped = Choice::swapped(LANES);
    /// 16x32 per subgroup of 8; `Rows` where subgroups have other sizes.
    Lanes16 = Choice::blocks(LANES_16);
    /// `Lanes16` computing the transpose.
    Lanes16Swapped = Choice::swapped(LANES_16);
    /// 8x32 per subgroup of 8; `Rows` where subgroups have other sizes.
    Lanes8 = Choice::blocks(LANES_8);
    /// `Lanes8` computing the transpose.
    Lanes8Swapped = Choice::swapped(LANES_8);
    /// 16x32 per 8 lanes, without shuffles.
    Rows = Choice::blocks(ROWS);
    /// `Rows` computing the transpose.
    RowsSwapped = Choice::swapped(ROWS);
    /// Tiles of 16x32 through workgroup memory, by eight sets of threads.
    Teams16 = Choice::blocks(TEAMS_16);
    /// Tiles of 24x64 through workgroup memory, by two sets of threads.
    Teams24 = Choice::blocks(TEAMS_24);
    /// Tiles of 32x32 through workgroup memory, by four sets of threads.
    Teams32 = Choice::blocks(TEAMS_32);
    /// Tiles of 16x128 through workgroup memory.
    Tiles16x128 = Choice::blocks(TILES_16X128);
    /// `Tiles16x128` computing the transpose.
    Tiles16x128Swapped = Choice::swapped(TILES_16X128);
    /// Tiles of 24x128 through workgroup memory.
    Tiles24x128 = Choice::blocks(TILES_24X128);
    /// Tiles of 32x128 through workgroup memory.
    Tiles32x128 = Choice::blocks(TILES_32X128);
    /// Tiles of 64x64 through workgroup memory.
    Tiles64 = Choice::blocks(TILES_64);
    /// Tiles of 64x128 through workgroup memory.
    Tiles64x128 = Choice::blocks(TILES_64X128);
    /// Tiles of 128x64 through workgroup memory.
    Tiles128x64 = Choice::blocks(TILES_128X64);
    /// Tiles of 128x128 through workgroup memory.
    Tiles128 = Choice::blocks(TILES_128);
    /// `Teams32` with k in parts.
    SplitTeams32 = Choice::Blocks { kernel: TEAMS_32, swap: false, parts: 3 };
    /// `Tiles64` with k in parts.
    Split64 = Choice::Blocks { kernel: TILES_64, swap: false, parts: 3 };
    /// `Tiles128` with k in parts.
    Split128 = Choice::Blocks { kernel: TILES_128, swap: false, parts: 3 };
}

/// The longest k of narrow products that a thread each goes through.
const LONGEST_NAIVE: usize = 4096;

/// What storing a result transposed adds to a product.
const SWAP_COST: f64 = 1.1;

/// A route with every choice made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Choice {
    Naive,
    Tile16,
    Blocks { kernel: Kernel, swap: bool, parts: usize },
}

impl Choice {
    fn blocks(kernel: Kernel) -> Choice {
        Choice::Blocks { kernel, swap: false, parts: 1 }
    }

    fn swapped(kernel: Kernel) -> Choice {
        Choice::Blocks { kernel, swap: true, parts: 1 }
    }
}

fn choose(profile: &DeviceProfile, product: &Product, route: MatmulRoute) -> Choice {
    let choice = route.choice().unwrap_or_else(|| match profile.kind {
        DeviceKind::Cpu => for_cpu(product),
        DeviceKind::Gpu => for_gpu(profile, product),
    });
    match choice {
        // Lanes that cannot shuffle go by rows.
        Choice::Blocks { kernel: LANES | LANES_16 | LANES_8, swap, parts }
            if profile.subgroups != Some((8, 8)) =>
        {
            Choice::Blocks { kernel: ROWS, swap, parts }
        }
        choice => choice,
    }
}

fn for_cpu(product: &Product) -> Choice {
    let &Product { m, n, k, .. } = product;
    // A thread goes through all of k.
    let is_narrow = m.min(n).min(k) <= 16 && k <= LONGEST_NAIVE;
    if product.multiplications() <= if is_narrow { 1 << 17 } else { 1024 } {
        return Choice::Naive;
    }
    let kernel = match m.min(n) {
        narrow if narrow <= LANES_8.rows => LANES_8,
        narrow if narrow <= LANES_16.rows => LANES_16,
        _ => LANES,
    };
    Choice::Blocks { kernel, swap: n < m && n <= LANES_16.rows, parts: 1 }
}

fn for_gpu(profile: &DeviceProfile, product: &Product) -> Choice {
    let &Product { batch, m, n, k, .. } = product;
    if !runs_tiles(profile) || product.multiplications() <= 32 * 32 * 32 {
        return Choice::Naive;
    }
    let [straight, turned] =
        [[m, n, k], [n, m, k]].map(|sizes| tiled(profile, Operands::Stored, batch, sizes));
    // A transposed result is stored in single elements.
    let swap = turned.cost * SWAP_COST < straight.cost;
    let Tiled { kernel, parts, .. } = if swap { turned } else { straight };
    Choice::Blocks { kernel, swap, parts }
}

/// Adds the calls that compute a product of two operands into the third.
pub(in crate::ops) fn lower(
    cx: &mut Lowering<'_>,
    product: &Product,
    route: MatmulRoute,
    [a, b, y]: [Slot; 3],
) {
    match choose(cx.profile, product, route) {
        Choice::Naive => cx.call(elements(product, "naive", 8, product.m, [a, b, y])),
        Choice::Tile16 => cx.call(elements(product, "tile_16", 16, product.m, [a, b, y])),
        Choice::Blocks { kernel, swap, parts } => {
            // y^T = op(b)^T op(a)^T
            let (product, operands) =
                if swap { (product.swapped(), [b, a, y]) } else { (*product, [a, b, y]) };
            Blocks { product, kernel, parts, swap, operands, sums: None }.lower(cx);
        }
    }
}

/// Adds the calls that compute the product of two matrices into the third operand and the sums of the second
/// one's columns into the fourth; `false` where the product is of more than a binding takes.
pub(in crate::ops) fn lower_with_sums(
    cx: &mut Lowering<'_>,
    product: &Product,
    route: MatmulRoute,
    [a, b, y, sums]: [Slot; 4],
) -> bool {
    let (kernel, swap, parts) = match choose(cx.profile, product, route) {
        Choice::Blocks { kernel, swap, parts } => (kernel, swap, parts),
        Choice::Naive if product.batch == 1 => {
            let call = elements(product, "naive_sums", 8, product.m + 1, [a, b, y]);
            cx.call(call.bind(sums).finish(None));
            return true;
        }
        _ => return false,
    };
    let (product, operands) = if swap { (product.swapped(), [b, a, y]) } else { (*product, [a, b, y]) };
    let blocks = Blocks { product, kernel, parts, swap, operands, sums: Some(sums) };
    let fits = product.batch == 1 && blocks.steps(cx) == [product.m, product.n, product.k];
    if fits {
        blocks.lower(cx);
    }
    fits
}

/// The call of a kernel that makes so many rows, an element a thread, in square tiles of a size.
fn elements(
    product: &Product,
    entry: &'static str,
    size: usize,
    rows: usize,
    operands: [Slot; 3],
) -> KernelCall {
    let &Product { batch, m, n, k, members, .. } = product;
    let [(a_row, a_col), (b_row, b_col)] = product.strides();
    let (tiles_m, tiles_n) = (rows.div_ceil(size), n.div_ceil(size));
    let tiles = batch * tiles_m * tiles_n;
    let call = KernelCall::new(&ELEMENTS, entry)
        .finish(Some(Finish::matrices(m, n)))
        .loops(k + k.div_ceil(16))
        .binds(operands)
        .grid(Grid::linear(tiles, 1));
    let [extents, a_batch, b_batch] = product.member_words();
    let [a_row, a_col, b_row, b_col] = [a_row, a_col, b_row, b_col].map(word);
    let [m, n, k, tiles_m, tiles_n, tiles] = [m, n, k, tiles_m, tiles_n, tiles].map(word);
    let params = ElementParams {
        extents,
        a_batch,
        b_batch,
        m,
        n,
        k,
        a_row,
        a_col,
        b_row,
        b_col,
        tiles_m,
        tiles_n,
        tiles,
        unused: [0; 2],
    };
    call.constant("AXES", members.axes as f64).params(&params)
}

/// A product by a kernel that works in blocks.
#[derive(Clone, Copy)]
struct Blocks {
    product: Product,
    kernel: Kernel,
    /// Into how many parts k is split.
    parts: usize,
    /// Whether y is stored transposed.
    swap: bool,
    operands: [Slot; 3],
    /// Where the sums of the columns of the side that is not swapped go, if they are wanted.
    sums: Option<Slot>,
}

impl Blocks {
    fn lower(&self, cx: &mut Lowering<'_>) {
        let &Product { batch, m, n, k, .. } = &self.product;
        let limit = cx.profile.max_binding_bytes;
        let steps = self.steps(cx);
        let ranges = |size: usize, step: usize| {
            (0..size).step_by(step).map(move |start| start..size.min(start + step))
        };
        // A depth that goes by ranges is added up in place, one range after the other.
        let parts = if steps[2] < k { 1 } else { self.parts.max(self.kernel.least_parts(cx.profile, k)) };
        // Parts begin where a stage begins, so that only the last one can be ragged.
        let part = steps[2].div_ceil(parts).next_multiple_of(self.kernel.depth);
        let parts = steps[2].div_ceil(part);
        if let Some(sums) = self.sums {
            let columns = if self.swap { m } else { n };
            joined_both(cx, [m * n, columns, parts], [self.operands[2], sums], |cx, [y, sums]| {
                let call = self.call(limit, &[0..m, 0..n, 0..k], part, y);
                cx.call(call.bind(sums));
            });
            return;
        }
        let finish = Some(self.finish());
        joined(cx, [batch * m * n, parts], self.operands[2], finish, |cx, sums| {
            for depth in ranges(k, steps[2]) {
                for rows in ranges(m, steps[0]) {
                    for columns in ranges(n, steps[1]) {
                        cx.call(self.call(limit, &[rows.clone(), columns, depth.clone()], part, sums));
                    }
                }
            }
        });
    }

    fn finish(&self) -> Finish {
        let &Product { m, n, .. } = &self.product;
        if self.swap { Finish::matrices(n, m) } else { Finish::matrices(m, n) }
    }

    /// How much of m, n and k goes into one call: what binds as many rows of each matrix as the
    /// device allows.
    fn steps(&self, cx: &Lowering<'_>) -> [usize; 3] {
        let limit = cx.profile.max_binding_bytes;
        // As many rows begin at multiples of 256 bytes, as bindings must.
        let narrowing = cx.inputs.iter().chain(cx.outputs).map(|ty| ty.dtype.narrowing()).max();
        let aligned = 64 * narrowing.unwrap_or(1) as usize;
        let &Product { batch, m, n, k, transposed: [a, b], .. } = &self.product;
        let sizes = [m, n, k];
        if batch > 1 {
            return sizes;
        }
        let rows = |rows: usize, columns: usize| {
            let row = 4 * columns as u64;
            if rows as u64 * row <= limit {
                return rows;
            }
            (usize::try_from(limit / row).unwrap_or(usize::MAX) / aligned * aligned).max(aligned)
        };
        let mut steps = sizes;
        // The axis that the rows of each matrix lie along, and the other one.
        for [along, across] in [
            if a { [2, 0] } else { [0, 2] },
            if b { [1, 2] } else { [2, 1] },
            if self.swap { [1, 0] } else { [0, 1] },
        ] {
            steps[along] = steps[along].min(rows(sizes[along], sizes[across]));
        }
        steps
    }

    fn call(&self, limit: u64, ranges: &[Range<usize>; 3], part: usize, sums: Slot) -> KernelCall {
        let &Blocks { product, kernel, swap, operands, .. } = self;
        let Product { batch, m, n, k, transposed, members } = product;
        let [rows, columns, depth] = ranges;
        // What is bound of a part of a matrix, which is stored the other way round if `flip` is set, and the
        // element of that which the part begins with.
        let view = |slot: Slot, [r, c]: [usize; 2], [rows, columns]: [&Range<usize>; 2], flip: bool| {
            let [(all, rows), (stride, columns)] =
                if flip { [(c, columns), (r, rows)] } else { [(r, rows), (c, columns)] };
            let bytes = |rows: usize| 4 * (rows * stride) as u64;
            if batch > 1 || bytes(all) <= limit || matches!(slot, Slot::Scratch(_)) {
                return (slot.into(), rows.start * stride + columns.start);
            }
            (Bind { slot, offset: bytes(rows.start), bytes: Some(bytes(rows.len())) }, columns.start)
        };
        let (a, a_first) = view(operands[0], [m, k], [rows, depth], transposed[0]);
        let (b, b_first) = view(operands[1], [k, n], [depth, columns], transposed[1]);
        let (y, y_first) = view(sums, [m, n], [rows, columns], swap);
        let [a_row, b_row] = product.stored_columns();
        // A row or a column of ones beside those of the operand.
        let ones = self.sums.is_some();
        let [rows_made, columns_made] =
            [rows.len() + usize::from(ones && !swap), columns.len() + usize::from(ones && swap)];
        let (tiles_m, tiles_n) = (rows_made.div_ceil(kernel.rows), columns_made.div_ceil(kernel.columns));
        let tiles = depth.len().div_ceil(part) * kernel.tiles(batch, rows_made, columns_made);
        let [extents, a_batch, b_batch] = product.member_words();
        let params = BlockParams {
            extents,
            a_batch,
            b_batch,
            m: word(rows_made),
            n: word(columns_made),
            k: word(depth.len()),
            tiles_m: word(tiles_m),
            tiles_n: word(tiles_n),
            tiles: word(tiles),
            batch: word(batch),
            part: word(part),
            a_first: word(a_first),
            a_row: word(a_row),
            b_first: word(b_first),
            b_row: word(b_row),
            y_first: word(y_first),
            y_row: word(if swap { m } else { n }),
            y_batch: word(m * n),
            y_part: word(batch * m * n),
            sums: word(if swap { m } else { n }),
        };
        kernel
            .sized(KernelCall::new(if ones { &BLOCKS_AND_SUMS } else { &BLOCKS }, kernel.entry))
            .finish(Some(self.finish()))
            .constant("ONES", f64::from(ones))
            .constant("AXES", members.axes as f64)
            .constant("TRANSPOSE_A", f64::from(transposed[0]))
            .constant("TRANSPOSE_B", f64::from(transposed[1]))
            .constant("QUADS_A", f64::from(a_row.is_multiple_of(4)))
            .constant("QUADS_B", f64::from(b_row.is_multiple_of(4)))
            .constant("RAGGED", f64::from(!depth.len().is_multiple_of(kernel.depth)))
            .constant("SWAP", f64::from(swap))
            .constant("ACCUMULATE", f64::from(depth.start > 0))
            .params(&params)
            .loops(kernel.loops(part))
            .issued(kernel.issued(batch, [rows_made, columns_made, depth.len()], depth.len().div_ceil(part)))
            .bind(a)
            .bind(b)
            .bind(y)
            .grid(Grid::linear(tiles, 1))
    }
}

/// Records what writes `parts` arrays of `count` elements each, side by side, and adds them up into `to`, in
/// order.
pub(in crate::ops) fn joined(
    cx: &mut Lowering<'_>,
    [count, parts]: [usize; 2],
    to: Slot,
    finish: Option<Finish>,
    record: impl FnOnce(&mut Lowering<'_>, Slot),
) {
    if parts == 1 {
        return record(cx, to);
    }
    let sums = cx.scratch(4 * (parts * count) as u64);
    record(cx, sums);
    let Finish { row, column } = finish.unwrap_or_default();
    let ([inner, rows], [_, columns]) = (row.unwrap_or([1; 2]), column.unwrap_or([1; 2]));
    let [n, parts_word, inner, rows, columns] = [count, parts, inner, rows, columns].map(word);
    let join = KernelCall::new(&BLOCKS, "join")
        .params(&JoinParams { n, parts: parts_word, inner, rows, columns })
        .finish(finish)
        .loops(parts)
        .multiply_adds(0)
        .binds([sums, to])
        .grid(Grid::linear(count, 64));
    cx.call(join);
}

/// The same with `sums` numbers more to each part, in places of their own.
pub(in crate::ops) fn joined_both(
    cx: &mut Lowering<'_>,
    [count, sums, parts]: [usize; 3],
    to: [Slot; 2],
    record: impl FnOnce(&mut Lowering<'_>, [Slot; 2]),
) {
    if parts == 1 {
        return record(cx, to);
    }
    let scratch = [count, sums].map(|numbers| cx.scratch(4 * (parts * numbers) as u64));
    record(cx, scratch);
    let params = JoinBothParams { n: word(count), sums: word(sums), parts: word(parts) };
    let join = KernelCall::new(&BLOCKS, "join_both").params(&params).loops(parts).multiply_adds(0);
    cx.call(join.binds(scratch).binds(to).grid(Grid::linear(count + sums, 64)));
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ops::matmul::Members;

    fn product(m: usize, k: usize, n: usize) -> Product {
        Product { batch: 1, m, n, k, transposed: [false; 2], members: Members::new(&[], [vec![], vec![]]) }
    }

    fn chosen(profile: &DeviceProfile, m: usize, k: usize, n: usize) -> Choice {
        choose(profile, &product(m, k, n), MatmulRoute::Auto)
    }

    #[test]
    fn cpu_devices_get_lanes_and_narrow_sides_along_rows() {
        let shuffles =
            DeviceProfile { kind: DeviceKind::Cpu, subgroups: Some((8, 8)), ..DeviceProfile::baseline() };
        let swapped = |kernel, swap| Choice::Blocks { kernel, swap, parts: 1 };
        assert_eq!(chosen(&shuffles, 4, 2, 4), Choice::Naive);
        assert_eq!(chosen(&shuffles, 128, 784, 512), swapped(LANES, false));
        assert_eq!(chosen(&shuffles, 128, 512, 10), swapped(LANES_16, true));
        assert_eq!(chosen(&shuffles, 128, 100, 10), Choice::Naive);
        assert_eq!(chosen(&shuffles, 128, 10, 100), Choice::Naive);
        assert_eq!(chosen(&shuffles, 1, 4097, 1), swapped(LANES_8, false));
        assert_eq!(chosen(&shuffles, 1, 100_000, 1), swapped(LANES_8, false));
        assert_eq!(chosen(&shuffles, 32, 32, 32), swapped(LANES, false));
        assert_eq!(chosen(&shuffles, 1, 512, 512), swapped(LANES_8, false));
        assert_eq!(chosen(&shuffles, 512, 512, 1), swapped(LANES_8, true));
        let others = DeviceProfile { subgroups: Some((4, 4)), ..shuffles };
        assert_eq!(chosen(&others, 128, 784, 512), swapped(ROWS, false));
        assert_eq!(chosen(&others, 512, 512, 1), swapped(ROWS, true));
    }

    #[test]
    fn gpus_get_the_tiles_of_least_cost() {
        let gpu = DeviceProfile::baseline();
        let split = |kernel, parts| Choice::Blocks { kernel, swap: false, parts };
        assert_eq!(chosen(&gpu, 32, 32, 10), Choice::Naive);
        // Large ones get the largest, and those that it would waste get others.
        assert_eq!(chosen(&gpu, 2048, 2048, 2048), split(TILES_128, 1));
        assert_eq!(chosen(&gpu, 64, 512, 100_000), split(TILES_64X128, 1));
        assert_eq!(chosen(&gpu, 100_000, 512, 64), split(TILES_128X64, 1));
        assert_eq!(chosen(&gpu, 16, 512, 100_000), split(TILES_16X128, 1));
        assert_eq!(chosen(&gpu, 20, 252, 100_000), split(TILES_24X128, 1));
        // Narrow results lie along the rows.
        let swapped = Choice::Blocks { kernel: TILES_16X128, swap: true, parts: 1 };
        assert_eq!(chosen(&gpu, 100_000, 512, 10), swapped);
        // Small grids are split, or get small tiles.
        assert_eq!(chosen(&gpu, 128, 784, 512), split(TEAMS_32, 1));
        let Choice::Blocks { parts, .. } = chosen(&gpu, 128, 65_536, 128) else { panic!("it is tiled") };
        assert!(parts > 8, "{parts}");
        let slow = DeviceProfile { busy_invocations: 1 << 10, ..gpu.clone() };
        assert_eq!(chosen(&slow, 512, 512, 512), split(TILES_128, 1));
        // Parts fit the device.
        let tight = DeviceProfile { max_binding_bytes: 3 * 4 * 128 * 512, ..DeviceProfile::baseline() };
        let Choice::Blocks { parts, .. } = chosen(&tight, 128, 65_536, 512) else { panic!("it is tiled") };
        assert!(parts <= 3, "{parts}");
        let small = DeviceProfile { max_workgroup_bytes: 8192, ..DeviceProfile::baseline() };
        assert_eq!(chosen(&small, 512, 512, 512), Choice::Naive);
    }
}
