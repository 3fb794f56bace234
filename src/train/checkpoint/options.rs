use std::fmt;

use crate::dtype::StoredType;
use crate::train::trainer::is_within;

/// What to take from a file of weights: [`Session::load_weights_with`](crate::Session::load_weights_with).
///
/// By default everything: a weight that the file lacks, a tensor too many and another shape are errors.
///
/// ```
/// use retape::train::LoadOptions;
/// let base_only = LoadOptions::new().layers(["conv2d", "conv2d_1"]);
/// let what_fits = LoadOptions::new().partial();
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[must_use]
pub struct LoadOptions {
    pub(super) partial: bool,
    pub(super) layers: Option<Vec<String>>,
}

impl LoadOptions {
    /// Everything, exactly.
    pub fn new() -> Self {
        LoadOptions::default()
    }

    setters! {
        /// Takes the tensors that fit by name and shape, and reports the others instead of refusing the file.
        partial => partial = true;
    }

    /// Looks only at the weights of these layers, in the model and in the file: full names, as in the
    /// summary, or those of the layers they are nested in. `block` stands for `block.conv2d.weight`, and
    /// not for `block_1.conv2d.weight`.
    pub fn layers<S: Into<String>>(mut self, layers: impl IntoIterator<Item = S>) -> Self {
        self.layers = Some(layers.into_iter().map(Into::into).collect());
        self
    }

    /// Whether a weight is asked for.
    pub(super) fn wants(&self, weight: &str) -> bool {
        self.layers.as_ref().is_none_or(|layers| layers.iter().any(|layer| is_within(weight, layer)))
    }
}

/// What became of the tensors of a file: what [`Session::load_weights_with`](crate::Session::load_weights_with)
/// returns.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct LoadReport {
    /// The weights that were taken from the file.
    pub loaded: Vec<String>,
    /// The weights of the model that the file does not have; they stay as they were.
    pub missing: Vec<String>,
    /// The tensors of the file that the model has no weight for.
    pub unexpected: Vec<String>,
    /// The weights that the file has in another shape or type; they stay as they were.
    pub skipped: Vec<SkippedTensor>,
}

/// A tensor that does not fit its weight.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct SkippedTensor {
    /// The weight.
    pub name: String,
    /// What the file has.
    pub found: StoredType,
    /// What the model has.
    pub expected: StoredType,
}

/// `loaded 4; missing: dense.bias; skipped: dense.weight (F32 [20, 5], here F32 [20, 10])`.
impl fmt::Display for LoadReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "loaded {}", self.loaded.len())?;
        let skipped =
            |SkippedTensor { name, found, expected }: &_| format!("{name} ({found}, here {expected})");
        let skipped = self.skipped.iter().map(skipped).collect();
        let parts = [("missing", &self.missing), ("unexpected", &self.unexpected), ("skipped", &skipped)];
        for (what, names) in parts {
            if !names.is_empty() {
                write!(f, "; {what}: {}", names.join(", "))?;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_taken_apart_at_dots() {
        for (name, outer, expected) in [
            ("conv2d.weight", "conv2d", true),
            ("conv2d_1.weight", "conv2d", false),
            ("conv2d_1.weight", "conv2d_1", true),
            ("block.conv2d.weight", "block", true),
            ("block.conv2d.weight", "block.conv2d", true),
            ("block.conv2d.weight", "conv2d", false),
            ("block", "block", true),
        ] {
            assert_eq!(is_within(name, outer), expected, "{name} in {outer}");
        }
    }
}
