//! A customer as of an instant that is past: what the profile would have said, had it been asked then.
//!
//! Made anew of the customer's events that had occurred by then, from history, under the rules in force now; who is who is as it is
//! known now. So an event that arrived late counts from when it occurred, and a mistake that was undone since is not made again. Events
//! that history does not have any more are counted and left out.

use std::ops::{ControlFlow, Deref};

use weft_domain::claim::ClaimId;
use weft_domain::explain::{claims_of, explain};
use weft_domain::portrait::{Past, Portrait};
use weft_domain::profile::Entry;
use weft_domain::value::Timestamp;
use weft_domain::view::{Read, View, ViewError};
use weft_store::log::LogReader;
use weft_store::overlay::Overlay;

use crate::events::{Who, each_of, entries_of};
use crate::limits;

/// Why a customer cannot be shown as of an instant.
#[derive(Debug, thiserror::Error)]
pub enum PastError {
    /// It would take too long to go through the events.
    #[error(
        "the customer had {0} events by then, and a profile of the past is made of {max} at most",
        max = limits::PAST_EVENTS_MAX
    )]
    TooMany(usize),
    /// State or history cannot be read.
    #[error(transparent)]
    View(#[from] ViewError),
}

/// A customer as of `at`; none where nobody is known by that, or nothing had occurred by then. `state` is a look at state.
///
/// # Errors
/// [`PastError`].
pub fn portray<G: Deref<Target = Overlay>>(
    state: impl Fn() -> G,
    history: &LogReader,
    who: &Who,
    at: Timestamp,
) -> Result<Option<Portrait>, PastError> {
    let found = {
        let state = state();
        let Some(id) = who.today(&*state)? else { return Ok(None) };
        let nodes = claims_of(&*state, id)?.into_iter().map(|claim| Ok((claim, state.node(claim)?))).collect::<Read<Vec<_>>>()?;
        explain(&*state, id)?.map(|explained| (explained, nodes, state.plan().clone()))
    };
    let Some((explained, nodes, plan)) = found else { return Ok(None) };
    let mut entries: Vec<(Entry, ClaimId)> = Vec::new();
    for (claim, node) in &nodes {
        let Some(node) = node else { continue };
        let all = entries_of(&state, *claim, node)?.into_iter();
        let durable = history.durable_end();
        entries.extend(all.filter(|entry| entry.occurred <= at && entry.position < durable).map(|entry| (entry, *claim)));
    }
    if entries.len() > limits::PAST_EVENTS_MAX {
        return Err(PastError::TooMany(entries.len()));
    }
    // As they came: where a claim had no room for a fact, it was for one that came later.
    entries.sort_unstable_by_key(|(entry, _)| entry.position);
    let (mut past, mut missing) = (Past::begin(&plan, at), 0);
    for (entry, claim) in entries {
        missing += each_of(history, &[entry], |told| {
            past.take(claim, told);
            ControlFlow::Continue(())
        })?;
    }
    Ok(past.portray(explained, missing))
}
