//! Writing into a workspace's YAML: one entry of `plugins:`, and only where it is certain that nothing else changes.
//!
//! The text is edited, not written anew, so that comments and order stay. Then it is read again: unless the result is the old
//! configuration and that entry, nothing is written.

use std::path::{Path, PathBuf};

use super::source::{Report, join};
use super::tree::{Node, Value};
use super::workspace::{self, MAIN_FILE};

/// What is to be written.
pub struct Edit {
    /// The file.
    pub file: PathBuf,
    /// Its new text.
    pub text: String,
}

/// Adds an entry to `plugins:`. `line` is what follows the name: `{ path: … }`.
///
/// # Errors
/// Why the files are left alone, as a sentence.
pub fn add_plugin(path: &Path, name: &str, line: &str) -> Result<Edit, String> {
    let (file, tree, text) = read(path)?;
    let entry = format!("{name}: {line}");
    let edited = match tree.get("plugins") {
        None => format!("{}{}\nplugins:\n  {entry}\n", text, if text.ends_with('\n') || text.is_empty() { "" } else { "\n" }),
        Some(Node { value: Value::Map(entries), .. }) if !entries.is_empty() => {
            let first = &entries[0];
            let line = first.span.start.line as usize - 1;
            let column = first.span.start.column as usize - 1;
            let lines: Vec<&str> = text.split_inclusive('\n').collect();
            let before = lines.get(line).copied().unwrap_or_default();
            let indent: String = before.chars().take(column).collect();
            if indent.is_empty() || !indent.chars().all(|letter| letter == ' ') {
                return Err("`plugins:` is written on one line, or in a way that is not edited by machine".into());
            }
            let mut edited: Vec<String> = lines.iter().map(|line| (*line).to_owned()).collect();
            edited.insert(line, format!("{indent}{entry}\n"));
            edited.concat()
        }
        Some(_) => return Err("`plugins:` is empty, or is no mapping".into()),
    };
    let mut want = tree.to_json();
    let wanted = parsed(&file, &entry)?.to_json();
    let plugins = want.as_object_mut().map(|object| object.entry("plugins").or_insert_with(|| serde_json::json!({})));
    if let (Some(plugins), Some(entry)) = (plugins.and_then(|plugins| plugins.as_object_mut()), wanted.as_object()) {
        plugins.extend(entry.clone());
    }
    if parsed(&file, &edited)?.to_json() != want {
        return Err("the file is written in a way that is not edited by machine".into());
    }
    Ok(Edit { file, text: edited })
}

/// The one file that has `plugins:`, else the main file; what it holds by itself, and its text.
fn read(path: &Path) -> Result<(PathBuf, Node, String), String> {
    let mut report = Report::default();
    let workspace = workspace::read(path, &mut report);
    let tree = workspace.tree.ok_or("the workspace cannot be read")?;
    let file = match tree.find(&join("", "plugins")) {
        Some((node, _)) => workspace.sources.path(node.span.file).to_owned(),
        None if path.is_file() => path.to_owned(),
        None => workspace.folder.join(MAIN_FILE),
    };
    let text = std::fs::read_to_string(&file).map_err(|error| format!("{}: {error}", file.display()))?;
    let tree = parsed(&file, &text)?;
    Ok((file, tree, text))
}

fn parsed(file: &Path, text: &str) -> Result<Node, String> {
    let (mut report, mut sources) = (Report::default(), super::source::Sources::default());
    let number = sources.add(file.to_owned(), text.to_owned());
    let tree = super::tree::parse(number, text, &mut super::tree::Budget::default(), &mut report);
    tree.filter(|_| !report.has_errors()).ok_or_else(|| format!("{} cannot be read as YAML", file.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_entry_is_added_and_nothing_else_changes() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("weft.yaml");
        let check = |before: &str, after: Result<&str, &str>| {
            std::fs::write(&path, before).expect("writes");
            match (add_plugin(folder.path(), "slack", "{ path: slack.wasm }"), after) {
                (Ok(edit), Ok(after)) => assert_eq!(edit.text, after),
                (Err(error), Err(part)) => assert!(error.contains(part), "{error}"),
                (Ok(edit), Err(_)) => panic!("{before} became {}", edit.text),
                (Err(error), Ok(_)) => panic!("{before}: {error}"),
            }
        };
        check(
            "version: 1\nplugins:   # ours\n    # the file\n    file: { path: a }\nname: x\n",
            Ok(
                "version: 1\nplugins:   # ours\n    # the file\n    slack: { path: slack.wasm }\n    file: { path: a }\nname: x\n",
            ),
        );
        check("version: 1\nname: x", Ok("version: 1\nname: x\n\nplugins:\n  slack: { path: slack.wasm }\n"));
        check("version: 1\nplugins: { file: { path: a } }\n", Err("on one line"));
        check("version: 1\nplugins: {}\n", Err("empty"));
        check("{ version: 1, name: x }\n", Err("cannot be read"));
    }
}
