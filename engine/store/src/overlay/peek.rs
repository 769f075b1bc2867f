//! State for those who go through all of it: what they read does not stay in memory, and most of it is read while the writer goes on.
//!
//! [`Overlay::peek`] sees what the fold sees, and leaves no row behind. [`Overlay::committed`] sees what sled has, about a second later, and
//! nobody waits for it.

use std::sync::Arc;

use weft_domain::attribute::{Standings, Tally};
use weft_domain::claim::{Claim, ClaimId, CustomerId, IdentifierId};
use weft_domain::profile::Node;
use weft_domain::value::Timestamp;
use weft_domain::view::{Again, Customer, IdentifierRow, Lane, Letter, Read, TallyId, Totals, View};

use super::{Overlay, Table, unreadable};
use crate::key;
use crate::rows::{Filed, Row, claim_of};
use crate::state::{Space, StateStore};
use crate::{StoreError, format};

/// State for one look, none of whose rows stay in memory because of it.
pub struct Peek<'a>(&'a Overlay);

/// What sled has.
pub struct CommittedState(Arc<dyn StateStore>);

/// A claim, as it was committed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CommittedClaim {
    /// The claim.
    pub id: ClaimId,
    /// The customer whom it belonged to.
    pub customer: Option<CustomerId>,
    /// When the latest of its events occurred; none where it has no events.
    pub last_seen: Option<Timestamp>,
    /// The place in history of the commit that wrote it last: what the row says is older.
    pub written: u64,
}

impl Overlay {
    /// State for one look, of which nothing is kept.
    #[must_use]
    pub fn peek(&self) -> Peek<'_> {
        Peek(self)
    }

    /// What sled has, to be read without holding this.
    #[must_use]
    pub fn committed(&self) -> CommittedState {
        CommittedState(self.base.clone())
    }

    /// The place in history of the commit that wrote a claim last; none where it has changed since, or is not there.
    ///
    /// # Errors
    /// [`weft_domain::view::ViewError`], where state cannot be read.
    pub fn written(&self, claim: ClaimId) -> Read<Option<u64>> {
        self.filed.written(self, &claim).map_err(unreadable)
    }

    /// The same of a customer's own row, which says which claims make the customer.
    #[allow(clippy::missing_errors_doc)]
    pub fn customer_written(&self, id: CustomerId) -> Read<Option<u64>> {
        self.customers.written(self, &id).map_err(unreadable)
    }
}

impl<R: Row> Table<R> {
    fn written(&self, of: &Overlay, id: &R::Id) -> Result<Option<u64>, StoreError> {
        if self.rows.borrow().get(id).is_some_and(|held| held.changed > of.settled) {
            return Ok(None);
        }
        let row = of.base.get(R::SPACE, &R::key(id))?;
        row.map(|row| format::open(&row).map(|(written, _)| written)).transpose()
    }
}

impl CommittedState {
    /// Whether a claim is there.
    ///
    /// # Errors
    /// [`weft_domain::view::ViewError`], where state cannot be read; so for the one below.
    pub fn has(&self, claim: ClaimId) -> Read<bool> {
        self.0.get(Space::Claim, &Filed::key(&claim)).map(|row| row.is_some()).map_err(unreadable)
    }

    /// Claims after one of them, at most `max`, in ascending order.
    #[allow(clippy::missing_errors_doc)]
    pub fn claims(&self, after: Option<ClaimId>, max: usize) -> Read<Vec<CommittedClaim>> {
        let from = after.map_or_else(Vec::new, |claim| key::after(&Filed::key(&claim)));
        let rows = self.0.scan(Space::Claim, &from, None, max).map_err(unreadable)?;
        let read = |(key, value): &(Vec<u8>, Vec<u8>)| {
            let id = claim_of(key).ok_or(StoreError::Row("the key of a claim is malformed"))?;
            let (written, filed) = format::decode::<Filed>(value)?;
            let (customer, last_seen) = filed.node.map_or((None, None), |node| (node.customer, Some(node.last_seen)));
            Ok(CommittedClaim { id, customer, last_seen, written })
        };
        rows.iter().map(read).collect::<Result<_, StoreError>>().map_err(unreadable)
    }
}

impl View for Peek<'_> {
    fn identifier(&self, id: IdentifierId) -> Read<Option<Arc<IdentifierRow>>> {
        self.0.identifiers.peek(&*self.0.base, &id)
    }
    fn claim(&self, id: ClaimId) -> Read<Option<Arc<Claim>>> {
        Ok(self.0.filed.peek(&*self.0.base, &id)?.and_then(|filed| filed.claim.clone()))
    }
    fn node(&self, id: ClaimId) -> Read<Option<Arc<Node>>> {
        Ok(self.0.filed.peek(&*self.0.base, &id)?.and_then(|filed| filed.node.clone()))
    }
    fn customer(&self, id: CustomerId) -> Read<Option<Arc<Customer>>> {
        self.0.customers.peek(&*self.0.base, &id)
    }
    fn due(&self, now: Timestamp, max: usize) -> Read<Vec<(Timestamp, CustomerId)>> {
        self.0.due(now, max)
    }
    fn tally(&self, id: TallyId) -> Read<Option<Arc<Tally>>> {
        self.0.tallies.peek(&*self.0.base, &id)
    }
    fn changing(&self, now: Timestamp, max: usize) -> Read<Vec<(Timestamp, ClaimId)>> {
        self.0.changing(now, max)
    }
    fn standings(&self) -> Arc<Standings> {
        self.0.standings()
    }
    fn lane(&self, name: &str) -> Read<Lane> {
        self.0.lane(name)
    }
    fn delivery(&self, lane: &str, number: u64) -> Read<Option<Arc<str>>> {
        let row = self.0.deliveries.peek(&*self.0.base, &(lane.to_owned(), number))?;
        Ok(row.map(|row| row.text.clone()))
    }
    fn has_key(&self, stage: &str, key: &str) -> Read<bool> {
        Ok(self.0.kv.peek(&*self.0.base, &(stage.to_owned(), key.to_owned()))?.is_some())
    }
    fn keys(&self, stage: &str) -> Read<u64> {
        self.0.keys(stage)
    }
    fn letter(&self, id: (u64, u32)) -> Read<Option<Arc<Letter>>> {
        self.0.letters.peek(&*self.0.base, &id)
    }
    fn again(&self, lane: &str, position: u64) -> Read<Option<Arc<Again>>> {
        self.0.again.peek(&*self.0.base, &(lane.to_owned(), position))
    }
    fn repeated(&self, fingerprint: u64) -> bool {
        self.0.repeated(fingerprint)
    }
    fn clock(&self) -> Timestamp {
        self.0.clock()
    }
    fn totals(&self) -> Totals {
        self.0.totals()
    }
}
