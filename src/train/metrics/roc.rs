//! The receiver operating characteristic: its area by counts on the device, and exactly on the host.

use super::average::Average;
use super::classified::Classified;
use super::inputs::Judged;
use crate::error::{Error, Result};
use crate::graph::Value;
use crate::shape::TensorType;

/// The area by counts at thresholds.
pub(super) struct RocAuc {
    pub average: Average,
    pub thresholds: usize,
}

/// How many positives and negatives score above a threshold.
type Above = [f64; 2];

/// Twice the area under the curve through the counts, which fall from all to none, in counts.
fn twice_area(levels: &[Above]) -> f64 {
    let none = [[0.0, 0.0]];
    let next = levels.iter().skip(1).chain(&none);
    levels.iter().zip(next).map(|(a, b)| (a[1] - b[1]) * (a[0] + b[0])).sum()
}

/// The area as a share of all pairs of a positive and a negative; NaN without any.
fn area(levels: &[Above]) -> f64 {
    let [positives, negatives] = levels.first().copied().unwrap_or_default();
    twice_area(levels) / (2.0 * positives * negatives)
}

impl RocAuc {
    /// Counts before the first threshold and above each; the last threshold has none above.
    fn levels(&self) -> usize {
        self.thresholds.saturating_sub(1).max(1)
    }

    fn averaged(&self, classes: &[Vec<Above>]) -> f64 {
        let weigh = |weight: fn(Above) -> f64| {
            let defined = classes.iter().map(|c| (area(c), weight(c[0]))).filter(|(a, _)| !a.is_nan());
            let (sum, weights) = defined.fold((0.0, 0.0), |(s, w), (a, by)| (s + a * by, w + by));
            sum / weights
        };
        match (self.average, classes) {
            (_, [one]) | (Average::Binary, [_, one]) => area(one),
            (Average::Micro, _) => {
                let total = |level: usize| {
                    classes.iter().fold([0.0, 0.0], |t: Above, c| [t[0] + c[level][0], t[1] + c[level][1]])
                };
                area(&(0..self.levels()).map(total).collect::<Vec<_>>())
            }
            (Average::Weighted, _) => weigh(|all| all[0]),
            (Average::Macro | Average::PerClass | Average::Binary, _) => weigh(|_| 1.0),
        }
    }

    /// How many positives and negatives of each class there are, and score above each threshold.
    pub fn record(&self, judged: Judged<'_>) -> Result<Value> {
        if self.thresholds < 3 {
            let value = self.thresholds.to_string();
            let expected = "0, 1 and at least one between them are needed";
            return Err(Error::Argument { argument: "thresholds", value, expected });
        }
        let steps = self.levels() as f64;
        let inner: Vec<f32> = (1..self.levels()).map(|i| (i as f64 / steps) as f32).collect();
        Classified::new(judged)?.above(&inner, self.average)
    }

    /// The areas that these counts come to.
    pub fn results(&self, sums: &[f64]) -> Vec<f64> {
        let levels = |class: &[f64]| class.chunks_exact(2).map(|c| [c[0], c[1]]).collect::<Vec<_>>();
        let classes: Vec<Vec<Above>> = sums.chunks_exact(2 * self.levels()).map(levels).collect();
        match self.average {
            Average::PerClass => classes.iter().map(|levels| area(levels)).collect(),
            _ => vec![self.averaged(&classes)],
        }
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
    if scores.len() != labels.len() {
        let (name, expected) = ("labels".to_owned(), TensorType::u32([scores.len()]));
        return Err(Error::Length { name, expected, found: labels.len() });
    }
    if let Some(index) = labels.iter().position(|&label| label > 1) {
        let (name, label) = ("labels".to_owned(), labels[index]);
        return Err(Error::LabelOutOfRange { name, index, label, limit: 2 });
    }
    if let Some(index) = scores.iter().position(|score| score.is_nan()) {
        let value = format!("NaN at element {index}");
        return Err(Error::Argument { argument: "scores", value, expected: "scores must be numbers" });
    }
    let mut samples: Vec<(f32, u32)> = scores.iter().copied().zip(labels.iter().copied()).collect();
    samples.sort_unstable_by(|a, b| b.0.total_cmp(&a.0));
    let mut points: Vec<(f32, [u64; 2])> = Vec::new();
    let mut counts = [0; 2];
    for (score, label) in samples {
        counts[label as usize] += 1;
        match points.last_mut() {
            Some(last) if last.0 == score => last.1 = counts,
            _ => points.push((score, counts)),
        }
    }
    if counts.contains(&0) {
        let value = format!("{} positives and {} negatives", counts[1], counts[0]);
        return Err(Error::Argument {
            argument: "labels",
            value,
            expected: "at least one of each is needed",
        });
    }
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
