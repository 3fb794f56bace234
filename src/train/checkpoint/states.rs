//! Everything that training goes on from, to and from a file.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use safetensors::tensor::Dtype;

use super::file::{self, Tensor, TensorFile};
use super::{Header, Remembered};
use crate::dtype::{DType, StoredType};
use crate::error::{Error, Result};
use crate::graph::{Role, StateKey, Value};
use crate::session::Session;
use crate::train::CallbackState;

/// What a session keeps a value in: the CPU path computes in f64.
fn dtype_here(session: &Session, value: Value) -> Dtype {
    match session.tape().recording().ty(value).dtype {
        DType::U32 => Dtype::U32,
        DType::F32 if session.plan().is_some() => Dtype::F32,
        DType::F32 => Dtype::F64,
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
        for ((name, value), data) in part.iter().zip(session.read_together(&values)?) {
            let (dtype, shape) = (dtype_here(session, *value), session.shape_of(*value));
            tensors.insert(name.clone(), Tensor::new(dtype, shape.dims(), &data));
        }
    }
    Ok(tensors)
}

/// The parameters and states of several sessions by name. What they share counts once; the first one
/// that has a name owns it.
fn owners<'a>(sessions: &[&'a Session]) -> BTreeMap<Arc<StateKey>, (&'a Session, usize, Value)> {
    let mut owners = BTreeMap::new();
    for (index, session) in sessions.iter().enumerate() {
        for (key, value) in session.advanced() {
            owners.entry(key).or_insert((*session, index, value));
        }
    }
    owners
}

/// Of these sessions, which have parameters or states that none before them has.
pub(crate) fn own_something(sessions: &[&Session]) -> Vec<bool> {
    let mut own = vec![false; sessions.len()];
    for (_, index, _) in owners(sessions).into_values() {
        own[index] = true;
    }
    own
}

/// What belongs into a checkpoint: the tensors of a trainer's sessions and of its callbacks.
#[derive(Default)]
pub(crate) struct Checkpoint {
    tensors: BTreeMap<String, Tensor>,
}

/// The name of a callback's array among the tensors.
fn callback_tensor(callback: usize, array: &str) -> String {
    format!("callback/{callback}/{array}")
}

impl Checkpoint {
    /// Reads every parameter and state of these sessions, the one that the others share with first.
    pub fn of_sessions(sessions: &[&Session]) -> Result<Checkpoint> {
        let mut of_session: Vec<Vec<(String, Value)>> = vec![Vec::new(); sessions.len()];
        for (key, (_, index, value)) in owners(sessions) {
            of_session[index].push((key.to_string(), value));
        }
        let mut tensors = BTreeMap::new();
        for (session, values) in sessions.iter().zip(of_session) {
            tensors.extend(tensors_of(session, values)?);
        }
        Ok(Checkpoint { tensors })
    }

    /// Adds what a callback remembers; its numbers are for the header.
    pub fn add_callback(&mut self, index: usize, state: &CallbackState) -> Result<()> {
        for (array, data) in &state.arrays {
            let name = callback_tensor(index, array);
            let tensor = Tensor::new(Dtype::F64, &[data.len()], data);
            if self.tensors.insert(name.clone(), tensor).is_some() {
                return Err(Error::DuplicateName { name });
            }
        }
        Ok(())
    }

    pub fn save(&self, path: &Path, header: &Header) -> Result<()> {
        file::save(path, &self.tensors, Some(header))
    }
}

/// A checkpoint that was read.
pub(crate) struct Opened {
    file: TensorFile,
    pub header: Header,
}

/// What goes where, when everything fits.
pub(crate) struct Placement {
    /// Which of the sessions, which value, and its numbers.
    contents: Vec<(usize, Value, Vec<f64>)>,
}

impl Opened {
    /// # Errors
    /// [`Error::Io`], [`Error::Corrupt`], [`Error::CheckpointVersion`], [`Error::NotACheckpoint`].
    pub fn open(path: &Path) -> Result<Opened> {
        let file = TensorFile::open(path)?;
        let header = Header::read(file.metadata.as_ref(), path)?;
        Ok(Opened { file, header })
    }

    /// What each callback was, and is to take up.
    pub fn callbacks(&self) -> Vec<Remembered> {
        let mut callbacks = self.header.journey.callbacks.clone().unwrap_or_default();
        for (index, callback) in callbacks.iter_mut().enumerate() {
            let prefix = callback_tensor(index, "");
            let named = self.file.names().filter_map(|name| Some((name, name.strip_prefix(&prefix)?)));
            let arrays = named.filter_map(|(name, array)| Some((array.to_owned(), self.file.numbers(name)?)));
            callback.state.arrays = arrays.collect();
        }
        callbacks
    }

    /// Finds the place of every tensor among these sessions, sums of an epoch only `within` one; nothing is
    /// written.
    ///
    /// # Errors
    /// [`Error::TensorNames`], [`Error::TensorMismatch`].
    pub fn place(&self, sessions: &[&Session], within: bool) -> Result<Placement> {
        let owners = owners(sessions);
        let (owners, sums): (BTreeMap<_, _>, BTreeMap<_, _>) =
            owners.into_iter().partition(|(key, _)| within || key.role != Role::Accumulator);
        let by_name = |owners: BTreeMap<Arc<StateKey>, _>| -> BTreeMap<String, _> {
            owners.into_iter().map(|(key, owner)| (key.to_string(), owner)).collect()
        };
        let (owners, but) = (by_name(owners), by_name(sums));
        let path = || self.file.path.clone();
        let callbacks = self.header.journey.callbacks.as_ref().map_or(0, Vec::len);
        let prefixes: Vec<String> = (0..callbacks).map(|index| callback_tensor(index, "")).collect();
        let of_callback = |name: &str| prefixes.iter().any(|prefix| name.starts_with(prefix));
        let unexpected = self.file.names().filter(|name| !owners.contains_key(*name) && !of_callback(name));
        let unexpected = unexpected.map(str::to_owned).filter(|name| !but.contains_key(name));
        let unexpected: Vec<String> = unexpected.collect();
        let missing = owners.keys().filter(|name| self.file.dtype(name).is_none());
        let missing: Vec<String> = missing.cloned().collect();
        if !missing.is_empty() || !unexpected.is_empty() {
            return Err(Error::TensorNames { path: path(), missing, unexpected });
        }
        let mut contents = Vec::with_capacity(owners.len());
        for (name, (session, index, value)) in owners {
            let expected = type_here(session, value);
            let found = self.file.stored_type(&name).filter(|found| *found != expected);
            match (found, self.file.numbers(&name)) {
                (None, Some(numbers)) => contents.push((index, value, numbers)),
                (found, _) => {
                    let types = Box::new([found.unwrap_or_else(|| expected.clone()), expected]);
                    return Err(Error::TensorMismatch { path: path(), name, types });
                }
            }
        }
        Ok(Placement { contents })
    }
}

impl Placement {
    /// Hands everything to `write`: the position of the session, the value, its numbers.
    pub fn write(&self, mut write: impl FnMut(usize, Value, &[f64]) -> Result<()>) -> Result<()> {
        self.contents.iter().try_for_each(|(index, value, data)| write(*index, *value, data))
    }
}
