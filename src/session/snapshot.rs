use super::Session;
use crate::error::Result;
use crate::gpu::GpuSnapshot;
use crate::graph::Value;

/// The parameters, states and per-step scalars of a session at some moment, kept on its device:
/// what [`Session::snapshot`] returns.
pub struct Snapshot {
    contents: Contents,
    scalars: Vec<f64>,
}

enum Contents {
    Gpu(GpuSnapshot),
    Cpu(Vec<(Value, Vec<f64>)>),
}

impl Session {
    /// Copies the parameters and states within the device, with the step count and the other per-step
    /// scalars. Nothing is read back.
    ///
    /// # Errors
    /// [`Error::OutOfMemory`](crate::Error::OutOfMemory) if the device has no room for the copies.
    pub fn snapshot(&self) -> Result<Snapshot> {
        let values: Vec<Value> =
            self.tape.persistent().into_iter().filter(|&v| self.is_advanced(v)).collect();
        let contents = match self.executor.gpu() {
            Some(gpu) => Contents::Gpu(gpu.snapshot(&values)?),
            None => {
                let read = |&v: &Value| Ok((v, self.executor.read_f64(v)?));
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
        match &snapshot.contents {
            Contents::Gpu(contents) => {
                if let Some(gpu) = self.executor.gpu() {
                    gpu.put_back(contents)?;
                }
            }
            Contents::Cpu(contents) => {
                for (value, data) in contents {
                    self.executor.restore(*value, data)?;
                }
            }
        }
        self.scalars.set_values(&snapshot.scalars);
        Ok(())
    }
}
