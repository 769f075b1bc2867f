//! `weft fmt` over all YAML that there is: what is right comes out meaning the same and is formatted then for good, what is wrong is said,
//! and what this repository shows to others is formatted already.

#![allow(clippy::unwrap_used)]

use std::path::{Path, PathBuf};

use weft::config::format;

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").canonicalize().unwrap()
}

/// All YAML files below some folders.
fn yaml(folders: &[&str]) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut open: Vec<PathBuf> = folders.iter().map(|folder| root().join(folder)).collect();
    while let Some(folder) = open.pop() {
        for path in std::fs::read_dir(&folder).unwrap().map(|entry| entry.unwrap().path()) {
            let is_ours = !path.ends_with("data") && !path.ends_with("out") && !path.ends_with("target");
            match path.extension() {
                _ if path.is_dir() && is_ours => open.push(path),
                Some(extension) if extension == "yaml" || extension == "yml" => found.push(path),
                _ => (),
            }
        }
    }
    found.sort();
    found
}

#[test]
fn what_we_show_is_formatted() {
    // What tabs and line breaks of other systems come to is what these are about.
    let mut files = yaml(&["pipelines", "tests/config/valid", "plugins/templates"]);
    files.retain(|path| !path.ends_with("valid/json.yaml"));
    assert!(files.len() > 20, "{files:?}");
    if std::env::var_os("WEFT_BLESS").is_some() {
        for document in format::files(&files).unwrap().0 {
            std::fs::write(&document.path, &document.after).unwrap();
        }
    }
    let (documents, _) = format::files(&files).unwrap();
    let changed: Vec<_> =
        documents.iter().filter(|document| document.is_changed()).map(|document| document.path.display()).collect();
    assert!(changed.is_empty(), "`weft fmt` would change {changed:#?}; WEFT_BLESS=1 does");
}

#[test]
fn what_is_formatted_stays_as_it_is() {
    let (mut formatted, mut refused) = (0, 0);
    for path in yaml(&["pipelines", "tests/config", "plugins"]) {
        let Ok(text) = std::fs::read_to_string(&path) else { continue };
        match format::text(&path, text) {
            Ok(document) => {
                let again = format::text(&path, document.after.clone()).unwrap();
                assert!(!again.is_changed(), "{}: {}", path.display(), again.after);
                formatted += 1;
            }
            Err(problems) => {
                assert!(problems.iter().all(|problem| problem.place.is_some()), "{}: {problems:?}", path.display());
                assert!(path.components().any(|part| part.as_os_str() == "invalid"), "{}: {problems:?}", path.display());
                refused += 1;
            }
        }
    }
    assert!(formatted > 60 && refused > 15, "{formatted} formatted, {refused} refused");
}

#[test]
fn a_workspace_is_all_its_files_and_what_its_blocks_name() {
    let (documents, _) = format::files(&[root().join("pipelines/acme")]).unwrap();
    let names: Vec<_> =
        documents.iter().map(|document| document.path.strip_prefix(root().join("pipelines/acme")).unwrap().to_owned()).collect();
    let want = [
        "weft.yaml",
        "destinations.yaml",
        "plugins.yaml",
        "sources.yaml",
        "tests.yaml",
        "transforms.yaml",
        "plans/shape.yaml",
        "plans/events.yaml",
    ];
    assert_eq!(names, want.map(PathBuf::from));
}

#[test]
fn a_workspace_with_something_wrong_in_it_is_not_formatted() {
    let folder = tempfile::tempdir().unwrap();
    let check = |name: &str, text: &str, want: &str| {
        std::fs::write(folder.path().join("weft.yaml"), "version:   1\nname: acme\n").unwrap();
        std::fs::write(folder.path().join(name), text).unwrap();
        let problems = format::files(&[folder.path().to_owned()]).unwrap_err();
        let said: Vec<_> =
            problems.iter().map(|problem| (problem.code.as_str(), problem.place.as_ref().map(|place| place.line))).collect();
        assert_eq!(said, [(want, Some(2))], "{problems:?}");
        std::fs::remove_file(folder.path().join(name)).unwrap();
    };
    check("sources.yaml", "sources:\n\tweb: {}\n", "yaml/tab");
    check("sources.yaml", &format!("sources: {{\n{}web: {{}} }}\n", " ".repeat(70)), "yaml/format");
    let foreign = format::files(&[root().join("tests/config/invalid/foreign-file")]).unwrap_err();
    assert!(foreign.iter().any(|problem| problem.code.as_str() == "config/foreign-file"), "{foreign:?}");
    // What is wrong with the configuration and not with the YAML can be formatted.
    assert!(format::files(&[root().join("tests/config/invalid/misspelt-keys.yaml")]).is_ok());
}
