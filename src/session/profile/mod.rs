//! What each part of a step takes.

mod cost;
mod rows;
mod trace;

pub use cost::{Breakdown, Cost, ProfileGroup};

use std::fmt;
use std::path::Path;

use super::Session;
use crate::error::{Error, Result};
use crate::graph::Phase;
use crate::kernel::{Clock, Roofline};

/// How a step is [profiled](Session::profile_with).
#[derive(Clone, Copy, Debug)]
#[must_use]
pub struct ProfileOptions {
    repeats: usize,
    host_clock: bool,
}

impl Default for ProfileOptions {
    fn default() -> Self {
        ProfileOptions::new()
    }
}

impl ProfileOptions {
    /// Five repeats, by the device's clock where there is one.
    pub fn new() -> Self {
        ProfileOptions { repeats: 5, host_clock: false }
    }

    setters! {
        /// How often the step is run; times are medians. With more than one repeat, copies of the parameters and states are
        /// held on the device meanwhile.
        repeats: usize => repeats;
        /// Whether the host's clock is used where the device has one too.
        host_clock: bool => host_clock;
    }
}

/// What each dispatch of a step takes; on the CPU, each operator. What [`Session::profile`] returns.
///
/// `Display` is the table of dispatches, those that take longest first.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Profile {
    /// The device's name.
    pub device: String,
    /// What the times were taken by.
    pub clock: Clock,
    /// How often the step was run.
    pub repeats: usize,
    /// What the device does at most, if that is known.
    pub roofline: Option<Roofline>,
    /// The dispatches in the order of the step.
    pub rows: Vec<ProfileRow>,
}

/// A dispatch of a step; on the CPU, an operator.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct ProfileRow {
    /// The number of its operator on the [tape that is replayed](Session::replayed).
    pub op: usize,
    /// Its operator; of a fused one, the recorded ones that it stands for.
    pub operator: String,
    /// Its layer; empty for none.
    pub layer: String,
    /// The part of the step that it belongs to.
    pub phase: Phase,
    /// Shader and entry point, such as `softmax:forward`; on the CPU, `routine` or `reference`.
    pub kernel: String,
    /// What was chosen for the kernel: its constants that are not 0, such as `ROWS=64`; empty on the CPU.
    pub constants: String,
    /// Workgroups along x, y and z; zeros on the CPU.
    pub groups: [u32; 3],
    /// What it takes and does.
    pub cost: Cost,
}

impl Session {
    /// Replays the step with a clock around each dispatch: what it takes by operator, layer and kernel, and how far
    /// that is from what the [device can do](crate::Device::roofline).
    ///
    /// This is a replay: it counts as one step, and leaves what [`replay`](Session::replay) would have left. The step is
    /// run several times for it, and all but the last are undone. Times are those of single dispatches: on a GPU,
    /// a whole replay may take less than their sum where some run side by side, and more where it is the host
    /// that it waits for. The first profile on a device measures its roofline too.
    ///
    /// ```
    /// # use retape::prelude::*;
    /// let mut g = Graph::new();
    /// let x = g.input("x", [64, 128]);
    /// let w = g.parameter("w", [128, 32], Init::GlorotUniform);
    /// let y = g.tanh(g.matmul(x, w)?)?;
    /// let mut session = g.forward([y])?.session(&Device::cpu())?;
    /// let profile = session.profile()?;
    /// println!("{profile}"); // all dispatches
    /// println!("{}", profile.by_kernel());
    /// assert_eq!(profile.by_operator().groups[0].cost.multiply_adds, 64 * 128 * 32);
    /// # Ok::<(), retape::Error>(())
    /// ```
    ///
    /// # Errors
    /// As [`replay`](Session::replay) and [`snapshot`](Session::snapshot). That the device has no room to measure its
    /// roofline in is none.
    pub fn profile(&mut self) -> Result<Profile> {
        self.profile_with(ProfileOptions::new())
    }

    /// [`profile`](Session::profile) with a number of repeats, or by the host's clock.
    ///
    /// # Errors
    /// As [`profile`](Session::profile); [`Error::Argument`] for no repeats.
    pub fn profile_with(&mut self, options: ProfileOptions) -> Result<Profile> {
        let ProfileOptions { repeats, host_clock } = options;
        Error::expect(repeats > 0, "repeats", repeats, "at least 1")?;
        let device = self.executor.device();
        let capacity = match device.capacity() {
            Err(Error::OutOfMemory { .. }) => None,
            found => found?,
        };
        let clock = capacity.map(|capacity| capacity.clock).filter(|_| !host_clock).unwrap_or(Clock::Host);
        let roofline = capacity.map(|capacity| capacity.roofline);
        let before = if repeats > 1 { Some(self.snapshot()?) } else { None };
        let mut runs = vec![self.executor.timed(&self.scalars, clock)?];
        while let Some(before) = before.as_ref().filter(|_| runs.len() < repeats) {
            self.restore_contents(before)?;
            runs.push(self.executor.timed(&self.scalars, clock)?);
        }
        self.scalars.advance();
        let rows = self.rows(&runs, roofline);
        Ok(Profile { device: device.name().to_owned(), clock, repeats, roofline, rows })
    }
}

impl Profile {
    /// All of the step together.
    pub fn total(&self) -> Cost {
        self.rows.iter().map(|row| row.cost).sum()
    }

    /// What operators of one name take together, the longest first.
    pub fn by_operator(&self) -> Breakdown {
        self.by("operator", |row| &row.operator)
    }

    /// What the operators of a layer take together, gradients included; those of no layer are in a group without a name.
    pub fn by_layer(&self) -> Breakdown {
        self.by("layer", |row| &row.layer)
    }

    /// What the dispatches of a kernel take together, whatever its constants.
    pub fn by_kernel(&self) -> Breakdown {
        self.by("kernel", |row| &row.kernel)
    }

    /// What dispatches that have a name in common take together.
    pub fn by(&self, what: &'static str, name: impl Fn(&ProfileRow) -> &str) -> Breakdown {
        Breakdown::new(what, self.rows.iter().map(|row| (name(row), row.cost)))
    }

    /// The step as a trace in Chrome's format, which <https://ui.perfetto.dev> and `chrome://tracing` open: a track of the
    /// dispatches and one of the layers. They lie one after the other, each as long as its median.
    pub fn trace(&self) -> String {
        trace::write(self)
    }

    /// Writes the [trace](Profile::trace) into a file.
    ///
    /// # Errors
    /// [`Error::Io`].
    pub fn write_trace(&self, path: impl AsRef<Path>) -> Result<()> {
        let path = path.as_ref();
        std::fs::write(path, self.trace()).map_err(Error::io(path))
    }
}

impl fmt::Display for Profile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Profile { device, clock, repeats, roofline, .. } = self;
        let at_most = roofline.map_or_else(String::new, |roofline| format!("; at most {roofline}"));
        writeln!(f, "{device}, {clock}, medians of {repeats}{at_most}")?;
        let name = |row: &ProfileRow| {
            let ProfileRow { op, operator, layer, kernel, .. } = row;
            format!("{op:4} {operator}  {layer}  {kernel}").trim_end().to_owned()
        };
        let rows = self.rows.iter().map(|row| (name(row), row.cost));
        Breakdown::of_each("dispatch", rows).fmt(f)
    }
}
