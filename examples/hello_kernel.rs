//! The smallest program: one operator, one replay, one read-back.
//!
//! It teaches the four stages that every other example goes through: a graph is recorded, made into
//! a tape, bound to a device as a session, and replayed.

mod common;

use std::process::ExitCode;

use common::{Example, Flags, Outcome, Results};
use retape::prelude::*;

const EXAMPLE: Example = Example {
    name: "hello_kernel",
    about: "Squares four numbers on the device: one operator, one replay, one read-back.",
    unused: &["data", "epochs", "batch", "limit", "seed"],
};

fn main() -> ExitCode {
    EXAMPLE.run(run)
}

fn run(flags: &Flags) -> Outcome {
    // Opening a device comes first only so that a mistake in `--device` shows at once.
    let device = flags.open_device()?;

    // Recording computes nothing: `y` is a handle with a shape.
    let mut g = Graph::new();
    let x = g.input("x", [4]);
    let y = g.square(x)?;

    // The tape is plain data, and prints as a listing.
    let tape = g.forward([y])?;
    println!("{tape}");

    // The session owns the buffers and the compiled kernel.
    let mut session = tape.session(&device)?;
    let numbers = [1.0, -2.0, 3.0, 0.5];
    session.write(x, &numbers)?;
    session.replay()?;
    let squares = session.read(y)?;
    println!("{numbers:?} squared is {squares:?}");

    let mut results = Results::new(EXAMPLE.name, &device);
    results.set("squares", squares);
    Ok(results)
}
