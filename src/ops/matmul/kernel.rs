//! The kernels of products in blocks.

use crate::ops::common::*;

/// A kernel of `gemm.wgsl` or `tiles.wgsl`: its entry point, the rows, columns and depth that a workgroup takes at a
/// time, and its threads.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::ops) struct Kernel {
    pub entry: &'static str,
    pub rows: usize,
    pub columns: usize,
    pub depth: usize,
    pub threads: usize,
    /// How many of a hundred instructions of its loop are multiply-adds, about: of operands that are stored, and of
    /// patches that are picked from an image. `tests/isa` measures it.
    rates: [usize; 2],
}

const fn lanes(entry: &'static str, rows: usize) -> Kernel {
    Kernel { entry, rows, columns: 32, depth: 4, threads: 8, rates: [50, 50] }
}

const fn tiles(
    entry: &'static str,
    [rows, columns, depth]: [usize; 3],
    threads: usize,
    rates: [usize; 2],
) -> Kernel {
    Kernel { entry, rows, columns, depth, threads, rates }
}

pub(in crate::ops) const LANES: Kernel = lanes("lanes", 32);
pub(in crate::ops) const LANES_24: Kernel = lanes("lanes_24", 24);
pub(in crate::ops) const LANES_16: Kernel = lanes("lanes_16", 16);
pub(in crate::ops) const LANES_8: Kernel = lanes("lanes_8", 8);
pub(in crate::ops) const ROWS: Kernel = lanes("rows", 16);
pub(in crate::ops) const TEAMS_16: Kernel = tiles("tiles_teams", [16, 32, 64], 256, [40, 30]);
pub(in crate::ops) const TEAMS_24: Kernel = tiles("tiles_teams", [24, 64, 24], 192, [45, 33]);
pub(in crate::ops) const TEAMS_32: Kernel = tiles("tiles_teams", [32, 32, 32], 256, [50, 35]);
pub(in crate::ops) const TILES_16X128: Kernel = tiles("tiles_4x8", [16, 128, 8], 64, [73, 47]);
pub(in crate::ops) const TILES_24X128: Kernel = tiles("tiles_8x4", [24, 128, 12], 96, [74, 55]);
pub(in crate::ops) const TILES_32X128: Kernel = tiles("tiles_4x8", [32, 128, 16], 128, [79, 61]);
pub(in crate::ops) const TILES_64: Kernel = tiles("tiles_8x4", [64, 64, 16], 128, [80, 69]);
pub(in crate::ops) const TILES_64X128: Kernel = tiles("tiles_8x8", [64, 128, 8], 128, [85, 72]);
pub(in crate::ops) const TILES_128X64: Kernel = tiles("tiles_8x8", [128, 64, 8], 128, [85, 75]);
pub(in crate::ops) const TILES_128: Kernel = tiles("tiles_8x8", [128, 128, 8], 256, [86, 77]);

/// Those for GPUs, the smallest first.
const ALL_TILES: [Kernel; 10] = [
    TEAMS_16,
    TEAMS_24,
    TEAMS_32,
    TILES_16X128,
    TILES_24X128,
    TILES_32X128,
    TILES_64,
    TILES_64X128,
    TILES_128X64,
    TILES_128,
];

/// Bytes of workgroup memory that the tiles of both sides take, at most.
const TILE_BYTES: u32 = 16 * (16 * 17 + 16 * 33);
/// Multiply-adds in the time of a dispatch that does next to nothing, some microseconds.
const JOIN_COST: f64 = 1.5e8;
/// Multiply-adds in the time that it takes to write and to read an element of a part.
const PART_COST: f64 = 300.0;
/// The same of an element of patches, in one pass over each.
const PATCH_COST: f64 = 100.0;
/// The least depth worth a part of its own, which is written and read once more.
const SHORTEST_PART: usize = 128;

impl Kernel {
    /// Whether it stages through workgroup memory.
    fn is_tiled(&self) -> bool {
        self.depth > 4
    }

    /// Sets the constants that say how large its tiles are.
    pub fn sized(&self, call: KernelCall) -> KernelCall {
        if !self.is_tiled() {
            return call;
        }
        call.constant("ROWS", self.rows as f64)
            .constant("COLUMNS", self.columns as f64)
            .constant("DEPTH", self.depth as f64)
            .constant("THREADS", self.threads as f64)
    }

    /// Loop iterations of a thread over a part of k.
    pub fn loops(&self, part: usize) -> usize {
        // A stage in workgroup memory takes a loop of its own, in steps of four.
        let inner = if self.is_tiled() { 1 + self.depth / 4 } else { 1 };
        // Threads of depth 4 store their rows in loops, four blocks of each four. Others may go through a window first,
        // of up to 32 places in up to as many rows, for each of four pieces; and sets of threads are added up.
        part.div_ceil(self.depth) * inner + 4 * 64 + 8 + 5 * self.rows.div_ceil(4)
    }

    /// Into how many parts k must be split for the device to finish its loops.
    pub fn least_parts(&self, profile: &DeviceProfile, k: usize) -> usize {
        self.loops(k).div_ceil(profile.max_loop_iterations as usize / 2)
    }

    /// Into how many parts k is split for a grid of at least `full` workgroups, if parts stay long
    /// enough and their results fit the device.
    pub fn parts(&self, profile: &DeviceProfile, full: usize, batch: usize, [m, n, k]: [usize; 3]) -> usize {
        let wanted = full.div_ceil(self.tiles(batch, m, n)).min(k / SHORTEST_PART).max(1);
        // Two parts hardly make up for the dispatch that joins them.
        let wanted = if wanted < 3 { 1 } else { wanted };
        let part_bytes = 4 * (batch * m * n) as u64;
        let allowed = profile.max_binding_bytes.min(profile.max_buffer_bytes) / part_bytes;
        wanted.min(usize::try_from(allowed).unwrap_or(usize::MAX)).max(self.least_parts(profile, k))
    }

    /// The multiply-adds that its workgroups make of a product, those at the edges of tiles and past the end of k
    /// among them.
    pub fn issued(&self, batch: usize, [m, n, k]: [usize; 3], parts: usize) -> u64 {
        let part = k.div_ceil(parts).next_multiple_of(self.depth);
        let last = k - (k.div_ceil(part) - 1) * part;
        let deep = (k - last) + last.next_multiple_of(self.depth);
        [self.tiles(batch, m, n), self.rows, self.columns, deep]
            .iter()
            .fold(1u64, |product, &factor| product.saturating_mul(factor as u64))
    }

    fn cost(
        &self,
        profile: &DeviceProfile,
        operands: Operands,
        batch: usize,
        sizes: [usize; 3],
        parts: usize,
    ) -> f64 {
        let [m, n, _] = sizes;
        let rate = self.rates[operands as usize] as f64 / 100.0;
        let threads = self.tiles(batch, m, n) * parts * self.threads;
        // With a quarter of the threads that it can hold a unit waits now and then, with half of them hardly ever.
        let full = 4.0 * threads as f64 / f64::from(profile.busy_invocations);
        let busy = if full < 1.0 { 0.85 * full } else { (0.7 + 0.15 * full).min(1.0) };
        let made = self.issued(batch, sizes, parts) as f64 / (rate * busy);
        if parts > 1 { made + JOIN_COST + PART_COST * (parts * batch * m) as f64 * n as f64 } else { made }
    }

    /// The workgroups of a product with nothing split.
    pub fn tiles(&self, batch: usize, m: usize, n: usize) -> usize {
        batch * m.div_ceil(self.rows) * n.div_ceil(self.columns)
    }
}

/// Whether operands are read as they are stored, or picked from an image.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::ops) enum Operands {
    Stored,
    Picked,
}

/// A kernel for GPUs, with the parts that k is split into, and what that costs in multiply-adds of a busy GPU.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(in crate::ops) struct Tiled {
    pub kernel: Kernel,
    pub parts: usize,
    pub cost: f64,
}

/// What it costs to make patches of so many elements in all as products of sizes `sizes` and to gather them.
pub(in crate::ops) fn patches_cost(
    profile: &DeviceProfile,
    batch: usize,
    sizes: [usize; 3],
    elements: usize,
) -> f64 {
    tiled(profile, Operands::Stored, batch, sizes).cost + JOIN_COST + PATCH_COST * elements as f64
}

/// The first one if both cost the same.
fn cheaper(one: Tiled, other: Tiled) -> Tiled {
    if one.cost <= other.cost { one } else { other }
}

/// The kernel and the parts of least cost: issued multiply-adds over their share in the kernel's loop and over how
/// much of a GPU the grid keeps busy, and adding up the parts.
pub(in crate::ops) fn tiled(
    profile: &DeviceProfile,
    operands: Operands,
    batch: usize,
    sizes: [usize; 3],
) -> Tiled {
    let of = |kernel: Kernel| {
        let least = kernel.least_parts(profile, sizes[2]);
        let most = kernel.parts(profile, profile.busy_invocations as usize / kernel.threads, batch, sizes);
        let by =
            |parts: usize| Tiled { kernel, parts, cost: kernel.cost(profile, operands, batch, sizes, parts) };
        [most / 4, most / 2, most].map(|parts| by(parts.max(least))).into_iter().fold(by(least), cheaper)
    };
    let first = of(ALL_TILES[0]);
    // Of equals, the larger tile reads less.
    ALL_TILES[1..].iter().map(|&kernel| of(kernel)).fold(first, |best, other| cheaper(other, best))
}

/// Whether a device has what the tiles in workgroup memory take.
pub(in crate::ops) fn runs_tiles(profile: &DeviceProfile) -> bool {
    profile.max_invocations >= 256
        && profile.max_workgroup_size[0] >= 256
        && profile.max_workgroup_bytes >= TILE_BYTES
}

#[cfg(test)]
mod tests {
    use super::*;

    /// As `tiles.wgsl` holds them.
    #[test]
    fn tiles_fit_their_workgroup_memory() {
        for kernel in ALL_TILES {
            let vectors = [kernel.rows, kernel.columns].map(|size| kernel.depth / 4 * (size + 1));
            assert!(16 * vectors.iter().sum::<usize>() <= TILE_BYTES as usize, "{kernel:?}");
            if kernel.entry == "tiles_teams" {
                let team = kernel.rows * kernel.columns / 16;
                assert!(4 * team <= vectors[1] && kernel.threads.is_multiple_of(team), "{kernel:?}");
            }
            // Pieces of either side for each thread.
            let pieces = [kernel.rows, kernel.columns].map(|size| size * kernel.depth / 4);
            assert!(pieces[1].is_multiple_of(kernel.threads), "{kernel:?}");
            assert!(pieces[0] < kernel.threads || pieces[0].is_multiple_of(kernel.threads), "{kernel:?}");
            assert!(pieces[0] <= 2 * kernel.threads && pieces[1] <= 4 * kernel.threads, "{kernel:?}");
            assert!(kernel.threads.is_multiple_of(kernel.depth), "{kernel:?}");
        }
    }
}
