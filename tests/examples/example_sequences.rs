//! The examples on sequences run as a user runs them.

use std::fs;

use crate::folder::Folder;
use crate::runner::{classifier, failure, gpu, number, results, run};

/// A data folder with film reviews of which one word tells the class, of many lengths; there are two
/// more of praise.
fn folder_with_imdb(train: usize, test: usize) -> Folder {
    let folder = Folder::new();
    for (split, count) in [("train", train), ("test", test)] {
        for (class, word, count) in [("neg", "dreadful", count), ("pos", "lovely", count + 2)] {
            for i in 0..count {
                let (before, after) = ("This film was<br />so ".repeat(i % 3), " Truly.".repeat(i % 4));
                let review = format!("{before}{word}, a {word} thing.{after}");
                folder.write(&format!("imdb/aclImdb/{split}/{class}/{i}_1.txt"), review.as_bytes());
            }
        }
    }
    folder
}

/// Writes a text into the folder and returns its path.
fn write(folder: &Folder, name: &str, text: &[u8]) -> String {
    folder.write(name, text).to_str().expect("the temporary folder is UTF-8").to_owned()
}

/// Neither the 26 reviews to learn from nor the 18 to be judged by make whole batches, and some are
/// longer than what is read of them.
#[test]
fn imdb_has_three_cells() {
    let data = folder_with_imdb(12, 8);
    let flags = ["--data", data.path(), "--max-len", "8", "--batch", "4"];
    for (cell, parameters) in [("simple", 2_465), ("lstm", 8_705), ("gru", 6_721)] {
        for device in ["cpu", &gpu()] {
            let own = ["--device", device, "--cell", cell, "--epochs", "10"];
            let results = classifier("imdb", &[&flags[..], &own].concat());
            assert_eq!((&results["cell"], &results["parameters"]), (&cell.into(), &parameters.into()));
            assert_eq!((&results["train_samples"], &results["test_samples"]), (&26.into(), &18.into()));
            assert_eq!(number(&results, "test_accuracy"), 1.0, "{results}");
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
    let data = folder_with_imdb(4, 3);
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
    let text = write(&folder, "text.txt", "aabb".repeat(100).as_bytes());
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
    let text = write(&folder, "latin.txt", b"tr\xe8s bien");
    assert!(failure("char_rnn", &["--device", "cpu", "--text", &text]).contains(&text));
    let text = write(&folder, "short.txt", b"short");
    assert!(failure("char_rnn", &["--device", "cpu", "--text", &text]).contains("number of tokens is 5"));
}

/// What `--out` leaves of a picture: axes, legend and curves as text, and the same as pixels.
fn plotted(folder: &Folder, name: &str, texts: &[&str]) {
    let svg = fs::read_to_string(folder.0.join(format!("{name}.svg"))).expect("it was written");
    for text in texts {
        assert!(svg.contains(text), "no `{text}` in the picture");
    }
    let picture = image::open(folder.0.join(format!("{name}.png"))).expect("a picture").into_rgb8();
    let size = format!("width=\"{}\" height=\"{}\"", picture.width(), picture.height());
    assert!(svg.contains(&size), "not of the same size: {size}");
    for colour in [[255; 3], [0; 3], [150; 3], [0, 114, 178]] {
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
    plotted(
        &folder,
        "sine_forecast_series",
        &["time", "value", "the series", "next value", "its own predictions"],
    );

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
        "one_to_many_waves",
        &["amplitude", "periods", "point", "asked for", "written by the network"],
    );
}
