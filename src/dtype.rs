use std::fmt;

/// The element type of a value.
///
/// Arithmetic is done in [`F32`](DType::F32); [`U32`](DType::U32) holds indices and class labels.
/// Both are four bytes wide, so a layout kernel moves either without knowing which.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum DType {
    /// IEEE 754 single precision.
    F32,
    /// Unsigned 32-bit integers.
    U32,
}

impl DType {
    /// Bytes per element.
    pub const fn bytes(self) -> usize {
        4
    }
}

impl fmt::Display for DType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            DType::F32 => "f32",
            DType::U32 => "u32",
        })
    }
}

/// A Rust type that is the element of a value: `f32` or `u32`.
pub trait Element: bytemuck::Pod + sealed::Sealed {
    /// The matching dtype.
    const DTYPE: DType;

    #[doc(hidden)]
    fn to_f64(self) -> f64 {
        self.into()
    }

    #[doc(hidden)]
    fn from_f64(value: f64) -> Self;
}

impl Element for f32 {
    const DTYPE: DType = DType::F32;

    fn from_f64(value: f64) -> Self {
        value as f32
    }
}

impl Element for u32 {
    const DTYPE: DType = DType::U32;

    fn from_f64(value: f64) -> Self {
        value as u32
    }
}

mod sealed {
    pub trait Sealed: Into<f64> {}
    impl Sealed for f32 {}
    impl Sealed for u32 {}
}

/// Type and shape of a tensor in a file, which may be none that a value has.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoredType {
    /// The type as safetensors calls it: `F32`, `BF16`.
    pub dtype: String,
    /// The dimensions.
    pub shape: Vec<usize>,
}

/// `F32 [3, 4]`.
impl fmt::Display for StoredType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {:?}", self.dtype, self.shape)
    }
}
