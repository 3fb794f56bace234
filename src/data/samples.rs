use std::borrow::Cow;
use std::ops::Range;
use std::sync::Arc;

use super::split::{shuffled_indices, split_indices, stratified_indices};
use super::{Dataset, check_finite, gather};
use crate::dtype::DType;
use crate::error::{Error, Result};
use crate::shape::Shape;

/// Numbers of one dtype, borrowed or owned.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub enum ColumnData<'a> {
    /// f32 elements.
    F32(Cow<'a, [f32]>),
    /// u32 elements: indices and labels.
    U32(Cow<'a, [u32]>),
}

/// One number, array or image for each sample: an input, or the targets.
#[derive(Clone, Debug, PartialEq)]
pub struct Column<'a> {
    /// The shape of one sample, without the batch.
    pub shape: Shape,
    /// The elements, sample by sample, each row-major.
    pub data: ColumnData<'a>,
}

/// Samples in memory, borrowed or owned: one or several inputs, f32 or u32; targets; and a weight for each
/// sample if some are to count more than others.
///
/// ```
/// use retape::data::Samples;
/// let words = vec![4u32, 7, 2, 0, 5, 5];
/// let ages = vec![31.0f32, 47.0];
/// let samples = Samples::new().input([3], &words).input([1], &ages).labels(&[0, 1]).weights(vec![1.0, 0.5]);
/// samples.check()?;
/// assert_eq!(samples.len(), 2);
/// assert_eq!(samples.slice(1..2).inputs[0].data, (&[0u32, 5, 5]).into());
/// # Ok::<(), retape::Error>(())
/// ```
///
/// Nothing is checked while samples are put together; [`check`](Samples::check) does it once.
#[derive(Clone, Debug, Default, PartialEq)]
#[must_use]
pub struct Samples<'a> {
    /// The inputs, in the order in which the model takes them.
    pub inputs: Vec<Column<'a>>,
    /// What the outputs should be: u32 labels of shape `[]`, or f32.
    pub targets: Option<Column<'a>>,
    /// How much each sample counts, or each step of each sample: finite, and not negative.
    pub weights: Option<Cow<'a, [f32]>>,
    /// The name of each class by its label, if the source of the data has any: a
    /// [`Trainer`](crate::train::Trainer) refuses data whose classes are other ones, or in another order, than
    /// those it was trained on.
    pub class_names: Option<Arc<[String]>>,
}

/// The class of each sample.
pub(crate) struct Classes<'a> {
    pub labels: Cow<'a, [u32]>,
    /// Whether the two are written as -1 and 1.
    pub are_signs: bool,
}

impl ColumnData<'_> {
    /// The number of elements.
    pub fn len(&self) -> usize {
        match self {
            ColumnData::F32(data) => data.len(),
            ColumnData::U32(data) => data.len(),
        }
    }

    /// Whether there are no elements.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The element type.
    pub fn dtype(&self) -> DType {
        match self {
            ColumnData::F32(_) => DType::F32,
            ColumnData::U32(_) => DType::U32,
        }
    }

    /// The elements, if they are f32.
    pub fn as_f32(&self) -> Option<&[f32]> {
        if let ColumnData::F32(data) = self { Some(data) } else { None }
    }

    /// The elements, if they are u32.
    pub fn as_u32(&self) -> Option<&[u32]> {
        if let ColumnData::U32(data) = self { Some(data) } else { None }
    }

    fn slice(&self, range: Range<usize>) -> ColumnData<'_> {
        match self {
            ColumnData::F32(data) => ColumnData::F32(Cow::Borrowed(&data[range])),
            ColumnData::U32(data) => ColumnData::U32(Cow::Borrowed(&data[range])),
        }
    }

    fn into_owned(self) -> ColumnData<'static> {
        match self {
            ColumnData::F32(data) => ColumnData::F32(Cow::Owned(data.into_owned())),
            ColumnData::U32(data) => ColumnData::U32(Cow::Owned(data.into_owned())),
        }
    }

    /// The samples of `size` elements at `indices`, in place of what `batch` held.
    fn gather(&self, size: usize, indices: &[usize], batch: &mut ColumnData<'static>) {
        match (self, batch) {
            (ColumnData::F32(data), ColumnData::F32(batch)) => gather(data, size, indices, batch.to_mut()),
            (ColumnData::U32(data), ColumnData::U32(batch)) => gather(data, size, indices, batch.to_mut()),
            (data, batch) => {
                *batch = data.slice(0..0).into_owned();
                data.gather(size, indices, batch);
            }
        }
    }
}

impl<'a> Column<'a> {
    /// Samples of `shape`, one after the other.
    pub fn new(shape: impl Into<Shape>, data: impl Into<ColumnData<'a>>) -> Self {
        Column { shape: shape.into(), data: data.into() }
    }

    fn empty() -> Self {
        Column::new([], Vec::<f32>::new())
    }

    /// The number of whole samples.
    pub fn len(&self) -> usize {
        self.data.len().checked_div(self.shape.numel()).unwrap_or(0)
    }

    /// Whether there is no whole sample.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The samples of a range, borrowed.
    ///
    /// # Panics
    /// If the range ends past [`len`](Column::len).
    pub fn slice(&self, range: Range<usize>) -> Column<'_> {
        let size = self.shape.numel();
        Column { shape: self.shape, data: self.data.slice(range.start * size..range.end * size) }
    }

    /// Copies the samples at `indices` into `batch`, which takes on this column's shape and dtype. Its
    /// memory is used again: from the second batch of a size on, nothing is allocated.
    ///
    /// ```
    /// use retape::data::Column;
    /// let column = Column::new([2], vec![0.0f32, 0.1, 1.0, 1.1, 2.0, 2.1]);
    /// let mut batch = Column::new([], Vec::<f32>::new());
    /// column.gather(&[2, 0], &mut batch);
    /// assert_eq!(batch, Column::new([2], vec![2.0f32, 2.1, 0.0, 0.1]));
    /// ```
    ///
    /// # Panics
    /// If an index is not below [`len`](Column::len).
    pub fn gather(&self, indices: &[usize], batch: &mut Column<'static>) {
        batch.shape = self.shape;
        self.data.gather(self.shape.numel(), indices, &mut batch.data);
    }

    /// Fails unless the elements make whole samples, at least one; otherwise says how many.
    fn check(&self, name: &str) -> Result<usize> {
        let (name, shape) = (name.to_owned(), self.shape);
        match (shape.numel(), self.data.len()) {
            (0, _) => Err(Error::EmptyDimension { name, shape }),
            (_, 0) => Err(Error::NoSamples { name }),
            (size, elements) if elements.is_multiple_of(size) => Ok(elements / size),
            (_, elements) => Err(Error::PartialSample { name, shape, elements }),
        }
    }

    fn into_owned(self) -> Column<'static> {
        Column { shape: self.shape, data: self.data.into_owned() }
    }
}

impl<'a> Samples<'a> {
    /// No inputs yet.
    pub fn new() -> Self {
        Samples::default()
    }

    /// Adds an input: samples of `shape`, one after the other. Shape `[]` is one number for each. u32 data
    /// are indices, as [`Embedding`](crate::nn::Embedding) takes them.
    pub fn input(mut self, shape: impl Into<Shape>, data: impl Into<ColumnData<'a>>) -> Self {
        self.inputs.push(Column::new(shape, data));
        self
    }

    /// Sets the targets: arrays of `shape`, one after the other.
    pub fn target(mut self, shape: impl Into<Shape>, data: impl Into<ColumnData<'a>>) -> Self {
        self.targets = Some(Column::new(shape, data));
        self
    }

    /// Sets the targets: the class of each sample.
    pub fn labels(self, labels: impl Into<Cow<'a, [u32]>>) -> Self {
        self.target([], ColumnData::U32(labels.into()))
    }

    /// Sets how much each sample counts; or each step of each sample, where the targets are sequences: weights
    /// `[samples, time]`, one sample after the other.
    pub fn weights(mut self, weights: impl Into<Cow<'a, [f32]>>) -> Self {
        self.weights = Some(weights.into());
        self
    }

    /// Sets the name of each class by its label.
    pub fn with_class_names<T: AsRef<str>>(mut self, names: &[T]) -> Self {
        self.class_names = Some(names.iter().map(|name| name.as_ref().to_owned()).collect());
        self
    }

    /// The number of samples: those of the first input.
    pub fn len(&self) -> usize {
        self.inputs.first().map_or(0, Column::len)
    }

    /// Whether there are no samples.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// How many weights a sample has: 0 without any, 1, or one for each of its steps.
    pub(crate) fn weights_each(&self) -> usize {
        self.weights.as_ref().map_or(0, |weights| (weights.len() / self.len().max(1)).max(1))
    }

    /// The shape of the weights of one sample.
    pub(crate) fn weights_shape(&self) -> Shape {
        if self.weights_each() > 1 { Shape::from([self.weights_each()]) } else { Shape::scalar() }
    }

    /// The shapes of one sample of each input, without the batch.
    pub fn input_shapes(&self) -> Vec<Shape> {
        self.inputs.iter().map(|column| column.shape).collect()
    }

    /// Fails unless inputs, targets and weights belong together and can be trained on. Inputs may hold
    /// any numbers: NaN and infinities among them show in the loss.
    ///
    /// # Errors
    /// [`Error::NoInputs`]; [`Error::EmptyDimension`], [`Error::NoSamples`] or [`Error::PartialSample`] if a
    /// column does not consist of samples; [`Error::SampleCount`] if one has more or fewer than the first
    /// input; [`Error::NonFinite`] for a target and [`Error::SampleWeight`] for a weight that is no such
    /// thing. Columns are called `input 0`, `input 1`, .., `targets` and `weights`.
    pub fn check(&self) -> Result<()> {
        let Some((first, others)) = self.inputs.split_first() else { return Err(Error::NoInputs) };
        let expected = first.check("input 0")?;
        let count = |name: &str, found| Error::SampleCount { name: name.to_owned(), found, expected };
        let agrees = |name: &str, found| if found == expected { Ok(()) } else { Err(count(name, found)) };
        for (index, input) in others.iter().enumerate() {
            let name = format!("input {}", index + 1);
            agrees(&name, input.check(&name)?)?;
        }
        if let Some(targets) = &self.targets {
            agrees("targets", targets.check("targets")?)?;
            check_finite("targets", targets.data.as_f32().unwrap_or_default())?;
        }
        if let Some(weights) = &self.weights {
            // One for each, or for each step of each.
            let whole = !weights.is_empty() && weights.len().is_multiple_of(expected);
            agrees("weights", if whole { expected } else { weights.len() })?;
            if let Some(index) = weights.iter().position(|&weight| !(weight.is_finite() && weight >= 0.0)) {
                return Err(Error::SampleWeight { index, value: weights[index] });
            }
        }
        Ok(())
    }

    /// The samples of a range, borrowed.
    ///
    /// # Panics
    /// If the range ends past a column's samples; after [`check`](Samples::check), past
    /// [`len`](Samples::len).
    pub fn slice(&self, range: Range<usize>) -> Samples<'_> {
        Samples {
            inputs: self.inputs.iter().map(|column| column.slice(range.clone())).collect(),
            targets: self.targets.as_ref().map(|column| column.slice(range.clone())),
            weights: self.weights.as_deref().map(|weights| {
                let each = self.weights_each();
                Cow::Borrowed(&weights[range.start * each..range.end * each])
            }),
            class_names: self.class_names.clone(),
        }
    }

    /// Copies the samples at `indices` into `batch`, whatever that held; its memory is used again. An
    /// index may occur more than once.
    ///
    /// # Panics
    /// If an index is past a column's samples.
    pub fn gather(&self, indices: &[usize], batch: &mut Samples<'static>) {
        batch.inputs.resize_with(self.inputs.len(), Column::empty);
        for (column, batch) in self.inputs.iter().zip(&mut batch.inputs) {
            column.gather(indices, batch);
        }
        match &self.targets {
            Some(targets) => targets.gather(indices, batch.targets.get_or_insert_with(Column::empty)),
            None => batch.targets = None,
        }
        match &self.weights {
            Some(weights) => {
                gather(weights, self.weights_each(), indices, batch.weights.get_or_insert_default().to_mut())
            }
            None => batch.weights = None,
        }
        batch.class_names.clone_from(&self.class_names);
    }

    /// The samples at `indices`, in that order.
    ///
    /// # Panics
    /// If an index is past a column's samples.
    pub fn select(&self, indices: &[usize]) -> Samples<'static> {
        let mut chosen = Samples::new();
        self.gather(indices, &mut chosen);
        chosen
    }

    /// The samples in an order drawn by `seed`: that of [`Dataset::shuffle`].
    ///
    /// # Panics
    /// If a column has fewer samples than the first input.
    pub fn shuffle(&self, seed: u32) -> Samples<'static> {
        self.select(&shuffled_indices(self.len(), seed))
    }

    /// Parts of these fractions of the samples, drawn by `seed` as [`split_indices`] does.
    ///
    /// # Errors
    /// As for [`check`](Samples::check) and [`split_indices`].
    pub fn split<const N: usize>(&self, fractions: [f64; N], seed: u32) -> Result<[Samples<'static>; N]> {
        self.check()?;
        let mut parts = split_indices(self.len(), &fractions, seed)?.into_iter();
        Ok(fractions.map(|_| self.select(&parts.next().unwrap_or_default())))
    }

    /// What is left and what was split off, `fraction` of the samples, drawn by `seed` so that every
    /// class has its share on both sides, as [`stratified_indices`] does.
    ///
    /// # Errors
    /// As for [`check`](Samples::check) and [`stratified_indices`]; [`Error::NoLabels`] if the targets tell no
    /// class: it is a label, 0 or 1 or else -1 or 1 of a single f32, or the place of the 1 in a row of zeros, or of
    /// numbers that are -1.
    pub fn stratified_split(&self, fraction: f64, seed: u32) -> Result<(Samples<'static>, Samples<'static>)> {
        self.check()?;
        let Classes { labels, .. } = self.classes().ok_or(Error::NoLabels)?;
        let (left, split_off) = stratified_indices(&labels, fraction, seed)?;
        Ok((self.select(&left), self.select(&split_off)))
    }

    /// The class of each sample, where the targets tell one.
    pub(crate) fn classes(&self) -> Option<Classes<'_>> {
        let targets = self.targets.as_ref()?;
        let rows = match (&targets.data, targets.shape.numel()) {
            (ColumnData::U32(labels), 1) => {
                return Some(Classes { labels: Cow::Borrowed(labels), are_signs: false });
            }
            (ColumnData::F32(rows), size) if size > 0 => rows.chunks_exact(size),
            _ => return None,
        };
        // What stands where there is no 1.
        let low = targets.data.as_f32()?.iter().copied().find(|&x| x != 1.0).unwrap_or(0.0);
        let class = |row: &[f32]| {
            let one = row.iter().position(|&x| x == 1.0);
            let is_of_two = row.iter().enumerate().all(|(place, &x)| Some(place) == one || x == low);
            let class = if row.len() == 1 { Some(usize::from(one.is_some())) } else { one };
            class.filter(|_| is_of_two).map(|class| class as u32)
        };
        let is_known = low == 0.0 || low == -1.0;
        let are_signs = low == -1.0 && targets.shape.numel() == 1;
        let labels = if is_known { rows.map(class).collect::<Option<_>>()? } else { return None };
        Some(Classes { labels: Cow::Owned(labels), are_signs })
    }

    /// Refuses samples of other classes than these; where either has no names, there is nothing to compare.
    pub(crate) fn expect_classes(&self, data: &'static str, expected: Option<&[String]>) -> Result<()> {
        match (self.class_names.as_deref(), expected) {
            (Some(found), Some(expected)) if found != expected => {
                Err(Error::ClassMismatch { data, found: found.to_vec(), expected: expected.to_vec() })
            }
            _ => Ok(()),
        }
    }

    /// The same samples, copied where they were borrowed.
    pub fn into_owned(self) -> Samples<'static> {
        Samples {
            inputs: self.inputs.into_iter().map(Column::into_owned).collect(),
            targets: self.targets.map(Column::into_owned),
            weights: self.weights.map(|weights| Cow::Owned(weights.into_owned())),
            class_names: self.class_names,
        }
    }
}

/// Inputs of the data set's shape, labels as targets, and the names of the classes.
impl<'a> From<&'a Dataset> for Samples<'a> {
    fn from(data: &'a Dataset) -> Self {
        let samples = Samples::new().input(data.input_shape(), data.inputs()).labels(data.labels());
        Samples { class_names: data.class_names.clone(), ..samples }
    }
}

/// Inputs of the data set's shape, labels as targets, and the names of the classes.
impl From<Dataset> for Samples<'static> {
    fn from(data: Dataset) -> Self {
        let samples = Samples::new().input(data.input_shape(), data.inputs).labels(data.labels);
        Samples { class_names: data.class_names, ..samples }
    }
}

/// Samples borrowed from others, without copying elements.
impl<'a> From<&'a Samples<'_>> for Samples<'a> {
    fn from(samples: &'a Samples<'_>) -> Self {
        let column = |column: &'a Column<'_>| Column {
            shape: column.shape,
            data: column.data.slice(0..column.data.len()),
        };
        Samples {
            inputs: samples.inputs.iter().map(column).collect(),
            targets: samples.targets.as_ref().map(column),
            weights: samples.weights.as_deref().map(Cow::Borrowed),
            class_names: samples.class_names.clone(),
        }
    }
}

/// What elements come as.
macro_rules! column_data {
    ($($variant:ident, $element:ty;)+) => {
        $(column_data! {
            $variant:
            ['a] &'a [$element];
            ['a, const N: usize] &'a [$element; N];
            ['a] &'a Vec<$element>;
            ['a] Vec<$element>;
            ['a] Cow<'a, [$element]>;
        })+
    };
    ($variant:ident: $([$($generics:tt)+] $source:ty;)+) => {
        $(impl<$($generics)+> From<$source> for ColumnData<'a> {
            fn from(data: $source) -> Self {
                ColumnData::$variant(data.into())
            }
        })+
    };
}

column_data! {
    F32, f32;
    U32, u32;
}
