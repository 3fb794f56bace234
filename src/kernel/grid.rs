/// Workgroups in the x dimension past which a one-dimensional grid continues in y: the number
/// every WebGPU device allows per dimension. Shaders know it as `FOLD` in `prelude.wgsl`.
pub const FOLD: u32 = 65_535;

/// The number of workgroups of a dispatch.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Grid {
    /// Workgroups along x, y and z. Saturated at `u32::MAX`, which no device allows, so that a
    /// grid that does not fit is refused by the plan.
    pub groups: [u32; 3],
}

impl Grid {
    /// An explicit grid.
    pub fn groups(groups: [usize; 3]) -> Self {
        Grid { groups: groups.map(|g| u32::try_from(g).unwrap_or(u32::MAX)) }
    }

    /// One-dimensional: at least `threads` invocations in workgroups of `workgroup`, folded into
    /// rows of [`FOLD`] workgroups. Shaders recover the index with `linear_index` or
    /// `linear_group`.
    ///
    /// ```
    /// use retape::kernel::Grid;
    /// assert_eq!(Grid::linear(1000, 64).groups, [16, 1, 1]);
    /// assert_eq!(Grid::linear(10_000_000, 64).groups, [65_535, 3, 1]);
    /// ```
    pub fn linear(threads: usize, workgroup: usize) -> Self {
        let groups = threads.div_ceil(workgroup.max(1)).max(1);
        let fold = FOLD as usize;
        Grid::groups([groups.min(fold), groups.div_ceil(fold), 1])
    }
}
