//! The matcher's work, a piece at a time: customers whose profile changed, and a walk through all of them where that is needed.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use serde::Deserialize;
use tokio::runtime::Handle;
use tokio::sync::oneshot;
use weft_domain::claim::{ClaimId, CustomerId, Match, Outcome, Proposal, Trained, pair};
use weft_domain::input::{Input, Receipts, Stream, Withheld};
use weft_domain::plan::MATCHING_LANE;
use weft_domain::view::{Read, View, ViewError};
use weft_matching::{Model, block};
use weft_store::StoreError;

use super::index::{Index, Walk};
use super::judge::{Judge, Other, Said, print, said_before};
use super::people::{Person, whose};
use super::rules::Rules;
use super::{ModelStanding, Standing};
use crate::clock::Clock;
use crate::limits;
use crate::telemetry::Metrics;
use crate::writer::{Ledger, Order};

/// Why a piece was not done.
#[derive(Debug, thiserror::Error)]
pub(super) enum Trouble {
    #[error("the index of matching: {0}")]
    Store(#[from] StoreError),
    #[error(transparent)]
    View(#[from] ViewError),
    /// The writer has ended.
    #[error("the engine ends")]
    Ended,
}

/// When to go on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Turn {
    /// At once: there is more.
    Go,
    /// After so long.
    Rest(Duration),
    /// When something happens.
    Idle,
}

/// A model in use.
pub(super) struct Used {
    pub(super) standing: ModelStanding,
    pub(super) model: Model,
}

/// What the work is done with.
pub(super) struct Tools {
    pub(super) ledger: Ledger,
    pub(super) clock: Clock,
    pub(super) metrics: Arc<Metrics>,
    pub(super) standing: Arc<Mutex<Standing>>,
}

/// Where the work is done.
pub(super) struct Desk {
    tools: Tools,
    rules: Arc<Rules>,
    index: Index,
    used: Used,
    /// The version of the newest model that there is, which may be of other fields.
    seen: u64,
    /// Claims that were read since state was last made to let go of what was read.
    claims_read: usize,
}

/// The model that is learned, where it is of these fields and holds together; else the one that has learned from nobody.
pub(super) fn model_of(trained: Option<&Trained>, rules: &Rules) -> Used {
    if let Some(Trained { version, at, json }) = trained {
        match serde_json::from_str::<Model>(json)
            .map_err(|error| error.to_string())
            .and_then(|model| model.check().map(|()| model))
        {
            Ok(model) if model.fields == rules.fields => {
                let standing = ModelStanding { version: *version, learned: Some(*at), records: model.records_total };
                return Used { standing, model };
            }
            Ok(_) => (),
            Err(error) => tracing::warn!(error, version, "the model of matching cannot be used"),
        }
    }
    Used { standing: ModelStanding::default(), model: Model::untrained(&rules.fields) }
}

impl Desk {
    /// Opens the index, or makes an empty one.
    pub(super) fn open(folder: &Path, rules: Arc<Rules>, tools: Tools) -> Result<Desk, Trouble> {
        let (lane, trained) = {
            let state = tools.ledger.state();
            (state.lane(MATCHING_LANE)?, state.model().cloned())
        };
        let index = Index::open(folder, rules.indexed_by, lane.profiles_through..=lane.profiles_next)?;
        let used = model_of(trained.as_deref(), &rules);
        let seen = trained.map_or(0, |trained| trained.version);
        Ok(Desk { tools, rules, index, used, seen, claims_read: 0 })
    }

    /// The same with other rules, if they are others; with another index, where that is needed.
    pub(super) fn adopt(self, folder: &Path, rules: Arc<Rules>) -> Result<Desk, Trouble> {
        if Arc::ptr_eq(&self.rules, &rules) {
            return Ok(self);
        }
        if self.rules.indexed_by == rules.indexed_by {
            return Ok(Desk { rules, ..self });
        }
        let Desk { tools, index, .. } = self;
        index.destroy()?;
        Desk::open(folder, rules, tools)
    }

    /// Closes the index in order.
    pub(super) fn close(self) -> Result<(), StoreError> {
        self.index.close()
    }

    /// Removes the index.
    pub(super) fn destroy(self) -> Result<(), StoreError> {
        self.index.destroy()
    }

    /// The model in use.
    pub(super) fn learned(&self) -> ModelStanding {
        self.used.standing.clone()
    }

    /// Does a piece of the work.
    pub(super) fn turn(&mut self) -> Result<Turn, Trouble> {
        let began = Instant::now();
        self.renew_model();
        let weighed_by = self.rules.weighed_by(self.used.standing.version);
        if self.index.head.weighed_by != weighed_by {
            self.index.set_head(|head| (head.weighed_by, head.walk) = (weighed_by, Some(Walk::default())));
        }
        let changed = self.take_changed()?;
        let walked = self.walk_on()?;
        if self.claims_read >= limits::ROWS_HELD {
            // State holds what was read until its next commit, and where nothing comes in there is none.
            Handle::current().block_on(self.tools.ledger.commit());
            self.claims_read = 0;
        }
        self.show()?;
        Ok(match (walked, changed) {
            (true, _) => Turn::Rest(began.elapsed().min(limits::MATCHING_WALK_REST_MAX)),
            (false, 0) => Turn::Idle,
            (false, limits::MATCHING_BATCH..) => Turn::Go,
            (false, _) => Turn::Rest(limits::MATCHING_GATHER),
        })
    }

    fn renew_model(&mut self) {
        let newest = self.tools.ledger.state().model().cloned();
        if let Some(newest) = newest.filter(|newest| newest.version != self.seen) {
            self.seen = newest.version;
            self.used = model_of(Some(&newest), &self.rules);
        }
    }

    /// Compares customers whose profile changed, as many as are taken at once. How many deliveries came to an end.
    fn take_changed(&mut self) -> Result<usize, Trouble> {
        let durable = self.tools.ledger.history().durable_end();
        let (customers, next, through) = {
            let state = self.tools.ledger.state();
            let lane = state.lane(MATCHING_LANE)?;
            let (mut next, mut customers) = (self.index.position(), Vec::new());
            while next < lane.profiles_next && customers.len() < limits::MATCHING_BATCH {
                match state.waiting(MATCHING_LANE, next)? {
                    // What a power cut could take back is not compared.
                    Some(waiting) if waiting.position >= durable => break,
                    Some(waiting) => customers.extend(customer_of(&waiting.text)),
                    None => (),
                }
                next += 1;
            }
            (customers, next, lane.profiles_through)
        };
        if next == through {
            return Ok(0);
        }
        self.compare(customers)?;
        self.index.commit(next)?;
        let at = Some(self.tools.clock.now());
        let (lane, stream, rejected, again) = (MATCHING_LANE.to_owned(), Stream::Profiles, Vec::new(), Vec::new());
        self.log(vec![Input::Receipts(Receipts {
            lane,
            stream,
            through: next,
            rejected,
            again,
            at,
            withheld: Withheld::default(),
        })])?;
        Ok(usize::try_from(next.saturating_sub(through)).unwrap_or(usize::MAX))
    }

    /// Goes on with the walk through all customers. Whether there is one.
    fn walk_on(&mut self) -> Result<bool, Trouble> {
        let Some(Walk { after }) = self.index.head.walk else { return Ok(false) };
        if after.is_none() {
            // Then sled has every claim that there is, and claims are looked for there; newer ones come by the lane.
            Handle::current().block_on(self.tools.ledger.commit());
            tracing::info!("walks through all customers, to compare them");
        }
        let claims = self.tools.ledger.state().committed_claims(after, limits::MATCHING_WALK_CLAIMS)?;
        let customers = {
            let state = self.tools.ledger.state();
            let is_first = |claim: &ClaimId| Ok((whose(&*state, *claim)? == Some((*claim).into())).then(|| (*claim).into()));
            claims.iter().map(is_first).collect::<Read<Vec<Option<CustomerId>>>>()?
        };
        self.compare(customers.into_iter().flatten().collect())?;
        let is_end = claims.len() < limits::MATCHING_WALK_CLAIMS;
        let walk = claims.last().filter(|_| !is_end).map(|last| Walk { after: Some(*last) });
        self.index.set_head(|head| head.walk = walk);
        self.index.commit(self.index.position())?;
        self.claims_read += claims.len();
        if is_end {
            tracing::info!(customers = self.index.head.customers, "walked through all customers");
        }
        Ok(!is_end)
    }

    /// Compares customers with those who are like them, says what follows, and goes on with those for whom it made a difference.
    fn compare(&mut self, customers: Vec<CustomerId>) -> Result<(), Trouble> {
        let mut todo = customers;
        let mut refused: BTreeSet<[ClaimId; 2]> = BTreeSet::new();
        for round in 0.. {
            if round == limits::MATCHING_ROUNDS_MAX {
                self.left_out(todo.len());
                break;
            }
            // Of two who become one, nothing else is said before they have.
            let (mut busy, mut later) = (BTreeSet::new(), BTreeSet::new());
            let (mut said, mut merges) = (Vec::new(), Vec::new());
            for id in std::mem::take(&mut todo) {
                if busy.contains(&id) {
                    later.insert(id);
                    continue;
                }
                for Said { proposal, of } in self.look(id, round == 0, &refused)? {
                    if proposal.outcome == Outcome::Merge {
                        if busy.contains(&of) {
                            later.insert(id);
                            continue;
                        }
                        busy.extend([id, of]);
                        merges.push((id, proposal.pair));
                    }
                    said.push(proposal);
                }
            }
            if said.is_empty() {
                break;
            }
            self.say(said)?;
            let state = self.tools.ledger.state();
            for (id, [one, other]) in merges {
                if whose(&*state, one)? == whose(&*state, other)? {
                    continue;
                }
                // A guard forbids it, or there was no room: with somebody else it may be one.
                if state.claim(one)?.is_none_or(|claim| claim.matched(other).is_none()) {
                    refused.insert(pair(one, other));
                }
                later.insert(id);
            }
            todo = later.into_iter().collect();
        }
        Ok(())
    }

    /// What is to be said of a customer. Nothing, where `unless_known` and it is as it was.
    fn look(&mut self, id: CustomerId, unless_known: bool, refused: &BTreeSet<[ClaimId; 2]>) -> Result<Vec<Said>, Trouble> {
        let began = Instant::now();
        let person = Person::read(&*self.tools.ledger.state(), id, &self.rules, &self.used.model)?;
        let Some(person) = person else {
            self.index.remove(id)?;
            return Ok(Vec::new());
        };
        self.left_out(person.left_out);
        self.claims_read += person.parts.len();
        let keys = block::keys(&self.rules.fields, &person.record);
        let is_other = self.index.put(id, keys.clone(), print(&person, self.index.head.weighed_by))?;
        if unless_known && !is_other {
            return Ok(Vec::new());
        }
        let judge = |desk: &Desk, others: Option<&[Other]>| {
            let (version, now) = (desk.used.standing.version, desk.tools.clock.now());
            let judge = Judge { rules: &desk.rules, model: &desk.used.model, version, now };
            match others {
                None => judge.within(&person).into_iter().map(|proposal| Said { proposal, of: id }).collect(),
                Some(others) => judge.between(&person, others),
            }
        };
        let taken_back = judge(self, None);
        if !taken_back.is_empty() {
            // Its parts come again, each for itself.
            for said in &taken_back {
                let [one, other] = said.proposal.pair;
                self.index.turn(one.into(), other.into())?;
            }
            return Ok(taken_back);
        }
        let others = self.others(&person, &keys, refused)?;
        let mut said = judge(self, Some(&others));
        self.leave_to_people(&person, &others, &mut said)?;
        self.tools.metrics.matching.compare.observe(began.elapsed().as_secs_f64());
        Ok(said)
    }

    /// Asks about those who were one and were taken apart so often that it does not settle, by whichever claims they were known then. What is
    /// asked already is not asked again.
    fn leave_to_people(&self, person: &Person, others: &[Other], said: &mut Vec<Said>) -> Result<(), Trouble> {
        let claims = |person: &Person| person.parts.iter().map(|part| part.id.into()).collect::<BTreeSet<CustomerId>>();
        let mut left = Vec::with_capacity(said.len());
        for mut one in said.drain(..) {
            let other = others.iter().find(|other| other.person.id == one.of);
            let Some(other) = other.filter(|_| one.proposal.outcome == Outcome::Merge) else {
                left.push(one);
                continue;
            };
            if self.index.turns_between(&claims(person), &claims(&other.person))? >= limits::MATCHING_TURNS_MAX {
                if other.before.iter().any(|(_, known)| known.outcome == Outcome::Review) {
                    continue;
                }
                one.proposal.outcome = Outcome::Review;
            }
            left.push(one);
        }
        *said = left;
        Ok(())
    }

    /// Those who are like a customer, and those of whom something was said.
    fn others(&mut self, person: &Person, keys: &[u64], refused: &BTreeSet<[ClaimId; 2]>) -> Result<Vec<Other>, Trouble> {
        let mut like = self.index.sharing(person.id, keys)?;
        self.left_out(like.len().saturating_sub(limits::MATCHING_CANDIDATES_MAX));
        like.truncate(limits::MATCHING_CANDIDATES_MAX);
        let mut wanted: BTreeMap<CustomerId, Vec<([ClaimId; 2], Match)>> = BTreeMap::new();
        {
            let state = self.tools.ledger.state();
            for (claim, pair, known) in said_before(person) {
                if let Some(customer) = whose(&*state, claim)? {
                    wanted.entry(customer).or_default().push((pair, known.clone()));
                }
            }
            for one in like {
                // It may have become somebody else, and the index hears of it later.
                if let Some(customer) = whose(&*state, one.into())?.filter(|customer| *customer != person.id) {
                    wanted.entry(customer).or_default();
                }
            }
        }
        let mut others = Vec::with_capacity(wanted.len());
        for (customer, before) in wanted {
            let own = pair(person.id.into(), customer.into());
            if refused.contains(&own) || before.iter().any(|(pair, _)| refused.contains(pair)) {
                continue;
            }
            let other = Person::read(&*self.tools.ledger.state(), customer, &self.rules, &self.used.model)?;
            let Some(other) = other else { continue };
            self.claims_read += other.parts.len();
            let mut turns = 0;
            for [one, other] in before.iter().map(|(pair, _)| *pair).chain([own]) {
                turns = turns.max(self.index.turns(one.into(), other.into())?);
            }
            others.push(Other { person: other, before, is_restless: turns >= limits::MATCHING_TURNS_MAX });
        }
        self.note(|standing| standing.compared_total += others.len() as u64);
        Ok(others)
    }

    /// Makes what is said a part of history, and counts it.
    fn say(&self, said: Vec<Proposal>) -> Result<(), Trouble> {
        self.note(|standing| {
            for proposal in &said {
                let total = match proposal.outcome {
                    Outcome::Merge => &mut standing.merges_total,
                    Outcome::Review => &mut standing.reviews_total,
                    Outcome::Apart => &mut standing.aparts_total,
                };
                *total += 1;
            }
        });
        self.log(said.into_iter().map(Input::Match).collect())
    }

    /// Logs inputs, and waits until they are durable and folded.
    fn log(&self, inputs: Vec<Input>) -> Result<(), Trouble> {
        let mut last = None;
        for input in inputs {
            let (answer, answered) = oneshot::channel();
            if !self.tools.ledger.send(Order::Input(Box::new(input), Some(answer))) {
                return Err(Trouble::Ended);
            }
            last = Some(answered);
        }
        // They are folded in the order in which they came.
        match last {
            Some(last) => last.blocking_recv().map(drop).map_err(|_| Trouble::Ended),
            None => Ok(()),
        }
    }

    fn left_out(&self, count: usize) {
        if count > 0 {
            self.note(|standing| standing.left_out_total += count as u64);
        }
    }

    fn show(&self) -> Result<(), Trouble> {
        let waiting = self.tools.ledger.state().lane(MATCHING_LANE).map(|lane| lane.profiles_next - lane.profiles_through)?;
        let head = &self.index.head;
        self.note(|standing| {
            (standing.customers, standing.keys_closed, standing.waiting) = (head.customers, head.keys_closed, waiting);
            // Claims are hashes, and so come evenly.
            let done = |walk: Walk| walk.after.map_or(0, |ClaimId(bytes)| u32::from(bytes[0]) * 100 / 256);
            standing.building = head.walk.map(|walk| u8::try_from(done(walk)).unwrap_or(99));
            standing.model = self.used.standing.clone();
        });
        Ok(())
    }

    fn note(&self, change: impl FnOnce(&mut Standing)) {
        change(&mut self.tools.standing.lock().unwrap_or_else(PoisonError::into_inner));
    }
}

/// Whom a delivery is about.
fn customer_of(text: &str) -> Option<CustomerId> {
    #[derive(Deserialize)]
    struct Named {
        customer_id: CustomerId,
    }
    serde_json::from_str::<Named>(text).ok().map(|named| named.customer_id)
}
