//! What errors are made of and say of themselves, and the parts that their messages share.

use std::fmt;
#[cfg(any(feature = "checkpoints", feature = "data", feature = "plots"))]
use std::{io, path::Path};

use super::Error;
use crate::dtype::DType;
use crate::shape::{Shape, TensorType};

impl Error {
    /// [`Error::ShapeMismatch`] of two shapes.
    pub fn shape_mismatch(what: &'static str, left: Shape, right: Shape) -> Error {
        Error::ShapeMismatch { what, shapes: Box::new([left, right]) }
    }

    /// [`Error::Argument`] with a value as it prints itself.
    pub(crate) fn argument(argument: &'static str, value: impl ToString, expected: &'static str) -> Error {
        Error::Argument { argument, value: value.to_string(), expected }
    }

    /// [`Error::Io`] of a file, as `map_err` takes it.
    #[cfg(any(feature = "checkpoints", feature = "data", feature = "plots"))]
    pub(crate) fn io(path: &Path) -> impl Fn(io::Error) -> Error + Copy {
        move |source| Error::Io { path: path.to_owned(), source }
    }

    /// [`Error::Corrupt`] of a file.
    #[cfg(any(feature = "checkpoints", feature = "data"))]
    pub(crate) fn corrupt(path: &Path, message: impl Into<String>) -> Error {
        Error::Corrupt { path: path.to_owned(), message: message.into() }
    }

    /// [`Error::Share`].
    pub(crate) fn share(message: impl Into<String>) -> Error {
        Error::Share { message: message.into() }
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

/// The sentence: what `fn main() -> retape::Result<()>` ends with.
impl fmt::Debug for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// Where a layer is named, its place in a sentence.
pub(crate) fn in_layer(layer: &str) -> String {
    if layer.is_empty() { String::new() } else { format!(" in layer `{layer}`") }
}

/// What may be done about targets of one type where a loss takes another.
pub(super) fn target_cure(found: TensorType, expected: TensorType) -> &'static str {
    let dims = |ty: TensorType| ty.shape.dims().iter().filter(|&&dim| dim != 1).count();
    match (found.dtype, expected.dtype) {
        (DType::U32, DType::F32) => {
            "; labels are for Loss::SparseCategoricalCrossEntropy, or made rows by Dataset::one_hot(); other \
             targets must be f32"
        }
        (DType::F32, DType::U32) => {
            "; it takes u32 labels; one-hot rows are for Loss::CategoricalCrossEntropy"
        }
        _ if dims(expected) > dims(found) => "; is a Flatten missing in the model?",
        _ => "",
    }
}

/// Names with commas between them.
pub(crate) fn list(names: &[String]) -> String {
    if names.is_empty() { "none".to_owned() } else { names.join(", ") }
}

/// What may be done about a file of another version.
pub(super) fn version_cure(found: u64, newest: u64) -> String {
    if found > newest {
        return format!("versions up to {newest} are known: a newer version of this crate reads it");
    }
    format!(
        "training goes on from version {newest} only: take its weights by `load_weights`, or go on with the \
         version of this crate that wrote it"
    )
}
