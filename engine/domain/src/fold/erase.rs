//! What follows from an erasure: everything of a person goes out of state, and the others are as if the person had never been
//! (invariants 4, 6 and 10).
//!
//! What there is of the person was found outside, by `app`, and the order names it. Here nothing is looked for but what hangs together with it.

use std::collections::BTreeSet;
use std::sync::Arc;

use super::{carry_out, customer_in, customer_of, drop_letters, keep_value, merged, save};
use crate::claim::{ClaimId, CustomerId};
use crate::input::{ERASED, Erase, Kv};
use crate::measure;
use crate::plan::Plan;
use crate::resolve::forget;
use crate::view::{Read, Step, View};

/// Takes everything of a person out of state. Whoever hung together with them through nothing but what goes is divided anew.
pub(super) fn erase(plan: &Plan, step: &mut Step<'_, impl View>, erase: &Erase) -> Read<()> {
    let gone: BTreeSet<ClaimId> = erase.claims.iter().copied().collect();
    for claim in &gone {
        take_apart(step, *claim)?;
    }
    let moves = forget(&plan.identity, step, &gone)?;
    drop_letters(step, &erase.letters)?;
    for id in &erase.reworded {
        if let Some(mut letter) = step.before().letter(*id)? {
            ERASED.clone_into(&mut Arc::make_mut(&mut letter).message);
            step.changes.letters.insert(*id, Some(letter));
        }
    }
    for (stage, key) in &erase.values {
        keep_value(step, &Kv { stage: stage.clone(), key: key.clone(), value: None })?;
    }
    reword(step, erase)?;
    let now = step.before().clock();
    carry_out(plan, step, &moves, now)?;
    // A claim's id is that of the customer whom it began: one that was merged may yet have a row, to tell of it.
    for customer in gone.iter().map(|claim| CustomerId::from(*claim)) {
        if let Some(row) = step.customer(customer)?.filter(|row| row.claims.is_empty()) {
            step.changes.timers.extend(row.pending.map(|due| ((due, customer), false)));
            step.changes.customers.insert(customer, None);
        }
    }
    for (lane, number) in &erase.deliveries {
        let told = step.before().delivery(lane, *number)?;
        let instead = told.map(|told| untold(step, &told)).transpose()?.flatten();
        step.changes.deliveries.insert((lane.clone(), *number), instead);
    }
    Ok(())
}

/// What takes the place of a delivery that names somebody who is gone. That somebody else had turned out to be them is still to be told, by
/// whom it is today.
fn untold(step: &Step<'_, impl View>, told: &str) -> Read<Option<Arc<str>>> {
    let Some(id) = customer_in(told) else { return Ok(None) };
    let is_gone = step.claim(id.into())?.is_none();
    // Who is a customer again has been announced since.
    if is_gone || !customer_of(step, id)?.claims.is_empty() { Ok(None) } else { merged(step, id).map(Some) }
}

/// What people said of claims and separations of others stays, without the reasons that name the person.
fn reword(step: &mut Step<'_, impl View>, erase: &Erase) -> Read<()> {
    let reword = |reason: &mut String| {
        if erase.reasons.contains(reason) {
            ERASED.clone_into(reason);
        }
    };
    for id in &erase.reasoned_claims {
        let Some(mut row) = step.claim(*id)? else { continue };
        let claim = Arc::make_mut(&mut row);
        let of_matches = claim.matches.iter_mut().filter_map(|known| known.verdict.as_mut());
        let verdicts = claim.verdict.iter_mut().chain(of_matches).map(|verdict| &mut verdict.reason);
        claim.retracted.iter_mut().chain(claim.struck.values_mut()).chain(verdicts).for_each(reword);
        step.changes.claims.insert(*id, Some(row));
    }
    for id in &erase.reasoned_identifiers {
        let Some(mut row) = step.identifier(*id)? else { continue };
        let apart = &mut Arc::make_mut(&mut row).apart;
        apart.iter_mut().for_each(|apart| reword(&mut apart.reason));
        apart.sort_unstable();
        step.changes.identifiers.insert(*id, Some(row));
    }
    Ok(())
}

/// Takes a claim's facts, its tallies and its index away, and the claim from its customer.
fn take_apart(step: &mut Step<'_, impl View>, claim: ClaimId) -> Read<()> {
    let Some(node) = step.node(claim)? else { return Ok(()) };
    if let Some(id) = node.customer {
        let mut customer = customer_of(step, id)?;
        customer.claims.retain(|one| *one != claim);
        if customer.claims.is_empty() {
            step.count(|totals| totals.customers -= 1);
            step.changes.timers.extend(customer.pending.map(|due| ((due, id), false)));
            step.changes.customers.insert(id, None);
        } else {
            save(step, id, customer);
        }
    }
    measure::forget(step, claim, &node);
    step.changes.pages.extend((0..node.pages).map(|number| ((claim, number), None)));
    step.changes.nodes.insert(claim, None);
    Ok(())
}
