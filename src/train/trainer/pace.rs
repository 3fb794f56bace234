//! How many steps go into a submission, and how often callbacks are told.

use std::time::{Duration, Instant};

use crate::error::Result;
use crate::session::Chain;

/// The time a submission should take: long against what it costs, short enough to be shown as it goes.
const SUBMISSION: Duration = Duration::from_millis(50);
/// Between two refreshes.
const REFRESH: Duration = Duration::from_millis(250);
/// The most steps of a submission.
const MOST: usize = 256;

/// Measured time decides when work is handed over, never what it computes.
pub(super) struct Pace {
    wanted: bool,
    steps: usize,
    encoded: usize,
    submitted: Instant,
    refreshed: Instant,
}

impl Pace {
    pub fn new(wanted: bool) -> Self {
        let now = Instant::now();
        Pace { wanted, steps: 1, encoded: 0, submitted: now, refreshed: now }
    }

    /// Takes note of a step, and submits if it is time.
    pub fn submits(&mut self, chain: &mut Chain) -> Result<()> {
        self.encoded += 1;
        if self.encoded < self.steps {
            return Ok(());
        }
        chain.submit()?;
        let took = self.submitted.elapsed();
        if took < SUBMISSION / 2 {
            self.steps = (2 * self.steps).min(MOST);
        } else if took > 2 * SUBMISSION {
            self.steps = (self.steps / 2).max(1);
        }
        self.restart();
        Ok(())
    }

    /// Takes note that all steps are submitted, and that what was done since is no part of the next
    /// submission's time.
    pub fn restart(&mut self) {
        (self.encoded, self.submitted) = (0, Instant::now());
    }

    /// Whether callbacks are to be told now.
    pub fn refreshes(&mut self) -> bool {
        let due = self.wanted && self.refreshed.elapsed() >= REFRESH;
        if due {
            self.refreshed = Instant::now();
        }
        due
    }
}
