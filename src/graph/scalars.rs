//! Numbers that change from step to step.

use super::{Graph, Phase, Recording, Scalar, ScalarInfo};
use crate::dtype::DType;
use crate::error::{Error, Result};

/// # Per-step scalars
impl Graph {
    /// Declares a per-step scalar of type f32, or finds the one of this name.
    ///
    /// # Errors
    /// [`Error::ScalarDeclared`] if there is one of this name with another initial value.
    #[track_caller]
    pub fn scalar(&self, name: &str, initial: f32) -> Result<Scalar> {
        self.declared_scalar(name, initial, false)
    }

    /// [`scalar`](Graph::scalar), which may be a rate whose name the program gave.
    #[track_caller]
    pub(crate) fn declared_scalar(&self, name: &str, initial: f32, is_rate: bool) -> Result<Scalar> {
        let found = self.recording().live_scalar(name);
        let declared = match found {
            Some((scalar, before)) if before == f64::from(initial) => {
                self.data.borrow_mut().scalars[scalar.index()].is_rate |= is_rate;
                Ok(scalar)
            }
            Some((_, before)) => {
                let (name, before) = (name.to_owned(), before as f32);
                Err(Error::ScalarDeclared { name, before, now: initial })
            }
            None => Ok(self.push_scalar(name, initial, is_rate)),
        };
        self.located("scalar", declared)
    }

    /// Declares the rate of an optimiser: a scalar of its own, called `name` or, where that is taken, `name_2`
    /// or the next that is free. A trainer drives each rate by its schedule. An optimiser declares it once,
    /// whether or not it is given gradients.
    pub fn rate(&self, name: &str, initial: f32) -> Scalar {
        let numbered = (2u32..).map(|count| format!("{name}_{count}"));
        let mut names = std::iter::once(name.to_owned()).chain(numbered);
        let free = names.find(|name| self.recording().live_scalar(name).is_none());
        self.push_scalar(&free.unwrap_or_default(), initial, true)
    }

    /// A scalar that programs do not find by its name.
    pub(crate) fn hidden_scalar(&self, name: &str, initial: f32) -> Scalar {
        let scalar = self.push_scalar(name, initial, false);
        self.data.borrow_mut().scalars[scalar.index()].retired = true;
        scalar
    }

    fn push_scalar(&self, name: &str, initial: f32, is_rate: bool) -> Scalar {
        let data = &mut *self.data.borrow_mut();
        let of_step = data.context.phase == Phase::Update;
        let initial = f64::from(initial);
        let (name, dtype, retired) = (name.to_owned(), DType::F32, false);
        data.scalars.push(ScalarInfo { name, dtype, initial, is_rate, of_step, retired });
        Scalar(data.scalars.len() as u32 - 1)
    }
}

impl Recording {
    /// The scalar of this name that a tape recorded now would have, and its initial value.
    fn live_scalar(&self, name: &str) -> Option<(Scalar, f64)> {
        let index = self.scalars.iter().rposition(|info| info.is_live() && info.name == name)?;
        Some((Scalar(index as u32), self.scalars[index].initial))
    }
}
