//! How many weights a network needs: the smallest are set to zero, more and more of them, and what is
//! left is trained on (Han et al., Learning both weights and connections for efficient neural networks,
//! NIPS 2015).
//!
//! It teaches magnitude pruning with and without fine-tuning, taking out whole units, which makes the
//! network smaller, and pruning that goes on while the network is trained.

mod common;

use std::process::ExitCode;

use common::classifier::{mnist_or_digits, parameters};
use common::{Example, Flags, Outcome, Results, round};
use retape::data::TrainTest;
#[cfg(feature = "plots")]
use retape::plot::{self, Panel};
use retape::prelude::*;
use retape::train::Weights;
use retape::train::pruning::{GradualPruning, Pruning, prune_units};
use serde_json::json;

const EXAMPLE: Example = Example {
    name: "pruning",
    about: "Takes weights and units out of a trained network, and shows what accuracy that costs.",
    unused: &[],
};

const EPOCHS: usize = 6;
const BATCH: usize = 32;
/// Images of each part, unless `--limit` says otherwise.
const IMAGES: usize = 4000;
/// The shares of weights that are pruned at once, and that of gradual pruning.
const SPARSITIES: [f64; 6] = [0.0, 0.5, 0.8, 0.9, 0.95, 0.98];
const GRADUAL: f64 = 0.95;
/// The share of units taken out.
const UNITS: f64 = 0.5;

/// Fully connected with 300 and 100 hidden units, as in the paper.
fn model() -> Sequential {
    Sequential::new()
        .add(Flatten)
        .add(Dense::new(300).activation(Activation::Relu))
        .add(Dense::new(100).activation(Activation::Relu))
        .add(Dense::new(10))
}

/// What every training here has in common.
struct Setting<'a> {
    device: &'a Device,
    data: &'a TrainTest,
    seed: u32,
    batch: usize,
    epochs: usize,
}

impl Setting<'_> {
    fn trainer(&self, model: Sequential) -> retape::Result<Trainer> {
        Trainer::new(model, self.data.input_shape())
            .loss(Loss::SparseCategoricalCrossEntropy)
            .optimizer(Adam::new(1e-3))
            .metrics([Metric::Accuracy])
            .batch_size(self.batch)
            .seed(self.seed)
            .build(self.device)
    }

    /// Epochs in which a pruned network adapts.
    fn fine_tuning(&self) -> usize {
        self.epochs.div_ceil(3)
    }

    fn accuracy(&self, trainer: &mut Trainer) -> retape::Result<f64> {
        Ok(trainer.evaluate(&self.data.test)?.get("accuracy").unwrap_or(f64::NAN))
    }

    /// The accuracy before and after the network has adapted.
    fn adapt(&self, trainer: &mut Trainer) -> retape::Result<[f64; 2]> {
        let before = self.accuracy(trainer)?;
        trainer.fit(&self.data.train, Fit::epochs(self.fine_tuning()))?;
        Ok([before, self.accuracy(trainer)?])
    }
}

/// A line of the table.
struct Row {
    method: &'static str,
    /// The share of weights that are zero or taken out.
    sparsity: f64,
    /// Weights and biases that are left.
    parameters: usize,
    at_once: Option<f64>,
    fine_tuned: f64,
}

fn main() -> ExitCode {
    EXAMPLE.run(run)
}

fn run(flags: &Flags) -> Outcome {
    let TrainTest { train, test } = mnist_or_digits(flags)?;
    let device = flags.open_device()?;
    let limit = flags.limit.unwrap_or(IMAGES);
    let data = TrainTest { train: train.take(limit), test: test.take(limit) };
    println!("{} images to learn from, {} to be judged by", data.train.len(), data.test.len());
    println!("{}", model().summary(data.input_shape())?);

    let batch = flags.batch_size(BATCH, data.train.len());
    let epochs = flags.epochs.unwrap_or(EPOCHS);
    let setting = Setting { device: &device, data: &data, seed: flags.seed, batch, epochs };
    let mut trainer = setting.trainer(model())?;
    let history = trainer.fit(&data.train, flags.fit(epochs).validation(&data.test))?;
    let weights = trainer.weights()?;
    let whole = trainer.evaluate(&data.test)?;

    let mut rows = Vec::new();
    heading();
    for sparsity in SPARSITIES {
        add(&mut rows, magnitude(&setting, &weights, sparsity)?);
    }
    add(&mut rows, units(&setting, &weights)?);
    add(&mut rows, gradual(&setting)?);
    println!();
    #[cfg(feature = "plots")]
    picture(flags, &rows);

    let mut results = Results::new(EXAMPLE.name, &device);
    results.set("epochs", history.epochs.len());
    results.set("fine_tuning_epochs", setting.fine_tuning());
    results.set("batch", batch);
    results.set("parameters", parameters(trainer.session())?);
    results.set("train_samples", data.train.len());
    results.set("test_samples", data.test.len());
    // Of the network that nothing is taken from; the rows have the others.
    results.set("test_accuracy", whole.get("accuracy").map(|accuracy| round(accuracy, 6)));
    results.set("test_loss", round(whole.loss, 6));
    results.set("rows", rows.iter().map(as_json).collect::<Vec<_>>());
    results.table(["method", "sparsity", "parameters", "at_once", "fine_tuned"], rows.iter().map(cells));
    Ok(results)
}

/// The smallest of all weights set to zero at once.
fn magnitude(setting: &Setting<'_>, weights: &Weights, sparsity: f64) -> retape::Result<Row> {
    let mut trainer = setting.trainer(model())?;
    trainer.set_weights(weights)?;
    let pruned = trainer.prune(&Pruning::global(sparsity))?;
    let [at_once, fine_tuned] = setting.adapt(&mut trainer)?;
    let zeros: usize = pruned.layers.iter().map(|layer| layer.zeros).sum();
    let parameters = parameters(trainer.session())? - zeros;
    Ok(Row { method: "magnitude", sparsity: pruned.share(), parameters, at_once: Some(at_once), fine_tuned })
}

/// The weakest half of the units of each hidden layer taken out: the network is smaller from then on.
fn units(setting: &Setting<'_>, weights: &Weights) -> retape::Result<Row> {
    let (smaller, kept) = prune_units(&model(), setting.data.input_shape(), weights, UNITS)?;
    let mut trainer = setting.trainer(smaller)?;
    trainer.set_weights(&kept)?;
    let [at_once, fine_tuned] = setting.adapt(&mut trainer)?;
    let count = |weights: &Weights| -> usize {
        weights.arrays.iter().filter(|a| a.shape.rank() > 1).map(|a| a.data.len()).sum()
    };
    let sparsity = 1.0 - count(&kept) as f64 / count(weights) as f64;
    let parameters = parameters(trainer.session())?;
    Ok(Row { method: "units", sparsity, parameters, at_once: Some(at_once), fine_tuned })
}

/// A new network that is pruned more and more while it is trained, for as long as the others were with
/// their fine-tuning, which is when pruning has ended.
fn gradual(setting: &Setting<'_>) -> retape::Result<Row> {
    let mut trainer = setting.trainer(model())?;
    let steps = setting.data.train.len().div_ceil(setting.batch);
    let (begin, end) = (setting.epochs.div_ceil(3) * steps, setting.epochs * steps);
    let every = (end - begin).div_ceil(20).max(1);
    let pruning = GradualPruning::new(Pruning::global(GRADUAL), begin as u32, end as u32).every(every as u32);
    let epochs = setting.epochs + setting.fine_tuning();
    trainer.fit(&setting.data.train, Fit::epochs(epochs).callback(pruning))?;
    let left = trainer.sparsity()?;
    let zeros: usize = left.layers.iter().map(|layer| layer.zeros).sum();
    let fine_tuned = setting.accuracy(&mut trainer)?;
    let parameters = parameters(trainer.session())? - zeros;
    Ok(Row { method: "gradual", sparsity: left.share(), parameters, at_once: None, fine_tuned })
}

fn heading() {
    println!("\n{:10}  sparsity  parameters left   at once  fine-tuned", "");
}

/// Prints a row, which is a while after the one before, and keeps it.
fn add(rows: &mut Vec<Row>, row: Row) {
    let percent = |share: f64| format!("{:.2} %", 100.0 * share);
    let at_once = row.at_once.map(percent).unwrap_or_default();
    println!(
        "{:10}  {:>8}  {:15}  {at_once:>8}  {:>10}",
        row.method,
        percent(row.sparsity),
        row.parameters,
        percent(row.fine_tuned)
    );
    rows.push(row);
}

fn as_json(row: &Row) -> serde_json::Value {
    json!({
        "method": row.method,
        "sparsity": round(row.sparsity, 6),
        "parameters": row.parameters,
        "accuracy": row.at_once.map(|accuracy| round(accuracy, 6)),
        "fine_tuned_accuracy": round(row.fine_tuned, 6),
    })
}

fn cells(row: &Row) -> [String; 5] {
    let at_once = row.at_once.map(|accuracy| accuracy.to_string()).unwrap_or_default();
    let (sparsity, fine_tuned) = (row.sparsity.to_string(), row.fine_tuned.to_string());
    [row.method.to_owned(), sparsity, row.parameters.to_string(), at_once, fine_tuned]
}

/// Accuracy against sparsity.
#[cfg(feature = "plots")]
fn picture(flags: &Flags, rows: &[Row]) {
    let of = |method: &'static str| rows.iter().filter(move |row| row.method == method);
    let fine_tuned = |row: &Row| (row.sparsity, row.fine_tuned);
    let at_once = of("magnitude").filter_map(|row| Some((row.sparsity, row.at_once?)));
    let panel = Panel::new("Accuracy of pruned networks")
        .axes("share of weights taken out", "accuracy on the test images")
        .line("the smallest set to zero", at_once)
        .line("and fine-tuned", of("magnitude").map(fine_tuned))
        .dots("half of the units, fine-tuned", of("units").map(fine_tuned))
        .dots("gradually", of("gradual").map(fine_tuned));
    flags.picture(EXAMPLE.name, |path| plot::panels(path, std::slice::from_ref(&panel)));
}
