//! Features and targets brought to one scale: fitted on the training data, applied to all.

use super::{Column, ColumnData, Dataset, Samples, check_finite};
use crate::dtype::DType;
use crate::error::{Error, Result};
use crate::shape::Shape;

/// Features with mean 0 and standard deviation 1 over the data that it was fitted to:
/// `(x - mean) / std`, in f64. The deviation is that of a population: the mean square is divided by the number of
/// rows, as scikit-learn's `StandardScaler` does.
///
/// A feature that was constant has `std` 0 and is only shifted, as if `std` were 1.
///
/// ```
/// use retape::data::Standardize;
/// let train = [1.0, 50.0, 3.0, 50.0];
/// let scale = Standardize::fit(&train, 2)?;
/// let mut test = [5.0, 51.0];
/// scale.transform(&mut test)?;
/// assert_eq!(test, [3.0, 1.0]);
/// scale.inverse(&mut test)?;
/// assert_eq!(test, [5.0, 51.0]);
/// # Ok::<(), retape::Error>(())
/// ```
///
/// Inputs and targets of a regression have a scale each; that of the targets brings predictions back:
///
/// ```
/// use retape::data::{Samples, Standardize};
/// let train = Samples::new().input([1], vec![1.0f32, 3.0]).target([1], vec![200.0f32, 400.0]);
/// let (inputs, targets) = (Standardize::fit_inputs(&train)?, Standardize::fit_targets(&train)?);
/// let train = targets.transform_targets(inputs.transform_inputs(train)?)?;
/// assert_eq!(train.inputs[0].data.as_f32(), Some(&[-1.0, 1.0][..]));
/// let mut predicted = vec![-1.0, 0.5]; // the `data` of what `Trainer::predict` returns
/// targets.inverse(&mut predicted)?;
/// assert_eq!(predicted, [200.0, 350.0]);
/// # Ok::<(), retape::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq)]
pub struct Standardize {
    /// The mean of each feature.
    pub mean: Vec<f64>,
    /// The standard deviation of each feature: as many as means, none negative.
    pub std: Vec<f64>,
}

/// Features between 0 and 1 over the data that it was fitted to: `(x - min) / (max - min)`, in f64. Other data may
/// lie outside.
///
/// A feature that was constant is only shifted, as if `max - min` were 1.
///
/// ```
/// use retape::data::MinMax;
/// let scale = MinMax::fit(&[10.0, 30.0, 20.0], 1)?;
/// let mut values = [10.0, 25.0, 40.0];
/// scale.transform(&mut values)?;
/// assert_eq!(values, [0.0, 0.75, 1.5]);
/// # Ok::<(), retape::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq)]
pub struct MinMax {
    /// The least value of each feature.
    pub min: Vec<f64>,
    /// The greatest value of each feature: as many as least ones, none below its own.
    pub max: Vec<f64>,
}

impl Standardize {
    /// Means and deviations of rows of so many features, one after the other.
    ///
    /// # Errors
    /// [`Error::Features`] if the values do not make whole rows, or none; [`Error::NonFinite`] for the
    /// first of them that is NaN or infinite.
    pub fn fit(values: &[f32], features: usize) -> Result<Self> {
        check_rows(values, features)?;
        let (mut mean, mut squares) = (vec![0.0; features], vec![0.0; features]);
        // Welford's recurrence: a constant feature has a deviation of exactly 0.
        for (row, values) in values.chunks_exact(features).enumerate() {
            for ((mean, squares), &x) in mean.iter_mut().zip(&mut squares).zip(values) {
                let before: f64 = f64::from(x) - *mean;
                *mean += before / (row + 1) as f64;
                *squares += before * (f64::from(x) - *mean);
            }
        }
        let rows = (values.len() / features) as f64;
        Ok(Standardize { mean, std: squares.into_iter().map(|s: f64| (s / rows).sqrt()).collect() })
    }

    fn affine(&self) -> Vec<(f64, f64)> {
        self.mean.iter().copied().zip(self.std.iter().copied()).collect()
    }
}

impl MinMax {
    /// Least and greatest values of rows of so many features, one after the other.
    ///
    /// # Errors
    /// [`Error::Features`] if the values do not make whole rows, or none; [`Error::NonFinite`] for the
    /// first of them that is NaN or infinite.
    pub fn fit(values: &[f32], features: usize) -> Result<Self> {
        check_rows(values, features)?;
        let (mut min, mut max) = (vec![f64::INFINITY; features], vec![f64::NEG_INFINITY; features]);
        for row in values.chunks_exact(features) {
            for ((min, max), &x) in min.iter_mut().zip(&mut max).zip(row) {
                *min = min.min(f64::from(x));
                *max = max.max(f64::from(x));
            }
        }
        Ok(MinMax { min, max })
    }

    fn affine(&self) -> Vec<(f64, f64)> {
        self.min.iter().zip(&self.max).map(|(&min, &max)| (min, max - min)).collect()
    }
}

/// What scalers have in common: all scale each feature by an offset and a width, `(x - offset) / width`.
macro_rules! scaler_methods {
    ($scaler:ident) => {
        impl $scaler {
            /// Each element of a data set's inputs taken as a feature.
            ///
            /// # Errors
            #[doc = concat!("As for [`fit`](", stringify!($scaler), "::fit).")]
            pub fn fit_dataset(data: &Dataset) -> Result<Self> {
                $scaler::fit(data.inputs(), data.input_shape().numel())
            }

            /// Scales rows in place.
            ///
            /// # Errors
            /// [`Error::Features`] if the values do not make whole rows.
            pub fn transform(&self, values: &mut [f32]) -> Result<()> {
                apply(values, &self.affine(), |x, offset, width| (x - offset) / width)
            }

            /// Scales a data set's inputs.
            ///
            /// # Errors
            /// [`Error::Features`] if its samples have another number of elements.
            pub fn transform_dataset(&self, mut data: Dataset) -> Result<Dataset> {
                check_sample(data.input_shape(), self.affine().len())?;
                self.transform(&mut data.inputs)?;
                Ok(data)
            }

            /// Each element of a sample of a column taken as a feature. This and
            #[doc = concat!("[`transform_column`](", stringify!($scaler), "::transform_column)")]
            /// are for samples of several inputs: `&samples.inputs[1]`.
            ///
            /// # Errors
            #[doc = concat!("As for [`fit`](", stringify!($scaler), "::fit);")]
            /// [`Error::DTypeMismatch`] for a column of u32.
            pub fn fit_column(column: &Column<'_>) -> Result<Self> {
                let values = column.data.as_f32().ok_or_else(no_f32)?;
                $scaler::fit(values, column.shape.numel())
            }

            /// Scales a column in place; borrowed elements are copied.
            ///
            /// # Errors
            /// [`Error::Features`] if its samples have another number of elements;
            /// [`Error::DTypeMismatch`] for a column of u32.
            pub fn transform_column(&self, column: &mut Column<'_>) -> Result<()> {
                check_sample(column.shape, self.affine().len())?;
                match &mut column.data {
                    ColumnData::F32(values) => self.transform(values.to_mut()),
                    ColumnData::U32(_) => Err(no_f32()),
                }
            }

            /// Each element of a sample's only input taken as a feature.
            ///
            /// # Errors
            #[doc = concat!("As for [`fit_column`](", stringify!($scaler), "::fit_column);")]
            /// [`Error::NoInputs`]; [`Error::Argument`] for samples of several inputs.
            pub fn fit_inputs(samples: &Samples<'_>) -> Result<Self> {
                check_inputs(samples)?;
                $scaler::fit_column(&samples.inputs[0])
            }

            /// Scales the samples' only input.
            ///
            /// # Errors
            #[doc = concat!("As for [`transform_column`](", stringify!($scaler), "::transform_column);")]
            /// [`Error::NoInputs`]; [`Error::Argument`] for samples of several inputs.
            pub fn transform_inputs<'a>(&self, mut samples: Samples<'a>) -> Result<Samples<'a>> {
                check_inputs(&samples)?;
                self.transform_column(&mut samples.inputs[0])?;
                Ok(samples)
            }

            /// Each element of a sample's target taken as a feature.
            ///
            /// # Errors
            #[doc = concat!("As for [`fit_column`](", stringify!($scaler), "::fit_column);")]
            /// [`Error::Argument`] for samples without targets.
            pub fn fit_targets(samples: &Samples<'_>) -> Result<Self> {
                $scaler::fit_column(samples.targets.as_ref().ok_or_else(no_targets)?)
            }

            /// Scales the samples' targets;
            #[doc = concat!("[`inverse`](", stringify!($scaler), "::inverse)")]
            /// brings predictions back to the scale before.
            ///
            /// # Errors
            #[doc = concat!("As for [`transform_column`](", stringify!($scaler), "::transform_column);")]
            /// [`Error::Argument`] for samples without targets.
            pub fn transform_targets<'a>(&self, mut samples: Samples<'a>) -> Result<Samples<'a>> {
                self.transform_column(samples.targets.as_mut().ok_or_else(no_targets)?)?;
                Ok(samples)
            }

            #[doc = concat!("Undoes [`transform`](", stringify!($scaler), "::transform).")]
            ///
            /// # Errors
            /// [`Error::Features`] if the values do not make whole rows.
            pub fn inverse(&self, values: &mut [f32]) -> Result<()> {
                apply(values, &self.affine(), |x, offset, width| x * width + offset)
            }
        }
    };
}

scaler_methods!(Standardize);
scaler_methods!(MinMax);

/// Changes rows by the offset and the width of each feature; a width of 0 is taken as 1.
fn apply(values: &mut [f32], features: &[(f64, f64)], change: impl Fn(f64, f64, f64) -> f64) -> Result<()> {
    check_whole(values.len(), features.len())?;
    for row in values.chunks_exact_mut(features.len()) {
        for (x, &(offset, width)) in row.iter_mut().zip(features) {
            let width = if width == 0.0 { 1.0 } else { width };
            *x = change(f64::from(*x), offset, width) as f32;
        }
    }
    Ok(())
}

/// Refuses samples of another number of elements.
fn check_sample(shape: Shape, features: usize) -> Result<()> {
    let values = shape.numel();
    if values == features { Ok(()) } else { Err(Error::Features { features, values }) }
}

fn no_f32() -> Error {
    let what = "the column to scale".to_owned();
    Error::DTypeMismatch { what, found: DType::U32, expected: DType::F32 }
}

fn no_targets() -> Error {
    Error::argument("targets", "missing", "there is nothing to scale")
}

/// Refuses samples of several inputs, or none.
fn check_inputs(samples: &Samples<'_>) -> Result<()> {
    match samples.inputs.len() {
        0 => Err(Error::NoInputs),
        1 => Ok(()),
        several => Err(Error::argument("inputs", several, "of several, each column has its own scale")),
    }
}

/// Rows to fit to: whole, at least one, of numbers.
fn check_rows(values: &[f32], features: usize) -> Result<()> {
    check_whole(values.len(), features)?;
    if values.is_empty() {
        return Err(Error::Features { features, values: 0 });
    }
    check_finite("values", values)
}

fn check_whole(values: usize, features: usize) -> Result<()> {
    let whole = values.checked_rem(features) == Some(0);
    if whole { Ok(()) } else { Err(Error::Features { features, values }) }
}
