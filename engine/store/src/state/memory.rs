//! A state in memory: what every other implementation is compared with. It never touches a disk.

use std::collections::BTreeMap;
use std::ops::Bound;
use std::sync::{PoisonError, RwLock, RwLockReadGuard};

use super::{Change, Row, Sizes, Space, StateStore, Visit, check};
use crate::StoreError;

/// Rows in an ordered map.
#[derive(Debug, Default)]
pub struct MemoryState {
    inner: RwLock<Inner>,
}

#[derive(Debug, Default)]
struct Inner {
    rows: BTreeMap<(Space, Vec<u8>), Vec<u8>>,
    position: u64,
}

impl MemoryState {
    /// An empty one, at position 0.
    pub fn new() -> MemoryState {
        MemoryState::default()
    }

    fn read(&self) -> RwLockReadGuard<'_, Inner> {
        self.inner.read().unwrap_or_else(PoisonError::into_inner)
    }
}

impl StateStore for MemoryState {
    fn get(&self, space: Space, key: &[u8]) -> Result<Option<Vec<u8>>, StoreError> {
        Ok(self.read().rows.get(&(space, key.to_vec())).cloned())
    }

    fn scan(&self, space: Space, from: &[u8], to: Option<&[u8]>, limit: usize) -> Result<Vec<Row>, StoreError> {
        let inner = self.read();
        let rows = inner.rows.range((Bound::Included((space, from.to_vec())), Bound::Unbounded));
        let rows = rows.take_while(|((found, key), _)| *found == space && to.is_none_or(|to| key.as_slice() < to));
        Ok(rows.take(limit).map(|((_, key), value)| (key.clone(), value.clone())).collect())
    }

    fn commit(&self, changes: Vec<Change>, position: u64) -> Result<(), StoreError> {
        let mut inner = self.inner.write().unwrap_or_else(PoisonError::into_inner);
        check(&changes, position, inner.position)?;
        for (space, key, value) in changes {
            match value {
                Some(value) => inner.rows.insert((space, key), value),
                None => inner.rows.remove(&(space, key)),
            };
        }
        inner.position = position;
        Ok(())
    }

    fn position(&self) -> u64 {
        self.read().position
    }

    fn sizes(&self) -> Result<Sizes, StoreError> {
        let inner = self.read();
        let live_bytes = inner.rows.iter().map(|((_, key), value)| (key.len() + value.len()) as u64).sum();
        Ok(Sizes { rows: inner.rows.len() as u64, live_bytes, disk_bytes: 0 })
    }

    fn export(&self, visit: &mut Visit<'_>) -> Result<u64, StoreError> {
        let inner = self.read();
        inner.rows.iter().try_for_each(|((space, key), value)| visit(*space, key, value))?;
        Ok(inner.position)
    }
}
