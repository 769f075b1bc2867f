//! Whose events are not taken any more: identifiers of people who were erased, known by keyed hashes and by nothing else.
//!
//! The key is made once, from the system's randomness, and never leaves the data folder; without it the hashes say nothing, since an
//! e-mail address could otherwise be found by trying. The hashes themselves are values in state ([`STAGE`]), so that they are in
//! history and survive a rebuild; here they are held to be asked at the doors and before history. Who erases is [`crate::erasure`].

use std::collections::{BTreeSet, HashSet};
use std::fs;
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError, RwLock};

use hmac::{Hmac, KeyInit, Mac};
use ring::rand::{SecureRandom, SystemRandom};
use sha2::Sha256;
use weft_domain::event::{Event, Identifier};
use weft_store::files::{Disk, Files};

use crate::limits;
use crate::telemetry::{Metrics, Stage};

/// The stage under whose name the hashes are kept, each with the erasure that it is of. It has a slash, so no plugin reaches it.
pub const STAGE: &str = "erasure/suppressed";

/// Bytes of the key: those of the hash (RFC 2104, section 3).
const KEY_BYTES: usize = 32;

/// The keyed hash of an identifier: HMAC-SHA-256 of its type and its value, cut to 128 bits. The value is trimmed and in small letters,
/// so that the same address in another spelling is the same.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Print([u8; 16]);

impl Print {
    /// As text: 32 hexadecimal digits.
    #[must_use]
    pub fn text(self) -> String {
        self.0.iter().map(|byte| format!("{byte:02x}")).collect()
    }

    /// A hash again.
    #[must_use]
    pub fn read(text: &str) -> Option<Print> {
        u128::from_str_radix(text, 16).ok().filter(|_| text.len() == 32).map(|number| Print(number.to_be_bytes()))
    }
}

/// Whose events are not taken any more.
pub struct Suppression {
    folder: PathBuf,
    key: OnceLock<[u8; KEY_BYTES]>,
    held: RwLock<HashSet<Print>>,
    in_force: AtomicBool,
    late: Mutex<BTreeSet<u64>>,
    metrics: Arc<Metrics>,
}

impl Suppression {
    /// Reads the key of a data folder, where it has one already.
    ///
    /// # Errors
    /// [`io::Error`], where the key cannot be read or is none.
    pub fn open(folder: &Path, metrics: Arc<Metrics>) -> io::Result<Suppression> {
        let key = OnceLock::new();
        match fs::read(folder.join("key")) {
            Ok(bytes) => {
                let wrong = |_| io::Error::new(io::ErrorKind::InvalidData, format!("the key has not {KEY_BYTES} bytes"));
                let bytes: [u8; KEY_BYTES] = bytes.try_into().map_err(wrong)?;
                key.get_or_init(|| bytes);
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => (),
            Err(error) => return Err(error),
        }
        let (held, in_force, late) = (RwLock::default(), AtomicBool::new(true), Mutex::default());
        Ok(Suppression { folder: folder.to_owned(), key, held, in_force, late, metrics })
    }

    /// Whether what is held counts: `erasure.suppress` of the workspace.
    pub fn set_in_force(&self, in_force: bool) {
        self.in_force.store(in_force, Ordering::Release);
    }

    /// The hash of an identifier. The key is made where there is none yet.
    ///
    /// # Errors
    /// [`io::Error`], where the key cannot be kept: then no hash may be.
    pub fn print(&self, kind: &str, value: &str) -> io::Result<Print> {
        let key = match self.key.get() {
            Some(key) => *key,
            None => {
                let made = make_key(&self.folder)?;
                *self.key.get_or_init(|| made)
            }
        };
        Ok(hash(&key, kind, value))
    }

    /// Takes hashes in, or lets them go.
    pub fn hold(&self, prints: impl IntoIterator<Item = (Print, Held)>) {
        let mut held = self.held.write().unwrap_or_else(PoisonError::into_inner);
        for (print, wanted) in prints {
            match wanted {
                Held::Yes => held.insert(print),
                Held::No => held.remove(&print),
            };
        }
    }

    /// How many identifiers are held.
    #[must_use]
    pub fn count(&self) -> usize {
        self.held.read().unwrap_or_else(PoisonError::into_inner).len()
    }

    /// Whether an event of a source names somebody who was erased; it is counted then. One that names others as well is refused too:
    /// it would tie what was erased to them.
    #[must_use]
    pub fn refuses(&self, source: &str, claims: &[Identifier]) -> bool {
        let (Some(key), true) = (self.key.get(), self.in_force.load(Ordering::Acquire)) else { return false };
        let held = self.held.read().unwrap_or_else(PoisonError::into_inner);
        if held.is_empty() || !claims.iter().any(|one| held.contains(&hash(key, &one.kind, &one.value))) {
            return false;
        }
        self.metrics.suppressed.get_or_create(&Stage { stage: source.to_owned() }).inc();
        true
    }

    /// The same of bytes that may be an event.
    #[must_use]
    pub fn refuses_bytes(&self, source: &str, bytes: &[u8]) -> bool {
        self.count() > 0 && Event::parse(bytes).is_ok_and(|event| self.refuses(source, &event.claims))
    }

    /// Notes that an event was refused only after intake: its bytes are at this place there until they are taken away. Past the bound they
    /// stay until the next erasure, or until intake is let go.
    pub fn note_late(&self, intake: u64) {
        let mut late = self.late.lock().unwrap_or_else(PoisonError::into_inner);
        if late.len() < limits::LATE_MAX {
            late.insert(intake);
        }
    }

    /// The places of such events since this was last asked.
    #[must_use]
    pub fn take_late(&self) -> BTreeSet<u64> {
        std::mem::take(&mut *self.late.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// Whether a hash is held.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Held {
    /// It is.
    Yes,
    /// It is not any more.
    No,
}

fn hash(key: &[u8; KEY_BYTES], kind: &str, value: &str) -> Print {
    let mut mac = Hmac::<Sha256>::new_from_slice(key).expect("a key of any length will do");
    mac.update(&(kind.len() as u32).to_be_bytes());
    mac.update(kind.as_bytes());
    mac.update(value.trim().to_lowercase().as_bytes());
    Print(mac.finalize().into_bytes()[..16].try_into().expect("a SHA-256 has 32 bytes"))
}

/// Makes the key, readable for nobody else, and durable before anything is hashed with it.
fn make_key(folder: &Path) -> io::Result<[u8; KEY_BYTES]> {
    let mut key = [0; KEY_BYTES];
    SystemRandom::new().fill(&mut key).map_err(|_| io::Error::other("the system gives no random bytes"))?;
    Disk.create_dir(folder)?;
    let (beside, path) = (folder.join("key.new"), folder.join("key"));
    let mut file = fs::OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&beside)?;
    file.write_all(&key)?;
    file.sync_all()?;
    fs::rename(&beside, &path)?;
    Disk.sync_dir(folder)?;
    Ok(key)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use weft_domain::event::Learnt;

    use super::*;

    #[test]
    fn who_was_erased_is_known_by_a_key_that_nobody_else_reads() {
        let folder = tempfile::tempdir().expect("a folder");
        let claims = |value: &str| [Identifier { kind: "email".into(), value: value.into(), how: Learnt::Observed }];
        let open = || Suppression::open(folder.path(), Metrics::shared()).expect("opens");
        let first = open();
        assert!(!first.refuses("web", &claims("ann@shop.example")), "nobody was erased");
        let print = first.print("email", "ann@shop.example").expect("the key is made");
        let mode = fs::metadata(folder.path().join("key")).expect("it is there").permissions().mode();
        assert_eq!(mode & 0o777, 0o600);

        let again = open();
        assert_eq!(again.print("email", " Ann@Shop.Example ").expect("hashes"), print);
        assert_eq!(Print::read(&print.text()), Some(print));
        again.hold([(print, Held::Yes)]);
        assert!(again.refuses("web", &claims("ANN@shop.example")) && !again.refuses("web", &claims("bob@shop.example")));
        again.set_in_force(false);
        assert!(!again.refuses("web", &claims("ann@shop.example")));
        again.set_in_force(true);
        again.hold([(print, Held::No)]);
        assert!(!again.refuses("web", &claims("ann@shop.example")));
    }
}
