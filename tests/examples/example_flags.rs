//! What all examples have in common: their flags, the files that `--out` leaves, and how they fail.

use std::fs;
use std::io::{Write, pipe};
use std::path::Path;
use std::process::Command;
use std::thread::sleep;
use std::time::Duration;

use crate::folder::Folder;
use crate::runner::{Json, failure, results, run};

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
    assert_eq!((lines.len(), lines[0]), (61, "epoch,loss,learning_rate"));
    assert!(lines[60].starts_with("60,"), "{table}");
    let losses: Vec<f64> =
        lines[1..].iter().filter_map(|line| line.split(',').nth(1)?.parse().ok()).collect();
    assert!(losses.len() == 60 && losses[59] < 0.1 * losses[0], "{table}");
    assert!(read("linear_regression.svg").contains("epoch"));
    assert!(image::open(Path::new(&out).join("linear_regression.png")).is_ok());
}

/// What cannot be kept is known before training, and what is lost at the end takes nothing with it.
#[test]
fn out_that_cannot_be_written() {
    let folder = Folder::new();
    let file = folder.write("file", b"text").display().to_string();
    for out in [file.clone(), format!("{file}/in/it")] {
        let flags = ["--device", "cpu", "--epochs", "2", "--out", &out];
        assert!(failure("digits", &flags).contains(&format!("cannot write into `{out}`")));
        let printed = String::from_utf8(run("digits", &flags).stdout).expect("examples print UTF-8");
        assert!(!printed.contains("epoch"), "{printed}");
    }

    for name in ["xor.json", "xor_boundary.svg"] {
        let folder = Folder::new();
        folder.write(&format!("{name}/in_the_way"), b"");
        let flags = ["--device", "cpu", "--epochs", "2", "--out", folder.path()];
        let message = failure("xor", &flags);
        assert!(message.contains(&folder.0.join(name).display().to_string()), "{message}");
        let printed = String::from_utf8(run("xor", &flags).stdout).expect("examples print UTF-8");
        let last = printed.lines().last().expect("there is a line");
        let found: Json = serde_json::from_str(last).expect("results end the output");
        assert_eq!(found["epochs"], 2);
        assert!(folder.0.join("xor.csv").is_file() && folder.0.join("xor.png").is_file());
        let mut names =
            fs::read_dir(&folder.0).expect("it is there").flatten().map(|entry| entry.file_name());
        assert!(names.all(|name| name.to_string_lossy().starts_with("xor")), "something was left behind");
    }
}

/// As in `xor | head -0`.
#[test]
fn nobody_reads_on() {
    assert!(run("xor", &["--help"]).status.success());
    let own = std::env::current_exe().expect("a running binary has a path");
    let profile = own.ancestors().nth(2).expect("test binaries lie in target/PROFILE/deps");
    let mut example = Command::new(profile.join("examples/xor"));
    let (reader, mut writer) = pipe().expect("there is a pipe");
    drop(reader);
    // A process that another test is about to start may hold a copy of the reader for a moment.
    while writer.write(b"\n").is_ok() {
        sleep(Duration::from_millis(1));
    }
    example.args(["--device", "cpu", "--epochs", "2"]).stdout(writer);
    let output = example.output().expect("it starts");
    assert_eq!(output.status.code(), Some(1));
    let message = String::from_utf8(output.stderr).expect("examples print UTF-8");
    assert!(!message.contains("panicked"), "{message}");
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
        ("regularisation", "mnist", "train-images-idx3-ubyte"),
        ("pruning", "mnist", "train-images-idx3-ubyte"),
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
        for flag in ["--device", "--data", "--epochs", "--batch", "--limit", "--seed", "--out", "--download"]
        {
            assert!(help.contains(flag), "{name} does not take {flag}:\n{help}");
        }
    }
    assert!(count >= 21, "{count} examples found");
}

/// Where it is there, nothing is asked of any server.
#[cfg(feature = "download")]
#[test]
fn data_that_is_there_is_not_downloaded() {
    let folder = Folder::new();
    let idx = |dims: &[u32], fill: u8| {
        let sizes = dims.iter().flat_map(|size| size.to_be_bytes());
        let data = std::iter::repeat_n(fill, dims.iter().product::<u32>() as usize);
        [0, 0, 8, dims.len() as u8].into_iter().chain(sizes).chain(data).collect::<Vec<u8>>()
    };
    for (part, count) in [("train", 8), ("t10k", 4)] {
        folder.write(&format!("mnist/{part}-images-idx3-ubyte"), &idx(&[count, 28, 28], 100));
        folder.write(&format!("mnist/{part}-labels-idx1-ubyte"), &idx(&[count], 3));
    }
    let flags = ["--device", "cpu", "--epochs", "1", "--download", "--data", folder.path()];
    assert_eq!(results("mnist_mlp", &flags)["train_samples"], 8);
}
