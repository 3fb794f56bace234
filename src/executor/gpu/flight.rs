use std::collections::VecDeque;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use super::pace::{Pace, SUBMISSION};

/// Full submissions that may be under way at once: the device never waits for the host, and what is queued stays
/// bounded.
pub(crate) const FULL: usize = 3;
/// The same of small ones.
pub(super) const SMALL: usize = 64;

/// The submissions of steps that are under way on a device, and how fast it gets through them: one measure for all
/// its sessions.
///
/// Nothing is waited for to measure it. What is waited for anyway took at least as long as the wait, and at most as long
/// as it may have been running.
pub(crate) struct Flight {
    state: Mutex<State>,
    /// What a submission should take, in nanoseconds.
    submission: AtomicU64,
    /// Submissions of steps so far.
    pub submitted: AtomicU64,
}

/// `I` is how a submission is known to the device.
struct State<I = wgpu::SubmissionIndex> {
    pace: Pace,
    under_way: VecDeque<Submission<I>>,
    /// The number of the next submission.
    next: u64,
    /// When the last one ended of which that is known.
    ended: Option<Ended>,
}

/// A submission under way.
#[derive(Clone)]
pub(crate) struct Submission<I = wgpu::SubmissionIndex> {
    number: u64,
    pub(super) index: I,
    handed_over: HandedOver,
    guess: f64,
}

/// When submissions were handed over: a driver may run them, or those before them, while it takes them.
#[derive(Clone, Copy)]
struct HandedOver {
    /// Before the call that hands over the first.
    from: Instant,
    /// After the call that hands over the last.
    until: Instant,
}

/// A submission ended before this time, and if it was waited for, not before that wait began.
#[derive(Clone, Copy)]
struct Ended {
    at: Instant,
    waited: Option<Instant>,
}

impl Default for Flight {
    fn default() -> Self {
        let submission = AtomicU64::new(SUBMISSION.as_nanos() as u64);
        Flight { state: Mutex::new(State::new()), submission, submitted: AtomicU64::new(0) }
    }
}

impl Flight {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What a submission should take.
    fn submission(&self) -> Duration {
        Duration::from_nanos(self.submission.load(Ordering::Relaxed))
    }

    /// Sets what a submission should take from the next one on.
    pub fn set_submission(&self, about: Duration) {
        let nanoseconds = u64::try_from(about.as_nanos()).unwrap_or(u64::MAX);
        self.submission.store(nanoseconds, Ordering::Relaxed);
    }

    /// The guesses that go into a submission.
    pub fn guesses(&self) -> f64 {
        self.state().pace.guesses(self.submission())
    }

    /// Takes note of a submission, whose handing over began at `from`; returns the oldest one where more than `most`
    /// are under way, or more full ones than may be: it is to be waited for.
    pub fn begin(
        &self,
        index: wgpu::SubmissionIndex,
        from: Instant,
        guess: f64,
        most: usize,
    ) -> Option<Submission> {
        self.submitted.fetch_add(1, Ordering::Relaxed);
        let handed_over = HandedOver { from, until: Instant::now() };
        self.state().begin(index, handed_over, guess, most, self.submission())
    }

    /// The newest submission under way.
    pub fn newest(&self) -> Option<Submission> {
        self.state().under_way.back().cloned()
    }

    /// Takes note that a submission has ended, and with it those before it; since when it was `waited` for, if it still
    /// ran then.
    pub fn end(&self, submission: &Submission, waited: Option<Instant>) {
        self.state().end(submission.number, Instant::now(), waited, self.submission());
    }
}

impl<I: Clone> State<I> {
    fn new() -> Self {
        State { pace: Pace::guessed(), under_way: VecDeque::new(), next: 0, ended: None }
    }

    fn begin(
        &mut self,
        index: I,
        handed_over: HandedOver,
        guess: f64,
        most: usize,
        about: Duration,
    ) -> Option<Submission<I>> {
        let number = self.next;
        self.next += 1;
        self.under_way.push_back(Submission { number, index, handed_over, guess });
        let guesses: f64 = self.under_way.iter().map(|submission| submission.guess).sum();
        let count = self.under_way.len();
        let many = count > most || (count > FULL && guesses > FULL as f64 * self.pace.guesses(about));
        self.under_way.front().filter(|_| many).cloned()
    }

    fn end(&mut self, number: u64, now: Instant, waited: Option<Instant>, about: Duration) {
        let (mut guess, mut all) = (0.0, None);
        while self.under_way.front().is_some_and(|submission| submission.number <= number)
            && let Some(ended) = self.under_way.pop_front()
        {
            guess += ended.guess;
            let HandedOver { from, until } = ended.handed_over;
            all = Some(HandedOver { from: all.map_or(from, |all: HandedOver| all.from), until });
        }
        let Some(HandedOver { from, until }) = all else { return };
        let before = self.ended.replace(Ended { at: now, waited });
        // What is waited for ran since then, but for the time that the device took for those before it.
        let busy = before.map_or(until, |before| before.at.max(until));
        let least = waited.map_or(Duration::ZERO, |waited| now - waited.max(busy));
        // It began when those before it ended: just then, if the host then went on to wait for it.
        let last =
            before.and_then(
                |before| if waited.is_some() { before.waited.map(|_| before.at) } else { before.waited },
            );
        let began = last.map_or(from, |last| last.max(from));
        self.pace.observe(guess, [least, now - began], about);
    }
}

#[cfg(test)]
mod tests {
    use super::{FULL, HandedOver, SMALL, State};
    use std::time::{Duration, Instant};

    const ABOUT: Duration = Duration::from_millis(100);

    /// What is believed of a device with calls that take no time.
    fn believed(events: &[(u64, Result<f64, bool>)]) -> f64 {
        after(events, Duration::ZERO)
    }

    /// Hands over and waits as told, at times in milliseconds: a guess, or whether the oldest ran until then. The host
    /// waits since the event before, and calls that hand over take as long as `call`. Returns what is believed of the
    /// device.
    fn after(events: &[(u64, Result<f64, bool>)], call: Duration) -> f64 {
        let (mut state, zero) = (State::new(), Instant::now());
        let mut last = zero;
        for &(at, event) in events {
            let at = zero + Duration::from_millis(at);
            let since = std::mem::replace(&mut last, at);
            match event {
                Ok(guess) => {
                    let from = at.checked_sub(call).unwrap_or(zero);
                    _ = state.begin((), HandedOver { from, until: at }, guess, SMALL, ABOUT);
                }
                Err(ran) => {
                    let oldest = state.under_way[0].number;
                    state.end(oldest, at, ran.then_some(since), ABOUT);
                }
            }
        }
        (1e6 / state.pace.guesses(Duration::from_secs(1))).round() / 1e6
    }

    #[test]
    fn what_is_waited_for_says_how_long_it_took() {
        // Handed over to an idle device, and one behind the other.
        assert_eq!(believed(&[(0, Ok(0.1)), (300, Err(true))]), 3.0);
        assert_eq!(believed(&[(0, Ok(0.1)), (1, Ok(0.1)), (100, Err(true)), (400, Err(true))]), 3.0);
        // The second one waited for the first, which is no time of its own.
        assert_eq!(believed(&[(0, Ok(0.1)), (0, Ok(0.1)), (100, Err(true)), (180, Err(true))]), 0.8);
        // Idle in between.
        assert_eq!(believed(&[(0, Ok(0.1)), (100, Err(true)), (900, Ok(0.1)), (1000, Err(true))]), 1.0);
    }

    #[test]
    fn what_ended_unseen_took_no_longer() {
        assert_eq!(believed(&[(0, Ok(0.1)), (900, Err(false))]), 1.0);
        assert_eq!(believed(&[(0, Ok(0.1)), (60, Err(false))]), 0.6);
        // When the one before really ended is not known either: the second may have taken all of its time.
        assert_eq!(believed(&[(0, Ok(0.1)), (0, Ok(0.1)), (95, Err(false)), (96, Err(false))]), 0.95);
    }

    /// The host was late to hear of the first, and so of the second.
    #[test]
    fn what_ended_behind_another_began_when_that_may_have_ended() {
        assert_eq!(believed(&[(0, Ok(0.1)), (0, Ok(0.1)), (100, Err(true)), (101, Err(false))]), 1.0);
    }

    /// The host did something else for a second, and its wait woke up late.
    #[test]
    fn time_that_nobody_waited_is_not_the_devices() {
        let (mut state, zero) = (State::new(), Instant::now());
        let [called, waited, woken] = [0, 1_000_000, 1_000_300].map(|us| zero + Duration::from_micros(us));
        _ = state.begin((), HandedOver { from: zero, until: called }, 0.001, SMALL, ABOUT);
        state.end(0, woken, Some(waited), ABOUT);
        assert_eq!(state.pace.guesses(Duration::from_secs(1)), 1.0);
    }

    /// Drivers that run a submission, or the one before it, while they take it.
    #[test]
    fn calls_that_take_their_time_are_no_speed() {
        let call = Duration::from_millis(100);
        assert_eq!(after(&[(100, Ok(0.1)), (100, Err(false))], call), 1.0);
        assert_eq!(after(&[(100, Ok(0.1)), (200, Ok(0.1)), (200, Err(false)), (300, Err(true))], call), 1.0);
    }

    #[test]
    fn few_full_submissions_are_under_way_and_more_small_ones() {
        let count = |guess: f64, most: usize| {
            let mut state = State::new();
            let now = Instant::now();
            let handed_over = HandedOver { from: now, until: now };
            (1..).find(|_| state.begin((), handed_over, guess, most, ABOUT).is_some()).unwrap_or(0)
        };
        assert_eq!((count(0.1, FULL), count(0.1, SMALL)), (FULL + 1, FULL + 1));
        assert_eq!((count(1e-6, FULL), count(1e-6, SMALL)), (FULL + 1, SMALL + 1));
        assert_eq!(count(0.03, SMALL), 11);
    }
}
