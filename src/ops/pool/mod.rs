//! Pooling over windows of height and width. Shader: `pool.wgsl`.

pub(super) mod adaptive;
mod compute;
pub(super) mod max;
mod options;
pub(super) mod sum;

use super::common::*;
use super::runs::{Runs, nested};
use super::window::check_work;
use super::{Window, WindowAxis};
pub use options::PoolOptions;
use rayon::prelude::*;

pub(super) static SHADER: Shader =
    built_in!("pool", "../../../shaders/pool.wgsl", "../../../shaders/finish.wgsl");

crate::params! {
    #[derive(Default)]
    struct PoolParams {
        image: [u32; 2], output: [u32; 2], before: [u32; 2], counted_from: [u32; 2], counted_to: [u32; 2],
        n: u32, chunks: u32, span: u32, unused: u32,
    }
}

pub(super) static FAMILY: Family = Family {
    operators: &[
        OperatorInfo::new("max_pool2d", Gradient::Yes, "f32, f16"),
        OperatorInfo::new("max_pool2d_grad", Gradient::None, "f32, f16"),
        OperatorInfo::new("avg_pool2d", Gradient::Yes, "f32, f16"),
        OperatorInfo::new("avg_pool2d_grad", Gradient::Yes, "f32, f16"),
        OperatorInfo::new("sum_pool2d", Gradient::Yes, "f32, f16"),
        OperatorInfo::new("sum_pool2d_grad", Gradient::Yes, "f32, f16"),
        OperatorInfo::new("adaptive_avg_pool2d", Gradient::Yes, "f32, f16"),
        OperatorInfo::new("adaptive_avg_pool2d_grad", Gradient::Yes, "f32, f16"),
    ],
    shaders: &[&SHADER],
};

/// The rank of a batch of sequences, in the words of an error.
pub(super) const SEQUENCES: &str = "3 (batch, channels, length)";

/// The type of a pooling's result.
fn pooled(input: TensorType, sides: [usize; 2]) -> Result<Vec<TensorType>> {
    expect_float("the operand", input)?;
    Ok(vec![TensorType { shape: input.shape.with_dim(2, sides[0]).with_dim(3, sides[1]), ..input }])
}

/// How many planes a batch of images has.
fn planes(shape: Shape) -> usize {
    shape.dims()[..2].iter().product()
}

/// Height and width of a batch of images.
pub(super) fn sides(shape: Shape) -> Result<[usize; 2]> {
    let [_, _, height, width] = shape.extents("4 (batch, channels, height, width)")?;
    Ok([height, width])
}

/// Windows whose largest elements are looked for: the elements of the image under each along either axis.
struct MaxWindows {
    axes: [WindowAxis; 2],
    rows: Vec<(usize, usize)>,
    columns: Vec<(usize, usize)>,
    /// Whether they are of 2 by 2 and do not overlap.
    paired: bool,
}

/// Windows over the planes of a batch of images.
#[derive(Clone, Copy, Debug)]
struct Windows {
    axes: [WindowAxis; 2],
    /// Whether an average counts the padding.
    counts_padding: bool,
}

impl Windows {
    /// Lays `window` over images of shape `[n, c, h, w]`.
    ///
    /// # Errors
    /// Those of [`Window::over`]; [`Error::Argument`] if some window covers padding only, which has
    /// neither a maximum nor an average.
    fn new(window: &Window, counts_padding: bool, shape: Shape) -> Result<Self> {
        let image = sides(shape)?;
        let mut axes = window.over_channels(shape.dims()[1], image)?;
        for (axis, name) in axes.iter_mut().zip(["height", "width"]) {
            if !every_window_meets_the_image(axis) {
                let WindowAxis { input, before, after, .. } = axis;
                let value = format!("{} ({before} before and {after} after {name} {input})", window.padding);
                let expected = "every window must cover at least one element of the image";
                return Err(Error::argument("padding", value, expected));
            }
            // A single window has no neighbour: a stride past the image keeps loops over it short.
            if axis.output == 1 {
                axis.stride = extent(axis).max(axis.before + axis.input);
            }
        }
        let [h, w] = axes;
        check_work(&[planes(shape), h.output, w.output, h.kernel, w.kernel])?;
        Ok(Windows { axes, counts_padding })
    }

    /// Height and width of the result.
    fn output(&self) -> [usize; 2] {
        self.axes.map(|axis| axis.output)
    }

    /// Height and width of the images.
    fn input(&self) -> [usize; 2] {
        self.axes.map(|axis| axis.input)
    }

    /// The flat indices of the elements under the window at flat output `o`, in row-major order.
    fn taps(&self, o: usize) -> impl Iterator<Item = usize> + use<> {
        let [h, w] = self.axes;
        let (line, column) = (o / w.output, o % w.output);
        let (plane, row) = (line / h.output, line % h.output);
        let rows = h.taps_on_image(row).filter_map(move |t| h.tap(row, t));
        rows.flat_map(move |r| {
            let columns = w.taps_on_image(column).filter_map(move |t| w.tap(column, t));
            columns.map(move |c| (plane * h.input + r) * w.input + c)
        })
    }

    /// Whether no element lies under two windows.
    fn are_disjoint(&self) -> bool {
        self.axes.iter().all(|axis| extent(axis) <= axis.stride)
    }

    /// The outputs, with the window's elements for each; edges where a tap lies off the image.
    fn over_outputs(&self) -> Area {
        Area { sides: self.output(), edges: self.have_edges(), loops: self.taps_loops() }
    }

    /// The elements of the images, with `each` loop iterations for a window over one; edges where a
    /// tap lies off them.
    fn over_inputs(&self, each: usize) -> Area {
        let [h, w] = self.axes.map(|axis| overlap(&axis));
        Area { sides: self.input(), edges: self.have_edges(), loops: nested(h, nested(w, each)) }
    }

    /// Whole planes, where a thread goes over its plane and then over the windows of it; edges where
    /// a tap lies off the image.
    fn over_planes(&self) -> Area {
        let ([h, w], [oh, ow]) = (self.input(), self.output());
        let windows = nested(oh, nested(ow, self.taps_loops()));
        Area { sides: [1, 1], edges: self.have_edges(), loops: windows.saturating_add(h * w) }
    }

    /// Cells of `stride` elements that cover the image, with `each` loop iterations besides those that
    /// write one; edges unless they are just its windows'.
    fn over_cells(&self, each: usize) -> Area {
        let even = |a: &WindowAxis| a.before == 0 && a.input == a.output * a.stride;
        let [h, w] = self.axes.map(|axis| axis.stride);
        Area {
            sides: self.axes.map(|a| (a.before + a.input).div_ceil(a.stride)),
            edges: !self.axes.iter().all(even),
            loops: nested(h, nested(w, 0)).saturating_add(each),
        }
    }

    /// Loop iterations over the taps of a window.
    fn taps_loops(&self) -> usize {
        let [h, w] = self.axes.map(|axis| axis.kernel);
        nested(h, nested(w, 0))
    }

    fn have_edges(&self) -> bool {
        let end = |a: &WindowAxis| (a.output - 1) * a.stride + extent(a);
        self.axes.iter().any(|a| a.before > 0 || end(a) > a.input)
    }

    /// Whether windows are disjoint and so small that a thread for each suits any device. Few
    /// large ones leave a GPU few threads, none of which reads what its neighbour does.
    fn are_small_and_disjoint(&self) -> bool {
        self.are_disjoint() && self.axes.iter().map(|a| a.stride).product::<usize>() <= 16
    }

    /// Whether the way back may take a thread for each of `cells`.
    fn suit_cells(&self, profile: &DeviceProfile, cells: Area) -> bool {
        let wide = profile.kind == DeviceKind::Cpu && self.are_disjoint() && cells.fits(profile);
        wide || self.are_small_and_disjoint()
    }

    /// A call of `entry`, whose threads go over the rows of `over` in each of `planes` planes.
    fn call(&self, entry: &'static str, profile: &DeviceProfile, planes: usize, over: Area) -> KernelCall {
        let [h, w] = self.axes;
        let (call, params) = launch(entry, profile, planes, over);
        let all = self.counts_padding;
        call.constant("KERNEL_H", h.kernel as f64)
            .constant("KERNEL_W", w.kernel as f64)
            .constant("STRIDE_H", h.stride as f64)
            .constant("STRIDE_W", w.stride as f64)
            .constant("DILATION_H", h.dilation as f64)
            .constant("DILATION_W", w.dilation as f64)
            .constant("OVERLAP_H", overlap(&h) as f64)
            .constant("OVERLAP_W", overlap(&w) as f64)
            .constant("EDGES", f64::from(over.edges))
            .params(&PoolParams {
                image: self.input().map(word),
                output: self.output().map(word),
                before: self.axes.map(|a| word(a.before)),
                counted_from: self.axes.map(|a| if all { 0 } else { word(a.before) }),
                counted_to: self.axes.map(|a| word(a.before + a.input + if all { a.after } else { 0 })),
                ..params
            })
    }
}

/// An array of `shape` in which `add_from(o, add)` has added to elements under the window at flat output
/// `o`, for each window in turn, of which a plane has so many along its `outputs`.
fn scatter(
    shape: Shape,
    outputs: [usize; 2],
    add_from: impl Fn(usize, &mut dyn FnMut(usize, f64)) + Sync,
) -> Array {
    let [elements, outputs] = [&shape.dims()[2..], &outputs].map(|sides| sides.iter().product::<usize>());
    let mut sums = Array::full(shape, 0.0);
    sums.data.par_chunks_mut(elements).enumerate().for_each(|(plane, sums)| {
        for o in plane * outputs..(plane + 1) * outputs {
            add_from(o, &mut |i, term| sums[i - plane * elements] += term);
        }
    });
    sums
}

/// What a kernel's threads go over in each plane.
#[derive(Clone, Copy, Debug)]
struct Area {
    sides: [usize; 2],
    /// Whether some of it lies off the image or has no window.
    edges: bool,
    /// Loop iterations for one element of it.
    loops: usize,
}

impl Area {
    /// Whether a thread may loop as often as one element takes.
    fn fits(&self, profile: &DeviceProfile) -> bool {
        self.loops < profile.max_loop_iterations as usize
    }
}

/// A call whose threads go over the rows of `area` in each of `planes` planes, and the part of its
/// parameters that says so.
fn launch(
    entry: &'static str,
    profile: &DeviceProfile,
    planes: usize,
    area: Area,
) -> (KernelCall, PoolParams) {
    let [rows, columns] = area.sides;
    let runs = Runs::new(profile, planes * rows, columns, area.loops);
    let [n, chunks, span] = [runs.threads, runs.chunks, runs.span].map(word);
    let params = PoolParams { n, chunks, span, ..Default::default() };
    let call = KernelCall::new(&SHADER, entry).loops(runs.loops);
    (call.grid(Grid::linear(runs.threads, 64)), params)
}

/// From a window's first tap to its last.
fn extent(axis: &WindowAxis) -> usize {
    axis.dilation * (axis.kernel - 1) + 1
}

/// The most windows that reach over one element.
fn overlap(axis: &WindowAxis) -> usize {
    extent(axis).div_ceil(axis.stride).min(axis.output)
}

/// Whether some tap of every window lies on the image.
fn every_window_meets_the_image(axis: &WindowAxis) -> bool {
    let WindowAxis { input, output, kernel, stride, dilation, before, .. } = *axis;
    // Windows that begin on the image, or past it.
    if (output - 1) * stride >= before + input {
        return false;
    }
    // The first of those that begin before it has the most taps off it.
    if before > dilation * (kernel - 1) {
        return false;
    }
    // Taps may stride over a small image: the first that is not before it lies up to `dilation - 1`
    // into it. That place repeats after `dilation` windows.
    let begins = (0..output.min(dilation)).map(|o| o * stride).take_while(|&begin| begin < before);
    let mut places = begins.map(|begin| (dilation - (before - begin) % dilation) % dilation);
    dilation <= input || places.all(|place| place < input)
}
