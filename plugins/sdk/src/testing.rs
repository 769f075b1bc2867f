//! The engine, played in memory: what natively answers the functions that the engine lends ([`crate::log`] and its siblings).
//!
//! Each thread (so each test) has a [`Double`] of its own, empty at first. A test fills it, calls the plugin, and looks into it:
//!
//! ```
//! use weft_plugin::{kv, testing};
//!
//! testing::with(|double| double.secrets.insert("key-1".into(), b"hunter2".to_vec()));
//! kv::set("seen", b"yes").unwrap();
//! assert_eq!(testing::with(|double| double.kv.len()), 1);
//! ```
//!
//! For destinations that must survive a crash, [`Double::crash`] ends the plugin at a chosen call, before, amid or after it; see
//! [`survive`].

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};

use crate::contract::{ConfigProblem, Failure, Rejection};
use crate::lent::{email, http, identity, log};
use crate::traits;

/// Who answers requests.
pub type Peer = Box<dyn FnMut(http::Request) -> Result<http::Response, Failure>>;

/// Who takes messages.
pub type Postman = Box<dyn FnMut(email::Message) -> Result<email::Outcome, Failure>>;

/// What the engine holds, and what it was told.
#[derive(Default)]
pub struct Double {
    /// Values of secrets by handle: the handle is the string that the test's configuration has.
    pub secrets: BTreeMap<String, Vec<u8>>,
    /// Files by name, by the handle of their folder. A folder that is not here is made when it is first used.
    pub folders: BTreeMap<String, BTreeMap<String, Vec<u8>>>,
    /// The stage's namespace.
    pub kv: BTreeMap<String, Vec<u8>>,
    /// The customers that there are: a look-up finds the first who has one of the identifiers.
    pub customers: Vec<identity::Known>,
    /// Who answers requests; without one every request is `unavailable`.
    pub peer: Option<Peer>,
    /// Who takes messages; without one the mail server is `unavailable`.
    pub postman: Option<Postman>,
    /// What was logged.
    pub logged: Vec<(log::Level, String)>,
    /// What was emitted.
    pub emitted: Vec<Vec<u8>>,
    /// What was refused.
    pub refused: Vec<(Rejection, Vec<u8>)>,
    /// The states that were given to `checkpoint`.
    pub checkpoints: Vec<String>,
    /// Calls of `kv` and `files` so far that change something.
    pub changes: usize,
    /// Where things go wrong.
    pub crash: Option<Crash>,
}

/// Something that goes wrong at a change of `kv` or `files`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Crash {
    /// The number of the change, from 1 on.
    pub at_change: usize,
    /// What happens to it.
    pub how: How,
}

/// What happens to a change.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum How {
    /// It is not made, and the plugin is told so.
    Fails,
    /// It is not made, and the plugin is gone.
    DiesBefore,
    /// An append is half made (every other change is whole or nothing), and the plugin is gone.
    DiesAmid,
    /// It is made, and the plugin is gone without hearing of it.
    DiesAfter,
}

impl How {
    /// All of them.
    pub const ALL: [How; 4] = [How::Fails, How::DiesBefore, How::DiesAmid, How::DiesAfter];
}

thread_local! {
    static DOUBLE: RefCell<Double> = RefCell::new(Double::default());
}

/// Looks into this thread's double, or fills it. Not to be called from within the peer.
pub fn with<T>(look: impl FnOnce(&mut Double) -> T) -> T {
    DOUBLE.with_borrow_mut(look)
}

/// Makes this thread's double as new.
pub fn reset() {
    with(|double| *double = Double::default());
}

/// Runs a call of a plugin, and says what it returned; none where [`Double::crash`] ended it.
pub fn survive<T>(call: impl FnOnce() -> T) -> Option<T> {
    match catch_unwind(AssertUnwindSafe(call)) {
        Ok(returned) => Some(returned),
        Err(panic) if panic.is::<Died>() => None,
        Err(panic) => resume_unwind(panic),
    }
}

/// Reads a configuration as the engine hands it over, from JSON text.
///
/// # Errors
/// The mistake in it, as `validate` reports it.
pub fn config<C: serde::de::DeserializeOwned>(json: &str) -> Result<C, ConfigProblem> {
    traits::read_config(json)
}

/// How a plugin ends that [`Double::crash`] ended.
struct Died;

/// What [`crate::lent`] calls.
pub(crate) mod engine {
    use hmac::{Hmac, KeyInit, Mac};
    use sha1::Sha1;
    use sha2::{Digest, Sha256, Sha512};

    use super::{Died, Double, How, with};
    use crate::contract::{Failure, Rejection};
    use crate::lent::crypto::Algorithm;
    use crate::lent::{email, files, http, identity, log};

    pub(crate) fn log(level: log::Level, message: &str) {
        with(|double| double.logged.push((level, message.to_owned())));
    }

    pub(crate) fn send(request: http::Request) -> Result<http::Response, Failure> {
        with(|double| match &mut double.peer {
            Some(peer) => peer(request),
            None => Err(Failure::unavailable("this test has no peer")),
        })
    }

    pub(crate) fn mail(message: email::Message) -> Result<email::Outcome, Failure> {
        with(|double| match &mut double.postman {
            Some(postman) => postman(message),
            None => Err(Failure::unavailable("this test has no postman")),
        })
    }

    pub(crate) fn mail_check() -> Result<(), Failure> {
        let has_postman = with(|double| double.postman.is_some());
        if has_postman { Ok(()) } else { Err(Failure::unavailable("this test has no postman")) }
    }

    pub(crate) fn equals(secret: &str, candidate: &[u8]) -> bool {
        with(|double| double.secrets.get(secret).is_some_and(|secret| secret == candidate))
    }

    pub(crate) fn hmac(secret: &str, by: Algorithm, message: &[u8]) -> Option<Vec<u8>> {
        fn of<M: Mac + KeyInit>(secret: &[u8], message: &[u8]) -> Vec<u8> {
            let mut mac = <M as KeyInit>::new_from_slice(secret).expect("HMAC takes keys of any length");
            mac.update(message);
            mac.finalize().into_bytes().to_vec()
        }
        let secret = with(|double| double.secrets.get(secret).cloned())?;
        Some(match by {
            Algorithm::Sha1 => of::<Hmac<Sha1>>(&secret, message),
            Algorithm::Sha256 => of::<Hmac<Sha256>>(&secret, message),
            Algorithm::Sha512 => of::<Hmac<Sha512>>(&secret, message),
        })
    }

    pub(crate) fn hash(by: Algorithm, message: &[u8]) -> Vec<u8> {
        match by {
            Algorithm::Sha1 => Sha1::digest(message).to_vec(),
            Algorithm::Sha256 => Sha256::digest(message).to_vec(),
            Algorithm::Sha512 => Sha512::digest(message).to_vec(),
        }
    }

    fn die() -> ! {
        // Not a panic: nothing is printed, and the hook is not called.
        std::panic::resume_unwind(Box::new(Died))
    }

    /// Makes a change, or what [`Double::crash`] makes of it. `half` is the change half made.
    fn change<T>(make: impl FnOnce(&mut Double) -> Result<T, Failure>, half: impl FnOnce(&mut Double)) -> Result<T, Failure> {
        let how = with(|double| {
            double.changes += 1;
            double.crash.filter(|crash| crash.at_change == double.changes).map(|crash| crash.how)
        });
        match how {
            Some(How::Fails) => return Err(Failure::unavailable("the disk is full")),
            Some(How::DiesBefore) => die(),
            Some(How::DiesAmid) => {
                with(half);
                die()
            }
            Some(How::DiesAfter) => {
                let _ = with(make);
                die()
            }
            None => {}
        }
        with(make)
    }

    pub(crate) fn kv_get(key: &str) -> Result<Option<Vec<u8>>, Failure> {
        Ok(with(|double| double.kv.get(key).cloned()))
    }

    pub(crate) fn kv_set(key: &str, value: &[u8]) -> Result<(), Failure> {
        change(
            |double| {
                double.kv.insert(key.to_owned(), value.to_vec());
                Ok(())
            },
            |_| {},
        )
    }

    pub(crate) fn kv_delete(key: &str) -> Result<(), Failure> {
        change(
            |double| {
                double.kv.remove(key);
                Ok(())
            },
            |_| {},
        )
    }

    pub(crate) fn lookup(asked: Vec<identity::Identifier>) -> Result<Option<identity::Known>, Failure> {
        let places = |known: &identity::Known| -> Vec<u32> {
            (0..).zip(&asked).filter(|(_, one)| known.identifiers.contains(one)).map(|(place, _)| place).collect()
        };
        with(|double| {
            let mut found = double.customers.iter().map(|known| identity::Known { matched: places(known), ..known.clone() });
            Ok(found.find(|known| !known.matched.is_empty()))
        })
    }

    fn check_name(name: &str) -> Result<(), Failure> {
        let bad =
            name.is_empty() || name.len() > files::NAME_BYTES_MAX || name.starts_with('.') || name.contains(['/', '\\', '\0']);
        if bad { Err(Failure::rejected(format!("`{name}` is no plain file name"))) } else { Ok(()) }
    }

    pub(crate) fn read(folder: &str, name: &str) -> Result<Option<Vec<u8>>, Failure> {
        check_name(name)?;
        let bytes = with(|double| double.folders.get(folder)?.get(name).cloned());
        match bytes {
            Some(bytes) if bytes.len() > files::READ_BYTES_MAX => Err(Failure::rejected("the file is longer than 1 MiB")),
            bytes => Ok(bytes),
        }
    }

    pub(crate) fn size(folder: &str, name: &str) -> Result<Option<u64>, Failure> {
        check_name(name)?;
        Ok(with(|double| Some(double.folders.get(folder)?.get(name)?.len() as u64)))
    }

    pub(crate) fn write(folder: &str, name: &str, bytes: &[u8]) -> Result<(), Failure> {
        check_name(name)?;
        change(
            |double| {
                double.folders.entry(folder.into()).or_default().insert(name.into(), bytes.to_vec());
                Ok(())
            },
            |_| {},
        )
    }

    pub(crate) fn append(folder: &str, name: &str, at: u64, bytes: &[u8]) -> Result<u64, Failure> {
        check_name(name)?;
        let append = |double: &mut Double, bytes: &[u8]| {
            let file = double.folders.entry(folder.into()).or_default().entry(name.into()).or_default();
            let at = usize::try_from(at).expect("a file in memory");
            if at > file.len() {
                return Err(Failure::rejected(format!("the file has {} bytes, fewer than {at}", file.len())));
            }
            file.truncate(at);
            file.extend_from_slice(bytes);
            Ok(file.len() as u64)
        };
        change(|double| append(double, bytes), |double| drop(append(double, &bytes[..bytes.len() / 2])))
    }

    pub(crate) fn rename(folder: &str, from: &str, to: &str) -> Result<(), Failure> {
        check_name(from)?;
        check_name(to)?;
        let rename = |double: &mut Double| {
            let files = double.folders.entry(folder.into()).or_default();
            let bytes = files.remove(from).ok_or_else(|| Failure::rejected(format!("there is no file `{from}`")))?;
            files.insert(to.to_owned(), bytes);
            Ok(())
        };
        change(rename, |_| {})
    }

    pub(crate) fn list(folder: &str) -> Result<Vec<String>, Failure> {
        Ok(with(|double| double.folders.get(folder).map_or_else(Vec::new, |files| files.keys().cloned().collect())))
    }

    pub(crate) fn emit(events: Vec<Vec<u8>>) -> Result<(), Failure> {
        with(|double| double.emitted.extend(events));
        Ok(())
    }

    pub(crate) fn refuse(refused: Vec<(Rejection, Vec<u8>)>) -> Result<(), Failure> {
        with(|double| double.refused.extend(refused));
        Ok(())
    }

    pub(crate) fn checkpoint(state: &str) -> Result<(), Failure> {
        with(|double| double.checkpoints.push(state.to_owned()));
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::lent::config::{Folder, Secret};
    use crate::lent::{crypto, kv};

    #[test]
    fn secrets_are_used_by_their_handle() {
        let secret: Secret = serde_json::from_str("\"handle\"").expect("a string");
        assert!(!secret.equals(b"Jefe") && secret.hmac(crypto::Algorithm::Sha256, b"").is_err(), "an unknown handle");
        with(|double| double.secrets.insert("handle".into(), b"Jefe".to_vec()));
        assert!(secret.equals(b"Jefe") && !secret.equals(b"jefe"));
        // RFC 4231, test case 2.
        let hmac = secret.hmac(crypto::Algorithm::Sha256, b"what do ya want for nothing?").expect("known");
        assert_eq!(hmac[..4], [0x5b, 0xdc, 0xc1, 0x46]);
        assert_eq!(crypto::hash(crypto::Algorithm::Sha256, b"abc")[..4], [0xba, 0x78, 0x16, 0xbf]);
        assert!(!format!("{secret:?}").contains("handle"));
    }

    #[test]
    fn folders_keep_the_contract() {
        let folder: Folder = serde_json::from_str("\"out\"").expect("a string");
        assert_eq!(folder.read("a"), Ok(None));
        assert_eq!(folder.append("a", 0, b"one"), Ok(3));
        assert_eq!(folder.append("a", 3, b"two"), Ok(6));
        assert_eq!(folder.append("a", 3, b"two"), Ok(6), "repeating changes nothing");
        assert!(folder.append("a", 7, b"x").is_err(), "past the end");
        folder.rename("a", "b").expect("there");
        assert_eq!((folder.size("a"), folder.size("b")), (Ok(None), Ok(Some(6))));
        assert_eq!(folder.list(), Ok(vec!["b".to_owned()]));
        for name in ["", ".hidden", "a/b", "..", &"x".repeat(256)] {
            assert!(folder.write(name, b"").is_err(), "{name}");
        }
    }

    #[test]
    fn a_crash_ends_the_plugin_where_it_was_asked_to() {
        let check = |how: How, want: Option<Result<(), ()>>, kept: bool| {
            reset();
            with(|double| double.crash = Some(Crash { at_change: 1, how }));
            assert_eq!(survive(|| kv::set("k", b"v").map_err(|_| ())), want, "{how:?}");
            assert_eq!(kv::get("k").expect("readable").is_some(), kept, "{how:?}");
        };
        check(How::Fails, Some(Err(())), false);
        check(How::DiesBefore, None, false);
        check(How::DiesAmid, None, false);
        check(How::DiesAfter, None, true);
    }
}
