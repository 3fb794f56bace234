//! The samples that `fit` sets aside for validation.

use crate::data::{Samples, SplitBy, split_indices, stratified_indices, warn_of_classes};
use crate::error::{Error, Result};

/// The samples to train on, and those set aside: this fraction of them, drawn by `seed` where they are drawn.
pub(super) fn split<'a>(
    samples: &'a Samples<'_>,
    wanted: Option<(SplitBy, f64)>,
    seed: u32,
) -> Result<(Samples<'a>, Option<Samples<'a>>)> {
    let Some((split, fraction)) = wanted else { return Ok((samples.slice(0..samples.len()), None)) };
    let fits = fraction > 0.0 && fraction < 1.0;
    Error::expect(fits, "validation_split", fraction, "it must be between 0 and 1")?;
    let count = samples.len();
    Error::expect(count >= 2, "number of samples", count, "a split needs at least two")?;
    let (train, held_out) = match split {
        SplitBy::Position => {
            let held_out = ((count as f64 * fraction).round() as usize).clamp(1, count - 1);
            let first = count - held_out;
            (samples.slice(0..first), samples.slice(first..count))
        }
        SplitBy::Chance => {
            let parts = split_indices(count, &[1.0 - fraction, fraction], seed)?;
            (samples.select(&parts[0]), samples.select(&parts[1]))
        }
        SplitBy::Class => {
            let classes = samples.classes().ok_or(Error::NoLabels)?;
            let (train, held_out) = stratified_indices(&classes.labels, fraction, seed)?;
            (samples.select(&train), samples.select(&held_out))
        }
    };
    if let Some((left, right)) = train.classes().zip(held_out.classes()) {
        let signs = (left.are_signs || right.are_signs).then(|| ["-1", "1"].map(String::from));
        let names = samples.class_names.as_deref().or(signs.as_ref().map(|signs| &signs[..]));
        warn_of_classes(split, [&left.labels, &right.labels], names);
    }
    Ok((train, Some(held_out)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sides(samples: &Samples<'_>, split_by: SplitBy) -> [Vec<u32>; 2] {
        let (train, held_out) = split(samples, Some((split_by, 0.25)), 3).expect("the samples can be split");
        let held_out = held_out.expect("some were set aside");
        for side in [&train, &held_out] {
            side.check().expect("samples stay whole");
            assert_eq!(side.class_names, samples.class_names);
        }
        [train, held_out].map(|side| side.classes().expect("they have labels").labels.into_owned())
    }

    #[test]
    fn sorted_samples_are_split_as_asked() {
        let classes: Vec<u32> = [vec![0; 40], vec![1; 20], vec![2; 20]].concat();
        let rows = |low| {
            classes.iter().flat_map(move |&label| (0..3).map(move |c| if c == label { 1.0 } else { low }))
        };
        let samples = Samples::new().input([], vec![0.5; 80]).with_class_names(&["a", "b", "c"]);
        let [hot, signs] =
            [0.0, -1.0f32].map(|low| samples.clone().target([3], rows(low).collect::<Vec<_>>()));
        for samples in [samples.labels(classes.clone()), hot, signs] {
            let count =
                |labels: &[u32]| [0, 1, 2].map(|c| labels.iter().filter(|&&label| label == c).count());
            let [left, right] = sides(&samples, SplitBy::Position);
            assert_eq!([count(&left), count(&right)], [[40, 20, 0], [0, 0, 20]]);
            let [left, right] = sides(&samples, SplitBy::Class);
            assert_eq!([count(&left), count(&right)], [[30, 15, 15], [10, 5, 5]]);
            let [left, right] = sides(&samples, SplitBy::Chance);
            assert_eq!((left.len(), right.len()), (60, 20));
            assert!(count(&right).iter().all(|&n| n > 0), "{right:?}");
            assert_eq!(sides(&samples, SplitBy::Chance), [left, right], "the seed decides");
        }
    }
}
