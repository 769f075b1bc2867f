//! The data folder: opening it after anything, rebuilding state from history, and looking it over.
//!
//! ```text
//! data/intake/   what came through the doors      data/history/  what the fold consumed: the truth
//! data/state/    what follows from history           data/matching/  where customers are found by what they say, if they are compared
//! ```
//!
//! State that is missing, damaged or from another history is thrown away and folded anew (invariant 4), from the base where the
//! beginning of history has been let go; nothing is sent
//! meanwhile, because no lane exists yet. History and intake are never thrown away: damage there stops the start and is named.

use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use weft_store::StoreError;
use weft_store::files::{Disk, Files};
use weft_store::log::{self, Log, LogReader, Recovery};
use weft_store::overlay::Overlay;
use weft_store::state::{Folder, Live, Options, State, StateStore};

use crate::limits;
use crate::writer::{WriterError, catch_up};

/// An opened data folder.
pub struct Vault {
    /// The intake log.
    pub intake: Log,
    /// The history log.
    pub history: Log,
    /// State as sled has it.
    pub state: Arc<Live>,
    /// State as the fold sees it, folded up to the end of history.
    pub overlay: Overlay,
    /// What a crash had left behind.
    pub notes: Vec<String>,
}

/// Why the data folder cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum VaultError {
    /// A log is damaged, or the disk fails.
    #[error("{log} log: {error}")]
    Log {
        /// `intake` or `history`.
        log: &'static str,
        /// What is wrong.
        error: StoreError,
    },
    /// History has seen records of intake that are not there. New ones would get their numbers, and be taken for seen.
    #[error(
        "intake log: history has seen {known} records of it, and it ends at {end}: put data/intake back, or begin with a new data folder"
    )]
    IntakeLost {
        /// Records that history has seen.
        known: u64,
        /// Records that there are.
        end: u64,
    },
    /// State cannot be rebuilt: the beginning of history is gone, and so is what stood for it.
    #[error(
        "state must be rebuilt, and cannot be: history begins at record {start}, and {base}: put back data/state, or begin with a new data folder"
    )]
    NoBase {
        /// The first record of history.
        start: u64,
        /// What is wrong with the base.
        base: String,
    },
    /// State cannot be kept.
    #[error("state: {0}")]
    State(#[from] StoreError),
    /// History cannot be folded.
    #[error(transparent)]
    Fold(#[from] WriterError),
}

/// How far a long step is.
#[derive(Clone, Copy, Debug)]
pub struct Progress {
    /// What is being done.
    pub doing: &'static str,
    /// Records done.
    pub done: u64,
    /// Records in all.
    pub all: u64,
}

/// A data folder: where its parts are, and how they are kept.
#[derive(Clone)]
pub struct DataFolder {
    /// Where it is.
    pub root: PathBuf,
    /// What keeps its logs: the disk, but in tests. State is on the disk, since sled opens its files itself.
    pub files: Arc<dyn Files>,
    /// How its logs are kept.
    pub log: log::Options,
    /// How state is kept.
    pub state_options: Options,
}

impl DataFolder {
    /// The data folder at a path.
    #[must_use]
    pub fn at(root: &Path) -> Self {
        DataFolder {
            root: root.to_owned(),
            files: Arc::new(Disk),
            log: log::Options::default(),
            state_options: Options::default(),
        }
    }

    /// The intake log.
    #[must_use]
    pub fn intake(&self) -> PathBuf {
        self.root.join("intake")
    }

    /// The history log.
    #[must_use]
    pub fn history(&self) -> PathBuf {
        self.root.join("history")
    }

    /// Where erasures are written down until they are done, and the key of the hashes that stay.
    #[must_use]
    pub fn erasures(&self) -> PathBuf {
        self.root.join("erasure")
    }

    /// Copies of what is known of people who asked for it.
    #[must_use]
    pub fn copies(&self) -> PathBuf {
        self.root.join("rights")
    }

    /// State.
    #[must_use]
    pub fn state(&self) -> PathBuf {
        self.root.join("state")
    }

    /// The index of matching.
    #[must_use]
    pub fn matching(&self) -> PathBuf {
        self.root.join("matching")
    }
}

impl Vault {
    /// Opens a data folder, which is made if need be, and folds what history holds past state.
    ///
    /// # Errors
    /// [`VaultError`]; nothing was changed but what a crash had left unfinished.
    pub fn open(data: &DataFolder, progress: impl FnMut(Progress)) -> Result<Vault, VaultError> {
        Vault::open_with(data, Rebuild::WhereNeeded, progress)
    }

    /// Throws state away, folds all of history anew, and swaps. It sends nothing.
    ///
    /// # Errors
    /// [`VaultError`]; the state that was in use still is.
    pub fn rebuild(data: &DataFolder, progress: impl FnMut(Progress)) -> Result<Vault, VaultError> {
        Vault::open_with(data, Rebuild::Always, progress)
    }

    /// Closes it in order, so that the next opening is quick.
    ///
    /// # Errors
    /// [`StoreError`], where the disk fails.
    pub fn close(self) -> Result<(), StoreError> {
        let Vault { intake, history, state, overlay, .. } = self;
        drop(overlay);
        intake.close()?;
        history.close()?;
        state.close()
    }

    fn open_with(data: &DataFolder, rebuild: Rebuild, mut progress: impl FnMut(Progress)) -> Result<Vault, VaultError> {
        let mut notes = Vec::new();
        let intake = open_log("intake", data, &data.intake(), &mut notes)?;
        let history = open_log("history", data, &data.history(), &mut notes)?;
        let mut folder = Folder::open(&data.state(), data.state_options)?;
        let kept = match rebuild {
            Rebuild::Always => None,
            Rebuild::WhereNeeded => usable(folder.open_current(), &history.reader(), &mut notes)?,
        };
        let there = history.reader().start()..history.durable_end();
        let mut doing = if kept.is_some() { "folding what came after the last commit" } else { ANEW };
        let state = kept.map_or_else(|| begin(&mut folder, &there, Begin::Base), Ok)?;
        let mut state = Arc::new(Live::new(folder, state));
        let mut overlay = match Overlay::open(state.clone(), limits::ROWS_HELD) {
            Ok(overlay) => overlay,
            Err(error) => {
                notes.push(format!("state cannot be read ({error}), as after an upgrade: it is rebuilt"));
                doing = ANEW;
                let mut folder = Arc::into_inner(state).expect("nobody else has it").into_folder();
                // The base is of the same version as the state was.
                let from = if there.start == 0 { Begin::Beginning } else { Begin::Base };
                let anew = begin(&mut folder, &there, from)?;
                state = Arc::new(Live::new(folder, anew));
                Overlay::open(state.clone(), limits::ROWS_HELD)?
            }
        };
        let told = |done, all| progress(Progress { doing, done, all });
        catch_up(&history.reader(), &mut overlay, &*state, told)?;
        if intake.durable_end() < overlay.intake_through() {
            return Err(VaultError::IntakeLost { known: overlay.intake_through(), end: intake.durable_end() });
        }
        state.adopt()?;
        Ok(Vault { intake, history, state, overlay, notes })
    }

    /// A hash of state: equal for states that say the same, whatever commits led to them.
    ///
    /// # Errors
    /// [`StoreError`], where state cannot be read.
    pub fn state_hash(&self) -> Result<String, StoreError> {
        Ok(self.state.export_hash()?.iter().map(|byte| format!("{byte:02x}")).collect())
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Rebuild {
    WhereNeeded,
    Always,
}

fn open_log(name: &'static str, data: &DataFolder, dir: &Path, notes: &mut Vec<String>) -> Result<Log, VaultError> {
    let opened = Log::open(data.files.clone(), dir, data.log);
    let (log, recovery) = opened.map_err(|error| VaultError::Log { log: name, error })?;
    let Recovery { torn, leftovers, .. } = recovery;
    if let Some(torn) = torn {
        let (bytes, first) = (torn.bytes, torn.first);
        notes.push(format!("{name} log: cut off {bytes} bytes that a crash had left unfinished, before record {first}"));
    }
    notes.extend(leftovers.iter().map(|file| format!("{name} log: removed {file}, left behind by a crash")));
    Ok(log)
}

/// What is being done where state is folded anew.
const ANEW: &str = "rebuilding state from history";

/// Where a rebuild begins.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Begin {
    /// At the base, where there is one.
    Base,
    /// At the beginning of history.
    Beginning,
}

/// A new state to fold history into: a copy of the base, where there is one; empty where history is there from its beginning. A base goes
/// first because after an erasure history before it does not say everything any more: which deliveries there were, and which repetitions.
fn begin(folder: &mut Folder, history: &Range<u64>, from: Begin) -> Result<State, VaultError> {
    let start = history.start;
    let no_base = |base: String| VaultError::NoBase { start, base };
    if from == Begin::Beginning {
        return Ok(folder.begin_rebuild()?);
    }
    match folder.begin_from_base() {
        Ok(None) | Err(StoreError::StateDamaged { .. }) if start == 0 => Ok(folder.begin_rebuild()?),
        Ok(Some(state)) if (start..=history.end).contains(&state.position()) => Ok(state),
        // It is of a longer history than this.
        Ok(Some(_)) if start == 0 => Ok(folder.begin_rebuild()?),
        Ok(Some(state)) => Err(no_base(format!("its base stands for {} records", state.position()))),
        Ok(None) => Err(no_base("it has no base".into())),
        Err(StoreError::Version { found, known, .. }) if found < known => {
            Err(no_base(format!("its base is of version {found} of the layout, and this program reads version {known}")))
        }
        Err(error @ StoreError::StateDamaged { .. }) => Err(no_base(format!("its base cannot be used ({error})"))),
        Err(error) => Err(error.into()),
    }
}

/// The state in use, if it can be trusted and belongs to this history.
fn usable(
    current: Result<Option<State>, StoreError>,
    history: &LogReader,
    notes: &mut Vec<String>,
) -> Result<Option<State>, StoreError> {
    let (start, end) = (history.start(), history.durable_end());
    match current {
        Ok(Some(state)) if state.position() > end => {
            notes.push(format!("state knows {} records of history and there are {end}: it is rebuilt", state.position()));
            Ok(None)
        }
        Ok(Some(state)) if state.position() < start => {
            notes.push(format!("state stands for {} records, and history begins at {start}: it is rebuilt", state.position()));
            Ok(None)
        }
        Ok(state) => Ok(state),
        Err(StoreError::StateDamaged { reason }) => {
            notes.push(format!("state is damaged ({reason}): it is rebuilt"));
            Ok(None)
        }
        Err(StoreError::Version { found, known, .. }) if found < known => {
            notes.push(format!(
                "state is of version {found} of its layout, and this program keeps version {known}: it is rebuilt"
            ));
            Ok(None)
        }
        Err(error) => Err(error),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_state_of_an_older_layout_is_rebuilt_and_one_of_a_newer_left_alone() {
        let folder = tempfile::tempdir().expect("a folder");
        let data = DataFolder::at(folder.path());
        let mut notes = Vec::new();
        let history = open_log("history", &data, &data.history(), &mut notes).expect("opens").reader();
        let of = |found| Err(StoreError::Version { path: data.state(), found, known: 4 });
        assert!(matches!(usable(of(3), &history, &mut notes), Ok(None)));
        assert_eq!(notes, ["state is of version 3 of its layout, and this program keeps version 4: it is rebuilt"]);
        assert!(matches!(usable(of(5), &history, &mut notes), Err(StoreError::Version { found: 5, .. })));
    }
}
