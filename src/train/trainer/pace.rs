//! How often the figures of a training are looked at, and callbacks told.

use std::time::{Duration, Instant};

/// Between two refreshes.
const REFRESH: Duration = Duration::from_millis(250);
/// Between two looks at the loss where nobody wants to be refreshed.
const LOOK: Duration = Duration::from_secs(2);

/// Measured time decides when figures are looked at, never what is computed.
pub(super) struct Pace {
    /// Whether a callback wants to be refreshed.
    wanted: bool,
    /// Between two refreshes; `None` for never.
    every: Option<Duration>,
    refreshed: Instant,
}

impl Pace {
    /// `guarded`: whether something else looks for a loss that is no number.
    pub fn new(wanted: bool, guarded: bool) -> Self {
        let every = if wanted { Some(REFRESH) } else { (!guarded).then_some(LOOK) };
        Pace { wanted, every, refreshed: Instant::now() }
    }

    /// Takes note that an epoch begins. Its end is a look, so that short ones need no other.
    pub fn begin_epoch(&mut self) {
        if !self.wanted {
            self.refreshed = Instant::now();
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
