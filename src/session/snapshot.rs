use std::fmt;
use std::sync::Arc;

use super::Session;
use crate::error::{Error, Result};
use crate::executor::{Copies, ScalarTable};
use crate::graph::{StateKey, Value};

/// The parameters, states and per-step scalars of a session at some moment, kept on its device:
/// what [`Session::snapshot`] returns.
pub struct Snapshot {
    /// What the copies are of, so that a tape that was recorded again takes them up.
    keys: Vec<Arc<StateKey>>,
    copies: Copies,
    scalars: ScalarTable,
}

impl fmt::Debug for Snapshot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Snapshot").field("keys", &self.keys).finish_non_exhaustive()
    }
}

impl Session {
    /// Copies the parameters and states within the device, with the step count and the other per-step
    /// scalars. Nothing is read back.
    ///
    /// # Errors
    /// [`Error::OutOfMemory`] if the device has no room for the copies.
    pub fn snapshot(&self) -> Result<Snapshot> {
        self.snapshot_of(&self.advanced().map(|(_, value)| value).collect::<Vec<_>>())
    }

    /// A snapshot of these parameters and states alone.
    pub(crate) fn snapshot_of(&self, values: &[Value]) -> Result<Snapshot> {
        let keys = values.iter().filter_map(|&value| self.tape.recording().key(value).cloned()).collect();
        Ok(Snapshot { keys, copies: self.executor.copy(values)?, scalars: self.scalars.clone() })
    }

    /// Puts everything back as it was when the snapshot of this session was made.
    ///
    /// # Errors
    /// [`Error::Unknown`] for a snapshot of another tape.
    pub fn restore(&mut self, snapshot: &Snapshot) -> Result<()> {
        self.restore_contents(snapshot)?;
        self.scalars.restore_all(&snapshot.scalars);
        Ok(())
    }

    /// [`restore`](Session::restore) without the step count and the other scalars.
    pub(crate) fn restore_contents(&mut self, snapshot: &Snapshot) -> Result<()> {
        let states = snapshot.keys.iter().zip(snapshot.copies.lengths());
        let values: Result<Vec<_>> = states.map(|(key, found)| self.expect_state(key, found)).collect();
        self.executor.put_back(&snapshot.copies, &values?)
    }

    /// What a snapshot of weights holds, by name.
    pub(crate) fn read_snapshot(&self, snapshot: &Snapshot) -> Result<Vec<(String, Vec<f64>)>> {
        let arrays = self.executor.read_copies(&snapshot.copies)?;
        Ok(snapshot.keys.iter().map(|key| key.name.clone()).zip(arrays).collect())
    }

    /// A snapshot that holds these arrays, by the names of weights.
    ///
    /// # Errors
    /// [`Error::Unknown`] for a name that the tape does not have, [`Error::Length`].
    pub(crate) fn snapshot_from(&mut self, arrays: &[(String, Vec<f64>)]) -> Result<Snapshot> {
        let state = |(name, data): &(String, Vec<f64>)| self.expect_state(&StateKey::named(name), data.len());
        let values = arrays.iter().map(state).collect::<Result<Vec<_>>>()?;
        let current = self.snapshot_of(&values)?;
        for (&value, (_, data)) in values.iter().zip(arrays) {
            self.executor.restore(value, data)?;
        }
        let wanted = self.snapshot_of(&values)?;
        self.restore_contents(&current)?;
        Ok(wanted)
    }

    /// The parameter or state of this key.
    pub(crate) fn find(&self, key: &StateKey) -> Option<Value> {
        self.advanced().find(|(own, _)| **own == *key).map(|(_, value)| value)
    }

    /// The parameter or state of this key; fails unless there is one with so many elements.
    fn expect_state(&self, key: &StateKey, elements: usize) -> Result<Value> {
        let known = || self.advanced().map(|(key, _)| key);
        let value = self.find(key).ok_or_else(|| Error::unknown("parameter or state", key, known()))?;
        self.check_length(value, elements)?;
        Ok(value)
    }
}
