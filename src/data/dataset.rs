use std::sync::Arc;

use super::samples::Samples;
use super::split::{
    SplitBy, check_fraction, shuffled_indices, split_indices, stratified_indices, warn_of_classes,
};
use super::{check_labels, gather};
use crate::error::{Error, Result};
use crate::shape::Shape;

/// Labelled samples in memory: inputs of one shape and a class for each.
///
/// ```
/// use retape::data::Dataset;
/// let data = Dataset::new([2], vec![0.0, 0.1, 1.0, 1.1, 2.0, 2.1], vec![0, 1, 0], 2)?;
/// let (mut inputs, mut labels) = (Vec::new(), Vec::new());
/// data.gather(&[2, 0], &mut inputs, &mut labels);
/// assert_eq!(inputs, [2.0, 2.1, 0.0, 0.1]);
/// assert_eq!(labels, [0, 0]);
/// # Ok::<(), retape::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq)]
#[must_use]
pub struct Dataset {
    pub(super) inputs: Vec<f32>,
    shape: Shape,
    pub(super) labels: Vec<u32>,
    classes: u32,
    pub(super) class_names: Option<Arc<[String]>>,
}

impl Dataset {
    /// Samples of `shape`, one after the other in `inputs`, with one label each.
    ///
    /// # Errors
    /// [`Error::EmptyDimension`] if a sample has no elements, [`Error::DatasetLength`] if inputs and
    /// labels do not make the same number of samples, [`Error::LabelOutOfRange`].
    pub fn new(shape: impl Into<Shape>, inputs: Vec<f32>, labels: Vec<u32>, classes: u32) -> Result<Self> {
        let shape = shape.into();
        let size = shape.numel();
        if size == 0 {
            return Err(Error::EmptyDimension { name: "sample".to_owned(), shape });
        }
        if labels.len().checked_mul(size) != Some(inputs.len()) {
            return Err(Error::DatasetLength { sample: shape, inputs: inputs.len(), labels: labels.len() });
        }
        check_labels("labels", &labels, classes)?;
        Ok(Dataset { inputs, shape, labels, classes, class_names: None })
    }

    /// The same samples with a name for each class, by label.
    ///
    /// # Errors
    /// [`Error::ClassNames`] if there are not as many names as classes.
    pub fn with_class_names<T: AsRef<str>>(mut self, names: &[T]) -> Result<Self> {
        if u32::try_from(names.len()) != Ok(self.classes) {
            return Err(Error::ClassNames { found: names.len(), classes: self.classes });
        }
        self.class_names = Some(names.iter().map(|name| name.as_ref().to_owned()).collect());
        Ok(self)
    }

    /// The same samples with their classes numbered in the order of these names, all of those that there are
    /// among them: a test set that lacks a class, or has them in another order, then has the labels of the
    /// training data.
    ///
    /// ```
    /// use retape::data::Dataset;
    /// let test = Dataset::new([1], vec![0.1, 0.2], vec![0, 1], 2)?.with_class_names(&["cat", "fox"])?;
    /// let test = test.reorder_classes(&["cat", "dog", "fox"])?;
    /// assert_eq!((test.labels(), test.classes()), (&[0, 2][..], 3));
    /// # Ok::<(), retape::Error>(())
    /// ```
    ///
    /// # Errors
    /// [`Error::Argument`] for classes without names; [`Error::Unknown`] for one that is not among these;
    /// [`Error::DuplicateName`].
    pub fn reorder_classes<T: AsRef<str>>(mut self, names: &[T]) -> Result<Self> {
        let names: Vec<&str> = names.iter().map(AsRef::as_ref).collect();
        if let Some(twice) = (1..names.len()).find(|&index| names[..index].contains(&names[index])) {
            return Err(Error::DuplicateName { name: names[twice].to_owned(), cure: "" });
        }
        let own = self
            .class_names()
            .ok_or_else(|| Error::argument("class names", "none", "classes are known by them"))?;
        let place = |class: &String| names.iter().position(|name| name == class);
        let place = |class| place(class).ok_or_else(|| Error::unknown("class", class, &names));
        let places = own.iter().map(place).collect::<Result<Vec<usize>>>()?;
        self.labels.iter_mut().for_each(|label| *label = places[*label as usize] as u32);
        self.classes = names.len() as u32;
        self.with_class_names(&names)
    }

    /// The number of samples.
    pub fn len(&self) -> usize {
        self.labels.len()
    }

    /// Whether there are no samples.
    pub fn is_empty(&self) -> bool {
        self.labels.is_empty()
    }

    /// The shape of one sample, without the batch.
    pub fn input_shape(&self) -> Shape {
        self.shape
    }

    /// The number of classes; every label is below it.
    pub fn classes(&self) -> u32 {
        self.classes
    }

    /// The name of each class by its label, if the source of the data has any.
    pub fn class_names(&self) -> Option<&[String]> {
        self.class_names.as_deref()
    }

    /// All inputs, sample by sample, each row-major.
    pub fn inputs(&self) -> &[f32] {
        &self.inputs
    }

    /// The class of each sample.
    pub fn labels(&self) -> &[u32] {
        &self.labels
    }

    /// One sample's input.
    ///
    /// # Panics
    /// If there is no such sample.
    pub fn input(&self, index: usize) -> &[f32] {
        let size = self.shape.numel();
        &self.inputs[index * size..][..size]
    }

    /// Copies the samples of a batch into buffers of the caller's, which are cleared first and keep
    /// their capacity: from the second batch of a size on, nothing is allocated. An index may occur
    /// more than once, as when the last batch is filled up.
    ///
    /// # Panics
    /// If an index is not below [`len`](Dataset::len).
    pub fn gather(&self, indices: &[usize], inputs: &mut Vec<f32>, labels: &mut Vec<u32>) {
        gather(&self.inputs, self.shape.numel(), indices, inputs);
        gather(&self.labels, 1, indices, labels);
    }

    /// A dataset of the samples at `indices`, in that order.
    ///
    /// # Panics
    /// If an index is not below [`len`](Dataset::len).
    pub fn select(&self, indices: &[usize]) -> Dataset {
        let mut chosen = self.like(Vec::new(), Vec::new());
        self.gather(indices, &mut chosen.inputs, &mut chosen.labels);
        chosen
    }

    /// The first `n` samples, or all if there are fewer.
    pub fn take(mut self, n: usize) -> Dataset {
        self.labels.truncate(n);
        self.inputs.truncate(self.labels.len() * self.shape.numel());
        self
    }

    /// Splits off the last `fraction` of the samples, as Keras does for validation: what is left and
    /// what was split off. Each side has at least one sample. Where a class is on one side alone, as in sorted
    /// data, the log warns of it: [`split`](Dataset::split) and [`stratified_split`](Dataset::stratified_split)
    /// draw the samples.
    ///
    /// # Errors
    /// [`Error::Argument`] if the fraction is not strictly between 0 and 1, or if there are fewer
    /// than two samples.
    pub fn split_last(mut self, fraction: f64) -> Result<(Dataset, Dataset)> {
        check_fraction(fraction)?;
        let len = self.len();
        Error::expect(len >= 2, "number of samples", len, "a split needs at least two")?;
        let last = ((len as f64 * fraction).round() as usize).clamp(1, len - 1);
        let labels = self.labels.split_off(len - last);
        let inputs = self.inputs.split_off((len - last) * self.shape.numel());
        let split_off = self.like(inputs, labels);
        warn_of_classes(SplitBy::Position, [&self.labels, &split_off.labels], self.class_names());
        Ok((self, split_off))
    }

    /// The samples in an order drawn by `seed`.
    pub fn shuffle(&self, seed: u32) -> Dataset {
        self.select(&shuffled_indices(self.len(), seed))
    }

    /// Parts of these fractions of the samples, drawn by `seed` as [`split_indices`] does.
    ///
    /// ```
    /// use retape::data::Dataset;
    /// let data = Dataset::new([1], vec![0.0; 10], vec![0; 10], 1)?;
    /// let [train, validation, test] = data.split([0.7, 0.2, 0.1], 42)?;
    /// assert_eq!([train.len(), validation.len(), test.len()], [7, 2, 1]);
    /// # Ok::<(), retape::Error>(())
    /// ```
    ///
    /// # Errors
    /// As for [`split_indices`].
    pub fn split<const N: usize>(&self, fractions: [f64; N], seed: u32) -> Result<[Dataset; N]> {
        let mut parts = split_indices(self.len(), &fractions, seed)?.into_iter();
        Ok(fractions.map(|_| self.select(&parts.next().unwrap_or_default())))
    }

    /// What is left and what was split off, `fraction` of the samples, drawn by `seed` so that every
    /// class has its share on both sides, as [`stratified_indices`] does.
    ///
    /// # Errors
    /// As for [`stratified_indices`].
    pub fn stratified_split(&self, fraction: f64, seed: u32) -> Result<(Dataset, Dataset)> {
        let (left, split_off) = stratified_indices(&self.labels, fraction, seed)?;
        Ok((self.select(&left), self.select(&split_off)))
    }

    /// The samples with one-hot targets, f32 `[classes]`, instead of labels. The inputs are borrowed.
    pub fn one_hot(&self) -> Samples<'_> {
        let targets = hot_rows(&self.labels, self.classes);
        let samples = Samples::new().input(self.shape, &self.inputs);
        let class_names = self.class_names.clone();
        Samples { class_names, ..samples.target([self.classes as usize], targets) }
    }

    /// Other samples of the same shape and classes.
    fn like(&self, inputs: Vec<f32>, labels: Vec<u32>) -> Dataset {
        let class_names = self.class_names.clone();
        Dataset { inputs, shape: self.shape, labels, classes: self.classes, class_names }
    }
}

/// A dataset that comes in two parts.
#[derive(Clone, Debug, PartialEq)]
pub struct TrainTest {
    /// The samples to learn from.
    pub train: Dataset,
    /// The samples to judge by.
    pub test: Dataset,
}

impl TrainTest {
    /// The shape of one sample, without the batch.
    pub fn input_shape(&self) -> Shape {
        self.train.input_shape()
    }

    /// Both parts with a name for each class, by label.
    ///
    /// # Errors
    /// [`Error::ClassNames`] if there are not as many names as classes.
    pub fn with_class_names<T: AsRef<str>>(self, names: &[T]) -> Result<TrainTest> {
        let train = self.train.with_class_names(names)?;
        Ok(TrainTest { train, test: self.test.with_class_names(names)? })
    }
}

/// For each label a row of `classes` numbers, 1 at the label and 0 elsewhere: `[labels, classes]`,
/// row-major.
///
/// ```
/// use retape::data::one_hot;
/// assert_eq!(one_hot(&[2, 0], 3)?, [0.0, 0.0, 1.0, 1.0, 0.0, 0.0]);
/// # Ok::<(), retape::Error>(())
/// ```
///
/// # Errors
/// [`Error::LabelOutOfRange`].
pub fn one_hot(labels: &[u32], classes: u32) -> Result<Vec<f32>> {
    check_labels("labels", labels, classes)?;
    Ok(hot_rows(labels, classes))
}

/// The rows of [`one_hot`] for labels that are below `classes`.
fn hot_rows(labels: &[u32], classes: u32) -> Vec<f32> {
    let row = |&label: &u32| (0..classes).map(move |class| if class == label { 1.0 } else { 0.0 });
    labels.iter().flat_map(row).collect()
}
