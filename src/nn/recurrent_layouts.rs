//! Weights of recurrent layers from other frameworks.
//!
//! | | this crate | PyTorch | Keras | ONNX |
//! |---|---|---|---|---|
//! | gates of an LSTM | i, f, g, o | i, f, g, o | i, f, c, o | i, o, f, c |
//! | gates of a GRU | r, z, n | r, z, n | z, r, h | z, r, h |
//! | input | `weight` `[features, gates units]` | `weight_ih_l0` `[gates units, features]` | `kernel` `[features, gates units]` | `W` `[directions, gates units, features]` |
//! | recurrence | `recurrent_weight` `[units, gates units]` | `weight_hh_l0` `[gates units, units]` | `recurrent_kernel` `[units, gates units]` | `R` `[directions, gates units, units]` |
//! | bias | `bias` `[gates units]` | `bias_ih_l0` and `bias_hh_l0` `[gates units]` | `bias` `[gates units]` | `B` `[directions, 2 gates units]` |
//! | bias of a GRU, reset after | `bias` `[2, 3 units]` | the same two | `bias` `[2, 3 units]` | the same |
//! | peepholes | `peepholes` `[3, units]`: i, f, o | | | `P` `[directions, 3 units]`: i, o, f |
//!
//! PyTorch's GRU resets after the product; Keras's does if `reset_after`, which is its default;
//! ONNX's does if `linear_before_reset` is 1, and before it by default. Two biases that are only
//! ever added are summed.
//!
//! ```
//! use retape::nn::recurrent_layouts::{CellKind, PyTorchWeights};
//! use retape::prelude::*;
//!
//! let model = Sequential::new().add(Lstm::new(2));
//! let mut g = Graph::new();
//! let x = g.input("x", [1, 5, 3]);
//! let y = model.record(&mut g, x, Mode::Evaluation)?;
//! let mut session = g.forward([y])?.session(&Device::cpu())?;
//!
//! let from_file = PyTorchWeights {
//!     weight_ih: &[0.1; 8 * 3],
//!     weight_hh: &[0.2; 8 * 2],
//!     bias_ih: Some(&[0.25; 8]),
//!     bias_hh: Some(&[0.5; 8]),
//! };
//! from_file.convert(CellKind::Lstm, 3, 2)?.set(&mut session, "lstm")?;
//! assert_eq!(session.parameter("lstm.bias")?, [0.75; 8]);
//! # Ok::<(), retape::Error>(())
//! ```

use super::weights::at_least_one;
use crate::error::{Error, Result};
use crate::ops::{GruReset, RecurrentCell};
use crate::session::Session;
use crate::shape::{Shape, TensorType};

/// Which cell a set of weights is of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum CellKind {
    /// PyTorch's and ONNX's `RNN`, Keras's `SimpleRNN`.
    SimpleRnn,
    /// `LSTM`.
    Lstm,
    /// `GRU`.
    Gru(GruReset),
}

/// The weights of a recurrent layer as its parameters hold them.
#[derive(Clone, Debug, PartialEq)]
pub struct LayerWeights {
    /// `[features, gates units]`.
    pub weight: Vec<f32>,
    /// `[units, gates units]`.
    pub recurrent_weight: Vec<f32>,
    /// `[gates units]`, or `[2, 3 units]` for a GRU of [`GruReset::After`].
    pub bias: Option<Vec<f32>>,
    /// `[3, units]`.
    pub peepholes: Option<Vec<f32>>,
}

/// The tensors of a layer and a direction of PyTorch's `RNN`, `LSTM` and `GRU`, row-major.
#[derive(Clone, Copy, Debug)]
pub struct PyTorchWeights<'a> {
    /// `weight_ih_l0`, `[gates units, features]`.
    pub weight_ih: &'a [f32],
    /// `weight_hh_l0`, `[gates units, units]`.
    pub weight_hh: &'a [f32],
    /// `bias_ih_l0`, `[gates units]`.
    pub bias_ih: Option<&'a [f32]>,
    /// `bias_hh_l0`, `[gates units]`.
    pub bias_hh: Option<&'a [f32]>,
}

/// The weights of Keras's `SimpleRNN`, `LSTM` and `GRU`, row-major.
#[derive(Clone, Copy, Debug)]
pub struct KerasWeights<'a> {
    /// `[features, gates units]`.
    pub kernel: &'a [f32],
    /// `[units, gates units]`.
    pub recurrent_kernel: &'a [f32],
    /// `[gates units]`; `[2, 3 units]` for a GRU with `reset_after`.
    pub bias: Option<&'a [f32]>,
}

/// The inputs of ONNX's `RNN`, `LSTM` and `GRU`, row-major, of all directions.
#[derive(Clone, Copy, Debug)]
pub struct OnnxWeights<'a> {
    /// `W`, `[directions, gates units, features]`.
    pub w: &'a [f32],
    /// `R`, `[directions, gates units, units]`.
    pub r: &'a [f32],
    /// `B`, `[directions, 2 gates units]`: of the input, then of the recurrence.
    pub b: Option<&'a [f32]>,
    /// `P` of an LSTM, `[directions, 3 units]`.
    pub p: Option<&'a [f32]>,
}

impl LayerWeights {
    /// Writes them to the layer of this full name: `lstm`, `bidirectional.backward_gru`. A bias or
    /// peepholes that the layer has and these weights do not are set to 0.
    ///
    /// # Errors
    /// [`Error::Unknown`] for a parameter that the layer does not have; [`Error::Length`].
    pub fn set(&self, session: &mut Session, layer: &str) -> Result<()> {
        session.set_parameter(&format!("{layer}.weight"), &self.weight)?;
        session.set_parameter(&format!("{layer}.recurrent_weight"), &self.recurrent_weight)?;
        for (name, data) in [("bias", &self.bias), ("peepholes", &self.peepholes)] {
            let name = format!("{layer}.{name}");
            if let Some(data) = data {
                session.set_parameter(&name, data)?;
            } else if session.parameter_names().contains(&name.as_str()) {
                let zeros = vec![0.0; session.parameter(&name)?.len()];
                session.set_parameter(&name, &zeros)?;
            }
        }
        Ok(())
    }
}

impl PyTorchWeights<'_> {
    /// The weights as a layer of this crate has them.
    ///
    /// # Errors
    /// [`Error::Length`] with the tensor's name; [`Error::Argument`] for sizes of 0, for a GRU of
    /// [`GruReset::Before`], which PyTorch has none of, and for one bias without the other.
    pub fn convert(&self, kind: CellKind, features: usize, units: usize) -> Result<LayerWeights> {
        if kind == CellKind::Gru(GruReset::Before) {
            let value = format!("{kind:?}");
            return Err(Error::Argument { argument: "kind", value, expected: "PyTorch resets after" });
        }
        let sizes = Sizes::new(kind, features, units)?;
        // The same gates in the same order.
        let order: Vec<usize> = (0..sizes.gates).collect();
        let rows = sizes.columns;
        expect("weight_ih", self.weight_ih, &[rows, features])?;
        expect("weight_hh", self.weight_hh, &[rows, units])?;
        let biases = match (self.bias_ih, self.bias_hh) {
            (None, None) => None,
            (Some(input), Some(recurrent)) => {
                expect("bias_ih", input, &[rows])?;
                expect("bias_hh", recurrent, &[rows])?;
                Some((input, recurrent))
            }
            _ => {
                let value = "given alone".to_owned();
                let expected = "PyTorch has both biases or none";
                return Err(Error::Argument { argument: "bias", value, expected });
            }
        };
        Ok(LayerWeights {
            weight: sizes.transposed(&order, self.weight_ih, features),
            recurrent_weight: sizes.transposed(&order, self.weight_hh, units),
            bias: biases.map(|(input, recurrent)| sizes.joined(kind, &order, input, recurrent)),
            peepholes: None,
        })
    }
}

impl KerasWeights<'_> {
    /// The weights as a layer of this crate has them. [`GruReset::After`] is `reset_after=True`.
    ///
    /// # Errors
    /// [`Error::Length`] with the weight's name; [`Error::Argument`] for sizes of 0.
    pub fn convert(&self, kind: CellKind, features: usize, units: usize) -> Result<LayerWeights> {
        let sizes = Sizes::new(kind, features, units)?;
        let order: &[usize] = match kind {
            CellKind::SimpleRnn => &[0],
            CellKind::Lstm => &[0, 1, 2, 3],
            CellKind::Gru(_) => &[1, 0, 2],
        };
        let columns = sizes.columns;
        expect("kernel", self.kernel, &[features, columns])?;
        expect("recurrent_kernel", self.recurrent_kernel, &[units, columns])?;
        if let Some(bias) = self.bias {
            let rows: &[usize] =
                if kind == CellKind::Gru(GruReset::After) { &[2, columns] } else { &[columns] };
            expect("bias", bias, rows)?;
        }
        Ok(LayerWeights {
            weight: sizes.reordered(order, self.kernel),
            recurrent_weight: sizes.reordered(order, self.recurrent_kernel),
            bias: self.bias.map(|bias| sizes.reordered(order, bias)),
            peepholes: None,
        })
    }
}

impl OnnxWeights<'_> {
    /// The weights of one direction as a layer of this crate has them. [`GruReset::After`] is
    /// `linear_before_reset=1`. Of a bidirectional operator, direction 0 goes forward and 1
    /// backward.
    ///
    /// # Errors
    /// [`Error::Length`] with the input's name; [`Error::Argument`] for sizes of 0, for a direction
    /// that there is not, and for peepholes of another cell than an LSTM.
    pub fn convert(
        &self,
        kind: CellKind,
        features: usize,
        units: usize,
        direction: usize,
    ) -> Result<LayerWeights> {
        let sizes = Sizes::new(kind, features, units)?;
        let order: &[usize] = match kind {
            CellKind::SimpleRnn => &[0],
            CellKind::Lstm => &[0, 2, 3, 1],
            CellKind::Gru(_) => &[1, 0, 2],
        };
        if self.p.is_some() && kind != CellKind::Lstm {
            let value = format!("given for {kind:?}");
            return Err(Error::Argument { argument: "p", value, expected: "only an LSTM has peepholes" });
        }
        let rows = sizes.columns;
        let directions = (self.w.len() / rows.saturating_mul(features)).max(1);
        if direction >= directions {
            let value = format!("{direction} of {directions}");
            return Err(Error::Argument { argument: "direction", value, expected: "it is counted from 0" });
        }
        let of = |name, data, shape: &[usize]| -> Result<&[f32]> {
            expect(name, data, &[&[directions], shape].concat())?;
            let one = data.len() / directions;
            Ok(&data[direction * one..][..one])
        };
        let bias = self.b.map(|b| of("b", b, &[2, rows])).transpose()?;
        let peepholes = self.p.map(|p| of("p", p, &[3, units])).transpose()?;
        Ok(LayerWeights {
            weight: sizes.transposed(order, of("w", self.w, &[rows, features])?, features),
            recurrent_weight: sizes.transposed(order, of("r", self.r, &[rows, units])?, units),
            bias: bias.map(|b| {
                let (input, recurrent) = b.split_at(rows);
                sizes.joined(kind, order, input, recurrent)
            }),
            peepholes: peepholes.map(|p| [0, 2, 1].map(|gate| &p[gate * units..][..units]).concat()),
        })
    }
}

/// Refuses data of another length than the shape's.
fn expect(name: &str, data: &[f32], dims: &[usize]) -> Result<()> {
    let expected = TensorType::f32(Shape::new(dims)?);
    if expected.numel() == data.len() {
        return Ok(());
    }
    Err(Error::Length { name: name.to_owned(), expected, found: data.len() })
}

struct Sizes {
    units: usize,
    gates: usize,
    columns: usize,
}

impl Sizes {
    fn new(kind: CellKind, features: usize, units: usize) -> Result<Self> {
        at_least_one("features", features)?;
        at_least_one("units", units)?;
        let gates = match kind {
            CellKind::SimpleRnn => RecurrentCell::Simple,
            CellKind::Lstm => RecurrentCell::Lstm,
            CellKind::Gru(reset) => RecurrentCell::Gru(reset),
        }
        .gates();
        Ok(Sizes { units, gates, columns: units.saturating_mul(gates) })
    }

    /// The column of other weights that ours comes from; `order` has their gate for each of ours.
    fn source(&self, order: &[usize], column: usize) -> usize {
        order[column / self.units] * self.units + column % self.units
    }

    /// From `[gates units, n]` to `[n, gates units]`.
    fn transposed(&self, order: &[usize], data: &[f32], n: usize) -> Vec<f32> {
        let row = |k| (0..self.columns).map(move |column| data[self.source(order, column) * n + k]);
        (0..n).flat_map(row).collect()
    }

    /// `[.., gates units]` in our order.
    fn reordered(&self, order: &[usize], data: &[f32]) -> Vec<f32> {
        let row = |row: &[f32]| (0..self.columns).map(|c| row[self.source(order, c)]).collect::<Vec<_>>();
        data.chunks(self.columns).flat_map(row).collect()
    }

    /// The biases of input and recurrence: side by side where the reset gate comes between them.
    fn joined(&self, kind: CellKind, order: &[usize], input: &[f32], recurrent: &[f32]) -> Vec<f32> {
        let (input, recurrent) = (self.reordered(order, input), self.reordered(order, recurrent));
        match kind {
            CellKind::Gru(GruReset::After) => [input, recurrent].concat(),
            _ => input.iter().zip(&recurrent).map(|(a, b)| a + b).collect(),
        }
    }
}
