//! Numbers that change from step to step.

use super::{Graph, Phase, Recording, Scalar, ScalarInfo};
use crate::dtype::DType;
use crate::error::{Error, Result};

impl Graph {
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

    /// A scalar that programs do not find by its name.
    pub(crate) fn hidden_scalar(&self, name: &str, initial: f32) -> Scalar {
        let scalar = self.push_scalar(name, initial, false);
        self.data.borrow_mut().scalars[scalar.index()].retired = true;
        scalar
    }

    pub(super) fn push_scalar(&self, name: &str, initial: f32, is_rate: bool) -> Scalar {
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
    pub(super) fn live_scalar(&self, name: &str) -> Option<(Scalar, f64)> {
        let index = self.scalars.iter().rposition(|info| info.is_live() && info.name == name)?;
        Some((Scalar(index as u32), self.scalars[index].initial))
    }
}
