use std::borrow::Cow;
use std::fmt;

use super::Trainer;
use super::feed::{Columns, Feed};
use super::recipe::{Recipe, Step};
use crate::data::{Column, ColumnData, Samples};
use crate::dtype::DType;
use crate::error::{Error, Result};
use crate::session::{Chain, SessionOptions};
use crate::shape::{Shape, TensorType};
use crate::tape::Tape;
use crate::train::Logs;

/// Loss and metrics over a data set: what [`Trainer::evaluate`] returns.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct Evaluation {
    /// The mean loss of a sample.
    pub loss: f64,
    logs: Logs,
}

impl Evaluation {
    /// A figure by name: `accuracy`.
    pub fn get(&self, name: &str) -> Option<f64> {
        self.logs.get(name)
    }

    /// All figures, the loss first.
    pub fn logs(&self) -> &Logs {
        &self.logs
    }
}

impl fmt::Display for Evaluation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.logs, f)
    }
}

/// A data set to be judged by, ready on its device.
pub(super) struct Judge<'a> {
    weighted: bool,
    feed: Feed<'a>,
    samples: usize,
}

impl Trainer {
    /// Loss and metrics over all samples, with the model as it is in use: no dropout, running
    /// statistics. The loss is weighted as the samples are; penalties of weights are not part of it, as they
    /// are in Keras: it says how well the model does, whatever was asked of its weights.
    ///
    /// # Errors
    /// As [`fit`](Trainer::fit).
    pub fn evaluate<'a>(&mut self, data: impl Into<Samples<'a>>) -> Result<Evaluation> {
        let samples = data.into();
        let mut judge = self.judge(&samples, 0)?;
        let logs = self.evaluate_with(&mut judge, "")?;
        Ok(Evaluation { loss: logs.get("loss").unwrap_or(f64::NAN), logs })
    }

    /// Gets a data set ready for [`evaluate_with`](Trainer::evaluate_with).
    pub(super) fn judge<'a>(&mut self, samples: &'a Samples<'_>, limit: u64) -> Result<Judge<'a>> {
        self.check(samples)?;
        let count = samples.len();
        let step = self.evaluation_step()?;
        // Whether a sample counts is not a column: it is written with each size of a batch.
        let columns = Columns::new(samples, samples.weights.as_deref().map(Cow::Borrowed));
        columns.check(step)?;
        let longest = count.next_multiple_of(step.rows);
        let (device, step) = (self.device.clone(), self.evaluation_step()?);
        let weighted = samples.weights.is_some();
        Ok(Judge { weighted, feed: Feed::new(&device, columns, step, longest, limit)?, samples: count })
    }

    pub(super) fn evaluate_with(&mut self, judge: &mut Judge<'_>, prefix: &str) -> Result<Logs> {
        let device = self.device.clone();
        let samples = judge.samples;
        let mut chain = Chain::new(&device);
        judge.feed.set_order((0..samples as u32).collect(), &mut chain)?;
        let step = self.evaluation_step()?;
        step.reset_sums()?;
        let rows = step.rows;
        step.set_counted(rows)?;
        if !judge.weighted {
            step.set_weights_to_one()?;
        }
        for batch in 0..samples.div_ceil(rows) {
            let counted = rows.min(samples - batch * rows);
            if counted < rows {
                chain.submit()?;
                step.set_counted(counted)?;
            }
            judge.feed.load(&device, step, batch, &mut chain)?;
            chain.step(&mut step.session)?;
        }
        chain.submit()?;
        self.evaluation_logs(samples, prefix)
    }

    /// The number of classes that the model's outputs tell apart.
    pub(super) fn classes(&self) -> u32 {
        let step = self.main();
        let output = step.session.shape_of(step.values.output);
        let scores = output.dims().get(1..).and_then(|dims| dims.last());
        scores.map_or(2, |&scores| scores.max(2) as u32)
    }

    fn evaluation_logs(&self, samples: usize, prefix: &str) -> Result<Logs> {
        let step = self.evaluation.as_ref().ok_or(Error::ForeignValue)?;
        self.recipe.logs(step, samples, prefix)
    }

    fn evaluation_step(&mut self) -> Result<&mut Step> {
        if self.evaluation.is_none() {
            let (tape, values) = self.recipe.evaluation(self.batch)?;
            self.evaluation = Some(self.beside_training(&tape, values)?);
        }
        let step = self.evaluation.as_mut().ok_or(Error::ForeignValue)?;
        step.session.scalars.adopt(&self.training[0].1.session.scalars);
        Ok(step)
    }

    fn prediction_step(&mut self) -> Result<&mut Step> {
        if self.prediction.is_none() {
            let (tape, values) = self.recipe.prediction(self.batch)?;
            self.prediction = Some(self.beside_training(&tape, values)?);
        }
        let step = self.prediction.as_mut().ok_or(Error::ForeignValue)?;
        step.session.scalars.adopt(&self.training[0].1.session.scalars);
        Ok(step)
    }

    /// A step over the parameters of the training.
    fn beside_training(&self, tape: &Tape, values: super::recipe::StepValues) -> Result<Step> {
        let options = SessionOptions::new().seed(self.seed).share_parameters(&self.main().session);
        let session = tape.session_with(&self.device, options)?;
        Ok(Step { session, rows: self.batch, values })
    }

    /// The model's first output for every sample, row-major; targets and weights are not looked at.
    /// Any number of samples is taken batch by batch. A model for a loss of logits gives logits:
    /// [`predict_probabilities`](Trainer::predict_probabilities) has what they stand for.
    ///
    /// # Errors
    /// If the samples are not what the model takes.
    pub fn predict<'a>(&mut self, data: impl Into<Samples<'a>>) -> Result<Predictions> {
        let mut samples = data.into();
        (samples.targets, samples.weights) = (None, None);
        samples.check()?;
        self.recipe.check_inputs(&samples)?;
        let (device, count) = (self.device.clone(), samples.len());
        let step = self.prediction_step()?;
        let columns = Columns::new(&samples, None);
        columns.check(step)?;
        let rows = step.rows;
        let shape = step.session.shape_of(step.values.output);
        let sample = Shape::new(&shape.dims()[1..])?;
        let mut feed = Feed::new(&device, columns, step, count, 0)?;
        let mut chain = Chain::new(&device);
        feed.set_order((0..count as u32).collect(), &mut chain)?;
        let mut data = Vec::with_capacity(count * sample.numel());
        for batch in 0..count.div_ceil(rows) {
            feed.load(&device, step, batch, &mut chain)?;
            chain.step(&mut step.session)?;
            chain.submit()?;
            data.extend(step.session.read(step.values.output)?);
        }
        data.truncate(count * sample.numel());
        Ok(Predictions { shape: sample, data })
    }

    /// The class that each sample is taken for: that of the largest output, the first of equal ones;
    /// for a model of one output, whether it is above the threshold of the loss.
    ///
    /// # Errors
    /// As [`predict`](Trainer::predict); [`Error::Argument`] for several outputs that are each a yes or no
    /// of their own ([`Scores::are_independent`](crate::train::Scores::are_independent)), which make no one
    /// class: their predictions are those above [`Scores::threshold`](crate::train::Scores::threshold).
    pub fn predict_classes<'a>(&mut self, data: impl Into<Samples<'a>>) -> Result<Vec<u32>> {
        let scores = self.recipe.loss.scores();
        let step = self.prediction_step()?;
        let classes = match step.session.shape_of(step.values.output).dims() {
            [_, .., classes] => *classes,
            _ => 1,
        };
        if classes > 1 && scores.are_independent() {
            let value = format!("{classes}, each a yes or no of its own by the loss");
            let expected = "one class is that of one output, or of several that exclude each other: \
                            compare what `predict` gives with the threshold";
            return Err(Error::Argument { argument: "number of outputs", value, expected });
        }
        let class = |row: &[f32]| match row {
            &[score] => u32::from(score > scores.threshold()),
            _ => (1..row.len()).fold(0, |best, i| if row[i] > row[best] { i } else { best }) as u32,
        };
        let predictions = self.predict(data)?;
        Ok(predictions.data.chunks_exact(classes).map(class).collect())
    }
}

/// What a model says of samples: what [`Trainer::predict`] returns.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct Predictions {
    /// The shape of the output for one sample.
    pub shape: Shape,
    /// The outputs, sample by sample, each row-major.
    pub data: Vec<f32>,
}

impl Predictions {
    /// The number of samples.
    pub fn len(&self) -> usize {
        self.data.len() / self.shape.numel().max(1)
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.data.is_empty()
    }

    /// The output for one sample.
    pub fn get(&self, sample: usize) -> Option<&[f32]> {
        self.data.chunks_exact(self.shape.numel().max(1)).nth(sample)
    }
}

impl Step {
    fn set_weights_to_one(&mut self) -> Result<()> {
        let Some(weights) = self.values.weights else { return Ok(()) };
        self.session.write(weights, &vec![1.0f32; self.rows])
    }

    /// Lets the first `counted` samples of the batches to come count, and no others.
    fn set_counted(&mut self, counted: usize) -> Result<()> {
        let Some(mask) = self.values.mask else { return Ok(()) };
        let counts: Vec<f32> = (0..self.rows).map(|row| if row < counted { 1.0 } else { 0.0 }).collect();
        self.session.write(mask, &counts)
    }
}

impl Recipe {
    /// Refuses inputs of other shapes or dtypes than the model's.
    pub(super) fn check_inputs(&self, samples: &Samples<'_>) -> Result<()> {
        if samples.inputs.len() != self.inputs.len() {
            let value = format!("{} of samples", samples.inputs.len());
            return Err(Error::Argument { argument: "inputs", value, expected: "as many as the model has" });
        }
        for (index, (column, &shape)) in samples.inputs.iter().zip(&self.inputs).enumerate() {
            let what = "a sample and the model's input";
            check_column(column, shape, self.model.input_dtype(index), what)?;
        }
        Ok(())
    }
}

impl Step {
    /// Refuses targets of another shape or dtype than the loss's.
    pub(super) fn check_targets(&self, samples: &Samples<'_>) -> Result<()> {
        let Some(targets) = &samples.targets else {
            let value = "missing".to_owned();
            return Err(Error::Argument { argument: "targets", value, expected: "the loss needs them" });
        };
        let Some(ty) = self.values.targets.map(|value| self.session.type_of(value)) else { return Ok(()) };
        let found = TensorType { shape: targets.shape, dtype: targets.data.dtype() };
        let expected = of_sample(ty)?;
        if found.dtype == expected.dtype && wide(found.shape) == wide(expected.shape) {
            return Ok(());
        }
        let output = of_sample(self.session.type_of(self.values.output))?;
        Err(Error::TargetMismatch { types: Box::new([found, output, expected]) })
    }
}

/// The type without the batch.
fn of_sample(ty: TensorType) -> Result<TensorType> {
    let shape = Shape::new(ty.shape.dims().get(1..).unwrap_or_default())?;
    Ok(TensorType { shape, dtype: ty.dtype })
}

/// Dimensions of 1 do not matter: a number for each sample is a column of them.
fn wide(shape: Shape) -> Vec<usize> {
    shape.dims().iter().copied().filter(|&dim| dim != 1).collect()
}

fn check_column(column: &Column<'_>, shape: Shape, dtype: DType, what: &'static str) -> Result<()> {
    let found = column.data.dtype();
    if found != dtype {
        return Err(Error::DTypeMismatch { what: what.to_owned(), found, expected: dtype });
    }
    if wide(column.shape) != wide(shape) {
        return Err(Error::shape_mismatch(what, column.shape, shape));
    }
    Ok(())
}

/// Weights of samples from those of their classes, `limit` in all, times their own.
pub(super) fn sample_weights<'a>(
    samples: &'a Samples<'_>,
    classes: &[(u32, f32)],
    limit: u32,
) -> Result<Option<Cow<'a, [f32]>>> {
    let own = samples.weights.as_deref();
    if classes.is_empty() {
        return Ok(own.map(Cow::Borrowed));
    }
    if let Some((class, weight)) = classes.iter().find(|(_, weight)| !(weight.is_finite() && *weight >= 0.0))
    {
        let (value, expected) = (format!("{weight} for class {class}"), "finite and not negative");
        return Err(Error::Argument { argument: "class_weights", value, expected });
    }
    if let Some(index) = classes.iter().position(|&(class, _)| class >= limit) {
        let (name, label) = ("class_weights".to_owned(), classes[index].0);
        return Err(Error::LabelOutOfRange { name, index, label, limit });
    }
    let labels = labels(samples)?;
    let of_class = |label: &u32| classes.iter().find(|(class, _)| class == label).map_or(1.0, |&(_, w)| w);
    let weights = labels.iter().enumerate().map(|(i, label)| of_class(label) * own.map_or(1.0, |w| w[i]));
    Ok(Some(Cow::Owned(weights.collect())))
}

/// The class of each sample: its label, 0 or 1 of a single f32 target, the largest of a one-hot row.
fn labels<'a>(samples: &'a Samples<'_>) -> Result<Cow<'a, [u32]>> {
    let classes = samples.targets.as_ref().map(|targets| targets.shape.numel());
    match (samples.targets.as_ref().map(|targets| &targets.data), classes) {
        (Some(ColumnData::U32(labels)), Some(1)) => Ok(Cow::Borrowed(labels)),
        (Some(ColumnData::F32(targets)), Some(1)) if targets.iter().all(|&t| t == 0.0 || t == 1.0) => {
            Ok(Cow::Owned(targets.iter().map(|&t| t as u32).collect()))
        }
        (Some(ColumnData::F32(rows)), Some(classes)) if classes > 1 => {
            let class =
                |row: &[f32]| (1..row.len()).fold(0, |best, i| if row[i] > row[best] { i } else { best });
            Ok(Cow::Owned(rows.chunks_exact(classes).map(|row| class(row) as u32).collect()))
        }
        _ => {
            let value = "given for targets that are no classes".to_owned();
            let expected = "a label, 0 or 1, or a one-hot row for each sample";
            Err(Error::Argument { argument: "class_weights", value, expected })
        }
    }
}
