//! Matches by comparison that wait for a person, and what people decide of any two customers.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use weft_domain::between::{self, between};
use weft_domain::claim::{ClaimId, CustomerId, Decision, pair};
use weft_domain::event::Identifier;
use weft_domain::explain::{Matched, Who, claims_of, explain};
use weft_domain::impact::{Imagined, Impact};
use weft_domain::input::{Command, Input};
use weft_domain::limits::{CLAIM_MATCHES_MAX, IMPACT_SHOWN_MAX};
use weft_domain::plan::Plan;
use weft_domain::value::Json;
use weft_domain::view::{Read, View};

use crate::identity::{Decided, Glance, Refused, checked};
use crate::limits;
use crate::writer::Ledger;

/// Which of the matches that wait are asked for.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Waiting {
    /// Those after this one: its two claims, with a comma between.
    #[schemars(with = "Option<String>")]
    pub after: Option<After>,
    /// So many at most; 20 unless it is said, and never more than 100.
    pub limit: Option<usize>,
}

/// A place in the list: two claims, `ID,ID`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct After(pub [ClaimId; 2]);

/// Matches that wait, in the order of their claims.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct List {
    /// The matches.
    pub matches: Vec<Open>,
    /// Where there may be more: what `after` must be to go on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<String>")]
    pub next: Option<After>,
}

/// A match that waits.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Open {
    /// What the comparison says.
    #[serde(flatten)]
    pub matched: Matched,
    /// The two customers, in the order of the pair.
    pub people: [Person; 2],
    /// What would come of saying that they are one person.
    pub impact: Impact,
}

/// A customer, as far as it tells people who that is.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Person {
    /// The customer.
    #[schemars(with = "String")]
    pub customer: CustomerId,
    /// Its identifiers, at most [`IMPACT_SHOWN_MAX`] of them.
    pub identifiers: Vec<Identifier>,
    /// Its traits, at most as many.
    pub traits: BTreeMap<String, Json>,
}

/// What a person says of two customers.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Said {
    /// One of the two: `TYPE:VALUE`, a customer's id, or the claim that a match names.
    #[schemars(with = "String")]
    pub a: String,
    /// The other, in the same way.
    #[schemars(with = "String")]
    pub b: String,
    /// Whether they are one person (`accept`) or not (`refuse`); without it, as if nobody had decided.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub decision: Option<Decision>,
    /// Why, for the next person who asks. A decision needs one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
}

/// The matches that wait and are asked for. `look` is a short look at the list: so many pairs from one on.
///
/// # Errors
/// [`weft_domain::view::ViewError`], where state cannot be read.
pub fn open(
    view: &impl View,
    look: impl Fn([ClaimId; 2], usize) -> Read<Vec<[ClaimId; 2]>>,
    plan: &Plan,
    asked: &Waiting,
) -> Read<List> {
    let limit = asked.limit.unwrap_or(limits::HELD_SHOWN).clamp(1, limits::HELD_SHOWN_MAX);
    let from = asked.after.map_or([ClaimId([0; 16]); 2], |After(pair)| pair);
    // One to leave out, where the list goes on after it, and one to see that there are more.
    let mut pairs = look(from, limit + 2)?;
    pairs.retain(|pair| asked.after != Some(After(*pair)));
    let more = pairs.len() > limit;
    pairs.truncate(limit);
    let next = pairs.last().copied().filter(|_| more).map(After);
    let mut matches = Vec::with_capacity(pairs.len());
    for pair in pairs {
        let Some(claim) = view.claim(pair[0])? else { continue };
        let Some(known) = claim.matched(pair[1]) else { continue };
        let mut imagined = Imagined::on(view);
        imagined.order(plan, accept(pair))?;
        let (Some(one), Some(other)) = (person(view, pair[0])?, person(view, pair[1])?) else { continue };
        let impact = imagined.impact(&plan.identity)?;
        matches.push(Open { matched: Matched::of(pair[0], known), people: [one, other], impact });
    }
    Ok(List { matches, next })
}

/// The matches that wait in a running engine. It may take a while.
///
/// # Errors
/// [`weft_domain::view::ViewError`], where state cannot be read.
pub fn open_of(ledger: &Ledger, asked: &Waiting) -> Read<List> {
    let plan = ledger.state().plan().clone();
    open(&Glance(ledger), |from, max| ledger.state().open_matches(from, max), &plan, asked)
}

/// Carries out what a person says of two customers.
///
/// # Errors
/// [`Refused`]; then nothing has changed.
pub async fn decide(ledger: &Ledger, said: &Said) -> Result<Decided, Refused> {
    let reason = match said.decision {
        Some(_) => checked(said.reason.as_deref())?,
        None => String::new(),
    };
    let command = {
        let (view, plan) = (Glance(ledger), ledger.state().plan().clone());
        let who = |text: &str| text.parse::<Who>().map_err(Refused::Unclear);
        let (a, b) = (who(&said.a)?, who(&said.b)?);
        let Some(pair) = meant(&view, [&a, &b], said.decision)? else { return Ok(Decided { position: None }) };
        if said.decision == Some(Decision::Accept) {
            must_join(&view, &plan, pair, [&a, &b])?;
        }
        Command::DecideMatch { pair, decision: said.decision, reason }
    };
    let position = ledger.log(Input::Command(command)).await.ok_or(Refused::Stopping)?;
    Ok(Decided { position: Some(position) })
}

/// The pair that is meant; none where it is decided so already.
fn meant(view: &impl View, [a, b]: [&Who; 2], decision: Option<Decision>) -> Result<Option<[ClaimId; 2]>, Refused> {
    let today = |who: &Who| who.today(view)?.ok_or_else(|| Refused::Unknown(format!("nobody is known by `{who}`")));
    let customers = [today(a)?, today(b)?];
    let known = match (a, b) {
        (Who::Customer(a), Who::Customer(b)) => known(view, (*a).into(), (*b).into())?,
        _ => None,
    };
    let (pair, verdict) = match known {
        Some(found) => found,
        None if customers[0] == customers[1] => on_the_way(view, a, b)?,
        None => across(view, customers)?,
    };
    match (verdict, decision) {
        (Some(before), Some(now)) if before == now => Ok(None),
        (None, None) => Err(Refused::Contradicts("nobody has decided that: there is nothing to take back".into())),
        _ => Ok(Some(pair)),
    }
}

/// A pair, and what was decided of it.
type Found = ([ClaimId; 2], Option<Decision>);

/// What is known of two claims by comparison.
fn known(view: &impl View, a: ClaimId, b: ClaimId) -> Read<Option<Found>> {
    let claim = view.claim(a)?;
    let known = claim.as_ref().and_then(|claim| claim.matched(b));
    Ok(known.map(|known| (pair(a, b), known.verdict.as_ref().map(|verdict| verdict.decision))))
}

/// The match because of which two are one customer.
fn on_the_way(view: &impl View, a: &Who, b: &Who) -> Result<Found, Refused> {
    let between = between(view, a, b)?;
    let reasons = between.iter().flat_map(|between| &between.reasons);
    let matches: Vec<&Matched> = reasons
        .filter_map(|reason| match reason {
            between::Reason::Match(matched) => Some(&**matched),
            _ => None,
        })
        .collect();
    match matches[..] {
        [one] => Ok((one.pair, one.verdict.as_ref().map(|verdict| verdict.decision))),
        [] => Err(Refused::Contradicts(format!(
            "`{a}` and `{b}` are one customer by what events say: `weft explain {a} {b}` shows how, `weft identity split` takes it apart"
        ))),
        _ => Err(Refused::Unclear(format!(
            "`{a}` and `{b}` are one customer by {} matches one after the other: name the two claims of one, as `weft explain {a} {b}` shows them",
            matches.len()
        ))),
    }
}

/// The match of two customers; where they have none, it is they themselves.
fn across(view: &impl View, [one, other]: [CustomerId; 2]) -> Result<Found, Refused> {
    let others = claims_of(view, other)?;
    let mut found = Vec::new();
    for id in claims_of(view, one)? {
        let Some(claim) = view.claim(id)? else { continue };
        for known in claim.matches.iter().filter(|known| others.contains(&known.other)) {
            found.push((pair(id, known.other), known.verdict.as_ref().map(|verdict| verdict.decision)));
        }
    }
    match found[..] {
        [] => Ok((pair(one.into(), other.into()), None)),
        [found] => Ok(found),
        _ => Err(Refused::Unclear(format!(
            "customers {one} and {other} are matched in {} ways: name the two claims of one, as `weft profile` shows them",
            found.len()
        ))),
    }
}

/// Refuses to say that two are one person where they would not be one customer all the same, or others whom a person joined would be no longer.
fn must_join(view: &impl View, plan: &Plan, pair: [ClaimId; 2], [a, b]: [&Who; 2]) -> Result<(), Refused> {
    let mut imagined = Imagined::on(view);
    imagined.order(plan, accept(pair))?;
    let claim = imagined.claim(pair[0])?;
    let Some(known) = claim.as_ref().and_then(|claim| claim.matched(pair[1])) else {
        return Err(Refused::Contradicts(format!(
            "one of them is matched with {CLAIM_MATCHES_MAX} others already, or too many claims would hang together: take one back first"
        )));
    };
    let undone = imagined.undone()?;
    if let Some(Matched { pair: [one, other], .. }) = undone.iter().find(|one| one.verdict.is_some()) {
        return Err(Refused::Contradicts(format!(
            "the rules do not allow that and what was decided of {one} and {other} as well: `weft identity undecide {one} {other}` first"
        )));
    }
    if a.today(&imagined)? == b.today(&imagined)? {
        return Ok(());
    }
    let guard = known.guard.or_else(|| undone.iter().find_map(|one| one.guard));
    let guard = guard.map_or_else(String::new, |guard| format!(" ({})", guard.name()));
    Err(Refused::Contradicts(format!("the rules keep the two apart all the same{guard}: see `identity` in the configuration")))
}

fn accept(pair: [ClaimId; 2]) -> Command {
    Command::DecideMatch { pair, decision: Some(Decision::Accept), reason: String::new() }
}

/// Who has a claim.
fn person(view: &impl View, id: ClaimId) -> Read<Option<Person>> {
    let Some(customer) = view.claim(id)?.map(|claim| claim.customer) else { return Ok(None) };
    let Some(explained) = explain(view, customer)? else { return Ok(None) };
    let mut identifiers = explained.profile.identifiers;
    identifiers.truncate(IMPACT_SHOWN_MAX);
    let traits = explained.facts.into_iter().take(IMPACT_SHOWN_MAX).map(|(name, fact)| (name, fact.value)).collect();
    Ok(Some(Person { customer, identifiers, traits }))
}

impl std::fmt::Display for After {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{},{}", self.0[0], self.0[1])
    }
}

impl std::str::FromStr for After {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (one, other) =
            text.split_once(',').ok_or("a place in the list is two claims with a comma between, as `next` has it")?;
        Ok(After([one.parse()?, other.parse()?]))
    }
}

impl Serialize for After {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for After {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
    }
}
