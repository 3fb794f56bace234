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
#[non_exhaustive]
pub struct ScalarInfo {
    /// Its name.
    pub name: String,
    /// Its type.
    pub dtype: DType,
    /// Its value before anyone sets it.
    pub initial: f64,
    /// Whether it is the rate of an optimiser.
    pub is_rate: bool,
    /// Whether a training step declared it, whose tape alone it is for.
    pub(crate) of_step: bool,
    /// Whether that tape is recorded, or the scalar is none of the program's from the first.
    pub(crate) retired: bool,
}

impl ScalarInfo {
    /// A count, or the seed.
    pub(crate) fn count(name: &str) -> Self {
        let (is_rate, of_step, retired) = (false, false, false);
        ScalarInfo { name: name.to_owned(), dtype: DType::U32, initial: 0.0, is_rate, of_step, retired }
    }

    /// Whether programs set it by its name.
    pub(crate) fn is_live(&self) -> bool {
        self.dtype == DType::F32 && !self.retired
    }
}
