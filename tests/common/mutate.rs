//! Damage to files, drawn by a seed: what broken disks, broken transfers and bad intent leave.

use std::time::{Duration, Instant};

use retape::random::Stream;

/// Damages whole files, one after the other, and hands each mutant to `check` with its number: at most `count`
/// of them, in at most so much time. The same seed makes the same mutants.
pub fn mutants(wholes: &[&[u8]], seed: u32, count: u32, time: Duration, mut check: impl FnMut(u32, &[u8])) {
    let begin = Instant::now();
    for number in 0..count {
        if begin.elapsed() > time {
            assert!(number > 20, "{number} mutants in {time:?}: the reader is too slow for a test");
            return;
        }
        let stream = Stream { seed, step: number, stream: 91 };
        let whole = wholes[stream.words(0)[0] as usize % wholes.len()];
        let mut bytes = whole.to_vec();
        for change in 0..=stream.words(0)[1] % 4 {
            damage(&mut bytes, stream.words(1 + change));
        }
        check(number, &bytes);
    }
}

/// One change: of a bit, a byte or a number, or of a span that is lost, doubled, overwritten or moved.
fn damage(bytes: &mut Vec<u8>, [kind, at, length, value]: [u32; 4]) {
    if bytes.is_empty() {
        return bytes.extend(value.to_le_bytes());
    }
    // Headers are where a change does most: half of all changes are there.
    let reach = if at % 2 == 0 { bytes.len().min(64) } else { bytes.len() };
    let at = (at / 2) as usize % reach;
    let end = (at + 1 + length as usize % 64).min(bytes.len());
    match kind % 9 {
        0 => bytes[at] ^= 1 << (value % 8),
        1 => bytes[at] = [0, 1, 0x7f, 0x80, 0xff][value as usize % 5],
        2 => {
            let number = [0, 1, 0x7fff_ffff, 0x8000_0000, u32::MAX, value][value as usize % 6];
            let number = if length % 2 == 0 { number.to_le_bytes() } else { number.to_be_bytes() };
            bytes[at..].iter_mut().zip(number).for_each(|(byte, with)| *byte = with);
        }
        3 => bytes.truncate(at),
        4 => drop(bytes.drain(at..end)),
        5 => {
            let span = bytes[at..end].to_vec();
            bytes.splice(at..at, span);
        }
        6 => bytes[at..end].fill(value as u8),
        7 => bytes[at..end].reverse(),
        _ => bytes.splice(at..at, value.to_be_bytes()).for_each(drop),
    }
}

/// Runs a test that is ignored by itself in a process of its own which may map so many bytes of memory, and fails
/// where that test fails, or ends by a signal as a program does that is out of memory. Where the system sets no
/// such limit, the test runs without.
#[allow(dead_code, reason = "some test binaries have no use for it")]
pub fn in_little_memory(test: &str, bytes: u64) {
    let exe = std::env::current_exe().expect("tests are run from a file");
    let mut command = std::process::Command::new("sh");
    let limit =
        if cfg!(target_os = "linux") { format!("ulimit -v {} && ", bytes / 1024) } else { String::new() };
    command.arg("-c").arg(format!("{limit}exec \"$@\"")).arg("sh").arg(exe);
    command.args(["--exact", test, "--ignored", "--nocapture", "--test-threads=1"]);
    // Each thread would map room of its own.
    command.env("RAYON_NUM_THREADS", "2").env("MALLOC_ARENA_MAX", "2");
    let output = command.output().expect("there is a shell");
    let text = [output.stdout, output.stderr].concat();
    let text = String::from_utf8_lossy(&text);
    assert!(output.status.success(), "{:?}: {text}", output.status);
    assert!(text.contains("1 passed"), "{test} is no test: {text}");
}
