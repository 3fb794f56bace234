//! Files fetched from servers of the tests' own: whole, in parts, from several addresses, by several at a
//! time, and what is said where none gives them.
#![cfg(feature = "download")]

use std::fs;
use std::path::Path;
use std::thread;
use std::time::Duration;

use crate::folder::Folder;
use crate::server::{Server, answer, cut, ranged, refused, rest, sha256, whole};
use retape::data::Cifar100Labels;
use retape::data::download::{Download, Progress, fetch};
use retape::{Error, FetchError, Result};

/// 300,000 bytes without a pattern.
fn contents() -> Vec<u8> {
    (0..300_000u32).map(|i| (i.wrapping_mul(2_654_435_761) >> 13) as u8).collect()
}

/// Fetches `contents` without a report.
fn get(urls: &[&str], destination: &Path) -> Result<()> {
    fetch(urls, destination, &sha256(&contents()), 400_000, &mut |_| {})
}

/// Fails unless the file is there, whole, and nothing else but the lock.
fn assert_fetched(folder: &Folder) {
    let found = fs::read(folder.0.join("file.bin")).expect("the file was fetched");
    assert!(found == contents(), "the file is another one, of {} bytes", found.len());
    assert!(!folder.0.join("file.bin.part").exists());
}

#[test]
fn a_file_is_fetched_once() -> Result<()> {
    let server = Server::new(|_, start| ranged(&contents(), start));
    let folder = Folder::new();
    let path = folder.0.join("deeper/file.bin");
    let mut reports = Vec::new();
    let mut report = |progress: Progress<'_>| {
        assert_eq!(progress.path, path);
        assert_eq!(progress.total, Some(300_000));
        reports.push(progress.bytes);
    };
    fetch(&[&server.url()], &path, &sha256(&contents()), 300_000, &mut report)?;
    assert_eq!((reports.first(), reports.last()), (Some(&0), Some(&300_000)));
    assert!(reports.len() > 2 && reports.is_sorted(), "{reports:?}");
    assert!(fs::read(&path).expect("the file was fetched") == contents());

    // Sums may be written in capitals.
    fetch(&[&server.url()], &path, &sha256(&contents()).to_uppercase(), 300_000, &mut |_| {
        panic!("nothing is fetched")
    })?;
    get(&[], &path)?;
    assert_eq!(server.starts(), [None]);
    Ok(())
}

#[test]
fn a_damaged_file_is_replaced() -> Result<()> {
    let server = Server::new(|_, start| ranged(&contents(), start));
    let folder = Folder::new();
    let path = folder.write("file.bin", &contents()[1..]);
    get(&[&server.url()], &path)?;
    assert_eq!(server.starts(), [None]);
    assert_fetched(&folder);
    Ok(())
}

#[test]
fn a_broken_connection_is_resumed() -> Result<()> {
    let server = Server::new(|count, start| match count {
        0 => cut(ranged(&contents(), start), 200_000),
        1 => cut(ranged(&contents(), start), 50_000),
        _ => ranged(&contents(), start),
    });
    let folder = Folder::new();
    let (path, mut begun) = (folder.0.join("file.bin"), Vec::new());
    let mut last = 0;
    fetch(&[&server.url()], &path, &sha256(&contents()), 300_000, &mut |progress| {
        assert_eq!(progress.total, Some(300_000));
        if progress.bytes == last || begun.is_empty() {
            begun.push(progress.bytes);
        }
        last = progress.bytes;
    })?;
    assert_fetched(&folder);
    assert_eq!(server.starts(), [None, Some(100_000), Some(250_000)]);
    assert_eq!(begun, [0, 100_000, 250_000]);
    Ok(())
}

#[test]
fn the_part_of_an_earlier_run_is_resumed() -> Result<()> {
    let server = Server::new(|_, start| ranged(&contents(), start));
    let folder = Folder::new();
    folder.write("file.bin.part", &contents()[..12_345]);
    get(&[&server.url()], &folder.0.join("file.bin"))?;
    assert_fetched(&folder);
    assert_eq!(server.starts(), [Some(12_345)]);

    // A process may have ended between the last byte and the name.
    fs::rename(folder.0.join("file.bin"), folder.0.join("file.bin.part")).expect("the file was fetched");
    get(&[&server.url()], &folder.0.join("file.bin"))?;
    assert_fetched(&folder);
    assert_eq!(server.starts().len(), 1);
    Ok(())
}

#[test]
fn a_server_without_ranges_starts_again() -> Result<()> {
    let server = Server::new(|count, _| match count {
        0 => cut(whole(&contents()), 100_000),
        _ => whole(&contents()),
    });
    let folder = Folder::new();
    folder.write("file.bin.part", &contents()[..250_000]);
    get(&[&server.url()], &folder.0.join("file.bin"))?;
    assert_fetched(&folder);
    assert_eq!(server.starts(), [Some(250_000), Some(200_000)]);
    Ok(())
}

#[test]
fn parts_that_do_not_fit_are_dropped() -> Result<()> {
    let too_long = [contents(), vec![0; 5]].concat();
    let other = vec![7; 1000];
    let shifted = |start: Option<usize>| match start {
        Some(_) => rest(&contents(), 10),
        None => whole(&contents()),
    };
    let beyond = |start: Option<usize>| match start {
        Some(_) => answer("416 Range Not Satisfiable", "", b""),
        None => whole(&contents()),
    };
    type Answer = Box<dyn Fn(Option<usize>) -> Vec<u8> + Send>;
    let cases: [(&[u8], Answer); 3] = [
        (&too_long, Box::new(beyond)),
        (&other, Box::new(|start| ranged(&contents(), start))),
        (&contents()[..1000], Box::new(shifted)),
    ];
    for (part, answer) in cases {
        let server = Server::new(move |_, start| answer(start));
        let folder = Folder::new();
        folder.write("file.bin.part", part);
        get(&[&server.url()], &folder.0.join("file.bin"))?;
        assert_fetched(&folder);
        assert_eq!(server.starts(), [Some(part.len()), None]);
    }
    Ok(())
}

#[test]
fn a_wrong_sum_leaves_nothing() {
    let server = Server::new(|_, start| ranged(b"<html>please sign in</html>", start));
    for before in [None, Some(b"damaged")] {
        let folder = Folder::new();
        let path = folder.0.join("file.bin");
        if let Some(before) = before {
            folder.write("file.bin", before);
        }
        match get(&[&server.url()], &path) {
            Err(Error::Fetch(FetchError::Checksum { path: at, url, found, expected })) => {
                assert_eq!((at, url), (path.clone(), server.url()));
                assert_eq!(found, sha256(b"<html>please sign in</html>"));
                assert_eq!(expected, sha256(&contents()));
            }
            other => panic!("FetchError::Checksum expected, {other:?} found"),
        }
        let message = get(&[&server.url()], &path).expect_err("the sum is wrong").to_string();
        assert!(message.contains("by hand"), "{message}");
        assert!(!folder.0.join("file.bin.part").exists());
        assert_eq!(fs::read(&path).ok().as_deref(), before.map(|before| &before[..]), "it is left alone");
    }
    assert_eq!(server.starts(), [None; 4]);
}

#[test]
fn a_wrong_file_in_place_of_a_part_is_fetched_once() {
    let server = Server::new(|_, _| whole(b"<html>please sign in</html>"));
    let folder = Folder::new();
    folder.write("file.bin.part", &contents()[..5000]);
    let wrong = get(&[&server.url()], &folder.0.join("file.bin"));
    assert!(matches!(&wrong, Err(Error::Fetch(FetchError::Checksum { .. }))), "{wrong:?}");
    assert_eq!(server.starts(), [Some(5000)]);
    assert!(!folder.0.join("file.bin.part").exists());
}

#[test]
fn the_next_address_is_tried() -> Result<()> {
    let missing = Server::new(|_, _| answer("404 Not Found", "", b"not here"));
    let wrong = Server::new(|_, _| whole(b"something else"));
    let broken = Server::new(|_, start| cut(ranged(&contents(), start), 150_000));
    let good = Server::new(|_, start| ranged(&contents(), start));
    let folder = Folder::new();
    let urls = [refused(), missing.url(), wrong.url(), broken.url(), good.url()];
    get(&urls.each_ref().map(String::as_str), &folder.0.join("file.bin"))?;
    assert_fetched(&folder);
    assert_eq!((missing.starts().len(), wrong.starts().len()), (1, 1));
    // What came from one address is completed from another.
    assert_eq!(broken.starts()[..2], [None, Some(150_000)]);
    assert!(matches!(good.starts()[..], [Some(start)] if start >= 150_000), "{:?}", good.starts());
    Ok(())
}

#[test]
fn a_server_that_always_breaks_off_is_given_up() {
    let server = Server::new(|_, _| cut(whole(&contents()), 299_990));
    let folder = Folder::new();
    match get(&[&server.url()], &folder.0.join("file.bin")) {
        Err(Error::Fetch(FetchError::Failed { failures, .. })) => {
            assert_eq!(failures.len(), 1);
            assert!(failures[0].contains("broken off after 10 bytes"), "{failures:?}");
        }
        other => panic!("FetchError::Failed expected, {other:?} found"),
    }
    assert_eq!(server.starts().len(), 5);
    let part = fs::read(folder.0.join("file.bin.part")).expect("the part is kept for another time");
    assert_eq!(part, contents()[..10]);
}

#[test]
fn without_a_network_the_error_says_what_to_do() {
    let missing = Server::new(|_, _| answer("404 Not Found", "", b"not here"));
    let folder = Folder::new();
    let (path, offline) = (folder.0.join("file.bin"), refused());
    let error = get(&[&offline, &missing.url()], &path).expect_err("there is no such server");
    match &error {
        Error::Fetch(FetchError::Failed { path: at, failures }) => {
            assert_eq!((at, failures.len()), (&path, 2));
            assert!(failures[0].starts_with(&format!("{offline}: ")), "{failures:?}");
            assert!(failures[1].contains("404"), "{failures:?}");
        }
        other => panic!("FetchError::Failed expected, {other:?} found"),
    }
    let message = error.to_string();
    assert!(message.contains(&path.display().to_string()) && message.contains("by hand"), "{message}");
    assert!(!path.exists());

    // A data set names the first of its files.
    let mirror = offline.trim_end_matches("file.bin");
    let sets = [
        (Download::new().folder(&folder.0).mirrors(&[mirror]).mnist(), "mnist/train-images-idx3-ubyte.gz"),
        (
            Download::new().folder(&folder.0).mirrors(&[mirror]).fashion_mnist(),
            "fashion-mnist/train-images-idx3-ubyte.gz",
        ),
        (Download::new().folder(&folder.0).mirrors(&[mirror]).cifar10(), "cifar-10-binary.tar.gz"),
    ];
    let reviews = Download::new().folder(&folder.0).mirrors(&[mirror]).imdb();
    let archive = folder.0.join("imdb/aclImdb_v1.tar.gz");
    assert!(
        matches!(&reviews, Err(Error::Fetch(FetchError::Failed { path, .. })) if *path == archive),
        "{reviews:?}"
    );
    for (set, name) in sets {
        match set {
            Err(Error::Fetch(FetchError::Failed { path, failures })) => {
                assert_eq!(path, folder.0.join(name));
                assert!(failures[0].contains(name.rsplit('/').next().unwrap_or(name)), "{failures:?}");
            }
            other => panic!("FetchError::Failed expected, {other:?} found"),
        }
    }
}

/// Four files in MNIST's format, by their names: one image to learn from, one to judge by.
fn idx_files() -> [(&'static str, Vec<u8>); 4] {
    let idx = |dims: &[u8], data: &[u8]| {
        let sizes = dims.iter().flat_map(|&size| u32::from(size).to_be_bytes());
        [0, 0, 8, dims.len() as u8].into_iter().chain(sizes).chain(data.iter().copied()).collect()
    };
    [
        ("train-images-idx3-ubyte", idx(&[1, 2, 2], &[7; 4])),
        ("train-labels-idx1-ubyte", idx(&[1], &[3])),
        ("t10k-images-idx3-ubyte", idx(&[1, 2, 2], &[9; 4])),
        ("t10k-labels-idx1-ubyte", idx(&[1], &[5])),
    ]
}

#[test]
fn sets_of_another_origin_are_read_and_not_fetched() -> Result<()> {
    let server = Server::new(|_, _| answer("404 Not Found", "", b""));
    let url = server.url();
    let mirror = url.trim_end_matches("file.bin");
    let record = |labels: &[u8]| [labels, &[9; 3072]].concat();
    for ending in ["", ".gz"] {
        let folder = Folder::new();
        for (set, (name, bytes)) in
            ["mnist", "fashion-mnist"].iter().flat_map(|s| idx_files().map(|f| (s, f)))
        {
            folder.write(&format!("{set}/{name}{ending}"), &bytes);
        }
        for (name, labels) in [("10-batches-bin/data_batch_1", &[4][..]), ("10-batches-bin/test_batch", &[6])]
        {
            folder.write(&format!("cifar-{name}.bin"), &record(labels));
        }
        for (name, labels) in [("train", [11, 44]), ("test", [12, 45])] {
            folder.write(&format!("cifar-100-binary/{name}.bin"), &record(&labels));
        }
        let download = || Download::new().folder(&folder.0).mirrors(&[mirror]);
        for data in [download().mnist()?, download().fashion_mnist()?] {
            assert_eq!((data.train.labels(), data.test.labels()), (&[3][..], &[5][..]));
        }
        assert_eq!(download().cifar10()?.test.labels(), [6]);
        assert_eq!(download().cifar100(Cifar100Labels::Fine)?.train.labels(), [44]);
        assert_eq!(download().cifar100(Cifar100Labels::Coarse)?.train.labels(), [11]);
        for (name, bytes) in idx_files() {
            assert!(
                fs::read(folder.0.join(format!("mnist/{name}{ending}"))).is_ok_and(|found| found == bytes)
            );
        }
    }
    assert_eq!(server.starts(), []);
    Ok(())
}

#[test]
fn one_fetches_and_the_others_wait() {
    let server = Server::new(|_, start| {
        thread::sleep(Duration::from_millis(200));
        ranged(&contents(), start)
    });
    let folder = Folder::new();
    let (url, path) = (server.url(), folder.0.join("file.bin"));
    thread::scope(|scope| {
        let fetching: Vec<_> = (0..4).map(|_| scope.spawn(|| get(&[&url], &path))).collect();
        for thread in fetching {
            thread.join().expect("no thread panics").expect("the file can be fetched");
        }
    });
    assert_eq!(server.starts(), [None]);
    assert_fetched(&folder);
}

#[test]
fn a_folder_that_cannot_be_made_is_named() {
    let folder = Folder::new();
    let file = folder.write("file", b"no folder");
    let wrong = get(&[&refused()], &file.join("inner/file.bin"));
    assert!(matches!(&wrong, Err(Error::Io { path, .. }) if path.starts_with(&file)), "{wrong:?}");
}

#[test]
fn no_more_is_fetched_than_a_file_may_have() {
    // Told beforehand, or not: without a length the answer goes on to the end of the connection.
    let told = Server::new(|_, start| ranged(&contents(), start));
    let untold =
        Server::new(|_, _| [&b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n"[..], &contents()].concat());
    for server in [told, untold] {
        let folder = Folder::new();
        let path = folder.write("file.bin.part", &[7; 250_001]).with_extension("");
        let mut most = 0;
        let sum = sha256(&contents());
        let long = fetch(&[&server.url()], &path, &sum, 250_000, &mut |file| most = most.max(file.bytes));
        match long {
            Err(Error::Fetch(FetchError::Failed { failures, .. })) => {
                assert!(failures[0].contains("more than 250000 bytes"), "{failures:?}");
            }
            other => panic!("FetchError::Failed expected, {other:?} found"),
        }
        assert!(most <= 250_000 && !path.exists() && !folder.0.join("file.bin.part").exists(), "{most}");
        assert_eq!(server.starts(), [None]);
    }
}

#[test]
fn reviews_that_are_there_are_read_and_not_fetched() -> Result<()> {
    let server = Server::new(|_, _| answer("404 Not Found", "", b""));
    let url = server.url();
    for inner in ["imdb/aclImdb", "aclImdb"] {
        let folder = Folder::new();
        for place in ["train/neg", "train/pos", "test/neg", "test/pos"] {
            folder.write(&format!("{inner}/{place}/0.txt"), place.as_bytes());
        }
        let download = Download::new().folder(&folder.0).mirrors(&[url.trim_end_matches("file.bin")]);
        assert_eq!(download.imdb()?.train.texts(), ["train/neg", "train/pos"]);
    }
    assert_eq!(server.starts(), []);
    Ok(())
}
