//! Which file imports which: rooms are in an order, and no lower one imports a higher one.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;

/// The rooms from the lowest up. A room may import itself and those before it.
const ROOMS: [&[&str]; 13] = [
    &["compare", "dtype", "error", "files", "random", "shape"],
    &["array"],
    &["kernel"],
    &["graph"],
    &["ops"],
    &["tape"],
    &["executor"],
    &["session"],
    &["data"],
    &["nn"],
    &["train"],
    &["plot"],
    &["testing"],
];

/// The most files that import each other in a circle: a graph and what is recorded into it.
const LARGEST_CIRCLE: usize = 10;

/// The most imports that climb.
const CLIMBING: usize = 0;

/// A module's path: `["ops", "pool", "max"]`; the crate's is empty.
type Module = Vec<String>;

/// How a file comes to a path.
#[derive(Clone, Copy, PartialEq, Eq)]
enum How {
    /// `pub use`.
    PassedOn,
    /// `use`.
    Imported,
    /// In an expression.
    Named,
}

struct Source {
    /// The paths of all its imports, from the crate's root.
    imports: Vec<Module>,
    /// Where the names come from that it imports: other files may import them from it.
    passed_on: BTreeMap<String, Module>,
}

/// The text without comments and without its tests.
fn code(text: &str) -> String {
    let text = text.split("\n#[cfg(test)]\nmod ").next().unwrap_or_default();
    let line = |line: &str| line.split("//").next().unwrap_or_default().to_owned() + "\n";
    text.lines().map(line).collect()
}

/// The single paths of an import such as `a::{b, c::{d, e as f}}`.
fn expand(import: &str, before: &[&str], found: &mut Vec<(Vec<String>, String)>) {
    let import = import.trim();
    if let Some((head, rest)) = import.split_once('{') {
        let mut path = before.to_vec();
        path.extend(head.split("::").map(str::trim).filter(|part| !part.is_empty()));
        let inner = rest.rsplit_once('}').map_or(rest, |(inner, _)| inner);
        let (mut depth, mut start) = (0, 0);
        for (at, letter) in inner.char_indices().chain([(inner.len(), ',')]) {
            match letter {
                '{' => depth += 1,
                '}' => depth -= 1,
                ',' if depth == 0 => {
                    expand(&inner[start..at.min(inner.len())], &path, found);
                    start = at + 1;
                }
                _ => {}
            }
        }
        return;
    }
    if import.is_empty() {
        return;
    }
    let (path, name) = import.split_once(" as ").unwrap_or((import, ""));
    let parts = before.iter().copied().chain(path.split("::").map(str::trim));
    let parts: Vec<String> = parts.filter(|part| *part != "self").map(str::to_owned).collect();
    let name =
        if name.is_empty() { parts.last().cloned().unwrap_or_default() } else { name.trim().to_owned() };
    found.push((parts, name));
}

/// Every `use` of a file, which the modules below may import from it, and every path within its code.
fn paths(code: &str) -> Vec<(Vec<String>, String, How)> {
    let mut all = Vec::new();
    let mut rest = String::new();
    for statement in code.split_inclusive(';') {
        let lines = statement.trim_start();
        let at = ["use ", "pub use ", "pub(crate) use ", "pub(super) use "].iter().find_map(|head| {
            let at = lines
                .rfind(&format!("\n{head}"))
                .map(|at| at + 1)
                .or(lines.starts_with(head).then_some(0))?;
            Some((at, head.len(), head.starts_with("pub")))
        });
        match at {
            Some((at, head, public)) => {
                rest.push_str(&lines[..at]);
                let mut found = Vec::new();
                expand(lines[at + head..].trim_end_matches(';'), &[], &mut found);
                let how = if public { How::PassedOn } else { How::Imported };
                all.extend(found.into_iter().map(|(path, name)| (path, name, how)));
            }
            None => rest.push_str(lines),
        }
    }
    let is_part = |c: char| c.is_alphanumeric() || c == '_' || c == ':';
    for token in rest.split(|c| !is_part(c)).filter(|token| token.contains("::")) {
        let parts: Vec<String> = token.split("::").map(str::to_owned).collect();
        if matches!(parts[0].as_str(), "crate" | "super") {
            let name = parts.last().cloned().unwrap_or_default();
            all.push((parts, name, How::Named));
        }
    }
    all
}

/// All files under `src`, by module.
fn sources(root: &Path) -> BTreeMap<Module, Source> {
    let mut texts: BTreeMap<Module, String> = BTreeMap::new();
    let mut folders = vec![root.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).expect("it is a folder") {
            let path = entry.expect("it is readable").path();
            if path.is_dir() {
                folders.push(path);
                continue;
            }
            let within = path.strip_prefix(root).expect("it is below").with_extension("");
            let mut module: Module = within.iter().map(|part| part.to_string_lossy().into_owned()).collect();
            if matches!(module.last().map(String::as_str), Some("mod" | "lib")) {
                module.pop();
            }
            if module.last().is_none_or(|last| last != "tests") {
                texts.insert(module, code(&fs::read_to_string(&path).expect("it is text")));
            }
        }
    }
    let modules: BTreeSet<Module> = texts.keys().cloned().collect();
    let read = |(module, text): (&Module, &String)| {
        let (mut imports, mut passed_on) = (Vec::new(), BTreeMap::new());
        for (path, name, how) in paths(text) {
            let mut base = module.clone();
            let mut parts = path.as_slice();
            match parts[0].as_str() {
                "crate" => (base, parts) = (Vec::new(), &parts[1..]),
                "super" => {
                    while parts.first().is_some_and(|part| part == "super") {
                        base.pop();
                        parts = &parts[1..];
                    }
                }
                // A module of this one; anything else is another crate's.
                first if !modules.contains(&[&module[..], &[first.to_owned()]].concat()) => continue,
                _ => {}
            }
            let full = [base, parts.to_vec()].concat();
            if how != How::Named {
                passed_on.insert(name, full.clone());
            }
            // A name that is only passed on is nothing that the file itself needs.
            if how != How::PassedOn {
                imports.push(full);
            }
        }
        (module.clone(), Source { imports, passed_on })
    };
    texts.iter().map(read).collect()
}

/// The file that defines what a path names.
fn definition(sources: &BTreeMap<Module, Source>, path: &[String]) -> Option<Module> {
    let mut path = path.to_vec();
    for _ in 0..16 {
        let depth = (0..=path.len()).rev().find(|&depth| sources.contains_key(&path[..depth]))?;
        let module = &path[..depth];
        match path.get(depth).and_then(|name| sources[module].passed_on.get(name)) {
            Some(further) if further[..] != path[..] => path = [&further[..], &path[depth + 1..]].concat(),
            _ => return Some(module.to_vec()),
        }
    }
    None
}

/// What each file imports: the files that define it.
fn imports(sources: &BTreeMap<Module, Source>) -> BTreeMap<Module, BTreeSet<Module>> {
    let of = |(module, source): (&Module, &Source)| {
        let targets = source.imports.iter().filter_map(|path| definition(sources, path));
        (module.clone(), targets.filter(|target| target != module && !target.is_empty()).collect())
    };
    // The crate's root only passes names on.
    sources.iter().filter(|(module, _)| !module.is_empty()).map(of).collect()
}

/// The largest set of files of which each imports every other, through others or not.
fn largest_circle(imports: &BTreeMap<Module, BTreeSet<Module>>) -> BTreeSet<Module> {
    let reach = |from: &Module| {
        let (mut seen, mut todo) = (BTreeSet::new(), vec![from]);
        while let Some(module) = todo.pop() {
            for next in imports.get(module).into_iter().flatten() {
                if seen.insert(next.clone()) {
                    todo.push(next);
                }
            }
        }
        seen
    };
    let reached: BTreeMap<&Module, BTreeSet<Module>> = imports.keys().map(|m| (m, reach(m))).collect();
    let circle = |from: &Module| -> BTreeSet<Module> {
        reached[from]
            .iter()
            .filter(|to| reached.get(to).is_some_and(|back| back.contains(from)))
            .cloned()
            .collect()
    };
    imports.keys().map(circle).max_by_key(BTreeSet::len).unwrap_or_default()
}

fn room(module: &Module) -> usize {
    let is_it = |room: &&[&str]| room.contains(&module[0].as_str());
    ROOMS.iter().position(is_it).unwrap_or_else(|| panic!("{} has no room", module.join("::")))
}

#[test]
fn no_lower_room_imports_a_higher_one() {
    let sources = sources(&Path::new(env!("CARGO_MANIFEST_DIR")).join("src"));
    let imports = imports(&sources);
    let mut climbing = Vec::new();
    for (from, targets) in &imports {
        for to in targets.iter().filter(|to| room(to) > room(from)) {
            climbing.push(format!("{} imports {}", from.join("::"), to.join("::")));
        }
    }
    let circle = largest_circle(&imports);
    println!(
        "{} files, {} imports that climb, {} files in the largest circle",
        imports.len(),
        climbing.len(),
        circle.len()
    );
    let names: Vec<String> = circle.iter().map(|module| module.join("::")).collect();
    assert!(climbing.len() == CLIMBING, "imports that climb:\n{}", climbing.join("\n"));
    assert!(circle.len() <= LARGEST_CIRCLE, "files in a circle:\n{}", names.join("\n"));
}

/// A circle and a climbing import are found where there are some.
#[test]
fn circles_and_climbs_are_found() {
    let module = |path: &str| path.split("::").map(str::to_owned).collect::<Module>();
    let source = |imports: &[&str], passed_on: &[(&str, &str)]| Source {
        imports: imports.iter().map(|path| module(path)).collect(),
        passed_on: passed_on.iter().map(|(name, path)| ((*name).to_owned(), module(path))).collect(),
    };
    let sources = BTreeMap::from([
        (module("graph"), source(&["graph::op::Op", "graph::value::Value"], &[("Op", "graph::op::Op")])),
        (module("graph::op"), source(&["tape::Plan"], &[])),
        (module("graph::value"), source(&[], &[])),
        (module("tape"), source(&["tape::plan::Plan"], &[("Plan", "tape::plan::Plan")])),
        (module("tape::plan"), source(&["graph::Op"], &[])),
    ]);
    let imports = imports(&sources);
    assert_eq!(imports[&module("graph::op")], BTreeSet::from([module("tape::plan")]));
    assert_eq!(largest_circle(&imports), BTreeSet::from([module("graph::op"), module("tape::plan")]));
    assert!(room(&module("graph::op")) < room(&module("tape::plan")));
    let text = "use a::{b, c::{d, e as f}};\n// use crate::g;\npub(crate) use super::h;\nlet x = crate::i::J::new();\n";
    let found: Vec<String> =
        paths(&code(text)).into_iter().map(|(path, name, _)| path.join("::") + " " + &name).collect();
    assert_eq!(found, ["a::b b", "a::c::d d", "a::c::e f", "super::h h", "crate::i::J::new new"]);
}
