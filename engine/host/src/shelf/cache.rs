//! The cache of compiled code and manifests.
//!
//! Compiled code is run as it is, so it is believed only where this engine wrote it: the folder and its files are their
//! owner's alone, a file begins with a checksum over its own name and all that follows, and the name holds the plugin's SHA-256 and
//! the hash of everything in the engine that compiled code depends on. What does not hold is compiled again and replaced.
//! The checksum is against damage, the permissions are against others; who may write as the owner needs no cache to do harm.
//!
//! ```text
//! <sha256 of the plugin>-<16 hex digits of the engine>.code      magic (8) · SHA-256 (32) · compiled code
//! <sha256 of the plugin>-<16 hex digits of the engine>.manifest  magic (8) · SHA-256 (32) · what `describe` answered
//! ```

use std::fs;
use std::hash::{Hash, Hasher};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

use sha2::{Digest as _, Sha256};
use wasmtime::Engine;
use wasmtime::component::Component;

use super::Digest;
use crate::limits;

const MAGIC: &[u8; 8] = b"weft\0aot";
const HEADER_BYTES: usize = MAGIC.len() + 32;

pub(super) struct Cache {
    folder: PathBuf,
    engine: String,
}

impl Cache {
    /// Makes the folder its owner's alone, and leaves the newest files in it.
    pub(super) fn open(folder: &Path, engine: &Engine) -> io::Result<Self> {
        fs::create_dir_all(folder)?;
        // Fails where the folder is somebody else's.
        owner_only(folder, 0o700)?;
        sweep(folder)?;
        Ok(Self { folder: folder.to_owned(), engine: fingerprint(engine) })
    }

    /// The code of a plugin, if it is here and as it was written.
    pub(super) fn code(&self, digest: &Digest, engine: &Engine) -> Option<Component> {
        let bytes = self.read(&self.name(digest, "code"))?;
        runnable(engine, &bytes[HEADER_BYTES..]).ok()
    }

    pub(super) fn keep_code(&self, digest: &Digest, code: &[u8]) -> io::Result<()> {
        self.write(&self.name(digest, "code"), code)
    }

    /// What `describe` answered.
    pub(super) fn manifest(&self, digest: &Digest) -> Option<String> {
        let mut bytes = self.read(&self.name(digest, "manifest"))?;
        String::from_utf8(bytes.split_off(HEADER_BYTES)).ok()
    }

    pub(super) fn keep_manifest(&self, digest: &Digest, text: &str) -> io::Result<()> {
        self.write(&self.name(digest, "manifest"), text.as_bytes())
    }

    fn name(&self, digest: &Digest, what: &str) -> String {
        format!("{digest}-{}.{what}", self.engine)
    }

    /// A whole file with its header, if it holds.
    fn read(&self, name: &str) -> Option<Vec<u8>> {
        let path = self.folder.join(name);
        if !is_owners_alone(&path, &self.folder) {
            return None;
        }
        let bytes = fs::read(path).ok()?;
        let (header, body) = bytes.split_at_checked(HEADER_BYTES)?;
        (header.starts_with(MAGIC) && header[MAGIC.len()..] == checksum(name, body)).then_some(bytes)
    }

    /// Writes beside and renames: a reader sees the old file or the new one. Not synced: the checksum tells.
    fn write(&self, name: &str, body: &[u8]) -> io::Result<()> {
        static COUNTER: AtomicU64 = AtomicU64::new(0);
        let beside = self.folder.join(format!(".{}-{}.tmp", std::process::id(), COUNTER.fetch_add(1, Ordering::Relaxed)));
        let written = (|| {
            let mut file = create(&beside)?;
            file.write_all(MAGIC)?;
            file.write_all(&checksum(name, body))?;
            file.write_all(body)?;
            fs::rename(&beside, self.folder.join(name))
        })();
        if written.is_err() {
            // It may not be there; the error that matters is the first.
            let _ = fs::remove_file(&beside);
        }
        written
    }
}

/// Makes compiled code runnable.
pub(super) fn runnable(engine: &Engine, code: &[u8]) -> wasmtime::Result<Component> {
    // SAFETY: `deserialize` runs what it is given, so it must have come from `Engine::precompile_component`. It comes from there
    // directly (`Host::find`), or from a file of this cache that passed `Cache::read`: written by this user's engine into a
    // folder that only this user may write to, and unchanged since.
    #[allow(unsafe_code)]
    unsafe {
        Component::deserialize(engine, code)
    }
}

fn checksum(name: &str, body: &[u8]) -> [u8; 32] {
    Sha256::new().chain_update(name.as_bytes()).chain_update([0]).chain_update(body).finalize().into()
}

/// What compiled code depends on besides the plugin: wasmtime's version, its settings, the processor.
fn fingerprint(engine: &Engine) -> String {
    struct Sha(Sha256);
    impl Hasher for Sha {
        fn write(&mut self, bytes: &[u8]) {
            self.0.update(bytes);
        }
        fn finish(&self) -> u64 {
            let hash = self.0.clone().finalize();
            u64::from_be_bytes(hash[..8].try_into().expect("SHA-256 has more than 8 bytes"))
        }
    }
    let mut hasher = Sha(Sha256::new());
    engine.precompile_compatibility_hash().hash(&mut hasher);
    format!("{:016x}", hasher.finish())
}

/// Leaves the newest [`limits::CACHE_FILES_MAX`] files of the cache, and none that was half written long ago. Another process may do so at the same
/// time: what is gone meanwhile is gone.
fn sweep(folder: &Path) -> io::Result<()> {
    let mut files = Vec::new();
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        let Some(file) = unless_gone(entry.metadata())? else { continue };
        let path = entry.path();
        match path.extension().and_then(|extension| extension.to_str()) {
            Some("tmp") if is_old(&file) => drop(unless_gone(fs::remove_file(&path))?),
            Some("code" | "manifest") => files.push((file.modified()?, path)),
            _ => {}
        }
    }
    files.sort();
    let surplus = files.len().saturating_sub(limits::CACHE_FILES_MAX);
    for (_, path) in files.drain(..surplus) {
        unless_gone(fs::remove_file(path))?;
    }
    Ok(())
}

fn unless_gone<T>(result: io::Result<T>) -> io::Result<Option<T>> {
    match result {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        result => result.map(Some),
    }
}

/// Whether nobody can still be writing it.
fn is_old(file: &fs::Metadata) -> bool {
    file.modified().ok().and_then(|modified| modified.elapsed().ok()).is_some_and(|age| age > limits::CACHE_WRITE_MAX)
}

#[cfg(unix)]
fn owner_only(path: &Path, mode: u32) -> io::Result<()> {
    use std::os::unix::fs::PermissionsExt;
    fs::set_permissions(path, fs::Permissions::from_mode(mode))
}

#[cfg(unix)]
fn create(path: &Path) -> io::Result<fs::File> {
    use std::os::unix::fs::OpenOptionsExt;
    fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)
}

/// A plain file that nobody but its owner may touch, of the folder's own owner.
#[cfg(unix)]
fn is_owners_alone(path: &Path, folder: &Path) -> bool {
    use std::os::unix::fs::MetadataExt;
    let (Ok(file), Ok(folder)) = (fs::symlink_metadata(path), fs::metadata(folder)) else {
        return false;
    };
    file.is_file() && file.mode() & 0o077 == 0 && folder.mode() & 0o077 == 0 && file.uid() == folder.uid()
}

#[cfg(not(unix))]
fn owner_only(_: &Path, _: u32) -> io::Result<()> {
    Ok(())
}

#[cfg(not(unix))]
fn create(path: &Path) -> io::Result<fs::File> {
    fs::OpenOptions::new().write(true).create_new(true).open(path)
}

#[cfg(not(unix))]
fn is_owners_alone(path: &Path, _: &Path) -> bool {
    fs::symlink_metadata(path).is_ok_and(|file| file.is_file())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_that_many_sweep_at_once_keeps_the_newest() {
        let folder = tempfile::tempdir().expect("a folder");
        for _ in 0..5 {
            for number in 0..limits::CACHE_FILES_MAX + 200 {
                fs::write(folder.path().join(format!("{number}.code")), b"code").expect("is written");
            }
            std::thread::scope(|scope| {
                let sweeps: Vec<_> = (0..8).map(|_| scope.spawn(|| sweep(folder.path()))).collect();
                for one in sweeps {
                    one.join().expect("no panic").expect("it is nobody's fault that a file is gone");
                }
            });
            assert_eq!(fs::read_dir(folder.path()).expect("readable").count(), limits::CACHE_FILES_MAX);
        }
    }
}
