//! Counts that classification metrics are made of. Shader: `counts.wgsl`.

use super::common::*;
use super::loss::{label_limit, targeted_rows};
use super::matmul::joined;
use super::reduce::first_largest;

pub(super) static SHADER: Shader = built_in!("counts", "../../shaders/counts.wgsl");

crate::params! {
    struct RowParams { n: u32, classes: u32, k: u32 }
}

crate::params! {
    struct CountParams { n: u32, classes: u32, levels: u32, batch: u32, steps: u32, parts: u32 }
}

pub(super) static FAMILY: Family = Family {
    operators: &[
        OperatorInfo::new("categorical_accuracy_rows", Gradient::Zero, "f32"),
        OperatorInfo::new("in_top_k", Gradient::Zero, "f32"),
        OperatorInfo::new("predicted_classes", Gradient::Zero, "f32"),
        OperatorInfo::new("threshold_counts", Gradient::Zero, "f32"),
    ],
    shaders: &[&SHADER],
};

/// A number for each row, from its scores and its target's class; inputs scores and targets: u32 labels or
/// f32 rows.
#[derive(Clone, Copy, Debug)]
enum OfRows {
    /// Whether the target's class is the first largest.
    First,
    /// Whether it is among the `k` largest.
    Top(usize),
    /// The class that the row is taken for.
    Predicted,
}

/// Positives and negatives above thresholds; inputs scores, targets, mask and thresholds.
#[derive(Clone, Copy, Debug)]
struct ThresholdCounts;

/// Rows that a thread counts at most: few enough for every driver's limit on loops.
const LONGEST: usize = 16_384;

impl OfRows {
    /// How many classes the target's may be among.
    fn k(self) -> usize {
        if let OfRows::Top(k) = self { k } else { 1 }
    }

    fn of_row(self, row: &[f64], label: usize) -> f64 {
        let broken = row.iter().any(|v| v.is_nan());
        if let OfRows::Predicted = self {
            return if broken { f64::from(label == 0) } else { first_largest(row.iter().copied()) as f64 };
        }
        if label >= row.len() || broken {
            return 0.0;
        }
        let ties = matches!(self, OfRows::First);
        let ahead = |&(j, &v): &(usize, &f64)| v > row[label] || (ties && j < label && v == row[label]);
        f64::from(row.iter().enumerate().filter(ahead).count() < self.k())
    }
}

impl Op for OfRows {
    fn name(&self) -> &'static str {
        match self {
            OfRows::First => "categorical_accuracy_rows",
            OfRows::Top(_) => "in_top_k",
            OfRows::Predicted => "predicted_classes",
        }
    }

    fn attributes(&self) -> String {
        if let OfRows::Top(k) = self { format!("k={k}") } else { String::new() }
    }

    fn outputs(&self, inputs: &[TensorType]) -> Result<Vec<TensorType>> {
        let messages = [
            "the scores operand",
            "u32 labels need the shape of the scores without the last axis",
            "f32 targets need the shape of the scores",
        ];
        let rows = targeted_rows(inputs, messages)?;
        let classes = inputs[0].shape.dims()[rows.rank()];
        match *self {
            OfRows::Top(k) if !(1..=classes).contains(&k) => {
                Err(Error::argument("k", k, "it must be at least 1 and at most the number of classes"))
            }
            OfRows::Predicted if classes < 2 => {
                Err(Error::argument("number of classes", classes, "at least two are told apart"))
            }
            OfRows::Predicted => Ok(vec![TensorType::u32(rows)]),
            _ => Ok(vec![TensorType::f32(rows)]),
        }
    }

    fn index_limit(&self, inputs: &[TensorType]) -> Option<(usize, u32)> {
        label_limit(inputs)
    }

    fn backward(&self, _: &Backward<'_>) -> Option<Result<Vec<Option<Value>>>> {
        Some(Ok(vec![None; 2]))
    }

    fn lower(&self, cx: &mut Lowering<'_>) -> Result<()> {
        let n = cx.outputs[0].numel();
        let classes = cx.inputs[0].numel() / n;
        let [labels, soft] = match self {
            OfRows::Predicted => ["predicted_labels", "predicted_soft"],
            _ => ["labels", "soft"],
        };
        let (entry, loops) = match cx.inputs[1].dtype {
            DType::U32 => (labels, classes),
            DType::F32 => (soft, 2 * classes),
        };
        let call = KernelCall::new(&SHADER, entry)
            .constant("TIES", f64::from(matches!(self, OfRows::First)))
            .params(&RowParams { n: word(n), classes: word(classes), k: word(self.k()) })
            .binds([Slot::Input(0), Slot::Input(1), Slot::Output(0)])
            .loops(loops)
            .grid(Grid::linear(n, 64));
        cx.only(call)
    }

    fn reference(&self, cx: &Reference<'_>) -> Vec<Array> {
        let (x, t) = (cx.inputs[0], cx.inputs[1]);
        let classes = x.data.len() / cx.outputs[0].numel();
        let soft = t.shape == x.shape;
        let of_row = |o: usize| {
            let row = o * classes..(o + 1) * classes;
            let label =
                if soft { first_largest(t.data[row.clone()].iter().copied()) } else { t.data[o] as usize };
            self.of_row(&x.data[row], label)
        };
        vec![Array::from_fn(cx.outputs[0].shape, of_row)]
    }

    fn error_bound(&self, _: &Reference<'_>, results: &[Array]) -> Vec<Vec<f64>> {
        within(0.0, results)
    }
}

/// Batch, steps and classes of scores `[batch, .., classes]`, which the shape rule has accepted.
fn extents(scores: Shape) -> [usize; 3] {
    let dims = scores.dims();
    let (batch, classes) = (dims[0], dims[dims.len() - 1]);
    [batch, scores.numel() / (batch * classes), classes]
}

impl Op for ThresholdCounts {
    fn name(&self) -> &'static str {
        "threshold_counts"
    }

    fn outputs(&self, inputs: &[TensorType]) -> Result<Vec<TensorType>> {
        let names =
            ["the scores operand", "the targets operand", "the mask operand", "the thresholds operand"];
        for (name, &ty) in names.iter().zip(inputs) {
            expect_dtype(name, ty, DType::F32)?;
        }
        let [scores, targets, mask, thresholds] = [0, 1, 2, 3].map(|i: usize| inputs[i].shape);
        expect_rank(scores, scores.rank() >= 2, "at least 2 ([batch, .., classes])")?;
        same_shape("the targets need the shape of the scores", scores, targets)?;
        let [batch, _, classes] = extents(scores);
        Error::agree(mask == Shape::from([batch]), "the mask needs a number per sample", scores, mask)?;
        expect_rank(thresholds, thresholds.rank() == 1, "1 ([thresholds])")?;
        Ok(vec![TensorType::f32([classes, thresholds.numel() + 1, 2])])
    }

    fn backward(&self, _: &Backward<'_>) -> Option<Result<Vec<Option<Value>>>> {
        Some(Ok(vec![None; 4]))
    }

    fn lower(&self, cx: &mut Lowering<'_>) -> Result<()> {
        let [batch, steps, classes] = extents(cx.inputs[0].shape);
        let numbers = cx.outputs[0].numel();
        let parts = (batch * steps).div_ceil(LONGEST).clamp(1, batch);
        let n = numbers / 2 * parts;
        let call = KernelCall::new(&SHADER, "count")
            .binds((0..4).map(Slot::Input))
            .loops(batch.div_ceil(parts) * (1 + steps))
            .grid(Grid::linear(n, 64));
        joined(cx, &SHADER, [numbers, parts], Slot::Output(0), |cx, counts| {
            let levels = cx.inputs[3].numel() + 1;
            let [n, classes, levels, batch, steps, parts] =
                [n, classes, levels, batch, steps, parts].map(word);
            let params = CountParams { n, classes, levels, batch, steps, parts };
            cx.call(call.params(&params).bind(counts));
        });
        Ok(())
    }

    fn reference(&self, cx: &Reference<'_>) -> Vec<Array> {
        let [scores, targets, mask, thresholds] = [0, 1, 2, 3].map(|i: usize| cx.inputs[i]);
        let [_, steps, classes] = extents(scores.shape);
        let levels = thresholds.data.len() + 1;
        let mut counts = Array::full(cx.outputs[0].shape, 0.0);
        for (i, (&score, &target)) in scores.data.iter().zip(&targets.data).enumerate() {
            let weight = mask.data[i / (steps * classes)];
            if weight == 0.0 {
                continue;
            }
            let first = i % classes * levels;
            let positive = target > 0.5;
            for level in 0..levels {
                let above = |limit: f64| if score.is_nan() { !positive } else { score > limit };
                if level == 0 || above(thresholds.data[level - 1]) {
                    counts.data[2 * (first + level) + usize::from(!positive)] += weight;
                }
            }
        }
        vec![counts]
    }

    fn error_bound(&self, cx: &Reference<'_>, results: &[Array]) -> Vec<Vec<f64>> {
        let mask = &cx.inputs[2].data;
        if mask.iter().all(|weight| weight.fract() == 0.0) {
            return within(0.0, results);
        }
        // A unit of rounding for each addition, of samples and of parts.
        let [batch, steps, _] = extents(cx.inputs[0].shape);
        vec![relative_bound(&results[0], (batch * steps) as f64)]
    }
}

/// # Counts for metrics
impl Graph {
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
}
