use super::context::without_padding;
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
    /// The word that fills sequences up to one length, in front or behind. Its vector starts at zeros and
    /// gets no gradient, as with PyTorch's `padding_idx`, so that it stays there. What follows is told which
    /// steps of the sequences `[batch, time]` are other words ([`LayerContext::mask`]) and leaves the rest out,
    /// as with Keras's `mask_zero`: recurrent layers, poolings over time, the loss and the metrics.
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
        let mut y = cx.graph().embedding(weight, x, self.padding)?;
        let given = cx.mask(x);
        let own =
            self.padding.filter(|_| shape.rank() == 2).map(|padding| cx.graph().padding_mask(x, padding));
        let mask = match (given, own.transpose()?) {
            (Some(given), Some(own)) => Some(cx.graph().mul(given, own)?),
            (given, own) => given.or(own),
        };
        if given.is_some()
            && let Some(mask) = mask
        {
            // Words of padding may be any.
            y = without_padding(cx.graph(), y, mask, 0.0)?;
        }
        mask.map_or(Ok(()), |mask| cx.set_mask(y, mask))?;
        Ok(y)
    }
}
