//! The state in use while it is in use: it can be exchanged for a compact copy of itself under whoever reads and writes.
//!
//! Everything that the running engine asks of its state goes through here. What is long (a copy) runs on the caller's thread and
//! holds up commits for its last few milliseconds only. Next: [`super::Folder`], which does the work.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};

use super::{Change, Folder, Row, Sizes, Space, State, StateStore, Visit};
use crate::StoreError;

/// A state in use, with its folder.
pub struct Live {
    folder: Mutex<Folder>,
    current: RwLock<Arc<State>>,
}

impl Live {
    /// From a folder and the state in it that is in use.
    #[must_use]
    pub fn new(folder: Folder, state: State) -> Live {
        Live { folder: Mutex::new(folder), current: RwLock::new(Arc::new(state)) }
    }

    /// Makes the state the one in use for the next opening as well: see [`Folder::adopt`].
    ///
    /// # Errors
    /// [`StoreError`]; then the next opening finds the one before.
    pub fn adopt(&self) -> Result<(), StoreError> {
        self.folder().adopt(&self.state())
    }

    /// The folder again; the state is dropped.
    #[must_use]
    pub fn into_folder(self) -> Folder {
        self.folder.into_inner().unwrap_or_else(PoisonError::into_inner)
    }

    /// Exchanges the state for a copy that takes the space that its rows need and no more.
    ///
    /// # Errors
    /// [`StoreError`]; then the state is the one that it was.
    pub fn compact(&self) -> Result<(), StoreError> {
        let mut folder = self.folder();
        let (old, new) = (self.state(), Arc::new(folder.begin_rebuild()?));
        folder.compact_into(&old, &new, || {
            *self.current.write().unwrap_or_else(PoisonError::into_inner) = new.clone();
        })
    }

    /// Keeps a copy as the base, from which a rebuild can begin: see [`Folder::keep_base`].
    ///
    /// # Errors
    /// [`StoreError`]; then the base is the one that it was.
    pub fn keep_base(&self) -> Result<u64, StoreError> {
        self.folder().keep_base(&self.state())
    }

    /// The history position of the base; none where there is no base.
    #[must_use]
    pub fn base_position(&self) -> Option<u64> {
        self.folder().base_position()
    }

    /// Reads every row and compares with what was committed: for `weft doctor`.
    ///
    /// # Errors
    /// [`StoreError::StateDamaged`], where they differ.
    pub fn verify(&self) -> Result<Sizes, StoreError> {
        self.state().verify()
    }

    /// Closes in order, so that the next opening need not read every row. Does nothing while others still hold the state.
    ///
    /// # Errors
    /// [`StoreError`], where the disk fails.
    pub fn close(self: Arc<Self>) -> Result<(), StoreError> {
        let Some(live) = Arc::into_inner(self) else { return Ok(()) };
        let state = live.current.into_inner().unwrap_or_else(PoisonError::into_inner);
        Arc::into_inner(state).map_or(Ok(()), State::close)
    }

    fn folder(&self) -> MutexGuard<'_, Folder> {
        self.folder.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn state(&self) -> Arc<State> {
        self.current.read().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

impl StateStore for Live {
    fn get(&self, space: Space, key: &[u8]) -> Result<Option<Vec<u8>>, StoreError> {
        self.state().get(space, key)
    }

    fn scan(&self, space: Space, from: &[u8], to: Option<&[u8]>, limit: usize) -> Result<Vec<Row>, StoreError> {
        self.state().scan(space, from, to, limit)
    }

    fn commit(&self, mut changes: Vec<Change>, position: u64) -> Result<(), StoreError> {
        loop {
            match self.state().offer(changes, position) {
                Ok(done) => return done,
                // The one that has taken its place is there already.
                Err(back) => changes = back,
            }
        }
    }

    fn position(&self) -> u64 {
        self.state().position()
    }

    fn sizes(&self) -> Result<Sizes, StoreError> {
        self.state().sizes()
    }

    fn export(&self, visit: &mut Visit<'_>) -> Result<u64, StoreError> {
        self.state().export(visit)
    }
}
