use std::borrow::Cow;

use super::Dataset;
use crate::error::Result;
use crate::shape::Shape;

/// The numbers of a column.
#[derive(Clone, Debug, PartialEq)]
pub enum ColumnData<'a> {
    /// f32.
    F32(Cow<'a, [f32]>),
    /// u32.
    U32(Cow<'a, [u32]>),
}

/// One input, or the targets, of all samples.
#[derive(Clone, Debug, PartialEq)]
pub struct Column<'a> {
    /// The shape of one sample.
    pub shape: Shape,
    /// The numbers, sample by sample.
    pub data: ColumnData<'a>,
}

/// Samples.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Samples<'a> {
    /// Inputs.
    pub inputs: Vec<Column<'a>>,
    /// Targets.
    pub targets: Option<Column<'a>>,
    /// Weights.
    pub weights: Option<Cow<'a, [f32]>>,
}

impl<'a> From<&'a Dataset> for Samples<'a> {
    fn from(data: &'a Dataset) -> Self {
        let input = Column { shape: data.shape, data: ColumnData::F32(Cow::Borrowed(&data.inputs)) };
        let targets = Column { shape: Shape::from([]), data: ColumnData::U32(Cow::Borrowed(&data.labels)) };
        Samples { inputs: vec![input], targets: Some(targets), weights: None }
    }
}

impl Samples<'_> {
    /// The number of samples.
    pub fn len(&self) -> usize {
        let c = &self.inputs[0];
        match &c.data {
            ColumnData::F32(d) => d.len() / c.shape.numel(),
            ColumnData::U32(d) => d.len() / c.shape.numel(),
        }
    }
    /// none
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
    /// Checks.
    pub fn check(&self) -> Result<()> {
        Ok(())
    }
}
