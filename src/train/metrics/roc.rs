//! The receiver operating characteristic: its area by counts on the device, and exactly on the host.

use super::average::Average;
use super::classified::Classified;
use super::inputs::{Judged, check_labels};
use crate::error::{Error, Result};
use crate::graph::Value;

/// How many positives and negatives score above a threshold.
type Above = [f64; 2];

/// The area under the curve through the counts, which fall from all to none, as a share of all pairs of a
/// positive and a negative; NaN without any.
fn area(levels: &[Above]) -> f64 {
    let [positives, negatives] = levels.first().copied().unwrap_or_default();
    let next = levels.iter().skip(1).chain(&[[0.0, 0.0]]);
    let twice: f64 = levels.iter().zip(next).map(|(a, b)| (a[1] - b[1]) * (a[0] + b[0])).sum();
    twice / (2.0 * positives * negatives)
}

/// Counts before the first threshold and above each; the last threshold has none above.
fn levels(thresholds: usize) -> usize {
    thresholds.saturating_sub(1).max(1)
}

/// How many positives and negatives of each class there are, and score above each threshold.
pub(super) fn roc_counts(judged: Judged<'_>, average: Average, thresholds: usize) -> Result<Value> {
    let expected = "0, 1 and at least one between them are needed";
    Error::expect(thresholds >= 3, "thresholds", thresholds, expected)?;
    let steps = levels(thresholds);
    let inner: Vec<f32> = (1..steps).map(|i| (i as f64 / steps as f64) as f32).collect();
    Classified::new(judged)?.above(&inner, average)
}

/// The areas that these counts come to.
pub(super) fn roc_areas(sums: &[f64], average: Average, thresholds: usize) -> Vec<f64> {
    let classes: Vec<&[Above]> = sums.as_chunks().0.chunks_exact(levels(thresholds)).collect();
    let weighted = |weight: fn(Above) -> f64| {
        let defined = classes.iter().map(|c| (area(c), weight(c[0]))).filter(|(a, _)| !a.is_nan());
        let (sum, weights) = defined.fold((0.0, 0.0), |(s, w), (a, by)| (s + a * by, w + by));
        vec![sum / weights]
    };
    match (average, &*classes) {
        (Average::PerClass, _) => classes.iter().map(|levels| area(levels)).collect(),
        (_, [one]) | (Average::Binary, [_, one]) => vec![area(one)],
        (Average::Micro, _) => {
            let total = |level: usize| [0, 1].map(|i| classes.iter().map(|c| c[level][i]).sum());
            vec![area(&(0..levels(thresholds)).map(total).collect::<Vec<_>>())]
        }
        (Average::Weighted, _) => weighted(|all| all[0]),
        (Average::Macro | Average::Binary, _) => weighted(|_| 1.0),
    }
}

/// The receiver operating characteristic: a point per distinct score, from nothing called positive to
/// everything.
#[non_exhaustive]
#[derive(Clone, Debug, PartialEq)]
pub struct RocCurve {
    /// The share of negatives that score at least the threshold, rising from 0 to 1.
    pub false_positive_rate: Vec<f64>,
    /// The share of positives that score at least the threshold, rising from 0 to 1.
    pub true_positive_rate: Vec<f64>,
    /// The thresholds, falling; the first is infinity.
    pub thresholds: Vec<f32>,
}

/// Negatives and positives that score at least each distinct score, from the highest.
fn counts_from_the_top(scores: &[f32], labels: &[u32]) -> Result<Vec<(f32, [u64; 2])>> {
    check_labels("labels", labels, scores.len(), 2)?;
    if let Some(index) = scores.iter().position(|score| score.is_nan()) {
        let value = format!("NaN at element {index}");
        return Err(Error::argument("scores", value, "scores must be numbers"));
    }
    let mut samples: Vec<(f32, u32)> = scores.iter().copied().zip(labels.iter().copied()).collect();
    samples.sort_unstable_by(|a, b| b.0.total_cmp(&a.0));
    let mut counts = [0; 2];
    let ties = samples.chunk_by(|a, b| a.0 == b.0).map(|ties| {
        ties.iter().for_each(|&(_, label)| counts[label as usize] += 1);
        (ties[0].0, counts)
    });
    let points = ties.collect();
    let value = format!("{} positives and {} negatives", counts[1], counts[0]);
    Error::expect(!counts.contains(&0), "labels", value, "at least one of each is needed")?;
    Ok(points)
}

/// The exact area under the receiver operating characteristic: the share of pairs of a positive and a
/// negative in which the positive scores more, a tie counting half (Mann and Whitney, Annals of
/// Mathematical Statistics 18, 1947). `labels` are 1 for positives and 0 for negatives; scores may be
/// logits, probabilities or anything that rises with the belief in a positive.
///
/// ```
/// use retape::train::roc_auc;
/// // Of four pairs, three are in order.
/// assert_eq!(roc_auc(&[0.1, 0.4, 0.35, 0.8], &[0, 0, 1, 1])?, 0.75);
/// # Ok::<(), retape::Error>(())
/// ```
///
/// # Errors
/// [`Error::Length`] unless there are as many labels as scores; [`Error::LabelOutOfRange`] for a label
/// other than 0 and 1; [`Error::Argument`] for a NaN, and unless there are positives and negatives.
pub fn roc_auc(scores: &[f32], labels: &[u32]) -> Result<f64> {
    let points = counts_from_the_top(scores, labels)?;
    let mut before = [0u64; 2];
    let mut twice = 0u128;
    for &(_, counts) in &points {
        twice += u128::from(counts[0] - before[0]) * u128::from(counts[1] + before[1]);
        before = counts;
    }
    let pairs = u128::from(before[0]) * u128::from(before[1]);
    Ok(twice as f64 / (2 * pairs) as f64)
}

/// The receiver operating characteristic of scores by [`roc_auc`]'s rules.
///
/// ```
/// use retape::train::roc_curve;
/// let curve = roc_curve(&[0.1, 0.4, 0.35, 0.8], &[0, 0, 1, 1])?;
/// assert_eq!(curve.false_positive_rate, [0.0, 0.0, 0.5, 0.5, 1.0]);
/// assert_eq!(curve.true_positive_rate, [0.0, 0.5, 0.5, 1.0, 1.0]);
/// assert_eq!(curve.thresholds, [f32::INFINITY, 0.8, 0.4, 0.35, 0.1]);
/// # Ok::<(), retape::Error>(())
/// ```
///
/// # Errors
/// As [`roc_auc`].
pub fn roc_curve(scores: &[f32], labels: &[u32]) -> Result<RocCurve> {
    let points = counts_from_the_top(scores, labels)?;
    let all = points.last().map_or([1, 1], |&(_, counts)| counts);
    let rates = |class: usize| {
        let rate = |&(_, counts): &(f32, [u64; 2])| counts[class] as f64 / all[class] as f64;
        std::iter::once(0.0).chain(points.iter().map(rate)).collect()
    };
    let thresholds = std::iter::once(f32::INFINITY).chain(points.iter().map(|&(score, _)| score)).collect();
    Ok(RocCurve { false_positive_rate: rates(0), true_positive_rate: rates(1), thresholds })
}
