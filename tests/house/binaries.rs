//! The integration tests are few binaries, each of which links wgpu, and hold all that lies in their folders.

use std::fs;
use std::path::{Path, PathBuf};

const LIMIT: usize = 15;

fn listed(folder: &Path) -> Vec<PathBuf> {
    fs::read_dir(folder).expect("it is there").map(|entry| entry.expect("it can be listed").path()).collect()
}

fn is_rust(path: &Path) -> bool {
    path.extension().is_some_and(|e| e == "rs")
}

#[test]
fn binaries_are_few_and_whole() {
    let tests = listed(&Path::new(env!("CARGO_MANIFEST_DIR")).join("tests"));
    let areas: Vec<_> = tests.iter().filter(|path| path.join("main.rs").is_file()).collect();
    let binaries = areas.len() + tests.iter().filter(|path| is_rust(path)).count();
    assert!(
        (10..=LIMIT).contains(&binaries),
        "{binaries} binaries of tests: at most {LIMIT}, one for each area"
    );

    for area in areas {
        let main = fs::read_to_string(area.join("main.rs")).expect("it can be read");
        for file in listed(area).iter().filter(|path| is_rust(path) && !path.ends_with("main.rs")) {
            let name = file.file_stem().and_then(|n| n.to_str()).expect("names are UTF-8");
            let declared = main.lines().any(|line| line == format!("mod {name};"));
            assert!(declared, "`mod {name};` is missing in {}/main.rs: its tests never run", area.display());
        }
    }
}
