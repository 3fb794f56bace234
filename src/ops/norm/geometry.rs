//! Which elements share statistics and which share scale and shift, and how kernels walk them.

use crate::kernel::{BINDING_ALIGNMENT, Bind};
use crate::ops::common::*;

crate::params! {
    #[derive(Default)]
    struct NestParams {
        n: u32, count: u32, seg: u32, start: u32, seg_step: u32, step: u32,
        splits: u32, part: u32, groups: u32,
        channel_mod: u32, channel_mul: u32, channel_seg: u32,
        group_div: u32, group_seg: u32, group_pos: u32, epsilon: f32,
        variances: u32, momentum: f32, unbiased: f32, seconds: u32, block: u32, blocks: u32, down: f32,
    }
}

crate::params! {
    struct RunParams {
        n: u32, run: u32, chunks: u32, channels: u32, epsilon: f32, half: f32,
    }
}

/// An operand viewed as `[samples, sections, width, space]`, contiguous. Scale and shift belong to
/// the `sections * width` channels; a group with statistics of its own is one section, of one
/// sample or (`batch`, whose width is 1) of all.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Geometry {
    pub batch: bool,
    pub samples: usize,
    pub sections: usize,
    pub width: usize,
    pub space: usize,
}

/// The elements of a group or of a channel: `count` in segments of `seg`.
#[derive(Clone, Copy, Debug)]
pub(super) struct Nest {
    pub n: usize,
    pub count: usize,
    pub seg: usize,
    start: usize,
    seg_step: usize,
    step: usize,
    /// Whether neighbours along a segment are neighbours in memory and of one group.
    contiguous: bool,
}

/// The most elements of a nest that one thread goes through. llvmpipe silently ends an invocation's
/// loops after 65,535 iterations in all; three passes over this many elements, in segments of two at
/// worst, take five iterations for two elements.
const LANE: usize = 8192;

/// Elements of a nest that a workgroup makes of parts that others made: it merges these first.
const BLOCK: usize = 16_384;

/// The size that kernels work at on numbers far apart.
pub(super) const DOWN: f64 = 1.0 / (1u128 << 84) as f64;

/// How a nest is dispatched.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Route {
    /// By workgroup, not by thread.
    pub tree: bool,
    /// Parts of a nest.
    splits: usize,
    /// Elements of a part.
    part: usize,
}

/// How kernels walk nests.
#[derive(Clone, Copy, Debug)]
pub(super) struct Walk {
    pub nest: Nest,
    pub route: Route,
    params: NestParams,
}

impl Geometry {
    /// How many groups there are.
    pub fn groups(&self) -> usize {
        if self.batch { self.sections } else { self.samples * self.sections }
    }

    /// Elements of a group.
    pub fn count(&self) -> usize {
        if self.batch { self.samples * self.space } else { self.width * self.space }
    }

    /// How many channels there are.
    pub fn channels(&self) -> usize {
        self.sections * self.width
    }

    /// Whether a group has a single channel, so that its sums are those of the channel as well.
    pub fn single_channel(&self) -> bool {
        self.width == 1
    }

    /// The group of flat index `i`.
    pub fn group_of(&self, i: usize) -> usize {
        let section = i / (self.width * self.space) % self.sections;
        let sample = i / (self.sections * self.width * self.space);
        if self.batch { section } else { sample * self.sections + section }
    }

    /// The channel of flat index `i`.
    pub fn channel_of(&self, i: usize) -> usize {
        i / self.space % (self.sections * self.width)
    }

    /// Whether neighbouring elements are of different channels within a group.
    pub fn by_element(&self) -> bool {
        self.space == 1 && self.width > 1
    }

    /// The groups as kernels walk them.
    pub fn group_nest(&self) -> Nest {
        let Geometry { width, space, .. } = *self;
        let (n, count) = (self.groups(), self.count());
        let inner = width * space;
        if self.batch {
            return self.channel_nest();
        }
        // Where the channel changes with the segment, a segment is what one channel has.
        let seg = if space == 1 || width == 1 { inner } else { space };
        Nest { n, count, seg, start: inner, seg_step: seg, step: 1, contiguous: true }
    }

    /// The channels as kernels walk them.
    pub fn channel_nest(&self) -> Nest {
        let (n, space) = (self.channels(), self.space);
        let count = self.samples * space;
        if space == 1 {
            return Nest { n, count, seg: count, start: 1, seg_step: 0, step: n, contiguous: false };
        }
        Nest { n, count, seg: space, start: space, seg_step: n * space, step: 1, contiguous: true }
    }

    /// The walk over groups.
    pub fn group_walk(&self, kind: DeviceKind, epsilon: f32) -> Walk {
        let nest = self.group_nest();
        let [channel_mod, channel_mul] = [self.sections, self.width].map(word);
        let channel_seg = u32::from(nest.seg < nest.count && !self.batch);
        let unused = NestParams::default();
        let params = NestParams { channel_mod, channel_mul, channel_seg, group_div: 1, epsilon, ..unused };
        self.walk(nest, kind, params)
    }

    /// The walk over channels.
    pub fn channel_walk(&self, kind: DeviceKind) -> Walk {
        let nest = self.channel_nest();
        // The next sample's group.
        let next = if self.batch { 0 } else { word(self.sections) };
        let [group_seg, group_pos] = if self.space > 1 { [next, 0] } else { [0, next] };
        let [channel_mod, group_div] = [nest.n, self.width].map(word);
        let unused = NestParams::default();
        let params = NestParams { channel_mod, channel_mul: 1, group_div, group_seg, group_pos, ..unused };
        self.walk(nest, kind, params)
    }

    fn walk(&self, nest: Nest, kind: DeviceKind, params: NestParams) -> Walk {
        let route = nest.route(kind);
        let [n, count, seg, groups] = [nest.n, nest.count, nest.seg, self.groups()].map(word);
        let [start, seg_step, step] = [nest.start, nest.seg_step, nest.step].map(word);
        let [splits, part] = [route.splits, route.part].map(word);
        let params = NestParams { n, count, seg, start, seg_step, step, splits, part, groups, ..params };
        let block = nest.count.min(BLOCK);
        let [block, blocks] = [block, nest.count.div_ceil(block)].map(word);
        let seconds = word(4 * nest.n * route.splits).next_multiple_of(BINDING_ALIGNMENT as u32) / 4;
        let params = NestParams { seconds, block, blocks, down: DOWN as f32, ..params };
        Walk { nest, route, params }
    }

    /// An elementwise call over all elements of a batch: by runs, each of one channel, or by channels where those
    /// are the last axis.
    pub fn elementwise(&self, call: KernelCall, kind: DeviceKind, epsilon: f32) -> KernelCall {
        let (channels, columns) = (self.channels(), self.space == 1);
        let (n, run) = if columns { (channels, self.samples) } else { (self.samples * channels, self.space) };
        // A thread of a software driver has a run's divisions and loads to make up for.
        let chunks = run.div_ceil(if kind == DeviceKind::Cpu { 32 } else { 8 });
        let [n, run, chunks, channels] = [n, run, chunks, channels].map(word);
        call.constant("COLUMNS", f64::from(columns))
            .params(&RunParams { n, run, chunks, channels, epsilon, half: 0.5 })
            .loops(run.div_ceil(chunks).div_ceil(4) as usize)
            .grid(Grid::linear((n * chunks) as usize, 64))
    }

    /// The longest chain of additions, each with half a unit of rounding, that a number goes
    /// through on its way into the result of a nest under any route.
    pub fn chain(&self, nest: Nest) -> f64 {
        let of = |kind| {
            let Route { tree, splits, part } = nest.route(kind);
            if tree {
                return (part.div_ceil(256) + 8 + splits) as f64;
            }
            let block = nest.seg.min(64);
            (block + part / block + part / nest.seg + 2 + splits) as f64
        };
        f64::max(of(DeviceKind::Cpu), of(DeviceKind::Gpu))
    }
}

impl Nest {
    /// Many nests occupy the device with a thread each, and long ones of a GPU with a workgroup
    /// each, whose threads read neighbours. Few nests are split into parts, and so are those that
    /// would keep a thread past `LANE`. A software driver gains nothing from workgroup memory, and
    /// pays more for a further dispatch than for idle cores where nests are short. Every thread merges all parts of
    /// its nest, so that there are fewer of them than elements in each.
    pub fn route(&self, kind: DeviceKind) -> Route {
        let Nest { n, count, contiguous, .. } = *self;
        let tree = kind == DeviceKind::Gpu && contiguous && count >= 128;
        let (wanted, most) = match kind {
            DeviceKind::Cpu if n >= 128 => (1, LANE),
            DeviceKind::Cpu => ((1024 / n).min(count / 256).min(256), LANE),
            DeviceKind::Gpu if tree => ((512 / n).min(count / 4096).min(128), 256 * LANE),
            DeviceKind::Gpu => ((16_384 / n).min(count / 64).min(64), LANE),
        };
        let part = count.div_ceil(wanted.max(count.div_ceil(most)).max(1));
        Route { tree, splits: count.div_ceil(part), part }
    }
}

impl Walk {
    /// Whether one call makes both the nests' results and the elements.
    pub fn fused(&self) -> bool {
        self.route.splits == 1
    }

    /// Loop iterations of a thread that merges all parts, goes over one twice in blocks of 64 and once more by
    /// segments, four elements at a time.
    fn loops(&self) -> usize {
        let Route { tree, part, .. } = self.route;
        if tree {
            return 3 * part.div_ceil(256) + 4 * 8;
        }
        let segments = part / self.nest.seg + 2;
        let segment = self.nest.seg.min(part);
        let once = segment.div_ceil(64) + 2 * segment.div_ceil(4) + 1 + segment.div_ceil(4);
        self.route.splits + segments * once
    }

    /// The call that makes every part of the nests.
    pub fn parts(&self, call: KernelCall) -> KernelCall {
        let grid = Grid::linear(self.nest.n * self.route.splits, if self.route.tree { 1 } else { 64 });
        call.params(&self.params).loops(self.loops()).grid(grid)
    }

    /// Adds the calls that make the parts of each nest and then, from all parts, its elements.
    pub fn split(&self, cx: &mut Lowering<'_>, part: KernelCall, apply: KernelCall) -> Result<()> {
        cx.call(self.parts(part));
        cx.only(if self.route.tree { self.blocks(apply) } else { self.parts(apply) })
    }

    /// The call that merges the parts of each nest.
    pub fn joined(&self, call: KernelCall) -> KernelCall {
        call.params(&self.params).loops(self.route.splits).grid(Grid::linear(self.nest.n, 64))
    }

    /// The call that merges the parts of each nest and makes its elements, by workgroup.
    fn blocks(&self, call: KernelCall) -> KernelCall {
        let NestParams { block, blocks, .. } = self.params;
        let loops = (block as usize).div_ceil(256) + self.route.splits.div_ceil(256) + 4 * 8;
        call.params(&self.params).loops(loops).grid(Grid::linear(self.nest.n * blocks as usize, 1))
    }

    /// The walk of kernels that also move running statistics: variances begin so many elements after the
    /// means.
    pub fn tracking(mut self, variances: usize, momentum: f32, unbiased: f32) -> Walk {
        self.params = NestParams { variances: word(variances), momentum, unbiased, ..self.params };
        self
    }

    /// Scratch for two numbers of every part.
    pub fn scratch(&self, cx: &mut Lowering<'_>) -> Parts {
        let bytes = 4 * (self.nest.n * self.route.splits) as u64;
        let seconds = 4 * u64::from(self.params.seconds);
        Parts { slot: cx.scratch(seconds + bytes), bytes, seconds }
    }
}

/// Scratch for two numbers of every part: all first ones, then all second ones.
#[derive(Clone, Copy, Debug)]
pub(super) struct Parts {
    /// All of it.
    pub slot: Slot,
    bytes: u64,
    /// The first byte of the second numbers.
    seconds: u64,
}

impl Parts {
    /// Both halves, to be bound after each other.
    pub fn halves(self) -> [Bind; 2] {
        let Parts { slot, bytes, seconds } = self;
        [0, seconds].map(|offset| Bind { slot, offset, bytes: Some(bytes) })
    }
}

#[cfg(test)]
mod tests {
    use super::{DeviceKind, Geometry, LANE, Nest};

    fn nests() -> Vec<Nest> {
        let mut nests = Vec::new();
        for samples in [1, 3, 128, 100_003] {
            for (sections, width) in [(1, 1), (3, 1), (1, 200), (4, 40), (512, 1)] {
                for space in [1, 2, 49, 12_544] {
                    let geometry = |batch| Geometry { batch, samples, sections, width, space };
                    nests.extend([geometry(false).group_nest(), geometry(false).channel_nest()]);
                    if width == 1 {
                        nests.push(geometry(true).group_nest());
                    }
                }
            }
        }
        nests
    }

    #[test]
    fn parts_cover_a_nest_and_no_thread_does_too_much() {
        for nest in nests() {
            for kind in [DeviceKind::Cpu, DeviceKind::Gpu] {
                let route = nest.route(kind);
                let (whole, last) = (route.part * route.splits, route.part * (route.splits - 1));
                assert!(last < nest.count && nest.count <= whole, "{nest:?} {route:?}");
                let threads = if route.tree { 256 } else { 1 };
                assert!(route.part <= LANE * threads, "{nest:?} {route:?}");
            }
        }
    }

    /// Every element is of the group whose nest reaches it.
    #[test]
    fn nests_reach_their_elements() {
        let (samples, sections, width) = (3, 4, 5);
        for (batch, width, space) in
            [(false, width, 6), (false, width, 1), (false, 1, 6), (true, 1, 6), (true, 1, 1)]
        {
            let geometry = Geometry { batch, samples, sections, width, space };
            let reach = |nest: Nest, of: &dyn Fn(usize) -> usize| {
                let mut seen = vec![0; samples * sections * width * space];
                for n in 0..nest.n {
                    for e in 0..nest.count {
                        let at = n * nest.start + e / nest.seg * nest.seg_step + e % nest.seg * nest.step;
                        assert_eq!(of(at), n, "{geometry:?} {nest:?}");
                        seen[at] += 1;
                    }
                }
                assert!(seen.iter().all(|&times| times == 1), "{geometry:?} {nest:?}");
            };
            reach(geometry.group_nest(), &|i| geometry.group_of(i));
            reach(geometry.channel_nest(), &|i| geometry.channel_of(i));
        }
    }
}
