use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

use super::Tape;
use super::bind::{Binder, Clash};
use super::pack::{Packing, SharedLayout};
use crate::error::{Error, Result};
use crate::graph::{Lowering, Node, Run, Source, StateKind, Value};
use crate::kernel::{Access, DeviceProfile, EntryPoint, KernelCall, Scalar, Shader};
use crate::shape::TensorType;

/// Buffers are padded to this, so that kernels may move four elements at a time.
const PADDING: u64 = 16;

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
}

/// One dispatch of the plan.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Dispatch {
    /// Index of its operator on the tape.
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
}

impl Tape {
    /// Plans buffers and dispatches for a device, and checks every limit it has.
    ///
    /// # Errors
    /// [`Error::Limit`] with the operator, its layer, what is needed and what is allowed.
    pub fn plan(&self, profile: &DeviceProfile) -> Result<Plan> {
        self.plan_with(profile, &SharedLayout::default())
    }

    /// [`plan`](Tape::plan), with shared values where the other session has them.
    pub(crate) fn plan_with(&self, profile: &DeviceProfile, shared: &SharedLayout) -> Result<Plan> {
        let mut apart = BTreeSet::new();
        loop {
            let packing = Packing::new(self, profile, shared, &apart)?;
            let (plan, clashes) = self.plan_packed(profile, &packing)?;
            if clashes.is_empty() {
                return Ok(plan);
            }
            // Every round takes at least one more value out of its arena.
            for clash in clashes {
                let moved = packing.movable(&clash.values).ok_or_else(|| self.unsharable(&clash))?;
                apart.extend(moved);
            }
        }
    }

    fn unsharable(&self, clash: &Clash) -> Error {
        let [one, other] = clash.values.each_ref().map(|v| self.recording.describe(v[0]));
        let op = self.ops[clash.op].op.name();
        let message = format!(
            "`{op}` reads one of `{one}` and `{other}` and writes the other, and they lie in one buffer there"
        );
        Error::Share { message }
    }

    /// A plan, and where a kernel may not use values that the packing put into one buffer.
    fn plan_packed(&self, profile: &DeviceProfile, packing: &Packing<'_>) -> Result<(Plan, Vec<Clash>)> {
        let mut groups = Groups::new(self, packing);
        let mut lowered = Vec::with_capacity(self.ops.len());
        for (index, node) in self.ops.iter().enumerate() {
            let in_place = groups.place(self, packing, index, node);
            lowered.push(self.lower(node, profile, in_place, &packing.runs[index])?);
            for &bytes in &lowered[index].1 {
                groups.scratch.push((index, groups.all.len()));
                groups.add(pad(bytes), index, None);
            }
        }
        let (buffers, buffer_of) = groups.assign(self);
        let mut plan = Plan {
            profile: profile.clone(),
            buffers,
            values: Vec::new(),
            dispatches: Vec::new(),
            by_value: BTreeMap::new(),
        };
        for (value, group, aliases) in &groups.members {
            let (first, last) = (groups.made[value], groups.last_use[value]);
            let bytes = pad(self.recording.ty(*value).bytes());
            plan.by_value.insert(*value, plan.values.len());
            let (value, aliases, buffer) = (*value, *aliases, buffer_of[*group]);
            let offset = groups.offsets[&value];
            let name = self.recording.describe(value);
            plan.values.push(ValuePlan { value, name, bytes, buffer, offset, first, last, aliases });
        }
        self.check_buffers(&plan)?;
        let mut binder = Binder { tape: self, plan: &mut plan, packing, clashes: Vec::new() };
        for (index, (calls, _)) in lowered.into_iter().enumerate() {
            let scratch = groups.scratch.iter().filter(|(op, _)| *op == index);
            let scratch: Vec<_> = scratch.map(|&(_, g)| (buffer_of[g], groups.all[g].bytes)).collect();
            for call in calls {
                binder.bind(index, call, &scratch)?;
            }
        }
        let clashes = binder.clashes;
        Ok((plan, clashes))
    }

    fn types(&self, values: &[Value]) -> Vec<TensorType> {
        values.iter().map(|&v| self.recording.ty(v)).collect()
    }

    fn lower(
        &self,
        node: &Node,
        profile: &DeviceProfile,
        in_place: Option<usize>,
        runs: &[Run],
    ) -> Result<(Vec<KernelCall>, Vec<u64>)> {
        let (inputs, outputs) = (self.types(&node.inputs), self.types(&node.outputs));
        if node.op.is_view() {
            return Ok((Vec::new(), Vec::new()));
        }
        let mut cx = Lowering {
            profile,
            inputs: &inputs,
            outputs: &outputs,
            in_place,
            runs,
            calls: Vec::new(),
            scratch: Vec::new(),
        };
        node.op.lower(&mut cx)?;
        Ok((cx.calls, cx.scratch))
    }

    pub(super) fn limit(
        &self,
        node: &Node,
        profile: &DeviceProfile,
        what: &'static str,
        needed: u64,
        limit: u64,
    ) -> Error {
        let (op, layer) = (node.op.name().to_owned(), self.layer(node).to_owned());
        Error::Limit { op, layer, what, needed, limit, device: profile.name.clone() }
    }

    /// Refuses values too large for a buffer, naming the operator and layer that made or first
    /// used them.
    fn check_buffers(&self, plan: &Plan) -> Result<()> {
        let limit = plan.profile.max_buffer_bytes;
        for value in &plan.values {
            let needed = value.bytes;
            if needed > limit {
                let touches = |n: &&Node| n.inputs.contains(&value.value) || n.outputs.contains(&value.value);
                let layer = self.ops.iter().find(touches).map_or("", |n| self.layer(n)).to_owned();
                let op = format!("`{}`", self.recording.describe(value.value));
                let device = plan.profile.name.clone();
                return Err(Error::Limit { op, layer, what: "buffer size in bytes", needed, limit, device });
            }
        }
        Ok(())
    }
}

/// Values that share storage: a value, its views, and the results that took its buffer over; or all
/// values of an arena.
struct Group {
    bytes: u64,
    first: usize,
    last: usize,
    /// The role of a persistent value, whose buffer nothing else may use.
    fixed: Option<BufferRole>,
}

struct Groups {
    all: Vec<Group>,
    of: HashMap<Value, usize>,
    /// First bytes of the values in their groups.
    offsets: HashMap<Value, u64>,
    /// The group of each arena, from its first value on.
    arenas: Vec<Option<usize>>,
    members: Vec<(Value, usize, Option<Value>)>,
    made: HashMap<Value, usize>,
    last_use: HashMap<Value, usize>,
    scratch: Vec<(usize, usize)>,
}

impl Groups {
    fn new(tape: &Tape, packing: &Packing<'_>) -> Self {
        let end = tape.ops.len();
        let mut last_use: HashMap<Value, usize> = HashMap::new();
        for (index, node) in tape.ops.iter().enumerate() {
            for &value in node.outputs.iter().chain(&node.inputs) {
                last_use.insert(value, index);
            }
        }
        last_use.extend(tape.kept.iter().map(|&v| (v, end)));
        let mut groups = Groups {
            all: Vec::new(),
            of: HashMap::new(),
            offsets: HashMap::new(),
            arenas: vec![None; packing.arenas.len()],
            members: Vec::new(),
            made: HashMap::new(),
            last_use,
            scratch: Vec::new(),
        };
        for value in tape.persistent() {
            let info = &tape.recording.values[value.index()];
            let role = match info.source {
                Source::Input | Source::Labels => BufferRole::Input,
                Source::State(StateKind::Weight { trained: true }, _) => BufferRole::Parameter,
                Source::State(..) => BufferRole::State,
                Source::Constant(_) | Source::Op { .. } => BufferRole::Constant,
            };
            groups.last_use.insert(value, end);
            groups.settle(packing, value, pad(info.ty.bytes()), 0, Some(role));
        }
        groups
    }

    /// A group that lives from operator `first` on; returns its number.
    fn add(&mut self, bytes: u64, first: usize, fixed: Option<BufferRole>) -> usize {
        self.all.push(Group { bytes, first, last: first, fixed });
        self.all.len() - 1
    }

    /// Puts a value that takes over no other's storage into its arena, or else into a group of its own.
    fn settle(
        &mut self,
        packing: &Packing<'_>,
        value: Value,
        bytes: u64,
        made: usize,
        fixed: Option<BufferRole>,
    ) {
        let place = packing.places.get(&value);
        let known = place.and_then(|place| self.arenas[place.arena]);
        let bytes = place.map_or(bytes, |place| packing.arenas[place.arena]);
        let group = known.unwrap_or_else(|| self.add(bytes, made, fixed));
        if let Some(place) = place {
            self.arenas[place.arena] = Some(group);
        }
        self.offsets.insert(value, place.map_or(0, |place| place.offset));
        self.join(value, group, made, None);
    }

    fn join(&mut self, value: Value, group: usize, made: usize, aliases: Option<Value>) {
        self.of.insert(value, group);
        self.members.push((value, group, aliases));
        self.made.insert(value, made);
        let last = self.last_use[&value];
        self.all[group].last = self.all[group].last.max(last);
    }

    /// Gives the outputs of operator `index` their groups; returns the input whose buffer output
    /// 0 takes over.
    fn place(&mut self, tape: &Tape, packing: &Packing<'_>, index: usize, node: &Node) -> Option<usize> {
        let types = tape.types(&node.inputs);
        let taken = if node.op.is_view() {
            Some(0)
        } else {
            let candidates = node.op.in_place(&types);
            let packed = node.outputs.first().is_some_and(|output| packing.places.contains_key(output));
            candidates.into_iter().find(|&input| !packed && self.may_take(tape, index, node, input))
        };
        for (number, &output) in node.outputs.iter().enumerate() {
            match taken {
                Some(input) if number == 0 => {
                    let source = node.inputs[input];
                    self.offsets.insert(output, self.offsets[&source]);
                    self.join(output, self.of[&source], index, Some(source));
                }
                _ => {
                    let bytes = pad(tape.recording.ty(output).bytes());
                    self.settle(packing, output, bytes, index, None);
                }
            }
        }
        taken.filter(|_| !node.op.is_view())
    }

    fn may_take(&self, tape: &Tape, index: usize, node: &Node, input: usize) -> bool {
        let group = self.of[&node.inputs[input]];
        let others = node.inputs.iter().enumerate().filter(|&(i, _)| i != input);
        let alone = others.into_iter().all(|(_, v)| self.of[v] != group);
        let bytes = pad(tape.recording.ty(node.outputs[0]).bytes());
        let candidate = &self.all[group];
        let arena = self.arenas.contains(&Some(group));
        candidate.fixed.is_none() && !arena && candidate.last == index && candidate.bytes == bytes && alone
    }

    /// Gives groups their buffers: persistent ones each its own; the others, largest first, the
    /// first buffer whose groups are all dead while this one lives.
    fn assign(&self, tape: &Tape) -> (Vec<BufferPlan>, Vec<usize>) {
        let mut buffers = Vec::new();
        let mut buffer_of = vec![usize::MAX; self.all.len()];
        for (index, group) in self.all.iter().enumerate() {
            if let Some(role) = group.fixed {
                buffer_of[index] = buffers.len();
                buffers.push(BufferPlan { bytes: group.bytes, role });
            }
        }
        let fixed = buffers.len();
        let mut order: Vec<usize> = (0..self.all.len()).filter(|&i| self.all[i].fixed.is_none()).collect();
        order.sort_by_key(|&i| (std::cmp::Reverse(self.all[i].bytes), self.all[i].first));
        // Per shared buffer, which operators it is busy at.
        let mut busy: Vec<Vec<bool>> = Vec::new();
        for index in order {
            let group = &self.all[index];
            let span = group.first..=group.last.min(tape.ops.len());
            let free = busy.iter().position(|b| !b[span.clone()].contains(&true));
            let chosen = free.unwrap_or_else(|| {
                busy.push(vec![false; tape.ops.len() + 1]);
                buffers.push(BufferPlan { bytes: group.bytes, role: BufferRole::Transient });
                busy.len() - 1
            });
            busy[chosen][span].fill(true);
            buffer_of[index] = fixed + chosen;
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

    /// Bytes that the values would take without any sharing.
    pub fn unshared_bytes(&self) -> u64 {
        self.values.iter().map(|v| v.bytes).sum()
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
