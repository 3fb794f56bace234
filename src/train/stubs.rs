use crate::error::Result;
use crate::graph::{Graph, Value};
impl Graph {
    /// x
    pub fn penalties(&self) -> Vec<Value> {
        Vec::new()
    }
    /// x
    pub fn accumulate(&self, total: Value, _carry: Value, value: Value) -> Result<()> {
        self.assign(total, self.add(total, value)?)
    }
    /// x
    pub fn load_batch(&self, _destination: Value, _data: Value, _order: Value, _stride: u32) -> Result<()> {
        Ok(())
    }
    /// x
    pub fn state_u32(&self, name: &str, shape: crate::Shape) -> Value {
        self.state(name, shape, crate::Init::Zeros)
    }
}

impl crate::Session {
    /// x
    pub fn set_updates(&mut self, _n: u32) {}
}
impl crate::data::Samples<'_> {
    /// x
    pub fn slice(&self, _range: std::ops::Range<usize>) -> crate::data::Samples<'_> {
        crate::data::Samples::default()
    }
}
