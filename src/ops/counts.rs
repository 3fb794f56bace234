//! Counts that classification metrics are made of. Shader: `counts.wgsl`.

use std::any::Any;
use std::sync::Arc;

use super::common::*;
use super::loss::{label_limit, targeted_rows};
use super::matmul::joined;
use super::merged::Kernels;
use super::reduce::{first_largest, whole_sum};

pub(super) static SHADER: Shader =
    built_in!("counts", "../../shaders/counts.wgsl", "../../shaders/workgroup.wgsl");

crate::params! {
    struct RowParams { n: u32, classes: u32, k: u32, scale: f32 }
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
pub(super) enum OfRows {
    /// Whether the target's class is the first largest.
    First,
    /// Whether it is among the `k` largest.
    Top(usize),
    /// The class that the row is taken for.
    Predicted,
}

/// Positives and negatives above thresholds; inputs scores, targets, mask and thresholds.
#[derive(Clone, Copy, Debug)]
pub(super) struct ThresholdCounts;

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
            DType::F32 | DType::F16 => (soft, 2 * classes),
        };
        let call = KernelCall::new(&SHADER, entry)
            .constant("TIES", f64::from(matches!(self, OfRows::First)))
            .params(&RowParams { n: word(n), classes: word(classes), k: word(self.k()), scale: 1.0 })
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

/// Elements of scores up to which one workgroup judges all rows.
const FEW: usize = 4096;

/// Which rows are judged right, and their sum times a factor.
#[derive(Clone, Copy, Debug)]
struct Hits {
    rows: OfRows,
    scale: f32,
}

/// The kernel of a judgement of rows over operands of these types and of the sum or mean of its results, which
/// are summed up under a shape of their own.
pub(crate) fn joint_hits(
    rows: &dyn Op,
    inputs: &[TensorType],
    (sum, shape): (&dyn Op, Shape),
) -> Option<Arc<dyn Kernels>> {
    let rows: &dyn Any = rows;
    let &rows = rows.downcast_ref::<OfRows>()?;
    let scale = whole_sum(sum, shape).filter(|_| inputs[0].numel() <= FEW)?;
    let counts = !matches!(rows, OfRows::Predicted);
    counts.then(|| Arc::new(Hits { rows, scale }) as Arc<dyn Kernels>)
}

impl Kernels for Hits {
    fn lower(&self, cx: &mut Lowering<'_>) -> Result<bool> {
        let (n, scale) = (cx.outputs[0].numel(), self.scale);
        let classes = cx.inputs[0].numel() / n;
        let entry = if cx.inputs[1].dtype == DType::U32 { "labels_whole" } else { "soft_whole" };
        let call = KernelCall::new(&SHADER, entry)
            .constant("TIES", f64::from(matches!(self.rows, OfRows::First)))
            .params(&RowParams { n: word(n), classes: word(classes), k: word(self.rows.k()), scale })
            .binds([Slot::Input(0), Slot::Input(1), Slot::Output(0), Slot::Output(1)])
            .loops(n.div_ceil(256) * (2 * classes + 1) + 8);
        cx.call(call);
        Ok(true)
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
        joined(cx, [numbers, parts], Slot::Output(0), None, |cx, counts| {
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
