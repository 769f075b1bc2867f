//! Who is this? From an event's identifiers to a customer, and to the claims that move between customers because of it.
//!
//! Most events repeat what is known: one look at their claim answers. A new claim, an earlier witness or a retraction makes the
//! component of claims that it touches be divided anew by [`crate::identity::partition`]; what differs from before is told as
//! [`Move`]s. This module reads identifiers and claims and never a customer or a fact, and [`crate::fold`] never reads a claim:
//! they meet in moves alone, so that one day they can be partitioned by different keys.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use crate::claim::{Claim, ClaimId, CustomerId, Guard, Heard, IdentifierId, Match, Outcome, Proposal, Verdict, Witness, pair};
use crate::event::Identifier;
use crate::identity::{Rules, Separations, partition};
use crate::limits;
use crate::view::{Apart, IdentifierRow, Read, Step, View};

/// A claim that belongs to another customer than before, or shows other identifiers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Move {
    /// The claim.
    pub claim: ClaimId,
    /// The customer to whom it belongs now.
    pub to: CustomerId,
    /// Whether nobody knew the claim before: then nothing is known of it, and nobody needs to look.
    pub is_new: bool,
    /// The claim's identifiers without those set aside.
    pub identifiers: Vec<Identifier>,
}

/// Who an event is about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Resolved {
    /// The claim under which the event is filed.
    pub claim: ClaimId,
    /// What moved because of it; the event's own claim among them if it is new.
    pub moves: Vec<Move>,
}

/// Finds the customer of an event with these identifiers. None where none of them identifies anybody.
///
/// # Errors
/// [`crate::view::ViewError`], where state cannot be read.
pub fn resolve(rules: &Rules, step: &mut Step<'_, impl View>, claims: &[Identifier], witness: Witness) -> Read<Option<Resolved>> {
    let mut identifiers = rules.identifying(claims);
    let Some(strongest) = rules.strongest(&identifiers).cloned() else { return Ok(None) };
    if let Some(resolved) = repeat(rules, step, &identifiers, &witness)? {
        return Ok(Some(resolved));
    }
    // A saturated identifier joins nothing new, and a component past its bound takes nothing new: such a claim shrinks to
    // what it may still say.
    let mut open = Vec::with_capacity(identifiers.len());
    for one in &identifiers {
        let row = step.identifier(IdentifierId::of(&one.kind, &one.value))?;
        if row.is_none_or(|row| row.claims.len() < limits::IDENTIFIER_CLAIMS_MAX) {
            open.push(one.clone());
        }
    }
    if open.len() < identifiers.len() || component_with_room(step, &open)?.is_none() {
        step.count(|totals| totals.claims_shrunk += 1);
        identifiers = open.into_iter().filter(|one| *one == strongest).collect();
        if let Some(resolved) = repeat(rules, step, &identifiers, &witness)? {
            return Ok(Some(resolved));
        }
    }
    let known = if identifiers.is_empty() { None } else { component_with_room(step, &identifiers)? };
    let Some(mut component) = known else { return under_what_is_known(step, &strongest) };
    let id = ClaimId::of(&identifiers);
    component.claims.insert(id, Arc::new(Claim::new(identifiers, witness)));
    step.count(|totals| totals.claims += 1);
    Ok(Some(Resolved { claim: id, moves: divide(rules, step, component, Some(id))? }))
}

/// Takes a claim back, or (with no reason) takes the taking back. No moves where the claim is unknown or already so.
///
/// # Errors
/// [`crate::view::ViewError`], where state cannot be read; so for the three below.
pub fn retract(rules: &Rules, step: &mut Step<'_, impl View>, id: ClaimId, reason: Option<&str>) -> Read<Vec<Move>> {
    change(rules, step, id, |claim| claim.retracted = reason.map(str::to_owned))
}

/// Takes the word of one source for a claim back, or (with no reason) believes it again. No moves where the source never said so.
#[allow(clippy::missing_errors_doc)]
pub fn strike(rules: &Rules, step: &mut Step<'_, impl View>, id: ClaimId, source: &str, reason: Option<&str>) -> Read<Vec<Move>> {
    change(rules, step, id, |claim| {
        let says_so = claim.witnesses.iter().any(|witness| witness.source == source);
        let has_room = claim.struck.contains_key(source) || claim.struck.len() < limits::CLAIM_SOURCES_MAX;
        match reason {
            Some(reason) if says_so && has_room => drop(claim.struck.insert(source.to_owned(), reason.to_owned())),
            Some(_) => (),
            None => drop(claim.struck.remove(source)),
        }
    })
}

/// Decides a claim that is held, or (with none) takes the decision back.
#[allow(clippy::missing_errors_doc)]
pub fn decide(rules: &Rules, step: &mut Step<'_, impl View>, id: ClaimId, verdict: Option<Verdict>) -> Read<Vec<Move>> {
    change(rules, step, id, |claim| claim.verdict = verdict)
}

/// Says that two identifiers are not one person's, or (with no reason) takes that back. No moves where one of them is unknown.
#[allow(clippy::missing_errors_doc)]
pub fn separate(
    rules: &Rules,
    step: &mut Step<'_, impl View>,
    pair: [IdentifierId; 2],
    of: Option<ClaimId>,
    reason: Option<&str>,
) -> Read<Vec<Move>> {
    let (one, other) = (step.identifier(pair[0])?, step.identifier(pair[1])?);
    let (Some(one), Some(other), true) = (one, other, pair[0] != pair[1]) else { return Ok(Vec::new()) };
    let full = |row: &IdentifierRow| row.apart.len() >= limits::SEPARATIONS_MAX;
    if reason.is_some() && (full(&one) || full(&other)) {
        return Ok(Vec::new());
    }
    for (id, mut row, from) in [(pair[0], one, pair[1]), (pair[1], other, pair[0])] {
        let apart = &mut Arc::make_mut(&mut row).apart;
        apart.retain(|known| (known.other, known.of) != (from, of));
        apart.extend(reason.map(|reason| Apart { other: from, of, reason: reason.to_owned() }));
        apart.sort_unstable();
        step.changes.identifiers.insert(id, Some(row));
    }
    // Each may hang together with others: what was one component stays one, and is divided anew.
    let mut moves = Vec::new();
    for id in pair {
        let Some(component) = component(step, vec![id])? else { continue };
        moves.extend(divide(rules, step, component, None)?);
    }
    Ok(moves)
}

/// Takes claims out for good, and divides anew what had hung together through them: those who stay are who they would be had the claims
/// never been (invariant 6). What was said of the claims goes too, and so do separations from identifiers that nobody names any more.
#[allow(clippy::missing_errors_doc)]
pub fn forget(rules: &Rules, step: &mut Step<'_, impl View>, gone: &BTreeSet<ClaimId>) -> Read<Vec<Move>> {
    let (mut named, mut shared) = (BTreeSet::new(), Vec::new());
    for id in gone {
        let Some(claim) = step.claim(*id)? else { continue };
        named.extend(ids_of(&claim));
        count_guards(step, *id, Some(&claim), &[]);
        shared.extend(unmatch(step, *id, &claim, gone)?);
        step.changes.claims.insert(*id, None);
        step.count(|totals| totals.claims -= 1);
    }
    for id in named {
        let Some(mut row) = step.identifier(id)? else { continue };
        let kept = Arc::make_mut(&mut row);
        kept.claims.retain(|claim| !gone.contains(claim));
        // The two of a pair are identifiers of the claim whose split parted them, so both are looked at here.
        kept.apart.retain(|apart| apart.of.is_none_or(|of| !gone.contains(&of)));
        if kept.claims.is_empty() {
            for apart in &kept.apart {
                let Some(mut other) = step.identifier(apart.other)? else { continue };
                Arc::make_mut(&mut other).apart.retain(|known| known.other != id);
                step.changes.identifiers.insert(apart.other, Some(other));
            }
            step.changes.identifiers.insert(id, None);
            step.count(|totals| totals.identifiers -= 1);
        } else {
            step.changes.identifiers.insert(id, Some(row));
            shared.push(id);
        }
    }
    let (mut moves, mut divided) = (Vec::new(), BTreeSet::new());
    for id in shared {
        let Some(component) = component(step, vec![id])? else { continue };
        let first = component.claims.keys().next().copied();
        if divided.insert(first) {
            moves.extend(divide(rules, step, component, None)?);
        }
    }
    Ok(moves)
}

/// Forgets what is known of a claim that goes and others by comparison. The identifiers of those that hung together with it because of that.
fn unmatch(step: &mut Step<'_, impl View>, id: ClaimId, claim: &Claim, gone: &BTreeSet<ClaimId>) -> Read<Vec<IdentifierId>> {
    count_matches(step, id, Some(claim), &Claim { matches: Vec::new(), ..claim.clone() });
    let mut matched = Vec::new();
    for known in claim.matches.iter().filter(|known| !gone.contains(&known.other)) {
        let Some(before) = step.claim(known.other)? else { continue };
        let mut after = before.clone();
        Arc::make_mut(&mut after).note(id, None);
        count_matches(step, known.other, Some(&before), &after);
        step.changes.claims.insert(known.other, Some(after));
        if known.joins() {
            matched.extend(ids_of(&before));
        }
    }
    Ok(matched)
}

/// Takes in what the matcher says of two customers. It counts where the two are customers as it knew them, or the match is known; what a
/// person decided stands.
#[allow(clippy::missing_errors_doc)]
pub fn compare(rules: &Rules, step: &mut Step<'_, impl View>, proposal: &Proposal) -> Read<Vec<Move>> {
    let [one, other] = proposal.pair;
    let is_customer = |id: ClaimId, claim: &Claim| claim.customer == id.into();
    let (Some(a), Some(b)) = (step.claim(one)?, step.claim(other)?) else { return Ok(Vec::new()) };
    if a.matched(other).is_none() && !(is_customer(one, &a) && is_customer(other, &b)) {
        return Ok(Vec::new());
    }
    note(rules, step, proposal.pair, |known| match known {
        Some(known) if known.verdict.is_some() => Some(known),
        _ if proposal.outcome == Outcome::Apart => None,
        _ => {
            let evidence = Some(proposal.evidence.bounded());
            Some(Match { other, outcome: proposal.outcome, evidence, verdict: None, guard: None })
        }
    })
}

/// Decides whether two claims are one person's by comparison, or (with none) takes the decision back. A person may say so of any two.
#[allow(clippy::missing_errors_doc)]
pub fn decide_match(
    rules: &Rules,
    step: &mut Step<'_, impl View>,
    ids: [ClaimId; 2],
    verdict: Option<Verdict>,
) -> Read<Vec<Move>> {
    note(rules, step, ids, |known| match (known, verdict) {
        (None, None) => None,
        (Some(known), None) if known.outcome == Outcome::Apart => None,
        (Some(known), verdict) => Some(Match { verdict, ..known }),
        (None, verdict) => Some(Match { other: ids[1], outcome: Outcome::Apart, evidence: None, verdict, guard: None }),
    })
}

/// Changes what is known of two claims by comparison, with both, and divides anew what hangs together with them where that made a difference.
fn note(
    rules: &Rules,
    step: &mut Step<'_, impl View>,
    ids: [ClaimId; 2],
    change: impl FnOnce(Option<Match>) -> Option<Match>,
) -> Read<Vec<Move>> {
    let [one, other] = pair(ids[0], ids[1]);
    let (Some(a), Some(b), true) = (step.claim(one)?, step.claim(other)?, one != other) else { return Ok(Vec::new()) };
    let before = a.matched(other).cloned();
    let guard = before.as_ref().and_then(|before| before.guard);
    let after = change(before.clone()).map(|known| Match { other, guard, ..known });
    let joins = |known: &Option<Match>| known.as_ref().is_some_and(Match::joins);
    if before == after {
        return Ok(Vec::new());
    }
    let full = |claim: &Claim| claim.matches.len() >= limits::CLAIM_MATCHES_MAX;
    if before.is_none() && (full(&a) || full(&b)) {
        step.count(|totals| totals.matches_refused += 1);
        return Ok(Vec::new());
    }
    let (mut with_a, mut with_b) = (a.clone(), b.clone());
    Arc::make_mut(&mut with_a).note(other, after.clone());
    Arc::make_mut(&mut with_b).note(one, after.clone().map(|known| Match { other: one, ..known }));
    step.changes.claims.insert(one, Some(with_a.clone()));
    step.changes.claims.insert(other, Some(with_b.clone()));
    if joins(&after) && component(step, [ids_of(&a), ids_of(&b)].concat())?.is_none() {
        step.changes.claims.insert(one, Some(a));
        step.changes.claims.insert(other, Some(b));
        step.count(|totals| totals.matches_refused += 1);
        return Ok(Vec::new());
    }
    count_matches(step, one, Some(&a), &with_a);
    if !joins(&before) && !joins(&after) {
        return Ok(Vec::new());
    }
    let mut moves = Vec::new();
    for claim in [a, b] {
        // What was one component by this match alone is two now, and each is divided anew.
        let Some(component) = component(step, ids_of(&claim))? else { continue };
        let is_all = component.claims.contains_key(&one) && component.claims.contains_key(&other);
        moves.extend(divide(rules, step, component, None)?);
        if is_all {
            break;
        }
    }
    Ok(moves)
}

/// Changes what people say of a claim, and divides its component anew where that made a difference.
fn change(rules: &Rules, step: &mut Step<'_, impl View>, id: ClaimId, change: impl FnOnce(&mut Claim)) -> Read<Vec<Move>> {
    let Some(claim) = step.claim(id)? else { return Ok(Vec::new()) };
    let mut changed = Claim::clone(&claim);
    change(&mut changed);
    if changed == *claim {
        return Ok(Vec::new());
    }
    reconsider(rules, step, id, Arc::new(changed))
}

/// The answer for a claim that is known already, where it is.
fn repeat(
    rules: &Rules,
    step: &mut Step<'_, impl View>,
    identifiers: &[Identifier],
    witness: &Witness,
) -> Read<Option<Resolved>> {
    if identifiers.is_empty() {
        return Ok(None);
    }
    let id = ClaimId::of(identifiers);
    let Some(mut claim) = step.claim(id)? else { return Ok(None) };
    if claim.witnesses.iter().any(|known| known.source == witness.source && known <= witness) {
        return Ok(Some(Resolved { claim: id, moves: Vec::new() }));
    }
    let moves = match Arc::make_mut(&mut claim).hear(witness.clone()) {
        Heard::Nothing => Vec::new(),
        Heard::Word => {
            step.changes.claims.insert(id, Some(claim));
            Vec::new()
        }
        Heard::Place => reconsider(rules, step, id, claim)?,
    };
    Ok(Some(Resolved { claim: id, moves }))
}

/// Divides a component anew after one of its claims has changed.
fn reconsider(rules: &Rules, step: &mut Step<'_, impl View>, id: ClaimId, claim: Arc<Claim>) -> Read<Vec<Move>> {
    // A new claim enters only where there is room, so that what state knows is inside the bound.
    let Some(mut component) = component(step, ids_of(&claim))? else { return Ok(Vec::new()) };
    component.claims.insert(id, claim);
    divide(rules, step, component, Some(id))
}

/// For an event whose claim cannot be kept: the claim of its strongest identifier that belongs to that identifier's customer.
fn under_what_is_known(step: &Step<'_, impl View>, strongest: &Identifier) -> Read<Option<Resolved>> {
    let Some(row) = step.identifier(IdentifierId::of(&strongest.kind, &strongest.value))? else { return Ok(None) };
    for id in &row.claims {
        let customer = step.claim(*id)?.map(|claim| claim.customer);
        if customer == row.customer {
            return Ok(Some(Resolved { claim: *id, moves: Vec::new() }));
        }
    }
    Ok(row.claims.first().map(|claim| Resolved { claim: *claim, moves: Vec::new() }))
}

/// Claims that hang together, and which of the identifiers that they name are separated.
pub(crate) struct Component {
    pub(crate) claims: BTreeMap<ClaimId, Arc<Claim>>,
    separations: Separations,
}

/// A component that one more claim may enter; none where it is full.
fn component_with_room(step: &Step<'_, impl View>, identifiers: &[Identifier]) -> Read<Option<Component>> {
    Ok(component(step, ids(identifiers))?.filter(|component| component.claims.len() < limits::COMPONENT_CLAIMS_MAX))
}

fn ids(identifiers: &[Identifier]) -> Vec<IdentifierId> {
    identifiers.iter().map(|one| IdentifierId::of(&one.kind, &one.value)).collect()
}

fn ids_of(claim: &Claim) -> Vec<IdentifierId> {
    ids(&claim.identifiers)
}

/// The claims that hang together with some identifiers, because they name the same or are matched; none where there are too many to look at together.
pub(crate) fn component(step: &Step<'_, impl View>, mut open: Vec<IdentifierId>) -> Read<Option<Component>> {
    let (mut claims, mut separations, mut seen) = (BTreeMap::new(), Separations::default(), BTreeSet::new());
    while let Some(identifier) = open.pop() {
        if !seen.insert(identifier) {
            continue;
        }
        let Some(row) = step.identifier(identifier)? else { continue };
        row.apart.iter().for_each(|apart| separations.insert(identifier, apart.other));
        for id in &row.claims {
            if claims.contains_key(id) {
                continue;
            }
            if claims.len() >= limits::COMPONENT_CLAIMS_MAX {
                return Ok(None);
            }
            let Some(claim) = step.claim(*id)? else { continue };
            open.extend(ids_of(&claim));
            for known in claim.matches.iter().filter(|known| known.joins()) {
                let other = step.claim(known.other)?;
                open.extend(other.iter().flat_map(|other| ids_of(other)));
            }
            claims.insert(*id, claim);
        }
    }
    Ok(Some(Component { claims, separations }))
}

/// Divides a component among customers, writes what changed, and says what moved. `touched` is written in any case.
fn divide(rules: &Rules, step: &mut Step<'_, impl View>, component: Component, touched: Option<ClaimId>) -> Read<Vec<Move>> {
    let mut sorted: Vec<(ClaimId, &Claim)> = component.claims.iter().map(|(id, claim)| (*id, &**claim)).collect();
    sorted.sort_by_key(|(id, claim)| (claim.witness(), *id));
    let placements = partition(rules, &sorted, &component.separations);
    let mut owners: BTreeMap<IdentifierId, Owned<'_>> = BTreeMap::new();
    let mut moves = Vec::new();
    for ((id, claim), placement) in sorted.iter().zip(placements) {
        let aside = |one: &&Identifier| placement.set_aside.iter().any(|(set_aside, _)| set_aside == *one);
        for one in &claim.identifiers {
            let owned = owners.entry(IdentifierId::of(&one.kind, &one.value)).or_insert(Owned {
                identifier: one,
                by: None,
                claims: Vec::new(),
            });
            owned.claims.push(*id);
            if !aside(&one) {
                owned.by = Some(placement.customer);
            }
        }
        let stored = step.claim(*id)?;
        let is_new = stored.is_none();
        count_guards(step, *id, stored.as_deref(), &placement.set_aside);
        let mut row = Claim::clone(claim);
        row.matches.iter_mut().for_each(|known| {
            known.guard = placement.kept_apart.iter().find(|(other, _)| *other == known.other).map(|(_, guard)| *guard);
        });
        count_matches(step, *id, stored.as_deref(), &row);
        let stays =
            stored.as_ref().is_some_and(|known| known.customer == placement.customer && known.set_aside == placement.set_aside);
        if stays && touched != Some(*id) && stored.is_some_and(|known| known.matches == row.matches) {
            continue;
        }
        if !stays {
            let identifiers = claim.identifiers.iter().filter(|one| !aside(one)).cloned().collect();
            moves.push(Move { claim: *id, to: placement.customer, is_new, identifiers });
        }
        (row.customer, row.set_aside) = (placement.customer, placement.set_aside);
        step.changes.claims.insert(*id, Some(Arc::new(row)));
    }
    for (id, owned) in owners {
        own(step, id, owned)?;
    }
    Ok(moves)
}

/// Keeps the list of claims that are held, and counts those and the ones past a limit of merges.
fn count_guards(step: &mut Step<'_, impl View>, id: ClaimId, before: Option<&Claim>, now: &[(Identifier, Guard)]) {
    let differs = |guard: Guard| {
        let is_in = |set_aside: &[(Identifier, Guard)]| set_aside.iter().any(|(_, by)| *by == guard);
        let (before, now) = (before.is_some_and(|claim| is_in(&claim.set_aside)), is_in(now));
        (before != now).then_some(now)
    };
    if let Some(held) = differs(Guard::Held) {
        step.changes.held.insert(id, held);
        step.count(|totals| totals.claims_held = counted(totals.claims_held, held));
    }
    if let Some(past) = differs(Guard::MergeLimit) {
        step.count(|totals| totals.claims_past_limit = counted(totals.claims_past_limit, past));
    }
}

/// Keeps the list of matches that wait for a person, and counts those and the ones that make customers one: each once, with the lower claim.
fn count_matches(step: &mut Step<'_, impl View>, id: ClaimId, before: Option<&Claim>, now: &Claim) {
    let before = before.map_or(&[][..], |claim| &claim.matches);
    if before == now.matches {
        return;
    }
    let others: BTreeSet<ClaimId> = before.iter().chain(&now.matches).map(|one| one.other).filter(|other| *other > id).collect();
    for other in others {
        let find = |all: &[Match]| {
            all.iter().find(|one| one.other == other).map_or((false, false), |one| (one.is_open(), one.is_joined()))
        };
        let ((was_open, was_joined), (is_open, is_joined)) = (find(before), find(&now.matches));
        if was_open != is_open {
            step.changes.open_matches.insert([id, other], is_open);
            step.count(|totals| totals.matches_open = counted(totals.matches_open, is_open));
        }
        if was_joined != is_joined {
            step.count(|totals| totals.matches_joined = counted(totals.matches_joined, is_joined));
        }
    }
}

fn counted(total: u64, one_more: bool) -> u64 {
    if one_more { total + 1 } else { total.saturating_sub(1) }
}

/// Who has an identifier, and which claims name it.
struct Owned<'a> {
    identifier: &'a Identifier,
    by: Option<CustomerId>,
    claims: Vec<ClaimId>,
}

/// Writes an identifier's row where it changed.
fn own(step: &mut Step<'_, impl View>, id: IdentifierId, owned: Owned<'_>) -> Read<()> {
    let known = step.identifier(id)?;
    let mut claims = owned.claims;
    claims.sort_unstable();
    if known.as_ref().is_some_and(|row| row.customer == owned.by && row.claims == claims) {
        return Ok(());
    }
    if known.is_none() {
        step.count(|totals| totals.identifiers += 1);
    }
    let Identifier { kind, value, .. } = owned.identifier.clone();
    let apart = known.map(|row| row.apart.clone()).unwrap_or_default();
    let row = IdentifierRow { kind, value, claims, customer: owned.by, apart };
    step.changes.identifiers.insert(id, Some(Arc::new(row)));
    Ok(())
}
