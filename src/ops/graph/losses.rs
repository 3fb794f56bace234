use crate::ops::clip::{ClipByNorm, GlobalNorm};
use crate::ops::common::*;
use crate::ops::counts::{OfRows, ThresholdCounts};
use crate::ops::loss::{BinaryElements, CrossEntropyRows};

/// # Losses, counts and norms
///
/// Losses of f32 logits or predictions and their targets, f32 or u32 labels: scalars, or a number for each row
/// or element. What metrics count of them, and norms of f32 gradients of any shape.
impl Graph {
    /// The mean over all rows of the cross-entropy between targets and the softmax of f32 logits
    /// `[.., classes]`; the result is a scalar. The targets are either u32 class labels of the
    /// logits' shape without the last axis, or f32 of the logits' shape: one-hot rows or
    /// probabilities, which need not add up to 1. See
    /// [`softmax_cross_entropy_rows`](Graph::softmax_cross_entropy_rows) for the formula.
    ///
    /// Softmax and logarithm are one operator, so the loss is exact for logits of any size, and so
    /// is its gradient `softmax(x) - t` (Bridle, NATO ASI 1990). Labels that the program writes are
    /// checked against the classes.
    ///
    /// ```
    /// use retape::prelude::*;
    /// let mut g = Graph::new();
    /// let logits = g.input("logits", [2, 3]);
    /// let labels = g.labels("labels", [2]);
    /// let loss = g.softmax_cross_entropy(logits, labels)?;
    /// let dx = g.differentiate(loss, &[logits])?[0];
    ///
    /// let mut session = g.forward([loss, dx])?.session(&Device::cpu())?;
    /// session.write(logits, &[0.0f32, 0.0, 0.0, 400.0, 0.0, 0.0])?;
    /// session.write(labels, &[2u32, 0])?;
    /// session.replay()?;
    /// assert_eq!(session.read_scalar(loss)?, 3f32.ln() / 2.0);
    /// assert_eq!(session.read(dx)?[..3], [1.0 / 6.0, 1.0 / 6.0, -1.0 / 3.0]);
    ///
    /// assert!(session.write(labels, &[3u32, 0]).is_err());
    /// # Ok::<(), retape::Error>(())
    /// ```
    ///
    /// # Errors
    /// [`Error::ShapeMismatch`] with both shapes, [`Error::Rank`] for scalar logits,
    /// [`Error::DTypeMismatch`] unless the logits are f32, [`Error::LabelOutOfRange`] for constant
    /// labels past the classes.
    #[track_caller]
    pub fn softmax_cross_entropy(&self, logits: Value, targets: Value) -> Result<Value> {
        self.mean(self.softmax_cross_entropy_rows(logits, targets)?, &[], false)
    }

    /// The cross-entropy of each row of f32 logits `[.., classes]`, without the mean of
    /// [`softmax_cross_entropy`](Graph::softmax_cross_entropy), whose targets it has:
    /// `lse(x) - x[label]` for u32 labels, `sum t (lse(x) - x)` for f32 targets, with
    /// `lse(x) = log(sum(exp(x)))`. The result has the logits' shape without the last axis, so that
    /// rows can be weighted or masked.
    ///
    /// # Errors
    /// As [`softmax_cross_entropy`](Graph::softmax_cross_entropy).
    #[track_caller]
    pub fn softmax_cross_entropy_rows(&self, logits: Value, targets: Value) -> Result<Value> {
        self.apply1(CrossEntropyRows, &[logits, targets])
    }

    /// The mean over all elements of the cross-entropy between targets in `[0, 1]` and the sigmoid
    /// of the logits, both f32 of one shape; the result is a scalar. See
    /// [`sigmoid_binary_cross_entropy_elements`](Graph::sigmoid_binary_cross_entropy_elements) for
    /// the formula.
    ///
    /// # Errors
    /// [`Error::ShapeMismatch`] with both shapes: nothing is broadcast. [`Error::DTypeMismatch`]
    /// unless both are f32.
    #[track_caller]
    pub fn sigmoid_binary_cross_entropy(&self, logits: Value, targets: Value) -> Result<Value> {
        self.mean(self.sigmoid_binary_cross_entropy_elements(logits, targets)?, &[], false)
    }

    /// The binary cross-entropy of each element, without the mean of
    /// [`sigmoid_binary_cross_entropy`](Graph::sigmoid_binary_cross_entropy), f32 of the logits' shape:
    /// `max(x, 0) - x t + log(1 + exp(-|x|))`, which equals
    /// `-t log(sigmoid(x)) - (1 - t) log(1 - sigmoid(x))` and neither overflows nor cancels.
    ///
    /// # Errors
    /// As [`sigmoid_binary_cross_entropy`](Graph::sigmoid_binary_cross_entropy).
    #[track_caller]
    pub fn sigmoid_binary_cross_entropy_elements(&self, logits: Value, targets: Value) -> Result<Value> {
        self.apply1(BinaryElements, &[logits, targets])
    }

    /// The mean over all elements of `(prediction - target)^2`, both f32 of one shape; the result
    /// is a scalar.
    ///
    /// # Errors
    /// [`Error::ShapeMismatch`] with both shapes: nothing is broadcast, as a target `[n]` against a
    /// prediction `[n, 1]` is a mistake. [`Error::DTypeMismatch`] unless both are f32.
    #[track_caller]
    pub fn mean_squared_error(&self, prediction: Value, target: Value) -> Result<Value> {
        const NAME: &str = "mean_squared_error";
        let (left, right) = (self.operand_shape(NAME, prediction)?, self.operand_shape(NAME, target)?);
        self.located(NAME, same_shape("the target needs the prediction's shape", left, right))?;
        self.mean(self.square(self.sub(prediction, target)?)?, &[], false)
    }

    /// 1 for each row of f32 scores `[.., classes]` whose first largest element is at the target's
    /// class, 0 for the others; the result has the scores' shape without the last axis. The targets
    /// are u32 labels of that shape, or f32 of the scores' shape, of which the first largest element
    /// of a row is its class. A row with a NaN among its scores counts 0. No gradient flows.
    ///
    /// ```
    /// use retape::prelude::*;
    /// let mut g = Graph::new();
    /// let scores = g.input("scores", [3, 2]);
    /// let labels = g.labels("labels", [3]);
    /// let hits = g.categorical_accuracy_rows(scores, labels)?;
    /// let mut session = g.forward([hits])?.session(&Device::cpu())?;
    /// session.write(scores, &[0.9f32, 0.1, 0.9, 0.1, 0.5, 0.5])?;
    /// session.write(labels, &[0u32, 1, 1])?;
    /// session.replay()?;
    /// assert_eq!(session.read(hits)?, [1.0, 0.0, 0.0]);
    /// # Ok::<(), retape::Error>(())
    /// ```
    ///
    /// # Errors
    /// [`Error::ShapeMismatch`] with both shapes; [`Error::Rank`] for scores without classes;
    /// [`Error::DTypeMismatch`] unless the scores are f32.
    #[track_caller]
    pub fn categorical_accuracy_rows(&self, scores: Value, targets: Value) -> Result<Value> {
        self.apply1(OfRows::First, &[scores, targets])
    }

    /// 1 for each row of f32 scores `[.., classes]` in which fewer than `k` classes score more than
    /// the target's class, 0 for the others: as TensorFlow's `in_top_k`, classes that tie across the
    /// boundary are all among the `k`. Shapes, targets and NaN as in
    /// [`categorical_accuracy_rows`](Graph::categorical_accuracy_rows). No gradient flows.
    ///
    /// # Errors
    /// As [`categorical_accuracy_rows`](Graph::categorical_accuracy_rows); [`Error::Argument`] for a
    /// `k` of 0 or past the number of classes.
    #[track_caller]
    pub fn in_top_k(&self, scores: Value, targets: Value, k: usize) -> Result<Value> {
        self.apply1(OfRows::Top(k), &[scores, targets])
    }

    /// The class that each row of f32 scores `[.., classes]` is taken for: that of the first largest
    /// score, as u32 of the scores' shape without the last axis. A row with a NaN among its scores is
    /// wrong: its class is the first that is not the target's. Targets as in
    /// [`categorical_accuracy_rows`](Graph::categorical_accuracy_rows). No gradient flows.
    ///
    /// # Errors
    /// As [`categorical_accuracy_rows`](Graph::categorical_accuracy_rows); [`Error::Argument`] for fewer
    /// than two classes.
    #[track_caller]
    pub fn predicted_classes(&self, scores: Value, targets: Value) -> Result<Value> {
        self.apply1(OfRows::Predicted, &[scores, targets])
    }

    /// How many positives and how many negatives of each class score above each threshold:
    /// f32 scores and targets `[batch, .., classes]`, a mask f32 `[batch]` and f32 thresholds `[t]` give
    /// f32 `[classes, t + 1, 2]`. Entry `[c, i + 1, 0]` counts the targets of class `c` over 1/2 whose
    /// score is more than threshold `i`, entry `[c, i + 1, 1]` the other targets with such a score;
    /// `[c, 0, ..]` counts all of them. A sample counts as often as its mask says, which may be a weight, and
    /// not at all where that is 0. A score that is NaN is on the wrong side of every threshold: above none
    /// for a positive, above all for a negative. No gradient flows.
    ///
    /// Counts of whole numbers are exact up to 2^24.
    ///
    /// # Errors
    /// [`Error::ShapeMismatch`] with both shapes; [`Error::Rank`]; [`Error::DTypeMismatch`].
    #[track_caller]
    pub fn threshold_counts(
        &self,
        scores: Value,
        targets: Value,
        mask: Value,
        thresholds: Value,
    ) -> Result<Value> {
        self.apply1(ThresholdCounts, &[scores, targets, mask, thresholds])
    }

    /// The L2 norm over all elements of all `values` together, `sqrt(sum of x^2)`: f32 of any shapes give a
    /// scalar.
    ///
    /// It neither overflows nor loses small elements on the way: every norm that f32 holds comes out to
    /// rounding, whether its elements are 1e-30 or 1e38. A larger one is infinite; a NaN among the
    /// elements makes it NaN, an infinity infinite. Its derivative at 0 is 0.
    ///
    /// ```
    /// use retape::prelude::*;
    /// let mut g = Graph::new();
    /// let (a, b) = (g.input("a", [2]), g.input("b", [1, 1]));
    /// let norm = g.global_norm(&[a, b])?;
    /// let mut session = g.forward([norm])?.session(&Device::cpu())?;
    /// session.write(a, &[2.0, 3.0])?;
    /// session.write(b, &[6.0])?;
    /// session.replay()?;
    /// assert_eq!(session.read_scalar(norm)?, 7.0);
    /// # Ok::<(), retape::Error>(())
    /// ```
    ///
    /// # Errors
    /// [`Error::Argument`] for no values, [`Error::DTypeMismatch`] unless all are f32.
    #[track_caller]
    pub fn global_norm(&self, values: &[Value]) -> Result<Value> {
        self.apply1(GlobalNorm(values.len()), values)
    }

    /// `x` scaled down so that what has this `norm` has at most the norm `limit`:
    /// `x limit / max(norm, limit)` (Pascanu, Mikolov and Bengio, ICML 2013). The norm is a value of one
    /// element, such as [`global_norm`](Graph::global_norm) of `x`, or of `x` and others. f32 of any shape; the
    /// result has that of `x`.
    ///
    /// Up to the limit, `x` keeps its bits. Where the norm is infinite or NaN, the result is all NaN, as
    /// in TensorFlow's `clip_by_global_norm`: a broken gradient shows, where `x limit / norm` would have
    /// turned its finite elements into zeros.
    ///
    /// # Errors
    /// [`Error::Argument`] for a limit that is not positive, not finite or subnormal;
    /// [`Error::NotScalar`] for a norm of more than one element; [`Error::DTypeMismatch`] unless both are f32.
    #[track_caller]
    pub fn clip_by_norm(&self, x: Value, norm: Value, limit: f32) -> Result<Value> {
        self.apply1(ClipByNorm { limit }, &[x, norm])
    }
}
