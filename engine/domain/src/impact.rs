//! What would come of a command: who would become whom, before it is given.
//!
//! A command is folded over a view, and what follows is looked at instead of carried out ([`Imagined`]). So what is shown is what would
//! happen, by the same rules.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::attribute::{Standings, Tally};
use crate::claim::{Claim, ClaimId, CustomerId, IdentifierId, Match};
use crate::event::Identifier;
use crate::explain::Matched;
use crate::fold::fold;
use crate::identity::Rules;
use crate::input::{Command, Input};
use crate::limits;
use crate::plan::Plan;
use crate::profile::{Node, Profile};
use crate::value::{Json, Timestamp};
use crate::view::{Again, Changes, Customer, IdentifierRow, Lane, Letter, Read, Rows, TallyId, Totals, View};

/// A view with what would follow from commands on top of it.
pub struct Imagined<'v, V> {
    view: &'v V,
    identifiers: Rows<IdentifierId, IdentifierRow>,
    claims: Rows<ClaimId, Claim>,
    nodes: Rows<ClaimId, Node>,
    customers: Rows<CustomerId, Customer>,
}

/// What would come of a command.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Impact {
    /// Customers who would not be what they are, at most [`limits::IMPACT_SHOWN_MAX`].
    pub customers: Vec<Became>,
    /// How many there are of them.
    pub customers_total: usize,
    /// How many events would belong to another customer.
    pub events_moved: u64,
}

/// What would become of a customer.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Became {
    /// The customer.
    #[schemars(with = "String")]
    pub customer: CustomerId,
    /// What it is; none where there is no such customer yet.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub before: Option<Standing>,
    /// What it would be; none where there would be no such customer any more.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub after: Option<Standing>,
    /// The customer to whom its own claim would belong, where it would be another.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<String>")]
    pub becomes: Option<CustomerId>,
    /// Traits that would change, by name; at most [`limits::IMPACT_SHOWN_MAX`] of them.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub traits: BTreeMap<String, TraitChange>,
}

/// What a customer is made of.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Standing {
    /// Its identifiers, at most [`limits::IMPACT_SHOWN_MAX`] of them.
    pub identifiers: Vec<Identifier>,
    /// How many it has.
    pub identifiers_total: usize,
    /// How many events.
    pub events_total: u64,
    /// What it has of each type that is limited.
    pub limits: Vec<Limited>,
}

/// What a customer has of a type that is limited.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Limited {
    /// The type.
    #[serde(rename = "type")]
    pub kind: String,
    /// How many of it. Aliases and what a window has let go are counted here, and not by the limit.
    pub has: usize,
    /// How many it may have.
    pub limit: u32,
}

/// A trait that would change.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct TraitChange {
    /// What it is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub before: Option<Json>,
    /// What it would be.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub after: Option<Json>,
}

impl<'v, V: View> Imagined<'v, V> {
    /// Nothing has happened yet.
    pub fn on(view: &'v V) -> Self {
        let (identifiers, claims) = (BTreeMap::new(), BTreeMap::new());
        Imagined { view, identifiers, claims, nodes: BTreeMap::new(), customers: BTreeMap::new() }
    }

    /// Has a command be given.
    ///
    /// # Errors
    /// [`crate::view::ViewError`], where state cannot be read; so for the others.
    pub fn order(&mut self, plan: &Plan, command: Command) -> Read<()> {
        // Where in history it would stand decides only the names of dead letters, and none comes of it.
        let changes = fold(plan, self, u64::MAX, &Input::Command(command))?;
        let Changes { identifiers, claims, nodes, customers, .. } = changes;
        self.identifiers.extend(identifiers);
        self.claims.extend(claims);
        self.nodes.extend(nodes);
        self.customers.extend(customers);
        Ok(())
    }

    /// The matches because of which customers are one, and would be no longer: as they would be, or as they are where they would be gone.
    #[allow(clippy::missing_errors_doc)]
    pub fn undone(&self) -> Read<Vec<Matched>> {
        let mut undone = Vec::new();
        for (id, after) in &self.claims {
            let Some(before) = self.view.claim(*id)? else { continue };
            for one in before.matches.iter().filter(|one| one.other > *id && one.is_joined()) {
                let then = after.as_ref().and_then(|after| after.matched(one.other));
                if !then.is_some_and(Match::is_joined) {
                    undone.push(Matched::of(*id, then.unwrap_or(one)));
                }
            }
        }
        Ok(undone)
    }

    /// What has come of it.
    #[allow(clippy::missing_errors_doc)]
    pub fn impact(&self, rules: &Rules) -> Read<Impact> {
        let (mut touched, mut events_moved) = (BTreeSet::new(), 0);
        for (claim, after) in &self.nodes {
            let (before, Some(after)) = (self.view.node(*claim)?, after) else { continue };
            let was = before.as_ref().and_then(|node| node.customer);
            if was == after.customer && before.is_some_and(|before| before.identifiers == after.identifiers) {
                continue;
            }
            if was != after.customer {
                events_moved += after.events_total;
            }
            touched.extend(was);
            touched.extend(after.customer);
        }
        let customers_total = touched.len();
        let became = |customer: CustomerId| self.became(rules, customer);
        let customers = touched.into_iter().take(limits::IMPACT_SHOWN_MAX).map(became).collect::<Read<_>>()?;
        Ok(Impact { customers, customers_total, events_moved })
    }

    fn became(&self, rules: &Rules, customer: CustomerId) -> Read<Became> {
        let (before, after) = (profile(self.view, customer)?, profile(self, customer)?);
        let becomes = self.node(customer.into())?.and_then(|node| node.customer).filter(|becomes| *becomes != customer);
        let traits = match (&before, &after) {
            (Some(before), Some(after)) => differing(before, after),
            _ => BTreeMap::new(),
        };
        let standing = |profile: Profile| Standing::of(rules, profile);
        Ok(Became { customer, before: before.map(standing), after: after.map(standing), becomes, traits })
    }
}

fn differing(before: &Profile, after: &Profile) -> BTreeMap<String, TraitChange> {
    let names: BTreeSet<&String> = before.traits.keys().chain(after.traits.keys()).collect();
    let change = |name: &String| TraitChange { before: before.traits.get(name).cloned(), after: after.traits.get(name).cloned() };
    let changes = names.into_iter().map(|name| (name.clone(), change(name)));
    changes.filter(|(_, change)| change.before != change.after).take(limits::IMPACT_SHOWN_MAX).collect()
}

/// The profile of a customer; none where there is no such customer.
fn profile(view: &impl View, customer: CustomerId) -> Read<Option<Profile>> {
    let claims = match view.customer(customer)? {
        Some(row) => row.claims.clone(),
        None => vec![customer.into()],
    };
    let nodes = claims.iter().map(|claim| view.node(*claim)).collect::<Read<Vec<_>>>()?;
    let nodes: Vec<&Node> = nodes.iter().flatten().map(|node| &**node).filter(|node| node.customer == Some(customer)).collect();
    Ok((!nodes.is_empty()).then(|| Profile::unite(customer, &nodes)))
}

impl Standing {
    fn of(rules: &Rules, profile: Profile) -> Standing {
        let Profile { mut identifiers, events_total, .. } = profile;
        let limited = rules.identifiers.iter().filter_map(|rule| {
            let has = identifiers.iter().filter(|one| one.kind == rule.kind).count();
            Some(Limited { kind: rule.kind.clone(), has, limit: rule.limit? })
        });
        let limits = limited.filter(|one| one.has > 0).collect();
        let identifiers_total = identifiers.len();
        identifiers.truncate(limits::IMPACT_SHOWN_MAX);
        Standing { identifiers, identifiers_total, events_total, limits }
    }
}

impl<V: View> View for Imagined<'_, V> {
    fn identifier(&self, id: IdentifierId) -> Read<Option<Arc<IdentifierRow>>> {
        self.identifiers.get(&id).map_or_else(|| self.view.identifier(id), |row| Ok(row.clone()))
    }
    fn claim(&self, id: ClaimId) -> Read<Option<Arc<Claim>>> {
        self.claims.get(&id).map_or_else(|| self.view.claim(id), |row| Ok(row.clone()))
    }
    fn node(&self, id: ClaimId) -> Read<Option<Arc<Node>>> {
        self.nodes.get(&id).map_or_else(|| self.view.node(id), |row| Ok(row.clone()))
    }
    fn customer(&self, id: CustomerId) -> Read<Option<Arc<Customer>>> {
        self.customers.get(&id).map_or_else(|| self.view.customer(id), |row| Ok(row.clone()))
    }
    fn due(&self, now: Timestamp, max: usize) -> Read<Vec<(Timestamp, CustomerId)>> {
        self.view.due(now, max)
    }
    fn tally(&self, id: TallyId) -> Read<Option<Arc<Tally>>> {
        self.view.tally(id)
    }
    fn changing(&self, now: Timestamp, max: usize) -> Read<Vec<(Timestamp, ClaimId)>> {
        self.view.changing(now, max)
    }
    fn standings(&self) -> Arc<Standings> {
        self.view.standings()
    }
    fn lane(&self, name: &str) -> Read<Lane> {
        self.view.lane(name)
    }
    fn delivery(&self, lane: &str, number: u64) -> Read<Option<Arc<str>>> {
        self.view.delivery(lane, number)
    }
    fn has_key(&self, stage: &str, key: &str) -> Read<bool> {
        self.view.has_key(stage, key)
    }
    fn keys(&self, stage: &str) -> Read<u64> {
        self.view.keys(stage)
    }
    fn letter(&self, id: (u64, u32)) -> Read<Option<Arc<Letter>>> {
        self.view.letter(id)
    }
    fn again(&self, lane: &str, position: u64) -> Read<Option<Arc<Again>>> {
        self.view.again(lane, position)
    }
    fn repeated(&self, fingerprint: u64) -> bool {
        self.view.repeated(fingerprint)
    }
    fn clock(&self) -> Timestamp {
        self.view.clock()
    }
    fn totals(&self) -> Totals {
        self.view.totals()
    }
}
