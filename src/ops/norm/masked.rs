//! Batch normalisation of padded sequences, composed of other operators.

use super::forward::ROWS;
use super::{BatchNorm, Kind};
use crate::error::{Result, Setting};
use crate::graph::{Graph, Value};

impl Graph {
    /// [`batch_norm`](Graph::batch_norm) of `x`, f32 `[n, c, m]`, with the mean and the variance of the elements that
    /// `mask`, f32 of the same shape, has no 0 for; the others are the mean, so that `y` has the shift there. A
    /// channel of nothing but those keeps its `running` mean and variance, f32 `[c]`.
    pub(crate) fn masked_batch_norm(
        &self,
        x: Value,
        mask: Value,
        [scale, shift]: [Option<Value>; 2],
        epsilon: f32,
        running: [Value; 2],
    ) -> Result<BatchNorm> {
        self.composed(Kind::Batch.name(), || {
            Setting::normal("epsilon", epsilon).check()?;
            let shape = self.shape(x)?;
            let geometry = Kind::Batch.geometry(shape)?;
            Kind::Batch.check_count(shape, geometry)?;
            let (channels, all) = (geometry.channels(), geometry.count() as f64);
            let (zero, one) = (self.scalar_constant(0.0), self.scalar_constant(1.0));
            let over = &[0, 2];

            let count = self.sum(mask, over, true)?;
            let divisor = self.maximum(count, one)?;
            let mean = self.div(self.sum(self.select(mask, x, zero)?, over, true)?, divisor)?;
            let from_mean = self.select(mask, self.sub(x, mean)?, zero)?;
            // Squares of large numbers overflow; what they are divided by first does not matter to the result.
            let largest = self.max(self.abs(from_mean)?, over, true)?;
            let size = self.stop_gradient(self.maximum(largest, one)?)?;
            let scaled = self.div(from_mean, size)?;
            let variance = self.div(self.sum(self.square(scaled)?, over, true)?, divisor)?;
            let least = self.div(self.div(self.scalar_constant(f64::from(epsilon)), size)?, size)?;
            let mut y = self.div(scaled, self.sqrt(self.add(variance, least)?)?)?;
            if let Some(scale) = scale {
                y = self.mul(y, self.reshape(scale, [1, channels, 1])?)?;
            }
            if let Some(shift) = shift {
                y = self.add(y, self.reshape(shift, [1, channels, 1])?)?;
            }

            let row = |value: Value| self.reshape(value, [1, channels]);
            let or_running =
                |new: Value, running: Value| self.select(row(count)?, row(new)?, row(self.copy(running)?)?);
            let unbiased = self.div(count, self.maximum(self.sub(count, one)?, one)?)?;
            let variance = self.mul(self.mul(self.mul(variance, size)?, size)?, unbiased)?;
            // What takes the statistics up makes the variance of `all` numbers unbiased itself.
            let biased = self.scalar_constant((all - 1.0) / all);
            let variance = self.mul(or_running(variance, running[1])?, biased)?;
            let others = self.broadcast_to(one, [ROWS - 2, channels])?;
            let stats = self.concat(&[or_running(mean, running[0])?, variance, others], 0)?;
            Ok(BatchNorm { y, stats })
        })
    }
}
