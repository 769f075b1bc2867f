//! What the engine lends to a stage's plugin: its secrets as handles, its folders, its small store, its connection,
//! who is known, its log lines.
//!
//! A stage gets what its configuration names and nothing else (invariant 7). Handles of other stages are unknown here.

use std::collections::BTreeMap;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use weft_domain::event;
use weft_domain::explain::{Found, look_up};
use weft_domain::input::Kv;
use weft_host::{Email, Failure, FailureKind, HttpRequest, HttpResponse, Identifier, Known, Lending, Lent, Level, Mailed};

use crate::config::Secret;
use crate::egress::{Gateway, Mailer};
use crate::limits;
use crate::writer::Ledger;

/// What one stage may reach.
pub struct Desk {
    /// The stage's name.
    pub stage: String,
    /// Secrets by handle.
    pub secrets: BTreeMap<String, Secret>,
    /// Folders by handle.
    pub folders: BTreeMap<String, PathBuf>,
    /// Where its requests or its messages go.
    pub connection: Option<Gateway>,
    /// Where its small store is, and who is known; none while the outside is only tried, when the store is empty and takes nothing, and nobody is
    /// known.
    pub ledger: Option<Ledger>,
}

impl Lent for Desk {
    fn log(&self, level: Level, message: &str) {
        let stage = &*self.stage;
        match level {
            Level::Debug => tracing::debug!(stage, "{message}"),
            Level::Info => tracing::info!(stage, "{message}"),
            Level::Warn => tracing::warn!(stage, "{message}"),
            Level::Error => tracing::error!(stage, "{message}"),
        }
    }

    fn http(&self, request: HttpRequest) -> Lending<'_, Result<HttpResponse, Failure>> {
        Box::pin(async move {
            match &self.connection {
                Some(Gateway::Http(connection)) => connection.send(request).await,
                Some(Gateway::Mail(_)) => {
                    Err(Failure::new(FailureKind::Config, "the stage's connection takes messages, not requests"))
                }
                None => Err(Failure::new(FailureKind::Config, "the stage names no connection")),
            }
        })
    }

    fn email(&self, message: Email) -> Lending<'_, Result<Mailed, Failure>> {
        Box::pin(async move { self.mailer()?.send(message).await })
    }

    fn email_check(&self) -> Lending<'_, Result<(), Failure>> {
        Box::pin(async move { self.mailer()?.try_out().await })
    }

    fn secret(&self, handle: &str) -> Option<Arc<[u8]>> {
        self.secrets.get(handle).map(|secret| (*secret.expose()).into())
    }

    fn kv_get(&self, key: &str) -> Lending<'_, Result<Option<Vec<u8>>, Failure>> {
        let Some(ledger) = &self.ledger else { return Box::pin(std::future::ready(Ok(None))) };
        let read = ledger.state().value(&self.stage, key);
        let read = read.map(|value| value.map(|value| value.0.clone()));
        Box::pin(std::future::ready(read.map_err(|error| Failure::new(FailureKind::Unavailable, error.to_string()))))
    }

    fn kv_set(&self, key: &str, value: Vec<u8>) -> Lending<'_, Result<(), Failure>> {
        self.put(key, Some(value))
    }

    fn kv_delete(&self, key: &str) -> Lending<'_, Result<(), Failure>> {
        self.put(key, None)
    }

    fn lookup(&self, identifiers: Vec<Identifier>) -> Lending<'_, Result<Option<Known>, Failure>> {
        let Some(ledger) = self.ledger.clone() else { return Box::pin(std::future::ready(Ok(None))) };
        Box::pin(async move {
            let asked: Vec<_> = identifiers.iter().map(|one| event::Identifier::observed(&one.kind, &one.value)).collect();
            let look_up = move || {
                let state = ledger.state();
                look_up(&state.plan().identity, &*state, &asked)
            };
            match tokio::task::spawn_blocking(look_up).await {
                Ok(Ok(found)) => Ok(found.map(known)),
                Ok(Err(error)) => Err(Failure::new(FailureKind::Unavailable, error.to_string())),
                Err(panic) => Err(Failure::new(FailureKind::Internal, panic.to_string())),
            }
        })
    }

    fn file_read(&self, folder: &str, name: &str) -> Lending<'_, Result<Option<Vec<u8>>, Failure>> {
        self.with_file(folder, name, |path| absent(read(path)))
    }

    fn file_size(&self, folder: &str, name: &str) -> Lending<'_, Result<Option<u64>, Failure>> {
        self.with_file(folder, name, |path| absent(fs::metadata(path).map(|metadata| metadata.len())))
    }

    fn file_write(&self, folder: &str, name: &str, bytes: Vec<u8>) -> Lending<'_, Result<(), Failure>> {
        self.with_file(folder, name, move |path| replace(path, &bytes))
    }

    fn file_append(&self, folder: &str, name: &str, at: u64, bytes: Vec<u8>) -> Lending<'_, Result<u64, Failure>> {
        self.with_file(folder, name, move |path| append(path, at, &bytes))
    }

    fn file_rename(&self, folder: &str, from: &str, to: &str) -> Lending<'_, Result<(), Failure>> {
        let to = to.to_owned();
        self.with_file(folder, from, move |path| {
            fs::rename(path, path.with_file_name(to))?;
            sync_folder(path)
        })
    }

    fn file_list(&self, folder: &str) -> Lending<'_, Result<Vec<String>, Failure>> {
        self.with_file(folder, "", |path| {
            let mut names: Vec<String> = Vec::new();
            for entry in fs::read_dir(path)? {
                names.extend(entry?.file_name().into_string().ok().filter(|name| !name.starts_with('.')));
            }
            names.sort();
            Ok(names)
        })
    }
}

impl Desk {
    fn mailer(&self) -> Result<&Mailer, Failure> {
        match &self.connection {
            Some(Gateway::Mail(mailer)) => Ok(mailer),
            Some(Gateway::Http(_)) => {
                Err(Failure::new(FailureKind::Config, "the stage's connection takes requests, not messages"))
            }
            None => Err(Failure::new(FailureKind::Config, "the stage names no connection")),
        }
    }

    fn put(&self, key: &str, value: Option<Vec<u8>>) -> Lending<'_, Result<(), Failure>> {
        let fits =
            key.len() <= limits::KV_KEY_BYTES_MAX && value.as_ref().is_none_or(|value| value.len() <= limits::KV_VALUE_BYTES_MAX);
        let kv = Kv { stage: self.stage.clone(), key: key.to_owned(), value };
        Box::pin(async move {
            if !fits {
                return Err(Failure::new(FailureKind::Rejected, "the key or the value is too large"));
            }
            let Some(ledger) = &self.ledger else {
                return Err(Failure::new(FailureKind::Rejected, "nothing is kept while the outside is only tried"));
            };
            match ledger.keep(kv).await {
                Some(kept) => kept.map_err(|full| Failure::new(FailureKind::Rejected, full.to_string())),
                None => Err(Failure::new(FailureKind::Cancelled, "the engine stops")),
            }
        })
    }

    /// Does something with a file of one of the stage's folders, on a thread that may wait for the disk.
    fn with_file<T: Send + 'static>(
        &self,
        folder: &str,
        name: &str,
        work: impl FnOnce(&Path) -> io::Result<T> + Send + 'static,
    ) -> Lending<'_, Result<T, Failure>> {
        let path = self.folders.get(folder).map(|folder| folder.join(name));
        Box::pin(async move {
            let Some(path) = path else { return Err(Failure::new(FailureKind::Config, "the folder is not lent to this stage")) };
            let shown = path.display().to_string();
            let done = tokio::task::spawn_blocking(move || work(&path)).await;
            match done {
                Ok(done) => done.map_err(|error| Failure::new(FailureKind::Unavailable, format!("{shown}: {error}"))),
                Err(panic) => Err(Failure::new(FailureKind::Internal, panic.to_string())),
            }
        })
    }
}

fn known(found: Found) -> Known {
    let Found { customer, signs_in, matched, identifiers } = found;
    Known {
        customer: customer.to_string(),
        signs_in,
        // There are at most a hundred.
        matched: matched.into_iter().filter_map(|place| u32::try_from(place).ok()).collect(),
        identifiers: identifiers.into_iter().map(|one| Identifier { kind: one.kind, value: one.value }).collect(),
    }
}

fn absent<T>(read: io::Result<T>) -> io::Result<Option<T>> {
    match read {
        Ok(read) => Ok(Some(read)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

/// Bytes of a file that a plugin reads as a whole: what the contract says.
const FILE_READ_BYTES_MAX: u64 = 1 << 20;

fn read(path: &Path) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    File::open(path)?.take(FILE_READ_BYTES_MAX + 1).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > FILE_READ_BYTES_MAX {
        return Err(io::Error::other("the file has more than 1 MiB"));
    }
    Ok(bytes)
}

/// Replaces a file as a whole: readers see the old bytes or the new ones, also after a power cut.
fn replace(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let mut name = std::ffi::OsString::from(".");
    name.push(path.file_name().unwrap_or_default());
    let beside = path.with_file_name(name);
    let mut file = File::create(&beside)?;
    file.write_all(bytes)?;
    file.sync_data()?;
    fs::rename(&beside, path)?;
    sync_folder(path)
}

fn append(path: &Path, at: u64, bytes: &[u8]) -> io::Result<u64> {
    let is_new = !path.exists();
    let mut file = OpenOptions::new().create(true).truncate(false).write(true).open(path)?;
    let length = file.metadata()?.len();
    if at > length {
        return Err(io::Error::other(format!("cannot append at {at}: the file has {length} bytes")));
    }
    if at < length {
        file.set_len(at)?;
    }
    file.seek(SeekFrom::Start(at))?;
    file.write_all(bytes)?;
    file.sync_data()?;
    if is_new {
        sync_folder(path)?;
    }
    Ok(at + bytes.len() as u64)
}

fn sync_folder(path: &Path) -> io::Result<()> {
    File::open(path.parent().unwrap_or(Path::new(".")))?.sync_all()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn appending_at_a_length_is_idempotent() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("events.ndjson");
        let check = |at: u64, bytes: &str, want: &str| {
            assert_eq!(append(&path, at, bytes.as_bytes()).expect("appends"), want.len() as u64);
            assert_eq!(fs::read_to_string(&path).expect("reads"), want);
        };
        check(0, "one\n", "one\n");
        check(4, "two\n", "one\ntwo\n");
        check(4, "two\n", "one\ntwo\n");
        check(4, "3\n", "one\n3\n");
        assert!(append(&path, 100, b"x").is_err(), "a hole is refused");
    }

    #[test]
    fn a_file_is_replaced_as_a_whole() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("state.json");
        replace(&path, b"old").expect("writes");
        replace(&path, b"new").expect("writes");
        assert_eq!(read(&path).expect("reads"), b"new");
        assert_eq!(fs::read_dir(folder.path()).expect("lists").count(), 1, "nothing is left beside it");
    }
}
