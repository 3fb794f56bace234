//! The methods of `Graph` come in a handful of groups, which its documentation lists.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

/// The most groups.
const LIMIT: usize = 13;

fn sources(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).expect("it is a folder") {
        let path = entry.expect("it can be listed").path();
        if path.is_dir() { sources(&path, found) } else { found.push(path) }
    }
}

/// What rustdoc calls a heading's place.
fn anchor(heading: &str) -> String {
    heading.to_lowercase().replace(' ', "-").replace(',', "")
}

#[test]
fn the_methods_of_graph_come_in_a_handful_of_groups() {
    let (root, mut files) = (Path::new(env!("CARGO_MANIFEST_DIR")).join("src"), Vec::new());
    sources(&root, &mut files);
    let mut groups = Vec::new();
    for file in files {
        let text = fs::read_to_string(&file).expect("it is text");
        let (mut heading, mut lines) = (None, text.lines());
        while let Some(line) = lines.next() {
            let is_block = line.trim_start().starts_with("impl Graph {");
            match line.trim_start().strip_prefix("///") {
                Some(doc) => heading = heading.or(doc.strip_prefix(" # ")),
                None if line == "impl Graph {" => {
                    let inside = lines.by_ref().take_while(|line| *line != "}");
                    let public = inside.filter(|line| line.starts_with("    pub fn ")).count();
                    assert_eq!(
                        public > 0,
                        heading.is_some(),
                        "a heading for public methods: {}",
                        file.display()
                    );
                    groups.extend(heading.take().map(anchor));
                }
                None if is_block => groups.extend(heading.take().map(anchor)),
                None => heading = None,
            }
        }
    }
    assert!(groups.len() <= LIMIT, "{} groups: {groups:?}", groups.len());
    let page = fs::read_to_string(root.join("graph/mod.rs")).expect("it is text");
    let links =
        page.split("](#").skip(1).filter_map(|rest| rest.split_once(')')).map(|link| link.0.to_owned());
    assert_eq!(links.collect::<BTreeSet<_>>(), groups.iter().cloned().collect(), "what `Graph` lists");
}
