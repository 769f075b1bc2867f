//! What can go wrong in the store. The caller decides who must act: a [`StoreError::Damaged`] log wants an operator, a
//! [`StoreError::StateDamaged`] state wants a rebuild and nobody.

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};

/// Every failure of this crate.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// The operating system refused; nothing is known about what reached the disk.
    #[error("cannot {doing} {}: {source}", path.display())]
    Io {
        /// A verb in the infinitive: `read`, `write`, `sync`.
        doing: &'static str,
        /// The file or folder.
        path: PathBuf,
        /// What the operating system said.
        source: io::Error,
    },
    /// Another process, or another handle in this one, has the folder open.
    #[error("{} is in use by another process: stop the engine that runs on it first", path.display())]
    Locked {
        /// The folder.
        path: PathBuf,
    },
    /// An earlier write or sync failed. What the disk holds past the last barrier is unknown, and asking it to sync once
    /// more would prove nothing: it must be opened again.
    #[error("nothing more is written since an earlier failure: {cause}")]
    Poisoned {
        /// The first failure, in words.
        cause: String,
    },
    /// Bytes of a log that were once durable cannot be read.
    #[error("damage in the log: {0}")]
    Damaged(Damage),
    /// The sequence number lies before what retention kept.
    #[error("record {asked} is gone: the log begins at {start}")]
    Trimmed {
        /// What was asked for.
        asked: u64,
        /// The first sequence number that is still there.
        start: u64,
    },
    /// The sequence number lies past the last durable record.
    #[error("record {asked} does not exist yet: the log ends at {end}")]
    PastEnd {
        /// What was asked for.
        asked: u64,
        /// One past the last durable sequence number.
        end: u64,
    },
    /// Something is larger than a stated bound (invariant 9).
    #[error("{what} of {bytes} bytes is past the limit of {limit} bytes")]
    TooLarge {
        /// A noun: `record`, `block`, `row`, `key`.
        what: &'static str,
        /// Its size in bytes.
        bytes: usize,
        /// The bound in bytes.
        limit: usize,
    },
    /// The caller broke a rule of the interface, such as a kind byte that is reserved.
    #[error("{0}")]
    Refused(&'static str),
    /// No sealed segment begins at that sequence number.
    #[error("there is no sealed segment that begins at {first}")]
    NoSuchSegment {
        /// The sequence number by which the segment was named.
        first: u64,
    },
    /// A file was written by another version of the format.
    #[error("{} has format version {found}, this program reads version {known}", path.display())]
    Version {
        /// The file.
        path: PathBuf,
        /// The version in the file.
        found: u32,
        /// The version that this program reads.
        known: u32,
    },
    /// A row's bytes are not what [`crate::format`] wrote.
    #[error("a row cannot be read: {0}")]
    Row(&'static str),
    /// The state cannot be trusted: throw it away and rebuild it from history.
    #[error("the state is damaged: {reason}")]
    StateDamaged {
        /// What gave it away.
        reason: String,
    },
    /// The state was replaced by another one: take the new handle.
    #[error("the state was replaced by a newer one")]
    Retired,
}

/// A place in a log that was durable once and cannot be read now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Damage {
    /// The segment's file name.
    pub segment: String,
    /// Where in that file the trouble begins, in bytes.
    pub offset: u64,
    /// The first record affected.
    pub first: u64,
    /// One past the last record affected; none where it cannot be told.
    pub end: Option<u64>,
    /// What is wrong, in words.
    pub what: &'static str,
}

impl fmt::Display for Damage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} at byte {} of {}, records from {}", self.what, self.offset, self.segment, self.first)?;
        match self.end {
            Some(end) => write!(f, " to {}", end.saturating_sub(1)),
            None => write!(f, " on"),
        }
    }
}

impl StoreError {
    /// Makes an operating system error say what was being done to which file.
    pub(crate) fn io(doing: &'static str, path: &Path) -> impl FnOnce(io::Error) -> StoreError {
        let path = path.to_owned();
        move |source| StoreError::Io { doing, path, source }
    }
}
