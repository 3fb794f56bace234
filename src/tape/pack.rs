//! Which values lie side by side in one buffer. It is decided over the whole tape before anything is
//! lowered, since an operator's kernel calls depend on it.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::ops::Range;

use super::Tape;
use super::bind::Clash;
use super::plan::{BufferRole, pad};
use crate::dtype::DType;
use crate::error::{Error, Result};
use crate::graph::{Node, Run, Value};
use crate::kernel::{DeviceProfile, Slot};

/// Where a value lies in an arena.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Place {
    /// Index of the arena.
    pub arena: usize,
    /// First byte.
    pub offset: u64,
}

/// Where another session has the parameters and states that this tape is to share with it.
#[derive(Clone, Debug, Default)]
pub(crate) struct SharedLayout {
    /// Bytes of its buffers.
    pub arenas: Vec<u64>,
    /// This tape's values in them.
    pub places: BTreeMap<Value, Place>,
}

/// The buffers that hold several values each, and what operators gain by them.
pub(super) struct Packing<'a> {
    pub tape: &'a Tape,
    shared: &'a SharedLayout,
    /// What stays in buffers of its own.
    apart: &'a BTreeSet<Value>,
    limits: Limits,
    /// Bytes of each arena; those of the shared layout come first.
    pub arenas: Vec<u64>,
    /// Where values lie that are in an arena; views are not listed, what they view is.
    pub places: HashMap<Value, Place>,
    /// The runs of each operator on the tape.
    pub runs: Vec<Vec<Run>>,
    /// Whether every element takes 4 bytes, as those do that the CPU computes with.
    wide: bool,
}

/// An operand of an operator, views replaced by what they view, and its padded bytes.
type Operand = (Value, u64);

/// Where an operand of an operator may lie.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Home {
    /// In an arena already.
    Placed(Place),
    /// In an arena of its own kind, yet to be made.
    Fresh(BufferRole),
}

/// Positions that have been gathered for a run, all operands of a class in one arena.
struct Chunk {
    positions: Vec<usize>,
    /// Where the first position's operands are, by class; `None` where they stay in buffers of their own.
    homes: Option<Vec<Home>>,
    /// By class: from the first operand's first byte to the last one's last.
    bytes: Vec<u64>,
}

/// What limits a run on a device.
#[derive(Clone, Copy)]
struct Limits {
    /// Operands begin at multiples of this.
    alignment: u64,
    /// Bytes of the largest run.
    bytes: u64,
}

impl Limits {
    fn new(profile: &DeviceProfile) -> Self {
        let alignment = u64::from(profile.offset_alignment).max(pad(1));
        Limits { alignment, bytes: profile.max_binding_bytes.min(profile.max_buffer_bytes) }
    }

    /// The first place for an operand at or after `bytes`.
    fn align(&self, bytes: u64) -> u64 {
        bytes.div_ceil(self.alignment).saturating_mul(self.alignment)
    }
}

impl Chunk {
    /// Whether the next position's operands, at `homes` by class, go on where the last ones end.
    fn takes(&self, homes: &[Home], operands: &[Operand], limits: Limits) -> bool {
        let Some(first) = &self.homes else { return false };
        (0..operands.len()).all(|class| {
            let next = limits.align(self.bytes[class]);
            let follows = match (first[class], homes[class]) {
                (Home::Placed(a), Home::Placed(b)) => a.arena == b.arena && a.offset + next == b.offset,
                (first, home) => first == home,
            };
            follows && next.saturating_add(operands[class].1) <= limits.bytes
        })
    }

    fn add(&mut self, position: usize, operands: &[Operand], limits: Limits) {
        self.positions.push(position);
        for (bytes, (_, size)) in self.bytes.iter_mut().zip(operands) {
            *bytes = limits.align(*bytes) + size;
        }
    }

    fn run(&self, classes: &[Range<usize>], limits: Limits) -> Run {
        let (first, last) = (self.positions[0], self.positions[self.positions.len() - 1]);
        let slot = |class: &Range<usize>| match first == last {
            true => Slot::Input(class.start + first),
            false => Slot::Inputs(class.start + first, class.start + last),
        };
        let elements = |&bytes: &u64| usize::try_from(bytes / 4).unwrap_or(usize::MAX);
        Run {
            positions: self.positions.clone(),
            elements: self.bytes.iter().map(elements).collect(),
            alignment: elements(&limits.alignment),
            slots: classes.iter().map(slot).collect(),
        }
    }
}

impl<'a> Packing<'a> {
    /// Packs what the operators ask for, in their order. The values in `apart` stay in buffers of
    /// their own.
    pub fn new(
        tape: &'a Tape,
        profile: &DeviceProfile,
        shared: &'a SharedLayout,
        apart: &'a BTreeSet<Value>,
    ) -> Result<Self> {
        let (limits, arenas) = (Limits::new(profile), shared.arenas.clone());
        let places = shared.places.iter().map(|(&value, &place)| (value, place)).collect();
        let mut packing =
            Packing { tape, shared, apart, limits, arenas, places, runs: Vec::new(), wide: false };
        let (then, first): (Vec<usize>, Vec<usize>) =
            (0..tape.ops().len()).partition(|&op| tape.ops()[op].op.follows_packs());
        packing.runs = vec![Vec::new(); tape.ops().len()];
        for op in first.into_iter().chain(then) {
            packing.runs[op] = packing.pack(&tape.ops()[op])?;
        }
        Ok(packing)
    }

    /// Every value in a buffer of its own.
    pub fn none(tape: &'a Tape) -> Self {
        static SHARED: SharedLayout = SharedLayout { arenas: Vec::new(), places: BTreeMap::new() };
        static APART: BTreeSet<Value> = BTreeSet::new();
        let limits = Limits { alignment: pad(1), bytes: u64::MAX };
        let (arenas, places, runs) = (Vec::new(), HashMap::new(), Vec::new());
        Packing { tape, shared: &SHARED, apart: &APART, limits, arenas, places, runs, wide: true }
    }

    /// Bytes of a value, padded.
    pub fn bytes_of(&self, value: Value) -> u64 {
        if self.wide {
            pad(4 * self.tape.info(value).ty.numel() as u64)
        } else {
            self.tape.padded_bytes(value)
        }
    }

    fn pack(&mut self, node: &Node) -> Result<Vec<Run>> {
        let (classes, limits) = (node.op.packs(), self.limits);
        let positions = self.positions(node, &classes)?;
        let mut chunks: Vec<Chunk> = Vec::new();
        let mut seen = HashSet::new();
        for (position, operands) in positions.iter().enumerate() {
            let repeated = operands.iter().filter(|operand| !seen.insert(operand.0)).count() > 0;
            let homes: Option<Vec<Home>> = operands.iter().map(|operand| self.home(operand.0)).collect();
            let is_new = |home: &Home| matches!(home, Home::Fresh(_));
            let homes = homes.filter(|homes| !node.op.follows_packs() || !homes.iter().any(is_new));
            let homes = homes.filter(|_| !repeated && operands.iter().all(|&(_, size)| size <= limits.bytes));
            let taking = |homes: &Vec<Home>| chunks.iter().rposition(|c| c.takes(homes, operands, limits));
            let open = homes.as_ref().and_then(taking).unwrap_or(chunks.len());
            if open == chunks.len() {
                chunks.push(Chunk { positions: Vec::new(), homes, bytes: vec![0; classes.len()] });
            }
            chunks[open].add(position, operands, limits);
        }
        for chunk in chunks.iter().filter(|chunk| chunk.positions.len() > 1) {
            for (class, home) in chunk.homes.iter().flatten().enumerate() {
                if let Home::Fresh(_) = home {
                    self.make_arena(chunk.positions.iter().map(|&position| positions[position][class]));
                }
            }
        }
        Ok(chunks.iter().map(|chunk| chunk.run(&classes, limits)).collect())
    }

    /// The operands at each position, by class.
    fn positions(&self, node: &Node, classes: &[Range<usize>]) -> Result<Vec<Vec<Operand>>> {
        let operand = |&input: &Value| (self.tape.root(input), self.tape.padded_bytes(input));
        let positions = classes.iter().map(|range| range.len()).max().unwrap_or(0);
        let found = |class: usize, position: usize| {
            let input = classes[class].clone().nth(position).and_then(|input| node.inputs.get(input));
            input.map(operand).ok_or(Error::PackMismatch { op: node.op.name(), class, position })
        };
        let all_at = |position: usize| (0..classes.len()).map(|class| found(class, position)).collect();
        (0..positions).map(all_at).collect()
    }

    /// Where a value may lie: nowhere but in its own buffer if the program writes it or it never
    /// changes.
    fn home(&self, value: Value) -> Option<Home> {
        if let Some(&place) = self.places.get(&value) {
            return Some(Home::Placed(place));
        }
        let role = BufferRole::of(&self.tape.info(value).source);
        let is_packed = !matches!(role, BufferRole::Input | BufferRole::Constant)
            && self.tape.info(value).ty.dtype != DType::F16
            && !self.apart.contains(&value);
        is_packed.then_some(Home::Fresh(role))
    }

    fn make_arena(&mut self, operands: impl Iterator<Item = Operand>) {
        let (arena, mut end) = (self.arenas.len(), 0);
        for (operand, bytes) in operands {
            let offset = self.limits.align(end);
            self.places.insert(operand, Place { arena, offset });
            end = offset + bytes;
        }
        self.arenas.push(end);
    }

    /// Of two sets of values that may not be in one buffer, the one to take out of it; `None` if both
    /// are where another session has them.
    pub fn movable<'c>(&self, clash: &'c Clash) -> Option<&'c [Value]> {
        let moves = |side: &&Vec<Value>| side.iter().all(|v| !self.shared.places.contains_key(v));
        clash.values.iter().rev().filter(moves).min_by_key(|side| side.len()).map(Vec::as_slice)
    }

    /// The inputs of operator `op` that a slot stands for, if it is one of its inputs or runs.
    pub fn inputs(&self, op: usize, slot: Slot) -> Option<Vec<usize>> {
        match slot {
            Slot::Input(input) => Some(vec![input]),
            Slot::Inputs(first, _) => {
                let run = self.runs[op].iter().find(|run| run.slots.contains(&slot))?;
                Some(run.positions.iter().map(|p| first - run.positions[0] + p).collect())
            }
            Slot::Output(_) | Slot::Scratch(_) => None,
        }
    }
}
