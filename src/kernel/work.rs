use std::fmt;
use std::iter::Sum;

use super::KernelCall;

/// What there is to do in a dispatch, known before it runs.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Work {
    /// Multiply-adds of the operator's formula, as [`Op::multiply_adds`](crate::ops::Op::multiply_adds) counts them.
    pub multiply_adds: u64,
    /// Those that its workgroups go through, at the edges of tiles and past the end of a sum too.
    pub issued: u64,
    /// Bytes of the ranges that it binds, or as few of them as the kernel [says](KernelCall::bytes) it goes through.
    pub bytes: u64,
}

impl Work {
    pub(crate) fn new(multiply_adds: u64, issued: u64, bytes: u64) -> Self {
        Work { multiply_adds, issued, bytes }
    }
}

impl Sum for Work {
    fn sum<I: Iterator<Item = Work>>(all: I) -> Work {
        all.fold(Work::default(), |sum, work| Work {
            multiply_adds: sum.multiply_adds.saturating_add(work.multiply_adds),
            issued: sum.issued.saturating_add(work.issued),
            bytes: sum.bytes.saturating_add(work.bytes),
        })
    }
}

/// The multiply-adds, in percent of those issued, and the bytes.
impl fmt::Display for Work {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [millions, mib] = [self.multiply_adds as f64 / 1e6, self.bytes as f64 / f64::from(1 << 20)];
        let percent = 100.0 * self.multiply_adds as f64 / self.issued.max(1) as f64;
        write!(f, "{millions:.1} M multiply-adds ({percent:.0}%), {mib:.1} MiB")
    }
}

/// Gives each of an operator's calls its part of the multiply-adds. Calls that say how many theirs are keep to that;
/// the others share the rest by workgroups and loop iterations.
pub(crate) fn share(calls: &mut [KernelCall], multiply_adds: u64) {
    let said = calls.iter().filter_map(|call| call.multiply_adds).fold(0, u64::saturating_add);
    let rest = u128::from(multiply_adds.saturating_sub(said));
    let weight = |call: &KernelCall| {
        let groups: u128 = call.grid.groups.iter().map(|&n| u128::from(n)).product();
        groups.saturating_mul(u128::from(call.loops) + 1).min(1 << 60)
    };
    let silent = |call: &&mut KernelCall| call.multiply_adds.is_none();
    let all: u128 = calls.iter().filter(|call| call.multiply_adds.is_none()).map(weight).sum();
    let mut before = 0;
    for call in calls.iter_mut().filter(silent) {
        let until = before + weight(call);
        let part = |weight: u128| rest * weight / all.max(1);
        call.multiply_adds = u64::try_from(part(until) - part(before)).ok();
        before = until;
    }
}

#[cfg(test)]
mod tests {
    use super::share;
    use crate::kernel::{Grid, KernelCall, Shader};

    static NONE: Shader = Shader::new("none", "");

    fn shares(calls: &[(usize, usize, Option<u64>)], total: u64) -> Vec<u64> {
        let call = |&(groups, loops, said): &(usize, usize, Option<u64>)| {
            let call = KernelCall::new(&NONE, "main").grid(Grid::groups([groups, 1, 1])).loops(loops);
            said.into_iter().fold(call, KernelCall::multiply_adds)
        };
        let mut calls: Vec<KernelCall> = calls.iter().map(call).collect();
        share(&mut calls, total);
        calls.iter().filter_map(|call| call.multiply_adds).collect()
    }

    #[test]
    fn calls_share_what_the_others_leave() {
        assert_eq!(shares(&[(5, 9, None)], 1000), [1000]);
        assert_eq!(shares(&[(5, 9, None), (700, 3, Some(0))], 1000), [1000, 0]);
        assert_eq!(shares(&[(1, 0, None), (2, 0, None), (1, 2, None)], 60), [10, 20, 30]);
        // Nothing is lost by rounding, and what was said stays even where it is more than there is.
        assert_eq!(shares(&[(1, 0, None); 3], 100).iter().sum::<u64>(), 100);
        assert_eq!(shares(&[(1, 0, Some(70)), (1, 0, Some(50)), (1, 0, None)], 100), [70, 50, 0]);
        assert_eq!(shares(&[(usize::MAX, usize::MAX, None); 2], u64::MAX).iter().sum::<u64>(), u64::MAX);
        assert!(shares(&[], 7).is_empty());
    }
}
