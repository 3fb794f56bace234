//! What each dispatch of a step takes.

use std::ops::Range;
use std::time::Instant;

use super::context::GpuContext;
use super::executor::{GpuExecutor, encode};
use super::flight::FULL;
use super::pace;
use super::range::BufferRange;
use crate::error::Result;
use crate::executor::ScalarTable;

/// Dispatches of a set of queries, each of which takes two.
const DISPATCHES: usize = wgpu::QUERY_SET_MAX_QUERIES as usize / 2;
/// Bytes of a query's result.
const RESULT: u64 = 8;

/// Queries for the device's clock, before and after each dispatch.
struct Queries {
    sets: Vec<wgpu::QuerySet>,
    results: wgpu::Buffer,
    dispatches: usize,
}

impl Queries {
    fn new(context: &GpuContext, dispatches: usize) -> Result<Queries> {
        let sets = dispatches.div_ceil(DISPATCHES).max(1);
        let bytes = RESULT * u64::from(wgpu::QUERY_SET_MAX_QUERIES) * sets as u64;
        let usage = wgpu::BufferUsages::QUERY_RESOLVE | wgpu::BufferUsages::COPY_SRC;
        context.scoped(bytes, || {
            let ty = wgpu::QueryType::Timestamp;
            let descriptor = wgpu::QuerySetDescriptor { label: None, ty, count: wgpu::QUERY_SET_MAX_QUERIES };
            let sets = (0..sets).map(|_| context.device.create_query_set(&descriptor)).collect();
            Queries { sets, results: context.make_buffer("timestamps", bytes, usage), dispatches }
        })
    }

    /// What a pass of one dispatch writes.
    fn around(&self, dispatch: usize) -> wgpu::ComputePassTimestampWrites<'_> {
        let first = 2 * (dispatch % DISPATCHES) as u32;
        wgpu::ComputePassTimestampWrites {
            query_set: &self.sets[dispatch / DISPATCHES],
            beginning_of_pass_write_index: Some(first),
            end_of_pass_write_index: Some(first + 1),
        }
    }

    /// Has the results written that the passes so far leave.
    fn resolve(&self, encoder: &mut wgpu::CommandEncoder) {
        for (number, set) in self.sets.iter().enumerate() {
            let first = number * DISPATCHES;
            let queries = 2 * (self.dispatches - first).min(DISPATCHES) as u32;
            let offset = RESULT * 2 * first as u64;
            encoder.resolve_query_set(set, 0..queries, &self.results, offset);
        }
    }
}

impl GpuExecutor {
    /// Runs the step once without counting it, and gives the seconds of each dispatch by the device's clock, which the
    /// device must have been opened with. 0 where it does not tell.
    pub fn timed_by_device(&self, scalars: &ScalarTable) -> Result<Vec<f64>> {
        let (context, count) = (self.context(), self.commands.len());
        if count == 0 {
            return Ok(Vec::new());
        }
        let queries = Queries::new(context, count)?;
        let mut start = 0;
        for part in pace::submissions(&self.guesses, context.flight.guesses()) {
            self.submit_alone(start..start + part, scalars, Some(&queries))?;
            start += part;
        }
        context.submit(0, |encoder| queries.resolve(encoder))?;
        let bytes = RESULT * 2 * count as u64;
        let results = BufferRange { buffer: &queries.results, offset: 0, bytes };
        let ticks: Vec<u64> = bytemuck::pod_collect_to_vec(&self.staging.read(context, &[results])?.wait()?);
        let seconds = f64::from(context.queue.get_timestamp_period()) * 1e-9;
        Ok(ticks.chunks_exact(2).map(|pair| pair[1].saturating_sub(pair[0]) as f64 * seconds).collect())
    }

    /// The same by the host's clock: each dispatch is handed over and waited for.
    pub fn timed_by_host(&self, scalars: &ScalarTable) -> Result<Vec<f64>> {
        self.context().wait()?;
        let timed = |dispatch: usize| {
            let start = Instant::now();
            self.submit_alone(dispatch..dispatch + 1, scalars, None)?;
            self.context().wait()?;
            Ok(start.elapsed().as_secs_f64())
        };
        (0..self.commands.len()).map(timed).collect()
    }

    /// Hands over dispatches, each in a pass of its own.
    fn submit_alone(
        &self,
        range: Range<usize>,
        scalars: &ScalarTable,
        queries: Option<&Queries>,
    ) -> Result<()> {
        let (context, from) = (self.context(), Instant::now());
        let index = context.scoped(0, || {
            let mut encoder = context.device.create_command_encoder(&Default::default());
            for dispatch in range.clone() {
                let timestamp_writes = queries.map(|queries| queries.around(dispatch));
                let descriptor = wgpu::ComputePassDescriptor { label: None, timestamp_writes };
                let mut pass = encoder.begin_compute_pass(&descriptor);
                encode(&mut pass, &self.commands[dispatch..=dispatch], scalars);
            }
            context.queue.submit([encoder.finish()])
        })?;
        let guess = self.guesses[range].iter().sum();
        let oldest = context.flight.begin(index, from, guess, FULL);
        oldest.map_or(Ok(()), |oldest| context.wait_for(&oldest))
    }
}
