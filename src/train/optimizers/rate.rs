use crate::error::{Error, Result};
use crate::graph::{Graph, Init, Value};
use crate::ops::{Update, UpdateParams, UpdateRule};
use crate::train::groups::update_groups;

/// The name of the learning rate among a session's scalars:
/// `session.set_scalar(LEARNING_RATE, 0.01)`.
pub const LEARNING_RATE: &str = "learning_rate";

/// What every optimiser has: its rate, and how it decays the weights.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Rate {
    pub learning_rate: f32,
    pub weight_decay: f32,
    pub decoupled_decay: f32,
}

impl Rate {
    pub fn new(learning_rate: f32) -> Self {
        Rate { learning_rate, weight_decay: 0.0, decoupled_decay: 0.0 }
    }

    pub fn check(&self) -> Result<()> {
        check_not_negative("learning_rate", self.learning_rate)?;
        check_not_negative("weight_decay", self.weight_decay)?;
        check_not_negative("decoupled_weight_decay", self.decoupled_decay)
    }

    /// Records a rule for the parameters, small ones together, with these numbers and those of the rate,
    /// and a slot for each state of a parameter.
    pub fn record<R: UpdateRule>(
        &self,
        graph: &Graph,
        gradients: &[(Value, Value)],
        rule: R,
        params: UpdateParams,
        states: &[(&str, Init)],
    ) -> Result<()> {
        let lr = graph.scalar(LEARNING_RATE, self.learning_rate);
        let &Rate { weight_decay, decoupled_decay, .. } = self;
        let params = UpdateParams { weight_decay, decoupled_decay, ..params };
        for group in update_groups(graph, gradients) {
            let mut operands: Vec<Value> = group.iter().map(|&(w, _)| w).collect();
            for (name, init) in states {
                for &(w, _) in &group {
                    operands.push(graph.slot_with(w, name, init.clone())?);
                }
            }
            operands.extend(group.iter().map(|&(_, dw)| dw));
            graph.apply(Update::new(rule, params, Some(lr), group.len()), &operands)?;
        }
        Ok(())
    }
}

pub(super) fn check(argument: &'static str, value: f32, valid: bool, expected: &'static str) -> Result<()> {
    if valid { Ok(()) } else { Err(Error::Argument { argument, value: value.to_string(), expected }) }
}

pub(super) fn check_not_negative(argument: &'static str, value: f32) -> Result<()> {
    check(argument, value, value.is_finite() && value >= 0.0, "it must be finite and not negative")
}

/// A share of what was there before.
pub(super) fn check_decay(argument: &'static str, value: f32) -> Result<()> {
    check(argument, value, (0.0..1.0).contains(&value), "it must be at least 0 and below 1")
}

pub(super) fn check_positive(argument: &'static str, value: f32) -> Result<()> {
    check(argument, value, value.is_finite() && value > 0.0, "it must be positive and finite")
}

/// The settings of an optimiser: methods that replace a number, and the two kinds of weight decay in its
/// `rate`.
macro_rules! settings {
    ($optimizer:ident { $($(#[$doc:meta])* $name:ident),* $(,)? }) => {
        impl $optimizer {
            $($(#[$doc])*
            pub fn $name(mut self, $name: f32) -> Self {
                self.$name = $name;
                self
            })*

            /// Adds `weight_decay w` to the gradient; 0 by default.
            pub fn weight_decay(mut self, weight_decay: f32) -> Self {
                self.rate.weight_decay = weight_decay;
                self
            }

            /// Takes `lr decay w` off each parameter before the step; 0 by default.
            pub fn decoupled_weight_decay(mut self, decay: f32) -> Self {
                self.rate.decoupled_decay = decay;
                self
            }
        }
    };
}
pub(super) use settings;
