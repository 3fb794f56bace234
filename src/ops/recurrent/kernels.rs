//! Which kernels compute a recurrence, and their dispatches.
//!
//! The rule looks at the sizes and the device alone: one kernel for all steps where a workgroup has
//! room for all units, up to [`WIDEST`] of them; a kernel for each step where not. On a software driver
//! with subgroups of 8 they pass states around by shuffles, take 16 sequences at a time from large
//! batches, and put large weights into panels first.

use super::operator::{Part, RecurGrad, Spec};
use super::{Cell, CellActivation, Extents, GruReset, RecurrentRoute};
use crate::kernel::Bind;
use crate::ops::common::*;

/// The shader of a cell with the products for any device, and with those for subgroups of 8.
macro_rules! cell {
    ($plain:ident, $lanes:ident, $name:literal, $($path:literal),+) => {
        pub(in crate::ops) static $plain: Shader = built_in!(
            $name,
            $($path,)+
            "../../../shaders/recurrent_plain.wgsl",
            "../../../shaders/recurrent.wgsl"
        );
        pub(in crate::ops) static $lanes: Shader = built_in!(
            $name,
            $($path,)+
            "../../../shaders/recurrent_lanes.wgsl",
            "../../../shaders/recurrent.wgsl"
        );
    };
}
cell!(
    SIMPLE,
    SIMPLE_LANES,
    "simple_rnn",
    "../../../shaders/simple_rnn.wgsl",
    "../../../shaders/recurrent_steps.wgsl"
);
cell!(LSTM, LSTM_LANES, "lstm", "../../../shaders/lstm.wgsl", "../../../shaders/recurrent_steps.wgsl");
cell!(GRU, GRU_LANES, "gru", "../../../shaders/gru.wgsl", "../../../shaders/recurrent_steps.wgsl");
cell!(GRU_BEFORE, GRU_BEFORE_LANES, "gru_before", "../../../shaders/gru_before.wgsl");

/// Every shader of the family.
pub(in crate::ops) const SHADERS: [&Shader; 8] =
    [&SIMPLE, &LSTM, &GRU, &GRU_BEFORE, &SIMPLE_LANES, &LSTM_LANES, &GRU_LANES, &GRU_BEFORE_LANES];

crate::params! {
    struct StepParams {
        batch: u32, time: u32, hidden: u32, first: u32, last: u32, tiles: u32, panel: u32,
        truncate: u32,
        bias_at: u32, initial_at: u32, cell_at: u32, mask_at: u32, peepholes_at: u32, lengths_at: u32,
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
        let [plain, shuffled]: [&'static Shader; 2] = match spec.cell {
            Cell::Simple => [&SIMPLE, &SIMPLE_LANES],
            Cell::Lstm => [&LSTM, &LSTM_LANES],
            Cell::Gru(GruReset::After) => [&GRU, &GRU_LANES],
            Cell::Gru(GruReset::Before) => [&GRU_BEFORE, &GRU_BEFORE_LANES],
        };
        let shader = if lanes { shuffled } else { plain };
        let wide = lanes && extents.batch > NARROW_BATCH;
        let rows = if wide { 16 } else { 8 };
        let whole = extents.hidden.next_multiple_of(32);
        let bytes = 4 * rows * whole * spec.cell.gates();
        let most = |limit: u32| usize::try_from(limit).unwrap_or(usize::MAX);
        let sequence = match spec.route {
            RecurrentRoute::Sequence => true,
            RecurrentRoute::Steps => false,
            RecurrentRoute::Auto => {
                whole <= WIDEST
                    && whole <= most(profile.max_invocations)
                    && whole <= most(profile.max_workgroup_size[0])
                    && bytes <= most(profile.max_workgroup_bytes)
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

fn kernel_number(activation: CellActivation) -> f64 {
    let place = CellActivation::ALL.iter().position(|&a| a == activation);
    place.map_or(f64::NAN, |at| at as f64)
}

/// The small operands as the kernels take them: a binding, and where in it each part begins.
struct Small {
    bind: Bind,
    parts: Vec<(Part, u32)>,
}

impl Small {
    /// Packs the parts, whose inputs begin at `first`; a single one is bound as it is, and for none
    /// `stand_in`.
    fn new(cx: &mut Lowering<'_>, form: Form, spec: &Spec, first: usize, stand_in: Slot) -> Self {
        let words: Vec<usize> = cx.inputs[first..].iter().map(|ty| ty.numel()).collect();
        let mut end = 0;
        let starts = spec.parts.iter().zip(&words).map(|(&part, &n)| {
            end += n;
            (part, word(end - n))
        });
        let parts: Vec<(Part, u32)> = starts.collect();
        let slots: Vec<Slot> = (0..words.len()).map(|i| Slot::Input(first + i)).collect();
        let bind = match slots[..] {
            [] => stand_in,
            [only] => only,
            _ => pack(cx, form.shader, &slots, &words),
        };
        Small { bind: bind.into(), parts }
    }

    fn at(&self, part: Part) -> u32 {
        self.parts.iter().find(|&&(p, _)| p == part).map_or(0, |&(_, at)| at)
    }
}

fn pack(cx: &mut Lowering<'_>, shader: &'static Shader, slots: &[Slot], words: &[usize]) -> Slot {
    let n = words.iter().sum();
    let mut ends = [word(n); 6];
    let mut end = 0;
    for (place, &count) in ends.iter_mut().zip(words) {
        end += count;
        *place = word(end);
    }
    let params =
        PackParams { ends_lo: [ends[0], ends[1], ends[2], ends[3]], ends_hi: [ends[4], ends[5]], n: word(n) };
    let packed = cx.scratch(4 * n as u64);
    let sources = (0..6).map(|i| slots.get(i).copied().unwrap_or(slots[0]));
    let call = KernelCall::new(shader, "pack").params(&params).grid(Grid::linear(n, 64));
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
    [row_stride, column_stride]: [usize; 2],
    panel: usize,
) -> Slot {
    let n = rows * columns.next_multiple_of(panel);
    let params = ArrangeParams {
        n: word(n),
        rows: word(rows),
        panel: word(panel),
        columns: word(columns),
        row_stride: word(row_stride),
        column_stride: word(column_stride),
    };
    let arranged = cx.scratch(4 * n as u64);
    let call = KernelCall::new(form.shader, "arrange").params(&params).grid(Grid::linear(n, 64));
    cx.call(call.binds([given, arranged]));
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
}

impl Calls<'_> {
    /// The call of `entry` for steps `first` to `last`.
    fn call(&self, entry: &'static str, [first, last]: [usize; 2]) -> KernelCall {
        let (spec, small, Form { rows, width, .. }) = (self.spec, &self.small, self.form);
        let Extents { batch, time, hidden, .. } = self.extents;
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
            lengths_at: small.at(Part::Lengths),
            last_at: small.at(Part::Last),
        };
        let mut call = KernelCall::new(self.form.shader, entry)
            .constant("WIDTH", width as f64)
            .constant("STAGED", (width * self.staged * rows / 4) as f64)
            .constant("ACTIVATION", kernel_number(spec.activation))
            .constant("GATE", kernel_number(spec.gate));
        for (name, on) in [
            ("WIDE", rows == 16),
            ("REVERSE", spec.reverse),
            ("HAS_BIAS", spec.has(Part::Bias)),
            ("HAS_INITIAL", spec.has(Part::Hidden) || spec.has(Part::Cell)),
            ("HAS_MASK", spec.has(Part::Mask)),
            ("HAS_PEEPHOLES", spec.has(Part::Peepholes)),
            ("HAS_LENGTHS", spec.has(Part::Lengths)),
            ("HAS_DY", self.has_dy),
            ("HAS_LAST", spec.has(Part::Last)),
        ] {
            call = call.constant(name, f64::from(u8::from(on)));
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

    /// Loop iterations of a range.
    fn range_loops(&self, [first, last]: [usize; 2]) -> usize {
        if self.form.sequence { (last - first + 1) * (1 + self.step_loops()) } else { self.step_loops() }
    }
}

/// The kernels of a step, or of a range of steps, each bound to the operands that it uses.
#[derive(Clone, Copy, Debug)]
enum Entry {
    /// All steps of a range.
    Sequence,
    /// One step.
    Step,
    /// The gates of a step whose candidate waits for them.
    Gates,
    /// The candidate of such a step.
    Candidate,
}

impl Form {
    /// The kernels that a range of steps takes, in the order of the way forward.
    fn entries(&self, cell: Cell) -> &'static [Entry] {
        match (self.sequence, cell) {
            (true, _) => &[Entry::Sequence],
            (false, Cell::Gru(GruReset::Before)) => &[Entry::Gates, Entry::Candidate],
            (false, _) => &[Entry::Step],
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
    let passes = if spec.cell == Cell::Gru(GruReset::Before) { 2 } else { 1 };
    let calls = Calls { spec, extents, form, small, weight, has_dy: false, staged: 1, passes };
    let [y, states, previous, saved] = [0, 1, 2, 3].map(Slot::Output);
    let has_saved = cx.outputs.len() > 3;
    for range in calls.ranges(cx.profile) {
        for entry in form.entries(spec.cell) {
            let (name, outputs) = match entry {
                Entry::Sequence => ("forward_sequence", vec![y, states, previous]),
                Entry::Step => ("forward_step", vec![y, states, previous]),
                Entry::Gates => ("forward_gates", vec![y, previous]),
                Entry::Candidate => ("forward_candidate", vec![y, states, previous]),
            };
            let call = calls.call(name, range).loops(calls.range_loops(range));
            let call = call.binds([Slot::Input(0), weight.0]).bind(calls.small.bind).binds(outputs);
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
    let calls = Calls { spec, extents, form, small, weight, has_dy: op.has_dy, staged: gates, passes: gates };
    let products: Vec<Slot> = (0..1 + usize::from(spec.splits())).map(Slot::Output).collect();
    let carry = if op.initial {
        Slot::Output(products.len())
    } else {
        cx.scratch(4 * (spec.cell.states() * extents.batch * extents.hidden) as u64)
    };
    let dy = if op.has_dy { Slot::Input(2) } else { Slot::Input(0) };
    for range in calls.ranges(cx.profile).into_iter().rev() {
        for entry in form.entries(spec.cell).iter().rev() {
            let (name, reads_dy) = match entry {
                Entry::Sequence => ("backward_sequence", true),
                Entry::Step => ("backward_step", true),
                Entry::Gates => ("backward_gates", false),
                Entry::Candidate => ("backward_candidate", true),
            };
            let call = calls.call(name, range).loops(calls.range_loops(range));
            let call = call.bind(weight.0).bind(calls.small.bind).binds([Slot::Input(1)]);
            let call = call.binds(reads_dy.then_some(dy)).binds(products.iter().copied());
            cx.call(call.binds([carry]));
        }
    }
    // What the first step's gates give to the initial state; the sequence of a cell with two products
    // has added that already.
    let complete = form.sequence && spec.cell == Cell::Gru(GruReset::Before);
    if op.initial && !complete {
        let calls = Calls { form: Form { width: TILE, ..form }, ..calls };
        let call = calls.call("initial_grad", [0, 0]).loops(calls.step_loops());
        let call = call.bind(weight.0).bind(calls.small.bind);
        cx.call(call.binds([products[products.len() - 1], carry]));
    }
}
