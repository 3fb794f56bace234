//! The one error type of the crate: every variant carries the facts, none a ready-made sentence.

mod about;
mod data;
mod kinds;
mod setting;

use std::path::Path;
use std::{fmt, io};

pub(crate) use about::{in_layer, list};
pub use data::{FetchError, TableError};
pub use kinds::Error;
pub(crate) use setting::Setting;

use crate::shape::Shape;

/// `Result` with this crate's [`Error`].
pub type Result<T, E = Error> = std::result::Result<T, E>;

impl Error {
    /// [`Error::ShapeMismatch`] of two shapes.
    pub fn shape_mismatch(what: &'static str, left: Shape, right: Shape) -> Error {
        Error::ShapeMismatch { what, shapes: Box::new([left, right]) }
    }

    /// [`Error::Argument`] with a value as it prints itself.
    pub(crate) fn argument(argument: &'static str, value: impl ToString, expected: &'static str) -> Error {
        Error::Argument { argument, value: value.to_string(), expected }
    }

    /// [`Error::Unknown`] with the names there are.
    pub(crate) fn unknown(
        what: &'static str,
        name: impl ToString,
        known: impl IntoIterator<Item: ToString>,
    ) -> Error {
        let known = known.into_iter().map(|name| name.to_string()).collect();
        Error::Unknown { what, name: name.to_string(), known }
    }

    /// Fails with [`Error::ShapeMismatch`] unless two shapes agree in what they have to.
    pub(crate) fn agree(fits: bool, what: &'static str, left: Shape, right: Shape) -> Result<()> {
        if fits { Ok(()) } else { Err(Error::shape_mismatch(what, left, right)) }
    }

    /// Fails with [`Error::Argument`] unless the value fits.
    pub(crate) fn expect(
        fits: bool,
        argument: &'static str,
        value: impl ToString,
        expected: &'static str,
    ) -> Result<()> {
        if fits { Ok(()) } else { Err(Error::argument(argument, value, expected)) }
    }

    /// [`Error::Io`] of a file, as `map_err` takes it.
    pub(crate) fn io(path: &Path) -> impl Fn(io::Error) -> Error + Copy {
        move |source| Error::Io { path: path.to_owned(), source }
    }

    /// [`Error::Corrupt`] of a file.
    #[cfg(any(feature = "checkpoints", feature = "data"))]
    pub(crate) fn corrupt(path: &Path, message: impl Into<String>) -> Error {
        Error::Corrupt { path: path.to_owned(), message: message.into() }
    }

    /// [`Error::FileLimit`].
    #[cfg(any(feature = "checkpoints", feature = "data"))]
    pub(crate) fn file_limit(
        path: &Path,
        what: &'static str,
        found: u64,
        limit: u64,
        cure: &'static str,
    ) -> Error {
        Error::FileLimit { path: path.to_owned(), what, found, limit, cure }
    }

    /// Fails with [`Error::Corrupt`] unless a file is as it should be.
    #[cfg(feature = "data")]
    pub(crate) fn expect_intact(intact: bool, path: &Path, message: impl Into<String>) -> Result<()> {
        if intact { Ok(()) } else { Err(Error::corrupt(path, message)) }
    }

    /// [`Error::Share`].
    pub(crate) fn share(message: impl Into<String>) -> Error {
        Error::Share { message: message.into() }
    }

    /// The error without the operator, layer and line that wrap a recording error.
    ///
    /// ```
    /// use retape::Error;
    /// use retape::prelude::*;
    ///
    /// let mut g = Graph::new();
    /// let (x, w) = (g.input("x", [2, 3]), g.parameter("w", [4, 5], Init::Zeros));
    /// let error = g.matmul(x, w).unwrap_err();
    /// assert_eq!(format!("{error:?}"), error.to_string());
    /// let Error::ShapeMismatch { shapes, .. } = error.root() else { panic!("{error}") };
    /// assert_eq!(**shapes, [Shape::from([2, 3]), Shape::from([4, 5])]);
    /// ```
    pub fn root(&self) -> &Error {
        match self {
            Error::Record { source, .. } | Error::LastBatch { source, .. } => source.root(),
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
