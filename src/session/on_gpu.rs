use super::Session;
use crate::error::{Error, Result};
use crate::executor::gpu::BufferRange;
use crate::graph::Value;

impl Session {
    /// Where the elements of an input, parameter, state, loss or kept value lie, for use in the
    /// program's own command encoders on the same device. The place stays the same as long as the session
    /// lives.
    ///
    /// ```no_run
    /// # use retape::prelude::*;
    /// # use retape::wgpu;
    /// # fn copy(session: &Session, y: Value, encoder: &mut wgpu::CommandEncoder, target: &wgpu::Buffer) -> retape::Result<()> {
    /// let y = session.buffer(y)?;
    /// encoder.copy_buffer_to_buffer(y.buffer, y.offset, target, 0, y.bytes);
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// [`Error::NeedsGpu`] on the CPU; otherwise as [`read`](Session::read).
    pub fn buffer(&self, value: Value) -> Result<BufferRange<'_>> {
        self.check_readable(value)?;
        let gpu = self.executor.gpu().ok_or(Error::NeedsGpu { what: "a buffer" })?;
        gpu.locate(value)
    }
}
