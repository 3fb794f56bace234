use super::{Cost, ProfileRow};
use crate::executor::Executor;
use crate::kernel::{Roofline, Work};
use crate::session::Session;
use crate::tape::Dispatch;

impl Session {
    /// The rows of a profile by the operators and seconds of some runs, which are those of the same dispatches.
    pub(super) fn rows(&self, runs: &[Vec<(usize, f64)>], roofline: Option<Roofline>) -> Vec<ProfileRow> {
        let seconds = |index: usize| median(runs.iter().map(|run| run[index].1).collect());
        let timed = runs[0].iter().enumerate();
        timed.map(|(index, &(op, _))| self.row(index, op, seconds(index), roofline)).collect()
    }

    fn row(&self, index: usize, op: usize, seconds: f64, roofline: Option<Roofline>) -> ProfileRow {
        let tape = self.replayed();
        let node = &tape.ops()[op];
        let (kernel, constants, groups, work) = match &self.executor {
            Executor::Gpu(gpu) => {
                let dispatch = &gpu.plan.dispatches[index];
                let kernel = format!("{}:{}", dispatch.shader.name(), dispatch.entry);
                (kernel, constants(dispatch), dispatch.groups, dispatch.work)
            }
            Executor::Cpu(cpu) => {
                let by = if cpu.has_routine(op) { "routine" } else { "reference" };
                (by.to_owned(), String::new(), [0; 3], tape.work_of(node))
            }
            Executor::Reference(_) => {
                let Work { multiply_adds, bytes, .. } = tape.work_of(node);
                // Its elements are of 8 bytes.
                let work = Work::new(multiply_adds, multiply_adds, bytes.saturating_mul(2));
                ("reference".to_owned(), String::new(), [0; 3], work)
            }
        };
        ProfileRow {
            op,
            operator: node.title(),
            layer: tape.layer(node).to_owned(),
            phase: node.phase,
            kernel,
            constants,
            groups,
            cost: Cost::new(seconds, work, roofline),
        }
    }
}

/// The constants of a dispatch that are not 0.
fn constants(dispatch: &Dispatch) -> String {
    let set = dispatch.constants.iter().filter(|(_, value)| *value != 0.0);
    set.map(|(name, value)| format!("{name}={value}")).collect::<Vec<_>>().join(" ")
}

/// The middle of some numbers, of which there is one at least.
fn median(mut numbers: Vec<f64>) -> f64 {
    numbers.sort_unstable_by(f64::total_cmp);
    let middle = numbers.len() / 2;
    if numbers.len() % 2 == 1 { numbers[middle] } else { (numbers[middle - 1] + numbers[middle]) / 2.0 }
}
