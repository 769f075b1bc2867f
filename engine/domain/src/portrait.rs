//! A customer as somebody asks for one: explained, with what the events come to, as of now or of any instant before.
//!
//! Everything here is read and nothing is decided. [`crate::explain`] says why a customer is one, [`crate::measure`] what the events come to.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize};
use serde_json::value::RawValue;

use crate::claim::{ClaimId, CustomerId};
use crate::consent::Rule;
use crate::event::Identifier;
use crate::explain::{Explained, Stated, claims_of, explain};
use crate::measure::{Count, Measured, Note, measure};
use crate::plan::Plan;
use crate::profile::{Fact, Node, Profile, Told, given, latest};
use crate::value::{Json, Timestamp};
use crate::view::{Read, View};

/// A customer with everything that there is to say.
#[derive(Clone, Debug, PartialEq, Serialize, JsonSchema)]
pub struct Portrait {
    /// The profile, where its traits come from, and why it is one customer.
    #[serde(flatten)]
    pub explained: Explained,
    /// What else there is.
    #[serde(flatten)]
    pub more: More,
}

/// What a portrait has beside an explanation.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct More {
    /// Where what the events come to is from, by attribute.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub attributes: BTreeMap<String, Source>,
    /// The instant as of which it is, where it is not of now.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub as_of: Option<Timestamp>,
    /// How many events are left out, because history does not have them any more.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub missing: Option<u64>,
    /// Whether the destinations that ask for consent may be told of this customer.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub destinations: Vec<Reach>,
}

/// Whether a destination that asks for consent may be told of a customer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Reach {
    /// The destination.
    pub destination: String,
    /// What keeps it from being told, such as `gdpr/marketing refused`; none where it is told.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub withheld: Option<String>,
    /// Whether it has the profile.
    pub heard: bool,
}

impl<'de> Deserialize<'de> for Portrait {
    /// Read twice: values that are kept as text cannot be told apart on the way.
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let raw = <&RawValue>::deserialize(deserializer)?;
        let explained = serde_json::from_str(raw.get()).map_err(D::Error::custom)?;
        let more = serde_json::from_str(raw.get()).map_err(D::Error::custom)?;
        Ok(Portrait { explained, more })
    }
}

/// Where the value of an attribute is from.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Source {
    /// The value; none where there is none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub value: Option<Json>,
    /// When the event occurred that decides it; of a value that many events make, the latest of them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub occurred: Option<Timestamp>,
    /// The source that told that event.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub source: Option<String>,
    /// That event's place in history.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub position: Option<u64>,
    /// What else is to be said of it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub note: Option<Note>,
}

/// A customer, portrayed as it is at `now`; none where there is no such customer.
///
/// # Errors
/// [`crate::view::ViewError`], where state cannot be read.
pub fn portray(plan: &Plan, view: &impl View, id: CustomerId, now: Timestamp) -> Read<Option<Portrait>> {
    let Some(explained) = explain(view, id)? else { return Ok(None) };
    let found = claims_of(view, id)?.into_iter().map(|claim| Ok((claim, view.node(claim)?))).collect::<Read<Vec<_>>>()?;
    let nodes: Vec<_> = found.iter().filter_map(|(claim, node)| Some((*claim, &**node.as_ref()?))).collect();
    let measured = measure(plan, &view.standings(), &nodes, now, |tally| view.tally(tally))?;
    let (said, row) = (given(&nodes.iter().map(|(_, node)| *node).collect::<Vec<_>>()), view.customer(id)?);
    let reach = |(destination, rule): (&String, &Rule)| Reach {
        destination: destination.clone(),
        withheld: rule.judge(&said).err().map(|missing| missing.to_string()),
        heard: row.as_ref().is_some_and(|row| row.is_heard_by(destination)),
    };
    let more = More { destinations: plan.consent.iter().map(reach).collect(), ..More::default() };
    let mut portrait = Portrait { explained, more };
    portrait.add(&measured);
    Ok(Some(portrait))
}

/// A customer's profile as it is at `now`, with what the events come to and without reasons; none where there is no such customer.
///
/// # Errors
/// [`crate::view::ViewError`], where state cannot be read.
pub fn profile(plan: &Plan, view: &impl View, id: CustomerId, now: Timestamp) -> Read<Option<Profile>> {
    let found = claims_of(view, id)?.into_iter().map(|claim| Ok((claim, view.node(claim)?))).collect::<Read<Vec<_>>>()?;
    let nodes: Vec<_> = found.iter().filter_map(|(claim, node)| Some((*claim, &**node.as_ref()?))).collect();
    if nodes.is_empty() {
        return Ok(None);
    }
    let mut profile = Profile::unite(id, &nodes.iter().map(|(_, node)| *node).collect::<Vec<_>>());
    profile.add(&measure(plan, &view.standings(), &nodes, now, |tally| view.tally(tally))?);
    Ok(Some(profile))
}

/// A customer as of an instant: made anew of the events that had occurred by then. Who is who is as it is known now, and so are the
/// rules by which attributes are counted.
pub struct Past<'p> {
    plan: &'p Plan,
    at: Timestamp,
    nodes: BTreeMap<ClaimId, Node>,
    count: Count<'p>,
}

impl<'p> Past<'p> {
    /// Begins a portrait as of `at`.
    #[must_use]
    pub fn begin(plan: &'p Plan, at: Timestamp) -> Self {
        Past { plan, at, nodes: BTreeMap::new(), count: Count::begin(plan.meanings().collect(), at) }
    }

    /// Takes in an event of one of the customer's claims; one that occurred later changes nothing.
    pub fn take(&mut self, claim: ClaimId, told: &Told<'_>) {
        if told.event.occurred() <= self.at {
            self.nodes.entry(claim).or_default().learn(told);
            self.count.take(told);
        }
    }

    /// The portrait, from how the customer is explained now; none where nothing had occurred by then.
    #[must_use]
    pub fn portray(mut self, now: Explained, missing: u64) -> Option<Portrait> {
        if self.nodes.is_empty() {
            return None;
        }
        let mut claims = now.claims;
        claims.retain(|because| self.nodes.contains_key(&because.claim));
        for because in &mut claims {
            let Some(node) = self.nodes.get_mut(&because.claim) else { continue };
            because.events_total = node.events_total;
            let aside = |one: &Identifier| because.set_aside.iter().any(|aside| aside.identifier == *one);
            node.identifiers = because.identifiers.iter().filter(|one| !aside(one)).cloned().collect();
        }
        let nodes: Vec<&Node> = self.nodes.values().collect();
        let profile = Profile::unite(now.profile.customer_id, &nodes);
        let facts = latest(nodes.iter().map(|node| &node.traits)).into_iter().filter(|(_, fact)| !fact.value.is_null());
        let facts = facts.map(|(name, fact)| (name.to_owned(), fact.clone())).collect();
        let missing = Some(missing).filter(|missing| *missing > 0);
        let mut matches = now.matches;
        matches.retain(|one| one.pair.iter().all(|claim| self.nodes.contains_key(claim)));
        let explained = Explained { profile, facts, consent: Stated::of(&nodes), claims, matches };
        let mut portrait = Portrait { explained, more: More { as_of: Some(self.at), missing, ..More::default() } };
        portrait.add(&self.plan.attributes.iter().map(|attribute| self.count.measured(attribute)).collect::<Vec<_>>());
        Some(portrait)
    }
}

impl Portrait {
    /// Adds what the events come to.
    fn add(&mut self, measured: &[Measured<'_>]) {
        self.explained.profile.add(measured);
        for Measured { attribute, value, mark, note } in measured {
            let name = attribute.name.clone();
            if !attribute.is_trait {
                let source = Source {
                    value: value.clone(),
                    occurred: mark.as_ref().map(|mark| mark.occurred),
                    source: mark.as_ref().map(|mark| mark.source.to_string()),
                    position: mark.as_ref().map(|mark| mark.position),
                    note: *note,
                };
                self.more.attributes.insert(name, source);
            } else if let (Some(value), Some(mark)) = (value, mark) {
                let (source, position) = (mark.source.to_string(), mark.position);
                let fact = Fact { value: value.clone(), occurred: mark.occurred, source, position, tie: mark.tie };
                self.explained.facts.insert(name, fact);
            } else if *note != Some(Note::Building) {
                self.explained.facts.remove(&name);
            }
        }
    }
}
