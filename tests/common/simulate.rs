//! An independent proof that the values of a plan may share storage as they do.

use std::collections::HashMap;
use std::ops::Range;

use retape::prelude::*;
use retape::tape::Plan;

/// Which value's contents each range of each buffer holds.
#[derive(Default)]
struct Contents(Vec<(usize, Range<u64>, Value)>);

impl Contents {
    /// Forgets whatever reaches into a range, but for the values in `except`.
    fn overwrite(&mut self, buffer: usize, range: &Range<u64>, except: &[Value]) {
        let touches = |(b, r, _): &(usize, Range<u64>, Value)| {
            *b == buffer && r.start < range.end && range.start < r.end
        };
        self.0.retain(|held| except.contains(&held.2) || !touches(held));
    }

    fn insert(&mut self, (buffer, range): (usize, Range<u64>), value: Value) {
        self.overwrite(buffer, &range, &[]);
        self.0.push((buffer, range, value));
    }

    fn get(&self, (buffer, range): &(usize, Range<u64>)) -> Option<Value> {
        self.0.iter().find(|(b, r, _)| b == buffer && r == range).map(|held| held.2)
    }
}

/// Walks the plan as a machine that remembers which value's contents each buffer holds, and fails
/// where an operator would read something else: an independent proof that sharing is sound.
pub fn simulate(tape: &Tape, plan: &Plan) -> Result<(), String> {
    let place = |v: Value| {
        let planned = plan.value(v).ok_or_else(|| format!("{v:?} has no buffer"))?;
        Ok::<_, String>((planned.buffer, planned.offset..planned.offset + planned.bytes))
    };
    let mut holds = Contents::default();
    // A view has the contents of what it views.
    let mut contents: HashMap<Value, Value> = HashMap::new();
    for value in tape.persistent() {
        holds.insert(place(value)?, value);
        contents.insert(value, value);
    }
    for (index, node) in tape.ops().iter().enumerate() {
        for &input in &node.inputs {
            let found = holds.get(&place(input)?);
            if found != Some(contents[&input]) {
                return Err(format!("op {index} ({}) reads {input:?} but finds {found:?}", node.op.name()));
            }
        }
        let mutated: Vec<Value> = node.op.mutates().iter().map(|&i| contents[&node.inputs[i]]).collect();
        for dispatch in plan.dispatches.iter().filter(|d| d.op == index) {
            check_dispatch(dispatch)?;
            // Whatever it writes loses its contents: an output's buffer is named below, a scratch
            // buffer's is not.
            for bound in dispatch.bindings.iter().filter(|b| b.access == retape::kernel::Access::ReadWrite) {
                let range = bound.offset..bound.offset + bound.bytes;
                holds.overwrite(bound.buffer, &range, &mutated);
            }
        }
        for (number, &output) in node.outputs.iter().enumerate() {
            let source = if node.op.is_view() && number == 0 { contents[&node.inputs[0]] } else { output };
            contents.insert(output, source);
            holds.insert(place(output)?, source);
        }
    }
    for kept in tape.kept() {
        if holds.get(&place(kept)?) != Some(contents[&kept]) {
            return Err(format!("kept {kept:?} is overwritten"));
        }
    }
    Ok(())
}

fn check_dispatch(dispatch: &retape::tape::Dispatch) -> Result<(), String> {
    use retape::kernel::Access::ReadWrite;
    for (i, a) in dispatch.bindings.iter().enumerate() {
        for b in &dispatch.bindings[i + 1..] {
            let apart = a.offset + a.bytes <= b.offset || b.offset + b.bytes <= a.offset;
            // Two that read, or two that write in different places.
            let allowed = a.access == b.access && (apart || a.access != ReadWrite);
            if a.buffer == b.buffer && !allowed {
                return Err(format!("op {} reads and writes buffer {}", dispatch.op, a.buffer));
            }
        }
    }
    Ok(())
}
