//! Lines of elements that threads go over: what pooling and local response normalisation share.

use super::common::*;

/// Iterations of a loop and of what is within it.
pub fn nested(iterations: usize, within: usize) -> usize {
    iterations.saturating_mul(within.saturating_add(1))
}

/// Lines of elements cut up into runs, one for each thread.
pub struct Runs {
    /// Elements of a run.
    pub span: usize,
    /// Runs of a line.
    pub chunks: usize,
    /// Runs of all lines.
    pub threads: usize,
    /// Loop iterations of a thread.
    pub loops: usize,
}

impl Runs {
    /// Cuts up `lines` lines of `length` elements that take `loops` loop iterations each. On a
    /// software driver the integer divisions that find a thread's place cost more than an element: there
    /// a run is a line, as long as that leaves threads enough to occupy the processor and none loops
    /// more often than it may.
    pub fn new(profile: &DeviceProfile, lines: usize, length: usize, loops: usize) -> Self {
        let span = match profile.kind {
            DeviceKind::Gpu => 1,
            DeviceKind::Cpu => {
                let longest = profile.max_loop_iterations as usize / loops.saturating_add(1);
                length.div_ceil(1024usize.div_ceil(lines).min(length)).min(longest).max(1)
            }
        };
        let chunks = length.div_ceil(span);
        Runs { span, chunks, threads: lines.saturating_mul(chunks), loops: nested(span, loops) }
    }
}
