//! What tests of the whole repository share: its files, as git knows them.
//!
//! Tests that belong to one crate live in that crate. Here are those that look at all of it (`tests/tidy.rs`), or at what users write
//! (`config/`). Nothing here is part of the product.

pub mod engine;
pub mod install;
pub mod wire;

use std::path::{Path, PathBuf};
use std::process::Command;

/// The root of the repository: the folder above this crate's.
#[must_use]
pub fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("this crate lies in the root's folder").to_owned()
}

/// A file of the repository.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct File {
    /// From the root, with `/` between folders.
    pub path: String,
    /// How large it is.
    pub bytes: u64,
    /// What is in it; none where that is no UTF-8.
    pub text: Option<String>,
}

/// Folders that hold what is built, and what a run leaves: git ignores them.
const IGNORED: [&str; 5] = [".git", "target", "dist", "data", "out"];

/// Every file that is in the repository or could be added to it: what git ignores is left out. Sorted by path. Where this is no
/// clone, as in an unpacked archive, the folders themselves are walked.
#[must_use]
pub fn files() -> Vec<File> {
    let root = root();
    let mut paths = known_to_git(&root).unwrap_or_else(|| below(&root, ""));
    paths.sort();
    // What was deleted and not yet committed is listed, and cannot be read.
    let read = |path: String| {
        let bytes = std::fs::read(root.join(&path)).ok()?;
        Some(File { path, bytes: bytes.len() as u64, text: String::from_utf8(bytes).ok() })
    };
    paths.into_iter().filter_map(read).collect()
}

fn known_to_git(root: &Path) -> Option<Vec<String>> {
    let mut git = Command::new("git");
    // A clone that somebody else made, as in a container, is still this repository.
    git.current_dir(root).args(["-c", "safe.directory=*"]);
    let output = git.args(["ls-files", "-z", "--cached", "--others", "--exclude-standard", "--deduplicate"]).output().ok()?;
    let names = output.status.success().then(|| String::from_utf8_lossy(&output.stdout).into_owned())?;
    Some(names.split('\0').filter(|path| !path.is_empty()).map(str::to_owned).collect())
}

/// The files below a folder, by their paths from the root.
fn below(root: &Path, folder: &str) -> Vec<String> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(root.join(folder)).into_iter().flatten().flatten() {
        let Ok(name) = entry.file_name().into_string() else { continue };
        let path = if folder.is_empty() { name.clone() } else { format!("{folder}/{name}") };
        match entry.file_type() {
            Ok(kind) if kind.is_dir() && IGNORED.contains(&&*name) => {}
            Ok(kind) if kind.is_dir() => found.extend(below(root, &path)),
            _ => found.push(path),
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_archive_holds_the_same_rust_as_the_clone() {
        let root = root();
        let rust = |paths: Vec<String>| {
            let mut paths: Vec<String> =
                paths.into_iter().filter(|path| path.ends_with(".rs") && root.join(path).exists()).collect();
            paths.sort();
            paths
        };
        let walked = rust(below(&root, ""));
        assert!(walked.iter().any(|path| path == "tests/src/lib.rs"), "{walked:?}");
        // In an archive there is nothing to compare with.
        if let Some(known) = known_to_git(&root) {
            assert_eq!(walked, rust(known));
        }
    }
}
