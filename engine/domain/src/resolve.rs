//! Who is this? From an event's identifiers to a customer, and to the claims that move between customers because of it.
//!
//! Most events repeat what is known: one look at their claim answers. A new claim, an earlier witness or a retraction makes the
//! component of claims that it touches be divided anew by [`crate::identity::partition`]; what differs from before is told as
//! [`Move`]s. This module reads identifiers and claims and never a customer or a fact, and [`crate::fold`] never reads a claim:
//! they meet in moves alone, so that one day they can be partitioned by different keys.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use crate::claim::{Claim, ClaimId, CustomerId, IdentifierId, Witness};
use crate::event::Identifier;
use crate::identity::{Rules, partition};
use crate::limits;
use crate::view::{IdentifierRow, Read, Step, View};

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
    let Some(strongest) = strongest(rules, &identifiers) else { return Ok(None) };
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
    let Some(mut claims) = known else { return under_what_is_known(step, &strongest) };
    let id = ClaimId::of(&identifiers);
    let set_aside = Vec::new();
    claims.insert(id, Arc::new(Claim { identifiers, witness, retracted: None, customer: id.into(), set_aside }));
    step.count(|totals| totals.claims += 1);
    Ok(Some(Resolved { claim: id, moves: divide(rules, step, claims, id)? }))
}

/// Takes a claim back, or (with no reason) takes the taking back. No moves where the claim is unknown or already so.
///
/// # Errors
/// [`crate::view::ViewError`], where state cannot be read.
pub fn retract(rules: &Rules, step: &mut Step<'_, impl View>, id: ClaimId, reason: Option<&str>) -> Read<Vec<Move>> {
    let Some(mut claim) = step.claim(id)? else { return Ok(Vec::new()) };
    if claim.retracted.as_deref() == reason {
        return Ok(Vec::new());
    }
    Arc::make_mut(&mut claim).retracted = reason.map(str::to_owned);
    reconsider(rules, step, id, claim)
}

/// Takes claims out for good, and divides anew what had hung together through them: those who stay are who they would be had the claims
/// never been (invariant 6).
///
/// # Errors
/// [`crate::view::ViewError`], where state cannot be read.
pub fn forget(rules: &Rules, step: &mut Step<'_, impl View>, gone: &BTreeSet<ClaimId>) -> Read<Vec<Move>> {
    let mut named: BTreeMap<IdentifierId, Identifier> = BTreeMap::new();
    for id in gone {
        let Some(claim) = step.claim(*id)? else { continue };
        named.extend(claim.identifiers.iter().map(|one| (IdentifierId::of(&one.kind, &one.value), one.clone())));
        step.changes.claims.insert(*id, None);
        step.count(|totals| totals.claims -= 1);
    }
    let mut shared = Vec::new();
    for (id, identifier) in named {
        let Some(mut row) = step.identifier(id)? else { continue };
        Arc::make_mut(&mut row).claims.retain(|claim| !gone.contains(claim));
        if row.claims.is_empty() {
            step.changes.identifiers.insert(id, None);
            step.count(|totals| totals.identifiers -= 1);
        } else {
            step.changes.identifiers.insert(id, Some(row));
            shared.push(identifier);
        }
    }
    let (mut moves, mut divided) = (Vec::new(), BTreeSet::new());
    for identifier in shared {
        let Some(claims) = component(step, &[identifier])? else { continue };
        let Some(first) = claims.keys().next().copied().filter(|first| !divided.contains(first)) else { continue };
        divided.extend(claims.keys().copied());
        moves.extend(divide(rules, step, claims, first)?);
    }
    Ok(moves)
}

/// The identifier that decides where an event belongs.
fn strongest(rules: &Rules, identifiers: &[Identifier]) -> Option<Identifier> {
    identifiers.iter().min_by_key(|one| (one.how, rules.priority(&one.kind))).cloned()
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
    if claim.witness <= *witness {
        return Ok(Some(Resolved { claim: id, moves: Vec::new() }));
    }
    Arc::make_mut(&mut claim).witness = witness.clone();
    Ok(Some(Resolved { claim: id, moves: reconsider(rules, step, id, claim)? }))
}

/// Divides a component anew after one of its claims has changed.
fn reconsider(rules: &Rules, step: &mut Step<'_, impl View>, id: ClaimId, claim: Arc<Claim>) -> Read<Vec<Move>> {
    // A new claim enters only where there is room, so that what state knows is inside the bound.
    let Some(mut claims) = component(step, &claim.identifiers)? else { return Ok(Vec::new()) };
    claims.insert(id, claim);
    divide(rules, step, claims, id)
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

/// A component that one more claim may enter; none where it is full.
fn component_with_room(step: &Step<'_, impl View>, identifiers: &[Identifier]) -> Read<Option<BTreeMap<ClaimId, Arc<Claim>>>> {
    Ok(component(step, identifiers)?.filter(|claims| claims.len() < limits::COMPONENT_CLAIMS_MAX))
}

/// The claims that hang together with some identifiers; none where there are too many to look at together.
fn component(step: &Step<'_, impl View>, identifiers: &[Identifier]) -> Read<Option<BTreeMap<ClaimId, Arc<Claim>>>> {
    let (mut claims, mut seen) = (BTreeMap::new(), BTreeSet::new());
    let mut open: Vec<IdentifierId> = identifiers.iter().map(|one| IdentifierId::of(&one.kind, &one.value)).collect();
    while let Some(identifier) = open.pop() {
        if !seen.insert(identifier) {
            continue;
        }
        let Some(row) = step.identifier(identifier)? else { continue };
        for id in &row.claims {
            if claims.contains_key(id) {
                continue;
            }
            if claims.len() >= limits::COMPONENT_CLAIMS_MAX {
                return Ok(None);
            }
            let Some(claim) = step.claim(*id)? else { continue };
            open.extend(claim.identifiers.iter().map(|one| IdentifierId::of(&one.kind, &one.value)));
            claims.insert(*id, claim);
        }
    }
    Ok(Some(claims))
}

/// Divides a component among customers, writes what changed, and says what moved. `touched` is written in any case.
fn divide(
    rules: &Rules,
    step: &mut Step<'_, impl View>,
    claims: BTreeMap<ClaimId, Arc<Claim>>,
    touched: ClaimId,
) -> Read<Vec<Move>> {
    let mut sorted: Vec<(ClaimId, &Claim)> = claims.iter().map(|(id, claim)| (*id, &**claim)).collect();
    sorted.sort_by_key(|(id, claim)| (&claim.witness, *id));
    let placements = partition(rules, &sorted);
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
        let same = stored.is_some_and(|known| known.customer == placement.customer && known.set_aside == placement.set_aside);
        if same && touched != *id {
            continue;
        }
        if !same {
            let identifiers = claim.identifiers.iter().filter(|one| !aside(one)).cloned().collect();
            moves.push(Move { claim: *id, to: placement.customer, is_new, identifiers });
        }
        let mut row = Claim::clone(claim);
        (row.customer, row.set_aside) = (placement.customer, placement.set_aside);
        step.changes.claims.insert(*id, Some(Arc::new(row)));
    }
    for (id, owned) in owners {
        own(step, id, owned)?;
    }
    Ok(moves)
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
    let row = IdentifierRow { kind, value, claims, customer: owned.by };
    step.changes.identifiers.insert(id, Some(Arc::new(row)));
    Ok(())
}
