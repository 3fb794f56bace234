use std::fmt;

/// How many weights of a model are zero, or held there by pruning. Prints as a table.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct Sparsity {
    /// The layers' weights, in the order of the model.
    pub layers: Vec<LayerSparsity>,
}

/// How many weights of one parameter are zero.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct LayerSparsity {
    /// The parameter's name: `dense.weight`.
    pub name: String,
    /// Its elements.
    pub weights: usize,
    /// Those that are zero.
    pub zeros: usize,
}

impl Sparsity {
    /// The share of all weights that are zero.
    pub fn share(&self) -> f64 {
        let zeros: usize = self.layers.iter().map(|layer| layer.zeros).sum();
        zeros as f64 / self.weights().max(1) as f64
    }

    /// All weights, zero or not.
    pub fn weights(&self) -> usize {
        self.layers.iter().map(|layer| layer.weights).sum()
    }
}

impl LayerSparsity {
    /// The share that is zero.
    pub fn share(&self) -> f64 {
        self.zeros as f64 / self.weights.max(1) as f64
    }
}

impl fmt::Display for Sparsity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let width = self.layers.iter().map(|layer| layer.name.len()).max().unwrap_or(0).max("weights".len());
        writeln!(f, "{:width$}  {:>12}  {:>12}  {:>8}", "weights", "all", "zero", "share")?;
        for layer in &self.layers {
            let LayerSparsity { name, weights, zeros } = layer;
            writeln!(f, "{name:width$}  {weights:12}  {zeros:12}  {:7.2}%", 100.0 * layer.share())?;
        }
        let zeros: usize = self.layers.iter().map(|layer| layer.zeros).sum();
        write!(f, "{:width$}  {:12}  {zeros:12}  {:7.2}%", "all", self.weights(), 100.0 * self.share())
    }
}
