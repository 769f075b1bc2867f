//! What people say of who is who: claims that are held and decided, and splits, with their way back.
//!
//! A request is turned into parts that name claims and identifiers, and these into commands of history: what a command does follows
//! from itself, whenever it is folded. What is asked for and is not there, or is so already, is refused and nothing is changed.
//! State is read in short looks, so that the writer need not wait. Who asks is [`crate::api`]; `weft identity` for people.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use weft_domain::attribute::{Standings, Tally};
use weft_domain::claim::{Claim, ClaimId, CustomerId, Decision, Guard, IdentifierId};
use weft_domain::correction::removal_of;
use weft_domain::event::Identifier;
use weft_domain::explain::{Because, Who, claims_of};
use weft_domain::impact::{Imagined, Impact};
use weft_domain::input::{Command, Input, Part};
use weft_domain::limits::{REASON_BYTES_MAX, SEPARATIONS_MAX};
use weft_domain::plan::Plan;
use weft_domain::profile::Node;
use weft_domain::value::{Excerpt, Timestamp};
use weft_domain::view::{Again, Customer, IdentifierRow, Lane, Letter, Read, TallyId, Totals, View, ViewError};

use crate::limits;
use crate::writer::Ledger;

/// What is to be taken apart, or to be as before, in one of three ways: claims, what a source said or what was first said in some
/// time, or identifiers out of a customer.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Asked {
    /// Claims: they join nothing, and what parts because of it stays apart.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(with = "Vec<String>")]
    pub claims: Vec<ClaimId>,
    /// A source: its word for every claim. What another source says too stays.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub source: Option<String>,
    /// Words whose earliest event occurred then or later.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub from: Option<Timestamp>,
    /// Words whose earliest event occurred before.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub to: Option<Timestamp>,
    /// Identifiers of one customer, each `TYPE:VALUE`: they are another's.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub identifiers: Vec<Named>,
    /// The identifiers that they are kept apart from, each `TYPE:VALUE`. Default: those by which the customer signs in; of a customer who
    /// does not, all others.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub apart_from: Vec<Named>,
    /// Why, for the next person who asks. A split needs one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// Only to say who would become whom.
    #[serde(default)]
    pub dry_run: bool,
}

/// An identifier, as `TYPE:VALUE`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, JsonSchema)]
#[schemars(with = "String")]
pub struct Named {
    kind: String,
    value: String,
}

/// What has come of it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Outcome {
    /// How many claims, words and pairs of identifiers it is about.
    pub parts: usize,
    /// Where the commands stand in history; none where it was only looked at.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub positions: Vec<u64>,
    /// Who would become whom, where it was only looked at.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub impact: Option<Impact>,
    /// How many parts were not played to see it, since there are too many.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub not_played: usize,
}

/// What has come of a decision.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Decided {
    /// The command's place in history; none where it had been decided so before.
    pub position: Option<u64>,
}

/// Which of the claims that are held are asked for.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Waiting {
    /// Those after this one.
    #[schemars(with = "Option<String>")]
    pub after: Option<ClaimId>,
    /// So many at most; 20 unless it is said, and never more than 100.
    pub limit: Option<usize>,
}

/// Claims that are held, in the order of their ids.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct List {
    /// The claims.
    pub held: Vec<Held>,
    /// Where there may be more: what `after` must be to go on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<String>")]
    pub next: Option<ClaimId>,
}

/// A claim that is held.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Held {
    /// The claim, and which of its identifiers wait.
    #[serde(flatten)]
    pub claim: Because,
    /// What would come of accepting it.
    pub impact: Impact,
}

/// Why nothing was done.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refused {
    /// The request says too little, or two things at once.
    #[error("{0}")]
    Unclear(String),
    /// What it names is not there.
    #[error("{0}")]
    Unknown(String),
    /// It contradicts what is so, or would change nothing.
    #[error("{0}")]
    Contradicts(String),
    /// State cannot be read.
    #[error(transparent)]
    Unread(#[from] ViewError),
    /// The engine stops.
    #[error("the engine stops")]
    Stopping,
}

fn is_zero(count: &usize) -> bool {
    *count == 0
}

/// The claims that are held and asked for, each with what would come of accepting it. `look` is a short look at the list: so many ids
/// from one on.
///
/// # Errors
/// [`ViewError`], where state cannot be read.
pub fn held(view: &impl View, look: impl Fn(ClaimId, usize) -> Read<Vec<ClaimId>>, plan: &Plan, asked: &Waiting) -> Read<List> {
    let limit = asked.limit.unwrap_or(limits::HELD_SHOWN).clamp(1, limits::HELD_SHOWN_MAX);
    let Some(from) = asked.after.map_or(Some(ClaimId([0; 16])), following) else { return Ok(List { held: vec![], next: None }) };
    let ids = look(from, limit)?;
    let next = ids.last().copied().filter(|_| ids.len() == limit);
    let mut held = Vec::with_capacity(ids.len());
    for id in ids {
        let Some(claim) = view.claim(id)? else { continue };
        let events_total = view.node(id)?.map_or(0, |node| node.events_total);
        let mut imagined = Imagined::on(view);
        imagined.order(plan, Command::Decide { claim: id, decision: Some(Decision::Accept), reason: String::new() })?;
        let impact = imagined.impact(&plan.identity)?;
        held.push(Held { claim: Because::of(id, &claim, events_total), impact });
    }
    Ok(List { held, next })
}

/// The claims that are held in a running engine. It may take a while.
///
/// # Errors
/// [`ViewError`], where state cannot be read.
pub fn held_of(ledger: &Ledger, asked: &Waiting) -> Read<List> {
    let plan = ledger.state().plan().clone();
    held(&Glance(ledger), |from, max| ledger.state().held(from, max), &plan, asked)
}

/// Decides a claim that is held, or that was.
///
/// # Errors
/// [`Refused`]; then nothing has changed.
pub async fn decide(ledger: &Ledger, id: ClaimId, decision: Decision, reason: &str) -> Result<Decided, Refused> {
    let reason = checked(Some(reason))?;
    let claim = Glance(ledger).claim(id)?.ok_or_else(|| unknown_claim(id))?;
    if let Some(why) = &claim.retracted {
        let why = Excerpt(why);
        return Err(Refused::Contradicts(format!(
            "the claim {id} is retracted ({why}): `weft identity restore --claim {id}` first"
        )));
    }
    match &claim.verdict {
        Some(verdict) if verdict.decision == decision => return Ok(Decided { position: None }),
        None if !claim.set_aside.iter().any(|(_, guard)| *guard == Guard::Held) => {
            return Err(Refused::Contradicts(format!("the claim {id} is not held: there is nothing to decide")));
        }
        _ => (),
    }
    let command = Command::Decide { claim: id, decision: Some(decision), reason };
    let position = ledger.log(Input::Command(command)).await.ok_or(Refused::Stopping)?;
    Ok(Decided { position: Some(position) })
}

/// Takes apart what is asked for, or says what would come of it.
///
/// # Errors
/// [`Refused`]; then nothing has changed.
pub async fn split(ledger: &Ledger, asked: &Asked) -> Result<Outcome, Refused> {
    let reason = if asked.dry_run && asked.reason.is_none() { String::new() } else { checked(asked.reason.as_deref())? };
    let desk = Desk::at(ledger);
    let parts = match asked.what()? {
        What::Claims => desk.claims(&asked.claims)?,
        What::Words => desk.words(asked, |claim, source| !claim.struck.contains_key(source))?,
        What::Identifiers => desk.pairs(&asked.identifiers, &asked.apart_from)?,
    };
    let order = |parts: &[Part]| Command::Split { parts: parts.to_vec(), reason: reason.clone() };
    desk.carry_out(parts, asked.dry_run, order).await
}

/// Takes back what people said of what is asked for, in the words in which it was said, or says what would come of it.
///
/// # Errors
/// [`Refused`]; then nothing has changed.
pub async fn restore(ledger: &Ledger, asked: &Asked) -> Result<Outcome, Refused> {
    let desk = Desk::at(ledger);
    let parts = match asked.what()? {
        What::Claims => desk.claims_back(&asked.claims)?,
        What::Words => desk.words(asked, |claim, source| claim.struck.contains_key(source))?,
        What::Identifiers => desk.pairs_back(&asked.identifiers, &asked.apart_from)?,
    };
    desk.carry_out(parts, asked.dry_run, |parts| Command::Rejoin { parts: parts.to_vec() }).await
}

/// A reason, as it is kept: it must be there, and be short enough.
///
/// # Errors
/// [`Refused::Unclear`], where it is not.
pub fn checked(reason: Option<&str>) -> Result<String, Refused> {
    let reason = reason.map(str::trim).unwrap_or_default();
    match reason.len() {
        0 => Err(Refused::Unclear("say why: `reason` is for the next person who asks".into())),
        bytes if bytes > REASON_BYTES_MAX => {
            Err(Refused::Unclear(format!("the reason has {bytes} bytes, and {REASON_BYTES_MAX} are kept: say it shorter")))
        }
        _ => Ok(reason.to_owned()),
    }
}

fn unknown_claim(id: ClaimId) -> Refused {
    Refused::Unknown(format!("there is no claim {id}: `weft profile` shows those of a customer"))
}

/// The id after one; none after the last.
fn following(ClaimId(id): ClaimId) -> Option<ClaimId> {
    u128::from_be_bytes(id).checked_add(1).map(|next| ClaimId(next.to_be_bytes()))
}

enum What {
    Claims,
    Words,
    Identifiers,
}

impl Asked {
    /// Which of the three ways it is.
    fn what(&self) -> Result<What, Refused> {
        let words = self.source.is_some() || self.from.is_some() || self.to.is_some();
        if !self.apart_from.is_empty() && self.identifiers.is_empty() {
            return Err(Refused::Unclear("what is kept apart from these? Name `identifiers` as well".into()));
        }
        match (!self.claims.is_empty(), words, !self.identifiers.is_empty()) {
            (true, false, false) => Ok(What::Claims),
            (false, true, false) => Ok(What::Words),
            (false, false, true) => Ok(What::Identifiers),
            (false, false, false) => {
                Err(Refused::Unclear("name claims, a source or a time, or identifiers: nothing is named".into()))
            }
            _ => Err(Refused::Unclear("claims, what a source said, and identifiers are split one after the other".into())),
        }
    }

    fn is_within(&self, at: Timestamp) -> bool {
        self.from.is_none_or(|from| at >= from) && self.to.is_none_or(|to| at < to)
    }
}

/// Somebody at work on a split.
struct Desk<'a> {
    ledger: &'a Ledger,
    plan: Arc<Plan>,
}

impl<'a> Desk<'a> {
    fn at(ledger: &'a Ledger) -> Self {
        Desk { ledger, plan: ledger.state().plan().clone() }
    }

    fn view(&self) -> Glance<'a> {
        Glance(self.ledger)
    }

    /// Claims, and of each the pairs that part when it joins nothing: its strongest identifier and those that are another's then.
    fn claims(&self, ids: &[ClaimId]) -> Result<Vec<Part>, Refused> {
        let view = self.view();
        let (mut imagined, mut parts) = (Imagined::on(&view), Vec::new());
        for id in ids.iter().collect::<BTreeSet<_>>() {
            let claim = view.claim(*id)?.ok_or_else(|| unknown_claim(*id))?;
            if let Some(why) = &claim.retracted {
                return Err(Refused::Contradicts(format!("the claim {id} is split already: {}", Excerpt(why))));
            }
            let aside = |one: &&Identifier| claim.set_aside.iter().any(|(aside, _)| aside == *one);
            let held: Vec<Identifier> = claim.identifiers.iter().filter(|one| !aside(one)).cloned().collect();
            let strongest = self.plan.identity.strongest(&held).filter(|_| held.len() > 1);
            let Some(strongest) = strongest.map(id_of) else {
                return Err(Refused::Contradicts(format!("the claim {id} joins nothing: there is nothing to split")));
            };
            let part = Part::Claim { claim: *id };
            imagined.order(&self.plan, Command::Split { parts: vec![part.clone()], reason: String::new() })?;
            let mine = owner(&imagined, strongest)?;
            parts.push(part);
            for other in held.iter().map(id_of).filter(|other| *other != strongest) {
                if owner(&imagined, other)? != mine {
                    parts.push(Part::Pair { one: strongest, other, of: Some(*id) });
                }
            }
        }
        self.must_fit(&parts)?;
        Ok(parts)
    }

    /// What was said of claims.
    fn claims_back(&self, ids: &[ClaimId]) -> Result<Vec<Part>, Refused> {
        let (view, mut parts) = (self.view(), Vec::new());
        for id in ids.iter().collect::<BTreeSet<_>>() {
            let claim = view.claim(*id)?.ok_or_else(|| unknown_claim(*id))?;
            let before = parts.len();
            parts.extend(claim.retracted.as_ref().map(|_| Part::Claim { claim: *id }));
            parts.extend(self.apart(claim.identifiers.iter().map(id_of), |of, _| of == Some(*id))?);
            if parts.len() == before {
                return Err(Refused::Contradicts(format!("the claim {id} is not split: there is nothing to take back")));
            }
        }
        Ok(parts)
    }

    /// What sources said, as far as it joins anything. `is_meant` says whether the word is one of those that are asked for.
    fn words(&self, asked: &Asked, is_meant: impl Fn(&Claim, &str) -> bool) -> Result<Vec<Part>, Refused> {
        let (mut parts, mut from) = (Vec::new(), Some(ClaimId([0; 16])));
        while let Some(id) = from {
            let claims = self.ledger.state().claims(id, limits::CLAIMS_LOOKED_AT_ONCE)?;
            from = claims.last().and_then(|(last, _)| following(*last));
            for (id, claim) in claims.iter().filter(|(_, claim)| claim.identifiers.len() > 1) {
                let said = claim.witnesses.iter().filter(|witness| {
                    asked.source.as_ref().is_none_or(|source| witness.source == *source)
                        && asked.is_within(witness.occurred)
                        && is_meant(claim, &witness.source)
                });
                parts.extend(said.map(|witness| Part::Word { claim: *id, source: witness.source.clone() }));
            }
            if parts.len() > limits::SPLIT_PARTS_MAX {
                let most = limits::SPLIT_PARTS_MAX;
                return Err(Refused::Unclear(format!("more than {most} claims are meant: take a part of the time first")));
            }
        }
        if parts.is_empty() {
            let what = asked.source.as_ref().map_or_else(String::new, |source| format!(" that `{}` said", Excerpt(source)));
            return Err(Refused::Contradicts(format!(
                "no claim of several identifiers{what} is meant by that: nothing would change"
            )));
        }
        Ok(parts)
    }

    /// Identifiers of one customer, and each of those that they are kept apart from.
    fn pairs(&self, names: &[Named], apart_from: &[Named]) -> Result<Vec<Part>, Refused> {
        let view = self.view();
        let out: BTreeSet<&Named> = names.iter().collect();
        let mut whose = BTreeSet::new();
        for name in out.iter().copied().chain(apart_from) {
            whose.insert(self.row(&view, name)?.customer);
        }
        let customer = match whose.into_iter().collect::<Vec<_>>()[..] {
            [Some(customer)] => customer,
            _ => return Err(Refused::Contradicts("these are not one customer's: there is nothing to split".into())),
        };
        let stay = if apart_from.is_empty() { self.rest(&view, customer, &out)? } else { apart_from.to_vec() };
        if let Some(both) = stay.iter().find(|name| out.contains(name)) {
            return Err(Refused::Contradicts(format!("`{both}` cannot be kept apart from itself")));
        }
        if stay.is_empty() {
            return Err(Refused::Contradicts("the customer has nothing else: there is nothing to split".into()));
        }
        let mut parts = Vec::new();
        for one in out {
            let row = self.row(&view, one)?;
            for other in stay.iter().map(Named::id) {
                if !row.apart.iter().any(|apart| apart.other == other && apart.of.is_none()) {
                    parts.push(Part::Pair { one: one.id(), other, of: None });
                }
            }
        }
        self.must_fit(&parts)?;
        Ok(parts)
    }

    /// What a customer's identifiers are kept apart from unless it is said: those by which it signs in, else all others.
    fn rest(&self, view: &Glance<'_>, customer: CustomerId, out: &BTreeSet<&Named>) -> Result<Vec<Named>, Refused> {
        let mut rest = BTreeSet::new();
        for claim in claims_of(view, customer)? {
            let node = view.node(claim)?;
            rest.extend(node.iter().flat_map(|node| &node.identifiers).map(Named::of));
        }
        rest.retain(|name| !out.contains(name));
        let signs_in = |name: &&Named| self.plan.identity.rule(&name.kind).is_some_and(|rule| rule.login);
        let logins: Vec<Named> = rest.iter().filter(signs_in).cloned().collect();
        Ok(if logins.is_empty() { rest.into_iter().collect() } else { logins })
    }

    /// The separations of identifiers that were named themselves, or that events removed.
    fn pairs_back(&self, names: &[Named], apart_from: &[Named]) -> Result<Vec<Part>, Refused> {
        let view = self.view();
        for name in names.iter().chain(apart_from) {
            self.row(&view, name)?;
        }
        let others: BTreeSet<IdentifierId> = apart_from.iter().map(Named::id).collect();
        let removals: BTreeSet<ClaimId> =
            names.iter().map(|name| removal_of(&Identifier::observed(&name.kind, &name.value))).collect();
        let meant = |of: Option<ClaimId>, other| {
            of.is_none_or(|of| removals.contains(&of)) && (others.is_empty() || others.contains(&other))
        };
        let parts = self.apart(names.iter().map(Named::id), meant)?;
        if parts.is_empty() {
            return Err(Refused::Contradicts("these are not kept apart from anything: there is nothing to take back".into()));
        }
        Ok(parts.into_iter().collect())
    }

    fn row(&self, view: &Glance<'_>, name: &Named) -> Result<Arc<IdentifierRow>, Refused> {
        view.identifier(name.id())?.ok_or_else(|| Refused::Unknown(format!("nobody is known by `{name}`")))
    }

    /// Separations of identifiers: those that are meant, by the claim whose split says so and the other side.
    fn apart(
        &self,
        ids: impl Iterator<Item = IdentifierId>,
        is_meant: impl Fn(Option<ClaimId>, IdentifierId) -> bool,
    ) -> Result<BTreeSet<Part>, Refused> {
        let (view, mut parts) = (self.view(), BTreeSet::new());
        for one in ids {
            let Some(row) = view.identifier(one)? else { continue };
            let meant = row.apart.iter().filter(|apart| is_meant(apart.of, apart.other));
            parts.extend(meant.map(|apart| Part::Pair { one: one.min(apart.other), other: one.max(apart.other), of: apart.of }));
        }
        Ok(parts)
    }

    /// Refuses separations for which an identifier has no room.
    fn must_fit(&self, parts: &[Part]) -> Result<(), Refused> {
        let mut new: BTreeMap<IdentifierId, usize> = BTreeMap::new();
        for part in parts {
            if let Part::Pair { one, other, .. } = part {
                [one, other].into_iter().for_each(|id| *new.entry(*id).or_default() += 1);
            }
        }
        for (id, count) in new {
            let Some(row) = self.view().identifier(id)? else { continue };
            if row.apart.len() + count > SEPARATIONS_MAX {
                let (name, had) = (Excerpt(&row.value), row.apart.len());
                let message = format!(
                    "`{name}` is kept apart from {had} already, and {count} more are over {SEPARATIONS_MAX}: name fewer in `apart_from`"
                );
                return Err(Refused::Contradicts(message));
            }
        }
        Ok(())
    }

    /// Puts parts into history, so many in each command, or plays them.
    async fn carry_out(&self, parts: Vec<Part>, dry_run: bool, order: impl Fn(&[Part]) -> Command) -> Result<Outcome, Refused> {
        let count = parts.len();
        if count == 0 {
            return Err(Refused::Contradicts("that is so already: nothing would change".into()));
        }
        let pieces =
            |parts: &'_ [Part]| -> Vec<Command> { parts.chunks(weft_domain::limits::SPLIT_PARTS_MAX).map(&order).collect() };
        if dry_run {
            let played = &parts[..count.min(limits::SPLIT_PARTS_IMAGINED_MAX)];
            let view = self.view();
            let mut imagined = Imagined::on(&view);
            for command in pieces(played) {
                imagined.order(&self.plan, command)?;
            }
            let (impact, not_played) = (Some(imagined.impact(&self.plan.identity)?), count - played.len());
            return Ok(Outcome { parts: count, positions: Vec::new(), impact, not_played });
        }
        let mut positions = Vec::new();
        for command in pieces(&parts) {
            positions.push(self.ledger.log(Input::Command(command)).await.ok_or(Refused::Stopping)?);
        }
        Ok(Outcome { parts: count, positions, impact: None, not_played: 0 })
    }
}

fn id_of(one: &Identifier) -> IdentifierId {
    IdentifierId::of(&one.kind, &one.value)
}

fn owner(view: &impl View, id: IdentifierId) -> Read<Option<CustomerId>> {
    Ok(view.identifier(id)?.and_then(|row| row.customer))
}

impl Named {
    fn of(one: &Identifier) -> Self {
        Named { kind: one.kind.clone(), value: one.value.clone() }
    }

    fn id(&self) -> IdentifierId {
        IdentifierId::of(&self.kind, &self.value)
    }
}

impl std::fmt::Display for Named {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}:{}", Excerpt(&self.kind), Excerpt(&self.value))
    }
}

impl std::str::FromStr for Named {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text.parse() {
            Ok(Who::Identifier(kind, value)) => Ok(Named { kind, value }),
            _ => Err(format!("`{}` is not TYPE:VALUE, such as email:ann@example.com", Excerpt(text))),
        }
    }
}

impl Serialize for Named {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(&format_args!("{}:{}", self.kind, self.value))
    }
}

impl<'de> Deserialize<'de> for Named {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
    }
}

/// State in short looks, one for each row: the writer goes on between them, and what two looks see may be of two moments.
pub(crate) struct Glance<'a>(pub(crate) &'a Ledger);

impl View for Glance<'_> {
    fn identifier(&self, id: IdentifierId) -> Read<Option<Arc<IdentifierRow>>> {
        self.0.state().identifier(id)
    }
    fn claim(&self, id: ClaimId) -> Read<Option<Arc<Claim>>> {
        self.0.state().claim(id)
    }
    fn node(&self, id: ClaimId) -> Read<Option<Arc<Node>>> {
        self.0.state().node(id)
    }
    fn customer(&self, id: CustomerId) -> Read<Option<Arc<Customer>>> {
        self.0.state().customer(id)
    }
    fn due(&self, now: Timestamp, max: usize) -> Read<Vec<(Timestamp, CustomerId)>> {
        self.0.state().due(now, max)
    }
    fn tally(&self, id: TallyId) -> Read<Option<Arc<Tally>>> {
        self.0.state().tally(id)
    }
    fn changing(&self, now: Timestamp, max: usize) -> Read<Vec<(Timestamp, ClaimId)>> {
        self.0.state().changing(now, max)
    }
    fn standings(&self) -> Arc<Standings> {
        self.0.state().standings()
    }
    fn lane(&self, name: &str) -> Read<Lane> {
        self.0.state().lane(name)
    }
    fn delivery(&self, lane: &str, number: u64) -> Read<Option<Arc<str>>> {
        self.0.state().delivery(lane, number)
    }
    fn has_key(&self, stage: &str, key: &str) -> Read<bool> {
        self.0.state().has_key(stage, key)
    }
    fn keys(&self, stage: &str) -> Read<u64> {
        self.0.state().keys(stage)
    }
    fn letter(&self, id: (u64, u32)) -> Read<Option<Arc<Letter>>> {
        self.0.state().letter(id)
    }
    fn again(&self, lane: &str, position: u64) -> Read<Option<Arc<Again>>> {
        self.0.state().again(lane, position)
    }
    fn repeated(&self, fingerprint: u64) -> bool {
        self.0.state().repeated(fingerprint)
    }
    fn clock(&self) -> Timestamp {
        self.0.state().clock()
    }
    fn totals(&self) -> Totals {
        self.0.state().totals()
    }
}
