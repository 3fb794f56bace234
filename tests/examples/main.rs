//! The examples as a user runs them.

#[path = "../common/folder.rs"]
mod folder;
#[path = "../common/runner.rs"]
mod runner;

mod example_flags;
mod example_reports;
mod example_sequences;
mod examples;
