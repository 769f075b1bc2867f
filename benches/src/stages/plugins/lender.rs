//! What the stages under measurement are lent: a secret, and a folder in memory; or the engine's own desk over a folder on the disk.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use weft::clock::Clock;
use weft::lending::Desk;
use weft::suppression::Suppression;
use weft::telemetry::Metrics;
use weft::vault::{DataFolder, Vault};
use weft::writer::Writer;
use weft_host::{Failure, FailureKind, Lending, Lent};

/// The folder's handle in the configuration.
pub(super) const FOLDER: &str = "out";

type Files = BTreeMap<String, Vec<u8>>;

/// A secret `key`, and one folder in memory.
#[derive(Default)]
pub(super) struct Lender(Mutex<Files>);

impl Lender {
    pub(super) fn new() -> Arc<Lender> {
        Arc::default()
    }

    /// The files and what is in them.
    pub(super) fn files(&self) -> Files {
        self.lock().clone()
    }

    /// Files that grow no more would only fill the memory.
    pub(super) fn forget_finished(&self) {
        self.lock().retain(|name, _| is_growing(name));
    }

    fn lock(&self) -> MutexGuard<'_, Files> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Whether the plugin still needs a file.
pub(super) fn is_growing(name: &str) -> bool {
    name.ends_with(".part") || name.ends_with(".json")
}

fn ready<'a, T: Send + 'a>(value: T) -> Lending<'a, Result<T, Failure>> {
    Box::pin(std::future::ready(Ok(value)))
}

impl Lent for Lender {
    fn secret(&self, handle: &str) -> Option<Arc<[u8]>> {
        (handle == "key").then(|| Arc::from(&b"key"[..]))
    }

    fn file_read(&self, _: &str, name: &str) -> Lending<'_, Result<Option<Vec<u8>>, Failure>> {
        ready(self.lock().get(name).cloned())
    }

    fn file_size(&self, _: &str, name: &str) -> Lending<'_, Result<Option<u64>, Failure>> {
        ready(self.lock().get(name).map(|bytes| bytes.len() as u64))
    }

    fn file_write(&self, _: &str, name: &str, bytes: Vec<u8>) -> Lending<'_, Result<(), Failure>> {
        self.lock().insert(name.to_owned(), bytes);
        ready(())
    }

    fn file_append(&self, _: &str, name: &str, at: u64, bytes: Vec<u8>) -> Lending<'_, Result<u64, Failure>> {
        let mut files = self.lock();
        let file = files.entry(name.to_owned()).or_default();
        file.truncate(usize::try_from(at).expect("a file in memory"));
        file.extend_from_slice(&bytes);
        ready(file.len() as u64)
    }

    fn file_rename(&self, _: &str, from: &str, to: &str) -> Lending<'_, Result<(), Failure>> {
        let mut files = self.lock();
        let Some(bytes) = files.remove(from) else {
            return Box::pin(std::future::ready(Err(Failure::new(FailureKind::Rejected, "there is no such file"))));
        };
        files.insert(to.to_owned(), bytes);
        ready(())
    }

    fn file_list(&self, _: &str) -> Lending<'_, Result<Vec<String>, Failure>> {
        ready(self.lock().keys().cloned().collect())
    }
}

/// Lends a folder below this one as the engine does. There is no desk without a writer, who has nothing to do here.
pub(super) fn on_disk(root: &Path) -> (Arc<Desk>, Writer) {
    let out = root.join(FOLDER);
    std::fs::create_dir(&out).expect("a folder for the files");
    let vault = Vault::open(&DataFolder::at(&root.join("data")), |_| ()).expect("a new data folder");
    let metrics = Metrics::shared();
    let suppression = Suppression::open(&root.join("data/erasure"), metrics.clone()).expect("there is no key yet");
    let writer = Writer::start(vault.history, vault.overlay, vault.state, Clock::Wall, metrics, Arc::new(suppression));
    let folders = BTreeMap::from([(FOLDER.to_owned(), out)]);
    let (secrets, ledger) = (BTreeMap::new(), writer.ledger().clone());
    let desk = Desk { stage: "bench".into(), secrets, folders, connection: None, ledger: Some(ledger) };
    (Arc::new(desk), writer)
}
