use crate::ops::WindowAxis;

/// Which of the three operands of a convolution is computed from the other two.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Product {
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

    pub fn image_dims(&self) -> [usize; 4] {
        [self.n, self.groups * self.c, self.h.input, self.w.input]
    }

    pub fn weight_dims(&self) -> [usize; 4] {
        [self.groups * self.o, self.c, self.h.kernel, self.w.kernel]
    }

    pub fn result_dims(&self) -> [usize; 4] {
        [self.n, self.groups * self.o, self.h.output, self.w.output]
    }

    /// The most terms that an element of a product adds up.
    pub fn terms(&self, product: Product) -> usize {
        match product {
            Product::Forward => self.patch(),
            Product::Image => self.o * self.taps(),
            Product::Weight => self.n * self.positions(),
        }
    }

    /// Multiply-adds of each of the products.
    pub fn multiply_adds(&self) -> u64 {
        let factors = [self.n, self.groups, self.o, self.positions(), self.patch()];
        factors.iter().fold(1u64, |product, &factor| product.saturating_mul(factor as u64))
    }

    /// Whether the window moves by one and lies close together, without padding: 1x1 windows then
    /// see the image as it is.
    pub fn is_pointwise(&self) -> bool {
        [self.h, self.w].iter().all(|a| a.kernel == 1 && a.stride == 1 && a.before == 0 && a.after == 0)
    }
}
