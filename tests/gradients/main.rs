//! Gradients: by finite differences, through whole graphs, and what `Session::verify` finds.

#[path = "../common/mod.rs"]
mod common;

mod gradient_flow;
mod gradients;
mod verify;
