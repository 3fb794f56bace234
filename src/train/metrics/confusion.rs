//! The confusion matrix on the host, and the scores that it gives.

use std::array::from_fn;
use std::fmt;

use super::average::Average;
use super::inputs::check_labels;
use crate::error::{Error, Result};

/// How often samples of each class were taken for each class: rows are the labels, columns the
/// predictions, as in scikit-learn.
///
/// ```
/// use retape::train::{Average, ConfusionMatrix};
/// let matrix = ConfusionMatrix::from_labels(&[0, 0, 1, 1, 1], &[0, 1, 1, 1, 0], 2)?;
/// assert_eq!(matrix.count(1, 0), 1);
/// assert_eq!(matrix.accuracy(), 0.6);
/// assert_eq!(matrix.precision(Average::Binary)?, 2.0 / 3.0);
/// assert_eq!(matrix.recall_per_class(), [0.5, 2.0 / 3.0]);
/// println!("{matrix}");
/// # Ok::<(), retape::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConfusionMatrix {
    classes: usize,
    /// Label by label, and within it prediction by prediction.
    counts: Vec<u64>,
}

impl ConfusionMatrix {
    /// Counts of labels and predictions, which are in the order of the same samples.
    ///
    /// # Errors
    /// [`Error::Length`] unless there are as many predictions as labels;
    /// [`Error::LabelOutOfRange`] for a label or prediction past the classes; [`Error::Argument`] for
    /// no classes, and for more than there is memory for.
    pub fn from_labels(labels: &[u32], predictions: &[u32], classes: usize) -> Result<Self> {
        let mut counts = Vec::new();
        let has_room = |numbers: &usize| *numbers > 0 && counts.try_reserve_exact(*numbers).is_ok();
        let Some(numbers) = classes.checked_mul(classes).filter(has_room) else {
            let expected = "there must be at least 1, and memory for its square";
            return Err(Error::argument("classes", classes, expected));
        };
        counts.resize(numbers, 0);
        for (name, numbers) in [("labels", labels), ("predictions", predictions)] {
            check_labels(name, numbers, labels.len(), classes)?;
        }
        for (&label, &prediction) in labels.iter().zip(predictions) {
            counts[label as usize * classes + prediction as usize] += 1;
        }
        Ok(ConfusionMatrix { classes, counts })
    }

    /// A matrix from its counts, label by label: what [`Metric::ConfusionMatrix`] gives.
    ///
    /// # Errors
    /// [`Error::Argument`] unless the counts make a square.
    ///
    /// [`Metric::ConfusionMatrix`]: super::Metric::ConfusionMatrix
    pub fn from_counts(counts: &[u64]) -> Result<Self> {
        let classes = counts.len().isqrt();
        if counts.is_empty() || classes * classes != counts.len() {
            let expected = "it must be the square of the number of classes";
            return Err(Error::argument("number of counts", counts.len(), expected));
        }
        Ok(ConfusionMatrix { classes, counts: counts.to_vec() })
    }

    /// The number of classes.
    pub fn classes(&self) -> usize {
        self.classes
    }

    /// All counts, `[label, prediction]` in row-major order.
    pub fn counts(&self) -> &[u64] {
        &self.counts
    }

    /// The samples with this label and this prediction; 0 past the classes.
    pub fn count(&self, label: usize, prediction: usize) -> u64 {
        let inside = label < self.classes && prediction < self.classes;
        if inside { self.counts[label * self.classes + prediction] } else { 0 }
    }

    /// All samples.
    pub fn total(&self) -> u64 {
        self.counts.iter().sum()
    }

    /// The samples of a class.
    pub fn support(&self, class: usize) -> u64 {
        (0..self.classes).map(|prediction| self.count(class, prediction)).sum()
    }

    /// The samples that were predicted to be of a class.
    pub fn predicted(&self, class: usize) -> u64 {
        (0..self.classes).map(|label| self.count(label, class)).sum()
    }

    /// The share of right predictions; NaN without samples.
    pub fn accuracy(&self) -> f64 {
        let right: u64 = (0..self.classes).map(|class| self.count(class, class)).sum();
        right as f64 / self.total() as f64
    }

    /// What the samples are to each class.
    fn tallies(&self) -> Vec<Tally> {
        tallies(&self.counts.iter().map(|&count| count as f64).collect::<Vec<_>>())
    }

    fn averaged(&self, score: Score, average: Average) -> Result<f64> {
        score.averaged(&self.tallies(), average).ok_or_else(|| {
            let expected = "one number of all classes takes `Macro`, `Micro` or `Weighted`, \
                            or `Binary` with two classes";
            Error::argument("average", average, expected)
        })
    }
}

macro_rules! scores {
    ($($(#[$doc:meta])* $score:ident => $averaged:ident, $per_class:ident;)*) => {
        impl ConfusionMatrix {$(
            $(#[$doc])*
            ///
            /// # Errors
            /// [`Error::Argument`] for [`Average::PerClass`], which is no single number, and for
            /// [`Average::Binary`] unless there are two classes.
            pub fn $averaged(&self, average: Average) -> Result<f64> {
                self.averaged(Score::$score, average)
            }

            #[doc = concat!("[`", stringify!($averaged), "`](ConfusionMatrix::", stringify!($averaged),
                ") of each class.")]
            pub fn $per_class(&self) -> Vec<f64> {
                Score::$score.per_class(&self.tallies())
            }
        )*}
    };
}

scores! {
    /// Precision, `tp / (tp + fp)`: of the predictions of a class, the share that is right. A class
    /// that is never predicted counts 0, as scikit-learn's `zero_division=0`.
    Precision => precision, precision_per_class;
    /// Recall or sensitivity, `tp / (tp + fn)`: of the samples of a class, the share that is found. A
    /// class that never occurs counts 0.
    Recall => recall, recall_per_class;
    /// Specificity, `tn / (tn + fp)`: of the samples of other classes, the share that is not taken for
    /// this one; 0 if there are no others.
    Specificity => specificity, specificity_per_class;
    /// The harmonic mean of precision and recall, `2 tp / (2 tp + fp + fn)`. A class that neither
    /// occurs nor is predicted counts 0.
    F1 => f1, f1_per_class;
}

/// A table: a row per label, a column per prediction.
impl fmt::Display for ConfusionMatrix {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const CORNER: &str = "label \\ prediction";
        let widest = self.counts.iter().copied().max().unwrap_or(0).max(self.classes as u64 - 1);
        let (first, width) = (CORNER.len(), widest.to_string().len() + 2);
        write!(f, "{CORNER}")?;
        (0..self.classes).try_for_each(|class| write!(f, "{class:>width$}"))?;
        for (label, row) in self.counts.chunks(self.classes).enumerate() {
            write!(f, "\n{label:>first$}")?;
            row.iter().try_for_each(|count| write!(f, "{count:>width$}"))?;
        }
        Ok(())
    }
}

/// What the samples are to one class, by their weights: true and false positives, false and true negatives.
type Tally = [f64; 4];

/// A count less a part of it; 0 where the rest is but rounding.
fn less(all: f64, part: f64) -> f64 {
    let rest = all - part;
    if rest <= 1e-9 * all { 0.0 } else { rest }
}

/// What the samples of a confusion matrix are to each class.
fn tallies(counts: &[f64]) -> Vec<Tally> {
    let classes = counts.len().isqrt();
    let total: f64 = counts.iter().sum();
    let tally = |class: usize| {
        let others = || (0..classes).filter(|&other| other != class);
        let tp = counts[class * classes + class];
        let fp: f64 = others().map(|label| counts[label * classes + class]).sum();
        let r#fn: f64 = others().map(|prediction| counts[class * classes + prediction]).sum();
        [tp, fp, r#fn, less(total, tp + fp + r#fn)]
    };
    (0..classes).map(tally).collect()
}

/// A score of a class.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Score {
    Precision,
    Recall,
    Specificity,
    F1,
}

/// From counts of positives, negatives, positives taken for such and negatives taken for positives.
fn tally_of(counts: &[f64; 4]) -> Tally {
    let &[positives, negatives, tp, fp] = counts;
    [tp, fp, less(positives, tp), less(negatives, fp)]
}

impl Score {
    fn of_class(self, [tp, fp, r#fn, tn]: Tally) -> f64 {
        let (part, whole) = match self {
            Score::Precision => (tp, tp + fp),
            Score::Recall => (tp, tp + r#fn),
            Score::Specificity => (tn, tn + fp),
            Score::F1 => (2.0 * tp, 2.0 * tp + fp + r#fn),
        };
        if whole == 0.0 { 0.0 } else { part / whole }
    }

    /// Of each class.
    pub fn per_class(self, classes: &[Tally]) -> Vec<f64> {
        classes.iter().map(|&tally| self.of_class(tally)).collect()
    }

    /// Of all classes; `None` where the average is no number, or not one of so many classes.
    pub fn averaged(self, classes: &[Tally], average: Average) -> Option<f64> {
        match (average, classes) {
            (Average::Macro, _) => Some(self.per_class(classes).iter().sum::<f64>() / classes.len() as f64),
            (Average::Weighted, _) => {
                let support = |&[tp, _, r#fn, _]: &Tally| tp + r#fn;
                let total: f64 = classes.iter().map(support).sum();
                let sum: f64 = classes.iter().map(|tally| self.of_class(*tally) * support(tally)).sum();
                Some(if total == 0.0 { 0.0 } else { sum / total })
            }
            (Average::Micro, _) => {
                Some(self.of_class(from_fn(|i| classes.iter().map(|tally| tally[i]).sum())))
            }
            (Average::Binary, &[_, positive]) => Some(self.of_class(positive)),
            (Average::Binary | Average::PerClass, _) => None,
        }
    }

    /// What a metric has added up comes to: a confusion matrix, or four counts of each output and two zeros.
    pub fn results(self, sums: &[f64], average: Average) -> Vec<f64> {
        let classes = match sums.len() % 4 {
            2 => sums.as_chunks().0.iter().map(tally_of).collect(),
            _ => tallies(sums),
        };
        match average {
            Average::PerClass => self.per_class(&classes),
            average => vec![self.averaged(&classes, average).unwrap_or(f64::NAN)],
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{Average, ConfusionMatrix};
    use crate::Error;

    #[test]
    fn a_table_shows_labels_by_predictions() {
        let matrix = ConfusionMatrix::from_labels(&[0, 0, 0, 2], &[0, 0, 1, 2], 3).unwrap();
        let lines = [
            "label \\ prediction  0  1  2",
            "                 0  2  1  0",
            "                 1  0  0  0",
            "                 2  0  0  1",
        ];
        assert_eq!(matrix.to_string(), lines.join("\n"));
    }

    #[test]
    fn what_does_not_fit_is_refused() {
        let length = ConfusionMatrix::from_labels(&[0, 1], &[0], 2).unwrap_err();
        assert!(matches!(length, Error::Length { found: 1, .. }), "{length}");
        let past = ConfusionMatrix::from_labels(&[0, 1], &[0, 2], 2).unwrap_err();
        assert!(matches!(past, Error::LabelOutOfRange { index: 1, label: 2, limit: 2, .. }), "{past}");
        assert!(matches!(ConfusionMatrix::from_labels(&[], &[], 0).unwrap_err(), Error::Argument { .. }));
        assert!(matches!(ConfusionMatrix::from_counts(&[1, 2, 3]).unwrap_err(), Error::Argument { .. }));
        for classes in [3_000_000_000, usize::MAX] {
            let huge = ConfusionMatrix::from_labels(&[0], &[0], classes).unwrap_err();
            assert!(matches!(huge, Error::Argument { argument: "classes", .. }), "{huge}");
        }
        let three = ConfusionMatrix::from_labels(&[0], &[0], 3).unwrap();
        for average in [Average::Binary, Average::PerClass] {
            assert!(matches!(three.f1(average).unwrap_err(), Error::Argument { .. }));
        }
        assert_eq!(three.count(3, 0), 0);
    }
}
