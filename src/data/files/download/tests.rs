#[path = "../../../../tests/common/folder.rs"]
mod folder;
#[path = "../../../../tests/common/server.rs"]
mod server;

use std::ffi::OsString;
use std::fs;
use std::path::PathBuf;

use folder::Folder;
use server::{Server, answer, cut, ranged, refused, sha256, whole};

use super::{CIFAR10, CIFAR100, Download, FASHION_MNIST, IMDB, MNIST, Set, default_folder_in, reader};
use crate::data::{Cifar100Labels, PublicDataset, TrainTest};
use crate::error::{Error, FetchError, Result};

/// Four files in MNIST's format: three images to learn from and two to judge by.
fn files() -> [Vec<u8>; 4] {
    let idx = |dims: &[u32], data: &[u8]| {
        let sizes = dims.iter().flat_map(|size| size.to_be_bytes());
        [0, 0, 8, dims.len() as u8].into_iter().chain(sizes).chain(data.iter().copied()).collect::<Vec<u8>>()
    };
    [idx(&[3, 4, 4], &[7; 48]), idx(&[3], &[0, 9, 4]), idx(&[2, 4, 4], &[255; 32]), idx(&[2], &[1, 2])]
}

/// The name of one of the files, in the set's folder among others.
fn name(index: usize) -> String {
    format!("{}/{}", MNIST.folder, MNIST.files[index].0)
}

/// Loads the set of these files from a folder, or from the server with this file into it.
fn load(folder: &Folder, url: &str) -> Result<TrainTest> {
    let sums = files().map(|bytes| (sha256(&bytes), bytes.len() as u64));
    let named = MNIST.files.iter().zip(&sums);
    let files: Vec<_> = named.map(|((name, ..), (sum, length))| (*name, sum.as_str(), *length)).collect();
    let set = Set { mirrors: &[], files: &files, ..MNIST };
    let download = Download::new().folder(&folder.0).mirrors(&[url.trim_end_matches("file.bin")]);
    download.load(&set, &folder.0, reader(PublicDataset::Mnist, Cifar100Labels::Fine))
}

fn assert_is_set(data: &TrainTest) {
    assert_eq!((data.train.labels(), data.test.labels()), (&[0, 9, 4][..], &[1, 2][..]));
    assert_eq!((data.train.input(0)[0], data.test.input(1)[0]), (7.0 / 255.0, 1.0));
}

/// A server that nobody may ask.
fn idle() -> Server {
    Server::new(|_, _| answer("404 Not Found", "", b""))
}

#[test]
fn a_set_that_is_there_is_not_fetched() -> Result<()> {
    let server = idle();
    // Packed or not, and with other sums than those that are published.
    for ending in ["", ".gz"] {
        let folder = Folder::new();
        for (index, bytes) in files().iter().enumerate() {
            folder.write(&format!("{}{ending}", name(index).trim_end_matches(".gz")), bytes);
        }
        assert_is_set(&load(&folder, &server.url())?);
        assert_is_set(&PublicDataset::Mnist.load(Some(&folder.0))?);
    }
    assert_eq!(server.starts(), []);
    Ok(())
}

#[test]
fn a_set_is_fetched_on_from_where_it_broke_off() -> Result<()> {
    for broken in 0..4 {
        // A load fails within this file; the next one gets everything.
        let server = Server::new(move |count, start| match count {
            _ if count < broken => whole(&files()[count]),
            _ if count == broken => cut(whole(&files()[broken]), 2),
            _ if count == broken + 1 => answer("404 Not Found", "", b"not here"),
            _ => ranged(&files()[count - 2], start),
        });
        let folder = Folder::new();
        let failed = load(&folder, &server.url());
        assert!(matches!(&failed, Err(Error::Fetch(FetchError::Failed { .. }))), "{failed:?}");
        let there = files()[broken].len() - 2;
        let part = fs::read(folder.0.join(format!("{}.part", name(broken)))).expect("a part is left");
        assert!(part == files()[broken][..there] && !folder.0.join(name(broken)).exists());

        assert_is_set(&load(&folder, &server.url())?);
        let mut expected = vec![None; broken + 1];
        expected.extend([Some(there); 2]);
        expected.extend(vec![None; 3 - broken]);
        assert_eq!(server.starts(), expected);
        assert_is_set(&load(&folder, &server.url())?);
        assert_eq!(server.starts(), expected, "it is there");
    }
    Ok(())
}

#[test]
fn without_a_network_each_load_says_what_to_do() {
    let folder = Folder::new();
    let url = refused();
    for index in [0, 0, 1, 1] {
        // The file that was asked for is put there by hand.
        if index > 0 {
            folder.write(&name(index - 1), &files()[index - 1]);
        }
        let error = load(&folder, &url).expect_err("there is no such server");
        assert!(
            matches!(&error, Error::Fetch(FetchError::Failed { path, .. }) if *path == folder.0.join(name(index))),
            "{error}"
        );
        assert!(error.to_string().contains("by hand"), "{error}");
    }
}

/// A file's name and bytes.
type File<'a> = (String, &'a [u8]);

#[test]
fn files_of_another_origin_are_left_alone() {
    let server = idle();
    let [images, labels, ..] = files();
    let damaged = &images[..images.len() - 1];
    let unpacked = name(1).trim_end_matches(".gz").to_owned();
    let cases: [(&[File<'_>], bool); 4] = [
        // All of them, one damaged.
        (&[(name(0), damaged), (name(1), &labels), (name(2), &images), (name(3), &labels)], true),
        // Some of them, one damaged or another one.
        (&[(name(0), damaged), (name(1), &labels)], true),
        // Some of them, as published, or unpacked.
        (&[(name(0), &images), (unpacked.clone(), &labels)], false),
        (&[(unpacked, &labels)], false),
    ];
    for (files, is_corrupt) in cases {
        let folder = Folder::new();
        files.iter().for_each(|(name, bytes)| drop(folder.write(name, bytes)));
        match load(&folder, &server.url()) {
            Err(Error::Corrupt { path, .. }) if is_corrupt => assert_eq!(path, folder.0.join(name(0))),
            Err(Error::Io { path, .. }) if !is_corrupt => assert_eq!(path, folder.0.join(MNIST.folder)),
            other => panic!("the reader's error expected, {other:?} found"),
        }
        for (name, bytes) in files {
            assert!(fs::read(folder.0.join(name)).is_ok_and(|found| found == *bytes), "{name}");
        }
    }
    assert_eq!(server.starts(), []);
}

#[test]
fn the_default_folder_is_named_or_in_the_cache() -> Result<()> {
    let named = |value: &'static str| {
        move |name: &str| {
            assert_eq!(name, "RETAPE_DATA");
            Some(OsString::from(value))
        }
    };
    let cache = || Some(PathBuf::from("cache"));
    let inner = PathBuf::from("cache").join("retape");
    assert_eq!(default_folder_in(named("sets"), cache)?, PathBuf::from("sets"));
    assert_eq!(default_folder_in(named("sets"), || None)?, PathBuf::from("sets"));
    assert_eq!(default_folder_in(|_| None, cache)?, inner);
    // An empty value is none.
    assert_eq!(default_folder_in(named(""), cache)?, inner);
    for value in [None, Some(OsString::new())] {
        let neither = default_folder_in(|_| value.clone(), || None);
        assert!(matches!(&neither, Err(Error::Argument { argument: "RETAPE_DATA", .. })), "{neither:?}");
    }
    if let Some(system) = dirs::cache_dir() {
        assert_eq!(default_folder_in(|_| None, dirs::cache_dir)?, system.join("retape"));
    }
    Ok(())
}

#[test]
fn sets_are_asked_for_in_secret_first() {
    for set in [MNIST, FASHION_MNIST, CIFAR10, CIFAR100, IMDB] {
        assert!(set.mirrors.is_sorted_by_key(|mirror| !mirror.starts_with("https://")), "{:?}", set.mirrors);
        assert!(
            set.mirrors[0].starts_with("https://") && set.mirrors.iter().all(|mirror| mirror.ends_with('/'))
        );
        for (name, sum, bytes) in set.files {
            assert!(sum.len() == 64 && sum.bytes().all(|digit| digit.is_ascii_hexdigit()), "{name}");
            assert!((4000..200_000_000).contains(bytes), "{name}");
        }
    }
}
