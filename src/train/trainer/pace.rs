//! How many steps go into a submission, and how often callbacks are told.

use std::time::{Duration, Instant};

use crate::error::Result;
use crate::session::Chain;

/// The time a submission should take: long against what it costs, short enough to be shown as it goes.
const SUBMISSION: Duration = Duration::from_millis(50);
/// Between two refreshes.
const REFRESH: Duration = Duration::from_millis(250);
/// Between two looks at the loss where nobody wants to be refreshed.
const LOOK: Duration = Duration::from_secs(2);
/// The most steps of a submission.
const MOST: usize = 256;

/// Measured time decides when work is handed over, never what it computes.
pub(super) struct Pace {
    /// Whether a callback wants to be refreshed.
    wanted: bool,
    /// Between two refreshes; `None` for never.
    every: Option<Duration>,
    steps: usize,
    encoded: usize,
    submitted: Instant,
    refreshed: Instant,
}

impl Pace {
    /// `guarded`: whether something else looks for a loss that is no number.
    pub fn new(wanted: bool, guarded: bool) -> Self {
        let now = Instant::now();
        let every = if wanted { Some(REFRESH) } else { (!guarded).then_some(LOOK) };
        Pace { wanted, every, steps: 1, encoded: 0, submitted: now, refreshed: now }
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

    /// Takes note that an epoch begins. Its end is a look, so that short ones need no other.
    pub fn begin_epoch(&mut self) {
        self.restart();
        if !self.wanted {
            self.refreshed = self.submitted;
        }
    }

    /// Whether callbacks that want to be are to be told now.
    pub fn shows(&mut self) -> bool {
        self.wanted && self.refreshes()
    }

    /// Whether the figures are to be looked at now, and callbacks to be told.
    pub fn refreshes(&mut self) -> bool {
        let due = self.every.is_some_and(|every| self.refreshed.elapsed() >= every);
        if due {
            self.refreshed = Instant::now();
        }
        due
    }
}
