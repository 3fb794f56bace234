use super::executor::GpuExecutor;
use super::range::BufferRange;
use crate::dtype::DType;
use crate::error::Result;
use crate::executor::numbers;
use crate::graph::Value;

impl GpuExecutor {
    /// Copies the contents of values within the device.
    pub fn copy(&self, values: &[Value]) -> Result<Vec<wgpu::Buffer>> {
        let context = &self.context;
        let located: Vec<_> = values.iter().map(|&value| self.locate(value)).collect::<Result<_>>()?;
        let bytes = located.iter().map(|range| range.bytes).sum();
        let usage = wgpu::BufferUsages::COPY_SRC | wgpu::BufferUsages::COPY_DST;
        let make_copies = |encoder: &mut wgpu::CommandEncoder| {
            let copy = |source: BufferRange<'_>| {
                let buffer = context.make_buffer("snapshot", source.bytes, usage);
                encoder.copy_buffer_to_buffer(source.buffer, source.offset, &buffer, 0, source.bytes);
                buffer
            };
            located.into_iter().map(copy).collect()
        };
        context.submit(bytes, make_copies)
    }

    /// Puts what [`copy`](GpuExecutor::copy) copied into these values, in its order.
    pub fn put_back(&self, copies: &[wgpu::Buffer], values: &[Value]) -> Result<()> {
        let located: Vec<_> = values.iter().map(|&value| self.locate(value)).collect::<Result<_>>()?;
        self.context.submit(0, |encoder| {
            for (copy, place) in copies.iter().zip(located) {
                encoder.copy_buffer_to_buffer(copy, 0, place.buffer, place.offset, place.bytes);
            }
        })
    }

    /// Reads what [`copy`](GpuExecutor::copy) copied.
    pub fn read_copies(&self, copies: &[wgpu::Buffer]) -> Result<Vec<Vec<f64>>> {
        let read = |copy: &wgpu::Buffer| {
            let bytes = self.read_range(BufferRange { buffer: copy, offset: 0, bytes: copy.size() })?;
            Ok(numbers(DType::F32, &bytes).collect())
        };
        copies.iter().map(read).collect()
    }
}
