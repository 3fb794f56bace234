use super::{Error, Result};

/// A number that something is set to: what it is called, and what it may be.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Setting {
    pub name: &'static str,
    pub value: f32,
    valid: bool,
    expected: &'static str,
}

impl Setting {
    pub const fn new(name: &'static str, value: f32, valid: bool, expected: &'static str) -> Self {
        Setting { name, value, valid, expected }
    }

    pub fn not_negative(name: &'static str, value: f32) -> Self {
        let valid = value.is_finite() && value >= 0.0;
        Setting::new(name, value, valid, "it must be finite and not negative")
    }

    pub fn positive(name: &'static str, value: f32) -> Self {
        Setting::new(name, value, value.is_finite() && value > 0.0, "it must be positive and finite")
    }

    pub fn negative(name: &'static str, value: f32) -> Self {
        Setting::new(name, value, value.is_finite() && value < 0.0, "it must be finite and below 0")
    }

    pub fn not_positive(name: &'static str, value: f32) -> Self {
        Setting::new(name, value, value.is_finite() && value <= 0.0, "it must be finite and at most 0")
    }

    /// A positive number that no device takes for 0.
    pub fn normal(name: &'static str, value: f32) -> Self {
        let valid = value.is_normal() && value > 0.0;
        Setting::new(name, value, valid, "it must be finite, more than 0 and not subnormal")
    }

    /// The share that is kept of something.
    pub fn decay(name: &'static str, value: f32) -> Self {
        Setting::new(name, value, (0.0..1.0).contains(&value), "it must be at least 0 and below 1")
    }

    pub fn share(name: &'static str, value: f32) -> Self {
        Setting::new(name, value, (0.0..=1.0).contains(&value), "it must be from 0 to 1")
    }

    /// How much larger each of several things is than the one before.
    pub fn growth(name: &'static str, value: f32) -> Self {
        Setting::new(name, value, value.is_finite() && value >= 1.0, "it must be finite and at least 1")
    }

    pub fn count(name: &'static str, value: u32) -> Self {
        Setting::new(name, value as f32, value > 0, "it must be at least 1")
    }

    /// Whether something is so, as 1 or 0, of which nothing is expected.
    pub fn flag(name: &'static str, value: bool) -> Self {
        Setting::new(name, f32::from(u8::from(value)), true, "")
    }

    /// Fails with an [`Error::Argument`] unless the number is what it may be.
    pub fn check(&self) -> Result<()> {
        let &Setting { name: argument, value, valid, expected } = self;
        Error::expect(valid, argument, value, expected)
    }

    /// Those that are not 0, as a listing has them: `beta_1=0.9, nesterov`.
    pub fn list(settings: &[Setting]) -> String {
        let given = settings.iter().filter(|setting| setting.value != 0.0);
        let text = given.map(|Setting { name, value, expected, .. }| match *expected {
            "" => (*name).to_owned(),
            _ => format!("{name}={value:?}"),
        });
        text.collect::<Vec<_>>().join(", ")
    }
}
