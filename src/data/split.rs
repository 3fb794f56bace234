//! Which samples go where: shuffled and stratified splits, as indices.

use std::collections::{BTreeMap, BTreeSet};

use crate::error::{Error, Result};
use crate::random::Stream;

/// The stream of the generator that orders samples.
const STREAM: u32 = 0x7370_6c69;

/// `0..n` in an order drawn by `seed`.
pub(super) fn shuffled_indices(n: usize, seed: u32) -> Vec<usize> {
    Stream { seed, step: 0, stream: STREAM }.permutation(n)
}

/// Splits `0..n`, in an order drawn by `seed`, into one part for each fraction. Sizes are `n` times the
/// fractions, rounded by the method of the largest remainder so that they add up to `n`; equal remainders
/// favour earlier parts. A part that would have nothing takes one from the largest.
///
/// ```
/// use retape::data::split_indices;
/// let parts = split_indices(10, &[0.65, 0.35], 1)?;
/// assert_eq!((parts[0].len(), parts[1].len()), (7, 3));
/// # Ok::<(), retape::Error>(())
/// ```
///
/// # Errors
/// [`Error::Argument`] if there are no fractions, if one of them is not positive, if they do not add up to
/// 1 (within 10⁻⁶), or if there are fewer samples than fractions.
pub fn split_indices(n: usize, fractions: &[f64], seed: u32) -> Result<Vec<Vec<usize>>> {
    let sum: f64 = fractions.iter().sum();
    let fits = fractions.iter().all(|&f| f > 0.0) && (sum - 1.0).abs() <= 1e-6;
    Error::expect(fits, "fractions", format!("{fractions:?}"), "each must be positive, and their sum 1")?;
    let expected = "each part of a split needs at least one";
    Error::expect(n >= fractions.len(), "number of samples", n, expected)?;
    let quotas: Vec<f64> = fractions.iter().map(|f| f * n as f64).collect();
    let bounds = vec![(1, n); fractions.len()];
    let mut order = shuffled_indices(n, seed).into_iter();
    Ok(apportion(&quotas, &bounds, n).into_iter().map(|size| order.by_ref().take(size).collect()).collect())
}

/// Splits the indices of `labels` in two by class: what is left, and what was split off, each in an order
/// drawn by `seed`. `fraction` of the samples of each class are split off, rounded by the method of the
/// largest remainder so that together they are `fraction` of all. A class of two or more samples has at
/// least one on either side; one of a single sample stays on the left.
///
/// ```
/// use retape::data::stratified_indices;
/// let labels = [0, 0, 0, 0, 0, 0, 0, 0, 1, 1, 1, 1];
/// let (train, validation) = stratified_indices(&labels, 0.25, 7)?;
/// let ones = validation.iter().filter(|&&index| labels[index] == 1).count();
/// assert_eq!((train.len(), validation.len(), ones), (9, 3, 1));
/// # Ok::<(), retape::Error>(())
/// ```
///
/// # Errors
/// [`Error::Argument`] if the fraction is not strictly between 0 and 1, or if no class has two samples.
pub fn stratified_indices(labels: &[u32], fraction: f64, seed: u32) -> Result<(Vec<usize>, Vec<usize>)> {
    check_fraction(fraction)?;
    let counts = counts(labels);
    let largest = counts.values().copied().max().unwrap_or(0);
    let expected = "a stratified split needs a class of at least two";
    Error::expect(largest >= 2, "the largest number of samples of a class", largest, expected)?;
    let quotas: Vec<f64> = counts.values().map(|&count| count as f64 * fraction).collect();
    let bounds: Vec<(usize, usize)> = counts.values().map(|&n| ((n - 1).min(1), n - 1)).collect();
    let sizes = apportion(&quotas, &bounds, (labels.len() as f64 * fraction).round() as usize);
    let mut wanted: BTreeMap<u32, usize> = counts.into_keys().zip(sizes).collect();
    Ok(shuffled_indices(labels.len(), seed).into_iter().partition(|&index| {
        let missing = wanted.entry(labels[index]).or_default();
        let stays = *missing == 0;
        *missing = missing.saturating_sub(1);
        stays
    }))
}

/// How samples are split in two.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum SplitBy {
    Position,
    Chance,
    Class,
}

/// Of a split in two, what is left and what was split off, the classes that one side lacks, in a sentence.
pub(crate) fn classes_on_one_side(sides: [&[u32]; 2], names: Option<&[String]>) -> Option<String> {
    const SHOWN: usize = 10;
    let [left, right] = sides.map(|labels| labels.iter().copied().collect::<BTreeSet<u32>>());
    let name = |&label: &u32| {
        let name = names.and_then(|names| names.get(label as usize));
        name.map_or_else(|| label.to_string(), |name| format!("`{name}`"))
    };
    let lacks = |side: &str, other: &BTreeSet<u32>, own: &BTreeSet<u32>| {
        let missing: Vec<String> = other.difference(own).map(name).collect();
        let more = missing.len().saturating_sub(SHOWN);
        let more = if more > 0 { format!(" and {more} more") } else { String::new() };
        let shown = missing.iter().take(SHOWN).cloned().collect::<Vec<_>>().join(", ");
        (!missing.is_empty()).then(|| format!("the {side} lack {shown}{more}"))
    };
    let lacking = [lacks("samples to train on", &right, &left), lacks("samples split off", &left, &right)];
    let lacking: Vec<String> = lacking.into_iter().flatten().collect();
    (!lacking.is_empty()).then(|| lacking.join("; "))
}

/// Tells the log of classes that a split leaves on one side alone, and of what helps.
pub(crate) fn warn_of_classes(by: SplitBy, sides: [&[u32]; 2], names: Option<&[String]>) {
    let Some(lacking) = classes_on_one_side(sides, names) else { return };
    let [left, right] = sides.map(counts);
    let alone = |of: &BTreeMap<u32, usize>, other: &BTreeMap<u32, usize>| {
        of.iter().any(|(label, &count)| count > 1 && !other.contains_key(label))
    };
    let (how, cure) = match by {
        _ if !alone(&left, &right) && !alone(&right, &left) => ("", "A class of one sample has but one side"),
        SplitBy::Position => (
            ", as of sorted data",
            "A shuffled split draws the samples, a stratified one has each class of two samples or more on both sides",
        ),
        _ => ("", "A stratified split has each class of two samples or more on both sides"),
    };
    let split = match by {
        SplitBy::Position => "a split by position",
        SplitBy::Chance => "a shuffled split",
        SplitBy::Class => "a stratified split",
    };
    log::warn!("{split}{how}: of the classes, {lacking}. {cure}");
}

fn counts(labels: &[u32]) -> BTreeMap<u32, usize> {
    let mut counts = BTreeMap::new();
    labels.iter().for_each(|&label| *counts.entry(label).or_default() += 1);
    counts
}

/// Refuses a share that leaves nothing on one side.
pub(super) fn check_fraction(fraction: f64) -> Result<()> {
    let fits = fraction > 0.0 && fraction < 1.0;
    Error::expect(fits, "fraction", fraction, "it must be between 0 and 1")
}

/// Whole numbers near the quotas, each within its bounds, that add up to `total`, or as near to it as the
/// bounds allow: the method of the largest remainder. Of equal remainders the first wins.
fn apportion(quotas: &[f64], bounds: &[(usize, usize)], total: usize) -> Vec<usize> {
    let within = |quota: &f64, &(least, most): &(usize, usize)| (quota.floor() as usize).clamp(least, most);
    let mut sizes: Vec<usize> = quotas.iter().zip(bounds).map(|(q, b)| within(q, b)).collect();
    let least: usize = bounds.iter().map(|b| b.0).sum();
    let most = bounds.iter().fold(0usize, |sum, b| sum.saturating_add(b.1));
    let total = total.clamp(least, most);
    let mut sum: usize = sizes.iter().sum();
    // Each round moves every part by at most one, those farthest from their quotas first.
    while sum != total {
        let grow = sum < total;
        let can_move = |&i: &usize| if grow { sizes[i] < bounds[i].1 } else { sizes[i] > bounds[i].0 };
        let mut movable: Vec<usize> = (0..sizes.len()).filter(can_move).collect();
        let lacking = |i: usize| if grow { quotas[i] - sizes[i] as f64 } else { sizes[i] as f64 - quotas[i] };
        movable.sort_by(|&a, &b| lacking(b).total_cmp(&lacking(a)));
        movable.truncate(sum.abs_diff(total));
        for &index in &movable {
            sizes[index] = if grow { sizes[index] + 1 } else { sizes[index] - 1 };
        }
        sum = sizes.iter().sum();
    }
    sizes
}

#[cfg(test)]
mod tests {
    use super::{apportion, classes_on_one_side};

    #[test]
    fn sizes_add_up_whatever_the_bounds() {
        assert_eq!(apportion(&[2.5, 2.5, 5.0], &[(0, 10); 3], 10), [3, 2, 5]);
        assert_eq!(apportion(&[9.8, 0.1, 0.1], &[(1, 10); 3], 10), [8, 1, 1]);
        assert_eq!(apportion(&[0.9, 0.9, 0.9], &[(0, 0), (0, 5), (0, 5)], 3), [0, 2, 1]);
        assert_eq!(apportion(&[1.0], &[(0, 4)], 100), [4]);
        assert_eq!(apportion(&[4.0], &[(3, 4)], 0), [3]);
        assert_eq!(apportion(&[], &[], 7), [0; 0]);
    }

    #[test]
    fn classes_that_a_side_lacks_are_named() {
        let names = ["ant", "bee", "cat"].map(String::from);
        let said = |left: &[u32], right: &[u32]| classes_on_one_side([left, right], Some(&names));
        assert_eq!(said(&[0, 1, 2], &[2, 1, 0, 0]), None);
        assert_eq!(said(&[0, 0, 1], &[1, 0]), None);
        assert_eq!(
            said(&[0, 0, 1], &[1, 2]).as_deref(),
            Some("the samples to train on lack `cat`; the samples split off lack `ant`")
        );
        let many: Vec<u32> = (0..14).collect();
        let said = classes_on_one_side([&many, &[13]], None);
        assert_eq!(
            said.as_deref(),
            Some("the samples split off lack 0, 1, 2, 3, 4, 5, 6, 7, 8, 9 and 3 more")
        );
    }
}
