//! Index arithmetic that strided kernels share: loop nests over up to six dimensions, merged
//! where operands are contiguous across them.

use std::ops::Range;

use crate::shape::MAX_RANK;

/// A loop nest with one set of strides per operand.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Nest {
    /// Extents, outermost first; at least one.
    pub dims: Vec<usize>,
    /// Per operand, its strides in elements.
    pub strides: Vec<Vec<usize>>,
}

impl Nest {
    /// Drops dimensions of 1 and merges neighbours that every operand walks without a gap.
    pub fn new(dims: &[usize], strides: &[Vec<usize>]) -> Nest {
        let mut nest = Nest { dims: Vec::new(), strides: vec![Vec::new(); strides.len()] };
        for (axis, &dim) in dims.iter().enumerate() {
            if dim == 1 {
                continue;
            }
            let merges = !nest.dims.is_empty()
                && nest.strides.iter().zip(strides).all(|(own, s)| own.last() == Some(&(s[axis] * dim)));
            if merges {
                let last = nest.dims.len() - 1;
                nest.dims[last] *= dim;
                nest.strides.iter_mut().zip(strides).for_each(|(own, s)| own[last] = s[axis]);
            } else {
                nest.dims.push(dim);
                nest.strides.iter_mut().zip(strides).for_each(|(own, s)| own.push(s[axis]));
            }
        }
        if nest.dims.is_empty() {
            nest.dims.push(1);
            nest.strides.iter_mut().for_each(|s| s.push(1));
        }
        nest
    }

    /// Copies elements from where an operand has them to so many neighbours from place `first` of the nest
    /// on.
    pub fn gather(&self, operand: usize, first: usize, from: &[f32], to: &mut [f32]) {
        self.runs(operand, first, to.len(), |at, step, own| {
            let to = &mut to[own];
            match step {
                0 => to.fill(from[at]),
                1 => to.copy_from_slice(&from[at..at + to.len()]),
                _ => to.iter_mut().zip(from[at..].iter().step_by(step)).for_each(|(to, from)| *to = *from),
            }
        });
    }

    /// Copies elements in the order of the nest to where an operand has them.
    pub fn scatter(&self, operand: usize, from: &[f32], to: &mut [f32]) {
        self.runs(operand, 0, from.len(), |at, step, own| {
            let from = &from[own];
            match step {
                1 => to[at..at + from.len()].copy_from_slice(from),
                _ => to[at..].iter_mut().step_by(step.max(1)).zip(from).for_each(|(to, from)| *to = *from),
            }
        });
    }

    /// Goes through so many places from `first` on, in runs along the innermost dimension: where an operand
    /// has the first element, how far apart they are, and which of the places these are.
    fn runs(&self, operand: usize, first: usize, n: usize, mut f: impl FnMut(usize, usize, Range<usize>)) {
        let (last, strides) = (self.rank() - 1, &self.strides[operand]);
        let length = self.dims[last];
        let (mut row, mut column, mut done) = (first / length, first % length, 0);
        while done < n {
            let run = (length - column).min(n - done);
            let (mut rest, mut at) = (row, column * strides[last]);
            for axis in (0..last).rev() {
                at += rest % self.dims[axis] * strides[axis];
                rest /= self.dims[axis];
            }
            f(at, strides[last], done..done + run);
            (row, column, done) = (row + 1, 0, done + run);
        }
    }

    /// Iterations in all.
    pub fn len(&self) -> usize {
        self.dims.iter().product()
    }

    /// How many dimensions are left.
    pub fn rank(&self) -> usize {
        self.dims.len()
    }

    /// The same nest over groups of four elements, if every operand allows it: neighbouring
    /// elements along the innermost dimension and everything else a multiple of four apart.
    pub fn by_fours(&self) -> Option<Nest> {
        self.by_fours_or_splat().filter(|(_, splat)| !splat.contains(&true)).map(|(nest, _)| nest)
    }

    /// The same with operands that stay put along the innermost dimension allowed: those are
    /// marked, and their strides still count single elements.
    pub fn by_fours_or_splat(&self) -> Option<(Nest, Vec<bool>)> {
        let inner = self.rank() - 1;
        if !self.dims[inner].is_multiple_of(4) {
            return None;
        }
        let mut quads = self.clone();
        quads.dims[inner] /= 4;
        let mut splat = Vec::with_capacity(self.strides.len());
        for strides in &mut quads.strides {
            splat.push(strides[inner] == 0);
            let aligned = strides[..inner].iter().all(|s| s.is_multiple_of(4));
            match strides[inner] {
                0 => {}
                1 if aligned => strides[..inner].iter_mut().for_each(|s| *s /= 4),
                _ => return None,
            }
        }
        Some((quads, splat))
    }

    /// The extents as kernels take them.
    pub fn dim_words(&self) -> ([u32; 4], [u32; 2]) {
        words(self.dims.iter().copied(), 1)
    }

    /// An operand's strides as kernels take them.
    pub fn stride_words(&self, operand: usize) -> ([u32; 4], [u32; 2]) {
        words(self.strides[operand].iter().copied(), 0)
    }
}

/// Six words aligned at the back: the inner four and the outer two.
pub(crate) fn words(values: impl ExactSizeIterator<Item = usize>, fill: u32) -> ([u32; 4], [u32; 2]) {
    let mut all = [fill; MAX_RANK];
    all.iter_mut()
        .skip(MAX_RANK - values.len())
        .zip(values)
        .for_each(|(word, value)| *word = super::word(value));
    let [a, b, c, d, e, f] = all;
    ([c, d, e, f], [a, b])
}

#[cfg(test)]
mod tests {
    use super::Nest;

    #[test]
    fn contiguous_dimensions_merge() {
        let nest = Nest::new(&[2, 3, 4], &[vec![12, 4, 1], vec![12, 4, 1]]);
        assert_eq!(nest.dims, [24]);
        let bias = Nest::new(&[2, 3, 4], &[vec![12, 4, 1], vec![0, 0, 1]]);
        assert_eq!((bias.dims, bias.strides), (vec![6, 4], vec![vec![4, 1], vec![0, 1]]));
        let ones = Nest::new(&[1, 1], &[vec![1, 1]]);
        assert_eq!(ones.dims, [1]);
    }

    #[test]
    fn fours_need_an_inner_multiple_and_stride_one() {
        let bias = Nest::new(&[6, 8], &[vec![8, 1], vec![0, 1]]);
        assert_eq!(
            bias.by_fours().map(|n| (n.dims, n.strides)),
            Some((vec![6, 2], vec![vec![2, 1], vec![0, 1]]))
        );
        assert_eq!(Nest::new(&[6, 7], &[vec![7, 1], vec![0, 1]]).by_fours(), None);
        let stretched = Nest::new(&[6, 8], &[vec![8, 1], vec![1, 0]]);
        assert_eq!(stretched.by_fours(), None);
        let (quads, splat) = stretched.by_fours_or_splat().unwrap();
        assert_eq!((quads.strides, splat), (vec![vec![2, 1], vec![1, 0]], vec![false, true]));
    }
}
