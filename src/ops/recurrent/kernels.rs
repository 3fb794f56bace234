//! Which kernels compute a recurrence, and their dispatches.
//!
//! The rule looks at the sizes and the device alone: one kernel for all steps where a workgroup has
//! room for all units, up to [`WIDEST`] of them; a kernel for each step where not. On a software driver
//! with subgroups of 8 they pass states around by shuffles, take 16 sequences at a time from large
//! batches, and put large weights into panels first.

use super::operator::{Part, RecurGrad, Spec};
use super::{Cell, Extents, GruReset, RecurrentRoute};
use crate::ops::common::*;

/// The shader of a cell with the products for any device, and with those for subgroups of 8.
macro_rules! cell {
    ($name:literal, $($path:literal),+) => {
        [
            built_in!(
                $name,
                $($path,)+
                "../../../shaders/recurrent_plain.wgsl",
                "../../../shaders/recurrent.wgsl"
            ),
            built_in!(
                $name,
                $($path,)+
                "../../../shaders/recurrent_lanes.wgsl",
                "../../../shaders/recurrent.wgsl"
            ),
        ]
    };
}
static SIMPLE: [Shader; 2] =
    cell!("simple_rnn", "../../../shaders/simple_rnn.wgsl", "../../../shaders/recurrent_steps.wgsl");
static LSTM: [Shader; 2] =
    cell!("lstm", "../../../shaders/lstm.wgsl", "../../../shaders/recurrent_steps.wgsl");
static GRU: [Shader; 2] = cell!("gru", "../../../shaders/gru.wgsl", "../../../shaders/recurrent_steps.wgsl");
static GRU_BEFORE: [Shader; 2] = cell!("gru_before", "../../../shaders/gru_before.wgsl");

/// Every shader of the family.
pub(in crate::ops) const SHADERS: [&Shader; 8] =
    [&SIMPLE[0], &LSTM[0], &GRU[0], &GRU_BEFORE[0], &SIMPLE[1], &LSTM[1], &GRU[1], &GRU_BEFORE[1]];

crate::params! {
    struct StepParams {
        batch: u32, time: u32, hidden: u32, first: u32, last: u32, tiles: u32, panel: u32,
        truncate: u32,
        bias_at: u32, initial_at: u32, cell_at: u32, mask_at: u32, peepholes_at: u32, steps_at: u32,
        last_at: u32,
    }
}

crate::params! {
    struct ArrangeParams { n: u32, rows: u32, panel: u32, columns: u32, row_stride: u32, column_stride: u32 }
}

crate::params! {
    struct PackParams { ends_lo: [u32; 4], ends_hi: [u32; 2], n: u32 }
}

/// Most units of a workgroup that goes through all steps.
const WIDEST: usize = 256;
/// Units of a workgroup that makes one step.
const TILE: usize = 64;
/// The largest batch of which workgroups take 8 sequences, so that there are several of them.
const NARROW_BATCH: usize = 16;

/// Columns of a weight side by side for subgroups of 8: what their lanes read at once.
const PANEL: usize = 8;
/// Rounds through a weight that are worth putting it into panels first, and the least elements of one
/// that a cache does not hold.
const PANEL_ROUNDS: usize = 4;
const PANEL_ELEMENTS: usize = 1 << 17;

/// How the kernels lie over sequences and units.
#[derive(Clone, Copy, Debug)]
struct Form {
    shader: &'static Shader,
    /// Units whose states a thread has in registers at a time.
    unrolled: usize,
    /// Sequences of a workgroup.
    rows: usize,
    /// Threads of a workgroup.
    width: usize,
    /// Whether a workgroup goes through all steps.
    sequence: bool,
    /// Columns of the weight in a panel, if it is put into panels.
    panel: Option<usize>,
}

impl Form {
    fn choose(profile: &DeviceProfile, spec: &Spec, extents: Extents) -> Form {
        let lanes = profile.kind == DeviceKind::Cpu && profile.subgroups == Some((8, 8));
        let shaders = match spec.cell {
            Cell::Simple => &SIMPLE,
            Cell::Lstm => &LSTM,
            Cell::Gru(GruReset::After) => &GRU,
            Cell::Gru(GruReset::Before) => &GRU_BEFORE,
        };
        let shader = &shaders[usize::from(lanes)];
        let wide = lanes && extents.batch > NARROW_BATCH;
        let rows = if wide { 16 } else { 8 };
        let whole = extents.hidden.next_multiple_of(32);
        let bytes = 4 * rows * whole * spec.cell.gates();
        let sequence = match spec.route {
            RecurrentRoute::Sequence => true,
            RecurrentRoute::Steps => false,
            RecurrentRoute::Auto => {
                let threads = profile.max_invocations.min(profile.max_workgroup_size[0]) as usize;
                whole <= WIDEST.min(threads) && bytes <= profile.max_workgroup_bytes as usize
            }
        };
        let width = if sequence { whole } else { TILE };
        let rounds = extents.time.saturating_mul(extents.batch.div_ceil(rows));
        let elements = spec.cell.gates() * extents.hidden * extents.hidden;
        let worth = rounds >= PANEL_ROUNDS && elements >= PANEL_ELEMENTS;
        let panel = (lanes && worth).then_some(PANEL);
        Form { shader, unrolled: if lanes { 8 } else { 4 }, rows, width, sequence, panel }
    }
}

/// The small operands as the kernels take them: a binding, and where in it each part begins.
struct Small {
    bind: Slot,
    parts: Vec<(Part, u32)>,
}

impl Small {
    /// Packs the parts, whose inputs begin at `first`; a single one is bound as it is, and for none
    /// `stand_in`.
    fn new(cx: &mut Lowering<'_>, form: Form, spec: &Spec, first: usize, stand_in: Slot) -> Self {
        let words: Vec<usize> = cx.inputs[first..].iter().map(|ty| ty.numel()).collect();
        let start = |(at, &part): (usize, &Part)| (part, word(words[..at].iter().sum()));
        let parts = spec.parts.iter().enumerate().map(start).collect();
        let slots: Vec<Slot> = (0..words.len()).map(|i| Slot::Input(first + i)).collect();
        let bind = match slots[..] {
            [] => stand_in,
            [only] => only,
            _ => pack(cx, form.shader, &slots, &words),
        };
        Small { bind, parts }
    }

    fn at(&self, part: Part) -> u32 {
        self.parts.iter().find(|&&(p, _)| p == part).map_or(0, |&(_, at)| at)
    }
}

fn pack(cx: &mut Lowering<'_>, shader: &'static Shader, slots: &[Slot], words: &[usize]) -> Slot {
    let n = words.iter().sum();
    let [a, b, c, d, e, f] = [1, 2, 3, 4, 5, 6].map(|count| word(words.iter().take(count).sum()));
    let params = PackParams { ends_lo: [a, b, c, d], ends_hi: [e, f], n: word(n) };
    let packed = cx.scratch(4 * n as u64);
    let sources = (0..6).map(|i| slots.get(i).copied().unwrap_or(slots[0]));
    let call = KernelCall::new(shader, "pack").params(&params).grid(Grid::linear(n, 64)).multiply_adds(0);
    cx.call(call.binds(sources).binds([packed]));
    packed
}

/// A matrix of these rows and columns, whose elements lie `strides` apart in `given`, in panels of
/// `panel` columns.
fn arrange(
    cx: &mut Lowering<'_>,
    form: Form,
    given: Slot,
    [rows, columns]: [usize; 2],
    strides: [usize; 2],
    panel: usize,
) -> Slot {
    let n = rows * columns.next_multiple_of(panel);
    let [rows, columns, panel] = [rows, columns, panel].map(word);
    let [row_stride, column_stride] = strides.map(word);
    let params = ArrangeParams { n: word(n), rows, panel, columns, row_stride, column_stride };
    let arranged = cx.scratch(4 * n as u64);
    let call = KernelCall::new(form.shader, "arrange").params(&params).grid(Grid::linear(n, 64));
    cx.call(call.binds([given, arranged]).multiply_adds(0));
    arranged
}

/// What the calls of a recurrence have in common.
struct Calls<'a> {
    spec: &'a Spec,
    extents: Extents,
    form: Form,
    small: Small,
    /// The weight, and the columns of its panels.
    weight: (Slot, usize),
    /// The gradient of `y` is given.
    has_dy: bool,
    /// The number of vectors that a unit stages for each sequence: the state, or the gates' gradients.
    staged: usize,
    /// How often a step goes through staged units.
    passes: usize,
    /// Elements of the operands that have a part for each step, and of those that every step goes through.
    elements: [usize; 2],
}

impl Calls<'_> {
    /// The call of `entry` for steps `first` to `last`.
    fn call(&self, entry: &'static str, [first, last]: [usize; 2]) -> KernelCall {
        let (spec, small, Form { rows, width, .. }) = (self.spec, &self.small, self.form);
        let Extents { batch, time, hidden } = self.extents;
        let tiles = hidden.div_ceil(width);
        let params = StepParams {
            batch: word(batch),
            time: word(time),
            hidden: word(hidden),
            first: word(first),
            last: word(last),
            tiles: word(tiles),
            panel: word(self.weight.1),
            truncate: word(spec.truncate),
            bias_at: small.at(Part::Bias),
            initial_at: small.at(Part::Hidden),
            cell_at: small.at(Part::Cell),
            mask_at: small.at(Part::Mask),
            peepholes_at: small.at(Part::Peepholes),
            steps_at: small.at(Part::Steps),
            last_at: small.at(Part::Last),
        };
        // Shaders know a function by its place in the declaration of `CellActivation`.
        let mut call = KernelCall::new(self.form.shader, entry)
            .constant("WIDTH", width as f64)
            .constant("STAGED", (width * self.staged * rows / 4) as f64)
            .constant("ACTIVATION", f64::from(spec.activation as u8))
            .constant("GATE", f64::from(spec.gate as u8));
        for (name, on) in [
            ("WIDE", rows == 16),
            ("REVERSE", spec.reverse),
            ("HAS_BIAS", spec.has(Part::Bias)),
            ("HAS_INITIAL", spec.has(Part::Hidden) || spec.has(Part::Cell)),
            ("HAS_MASK", spec.has(Part::Mask)),
            ("HAS_PEEPHOLES", spec.has(Part::Peepholes)),
            ("HAS_STEPS", spec.has(Part::Steps)),
            ("HAS_DY", self.has_dy),
            ("HAS_LAST", spec.has(Part::Last)),
        ] {
            call = call.constant(name, f64::from(on));
        }
        call.params(&params).grid(Grid::linear(batch.div_ceil(rows) * tiles, 1))
    }

    /// Loop iterations of a step: over tiles of units, and in each over what is staged.
    fn step_loops(&self) -> usize {
        let Form { unrolled, width, .. } = self.form;
        let tiles = self.extents.hidden.div_ceil(width);
        tiles * (1 + self.passes * (2 + width.min(self.extents.hidden).div_ceil(unrolled)))
    }

    /// Ranges of steps that the device gets through in one dispatch each, in the order taken.
    fn ranges(&self, profile: &DeviceProfile) -> Vec<[usize; 2]> {
        let time = self.extents.time;
        let steps = if self.form.sequence {
            // One more for what a range begins with.
            (profile.max_loop_iterations as usize / (1 + self.step_loops())).saturating_sub(1).clamp(1, time)
        } else {
            1
        };
        (0..time).step_by(steps).map(|first| [first, (first + steps).min(time)]).collect()
    }

    /// Bytes that a range goes through of what its kernels bind.
    fn range_bytes(&self, [first, last]: [usize; 2]) -> u64 {
        let [by_step, whole] = self.elements.map(|elements| 4 * elements as u64);
        by_step / self.extents.time as u64 * (last - first) as u64 + whole
    }

    /// Loop iterations of a range.
    fn range_loops(&self, [first, last]: [usize; 2]) -> usize {
        if self.form.sequence { (last - first + 1) * (1 + self.step_loops()) } else { self.step_loops() }
    }
}

/// A kernel of a step, or of a range of steps, by its names forward and backward.
#[derive(Clone, Copy, Debug)]
struct Entry {
    names: [&'static str; 2],
    /// Whether it makes the gates of a step alone, whose candidate waits for them: it makes no states,
    /// and needs no gradient of `y`.
    is_partial: bool,
}

impl Form {
    /// The kernels that a range of steps takes, in the order of the way forward.
    fn entries(&self, cell: Cell) -> &'static [Entry] {
        match (self.sequence, cell) {
            (true, _) => &[Entry { names: ["forward_sequence", "backward_sequence"], is_partial: false }],
            (false, Cell::Gru(GruReset::Before)) => &[
                Entry { names: ["forward_gates", "backward_gates"], is_partial: true },
                Entry { names: ["forward_candidate", "backward_candidate"], is_partial: false },
            ],
            (false, _) => &[Entry { names: ["forward_step", "backward_step"], is_partial: false }],
        }
    }
}

pub(super) fn forward(cx: &mut Lowering<'_>, spec: &Spec, extents: Extents) {
    let form = Form::choose(cx.profile, spec, extents);
    let small = Small::new(cx, form, spec, 2, Slot::Input(1));
    let Extents { hidden, .. } = extents;
    let columns = spec.cell.gates() * hidden;
    let weight = match form.panel {
        Some(panel) => (arrange(cx, form, Slot::Input(1), [hidden, columns], [columns, 1], panel), panel),
        None => (Slot::Input(1), columns),
    };
    let passes = spec.previous();
    let by_step = [&cx.inputs[..1], &cx.outputs[..1], &cx.outputs[2..]].concat();
    let whole = [&cx.inputs[1..], &cx.outputs[1..2]].concat();
    let elements = [by_step, whole].map(|types| types.iter().map(TensorType::numel).sum());
    let calls = Calls { spec, extents, form, small, weight, has_dy: false, staged: 1, passes, elements };
    let [y, states, previous, saved] = [0, 1, 2, 3].map(Slot::Output);
    let has_saved = cx.outputs.len() > 3;
    for range in calls.ranges(cx.profile) {
        for entry in form.entries(spec.cell) {
            let call = calls.call(entry.names[0], range).loops(calls.range_loops(range));
            let call = call.bytes(calls.range_bytes(range));
            let call = call.binds([Slot::Input(0), weight.0, calls.small.bind, y]);
            let call = call.binds((!entry.is_partial).then_some(states)).bind(previous);
            cx.call(call.binds(has_saved.then_some(saved)));
        }
    }
}

pub(super) fn backward(cx: &mut Lowering<'_>, op: &RecurGrad, extents: Extents) {
    let spec = &op.spec;
    let form = Form::choose(cx.profile, spec, extents);
    let small = Small::new(cx, form, spec, 2 + usize::from(op.has_dy), Slot::Input(0));
    let (gates, Extents { hidden, .. }) = (spec.cell.gates(), extents);
    let panel = form.panel.unwrap_or(hidden);
    let transposed = [gates * hidden, hidden];
    let weight = (arrange(cx, form, Slot::Input(0), transposed, [1, gates * hidden], panel), panel);
    let products: Vec<Slot> = (0..1 + usize::from(spec.splits())).map(Slot::Output).collect();
    let [recorded, others] = [2 + usize::from(op.has_dy), products.len()];
    let by_step = [&cx.inputs[1..recorded], &cx.outputs[..others]].concat();
    let whole = [&cx.inputs[..1], &cx.inputs[recorded..], &cx.outputs[others..]].concat();
    let elements = [by_step, whole].map(|types| types.iter().map(TensorType::numel).sum());
    let (has_dy, staged, passes) = (op.has_dy, gates, gates);
    let calls = Calls { spec, extents, form, small, weight, has_dy, staged, passes, elements };
    let carry = if op.initial {
        Slot::Output(products.len())
    } else {
        cx.scratch(4 * (spec.cell.states() * extents.batch * extents.hidden) as u64)
    };
    let dy = if op.has_dy { Slot::Input(2) } else { Slot::Input(0) };
    for range in calls.ranges(cx.profile).into_iter().rev() {
        for entry in form.entries(spec.cell).iter().rev() {
            let call = calls.call(entry.names[1], range).loops(calls.range_loops(range));
            let call = call.bytes(calls.range_bytes(range));
            let call = call.binds([weight.0, calls.small.bind, Slot::Input(1)]);
            let call = call.binds((!entry.is_partial).then_some(dy)).binds(products.iter().copied());
            cx.call(call.bind(carry));
        }
    }
    // What the first step's gates give to the initial state; the sequence of a cell with two products
    // has added that already.
    let complete = form.sequence && spec.cell == Cell::Gru(GruReset::Before);
    if op.initial && !complete {
        let calls = Calls { form: Form { width: TILE, ..form }, ..calls };
        let call = calls.call("initial_grad", [0, 0]).loops(calls.step_loops());
        cx.call(call.binds([weight.0, calls.small.bind, products[products.len() - 1], carry]));
    }
}
