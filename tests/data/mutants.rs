//! Damaged files, and small ones that unpack to large ones, in little memory: whatever a file holds, its reader
//! gives plausible samples or a typed error.

use std::io::Write;
use std::path::Path;
use std::time::Duration;

use crate::folder::Folder;
use crate::mutate::{in_little_memory, mutants};
use flate2::Compression;
use flate2::write::GzEncoder;
use retape::data::{Table, cifar10, imdb, mnist, read_idx};
use retape::{Error, Result, TableError};

/// What each kind of file gets.
const COUNT: u32 = 400;
const TIME: Duration = Duration::from_secs(2);
/// What the process may map: far less than headers can claim.
const MEMORY: u64 = 900 << 20;

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    encoder.write_all(bytes).expect("writing to memory succeeds");
    encoder.finish().expect("writing to memory succeeds")
}

/// A gzip stream of a head and then zeros, millions of them for a thousand of its own bytes.
fn zeros(head: &[u8], millions: usize) -> Vec<u8> {
    let member = gzip(&vec![0; 1_000_000]);
    [gzip(head), member.repeat(millions)].concat()
}

fn idx(dims: &[u32]) -> Vec<u8> {
    let mut bytes = vec![0, 0, 8, dims.len() as u8];
    bytes.extend(dims.iter().flat_map(|dim| dim.to_be_bytes()));
    bytes
}

/// A tar archive of files.
fn tar(files: &[(&str, &[u8])]) -> Vec<u8> {
    let mut builder = tar::Builder::new(Vec::new());
    for (name, bytes) in files {
        let mut header = tar::Header::new_gnu();
        header.set_size(bytes.len() as u64);
        header.set_mode(0o644);
        builder.append_data(&mut header, name, *bytes).expect("writing to memory succeeds");
    }
    builder.into_inner().expect("writing to memory succeeds")
}

/// The header of an entry that claims this size.
fn entry(name: &str, kind: tar::EntryType, size: u64) -> Vec<u8> {
    let mut header = tar::Header::new_gnu();
    header.set_path(name).expect("the name is short");
    header.set_entry_type(kind);
    header.set_size(size);
    header.set_cksum();
    header.as_bytes().to_vec()
}

/// Fails unless an error is one that a file may be answered with.
fn is_typed<T>(number: u32, result: Result<T>) -> Option<T> {
    match result {
        Ok(found) => Some(found),
        Err(
            Error::Corrupt { .. }
            | Error::Io { .. }
            | Error::FileLimit { .. }
            | Error::OutOfMemory { .. }
            | Error::LabelOutOfRange { .. }
            | Error::Table(TableError::Field { .. })
            | Error::Table(TableError::Fields { .. })
            | Error::Table(TableError::Column { .. })
            | Error::NoSamples { .. },
        ) => None,
        Err(other) => panic!("mutant {number}: {other}"),
    }
}

fn check_archives(folder: &Folder) {
    let record: Vec<u8> = (0..3073u32).map(|i| if i == 0 { 3 } else { (i % 256) as u8 }).collect();
    let long = format!("cifar-10-batches-bin/{}/data_batch_1.bin", "a".repeat(120));
    let packed = tar(&[(&long, &record), ("test_batch.bin", &record)]);
    let zipped = gzip(&packed);
    // Damage within the stream, and of the stream: the former passes no check of a sum.
    let check = |number, archive: &[u8]| {
        let path = folder.write("cifar.tar.gz", archive);
        let Some(data) = is_typed(number, cifar10(&path)) else { return };
        assert_eq!(data.train.inputs().len(), data.train.len() * 3072, "mutant {number}");
        assert!((1..=4).contains(&data.train.len()), "mutant {number}");
    };
    mutants(&[&packed], 11, COUNT, TIME, |number, bytes| check(number, &gzip(bytes)));
    mutants(&[&zipped], 12, COUNT, TIME, check);

    let places = ["train/neg/0_1.txt", "train/pos/0_9.txt", "test/neg/0_2.txt", "test/pos/0_8.txt"];
    let reviews = tar(&places.map(|name| (name, &b"It was fine."[..])));
    mutants(&[&reviews], 13, COUNT, TIME, |number, bytes| {
        let found = is_typed(number, imdb(folder.write("aclImdb.tar.gz", &gzip(bytes))));
        assert!(found.is_none_or(|texts| texts.train.len() >= 2), "mutant {number}");
    });
}

fn check_arrays(folder: &Folder) {
    let whole = [idx(&[2, 3, 3]), vec![7; 18]].concat();
    let zipped = gzip(&whole);
    mutants(&[&whole, &zipped], 14, COUNT, TIME, |number, bytes| {
        let Some(array) = is_typed(number, read_idx(folder.write("array", bytes))) else { return };
        assert_eq!(array.data.len(), array.dims.iter().product::<usize>(), "mutant {number}");
    });
    for (part, count) in [("train", 3u32), ("t10k", 2)] {
        let pixels = [idx(&[count, 2, 2]), vec![9; 4 * count as usize]].concat();
        folder.write(&format!("mnist/{part}-images-idx3-ubyte"), &pixels);
        folder.write(
            &format!("mnist/{part}-labels-idx1-ubyte"),
            &[idx(&[count]), vec![7; count as usize]].concat(),
        );
    }
    let bytes = [idx(&[3]), vec![7, 0, 9]].concat();
    let rows = [vec![0, 0, 12, 2], idx(&[3, 2])[4..].to_vec(), [0, 0, 0, 1].repeat(6)].concat();
    mutants(&[&bytes, &rows], 19, COUNT, TIME, |number, bytes| {
        folder.write("mnist/train-labels-idx1-ubyte", bytes);
        let found = is_typed(number, mnist(folder.0.join("mnist")));
        assert!(found.is_none_or(|data| data.train.len() == 3), "mutant {number}");
    });
    let record = [&[9], &[128; 3072][..]].concat();
    mutants(&[&record], 15, COUNT / 4, TIME, |number, bytes| {
        folder.write("cifar/data_batch_1.bin", bytes);
        folder.write("cifar/test_batch.bin", bytes);
        let found = is_typed(number, cifar10(folder.0.join("cifar")));
        assert!(found.is_none_or(|data| data.test.len() * 3073 == bytes.len()), "mutant {number}");
    });
}

fn check_tables(folder: &Folder) {
    let text = "a,b,label\n1.5,2,yes\n-3e4,\"4,\"\"5\"\"\",no\nNA,6,yes\n";
    let quoted = "x;y\r\n\"1\n2\";3\r\n4;5\r\n";
    mutants(&[text.as_bytes(), quoted.as_bytes()], 16, COUNT, TIME, |number, bytes| {
        let Some(table) = is_typed(number, Table::read(folder.write("table.csv", bytes))) else { return };
        for name in table.names() {
            let column = table.column_str(name).expect("the column is there");
            assert_eq!(column.len(), table.len(), "mutant {number}");
            is_typed(number, table.column_optional_f32(name));
        }
    });
}

#[cfg(feature = "images")]
fn check_pictures(folder: &Folder) {
    use crate::pictures::png;
    use retape::data::{ImageFit, ImageOptions, image};
    let noise: Vec<u8> = (0..24 * 8u32).map(|i| (i * i % 251) as u8).collect();
    let grey = png([8, 24], png::ColorType::Grayscale, png::BitDepth::Eight, &noise);
    let deep = png([3, 8], png::ColorType::Rgba, png::BitDepth::Sixteen, &noise);
    let bits = png([8, 190], png::ColorType::Grayscale, png::BitDepth::One, &noise);
    let pngs = [&grey[..], &deep, &bits];
    let jpegs: [&[u8]; 3] = [
        include_bytes!("pictures/baseline.jpg"),
        include_bytes!("pictures/progressive.jpg"),
        include_bytes!("pictures/restarts.jpg"),
    ];
    let fitted = ImageOptions::new().size(7, 5).fit(ImageFit::Letterbox);
    for (seed, wholes) in [(17, &pngs), (18, &jpegs)] {
        mutants(wholes, seed, COUNT, TIME, |number, bytes| {
            let path = folder.write("picture", bytes);
            for options in [ImageOptions::new().max_pixels(1_000_000), fitted.max_pixels(4_000_000)] {
                let Some(found) = is_typed(number, image(&path, &options)) else { continue };
                assert_eq!((found.len(), found.check().is_ok()), (1, true), "mutant {number}");
                let pixels = found.inputs[0].data.as_f32().expect("pixels are f32");
                assert!(pixels.iter().all(|v| (0.0..=1.0).contains(v)), "mutant {number}");
            }
        });
    }
}

#[test]
#[ignore = "run by `damaged_files_are_told_in_little_memory`"]
fn damaged_files() {
    let folder = Folder::new();
    check_archives(&folder);
    check_arrays(&folder);
    check_tables(&folder);
    #[cfg(feature = "images")]
    check_pictures(&folder);
}

#[test]
fn damaged_files_are_told_in_little_memory() {
    in_little_memory("mutants::damaged_files", MEMORY);
}

fn out_of_memory<T>(result: Result<T>, path: &Path) {
    let Err(error) = result else { panic!("{} is too large", path.display()) };
    let told = error.to_string().contains(&path.display().to_string());
    assert!(told && matches!(error, Error::OutOfMemory { .. }), "{error}");
}

fn beyond<T>(result: Result<T>, of: &str) {
    let Err(error) = result else { panic!("there are too many {of}") };
    assert!(matches!(&error, Error::FileLimit { what, .. } if *what == of), "{error}");
}

#[test]
#[ignore = "run by `a_small_file_that_unpacks_to_more_than_memory_is_told_from_a_damaged_one`"]
fn small_files_of_large_ones() {
    let folder = Folder::new();
    // As many zeros as are claimed: neither damaged nor truncated, but more than there is room for.
    let array = folder.write("array.gz", &zeros(&idx(&[3, 1000, 1_000_000]), 3000));
    out_of_memory(read_idx(&array), &array);
    // Room for the bytes, but not for the numbers that they become.
    let images = zeros(&idx(&[300, 1000, 1000]), 300);
    let labels = zeros(&idx(&[300]), 0);
    let labels = [labels, gzip(&[0; 300])].concat();
    let names = ["train-images-idx3-ubyte", "t10k-images-idx3-ubyte"];
    let [train, _] = names.map(|name| folder.write(&format!("mnist/{name}.gz"), &images));
    for name in ["train-labels-idx1-ubyte", "t10k-labels-idx1-ubyte"] {
        folder.write(&format!("mnist/{name}.gz"), &labels);
    }
    out_of_memory(mnist(train.parent().expect("it is in a folder")), &train);

    // Images of one pixel, and as many labels, which take four bytes each.
    let images = folder.write("small/train-images-idx3-ubyte.gz", &zeros(&idx(&[300_000_000, 1, 1]), 300));
    let labels = zeros(&idx(&[300_000_000]), 300);
    let [labels, _] =
        ["train", "t10k"].map(|part| folder.write(&format!("small/{part}-labels-idx1-ubyte.gz"), &labels));
    folder.write("small/t10k-images-idx3-ubyte.gz", &zeros(&idx(&[1, 1, 1]), 0));
    out_of_memory(mnist(images.parent().expect("it is in a folder")), &labels);

    let batches = ["data_batch_1.bin", "test_batch.bin"]
        .map(|name| zeros(&entry(name, tar::EntryType::Regular, 512_000_000), 512));
    let path = folder.write("large.tar.gz", &batches.concat());
    out_of_memory(cifar10(&path), &path);

    let table = folder.write("table.csv", &[&b"a\n"[..], &b",\n".repeat(6_000_000)].concat());
    out_of_memory(Table::read(&table), &table);
}

#[test]
fn a_small_file_that_unpacks_to_more_than_memory_is_told_from_a_damaged_one() {
    in_little_memory("mutants::small_files_of_large_ones", MEMORY);
}

/// What tables become may be far larger than they are.
#[test]
#[ignore = "run by `a_table_that_becomes_more_than_memory_is_told`"]
fn large_tables() {
    let name = Path::new("large.csv");
    let text = "0,,1.5\n".repeat(100_000);
    let options = retape::data::TableOptions::new().header(false).names(&["k", "gap", "x"]);
    let table = Table::parse_with("large.csv", text.as_bytes(), &options).expect("there is room for it");
    let features = ["x"; 4000];
    out_of_memory(table.to_inputs(&features), name);
    out_of_memory(table.to_regression(&features, &["k"]), name);
    out_of_memory(table.to_regression(&["k"], &features), name);
    out_of_memory(table.to_dataset(&features, "k"), name);
    let categories: Vec<String> = (0..3000).map(|category| category.to_string()).collect();
    out_of_memory(table.clone().one_hot("k", &categories), name);
    let long = retape::data::Fill::value("x".repeat(100_000));
    out_of_memory(table.clone().fill_missing([("gap", long)]), name);
    // What there is room for is made, beside what was refused.
    let hot = table.one_hot("k", &categories[..100]).expect("there is room for a hundred");
    assert_eq!(hot.to_inputs(&["k=0", "k=99"]).expect("they are numbers").len(), 100_000);
}

#[test]
fn a_table_that_becomes_more_than_memory_is_told() {
    in_little_memory("mutants::large_tables", MEMORY);
}

#[test]
fn names_files_and_entries_have_limits() {
    let folder = Folder::new();
    let path = folder.write("a.tar.gz", &gzip(&entry("data_batch_1.bin", tar::EntryType::Regular, 1 << 32)));
    beyond(cifar10(&path), "bytes");
    let review = entry("train/neg/1_1.txt", tar::EntryType::Regular, 2_000_000);
    beyond(imdb(folder.write("review.tar.gz", &zeros(&review, 2))), "bytes");
    for kind in [tar::EntryType::GNULongName, tar::EntryType::XHeader] {
        let name = zeros(&entry("././@LongLink", kind, 100_000_000), 100);
        beyond(imdb(folder.write("name.tar.gz", &name)), "bytes of a name in it");
    }
    let review = folder.write("aclImdb/train/neg/1_1.txt", &vec![b'a'; (1 << 20) + 1]);
    folder.write("aclImdb/test/neg/1_1.txt", b"");
    beyond(imdb(&folder.0), "bytes");
    assert!(review.is_file());
}

/// Names longer than a header holds, in both of the formats that there are.
#[test]
fn long_names_are_read() {
    let folder = Folder::new();
    let deep = "d".repeat(150);
    let places = ["train/neg/0_1.txt", "train/pos/0_9.txt", "test/neg/0_2.txt", "test/pos/0_8.txt"];
    let names = places.map(|place| format!("{deep}/{place}"));
    let by_gnu = tar(&names.each_ref().map(|name| (&**name, &b"good"[..])));

    let mut by_pax = tar::Builder::new(Vec::new());
    for name in &names {
        by_pax.append_pax_extensions([("path", name.as_bytes())]).expect("writing to memory succeeds");
        let mut header = tar::Header::new_ustar();
        header.set_path("short").expect("the name is short");
        header.set_size(4);
        header.set_cksum();
        by_pax.append(&header, &b"good"[..]).expect("writing to memory succeeds");
    }
    let by_pax = by_pax.into_inner().expect("writing to memory succeeds");
    for archive in [by_gnu, by_pax] {
        let texts = imdb(folder.write("aclImdb.tar.gz", &gzip(&archive))).expect("the archive is whole");
        assert_eq!((texts.train.len(), texts.test.len()), (2, 2));
        assert_eq!(texts.train.texts()[0], "good");
    }
}
