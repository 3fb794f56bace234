use std::fmt;

use half::f16;

/// The element type of a value.
///
/// Arithmetic is done in [`F32`](DType::F32), on numbers that may be stored in [`F16`](DType::F16): what is read is
/// widened, and what is written is rounded. [`U32`](DType::U32) holds indices and class labels.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum DType {
    /// IEEE 754 single precision.
    F32,
    /// IEEE 754 half precision: 11 bits of a number, up to 65,504. On a GPU with
    /// [`DeviceProfile::f16`](crate::kernel::DeviceProfile::f16), and on the CPU.
    F16,
    /// Unsigned 32-bit integers.
    U32,
}

impl DType {
    /// Bytes per element.
    pub const fn bytes(self) -> usize {
        match self {
            DType::F32 | DType::U32 => 4,
            DType::F16 => 2,
        }
    }

    /// How many elements go where kernels count one of 32 bits.
    pub(crate) const fn narrowing(self) -> u64 {
        4 / self.bytes() as u64
    }

    /// Whether it holds numbers that are computed with, not indices.
    pub const fn is_float(self) -> bool {
        matches!(self, DType::F32 | DType::F16)
    }

    /// A number as it is once it is stored: rounded to what the type holds.
    pub(crate) fn stored(self, number: f64) -> f64 {
        match self {
            DType::F32 => f64::from(number as f32),
            DType::F16 => f16::from_f64(number).to_f64(),
            DType::U32 => number,
        }
    }

    /// How far storing takes a number of an f32 computation that is off by at most `error` from this one: by a unit of
    /// the last place, as not every device rounds to the nearest, or by all of a subnormal one.
    pub(crate) fn storing_error(self, number: f64, error: f64) -> f64 {
        match self {
            DType::F16 => (number.abs() + error) * HALF_EPS + HALF_FLUSH,
            DType::F32 | DType::U32 => 0.0,
        }
    }
}

impl fmt::Display for DType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            DType::F32 => "f32",
            DType::F16 => "f16",
            DType::U32 => "u32",
        })
    }
}

/// The distance from 1 to the next number of half precision, and the smallest one that is not subnormal.
const HALF_EPS: f64 = 1.0 / 1024.0;
const HALF_FLUSH: f64 = 1.0 / 16_384.0;

/// A Rust type that is the element of a value: `f32`, [`half::f16`] or `u32`.
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

impl Element for f16 {
    const DTYPE: DType = DType::F16;

    fn from_f64(value: f64) -> Self {
        f16::from_f64(value)
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
    impl Sealed for half::f16 {}
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
