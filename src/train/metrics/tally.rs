//! Scores of a class by what samples are to it, and how those of several classes make one.

use super::average::Average;
use super::confusion::ConfusionMatrix;

/// What the samples are to one class.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Tally {
    pub tp: u64,
    pub fp: u64,
    pub r#fn: u64,
    pub tn: u64,
}

/// A score of a class.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Score {
    Precision,
    Recall,
    Specificity,
    F1,
}

impl Tally {
    /// From counts of positives, negatives, positives taken for such and negatives taken for positives.
    fn of_counts(counts: &[f64]) -> Self {
        let count = |i: usize| counts.get(i).map_or(0, |count| count.round() as u64);
        let (tp, fp) = (count(2), count(3));
        Tally { tp, fp, r#fn: count(0).saturating_sub(tp), tn: count(1).saturating_sub(fp) }
    }

    fn plus(self, other: Tally) -> Tally {
        Tally {
            tp: self.tp + other.tp,
            fp: self.fp + other.fp,
            r#fn: self.r#fn + other.r#fn,
            tn: self.tn + other.tn,
        }
    }

    fn support(self) -> f64 {
        (self.tp + self.r#fn) as f64
    }
}

impl Score {
    fn of_class(self, tally: Tally) -> f64 {
        let Tally { tp, fp, r#fn, tn } = tally;
        let (part, whole) = match self {
            Score::Precision => (tp, tp + fp),
            Score::Recall => (tp, tp + r#fn),
            Score::Specificity => (tn, tn + fp),
            Score::F1 => (2 * tp, 2 * tp + fp + r#fn),
        };
        if whole == 0 { 0.0 } else { part as f64 / whole as f64 }
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
                let total: f64 = classes.iter().map(|tally| tally.support()).sum();
                let sum: f64 = classes.iter().map(|&tally| self.of_class(tally) * tally.support()).sum();
                Some(if total == 0.0 { 0.0 } else { sum / total })
            }
            (Average::Micro, _) => {
                let all = classes.iter().fold(Tally::default(), |sum, &tally| sum.plus(tally));
                Some(self.of_class(all))
            }
            (Average::Binary, &[_, positive]) => Some(self.of_class(positive)),
            (Average::Binary | Average::PerClass, _) => None,
        }
    }

    /// What a metric has added up comes to: a confusion matrix, or four counts of each output and two zeros.
    pub fn results(self, sums: &[f64], average: Average) -> Vec<f64> {
        let classes = match sums.len() % 4 {
            2 => sums.chunks_exact(4).map(Tally::of_counts).collect(),
            _ => ConfusionMatrix::from_sums(sums).tallies(),
        };
        match average {
            Average::PerClass => self.per_class(&classes),
            average => vec![self.averaged(&classes, average).unwrap_or(f64::NAN)],
        }
    }
}
