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
    /// All layers as one.
    fn all(&self) -> LayerSparsity {
        let sum = |of: fn(&LayerSparsity) -> usize| self.layers.iter().map(of).sum();
        let (weights, zeros) = (sum(|layer| layer.weights), sum(|layer| layer.zeros));
        LayerSparsity { name: "all".to_owned(), weights, zeros }
    }

    /// The share of all weights that are zero.
    pub fn share(&self) -> f64 {
        self.all().share()
    }

    /// All weights, zero or not.
    pub fn weights(&self) -> usize {
        self.all().weights
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
        write!(f, "{:width$}  {:>12}  {:>12}  {:>8}", "weights", "all", "zero", "share")?;
        self.layers.iter().chain([&self.all()]).try_for_each(|layer| {
            let LayerSparsity { name, weights, zeros } = layer;
            write!(f, "\n{name:width$}  {weights:12}  {zeros:12}  {:7.2}%", 100.0 * layer.share())
        })
    }
}
