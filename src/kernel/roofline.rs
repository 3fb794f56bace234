use std::fmt;

use super::Work;

/// The most that a device does in a second, as [`Device::roofline`](crate::Device::roofline) measured it: what bounds
/// every kernel from above (Williams, Waterman and Patterson, Roofline, CACM 2009).
#[derive(Clone, Copy, Debug, PartialEq)]
#[non_exhaustive]
pub struct Roofline {
    /// Thousand millions of f32 operations a second, in independent multiply-adds of two each.
    pub gflops: f64,
    /// Thousand millions of bytes a second that a copy reads and writes, of more than caches hold.
    pub gbps: f64,
}

impl Roofline {
    pub(crate) fn new(gflops: f64, gbps: f64) -> Self {
        Roofline { gflops, gbps }
    }

    /// The seconds that some work takes at least: by its arithmetic or by its bytes, whichever is longer. What lies in
    /// caches may be read faster than that.
    pub fn seconds(self, work: Work) -> f64 {
        let [flops, bytes] = [2.0 * work.multiply_adds as f64, work.bytes as f64];
        (flops / self.gflops).max(bytes / self.gbps) / 1e9
    }
}

impl fmt::Display for Roofline {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:.1} GFLOP/s, {:.1} GB/s", self.gflops, self.gbps)
    }
}

/// By which clock a profile was taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Clock {
    /// The device's own, read before and after each dispatch.
    Device,
    /// The host's. On a GPU, each dispatch is handed over and waited for by itself, and what that costs is in its time:
    /// some tens of microseconds.
    Host,
}

impl fmt::Display for Clock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Clock::Device => "the device's clock",
            Clock::Host => "the host's clock",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::{Roofline, Work};

    #[test]
    fn the_longer_of_arithmetic_and_bytes_counts() {
        let roofline = Roofline::new(100.0, 10.0);
        let seconds = |multiply_adds, bytes| roofline.seconds(Work::new(multiply_adds, multiply_adds, bytes));
        assert_eq!(seconds(50_000_000_000, 10), 1.0);
        assert_eq!(seconds(10, 20_000_000_000), 2.0);
        assert_eq!(seconds(0, 0), 0.0);
    }
}
