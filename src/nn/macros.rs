//! What the layers repeat: `Layer` for one input.

/// A layer of one input: its kind, how its units flow if they do, the layer with another number of them,
/// whether it treats each step by itself, and what it records.
macro_rules! one_input {
    ($(
        $layer:ty, $kind:literal,
        $(units: |$own:pat_param| $flow:expr,)?
        $(with_units: |$old:pat_param, $units:ident| $resized:expr,)?
        $(keeps_steps: |$stepwise:pat_param| $steps:expr,)?
        |$this:pat_param, $cx:ident, $x:ident| $body:expr;
    )+) => {$(
        impl $crate::nn::Layer for $layer {
            fn kind(&self) -> &'static str {
                $kind
            }

            $(
                fn units(&self) -> $crate::nn::UnitFlow {
                    let $own = self;
                    $flow
                }
            )?

            $(
                fn with_units(&self, $units: usize) -> Option<$crate::nn::LayerSpec> {
                    let $old = self;
                    Some($resized.into())
                }
            )?

            $(
                fn keeps_steps(&self) -> bool {
                    let $stepwise = self;
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
