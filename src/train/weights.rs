use super::Trainer;
use crate::error::{Error, Result};
use crate::graph::Value;
use crate::shape::Shape;

/// The weights of a model by name: parameters, trained or frozen, and running statistics.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Weights {
    /// The arrays, in the order in which the model declares them.
    pub arrays: Vec<WeightArray>,
}

/// One weight of a model.
#[derive(Clone, Debug, PartialEq)]
pub struct WeightArray {
    /// Its full name: `dense.weight`.
    pub name: String,
    /// Its shape.
    pub shape: Shape,
    /// Its elements, row-major.
    pub data: Vec<f32>,
}

impl Weights {
    /// The weight of this name.
    pub fn get(&self, name: &str) -> Option<&WeightArray> {
        self.arrays.iter().find(|array| array.name == name)
    }

    /// The same, or an error with the names there are.
    pub(super) fn find(&self, name: &str) -> Result<&WeightArray> {
        let known = || self.arrays.iter().map(|array| &array.name);
        self.get(name).ok_or_else(|| Error::unknown("weight", name, known()))
    }
}

impl Trainer {
    /// The weights of the model, read from the device.
    ///
    /// # Errors
    /// As [`Session::read`](crate::Session::read).
    pub fn weights(&self) -> Result<Weights> {
        let session = self.session();
        let array = |&value: &Value| {
            let (name, shape) = (session.name_of(value), session.shape_of(value));
            Ok(WeightArray { name, shape, data: session.read(value)? })
        };
        Ok(Weights { arrays: self.weight_values().iter().map(array).collect::<Result<_>>()? })
    }

    /// Overwrites all weights of the model.
    ///
    /// # Errors
    /// [`Error::Unknown`] for a weight that is missing in `weights`, [`Error::Length`] for one of another
    /// size; nothing is written then.
    pub fn set_weights(&mut self, weights: &Weights) -> Result<()> {
        let values = self.weight_values().to_vec();
        let session = self.session_mut();
        let mut found = Vec::with_capacity(values.len());
        for value in values {
            let name = session.name_of(value);
            let array = weights.find(&name)?;
            let expected = session.type_of(value);
            if array.shape != expected.shape || array.data.len() != expected.numel() {
                return Err(Error::Length { name, expected, found: array.data.len() });
            }
            found.push((value, array));
        }
        found.into_iter().try_for_each(|(value, array)| session.write(value, &array.data))?;
        self.mark_changed();
        self.hold_to_masks()
    }
}
