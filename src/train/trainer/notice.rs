//! What is said while kernels are compiled.

use std::cell::Cell;
use std::io::{IsTerminal, Write, stderr};

use crate::session::Compiling;

/// From the first column to the end of an empty line.
const CLEAR: &str = "\r\x1b[2K";

/// Says on a terminal how many kernels are compiled, as long as it lives.
#[derive(Debug)]
pub(super) struct Notice {
    wanted: bool,
    shown: Cell<bool>,
}

impl Notice {
    pub fn new(wanted: bool) -> Self {
        Notice { wanted, shown: Cell::new(false) }
    }

    /// Writes over the line; a terminal that is gone is not missed.
    fn write(text: &str) {
        let mut terminal = stderr().lock();
        let _ = write!(terminal, "{CLEAR}{text}").and_then(|()| terminal.flush());
    }
}

impl Compiling for Notice {
    fn begins(&self, kernels: usize) {
        if self.wanted && stderr().is_terminal() {
            let s = if kernels == 1 { "" } else { "s" };
            Notice::write(&format!("compiling {kernels} kernel{s}"));
            self.shown.set(true);
        }
    }
}

impl Drop for Notice {
    fn drop(&mut self) {
        if self.shown.get() {
            Notice::write("");
        }
    }
}
