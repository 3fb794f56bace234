//! Which kernel computes a product, and its dispatches.
//!
//! The rule looks at nothing but the sizes and the device's profile:
//!
//! - On a CPU-type device, up to 1024 multiplications go to `naive`, whose compilation is the
//!   shortest. Everything else goes to `lanes` if subgroups have exactly 8 lanes and to `rows` if
//!   not. The wider side of y lies along the lanes where the other has at most 8 rows, and `lanes_8`
//!   takes those.
//! - On a GPU, up to 32^3 multiplications go to `naive`. Everything else goes to `tiles_128` where
//!   that makes at least [`FULL_GRID`] workgroups, about two waves of a large GPU, and to `tiles_64`
//!   where not. A smaller grid than that is filled up by splitting k, into parts of at least
//!   [`SHORTEST_PART`]; `join` adds the parts up in order, so results stay the same from run to run.

use super::Product;
use crate::kernel::{Grid, KernelCall, Shader, Slot};
use crate::ops::{Lowering, word};
use crate::tape::{DeviceKind, DeviceProfile};

pub(in crate::ops) static ELEMENTS: Shader =
    built_in!("matmul", include_str!("../../../shaders/matmul.wgsl"));
pub(in crate::ops) static BLOCKS: Shader =
    built_in!("matmul_blocks", include_str!("../../../shaders/matmul_blocks.wgsl"));

crate::params! {
    struct ElementParams {
        m: u32, n: u32, k: u32, a_row: u32, a_col: u32, b_row: u32, b_col: u32, a_batch: u32, b_batch: u32,
        tiles_m: u32, tiles_n: u32, tiles: u32,
    }
}

crate::params! {
    struct BlockParams {
        m: u32, n: u32, k: u32, tiles_m: u32, tiles_n: u32, tiles: u32, batch: u32,
        a_batch: u32, b_batch: u32, part: u32,
    }
}

crate::params! {
    struct JoinParams { n: u32, parts: u32 }
}

/// How a product is computed, for tests and benches that want a certain kernel.
#[doc(hidden)]
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum MatmulRoute {
    /// What the rule chooses.
    Auto,
    /// A thread per element.
    Naive,
    /// Tiles of 16x16 through workgroup memory.
    Tile16,
    /// 32x32 per subgroup of 8; `Rows` where subgroups have other sizes.
    Lanes,
    /// `Lanes` computing the transpose.
    LanesSwapped,
    /// 8x32 per subgroup of 8; `Rows` where subgroups have other sizes.
    Lanes8,
    /// `Lanes8` computing the transpose.
    Lanes8Swapped,
    /// 16x32 per 8 lanes, without shuffles.
    Rows,
    /// `Rows` computing the transpose.
    RowsSwapped,
    /// Tiles of 64x64 through workgroup memory.
    Tiles64,
    /// Tiles of 128x128 through workgroup memory.
    Tiles128,
    /// `Tiles64` with k in parts.
    Split64,
    /// `Tiles128` with k in parts.
    Split128,
}

impl MatmulRoute {
    /// All of them.
    pub const ALL: [MatmulRoute; 13] = [
        MatmulRoute::Auto,
        MatmulRoute::Naive,
        MatmulRoute::Tile16,
        MatmulRoute::Lanes,
        MatmulRoute::LanesSwapped,
        MatmulRoute::Lanes8,
        MatmulRoute::Lanes8Swapped,
        MatmulRoute::Rows,
        MatmulRoute::RowsSwapped,
        MatmulRoute::Tiles64,
        MatmulRoute::Tiles128,
        MatmulRoute::Split64,
        MatmulRoute::Split128,
    ];
}

/// A kernel that works in blocks: its entry point and the rows, columns and depth that a workgroup
/// takes at a time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Kernel {
    entry: &'static str,
    rows: usize,
    columns: usize,
    depth: usize,
}

const LANES: Kernel = Kernel { entry: "lanes", rows: 32, columns: 32, depth: 4 };
const LANES_8: Kernel = Kernel { entry: "lanes_8", rows: 8, columns: 32, depth: 4 };
const ROWS: Kernel = Kernel { entry: "rows", rows: 16, columns: 32, depth: 4 };
const TILES_64: Kernel = Kernel { entry: "tiles_64", rows: 64, columns: 64, depth: 16 };
const TILES_128: Kernel = Kernel { entry: "tiles_128", rows: 128, columns: 128, depth: 8 };

/// Bytes of workgroup memory that the tiles of both sides take.
const TILE_BYTES: u32 = 2 * 264 * 16;
/// Workgroups that keep a GPU busy.
const FULL_GRID: usize = 256;
/// The least depth worth a part of its own, which is written and read once more.
const SHORTEST_PART: usize = 128;

impl Kernel {
    fn tiles(&self, product: &Product) -> usize {
        product.batch * product.m.div_ceil(self.rows) * product.n.div_ceil(self.columns)
    }
}

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
}

fn choose(profile: &DeviceProfile, product: &Product, route: MatmulRoute) -> Choice {
    let shuffles = profile.subgroups == Some((8, 8));
    let lanes = |kernel| if shuffles { kernel } else { ROWS };
    let swapped = |kernel| Choice::Blocks { kernel, swap: true, parts: 1 };
    match route {
        MatmulRoute::Naive => Choice::Naive,
        MatmulRoute::Tile16 => Choice::Tile16,
        MatmulRoute::Lanes => Choice::blocks(lanes(LANES)),
        MatmulRoute::LanesSwapped => swapped(lanes(LANES)),
        MatmulRoute::Lanes8 => Choice::blocks(lanes(LANES_8)),
        MatmulRoute::Lanes8Swapped => swapped(lanes(LANES_8)),
        MatmulRoute::Rows => Choice::blocks(ROWS),
        MatmulRoute::RowsSwapped => swapped(ROWS),
        MatmulRoute::Tiles64 => Choice::blocks(TILES_64),
        MatmulRoute::Tiles128 => Choice::blocks(TILES_128),
        MatmulRoute::Split64 => Choice::Blocks { kernel: TILES_64, swap: false, parts: 3 },
        MatmulRoute::Split128 => Choice::Blocks { kernel: TILES_128, swap: false, parts: 3 },
        MatmulRoute::Auto => match profile.kind {
            DeviceKind::Cpu => for_cpu(shuffles, product),
            DeviceKind::Gpu => for_gpu(profile, product),
        },
    }
}

fn for_cpu(shuffles: bool, product: &Product) -> Choice {
    let &Product { m, n, .. } = product;
    if product.multiplications() <= 1024 {
        return Choice::Naive;
    }
    let kernel = match (shuffles, m.min(n) <= LANES_8.rows) {
        (true, true) => LANES_8,
        (true, false) => LANES,
        (false, _) => ROWS,
    };
    Choice::Blocks { kernel, swap: n < m && n <= LANES_8.rows, parts: 1 }
}

fn for_gpu(profile: &DeviceProfile, product: &Product) -> Choice {
    let &Product { batch, m, n, k, .. } = product;
    let runs = profile.max_invocations >= 256
        && profile.max_workgroup_size[..2].iter().all(|&size| size >= 16)
        && profile.max_workgroup_bytes >= TILE_BYTES;
    if !runs || product.multiplications() <= 32 * 32 * 32 {
        return Choice::Naive;
    }
    if TILES_128.tiles(product) >= FULL_GRID {
        return Choice::blocks(TILES_128);
    }
    let wanted = FULL_GRID.div_ceil(TILES_64.tiles(product)).min(k / SHORTEST_PART).max(1);
    let part_bytes = 4 * (batch * m * n) as u64;
    let allowed = profile.max_binding_bytes.min(profile.max_buffer_bytes) / part_bytes;
    let parts = wanted.min(usize::try_from(allowed).unwrap_or(usize::MAX)).max(1);
    Choice::Blocks { kernel: TILES_64, swap: false, parts }
}

/// Adds the calls that compute a product.
pub(super) fn lower(cx: &mut Lowering<'_>, product: &Product, route: MatmulRoute) {
    match choose(cx.profile, product, route) {
        Choice::Naive => elements(cx, product, "naive", 8),
        Choice::Tile16 => elements(cx, product, "tile_16", 16),
        Choice::Blocks { kernel, swap: false, parts } => {
            blocks(cx, product, kernel, parts, [Slot::Input(0), Slot::Input(1)], false);
        }
        // y^T = op(b)^T op(a)^T
        Choice::Blocks { kernel, swap: true, parts } => {
            blocks(cx, &product.swapped(), kernel, parts, [Slot::Input(1), Slot::Input(0)], true);
        }
    }
}

fn elements(cx: &mut Lowering<'_>, product: &Product, entry: &'static str, size: usize) {
    let &Product { batch, m, n, k, .. } = product;
    let [(a_row, a_col), (b_row, b_col)] = product.strides();
    let [a_batch, b_batch] = product.batch_strides();
    let (tiles_m, tiles_n) = (m.div_ceil(size), n.div_ceil(size));
    let tiles = batch * tiles_m * tiles_n;
    let params = ElementParams {
        m: word(m),
        n: word(n),
        k: word(k),
        a_row: word(a_row),
        a_col: word(a_col),
        b_row: word(b_row),
        b_col: word(b_col),
        a_batch: word(a_batch),
        b_batch: word(b_batch),
        tiles_m: word(tiles_m),
        tiles_n: word(tiles_n),
        tiles: word(tiles),
    };
    let call = KernelCall::new(&ELEMENTS, entry)
        .params(&params)
        .binds([Slot::Input(0), Slot::Input(1), Slot::Output(0)])
        .grid(Grid::linear(tiles, 1));
    cx.call(call);
}

fn blocks(
    cx: &mut Lowering<'_>,
    product: &Product,
    kernel: Kernel,
    parts: usize,
    [a, b]: [Slot; 2],
    swap: bool,
) {
    let &Product { batch, m, n, k, transposed, .. } = product;
    let [a_batch, b_batch] = product.batch_strides();
    // Parts begin where a stage begins, so that only the last one can be ragged.
    let part = k.div_ceil(parts).next_multiple_of(kernel.depth);
    let parts = k.div_ceil(part);
    let (tiles_m, tiles_n) = (m.div_ceil(kernel.rows), n.div_ceil(kernel.columns));
    let tiles = parts * kernel.tiles(product);
    let params = BlockParams {
        m: word(m),
        n: word(n),
        k: word(k),
        tiles_m: word(tiles_m),
        tiles_n: word(tiles_n),
        tiles: word(tiles),
        batch: word(batch),
        a_batch: word(a_batch),
        b_batch: word(b_batch),
        part: word(part),
    };
    let flag = |set: bool| f64::from(u8::from(set));
    let [a_columns, b_columns] = product.stored_columns();
    let count = batch * m * n;
    let y = if parts > 1 { cx.scratch(4 * (parts * count) as u64) } else { Slot::Output(0) };
    let call = KernelCall::new(&BLOCKS, kernel.entry)
        .constant("TRANSPOSE_A", flag(transposed[0]))
        .constant("TRANSPOSE_B", flag(transposed[1]))
        .constant("QUADS_A", flag(a_columns.is_multiple_of(4)))
        .constant("QUADS_B", flag(b_columns.is_multiple_of(4)))
        .constant("RAGGED", flag(!k.is_multiple_of(kernel.depth)))
        .constant("SWAP", flag(swap))
        .params(&params)
        .binds([a, b, y])
        .grid(Grid::linear(tiles, 1));
    cx.call(call);
    if parts > 1 {
        let join = KernelCall::new(&BLOCKS, "join")
            .params(&JoinParams { n: word(count), parts: word(parts) })
            .binds([y, Slot::Output(0)])
            .grid(Grid::linear(count, 64));
        cx.call(join);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn product(m: usize, k: usize, n: usize) -> Product {
        Product { batch: 1, m, n, k, transposed: [false; 2], batched: [false; 2] }
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
        assert_eq!(chosen(&shuffles, 128, 512, 10), swapped(LANES, false));
        assert_eq!(chosen(&shuffles, 1, 512, 512), swapped(LANES_8, false));
        assert_eq!(chosen(&shuffles, 512, 512, 1), swapped(LANES_8, true));
        let others = DeviceProfile { subgroups: Some((4, 4)), ..shuffles };
        assert_eq!(chosen(&others, 128, 784, 512), swapped(ROWS, false));
        assert_eq!(chosen(&others, 512, 512, 1), swapped(ROWS, true));
    }

    #[test]
    fn gpus_get_tiles_and_small_grids_are_split() {
        let gpu = DeviceProfile::baseline();
        let split = |kernel, parts| Choice::Blocks { kernel, swap: false, parts };
        assert_eq!(chosen(&gpu, 32, 32, 10), Choice::Naive);
        assert_eq!(chosen(&gpu, 2048, 2048, 2048), split(TILES_128, 1));
        assert_eq!(chosen(&gpu, 1024, 64, 1024), split(TILES_64, 1));
        assert_eq!(chosen(&gpu, 512, 512, 512), split(TILES_64, 4));
        assert_eq!(chosen(&gpu, 128, 784, 512), split(TILES_64, 6));
        let tight = DeviceProfile { max_binding_bytes: 2 * 4 * 128 * 512, ..DeviceProfile::baseline() };
        assert_eq!(chosen(&tight, 128, 784, 512), split(TILES_64, 2));
        let small = DeviceProfile { max_workgroup_bytes: 8192, ..DeviceProfile::baseline() };
        assert_eq!(chosen(&small, 512, 512, 512), Choice::Naive);
    }
}
