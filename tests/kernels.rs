//! Every operator's kernels, forward and backward, against the f64 reference on poisoned and
//! guarded buffers.

mod common;

use std::panic::{AssertUnwindSafe, catch_unwind};

use common::{Case, cases};

#[test]
fn kernels_agree_with_their_references() {
    let device = common::gpu();
    let fails = |case: &Case| catch_unwind(AssertUnwindSafe(|| case.check_kernels(device))).is_err();
    let failed: Vec<String> = cases::all().into_iter().filter(fails).map(|c| c.name).collect();
    assert!(failed.is_empty(), "{} cases failed: {failed:#?}", failed.len());
}
