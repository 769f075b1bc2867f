//! What follows from consent for destinations that ask for it: who has whose profile, and that a withdrawal is told.
//!
//! Whether a delivery may leave is asked when it leaves ([`crate::permission`]), so profiles are written down for such a destination as for any
//! other. Here it is noted which of them it took, and whoever it has and may not have any more is written down to be taken away: at the next
//! change of the profile, or when receipts show that a delivery and a withdrawal crossed.

use std::collections::BTreeSet;
use std::ops::Range;
use std::sync::Arc;

use serde_json::json;

use super::{customer_of, deliver, merged, merged_from, save};
use crate::claim::CustomerId;
use crate::consent::Purposes;
use crate::input::Receipts;
use crate::limits;
use crate::plan::Plan;
use crate::profile::{Node, Profile, given};
use crate::view::{Customer, Heard, Read, Step, View};

/// Writes down what a destination is to hear of a customer.
pub(super) fn tell(plan: &Plan, step: &mut Step<'_, impl View>, lane: &str, id: CustomerId, told: &Arc<str>) -> Read<()> {
    if must_go(plan, step, lane, id)? { withdraw(step, lane, id) } else { deliver(step, lane, told) }
}

/// The same, of a delivery that it refused: that somebody is to be taken away is told again as long as it is so.
pub(super) fn tell_again(
    plan: &Plan,
    step: &mut Step<'_, impl View>,
    lane: &str,
    (id, refused): (CustomerId, &str),
    told: &Arc<str>,
) -> Read<()> {
    if is_withdrawal(refused) && plan.consent.contains_key(lane) && !may_hear(plan, step, lane, id)? {
        return withdraw(step, lane, id);
    }
    tell(plan, step, lane, id, told)
}

/// Notes what became of deliveries of profiles: who has them by now. Whoever may not be known there any more is taken away.
pub(super) fn close(plan: &Plan, step: &mut Step<'_, impl View>, receipts: &Receipts, numbers: Range<u64>) -> Read<()> {
    let lane = &receipts.lane;
    if !plan.consent.contains_key(lane) {
        return Ok(());
    }
    let (mut holders, mut astray) = (BTreeSet::new(), BTreeSet::new());
    for number in numbers {
        // One that was refused waits as a letter, until somebody has it told again.
        let is_refused = receipts.rejected.iter().any(|one| one.position == number);
        let Some(told) = step.before().delivery(lane, number)?.filter(|_| !is_refused) else { continue };
        let Some((id, into)) = merged_from(&told) else { continue };
        if is_withdrawal(&told) {
            note(step, lane, id, None)?;
            continue;
        }
        let has_left = receipts.withheld.profiles.binary_search(&number).is_err();
        match into {
            Some(into) if has_left => {
                // What it has of the one it has of the other now.
                if customer_of(step, id)?.is_heard_by(lane) {
                    note(step, lane, into, Some(Heard::Has))?;
                }
                note(step, lane, id, None)?;
            }
            Some(_) => drop(astray.insert(id)),
            None if has_left => note(step, lane, id, Some(Heard::Has))?,
            None => (),
        }
        holders.extend([Some(id), into].into_iter().flatten());
    }
    for id in holders {
        let row = customer_of(step, id)?;
        if must_go(plan, step, lane, id)? {
            withdraw(step, lane, id)?;
        } else if astray.contains(&id) && row.is_heard_by(lane) && row.claims.is_empty() {
            // Who it had turned out to be then was not to be told of, and it is somebody else by now.
            let told = merged(step, id)?;
            deliver(step, lane, &told)?;
        }
    }
    Ok(())
}

fn note(step: &mut Step<'_, impl View>, lane: &str, id: CustomerId, heard: Option<Heard>) -> Read<()> {
    let mut customer = customer_of(step, id)?;
    if customer.note_heard(lane, heard) {
        save(step, id, customer);
    }
    Ok(())
}

/// Whether a destination has a customer's profile, may not have it any more, and was not told so.
fn must_go(plan: &Plan, step: &Step<'_, impl View>, lane: &str, id: CustomerId) -> Read<bool> {
    let has = customer_of(step, id)?.heard_by.get(lane) == Some(&Heard::Has);
    Ok(has && !may_hear(plan, step, lane, id)?)
}

/// Whether consent lets a destination hear of a customer; of one who turned out to be another, of that one.
fn may_hear(plan: &Plan, step: &Step<'_, impl View>, lane: &str, id: CustomerId) -> Read<bool> {
    let Some(rule) = plan.consent.get(lane) else { return Ok(true) };
    let mut customer = customer_of(step, id)?;
    if customer.claims.is_empty() {
        let into = step.node(id.into())?.and_then(|node| node.customer);
        customer = into.map(|into| customer_of(step, into)).transpose()?.unwrap_or_default();
    }
    with_nodes(step, &customer, |nodes| rule.judge(&given(nodes)).is_ok())
}

/// Writes down that a destination is to take somebody away: whom, by what is known of them by name, and what they say now, and nothing else.
fn withdraw(step: &mut Step<'_, impl View>, lane: &str, id: CustomerId) -> Read<()> {
    let customer = customer_of(step, id)?;
    let Profile { identifiers, consent, .. } = with_nodes(step, &customer, |nodes| Profile::unite(id, nodes))?;
    let consent: Purposes<bool> = consent;
    let told = |identifiers| {
        json!({ "customer_id": id, "identifiers": identifiers, "traits": {}, "consent": consent, "groups": [], "withdrawn": true }).to_string()
    };
    let mut text = told(json!(identifiers));
    if text.len() > limits::PROFILE_BYTES_MAX {
        text = told(json!([]));
    }
    note(step, lane, id, Some(Heard::Leaving))?;
    deliver(step, lane, &text.into())
}

fn is_withdrawal(told: &str) -> bool {
    #[derive(serde::Deserialize)]
    struct Told {
        #[serde(default)]
        withdrawn: bool,
    }
    serde_json::from_str::<Told>(told).is_ok_and(|told| told.withdrawn)
}

fn with_nodes<T>(step: &Step<'_, impl View>, customer: &Customer, look: impl FnOnce(&[&Node]) -> T) -> Read<T> {
    let nodes = customer.claims.iter().map(|claim| step.node(*claim)).collect::<Read<Vec<_>>>()?;
    Ok(look(&nodes.iter().filter_map(|node| node.as_deref()).collect::<Vec<_>>()))
}
