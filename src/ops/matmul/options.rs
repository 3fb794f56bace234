use super::MatmulRoute;

/// How a product is taken: neither side transposed, by the kernel that the rule chooses, unless set.
///
/// ```
/// use retape::ops::{MatmulOptions, MatmulRoute};
/// let scores = MatmulOptions::new().transpose_b(true);
/// let forced = MatmulOptions::new().route(MatmulRoute::Naive);
/// # let _ = (scores, forced);
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[must_use]
pub struct MatmulOptions {
    pub(in crate::ops) transpose_a: bool,
    pub(in crate::ops) transpose_b: bool,
    pub(in crate::ops) route: MatmulRoute,
}

impl MatmulOptions {
    /// The defaults.
    pub fn new() -> Self {
        MatmulOptions::default()
    }

    setters! {
        /// Whether the left side is `[.., k, m]`.
        transpose_a: bool => transpose_a;
        /// Whether the right side is `[.., n, k]`.
        transpose_b: bool => transpose_b;
        /// Forces a kernel instead of the rule in [`MatmulRoute`], for the gradients too.
        route: MatmulRoute => route;
    }
}
