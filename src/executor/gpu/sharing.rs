//! Parameters and states that a session has in common with others.

use std::collections::HashMap;
use std::sync::Arc;

use super::context::GpuContext;
use super::executor::GpuExecutor;
use crate::error::{Error, Result};
use crate::executor::{Executor, Link, Links};
use crate::graph::Value;
use crate::tape::{Place, Plan, SharedLayout, Tape, ValuePlan};

/// Where another session has a value.
#[derive(Clone, Copy)]
struct Shared<'a> {
    buffer: &'a wgpu::Buffer,
    /// Those of the buffer that are planned.
    bytes: u64,
    offset: u64,
}

/// An executor on this device.
fn on_device<'a>(context: &Arc<GpuContext>, executor: &'a Executor) -> Result<&'a GpuExecutor> {
    let here = executor.gpu().filter(|gpu| Arc::ptr_eq(&gpu.context, context));
    here.ok_or_else(|| Error::share("the sessions run on different devices"))
}

/// This tape's values that other sessions have.
fn shared_values<'a>(context: &Arc<GpuContext>, links: &Links<'a>) -> Result<Vec<(Value, Shared<'a>)>> {
    let mut values = Vec::new();
    for &Link { own, executor, theirs } in &links.shared {
        let other = on_device(context, executor)?;
        let place = |planned: &ValuePlan| Shared {
            buffer: &other.buffers[planned.buffer],
            bytes: other.plan.buffers[planned.buffer].bytes,
            offset: planned.offset,
        };
        values.extend(other.plan.value(theirs).map(|planned| (own, place(planned))));
    }
    Ok(values)
}

/// Where other sessions have what this tape shares with them.
#[expect(clippy::mutable_key_type, reason = "buffers are told apart by identity, which never changes")]
pub(crate) fn shared_layout(context: &Arc<GpuContext>, links: &Links<'_>) -> Result<SharedLayout> {
    let mut layout = SharedLayout::default();
    let mut arenas: HashMap<&wgpu::Buffer, usize> = HashMap::new();
    for (value, theirs) in shared_values(context, links)? {
        let arena = *arenas.entry(theirs.buffer).or_insert_with(|| {
            layout.arenas.push(theirs.bytes);
            layout.arenas.len() - 1
        });
        layout.places.insert(value, Place { arena, offset: theirs.offset });
    }
    Ok(layout)
}

/// The buffers that come from other sessions, by buffer index: with what is shared with them, and with their
/// inputs that values of this tape stand for.
pub(super) fn shared_buffers(
    context: &Arc<GpuContext>,
    tape: &Tape,
    plan: &Plan,
    links: &Links<'_>,
) -> Result<HashMap<usize, wgpu::Buffer>> {
    let mut buffers = HashMap::new();
    for fed in &links.fed {
        let theirs = on_device(context, fed.executor)?.locate(fed.theirs)?;
        let Some(own) = plan.value(fed.own) else { continue };
        if own.offset != theirs.offset {
            return Err(Error::share("a value that is fed lies elsewhere in the other session"));
        }
        buffers.insert(own.buffer, theirs.buffer.clone());
    }
    let shared: HashMap<Value, Shared<'_>> = shared_values(context, links)?.into_iter().collect();
    // For each buffer of this session, the foreign one, if any, that its first value lies in: all must agree.
    let mut from: HashMap<usize, Option<&wgpu::Buffer>> = HashMap::new();
    for value in tape.persistent() {
        let (Some(own), theirs) = (plan.value(value), shared.get(&value)) else { continue };
        let buffer = theirs.map(|theirs| theirs.buffer);
        let place = (own.offset, plan.buffers[own.buffer].bytes);
        let is_elsewhere = theirs.is_some_and(|theirs| (theirs.offset, theirs.bytes) != place);
        if *from.entry(own.buffer).or_insert(buffer) != buffer || is_elsewhere {
            let name = tape.recording().describe(value);
            let message = format!("the plan has `{name}` in another place than the other session");
            return Err(Error::share(message));
        }
        buffers.extend(buffer.map(|buffer| (own.buffer, buffer.clone())));
    }
    Ok(buffers)
}
