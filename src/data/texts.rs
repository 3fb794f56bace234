use super::check_labels;
use crate::error::{Error, Result};
use crate::shape::Shape;

/// Labelled texts in memory.
///
/// ```
/// use retape::data::{Side, Texts, Vocabulary, pad_sequences};
/// let texts = Texts::new(vec!["So good!".to_owned(), "Not so good.".to_owned()], vec![1, 0], 2)?;
/// let words = Vocabulary::build(texts.texts(), 100)?;
/// let numbers: Vec<Vec<u32>> = texts.texts().iter().map(|text| words.encode(text)).collect();
/// assert_eq!(pad_sequences(&numbers, 3, Side::Pre, Side::Pre), [0, 3, 2, 4, 3, 2]);
/// # Ok::<(), retape::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq)]
pub struct Texts {
    texts: Vec<String>,
    labels: Vec<u32>,
    classes: u32,
}

impl Texts {
    /// Texts with one label each.
    ///
    /// # Errors
    /// [`Error::DatasetLength`] if there are not as many labels as texts, [`Error::LabelOutOfRange`].
    pub fn new(texts: Vec<String>, labels: Vec<u32>, classes: u32) -> Result<Self> {
        if texts.len() != labels.len() {
            let (inputs, labels) = (texts.len(), labels.len());
            return Err(Error::DatasetLength { sample: Shape::scalar(), inputs, labels });
        }
        check_labels("labels", &labels, classes)?;
        Ok(Texts { texts, labels, classes })
    }

    /// The number of texts.
    pub fn len(&self) -> usize {
        self.labels.len()
    }

    /// Whether there are no texts.
    pub fn is_empty(&self) -> bool {
        self.labels.is_empty()
    }

    /// The number of classes; every label is below it.
    pub fn classes(&self) -> u32 {
        self.classes
    }

    /// The texts.
    pub fn texts(&self) -> &[String] {
        &self.texts
    }

    /// The class of each text.
    pub fn labels(&self) -> &[u32] {
        &self.labels
    }

    /// The texts at `indices`, in that order.
    ///
    /// # Panics
    /// If an index is not below [`len`](Texts::len).
    pub fn select(&self, indices: &[usize]) -> Texts {
        Texts {
            texts: indices.iter().map(|&i| self.texts[i].clone()).collect(),
            labels: indices.iter().map(|&i| self.labels[i]).collect(),
            classes: self.classes,
        }
    }
}

/// Labelled texts that come in two parts.
#[derive(Clone, Debug, PartialEq)]
pub struct TrainTestTexts {
    /// The texts to learn from.
    pub train: Texts,
    /// The texts to judge by.
    pub test: Texts,
}
