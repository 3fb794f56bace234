//! Texts as data: the reader of film reviews on small folders and archives, vocabularies, and sequences.

use std::fs;
use std::io::Write;
use std::path::PathBuf;

use crate::folder::Folder;
use flate2::Compression;
use flate2::write::GzEncoder;
use retape::data::{
    Characters, IMDB_CLASSES, Side, Texts, Vocabulary, imdb, pad_sequences, unigram_entropy, windows, words,
};
use retape::{Error, Result};

/// A small set: reviews, and what lies beside them in the real one. Not in order.
const FILES: [(&str, &str); 13] = [
    ("README", "read me"),
    ("imdb.vocab", "the\nand"),
    ("train/labeledBow.feat", "9 0:9"),
    ("train/urls_pos.txt", "http://"),
    ("train/unsup/0_0.txt", "Unlabelled."),
    ("train/pos/._2_8.txt", "\u{0}\u{5}"),
    ("train/pos/2_8.txt", "Très bien!"),
    ("train/pos/10_9.txt", "Great.<br /><br />Really."),
    ("train/neg/0_1.txt", "Dreadful"),
    ("train/neg/notes.md", "# notes"),
    ("test/neg/5_2.txt", "Poor"),
    ("test/pos/7_10.txt", ""),
    ("test/pos/1_7.txt", "Fine"),
];

fn tar(files: &[(&str, &[u8])], prefix: &str) -> Vec<u8> {
    let mut builder = tar::Builder::new(Vec::new());
    for (name, bytes) in files {
        let mut header = tar::Header::new_gnu();
        header.set_size(bytes.len() as u64);
        header.set_mode(0o644);
        builder.append_data(&mut header, format!("{prefix}{name}"), *bytes).expect("it is written to memory");
    }
    builder.into_inner().expect("it is written to memory")
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
    encoder.write_all(bytes).expect("writing to memory succeeds");
    encoder.finish().expect("writing to memory succeeds")
}

fn files() -> Vec<(&'static str, &'static [u8])> {
    FILES.map(|(name, text)| (name, text.as_bytes())).to_vec()
}

/// The set without what begins with `prefix`.
fn files_without(prefix: &str) -> Vec<(&'static str, &'static [u8])> {
    files().into_iter().filter(|(name, _)| !name.starts_with(prefix)).collect()
}

fn unpack(folder: &Folder, within: &str, files: &[(&str, &[u8])]) {
    for (name, bytes) in files {
        folder.write(&format!("{within}{name}"), bytes);
    }
}

fn corrupt<T: std::fmt::Debug>(result: Result<T>) -> (PathBuf, String) {
    match result {
        Err(Error::Corrupt { path, message }) => (path, message),
        other => panic!("Error::Corrupt expected, {other:?} found"),
    }
}

#[test]
fn reviews_are_read_from_a_folder_and_from_its_archive() -> Result<()> {
    assert_eq!(IMDB_CLASSES, ["negative", "positive"]);
    let folder = Folder::new();
    unpack(&folder, "aclImdb/", &files());
    let data = imdb(&folder.0)?;
    assert_eq!(data.train.texts(), ["Dreadful", "Great.<br /><br />Really.", "Très bien!"]);
    assert_eq!((data.train.labels(), data.train.classes(), data.train.len()), (&[0, 1, 1][..], 2, 3));
    assert_eq!(data.test.texts(), ["Poor", "Fine", ""]);
    assert_eq!(data.test.labels(), [0, 1, 1]);
    assert_eq!(imdb(folder.0.join("aclImdb"))?, data);

    for (name, prefix) in
        [("aclImdb_v1.tar.gz", "aclImdb/"), ("aclImdb_small.tar.gz", "./aclImdb/"), ("other", "")]
    {
        let packed = Folder::new();
        let path = packed.write(name, &gzip(&tar(&files(), prefix)));
        assert_eq!(imdb(&path)?, data);
        if name != "other" {
            assert_eq!(imdb(&packed.0)?, data);
        }
    }
    Ok(())
}

/// The folder comes before the archives, the whole archive before parts, and those by name.
#[test]
fn what_is_read_does_not_depend_on_what_else_is_there() -> Result<()> {
    let folder = Folder::new();
    let set = |text: &'static str| {
        let names = ["train/neg/0.txt", "train/pos/0.txt", "test/neg/0.txt", "test/pos/0.txt"];
        names.map(|name| (name, text.as_bytes()))
    };
    let first = || Ok(imdb(&folder.0)?.train.texts()[0].clone());
    folder.write("aclImdb_b.tar.gz", &gzip(&tar(&set("b"), "aclImdb/")));
    assert_eq!(first()?, "b");
    folder.write("aclImdb_a.tar.gz", &gzip(&tar(&set("a"), "aclImdb/")));
    assert_eq!(first()?, "a");
    folder.write("aclImdb_v1.tar.gz", &gzip(&tar(&set("whole"), "aclImdb/")));
    assert_eq!(first()?, "whole");
    unpack(&folder, "aclImdb/", &set("folder"));
    assert_eq!(first()?, "folder");
    // gzip streams may follow each other, and a file of the same name overwrites the one before it.
    let twice = tar(&[set("old"), set("new")].concat(), "aclImdb/");
    let (head, tail) = twice.split_at(700);
    let path = folder.write("twice.tar.gz", &[gzip(head), gzip(tail)].concat());
    assert_eq!(imdb(path)?.test.texts(), ["new", "new"]);
    first().map(|_: String| ())
}

#[test]
fn a_missing_set_says_what_was_looked_for() {
    let folder = Folder::new();
    for path in [folder.0.clone(), folder.0.join("nowhere")] {
        match imdb(&path) {
            Err(Error::Io { path: found, source }) => {
                assert_eq!((found, source.kind()), (path, std::io::ErrorKind::NotFound));
                let message = source.to_string();
                for part in
                    ["`aclImdb`", "`aclImdb_v1.tar.gz`", "https://ai.stanford.edu/~amaas/data/sentiment/"]
                {
                    assert!(message.contains(part), "`{part}` is not in `{message}`");
                }
            }
            other => panic!("Error::Io expected, {other:?} found"),
        }
    }
}

#[test]
fn damaged_archives_are_refused() {
    let folder = Folder::new();
    let whole = gzip(&tar(&files(), "aclImdb/"));
    let refused = |bytes: &[u8]| {
        let path = folder.write("aclImdb_v1.tar.gz", bytes);
        let (found, message) = corrupt(imdb(&folder.0));
        assert_eq!(found, path);
        message
    };
    for length in (0..whole.len()).step_by(7).chain([whole.len() - 9, whole.len() - 8, whole.len() - 1]) {
        let message = refused(&whole[..length]);
        assert!(message.contains("damaged or truncated"), "{length}: {message}");
    }
    let mut wrong_sum = whole.clone();
    let at = wrong_sum.len() - 6;
    wrong_sum[at] ^= 1;
    assert!(refused(&wrong_sum).contains("damaged or truncated"));
    // The archive was cut before it was compressed.
    let unpacked = tar(&files(), "aclImdb/");
    let within = unpacked.windows(4).position(|w| w == b"Poor").expect("it is there") + 2;
    let message = refused(&gzip(&unpacked[..within]));
    assert!(message.contains("truncated"), "{message}");
    assert!(refused(b"not an archive").contains("damaged or truncated"));
    assert!(refused(&gzip(&[7; 2048])).contains("damaged or truncated"));
}

#[test]
fn reviews_have_to_be_utf_8() {
    let mut latin = files();
    latin.push(("test/pos/3_7.txt", b"tr\xe8s bien"));
    let folder = Folder::new();
    let archive = folder.write("a.tar.gz", &gzip(&tar(&latin, "aclImdb/")));
    let (path, message) = corrupt(imdb(&archive));
    assert_eq!(path, archive);
    assert_eq!(message, "`aclImdb/test/pos/3_7.txt`: it is not UTF-8: byte 2 is 0xe8");
    unpack(&folder, "", &latin);
    let (path, message) = corrupt(imdb(&folder.0));
    assert_eq!(path, folder.0.join("test/pos/3_7.txt"));
    assert_eq!(message, "it is not UTF-8: byte 2 is 0xe8");
}

#[test]
fn every_split_needs_reviews_of_each_class() {
    for part in ["train/neg", "train/pos", "test/neg", "test/pos"] {
        let expected = format!("it has no reviews (`{part}/*.txt`)");
        let rest = files_without(part);
        let folder = Folder::new();
        let archive = folder.write("aclImdb_v1.tar.gz", &gzip(&tar(&rest, "aclImdb/")));
        assert_eq!(corrupt(imdb(&folder.0)), (archive, expected.clone()));
        unpack(&folder, "aclImdb/", &rest);
        assert_eq!(corrupt(imdb(&folder.0)), (folder.0.join("aclImdb"), expected.clone()));
        fs::create_dir(folder.0.join("aclImdb").join(part)).expect("the folder can be made");
        assert_eq!(corrupt(imdb(&folder.0)), (folder.0.join("aclImdb"), expected));
    }
}

#[test]
fn texts_and_labels_belong_together() -> Result<()> {
    let text = |t: &str| t.to_owned();
    let wrong = Texts::new(vec![text("a")], vec![0, 1], 2);
    assert!(matches!(wrong, Err(Error::DatasetLength { inputs: 1, labels: 2, .. })));
    let wrong = Texts::new(vec![text("a")], vec![2], 2);
    assert!(matches!(wrong, Err(Error::LabelOutOfRange { index: 0, label: 2, limit: 2, .. })));
    let texts = Texts::new(vec![text("a"), text("b")], vec![0, 1], 2)?;
    let chosen = texts.select(&[1, 1, 0]);
    assert_eq!((chosen.texts(), chosen.labels()), (&["b", "b", "a"].map(text)[..], &[1, 1, 0][..]));
    assert!(texts.select(&[]).is_empty() && !texts.is_empty());
    Ok(())
}

#[test]
fn words_are_those_of_text_vectorization() {
    assert_eq!(words("Don't<br />stop -- A-1!"), ["dont", "stop", "a1"]);
    assert_eq!(words("It's 7/10.<BR />  \tÉCLAIR\u{a0}“quoted”\n"), ["its", "710", "éclair", "“quoted”"]);
    assert_eq!(words("<br/>"), ["br"]);
    assert!(words(" \n ... <br /> !? ").is_empty());
}

#[test]
fn vocabularies_rank_words_by_frequency() -> Result<()> {
    let texts = ["b a c", "b, c; B!", "d"];
    let whole = Vocabulary::build(texts, 1000)?;
    let in_order: Vec<&str> = (0..whole.len() as u32).filter_map(|i| whole.word(i)).collect();
    assert_eq!(in_order, ["", "[UNK]", "b", "c", "a", "d"]);
    assert_eq!((whole.word(6), whole.word(u32::MAX)), (None, None));
    assert_eq!((whole.index("b"), whole.index("d"), whole.index("e")), (Some(2), Some(5), None));
    assert_eq!((whole.index(""), whole.index("[UNK]"), whole.index("B")), (None, None, None));
    assert_eq!(whole.encode("B e D. <br />"), [2, 1, 5]);
    assert_eq!(whole.decode(&[0, 2, 1, 5, 77, 0]), "b [UNK] d [UNK]");

    let small = Vocabulary::build(texts.map(str::to_owned), 4)?;
    assert_eq!((small.len(), small.encode("a b c d")), (4, vec![1, 2, 3, 1]));
    assert_eq!(Vocabulary::build(texts, 6)?, whole);
    assert_eq!(Vocabulary::build(Vec::<String>::new(), 3)?.len(), 2);
    for max_words in 0..3 {
        let refused = Vocabulary::build(texts, max_words);
        assert!(matches!(refused, Err(Error::Argument { argument: "max_words", .. })));
    }
    Ok(())
}

#[test]
fn sequences_are_padded_and_truncated_at_either_side() {
    let sequences = [vec![1, 2, 3, 4, 5], vec![6], vec![], vec![7, 8, 9]];
    let rows = |padding, truncating| pad_sequences(&sequences, 3, padding, truncating);
    assert_eq!(rows(Side::Pre, Side::Pre), [3, 4, 5, 0, 0, 6, 0, 0, 0, 7, 8, 9]);
    assert_eq!(rows(Side::Pre, Side::Post), [1, 2, 3, 0, 0, 6, 0, 0, 0, 7, 8, 9]);
    assert_eq!(rows(Side::Post, Side::Pre), [3, 4, 5, 6, 0, 0, 0, 0, 0, 7, 8, 9]);
    assert_eq!(rows(Side::Post, Side::Post), [1, 2, 3, 6, 0, 0, 0, 0, 0, 7, 8, 9]);
    assert!(pad_sequences(&sequences, 0, Side::Pre, Side::Pre).is_empty());
    assert!(pad_sequences(&[], 3, Side::Pre, Side::Pre).is_empty());
}

#[test]
fn characters_go_to_numbers_and_back() -> Result<()> {
    let text = "Ein Öl,\nein Ö";
    let characters = Characters::build(text);
    let all: String = (0..characters.len() as u32).filter_map(|i| characters.character(i)).collect();
    assert_eq!(all, "\n ,EeilnÖ");
    assert_eq!(characters.decode(&characters.encode(text)?), text);
    assert_eq!((characters.index('Ö'), characters.index('ö')), (Some(8), None));
    assert_eq!(characters.decode(&[8, 9, 0]), "Ö\u{fffd}\n");
    let error = characters.encode("Öx").unwrap_err().to_string();
    assert!(error.contains("'x' at byte 2"), "{error}");
    assert!(Characters::build("").is_empty() && Characters::build("").encode("").is_ok());
    Ok(())
}

/// Row by row, the batches put together are the text, and each target is the next input.
#[test]
fn windows_go_on_from_batch_to_batch() -> Result<()> {
    for (n, rows, length) in [(2, 1, 1), (7, 2, 3), (100, 3, 7), (101, 4, 25), (100, 4, 25), (1000, 7, 11)] {
        let tokens: Vec<u32> = (0..n).map(|i| i * 3).collect();
        let cut = match windows(&tokens, rows, length) {
            Ok(cut) => cut,
            Err(error) => {
                assert!((n as usize) < rows * length + 1, "{error}");
                continue;
            }
        };
        let stride = (n as usize - 1) / rows;
        assert_eq!(cut.len(), stride / length);
        let mut streams = vec![Vec::new(); rows];
        let (mut inputs, mut targets) = (Vec::new(), Vec::new());
        for batch in 0..cut.len() {
            cut.gather(batch, &mut inputs, &mut targets);
            assert_eq!((inputs.len(), targets.len()), (rows * length, rows * length));
            assert!(inputs.iter().zip(&targets).all(|(a, b)| b - a == 3));
            for (stream, row) in streams.iter_mut().zip(inputs.chunks_exact(length)) {
                stream.extend_from_slice(row);
            }
        }
        for (row, stream) in streams.iter().enumerate() {
            assert_eq!(stream[..], tokens[row * stride..][..cut.len() * length]);
        }
    }
    let refused = |n: usize, rows, length, argument: &str| {
        let result = windows(&vec![0; n], rows, length).map(|w| w.len());
        assert!(matches!(&result, Err(Error::Argument { argument: a, .. }) if *a == argument), "{result:?}");
    };
    refused(10, 0, 1, "rows");
    refused(10, 1, 0, "length");
    refused(0, 1, 1, "number of tokens");
    refused(12, 3, 4, "number of tokens");
    assert_eq!(windows(&[0; 13], 3, 4)?.len(), 1);
    Ok(())
}

#[test]
fn entropies_are_those_of_the_frequencies() {
    let close = |tokens: &[u32], want: f64| assert!((unigram_entropy(tokens) - want).abs() < 1e-12);
    close(&[], 0.0);
    close(&[5, 5, 5], 0.0);
    close(&[0, 1, 2, 3], 4f64.ln());
    close(&[9, 4, 9, 9], 0.75 * (4f64 / 3.0).ln() + 0.25 * 4f64.ln());
}
