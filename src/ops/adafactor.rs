//! Adafactor's update, whose second moments of a matrix take the memory of a row and a column. Shader:
//! `adafactor.wgsl`.

use std::ops::Range;

use rayon::prelude::*;

use super::update::{Approximate, Number};
use super::{Gradient, Lowering, Op, OperatorInfo, Reference, Run, expect_dtype, word};
use crate::array::Array;
use crate::dtype::DType;
use crate::error::{Error, Result};
use crate::graph::Scalar;
use crate::kernel::{Grid, KernelCall, Shader, Slot};
use crate::shape::{Shape, TensorType};

pub(super) static SHADER: Shader =
    built_in!("adafactor", "../../shaders/adafactor.wgsl", "../../shaders/workgroup.wgsl");

pub(super) const OPERATORS: [OperatorInfo; 2] = [
    OperatorInfo::new("adafactor", Gradient::None, "f32"),
    OperatorInfo::new("adafactor_whole", Gradient::None, "f32"),
];

crate::params! {
    /// The numbers of a rule and what a dispatch works on.
    #[derive(Default)]
    pub(crate) struct AdafactorParams {
        pub first: u32,
        pub alignment: u32,
        pub groups: u32,
        pub updates: u32,
        pub lr: f32,
        pub weight_decay: f32,
        pub decoupled_decay: f32,
        pub beta_2_decay: f32,
        pub epsilon_1: f32,
        pub epsilon_2: f32,
        pub clip_threshold: f32,
        pub relative: u32,
    }
}

/// Threads of a workgroup.
const WORKGROUP: usize = 256;
/// The most parts that a sum over a parameter is made in, so that one workgroup adds them up.
const PARTS: usize = 256;
/// Elements that a thread adds up before there are more parts.
const PART_ELEMENTS: usize = 64;
/// Quads of a step that a thread works on.
const STEP_QUADS: usize = 4;

/// A parameter as `count` matrices, those of its last two dimensions.
#[derive(Clone, Copy, Debug)]
struct Matrices {
    count: usize,
    rows: usize,
    columns: usize,
}

impl Matrices {
    fn new(shape: Shape) -> Self {
        match shape.dims() {
            [outer @ .., rows, columns] => {
                Matrices { count: outer.iter().product(), rows: *rows, columns: *columns }
            }
            dims => Matrices { count: 1, rows: 1, columns: dims.iter().product() },
        }
    }

    fn numel(&self) -> usize {
        self.count * self.rows * self.columns
    }

    /// Threads that share the sum of a row: a power of two, for up to 64 elements each while there are enough.
    fn row_lanes(&self) -> usize {
        self.columns.div_ceil(64).next_power_of_two().min(WORKGROUP)
    }

    /// Threads that share the sum of a column: 32 at most where there are columns enough, so that a workgroup
    /// reads 8 neighbouring columns, or quads of them.
    fn column_lanes(&self) -> usize {
        let most = if self.columns > 32 { 32 } else { WORKGROUP };
        self.rows.div_ceil(16).next_power_of_two().min(most)
    }

    fn parts(&self) -> usize {
        self.numel().div_ceil(WORKGROUP * PART_ELEMENTS).min(PARTS)
    }

    /// What the shader calls a `Row` of its table.
    fn row(&self) -> [u32; 6] {
        let &Matrices { count, rows, columns } = self;
        [count, rows, columns, self.row_lanes(), self.column_lanes(), self.parts()].map(word)
    }

    fn quads(&self) -> usize {
        self.numel().div_ceil(4)
    }

    /// Quads of a part that a thread works on.
    fn of_part(&self) -> usize {
        self.quads().div_ceil(self.parts() * WORKGROUP)
    }

    /// Workgroups that all rows need.
    fn row_groups(&self) -> usize {
        (self.count * self.rows).div_ceil(WORKGROUP / self.row_lanes())
    }

    /// Workgroups of a step, by rows or by quads.
    fn step_groups(&self) -> usize {
        self.row_groups().max(self.parts())
    }

    /// Workgroups that so many lines need, each shared by as many threads as a column.
    fn column_groups(&self, lines: usize) -> usize {
        lines.div_ceil(WORKGROUP / self.column_lanes())
    }

    /// Elements of a row that a thread works on.
    fn of_row(&self) -> usize {
        self.columns.div_ceil(self.row_lanes())
    }

    /// Elements of a column that a thread works on.
    fn of_column(&self) -> usize {
        self.rows.div_ceil(self.column_lanes())
    }
}

/// One phase of the update: an entry point, the workgroups of a parameter that would each go through their
/// loop once, and the iterations of that.
struct Phase {
    entry: &'static str,
    groups: fn(&Matrices) -> usize,
    iterations: fn(&Matrices) -> usize,
    binds: &'static [Operand],
}

/// What a phase binds.
#[derive(Clone, Copy, Debug)]
enum Operand {
    Table,
    W,
    /// Second moments of the rows, or whole ones.
    Moment,
    C,
    Down,
    Across,
    Parts,
    Dw,
}

use Operand::{Across, C, Down, Dw, Moment, Parts, Table, W};

/// Iterations of a sum over the lanes of a line, or over a workgroup.
const FOLDS: usize = 8;

const FACTORED: [Phase; 5] = [
    Phase {
        entry: "rows",
        groups: Matrices::row_groups,
        iterations: |m| m.of_row() + FOLDS,
        binds: &[Table, W, Moment, Dw],
    },
    Phase {
        entry: "columns",
        groups: |m| m.column_groups(m.count * m.columns.div_ceil(if m.columns % 4 == 0 { 4 } else { 1 })),
        iterations: |m| m.of_column() + 4 + FOLDS,
        binds: &[Table, W, C, Across, Dw],
    },
    Phase {
        entry: "factors",
        groups: |m| m.column_groups(m.count),
        iterations: |m| 2 * m.of_column() + FOLDS,
        binds: &[Table, Moment, Down],
    },
    Phase {
        entry: "sizes",
        groups: Matrices::parts,
        iterations: |m| m.row_groups().div_ceil(m.parts()) * (1 + m.of_row()) + 5 * m.of_part() + FOLDS,
        binds: &[Table, W, Down, Across, Parts, Dw],
    },
    Phase {
        entry: "step_factored",
        groups: Matrices::step_groups,
        iterations: |m| 1 + m.of_row() + 5 * m.quads().div_ceil(m.step_groups() * WORKGROUP) + FOLDS,
        binds: &[Table, W, Down, Across, Parts, Dw],
    },
];

const WHOLE: [Phase; 2] = [
    Phase {
        entry: "whole_sizes",
        groups: Matrices::parts,
        iterations: |m| m.of_part() + FOLDS,
        binds: &[Table, W, Moment, Parts, Dw],
    },
    Phase {
        entry: "step_whole",
        groups: |m| m.quads().div_ceil(STEP_QUADS * WORKGROUP),
        iterations: |_| STEP_QUADS + FOLDS,
        binds: &[Table, W, Moment, Parts, Dw],
    },
];

/// The update of one or several parameters: `w_1 .. w_k`, then `r_1 .. r_k` and `c_1 .. c_k`, or `v_1 .. v_k`
/// where second moments are kept whole, then the gradients `dw_1 .. dw_k`, then the
/// [`table`](Adafactor::table).
#[derive(Clone, Debug)]
pub(crate) struct Adafactor {
    params: AdafactorParams,
    lr: Scalar,
    factored: bool,
    parameters: Vec<Matrices>,
    mutates: Vec<usize>,
}

impl Adafactor {
    /// The update of parameters of these shapes, with second moments by rows and columns or kept whole.
    pub fn new(params: AdafactorParams, lr: Scalar, factored: bool, shapes: &[Shape]) -> Self {
        let parameters: Vec<Matrices> = shapes.iter().copied().map(Matrices::new).collect();
        let overwritten = parameters.len() * if factored { 3 } else { 2 };
        Adafactor { params, lr, factored, parameters, mutates: (0..overwritten).collect() }
    }

    /// The sizes of the parameters as the kernels read them, and its shape.
    pub fn table(&self) -> ([usize; 2], Vec<u32>) {
        ([self.parameters.len(), 6], self.parameters.iter().flat_map(Matrices::row).collect())
    }

    /// The shapes of the states of a parameter.
    pub fn states(factored: bool, shape: Shape) -> Result<Vec<Shape>> {
        let without = |axis: usize| {
            let kept = shape.dims().iter().enumerate().filter(|&(i, _)| i != axis).map(|(_, &d)| d);
            Shape::new(&kept.collect::<Vec<_>>())
        };
        let rank = shape.rank();
        if factored { [rank - 1, rank - 2].into_iter().map(without).collect() } else { Ok(vec![shape]) }
    }

    fn classes(&self) -> usize {
        if self.factored { 4 } else { 3 }
    }

    /// What lies side by side without gaps in the table: parameters and what to bind for each class.
    fn stretches(&self, run: &Run) -> Vec<(Range<usize>, Vec<Slot>)> {
        let (first, last) = (run.positions[0], run.positions[run.positions.len() - 1]);
        if last - first + 1 == run.positions.len() {
            return vec![(first..last + 1, run.slots.clone())];
        }
        let alone = |&p: &usize| (p..p + 1, self.packs().iter().map(|c| Slot::Input(c.start + p)).collect());
        run.positions.iter().map(alone).collect()
    }

    /// The calls for parameters that lie side by side.
    fn lower_stretch(&self, cx: &mut Lowering<'_>, which: Range<usize>, slots: &[Slot], alignment: usize) {
        let parameters = &self.parameters[which.clone()];
        let parts = cx.scratch(8 * (PARTS * parameters.len()) as u64);
        let table = Slot::Input(self.classes() * self.parameters.len());
        let phases: &[Phase] = if self.factored { &FACTORED } else { &WHOLE };
        let operands: [Slot; 8] = if self.factored {
            let mut lines = |lines: fn(&Matrices) -> usize| {
                let elements = parameters.iter().map(|m| lines(m).next_multiple_of(alignment));
                cx.scratch(4 * elements.sum::<usize>() as u64)
            };
            let (down, across) = (lines(|m| m.count * m.rows), lines(|m| m.count * m.columns));
            [table, slots[0], slots[1], slots[2], down, across, parts, slots[3]]
        } else {
            [table, slots[0], slots[1], slots[1], parts, parts, parts, slots[2]]
        };
        for phase in phases {
            let most = parameters.iter().map(phase.groups).max().unwrap_or(1);
            let groups = most.min(cx.profile.max_workgroups as usize);
            let iterations =
                parameters.iter().map(|m| (phase.groups)(m).div_ceil(groups) * (1 + (phase.iterations)(m)));
            let params = AdafactorParams {
                first: word(which.start),
                alignment: word(alignment),
                groups: word(groups),
                ..self.params
            };
            let call = KernelCall::new(&SHADER, phase.entry)
                .binds(phase.binds.iter().map(|&operand| operands[operand as usize]))
                .params(&params)
                .scalar("lr", self.lr)
                .scalar("updates", Scalar::UPDATES)
                .loops(parameters.len() - 1 + iterations.max().unwrap_or(0))
                .grid(Grid::groups([groups, parameters.len(), 1]));
            cx.call(call);
        }
    }

    /// For each overwritten operand of each parameter, in the order of the operator's inputs, `pick` of
    /// every element's new content.
    fn each<N: Number>(&self, cx: &Reference<'_>, pick: impl Fn(N) -> f64) -> Vec<Array> {
        let count = self.parameters.len();
        let formula = Formula::<N>::new(&self.params, cx.scalar(self.lr), cx.scalar(Scalar::UPDATES));
        let mut results = vec![None; self.mutates.len()];
        for (k, size) in self.parameters.iter().enumerate() {
            let operands = (0..self.classes()).map(|class| cx.inputs[class * count + k]);
            let data: Vec<&[f64]> = operands.map(|array| array.data.as_slice()).collect();
            let new = if self.factored { formula.factored(size, &data) } else { formula.whole(&data) };
            for (class, new) in new.into_iter().enumerate() {
                let at = class * count + k;
                results[at] = Some(Array::new(cx.inputs[at].shape, new.into_iter().map(&pick).collect()));
            }
        }
        results.into_iter().flatten().collect()
    }
}

impl Op for Adafactor {
    fn name(&self) -> &'static str {
        if self.factored { "adafactor" } else { "adafactor_whole" }
    }

    fn attributes(&self) -> String {
        let p = &self.params;
        let mut text = format!(
            "beta_2_decay={:?}, epsilons={:?}, {:?}, clip_threshold={:?}",
            p.beta_2_decay, p.epsilon_1, p.epsilon_2, p.clip_threshold
        );
        let decays = [("weight_decay", p.weight_decay), ("decoupled_weight_decay", p.decoupled_decay)];
        for (name, decay) in decays.into_iter().filter(|(_, decay)| *decay != 0.0) {
            text += &format!(", {name}={decay:?}");
        }
        text + if p.relative != 0 { ", relative_step" } else { "" }
    }

    fn outputs(&self, inputs: &[TensorType]) -> Result<Vec<TensorType>> {
        let count = self.parameters.len();
        debug_assert_eq!(inputs.len(), count * self.classes() + 1, "operands of {}", self.name());
        for ty in &inputs[..count * self.classes()] {
            expect_dtype("the operand", *ty, DType::F32)?;
        }
        for (w, dw) in inputs.iter().zip(&inputs[count * (self.classes() - 1)..]).take(count) {
            if w.shape != dw.shape {
                let what = "an update needs the shape of what it overwrites";
                return Err(Error::shape_mismatch(what, w.shape, dw.shape));
            }
        }
        Ok(Vec::new())
    }

    fn mutates(&self) -> &[usize] {
        &self.mutates
    }

    /// Parameters, each state and gradients side by side.
    fn packs(&self) -> Vec<Range<usize>> {
        let count = self.parameters.len();
        (0..self.classes()).map(|class| class * count..(class + 1) * count).collect()
    }

    fn lower(&self, cx: &mut Lowering<'_>) -> Result<()> {
        for run in cx.runs() {
            for (which, slots) in self.stretches(run) {
                self.lower_stretch(cx, which, &slots, run.alignment);
            }
        }
        Ok(())
    }

    fn reference(&self, cx: &Reference<'_>) -> Vec<Array> {
        self.each::<f64>(cx, |new| new)
    }

    fn error_bound(&self, cx: &Reference<'_>, _: &[Array]) -> Vec<Vec<f64>> {
        self.each::<Approximate>(cx, |new| new.error).into_iter().map(|bound| bound.data).collect()
    }
}

/// The numbers of an update.
struct Formula<N> {
    lr: N,
    weight_decay: N,
    decoupled_decay: N,
    epsilon_1: N,
    epsilon_2: N,
    clip_threshold: N,
    /// `rho_t`.
    rho: N,
    /// `t^beta_2_decay`.
    fresh: N,
}

impl<N: Number> Formula<N> {
    fn new(p: &AdafactorParams, lr: f64, updates: f64) -> Self {
        let t = updates + 1.0;
        let number = |x: f32| N::exact(f64::from(x));
        let root = t.sqrt().recip();
        let rho = if p.relative != 0 && root < lr {
            N::within(root, 8.0 * super::EPS * root)
        } else {
            N::exact(lr)
        };
        Formula {
            lr: N::exact(lr),
            weight_decay: number(p.weight_decay),
            decoupled_decay: number(p.decoupled_decay),
            epsilon_1: number(p.epsilon_1),
            epsilon_2: number(p.epsilon_2),
            clip_threshold: number(p.clip_threshold),
            rho,
            fresh: N::exact(t).pow(f64::from(p.beta_2_decay)),
        }
    }

    /// The new `w`, `r` and `c` of a parameter, given these and `dw`.
    fn factored(&self, size: &Matrices, x: &[&[f64]]) -> Vec<Vec<N>> {
        let &Matrices { count, rows, columns } = size;
        let g = self.gradient(x[0], x[3]);
        let squares = self.squares(&g);
        let r = self.followed(x[1], |row| mean((0..columns).map(|j| squares[row * columns + j])));
        let c = self.followed(x[2], |column| {
            let (matrix, j) = (column / columns, column % columns);
            mean((0..rows).map(|i| squares[(matrix * rows + i) * columns + j]))
        });
        let means: Vec<N> = (0..count).map(|m| mean(r[m * rows..(m + 1) * rows].iter().copied())).collect();
        let down: Vec<N> = r.iter().enumerate().map(|(row, r)| means[row / rows].sqrt() / r.sqrt()).collect();
        let across: Vec<N> = c.iter().map(|c| N::exact(1.0) / c.sqrt()).collect();
        let direction = |i: usize| {
            let row = i / columns;
            g[i] * down[row] * across[row / rows * columns + i % columns]
        };
        let u: Vec<N> = (0..g.len()).into_par_iter().map(direction).collect();
        vec![self.step(x[0], &u), r, c]
    }

    /// The new `w` and `v` of a parameter, given these and `dw`.
    fn whole(&self, x: &[&[f64]]) -> Vec<Vec<N>> {
        let g = self.gradient(x[0], x[2]);
        let squares = self.squares(&g);
        let v = self.followed(x[1], |i| squares[i]);
        let u: Vec<N> = g.par_iter().zip(&v).map(|(&g, v)| g / v.sqrt()).collect();
        vec![self.step(x[0], &u), v]
    }

    fn gradient(&self, w: &[f64], dw: &[f64]) -> Vec<N> {
        let decayed = |(&w, &dw): (&f64, &f64)| N::exact(dw) + self.weight_decay * N::exact(w);
        w.par_iter().zip(dw).map(decayed).collect()
    }

    fn squares(&self, g: &[N]) -> Vec<N> {
        g.par_iter().map(|&g| g * g + self.epsilon_1).collect()
    }

    fn followed(&self, moments: &[f64], current: impl Fn(usize) -> N + Sync) -> Vec<N> {
        let new = |(i, &moment): (usize, &f64)| {
            let moment = N::exact(moment);
            (N::exact(1.0) - self.fresh) * moment + self.fresh * current(i)
        };
        moments.par_iter().enumerate().map(new).collect()
    }

    fn step(&self, w: &[f64], u: &[N]) -> Vec<N> {
        let kept = |&w: &f64| N::exact(w) - self.lr * self.decoupled_decay * N::exact(w);
        let kept: Vec<N> = w.par_iter().map(kept).collect();
        let rms = |x: &[N]| mean(x.iter().map(|&x| x * x)).sqrt();
        let excess = N::exact(1.0).max(rms(u) / self.clip_threshold);
        let by = self.epsilon_2.max(rms(&kept)) * self.rho / excess;
        kept.par_iter().zip(u).map(|(&kept, &u)| kept - by * u).collect()
    }
}

fn mean<N: Number>(numbers: impl ExactSizeIterator<Item = N>) -> N {
    let n = numbers.len();
    numbers.fold(N::exact(0.0), |sum, x| sum + x) / N::exact(n as f64)
}
