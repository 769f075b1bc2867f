//! Secrets, and where they come from: a folder with a file for each (Kubernetes, Docker), then the environment.
//!
//! A [`Secret`] never shows its text: not in `Debug`, `Display`, JSON or a problem. Whoever needs the bytes says
//! [`Secret::expose`], which is easy to search for (invariant 7).
//!
//! A secret is a cell. Its clones, in a connection or lent to a stage, are the same cell, so that one that is renewed
//! ([`super::Config::renew_secrets`]) is new everywhere, from the next use on.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fmt;
use std::ops::Deref;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError, RwLock};

use serde::{Serialize, Serializer};

use super::limits;

/// Bytes that are never shown, and that may be renewed.
#[derive(Clone)]
pub struct Secret(Arc<RwLock<Exposed>>);

/// The bytes of a secret as they were at one moment. The last one to go overwrites them.
#[derive(Clone)]
pub struct Exposed(Arc<Overwritten>);

struct Overwritten(Box<[u8]>);

impl Secret {
    /// Takes a text for a secret.
    #[must_use]
    pub fn new(text: &str) -> Self {
        Secret(Arc::new(RwLock::new(Exposed::new(text))))
    }

    /// The bytes themselves, as they are now: to sign, to compare in constant time, or to put into a request that the
    /// connection allows. Ask for them anew each time, and keep them for that one use.
    #[must_use]
    pub fn expose(&self) -> Exposed {
        self.0.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// The same as a text. Every secret is made from a text.
    #[must_use]
    pub fn expose_text(&self) -> String {
        std::str::from_utf8(&self.expose()).unwrap_or_default().to_owned()
    }

    /// Whether there is nothing in it.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.expose().is_empty()
    }

    /// Puts another text in its place, for all its clones; whether it is another.
    pub(super) fn renew(&self, text: &str) -> bool {
        let mut kept = self.0.write().unwrap_or_else(PoisonError::into_inner);
        let is_other = **kept != *text.as_bytes();
        if is_other {
            *kept = Exposed::new(text);
        }
        is_other
    }
}

impl From<&str> for Secret {
    fn from(text: &str) -> Self {
        Secret::new(text)
    }
}

impl PartialEq for Secret {
    fn eq(&self, other: &Self) -> bool {
        *self.expose() == *other.expose()
    }
}

impl Eq for Secret {}

impl Exposed {
    fn new(text: &str) -> Self {
        Exposed(Arc::new(Overwritten(text.as_bytes().into())))
    }
}

impl Deref for Exposed {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        &self.0.0
    }
}

impl fmt::Debug for Exposed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("[secret]")
    }
}

impl Drop for Overwritten {
    fn drop(&mut self) {
        self.0.fill(0);
        // Without it the compiler may leave out writes to memory that nobody reads again.
        std::hint::black_box(&mut self.0);
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("[secret]")
    }
}

impl fmt::Display for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("[secret]")
    }
}

impl Serialize for Secret {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str("[secret]")
    }
}

/// The variables that a configuration may name. Its `Debug` shows no value.
#[derive(Clone, Default)]
pub struct Environment {
    variables: BTreeMap<OsString, OsString>,
    /// Secrets by the texts that they were made from: the same text gives the same cell whenever it is read, so that a secret that is
    /// another by then is another for all who hold it.
    cells: Arc<Mutex<BTreeMap<String, Secret>>>,
}

impl Environment {
    /// Those of this process.
    #[must_use]
    pub fn of_process() -> Self {
        std::env::vars_os().collect()
    }

    /// The value of a variable, where it has one that is a text.
    #[must_use]
    pub fn variable(&self, name: &str) -> Option<&str> {
        self.get(name).ok().flatten()
    }

    /// The value of a variable; `Err` where it is not UTF-8.
    pub(super) fn get(&self, name: &str) -> Result<Option<&str>, NotUtf8> {
        self.variables.get(&OsString::from(name)).map(|value| value.to_str().ok_or(NotUtf8)).transpose()
    }

    /// The cell of a text with placeholders, which stands for this secret now.
    pub(super) fn cell(&self, text: &str, secret: &str) -> Secret {
        let mut cells = self.cells.lock().unwrap_or_else(PoisonError::into_inner);
        let cell = cells.entry(text.to_owned()).or_insert_with(|| Secret::new(secret));
        cell.renew(secret);
        cell.clone()
    }

    /// The names of all variables.
    pub(super) fn names(&self) -> impl Iterator<Item = &str> {
        self.variables.keys().filter_map(|name| name.to_str())
    }
}

/// A variable holds bytes that are no text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct NotUtf8;

impl<K: Into<OsString>, V: Into<OsString>> FromIterator<(K, V)> for Environment {
    fn from_iter<T: IntoIterator<Item = (K, V)>>(variables: T) -> Self {
        let variables = variables.into_iter().map(|(name, value)| (name.into(), value.into())).collect();
        Environment { variables, cells: Arc::default() }
    }
}

impl fmt::Debug for Environment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.variables.keys()).finish()
    }
}

/// Why there is no secret of a name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum NoSecret {
    /// Neither a file nor a variable has this name.
    Unset,
    /// It is there and holds nothing.
    Empty,
    /// It is there and cannot be read.
    Unreadable(String),
}

/// Where secrets are looked up.
pub(super) struct Vault<'a> {
    /// The folder with a file for each secret; it need not exist.
    pub(super) folder: PathBuf,
    /// Asked where the folder has no such file.
    pub(super) environment: &'a Environment,
}

impl Vault<'_> {
    /// The secret of this name, which has no separator in it. One line break at the end of a file is not part of it.
    pub(super) fn get(&self, name: &str) -> Result<Secret, NoSecret> {
        let text = match self.read(name)? {
            Some(text) => text,
            None => match self.environment.get(name) {
                Ok(text) => text.ok_or(NoSecret::Unset)?.to_owned(),
                Err(NotUtf8) => return Err(NoSecret::Unreadable("the variable is not UTF-8".into())),
            },
        };
        let kept = text.strip_suffix('\n').map_or(&*text, |text| text.strip_suffix('\r').unwrap_or(text));
        if kept.is_empty() { Err(NoSecret::Empty) } else { Ok(Secret::new(kept)) }
    }

    fn read(&self, name: &str) -> Result<Option<String>, NoSecret> {
        use std::io::Read as _;
        let unreadable = |error: std::io::Error| NoSecret::Unreadable(error.kind().to_string());
        let file = match std::fs::File::open(self.folder.join(name)) {
            Ok(file) => file,
            Err(error) if matches!(error.kind(), std::io::ErrorKind::NotFound | std::io::ErrorKind::NotADirectory) => {
                return Ok(None);
            }
            Err(error) => return Err(unreadable(error)),
        };
        let mut bytes = Vec::new();
        file.take(limits::SECRET_BYTES_MAX + 1).read_to_end(&mut bytes).map_err(unreadable)?;
        if bytes.len() as u64 > limits::SECRET_BYTES_MAX {
            return Err(NoSecret::Unreadable(format!("the file has more than {} bytes", limits::SECRET_BYTES_MAX)));
        }
        String::from_utf8(bytes).map(Some).map_err(|_| NoSecret::Unreadable("the file is not UTF-8".into()))
    }

    /// The names of the secrets that there are, as far as the folder can be read.
    pub(super) fn names(&self) -> Vec<String> {
        let entries = std::fs::read_dir(&self.folder).into_iter().flatten().flatten();
        let in_folder = entries.filter_map(|entry| entry.file_name().into_string().ok()).filter(|name| !name.starts_with('.'));
        in_folder.chain(self.environment.names().map(str::to_owned)).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_is_never_shown() {
        let secret = Secret::new("hunter2");
        assert_eq!(
            format!("{secret} {secret:?} {}", serde_json::to_string(&secret).expect("serialises")),
            "[secret] [secret] \"[secret]\""
        );
        let environment: Environment = [("TOKEN", "hunter2")].into_iter().collect();
        assert_eq!(format!("{environment:?}"), r#"{"TOKEN"}"#);
    }

    #[test]
    fn what_is_renewed_is_new_for_all_who_hold_it() {
        let (secret, before) = (Secret::new("one"), Secret::new("one").expose());
        let held = secret.clone();
        assert!(!secret.renew("one") && secret.renew("two"));
        assert_eq!((&*held.expose_text(), &*before), ("two", &b"one"[..]));
    }

    #[test]
    fn a_file_comes_before_the_environment() {
        let folder = tempfile::tempdir().expect("a folder");
        let write = |name: &str, bytes: &[u8]| std::fs::write(folder.path().join(name), bytes).expect("writes");
        write("A", b"from-file\r\n");
        write("EMPTY", b"\n");
        write("BROKEN", b"\xff\xfe");
        let environment: Environment = [("A", "from-environment"), ("B", "b"), ("C", "")].into_iter().collect();
        let vault = Vault { folder: folder.path().into(), environment: &environment };
        let check = |name: &str, want: Result<&str, NoSecret>| {
            assert_eq!(vault.get(name).map(|secret| secret.expose_text()), want.map(str::to_owned), "{name}");
        };
        check("A", Ok("from-file"));
        check("B", Ok("b"));
        check("C", Err(NoSecret::Empty));
        check("EMPTY", Err(NoSecret::Empty));
        check("D", Err(NoSecret::Unset));
        check("BROKEN", Err(NoSecret::Unreadable("the file is not UTF-8".into())));
    }
}
