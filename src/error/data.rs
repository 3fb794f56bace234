//! The kinds of errors of tables and of public data sets.

use std::path::PathBuf;

use super::about::list;

/// What is wrong with a table; see [`Error::Table`](crate::Error::Table).
#[non_exhaustive]
#[derive(Debug, thiserror::Error)]
pub enum TableError {
    /// A field of a table that is not what it is read as.
    #[error("{path}, line {line}, column `{column}`: `{value}` found, {expected} expected")]
    Field {
        /// The file, or the table's name.
        path: PathBuf,
        /// The line on which the record begins, counted from 1.
        line: u64,
        /// The column's name.
        column: String,
        /// The field.
        value: String,
        /// What is allowed.
        expected: &'static str,
    },
    /// A record of a table with more or fewer fields than there are columns.
    #[error("{path}, line {line}: {found} fields, {expected} expected")]
    Fields {
        /// The file, or the table's name.
        path: PathBuf,
        /// The line on which the record begins, counted from 1.
        line: u64,
        /// Fields of the record.
        found: usize,
        /// Columns of the table.
        expected: usize,
    },
    /// A column that a table does not have.
    #[error("{path} has no column `{column}`; it has: {}", list(known))]
    Column {
        /// The file, or the table's name.
        path: PathBuf,
        /// The name asked for.
        column: String,
        /// The names there are.
        known: Vec<String>,
    },
}

/// Why a public data set could not be had; see [`Error::Fetch`](crate::Error::Fetch).
#[non_exhaustive]
#[derive(Debug, thiserror::Error)]
pub enum FetchError {
    /// A public data set that is not where it was looked for.
    #[error(
        "{set} is not in `{folder}`: put {files} of {url} there, name another folder, or build with \
         `--features download` to have it fetched"
    )]
    Missing {
        /// The set's name.
        set: &'static str,
        /// Where it was looked for.
        folder: PathBuf,
        /// The files that belong there.
        files: &'static str,
        /// Where they are to be had.
        url: &'static str,
    },
    /// A file that no server gave.
    #[error(
        "`{path}` could not be fetched: {}. To do it by hand, put the file of one of these addresses there",
        list(failures)
    )]
    Failed {
        /// Where the file was to go.
        path: PathBuf,
        /// Every address with what went wrong there.
        failures: Vec<String>,
    },
    /// A fetched file that is not the published one.
    #[error(
        "`{path}`: {url} gave a file with SHA-256 {found}, {expected} expected. To do it by hand, put the \
         published file there"
    )]
    Checksum {
        /// Where the file was to go.
        path: PathBuf,
        /// Where it came from.
        url: String,
        /// The SHA-256 sum it has.
        found: String,
        /// The SHA-256 sum it should have.
        expected: String,
    },
}
