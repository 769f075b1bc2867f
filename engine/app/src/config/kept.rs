//! A generation that is kept: copies of everything that a configuration was read from, so that it can be read again when the files
//! themselves have become something else.
//!
//! A kept generation is a folder with the workspace's YAML files, its plugins, and `generation.json`, which says what they stand for. It is
//! a workspace: whatever reads one reads it, with paths that begin where the workspace is. Secrets are not kept.

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use weft_domain::value::Timestamp;

use super::inline::Inlined;

/// The file that makes a folder a kept generation.
pub const MARK: &str = "generation.json";

/// What a kept generation is of.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Kept {
    /// Which generation.
    pub generation: u64,
    /// When it was taken on.
    pub at: Timestamp,
    /// The folder of the workspace.
    pub folder: PathBuf,
    /// The file that was read first.
    pub main: String,
    /// Plugins by name: the digests by which their copies are called.
    pub plugins: BTreeMap<String, String>,
    /// Files that plugins' blocks name, and how their copies are called.
    pub files: BTreeMap<PathBuf, String>,
}

impl Kept {
    /// What is kept at a path, a folder or a file in it, where a generation is.
    #[must_use]
    pub fn read(path: &Path) -> Option<Kept> {
        serde_json::from_slice(&std::fs::read(of(path).join(MARK)).ok()?).ok()
    }

    /// The copy of a plugin.
    #[must_use]
    pub fn plugin(&self, path: &Path, name: &str) -> Option<PathBuf> {
        Some(of(path).join("plugins").join(format!("{}.wasm", self.plugins.get(name)?)))
    }

    /// The files that plugins' blocks name.
    pub(super) fn inlined(&self, path: &Path) -> Inlined {
        let folder = of(path).join("files");
        let read = |(path, copy): (&PathBuf, &String)| Some((path.clone(), std::fs::read(folder.join(copy)).ok()?));
        self.files.iter().filter_map(read).collect()
    }
}

impl super::Config {
    /// Keeps what this configuration was read from in a folder, which is made anew.
    ///
    /// # Errors
    /// What the system says.
    pub fn keep(
        &self,
        folder: &Path,
        generation: u64,
        at: Timestamp,
        plugins: &BTreeMap<String, (String, PathBuf)>,
    ) -> io::Result<()> {
        if folder.exists() {
            std::fs::remove_dir_all(folder)?;
        }
        for part in ["plugins", "files"] {
            std::fs::create_dir_all(folder.join(part))?;
        }
        let name = |path: &Path| path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let yaml: Vec<(&Path, &str)> = self.files.all().filter(|(path, _)| !self.inlined.contains_key(*path)).collect();
        for (path, text) in &yaml {
            put(&folder.join(name(path)), text.as_bytes())?;
        }
        let mut files = BTreeMap::new();
        for (number, (path, bytes)) in self.inlined.iter().enumerate() {
            put(&folder.join("files").join(number.to_string()), bytes)?;
            files.insert(path.clone(), number.to_string());
        }
        for (digest, path) in plugins.values() {
            let copy = folder.join("plugins").join(format!("{digest}.wasm"));
            if !copy.exists() {
                std::fs::copy(path, copy)?;
            }
        }
        let kept = Kept {
            generation,
            at,
            folder: std::path::absolute(&self.folder)?,
            main: yaml.first().map(|(path, _)| name(path)).unwrap_or_default(),
            plugins: plugins.iter().map(|(name, (digest, _))| (name.clone(), digest.clone())).collect(),
            files,
        };
        // Last: a folder without it is no generation.
        put(&folder.join(MARK), &serde_json::to_vec_pretty(&kept)?)
    }
}

/// The folder that a workspace is in.
fn of(path: &Path) -> &Path {
    if path.is_dir() { path } else { path.parent().unwrap_or(Path::new(".")) }
}

/// Writes a file of the owner's alone: there may be a secret in it that somebody wrote into the YAML.
fn put(path: &Path, bytes: &[u8]) -> io::Result<()> {
    use std::io::Write as _;
    use std::os::unix::fs::OpenOptionsExt as _;
    let mut file = std::fs::OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(path)?;
    file.write_all(bytes)?;
    file.sync_data()
}
