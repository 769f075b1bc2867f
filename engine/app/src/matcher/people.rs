//! Customers as they are compared: their claims, what each says, and which hang together without a match.

use weft_domain::claim::{ClaimId, CustomerId, Match};
use weft_domain::view::{Read, View};
use weft_matching::{Model, Record};

use super::rules::Rules;
use crate::limits;

/// A customer.
pub(super) struct Person {
    /// Its id, which is that of its earliest claim.
    pub(super) id: CustomerId,
    /// Its claims, in ascending order.
    pub(super) parts: Vec<Part>,
    /// What all of them say, weighed.
    pub(super) record: Record,
    /// Claims that were not read, since there are too many.
    pub(super) left_out: usize,
}

/// A claim of a customer.
pub(super) struct Part {
    /// Its id.
    pub(super) id: ClaimId,
    /// Its identifiers, without those that were set aside.
    identifiers: Vec<(String, String)>,
    /// What it says, weighed.
    pub(super) record: Record,
    /// What the matcher said of it.
    pub(super) matches: Vec<Match>,
}

/// The customer whom a claim belongs to today; none where there is no such claim any more.
pub(super) fn whose(state: &impl View, claim: ClaimId) -> Read<Option<CustomerId>> {
    Ok(state.node(claim)?.and_then(|node| node.customer))
}

impl Person {
    /// Reads a customer; none where nobody has this id today.
    pub(super) fn read(state: &impl View, id: CustomerId, rules: &Rules, model: &Model) -> Read<Option<Person>> {
        let claims = match state.customer(id)? {
            Some(row) => row.claims.clone(),
            None if whose(state, id.into())? == Some(id) => vec![id.into()],
            None => return Ok(None),
        };
        let left_out = claims.len().saturating_sub(limits::MATCHING_CLAIMS_MAX);
        let mut parts = Vec::with_capacity(claims.len() - left_out);
        for claim in &claims[..claims.len() - left_out] {
            let Some(node) = state.node(*claim)? else { continue };
            let mut record = rules.record(&node);
            model.weigh(&mut record);
            let matches = state.claim(*claim)?.map(|claim| claim.matches.clone()).unwrap_or_default();
            let identifiers = node.identifiers.iter().map(|one| (one.kind.clone(), one.value.clone())).collect();
            parts.push(Part { id: *claim, identifiers, record, matches });
        }
        if parts.is_empty() {
            return Ok(None);
        }
        let record = Record::unite(parts.iter().map(|part| &part.record));
        Ok(Some(Person { id, parts, record, left_out }))
    }

    /// What claims say that are all that there is to compare: those that say something.
    pub(super) fn records(&self) -> Vec<&Record> {
        self.parts.iter().map(|part| &part.record).filter(|record| !record.is_empty()).collect()
    }

    /// The place of a claim.
    pub(super) fn place(&self, claim: ClaimId) -> Option<usize> {
        self.parts.iter().position(|part| part.id == claim)
    }

    /// Which claims hang together by the identifiers that they share: for each the lowest place of its group.
    pub(super) fn groups(&self) -> Groups {
        let mut groups = Groups::apart(self.parts.len());
        let mut seen = std::collections::BTreeMap::new();
        for (place, part) in self.parts.iter().enumerate() {
            for identifier in &part.identifiers {
                let first = *seen.entry(identifier).or_insert(place);
                groups.join(first, place);
            }
        }
        groups
    }

    /// All that the claims of one group say.
    pub(super) fn united(&self, groups: &Groups, of: usize) -> Record {
        let group = groups.find(of);
        let parts = self.parts.iter().enumerate().filter(|(place, _)| groups.find(*place) == group);
        Record::unite(parts.map(|(_, part)| &part.record))
    }
}

/// Places that hang together.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Groups(Vec<usize>);

impl Groups {
    /// Each by itself.
    fn apart(count: usize) -> Groups {
        Groups((0..count).collect())
    }

    /// The lowest place of a group.
    pub(super) fn find(&self, place: usize) -> usize {
        let mut at = place;
        while self.0[at] != at {
            at = self.0[at];
        }
        at
    }

    /// Has two hang together.
    pub(super) fn join(&mut self, one: usize, other: usize) {
        let (one, other) = (self.find(one), self.find(other));
        self.0[one.max(other)] = one.min(other);
    }

    /// The lowest place of each group.
    pub(super) fn firsts(&self) -> impl Iterator<Item = usize> {
        self.0.iter().enumerate().filter(|(place, into)| place == *into).map(|(place, _)| place)
    }
}
