//! Reading files that are complete: each once it rests, and again once it is another.
//!
//! A file is known by what is in it, not by its name: one that was renamed, copied or touched is not read again, and one that was replaced
//! is. A file that grew is read again as a whole, since what follows the end of a complete file is not known to belong to it; to follow a
//! file while it grows is [`super::tail`]'s.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::Metadata;
use std::io;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use sha2::{Digest, Sha256};
use tokio::sync::watch;

use super::content::{Content, open};
use super::reading::{Ending, Mark, Reading};
use super::{Driver, Shore, tail, wait_for};
use crate::limits;
use crate::watch::Watch;

/// Which files are read, and how.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Files {
    /// A path, with `*`, `?`, `[…]` and `**` as shells have them.
    pub pattern: String,
    /// Files below these folders are left alone: the engine's own.
    pub closed: Vec<PathBuf>,
    /// Whether files are followed while they grow.
    pub tail: bool,
    /// How long a file must not have changed before it counts as complete.
    pub rest: Duration,
    /// How often it is looked for files where the system tells nothing.
    pub every: Duration,
}

pub(super) async fn run(
    driver: &Driver,
    files: &Files,
    shore: &Shore,
    mut stop: watch::Receiver<bool>,
    positions: BTreeMap<String, Vec<u8>>,
) {
    let mut reading = Reading::new(driver, shore, stop.clone(), positions);
    driver.note(|standing| standing.finished = reading.marks.values().filter(|mark| mark.done).count() as u64);
    let mut watch = Watch::new();
    let mut seen = BTreeMap::new();
    let mut followed = tail::Followed::default();
    while !reading.is_stopped() {
        let found = find(files).await;
        watch.only(folders(files, &found));
        let settled = if files.tail {
            tail::round(&mut reading, files, &found, &mut followed).await
        } else {
            round(&mut reading, files, &found, &mut seen).await
        };
        let wait = match settled {
            Settled::Stopped => return,
            Settled::All => files.every,
            Settled::Later => files.every.min(files.rest.max(limits::WATCH_EVERY)),
        };
        let now = shore.clock.now();
        let next = now.plus_ms(i64::try_from(wait.as_millis()).unwrap_or(i64::MAX));
        driver.note(|standing| (standing.done_at, standing.next_at) = (Some(now), Some(next)));
        tokio::select! {
            () = watch.changed(Duration::from_millis(50), wait) => (),
            _ = stop.wait_for(|stop| *stop) => (),
        }
        // Where the system tells much, it is still looked only so often.
        if !wait_for(limits::WATCH_EVERY, &mut stop).await {
            return;
        }
    }
}

/// How a round ended.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Settled {
    /// Everything that there is has been read.
    All,
    /// Something rests or changes, and is looked at again soon.
    Later,
    /// The driver is to stop.
    Stopped,
}

/// A file that was found.
pub(super) struct Found {
    pub path: PathBuf,
    pub metadata: Metadata,
}

/// The files of the pattern, the longest unchanged first.
async fn find(files: &Files) -> Vec<Found> {
    let files = files.clone();
    let found = tokio::task::spawn_blocking(move || {
        let options = glob::MatchOptions { require_literal_leading_dot: true, ..glob::MatchOptions::new() };
        let paths = glob::glob_with(&files.pattern, options).into_iter().flatten().flatten();
        let is_open = |path: &PathBuf| {
            let real = path.canonicalize().unwrap_or_else(|_| path.clone());
            !files.closed.iter().any(|closed| real.starts_with(closed))
        };
        let found = paths.filter(is_open).filter_map(|path| {
            let metadata = path.metadata().ok().filter(Metadata::is_file)?;
            Some(Found { path, metadata })
        });
        let mut found: Vec<Found> = found.take(limits::FILES_FOUND_MAX + 1).collect();
        if found.len() > limits::FILES_FOUND_MAX {
            tracing::warn!(pattern = files.pattern, max = limits::FILES_FOUND_MAX, "there are more files than are looked at");
            found.truncate(limits::FILES_FOUND_MAX);
        }
        found.sort_by_cached_key(|found| (found.metadata.modified().ok(), found.path.clone()));
        found
    });
    found.await.unwrap_or_default()
}

/// The folders in which files of the pattern may appear: those of the files that there are, and the one before the first wildcard.
fn folders(files: &Files, found: &[Found]) -> BTreeSet<PathBuf> {
    let is_plain = |part: &std::path::Component<'_>| !part.as_os_str().to_string_lossy().contains(['*', '?', '[']);
    let pattern = Path::new(&files.pattern);
    let plain: PathBuf = pattern.parent().unwrap_or(pattern).components().take_while(is_plain).collect();
    let of_files = found.iter().filter_map(|found| found.path.parent().map(Path::to_owned));
    of_files.chain([plain]).take(limits::FOLDERS_WATCHED_MAX).collect()
}

/// What is known of a path without reading it.
#[derive(Clone, PartialEq)]
pub(super) struct Seen {
    bytes: u64,
    modified: Option<SystemTime>,
    inode: u64,
    /// The key of what is in it, once that was read.
    key: Option<String>,
}

async fn round(reading: &mut Reading<'_>, files: &Files, found: &[Found], seen: &mut BTreeMap<PathBuf, Seen>) -> Settled {
    seen.retain(|path, _| found.iter().any(|found| found.path == *path));
    let mut settled = Settled::All;
    for Found { path, metadata } in found {
        let now = Seen { bytes: metadata.len(), modified: metadata.modified().ok(), inode: inode(metadata), key: None };
        let known = seen.get(path).filter(|seen| Seen { key: None, ..(*seen).clone() } == now).and_then(|seen| seen.key.clone());
        if known.as_ref().is_some_and(|key| reading.is_settled(key)) {
            continue;
        }
        if !has_rested(metadata, files.rest) {
            settled = Settled::Later;
            continue;
        }
        let name = path.display().to_string();
        let key = match known {
            Some(key) => Ok(key),
            None => digest(path.clone()).await,
        };
        match key {
            Ok(key) => {
                seen.insert(path.clone(), Seen { key: Some(key.clone()), ..now });
                if reading.is_settled(&key) {
                    continue;
                }
                if reading.is_resting(&key) {
                    settled = Settled::Later;
                    continue;
                }
                let mark = Mark { name, ..reading.mark(&key) };
                let content = content(path, mark.offset).await;
                if !reading.read(&key, mark, content, Ending::Final).await {
                    return Settled::Stopped;
                }
                if !reading.is_settled(&key) {
                    settled = Settled::Later;
                }
            }
            Err(error) => {
                reading.driver.complain(&name, "unreadable", &error, 1);
                settled = Settled::Later;
            }
        }
    }
    let wanted: BTreeSet<&str> = seen.values().filter_map(|seen| seen.key.as_deref()).collect();
    reading.forget_oldest(|key| wanted.contains(key)).await;
    settled
}

pub(super) async fn content(path: &Path, offset: u64) -> io::Result<Content> {
    Ok(open(tokio::fs::File::open(path).await?, offset).await?.1)
}

/// Whether a file has not been changed for so long. One from the future is taken as it is.
fn has_rested(metadata: &Metadata, rest: Duration) -> bool {
    metadata.modified().map_or(true, |modified| modified.elapsed().map_or(true, |age| age >= rest))
}

/// The key of what is in a file.
async fn digest(path: PathBuf) -> io::Result<String> {
    let hashed = tokio::task::spawn_blocking(move || {
        let (mut file, mut hash, mut bytes) = (std::fs::File::open(path)?, Sha256::new(), vec![0; limits::CHUNK_BYTES]);
        loop {
            match std::io::Read::read(&mut file, &mut bytes) {
                Ok(0) => return Ok(hex(&hash.finalize())),
                Ok(count) => hash.update(&bytes[..count]),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => (),
                Err(error) => return Err(error),
            }
        }
    });
    hashed.await.unwrap_or_else(|panic| Err(io::Error::other(panic)))
}

/// The first half of a SHA-256 in hexadecimal: nobody makes two files alike in it by accident.
pub(super) fn hex(hash: &[u8]) -> String {
    hash.iter().take(16).map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(unix)]
pub(super) fn inode(metadata: &Metadata) -> u64 {
    std::os::unix::fs::MetadataExt::ino(metadata)
}

#[cfg(not(unix))]
pub(super) fn inode(_: &Metadata) -> u64 {
    0
}
