//! How sessions come by their kernels: compiled side by side, and with what earlier processes left.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use crate::common;
use crate::common::folder::Folder;
use crate::common::host::Host;
use retape::Error;
use retape::kernel::Shader;
use retape::prelude::*;
use retape::tape::Plan;
use retape::testing::session_with_plan;

/// Of more invocations than any device runs in a workgroup.
static LARGE: Shader = Shader::new("large", "@compute @workgroup_size(64, 64) fn main() {}");

/// A step of several kernels, its input and its result.
fn step() -> (Tape, Value, Value) {
    let mut g = Graph::new();
    let x = g.input("x", [4, 6]);
    let y = g.softmax(g.exp(x).unwrap(), 1).unwrap();
    let z = g.sum(g.matmul(y, g.transpose(y, &[1, 0]).unwrap()).unwrap(), &[1], false).unwrap();
    (g.forward([z]).unwrap(), x, z)
}

/// A step of one kernel.
fn short_step() -> (Tape, Value, Value) {
    let mut g = Graph::new();
    let x = g.input("x", [24]);
    let y = g.exp(x).unwrap();
    (g.forward([y]).unwrap(), x, y)
}

fn results(mut session: Session, x: Value, z: Value) -> Vec<f32> {
    session.write(x, &(0..24).map(|i| i as f32 / 24.0).collect::<Vec<_>>()).unwrap();
    session.replay().unwrap();
    session.read(z).unwrap()
}

fn plan(tape: &Tape, device: &Device) -> Plan {
    tape.plan(device.profile().expect("a GPU")).unwrap()
}

#[test]
fn kernels_compiled_side_by_side_are_those_compiled_in_turn() {
    let (tape, x, z) = step();
    let by = |threads: usize| {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
        let device = common::open_gpu();
        pool.install(|| results(tape.session(&device).unwrap(), x, z))
    };
    let alone = by(1);
    assert!(alone.iter().all(|z| z.is_finite()));
    assert_eq!(by(4), alone);
    // On a device that several threads use, none of which waits for another's kernels.
    let device = common::open_gpu();
    let found: Vec<Vec<f32>> = std::thread::scope(|scope| {
        let start = || scope.spawn(|| results(tape.session(&device).unwrap(), x, z));
        let started: Vec<_> = (0..4).map(|_| start()).collect();
        started.into_iter().map(|thread| thread.join().unwrap()).collect()
    });
    assert!(found.iter().all(|z| *z == alone));
}

/// Of several kernels that cannot be made, the first of the plan is named; the others are there for the next.
#[test]
fn the_first_kernel_that_cannot_be_compiled_is_the_error() {
    let (tape, x, z) = step();
    let host = Host::open(true);
    let right = plan(&tape, &host.lent);
    let last = right.dispatches.len() - 1;
    assert!(last >= 2);
    for _ in 0..10 {
        let mut wrong = right.clone();
        wrong.dispatches[1].entry = "nowhere";
        wrong.dispatches[last].entry = "nor_here";
        let refused = session_with_plan(&tape, &host.lent, wrong, SessionOptions::new()).unwrap_err();
        assert!(matches!(refused, Error::KernelMismatch { entry: "nowhere", .. }), "{refused}");
    }
    // What wgpu refuses, on whatever thread, is an error of this call and of nobody else.
    let mut large = right.clone();
    (large.dispatches[1].shader, large.dispatches[1].entry) = (&LARGE, "main");
    large.dispatches[1].constants.clear();
    let refused = session_with_plan(&tape, &host.lent, large, SessionOptions::new()).unwrap_err();
    assert!(matches!(refused, Error::Gpu { .. }), "{refused}");
    assert!(refused.to_string().contains("invocations"), "{refused}");
    assert_eq!(host.heard(), 0, "{:?}", host.heard);

    let session = session_with_plan(&tape, &host.lent, right, SessionOptions::new()).unwrap();
    assert_eq!(results(session, x, z), results(tape.session(common::gpu()).unwrap(), x, z));
}

/// A run of a test of this binary in a process with a folder for kernels.
fn process(test: &str, folder: &Path) -> Child {
    Command::new(std::env::current_exe().unwrap())
        .args(["--ignored", "--exact", "--nocapture", test])
        .env("RETAPE_KERNEL_CACHE", folder)
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap()
}

fn passes(process: Child) {
    let output = process.wait_with_output().unwrap();
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{said}{}", String::from_utf8_lossy(&output.stderr));
    assert!(said.contains("1 passed"), "{said}");
}

fn files(folder: &Path) -> Vec<PathBuf> {
    fs::read_dir(folder).map_or_else(|_| Vec::new(), |files| files.map(|file| file.unwrap().path()).collect())
}

/// Whether the adapter's kernels can be kept.
fn keeps() -> bool {
    let (device, _) = common::gpu().wgpu().expect("a GPU");
    cfg!(feature = "cache") && device.features().contains(retape::wgpu::Features::PIPELINE_CACHE)
}

#[test]
fn kept_kernels_survive_any_file() {
    let folder = Folder::new();
    passes(process("start::in_any_folder", &folder.0.join("new/kernels")));
}

#[test]
#[ignore = "runs in a process with a folder of its own"]
fn in_any_folder() {
    let folder = PathBuf::from(std::env::var_os("RETAPE_KERNEL_CACHE").expect("a folder is given"));
    let (tape, x, z) = short_step();
    let once = || results(tape.session(&common::open_gpu()).unwrap(), x, z);
    let expected = once();
    let found = files(&folder);
    assert_eq!(found.len(), usize::from(keeps()), "{found:?}");
    let Some(file) = found.first() else { return };
    let whole = fs::read(file).unwrap();
    assert!(whole.starts_with(b"retape "), "{whole:?}");
    let mut damaged = whole.clone();
    *damaged.last_mut().unwrap() ^= 1;
    let foreign = [b"retape 0.0.0", &whole[12..]].concat();
    let cut = whole[..whole.len() - 1].to_vec();
    for wrong in [Vec::new(), cut, damaged, foreign, vec![b'\n'], vec![0; 1 << 20]] {
        fs::write(file, &wrong).unwrap();
        assert_eq!(once(), expected);
        assert_ne!(fs::read(file).unwrap(), wrong, "it was replaced");
        assert_eq!(once(), expected);
        assert_eq!(files(&folder), found, "nothing else is left behind");
    }
    // A folder in its place is left alone.
    fs::remove_file(file).unwrap();
    fs::create_dir(file).unwrap();
    assert_eq!(once(), expected);
    assert!(file.is_dir());
}

#[test]
fn several_processes_keep_kernels_in_one_folder() {
    let folder = Folder::new();
    let several: Vec<Child> = (0..3).map(|_| process("start::in_a_shared_folder", &folder.0)).collect();
    several.into_iter().for_each(passes);
    assert_eq!(files(&folder.0).len(), usize::from(keeps()));
}

#[test]
#[ignore = "runs in several processes with one folder"]
fn in_a_shared_folder() {
    let (tape, x, z) = short_step();
    let expected = results(tape.session(&common::open_gpu()).unwrap(), x, z);
    for _ in 0..5 {
        // Files of the others are whole whenever they are read; this one's is replaced by theirs.
        let folder = PathBuf::from(std::env::var_os("RETAPE_KERNEL_CACHE").expect("a folder is given"));
        files(&folder).iter().for_each(|file| drop(fs::remove_file(file)));
        assert_eq!(results(tape.session(&common::open_gpu()).unwrap(), x, z), expected);
    }
}

#[test]
fn kernels_are_not_kept_where_that_is_switched_off() {
    let home = Folder::new();
    let status = Command::new(std::env::current_exe().unwrap())
        .args(["--ignored", "--exact", "start::nothing_is_kept"])
        .env("RETAPE_KERNEL_CACHE", "0")
        .env("XDG_CACHE_HOME", &home.0)
        .stdout(Stdio::null())
        .status();
    assert!(status.unwrap().success());
    assert!(!home.0.join("retape").exists());
}

#[test]
#[ignore = "runs in a process of its own"]
fn nothing_is_kept() {
    let (tape, x, z) = short_step();
    assert!(results(tape.session(&common::open_gpu()).unwrap(), x, z).iter().all(|z| z.is_finite()));
}

/// A device that was brought without the feature compiles without a cache.
#[test]
fn a_device_of_the_program_needs_no_cache() {
    let host = Host::open(true);
    assert!(!host.device.features().contains(retape::wgpu::Features::PIPELINE_CACHE));
    let (tape, x, z) = short_step();
    assert_eq!(
        results(tape.session(&host.lent).unwrap(), x, z),
        results(tape.session(common::gpu()).unwrap(), x, z)
    );
    assert_eq!(host.heard(), 0);
}
