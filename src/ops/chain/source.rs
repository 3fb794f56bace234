use super::access::Way;
use super::cases::{FUNCTIONS, cases};
use super::{Chain, Member, Operand, SCALARS};
use crate::kernel::{Finish, Shader};
use crate::ops::pointwise::{Pointwise, number};

/// The parameter block, and the head of the kernel.
const HEAD: &str = "\
struct Params {
    span_0: vec2<u32>,
    span_1: vec2<u32>,
    span_2: vec2<u32>,
    span_3: vec2<u32>,
    span_4: vec2<u32>,
    span_5: vec2<u32>,
    scalar_0: f32,
    scalar_1: f32,
    scalar_2: f32,
    scalar_3: f32,
    // Vectors of four.
    n: u32,
    unused: u32,
}

var<immediate> p: Params;

@compute @workgroup_size(64)
fn main(@builtin(global_invocation_id) id: vec3<u32>) {
    let i = linear_index(id, 64u);
    if i >= p.n { return; }
";

/// Bindings of kernels that end in `finish` are below this.
const FINISH_BINDING: usize = 16;

/// How many members a kernel's name lists.
const NAMED: usize = 4;

impl Chain {
    /// The kernel, for an input whose buffer output 0 has taken over.
    pub(super) fn shader(&self, in_place: Option<usize>) -> &'static Shader {
        let (name, source) = (format!("chain{}", self.title()), self.source(in_place));
        // SAFETY: it has no loops. `i` is less than the number of vectors of four of every whole operand and
        // of the results; other operands are read at what is left of a division by their length.
        unsafe { Shader::generated(&name, &source) }
    }

    /// The kernels of the head with the rest in place of `finish`, if they can tell it where operands are.
    pub(super) fn finished_shader(&self, head: &Shader, finish: Finish) -> Option<&'static Shader> {
        let source = self.finish(finish)?;
        // SAFETY: it has no loops. Whole operands and the results have an element for each of the head's;
        // the others are read at a row or a column of it, of which they have as many.
        unsafe { head.finished(self.title().trim_start_matches('_'), &source) }
    }

    /// What it computes, for its kernels' names.
    fn title(&self) -> String {
        let members = || self.members.iter().filter(|member| member.does != Pointwise::Head);
        let mut name: String =
            members().take(NAMED).map(|member| format!("_{}", member.node.op.name())).collect();
        if let Some(more) = members().count().checked_sub(NAMED).filter(|&more| more > 0) {
            name += &format!("_and_{more}");
        }
        name
    }

    /// `finish` of `finish.wgsl` with the operators in it.
    fn finish(&self, Finish { row, column }: Finish) -> Option<String> {
        if !self.scalars.is_empty() {
            return None;
        }
        let (mut bindings, mut body) = (String::new(), "    let m0 = vec4(v);\n".to_owned());
        for (input, access) in self.inputs.iter().enumerate() {
            let span = Some([access.inner, access.extent]);
            let at = match access.way() {
                Way::Full => "i",
                Way::One => "0",
                _ if span == row => "row",
                _ if span == column => "column",
                _ => return None,
            };
            let binding = FINISH_BINDING + input;
            bindings += &format!("@group(0) @binding({binding}) var<storage, read> e{input}: array<f32>;\n");
            body += &format!("    let a{input} = vec4(e{input}[{at}]);\n");
        }
        if self.is_random() {
            let binding = FINISH_BINDING + self.inputs.len();
            bindings += &format!("@group(0) @binding({binding}) var<storage, read> key: array<u32>;\n");
        }
        body += &self.body(|stream| format!("vec4(random_words(i / 4u, {stream}u, key[0], key[1])[i % 4u])"));
        for (output, member) in self.outputs.iter().enumerate().skip(1) {
            let binding = FINISH_BINDING - 1 + self.bound_inputs() + output;
            bindings +=
                &format!("@group(0) @binding({binding}) var<storage, read_write> f{output}: array<f32>;\n");
            body += &format!("    f{output}[i] = m{member}.x;\n");
        }
        let result = self.outputs.first()?;
        let head = "fn finish(i: u32, row: u32, column: u32, v: f32) -> f32";
        let functions = self.functions();
        Some(format!("{bindings}\n{head} {{\n{body}    return m{result}.x;\n}}\n\n{functions}{FUNCTIONS}"))
    }

    /// The functions that the members call.
    fn functions(&self) -> String {
        cases(self.members.iter().filter_map(|member| member.does.function()))
    }

    /// A line for each member but the head.
    fn body(&self, words: impl Fn(u32) -> String) -> String {
        let line = |(index, member): (usize, &Member)| {
            let operands: Vec<String> =
                member.operands.iter().map(|(operand, _)| self.operand(operand)).collect();
            format!("    let m{index} = {};\n", member.does.text(&operands, &words))
        };
        let is_head = |(_, member): &(usize, &Member)| member.does == Pointwise::Head;
        self.members.iter().enumerate().filter(|member| !is_head(member)).map(line).collect()
    }

    fn source(&self, in_place: Option<usize>) -> String {
        let mut bindings = String::new();
        let mut body = String::new();
        let (mut binding, mut span) = (0, 0);
        for (input, access) in self.inputs.iter().enumerate() {
            let way = access.way();
            let read = if Some(input) == in_place { "y0[i]".to_owned() } else { read(way, input, span) };
            span += usize::from(access.divisors().is_some());
            if Some(input) != in_place {
                let element = if matches!(way, Way::Full | Way::Rows) { "vec4<f32>" } else { "f32" };
                let line =
                    format!("@group(0) @binding({binding}) var<storage, read> x{input}: array<{element}>;");
                bindings += &(line + "\n");
                binding += 1;
            }
            body += &format!("    let a{input} = {read};\n");
        }
        if self.has_head() {
            body += "    let m0 = y0[i];\n";
        }
        if self.is_random() {
            bindings += &format!("@group(0) @binding({binding}) var<storage, read> key: array<u32>;\n");
            binding += 1;
        }
        body += &self.body(|stream| format!("random_words(i, {stream}u, key[0], key[1])"));
        for (output, member) in self.outputs.iter().enumerate() {
            let at = binding + output;
            let line =
                format!("@group(0) @binding({at}) var<storage, read_write> y{output}: array<vec4<f32>>;");
            bindings += &(line + "\n");
            body += &format!("    y{output}[i] = m{member};\n");
        }
        format!("{bindings}\n{HEAD}{body}}}\n\n{}{FUNCTIONS}", self.functions())
    }

    fn operand(&self, operand: &Operand) -> String {
        match operand {
            // The head reads its own.
            Operand::Input(input) => format!("a{}", input.saturating_sub(self.head_inputs())),
            Operand::Member(member) => format!("m{member}"),
            Operand::Number(x) => format!("vec4({})", number(*x)),
            Operand::Scalar(scalar) => {
                let field = self.scalars.iter().zip(SCALARS).find(|(known, _)| *known == scalar);
                format!("vec4(p.{})", field.map_or("", |(_, field)| field))
            }
        }
    }
}

/// Four neighbours of an input, whose divisors are in the field of number `span`.
fn read(way: Way, input: usize, span: usize) -> String {
    let at = format!("p.span_{span}");
    match way {
        Way::Full => format!("x{input}[i]"),
        Way::One => format!("vec4(x{input}[0])"),
        Way::Rows => format!("x{input}[i % {at}.y]"),
        Way::Splat => format!("vec4(x{input}[i / {at}.x % {at}.y])"),
        Way::Each => {
            let each = |lane: u32| format!("x{input}[(4u * i + {lane}u) / {at}.x % {at}.y]");
            format!("vec4({}, {}, {}, {})", each(0), each(1), each(2), each(3))
        }
    }
}
