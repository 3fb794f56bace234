//! Numbers in JSON, each as the shortest text that is read back to the same bits: JSON itself has no NaN, and
//! readers of its numbers may be off by a rounding.

use serde::de::Error;
use serde::{Deserialize, Serialize};

use crate::session::NonFinite;
use crate::train::{CallbackState, History, Logs};

/// What is written of a history: a training that goes on has not ended.
#[derive(Serialize, Deserialize)]
#[serde(remote = "History")]
pub(crate) struct Epochs {
    initial_epoch: usize,
    #[serde(with = "logs")]
    epochs: Vec<Logs>,
    #[serde(skip)]
    stopped: Option<String>,
    #[serde(skip)]
    fault: Option<NonFinite>,
}

/// What is written of a callback's state: its arrays are tensors.
#[derive(Serialize, Deserialize)]
#[serde(remote = "CallbackState")]
pub(crate) struct Numbers {
    #[serde(with = "figures")]
    numbers: Vec<(String, f64)>,
    #[serde(skip)]
    arrays: Vec<(String, Vec<f64>)>,
}

fn to_texts(figures: &[(String, f64)]) -> Vec<(&str, String)> {
    figures.iter().map(|(name, number)| (name.as_str(), number.to_string())).collect()
}

fn from_texts<E: Error>(texts: Vec<(String, String)>) -> Result<Vec<(String, f64)>, E> {
    texts.into_iter().map(|(name, text)| Ok((name, text.parse().map_err(E::custom)?))).collect()
}

/// Numbers by name, in their order.
pub mod figures {
    use serde::{Deserialize, Deserializer, Serialize, Serializer};

    pub fn serialize<S: Serializer>(figures: &[(String, f64)], to: S) -> Result<S::Ok, S::Error> {
        super::to_texts(figures).serialize(to)
    }

    pub fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Vec<(String, f64)>, D::Error> {
        super::from_texts(Vec::deserialize(from)?)
    }
}

/// The figures of epochs.
pub mod logs {
    use serde::de::Error;
    use serde::{Deserialize, Deserializer, Serialize, Serializer};

    use crate::train::Logs;

    /// Of one epoch: its figures, and which of them are the counts of matrices.
    #[derive(Serialize, Deserialize)]
    struct Epoch {
        figures: Vec<(String, String)>,
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        matrices: Vec<(String, usize, usize)>,
    }

    pub fn serialize<S: Serializer>(epochs: &[Logs], to: S) -> Result<S::Ok, S::Error> {
        to.collect_seq(epochs.iter().map(|logs| {
            let figures = super::to_texts(&logs.figures).into_iter();
            let figures = figures.map(|(name, text)| (name.to_owned(), text)).collect();
            Epoch { figures, matrices: logs.matrices.clone() }
        }))
    }

    pub fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Vec<Logs>, D::Error> {
        let logs = |Epoch { figures, matrices }| {
            let figures: Vec<(String, f64)> = super::from_texts(figures)?;
            let is_inside = |&(_, first, length): &(_, usize, usize)| {
                first.checked_add(length).is_some_and(|end| end <= figures.len())
            };
            match matrices.iter().all(is_inside) {
                true => Ok(Logs { figures, matrices }),
                false => Err(D::Error::custom("a matrix has more counts than there are figures")),
            }
        };
        Vec::deserialize(from)?.into_iter().map(logs).collect()
    }
}
