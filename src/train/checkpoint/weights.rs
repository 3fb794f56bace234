//! Weights in files, by name.

use std::collections::BTreeMap;
use std::path::Path;

use safetensors::tensor::Dtype;

use super::file::{self, TensorFile};
use super::states::{tensors_of, type_here};
use super::{LoadOptions, LoadReport, SkippedTensor};
use crate::error::{Error, Result};
use crate::graph::{StateKind, Value};
use crate::session::Session;
use crate::train::trainer::is_within;

impl Session {
    /// Writes the model's weights to a safetensors file, by name: trained and frozen parameters and
    /// running statistics; those that the tape uses, which are all of them in the session of a
    /// [`Trainer`](crate::train::Trainer). Not what an optimiser keeps, nor states that a stateful layer
    /// carries from replay to replay.
    ///
    /// F64 from the reference, which computes in it, and F32 from every other device: each with all its digits,
    /// what is not finite included. The
    /// file is written beside its place and renamed, so that an older one is replaced whole or not at
    /// all. It has a checksum: a damaged one is refused.
    ///
    /// ```
    /// use retape::prelude::*;
    /// let session = |seed| {
    ///     let mut g = Graph::new();
    ///     let x = g.input("x", [1, 4]);
    ///     let y = Sequential::new().add(Dense::new(3)).record(&mut g, x, Mode::Evaluation)?;
    ///     g.forward([y])?.session_with(&Device::cpu(), SessionOptions::new().seed(seed))
    /// };
    /// let path = std::env::temp_dir().join("retape-doc-weights.safetensors");
    /// let (one, mut other) = (session(1)?, session(2)?);
    /// one.save_weights(&path)?;
    /// other.load_weights(&path)?;
    /// assert_eq!(other.parameter("dense.weight")?, one.parameter("dense.weight")?);
    /// # std::fs::remove_file(&path).ok();
    /// # Ok::<(), retape::Error>(())
    /// ```
    ///
    /// # Errors
    /// [`Error::Io`] with the path; what reading a value from the device reports.
    pub fn save_weights(&self, path: impl AsRef<Path>) -> Result<()> {
        let tensors = tensors_of(self, self.weights().collect())?;
        let path = path.as_ref();
        file::write(path, &file::bytes(&tensors, None).map_err(Error::io(path))?)
    }

    /// Reads weights that [`save_weights`](Session::save_weights) wrote, or those of a checkpoint, or
    /// somebody else's safetensors file with the same names. F16, BF16, F32 and F64 are all taken, and
    /// rounded to what the session computes with. Files without a checksum, which are those of others and of
    /// format versions 1 and 2, are read as they are.
    ///
    /// # Errors
    /// [`Error::TensorNames`] with the weights that the file lacks and the tensors too many;
    /// [`Error::TensorMismatch`] with both shapes; [`Error::Corrupt`], [`Error::CheckpointVersion`],
    /// [`Error::Io`]. Nothing is written then.
    pub fn load_weights(&mut self, path: impl AsRef<Path>) -> Result<()> {
        self.load_weights_with(path, &LoadOptions::new()).map(|_| ())
    }

    /// Reads the weights that fit by name and shape, and leaves the others as they are.
    ///
    /// # Errors
    /// As [`load_weights`](Session::load_weights), but for what does not fit.
    pub fn load_weights_partial(&mut self, path: impl AsRef<Path>) -> Result<LoadReport> {
        self.load_weights_with(path, &LoadOptions::new().partial())
    }

    /// [`load_weights`](Session::load_weights) of some layers, or of what fits.
    ///
    /// # Errors
    /// As [`load_weights`](Session::load_weights); [`Error::Unknown`] for a layer that the model has no
    /// weights of.
    pub fn load_weights_with(&mut self, path: impl AsRef<Path>, options: &LoadOptions) -> Result<LoadReport> {
        let own = self.wanted_weights(options)?;
        let file = TensorFile::open(path.as_ref())?;
        let of_model = file.metadata.as_ref().and_then(|(_, stamp)| stamp.weights.as_ref());
        let is_weight = |name: &String| of_model.is_none_or(|weights| weights.contains(name));
        let is_unexpected =
            |name: &&String| options.wants(name) && !own.contains_key(*name) && is_weight(name);
        let unexpected = file.stored.keys().filter(is_unexpected).cloned().collect();
        let mut report = LoadReport { unexpected, ..LoadReport::default() };
        let mut data = Vec::new();
        for (name, &value) in &own {
            let Some(found) = file.stored_type(name) else {
                report.missing.push(name.clone());
                continue;
            };
            let expected = type_here(self, value);
            let fits = found.dtype != Dtype::U32.to_string() && found.shape == expected.shape;
            match file.numbers(name).filter(|_| fits) {
                Some(numbers) => {
                    report.loaded.push(name.clone());
                    data.push((value, numbers));
                }
                None => report.skipped.push(SkippedTensor { name: name.clone(), found, expected }),
            }
        }
        if !options.partial {
            refuse(&report, path.as_ref())?;
        }
        data.iter().try_for_each(|(value, numbers)| self.write_f64(*value, numbers))?;
        Ok(report)
    }

    /// The weights of a model that the tape uses, by name, in declaration order.
    fn weights(&self) -> impl Iterator<Item = (String, Value)> + '_ {
        let weights =
            self.advanced().filter(|&(_, value)| self.kind(value).is_some_and(StateKind::is_weight));
        weights.map(|(key, value)| (key.name.clone(), value))
    }

    /// The names of the model's weights, in declaration order: what
    /// [`save_weights`](Session::save_weights) writes.
    pub fn weight_names(&self) -> Vec<String> {
        self.weights().map(|(name, _)| name).collect()
    }

    fn wanted_weights(&self, options: &LoadOptions) -> Result<BTreeMap<String, Value>> {
        for layer in options.layers.iter().flatten() {
            let names = self.weight_names();
            if !names.iter().any(|name| is_within(name, layer)) {
                let layers = names.iter().filter_map(|name| name.rsplit_once('.'));
                let mut known: Vec<&str> = layers.map(|(layer, _)| layer).collect();
                known.dedup();
                return Err(Error::unknown("layer with weights", layer, known));
            }
        }
        Ok(self.weights().filter(|(name, _)| options.wants(name)).collect())
    }
}

/// Turns what does not fit into an error.
fn refuse(report: &LoadReport, path: &Path) -> Result<()> {
    let path = path.to_owned();
    if let Some(SkippedTensor { name, found, expected }) = report.skipped.first() {
        let types = Box::new([found.clone(), expected.clone()]);
        return Err(Error::TensorMismatch { path, name: name.clone(), types });
    }
    if report.missing.is_empty() && report.unexpected.is_empty() {
        return Ok(());
    }
    let (missing, unexpected) = (report.missing.clone(), report.unexpected.clone());
    Err(Error::TensorNames { path, missing, unexpected })
}
