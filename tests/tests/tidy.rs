//! The repository keeps its own rules: what `ARCHITECTURE.md` says of crates and modules, and what a reader of any file may count on.
//!
//! A rule is a pure function from files to complaints, so that the tests at the end can show each of them a file that breaks it. What
//! clippy can see is clippy's (the workspace's lints in `Cargo.toml`).

use weft_tests::{File, files};

/// Lines of a file without its tests. Above, it is two files.
const LINES_MAX: usize = 800;
/// Bytes of a file in the repository. Larger things are generated, or do not belong here.
const FILE_BYTES_MAX: u64 = 500_000;

/// The crates of the engine, and the crates of the engine that each may use.
const CRATES: [(&str, &[&str]); 6] = [
    ("conditions", &[]),
    ("domain", &["weft-conditions"]),
    ("matching", &[]),
    ("store", &["weft-domain"]),
    ("host", &["weft-domain"]),
    ("app", &["weft-conditions", "weft-domain", "weft-matching", "weft-store", "weft-host"]),
];

/// Libraries that one crate alone may know.
const KEPT_WITHIN: [(&str, &str); 3] = [("sled", "store"), ("wasmtime", "host"), ("cel", "conditions")];

/// Folders of somebody's machine, in two parts so that this file has none of them in it.
const MACHINES: [(&str, &str); 3] = [("/wo", "rk/"), ("/ro", "ot/"), ("/ho", "me/")];

type Rule = fn(&[File]) -> Vec<String>;

fn check(rule: Rule) {
    let complaints = rule(&files());
    assert!(complaints.is_empty(), "\n{}\n", complaints.join("\n"));
}

#[test]
fn every_file_opens_by_saying_what_it_is() {
    check(opens_with_docs);
}

#[test]
fn no_file_is_too_long_to_read() {
    check(is_short);
}

#[test]
fn no_file_is_called_mod() {
    check(has_a_name);
}

#[test]
fn modules_import_only_those_listed_before_them() {
    check(imports_what_came_before);
}

#[test]
fn crates_use_only_those_below_them() {
    check(uses_crates_below);
}

#[test]
fn libraries_stay_where_they_are() {
    check(keeps_libraries_within);
}

#[test]
fn no_path_of_a_machine_is_written_down() {
    check(names_no_machine);
}

#[test]
fn no_file_is_too_large() {
    check(is_small);
}

fn opens_with_docs(files: &[File]) -> Vec<String> {
    let bare = |(path, text): &(&str, &str)| is_ours(path) && !text.starts_with("//! ");
    rust(files).filter(bare).map(|(path, _)| format!("{path}: does not open with `//!` and what it is")).collect()
}

fn is_short(files: &[File]) -> Vec<String> {
    let lines = |(path, text): (&str, &str)| (path.to_owned(), untested(text).lines().count());
    rust(files)
        .map(lines)
        .filter(|(_, lines)| *lines > LINES_MAX)
        .map(|(path, lines)| format!("{path}: {lines} lines without its tests, and {LINES_MAX} are allowed"))
        .collect()
}

fn has_a_name(files: &[File]) -> Vec<String> {
    let attic = |path: &&str| *path == "mod.rs" || path.ends_with("/mod.rs");
    rust(files)
        .map(|(path, _)| path)
        .filter(attic)
        .map(|path| format!("{path}: call it by the module's name, beside the folder"))
        .collect()
}

/// In a crate of the engine, a module may use those that its crate's `lib.rs` lists before it, and itself.
fn imports_what_came_before(files: &[File]) -> Vec<String> {
    let mut complaints = Vec::new();
    for (name, _) in CRATES {
        let folder = format!("engine/{name}/src/");
        let sources: Vec<(&str, &str)> =
            rust(files).filter_map(|(path, text)| Some((path.strip_prefix(&folder)?, untested(text)))).collect();
        let Some((_, lib)) = sources.iter().find(|(path, _)| *path == "lib.rs") else { continue };
        let order: Vec<&str> = lib.lines().filter_map(module).collect();
        for (path, text) in &sources {
            let own = path.split('/').next().unwrap_or_default().trim_end_matches(".rs");
            let Some(place) = order.iter().position(|module| *module == own) else { continue };
            for used in imports(text, if path.contains('/') { &["crate"] } else { &["crate", "super"] }) {
                if order.iter().position(|module| *module == used).is_some_and(|other| other > place) {
                    complaints.push(format!("{folder}{path}: uses `{used}`, which lib.rs lists after `{own}`"));
                }
            }
        }
    }
    complaints.dedup();
    complaints
}

fn uses_crates_below(files: &[File]) -> Vec<String> {
    let mut complaints = Vec::new();
    for (name, below) in CRATES {
        let path = format!("engine/{name}/Cargo.toml");
        let Some(text) = text_of(files, &path) else { continue };
        let ours = dependencies(text).into_iter().filter(|used| *used == "weft" || used.starts_with("weft-"));
        complaints.extend(ours.filter(|used| !below.contains(used)).map(|used| format!("{path}: `{name}` may not use `{used}`")));
    }
    complaints
}

fn keeps_libraries_within(files: &[File]) -> Vec<String> {
    let mut complaints = Vec::new();
    for (library, home) in KEPT_WITHIN {
        for (name, _) in CRATES.iter().filter(|(name, _)| *name != home) {
            let manifest = format!("engine/{name}/Cargo.toml");
            if text_of(files, &manifest).is_some_and(|text| dependencies(text).contains(&library)) {
                complaints.push(format!("{manifest}: only `{home}` may use `{library}`"));
            }
            let named =
                |(path, text): &(&str, &str)| path.starts_with(&format!("engine/{name}/src/")) && names(&code(text), library);
            complaints.extend(rust(files).filter(named).map(|(path, _)| format!("{path}: only `{home}` may name `{library}`")));
        }
    }
    complaints
}

/// Whether code has something of a library: its name before `::`, and not as the end of another one's.
fn names(code: &str, library: &str) -> bool {
    let is_longer = |before: &str| before.ends_with(|letter: char| letter.is_alphanumeric() || letter == '_');
    code.match_indices(&format!("{library}::")).any(|(at, _)| !is_longer(&code[..at]))
}

fn names_no_machine(files: &[File]) -> Vec<String> {
    let mut complaints = Vec::new();
    for file in files {
        for (place, line) in file.text.as_deref().unwrap_or_default().lines().enumerate() {
            // In an address, or behind a name, it is a folder of something else.
            let begins = |at: usize| !line[..at].ends_with(|before: char| before.is_alphanumeric() || "}$~._-".contains(before));
            let machine = |(one, two): &&(&str, &str)| line.match_indices(&format!("{one}{two}")).any(|(at, _)| begins(at));
            complaints.extend(
                MACHINES
                    .iter()
                    .find(machine)
                    .map(|_| format!("{}:{}: a path of a machine: {}", file.path, place + 1, line.trim())),
            );
        }
    }
    complaints
}

fn is_small(files: &[File]) -> Vec<String> {
    let large = |file: &&File| file.bytes > FILE_BYTES_MAX;
    files
        .iter()
        .filter(large)
        .map(|file| format!("{}: {} bytes, and {FILE_BYTES_MAX} are allowed", file.path, file.bytes))
        .collect()
}

/// The files with Rust in them.
fn rust(files: &[File]) -> impl Iterator<Item = (&str, &str)> {
    files.iter().filter(|file| file.path.ends_with(".rs")).filter_map(|file| Some((&*file.path, file.text.as_deref()?)))
}

/// Whether a file of Rust is a part of something that is built and read: of the engine, a plugin, the tests or the tools.
fn is_ours(path: &str) -> bool {
    ["engine/", "plugins/", "tests/", "benches/", "xtask/"].iter().any(|folder| path.starts_with(folder))
}

fn text_of<'a>(files: &'a [File], path: &str) -> Option<&'a str> {
    files.iter().find(|file| file.path == path)?.text.as_deref()
}

/// A file up to its tests.
fn untested(text: &str) -> &str {
    text.find("\n#[cfg(test)]\nmod ").map_or(text, |at| &text[..at])
}

/// A file without its comments.
fn code(text: &str) -> String {
    text.lines().filter(|line| !line.trim_start().starts_with("//")).flat_map(|line| [line, "\n"]).collect()
}

/// The module that a line of `lib.rs` declares.
fn module(line: &str) -> Option<&str> {
    let line = line.strip_prefix("pub ").or_else(|| line.strip_prefix("pub(crate) ")).unwrap_or(line);
    let name = line.strip_prefix("mod ")?;
    name.split([';', ' ']).next()
}

/// The first names after `crate::`, also those of a group.
fn imports(text: &str, roots: &[&str]) -> Vec<String> {
    let code = code(text);
    let mut names = Vec::new();
    for root in roots {
        for (at, _) in code.match_indices(&format!("{root}::")) {
            let is_longer = code[..at].ends_with(|before: char| before.is_alphanumeric() || before == '_' || before == ':');
            let rest = &code[at + root.len() + 2..];
            if is_longer {
                continue;
            }
            match rest.strip_prefix('{') {
                Some(group) => names.extend(group_names(group)),
                None => names.push(name(rest)),
            }
        }
    }
    names
}

/// The names directly within a group, up to its end: `a::{b, c}, d}` has `a` and `d`.
fn group_names(group: &str) -> Vec<String> {
    let (mut depth, mut names, mut begins) = (0, Vec::new(), 0);
    for (at, letter) in group.char_indices() {
        match letter {
            '{' => depth += 1,
            '}' if depth > 0 => depth -= 1,
            ',' | '}' if depth == 0 => {
                names.push(name(group[begins..at].trim_start()));
                begins = at + 1;
                if letter == '}' {
                    break;
                }
            }
            _ => {}
        }
    }
    names
}

fn name(text: &str) -> String {
    text.chars().take_while(|letter| letter.is_alphanumeric() || *letter == '_').collect()
}

/// What a manifest depends on, for the program itself and for its build. What its tests use is their own affair.
fn dependencies(manifest: &str) -> Vec<&str> {
    let (mut names, mut within) = (Vec::new(), false);
    for line in manifest.lines().map(str::trim) {
        if let Some(section) = line.strip_prefix('[') {
            let section = section.trim_end_matches(']');
            within = section.ends_with("dependencies") && !section.ends_with("dev-dependencies");
        } else if within && !line.starts_with('#') {
            names.extend(line.split(['.', '=', ' ']).next().filter(|name| !name.is_empty()));
        }
    }
    names
}

/// Shows a rule one file that breaks it, or none of them.
fn finds(rule: Rule, files: &[(&str, &str)], want: &[&str]) {
    let file =
        |(path, text): &(&str, &str)| File { path: (*path).to_owned(), bytes: text.len() as u64, text: Some((*text).to_owned()) };
    let complaints = rule(&files.iter().map(file).collect::<Vec<_>>());
    assert_eq!(complaints, want, "{files:?}");
}

#[test]
fn a_bare_file_and_an_attic_are_found() {
    finds(opens_with_docs, &[("engine/app/src/door.rs", "//! The doors.\n")], &[]);
    finds(
        opens_with_docs,
        &[("engine/app/src/door.rs", "use std::fs;\n")],
        &["engine/app/src/door.rs: does not open with `//!` and what it is"],
    );
    finds(
        has_a_name,
        &[("engine/app/src/doors/mod.rs", "")],
        &["engine/app/src/doors/mod.rs: call it by the module's name, beside the folder"],
    );
}

#[test]
fn length_is_counted_without_tests() {
    let long = "let a = 1;\n".repeat(801);
    let tested = format!("//! A.\n\n#[cfg(test)]\nmod tests {{\n{long}}}\n");
    finds(is_short, &[("engine/app/src/a.rs", &tested)], &[]);
    finds(
        is_short,
        &[("engine/app/src/a.rs", &long)],
        &["engine/app/src/a.rs: 801 lines without its tests, and 800 are allowed"],
    );
    let large = "a".repeat(500_001);
    finds(is_small, &[("data.json", &large)], &["data.json: 500001 bytes, and 500000 are allowed"]);
}

#[test]
fn an_import_of_what_comes_later_is_found() {
    let lib = ("engine/app/src/lib.rs", "//! A.\npub mod limits;\nmod clock;\npub(crate) mod door;\n");
    let complaint =
        |path: &str, used: &str, own: &str| format!("engine/app/src/{path}: uses `{used}`, which lib.rs lists after `{own}`");
    let check = |path: &str, text: &str, want: Option<(&str, &str)>| {
        let want: Vec<String> = want.map(|(used, own)| complaint(path, used, own)).into_iter().collect();
        finds(
            imports_what_came_before,
            &[lib, (&format!("engine/app/src/{path}"), text)],
            &want.iter().map(String::as_str).collect::<Vec<_>>(),
        );
    };
    check("door.rs", "use crate::clock::Clock;\nuse crate::{limits, door::Door};", None);
    check("clock.rs", "use crate::door::Door;", Some(("door", "clock")));
    check("clock.rs", "use crate::{limits::{A, B}, door::Door};", Some(("door", "clock")));
    check("clock.rs", "fn a() -> super::door::Door {}", Some(("door", "clock")));
    check("limits/size.rs", "use crate::clock;", Some(("clock", "limits")));
    check("clock/zone.rs", "use super::door;", None);
    check("clock.rs", "/// See [`crate::door`].\nfn a() {}", None);
    check("clock.rs", "//! A.\n\n#[cfg(test)]\nmod tests {\n    use crate::door;\n}", None);
    check("clock.rs", "use other_crate::door;", None);
}

#[test]
fn a_crate_that_looks_up_is_found() {
    let check = |path: &str, text: &str, want: &[&str]| finds(uses_crates_below, &[(path, text)], want);
    check(
        "engine/store/Cargo.toml",
        "[dependencies]\nweft-domain.workspace = true\n[dev-dependencies]\nweft-host.workspace = true\n",
        &[],
    );
    check(
        "engine/store/Cargo.toml",
        "[dependencies]\nweft-host = { workspace = true }\n",
        &["engine/store/Cargo.toml: `store` may not use `weft-host`"],
    );
    check(
        "engine/domain/Cargo.toml",
        "[build-dependencies]\nweft.workspace = true\n",
        &["engine/domain/Cargo.toml: `domain` may not use `weft`"],
    );
    finds(
        keeps_libraries_within,
        &[("engine/app/Cargo.toml", "[dependencies]\nsled.workspace = true\n")],
        &["engine/app/Cargo.toml: only `store` may use `sled`"],
    );
    finds(
        keeps_libraries_within,
        &[("engine/app/src/a.rs", "// Not sled::Db.\nuse wasmtime::Engine;\n")],
        &["engine/app/src/a.rs: only `host` may name `wasmtime`"],
    );
    finds(keeps_libraries_within, &[("engine/app/src/a.rs", "//! A.\nuse crate::parcel::Address;\n")], &[]);
}

#[test]
fn a_path_of_a_machine_is_found() {
    for (one, two) in MACHINES {
        let path = format!("{one}{two}");
        let found = format!("a.md:1: a path of a machine: see {path}a");
        finds(names_no_machine, &[("a.md", &format!("see {path}a\n"))], &[&found]);
        finds(names_no_machine, &[("a.md", &format!("see https://shop.example{path}a\n"))], &[]);
    }
}
