//! The search for the first NaN or infinity of a training.

use super::Trainer;
use super::fit::Training;
use super::recipe::{Step, Variant};
use crate::error::Result;
use crate::session::{Chain, NonFinite, Snapshot};
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
}

impl Training<'_, '_> {
    /// The moment at hand, if the program wants a guard.
    pub(super) fn guard(&self) -> Result<Option<Guard>> {
        let Some(every) = self.nan_guard else { return Ok(None) };
        let good = self.trainer.session().snapshot()?;
        let others = self.trainer.snapshots_of_others()?;
        let Trainer { steps, updates, optimizer_updates, .. } = *self.trainer;
        Ok(Some(Guard { every, good, others, position: self.position, steps, updates, optimizer_updates }))
    }

    /// If anything is not finite, goes back to the step that spoilt it, and ends training there.
    pub(super) fn look(&mut self, guard: &Guard) -> Result<()> {
        if self.trainer.is_sound()? {
            return Ok(());
        }
        let last = self.position.step;
        self.go_to(guard)?;
        // What a callback spoilt was so before any step.
        let fault = match self.trainer.held_fault()? {
            Some(held) => Some(held),
            None => self.first_fault(last)?,
        };
        let at = format!("epoch {}, step {}", self.position.epoch + 1, self.position.step + 1);
        self.stopped = Some(match &fault {
            Some(fault) => format!("{at}: {fault}"),
            None => format!("the loss was not finite, but was when its steps ran again up to {at}"),
        });
        self.history.fault = fault;
        Ok(())
    }

    fn go_to(&mut self, guard: &Guard) -> Result<()> {
        self.trainer.restore_others(&guard.others)?;
        self.trainer.session_mut().restore(&guard.good)?;
        self.position = guard.position;
        (self.trainer.steps, self.trainer.updates) = (guard.steps, guard.updates);
        self.trainer.optimizer_updates = guard.optimizer_updates;
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

impl Trainer {
    /// Copies of what training steps have that the first one does not.
    fn snapshots_of_others(&self) -> Result<Vec<(Variant, Snapshot)>> {
        let others = self.training.iter().enumerate().skip(1);
        let copy = |(index, (variant, step)): (usize, &(Variant, Step))| {
            Ok((*variant, step.session.snapshot_of(&self.own_values(index))?))
        };
        others.map(copy).collect()
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
}
