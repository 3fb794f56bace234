//! Batches from data that stays on the device: which rows they hold, on data and batches larger
//! than a binding, and what is refused.

use crate::common;
use retape::prelude::*;
use retape::tape::{DeviceProfile, Plan};
use retape::testing::*;
use retape::{Error, Result};

const N: usize = 23;
const ROWS: usize = 6;

/// A loader of samples of `inner` elements, f32 and u32, by an order of `m`.
struct Loader {
    tape: Tape,
    images: [Value; 2],
    words: [Value; 2],
    order: Value,
}

fn loader(inner: usize, m: usize, stride: u32) -> Result<Loader> {
    let mut g = Graph::new();
    let order = g.indices("order", [m]);
    let images = [g.state("batch", [ROWS, inner], Init::Ones), g.input("data", [N, inner])];
    let words = [g.state_u32("words", [ROWS, inner]), g.indices("all words", [N, inner])];
    g.load_batch(images[0], images[1], order, stride)?;
    g.load_batch(words[0], words[1], order, stride)?;
    Ok(Loader { tape: g.forward(Vec::new())?, images, words, order })
}

impl Loader {
    /// Writes data of which every element names its place.
    fn fill(&self, session: &mut Session, inner: usize, order: &[u32]) -> Result<()> {
        let numbers: Vec<f32> = (0..N * inner).map(|e| e as f32 + 0.5).collect();
        let words: Vec<u32> = (0..N * inner).map(|e| e as u32).collect();
        session.write(self.images[1], &numbers)?;
        session.write(self.words[1], &words)?;
        session.write(self.order, order)
    }

    /// Checks the batch that step `step` loaded.
    fn check(&self, session: &Session, inner: usize, order: &[u32], first: usize) -> Result<()> {
        let row = |i: usize| order[(first + i).min(order.len() - 1)] as usize;
        let want: Vec<u32> = (0..ROWS * inner).map(|e| (row(e / inner) * inner + e % inner) as u32).collect();
        assert_eq!(session.read_u32(self.words[0])?, want, "{inner} {first}");
        let want: Vec<f32> = want.into_iter().map(|w| w as f32 + 0.5).collect();
        assert_eq!(session.read(self.images[0])?, want, "{inner} {first}");
        Ok(())
    }
}

fn order(m: usize) -> Vec<u32> {
    (0..m as u32).map(|i| (i * 5 + 2) % N as u32).collect()
}

#[test]
fn an_epoch_goes_through_the_order_once() -> Result<()> {
    for device in [Device::reference(), Device::cpu(), common::gpu().clone()] {
        for inner in [1, 3, 4, 31, 32, 33, 784, 1025, 2056] {
            // Orders that end with a batch, within one, and before the first one does.
            for m in [4 * ROWS, 2 * ROWS + 1, ROWS - 2, 1] {
                let order = order(m);
                let loader = loader(inner, m, ROWS as u32)?;
                let mut session = loader.tape.session_with(&device, guarded(SessionOptions::new()))?;
                poison(&session);
                loader.fill(&mut session, inner, &order)?;
                for step in 0..4 {
                    session.replay()?;
                    loader.check(&session, inner, &order, step * ROWS)?;
                }
                session.set_step(1);
                session.replay()?;
                loader.check(&session, inner, &order, ROWS)?;
                assert!(broken_guards(&session)?.is_empty());
            }
        }
    }
    Ok(())
}

/// Images, labels and weights in one go: what single columns get, in fewer dispatches.
#[test]
fn columns_loaded_together_have_the_same_rows() -> Result<()> {
    // The bytes of a binding, and the dispatches that it comes to: for a long row and two columns of words
    // beside it, short rows and those; rows in three ranges take two dispatches, of which each moves words;
    // where the batch is in three ranges too, words go alone.
    for (inner, limit, dispatches) in [
        (33, 1 << 20, 2),
        (784, 1 << 20, 2),
        (31, 1 << 20, 3),
        (784, 32_768, 2),
        (784, 24_832, 2),
        (784, 8_192, 20),
    ] {
        let mut g = Graph::new();
        let order_in = g.indices("order", [20]);
        let images = (g.state("images", [ROWS, inner], Init::Ones), g.input("all images", [N, inner]));
        let labels = (g.state_u32("labels", [ROWS]), g.indices("all labels", [N]));
        let weights = (g.state("weights", [ROWS], Init::Ones), g.input("all weights", [N]));
        g.load_batches(&[weights, images, labels], order_in, ROWS as u32)?;
        let tape = g.forward(Vec::new())?;
        let plan = narrow(&tape, limit)?;
        assert_eq!(plan.dispatches.len(), dispatches, "{inner} {limit}: {plan}");
        let options = guarded(SessionOptions::new());
        let gpu = session_with_plan(&tape, common::gpu(), plan, options)?;
        for mut session in [tape.session(&Device::reference())?, gpu] {
            poison(&session);
            let order = order(20);
            session.write(order_in, &order)?;
            session.write(images.1, &(0..N * inner).map(|e| e as f32).collect::<Vec<_>>())?;
            session.write(labels.1, &(0..N as u32).map(|i| 100 + i).collect::<Vec<_>>())?;
            session.write(weights.1, &(0..N).map(|i| 0.5 + i as f32).collect::<Vec<_>>())?;
            for step in 0..4 {
                session.replay()?;
                let rows: Vec<u32> = (0..ROWS).map(|i| order[(step * ROWS + i).min(19)]).collect();
                let pixel = |e: usize| (rows[e / inner] as usize * inner + e % inner) as f32;
                let want: Vec<f32> = (0..ROWS * inner).map(pixel).collect();
                assert_eq!(session.read(images.0)?, want, "{inner} {limit}");
                let want: Vec<u32> = rows.iter().map(|row| 100 + row).collect();
                assert_eq!(session.read_u32(labels.0)?, want, "{inner} {limit}");
                let want: Vec<f32> = rows.iter().map(|&row| 0.5 + row as f32).collect();
                assert_eq!(session.read(weights.0)?, want, "{inner} {limit}");
            }
            assert!(broken_guards(&session)?.is_empty());
        }
    }
    Ok(())
}

/// A grid tells the rows of a batch apart, and has 65,535 places a dimension.
#[test]
fn batches_have_more_rows_than_a_grid_is_long() -> Result<()> {
    const MANY: usize = 65_537;
    for inner in [32, 33] {
        let mut g = Graph::new();
        let (data, order) = (g.indices("data", [N, inner]), g.indices("order", [MANY]));
        let batch = g.state_u32("batch", [MANY, inner]);
        g.load_batch(batch, data, order, MANY as u32)?;
        let mut session = g.forward(Vec::new())?.session(common::gpu())?;
        let words: Vec<u32> = (0..(N * inner) as u32).collect();
        let order_of_rows = self::order(MANY);
        session.write(data, &words)?;
        session.write(order, &order_of_rows)?;
        session.replay()?;
        let got = session.read_u32(batch)?;
        let rows = got.chunks(inner).zip(&order_of_rows);
        for (place, (row, &from)) in rows.enumerate() {
            assert_eq!(row, &words[from as usize * inner..][..inner], "row {place} of {inner}");
        }
    }
    Ok(())
}

/// Steps so far on that their product with the stride passes 2^32 stay at the end of the order.
#[test]
fn late_steps_stay_at_the_end_of_the_order() -> Result<()> {
    for device in [Device::reference(), Device::cpu(), common::gpu().clone()] {
        let order = order(9);
        let loader = loader(3, 9, ROWS as u32)?;
        let mut session = loader.tape.session(&device)?;
        loader.fill(&mut session, 3, &order)?;
        for step in [2, 715_827_883, u32::MAX] {
            session.set_step(step);
            session.replay()?;
            loader.check(&session, 3, &order, order.len())?;
        }
    }
    Ok(())
}

fn narrow(tape: &Tape, max_binding_bytes: u64) -> Result<Plan> {
    let profile = common::gpu().profile().expect("a GPU").clone();
    tape.plan(&DeviceProfile { max_binding_bytes, ..profile })
}

/// Data, and batches too, that exceed a binding: rows that are no multiple of the alignment.
#[test]
fn values_larger_than_a_binding_are_copied_by_ranges() -> Result<()> {
    for (inner, limits) in
        [(3, [160, 128]), (4, [160, 112]), (5, [512, 128]), (67, [2000, 800]), (260, [6400, 2400])]
    {
        let (data, batch) = (4 * (N * inner) as u64, 4 * (ROWS * inner) as u64);
        for limit in limits {
            let order = order(20);
            let loader = loader(inner, 20, ROWS as u32)?;
            // The first range begins at 0; the others lose up to 252 bytes to the alignment.
            let limit = limit + 256;
            let plan = narrow(&loader.tape, limit)?;
            let largest = plan.dispatches.iter().flat_map(|d| &d.bindings).map(|b| b.bytes).max();
            assert!(largest <= Some(limit), "{plan}");
            let wanted = usize::from(data > limit) + usize::from(batch > limit);
            assert!(plan.dispatches.len() >= 2 * (1 + wanted), "{plan}");
            let options = guarded(SessionOptions::new());
            let mut session = session_with_plan(&loader.tape, common::gpu(), plan, options)?;
            poison(&session);
            loader.fill(&mut session, inner, &order)?;
            for step in 0..4 {
                session.replay()?;
                loader.check(&session, inner, &order, step * ROWS)?;
            }
            assert!(broken_guards(&session)?.is_empty());
            let checked = session.verify(&[])?;
            assert!(checked.passes(), "{checked}");
        }
    }
    let long = narrow(&loader(1024, 4, 1)?.tape, 2048);
    assert!(matches!(&long, Err(Error::Limit { op, .. }) if op == "load_batch"), "{long:?}");
    Ok(())
}

/// A loader of its own shares the states of a step that trains: one upload, and an epoch of
/// replays that give the losses of batches written one by one.
#[test]
fn a_loader_feeds_a_training_step() -> Result<()> {
    let record = |g: &mut Graph, x: Value, labels: Value| -> Result<(Tape, Value)> {
        let w = g.parameter("w", [4, 3], Init::GlorotUniform);
        let loss = g.softmax_cross_entropy(g.matmul(x, w)?, labels)?;
        Ok((g.training_step(loss, &Sgd::new(0.5))?, loss))
    };
    for device in [Device::reference(), Device::cpu(), common::gpu().clone()] {
        let numbers = common::data::noise(N * 4, 1, -1.0, 1.0);
        let classes: Vec<u32> = (0..N as u32).map(|i| i % 3).collect();
        let order = order(3 * ROWS);

        let mut g = Graph::new();
        let (x, labels) = (g.state("x", [ROWS, 4], Init::Zeros), g.state_u32("labels", [ROWS]));
        let (tape, loss) = record(&mut g, x, labels)?;
        let mut training = tape.session(&device)?;
        let mut g = Graph::new();
        let (batch, answers) = (g.state("x", [ROWS, 4], Init::Zeros), g.state_u32("labels", [ROWS]));
        let (data, all) = (g.input("data", [N, 4]), g.indices("all", [N]));
        let order_in = g.indices("order", [order.len()]);
        g.load_batch(batch, data, order_in, ROWS as u32)?;
        g.load_batch(answers, all, order_in, ROWS as u32)?;
        let options = SessionOptions::new().share_parameters(&training);
        let mut loading = g.forward(Vec::new())?.session_with(&device, options)?;
        loading.write(data, &numbers)?;
        loading.write(all, &classes)?;
        loading.write(order_in, &order)?;

        let mut g = Graph::new();
        let (x, labels) = (g.input("x", [ROWS, 4]), g.labels("labels", [ROWS]));
        let (tape, own_loss) = record(&mut g, x, labels)?;
        let mut plain = tape.session(&device)?;
        for step in 0..3 {
            loading.replay()?;
            training.replay()?;
            let rows = &order[step * ROWS..][..ROWS];
            let sample = |&i: &u32| numbers[4 * i as usize..][..4].to_vec();
            plain.write(x, &rows.iter().flat_map(sample).collect::<Vec<_>>())?;
            plain.write(labels, &rows.iter().map(|&i| classes[i as usize]).collect::<Vec<_>>())?;
            plain.replay()?;
            assert_eq!(training.read_scalar(loss)?.to_bits(), plain.read_scalar(own_loss)?.to_bits());
        }
        assert_eq!(training.parameter("w")?, plain.parameter("w")?);
    }
    Ok(())
}

#[test]
fn written_orders_and_labels_are_checked() -> Result<()> {
    let loader = loader(3, 4, 1)?;
    let mut session = loader.tape.session(&Device::reference())?;
    let past = session.write(loader.order, &[0, 22, 23, 1]).unwrap_err();
    assert!(matches!(past, Error::LabelOutOfRange { index: 2, label: 23, limit: 23, .. }), "{past}");

    // What is loaded is used as labels of three classes: recorded before and after the loading.
    for loads_first in [true, false] {
        let mut g = Graph::new();
        let (all, order) = (g.indices("all", [9]), g.indices("order", [2]));
        let (logits, labels) = (g.input("logits", [2, 3]), g.state_u32("labels", [2]));
        if loads_first {
            g.load_batch(labels, all, order, 2)?;
        }
        let loss = g.softmax_cross_entropy(logits, labels)?;
        if !loads_first {
            g.load_batch(labels, all, order, 2)?;
        }
        let mut session = g.forward([loss])?.session(&Device::reference())?;
        session.write(order, &[8, 0])?;
        session.write(all, &[0, 1, 2, 0, 1, 2, 0, 1, 2])?;
        let past = session.write(all, &[0, 1, 2, 0, 1, 2, 0, 1, 3]).unwrap_err();
        assert!(matches!(past, Error::LabelOutOfRange { index: 8, label: 3, limit: 3, .. }), "{past}");
    }
    Ok(())
}

#[test]
fn what_does_not_fit_is_a_typed_error() -> Result<()> {
    let mut g = Graph::new();
    let (data, order) = (g.input("data", [5, 2, 3]), g.indices("order", [4]));
    let batch = g.state("batch", [2, 2, 3], Init::Zeros);
    let words = g.state_u32("words", [5]);
    let turned = g.state("turned", [2, 3, 2], Init::Zeros);
    let (single, square) = (g.state("single", [], Init::Zeros), g.indices("square", [2, 2]));
    let is = |result: Result<()>, expected: fn(&Error) -> bool| {
        let error = result.unwrap_err();
        assert!(expected(error.root()), "{error}");
        assert!(error.to_string().starts_with("load_batch at ") && error.to_string().contains("batch.rs:"));
    };
    is(
        g.load_batch(data, data, order, 2),
        |e| matches!(e, Error::NotWritable { name, .. } if name == "data"),
    );
    is(g.load_batch(batch, batch, order, 2), |e| matches!(e, Error::NotWritable { .. }));
    let view = g.reshape(batch, [2, 2, 3])?;
    is(g.load_batch(batch, view, order, 2), |e| matches!(e, Error::NotWritable { .. }));
    is(g.load_batch(words, order, words, 2), |e| matches!(e, Error::NotWritable { .. }));
    is(g.load_batch(turned, data, order, 2), |e| matches!(e, Error::ShapeMismatch { .. }));
    is(g.load_batch(words, data, order, 2), |e| matches!(e, Error::DTypeMismatch { .. }));
    is(g.load_batch(batch, data, data, 2), |e| matches!(e, Error::DTypeMismatch { .. }));
    is(g.load_batch(batch, data, square, 2), |e| matches!(e, Error::Rank { .. }));
    is(g.load_batch(single, data, order, 2), |e| matches!(e, Error::Rank { .. }));
    is(g.load_batch(batch, Graph::new().scalar_constant(1.0), order, 2), |e| {
        matches!(e, Error::ForeignValue)
    });
    let other = (g.state("other", [3], Init::Zeros), g.input("other data", [5]));
    is(g.load_batches(&[(batch, data), other], order, 2), |e| matches!(e, Error::ShapeMismatch { .. }));
    let other = (g.state("fewer", [2], Init::Zeros), g.input("fewer data", [4]));
    is(g.load_batches(&[(batch, data), other], order, 2), |e| matches!(e, Error::ShapeMismatch { .. }));
    is(
        g.load_batches(&[(batch, data), (batch, data)], order, 2),
        |e| matches!(e, Error::NotWritable { name, .. } if name == "batch"),
    );
    let copy = g.state("copy", [2, 2, 3], Init::Zeros);
    is(
        g.load_batches(&[(batch, data), (copy, batch)], order, 2),
        |e| matches!(e, Error::NotWritable { name, .. } if name == "batch"),
    );
    is(g.load_batches(&[], order, 2), |e| matches!(e, Error::Argument { argument: "columns", .. }));
    let past = g.constant([2], &[0u32, 5])?;
    is(g.load_batch(batch, data, past, 2), |e| matches!(e, Error::LabelOutOfRange { label: 5, .. }));
    g.load_batch(batch, data, order, 2)
}

/// What follows the step in the same tape still reads the old batch.
#[test]
fn a_step_reads_the_batch_that_it_began_with() -> Result<()> {
    for device in [Device::reference(), Device::cpu(), common::gpu().clone()] {
        let mut g = Graph::new();
        let (data, order) = (g.input("data", [3]), g.indices("order", [3]));
        let batch = g.state("batch", [1], Init::Constant(7.0));
        g.load_batch(batch, data, order, 1)?;
        let twice = g.add(batch, batch)?;
        let mut session = g.forward([twice])?.session(&device)?;
        session.write(data, &[1.0, 2.0, 3.0])?;
        session.write(order, &[2, 0, 1])?;
        for want in [14.0, 6.0, 2.0, 4.0] {
            session.replay()?;
            assert_eq!(session.read_scalar(twice)?, want);
        }
    }
    Ok(())
}

/// The images of MNIST take 188 MB, where lavapipe binds 128 MiB at a time.
#[test]
fn the_images_of_mnist_stay_on_the_device() -> Result<()> {
    const IMAGES: usize = 60_000;
    const PIXELS: usize = 784;
    let g = Graph::new();
    let data = g.state("images", [IMAGES, PIXELS], Init::Zeros);
    let batch = g.state("batch", [4, PIXELS], Init::Zeros);
    let order = g.constant([8], &[0u32, 59_999, 42_798, 42_799, 42_800, 17, 42_797, 1])?;
    g.load_batch(batch, data, order, 4)?;
    let tape = g.forward(Vec::new())?;
    let profile = common::gpu().profile().expect("a GPU");
    if profile.max_buffer_bytes < 4 * (IMAGES * PIXELS) as u64 {
        assert!(matches!(tape.plan(profile), Err(Error::Limit { .. })));
        return Ok(());
    }
    let mut session = tape.session(common::gpu())?;
    session.write(data, &(0..IMAGES * PIXELS).map(|e| (e / PIXELS) as f32).collect::<Vec<_>>())?;
    for rows in [[0.0, 59_999.0, 42_798.0, 42_799.0], [42_800.0, 17.0, 42_797.0, 1.0]] {
        session.replay()?;
        let found = session.read(batch)?;
        assert!(found.iter().enumerate().all(|(e, &v)| v == rows[e / PIXELS]));
    }
    Ok(())
}
