use super::executor::GpuExecutor;
use super::range::BufferRange;
use crate::error::{Error, Result};
use crate::graph::Value;

/// Copies of values on their device, by name.
pub(crate) struct GpuSnapshot {
    copies: Vec<(String, wgpu::Buffer)>,
}

impl GpuSnapshot {
    /// The names of the values.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.copies.iter().map(|(name, _)| name.as_str())
    }
}

impl GpuExecutor {
    /// Copies the contents of f32 values within the device.
    pub fn snapshot(&self, values: &[(String, Value)]) -> Result<GpuSnapshot> {
        let context = &self.context;
        let located: Vec<_> =
            values.iter().filter_map(|(name, v)| self.locate(*v).ok().map(|at| (name, at))).collect();
        let bytes = located.iter().map(|(_, range)| range.bytes).sum();
        let copies = context.scoped(bytes, || {
            let mut encoder = context.device.create_command_encoder(&Default::default());
            let copy = |(name, source): (&String, BufferRange<'_>)| {
                let buffer = context.device.create_buffer(&wgpu::BufferDescriptor {
                    label: Some("snapshot"),
                    size: source.bytes,
                    usage: wgpu::BufferUsages::COPY_SRC | wgpu::BufferUsages::COPY_DST,
                    mapped_at_creation: false,
                });
                encoder.copy_buffer_to_buffer(source.buffer, source.offset, &buffer, 0, source.bytes);
                (name.clone(), buffer)
            };
            let copies = located.into_iter().map(copy).collect();
            context.queue.submit([encoder.finish()]);
            copies
        })?;
        Ok(GpuSnapshot { copies })
    }

    /// Puts what [`snapshot`](GpuExecutor::snapshot) copied into these values, in its order.
    pub fn put_back(&self, snapshot: &GpuSnapshot, values: &[Value]) -> Result<()> {
        let context = &self.context;
        let mut encoder = context.device.create_command_encoder(&Default::default());
        for ((name, copy), &value) in snapshot.copies.iter().zip(values) {
            let place = self.locate(value)?;
            if place.bytes != copy.size() {
                let (expected, found) = (self.type_of(value), copy.size() as usize / 4);
                return Err(Error::Length { name: name.clone(), expected, found });
            }
            encoder.copy_buffer_to_buffer(copy, 0, place.buffer, place.offset, place.bytes);
        }
        context.queue.submit([encoder.finish()]);
        context.check_submitted()
    }

    /// Reads what [`snapshot`](GpuExecutor::snapshot) copied.
    pub fn read_snapshot(&self, snapshot: &GpuSnapshot) -> Result<Vec<(String, Vec<f64>)>> {
        let read = |(name, copy): &(String, wgpu::Buffer)| {
            let bytes = self.read_range(BufferRange { buffer: copy, offset: 0, bytes: copy.size() })?;
            let data: Vec<f32> = bytemuck::pod_collect_to_vec(&bytes);
            Ok((name.clone(), data.into_iter().map(f64::from).collect()))
        };
        snapshot.copies.iter().map(read).collect()
    }
}
