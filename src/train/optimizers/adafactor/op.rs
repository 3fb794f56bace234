//! Adafactor's update as an operator. Shader: `adafactor.wgsl`.

use std::ops::Range;

use super::Adafactor;
use crate::array::Array;
use crate::dtype::DType;
use crate::error::{Result, Setting};
use crate::graph::{Graph, Init, Scalar, Value};
use crate::kernel::{Grid, KernelCall, Shader, Slot};
use crate::ops::{
    Approximate, EPS, Gradient, Lowering, Number, Op, OperatorInfo, Reference, Run, Step, built_in,
    expect_dtype, numbers, same_shape, word,
};
use crate::shape::{Shape, TensorType};

pub(in super::super) static SHADER: Shader =
    built_in!("adafactor", "../../../../shaders/adafactor.wgsl", "../../../../shaders/workgroup.wgsl");

pub(in super::super) const OPERATORS: [OperatorInfo; 2] = [
    OperatorInfo::new("adafactor", Gradient::None, "f32"),
    OperatorInfo::new("adafactor_whole", Gradient::None, "f32"),
];

crate::params! {
    /// What a dispatch works on, and the settings under their names.
    #[derive(Default)]
    struct Params {
        first: u32,
        alignment: u32,
        groups: u32,
        updates: u32,
        lr: f32,
        weight_decay: f32,
        decoupled_weight_decay: f32,
        beta_2_decay: f32,
        epsilon_1: f32,
        epsilon_2: f32,
        clip_threshold: f32,
        relative_step: f32,
        pytorch: f32,
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

    /// Threads that share the sum of a row: a power of two, for up to 64 elements each while there are
    /// enough.
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
}

/// Iterations of a sum over the lanes of a line, or over a workgroup.
const FOLDS: usize = 8;

const FACTORED: [Phase; 5] = [
    Phase { entry: "rows", groups: Matrices::row_groups, iterations: |m| m.of_row() + FOLDS },
    Phase {
        entry: "columns",
        groups: |m| m.column_groups(m.count * m.columns.div_ceil(if m.columns % 4 == 0 { 4 } else { 1 })),
        iterations: |m| m.of_column() + 4 + FOLDS,
    },
    Phase {
        entry: "factors",
        groups: |m| m.column_groups(m.count),
        iterations: |m| 2 * m.of_column() + FOLDS,
    },
    Phase {
        entry: "sizes",
        groups: Matrices::parts,
        iterations: |m| m.row_groups().div_ceil(m.parts()) * (1 + m.of_row()) + 5 * m.of_part() + FOLDS,
    },
    Phase {
        entry: "step_factored",
        groups: Matrices::step_groups,
        iterations: |m| 1 + m.of_row() + 5 * m.quads().div_ceil(m.step_groups() * WORKGROUP) + FOLDS,
    },
];

const WHOLE: [Phase; 2] = [
    Phase { entry: "whole_sizes", groups: Matrices::parts, iterations: |m| m.of_part() + FOLDS },
    Phase {
        entry: "step_whole",
        groups: |m| m.quads().div_ceil(STEP_QUADS * WORKGROUP),
        iterations: |_| STEP_QUADS + FOLDS,
    },
];

/// The update of one or several parameters: `w_1 .. w_k`, then `r_1 .. r_k` and `c_1 .. c_k`, or `v_1 .. v_k`
/// where second moments are kept whole, then the gradients `dw_1 .. dw_k`, then a table of the sizes, as the
/// kernels read them.
#[derive(Clone, Debug)]
struct Update {
    rule: Adafactor,
    lr: Scalar,
    factored: bool,
    parameters: Vec<Matrices>,
    mutates: Vec<usize>,
}

/// Records the update of parameters with their gradients and shapes, with second moments by rows and columns
/// or kept whole.
pub(super) fn record(
    graph: &Graph,
    rule: &Adafactor,
    lr: Scalar,
    factored: bool,
    group: &[(Value, Value, Shape)],
) -> Result<()> {
    if group.is_empty() {
        return Ok(());
    }
    let mut operands: Vec<Value> = group.iter().map(|&(w, ..)| w).collect();
    for (class, name) in if factored { &["r", "c"][..] } else { &["v"] }.iter().enumerate() {
        for &(w, _, shape) in group {
            operands.push(graph.slot_of(w, name, moments(factored, shape)?[class], Init::Zeros)?);
        }
    }
    let mutates = (0..operands.len()).collect();
    operands.extend(group.iter().map(|&(_, dw, _)| dw));
    let parameters: Vec<Matrices> = group.iter().map(|&(.., shape)| Matrices::new(shape)).collect();
    let table: Vec<u32> = parameters.iter().flat_map(Matrices::row).collect();
    operands.push(graph.constant([parameters.len(), 6], &table)?);
    let update = Update { rule: *rule, lr, factored, parameters, mutates };
    graph.apply(update, &operands).map(|_| ())
}

/// The shapes of a parameter's second moments.
fn moments(factored: bool, shape: Shape) -> Result<Vec<Shape>> {
    match shape.dims() {
        [outer @ .., rows, columns] if factored => {
            [rows, columns].map(|&lines| Shape::new(&[outer, &[lines]].concat())).into_iter().collect()
        }
        _ => Ok(vec![shape]),
    }
}

impl Update {
    fn classes(&self) -> usize {
        if self.factored { 4 } else { 3 }
    }

    fn settings(&self) -> Vec<Setting> {
        let Adafactor { rate, .. } = self.rule;
        self.rule.settings().into_iter().chain(rate.decay.settings()).collect()
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
    fn lower_stretch(
        &self,
        cx: &mut Lowering<'_>,
        which: Range<usize>,
        slots: &[Slot],
        alignment: usize,
    ) -> Result<()> {
        let parameters = &self.parameters[which.clone()];
        let parts = cx.scratch(8 * (PARTS * parameters.len()) as u64);
        let table = Slot::Input(self.classes() * self.parameters.len());
        let phases: &[Phase] = if self.factored { &FACTORED } else { &WHOLE };
        // By the numbers of their bindings in the shader: the table, w, r or v, c, both kinds of factors, the
        // parts and dw. The kernels of whole moments bind no c and no factors: any slot stands for them.
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
            let params = Params {
                first: word(which.start),
                alignment: word(alignment),
                groups: word(groups),
                ..Params::default()
            };
            let bindings = &SHADER.entry(phase.entry, &[])?.bindings;
            let call = KernelCall::new(&SHADER, phase.entry)
                .binds(bindings.iter().map(|&(number, _)| operands[number as usize]))
                .params(&params)
                .settings(&self.settings())
                .scalar("lr", self.lr)
                .scalar("updates", Scalar::UPDATES)
                .loops(parameters.len() - 1 + iterations.max().unwrap_or(0))
                .grid(Grid::groups([groups, parameters.len(), 1]));
            cx.call(call);
        }
        Ok(())
    }

    /// For each overwritten operand of each parameter, in the order of the operator's inputs, `pick` of
    /// every element's new content.
    fn each<N: Number>(&self, cx: &Reference<'_>, pick: impl Fn(N) -> f64) -> Vec<Array> {
        let Adafactor { rate, beta_2_decay, relative_step, .. } = self.rule;
        let mut step = Step::<N>::new(|scalar| cx.scalar(scalar), Some(self.lr), rate.decay);
        let root = step.t.sqrt().recip();
        let relative = relative_step && root < f64::from(step.learning_rate);
        let rho = if relative { N::within(root, 8.0 * EPS * root) } else { step.lr };
        step.factors = [rho, N::exact(step.t).pow(f64::from(beta_2_decay)), rho];
        let count = self.parameters.len();
        let new = |(k, size): (usize, &Matrices)| {
            let operands = (0..self.classes()).map(|class| cx.inputs[class * count + k].data.as_slice());
            self.formula(&step, size, &operands.collect::<Vec<_>>())
        };
        let new: Vec<Vec<Vec<N>>> = self.parameters.iter().enumerate().map(new).collect();
        let array = |&at: &usize| {
            let contents = new[at % count][at / count].iter().map(|&new| pick(new));
            Array::new(cx.inputs[at].shape, contents.collect())
        };
        self.mutates.iter().map(array).collect()
    }

    /// The new contents of a parameter and its moments, given these and `dw`; the factors of the step are
    /// `rho_t` and `t^beta_2_decay`.
    #[inline(always)]
    fn formula<N: Number>(&self, step: &Step<N>, size: &Matrices, x: &[&[f64]]) -> Vec<Vec<N>> {
        let Adafactor { rate, epsilon_1, epsilon_2, clip_threshold, pytorch, .. } = self.rule;
        let [epsilon_1, epsilon_2, threshold, one] = numbers([epsilon_1, epsilon_2, clip_threshold, 1.0]);
        let [rho, fresh, _] = step.factors;
        let decayed = |(&w, &dw): (&f64, &f64)| step.decayed(&[N::exact(w), N::exact(dw)]);
        let (g, kept): (Vec<N>, Vec<N>) = x[0].iter().zip(x[x.len() - 1]).map(decayed).unzip();
        let added = if pytorch { N::exact(0.0) } else { epsilon_1 };
        let squares: Vec<N> = g.iter().map(|&g| g * g + added).collect();
        let least = |x: N| if pytorch { x.max(epsilon_1) } else { x };
        let followed = |moments: &[f64], current: &dyn Fn(usize) -> N| -> Vec<N> {
            let new = |(i, &moment)| (one - fresh) * N::exact(moment) + fresh * current(i);
            moments.iter().enumerate().map(new).collect()
        };
        let (u, moments): (Vec<N>, _) = if self.factored {
            let &Matrices { rows, columns, .. } = size;
            let r = followed(x[1], &|row| mean((0..columns).map(|j| squares[row * columns + j])));
            let c = followed(x[2], &|column| {
                let (matrix, j) = (column / columns, column % columns);
                mean((0..rows).map(|i| squares[(matrix * rows + i) * columns + j]))
            });
            let means: Vec<N> = r.chunks(rows).map(|r| least(mean(r.iter().copied()))).collect();
            let down: Vec<N> =
                r.iter().enumerate().map(|(row, r)| means[row / rows].sqrt() / r.sqrt()).collect();
            let across: Vec<N> = c.iter().map(|c| one / c.sqrt()).collect();
            let direction = |i: usize| {
                let (row, column) = (i / columns, i / columns / rows * columns + i % columns);
                if pytorch {
                    return g[i] / least(r[row].sqrt() * c[column].sqrt() / means[row / rows].sqrt());
                }
                g[i] * down[row] * across[column]
            };
            ((0..g.len()).map(direction).collect(), vec![r, c])
        } else {
            let v = followed(x[1], &|i| squares[i]);
            (g.iter().zip(&v).map(|(&g, v)| g / least(v.sqrt())).collect(), vec![v])
        };
        let rms = |x: &[N]| mean(x.iter().map(|&x| x * x)).sqrt();
        // PyTorch has the size before the decay, which all elements share.
        let left = one - step.lr * numbers::<N, 1>([rate.decay.decoupled])[0];
        let size = if pytorch { rms(&kept) / left.abs().max(N::exact(1e-30)) } else { rms(&kept) };
        let by = epsilon_2.max(size) * rho / one.max(rms(&u) / threshold);
        let w = kept.iter().zip(&u).map(|(&kept, &u)| kept - by * u).collect();
        [vec![w], moments].concat()
    }
}

fn mean<N: Number>(numbers: impl ExactSizeIterator<Item = N>) -> N {
    let n = numbers.len();
    numbers.fold(N::exact(0.0), |sum, x| sum + x) / N::exact(n as f64)
}

impl Op for Update {
    fn name(&self) -> &'static str {
        OPERATORS[usize::from(!self.factored)].name
    }

    fn attributes(&self) -> String {
        Setting::list(&self.settings())
    }

    fn outputs(&self, inputs: &[TensorType]) -> Result<Vec<TensorType>> {
        let count = self.parameters.len();
        debug_assert_eq!(inputs.len(), count * self.classes() + 1, "operands of {}", self.name());
        for ty in &inputs[..count * self.classes()] {
            expect_dtype("the operand", *ty, DType::F32)?;
        }
        for (w, dw) in inputs.iter().zip(&inputs[count * (self.classes() - 1)..]).take(count) {
            same_shape("an update needs the shape of what it overwrites", w.shape, dw.shape)?;
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
                self.lower_stretch(cx, which, &slots, run.alignment)?;
            }
        }
        Ok(())
    }

    fn reference(&self, cx: &Reference<'_>) -> Vec<Array> {
        self.each::<f64>(cx, |new| new)
    }

    /// All new contents before any is put in place, and the steps of one parameter at a time.
    fn reference_scratch(&self, inputs: &[TensorType], _: &[TensorType]) -> u64 {
        let numbers = |at: &usize| inputs[*at].numel() as u64;
        let largest = inputs.iter().map(|ty| ty.numel() as u64).max().unwrap_or(0);
        8 * (self.mutates.iter().map(numbers).sum::<u64>() + 6 * largest)
    }

    fn error_bound(&self, cx: &Reference<'_>, _: &[Array]) -> Vec<Vec<f64>> {
        self.each::<Approximate>(cx, |new| new.error).into_iter().map(|bound| bound.data).collect()
    }
}
