use std::sync::LazyLock;

use pulp::{Arch, NullaryFnOnce};

/// What the processor at hand can do beyond the least that the crate is compiled for.
static ARCH: LazyLock<Arch> = LazyLock::new(Arch::new);

/// Calls `f`, compiled for the widest vectors of the processor at hand: loops that are inlined into it use them.
/// Operations are neither merged nor put in another order, so results have the same bits whatever the width. A
/// short closure is inlined; what is longer is a type of its own whose `call` says so.
#[inline(always)]
pub(crate) fn wide<F: NullaryFnOnce>(f: F) -> F::Output {
    ARCH.dispatch(f)
}

/// f32 numbers of its vectors, of which it multiplies and adds as many at once; 0 where it does not fuse the two.
pub(crate) fn vector_lanes() -> usize {
    match *ARCH {
        Arch::Scalar => 0,
        #[cfg(any(target_arch = "x86", target_arch = "x86_64"))]
        Arch::V4(_) => 16,
        _ => 8,
    }
}
