use super::Session;
use crate::error::{Error, Result};
use crate::gpu::GpuSnapshot;
use crate::graph::Value;

/// The parameters, states and per-step scalars of a session at some moment, kept on its device:
/// what [`Session::snapshot`] returns.
pub struct Snapshot {
    contents: Contents,
    scalars: Vec<f64>,
}

/// Each value by its name, so that a tape that was recorded again takes them up.
enum Contents {
    Gpu(GpuSnapshot),
    Cpu(Vec<(String, Vec<f64>)>),
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
        let contents = match self.executor.gpu() {
            Some(gpu) => {
                let named: Vec<_> = values.iter().map(|&value| (self.name_of(value), value)).collect();
                Contents::Gpu(gpu.snapshot(&named)?)
            }
            None => {
                let read = |&v: &Value| Ok((self.name_of(v), self.executor.read_f64(v)?));
                Contents::Cpu(values.iter().map(read).collect::<Result<_>>()?)
            }
        };
        Ok(Snapshot { contents, scalars: self.scalars.values().to_vec() })
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
        match &snapshot.contents {
            Contents::Gpu(contents) => {
                let values: Vec<Value> =
                    contents.names().map(|n| self.advanced_value(n)).collect::<Result<_>>()?;
                match self.executor.gpu() {
                    Some(gpu) => gpu.put_back(contents, &values),
                    None => Err(Error::NeedsGpu { what: "a snapshot of a GPU session" }),
                }
            }
            Contents::Cpu(contents) => {
                let find = |(name, data): &(String, Vec<f64>)| {
                    let (value, found) = (self.advanced_value(name)?, data.len());
                    let expected = self.type_of(value);
                    if expected.numel() == found {
                        return Ok(value);
                    }
                    Err(Error::Length { name: name.clone(), expected, found })
                };
                let values: Vec<Value> = contents.iter().map(find).collect::<Result<_>>()?;
                let pairs = values.into_iter().zip(contents);
                pairs.into_iter().try_for_each(|(value, (_, data))| self.executor.restore(value, data))
            }
        }
    }

    /// What a snapshot holds, by name.
    pub(crate) fn read_snapshot(&self, snapshot: &Snapshot) -> Result<Vec<(String, Vec<f64>)>> {
        match &snapshot.contents {
            Contents::Gpu(contents) => {
                let gpu =
                    self.executor.gpu().ok_or(Error::NeedsGpu { what: "a snapshot of a GPU session" })?;
                gpu.read_snapshot(contents)
            }
            Contents::Cpu(contents) => Ok(contents.clone()),
        }
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
