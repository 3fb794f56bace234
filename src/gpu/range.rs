use crate::error::{Error, Result};
use crate::graph::Value;
use crate::session::Session;

/// Where a value of a session lies on the device: what [`Session::buffer`] returns.
#[derive(Clone, Copy, Debug)]
pub struct BufferRange<'a> {
    /// The buffer. Other values may lie in it beside this one.
    pub buffer: &'a wgpu::Buffer,
    /// The value's first byte: a multiple of the device's `min_storage_buffer_offset_alignment`.
    pub offset: u64,
    /// Bytes of its elements.
    pub bytes: u64,
}

impl<'a> BufferRange<'a> {
    /// The value's elements as a storage binding.
    pub fn binding(&self) -> wgpu::BindingResource<'a> {
        wgpu::BindingResource::Buffer(wgpu::BufferBinding {
            buffer: self.buffer,
            offset: self.offset,
            size: std::num::NonZeroU64::new(self.bytes),
        })
    }

    /// The value's elements as a slice of the buffer.
    pub fn slice(&self) -> wgpu::BufferSlice<'a> {
        self.buffer.slice(self.offset..self.offset + self.bytes)
    }
}

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
    /// [`Error::NeedsGpu`] on the CPU path; otherwise as [`read`](Session::read).
    pub fn buffer(&self, value: Value) -> Result<BufferRange<'_>> {
        self.check_readable(value)?;
        let gpu = self.executor().gpu().ok_or(Error::NeedsGpu { what: "a buffer" })?;
        gpu.locate(value)
    }
}
