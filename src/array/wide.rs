use std::sync::LazyLock;

use pulp::Arch;

/// What the processor at hand can do beyond the least that the crate is compiled for.
static ARCH: LazyLock<Arch> = LazyLock::new(Arch::new);

/// Calls `f`, compiled for the widest vectors of the processor at hand: loops that are inlined into it use them.
/// Operations are neither merged nor put in another order, so results have the same bits whatever the width.
#[inline(always)]
pub(crate) fn wide<R>(f: impl FnOnce() -> R) -> R {
    ARCH.dispatch(f)
}
