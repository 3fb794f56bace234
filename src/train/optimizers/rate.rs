use crate::error::{Result, Setting};
use crate::graph::{Graph, Scalar, Source, Value};
use crate::ops::{Decay, Update, UpdateRule, limit_of};
use crate::train::groups::update_groups;

/// The name of the learning rate among a session's scalars:
/// `session.set_scalar(LEARNING_RATE, 0.01)`.
pub const LEARNING_RATE: &str = "learning_rate";

/// What every optimiser has: its rate, and how it decays the weights.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Rate {
    learning_rate: f32,
    pub decay: Decay,
    /// What the program calls it; otherwise [`LEARNING_RATE`], or that with the next free number.
    pub name: Option<&'static str>,
}

impl Rate {
    pub fn new(learning_rate: f32, decoupled: f32) -> Self {
        Rate { learning_rate, decay: Decay { weight_decay: 0.0, decoupled }, name: None }
    }

    /// The learning rate, once it and these settings are found valid.
    pub fn declare(&self, graph: &Graph, settings: &[Setting]) -> Result<Scalar> {
        let rate = Setting::not_negative("learning_rate", self.learning_rate);
        [rate].iter().chain(&self.decay.settings()).chain(settings).try_for_each(Setting::check)?;
        match self.name {
            Some(name) => graph.declared_scalar(name, self.learning_rate, true),
            None => Ok(graph.rate(LEARNING_RATE, self.learning_rate)),
        }
    }

    /// Records a rule for the parameters, small ones together, with a slot for each state of a parameter.
    #[track_caller]
    pub fn record<R: UpdateRule>(
        &self,
        graph: &Graph,
        gradients: &[(Value, Value)],
        rule: R,
        settings: Vec<Setting>,
    ) -> Result<()> {
        graph.composed(R::NAME, || {
            rule.check()?;
            let lr = self.declare(graph, &settings)?;
            let clipped = before_clipping(graph, gradients);
            let (gradients, norm) = clipped.as_ref().map_or((gradients, None), |(g, n)| (&g[..], Some(*n)));
            for group in update_groups(graph, gradients) {
                let (mut operands, dw): (Vec<Value>, Vec<Value>) = group.iter().copied().unzip();
                for (name, init) in rule.slots() {
                    for &(w, _) in &group {
                        operands.push(graph.slot_with(w, name, init.clone())?);
                    }
                }
                operands.extend(dw.into_iter().chain(norm.map(|norm| norm.0)));
                let update = Update::new(rule, settings.clone(), group.len()).at_rate(lr, self.decay);
                graph.apply(update.limited(norm.map(|norm| norm.1)), &operands)?;
            }
            Ok(())
        })
    }
}

/// Parameters, each with its gradient.
type Gradients = Vec<(Value, Value)>;

/// The gradients as they are before all of them are clipped by one norm, with that and its limit: an update does it
/// as it reads them.
fn before_clipping(graph: &Graph, gradients: &[(Value, Value)]) -> Option<(Gradients, (Value, f32))> {
    let recording = graph.recording();
    let found = |&(parameter, gradient): &(Value, Value)| {
        let Source::Op { node, .. } = recording.values.get(gradient.index())?.source else { return None };
        let node = &recording.nodes[node];
        let limit = limit_of(node.op.as_ref()).filter(|_| recording.owns(gradient))?;
        // What an update before this one may overwrite is clipped as it was when the step began.
        let is_state = |v: &Value| recording.values[recording.root(*v).index()].source.is_persistent();
        if node.inputs.iter().any(is_state) {
            return None;
        }
        Some(((parameter, node.inputs[0]), (node.inputs[1], limit)))
    };
    let (before, by): (Gradients, Vec<(Value, f32)>) =
        gradients.iter().map(found).collect::<Option<Vec<_>>>()?.into_iter().unzip();
    let first = *by.first()?;
    by.iter().all(|by| *by == first).then_some((before, first))
}
