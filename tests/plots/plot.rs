//! Pictures as files: what is in them, what is refused, and what a failure leaves behind.
#![cfg(feature = "plots")]

use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use crate::folder::Folder;
use image::RgbImage;
use retape::plot::{self, ColorMap, FilterOptions, FilterScale, Panel};
use retape::train::{History, Logs};
use retape::{Error, Result};

const BLUE: [u8; 3] = [0, 114, 178];
const VERMILLION: [u8; 3] = [213, 94, 0];
const GREEN: [u8; 3] = [0, 158, 115];

/// A figure's name, and its values over the epochs, counted from 0.
type Figure<'a> = (&'a str, fn(f64) -> f64);

fn run(epochs: usize, figures: &[Figure]) -> History {
    let logs = |epoch: usize| {
        let mut logs = Logs::new();
        figures.iter().for_each(|(name, figure)| logs.set(name, figure(epoch as f64)));
        logs
    };
    let mut history = History::default();
    history.epochs = (0..epochs).map(logs).collect();
    history
}

fn losses(epochs: usize) -> History {
    run(epochs, &[("loss", |t| (-t / 4.0).exp()), ("val_loss", |t| 0.2 + (-t / 5.0).exp())])
}

fn png(path: &Path) -> RgbImage {
    image::open(path).unwrap_or_else(|e| panic!("{}: {e}", path.display())).into_rgb8()
}

fn has(picture: &RgbImage, colour: [u8; 3]) -> bool {
    picture.pixels().any(|pixel| pixel.0 == colour)
}

/// The picture as SVG, after a look at its form: every tag is closed in order, nothing is left open.
fn svg(path: &Path) -> String {
    let text = fs::read_to_string(path).expect("it was written");
    let mut open: Vec<&str> = Vec::new();
    for tag in text.split('<').skip(1) {
        let (inside, after) = tag.split_once('>').expect("a tag ends");
        assert!(!after.contains('>') && !after.contains('\0'), "{tag}");
        let name = inside.split_whitespace().next().expect("a tag has a name");
        match name.strip_prefix('/') {
            Some(closed) => assert_eq!(open.pop(), Some(closed)),
            None if inside.ends_with('/') => {}
            None => open.push(name),
        }
    }
    assert!(open.is_empty() && text.starts_with("<svg "), "{open:?}");
    for entity in text.split('&').skip(1) {
        let known = ["lt;", "gt;", "amp;", "quot;", "apos;"];
        assert!(known.iter().any(|name| entity.starts_with(name)), "{entity}");
    }
    text
}

/// Draws the picture as SVG and as PNG, each twice, and returns both: they have the same size, and
/// the same bytes both times.
fn drawn(draw: impl Fn(&Path) -> Result<()>) -> (String, RgbImage) {
    let folder = Folder::new();
    let paths = ["a.svg", "b.SVG", "a.png", "b.png"].map(|name| folder.0.join(name));
    for path in &paths {
        draw(path).unwrap_or_else(|e| panic!("{e}"));
    }
    for pair in paths.chunks(2) {
        assert!(fs::read(&pair[0]).unwrap() == fs::read(&pair[1]).unwrap(), "{:?} differ", pair);
    }
    assert_eq!(fs::read_dir(&folder.0).unwrap().count(), 4, "something was left behind");
    let (svg, png) = (svg(&paths[0]), png(&paths[2]));
    let size = format!("width=\"{}\" height=\"{}\"", png.width(), png.height());
    assert!(svg.starts_with(&format!("<svg {size}")), "not of the size {size}");
    assert!(has(&png, [255; 3]) && has(&png, [0; 3]), "no letters on white");
    (svg, png)
}

/// The texts of a picture, in the order they were drawn.
fn texts(svg: &str) -> Vec<&str> {
    let after = svg.split("<text ").skip(1).filter_map(|text| text.split_once(">\n"));
    after.filter_map(|(_, text)| text.split_once("\n</text>")).map(|(text, _)| text).collect()
}

#[test]
fn a_history_has_a_panel_for_each_figure() {
    let mut history = losses(20);
    for (epoch, logs) in history.epochs.iter_mut().enumerate() {
        logs.set("learning_rate", 0.1 * 0.1f64.powi((epoch / 5) as i32));
        logs.set("top_5_accuracy", 0.75);
    }
    let (svg, png) = drawn(|path| history.plot(path));
    let found = texts(&svg);
    for text in ["loss", "validation loss", "epoch", "learning rate", "top 5 accuracy", "20"] {
        assert!(found.contains(&text), "no `{text}` in {found:?}");
    }
    // Decades, which a linear axis would not have, and no epoch 0.
    assert!(["1e-4", "1e-3", "1e-2", "1e-1"].iter().all(|power| found.contains(power)), "{found:?}");
    assert_eq!(found.iter().filter(|text| **text == "epoch").count(), 3);
    assert_eq!(png.dimensions(), (2 * 760, 2 * 420));
    assert!(has(&png, BLUE) && has(&png, VERMILLION) && !has(&png, GREEN));
    // The fourth place of the grid is empty.
    let fourth = png.enumerate_pixels().filter(|(x, y, _)| *x >= 760 && *y >= 420);
    assert!(fourth.map(|(_, _, pixel)| pixel.0).all(|pixel| pixel == [255; 3]));

    history.epochs.iter_mut().for_each(|logs| logs.set("learning_rate", 0.1));
    let (svg, _) = drawn(|path| history.plot(path));
    assert!(!texts(&svg).contains(&"learning rate"), "it does not change");
}

#[test]
fn a_gap_is_where_a_figure_is_not_finite() {
    let whole = drawn(|path| run(9, &[("loss", |t| t)]).plot(path)).0;
    let gap = drawn(|path| run(9, &[("loss", |t| if t == 4.0 { f64::NAN } else { t })]).plot(path)).0;
    let curves = |svg: &str| svg.matches("stroke=\"#0072B2\"").count();
    assert_eq!(curves(&gap), curves(&whole) + 1);
    let nothing: fn(f64) -> f64 = |_| f64::INFINITY;
    let empty = drawn(|path| run(3, &[("loss", nothing)]).plot(path)).0;
    assert!(texts(&empty).contains(&"no finite values"));
    for value in [|_| 0.0, |_| 1e-12, |_| -3e9, |t: f64| if t == 0.0 { f64::MAX } else { f64::MIN }] {
        drawn(|path| run(5, &[("loss", value)]).plot(path));
    }
}

#[test]
fn one_epoch_is_a_dot_and_a_thousand_are_a_curve() {
    let (svg, png) = drawn(|path| losses(1).plot(path));
    assert!(texts(&svg).contains(&"1") && svg.contains("<circle") && has(&png, BLUE));
    let (svg, _) = drawn(|path| losses(1000).plot(path));
    assert!(texts(&svg).contains(&"1000") && !svg.contains("<circle"));
    let mut resumed = losses(3);
    resumed.initial_epoch = 40;
    let (svg, _) = drawn(|path| resumed.plot(path));
    assert!(["41", "42", "43"].iter().all(|epoch| texts(&svg).contains(epoch)), "{:?}", texts(&svg));
}

#[test]
fn runs_are_compared_under_their_names() {
    let (slow, fast) = (losses(12), run(8, &[("loss", |t| (-t).exp())]));
    let runs = [("slow & <steady>", &slow), ("fast", &fast), ("without", &History::default())];
    let (svg, png) = drawn(|path| plot::compare(path, "loss", &runs));
    assert!(["slow &amp; &lt;steady&gt;", "fast", "loss"].iter().all(|text| texts(&svg).contains(text)));
    assert!(!svg.contains("without") && has(&png, BLUE) && has(&png, VERMILLION) && !has(&png, GREEN));

    let folder = Folder::new();
    let error = plot::compare(folder.0.join("c.svg"), "accuracy", &runs).unwrap_err();
    assert!(matches!(&error, Error::NothingToDraw { what } if what.contains("accuracy")), "{error}");
}

#[test]
fn a_confusion_matrix_has_counts_and_names() {
    let counts: [u64; 9] = [901, 0, 3, 2, 47, 1, 0, 0, 0];
    let draw = |path: &Path| plot::confusion_matrix(path, &counts, &["cat", "dog", "Siberian tiger cub"]);
    let (svg, png) = drawn(draw);
    let texts = texts(&svg);
    for text in ["901", "47", "cat", "Siberian tiger cub", "true class", "predicted class"] {
        assert!(texts.contains(&text), "no `{text}` in {texts:?}");
    }
    assert!(texts.contains(&"948 of 954 right (99.4 %)"), "{texts:?}");
    // Rows are the true classes: `3` is in the first row, right of `901`, which is dark.
    let at = |number: &str| {
        let (before, _) = svg.split_once(&format!(">\n{number}\n</text>")).expect("the number is there");
        let tag = &before[before.rfind("<text ").expect("it is a text")..];
        let part = |name: &str| {
            let value = tag.split_once(&format!(" {name}=\"")).and_then(|(_, rest)| rest.split_once('"'));
            value.expect("an attribute").0.parse::<u32>().expect("a number")
        };
        [part("x") / 10, part("y") / 10]
    };
    let ([x0, y0], [x1, y1]) = (at("901"), at("3"));
    assert!(x1 > x0 && y1 == y0, "{x0} {y0} {x1} {y1}");
    let shade = |x: u32, y: u32| png.get_pixel(x + 25, y).0.map(u32::from).iter().sum::<u32>();
    assert!(shade(x0, y0) < 300 && shade(x1, y1) > 700);
    // A row without samples is grey, not white.
    assert!(has(&png, [236; 3]));

    let shares: Vec<f64> = (0..10_000).map(|i| f64::from(u8::from(i % 101 == 0))).collect();
    let (svg, _) = drawn(|path| plot::confusion_matrix(path, &shares, &[]));
    assert!(svg.contains(">\n99\n<") && svg.contains("100 of 100 right"));
}

#[test]
fn a_confusion_matrix_is_square() {
    let folder = Folder::new();
    let path = folder.0.join("matrix.png");
    let argument = |result: Result<()>| match result.unwrap_err() {
        Error::Argument { argument, value, .. } => (argument, value),
        other => panic!("{other}"),
    };
    let eight = argument(plot::confusion_matrix(&path, &[1u32; 8], &["a", "b", "c"]));
    assert_eq!(eight, ("counts", "8 numbers for 3 classes".to_owned()));
    assert_eq!(argument(plot::confusion_matrix(&path, &[1.0f32; 8], &[])).0, "counts");
    assert_eq!(argument(plot::confusion_matrix(&path, &[1.0, -1.0, 0.0, 1.0], &[])).1, "-1");
    assert_eq!(argument(plot::confusion_matrix(&path, &[f64::NAN], &[])).1, "NaN");
    assert_eq!(argument(plot::confusion_matrix(&path, &vec![1u64; 257 * 257], &[])).0, "counts");
    let empty = plot::confusion_matrix::<u64>(&path, &[], &[]);
    assert!(matches!(empty, Err(Error::NothingToDraw { .. })));
    assert!(!path.exists());
}

#[test]
fn filters_are_gray_or_coloured() {
    let weights: Vec<f32> = (0..100 * 3 * 25).map(|i| ((i * i) as f32 * 0.37).sin()).collect();
    let gray = |picture: &RgbImage| picture.pixels().all(|p| p.0[0] == p.0[1] && p.0[1] == p.0[2]);
    let options = FilterOptions::default();
    let (svg, one) = drawn(|path| plot::filters(path, &weights[..300], [12, 1, 5, 5], options));
    assert!(gray(&one) && texts(&svg).contains(&"12 filters, 5 x 5 x 1") && texts(&svg).contains(&"11"));
    let (svg, three) = drawn(|path| plot::filters(path, &weights, [100, 3, 5, 5], options));
    assert!(!gray(&three) && texts(&svg).contains(&"the first 64 of 100 filters, 5 x 5 x 3"));
    assert!(texts(&svg).contains(&"63") && !texts(&svg).contains(&"64"));
    let channel = FilterOptions { channel: Some(1), ..options };
    assert!(gray(&drawn(|path| plot::filters(path, &weights, [100, 3, 5, 5], channel)).1));
    let (_, mean) = drawn(|path| plot::filters(path, &weights[..600], [4, 6, 5, 5], options));
    let first = FilterOptions { channel: Some(0), ..options };
    let (_, first) = drawn(|path| plot::filters(path, &weights[..600], [4, 6, 5, 5], first));
    assert!(gray(&mean) && mean != first);
}

#[test]
fn filters_have_one_scale_or_each_its_own() {
    // The second filter is the first, ten times as weak.
    let weights: Vec<f32> = [-1.0, 0.0, 0.5, 1.0, -0.1, 0.0, 0.05, 0.1].to_vec();
    let drawn_with = |scale, colors| {
        let options = FilterOptions { scale, colors, ..FilterOptions::default() };
        drawn(|path| plot::filters(path, &weights, [2, 1, 2, 2], options))
    };
    // -0.1 is the least of its own filter, and a little under the middle from -1 to 1.
    let (_, each) = drawn_with(FilterScale::Each, ColorMap::Gray);
    let (_, common) = drawn_with(FilterScale::Common, ColorMap::Gray);
    // Half of a tile's side squared, but for the edges of letters.
    let count = |picture: &RgbImage| picture.pixels().filter(|pixel| pixel.0 == [115; 3]).count();
    assert!(count(&each) < 50 && (42 * 42..42 * 42 + 50).contains(&count(&common)));
    let (svg, _) = drawn_with(FilterScale::Common, ColorMap::Diverging);
    assert!(texts(&svg).contains(&"-1.000") && texts(&svg).contains(&"1.000"), "{:?}", texts(&svg));
    let fills = |colour: &str| svg.matches(&format!("fill=\"{colour}\"")).count();
    // Blue at -1 is there, and white at 0 and orange at 1; -0.1 is pale.
    assert!(fills("#005AA0") > 0 && fills("#C85000") > 0 && fills("#E5EEF5") > 0);
    let (_, picture) = drawn(|path| {
        plot::filters(path, &[f32::NAN, 1.0, f32::INFINITY, 0.0], [1, 1, 2, 2], FilterOptions::default())
    });
    assert!(has(&picture, [236; 3]));
}

#[test]
fn filters_fill_their_shape() {
    let folder = Folder::new();
    let path = folder.0.join("filters.svg");
    let refused =
        |weights: &[f32], shape, options| plot::filters(&path, weights, shape, options).unwrap_err();
    let options = FilterOptions::default();
    let length = refused(&[0.0; 8], [1, 1, 3, 3], options);
    assert!(matches!(length, Error::Argument { argument: "weights", .. }), "{length}");
    let channel = refused(&[0.0; 9], [1, 1, 3, 3], FilterOptions { channel: Some(1), ..options });
    assert!(matches!(channel, Error::Argument { argument: "channel", .. }), "{channel}");
    let overflow = refused(&[0.0; 8], [usize::MAX, 2, 3, 3], options);
    assert!(matches!(overflow, Error::Argument { argument: "weights", .. }), "{overflow}");
    assert!(matches!(refused(&[], [0, 1, 3, 3], options), Error::NothingToDraw { .. }));
    let none = FilterOptions { limit: 0, ..options };
    assert!(matches!(refused(&[0.0; 9], [1, 1, 3, 3], none), Error::NothingToDraw { .. }));
    assert!(!path.exists());
}

#[test]
fn images_have_captions() {
    let pixels: Vec<f32> = (0..5 * 3 * 49).map(|i| (i % 7) as f32 / 6.0).collect();
    let names = ["one", "two", "three", "four", "five, which is a caption as long as no image is wide"];
    let (svg, _) = drawn(|path| plot::images(path, &pixels, [5, 3, 7, 7], &names));
    assert!(texts(&svg)[..].contains(&"four") && texts(&svg).iter().any(|text| text.ends_with("...")));

    let folder = Folder::new();
    let path = folder.0.join("i.png");
    plot::images(&path, &[0.0, 0.25, 1.0, 2.0], [1, 1, 2, 2], &[]).unwrap();
    let picture = png(&path);
    assert!([0, 64, 255].iter().all(|&level| has(&picture, [level; 3])));
    let refused = |shape, captions: &[&str]| plot::images(&path, &pixels, shape, captions).unwrap_err();
    assert!(matches!(refused([5, 3, 7, 7], &["one"]), Error::Argument { argument: "captions", .. }));
    assert!(matches!(refused([7, 5, 3, 7], &[]), Error::Argument { argument: "channels", .. }));
    let large = vec![0.0; 1 << 20];
    let error = plot::images(&path, &large, [1, 1, 1 << 10, 1 << 10], &[]).unwrap_err();
    assert!(matches!(error, Error::Argument { argument: "pixels", .. }), "{error}");
}

#[test]
fn a_decision_boundary_parts_the_plane() {
    let points = [([-0.5, 0.0], 0), ([0.75, 0.5], 1), ([7.0, 0.0], 2)];
    let step = |plane: &[[f32; 2]]| Ok(plane.iter().map(|p| if p[0] < 0.5 { 0.0 } else { 1.0 }).collect());
    let (svg, picture) = drawn(|path| plot::decision_boundary(path, -1.0..1.0, 0.0..4.0, step, &points));
    assert!(texts(&svg).contains(&"class 0") && texts(&svg).contains(&"class 1"), "{:?}", texts(&svg));
    assert!(has(&picture, BLUE) && has(&picture, VERMILLION));
    // Three quarters of the plane are the tint of class 0.
    let count = |colour: [u8; 3]| picture.pixels().filter(|pixel| pixel.0 == colour).count();
    let (zero, one) = (count([115, 177, 213]), count([232, 166, 115]));
    assert!((2.5..3.5).contains(&(zero as f64 / one as f64)), "{zero} {one}");

    // Of three classes with scores that are no probabilities.
    let linear = |plane: &[[f32; 2]]| Ok(plane.iter().flat_map(|[x, y]| [*x, *y, -x - y]).collect());
    let (_, picture) = drawn(|path| plot::decision_boundary(path, -1.0..1.0, -1.0..1.0, linear, &[]));
    let count = |colour: [u8; 3]| picture.pixels().filter(|pixel| pixel.0 == colour).count();
    let tint = |[r, g, b]: [u8; 3]| {
        [r, g, b].map(|v| (255.0 + (f64::from(v) - 255.0) * 0.55 * (17.0 / 24.0)).round() as u8)
    };
    assert!([BLUE, VERMILLION, GREEN].iter().all(|&colour| count(tint(colour)) > 40_000));
}

#[test]
fn a_decision_boundary_needs_scores_for_every_point() {
    let folder = Folder::new();
    let path = folder.0.join("plane.png");
    let few = plot::decision_boundary(&path, 0.0..1.0, 0.0..1.0, |plane| Ok(vec![0.0; plane.len() - 1]), &[]);
    assert!(matches!(few, Err(Error::Argument { argument: "scores", .. })), "{few:?}");
    let own = plot::decision_boundary(&path, 0.0..1.0, 0.0..1.0, |_| Err(Error::ForeignValue), &[]);
    assert!(matches!(own, Err(Error::ForeignValue)), "{own:?}");
    for (x, y) in [(1.0..1.0, 0.0..1.0), (0.0..f32::INFINITY, 0.0..1.0), (0.0..1.0, 2.0..1.0)] {
        let refused = plot::decision_boundary(&path, x, y, |_| panic!("the range is looked at first"), &[]);
        assert!(matches!(refused, Err(Error::Argument { .. })), "{refused:?}");
    }
    for score in [-0.5, 3.0] {
        let logits = |plane: &[[f32; 2]]| Ok(vec![score; plane.len()]);
        let refused = plot::decision_boundary(&path, 0.0..1.0, 0.0..1.0, logits, &[]).unwrap_err();
        assert!(matches!(refused, Error::Argument { argument: "scores", .. }), "{refused}");
        assert!(refused.to_string().contains("predict_probabilities"), "{refused}");
    }
    assert!(!path.exists());
    plot::decision_boundary(&path, 0.0..1.0, 0.0..1.0, |p| Ok(vec![f32::NAN; 2 * p.len()]), &[]).unwrap();
    assert!(has(&png(&path), [236; 3]));
}

#[test]
fn lines_and_clouds_have_names() {
    let points: Vec<(f64, f64)> = (0..50).map(|i| (f64::from(i), f64::from(i * i))).collect();
    let both = [("squares", &points[..]), ("few", &points[..3])];
    let (svg, png) = drawn(|path| plot::lines(path, ["time", "value"], &both));
    assert!(["time", "value", "squares", "few"].iter().all(|text| texts(&svg).contains(text)));
    assert_eq!(png.dimensions(), (760, 420));
    let (svg, _) = drawn(|path| plot::scatter(path, ["time", "value"], &both));
    assert_eq!(svg.matches("<circle").count(), 53 + 2);
    // Of a hundred curves, some names have no space.
    let many: Vec<(&str, &[(f64, f64)])> = (0..100).map(|_| ("one of many curves", &points[..])).collect();
    let (svg, _) = drawn(|path| plot::lines(path, ["time", "value"], &many));
    let named = texts(&svg).iter().filter(|text| **text == "one of many curves").count();
    assert!((8..64).contains(&named), "{named}");
    assert!(texts(&svg).contains(&&*format!("and {} more", 100 - named)), "{:?}", texts(&svg));
    assert!(!svg.contains("=\"-"), "something is of negative size or outside");
    let panel = Panel::new("control \u{1} characters").axes("x", "y");
    let panel = panel.reference("truth", points.clone()).sequence("model", 3, [1.0, 2.0]);
    let (svg, png) = drawn(|path| plot::panels(path, &[panel.clone(), Panel::new("empty")]));
    assert!(texts(&svg).contains(&"control   characters") && has(&png, [150; 3]) && has(&png, BLUE));
    assert_eq!(png.dimensions(), (1520, 420));
}

#[test]
fn legends_are_beside_the_curves() {
    let points: Vec<(f64, f64)> = (0..50).map(|i| (f64::from(i), f64::from(i * i))).collect();
    let named = [("squares", &points[..]), ("a name that is longer than its place is wide", &points[..9])];
    let (svg, _) = drawn(|path| plot::lines(path, ["x", "y"], &named));
    assert!(texts(&svg).iter().any(|text| text.starts_with("a name") && text.ends_with("...")));
    // The curves' last points, and the samples and the frame of the legend.
    let lines = |colour: &str| -> Vec<Vec<f64>> {
        let tags = svg.split('<').filter(|tag| tag.contains(&format!("stroke=\"{colour}\"")));
        let points = tags.filter_map(|tag| tag.split_once("points=\"")?.1.split_once('"'));
        let x = |point: &str| point.split_once(',').expect("two numbers").0.parse().expect("a number");
        points.map(|(points, _)| points.split_whitespace().map(x).collect()).collect()
    };
    for colour in ["#0072B2", "#D55E00"] {
        let [curve, sample] = &lines(colour)[..] else { panic!("{:?}", lines(colour)) };
        assert!(curve.len() > 2 && sample.len() == 2);
        assert!(curve.iter().all(|x| *x + 100.0 < sample[0]), "{curve:?} {sample:?}");
    }
}

#[test]
fn names_decide_the_format() {
    let folder = Folder::new();
    for name in ["curves.jpg", "curves", "svg", ".png", "curves.svg.gz"] {
        let path = folder.0.join(name);
        let error = losses(3).plot(&path).unwrap_err();
        assert!(matches!(&error, Error::PictureFormat { path: named } if *named == path), "{error}");
    }
    assert_eq!(fs::read_dir(&folder.0).unwrap().count(), 0);
}

#[test]
fn failures_leave_nothing_behind() {
    let folder = Folder::new();
    let io = |path: PathBuf| match losses(3).plot(path).unwrap_err() {
        Error::Io { path, source } => (path, source.kind()),
        other => panic!("{other}"),
    };
    assert_eq!(io(folder.0.join("missing/curves.svg")), (folder.0.join("missing"), ErrorKind::NotFound));
    let file = folder.write("file", b"");
    assert_eq!(io(file.join("curves.svg")), (file, ErrorKind::NotADirectory));
    // The name is taken by a folder, which only the last step of writing finds out.
    let taken = folder.0.join("taken.png");
    folder.write("taken.png/inside", b"");
    assert_eq!(io(taken.clone()).0, taken);
    let nothing = |result: Result<()>| assert!(matches!(result, Err(Error::NothingToDraw { .. })));
    nothing(History::default().plot(folder.0.join("a.svg")));
    nothing(run(2, &[]).plot(folder.0.join("a.svg")));
    nothing(plot::panels(folder.0.join("a.svg"), &[]));
    nothing(plot::lines(folder.0.join("a.svg"), ["x", "y"], &[]));
    let mut left: Vec<_> = fs::read_dir(&folder.0).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    left.sort();
    assert_eq!(left, ["file", "taken.png"]);

    // A picture that is there is replaced as a whole.
    let path = folder.write("b.svg", &[b'x'; 1 << 20]);
    losses(3).plot(&path).unwrap();
    assert!(svg(&path).len() < 1 << 20);
}
