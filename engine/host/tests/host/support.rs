//! What the tests share: a small host, fixtures, and a lender that writes down what it is asked.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use weft_host::{
    Failure, Host, HostOptions, HttpRequest, HttpResponse, Lending, Lent, Level, Output, Plugin, Rejection, Stage, WantedLimits,
};

/// A host with a small pool, and its cache folder.
pub(crate) struct Bench {
    pub(crate) host: Host,
    pub(crate) folder: tempfile::TempDir,
}

pub(crate) fn bench() -> Bench {
    let folder = tempfile::tempdir().unwrap();
    Bench { host: host(&folder.path().join("cache")), folder }
}

pub(crate) fn host(cache: &Path) -> Host {
    Host::new(HostOptions { instances_max: 16, ..HostOptions::new(cache) }).unwrap()
}

pub(crate) fn fixture(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../plugins/fixtures").join(name)
}

/// A fixture with some of its text replaced.
pub(crate) fn altered(bench: &Bench, name: &str, replace: &[(&str, &str)]) -> PathBuf {
    let mut text = std::fs::read_to_string(fixture(name)).unwrap();
    for (from, to) in replace {
        assert!(text.contains(from), "{name} has no {from}");
        text = text.replace(from, to);
    }
    let path = bench.folder.path().join(format!("altered-{name}"));
    std::fs::write(&path, text).unwrap();
    path
}

/// A fixture with another manifest.
pub(crate) fn with_manifest(bench: &Bench, name: &str, manifest: &str) -> PathBuf {
    let text = std::fs::read_to_string(fixture(name)).unwrap();
    let mut lines: Vec<String> = text.lines().map(str::to_owned).collect();
    let data = lines.iter().position(|line| line.contains("(data (i32.const 1024)")).unwrap();
    lines[data] = format!("(data (i32.const 1024) \"{}\")", manifest.replace('\\', "\\\\").replace('"', "\\\""));
    let length = lines.iter().position(|line| line.contains("(global $manifest-length")).unwrap();
    lines[length] = format!("(global $manifest-length i32 (i32.const {}))", manifest.len());
    let path = bench.folder.path().join(format!("manifest-{name}"));
    std::fs::write(&path, lines.join("\n")).unwrap();
    path
}

pub(crate) async fn load(bench: &Bench, path: &Path) -> Plugin {
    bench.host.load(path).await.unwrap()
}

pub(crate) fn stage(lent: Arc<dyn Lent>) -> Stage {
    Stage { name: "under-test".to_owned(), config: "{}".to_owned(), lent, limits: WantedLimits::default() }
}

pub(crate) fn records(texts: &[&str]) -> Vec<Bytes> {
    texts.iter().map(|text| Bytes::copy_from_slice(text.as_bytes())).collect()
}

/// Lends everything, and writes down what it is asked.
#[derive(Default)]
pub(crate) struct Notebook {
    pub(crate) lines: Mutex<Vec<(Level, String)>>,
    pub(crate) asked: Mutex<Vec<String>>,
    pub(crate) keys: Mutex<BTreeMap<String, Vec<u8>>>,
}

impl Notebook {
    fn note(&self, what: String) {
        self.asked.lock().unwrap().push(what);
    }

    pub(crate) fn asked(&self) -> Vec<String> {
        self.asked.lock().unwrap().clone()
    }
}

fn ready<'a, T: Send + 'a>(value: T) -> Lending<'a, T> {
    Box::pin(std::future::ready(value))
}

impl Lent for Notebook {
    fn log(&self, level: Level, message: &str) {
        self.lines.lock().unwrap().push((level, message.to_owned()));
    }

    fn http(&self, request: HttpRequest) -> Lending<'_, Result<HttpResponse, Failure>> {
        self.note(format!("{} {}", request.method, request.target));
        ready(Ok(HttpResponse { status: 204, headers: Vec::new(), body: request.body }))
    }

    fn secret(&self, handle: &str) -> Option<Arc<[u8]>> {
        (handle == "key").then(|| Arc::from(&b"hush"[..]))
    }

    fn kv_get(&self, key: &str) -> Lending<'_, Result<Option<Vec<u8>>, Failure>> {
        ready(Ok(self.keys.lock().unwrap().get(key).cloned()))
    }

    fn kv_set(&self, key: &str, value: Vec<u8>) -> Lending<'_, Result<(), Failure>> {
        self.keys.lock().unwrap().insert(key.to_owned(), value);
        ready(Ok(()))
    }

    fn file_append(&self, folder: &str, name: &str, at: u64, bytes: Vec<u8>) -> Lending<'_, Result<u64, Failure>> {
        self.note(format!("append {folder}/{name}@{at} {}", String::from_utf8_lossy(&bytes)));
        ready(Ok(at + bytes.len() as u64))
    }
}

/// Takes what a source emits.
#[derive(Default)]
pub(crate) struct Basket {
    pub(crate) taken: Mutex<Vec<String>>,
    /// Answered to `emit` once there are so many entries.
    pub(crate) stop: Option<(usize, Failure)>,
}

impl Output for Basket {
    fn emit(&self, events: Vec<Bytes>) -> Lending<'_, Result<(), Failure>> {
        let mut taken = self.taken.lock().unwrap();
        if let Some((after, failure)) = &self.stop
            && taken.len() >= *after
        {
            return ready(Err(failure.clone()));
        }
        taken.extend(events.iter().map(|event| String::from_utf8_lossy(event).into_owned()));
        ready(Ok(()))
    }

    fn refuse(&self, refused: Vec<(Rejection, Bytes)>) -> Lending<'_, Result<(), Failure>> {
        let line = |(why, bytes): &(Rejection, Bytes)| format!("{} {}", why.code, String::from_utf8_lossy(bytes));
        self.taken.lock().unwrap().extend(refused.iter().map(line));
        ready(Ok(()))
    }

    fn checkpoint(&self, state: String) -> Lending<'_, Result<(), Failure>> {
        self.taken.lock().unwrap().push(format!("state {state}"));
        ready(Ok(()))
    }
}
