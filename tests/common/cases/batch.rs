//! Batches loaded into states.

use retape::Result;
use retape::prelude::*;

use super::super::data;
use super::SIZES;

/// Loads of f32 and u32 samples of awkward sizes, as named steps.
pub fn tapes() -> Vec<(String, Tape)> {
    let mut tapes = Vec::new();
    for n in SIZES.into_iter().chain([4, 5, 67, 784]) {
        for (rows, orders, stride) in [(1, 1, 1), (7, 20, 7), (65, 40, 3), (3, 9, 0), (2, 9, u32::MAX)] {
            let name = format!("load {rows} rows of [{n}] by {stride} of {orders}");
            tapes.push((name, load(rows, n, orders, stride, false).expect("the step records")));
            let name = format!("load {rows} rows of [{n}], labels and weights by {stride} of {orders}");
            tapes.push((name, load(rows, n, orders, stride, true).expect("the step records")));
        }
    }
    tapes
}

fn load(rows: usize, n: usize, orders: usize, stride: u32, together: bool) -> Result<Tape> {
    const DATA: usize = 11;
    let g = Graph::new();
    let order: Vec<u32> = (0..orders as u32).map(|i| (i * 7 + 3) % DATA as u32).collect();
    let order = g.constant([orders], &order)?;
    let images = g.constant([DATA, n], &data::noise(DATA * n, 8, -9.0, 9.0))?;
    let images = (g.state("images", [rows, n], Init::Ones), images);
    let words: Vec<u32> = (0..DATA * n).map(|i| (i as u32).wrapping_mul(2_654_435_761)).collect();
    let words = (g.state_u32("words", [rows, n]), g.constant([DATA, n], &words)?);
    if together {
        let labels = g.constant([DATA], &(0..DATA as u32).collect::<Vec<_>>())?;
        let labels = (g.state_u32("labels", [rows]), labels);
        let weights = g.constant([DATA], &data::noise(DATA, 9, 0.0, 2.0))?;
        let weights = (g.state("weights", [rows], Init::Ones), weights);
        g.load_batches(&[images, labels, words, weights], order, stride)?;
    } else {
        g.load_batch(images.0, images.1, order, stride)?;
        g.load_batch(words.0, words.1, order, stride)?;
    }
    g.forward(Vec::new())
}
