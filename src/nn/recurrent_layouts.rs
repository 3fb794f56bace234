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
use crate::ops::GruReset;
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
        let fits = kind != CellKind::Gru(GruReset::Before);
        Error::expect(fits, "kind", format!("{kind:?}"), "PyTorch resets after")?;
        // The same gates in the same order.
        let gates = Gates::new(kind, features, units, [0, 1, 2, 3], [0, 1, 2])?;
        let rows = gates.columns();
        let weight_ih = expect("weight_ih", self.weight_ih, &[rows, features])?;
        let weight_hh = expect("weight_hh", self.weight_hh, &[rows, units])?;
        let bias = match (self.bias_ih, self.bias_hh) {
            (None, None) => None,
            (Some(input), Some(recurrent)) => {
                let input = expect("bias_ih", input, &[rows])?;
                Some(gates.joined(input, expect("bias_hh", recurrent, &[rows])?))
            }
            _ => return Err(Error::argument("bias", "given alone", "PyTorch has both biases or none")),
        };
        let (weight, recurrent_weight) = (gates.transposed(weight_ih), gates.transposed(weight_hh));
        Ok(LayerWeights { weight, recurrent_weight, bias, peepholes: None })
    }
}

impl KerasWeights<'_> {
    /// The weights as a layer of this crate has them. [`GruReset::After`] is `reset_after=True`.
    ///
    /// # Errors
    /// [`Error::Length`] with the weight's name; [`Error::Argument`] for sizes of 0.
    pub fn convert(&self, kind: CellKind, features: usize, units: usize) -> Result<LayerWeights> {
        let gates = Gates::new(kind, features, units, [0, 1, 2, 3], [1, 0, 2])?;
        let columns = gates.columns();
        let kernel = expect("kernel", self.kernel, &[features, columns])?;
        let recurrent_kernel = expect("recurrent_kernel", self.recurrent_kernel, &[units, columns])?;
        let rows: &[usize] = if gates.are_apart() { &[2, columns] } else { &[columns] };
        let bias = self.bias.map(|bias| expect("bias", bias, rows)).transpose()?;
        Ok(LayerWeights {
            weight: gates.reordered(kernel),
            recurrent_weight: gates.reordered(recurrent_kernel),
            bias: bias.map(|bias| gates.reordered(bias)),
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
        let gates = Gates::new(kind, features, units, [0, 2, 3, 1], [1, 0, 2])?;
        let fits = self.p.is_none() || kind == CellKind::Lstm;
        Error::expect(fits, "p", format!("given for {kind:?}"), "only an LSTM has peepholes")?;
        let rows = gates.columns();
        let directions = (self.w.len() / rows.saturating_mul(features)).max(1);
        let value = format!("{direction} of {directions}");
        Error::expect(direction < directions, "direction", value, "it is counted from 0")?;
        let of = |name, data, shape: &[usize]| -> Result<&[f32]> {
            let data = expect(name, data, &[&[directions], shape].concat())?;
            let one = data.len() / directions;
            Ok(&data[direction * one..][..one])
        };
        let bias = self.b.map(|b| of("b", b, &[2, rows])).transpose()?;
        let peepholes = self.p.map(|p| of("p", p, &[3, units])).transpose()?;
        Ok(LayerWeights {
            weight: gates.transposed(of("w", self.w, &[rows, features])?),
            recurrent_weight: gates.transposed(of("r", self.r, &[rows, units])?),
            bias: bias.map(|b| gates.joined(&b[..rows], &b[rows..])),
            peepholes: peepholes.map(|p| [0, 2, 1].map(|gate| &p[gate * units..][..units]).concat()),
        })
    }
}

/// Refuses data of another length than the shape's.
fn expect<'a>(name: &str, data: &'a [f32], dims: &[usize]) -> Result<&'a [f32]> {
    let expected = TensorType::f32(Shape::new(dims)?);
    if expected.numel() == data.len() {
        return Ok(data);
    }
    Err(Error::Length { name: name.to_owned(), expected, found: data.len() })
}

/// Where other weights have the gates of ours.
struct Gates {
    kind: CellKind,
    units: usize,
    /// Their gate for each of ours.
    order: Vec<usize>,
}

impl Gates {
    fn new(kind: CellKind, features: usize, units: usize, lstm: [usize; 4], gru: [usize; 3]) -> Result<Self> {
        at_least_one("features", features)?;
        at_least_one("units", units)?;
        let order = match kind {
            CellKind::SimpleRnn => vec![0],
            CellKind::Lstm => lstm.to_vec(),
            CellKind::Gru(_) => gru.to_vec(),
        };
        Ok(Gates { kind, units, order })
    }

    fn columns(&self) -> usize {
        self.units.saturating_mul(self.order.len())
    }

    /// Whether the biases of input and recurrence stay apart: the reset gate comes between them.
    fn are_apart(&self) -> bool {
        self.kind == CellKind::Gru(GruReset::After)
    }

    /// The columns of other weights that ours come from.
    fn sources(&self) -> impl Iterator<Item = usize> {
        self.order.iter().flat_map(|gate| gate * self.units..(gate + 1) * self.units)
    }

    /// From `[gates units, n]` to `[n, gates units]`.
    fn transposed(&self, data: &[f32]) -> Vec<f32> {
        let n = data.len() / self.columns();
        (0..n).flat_map(|k| self.sources().map(move |column| data[column * n + k])).collect()
    }

    /// `[.., gates units]` in our order.
    fn reordered(&self, data: &[f32]) -> Vec<f32> {
        data.chunks(self.columns()).flat_map(|row| self.sources().map(|column| row[column])).collect()
    }

    /// The biases of input and recurrence: side by side, or their sum.
    fn joined(&self, input: &[f32], recurrent: &[f32]) -> Vec<f32> {
        let (input, recurrent) = (self.reordered(input), self.reordered(recurrent));
        if self.are_apart() {
            return [input, recurrent].concat();
        }
        input.iter().zip(&recurrent).map(|(a, b)| a + b).collect()
    }
}
