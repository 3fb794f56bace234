use crate::error::Result;
use crate::graph::{Graph, Value};
impl crate::data::Samples<'_> {
    /// x
    pub fn slice(&self, range: std::ops::Range<usize>) -> crate::data::Samples<'_> {
        use crate::data::*;
        let col = |c: &Column<'_>| {
            let n = c.shape.numel();
            let r = range.start * n..range.end * n;
            Column {
                shape: c.shape,
                data: match &c.data {
                    ColumnData::F32(d) => ColumnData::F32(d[r].to_vec().into()),
                    ColumnData::U32(d) => ColumnData::U32(d[r].to_vec().into()),
                },
            }
        };
        Samples {
            inputs: self.inputs.iter().map(col).collect(),
            targets: self.targets.as_ref().map(col),
            weights: None,
        }
    }
}

#[derive(Debug)]
pub struct Ce;
impl super::LossFunction for Ce {
    fn targets(&self, output: crate::Shape) -> Result<crate::TensorType> {
        Ok(crate::TensorType { shape: crate::Shape::new(&output.dims()[..1])?, dtype: crate::DType::U32 })
    }
    fn record(&self, g: &Graph, output: Value, targets: Value) -> Result<Value> {
        let logp = g.log_softmax(output, -1)?;
        let oh = g.one_hot(targets, g.shape(output)?.dims()[1])?;
        g.neg(g.sum(g.mul(logp, oh)?, &[-1], false)?)
    }
    fn scores(&self) -> super::Scores {
        super::Scores::Logits
    }
}
