//! Looking a log over, and changing what is sealed: verify, repair, rewrite.
//!
//! A segment is never changed in place. The new one is written beside it, synced, and takes its name in one step; a crash
//! leaves the one or the other. Numbers never change: what is erased or lost becomes a [`TOMBSTONE`].

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use zstd::bulk::Decompressor;

use super::block::{self, Block, Header, Packer, Place, Record, TOMBSTONE};
use super::recovery::{self, TornTail};
use super::segment::{self, Index, Seal, SegmentHeader, Spot, Window};
use super::{Log, LogReader};
use crate::files::{Files, OpenFile};
use crate::{Damage, StoreError};

/// Tombstones in one block of a repair: bounds the memory, not the range.
const TOMBSTONES_PER_BLOCK: u64 = 65_536;

/// What is in a log, and what is wrong with it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Report {
    /// Segment files.
    pub segments: u64,
    /// Whole blocks.
    pub blocks: u64,
    /// Records that can be read, tombstones among them.
    pub records: u64,
    /// Records that were erased or lost earlier.
    pub tombstones: u64,
    /// Bytes of the segment files.
    pub bytes: u64,
    /// Bytes of the records before compression.
    pub raw_bytes: u64,
    /// The first sequence number.
    pub start: u64,
    /// One past the last sequence number that can be read.
    pub end: u64,
    /// Everything that was durable once and cannot be read.
    pub damage: Vec<Damage>,
    /// What the next opening would cut off.
    pub torn: Option<TornTail>,
}

/// What [`Log::rewrite`] does with a record.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// It stays as it is.
    Keep,
    /// Its payload and kind are gone; its number stays.
    Tombstone,
    /// It has this payload from now on; its kind and number stay.
    Replace(Vec<u8>),
}

/// What [`Log::rewrite`] did.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Rewritten {
    /// Records looked at.
    pub records: u64,
    /// Records that became tombstones.
    pub tombstones: u64,
    /// Records that got another payload. Where there are none of either, the segment was left alone.
    pub replaced: u64,
}

/// A sealed segment written anew beside the old one, and durable there. It counts for nothing before [`Log::adopt`].
pub struct Draft {
    files: Arc<dyn Files>,
    dir: PathBuf,
    seal: Seal,
    index: Index,
    rewrites: u32,
}

impl Draft {
    /// Lets go of it.
    fn discard(self) {
        // Whatever is left is removed at the next opening.
        let _ = self.files.remove(&segment::beside_path(&self.dir, self.seal.base));
    }
}

/// Reads all of a log that nobody has open, and reports; changes nothing. For an open one: [`LogReader::verify`].
///
/// Damage is part of the report; an error means that the files could not be read.
pub fn verify(files: &dyn Files, dir: &Path) -> Result<Report, StoreError> {
    survey_all(files, dir, &recovery::bases(files, dir)?, None)
}

/// Puts tombstones where records of a log that nobody has open cannot be read, and gives what was lost: the only way past
/// damage, and never taken by itself. Records that can be read keep their numbers and bytes.
pub fn repair(files: &dyn Files, dir: &Path) -> Result<Vec<Damage>, StoreError> {
    let _lock = recovery::lock(files, dir)?;
    let (bases, _) = recovery::tidy(files, dir)?;
    let log_id = known_id(files, dir, &bases)?;
    let mut lost = Vec::new();
    for (index, &base) in bases.iter().enumerate() {
        let survey = Survey { files, dir, base, log_id, until: bases.get(index + 1).copied(), stop: None };
        let mut damage = Vec::new();
        survey.run(&mut |piece| {
            if let Piece::Lost(what) = piece {
                damage.push(what);
            }
            Ok(())
        })?;
        if let Some(overlap) = damage.iter().find(|damage| damage.end.is_some_and(|end| end < damage.first)) {
            // Two segments claim the same numbers. Which one is right only a person can say.
            return Err(StoreError::Damaged(overlap.clone()));
        }
        if !damage.is_empty() {
            mend(&survey)?;
            lost.append(&mut damage);
        }
    }
    Ok(lost)
}

impl LogReader {
    /// Reads everything up to the durable end, and reports. Damage is part of the report.
    pub fn verify(&self) -> Result<Report, StoreError> {
        let shared = self.shared();
        let end = shared.durable_end();
        let bases: Vec<u64> = shared.segments().iter().map(|segment| segment.base).collect();
        survey_all(&*shared.files, &shared.dir, &bases, Some(end))
    }
}

impl LogReader {
    /// Writes the sealed segment that begins at `first` anew, beside itself: asks for a verdict on each record (not on tombstones). Nobody
    /// waits meanwhile, neither the writer nor another reader. No draft where every record stays. Only one at a time for each log.
    ///
    /// Fails with [`StoreError::NoSuchSegment`] (see [`Log::rotate`]) and with [`StoreError::Damaged`]; then nothing has changed.
    pub fn draft(
        &self,
        first: u64,
        mut verdict: impl FnMut(u64, u8, &[u8]) -> Verdict,
    ) -> Result<(Rewritten, Option<Draft>), StoreError> {
        let shared = self.shared();
        let segments = shared.segments();
        let sealed = segments.iter().find(|segment| segment.base == first && segment.end != u64::MAX);
        let end = sealed.ok_or(StoreError::NoSuchSegment { first })?.end;
        let (files, dir) = (shared.files.clone(), shared.dir.clone());
        let survey = Survey { files: &*files, dir: &dir, base: first, log_id: Some(shared.log_id), until: Some(end), stop: None };
        let mut done = Rewritten::default();
        let mut doomed: Doomed = BTreeMap::new();
        survey.run(&mut |piece| {
            for (seq, record) in piece.whole()?.2.records() {
                done.records += 1;
                if record.kind == TOMBSTONE {
                    continue;
                }
                match verdict(seq, record.kind, record.bytes) {
                    Verdict::Keep => (),
                    Verdict::Tombstone => drop(doomed.insert(seq, None)),
                    Verdict::Replace(bytes) => drop(doomed.insert(seq, Some(bytes))),
                }
            }
            Ok(())
        })?;
        if doomed.is_empty() {
            return Ok((done, None));
        }
        done.replaced = doomed.values().flatten().count() as u64;
        done.tombstones = doomed.len() as u64 - done.replaced;
        let written = erase(&survey, &doomed).and_then(Beside::finish);
        let (seal, index, rewrites) = written.inspect_err(|_| {
            // The segment itself is untouched; what is left of the new one is removed at the next opening at the latest.
            let _ = files.remove(&segment::beside_path(&dir, first));
        })?;
        Ok((done, Some(Draft { files, dir, seal, index, rewrites })))
    }
}

impl Log {
    /// Gives a draft the place of its segment, in one step: a power cut leaves the one or the other. Readers change over at their next
    /// block. The old bytes may stay on the device until it reuses them. A segment that was trimmed meanwhile stays trimmed.
    ///
    /// Fails with [`StoreError::Refused`] where the segment is another than the draft was made of, and poisons the log where the disk fails.
    pub fn adopt(&mut self, draft: Draft) -> Result<(), StoreError> {
        self.check_poison()?;
        let base = draft.seal.base;
        let Some(segment) = self.shared.segments().into_iter().find(|segment| segment.base == base) else {
            draft.discard();
            return Ok(());
        };
        if segment.end != draft.seal.end || segment.rewrites + 1 != draft.rewrites {
            draft.discard();
            return Err(StoreError::Refused("the segment has changed since it was written anew"));
        }
        let swapped = put_in_place(&*draft.files, &draft.dir, draft.seal, Some(&draft.index));
        self.poisoning(swapped)?;
        self.shared.change_segments(|segments| {
            if let Some(segment) = segments.iter_mut().find(|segment| segment.base == base) {
                (segment.bytes, segment.rewrites, segment.index) = (draft.seal.len, draft.rewrites, None);
            }
        });
        Ok(())
    }

    /// [`LogReader::draft`] and [`Log::adopt`] in one, for whoever may hold up the writer.
    ///
    /// Fails as they do.
    pub fn rewrite(&mut self, first: u64, verdict: impl FnMut(u64, u8, &[u8]) -> Verdict) -> Result<Rewritten, StoreError> {
        self.check_poison()?;
        let (done, draft) = self.reader().draft(first, verdict)?;
        draft.map_or(Ok(()), |draft| self.adopt(draft))?;
        Ok(done)
    }
}

/// What becomes of records: another payload, or none at all.
type Doomed = BTreeMap<u64, Option<Vec<u8>>>;

/// Writes a segment beside the one surveyed, without the doomed records.
fn erase<'a>(survey: &Survey<'a>, doomed: &Doomed) -> Result<Beside<'a>, StoreError> {
    let header = survey.header()?.ok_or(StoreError::NoSuchSegment { first: survey.base })?;
    let mut beside = Beside::begin(survey, SegmentHeader { rewrites: header.rewrites + 1, ..header })?;
    survey.run(&mut |piece| {
        let (header, body, block) = piece.whole()?;
        if doomed.range(header.first..header.end()).next().is_none() {
            return beside.copy(header, body);
        }
        let records = block.records().map(|(seq, record)| match doomed.get(&seq) {
            Some(None) => Record { kind: TOMBSTONE, bytes: &[] },
            Some(Some(bytes)) => Record { kind: record.kind, bytes },
            None => record,
        });
        beside.pack(header.first, records)
    })?;
    Ok(beside)
}

/// Rewrites a damaged segment with tombstones for what is lost.
fn mend(survey: &Survey<'_>) -> Result<(), StoreError> {
    let log_id = survey.log_id.ok_or(StoreError::Refused("nothing is left of the log that could be repaired"))?;
    let rewrites = survey.header()?.map_or(0, |header| header.rewrites) + 1;
    let mut beside = Beside::begin(survey, SegmentHeader { base: survey.base, log_id, rewrites })?;
    survey.run(&mut |piece| match piece {
        Piece::Whole(header, body, _) => beside.copy(header, body),
        Piece::Lost(damage) => beside.bury(damage.first, damage.end.unwrap_or(damage.first)),
        Piece::Torn(_) => Ok(()),
    })?;
    let sealed = beside.sealed;
    let (seal, index, _) = beside.finish()?;
    put_in_place(survey.files, survey.dir, seal, sealed.then_some(&index))
}

fn survey_all(files: &dyn Files, dir: &Path, bases: &[u64], stop: Option<u64>) -> Result<Report, StoreError> {
    let start = bases.first().copied().unwrap_or(0);
    let mut report = Report { segments: bases.len() as u64, start, end: start, ..Report::default() };
    let log_id = known_id(files, dir, bases)?;
    for (index, &base) in bases.iter().enumerate() {
        let survey = Survey { files, dir, base, log_id, until: bases.get(index + 1).copied(), stop };
        report.bytes += survey.run(&mut |piece| {
            match piece {
                Piece::Whole(header, _, block) => {
                    report.blocks += 1;
                    report.records += block.len() as u64;
                    report.raw_bytes += u64::from(header.raw_len);
                    report.tombstones += block.records().filter(|(_, record)| record.kind == TOMBSTONE).count() as u64;
                    report.end = header.end();
                }
                Piece::Lost(damage) => report.damage.push(damage),
                Piece::Torn(torn) => report.torn = Some(torn),
            }
            Ok(())
        })?;
    }
    Ok(report)
}

/// The log's id, from any segment that still has it: damage may have taken a segment's header.
fn known_id(files: &dyn Files, dir: &Path, bases: &[u64]) -> Result<Option<u64>, StoreError> {
    for &base in bases {
        let path = segment::log_path(dir, base);
        let file = files.open_read(&path).map_err(StoreError::io("open", &path))?;
        if let Some(header) = SegmentHeader::read(&*file, &path, base)? {
            return Ok(Some(header.log_id));
        }
        let found = segment::find_block(&*file, 0, None, base, |_| true).map_err(StoreError::io("read", &path))?;
        if let Some((_, header)) = found {
            return Ok(Some(header.log_id));
        }
    }
    Ok(None)
}

/// One segment to be read as far as it can be, past damage.
struct Survey<'a> {
    files: &'a dyn Files,
    dir: &'a Path,
    base: u64,
    log_id: Option<u64>,
    /// Where the next segment begins; none for the last one.
    until: Option<u64>,
    /// Where to stop, because another thread writes on from there.
    stop: Option<u64>,
}

/// What a survey comes upon.
enum Piece<'a> {
    /// A block, with its stored body.
    Whole(&'a Header, &'a [u8], &'a Block),
    /// Records that were durable.
    Lost(Damage),
    /// The rest of the last segment, which no block vouches for.
    Torn(TornTail),
}

impl<'a> Piece<'a> {
    /// The block, where damage is not to be passed over.
    fn whole(self) -> Result<(&'a Header, &'a [u8], &'a Block), StoreError> {
        match self {
            Piece::Whole(header, body, block) => Ok((header, body, block)),
            Piece::Lost(damage) => Err(StoreError::Damaged(damage)),
            Piece::Torn(_) => Err(StoreError::Refused("only a sealed segment is rewritten")),
        }
    }
}

impl Survey<'_> {
    fn header(&self) -> Result<Option<SegmentHeader>, StoreError> {
        let path = segment::log_path(self.dir, self.base);
        let file = self.files.open_read(&path).map_err(StoreError::io("open", &path))?;
        SegmentHeader::read(&*file, &path, self.base)
    }

    /// Shows every piece in order. Gives the file's length in bytes.
    fn run(&self, visit: &mut dyn FnMut(Piece<'_>) -> Result<(), StoreError>) -> Result<u64, StoreError> {
        let path = segment::log_path(self.dir, self.base);
        let file = self.files.open_read(&path).map_err(StoreError::io("open", &path))?;
        let len = file.len().map_err(StoreError::io("read", &path))?;
        let header = SegmentHeader::read(&*file, &path, self.base)?;
        let header = header.filter(|header| self.log_id.is_none_or(|id| id == header.log_id));
        let start = segment::SEGMENT_HEADER_BYTES as u64;
        let mut spot = Spot { offset: start.min(len), seq: self.base, chain: header.map(|header| header.crc()) };
        if header.is_none() && (self.until.is_some() || len > start) {
            visit(Piece::Lost(self.damage(0, self.base, self.base, "a segment's header cannot be read")))?;
        }
        let mut window = Window::new(file.clone());
        let mut decompressor = Decompressor::new().map_err(StoreError::io("read", &path))?;
        let mut block = Block::default();
        while spot.offset < len && self.stop.is_none_or(|stop| spot.seq < stop) {
            let read = self.read(&mut window, spot, &mut decompressor, &mut block).map_err(StoreError::io("read", &path))?;
            match read {
                Ok(header) => {
                    let at = spot.offset + block::HEADER_BYTES as u64;
                    let body = window.get(at, header.stored_len as usize).map_err(StoreError::io("read", &path))?;
                    visit(Piece::Whole(&header, body.unwrap_or_default(), &block))?;
                    spot = spot.after(&header);
                }
                Err(what) => match self.next_whole(&file, spot, &mut decompressor).map_err(StoreError::io("read", &path))? {
                    Some(next) => {
                        visit(Piece::Lost(self.damage(spot.offset, spot.seq, next.seq, what)))?;
                        spot = next;
                    }
                    None if self.until.is_some() => {
                        visit(Piece::Lost(self.damage(spot.offset, spot.seq, self.until.unwrap_or(spot.seq), what)))?;
                        return Ok(len);
                    }
                    None => {
                        let (segment, offset) = (segment::log_name(self.base), spot.offset);
                        visit(Piece::Torn(TornTail { segment, offset, bytes: len - offset, first: spot.seq, what }))?;
                        return Ok(len);
                    }
                },
            }
        }
        if let Some(until) = self.until
            && spot.seq != until
        {
            let what = if spot.seq < until { "records are missing" } else { "segments overlap" };
            visit(Piece::Lost(self.damage(spot.offset, spot.seq, until, what)))?;
        }
        Ok(len)
    }

    fn read(
        &self,
        window: &mut Window,
        spot: Spot,
        decompressor: &mut Decompressor<'static>,
        block: &mut Block,
    ) -> io::Result<Result<Header, &'static str>> {
        let found = window.header(spot.offset)?;
        let id = self.log_id.or(found.map(|header| header.log_id)).unwrap_or(0);
        let header = match spot.expect(id, found) {
            Ok(header) => header,
            Err(what) => return Ok(Err(what)),
        };
        let body = window.get(spot.offset + block::HEADER_BYTES as u64, header.stored_len as usize)?;
        let unpacked = body.ok_or("a block is cut short").and_then(|body| block.unpack(&header, body, decompressor));
        Ok(unpacked.map(|()| header))
    }

    /// The next block behind `spot` that is whole.
    fn next_whole(
        &self,
        file: &Arc<dyn OpenFile>,
        spot: Spot,
        decompressor: &mut Decompressor<'static>,
    ) -> io::Result<Option<Spot>> {
        let mut window = Window::new(file.clone());
        let mut block = Block::default();
        let mut from = spot.offset + 1;
        while let Some((offset, header)) = segment::find_block(&**file, from, self.log_id, spot.seq, |_| true)? {
            let next = Spot { offset, seq: header.first, chain: None };
            if self.read(&mut window, next, decompressor, &mut block)?.is_ok() {
                return Ok(Some(next));
            }
            from = offset + 1;
        }
        Ok(None)
    }

    fn damage(&self, offset: u64, first: u64, end: u64, what: &'static str) -> Damage {
        Damage { segment: segment::log_name(self.base), offset, first, end: Some(end), what }
    }
}

/// A segment being written beside the one whose place it will take.
struct Beside<'a> {
    dir: &'a Path,
    file: Arc<dyn OpenFile>,
    header: SegmentHeader,
    packer: Packer,
    index: Index,
    offset: u64,
    chain: u32,
    end: u64,
    /// Whether another segment follows: the last one has no index file.
    sealed: bool,
}

impl<'a> Beside<'a> {
    fn begin(survey: &Survey<'a>, header: SegmentHeader) -> Result<Beside<'a>, StoreError> {
        let path = segment::beside_path(survey.dir, header.base);
        let file = survey.files.create(&path).map_err(StoreError::io("create", &path))?;
        file.write_at(&header.encode(), 0).map_err(StoreError::io("write", &path))?;
        Ok(Beside {
            dir: survey.dir,
            file,
            header,
            packer: Packer::new(),
            index: Index::default(),
            offset: segment::SEGMENT_HEADER_BYTES as u64,
            chain: header.crc(),
            end: header.base,
            sealed: survey.until.is_some(),
        })
    }

    /// A block as it is.
    fn copy(&mut self, header: &Header, body: &[u8]) -> Result<(), StoreError> {
        let place = self.place(header.first);
        let (header, bytes) = self.packer.repack(*header, place, body);
        write(&*self.file, self.dir, bytes, self.offset, self.header.base)?;
        self.advance(&header);
        Ok(())
    }

    fn pack<'r>(&mut self, first: u64, records: impl ExactSizeIterator<Item = Record<'r>> + Clone) -> Result<(), StoreError> {
        let place = self.place(first);
        let (header, bytes) = self.packer.pack(place, records)?;
        write(&*self.file, self.dir, bytes, self.offset, self.header.base)?;
        self.advance(&header);
        Ok(())
    }

    /// Tombstones for a range.
    fn bury(&mut self, first: u64, end: u64) -> Result<(), StoreError> {
        let mut seq = first;
        while seq < end {
            let count = (end - seq).min(TOMBSTONES_PER_BLOCK);
            let tombstones = vec![Record { kind: TOMBSTONE, bytes: &[] }; count as usize];
            self.pack(seq, tombstones.iter().copied())?;
            seq += count;
        }
        Ok(())
    }

    /// Makes the new segment durable where it stands.
    fn finish(self) -> Result<(Seal, Index, u32), StoreError> {
        let path = segment::beside_path(self.dir, self.header.base);
        self.file.sync_data().map_err(StoreError::io("sync", &path))?;
        let seal = Seal { base: self.header.base, end: self.end, len: self.offset, segment_crc: self.header.crc() };
        Ok((seal, self.index, self.header.rewrites))
    }

    fn place(&self, first: u64) -> Place {
        // What stands here was durable before it is rewritten, and so was all that came before it.
        Place { log_id: self.header.log_id, first, durable: first, chain: self.chain }
    }

    fn advance(&mut self, header: &Header) {
        self.index.note(header.first, self.offset);
        self.offset += header.block_bytes();
        self.chain = header.crc;
        self.end = header.end();
    }
}

/// Gives a segment that stands durable beside the old one its name, and its index where it is sealed.
fn put_in_place(files: &dyn Files, dir: &Path, seal: Seal, index: Option<&Index>) -> Result<(), StoreError> {
    let (from, to) = (segment::beside_path(dir, seal.base), segment::log_path(dir, seal.base));
    files.rename(&from, &to).map_err(StoreError::io("rename", &from))?;
    files.sync_dir(dir).map_err(StoreError::io("sync", dir))?;
    index.map_or(Ok(()), |index| segment::write_index(files, dir, seal, index))
}

fn write(file: &dyn OpenFile, dir: &Path, bytes: &[u8], offset: u64, base: u64) -> Result<(), StoreError> {
    file.write_at(bytes, offset).map_err(StoreError::io("write", &segment::beside_path(dir, base)))
}
