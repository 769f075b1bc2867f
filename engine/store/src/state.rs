//! State: rows by key, a commit that is all or nothing, and the history position that it stands for (invariants 2 and 4).
//!
//! [`StateStore`] is the whole of what the engine asks of a store, in bytes, so that another one can stand in for sled;
//! [`State`] is sled, [`MemoryState`] a map for tests and for comparing with. [`Folder`] keeps a state where it can be
//! rebuilt beside itself and swapped, [`Live`] lets it be swapped while it is in use. `tests/state.rs` holds every implementation to the same rules.
//!
//! State is never the only copy of anything: what cannot be trusted is [`StoreError::StateDamaged`], and the answer to
//! that is to rebuild it from history. Values are rows of [`crate::format`]; this module looks at their checksum and
//! stamp, never at what they mean. `docs/format.md`, "State", has the layout on disk.

mod engine;
mod folder;
mod live;
mod memory;

pub use self::engine::{Options, State};
pub use self::folder::Folder;
pub use self::live::Live;
pub use self::memory::MemoryState;

use sha2::{Digest, Sha256};

use crate::key::{KEY_BYTES_MAX, PARTITION_BYTES};
use crate::{StoreError, format};

/// Kinds of rows, in the order of an export. The numbers are part of the format: they begin the keys, and a kind that is added
/// gets the next one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
pub enum Space {
    /// What the store needs to know about itself. Not part of [`StateStore::export_hash`].
    Meta = 0,
    /// Identifiers: which claims name each, and whose it is.
    Identifier = 1,
    /// Claims, each with the facts of its events.
    Claim = 2,
    /// Customer rows.
    Customer = 4,
    /// What is due when.
    Timer = 5,
    /// The history index, in pages.
    Page = 6,
    /// Condition state too large for the customer's row.
    Window = 7,
    /// Cursors and breakers of destinations.
    Lane = 8,
    /// Derived deliveries that wait.
    Delivery = 9,
    /// Records that could not be used, with the reason.
    DeadLetter = 10,
    /// What plugins keep, and how many keys each stage has.
    Kv = 11,
    /// Events that destinations are to have again.
    Again = 12,
    /// What the events of a claim come to, by attribute and stretch of time.
    Tally = 13,
    /// When what events come to changes by itself.
    Changing = 14,
    /// Claims that are held until a person decides.
    Held = 15,
    /// Matches that wait until a person decides.
    OpenMatch = 16,
    /// The model of the matcher, in pieces.
    Model = 17,
}

impl Space {
    /// Every space, in order.
    pub const ALL: [Space; 17] = [
        Space::Meta,
        Space::Identifier,
        Space::Claim,
        Space::Customer,
        Space::Timer,
        Space::Page,
        Space::Window,
        Space::Lane,
        Space::Delivery,
        Space::DeadLetter,
        Space::Kv,
        Space::Again,
        Space::Tally,
        Space::Changing,
        Space::Held,
        Space::OpenMatch,
        Space::Model,
    ];
}

/// One change of a commit: the row's new value, or none to delete it.
pub type Change = (Space, Vec<u8>, Option<Vec<u8>>);

/// A key and its value.
pub type Row = (Vec<u8>, Vec<u8>);

/// What [`StateStore::export`] calls with each row: its space, key and value. An error ends the export.
pub type Visit<'a> = dyn FnMut(Space, &[u8], &[u8]) -> Result<(), StoreError> + 'a;

/// How much there is.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Sizes {
    /// Rows of all spaces.
    pub rows: u64,
    /// Bytes of their keys and values.
    pub live_bytes: u64,
    /// Bytes that the store takes on disk. sled does not give back what was deleted: past some multiple of
    /// `live_bytes`, [`Folder::compact`] is worth its time.
    pub disk_bytes: u64,
}

/// A store of rows. One thread commits; any number read, each call seeing the commits that had returned before it, and perhaps
/// rows of one that is under way.
pub trait StateStore: Send + Sync {
    /// The row's value.
    fn get(&self, space: Space, key: &[u8]) -> Result<Option<Vec<u8>>, StoreError>;

    /// Up to `limit` rows in order of their keys, from `from` on and before `to`, or to the end where there is no `to`. Go
    /// on with [`crate::key::after`] the last key; between pages, commits may come through.
    fn scan(&self, space: Space, from: &[u8], to: Option<&[u8]>, limit: usize) -> Result<Vec<Row>, StoreError>;

    /// Makes the changes and the history position durable, all or nothing (invariant 2). Where a key occurs more than
    /// once, its last change counts.
    ///
    /// Fails without any effect where a key is shorter than its partition or longer than
    /// [`KEY_BYTES_MAX`], a value is not a row of [`crate::format`] or bears a later sequence
    /// number than the position, or the position goes back. After any other failure the store must be opened again.
    fn commit(&self, changes: Vec<Change>, position: u64) -> Result<(), StoreError>;

    /// The history position of the last commit; 0 in a new store.
    fn position(&self) -> u64;

    /// How much there is.
    fn sizes(&self) -> Result<Sizes, StoreError>;

    /// Visits every row in order of space and key, as of one commit: commits wait until it is done. Gives the position.
    fn export(&self, visit: &mut Visit<'_>) -> Result<u64, StoreError>;

    /// SHA-256 over the position and over space, key and body of every row but those of [`Space::Meta`]. Two states that say
    /// the same have the same hash, whatever commits led to them (invariant 4): the stamp of the sequence that wrote a row
    /// is not part of it. `docs/format.md`, "Hash of an export", has the bytes.
    fn export_hash(&self) -> Result<[u8; 32], StoreError> {
        let mut hash = Sha256::new();
        let position = self.export(&mut |space, key, value| {
            if space != Space::Meta {
                let (_, body) = format::open(value)?;
                hash.update([space as u8]);
                hash.update((key.len() as u32).to_le_bytes());
                hash.update(key);
                hash.update((body.len() as u32).to_le_bytes());
                hash.update(body);
            }
            Ok(())
        })?;
        hash.update(position.to_le_bytes());
        Ok(hash.finalize().into())
    }
}

/// The rules of [`StateStore::commit`], for every implementation.
fn check(changes: &[Change], position: u64, position_now: u64) -> Result<(), StoreError> {
    if position < position_now {
        return Err(StoreError::Refused("the history position cannot go back"));
    }
    for (_, key, value) in changes {
        check_change(key, value.as_deref(), position)?;
    }
    Ok(())
}

fn check_change(key: &[u8], value: Option<&[u8]>, position: u64) -> Result<(), StoreError> {
    if key.len() < PARTITION_BYTES {
        return Err(StoreError::Refused("a key begins with its partition"));
    }
    if key.len() > KEY_BYTES_MAX {
        return Err(StoreError::TooLarge { what: "key", bytes: key.len(), limit: KEY_BYTES_MAX });
    }
    let Some(value) = value else { return Ok(()) };
    if value.len() > format::ROW_BYTES_MAX {
        return Err(StoreError::TooLarge { what: "row", bytes: value.len(), limit: format::ROW_BYTES_MAX });
    }
    let (seq, _) = format::open(value)?;
    if seq > position {
        return Err(StoreError::Refused("a row cannot come from later in history than its commit"));
    }
    Ok(())
}
