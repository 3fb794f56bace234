use crate::dtype::DType;
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
            self.values[scalar.index()] = other.values[scalar.index()];
        }
        self.adopt(other);
    }

    /// The four bytes a kernel reads.
    pub fn bytes(&self, scalar: Scalar) -> [u8; 4] {
        let value = self.values[scalar.index()];
        match self.infos[scalar.index()].dtype {
            DType::F32 => (value as f32).to_le_bytes(),
            DType::U32 => (value as u32).to_le_bytes(),
        }
    }

    /// Moves on to the next step.
    pub fn advance(&mut self) {
        for count in [Scalar::STEP, Scalar::UPDATES] {
            let count = &mut self.values[count.index()];
            *count = f64::from((*count as u32).wrapping_add(1));
        }
    }

    pub fn step(&self) -> u32 {
        self.values[Scalar::STEP.index()] as u32
    }

    pub fn set_step(&mut self, step: u32) {
        self.values[Scalar::STEP.index()] = f64::from(step);
    }

    pub fn updates(&self) -> u32 {
        self.values[Scalar::UPDATES.index()] as u32
    }

    pub fn set_updates(&mut self, updates: u32) {
        self.values[Scalar::UPDATES.index()] = f64::from(updates);
    }

    pub fn seed(&self) -> u32 {
        self.values[Scalar::SEED.index()] as u32
    }

    pub fn set_seed(&mut self, seed: u32) {
        self.values[Scalar::SEED.index()] = f64::from(seed);
    }

    pub fn get(&self, name: &str) -> Result<f64> {
        self.find(name).map(|i| self.values[i])
    }

    /// Sets an f32 scalar; the counts and the seed have setters of their own.
    pub fn set(&mut self, name: &str, value: f64) -> Result<()> {
        let index = self.find(name)?;
        if !value.is_finite() {
            let value = format!("{value} for `{name}`");
            return Err(Error::Argument { argument: "value", value, expected: "a scalar must be finite" });
        }
        self.values[index] = value;
        Ok(())
    }

    /// The f32 scalars by name.
    pub fn named(&self) -> impl Iterator<Item = (&str, f64)> {
        let all = self.infos.iter().zip(&self.values);
        all.filter(|(info, _)| info.is_live()).map(|(info, &value)| (&info.name[..], value))
    }

    /// Sets an f32 scalar, to whatever it was declared with too.
    #[cfg(feature = "checkpoints")]
    pub fn restore(&mut self, name: &str, value: f64) {
        if let Some(index) = self.position(name) {
            self.values[index] = value;
        }
    }

    /// Sets the f32 scalars that another table has too as they are there.
    pub fn adopt(&mut self, other: &ScalarTable) {
        for (info, value) in self.infos.iter().zip(&mut self.values) {
            if info.is_live()
                && let Some(index) = other.position(&info.name)
            {
                *value = other.values[index];
            }
        }
    }

    fn position(&self, name: &str) -> Option<usize> {
        self.infos.iter().position(|info| info.is_live() && info.name == name)
    }

    fn find(&self, name: &str) -> Result<usize> {
        self.position(name).ok_or_else(|| {
            let known = self.named().map(|(name, _)| name.to_owned()).collect();
            Error::Unknown { what: "scalar", name: name.to_owned(), known }
        })
    }
}
