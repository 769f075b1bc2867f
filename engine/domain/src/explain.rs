//! Why a customer is one: the profile with the events that it rests on.
//!
//! Everything here is read from state and nothing is decided: the claims, their witnesses and what the guards set aside are
//! kept by [`crate::resolve`], the facts and their events by [`crate::profile`].

use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;

use schemars::JsonSchema;
use serde::{Deserialize, Deserializer, Serialize};

use crate::claim::{Claim, ClaimId, CustomerId, Evidence, Guard, IdentifierId, Match, Outcome, Verdict, Witness, pair};
use crate::consent::{Proof, Purpose};
use crate::event::Identifier;
use crate::identity::Rules;
use crate::limits;
use crate::profile::{Fact, Node, Profile, Said, latest, said};
use crate::value::{Excerpt, Timestamp};
use crate::view::{Read, View};

/// A customer, explained.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Explained {
    /// The profile.
    pub profile: Profile,
    /// For each trait, the event that said so.
    pub facts: BTreeMap<String, Fact>,
    /// For each purpose of which something was said, what holds and who said so.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub consent: Vec<Stated>,
    /// What makes this one customer, the earliest first.
    pub claims: Vec<Because>,
    /// What comparing it with others came to, whether it is one customer because of that or not.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub matches: Vec<Matched>,
}

/// What somebody said of a purpose.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Stated {
    /// The regulation that it falls under.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub regulation: Option<String>,
    /// The purpose.
    pub purpose: String,
    /// Whether the person agreed.
    pub granted: bool,
    /// When the person said so.
    pub occurred: Timestamp,
    /// The source that told it.
    pub source: String,
    /// The event's place in history.
    pub position: u64,
    /// The document, the place and the device, where they were told.
    #[serde(default, skip_serializing_if = "Proof::is_empty")]
    pub proof: Proof,
    /// When the person last said the opposite, and which source told that; none where never.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub before: Option<Before>,
}

/// That somebody said the opposite before.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Before {
    /// When.
    pub occurred: Timestamp,
    /// The source that told it.
    pub source: String,
    /// The event's place in history.
    pub position: u64,
    /// The document, the place and the device, where they were told.
    #[serde(default, skip_serializing_if = "Proof::is_empty")]
    pub proof: Proof,
}

impl Stated {
    /// What was said of all purposes, by what the events of a customer's claims say.
    #[must_use]
    pub fn of(nodes: &[&Node]) -> Vec<Stated> {
        let proof = |fact: &Fact| serde_json::from_str::<Option<Proof>>(fact.value.text()).ok().flatten().unwrap_or_default();
        let stated = |(Purpose { regulation, name }, said): (Purpose, Said)| {
            let (granted, fact) = said.holds()?;
            let before = if granted { &said.refused } else { &said.granted };
            let before = before.as_ref().map(|fact| Before {
                occurred: fact.occurred,
                source: fact.source.clone(),
                position: fact.position,
                proof: proof(fact),
            });
            let (occurred, source, position) = (fact.occurred, fact.source.clone(), fact.position);
            Some(Stated { regulation, purpose: name, granted, occurred, source, position, proof: proof(fact), before })
        };
        said(nodes).into_iter().filter_map(stated).collect()
    }

    /// The purpose, with its regulation.
    #[must_use]
    pub fn purpose(&self) -> Purpose {
        Purpose::of(self.regulation.as_deref(), &self.purpose)
    }
}

/// What comparing two came to.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Matched {
    /// The two claims, by which it can be decided.
    #[schemars(with = "[String; 2]")]
    pub pair: [ClaimId; 2],
    /// What the matcher concludes.
    pub outcome: Outcome,
    /// Whether the two are one customer because of it.
    pub joined: bool,
    /// Why; none where a person said so and the matcher nothing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub evidence: Option<Evidence>,
    /// What a person decided.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub verdict: Option<Verdict>,
    /// The guard that keeps the two apart all the same.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<String>")]
    pub guard: Option<Guard>,
}

impl Matched {
    /// What a claim knows of it and another.
    #[must_use]
    pub fn of(id: ClaimId, known: &Match) -> Self {
        Matched {
            pair: pair(id, known.other),
            outcome: known.outcome,
            joined: known.is_joined(),
            evidence: known.evidence.clone(),
            verdict: known.verdict.clone(),
            guard: known.guard,
        }
    }
}

/// One reason.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Because {
    /// The claim, by which it can be retracted.
    #[schemars(with = "String")]
    pub claim: ClaimId,
    /// The identifiers that it joins.
    pub identifiers: Vec<Identifier>,
    /// Those of them that an earlier claim had brought already: through these it belongs here.
    pub shared: Vec<Identifier>,
    /// Those that a guard kept away, and which.
    pub set_aside: Vec<SetAside>,
    /// When the earliest event that says so occurred.
    pub occurred: Timestamp,
    /// That event's message id.
    pub message_id: String,
    /// The source that told it.
    pub source: String,
    /// What each source says of it, where it is more than one or one was taken back.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub words: Vec<Word>,
    /// Why somebody retracted it, where somebody did.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub retracted: Option<String>,
    /// What somebody decided of it, where it was held.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub verdict: Option<Verdict>,
    /// How many events say so.
    pub events_total: u64,
}

/// What a source says of a claim.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Word {
    /// The source.
    pub source: String,
    /// When its earliest event that says so occurred.
    pub occurred: Timestamp,
    /// That event's message id.
    pub message_id: String,
    /// Why somebody took its word back, where somebody did.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub struck: Option<String>,
}

/// An identifier that a guard kept away.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct SetAside {
    /// The identifier.
    #[serde(flatten)]
    pub identifier: Identifier,
    /// The guard.
    #[schemars(with = "String")]
    pub guard: Guard,
}

/// Somebody who is asked about. As text `email:ann@example.com`, or a customer's id.
#[derive(Clone, Debug, PartialEq, Eq, JsonSchema)]
#[schemars(with = "String")]
pub enum Who {
    /// Who has this identifier: its type and value.
    Identifier(String, String),
    /// The customer of this id, or who it was merged into.
    Customer(CustomerId),
}

impl Who {
    /// Who that is today.
    ///
    /// # Errors
    /// [`crate::view::ViewError`], where state cannot be read.
    pub fn today(&self, view: &impl View) -> Read<Option<CustomerId>> {
        match self {
            Who::Identifier(kind, value) => whose(view, kind, value),
            Who::Customer(id) => today(view, *id),
        }
    }
}

impl fmt::Display for Who {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Who::Identifier(kind, value) => write!(f, "{kind}:{value}"),
            Who::Customer(id) => id.fmt(f),
        }
    }
}

impl<'de> Deserialize<'de> for Who {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
    }
}

impl FromStr for Who {
    type Err = String;

    /// Reads `TYPE:VALUE` or a customer's id.
    fn from_str(text: &str) -> Result<Self, String> {
        match text.split_once(':') {
            Some((kind, value)) => Ok(Who::Identifier(kind.to_owned(), value.to_owned())),
            None => text.parse().map(Who::Customer).map_err(|_| {
                format!("`{}` is neither TYPE:VALUE, such as email:ann@example.com, nor a customer's id", Excerpt(text))
            }),
        }
    }
}

/// The customer who has an identifier.
///
/// # Errors
/// [`crate::view::ViewError`], where state cannot be read; so for the others.
pub fn whose(view: &impl View, kind: &str, value: &str) -> Read<Option<CustomerId>> {
    Ok(view.identifier(IdentifierId::of(kind, value))?.and_then(|row| row.customer))
}

/// A customer who was looked up by identifiers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Found {
    /// The customer.
    pub customer: CustomerId,
    /// Whether the customer has an identifier by which people sign in.
    pub signs_in: bool,
    /// Which of those asked for are the customer's, by their places.
    pub matched: Vec<usize>,
    /// The customer's identifiers, the strongest first, at most [`limits::IDENTIFIERS_TOLD_MAX`].
    pub identifiers: Vec<Identifier>,
}

/// The customer who has the strongest of these identifiers that anybody has; none where nobody has any.
#[allow(clippy::missing_errors_doc)]
pub fn look_up(rules: &Rules, view: &impl View, asked: &[Identifier]) -> Read<Option<Found>> {
    let mut owners = Vec::new();
    for (place, one) in asked.iter().enumerate() {
        let Some(strength) = rules.priority(&one.kind) else { continue };
        owners.extend(whose(view, &one.kind, &one.value)?.map(|customer| (strength, place, customer)));
    }
    let Some((_, _, customer)) = owners.iter().min().copied() else { return Ok(None) };
    let mut all: BTreeMap<(usize, String, String), Identifier> = BTreeMap::new();
    for claim in claims_of(view, customer)? {
        let node = view.node(claim)?;
        let identifiers = node.iter().flat_map(|node| &node.identifiers);
        let key = |one: &Identifier| (rules.priority(&one.kind).unwrap_or(usize::MAX), one.kind.clone(), one.value.clone());
        all.extend(identifiers.map(|one| (key(one), one.clone())));
    }
    let signs_in = all.values().any(|one| rules.rule(&one.kind).is_some_and(|rule| rule.login));
    let mut matched: Vec<usize> = owners.iter().filter(|(.., of)| *of == customer).map(|(_, place, _)| *place).collect();
    matched.sort_unstable();
    let identifiers = all.into_values().take(limits::IDENTIFIERS_TOLD_MAX).collect();
    Ok(Some(Found { customer, signs_in, matched, identifiers }))
}

/// The customer whom an id means today: itself, or the one that it was merged into.
#[allow(clippy::missing_errors_doc)]
pub fn today(view: &impl View, id: CustomerId) -> Read<Option<CustomerId>> {
    Ok(view.node(id.into())?.and_then(|node| node.customer))
}

/// The claims of a customer.
#[allow(clippy::missing_errors_doc)]
pub fn claims_of(view: &impl View, id: CustomerId) -> Read<Vec<ClaimId>> {
    if let Some(row) = view.customer(id)? {
        return Ok(row.claims.clone());
    }
    let alone = view.node(id.into())?.is_some_and(|node| node.customer == Some(id));
    Ok(if alone { vec![id.into()] } else { Vec::new() })
}

/// A customer, explained; none where there is no such customer.
#[allow(clippy::missing_errors_doc)]
pub fn explain(view: &impl View, id: CustomerId) -> Read<Option<Explained>> {
    let claims = claims_of(view, id)?;
    if claims.is_empty() {
        return Ok(None);
    }
    let mut nodes = Vec::with_capacity(claims.len());
    let mut reasons = Vec::with_capacity(claims.len());
    for claim_id in claims {
        let Some(node) = view.node(claim_id)? else { continue };
        if let Some(claim) = view.claim(claim_id)? {
            reasons.push((claim_id, claim, node.events_total));
        }
        nodes.push(node);
    }
    reasons.sort_by(|(one, a, _), (other, b, _)| (a.witness(), one).cmp(&(b.witness(), other)));
    let nodes: Vec<_> = nodes.iter().map(|node| &**node).collect();
    let facts = latest(nodes.iter().map(|node| &node.traits));
    let facts = facts.into_iter().filter(|(_, fact)| !fact.value.is_null()).map(|(name, fact)| (name.to_owned(), fact.clone()));
    let mut brought: Vec<(String, String)> = Vec::new();
    let mut claims = Vec::with_capacity(reasons.len());
    let mut matches: BTreeMap<[ClaimId; 2], Matched> = BTreeMap::new();
    for (id, claim, events_total) in reasons {
        let aside = |one: &&Identifier| claim.set_aside.iter().any(|(set_aside, _)| set_aside == *one);
        let held: Vec<&Identifier> = claim.identifiers.iter().filter(|one| !aside(one)).collect();
        let known = |one: &&&Identifier| brought.contains(&(one.kind.clone(), one.value.clone()));
        let shared = held.iter().filter(known).map(|one| (*one).clone()).collect();
        brought.extend(held.iter().map(|one| (one.kind.clone(), one.value.clone())));
        matches.extend(claim.matches.iter().map(|known| (pair(id, known.other), Matched::of(id, known))));
        claims.push(Because { shared, ..Because::of(id, &claim, events_total) });
    }
    Ok(Some(Explained {
        profile: Profile::unite(id, &nodes),
        facts: facts.collect(),
        consent: Stated::of(&nodes),
        claims,
        matches: matches.into_values().collect(),
    }))
}

impl Because {
    /// A claim as a reason, by itself.
    #[must_use]
    pub fn of(id: ClaimId, claim: &Claim, events_total: u64) -> Because {
        let set_aside =
            claim.set_aside.iter().map(|(identifier, guard)| SetAside { identifier: identifier.clone(), guard: *guard });
        let word = |witness: &Witness| Word {
            source: witness.source.clone(),
            occurred: witness.occurred,
            message_id: witness.message_id.clone(),
            struck: claim.struck.get(&witness.source).cloned(),
        };
        let all_is_said = claim.witnesses.len() == 1 && claim.struck.is_empty();
        Because {
            claim: id,
            identifiers: claim.identifiers.clone(),
            shared: Vec::new(),
            set_aside: set_aside.collect(),
            occurred: claim.witness().occurred,
            message_id: claim.witness().message_id.clone(),
            source: claim.witness().source.clone(),
            words: if all_is_said { Vec::new() } else { claim.witnesses.iter().map(word).collect() },
            retracted: claim.retracted.clone(),
            verdict: claim.verdict.clone(),
            events_total,
        }
    }
}
