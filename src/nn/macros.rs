//! What the layers repeat: `Layer` for one input.

/// A layer of one input: its kind, how its units flow if they do, whether it treats each step by itself,
/// and what it records.
macro_rules! one_input {
    ($(
        $layer:ty, $kind:literal, $(units: $units:expr,)? $(keeps_steps: $steps:literal,)?
        |$this:pat_param, $cx:ident, $x:ident| $body:expr;
    )+) => {$(
        impl $crate::nn::Layer for $layer {
            fn kind(&self) -> &'static str {
                $kind
            }

            $(
                fn units(&self) -> $crate::nn::UnitFlow {
                    $units
                }
            )?

            $(
                fn keeps_steps(&self) -> bool {
                    $steps
                }
            )?

            fn record(
                &self,
                $cx: &mut $crate::nn::LayerContext<'_>,
                inputs: &[$crate::graph::Value],
            ) -> $crate::error::Result<$crate::graph::Value> {
                let ($this, $x) = (self, $cx.one(inputs)?);
                $body
            }
        }
    )+};
}
pub(super) use one_input;
