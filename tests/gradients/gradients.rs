//! The reference gradients against finite differences.

use crate::common::cases;

#[test]
fn gradients_agree_with_finite_differences() {
    for case in cases::all().into_iter().filter(|c| c.smooth) {
        case.check_gradients();
    }
}
