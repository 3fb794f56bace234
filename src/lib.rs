mod compare;
pub mod cpu;
pub mod data;
mod device;
mod dtype;
mod error;
pub mod gpu;
pub mod graph;
pub mod kernel;
pub mod ops;
pub mod random;
mod session;
mod shape;
pub mod tape;
pub mod train;

pub use compare::{Comparison, compare};
pub use device::Device;
pub use dtype::{DType, Element};
pub use error::{Error, Result};
pub use graph::{Graph, Init, Scalar, Value};
pub use session::{HostData, OpCheck, Session, SessionOptions, Verification};
pub use shape::{MAX_RANK, Shape, TensorType};
pub use tape::Tape;
pub use wgpu;

pub mod prelude {
    pub use crate::data;
    pub use crate::train::{Adam, Optimizer, RmsProp, Sgd};
    pub use crate::{DType, Device, Graph, Init, Scalar, Session, SessionOptions, Shape, Tape, Value};
}
