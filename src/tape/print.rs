//! Listings of tapes and plans. Values have one numbering in both and in messages: that of their graph, `%7`,
//! which is the same each time the graph is recorded.

use std::fmt;

use super::{Plan, Tape};
use crate::graph::{Node, Phase, Source, StateKind, Value};
use crate::kernel::Access;

/// How wide the cells of a listing are at most: an operator, its operands, its results, its layer.
const WIDTHS: [usize; 4] = [36, 58, 30, 24];

/// How wide a list at the end of a line is at most.
const LIST: usize = 100;

/// How many items of a list are shown one by one.
const SHOWN: usize = 6;

/// The items of a list that fits, else the first and the last with their number: `w_1 .. w_161 (161)`.
fn elided(items: &[String], width: usize) -> String {
    let all = items.join(" ");
    match items {
        [] | [_] => cut(all, width),
        _ if items.len() <= SHOWN && all.len() <= width => all,
        [first, .., last] => {
            let count = format!(" ({})", items.len());
            let ends = format!("{first} .. {last}{count}");
            if ends.len() <= width { ends } else { cut(first.clone(), width - 12) + " .." + &count }
        }
    }
}

/// A text of at most so many characters, without its middle if it is longer.
fn cut(text: String, width: usize) -> String {
    let length = text.chars().count();
    if length <= width {
        return text;
    }
    let half = width / 2 - 1;
    let head: String = text.chars().take(half).collect();
    let tail: String = text.chars().skip(length - half).collect();
    format!("{head}..{tail}")
}

impl Tape {
    /// A value as an operand: its name, or `%` and its number, with its shape; a constant of one number is
    /// that number.
    fn operand(&self, value: Value) -> String {
        let info = self.info(value);
        match &info.source {
            Source::Constant(data) if data.len() == 1 => data[0].to_string(),
            _ => format!("{}{}", self.recording.describe(value), info.ty.shape),
        }
    }

    fn row(&self, node: &Node) -> [String; 4] {
        let attributes = node.op.attributes();
        let name = node.op.name();
        let op = if attributes.is_empty() { name.to_owned() } else { format!("{name}({attributes})") };
        let operands = |values: &[Value]| values.iter().map(|&v| self.operand(v)).collect::<Vec<_>>();
        let [a, b, c, d] = WIDTHS;
        let (arrow, results) = if node.outputs.is_empty() {
            ("=>", node.mutated().map(|v| self.recording.describe(v)).collect())
        } else {
            ("->", operands(&node.outputs))
        };
        let output = format!("{arrow} {}", elided(&results, c - 3));
        [cut(op, a), elided(&operands(&node.inputs), b), output, cut(self.layer(node).to_owned(), d)]
    }
}

impl fmt::Display for Tape {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let count = |phase| self.ops.iter().filter(|n| n.phase == phase).count();
        let [forward, backward, update] = [Phase::Forward, Phase::Backward, Phase::Update].map(count);
        let (all, again) = (self.ops.len(), count(Phase::Recompute));
        let again = if again > 0 { format!("{again} recomputed, ") } else { String::new() };
        writeln!(f, "tape of {all} ops: {forward} forward, {again}{backward} backward, {update} update")?;
        self.recomputed.iter().try_for_each(|recomputed| writeln!(f, "  {recomputed}"))?;
        for value in self.persistent() {
            let info = self.info(value);
            let (what, init) = match &info.source {
                Source::Input => ("input", None),
                Source::Labels => ("labels", None),
                Source::State(StateKind::Weight { trained: true }, init) => ("parameter", Some(init)),
                Source::State(StateKind::Weight { trained: false }, init) => ("frozen", Some(init)),
                Source::State(_, init) => ("state", Some(init)),
                Source::Constant(data) if data.len() > 1 => ("constant", None),
                Source::Constant(_) | Source::Op { .. } => continue,
            };
            let init = init.map_or_else(String::new, |init| format!(" {init}"));
            writeln!(f, "  {what:9}  {} {}{init}", info.ty.dtype, self.operand(value))?;
        }
        let rows: Vec<_> = self.ops.iter().map(|n| self.row(n)).collect();
        let width = |column: usize| rows.iter().map(|r| r[column].chars().count()).max().unwrap_or(0);
        let [a, b, c] = [0, 1, 2].map(width);
        for (index, [op, inputs, output, layer]) in rows.iter().enumerate() {
            let line = format!("{index:4}  {op:a$}  {inputs:b$}  {output:c$}  {layer}");
            writeln!(f, "{}", line.trim_end())?;
        }
        let kept: Vec<_> = self.kept.iter().map(|&v| self.operand(v)).collect();
        writeln!(f, "  kept: {}", elided(&kept, LIST))
    }
}

impl fmt::Display for Plan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let kib = |bytes: u64| bytes as f64 / 1024.0;
        let at = |what: String, offset: u64| if offset == 0 { what } else { format!("{what}+{offset}") };
        writeln!(
            f,
            "plan for {}: {} dispatches, {} of which wait, {} buffers, {:.1} KiB ({:.1} KiB without sharing), {}",
            self.profile.name,
            self.dispatches.len(),
            self.barriers(),
            self.buffers.len(),
            kib(self.peak_bytes()),
            kib(self.unshared_bytes()),
            self.work()
        )?;
        for (index, buffer) in self.buffers.iter().enumerate() {
            let held = self.values.iter().filter(|v| v.buffer == index);
            let holds: Vec<_> = held.map(|v| at(v.name.clone(), v.offset)).collect();
            let role = format!("{:?}", buffer.role).to_lowercase();
            let holds = elided(&holds, LIST);
            writeln!(f, "  buffer {index:4} {role:10} {:12} B  {holds}", buffer.bytes)?;
        }
        for (index, d) in self.dispatches.iter().enumerate() {
            write!(f, "  dispatch {index:4} op {:4} {}:{} ", d.op, d.shader.name(), d.entry)?;
            write!(f, "{:?} buffers", d.groups)?;
            for b in &d.bindings {
                let mark = if b.access == Access::ReadWrite { "*" } else { "" };
                write!(f, " {}{mark}", at(b.buffer.to_string(), b.offset))?;
            }
            writeln!(f)?;
        }
        Ok(())
    }
}
