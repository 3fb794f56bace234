//! What builders of every room repeat.

/// Builder methods, each of which sets a field, within an `impl` or as one of a type's own:
/// `method: type => field;`.
macro_rules! setters {
    ($type:ident, $($methods:tt)+) => {
        impl $type {
            setters! { $($methods)+ }
        }
    };
    ($($(#[$doc:meta])* $method:ident: $type:ty => $($field:tt).+;)+) => {
        $(
            $(#[$doc])*
            pub fn $method(mut self, $method: $type) -> Self {
                self.$($field).+ = $method.into();
                self
            }
        )+
    };
}
