//! What a new plugin's folder begins with.
//!
//! The templates are plugins that work, under the name `my-plugin`, in `plugins/templates`; a new one is a copy with its own name. A folder of a
//! language has the files that every kind has, and `source.…`, `transform.…`, `destination.…`, of which one becomes `plugin.…`.

use std::io;
use std::path::{Path, PathBuf};

use super::{Kind, Language};

include!(concat!(env!("OUT_DIR"), "/templates.rs"));

/// A plugin to begin.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Project {
    /// Its name: lower case letters, digits and dashes, beginning with a letter.
    pub name: String,
    /// What it is written in.
    pub language: Language,
    /// What it is to be.
    pub kind: Kind,
}

/// Why nothing was written.
#[derive(Debug, thiserror::Error)]
pub enum NewError {
    /// The name is none.
    #[error("`{0}` cannot be a plugin's name: lower case letters, digits and dashes, to 63, beginning with a letter")]
    Name(String),
    /// There is something already.
    #[error("{0} is there already and is not empty: nothing is overwritten")]
    Occupied(PathBuf),
    /// The disk.
    #[error(transparent)]
    Disk(#[from] io::Error),
}

impl Language {
    fn folder(self) -> &'static str {
        match self {
            Language::Rust => "rust",
            Language::JavaScript => "javascript",
            Language::Python => "python",
            Language::C => "c",
        }
    }
}

/// Writes a plugin into a folder that is not there yet, or is empty; the names of the files.
///
/// # Errors
/// [`NewError`].
pub fn write(project: &Project, folder: &Path) -> Result<Vec<String>, NewError> {
    let name = &project.name;
    let fits = name.len() <= 63
        && name.starts_with(|first: char| first.is_ascii_lowercase())
        && name.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-');
    if !fits {
        return Err(NewError::Name(name.clone()));
    }
    if folder.exists() && std::fs::read_dir(folder)?.next().is_some() {
        return Err(NewError::Occupied(folder.to_owned()));
    }
    let mut names = Vec::new();
    for (name, text) in files(project) {
        let path = folder.join(&name);
        if let Some(above) = path.parent() {
            std::fs::create_dir_all(above)?;
        }
        std::fs::write(path, text)?;
        names.push(name);
    }
    Ok(names)
}

/// Every file by its name in the new folder.
fn files(project: &Project) -> Vec<(String, String)> {
    let Project { name, language, kind } = project;
    let own = format!("templates/{}/", language.folder());
    let mut files = Vec::new();
    for (path, text) in FILES {
        let place = if let Some(rest) = path.strip_prefix(&*own) {
            match placed(rest, *kind) {
                Some(place) => place,
                None => continue,
            }
        } else if let Some(rest) = path.strip_prefix("templates/tests/") {
            if rest.strip_suffix(".yaml") != Some(kind.name()) {
                continue;
            }
            "tests/plugin.yaml".to_owned()
        } else if let Some(rest) = path.strip_prefix("sdk/").filter(|_| *language == Language::Rust) {
            // As it is: it is no template.
            files.push((format!("vendor/weft-plugin/{rest}"), (*text).to_owned()));
            continue;
        } else if *path == "wit/weft.wit" && *language != Language::Rust {
            files.push(((*path).to_owned(), (*text).to_owned()));
            continue;
        } else {
            continue;
        };
        files.push((place, renamed(text, name, *kind)));
    }
    files.sort();
    files
}

/// Where a file of a template goes; none where it belongs to another kind. Names with a leading dot have it added here, so that no tool takes the
/// templates themselves for a project.
fn placed(path: &str, kind: Kind) -> Option<String> {
    let (folder, name) = path.rsplit_once('/').map_or(("", path), |(folder, name)| (folder, name));
    let (stem, ending) = name.split_once('.').unwrap_or((name, ""));
    let name = match Kind::ALL.into_iter().find(|one| one.name() == stem) {
        Some(one) if one != kind => return None,
        Some(_) if ending == "json" => "manifest.json".to_owned(),
        Some(_) if ending == "rs" => "lib.rs".to_owned(),
        Some(_) => format!("plugin.{ending}"),
        None => name.to_owned(),
    };
    let path = if folder.is_empty() { name } else { format!("{folder}/{name}") };
    Some(path.strip_prefix("dot-").map_or(path.clone(), |rest| format!(".{rest}")))
}

fn renamed(text: &str, name: &str, kind: Kind) -> String {
    let camel: String = name
        .split('-')
        .flat_map(|word| word.chars().take(1).map(|first| first.to_ascii_uppercase()).chain(word.chars().skip(1)))
        .collect();
    text.replace("my-plugin", name)
        .replace("my_plugin", &name.replace('-', "_"))
        .replace("MyPlugin", &camel)
        .replace("my-kind", kind.name())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_language_has_every_kind_and_a_test() {
        for language in [Language::Rust, Language::JavaScript, Language::Python, Language::C] {
            for kind in Kind::ALL {
                let project = Project { name: "acme-crm".into(), language, kind };
                let files = files(&project);
                let names: Vec<&str> = files.iter().map(|(name, _)| &**name).collect();
                for wanted in ["README.md", ".gitignore", "tests/plugin.yaml"] {
                    assert!(names.contains(&wanted), "{project:?} has no {wanted}: {names:?}");
                }
                let own = files.iter().filter(|(name, _)| !name.starts_with("vendor/") && !name.starts_with("wit/"));
                for (name, text) in own {
                    assert!(!text.contains("my-plugin") && !text.contains("MyPlugin") && !text.contains("my-kind"), "{name}");
                }
            }
        }
    }

    #[test]
    fn a_name_is_written_as_each_place_wants_it() {
        let text = renamed("my-plugin my_plugin MyPlugin my-kind", "acme-crm2", Kind::Source);
        assert_eq!(text, "acme-crm2 acme_crm2 AcmeCrm2 source");
        assert_eq!(placed("src/transform.rs", Kind::Transform).as_deref(), Some("src/lib.rs"));
        assert_eq!(placed("src/transform.rs", Kind::Source), None);
        assert_eq!(placed("dot-cargo/config.toml", Kind::Source).as_deref(), Some(".cargo/config.toml"));
    }

    #[test]
    fn nothing_is_overwritten_and_no_name_leads_elsewhere() {
        let folder = tempfile::tempdir().expect("a folder");
        std::fs::write(folder.path().join("mine"), "mine").expect("writes");
        let project = |name: &str| Project { name: name.into(), language: Language::C, kind: Kind::Transform };
        assert!(matches!(write(&project("a"), folder.path()), Err(NewError::Occupied(_))));
        for name in ["", "../a", "A", "1a", "a_b"] {
            assert!(matches!(write(&project(name), &folder.path().join("x")), Err(NewError::Name(_))), "{name}");
        }
    }
}
