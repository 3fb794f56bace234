use std::fmt;

/// The learning rate of each update.
pub trait Schedule: fmt::Debug + Send + Sync {
    /// The rate of an update, counted from 0.
    fn rate(&self, update: u32) -> f32;
}
