//! What a session of the CPU path reserves is what it comes to use, and not much more.

use std::alloc::{GlobalAlloc, Layout, System};
use std::sync::atomic::{AtomicI64, Ordering};

use crate::steps;
use retape::ops::{
    ConvOptions, GruReset, Padding, PoolOptions, Recurrence, RecurrentOptions, RecurrentWeights,
};
use retape::prelude::*;
use retape::testing::reserved;
use retape::{Result, Tape};

/// The system's allocator, which counts the bytes in use and the most there were.
struct Counting;

static IN_USE: AtomicI64 = AtomicI64::new(0);
static MOST: AtomicI64 = AtomicI64::new(0);
/// How often memory was asked for that is not aligned to vectors, as that is which products pack blocks into.
static PLAIN: AtomicI64 = AtomicI64::new(0);

fn count(bytes: i64) {
    let now = IN_USE.fetch_add(bytes, Ordering::Relaxed) + bytes;
    MOST.fetch_max(now, Ordering::Relaxed);
}

// SAFETY: everything is handed to the system's allocator as it comes.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        PLAIN.fetch_add(i64::from(layout.align() < 32), Ordering::Relaxed);
        count(layout.size() as i64);
        // SAFETY: the caller keeps the contract of this very method.
        unsafe { System.alloc(layout) }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        PLAIN.fetch_add(i64::from(layout.align() < 32), Ordering::Relaxed);
        count(layout.size() as i64);
        // SAFETY: as above.
        unsafe { System.alloc_zeroed(layout) }
    }

    unsafe fn dealloc(&self, place: *mut u8, layout: Layout) {
        count(-(layout.size() as i64));
        // SAFETY: as above.
        unsafe { System.dealloc(place, layout) }
    }

    unsafe fn realloc(&self, place: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        PLAIN.fetch_add(1, Ordering::Relaxed);
        // Both are there while the contents move.
        count(size as i64);
        count(-(layout.size() as i64));
        // SAFETY: as above.
        unsafe { System.realloc(place, layout, size) }
    }
}

#[global_allocator]
static COUNTING: Counting = Counting;

const MIB: i64 = 1 << 20;

type Built = Result<Vec<Tape>>;

/// The tapes of a value and of the gradients of a loss over it.
fn gradients(g: &Graph, y: Value, wrt: &[Value]) -> Built {
    let loss = g.sum(g.mul(y, y)?, &[], false)?;
    Ok(vec![g.forward([y])?, g.forward(g.differentiate(loss, wrt)?)?])
}

fn convolution(transposed: bool, groups: usize, batch: usize) -> Built {
    let mut g = Graph::new();
    let x = g.input("x", [batch, 8, 24, 24]);
    let w = g.parameter("w", [8, 8 / groups, 5, 5], Init::GlorotUniform);
    let options = ConvOptions::new().padding(Padding::Same).groups(groups);
    let y = match transposed {
        true => g.conv_transpose2d(x, w, None, options, 0)?,
        false => g.conv2d(x, w, None, options)?,
    };
    gradients(&g, y, &[x, w])
}

fn recurrence(
    gates: usize,
    f: impl Fn(&Graph, Value, RecurrentWeights, &RecurrentOptions) -> Result<Recurrence>,
) -> Built {
    let mut g = Graph::new();
    let x = g.input("x", [24, 40, 8]);
    let w = g.parameter("w", [8, gates * 32], Init::GlorotUniform);
    let weights = RecurrentWeights::new(w, g.parameter("u", [32, gates * 32], Init::GlorotUniform));
    let y = f(&g, x, weights, &RecurrentOptions::new())?.outputs;
    gradients(&g, y, &[x, w])
}

/// What a function makes of an operand of a quarter of a million elements, and the gradient.
fn of_operand(shape: impl Into<Shape>, f: impl Fn(&Graph, Value) -> Result<Value>) -> Built {
    let mut g = Graph::new();
    let x = g.input("x", shape);
    let y = f(&g, x)?;
    gradients(&g, y, &[x])
}

fn trained(optimizer: impl Optimizer) -> Built {
    let mut g = Graph::new();
    let w = g.parameter("w", [512, 256], Init::GlorotUniform);
    let loss = g.sum(g.mul(w, w)?, &[], false)?;
    Ok(vec![g.training_step(loss, &optimizer)?])
}

fn tapes() -> Vec<(&'static str, Built)> {
    let image = [4, 16, 64, 64];
    let window = || PoolOptions::new(3).stride(2);
    vec![
        ("conv", convolution(false, 1, 20)),
        ("conv of one image", convolution(false, 1, 1)),
        ("conv in groups", convolution(false, 4, 20)),
        ("depthwise conv", convolution(false, 8, 3)),
        ("transposed conv", convolution(true, 1, 20)),
        ("simple rnn", recurrence(1, |g, x, w, o| g.simple_rnn(x, w, o))),
        ("lstm", recurrence(4, |g, x, w, o| g.lstm(x, w, o))),
        ("gru", recurrence(3, |g, x, w, o| g.gru(x, w, GruReset::After, o))),
        ("max pool", of_operand(image, |g, x| g.max_pool2d(x, window()))),
        ("avg pool", of_operand(image, |g, x| g.avg_pool2d(x, window()))),
        ("adaptive pool", of_operand(image, |g, x| g.adaptive_avg_pool2d(x, [3, 5]))),
        ("softmax", of_operand([1 << 17, 2], |g, x| g.softmax(x, -1))),
        ("log softmax", of_operand([2, 1 << 17], |g, x| g.log_softmax(x, 0))),
        ("sum", of_operand([1 << 18], |g, x| g.sum(x, &[], false))),
        ("max", of_operand([64, 1 << 12], |g, x| g.max(x, &[0], false))),
        ("matmul", of_operand([512, 512], |g, x| g.matmul(x, x))),
        ("layer norm", of_operand([1 << 15, 8], |g, x| g.layer_norm(x, -1, None, None, 1e-5))),
        ("group norm", of_operand(image, |g, x| g.group_norm(x, 4, None, None, 1e-5))),
        ("response norm", of_operand(image, |g, x| g.local_response_norm(x, 3, 1e-4, 0.75, 1.0))),
        ("transpose", of_operand([512, 512], |g, x| g.transpose(x, &[1, 0]))),
        ("exp", of_operand([1 << 18], |g, x| g.exp(x))),
        ("norm clip", of_operand([1 << 18], |g, x| g.clip_by_norm(x, g.global_norm(&[x])?, 1.0))),
        ("adam", trained(Adam::new(1e-3))),
        ("adafactor", trained(Adafactor::new(1e-3))),
        ("rmsprop", trained(RmsProp::new(1e-3).momentum(0.9))),
    ]
}

/// In a process of its own: the count is of all threads.
#[test]
fn what_is_reserved_is_what_is_used() {
    const CHILD: &str = "RETAPE_COUNTS_MEMORY";
    if std::env::var_os(CHILD).is_none() {
        let mut child = std::process::Command::new(std::env::current_exe().unwrap());
        child.args(["--exact", "memory::what_is_reserved_is_what_is_used", "--nocapture"]);
        for threads in ["1", "5"] {
            let output = child.env(CHILD, "1").env("RAYON_NUM_THREADS", threads).output().unwrap();
            let text = String::from_utf8_lossy(&output.stderr);
            assert!(output.status.success(), "{threads} threads: {text}");
        }
        return;
    }
    let mut wrong = Vec::new();
    let all = tapes().into_iter().flat_map(|(name, built)| {
        let tapes = built.unwrap_or_else(|e| panic!("{name}: {e}"));
        tapes.into_iter().map(move |tape| (name, tape))
    });
    for (name, tape) in all {
        let before = IN_USE.load(Ordering::Relaxed);
        MOST.store(before, Ordering::Relaxed);
        let mut session = tape.session(&Device::reference()).unwrap();
        session.replay_n(2).unwrap();
        let used = MOST.load(Ordering::Relaxed) - before;
        let reserved = reserved(&tape) as i64;
        // Names, threads and locks; what is not touched at the peak.
        if used > reserved + MIB / 8 || reserved > 2 * used + MIB {
            wrong.push(format!("{name}: {used} bytes used of {reserved}"));
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

/// In a process of its own: steps of the CPU device that have run before allocate nothing, and have as much memory
/// in use after as before.
#[test]
fn steady_steps_of_the_cpu_allocate_nothing() {
    const CHILD: &str = "RETAPE_COUNTS_ALLOCATIONS";
    if std::env::var_os(CHILD).is_none() {
        let mut child = std::process::Command::new(std::env::current_exe().unwrap());
        child.args(["--exact", "memory::steady_steps_of_the_cpu_allocate_nothing", "--nocapture"]);
        for threads in ["1", "2"] {
            let output = child.env(CHILD, "1").env("RAYON_NUM_THREADS", threads).output().unwrap();
            let text = String::from_utf8_lossy(&output.stderr);
            assert!(output.status.success(), "{threads} threads: {text}");
        }
        return;
    }
    let recurrent = || {
        let model = Sequential::new().add(Lstm::new(12)).add(Dense::new(3));
        let mut g = Graph::new();
        let (x, labels) = (g.input("x", [20, 6, 5]), g.labels("labels", [20]));
        let logits = model.record(&mut g, x, Mode::Training).unwrap();
        let loss = g.softmax_cross_entropy(logits, labels).unwrap();
        g.training_step(loss, &RmsProp::new(1e-3)).unwrap()
    };
    for tape in [steps::perceptron(&[512]), steps::convolutional(), recurrent()] {
        let mut session = tape.session(&Device::cpu()).unwrap();
        session.replay_n(3).unwrap();
        let before = (PLAIN.load(Ordering::Relaxed), IN_USE.load(Ordering::Relaxed));
        session.replay_n(20).unwrap();
        let asked = PLAIN.load(Ordering::Relaxed) - before.0;
        // The steps are handed to the pool once, which may take a new block for its queue.
        assert!(asked <= 1, "{asked} allocations\n{}", session.replayed());
        assert!((IN_USE.load(Ordering::Relaxed) - before.1).abs() <= 4096);
    }
}
