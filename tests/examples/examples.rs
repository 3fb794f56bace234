//! The examples run as a user runs them. `example_sequences.rs` has those on sequences, and
//! `example_flags.rs` what all have in common.

use std::collections::BTreeMap;
use std::fs;

use crate::folder::Folder;
use crate::runner::{Json, classifier, failure, gpu, number, results, run};
use image::RgbImage;

/// A data folder with a set in MNIST's format: each class is a bright block of its own.
fn folder_with_mnist(name: &str, train: usize, test: usize) -> Folder {
    let folder = Folder::new();
    let mnist = folder.0.join(name);
    fs::create_dir(&mnist).expect("the temporary folder can be written");
    for (prefix, count) in [("train", train), ("t10k", test)] {
        let labels: Vec<u8> = (0..count).map(|i| (i * 7 % 10) as u8).collect();
        let pixel = |&class: &u8| (0..784u32).map(move |i| if i / 78 == u32::from(class) { 255 } else { 0 });
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
fn folder_with_cifar10(train: usize, test: usize) -> Folder {
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

#[test]
fn hello_kernel() {
    let results = results("hello_kernel", &["--device", "cpu"]);
    assert_eq!(results["squares"], serde_json::json!([1.0, 4.0, 9.0, 0.25]));
    assert_eq!(results["device"], "cpu");
}

#[test]
fn xor_is_solved() {
    for device in ["cpu", &gpu()] {
        let folder = Folder::new();
        let results = results("xor", &["--device", device, "--out", folder.path()]);
        assert_eq!((number(&results, "test_accuracy"), number(&results, "epochs")), (1.0, 500.0));
        assert!(number(&results, "test_loss") < 0.05 && results["batch"] == 4, "{results}");
        let outputs: Vec<f64> = numbers(&results["outputs"]);
        assert!(outputs.iter().zip([0.0, 1.0, 1.0, 0.0]).all(|(y, t)| (y - t).abs() < 0.1), "{results}");
        drawn(&folder, "xor");
        drawn(&folder, "xor_boundary");
    }
}

/// The numbers of a list.
fn numbers(list: &Json) -> Vec<f64> {
    list.as_array().expect("a list").iter().map(|number| number.as_f64().expect("a number")).collect()
}

/// Both forms of a picture are there, and it is not all one colour.
fn drawn(folder: &Folder, name: &str) {
    let svg = fs::read_to_string(folder.0.join(format!("{name}.svg"))).expect("it was written");
    assert!(svg.contains("<svg") && svg.trim_end().ends_with("</svg>"), "{name}");
    let picture = image::open(folder.0.join(format!("{name}.png"))).expect("a picture").into_rgb8();
    let colours: std::collections::BTreeSet<[u8; 3]> = picture.pixels().map(|pixel| pixel.0).collect();
    assert!(colours.len() > 4, "{name} has {} colours", colours.len());
}

#[test]
fn logistic_regression_divides_what_a_line_can() {
    for device in ["cpu", &gpu()] {
        let folder = Folder::new();
        let results = results("logistic_regression", &["--device", device, "--out", folder.path()]);
        assert_eq!((&results["train_samples"], &results["test_samples"]), (&320.into(), &80.into()));
        assert!(number(&results, "test_accuracy") >= 0.9, "{results}");
        assert!(number(&results, "test_loss") < 0.3, "{results}");
        // Class 1 lies up and to the right.
        assert!(numbers(&results["weights"]).iter().all(|&w| w > 0.5), "{results}");
        let gates = &results["gates"];
        assert_eq!((number(gates, "AND"), number(gates, "OR")), (1.0, 1.0));
        assert!(number(gates, "XOR") <= 0.75, "{results}");
        drawn(&folder, "logistic_regression");
        drawn(&folder, "logistic_regression_boundary");
    }
    let short = |seed| {
        let flags = ["--device", "cpu", "--limit", "21", "--epochs", "1", "--batch", "4", "--seed", seed];
        results("logistic_regression", &flags)
    };
    let (first, again, other) = (short("1"), short("1"), short("2"));
    assert_eq!((&first["train_samples"], &first["test_samples"]), (&17.into(), &4.into()));
    assert_eq!(first["parameters_hash"], again["parameters_hash"]);
    assert_ne!(first["parameters_hash"], other["parameters_hash"]);
}

#[test]
fn kmeans_finds_the_clusters() {
    for device in ["cpu", &gpu()] {
        let folder = Folder::new();
        let found = results("kmeans", &["--device", device, "--out", folder.path()]);
        assert_eq!((&found["points"], &found["clusters"]), (&100.into(), &4.into()));
        assert_eq!(found["converged"], true);
        assert!(number(&found, "largest_difference") <= 1e-4, "{found}");
        let inertias = numbers(&found["inertias"]);
        assert_eq!(found["epochs"], inertias.len());
        assert!(inertias.len() >= 2 && inertias.windows(2).all(|w| w[1] <= w[0] * (1.0 + 1e-6)), "{found}");
        // Every middle that points are scattered around has a centre near it.
        let centres: Vec<Vec<f64>> =
            found["centres"].as_array().expect("a list").iter().map(numbers).collect();
        for middle in [[-3.0, -2.0], [3.0, -2.5], [-2.0, 3.0], [2.5, 2.5]] {
            let near = |c: &Vec<f64>| (c[0] - middle[0]).hypot(c[1] - middle[1]) < 1.0;
            assert_eq!(centres.iter().filter(|c| near(c)).count(), 1, "{middle:?}: {found}");
        }
        drawn(&folder, "kmeans");
        drawn(&folder, "kmeans_clusters");
        let picture = fs::read_to_string(folder.0.join("kmeans_clusters.svg")).expect("it was written");
        // One for each centre, and one in the legend.
        assert_eq!(picture.matches("#000000\" stroke-width=\"20\"").count(), 5, "{picture}");
        let table = fs::read_to_string(folder.0.join("kmeans.csv")).expect("a row per iteration");
        assert_eq!(table.lines().count(), inertias.len() + 1);

        let more = |clusters| ["--device", device, "--limit", "7", "--clusters", clusters];
        let every_point = results("kmeans", &more("7"));
        assert!(number(&every_point, "inertia").abs() < 1e-9, "{every_point}");
        assert_eq!(numbers(&results("kmeans", &more("1"))["inertias"]).len(), 2);
    }
    let stopped = results("kmeans", &["--device", "cpu", "--epochs", "1"]);
    assert_eq!((&stopped["epochs"], &stopped["converged"]), (&1.into(), &false.into()));
    let message = failure("kmeans", &["--device", "cpu", "--limit", "3"]);
    assert!(message.contains("3 points") && message.contains("--clusters"), "{message}");
}

#[test]
fn regularisation_compares_four_trainings() {
    let folder = Folder::new();
    let flags = ["--device", "cpu", "--limit", "200", "--epochs", "60", "--out", folder.path()];
    let found = results("regularisation", &flags);
    assert_eq!((&found["train_samples"], &found["validation_samples"]), (&200.into(), &100.into()));
    let run = |name: &str| {
        let runs = found["runs"].as_array().expect("a list");
        runs.iter().find(|run| run["name"] == name).unwrap_or_else(|| panic!("no {name} in {found}")).clone()
    };
    let plain = run("plain");
    assert_eq!((&plain["epochs"], number(&plain, "train_accuracy")), (&60.into(), 1.0));
    for name in ["L2 penalty", "dropout", "early stopping"] {
        let remedied = run(name);
        // Each remedy costs something on what was learnt from.
        assert!(number(&remedied, "train_loss") > number(&plain, "train_loss"), "{found}");
        assert!(number(&remedied, "test_accuracy") > 0.8, "{found}");
    }
    // The network of all results is one of the four.
    let best = run(found["best"].as_str().expect("a name"));
    for key in ["epochs", "test_accuracy", "test_loss"] {
        assert!(found[key] == best[key] && found[key].is_number(), "{found}");
    }
    assert_eq!(found["batch"], 32);
    drawn(&folder, "regularisation");
    let table = fs::read_to_string(folder.0.join("regularisation.csv")).expect("a row per epoch");
    assert!(table.starts_with("run,epoch,loss,val_loss\nplain,1,"), "{table}");

    let one = results("regularisation", &["--device", "cpu", "--limit", "1", "--epochs", "1"]);
    for part in ["train_samples", "validation_samples", "test_samples"] {
        assert_eq!(one[part], 1, "{part}");
    }

    let data = folder_with_mnist("mnist", 30, 12);
    let flags = ["--device", &gpu(), "--data", data.path(), "--epochs", "2", "--limit", "16"];
    let mnist = results("regularisation", &flags);
    assert_eq!(mnist["parameters"], 784 * 256 + 256 + 256 * 10 + 10);
    assert_eq!((&mnist["train_samples"], &mnist["test_samples"]), (&16.into(), &12.into()));
}

#[test]
fn pruning_takes_weights_and_units() {
    let folder = Folder::new();
    let flags = ["--device", "cpu", "--limit", "500", "--epochs", "9", "--out", folder.path()];
    let found = results("pruning", &flags);
    // 64-300-100-10, of which 50,200 are weights.
    assert_eq!(found["parameters"], 50_610);
    let rows = found["rows"].as_array().expect("a list");
    let shares: Vec<f64> = rows.iter().map(|row| number(row, "sparsity")).collect();
    for (share, expected) in shares.iter().zip([0.0, 0.5, 0.8, 0.9, 0.95, 0.98]) {
        assert!((share - expected).abs() < 1e-4, "{found}");
    }
    assert_eq!(rows.len(), 8);
    // 64-150-50-10.
    assert_eq!((&rows[6]["method"], &rows[6]["parameters"]), (&"units".into(), &17_810.into()));
    assert_eq!(rows[7]["method"], "gradual");
    assert!((shares[7] - 0.95).abs() < 1e-4, "{found}");
    assert_eq!(rows[4]["parameters"], 50_610 - 47_690);
    assert!(number(&rows[0], "accuracy") > 0.85, "{found}");
    assert_eq!((&found["test_accuracy"], &found["epochs"]), (&rows[0]["accuracy"], &9.into()));
    assert!((0.0..1.0).contains(&number(&found, "test_loss")), "{found}");
    // What is left adapts.
    let (at_once, fine_tuned) = (number(&rows[4], "accuracy"), number(&rows[4], "fine_tuned_accuracy"));
    assert!(fine_tuned > at_once + 0.1, "{found}");
    assert!(number(&rows[7], "fine_tuned_accuracy") > 0.8, "{found}");
    drawn(&folder, "pruning");
    let table = fs::read_to_string(folder.0.join("pruning.csv")).expect("a row per network");
    assert_eq!(table.lines().count(), 9);

    let data = folder_with_mnist("mnist", 40, 20);
    let flags = ["--device", &gpu(), "--data", data.path(), "--epochs", "1", "--batch", "20"];
    assert_eq!(results("pruning", &flags)["parameters"], 266_610);
}

#[test]
fn linear_regression_finds_least_squares() {
    for device in ["cpu", &gpu()] {
        let results = results("linear_regression", &["--device", device]);
        assert!((number(&results, "prediction") - 18.846_153_85).abs() < 1e-4, "{results}");
        // The share of the sales' variance that the line leaves.
        assert!((number(&results, "test_loss") - 0.0257).abs() < 1e-3 && results["batch"] == 6, "{results}");
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
    let data = folder_with_mnist("mnist", 64, 37);
    let flags = ["--device", "cpu", "--data", data.path(), "--epochs", "3", "--batch", "16"];
    let full = results("mnist_mlp", &flags);
    assert_eq!((&full["train_samples"], &full["test_samples"]), (&64.into(), &37.into()));
    assert_eq!(number(&full, "epochs"), 3.0);
    assert_eq!(number(&full, "test_accuracy"), 1.0);
    assert!(full["parameters_hash"].is_string() && number(&full, "test_loss").is_finite());

    let limited = results("mnist_mlp", &[&flags[..], &["--limit", "20"]].concat());
    assert_eq!(limited["test_samples"], 20);
}

#[test]
fn mnist_cnn_learns_and_seeds_reproduce() {
    let data = folder_with_mnist("mnist", 64, 37);
    for device in ["cpu", &gpu()] {
        let run = |seed| {
            let flags = ["--device", device, "--data", data.path(), "--epochs", "6", "--batch", "8"];
            classifier("mnist_cnn", &[&flags[..], &["--seed", seed]].concat())
        };
        let (first, again) = (run("1"), run("1"));
        assert_eq!(first["parameters_hash"], again["parameters_hash"]);
        assert_eq!((&first["parameters"], &first["test_samples"]), (&38_390.into(), &37.into()));
        assert_eq!(number(&first, "test_accuracy"), 1.0, "{first}");
        if device == "cpu" {
            let flags = ["--data", data.path(), "--epochs", "6", "--batch", "8", "--seed", "1"];
            let mixed =
                classifier("mnist_cnn", &[&flags[..], &["--device", device, "--mixed-precision"]].concat());
            assert_ne!(first["parameters_hash"], mixed["parameters_hash"]);
            assert_eq!(number(&mixed, "test_accuracy"), 1.0, "{mixed}");
        }
    }
}

#[test]
fn transfer_learning_takes_the_convolutions_over() {
    let (data, out) = (folder_with_mnist("mnist", 200, 60), Folder::new());
    for device in ["cpu", &gpu()] {
        let flags = ["--device", device, "--data", data.path(), "--epochs", "8", "--batch", "8", "--out"];
        let more = [out.path(), "--limit", "160", "--few", "40", "--tune-epochs", "20"];
        let results = results("transfer_learning", &[&flags[..], &more].concat());
        assert_eq!((&results["train_samples"], &results["loaded"]), (&40.into(), &4.into()), "{results}");
        assert_eq!((&results["epochs"], &results["batch"]), (&20.into(), &8.into()), "{results}");
        assert!((0.0..1.0).contains(&number(&results, "test_loss")), "{results}");
        assert!(number(&results, "base_accuracy") > 0.9, "{results}");
        assert!(number(&results, "test_accuracy") > 0.9, "{results}");
        assert!((0.0..=1.0).contains(&number(&results, "scratch_accuracy")), "{results}");
        // The frozen convolutions have neither gradients nor updates.
        assert!(number(&results, "operators") < number(&results, "scratch_operators"), "{results}");
    }
    drawn(&out, "transfer_learning");
    drawn(&out, "transfer_learning_scratch");
    let table = fs::read_to_string(out.0.join("transfer_learning.csv")).expect("a row per epoch");
    assert!(table.starts_with("epoch,loss,accuracy,val_loss,val_accuracy"), "{table}");
    assert_eq!(table.lines().count(), 21);
    let left = fs::read_dir(&out.0).expect("the folder is there");
    assert_eq!(left.count(), 6, "the weights are gone");

    let flags = ["--device", "cpu", "--data", data.path(), "--epochs", "2", "--tune-epochs", "3"];
    let printed = String::from_utf8(run("transfer_learning", &flags).stdout).expect("examples print UTF-8");
    let lines = |start: &str| printed.lines().filter(|line| line.starts_with(start)).count();
    assert_eq!((lines("epoch 1/2  loss"), lines("epoch 3/3  loss")), (1, 2), "{printed}");
    let message = failure("transfer_learning", &["--data", data.path(), "--limit", "1"]);
    assert!(message.contains("no image of 5 to 9") && message.contains("--limit"), "{message}");
}

#[test]
fn cifar10_cnn_reads_its_files() {
    let (data, out) = (folder_with_cifar10(40, 21), Folder::new());
    let flags = ["--device", &gpu(), "--data", data.path(), "--epochs", "2", "--out", out.path()];
    let results = classifier("cifar10_cnn", &flags);
    assert_eq!((&results["parameters"], &results["batch"]), (&122_570.into(), &32.into()));
    assert_eq!((&results["train_samples"], &results["test_samples"]), (&40.into(), &21.into()));
    let table = fs::read_to_string(out.0.join("cifar10_cnn.csv")).expect("a row per epoch");
    let lines: Vec<&str> = table.lines().collect();
    assert_eq!((lines.len(), lines[0]), (3, "epoch,loss,accuracy,val_loss,val_accuracy,learning_rate"));

    let limited = classifier("cifar10_cnn", &[&flags[..6], &["--limit", "10"]].concat());
    assert_eq!((&limited["train_samples"], &limited["batch"]), (&10.into(), &10.into()));
}

#[test]
fn fashion_mnist_has_three_networks() {
    let data = folder_with_mnist("fashion-mnist", 48, 33);
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
    let data = folder_with_cifar10(12, 7);
    let flags = ["--device", &gpu(), "--data", data.path(), "--epochs", "1", "--batch", "4"];
    let results = classifier("resnet_cifar", &flags);
    assert_eq!((&results["parameters"], &results["test_samples"]), (&269_722.into(), &7.into()));
    assert_eq!(classifier("resnet_cifar", &flags)["parameters_hash"], results["parameters_hash"]);
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

#[test]
fn custom_op_agrees_with_its_reference() {
    let cpu = classifier("custom_op", &["--device", "cpu", "--epochs", "10"]);
    assert!(number(&cpu, "train_accuracy") > 0.95 && number(&cpu, "test_accuracy") > 0.95, "{cpu}");
    assert_eq!((&cpu["train_samples"], &cpu["test_samples"]), (&640.into(), &160.into()));
    let gpu = classifier("custom_op", &["--device", &gpu(), "--epochs", "1", "--limit", "64"]);
    assert!(number(&gpu, "verified_ops") > 10.0, "{gpu}");
    let few = classifier("custom_op", &["--device", "cpu", "--epochs", "1", "--limit", "5"]);
    assert_eq!((&few["train_samples"], &few["test_samples"]), (&5.into(), &5.into()));
    assert_eq!(few["batch"], 5);
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
    assert_eq!(results["reference"]["self_test"]["passed"], true);
    let adapters = results["adapters"].as_array().expect("a list");
    for adapter in adapters {
        for key in ["name", "kind", "backend", "driver", "verdict"] {
            assert!(adapter[key].is_string(), "{adapter}");
        }
        let usable = !adapter["self_test"].is_null();
        assert!(!usable || adapter["self_test"]["passed"] == true, "{adapter}");
    }
}

/// A line for each epoch goes to standard output; no bar does where there is no terminal.
#[test]
fn epochs_are_printed() {
    let folder = Folder::new();
    let flags = ["--device", "cpu", "--epochs", "3", "--limit", "100", "--out", folder.path()];
    let output = run("digits", &flags);
    let printed = String::from_utf8(output.stdout).expect("examples print UTF-8");
    let epochs: Vec<&str> = printed.lines().filter(|line| line.starts_with("epoch ")).collect();
    assert_eq!(epochs.len(), 3, "{printed}");
    for (number, line) in (1..).zip(epochs) {
        assert!(line.starts_with(&format!("epoch {number}/3  loss ")), "{line}");
        for figure in ["accuracy", "val loss", "val accuracy"] {
            assert!(line.contains(figure), "{line}");
        }
    }
    let bar = String::from_utf8(output.stderr).expect("examples print UTF-8");
    assert!(!bar.contains("epoch"), "{bar}");
    drawn(&folder, "digits");
    // The loss, the accuracy and the rate, which ends at 0 on an axis of logarithms: all over 12 epochs.
    let flags = ["--device", "cpu", "--epochs", "12", "--limit", "100", "--out", folder.path()];
    assert_eq!(results("digits", &flags)["epochs"], 12);
    let picture = fs::read_to_string(folder.0.join("digits.svg")).expect("it was written");
    assert_eq!(picture.matches(">\n12\n<").count(), 3, "{picture}");
    drawn(&folder, "digits_confusion");

    // Long trainings print some of them.
    let output = run("xor", &["--device", "cpu", "--epochs", "120"]);
    let printed = String::from_utf8(output.stdout).expect("examples print UTF-8");
    let numbers: Vec<&str> = printed.lines().filter_map(|line| line.strip_prefix("epoch ")).collect();
    assert_eq!(numbers.len(), 3, "{printed}");
    assert!(numbers[0].starts_with(" 50/120") && numbers[2].starts_with("120/120"), "{printed}");
}
