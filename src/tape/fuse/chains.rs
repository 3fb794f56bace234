use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

use crate::dtype::DType;
use crate::graph::{Node, Phase, Source, Value};
use crate::kernel::{DeviceKind, DeviceProfile, Scalar};
use crate::ops::chain::{Chain, Member, Operand};
use crate::ops::{Pointwise, RandomKey, scalar_read};
use crate::shape::{Shape, TensorType};
use crate::tape::Tape;

/// The most operators of a chain, so that a driver need not look at an endless kernel.
const LONGEST: usize = 32;

/// Puts the elementwise operators of a tape together.
struct Chains<'a> {
    tape: &'a Tape,
    profile: &'a DeviceProfile,
    /// The operator that makes each value.
    makers: HashMap<Value, usize>,
    readers: HashMap<Value, Vec<usize>>,
    /// The operators that overwrite each value.
    writers: HashMap<Value, Vec<usize>>,
    /// The group of each operator that is in one.
    group_of: Vec<Option<usize>>,
    groups: Vec<Group>,
    draws: Draws,
}

/// How chains draw random numbers.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Draws {
    /// They don't: a software driver is slow to compile a generator into a product's kernel.
    Never,
    /// As an operator by itself does: the executor tells them the step.
    Told,
    /// By a key that they read, which has the step in it.
    Keyed(Value),
}

/// Operators that may become one chain, at the place of the last.
type Group = BTreeSet<usize>;

/// What a chain reads from elsewhere: its own shape, and that which it is stretched to unless a head reads
/// it.
type Read = (Value, Shape, Option<Shape>);

/// A chain with what it is recorded under.
struct Built {
    chain: Chain,
    inputs: Vec<Value>,
    outputs: Vec<Value>,
}

impl Tape {
    /// Puts elementwise operators that follow each other into one.
    /// Without `kernels`, for an executor that has none.
    pub(super) fn chain(&mut self, profile: &DeviceProfile, kernels: bool) {
        let draws = match profile.kind {
            _ if !kernels => Draws::Told,
            DeviceKind::Cpu => Draws::Never,
            DeviceKind::Gpu => Draws::Keyed(self.recording.add_result(RandomKey::ty())),
        };
        let mut chains = Chains::new(self, profile, draws);
        (0..self.ops.len()).for_each(|index| chains.take(index));
        self.ops = chains.emit();
    }
}

impl<'a> Chains<'a> {
    fn new(tape: &'a Tape, profile: &'a DeviceProfile, draws: Draws) -> Self {
        let group_of = vec![None; tape.ops().len()];
        let (makers, writers) = (tape.makers(), tape.writers());
        Chains {
            tape,
            profile,
            makers,
            readers: tape.readers(),
            writers,
            group_of,
            groups: Vec::new(),
            draws,
        }
    }

    /// Puts an operator into a group: with those that its operands come from, as far as they may be together.
    fn take(&mut self, index: usize) {
        if self.pointwise(index).is_none() {
            return;
        }
        let node = &self.tape.ops()[index];
        let numel = self.numel(node.outputs[0]);
        // A head is the first of its chain.
        let operands = if self.is_head(index) { &[][..] } else { &node.inputs };
        let mut before: Vec<usize> =
            operands.iter().filter_map(|&input| self.group_before(input, numel)).collect();
        before.sort_unstable();
        before.dedup();
        let mut group = Group::from([index]);
        let all = before.iter().fold(group.clone(), |all, &g| &all | &self.groups[g]);
        if self.may_be_one(&all) {
            group = all;
        } else {
            for &other in before.iter().rev() {
                let more = &group | &self.groups[other];
                group = if self.may_be_one(&more) { more } else { group };
            }
        }
        let number = self.groups.len();
        group.iter().for_each(|&member| self.group_of[member] = Some(number));
        self.groups.push(group);
    }

    fn pointwise(&self, index: usize) -> Option<Pointwise> {
        let node = &self.tape.ops()[index];
        let is_float = node.outputs.iter().all(|&output| self.tape.info(output).ty.dtype.is_float());
        let op = node.op.as_ref();
        // Results beside the first are those of heads.
        let has_one = node.outputs.iter().skip(1).all(|&output| self.readers_of(output).is_empty());
        let may_draw = |does: &Pointwise| does.is_function() || self.draws != Draws::Never;
        let alone =
            Pointwise::of(op).filter(|does| is_float && has_one && does.is_continuous() && may_draw(does));
        alone.or(Pointwise::of_head(op).filter(|_| is_float))
    }

    fn is_head(&self, index: usize) -> bool {
        self.pointwise(index) == Some(Pointwise::Head)
    }

    fn numel(&self, value: Value) -> usize {
        self.tape.info(value).ty.numel()
    }

    /// The group that an operand of so many elements comes from.
    fn group_before(&self, input: Value, numel: usize) -> Option<usize> {
        let maker = *self.makers.get(&self.tape.root(input))?;
        self.group_of[maker].filter(|_| self.numel(input) == numel)
    }

    /// Whether operators may run as one at the place of the last: no other reads what they make before that,
    /// what they read is not overwritten before that, and a kernel takes their operands.
    fn may_be_one(&self, group: &Group) -> bool {
        let Some(&last) = group.last() else { return false };
        let in_time = group.iter().all(|&member| {
            let node = &self.tape.ops()[member];
            let readers = node.outputs.iter().flat_map(|&output| self.readers_of(output));
            let read_before = readers.into_iter().any(|r| *r < last && !group.contains(r));
            let overwritten = |input: &Value| {
                let writers = self.writers.get(&self.tape.root(*input));
                writers.into_iter().flatten().any(|writer| (member + 1..last).contains(writer))
            };
            !read_before && !node.inputs.iter().any(overwritten)
        });
        in_time && group.len() <= LONGEST && (group.len() == 1 || self.build(group).is_some())
    }

    fn readers_of(&self, value: Value) -> &[usize] {
        self.readers.get(&value).map_or(&[], Vec::as_slice)
    }

    /// The chain of a group, if a kernel takes as much.
    fn build(&self, group: &Group) -> Option<Built> {
        let (mut order, others): (Vec<usize>, Vec<usize>) =
            group.iter().partition(|&&index| self.is_head(index));
        let heads = order.len();
        order.extend(others);
        let number_of: HashMap<usize, usize> =
            order.iter().enumerate().map(|(number, &index)| (index, number)).collect();
        let mut read = Vec::new();
        let members = order.iter().map(|&index| self.member(index, &number_of, &mut read));
        let members: Vec<Member> = members.collect::<Option<_>>()?;
        let is_input = |(operand, _): &(Operand, Shape)| matches!(operand, Operand::Input(_));
        if heads > 1 || members.iter().take(heads).any(|head| !head.operands.iter().all(is_input)) {
            return None;
        }
        let is_read = |&&index: &&usize| {
            let readers = self.readers_of(self.tape.ops()[index].outputs[0]);
            readers.iter().any(|reader| !group.contains(reader))
        };
        let (mut outputs, numbers): (Vec<Value>, Vec<usize>) = (order.iter().filter(is_read))
            .map(|index| (self.tape.ops()[*index].outputs[0], number_of[index]))
            .unzip();
        let stretched: Vec<(Shape, Shape)> =
            read.iter().filter_map(|&(_, own, to)| Some((own, to?))).collect();
        let head = order.iter().take(heads).flat_map(|&index| &self.tape.ops()[index].outputs);
        let head: Vec<Value> = head.copied().collect();
        // Where its kernels cannot do the rest, what a head makes is stored as the result is: in no less than its own
        // precision.
        let dtype = |value: Option<&Value>| value.map(|&value| self.tape.info(value).ty.dtype);
        if dtype(head.first()) == Some(DType::F32) && dtype(outputs.first()) == Some(DType::F16) {
            return None;
        }
        let chain = Chain::new(members, numbers, &stretched, self.tape.types(&head))?;
        let bytes = outputs.iter().map(|&output| self.tape.padded_bytes(output)).max()?;
        let is_bound = chain.has_ranges() || bytes <= self.profile.max_binding_bytes;
        let buffers = stretched.len() + outputs.len() + usize::from(chain.is_random());
        outputs.extend(head.into_iter().skip(1));
        let key = self.key().filter(|_| chain.is_random());
        let inputs = read.into_iter().map(|(input, ..)| input).chain(key).collect();
        let fits = is_bound && buffers <= self.profile.max_storage_buffers as usize;
        fits.then_some(Built { chain, inputs, outputs })
    }

    /// An operator as a member of a chain; what it reads from elsewhere is added to `read`.
    fn member(
        &self,
        index: usize,
        number_of: &HashMap<usize, usize>,
        read: &mut Vec<Read>,
    ) -> Option<Member> {
        let node = &self.tape.ops()[index];
        let (does, TensorType { shape, dtype }) =
            (self.pointwise(index)?, self.tape.info(node.outputs[0]).ty);
        let is_head = does == Pointwise::Head;
        let operand = |(position, &input): (usize, &Value)| {
            let own = self.tape.info(input).ty.shape;
            let maker = self.makers.get(&self.tape.root(input)).and_then(|maker| number_of.get(maker));
            let found = if let Some(&member) = maker.filter(|_| is_head || own.numel() == shape.numel()) {
                Operand::Member(member)
            } else if let Some(number) = self.number(input).filter(|_| !is_head) {
                Operand::Number(number)
            } else if let Some(scalar) = self.scalar(input).filter(|_| !is_head) {
                Operand::Scalar(scalar)
            } else {
                let to = (!is_head).then_some(shape);
                let read_as = does.operand_shape(position, own, shape.rank());
                let known = read.iter().position(|known| to.is_some() && *known == (input, read_as, to));
                Operand::Input(known.unwrap_or_else(|| {
                    read.push((input, read_as, to));
                    read.len() - 1
                }))
            };
            (found, own)
        };
        let operands = node.inputs.iter().enumerate().map(operand).collect();
        Some(Member { node: node.clone(), does, operands, shape, dtype })
    }

    /// A constant of one number that a kernel's source can hold.
    fn number(&self, value: Value) -> Option<f32> {
        let Source::Constant(data) = &self.tape.info(value).source else { return None };
        let &[number] = &data[..] else { return None };
        let number = number as f32;
        let is_plain = number.is_normal() || number.to_bits() == 0;
        is_plain.then_some(number)
    }

    fn scalar(&self, value: Value) -> Option<Scalar> {
        let maker = *self.makers.get(&self.tape.root(value))?;
        scalar_read(self.tape.ops()[maker].op.as_ref())
    }

    /// The operators with the groups as chains, each at the place of its last member, and views of results
    /// where these are made.
    fn emit(&self) -> Vec<Node> {
        let tape = self.tape.ops();
        let mut nodes: Vec<Node> = Vec::with_capacity(tape.len());
        let mut waiting: Vec<Node> = Vec::new();
        // What is yet to be made, by chains and views of their results.
        let mut late: BTreeSet<Value> = BTreeSet::new();
        let mut chains = self.built();
        nodes.extend(self.key_node(&chains));
        for (index, node) in tape.iter().enumerate() {
            let group = self.group_of[index].filter(|group| chains[*group].is_some());
            if group.is_some_and(|group| self.groups[group].last() != Some(&index)) {
                late.extend(&node.outputs);
            } else if let Some((group, built)) = group.and_then(|group| Some((group, chains[group].take()?)))
            {
                let Built { chain, inputs, outputs } = built;
                nodes.push(Node { op: Arc::new(chain), inputs, outputs, ..node.clone() });
                for output in self.groups[group].iter().flat_map(|&member| &tape[member].outputs) {
                    late.remove(output);
                }
                for view in std::mem::take(&mut waiting) {
                    if late.contains(&view.inputs[0]) {
                        waiting.push(view);
                    } else {
                        late.remove(&view.outputs[0]);
                        nodes.push(view);
                    }
                }
            } else if node.op.is_view() && late.contains(&node.inputs[0]) {
                late.extend(&node.outputs);
                waiting.push(node.clone());
            } else {
                nodes.push(node.clone());
            }
        }
        nodes
    }

    fn key(&self) -> Option<Value> {
        let Draws::Keyed(key) = self.draws else { return None };
        Some(key)
    }

    /// The operator that makes the key, if any chain reads it.
    fn key_node(&self, chains: &[Option<Built>]) -> Option<Node> {
        let key = self.key().filter(|key| chains.iter().flatten().any(|built| built.inputs.contains(key)))?;
        let first = self.tape.ops().first()?;
        let (op, layer, phase) = (Arc::new(RandomKey), 0, Phase::Forward);
        Some(Node { op, inputs: Vec::new(), outputs: vec![key], layer, at: first.at, phase })
    }

    /// The chain of each group that operators are in, where it is worth it.
    fn built(&self) -> Vec<Option<Built>> {
        let current: BTreeSet<usize> = self.group_of.iter().flatten().copied().collect();
        let chain = |group: usize| current.contains(&group).then(|| self.build(&self.groups[group]))?;
        (0..self.groups.len()).map(|group| chain(group).filter(Built::is_worth_it)).collect()
    }
}

impl Built {
    /// Whether it stands for more than one kernel.
    fn is_worth_it(&self) -> bool {
        let members = self.chain.members();
        let scalars = members.iter().flat_map(|m| &m.operands).any(|(o, _)| matches!(o, Operand::Scalar(_)));
        members.len() > 1 || scalars
    }
}
