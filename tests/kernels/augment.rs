//! Augmentation on the device: what each map does to known images, what is drawn, that evaluation
//! leaves images alone, and that models train behind it.

use std::collections::BTreeMap;

use crate::common;
use retape::nn::Layer;
use retape::prelude::*;
use retape::testing::*;
use retape::{Error, Result};

fn devices() -> [Device; 3] {
    [Device::reference(), Device::cpu(), common::gpu().clone()]
}

/// What a layer makes of images in training, after so many steps.
fn augmented(
    device: &Device,
    layer: impl Layer + Copy,
    shape: [usize; 4],
    data: &[f32],
    (seed, step): (u32, u32),
) -> Result<Vec<f32>> {
    let mut g = Graph::new();
    let x = g.input("x", shape);
    let y = Sequential::new().add(layer).record(&mut g, x, Mode::Training)?;
    let mut session = g.forward([y])?.session_with(device, guarded(SessionOptions::new().seed(seed)))?;
    poison(&session);
    session.write(x, data)?;
    session.set_step(step);
    session.replay()?;
    assert!(broken_guards(&session)?.is_empty());
    session.read(y)
}

/// One image many times over.
fn repeated(samples: usize, image: &[f32]) -> Vec<f32> {
    image.repeat(samples)
}

/// An image whose pixels are numbered, from 1.
fn numbered(pixels: usize) -> Vec<f32> {
    (1..=pixels).map(|i| i as f32).collect()
}

fn bits(data: &[f32]) -> Vec<u32> {
    data.iter().map(|v| v.to_bits()).collect()
}

/// How often each result occurs among images of so many pixels.
fn counts(data: &[f32], pixels: usize) -> BTreeMap<Vec<u32>, usize> {
    let mut counts = BTreeMap::new();
    data.chunks(pixels).for_each(|image| *counts.entry(bits(image)).or_default() += 1);
    counts
}

/// Every kind occurs as often as equal chances allow.
fn assert_even(counts: impl IntoIterator<Item = usize>, kinds: usize, draws: usize) {
    let counts: Vec<usize> = counts.into_iter().collect();
    assert_eq!((counts.len(), counts.iter().sum::<usize>()), (kinds, draws));
    let expected = draws as f64 / kinds as f64;
    let off = 5.0 * (expected * (1.0 - 1.0 / kinds as f64)).sqrt();
    assert!(counts.iter().all(|&n| (n as f64 - expected).abs() <= off), "{counts:?} for {expected}");
}

#[test]
fn draws_follow_seed_step_and_sample() -> Result<()> {
    let data = repeated(64, &numbered(49));
    let layers: [(&str, AffineOptions); 3] = [
        ("shift", AffineOptions::new().shift([3, 3])),
        ("rotation", AffineOptions::new().rotate(-0.5, 0.5)),
        ("zoom", AffineOptions::new().zoom(-0.5, 0.5)),
    ];
    for device in devices() {
        for (name, options) in layers {
            let layer = RandomAffine::new(options);
            let run = |at| augmented(&device, layer, [64, 1, 7, 7], &data, at);
            let first = run((1, 0))?;
            assert!(counts(&first, 49).len() > 30, "{name}: samples draw alike");
            assert_eq!(bits(&first), bits(&run((1, 0))?), "{name}");
            for other in [run((2, 0))?, run((1, 1))?] {
                let alike = first.chunks(49).zip(other.chunks(49)).filter(|(a, b)| a == b).count();
                assert!(alike < 16, "{name}: {alike} of 64 draw alike");
            }
        }
    }
    Ok(())
}

/// Two layers of a model, and the samples of all, draw apart.
#[test]
fn layers_draw_apart() -> Result<()> {
    for device in devices() {
        let mut g = Graph::new();
        let x = g.input("x", [64, 1, 1, 9]);
        let shift = RandomTranslation::pixels([0, 4]).fill(FillMode::Wrap);
        let (a, b) = (Sequential::new().add(shift), Sequential::new().add(shift));
        let (a, b) = (a.record(&mut g, x, Mode::Training)?, b.record(&mut g, x, Mode::Training)?);
        let mut session = g.forward([a, b])?.session(&device)?;
        session.write(x, &repeated(64, &numbered(9)))?;
        session.replay()?;
        let (a, b) = (session.read(a)?, session.read(b)?);
        let alike = a.chunks(9).zip(b.chunks(9)).filter(|(a, b)| a == b).count();
        assert!(alike < 24, "{alike} of 64 draw alike");
    }
    Ok(())
}

#[test]
fn evaluation_leaves_images_alone() -> Result<()> {
    let layers = || -> [LayerBox; 7] {
        [
            Box::new(RandomFlip::both()),
            Box::new(RandomTranslation::new(0.5, 0.5)),
            Box::new(RandomRotation::new(0.5)),
            Box::new(RandomZoom::new(0.5)),
            Box::new(RandomAffine::new(AffineOptions::new().rotate(0.0, 1.0))),
            Box::new(RandomBrightness::new(0.5).value_range(0.0, 1.0)),
            Box::new(RandomContrast::new(0.5).value_range(0.0, 1.0)),
        ]
    };
    for layer in layers() {
        let mut g = Graph::new();
        let x = g.input("x", [2, 3, 4, 5]);
        let kind = layer.kind();
        for (mode, same) in [(Mode::Evaluation, true), (Mode::Training, false)] {
            let y = retape::nn::record(layer.as_ref(), &mut g, &[x], mode)?.outputs[0];
            assert_eq!(y == x, same, "{kind}");
            assert_eq!(g.shape(y)?, Shape::from([2, 3, 4, 5]), "{kind}");
        }
    }
    Ok(())
}

type LayerBox = Box<dyn Layer>;

#[test]
fn a_flip_mirrors_half_of_the_images() -> Result<()> {
    const N: usize = 400;
    let [a, b, c, d, e, f] = [1.0f32, 2.0, 3.0, -0.0, 1e-40, 6.0];
    let image = [a, b, c, d, e, f];
    let ways = [image, [c, b, a, f, e, d], [d, e, f, a, b, c], [f, e, d, c, b, a]];
    for device in devices() {
        let cases = [
            (RandomFlip::horizontal(), vec![0, 1]),
            (RandomFlip::vertical(), vec![0, 2]),
            (RandomFlip::both(), vec![0, 1, 2, 3]),
        ];
        for (layer, expected) in cases {
            let data = repeated(N, &image);
            let found = counts(&augmented(&device, layer, [N, 1, 2, 3], &data, (3, 0))?, 6);
            assert_even(expected.iter().map(|&way| found[&bits(&ways[way])]), expected.len(), N);
        }
        // All channels of an image go the same way.
        let data = repeated(N, &[image, image.map(|v| v + 10.0)].concat());
        let found = counts(&augmented(&device, RandomFlip::both(), [N, 2, 2, 3], &data, (3, 0))?, 12);
        let both = ways.map(|way| bits(&[way, way.map(|v| v + 10.0)].concat()));
        assert_even(both.map(|way| found[&way]), 4, N);
    }
    Ok(())
}

/// Row `i` of what an image `1 2 3 4` shows from `first` on.
fn window(first: i32, fill: FillMode) -> Vec<f32> {
    let (before, after) = match fill {
        FillMode::Constant(k) => ([k; 4], [k; 4]),
        FillMode::Nearest => ([1.0; 4], [4.0; 4]),
        FillMode::Reflect => ([4.0, 3.0, 2.0, 1.0], [4.0, 3.0, 2.0, 1.0]),
        FillMode::Wrap => ([1.0, 2.0, 3.0, 4.0], [1.0, 2.0, 3.0, 4.0]),
        other => panic!("{other:?} has no case"),
    };
    let line = [&before[..], &[1.0, 2.0, 3.0, 4.0], &after].concat();
    line[(4 + first) as usize..][..4].to_vec()
}

#[test]
fn shifts_cover_their_range_and_fill_the_rest() -> Result<()> {
    const N: usize = 1800;
    for device in devices() {
        for fill in [FillMode::Constant(-7.5), FillMode::Nearest, FillMode::Reflect, FillMode::Wrap] {
            // By columns, and by rows.
            for (shape, pixels) in [([N, 1, 1, 4], [0, 4]), ([N, 1, 4, 1], [4, 0])] {
                let layer = RandomTranslation::pixels(pixels).fill(fill);
                let found = augmented(&device, layer, shape, &repeated(N, &numbered(4)), (5, 0))?;
                let found = counts(&found, 4);
                let mut expected: BTreeMap<Vec<u32>, usize> = BTreeMap::new();
                (-4..=4).for_each(|first| *expected.entry(bits(&window(first, fill))).or_default() += 1);
                assert_eq!(found.keys().collect::<Vec<_>>(), expected.keys().collect::<Vec<_>>(), "{fill:?}");
                for (image, n) in found {
                    let mean = (expected[&image] * N) as f64 / 9.0;
                    assert!((n as f64 - mean).abs() <= 5.0 * mean.sqrt(), "{fill:?}: {n} for {mean}");
                }
            }
        }
        // Shares of a height and a width.
        let layer = RandomTranslation::new(0.4, 0.1).fill(FillMode::Constant(0.0));
        let found = augmented(&device, layer, [N, 1, 5, 10], &repeated(N, &numbered(50)), (5, 0))?;
        let moved = |image: &[f32]| image.iter().position(|&v| v == 25.0);
        let mut places = BTreeMap::new();
        found.chunks(50).for_each(|image| *places.entry(moved(image)).or_default() += 1);
        let wanted = (-2i32..=2).flat_map(|r| (-1..=1).map(move |c| Some((24 + 10 * r + c) as usize)));
        assert_even(wanted.map(|place| places[&place]), 15, N);
    }
    Ok(())
}

#[test]
fn crops_are_cut_anywhere_and_from_the_middle() -> Result<()> {
    const N: usize = 1500;
    for device in devices() {
        let found =
            augmented(&device, RandomCrop::new([2, 3]), [N, 1, 4, 5], &repeated(N, &numbered(20)), (1, 4))?;
        let crop = |first: usize| [0, 1, 2, 5, 6, 7].map(|i| (first + i + 1) as f32).to_vec();
        let found = counts(&found, 6);
        let places = (0..3).flat_map(|r| (0..3).map(move |c| 5 * r + c));
        assert_even(places.map(|first| found[&bits(&crop(first))]), 9, N);
        // With zeros around: of the size of the image, five rows by five columns.
        let padded = RandomCrop::new([4, 5]).padding(2);
        let found = augmented(&device, padded, [N, 1, 4, 5], &repeated(N, &numbered(20)), (1, 4))?;
        assert_even(counts(&found, 20).into_values(), 25, N);
        let zeros = found.iter().filter(|&&v| v == 0.0).count() as f64 / found.len() as f64;
        // Of rows 0.3 are lost on average, of columns 0.24.
        assert!((zeros - (1.0 - 0.7 * 0.76)).abs() < 0.03, "{zeros}");

        let middle = |size: [usize; 2], padding: usize| -> Result<Vec<f32>> {
            let mut g = Graph::new();
            let x = g.input("x", [1, 1, 4, 5]);
            let model = Sequential::new().add(RandomCrop::new(size).padding(padding));
            let y = model.record(&mut g, x, Mode::Evaluation)?;
            assert_eq!(g.shape(y)?, Shape::from([1, 1, size[0], size[1]]));
            let mut session = g.forward([y])?.session(&device)?;
            session.write(x, &numbered(20))?;
            session.replay()?;
            session.read(y)
        };
        assert_eq!(middle([2, 3], 3)?, [7.0, 8.0, 9.0, 12.0, 13.0, 14.0]);
        assert_eq!(middle([1, 2], 0)?, [7.0, 8.0]);
        assert_eq!(middle([4, 5], 1)?, numbered(20));
        assert_eq!(middle([1, 8], 2)?, [0.0, 0.0, 6.0, 7.0, 8.0, 9.0, 10.0, 0.0]);
    }
    Ok(())
}

#[test]
fn quarter_turns_are_exact() -> Result<()> {
    let turned = |image: &[f32], n: usize| -> Vec<f32> {
        (0..n * n).map(|e| image[(e % n) * n + n - 1 - e / n]).collect()
    };
    for device in devices() {
        for n in [1, 2, 5, 8] {
            let data = common::data::noise(2 * n * n, 4, -1.0, 1.0);
            let mut expected = data.clone();
            for quarter in 1..=4 {
                expected = expected.chunks(n * n).flat_map(|image| turned(image, n)).collect();
                for turns in [quarter as f32 / 4.0, quarter as f32 / 4.0 - 1.0] {
                    let layer = RandomRotation::between(turns, turns).fill(FillMode::Constant(9.0));
                    let found = augmented(&device, layer, [1, 2, n, n], &data, (0, 0))?;
                    assert_eq!(found, expected, "{turns} of {n}");
                }
            }
        }
        // Of an image that is not square, half a turn keeps all, and a quarter the middle.
        let half = augmented(&device, RandomRotation::between(0.5, 0.5), [1, 1, 2, 3], &numbered(6), (0, 0))?;
        assert_eq!(half, [6.0, 5.0, 4.0, 3.0, 2.0, 1.0]);
        let layer = RandomRotation::between(0.25, 0.25).fill(FillMode::Constant(0.0));
        let quarter = augmented(&device, layer, [1, 1, 1, 3], &numbered(3), (0, 0))?;
        assert_eq!(quarter, [0.0, 2.0, 0.0]);
    }
    Ok(())
}

/// On a ramp, bilinear interpolation is exact: what a sample drew can be read off.
#[test]
fn angles_and_zooms_cover_their_range() -> Result<()> {
    const N: usize = 1000;
    const SIDE: usize = 9;
    let ramp: Vec<f32> = (0..SIDE * SIDE).map(|e| (e % SIDE) as f32 - 4.0).collect();
    let data = repeated(N, &ramp);
    let spread = |drawn: &[f64], low: f64, high: f64| {
        let mean = drawn.iter().sum::<f64>() / N as f64;
        let margin = 0.02 * (high - low);
        let ends = drawn.iter().fold((f64::MAX, f64::MIN), |(a, b), &v| (a.min(v), b.max(v)));
        assert!(low - 1e-5 <= ends.0 && ends.0 < low + margin, "{ends:?} for {low} to {high}");
        assert!(ends.1 <= high + 1e-5 && ends.1 > high - margin, "{ends:?} for {low} to {high}");
        assert!((mean - (low + high) / 2.0).abs() < 3.0 * margin, "{mean} for {low} to {high}");
    };
    for device in devices() {
        let layer = RandomRotation::between(-0.2, 0.1);
        let found = augmented(&device, layer, [N, 1, SIDE, SIDE], &data, (9, 2))?;
        // One pixel to the right of the middle, and one below it.
        let pixel = |image: &[f32], row: usize, column: usize| f64::from(image[row * SIDE + column]);
        let angle = |image: &[f32]| (-pixel(image, 5, 4)).atan2(pixel(image, 4, 5)) / std::f64::consts::TAU;
        spread(&found.chunks(SIDE * SIDE).map(angle).collect::<Vec<_>>(), -0.2, 0.1);

        let layer = RandomZoom::between(-0.5, 0.25);
        let found = augmented(&device, layer, [N, 1, SIDE, SIDE], &data, (9, 2))?;
        let zoom = |image: &[f32]| pixel(image, 4, 5) - 1.0;
        spread(&found.chunks(SIDE * SIDE).map(zoom).collect::<Vec<_>>(), -0.5, 0.25);
        for image in found.chunks(SIDE * SIDE) {
            let step = pixel(image, 4, 5);
            assert!((pixel(image, 0, 2) + 2.0 * step).abs() < 1e-5);
        }
        // Twice the width, and the half of it.
        let out = RandomZoom::between(1.0, 1.0).fill(FillMode::Constant(-1.0));
        let out = augmented(&device, out, [1, 1, 1, 5], &numbered(5), (0, 0))?;
        assert_eq!(out, [-1.0, 1.0, 3.0, 5.0, -1.0]);
        let zoomed = augmented(&device, RandomZoom::between(-0.5, -0.5), [1, 1, 1, 5], &numbered(5), (0, 0))?;
        assert_eq!(zoomed, [2.0, 2.5, 3.0, 3.5, 4.0]);
    }
    Ok(())
}

#[test]
fn brightness_adds_one_number_to_an_image() -> Result<()> {
    const N: usize = 500;
    let data = common::data::noise(N * 12, 1, 0.0, 1.0);
    for device in devices() {
        let found = augmented(&device, RandomBrightness::between(-0.3, 0.2), [N, 3, 2, 2], &data, (1, 0))?;
        let pairs = || found.chunks(12).zip(data.chunks(12));
        let added: Vec<f32> = pairs().map(|(y, x)| y[0] - x[0]).collect();
        for ((y, x), added) in pairs().zip(&added) {
            assert!(y.iter().zip(x).all(|(y, x)| (y - x - added).abs() < 1e-6));
            assert!((-0.300001..=0.200001).contains(added), "{added}");
        }
        let mean = added.iter().sum::<f32>() / N as f32;
        assert!((mean + 0.05).abs() < 0.03, "{mean}");
        // A share of the range, and clipped to it.
        let bright = RandomBrightness::between(0.5, 0.5).value_range(-1.0, 1.0);
        let found = augmented(&device, bright, [1, 1, 1, 4], &[-1.0, -0.5, 0.25, 1.0], (0, 0))?;
        assert_eq!(found, [0.0, 0.5, 1.0, 1.0]);
    }
    Ok(())
}

#[test]
fn contrast_scales_around_the_mean_of_a_channel() -> Result<()> {
    const N: usize = 500;
    let data = common::data::noise(N * 12, 2, 0.0, 1.0);
    for device in devices() {
        let found = augmented(&device, RandomContrast::new(0.4), [N, 2, 2, 3], &data, (1, 0))?;
        let mean = |x: &[f32]| x.iter().sum::<f32>() / x.len() as f32;
        let mut factors = Vec::new();
        for (y, x) in found.chunks(12).zip(data.chunks(12)) {
            let scale = |y: &[f32], x: &[f32]| {
                let (top, below) = y.iter().zip(x).fold((0.0, 0.0), |(top, below), (y, v)| {
                    let from = v - mean(x);
                    (top + (y - mean(x)) * from, below + from * from)
                });
                top / below
            };
            let factor = scale(&y[..6], &x[..6]);
            assert!((scale(&y[6..], &x[6..]) - factor).abs() < 1e-4, "one factor for all channels");
            for (y, x) in y.chunks(6).zip(x.chunks(6)) {
                let right = |(y, v): (&f32, &f32)| (y - ((v - mean(x)) * factor + mean(x))).abs() < 1e-5;
                assert!(y.iter().zip(x).all(right));
            }
            assert!((0.5999..=1.4001).contains(&factor), "{factor}");
            factors.push(factor);
        }
        assert!((mean(&factors) - 1.0).abs() < 0.06);
        let more = RandomContrast::between(3.0, 3.0).value_range(0.0, 4.0);
        let found = augmented(&device, more, [1, 1, 1, 4], &[0.0, 1.5, 2.5, 4.0], (0, 0))?;
        assert_eq!(found, [0.0, 0.5, 3.5, 4.0]);
    }
    Ok(())
}

fn stack() -> Sequential {
    Sequential::new()
        .add(RandomAffine::new(AffineOptions::new().flip_horizontal().shift([2, 1]).rotate(-0.1, 0.1)))
        .add(RandomCrop::new([8, 8]).padding(1))
        .add(RandomBrightness::new(0.2))
        .add(RandomContrast::new(0.2).value_range(-2.0, 2.0))
}

/// The GPU's images are those of the CPU path: to the bit where pixels are whole.
#[test]
fn both_paths_make_the_same_images() -> Result<()> {
    let shape = [17, 3, 8, 9];
    let data = common::data::noise(shape.iter().product(), 3, -1.0, 1.0);
    let whole = AffineOptions::new().flip_horizontal().flip_vertical().shift([3, 4]);
    let [exact, cpu, gpu] = devices();
    for step in [0, 1, 77] {
        let run = |device| augmented(device, RandomAffine::new(whole), shape, &data, (8, step));
        let want = bits(&run(&exact)?);
        assert!(bits(&run(&cpu)?) == want && bits(&run(&gpu)?) == want);
    }
    let mut g = Graph::new();
    let x = g.input("x", shape);
    let y = stack().record(&mut g, x, Mode::Training)?;
    let tape = g.forward([y])?;
    let mut session = tape.session_with(&gpu, SessionOptions::new().seed(4))?;
    for _ in 0..5 {
        let checked = session.verify(&[(x, (&data).into())])?;
        assert!(checked.passes(), "{checked}");
        session.replay()?;
    }
    Ok(())
}

/// No gradient is asked of an image, so that a model may begin with augmentation.
#[test]
fn a_model_trains_behind_augmentation() -> Result<()> {
    for device in devices() {
        let model = stack().add(Flatten).add(Dense::new(2));
        let mut g = Graph::new();
        let (x, labels) = (g.input("x", [32, 1, 8, 8]), g.labels("labels", [32]));
        let logits = model.record(&mut g, x, Mode::Training)?;
        let loss = g.softmax_cross_entropy(logits, labels)?;
        let training = g.training_step(loss, &Sgd::new(0.05))?;
        let mut session = training.session_with(&device, SessionOptions::new().seed(6))?;
        // Images are light above or below.
        let classes: Vec<u32> = (0..32).map(|i| i % 2).collect();
        let light = |e: usize| ((e % 64 / 32 == e / 64 % 2) as u8) as f32;
        session.write(x, &(0..32 * 64).map(light).collect::<Vec<_>>())?;
        session.write(labels, &classes)?;
        session.replay_n(150)?;
        let last = session.read_scalar(loss)?;
        assert!(last < 0.2, "{last}");
        let refused = g.differentiate(loss, &[x]).unwrap_err();
        assert!(matches!(refused.root(), Error::NoGradient { op: "random_affine", .. }), "{refused}");
    }
    Ok(())
}

#[test]
fn bad_options_are_typed_errors() -> Result<()> {
    fn refused(layer: impl Layer + Copy, dims: &[usize], expected: fn(&Error) -> bool) {
        for mode in [Mode::Training, Mode::Evaluation] {
            let mut g = Graph::new();
            let x = g.input("x", Shape::new(dims).expect("rank fits"));
            let error = Sequential::new().add(layer).record(&mut g, x, mode).unwrap_err();
            assert!(expected(error.root()), "{layer:?}: {error}");
            assert!(error.to_string().contains("augment.rs:"), "{error}");
        }
    }
    const IMAGE: [usize; 4] = [2, 3, 8, 6];
    let argument = |e: &Error| matches!(e, Error::Argument { .. });
    let rank = |e: &Error| matches!(e, Error::Rank { .. });
    refused(RandomFlip::both(), &[2, 8, 6], rank);
    refused(RandomTranslation::new(0.1, 0.1), &[2, 8, 6], rank);
    refused(RandomCrop::new([1, 1]), &[2, 8, 6], rank);
    refused(RandomTranslation::new(1.5, 0.0), &IMAGE, argument);
    refused(RandomTranslation::new(0.0, f32::NAN), &IMAGE, argument);
    refused(RandomTranslation::pixels([0, 7]), &IMAGE, argument);
    refused(RandomTranslation::new(0.1, 0.1).fill(FillMode::Constant(f32::NAN)), &IMAGE, argument);
    refused(RandomCrop::new([0, 1]), &IMAGE, argument);
    refused(RandomCrop::new([1, 1]).padding(usize::MAX), &IMAGE, argument);
    let window =
        |e: &Error| matches!(e, Error::Window { axis: "width", extent: 11, input: 6, padded: 10, .. });
    refused(RandomCrop::new([8, 11]).padding(2), &IMAGE, window);
    refused(RandomRotation::new(1.5), &IMAGE, argument);
    refused(RandomRotation::between(0.2, 0.1), &IMAGE, argument);
    refused(RandomRotation::between(f32::NAN, 0.1), &IMAGE, argument);
    refused(RandomZoom::new(1.0), &IMAGE, argument);
    refused(RandomZoom::between(-0.1, 1.5), &IMAGE, argument);
    refused(RandomAffine::new(AffineOptions::new().crop([2, 2], 0)), &IMAGE, argument);
    refused(RandomBrightness::between(0.2, -0.2), &IMAGE, argument);
    refused(RandomBrightness::new(f32::INFINITY), &IMAGE, argument);
    refused(RandomBrightness::new(0.1).value_range(1.0, 0.0), &IMAGE, argument);
    refused(RandomContrast::new(1.5), &IMAGE, argument);
    refused(RandomContrast::between(0.5, f32::NAN), &IMAGE, argument);

    let mut g = Graph::new();
    let (words, scalar) = (g.indices("words", IMAGE), g.input("scalar", []));
    let dtype = g.random_affine(words, &AffineOptions::new()).unwrap_err();
    assert!(matches!(dtype.root(), Error::DTypeMismatch { .. }), "{dtype}");
    assert!(rank(g.random_brightness(scalar, 0.0, 1.0).unwrap_err().root()));
    assert!(rank(g.random_contrast(scalar, 0.0, 1.0).unwrap_err().root()));
    for [low, high] in [[1.0, 0.0], [f32::NAN, 1.0], [f32::MIN, f32::MAX]] {
        assert!(argument(g.random_uniform([3], low, high).unwrap_err().root()));
    }
    Ok(())
}
