//! Losses: cross-entropies fused with the softmax or sigmoid before them, and the squared error.
//! Shader: `loss.wgsl`.

mod compute;
mod together;

use super::common::*;
use super::softmax::{Exponentials, Rows, exp_ulps};
use super::unary::sigmoid;

pub(crate) use together::joint_loss;

pub(super) static SHADER: Shader =
    built_in!("loss", "../../../shaders/loss.wgsl", "../../../shaders/workgroup.wgsl");

crate::params! {
    struct RowParams { n: u32, classes: u32, scale: f32 }
}

pub(super) static FAMILY: Family = Family {
    operators: &[
        OperatorInfo::new("softmax_cross_entropy_rows", Gradient::Yes, "f32"),
        OperatorInfo::new("softmax_cross_entropy_grad", Gradient::None, "f32"),
        OperatorInfo::new("sigmoid_binary_cross_entropy_elements", Gradient::Yes, "f32"),
        OperatorInfo::new("sigmoid_binary_cross_entropy_grad", Gradient::None, "f32"),
    ],
    shaders: &[&SHADER],
};

/// The cross-entropy of each row of logits; inputs logits and targets: u32 labels or f32 rows.
#[derive(Clone, Copy, Debug)]
pub(super) struct CrossEntropyRows;

/// Its gradient with respect to the logits; inputs logits, targets and `dy`, a number per row.
#[derive(Clone, Copy, Debug)]
struct CrossEntropyGrad;

/// The cross-entropy of each element with its sigmoid; inputs logits and targets.
#[derive(Clone, Copy, Debug)]
pub(super) struct BinaryElements;

/// Its gradient with respect to the logits; inputs logits, targets and `dy`.
#[derive(Clone, Copy, Debug)]
struct BinaryGrad;

/// The shape of what there is for each row of `[.., classes]` with a target to each row: u32 labels or f32
/// rows. The messages are for another dtype, other labels and other rows.
pub(super) fn targeted_rows(
    inputs: &[TensorType],
    [operand, labels, soft]: [&'static str; 3],
) -> Result<Shape> {
    expect_dtype(operand, inputs[0], DType::F32)?;
    let (shape, targets) = (inputs[0].shape, inputs[1]);
    let Some((_, lead)) = shape.dims().split_last() else {
        return Err(Error::Rank { shape, expected: "at least 1, the classes," });
    };
    let rows = Shape::new(lead)?;
    let (wanted, what) = match targets.dtype {
        DType::U32 => (rows, labels),
        DType::F32 | DType::F16 => (shape, soft),
    };
    Error::agree(targets.shape == wanted, what, shape, targets.shape)?;
    Ok(rows)
}

/// The input that holds labels of rows, and how many classes there are.
pub(super) fn label_limit(inputs: &[TensorType]) -> Option<(usize, u32)> {
    (inputs[1].dtype == DType::U32).then(|| (1, word(rows_of(inputs[0].shape).axis)))
}

/// The rows of logits, of which the shape rule has made sure that they have classes.
fn rows_of(logits: Shape) -> Rows {
    Rows::new(logits, logits.rank() - 1)
}

/// The call of an entry for labels or of one for soft targets, by thread or by workgroup per row.
fn row_call(cx: &Lowering<'_>, labels: [&'static str; 2], soft: [&'static str; 2]) -> KernelCall {
    let rows = rows_of(cx.inputs[0].shape);
    let entries = if cx.inputs[1].dtype == DType::U32 { labels } else { soft };
    let params = RowParams { n: word(rows.n), classes: word(rows.axis), scale: 1.0 };
    rows.call(cx.profile, &SHADER, entries).params(&params)
}

/// The weight of class `i % classes` in the row of flat index `i`, for either kind of target.
fn weights<'a>(targets: &'a Array, logits: Shape) -> impl Fn(usize) -> f64 + Sync + 'a {
    let classes = rows_of(logits).axis;
    let labels = targets.shape != logits;
    move |i| match labels {
        true if (targets.data[i / classes] as usize).min(classes - 1) == i % classes => 1.0,
        true => 0.0,
        false => targets.data[i],
    }
}

impl Op for CrossEntropyRows {
    fn name(&self) -> &'static str {
        "softmax_cross_entropy_rows"
    }

    fn outputs(&self, inputs: &[TensorType]) -> Result<Vec<TensorType>> {
        let messages = [
            "the logits operand",
            "u32 labels need the shape of the logits without the last axis",
            "f32 targets need the shape of the logits",
        ];
        let rows = targeted_rows(inputs, messages)?;
        Ok(vec![TensorType::f32(rows)])
    }

    fn index_limit(&self, inputs: &[TensorType]) -> Option<(usize, u32)> {
        label_limit(inputs)
    }

    fn backward(&self, cx: &Backward<'_>) -> Option<Result<Vec<Option<Value>>>> {
        let (g, x, t, dy) = (cx.graph, cx.inputs[0], cx.inputs[1], cx.grad());
        Some(cx.needed(|input| {
            if input == 0 {
                return g.apply1(CrossEntropyGrad, &[x, t, dy]);
            }
            let shape = g.shape_of(x);
            let dy = g.reshape(dy, shape.with_dim(shape.rank() - 1, 1))?;
            g.neg(g.mul(g.log_softmax(x, -1)?, dy)?)
        }))
    }

    fn lower(&self, cx: &mut Lowering<'_>) -> Result<()> {
        let call = row_call(cx, ["labels_lanes", "labels_tree"], ["soft_lanes", "soft_tree"]);
        cx.only(call.binds(cx.operands()))
    }

    fn reference(&self, cx: &Reference<'_>) -> Vec<Array> {
        let x = cx.inputs[0];
        let (rows, t) = (rows_of(x.shape), weights(cx.inputs[1], x.shape));
        let of = Exponentials::new(x, rows);
        // A class without weight counts nothing, even where its logit is -inf.
        let loss = |i: usize| of.sum[rows.row_of(i)].ln() - of.shifted(i);
        let term = |i: usize| if t(i) == 0.0 { 0.0 } else { t(i) * loss(i) };
        vec![Array::new(cx.outputs[0].shape, rows.sum(term))]
    }

    fn reference_scratch(&self, inputs: &[TensorType], _: &[TensorType]) -> u64 {
        16 * rows_of(inputs[0].shape).n as u64
    }

    fn routine(&self, inputs: &[TensorType], _: &[TensorType]) -> Option<Routine> {
        let (classes, labels) = (rows_of(inputs[0].shape).axis, inputs[1].dtype == DType::U32);
        Some(Box::new(move |cx| compute::rows(classes, labels, cx)))
    }

    fn error_bound(&self, cx: &Reference<'_>, _: &[Array]) -> Vec<Vec<f64>> {
        let x = cx.inputs[0];
        let (rows, t) = (rows_of(x.shape), weights(cx.inputs[1], x.shape));
        let of = Exponentials::new(x, rows);
        let log_ulps = of.log_ulps();
        // Soft targets add a product per class and a chain of additions.
        let soft = if cx.inputs[1].shape == x.shape { 0.5 + 0.5 * rows.chain() } else { 0.0 };
        let term = |i: usize| {
            if t(i) == 0.0 {
                return 0.0;
            }
            let (row, shifted) = (rows.row_of(i), of.shifted(i));
            let loss = of.sum[row].ln() - shifted;
            let error = log_ulps[row] + 0.5 * shifted.abs() + (0.5 + soft) * loss;
            let flushed = if soft > 0.0 { 1.0 + loss + t(i).abs() } else { t(i) };
            t(i).abs() * error * EPS + flushed * FLUSH
        };
        vec![rows.sum(term)]
    }
}

impl Op for CrossEntropyGrad {
    fn name(&self) -> &'static str {
        "softmax_cross_entropy_grad"
    }

    fn outputs(&self, inputs: &[TensorType]) -> Result<Vec<TensorType>> {
        Ok(vec![inputs[0]])
    }

    fn lower(&self, cx: &mut Lowering<'_>) -> Result<()> {
        let (labels, soft) =
            (["labels_grad_lanes", "labels_grad_tree"], ["soft_grad_lanes", "soft_grad_tree"]);
        cx.only(row_call(cx, labels, soft).binds(cx.operands()))
    }

    fn reference(&self, cx: &Reference<'_>) -> Vec<Array> {
        let (x, dy) = (cx.inputs[0], &cx.inputs[2].data);
        let (rows, t) = (rows_of(x.shape), weights(cx.inputs[1], x.shape));
        let of = Exponentials::new(x, rows);
        let total = rows.sum(&t);
        let slope = |i: usize| {
            let row = rows.row_of(i);
            let softmax = of.shifted(i).exp() / of.sum[row];
            (softmax * total[row] - t(i)) * dy[row]
        };
        vec![Array::from_fn(x.shape, slope)]
    }

    fn reference_scratch(&self, inputs: &[TensorType], _: &[TensorType]) -> u64 {
        24 * rows_of(inputs[0].shape).n as u64
    }

    fn routine(&self, inputs: &[TensorType], _: &[TensorType]) -> Option<Routine> {
        let (classes, labels) = (rows_of(inputs[0].shape).axis, inputs[1].dtype == DType::U32);
        Some(Box::new(move |cx| compute::rows_back(classes, labels, cx)))
    }

    fn error_bound(&self, cx: &Reference<'_>, _: &[Array]) -> Vec<Vec<f64>> {
        let (x, dy) = (cx.inputs[0], &cx.inputs[2].data);
        let (rows, t) = (rows_of(x.shape), weights(cx.inputs[1], x.shape));
        let of = Exponentials::new(x, rows);
        let (ulps, total) = (of.ulps(), rows.sum(|i| t(i).abs()));
        // The sum of soft targets is a chain of additions; that of a label is 1.
        let soft = cx.inputs[1].shape == x.shape;
        let (chain, hidden) = if soft { (0.5 * rows.chain(), rows.axis as f64) } else { (0.0, 0.0) };
        let bound = |i: usize| {
            let (row, shifted) = (rows.row_of(i), of.shifted(i));
            let (softmax, t, dy) = (shifted.exp() / of.sum[row], t(i).abs(), dy[row].abs());
            let share = softmax * total[row];
            // The exponential, the quotient (2.5 units) and the product; then difference and product.
            let ulps = if share > 0.0 { exp_ulps(shifted) + ulps[row] + chain + 3.0 } else { 0.0 };
            let error = ulps * share + share + t;
            let flushed = 1.0 + share + t + dy * (2.0 + total[row] + hidden * softmax);
            error * dy * EPS + flushed * FLUSH
        };
        vec![(0..x.data.len()).map(bound).collect()]
    }
}

/// Adds a call over vectors of four, with all inputs bound in order.
fn lower_binary(cx: &mut Lowering<'_>, entry: &'static str) -> Result<()> {
    let n = cx.outputs[0].numel().div_ceil(4);
    let call = KernelCall::new(&SHADER, entry).params(&Length { n: word(n) }).grid(Grid::linear(n, 64));
    cx.only(call.binds(cx.operands()))
}

impl Op for BinaryElements {
    fn name(&self) -> &'static str {
        "sigmoid_binary_cross_entropy_elements"
    }

    fn outputs(&self, inputs: &[TensorType]) -> Result<Vec<TensorType>> {
        expect_dtype("the logits operand", inputs[0], DType::F32)?;
        expect_dtype("the targets operand", inputs[1], DType::F32)?;
        same_shape("the targets need the shape of the logits", inputs[0].shape, inputs[1].shape)?;
        Ok(vec![inputs[0]])
    }

    fn backward(&self, cx: &Backward<'_>) -> Option<Result<Vec<Option<Value>>>> {
        let (g, x, t, dy) = (cx.graph, cx.inputs[0], cx.inputs[1], cx.grad());
        Some(cx.needed(
            |input| if input == 0 { g.apply1(BinaryGrad, &[x, t, dy]) } else { g.neg(g.mul(x, dy)?) },
        ))
    }

    fn lower(&self, cx: &mut Lowering<'_>) -> Result<()> {
        lower_binary(cx, "binary")
    }

    fn reference(&self, cx: &Reference<'_>) -> Vec<Array> {
        let (x, t) = (cx.inputs[0], cx.inputs[1]);
        let loss = |i: usize| {
            let (x, t) = (x.data[i], t.data[i]);
            x.max(0.0) - x * t + (-x.abs()).exp().ln_1p()
        };
        vec![Array::from_fn(x.shape, loss)]
    }

    fn routine(&self, _: &[TensorType], _: &[TensorType]) -> Option<Routine> {
        Some(Box::new(compute::elements))
    }

    fn error_bound(&self, cx: &Reference<'_>, _: &[Array]) -> Vec<Vec<f64>> {
        let pairs = cx.inputs[0].data.iter().zip(&cx.inputs[1].data);
        let bound = |(&x, &t): (&f64, &f64)| {
            // The product and the two sums round; log1p adds six units to those of the exponential.
            let (a, b, c) = (x.max(0.0), (x * t).abs(), (-x.abs()).exp().ln_1p());
            let error = a + 1.5 * b + (10.0 + 2.0 * x.abs()) * c;
            error * EPS + (4.0 + x.abs() + t.abs()) * FLUSH
        };
        vec![pairs.map(bound).collect()]
    }
}

impl Op for BinaryGrad {
    fn name(&self) -> &'static str {
        "sigmoid_binary_cross_entropy_grad"
    }

    fn outputs(&self, inputs: &[TensorType]) -> Result<Vec<TensorType>> {
        Ok(vec![inputs[0]])
    }

    fn lower(&self, cx: &mut Lowering<'_>) -> Result<()> {
        lower_binary(cx, "binary_grad")
    }

    fn reference(&self, cx: &Reference<'_>) -> Vec<Array> {
        let (x, t, dy) = (cx.inputs[0], cx.inputs[1], cx.inputs[2]);
        vec![Array::from_fn(x.shape, |i| (sigmoid(x.data[i]) - t.data[i]) * dy.data[i])]
    }

    fn routine(&self, _: &[TensorType], _: &[TensorType]) -> Option<Routine> {
        Some(Box::new(compute::elements_back))
    }

    fn error_bound(&self, cx: &Reference<'_>, _: &[Array]) -> Vec<Vec<f64>> {
        let (x, t, dy) = (cx.inputs[0], cx.inputs[1], cx.inputs[2]);
        let bound = |i: usize| {
            let (x, t, dy) = (x.data[i].abs(), t.data[i].abs(), dy.data[i].abs());
            let s = sigmoid(cx.inputs[0].data[i]);
            // The exponential counts by the sigmoid's slope; the quotient is granted 2.5 units, the
            // sum in it, the difference and the product half a one each.
            let error = s * (1.0 - s) * (3.0 + 2.0 * x) + 4.0 * s + t;
            error * dy * EPS + (1.0 + s + t + 2.0 * dy) * FLUSH
        };
        vec![(0..x.data.len()).map(bound).collect()]
    }
}

#[cfg(test)]
mod tests {
    use crate::{Device, Error, Graph};

    #[test]
    fn targets_of_another_shape_are_refused() {
        let mut g = Graph::new();
        let x = g.input("x", [4, 3]);
        let (column, row) = (g.input("column", [4, 1]), g.input("row", [4]));
        let (labels, square) = (g.labels("labels", [4, 1]), g.labels("square", [4, 3]));
        let mismatches = [
            g.softmax_cross_entropy(x, labels),
            g.softmax_cross_entropy(x, square),
            g.softmax_cross_entropy(x, column),
            g.softmax_cross_entropy(x, row),
            g.sigmoid_binary_cross_entropy(x, column),
            g.mean_squared_error(column, row),
        ];
        for result in mismatches {
            let error = result.unwrap_err();
            assert!(matches!(error.root(), Error::ShapeMismatch { .. }), "{error}");
        }
        let scalar = g.scalar_constant(1.0);
        assert!(matches!(g.softmax_cross_entropy(scalar, row).unwrap_err().root(), Error::Rank { .. }));
        for result in [g.softmax_cross_entropy(labels, labels), g.sigmoid_binary_cross_entropy(x, square)] {
            assert!(matches!(result.unwrap_err().root(), Error::DTypeMismatch { .. }));
        }
    }

    #[test]
    fn written_labels_are_checked_against_the_classes() {
        let mut g = Graph::new();
        let (x, labels) = (g.input("x", [2, 3]), g.labels("labels", [2]));
        let loss = g.softmax_cross_entropy(x, labels).unwrap();
        let mut session = g.forward([loss]).unwrap().session(&Device::cpu()).unwrap();
        session.write(labels, &[2u32, 0]).unwrap();
        let past = session.write(labels, &[0u32, 3]).unwrap_err();
        assert!(matches!(past, Error::LabelOutOfRange { index: 1, label: 3, limit: 3, .. }), "{past}");
    }
}
