use crate::dtype::DType;

/// A number that may change between replays without recording again: a learning rate, the step
/// count, the seed. It is written into a dispatch when the step is encoded.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Scalar(pub(crate) u32);

impl Scalar {
    /// The number of steps replayed so far (u32); every tape has it and every replay adds one.
    pub const STEP: Scalar = Scalar(0);
    /// The seed of the session (u32); every tape has it.
    pub const SEED: Scalar = Scalar(1);
    /// The number of updates so far (u32), which optimisers correct their moments by; every tape has
    /// it and every replay adds one.
    pub const UPDATES: Scalar = Scalar(2);

    pub(crate) fn index(self) -> usize {
        self.0 as usize
    }
}

/// A declared per-step scalar.
#[derive(Clone, Debug)]
pub struct ScalarInfo {
    /// Its name.
    pub name: String,
    /// Its type.
    pub dtype: DType,
    /// Its value before anyone sets it.
    pub initial: f64,
}
