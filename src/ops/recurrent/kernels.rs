//! Which kernels compute a recurrence, and their dispatches.
//!
//! The rule looks at the sizes and the device alone: one kernel for all steps where a workgroup has
//! room for all units, up to [`WIDEST`] of them; a kernel for each step where not.

use super::operator::{Part, RecurGrad, Spec};
use super::{Cell, CellActivation, Extents, GruReset, RecurrentRoute};
use crate::kernel::{Bind, Grid, KernelCall, Shader, Slot};
use crate::ops::{Lowering, word};
use crate::shape::TensorType;
use crate::tape::DeviceProfile;

pub(in crate::ops) static SIMPLE: Shader = built_in!(
    "simple_rnn",
    "../../../shaders/simple_rnn.wgsl",
    "../../../shaders/recurrent_steps.wgsl",
    "../../../shaders/recurrent.wgsl"
);
pub(in crate::ops) static LSTM: Shader = built_in!(
    "lstm",
    "../../../shaders/lstm.wgsl",
    "../../../shaders/recurrent_steps.wgsl",
    "../../../shaders/recurrent.wgsl"
);
pub(in crate::ops) static GRU: Shader = built_in!(
    "gru",
    "../../../shaders/gru.wgsl",
    "../../../shaders/recurrent_steps.wgsl",
    "../../../shaders/recurrent.wgsl"
);

crate::params! {
    struct StepParams {
        batch: u32, time: u32, hidden: u32, first: u32, last: u32, tiles: u32, truncate: u32,
        bias_at: u32, initial_at: u32, cell_at: u32, mask_at: u32, peepholes_at: u32, lengths_at: u32,
        last_at: u32,
    }
}

crate::params! {
    struct PackParams { ends_lo: [u32; 4], ends_hi: [u32; 2], n: u32 }
}

/// Sequences of a workgroup.
const ROWS: usize = 8;
/// Most units of a workgroup that goes through all steps.
const WIDEST: usize = 256;
/// Units of a workgroup that makes one step.
const TILE: usize = 64;
/// Bytes that a unit of eight sequences takes in workgroup memory.
const STAGED_BYTES: usize = 32;

fn shader(cell: Cell) -> &'static Shader {
    match cell {
        Cell::Simple => &SIMPLE,
        Cell::Lstm => &LSTM,
        Cell::Gru(_) => &GRU,
    }
}

fn kernel_number(activation: CellActivation) -> f64 {
    let place = CellActivation::ALL.iter().position(|&a| a == activation);
    place.map_or(f64::NAN, |at| at as f64)
}

/// Threads of a workgroup with all units.
fn width(hidden: usize) -> usize {
    hidden.next_multiple_of(32)
}

/// Whether one kernel goes through all steps.
fn is_sequence(profile: &DeviceProfile, spec: &Spec, hidden: usize) -> bool {
    let width = width(hidden);
    let bytes = width * spec.cell.gates() * STAGED_BYTES;
    let most = |limit: u32| usize::try_from(limit).unwrap_or(usize::MAX);
    match spec.route {
        RecurrentRoute::Sequence => true,
        RecurrentRoute::Steps => false,
        RecurrentRoute::Auto | RecurrentRoute::Unrolled => {
            width <= WIDEST
                && width <= most(profile.max_invocations)
                && width <= most(profile.max_workgroup_size[0])
                && bytes <= most(profile.max_workgroup_bytes)
        }
    }
}

/// The small operands as the kernels take them: a binding, and where in it each part begins.
struct Small {
    bind: Bind,
    parts: Vec<(Part, u32)>,
}

impl Small {
    /// Packs the parts, whose inputs begin at `first`; a single one is bound as it is, and for none
    /// `stand_in`.
    fn new(cx: &mut Lowering<'_>, spec: &Spec, first: usize, stand_in: Slot) -> Self {
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
            _ => pack(cx, shader(spec.cell), &slots, &words),
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

/// What the calls of a recurrence have in common.
struct Calls<'a> {
    spec: &'a Spec,
    extents: Extents,
    small: Small,
    /// The gradient of `y` is given.
    has_dy: bool,
    /// The number of staged elements of a unit.
    staged: usize,
}

impl Calls<'_> {
    /// The call of `entry` for steps `first` to `last`, in workgroups of `width` threads.
    fn call(&self, entry: &'static str, width: usize, [first, last]: [usize; 2]) -> KernelCall {
        let (spec, small) = (self.spec, &self.small);
        let Extents { batch, time, hidden, .. } = self.extents;
        let tiles = hidden.div_ceil(width);
        let params = StepParams {
            batch: word(batch),
            time: word(time),
            hidden: word(hidden),
            first: word(first),
            last: word(last),
            tiles: word(tiles),
            truncate: word(spec.truncate),
            bias_at: small.at(Part::Bias),
            initial_at: small.at(Part::Hidden),
            cell_at: small.at(Part::Cell),
            mask_at: small.at(Part::Mask),
            peepholes_at: small.at(Part::Peepholes),
            lengths_at: small.at(Part::Lengths),
            last_at: small.at(Part::Last),
        };
        let mut call = KernelCall::new(shader(spec.cell), entry)
            .constant("WIDTH", width as f64)
            .constant("STAGED", (width * self.staged) as f64)
            .constant("ACTIVATION", kernel_number(spec.activation))
            .constant("GATE", kernel_number(spec.gate));
        for (name, on) in [
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
        call.params(&params).grid(Grid::linear(batch.div_ceil(ROWS) * tiles, 1))
    }

    /// Loop iterations of a step: `unrolled` units at a time, and those left over.
    fn step_loops(&self, width: usize, unrolled: usize) -> usize {
        let stage = width.min(self.extents.hidden);
        let tiles = self.extents.hidden.div_ceil(width);
        tiles * (1 + self.staged + stage.div_ceil(unrolled) + unrolled)
    }

    /// Ranges of steps that the device gets through in one dispatch each, in the order taken.
    fn ranges(&self, profile: &DeviceProfile, loops: usize) -> Vec<[usize; 2]> {
        let time = self.extents.time;
        let most = (profile.max_loop_iterations as usize / (1 + loops)).saturating_sub(1).clamp(1, time);
        (0..time).step_by(most).map(|first| [first, (first + most).min(time)]).collect()
    }
}

/// Units that the products of a step take at a time, forward and backward.
const UNROLLED: [usize; 2] = [4, 2];

pub(super) fn forward(cx: &mut Lowering<'_>, spec: &Spec, extents: Extents) {
    let small = Small::new(cx, spec, 2, Slot::Input(1));
    let calls = Calls { spec, extents, small, has_dy: false, staged: 1 };
    let outputs: Vec<Slot> = (0..cx.outputs.len()).map(Slot::Output).collect();
    let bound = |call: KernelCall| {
        call.binds([Slot::Input(0), Slot::Input(1)]).bind(calls.small.bind).binds(outputs.iter().copied())
    };
    if is_sequence(cx.profile, spec, extents.hidden) {
        let width = width(extents.hidden);
        let loops = calls.step_loops(width, UNROLLED[0]);
        for [first, last] in calls.ranges(cx.profile, loops) {
            let call = calls.call("forward_sequence", width, [first, last]);
            cx.call(bound(call.loops((last - first) * (1 + loops))));
        }
    } else {
        let loops = calls.step_loops(TILE, UNROLLED[0]);
        for s in 0..extents.time {
            cx.call(bound(calls.call("forward_step", TILE, [s, s + 1]).loops(loops)));
        }
    }
}

pub(super) fn backward(cx: &mut Lowering<'_>, op: &RecurGrad, extents: Extents) {
    let spec = &op.spec;
    let first_part = 2 + usize::from(op.has_dy);
    let small = Small::new(cx, spec, first_part, Slot::Input(0));
    let staged = spec.cell.gates();
    let calls = Calls { spec, extents, small, has_dy: op.has_dy, staged };
    let products: Vec<Slot> = (0..1 + usize::from(spec.splits())).map(Slot::Output).collect();
    let carry = if op.initial {
        Slot::Output(products.len())
    } else {
        let TensorType { shape, .. } = TensorType::f32([spec.cell.states(), extents.batch, extents.hidden]);
        cx.scratch(4 * shape.numel() as u64)
    };
    let dy = if op.has_dy { Slot::Input(2) } else { Slot::Input(0) };
    let bound = |call: KernelCall| {
        let call = call.bind(Slot::Input(0)).bind(calls.small.bind).binds([Slot::Input(1), dy]);
        call.binds(products.iter().copied()).binds([carry])
    };
    if is_sequence(cx.profile, spec, extents.hidden) {
        let width = width(extents.hidden);
        let loops = calls.step_loops(width, UNROLLED[1]);
        for [first, last] in calls.ranges(cx.profile, loops).into_iter().rev() {
            let call = calls.call("backward_sequence", width, [first, last]);
            cx.call(bound(call.loops((last - first + 1) * (1 + loops))));
        }
    } else {
        let loops = calls.step_loops(TILE, UNROLLED[1]);
        for s in (0..extents.time).rev() {
            cx.call(bound(calls.call("backward_step", TILE, [s, s + 1]).loops(loops)));
        }
    }
    if op.initial {
        // The product with the gates' gradients of the first step; nothing of y is read.
        let call = calls.call("initial_grad", TILE, [0, 0]).loops(calls.step_loops(TILE, UNROLLED[1]));
        let slopes = products[products.len() - 1];
        cx.call(call.bind(Slot::Input(0)).bind(calls.small.bind).binds([slopes, carry]));
    }
}

/// Whether there are kernels for the cell.
pub(super) fn is_fused(cell: Cell) -> bool {
    cell != Cell::Gru(GruReset::Before)
}
