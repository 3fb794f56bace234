use super::weights::{Trained, at_least_one, restraint_methods};
use super::{Layer, LayerContext};
use crate::dtype::DType;
use crate::error::{Error, Result};
use crate::graph::{Init, Value};

/// A vector for each word: `y[.., :] = weight[x[..], :]`, looked up and trained.
///
/// | | shape |
/// |---|---|
/// | input, u32 | `[batch, ..]`, such as `[batch, time]` |
/// | output | `[batch, .., features]` |
/// | `weight` | `[words, features]` |
///
/// Default: a weight uniform in ±0.05, as Keras's. Written words are checked against the number of
/// words; [`Graph::embedding`](crate::Graph::embedding) does the looking up.
///
/// ```
/// use retape::prelude::*;
/// let mut g = Graph::new();
/// let words = g.indices("words", [32, 20]);
/// let model = Sequential::new().add(Embedding::new(1000, 16).padding_index(0));
/// let y = model.record(&mut g, words, Mode::Training)?;
/// assert_eq!(g.shape(y)?, Shape::from([32, 20, 16]));
/// # Ok::<(), retape::Error>(())
/// ```
#[derive(Clone, Debug)]
#[must_use]
pub struct Embedding {
    words: usize,
    features: usize,
    padding: Option<u32>,
    weight: Trained,
}

impl Embedding {
    /// A table of this many words with this many features each.
    pub fn new(words: usize, features: usize) -> Self {
        Embedding { words, features, padding: None, weight: Trained::default() }
    }
}

setters! {
    Embedding,
    /// How the weight starts: uniform in ±0.05 by default.
    weight_init: Init => weight.init;
    /// The word that fills sequences up to one length. Its vector starts at zeros and gets no
    /// gradient, as with PyTorch's `padding_idx`, so that it stays there. The layers that follow are
    /// told how long each sequence `[batch, time]` is up to its last other word: recurrent layers
    /// leave the padding at the end out, as with Keras's `mask_zero`. Padding at the front is read as
    /// steps of zeros.
    padding_index: u32 => padding;
}

restraint_methods! {
    Embedding, weight, weight_penalty, weight_constraint, "the weight",
    "A norm is that of one word's vector, as with PyTorch's `max_norm`; Keras's is that of a feature over \
     all words."
}

impl Layer for Embedding {
    fn kind(&self) -> &'static str {
        "embedding"
    }

    fn input_dtype(&self, _: usize) -> DType {
        DType::U32
    }

    fn record(&self, cx: &mut LayerContext<'_>, inputs: &[Value]) -> Result<Value> {
        let x = cx.one(inputs)?;
        at_least_one("words", self.words)?;
        at_least_one("features", self.features)?;
        let shape = cx.graph().shape(x)?;
        if shape.rank() == 0 {
            return Err(Error::Rank { shape, expected: "at least 1 ([batch, ..])" });
        }
        let mut init = self.weight.init.clone().unwrap_or(Init::Uniform { low: -0.05, high: 0.05 });
        if let Some(row) = self.padding {
            let (row, value) = (row as usize, format!("{row}, with {} words", self.words));
            Error::expect(row < self.words, "padding_index", value, "the padding is one of the words")?;
            init = Init::ZeroRow { row, rest: Box::new(init) };
        }
        let weight = cx.parameter("weight", [self.words, self.features], init);
        self.weight.restrain(cx, weight, [self.words, self.features], &[1])?;
        let y = cx.graph().embedding(weight, x, self.padding)?;
        if let (Some(padding), 2) = (self.padding, shape.rank()) {
            let lengths = cx.graph().sequence_lengths(x, padding)?;
            cx.set_lengths(y, lengths);
        }
        Ok(y)
    }
}
