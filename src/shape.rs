use std::fmt;

use crate::dtype::DType;
use crate::error::{Error, Result};

/// The most dimensions a value may have.
pub const MAX_RANK: usize = 6;

/// The most elements a value may have: kernels index them with 32 bits, with room for the threads
/// of a last workgroup.
pub const MAX_ELEMENTS: usize = u32::MAX as usize - 64;

/// The dimensions of a value, outermost first, row-major and contiguous.
///
/// ```
/// use retape::Shape;
/// let shape = Shape::from([32, 3, 28, 28]);
/// assert_eq!(shape.numel(), 75_264);
/// assert_eq!(shape.strides(), [2352, 784, 28, 1]);
/// assert_eq!(shape.to_string(), "[32, 3, 28, 28]");
/// ```
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Shape {
    rank: u8,
    dims: [usize; MAX_RANK],
}

impl Shape {
    /// A shape from its dimensions; [`Error::RankLimit`] past [`MAX_RANK`].
    pub fn new(dims: &[usize]) -> Result<Self> {
        if dims.len() > MAX_RANK {
            return Err(Error::RankLimit { rank: dims.len(), limit: MAX_RANK });
        }
        Ok(Shape::of(dims))
    }

    /// A shape of no more than [`MAX_RANK`] dimensions.
    fn of(dims: &[usize]) -> Self {
        let mut shape = Shape { rank: dims.len() as u8, ..Shape::scalar() };
        shape.dims[..dims.len()].copy_from_slice(dims);
        shape
    }

    /// The shape of a scalar: no dimensions, one element.
    pub const fn scalar() -> Self {
        Shape { rank: 0, dims: [1; MAX_RANK] }
    }

    /// The dimensions, outermost first.
    pub fn dims(&self) -> &[usize] {
        &self.dims[..usize::from(self.rank)]
    }

    /// How many dimensions there are.
    pub fn rank(&self) -> usize {
        usize::from(self.rank)
    }

    /// The extents of a shape that has as many as expected.
    pub(crate) fn extents<const N: usize>(self, expected: &'static str) -> Result<[usize; N]> {
        self.dims().try_into().map_err(|_| Error::Rank { shape: self, expected })
    }

    /// How many elements there are; `usize::MAX` where the product does not fit.
    pub fn numel(&self) -> usize {
        self.dims().iter().fold(1usize, |n, &d| n.saturating_mul(d))
    }

    /// Fails for a shape that no value may have: of no elements, or of too many.
    pub(crate) fn check_size(&self, name: &str) -> Result<()> {
        match self.numel() {
            0 => Err(Error::EmptyDimension { name: name.to_owned(), shape: *self }),
            n if n > MAX_ELEMENTS => {
                Err(Error::TooManyElements { name: name.to_owned(), shape: *self, limit: MAX_ELEMENTS })
            }
            _ => Ok(()),
        }
    }

    /// Row-major strides in elements.
    pub fn strides(&self) -> Vec<usize> {
        let mut strides = vec![1; self.rank()];
        for axis in (1..self.rank()).rev() {
            strides[axis - 1] = strides[axis] * self.dims[axis];
        }
        strides
    }

    /// The same shape with one dimension replaced.
    #[must_use]
    pub fn with_dim(mut self, axis: usize, size: usize) -> Self {
        self.dims[axis] = size;
        self
    }

    /// `axis` counted from the front; negative axes count from the back, as in NumPy.
    pub fn axis(&self, axis: isize) -> Result<usize> {
        let rank = self.rank() as isize;
        let index = if axis < 0 { axis + rank } else { axis };
        if (0..rank).contains(&index) { Ok(index as usize) } else { Err(Error::Axis { axis, shape: *self }) }
    }

    /// The shape both operands broadcast to by NumPy's rule: dimensions are aligned at the back
    /// and a dimension of 1 stretches.
    ///
    /// ```
    /// use retape::Shape;
    /// let both = Shape::from([4, 1, 3]).broadcast(Shape::from([5, 1]));
    /// assert_eq!(both.unwrap(), Shape::from([4, 5, 3]));
    /// ```
    pub fn broadcast(self, other: Shape) -> Result<Shape> {
        let (mut wide, narrow) = if self.rank() >= other.rank() { (self, other) } else { (other, self) };
        let lead = wide.rank() - narrow.rank();
        for (dim, &with) in wide.dims[lead..].iter_mut().zip(narrow.dims()) {
            match *dim {
                1 => *dim = with,
                dim if with == dim || with == 1 => {}
                _ => return Err(Error::Broadcast { left: self, right: other }),
            }
        }
        Ok(wide)
    }

    /// Strides, in elements, that read a value of this shape as if it had shape `to`:
    /// 0 along every stretched dimension. `self` must broadcast to `to`.
    pub fn broadcast_strides(&self, to: Shape) -> Vec<usize> {
        let mut strides = vec![0; to.rank() - self.rank()];
        let own = self.strides().into_iter().zip(self.dims());
        strides.extend(own.map(|(stride, &dim)| if dim == 1 { 0 } else { stride }));
        strides
    }
}

impl<const N: usize> From<[usize; N]> for Shape {
    fn from(dims: [usize; N]) -> Self {
        const { assert!(N <= MAX_RANK, "a value has at most six dimensions") };
        Shape::of(&dims)
    }
}

impl TryFrom<&[usize]> for Shape {
    type Error = Error;

    fn try_from(dims: &[usize]) -> Result<Self> {
        Shape::new(dims)
    }
}

impl fmt::Display for Shape {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}", self.dims())
    }
}

impl fmt::Debug for Shape {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// Shape and dtype of a value.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct TensorType {
    /// The dimensions.
    pub shape: Shape,
    /// The element type.
    pub dtype: DType,
}

impl TensorType {
    /// An f32 value of this shape.
    pub fn f32(shape: impl Into<Shape>) -> Self {
        TensorType { shape: shape.into(), dtype: DType::F32 }
    }

    /// A u32 value of this shape.
    pub fn u32(shape: impl Into<Shape>) -> Self {
        TensorType { shape: shape.into(), dtype: DType::U32 }
    }

    /// Elements.
    pub fn numel(&self) -> usize {
        self.shape.numel()
    }

    /// Bytes of the elements, without padding; saturating.
    pub fn bytes(&self) -> u64 {
        (self.numel() as u64).saturating_mul(self.dtype.bytes() as u64)
    }
}

impl fmt::Display for TensorType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}{}", self.dtype, self.shape)
    }
}
