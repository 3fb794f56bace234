//! Runs the examples as a user does: what they print last, what `--out` leaves behind, and how they
//! fail.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, Ordering};

use image::RgbImage;
use serde_json::Value as Json;

/// The folder of the built examples, beside the folder of this binary. `cargo test --test examples`
/// builds no examples, so they are built here; where they are up to date this costs nothing.
fn examples() -> &'static Path {
    static BUILT: OnceLock<PathBuf> = OnceLock::new();
    BUILT.get_or_init(|| {
        let own = std::env::current_exe().expect("a running binary has a path");
        let profile = own.ancestors().nth(2).expect("test binaries lie in target/PROFILE/deps");
        let target = profile.parent().expect("profiles lie in the target folder");
        let name = match profile.file_name().and_then(|n| n.to_str()) {
            Some("debug") | None => "dev",
            Some(name) => name,
        };
        let status = Command::new(env!("CARGO"))
            .args(["build", "--quiet", "--examples", "--profile", name, "--target-dir"])
            .arg(target)
            .current_dir(env!("CARGO_MANIFEST_DIR"))
            .status()
            .expect("cargo runs");
        assert!(status.success(), "the examples do not build");
        profile.join("examples")
    })
}

fn run(example: &str, flags: &[&str]) -> Output {
    let mut command = Command::new(examples().join(example));
    command.args(flags).env_remove("RETAPE_DATA").env_remove("WGPU_ADAPTER_NAME");
    command.output().unwrap_or_else(|e| panic!("{example} does not start: {e}"))
}

/// The object of results that ends a successful run.
fn results(example: &str, flags: &[&str]) -> Json {
    let output = run(example, flags);
    let stdout = String::from_utf8(output.stdout).expect("examples print UTF-8");
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{example} {flags:?}: {}\n{stdout}\n{stderr}", output.status);
    let last = stdout.lines().last().unwrap_or_default();
    let json: Json = serde_json::from_str(last).unwrap_or_else(|e| panic!("{example}: {e} in `{last}`"));
    assert!(json.is_object(), "{example}: `{last}`");
    assert_eq!(json["example"], example);
    assert!(json["device"].is_string() && json["seconds"].is_number(), "{example}: `{last}`");
    json
}

/// The one line that a failed run leaves on standard error. Drivers' own lines do not count.
fn failure(example: &str, flags: &[&str]) -> String {
    let output = run(example, flags);
    assert_eq!(output.status.code(), Some(1), "{example} {flags:?}: {output:?}");
    let stderr = String::from_utf8(output.stderr).expect("examples print UTF-8");
    let ours: Vec<&str> = stderr.lines().filter(|line| !line.contains("XDG_RUNTIME_DIR")).collect();
    let [line] = ours[..] else { panic!("{example} {flags:?}: one line expected:\n{stderr}") };
    line.strip_prefix("error: ")
        .unwrap_or_else(|| panic!("`{line}` does not begin with `error: `"))
        .to_owned()
}

fn number(results: &Json, key: &str) -> f64 {
    results[key].as_f64().unwrap_or_else(|| panic!("`{key}` is no number in {results}"))
}

/// The GPU that the tests run on, as the other tests choose it.
fn gpu() -> String {
    std::env::var("RETAPE_TEST_DEVICE").ok().filter(|n| !n.is_empty()).unwrap_or_else(|| "gpu".to_owned())
}

/// A folder removed when the test ends, failed or not.
struct Folder(PathBuf);

impl Folder {
    fn new() -> Self {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let unique = NEXT.fetch_add(1, Ordering::Relaxed);
        let path = std::env::temp_dir().join(format!("retape-examples-{}-{unique}", std::process::id()));
        fs::create_dir_all(&path).expect("the temporary folder can be made");
        Folder(path)
    }

    fn path(&self) -> &str {
        self.0.to_str().expect("the temporary folder is UTF-8")
    }

    /// A data folder with a set in MNIST's format: each class is a bright block of its own.
    fn with_mnist(name: &str, train: usize, test: usize) -> Self {
        let folder = Folder::new();
        let mnist = folder.0.join(name);
        fs::create_dir(&mnist).expect("the temporary folder can be written");
        for (prefix, count) in [("train", train), ("t10k", test)] {
            let labels: Vec<u8> = (0..count).map(|i| (i * 7 % 10) as u8).collect();
            let pixel =
                |&class: &u8| (0..784u32).map(move |i| if i / 78 == u32::from(class) { 255 } else { 0 });
            let images: Vec<u8> = labels.iter().flat_map(pixel).collect();
            let write = |name: &str, rank: u8, dims: &[u32], data: &[u8]| {
                let mut bytes = vec![0, 0, 8, rank];
                dims.iter().for_each(|d| bytes.extend(d.to_be_bytes()));
                bytes.extend(data);
                fs::write(mnist.join(format!("{prefix}-{name}")), bytes).expect("the folder can be written");
            };
            write("images-idx3-ubyte", 3, &[count as u32, 28, 28], &images);
            write("labels-idx1-ubyte", 1, &[count as u32], &labels);
        }
        folder
    }

    /// A data folder with a set in CIFAR-10's format: each class is a grey of its own.
    fn with_cifar10(train: usize, test: usize) -> Self {
        let folder = Folder::new();
        let cifar = folder.0.join("cifar-10-batches-bin");
        fs::create_dir(&cifar).expect("the temporary folder can be written");
        for (name, count) in [("data_batch_1.bin", train), ("test_batch.bin", test)] {
            let record = |i: usize| {
                let class = (i * 7 % 10) as u8;
                std::iter::once(class).chain((0..3072).map(move |_| 25 * class))
            };
            let bytes: Vec<u8> = (0..count).flat_map(record).collect();
            fs::write(cifar.join(name), bytes).expect("the folder can be written");
        }
        folder
    }

    /// A data folder with film reviews of which one word tells the class, of many lengths; there are two
    /// more of praise.
    fn with_imdb(train: usize, test: usize) -> Self {
        let folder = Folder::new();
        for (split, count) in [("train", train), ("test", test)] {
            for (class, word, count) in [("neg", "dreadful", count), ("pos", "lovely", count + 2)] {
                let class = folder.0.join("imdb/aclImdb").join(split).join(class);
                fs::create_dir_all(&class).expect("the temporary folder can be written");
                for i in 0..count {
                    let (before, after) = ("This film was<br />so ".repeat(i % 3), " Truly.".repeat(i % 4));
                    let review = format!("{before}{word}, a {word} thing.{after}");
                    fs::write(class.join(format!("{i}_1.txt")), review).expect("the folder can be written");
                }
            }
        }
        folder
    }

    /// Writes a text into the folder and returns its path.
    fn write(&self, name: &str, text: &[u8]) -> String {
        let path = self.0.join(name);
        fs::write(&path, text).expect("the folder can be written");
        path.to_str().expect("the temporary folder is UTF-8").to_owned()
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

#[test]
fn hello_kernel() {
    let results = results("hello_kernel", &["--device", "cpu"]);
    assert_eq!(results["squares"], serde_json::json!([1.0, 4.0, 9.0, 0.25]));
    assert_eq!(results["device"], "cpu");
}

#[test]
fn xor_is_solved() {
    for device in ["cpu", &gpu()] {
        let results = results("xor", &["--device", device]);
        assert_eq!(number(&results, "accuracy"), 1.0);
        assert_eq!(number(&results, "epochs"), 500.0);
    }
}

#[test]
fn linear_regression_finds_least_squares() {
    for device in ["cpu", &gpu()] {
        let results = results("linear_regression", &["--device", device]);
        assert!((number(&results, "prediction") - 18.846_153_85).abs() < 1e-4, "{results}");
    }
}

#[test]
fn digits_are_read_and_seeds_reproduce() {
    let short = |seed| results("digits", &["--device", "cpu", "--epochs", "4", "--seed", seed]);
    let (first, again, other) = (short("7"), short("7"), short("8"));
    assert_eq!(first["parameters_hash"], again["parameters_hash"]);
    assert_ne!(first["parameters_hash"], other["parameters_hash"]);
    assert!(number(&first, "test_accuracy") > 0.85, "{first}");
    assert!(number(&first, "test_loss") < 0.6, "{first}");

    let gpu = || results("digits", &["--device", &gpu(), "--epochs", "1", "--limit", "256", "--batch", "64"]);
    let (first, again) = (gpu(), gpu());
    assert_eq!(first["parameters_hash"], again["parameters_hash"]);
    assert_eq!(first["train_samples"], 256);
    assert_eq!(first["test_samples"], 256);
}

/// The main job as the README runs it, on the CPU path and on a GPU.
#[test]
fn digits_are_read_well_on_either_device() {
    let accuracy = |device: &str| number(&results("digits", &["--device", device]), "test_accuracy");
    let (cpu, gpu) = (accuracy("cpu"), accuracy(&gpu()));
    assert!(cpu >= 0.96 && gpu >= 0.96, "{cpu} on the CPU path, {gpu} on the GPU");
    assert!((cpu - gpu).abs() <= 0.01, "{cpu} on the CPU path, {gpu} on the GPU");
}

/// The test images do not divide into batches, and all of them count.
#[test]
fn mnist_mlp_reads_its_files() {
    let data = Folder::with_mnist("mnist", 64, 37);
    let flags = ["--device", "cpu", "--data", data.path(), "--epochs", "3", "--batch", "16"];
    let full = results("mnist_mlp", &flags);
    assert_eq!((&full["train_samples"], &full["test_samples"]), (&64.into(), &37.into()));
    assert_eq!(number(&full, "epochs"), 3.0);
    assert_eq!(number(&full, "test_accuracy"), 1.0);
    assert!(full["parameters_hash"].is_string() && number(&full, "test_loss").is_finite());

    let limited = results("mnist_mlp", &[&flags[..], &["--limit", "20"]].concat());
    assert_eq!(limited["test_samples"], 20);
}

/// The results of an example that trains a classifier: what all of them report.
fn classifier(example: &str, flags: &[&str]) -> Json {
    let results = results(example, flags);
    for share in ["train_accuracy", "test_accuracy"] {
        assert!((0.0..=1.0).contains(&number(&results, share)), "{results}");
    }
    for key in ["train_loss", "test_loss"] {
        assert!(number(&results, key) >= 0.0, "{results}");
    }
    for key in ["epochs", "batch", "parameters", "train_samples", "test_samples"] {
        assert!(results[key].is_u64(), "no `{key}` in {results}");
    }
    assert!(results["parameters_hash"].is_string(), "{results}");
    results
}

#[test]
fn mnist_cnn_learns_and_seeds_reproduce() {
    let data = Folder::with_mnist("mnist", 64, 37);
    for device in ["cpu", &gpu()] {
        let run = |seed| {
            let flags = ["--device", device, "--data", data.path(), "--epochs", "6", "--batch", "8"];
            classifier("mnist_cnn", &[&flags[..], &["--seed", seed]].concat())
        };
        let (first, again) = (run("1"), run("1"));
        assert_eq!(first["parameters_hash"], again["parameters_hash"]);
        assert_eq!((&first["parameters"], &first["test_samples"]), (&38_390.into(), &37.into()));
        assert_eq!(number(&first, "test_accuracy"), 1.0, "{first}");
    }
}

#[test]
fn cifar10_cnn_reads_its_files() {
    let (data, out) = (Folder::with_cifar10(40, 21), Folder::new());
    let flags = ["--device", &gpu(), "--data", data.path(), "--epochs", "2", "--out", out.path()];
    let results = classifier("cifar10_cnn", &flags);
    assert_eq!((&results["parameters"], &results["batch"]), (&122_570.into(), &32.into()));
    assert_eq!((&results["train_samples"], &results["test_samples"]), (&40.into(), &21.into()));
    let table = fs::read_to_string(out.0.join("cifar10_cnn.csv")).expect("a row per epoch");
    let lines: Vec<&str> = table.lines().collect();
    assert_eq!((lines.len(), lines[0]), (3, "epoch,loss,accuracy,test_loss,test_accuracy"));

    let limited = classifier("cifar10_cnn", &[&flags[..6], &["--limit", "10"]].concat());
    assert_eq!((&limited["train_samples"], &limited["batch"]), (&10.into(), &10.into()));
}

#[test]
fn fashion_mnist_has_three_networks() {
    let data = Folder::with_mnist("fashion-mnist", 48, 33);
    let run = |device: &str, model: &str, limit: &str| {
        let flags = ["--device", device, "--data", data.path(), "--epochs", "1", "--limit", limit];
        classifier("fashion_mnist", &[&flags[..], &["--batch", "8", "--model", model]].concat())
    };
    // 784-300-100-10.
    assert_eq!(run("cpu", "mlp", "48")["parameters"], 266_610);
    let small = run(&gpu(), "small-cnn", "48");
    assert_eq!((&small["parameters"], &small["test_samples"]), (&152_874.into(), &33.into()));
    // Dropout draws from the seed.
    assert_eq!(run(&gpu(), "small-cnn", "48")["parameters_hash"], small["parameters_hash"]);
    assert_eq!(run(&gpu(), "cnn", "8")["parameters"], 1_413_834);
}

#[test]
fn resnet_cifar_trains_with_running_statistics() {
    let data = Folder::with_cifar10(12, 7);
    let flags = ["--device", &gpu(), "--data", data.path(), "--epochs", "1", "--batch", "4"];
    let results = classifier("resnet_cifar", &flags);
    assert_eq!((&results["parameters"], &results["test_samples"]), (&269_722.into(), &7.into()));
    assert_eq!(classifier("resnet_cifar", &flags)["parameters_hash"], results["parameters_hash"]);
}

/// Neither the 26 reviews to learn from nor the 18 to be judged by make whole batches, and some are
/// longer than what is read of them.
#[test]
fn imdb_has_three_cells() {
    let data = Folder::with_imdb(12, 8);
    let flags = ["--data", data.path(), "--max-len", "8", "--batch", "4"];
    for (cell, parameters) in [("simple", 2_465), ("lstm", 8_705), ("gru", 6_721)] {
        for device in ["cpu", &gpu()] {
            let own = ["--device", device, "--cell", cell, "--epochs", "10"];
            let results = classifier("imdb", &[&flags[..], &own].concat());
            assert_eq!((&results["cell"], &results["parameters"]), (&cell.into(), &parameters.into()));
            assert_eq!((&results["train_samples"], &results["test_samples"]), (&26.into(), &18.into()));
            assert_eq!(number(&results, "best_test_accuracy"), 1.0, "{results}");
            assert_eq!(number(&results, "train_accuracy"), 1.0, "{results}");
        }
    }
    let once = ["--device", &gpu(), "--epochs", "1"];
    let run = |more: &[&str]| classifier("imdb", &[&flags[..], &once, more].concat());
    assert_eq!(run(&[])["parameters_hash"], run(&[])["parameters_hash"]);
    let limited = run(&["--limit", "5", "--words", "6"]);
    assert_eq!((&limited["train_samples"], &limited["test_samples"]), (&5.into(), &5.into()));
    assert_eq!(limited["words"], 6);
    // Whether all of the last batch or only its own reviews count shows in fractions.
    let fifths = 5.0 * number(&limited, "test_accuracy");
    assert!((fifths - fifths.round()).abs() < 1e-5, "{limited}");
}

#[test]
fn imdb_shows_reviews_and_says_what_is_wrong() {
    let data = Folder::with_imdb(4, 3);
    let flags = ["--device", "cpu", "--data", data.path(), "--epochs", "20", "--batch", "2"];
    let printed = String::from_utf8(run("imdb", &flags).stdout).expect("examples print UTF-8");
    let shown = printed.lines().skip_while(|line| !line.starts_with("predicted")).skip(1);
    let shown: Vec<&str> = shown.take_while(|line| !line.is_empty()).collect();
    assert_eq!(shown.len(), 6, "{printed}");
    for line in shown {
        let word = if line.starts_with("positive") { "lovely" } else { "dreadful" };
        assert!(line.contains(word), "{printed}");
        let columns: Vec<&str> = line.split_whitespace().collect();
        let probability: f64 = columns[1].parse().expect("a number");
        assert!((0.5..=1.0).contains(&probability) && columns[0] == columns[2], "{line}");
    }
    assert!(failure("imdb", &[&flags[..], &["--words", "2"]].concat()).contains("max_words"));
}

/// Within windows of three characters nobody can tell what follows the first one, nor the writer what
/// follows the one it wrote: below `ln 2 / 3`, and right in writing, is who remembers more.
#[test]
fn char_rnn_carries_its_state() {
    let folder = Folder::new();
    let text = folder.write("text.txt", "aabb".repeat(100).as_bytes());
    let flags = ["--text", &text, "--length", "3", "--batch", "4", "--epochs", "6", "--seed", "7"];
    for device in ["cpu", &gpu()] {
        let own = ["--device", device, "--temperature", "0", "--sample", "18"];
        let results = results("char_rnn", &[&flags[..], &own].concat());
        let (unigram, reached) = (number(&results, "unigram_entropy"), number(&results, "cross_entropy"));
        assert!((unigram - 2f64.ln()).abs() < 1e-5, "{results}");
        assert!(reached < 0.1, "{results}");
        assert!((number(&results, "perplexity") - reached.exp()).abs() < 1e-5, "{results}");
        let sample = results["sample"].as_str().unwrap_or_default();
        assert!(sample.len() == 18 && "aabb".repeat(6).contains(sample), "{sample}");
    }
}

#[test]
fn char_rnn_writes_by_seed() {
    let flags = ["--device", &gpu(), "--limit", "600", "--epochs", "1", "--sample"];
    let run = |more: &[&str]| results("char_rnn", &[&flags[..], more].concat());
    let (first, again, other) = (run(&["40"]), run(&["40"]), run(&["40", "--seed", "43"]));
    assert_eq!(first["sample"], again["sample"]);
    assert_eq!(first["parameters_hash"], again["parameters_hash"]);
    assert_ne!(first["sample"], other["sample"]);
    assert_eq!(first["sample"].as_str().map(|s| s.chars().count()), Some(40));
    assert_eq!(first["characters"], 600);
    assert_eq!(run(&["0"])["sample"], "");
    // A batch of one shares its state with the writer.
    let single = run(&["5", "--batch", "1"]);
    assert!(single["sample"].as_str().is_some_and(|s| s.starts_with('#')), "{single}");

    let folder = Folder::new();
    let text = folder.write("latin.txt", b"tr\xe8s bien");
    assert!(failure("char_rnn", &["--device", "cpu", "--text", &text]).contains(&text));
    let text = folder.write("short.txt", b"short");
    assert!(failure("char_rnn", &["--device", "cpu", "--text", &text]).contains("number of tokens is 5"));
}

/// The pictures that a run of `image_filters` lists, decoded.
fn pictures(flags: &[&str]) -> BTreeMap<String, RgbImage> {
    let folder = Folder::new();
    let results = results("image_filters", &[flags, &["--out", folder.path()]].concat());
    let names = results["pictures"].as_array().expect("a list").iter();
    let decode = |name: &Json| {
        let name = name.as_str().expect("a file name").to_owned();
        let picture = image::open(folder.0.join(&name)).unwrap_or_else(|e| panic!("{name}: {e}"));
        (name, picture.into_rgb8())
    };
    let pictures: BTreeMap<_, _> = names.map(decode).collect();
    for (name, picture) in &pictures {
        assert_eq!(results["width"], picture.width(), "{name}");
        assert_eq!(results["height"], picture.height(), "{name}");
    }
    pictures
}

/// The mean brightness, and the mean square difference between horizontal neighbours, away
/// from the border.
fn brightness_and_contrast(picture: &RgbImage) -> (f64, f64) {
    let at = |x, y| picture.get_pixel(x, y).0.map(f64::from);
    let (width, height) = picture.dimensions();
    let (mut brightness, mut contrast) = (0.0, 0.0);
    for (x, y) in (3..height - 3).flat_map(|y| (3..width - 3).map(move |x| (x, y))) {
        for (here, next) in at(x, y).into_iter().zip(at(x + 1, y)) {
            brightness += here;
            contrast += (here - next).powi(2);
        }
    }
    let count = f64::from((width - 6) * (height - 6) * 3);
    (brightness / count, contrast / count)
}

#[test]
fn image_filters_do_what_they_say() {
    let cpu = pictures(&["--device", "cpu"]);
    assert_eq!(cpu["identity.png"], cpu["original.png"]);
    let figures = |name: &str| brightness_and_contrast(&cpu[name]);
    let (brightness, contrast) = figures("original.png");
    for edges in ["outline.png", "sobel.png"] {
        assert!(figures(edges).0 < 0.2 * brightness, "{edges} is not dark");
        let brightest = cpu[edges].pixels().map(|p| p.0[0]).max();
        assert_eq!(brightest, Some(255), "{edges}");
    }
    assert!(figures("sharpen.png").1 > 1.2 * contrast);
    let blurs = ["gaussian_blur_3x3.png", "gaussian_blur_5x5.png", "box_blur_5x5.png"];
    let mut before = contrast;
    for blur in blurs {
        let (mean, left) = figures(blur);
        assert!((mean - brightness).abs() < 1.0, "{blur} changes the brightness: {mean}, {brightness}");
        assert!(left < 0.95 * before, "{blur}: contrast {left} after {before}");
        before = left;
    }
    assert!(figures("box_blur_3x3.png").1 < 0.95 * contrast);

    // Colours lie on a grid of 255 steps, and rounding may fall on either side.
    let gpu = pictures(&["--device", &gpu()]);
    assert!(gpu.keys().eq(cpu.keys()));
    for (name, picture) in &gpu {
        let pairs = picture.as_raw().iter().zip(cpu[name].as_raw());
        assert!(pairs.clone().all(|(a, b)| a.abs_diff(*b) <= 1), "{name}");
    }
}

#[test]
fn image_filters_reads_a_picture() {
    let folder = Folder::new();
    let path = |name: &str| folder.0.join(name).to_str().expect("the folder is UTF-8").to_owned();
    // One bright pixel shows each kernel.
    let own = RgbImage::from_fn(9, 5, |x, y| image::Rgb([if (x, y) == (4, 2) { 255 } else { 0 }, 0, 90]));
    own.save(path("own.png")).expect("the folder can be written");
    let found = pictures(&["--device", "cpu", "--input", &path("own.png")]);
    assert_eq!(found["original.png"], own);
    assert_eq!(found["identity.png"], own);
    let reds = |name: &str| found[name].pixels().map(|p| p.0[0]).collect::<Vec<_>>();
    assert_eq!(reds("gaussian_blur_3x3.png")[9 + 3..9 + 6], [16, 32, 16]);
    assert_eq!(reds("box_blur_3x3.png").iter().filter(|v| **v == 28).count(), 9);
    assert_eq!(reds("box_blur_5x5.png").iter().filter(|v| **v == 10).count(), 25);
    assert!(found["box_blur_5x5.png"].pixels().all(|p| p.0[1] == 0));

    RgbImage::new(1, 1).save(path("one.png")).expect("the folder can be written");
    assert_eq!(pictures(&["--device", "cpu", "--input", &path("one.png")]).len(), 9);

    fs::write(path("text.png"), "no picture").expect("the folder can be written");
    for name in ["text.png", "absent.png"] {
        let message = failure("image_filters", &["--device", "cpu", "--input", &path(name)]);
        assert!(message.contains(&path(name)), "{message}");
    }
}

/// What `--out` leaves of a plot: axes, legend and curves as text, and the same as pixels.
fn plotted(folder: &Folder, name: &str, texts: &[&str]) {
    let svg = fs::read_to_string(folder.0.join(format!("{name}.svg"))).expect("it was written");
    for text in texts {
        assert!(svg.contains(text), "no `{text}` in the plot");
    }
    let picture = image::open(folder.0.join(format!("{name}.png"))).expect("a picture").into_rgb8();
    let size = format!("width=\"{}\" height=\"{}\"", picture.width(), picture.height());
    assert!(svg.contains(&size), "not of the same size: {size}");
    for colour in [[255; 3], [0; 3], [150; 3], [0, 90, 200]] {
        assert!(picture.pixels().any(|p| p.0 == colour), "no pixel is {colour:?}");
    }
}

#[test]
fn sine_forecast_beats_the_naive_forecast() {
    let folder = Folder::new();
    let flags = ["--device", "cpu", "--epochs", "12", "--out", folder.path()];
    let lstm = results("sine_forecast", &flags);
    assert!(number(&lstm, "test_loss") < 0.25 * number(&lstm, "naive_loss"), "{lstm}");
    assert!(number(&lstm, "forecast_error") < 0.5 * number(&lstm, "naive_forecast_error"), "{lstm}");
    plotted(&folder, "sine_forecast", &["time", "value", "the series", "next value", "its own predictions"]);

    for cell in ["simple", "lstm", "gru"] {
        let flags = ["--device", &gpu(), "--cell", cell, "--steps", "3", "--limit", "64", "--epochs", "2"];
        let (first, again) = (results("sine_forecast", &flags), results("sine_forecast", &flags));
        assert_eq!(first["parameters_hash"], again["parameters_hash"]);
        assert_eq!((&first["cell"], &first["forecast_steps"]), (&cell.into(), &3.into()));
        assert_eq!((&first["train_samples"], &first["test_samples"]), (&64.into(), &64.into()));
        assert!(number(&first, "forecast_error").is_finite(), "{first}");
    }
}

#[test]
fn one_to_many_writes_waves() {
    let cpu = results("one_to_many", &["--device", "cpu", "--epochs", "6"]);
    assert!(number(&cpu, "test_loss") < 0.3 * number(&cpu, "mean_loss"), "{cpu}");

    let folder = Folder::new();
    let flags =
        ["--device", &gpu(), "--epochs", "1", "--limit", "33", "--batch", "8", "--out", folder.path()];
    let results = results("one_to_many", &flags);
    assert_eq!((&results["train_samples"], &results["test_samples"]), (&33.into(), &33.into()));
    assert!(number(&results, "test_loss").is_finite(), "{results}");
    plotted(
        &folder,
        "one_to_many",
        &["amplitude", "periods", "point", "asked for", "written by the network"],
    );
}

#[test]
fn custom_op_agrees_with_its_reference() {
    let cpu = results("custom_op", &["--device", "cpu", "--epochs", "10"]);
    assert!(number(&cpu, "train_accuracy") > 0.95, "{cpu}");
    let gpu = results("custom_op", &["--device", &gpu(), "--epochs", "1", "--limit", "64"]);
    assert!(number(&gpu, "verified_ops") > 10.0, "{gpu}");
}

#[test]
fn share_device_uses_the_buffers_in_place() {
    let results = results("share_device", &["--device", &gpu()]);
    assert!(number(&results, "largest_difference") <= 0.51, "{results}");
    assert!(failure("share_device", &["--device", "cpu"]).contains("--device gpu"));
}

#[test]
fn doctor_looks_at_everything() {
    let results = results("doctor", &[]);
    assert_eq!(results["cpu"]["self_test"]["passed"], true);
    let adapters = results["adapters"].as_array().expect("a list");
    for adapter in adapters {
        for key in ["name", "kind", "backend", "driver", "verdict"] {
            assert!(adapter[key].is_string(), "{adapter}");
        }
        let usable = !adapter["self_test"].is_null();
        assert!(!usable || adapter["self_test"]["passed"] == true, "{adapter}");
    }
}

#[test]
fn out_leaves_results_and_history() {
    let folder = Folder::new();
    let out = format!("{}/made/here", folder.path());
    let printed = results("linear_regression", &["--device", "cpu", "--epochs", "60", "--out", &out]);
    let read = |name: &str| fs::read_to_string(Path::new(&out).join(name)).expect("it was written");
    let written: Json = serde_json::from_str(&read("linear_regression.json")).expect("it is JSON");
    assert_eq!(written, printed);
    let table = read("linear_regression.csv");
    let lines: Vec<&str> = table.lines().collect();
    assert_eq!((lines.len(), lines[0]), (4, "epoch,loss"));
    assert!(lines[3].starts_with("60,"), "{table}");
}

#[test]
fn a_device_that_is_not_there() {
    for example in ["hello_kernel", "xor", "digits", "share_device"] {
        let message = failure(example, &["--device", "nosuch"]);
        assert!(message.contains("nosuch") && message.contains("mesa-vulkan-drivers"), "{message}");
    }
}

#[test]
fn data_that_is_not_there() {
    let folder = Folder::new();
    let message = failure("mnist_mlp", &["--device", "cpu", "--data", folder.path()]);
    assert!(message.contains(&folder.0.join("mnist").display().to_string()), "{message}");
    assert!(message.contains("train-images-idx3-ubyte") && message.contains("--data DIR"), "{message}");

    for (example, subfolder, source) in [
        ("mnist_cnn", "mnist", "train-images-idx3-ubyte"),
        ("cifar10_cnn", "cifar-10-batches-bin", "https://www.cs.toronto.edu/~kriz/cifar.html"),
        ("resnet_cifar", "cifar-10-batches-bin", "https://www.cs.toronto.edu/~kriz/cifar.html"),
        ("fashion_mnist", "fashion-mnist", "https://github.com/zalandoresearch/fashion-mnist"),
        ("imdb", "imdb", "https://ai.stanford.edu/~amaas/data/sentiment/"),
    ] {
        let message = failure(example, &["--device", "cpu", "--data", folder.path()]);
        assert!(message.contains(&folder.0.join(subfolder).display().to_string()), "{message}");
        assert!(message.contains(source) && message.contains("--data DIR"), "{message}");
    }

    fs::create_dir(folder.0.join("mnist")).expect("the temporary folder can be written");
    let message = failure("mnist_mlp", &["--device", "cpu", "--data", folder.path()]);
    assert!(message.contains("train-images-idx3-ubyte.gz"), "{message}");
}

#[test]
fn every_example_explains_its_flags() {
    let mut count = 0;
    for entry in fs::read_dir(Path::new(env!("CARGO_MANIFEST_DIR")).join("examples")).expect("it is there") {
        let path = entry.expect("it can be listed").path();
        if path.extension().is_none_or(|e| e != "rs") {
            continue;
        }
        count += 1;
        let name = path.file_stem().and_then(|n| n.to_str()).expect("names are UTF-8");
        let output = run(name, &["--help"]);
        assert!(output.status.success(), "{name}");
        let help = String::from_utf8(output.stdout).expect("help is UTF-8");
        for flag in ["--device", "--data", "--epochs", "--batch", "--limit", "--seed", "--out"] {
            assert!(help.contains(flag), "{name} does not take {flag}:\n{help}");
        }
    }
    assert!(count >= 15, "{count} examples found");
}
