use super::Session;
use crate::error::{Error, Result};
use crate::executor::Copies;
use crate::graph::Value;

/// The parameters, states and per-step scalars of a session at some moment, kept on its device:
/// what [`Session::snapshot`] returns.
pub struct Snapshot {
    /// What the copies are of, so that a tape that was recorded again takes them up.
    names: Vec<String>,
    copies: Copies,
    scalars: Vec<f64>,
}

impl Session {
    /// Copies the parameters and states within the device, with the step count and the other per-step
    /// scalars. Nothing is read back.
    ///
    /// # Errors
    /// [`Error::OutOfMemory`](crate::Error::OutOfMemory) if the device has no room for the copies.
    pub fn snapshot(&self) -> Result<Snapshot> {
        let advanced: Vec<Value> =
            self.tape.persistent().into_iter().filter(|&v| self.is_advanced(v)).collect();
        self.snapshot_of(&advanced)
    }

    /// A snapshot of these parameters and states alone.
    pub(crate) fn snapshot_of(&self, values: &[Value]) -> Result<Snapshot> {
        let names = values.iter().map(|&value| self.name_of(value)).collect();
        Ok(Snapshot { names, copies: self.executor.copy(values)?, scalars: self.scalars.values().to_vec() })
    }

    /// Puts everything back as it was when the snapshot of this session was made.
    ///
    /// # Errors
    /// [`Error::Unknown`](crate::Error::Unknown) for a snapshot of another tape.
    pub fn restore(&mut self, snapshot: &Snapshot) -> Result<()> {
        self.restore_contents(snapshot)?;
        self.scalars.set_values(&snapshot.scalars);
        Ok(())
    }

    /// [`restore`](Session::restore) without the step count and the other scalars.
    pub(crate) fn restore_contents(&mut self, snapshot: &Snapshot) -> Result<()> {
        let mut values = Vec::with_capacity(snapshot.names.len());
        for (name, found) in snapshot.names.iter().zip(snapshot.copies.lengths()) {
            let value = self.advanced_value(name)?;
            let expected = self.type_of(value);
            if expected.numel() != found {
                return Err(Error::Length { name: name.clone(), expected, found });
            }
            values.push(value);
        }
        self.executor.put_back(&snapshot.copies, &values)
    }

    /// What a snapshot holds, by name.
    pub(crate) fn read_snapshot(&self, snapshot: &Snapshot) -> Result<Vec<(String, Vec<f64>)>> {
        let arrays = self.executor.read_copies(&snapshot.copies)?;
        Ok(snapshot.names.iter().cloned().zip(arrays).collect())
    }

    /// A snapshot that holds these arrays, by the names of parameters and states.
    ///
    /// # Errors
    /// [`Error::Unknown`] for a name that the tape does not have, [`Error::Length`].
    pub(crate) fn snapshot_from(&mut self, arrays: &[(String, Vec<f64>)]) -> Result<Snapshot> {
        let mut found = Vec::with_capacity(arrays.len());
        for (name, data) in arrays {
            let value = self.advanced_value(name)?;
            let ty = self.tape.recording().ty(value);
            if ty.numel() != data.len() {
                return Err(Error::Length { name: name.clone(), expected: ty, found: data.len() });
            }
            found.push((value, data));
        }
        let values: Vec<Value> = found.iter().map(|&(value, _)| value).collect();
        let current = self.snapshot_of(&values)?;
        for (value, data) in found {
            self.executor.restore(value, data)?;
        }
        let wanted = self.snapshot_of(&values)?;
        self.restore_contents(&current)?;
        Ok(wanted)
    }

    /// The parameter or state of this name.
    pub(crate) fn advanced_value(&self, name: &str) -> Result<Value> {
        let recording = self.tape.recording();
        let mut advanced = self.tape.persistent().into_iter().filter(|&v| self.is_advanced(v));
        let found = advanced.find(|v| recording.values[v.index()].name.as_deref() == Some(name));
        found.ok_or_else(|| {
            let all = self.tape.persistent().into_iter().filter(|&v| self.is_advanced(v));
            let known = all.map(|v| recording.describe(v)).collect();
            Error::Unknown { what: "parameter or state", name: name.to_owned(), known }
        })
    }
}
