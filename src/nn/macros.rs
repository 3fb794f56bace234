//! What the layers repeat: builder methods that set a field, and `Layer` for one input.

/// Builder methods, each of which sets a field: `method: type => field;`.
macro_rules! setters {
    ($layer:ident, $($(#[$doc:meta])* $method:ident: $type:ty => $($field:tt).+;)+) => {
        impl $layer {
            $(
                $(#[$doc])*
                pub fn $method(mut self, $method: $type) -> Self {
                    self.$($field).+ = $method.into();
                    self
                }
            )+
        }
    };
}
pub(super) use setters;

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
