use crate::ops::common::*;

/// Where the reset gate of a GRU acts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum GruReset {
    /// On the product: `n = tanh(x Wn + bn + r (h Un + cn))`. PyTorch's form, Keras's
    /// `reset_after=True`, ONNX's `linear_before_reset=1`.
    #[default]
    After,
    /// On the state: `n = tanh(x Wn + bn + (r h) Un)`. That of Cho et al., EMNLP 2014; Keras's
    /// `reset_after=False`, ONNX's default.
    Before,
}

/// A function inside a cell.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum CellActivation {
    /// `tanh(x)`.
    Tanh,
    /// `1 / (1 + exp(-x))`.
    Sigmoid,
    /// `clip(x / 6 + 1/2, 0, 1)`, as Keras 3 and PyTorch define it.
    HardSigmoid,
    /// `max(x, 0)`.
    Relu,
    /// `x`.
    Linear,
}

impl CellActivation {
    /// All of them.
    pub const ALL: &'static [CellActivation] = &[
        CellActivation::Tanh,
        CellActivation::Sigmoid,
        CellActivation::HardSigmoid,
        CellActivation::Relu,
        CellActivation::Linear,
    ];
}

/// How a recurrence is computed. All give the same numbers to rounding.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum RecurrentRoute {
    /// What the rule chooses.
    #[default]
    Auto,
    /// One kernel for each step.
    Steps,
    /// One kernel for all steps, of which each workgroup takes its share of the batch. Planning refuses
    /// it ([`Error::Limit`](crate::Error::Limit)) where a workgroup has no room for the units.
    Sequence,
}

/// The weights of a recurrence, with the gates' columns side by side: i, f, g, o for an LSTM,
/// r, z, n for a GRU.
#[derive(Clone, Copy, Debug)]
#[must_use]
pub struct RecurrentWeights {
    /// `[features, gates * hidden]`.
    pub input: Value,
    /// `[hidden, gates * hidden]`.
    pub recurrent: Value,
    /// `[gates * hidden]`; `[2, 3 * hidden]` for a GRU of [`GruReset::After`], input and recurrence.
    pub bias: Option<Value>,
    /// Of an LSTM: `[3, hidden]`, from the cell to i, f and o.
    pub peepholes: Option<Value>,
}

impl RecurrentWeights {
    /// Weights without a bias and without peepholes.
    pub fn new(input: Value, recurrent: Value) -> Self {
        RecurrentWeights { input, recurrent, bias: None, peepholes: None }
    }

    setters! {
        /// Adds a bias.
        bias: Value => bias;
        /// Adds an LSTM's peepholes.
        peepholes: Value => peepholes;
    }
}

/// The options of a recurrence.
#[derive(Clone, Debug)]
#[must_use]
pub struct RecurrentOptions {
    pub(crate) initial: Vec<Value>,
    pub(crate) lengths: Option<Value>,
    pub(crate) mask: Option<Value>,
    pub(crate) reverse: bool,
    pub(crate) activation: CellActivation,
    pub(crate) recurrent_activation: CellActivation,
    pub(crate) recurrent_mask: Option<Value>,
    pub(crate) truncate: Option<usize>,
    pub(crate) route: RecurrentRoute,
}

impl Default for RecurrentOptions {
    fn default() -> Self {
        RecurrentOptions {
            initial: Vec::new(),
            lengths: None,
            mask: None,
            reverse: false,
            activation: CellActivation::Tanh,
            recurrent_activation: CellActivation::Sigmoid,
            recurrent_mask: None,
            truncate: None,
            route: RecurrentRoute::Auto,
        }
    }
}

impl RecurrentOptions {
    /// From zero states, forward in time, all steps, tanh and sigmoid.
    pub fn new() -> Self {
        RecurrentOptions::default()
    }

    setters! {
        /// The states before the first step, each `[batch, hidden]`: h; h and c for an LSTM.
        initial: impl Into<Vec<Value>> => initial;
        /// The number of steps of each sequence, u32 `[batch]`. The steps from there on are padding: they
        /// leave the states as they are, their output is the state, and no gradient reaches their
        /// input.
        lengths: Value => lengths;
        /// Which steps of each sequence count, f32 `[batch, time]`: those of 0 are padding as under
        /// [`lengths`](Self::lengths), in front, behind or between the others. One of the two may be given.
        mask: Value => mask;
        /// From the last step to the first. Outputs stay at the place of their step.
        reverse: bool => reverse;
        /// The function of the candidate and of an LSTM's cell: tanh by default.
        activation: CellActivation => activation;
        /// The function of the gates: sigmoid by default. A simple cell has none.
        recurrent_activation: CellActivation => recurrent_activation;
        /// Factors `[batch, hidden]` of the state on its way into the products, the same at each step:
        /// recurrent dropout (Gal and Ghahramani, NeurIPS 2016). No gradient flows into them.
        recurrent_mask: Value => recurrent_mask;
        /// Cuts the gradient's way back after every so many steps, counted from the first one taken,
        /// those of padding too: truncated back-propagation through time.
        truncate: usize => truncate;
        /// How the recurrence is computed.
        route: RecurrentRoute => route;
    }
}

/// What a recurrence makes.
#[derive(Clone, Debug)]
pub struct Recurrence {
    /// The state h after every step, `[batch, time, hidden]`.
    pub outputs: Value,
    /// The states after the last step taken, each `[batch, hidden]`: h; h and c for an LSTM.
    pub states: Vec<Value>,
}
