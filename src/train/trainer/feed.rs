//! How batches reach a step: gathered on the device from data that stays there, or uploaded one by
//! one while the device works on those before.

use std::borrow::Cow;
use std::sync::Weak;

use super::recipe::{Step, StepValues};
use crate::data::{Column, ColumnData, Samples};
use crate::dtype::DType;
use crate::error::{Error, Result};
use crate::executor::Device;
use crate::graph::{Graph, Value};
use crate::random::Stream;
use crate::session::{Chain, Fed, Session, SessionOptions};
use crate::shape::Shape;
use crate::tape::Tape;

/// The stream that draws the order of an epoch.
const ORDER: u32 = 0x6f72_6465;

/// The columns of a data set in the order of a step's values: inputs, targets, weights.
pub(super) struct Columns<'a> {
    columns: Vec<Column<'a>>,
    samples: usize,
}

impl<'a> Columns<'a> {
    /// The columns of `samples`; `weights` stands for theirs.
    pub fn new(samples: &'a Samples<'_>, weights: Option<Cow<'a, [f32]>>) -> Self {
        let borrowed = |column: &'a Column<'_>| Column {
            shape: column.shape,
            data: match &column.data {
                ColumnData::F32(data) => ColumnData::F32(Cow::Borrowed(&data[..])),
                ColumnData::U32(data) => ColumnData::U32(Cow::Borrowed(&data[..])),
            },
        };
        let given = samples.inputs.iter().chain(&samples.targets).map(borrowed);
        let weights = weights.map(|data| Column { shape: Shape::from([]), data: ColumnData::F32(data) });
        Columns { columns: given.chain(weights).collect(), samples: samples.len() }
    }

    /// Refuses labels and indices past the limits of the step's values, and targets that are not
    /// finite: what a session checks where it is written to.
    pub fn check(&self, step: &Step) -> Result<()> {
        for (column, value) in self.columns.iter().zip(destinations(&step.values)) {
            match &column.data {
                ColumnData::F32(data) => step.session.check_data(value, data)?,
                ColumnData::U32(data) => step.session.check_data(value, data)?,
            }
        }
        Ok(())
    }

    pub fn bytes(&self) -> u64 {
        self.columns.iter().map(|c| 4 * (c.shape.numel() as u64) * self.samples as u64).sum()
    }

    /// Whether every column fits into a buffer of the device, and all together into `limit` bytes.
    fn fits(&self, device: &Device, limit: u64) -> bool {
        let Some(profile) = device.profile() else { return false };
        let largest = self.columns.iter().map(|c| 4 * (c.shape.numel() as u64) * self.samples as u64).max();
        self.bytes() <= limit && largest.unwrap_or(0) <= profile.max_buffer_bytes
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
pub(super) enum Feed<'a> {
    Resident(Resident),
    Streamed(Streamed<'a>),
}

impl<'a> Feed<'a> {
    /// A feed of `columns`, on the device if they fit into `limit` bytes there and it has room for them.
    /// `step` is the one for whole batches; an order has at most `longest` entries.
    pub fn new(
        device: &Device,
        columns: Columns<'a>,
        step: &Step,
        longest: usize,
        limit: u64,
    ) -> Result<Feed<'a>> {
        if columns.fits(device, limit) {
            let resident = Resident::new(device, &columns, step, longest);
            return Feed::resident_or_streamed(resident, columns, step.rows);
        }
        Ok(Feed::Streamed(Streamed::new(columns, step.rows)))
    }

    /// Data on the device, unless that has run out of memory.
    fn resident_or_streamed(
        resident: Result<Resident>,
        columns: Columns<'a>,
        batch: usize,
    ) -> Result<Feed<'a>> {
        match resident {
            Err(Error::OutOfMemory { .. }) => Ok(Feed::Streamed(Streamed::new(columns, batch))),
            resident => resident.map(Feed::Resident),
        }
    }

    /// Takes up the order of the samples in the batches to come. Everything encoded before is
    /// submitted.
    pub fn set_order(&mut self, order: Vec<u32>, chain: &mut Chain) -> Result<()> {
        chain.submit()?;
        match self {
            Feed::Resident(resident) => resident.set_order(order),
            Feed::Streamed(streamed) => {
                streamed.order = order;
                Ok(())
            }
        }
    }

    /// Brings batch `batch` of the order, counted in whole batches, into a step: as many samples as the
    /// step has rows, the last one of the order again where it ends.
    pub fn load(&mut self, device: &Device, step: &mut Step, batch: usize, chain: &mut Chain) -> Result<()> {
        match self {
            Feed::Resident(resident) => resident.load(device, step, batch, chain),
            Feed::Streamed(streamed) => streamed.load(step, batch, chain),
        }
    }
}

/// Data on the device, with a tape that gathers batches from it.
pub(super) struct Resident {
    /// A gathering step for each step it fills, as long as that is there; the first one owns the data and
    /// stays.
    gathers: Vec<Gather>,
    columns: Vec<(Shape, DType)>,
    samples: usize,
    batch: usize,
    longest: usize,
}

struct Gather {
    /// The first value of the step it was made for, which no other step has.
    into: Option<Value>,
    /// The life of that step.
    step: Weak<Tape>,
    session: Session,
    data: Vec<Value>,
    order: Value,
}

impl Resident {
    fn new(device: &Device, columns: &Columns<'_>, step: &Step, longest: usize) -> Result<Resident> {
        let dtype = |column: &Column<'_>| match column.data {
            ColumnData::F32(_) => DType::F32,
            ColumnData::U32(_) => DType::U32,
        };
        let types = columns.columns.iter().map(|c| (c.shape, dtype(c))).collect();
        let mut resident = Resident {
            gathers: Vec::new(),
            columns: types,
            samples: columns.samples,
            batch: step.rows,
            longest,
        };
        let mut gather = resident.gather(device, step)?;
        for (column, &value) in columns.columns.iter().zip(&gather.data) {
            match &column.data {
                ColumnData::F32(data) => gather.session.write(value, data)?,
                ColumnData::U32(data) => gather.session.write(value, data)?,
            }
        }
        resident.gathers.push(gather);
        Ok(resident)
    }

    /// The tape that fills the inputs of a step.
    fn gather(&self, device: &Device, step: &Step) -> Result<Gather> {
        let mut g = Graph::new();
        let order = g.indices("order", [self.longest]);
        let into = destinations(&step.values);
        let (mut data, mut batches) = (Vec::new(), Vec::new());
        for (index, &(shape, dtype)) in self.columns.iter().enumerate() {
            let with = |count: usize| {
                Shape::new(&std::iter::once(count).chain(shape.dims().iter().copied()).collect::<Vec<_>>())
            };
            let name = format!("data_{index}");
            let column = match dtype {
                DType::F32 => g.input(&name, with(self.samples)?),
                DType::U32 => g.indices(&name, with(self.samples)?),
            };
            let name = format!("batch_{index}");
            let batch = match dtype {
                DType::F32 => g.state(&name, with(step.rows)?, crate::graph::Init::Zeros),
                DType::U32 => g.state_u32(&name, with(step.rows)?),
            };
            data.push(column);
            batches.push(batch);
        }
        let columns: Vec<_> = batches.iter().copied().zip(data.iter().copied()).collect();
        g.load_batches(&columns, order, self.batch as u32)?;
        let tape = g.forward([])?;
        let into_step =
            batches.iter().zip(&into).map(|(&own, &theirs)| Fed { own, session: &step.session, theirs });
        let from_first = self.gathers.first().into_iter().flat_map(|first| {
            let theirs = first.data.iter().copied().chain([first.order]);
            let own = data.iter().copied().chain([order]);
            own.zip(theirs).map(|(own, theirs)| Fed { own, session: &first.session, theirs })
        });
        let feeds: Vec<Fed<'_>> = into_step.chain(from_first).collect();
        let session = tape.session_with(device, SessionOptions::new().feed(&feeds))?;
        let into = into.first().copied();
        Ok(Gather { into, step: step.session.life(), session, data, order })
    }

    fn set_order(&mut self, mut order: Vec<u32>) -> Result<()> {
        let last = order.last().copied().unwrap_or(0);
        order.resize(self.longest, last);
        let first = &mut self.gathers[0];
        first.session.write(first.order, &order)
    }

    fn load(&mut self, device: &Device, step: &Step, batch: usize, chain: &mut Chain) -> Result<()> {
        let into = step.values.inputs.first().copied();
        let known = self.gathers.iter().position(|g| g.into == into);
        let index = match known {
            Some(index) => index,
            None => {
                let gather = self.gather(device, step)?;
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
pub(super) struct Streamed<'a> {
    columns: Columns<'a>,
    order: Vec<u32>,
    batch: usize,
    f32s: Vec<f32>,
    u32s: Vec<u32>,
}

impl<'a> Streamed<'a> {
    fn new(columns: Columns<'a>, batch: usize) -> Streamed<'a> {
        Streamed { columns, order: Vec::new(), batch, f32s: Vec::new(), u32s: Vec::new() }
    }

    fn load(&mut self, step: &mut Step, batch: usize, chain: &mut Chain) -> Result<()> {
        // Gathered while the device is at work, then handed over behind the steps encoded so far.
        chain.submit()?;
        let last = self.order.len().saturating_sub(1);
        let order = &self.order;
        let rows = (0..step.rows).map(|i| order[(batch * self.batch + i).min(last)] as usize);
        for (column, value) in self.columns.columns.iter().zip(destinations(&step.values)) {
            let size = column.shape.numel();
            match &column.data {
                ColumnData::F32(data) => {
                    gather_rows(data, size, rows.clone(), &mut self.f32s);
                    step.session.write(value, &self.f32s)?;
                }
                ColumnData::U32(data) => {
                    gather_rows(data, size, rows.clone(), &mut self.u32s);
                    step.session.write(value, &self.u32s)?;
                }
            }
        }
        Ok(())
    }
}

fn gather_rows<T: Copy>(data: &[T], size: usize, rows: impl Iterator<Item = usize>, into: &mut Vec<T>) {
    into.clear();
    for row in rows {
        into.extend_from_slice(&data[row * size..][..size]);
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
        let made = |error| Feed::resident_or_streamed(Err(error), Columns::new(&samples, None), 4);
        let full = Error::OutOfMemory { device: "gpu".to_owned(), bytes: 48 };
        assert!(matches!(made(full), Ok(Feed::Streamed(_))));
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
        let columns = Columns::new(&samples, None);
        let mut feed = Feed::new(&device, columns, &trainer.training[0].1, 4, u64::MAX).expect("a feed");
        let mut chain = Chain::new(&device);
        feed.set_order(vec![3, 2, 1, 0], &mut chain).expect("an order");
        for _ in 0..4 {
            trainer.record_again().expect("the same steps");
            let step = &mut trainer.training[0].1;
            feed.load(&device, step, 0, &mut chain).expect("a batch");
            chain.submit().expect("a submission");
            let batch = step.session.read(step.values.inputs[0]).expect("the inputs");
            let rows: Vec<f32> = inputs.chunks(3).rev().flatten().copied().collect();
            assert_eq!(batch, rows);
            let Feed::Resident(resident) = &feed else { panic!("the data is on the device") };
            assert_eq!(resident.gathers.len(), 2);
        }
    }
}
