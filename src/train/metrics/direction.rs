/// Whether small or large figures are better.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Direction {
    /// As the figure itself says: a loss is to shrink, and a metric has declared what it is to do
    /// ([`MetricFunction::direction`](super::MetricFunction::direction)). Names decide nothing. Where nobody
    /// has said, whoever watches the figure asks for one of the others.
    #[default]
    Auto,
    /// Smaller is better.
    Min,
    /// Larger is better.
    Max,
}
