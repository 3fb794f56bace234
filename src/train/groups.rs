use std::collections::HashMap;

use crate::graph::{Graph, Value};

/// Elements of the parameters that one operator updates: 8 MiB of f32.
const TOGETHER: usize = 1 << 21;

/// Parameters and their gradients as an optimiser's operators should take them: together, so that one
/// dispatch updates many (see [`Op::packs`](crate::ops::Op::packs)).
///
/// Parameters are gathered in their order, up to 2^21 elements to a group, since the gradients of a group are
/// all in memory until its update. A parameter of more is a group of its own; so is one whose gradient is
/// that of another parameter too, or an input, parameter, state or constant (under any shape): these cannot
/// lie beside others. Groups come in the order of their last parameters. Values of another graph get groups
/// of their own, for the operator to refuse.
///
/// ```
/// use retape::prelude::*;
/// use retape::train::update_groups;
/// let mut g = Graph::new();
/// let w = g.parameter("w", [3000, 750], Init::HeNormal);
/// let b = g.parameter("b", [750], Init::Zeros);
/// let scale = g.parameter("scale", [1], Init::Ones);
/// let y = g.mul(g.add(g.sum(w, &[0], false)?, b)?, scale)?;
/// let loss = g.mean(g.square(y)?, &[], false)?;
/// let parameters = [w, b, scale];
/// let gradients = g.differentiate(loss, &parameters)?;
/// let pairs: Vec<(Value, Value)> = parameters.into_iter().zip(gradients).collect();
/// assert_eq!(update_groups(&g, &pairs), [vec![pairs[0]], vec![pairs[1], pairs[2]]]);
/// # Ok::<(), retape::Error>(())
/// ```
pub fn update_groups(graph: &Graph, gradients: &[(Value, Value)]) -> Vec<Vec<(Value, Value)>> {
    let recording = graph.recording();
    let root = |gradient: Value| recording.owns(gradient).then(|| recording.root(gradient));
    let mut uses: HashMap<Value, usize> = HashMap::new();
    for from in gradients.iter().filter_map(|&(_, gradient)| root(gradient)) {
        *uses.entry(from).or_default() += 1;
    }
    let elements = |(parameter, gradient): (Value, Value)| {
        let from = root(gradient)?;
        let computed = !recording.values[from.index()].source.is_persistent();
        let together = computed && uses[&from] == 1 && recording.owns(parameter);
        together.then(|| recording.ty(parameter).numel())
    };
    gather(gradients, elements)
}

/// Items together, in their order and up to 2^21 elements to a group; alone those of more, and those that
/// `elements` gives no number for. Groups come in the order of their last items.
pub(crate) fn gather<T: Copy>(items: &[T], elements: impl Fn(T) -> Option<usize>) -> Vec<Vec<T>> {
    let mut groups = Vec::new();
    let (mut open, mut gathered) = (Vec::new(), 0);
    for &item in items {
        let Some(n) = elements(item).filter(|&n| n <= TOGETHER) else {
            groups.push(vec![item]);
            continue;
        };
        if gathered + n > TOGETHER {
            groups.push(std::mem::take(&mut open));
            gathered = 0;
        }
        open.push(item);
        gathered += n;
    }
    groups.extend((!open.is_empty()).then_some(open));
    groups
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::Result;
    use crate::graph::Init;

    /// Parameters of these sizes, each with a computed gradient.
    fn pairs(g: &mut Graph, sizes: &[usize]) -> Result<Vec<(Value, Value)>> {
        let numbered = sizes.iter().enumerate();
        numbered
            .map(|(i, &n)| {
                let w = g.parameter(&format!("w{i}"), [n], Init::Zeros);
                Ok((w, g.exp(w)?))
            })
            .collect()
    }

    #[test]
    fn parameters_go_together_up_to_the_limit() -> Result<()> {
        let mut g = Graph::new();
        let pairs = pairs(&mut g, &[1, 1000, TOGETHER + 1, 7])?;
        assert_eq!(update_groups(&g, &pairs), [vec![pairs[2]], vec![pairs[0], pairs[1], pairs[3]]]);
        assert!(update_groups(&g, &[]).is_empty());

        let mut g = Graph::new();
        let many = self::pairs(&mut g, &[TOGETHER / 16; 17])?;
        assert_eq!(update_groups(&g, &many), [&many[..16], &many[16..]]);
        Ok(())
    }

    #[test]
    fn gradients_that_cannot_lie_beside_others_are_alone() -> Result<()> {
        let mut g = Graph::new();
        let pairs = pairs(&mut g, &[4, 4, 4, 4, 4, 4, 4])?;
        let x = g.input("x", [2, 2]);
        let [w0, w1, w2, w3, w4, w5, w6] = [0, 1, 2, 3, 4, 5, 6].map(|i| pairs[i].0);
        let tied = g.exp(w0)?;
        let mixed = [
            (w0, pairs[0].1),
            // One gradient for two parameters, once as a view of it.
            (w1, tied),
            (w2, g.reshape(g.reshape(tied, [2, 2])?, [4])?),
            // An input as it is, under another shape, and a parameter.
            (w3, g.reshape(x, [4])?),
            (w4, w5),
            (w5, pairs[5].1),
            // A view of what is computed lies wherever that does.
            (w6, g.reshape(g.exp(x)?, [4])?),
        ];
        let alone = mixed[1..5].iter().map(|&pair| vec![pair]);
        let expected: Vec<_> = alone.chain([vec![mixed[0], mixed[5], mixed[6]]]).collect();
        assert_eq!(update_groups(&g, &mixed), expected);
        Ok(())
    }
}
