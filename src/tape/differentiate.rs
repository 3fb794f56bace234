use crate::dtype::DType;
use crate::error::{Error, Result};
use crate::graph::{Backward, Context, Graph, Node, Phase, Value};

/// Reverse-mode differentiation of the sum of `losses`. The gradients reaching a value are added
/// up in one place: when the operator that produced the value is visited, or at the end.
pub(crate) fn differentiate(graph: &Graph, losses: &[Value], wrt: &[Value]) -> Result<Vec<Option<Value>>> {
    if losses.iter().chain(wrt).any(|&v| !graph.owns(v)) {
        return Err(Error::ForeignValue);
    }
    let nodes: Vec<Node> = graph.recording().nodes.clone();
    let depends = dependents(graph, &nodes, wrt);

    let mut pending: Vec<Vec<Value>> = vec![Vec::new(); graph.recording().values.len()];
    for &loss in losses {
        let ty = graph.type_of(loss);
        if ty.numel() != 1 {
            return Err(Error::LossNotScalar { shape: ty.shape });
        }
        if ty.dtype != DType::F32 {
            let (what, found, expected) = ("the loss".to_owned(), ty.dtype, DType::F32);
            return Err(Error::DTypeMismatch { what, found, expected });
        }
        let one = graph.scalar_constant(1.0);
        let seed = if ty.shape.rank() == 0 { one } else { graph.reshape(one, ty.shape)? };
        pending[loss.index()].push(seed);
    }
    for node in nodes.iter().rev() {
        let is_reached = node.outputs.iter().any(|o| !pending[o.index()].is_empty());
        let needs: Vec<bool> = node.inputs.iter().map(|i| depends[i.index()]).collect();
        if !is_reached || !needs.contains(&true) {
            continue;
        }
        let context = Context { layer: node.layer, phase: Phase::Backward, at: Some(node.at) };
        let input_grads = graph.recording_as(context, || step_back(graph, node, &needs, &mut pending))?;
        for ((&input, &needed), grad) in node.inputs.iter().zip(&needs).zip(input_grads) {
            if let (true, Some(grad)) = (needed, grad) {
                debug_assert_eq!(graph.shape_of(grad), graph.shape_of(input), "gradient of {:?}", node.op);
                let dtype = graph.type_of(input).dtype;
                let grad = graph.recording_as(context, || graph.cast(grad, dtype))?;
                pending[input.index()].push(grad);
            }
        }
    }
    let at = graph.recording().context.at;
    let context = Context { phase: Phase::Backward, at, ..Context::default() };
    graph.recording_as(context, || wrt.iter().map(|v| add_up(graph, &mut pending[v.index()])).collect())
}

fn step_back(
    graph: &Graph,
    node: &Node,
    needs: &[bool],
    pending: &mut [Vec<Value>],
) -> Result<Vec<Option<Value>>> {
    let grads: Vec<Option<Value>> =
        node.outputs.iter().map(|o| add_up(graph, &mut pending[o.index()])).collect::<Result<_>>()?;
    let cx = Backward { graph, inputs: &node.inputs, outputs: &node.outputs, grads: &grads, needs };
    node.op.backward(&cx).unwrap_or_else(|| {
        let wrt = needs.iter().position(|&n| n).map(|i| graph.recording().describe(node.inputs[i]));
        let error = Error::NoGradient { op: node.op.name(), wrt: wrt.unwrap_or_default() };
        graph.located(node.op.name(), Err(error))
    })
}

/// The sum of the gradients gathered for one value, which stays behind as the only one.
fn add_up(graph: &Graph, parts: &mut Vec<Value>) -> Result<Option<Value>> {
    let Some((&first, rest)) = parts.split_first() else { return Ok(None) };
    let total = rest.iter().try_fold(first, |sum, &part| graph.add(sum, part))?;
    *parts = vec![total];
    Ok(Some(total))
}

/// Which values depend differentiably on one of `wrt`.
fn dependents(graph: &Graph, nodes: &[Node], wrt: &[Value]) -> Vec<bool> {
    let recording = graph.recording();
    let mut depends = vec![false; recording.values.len()];
    for v in wrt {
        depends[v.index()] = true;
    }
    for node in nodes {
        if node.inputs.iter().any(|i| depends[i.index()]) {
            for output in &node.outputs {
                depends[output.index()] |= recording.ty(*output).dtype.is_float();
            }
        }
    }
    depends
}
