//! Where states live: `state/<number>/`, a file `CURRENT` that names the one in use, and a file `BASE` that names the base.
//!
//! One mechanism serves rebuilding, compaction, erasure and upgrade: make a new state beside the old one, then switch
//! `CURRENT` in one step. A crash before that step leaves the old state, and the unfinished new one is removed at the next
//! opening; a crash after it leaves the new one. Nothing here ever changes the state in use.
//!
//! The base is a copy that nobody writes to. History may be let go up to its position: a rebuild begins there.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Weak;
use std::sync::atomic::{AtomicBool, Ordering};

use super::StateStore;
use super::engine::{Expect, Options, State};
use crate::StoreError;
use crate::files::{Disk, Files};

const CURRENT: &str = "CURRENT";
const BASE: &str = "BASE";
/// What either file begins with; the number, the base's position, and a checksum follow.
const CURRENT_PREFIX: &str = "weft-state 1 ";
const BASE_PREFIX: &str = "weft-base 1 ";

/// A folder of states, held by one process.
pub struct Folder {
    root: PathBuf,
    options: Options,
    current: Current,
    base: Option<Base>,
    /// States opened by this process and not dropped yet: each removes its own folder when it is retired.
    open: Vec<(u64, Weak<AtomicBool>)>,
    next: u64,
    /// Held for the lock on the folder.
    _lock: Box<dyn Send + Sync>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Current {
    None,
    Number(u64),
    Unreadable,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Base {
    number: u64,
    position: u64,
}

impl Folder {
    /// Takes the folder, which is made if need be, and removes what an interrupted rebuild left behind.
    ///
    /// Fails with [`StoreError::Locked`] while another holds it.
    pub fn open(root: &Path, options: Options) -> Result<Folder, StoreError> {
        Disk.create_dir(root).map_err(StoreError::io("create", root))?;
        let lock = Disk.lock(root).map_err(|error| match error.kind() {
            io::ErrorKind::WouldBlock => StoreError::Locked { path: root.to_owned() },
            _ => StoreError::io("lock", root)(error),
        })?;
        let current = match read_line(root, CURRENT)? {
            None => Current::None,
            Some(line) => parse(&line, CURRENT_PREFIX).map_or(Current::Unreadable, |[number]| Current::Number(number)),
        };
        // A base that cannot be read is as good as none: then history must be whole.
        let base = read_line(root, BASE)?.and_then(|line| parse(&line, BASE_PREFIX));
        let base = base.map(|[number, position]| Base { number, position });
        let numbers = numbers(root)?;
        let next = numbers.iter().max().map_or(1, |last| last + 1);
        if current != Current::Unreadable {
            let kept = |number: &u64| Current::Number(*number) == current || base.is_some_and(|base| base.number == *number);
            for number in numbers.into_iter().filter(|number| !kept(number)) {
                remove(root, number)?;
            }
        }
        Ok(Folder { root: root.to_owned(), options, current, base, open: Vec::new(), next, _lock: lock })
    }

    /// Removes a folder that nobody holds, with all that is in it, where there is one.
    pub fn destroy(root: &Path) -> Result<(), StoreError> {
        match fs::remove_dir_all(root) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(StoreError::io("remove", root)(error)),
            _ => Ok(()),
        }
    }

    /// The state in use; none in a new folder.
    ///
    /// Fails with [`StoreError::StateDamaged`] where it cannot be trusted: then [`Folder::begin_rebuild`].
    pub fn open_current(&mut self) -> Result<Option<State>, StoreError> {
        let number = match self.current {
            Current::None => return Ok(None),
            Current::Number(number) => number,
            Current::Unreadable => {
                return Err(StoreError::StateDamaged { reason: "the file CURRENT cannot be read".to_owned() });
            }
        };
        if !self.dir(number).is_dir() {
            return Err(StoreError::StateDamaged { reason: format!("there is no state {number}") });
        }
        let state = State::open(&self.dir(number), self.options, Expect::State)?;
        self.remember(number, &state);
        Ok(Some(state))
    }

    /// A new, empty state at position 0 beside the one in use. It counts for nothing before [`Folder::adopt`].
    pub fn begin_rebuild(&mut self) -> Result<State, StoreError> {
        let number = self.next;
        self.next += 1;
        let state = State::open(&self.dir(number), self.options, Expect::Nothing)?;
        self.remember(number, &state);
        Ok(state)
    }

    /// Makes a state from [`Folder::begin_rebuild`] the one in use, durably, and removes the others: now, or when their
    /// last handle is dropped. Until then they can be read; their commits fail with [`StoreError::Retired`].
    pub fn adopt(&mut self, state: &State) -> Result<(), StoreError> {
        let number = self.number(state)?;
        self.switch(number)?;
        self.remove_others(number)
    }

    /// Copies the state in use into a new one, which takes the space that its rows need and no more, and switches to it.
    /// Commits go on meanwhile, but for the last changes. What was deleted in the old one is gone with it (invariant 10).
    pub fn compact(&mut self, old: &State) -> Result<State, StoreError> {
        let new = self.begin_rebuild()?;
        self.compact_into(old, &new, || ())?;
        Ok(new)
    }

    /// The same into a state from [`Folder::begin_rebuild`]. `switched` is called while no commit can come between.
    pub(super) fn compact_into(&mut self, old: &State, new: &State, switched: impl FnOnce()) -> Result<(), StoreError> {
        if Current::Number(self.number(old)?) != self.current {
            return Err(StoreError::Refused("only the state in use can be compacted"));
        }
        let number = self.number(new)?;
        let retired = old.retired();
        old.copy_into(new, || {
            self.switch(number)?;
            switched();
            retired.store(true, Ordering::Release);
            Ok(())
        })
        .inspect_err(|_| new.retired().store(self.current != Current::Number(number), Ordering::Release))?;
        self.remove_others(number)
    }

    /// Keeps a copy of the state in use as the base, in place of the one before, and gives the position that it stands for. Commits
    /// go on meanwhile, but for the last changes.
    pub fn keep_base(&mut self, state: &State) -> Result<u64, StoreError> {
        let copy = self.begin_rebuild()?;
        let number = self.number(&copy)?;
        let dir = self.dir(number);
        let copied = state.copy_into(&copy, || Ok(())).map(|()| copy.position());
        let closed = copied.and_then(|position| copy.close().map(|()| position));
        let position = closed.inspect_err(|_| drop(fs::remove_dir_all(&dir)))?;
        write_line(&self.root, BASE, &format!("{BASE_PREFIX}{number} {position}"))?;
        let before = self.base.replace(Base { number, position });
        before.map_or(Ok(()), |before| remove(&self.root, before.number))?;
        Ok(position)
    }

    /// The history position of the base; none where there is no base.
    pub fn base_position(&self) -> Option<u64> {
        self.base.map(|base| base.position)
    }

    /// A new state as [`Folder::begin_rebuild`] makes it, that begins as a copy of the base; none where there is no base.
    ///
    /// Fails with [`StoreError::StateDamaged`] where the base is not what was kept.
    pub fn begin_from_base(&mut self) -> Result<Option<State>, StoreError> {
        let Some(base) = self.base else { return Ok(None) };
        let kept = State::open(&self.dir(base.number), self.options, Expect::State)?;
        kept.verify()?;
        let new = self.begin_rebuild()?;
        kept.copy_into(&new, || Ok(()))?;
        kept.close()?;
        Ok(Some(new))
    }

    fn switch(&mut self, number: u64) -> Result<(), StoreError> {
        write_line(&self.root, CURRENT, &format!("{CURRENT_PREFIX}{number}"))?;
        self.current = Current::Number(number);
        Ok(())
    }

    fn remove_others(&mut self, kept: u64) -> Result<(), StoreError> {
        self.open.retain(|(_, retired)| retired.strong_count() > 0);
        let base = self.base.map(|base| base.number);
        for number in numbers(&self.root)?.into_iter().filter(|number| *number != kept && Some(*number) != base) {
            match self.open.iter().find(|(open, _)| *open == number).and_then(|(_, retired)| retired.upgrade()) {
                Some(retired) => retired.store(true, Ordering::Release),
                None => remove(&self.root, number)?,
            }
        }
        Ok(())
    }

    fn remember(&mut self, number: u64, state: &State) {
        self.open.push((number, std::sync::Arc::downgrade(&state.retired())));
    }

    fn number(&self, state: &State) -> Result<u64, StoreError> {
        let retired = std::sync::Arc::as_ptr(&state.retired());
        let known = self.open.iter().find(|(_, open)| std::ptr::eq(open.as_ptr(), retired));
        known.map(|(number, _)| *number).ok_or(StoreError::Refused("the state is not one of this folder"))
    }

    fn dir(&self, number: u64) -> PathBuf {
        self.root.join(number.to_string())
    }
}

/// A file of one line; none where there is no file. Empty where it is no text.
fn read_line(root: &Path, name: &str) -> Result<Option<String>, StoreError> {
    let path = root.join(name);
    match fs::read(&path) {
        Ok(bytes) => Ok(Some(String::from_utf8(bytes).unwrap_or_default())),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(StoreError::io("read", &path)(error)),
    }
}

/// Replaces a file of one line, durably, in one step.
fn write_line(root: &Path, name: &str, text: &str) -> Result<(), StoreError> {
    let (from, to) = (root.join(format!("{name}.new")), root.join(name));
    let text = format!("{text} {:08x}\n", crc32c::crc32c(text.as_bytes()));
    let file = Disk.create(&from).map_err(StoreError::io("create", &from))?;
    file.write_at(text.as_bytes(), 0).map_err(StoreError::io("write", &from))?;
    file.sync_data().map_err(StoreError::io("sync", &from))?;
    Disk.rename(&from, &to).map_err(StoreError::io("rename", &from))?;
    Disk.sync_dir(root).map_err(StoreError::io("sync", root))
}

/// The numbers of a line that begins so and has a valid checksum.
fn parse<const N: usize>(line: &str, prefix: &str) -> Option<[u64; N]> {
    let (text, crc) = line.strip_suffix('\n')?.rsplit_once(' ')?;
    let numbers = text.strip_prefix(prefix)?.split(' ').map(|number| number.parse().ok());
    let numbers: [u64; N] = numbers.collect::<Option<Vec<u64>>>()?.try_into().ok()?;
    (crc == format!("{:08x}", crc32c::crc32c(text.as_bytes()))).then_some(numbers)
}

fn numbers(root: &Path) -> Result<Vec<u64>, StoreError> {
    let mut numbers = Vec::new();
    for entry in fs::read_dir(root).map_err(StoreError::io("list", root))? {
        let entry = entry.map_err(StoreError::io("list", root))?;
        numbers.extend(entry.file_name().to_str().and_then(|name| name.parse::<u64>().ok()));
    }
    Ok(numbers)
}

fn remove(root: &Path, number: u64) -> Result<(), StoreError> {
    let dir = root.join(number.to_string());
    fs::remove_dir_all(&dir).map_err(StoreError::io("remove", &dir))
}
