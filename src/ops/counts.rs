//! Counts that classification metrics are made of. Shader: `counts.wgsl`.

use super::common::*;

pub(super) static SHADER: Shader = built_in!("counts", "../../shaders/counts.wgsl");

crate::params! {
    struct RowParams { n: u32, classes: u32, k: u32 }
}

crate::params! {
    struct CountParams { n: u32, classes: u32, levels: u32, batch: u32, steps: u32, parts: u32 }
}

crate::params! {
    struct JoinParams { n: u32, parts: u32 }
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

/// Whether the target's class is the first largest of each row, or among its `k` largest; inputs
/// scores and targets: u32 labels or f32 rows.
#[derive(Clone, Copy, Debug)]
enum Hits {
    First,
    Top(usize),
}

/// The class that each row is taken for; inputs scores and targets, as those of [`Hits`].
#[derive(Clone, Copy, Debug)]
struct PredictedClasses;

/// Positives and negatives above thresholds; inputs scores, targets, mask and thresholds.
#[derive(Clone, Copy, Debug)]
struct ThresholdCounts;

/// Rows that a thread counts at most: few enough for every driver's limit on loops.
const LONGEST: usize = 16_384;

fn zeros(results: &[Array]) -> Vec<Vec<f64>> {
    results.iter().map(|r| vec![0.0; r.data.len()]).collect()
}

/// The dimensions before the classes, and the classes.
fn classes_of(scores: Shape) -> Result<(Shape, usize)> {
    match scores.dims().split_last() {
        Some((&classes, lead)) => Ok((Shape::new(lead)?, classes)),
        None => Err(Error::Rank { shape: scores, expected: "at least 1, the classes," }),
    }
}

fn first_largest(row: &[f64]) -> usize {
    (1..row.len()).fold(0, |best, j| if row[j] > row[best] { j } else { best })
}

/// The rows of scores and their classes, where the targets fit them: one class per row.
fn checked_rows(inputs: &[TensorType]) -> Result<(Shape, usize)> {
    expect_dtype("the scores operand", inputs[0], DType::F32)?;
    let (scores, targets) = (inputs[0].shape, inputs[1]);
    let (rows, classes) = classes_of(scores)?;
    let (wanted, what) = match targets.dtype {
        DType::U32 => (rows, "u32 labels need the shape of the scores without the last axis"),
        DType::F32 => (scores, "f32 targets need the shape of the scores"),
    };
    if targets.shape != wanted {
        return Err(Error::shape_mismatch(what, scores, targets.shape));
    }
    Ok((rows, classes))
}

/// The input that holds labels, and how many classes there are.
fn label_limit(inputs: &[TensorType]) -> Option<(usize, u32)> {
    let classes = inputs[0].shape.dims().last().map_or(1, |&classes| word(classes));
    (inputs[1].dtype == DType::U32).then_some((1, classes))
}

/// A call of a kernel that handles a row per thread; the entries are for labels and for rows of targets.
fn call_of_rows(cx: &Lowering<'_>, entries: [&'static str; 2], k: usize) -> KernelCall {
    let n = cx.outputs[0].numel();
    let classes = cx.inputs[0].numel() / n;
    let (entry, loops) = match cx.inputs[1].dtype {
        DType::U32 => (entries[0], classes),
        DType::F32 => (entries[1], 2 * classes),
    };
    KernelCall::new(&SHADER, entry)
        .params(&RowParams { n: word(n), classes: word(classes), k: word(k) })
        .binds([Slot::Input(0), Slot::Input(1), Slot::Output(0)])
        .loops(loops)
        .grid(Grid::linear(n, 64))
}

/// A number for each row, from its scores and its target's class.
fn of_rows(cx: &Reference<'_>, number: impl Fn(&[f64], usize) -> f64 + Sync) -> Vec<Array> {
    let (x, t) = (cx.inputs[0], cx.inputs[1]);
    let classes = x.data.len() / cx.outputs[0].numel();
    let soft = t.shape == x.shape;
    let of_row = |o: usize| {
        let row = o * classes..(o + 1) * classes;
        let label = if soft { first_largest(&t.data[row.clone()]) } else { t.data[o] as usize };
        number(&x.data[row], label)
    };
    vec![Array::from_fn(cx.outputs[0].shape, of_row)]
}

impl Hits {
    fn k(self) -> usize {
        match self {
            Hits::First => 1,
            Hits::Top(k) => k,
        }
    }

    fn hit(self, row: &[f64], label: usize) -> f64 {
        if label >= row.len() || row.iter().any(|v| v.is_nan()) {
            return 0.0;
        }
        let ties = matches!(self, Hits::First);
        let ahead = |&(j, &v): &(usize, &f64)| v > row[label] || (ties && j < label && v == row[label]);
        let hit = row.iter().enumerate().filter(ahead).count() < self.k();
        f64::from(u8::from(hit))
    }
}

impl Op for Hits {
    fn name(&self) -> &'static str {
        match self {
            Hits::First => "categorical_accuracy_rows",
            Hits::Top(_) => "in_top_k",
        }
    }

    fn attributes(&self) -> String {
        match self {
            Hits::First => String::new(),
            Hits::Top(k) => format!("k={k}"),
        }
    }

    fn outputs(&self, inputs: &[TensorType]) -> Result<Vec<TensorType>> {
        let (rows, classes) = checked_rows(inputs)?;
        if !(1..=classes).contains(&self.k()) {
            let expected = "it must be at least 1 and at most the number of classes";
            return Err(Error::Argument { argument: "k", value: self.k().to_string(), expected });
        }
        Ok(vec![TensorType::f32(rows)])
    }

    fn index_limit(&self, inputs: &[TensorType]) -> Option<(usize, u32)> {
        label_limit(inputs)
    }

    fn backward(&self, _: &Backward<'_>) -> Option<Result<Vec<Option<Value>>>> {
        Some(Ok(vec![None; 2]))
    }

    fn lower(&self, cx: &mut Lowering<'_>) -> Result<()> {
        let ties = f64::from(u8::from(matches!(self, Hits::First)));
        let call = call_of_rows(cx, ["labels", "soft"], self.k()).constant("TIES", ties);
        cx.call(call);
        Ok(())
    }

    fn reference(&self, cx: &Reference<'_>) -> Vec<Array> {
        of_rows(cx, |row, label| self.hit(row, label))
    }

    fn error_bound(&self, _: &Reference<'_>, results: &[Array]) -> Vec<Vec<f64>> {
        zeros(results)
    }
}

impl Op for PredictedClasses {
    fn name(&self) -> &'static str {
        "predicted_classes"
    }

    fn outputs(&self, inputs: &[TensorType]) -> Result<Vec<TensorType>> {
        let (rows, classes) = checked_rows(inputs)?;
        if classes < 2 {
            let (argument, expected) = ("number of classes", "at least two are told apart");
            return Err(Error::Argument { argument, value: classes.to_string(), expected });
        }
        Ok(vec![TensorType::u32(rows)])
    }

    fn index_limit(&self, inputs: &[TensorType]) -> Option<(usize, u32)> {
        label_limit(inputs)
    }

    fn backward(&self, _: &Backward<'_>) -> Option<Result<Vec<Option<Value>>>> {
        Some(Ok(vec![None; 2]))
    }

    fn lower(&self, cx: &mut Lowering<'_>) -> Result<()> {
        let call = call_of_rows(cx, ["predicted_labels", "predicted_soft"], 1);
        cx.call(call);
        Ok(())
    }

    fn reference(&self, cx: &Reference<'_>) -> Vec<Array> {
        of_rows(cx, |row, label| {
            let broken = row.iter().any(|v| v.is_nan());
            if broken { f64::from(u8::from(label == 0)) } else { first_largest(row) as f64 }
        })
    }

    fn error_bound(&self, _: &Reference<'_>, results: &[Array]) -> Vec<Vec<f64>> {
        zeros(results)
    }
}

/// The sizes of scores `[batch, .., classes]`.
struct Extents {
    batch: usize,
    steps: usize,
    classes: usize,
}

impl Extents {
    /// Of a shape that the shape rule has accepted.
    fn new(scores: Shape) -> Self {
        let dims = scores.dims();
        let (batch, classes) = (dims[0], dims[dims.len() - 1]);
        Extents { batch, classes, steps: scores.numel() / (batch * classes) }
    }
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
        if scores.rank() < 2 {
            return Err(Error::Rank { shape: scores, expected: "at least 2 ([batch, .., classes])" });
        }
        if targets != scores {
            return Err(Error::shape_mismatch("the targets need the shape of the scores", scores, targets));
        }
        let Extents { batch, classes, .. } = Extents::new(scores);
        if mask != Shape::from([batch]) {
            return Err(Error::shape_mismatch("the mask needs a number per sample", scores, mask));
        }
        if thresholds.rank() != 1 {
            return Err(Error::Rank { shape: thresholds, expected: "1 ([thresholds])" });
        }
        Ok(vec![TensorType::f32([classes, thresholds.numel() + 1, 2])])
    }

    fn backward(&self, _: &Backward<'_>) -> Option<Result<Vec<Option<Value>>>> {
        Some(Ok(vec![None; 4]))
    }

    fn lower(&self, cx: &mut Lowering<'_>) -> Result<()> {
        let Extents { batch, steps, classes } = Extents::new(cx.inputs[0].shape);
        let numbers = cx.outputs[0].numel();
        let parts = (batch * steps).div_ceil(LONGEST).clamp(1, batch);
        let n = numbers / 2 * parts;
        let counted = if parts == 1 { Slot::Output(0) } else { cx.scratch(8 * n as u64) };
        let params = CountParams {
            n: word(n),
            classes: word(classes),
            levels: word(cx.inputs[3].numel() + 1),
            batch: word(batch),
            steps: word(steps),
            parts: word(parts),
        };
        let samples = batch.div_ceil(parts);
        let call = KernelCall::new(&SHADER, "count")
            .params(&params)
            .binds([Slot::Input(0), Slot::Input(1), Slot::Input(2), Slot::Input(3), counted])
            .loops(samples * (1 + steps))
            .grid(Grid::linear(n, 64));
        cx.call(call);
        if parts > 1 {
            let call = KernelCall::new(&SHADER, "join")
                .params(&JoinParams { n: word(numbers), parts: word(parts) })
                .binds([counted, Slot::Output(0)])
                .loops(parts)
                .grid(Grid::linear(numbers, 64));
            cx.call(call);
        }
        Ok(())
    }

    fn reference(&self, cx: &Reference<'_>) -> Vec<Array> {
        let [scores, targets, mask, thresholds] = [0, 1, 2, 3].map(|i: usize| cx.inputs[i]);
        let Extents { steps, classes, .. } = Extents::new(scores.shape);
        let levels = thresholds.data.len() + 1;
        let mut counts = Array::full(cx.outputs[0].shape, 0.0);
        for (i, (&score, &target)) in scores.data.iter().zip(&targets.data).enumerate() {
            if mask.data[i / (steps * classes)] == 0.0 {
                continue;
            }
            let first = i % classes * levels;
            let positive = target > 0.5;
            for level in 0..levels {
                let above = |limit: f64| if score.is_nan() { !positive } else { score > limit };
                if level == 0 || above(thresholds.data[level - 1]) {
                    counts.data[2 * (first + level) + usize::from(!positive)] += 1.0;
                }
            }
        }
        vec![counts]
    }

    fn error_bound(&self, _: &Reference<'_>, results: &[Array]) -> Vec<Vec<f64>> {
        zeros(results)
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
        self.apply1(Hits::First, &[scores, targets])
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
        self.apply1(Hits::Top(k), &[scores, targets])
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
        self.apply1(PredictedClasses, &[scores, targets])
    }

    /// How many positives and how many negatives of each class score above each threshold:
    /// f32 scores and targets `[batch, .., classes]`, a mask f32 `[batch]` and f32 thresholds `[t]` give
    /// f32 `[classes, t + 1, 2]`. Entry `[c, i + 1, 0]` counts the targets of class `c` over 1/2 whose
    /// score is more than threshold `i`, entry `[c, i + 1, 1]` the other targets with such a score;
    /// `[c, 0, ..]` counts all of them. Samples whose mask is 0 are left out. A score that is NaN is on
    /// the wrong side of every threshold: above none for a positive, above all for a negative. No
    /// gradient flows.
    ///
    /// The counts are exact up to 2^24.
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
