//! A block: what one append writes. A header, then the records in frames, each compressed where it helps.
//!
//! Blocks are all or nothing: the checksum covers the whole body. Frames are what is unpacked for a single record: large
//! blocks make cheap barriers, small frames cheap look-ups. This module never touches a file; where blocks lie is the
//! business of [`super::segment`]. The bytes are in `docs/format.md`, "Block".

use zstd::bulk::{Compressor, Decompressor};

use super::Fields;
use crate::StoreError;

/// Marks the beginning of a block, so that the next one can be found behind damage.
pub(super) const MAGIC: [u8; 4] = *b"WfB\xf7";
/// The version of the block layout.
const VERSION: u8 = 1;
/// The bytes of a block's header.
pub(super) const HEADER_BYTES: usize = 56;
/// What one record costs in a block beside its payload: its kind and its length.
pub(super) const RECORD_OVERHEAD_BYTES: usize = 5;
/// What one frame costs: its count of records, its length and its stored length.
const FRAME_OVERHEAD_BYTES: usize = 12;
/// A frame that has grown past this is closed: unpacking it takes some tens of microseconds, and zstd gains little from more.
const FRAME_BYTES: usize = 64 << 10;

/// The largest payload in bytes: a request's body at the door is far smaller, a plan far larger than any seen.
pub const RECORD_BYTES_MAX: usize = 8 << 20;
/// The largest block in bytes before compression: a reader holds one in memory, and a damaged length may not ask for more.
pub const BLOCK_BYTES_MAX: usize = 16 << 20;
/// The kind of a record whose payload was erased or lost. Its number stays, so that no other number moves.
pub const TOMBSTONE: u8 = 0xff;

/// Below this, zstd's frame and table cost more than they save.
const COMPRESS_BYTES_MIN: usize = 256;
/// The fastest level that still halves JSON; the log is written once and the disk is rarely the bound.
const COMPRESS_LEVEL: i32 = 1;

/// One record: a kind that the caller chose, and its payload.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Record<'a> {
    /// Anything but [`TOMBSTONE`], which the log gives by itself.
    pub kind: u8,
    /// The payload, to [`RECORD_BYTES_MAX`]; empty for a tombstone.
    pub bytes: &'a [u8],
}

/// A block's header, decoded and verified.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Header {
    pub(super) frames: u16,
    pub(super) log_id: u64,
    pub(super) first: u64,
    pub(super) count: u32,
    /// The bytes of all frames before compression.
    pub(super) raw_len: u32,
    /// The bytes of the body: the table of frames, and the frames as they are stored.
    pub(super) stored_len: u32,
    pub(super) body_crc: u32,
    /// The log's durable end when this block was written: everything below it had been synced. It tells damage from a torn tail.
    pub(super) durable: u64,
    /// The header checksum of the block before this one, or of the segment header.
    pub(super) chain: u32,
    /// The checksum of this header.
    pub(super) crc: u32,
}

impl Header {
    pub(super) fn end(&self) -> u64 {
        self.first + u64::from(self.count)
    }

    fn table_bytes(&self) -> usize {
        usize::from(self.frames) * FRAME_OVERHEAD_BYTES
    }

    /// The bytes from this block's first to the next block's.
    pub(super) fn block_bytes(&self) -> u64 {
        HEADER_BYTES as u64 + u64::from(self.stored_len)
    }

    fn encode(&mut self) -> [u8; HEADER_BYTES] {
        let mut bytes = [0; HEADER_BYTES];
        bytes[0..4].copy_from_slice(&MAGIC);
        bytes[4] = VERSION;
        bytes[6..8].copy_from_slice(&self.frames.to_le_bytes());
        bytes[8..16].copy_from_slice(&self.log_id.to_le_bytes());
        bytes[16..24].copy_from_slice(&self.first.to_le_bytes());
        bytes[24..28].copy_from_slice(&self.count.to_le_bytes());
        bytes[28..32].copy_from_slice(&self.raw_len.to_le_bytes());
        bytes[32..36].copy_from_slice(&self.stored_len.to_le_bytes());
        bytes[36..40].copy_from_slice(&self.body_crc.to_le_bytes());
        bytes[40..48].copy_from_slice(&self.durable.to_le_bytes());
        bytes[48..52].copy_from_slice(&self.chain.to_le_bytes());
        self.crc = crc32c::crc32c(&bytes[..52]);
        bytes[52..56].copy_from_slice(&self.crc.to_le_bytes());
        bytes
    }

    /// None where these bytes are not a header that this program wrote.
    pub(super) fn decode(bytes: &[u8; HEADER_BYTES]) -> Option<Header> {
        let mut fields = Fields(bytes);
        let magic: [u8; 4] = fields.take();
        let [version, reserved, frames @ ..]: [u8; 4] = fields.take();
        if magic != MAGIC || version != VERSION || reserved != 0 {
            return None;
        }
        let header = Header {
            frames: u16::from_le_bytes(frames),
            log_id: fields.u64(),
            first: fields.u64(),
            count: fields.u32(),
            raw_len: fields.u32(),
            stored_len: fields.u32(),
            body_crc: fields.u32(),
            durable: fields.u64(),
            chain: fields.u32(),
            crc: fields.u32(),
        };
        let sound = header.crc == crc32c::crc32c(&bytes[..52])
            && header.raw_len as usize <= BLOCK_BYTES_MAX
            && header.stored_len as usize <= header.raw_len as usize + header.table_bytes()
            && header.count as usize <= header.raw_len as usize / RECORD_OVERHEAD_BYTES
            && header.first.checked_add(u64::from(header.count)).is_some();
        sound.then_some(header)
    }
}

/// Where a block stands in its log: what [`Packer::pack`] needs beside the records.
#[derive(Debug, Clone, Copy)]
pub(super) struct Place {
    pub(super) log_id: u64,
    pub(super) first: u64,
    pub(super) durable: u64,
    pub(super) chain: u32,
}

/// Makes blocks, reusing its buffers.
pub(super) struct Packer {
    compressor: Compressor<'static>,
    /// One frame, before and after compression.
    raw: Vec<u8>,
    packed: Vec<u8>,
    table: Vec<u8>,
    frames: Vec<u8>,
    block: Vec<u8>,
}

impl Packer {
    pub(super) fn new() -> Packer {
        let compressor = Compressor::new(COMPRESS_LEVEL).expect("zstd knows its own levels");
        let (raw, packed, table, frames, block) = Default::default();
        Packer { compressor, raw, packed, table, frames, block }
    }

    /// The block's header, and the bytes to write. Checks the bounds, not the kinds.
    pub(super) fn pack<'a>(
        &mut self,
        place: Place,
        mut records: impl ExactSizeIterator<Item = Record<'a>> + Clone,
    ) -> Result<(Header, &[u8]), StoreError> {
        let count = records.len();
        let raw_len = raw_len(records.clone())?;
        self.table.clear();
        self.frames.clear();
        let mut frames = 0;
        while records.len() > 0 {
            self.pack_frame(&mut records);
            frames += 1;
        }
        let body_crc = crc32c::crc32c_append(crc32c::crc32c(&self.table), &self.frames);
        let mut header = Header {
            frames,
            log_id: place.log_id,
            first: place.first,
            count: count as u32,
            raw_len: raw_len as u32,
            stored_len: (self.table.len() + self.frames.len()) as u32,
            body_crc,
            durable: place.durable,
            chain: place.chain,
            crc: 0,
        };
        self.block.clear();
        self.block.extend_from_slice(&header.encode());
        self.block.extend_from_slice(&self.table);
        self.block.extend_from_slice(&self.frames);
        Ok((header, &self.block))
    }

    /// Takes records off the front until a frame is full.
    fn pack_frame<'a>(&mut self, records: &mut (impl ExactSizeIterator<Item = Record<'a>> + Clone)) {
        let mut bytes = 0;
        let fits = |record: &Record<'_>| {
            let open = bytes < FRAME_BYTES;
            bytes += RECORD_OVERHEAD_BYTES + record.bytes.len();
            open
        };
        let count = records.clone().take_while(fits).count();
        self.raw.clear();
        for record in records.clone().take(count) {
            self.raw.push(record.kind);
            self.raw.extend_from_slice(&(record.bytes.len() as u32).to_le_bytes());
        }
        for record in records.by_ref().take(count) {
            self.raw.extend_from_slice(record.bytes);
        }
        let stored = if self.compress() { &self.packed } else { &self.raw };
        for field in [count, self.raw.len(), stored.len()] {
            self.table.extend_from_slice(&(field as u32).to_le_bytes());
        }
        self.frames.extend_from_slice(stored);
    }

    /// The same body under a new header: for a block that a rewrite leaves alone.
    pub(super) fn repack(&mut self, mut header: Header, place: Place, body: &[u8]) -> (Header, &[u8]) {
        (header.log_id, header.durable, header.chain) = (place.log_id, place.durable, place.chain);
        self.block.clear();
        self.block.extend_from_slice(&header.encode());
        self.block.extend_from_slice(body);
        (header, &self.block)
    }

    /// Whether `packed` is what is worth storing of `raw`.
    fn compress(&mut self) -> bool {
        if self.raw.len() < COMPRESS_BYTES_MIN {
            return false;
        }
        self.packed.clear();
        self.packed.reserve(zstd::zstd_safe::compress_bound(self.raw.len()));
        let packed = self.compressor.compress_to_buffer(&self.raw, &mut self.packed);
        // A saving under an eighth is not worth unpacking it on each read.
        packed.is_ok_and(|packed| packed < self.raw.len() - self.raw.len() / 8)
    }
}

/// The bytes of a block's frames before compression, within the bounds.
fn raw_len<'a>(records: impl Iterator<Item = Record<'a>>) -> Result<usize, StoreError> {
    let mut total = 0_usize;
    for record in records {
        if record.bytes.len() > RECORD_BYTES_MAX {
            return Err(StoreError::TooLarge { what: "record", bytes: record.bytes.len(), limit: RECORD_BYTES_MAX });
        }
        total = total.saturating_add(RECORD_OVERHEAD_BYTES + record.bytes.len());
    }
    match total > BLOCK_BYTES_MAX {
        true => Err(StoreError::TooLarge { what: "block", bytes: total, limit: BLOCK_BYTES_MAX }),
        false => Ok(total),
    }
}

/// The records of one block, decoded. Reading the next block into the same value reuses its memory.
#[derive(Debug, Clone, Default)]
pub struct Block {
    first: u64,
    /// Records before this one are not shown: the cursor began in the middle.
    skip: usize,
    raw: Vec<u8>,
    spans: Vec<Span>,
}

/// Where a record's payload stands in a block's bytes.
#[derive(Debug, Clone, Copy)]
struct Span {
    start: u32,
    end: u32,
    kind: u8,
}

impl Block {
    /// The sequence number of the first record shown.
    pub fn first(&self) -> u64 {
        self.first + self.skip as u64
    }

    /// One past the last sequence number.
    pub fn end(&self) -> u64 {
        self.first + self.spans.len() as u64
    }

    /// How many records are shown.
    pub fn len(&self) -> usize {
        self.spans.len() - self.skip
    }

    /// Whether no record is shown.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The record of that sequence number, where the block shows it.
    pub fn get(&self, seq: u64) -> Option<Record<'_>> {
        let index = usize::try_from(seq.checked_sub(self.first)?).ok()?;
        (index >= self.skip && index < self.spans.len()).then(|| self.at(index))
    }

    /// The records with their sequence numbers, in order.
    pub fn records(&self) -> impl ExactSizeIterator<Item = (u64, Record<'_>)> + Clone {
        (self.skip..self.spans.len()).map(|index| (self.first + index as u64, self.at(index)))
    }

    pub(super) fn begin_at(&mut self, seq: u64) {
        self.skip = usize::try_from(seq.saturating_sub(self.first)).unwrap_or(usize::MAX).min(self.spans.len());
    }

    pub(super) fn clear(&mut self) {
        (self.first, self.skip) = (0, 0);
        self.raw.clear();
        self.spans.clear();
    }

    /// Takes a block apart whose header was verified. On failure says what is wrong with the body.
    pub(super) fn unpack(
        &mut self,
        header: &Header,
        body: &[u8],
        decompressor: &mut Decompressor<'static>,
    ) -> Result<(), &'static str> {
        self.unpack_frames(header, body, decompressor, None)
    }

    /// The same, for the one frame that holds `seq`: the block then shows that frame's records.
    pub(super) fn unpack_around(
        &mut self,
        seq: u64,
        header: &Header,
        body: &[u8],
        decompressor: &mut Decompressor<'static>,
    ) -> Result<(), &'static str> {
        self.unpack_frames(header, body, decompressor, Some(seq))
    }

    fn unpack_frames(
        &mut self,
        header: &Header,
        body: &[u8],
        decompressor: &mut Decompressor<'static>,
        only: Option<u64>,
    ) -> Result<(), &'static str> {
        self.clear();
        if crc32c::crc32c(body) != header.body_crc {
            return Err("a block's checksum does not match");
        }
        let (table, mut frames) = body.split_at_checked(header.table_bytes()).ok_or("a block's table of frames is cut short")?;
        let mut seq = header.first;
        for entry in table.chunks_exact(FRAME_OVERHEAD_BYTES) {
            let mut fields = Fields(entry);
            let (count, raw_len, stored_len) = (fields.u32(), fields.u32() as usize, fields.u32() as usize);
            let stored = frames.split_off(..stored_len).ok_or("a block's table of frames does not add up")?;
            let end = seq + u64::from(count);
            if only.is_none_or(|only| (seq..end).contains(&only)) {
                if self.spans.is_empty() {
                    self.first = seq;
                }
                let unpacked = self.unpack_frame(count as usize, raw_len, stored, decompressor);
                unpacked.inspect_err(|_| self.clear())?;
            }
            seq = end;
        }
        if seq != header.end() || !frames.is_empty() {
            self.clear();
            return Err("a block's table of frames does not add up");
        }
        Ok(())
    }

    fn unpack_frame(
        &mut self,
        count: usize,
        raw_len: usize,
        stored: &[u8],
        decompressor: &mut Decompressor<'static>,
    ) -> Result<(), &'static str> {
        let start = self.raw.len();
        if start + raw_len > BLOCK_BYTES_MAX {
            return Err("a frame is longer than any block");
        }
        if stored.len() == raw_len {
            self.raw.extend_from_slice(stored);
        } else {
            self.raw.resize(start + raw_len, 0);
            let unpacked = decompressor.decompress_to_buffer(stored, &mut self.raw[start..]);
            if unpacked.ok() != Some(raw_len) {
                return Err("a frame cannot be decompressed");
            }
        }
        let table = count.checked_mul(RECORD_OVERHEAD_BYTES).and_then(|len| self.raw[start..].get(..len));
        let table = table.ok_or("a frame's table of records is cut short")?;
        self.spans.reserve(count);
        let mut at = start + table.len();
        for entry in table.chunks_exact(RECORD_OVERHEAD_BYTES) {
            let end = at + u32::from_le_bytes([entry[1], entry[2], entry[3], entry[4]]) as usize;
            if end > self.raw.len() {
                return Err("a frame's table of records does not add up");
            }
            self.spans.push(Span { start: at as u32, end: end as u32, kind: entry[0] });
            at = end;
        }
        match at == self.raw.len() {
            true => Ok(()),
            false => Err("a frame's table of records does not add up"),
        }
    }

    fn at(&self, index: usize) -> Record<'_> {
        let span = self.spans[index];
        Record { kind: span.kind, bytes: &self.raw[span.start as usize..span.end as usize] }
    }
}
