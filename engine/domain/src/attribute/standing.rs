//! Where attributes stand: since when each counts events by itself, and which of what came before is still to be gone through.
//!
//! An attribute that is new counts the events that follow its plan in history. Those before are gone through by a worker outside the fold,
//! claim by claim, a [`Pass`] for each plan that brought something new; what it finds enters history in pieces ([`crate::input::Sweep`]).

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::AttributeId;
use crate::claim::ClaimId;

/// What is known of all attributes.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Standings {
    /// Those in force.
    pub attributes: BTreeMap<AttributeId, Standing>,
    /// What is still to be gone through, in this order.
    pub passes: Vec<Pass>,
}

/// What is known of an attribute.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Standing {
    /// The place in history of the plan that brought it: events from there on are counted as they come.
    pub since: u64,
    /// Values that its calculation could not use.
    pub unusable_total: u64,
    /// Tallies that became coarser than a millisecond.
    pub coarse_total: u64,
    /// Tallies that have more different values than can be told apart.
    pub too_many_total: u64,
    /// Events from before it that history did not have any more when they were gone through.
    pub missing_total: u64,
}

/// Going through what history has of before a plan.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Pass {
    /// The plan's place in history.
    pub since: u64,
    /// What is new by it, in ascending order. Nothing, where all there is to do is to take away what is kept of others.
    pub attributes: Vec<AttributeId>,
    /// How far it has come; none where it has not begun.
    pub after: Option<Place>,
}

/// A place on the way through claims: a claim, and an attribute of it.
pub type Place = (ClaimId, AttributeId);

/// The tallies of one attribute at one claim.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Stretches {
    /// The place in history of the plan that brought the attribute. Of one that was gone in between, what is kept means nothing.
    pub since: u64,
    /// The stretches of time of which there is a tally, in ascending order.
    pub of: Vec<i64>,
}

impl Standings {
    /// The attributes of a plan at `since` are in force from now on. What of them is new is gone through where there is something to go
    /// through, and so is what is kept of those that are gone.
    #[must_use]
    pub fn adopt(&self, ids: impl IntoIterator<Item = AttributeId>, since: u64, has_claims: bool) -> Standings {
        let known = |id: AttributeId| self.attributes.get(&id).copied().unwrap_or(Standing { since, ..Standing::default() });
        let attributes: BTreeMap<AttributeId, Standing> = ids.into_iter().map(|id| (id, known(id))).collect();
        let new: Vec<AttributeId> = attributes.keys().filter(|id| !self.attributes.contains_key(id)).copied().collect();
        let is_other = !new.is_empty() || self.attributes.keys().any(|id| !attributes.contains_key(id));
        let mut passes = self.passes.clone();
        for pass in &mut passes {
            pass.attributes.retain(|id| attributes.contains_key(id));
        }
        if is_other && has_claims {
            // The new pass takes away what those would.
            passes.retain(|pass| !pass.attributes.is_empty());
            passes.push(Pass { since, attributes: new, after: None });
        }
        Standings { attributes, passes }
    }

    /// Whether what came before an attribute has been gone through at a claim.
    #[must_use]
    pub fn is_complete(&self, claim: ClaimId, id: AttributeId) -> bool {
        let pass = self.passes.iter().find(|pass| pass.attributes.binary_search(&id).is_ok());
        pass.is_none_or(|pass| pass.after.is_some_and(|after| (claim, id) <= after))
    }

    /// Whether what came before an attribute has been gone through everywhere.
    #[must_use]
    pub fn is_built(&self, id: AttributeId) -> bool {
        !self.passes.iter().any(|pass| pass.attributes.binary_search(&id).is_ok())
    }
}
