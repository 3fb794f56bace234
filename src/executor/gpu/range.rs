/// Where a value of a session lies on the device: what [`Session::buffer`](crate::Session::buffer) returns.
#[derive(Clone, Copy, Debug)]
pub struct BufferRange<'a> {
    /// The buffer. Other values may lie in it beside this one.
    pub buffer: &'a wgpu::Buffer,
    /// The value's first byte: a multiple of the device's `min_storage_buffer_offset_alignment`.
    pub offset: u64,
    /// Bytes of its elements; of an odd number of half precision, with two more.
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
