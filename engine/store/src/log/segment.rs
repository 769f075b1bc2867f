//! A segment file: a header, then blocks; and beside it, once it is sealed, a sparse index.
//!
//! Here is how a segment is named, begun, walked from block to block, and searched behind damage. This module never
//! decides whether trouble is a torn tail or damage: that is [`super::recovery`]. The bytes are in `docs/format.md`.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::Fields;
use super::block::{self, Header};
use crate::StoreError;
use crate::files::{Files, OpenFile};

const SEGMENT_MAGIC: [u8; 8] = *b"weftlog\0";
const INDEX_MAGIC: [u8; 8] = *b"weftidx\0";
/// The version of segment and index files.
pub(super) const VERSION: u32 = 1;
/// The bytes of a segment's header.
pub(super) const SEGMENT_HEADER_BYTES: usize = 40;
const INDEX_HEADER_BYTES: usize = 64;
const INDEX_ENTRY_BYTES: usize = 16;
/// An index entry for the first block after each this many bytes: 2,048 entries for a segment of 128 MiB, and a look-up
/// reads no more than this to find its block.
const INDEX_STRIDE_BYTES: u64 = 64 << 10;
/// The most that is read at once while walking.
const WINDOW_BYTES_MAX: usize = 1 << 20;
/// The first read after a jump: a random look-up seldom needs more.
const WINDOW_BYTES_MIN: usize = 64 << 10;

/// The segment's first sequence number, from its file name.
pub(super) fn parse_name(name: &str, suffix: &str) -> Option<u64> {
    let digits = name.strip_suffix(suffix)?;
    (digits.len() == 20 && digits.bytes().all(|b| b.is_ascii_digit())).then(|| digits.parse().ok())?
}

pub(super) fn log_name(base: u64) -> String {
    format!("{base:020}.log")
}

pub(super) fn log_path(dir: &Path, base: u64) -> PathBuf {
    dir.join(log_name(base))
}

pub(super) fn index_path(dir: &Path, base: u64) -> PathBuf {
    dir.join(format!("{base:020}.idx"))
}

/// The name under which a segment is rewritten before it is swapped in.
pub(super) fn beside_path(dir: &Path, base: u64) -> PathBuf {
    dir.join(format!("{base:020}.new"))
}

/// What stands at the front of a segment file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct SegmentHeader {
    /// The first sequence number.
    pub(super) base: u64,
    /// Random, the same for all segments of one log: files of another log, and payloads that look like blocks, are told apart by it.
    pub(super) log_id: u64,
    /// How often the segment was rewritten.
    pub(super) rewrites: u32,
}

impl SegmentHeader {
    pub(super) fn encode(&self) -> [u8; SEGMENT_HEADER_BYTES] {
        let mut bytes = [0; SEGMENT_HEADER_BYTES];
        bytes[0..8].copy_from_slice(&SEGMENT_MAGIC);
        bytes[8..12].copy_from_slice(&VERSION.to_le_bytes());
        bytes[12..20].copy_from_slice(&self.base.to_le_bytes());
        bytes[20..28].copy_from_slice(&self.log_id.to_le_bytes());
        bytes[28..32].copy_from_slice(&self.rewrites.to_le_bytes());
        let crc = crc32c::crc32c(&bytes[..36]);
        bytes[36..40].copy_from_slice(&crc.to_le_bytes());
        bytes
    }

    /// The checksum with which the first block is chained to this header.
    pub(super) fn crc(&self) -> u32 {
        crc32c::crc32c(&self.encode()[..36])
    }

    /// Reads and verifies the header of the file named by `base`. None where it is not one.
    pub(super) fn read(file: &dyn OpenFile, path: &Path, base: u64) -> Result<Option<SegmentHeader>, StoreError> {
        let mut bytes = [0; SEGMENT_HEADER_BYTES];
        let count = file.read_at(&mut bytes, 0).map_err(StoreError::io("read", path))?;
        let mut fields = Fields(&bytes);
        let magic: [u8; 8] = fields.take();
        if count < bytes.len() || magic != SEGMENT_MAGIC || crc32c::crc32c(&bytes[..36]).to_le_bytes() != bytes[36..40] {
            return Ok(None);
        }
        let found = fields.u32();
        if found != VERSION {
            return Err(StoreError::Version { path: path.to_owned(), found, known: VERSION });
        }
        let header = SegmentHeader { base: fields.u64(), log_id: fields.u64(), rewrites: fields.u32() };
        Ok((header.base == base).then_some(header))
    }
}

/// Where some of a segment's blocks begin: enough to find each with a short walk.
#[derive(Debug, Clone, Default)]
pub(super) struct Index {
    entries: Vec<(u64, u64)>,
}

impl Index {
    /// Takes note of a block, if it is far enough from the last one noted.
    pub(super) fn note(&mut self, first: u64, offset: u64) {
        if self.entries.last().is_none_or(|(_, last)| offset >= last + INDEX_STRIDE_BYTES) {
            self.entries.push((first, offset));
        }
    }

    /// The last block noted that does not begin after `seq`: its first record and its offset.
    pub(super) fn floor(&self, seq: u64) -> Option<(u64, u64)> {
        let after = self.entries.partition_point(|(first, _)| *first <= seq);
        Some(self.entries[after.checked_sub(1)?])
    }
}

/// What the index file of a sealed segment says about it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Seal {
    pub(super) base: u64,
    /// One past the last sequence number.
    pub(super) end: u64,
    /// The segment file's length in bytes.
    pub(super) len: u64,
    /// The segment header's checksum: an index does not fit the segment that a rewrite put in its place.
    pub(super) segment_crc: u32,
}

/// Writes the index file. It need not be synced: it is checked when read, and made again where it does not fit.
pub(super) fn write_index(files: &dyn Files, dir: &Path, seal: Seal, index: &Index) -> Result<(), StoreError> {
    let path = index_path(dir, seal.base);
    let mut bytes = vec![0; INDEX_HEADER_BYTES];
    for (first, offset) in &index.entries {
        bytes.extend_from_slice(&first.to_le_bytes());
        bytes.extend_from_slice(&offset.to_le_bytes());
    }
    let entries_crc = crc32c::crc32c(&bytes[INDEX_HEADER_BYTES..]);
    bytes[0..8].copy_from_slice(&INDEX_MAGIC);
    bytes[8..12].copy_from_slice(&VERSION.to_le_bytes());
    bytes[12..16].copy_from_slice(&(index.entries.len() as u32).to_le_bytes());
    bytes[16..24].copy_from_slice(&seal.base.to_le_bytes());
    bytes[24..32].copy_from_slice(&seal.end.to_le_bytes());
    bytes[32..40].copy_from_slice(&seal.len.to_le_bytes());
    bytes[40..44].copy_from_slice(&seal.segment_crc.to_le_bytes());
    bytes[44..48].copy_from_slice(&entries_crc.to_le_bytes());
    let crc = crc32c::crc32c(&bytes[..60]);
    bytes[60..64].copy_from_slice(&crc.to_le_bytes());
    let file = files.create(&path).map_err(StoreError::io("create", &path))?;
    file.write_at(&bytes, 0).map_err(StoreError::io("write", &path))
}

/// What the index file says, without its entries. None where there is no whole one.
pub(super) fn read_seal(files: &dyn Files, dir: &Path, base: u64) -> Option<Seal> {
    let file = files.open_read(&index_path(dir, base)).ok()?;
    let mut bytes = [0; INDEX_HEADER_BYTES];
    file.read_at(&mut bytes, 0).ok()?;
    parse_seal(&bytes).map(|(seal, _, _)| seal)
}

/// The whole index. None where the file is missing, damaged or does not fit `seal`.
pub(super) fn read_index(files: &dyn Files, dir: &Path, base: u64, segment_crc: u32) -> Option<Index> {
    let file = files.open_read(&index_path(dir, base)).ok()?;
    let mut header = [0; INDEX_HEADER_BYTES];
    file.read_at(&mut header, 0).ok()?;
    let (seal, count, entries_crc) = parse_seal(&header)?;
    let len = usize::try_from(file.len().ok()?).ok()?.checked_sub(INDEX_HEADER_BYTES)?;
    if seal.base != base || seal.segment_crc != segment_crc || len != count as usize * INDEX_ENTRY_BYTES {
        return None;
    }
    let mut bytes = vec![0; len];
    file.read_at(&mut bytes, INDEX_HEADER_BYTES as u64).ok()?;
    if crc32c::crc32c(&bytes) != entries_crc {
        return None;
    }
    let entries = bytes.chunks_exact(INDEX_ENTRY_BYTES).map(|entry| {
        let mut fields = Fields(entry);
        (fields.u64(), fields.u64())
    });
    Some(Index { entries: entries.collect() })
}

fn parse_seal(bytes: &[u8; INDEX_HEADER_BYTES]) -> Option<(Seal, u32, u32)> {
    let mut fields = Fields(bytes);
    let magic: [u8; 8] = fields.take();
    let version = fields.u32();
    if magic != INDEX_MAGIC || version != VERSION || crc32c::crc32c(&bytes[..60]).to_le_bytes() != bytes[60..64] {
        return None;
    }
    let count = fields.u32();
    let seal = Seal { base: fields.u64(), end: fields.u64(), len: fields.u64(), segment_crc: fields.u32() };
    Some((seal, count, fields.u32()))
}

/// A part of a file in memory, moved along as it is read.
pub(super) struct Window {
    file: Arc<dyn OpenFile>,
    start: u64,
    bytes: Vec<u8>,
    /// How much the next read takes; grows while reading goes on in order.
    step: usize,
}

impl Window {
    pub(super) fn new(file: Arc<dyn OpenFile>) -> Window {
        Window { file, start: 0, bytes: Vec::new(), step: WINDOW_BYTES_MIN }
    }

    /// Forgets what was read, which may have changed since.
    pub(super) fn forget(&mut self) {
        self.bytes.clear();
    }

    /// The bytes from `offset` on. None where the file ends before.
    pub(super) fn get(&mut self, offset: u64, len: usize) -> io::Result<Option<&[u8]>> {
        let inside = offset.checked_sub(self.start).and_then(|skip| usize::try_from(skip).ok());
        let skip = match inside {
            Some(skip) if skip + len <= self.bytes.len() => skip,
            _ => {
                let goes_on = inside.is_some_and(|skip| skip <= self.bytes.len() && !self.bytes.is_empty());
                self.step = if goes_on { (self.step * 2).min(WINDOW_BYTES_MAX) } else { WINDOW_BYTES_MIN };
                self.bytes.resize(self.step.max(len), 0);
                let count = self.file.read_at(&mut self.bytes, offset)?;
                self.bytes.truncate(count);
                self.start = offset;
                0
            }
        };
        Ok(self.bytes.get(skip..skip + len))
    }

    /// The header at `offset`. None where there is none.
    pub(super) fn header(&mut self, offset: u64) -> io::Result<Option<Header>> {
        let bytes = self.get(offset, block::HEADER_BYTES)?.and_then(|bytes| bytes.first_chunk());
        Ok(bytes.and_then(Header::decode))
    }
}

/// Where a walk stands in a segment, and what must come next.
#[derive(Debug, Clone, Copy)]
pub(super) struct Spot {
    pub(super) offset: u64,
    pub(super) seq: u64,
    /// None after a jump: then the next block's chain is taken as it is.
    pub(super) chain: Option<u32>,
}

impl Spot {
    /// In front of the first block.
    pub(super) fn begin(header: &SegmentHeader) -> Spot {
        Spot { offset: SEGMENT_HEADER_BYTES as u64, seq: header.base, chain: Some(header.crc()) }
    }

    /// Behind a block.
    pub(super) fn after(self, header: &Header) -> Spot {
        Spot { offset: self.offset + header.block_bytes(), seq: header.end(), chain: Some(header.crc) }
    }

    /// The block's header that belongs at this spot, or what is wrong with what is there.
    pub(super) fn expect(&self, log_id: u64, found: Option<Header>) -> Result<Header, &'static str> {
        let header = found.ok_or("no block begins")?;
        if header.log_id != log_id {
            return Err("a block of another log begins");
        }
        if header.first != self.seq {
            return Err("a block with another sequence number begins");
        }
        if self.chain.is_some_and(|chain| chain != header.chain) {
            return Err("a block that does not follow the one before it begins");
        }
        Ok(header)
    }
}

/// Looks for blocks from `from` on, wherever they begin, whose first record is not before `seq`. `accept` says when to stop.
pub(super) fn find_block(
    file: &dyn OpenFile,
    from: u64,
    log_id: Option<u64>,
    seq: u64,
    mut accept: impl FnMut(&Header) -> bool,
) -> io::Result<Option<(u64, Header)>> {
    let mut buffer = vec![0; WINDOW_BYTES_MAX];
    let mut start = from;
    loop {
        let count = file.read_at(&mut buffer, start)?;
        for at in 0..(count + 1).saturating_sub(block::HEADER_BYTES) {
            let bytes: &[u8; block::HEADER_BYTES] = buffer[at..].first_chunk().expect("the range leaves room for a header");
            if bytes[..4] == block::MAGIC
                && let Some(header) = Header::decode(bytes)
                && log_id.is_none_or(|id| id == header.log_id)
                && header.first >= seq
                && accept(&header)
            {
                return Ok(Some((start + at as u64, header)));
            }
        }
        if count < buffer.len() {
            return Ok(None);
        }
        start += (count + 1 - block::HEADER_BYTES) as u64;
    }
}
