//! Recurrent operators and layers.

#[path = "../common/mod.rs"]
mod common;

mod masks;
mod nn_recurrent;
mod recurrent;
mod recurrent_grid;
mod recurrent_kernels;
mod recurrent_layouts;
