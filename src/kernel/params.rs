/// A field of a parameter block, compared with the shader's struct when a call is planned.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Field {
    /// The field's name, the same in Rust and in WGSL.
    pub name: &'static str,
    /// Byte offset in the block.
    pub offset: usize,
    /// Size in bytes.
    pub bytes: usize,
}

/// A parameter block: plain numbers that travel with a dispatch as immediates, 128 bytes at most.
/// Implemented by [`params!`](crate::params).
pub trait Params {
    /// The fields in declaration order.
    const FIELDS: &'static [Field];

    /// The block as the shader reads it, little-endian, padding zeroed.
    fn bytes(&self) -> Vec<u8>;
}

/// A type that may be a field of a parameter block.
pub trait ParamField: Copy {
    /// Writes the field at the start of `out`.
    fn write(self, out: &mut [u8]);
}

macro_rules! words {
    ($($ty:ty),*) => {$(
        impl ParamField for $ty {
            fn write(self, out: &mut [u8]) {
                out[..4].copy_from_slice(&self.to_le_bytes());
            }
        }
    )*};
}
words!(u32, i32, f32);

impl<T: ParamField, const N: usize> ParamField for [T; N] {
    fn write(self, out: &mut [u8]) {
        for (i, value) in self.into_iter().enumerate() {
            value.write(&mut out[4 * i..]);
        }
    }
}

/// Declares a parameter block and implements [`Params`](crate::kernel::Params) for it.
///
/// Fields are `u32`, `i32`, `f32` or arrays of them; `[u32; 4]` stands for `vec4<u32>` and
/// `[u32; 2]` for `vec2<u32>`. The names and offsets must be those of the shader's struct: put
/// the widest fields first, so that WGSL inserts no padding of its own.
///
/// ```
/// retape::params! {
///     /// Parameters of `scale.wgsl`.
///     pub struct ScaleParams { n: u32, factor: f32 }
/// }
/// # use retape::kernel::Params;
/// assert_eq!(ScaleParams { n: 1, factor: 0.0 }.bytes(), [1, 0, 0, 0, 0, 0, 0, 0]);
/// ```
#[macro_export]
macro_rules! params {
    ($(#[$meta:meta])* $vis:vis struct $name:ident { $($fvis:vis $field:ident: $ty:ty),* $(,)? }) => {
        $(#[$meta])*
        #[repr(C)]
        #[derive(Clone, Copy, Debug)]
        $vis struct $name { $($fvis $field: $ty),* }

        impl $crate::kernel::Params for $name {
            const FIELDS: &'static [$crate::kernel::Field] = &[$(
                $crate::kernel::Field {
                    name: stringify!($field),
                    offset: ::core::mem::offset_of!($name, $field),
                    bytes: ::core::mem::size_of::<$ty>(),
                }
            ),*];

            fn bytes(&self) -> Vec<u8> {
                let mut out = vec![0; ::core::mem::size_of::<Self>()];
                $($crate::kernel::ParamField::write(
                    self.$field,
                    &mut out[::core::mem::offset_of!($name, $field)..],
                );)*
                out
            }
        }
    };
}
