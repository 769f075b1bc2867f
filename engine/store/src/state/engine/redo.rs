//! What a commit is about to change, durable before sled hears of it: all or nothing does not rest on sled.
//!
//! sled can apply a batch as a whole, but then holds back every reader of the process until it is done, and keeps each version
//! of each page that it made on the way: hundreds of megabytes for some ten thousand rows. So rows go to sled one by one, and
//! this file, written and synced first, says what is left to do when a crash came between. Doing it again changes nothing.
//!
//! One file, overwritten by each commit; sled has everything of the commit before by then. `docs/format.md`, "Redo file", has the
//! bytes. It never reads a row; [`super::State`] says what goes in.

use std::fs::File;
use std::io::{self, Read};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use crate::StoreError;
use crate::files::{Disk, Files};

const NAME: &str = "redo";
const MAGIC: [u8; 8] = *b"weftredo";
const VERSION: u32 = 1;
const HEADER_BYTES: usize = 40;
/// The length that stands for a row to be taken away.
const GONE: u32 = u32::MAX;
/// Bytes gathered before they are written.
const PIECE_BYTES: usize = 1 << 20;

/// A row's key in sled's tree, and its new value; none to take it away.
pub(super) type Step = (Vec<u8>, Option<Vec<u8>>);

/// The file of one state.
pub(super) struct Redo {
    file: File,
    path: PathBuf,
}

impl Redo {
    /// Opens the file, which is made if need be, durable with its name.
    pub(super) fn open(dir: &Path) -> Result<Redo, StoreError> {
        let path = dir.join(NAME);
        let file = File::options().read(true).write(true).create(true).truncate(false).open(&path);
        let file = file.map_err(StoreError::io("open", &path))?;
        Disk.sync_dir(dir).map_err(StoreError::io("sync", dir))?;
        Ok(Redo { file, path })
    }

    /// Makes the steps of commit number `epoch` durable, in place of those of the commit before.
    pub(super) fn write(&self, epoch: u64, steps: &[Step]) -> Result<(), StoreError> {
        self.write_all(epoch, steps).map_err(StoreError::io("write", &self.path))
    }

    fn write_all(&self, epoch: u64, steps: &[Step]) -> io::Result<()> {
        let (mut piece, mut bytes, mut crc) = (Vec::with_capacity(2 * PIECE_BYTES), 0_u64, 0);
        let mut write = |piece: &mut Vec<u8>| {
            crc = crc32c::crc32c_append(crc, piece);
            self.file.write_all_at(piece, HEADER_BYTES as u64 + bytes)?;
            bytes += piece.len() as u64;
            piece.clear();
            Ok::<_, io::Error>(())
        };
        for (key, value) in steps {
            piece.extend_from_slice(&(key.len() as u16).to_le_bytes());
            piece.extend_from_slice(&value.as_ref().map_or(GONE, |value| value.len() as u32).to_le_bytes());
            piece.extend_from_slice(key);
            piece.extend_from_slice(value.as_deref().unwrap_or_default());
            if piece.len() >= PIECE_BYTES {
                write(&mut piece)?;
            }
        }
        write(&mut piece)?;
        let mut header = Vec::with_capacity(HEADER_BYTES);
        header.extend_from_slice(&MAGIC);
        header.extend_from_slice(&VERSION.to_le_bytes());
        header.extend_from_slice(&epoch.to_le_bytes());
        header.extend_from_slice(&(steps.len() as u32).to_le_bytes());
        header.extend_from_slice(&bytes.to_le_bytes());
        header.extend_from_slice(&crc.to_le_bytes());
        header.extend_from_slice(&crc32c::crc32c(&header).to_le_bytes());
        self.file.write_all_at(&header, 0)?;
        self.file.sync_data()
    }

    /// Says that the commit is done for good, so that an opening need not do it again. Not synced: doing it again is no harm.
    pub(super) fn done(&self) -> Result<(), StoreError> {
        self.file.write_all_at(&[0; MAGIC.len()], 0).map_err(StoreError::io("write", &self.path))
    }

    /// The last commit that is there whole, with its number; none where there is none, or where a crash tore it: then sled has
    /// heard nothing of it.
    pub(super) fn read(&self) -> Result<Option<(u64, Vec<Step>)>, StoreError> {
        let mut bytes = Vec::new();
        (&self.file).read_to_end(&mut bytes).map_err(StoreError::io("read", &self.path))?;
        Ok(parse(&bytes))
    }

    /// Takes the file away, once everything in it is done for good.
    pub(super) fn remove(self) -> Result<(), StoreError> {
        Disk.remove(&self.path).map_err(StoreError::io("remove", &self.path))
    }
}

fn parse(bytes: &[u8]) -> Option<(u64, Vec<Step>)> {
    let (header, rest) = bytes.split_first_chunk::<HEADER_BYTES>()?;
    let number = |from: usize| u32::from_le_bytes(header[from..from + 4].try_into().expect("four bytes"));
    let long = |from: usize| u64::from_le_bytes(header[from..from + 8].try_into().expect("eight bytes"));
    if header[..8] != MAGIC || number(8) != VERSION || number(36) != crc32c::crc32c(&header[..36]) {
        return None;
    }
    let (epoch, count) = (long(12), number(20));
    let body = rest.get(..usize::try_from(long(24)).ok()?)?;
    if number(32) != crc32c::crc32c(body) {
        return None;
    }
    let mut rest = body;
    let mut take = |count: usize| {
        let (taken, left) = rest.split_at_checked(count)?;
        rest = left;
        Some(taken)
    };
    let mut steps = Vec::new();
    for _ in 0..count {
        let key_bytes = u16::from_le_bytes(take(2)?.try_into().ok()?);
        let value_bytes = u32::from_le_bytes(take(4)?.try_into().ok()?);
        let key = take(usize::from(key_bytes))?.to_vec();
        let value = if value_bytes == GONE { None } else { Some(take(value_bytes as usize)?.to_vec()) };
        steps.push((key, value));
    }
    Some((epoch, steps))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_commit_is_read_whole_or_not_at_all() {
        let dir = tempfile::tempdir().expect("a folder");
        let redo = || Redo::open(dir.path()).expect("opens");
        assert_eq!(redo().read().expect("reads"), None);
        let long: Vec<Step> =
            (0..40_000_u32).map(|n| (n.to_be_bytes().to_vec(), (n % 3 > 0).then(|| vec![n as u8; 90]))).collect();
        redo().write(7, &long).expect("writes");
        assert_eq!(redo().read().expect("reads"), Some((7, long)));
        let short = vec![(vec![1; 19], Some(vec![2; 300])), (vec![3], None)];
        redo().write(8, &short).expect("writes");
        assert_eq!(redo().read().expect("reads"), Some((8, short.clone())));
        let path = dir.path().join(NAME);
        let whole = std::fs::read(&path).expect("reads");
        let end = HEADER_BYTES + 2 * 6 + 19 + 300 + 1;
        for at in 0..end {
            let mut torn = whole.clone();
            torn[at] ^= 0x10;
            assert_eq!(parse(&torn), None, "byte {at}");
            assert_eq!(parse(&whole[..at]), None, "length {at}");
        }
    }
}
