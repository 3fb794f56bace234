//! What a checkpoint says beside its tensors, as JSON.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::Arc;

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use super::numbers::figures;
use super::states::Meaning;
use crate::error::{Error, Result};
use crate::graph::Role;
use crate::train::accumulation::Window;
use crate::train::callbacks::Position;
use crate::train::trainer::{Journey, SavedRate, Variant};

/// The format that this crate writes, and the newest that it reads.
const VERSION: u64 = 3;
/// The first version whose files have a checksum.
const WITH_CHECKSUM: u64 = 3;
/// What stands for a checksum before it is known.
pub(super) const NO_CHECKSUM: &str = "00000000";

/// The kind of a checkpoint among this crate's files.
const CHECKPOINT: &str = "checkpoint";

/// What every file of this crate says of itself.
#[derive(Deserialize)]
pub(super) struct Stamp {
    version: u64,
    /// Of the whole file, with [`NO_CHECKSUM`] in its place.
    pub checksum: Option<String>,
    kind: Option<String>,
    /// In a checkpoint, the tensors that are weights; elsewhere all are.
    pub weights: Option<Vec<String>>,
}

/// The state of a trainer that is not on its device.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Header {
    pub seed: u32,
    pub batch: usize,
    pub accumulate: usize,
    pub steps: u32,
    pub updates: u32,
    /// Updates since the optimiser's states began.
    pub optimizer_updates: u32,
    /// The batches since the last update.
    pub window: Window,
    /// If weights and averages are exchanged, whether the model was trained or given weights since.
    #[serde(deserialize_with = "Option::deserialize")]
    pub swapped: Option<bool>,
    /// The rate of each optimiser.
    pub rates: Vec<SavedRate>,
    /// All other scalars.
    #[serde(with = "figures")]
    pub scalars: Vec<(String, f64)>,
    /// The weights that have masks.
    pub masked: Vec<String>,
    /// The layers that are frozen.
    pub frozen: BTreeSet<String>,
    /// The training steps that have states of their own, those of stateful layers for another size of a
    /// batch.
    pub variants: Vec<Variant>,
    /// Which tensors are the model's weights.
    pub weights: Vec<String>,
    /// What each tensor is, which is said when they are written.
    pub tensors: BTreeMap<String, Meaning>,
    /// The figures of the metrics, whose sums are among the tensors.
    pub metrics: Vec<String>,
    /// The names of the classes that the weights stand for. Files from before there were any have none.
    pub class_names: Option<Arc<[String]>>,
    pub journey: Journey,
}

/// The metadata of a file: of a checkpoint with this header, otherwise of weights.
pub(super) fn metadata(header: Option<&Header>) -> serde_json::Result<String> {
    #[derive(Serialize)]
    struct Stamped<'a> {
        version: u64,
        checksum: &'a str,
        kind: &'a str,
        #[serde(flatten)]
        header: Option<&'a Header>,
    }
    let kind = if header.is_some() { CHECKPOINT } else { "weights" };
    serde_json::to_string(&Stamped { version: VERSION, checksum: NO_CHECKSUM, kind, header })
}

/// How much of the metadata is shown before what is wrong with it, in bytes.
const SHOWN: usize = 40;

/// Reads metadata, or a part of it.
fn parse<T: DeserializeOwned>(metadata: &str, path: &Path) -> Result<T> {
    serde_json::from_str(metadata).map_err(|error| {
        let line = metadata.lines().nth(error.line().saturating_sub(1)).unwrap_or_default().as_bytes();
        let end = error.column().min(line.len());
        let shown = String::from_utf8_lossy(&line[end.saturating_sub(SHOWN)..end]);
        Error::corrupt(path, format!("its metadata is not what it should be: {error}, after `{shown}`"))
    })
}

impl Stamp {
    /// # Errors
    /// [`Error::CheckpointVersion`] for a newer version; [`Error::Corrupt`].
    pub fn read(metadata: &str, path: &Path) -> Result<Stamp> {
        let stamp: Stamp = parse(metadata, path)?;
        if stamp.version > VERSION {
            return Err(stamp.unknown_version(path));
        }
        if stamp.version >= WITH_CHECKSUM && stamp.checksum.is_none() {
            return Err(Error::corrupt(path, "its metadata has no `checksum`"));
        }
        Ok(stamp)
    }

    fn unknown_version(&self, path: &Path) -> Error {
        Error::CheckpointVersion { path: path.to_owned(), found: self.version, newest: VERSION }
    }
}

impl Header {
    /// The header in a file's metadata.
    ///
    /// # Errors
    /// [`Error::NotACheckpoint`] for another kind of file; [`Error::CheckpointVersion`] for one of an older
    /// version; [`Error::Corrupt`].
    pub(super) fn read(metadata: Option<&(String, Stamp)>, path: &Path) -> Result<Header> {
        let metadata = metadata.filter(|(_, stamp)| stamp.kind.as_deref() == Some(CHECKPOINT));
        let Some((text, stamp)) = metadata else {
            return Err(Error::NotACheckpoint { path: path.to_owned() });
        };
        if stamp.version < VERSION {
            return Err(stamp.unknown_version(path));
        }
        let header: Header = parse(text, path)?;
        match header.nonsense() {
            Some(nonsense) => Err(Error::corrupt(path, format!("its metadata has {nonsense}"))),
            None => Ok(header),
        }
    }

    /// The first of the numbers that no training has.
    fn nonsense(&self) -> Option<String> {
        let Position { epoch, step, steps, samples, .. } = self.journey.position;
        let Window { batches, samples: summed } = self.window;
        let history = &self.journey.history;
        let after = history.initial_epoch.checked_add(history.epochs.len());
        let is_rate = |rate: &SavedRate| {
            let [base, scale] = [rate.base as f32, rate.scale as f32];
            base >= 0.0 && scale >= 0.0 && (base * scale).is_finite() && base.is_finite() && scale.is_finite()
        };
        let rate = self.rates.iter().find(|rate| !is_rate(rate));
        let late = self.rates.iter().find(|rate| rate.from > self.updates);
        let unknown = self.weights.iter().find(|name| !self.tensors.contains_key(*name));
        let is_average =
            |meaning: &Meaning| matches!(meaning, Meaning::State(key) if key.role == Role::Average);
        let swaps = self.swapped.is_some() && !self.tensors.values().any(is_average);
        let rows = self.variants.iter().map(|variant| variant.rows).find(|&rows| rows == 0);
        let updates = (self.optimizer_updates, self.updates);
        let none = None::<String>;
        none.or((step > steps).then(|| format!("{step} steps done of {steps}")))
            .or((after != Some(epoch) || u32::try_from(epoch).is_err()).then(|| {
                format!("epoch {epoch} after {} epochs from {}", history.epochs.len(), history.initial_epoch)
            }))
            .or((samples.div_ceil(self.batch.max(1)) != step)
                .then(|| format!("{samples} samples in {step} batches of {}", self.batch)))
            .or((!self.window.fits(self.accumulate))
                .then(|| format!("{batches} batches of {summed} samples towards an update")))
            .or((updates.0 > updates.1).then(|| format!("{} updates of {}", updates.0, updates.1)))
            .or(rate.map(|rate| format!("{} x {} as the rate `{}`", rate.base, rate.scale, rate.name)))
            .or(late.map(|rate| {
                format!("a schedule of `{}` from update {} on, after {}", rate.name, rate.from, self.updates)
            }))
            .or(rows.map(|_| "a batch of no samples".to_owned()))
            .or(unknown.map(|name| format!("the weight `{name}`, of which there is no tensor")))
            .or(swaps.then(|| "weights exchanged with averages, of which there are none".to_owned()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::graph::StateKey;
    use crate::train::trainer::Remembered;
    use crate::train::{CallbackState, History, Logs};

    fn header() -> Header {
        let mut logs = Logs::new();
        for (name, value) in [("loss", 0.1 + 0.2), ("zz", 5e-324), ("accuracy", -0.0), ("inf", f64::INFINITY)]
        {
            logs.set(name, value);
        }
        let position = Position { epoch: 3, epochs: 0, step: 2, steps: 5, samples: 16 };
        let history = History { initial_epoch: 2, epochs: vec![logs.clone()], ..History::default() };
        let numbers = logs.iter().map(|(name, value)| (name.to_owned(), value)).collect();
        let state = CallbackState { numbers, ..CallbackState::default() };
        let callbacks = [("CsvLog", CallbackState::default()), ("EarlyStopping(loss)", state)];
        let callbacks =
            callbacks.map(|(identity, state)| Remembered { identity: identity.to_owned(), state }).to_vec();
        let weight = Arc::new(StateKey::named("dense.weight"));
        let mask = StateKey { role: Role::Mask, name: "mask".to_owned(), of: Some(weight.clone()) };
        let average = StateKey { role: Role::Average, name: "average".to_owned(), of: Some(weight.clone()) };
        Header {
            seed: u32::MAX,
            batch: 8,
            accumulate: 2,
            steps: 17,
            updates: 8,
            optimizer_updates: 3,
            window: Window { batches: 1, samples: 8 },
            swapped: Some(true),
            rates: vec![SavedRate { name: "rate".to_owned(), base: f64::from(0.1f32), scale: 0.01, from: 5 }],
            scalars: vec![("noise".to_owned(), 0.1), ("angle".to_owned(), -0.0)],
            masked: vec!["dense.weight".to_owned()],
            frozen: BTreeSet::from(["conv2d".to_owned()]),
            variants: vec![Variant { rows: 8, weights: 0, updates: true }],
            weights: vec!["dense.weight".to_owned()],
            tensors: BTreeMap::from([
                ("dense.weight".to_owned(), Meaning::State(weight.clone())),
                ("dense.weight.mask".to_owned(), Meaning::State(mask.into())),
                ("dense.weight.average".to_owned(), Meaning::State(average.into())),
                ("callback/1/best".to_owned(), Meaning::Callback(1, "best".to_owned())),
            ]),
            metrics: vec!["accuracy".to_owned()],
            class_names: Some(["cat".to_owned(), "dog".to_owned()].into()),
            journey: Journey {
                position,
                history,
                data: Some((35, true)),
                callbacks: Some(callbacks),
                forgets: false,
            },
        }
    }

    fn text(header: &Header) -> String {
        metadata(Some(header)).expect("it is JSON")
    }

    fn read(text: &str) -> Result<Header> {
        let path = Path::new("a");
        Header::read(Some(&(text.to_owned(), Stamp::read(text, path)?)), path)
    }

    fn through_text(header: &Header) -> Result<Header> {
        read(&text(header))
    }

    #[test]
    fn every_bit_comes_back() {
        let header = header();
        assert_eq!(through_text(&header).ok().as_ref(), Some(&header));
        // Equality takes the two zeros for one another.
        let zero = through_text(&header).map(|h| h.journey.history.epochs[0].get("accuracy"));
        assert_eq!(zero.ok().flatten().map(f64::to_bits), Some((-0.0f64).to_bits()));
        let bare = Header { journey: Journey::default(), ..header };
        assert_eq!(through_text(&bare).ok().as_ref(), Some(&bare));
    }

    #[test]
    fn nan_stays_nan() {
        let mut header = header();
        header.journey.history.epochs[0].set("loss", f64::NAN);
        let loss = through_text(&header).map(|h| h.journey.history.epochs[0].get("loss"));
        assert!(loss.ok().flatten().is_some_and(f64::is_nan));
    }

    #[test]
    fn each_field_is_needed() {
        let text = text(&header());
        let fields: serde_json::Map<_, _> = serde_json::from_str(&text).expect("it is an object");
        assert_eq!(fields.len(), 21);
        for name in fields.keys() {
            let mut less = fields.clone();
            less.remove(name);
            let less = serde_json::Value::Object(less).to_string();
            let read = read(&less);
            if name == "class_names" {
                assert_eq!(read.ok().map(|header| header.class_names), Some(None), "older files have none");
                continue;
            }
            let error = read.expect_err(name);
            match (&error, name.as_str()) {
                (Error::NotACheckpoint { .. }, "kind") => {}
                (Error::Corrupt { message, .. }, _) => assert!(message.contains(name), "{name}: {error}"),
                _ => panic!("{name}: {error}"),
            }
        }
    }

    /// A schedule begins with an update that was made, or the next one.
    #[test]
    fn no_schedule_begins_after_the_updates() {
        for (from, fits) in [(8, true), (9, false), (u32::MAX, false)] {
            let mut header = header();
            header.rates[0].from = from;
            let found = through_text(&header);
            assert_eq!(found.is_ok(), fits, "{from}");
            let is_named =
                |e: &Error| matches!(e, Error::Corrupt { .. }) && e.to_string().contains(&from.to_string());
            assert!(fits || found.as_ref().is_err_and(is_named), "{found:?}");
        }
    }

    #[test]
    fn what_is_wrong_is_shown() {
        let text = text(&header());
        for (good, bad) in [("\"seed\":4294967295", "\"seed\":-1"), ("[35,true", "[35,\"no\"")] {
            assert!(text.contains(good), "{text}");
            let error = read(&text.replace(good, bad));
            assert!(error.as_ref().is_err_and(|e| e.to_string().contains(bad)), "{error:?}");
        }
    }
}
