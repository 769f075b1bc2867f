//! Where states live: `state/<number>/`, and a file `CURRENT` that names the one in use.
//!
//! One mechanism serves rebuilding, compaction, erasure and upgrade: make a new state beside the old one, then switch
//! `CURRENT` in one step. A crash before that step leaves the old state, and the unfinished new one is removed at the next
//! opening; a crash after it leaves the new one. Nothing here ever changes the state in use.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Weak;
use std::sync::atomic::{AtomicBool, Ordering};

use super::engine::{Expect, Options, State};
use crate::StoreError;
use crate::files::{Disk, Files};

const CURRENT: &str = "CURRENT";
const CURRENT_NEW: &str = "CURRENT.new";
/// What `CURRENT` begins with; the number and a checksum follow.
const CURRENT_PREFIX: &str = "weft-state 1 ";

/// A folder of states, held by one process.
pub struct Folder {
    root: PathBuf,
    options: Options,
    current: Current,
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
        let current = read_current(root)?;
        let numbers = numbers(root)?;
        let next = numbers.iter().max().map_or(1, |last| last + 1);
        if current != Current::Unreadable {
            for number in numbers.into_iter().filter(|number| Current::Number(*number) != current) {
                remove(root, number)?;
            }
        }
        Ok(Folder { root: root.to_owned(), options, current, open: Vec::new(), next, _lock: lock })
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
        if Current::Number(self.number(old)?) != self.current {
            return Err(StoreError::Refused("only the state in use can be compacted"));
        }
        let new = self.begin_rebuild()?;
        let number = self.number(&new)?;
        let retired = old.retired();
        old.copy_into(&new, || {
            self.switch(number)?;
            retired.store(true, Ordering::Release);
            Ok(())
        })
        .inspect_err(|_| new.retired().store(self.current != Current::Number(number), Ordering::Release))?;
        self.remove_others(number)?;
        Ok(new)
    }

    fn switch(&mut self, number: u64) -> Result<(), StoreError> {
        let (from, to) = (self.root.join(CURRENT_NEW), self.root.join(CURRENT));
        let text = format!("{CURRENT_PREFIX}{number}");
        let text = format!("{text} {:08x}\n", crc32c::crc32c(text.as_bytes()));
        let file = Disk.create(&from).map_err(StoreError::io("create", &from))?;
        file.write_at(text.as_bytes(), 0).map_err(StoreError::io("write", &from))?;
        file.sync_data().map_err(StoreError::io("sync", &from))?;
        Disk.rename(&from, &to).map_err(StoreError::io("rename", &from))?;
        Disk.sync_dir(&self.root).map_err(StoreError::io("sync", &self.root))?;
        self.current = Current::Number(number);
        Ok(())
    }

    fn remove_others(&mut self, kept: u64) -> Result<(), StoreError> {
        self.open.retain(|(_, retired)| retired.strong_count() > 0);
        for number in numbers(&self.root)?.into_iter().filter(|number| *number != kept) {
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

fn read_current(root: &Path) -> Result<Current, StoreError> {
    let path = root.join(CURRENT);
    let bytes = match fs::read(&path) {
        Ok(bytes) => bytes,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Current::None),
        Err(error) => return Err(StoreError::io("read", &path)(error)),
    };
    Ok(parse_current(&bytes).map_or(Current::Unreadable, Current::Number))
}

fn parse_current(bytes: &[u8]) -> Option<u64> {
    let line = std::str::from_utf8(bytes).ok()?.strip_suffix('\n')?;
    let (text, crc) = line.rsplit_once(' ')?;
    let number = text.strip_prefix(CURRENT_PREFIX)?;
    (crc == format!("{:08x}", crc32c::crc32c(text.as_bytes()))).then(|| number.parse().ok())?
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
