use super::executor::GpuExecutor;
use super::range::BufferRange;
use crate::error::Result;
use crate::graph::Value;

/// Copies of buffers on their device.
pub(crate) struct GpuSnapshot {
    copies: Vec<(Value, wgpu::Buffer)>,
}

impl GpuExecutor {
    /// Copies the contents of values within the device.
    pub fn snapshot(&self, values: &[Value]) -> Result<GpuSnapshot> {
        let context = &self.context;
        let located: Vec<_> = values.iter().filter_map(|&v| self.locate(v).ok().map(|at| (v, at))).collect();
        let bytes = located.iter().map(|(_, range)| range.bytes).sum();
        let copies = context.scoped(bytes, || {
            let mut encoder = context.device.create_command_encoder(&Default::default());
            let copy = |(value, source): (Value, BufferRange<'_>)| {
                let buffer = context.device.create_buffer(&wgpu::BufferDescriptor {
                    label: Some("snapshot"),
                    size: source.bytes,
                    usage: wgpu::BufferUsages::COPY_SRC | wgpu::BufferUsages::COPY_DST,
                    mapped_at_creation: false,
                });
                encoder.copy_buffer_to_buffer(source.buffer, source.offset, &buffer, 0, source.bytes);
                (value, buffer)
            };
            let copies = located.into_iter().map(copy).collect();
            context.queue.submit([encoder.finish()]);
            copies
        })?;
        Ok(GpuSnapshot { copies })
    }

    /// Puts back what [`snapshot`](GpuExecutor::snapshot) copied.
    pub fn put_back(&self, snapshot: &GpuSnapshot) -> Result<()> {
        let context = &self.context;
        let mut encoder = context.device.create_command_encoder(&Default::default());
        for (value, copy) in &snapshot.copies {
            let place = self.locate(*value)?;
            encoder.copy_buffer_to_buffer(copy, 0, place.buffer, place.offset, place.bytes);
        }
        context.queue.submit([encoder.finish()]);
        context.check_submitted()
    }

    /// Reads what [`snapshot`](GpuExecutor::snapshot) copied.
    pub fn read_snapshot(&self, snapshot: &GpuSnapshot) -> Result<Vec<(Value, Vec<f64>)>> {
        let read = |(value, copy): &(Value, wgpu::Buffer)| {
            let bytes = self.read_range(BufferRange { buffer: copy, offset: 0, bytes: copy.size() })?;
            Ok((*value, self.to_f64(*value, &bytes)))
        };
        snapshot.copies.iter().map(read).collect()
    }
}
