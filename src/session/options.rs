use std::fmt;

use super::Session;
use crate::error::{Error, Result};
use crate::executor::{Link, Links};
use crate::graph::{StateKey, Value};
use crate::tape::Tape;

/// A value of a tape that has the storage of a value of another session.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Fed<'a> {
    pub own: Value,
    pub session: &'a Session,
    pub theirs: Value,
}

/// Told that kernels are compiled, before they are.
pub(crate) trait Compiling: fmt::Debug {
    fn begins(&self, kernels: usize);
}

/// How a session is built.
#[derive(Clone, Copy, Debug)]
#[must_use]
pub struct SessionOptions<'a> {
    pub(crate) seed: u32,
    pub(crate) fuse: bool,
    share: Option<&'a Session>,
    share_further: &'a [&'a Session],
    pub(crate) guard: bool,
    pub(crate) feeds: &'a [Fed<'a>],
    pub(crate) compiling: Option<&'a dyn Compiling>,
}

impl Default for SessionOptions<'_> {
    fn default() -> Self {
        SessionOptions {
            seed: 0,
            fuse: true,
            share: None,
            share_further: &[],
            guard: false,
            feeds: &[],
            compiling: None,
        }
    }
}

impl<'a> SessionOptions<'a> {
    /// Seed 0, parameters of its own, a fused tape.
    pub fn new() -> Self {
        SessionOptions::default()
    }

    setters! {
        /// The seed of parameter initialisation and of the random operators.
        seed: u32 => seed;
        /// Whether the [fused](Tape::fuse) tape is replayed. The reference always replays the recorded one.
        fuse: bool => fuse;
        /// Uses the parameters and states of another session on the same device, by name: what one
        /// session trains or averages (running statistics, an optimiser's moments), the other sees at
        /// its next replay, without a copy. Those that the other session does not have are initialised
        /// as usual; if it has none of the parameters, [`Error::Share`] is returned. Two sessions on threads of
        /// their own come one after the other on a GPU, but by [submissions](crate::Device::set_submission_time): within a step
        /// that takes several, one may see what the other has updated so far.
        share_parameters: &'a Session => share;
    }

    /// Shares with several sessions: each parameter or state with the first of them that has it.
    pub(crate) fn share_with(mut self, sessions: &'a [&'a Session]) -> Self {
        self.share_further = sessions;
        self
    }

    /// Gives values of this tape the storage that values of other sessions have: what this one puts
    /// into a state is what the other reads as its input.
    pub(crate) fn feed(mut self, feeds: &'a [Fed<'a>]) -> Self {
        self.feeds = feeds;
        self
    }

    /// Tells how many kernels are compiled, if any are.
    pub(crate) fn compiling(mut self, told: &'a dyn Compiling) -> Self {
        self.compiling = Some(told);
        self
    }

    /// The sessions to share with, the first one to be asked first.
    pub(crate) fn sources(&self) -> impl Iterator<Item = &'a Session> + use<'a> {
        self.share.into_iter().chain(self.share_further.iter().copied())
    }

    /// The parameter or state of this key of the first session that has it.
    fn shared_value(&self, key: &StateKey) -> Option<(&'a Session, Value)> {
        self.sources().find_map(|session| session.find(key).map(|value| (session, value)))
    }

    /// What a session of this tape has in common with others.
    pub(crate) fn links(&self, tape: &Tape) -> Result<Links<'a>> {
        self.check_some_shared(tape)?;
        let link = |fed: &Fed<'a>| Link { own: fed.own, executor: &fed.session.executor, theirs: fed.theirs };
        let mut links = Links { shared: Vec::new(), fed: self.feeds.iter().map(link).collect() };
        for own in tape.persistent() {
            let info = tape.info(own);
            let shareable = info.source.state_kind().is_some() && links.of(own).is_none();
            let key = info.key.as_deref().filter(|_| shareable);
            let Some((session, theirs)) = key.and_then(|key| self.shared_value(key)) else { continue };
            let (own_type, found) = (info.ty, session.type_of(theirs));
            if found != own_type {
                let name = tape.recording().describe(own);
                let message = format!("`{name}` is {own_type} here and {found} in the other session");
                return Err(Error::share(message));
            }
            links.shared.push(Link { own, executor: &session.executor, theirs });
        }
        Ok(links)
    }

    /// Refuses sessions that have no parameter in common: a misspelt name, most likely.
    fn check_some_shared(&self, tape: &Tape) -> Result<()> {
        let Some(session) = self.sources().next() else { return Ok(()) };
        let own: Vec<Value> = tape.parameters().collect();
        let is_shared =
            |v: Value| tape.info(v).key.as_deref().is_some_and(|key| self.shared_value(key).is_some());
        if own.is_empty() || own.iter().any(|&v| is_shared(v)) {
            return Ok(());
        }
        let own: Vec<String> = own.into_iter().map(|v| tape.recording().describe(v)).collect();
        let theirs = session.parameter_names().join(", ");
        Err(Error::share(format!("this tape has {}, the other session {theirs}", own.join(", "))))
    }
}
