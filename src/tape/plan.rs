use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

use super::Tape;
use super::bind::{Binder, Clash};
use super::overlap::{Used, set_apart};
use super::pack::{Packing, Place, SharedLayout};
use crate::dtype::DType;
use crate::error::{Error, Result};
use crate::graph::{Lowering, Node, Source, StateKind, Value};
use crate::kernel::{Access, DeviceProfile, EntryPoint, KernelCall, Scalar, Shader, Work};

/// Buffers are padded to this, so that kernels may move four elements at a time.
const PADDING: u64 = 16;

/// The most bindings that a value is worked on in.
const MOST_RANGES: u64 = 1 << 16;

/// What a buffer holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum BufferRole {
    /// An input or labels, written by the program.
    Input,
    /// A parameter.
    Parameter,
    /// State that the tape advances.
    State,
    /// A constant.
    Constant,
    /// Results within a step, one after the other.
    Transient,
}

impl BufferRole {
    /// What the buffer of a value from this source holds.
    pub(super) fn of(source: &Source) -> Self {
        match source {
            Source::Input | Source::Labels => BufferRole::Input,
            Source::State(StateKind::Weight { trained: true }, _) => BufferRole::Parameter,
            Source::State(..) => BufferRole::State,
            Source::Constant(_) => BufferRole::Constant,
            Source::Op { .. } => BufferRole::Transient,
        }
    }
}

/// One buffer of a plan.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct BufferPlan {
    /// Size in bytes, padded to 16.
    pub bytes: u64,
    /// What it holds.
    pub role: BufferRole,
}

/// Where a value lives, and when.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct ValuePlan {
    /// The value.
    pub value: Value,
    /// Its name, or `%` and its number in the graph.
    pub name: String,
    /// Its bytes, padded to 16.
    pub bytes: u64,
    /// Index of its buffer in [`Plan::buffers`].
    pub buffer: usize,
    /// Its first byte there.
    pub offset: u64,
    /// The operator that makes it; 0 for persistent values.
    pub first: usize,
    /// The last operator that reads it or a view of it; the number of operators if it is kept.
    pub last: usize,
    /// The input of its operator whose buffer it took over or is a view of.
    pub aliases: Option<Value>,
}

/// A buffer range bound to a kernel.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub struct BoundBuffer {
    /// Binding number.
    pub binding: u32,
    /// Read or read-write.
    pub access: Access,
    /// Index of the buffer in [`Plan::buffers`].
    pub buffer: usize,
    /// First byte.
    pub offset: u64,
    /// Number of bytes.
    pub bytes: u64,
    /// What its elements are; [`DType::F32`] of scratch space, whatever the kernel makes of it.
    pub dtype: DType,
}

/// One dispatch of the plan.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Dispatch {
    /// Index of its operator on the tape that was planned.
    pub op: usize,
    /// The shader.
    pub shader: &'static Shader,
    /// The entry point.
    pub entry: &'static str,
    /// The `override` constants.
    pub constants: Vec<(&'static str, f64)>,
    /// What reflection found.
    pub reflected: Arc<EntryPoint>,
    /// The bindings.
    pub bindings: Vec<BoundBuffer>,
    /// The parameter block.
    pub params: Vec<u8>,
    /// Per-step scalars and the byte offsets at which they go into the parameters.
    pub scalars: Vec<(usize, Scalar)>,
    /// Workgroups along x, y and z.
    pub groups: [u32; 3],
    /// The most loop iterations of an invocation, as the operator declared them.
    pub loops: u64,
    /// What there is to do.
    pub work: Work,
}

impl Dispatch {
    /// The binding numbers of what has elements of half precision.
    pub fn halves(&self) -> Vec<u32> {
        let is_half = |bound: &&BoundBuffer| bound.dtype == DType::F16;
        self.bindings.iter().filter(is_half).map(|bound| bound.binding).collect()
    }
}

/// Everything a session allocates and dispatches, known before it does.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Plan {
    /// The device it was made for.
    pub profile: DeviceProfile,
    /// The buffers.
    pub buffers: Vec<BufferPlan>,
    /// Every value that has a buffer, in the order they come to life.
    pub values: Vec<ValuePlan>,
    /// The dispatches in order.
    pub dispatches: Vec<Dispatch>,
    pub(super) by_value: BTreeMap<Value, usize>,
    /// Bytes of the scratch space of all operators.
    scratch: u64,
}

/// Where values live on a device without kernels.
pub(crate) struct Layout {
    pub buffers: Vec<BufferPlan>,
    pub values: Vec<ValuePlan>,
    /// Per operator, the input whose buffer output 0 has taken over.
    pub in_place: Vec<Option<usize>>,
}

impl Tape {
    /// Gives every value a buffer, of which it takes the beginning: dead ones' are used again.
    pub(crate) fn layout(&self) -> Layout {
        let packing = Packing::none(self);
        let mut groups = Groups::new(&packing);
        let in_place = self.ops.iter().enumerate().map(|(index, node)| groups.place(index, node)).collect();
        let (buffers, buffer_of) = groups.assign();
        let mut values = groups.values;
        values.iter_mut().for_each(|value| value.buffer = buffer_of[value.buffer]);
        Layout { buffers, values, in_place }
    }

    /// Plans buffers and dispatches for a device, and checks every limit it has. The plan of a session is
    /// that of the
    /// [fused](Tape::fuse) tape.
    ///
    /// # Errors
    /// [`Error::Limit`] with the operator, its layer, what is needed and what is allowed;
    /// [`Error::NoHalfPrecision`]; [`Error::Argument`] for a profile that no device has.
    pub fn plan(&self, profile: &DeviceProfile) -> Result<Plan> {
        self.plan_with(profile, &SharedLayout::default())
    }

    /// [`plan`](Tape::plan), with shared values where the other session has them.
    pub(crate) fn plan_with(&self, profile: &DeviceProfile, shared: &SharedLayout) -> Result<Plan> {
        profile.check()?;
        self.check_dtypes(profile)?;
        self.check_values(profile)?;
        let mut apart = BTreeSet::new();
        loop {
            let packing = Packing::new(self, profile, shared, &apart)?;
            let (plan, clashes) = self.plan_packed(profile, &packing)?;
            if clashes.is_empty() {
                return Ok(plan);
            }
            // Every round takes at least one more value out of its arena.
            let movable = |clash| packing.movable(clash).ok_or_else(|| self.unsharable(clash));
            let moved: Vec<_> = clashes.iter().map(movable).collect::<Result<_>>()?;
            apart.extend(moved.concat());
        }
    }

    fn unsharable(&self, clash: &Clash) -> Error {
        let [one, other] = clash.values.each_ref().map(|v| self.recording.describe(v[0]));
        let op = self.ops[clash.op].title();
        Error::share(format!(
            "`{op}` reads one of `{one}` and `{other}` and writes the other, and they lie in one buffer there"
        ))
    }

    /// A plan, and where a kernel may not use values that the packing put into one buffer.
    fn plan_packed(&self, profile: &DeviceProfile, packing: &Packing<'_>) -> Result<(Plan, Vec<Clash>)> {
        let mut groups = Groups::new(packing);
        let mut lowered = Vec::with_capacity(self.ops.len());
        for (index, node) in self.ops.iter().enumerate() {
            let in_place = groups.place(index, node);
            if node.op.is_view() {
                continue;
            }
            let mut cx = Lowering {
                profile,
                inputs: &self.types(&node.inputs),
                outputs: &self.types(&node.outputs),
                in_place,
                runs: &packing.runs[index],
                calls: Vec::new(),
                scratch: Vec::new(),
            };
            node.op.lower(&mut cx)?;
            cx.share(node.op.as_ref());
            let most = cx.scratch.iter().copied().max().unwrap_or(0);
            self.check_bytes(profile, index, "size of a scratch buffer in bytes", most)?;
            let add = |&bytes: &u64| groups.add(pad(bytes), index, BufferRole::Transient);
            lowered.push((index, cx.calls, cx.scratch.iter().map(add).collect::<Vec<_>>()));
        }
        let (mut buffers, buffer_of) = groups.assign();
        let total = buffers.iter().map(|buffer| buffer.bytes).sum();
        let used: Vec<Used> =
            lowered.iter().map(|(op, calls, scratch)| groups.used(*op, calls, scratch)).collect();
        let Groups { all, mut values, by_value, .. } = groups;
        let buffer_of = set_apart(&used, buffer_of, &|group| all[group].bytes, total, |group| {
            buffers.push(BufferPlan { bytes: all[group].bytes, role: all[group].role });
            buffers.len() - 1
        });
        values.iter_mut().for_each(|value| value.buffer = buffer_of[value.buffer]);
        let scratch = lowered.iter().flat_map(|(_, _, groups)| groups).map(|&group| all[group].bytes).sum();
        let (profile, dispatches) = (profile.clone(), Vec::new());
        let plan = Plan { profile, buffers, values, dispatches, by_value, scratch };
        let mut binder = Binder { plan, packing, clashes: Vec::new() };
        for (op, calls, scratch) in lowered {
            let scratch: Vec<_> =
                scratch.into_iter().map(|group| (buffer_of[group], all[group].bytes)).collect();
            calls.into_iter().try_for_each(|call| binder.bind(op, call, &scratch))?;
        }
        Ok((binder.plan, binder.clashes))
    }

    /// Bytes of a value, padded.
    pub(super) fn padded_bytes(&self, value: Value) -> u64 {
        pad(self.recording.ty(value).bytes())
    }

    /// Refuses values that the kernels of a device do not read and write.
    fn check_dtypes(&self, profile: &DeviceProfile) -> Result<()> {
        let is_half = |value: &Value| self.info(*value).ty.dtype == DType::F16;
        let Some(&value) = self.held.iter().find(|value| !profile.f16 && is_half(value)) else {
            return Ok(());
        };
        let user = self.ops.iter().find(|node| node.touched().any(|touched| touched == value));
        let op = user.map_or_else(|| "the tape".to_owned(), Node::title);
        let layer = user.map_or("", |node| self.layer(node)).to_owned();
        let value = self.recording.describe(value);
        Err(Error::NoHalfPrecision { op, value, layer, device: profile.name.clone() })
    }

    /// Refuses values too large for a buffer, or for so many bindings that no one would wait for them.
    fn check_values(&self, profile: &DeviceProfile) -> Result<()> {
        let most = profile.max_binding_bytes.saturating_mul(MOST_RANGES);
        let limits = [
            ("buffer size in bytes", profile.max_buffer_bytes, profile.max_buffer_bytes),
            ("storage binding size in bytes", most, profile.max_binding_bytes),
        ];
        for &value in &self.held {
            let needed = self.padded_bytes(value);
            let Some(&(what, _, limit)) = limits.iter().find(|&&(_, most, _)| needed > most) else {
                continue;
            };
            let user = self.ops.iter().find(|n| n.touched().any(|v| v == value));
            let layer = user.map_or("", |n| self.layer(n)).to_owned();
            let op = user.map_or_else(|| "the tape".to_owned(), Node::title);
            let (value, device) = (self.recording.describe(value).into(), profile.name.clone());
            return Err(Error::Limit { op, value, layer, what, needed, limit, device });
        }
        Ok(())
    }

    /// Refuses what an operator needs beyond a buffer.
    fn check_bytes(&self, profile: &DeviceProfile, op: usize, what: &'static str, needed: u64) -> Result<()> {
        let (limit, node) = (profile.max_buffer_bytes, &self.ops[op]);
        if needed <= limit {
            return Ok(());
        }
        let (op, layer) = (node.title(), self.layer(node).to_owned());
        Err(Error::Limit {
            op,
            value: Box::default(),
            layer,
            what,
            needed,
            limit,
            device: profile.name.clone(),
        })
    }
}

/// Values that share storage: a value, its views, and the results that took its buffer over; or all
/// values of an arena.
struct Group {
    bytes: u64,
    first: usize,
    last: usize,
    /// A transient group shares its buffer with others at other times. One of any other role lives all the
    /// step, so that it has its buffer for itself.
    role: BufferRole,
}

struct Groups<'a> {
    packing: &'a Packing<'a>,
    all: Vec<Group>,
    /// Where each value lives, with its group for a buffer until the groups have theirs.
    values: Vec<ValuePlan>,
    by_value: BTreeMap<Value, usize>,
    /// The group of each arena, from its first value on.
    arenas: Vec<Option<usize>>,
    last_use: HashMap<Value, usize>,
}

impl<'a> Groups<'a> {
    fn new(packing: &'a Packing<'a>) -> Self {
        let mut groups = Groups {
            packing,
            all: Vec::new(),
            values: Vec::new(),
            by_value: BTreeMap::new(),
            arenas: vec![None; packing.arenas.len()],
            last_use: packing.tape.last_uses(),
        };
        for value in packing.tape.persistent() {
            groups.settle(value, 0, BufferRole::of(&packing.tape.info(value).source));
        }
        groups
    }

    fn value(&self, value: Value) -> &ValuePlan {
        &self.values[self.by_value[&value]]
    }

    /// A group that lives from operator `first` on; returns its number.
    fn add(&mut self, bytes: u64, first: usize, role: BufferRole) -> usize {
        self.all.push(Group { bytes, first, last: first, role });
        self.all.len() - 1
    }

    /// Puts a value that takes over no other's storage into its arena, or else into a group of its own.
    fn settle(&mut self, value: Value, first: usize, role: BufferRole) {
        let Some(&Place { arena, offset }) = self.packing.places.get(&value) else {
            let group = self.add(self.packing.bytes_of(value), first, role);
            return self.join(value, group, 0, first, None);
        };
        let bytes = self.packing.arenas[arena];
        let group = self.arenas[arena].unwrap_or_else(|| self.add(bytes, first, role));
        self.arenas[arena] = Some(group);
        self.join(value, group, offset, first, None);
    }

    fn join(&mut self, value: Value, group: usize, offset: u64, first: usize, aliases: Option<Value>) {
        let last = self.last_use[&value];
        self.all[group].last = self.all[group].last.max(last);
        let tape = self.packing.tape;
        let (name, bytes) = (tape.recording.describe(value), self.packing.bytes_of(value));
        self.by_value.insert(value, self.values.len());
        self.values.push(ValuePlan { value, name, bytes, buffer: group, offset, first, last, aliases });
    }

    /// Gives the outputs of operator `index` their groups; returns the input whose buffer output
    /// 0 takes over.
    fn place(&mut self, index: usize, node: &Node) -> Option<usize> {
        let taken = if node.op.is_view() {
            Some(0)
        } else {
            let candidates = node.op.in_place(&self.packing.tape.types(&node.inputs));
            candidates.into_iter().find(|&input| self.may_take(index, node, input))
        };
        for (number, &output) in node.outputs.iter().enumerate() {
            match taken {
                Some(input) if number == 0 => {
                    let source = node.inputs[input];
                    let &ValuePlan { buffer, offset, .. } = self.value(source);
                    self.join(output, buffer, offset, index, Some(source));
                }
                _ => self.settle(output, index, BufferRole::Transient),
            }
        }
        taken.filter(|_| !node.op.is_view())
    }

    /// Whether output 0 may have the buffer of an input: nothing else needs that, and neither has a place
    /// in an arena.
    fn may_take(&self, index: usize, node: &Node, input: usize) -> bool {
        let (group, output) = (self.value(node.inputs[input]).buffer, node.outputs[0]);
        let mut others = node.inputs.iter().enumerate().filter(|&(i, _)| i != input);
        let alone = others.all(|(_, &v)| self.value(v).buffer != group);
        let packed = self.packing.places.contains_key(&output) || self.arenas.contains(&Some(group));
        let Group { bytes, last, role, .. } = self.all[group];
        let dtypes = [node.inputs[input], output].map(|value| self.packing.tape.info(value).ty.dtype);
        let fits = role == BufferRole::Transient
            && bytes == self.packing.bytes_of(output)
            && dtypes[0].bytes() == dtypes[1].bytes();
        fits && last == index && alone && !packed
    }

    /// What an operator uses: its calls, and the groups of its scratch.
    fn used(&self, op: usize, calls: &[KernelCall], scratch: &[usize]) -> Used {
        let node = &self.packing.tape.ops[op];
        let group = |value: Value| self.value(value).buffer;
        let read = node.inputs.iter().map(|&value| group(value)).collect();
        let written: BTreeSet<usize> = node.written().map(group).chain(scratch.iter().copied()).collect();
        let is_begun = |group: &usize| {
            let Group { first, role, .. } = self.all[*group];
            first == op && role == BufferRole::Transient && !self.arenas.contains(&Some(*group))
        };
        // What several calls write waits in between.
        let begun = written.iter().copied().filter(|group| calls.len() == 1 && is_begun(group)).collect();
        Used { read, written, begun }
    }

    /// Gives groups their buffers: persistent ones each its own; the others, largest first, of the buffers
    /// whose groups are all dead while this one lives the one in which it leaves the smallest gap.
    fn assign(&self) -> (Vec<BufferPlan>, Vec<usize>) {
        let (persistent, mut results): (Vec<usize>, Vec<usize>) =
            (0..self.all.len()).partition(|&i| self.all[i].role != BufferRole::Transient);
        results.sort_by_key(|&i| (Reverse(self.all[i].bytes), self.all[i].first));
        let mut buffers = Vec::new();
        let mut buffer_of = vec![usize::MAX; self.all.len()];
        // Per buffer, which operators it is busy at: where a persistent group is in it, at all of them.
        let mut busy: Vec<Vec<bool>> = Vec::new();
        for index in persistent.into_iter().chain(results) {
            let Group { bytes, first, last, role } = self.all[index];
            let is_idle = |at: &&bool| !**at;
            // Around the group, in the buffer's life so far.
            let gap = |b: &[bool]| {
                b[..first].iter().rev().take_while(is_idle).count()
                    + b[last + 1..].iter().take_while(is_idle).count()
            };
            let free = busy.iter().enumerate().filter(|(_, b)| !b[first..=last].contains(&true));
            let best = free.min_by_key(|(_, b)| gap(b)).map(|(number, _)| number);
            let chosen = best.unwrap_or_else(|| {
                busy.push(vec![false; self.packing.tape.ops.len() + 1]);
                buffers.push(BufferPlan { bytes, role });
                busy.len() - 1
            });
            busy[chosen][first..=last].fill(true);
            buffer_of[index] = chosen;
        }
        (buffers, buffer_of)
    }
}

pub(super) fn pad(bytes: u64) -> u64 {
    bytes.saturating_add(PADDING - 1) / PADDING * PADDING
}

impl Plan {
    /// Bytes of all buffers: what a session allocates, and so its peak.
    pub fn peak_bytes(&self) -> u64 {
        self.buffers.iter().map(|b| b.bytes).sum()
    }

    /// Bytes that the values, and the scratch space of operators, would take without any sharing.
    pub fn unshared_bytes(&self) -> u64 {
        self.scratch + self.values.iter().map(|v| v.bytes).sum::<u64>()
    }

    /// What there is to do in a step: that of all dispatches.
    pub fn work(&self) -> Work {
        self.dispatches.iter().map(|dispatch| dispatch.work).sum()
    }

    /// Bytes of the buffers of one role.
    pub fn role_bytes(&self, role: BufferRole) -> u64 {
        self.buffers.iter().filter(|b| b.role == role).map(|b| b.bytes).sum()
    }

    /// Where a value lives.
    pub fn value(&self, value: Value) -> Option<&ValuePlan> {
        self.by_value.get(&value).map(|&i| &self.values[i])
    }
}
