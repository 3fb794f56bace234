//! MNIST's relatives: the names that their files go by, folders within folders, labels of 32 bits, and what is
//! said where a file is not found under any of its names.

use std::fs;

use crate::folder::Folder;
use retape::data::{
    EmnistSplit, FASHION_MNIST_CLASSES, IdxData, PublicDataset, emnist, fashion_mnist, mnist, qmnist,
    read_idx,
};
use retape::{Error, Result, Shape};

fn idx(dtype: u8, dims: &[u32], data: &[u8]) -> Vec<u8> {
    let sizes = dims.iter().flat_map(|size| size.to_be_bytes());
    [0, 0, dtype, dims.len() as u8].into_iter().chain(sizes).chain(data.iter().copied()).collect()
}

/// Two images to learn from and one to judge by, under these names: images and labels, then of the test.
fn write(folder: &Folder, names: [&str; 4]) {
    let files = [
        idx(8, &[2, 2, 3], &[0, 51, 102, 153, 204, 255, 5, 4, 3, 2, 1, 0]),
        idx(8, &[2], &[7, 1]),
        idx(8, &[1, 2, 3], &[9; 6]),
        idx(8, &[1], &[3]),
    ];
    names.iter().zip(files).for_each(|(name, bytes)| drop(folder.write(name, &bytes)));
}

const PUBLISHED: [&str; 4] = [
    "train-images-idx3-ubyte",
    "train-labels-idx1-ubyte",
    "t10k-images-idx3-ubyte",
    "t10k-labels-idx1-ubyte",
];
const DOTTED: [&str; 4] = [
    "train-images.idx3-ubyte",
    "train-labels.idx1-ubyte",
    "t10k-images.idx3-ubyte",
    "t10k-labels.idx1-ubyte",
];

/// The names with something before each.
fn within(folder: &str, names: [&str; 4]) -> [String; 4] {
    names.map(|name| format!("{folder}{name}"))
}

fn corrupt<T: std::fmt::Debug>(result: Result<T>) -> String {
    match result {
        Err(Error::Corrupt { message, .. }) => message,
        other => panic!("Error::Corrupt expected, {other:?} found"),
    }
}

#[test]
fn files_are_found_under_every_name() -> Result<()> {
    let published = Folder::new();
    write(&published, PUBLISHED);
    let expected = mnist(&published.0)?;
    assert_eq!((expected.train.labels(), expected.test.labels()), (&[7, 1][..], &[3][..]));
    let test = PUBLISHED.map(|name| name.replace("t10k", "test"));
    let own_folders = DOTTED.map(|name| format!("{name}/{name}"));
    let mixed = PUBLISHED.map(|name| format!("{name}/{}", name.replace("-idx", ".idx")));
    let forms = [
        DOTTED.map(String::from),
        test,
        own_folders.clone(),
        mixed,
        within("MNIST/raw/", PUBLISHED),
        within("mnist/", DOTTED),
        own_folders.map(|name| format!("archive/{name}")),
        within("qmnist-", DOTTED).map(|name| name.replace("t10k", "test")),
        PUBLISHED.map(|name| name.replace("idx1-ubyte", "idx1-int")),
    ];
    for names in forms {
        let folder = Folder::new();
        write(&folder, names.each_ref().map(String::as_str));
        assert_eq!(mnist(&folder.0)?, expected, "{names:?}");
        fs::rename(&folder.0, published.0.join("mnist")).expect("the folder can be moved");
        assert_eq!(PublicDataset::Mnist.read(&published.0)?, expected, "{names:?}");
        fs::rename(published.0.join("mnist"), &folder.0).expect("the folder can be moved");
        if !names[0].contains("qmnist") && !names[0].to_lowercase().starts_with("mnist/") {
            let fashion = fashion_mnist(&folder.0)?;
            assert_eq!(fashion.train.class_names().expect("they are known"), FASHION_MNIST_CLASSES);
        }
    }
    Ok(())
}

#[test]
fn of_several_sets_the_one_asked_for_is_read() -> Result<()> {
    let folder = Folder::new();
    write(&folder, within("clothes/", PUBLISHED).each_ref().map(String::as_str));
    mnist(&folder.0)?;
    write(&folder, within("digits/", PUBLISHED).each_ref().map(String::as_str));
    let message = corrupt(mnist(&folder.0));
    assert!(message.contains("digits") && message.contains("clothes"), "{message}");
    folder.write("digits/train-labels-idx1-ubyte", &idx(8, &[2], &[5, 5]));
    fs::rename(folder.0.join("digits"), folder.0.join("MNIST")).expect("the folder can be moved");
    assert_eq!(mnist(&folder.0)?.train.labels(), [5, 5]);
    // What is in the folder itself comes before what is within.
    write(&folder, PUBLISHED);
    assert_eq!(mnist(&folder.0)?.train.labels(), [7, 1]);
    Ok(())
}

/// What is missing, by an [`Error::Io`].
fn not_found<T: std::fmt::Debug>(result: Result<T>) -> String {
    match result {
        Err(Error::Io { source, .. }) => source.to_string(),
        other => panic!("Error::Io expected, {other:?} found"),
    }
}

#[test]
fn a_folder_called_as_another_set_is_passed_by() -> Result<()> {
    type Read = fn(&std::path::Path) -> Result<retape::data::TrainTest>;
    let digits: Read = |folder| mnist(folder);
    let clothes: Read = |folder| fashion_mnist(folder);
    for (read, own, others) in [
        (clothes, "FashionMNIST/raw/", ["mnist/", "MNIST/raw/", "kmnist/", "data/EMNIST/", "mnist_gz/"]),
        (digits, "MNIST/raw/", ["fashion/", "FashionMNIST/raw/", "fashion_mnist/", "KMNIST/raw/", "qmnist/"]),
    ] {
        for other in others {
            let folder = Folder::new();
            write(&folder, within(other, PUBLISHED).each_ref().map(String::as_str));
            let message = not_found(read(&folder.0));
            for name in
                ["`train-images-idx3-ubyte`", "`train-images.idx3-ubyte.gz`", other.trim_end_matches('/')]
            {
                assert!(message.contains(name), "{other}: {message}");
            }
            // The folder itself is taken at its word, and so is one whose name says nothing.
            assert_eq!(read(&folder.0.join(other))?.train.labels(), [7, 1]);
            write(&folder, within("data/set/", PUBLISHED).each_ref().map(String::as_str));
            folder.write("data/set/train-labels-idx1-ubyte", &idx(8, &[2], &[4, 5]));
            assert_eq!(read(&folder.0)?.train.labels(), [4, 5], "{other}");
            write(&folder, within(own, PUBLISHED).each_ref().map(String::as_str));
            folder.write(&format!("{own}train-labels-idx1-ubyte"), &idx(8, &[2], &[6, 6]));
            assert_eq!(read(&folder.0)?.train.labels(), [6, 6], "{other}");
        }
    }
    // Files that say themselves which set they are of are taken from anywhere.
    let folder = Folder::new();
    let names = within("fashion/qmnist-", PUBLISHED).map(|name| name.replace("t10k", "test"));
    write(&folder, names.each_ref().map(String::as_str));
    assert_eq!(mnist(&folder.0)?.train.labels(), [7, 1]);
    assert!(matches!(PublicDataset::FashionMnist.read(&folder.0), Err(Error::Fetch(_))));
    Ok(())
}

#[test]
fn a_set_in_two_folders_is_one() -> Result<()> {
    for [train, test] in [["train/", "test/"], ["MNIST/train/", "MNIST/test/"], ["", "test/"], ["train/", ""]]
    {
        let folder = Folder::new();
        let [a, b, c, d] = PUBLISHED;
        let names = [[train, a], [train, b], [test, c], [test, d]].map(|name| name.concat());
        write(&folder, names.each_ref().map(String::as_str));
        let data = mnist(&folder.0)?;
        assert_eq!((data.train.labels(), data.test.labels()), (&[7, 1][..], &[3][..]), "{train} {test}");
        fs::remove_file(folder.0.join(&names[3])).expect("it is there");
        let message = not_found(mnist(&folder.0));
        assert!(message.contains("`t10k-labels-idx1-ubyte`"), "{message}");
    }
    // Two that have the same part are two.
    let folder = Folder::new();
    write(&folder, ["one/train-images-idx3-ubyte", "one/train-labels-idx1-ubyte", "unused", "unused"]);
    write(&folder, within("two/", PUBLISHED).each_ref().map(String::as_str));
    assert!(corrupt(mnist(&folder.0)).contains("several sets are within"));
    Ok(())
}

#[test]
fn a_missing_file_is_called_by_all_its_names() {
    let folder = Folder::new();
    let message = not_found::<retape::data::TrainTest>;
    let none = message(mnist(&folder.0));
    for name in [
        "train-images-idx3-ubyte",
        "train-images.idx3-ubyte",
        "qmnist-train-images-idx3-ubyte",
        "emnist-digits-train-images-idx3-ubyte",
    ] {
        assert!(none.contains(&format!("`{name}`")) && none.contains(&format!("`{name}.gz`")), "{none}");
    }
    write(&folder, within("deeper/", DOTTED).each_ref().map(String::as_str));
    fs::remove_file(folder.0.join("deeper/t10k-labels.idx1-ubyte")).expect("it is there");
    let one = message(mnist(&folder.0));
    for name in [
        "t10k-labels-idx1-ubyte",
        "t10k-labels.idx1-ubyte.gz",
        "test-labels-idx1-ubyte",
        "t10k-labels.idx1-int",
    ] {
        assert!(one.contains(&format!("`{name}`")), "{one}");
    }
    assert!(!one.contains("qmnist") && !one.contains("train-images"), "{one}");
    let letters = message(emnist(&folder.0, EmnistSplit::Letters));
    assert!(letters.contains("`emnist-letters-train-images-idx3-ubyte.gz`"), "{letters}");
}

#[test]
fn qmnist_has_rows_of_numbers_for_labels() -> Result<()> {
    let folder = Folder::new();
    let names = ["qmnist-train-images-idx3-ubyte", "unused", "qmnist-test-images-idx3-ubyte", "unused"];
    write(&folder, names);
    let rows = |labels: &[i32]| {
        let numbers = labels.iter().flat_map(|&label| [label, 4, 2100, 3, -1, 0, 0, 0]);
        idx(0x0c, &[labels.len() as u32, 8], &numbers.flat_map(i32::to_be_bytes).collect::<Vec<_>>())
    };
    folder.write("qmnist-train-labels-idx2-int", &rows(&[9, 0]));
    let test = folder.write("qmnist-test-labels-idx2-int", &rows(&[4]));
    for data in [qmnist(&folder.0)?, mnist(&folder.0)?] {
        assert_eq!((data.train.labels(), data.test.labels()), (&[9, 0][..], &[4][..]));
        assert_eq!((data.train.classes(), data.input_shape()), (10, Shape::from([1, 2, 3])));
    }
    folder.write("qmnist-test-labels-idx2-int", &rows(&[-7]));
    assert_eq!(corrupt(qmnist(&folder.0)), "label 0 is -7, below 0");
    folder.write("qmnist-test-labels-idx2-int", &rows(&[10]));
    let wrong = qmnist(&folder.0);
    assert!(matches!(&wrong, Err(Error::LabelOutOfRange { label: 10, limit: 10, .. })), "{wrong:?}");
    folder.write("qmnist-test-labels-idx2-int", &rows(&[1, 2]));
    assert!(corrupt(qmnist(&folder.0)).starts_with("2 labels, 1 expected"));
    fs::write(test, idx(0x0d, &[1], &1f32.to_be_bytes())).expect("the file can be written");
    assert_eq!(corrupt(qmnist(&folder.0)), "its elements are no integers, as labels are");
    folder.write("qmnist-test-images-idx3-ubyte", &idx(0x0c, &[1, 2, 3], &[0; 24]));
    assert!(corrupt(qmnist(&folder.0)).contains("no unsigned bytes"));
    Ok(())
}

#[test]
fn emnist_is_turned_upright() -> Result<()> {
    let folder = Folder::new();
    for split in ["letters", "digits"] {
        let names = PUBLISHED.map(|name| format!("gzip/emnist-{split}-{}", name.replace("t10k", "test")));
        write(&folder, names.each_ref().map(String::as_str));
    }
    folder.write("gzip/emnist-letters-train-labels-idx1-ubyte", &idx(8, &[2], &[26, 1]));
    let letters = emnist(&folder.0, EmnistSplit::Letters)?;
    assert_eq!((letters.train.labels(), letters.test.labels()), (&[25, 0][..], &[2][..]));
    let names = letters.train.class_names().expect("they are known");
    assert_eq!((names.len(), names[0].as_str(), names[25].as_str()), (26, "A", "Z"));
    // The file's rows are the image's columns.
    assert_eq!(letters.input_shape(), Shape::from([1, 3, 2]));
    assert_eq!(
        letters.train.input(0),
        [0.0, 153.0, 51.0, 204.0, 102.0, 255.0].map(|pixel: f32| pixel / 255.0)
    );
    let digits = emnist(&folder.0, EmnistSplit::Digits)?;
    assert_eq!((digits.train.labels(), digits.train.inputs()), (&[7, 1][..], letters.train.inputs()));
    assert_eq!(mnist(&folder.0)?.train.inputs(), digits.train.inputs());
    for (split, classes) in [
        (EmnistSplit::ByClass, 62),
        (EmnistSplit::ByMerge, 47),
        (EmnistSplit::Balanced, 47),
        (EmnistSplit::Mnist, 10),
    ] {
        assert_eq!(split.class_names().len(), classes);
    }
    folder.write("gzip/emnist-letters-test-labels-idx1-ubyte", &idx(8, &[1], &[0]));
    assert!(corrupt(emnist(&folder.0, EmnistSplit::Letters)).contains("below 1"));
    folder.write("gzip/emnist-letters-test-labels-idx1-ubyte", &idx(8, &[1], &[27]));
    let wrong = emnist(&folder.0, EmnistSplit::Letters);
    assert!(matches!(&wrong, Err(Error::LabelOutOfRange { label: 27, .. })), "{wrong:?}");
    Ok(())
}

#[test]
fn elements_of_every_type_are_read() -> Result<()> {
    let folder = Folder::new();
    let read = |dtype: u8, bytes: &[u8], count: u32| {
        Ok(read_idx(folder.write("file", &idx(dtype, &[count], bytes)))?.data)
    };
    let two = |bytes: [[u8; 4]; 2]| bytes.concat();
    assert_eq!(read(0x08, &[1, 255], 2)?, IdxData::U8(vec![1, 255]));
    assert_eq!(read(0x09, &[1, 255], 2)?, IdxData::I8(vec![1, -1]));
    assert_eq!(read(0x0b, &[1, 2, 255, 254], 2)?, IdxData::I16(vec![258, -2]));
    assert_eq!(read(0x0c, &two([[0, 0, 1, 0], [255; 4]]), 2)?, IdxData::I32(vec![256, -1]));
    assert_eq!(
        read(0x0d, &two([1.5f32.to_be_bytes(), (-2f32).to_be_bytes()]), 2)?,
        IdxData::F32(vec![1.5, -2.0])
    );
    assert_eq!(read(0x0e, &0.1f64.to_be_bytes(), 1)?, IdxData::F64(vec![0.1]));
    assert!(corrupt(read(0x0c, &[0; 7], 2)).contains("truncated: 1 elements, 2 expected"));
    assert!(corrupt(read(0x0c, &[0; 9], 2)).contains("trailing bytes"));
    Ok(())
}
