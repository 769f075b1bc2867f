//! The files of a workspace, merged into one tree.
//!
//! A workspace is a folder with `weft.yaml`; every `*.yaml` beside it belongs to it. A section of names may stand in any of
//! the files, a name only once. Another file may be named instead of the folder: it is then a workspace by itself. Symbolic
//! links are followed, since Kubernetes mounts files so; other folders are not entered.

use std::path::{Path, PathBuf};

use weft_domain::problem::{Code, Problem};
use weft_domain::value::Excerpt;

use super::kept::Kept;
use super::limits;
use super::source::{At, Report, Sources, Span, join};
use super::spec;
use super::tree::{self, Budget, Entry, Node, Value};

/// The file that makes a folder a workspace.
pub const MAIN_FILE: &str = "weft.yaml";

/// What was read.
pub(super) struct Workspace {
    /// The folder that relative paths begin from.
    pub folder: PathBuf,
    /// The files.
    pub sources: Sources,
    /// What is kept, where it is a generation that is kept.
    pub kept: Option<Kept>,
    /// All of them as one tree; none where one of them could not be read.
    pub tree: Option<Node>,
}

/// Reads the workspace at a path: a folder, or a file.
pub(super) fn read(path: &Path, report: &mut Report) -> Workspace {
    let mut workspace = Workspace { folder: path.to_owned(), sources: Sources::default(), kept: None, tree: None };
    let files = if path.is_dir() {
        files_of(path, report)
    } else {
        workspace.folder = path
            .parent()
            .map_or_else(|| ".".into(), |parent| if parent.as_os_str().is_empty() { ".".into() } else { parent.to_owned() });
        if path.file_name().is_some_and(|name| name == MAIN_FILE) && path.is_file() {
            files_of(&workspace.folder, report)
        } else if path.is_file() {
            Some(vec![path.to_owned()])
        } else {
            report.add_nowhere(Problem::error(Code::CONFIG_NOT_FOUND, format!("there is no `{}`", path.display())));
            None
        }
    };
    let Some(files) = files else { return workspace };
    // Of a generation that is kept, paths begin where its workspace is.
    workspace.kept = Kept::read(path);
    if let Some(kept) = &workspace.kept {
        workspace.folder.clone_from(&kept.folder);
    }
    let mut budget = Budget::default();
    let mut trees = Vec::new();
    let mut complete = true;
    for path in files {
        let parsed = read_text(&path, report).and_then(|text| {
            let file = workspace.sources.add(path, text);
            tree::parse(file, workspace.sources.text(file), &mut budget, report).map(|tree| (file, tree))
        });
        match parsed {
            Some(tree) => trees.push(tree),
            None => complete = false,
        }
    }
    // With a file missing, every name in it would be reported as unknown.
    workspace.tree = merge(trees, &workspace.sources, report).filter(|_| complete);
    workspace
}

/// The files of a folder, `weft.yaml` first, the others by name.
pub(super) fn files_of(folder: &Path, report: &mut Report) -> Option<Vec<PathBuf>> {
    let entries = match std::fs::read_dir(folder) {
        Ok(entries) => entries,
        Err(error) => {
            let message = format!("the folder `{}` cannot be read: {error}", folder.display());
            report.add_nowhere(Problem::error(Code::YAML_UNREADABLE, message));
            return None;
        }
    };
    let mut names: Vec<String> = entries
        .flatten()
        .filter_map(|entry| entry.file_name().into_string().ok())
        .filter(|name| !name.starts_with('.'))
        .collect();
    names.sort();
    if !folder.join(MAIN_FILE).is_file() {
        let problem = Problem::error(Code::CONFIG_NOT_FOUND, format!("there is no `{}`", folder.join(MAIN_FILE).display()));
        report.add_nowhere(match names.iter().find(|name| *name == "weft.yml" || name.ends_with(".yaml")) {
            Some(name) if name == "weft.yml" => problem.hint("rename `weft.yml` to `weft.yaml`"),
            Some(name) => problem.hint(format!(
                "a workspace needs a `weft.yaml`; to use one file alone, name it: `{}`",
                folder.join(name).display()
            )),
            None => problem.hint("name the workspace: its folder, or its `weft.yaml`; `weft init` makes one"),
        });
        return None;
    }
    for name in names.iter().filter(|name| name.ends_with(".yml")) {
        let message = format!("`{}` is not read: only `*.yaml` files are", folder.join(name).display());
        report.add_nowhere(Problem::warning(Code::CONFIG_FILE_IGNORED, message).hint("rename it to end with `.yaml`"));
    }
    let others = names
        .iter()
        .filter(|name| name.ends_with(".yaml") && *name != MAIN_FILE)
        .map(|name| folder.join(name))
        .filter(|path| path.is_file());
    let files: Vec<PathBuf> = std::iter::once(folder.join(MAIN_FILE)).chain(others).collect();
    if files.len() > limits::FILES_MAX {
        let message = format!("the workspace has {} files, and {} are allowed", files.len(), limits::FILES_MAX);
        report.add_nowhere(Problem::error(Code::YAML_TOO_LARGE, message));
        return None;
    }
    Some(files)
}

/// The text of a file.
pub(super) fn read_text(path: &Path, report: &mut Report) -> Option<String> {
    use std::io::Read as _;
    let mut refuse = |code: Code, message: String, hint: &str| {
        let problem = Problem::error(code, format!("`{}` {message}", path.display()));
        report.add_nowhere(if hint.is_empty() { problem } else { problem.hint(hint) });
    };
    let mut bytes = Vec::new();
    let read = std::fs::File::open(path).and_then(|file| file.take(limits::FILE_BYTES_MAX + 1).read_to_end(&mut bytes));
    if let Err(error) = read {
        refuse(Code::YAML_UNREADABLE, format!("cannot be read: {error}"), "");
        return None;
    }
    if bytes.len() as u64 > limits::FILE_BYTES_MAX {
        refuse(Code::YAML_TOO_LARGE, format!("has more than {} bytes", limits::FILE_BYTES_MAX), "");
        return None;
    }
    let is_utf16 = bytes.starts_with(b"\xff\xfe") || bytes.starts_with(b"\xfe\xff");
    match String::from_utf8(bytes) {
        Ok(text) => Some(text),
        Err(_) if is_utf16 => {
            refuse(
                Code::YAML_UNREADABLE,
                "is UTF-16, not UTF-8".into(),
                "save it as UTF-8; PowerShell writes UTF-16 unless told otherwise",
            );
            None
        }
        Err(error) => {
            let line = error.as_bytes()[..error.utf8_error().valid_up_to()].split(|byte| *byte == b'\n').count();
            refuse(Code::YAML_UNREADABLE, format!("is not UTF-8, from line {line} on"), "save it as UTF-8");
            None
        }
    }
}

/// One tree of all files; none where one of them has no sections at all.
fn merge(trees: Vec<(u16, Node)>, sources: &Sources, report: &mut Report) -> Option<Node> {
    let mut merged: Vec<Entry> = Vec::new();
    let mut complete = true;
    for (file, tree) in trees {
        let entries = match tree.value {
            Value::Map(entries) => entries,
            Value::Null => continue,
            other => {
                let problem = Problem::error(Code::CONFIG_WRONG_TYPE, format!("the file is {} as a whole", other.noun()))
                    .expected("sections, such as `version: 1`");
                report.add(tree.span.at(""), problem);
                complete = false;
                continue;
            }
        };
        if let Some(problem) = foreign(file, &entries, sources) {
            report.add(Span::top(file).at(""), problem);
            continue;
        }
        for entry in entries {
            match merged.iter_mut().find(|known| known.key == entry.key) {
                None => merged.push(entry),
                Some(known) => merge_section(known, entry, report),
            }
        }
    }
    complete.then(|| Node { span: Span::top(0), value: Value::Map(merged) })
}

/// What is wrong where a file beside `weft.yaml` is something else's: it has keys, and none of them is a section.
pub(super) fn foreign(file: u16, entries: &[Entry], sources: &Sources) -> Option<Problem> {
    let name = sources.path(file).file_name().unwrap_or_default();
    let is_main = name == MAIN_FILE || file == 0;
    if is_main || entries.is_empty() || entries.iter().any(|entry| spec::SECTIONS.contains(&&*entry.key)) {
        return None;
    }
    let message = format!("nothing in `{}` is a section of Weft's", Excerpt(&name.to_string_lossy()));
    Some(Problem::error(Code::CONFIG_FOREIGN_FILE, message).hint(
        "every `*.yaml` beside `weft.yaml` belongs to the workspace: move it to another folder, or let its name end in `.yml`",
    ))
}

/// Adds what another file says under the same key.
fn merge_section(known: &mut Entry, entry: Entry, report: &mut Report) {
    let path = join("", &entry.key);
    let twice = |report: &mut Report, what: String, at: At, first: At| {
        let problem = Problem::error(Code::CONFIG_DUPLICATE_NAME, what).hint("keep one of them");
        report.add_with(at, problem, "it stands here first", first);
    };
    match (&mut known.node.value, entry.node.value) {
        (_, Value::Null) => (),
        (value @ Value::Null, other) => {
            *value = other;
            (known.span, known.node.span) = (entry.span, entry.node.span);
        }
        (Value::Map(names), Value::Map(more)) if spec::NAMED_SECTIONS.contains(&&*entry.key) => {
            for entry in more {
                let path = join(&path, &entry.key);
                match names.iter().find(|known| known.key == entry.key) {
                    Some(first) => twice(
                        report,
                        format!("the name `{}` is used a second time", Excerpt(&entry.key)),
                        entry.span.at(&path),
                        first.span.at(&path),
                    ),
                    None => names.push(entry),
                }
            }
        }
        (Value::List(items), Value::List(more)) if entry.key == "tests" => items.extend(more),
        _ => twice(
            report,
            format!("the section `{}` stands in a second file", Excerpt(&entry.key)),
            entry.span.at(&path),
            known.span.at(&path),
        ),
    }
}
