//! Kernels over buffers of half precision. A kernel is written for elements of 32 bits; of a buffer whose elements
//! have 16, what is read is widened and what is written is rounded. Between the two, nothing changes.

use naga::{
    Arena, ArraySize, Block, Expression, Function, GlobalVariable, Handle, Module, Range, Scalar, ScalarKind,
    Span, Statement, Type, TypeInner, UniqueArena, VectorSize,
};

/// Makes f16 of the elements of the storage buffers with these binding numbers; what is said is why that cannot be.
pub(super) fn narrow(module: &mut Module, bindings: &[u32]) -> Result<(), String> {
    let mut narrowed = Vec::new();
    for (handle, variable) in module.global_variables.iter() {
        let number = variable.binding.map(|binding| binding.binding);
        if number.is_some_and(|number| bindings.contains(&number)) {
            narrowed.push((handle, variable.ty));
        }
    }
    let mut buffers = Vec::new();
    for (handle, ty) in narrowed {
        let (ty, scalar) = narrow_array(&mut module.types, ty)?;
        module.global_variables.get_mut(handle).ty = ty;
        buffers.push((handle, scalar));
    }
    let points = module.entry_points.iter_mut().map(|point| &mut point.function);
    for function in module.functions.iter_mut().map(|(_, function)| function).chain(points) {
        *function = Narrowing::new(function, &buffers).function()?;
    }
    Ok(())
}

/// The type of an array of half the width, and the scalar that its elements were made of.
fn narrow_array(
    types: &mut UniqueArena<Type>,
    array: Handle<Type>,
) -> Result<(Handle<Type>, Scalar), String> {
    let TypeInner::Array { base, size: ArraySize::Dynamic, .. } = types[array].inner else {
        return Err("a buffer of half precision is a run-time sized array".to_owned());
    };
    let (inner, scalar, lanes) = match types[base].inner {
        TypeInner::Scalar(scalar) => (TypeInner::Scalar(Scalar::F16), scalar, 1),
        TypeInner::Vector { size, scalar } if size != VectorSize::Tri => {
            (TypeInner::Vector { size, scalar: Scalar::F16 }, scalar, size as u32)
        }
        _ => return Err("a buffer of half precision has scalars or vectors of two or four".to_owned()),
    };
    if scalar.width != 4 || scalar.kind == ScalarKind::Bool {
        return Err(format!("a buffer of {scalar:?} cannot be one of half precision"));
    }
    let base = types.insert(Type { name: None, inner }, Span::UNDEFINED);
    let inner = TypeInner::Array { base, size: ArraySize::Dynamic, stride: 2 * lanes };
    Ok((types.insert(Type { name: None, inner }, Span::UNDEFINED), scalar))
}

/// A function being written anew: naga wants operands before the expressions that use them.
struct Narrowing<'a> {
    from: &'a Function,
    /// The buffers that change, with what their elements were made of.
    buffers: &'a [(Handle<GlobalVariable>, Scalar)],
    expressions: Arena<Expression>,
    /// By old expression: the first of those that replace it, and the one that has its value.
    firsts: Vec<Handle<Expression>>,
    values: Vec<Handle<Expression>>,
}

impl<'a> Narrowing<'a> {
    fn new(from: &'a Function, buffers: &'a [(Handle<GlobalVariable>, Scalar)]) -> Self {
        Narrowing { from, buffers, expressions: Arena::new(), firsts: Vec::new(), values: Vec::new() }
    }

    fn function(mut self) -> Result<Function, String> {
        for (old, expression) in self.from.expressions.iter() {
            let span = self.from.expressions.get_span(old);
            let first = self.expressions.append(self.expression(expression)?, span);
            let value = match *expression {
                Expression::Load { pointer } => {
                    self.scalar_of(pointer).map_or(first, |scalar| self.widened(first, scalar, span))
                }
                _ => first,
            };
            self.firsts.push(first);
            self.values.push(value);
        }
        let body = self.block(&self.from.body)?;
        let Function { mut local_variables, .. } = self.from.clone();
        for (_, local) in local_variables.iter_mut() {
            local.init = self.option(local.init);
        }
        let named = self.from.named_expressions.iter();
        let named_expressions = named.map(|(&old, name)| (self.value(old), name.clone())).collect();
        Ok(Function {
            local_variables,
            expressions: self.expressions,
            named_expressions,
            body,
            ..self.from.clone()
        })
    }

    fn value(&self, old: Handle<Expression>) -> Handle<Expression> {
        self.values[old.index()]
    }

    fn option(&self, old: Option<Handle<Expression>>) -> Option<Handle<Expression>> {
        old.map(|old| self.value(old))
    }

    /// What the elements of the buffer were made of that an expression points into, if it changes.
    fn scalar_of(&self, old: Handle<Expression>) -> Option<Scalar> {
        match self.from.expressions[old] {
            Expression::Access { base, .. } | Expression::AccessIndex { base, .. } => self.scalar_of(base),
            Expression::GlobalVariable(variable) => {
                self.buffers.iter().find(|(buffer, _)| *buffer == variable).map(|&(_, scalar)| scalar)
            }
            _ => None,
        }
    }

    fn cast(
        &mut self,
        expr: Handle<Expression>,
        kind: ScalarKind,
        convert: Option<u8>,
        span: Span,
    ) -> Handle<Expression> {
        self.expressions.append(Expression::As { expr, kind, convert }, span)
    }

    /// What was read, as the kernel knows it: 32 bits of the scalar's kind.
    fn widened(&mut self, read: Handle<Expression>, scalar: Scalar, span: Span) -> Handle<Expression> {
        let wide = self.cast(read, ScalarKind::Float, Some(4), span);
        if scalar.kind == ScalarKind::Float { wide } else { self.cast(wide, scalar.kind, None, span) }
    }

    /// What is written in place of a value, with the statement that works it out.
    fn rounded(&mut self, value: Handle<Expression>, scalar: Scalar) -> (Handle<Expression>, Statement) {
        let mut first = value;
        if scalar.kind != ScalarKind::Float {
            first = self.cast(value, ScalarKind::Float, None, Span::UNDEFINED);
        }
        let narrow = self.cast(first, ScalarKind::Float, Some(2), Span::UNDEFINED);
        let first = if first == value { narrow } else { first };
        (narrow, Statement::Emit(Range::new_from_bounds(first, narrow)))
    }

    /// An expression with its operands' places in the new function.
    fn expression(&self, old: &Expression) -> Result<Expression, String> {
        let mut new = old.clone();
        let operands: Vec<&mut Handle<Expression>> = match &mut new {
            Expression::Literal(_)
            | Expression::Constant(_)
            | Expression::Override(_)
            | Expression::ZeroValue(_)
            | Expression::FunctionArgument(_)
            | Expression::GlobalVariable(_)
            | Expression::LocalVariable(_)
            | Expression::CallResult(_)
            | Expression::AtomicResult { .. }
            | Expression::WorkGroupUniformLoadResult { .. }
            | Expression::SubgroupBallotResult
            | Expression::SubgroupOperationResult { .. } => Vec::new(),
            Expression::Compose { components, .. } => components.iter_mut().collect(),
            Expression::Access { base, index } => vec![base, index],
            Expression::AccessIndex { base: one, .. }
            | Expression::Splat { value: one, .. }
            | Expression::Swizzle { vector: one, .. }
            | Expression::Load { pointer: one }
            | Expression::Unary { expr: one, .. }
            | Expression::Derivative { expr: one, .. }
            | Expression::Relational { argument: one, .. }
            | Expression::As { expr: one, .. }
            | Expression::ArrayLength(one) => vec![one],
            Expression::Binary { left, right, .. } => vec![left, right],
            Expression::Select { condition, accept, reject } => vec![condition, accept, reject],
            Expression::Math { arg, arg1, arg2, arg3, .. } => {
                [Some(arg), arg1.as_mut(), arg2.as_mut(), arg3.as_mut()].into_iter().flatten().collect()
            }
            other => return Err(format!("{other:?} cannot be in a kernel on half precision")),
        };
        operands.into_iter().for_each(|operand| *operand = self.value(*operand));
        Ok(new)
    }

    fn block(&mut self, old: &Block) -> Result<Block, String> {
        let mut new = Block::with_capacity(old.len());
        for (statement, &span) in old.span_iter() {
            if let Statement::Store { pointer, value } = *statement {
                let mut value_stored = self.value(value);
                if let Some(scalar) = self.scalar_of(pointer) {
                    let (rounded, emit) = self.rounded(value_stored, scalar);
                    value_stored = rounded;
                    new.push(emit, span);
                }
                new.push(Statement::Store { pointer: self.value(pointer), value: value_stored }, span);
            } else {
                new.push(self.statement(statement)?, span);
            }
        }
        Ok(new)
    }

    fn statement(&mut self, old: &Statement) -> Result<Statement, String> {
        let mut new = old.clone();
        match &mut new {
            Statement::Emit(range) => {
                if let Some((first, last)) = range.first_and_last() {
                    *range = Range::new_from_bounds(self.firsts[first.index()], self.value(last));
                }
            }
            Statement::Break
            | Statement::Continue
            | Statement::ControlBarrier(_)
            | Statement::MemoryBarrier(_) => {}
            Statement::Block(block) => *block = self.block(block)?,
            Statement::If { condition, accept, reject } => {
                *condition = self.value(*condition);
                (*accept, *reject) = (self.block(accept)?, self.block(reject)?);
            }
            Statement::Switch { selector, cases } => {
                *selector = self.value(*selector);
                for case in cases {
                    case.body = self.block(&case.body)?;
                }
            }
            Statement::Loop { body, continuing, break_if } => {
                (*body, *continuing) = (self.block(body)?, self.block(continuing)?);
                *break_if = self.option(*break_if);
            }
            Statement::Return { value } => *value = self.option(*value),
            Statement::Call { arguments, result, .. } => {
                if arguments.iter().any(|&argument| self.scalar_of(argument).is_some()) {
                    return Err("a buffer of half precision is not handed to functions".to_owned());
                }
                arguments.iter_mut().for_each(|argument| *argument = self.value(*argument));
                *result = self.option(*result);
            }
            Statement::WorkGroupUniformLoad { pointer, result } => {
                (*pointer, *result) = (self.value(*pointer), self.value(*result));
            }
            Statement::Atomic { pointer, value, result, .. } if self.scalar_of(*pointer).is_none() => {
                (*pointer, *value) = (self.value(*pointer), self.value(*value));
                *result = self.option(*result);
            }
            Statement::SubgroupBallot { .. }
            | Statement::SubgroupCollectiveOperation { .. }
            | Statement::SubgroupGather { .. } => self.subgroup(&mut new),
            other => return Err(format!("{other:?} cannot be in a kernel on half precision")),
        }
        Ok(new)
    }

    /// An operation of a subgroup with its operands' places in the new function.
    fn subgroup(&self, new: &mut Statement) {
        match new {
            Statement::SubgroupBallot { result, predicate } => {
                (*result, *predicate) = (self.value(*result), self.option(*predicate));
            }
            Statement::SubgroupCollectiveOperation { argument, result, .. } => {
                (*argument, *result) = (self.value(*argument), self.value(*result));
            }
            Statement::SubgroupGather { mode, argument, result } => {
                use naga::GatherMode::{
                    Broadcast, QuadBroadcast, Shuffle, ShuffleDown, ShuffleUp, ShuffleXor,
                };
                if let Broadcast(at) | Shuffle(at) | ShuffleDown(at) | ShuffleUp(at) | ShuffleXor(at)
                | QuadBroadcast(at) = mode
                {
                    *at = self.value(*at);
                }
                (*argument, *result) = (self.value(*argument), self.value(*result));
            }
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use naga::valid::{Capabilities, ValidationFlags, Validator};

    use super::narrow;

    const SOURCE: &str = "
        @group(0) @binding(0) var<storage, read> x: array<vec2<f32>>;
        @group(0) @binding(1) var<storage, read_write> y: array<vec2<f32>>;
        @group(0) @binding(2) var<storage, read_write> bits: array<u32>;
        @group(0) @binding(3) var<storage, read> table: array<mat2x2<f32>>;
        fn twice(v: f32) -> f32 { return 2.0 * v; }
        @compute @workgroup_size(1)
        fn main(@builtin(global_invocation_id) id: vec3<u32>) {
            let v = x[id.x];
            y[id.x] = vec2(twice(v.x), x[id.x].y);
            y[id.x].y += table[0][0].x;
            bits[id.x] = bits[id.x] | 1u;
        }";

    fn narrowed(bindings: &[u32]) -> Result<(), String> {
        let mut module = naga::front::wgsl::parse_str(SOURCE).unwrap();
        narrow(&mut module, bindings)?;
        Validator::new(ValidationFlags::all(), Capabilities::all()).validate(&module).unwrap();
        Ok(())
    }

    #[test]
    fn what_is_read_may_be_taken_apart_and_handed_on() {
        for bindings in [&[][..], &[0], &[1], &[2], &[0, 1, 2]] {
            narrowed(bindings).unwrap_or_else(|error| panic!("{bindings:?}: {error}"));
        }
    }

    #[test]
    fn what_has_no_half_precision_is_refused() {
        assert!(narrowed(&[0, 3]).unwrap_err().contains("scalars or vectors"));
    }
}
