//! An axis: its range, its ticks and their labels.

use std::ops::Range;

use plotters::coord::ranged1d::{BoldPoints, KeyPointHint, NoDefaultFormatting, Ranged, ValueFormatter};
use plotters::coord::types::RangedCoordf64;
use plotters::data::fitting_range;

use super::font::widest;
use super::style::SMALL;

/// How numbers are laid out along an axis.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Scale {
    #[default]
    Linear,
    /// Linear, with ticks at whole numbers only.
    Whole,
    /// By their logarithm.
    Log,
}

impl Scale {
    /// Whether a number has a place. The greatest finite numbers have none, as their differences are
    /// infinite.
    pub fn has(self, value: f64) -> bool {
        value.abs() < 1e300 && (self != Scale::Log || value > 0.0)
    }

    /// The place of a number: itself, or its logarithm.
    pub fn place(self, value: f64) -> f64 {
        if self == Scale::Log { value.log10() } else { value }
    }
}

/// A range of places, and the places with labels.
#[derive(Clone, Debug)]
pub(super) struct Axis {
    range: Range<f64>,
    ticks: Vec<(f64, String)>,
}

impl Axis {
    /// An axis around the numbers, with a little space at both ends and at most `count` ticks or so.
    pub fn around(values: impl Iterator<Item = f64>, scale: Scale, count: usize) -> Axis {
        let places: Vec<f64> = values.filter(|&v| scale.has(v)).map(|v| scale.place(v)).collect();
        let (low, high) = apart(fitting_range(&places), scale);
        let space = 0.04 * (high - low);
        let mut axis = Axis::between(low - space, high + space, scale, count);
        if scale == Scale::Whole {
            // Among epochs from 1 to 20 there is no epoch 0.
            axis.ticks.retain(|(at, _)| (low..=high).contains(at));
        }
        axis
    }

    /// An axis over just these places.
    pub fn between(low: f64, high: f64, scale: Scale, count: usize) -> Axis {
        let mut ticks = if scale == Scale::Log {
            decades(low, high, count)
        } else {
            round_numbers(low, high, scale == Scale::Whole, count)
        };
        ticks.retain(|(at, _)| (low..=high).contains(at));
        Axis { range: low..high, ticks }
    }

    /// The axis for a chart where it is so many pixels long: each tick is at a whole one, where a line
    /// is sharp.
    pub fn sharp(&self, pixels: f64) -> Axis {
        let (mut axis, Range { start, end }) = (self.clone(), self.range.clone());
        for (place, _) in &mut axis.ticks {
            let share = ((*place - start) / (end - start) * pixels).round() / pixels;
            *place = start + share * (end - start);
        }
        axis
    }

    /// How wide its labels are in pixels.
    pub fn width(&self) -> f64 {
        widest(self.ticks.iter().map(|(_, label)| label.as_str()), SMALL)
    }
}

impl Ranged for Axis {
    type FormatOption = NoDefaultFormatting;
    type ValueType = f64;

    fn map(&self, place: &f64, limit: (i32, i32)) -> i32 {
        RangedCoordf64::from(self.range.clone()).map(place, limit)
    }

    fn key_points<Hint: KeyPointHint>(&self, hint: Hint) -> Vec<f64> {
        let shown = self.ticks.iter().filter(|_| !hint.weight().allow_light_points());
        shown.map(|&(place, _)| place).collect()
    }

    fn range(&self) -> Range<f64> {
        self.range.clone()
    }
}

impl ValueFormatter<f64> for Axis {
    fn format_ext(&self, place: &f64) -> String {
        let tick = self.ticks.iter().find(|tick| tick.0 == *place);
        tick.map(|(_, label)| label.clone()).unwrap_or_default()
    }
}

/// The ends of a range that is not too narrow to be labelled.
fn apart(Range { start: low, end: high }: Range<f64>, scale: Scale) -> (f64, f64) {
    let (middle, largest) = (low + (high - low) / 2.0, low.abs().max(high.abs()));
    let least = match scale {
        Scale::Whole => 1.0,
        Scale::Log => 0.6,
        // Labels of a narrower range would differ after too many digits.
        Scale::Linear if high - low < 1e-5 * largest => 0.1 * largest,
        Scale::Linear if largest == 0.0 => 2.0,
        Scale::Linear => 0.0,
    };
    if high - low >= least { (low, high) } else { (middle - least / 2.0, middle + least / 2.0) }
}

/// Multiples of 1, 2 or 5 times a power of ten, at most `count` of them.
fn round_numbers(low: f64, high: f64, whole: bool, count: usize) -> Vec<(f64, String)> {
    // Plotters compares with absolute numbers, which suits ranges of about 1.
    let unit = 10f64.powf((high - low).log10().floor());
    let points = RangedCoordf64::from(low / unit..high / unit).key_points(BoldPoints(count));
    let mut numbers: Vec<f64> = points.into_iter().map(|point| point * unit).collect();
    if whole {
        numbers.retain(|number| (number - number.round()).abs() < 1e-6);
    }
    let step = if let [first, second, ..] = numbers[..] { second - first } else { unit };
    let largest = low.abs().max(high.abs());
    numbers.into_iter().map(|number| (number, label(number, step, largest))).collect()
}

/// A number with as many digits as tell it from its neighbours, `step` away. All numbers of an axis
/// are at most `largest`.
fn label(value: f64, step: f64, largest: f64) -> String {
    // A sum with zero has no sign where it is zero.
    let value = if value.abs() < step / 2.0 { 0.0 } else { value } + 0.0;
    let decimals = (-(step.log10() + 1e-9).floor()).max(0.0) as usize;
    if largest < 1e6 && (decimals <= 4 || largest >= 1e-2) {
        return format!("{value:.decimals$}");
    }
    if value == 0.0 {
        return "0".to_owned();
    }
    let digits = (value.abs().log10().floor() - (step.log10() + 1e-9).floor()).max(0.0) as usize;
    // Read back, `1.50e6` is written `1.5e6`.
    format!("{:e}", format!("{value:.digits$e}").parse().unwrap_or(value))
}

/// Powers of ten, or of a thousand and so on if there are many; with 2 and 5 between them if there
/// are few. `low` and `high` are logarithms.
fn decades(low: f64, high: f64, count: usize) -> Vec<(f64, String)> {
    let between: &[f64] = if high - low < 2.0 { &[1.0, 2.0, 5.0] } else { &[1.0] };
    let every = ((high - low) / count.max(1) as f64).ceil().max(1.0) as i32;
    let powers = (low.floor() as i32..=high.ceil() as i32).filter(|power| power % every == 0);
    let plain = low >= -3.3 && high <= 4.3;
    let numbers = powers.flat_map(|power| between.iter().map(move |&digit| (digit, power)));
    let label = |(digit, power): (f64, i32)| {
        // Read from its text, which is exact where a product of powers is not.
        let text = format!("{digit}e{power}");
        let value: f64 = text.parse().unwrap_or(f64::NAN);
        (value.log10(), if plain { value.to_string() } else { text })
    };
    numbers.map(label).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn labels(values: &[f64], scale: Scale) -> Vec<String> {
        let axis = Axis::around(values.iter().copied(), scale, 6);
        axis.ticks.into_iter().map(|(_, label)| label).collect()
    }

    #[test]
    fn ticks_are_round_numbers() {
        assert_eq!(labels(&[0.0, 1.0], Scale::Linear), ["0.0", "0.2", "0.4", "0.6", "0.8", "1.0"]);
        assert_eq!(labels(&[-3.0, 7.0], Scale::Linear), ["-2", "0", "2", "4", "6"]);
        assert_eq!(labels(&[0.0, 5e6], Scale::Linear), ["0", "1e6", "2e6", "3e6", "4e6", "5e6"]);
        assert_eq!(labels(&[0.0, 5e-5], Scale::Linear), ["0", "1e-5", "2e-5", "3e-5", "4e-5", "5e-5"]);
        assert_eq!(labels(&[1.0, 3.0], Scale::Whole), ["1", "2", "3"]);
        assert_eq!(labels(&[1.0, 1000.0], Scale::Whole), ["200", "400", "600", "800", "1000"]);
    }

    #[test]
    fn one_number_makes_a_range() {
        assert_eq!(labels(&[1.0], Scale::Whole), ["1"]);
        for value in [0.0, 0.25, -7.0, 1e-12, 1e12, 123_456.789] {
            let axis = Axis::around([value, value].into_iter(), Scale::Linear, 6);
            let middle = (value - axis.range.start) / (axis.range.end - axis.range.start);
            assert!((middle - 0.5).abs() < 1e-6, "{value}: {middle}");
            assert!(axis.ticks.len() > 1 && axis.ticks.len() < 14, "{value}: {:?}", axis.ticks);
            let distinct = axis.ticks.windows(2).all(|pair| pair[0].1 != pair[1].1);
            assert!(distinct && axis.ticks.iter().all(|(_, label)| label.len() < 12), "{:?}", axis.ticks);
        }
    }

    #[test]
    fn what_cannot_be_drawn_is_left_out() {
        let values = [f64::NAN, 1.0, f64::INFINITY, 2.0, f64::MIN];
        assert_eq!(labels(&values, Scale::Linear), labels(&[1.0, 2.0], Scale::Linear));
        assert_eq!(labels(&[0.0, -1.0, 0.01, 1.0], Scale::Log), labels(&[0.01, 1.0], Scale::Log));
        assert!(!labels(&[], Scale::Linear).is_empty() && !labels(&[f64::NAN], Scale::Log).is_empty());
    }

    #[test]
    fn logarithms_have_decades() {
        assert_eq!(labels(&[1e-5, 1e-1], Scale::Log), ["1e-5", "1e-4", "1e-3", "1e-2", "1e-1"]);
        assert_eq!(labels(&[0.1, 1.0], Scale::Log), ["0.1", "0.2", "0.5", "1"]);
        assert!(labels(&[1e-30, 1e30], Scale::Log).len() <= 8);
        let axis = Axis::around([1e-4, 1e-2].into_iter(), Scale::Log, 6);
        assert!((axis.range.start + axis.range.end - 2.0 * Scale::Log.place(1e-3)).abs() < 1e-9);
    }

    #[test]
    fn ticks_are_at_whole_pixels() {
        let axis = Axis::between(0.0, 1.0, Scale::Linear, 6);
        let sharp = axis.sharp(104.0);
        let ticks = sharp.key_points(BoldPoints(6));
        assert!(ticks.iter().all(|tick| (tick * 104.0 - (tick * 104.0).round()).abs() < 1e-9), "{ticks:?}");
        assert!(ticks.iter().zip(&axis.ticks).all(|(tick, (exact, _))| (tick - exact).abs() <= 0.5 / 104.0));
        assert_eq!(ticks.len(), 6);
        assert!(ticks.iter().zip(&axis.ticks).all(|(tick, (_, label))| sharp.format_ext(tick) == *label));
    }
}
