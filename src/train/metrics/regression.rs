//! Metrics of regression.

use super::function::{MetricFunction, MetricInputs};
use super::inputs::{Regressed, mean_of_totals, sum_and_count};
use crate::error::Result;
use crate::graph::{Graph, Value};
use crate::ops::{MOMENTS, sums_of_moments};

/// The metrics that are sums over what outputs are off by.
#[derive(Debug)]
pub(super) enum Regression {
    MeanSquaredError,
    RootMeanSquaredError,
    MeanAbsoluteError,
    SumOfSquaredErrors,
}

impl MetricFunction for Regression {
    fn name(&self) -> String {
        match self {
            Regression::MeanSquaredError => "mean_squared_error",
            Regression::RootMeanSquaredError => "root_mean_squared_error",
            Regression::MeanAbsoluteError => "mean_absolute_error",
            Regression::SumOfSquaredErrors => "sum_of_squared_errors",
        }
        .to_owned()
    }

    fn record(&self, graph: &Graph, inputs: MetricInputs) -> Result<Value> {
        let regressed = Regressed::new(graph, &self.name(), inputs)?;
        let errors = regressed.errors()?;
        let terms = match self {
            Regression::MeanAbsoluteError => graph.abs(errors)?,
            _ => graph.square(errors)?,
        };
        regressed.totals(terms)
    }

    fn results(&self, sums: &[f64]) -> Vec<f64> {
        let mean = mean_of_totals(sums);
        vec![match self {
            Regression::MeanSquaredError | Regression::MeanAbsoluteError => mean,
            Regression::RootMeanSquaredError => mean.sqrt(),
            Regression::SumOfSquaredErrors => sum_and_count(sums)[0],
        }]
    }
}

/// The coefficient of determination.
#[derive(Debug)]
pub(super) struct RSquared;

/// The share of a sum of squares that the deviations from the mean make up below which f64 cannot
/// tell them from none.
const NO_DEVIATION: f64 = 8.0 * f64::EPSILON;

/// What the moments of a number's targets, and its squared errors after them, come to.
fn of_number(sums: &[f64]) -> f64 {
    let (moments, errors) = (&sums[..MOMENTS], sums[MOMENTS]);
    let [count, sum, squares] = sums_of_moments(moments);
    let deviations = squares - sum * (sum / count);
    if deviations > NO_DEVIATION * squares || deviations.is_nan() {
        return 1.0 - errors / deviations;
    }
    if errors.is_nan() {
        return f64::NAN;
    }
    if errors == 0.0 { 1.0 } else { 0.0 }
}

impl MetricFunction for RSquared {
    fn name(&self) -> String {
        "r_squared".to_owned()
    }

    fn record(&self, graph: &Graph, inputs: MetricInputs) -> Result<Value> {
        let regressed = Regressed::new(graph, &self.name(), inputs)?;
        let errors = regressed.column_sums(graph.square(regressed.errors()?)?)?;
        graph.concat(&[regressed.target_moments()?, errors], 1)
    }

    fn results(&self, sums: &[f64]) -> Vec<f64> {
        let numbers = sums.chunks_exact(MOMENTS + 1);
        let count = numbers.len() as f64;
        vec![numbers.map(of_number).sum::<f64>() / count]
    }
}
