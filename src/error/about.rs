//! What errors are made of and say of themselves, and the parts that their messages share.

use super::Error;
use crate::shape::Shape;

impl Error {
    /// [`Error::ShapeMismatch`] of two shapes.
    pub fn shape_mismatch(what: &'static str, left: Shape, right: Shape) -> Error {
        Error::ShapeMismatch { what, shapes: Box::new([left, right]) }
    }

    /// The error without the operator, layer and line that wrap a recording error.
    pub fn root(&self) -> &Error {
        match self {
            Error::Record { source, .. } => source.root(),
            other => other,
        }
    }

    /// The error as that of the operator which the program called, where that goes by another one.
    pub(crate) fn of_operator(self, name: &'static str) -> Error {
        match self {
            Error::Record { layer, at, source, .. } => Error::Record { op: name, layer, at, source },
            other => other,
        }
    }
}

/// Where a layer is named, its place in a sentence.
pub(super) fn in_layer(layer: &str) -> String {
    if layer.is_empty() { String::new() } else { format!(" in layer `{layer}`") }
}

/// Names with commas between them.
pub(super) fn list(names: &[String]) -> String {
    if names.is_empty() { "none".to_owned() } else { names.join(", ") }
}
