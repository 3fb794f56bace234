use std::borrow::Cow;
use std::fmt;
use std::sync::Weak;

use super::Trainer;
use super::feed::Feed;
use super::recipe::{Recipe, Step};
use crate::data::{Column, ColumnData, Samples};
use crate::dtype::DType;
use crate::error::{Error, Result};
use crate::graph::Value;
use crate::session::Chain;
use crate::shape::{Shape, TensorType};
use crate::tape::Tape;
use crate::train::{Logs, Scores};

/// Loss and metrics over a data set: what [`Trainer::evaluate`] returns. Shown as a line, with a table below
/// it for each confusion matrix.
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
        fmt::Display::fmt(&self.logs, f)?;
        self.logs
            .matrices()
            .try_for_each(|(name, matrix)| write!(f, "\n\n{}\n{matrix}", name.replace('_', " ")))
    }
}

/// What is recorded beside the training.
#[derive(Clone, Copy, Debug)]
enum Stage {
    /// Of samples with so many weights each, at least one.
    Evaluation(usize),
    Prediction,
    Update,
}

impl Stage {
    /// Its place among those beside the training.
    fn index(self) -> usize {
        match self {
            Stage::Evaluation(_) => 0,
            Stage::Prediction => 1,
            Stage::Update => 2,
        }
    }
}

/// An evaluation under way. Its step is its own: what is called between two batches may evaluate too.
pub(super) struct Judging {
    step: Step,
    pub chain: Chain,
    /// The next batch.
    next: usize,
    samples: usize,
    /// The life of the training's session.
    training: Weak<Tape>,
}

impl Judging {
    /// Adds the next batch to the chain; says whether there was one, and submits after the last.
    pub fn step(&mut self, feed: &mut Feed<'_>) -> Result<bool> {
        let Judging { step, chain, next, samples, .. } = self;
        let (rows, done) = (step.rows, *next * step.rows);
        if done >= *samples {
            return chain.submit().map(|()| false);
        }
        let counted = rows.min(*samples - done);
        if counted < rows {
            chain.submit()?;
            step.write_ones(step.values.mask, counted)?;
        }
        feed.load(step, *next, chain)?;
        chain.step(&mut step.session)?;
        *next += 1;
        Ok(true)
    }

    /// Waits for what is submitted.
    pub fn wait(&self) -> Result<()> {
        let total = self.step.sums()?.total;
        self.step.session.read_f64(total).map(drop)
    }
}

impl Trainer {
    /// Loss and metrics over all samples, with the model as it is in use: no dropout, running
    /// statistics. The loss is weighted as the samples are; penalties of weights are not part of it, as they
    /// are in Keras: it says how well the model does, whatever was asked of its weights. Steps of padding are
    /// left out of both, as [`fit`](Trainer::fit) has it.
    ///
    /// # Errors
    /// As [`fit`](Trainer::fit).
    pub fn evaluate<'a>(&mut self, data: impl Into<Samples<'a>>) -> Result<Evaluation> {
        let data = data.into();
        self.agree_in_classes("data to evaluate", &data)?;
        let samples = self.samples(data)?;
        let mut feed = self.judge(&samples, 0)?;
        let mut judging = self.begin_judging(&feed)?;
        while judging.step(&mut feed)? {}
        let logs = self.end_judging(judging, Some(""))?;
        Ok(Evaluation { loss: logs.get("loss").unwrap_or(f64::NAN), logs })
    }

    /// Samples that the model and the loss take. u32 labels 0 and 1 become the numbers that a loss of yes or no
    /// has for targets.
    pub(super) fn samples<'a>(&self, data: impl Into<Samples<'a>>) -> Result<Samples<'a>> {
        let mut samples = data.into();
        let expected = self.main().values.targets.map(|value| of_sample(self.session().type_of(value)));
        if let (Some(expected), Some(targets)) = (expected.transpose()?, &mut samples.targets)
            && let ColumnData::U32(labels) = &targets.data
            && expected.dtype == DType::F32
            && self.recipe.loss.scores().are_independent()
            && wide(targets.shape) == wide(expected.shape)
        {
            if let Some(index) = labels.iter().position(|&label| label > 1) {
                let (name, label) = ("targets".to_owned(), labels[index]);
                return Err(Error::LabelOutOfRange { name, index, label, limit: 2 });
            }
            let numbers: Vec<f32> = labels.iter().map(|&label| label as f32).collect();
            *targets = Column::new(expected.shape, numbers);
        }
        self.check(&samples)?;
        Ok(samples)
    }

    /// Gets a data set that was [taken](Trainer::samples) ready for [`begin_judging`](Trainer::begin_judging).
    pub(super) fn judge<'a>(&mut self, samples: &'a Samples<'_>, limit: u64) -> Result<Feed<'a>> {
        let device = self.device.clone();
        let stage = Stage::Evaluation(samples.weights_each().max(1));
        Feed::new(&device, samples, self.beside_training(stage)?, limit)
    }

    /// Begins the evaluation of a feed that [`judge`](Trainer::judge) made.
    pub(super) fn begin_judging(&mut self, feed: &Feed<'_>) -> Result<Judging> {
        let chain = Chain::new(&self.device);
        let stage = Stage::Evaluation(feed.weights.max(1));
        self.beside_training(stage)?;
        let mut step = self.beside[stage.index()].take().ok_or(Error::ForeignValue)?;
        step.reset_sums()?;
        let (rows, mask) = (step.rows, step.values.mask);
        // Whether a sample counts is not a column: it is written with each size of a batch.
        step.write_ones(mask, rows)?;
        if feed.weights == 0 {
            step.write_ones(step.values.weights, rows)?;
        }
        let training = self.session().life();
        Ok(Judging { step, chain, next: 0, samples: feed.samples, training })
    }

    /// Ends an evaluation: its figures, unless they are of no interest.
    pub(super) fn end_judging(&mut self, judging: Judging, prefix: Option<&str>) -> Result<Logs> {
        let Judging { step, samples, training, .. } = judging;
        let logs = prefix.map_or_else(|| Ok(Logs::new()), |prefix| step.logs(samples, prefix))?;
        // It may have been recorded for a model that is another one now.
        if self.session().life().ptr_eq(&training) {
            self.beside[Stage::Evaluation(1).index()] = Some(step);
        }
        Ok(logs)
    }

    /// A step over the parameters of the training, recorded when it is first asked for.
    fn beside_training(&mut self, stage: Stage) -> Result<&mut Step> {
        let fits = |step: &Step| match stage {
            Stage::Evaluation(weights) => step.weights_each() == weights,
            Stage::Prediction | Stage::Update => true,
        };
        let index = stage.index();
        let step = match self.beside[index].take().filter(fits) {
            Some(step) => step,
            None => {
                let recorded = match stage {
                    Stage::Evaluation(weights) => self.recipe.evaluation(self.batch, weights)?,
                    Stage::Prediction => self.recipe.prediction(self.batch)?,
                    Stage::Update => self.recipe.update(self.training[0].0)?,
                };
                self.on_device(recorded, self.batch, &[self.session()])?
            }
        };
        let step = self.beside[index].insert(step);
        step.session.scalars.adopt(&self.training[0].1.session.scalars);
        Ok(step)
    }

    /// The step of an update alone, told how far training is.
    pub(super) fn update_step(&mut self) -> Result<&mut Step> {
        self.beside_training(Stage::Update)?;
        let step = self.beside[Stage::Update.index()].as_mut().ok_or(Error::ForeignValue)?;
        step.take_up(&self.rates, [self.steps, self.updates, self.optimizer_updates], self.window);
        Ok(step)
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
        let device = self.device.clone();
        let mut chain = Chain::new(&device);
        let step = self.beside_training(Stage::Prediction)?;
        let mut feed = Feed::new(&device, &samples, step, 0)?;
        let count = samples.len();
        let shape = of_sample(step.session.type_of(step.values.output))?.shape;
        let mut data = Vec::with_capacity(count * shape.numel());
        for batch in 0..count.div_ceil(step.rows) {
            feed.load(step, batch, &mut chain)?;
            chain.step(&mut step.session)?;
            chain.submit()?;
            data.extend(step.session.read(step.values.output)?);
        }
        data.truncate(count * shape.numel());
        Ok(Predictions { shape, data })
    }

    /// The class that each sample is taken for: that of the largest output, the first of equal ones, a NaN
    /// being the largest as in [`argmax`](crate::Graph::argmax); for a model of one output, whether it is above the threshold of the loss.
    ///
    /// # Errors
    /// As [`predict`](Trainer::predict); [`Error::Argument`] for several outputs that are each a yes or no
    /// of their own ([`Scores::are_independent`](crate::train::Scores::are_independent)), which make no one
    /// class: their predictions are those above [`Scores::threshold`](crate::train::Scores::threshold).
    pub fn predict_classes<'a>(&mut self, data: impl Into<Samples<'a>>) -> Result<Vec<u32>> {
        let scores = self.recipe.loss.scores();
        let classes = self.beside_training(Stage::Prediction)?.scores();
        if classes > 1 && scores.are_independent() {
            let value = format!("{classes}, each a yes or no of its own by the loss");
            let expected = "one class is that of one output, or of several that exclude each other: \
                            compare what `predict` gives with the threshold";
            return Err(Error::argument("number of outputs", value, expected));
        }
        let class = |row: &[f32]| match row {
            &[score] => u32::from(score > scores.threshold()),
            _ => largest(row),
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

impl Recipe {
    /// Refuses inputs of other shapes or dtypes than the model's.
    pub(super) fn check_inputs(&self, samples: &Samples<'_>) -> Result<()> {
        if samples.inputs.len() != self.inputs.len() {
            let value = format!("{} of samples", samples.inputs.len());
            return Err(Error::argument("inputs", value, "as many as the model has"));
        }
        for (index, (column, &shape)) in samples.inputs.iter().zip(&self.inputs).enumerate() {
            let what = "a sample and the model's input";
            let (found, expected) = (column.data.dtype(), self.model.input_dtype(index));
            if found != expected {
                return Err(Error::DTypeMismatch { what: what.to_owned(), found, expected });
            }
            Error::agree(wide(column.shape) == wide(shape), what, column.shape, shape)?;
        }
        Ok(())
    }
}

impl Step {
    /// The numbers of the last axis of the output, one score each; 1 where there is none beside the batch.
    pub(super) fn scores(&self) -> usize {
        let output = self.session.shape_of(self.values.output);
        output.dims().get(1..).and_then(<[usize]>::last).copied().unwrap_or(1)
    }

    /// The shape of the output, with an axis of one score for each step of `[batch, time]` with padding.
    pub(super) fn rows_of_scores(&self) -> Result<Shape> {
        let output = self.session.shape_of(self.values.output);
        let one_each = self.values.steps.is_some() && output.rank() == 2;
        if one_each { Shape::new(&[output.dims(), &[1]].concat()) } else { Ok(output) }
    }

    /// Writes 1 for the first `count` samples of the batches to come, and 0 for the others.
    fn write_ones(&mut self, to: Option<Value>, count: usize) -> Result<()> {
        let Some(to) = to else { return Ok(()) };
        let ones: Vec<f32> = (0..self.rows).map(|row| if row < count { 1.0 } else { 0.0 }).collect();
        self.session.write(to, &ones)
    }

    /// How many weights it takes of each sample.
    fn weights_each(&self) -> usize {
        self.values.weights.map_or(0, |weights| self.session.shape_of(weights).numel() / self.rows)
    }

    /// Refuses weights of steps where there are none, or others.
    pub(super) fn check_weights(&self, samples: &Samples<'_>) -> Result<()> {
        let (weights, output) = (samples.weights_each(), self.session.shape_of(self.values.output));
        let has_steps = self.values.steps.is_some() || output.rank() > 2;
        let fits = weights <= 1 || (has_steps && output.dims()[1] == weights);
        let what = "a sample has one weight, or one for each step of an output [batch, time, ..]";
        let found = Shape::from([samples.len(), weights]);
        Error::agree(fits, what, found, output.with_dim(0, samples.len()))
    }

    /// Refuses targets of another shape or dtype than the loss's.
    pub(super) fn check_targets(&self, samples: &Samples<'_>) -> Result<()> {
        let Some(targets) = &samples.targets else {
            return Err(Error::argument("targets", "missing", "the loss needs them"));
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

/// The index of the largest of these, the first of equal ones; a NaN is the largest.
fn largest(row: &[f32]) -> u32 {
    let exceeds = |a: f32, b: f32| a > b || (a.is_nan() && !b.is_nan());
    (1..row.len()).fold(0, |best, i| if exceeds(row[i], row[best]) { i } else { best }) as u32
}

/// Multiplies the weights of samples, or of their steps, with those of their classes; `output` is the shape of the
/// model's, and `scores` are what the loss takes it for.
pub(super) fn weigh_classes(
    samples: &mut Samples<'_>,
    classes: &[(u32, f32)],
    output: Shape,
    scores: Scores,
) -> Result<()> {
    if classes.is_empty() {
        return Ok(());
    }
    if let Some((class, weight)) = classes.iter().find(|(_, weight)| !(weight.is_finite() && *weight >= 0.0))
    {
        let value = format!("{weight} for class {class}");
        return Err(Error::argument("class_weights", value, "finite and not negative"));
    }
    let limit = output.dims().get(1..).and_then(<[usize]>::last).map_or(2, |&scores| scores.max(2));
    if let Some(index) = classes.iter().position(|&(class, _)| class as usize >= limit) {
        let (name, label, limit) = ("class_weights".to_owned(), classes[index].0, limit as u32);
        return Err(Error::LabelOutOfRange { name, index, label, limit });
    }
    let labels = labels(samples, output, scores)?;
    let of_class = |label: &u32| classes.iter().find(|(class, _)| class == label).map_or(1.0, |&(_, w)| w);
    let own = samples.weights.as_deref().unwrap_or_default();
    let count = labels.len().max(own.len());
    // A label for each sample beside weights of steps, or the other way round, goes for all steps.
    let weight = |i: usize| {
        let own = if own.is_empty() { 1.0 } else { own[i / (count / own.len())] };
        own * of_class(&labels[i / (count / labels.len())])
    };
    let weights = (0..if labels.is_empty() { 0 } else { count }).map(weight).collect();
    samples.weights = Some(weights);
    Ok(())
}

/// What stands for no class.
const NO_CLASS: u32 = u32::MAX;

/// The class of each sample, or of each step of outputs `[batch, time, classes]`: its label, 0 or 1 of a single f32
/// target, the 1 of a one-hot row, or the largest of a row of shares where the loss takes one class to a sample.
fn labels<'a>(samples: &'a Samples<'_>, output: Shape, scores: Scores) -> Result<Cow<'a, [u32]>> {
    let Some(targets) = &samples.targets else { return Ok(Cow::Borrowed(&[])) };
    let time = if output.rank() == 3 { output.dims()[1] } else { 1 };
    let of_classes = matches!(scores, Scores::Logits | Scores::Probabilities);
    let has_class = |row: &[f32]| match row {
        &[number] => number == 0.0 || number == 1.0,
        row => {
            let sum: f32 = row.iter().sum();
            let is_share = |&x: &f32| x >= 0.0 && (of_classes || x == 0.0 || x == 1.0);
            let is_filler = time > 1 && of_classes && sum == 0.0;
            row.iter().all(is_share) && ((sum - 1.0).abs() <= 1e-3 || is_filler)
        }
    };
    let refused = |about: String| {
        let expected = "they need a label, 0 or 1, or a one-hot row for each sample, or for each step of outputs \
                        [batch, time, classes]; others are weighted by `Samples::weights`";
        Err(Error::argument(
            "class_weights",
            format!("given for targets that are no classes: {about}"),
            expected,
        ))
    };
    let classes = match (targets.data.dtype(), targets.shape.numel()) {
        (_, numbers) if numbers == time => 1,
        (DType::F32, numbers) if Some(&(numbers / time)) == output.dims().last() => numbers / time,
        _ => return refused(format!("a sample has {}", targets.shape)),
    };
    let rows = match &targets.data {
        ColumnData::U32(labels) => return Ok(Cow::Borrowed(labels)),
        ColumnData::F32(rows) => rows.chunks_exact(classes),
    };
    if let Some((index, row)) = rows.clone().enumerate().find(|(_, row)| !has_class(row)) {
        let step = if time > 1 { format!("step {} of ", index % time) } else { String::new() };
        return refused(format!("{step}sample {} has {:?}", index / time, &row[..row.len().min(8)]));
    }
    Ok(rows
        .map(|row| match row {
            &[number] => number as u32,
            row if row.iter().all(|&share| share == 0.0) => NO_CLASS,
            row => largest(row),
        })
        .collect())
}

#[cfg(test)]
mod tests {
    use super::largest;

    #[test]
    fn the_first_nan_is_the_largest() {
        let nan = f32::NAN;
        let rows = [[1.0, nan, 2.0], [nan, f32::INFINITY, nan], [3.0, 3.0, 1.0], [1.0, f32::INFINITY, -nan]];
        assert_eq!(rows.map(|row| largest(&row)), [1, 0, 0, 2]);
    }
}
