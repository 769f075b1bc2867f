//! Opening a log after anything: an orderly end, a killed process, a power cut, a failed disk.
//!
//! The rule that tells a torn tail from damage: each block says how far the log was durable when it was written. Where a
//! block cannot be read and a later one says that it had been durable, that is damage, and opening fails. Where none says
//! so, nobody was promised the block, and it is cut off with all that follows. Only the last segment may have a torn tail:
//! a segment is synced before the next one is begun. `docs/format.md`, "Opening a log", has the cases.
//!
//! What was read here may stand in the page cache only, left by a sync that failed. So the tail that no later block vouches
//! for is written once more, in place, and synced: a failed sync is never taken for a good one.

use std::hash::{BuildHasher, Hasher, RandomState};
use std::io;
use std::path::Path;
use std::sync::{Arc, RwLock};

use super::block;
use super::reader::{Segment, Shared};
use super::segment::{self, Index, Seal, SegmentHeader, Spot, Window};
use super::{Active, Log, Options, Packer, Synced, begin_segment};
use crate::files::{Files, OpenFile};
use crate::{Damage, StoreError};

/// How much is copied at once when a tail is written again.
const COPY_BYTES: u64 = 1 << 20;

/// What [`Log::open`] found.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Recovery {
    /// The first sequence number.
    pub start: u64,
    /// One past the last one. Where state has seen more than this, the log lost what had been durable.
    pub end: u64,
    /// A tail that a crash left unfinished, and that was cut off.
    pub torn: Option<TornTail>,
    /// Files that an interrupted rotation, rewrite or trim left behind, and that were removed.
    pub leftovers: Vec<String>,
}

/// The bytes behind the last whole block of a log. They had not been acknowledged.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TornTail {
    /// The segment's file name.
    pub segment: String,
    /// Where it was cut, in bytes.
    pub offset: u64,
    /// How many bytes were cut off.
    pub bytes: u64,
    /// The number that the first unfinished record would have had; the next record gets it.
    pub first: u64,
    /// What was wrong with the first block cut off.
    pub what: &'static str,
}

pub(super) fn open(files: Arc<dyn Files>, dir: &Path, options: Options) -> Result<(Log, Recovery), StoreError> {
    files.create_dir(dir).map_err(StoreError::io("create", dir))?;
    let lock = lock(&*files, dir)?;
    let (mut bases, leftovers) = tidy(&*files, dir)?;
    let mut recovery = Recovery { leftovers, ..Recovery::default() };
    let unborn = remove_unborn(&*files, dir, &mut bases, &mut recovery)?;
    let mut segments = Vec::with_capacity(bases.len());
    let mut log_id = None;
    for pair in bases.windows(2) {
        segments.push(sealed(&*files, dir, pair[0], pair[1], &mut log_id)?);
    }
    let (active, end) = match bases.last() {
        Some(&base) => resume(&*files, dir, base, log_id, &mut recovery)?,
        None => (begin_segment(&*files, dir, SegmentHeader { base: 0, log_id: fresh_id(), rewrites: 0 })?, 0),
    };
    if let Some(expected) = unborn
        && expected != end
    {
        // The next segment had been begun, so this one had been durable to its end.
        let what = "records are missing";
        let segment = segment::log_name(active.header.base);
        let damage = Damage { segment, offset: active.offset, first: end, end: Some(expected), what };
        return Err(StoreError::Damaged(damage));
    }
    segments.push(active.segment());
    recovery.start = segments[0].base;
    recovery.end = end;
    let shared = Arc::new(Shared::new(files, dir.to_owned(), active.header.log_id, segments, end));
    let log = Log { shared, options, packer: Packer::new(), active, end, poison: None, _lock: lock };
    Ok((log, recovery))
}

pub(super) fn lock(files: &dyn Files, dir: &Path) -> Result<Box<dyn Send + Sync>, StoreError> {
    files.lock(dir).map_err(|error| match error.kind() {
        io::ErrorKind::WouldBlock => StoreError::Locked { path: dir.to_owned() },
        _ => StoreError::io("lock", dir)(error),
    })
}

/// The segments' first numbers, sorted.
pub(super) fn bases(files: &dyn Files, dir: &Path) -> Result<Vec<u64>, StoreError> {
    let names = files.list(dir).map_err(StoreError::io("list", dir))?;
    Ok(names.iter().filter_map(|name| segment::parse_name(name, ".log")).collect())
}

/// Removes what interrupted work left behind. Gives the segments and the names removed.
pub(super) fn tidy(files: &dyn Files, dir: &Path) -> Result<(Vec<u64>, Vec<String>), StoreError> {
    let names = files.list(dir).map_err(StoreError::io("list", dir))?;
    let bases = bases(files, dir)?;
    let sealed = &bases[..bases.len().saturating_sub(1)];
    let mut removed = Vec::new();
    for name in names {
        let orphan = segment::parse_name(&name, ".idx").is_some_and(|base| sealed.binary_search(&base).is_err());
        if orphan || segment::parse_name(&name, ".new").is_some() {
            let path = dir.join(&name);
            files.remove(&path).map_err(StoreError::io("remove", &path))?;
            removed.push(name);
        }
    }
    Ok((bases, removed))
}

/// Removes the last segment if it was never finished being begun: its header was not durable yet. Gives its first number.
fn remove_unborn(
    files: &dyn Files,
    dir: &Path,
    bases: &mut Vec<u64>,
    recovery: &mut Recovery,
) -> Result<Option<u64>, StoreError> {
    let Some(&base) = bases.last() else {
        return Ok(None);
    };
    if base > 0 && bases.len() == 1 {
        return Ok(None);
    }
    let path = segment::log_path(dir, base);
    let file = files.open_read(&path).map_err(StoreError::io("open", &path))?;
    let len = file.len().map_err(StoreError::io("read", &path))?;
    if len > segment::SEGMENT_HEADER_BYTES as u64 || SegmentHeader::read(&*file, &path, base)?.is_some() {
        return Ok(None);
    }
    files.remove(&path).map_err(StoreError::io("remove", &path))?;
    files.sync_dir(dir).map_err(StoreError::io("sync", dir))?;
    recovery.leftovers.push(segment::log_name(base));
    bases.pop();
    Ok((base > 0).then_some(base))
}

/// A segment that another one follows. Its blocks are not read where an index file vouches for its end and length.
fn sealed(files: &dyn Files, dir: &Path, base: u64, next: u64, log_id: &mut Option<u64>) -> Result<Segment, StoreError> {
    let path = segment::log_path(dir, base);
    let file = files.open_read(&path).map_err(StoreError::io("open", &path))?;
    let len = file.len().map_err(StoreError::io("read", &path))?;
    let header = header(&*file, &path, base, log_id)?;
    let known = segment::read_seal(files, dir, base);
    let known = known.filter(|seal| seal.base == base && seal.len == len && seal.segment_crc == header.crc());
    let end = match known {
        Some(seal) => seal.end,
        None => {
            let mut walked = walk(file.clone(), &path, &header, Bodies::Skip)?;
            if walked.broken.is_some() {
                // The trouble may have begun in a body that was passed over.
                walked = walk(file, &path, &header, Bodies::Check)?;
            }
            if let Some(what) = walked.broken {
                let (offset, first) = (walked.spot.offset, walked.spot.seq);
                let damage = Damage { segment: segment::log_name(base), offset, first, end: Some(next), what };
                return Err(StoreError::Damaged(damage));
            }
            let seal = Seal { base, end: walked.spot.seq, len, segment_crc: header.crc() };
            segment::write_index(files, dir, seal, &walked.index)?;
            seal.end
        }
    };
    if end != next {
        let what = if end < next { "records are missing" } else { "segments overlap" };
        let damage = Damage { segment: segment::log_name(base), offset: len, first: end, end: Some(next), what };
        return Err(StoreError::Damaged(damage));
    }
    Ok(Segment { base, end, bytes: len, rewrites: header.rewrites, index: None })
}

/// The last segment and the number that its next record gets: read to its end, its torn tail cut off, and what is left
/// made durable beyond doubt.
fn resume(
    files: &dyn Files,
    dir: &Path,
    base: u64,
    mut log_id: Option<u64>,
    recovery: &mut Recovery,
) -> Result<(Active, u64), StoreError> {
    let path = segment::log_path(dir, base);
    let file = files.open(&path).map_err(StoreError::io("open", &path))?;
    let header = header(&*file, &path, base, &mut log_id)?;
    let walked = walk(file.clone(), &path, &header, Bodies::Check)?;
    let spot = walked.spot;
    if let Some(what) = walked.broken {
        if let Some(end) = durable_beyond(&*file, &path, &header, spot)? {
            let (offset, first) = (spot.offset, spot.seq);
            let damage = Damage { segment: segment::log_name(base), offset, first, end: Some(end), what };
            return Err(StoreError::Damaged(damage));
        }
        let len = file.len().map_err(StoreError::io("read", &path))?;
        file.truncate(spot.offset).map_err(StoreError::io("truncate", &path))?;
        let (segment, offset, first) = (segment::log_name(base), spot.offset, spot.seq);
        recovery.torn = Some(TornTail { segment, offset, bytes: len - spot.offset, first, what });
    }
    harden(&*file, &path, &header, &walked)?;
    files.sync_dir(dir).map_err(StoreError::io("sync", dir))?;
    let active = Active {
        file,
        path,
        header,
        offset: spot.offset,
        chain: spot.chain.unwrap_or_else(|| header.crc()),
        index: Arc::new(RwLock::new(walked.index)),
        synced: Synced::Yes,
    };
    Ok((active, spot.seq))
}

/// Where a later block says that the record at `spot` had been durable: the first number that is whole again.
fn durable_beyond(file: &dyn OpenFile, path: &Path, header: &SegmentHeader, spot: Spot) -> Result<Option<u64>, StoreError> {
    let mut whole = None;
    let witness = segment::find_block(file, spot.offset, Some(header.log_id), spot.seq, |found| {
        if found.first > spot.seq {
            whole.get_or_insert(found.first);
        }
        found.durable > spot.seq
    });
    let witness = witness.map_err(StoreError::io("read", path))?;
    Ok(witness.map(|(_, found)| whole.unwrap_or(found.first)))
}

/// Writes again, in place, what no block vouches for, and syncs. A power cut meanwhile changes nothing: the bytes are the same.
fn harden(file: &dyn OpenFile, path: &Path, header: &SegmentHeader, walked: &Walked) -> Result<(), StoreError> {
    file.write_at(&header.encode(), 0).map_err(StoreError::io("write", path))?;
    let (_, mut offset) = walked.index.floor(walked.durable).unwrap_or((0, walked.spot.offset));
    let mut buffer = Vec::new();
    while offset < walked.spot.offset {
        buffer.resize((walked.spot.offset - offset).min(COPY_BYTES) as usize, 0);
        let count = file.read_at(&mut buffer, offset).map_err(StoreError::io("read", path))?;
        if count < buffer.len() {
            return Err(StoreError::io("read", path)(io::ErrorKind::UnexpectedEof.into()));
        }
        file.write_at(&buffer, offset).map_err(StoreError::io("write", path))?;
        offset += count as u64;
    }
    file.sync_data().map_err(StoreError::io("sync", path))
}

fn header(file: &dyn OpenFile, path: &Path, base: u64, log_id: &mut Option<u64>) -> Result<SegmentHeader, StoreError> {
    let header = SegmentHeader::read(file, path, base)?;
    let header = header.filter(|header| *log_id.get_or_insert(header.log_id) == header.log_id);
    header.ok_or_else(|| {
        let what = "a segment's header cannot be read, or is another log's";
        StoreError::Damaged(Damage { segment: segment::log_name(base), offset: 0, first: base, end: None, what })
    })
}

/// Whether a walk verifies the checksums of bodies too.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Bodies {
    Check,
    Skip,
}

/// What came of a walk through a segment.
pub(super) struct Walked {
    /// Behind the last whole block.
    spot: Spot,
    index: Index,
    /// Records below this were durable, say the blocks.
    durable: u64,
    /// What is wrong at `spot`; none where the file ends there.
    broken: Option<&'static str>,
}

fn walk(file: Arc<dyn OpenFile>, path: &Path, header: &SegmentHeader, bodies: Bodies) -> Result<Walked, StoreError> {
    let len = file.len().map_err(StoreError::io("read", path))?;
    let mut window = Window::new(file);
    let mut walked = Walked { spot: Spot::begin(header), index: Index::default(), durable: header.base, broken: None };
    while walked.spot.offset < len {
        let spot = walked.spot;
        let found = window.header(spot.offset).map_err(StoreError::io("read", path))?;
        let block = match spot.expect(header.log_id, found) {
            Ok(block) if spot.offset + block.block_bytes() <= len => block,
            Ok(_) => {
                walked.broken = Some("a block is cut short");
                break;
            }
            Err(what) => {
                walked.broken = Some(what);
                break;
            }
        };
        if bodies == Bodies::Check {
            let at = spot.offset + block::HEADER_BYTES as u64;
            let body = window.get(at, block.stored_len as usize).map_err(StoreError::io("read", path))?;
            if body.is_none_or(|body| crc32c::crc32c(body) != block.body_crc) {
                walked.broken = Some("a block's checksum does not match");
                break;
            }
        }
        walked.index.note(block.first, spot.offset);
        walked.durable = walked.durable.max(block.durable);
        walked.spot = spot.after(&block);
    }
    Ok(walked)
}

/// The name of a new log: random, so that no payload can be made to look like one of its blocks.
fn fresh_id() -> u64 {
    RandomState::new().build_hasher().finish()
}
