//! What builders of every room repeat.

/// Builder methods, each of which sets a field, within an `impl` or as one of a type's own:
/// `method: type => field;` to what it is given, `method => field = value;` to this value, which may be
/// made of what `method: type` is given.
macro_rules! setters {
    ($type:ident, $($methods:tt)+) => {
        impl $type {
            setters! { $($methods)+ }
        }
    };
    (@value $given:ident) => { $given.into() };
    (@value $given:ident $value:expr) => { $value };
    ($($(#[$doc:meta])* $method:ident $(: $type:ty)? => $($field:tt).+ $(= $value:expr)?;)+) => {
        $(
            $(#[$doc])*
            pub fn $method(mut self $(, $method: $type)?) -> Self {
                self.$($field).+ = setters!(@value $method $($value)?);
                self
            }
        )+
    };
}
