use super::word;
use crate::error::{Error, Result};
use crate::kernel::{Scalar, ScalarInfo};

/// The current values of the per-step scalars.
#[derive(Clone, Debug)]
pub(crate) struct ScalarTable {
    infos: Vec<ScalarInfo>,
    values: Vec<f64>,
    /// Where the rates of optimisers are.
    rates: Vec<usize>,
}

impl ScalarTable {
    pub fn new(infos: &[ScalarInfo], seed: u32) -> Self {
        let mut values: Vec<f64> = infos.iter().map(|s| s.initial).collect();
        values[Scalar::SEED.index()] = f64::from(seed);
        let rates = (0..infos.len()).filter(|&index| infos[index].is_rate && infos[index].is_live());
        ScalarTable { infos: infos.to_vec(), values, rates: rates.collect() }
    }

    pub fn values(&self) -> &[f64] {
        &self.values
    }

    /// The rates of optimisers by name.
    pub fn rates(&self) -> impl Iterator<Item = (&str, f64)> {
        self.rates.iter().map(|&index| (&self.infos[index].name[..], self.values[index]))
    }

    /// Sets the rates that `value` has one for.
    pub fn put_rates(&mut self, value: impl Fn(&str) -> Option<f32>) {
        for &index in &self.rates {
            if let Some(rate) = value(&self.infos[index].name) {
                self.values[index] = f64::from(rate);
            }
        }
    }

    /// Takes up the counts and the seed of another table, and its scalars by name.
    pub fn restore_all(&mut self, other: &ScalarTable) {
        for scalar in [Scalar::STEP, Scalar::SEED, Scalar::UPDATES] {
            self.set_count(scalar, other.count(scalar));
        }
        self.adopt(other);
    }

    /// The four bytes a kernel reads.
    pub fn bytes(&self, scalar: Scalar) -> [u8; 4] {
        word(self.infos[scalar.index()].dtype, self.values[scalar.index()]).to_le_bytes()
    }

    /// Moves on to the next step.
    pub fn advance(&mut self) {
        // The number of a step picks random numbers, which may come again; to formulas, updates are a time.
        self.set_count(Scalar::STEP, self.count(Scalar::STEP).wrapping_add(1));
        self.set_count(Scalar::UPDATES, self.count(Scalar::UPDATES).saturating_add(1));
    }

    /// The step count, the number of updates or the seed.
    pub fn count(&self, which: Scalar) -> u32 {
        self.values[which.index()] as u32
    }

    pub fn set_count(&mut self, which: Scalar, count: u32) {
        self.values[which.index()] = f64::from(count);
    }

    pub fn get(&self, name: &str) -> Result<f64> {
        self.find(name).map(|i| self.values[i])
    }

    /// Sets an f32 scalar; the counts and the seed have setters of their own.
    pub fn set(&mut self, name: &str, value: f64) -> Result<()> {
        let index = self.find(name)?;
        if !value.is_finite() {
            let value = format!("{value} for `{name}`");
            return Err(Error::argument("value", value, "a scalar must be finite"));
        }
        self.values[index] = value;
        Ok(())
    }

    /// The f32 scalars by name, without the counts and the seed.
    pub fn named(&self) -> impl Iterator<Item = (&str, f64)> {
        let all = self.infos.iter().zip(&self.values);
        all.filter(|(info, _)| info.is_live()).map(|(info, &value)| (&info.name[..], value))
    }

    /// Sets an f32 scalar, if there is one of this name, to whatever it was declared with too.
    pub fn restore(&mut self, name: &str, value: f64) {
        if let Some(index) = self.position(name) {
            self.values[index] = value;
        }
    }

    /// Sets the f32 scalars that another table has too as they are there.
    pub fn adopt(&mut self, other: &ScalarTable) {
        other.named().for_each(|(name, value)| self.restore(name, value));
    }

    fn position(&self, name: &str) -> Option<usize> {
        self.infos.iter().position(|info| info.is_live() && info.name == name)
    }

    fn find(&self, name: &str) -> Result<usize> {
        let known = || self.named().map(|(name, _)| name);
        self.position(name).ok_or_else(|| Error::unknown("scalar", name, known()))
    }
}
