//! The kernels: each against its reference, at hostile shapes, on both kinds of device.

#[path = "../common/mod.rs"]
mod common;

mod augment;
mod batch;
mod clip;
mod conv;
mod half;
mod kernels;
mod limits;
mod lrn;
mod matmul;
mod noise;
mod norm;
mod pool;
mod running_sums;
mod special_rows;
mod special_values;
mod tiles;
