//! Reading a log while another thread writes it.
//!
//! A reader sees what is durable and nothing else: it may act on a record at once, for no power cut takes it back
//! (invariant 1). It never writes, and never waits for the writer longer than it takes to look up a segment.
//!
//! What readers and the writer share is [`Shared`]: the list of segments and two counters. A reader of a segment that
//! is trimmed goes on to its end; one of a segment that is rewritten changes over at its next block, so that what was
//! erased is not served from an old handle for longer than that.

use std::io;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};

use zstd::bulk::Decompressor;

use super::block::{self, Block, Header};
use super::segment::{self, Index, SegmentHeader, Spot, Window};
use crate::files::{Files, OpenFile};
use crate::{Damage, StoreError};

/// Open segments kept for look-ups. Each costs a file handle and an index of some 32 KiB.
const OPEN_SEGMENTS_MAX: usize = 64;

/// What a log tells about one of its segments.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SegmentInfo {
    /// The first sequence number, by which it is named.
    pub first: u64,
    /// One past the last; for the segment being written, one past the last durable one.
    pub end: u64,
    /// The file's length in bytes; for the segment being written, as of the last sync.
    pub bytes: u64,
    /// Whether it is full. Only sealed segments are rewritten or trimmed.
    pub sealed: bool,
}

/// A segment as the writer knows it.
#[derive(Debug, Clone)]
pub(super) struct Segment {
    pub(super) base: u64,
    /// One past the last sequence number; `u64::MAX` while it is being written.
    pub(super) end: u64,
    pub(super) bytes: u64,
    pub(super) rewrites: u32,
    /// The index of a segment that this process wrote, which grows with it.
    pub(super) index: Option<Arc<RwLock<Index>>>,
}

/// What the writer and all readers of a log share.
pub(super) struct Shared {
    pub(super) files: Arc<dyn Files>,
    pub(super) dir: PathBuf,
    pub(super) log_id: u64,
    /// Sorted; never empty; the last one is being written.
    segments: RwLock<Vec<Segment>>,
    /// Changes with the list of segments.
    generation: AtomicU64,
    durable_end: AtomicU64,
    opened: Mutex<Vec<Arc<Opened>>>,
}

struct Opened {
    base: u64,
    rewrites: u32,
    file: Arc<dyn OpenFile>,
    index: Arc<RwLock<Index>>,
    header: SegmentHeader,
}

impl Shared {
    pub(super) fn new(files: Arc<dyn Files>, dir: PathBuf, log_id: u64, segments: Vec<Segment>, end: u64) -> Shared {
        Shared {
            files,
            dir,
            log_id,
            segments: RwLock::new(segments),
            generation: AtomicU64::new(0),
            durable_end: AtomicU64::new(end),
            opened: Mutex::default(),
        }
    }

    pub(super) fn durable_end(&self) -> u64 {
        self.durable_end.load(Ordering::Acquire)
    }

    /// Lets readers see everything below `end`, which the caller has synced.
    pub(super) fn publish(&self, end: u64, active_bytes: u64) {
        if let Some(active) = self.segments.write().unwrap_or_else(PoisonError::into_inner).last_mut() {
            active.bytes = active_bytes;
        }
        self.durable_end.store(end, Ordering::Release);
    }

    pub(super) fn segments(&self) -> Vec<Segment> {
        self.segments.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    pub(super) fn change_segments(&self, change: impl FnOnce(&mut Vec<Segment>)) {
        let mut segments = self.segments.write().unwrap_or_else(PoisonError::into_inner);
        change(&mut segments);
        let (start, generation) = (segments.first().map_or(0, |s| s.base), &self.generation);
        generation.fetch_add(1, Ordering::Release);
        drop(segments);
        self.opened().retain(|opened| opened.base >= start);
    }

    fn start(&self) -> u64 {
        self.segments.read().unwrap_or_else(PoisonError::into_inner).first().map_or(0, |segment| segment.base)
    }

    /// The segment that holds `seq`, or will.
    fn find(&self, seq: u64) -> Result<Segment, StoreError> {
        let segments = self.segments.read().unwrap_or_else(PoisonError::into_inner);
        let start = segments.first().map_or(0, |segment| segment.base);
        let index = segments.partition_point(|segment| segment.base <= seq).checked_sub(1);
        index.map(|index| segments[index].clone()).ok_or(StoreError::Trimmed { asked: seq, start })
    }

    fn opened(&self) -> MutexGuard<'_, Vec<Arc<Opened>>> {
        self.opened.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn open(&self, segment: &Segment) -> Result<Arc<Opened>, StoreError> {
        let mut opened = self.opened();
        let known = opened.iter().position(|o| o.base == segment.base && o.rewrites == segment.rewrites);
        if let Some(position) = known {
            let found = opened.remove(position);
            opened.push(found.clone());
            return Ok(found);
        }
        drop(opened);
        let path = segment::log_path(&self.dir, segment.base);
        let file = match self.files.open_read(&path) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound && segment.base < self.start() => {
                return Err(StoreError::Trimmed { asked: segment.base, start: self.start() });
            }
            Err(error) => return Err(StoreError::io("open", &path)(error)),
        };
        let header = SegmentHeader::read(&*file, &path, segment.base)?.filter(|header| header.log_id == self.log_id);
        let header = header.ok_or_else(|| damage(segment, 0, segment.base, "a segment's header cannot be read"))?;
        let index = match &segment.index {
            Some(index) if segment.rewrites == header.rewrites => index.clone(),
            _ => {
                let read = segment::read_index(&*self.files, &self.dir, segment.base, header.crc());
                Arc::new(RwLock::new(read.unwrap_or_default()))
            }
        };
        let new = Arc::new(Opened { base: segment.base, rewrites: segment.rewrites, file, index, header });
        let mut opened = self.opened();
        // A rewritten segment's old handle must not be found again.
        opened.retain(|o| o.base != new.base);
        if opened.len() >= OPEN_SEGMENTS_MAX {
            opened.remove(0);
        }
        opened.push(new.clone());
        Ok(new)
    }
}

/// Reads a log. Clones are cheap, independent of each other and of the writer, and may outlive it.
pub struct LogReader {
    shared: Arc<Shared>,
    /// The last frame that a look-up unpacked: neighbours are often asked for together.
    last: Mutex<Option<Cursor>>,
}

impl Clone for LogReader {
    fn clone(&self) -> LogReader {
        LogReader::new(self.shared.clone())
    }
}

impl LogReader {
    pub(super) fn new(shared: Arc<Shared>) -> LogReader {
        LogReader { shared, last: Mutex::new(None) }
    }

    pub(super) fn shared(&self) -> &Arc<Shared> {
        &self.shared
    }

    /// The first sequence number that retention kept.
    pub fn start(&self) -> u64 {
        self.shared.start()
    }

    /// One past the last durable sequence number. Wait-free.
    pub fn durable_end(&self) -> u64 {
        self.shared.durable_end()
    }

    /// A cursor that begins at the record of that number, which need not exist yet.
    pub fn cursor(&self, from: u64) -> Cursor {
        Cursor {
            shared: self.shared.clone(),
            seq: from,
            place: None,
            block: Block::default(),
            decompressor: Decompressor::new().expect("zstd needs nothing but memory"),
        }
    }

    /// The record of that number. Reads its block and unpacks its frame, unless the last look-up was in the same one.
    ///
    /// Fails with [`StoreError::Trimmed`], [`StoreError::PastEnd`] or [`StoreError::Damaged`].
    pub fn record(&self, seq: u64) -> Result<OwnedRecord, StoreError> {
        let end = self.durable_end();
        if seq >= end {
            return Err(StoreError::PastEnd { asked: seq, end });
        }
        let mut last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        let cursor = last.get_or_insert_with(|| self.cursor(seq));
        if seq < self.start() || !cursor.holds(seq) {
            cursor.seek(seq);
            cursor.next_around()?;
        }
        let record = cursor.block.get(seq).ok_or(StoreError::PastEnd { asked: seq, end })?;
        Ok(OwnedRecord { kind: record.kind, bytes: record.bytes.to_vec() })
    }

    /// The segments, in order. For retention (with [`super::Log::trim`]) and erasure ([`super::Log::rewrite`]).
    pub fn segments(&self) -> Vec<SegmentInfo> {
        let end = self.durable_end();
        let segments = self.shared.segments();
        let infos = segments.iter().map(|segment| SegmentInfo {
            first: segment.base,
            end: segment.end.min(end.max(segment.base)),
            bytes: segment.bytes,
            sealed: segment.end != u64::MAX,
        });
        infos.collect()
    }

    /// The bytes of all segment files, as of the last sync.
    pub fn bytes(&self) -> u64 {
        self.shared.segments().iter().map(|segment| segment.bytes).sum()
    }
}

/// A record on its own.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OwnedRecord {
    /// Chosen by the writer, or [`super::TOMBSTONE`].
    pub kind: u8,
    /// The payload.
    pub bytes: Vec<u8>,
}

/// Goes through a log block by block.
pub struct Cursor {
    shared: Arc<Shared>,
    /// The record to be read next.
    seq: u64,
    place: Option<InSegment>,
    block: Block,
    decompressor: Decompressor<'static>,
}

struct InSegment {
    segment: Segment,
    generation: u64,
    window: Window,
    spot: Spot,
    /// Blocks below this were whole on disk before anything in the window was read.
    fresh: u64,
}

impl Cursor {
    /// The number of the record to be read next.
    pub fn position(&self) -> u64 {
        self.seq
    }

    /// Goes on at another record.
    pub fn seek(&mut self, seq: u64) {
        self.seq = seq;
        self.place = None;
        self.block.clear();
    }

    /// The next block, or none where there is no more that is durable: ask again later. Not empty.
    ///
    /// Fails with [`StoreError::Trimmed`] where retention overtook the cursor, and with [`StoreError::Damaged`]; the
    /// cursor does not pass over damage.
    #[expect(clippy::should_implement_trait, reason = "the block lent must be given back before the next call")]
    pub fn next(&mut self) -> Result<Option<&Block>, StoreError> {
        let mut block = std::mem::take(&mut self.block);
        let read = self.next_into(&mut block);
        self.block = block;
        Ok(read?.then_some(&self.block))
    }

    /// The same into a block of the caller's, which can then go to another thread. False where there is no more.
    pub fn next_into(&mut self, block: &mut Block) -> Result<bool, StoreError> {
        block.clear();
        let Some(header) = self.find()? else {
            return Ok(false);
        };
        self.unpack(&header, block, None)?;
        block.begin_at(self.seq);
        self.seq = header.end();
        Ok(true)
    }

    /// Unpacks the frame that holds the next record into the cursor's own block, and stays there.
    fn next_around(&mut self) -> Result<(), StoreError> {
        let Some(header) = self.find()? else {
            return Ok(());
        };
        let mut block = std::mem::take(&mut self.block);
        let unpacked = self.unpack(&header, &mut block, Some(self.seq));
        self.block = block;
        unpacked
    }

    /// The header of the block that holds the next record; none where it is not durable yet.
    fn find(&mut self) -> Result<Option<Header>, StoreError> {
        loop {
            let end = self.shared.durable_end();
            if self.seq >= end {
                return Ok(None);
            }
            let header = self.step(end)?;
            if header.end() > self.seq {
                return Ok(Some(header));
            }
        }
    }

    /// Moves past one block's header.
    fn step(&mut self, end: u64) -> Result<Header, StoreError> {
        let log_id = self.shared.log_id;
        let path = self.shared.dir.clone();
        let place = self.enter(end)?;
        if place.spot.seq >= place.fresh {
            place.window.forget();
            place.fresh = end;
        }
        let found = place.window.header(place.spot.offset).map_err(StoreError::io("read", &path))?;
        let header =
            place.spot.expect(log_id, found).map_err(|what| damage(&place.segment, place.spot.offset, place.spot.seq, what))?;
        place.spot = place.spot.after(&header);
        Ok(header)
    }

    /// Sees to it that `place` is where the next record is read.
    fn enter(&mut self, end: u64) -> Result<&mut InSegment, StoreError> {
        let generation = self.shared.generation.load(Ordering::Acquire);
        let place = match self.place.take().and_then(|place| self.still_there(place, generation)) {
            Some(place) => place,
            None => {
                let segment = self.shared.find(self.seq)?;
                let opened = self.shared.open(&segment)?;
                let floor = opened.index.read().unwrap_or_else(PoisonError::into_inner).floor(self.seq);
                let spot = match floor {
                    Some((seq, offset)) => Spot { offset, seq, chain: None },
                    None => Spot::begin(&opened.header),
                };
                InSegment { segment, generation, window: Window::new(opened.file.clone()), spot, fresh: end }
            }
        };
        Ok(self.place.insert(place))
    }

    /// The place, unless its segment has ended or another one has taken its name.
    fn still_there(&self, mut place: InSegment, generation: u64) -> Option<InSegment> {
        if place.generation != generation {
            place.generation = generation;
            match self.shared.find(self.seq) {
                Ok(now) if now.base == place.segment.base && now.rewrites == place.segment.rewrites => place.segment = now,
                // A trimmed segment is read to its end from the open handle.
                Err(_) if place.segment.end != u64::MAX => {}
                _ => return None,
            }
        }
        (place.spot.seq < place.segment.end).then_some(place)
    }

    fn unpack(&mut self, header: &Header, block: &mut Block, only: Option<u64>) -> Result<(), StoreError> {
        let place = self.place.as_mut().expect("a header was just read here");
        let offset = place.spot.offset - u64::from(header.stored_len);
        let path = segment::log_path(&self.shared.dir, place.segment.base);
        let body = place.window.get(offset, header.stored_len as usize).map_err(StoreError::io("read", &path))?;
        let unpacked = match body {
            Some(body) => match only {
                Some(seq) => block.unpack_around(seq, header, body, &mut self.decompressor),
                None => block.unpack(header, body, &mut self.decompressor),
            },
            None => Err("a block is cut short"),
        };
        let at = offset - block::HEADER_BYTES as u64;
        let Err(what) = unpacked else { return Ok(()) };
        let mut damage = damage_at(&place.segment, at, header.first, what);
        damage.end = Some(header.end());
        // So that asking again gives the same answer instead of what lies behind.
        self.place = None;
        Err(StoreError::Damaged(damage))
    }

    /// Whether the block in hand shows that record and is still what the log holds.
    fn holds(&self, seq: u64) -> bool {
        let generation = self.shared.generation.load(Ordering::Acquire);
        self.place.as_ref().is_some_and(|place| place.generation == generation) && self.block.get(seq).is_some()
    }
}

fn damage_at(segment: &Segment, offset: u64, first: u64, what: &'static str) -> Damage {
    let end = (segment.end != u64::MAX).then_some(segment.end);
    Damage { segment: segment::log_name(segment.base), offset, first, end, what }
}

fn damage(segment: &Segment, offset: u64, first: u64, what: &'static str) -> StoreError {
    StoreError::Damaged(damage_at(segment, offset, first, what))
}
