//! How batches reach a step: gathered on the device from data that stays there, or uploaded one by
//! one while the device works on those before.

use std::sync::Weak;

use super::recipe::{Step, StepValues};
use crate::data::{Column, ColumnData, Samples};
use crate::dtype::DType;
use crate::error::{Error, Result};
use crate::executor::Device;
use crate::graph::{Graph, Init, Value};
use crate::random::Stream;
use crate::session::{Chain, Fed, Session, SessionOptions};
use crate::shape::Shape;
use crate::tape::Tape;

/// The stream that draws the order of an epoch.
const ORDER: u32 = 0x6f72_6465;

/// The columns of a data set in the order of a step's values: inputs, targets, weights.
fn columns<'a>(samples: &'a Samples<'_>) -> Vec<Column<'a>> {
    let given = samples.inputs.iter().chain(&samples.targets).map(|column| column.slice(0..samples.len()));
    let weights = samples.weights.as_deref();
    let shape = samples.weights_shape();
    given.chain(weights.map(|weights| Column::new(shape, weights))).collect()
}

/// The bytes of a column on a device.
fn bytes(column: &Column<'_>) -> u64 {
    4 * column.data.len() as u64
}

/// The bytes of a data set on a device.
pub(super) fn bytes_of(samples: &Samples<'_>) -> u64 {
    columns(samples).iter().map(bytes).sum()
}

/// Writes a column to a value.
fn write(session: &mut Session, value: Value, column: &Column<'_>) -> Result<()> {
    match &column.data {
        ColumnData::F32(data) => session.write(value, data),
        ColumnData::U32(data) => session.write(value, data),
    }
}

/// The values of a step that columns are written to, in their order.
fn destinations(values: &StepValues) -> Vec<Value> {
    values.inputs.iter().copied().chain(values.targets).chain(values.weights).collect()
}

/// The order of the samples in an epoch: drawn by seed and epoch, or as they are.
pub(super) fn epoch_order(samples: usize, shuffle: bool, seed: u32, epoch: usize) -> Vec<u32> {
    if !shuffle {
        return (0..samples as u32).collect();
    }
    let stream = Stream { seed, step: epoch as u32, stream: ORDER };
    stream.permutation(samples).into_iter().map(|i| i as u32).collect()
}

/// Brings batches of one data set into the steps of a trainer.
pub(super) struct Feed<'a> {
    pub samples: usize,
    /// How many weights a sample has.
    pub weights: usize,
    place: Place<'a>,
}

/// Where the data is.
enum Place<'a> {
    Resident(Resident),
    Streamed(Streamed<'a>),
}

impl<'a> Feed<'a> {
    /// A feed of `samples` in their order, on the device if they fit into `limit` bytes there and it has room.
    /// `step` is the one for whole batches.
    ///
    /// # Errors
    /// Labels and indices past the limits of the step's values, and targets that are not finite: what a
    /// session checks where it is written to.
    pub fn new(device: &Device, samples: &'a Samples<'_>, step: &Step, limit: u64) -> Result<Feed<'a>> {
        let columns = columns(samples);
        for (column, value) in columns.iter().zip(destinations(&step.values)) {
            match &column.data {
                ColumnData::F32(data) => step.session.check_data(value, data)?,
                ColumnData::U32(data) => step.session.check_data(value, data)?,
            }
        }
        let fits = device.profile().is_some_and(|profile| {
            let into_buffers = columns.iter().all(|column| bytes(column) <= profile.max_buffer_bytes);
            into_buffers && columns.iter().map(bytes).sum::<u64>() <= limit
        });
        let resident = fits.then(|| Resident::new(device, &columns, samples.len(), step));
        let place = Place::resident_or_streamed(resident, columns, step.rows)?;
        Ok(Feed { samples: samples.len(), weights: samples.weights_each(), place })
    }

    /// Takes up the order of the samples in the batches to come. Everything encoded before is
    /// submitted.
    pub fn set_order(&mut self, order: Vec<u32>, chain: &mut Chain) -> Result<()> {
        chain.submit()?;
        match &mut self.place {
            Place::Resident(resident) => resident.set_order(order)?,
            Place::Streamed(streamed) => streamed.order = order,
        }
        Ok(())
    }

    /// Brings batch `batch` of the order, counted in whole batches, into a step: as many samples as the
    /// step has rows, the last one of the order again where it ends.
    pub fn load(&mut self, step: &mut Step, batch: usize, chain: &mut Chain) -> Result<()> {
        match &mut self.place {
            Place::Resident(resident) => resident.load(step, batch, chain),
            Place::Streamed(streamed) => streamed.load(step, batch, chain),
        }
    }
}

impl<'a> Place<'a> {
    /// Data on the device, unless it does not fit there or that has run out of memory.
    fn resident_or_streamed(
        resident: Option<Result<Resident>>,
        columns: Vec<Column<'a>>,
        batch: usize,
    ) -> Result<Place<'a>> {
        match resident {
            None | Some(Err(Error::OutOfMemory { .. })) => {
                let order = (0..columns[0].len() as u32).collect();
                let batches = vec![Column::new([], Vec::<f32>::new()); columns.len()];
                Ok(Place::Streamed(Streamed { columns, order, batch, batches }))
            }
            Some(resident) => resident.map(Place::Resident),
        }
    }
}

/// Data on the device, with a tape that gathers batches from it.
struct Resident {
    device: Device,
    /// A gathering step for each step it fills, as long as that is there; the first one owns the data and
    /// stays.
    gathers: Vec<Gather>,
    columns: Vec<(Shape, DType)>,
    samples: usize,
    batch: usize,
}

struct Gather {
    /// The life of the step it was made for.
    step: Weak<Tape>,
    session: Session,
    data: Vec<Value>,
    order: Value,
}

impl Resident {
    fn new(device: &Device, columns: &[Column<'_>], samples: usize, step: &Step) -> Result<Resident> {
        let mut resident = Resident {
            device: device.clone(),
            gathers: Vec::new(),
            columns: columns.iter().map(|column| (column.shape, column.data.dtype())).collect(),
            samples,
            batch: step.rows,
        };
        let mut gather = resident.gather(step)?;
        for (column, &value) in columns.iter().zip(&gather.data) {
            write(&mut gather.session, value, column)?;
        }
        resident.gathers.push(gather);
        resident.set_order((0..samples as u32).collect())?;
        Ok(resident)
    }

    /// The most entries of an order: whole batches.
    fn longest(&self) -> usize {
        self.samples.next_multiple_of(self.batch)
    }

    /// The tape that fills the inputs of a step.
    fn gather(&self, step: &Step) -> Result<Gather> {
        let mut g = Graph::new();
        let order = g.indices("order", [self.longest()]);
        let mut columns = Vec::new();
        for (index, &(shape, dtype)) in self.columns.iter().enumerate() {
            let of = |count| Shape::new(&[&[count], shape.dims()].concat());
            let (whole, rows) = (of(self.samples)?, of(step.rows)?);
            let [batch, data] = ["batch", "data"].map(|name| format!("{name}_{index}"));
            columns.push(match dtype {
                DType::F32 | DType::F16 => (g.state(&batch, rows, Init::Zeros), g.input(&data, whole)),
                DType::U32 => (g.state_u32(&batch, rows), g.indices(&data, whole)),
            });
        }
        g.load_batches(&columns, order, self.batch as u32)?;
        let tape = g.forward([])?;
        let (batches, data): (Vec<Value>, Vec<Value>) = columns.into_iter().unzip();
        let into_step = batches.into_iter().zip(destinations(&step.values));
        let mut feeds: Vec<Fed<'_>> =
            into_step.map(|(own, theirs)| Fed { own, session: &step.session, theirs }).collect();
        if let Some(Gather { session, data: theirs, order: their_order, .. }) = self.gathers.first() {
            let pairs = data.iter().zip(theirs).chain([(&order, their_order)]);
            feeds.extend(pairs.map(|(&own, &theirs)| Fed { own, session, theirs }));
        }
        let session = tape.session_with(&self.device, SessionOptions::new().feed(&feeds))?;
        Ok(Gather { step: step.session.life(), session, data, order })
    }

    fn set_order(&mut self, mut order: Vec<u32>) -> Result<()> {
        let last = order.last().copied().unwrap_or(0);
        order.resize(self.longest(), last);
        let first = &mut self.gathers[0];
        first.session.write(first.order, &order)
    }

    fn load(&mut self, step: &Step, batch: usize, chain: &mut Chain) -> Result<()> {
        let life = step.session.life();
        let index = match self.gathers.iter().position(|gather| gather.step.ptr_eq(&life)) {
            Some(index) => index,
            None => {
                let gather = self.gather(step)?;
                let mut number = 0..;
                self.gathers.retain(|g| number.next() == Some(0) || g.step.strong_count() > 0);
                self.gathers.push(gather);
                self.gathers.len() - 1
            }
        };
        let gather = &mut self.gathers[index];
        gather.session.set_step(batch as u32);
        chain.step(&mut gather.session)
    }
}

/// Data on the host.
struct Streamed<'a> {
    columns: Vec<Column<'a>>,
    order: Vec<u32>,
    batch: usize,
    /// The rows of each column that were gathered last.
    batches: Vec<Column<'static>>,
}

impl Streamed<'_> {
    fn load(&mut self, step: &mut Step, batch: usize, chain: &mut Chain) -> Result<()> {
        // Gathered while the device is at work, then handed over behind the steps encoded so far.
        chain.submit()?;
        let last = self.order.len().saturating_sub(1);
        let row = |i: usize| self.order[(batch * self.batch + i).min(last)] as usize;
        let rows: Vec<usize> = (0..step.rows).map(row).collect();
        let columns = self.columns.iter().zip(&mut self.batches);
        for ((column, batch), value) in columns.zip(destinations(&step.values)) {
            column.gather(&rows, batch);
            write(&mut step.session, value, batch)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::nn::{Dense, Sequential};
    use crate::train::{Loss, Sgd, Trainer};

    #[test]
    fn data_that_the_device_has_no_room_for_is_streamed() {
        let samples = Samples::new().input([3], vec![0.0; 12]);
        let made = |error| Place::resident_or_streamed(Some(Err(error)), columns(&samples), 4);
        let full = Error::OutOfMemory { device: "gpu".to_owned(), bytes: 48 };
        assert!(matches!(made(full), Ok(Place::Streamed(_))));
        assert!(matches!(made(Error::NothingToTrain), Err(Error::NothingToTrain)));
    }

    #[test]
    fn what_filled_steps_that_are_gone_goes_too() {
        let device = Device::gpu().expect("these tests need a GPU adapter");
        let model = Sequential::new().add(Dense::new(2));
        let built = Trainer::new(model, [3]).loss(Loss::MeanSquaredError).optimizer(Sgd::new(0.1));
        let mut trainer = built.batch_size(4).build(&device).expect("a trainer");
        let inputs: Vec<f32> = (0..12).map(|i| i as f32).collect();
        let samples = Samples::new().input([3], inputs.clone()).target([2], vec![0.0; 8]);
        let mut feed = Feed::new(&device, &samples, &trainer.training[0].1, u64::MAX).expect("a feed");
        let mut chain = Chain::new(&device);
        feed.set_order(vec![3, 2, 1, 0], &mut chain).expect("an order");
        for _ in 0..4 {
            trainer.record_again().expect("the same steps");
            let step = &mut trainer.training[0].1;
            feed.load(step, 0, &mut chain).expect("a batch");
            chain.submit().expect("a submission");
            let batch = step.session.read(step.values.inputs[0]).expect("the inputs");
            let rows: Vec<f32> = inputs.chunks(3).rev().flatten().copied().collect();
            assert_eq!(batch, rows);
            let Place::Resident(resident) = &feed.place else { panic!("the data is on the device") };
            assert_eq!(resident.gathers.len(), 2);
        }
    }
}
