//! `weft.lock`: which file each plugin of a workspace is, by its SHA-256; and whether a file may be used.
//!
//! ```yaml
//! version: 1
//! plugins:
//!   clearbit:
//!     version: 1.2.0
//!     digest: sha256:6f7b…
//!     from: oci://ghcr.io/acme/clearbit:1.2.0
//! ```
//!
//! A workspace without the file runs what its paths lead to. Where the file is, every plugin must be in it and be what it says. A plugin from an
//! address or a registry is always pinned, and its file lies in the store: `.weft/plugins` in the workspace, named by its digest. Nothing
//! here asks the network: a registry that is down keeps no engine from starting (`docs/decisions/0010-plugins-are-pinned-and-fetched-by-hand.md`).

use std::collections::BTreeMap;
use std::io::Write as _;
use std::path::{Path, PathBuf};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use weft_domain::problem::{Code, Problems};
use weft_host::{Digest, HostError};

use crate::config::alone::document;
use crate::config::{Environment, Origin, PluginFile, Refusal};
use crate::signature;

/// The file's name in a workspace.
pub const LOCK_FILE: &str = "weft.lock";

/// The variable that names the store. Without it: `.weft/plugins` in the workspace.
pub const STORE_VARIABLE: &str = "WEFT_PLUGINS";

/// What a workspace's plugins are.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Lock {
    /// The version of this format.
    #[schemars(range(min = 1, max = 1))]
    version: u32,
    /// Plugins by the names that the workspace gives them.
    #[serde(default)]
    pub plugins: BTreeMap<String, Pinned>,
}

/// What one plugin is.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Pinned {
    /// The plugin's own version, for people.
    pub version: String,
    /// `sha256:` and the digest of the file.
    #[schemars(regex(pattern = "^sha256:[0-9a-f]{64}$"))]
    pub digest: String,
    /// Where it is from, as the workspace says it.
    pub from: String,
}

impl Default for Lock {
    fn default() -> Self {
        Lock { version: 1, plugins: BTreeMap::new() }
    }
}

impl Lock {
    /// The lock of a workspace's folder; none where there is no such file.
    ///
    /// # Errors
    /// What is wrong with the file.
    pub fn read(folder: &Path) -> Result<Option<Lock>, Problems> {
        let path = folder.join(LOCK_FILE);
        if path.symlink_metadata().is_err() { Ok(None) } else { document(&path).map(Some) }
    }

    /// Writes it, whole or not at all.
    ///
    /// # Errors
    /// What the system says.
    pub fn write(&self, folder: &Path) -> std::io::Result<()> {
        let mut text = String::from(
            "# Written by `weft plugin`: which file each plugin is. Keep it in version control.\nversion: 1\nplugins:\n",
        );
        for (name, Pinned { version, digest, from }) in &self.plugins {
            let quoted = |text: &str| serde_json::Value::from(text).to_string();
            text.push_str(&format!(
                "  {name}:\n    version: {}\n    digest: {digest}\n    from: {}\n",
                quoted(version),
                quoted(from)
            ));
        }
        if self.plugins.is_empty() {
            text = text.replace("plugins:\n", "plugins: {}\n");
        }
        put(&folder.join(LOCK_FILE), text.as_bytes())
    }

    /// Pins a plugin.
    pub fn pin(&mut self, file: &PluginFile, version: &str, digest: &Digest) {
        let pinned = Pinned { version: version.to_owned(), digest: format!("sha256:{digest}"), from: file.origin.to_string() };
        self.plugins.insert(file.name.clone(), pinned);
    }
}

/// Writes a file beside its place and renames it into it.
fn put(path: &Path, bytes: &[u8]) -> std::io::Result<()> {
    let folder = path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let mut beside = tempfile::NamedTempFile::new_in(folder)?;
    beside.write_all(bytes)?;
    beside.as_file().set_permissions(std::os::unix::fs::PermissionsExt::from_mode(0o644))?;
    beside.as_file().sync_data()?;
    beside.persist(path).map(drop).map_err(|error| error.error)
}

/// Where plugins lie that were fetched.
#[derive(Clone, Debug)]
pub struct Store(PathBuf);

impl Store {
    /// The store of a workspace.
    #[must_use]
    pub fn of(folder: &Path, environment: &Environment) -> Store {
        let named = environment.variable(STORE_VARIABLE).filter(|name| !name.is_empty());
        Store(named.map_or_else(|| folder.join(".weft/plugins"), PathBuf::from))
    }

    /// The file of a digest, written `sha256:…`; it need not be there.
    #[must_use]
    pub fn path(&self, digest: &str) -> PathBuf {
        self.0.join(format!("{}.wasm", digest.trim_start_matches("sha256:")))
    }

    /// Puts a plugin into it.
    ///
    /// # Errors
    /// What the system says.
    pub fn keep(&self, bytes: &[u8]) -> std::io::Result<()> {
        std::fs::create_dir_all(&self.0)?;
        put(&self.path(&Digest::of(bytes).to_string()), bytes)
    }
}

/// What a workspace says of its plugins' files.
pub struct Admission {
    lock: Option<Lock>,
    store: Store,
}

impl Admission {
    /// Of a workspace's folder.
    ///
    /// # Errors
    /// What is wrong with its lock.
    pub fn read(folder: &Path, environment: &Environment) -> Result<Admission, Problems> {
        Ok(Admission { lock: Lock::read(folder)?, store: Store::of(folder, environment) })
    }

    /// Where a plugin's file should be.
    ///
    /// # Errors
    /// Why nobody can say.
    pub fn locate(&self, file: &PluginFile) -> Result<PathBuf, Refusal> {
        let pinned = self.pinned(file)?;
        Ok(match (&file.origin, pinned) {
            (Origin::File { path, .. }, _) => path.clone(),
            (Origin::Url(_) | Origin::Artifact(_), Some(pinned)) => self.store.path(&pinned.digest),
            (Origin::Url(_) | Origin::Artifact(_), None) => return Err(unpinned(file)),
        })
    }

    /// Reads a plugin's file, if it is the one that is pinned and signed by whom it must be. What is given is what was looked at.
    ///
    /// # Errors
    /// Why it may not be used.
    pub fn admit(&self, file: &PluginFile) -> Result<(PathBuf, Vec<u8>), Refusal> {
        let path = self.locate(file)?;
        let bytes = weft_host::read(&path).map_err(|error| unreadable(file, &error))?;
        if let Some(pinned) = self.pinned(file)? {
            let digest = format!("sha256:{}", Digest::of(&bytes));
            if digest != pinned.digest {
                return Err(Refusal {
                    code: Code::PLUGIN_DIGEST,
                    message: format!("the plugin {} is {digest}, and {LOCK_FILE} pins {}", path.display(), pinned.digest),
                    hint: Some(match file.origin {
                        Origin::File { .. } => "if the new file is meant, pin it: `weft plugin lock`".into(),
                        Origin::Url(_) | Origin::Artifact(_) => "delete the file and run `weft plugin fetch`".into(),
                    }),
                });
            }
        }
        if !file.keys.is_empty() {
            signature::verify(&bytes, &file.keys).map_err(|why| Refusal {
                code: Code::PLUGIN_SIGNATURE,
                message: format!("the plugin {} {why}", path.display()),
                hint: Some("take it from whom you trust, or name the key under `key` or `trusted_keys`".into()),
            })?;
        }
        Ok((path, bytes))
    }

    fn pinned(&self, file: &PluginFile) -> Result<Option<&Pinned>, Refusal> {
        let Some(lock) = &self.lock else { return Ok(None) };
        let Some(pinned) = lock.plugins.get(&file.name) else { return Err(unpinned(file)) };
        let from = file.origin.to_string();
        if pinned.from != from {
            return Err(Refusal {
                code: Code::PLUGIN_UNPINNED,
                message: format!(
                    "{LOCK_FILE} pins the plugin `{}` from `{}`, and the workspace has it from `{from}`",
                    file.name, pinned.from
                ),
                hint: Some("if the new one is meant, pin it: `weft plugin lock`".into()),
            });
        }
        Ok(Some(pinned))
    }
}

fn unpinned(file: &PluginFile) -> Refusal {
    Refusal {
        code: Code::PLUGIN_UNPINNED,
        message: format!("the plugin `{}` is not pinned in {LOCK_FILE}", file.name),
        hint: Some("look at it and pin it: `weft plugin lock`".into()),
    }
}

fn unreadable(file: &PluginFile, error: &HostError) -> Refusal {
    let is_missing = matches!(error, HostError::Read { source, .. } if source.kind() == std::io::ErrorKind::NotFound);
    match &file.origin {
        Origin::Url(_) | Origin::Artifact(_) if is_missing => Refusal {
            code: Code::PLUGIN_NOT_FETCHED,
            message: format!("the plugin `{}` is pinned, and its file is not here yet", file.name),
            hint: Some("fetch what is pinned: `weft plugin fetch`".into()),
        },
        _ => refusal(error),
    }
}

/// What the host's word means for whoever wrote the workspace.
#[must_use]
pub fn refusal(error: &HostError) -> Refusal {
    let (code, hint) = match error {
        HostError::Read { source, .. } if source.kind() == std::io::ErrorKind::NotFound => {
            (Code::PLUGIN_NOT_FOUND, Some("build the plugins first: `cargo xtask plugins`".to_owned()))
        }
        _ => (Code::PLUGIN_UNUSABLE, None),
    };
    Refusal { code, message: error.to_string(), hint }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::signature::PrivateKey;

    fn plugin(folder: &Path, name: &str, keys: Vec<signature::PublicKey>) -> PluginFile {
        let origin = Origin::File { path: folder.join("a.wasm"), written: "a.wasm".into() };
        PluginFile { name: name.to_owned(), origin, keys }
    }

    fn code(admission: &Admission, file: &PluginFile) -> &'static str {
        admission.admit(file).map_or_else(|refusal| refusal.code.as_str(), |_| "admitted")
    }

    const PLUGIN: &[u8] = b"\0asm\x0d\0\x01\0\0\x05\x04name";

    #[test]
    fn what_is_pinned_is_admitted_and_nothing_else() {
        let folder = tempfile::tempdir().expect("a folder");
        let folder = folder.path();
        std::fs::write(folder.join("a.wasm"), PLUGIN).expect("writes");
        let admission = || Admission::read(folder, &Environment::default()).expect("a lock that reads");
        let a = plugin(folder, "a", Vec::new());
        assert_eq!(code(&admission(), &a), "admitted", "without a lock");

        let mut lock = Lock::default();
        lock.write(folder).expect("writes");
        assert_eq!(code(&admission(), &a), "plugin/unpinned");
        lock.pin(&a, "1.0.0 \"x\"", &Digest::of(PLUGIN));
        lock.write(folder).expect("writes");
        assert_eq!(Lock::read(folder), Ok(Some(lock.clone())));
        assert_eq!(code(&admission(), &a), "admitted");
        std::fs::write(folder.join("a.wasm"), b"another").expect("writes");
        assert_eq!(code(&admission(), &a), "plugin/digest");
        let elsewhere = PluginFile { origin: "https://x.example/a.wasm".parse().expect("an address"), ..a };
        assert_eq!(code(&admission(), &elsewhere), "plugin/unpinned");
    }

    #[test]
    fn what_was_fetched_lies_under_its_digest_and_needs_no_network() {
        let folder = tempfile::tempdir().expect("a folder");
        let folder = folder.path();
        let origin: Origin = "oci://registry.example/acme/a:1".parse().expect("an artifact");
        let a = PluginFile { origin, ..plugin(folder, "a", Vec::new()) };
        let admission = || Admission::read(folder, &Environment::default()).expect("a lock that reads");
        assert_eq!(code(&admission(), &a), "plugin/unpinned", "also without a lock");
        let mut lock = Lock::default();
        lock.pin(&a, "1.0.0", &Digest::of(PLUGIN));
        lock.write(folder).expect("writes");
        assert_eq!(code(&admission(), &a), "plugin/not-fetched");
        let store = Store::of(folder, &Environment::default());
        store.keep(PLUGIN).expect("keeps");
        assert_eq!(code(&admission(), &a), "admitted");
        std::fs::write(store.path(&Digest::of(PLUGIN).to_string()), b"damaged").expect("writes");
        assert_eq!(code(&admission(), &a), "plugin/digest");
    }

    #[test]
    fn where_a_key_is_named_the_plugin_must_be_signed_by_it() {
        let folder = tempfile::tempdir().expect("a folder");
        let folder = folder.path();
        let (mine, _) = PrivateKey::generate().expect("random bytes");
        let (other, _) = PrivateKey::generate().expect("random bytes");
        let admission = Admission::read(folder, &Environment::default()).expect("no lock");
        let file = plugin(folder, "a", vec![mine.public()]);
        let check = |bytes: &[u8], want: &str| {
            std::fs::write(folder.join("a.wasm"), bytes).expect("writes");
            assert_eq!(code(&admission, &file), want);
        };
        check(PLUGIN, "plugin/signature");
        check(&signature::sign(PLUGIN, &other).expect("signs"), "plugin/signature");
        check(&signature::sign(PLUGIN, &mine).expect("signs"), "admitted");
    }

    #[test]
    fn a_lock_with_a_mistake_is_shown_with_its_place() {
        let folder = tempfile::tempdir().expect("a folder");
        std::fs::write(
            folder.path().join(LOCK_FILE),
            "version: 1\nplugins:\n  a: { version: 1.0.0, digest: sha256:x, from: a, by: me }\n",
        )
        .expect("writes");
        let problems = Lock::read(folder.path()).expect_err("a mistake");
        let found: Vec<_> = problems
            .iter()
            .map(|problem| (problem.code.as_str(), problem.place.as_ref().map_or(0, |place| place.line)))
            .collect();
        assert_eq!(found, [("config/bad-value", 3), ("config/unknown-key", 3)]);
    }
}
