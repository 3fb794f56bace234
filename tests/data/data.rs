//! The readers of `retape::data` on small files: what they accept, and what they say about files
//! that are not what they should be.

use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};

use crate::folder::Folder;
use flate2::Compression;
use flate2::write::GzEncoder;
use retape::data::{
    CIFAR10_CLASSES, CIFAR100_CLASSES, CIFAR100_SUPERCLASSES, Cifar100Labels, Dataset, FASHION_MNIST_CLASSES,
    PublicDataset, TrainTest, cifar10, cifar100, fashion_mnist, mnist, read_idx,
};
use retape::{Error, FetchError, Result, Shape};

/// A small set in MNIST's format: three training images, two for testing, 2 x 3 pixels.
fn with_mnist() -> Folder {
    let folder = Folder::new();
    folder.write(TRAIN_IMAGES, &idx(8, &[3, 2, 3], &(0..18).map(|i| i * 15).collect::<Vec<_>>()));
    folder.write(TRAIN_LABELS, &idx(8, &[3], &[7, 0, 9]));
    folder.write("t10k-images-idx3-ubyte.gz", &gzip(&idx(8, &[2, 2, 3], &[255; 12])));
    folder.write("t10k-labels-idx1-ubyte.gz", &gzip(&idx(8, &[2], &[1, 2])));
    folder
}

const TRAIN_IMAGES: &str = "train-images-idx3-ubyte";
const TRAIN_LABELS: &str = "train-labels-idx1-ubyte";

fn idx(dtype: u8, dims: &[u32], data: &[u8]) -> Vec<u8> {
    let mut bytes = vec![0, 0, dtype, dims.len() as u8];
    dims.iter().for_each(|d| bytes.extend(d.to_be_bytes()));
    bytes.extend(data);
    bytes
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
    encoder.write_all(bytes).expect("writing to memory succeeds");
    encoder.finish().expect("writing to memory succeeds")
}

/// The path and the message of an [`Error::Corrupt`].
fn corrupt<T: std::fmt::Debug>(result: Result<T>) -> (PathBuf, String) {
    match result {
        Err(Error::Corrupt { path, message }) => (path, message),
        other => panic!("Error::Corrupt expected, {other:?} found"),
    }
}

fn assert_corrupt(bytes: &[u8], expected: &str) {
    let folder = Folder::new();
    let path = folder.write("file", bytes);
    let (found, message) = corrupt(read_idx(&path));
    assert_eq!(found, path);
    assert!(message.contains(expected), "`{expected}` is not in `{message}`");
}

#[test]
fn mnist_is_read_plain_and_compressed() -> Result<()> {
    let folder = with_mnist();
    let data = mnist(&folder.0)?;
    assert_eq!(data.input_shape(), Shape::from([1, 2, 3]));
    assert_eq!((data.train.len(), data.test.len(), data.train.classes()), (3, 2, 10));
    assert_eq!(data.train.labels(), [7, 0, 9]);
    let pixels: Vec<f32> = (0..18u8).map(|i| f32::from(i * 15) / 255.0).collect();
    assert_eq!(data.train.inputs(), pixels);
    assert_eq!(data.train.input(1), &pixels[6..12]);
    assert_eq!((data.test.inputs(), data.test.labels()), (&[1.0; 12][..], &[1, 2][..]));
    Ok(())
}

#[test]
fn gzip_is_told_by_contents() -> Result<()> {
    let folder = Folder::new();
    let bytes = idx(8, &[2, 2], &[1, 2, 3, 4]);
    let plain = read_idx(folder.write("plain.gz", &bytes))?;
    let packed = read_idx(folder.write("packed", &gzip(&bytes)))?;
    assert_eq!((plain.dims.as_slice(), plain.data.as_u8()), (&[2, 2][..], Some(&[1, 2, 3, 4][..])));
    assert_eq!(plain, packed);
    // gzip files may be concatenated.
    let (head, tail) = bytes.split_at(9);
    assert_eq!(read_idx(folder.write("two", &[gzip(head), gzip(tail)].concat()))?, plain);
    Ok(())
}

#[test]
fn a_missing_file_is_named() {
    let folder = with_mnist();
    fs::remove_file(folder.0.join(TRAIN_LABELS)).expect("it is there");
    match mnist(&folder.0) {
        Err(Error::Io { path, source }) => {
            assert_eq!(path, folder.0);
            assert_eq!(source.kind(), std::io::ErrorKind::NotFound);
            let message = source.to_string();
            assert!(message.contains("`train-labels-idx1-ubyte`"), "{message}");
            assert!(message.contains("`train-labels-idx1-ubyte.gz`"), "{message}");
        }
        other => panic!("Error::Io expected, {other:?} found"),
    }
    let nowhere = folder.0.join("nowhere");
    assert!(matches!(mnist(&nowhere), Err(Error::Io { path, .. }) if path == nowhere));
    let file = folder.0.join("nothing");
    assert!(matches!(read_idx(&file), Err(Error::Io { path, .. }) if path == file));
}

#[test]
fn truncation_is_found_anywhere() {
    let whole = idx(8, &[2, 3], &[1, 2, 3, 4, 5, 6]);
    for length in 0..whole.len() {
        assert_corrupt(&whole[..length], "truncated");
        assert_corrupt(&gzip(&whole[..length]), "truncated");
    }
    assert_corrupt(&whole[..whole.len() - 1], "5 elements, 6 expected for [2, 3]");
}

#[test]
fn trailing_bytes_are_refused() {
    let longer = idx(8, &[3], &[1, 2, 3, 4]);
    assert_corrupt(&longer, "trailing bytes: more than the 3 elements expected for [3]");
    assert_corrupt(&gzip(&longer), "trailing bytes");
    assert_corrupt(&[gzip(&idx(8, &[1], &[1])), b"rest".to_vec()].concat(), "gzip");
}

#[test]
fn headers_are_checked() {
    assert_corrupt(b"PK\x03\x04 and so on", "not an IDX file: it begins with [50, 4b, 03, 04]");
    assert_corrupt(&[0, 1, 8, 1, 0, 0, 0, 1, 5], "not an IDX file");
    assert_corrupt(&idx(0x0a, &[1], &[0; 4]), "dtype code 0x0a, one of 0x08 (u8), 0x09 (i8)");
    assert_corrupt(&idx(8, &[], &[1]), "0 dimensions");
    assert_corrupt(&idx(8, &[2, 0], &[]), "[2, 0]: it holds no elements");
}

/// Sizes that would take exbibytes, or overflow, cost nothing: only what is there is read.
#[test]
fn header_sizes_are_not_trusted() {
    assert_corrupt(&idx(8, &[u32::MAX, u32::MAX], &[1, 2]), "2 elements, 18446744065119617025 expected");
    assert_corrupt(&idx(8, &[u32::MAX; 3], &[1, 2]), "more elements than can be counted");
    assert_corrupt(&gzip(&idx(8, &[u32::MAX, 1 << 10], &[1, 2])), "truncated");
    // A compressed file that unpacks to far more than it announces is not unpacked to its end.
    let bomb = gzip(&[idx(8, &[4], &[]), vec![0; 64 << 20]].concat());
    assert_corrupt(&bomb, "trailing bytes");
}

#[test]
fn damaged_gzip_is_refused() {
    let data: Vec<u8> = (0..2000u32).map(|i| (i * i % 251) as u8).collect();
    let whole = gzip(&idx(8, &[2000], &data));
    for length in [2, 9, 12, 40, whole.len() / 2, whole.len() - 9, whole.len() - 1] {
        assert_corrupt(&whole[..length], "gzip stream is damaged");
    }
    let mut wrong_sum = whole.clone();
    let at = wrong_sum.len() - 6;
    wrong_sum[at] ^= 1;
    assert_corrupt(&wrong_sum, "gzip stream is damaged");
}

#[test]
fn files_have_to_fit_together() {
    let folder = with_mnist();
    let labels = folder.write(TRAIN_LABELS, &idx(8, &[2], &[7, 0]));
    let (path, message) = corrupt(mnist(&folder.0));
    assert_eq!(path, labels);
    assert!(message.starts_with("2 labels, 3 expected for the images of "), "{message}");
    assert!(message.ends_with(TRAIN_IMAGES), "{message}");

    folder.write(TRAIN_LABELS, &idx(8, &[3, 1], &[7, 0, 9]));
    assert!(corrupt(mnist(&folder.0)).1.contains("[3, 1], 1 expected for labels"));

    folder.write(TRAIN_LABELS, &idx(8, &[3], &[7, 0, 9]));
    folder.write(TRAIN_IMAGES, &idx(8, &[3, 6], &[0; 18]));
    assert!(corrupt(mnist(&folder.0)).1.contains("[3, 6], 3 expected for images"));

    folder.write(TRAIN_IMAGES, &idx(8, &[3, 3, 2], &[0; 18]));
    let (path, message) = corrupt(mnist(&folder.0));
    assert!(path.ends_with("t10k-images-idx3-ubyte.gz"), "{path:?}");
    assert!(message.contains("its samples are [1, 2, 3], [1, 3, 2] expected"), "{message}");
}

#[test]
fn labels_are_checked() {
    let folder = with_mnist();
    let labels = folder.write(TRAIN_LABELS, &idx(8, &[3], &[7, 10, 9]));
    match mnist(&folder.0) {
        Err(Error::LabelOutOfRange { name, index, label, limit }) => {
            assert_eq!(Path::new(&name), labels);
            assert_eq!((index, label, limit), (1, 10, 10));
        }
        other => panic!("Error::LabelOutOfRange expected, {other:?} found"),
    }
    assert!(matches!(Dataset::new([1], vec![0.0], vec![3], 3), Err(Error::LabelOutOfRange { .. })));
}

/// The [`Error::Io`] of a missing file: the folder and the message.
fn missing<T: std::fmt::Debug>(result: Result<T>) -> (PathBuf, String) {
    match result {
        Err(Error::Io { path, source }) => {
            assert_eq!(source.kind(), std::io::ErrorKind::NotFound);
            (path, source.to_string())
        }
        other => panic!("Error::Io expected, {other:?} found"),
    }
}

#[test]
fn mnist_says_where_it_is_to_be_had() {
    let folder = Folder::new();
    for path in [folder.0.clone(), folder.0.join("absent")] {
        let (at, message) = missing(mnist(&path));
        assert_eq!(at, path);
        assert!(message.contains("`train-images-idx3-ubyte.gz`"), "{message}");
        assert!(message.contains("https://ossci-datasets.s3.amazonaws.com/mnist/"), "{message}");
    }
    let message = PublicDataset::Mnist.read(&folder.0).expect_err("it is empty").to_string();
    assert!(message.contains("https://ossci-datasets.s3.amazonaws.com/mnist/"), "{message}");
}

#[test]
fn fashion_mnist_is_read_from_the_folder_or_one_within() -> Result<()> {
    assert_eq!((FASHION_MNIST_CLASSES[0], FASHION_MNIST_CLASSES[9]), ("T-shirt/top", "Ankle boot"));
    let folder = with_mnist();
    let direct = fashion_mnist(&folder.0)?;
    assert_eq!(direct, mnist(&folder.0)?.with_class_names(&FASHION_MNIST_CLASSES)?);

    let outer = Folder::new();
    let inner = outer.0.join("fashion-mnist");
    fs::create_dir(&inner).expect("the temporary folder can be written");
    let (path, message) = missing(fashion_mnist(&outer.0));
    assert_eq!(path, inner);
    assert!(message.contains("`train-images-idx3-ubyte.gz`"), "{message}");
    assert!(message.ends_with("https://github.com/zalandoresearch/fashion-mnist"), "{message}");
    for file in fs::read_dir(&folder.0).expect("it is there") {
        let file = file.expect("it can be listed");
        fs::copy(file.path(), inner.join(file.file_name())).expect("the folder can be written");
    }
    assert_eq!(fashion_mnist(&outer.0)?, direct);
    Ok(())
}

/// A record of CIFAR-10: planes that begin with `label`, `label + 1` and `label + 2`.
fn cifar_record(label: u8) -> Vec<u8> {
    let plane = |first: u8| (0..1024u32).map(move |i| if i == 0 { first } else { (i % 256) as u8 });
    std::iter::once(label).chain((0..3).flat_map(|c| plane(label.wrapping_add(c)))).collect()
}

fn cifar_records(labels: &[u8]) -> Vec<u8> {
    labels.iter().flat_map(|&label| cifar_record(label)).collect()
}

#[test]
fn cifar10_is_read_batch_by_batch() -> Result<()> {
    assert_eq!((CIFAR10_CLASSES[0], CIFAR10_CLASSES[9]), ("airplane", "truck"));
    let folder = Folder::new();
    folder.write("data_batch_3.bin", &cifar_records(&[3, 9]));
    folder.write("data_batch_1.bin", &cifar_records(&[5]));
    folder.write("test_batch.bin", &cifar_records(&[0, 1, 2]));
    folder.write("batches.meta.txt", b"airplane");
    let data = cifar10(&folder.0)?;
    assert_eq!(data.input_shape(), Shape::from([3, 32, 32]));
    assert_eq!((data.train.labels(), data.test.labels()), (&[5, 3, 9][..], &[0, 1, 2][..]));
    assert_eq!((data.train.classes(), data.test.classes()), (10, 10));
    let image = data.train.input(1);
    let pixel = |value: u8| f32::from(value) / 255.0;
    assert_eq!((image[0], image[1024], image[2048]), (pixel(3), pixel(4), pixel(5)));
    assert_eq!((image[1], image[255], image[3071]), (pixel(1), 1.0, 1.0));
    assert!(data.test.inputs().iter().all(|v| (0.0..=1.0).contains(v)));

    let outer = Folder::new();
    fs::rename(&folder.0, outer.0.join("cifar-10-batches-bin")).expect("it can be moved");
    assert_eq!(cifar10(&outer.0)?, data);
    assert_eq!(PublicDataset::Cifar10.read(&outer.0)?, data);
    assert_eq!(data.test.class_names().map(<[String]>::len), Some(10));
    Ok(())
}

/// A tar archive with these files, packed.
fn archive(files: &[(&str, &[u8])]) -> Vec<u8> {
    let mut builder = tar::Builder::new(Vec::new());
    for (name, bytes) in files {
        let mut header = tar::Header::new_gnu();
        header.set_size(bytes.len() as u64);
        header.set_mode(0o644);
        header.set_cksum();
        builder.append_data(&mut header, name, *bytes).expect("writing to memory succeeds");
    }
    gzip(&builder.into_inner().expect("writing to memory succeeds"))
}

#[test]
fn cifar10_is_read_from_its_archive() -> Result<()> {
    let (one, two, test) = (cifar_records(&[5]), cifar_records(&[3, 9]), cifar_records(&[0, 1]));
    let packed = archive(&[
        ("cifar-10-batches-bin/test_batch.bin", &test),
        ("cifar-10-batches-bin/readme.html", b"<html>"),
        ("cifar-10-batches-bin/data_batch_2.bin", &two),
        ("cifar-10-batches-bin/data_batch_1.bin", &one),
    ]);
    let folder = Folder::new();
    let path = folder.write("cifar-10-binary.tar.gz", &packed);
    let data = cifar10(&path)?;
    assert_eq!((data.train.labels(), data.test.labels()), (&[5, 3, 9][..], &[0, 1][..]));
    assert_eq!(cifar10(&folder.0)?, data);
    assert_eq!(PublicDataset::Cifar10.read(&folder.0)?, data);

    for length in [0, 30, packed.len() / 2, packed.len() - 4] {
        folder.write("cifar-10-binary.tar.gz", &packed[..length]);
        let result = cifar10(&path);
        let refused = matches!(&result, Err(Error::Corrupt { path: at, .. }) if *at == path);
        assert!(refused, "{length}: {result:?}");
    }
    folder.write("cifar-10-binary.tar.gz", &archive(&[("x/test_batch.bin", &test)]));
    assert!(missing(cifar10(&path)).1.contains("`data_batch_1.bin`"));
    folder.write(
        "cifar-10-binary.tar.gz",
        &archive(&[("test_batch.bin", &test[1..]), ("data_batch_1.bin", &one)]),
    );
    assert_eq!(corrupt(cifar10(&path)).0, path.join("test_batch.bin"));

    // The folder comes before the archive.
    folder.write("cifar-10-batches-bin/data_batch_1.bin", &one);
    folder.write("cifar-10-batches-bin/test_batch.bin", &one);
    assert_eq!(cifar10(&folder.0)?.test.labels(), [5]);
    Ok(())
}

/// A record of CIFAR-100: two labels, then the planes of [`cifar_record`].
fn cifar100_records(labels: &[[u8; 2]]) -> Vec<u8> {
    labels.iter().flat_map(|&[coarse, fine]| [vec![coarse], cifar_record(fine)].concat()).collect()
}

#[test]
fn cifar100_has_fine_and_coarse_labels() -> Result<()> {
    assert_eq!((CIFAR100_CLASSES[0], CIFAR100_CLASSES[99], CIFAR100_CLASSES[50]), ("apple", "worm", "mouse"));
    assert_eq!((CIFAR100_SUPERCLASSES[0], CIFAR100_SUPERCLASSES[19]), ("aquatic_mammals", "vehicles_2"));
    assert!(CIFAR100_CLASSES.is_sorted() && CIFAR100_SUPERCLASSES.is_sorted());
    let folder = Folder::new();
    folder.write("train.bin", &cifar100_records(&[[19, 99], [0, 7], [4, 53]]));
    folder.write("test.bin", &cifar100_records(&[[1, 2]]));
    let fine = cifar100(&folder.0, Cifar100Labels::Fine)?;
    assert_eq!((fine.train.labels(), fine.test.labels()), (&[99, 7, 53][..], &[2][..]));
    assert_eq!((fine.train.classes(), fine.input_shape()), (100, Shape::from([3, 32, 32])));
    assert_eq!(fine.train.input(1)[0], 7.0 / 255.0, "pixels follow both labels");
    let coarse = cifar100(&folder.0, Cifar100Labels::Coarse)?;
    assert_eq!((coarse.train.labels(), coarse.test.labels()), (&[19, 0, 4][..], &[1][..]));
    assert_eq!((coarse.train.classes(), coarse.train.inputs()), (20, fine.train.inputs()));
    assert_eq!(coarse.train.class_names().map(|names| names[4].as_str()), Some("fruit_and_vegetables"));

    let test = folder.write("test.bin", &cifar100_records(&[[1, 2]])[1..]);
    let (path, message) = corrupt(cifar100(&folder.0, Cifar100Labels::Fine));
    assert_eq!((path, message.contains("3074 expected in a record")), (test.clone(), true));
    // Each label is checked, asked for or not.
    for (labels, limit) in [([20, 0], 20), ([0, 100], 100)] {
        folder.write("test.bin", &cifar100_records(&[[1, 2], labels]));
        for asked in [Cifar100Labels::Fine, Cifar100Labels::Coarse] {
            let wrong = cifar100(&folder.0, asked);
            let found =
                matches!(&wrong, Err(Error::LabelOutOfRange { index: 1, limit: l, .. }) if *l == limit);
            assert!(found, "{wrong:?}");
        }
    }
    fs::remove_file(test).expect("it is there");
    assert!(missing(cifar100(&folder.0, Cifar100Labels::Fine)).1.starts_with("no file `test.bin`"));
    Ok(())
}

#[test]
fn a_public_set_that_is_missing_says_where_to_get_it() {
    let folder = Folder::new();
    for (set, name, inner) in [
        (PublicDataset::Mnist, "MNIST", "mnist"),
        (PublicDataset::FashionMnist, "Fashion-MNIST", "fashion-mnist"),
        (PublicDataset::Cifar10, "CIFAR-10", "cifar-10-batches-bin"),
        (PublicDataset::Cifar100, "CIFAR-100", "cifar-100-binary"),
    ] {
        let error = set.read(&folder.0).expect_err("the folder is empty");
        match &error {
            Error::Fetch(FetchError::Missing { set, folder: at, .. }) => {
                assert_eq!((*set, at), (name, &folder.0.join(inner)));
            }
            other => panic!("FetchError::Missing expected, {other:?} found"),
        }
        let message = error.to_string();
        assert!(message.contains("--features download") && message.contains("://"), "{message}");
        assert_eq!(set.name(), name);

        // A folder without the set's files is no set, and what a broken transfer leaves is none of them.
        for file in ["readme.txt", "train-images-idx3-ubyte.gz.part", "train-images-idx3-ubyte.gz.lock"] {
            folder.write(&format!("{inner}/{file}"), b"");
            let missing = set.read(&folder.0);
            assert!(matches!(missing, Err(Error::Fetch(FetchError::Missing { .. }))), "{missing:?}");
        }
    }
    // It does not stand before the archive either.
    let records = cifar_records(&[1]);
    let packed = archive(&[("data_batch_1.bin", &records), ("test_batch.bin", &records)]);
    folder.write("cifar-10-binary.tar.gz", &packed);
    let data = PublicDataset::Cifar10.read(&folder.0).expect("the archive is whole");
    assert_eq!(data.train.labels(), [1]);
}

#[test]
fn cifar10_says_what_is_missing() {
    let folder = Folder::new();
    for (write, name) in [(None, "`data_batch_5.bin`"), (Some("data_batch_2.bin"), "`test_batch.bin`")] {
        if let Some(write) = write {
            folder.write(write, &cifar_records(&[1]));
        }
        let (path, message) = missing(cifar10(&folder.0));
        assert_eq!(path, folder.0);
        assert!(message.contains(name), "{message}");
        assert!(message.contains("https://www.cs.toronto.edu/~kriz/cifar.html"), "{message}");
    }
    let nowhere = folder.0.join("nowhere");
    assert_eq!(missing(cifar10(&nowhere)).0, nowhere);
}

#[test]
fn cifar10_refuses_what_is_no_batch() {
    let folder = Folder::new();
    let train = folder.write("data_batch_1.bin", &cifar_records(&[1]));
    for (length, expected) in [(0, "it is empty"), (1, "1 bytes after 0 whole"), (3072, "3072 bytes after 0")]
    {
        let test = folder.write("test_batch.bin", &cifar_record(2)[..length]);
        let (path, message) = corrupt(cifar10(&folder.0));
        assert_eq!(path, test);
        assert!(message.contains(expected), "`{expected}` is not in `{message}`");
    }
    let test = folder.write("test_batch.bin", &[cifar_records(&[2, 3]), vec![4; 7]].concat());
    let (path, message) = corrupt(cifar10(&folder.0));
    assert_eq!(path, test);
    assert_eq!(message, "truncated: 7 bytes after 2 whole records, 3073 expected in a record");

    folder.write("test_batch.bin", &cifar_records(&[2]));
    folder.write("data_batch_1.bin", &cifar_records(&[1, 9, 10]));
    match cifar10(&folder.0) {
        Err(Error::LabelOutOfRange { name, index, label, limit }) => {
            assert_eq!(Path::new(&name), train);
            assert_eq!((index, label, limit), (2, 10, 10));
        }
        other => panic!("Error::LabelOutOfRange expected, {other:?} found"),
    }
}

#[test]
fn a_dataset_needs_whole_samples() {
    let wrong = Dataset::new([2, 2], vec![0.0; 7], vec![0, 1], 2);
    assert!(matches!(wrong, Err(Error::DatasetLength { inputs: 7, labels: 2, .. })));
    let empty = Dataset::new([2, 0], vec![], vec![], 2);
    assert!(matches!(empty, Err(Error::EmptyDimension { .. })));
}

fn numbered(n: usize) -> Dataset {
    let inputs = (0..2 * n).map(|i| i as f32).collect();
    Dataset::new([2], inputs, (0..n as u32).collect(), n as u32).expect("the labels are in range")
}

#[test]
fn batches_reuse_the_buffers() {
    let data = numbered(5);
    let (mut inputs, mut labels) = (Vec::new(), Vec::new());
    data.gather(&[4, 0, 4], &mut inputs, &mut labels);
    assert_eq!(inputs, [8.0, 9.0, 0.0, 1.0, 8.0, 9.0]);
    assert_eq!(labels, [4, 0, 4]);
    let before = (inputs.as_ptr(), inputs.capacity(), labels.as_ptr(), labels.capacity());
    data.gather(&[1, 2, 3], &mut inputs, &mut labels);
    assert_eq!((inputs.as_ptr(), inputs.capacity(), labels.as_ptr(), labels.capacity()), before);
    assert_eq!((inputs, labels), (vec![2.0, 3.0, 4.0, 5.0, 6.0, 7.0], vec![1, 2, 3]));
}

#[test]
fn datasets_are_taken_apart() -> Result<()> {
    let (train, validation) = numbered(10).split_last(0.25)?;
    assert_eq!((train.len(), validation.labels()), (7, &[7, 8, 9][..]));
    assert_eq!(validation.input(0), [14.0, 15.0]);
    let (most, least) = numbered(3).split_last(0.001)?;
    assert_eq!((most.len(), least.len()), (2, 1));
    for fraction in [0.0, 1.0, -0.5, f64::NAN] {
        assert!(matches!(numbered(10).split_last(fraction), Err(Error::Argument { .. })));
    }
    assert!(matches!(numbered(1).split_last(0.5), Err(Error::Argument { .. })));

    assert_eq!(numbered(5).take(2), numbered(5).select(&[0, 1]));
    assert_eq!(numbered(2).take(9), numbered(2));
    assert!(numbered(2).take(0).is_empty());
    let chosen = numbered(5).select(&[3, 3, 1]);
    assert_eq!((chosen.labels(), chosen.inputs()), (&[3, 3, 1][..], &[6.0, 7.0, 6.0, 7.0, 2.0, 3.0][..]));

    let both = TrainTest { train, test: validation };
    assert_eq!(both.input_shape(), Shape::from([2]));
    Ok(())
}
