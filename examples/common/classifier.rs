//! What the examples that train a classifier share: where data comes from, and what they report.

use retape::data::{Dataset, TrainTest};
use retape::prelude::*;

use super::{Flags, Results, parameters_hash, round};

/// What belongs into MNIST's folder, and where it is to be had.
pub const MNIST: &str = "train-images-idx3-ubyte, train-labels-idx1-ubyte, t10k-images-idx3-ubyte and \
                         t10k-labels-idx1-ubyte (plain or .gz) of MNIST (https://ossci-datasets.s3.amazonaws.com/mnist)";

/// The same for CIFAR-10.
pub const CIFAR10: &str = "data_batch_1.bin to data_batch_5.bin and test_batch.bin of the binary version of \
                           CIFAR-10 (https://www.cs.toronto.edu/~kriz/cifar.html)";

impl Flags {
    /// The part of a data set that `--limit` leaves.
    pub fn limited(&self, TrainTest { train, test }: TrainTest) -> TrainTest {
        let limit = self.limit.unwrap_or(usize::MAX);
        let data = TrainTest { train: train.take(limit), test: test.take(limit) };
        println!("{} samples to learn from, {} to be judged by", data.train.len(), data.test.len());
        data
    }
}

/// 1,797 handwritten digits of 8 x 8 pixels (Alpaydin and Kaynak, UCI, 1998), in an order that the seed
/// decides; a fifth of them is set aside for testing.
pub fn bundled_digits(seed: u32) -> retape::Result<TrainTest> {
    let (records, _) = include_bytes!("../data/digits.bin").as_chunks::<65>();
    let inputs = records.iter().flat_map(|r| &r[..64]).map(|&pixel| f32::from(pixel) / 16.0).collect();
    let labels = records.iter().map(|r| u32::from(r[64])).collect();
    let [train, test] = Dataset::new([64], inputs, labels, 10)?.split([0.8, 0.2], seed)?;
    Ok(TrainTest { train, test })
}

/// MNIST, or the bundled digits where no data folder is named and none is there.
#[cfg(feature = "data")]
pub fn mnist_or_digits(flags: &Flags) -> Result<TrainTest, Box<dyn std::error::Error>> {
    if flags.names_data() || flags.download || flags.data_folder("mnist", MNIST).is_ok() {
        return flags.data_set("mnist", MNIST, |folder| data::mnist(folder));
    }
    println!("MNIST is not there: 1,797 digits of 8 x 8 pixels take its place");
    Ok(bundled_digits(flags.seed)?)
}

/// Judges a trained classifier by the test samples.
pub fn results(
    example: &str,
    trainer: &mut Trainer,
    data: &TrainTest,
    history: History,
) -> retape::Result<Results> {
    let score = trainer.evaluate(&data.test)?;
    let accuracy = score.get("accuracy").unwrap_or(f64::NAN);
    println!("{:.2} % of {} test samples are read correctly", 100.0 * accuracy, data.test.len());

    let mut results = Results::new(example, trainer.device());
    results.set("epochs", history.epochs.len());
    results.set("batch", trainer.batch_size());
    results.set("parameters", parameters(trainer.session())?);
    results.set("train_samples", data.train.len());
    results.set("test_samples", data.test.len());
    for (name, figure) in [("train_accuracy", "accuracy"), ("train_loss", "loss")] {
        if let Some(value) = history.last(figure) {
            results.set(name, round(value, 6));
        }
    }
    results.set("test_accuracy", round(accuracy, 6));
    results.set("test_loss", round(score.loss, 6));
    results.set("parameters_hash", parameters_hash(trainer.session())?);
    results.history(history);
    Ok(results)
}

/// How many numbers are trained.
pub fn parameters(session: &Session) -> retape::Result<usize> {
    session.parameter_names().iter().map(|name| Ok(session.parameter(name)?.len())).sum()
}
