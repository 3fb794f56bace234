//! Plans and sessions: memory, replays, and the errors of recording.

#[path = "../common/mod.rs"]
mod common;

mod cpu;
mod error_lines;
mod errors;
mod fuse;
mod half;
mod limits;
mod lost;
mod memory;
mod nonsense;
mod packing;
mod plan;
mod profile;
mod recompute;
mod replay;
mod start;
mod steps;
mod strides;
mod submissions;
mod work;
