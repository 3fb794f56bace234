use std::future::Future;
use std::pin::Pin;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;

use super::context::GpuContext;
use super::range::BufferRange;
use crate::error::Result;

/// Staging buffers that come back after each read, so that steady reading allocates none.
#[derive(Clone, Default)]
pub(crate) struct Staging {
    free: Arc<Mutex<Vec<wgpu::Buffer>>>,
}

impl Staging {
    fn take(&self, context: &GpuContext, bytes: u64) -> Result<wgpu::Buffer> {
        let mut free = self.free.lock().unwrap_or_else(PoisonError::into_inner);
        let fits = (0..free.len()).filter(|&i| free[i].size() >= bytes).min_by_key(|&i| free[i].size());
        if let Some(index) = fits {
            return Ok(free.swap_remove(index));
        }
        drop(free);
        let usage = wgpu::BufferUsages::MAP_READ | wgpu::BufferUsages::COPY_DST;
        context.scoped(bytes, || context.make_buffer("read-back", bytes, usage))
    }

    /// Submits a copy of ranges, one after the other; each begins and ends at a multiple of 4 bytes.
    pub fn read(&self, context: &Arc<GpuContext>, sources: &[BufferRange<'_>]) -> Result<PendingRead> {
        context.reads.fetch_add(1, Ordering::Relaxed);
        let bytes = sources.iter().map(|range| range.bytes).sum();
        let buffer = self.take(context, bytes)?;
        context.submit(0, |encoder| {
            let mut end = 0;
            for &BufferRange { buffer: source, offset, bytes } in sources {
                encoder.copy_buffer_to_buffer(source, offset, &buffer, end, bytes);
                end += bytes;
            }
        })?;
        let arrived: Arrived = Arc::default();
        let signal = arrived.clone();
        let arrives = move |result: Result<(), wgpu::BufferAsyncError>| {
            let (slot, changed) = &*signal;
            *slot.lock().unwrap_or_else(PoisonError::into_inner) = Some(result.map_err(|e| e.to_string()));
            changed.notify_all();
        };
        context.scoped(0, || buffer.slice(..bytes).map_async(wgpu::MapMode::Read, arrives))?;
        let (context, staging, buffer) = (context.clone(), self.clone(), Some(buffer));
        Ok(PendingRead { context, staging, buffer, bytes, arrived })
    }
}

type Arrived = Arc<(Mutex<Option<Result<(), String>>>, Condvar)>;

/// A read under way. As a future it polls the device whenever it is polled itself; nothing else
/// drives a native wgpu device.
pub(crate) struct PendingRead {
    context: Arc<GpuContext>,
    staging: Staging,
    buffer: Option<wgpu::Buffer>,
    bytes: u64,
    arrived: Arrived,
}

impl PendingRead {
    /// Waits for the data.
    pub fn wait(mut self) -> Result<Vec<u8>> {
        loop {
            self.context.wait()?;
            if let Some(done) = self.collect() {
                return done;
            }
            // Another thread's poll has taken our callback and is about to run it.
            let (slot, changed) = &*self.arrived;
            let slot = slot.lock().unwrap_or_else(PoisonError::into_inner);
            drop(changed.wait_timeout_while(slot, Duration::from_millis(10), |arrived| arrived.is_none()));
        }
    }

    fn collect(&mut self) -> Option<Result<Vec<u8>>> {
        let arrived = self.arrived.0.lock().unwrap_or_else(PoisonError::into_inner).take()?;
        if let Err(message) = arrived {
            return Some(Err(self.context.check().err().unwrap_or_else(|| self.context.failed(message))));
        }
        let buffer = self.buffer.take()?;
        let copied = self.context.scoped(0, || {
            let copied = buffer.slice(..self.bytes).get_mapped_range().map(|view| view.to_vec());
            buffer.unmap();
            copied
        });
        self.staging.free.lock().unwrap_or_else(PoisonError::into_inner).push(buffer);
        Some(copied.and_then(|copied| copied.map_err(|e| self.context.failed(e.to_string()))))
    }
}

impl Future for PendingRead {
    type Output = Result<Vec<u8>>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let polled = self.context.poll(wgpu::PollType::Poll);
        if let Some(done) = self.collect() {
            return Poll::Ready(done);
        }
        if let Err(error) = polled {
            return Poll::Ready(Err(error));
        }
        cx.waker().wake_by_ref();
        Poll::Pending
    }
}
