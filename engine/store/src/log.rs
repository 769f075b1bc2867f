//! One log in segment files: records in, numbered from 0 without a gap; records out, in order or by number.
//!
//! Weft keeps two: the intake log and the history log. A record is acknowledged when [`Log::sync`] has returned, and
//! from then on neither a killed process nor a power cut takes it away (invariant 1). Records are addressed by number and
//! never by byte offset, so that a segment can be rewritten with tombstones of the same number (invariant 10).
//!
//! The log never skips damage in silence. A torn tail, which a crash leaves behind and nobody was promised, is cut off by
//! [`Log::open`] and reported; anything else that cannot be read is [`StoreError::Damaged`] with its place, until
//! [`repair`] is asked to put tombstones there. It never retries a failed write or sync: the log is poisoned then, and
//! [`Log::open`] starts again from what the disk really holds.
//!
//! The file format is `docs/format.md`. `block` packs records, `segment` lays blocks into files, `recovery` opens,
//! `reader` reads, `mend` verifies, repairs and rewrites.

mod block;
mod mend;
mod reader;
mod recovery;
mod segment;

use std::path::{Path, PathBuf};
use std::sync::{Arc, PoisonError, RwLock};

pub use self::block::{BLOCK_BYTES_MAX, Block, RECORD_BYTES_MAX, Record, TOMBSTONE};
pub use self::mend::{Draft, Report, Rewritten, Verdict, repair, verify};
pub use self::reader::{Cursor, LogReader, OwnedRecord, SegmentInfo};
pub use self::recovery::{Recovery, TornTail};

use self::block::{Packer, Place};
use self::reader::{Segment, Shared};
use self::segment::{Index, Seal, SegmentHeader};
use crate::StoreError;
use crate::files::{Files, OpenFile};

/// How a log is kept.
#[derive(Debug, Clone, Copy)]
pub struct Options {
    /// A segment that has grown past this is sealed before the next append. Retention and rewriting work on whole
    /// segments, and opening reads the last one.
    pub segment_bytes: u64,
}

impl Default for Options {
    fn default() -> Options {
        // Read in a tenth of a second when opening; a terabyte is 8,000 files.
        Options { segment_bytes: 128 << 20 }
    }
}

/// The one writer of a log. Dropping it releases the folder; records not synced may then be there or not.
pub struct Log {
    shared: Arc<Shared>,
    options: Options,
    packer: Packer,
    active: Active,
    /// One past the last record appended.
    end: u64,
    poison: Option<String>,
    /// Held for the lock on the folder.
    _lock: Box<dyn Send + Sync>,
}

/// The segment being written.
struct Active {
    file: Arc<dyn OpenFile>,
    path: PathBuf,
    header: SegmentHeader,
    /// Where the next block goes.
    offset: u64,
    chain: u32,
    index: Arc<RwLock<Index>>,
    synced: Synced,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Synced {
    Yes,
    No,
}

impl Log {
    /// Opens the log in a folder, which is made if need be, and puts right what a crash may leave behind: see [`Recovery`].
    ///
    /// Fails with [`StoreError::Locked`] while another holds it, and with [`StoreError::Damaged`] where something is wrong
    /// that no crash explains.
    pub fn open(files: Arc<dyn Files>, dir: &Path, options: Options) -> Result<(Log, Recovery), StoreError> {
        recovery::open(files, dir, options)
    }

    /// A reader; also [`Clone`] one. It sees what [`Log::sync`] made durable.
    pub fn reader(&self) -> LogReader {
        LogReader::new(self.shared.clone())
    }

    /// One past the last record appended, durable or not: the number that the next record will get.
    pub fn end(&self) -> u64 {
        self.end
    }

    /// One past the last durable record.
    pub fn durable_end(&self) -> u64 {
        self.shared.durable_end()
    }

    /// Appends the records as one block, which a crash leaves whole or not at all, and gives their numbers. They are not
    /// durable before [`Log::sync`]. No records: nothing is written.
    ///
    /// Fails with [`StoreError::TooLarge`] past [`RECORD_BYTES_MAX`] or [`BLOCK_BYTES_MAX`] (with 5 bytes for each record
    /// counted in), and [`StoreError::Refused`] for the kind [`TOMBSTONE`]; then nothing has changed. Any other failure
    /// poisons the log.
    pub fn append(&mut self, records: &[Record<'_>]) -> Result<std::ops::Range<u64>, StoreError> {
        self.check_poison()?;
        if records.iter().any(|record| record.kind == TOMBSTONE) {
            return Err(StoreError::Refused("the kind of a tombstone is the log's own"));
        }
        if records.is_empty() {
            return Ok(self.end..self.end);
        }
        if self.active.offset >= self.options.segment_bytes {
            self.rotate()?;
        }
        let first = self.end;
        self.write_block(records)?;
        Ok(first..self.end)
    }

    /// A true barrier: when it returns, everything appended is durable, and readers see it. Costs nothing where nothing
    /// was appended since.
    pub fn sync(&mut self) -> Result<(), StoreError> {
        self.check_poison()?;
        if self.active.synced == Synced::No {
            let synced = self.active.file.sync_data().map_err(StoreError::io("sync", &self.active.path));
            self.poisoning(synced)?;
            self.active.synced = Synced::Yes;
        }
        self.shared.publish(self.end, self.active.offset);
        Ok(())
    }

    /// Seals the segment being written and begins another, so that the sealed one can be rewritten or trimmed. Does
    /// nothing while the segment is empty.
    pub fn rotate(&mut self) -> Result<(), StoreError> {
        self.sync()?;
        if self.end == self.active.header.base {
            return Ok(());
        }
        let header = SegmentHeader { base: self.end, log_id: self.shared.log_id, rewrites: 0 };
        let begun = begin_segment(&*self.shared.files, &self.shared.dir, header);
        let next = self.poisoning(begun)?;
        let sealed = std::mem::replace(&mut self.active, next);
        let seal = Seal { base: sealed.header.base, end: self.end, len: sealed.offset, segment_crc: sealed.header.crc() };
        let index = sealed.index.read().unwrap_or_else(PoisonError::into_inner);
        let written = segment::write_index(&*self.shared.files, &self.shared.dir, seal, &index);
        let active = self.active.segment();
        self.shared.change_segments(|segments| {
            if let Some(last) = segments.last_mut() {
                (last.end, last.bytes, last.index) = (seal.end, seal.len, None);
            }
            segments.push(active);
        });
        self.poisoning(written)
    }

    /// Unlinks the segments that lie wholly below `before`, never more, and never the one being written. Gives the first
    /// number that is left. Cursors within a trimmed segment may finish it.
    pub fn trim(&mut self, before: u64) -> Result<u64, StoreError> {
        self.check_poison()?;
        let segments = self.shared.segments();
        let doomed = segments.iter().take_while(|segment| segment.end != u64::MAX && segment.end <= before);
        for segment in doomed {
            let trimmed = self.unlink(segment.base);
            self.poisoning(trimmed)?;
        }
        Ok(self.shared.segments()[0].base)
    }

    /// Closes the log so that even its last block is known to have been durable: without this, damage there would look
    /// like a torn tail at the next opening. To be called in an orderly shutdown.
    pub fn close(mut self) -> Result<(), StoreError> {
        self.sync()?;
        if self.end > self.active.header.base {
            self.write_block(&[])?;
            self.sync()?;
        }
        Ok(())
    }

    fn write_block(&mut self, records: &[Record<'_>]) -> Result<(), StoreError> {
        let active = &mut self.active;
        let place =
            Place { log_id: self.shared.log_id, first: self.end, durable: self.shared.durable_end(), chain: active.chain };
        let (header, bytes) = self.packer.pack(place, records.iter().copied())?;
        active.synced = Synced::No;
        let written = active.file.write_at(bytes, active.offset).map_err(StoreError::io("write", &active.path));
        self.poisoning(written)?;
        let active = &mut self.active;
        active.index.write().unwrap_or_else(PoisonError::into_inner).note(header.first, active.offset);
        active.offset += header.block_bytes();
        active.chain = header.crc;
        self.end = header.end();
        Ok(())
    }

    fn unlink(&self, base: u64) -> Result<(), StoreError> {
        let (files, dir) = (&*self.shared.files, &self.shared.dir);
        self.shared.change_segments(|segments| segments.retain(|segment| segment.base != base));
        let path = segment::log_path(dir, base);
        files.remove(&path).map_err(StoreError::io("remove", &path))?;
        // One at a time, so that no power cut brings back a segment in front of a gap.
        files.sync_dir(dir).map_err(StoreError::io("sync", dir))?;
        let path = segment::index_path(dir, base);
        match files.remove(&path) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(StoreError::io("remove", &path)(error)),
            _ => Ok(()),
        }
    }

    fn check_poison(&self) -> Result<(), StoreError> {
        match &self.poison {
            Some(cause) => Err(StoreError::Poisoned { cause: cause.clone() }),
            None => Ok(()),
        }
    }

    fn poisoning<T>(&mut self, result: Result<T, StoreError>) -> Result<T, StoreError> {
        if let Err(error) = &result {
            self.poison.get_or_insert_with(|| error.to_string());
        }
        result
    }
}

impl Active {
    fn segment(&self) -> Segment {
        Segment {
            base: self.header.base,
            end: u64::MAX,
            bytes: self.offset,
            rewrites: self.header.rewrites,
            index: Some(self.index.clone()),
        }
    }
}

/// Makes an empty segment file, durable with its name before anything is written to it.
fn begin_segment(files: &dyn Files, dir: &Path, header: SegmentHeader) -> Result<Active, StoreError> {
    let path = segment::log_path(dir, header.base);
    let file = files.create(&path).map_err(StoreError::io("create", &path))?;
    file.write_at(&header.encode(), 0).map_err(StoreError::io("write", &path))?;
    file.sync_data().map_err(StoreError::io("sync", &path))?;
    files.sync_dir(dir).map_err(StoreError::io("sync", dir))?;
    Ok(Active {
        file,
        path,
        header,
        offset: segment::SEGMENT_HEADER_BYTES as u64,
        chain: header.crc(),
        index: Arc::default(),
        synced: Synced::Yes,
    })
}

/// Takes fixed-width numbers off the front of bytes whose length was checked.
struct Fields<'a>(&'a [u8]);

impl Fields<'_> {
    fn take<const N: usize>(&mut self) -> [u8; N] {
        let (field, rest) = self.0.split_first_chunk().expect("the caller holds a whole header");
        self.0 = rest;
        *field
    }

    fn u32(&mut self) -> u32 {
        u32::from_le_bytes(self.take())
    }

    fn u64(&mut self) -> u64 {
        u64::from_le_bytes(self.take())
    }
}
