//! Chains: elementwise operators in one kernel, so that what passes between them is never stored. They are
//! put together when a tape is fused; programs do not record them.
//!
//! The kernel is assembled from calls of the functions in `elementwise.wgsl`.

mod access;
mod cases;
mod compute;
mod source;

use std::any::Any;
use std::ops::Range;

use super::common::*;
use super::merged::title;
use super::pointwise::Pointwise;
use crate::graph::Node;
use crate::kernel::Scalar;
use access::{Access, Way};
pub(super) use compute::{View, map, map_pair, pointwise};

crate::params! {
    /// What the operands that are stretched are divided by, and per-step scalars.
    struct ChainParams {
        span_0: [u32; 2], span_1: [u32; 2], span_2: [u32; 2], span_3: [u32; 2], span_4: [u32; 2], span_5: [u32; 2],
        scalar_0: f32, scalar_1: f32, scalar_2: f32, scalar_3: f32,
        n: u32, unused: u32,
    }
}

/// The fields for per-step scalars.
const SCALARS: [&str; 4] = ["scalar_0", "scalar_1", "scalar_2", "scalar_3"];

/// How many operands of a chain may be stretched.
const SPANS: usize = 6;

/// What a member of a chain reads.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Operand {
    /// An input of the chain.
    Input(usize),
    /// The result of an earlier member.
    Member(usize),
    /// A constant.
    Number(f32),
    /// A per-step scalar.
    Scalar(Scalar),
}

/// An operator of a chain.
#[derive(Clone, Debug)]
pub(crate) struct Member {
    /// As it was recorded.
    pub node: Node,
    /// What it does.
    pub does: Pointwise,
    /// What it reads, each with the shape that it has for it.
    pub operands: Vec<(Operand, Shape)>,
    /// The shape of its result. All members of a chain have as many elements, be they under other shapes.
    pub shape: Shape,
    /// The precision of its result, where that is stored.
    pub dtype: DType,
}

/// Elementwise operators, each on the results of those before it, the first of which may be a head: an
/// operator whose kernels the others become part of. Inputs are what they read from elsewhere, those of the
/// head first, and a random key last if a member draws numbers; outputs the results that are read elsewhere, then
/// what the head makes besides its result.
#[derive(Debug)]
pub(crate) struct Chain {
    members: Vec<Member>,
    /// The members whose results are the outputs.
    outputs: Vec<usize>,
    /// Types of all that the head makes; empty without one.
    head: Vec<TensorType>,
    /// How each of the other inputs is read.
    inputs: Vec<Access>,
    scalars: Vec<Scalar>,
}

impl Chain {
    /// A chain whose inputs, those of the head aside, have these shapes, each with the shape that its readers
    /// stretch it to; `None` if a kernel does not take as much. `head` are the types of what that makes.
    pub fn new(
        members: Vec<Member>,
        outputs: Vec<usize>,
        inputs: &[(Shape, Shape)],
        head: Vec<TensorType>,
    ) -> Option<Chain> {
        let inputs = inputs.iter().map(|&(own, to)| Access::of(own, to)).collect::<Option<Vec<_>>>()?;
        let mut scalars = Vec::new();
        for (operand, _) in members.iter().flat_map(|member| &member.operands) {
            if let &Operand::Scalar(scalar) = operand
                && !scalars.contains(&scalar)
            {
                scalars.push(scalar);
            }
        }
        let spans = inputs.iter().filter(|access| access.divisors().is_some()).count();
        let fits = spans <= SPANS && scalars.len() <= SCALARS.len();
        fits.then_some(Chain { members, outputs, head, inputs, scalars })
    }

    /// Whether a large chain may be worked on in ranges: all inputs are whole or single numbers, and no member
    /// asks for an element's place.
    pub fn has_ranges(&self) -> bool {
        !self.is_random() && self.inputs.iter().all(|access| access.divisors().is_none())
    }

    /// Whether a member draws numbers, by an element's place among all.
    pub fn is_random(&self) -> bool {
        self.members.iter().any(|member| matches!(member.does, Pointwise::Drop(_)))
    }

    /// That of an operator, if it is one.
    pub fn of(op: &dyn Op) -> Option<&Chain> {
        let op: &dyn Any = op;
        op.downcast_ref()
    }

    /// The operators as they were recorded.
    pub fn members(&self) -> &[Member] {
        &self.members
    }

    fn has_head(&self) -> bool {
        !self.head.is_empty()
    }

    /// How many inputs the head has.
    fn head_inputs(&self) -> usize {
        if self.has_head() { self.members[0].operands.len() } else { 0 }
    }

    /// How many inputs there are beside the head's.
    fn bound_inputs(&self) -> usize {
        self.inputs.len() + usize::from(self.is_random())
    }

    /// Goes through the members' references, each on the results of those before it as they would be stored;
    /// `see` is shown each with what it made. Returns the result of each, and what else the head made and
    /// overwrote.
    pub fn walk(
        &self,
        cx: &Reference<'_>,
        mut see: impl FnMut(&Member, &Reference<'_>, &[Array]),
    ) -> (Vec<Array>, Vec<Array>) {
        let mut rest = Vec::new();
        let mut made: Vec<Array> = Vec::with_capacity(self.members.len());
        let mut stored: Vec<Array> = Vec::with_capacity(self.members.len());
        for member in &self.members {
            let operand = |&(operand, shape): &(Operand, Shape)| match operand {
                Operand::Input(input) => Array { shape, ..cx.inputs[input].clone() },
                Operand::Member(member) => Array { shape, ..stored[member].clone() },
                Operand::Number(number) => Array::full(shape, f64::from(number)),
                Operand::Scalar(scalar) => Array::full(shape, f64::from(cx.scalar(scalar) as f32)),
            };
            let operands: Vec<Array> = member.operands.iter().map(operand).collect();
            let types: Vec<TensorType> = operands.iter().map(|array| TensorType::f32(array.shape)).collect();
            let outputs = match member.does {
                Pointwise::Head => self.head.clone(),
                // Results that nobody reads.
                Pointwise::Normalize(..) => member.node.op.outputs(&types).unwrap_or_default(),
                _ => vec![TensorType { shape: member.shape, dtype: member.dtype }],
            };
            let own = Reference { inputs: operands.iter().collect(), outputs: &outputs, scalars: cx.scalars };
            let mut results = member.node.op.reference(&own);
            see(member, &own, &results);
            let others = results.drain(1..);
            rest.extend(others.filter(|_| member.does == Pointwise::Head));
            let result = results.swap_remove(0);
            stored.push(result.map(|x| f64::from(x as f32)));
            made.push(result);
        }
        (made, rest)
    }

    /// How far the results of a member move with operands that are wrong by as much as `errors` of members
    /// allow.
    fn moved(member: &Member, own: &Reference<'_>, result: &Array, errors: &[Vec<f64>]) -> Vec<f64> {
        let mut total = vec![0.0; result.data.len()];
        for (position, (operand, _)) in member.operands.iter().enumerate() {
            let &Operand::Member(source) = operand else { continue };
            let (exact, error) = (own.inputs[position], &errors[source]);
            let mut most = vec![0.0f64; result.data.len()];
            // At either end, where a pole may be between them, and where there may be a number in place of none.
            let towards_zero = |x: f64, e: f64| {
                let is_reached = x.abs() <= e || (x.is_nan() && e == f64::INFINITY);
                if is_reached { 0.0 } else { x }
            };
            for moved in [|x: f64, e: f64| x - e, |x: f64, e: f64| x + e, towards_zero] {
                let shifted = Array::from_fn(exact.shape, |i| moved(exact.data[i], error[i]));
                let mut inputs = own.inputs.clone();
                inputs[position] = &shifted;
                let other = member.node.op.reference(&Reference { inputs, ..*own }).swap_remove(0);
                most.iter_mut()
                    .zip(&other.data)
                    .zip(&result.data)
                    .for_each(|((m, &a), &b)| *m = m.max(apart(a, b)));
            }
            total.iter_mut().zip(most).for_each(|(total, most)| *total += SECOND_ORDER * most);
        }
        total
    }
}

/// What errors of several operands do together, beside what each does alone.
const SECOND_ORDER: f64 = 1.25;

/// How far two numbers are apart; no distance is known between a number and none.
fn apart(a: f64, b: f64) -> f64 {
    let distance = (a - b).abs();
    match () {
        () if a == b || (a.is_nan() && b.is_nan()) => 0.0,
        () if distance.is_nan() => f64::INFINITY,
        () => distance,
    }
}

impl Op for Chain {
    fn name(&self) -> &'static str {
        "chain"
    }

    fn attributes(&self) -> String {
        self.members.iter().map(|member| title(member.node.op.as_ref())).collect::<Vec<_>>().join(" ")
    }

    fn outputs(&self, _: &[TensorType]) -> Result<Vec<TensorType>> {
        let ty = |member: &Member| TensorType { shape: member.shape, dtype: member.dtype };
        let results = self.outputs.iter().map(|&member| ty(&self.members[member]));
        Ok(results.chain(self.head.iter().skip(1).copied()).collect())
    }

    fn mutates(&self) -> &[usize] {
        // The inputs of the head come first.
        if self.has_head() { self.members[0].node.op.mutates() } else { &[] }
    }

    fn packs(&self) -> Vec<Range<usize>> {
        if self.has_head() { self.members[0].node.op.packs() } else { Vec::new() }
    }

    fn multiply_adds(&self, inputs: &[TensorType], _: &[TensorType]) -> u64 {
        if !self.has_head() {
            return 0;
        }
        self.members[0].node.op.multiply_adds(&inputs[..self.head_inputs()], &self.head)
    }

    fn in_place(&self, _: &[TensorType]) -> Vec<usize> {
        if self.has_head() {
            return Vec::new();
        }
        (0..self.inputs.len()).filter(|&input| self.inputs[input].way() == Way::Full).collect()
    }

    fn lower(&self, cx: &mut Lowering<'_>) -> Result<()> {
        if self.has_head() { self.lower_head(cx) } else { cx.only(self.call(cx, cx.in_place)) }
    }

    fn reference(&self, cx: &Reference<'_>) -> Vec<Array> {
        let (made, rest) = self.walk(cx, |_, _, _| ());
        self.outputs.iter().map(|&member| made[member].clone()).chain(rest).collect()
    }

    fn routine(&self, inputs: &[TensorType], _: &[TensorType]) -> Option<Routine> {
        self.computed(inputs)
    }

    fn error_bound(&self, cx: &Reference<'_>, _: &[Array]) -> Vec<Vec<f64>> {
        let mut errors: Vec<Vec<f64>> = Vec::with_capacity(self.members.len());
        let mut rest = Vec::new();
        self.walk(cx, |member, own, results| {
            let mut bounds = member.node.op.error_bound(own, results);
            let others = bounds.drain(1..);
            rest.extend(others.filter(|_| member.does == Pointwise::Head));
            let mut bound = bounds.swap_remove(0);
            let moved = Self::moved(member, own, &results[0], &errors);
            // A bound of what is NaN may be NaN itself.
            let widened = |bound: f64, moved: f64| if moved == f64::INFINITY { moved } else { bound + moved };
            bound.iter_mut().zip(moved).for_each(|(bound, moved)| *bound = widened(*bound, moved));
            // What a kernel of the head's own makes is stored as the result is, before the rest is done.
            if member.does == Pointwise::Head {
                let dtype = self.members[self.outputs[0]].dtype;
                bound.iter_mut().zip(&results[0].data).for_each(|(b, &x)| *b += dtype.storing_error(x, *b));
            }
            errors.push(bound);
        });
        self.outputs.iter().map(|&member| errors[member].clone()).chain(rest).collect()
    }
}

impl Chain {
    /// The kernel of its own, with what is in output 0's buffer already: an input, or the head's result.
    fn call(&self, cx: &Lowering<'_>, in_place: Option<usize>) -> KernelCall {
        let mut spans = self.inputs.iter().filter_map(|access| access.divisors());
        let mut span = || spans.next().unwrap_or_default().map(word);
        let [span_0, span_1, span_2, span_3, span_4, span_5] = std::array::from_fn(|_| span());
        let n = cx.outputs[0].numel().div_ceil(4);
        let params = ChainParams {
            span_0,
            span_1,
            span_2,
            span_3,
            span_4,
            span_5,
            scalar_0: 0.0,
            scalar_1: 0.0,
            scalar_2: 0.0,
            scalar_3: 0.0,
            n: word(n),
            unused: 0,
        };
        let inputs = (0..self.bound_inputs()).filter(|&input| Some(input) != in_place);
        let inputs = inputs.map(|input| Slot::Input(self.head_inputs() + input));
        let call = KernelCall::new(self.shader(in_place), "main")
            .params(&params)
            .binds(inputs.chain((0..self.outputs.len()).map(Slot::Output)));
        let call =
            SCALARS.into_iter().zip(&self.scalars).fold(call, |call, (field, &s)| call.scalar(field, s));
        if self.has_ranges() { call.elementwise("n", n, 4) } else { call.grid(Grid::linear(n, 64)) }
    }

    /// The head's kernels, the last of which does the rest before it stores; or if it does not take that,
    /// a kernel of its own that does it in place.
    fn lower_head(&self, cx: &mut Lowering<'_>) -> Result<()> {
        let mut head = Lowering {
            profile: cx.profile,
            inputs: &cx.inputs[..self.head_inputs()],
            outputs: &self.head,
            in_place: None,
            runs: cx.runs,
            calls: Vec::new(),
            scratch: Vec::new(),
        };
        self.members[0].node.op.lower(&mut head)?;
        head.share(self.members[0].node.op.as_ref());
        let Lowering { mut calls, scratch, .. } = head;
        cx.scratch.extend(scratch);
        for bind in calls.iter_mut().flat_map(|call| &mut call.binds) {
            if let Slot::Output(output @ 1..) = bind.slot {
                bind.slot = Slot::Output(self.outputs.len() + output - 1);
            }
        }
        let stores = |call: &&mut KernelCall| call.binds.iter().any(|bind| bind.slot == Slot::Output(0));
        let mut storing: Vec<&mut KernelCall> = calls.iter_mut().filter(stores).collect();
        let fused = match &mut storing[..] {
            [only] => self.finished(cx, only).map(|call| **only = call).is_some(),
            _ => false,
        };
        calls.into_iter().for_each(|call| cx.call(call));
        if !fused {
            cx.call(self.call(cx, None).multiply_adds(0));
        }
        Ok(())
    }

    /// A call that stores the head's result, with the rest done before that.
    fn finished(&self, cx: &Lowering<'_>, call: &KernelCall) -> Option<KernelCall> {
        let shader = self.finished_shader(call.shader, call.finish?)?;
        let inputs = (0..self.bound_inputs()).map(|input| Slot::Input(self.head_inputs() + input));
        let outputs = (1..self.outputs.len()).map(Slot::Output);
        let mut call = call.clone();
        call.shader = shader;
        let call = call.binds(inputs.chain(outputs));
        (call.binds.len() <= cx.profile.max_storage_buffers as usize).then_some(call)
    }
}
