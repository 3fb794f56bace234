//! Which kernels compute a convolution.

use super::geometry::{Geometry, Product};
use super::{columns, direct, implicit};
use crate::kernel::KernelCall;
use crate::ops::Lowering;
use crate::ops::matmul::{Kernel, LANES, LANES_8, LANES_16, ROWS, TILES_64, TILES_128};
use crate::tape::{DeviceKind, DeviceProfile};

/// How a convolution is computed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum ConvRoute {
    /// What the rule chooses.
    #[default]
    Auto,
    /// Straight from the definition: no memory beside the operands.
    Direct,
    /// Patches are written out and multiplied (im2col; Chellapilla et al., IWFHR 2006): memory for
    /// `kh kw` images. A pointwise convolution's patches are its images, which makes this the plain
    /// matrix product.
    Im2col,
    /// A matrix product that picks the patches from the image as it goes (implicit GEMM; Chetlur et
    /// al., arXiv 1410.0759): no memory beside the operands.
    Implicit,
}

impl ConvRoute {
    /// All of them.
    pub const ALL: [ConvRoute; 4] =
        [ConvRoute::Auto, ConvRoute::Direct, ConvRoute::Im2col, ConvRoute::Implicit];
}

/// Sets the constants that say how the window moves.
pub(super) fn windowed(call: KernelCall, g: &Geometry) -> KernelCall {
    call.constant("KH", g.h.kernel as f64)
        .constant("KW", g.w.kernel as f64)
        .constant("SH", g.h.stride as f64)
        .constant("SW", g.w.stride as f64)
        .constant("DH", g.h.dilation as f64)
        .constant("DW", g.w.dilation as f64)
}

/// Adds the calls that compute a product.
pub(super) fn lower(cx: &mut Lowering<'_>, product: Product, g: &Geometry, route: ConvRoute) {
    let route = if route == ConvRoute::Auto { choose(cx.profile, product, g) } else { route };
    match route {
        ConvRoute::Direct => direct::lower(cx, product, g),
        ConvRoute::Im2col => columns::lower(cx, product, g),
        ConvRoute::Implicit | ConvRoute::Auto => {
            let (kernel, parts) = kernel(cx.profile, product, g);
            implicit::lower(cx, product, g, kernel, parts);
        }
    }
}

fn choose(profile: &DeviceProfile, product: Product, g: &Geometry) -> ConvRoute {
    let _ = (profile, product);
    if g.is_pointwise() {
        return ConvRoute::Im2col;
    }
    ConvRoute::Implicit
}

/// Workgroups that keep a GPU busy.
const FULL_GRID: usize = 256;
/// Workgroups that keep the cores of a CPU busy, each for long enough.
const CPU_GRID: usize = 32;
/// The least depth worth a part of its own, which is written and read once more.
const SHORTEST_PART: usize = 128;

/// The kernel of the implicit product, and into how many parts it splits k.
fn kernel(profile: &DeviceProfile, product: Product, g: &Geometry) -> (Kernel, usize) {
    let [m, n, k] = implicit::sizes(product, g);
    let (kernel, full) = match profile.kind {
        DeviceKind::Cpu if profile.subgroups != Some((8, 8)) => (ROWS, CPU_GRID),
        DeviceKind::Cpu if m <= LANES_8.rows => (LANES_8, CPU_GRID),
        DeviceKind::Cpu if m <= LANES_16.rows => (LANES_16, CPU_GRID),
        DeviceKind::Cpu => (LANES, CPU_GRID),
        DeviceKind::Gpu if TILES_128.tiles(g.groups, m, n) >= FULL_GRID => (TILES_128, FULL_GRID),
        DeviceKind::Gpu => (TILES_64, FULL_GRID),
    };
    let wanted = full.div_ceil(kernel.tiles(g.groups, m, n)).min(k / SHORTEST_PART).max(1);
    let least = kernel.least_parts(profile, k);
    let part_bytes = 4 * (g.groups * m * n) as u64;
    let allowed = profile.max_binding_bytes.min(profile.max_buffer_bytes) / part_bytes;
    (kernel, wanted.min(usize::try_from(allowed).unwrap_or(usize::MAX)).max(least))
}
