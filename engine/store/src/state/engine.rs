//! The only place that knows sled (0.34.7), and what must be done around it.
//!
//! - Its batches and transactions hold back every reader of the process, and memory with them. So a commit is written to a
//!   [`redo`] file first and then applied row by row; what a crash interrupts is done again at the next opening.
//! - Its `flush` does not reach the disk: after each commit there is `flush`, then `fdatasync` on a second handle of its `db`
//!   file. Right after creation its other files and its folder are synced as well.
//! - A leaf of sixteen rows larger than a quarter of a segment would go to a file of its own, which sled never syncs.
//!   Segments here are so large that this does not happen; should it all the same, those files are synced too.
//! - It does not notice damage, serves what it finds, panics or spins. So it is opened in a thread of its own with a time
//!   limit, every call catches panics, each row has a checksum, and one row, the marker, holds the number of all rows and
//!   the sum of their checksums. The sum shows what no single row can: an old value in the place of a newer one.
//! - A key that is not there costs it as much as one that is. A [`filter`] in front knows most of those.
//!
//! All of that becomes [`StoreError::StateDamaged`]: nothing here ever tries to mend a state.

mod check;
mod filter;
mod redo;

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::io;
use std::os::unix::fs::MetadataExt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, mpsc};
use std::thread;
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};
use sled::{Db, IVec, Tree};

use self::filter::Filter;
use self::redo::{Redo, Step};
use super::{Change, Row, Sizes, Space, StateStore, Visit};
use crate::files::{Disk, Files};
use crate::{StoreError, format};

/// The version of the layout that the marker stands for.
const STATE_VERSION: u32 = 9;
/// The tree.
const TREE: &str = "weft";
/// The key of the marker: after every space.
const MARKER: [u8; 1] = [u8::MAX];
/// sled's segments, in bytes: a quarter of this is the largest leaf that stays in the log (see above), and a leaf has up to
/// 17 rows of [`format::ROW_BYTES_MAX`] and their keys.
const SEGMENT_BYTES: usize = 8 << 20;
/// The file that says that the state was closed in order.
const CLEAN: &str = "CLEAN";
/// sled lets go of its lock a moment after it was dropped.
const LOCK_WAIT: Duration = Duration::from_secs(5);
/// How long to wait between two tries for the lock.
const LOCK_RETRY: Duration = Duration::from_millis(20);
/// Slower than this, a disk counts as hung while sled reads its file at opening.
const OPEN_BYTES_PER_SECOND_MIN: u64 = 20 << 20;

/// Rows read in one go by a copy or an export, and the bytes after which it stops before: a copy commits them together.
const PAGE_ROWS_MAX: usize = 10_000;
const PAGE_BYTES_MAX: usize = 4 << 20;
/// Changed rows that a copy takes over while commits wait: some milliseconds.
const TAIL_ROWS_MAX: usize = 1_000;
/// How often a copy catches up with a writer that outruns it, before that writer is made to wait all the same.
const CATCH_UP_ROUNDS_MAX: usize = 8;

/// How a state is kept.
#[derive(Debug, Clone, Copy)]
pub struct Options {
    /// What sled may cache, in bytes. The process takes about twice as much.
    pub cache_bytes: u64,
    /// How often sled writes what it holds and collects its garbage; it collects none otherwise.
    pub flush_every: Duration,
    /// How long opening may take before the state counts as damaged; a second is added for every 20 MiB on disk.
    pub open_wait: Duration,
    /// Up to this many rows, each is read at an opening that follows no orderly close; past it, a sample is. So many take about
    /// a second.
    pub check_rows_max: u64,
}

impl Default for Options {
    fn default() -> Options {
        Options {
            cache_bytes: 64 << 20,
            flush_every: Duration::from_millis(500),
            open_wait: Duration::from_secs(60),
            check_rows_max: 400_000,
        }
    }
}

/// A state in sled. See [`StateStore`] for what it does, [`super::Folder`] for how to get one.
pub struct State {
    /// Before the tree: whoever fills the filter from it ends first.
    filling: Filling,
    filter: Arc<Filter>,
    tree: Tree,
    db: Db,
    redo: Redo,
    /// A second handle of sled's file: the true barrier.
    barrier: File,
    writer: Mutex<Writer>,
    /// The last commit's, so that asking for it waits for no commit.
    position: AtomicU64,
    /// After sled, so that it is closed before its folder is removed.
    remains: Remains,
}

/// The thread that fills the filter from sled, where that takes too long for an opening.
#[derive(Default)]
struct Filling {
    stop: Arc<AtomicBool>,
    thread: Option<thread::JoinHandle<()>>,
}

impl Filling {
    /// Begins, where the filter does not know all keys yet.
    fn begin(tree: &Tree, filter: &Arc<Filter>) -> Result<Filling, StoreError> {
        if filter.is_complete() {
            return Ok(Filling::default());
        }
        let stop = Arc::new(AtomicBool::new(false));
        let (tree, filter, stopped) = (tree.clone(), filter.clone(), stop.clone());
        let fill = move || {
            for key in FILTERED.iter().flat_map(|space| tree.range(span(*space, &[], None)).keys()) {
                match key {
                    Ok(key) if !stopped.load(Ordering::Acquire) => filter.insert(&key),
                    // What is wrong with sled shows to whoever needs a row.
                    _ => return,
                }
            }
            filter.complete();
        };
        let thread = thread::Builder::new().name("filter".to_owned()).spawn(fill);
        Ok(Filling { stop, thread: Some(thread.map_err(StoreError::io("start a thread for", Path::new("the state")))?) })
    }
}

impl Drop for Filling {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Release);
        if let Some(thread) = self.thread.take() {
            // A panic there is sled's, and shows in whatever reads next.
            let _ = thread.join();
        }
    }
}

struct Writer {
    marker: Marker,
    failed: Option<String>,
    /// Keys changed since a copy began.
    journal: Option<BTreeSet<(Space, Vec<u8>)>>,
    blobs: BTreeSet<String>,
}

/// The row that stands for all others.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
struct Marker {
    version: u32,
    /// Commits so far.
    epoch: u64,
    position: u64,
    rows: u64,
    live_bytes: u64,
    /// The wrapping sum of [`fingerprint`] over all rows.
    sum: u64,
}

struct Remains {
    dir: PathBuf,
    retired: Arc<AtomicBool>,
}

impl Drop for Remains {
    fn drop(&mut self) {
        if self.retired.load(Ordering::Acquire) {
            // What is left is removed when the folder is opened the next time.
            let _ = fs::remove_dir_all(&self.dir);
        }
    }
}

/// Whether a state is expected in the folder.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Expect {
    Nothing,
    State,
}

impl State {
    /// Opens or makes the state in `dir`, guarded: an error, a panic or a hang of sled is [`StoreError::StateDamaged`].
    pub(super) fn open(dir: &Path, options: Options, expect: Expect) -> Result<State, StoreError> {
        let limit = options.open_wait + Duration::from_secs(disk_bytes(dir).unwrap_or(0) / OPEN_BYTES_PER_SECOND_MIN);
        let (send, receive) = mpsc::sync_channel(1);
        let folder = dir.to_owned();
        let opening = move || {
            let opened = catch_unwind(AssertUnwindSafe(|| open_here(&folder, options, expect)));
            // Nobody waits any more after the time limit.
            let _ = send.send(opened.unwrap_or_else(|panic| Err(panicked(&*panic))));
        };
        let thread = thread::Builder::new().name("state-open".to_owned());
        thread.spawn(opening).map_err(StoreError::io("start a thread to open", dir))?;
        match receive.recv_timeout(limit) {
            Ok(opened) => opened,
            // The thread cannot be stopped: it keeps its memory until the process ends.
            Err(_) => Err(damaged(format!("opening it did not end within {} s", limit.as_secs()))),
        }
    }

    /// Closes the state in order, so that the next opening need not read all of it.
    pub fn close(self) -> Result<(), StoreError> {
        let State { filling, filter, tree, db, redo, barrier, writer, remains, .. } = self;
        drop(filling);
        let writer = writer.into_inner().unwrap_or_else(PoisonError::into_inner);
        if writer.failed.is_some() {
            return Ok(());
        }
        guard(&remains.dir, || db.flush().map(|_| ()))?;
        drop((tree, db));
        barrier.sync_data().map_err(StoreError::io("sync", &remains.dir))?;
        redo.remove()?;
        filter.save(&remains.dir, writer.marker.epoch).map_err(StoreError::io("write a filter to", &remains.dir))?;
        let path = remains.dir.join(CLEAN);
        let mark = Disk.create(&path).and_then(|file| file.sync_data()).and_then(|()| Disk.sync_dir(&remains.dir));
        mark.map_err(StoreError::io("create", &path))
    }

    /// Reads every row and compares with the marker: for `weft doctor`. Commits wait meanwhile.
    pub fn verify(&self) -> Result<Sizes, StoreError> {
        let writer = self.writer();
        let marker = writer.marker;
        guard(&self.remains.dir, || Ok(check::all(&self.tree, &marker, |_| ())))??;
        Ok(Sizes { rows: marker.rows, live_bytes: marker.live_bytes, disk_bytes: self.disk_bytes()? })
    }

    /// A commit, or the changes back where another state has taken the place of this one.
    pub(super) fn offer(&self, changes: Vec<Change>, position: u64) -> Result<Result<(), StoreError>, Vec<Change>> {
        let mut writer = self.writer();
        if self.remains.retired.load(Ordering::Acquire) {
            return Err(changes);
        }
        let fits = super::check(&changes, position, writer.marker.position);
        Ok(fits.and_then(|()| self.apply_locked(&mut writer, changes, position)))
    }

    pub(super) fn retired(&self) -> Arc<AtomicBool> {
        self.remains.retired.clone()
    }

    /// Copies everything into `new`, while commits go on but for the last few changes, and runs `switch` while they wait.
    pub(super) fn copy_into(&self, new: &State, switch: impl FnOnce() -> Result<(), StoreError>) -> Result<(), StoreError> {
        self.writer().journal = Some(BTreeSet::new());
        let copied = self.copy_rows(new).and_then(|()| self.copy_changes(new));
        if copied.is_err() {
            self.writer().journal = None;
        }
        let mut writer = copied?;
        let changed = writer.journal.take().unwrap_or_default();
        let position = writer.marker.position;
        new.apply(self.current(changed)?, position)?;
        let (old, copy) = (writer.marker, new.writer().marker);
        if (old.rows, old.live_bytes, old.sum) != (copy.rows, copy.live_bytes, copy.sum) {
            return Err(damaged("its rows do not add up to its marker".to_owned()));
        }
        switch()
    }

    fn copy_rows(&self, new: &State) -> Result<(), StoreError> {
        for space in Space::ALL {
            let mut from = Vec::new();
            loop {
                let rows = self.page(space, &from)?;
                let Some((last, _)) = rows.last() else { break };
                from = crate::key::after(last);
                let changes: Vec<Change> = rows.into_iter().map(|(key, value)| (space, key, Some(value))).collect();
                new.apply(changes, 0)?;
            }
        }
        Ok(())
    }

    /// Catches up with the commits since the copy began, until few changes are left, and stops further ones.
    fn copy_changes(&self, new: &State) -> Result<MutexGuard<'_, Writer>, StoreError> {
        for _ in 0..CATCH_UP_ROUNDS_MAX {
            let mut writer = self.writer();
            let journal = writer.journal.get_or_insert_default();
            if journal.len() <= TAIL_ROWS_MAX {
                return Ok(writer);
            }
            let changed = std::mem::take(journal);
            drop(writer);
            new.apply(self.current(changed)?, 0)?;
        }
        Ok(self.writer())
    }

    /// The next rows of a space, bounded in number and bytes; none at its end.
    fn page(&self, space: Space, from: &[u8]) -> Result<Vec<Row>, StoreError> {
        guard(&self.remains.dir, || {
            let (mut rows, mut bytes) = (Vec::new(), 0);
            for row in self.tree.range(span(space, from, None)).take(PAGE_ROWS_MAX) {
                let (key, value) = row?;
                bytes += key.len() + value.len();
                rows.push((key[1..].to_vec(), value.to_vec()));
                if bytes > PAGE_BYTES_MAX {
                    break;
                }
            }
            Ok(rows)
        })
    }

    fn current(&self, keys: BTreeSet<(Space, Vec<u8>)>) -> Result<Vec<Change>, StoreError> {
        let changes = keys.into_iter().map(|(space, key)| {
            let value = self.get(space, &key)?;
            Ok((space, key, value))
        });
        changes.collect()
    }

    /// The commit itself, without the rules about positions, which a copy cannot follow.
    fn apply(&self, changes: Vec<Change>, position: u64) -> Result<(), StoreError> {
        let mut writer = self.writer();
        self.apply_locked(&mut writer, changes, position)
    }

    fn apply_locked(&self, writer: &mut Writer, changes: Vec<Change>, position: u64) -> Result<(), StoreError> {
        if let Some(cause) = &writer.failed {
            return Err(StoreError::Poisoned { cause: cause.clone() });
        }
        if let Some(journal) = &mut writer.journal {
            journal.extend(changes.iter().map(|(space, key, _)| (*space, key.clone())));
        }
        let done = self.carry_out(writer.marker, changes, position).and_then(|marker| {
            self.barrier(&mut writer.blobs)?;
            self.redo.done()?;
            Ok(marker)
        });
        match done {
            Ok(marker) => {
                writer.marker = marker;
                self.position.store(position, Ordering::Release);
                Ok(())
            }
            Err(error) => {
                writer.failed = Some(error.to_string());
                Err(error)
            }
        }
    }

    /// Changes the rows and the marker: all of them in the end, whatever comes between.
    fn carry_out(&self, marker: Marker, changes: Vec<Change>, position: u64) -> Result<Marker, StoreError> {
        let (marker, steps) = self.lay_out(marker, changes, position)?;
        self.redo.write(marker.epoch, &steps)?;
        for (key, value) in steps {
            if value.is_some() && is_filtered(&key) {
                self.filter.insert(&key);
            }
            guard(&self.remains.dir, || step(&self.tree, key, value))?;
        }
        Ok(marker)
    }

    /// What a commit does to sled, the new marker last.
    fn lay_out(&self, marker: Marker, changes: Vec<Change>, position: u64) -> Result<(Marker, Vec<Step>), StoreError> {
        let mut next = Marker { epoch: marker.epoch + 1, position, ..marker };
        let mut steps: Vec<Step> = Vec::with_capacity(changes.len() + 1);
        for (key, value) in in_order(changes) {
            let old = guard(&self.remains.dir, || self.find(&key))?;
            next.count(&key, old.as_deref(), value.as_deref());
            if old.as_deref() != value.as_deref() {
                steps.push((key, value));
            }
        }
        steps.push((MARKER.to_vec(), Some(format::encode(position, &next)?)));
        Ok((next, steps))
    }

    fn find(&self, key: &[u8]) -> sled::Result<Option<IVec>> {
        if is_filtered(key) && !self.filter.may_hold(key) { Ok(None) } else { self.tree.get(key) }
    }

    /// Makes what sled has accepted durable.
    fn barrier(&self, blobs: &mut BTreeSet<String>) -> Result<(), StoreError> {
        let dir = &self.remains.dir;
        guard(dir, || self.db.flush().map(|_| ()))?;
        sync_blobs(&dir.join("blobs"), blobs).map_err(StoreError::io("sync", dir))?;
        self.barrier.sync_data().map_err(StoreError::io("sync", dir))
    }

    fn disk_bytes(&self) -> Result<u64, StoreError> {
        disk_bytes(&self.remains.dir).map_err(StoreError::io("read", &self.remains.dir))
    }

    fn writer(&self) -> MutexGuard<'_, Writer> {
        self.writer.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl StateStore for State {
    fn get(&self, space: Space, key: &[u8]) -> Result<Option<Vec<u8>>, StoreError> {
        let key = tree_key(space, key);
        guard(&self.remains.dir, || Ok(self.find(&key)?.map(|value| value.to_vec())))
    }

    fn scan(&self, space: Space, from: &[u8], to: Option<&[u8]>, limit: usize) -> Result<Vec<Row>, StoreError> {
        guard(&self.remains.dir, || {
            let mut rows = Vec::with_capacity(limit.min(PAGE_ROWS_MAX));
            for row in self.tree.range(span(space, from, to)).take(limit) {
                let (key, value) = row?;
                rows.push((key[1..].to_vec(), value.to_vec()));
            }
            Ok(rows)
        })
    }

    fn commit(&self, changes: Vec<Change>, position: u64) -> Result<(), StoreError> {
        self.offer(changes, position).unwrap_or(Err(StoreError::Retired))
    }

    fn position(&self) -> u64 {
        self.position.load(Ordering::Acquire)
    }

    fn sizes(&self) -> Result<Sizes, StoreError> {
        let marker = self.writer().marker;
        Ok(Sizes { rows: marker.rows, live_bytes: marker.live_bytes, disk_bytes: self.disk_bytes()? })
    }

    fn export(&self, visit: &mut Visit<'_>) -> Result<u64, StoreError> {
        let writer = self.writer();
        for space in Space::ALL {
            let mut from = Vec::new();
            loop {
                let rows = self.page(space, &from)?;
                let Some((last, _)) = rows.last() else { break };
                from = crate::key::after(last);
                rows.iter().try_for_each(|(key, value)| visit(space, key, value))?;
            }
        }
        Ok(writer.marker.position)
    }
}

impl Marker {
    fn count(&mut self, key: &[u8], old: Option<&[u8]>, new: Option<&[u8]>) {
        if let Some(old) = old {
            self.rows -= 1;
            self.live_bytes -= live_bytes(key, old);
            self.sum = self.sum.wrapping_sub(fingerprint(key, old));
        }
        if let Some(new) = new {
            self.rows += 1;
            self.live_bytes += live_bytes(key, new);
            self.sum = self.sum.wrapping_add(fingerprint(key, new));
        }
    }
}

/// The bytes of a row's key and value, the byte of the space not counted.
fn live_bytes(key: &[u8], value: &[u8]) -> u64 {
    (key.len() - 1 + value.len()) as u64
}

/// A number for a row that, summed over all rows, changes when any of them does. Not proof against malice.
fn fingerprint(key: &[u8], value: &[u8]) -> u64 {
    let crc = crc32c::crc32c_append(crc32c::crc32c(key), value);
    // The finisher of SplitMix64: so that sums of checksums do not cancel out where checksums themselves would.
    let mut z = u64::from(crc) | live_bytes(key, value) << 32;
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

/// A row's key in the tree: its space, then its own.
fn tree_key(space: Space, key: &[u8]) -> Vec<u8> {
    [&[space as u8], key].concat()
}

/// The keys of a space from one on and before another, or to its end.
fn span(space: Space, from: &[u8], to: Option<&[u8]>) -> std::ops::Range<Vec<u8>> {
    tree_key(space, from)..to.map_or_else(|| vec![space as u8 + 1], |to| tree_key(space, to))
}

/// Spaces whose rows are asked for by keys that mostly are not there, and are seldom taken away.
const FILTERED: [Space; 3] = [Space::Identifier, Space::Claim, Space::Page];

fn is_filtered(key: &[u8]) -> bool {
    FILTERED.iter().any(|space| key[0] == *space as u8)
}

/// Changes in the order of the tree, which sled likes, and of several to one row the last.
fn in_order(changes: Vec<Change>) -> Vec<Step> {
    let mut steps: Vec<Step> = changes.into_iter().map(|(space, key, value)| (tree_key(space, &key), value)).collect();
    steps.sort_by(|(one, _), (other, _)| one.cmp(other));
    steps.dedup_by(|later, kept| {
        let same = later.0 == kept.0;
        if same {
            kept.1 = later.1.take();
        }
        same
    });
    steps
}

fn step(tree: &Tree, key: Vec<u8>, value: Option<Vec<u8>>) -> sled::Result<()> {
    match value {
        Some(value) => tree.insert(key, value)?,
        None => tree.remove(key)?,
    };
    Ok(())
}

fn open_here(dir: &Path, options: Options, expect: Expect) -> Result<State, StoreError> {
    Disk.create_dir(dir).map_err(StoreError::io("create", dir))?;
    let clean = dir.join(CLEAN);
    let closed_in_order = clean.exists();
    if closed_in_order {
        fs::remove_file(&clean).and_then(|()| Disk.sync_dir(dir)).map_err(StoreError::io("remove", &clean))?;
    }
    let db = open_sled(dir, options)?;
    let sled = |error| failed(dir, error);
    let tree = db.open_tree(TREE).map_err(sled)?;
    let barrier = File::open(dir.join("db")).map_err(StoreError::io("open", dir))?;
    let redo = Redo::open(dir)?;
    let mut found = marker_of(&tree, dir)?;
    if let Some((epoch, steps)) = redo.read()?.filter(|(epoch, _)| *epoch >= found.map_or(0, |marker| marker.epoch)) {
        // sled is at the commit before, or somewhere between the two. Anything else shows in the sums below.
        steps.into_iter().try_for_each(|(key, value)| step(&tree, key, value)).map_err(sled)?;
        found = marker_of(&tree, dir)?;
        debug_assert_eq!(found.map(|marker| marker.epoch), Some(epoch), "the marker is the last step");
    }
    let marker = match (found, expect) {
        (Some(marker), _) => marker,
        (None, Expect::State) => return Err(damaged("it has no marker".to_owned())),
        (None, Expect::Nothing) => Marker { version: STATE_VERSION, epoch: 0, position: 0, rows: 0, live_bytes: 0, sum: 0 },
    };
    if marker.version != STATE_VERSION {
        return Err(StoreError::Version { path: dir.to_owned(), found: marker.version, known: STATE_VERSION });
    }
    let filter = Arc::new(Filter::load(dir, marker.epoch));
    let mut filling = Filling::default();
    if closed_in_order || marker.rows > options.check_rows_max {
        check::sample(&tree, &marker)?;
        filling = Filling::begin(&tree, &filter)?;
    } else {
        check::all(&tree, &marker, |key| {
            if is_filtered(key) {
                filter.insert(key)
            }
        })?;
        filter.complete();
    }
    let writer = Mutex::new(Writer { marker, failed: None, journal: None, blobs: BTreeSet::new() });
    let remains = Remains { dir: dir.to_owned(), retired: Arc::default() };
    let position = AtomicU64::new(marker.position);
    let state = State { filling, filter, tree, db, redo, barrier, writer, position, remains };
    if marker.epoch == 0 {
        // So that a state without a marker is always a damaged one.
        state.apply(Vec::new(), 0)?;
    }
    sync_all(dir).map_err(StoreError::io("sync", dir))?;
    Ok(state)
}

fn marker_of(tree: &Tree, dir: &Path) -> Result<Option<Marker>, StoreError> {
    let row = tree.get(MARKER).map_err(|error| failed(dir, error))?;
    row.map(|row| format::decode(&row).map(|(_, marker)| marker)).transpose().map_err(|error| damaged(error.to_string()))
}

fn open_sled(dir: &Path, options: Options) -> Result<Db, StoreError> {
    let config = sled::Config::new()
        .path(dir)
        .cache_capacity(options.cache_bytes)
        .flush_every_ms(Some(options.flush_every.as_millis().max(1) as u64))
        .segment_size(SEGMENT_BYTES);
    let deadline = Instant::now() + LOCK_WAIT;
    loop {
        match config.open() {
            Ok(db) => return Ok(db),
            Err(sled::Error::Io(error)) if error.to_string().contains("could not acquire lock") => {
                if Instant::now() > deadline {
                    return Err(StoreError::Locked { path: dir.to_owned() });
                }
                thread::sleep(LOCK_RETRY);
            }
            Err(error) => return Err(failed(dir, error)),
        }
    }
}

/// Syncs the files beside `db` that sled leaves to the kernel, and the names of all.
fn sync_all(dir: &Path) -> io::Result<()> {
    for name in Disk.list(dir)? {
        match File::open(dir.join(name)) {
            Ok(file) => file.sync_all()?,
            // An old snapshot that sled removes meanwhile.
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(error),
        }
    }
    Disk.sync_dir(&dir.join("blobs"))?;
    Disk.sync_dir(dir)
}

fn sync_blobs(dir: &Path, synced: &mut BTreeSet<String>) -> io::Result<()> {
    let names: BTreeSet<String> = Disk.list(dir)?.into_iter().collect();
    if names.is_empty() {
        return Ok(());
    }
    for name in names.difference(synced) {
        match File::open(dir.join(name)) {
            Ok(file) => file.sync_all()?,
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(error),
        }
    }
    *synced = names;
    Disk.sync_dir(dir)
}

/// The bytes that the files in a folder take, holes not counted.
fn disk_bytes(dir: &Path) -> io::Result<u64> {
    let mut blocks = 0;
    for folder in [dir.to_owned(), dir.join("blobs")] {
        for name in Disk.list(&folder)? {
            match fs::metadata(folder.join(name)) {
                Ok(metadata) => blocks += metadata.blocks(),
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                Err(error) => return Err(error),
            }
        }
    }
    // stat(2) counts in units of 512 bytes, whatever the file system's own block is.
    Ok(blocks * 512)
}

/// Runs a call into sled: panics and errors come out as ours.
fn guard<T>(dir: &Path, call: impl FnOnce() -> sled::Result<T>) -> Result<T, StoreError> {
    match catch_unwind(AssertUnwindSafe(call)) {
        Ok(result) => result.map_err(|error| failed(dir, error)),
        Err(panic) => Err(panicked(&*panic)),
    }
}

fn failed(dir: &Path, error: sled::Error) -> StoreError {
    match error {
        // A file that sled refers to and that is not there, or is shorter than it must be, is damage.
        sled::Error::Io(source) if !matches!(source.kind(), io::ErrorKind::NotFound | io::ErrorKind::UnexpectedEof) => {
            StoreError::io("read or write", dir)(source)
        }
        error => damaged(error.to_string()),
    }
}

fn panicked(panic: &(dyn std::any::Any + Send)) -> StoreError {
    let said = panic.downcast_ref::<String>().map(String::as_str).or(panic.downcast_ref::<&str>().copied());
    damaged(format!("sled panicked: {}", said.unwrap_or("without a message")))
}

fn damaged(reason: String) -> StoreError {
    StoreError::StateDamaged { reason }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn change(number: u64, position: u64) -> Change {
        let value = format::encode(position, &format!("row {number} of {position}")).expect("a row");
        (Space::Claim, crate::key::Key::new(0).u64(number).finish(), Some(value))
    }

    #[test]
    fn a_state_of_another_version_is_told_from_a_damaged_one() {
        let dir = tempfile::tempdir().expect("a folder");
        let state = State::open(dir.path(), Options::default(), Expect::Nothing).expect("opens");
        state.commit(vec![change(1, 1)], 1).expect("commits");
        state.close().expect("closes");
        let db = open_sled(dir.path(), Options::default()).expect("opens");
        let tree = db.open_tree(TREE).expect("opens");
        let marker = marker_of(&tree, dir.path()).expect("is read").expect("is there");
        let before = Marker { version: STATE_VERSION - 1, ..marker };
        tree.insert(MARKER, format::encode(1, &before).expect("a row")).expect("is put");
        db.flush().expect("is kept");
        drop((tree, db));
        let opened = State::open(dir.path(), Options::default(), Expect::State).map(drop);
        assert!(
            matches!(opened, Err(StoreError::Version { found, known, .. }) if found + 1 == known),
            "{:?}",
            opened.map_err(|error| error.to_string())
        );
    }

    #[test]
    fn the_version_is_the_one_that_is_written_down() {
        let written = include_str!("../../../../docs/format.md");
        assert!(written.contains(&format!("| version: u32 | {STATE_VERSION} |")));
        assert!(written.contains(&format!("the marker of a state in its body (`{STATE_VERSION}`)")));
    }

    #[test]
    fn a_commit_that_a_crash_interrupts_is_finished_at_the_next_opening() {
        for done in [0, 1, 40, 90, 91] {
            let dir = tempfile::tempdir().expect("a folder");
            let open = |expect| State::open(dir.path(), Options::default(), expect).expect("opens");
            let state = open(Expect::Nothing);
            state.commit((0..60).map(|number| change(number, 1)).collect(), 1).expect("commits");
            let mut changes: Vec<Change> = (10..90).map(|number| change(number, 2)).collect();
            changes.extend((0..10).map(|number| (Space::Claim, change(number, 1).1, None)));
            let marker = state.writer().marker;
            let (next, steps) = state.lay_out(marker, changes, 2).expect("laid out");
            state.redo.write(next.epoch, &steps).expect("writes");
            for (key, value) in steps.into_iter().take(done) {
                step(&state.tree, key, value).expect("sled takes it");
            }
            drop(state);
            let state = open(Expect::State);
            assert_eq!((state.position(), state.sizes().expect("sizes").rows), (2, 80), "{done} steps done");
            let found = state.get(Space::Claim, &change(10, 2).1).expect("reads");
            assert_eq!(found, change(10, 2).2);
            assert_eq!(state.get(Space::Claim, &change(3, 2).1).expect("reads"), None);
        }
    }

    #[test]
    fn a_filter_that_is_filled_beside_denies_nothing_that_is_there() {
        let dir = tempfile::tempdir().expect("a folder");
        let options = Options { check_rows_max: 10, ..Options::default() };
        let state = State::open(dir.path(), options, Expect::Nothing).expect("opens");
        state.commit((0..20_000).map(|number| change(number, 1)).collect(), 1).expect("commits");
        drop(state);
        let state = State::open(dir.path(), options, Expect::State).expect("opens");
        state.commit((20_000..30_000).map(|number| change(number, 2)).collect(), 2).expect("commits");
        let there = |number| state.get(Space::Claim, &change(number, 1).1).expect("reads").is_some();
        assert!((0..30_000).all(there));
        let until = Instant::now() + Duration::from_secs(20);
        while !state.filter.is_complete() && Instant::now() < until {
            thread::sleep(Duration::from_millis(5));
        }
        assert!(state.filter.is_complete() && (0..30_000).all(there));
        assert!(!state.filter.may_hold(&tree_key(Space::Claim, &change(77_777, 1).1)));
    }
}
