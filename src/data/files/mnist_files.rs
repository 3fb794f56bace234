//! The files of sets in MNIST's format, under the names that they go by: where they are, and what is said
//! where they are not.

use std::path::{Path, PathBuf};

use super::missing;
use crate::error::{Error, Result};

/// Where the files of a set are.
#[derive(Debug)]
pub(super) struct Files<'a> {
    place: PathBuf,
    /// How their names begin.
    pub prefix: &'a Prefix,
    /// What ends the message about a missing one.
    source: &'a str,
}

impl Files<'_> {
    /// The files of images and labels: to judge by, or to learn from.
    pub fn pair(&self, test: bool) -> Result<[PathBuf; 2]> {
        let file = |labels| {
            let part = Part { test, labels };
            let found = part.find(&self.place, self.prefix);
            found.ok_or_else(|| lacking(&self.place, &[part], &[self.prefix], self.source))
        };
        Ok([file(false)?, file(true)?])
    }
}

/// What is said of a folder in which these parts are not found.
fn lacking(place: &Path, parts: &[Part], prefixes: &[&Prefix], source: &str) -> Error {
    let names = parts.iter().flat_map(|part| prefixes.iter().flat_map(|prefix| part.names(prefix)));
    let names = names.collect::<Vec<_>>().join("`, `");
    missing(place, format!("no file `{names}` in this folder, or in one within{source}"))
}

/// What a file holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Part {
    test: bool,
    labels: bool,
}

const PARTS: [Part; 4] = [
    Part { test: false, labels: false },
    Part { test: false, labels: true },
    Part { test: true, labels: false },
    Part { test: true, labels: true },
];

/// How the names of a set's files begin: `""` for MNIST and Fashion-MNIST, `qmnist-`, `emnist-letters-`.
type Prefix = str;

impl Part {
    /// The names that it goes by, the published one first, plain before packed.
    fn names(self, prefix: &Prefix) -> Vec<String> {
        let of = match (self.test, prefix) {
            (false, _) => &["train"][..],
            (true, "") => &["t10k", "test"],
            (true, _) => &["test"],
        };
        let (what, kinds) = match (self.labels, prefix) {
            (false, _) => ("images", &["idx3-ubyte"][..]),
            (true, "qmnist-") => ("labels", &["idx2-int", "idx1-ubyte"][..]),
            (true, _) => ("labels", &["idx1-ubyte", "idx1-int"][..]),
        };
        let mut names = Vec::new();
        // A dot instead of a hyphen is what some programs unpack to.
        for (of, kind, dot) in
            of.iter().flat_map(|of| kinds.iter().flat_map(move |k| ["-", "."].map(|d| (of, k, d))))
        {
            let name = format!("{prefix}{of}-{what}{dot}{kind}");
            names.extend([name.clone(), name + ".gz"]);
        }
        names
    }

    /// The file of this part in a folder: there, or in a folder of its own name, as some archives unpack.
    fn find(self, folder: &Path, prefix: &Prefix) -> Option<PathBuf> {
        let names = self.names(prefix);
        let places = names.iter().flat_map(|name| {
            let inner = folder.join(name);
            let within = names.iter().map(move |other| inner.join(other));
            std::iter::once(folder.join(name)).chain(within)
        });
        places.into_iter().find(|path| path.is_file())
    }
}

/// The beginnings whose files are in this folder, of those asked for.
fn there<'a>(folder: &Path, prefixes: &[&'a Prefix]) -> Vec<&'a Prefix> {
    let any = |prefix: &&&Prefix| PARTS.iter().any(|part| part.find(folder, prefix).is_some());
    prefixes.iter().filter(any).copied().collect()
}

/// The folder itself, then the folders in it by name, and those in them: data sets are unpacked into one more
/// folder than was meant, or two. Of large folders the rest is not looked into.
fn places(folder: &Path) -> Vec<PathBuf> {
    const MOST: usize = 1000;
    let mut places = vec![folder.to_owned()];
    let mut level = 0..1;
    for _ in 0..2 {
        for index in level.clone() {
            let inner = std::fs::read_dir(&places[index]).into_iter().flatten().flatten();
            let mut inner: Vec<PathBuf> =
                inner.map(|entry| entry.path()).filter(|path| path.is_dir()).collect();
            inner.sort();
            inner.truncate(MOST.saturating_sub(places.len()));
            places.extend(inner);
        }
        level = level.end..places.len();
    }
    places
}

/// Where the files of a set are in a folder or one within, and how their names begin. Of several within, the one
/// called `name`, in capitals or not, has it.
fn locate<'a>(folder: &Path, name: &str, prefixes: &[&'a Prefix]) -> Result<Option<(PathBuf, &'a Prefix)>> {
    let found = |place: PathBuf| there(&place, prefixes).first().map(|&prefix| (place, prefix));
    if let Some(found) = found(folder.to_owned()) {
        return Ok(Some(found));
    }
    // A folder that bears a file's name belongs to the folder that it is in.
    let is_file_name = |place: &Path| {
        let name = place.file_name().and_then(|name| name.to_str()).unwrap_or_default();
        prefixes
            .iter()
            .any(|prefix| PARTS.iter().any(|part| part.names(prefix).iter().any(|known| known == name)))
    };
    let within = places(folder).into_iter().skip(1).filter(|place| !is_file_name(place));
    let mut within: Vec<(PathBuf, &Prefix)> = within.filter_map(found).collect();
    let is_called = |place: &Path| {
        let inner = place.strip_prefix(folder).unwrap_or(place).components().next();
        inner.is_some_and(|inner| inner.as_os_str().eq_ignore_ascii_case(name))
    };
    if within.len() > 1 && within.iter().any(|(place, _)| is_called(place)) {
        within.retain(|(place, _)| is_called(place));
    }
    if let [(one, _), (other, _), ..] = &within[..] {
        let (one, other) = (one.display(), other.display());
        let message = format!("several sets are within, in `{one}` and `{other}`: name the folder of one");
        return Err(Error::corrupt(folder, message));
    }
    Ok(within.pop())
}

/// Whether any file of such a set is in a folder or one within.
pub(super) fn any_file(folder: &Path, prefixes: &[&Prefix]) -> bool {
    !matches!(locate(folder, "", prefixes), Ok(None))
}

/// The files of the set that is in a folder or one within; `source` ends the message about missing ones.
pub(super) fn find<'a>(
    folder: &Path,
    name: &str,
    prefixes: &[&'a Prefix],
    source: &'a str,
) -> Result<Files<'a>> {
    match locate(folder, name, prefixes)? {
        Some((place, prefix)) => Ok(Files { place, prefix, source }),
        None => Err(lacking(folder, &PARTS[..1], prefixes, source)),
    }
}
