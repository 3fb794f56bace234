//! Convolution by published examples, on both devices and by every route, and its mistakes by name.

use crate::common;
use retape::ops::{ConvOptions, ConvRoute, Padding};
use retape::prelude::*;
use retape::{Error, Result};

type Call<'a> = &'a dyn Fn(&mut Graph, &[Value]) -> Result<Value>;

/// What `call` gives on the CPU path and on the GPU, which must agree to the last digit shown.
fn on_both(inputs: &[(&[usize], &[f32])], call: Call<'_>) -> Vec<f32> {
    let mut g = Graph::new();
    let declare = |(i, (dims, _)): (usize, &(&[usize], &[f32]))| {
        g.input(&format!("x{i}"), Shape::new(dims).expect("rank fits"))
    };
    let values: Vec<Value> = inputs.iter().enumerate().map(declare).collect();
    let y = call(&mut g, &values).expect("it records");
    let tape = g.forward([y]).expect("it records");
    let run = |device: &Device| {
        let mut session = tape.session(device).expect("it builds");
        for (&value, (_, data)) in values.iter().zip(inputs) {
            // A gradient need not read what its operator read.
            if tape.persistent().contains(&value) {
                session.write(value, data).expect("it fits");
            }
        }
        session.replay().expect("it replays");
        session.read(y).expect("it is kept")
    };
    let (cpu, gpu) = (run(&Device::reference()), run(common::gpu()));
    let close = |(a, b): (&f32, &f32)| (a - b).abs() <= 1e-4 * (1.0 + a.abs());
    assert!(cpu.len() == gpu.len() && cpu.iter().zip(&gpu).all(close), "{cpu:?}\n{gpu:?}");
    gpu
}

fn by_every_route(options: ConvOptions) -> impl Iterator<Item = ConvOptions> {
    ConvRoute::ALL.iter().map(move |&route| options.route(route))
}

#[rustfmt::skip]
const IMAGE: [f32; 25] = [
    1.0, 1.0, 1.0, 0.0, 0.0,
    0.0, 1.0, 1.0, 1.0, 0.0,
    0.0, 0.0, 1.0, 1.0, 1.0,
    0.0, 0.0, 1.0, 1.0, 0.0,
    0.0, 1.0, 1.0, 0.0, 0.0,
];
const FILTER: [f32; 9] = [1.0, 0.0, 1.0, 0.0, 1.0, 0.0, 1.0, 0.0, 1.0];

#[test]
fn the_textbook_image_and_filter() {
    for options in by_every_route(ConvOptions::new()) {
        let inputs: [(&[usize], &[f32]); 2] = [(&[1, 1, 5, 5], &IMAGE), (&[1, 1, 3, 3], &FILTER)];
        let y = on_both(&inputs, &|g, v| g.conv2d(v[0], v[1], None, options));
        assert_eq!(y, [4.0, 3.0, 4.0, 2.0, 4.0, 3.0, 2.0, 3.0, 4.0]);
    }
}

#[test]
fn the_first_layer_of_alexnet_gives_55_by_55_by_96() {
    let mut g = Graph::new();
    let x = g.input("x", [1, 3, 227, 227]);
    let w = g.parameter("w", [96, 3, 11, 11], Init::HeNormal);
    let y = g.conv2d(x, w, None, ConvOptions::new().stride(4)).unwrap();
    assert_eq!(g.shape(y).unwrap(), Shape::from([1, 96, 55, 55]));
}

/// `1 + floor((H - H' + P_top + P_bottom) / S)`, and the sizes that kinds of padding promise.
#[test]
fn outputs_have_the_sizes_of_the_formula() {
    for (h, k) in [(1, 1), (5, 3), (6, 3), (7, 3), (8, 5), (12, 11)] {
        for stride in [1, 2, 3] {
            let size = |padding: Padding| {
                let mut g = Graph::new();
                let x = g.input("x", [2, 1, h, h]);
                let w = g.input("w", [1, 1, k, k]);
                let y = g.conv2d(x, w, None, ConvOptions::new().stride(stride).padding(padding)).unwrap();
                g.shape(y).unwrap().dims()[2]
            };
            let explicit = Padding::Explicit { top: 1, left: 0, bottom: 2, right: 3 };
            assert_eq!(size(Padding::Valid), 1 + (h - k) / stride);
            assert_eq!(size(explicit), 1 + (h - k + 3) / stride);
            assert_eq!(size(Padding::Same), h.div_ceil(stride));
            assert_eq!(size(Padding::Full), 1 + (h + k - 2) / stride);
        }
    }
}

/// A stride that leaves the last two rows and columns of the image unread: their gradient is zero,
/// not garbage, and the image's gradient has the image's size.
#[test]
fn rows_that_no_window_reads_have_zero_gradients() {
    for options in by_every_route(ConvOptions::new().stride(3)) {
        let x: Vec<f32> = (0..64).map(|i| i as f32).collect();
        let dx = on_both(&[(&[1, 1, 8, 8], &x), (&[1, 1, 3, 3], &[1.0; 9])], &|g, v| {
            let y = g.conv2d(v[0], v[1], None, options)?;
            assert_eq!(g.shape(y)?, Shape::from([1, 1, 2, 2]));
            Ok(g.differentiate(g.sum(y, &[], false)?, &[v[0]])?[0])
        });
        let read = |i: usize| i / 8 < 6 && i % 8 < 6;
        let want: Vec<f32> = (0..64).map(|i| if read(i) { 1.0 } else { 0.0 }).collect();
        assert_eq!(dx, want);
    }
}

/// Groups that do not see each other, with a stride: each half is the convolution of that half.
#[test]
fn grouped_and_strided_gradients_are_those_of_the_groups() {
    let noise = |n: usize, seed: u32| common::data::noise(n, seed, -1.0, 1.0);
    let (x, w) = (noise(2 * 4 * 7 * 7, 1), noise(6 * 2 * 3 * 3, 2));
    for options in by_every_route(ConvOptions::new().stride(2).padding(Padding::symmetric(1))) {
        let slopes = |which: usize, split: bool| {
            on_both(&[(&[2, 4, 7, 7], &x), (&[6, 2, 3, 3], &w)], &|g, v| {
                let y = if split {
                    let half = |i: usize| {
                        let x = g.slice_axis(v[0], 1, 2 * i..2 * i + 2)?;
                        let w = g.slice_axis(v[1], 0, 3 * i..3 * i + 3)?;
                        g.conv2d(x, w, None, options)
                    };
                    g.concat(&[half(0)?, half(1)?], 1)?
                } else {
                    g.conv2d(v[0], v[1], None, options.groups(2))?
                };
                Ok(g.differentiate(g.sum(g.square(y)?, &[], false)?, v)?[which])
            })
        };
        for which in [0, 1] {
            let (together, apart) = (slopes(which, false), slopes(which, true));
            let close = |(a, b): (&f32, &f32)| (a - b).abs() <= 1e-4 * (1.0 + a.abs());
            assert!(together.iter().zip(&apart).all(close), "{options:?}");
        }
    }
}

/// The filters of the same transposed convolution as in the arithmetic guide of Dumoulin and Visin:
/// a stride of 2 puts zeros between the pixels.
#[test]
fn transposed_convolution_spreads_its_image() {
    let y = on_both(
        &[(&[1, 1, 2, 2], &[1.0, 2.0, 3.0, 4.0]), (&[1, 1, 2, 2], &[1.0, 10.0, 100.0, 1000.0])],
        &|g, v| g.conv_transpose2d(v[0], v[1], None, ConvOptions::new().stride(2), 0),
    );
    let want = [
        1.0, 10.0, 2.0, 20.0, 100.0, 1000.0, 200.0, 2000.0, 3.0, 30.0, 4.0, 40.0, 300.0, 3000.0, 400.0,
        4000.0,
    ];
    assert_eq!(y, want);
    let mut g = Graph::new();
    let x = g.input("x", [1, 8, 7, 7]);
    let w = g.input("w", [8, 3, 4, 4]);
    let same = ConvOptions::new().stride(2).padding(Padding::Same);
    let y = g.conv_transpose2d(x, w, None, same, 0).unwrap();
    assert_eq!(g.shape(y).unwrap(), Shape::from([1, 3, 14, 14]));
}

#[test]
fn mistakes_are_typed_and_name_the_layer() {
    let found = |x: &[usize], w: &[usize], bias: Option<usize>, options: ConvOptions| {
        let mut g = Graph::new();
        let x = g.input("x", Shape::new(x).unwrap());
        let w = g.input("w", Shape::new(w).unwrap());
        let bias = bias.map(|n| g.input("b", [n]));
        let error = g.layer("conv1", |g| g.conv2d(x, w, bias, options)).unwrap_err();
        assert!(error.to_string().contains("conv1"), "{error}");
        error
    };
    let plain = ConvOptions::new();
    let error = found(&[1, 3, 8, 8], &[4, 2, 3, 3], None, plain);
    assert!(matches!(error.root(), Error::ShapeMismatch { .. }), "{error}");
    assert!(
        error.to_string().contains("[1, 3, 8, 8]") && error.to_string().contains("[4, 2, 3, 3]"),
        "{error}"
    );
    let error = found(&[1, 3, 8, 8], &[4, 3, 9, 3], None, plain);
    assert!(matches!(error.root(), Error::Window { extent: 9, padded: 8, .. }), "{error}");
    let error = found(&[3, 8, 8], &[4, 3, 3, 3], None, plain);
    assert!(matches!(error.root(), Error::Rank { .. }), "{error}");
    let error = found(&[1, 3, 8, 8], &[4, 3, 3, 3], Some(3), plain);
    assert!(matches!(error.root(), Error::ShapeMismatch { .. }), "{error}");
    for options in [plain.groups(2), plain.groups(0), plain.stride(0), plain.dilation([1, 0])] {
        let error = found(&[1, 3, 8, 8], &[4, 3, 3, 3], None, options);
        assert!(matches!(error.root(), Error::Argument { .. }), "{error}");
    }
    let mut g = Graph::new();
    let x = g.input("x", [1, 2, 4, 4]);
    let w = g.input("w", [2, 3, 3, 3]);
    let same = plain.stride(2).padding(Padding::Same);
    for (options, extra) in [(plain.stride(2), 2), (same, 1), (plain.groups(0), 0), (plain.groups(4), 0)] {
        let error = g.conv_transpose2d(x, w, None, options, extra).unwrap_err();
        assert!(matches!(error.root(), Error::Argument { .. }), "{error}");
        assert!(error.to_string().contains("conv_transpose2d"), "{error}");
    }
    let error = g.conv_transpose2d(w, x, None, plain, 0).unwrap_err();
    assert!(error.to_string().contains("[2, 3, 3, 3] against [1, 2, 4, 4]"), "{error}");
    let counts = g.indices("counts", [2]);
    let error = g.conv2d(w, w, Some(counts), plain.padding(Padding::Same)).unwrap_err();
    assert!(error.to_string().starts_with("conv2d"), "{error}");
    let sequence = g.input("sequence", [1, 3, 8]);
    let filters = g.input("filters", [4, 2, 3]);
    let error = g.conv1d(sequence, filters, None, plain).unwrap_err();
    assert!(error.to_string().starts_with("conv1d"), "{error}");
    assert!(error.to_string().contains("[1, 3, 8] against [4, 2, 3]"), "{error}");
    let long = g.input("long", [4, 3, 9]);
    let error = g.conv1d(sequence, long, None, plain).unwrap_err();
    assert!(error.to_string().starts_with("conv1d"), "{error}");
    let error = g.max_pool1d(sequence, PoolOptions::new(9)).unwrap_err();
    assert!(error.to_string().starts_with("max_pool1d"), "{error}");
    let shut = plain.padding(Padding::symmetric(9));
    let error = g.conv_transpose2d(x, w, None, shut, 0).unwrap_err();
    assert!(matches!(error.root(), Error::Argument { .. }), "{error}");
}
