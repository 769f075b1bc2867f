//! Where secrets and folders end: each text that a schema calls one is taken out of the tree, and a handle stays.
//!
//! A secret anywhere else is an error: it would be seen by a guest, a log or a page (invariant 7). What is written into the
//! file itself is taken for the secret all the same, with a warning, and is blotted out of every excerpt from then on.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Component, Path, PathBuf};

use weft_domain::problem::{Code, Problem};
use weft_domain::value::Excerpt;

use super::placeholder::handle;
use super::secret::Secret;
use super::source::{Report, Sources, Span};
use super::tree::{Node, Origin, Text, Value};

/// Takes the secrets out of a part of the tree that stands at `base`; by handle. `marked` are the pointers of the texts that
/// are secrets by their schema.
pub(super) fn secrets(
    node: &mut Node,
    base: &str,
    marked: &BTreeSet<String>,
    sources: &mut Sources,
    report: &mut Report,
) -> BTreeMap<String, Secret> {
    let mut kept = BTreeMap::new();
    node.scalars("", &mut |pointer, node| {
        if marked.contains(pointer) && matches!(node.value, Value::Number(_) | Value::Bool(_)) {
            sources.hide(node.span);
        }
    });
    node.texts_mut("", &mut |pointer, span, text| {
        if !marked.contains(pointer) {
            return;
        }
        let at = || span.at(format!("{base}{pointer}"));
        let secret = match &text.origin {
            Origin::Secret(secret) => secret.clone(),
            _ if text.text.is_empty() => return report.add(at(), Problem::error(Code::SECRET_EMPTY, "the secret is empty")),
            Origin::Environment => Secret::new(&text.text),
            Origin::Written if report.has_errors_above(&format!("{base}{pointer}")) => {
                // A placeholder that could not be filled is no secret yet, and its reader wants to see it.
                if !text.text.contains("${") {
                    sources.hide(span);
                }
                return;
            }
            Origin::Written => {
                sources.hide(span);
                let problem = Problem::warning(Code::SECRET_LITERAL, "the secret is written into the file")
                    .hint("write \"${secret:NAME}\", and keep the secret in a file or in the environment");
                report.add(at(), problem);
                Secret::new(&text.text)
            }
        };
        *text = Text { text: handle(pointer), origin: Origin::Secret(secret.clone()) };
        kept.insert(text.text.clone(), secret);
    });
    kept
}

/// Takes the texts out that may be secrets and need not be; by handle. They are kept like secrets, and written ones are no mistake,
/// unless they are addresses with a password in them.
pub(super) fn values(
    node: &mut Node,
    marked: &BTreeSet<String>,
    sources: &mut Sources,
    report: &mut Report,
) -> BTreeMap<String, Secret> {
    let mut kept = BTreeMap::new();
    node.texts_mut("", &mut |pointer, span, text| {
        if !marked.contains(pointer) {
            return;
        }
        let secret = match &text.origin {
            Origin::Secret(secret) => secret.clone(),
            Origin::Environment | Origin::Written => {
                let has_password = |text: &str| url::Url::parse(text).is_ok_and(|url| url.password().is_some());
                if text.origin == Origin::Written && has_password(&text.text) {
                    sources.hide(span);
                    let problem = Problem::warning(Code::SECRET_LITERAL, "the password is written into the file")
                        .hint("write \"${secret:NAME}\" in its place, and keep the password in a file or in the environment");
                    report.add(span.at(pointer), problem);
                }
                Secret::new(&text.text)
            }
        };
        *text = Text { text: handle(pointer), origin: Origin::Secret(secret.clone()) };
        kept.insert(text.text.clone(), secret);
    });
    kept
}

/// Refuses the secrets that stand where no schema calls them one. `elsewhere` are the pointers that are looked at elsewhere.
pub(super) fn misplaced(
    node: &mut Node,
    base: &str,
    marked: &BTreeSet<String>,
    elsewhere: impl Fn(&str) -> bool,
    report: &mut Report,
) {
    node.texts_mut("", &mut |pointer, span, text| {
        let path = format!("{base}{pointer}");
        let is_secret = matches!(text.origin, Origin::Secret(_));
        // Of a key that nothing reads it was said already that nothing reads it.
        if !is_secret || marked.contains(pointer) || elsewhere(pointer) || report.has_errors_above(&path) {
            return;
        }
        let problem = Problem::error(Code::SECRET_MISPLACED, "a secret stands where it would not stay secret")
            .hint("secrets may stand in credentials of a connection, and where a plugin's schema has `format: secret`");
        report.add(span.at(path), problem);
    });
}

/// Blots out every text of a part of the tree whose schema is not known: any of them may be a secret.
pub(super) fn hide_all(node: &mut Node, sources: &mut Sources) {
    node.texts_mut("", &mut |_, span, text| {
        if text.origin == Origin::Written {
            sources.hide(span);
        }
    });
}

/// Where folders of a plugin's block may be.
pub(super) struct Ground<'a> {
    /// The workspace.
    pub workspace: &'a Path,
    /// Folders that hold what no plugin may touch, with what they hold.
    pub closed: Vec<(PathBuf, &'static str)>,
}

/// Takes the folders out of a part of the tree that stands at `base`; by handle, `folder:0` and on.
pub(super) fn folders(
    node: &mut Node,
    base: &str,
    marked: &BTreeSet<String>,
    ground: &Ground<'_>,
    report: &mut Report,
) -> BTreeMap<String, PathBuf> {
    let mut kept = BTreeMap::new();
    node.texts_mut("", &mut |pointer, span: Span, text| {
        if !marked.contains(pointer) || matches!(text.origin, Origin::Secret(_)) {
            return;
        }
        match ground.resolve(&text.text) {
            Ok(path) => {
                let handle = format!("folder:{}", kept.len());
                text.text.clone_from(&handle);
                kept.insert(handle, path);
            }
            Err(problem) => report.add(span.at(format!("{base}{pointer}")), *problem),
        }
    });
    kept
}

impl Ground<'_> {
    /// What the folder is of that a path leads into, where nothing may be read.
    pub(super) fn closed_to(&self, path: &Path) -> Option<&'static str> {
        let path = real(path);
        self.closed.iter().find(|(closed, _)| path.starts_with(real(closed))).map(|(_, what)| *what)
    }

    /// The folder of this name. A relative one stays within the workspace; an absolute one is taken at its word.
    fn resolve(&self, text: &str) -> Result<PathBuf, Box<Problem>> {
        let wrong = |message: &str| Problem::error(Code::CONFIG_FOLDER, format!("the folder `{}` {message}", Excerpt(text)));
        if text.is_empty() {
            return Err(Box::new(Problem::error(Code::CONFIG_FOLDER, "the folder has no name")));
        }
        if text == "~" || text.starts_with("~/") {
            return Err(wrong("begins with `~`, which nobody resolves here")
                .hint("write the whole path, or \"${env:HOME}/…\"")
                .into());
        }
        let path = if Path::new(text).is_absolute() {
            PathBuf::from(text)
        } else {
            let inside = within(text).ok_or_else(|| {
                Box::new(wrong("leaves the workspace").hint("write the whole path if it is meant to be outside"))
            })?;
            if inside.as_os_str().is_empty() {
                return Err(wrong("is the workspace itself, where a plugin could replace the configuration").into());
            }
            self.workspace.join(inside)
        };
        for (closed, what) in &self.closed {
            if overlaps(&path, closed) {
                return Err(wrong(&format!("is, holds or is inside of the folder of {what}")).into());
            }
        }
        if path.is_absolute() && overlaps_as_parent(&path, self.workspace) {
            return Err(wrong("holds the workspace, where a plugin could replace the configuration").into());
        }
        Ok(path)
    }
}

/// A relative path without its dots, where it does not leave its beginning.
fn within(text: &str) -> Option<PathBuf> {
    let mut path = PathBuf::new();
    for part in Path::new(text).components() {
        match part {
            Component::Normal(name) => path.push(name),
            Component::CurDir => (),
            Component::ParentDir => {
                if !path.pop() {
                    return None;
                }
            }
            Component::RootDir | Component::Prefix(_) => return None,
        }
    }
    Some(path)
}

/// The path as the system sees it: of what exists, links are followed.
fn real(path: &Path) -> PathBuf {
    for above in path.ancestors() {
        let looked_at = if above.as_os_str().is_empty() { Path::new(".") } else { above };
        if let (Ok(real), Ok(rest)) = (looked_at.canonicalize(), path.strip_prefix(above)) {
            return real.join(rest);
        }
    }
    path.to_owned()
}

fn overlaps(path: &Path, closed: &Path) -> bool {
    let (path, closed) = (real(path), real(closed));
    path.starts_with(&closed) || closed.starts_with(&path)
}

fn overlaps_as_parent(path: &Path, workspace: &Path) -> bool {
    real(workspace).starts_with(real(path))
}

/// The texts that a schema gives this format, of those it gives any.
pub(super) fn of_format(leaves: &[super::schema::Leaf], format: &str) -> BTreeSet<String> {
    leaves.iter().filter(|leaf| leaf.format == format).map(|leaf| leaf.pointer.clone()).collect()
}

/// Whether a node is a text that a handle stands for.
pub(super) fn secret_of(node: Option<&Node>) -> Option<Secret> {
    match node.map(|node| &node.value) {
        Some(Value::Text(Text { origin: Origin::Secret(secret), .. })) => Some(secret.clone()),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_stays_where_it_may_be() {
        let workspace = tempfile::tempdir().expect("a folder");
        let outside = tempfile::tempdir().expect("a folder");
        let closed = vec![(workspace.path().join("data"), "the logs and the state")];
        let ground = Ground { workspace: workspace.path(), closed };
        let check = |text: &str, want: Result<PathBuf, &str>| match (ground.resolve(text), want) {
            (Ok(path), Ok(want)) => assert_eq!(path, want, "{text}"),
            (Err(problem), Err(want)) => assert!(problem.message.contains(want), "{text}: {}", problem.message),
            (got, want) => panic!("{text}: {got:?}, not {want:?}"),
        };
        check("out", Ok(workspace.path().join("out")));
        check("./a/../out/", Ok(workspace.path().join("out")));
        check(outside.path().to_str().expect("UTF-8"), Ok(outside.path().to_owned()));
        check("../elsewhere", Err("leaves the workspace"));
        check("a/../../b", Err("leaves the workspace"));
        check(".", Err("the workspace itself"));
        check("data", Err("the folder of the logs"));
        check("data/history", Err("the folder of the logs"));
        check(workspace.path().join("data").to_str().expect("UTF-8"), Err("the folder of the logs"));
        check("/", Err("holds"));
        check("~/x", Err("begins with `~`"));
        check("", Err("has no name"));
    }

    #[cfg(unix)]
    #[test]
    fn a_link_does_not_lead_to_what_is_closed() {
        let workspace = tempfile::tempdir().expect("a folder");
        std::fs::create_dir(workspace.path().join("data")).expect("makes");
        std::os::unix::fs::symlink(workspace.path().join("data"), workspace.path().join("out")).expect("links");
        let ground = Ground { workspace: workspace.path(), closed: vec![(workspace.path().join("data"), "the logs")] };
        assert!(ground.resolve("out").is_err());
    }
}
