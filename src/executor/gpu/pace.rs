//! What dispatches are expected to take, and where a submission ends: plain numbers. Time decides when work is handed
//! over, never what it computes.

use std::time::Duration;

use crate::kernel::{DeviceKind, Work};

/// What a submission should take unless the program says otherwise: long beside what handing over costs, short beside
/// the 2 s after which Windows takes a GPU for hung.
pub(crate) const SUBMISSION: Duration = Duration::from_millis(100);

/// The most dispatches of a submission, whatever they are expected to take: what is encoded stays bounded, and so do
/// dispatches whose cost is in starting them.
const DISPATCHES: usize = 4096;

/// The first submission after the host had nothing under way is as many times shorter: the device starts early, and
/// kernels of unknown speed are not many at first.
const EARLY: f64 = 8.0;

/// How fast a device is taken to be before anything is measured.
struct Guess {
    /// Seconds that a dispatch takes whatever it does.
    start: f64,
    /// A second's multiply-adds and bytes.
    multiply_adds: f64,
    bytes: f64,
}

/// A fifth of what the slowest GPUs that drivers for Vulkan are made for could do: an integrated one of 2015 has a peak
/// of 0.2 T multiply-adds and 30 GB a second. One that is slower still has twentyfold until Windows ends a submission.
const GPU: Guess = Guess { start: 5e-6, multiply_adds: 4e10, bytes: 6e9 };

/// A quarter of a core's best product under a software driver, and half of what it moves.
const SOFTWARE: Guess = Guess { start: 1e-5, multiply_adds: 1e9, bytes: 2e9 };

/// Seconds that a dispatch is expected to take on a device of this kind before anything is measured.
pub(crate) fn guess(kind: DeviceKind, work: Work) -> f64 {
    let of = if kind == DeviceKind::Cpu { SOFTWARE } else { GPU };
    of.start + (work.issued as f64 / of.multiply_adds).max(work.bytes as f64 / of.bytes)
}

/// How a device's speed compares with the guess.
#[derive(Clone, Copy, Debug)]
pub(super) struct Pace {
    /// Seconds that it takes for what was guessed to take one.
    factor: f64,
}

impl Pace {
    /// No device is past these.
    const RANGE: [f64; 2] = [1e-3, 1e3];

    /// Before anything is measured.
    pub fn guessed() -> Pace {
        Pace { factor: 1.0 }
    }

    /// The guesses that come to this time.
    pub fn guesses(self, time: Duration) -> f64 {
        time.as_secs_f64() / self.factor
    }

    /// Takes note that what was guessed to take `guess` seconds took at least and at most so long, where a submission
    /// should take about as long as said. What is slower than believed is believed at once, unless it is much shorter
    /// than a submission: it may be a copy then, or the host's waking up. What is faster is believed by half each
    /// time, since other kernels may be slower.
    pub fn observe(&mut self, guess: f64, took: [Duration; 2], about: Duration) {
        // Of a step without dispatches.
        if guess == 0.0 {
            return;
        }
        let [slow, fast] = took.map(|time| time.as_secs_f64() / guess);
        if slow > self.factor && took[0] >= about / 8 {
            self.factor = slow;
        } else if fast < self.factor {
            self.factor = fast.max(self.factor / 2.0);
        }
        let [least, most] = Pace::RANGE;
        self.factor = self.factor.clamp(least, most);
    }
}

/// What a submission holds so far.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Load {
    dispatches: usize,
    /// The guesses of its dispatches, added up.
    pub guess: f64,
}

impl Load {
    /// Whether a dispatch goes in: the first does, whatever it takes.
    pub fn takes(&self, guess: f64, limit: f64) -> bool {
        self.dispatches == 0 || (self.dispatches < DISPATCHES && self.guess + guess <= limit)
    }

    /// Adds the dispatches that go in; returns how many.
    pub fn fill(&mut self, guesses: &[f64], limit: f64) -> usize {
        let before = self.dispatches;
        for &guess in guesses {
            if !self.takes(guess, limit) {
                break;
            }
            *self = Load { dispatches: self.dispatches + 1, guess: self.guess + guess };
        }
        self.dispatches - before
    }
}

/// The limit of a submission's guesses; lower for one that finds the device idle.
pub(super) fn limit(whole: f64, early: bool) -> f64 {
    if early { whole / EARLY } else { whole }
}

/// How many dispatches go into each submission of a step that is replayed alone, of `whole` guesses each.
pub(crate) fn submissions(guesses: &[f64], whole: f64) -> Vec<usize> {
    let (mut counts, mut rest) = (Vec::new(), guesses);
    while !rest.is_empty() {
        let count = Load::default().fill(rest, limit(whole, counts.is_empty()));
        counts.push(count);
        rest = &rest[count..];
    }
    counts
}

#[cfg(test)]
mod tests {
    use super::{DISPATCHES, Pace, SUBMISSION, guess, submissions};
    use crate::kernel::{DeviceKind, Work};
    use std::time::Duration;

    #[test]
    fn submissions_hold_what_fits_and_one_dispatch_at_least() {
        assert!(submissions(&[], 8.0).is_empty());
        assert_eq!(submissions(&[1.0; 20], 8.0), [1, 8, 8, 3]);
        assert_eq!(submissions(&[100.0, 1.0, 100.0, 7.0, 1.0], 8.0), [1, 1, 1, 2]);
        // Time is no limit to what is encoded.
        assert_eq!(submissions(&[0.0; 10_000], 8.0), [DISPATCHES, DISPATCHES, 10_000 - 2 * DISPATCHES]);
        assert_eq!(submissions(&[1.0; 3], 0.0), [1, 1, 1]);
        assert_eq!(submissions(&[f64::INFINITY, f64::NAN, 1.0], 8.0), [1, 1, 1]);
        assert_eq!(submissions(&[1.0; 3], f64::INFINITY), [3]);
    }

    fn after(observations: &[(f64, [f64; 2])]) -> f64 {
        let mut pace = Pace::guessed();
        for &(guess, took) in observations {
            pace.observe(guess, took.map(Duration::from_secs_f64), SUBMISSION);
        }
        1.0 / pace.guesses(Duration::from_secs(1))
    }

    #[test]
    fn slowness_is_believed_at_once_and_speed_by_half() {
        assert_eq!(after(&[]), 1.0);
        assert_eq!(after(&[(0.1, [0.5, 0.5])]), 5.0);
        assert_eq!(after(&[(0.1, [0.001, 0.001])]), 0.5);
        assert_eq!(after(&[(0.1, [0.08, 0.08])]), 0.8);
        assert_eq!(after(&[(0.1, [0.001, 0.001]), (0.1, [0.1, 0.1])]), 1.0);
        // What is between the bounds says nothing.
        assert_eq!(after(&[(0.1, [0.0, 10.0]); 9]), 1.0);
        // Nor does what took too short to tell.
        assert_eq!(after(&[(0.001, [0.01, 0.02])]), 1.0);
        assert_eq!(after(&[(0.0, [9.0, 9.0])]), 1.0);
        assert_eq!(after(&[(0.1, [0.0, 0.0]); 99]), 1e-3);
        assert_eq!(after(&[(1e-9, [100.0, 100.0])]), 1e3);
    }

    #[test]
    fn guesses_grow_with_the_work() {
        for kind in [DeviceKind::Gpu, DeviceKind::Cpu] {
            let of = |multiply_adds, bytes| guess(kind, Work::new(multiply_adds, multiply_adds, bytes));
            assert!(of(0, 0) > 0.0);
            assert!(of(1 << 40, 1) > of(1 << 30, 1) && of(1, 1 << 40) > of(1, 1 << 30));
            assert!(of(u64::MAX, u64::MAX).is_finite());
        }
        assert!(
            guess(DeviceKind::Cpu, Work::new(1 << 30, 1 << 30, 0))
                > guess(DeviceKind::Gpu, Work::new(1 << 30, 1 << 30, 0))
        );
    }
}
