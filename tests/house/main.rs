//! What the crate has to keep: no operator without its tests, no shader that a platform refuses.

#[path = "../common/mod.rs"]
mod common;

mod coverage;
mod shaders;
