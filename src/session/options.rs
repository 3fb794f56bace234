use super::Session;
use crate::error::{Error, Result};
use crate::graph::{Source, Value};
use crate::shape::TensorType;
use crate::tape::Tape;

/// How a session is built.
#[derive(Clone, Copy, Default)]
pub struct SessionOptions<'a> {
    pub(crate) seed: u32,
    pub(crate) share: Option<&'a Session>,
    pub(crate) guard: bool,
    pub(crate) feeds: Option<(&'a Session, &'a [(Value, Value)])>,
}

impl<'a> SessionOptions<'a> {
    /// Seed 0, parameters of its own.
    pub fn new() -> Self {
        SessionOptions::default()
    }

    /// The seed of parameter initialisation and of the random operators.
    pub fn seed(mut self, seed: u32) -> Self {
        self.seed = seed;
        self
    }

    /// Uses the parameters and states of another session on the same device, by name: what one
    /// session trains or averages (running statistics, an optimiser's moments), the other sees at
    /// its next replay, without a copy. Those that the other session does not have are initialised
    /// as usual; if it has none of the parameters, [`Error::Share`] is returned.
    pub fn share_parameters(mut self, with: &'a Session) -> Self {
        self.share = Some(with);
        self
    }

    /// Surrounds every GPU buffer with guard bytes, for tests.
    #[doc(hidden)]
    pub fn guard(mut self) -> Self {
        self.guard = true;
        self
    }

    /// Gives states of this tape the storage of inputs of another session: what this one puts into
    /// them is what that one reads. Each pair is a state and the input.
    pub(crate) fn feed(mut self, session: &'a Session, pairs: &'a [(Value, Value)]) -> Self {
        self.feeds = Some((session, pairs));
        self
    }

    /// The states that are inputs of another session: the state, the session, its input.
    pub(crate) fn feeds(&self) -> impl Iterator<Item = (Value, &'a Session, Value)> + use<'a> {
        let pairs = self.feeds.into_iter();
        pairs.flat_map(|(session, pairs)| pairs.iter().map(move |&(own, theirs)| (own, session, theirs)))
    }

    /// Whether a state is an input of another session.
    pub(crate) fn is_fed(&self, value: Value) -> bool {
        self.feeds().any(|(own, ..)| own == value)
    }

    /// Whether the parameter or state of this name comes from the other session.
    pub(crate) fn shares(&self, name: &str) -> bool {
        self.shared_value(name).is_some()
    }

    /// The other session's parameter or state of this name.
    pub(crate) fn shared_value(&self, name: &str) -> Option<Value> {
        let tape = self.share?.tape();
        let is_it = |v: &Value| {
            let info = &tape.recording().values[v.index()];
            matches!(info.source, Source::Parameter(_) | Source::State(_))
                && info.name.as_deref() == Some(name)
        };
        tape.persistent().into_iter().find(is_it)
    }

    /// Refuses a shared value whose shapes differ.
    pub(crate) fn check_shared_shape(&self, name: &str, own: TensorType) -> Result<()> {
        let (Some(session), Some(theirs)) = (self.share, self.shared_value(name)) else { return Ok(()) };
        let theirs = session.tape().recording().ty(theirs);
        if theirs == own {
            return Ok(());
        }
        Err(Error::Share { message: format!("`{name}` is {own} here and {theirs} in the other session") })
    }

    /// Refuses sessions that have no parameter in common: a misspelt name, most likely.
    pub(crate) fn check_some_shared(&self, tape: &Tape) -> Result<()> {
        let Some(session) = self.share else { return Ok(()) };
        let recording = tape.recording();
        let is_parameter = |v: &Value| matches!(recording.values[v.index()].source, Source::Parameter(_));
        let own: Vec<String> =
            tape.persistent().into_iter().filter(is_parameter).map(|v| recording.describe(v)).collect();
        if own.is_empty() || own.iter().any(|name| self.shares(name)) {
            return Ok(());
        }
        let theirs = session.parameter_names().join(", ");
        Err(Error::Share { message: format!("this tape has {}, the other session {theirs}", own.join(", ")) })
    }
}
