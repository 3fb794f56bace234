//! What the crate logs.

use std::sync::{Mutex, Once, PoisonError};
use std::thread::{self, ThreadId};

/// What was logged, by the thread that did.
static LOGGED: Mutex<Vec<(ThreadId, log::Level, String)>> = Mutex::new(Vec::new());

struct Logger;

impl log::Log for Logger {
    fn enabled(&self, _: &log::Metadata<'_>) -> bool {
        true
    }

    fn log(&self, record: &log::Record<'_>) {
        if record.target().starts_with("retape") {
            let line = (thread::current().id(), record.level(), record.args().to_string());
            LOGGED.lock().unwrap_or_else(PoisonError::into_inner).push(line);
        }
    }

    fn flush(&self) {}
}

/// What this thread has logged at a level since the last call, and nothing before the first.
pub fn logged(level: log::Level) -> Vec<String> {
    static LISTENS: Once = Once::new();
    LISTENS.call_once(|| {
        log::set_logger(&Logger).unwrap();
        log::set_max_level(log::LevelFilter::Info);
    });
    let mut all = LOGGED.lock().unwrap_or_else(PoisonError::into_inner);
    let own = all.extract_if(.., |line| line.0 == thread::current().id());
    own.filter(|line| line.1 == level).map(|line| line.2).collect()
}
