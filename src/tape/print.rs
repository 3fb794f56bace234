use std::fmt;

use super::Tape;
use crate::graph::{Node, Phase, Source, Value};

impl Tape {
    fn typed(&self, value: Value) -> String {
        format!("{}{}", self.recording.describe(value), self.recording.ty(value).shape)
    }

    /// A value as an operator's operand: its name or `%` and the number of the operator that made
    /// it, which is the same each time the graph is recorded.
    fn operand(&self, value: Value, number: &dyn Fn(Value) -> Option<String>) -> String {
        let info = &self.recording.values[value.index()];
        let shape = info.ty.shape;
        match (&info.source, &info.name) {
            (Source::Constant(data), _) if data.len() == 1 => format!("{}", data[0]),
            (Source::Constant(_), _) => format!("constant{shape}"),
            (_, Some(name)) => format!("{name}{shape}"),
            (_, None) => format!("{}{shape}", number(value).unwrap_or_else(|| format!("{value:?}"))),
        }
    }

    fn row(&self, node: &Node, number: &dyn Fn(Value) -> Option<String>) -> [String; 4] {
        let attributes = node.op.attributes();
        let name = node.op.name();
        let op = if attributes.is_empty() { name.to_owned() } else { format!("{name}({attributes})") };
        let operands =
            |values: &[Value]| values.iter().map(|&v| self.operand(v, number)).collect::<Vec<_>>().join(" ");
        let output = if node.outputs.is_empty() {
            let writes: Vec<_> = node.op.mutates().iter().map(|&i| node.inputs[i]).collect();
            let names: Vec<_> = writes.iter().map(|&v| self.recording.describe(v)).collect();
            format!("=> {}", names.join(" "))
        } else {
            format!("-> {}", operands(&node.outputs))
        };
        [op, operands(&node.inputs), output, self.layer(node).to_owned()]
    }
}

impl fmt::Display for Tape {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let count = |phase| self.ops.iter().filter(|n| n.phase == phase).count();
        writeln!(
            f,
            "tape of {} ops: {} forward, {} backward, {} update",
            self.ops.len(),
            count(Phase::Forward),
            count(Phase::Backward),
            count(Phase::Update)
        )?;
        for value in self.persistent() {
            let info = &self.recording.values[value.index()];
            let dtype = info.ty.dtype;
            match &info.source {
                Source::Input => writeln!(f, "  input      {dtype} {}", self.typed(value))?,
                Source::Labels => writeln!(f, "  labels     {dtype} {}", self.typed(value))?,
                Source::Parameter(init) => writeln!(f, "  parameter  {dtype} {} {init}", self.typed(value))?,
                Source::State(init) => writeln!(f, "  state      {dtype} {} {init}", self.typed(value))?,
                Source::Constant(_) | Source::Op { .. } => {}
            }
        }
        let number = |value: Value| {
            let node = self.ops.iter().position(|n| n.outputs.contains(&value))?;
            let output = self.ops[node].outputs.iter().position(|&o| o == value)?;
            Some(if self.ops[node].outputs.len() == 1 {
                format!("%{node}")
            } else {
                format!("%{node}.{output}")
            })
        };
        let rows: Vec<_> = self.ops.iter().map(|n| self.row(n, &number)).collect();
        let width = |column: usize| rows.iter().map(|r| r[column].len()).max().unwrap_or(0);
        let widths = [width(0), width(1), width(2)];
        for (index, [op, inputs, output, layer]) in rows.iter().enumerate() {
            let [a, b, c] = widths;
            let line = format!("{index:4}  {op:a$}  {inputs:b$}  {output:c$}  {layer}");
            writeln!(f, "{}", line.trim_end())?;
        }
        let kept: Vec<_> = self.kept.iter().map(|&v| self.operand(v, &number)).collect();
        writeln!(f, "  kept: {}", kept.join(" "))
    }
}
