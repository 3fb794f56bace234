//! What is refused before it costs anything: memory that is not there, profiles of no device, windows that no
//! one waits for, fills that are no index.

use retape::ops::{ConvOptions, Padding, PoolOptions, RecurrentOptions, RecurrentWeights};
use retape::prelude::*;
use retape::tape::{DeviceKind, DeviceProfile};
use retape::{Error, Result};

#[track_caller]
fn says(found: Result<impl Sized>, is: fn(&Error) -> bool, facts: &[&str]) {
    let Err(error) = found else { panic!("an error that says {facts:?} was expected") };
    let text = error.to_string();
    assert!(is(error.root()), "another error expected: {text}");
    facts.iter().for_each(|fact| assert!(text.contains(fact), "`{fact}` is missing in: {text}"));
}

/// More than any machine has, none of which is touched: values that are kept but that no operator reads, and
/// results that each fit.
#[test]
fn what_a_session_holds_in_all_is_reserved() {
    let out_of_memory: fn(&Error) -> bool = |error| matches!(error, Error::OutOfMemory { .. });
    const LARGE: usize = 1 << 31;
    let mut g = Graph::new();
    let inputs: Vec<Value> = (0..256).map(|i| g.input(&format!("x{i}"), [LARGE])).collect();
    let tape = g.forward(inputs).unwrap();
    says(tape.session(&Device::reference()), out_of_memory, &["`reference`"]);

    let g = Graph::new();
    let x = g.broadcast_to(g.scalar_constant(1.0), [LARGE]).unwrap();
    let kept: Vec<Value> = (0..256).map(|_| g.exp(x).unwrap()).collect();
    let tape = g.forward(kept).unwrap();
    says(tape.session(&Device::reference()), out_of_memory, &["`reference`"]);
}

/// In a process of 4 GB, what does not fit is an error and no abort, and what fits runs.
#[cfg(target_os = "linux")]
#[test]
fn nothing_aborts_in_little_memory() {
    if std::env::var_os("RETAPE_LITTLE_MEMORY").is_none() {
        let own = std::env::current_exe().unwrap();
        let command = "ulimit -v 4000000 && exec \"$0\" --exact limits::nothing_aborts_in_little_memory";
        let limited = std::process::Command::new("sh")
            .args(["-c", command])
            .arg(own)
            .env("RETAPE_LITTLE_MEMORY", "1")
            .output()
            .unwrap();
        assert!(limited.status.success(), "{}", String::from_utf8_lossy(&limited.stdout));
        return;
    }
    let session = |g: &Graph, kept: Vec<Value>| g.forward(kept).unwrap().session(&Device::reference());
    let out_of_memory: fn(&Error) -> bool = |error| matches!(error, Error::OutOfMemory { .. });
    // A value that no operator reads.
    let mut g = Graph::new();
    let x = g.input("x", [1 << 31]);
    says(session(&g, vec![x]), out_of_memory, &["reference"]);
    // Results of 2 GiB each, kept or alive two at a time.
    let mut g = Graph::new();
    let x = g.input("x", [1 << 28]);
    let kept: Vec<Value> = (0..12).map(|_| g.exp(x).unwrap()).collect();
    says(session(&g, kept), out_of_memory, &["reference"]);
    let chain = (0..12).fold(x, |x, _| g.exp(x).unwrap());
    says(session(&g, vec![g.sum(chain, &[], false).unwrap()]), out_of_memory, &["reference"]);
    // Operands of 64 MiB and 2 MiB, and patches of 5 GiB.
    let mut g = Graph::new();
    let (x, w) = (g.input("x", [1, 32, 512, 512]), g.parameter("w", [32, 32, 9, 9], Init::Zeros));
    let y = g.conv2d(x, w, None, ConvOptions::new().padding(Padding::Same)).unwrap();
    says(session(&g, vec![y]), out_of_memory, &["reference"]);
    let loss = g.sum(g.conv2d(x, w, None, ConvOptions::new()).unwrap(), &[], false).unwrap();
    says(session(&g, g.differentiate(loss, &[w]).unwrap()), out_of_memory, &["reference"]);
    // 1 GiB of gates, and of results 1.7 GiB: twice, while they are put together.
    let mut g = Graph::new();
    let (x, w) = (g.input("x", [64, 4000, 1]), g.parameter("w", [1, 512], Init::Zeros));
    let weights = RecurrentWeights::new(w, g.parameter("u", [128, 512], Init::Zeros));
    let h = g.lstm(x, weights, &RecurrentOptions::new()).unwrap();
    says(session(&g, vec![h.outputs]), out_of_memory, &["reference"]);
    // 12 results of 256 MiB, of which two live beside the input.
    let mut g = Graph::new();
    let x = g.input("x", [1 << 25]);
    let chain = (0..12).fold(x, |x, _| g.tanh(x).unwrap());
    let sum = g.sum(chain, &[], false).unwrap();
    let mut session = session(&g, vec![sum]).unwrap();
    session.replay().unwrap();
    assert_eq!(session.read_scalar(sum).unwrap(), 0.0);
}

/// 200 results of 8 MB, of which two live at a time.
#[test]
fn results_that_are_read_and_gone_are_not_counted_together() {
    let mut g = Graph::new();
    let x = g.input("x", [1 << 20]);
    let y = (0..200).fold(x, |x, _| g.tanh(x).unwrap());
    let mut session =
        g.forward([g.sum(y, &[], false).unwrap()]).unwrap().session(&Device::reference()).unwrap();
    session.replay().unwrap();
}

#[test]
fn profiles_of_no_device_are_refused() {
    let mut g = Graph::new();
    let x = g.input("x", [300, 200]);
    let y = g.matmul_with(x, x, false, true).unwrap();
    let z = g.max_pool1d(g.reshape(y, [1, 300, 300]).unwrap(), PoolOptions::new(3)).unwrap();
    let tape = g.forward([y, z]).unwrap();
    let argument: fn(&Error) -> bool = |error| matches!(error, Error::Argument { .. });
    for kind in [DeviceKind::Cpu, DeviceKind::Gpu] {
        let base = DeviceProfile { kind, ..DeviceProfile::baseline() };
        tape.plan(&base).unwrap();
        // No limit at all is one that some drivers report.
        let unlimited = DeviceProfile {
            max_binding_bytes: u64::MAX,
            max_buffer_bytes: u64::MAX,
            max_storage_buffers: u32::MAX,
            max_workgroups: u32::MAX,
            max_invocations: u32::MAX,
            max_workgroup_size: [u32::MAX; 3],
            ..base.clone()
        };
        tape.plan(&unlimited).unwrap();
        let nonsense = [
            ("max_binding_bytes", DeviceProfile { max_binding_bytes: 0, ..base.clone() }),
            ("max_buffer_bytes", DeviceProfile { max_buffer_bytes: 0, ..base.clone() }),
            ("max_storage_buffers", DeviceProfile { max_storage_buffers: 0, ..base.clone() }),
            ("max_workgroups", DeviceProfile { max_workgroups: 0, ..base.clone() }),
            ("max_workgroup_bytes", DeviceProfile { max_workgroup_bytes: 0, ..base.clone() }),
            ("max_workgroup_bytes", DeviceProfile { max_workgroup_bytes: u32::MAX, ..base.clone() }),
            ("max_invocations", DeviceProfile { max_invocations: 0, ..base.clone() }),
            ("max_workgroup_size", DeviceProfile { max_workgroup_size: [256, 0, 64], ..base.clone() }),
            ("max_param_bytes", DeviceProfile { max_param_bytes: 0, ..base.clone() }),
            ("max_param_bytes", DeviceProfile { max_param_bytes: u32::MAX, ..base.clone() }),
            ("offset_alignment", DeviceProfile { offset_alignment: 0, ..base.clone() }),
            ("offset_alignment", DeviceProfile { offset_alignment: 100, ..base.clone() }),
            ("offset_alignment", DeviceProfile { offset_alignment: 1 << 31, ..base.clone() }),
            ("subgroups", DeviceProfile { subgroups: Some((0, 0)), ..base.clone() }),
            ("subgroups", DeviceProfile { subgroups: Some((64, 32)), ..base.clone() }),
            ("subgroups", DeviceProfile { subgroups: Some((8, u32::MAX)), ..base.clone() }),
            ("max_loop_iterations", DeviceProfile { max_loop_iterations: 0, ..base.clone() }),
            ("max_loop_iterations", DeviceProfile { max_loop_iterations: 1, ..base.clone() }),
        ];
        for (field, profile) in nonsense {
            says(tape.plan(&profile), argument, &[field]);
        }
    }
}

/// A value that would be worked on in a million ranges is refused by its name, as is one that no buffer holds.
#[test]
fn limits_name_the_value() {
    let mut g = Graph::new();
    let x = g.input("pictures", [1 << 24]);
    let y = g.layer("warm", |g| g.exp(x)).unwrap();
    let tape = g.forward([y]).unwrap();
    let limit: fn(&Error) -> bool = |error| matches!(error, Error::Limit { .. });
    let few = DeviceProfile { max_binding_bytes: 512, ..DeviceProfile::baseline() };
    says(
        tape.plan(&few),
        limit,
        &["exp in layer `warm`", "`pictures`", "storage binding", "67108864", "512"],
    );
    let small = DeviceProfile { max_buffer_bytes: 1 << 20, ..DeviceProfile::baseline() };
    says(tape.plan(&small), limit, &["exp in layer `warm`", "`pictures`", "buffer size", "1048576"]);
    // The sum reads its operand whole.
    let mut g = Graph::new();
    let weights = g.parameter("weights", [1 << 16], Init::Ones);
    let tape = g.forward([g.sum(weights, &[], false).unwrap()]).unwrap();
    let narrow = DeviceProfile { max_binding_bytes: 1 << 16, ..DeviceProfile::baseline() };
    says(tape.plan(&narrow), limit, &["sum", "`weights`", "storage binding", "262144", "65536"]);
    let mut g = Graph::new();
    let huge = g.input("huge", [1 << 20, 1 << 20]);
    says(
        g.exp(huge),
        |error| matches!(error, Error::TooManyElements { .. }),
        &["`huge`", "[1048576, 1048576]"],
    );
}

/// What a padding is filled with is an index like a constant's.
#[test]
fn fills_of_indices_are_bounded() {
    let mut g = Graph::new();
    let table = g.parameter("table", [10, 4], Init::Ones);
    let ids = g.indices("ids", [6]);
    let out_of_range: fn(&Error) -> bool =
        |error| matches!(error, Error::LabelOutOfRange { label: 10, limit: 10, .. });
    let past = g.pad(ids, &[(1, 1)], 10.0).unwrap();
    says(g.gather(table, past, 0), out_of_range, &["gather at", "limits.rs:"]);
    let seen = g.reshape(g.slice_axis(past, 0, 0..6).unwrap(), [2, 3]).unwrap();
    says(g.gather(table, seen, 0), out_of_range, &["10"]);
    says(g.one_hot(past, 10), out_of_range, &["one_hot"]);
    // Nothing of a refused use stays: the words may be any that a larger table has.
    let larger = g.parameter("larger", [20, 4], Init::Ones);
    let words = g.gather(larger, past, 0).unwrap();
    let within = g.gather(table, g.pad(g.indices_of(6), &[(1, 1)], 9.0).unwrap(), 0).unwrap();
    let mut session = g.forward([words, within]).unwrap().session(&Device::reference()).unwrap();
    session.write(ids, &[0u32, 1, 2, 3, 18, 19]).unwrap();
    assert!(session.write(ids, &[0u32, 1, 2, 3, 4, 20]).is_err());
}

trait Indices {
    fn indices_of(&self, n: usize) -> Value;
}

impl Indices for Graph {
    fn indices_of(&self, n: usize) -> Value {
        self.constant([n], &vec![0u32; n]).unwrap()
    }
}

/// Windows of which nearly all taps lie on padding.
#[test]
fn windows_that_no_one_waits_for_are_refused() {
    let mut g = Graph::new();
    let x = g.input("x", [1, 1, 4, 4]);
    let argument: fn(&Error) -> bool = |error| matches!(error, Error::Argument { .. });
    let around = |n: usize| PoolOptions::new(n).stride(n).padding(Padding::symmetric(n / 2));
    for size in [1 << 13, 1 << 20, 1 << 30] {
        says(g.max_pool2d(x, around(size)), argument, &["max_pool2d", "kernel size", "4x4"]);
        says(g.avg_pool2d(x, around(size)), argument, &["avg_pool2d", "kernel size", "4x4"]);
    }
    let many = PoolOptions::new(1 << 12).stride(1).padding(Padding::symmetric((1 << 12) - 1));
    says(g.sum_pool2d(x, many), argument, &["sum_pool2d", "2^48"]);
    let image = g.input("image", [1, 1, 1, 1]);
    let filters = g.input("filters", [1, 1, 1 << 12, 1 << 12]);
    let full = ConvOptions::new().padding(Padding::Full);
    let y = g.conv2d(image, filters, None, full);
    says(y.and_then(|y| g.conv2d(y, filters, None, full)), argument, &["conv2d", "2^48"]);
    // Large, but of an image.
    let picture = g.input("picture", [1, 1, 5000, 5000]);
    g.avg_pool2d(picture, PoolOptions::new(5000)).unwrap();
}
