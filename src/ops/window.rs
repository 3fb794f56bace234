//! Windows that slide over height and width: what convolution and pooling share.

use std::fmt;
use std::ops::Range;

use super::common::*;

/// Height and width, or one number for both.
///
/// ```
/// use retape::ops::Pair;
/// assert_eq!(Pair::from(3), Pair::from([3, 3]));
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Pair(pub [usize; 2]);

impl Pair {
    /// The same along the width, and 1 along the height.
    pub(super) fn horizontal(self) -> Self {
        Pair([1, self.0[1]])
    }
}

impl From<usize> for Pair {
    fn from(both: usize) -> Self {
        Pair([both; 2])
    }
}

impl From<[usize; 2]> for Pair {
    fn from(pair: [usize; 2]) -> Self {
        Pair(pair)
    }
}

/// What surrounds an image before a window slides over it. `k` is the window's extent,
/// `dilation (kernel - 1) + 1`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Padding {
    /// Nothing: the output is `floor((in - k) / stride) + 1`.
    #[default]
    Valid,
    /// As much as makes the output `ceil(in / stride)`, the odd extra at the bottom and right
    /// (ONNX `SAME_UPPER`, Keras `same`).
    Same,
    /// `k - 1` on every side: with stride 1 the output is `in + k - 1`.
    Full,
    /// Given numbers of rows and columns.
    Explicit {
        /// Rows above.
        top: usize,
        /// Columns to the left.
        left: usize,
        /// Rows below.
        bottom: usize,
        /// Columns to the right.
        right: usize,
    },
}

impl Padding {
    /// The same number of rows and columns on opposite sides.
    ///
    /// ```
    /// use retape::ops::Padding;
    /// assert_eq!(Padding::symmetric(1), Padding::Explicit { top: 1, left: 1, bottom: 1, right: 1 });
    /// ```
    pub fn symmetric(padding: impl Into<Pair>) -> Self {
        let Pair([h, w]) = padding.into();
        Padding::Explicit { top: h, left: w, bottom: h, right: w }
    }

    /// The same along the width, and nothing explicit along the height.
    pub(super) fn horizontal(self) -> Self {
        match self {
            Padding::Explicit { left, right, .. } => Padding::Explicit { top: 0, left, bottom: 0, right },
            other => other,
        }
    }
}

impl fmt::Display for Padding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Padding::Valid => f.write_str("valid"),
            Padding::Same => f.write_str("same"),
            Padding::Full => f.write_str("full"),
            Padding::Explicit { top, left, bottom, right } => write!(f, "[{top}, {left}, {bottom}, {right}]"),
        }
    }
}

/// The most taps of a window, unless its image has as many elements: what is left lies on padding.
const MOST_TAPS: usize = 1 << 24;

/// The most taps that all windows of an operator go over: what takes a GPU minutes.
const MOST_WORK: u64 = 1 << 48;

/// Refuses windows that no device gets to the end of; `factors` are how often taps are gone over.
pub(super) fn check_work(factors: &[usize]) -> Result<()> {
    let work = factors.iter().fold(1u64, |work, &factor| work.saturating_mul(factor as u64));
    let expected = "all windows of an operator go over at most 2^48 taps";
    Error::expect(work <= MOST_WORK, "multiply-adds", work, expected)
}

/// A window before it is laid over an image.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Window {
    pub kernel: [usize; 2],
    pub stride: [usize; 2],
    pub dilation: [usize; 2],
    pub padding: Padding,
    /// Whether a last window that hangs over the end by less than a stride counts, as long as it
    /// begins within the image or the padding before it.
    pub ceil_mode: bool,
}

/// A window laid over an image, along one axis.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct WindowAxis {
    pub input: usize,
    pub output: usize,
    pub kernel: usize,
    pub stride: usize,
    pub dilation: usize,
    /// Padding before and after the image.
    pub before: usize,
    pub after: usize,
}

impl WindowAxis {
    /// The taps of the window at `output` that lie on the image: those between are no padding either.
    pub fn taps_on_image(&self, output: usize) -> Range<usize> {
        let begin = output * self.stride;
        // The first tap at or past a place of the padded image.
        let past = |place: usize| place.saturating_sub(begin).div_ceil(self.dilation).min(self.kernel);
        past(self.before)..past(self.before + self.input)
    }

    /// The input element under tap `tap` of the window at `output`, unless it is padding.
    pub fn tap(&self, output: usize, tap: usize) -> Option<usize> {
        (output * self.stride + tap * self.dilation).checked_sub(self.before).filter(|&i| i < self.input)
    }
}

impl Window {
    /// Lays the window over an image of this height and width.
    ///
    /// # Errors
    /// [`Error::Argument`] for zeros, for numbers of 2^31 and more and for windows of more taps than
    /// [`MOST_TAPS`] and the image has, [`Error::Window`] if the window is larger than the padded image.
    pub fn over(&self, input: [usize; 2]) -> Result<[WindowAxis; 2]> {
        let axes = [self.axis(0, input[0])?, self.axis(1, input[1])?];
        let ([kh, kw], [h, w]) = (self.kernel, input);
        let fits = kh.saturating_mul(kw) <= h.saturating_mul(w).max(MOST_TAPS);
        let expected = "a window takes 2^24 taps, or as many as the image has elements";
        Error::expect(fits, "kernel size", format!("{kh}x{kw} over an image of {h}x{w}"), expected)?;
        Ok(axes)
    }

    /// Lays the window over images of so many channels. Where the last dimension looks like those, the
    /// error says which one they are.
    ///
    /// # Errors
    /// Those of [`over`](Window::over).
    pub fn over_channels(&self, channels: usize, input: [usize; 2]) -> Result<[WindowAxis; 2]> {
        self.over(input).map_err(|error| match error {
            Error::Window { axis, extent, input: found, padded, .. } if channels_last(channels, input) => {
                let hint = "; images are [channels, height, width]: are the channels last here?";
                Error::Window { axis, extent, input: found, padded, hint }
            }
            other => other,
        })
    }

    fn axis(&self, axis: usize, input: usize) -> Result<WindowAxis> {
        let (kernel, stride, dilation) = (self.kernel[axis], self.stride[axis], self.dilation[axis]);
        check("kernel size", kernel, 1)?;
        check("stride", stride, 1)?;
        check("dilation", dilation, 1)?;
        let reach = dilation.saturating_mul(kernel - 1);
        check("dilation times kernel size", reach, 0)?;
        let extent = reach + 1;
        let (before, after) = match self.padding {
            Padding::Valid => (0, 0),
            Padding::Full => (reach, reach),
            Padding::Explicit { top, left, bottom, right } => [(top, bottom), (left, right)][axis],
            Padding::Same => {
                let covered = input.div_ceil(stride).saturating_sub(1) * stride + extent;
                let total = covered.saturating_sub(input);
                (total / 2, total - total / 2)
            }
        };
        check("padding", before, 0)?;
        check("padding", after, 0)?;
        let padded = input + before + after;
        let missing = extent.saturating_sub(padded);
        if missing > 0 && !(self.ceil_mode && missing < stride) {
            let axis = ["height", "width"][axis];
            return Err(Error::Window { axis, extent, input, padded, hint: "" });
        }
        let room = padded.saturating_sub(extent);
        let mut output = room / stride + 1;
        if self.ceil_mode && !room.is_multiple_of(stride) && output * stride < input + before {
            output += 1;
        }
        Ok(WindowAxis { input, output, kernel, stride, dilation, before, after })
    }
}

/// Whether the width of an image is more likely its number of channels: grey, colour, or that and alpha.
fn channels_last(channels: usize, [height, width]: [usize; 2]) -> bool {
    [1, 3, 4].contains(&width) && width < height && width < channels
}

/// Window arithmetic in shaders is in 32 bits with a sign.
fn check(argument: &'static str, value: usize, least: usize) -> Result<()> {
    if (least..1 << 31).contains(&value) {
        return Ok(());
    }
    let expected = if least == 0 { "less than 2^31" } else { "at least 1 and less than 2^31" };
    Err(Error::argument(argument, value, expected))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn output(input: usize, kernel: usize, stride: usize, padding: Padding) -> usize {
        let (kernel, stride) = ([kernel; 2], [stride; 2]);
        let window = Window { kernel, stride, dilation: [1; 2], padding, ceil_mode: false };
        window.over([input; 2]).unwrap()[0].output
    }

    #[test]
    fn outputs_have_the_published_sizes() {
        assert_eq!(output(227, 11, 4, Padding::Valid), 55);
        assert_eq!(output(224, 7, 2, Padding::symmetric(3)), 112);
        assert_eq!(output(28, 3, 1, Padding::Same), 28);
        assert_eq!(output(5, 3, 2, Padding::Same), 3);
        assert_eq!(output(5, 3, 1, Padding::Full), 7);
        assert_eq!(output(5, 1, 3, Padding::Same), 2);
    }

    #[test]
    fn the_odd_extra_goes_to_the_end() {
        let same = Window {
            kernel: [2, 3],
            stride: [1, 2],
            dilation: [1, 2],
            padding: Padding::Same,
            ceil_mode: false,
        };
        let [h, w] = same.over([4, 6]).unwrap();
        assert_eq!((h.before, h.after, h.output), (0, 1, 4));
        assert_eq!((w.before, w.after, w.output), (1, 2, 3));
    }

    #[test]
    fn ceil_mode_counts_windows_that_begin_within() {
        let axis = |input, kernel, stride, padding| {
            let (kernel, stride) = ([kernel; 2], [stride; 2]);
            let padding = Padding::symmetric(padding);
            Window { kernel, stride, dilation: [1; 2], padding, ceil_mode: true }.over([input; 2]).unwrap()[0]
        };
        assert_eq!(axis(6, 3, 2, 0).output, 3);
        assert_eq!(axis(5, 2, 2, 0).output, 3);
        // The third window would begin in the padding after the image.
        assert_eq!(axis(2, 2, 2, 1).output, 2);
        assert_eq!(axis(4, 2, 2, 0).output, 2);
        // The only window hangs over.
        assert_eq!(axis(2, 3, 2, 0).output, 1);
        let wide = Window {
            kernel: [4; 2],
            stride: [2; 2],
            dilation: [1; 2],
            padding: Padding::Valid,
            ceil_mode: true,
        };
        assert!(matches!(wide.over([2; 2]), Err(Error::Window { .. })));
    }

    #[test]
    fn channels_that_come_last_are_recognised() {
        let window = Window {
            kernel: [5; 2],
            stride: [1; 2],
            dilation: [1; 2],
            padding: Padding::Valid,
            ceil_mode: false,
        };
        let message = |channels, image| window.over_channels(channels, image).unwrap_err().to_string();
        for image in [[28, 1], [32, 3], [32, 4]] {
            let message = message(32, image);
            assert!(message.contains("[channels, height, width]"), "{message}");
        }
        for (channels, image) in [(1, [32, 3]), (32, [3, 3]), (32, [32, 2]), (32, [4, 32])] {
            let message = message(channels, image);
            assert!(message.ends_with("without padding)"), "{message}");
        }
    }

    #[test]
    fn windows_that_do_not_fit_are_refused() {
        let window = |kernel, stride, dilation| Window {
            kernel: [kernel; 2],
            stride: [stride; 2],
            dilation: [dilation; 2],
            padding: Padding::Valid,
            ceil_mode: false,
        };
        assert!(matches!(window(3, 1, 3).over([6, 6]), Err(Error::Window { extent: 7, padded: 6, .. })));
        for (kernel, stride, dilation) in [(0, 1, 1), (1, 0, 1), (1, 1, 0), (3, 1, 1 << 30), (1, 1 << 31, 1)]
        {
            let found = window(kernel, stride, dilation).over([6, 6]);
            assert!(matches!(found, Err(Error::Argument { .. })), "{found:?}");
        }
    }
}
