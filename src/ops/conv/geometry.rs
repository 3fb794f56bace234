use crate::kernel::Finish;
use crate::ops::{WindowAxis, word};

/// Which of the three operands of a convolution is computed from the other two; kernels know it by its
/// number.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(in crate::ops) enum Product {
    /// The result, from image and weight.
    Forward,
    /// The image's gradient, from weight and result's gradient.
    Image,
    /// The weight's gradient, from image and result's gradient.
    Weight,
}

/// The sizes of a convolution.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct Geometry {
    /// Batch.
    pub n: usize,
    pub groups: usize,
    /// Input channels of a group.
    pub c: usize,
    /// Output channels of a group.
    pub o: usize,
    pub h: WindowAxis,
    pub w: WindowAxis,
}

impl Geometry {
    /// Height and width of the result.
    pub fn outputs(&self) -> [usize; 2] {
        [self.h.output, self.w.output]
    }

    /// Pixels of an image.
    pub fn pixels(&self) -> usize {
        self.h.input * self.w.input
    }

    /// Pixels of a result, which is how often the window is laid over an image.
    pub fn positions(&self) -> usize {
        self.h.output * self.w.output
    }

    /// Elements under the window in one channel.
    pub fn taps(&self) -> usize {
        self.h.kernel * self.w.kernel
    }

    /// Elements under the window in all channels of a group: those of a filter.
    pub fn patch(&self) -> usize {
        self.c * self.taps()
    }

    /// The dimensions of what a product results in.
    pub fn dims(&self, of: Product) -> [usize; 4] {
        match of {
            Product::Forward => [self.n, self.groups * self.o, self.h.output, self.w.output],
            Product::Image => [self.n, self.groups * self.c, self.h.input, self.w.input],
            Product::Weight => [self.groups * self.o, self.c, self.h.kernel, self.w.kernel],
        }
    }

    /// Rows, columns and depth of a product, for each group; the depth is the most terms that an
    /// element adds up.
    pub fn sizes(&self, product: Product) -> [usize; 3] {
        match product {
            Product::Forward => [self.o, self.n * self.positions(), self.patch()],
            Product::Image => [self.c, self.n * self.pixels(), self.o * self.taps()],
            Product::Weight => [self.o, self.patch(), self.n * self.positions()],
        }
    }

    /// Whether what is under a window, or which results a pixel went into, may lie over an edge.
    pub fn reaches_over(&self, product: Product) -> bool {
        let axes = [self.h, self.w];
        match product {
            Product::Forward | Product::Weight => axes.iter().any(|axis| axis.before > 0 || axis.after > 0),
            Product::Image => axes.iter().any(|axis| axis.kernel > 1 || axis.stride > 1 || axis.before > 0),
        }
    }

    /// How kernels number the elements of what a product results in: a row for each channel, or each filter.
    pub fn finish(&self, product: Product) -> Finish {
        let [first, second, h, w] = self.dims(product);
        let row = if product == Product::Weight { [second * h * w, first] } else { [h * w, second] };
        Finish { row: Some(row), column: None }
    }

    /// Sides of image and result, and the padding before the image, as kernels take them.
    pub fn words(&self) -> [u32; 6] {
        let ([h, w], [oh, ow]) = ([self.h, self.w], self.outputs());
        [h.input, w.input, oh, ow, h.before, w.before].map(word)
    }

    /// Multiply-adds of each of the products.
    pub fn multiply_adds(&self) -> u64 {
        let factors = [self.n, self.groups, self.o, self.positions(), self.patch()];
        factors.iter().fold(1u64, |product, &factor| product.saturating_mul(factor as u64))
    }

    /// Whether the window lies over all of the image, once.
    pub fn is_whole(&self) -> bool {
        let covers = |a: &WindowAxis| a.kernel == a.input && a.dilation == 1 && a.before == 0 && a.after == 0;
        self.groups == 1 && [self.h, self.w].iter().all(covers)
    }

    /// Whether the window moves by one and lies close together, without padding: 1x1 windows then
    /// see the image as it is.
    pub fn is_pointwise(&self) -> bool {
        [self.h, self.w].iter().all(|a| a.kernel == 1 && a.stride == 1 && a.before == 0 && a.after == 0)
    }
}
