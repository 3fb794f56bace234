//! The files of sets in MNIST's format, under the names that they go by: where they are, and what is said
//! where they are not.

use std::path::{Path, PathBuf};

use super::missing;
use crate::error::{Error, Result};

/// A set that goes by MNIST's file names, and is told from the others by the names of folders.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Set {
    Mnist,
    Fashion,
    Qmnist,
    Emnist,
    /// One that there is no reader for.
    Other,
}

impl Set {
    /// The set that a folder's name names: `FashionMNIST`, `fashion-mnist-master` and `fashion` the same.
    fn named(folder: &str) -> Option<Set> {
        const NAMES: [(&str, Set); 8] = [
            ("fashion", Set::Fashion),
            ("qmnist", Set::Qmnist),
            ("emnist", Set::Emnist),
            ("kmnist", Set::Other),
            ("kuzushiji", Set::Other),
            ("notmnist", Set::Other),
            ("medmnist", Set::Other),
            ("mnist", Set::Mnist),
        ];
        let letters = folder.chars().filter(char::is_ascii_alphanumeric);
        let name: String = letters.map(|letter| letter.to_ascii_lowercase()).collect();
        NAMES.iter().find(|(part, _)| name.contains(part)).map(|&(_, set)| set)
    }

    /// The set that a place within a folder is of, by the innermost name that says so.
    fn of(place: &Path, folder: &Path) -> Option<Set> {
        let inner = place.strip_prefix(folder).unwrap_or(place).components();
        inner.rev().find_map(|name| Set::named(&name.as_os_str().to_string_lossy()))
    }
}

/// Where the files of a set are.
#[derive(Debug)]
pub(super) struct Files<'a> {
    /// The folder that was looked into, and those in it that have files of the set.
    folder: PathBuf,
    places: Vec<PathBuf>,
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
            let found = self.places.iter().find_map(|place| part.find(place, self.prefix));
            let folder = if let [place] = &self.places[..] { place } else { &self.folder };
            found.ok_or_else(|| lacking(folder, &[part], &[self.prefix], self.source))
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

/// Whether no part of a set is in two of these places: they are one set, such as one in `train` and `test`.
fn is_one_set(places: &[PathBuf], prefix: &Prefix) -> bool {
    PARTS.iter().all(|part| places.iter().filter(|place| part.find(place, prefix).is_some()).count() <= 1)
}

/// The places that have files of a set, and how their names begin.
type Found<'a> = (Vec<PathBuf>, &'a Prefix);

/// Where the files of a set are in a folder or in those within. Of several within, those called as the set is have
/// it; those called as another are passed by, unless the names of the files say what they are.
fn locate<'a>(folder: &Path, set: Set, prefixes: &[&'a Prefix]) -> Result<Option<Found<'a>>> {
    let found = |place: PathBuf| there(&place, prefixes).first().map(|&prefix| (place, prefix));
    // A folder that bears a file's name belongs to the folder that it is in.
    let is_file_name = |place: &Path| {
        let name = place.file_name().and_then(|name| name.to_str()).unwrap_or_default();
        prefixes
            .iter()
            .any(|prefix| PARTS.iter().any(|part| part.names(prefix).iter().any(|known| known == name)))
    };
    let within = places(folder).into_iter().skip(1).filter(|place| !is_file_name(place));
    let mut within: Vec<(PathBuf, &Prefix)> = within.filter_map(found).collect();
    let called = |place: &Path| Set::of(place, folder);
    within.retain(|(place, prefix)| !prefix.is_empty() || called(place).is_none_or(|other| other == set));
    if within.iter().any(|(place, _)| called(place) == Some(set)) {
        within.retain(|(place, _)| called(place) == Some(set));
    }
    if let Some((folder, prefix)) = found(folder.to_owned()) {
        let parts = within.into_iter().filter(|(_, other)| *other == prefix).map(|(place, _)| place);
        let mut places: Vec<PathBuf> = [folder].into_iter().chain(parts).collect();
        if !is_one_set(&places, prefix) {
            places.truncate(1);
        }
        return Ok(Some((places, prefix)));
    }
    let Some(&(_, prefix)) = within.first() else { return Ok(None) };
    let is_alike = within.iter().all(|&(_, other)| other == prefix);
    let places: Vec<PathBuf> = within.into_iter().map(|(place, _)| place).collect();
    if let [one, other, ..] = &places[..]
        && !(is_alike && is_one_set(&places, prefix))
    {
        let (one, other) = (one.display(), other.display());
        let message = format!("several sets are within, in `{one}` and `{other}`: name the folder of one");
        return Err(Error::corrupt(folder, message));
    }
    Ok(Some((places, prefix)))
}

/// Whether any file of such a set is in a folder or one within.
pub(super) fn any_file(folder: &Path, set: Set, prefixes: &[&Prefix]) -> bool {
    !matches!(locate(folder, set, prefixes), Ok(None))
}

/// The files of the set that is in a folder or in those within; `source` ends the message about missing ones.
pub(super) fn find<'a>(
    folder: &Path,
    set: Set,
    prefixes: &[&'a Prefix],
    source: &'a str,
) -> Result<Files<'a>> {
    match locate(folder, set, prefixes)? {
        Some((places, prefix)) => Ok(Files { folder: folder.to_owned(), places, prefix, source }),
        None => {
            let others = places(folder).into_iter().skip(1).find(|place| !there(place, prefixes).is_empty());
            let passed_by = others.map(|place| {
                let place = place.display();
                format!("; `{place}` is called as another set is, and is read where it is named itself")
            });
            let source = passed_by.unwrap_or_default() + source;
            Err(lacking(folder, &PARTS[..1], prefixes, &source))
        }
    }
}
