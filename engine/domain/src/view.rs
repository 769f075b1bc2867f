//! How the rules see state, and what they say should change in it.
//!
//! [`View`] is what `resolve` and `fold` read through; the store implements it over memory and sled, and [`Memory`] over plain
//! maps for tests and small worlds. [`Changes`] is what they answer: rows to put and to take away. Nothing here decides anything.

use std::collections::{BTreeMap, BTreeSet, HashSet, VecDeque};
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::attribute::{AttributeId, Standings, Tally};
use crate::claim::{Claim, ClaimId, CustomerId, IdentifierId, Trained};
use crate::limits;
use crate::plan::Plan;
use crate::profile::{Entry, Node};
use crate::value::Timestamp;

/// A row could not be read. The input that needed it is not folded, and nothing of it is kept.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("state cannot be read: {0}")]
pub struct ViewError(pub String);

/// What reading gives.
pub type Read<T> = Result<T, ViewError>;

/// An identifier: which claims name it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct IdentifierRow {
    /// Its type.
    pub kind: String,
    /// Its value.
    pub value: String,
    /// The claims that name it, in ascending order; at most [`limits::IDENTIFIER_CLAIMS_MAX`].
    pub claims: Vec<ClaimId>,
    /// The customer whose it is; none where every claim had to set it aside.
    pub customer: Option<CustomerId>,
    /// The identifiers from which somebody separated it, in ascending order; at most [`limits::SEPARATIONS_MAX`].
    pub apart: Vec<Apart>,
}

/// That somebody said of two identifiers that they are not one person's, as each of the two knows it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Apart {
    /// The other one.
    pub other: IdentifierId,
    /// The claim whose split says so, or that stands for a removal ([`crate::correction::removal_of`]); none where the two were
    /// named themselves.
    pub of: Option<ClaimId>,
    /// Why, for the next person who asks.
    pub reason: String,
}

/// A customer: which claims make this person.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Customer {
    /// The claims, in ascending order. Empty after a merge, until destinations have been told.
    pub claims: Vec<ClaimId>,
    /// When destinations are to hear of the changed profile.
    pub pending: Option<Timestamp>,
    /// Whether destinations have heard of this customer.
    pub told: bool,
    /// The destinations that have this customer's profile: of one that asks for consent, since it took a delivery of it; of any other, since one
    /// was made for it.
    pub heard_by: BTreeMap<String, Heard>,
}

impl Customer {
    /// Notes whether a destination has the profile; none where it has not. False where that was known.
    pub fn note_heard(&mut self, lane: &str, heard: Option<Heard>) -> bool {
        if self.heard_by.get(lane).copied() == heard {
            return false;
        }
        match heard {
            Some(heard) => drop(self.heard_by.insert(lane.to_owned(), heard)),
            None => drop(self.heard_by.remove(lane)),
        }
        true
    }

    /// Whether a destination has the profile.
    #[must_use]
    pub fn is_heard_by(&self, lane: &str) -> bool {
        self.heard_by.contains_key(lane)
    }
}

/// That a destination has a customer's profile.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Heard {
    /// It has.
    Has,
    /// It is to take it away, and has not been seen to.
    Leaving,
}

/// Where a destination stands.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Lane {
    /// The place in history before which every event has come to an end here.
    pub events_through: u64,
    /// The number of the next profile delivery.
    pub profiles_next: u64,
    /// The number before which every profile delivery has come to an end.
    pub profiles_through: u64,
    /// Since when an operator has it paused.
    pub paused: Option<Timestamp>,
    /// How many events are to be delivered again, one by one, and have not come to an end.
    pub again: u64,
    /// How many ever were.
    pub again_total: u64,
    /// How much was withheld for want of consent, by what was missing; at most [`limits::WITHHELD_REASONS_MAX`] of them, and the rest under an empty
    /// text.
    pub withheld: BTreeMap<String, u64>,
}

/// An event that a destination is to have again, by the lane and the event's place in history.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Again {
    /// The dead letter that it was, which waits until this has come to an end.
    pub letter: (u64, u32),
    /// The place of the command in history: the event leaves the machine once that is durable.
    pub position: u64,
}

/// Something that a stage could not take, waiting for a person.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Letter {
    /// The stage.
    pub stage: String,
    /// A stable code.
    pub code: String,
    /// For people.
    pub message: String,
    /// How often it was tried.
    pub attempts: u32,
    /// When it was set aside; none where nobody noted it.
    pub at: Option<Timestamp>,
    /// Where its bytes are.
    pub bytes: LetterBytes,
}

/// Where the bytes of a dead letter are: they are never copied into state where history has them.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum LetterBytes {
    /// In the dead-letter record at this place in history.
    Record(u64),
    /// The event at this place in history.
    Event(u64),
    /// Here.
    Here(String),
}

/// Counts over all of state.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
pub struct Totals {
    /// Events folded.
    pub events: u64,
    /// Customers alive.
    pub customers: u64,
    /// Claims kept.
    pub claims: u64,
    /// Identifiers known.
    pub identifiers: u64,
    /// Dead letters waiting.
    pub letters: u64,
    /// Events whose claim had to shrink, because an identifier or a component was at its bound.
    pub claims_shrunk: u64,
    /// Facts that found no room on their profile.
    pub facts_refused: u64,
    /// Values that an attribute's calculation could not use.
    pub values_unusable: u64,
    /// Claims that are held until a person decides.
    #[serde(default)]
    pub claims_held: u64,
    /// Claims that would make a customer of more than its limit of merges.
    #[serde(default)]
    pub claims_past_limit: u64,
    /// Matches by which two customers are one.
    #[serde(default)]
    pub matches_joined: u64,
    /// Matches that wait for a person to decide.
    #[serde(default)]
    pub matches_open: u64,
    /// Matches that were refused, because a claim has as many as may be or too many claims would hang together.
    #[serde(default)]
    pub matches_refused: u64,
}

/// State, as the rules read it.
pub trait View {
    /// An identifier.
    fn identifier(&self, id: IdentifierId) -> Read<Option<Arc<IdentifierRow>>>;
    /// A claim.
    fn claim(&self, id: ClaimId) -> Read<Option<Arc<Claim>>>;
    /// The facts of a claim's events.
    fn node(&self, id: ClaimId) -> Read<Option<Arc<Node>>>;
    /// A customer, where there is more to say than that one claim makes it.
    fn customer(&self, id: CustomerId) -> Read<Option<Arc<Customer>>>;
    /// The timers due at `now`, earliest first, at most `max`.
    fn due(&self, now: Timestamp, max: usize) -> Read<Vec<(Timestamp, CustomerId)>>;
    /// A tally of a claim's events.
    fn tally(&self, id: TallyId) -> Read<Option<Arc<Tally>>>;
    /// The claims whose tallies come to something else by themselves until `now`, earliest first, at most `max`.
    fn changing(&self, now: Timestamp, max: usize) -> Read<Vec<(Timestamp, ClaimId)>>;
    /// Where attributes stand.
    fn standings(&self) -> Arc<Standings>;
    /// Where a destination stands.
    fn lane(&self, name: &str) -> Read<Lane>;
    /// A profile delivery.
    fn delivery(&self, lane: &str, number: u64) -> Read<Option<Arc<str>>>;
    /// Whether a stage's small store has this key.
    fn has_key(&self, stage: &str, key: &str) -> Read<bool>;
    /// How many keys a stage's small store has.
    fn keys(&self, stage: &str) -> Read<u64>;
    /// A dead letter.
    fn letter(&self, id: (u64, u32)) -> Read<Option<Arc<Letter>>>;
    /// Whether a destination is to have the event at this place again, and for which letter.
    fn again(&self, lane: &str, position: u64) -> Read<Option<Arc<Again>>>;
    /// Whether the duplicate window holds this fingerprint.
    fn repeated(&self, fingerprint: u64) -> bool;
    /// The last tick.
    fn clock(&self) -> Timestamp;
    /// Counts.
    fn totals(&self) -> Totals;
}

/// A tally: of which claim, for which attribute, of which stretch of time.
pub type TallyId = (ClaimId, AttributeId, i64);

/// Rows by their keys; none takes a row away.
pub type Rows<K, T> = BTreeMap<K, Option<Arc<T>>>;

/// What follows from an input.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Changes {
    /// Identifiers.
    pub identifiers: Rows<IdentifierId, IdentifierRow>,
    /// Claims.
    pub claims: Rows<ClaimId, Claim>,
    /// Facts.
    pub nodes: Rows<ClaimId, Node>,
    /// Full pages of the history index: they are written once.
    pub pages: Rows<(ClaimId, u32), Vec<Entry>>,
    /// Customers.
    pub customers: Rows<CustomerId, Customer>,
    /// Timers: set (true) or taken away.
    pub timers: BTreeMap<(Timestamp, CustomerId), bool>,
    /// Tallies.
    pub tallies: Rows<TallyId, Tally>,
    /// When tallies come to something else by themselves: set (true) or taken away.
    pub changing: BTreeMap<(Timestamp, ClaimId), bool>,
    /// Where attributes stand, where that changed.
    pub standings: Option<Arc<Standings>>,
    /// Destinations.
    pub lanes: BTreeMap<String, Lane>,
    /// Profile deliveries.
    pub deliveries: BTreeMap<(String, u64), Option<Arc<str>>>,
    /// Claims that are held (true) or are no longer.
    pub held: BTreeMap<ClaimId, bool>,
    /// Matches that wait for a person (true) or do no longer, by their claims in ascending order.
    pub open_matches: BTreeMap<[ClaimId; 2], bool>,
    /// A new model of the matcher.
    pub model: Option<Arc<Trained>>,
    /// Dead letters, by place in history and ordinal.
    pub letters: Rows<(u64, u32), Letter>,
    /// Events that destinations are to have again, by lane and place in history.
    pub again: Rows<(String, u64), Again>,
    /// Small stores of stages, by stage and key.
    pub kv: BTreeMap<(String, String), Option<Vec<u8>>>,
    /// How many keys the small store of a stage has from now on.
    pub keys: BTreeMap<String, u64>,
    /// A fingerprint that enters the duplicate window.
    pub remember: Option<u64>,
    /// New rules.
    pub plan: Option<Arc<Plan>>,
    /// The new time.
    pub clock: Option<Timestamp>,
    /// The new counts, where they changed.
    pub totals: Option<Totals>,
    /// More timers are due than one tick fires: tick again.
    pub more_due: bool,
}

/// The duplicate window: the fingerprints of the last so many message ids, found in constant time.
#[derive(Clone, Debug, Default)]
pub struct Window {
    held: HashSet<u64, std::hash::BuildHasherDefault<Itself>>,
    order: VecDeque<u64>,
    remembered_total: u64,
}

/// A fingerprint is a hash already.
#[derive(Clone, Copy, Debug, Default)]
pub struct Itself(u64);

impl std::hash::Hasher for Itself {
    fn finish(&self) -> u64 {
        self.0
    }
    fn write(&mut self, _: &[u8]) {
        unreachable!("only fingerprints are hashed");
    }
    fn write_u64(&mut self, fingerprint: u64) {
        self.0 = fingerprint;
    }
}

/// A page of the window as a row: up to [`limits::WINDOW_PAGE_ENTRIES`] fingerprints in the order of history.
pub type WindowPage = Vec<u64>;

impl Window {
    /// Whether it holds this fingerprint.
    #[must_use]
    pub fn holds(&self, fingerprint: u64) -> bool {
        self.held.contains(&fingerprint)
    }

    /// Takes a fingerprint in. It forgets by whole pages, so that a page is the same row whenever it is written: between `max`
    /// and one page more are held.
    pub fn remember(&mut self, fingerprint: u64, max: usize) {
        self.held.insert(fingerprint);
        self.order.push_back(fingerprint);
        self.remembered_total += 1;
        while self.order.len() >= max.saturating_add(limits::WINDOW_PAGE_ENTRIES) {
            for oldest in self.order.drain(..limits::WINDOW_PAGE_ENTRIES) {
                self.held.remove(&oldest);
            }
        }
    }

    /// How many fingerprints were ever taken in.
    #[must_use]
    pub fn remembered_total(&self) -> u64 {
        self.remembered_total
    }

    /// The numbers of the pages that hold what is held now.
    #[must_use]
    pub fn pages(&self) -> std::ops::Range<u64> {
        let entries = limits::WINDOW_PAGE_ENTRIES as u64;
        let oldest = self.remembered_total - self.order.len() as u64;
        oldest / entries..self.remembered_total.div_ceil(entries)
    }

    /// What a page holds.
    #[must_use]
    pub fn page(&self, number: u64) -> WindowPage {
        let entries = limits::WINDOW_PAGE_ENTRIES as u64;
        let oldest = self.remembered_total - self.order.len() as u64;
        let from = (number * entries).max(oldest) - oldest;
        let to = ((number + 1) * entries).min(self.remembered_total) - oldest;
        self.order.range(from as usize..to as usize).copied().collect()
    }

    /// The window again, from the pages of [`Window::pages`] in order and the count of what was ever taken in.
    #[must_use]
    pub fn restore(pages: impl IntoIterator<Item = WindowPage>, remembered_total: u64, max: usize) -> Self {
        let mut window = Window::default();
        for fingerprint in pages.into_iter().flatten() {
            window.remember(fingerprint, max);
        }
        window.remembered_total = remembered_total;
        window
    }
}

/// State in plain maps.
#[derive(Clone, Debug, Default)]
pub struct Memory {
    /// Identifiers.
    pub identifiers: BTreeMap<IdentifierId, Arc<IdentifierRow>>,
    /// Claims.
    pub claims: BTreeMap<ClaimId, Arc<Claim>>,
    /// Facts.
    pub nodes: BTreeMap<ClaimId, Arc<Node>>,
    /// Full pages of the history index.
    pub pages: BTreeMap<(ClaimId, u32), Arc<Vec<Entry>>>,
    /// Customers.
    pub customers: BTreeMap<CustomerId, Arc<Customer>>,
    /// Timers.
    pub timers: BTreeSet<(Timestamp, CustomerId)>,
    /// Tallies.
    pub tallies: BTreeMap<TallyId, Arc<Tally>>,
    /// When tallies come to something else by themselves.
    pub changing: BTreeSet<(Timestamp, ClaimId)>,
    /// Where attributes stand.
    pub standings: Arc<Standings>,
    /// Destinations.
    pub lanes: BTreeMap<String, Lane>,
    /// Profile deliveries.
    pub deliveries: BTreeMap<(String, u64), Arc<str>>,
    /// Claims that are held.
    pub held: BTreeSet<ClaimId>,
    /// Matches that wait for a person.
    pub open_matches: BTreeSet<[ClaimId; 2]>,
    /// The model of the matcher.
    pub model: Option<Arc<Trained>>,
    /// Dead letters.
    pub letters: BTreeMap<(u64, u32), Arc<Letter>>,
    /// Events that destinations are to have again.
    pub again: BTreeMap<(String, u64), Arc<Again>>,
    /// Small stores of stages.
    pub kv: BTreeMap<(String, String), Vec<u8>>,
    /// How many keys each of them has.
    pub keys: BTreeMap<String, u64>,
    /// The duplicate window.
    pub window: Window,
    /// The rules in force.
    pub plan: Arc<Plan>,
    /// The last tick.
    pub clock: Timestamp,
    /// Counts.
    pub totals: Totals,
}

impl Memory {
    /// Carries changes out.
    pub fn apply(&mut self, changes: Changes) {
        put(&mut self.identifiers, changes.identifiers);
        put(&mut self.claims, changes.claims);
        put(&mut self.nodes, changes.nodes);
        put(&mut self.customers, changes.customers);
        put(&mut self.letters, changes.letters);
        put(&mut self.again, changes.again);
        put(&mut self.deliveries, changes.deliveries);
        put(&mut self.kv, changes.kv);
        put(&mut self.tallies, changes.tallies);
        put(&mut self.pages, changes.pages);
        self.lanes.extend(changes.lanes);
        self.keys.extend(changes.keys);
        set(&mut self.timers, changes.timers);
        set(&mut self.changing, changes.changing);
        self.standings = changes.standings.unwrap_or_else(|| self.standings.clone());
        set(&mut self.held, changes.held);
        set(&mut self.open_matches, changes.open_matches);
        self.model = changes.model.or(self.model.take());
        self.plan = changes.plan.unwrap_or_else(|| self.plan.clone());
        self.clock = changes.clock.unwrap_or(self.clock);
        self.totals = changes.totals.unwrap_or(self.totals);
        if let Some(fingerprint) = changes.remember {
            self.window.remember(fingerprint, self.plan.duplicate_window_events);
        }
    }
}

fn put<K: Ord, T>(rows: &mut BTreeMap<K, T>, changes: BTreeMap<K, Option<T>>) {
    for (key, row) in changes {
        match row {
            Some(row) => drop(rows.insert(key, row)),
            None => drop(rows.remove(&key)),
        }
    }
}

fn set<K: Ord>(keys: &mut BTreeSet<K>, changes: BTreeMap<K, bool>) {
    for (key, is_set) in changes {
        if is_set {
            keys.insert(key)
        } else {
            keys.remove(&key)
        };
    }
}

impl View for Memory {
    fn identifier(&self, id: IdentifierId) -> Read<Option<Arc<IdentifierRow>>> {
        Ok(self.identifiers.get(&id).cloned())
    }
    fn claim(&self, id: ClaimId) -> Read<Option<Arc<Claim>>> {
        Ok(self.claims.get(&id).cloned())
    }
    fn node(&self, id: ClaimId) -> Read<Option<Arc<Node>>> {
        Ok(self.nodes.get(&id).cloned())
    }
    fn customer(&self, id: CustomerId) -> Read<Option<Arc<Customer>>> {
        Ok(self.customers.get(&id).cloned())
    }
    fn due(&self, now: Timestamp, max: usize) -> Read<Vec<(Timestamp, CustomerId)>> {
        Ok(self.timers.range(..=(now, CustomerId([255; 16]))).take(max).copied().collect())
    }
    fn tally(&self, id: TallyId) -> Read<Option<Arc<Tally>>> {
        Ok(self.tallies.get(&id).cloned())
    }
    fn changing(&self, now: Timestamp, max: usize) -> Read<Vec<(Timestamp, ClaimId)>> {
        Ok(self.changing.range(..=(now, ClaimId([255; 16]))).take(max).copied().collect())
    }
    fn standings(&self) -> Arc<Standings> {
        self.standings.clone()
    }
    fn lane(&self, name: &str) -> Read<Lane> {
        Ok(self.lanes.get(name).cloned().unwrap_or_default())
    }
    fn delivery(&self, lane: &str, number: u64) -> Read<Option<Arc<str>>> {
        Ok(self.deliveries.get(&(lane.to_owned(), number)).cloned())
    }
    fn has_key(&self, stage: &str, key: &str) -> Read<bool> {
        Ok(self.kv.contains_key(&(stage.to_owned(), key.to_owned())))
    }
    fn keys(&self, stage: &str) -> Read<u64> {
        Ok(self.keys.get(stage).copied().unwrap_or(0))
    }
    fn letter(&self, id: (u64, u32)) -> Read<Option<Arc<Letter>>> {
        Ok(self.letters.get(&id).cloned())
    }
    fn again(&self, lane: &str, position: u64) -> Read<Option<Arc<Again>>> {
        Ok(self.again.get(&(lane.to_owned(), position)).cloned())
    }
    fn repeated(&self, fingerprint: u64) -> bool {
        self.window.holds(fingerprint)
    }
    fn clock(&self) -> Timestamp {
        self.clock
    }
    fn totals(&self) -> Totals {
        self.totals
    }
}

/// A view and what was changed on top of it within one step: the step reads its own writes.
pub struct Step<'v, V> {
    view: &'v V,
    /// What follows so far.
    pub changes: Changes,
}

impl<'v, V: View> Step<'v, V> {
    /// Begins a step.
    pub fn on(view: &'v V) -> Self {
        Step { view, changes: Changes::default() }
    }

    /// The state that the step began with.
    pub fn before(&self) -> &'v V {
        self.view
    }

    /// An identifier as it is now.
    ///
    /// # Errors
    /// [`ViewError`], where state cannot be read; so for all of these.
    pub fn identifier(&self, id: IdentifierId) -> Read<Option<Arc<IdentifierRow>>> {
        self.changes.identifiers.get(&id).map_or_else(|| self.view.identifier(id), |row| Ok(row.clone()))
    }

    /// A claim as it is now.
    #[allow(clippy::missing_errors_doc)]
    pub fn claim(&self, id: ClaimId) -> Read<Option<Arc<Claim>>> {
        self.changes.claims.get(&id).map_or_else(|| self.view.claim(id), |row| Ok(row.clone()))
    }

    /// A claim's facts as they are now.
    #[allow(clippy::missing_errors_doc)]
    pub fn node(&self, id: ClaimId) -> Read<Option<Arc<Node>>> {
        self.changes.nodes.get(&id).map_or_else(|| self.view.node(id), |row| Ok(row.clone()))
    }

    /// A customer's row as it is now.
    #[allow(clippy::missing_errors_doc)]
    pub fn customer(&self, id: CustomerId) -> Read<Option<Arc<Customer>>> {
        self.changes.customers.get(&id).map_or_else(|| self.view.customer(id), |row| Ok(row.clone()))
    }

    /// A lane as it is now.
    #[allow(clippy::missing_errors_doc)]
    pub fn lane(&self, name: &str) -> Read<Lane> {
        self.changes.lanes.get(name).map_or_else(|| self.view.lane(name), |lane| Ok(lane.clone()))
    }

    /// A tally as it is now.
    #[allow(clippy::missing_errors_doc)]
    pub fn tally(&self, id: TallyId) -> Read<Option<Arc<Tally>>> {
        self.changes.tallies.get(&id).map_or_else(|| self.view.tally(id), |row| Ok(row.clone()))
    }

    /// Where attributes stand now.
    #[must_use]
    pub fn standings(&self) -> Arc<Standings> {
        self.changes.standings.clone().unwrap_or_else(|| self.view.standings())
    }

    /// Changes where attributes stand.
    pub fn stand(&mut self, change: impl FnOnce(&mut Standings)) {
        let standings = self.changes.standings.get_or_insert_with(|| self.view.standings());
        change(Arc::make_mut(standings));
    }

    /// A dead letter as it is now.
    #[allow(clippy::missing_errors_doc)]
    pub fn letter(&self, id: (u64, u32)) -> Read<Option<Arc<Letter>>> {
        self.changes.letters.get(&id).map_or_else(|| self.view.letter(id), |row| Ok(row.clone()))
    }

    /// An event that a destination is to have again, as it is now.
    #[allow(clippy::missing_errors_doc)]
    pub fn again(&self, lane: &str, position: u64) -> Read<Option<Arc<Again>>> {
        let key = (lane.to_owned(), position);
        self.changes.again.get(&key).map_or_else(|| self.view.again(lane, position), |row| Ok(row.clone()))
    }

    /// Changes the counts.
    pub fn count(&mut self, change: impl FnOnce(&mut Totals)) {
        change(self.changes.totals.get_or_insert_with(|| self.view.totals()));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_window_forgets_the_oldest_and_survives_its_pages() {
        let max = 8_192;
        let mut window = Window::default();
        for fingerprint in 0..25_000 {
            window.remember(fingerprint, max);
        }
        assert!(window.holds(16_384) && window.holds(24_999) && !window.holds(16_383));
        let pages: Vec<WindowPage> = window.pages().map(|number| window.page(number)).collect();
        let restored = Window::restore(pages, window.remembered_total(), max);
        assert!(restored.holds(16_384) && restored.holds(24_999) && !restored.holds(16_383));
        assert_eq!(restored.pages(), window.pages());
        assert_eq!(restored.page(4), window.page(4));
        assert_eq!(window.page(4).len(), 4_096);
    }
}
