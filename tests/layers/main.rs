//! Layers and networks made of them.

#[path = "../common/mod.rs"]
mod common;

mod architectures;
mod cnn;
mod freezing;
mod names;
mod nn;
mod nn_errors;
mod penalties;
mod routes;
mod sharing;
