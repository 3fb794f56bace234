use std::fmt;

/// How the scores of several classes make one, in scikit-learn's terms.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Average {
    /// The mean over all classes of the model. One that never occurs and is never predicted counts
    /// too, at 0.
    Macro,
    /// The score of all classes' counts added up: each sample counts the same.
    Micro,
    /// The mean over the classes, each weighted by how many samples it has.
    Weighted,
    /// No average: a result per class.
    PerClass,
    /// The score of the positive class: that of a model with one output, class 1 of one with two of which
    /// a sample has one.
    Binary,
}

impl Average {
    /// What a metric is called under this average.
    pub(super) fn name(self, metric: &str) -> String {
        match self {
            Average::PerClass | Average::Binary => metric.to_owned(),
            _ => format!("{metric}_{self}"),
        }
    }
}

impl fmt::Display for Average {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Average::Macro => "macro",
            Average::Micro => "micro",
            Average::Weighted => "weighted",
            Average::PerClass => "per_class",
            Average::Binary => "binary",
        })
    }
}
