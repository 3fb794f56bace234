//! Everything that training goes on from, to and from a file.

use std::collections::BTreeMap;
use std::fmt;
use std::path::Path;
use std::sync::Arc;

use safetensors::tensor::Dtype;
use serde::{Deserialize, Serialize};

use super::Header;
use super::file::{self, Tensor, TensorFile};
use crate::dtype::{DType, StoredType};
use crate::error::{Error, Result};
use crate::graph::{Role, StateKey, Value};
use crate::session::Session;
use crate::train::trainer::{Remembered, owners};

/// What a session keeps a value in: the reference computes in f64.
fn dtype_here(session: &Session, value: Value) -> Dtype {
    match session.tape().recording().ty(value).dtype {
        DType::U32 => Dtype::U32,
        DType::F16 if !session.executor.is_reference() => Dtype::F16,
        DType::F32 if !session.executor.is_reference() => Dtype::F32,
        DType::F32 | DType::F16 => Dtype::F64,
    }
}

/// Type and shape of a value as it is written.
pub(super) fn type_here(session: &Session, value: Value) -> StoredType {
    let shape = session.shape_of(value).dims().to_vec();
    StoredType { dtype: dtype_here(session, value).to_string(), shape }
}

/// Elements that are read from a device at once, unless a value has more: 64 MiB of f32.
const AT_ONCE: usize = 1 << 24;

/// Values by name with all their digits.
pub(super) fn tensors_of(session: &Session, named: Vec<(String, Value)>) -> Result<BTreeMap<String, Tensor>> {
    let mut tensors = BTreeMap::new();
    let mut rest = &named[..];
    while !rest.is_empty() {
        let mut elements = 0;
        let fits = rest.iter().take_while(|(_, value)| {
            elements += session.shape_of(*value).numel();
            elements <= AT_ONCE
        });
        let (part, after) = rest.split_at(fits.count().max(1));
        rest = after;
        let values: Vec<Value> = part.iter().map(|&(_, value)| value).collect();
        for ((name, value), data) in part.iter().zip(session.executor.read_f64(&values)?) {
            let (dtype, shape) = (dtype_here(session, *value), session.shape_of(*value));
            tensors.insert(name.clone(), Tensor::new(dtype, shape.dims(), &data));
        }
    }
    Ok(tensors)
}

/// What a tensor of a checkpoint is. Its name in the file is for people.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Meaning {
    State(Arc<StateKey>),
    /// An array of a callback, by the callback's position.
    Callback(usize, String),
}

/// A checkpoint of every parameter and state of these sessions, the one that the others share with first, and of
/// what the callbacks of the header remember. The sums of an epoch are part of it within the epoch alone.
pub(crate) fn take(sessions: &[&Session], mut header: Header) -> Result<Checkpoint> {
    let mut of_session: Vec<Vec<(String, Value)>> = vec![Vec::new(); sessions.len()];
    // Weights come first, whose names are their own.
    for (key, (_, index, value)) in counted(sessions, header.journey.position.step > 0) {
        let name = call(&mut header.tensors, key.to_string(), Meaning::State(key));
        of_session[index].push((name, value));
    }
    let mut tensors = BTreeMap::new();
    for (session, values) in sessions.iter().zip(of_session) {
        tensors.extend(tensors_of(session, values)?);
    }
    for (index, callback) in header.journey.callbacks.iter().flatten().enumerate() {
        for (array, data) in &callback.state.arrays {
            let meaning = Meaning::Callback(index, array.clone());
            let name = call(&mut header.tensors, format!("callback/{index}/{array}"), meaning);
            tensors.insert(name, Tensor::new(Dtype::F64, &[data.len()], data));
        }
    }
    let path = Path::new(IN_MEMORY);
    let file = file::bytes(&tensors, Some(&header)).map_err(Error::io(path))?;
    Checkpoint::of(TensorFile::of(path, file)?)
}

/// The parameters and states of sessions that a training goes on from, the sums of an epoch only `within` it.
fn counted<'a>(
    sessions: &[&'a Session],
    within: bool,
) -> BTreeMap<Arc<StateKey>, (&'a Session, usize, Value)> {
    let mut owners = owners(sessions);
    owners.retain(|key, _| counts(key, within));
    owners
}

fn counts(key: &StateKey, within: bool) -> bool {
    within || key.role != Role::Accumulator
}

/// Says what a tensor is, and returns its name: this one unless another has it.
fn call(tensors: &mut BTreeMap<String, Meaning>, mut name: String, meaning: Meaning) -> String {
    while tensors.contains_key(&name) {
        name.push('\'');
    }
    tensors.insert(name.clone(), meaning);
    name
}

/// What errors call a checkpoint that is in no file.
const IN_MEMORY: &str = "a checkpoint in memory";

/// Everything that training goes on from, in memory: what [`Trainer::checkpoint`](crate::train::Trainer::checkpoint)
/// takes, and what a file of [`Trainer::save_checkpoint`](crate::train::Trainer::save_checkpoint) holds. It needs
/// no device. Clones are the same one.
///
/// ```
/// use retape::prelude::*;
/// # let data = data::Dataset::new([2], vec![0., 0., 0., 1., 1., 0., 1., 1.], vec![0, 1, 1, 0], 2)?;
/// # let mut trainer = Trainer::new(Sequential::new().add(Dense::new(2)), data.input_shape())
/// #     .loss(Loss::SparseCategoricalCrossEntropy)
/// #     .optimizer(Adam::new(0.05))
/// #     .build(&Device::cpu())?;
/// trainer.fit(&data, Fit::epochs(3))?;
/// let checkpoint = trainer.checkpoint()?;
/// let more = trainer.fit(&data, Fit::epochs(5).resume_from(&checkpoint))?;
/// // The same again, bit by bit.
/// assert_eq!(trainer.fit(&data, Fit::epochs(5).resume_from(&checkpoint))?, more);
/// # Ok::<(), retape::Error>(())
/// ```
#[derive(Clone)]
pub struct Checkpoint {
    file: Arc<TensorFile>,
    pub(crate) header: Arc<Header>,
}

impl fmt::Debug for Checkpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut debug = f.debug_struct("Checkpoint");
        debug.field("path", &self.file.path).field("epoch", &self.epoch()).field("steps", &self.steps());
        debug.finish_non_exhaustive()
    }
}

impl Checkpoint {
    /// Reads a checkpoint from a file.
    ///
    /// # Errors
    /// [`Error::Io`], [`Error::Corrupt`], [`Error::CheckpointVersion`], [`Error::NotACheckpoint`].
    pub fn open(path: impl AsRef<Path>) -> Result<Checkpoint> {
        Checkpoint::of(TensorFile::open(path.as_ref())?)
    }

    /// Writes it to a file, beside its place and renamed, so that an older one is replaced whole or not at all.
    ///
    /// # Errors
    /// [`Error::Io`].
    pub fn save(&self, path: impl AsRef<Path>) -> Result<()> {
        file::write(path.as_ref(), self.bytes())
    }

    /// The epoch that training goes on with, or within, counted from 0.
    pub fn epoch(&self) -> usize {
        self.header.journey.position.epoch
    }

    /// The batches trained on before it.
    pub fn steps(&self) -> u32 {
        self.header.steps
    }

    /// The file that it is.
    pub(crate) fn bytes(&self) -> &Arc<Vec<u8>> {
        &self.file.bytes
    }

    /// The checkpoint that [`bytes`](Checkpoint::bytes) are of.
    pub(crate) fn in_memory(bytes: Arc<Vec<u8>>) -> Result<Checkpoint> {
        Checkpoint::of(TensorFile::of(Path::new(IN_MEMORY), bytes)?)
    }

    /// Where it was read from, for errors.
    pub(crate) fn path(&self) -> &Path {
        &self.file.path
    }

    fn of(file: TensorFile) -> Result<Checkpoint> {
        let header = Header::read(file.metadata.as_ref(), &file.path)?;
        Ok(Checkpoint { file: Arc::new(file), header: Arc::new(header) })
    }

    /// What each callback was, and is to take up.
    pub(crate) fn callbacks(&self) -> Vec<Remembered> {
        let mut callbacks = self.header.journey.callbacks.clone().unwrap_or_default();
        for (name, meaning) in &self.header.tensors {
            if let Meaning::Callback(index, array) = meaning
                && let (Some(callback), Some(data)) = (callbacks.get_mut(*index), self.file.numbers(name))
            {
                callback.state.arrays.push((array.clone(), data));
            }
        }
        callbacks
    }

    /// What goes where among these sessions, sums of an epoch only `within` it: which of the sessions, which
    /// value, and its numbers; unless `exact`, f32 where another device has f64 and the other way round.
    ///
    /// # Errors
    /// [`Error::TensorNames`], [`Error::TensorMismatch`].
    pub(crate) fn place(
        &self,
        sessions: &[&Session],
        within: bool,
        exact: bool,
    ) -> Result<Vec<(usize, Value, Vec<f64>)>> {
        let owners = counted(sessions, within);
        let callbacks = self.header.journey.callbacks.as_ref().map_or(0, Vec::len);
        let (mut there, mut unexpected) = (BTreeMap::new(), Vec::new());
        for (name, tensor) in &self.file.stored {
            match self.header.tensors.get(name) {
                Some(Meaning::State(key)) if owners.contains_key(key) => _ = there.insert(key, name),
                Some(Meaning::State(key)) if !counts(key, within) => {}
                Some(Meaning::Callback(index, _)) if *index < callbacks && tensor.dtype == Dtype::F64 => {}
                _ => unexpected.push(name.clone()),
            }
        }
        let mut missing: Vec<String> =
            owners.keys().filter(|key| !there.contains_key(key)).map(|key| key.to_string()).collect();
        let lacks = |(name, meaning): &(&String, &Meaning)| {
            matches!(meaning, Meaning::Callback(..)) && !self.file.stored.contains_key(*name)
        };
        missing.extend(self.header.tensors.iter().filter(lacks).map(|(name, _)| name.clone()));
        if !missing.is_empty() || !unexpected.is_empty() {
            return Err(Error::TensorNames { path: self.file.path.clone(), missing, unexpected });
        }
        let mut contents = Vec::with_capacity(owners.len());
        for (key, (session, index, value)) in owners {
            let (name, expected) = (there[&key], type_here(session, value));
            let is_float = |ty: &StoredType| ["F32", "F64"].contains(&ty.dtype.as_str());
            let converts = |found: &StoredType| {
                !exact && found.shape == expected.shape && is_float(found) && is_float(&expected)
            };
            let differs = |found: &StoredType| *found != expected && !converts(found);
            let found = self.file.stored_type(name).filter(differs);
            match (found, self.file.numbers(name)) {
                (None, Some(numbers)) => contents.push((index, value, numbers)),
                (found, _) => {
                    let types = Box::new([found.unwrap_or_else(|| expected.clone()), expected]);
                    let (path, name) = (self.file.path.clone(), key.to_string());
                    return Err(Error::TensorMismatch { path, name, types });
                }
            }
        }
        Ok(contents)
    }
}
