//! What the benches make of their command lines.

#[path = "../../benches/timing/mod.rs"]
mod timing;

use clap::Parser;
use timing::Options;

const LINES: [&str; 3] = ["relu [1024]", "relu gradient [1024]", "matmul 512"];

fn choose(arguments: &[&str]) -> Result<Vec<&'static str>, String> {
    let options = Options::try_parse_from([&["bench"], arguments].concat()).expect("the options are known");
    options.choose(LINES, |&line| line.to_owned())
}

#[test]
fn words_choose_lines() {
    assert_eq!(choose(&["--bench"]).unwrap(), LINES);
    assert_eq!(choose(&["gradient", "--bench"]).unwrap(), LINES[1..2]);
    assert_eq!(choose(&["gradient", "matmul"]).unwrap(), LINES[1..]);
    assert_eq!(choose(&["--exact", "matmul 512"]).unwrap(), LINES[2..]);
}

#[test]
fn a_list_names_what_would_be_measured() {
    let all = "relu [1024]: benchmark\nrelu gradient [1024]: benchmark\nmatmul 512: benchmark";
    assert_eq!(choose(&["--list", "--bench"]).unwrap_err(), all);
    assert_eq!(choose(&["--list", "matmul"]).unwrap_err(), "matmul 512: benchmark");
}

#[test]
fn a_word_that_no_line_has_is_answered_with_the_lines() {
    let said =
        "no line's name has `512` or `conv`; there are\n  relu [1024]\n  relu gradient [1024]\n  matmul 512";
    assert_eq!(choose(&["--exact", "512", "conv"]).unwrap_err(), said);
    assert_eq!(choose(&["--exact", "--list", "512", "conv"]).unwrap_err(), said);
}
