use super::access::Way;
use super::{Chain, Operand, SCALARS};
use crate::kernel::Shader;
use crate::ops::pointwise::number;

/// What every chain's source ends with.
const FUNCTIONS: &str = include_str!("../../../shaders/elementwise.wgsl");

/// The parameter block, and the head of the kernel.
const HEAD: &str = "\
struct Params {
    span_0: vec2<u32>,
    span_1: vec2<u32>,
    span_2: vec2<u32>,
    span_3: vec2<u32>,
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

/// How many members a kernel's name lists.
const NAMED: usize = 4;

impl Chain {
    /// The kernel, for an input whose buffer output 0 has taken over.
    pub(super) fn shader(&self, in_place: Option<usize>) -> &'static Shader {
        let source = self.source(in_place);
        let mut name = String::from("chain");
        self.members.iter().take(NAMED).for_each(|member| name = format!("{name}_{}", member.node.op.name()));
        if let Some(more) = self.members.len().checked_sub(NAMED).filter(|&more| more > 0) {
            name = format!("{name}_and_{more}");
        }
        // SAFETY: it has no loops. `i` is less than the number of vectors of four of every whole operand and of the
        // results; other operands are read at what is left of a division by their length.
        unsafe { Shader::generated(&name, &source) }
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
                bindings = bindings + &line + "\n";
                binding += 1;
            }
            body = body + &format!("    let a{input} = {read};\n");
        }
        for (index, member) in self.members.iter().enumerate() {
            let operands: Vec<String> =
                member.operands.iter().map(|(operand, _)| self.operand(operand)).collect();
            body = body + &format!("    let m{index} = {};\n", member.does.text(&operands));
        }
        for (output, member) in self.outputs.iter().enumerate() {
            let at = binding + output;
            let line =
                format!("@group(0) @binding({at}) var<storage, read_write> y{output}: array<vec4<f32>>;");
            bindings = bindings + &line + "\n";
            body = body + &format!("    y{output}[i] = m{member};\n");
        }
        format!("{bindings}\n{HEAD}{body}}}\n\n{FUNCTIONS}")
    }

    fn operand(&self, operand: &Operand) -> String {
        match operand {
            Operand::Input(input) => format!("a{input}"),
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
