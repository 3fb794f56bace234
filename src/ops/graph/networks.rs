use crate::error::Setting;
use crate::ops::common::*;
use crate::ops::lrn::LocalResponseNorm;
use crate::ops::norm::{BatchNorm, Kind, RunningStats};
use crate::ops::recurrent::{Cell, GruReset, Recurrence, RecurrentOptions, RecurrentWeights};
use crate::ops::sequence::Padded;
use crate::ops::softmax::{self, Softmax};

/// The longest sequence of which f32 holds the number of every step.
const MOST_STEPS: usize = 1 << 24;

/// # Normalisation, softmax and recurrences
///
/// f32 of `[n, c, ..]`, whose channels are normalised, or of any shape, along some of its axes. Recurrences go
/// over sequences `[batch, time, features]` in f32; where those are padded, u32 indices `[batch, time]` or
/// lengths `[batch]` say which steps count.
impl Graph {
    /// Batch normalisation in training (Ioffe and Szegedy, ICML 2015): each channel, over all
    /// samples and positions, is brought to mean 0 and variance 1, then scaled and shifted:
    /// `y = (x - mean) / sqrt(variance + epsilon) * scale + shift`, with the biased variance.
    ///
    /// `x` is f32 `[n, c]` or `[n, c, ...]`, and so is `y`; `scale` and `shift` are f32 `[c]`, or `None` for
    /// 1 and 0. The usual epsilon is 1e-5. A mean far larger than the deviations from it does no harm, nor
    /// do deviations whose squares f32 does not hold: `y` and the gradients are as exact for 1e30 as for 1. Only
    /// the variance among the statistics, and so a running variance, is infinite where it is past f32's
    /// range. A NaN or an infinity makes its whole channel NaN.
    ///
    /// ```
    /// use retape::prelude::*;
    /// let mut g = Graph::new();
    /// let x = g.input("x", [4, 1]);
    /// let norm = g.batch_norm(x, None, None, 1e-5)?;
    /// let (mean, variance) = (g.state("mean", [1], Init::Zeros), g.state("variance", [1], Init::Ones));
    /// g.update_running_stats(&norm, mean, variance, 0.1)?;
    /// let mut session = g.forward([norm.y()])?.session(&Device::cpu())?;
    /// session.write(x, &[1.0, 2.0, 3.0, 4.0])?;
    /// session.replay()?;
    /// assert!((session.read(mean)?[0] - 0.25).abs() < 1e-6);
    /// assert!((session.read(variance)?[0] - (0.9 + 0.1 * 5.0 / 3.0)).abs() < 1e-6);
    /// # Ok::<(), retape::Error>(())
    /// ```
    ///
    /// # Errors
    /// [`Error::Argument`] if a channel has only one value, or for an epsilon that is not positive;
    /// [`Error::Rank`] below two axes; [`Error::ShapeMismatch`] unless scale and shift are `[c]`;
    /// [`Error::DTypeMismatch`] unless all are f32; [`Error::ForeignValue`].
    #[track_caller]
    pub fn batch_norm(
        &self,
        x: Value,
        scale: impl Into<Option<Value>>,
        shift: impl Into<Option<Value>>,
        epsilon: f32,
    ) -> Result<BatchNorm> {
        let made = self.normalized(Kind::Batch, &[x], scale.into(), shift.into(), epsilon)?;
        Ok(BatchNorm { y: made[0], stats: made[1] })
    }

    /// Makes each step move the running statistics of a batch norm towards those of its batch:
    /// `running = (1 - momentum) * running + momentum * new`, where the new variance is the unbiased
    /// one, as in PyTorch. Both are f32 states of `[c]`, usually 0 and 1 at first; the usual momentum is
    /// 0.1. [`batch_norm_inference`](Graph::batch_norm_inference) normalises by them.
    ///
    /// # Errors
    /// [`Error::ShapeMismatch`]; [`Error::DTypeMismatch`]; [`Error::NotWritable`] for what is no state,
    /// and for one state as both; [`Error::Argument`] for a momentum outside 0 to 1;
    /// [`Error::ForeignValue`].
    #[track_caller]
    pub fn update_running_stats(
        &self,
        norm: &BatchNorm,
        running_mean: Value,
        running_variance: Value,
        momentum: f32,
    ) -> Result<()> {
        const NAME: &str = "update_running_stats";
        let shape = self.operand_shape(NAME, norm.y)?;
        self.operand_shape(NAME, norm.stats)?;
        let expected = "the share of the new value is from 0 to 1";
        let is_share = (0.0..=1.0).contains(&momentum);
        self.located(NAME, Setting::new("momentum", momentum, is_share, expected).check())?;
        for state in [running_mean, running_variance] {
            self.operand_shape(NAME, state)?;
            if self.recording().kind(state).is_none() || running_mean == running_variance {
                let name = self.recording().describe(state);
                let reason = "running mean and variance are two states";
                return self.located(NAME, Err(Error::NotWritable { name, reason }));
            }
        }
        let count = self.located(NAME, Kind::Batch.count(shape))?;
        let update = RunningStats { momentum, count };
        self.apply(update, &[running_mean, running_variance, norm.stats]).map(drop)
    }

    /// Batch normalisation by given statistics, as in evaluation:
    /// `y = (x - mean) / sqrt(variance + epsilon) * scale + shift`.
    ///
    /// `x` is f32 `[n, c]` or `[n, c, ...]`, and so is the result; everything else is f32 `[c]`; `scale` and
    /// `shift` may be `None` for 1 and 0. Mean and variance count as constants: no gradient flows to them.
    ///
    /// # Errors
    /// As [`batch_norm`](Graph::batch_norm), but a channel may have one value: [`Error::Argument`],
    /// [`Error::Rank`], [`Error::ShapeMismatch`], [`Error::DTypeMismatch`], [`Error::ForeignValue`].
    #[track_caller]
    pub fn batch_norm_inference(
        &self,
        x: Value,
        scale: impl Into<Option<Value>>,
        shift: impl Into<Option<Value>>,
        mean: Value,
        variance: Value,
        epsilon: f32,
    ) -> Result<Value> {
        let inputs = [x, mean, variance];
        Ok(self.normalized(Kind::Inference, &inputs, scale.into(), shift.into(), epsilon)?[0])
    }

    /// Layer normalisation (Ba, Kiros and Hinton, arXiv 1607.06450, 2016): as
    /// [`batch_norm`](Graph::batch_norm), but with mean and variance of each sample's own elements,
    /// over all axes from `axis` on (usually -1, the last). `x` is f32 of any shape that has this axis, and
    /// so is the result; `scale` and `shift` are f32 and have the shape of those axes.
    ///
    /// # Errors
    /// [`Error::Axis`]; otherwise as [`batch_norm`](Graph::batch_norm), but one value is enough:
    /// [`Error::Argument`], [`Error::ShapeMismatch`], [`Error::DTypeMismatch`],
    /// [`Error::ForeignValue`].
    #[track_caller]
    pub fn layer_norm(
        &self,
        x: Value,
        axis: isize,
        scale: impl Into<Option<Value>>,
        shift: impl Into<Option<Value>>,
        epsilon: f32,
    ) -> Result<Value> {
        let axis = self.operand_axis("layer_norm", x, axis)?;
        Ok(self.normalized(Kind::Layer(axis), &[x], scale.into(), shift.into(), epsilon)?[0])
    }

    /// Group normalisation (Wu and He, ECCV 2018): as [`batch_norm`](Graph::batch_norm), but with
    /// mean and variance over each of `groups` equal groups of a sample's channels and all
    /// positions. `x` is f32 `[n, c]` or `[n, c, ...]`, and so is the result; `scale` and `shift` are f32
    /// `[c]`.
    ///
    /// # Errors
    /// [`Error::Argument`] if the groups do not divide the channels; otherwise as
    /// [`batch_norm`](Graph::batch_norm), but one value is enough: [`Error::Rank`],
    /// [`Error::ShapeMismatch`], [`Error::DTypeMismatch`], [`Error::ForeignValue`].
    #[track_caller]
    pub fn group_norm(
        &self,
        x: Value,
        groups: usize,
        scale: impl Into<Option<Value>>,
        shift: impl Into<Option<Value>>,
        epsilon: f32,
    ) -> Result<Value> {
        Ok(self.normalized(Kind::Group(groups), &[x], scale.into(), shift.into(), epsilon)?[0])
    }

    /// Instance normalisation (Ulyanov, Vedaldi and Lempitsky, arXiv 1607.08022, 2016): as
    /// [`batch_norm`](Graph::batch_norm), but with mean and variance of each channel of each sample
    /// over its positions. `x` is f32 `[n, c, ...]`, and so is the result; `scale` and `shift` are f32
    /// `[c]`.
    ///
    /// # Errors
    /// As [`batch_norm`](Graph::batch_norm), for a single position too: [`Error::Argument`],
    /// [`Error::Rank`], [`Error::ShapeMismatch`], [`Error::DTypeMismatch`], [`Error::ForeignValue`].
    #[track_caller]
    pub fn instance_norm(
        &self,
        x: Value,
        scale: impl Into<Option<Value>>,
        shift: impl Into<Option<Value>>,
        epsilon: f32,
    ) -> Result<Value> {
        Ok(self.normalized(Kind::Instance, &[x], scale.into(), shift.into(), epsilon)?[0])
    }

    /// Local response normalisation (Krizhevsky, Sutskever and Hinton, NeurIPS 2012) of `[n, c, ..]`
    /// in f32, which gives f32 of that shape: each element over a power of its neighbours in `size` channels,
    ///
    /// `y[c] = x[c] / (k + alpha / size * sum of x[i]^2)^beta`, `i` from `c - (size - 1) / 2` to
    /// `c + size / 2`
    ///
    /// with both quotients rounded down and channels off the ends left out. This is ONNX's `LRN`. For
    /// odd sizes it is PyTorch's `LocalResponseNorm` as well, which puts the odd channel of an even
    /// size before, not after. The paper does not divide `alpha`:
    /// its 1e-4 over 5 channels is an `alpha` of 5e-4 here, with `k` = 2 and `beta` = 0.75.
    ///
    /// Neither sums of squares nor denominators past the range of f32 do harm: `y` and the gradient are as
    /// exact for elements of 1e30 as for 1.
    ///
    /// # Errors
    /// [`Error::Rank`] below two dimensions, [`Error::DTypeMismatch`] unless `x` is f32;
    /// [`Error::Argument`] for a `size` of 0, an `alpha` that is negative, a `beta` or `k` that is not
    /// positive, and for any of them that is not finite; [`Error::ForeignValue`].
    #[track_caller]
    pub fn local_response_norm(&self, x: Value, size: usize, alpha: f32, beta: f32, k: f32) -> Result<Value> {
        self.apply1(LocalResponseNorm { size, alpha, beta, k }, &[x])
    }

    /// `exp(x) / sum(exp(x))` along `axis`: rows of positive numbers that add up to 1. f32 of any
    /// shape; the result has the same. The row's largest element is subtracted first (Blanchard,
    /// Higham and Higham, IMA J. Numer. Anal. 2021), so that no finite `x` overflows.
    /// A NaN or +inf in a row makes all of it NaN, and so do elements that all are -inf.
    ///
    /// # Errors
    /// [`Error::Axis`]; [`Error::DTypeMismatch`]
    /// unless `x` is f32.
    #[track_caller]
    pub fn softmax(&self, x: Value, axis: isize) -> Result<Value> {
        let axis = self.operand_axis("softmax", x, axis)?;
        self.apply1(Softmax { kind: softmax::Kind::Softmax, axis }, &[x])
    }

    /// `x - log(sum(exp(x)))` along `axis`, the logarithm of [`softmax`](Graph::softmax), which
    /// stays finite where softmax underflows to 0. Shapes are those of softmax.
    ///
    /// # Errors
    /// As [`softmax`](Graph::softmax).
    #[track_caller]
    pub fn log_softmax(&self, x: Value, axis: isize) -> Result<Value> {
        let axis = self.operand_axis("log_softmax", x, axis)?;
        self.apply1(Softmax { kind: softmax::Kind::LogSoftmax, axis }, &[x])
    }

    /// A simple recurrent network (Elman, Cognitive Science 14, 1990) over `x`
    /// `[batch, time, features]` in f32:
    ///
    /// `h[t] = f(x[t] W + h[t - 1] U + b)`
    ///
    /// It gives f32 `[batch, time, hidden]` and the last states, each f32 `[batch, hidden]`. The shapes of
    /// weights are in [`RecurrentWeights`], those of other operands in [`RecurrentOptions`].
    ///
    /// # Errors
    /// [`Error::Rank`] and [`Error::ShapeMismatch`] with both shapes; [`Error::DTypeMismatch`];
    /// [`Error::Argument`] for options that the cell does not have; [`Error::ForeignValue`].
    #[track_caller]
    pub fn simple_rnn(
        &self,
        x: Value,
        weights: RecurrentWeights,
        options: &RecurrentOptions,
    ) -> Result<Recurrence> {
        self.recurrence(Cell::Simple, x, weights, options)
    }

    /// Long short-term memory (Hochreiter and Schmidhuber, Neural Computation 9(8), 1997, with the
    /// forget gate of Gers et al., 2000) over `x` `[batch, time, features]` in f32:
    ///
    /// ```text
    /// i = s(x[t] Wi + h[t-1] Ui + bi + pi c[t-1])      f = s(x[t] Wf + h[t-1] Uf + bf + pf c[t-1])
    /// g = a(x[t] Wg + h[t-1] Ug + bg)                  c[t] = f c[t-1] + i g
    /// o = s(x[t] Wo + h[t-1] Uo + bo + po c[t])        h[t] = o a(c[t])
    /// ```
    ///
    /// with the peepholes p, if there are any, of Gers and Schmidhuber (IJCNN 2000). It gives f32
    /// `[batch, time, hidden]` and the last h and c, each f32 `[batch, hidden]`.
    ///
    /// # Errors
    /// As [`simple_rnn`](Graph::simple_rnn): [`Error::Rank`], [`Error::ShapeMismatch`],
    /// [`Error::DTypeMismatch`], [`Error::Argument`], [`Error::ForeignValue`].
    #[track_caller]
    pub fn lstm(
        &self,
        x: Value,
        weights: RecurrentWeights,
        options: &RecurrentOptions,
    ) -> Result<Recurrence> {
        self.recurrence(Cell::Lstm, x, weights, options)
    }

    /// Gated recurrent units (Cho et al., EMNLP 2014) over `x` `[batch, time, features]` in f32:
    ///
    /// ```text
    /// r = s(x[t] Wr + h[t-1] Ur + br)                  z = s(x[t] Wz + h[t-1] Uz + bz)
    /// n = a(x[t] Wn + bn + r (h[t-1] Un + cn))         h[t] = (1 - z) n + z h[t-1]
    /// ```
    ///
    /// or, with [`GruReset::Before`], `n = a(x[t] Wn + bn + (r h[t-1]) Un)`. It gives f32
    /// `[batch, time, hidden]` and the last h, f32 `[batch, hidden]`.
    ///
    /// # Errors
    /// As [`simple_rnn`](Graph::simple_rnn): [`Error::Rank`], [`Error::ShapeMismatch`],
    /// [`Error::DTypeMismatch`], [`Error::Argument`], [`Error::ForeignValue`].
    #[track_caller]
    pub fn gru(
        &self,
        x: Value,
        weights: RecurrentWeights,
        reset: GruReset,
        options: &RecurrentOptions,
    ) -> Result<Recurrence> {
        self.recurrence(Cell::Gru(reset), x, weights, options)
    }

    /// The lengths of padded sequences: u32 `indices` `[batch, time]` give u32 `[batch]`, for each
    /// row one more than the place of the last index that is not `padding`, or 0 if there is none.
    /// A padding index between others counts as part of the sequence. With more dimensions, the
    /// last one is the time. No gradient flows.
    ///
    /// ```
    /// use retape::prelude::*;
    /// let mut g = Graph::new();
    /// let words = g.indices("words", [3, 4]);
    /// let lengths = g.sequence_lengths(words, 0)?;
    /// let mask = g.padding_mask(words, 0)?;
    /// let mut session = g.forward([lengths, mask])?.session(&Device::cpu())?;
    /// session.write(words, &[5u32, 7, 0, 0, 0, 0, 0, 0, 3, 0, 2, 9])?;
    /// session.replay()?;
    /// assert_eq!(session.read_u32(lengths)?, [2, 0, 4]);
    /// assert_eq!(session.read(mask)?, [1., 1., 0., 0., 0., 0., 0., 0., 1., 0., 1., 1.]);
    /// # Ok::<(), retape::Error>(())
    /// ```
    ///
    /// # Errors
    /// [`Error::DTypeMismatch`] unless the indices are u32; [`Error::Rank`] for a single index;
    /// [`Error::ForeignValue`].
    #[track_caller]
    pub fn sequence_lengths(&self, indices: Value, padding: u32) -> Result<Value> {
        self.apply1(Padded { padding, lengths: true }, &[indices])
    }

    /// 1 for the first `lengths` steps of each sequence and 0 for its padding behind them: u32 lengths of any
    /// shape, from 0 to `time`, give f32 of that shape by `time`, TensorFlow's `sequence_mask`. No gradient
    /// flows.
    ///
    /// ```
    /// use retape::prelude::*;
    /// let mut g = Graph::new();
    /// let lengths = g.indices("lengths", [2]);
    /// let mask = g.sequence_mask(lengths, 3)?;
    /// let mut session = g.forward([mask])?.session(&Device::cpu())?;
    /// session.write(lengths, &[1u32, 3])?;
    /// session.replay()?;
    /// assert_eq!(session.read(mask)?, [1., 0., 0., 1., 1., 1.]);
    /// # Ok::<(), retape::Error>(())
    /// ```
    ///
    /// # Errors
    /// [`Error::DTypeMismatch`] unless the lengths are u32; [`Error::Argument`] for no steps and for more than
    /// 2^24; [`Error::TooManyElements`]; [`Error::RankLimit`]; [`Error::ForeignValue`]. Written lengths past `time` are refused.
    #[track_caller]
    pub fn sequence_mask(&self, lengths: Value, time: usize) -> Result<Value> {
        self.composed("sequence_mask", || {
            let expected = "at least 1 and at most 2^24, as far as f32 counts";
            Error::expect((1..=MOST_STEPS).contains(&time), "time", time, expected)?;
            let ty = self.ty(lengths)?;
            expect_dtype("the lengths", ty, DType::U32)?;
            Shape::new(&[ty.shape.dims(), &[time]].concat())?.check_size("the mask")?;
            // The table turns u32 into f32.
            let numbers: Vec<f32> = (0..=time).map(|t| t as f32).collect();
            let table = self.constant([time + 1], &numbers)?;
            let column = Shape::new(&[ty.shape.dims(), &[1]].concat())?;
            let lengths = self.reshape(self.gather(table, lengths, 0)?, column)?;
            self.less(self.constant([time], &numbers[..time])?, lengths)
        })
    }

    /// 1 where an index is not `padding` and 0 where it is: u32 `indices` of any shape give f32 of
    /// that shape, which masks what was looked up for them. No gradient flows.
    ///
    /// # Errors
    /// [`Error::DTypeMismatch`] unless the indices are u32; [`Error::ForeignValue`].
    #[track_caller]
    pub fn padding_mask(&self, indices: Value, padding: u32) -> Result<Value> {
        self.apply1(Padded { padding, lengths: false }, &[indices])
    }
}
