//! The recurrence of all steps as one operator, given the input's products, and its gradient.

use super::compute;
use super::kernels;
use super::reference::{self, Jitter};
use super::{Cell, CellActivation, Extents, GruReset, RecurrentOptions, RecurrentRoute, RecurrentWeights};
use crate::ops::common::*;

/// An operand of few numbers, which not every recurrence has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Part {
    Bias,
    Hidden,
    Cell,
    Mask,
    Peepholes,
    /// Which steps of each sequence are none of its padding.
    Steps,
    /// The gradient of the states after the last step.
    Last,
}

impl Part {
    /// Those that a recurrence is given, in the order of the operator's inputs.
    pub fn given(weights: &RecurrentWeights, options: &RecurrentOptions) -> Vec<(Part, Value)> {
        let mut initial = options.initial.iter().copied();
        let parts = [
            (Part::Bias, weights.bias),
            (Part::Hidden, initial.next()),
            (Part::Cell, initial.next()),
            (Part::Mask, options.recurrent_mask),
            (Part::Peepholes, weights.peepholes),
            (Part::Steps, options.mask),
        ];
        parts.into_iter().filter_map(|(part, value)| Some((part, value?))).collect()
    }
}

/// What a recurrence computes, apart from its sizes.
#[derive(Clone, Debug)]
pub(super) struct Spec {
    pub cell: Cell,
    pub activation: CellActivation,
    pub gate: CellActivation,
    pub reverse: bool,
    /// Steps after which the gradient's way back is cut; 0 for never.
    pub truncate: usize,
    pub route: RecurrentRoute,
    /// The operands there are besides the products and the weight, in this order.
    pub parts: Vec<Part>,
}

impl Spec {
    fn attributes(&self) -> String {
        let is_gated = self.cell != Cell::Simple && self.gate != CellActivation::Sigmoid;
        let given = [
            (self.cell == Cell::Gru(GruReset::Before), "reset before".to_owned()),
            (self.activation != CellActivation::Tanh, format!("activation={:?}", self.activation)),
            (is_gated, format!("recurrent_activation={:?}", self.gate)),
            (self.reverse, "reverse".to_owned()),
            (self.truncate > 0, format!("truncate={}", self.truncate)),
        ];
        let given = given.into_iter().filter_map(|(is_given, text)| is_given.then_some(text));
        let parts = self.parts.iter().map(|part| format!("{part:?}").to_lowercase());
        given.chain(parts).collect::<Vec<_>>().join(", ")
    }

    pub fn has(&self, part: Part) -> bool {
        self.parts.contains(&part)
    }

    /// Numbers of a unit and step that the way back needs besides h: 0 for none.
    pub fn saved(&self) -> usize {
        match self.cell {
            Cell::Simple => 0,
            Cell::Gru(GruReset::Before) => 4,
            Cell::Lstm | Cell::Gru(GruReset::After) => 5,
        }
    }

    /// Operands of the product with the recurrent weight: h, and `r h` beside it where the reset gate
    /// acts before the product.
    pub fn previous(&self) -> usize {
        if self.cell == Cell::Gru(GruReset::Before) { 2 } else { 1 }
    }

    /// Whether the products of input and recurrence have gradients of their own.
    pub fn splits(&self) -> bool {
        self.cell == Cell::Gru(GruReset::After)
    }
}

/// `y`, the last states, the operands of the products, and what else the way back needs; inputs: the
/// input's products `[batch, time, gates * hidden]`, the recurrent weight, then the parts.
#[derive(Clone, Debug)]
pub(in crate::ops) struct Recur(Spec);

/// The gradients of [`Recur`]'s products: inputs the recurrent weight, what was saved, the
/// gradient of `y` if there is one, then the parts.
#[derive(Clone, Debug)]
pub(super) struct RecurGrad {
    pub spec: Spec,
    pub has_dy: bool,
    /// Whether the gradient of the states before the first step is wanted.
    pub initial: bool,
}

/// Batch, time and hidden units of an operand `[batch, time, count * hidden]`.
fn extents(shape: Shape, count: usize) -> Extents {
    let dims = shape.dims();
    Extents { batch: dims[0], time: dims[1], hidden: dims[2] / count }
}

impl Recur {
    /// The function whose results the outputs are, or parts of.
    pub(in crate::ops) fn activation(&self) -> CellActivation {
        self.0.activation
    }

    /// Records the operator; returns `y` and the last states as one value.
    #[track_caller]
    pub fn record(
        g: &Graph,
        cell: Cell,
        xw: Value,
        weights: &RecurrentWeights,
        options: &RecurrentOptions,
    ) -> Result<Vec<Value>> {
        let (parts, values): (Vec<Part>, Vec<Value>) = Part::given(weights, options).into_iter().unzip();
        let &RecurrentOptions { activation, recurrent_activation: gate, reverse, route, .. } = options;
        let truncate = options.truncate.unwrap_or(0);
        let spec = Spec { cell, activation, gate, reverse, truncate, route, parts };
        g.apply(Recur(spec), &[vec![xw, weights.recurrent], values].concat())
    }

    fn extents(&self, products: Shape) -> Extents {
        extents(products, self.0.cell.gates())
    }

    fn part(&self, part: Part) -> Option<usize> {
        self.0.parts.iter().position(|&p| p == part).map(|at| 2 + at)
    }

    fn gradients(&self, cx: &Backward<'_>) -> Result<Vec<Option<Value>>> {
        let (g, spec) = (cx.graph, &self.0);
        let wants = |part: Part| self.part(part).is_some_and(|at| cx.needs[at]);
        let recorded = if spec.saved() > 0 { cx.outputs[3] } else { cx.outputs[0] };
        let mut inputs = vec![cx.inputs[1], recorded];
        inputs.extend(cx.grads[0]);
        let mut parts = Vec::new();
        for (at, &part) in spec.parts.iter().enumerate() {
            if matches!(part, Part::Cell | Part::Mask | Part::Peepholes | Part::Steps) {
                parts.push(part);
                inputs.push(cx.inputs[2 + at]);
            }
        }
        if let Some(last) = cx.grads[1] {
            parts.push(Part::Last);
            inputs.push(last);
        }
        let initial = wants(Part::Hidden) || wants(Part::Cell);
        let op = RecurGrad { spec: Spec { parts, ..spec.clone() }, has_dy: cx.grads[0].is_some(), initial };
        let mut outputs = g.apply(op, &inputs)?;
        let states = if initial { outputs.pop() } else { None };
        let (dxw, dhw) = (outputs[0], outputs[outputs.len() - 1]);
        let mut found = vec![None; cx.inputs.len()];
        found[0] = Some(dxw);
        if cx.needs[1] {
            found[1] = Some(self.weight_gradient(cx, dhw)?);
        }
        for (at, &part) in spec.parts.iter().enumerate().filter(|&(at, _)| cx.needs[2 + at]) {
            let state = |number: usize| states.map(|s| one_of(g, s, number)).transpose();
            found[2 + at] = match part {
                Part::Bias => Some(self.bias_gradient(cx, dxw, dhw)?),
                Part::Hidden => state(0)?,
                Part::Cell => state(1)?,
                Part::Peepholes => Some(self.peephole_gradient(cx, dxw)?),
                Part::Mask | Part::Steps | Part::Last => None,
            };
        }
        Ok(found)
    }

    /// One product over all steps of all sequences.
    fn weight_gradient(&self, cx: &Backward<'_>, dhw: Value) -> Result<Value> {
        let g = cx.graph;
        let (previous, slopes) = (g.shape_of(cx.outputs[2]), g.shape_of(dhw));
        let rows = previous.dims()[0] * previous.dims()[1];
        let (width, columns) = (previous.dims()[2], slopes.dims()[2]);
        let previous = g.reshape(cx.outputs[2], [rows, width])?;
        let slopes = g.reshape(dhw, [rows, columns])?;
        if self.0.previous() == 1 {
            return g.matmul_with(previous, slopes, true, false);
        }
        // The candidate's operand is another one than the gates'.
        let hidden = width / 2;
        let product = |operand: std::ops::Range<usize>, of: std::ops::Range<usize>| {
            let (a, b) = (g.slice_axis(previous, 1, operand)?, g.slice_axis(slopes, 1, of)?);
            g.matmul_with(a, b, true, false)
        };
        let gates = product(0..hidden, 0..2 * hidden)?;
        let candidate = product(hidden..width, 2 * hidden..3 * hidden)?;
        g.concat(&[gates, candidate], 1)
    }

    fn bias_gradient(&self, cx: &Backward<'_>, dxw: Value, dhw: Value) -> Result<Value> {
        let g = cx.graph;
        let input = g.sum(dxw, &[0, 1], false)?;
        if !self.0.splits() {
            return Ok(input);
        }
        let recurrent = g.sum(dhw, &[0, 1], false)?;
        let columns = g.shape_of(input).numel();
        g.reshape(g.concat(&[input, recurrent], 0)?, [2, columns])
    }

    /// Of i and f with the cell before the step, of o with the one after it.
    fn peephole_gradient(&self, cx: &Backward<'_>, dxw: Value) -> Result<Value> {
        let g = cx.graph;
        let Extents { batch, time, hidden } = extents(g.shape_of(dxw), 4);
        let columns = |of: Value, from: usize| g.slice_axis(of, 2, from * hidden..(from + 1) * hidden);
        let after = columns(cx.outputs[3], 4)?;
        let first = match self.part(Part::Cell) {
            Some(at) => g.reshape(cx.inputs[at], [batch, 1, hidden])?,
            None => g.broadcast_to(g.scalar_constant(0.0), [batch, 1, hidden])?,
        };
        let before = match (time, self.0.reverse) {
            (1, _) => first,
            (_, false) => g.concat(&[first, g.slice_axis(after, 1, 0..time - 1)?], 1)?,
            (_, true) => g.concat(&[g.slice_axis(after, 1, 1..time)?, first], 1)?,
        };
        let with = |gate: usize, cell: Value| {
            let sum = g.sum(g.mul(columns(dxw, gate)?, cell)?, &[0, 1], false)?;
            g.reshape(sum, [1, hidden])
        };
        g.concat(&[with(0, before)?, with(1, before)?, with(3, after)?], 0)
    }
}

/// One of several states `[count, batch, hidden]`.
pub(super) fn one_of(g: &Graph, states: Value, number: usize) -> Result<Value> {
    let shape = g.shape_of(states);
    let dims = shape.dims();
    let one = if dims[0] == 1 { states } else { g.slice_axis(states, 0, number..number + 1)? };
    g.reshape(one, [dims[1], dims[2]])
}

impl Op for Recur {
    fn name(&self) -> &'static str {
        self.0.cell.name()
    }

    fn attributes(&self) -> String {
        self.0.attributes()
    }

    fn outputs(&self, inputs: &[TensorType]) -> Result<Vec<TensorType>> {
        let Extents { batch, time, hidden } = self.extents(inputs[0].shape);
        let mut outputs = vec![
            TensorType::f32([batch, time, hidden]),
            TensorType::f32([self.0.cell.states(), batch, hidden]),
            TensorType::f32([batch, time, self.0.previous() * hidden]),
        ];
        if self.0.saved() > 0 {
            outputs.push(TensorType::f32([batch, time, self.0.saved() * hidden]));
        }
        Ok(outputs)
    }

    fn multiply_adds(&self, inputs: &[TensorType], _: &[TensorType]) -> u64 {
        let Extents { batch, time, .. } = extents(inputs[0].shape, 1);
        (batch as u64 * time as u64).saturating_mul(inputs[1].shape.numel() as u64)
    }

    fn backward(&self, cx: &Backward<'_>) -> Option<Result<Vec<Option<Value>>>> {
        Some(self.gradients(cx))
    }

    fn lower(&self, cx: &mut Lowering<'_>) -> Result<()> {
        kernels::forward(cx, &self.0, self.extents(cx.inputs[0].shape));
        Ok(())
    }

    fn reference(&self, cx: &Reference<'_>) -> Vec<Array> {
        let extents = self.extents(cx.inputs[0].shape);
        reference::forward(&self.0, extents, &cx.inputs, cx.outputs, Jitter::default())
    }

    fn reference_scratch(&self, inputs: &[TensorType], outputs: &[TensorType]) -> u64 {
        reference::scratch(self.extents(inputs[0].shape), outputs)
    }

    fn routine(&self, inputs: &[TensorType], _: &[TensorType]) -> Option<Routine> {
        let (spec, extents) = (self.0.clone(), self.extents(inputs[0].shape));
        Some(Box::new(move |cx| compute::forward(&spec, extents, cx)))
    }

    fn error_bound(&self, cx: &Reference<'_>, results: &[Array]) -> Vec<Vec<f64>> {
        let extents = self.extents(cx.inputs[0].shape);
        let run = |jitter| reference::forward(&self.0, extents, &cx.inputs, cx.outputs, jitter);
        reference::bounds(results, extents.hidden, run)
    }
}

impl RecurGrad {
    fn extents(&self, recorded: Shape) -> Extents {
        extents(recorded, self.spec.saved().max(1))
    }
}

impl Op for RecurGrad {
    fn name(&self) -> &'static str {
        match self.spec.cell {
            Cell::Simple => "simple_rnn_grad",
            Cell::Lstm => "lstm_grad",
            Cell::Gru(_) => "gru_grad",
        }
    }

    fn attributes(&self) -> String {
        self.spec.attributes()
    }

    fn outputs(&self, inputs: &[TensorType]) -> Result<Vec<TensorType>> {
        let Extents { batch, time, hidden } = self.extents(inputs[1].shape);
        let products = TensorType::f32([batch, time, self.spec.cell.gates() * hidden]);
        let mut outputs = vec![products; 1 + usize::from(self.spec.splits())];
        if self.initial {
            outputs.push(TensorType::f32([self.spec.cell.states(), batch, hidden]));
        }
        Ok(outputs)
    }

    /// The gradients of a step's gates by the weight are that of the state before it: of none before the first, unless
    /// the gradient of the initial state is wanted.
    fn multiply_adds(&self, inputs: &[TensorType], _: &[TensorType]) -> u64 {
        let Extents { batch, time, .. } = self.extents(inputs[1].shape);
        let steps = time - usize::from(!self.initial);
        (batch as u64 * steps as u64).saturating_mul(inputs[0].shape.numel() as u64)
    }

    fn lower(&self, cx: &mut Lowering<'_>) -> Result<()> {
        kernels::backward(cx, self, self.extents(cx.inputs[1].shape));
        Ok(())
    }

    fn reference(&self, cx: &Reference<'_>) -> Vec<Array> {
        let extents = self.extents(cx.inputs[1].shape);
        reference::backward(self, extents, &cx.inputs, cx.outputs, Jitter::default())
    }

    fn reference_scratch(&self, inputs: &[TensorType], outputs: &[TensorType]) -> u64 {
        reference::scratch(self.extents(inputs[1].shape), outputs)
    }

    fn routine(&self, inputs: &[TensorType], _: &[TensorType]) -> Option<Routine> {
        let (op, extents) = (self.clone(), self.extents(inputs[1].shape));
        Some(Box::new(move |cx| compute::backward(&op, extents, cx)))
    }

    fn error_bound(&self, cx: &Reference<'_>, results: &[Array]) -> Vec<Vec<f64>> {
        let extents = self.extents(cx.inputs[1].shape);
        let run = |jitter| reference::backward(self, extents, &cx.inputs, cx.outputs, jitter);
        reference::bounds(results, extents.hidden, run)
    }
}
