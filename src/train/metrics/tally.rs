//! Scores of a class by what samples are to it, and how those of several classes make one.

use std::array::from_fn;

use super::average::Average;
use super::confusion::ConfusionMatrix;

/// What the samples are to one class: true and false positives, false and true negatives.
pub(super) type Tally = [u64; 4];

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
    let [positives, negatives, tp, fp] = counts.map(|count| count.round() as u64);
    [tp, fp, positives.saturating_sub(tp), negatives.saturating_sub(fp)]
}

impl Score {
    fn of_class(self, [tp, fp, r#fn, tn]: Tally) -> f64 {
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
                let support = |&[tp, _, r#fn, _]: &Tally| (tp + r#fn) as f64;
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
            _ => ConfusionMatrix::from_sums(sums).tallies(),
        };
        match average {
            Average::PerClass => self.per_class(&classes),
            average => vec![self.averaged(&classes, average).unwrap_or(f64::NAN)],
        }
    }
}
