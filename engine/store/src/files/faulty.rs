//! Files in memory that forget what was not synced: for tests, in this crate and in others.
//!
//! For every file it keeps what is durable and what was written since; for every folder the names that are durable and
//! the changes since. [`Faulty::cut`] answers: what may the disk hold if the power goes now? It gives another `Faulty`, so
//! that one moment can be cut in many ways. [`Faulty::fail`] breaks a chosen operation. All of it follows from the seed.
//!
//! A failed sync behaves as on Linux: the bytes stay readable, and no later sync makes them durable unless they are
//! written again. The model is stricter than a real file system in that names may come back in any order, and laxer in
//! that a folder, once made, is never lost.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::{Files, OpenFile};

/// The unit in which unsynced bytes reach a disk out of order: the page of the page cache.
pub(super) const PAGE_BYTES: usize = 4096;

/// What became of the writes and names that were not synced when the power went.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Cut {
    /// All of them are lost.
    Lost,
    /// A prefix of them arrived, the last one in part; the rest of it is missing or zeros.
    Torn,
    /// Any pages arrived and others did not; any names too.
    Reordered,
    /// All of them arrived: what a killed process leaves behind.
    Kept,
}

/// How an operation fails.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Failure {
    /// ENOSPC.
    NoSpace,
    /// EIO. A sync that fails so leaves the bytes readable and not durable.
    Io,
    /// Half of a write arrives, then EIO; like [`Failure::Io`] for everything else.
    Short,
    /// EIO for this operation and every later one: as if the process had died here.
    Halt,
}

#[derive(Debug, Clone)]
enum Write {
    Bytes { offset: usize, bytes: Vec<u8> },
    Length(usize),
}

#[derive(Debug, Clone)]
enum Naming {
    Give { path: PathBuf, file: u64 },
    Take { path: PathBuf },
    Move { from: PathBuf, to: PathBuf, file: u64 },
}

#[derive(Debug, Clone, Default)]
struct Content {
    /// What survives a cut for certain.
    durable: Vec<u8>,
    /// What a reader sees.
    current: Vec<u8>,
    /// What leads from the one to the other, unless a sync failed in between.
    unsynced: Vec<Write>,
}

#[derive(Debug, Default)]
struct World {
    files: BTreeMap<u64, Content>,
    names: BTreeMap<PathBuf, u64>,
    names_durable: BTreeMap<PathBuf, u64>,
    naming: Vec<Naming>,
    folders: BTreeSet<PathBuf>,
    locks: BTreeSet<PathBuf>,
    next_file: u64,
    /// Changing operations so far: writes, syncs, names.
    operations: u64,
    failures: BTreeMap<u64, Failure>,
    halted: bool,
    capacity: Option<usize>,
}

/// The files of one simulated disk. Clones see the same disk.
#[derive(Debug, Clone, Default)]
pub struct Faulty {
    world: Arc<Mutex<World>>,
}

impl Faulty {
    /// An empty disk.
    pub fn new() -> Faulty {
        Faulty::default()
    }

    /// How many changing operations (writes, truncations, syncs, names) there were. With [`Faulty::fail`], a test can
    /// break each step of a procedure in turn.
    pub fn operations(&self) -> u64 {
        self.world().operations
    }

    /// Makes the changing operation of that number fail, the first being number 0.
    pub fn fail(&self, operation: u64, failure: Failure) {
        self.world().failures.insert(operation, failure);
    }

    /// Bounds the bytes of all files together: writes past it fail with ENOSPC. None takes the bound away.
    pub fn set_capacity(&self, bytes: Option<usize>) {
        self.world().capacity = bytes;
    }

    /// What the disk may hold if the power goes now; this one stays as it is. The same seed gives the same disk.
    pub fn cut(&self, cut: Cut, seed: u64) -> Faulty {
        let world = self.world();
        let mut random = Random(seed);
        let names = world.names_after(cut, &mut random);
        let mut files = BTreeMap::new();
        for file in names.values() {
            let content = world.files[file].after(cut, &mut random);
            files.insert(*file, Content { durable: content.clone(), current: content, unsynced: Vec::new() });
        }
        let after = World {
            files,
            names: names.clone(),
            names_durable: names,
            folders: world.folders.clone(),
            next_file: world.next_file,
            ..World::default()
        };
        Faulty { world: Arc::new(Mutex::new(after)) }
    }

    /// Changes bytes of a file behind everybody's back, durably: bit rot.
    pub fn damage(&self, path: &Path, change: impl FnOnce(&mut Vec<u8>)) -> io::Result<()> {
        let mut world = self.world();
        let file = *world.names.get(path).ok_or(io::ErrorKind::NotFound)?;
        let content = world.files.get_mut(&file).expect("every name leads to a file");
        change(&mut content.current);
        content.durable = content.current.clone();
        content.unsynced.clear();
        Ok(())
    }

    fn world(&self) -> MutexGuard<'_, World> {
        self.world.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn handle(&self, file: u64) -> Arc<dyn OpenFile> {
        Arc::new(Handle { files: self.clone(), file })
    }
}

impl World {
    /// Counts a changing operation and says how it fails, if it is to fail.
    fn step(&mut self) -> Option<Failure> {
        let number = self.operations;
        self.operations += 1;
        if self.halted {
            return Some(Failure::Halt);
        }
        let failure = self.failures.get(&number).copied();
        self.halted = failure == Some(Failure::Halt);
        failure
    }

    fn names_after(&self, cut: Cut, random: &mut Random) -> BTreeMap<PathBuf, u64> {
        if cut == Cut::Kept {
            return self.names.clone();
        }
        let mut names = self.names_durable.clone();
        let prefix = if cut == Cut::Torn { random.below(self.naming.len() + 1) } else { 0 };
        for (index, naming) in self.naming.iter().enumerate() {
            let arrived = match cut {
                Cut::Torn => index < prefix,
                Cut::Reordered => random.below(2) == 0,
                Cut::Lost | Cut::Kept => false,
            };
            if arrived {
                naming.apply(&mut names);
            }
        }
        names
    }

    fn bytes(&self) -> usize {
        self.names.values().map(|file| self.files[file].current.len()).sum()
    }
}

impl Naming {
    fn apply(&self, names: &mut BTreeMap<PathBuf, u64>) {
        match self {
            Naming::Give { path, file } => {
                names.insert(path.clone(), *file);
            }
            Naming::Take { path } => {
                names.remove(path);
            }
            Naming::Move { from, to, file } => {
                names.remove(from);
                names.insert(to.clone(), *file);
            }
        }
    }

    fn folder(&self) -> Option<&Path> {
        match self {
            Naming::Give { path, .. } | Naming::Take { path } => path.parent(),
            Naming::Move { to, .. } => to.parent(),
        }
    }
}

impl Write {
    fn apply(&self, bytes: &mut Vec<u8>) {
        match self {
            Write::Bytes { offset, bytes: new } => put(bytes, *offset, new),
            Write::Length(len) => bytes.resize(*len, 0),
        }
    }
}

impl Content {
    fn after(&self, cut: Cut, random: &mut Random) -> Vec<u8> {
        match cut {
            Cut::Lost => self.durable.clone(),
            Cut::Kept => self.current.clone(),
            Cut::Torn => self.torn(random),
            Cut::Reordered => self.reordered(random),
        }
    }

    fn torn(&self, random: &mut Random) -> Vec<u8> {
        let mut bytes = self.durable.clone();
        let whole = random.below(self.unsynced.len() + 1);
        for write in &self.unsynced[..whole] {
            write.apply(&mut bytes);
        }
        if let Some(Write::Bytes { offset, bytes: new }) = self.unsynced.get(whole) {
            put(&mut bytes, *offset, &new[..random.below(new.len() + 1)]);
            if random.below(3) == 0 && bytes.len() < offset + new.len() {
                // The length was journalled, the bytes were not.
                bytes.resize(offset + new.len(), 0);
            }
        }
        bytes
    }

    fn reordered(&self, random: &mut Random) -> Vec<u8> {
        // What the unsynced writes come to, which after a failed sync is not what readers see.
        let mut newest = self.durable.clone();
        self.unsynced.iter().for_each(|write| write.apply(&mut newest));
        let (from, to) = (self.durable.len().min(newest.len()), self.durable.len().max(newest.len()));
        let len = match random.below(3) {
            0 => self.durable.len(),
            1 => newest.len(),
            _ => from + random.below(to - from + 1),
        };
        let mut bytes = vec![0; len];
        for start in (0..len).step_by(PAGE_BYTES) {
            let image = if random.below(2) == 0 { &self.durable } else { &newest };
            let end = (start + PAGE_BYTES).min(len).min(image.len());
            if start < end {
                bytes[start..end].copy_from_slice(&image[start..end]);
            }
        }
        bytes
    }
}

struct Handle {
    files: Faulty,
    file: u64,
}

impl OpenFile for Handle {
    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
        let world = self.files.world();
        let bytes = &world.files[&self.file].current;
        let start = usize::try_from(offset).unwrap_or(usize::MAX).min(bytes.len());
        let count = buffer.len().min(bytes.len() - start);
        buffer[..count].copy_from_slice(&bytes[start..start + count]);
        Ok(count)
    }

    fn write_at(&self, bytes: &[u8], offset: u64) -> io::Result<()> {
        let mut world = self.files.world();
        let mut failure = world.step();
        let offset = usize::try_from(offset).map_err(|_| io::ErrorKind::InvalidInput)?;
        let mut fits = bytes.len();
        if let Some(capacity) = world.capacity {
            let room = capacity.saturating_sub(world.bytes());
            let free = world.files[&self.file].current.len().saturating_sub(offset) + room;
            if fits > free {
                fits = free;
                failure = failure.or(Some(Failure::NoSpace));
            }
        }
        if failure == Some(Failure::Short) {
            fits /= 2;
        }
        if !matches!(failure, Some(Failure::Io | Failure::Halt)) {
            let write = Write::Bytes { offset, bytes: bytes[..fits].to_vec() };
            let content = world.files.get_mut(&self.file).expect("an open file is never forgotten");
            write.apply(&mut content.current);
            content.unsynced.push(write);
        }
        failure.map_or(Ok(()), |failure| Err(failure.error()))
    }

    fn len(&self) -> io::Result<u64> {
        Ok(self.files.world().files[&self.file].current.len() as u64)
    }

    fn truncate(&self, len: u64) -> io::Result<()> {
        let mut world = self.files.world();
        if let Some(failure) = world.step() {
            return Err(failure.error());
        }
        let write = Write::Length(usize::try_from(len).map_err(|_| io::ErrorKind::InvalidInput)?);
        let content = world.files.get_mut(&self.file).expect("an open file is never forgotten");
        write.apply(&mut content.current);
        content.unsynced.push(write);
        Ok(())
    }

    fn sync_data(&self) -> io::Result<()> {
        let mut world = self.files.world();
        let failure = world.step();
        let content = world.files.get_mut(&self.file).expect("an open file is never forgotten");
        match failure {
            None => {
                for write in std::mem::take(&mut content.unsynced) {
                    write.apply(&mut content.durable);
                }
                Ok(())
            }
            Some(Failure::Halt) => Err(Failure::Halt.error()),
            Some(failure) => {
                // The pages are marked clean although they never arrived: no later sync looks at them again.
                content.unsynced.clear();
                Err(failure.error())
            }
        }
    }
}

impl Files for Faulty {
    fn create_dir(&self, dir: &Path) -> io::Result<()> {
        self.world().folders.insert(dir.to_owned());
        Ok(())
    }

    fn create(&self, path: &Path) -> io::Result<Arc<dyn OpenFile>> {
        let mut world = self.world();
        if let Some(failure) = world.step() {
            return Err(failure.error());
        }
        if let Some(&file) = world.names.get(path) {
            let content = world.files.get_mut(&file).expect("every name leads to a file");
            content.current.clear();
            content.unsynced.push(Write::Length(0));
            return Ok(self.handle(file));
        }
        let file = world.next_file;
        world.next_file += 1;
        world.files.insert(file, Content::default());
        world.names.insert(path.to_owned(), file);
        world.naming.push(Naming::Give { path: path.to_owned(), file });
        Ok(self.handle(file))
    }

    fn open(&self, path: &Path) -> io::Result<Arc<dyn OpenFile>> {
        let file = *self.world().names.get(path).ok_or(io::ErrorKind::NotFound)?;
        Ok(self.handle(file))
    }

    fn open_read(&self, path: &Path) -> io::Result<Arc<dyn OpenFile>> {
        self.open(path)
    }

    fn list(&self, dir: &Path) -> io::Result<Vec<String>> {
        let world = self.world();
        let inside = world.names.keys().filter(|path| path.parent() == Some(dir));
        Ok(inside.filter_map(|path| Some(path.file_name()?.to_str()?.to_owned())).collect())
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        let mut world = self.world();
        if let Some(failure) = world.step() {
            return Err(failure.error());
        }
        let file = world.names.remove(from).ok_or(io::ErrorKind::NotFound)?;
        world.names.insert(to.to_owned(), file);
        world.naming.push(Naming::Move { from: from.to_owned(), to: to.to_owned(), file });
        Ok(())
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        let mut world = self.world();
        if let Some(failure) = world.step() {
            return Err(failure.error());
        }
        world.names.remove(path).ok_or(io::ErrorKind::NotFound)?;
        world.naming.push(Naming::Take { path: path.to_owned() });
        Ok(())
    }

    fn sync_dir(&self, dir: &Path) -> io::Result<()> {
        let mut world = self.world();
        if let Some(failure) = world.step() {
            return Err(failure.error());
        }
        let (synced, rest) = std::mem::take(&mut world.naming).into_iter().partition(|n: &Naming| n.folder() == Some(dir));
        world.naming = rest;
        for naming in synced {
            naming.apply(&mut world.names_durable);
        }
        Ok(())
    }

    fn lock(&self, dir: &Path) -> io::Result<Box<dyn Send + Sync>> {
        if !self.world().locks.insert(dir.to_owned()) {
            return Err(io::ErrorKind::WouldBlock.into());
        }
        Ok(Box::new(Lock { files: self.clone(), dir: dir.to_owned() }))
    }
}

struct Lock {
    files: Faulty,
    dir: PathBuf,
}

impl Drop for Lock {
    fn drop(&mut self) {
        self.files.world().locks.remove(&self.dir);
    }
}

impl Failure {
    fn error(self) -> io::Error {
        match self {
            Failure::NoSpace => io::Error::new(io::ErrorKind::StorageFull, "no space left on the simulated disk"),
            Failure::Io | Failure::Short | Failure::Halt => io::Error::other("the simulated disk failed"),
        }
    }
}

fn put(bytes: &mut Vec<u8>, offset: usize, new: &[u8]) {
    if bytes.len() < offset + new.len() {
        bytes.resize(offset + new.len(), 0);
    }
    bytes[offset..offset + new.len()].copy_from_slice(new);
}

/// SplitMix64 (Steele, Lea, Flood: "Fast Splittable Pseudorandom Number Generators", 2014): small, and the same everywhere.
pub(super) struct Random(pub(super) u64);

impl Random {
    pub(super) fn below(&mut self, bound: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((z ^ (z >> 31)) % bound as u64) as usize
    }
}
