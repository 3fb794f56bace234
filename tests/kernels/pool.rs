//! Pooling: published examples, where the gradient of ties goes, and windows that are refused.

use crate::common;
use retape::kernel::DeviceProfile;
use retape::prelude::*;
use retape::testing::*;
use retape::{Error, Result};

/// Whether an error is of this variant.
macro_rules! is {
    ($variant:ident) => {
        |error: &Error| matches!(error, Error::$variant { .. })
    };
}

fn devices() -> [Device; 3] {
    [Device::reference(), Device::cpu(), common::gpu().clone()]
}

/// The result of `call` on one image, and the gradient of the result's sum.
fn pool(
    device: &Device,
    sides: [usize; 2],
    image: &[f32],
    call: impl Fn(&Graph, Value) -> Result<Value>,
) -> [Vec<f32>; 2] {
    let mut g = Graph::new();
    let x = g.input("x", [1, 1, sides[0], sides[1]]);
    let y = call(&g, x).unwrap();
    let dx = g.differentiate(g.sum(y, &[], false).unwrap(), &[x]).unwrap()[0];
    let mut session = g.forward([y, dx]).unwrap().session(device).unwrap();
    session.write(x, image).unwrap();
    session.replay().unwrap();
    [y, dx].map(|v| session.read(v).unwrap())
}

#[test]
fn published_examples() {
    let image = [29, 15, 28, 184, 0, 100, 70, 38, 12, 12, 7, 2, 12, 12, 45, 6].map(|v| v as f32);
    for device in devices() {
        let [average, _] = pool(&device, [4, 4], &image, |g, x| g.avg_pool2d(x, PoolOptions::new(2)));
        assert_eq!(average, [36.0, 80.0, 12.0, 15.0]);
        let [most, dx] = pool(&device, [4, 4], &image, |g, x| g.max_pool2d(x, PoolOptions::new(2)));
        assert_eq!(most, [100.0, 184.0, 12.0, 45.0]);
        let taken: Vec<usize> = (0..16).filter(|&i| dx[i] == 1.0).collect();
        assert_eq!(taken, [3, 5, 8, 14]);
        let [sum, _] = pool(&device, [4, 4], &image, |g, x| g.sum_pool2d(x, PoolOptions::new(2)));
        assert_eq!(sum, [144.0, 320.0, 48.0, 60.0]);
    }
}

/// The example of ONNX's operator `AveragePool` for 5x5 and 3x3 with padding, and what PyTorch
/// documents of windows over the edge in ceil mode.
#[test]
fn averages_count_what_they_are_told_to() {
    let image: Vec<f32> = (1..=25).map(|v| v as f32).collect();
    let wide = PoolOptions::new(5).stride(1).padding(Padding::symmetric(2));
    for device in devices() {
        let average =
            |options| pool(&device, [5, 5], &image, move |g, x| g.avg_pool2d(x, options))[0].clone();
        let counted = average(wide);
        assert_eq!(counted[..5], [7.0, 7.5, 8.0, 8.5, 9.0]);
        let padded = average(wide.count_include_pad(true));
        assert_eq!(padded[..2], [63.0 / 25.0, 90.0 / 25.0]);
        // Rows and columns 4 hang over the end: two, two and one element.
        let over = PoolOptions::new(2).ceil_mode();
        for include in [false, true] {
            let found = average(over.count_include_pad(include));
            assert_eq!(found, [4.0, 6.0, 7.5, 14.0, 16.0, 17.5, 21.5, 23.5, 25.0]);
        }
        // The last window covers the 4, one element of padding, and one beyond it, which never counts.
        let ends = PoolOptions::new(3).stride(2).ceil_mode().padding(Padding::symmetric(1));
        for (include, means) in [(false, [1.5, 3.0, 4.0]), (true, [1.0, 3.0, 2.0])] {
            let options = ends.count_include_pad(include);
            let sequence = |g: &Graph, x| g.avg_pool1d(g.reshape(x, [1, 1, 4])?, options);
            let [found, _] = pool(&device, [1, 4], &[1.0, 2.0, 3.0, 4.0], sequence);
            assert_eq!(found, means);
        }
    }
}

#[test]
fn ties_go_to_the_first_maximum() {
    for device in devices() {
        let first = |sides, image: &[f32], options| {
            let [_, dx] = pool(&device, sides, image, move |g, x| g.max_pool2d(x, options));
            dx
        };
        assert_eq!(first([2, 2], &[1.0; 4], PoolOptions::new(2)), [1.0, 0.0, 0.0, 0.0]);
        assert_eq!(first([2, 2], &[-1.0, -0.0, 0.0, -0.0], PoolOptions::new(2)), [0.0, 1.0, 0.0, 0.0]);
        // Overlapping: the first element of each window.
        assert_eq!(first([1, 4], &[7.0; 4], PoolOptions::new([1, 2]).stride(1)), [1.0, 1.0, 1.0, 0.0]);
        // Padding is no element, however small the others are.
        let padded = PoolOptions::new([1, 3]).stride(1).padding(Padding::Same);
        assert_eq!(first([1, 3], &[f32::NEG_INFINITY; 3], padded), [2.0, 1.0, 0.0]);
        let [y, dx] = pool(&device, [2, 3], &[2.0, 5.0, 1.0, 5.0, 0.0, 5.0], |g, x| g.global_max_pool2d(x));
        assert_eq!((y, dx), (vec![5.0], vec![0.0, 1.0, 0.0, 0.0, 0.0, 0.0]));
    }
}

#[test]
fn maxima_keep_every_bit() {
    let image = [-1e-40, 1e-41, f32::NAN, 1.0, -f32::NAN, f32::INFINITY, -0.0, -1e-45];
    for device in devices() {
        let [y, _] = pool(&device, [1, 8], &image, |g, x| g.max_pool2d(x, PoolOptions::new([1, 2])));
        assert_eq!(y[0], 1e-41);
        assert!(y[1].is_nan() && y[2].is_nan());
        assert_eq!(y[3].to_bits(), (-0.0f32).to_bits());
    }
}

#[test]
fn adaptive_windows_are_pytorchs() {
    let row: Vec<f32> = (0..10).map(|v| v as f32).collect();
    for device in devices() {
        let adaptive = |size| pool(&device, [1, 10], &row, move |g, x| g.adaptive_avg_pool2d(x, [1, size]));
        // Elements 0..4, 3..7 and 6..10.
        let [y, dx] = adaptive(3);
        assert_eq!(y, [1.5, 4.5, 7.5]);
        assert_eq!(dx, [0.25, 0.25, 0.25, 0.5, 0.25, 0.25, 0.5, 0.25, 0.25, 0.25]);
        let [y, _] = adaptive(5);
        assert_eq!(y, [0.5, 2.5, 4.5, 6.5, 8.5]);
        let [y, _] = adaptive(10);
        assert_eq!(y, row);
    }
}

#[test]
fn shapes_follow_the_options() {
    let mut g = Graph::new();
    let x = g.input("x", [2, 3, 224, 224]);
    let sequence = g.input("sequence", [2, 3, 50]);
    let shape = |v: Result<Value>| g.shape(v.unwrap()).unwrap();
    assert_eq!(shape(g.max_pool2d(x, PoolOptions::new(2))), Shape::from([2, 3, 112, 112]));
    let googlenet = PoolOptions::new(3).stride(2).ceil_mode();
    assert_eq!(shape(g.max_pool2d(x, googlenet)), Shape::from([2, 3, 112, 112]));
    assert_eq!(shape(g.max_pool2d(x, PoolOptions::new(3).stride(2))), Shape::from([2, 3, 111, 111]));
    assert_eq!(shape(g.adaptive_avg_pool2d(x, [6, 6])), Shape::from([2, 3, 6, 6]));
    assert_eq!(shape(g.global_avg_pool2d(x)), Shape::from([2, 3]));
    assert_eq!(shape(g.global_max_pool2d(x)), Shape::from([2, 3]));
    assert_eq!(shape(g.max_pool1d(sequence, PoolOptions::new(2))), Shape::from([2, 3, 25]));
    let same = PoolOptions::new(3).stride(2).padding(Padding::Same);
    assert_eq!(shape(g.avg_pool1d(sequence, same)), Shape::from([2, 3, 25]));
}

#[test]
fn what_cannot_be_pooled_is_refused() {
    let mut g = Graph::new();
    let x = g.input("x", [1, 2, 6, 7]);
    let matrix = g.input("matrix", [6, 7]);
    let ids = g.indices("ids", [1, 2, 6, 7]);
    let empty = g.input("empty", [1, 2, 0, 7]);
    let foreign = Graph::new().input("foreign", [1, 2, 6, 7]);
    let refused = |found: Result<Value>, is: fn(&Error) -> bool, facts: &[&str]| {
        let error = found.unwrap_err();
        let text = error.to_string();
        assert!(is(error.root()), "another error expected: {text}");
        for fact in facts.iter().chain(&["pool.rs:"]) {
            assert!(text.contains(fact), "{fact} is missing in: {text}");
        }
    };
    let two = PoolOptions::new(2);
    refused(g.max_pool2d(matrix, two), is!(Rank), &["max_pool2d", "[6, 7]"]);
    refused(g.avg_pool2d(matrix, two), is!(Rank), &["avg_pool2d"]);
    refused(g.adaptive_avg_pool2d(matrix, [1, 1]), is!(Rank), &["adaptive_avg_pool2d"]);
    refused(g.global_avg_pool2d(matrix), is!(Rank), &["global_avg_pool2d"]);
    refused(g.global_max_pool2d(matrix), is!(Rank), &["global_max_pool2d"]);
    refused(g.max_pool1d(x, two), is!(Rank), &["max_pool1d", "[1, 2, 6, 7]"]);
    refused(g.max_pool2d(ids, two), is!(DTypeMismatch), &["u32"]);
    refused(g.sum_pool2d(ids, two), is!(DTypeMismatch), &["u32"]);
    refused(g.adaptive_avg_pool2d(ids, [2, 2]), is!(DTypeMismatch), &["u32"]);
    refused(g.max_pool2d(foreign, two), is!(ForeignValue), &[]);
    refused(
        g.max_pool2d(empty, two.padding(Padding::Same)),
        is!(EmptyDimension),
        &["`empty`", "[1, 2, 0, 7]"],
    );
    refused(g.adaptive_avg_pool2d(empty, [1, 1]), is!(EmptyDimension), &["`empty`"]);
    refused(g.max_pool2d(x, PoolOptions::new(7)), is!(Window), &["height", "7", "6"]);
    refused(g.max_pool2d(x, PoolOptions::new(4).dilation(2)), is!(Window), &["7", "6"]);
    refused(g.max_pool2d(x, PoolOptions::new([0, 2])), is!(Argument), &["kernel size"]);
    refused(g.max_pool2d(x, two.stride([1, 0])), is!(Argument), &["stride"]);
    refused(g.max_pool2d(x, two.dilation(0)), is!(Argument), &["dilation"]);
    refused(g.max_pool2d(x, PoolOptions::new(usize::MAX)), is!(Argument), &["kernel size"]);
    refused(g.avg_pool2d(x, two.dilation(2)), is!(Argument), &["dilation", "[2, 2]"]);
    refused(g.sum_pool2d(x, two.dilation([1, 3])), is!(Argument), &["dilation", "[1, 3]"]);
    refused(g.adaptive_avg_pool2d(x, [0, 1]), is!(Argument), &["output size"]);
    refused(g.adaptive_avg_pool2d(x, [1, 1 << 21]), is!(Argument), &["output size", "7"]);
}

/// Exhaustively on small axes: padding is refused if and only if some window has no element.
#[test]
fn windows_of_nothing_but_padding_are_refused() {
    let (mut refused, mut taken) = (0, 0);
    for code in 0..4 * 3 * 4 * 5 * 5 * 2 * 4 {
        let mut rest = code;
        let mut digit = |n: usize| (rest % n, rest /= n).0;
        let (input, kernel, stride, dilation) = (digit(4) + 1, digit(3) + 1, digit(4) + 1, digit(4) + 1);
        let (left, right, ceil) = (digit(5), digit(5), digit(2) == 1);
        let mut options = PoolOptions::new([1, kernel]).stride([1, stride]).dilation([1, dilation]);
        options = options.padding(Padding::Explicit { top: 0, left, bottom: 0, right });
        if ceil {
            options = options.ceil_mode();
        }
        let mut g = Graph::new();
        let x = g.input("x", [1, 1, 1, input]);
        let extent = dilation * (kernel - 1) + 1;
        let padded = input + left + right;
        let found = g.max_pool2d(x, options);
        let missing = extent.saturating_sub(padded);
        if missing > 0 && !(ceil && missing < stride) {
            assert!(matches!(found.unwrap_err().root(), Error::Window { .. }));
            continue;
        }
        let room = padded.saturating_sub(extent);
        let mut windows = room / stride + 1;
        if ceil && room % stride > 0 && windows * stride < input + left {
            windows += 1;
        }
        let meets = |window: usize| {
            (0..kernel).any(|tap| (left..left + input).contains(&(window * stride + tap * dilation)))
        };
        if (0..windows).all(meets) {
            assert_eq!(g.shape(found.unwrap()).unwrap(), Shape::from([1, 1, 1, windows]));
            taken += 1;
        } else {
            let error = found.unwrap_err();
            assert!(matches!(error.root(), Error::Argument { argument: "padding", .. }), "{error}");
            assert!(error.to_string().contains("every window must cover"), "{error}");
            refused += 1;
        }
    }
    assert!(refused > 1000 && taken > 1000, "{refused} refused, {taken} taken");
}

/// Images so large that a thread may not go over a whole one: llvmpipe leaves loops after 65,535
/// iterations without a word.
#[test]
fn large_images_come_out_whole() {
    let device = common::gpu();
    let overlapping = PoolOptions::new(3).stride(2).padding(Padding::symmetric(1));
    type Call<'a> = &'a dyn Fn(&Graph, Value) -> Result<Value>;
    let calls: [(&str, [usize; 4], Call<'_>); 9] = [
        ("overlapping", [1, 2, 224, 230], &|g, x| g.max_pool2d(x, overlapping)),
        ("average", [1, 2, 224, 230], &|g, x| g.avg_pool2d(x, overlapping)),
        ("side by side", [1, 2, 300, 301], &|g, x| g.max_pool2d(x, PoolOptions::new(7))),
        ("one window", [1, 2, 200, 210], &|g, x| g.avg_pool2d(x, PoolOptions::new([200, 210]))),
        ("one maximum", [1, 2, 150, 160], &|g, x| g.max_pool2d(x, PoolOptions::new([150, 160]))),
        ("long rows", [1, 30, 1, 70_000], &|g, x| g.max_pool2d(x, PoolOptions::new([1, 3]).stride([1, 2]))),
        ("global maximum", [1, 2, 300, 400], &|g, x| g.global_max_pool2d(x)),
        ("adaptive", [1, 2, 300, 400], &|g, x| g.adaptive_avg_pool2d(x, [7, 3])),
        ("adaptive rows", [1, 2, 2, 100_000], &|g, x| g.adaptive_avg_pool2d(x, [1, 20_001])),
    ];
    for (name, shape, call) in calls {
        let mut g = Graph::new();
        let x = g.input("x", shape);
        let y = call(&g, x).unwrap();
        let dx = g.differentiate(g.sum(y, &[], false).unwrap(), &[x]).unwrap()[0];
        let mut session = g.forward([y, dx]).unwrap().session(device).unwrap();
        poison(&session);
        let data = common::data::noise(Shape::from(shape).numel(), 4, -1.0, 1.0);
        let checked = session.verify(&[(x, (&data).into())]).unwrap();
        assert!(checked.passes(), "{name}: {checked}");
    }
    // What no cutting up helps is refused.
    let mut g = Graph::new();
    let x = g.input("x", [1, 1, 300, 300]);
    let y = g.max_pool2d(x, PoolOptions::new(300)).unwrap();
    let limited = DeviceProfile { max_loop_iterations: 65_535, ..device.profile().unwrap().clone() };
    let found = g.forward([y]).unwrap().plan(&limited);
    assert!(matches!(&found, Err(Error::Limit { what, .. }) if what.contains("loop")), "{found:?}");
}

/// Only the gradient of a maximum has none of its own.
#[test]
fn sums_differentiate_twice() {
    let mut g = Graph::new();
    let x = g.input("x", [1, 1, 4, 4]);
    let slope = |g: &Graph, y: Value| -> Result<Value> {
        let total = g.sum(g.mul(y, y)?, &[], false)?;
        g.sum(g.differentiate(total, &[x])?[0], &[], false)
    };
    let once = slope(&g, g.avg_pool2d(x, PoolOptions::new(2)).unwrap()).unwrap();
    let twice = g.differentiate(once, &[x]).unwrap()[0];
    let once = slope(&g, g.max_pool2d(x, PoolOptions::new(2)).unwrap()).unwrap();
    assert!(matches!(
        g.differentiate(once, &[x]).unwrap_err().root(),
        Error::NoGradient { op: "max_pool2d_grad", .. }
    ));
    for device in devices() {
        // It no longer depends on x.
        let mut session = g.forward([twice]).unwrap().session(&device).unwrap();
        session.replay().unwrap();
        assert_eq!(session.read(twice).unwrap(), [0.5; 16]);
    }
}

/// Taps that lie on padding take no time, wherever the image is under the window.
#[test]
fn windows_far_larger_than_the_image_are_clipped_to_it() {
    let began = std::time::Instant::now();
    for size in [16_384, 1 << 20] {
        let mut g = Graph::new();
        let x = g.input("x", [1, 1, 4, 4]);
        let options = PoolOptions::new([size, 1]).stride(1).padding(Padding::Full);
        let (mean, all) = (g.avg_pool2d(x, options).unwrap(), options.count_include_pad(true));
        let (padded, largest) = (g.avg_pool2d(x, all).unwrap(), g.max_pool2d(x, options).unwrap());
        let loss = g.sum(mean, &[], false).unwrap();
        let dx = g.differentiate(loss, &[x]).unwrap()[0];
        let mut session =
            g.forward([mean, padded, largest, dx]).unwrap().session(&Device::reference()).unwrap();
        let image: Vec<f32> = (0..16).map(|i| i as f32).collect();
        session.write(x, &image).unwrap();
        session.replay().unwrap();
        let column = |value, w: usize| -> Vec<f32> {
            session.read(value).unwrap().chunks(4).map(|row| row[w]).collect()
        };
        // In column 1 the image has 1, 5, 9, 13.
        let means = column(mean, 1);
        assert_eq!(means.len(), size + 3);
        assert_eq!(means[..4], [1.0, 3.0, 5.0, 7.0]);
        assert_eq!(means[size - 2..], [7.0, 7.0, 9.0, 11.0, 13.0]);
        let padded = column(padded, 1);
        assert_eq!([padded[0], padded[size / 2]], [1.0 / size as f32, 28.0 / size as f32]);
        assert_eq!(column(largest, 1)[..5], [1.0, 5.0, 9.0, 13.0, 13.0]);
        // Each element is a quarter of all windows that hold the whole column, and more of those that do not.
        let (whole, rest) = ((size - 3) as f32 / 4.0, 1.0 + 0.5 + 1.0 / 3.0);
        let found = column(dx, 1)[0];
        assert!((found / (whole + rest) - 1.0).abs() < 1e-6, "{found}");
    }
    assert!(began.elapsed() < std::time::Duration::from_secs(60), "{:?}", began.elapsed());
}
