//! Under which keys each customer is found, in a folder of its own.
//!
//! It is made of what state is made of: rows by key, and a commit that is all or nothing with a position, which here is the number of the
//! matcher's next delivery. Nothing in it is true by itself: it can be thrown away at any time, and is where it is damaged, of other
//! rules, or of another state. Keys are hashes, so that it names nobody.
//!
//! The spaces of the store mean here what they mean in state, with keys in the place of identifiers: which customers have each.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::path::{Path, PathBuf};

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use weft_domain::claim::{ClaimId, CustomerId};
use weft_matching::limits::BLOCK_RECORDS_MAX;
use weft_store::key::Key;
use weft_store::rows::PARTITION;
use weft_store::state::{Change, Folder, Options, Space, State, StateStore};
use weft_store::{StoreError, format};

use crate::limits;

/// The index.
pub(super) struct Index {
    path: PathBuf,
    folder: Folder,
    state: State,
    /// Rows that changed since the last commit.
    blocks: HashMap<u64, Block>,
    people: HashMap<CustomerId, Option<Indexed>>,
    /// What there is one of.
    pub(super) head: Head,
    is_head_new: bool,
}

/// What there is one of.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Head {
    /// By which rules its keys are made.
    pub(super) indexed_by: u64,
    /// By what all customers were weighed, or are being weighed.
    pub(super) weighed_by: u64,
    /// How far the walk through all customers is that the last change made necessary; none where it is done.
    pub(super) walk: Option<Walk>,
    /// Customers in it.
    pub(super) customers: u64,
    /// Keys of so many customers that they are compared by these no more.
    pub(super) keys_closed: u64,
}

/// How far a walk is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Walk {
    /// The last claim that was looked at.
    pub(super) after: Option<ClaimId>,
}

/// Who has a key.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
struct Block {
    /// How many.
    total: u32,
    /// Who, in ascending order; nobody is named once there have been too many.
    customers: Vec<CustomerId>,
    /// Whether there have been too many.
    is_closed: bool,
}

/// A customer.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
struct Indexed {
    /// The keys, in ascending order.
    keys: Vec<u64>,
    /// Of what it was weighed.
    print: u64,
    /// Whom it was taken apart from after it had been one with them, and how often.
    turns: Vec<(CustomerId, u8)>,
}

impl Index {
    /// Opens the index of these rules for a state whose deliveries to the matcher are within `numbers`; one that is of no use is thrown
    /// away, and an empty one takes its place, whose walk is to be begun.
    ///
    /// # Errors
    /// [`StoreError`], where the disk fails.
    pub(super) fn open(path: &Path, indexed_by: u64, numbers: std::ops::RangeInclusive<u64>) -> Result<Index, StoreError> {
        match Index::kept(path) {
            Ok(Some(index)) if index.head.indexed_by == indexed_by && numbers.contains(&index.state.position()) => {
                return Ok(index);
            }
            Ok(Some(_)) => tracing::info!("the index of matching is of other rules or of another state, and is made anew"),
            Ok(None) => (),
            Err(StoreError::Locked { path }) => return Err(StoreError::Locked { path }),
            Err(error) => tracing::warn!(%error, "the index of matching cannot be used, and is made anew"),
        }
        forget(path)?;
        let mut folder = Folder::open(path, options())?;
        let state = folder.begin_rebuild()?;
        let head = Head { indexed_by, walk: Some(Walk::default()), ..Head::default() };
        let mut index = Index {
            path: path.to_owned(),
            folder,
            state,
            blocks: HashMap::new(),
            people: HashMap::new(),
            head,
            is_head_new: true,
        };
        index.commit(*numbers.start())?;
        index.folder.adopt(&index.state)?;
        Ok(index)
    }

    fn kept(path: &Path) -> Result<Option<Index>, StoreError> {
        let mut folder = Folder::open(path, options())?;
        let Some(state) = folder.open_current()? else { return Ok(None) };
        let Some(head) = row::<Head>(&state, Space::Meta, &head_key())? else { return Ok(None) };
        let mut index = Index {
            path: path.to_owned(),
            folder,
            state,
            blocks: HashMap::new(),
            people: HashMap::new(),
            head,
            is_head_new: false,
        };
        let sizes = index.state.sizes()?;
        let idle = sizes.disk_bytes.saturating_sub(sizes.live_bytes);
        if idle >= limits::COMPACT_IDLE_BYTES_MIN && sizes.disk_bytes >= limits::COMPACT_RATIO * sizes.live_bytes {
            index.state = index.folder.compact(&index.state)?;
        }
        Ok(Some(index))
    }

    /// The number of the delivery that it has not taken in yet.
    pub(super) fn position(&self) -> u64 {
        self.state.position()
    }

    /// Notes the keys of a customer, and of what it was weighed. Whether that is other than before.
    pub(super) fn put(&mut self, id: CustomerId, mut keys: Vec<u64>, print: u64) -> Result<bool, StoreError> {
        keys.sort_unstable();
        let before = self.person(id)?;
        if before.as_ref().is_some_and(|before| before.print == print && before.keys == keys) {
            return Ok(false);
        }
        let (known, turns) = before.map_or_else(Default::default, |before| (before.keys, before.turns));
        self.head.customers += u64::from(known.is_empty() && !keys.is_empty());
        self.head.customers -= u64::from(!known.is_empty() && keys.is_empty());
        for key in known.iter().filter(|key| keys.binary_search(key).is_err()) {
            self.leave(*key, id)?;
        }
        for key in keys.iter().filter(|key| known.binary_search(key).is_err()) {
            self.enter(*key, id)?;
        }
        let row = if keys.is_empty() && turns.is_empty() { None } else { Some(Indexed { keys, print, turns }) };
        self.people.insert(id, row);
        self.is_head_new = true;
        Ok(true)
    }

    /// Forgets a customer.
    pub(super) fn remove(&mut self, id: CustomerId) -> Result<(), StoreError> {
        let Some(before) = self.person(id)? else { return Ok(()) };
        for key in &before.keys {
            self.leave(*key, id)?;
        }
        self.head.customers -= u64::from(!before.keys.is_empty());
        // Whom it was taken apart from stays: it may be a customer again.
        let left = (!before.turns.is_empty()).then(|| Indexed { turns: before.turns, ..Indexed::default() });
        self.people.insert(id, left);
        self.is_head_new = true;
        Ok(())
    }

    /// Who else shares keys with a customer, those who share the most first.
    pub(super) fn sharing(&self, id: CustomerId, keys: &[u64]) -> Result<Vec<CustomerId>, StoreError> {
        let mut shared: BTreeMap<CustomerId, usize> = BTreeMap::new();
        for key in keys {
            for other in self.block(*key)?.customers.into_iter().filter(|other| *other != id) {
                *shared.entry(other).or_default() += 1;
            }
        }
        let mut sharing: Vec<(usize, CustomerId)> = shared.into_iter().map(|(other, keys)| (keys, other)).collect();
        sharing.sort_unstable_by_key(|(keys, other)| (std::cmp::Reverse(*keys), *other));
        Ok(sharing.into_iter().map(|(_, other)| other).collect())
    }

    /// How often two were taken apart after they had been one.
    pub(super) fn turns(&self, one: CustomerId, other: CustomerId) -> Result<u8, StoreError> {
        let (one, other) = (one.min(other), one.max(other));
        let known = self.person(one)?.map(|person| person.turns).unwrap_or_default();
        Ok(known.iter().find(|(with, _)| *with == other).map_or(0, |(_, turns)| *turns))
    }

    /// How often any of some was taken apart from any of others after they had been one: the most of all.
    pub(super) fn turns_between(&self, some: &BTreeSet<CustomerId>, others: &BTreeSet<CustomerId>) -> Result<u8, StoreError> {
        let mut most = 0;
        for (sides, far) in [(some, others), (others, some)] {
            for id in sides {
                let known = self.person(*id)?.map(|person| person.turns).unwrap_or_default();
                most = known.iter().filter(|(with, _)| far.contains(with)).fold(most, |most, (_, turns)| most.max(*turns));
            }
        }
        Ok(most)
    }

    /// Notes that two are taken apart who were one.
    pub(super) fn turn(&mut self, one: CustomerId, other: CustomerId) -> Result<(), StoreError> {
        let (one, other) = (one.min(other), one.max(other));
        let mut person = self.person(one)?.unwrap_or_default();
        match person.turns.iter_mut().find(|(with, _)| *with == other) {
            Some((_, turns)) => *turns = turns.saturating_add(1),
            None => {
                // The oldest is forgotten: it may then turn as often again.
                if person.turns.len() >= limits::MATCHING_TURNS_KEPT_MAX {
                    person.turns.remove(0);
                }
                person.turns.push((other, 1));
            }
        }
        self.people.insert(one, Some(person));
        Ok(())
    }

    /// Has the head changed.
    pub(super) fn set_head(&mut self, change: impl FnOnce(&mut Head)) {
        change(&mut self.head);
        self.is_head_new = true;
    }

    /// Makes all that changed durable, with the number of the delivery that is to be taken in next.
    pub(super) fn commit(&mut self, position: u64) -> Result<(), StoreError> {
        let position = position.max(self.state.position());
        if self.blocks.is_empty() && self.people.is_empty() && !self.is_head_new && position == self.state.position() {
            return Ok(());
        }
        let mut changes: Vec<Change> = Vec::with_capacity(self.blocks.len() + self.people.len() + 1);
        for (key, block) in self.blocks.drain() {
            let value = if block.total == 0 { None } else { Some(format::encode(position, &block)?) };
            changes.push((Space::Identifier, block_key(key), value));
        }
        for (id, person) in self.people.drain() {
            let value = person.map(|person| format::encode(position, &person)).transpose()?;
            changes.push((Space::Customer, person_key(id), value));
        }
        changes.push((Space::Meta, head_key(), Some(format::encode(position, &self.head)?)));
        self.state.commit(changes, position)?;
        self.is_head_new = false;
        Ok(())
    }

    /// Closes it in order, so that the next opening is quick.
    pub(super) fn close(self) -> Result<(), StoreError> {
        self.state.close()
    }

    /// Closes and removes it.
    pub(super) fn destroy(self) -> Result<(), StoreError> {
        let Index { path, folder, state, .. } = self;
        drop((state, folder));
        forget(&path)
    }

    fn enter(&mut self, key: u64, id: CustomerId) -> Result<(), StoreError> {
        let mut block = self.block(key)?;
        block.total += 1;
        if let Err(place) = block.customers.binary_search(&id)
            && !block.is_closed
        {
            block.customers.insert(place, id);
        }
        if block.customers.len() > BLOCK_RECORDS_MAX {
            (block.customers, block.is_closed) = (Vec::new(), true);
            self.head.keys_closed += 1;
        }
        self.blocks.insert(key, block);
        Ok(())
    }

    fn leave(&mut self, key: u64, id: CustomerId) -> Result<(), StoreError> {
        let mut block = self.block(key)?;
        block.total = block.total.saturating_sub(1);
        block.customers.retain(|one| *one != id);
        if block.total == 0 {
            self.head.keys_closed -= u64::from(block.is_closed);
            block = Block::default();
        }
        self.blocks.insert(key, block);
        Ok(())
    }

    fn block(&self, key: u64) -> Result<Block, StoreError> {
        match self.blocks.get(&key) {
            Some(block) => Ok(block.clone()),
            None => Ok(row(&self.state, Space::Identifier, &block_key(key))?.unwrap_or_default()),
        }
    }

    fn person(&self, id: CustomerId) -> Result<Option<Indexed>, StoreError> {
        match self.people.get(&id) {
            Some(person) => Ok(person.clone()),
            None => row(&self.state, Space::Customer, &person_key(id)),
        }
    }
}

/// Removes the folder of an index, where there is one that nobody has open.
///
/// # Errors
/// [`StoreError`], where the disk fails.
pub(super) fn forget(path: &Path) -> Result<(), StoreError> {
    Folder::destroy(path)
}

/// Half of what state may cache: the rows are small.
fn options() -> Options {
    Options { cache_bytes: limits::MATCHING_CACHE_BYTES, ..Options::default() }
}

fn row<T: DeserializeOwned>(state: &State, space: Space, key: &[u8]) -> Result<Option<T>, StoreError> {
    Ok(state.get(space, key)?.map(|bytes| format::decode(&bytes)).transpose()?.map(|(_, row)| row))
}

fn head_key() -> Vec<u8> {
    Key::new(PARTITION).bytes(b"head").finish()
}

fn block_key(key: u64) -> Vec<u8> {
    Key::new(PARTITION).u64(key).finish()
}

fn person_key(id: CustomerId) -> Vec<u8> {
    Key::new(PARTITION).bytes(&id.0).finish()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id(number: u8) -> CustomerId {
        CustomerId([number; 16])
    }

    #[test]
    fn who_shares_the_most_keys_comes_first_and_who_is_gone_does_not() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("matching");
        let mut index = Index::open(&path, 7, 0..=9).expect("opens");
        assert_eq!(index.head.walk, Some(Walk::default()), "a new one is to be filled");
        assert!(index.put(id(1), vec![3, 1, 2], 1).expect("is put"));
        assert!(!index.put(id(1), vec![1, 2, 3], 1).expect("is put"), "nothing is new");
        index.put(id(2), vec![1], 1).expect("is put");
        index.put(id(3), vec![1, 2], 1).expect("is put");
        index.put(id(4), vec![9], 1).expect("is put");
        assert_eq!(index.sharing(id(1), &[1, 2, 3]).expect("is read"), [id(3), id(2)]);
        index.set_head(|head| head.walk = None);
        index.commit(5).expect("is kept");
        index.put(id(4), vec![1], 1).expect("is put");
        // A crash here forgets what was not committed.
        drop(index);
        let mut index = Index::open(&path, 7, 3..=9).expect("opens");
        assert_eq!((index.position(), index.head.customers, index.head.walk), (5, 4, None));
        assert_eq!(index.sharing(id(1), &[1, 2, 3]).expect("is read"), [id(3), id(2)]);
        index.remove(id(3)).expect("is removed");
        index.put(id(2), vec![], 2).expect("is put");
        assert_eq!(index.sharing(id(1), &[1, 2, 3]).expect("is read"), []);
        assert_eq!(index.head.customers, 2);
        index.commit(6).expect("is kept");
        index.close().expect("closes");
        // Of other rules, or of a state that has not come so far.
        for (rules, numbers) in [(8, 0..=9), (8, 0..=0)] {
            let index = Index::open(&path, rules, numbers).expect("opens");
            assert_eq!((index.position(), index.head.customers, index.head.walk), (0, 0, Some(Walk::default())));
        }
    }

    #[test]
    fn a_key_of_too_many_is_closed_and_counted() {
        let folder = tempfile::tempdir().expect("a folder");
        let mut index = Index::open(&folder.path().join("matching"), 7, 0..=0).expect("opens");
        let many = BLOCK_RECORDS_MAX as u8 + 1;
        for number in 0..many {
            index.put(id(number), vec![1], 1).expect("is put");
        }
        assert_eq!((index.head.keys_closed, index.sharing(id(200), &[1]).expect("is read").len()), (1, 0));
        index.put(id(0), vec![2], 1).expect("is put");
        assert_eq!(index.sharing(id(200), &[1]).expect("is read"), [], "who is left is not known any more");
        for number in 1..many {
            index.remove(id(number)).expect("is removed");
        }
        assert_eq!(index.head.keys_closed, 0);
        index.put(id(5), vec![1], 1).expect("is put");
        assert_eq!(index.sharing(id(200), &[1]).expect("is read").len(), 1, "nobody had it any more: it begins anew");
    }

    #[test]
    fn a_damaged_index_is_made_anew() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("matching");
        let mut index = Index::open(&path, 7, 0..=0).expect("opens");
        index.put(id(1), vec![1], 1).expect("is put");
        index.commit(0).expect("is kept");
        index.close().expect("closes");
        std::fs::write(path.join("CURRENT"), "weft-state 1 99 00000000\n").expect("is written");
        let index = Index::open(&path, 7, 0..=0).expect("opens");
        assert_eq!((index.head.customers, index.head.walk), (0, Some(Walk::default())));
    }

    #[test]
    fn turns_are_known_after_one_was_another_and_by_other_claims() {
        let folder = tempfile::tempdir().expect("a folder");
        let mut index = Index::open(&folder.path().join("matching"), 7, 0..=9).expect("opens");
        index.put(id(1), vec![1], 1).expect("is put");
        index.turn(id(1), id(2)).expect("is noted");
        index.turn(id(2), id(1)).expect("is noted");
        // The first is merged away, and nobody is found by it.
        index.remove(id(1)).expect("is removed");
        index.commit(1).expect("is kept");
        assert_eq!(index.head.customers, 0);
        assert_eq!(index.turns(id(1), id(2)).expect("is read"), 2);
        let between = |some: &[u8], others: &[u8]| {
            let all = |ids: &[u8]| ids.iter().map(|number| id(*number)).collect();
            index.turns_between(&all(some), &all(others)).expect("is read")
        };
        assert_eq!((between(&[5, 1], &[2, 7]), between(&[2, 7], &[5, 1]), between(&[5, 1], &[7])), (2, 2, 0));
    }

    #[test]
    fn turns_are_counted_for_both_and_bounded() {
        let folder = tempfile::tempdir().expect("a folder");
        let mut index = Index::open(&folder.path().join("matching"), 7, 0..=0).expect("opens");
        index.turn(id(2), id(1)).expect("is noted");
        index.turn(id(1), id(2)).expect("is noted");
        assert_eq!((index.turns(id(1), id(2)).expect("is read"), index.turns(id(1), id(3)).expect("is read")), (2, 0));
        for other in 3..3 + limits::MATCHING_TURNS_KEPT_MAX as u8 {
            index.turn(id(1), id(other)).expect("is noted");
        }
        assert_eq!(index.turns(id(1), id(2)).expect("is read"), 0);
    }
}
