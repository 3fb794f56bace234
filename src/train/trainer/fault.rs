//! The search for the first NaN or infinity of a training, and a look at once at everything that it hands on from
//! step to step.

use std::collections::BTreeSet;

use super::Trainer;
use super::fit::Training;
use super::recipe::{Step, Variant};
use crate::dtype::DType;
use crate::error::Result;
use crate::graph::{Graph, StateKind, Value};
use crate::session::{Chain, NonFinite, Session, SessionOptions, Snapshot};
use crate::train::Logs;
use crate::train::accumulation::Window;
use crate::train::callbacks::Position;

/// The last moment at which everything was finite, but for what callbacks have changed since.
pub(super) struct Guard {
    /// After how many steps it is time to look.
    pub every: u32,
    good: Snapshot,
    /// What steps for other batches have of their own.
    others: Vec<(Variant, Snapshot)>,
    position: Position,
    pub steps: u32,
    updates: u32,
    optimizer_updates: u32,
    window: Window,
}

impl Training<'_, '_> {
    /// The moment at hand, if the program wants a guard.
    pub(super) fn guard(&self) -> Result<Option<Guard>> {
        let Some(every) = self.nan_guard else { return Ok(None) };
        let good = self.trainer.session().snapshot()?;
        let others = self.trainer.snapshots_of_others()?;
        let Trainer { steps, updates, optimizer_updates, window, .. } = *self.trainer;
        let position = self.position;
        Ok(Some(Guard { every, good, others, position, steps, updates, optimizer_updates, window }))
    }

    /// If anything is not finite, goes back to the step that spoilt it, and ends training there.
    pub(super) fn look(&mut self, guard: &Guard) -> Result<()> {
        if self.trainer.is_sound()? {
            return Ok(());
        }
        let last = self.position.step;
        self.go_to(guard)?;
        // What a callback spoilt was so before any step.
        let fault = match self.trainer.held_fault(true)? {
            Some(held) => Some(held),
            None => self.first_fault(last)?,
        };
        let at = format!("epoch {}, step {}", self.position.epoch + 1, self.position.step + 1);
        let reason = match &fault {
            Some(fault) => format!("{at}: {fault}"),
            None => format!("the loss was not finite, but was when its steps ran again up to {at}"),
        };
        self.end(reason, fault);
        Ok(())
    }

    /// Ends training before what is not finite.
    fn end(&mut self, reason: String, fault: Option<NonFinite>) {
        log::warn!("{reason}");
        (self.stopped, self.history.fault, self.spoilt) = (Some(reason), fault, true);
    }

    /// Says at once that a loss is no number, the first time. What is said goes by time; what training does,
    /// by [`judge_figures`](Training::judge_figures) alone.
    pub(super) fn hear(&mut self, logs: &Logs) {
        if self.alarm.is_none()
            && let Some(seen) = no_number(logs)
        {
            self.warn(seen, None);
        }
    }

    /// Ends training after an epoch whose loss is no number, if a weight is none either, which would
    /// stay so, or a sum of gradients, which would spoil the weights.
    pub(super) fn judge_figures(&mut self, logs: &Logs) -> Result<()> {
        let seen = no_number(logs).filter(|seen| seen.value == "loss" && self.stopped.is_none());
        if let Some(seen) = seen
            && let Some(held) = self.trainer.held_fault(false)?
        {
            self.warn(seen, Some(held));
            (self.stopped, self.spoilt) = (self.alarm.clone(), true);
        }
        self.hear(logs);
        Ok(())
    }

    fn warn(&mut self, seen: NonFinite, held: Option<NonFinite>) {
        let (epoch, step) = (self.position.epoch + 1, self.position.step);
        let mut alarm = format!("epoch {epoch}, step {step}: `{}` is {}", seen.value, seen.element);
        if let Some(held) = held {
            alarm += &format!(" and {held}, so that training ends");
        }
        if self.nan_guard.is_none() {
            alarm += "; `Fit::nan_guard` stops before the step that makes it so, and names the operator";
        }
        log::warn!("{alarm}");
        self.alarm = Some(alarm);
        self.history.fault.get_or_insert(seen);
    }

    fn go_to(&mut self, guard: &Guard) -> Result<()> {
        self.trainer.restore_others(&guard.others)?;
        self.trainer.session_mut().restore(&guard.good)?;
        self.position = guard.position;
        (self.trainer.steps, self.trainer.updates) = (guard.steps, guard.updates);
        (self.trainer.optimizer_updates, self.trainer.window) = (guard.optimizer_updates, guard.window);
        Ok(())
    }

    /// Where training ends, makes the update of the batches left over, unless something was not finite by
    /// then. One that leaves anything so is taken back.
    pub(super) fn flush(&mut self) -> Result<()> {
        if self.spoilt || self.trainer.window.batches == 0 {
            return Ok(());
        }
        let guard = self.guard()?;
        self.trainer.flush_gradients()?;
        let Some(guard) = guard else { return Ok(()) };
        if self.trainer.is_sound()? {
            return Ok(());
        }
        self.go_to(&guard)?;
        let fault = self.trainer.update_step()?.session.find_non_finite()?;
        let about = fault.as_ref().map_or_else(String::new, |fault| format!(": {fault}"));
        self.end(format!("the update of the batches left over at the end{about}"), fault);
        Ok(())
    }

    /// Runs the steps up to `last` one by one, and goes back before the first that leaves anything that
    /// is not finite.
    fn first_fault(&mut self, last: usize) -> Result<Option<NonFinite>> {
        let mut chain = Chain::new(self.trainer.device());
        while self.position.step < last
            && let Some(before) = self.guard()?
        {
            let index = self.step(&mut chain)?;
            chain.submit()?;
            if self.trainer.is_sound()? {
                continue;
            }
            self.go_to(&before)?;
            self.trainer.set_scalars(index);
            // The batch of the step is still in its inputs.
            return self.trainer.training[index].1.session.find_non_finite();
        }
        Ok(None)
    }
}

/// Whether a figure is a number as f32: what the reference has beyond that, programs do not.
fn is_number(figure: f64) -> bool {
    (figure as f32).is_finite()
}

/// The first loss that is no number, or none that f32 has.
fn no_number(logs: &Logs) -> Option<NonFinite> {
    let figures = ["loss", "val_loss"].into_iter().filter_map(|name| Some((name, logs.get(name)?)));
    let (name, figure) = figures.into_iter().find(|(_, figure)| !is_number(*figure))?;
    let (value, element) = (name.to_owned(), figure as f32);
    Some(NonFinite { op: None, layer: String::new(), at: None, value, index: 0, element })
}

impl Trainer {
    /// Copies of what training steps have that the first one does not.
    fn snapshots_of_others(&self) -> Result<Vec<(Variant, Snapshot)>> {
        let others = (1..self.training.len()).map(|index| (index, self.own_values(index)));
        let copy = |(index, own): (usize, Vec<Value>)| {
            let (variant, step) = &self.training[index];
            Ok((*variant, step.session.snapshot_of(&own)?))
        };
        others.filter(|(_, own)| !own.is_empty()).map(copy).collect()
    }

    /// Puts the copies back; what a step has that was not there yet starts again.
    fn restore_others(&mut self, copies: &[(Variant, Snapshot)]) -> Result<()> {
        for index in 1..self.training.len() {
            let own = self.own_values(index);
            self.training[index].1.session.reset(|value, _| own.contains(&value))?;
        }
        // Last, for steps that were not there yet may share with others that were.
        for (of, copy) in copies {
            let step = self.training.iter_mut().find(|(variant, _)| variant == of);
            step.map_or(Ok(()), |(_, step)| step.session.restore_contents(copy))?;
        }
        Ok(())
    }

    /// Parameters and states of a training step; of all but the first step those that the first
    /// does not have.
    fn own_values(&self, index: usize) -> Vec<Value> {
        let first = &self.training[..index.min(1)];
        let shared: BTreeSet<_> = first.iter().flat_map(|(_, step)| step.keys()).collect();
        let all = self.training[index].1.session.advanced();
        all.filter(|(key, _)| !shared.contains(key)).map(|(_, value)| value).collect()
    }

    /// What must stay finite from step to step, by the session it is in: weights, what layers carry on,
    /// and summed gradients; and with `slots` what an optimiser keeps, which may be infinite while the weights
    /// are not, such as the mean of large squares: they stay where they are then.
    fn handed_on(&self, slots: bool) -> impl Iterator<Item = (&Session, Vec<Value>)> {
        let all = self.training.iter().enumerate().map(move |(index, (_, Step { session, .. }))| {
            let is_handed_on = |kind: StateKind| match kind {
                StateKind::Carried | StateKind::GradientSum { .. } => true,
                StateKind::Slot { .. } => slots,
                kind => kind.is_weight(),
            };
            let mut values = self.own_values(index);
            values.retain(|&v| {
                session.kind(v).is_some_and(is_handed_on) && session.type_of(v).dtype == DType::F32
            });
            (session, values)
        });
        all.filter(|(_, values)| !values.is_empty())
    }

    /// Tapes that look at once at everything that is handed on: its norm is no number if a part of it is none.
    fn norms(&self) -> Result<Vec<(Session, Value)>> {
        let norm = |(of, values): (&Session, Vec<Value>)| {
            let g = Graph::new();
            let recording = of.tape().recording();
            let state = |value: Value| Some(g.state_like(recording.key(value)?, recording.ty(value)));
            let norm = g.global_norm(&values.into_iter().filter_map(state).collect::<Vec<_>>())?;
            let options = SessionOptions::new().share_parameters(of);
            Ok((g.forward([norm])?.session_with(self.device(), options)?, norm))
        };
        self.handed_on(true).map(norm).collect()
    }

    /// Whether the loss of the epoch so far and all that is handed on is finite, by tapes that read one
    /// number back; where the norm is not, by reading everything: that of large numbers may overflow.
    fn is_sound(&mut self) -> Result<bool> {
        let main = self.main();
        let loss = main.session.read_f64(main.sums()?.total)?;
        if loss.first().is_some_and(|&loss| !is_number(loss)) {
            return Ok(false);
        }
        let tapes = match self.health.take() {
            Some(tapes) => tapes,
            None => self.norms()?,
        };
        for (session, norm) in self.health.insert(tapes) {
            session.replay()?;
            if !session.read_f64(*norm)?.iter().all(|&norm| is_number(norm)) {
                return Ok(self.held_fault(true)?.is_none());
            }
        }
        Ok(true)
    }

    /// The first of what is handed on that is not finite, what an optimiser keeps included with `slots`.
    fn held_fault(&self, slots: bool) -> Result<Option<NonFinite>> {
        let values =
            |(session, values): (_, Vec<Value>)| values.into_iter().map(move |value| (session, value));
        let mut all = self.handed_on(slots).flat_map(values);
        all.find_map(|(session, value): (&Session, _)| session.non_finite_in(value, None).transpose())
            .transpose()
    }
}
