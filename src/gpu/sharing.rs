//! Parameters and states that a session has in common with another one.

use std::collections::HashMap;
use std::sync::Arc;

use super::context::GpuContext;
use super::executor::GpuExecutor;
use crate::error::{Error, Result};
use crate::graph::{Source, Value};
use crate::session::{Session, SessionOptions};
use crate::tape::{Place, Plan, SharedLayout, Tape, ValuePlan};

/// The other session's executor, and this tape's values with what that one has planned for them.
type Shared<'a> = (&'a GpuExecutor, Vec<(Value, &'a ValuePlan)>);

/// The executor of a session on this device.
fn on_device<'a>(context: &Arc<GpuContext>, session: &'a Session) -> Result<&'a GpuExecutor> {
    let here = session.executor().gpu().filter(|gpu| Arc::ptr_eq(&gpu.context, context));
    here.ok_or_else(|| Error::Share { message: "the sessions run on different devices".to_owned() })
}

fn shared_values<'a>(
    context: &Arc<GpuContext>,
    tape: &Tape,
    options: &SessionOptions<'a>,
) -> Result<Option<Shared<'a>>> {
    let Some(session) = options.share else { return Ok(None) };
    let other = on_device(context, session)?;
    let mut values = Vec::new();
    for value in tape.persistent() {
        let info = &tape.recording().values[value.index()];
        if !matches!(info.source, Source::Parameter(_) | Source::State(_)) {
            continue;
        }
        let name = tape.recording().describe(value);
        if let Some(theirs) = options.shared_value(&name) {
            options.check_shared_shape(&name, info.ty)?;
            values.extend(other.plan().value(theirs).map(|planned| (value, planned)));
        }
    }
    Ok(Some((other, values)))
}

/// Where the other session has what this tape shares with it.
pub(crate) fn shared_layout(
    context: &Arc<GpuContext>,
    tape: &Tape,
    options: &SessionOptions<'_>,
) -> Result<SharedLayout> {
    let mut layout = SharedLayout::default();
    let Some((other, values)) = shared_values(context, tape, options)? else { return Ok(layout) };
    let mut arenas: HashMap<usize, usize> = HashMap::new();
    for (value, theirs) in values {
        let arena = *arenas.entry(theirs.buffer).or_insert_with(|| {
            layout.arenas.push(other.plan().buffers[theirs.buffer].bytes);
            layout.arenas.len() - 1
        });
        layout.places.insert(value, Place { arena, offset: theirs.offset });
    }
    Ok(layout)
}

/// The buffers of inputs of other sessions that values of this tape stand for, by buffer index.
fn fed_buffers(
    context: &Arc<GpuContext>,
    plan: &Plan,
    options: &SessionOptions<'_>,
) -> Result<HashMap<usize, wgpu::Buffer>> {
    let mut fed_buffers = HashMap::new();
    for fed in options.feeds {
        let theirs = on_device(context, fed.session)?.locate(fed.theirs)?;
        let Some(own) = plan.value(fed.own) else { continue };
        if own.offset != theirs.offset {
            let message = "a value that is fed lies elsewhere in the other session".to_owned();
            return Err(Error::Share { message });
        }
        fed_buffers.insert(own.buffer, theirs.buffer.clone());
    }
    Ok(fed_buffers)
}

/// The buffers that come from the session to share with, by buffer index.
pub(super) fn shared_buffers(
    context: &Arc<GpuContext>,
    tape: &Tape,
    plan: &Plan,
    options: &SessionOptions<'_>,
) -> Result<HashMap<usize, wgpu::Buffer>> {
    let mut shared = fed_buffers(context, plan, options)?;
    let Some((other, values)) = shared_values(context, tape, options)? else { return Ok(shared) };
    let mut from: HashMap<usize, usize> = HashMap::new();
    let is_shared: HashMap<Value, &ValuePlan> = values.into_iter().collect();
    for value in tape.persistent() {
        let (Some(own), theirs) = (plan.value(value), is_shared.get(&value)) else { continue };
        let buffer = *from.entry(own.buffer).or_insert_with(|| theirs.map_or(usize::MAX, |t| t.buffer));
        let fits = theirs.map_or(buffer == usize::MAX, |theirs| {
            let sizes = [&plan.buffers[own.buffer], &other.plan().buffers[theirs.buffer]].map(|b| b.bytes);
            theirs.buffer == buffer && theirs.offset == own.offset && sizes[0] == sizes[1]
        });
        if !fits {
            let name = tape.recording().describe(value);
            let message = format!("the plan has `{name}` in another place than the other session");
            return Err(Error::Share { message });
        }
        if theirs.is_some() {
            shared.insert(own.buffer, other.buffers[buffer].clone());
        }
    }
    Ok(shared)
}
