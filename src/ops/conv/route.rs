//! Which kernels compute a convolution.

use super::geometry::{Geometry, Product};
use super::{columns, direct, implicit, whole};
use crate::ops::common::*;
use crate::ops::matmul::{
    Kernel, LANES, LANES_8, LANES_16, LANES_24, Operands, ROWS, Tiled, patches_cost, runs_tiles, tiled,
};

/// How a convolution is computed.
///
/// The rule behind [`Auto`](ConvRoute::Auto) looks at nothing but sizes and the device's limits, for
/// each of the forward pass, the image's gradient and the weight's gradient on its own:
///
/// - `Direct` for two or more groups of at most 4 channels in and 4 out each, such as depthwise
///   convolution;
/// - `Im2col` for windows of 1x1, whose patches are the image itself, or what a stride leaves of it,
///   so that it is the plain matrix product; not for the weight's gradient of a batch, whose products
///   would have to be added up, nor for that under a stride unless there are more filters than channels.
///   Also for the image's gradient under a stride or with at most 4 input channels to a group, as long
///   as the patches fit one binding;
/// - the matrix product of flat images and flat filters for windows as large as the image;
/// - `Im2col` for the image's gradient on a GPU, if the implicit product, which goes through all places of the
///   window for each pixel, would cost more than patches that are written out, by what both issue;
/// - `Implicit` for everything else; `Direct` in its place on GPUs too small for tiles in workgroup
///   memory.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
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
    pub const ALL: &'static [ConvRoute] =
        &[ConvRoute::Auto, ConvRoute::Direct, ConvRoute::Im2col, ConvRoute::Implicit];
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
    let route = if route == ConvRoute::Auto { chosen(cx.profile, product, g) } else { route };
    match route {
        ConvRoute::Auto => whole::lower(cx, product, g),
        ConvRoute::Direct => direct::lower(cx, product, g),
        ConvRoute::Im2col => columns::lower(cx, product, g),
        ConvRoute::Implicit => {
            let (kernel, parts) = kernel(cx.profile, product, g);
            implicit::lower(cx, product, g, kernel, parts);
        }
    }
}

/// Adds the calls that compute the weight's gradient and the sums of each channel of the result's; `false`
/// where that takes another route. The slots are those of image, result's gradient, weight's gradient and
/// sums.
pub(super) fn lower_with_sums(
    cx: &mut Lowering<'_>,
    g: &Geometry,
    route: ConvRoute,
    slots: [Slot; 4],
) -> bool {
    let route = if route == ConvRoute::Auto { chosen(cx.profile, Product::Weight, g) } else { route };
    if route == ConvRoute::Implicit {
        implicit::lower_with_sums(cx, g, slots);
    }
    route == ConvRoute::Implicit
}

/// The rule for a device: what suits the sizes, as far as the device takes it; `Auto` for flat images.
fn chosen(profile: &DeviceProfile, product: Product, g: &Geometry) -> ConvRoute {
    if g.is_whole() {
        return ConvRoute::Auto;
    }
    let patches = 4 * columns::elements(g) as u64;
    let fits = g.is_pointwise() || patches <= profile.max_binding_bytes.min(profile.max_buffer_bytes);
    match choose(product, g) {
        ConvRoute::Im2col if fits => ConvRoute::Im2col,
        ConvRoute::Direct => ConvRoute::Direct,
        _ if profile.kind == DeviceKind::Gpu && !runs_tiles(profile) => ConvRoute::Direct,
        _ if product == Product::Image && fits && prefers_patches(profile, g) => ConvRoute::Im2col,
        _ => ConvRoute::Implicit,
    }
}

/// Whether a GPU makes the image's gradient sooner by patches.
fn prefers_patches(profile: &DeviceProfile, g: &Geometry) -> bool {
    let implicit = || tiled(profile, Operands::Picked, g.groups, g.sizes(Product::Image)).cost;
    let sizes = [g.patch(), g.positions(), g.o];
    let patches = || patches_cost(profile, g.n * g.groups, sizes, columns::elements(g));
    profile.kind == DeviceKind::Gpu && patches() < implicit()
}

/// Channels of a group, in and out, up to which a matrix product would be mostly empty.
const NARROW: usize = 4;

fn choose(product: Product, g: &Geometry) -> ConvRoute {
    let strided = g.h.stride > 1 || g.w.stride > 1;
    if g.groups > 1 && g.c <= NARROW && g.o <= NARROW {
        return ConvRoute::Direct;
    }
    let columns = match product {
        Product::Forward => g.taps() == 1,
        // Windows a stride apart leave most of the implicit product's second operand zero, and few
        // channels most of its rows empty.
        Product::Image => g.taps() == 1 || strided || g.c <= NARROW,
        // One product for each image, and as many weights to add up.
        Product::Weight => g.n == 1 && (g.is_pointwise() || g.taps() == 1 && g.o > g.c),
    };
    if columns { ConvRoute::Im2col } else { ConvRoute::Implicit }
}

/// Workgroups that keep the cores of a CPU busy, each for long enough; and those of the weight's gradient, whose
/// parts of k somebody has to join.
const CPU_GRID: usize = 32;
const CPU_WEIGHT_GRID: usize = 16;

/// The kernel of the implicit product, and into how many parts it splits k.
pub(super) fn kernel(profile: &DeviceProfile, product: Product, g: &Geometry) -> (Kernel, usize) {
    let [m, n, k] = g.sizes(product);
    let cpu_grid = if product == Product::Weight { CPU_WEIGHT_GRID } else { CPU_GRID };
    let kernel = match profile.kind {
        DeviceKind::Gpu => {
            let Tiled { kernel, parts, .. } = tiled(profile, Operands::Picked, g.groups, [m, n, k]);
            return (kernel, parts);
        }
        DeviceKind::Cpu if profile.subgroups != Some((8, 8)) => ROWS,
        DeviceKind::Cpu if m <= LANES_8.rows => LANES_8,
        DeviceKind::Cpu if (13..=LANES_16.rows).contains(&m) => LANES_16,
        // One form serves layers of 9 to 24 channels, and is compiled once, but for those of 13 to 16, for which
        // a third of its rows would be empty.
        DeviceKind::Cpu if m <= LANES_24.rows => LANES_24,
        DeviceKind::Cpu => LANES,
    };
    (kernel, kernel.parts(profile, cpu_grid, g.groups, [m, n, k]))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ops::{Padding, Window};

    fn geometry(n: usize, groups: usize, c: usize, o: usize, kernel: usize, stride: usize) -> Geometry {
        let padding = Padding::symmetric(kernel / 2);
        let window =
            Window { kernel: [kernel; 2], stride: [stride; 2], dilation: [1; 2], padding, ceil_mode: false };
        let [h, w] = window.over([28, 28]).unwrap();
        Geometry { n, groups, c, o, h, w }
    }

    #[test]
    fn the_rule_is_as_documented() {
        let chosen = |g: Geometry| {
            [Product::Forward, Product::Image, Product::Weight].map(|product| choose(product, &g))
        };
        use ConvRoute::{Direct, Im2col, Implicit};
        assert_eq!(chosen(geometry(8, 1, 64, 64, 3, 1)), [Implicit; 3]);
        assert_eq!(chosen(geometry(8, 1, 64, 64, 3, 2)), [Implicit, Im2col, Implicit]);
        assert_eq!(chosen(geometry(8, 1, 3, 64, 3, 1)), [Implicit, Im2col, Implicit]);
        assert_eq!(chosen(geometry(8, 1, 64, 256, 1, 1)), [Im2col, Im2col, Implicit]);
        assert_eq!(chosen(geometry(1, 1, 64, 256, 1, 1)), [Im2col; 3]);
        assert_eq!(chosen(geometry(8, 1, 64, 256, 1, 2)), [Im2col, Im2col, Implicit]);
        assert_eq!(chosen(geometry(1, 1, 64, 256, 1, 2)), [Im2col; 3]);
        assert_eq!(chosen(geometry(1, 1, 256, 64, 1, 2)), [Im2col, Im2col, Implicit]);
        assert_eq!(chosen(geometry(8, 32, 1, 1, 3, 1)), [Direct; 3]);
        assert_eq!(chosen(geometry(8, 2, 48, 128, 5, 1)), [Implicit; 3]);
    }

    #[test]
    fn small_gpus_get_no_tiles() {
        let g = geometry(8, 1, 64, 64, 3, 1);
        let baseline = DeviceProfile::baseline();
        assert_eq!(chosen(&baseline, Product::Forward, &g), ConvRoute::Implicit);
        let small = DeviceProfile { max_workgroup_bytes: 8192, ..baseline };
        assert_eq!(chosen(&small, Product::Forward, &g), ConvRoute::Direct);
    }

    #[test]
    fn few_channels_share_a_kernel_on_cpu_devices() {
        let profile =
            DeviceProfile { kind: DeviceKind::Cpu, subgroups: Some((8, 8)), ..DeviceProfile::baseline() };
        let forward = |filters| kernel(&profile, Product::Forward, &geometry(8, 1, 64, filters, 5, 1)).0;
        assert_eq!(
            [8, 9, 10, 16, 20, 24, 25].map(forward),
            [LANES_8, LANES_24, LANES_24, LANES_16, LANES_24, LANES_24, LANES]
        );
    }

    #[test]
    fn long_sums_are_split_for_drivers_that_cut_loops_short() {
        let profile = DeviceProfile {
            kind: DeviceKind::Cpu,
            subgroups: Some((8, 8)),
            max_loop_iterations: 65_535,
            ..DeviceProfile::baseline()
        };
        let g = geometry(1024, 1, 64, 64, 3, 1);
        let (kernel, parts) = kernel(&profile, Product::Weight, &g);
        assert_eq!((kernel, parts), (LANES, 7));
    }
}
