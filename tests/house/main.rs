//! What the crate has to keep: no operator without its tests, no test that never runs, no shader that a platform refuses.

#[path = "../common/mod.rs"]
mod common;

mod benches;
mod binaries;
mod coverage;
mod groups;
mod imports;
mod shaders;
