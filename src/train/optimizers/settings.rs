/// Declares an optimiser: the struct with its `rate`, what `new` sets it to, the methods that replace that,
/// and `settings`, by which numbers are checked, listed and passed to the kernel. In this order, each where
/// needed:
///
/// - `pair`: numbers that one method sets together,
/// - `set`: numbers with a method each,
/// - `flag`: what a method turns on,
/// - `form`: what a constructor of the file's own turns on,
/// - `choice`: what a method turns on or off,
/// - `decoupled`: a decay of the weights beside the gradient, otherwise 0.
///
/// The kind of a number is a constructor of [`Setting`](crate::error::Setting).
macro_rules! settings {
    (
        $(#[$doc:meta])*
        $optimizer:ident
        $(pair { $(#[$pair_doc:meta])* $pair:ident($($half:ident: $half_kind:ident = $half_value:expr),+) })?
        $(set { $($(#[$number_doc:meta])* $number:ident: $kind:ident = $default:expr,)+ })?
        $(flag { $($(#[$flag_doc:meta])* $flag:ident,)+ })?
        $(form { $form:ident })?
        $(choice { $(#[$choice_doc:meta])* $choice:ident = $chosen:expr })?
        $(decoupled $decay:expr)?
    ) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq)]
        #[must_use]
        pub struct $optimizer {
            rate: super::Rate,
            $($($half: f32,)+)?
            $($($number: f32,)+)?
            $($($flag: bool,)+)?
            $($form: bool,)?
            $($choice: bool,)?
        }

        impl $optimizer {
            /// The defaults with this learning rate.
            pub fn new(learning_rate: f32) -> Self {
                $optimizer {
                    rate: super::Rate::new(learning_rate, 0.0 $(+ $decay)?),
                    $($($half: $half_value,)+)?
                    $($($number: $default,)+)?
                    $($($flag: false,)+)?
                    $($form: false,)?
                    $($choice: $chosen,)?
                }
            }

            $($(#[$pair_doc])*
            pub fn $pair(mut self, $($half: f32),+) -> Self {
                $(self.$half = $half;)+
                self
            })?

            setters! {
                $($($(#[$number_doc])* $number: f32 => $number;)+)?
                $($($(#[$flag_doc])* $flag => $flag = true;)+)?
                $($(#[$choice_doc])* $choice: bool => $choice;)?
                /// Names the rate, by which programs set it and schedules drive it apart from those of other
                /// optimisers; `learning_rate` by default.
                rate_name: &'static str => rate.name;
                /// Adds `weight_decay w` to the gradient; 0 by default.
                weight_decay: f32 => rate.decay.weight_decay;
                /// Takes `lr decay w` off each parameter before the step; 0 by default, but for `AdamW`.
                decoupled_weight_decay: f32 => rate.decay.decoupled;
            }

            fn settings(&self) -> Vec<crate::error::Setting> {
                use crate::error::Setting;
                vec![
                    $($(Setting::$half_kind(stringify!($half), self.$half),)+)?
                    $($(Setting::$kind(stringify!($number), self.$number),)+)?
                    $($(Setting::flag(stringify!($flag), self.$flag),)+)?
                    $(Setting::flag(stringify!($form), self.$form),)?
                    $(Setting::flag(stringify!($choice), self.$choice),)?
                ]
            }
        }
    };
}
pub(super) use settings;

/// Declares an optimiser that is a rule: its [`settings`], its row of the table of operators, and how it is
/// recorded.
macro_rules! optimizer {
    ($(#[$doc:meta])* $optimizer:ident $($settings:tt)*) => {
        super::settings! { $(#[$doc])* $optimizer $($settings)* }

        pub(super) const OPERATORS: [crate::ops::OperatorInfo; 1] = [crate::ops::OperatorInfo::new(
            <$optimizer as UpdateRule>::NAME,
            crate::ops::Gradient::None,
            "f32",
        )];

        impl super::Optimizer for $optimizer {
            fn record(
                &self,
                graph: &crate::graph::Graph,
                gradients: &[(crate::graph::Value, crate::graph::Value)],
            ) -> crate::error::Result<()> {
                self.rate.record(graph, gradients, *self, self.settings())
            }
        }
    };
}
pub(super) use optimizer;
