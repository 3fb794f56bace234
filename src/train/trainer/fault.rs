//! The search for the first NaN or infinity of a training.

use super::fit::{Sources, Training};
use crate::error::Result;
use crate::session::{Chain, NonFinite, Snapshot};
use crate::train::callbacks::Position;

/// The last moment at which everything was finite.
pub(super) struct Guard {
    every: u32,
    good: Snapshot,
    position: Position,
    steps: u32,
    /// Of the training, and of its optimiser.
    updates: [u32; 2],
}

impl Guard {
    /// Whether it is time to look, after so many steps of the training.
    pub fn is_due(&self, steps: u32) -> bool {
        steps - self.steps >= self.every
    }
}

impl Training<'_, '_> {
    /// The moment at hand, if the program wants a guard.
    pub(super) fn guard(&self) -> Result<Option<Guard>> {
        let Some(every) = self.nan_guard else { return Ok(None) };
        let good = self.trainer.session().snapshot()?;
        let (steps, updates) = (self.trainer.steps, self.trainer.update_counts());
        Ok(Some(Guard { every, good, position: self.position, steps, updates }))
    }

    /// Moves the guard up to the moment at hand if the loss is finite; otherwise goes back to the step
    /// that spoilt it, and ends training there.
    pub(super) fn look(&mut self, guard: Option<Guard>, sources: &mut Sources<'_>) -> Result<Option<Guard>> {
        let Some(guard) = guard else { return Ok(None) };
        if self.trainer.is_sound()? {
            return self.guard();
        }
        let last = self.position.step;
        self.go_to(&guard)?;
        let fault = self.first_fault(sources, last)?;
        let at = format!("epoch {}, step {}", self.position.epoch + 1, self.position.step + 1);
        self.stopped = Some(match &fault {
            Some(fault) => format!("{at}: {fault}"),
            None => format!("the loss was not finite, but was when its steps ran again up to {at}"),
        });
        self.history.fault = fault;
        Ok(Some(guard))
    }

    fn go_to(&mut self, guard: &Guard) -> Result<()> {
        self.trainer.session_mut().restore(&guard.good)?;
        self.position = guard.position;
        self.trainer.steps = guard.steps;
        [self.trainer.updates, self.trainer.optimizer_updates] = guard.updates;
        Ok(())
    }

    /// Runs the steps up to `last` one by one, and goes back before the first that leaves anything that
    /// is not finite.
    fn first_fault(&mut self, sources: &mut Sources<'_>, last: usize) -> Result<Option<NonFinite>> {
        let mut chain = Chain::new(self.trainer.device());
        while self.position.step < last {
            let before = Guard {
                every: 1,
                good: self.trainer.session().snapshot()?,
                position: self.position,
                steps: self.trainer.steps,
                updates: self.trainer.update_counts(),
            };
            let index = self.step(sources, &mut chain)?;
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
