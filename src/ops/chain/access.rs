use crate::ops::strided::Nest;
use crate::shape::Shape;

/// How an operand of a chain is read: its element at place `i` of the result is `(i / inner) % extent`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Access {
    pub inner: usize,
    pub extent: usize,
    /// Elements of the result.
    pub whole: usize,
}

/// The ways of reading four neighbours, from the fastest to the most general.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Way {
    /// The operand has the result's elements.
    Full,
    /// One number for all.
    One,
    /// Rows that begin anew, a multiple of four elements each.
    Rows,
    /// One number for a multiple of four neighbours.
    Splat,
    /// Each of the four by itself.
    Each,
}

impl Access {
    /// How an operand of a shape is stretched to another; `None` if that takes more than one run of dimensions.
    pub fn of(operand: Shape, to: Shape) -> Option<Access> {
        let whole = to.numel();
        let nest = Nest::new(to.dims(), &[operand.broadcast_strides(to), to.strides()]);
        let moving: Vec<usize> = (0..nest.rank()).filter(|&axis| nest.strides[0][axis] != 0).collect();
        match moving[..] {
            _ if operand.numel() == 1 => Some(Access { inner: whole, extent: 1, whole }),
            [axis] => {
                let inner = nest.dims[axis + 1..].iter().product();
                Some(Access { inner, extent: nest.dims[axis], whole })
            }
            _ => None,
        }
    }

    pub fn way(self) -> Way {
        let Access { inner, extent, whole } = self;
        match () {
            () if inner == 1 && extent == whole => Way::Full,
            () if extent == 1 => Way::One,
            () if inner == 1 && extent.is_multiple_of(4) => Way::Rows,
            () if inner.is_multiple_of(4) => Way::Splat,
            () => Way::Each,
        }
    }

    /// The numbers that a kernel divides by and takes the rest of, in units of what it counts.
    pub fn divisors(self) -> Option<[usize; 2]> {
        match self.way() {
            Way::Full | Way::One => None,
            Way::Rows => Some([1, self.extent / 4]),
            Way::Splat => Some([self.inner / 4, self.extent]),
            Way::Each => Some([self.inner, self.extent]),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{Access, Way};
    use crate::shape::Shape;

    fn access<const A: usize, const B: usize>(
        operand: [usize; A],
        to: [usize; B],
    ) -> Option<(Way, usize, usize)> {
        Access::of(Shape::from(operand), Shape::from(to)).map(|a| (a.way(), a.inner, a.extent))
    }

    #[test]
    fn an_operand_is_read_the_fastest_way() {
        assert_eq!(access([2, 3], [2, 3]), Some((Way::Full, 1, 6)));
        assert_eq!(access([], [2, 3]), Some((Way::One, 6, 1)));
        assert_eq!(access([1, 1], [2, 3]), Some((Way::One, 6, 1)));
        assert_eq!(access([8], [5, 8]), Some((Way::Rows, 1, 8)));
        assert_eq!(access([3], [4, 3]), Some((Way::Each, 1, 3)));
        assert_eq!(access([6, 1, 1], [2, 6, 2, 2]), Some((Way::Splat, 4, 6)));
        assert_eq!(access([6, 1], [2, 6, 3]), Some((Way::Each, 3, 6)));
        assert_eq!(access([2, 1], [2, 3]), Some((Way::Each, 3, 2)));
        assert_eq!(access([2, 1, 3], [2, 5, 3]), None);
        assert_eq!(access([1], [1]), Some((Way::Full, 1, 1)));
    }
}
