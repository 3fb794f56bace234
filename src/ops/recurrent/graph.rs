use super::operator::{Part, Recur, one_of};
use super::{Cell, Extents, Recurrence, RecurrentOptions, RecurrentWeights};
use crate::ops::common::*;

impl Graph {
    #[track_caller]
    pub(crate) fn recurrence(
        &self,
        cell: Cell,
        x: Value,
        weights: RecurrentWeights,
        options: &RecurrentOptions,
    ) -> Result<Recurrence> {
        let op = cell.name();
        let parts = Part::given(&weights, options);
        let operands =
            [x, weights.input, weights.recurrent].into_iter().chain(parts.iter().map(|part| part.1));
        for value in operands.chain(options.initial.iter().copied()).chain(options.lengths) {
            self.operand_shape(op, value)?;
        }
        let extents = self.located(op, self.check_recurrence(cell, x, &weights, &parts, options))?;
        self.recurrence_of(cell, extents, x, &weights, options).map_err(|e| e.of_operator(op))
    }

    /// One product for the input of all steps, then one operator.
    #[track_caller]
    fn recurrence_of(
        &self,
        cell: Cell,
        extents: Extents,
        x: Value,
        weights: &RecurrentWeights,
        options: &RecurrentOptions,
    ) -> Result<Recurrence> {
        let Extents { batch, time, hidden } = extents;
        let (mut x, mut options) = (x, options.clone());
        if let Some(lengths) = options.lengths {
            options.mask = Some(self.sequence_mask(lengths, time)?);
        }
        if let Some(mask) = options.mask {
            // Padding is zeroed first: a product with what may be infinite there would make the
            // gradient of the weight NaN.
            x = self.select(self.reshape(mask, [batch, time, 1])?, x, self.scalar_constant(0.0))?;
        }
        let rows = self.reshape(x, [batch * time, self.shape_of(x).dims()[2]])?;
        let products = self.widened(self.matmul(rows, weights.input)?)?;
        let products = self.reshape(products, [batch, time, cell.gates() * hidden])?;
        let made = Recur::record(self, cell, products, weights, &options)?;
        let states = (0..cell.states()).map(|number| one_of(self, made[1], number));
        Ok(Recurrence { outputs: made[0], states: states.collect::<Result<_>>()? })
    }

    fn check_recurrence(
        &self,
        cell: Cell,
        x: Value,
        weights: &RecurrentWeights,
        parts: &[(Part, Value)],
        options: &RecurrentOptions,
    ) -> Result<Extents> {
        let [x, input, recurrent] = [x, weights.input, weights.recurrent].map(|value| self.type_of(value));
        expect_float("the sequence", x)?;
        let extents = Extents::new(cell, x.shape, input.shape, recurrent.shape)?;
        let Extents { batch, time, hidden } = extents;
        expect_dtype("the input weight", input, DType::F32)?;
        expect_dtype("the recurrent weight", recurrent, DType::F32)?;
        if let Some(peepholes) = weights.peepholes.filter(|_| cell != Cell::Lstm) {
            let value = self.type_of(peepholes);
            return Err(Error::argument("peepholes", value, "only an LSTM has them"));
        }
        let count = options.initial.len();
        if count != 0 && count != cell.states() {
            let expected =
                if cell == Cell::Lstm { "an LSTM has two, h and c" } else { "this cell has one, h" };
            return Err(Error::argument("initial states", count, expected));
        }
        if let Some(lengths) = options.lengths {
            let expected = "lengths or a mask say which steps count, not both";
            Error::expect(options.mask.is_none(), "mask", "given beside lengths", expected)?;
            let found = self.type_of(lengths);
            same_shape("lengths and batch", found.shape, Shape::from([batch]))?;
            expect_dtype("lengths and batch", found, DType::U32)?;
        }
        for &(part, value) in parts {
            let (what, wanted) = match part {
                Part::Bias => ("bias and gates by hidden units", TensorType::f32(cell.bias_shape(hidden))),
                Part::Peepholes => ("peepholes and 3 by hidden units", TensorType::f32([3, hidden])),
                Part::Mask => ("recurrent mask and batch by hidden units", TensorType::f32([batch, hidden])),
                Part::Steps => ("mask and batch by time", TensorType::f32([batch, time])),
                Part::Hidden | Part::Cell | Part::Last => {
                    ("initial state and batch by hidden units", TensorType::f32([batch, hidden]))
                }
            };
            let found = self.type_of(value);
            same_shape(what, found.shape, wanted.shape)?;
            expect_dtype(what, found, wanted.dtype)?;
        }
        Error::expect(options.truncate != Some(0), "truncate", 0, "at least 1 step")?;
        // A step of no time has no last state.
        debug_assert!(time > 0, "shapes without elements are refused where they are declared");
        Ok(extents)
    }
}
