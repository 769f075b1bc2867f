//! Which rows there are: for each kind of row of the domain its space, its key and its value.
//!
//! Adding a kind of row is adding an `impl` here. Values are [`crate::format`]'s; keys are fixed-width and begin with a
//! partition ([`crate::key`]). Next: [`crate::overlay`], which holds rows between the fold and sled.

use std::sync::Arc;

use serde::Serialize;
use serde::de::DeserializeOwned;
use weft_domain::attribute::{Standings, Tally};
use weft_domain::claim::{Claim, ClaimId, CustomerId, IdentifierId};
use weft_domain::plan::Plan;
use weft_domain::profile::{Entry, Node};
use weft_domain::value::Timestamp;
use weft_domain::view::{Again, Customer, IdentifierRow, Lane, Letter, TallyId, Totals, WindowPage};

use crate::key::{Key, Parts};
use crate::state::Space;

/// The one partition of a deployment on one machine.
pub const PARTITION: u16 = 0;

/// A kind of row.
pub trait Row: Serialize + DeserializeOwned {
    /// What finds it.
    type Id: Clone + Eq + std::hash::Hash + Ord;
    /// Where it stands.
    const SPACE: Space;
    /// The key's bytes.
    fn key(id: &Self::Id) -> Vec<u8>;
}

macro_rules! row {
    ($row:ty, $space:ident, $id:ty, |$name:pat_param| $key:expr) => {
        impl Row for $row {
            type Id = $id;
            const SPACE: Space = Space::$space;
            fn key($name: &$id) -> Vec<u8> {
                $key.finish()
            }
        }
    };
}

row!(IdentifierRow, Identifier, IdentifierId, |id| begin().bytes(&id.0));
row!(Filed, Claim, ClaimId, |id| begin().bytes(&id.0));
row!(Customer, Customer, CustomerId, |id| begin().bytes(&id.0));
row!(Vec<Entry>, Page, (ClaimId, u32), |(claim, number)| begin().bytes(&claim.0).u32(*number));
row!(WindowPage, Window, u64, |number| begin().u64(*number));
row!(Lane, Lane, String, |name| begin().bytes(name.as_bytes()));
row!(Delivery, Delivery, (String, u64), |(lane, number)| text(begin(), lane).u64(*number));
row!(Letter, DeadLetter, (u64, u32), |(position, ordinal)| begin().u64(*position).u32(*ordinal));
row!(Again, Again, (String, u64), |(lane, position)| text(begin(), lane).u64(*position));
row!(Value, Kv, (String, String), |(stage, key)| text(begin(), stage).bytes(key.as_bytes()));
row!(Keys, Kv, String, |stage| text(begin(), stage));
row!(Tally, Tally, TallyId, |(claim, attribute, stretch)| begin().bytes(&claim.0).u64(attribute.0).i64(*stretch));
row!(Held, Held, ClaimId, |id| begin().bytes(&id.0));
row!(OpenMatch, OpenMatch, [ClaimId; 2], |[one, other]| begin().bytes(&one.0).bytes(&other.0));
row!(Piece, Model, u32, |number| begin().u32(*number));
row!(Meta, Meta, (), |()| begin().bytes(b"fold"));

/// A claim, and the facts of the events that are filed under it. The rules know them apart, as the one is of identity and the
/// other of a customer; here they share a row, because an event asks for both by the same id.
#[derive(Clone, Debug, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Filed {
    /// The claim.
    pub claim: Option<Arc<Claim>>,
    /// The facts.
    pub node: Option<Arc<Node>>,
}

/// A profile delivery.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Delivery {
    /// The JSON that a destination gets.
    pub text: Arc<str>,
    /// The place in history from which it follows: it leaves the machine once that is durable.
    pub position: u64,
}

/// A value of a stage's own small store.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Value(pub Vec<u8>);

/// How many keys a stage's small store has: a row beside them, under the empty key, which no plugin can name.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Keys(pub u64);

/// That a claim is held: the key says which.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Held;

/// That a match waits for a person: the key says which.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct OpenMatch;

/// A piece of the matcher's model: a row holds no more than sled keeps in its own file.
#[derive(Clone, Debug, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Piece(pub String);

impl Piece {
    /// Bytes of a piece.
    pub const BYTES: usize = 64 * 1024;
}

/// What there is one of.
#[derive(Clone, Debug, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Meta {
    /// The rules in force, as JSON: they are read by people who look for what was in force.
    pub plan: String,
    /// The last tick.
    pub clock: Timestamp,
    /// Counts.
    pub totals: Totals,
    /// How many fingerprints the duplicate window ever took in.
    pub remembered_total: u64,
    /// The record of intake before which all have reached history.
    pub intake_through: u64,
    /// Where attributes stand.
    pub standings: Arc<Standings>,
    /// The version of the matcher's model, when it was learned, and how many pieces it has; none where there is none.
    pub model: Option<(u64, Timestamp, u32)>,
}

impl Meta {
    /// The plan again; none where it cannot be read.
    pub fn plan(&self) -> Option<Plan> {
        serde_json::from_str(&self.plan).ok()
    }
}

fn begin() -> Key {
    Key::new(PARTITION)
}

/// A text that other parts follow: preceded by its length, so that no two keys run together.
fn text(key: Key, text: &str) -> Key {
    key.u16(u16::try_from(text.len()).unwrap_or(u16::MAX)).bytes(text.as_bytes())
}

/// The key of a value of a stage's own small store.
#[must_use]
pub fn value_key(stage: &str, key: &str) -> Vec<u8> {
    text(begin(), stage).bytes(key.as_bytes()).finish()
}

/// The stage and the key of a value again, from its row's key; the key is empty in the row that counts the others.
#[must_use]
pub fn value_of(key: &[u8]) -> Option<(String, String)> {
    let (stage, name) = after_text(key)?;
    Some((stage, String::from_utf8(name.to_vec()).ok()?))
}

/// The destination and the number of a delivery again, from its key.
#[must_use]
pub fn delivery_of(key: &[u8]) -> Option<(String, u64)> {
    let (lane, number) = after_text(key)?;
    Some((lane, u64::from_be_bytes(number.try_into().ok()?)))
}

/// The text that a key begins with, and what follows it.
fn after_text(key: &[u8]) -> Option<(String, &[u8])> {
    let mut parts = Parts::new(key);
    parts.u16()?;
    let length = usize::from(parts.u16()?);
    let (text, rest) = parts.rest().split_at_checked(length)?;
    Some((String::from_utf8(text.to_vec()).ok()?, rest))
}

/// How the keys of the events begin that a lane is to have again.
#[must_use]
pub fn again_key(lane: &str) -> Vec<u8> {
    text(begin(), lane).finish()
}

/// The place of such an event again, from its key and what all of its lane begin with.
#[must_use]
pub fn again_of(key: &[u8], begins: &[u8]) -> Option<u64> {
    Parts::new(key.strip_prefix(begins)?).u64()
}

/// The key of a timer. Timers have no value: the key says it all.
#[must_use]
pub fn timer_key((due, customer): &(Timestamp, CustomerId)) -> Vec<u8> {
    begin().i64(due.0).bytes(&customer.0).finish()
}

/// A timer again, from its key.
#[must_use]
pub fn timer_of(key: &[u8]) -> Option<(Timestamp, CustomerId)> {
    let mut parts = Parts::new(key);
    let (_, due) = (parts.u16()?, parts.i64()?);
    Some((Timestamp(due), CustomerId(parts.rest().try_into().ok()?)))
}

/// The key of a claim whose tallies come to something else then.
#[must_use]
pub fn changing_key((at, claim): &(Timestamp, ClaimId)) -> Vec<u8> {
    begin().i64(at.0).bytes(&claim.0).finish()
}

/// The claim and the time again, from that key.
#[must_use]
pub fn changing_of(key: &[u8]) -> Option<(Timestamp, ClaimId)> {
    timer_of(key).map(|(at, CustomerId(bytes))| (at, ClaimId(bytes)))
}

/// A claim's id again, from the key of a row that is found by it.
#[must_use]
pub fn claim_of(key: &[u8]) -> Option<ClaimId> {
    let mut parts = Parts::new(key);
    parts.u16()?;
    Some(ClaimId(parts.rest().try_into().ok()?))
}

/// An identifier's id again, from its row's key.
#[must_use]
pub fn identifier_of(key: &[u8]) -> Option<IdentifierId> {
    claim_of(key).map(|ClaimId(bytes)| IdentifierId(bytes))
}

/// The two claims of a match again, from its key.
#[must_use]
pub fn open_match_of(key: &[u8]) -> Option<[ClaimId; 2]> {
    let mut parts = Parts::new(key);
    parts.u16()?;
    let (one, other) = parts.rest().split_first_chunk::<16>()?;
    Some([ClaimId(*one), ClaimId(other.try_into().ok()?)])
}

/// A dead letter's id again, from its key.
#[must_use]
pub fn letter_of(key: &[u8]) -> Option<(u64, u32)> {
    let mut parts = Parts::new(key);
    parts.u16()?;
    Some((parts.u64()?, parts.u32()?))
}
