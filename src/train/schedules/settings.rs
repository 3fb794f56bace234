/// Declares a schedule by its settings: the struct, `new`, the methods that replace defaults, and the checks.
/// In this order, the last two where needed:
///
/// - `new`: the largest rate, over how many updates the schedule goes, and a number that has no default,
/// - `set`: numbers with a method each,
/// - `flag`: what a method turns on.
///
/// The kind of a number is a constructor of [`Setting`](crate::error::Setting). The rate is the schedule's
/// own method `at`, in f64.
macro_rules! schedule {
    (
        $(#[$doc:meta])*
        $schedule:ident
        new { $(#[$new_doc:meta])* $top:ident, $updates:ident $(, $given:ident: $given_kind:ident)? }
        $(set { $($(#[$number_doc:meta])* $number:ident: $kind:ident = $default:expr,)+ })?
        $(flag { $(#[$flag_doc:meta])* $flag:ident })?
    ) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq)]
        #[must_use]
        pub struct $schedule {
            $top: f32,
            $updates: u32,
            $($given: f32,)?
            $($($number: f32,)+)?
            $($flag: bool,)?
        }

        impl $schedule {
            $(#[$new_doc])*
            pub fn new($top: f32, $updates: u32 $(, $given: f32)?) -> Self {
                $schedule { $top, $updates, $($given,)? $($($number: $default,)+)? $($flag: false)? }
            }

            $(setters! { $($(#[$number_doc])* $number: f32 => $number;)+ })?
            $(setters! { $(#[$flag_doc])* $flag => $flag = true; })?
        }

        impl Schedule for $schedule {
            fn rate(&self, update: u32) -> f32 {
                self.at(f64::from(update)) as f32
            }

            fn check(&self) -> crate::error::Result<()> {
                use crate::error::Setting;
                Setting::not_negative(stringify!($top), self.$top).check()?;
                Setting::count(stringify!($updates), self.$updates).check()?;
                $(Setting::$given_kind(stringify!($given), self.$given).check()?;)?
                $($(Setting::$kind(stringify!($number), self.$number).check()?;)+)?
                Ok(())
            }
        }
    };
}
pub(super) use schedule;
