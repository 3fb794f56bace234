//! Numbers in JSON, each as the shortest text that is read back to the same bits: JSON itself has no NaN, and
//! readers of its numbers may be off by a rounding.

/// A number.
pub mod exact {
    use serde::de::Error;
    use serde::{Deserialize, Deserializer, Serializer};

    pub fn serialize<S: Serializer>(number: &f64, to: S) -> Result<S::Ok, S::Error> {
        to.collect_str(number)
    }

    pub fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<f64, D::Error> {
        String::deserialize(from)?.parse().map_err(D::Error::custom)
    }
}

/// Numbers by name, in their order.
pub mod figures {
    use serde::{Deserialize, Deserializer, Serialize, Serializer};

    #[derive(Serialize, Deserialize)]
    pub struct Figure(pub String, #[serde(with = "super::exact")] pub f64);

    pub fn serialize<S: Serializer>(numbers: &[(String, f64)], to: S) -> Result<S::Ok, S::Error> {
        to.collect_seq(numbers.iter().map(|(name, value)| Figure(name.clone(), *value)))
    }

    pub fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Vec<(String, f64)>, D::Error> {
        let figures = Vec::deserialize(from)?.into_iter();
        Ok(figures.map(|Figure(name, value)| (name, value)).collect())
    }
}

/// The figures of epochs.
pub mod logs {
    use serde::{Deserialize, Deserializer, Serialize, Serializer};

    use super::figures;
    use crate::train::Logs;

    #[derive(Serialize, Deserialize)]
    struct Epoch(#[serde(with = "figures")] Vec<(String, f64)>);

    pub fn serialize<S: Serializer>(epochs: &[Logs], to: S) -> Result<S::Ok, S::Error> {
        to.collect_seq(epochs.iter().map(|logs| Epoch(logs.figures.clone())))
    }

    pub fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Vec<Logs>, D::Error> {
        Ok(Vec::deserialize(from)?.into_iter().map(|Epoch(figures)| Logs { figures }).collect())
    }
}
