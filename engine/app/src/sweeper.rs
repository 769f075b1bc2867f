//! Goes through what history has of before an attribute, so that its value does not begin with the day on which it was thought of.
//!
//! The fold has no history, so this is done outside it: claim by claim, by the index of each claim's events, and what the events come to
//! becomes a record of history ([`Sweep`]) a piece at a time. The fold takes a piece only where the pass stands at its beginning, so that a
//! piece that comes twice, or too late, changes nothing; events that arrive meanwhile stand behind the pass's plan, and the fold counts
//! them itself. What a crash interrupts goes on where the last durable piece ended. It reads state in short looks, and never holds the
//! writer up.

use std::ops::ControlFlow;
use std::sync::Arc;

use tokio::sync::{Mutex, watch};
use weft_domain::attribute::{Attribute, AttributeId, Pass, Stretches};
use weft_domain::claim::ClaimId;
use weft_domain::input::{Input, Sweep, Swept};
use weft_domain::measure::Count;
use weft_domain::plan::Plan;
use weft_domain::profile::Node;
use weft_domain::value::Timestamp;
use weft_domain::view::{Read, View};

use crate::clock::Clock;
use crate::events::{each_of, entries_of};
use crate::limits;
use crate::writer::Ledger;

/// Goes through history for attributes that are new.
#[derive(Clone)]
pub struct Sweeper {
    /// State and history.
    pub ledger: Ledger,
    /// What time it is, for windows: what has left one is not counted.
    pub clock: Clock,
    /// Held while a piece is made and logged: what is erased in between would be in it.
    pub passes: Arc<Mutex<()>>,
}

impl Sweeper {
    /// Works whenever there is a pass, until it is told to stop.
    pub async fn run(self, mut stop: watch::Receiver<bool>) {
        let (mut durable, mut committed_for) = (self.ledger.durable(), None);
        while !*stop.borrow() {
            let making = self.passes.clone().lock_owned().await;
            let pass = self.ledger.state().standings().passes.first().cloned();
            let Some(pass) = pass else {
                drop(making);
                tokio::select! {
                    changed = durable.changed() => if changed.is_err() { return },
                    _ = stop.wait_for(|stop| *stop) => return,
                }
                continue;
            };
            // Then sled has every claim that is older than the plan, and claims are looked for there.
            if committed_for.replace(pass.since) != Some(pass.since) {
                self.ledger.commit().await;
                tracing::info!(plan = pass.since, attributes = pass.attributes.len(), "goes through history for attributes");
            }
            let (sweeper, stopping) = (self.clone(), stop.clone());
            let piece = tokio::task::spawn_blocking(move || sweeper.piece(&pass, &stopping)).await;
            match piece {
                // What was read halfway counts for nothing.
                Ok(Ok(_)) if *stop.borrow() => return,
                Ok(Ok(sweep)) => {
                    let is_last = sweep.through.is_none();
                    if self.ledger.log(Input::Sweep(sweep)).await.is_none() {
                        return;
                    }
                    if is_last {
                        tracing::info!("went through history for attributes");
                    }
                }
                Ok(Err(error)) => {
                    tracing::warn!(%error, "history cannot be gone through for attributes, and is tried again");
                    drop(making);
                    self.rest(&mut stop).await;
                }
                Err(panic) => {
                    tracing::error!(%panic, "history cannot be gone through for attributes, and is tried again");
                    drop(making);
                    self.rest(&mut stop).await;
                }
            }
        }
    }

    async fn rest(&self, stop: &mut watch::Receiver<bool>) {
        let _ = tokio::time::timeout(limits::SWEEP_REST, stop.wait_for(|stop| *stop)).await;
    }

    /// The next piece of a pass; something, where it is to stop.
    fn piece(&self, pass: &Pass, stopping: &watch::Receiver<bool>) -> Read<Sweep> {
        let plan = self.ledger.state().plan().clone();
        let mut piece = Piece::begin(pass, &plan, self.clock.now(), stopping);
        // A claim that a piece ended within is gone through once more for the attributes that are left.
        let halfway = pass.after.filter(|(_, id)| *id < LAST_ATTRIBUTE).map(|(claim, _)| claim);
        let mut claims: Vec<ClaimId> = halfway.into_iter().collect();
        let mut from = pass.after.map(|(claim, _)| claim);
        let is_end = loop {
            let more = self.ledger.state().committed_claims(from, limits::SWEEP_CLAIMS_MAX)?;
            let is_end = more.len() < limits::SWEEP_CLAIMS_MAX;
            from = more.last().copied();
            claims.extend(more);
            // One that was erased may be committed yet; nothing is said of it any more.
            self.only_known(&mut claims)?;
            if is_end || !claims.is_empty() {
                break is_end;
            }
        };
        for (place, claim) in claims.iter().enumerate() {
            let from = if Some(*claim) == halfway { pass.after.map(|(_, id)| id) } else { None };
            let ended = self.claim(&mut piece, *claim, from)?;
            let is_last = is_end && place + 1 == claims.len() && ended == LAST_ATTRIBUTE;
            // Where the pass stands after this claim, whose events are in the piece.
            piece.sweep.through = if is_last { None } else { Some((*claim, ended)) };
            if ended < LAST_ATTRIBUTE || piece.is_full() {
                break;
            }
        }
        Ok(piece.sweep)
    }

    fn only_known(&self, claims: &mut Vec<ClaimId>) -> Read<()> {
        let state = self.ledger.state();
        let mut known = Vec::with_capacity(claims.len());
        for claim in claims.drain(..) {
            if state.claim(claim)?.is_some() {
                known.push(claim);
            }
        }
        *claims = known;
        Ok(())
    }

    /// Goes through a claim for the attributes behind `from`. The attribute that it came to, [`LAST_ATTRIBUTE`] where it came to the end.
    fn claim(&self, piece: &mut Piece<'_>, claim: ClaimId, from: Option<AttributeId>) -> Read<AttributeId> {
        let (node, standings) = {
            let state = self.ledger.state();
            (state.node(claim)?, state.standings())
        };
        let Some(node) = node else { return Ok(LAST_ATTRIBUTE) };
        let is_gone = |(id, kept): (&AttributeId, &Stretches)| {
            standings.attributes.get(id).is_none_or(|standing| standing.since != kept.since)
        };
        let mut swept = Swept { claim, tallies: Vec::new(), unusable: Vec::new() };
        let mut ended = LAST_ATTRIBUTE;
        if node.events_total > 0 && node.began < piece.sweep.since {
            ended = self.count(piece, &node, &mut swept, from)?;
        }
        if !swept.tallies.is_empty() || !swept.unusable.is_empty() || node.tallies.iter().any(is_gone) {
            piece.sweep.claims.push(swept);
        }
        Ok(ended)
    }

    /// Counts the events of a claim that are older than the plan.
    fn count(&self, piece: &mut Piece<'_>, node: &Node, swept: &mut Swept, from: Option<AttributeId>) -> Read<AttributeId> {
        let attributes: Vec<&Attribute> =
            piece.attributes.iter().filter(|one| from.is_none_or(|from| one.id > from)).copied().collect();
        if attributes.is_empty() {
            return Ok(LAST_ATTRIBUTE);
        }
        let (mut count, since) = (Count::begin(attributes, piece.now), piece.sweep.since);
        let mut entries = entries_of(|| self.ledger.state(), swept.claim, node)?;
        entries.retain(|entry| entry.position < since);
        entries.sort_unstable_by_key(|entry| entry.position);
        piece.events += entries.len();
        piece.sweep.missing += each_of(self.ledger.history(), &entries, |told| {
            count.take(told);
            if *piece.stopping.borrow() { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
        })?;
        let mut tallies = count.tallies.into_iter().peekable();
        while let Some(((id, stretch), tally)) = tallies.next() {
            piece.bytes += serde_json::to_vec(&tally).map_or(0, |bytes| bytes.len());
            swept.tallies.push((id, stretch, tally));
            let is_between = tallies.peek().is_some_and(|((next, _), _)| *next != id);
            if is_between && piece.bytes > limits::SWEEP_BYTES_MAX {
                swept.unusable = count.unusable.into_iter().filter(|(of, _)| *of <= id).collect();
                return Ok(id);
            }
        }
        swept.unusable = count.unusable.into_iter().collect();
        Ok(LAST_ATTRIBUTE)
    }
}

/// Behind every attribute of a claim.
const LAST_ATTRIBUTE: AttributeId = AttributeId(u64::MAX);

/// A piece that is being made.
struct Piece<'p> {
    attributes: Vec<&'p Attribute>,
    now: Timestamp,
    stopping: &'p watch::Receiver<bool>,
    events: usize,
    bytes: usize,
    sweep: Sweep,
}

impl<'p> Piece<'p> {
    fn begin(pass: &Pass, plan: &'p Plan, now: Timestamp, stopping: &'p watch::Receiver<bool>) -> Self {
        let attributes = plan.meanings().filter(|attribute| pass.attributes.contains(&attribute.id)).collect();
        let sweep = Sweep { since: pass.since, after: pass.after, through: None, claims: Vec::new(), missing: 0 };
        Piece { attributes, now, stopping, events: 0, bytes: 0, sweep }
    }

    fn is_full(&self) -> bool {
        self.events >= limits::SWEEP_EVENTS_MAX || self.bytes >= limits::SWEEP_BYTES_MAX || *self.stopping.borrow()
    }
}
