//! Every operator's kernels, forward and backward, against the f64 reference on poisoned and
//! guarded buffers.

mod common;

use common::cases;

#[test]
fn kernels_agree_with_their_references() {
    let device = common::gpu();
    for case in cases::all() {
        case.check_kernels(device);
    }
}
