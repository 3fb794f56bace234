use std::ops::Range;

/// Elements that one thread works on at a time where each is worked on alone.
pub(crate) const PART: usize = 1 << 14;

/// What is done to some units: their numbers, and their parts of the arrays.
type Work<'a, T, const K: usize> = dyn Fn(Range<usize>, [&mut [T]; K]) + Sync + 'a;

/// Has several threads work on arrays that have so many numbers for each unit of a range, the last units perhaps
/// fewer: `part` units at a time, which does not depend on the number of threads.
pub(crate) fn spread<T: Send, const K: usize>(
    units: Range<usize>,
    part: usize,
    widths: [usize; K],
    arrays: [&mut [T]; K],
    f: &Work<'_, T, K>,
) {
    if units.len() <= part {
        return f(units, arrays);
    }
    let first = units.len().div_ceil(part) / 2 * part;
    let middle = units.start + first;
    let mut rest: [&mut [T]; K] = std::array::from_fn(|_| &mut [][..]);
    let mut index = 0;
    let begin = arrays.map(|array| {
        let at = (first * widths[index]).min(array.len());
        let (begin, end) = array.split_at_mut(at);
        rest[index] = end;
        index += 1;
        begin
    });
    rayon::join(
        || spread(units.start..middle, part, widths, begin, f),
        || spread(middle..units.end, part, widths, rest, f),
    );
}

/// The same over the elements of arrays of one length, [`PART`] at a time.
pub(crate) fn spread_elements<const K: usize>(arrays: [&mut [f32]; K], f: &Work<'_, f32, K>) {
    let len = arrays.first().map_or(0, |array| array.len());
    spread(0..len, PART, [1; K], arrays, f);
}

#[cfg(test)]
mod tests {
    use super::spread;

    #[test]
    fn every_unit_is_worked_on_once() {
        for (units, part) in [(0, 3), (1, 1), (7, 2), (100, 7), (5, 9)] {
            let (mut ones, mut threes) = (vec![0.0; units], vec![0.0; 3 * units]);
            spread(0..units, part, [1, 3], [&mut ones, &mut threes], &|range, [ones, threes]| {
                assert!(range.len() <= part && range.start % part == 0);
                assert_eq!((ones.len(), threes.len()), (range.len(), 3 * range.len()));
                range.zip(ones).for_each(|(unit, one)| *one += unit as f32);
                threes.iter_mut().for_each(|three| *three += 1.0);
            });
            assert!(ones.iter().enumerate().all(|(unit, &one)| one == unit as f32));
            assert!(threes.iter().all(|&three| three == 1.0));
        }
    }
}
