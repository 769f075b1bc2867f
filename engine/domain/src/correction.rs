//! What a sender says outright of an identifier: that it is not the person's any more, or that it is.
//!
//! The person is who has the strongest of the event's *other* identifiers when the event comes. An identifier that is removed is kept apart
//! from those by which the person signs in (of one who does not, from all others), as a split by a person does it; one that is
//! added is not kept apart from the person any more, as far as events said so. What people said stays. So a removal counts from its place in
//! history on, for all claims whenever they were made, until it is taken back. [`crate::fold`] carries out the moves.

use std::collections::BTreeSet;

use crate::claim::{ClaimId, CustomerId, IdentifierId, Witness};
use crate::event::{Identifier, Learnt};
use crate::identity::Rules;
use crate::resolve::{Move, component, separate};
use crate::view::{Read, Step, View};

/// Adds and removes the identifiers of which an event says so. What moved because of it, in order.
///
/// # Errors
/// [`crate::view::ViewError`], where state cannot be read.
pub fn correct(rules: &Rules, step: &mut Step<'_, impl View>, claims: &[Identifier], witness: &Witness) -> Read<Vec<Move>> {
    let says_outright = |one: &&Identifier| matches!(one.how, Learnt::Added | Learnt::Removed);
    if !claims.iter().any(|one| says_outright(&one)) {
        return Ok(Vec::new());
    }
    let others: Vec<Identifier> = claims.iter().filter(|one| !says_outright(one)).cloned().collect();
    let others = rules.identifying(&others);
    let Some(subject) = rules.strongest(&others).map(id_of) else { return Ok(Vec::new()) };
    let Some(person) = step.identifier(subject)?.and_then(|row| row.customer) else { return Ok(Vec::new()) };
    let stays = rules.identifying(claims);
    let mut moves = Vec::new();
    for one in claims {
        match one.how {
            Learnt::Added => moves.extend(readmit(rules, step, one, person)?),
            // Where it is said of both spellings of one identifier, it was not removed.
            Learnt::Removed if !stays.iter().any(|kept| id_of(kept) == id_of(one)) => {
                moves.extend(remove(rules, step, one, (subject, person), witness)?);
            }
            Learnt::Observed | Learnt::Alias | Learnt::Removed => (),
        }
    }
    Ok(moves)
}

/// By which claim a removal stands among separations: the one that an identifier makes alone, which joins nothing and so cannot be split.
#[must_use]
pub fn removal_of(identifier: &Identifier) -> ClaimId {
    ClaimId::of(&[Identifier::observed(&identifier.kind, &identifier.value)])
}

/// Has an identifier kept apart from the person, where the person has it.
fn remove(
    rules: &Rules,
    step: &mut Step<'_, impl View>,
    one: &Identifier,
    (subject, person): (IdentifierId, CustomerId),
    witness: &Witness,
) -> Read<Vec<Move>> {
    let id = id_of(one);
    if step.identifier(id)?.is_none_or(|row| row.customer != Some(person)) {
        return Ok(Vec::new());
    }
    let Some(component) = component(step, vec![subject])? else { return Ok(Vec::new()) };
    let mut rest: BTreeSet<(bool, IdentifierId)> = BTreeSet::new();
    for claim in component.claims.values().filter(|claim| claim.customer == person) {
        let aside = |one: &&Identifier| claim.set_aside.iter().any(|(aside, _)| aside == *one);
        let held = claim.identifiers.iter().filter(|one| !aside(one));
        rest.extend(held.map(|held| (rules.rule(&held.kind).is_some_and(|rule| rule.login), id_of(held))));
    }
    rest.retain(|(_, other)| *other != id);
    let signs_in = rest.iter().any(|(login, _)| *login);
    let reason = format!("removed by {} in message {}", witness.source, witness.message_id);
    let mut moves = Vec::new();
    for (_, other) in rest.into_iter().filter(|(login, _)| *login == signs_in) {
        moves.extend(separate(rules, step, [id, other], Some(removal_of(one)), Some(&reason))?);
    }
    Ok(moves)
}

/// Has an identifier not kept apart from the person any more, as far as events said so.
fn readmit(rules: &Rules, step: &mut Step<'_, impl View>, one: &Identifier, person: CustomerId) -> Read<Vec<Move>> {
    let (id, said) = (id_of(one), removal_of(one));
    let Some(row) = step.identifier(id)? else { return Ok(Vec::new()) };
    let mut moves = Vec::new();
    for apart in row.apart.iter().filter(|apart| apart.of == Some(said)) {
        if step.identifier(apart.other)?.is_some_and(|row| row.customer == Some(person)) {
            moves.extend(separate(rules, step, [id, apart.other], Some(said), None)?);
        }
    }
    Ok(moves)
}

fn id_of(one: &Identifier) -> IdentifierId {
    IdentifierId::of(&one.kind, &one.value)
}
