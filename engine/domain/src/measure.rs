//! What customers' events come to: tallies written as events are filed, and read when somebody asks.
//!
//! Tallies are kept by claim, like facts ([`crate::profile`]); [`measure`] makes one value of those of a customer's claims. A claim's node says
//! which tallies there are, and when they come to something else by themselves. Nothing here decides who is who, or who hears of it.

use std::collections::BTreeMap;
use std::sync::Arc;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::attribute::{Attribute, AttributeId, Effect, Mark, Meaning, Part, Standings, Stretches, Tally};
use crate::claim::ClaimId;
use crate::document::Document;
use crate::input::Swept;
use crate::plan::Plan;
use crate::profile::{Node, Profile, Told};
use crate::value::{Json, Timestamp};
use crate::view::{Read, Step, TallyId, View};

/// What an attribute of a customer comes to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Measured<'p> {
    /// The attribute.
    pub attribute: &'p Attribute,
    /// Its value; none where there is none, or none yet.
    pub value: Option<Json>,
    /// The event that decides it, or the latest that counts.
    pub mark: Option<Mark>,
    /// What is to be said of the value.
    pub note: Option<Note>,
}

/// What is to be said of a value.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Note {
    /// There is none yet: what came before the attribute is still being gone through.
    Building,
    /// It is an estimate.
    Estimate,
    /// There is none: there are more different values than can be told apart.
    TooMany,
    /// Events leave its window to the second, the minute or the hour, and not to the millisecond.
    Coarse,
}

/// Counts an event for every attribute that it is selected by, at the claim that it is filed under. Whether anything may be another now.
pub(crate) fn learn(
    plan: &Plan,
    step: &mut Step<'_, impl View>,
    claim: ClaimId,
    node: &mut Node,
    told: &Told<'_>,
) -> Read<Effect> {
    let (document, occurred) = (Document::of(told.event), told.event.occurred());
    let (mut effect, mut soonest) = (Effect::Nothing, node.changes_at);
    // An event that had left the window when it came counts never.
    let now = told.event.received.unwrap_or(occurred);
    for Attribute { id, meaning, .. } in plan.meanings() {
        if !meaning.selects(told.event) || !meaning.window.holds(occurred, now) {
            continue;
        }
        let mark = mark_of(told);
        let (parts, unusable) = meaning.parts(&document, told.event, &mark);
        note_unusable(step, *id, unusable);
        if parts.is_empty() {
            continue;
        }
        let standings = step.standings();
        let since = standings.attributes.get(id).map_or(0, |standing| standing.since);
        forget_unless(step, claim, node, *id, since);
        let kept = node.tallies.entry(*id).or_insert(Stretches { since, of: Vec::new() });
        let stretch = meaning.window.stretch(occurred);
        let known = match kept.of.binary_search(&stretch) {
            Ok(_) => step.tally((claim, *id, stretch))?,
            Err(place) => {
                kept.of.insert(place, stretch);
                None
            }
        };
        let mut tally = known.map_or_else(|| Tally::new(meaning), |known| Tally::clone(&known));
        let (was_coarse, was_full) = (tally.is_coarse(meaning.window), tally.is_too_many());
        for part in parts {
            effect = effect.max(tally.take(meaning, part, &mark));
        }
        note_bounds(step, *id, meaning, &tally, (was_coarse, was_full));
        soonest = earlier(soonest, tally.next_change(meaning, now));
        step.changes.tallies.insert((claim, *id, stretch), Some(Arc::new(tally)));
    }
    set_change(step, claim, node, soonest);
    Ok(effect)
}

/// The time has come at which a claim's tallies come to something else: lets go of those that count no more, and sets the next time. Whether
/// anything is another indeed; an early timer of a streak that went on changes nothing.
pub(crate) fn expire(plan: &Plan, step: &mut Step<'_, impl View>, claim: ClaimId, node: &mut Node, now: Timestamp) -> Read<bool> {
    let due = node.changes_at.unwrap_or(now);
    let (mut next, mut is_other) = (None, false);
    let standings = step.standings();
    for Attribute { id, meaning, .. } in plan.meanings().filter(|attribute| attribute.meaning.changes_by_itself()) {
        let since = standings.attributes.get(id).map(|standing| standing.since);
        let Some(kept) = node.tallies.get_mut(id).filter(|kept| Some(kept.since) == since) else { continue };
        let mut gone = 0;
        for stretch in &kept.of {
            let tally = step.tally((claim, *id, *stretch))?.unwrap_or_default();
            is_other |= tally.next_change(meaning, due.plus_ms(-1)).is_some_and(|at| at <= now);
            if meaning.window.is_past(*stretch, now) {
                step.changes.tallies.insert((claim, *id, *stretch), None);
                gone += 1;
            } else if let Some(at) = tally.next_change(meaning, now) {
                // Stretches are in the order of time: what is in later ones changes later.
                next = earlier(next, Some(at));
                break;
            }
        }
        kept.of.drain(..gone);
        if kept.of.is_empty() {
            node.tallies.remove(id);
        }
    }
    set_change(step, claim, node, next);
    Ok(is_other)
}

/// Takes in what a pass through history found at a claim for its attributes, and takes away what is kept of attributes that are gone.
pub(crate) fn sweep(
    plan: &Plan,
    step: &mut Step<'_, impl View>,
    attributes: &[AttributeId],
    (node, swept): (&mut Node, &Swept),
    now: Timestamp,
) -> Read<()> {
    let (claim, standings) = (swept.claim, step.standings());
    let is_its = |id: &AttributeId| attributes.contains(id);
    for id in node.tallies.keys().copied().collect::<Vec<_>>() {
        let since = standings.attributes.get(&id).map_or(u64::MAX, |standing| standing.since);
        forget_unless(step, claim, node, id, since);
    }
    let mut soonest = node.changes_at;
    for (id, stretch, found) in swept.tallies.iter().filter(|(id, ..)| is_its(id)) {
        let Some(Attribute { meaning, .. }) = plan.meaning(*id) else { continue };
        let since = standings.attributes.get(id).map_or(0, |standing| standing.since);
        let kept = node.tallies.entry(*id).or_insert(Stretches { since, of: Vec::new() });
        let tally = match kept.of.binary_search(stretch) {
            Ok(_) => {
                let mut known = Tally::clone(&step.tally((claim, *id, *stretch))?.unwrap_or_default());
                known.merge(meaning, found.clone());
                known
            }
            Err(place) => {
                kept.of.insert(place, *stretch);
                found.clone()
            }
        };
        note_bounds(step, *id, meaning, &tally, (false, false));
        soonest = earlier(soonest, tally.next_change(meaning, now));
        step.changes.tallies.insert((claim, *id, *stretch), Some(Arc::new(tally)));
    }
    for (id, unusable) in swept.unusable.iter().filter(|(id, _)| is_its(id)) {
        note_unusable(step, *id, *unusable);
    }
    set_change(step, claim, node, soonest);
    Ok(())
}

/// Takes away all that is kept of a claim's events.
pub(crate) fn forget(step: &mut Step<'_, impl View>, claim: ClaimId, node: &Node) {
    for (id, kept) in &node.tallies {
        step.changes.tallies.extend(kept.of.iter().map(|stretch| ((claim, *id, *stretch), None)));
    }
    step.changes.changing.extend(node.changes_at.map(|at| ((at, claim), false)));
}

/// What some events of one claim come to, by attribute and stretch of time; and how many values could not be used.
pub struct Count<'p> {
    attributes: Vec<&'p Attribute>,
    now: Timestamp,
    /// What they come to.
    pub tallies: BTreeMap<(AttributeId, i64), Tally>,
    /// Values that could not be used.
    pub unusable: BTreeMap<AttributeId, u64>,
}

impl<'p> Count<'p> {
    /// Begins to count for attributes, of different meanings, as it is at `now`.
    #[must_use]
    pub fn begin(attributes: Vec<&'p Attribute>, now: Timestamp) -> Self {
        Count { attributes, now, tallies: BTreeMap::new(), unusable: BTreeMap::new() }
    }

    /// Counts an event.
    pub fn take(&mut self, told: &Told<'_>) {
        let (document, occurred) = (Document::of(told.event), told.event.occurred());
        for Attribute { id, meaning, .. } in &self.attributes {
            if !meaning.selects(told.event) || !meaning.window.holds(occurred, self.now) {
                continue;
            }
            let mark = mark_of(told);
            let (parts, unusable) = meaning.parts(&document, told.event, &mark);
            if unusable > 0 {
                *self.unusable.entry(*id).or_default() += unusable;
            }
            if parts.is_empty() {
                continue;
            }
            let tally = self.tallies.entry((*id, meaning.window.stretch(occurred))).or_insert_with(|| Tally::new(meaning));
            for part in parts {
                tally.take(meaning, part, &mark);
            }
        }
    }

    /// What they come to for one attribute, where it may be that nothing comes to anything.
    #[must_use]
    pub fn measured(&self, attribute: &'p Attribute) -> Measured<'p> {
        let tallies = self.tallies.range((attribute.id, i64::MIN)..=(attribute.id, i64::MAX)).map(|(_, tally)| tally);
        let mut whole = Whole::default();
        tallies.for_each(|tally| whole.take(&attribute.meaning, tally, self.now));
        whole.finish(attribute, self.now)
    }
}

/// What every attribute of a customer comes to at `now`: the customer's nodes by their claims, and a way to look at a tally.
///
/// # Errors
/// [`crate::view::ViewError`], where state cannot be read.
pub fn measure<'p, T: AsRef<Tally>>(
    plan: &'p Plan,
    standings: &Standings,
    nodes: &[(ClaimId, &Node)],
    now: Timestamp,
    tally: impl Fn(TallyId) -> Read<Option<T>>,
) -> Read<Vec<Measured<'p>>> {
    let mut measured = Vec::with_capacity(plan.attributes.len());
    for attribute in &plan.attributes {
        let Attribute { id, meaning, .. } = attribute;
        let since = standings.attributes.get(id).map_or(0, |standing| standing.since);
        let is_complete = |(claim, node): &(ClaimId, &Node)| {
            node.events_total == 0 || node.began >= since || standings.is_complete(*claim, *id)
        };
        if !nodes.iter().all(is_complete) {
            measured.push(Measured { attribute, value: None, mark: None, note: Some(Note::Building) });
            continue;
        }
        let mut whole = Whole::default();
        for (claim, node) in nodes {
            let Some(kept) = node.tallies.get(id).filter(|kept| kept.since == since) else { continue };
            for stretch in kept.of.iter().filter(|stretch| !meaning.window.is_past(**stretch, now)) {
                if let Some(tally) = tally((*claim, *id, *stretch))? {
                    whole.take(meaning, tally.as_ref(), now);
                }
            }
        }
        measured.push(whole.finish(attribute, now));
    }
    Ok(measured)
}

/// Several tallies as one.
#[derive(Default)]
struct Whole {
    part: Option<Part>,
    latest: Option<Mark>,
    is_coarse: bool,
}

impl Whole {
    fn take(&mut self, meaning: &Meaning, tally: &Tally, now: Timestamp) {
        self.is_coarse |= tally.is_coarse(meaning.window);
        for (part, mark) in tally.counting(meaning.window, now) {
            let order = |mark: &Mark| mark.order();
            if mark.map(order) > self.latest.as_ref().map(order) {
                self.latest = mark.cloned();
            }
            match &mut self.part {
                Some(whole) => drop(whole.merge(part.clone(), &meaning.calculation)),
                none => *none = Some(part.clone()),
            }
        }
    }

    fn finish<'p>(self, attribute: &'p Attribute, now: Timestamp) -> Measured<'p> {
        let Whole { part, latest, is_coarse } = self;
        let Some(part) = part else {
            return Measured { attribute, value: attribute.meaning.of_nothing(), mark: None, note: None };
        };
        let note = match &part {
            part if part.is_too_many() => Some(Note::TooMany),
            part if part.is_estimate() => Some(Note::Estimate),
            _ => is_coarse.then_some(Note::Coarse),
        };
        let value = part.value(&attribute.meaning.calculation, now);
        Measured { attribute, value, mark: part.mark().cloned().or(latest), note }
    }
}

impl Profile {
    /// Adds what the events come to: attributes, and traits that have a rule of their own. Of a trait whose rule is still being gone
    /// through, the latest event decides until then.
    pub fn add(&mut self, measured: &[Measured<'_>]) {
        for Measured { attribute, value, note, .. } in measured {
            let values = if attribute.is_trait { &mut self.traits } else { &mut self.attributes };
            match value {
                Some(value) => drop(values.insert(attribute.name.clone(), value.clone())),
                None if attribute.is_trait && *note != Some(Note::Building) => drop(values.remove(&attribute.name)),
                None => (),
            }
        }
    }
}

fn mark_of(told: &Told<'_>) -> Mark {
    let Told { event, source, position, tie } = told;
    Mark { occurred: event.occurred(), tie: *tie, ordinal: 0, position: *position, source: (*source).into() }
}

fn earlier(one: Option<Timestamp>, other: Option<Timestamp>) -> Option<Timestamp> {
    one.into_iter().chain(other).min()
}

/// Takes away what is kept of an attribute that was gone in between.
fn forget_unless(step: &mut Step<'_, impl View>, claim: ClaimId, node: &mut Node, id: AttributeId, since: u64) {
    if node.tallies.get(&id).is_some_and(|kept| kept.since != since) {
        for stretch in node.tallies.remove(&id).into_iter().flat_map(|kept| kept.of) {
            step.changes.tallies.insert((claim, id, stretch), None);
        }
    }
}

fn set_change(step: &mut Step<'_, impl View>, claim: ClaimId, node: &mut Node, at: Option<Timestamp>) {
    if node.changes_at == at {
        return;
    }
    for (timer, is_set) in [(node.changes_at, false), (at, true)] {
        if let Some(timer) = timer {
            step.changes.changing.insert((timer, claim), is_set);
        }
    }
    node.changes_at = at;
}

fn note_unusable(step: &mut Step<'_, impl View>, id: AttributeId, unusable: u64) {
    if unusable > 0 {
        step.count(|totals| totals.values_unusable += unusable);
        step.stand(|standings| standings.attributes.entry(id).or_default().unusable_total += unusable);
    }
}

/// Counts a tally that has just come to one of its bounds.
fn note_bounds(step: &mut Step<'_, impl View>, id: AttributeId, meaning: &Meaning, tally: &Tally, before: (bool, bool)) {
    let is_coarse = tally.is_coarse(meaning.window) && !before.0;
    let is_full = tally.is_too_many() && !before.1;
    if is_coarse || is_full {
        step.stand(|standings| {
            let standing = standings.attributes.entry(id).or_default();
            standing.coarse_total += u64::from(is_coarse);
            standing.too_many_total += u64::from(is_full);
        });
    }
}
