//! What a checkpoint says beside its tensors, as JSON.

use std::collections::BTreeSet;
use std::fmt::Display;
use std::path::Path;
use std::str::FromStr;

use serde_json::{Map, Value as Json, json};

use super::file::VERSION;
use crate::error::{Error, Result};
use crate::train::callbacks::{CallbackState, Position};
use crate::train::trainer::Variant;
use crate::train::{History, Logs};

/// The kind of a checkpoint among this crate's files.
const KIND: &str = "checkpoint";

/// The state of a trainer that is not on its device.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Header {
    pub seed: u32,
    pub batch: usize,
    pub accumulate: usize,
    pub steps: u32,
    pub updates: u32,
    /// Updates since the optimiser's states began.
    pub optimizer_updates: u32,
    pub base_rate: f32,
    pub rate_scale: f32,
    /// Updates made before the schedule began.
    pub schedule_from: u32,
    /// All other scalars.
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
    /// The figures of the metrics, whose sums are among the tensors.
    pub metrics: Vec<String>,
    pub journey: Journey,
}

/// How far a training is.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Journey {
    pub position: Position,
    pub history: History,
    /// Within `fit`, the number of samples and whether they are shuffled.
    pub data: Option<(usize, bool)>,
    /// Within `fit`, what each callback is and remembers. In a file, the arrays are among its tensors.
    pub callbacks: Option<Vec<(String, CallbackState)>>,
}

impl Header {
    pub fn to_json(&self) -> Json {
        let variants = self.variants.iter();
        let variants: Vec<Json> = variants
            .map(|v| json!({ "rows": v.rows, "weighted": v.weighted, "updates": v.updates }))
            .collect();
        json!({
            "kind": KIND,
            "version": VERSION,
            "seed": self.seed,
            "batch": self.batch,
            "accumulate": self.accumulate,
            "steps": self.steps,
            "updates": self.updates,
            "optimizer_updates": self.optimizer_updates,
            "base_rate": exact(self.base_rate),
            "rate_scale": exact(self.rate_scale),
            "schedule_from": self.schedule_from,
            "scalars": figures(self.scalars.iter().map(|(name, value)| (name.as_str(), *value))),
            "masked": self.masked,
            "frozen": self.frozen,
            "variants": variants,
            "weights": self.weights,
            "metrics": self.metrics,
            "journey": self.journey.to_json(),
        })
    }

    /// Reads what [`to_json`](Header::to_json) gave.
    ///
    /// # Errors
    /// [`Error::NotACheckpoint`] for another kind of file, [`Error::Corrupt`].
    pub fn from_json(json: Option<&Json>, path: &Path) -> Result<Header> {
        let foreign = || Error::NotACheckpoint { path: path.to_owned() };
        let json = json.filter(|json| json.get("kind").and_then(Json::as_str) == Some(KIND));
        let fields = Fields { json: json.ok_or_else(foreign)?, path };
        let variant = |entry: Fields<'_>| {
            Ok(Variant {
                rows: entry.count("rows")?,
                weighted: entry.flag("weighted")?,
                updates: entry.flag("updates")?,
            })
        };
        Ok(Header {
            seed: fields.count32("seed")?,
            batch: fields.count("batch")?,
            accumulate: fields.count("accumulate")?,
            steps: fields.count32("steps")?,
            updates: fields.count32("updates")?,
            optimizer_updates: fields.count32("optimizer_updates")?,
            base_rate: fields.float("base_rate")?,
            rate_scale: fields.float("rate_scale")?,
            schedule_from: fields.count32("schedule_from")?,
            scalars: owned(fields.within("scalars")?.logs()?),
            variants: fields.list("variants")?.into_iter().map(variant).collect::<Result<_>>()?,
            masked: fields.texts("masked")?,
            frozen: fields.texts("frozen")?.into_iter().collect(),
            weights: fields.texts("weights")?,
            metrics: fields.texts("metrics")?,
            journey: Journey::from_json(&fields.within("journey")?)?,
        })
    }
}

impl Journey {
    fn to_json(&self) -> Json {
        let Position { epoch, step, steps, samples, .. } = self.position;
        let epochs: Vec<Json> = self.history.epochs.iter().map(|logs| figures(logs.iter())).collect();
        let callback = |(identity, state): &(String, CallbackState)| {
            let numbers = figures(state.numbers.iter().map(|(name, value)| (name.as_str(), *value)));
            json!({ "identity": identity, "numbers": numbers })
        };
        let callbacks = self.callbacks.as_ref().map(|all| all.iter().map(callback).collect::<Vec<Json>>());
        let data = self.data.map(|(samples, shuffle)| json!({ "samples": samples, "shuffle": shuffle }));
        json!({
            "epoch": epoch,
            "step": step,
            "steps": steps,
            "samples": samples,
            "initial_epoch": self.history.initial_epoch,
            "history": epochs,
            "data": data,
            "callbacks": callbacks,
        })
    }

    fn from_json(fields: &Fields<'_>) -> Result<Journey> {
        let position = Position {
            epoch: fields.count("epoch")?,
            epochs: 0,
            step: fields.count("step")?,
            steps: fields.count("steps")?,
            samples: fields.count("samples")?,
        };
        if position.step > position.steps {
            return Err(fields.corrupt("step"));
        }
        let epochs: Vec<Logs> = fields.list("history")?.iter().map(Fields::logs).collect::<Result<_>>()?;
        let history = History { initial_epoch: fields.count("initial_epoch")?, epochs, ..History::default() };
        let data = fields.within("data")?.unless_null(|f| Ok((f.count("samples")?, f.flag("shuffle")?)))?;
        let callback = |one: &Fields<'_>| {
            let numbers = owned(one.within("numbers")?.logs()?);
            Ok((one.text("identity")?, CallbackState { numbers, ..CallbackState::default() }))
        };
        let callbacks = fields
            .within("callbacks")?
            .unless_null(|all| all.entries()?.iter().map(callback).collect::<Result<_>>())?;
        Ok(Journey { position, history, data, callbacks })
    }
}

fn owned(logs: Logs) -> Vec<(String, f64)> {
    logs.iter().map(|(name, value)| (name.to_owned(), value)).collect()
}

/// Numbers by name, in their order.
fn figures<'a>(numbers: impl Iterator<Item = (&'a str, f64)>) -> Json {
    Json::Object(numbers.map(|(name, value)| (name.to_owned(), exact(value))).collect::<Map<_, _>>())
}

/// A number as the shortest text that is read back to the same bits; JSON itself has no NaN, and
/// readers of its numbers may be off by a rounding.
fn exact(number: impl Display) -> Json {
    Json::String(number.to_string())
}

/// A part of the metadata, and the file to name where it is not as it should be.
struct Fields<'a> {
    json: &'a Json,
    path: &'a Path,
}

impl<'a> Fields<'a> {
    fn corrupt(&self, name: &str) -> Error {
        let message = format!("`{name}` in its metadata is missing or not what it should be");
        Error::Corrupt { path: self.path.to_owned(), message }
    }

    fn within(&self, name: &str) -> Result<Fields<'a>> {
        let json = self.json.get(name).ok_or_else(|| self.corrupt(name))?;
        Ok(Fields { json, path: self.path })
    }

    fn unless_null<T>(self, read: impl FnOnce(&Self) -> Result<T>) -> Result<Option<T>> {
        if self.json.is_null() { Ok(None) } else { read(&self).map(Some) }
    }

    fn entries(&self) -> Result<Vec<Fields<'a>>> {
        let entries = self.json.as_array().ok_or_else(|| self.corrupt("list"))?;
        Ok(entries.iter().map(|json| Fields { json, path: self.path }).collect())
    }

    fn list(&self, name: &str) -> Result<Vec<Fields<'a>>> {
        self.within(name)?.entries().map_err(|_| self.corrupt(name))
    }

    fn text(&self, name: &str) -> Result<String> {
        self.within(name)?.json.as_str().map(str::to_owned).ok_or_else(|| self.corrupt(name))
    }

    fn texts(&self, name: &str) -> Result<Vec<String>> {
        let text = |f: Fields<'_>| f.json.as_str().map(str::to_owned);
        let all: Option<Vec<String>> = self.list(name)?.into_iter().map(text).collect();
        all.ok_or_else(|| self.corrupt(name))
    }

    fn count(&self, name: &str) -> Result<usize> {
        let number = self.within(name)?.json.as_u64().and_then(|n| usize::try_from(n).ok());
        number.ok_or_else(|| self.corrupt(name))
    }

    fn count32(&self, name: &str) -> Result<u32> {
        u32::try_from(self.count(name)?).map_err(|_| self.corrupt(name))
    }

    fn flag(&self, name: &str) -> Result<bool> {
        self.within(name)?.json.as_bool().ok_or_else(|| self.corrupt(name))
    }

    fn float<T: FromStr>(&self, name: &str) -> Result<T> {
        let text = self.within(name)?.json.as_str();
        text.and_then(|text| text.parse().ok()).ok_or_else(|| self.corrupt(name))
    }

    fn logs(&self) -> Result<Logs> {
        let fields = self.json.as_object().ok_or_else(|| self.corrupt("figures"))?;
        let mut logs = Logs::new();
        for name in fields.keys() {
            logs.set(name, self.float(name)?);
        }
        Ok(logs)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn header() -> Header {
        let mut logs = Logs::new();
        for (name, value) in [("loss", 0.1 + 0.2), ("zz", 5e-324), ("accuracy", -0.0), ("inf", f64::INFINITY)]
        {
            logs.set(name, value);
        }
        let position = Position { epoch: 3, epochs: 0, step: 2, steps: 5, samples: 19 };
        let history = History { initial_epoch: 2, epochs: vec![logs.clone()], ..History::default() };
        let state = CallbackState { numbers: owned(logs), ..CallbackState::default() };
        let callbacks = Some(vec![
            ("CsvLog".to_owned(), CallbackState::default()),
            ("EarlyStopping(loss)".to_owned(), state),
        ]);
        Header {
            seed: u32::MAX,
            batch: 8,
            accumulate: 2,
            steps: 17,
            updates: 8,
            optimizer_updates: 3,
            base_rate: 0.1,
            rate_scale: 0.1 * 0.1,
            schedule_from: 5,
            scalars: vec![("noise".to_owned(), 0.1), ("angle".to_owned(), -0.0)],
            masked: vec!["dense.weight".to_owned()],
            frozen: BTreeSet::from(["conv2d".to_owned()]),
            variants: vec![Variant { rows: 8, weighted: false, updates: true }],
            weights: vec!["dense.weight".to_owned()],
            metrics: vec!["accuracy".to_owned()],
            journey: Journey { position, history, data: Some((35, true)), callbacks },
        }
    }

    fn through_text(header: &Header) -> Result<Header> {
        let text = header.to_json().to_string();
        let json: Json = serde_json::from_str(&text).expect("it is JSON");
        Header::from_json(Some(&json), Path::new("a"))
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
        let whole = header().to_json();
        let fields = whole.as_object().expect("it is an object");
        for name in fields.keys().filter(|name| *name != "version") {
            let mut less = fields.clone();
            less.remove(name);
            let error = Header::from_json(Some(&Json::Object(less)), Path::new("a")).expect_err(name);
            let expected = matches!(
                (&error, name.as_str()),
                (Error::NotACheckpoint { .. }, "kind") | (Error::Corrupt { .. }, _)
            );
            assert!(expected, "{name}: {error}");
        }
    }
}
