use std::sync::LazyLock;

use pulp::{Arch, NullaryFnOnce, WithSimd};

/// What the processor at hand can do beyond the least that the crate is compiled for.
static ARCH: LazyLock<Arch> = LazyLock::new(Arch::new);

/// Calls `f`, compiled for the widest vectors of the processor at hand: loops that are inlined into it use them.
/// Operations are neither merged nor put in another order, so results have the same bits whatever the width. A
/// short closure is inlined; what is longer is a type of its own whose `call` says so.
#[inline(always)]
pub(crate) fn wide<F: NullaryFnOnce>(f: F) -> F::Output {
    ARCH.dispatch(f)
}

/// The same for what is written with vectors of any width.
pub(crate) fn vectors<F: WithSimd>(f: F) -> F::Output {
    ARCH.dispatch(f)
}
