//! What follows from an input: the heart of Weft, as a pure function.
//!
//! State is `fold` over history, from the first record to the last (invariant 4). Given the rules in force, a view of state and an
//! input at its place in history, [`fold`] answers with [`Changes`]: rows to put and take away, timers, deliveries, dead letters. It
//! asks no clock and no plugin. `app`'s writer carries the changes out.
//!
//! For an event: what it says outright of identifiers is put right ([`correct`]); [`resolve`] says who it is about and what moved between
//! customers because of it; moves change who is made of which claims; the event's facts, its place and what it counts for go to its
//! claim's node; and where a profile changed, a timer is set so that destinations hear of it once it rests.

mod consent;
mod erase;

use std::collections::BTreeMap;
use std::sync::Arc;

use serde_json::json;

use crate::attribute::{Effect, Pass};
use crate::claim::{ClaimId, CustomerId, Decision, Proposal, Trained, Verdict, Witness, fingerprint};
use crate::correction::correct;
use crate::event::Event;
use crate::input::{Command, DeadLetter, ERASED, Input, Kv, Part, Receipts, Stream, Sweep};
use crate::limits;
use crate::measure::{self, measure};
use crate::plan::{MATCHING_LANE, Plan};
use crate::profile::{Entry, Profile, Told};
use crate::resolve::{Move, compare, decide, decide_match, resolve, retract, separate, strike};
use crate::value::Timestamp;
use crate::view::{Again, Changes, Customer, Heard, Lane, Letter, LetterBytes, Read, Step, View};

/// What follows from an input at its place in history.
///
/// # Errors
/// [`crate::view::ViewError`], where state cannot be read; then nothing follows, and the same input can be folded again.
pub fn fold(plan: &Plan, view: &impl View, position: u64, input: &Input) -> Read<Changes> {
    let mut step = Step::on(view);
    match input {
        Input::Event { source, event, .. } => take_event(plan, &mut step, position, source, event)?,
        Input::Passed { .. } => (),
        Input::DeadLetter(letter) => keep_letter(&mut step, position, letter),
        Input::Tick(now) => pass_time(plan, &mut step, position, *now)?,
        Input::Receipts(receipts) => close_deliveries(plan, &mut step, position, receipts)?,
        Input::Plan(new) => adopt(plan, &mut step, position, new)?,
        Input::Command(command) => obey(plan, &mut step, position, command)?,
        Input::Kv(kv) | Input::Position { kv, .. } => keep_value(&mut step, kv)?,
        Input::Sweep(sweep) => take_sweep(plan, &mut step, sweep)?,
        Input::Match(proposal) => take_match(plan, &mut step, proposal)?,
        Input::Model(model) => {
            let (at, json) = (model.at, model.json.clone());
            step.changes.model = Some(Arc::new(Trained { version: position, at, json }));
        }
    }
    Ok(step.changes)
}

/// Whether an event is one that the duplicate window knows. Asked before an event enters history, so that history, and every
/// destination that follows it, has each event once (invariant 5).
#[must_use]
pub fn is_repetition(view: &impl View, event: &Event) -> bool {
    event.message_id.as_deref().is_some_and(|id| view.repeated(fingerprint(id)))
}

/// New rules from here on. They change nobody by themselves: a customer is divided anew when one of its claims is touched.
fn adopt(before: &Plan, step: &mut Step<'_, impl View>, position: u64, plan: &Plan) -> Read<()> {
    for name in plan.event_lanes.iter().filter(|name| !before.event_lanes.contains(name)) {
        let lane = step.lane(name)?;
        step.changes.lanes.insert(name.clone(), Lane { events_through: position, ..lane });
    }
    if before.matching && !plan.matching {
        stop_matching(step)?;
    }
    let (standings, has_claims) = (step.standings(), step.before().totals().claims > 0);
    let adopted = standings.adopt(plan.meanings().map(|attribute| attribute.id), position, has_claims);
    if adopted != *standings {
        step.changes.standings = Some(Arc::new(adopted));
    }
    step.changes.plan = Some(Arc::new(plan.clone()));
    Ok(())
}

/// Nobody compares customers any more: what waited to be compared waits no longer.
fn stop_matching(step: &mut Step<'_, impl View>) -> Read<()> {
    let mut lane = step.lane(MATCHING_LANE)?;
    for number in lane.profiles_through..lane.profiles_next {
        step.changes.deliveries.insert((MATCHING_LANE.to_owned(), number), None);
    }
    lane.profiles_through = lane.profiles_next;
    step.changes.lanes.insert(MATCHING_LANE.to_owned(), lane);
    Ok(())
}

fn take_event(plan: &Plan, step: &mut Step<'_, impl View>, position: u64, source: &str, event: &Event) -> Read<()> {
    let message_id = event.message_id.as_deref().unwrap_or_default();
    let tie = fingerprint(message_id);
    step.changes.remember = Some(tie);
    step.count(|totals| totals.events += 1);
    let witness = Witness { occurred: event.occurred(), message_id: message_id.to_owned(), source: source.to_owned() };
    let settled = event.received.unwrap_or_default().plus_ms(limits::PROFILE_SETTLE_MS);
    let corrected = correct(&plan.identity, step, &event.claims, &witness)?;
    carry_out(plan, step, &corrected, settled)?;
    let Some(resolved) = resolve(&plan.identity, step, &event.claims, witness)? else { return Ok(()) };
    carry_out(plan, step, &resolved.moves, settled)?;
    let (customer, effect) = file(plan, step, resolved.claim, &Told { event, source, position, tie })?;
    let Some(customer) = customer else { return Ok(()) };
    let changed = match effect {
        Effect::Nothing => false,
        Effect::Renewed => customer_of(step, customer)?.claims.len() > 1,
        Effect::Changed => true,
    };
    if changed { announce(plan, step, customer, settled) } else { Ok(()) }
}

/// Files an event under its claim: whose it is, and what it did to what is known.
fn file(plan: &Plan, step: &mut Step<'_, impl View>, claim: ClaimId, told: &Told<'_>) -> Read<(Option<CustomerId>, Effect)> {
    let mut node = step.node(claim)?.unwrap_or_default();
    let kept = Arc::make_mut(&mut node);
    let refused_before = kept.refused_total;
    let effect = kept.learn(told);
    let refused = kept.refused_total - refused_before;
    let effect = effect.max(measure::learn(plan, step, claim, kept, told)?);
    kept.page.push(Entry { occurred: told.event.occurred(), position: told.position });
    if kept.page.len() >= limits::INDEX_PAGE_ENTRIES {
        let full = std::mem::take(&mut kept.page);
        step.changes.pages.insert((claim, kept.pages), Some(Arc::new(full)));
        kept.pages += 1;
    }
    let customer = kept.customer;
    step.changes.nodes.insert(claim, Some(node));
    if refused > 0 {
        step.count(|totals| totals.facts_refused += refused);
    }
    Ok((customer, effect))
}

/// Carries claims from one customer to another.
fn carry_out(plan: &Plan, step: &mut Step<'_, impl View>, moves: &[Move], due: Timestamp) -> Read<()> {
    for one in moves {
        let mut node = if one.is_new { Arc::default() } else { step.node(one.claim)?.unwrap_or_default() };
        let kept = Arc::make_mut(&mut node);
        let from = kept.customer.replace(one.to);
        kept.identifiers.clone_from(&one.identifiers);
        if from != Some(one.to) {
            // Before the node is written: a customer without a row of its own is known by its claim's node.
            let begins = one.is_new && one.to == one.claim.into() && !step.changes.customers.contains_key(&one.to);
            let mut receiver = if begins { Customer::default() } else { customer_of(step, one.to)? };
            let mut giver = match from {
                Some(from) => Some((from, customer_of(step, from)?)),
                None => None,
            };
            if let Some((from, giver)) = &mut giver {
                giver.claims.retain(|claim| *claim != one.claim);
                if giver.claims.is_empty() {
                    step.count(|totals| totals.customers -= 1);
                }
                let giver = giver.clone();
                // What is left of it has changed as well, and its rows say so.
                if let Some(left) = giver.claims.first()
                    && let Some(node) = step.node(*left)?
                {
                    step.changes.nodes.insert(*left, Some(node));
                }
                save(step, *from, giver);
            }
            if receiver.claims.is_empty() {
                step.count(|totals| totals.customers += 1);
            }
            let place = receiver.claims.binary_search(&one.claim).unwrap_or_else(|place| place);
            receiver.claims.insert(place, one.claim);
            // A customer that begins with this claim has no row, and needs none yet.
            if !begins {
                save(step, one.to, receiver);
            }
        }
        step.changes.nodes.insert(one.claim, Some(node));
        if let Some(from) = from.filter(|from| *from != one.to) {
            announce(plan, step, from, due)?;
        }
        announce(plan, step, one.to, due)?;
    }
    Ok(())
}

/// A customer's row. One that is made of its own claim alone, and has nothing else to say, has none.
fn customer_of(step: &Step<'_, impl View>, id: CustomerId) -> Read<Customer> {
    if let Some(row) = step.customer(id)? {
        return Ok(Customer::clone(&row));
    }
    let alone = step.node(id.into())?.is_some_and(|node| node.customer == Some(id));
    Ok(Customer { claims: if alone { vec![id.into()] } else { Vec::new() }, ..Customer::default() })
}

fn save(step: &mut Step<'_, impl View>, id: CustomerId, customer: Customer) {
    let is_unheard = !customer.told && customer.heard_by.is_empty() && customer.pending.is_none();
    let says_nothing = customer.claims.is_empty() || customer.claims == [ClaimId::from(id)];
    let row = if is_unheard && says_nothing { None } else { Some(Arc::new(customer)) };
    step.changes.customers.insert(id, row);
}

/// Sets the timer at which destinations hear of a profile, unless it runs already.
fn announce(plan: &Plan, step: &mut Step<'_, impl View>, id: CustomerId, due: Timestamp) -> Read<()> {
    if !plan.tells_of_profiles() {
        return Ok(());
    }
    let mut customer = customer_of(step, id)?;
    let is_unheard = !customer.told && customer.heard_by.is_empty();
    if customer.pending.is_some() || (customer.claims.is_empty() && is_unheard) {
        return Ok(());
    }
    customer.pending = Some(due);
    step.changes.timers.insert((due, id), true);
    save(step, id, customer);
    Ok(())
}

fn pass_time(plan: &Plan, step: &mut Step<'_, impl View>, position: u64, now: Timestamp) -> Read<()> {
    let now = now.max(step.before().clock());
    step.changes.clock = Some(now);
    let changing = expire(plan, step, now)?;
    let due = fire_timers(plan, step, position, now)?;
    step.changes.more_due = changing.max(due) == limits::TICK_TIMERS_MAX;
    Ok(())
}

/// What events come to changes when they leave a window, or days in a row end. How many claims were looked at.
fn expire(plan: &Plan, step: &mut Step<'_, impl View>, now: Timestamp) -> Read<usize> {
    let changing = step.before().changing(now, limits::TICK_TIMERS_MAX)?;
    for (at, claim) in &changing {
        step.changes.changing.insert((*at, *claim), false);
        let Some(mut node) = step.node(*claim)? else { continue };
        let kept = Arc::make_mut(&mut node);
        let (is_other, customer) = (measure::expire(plan, step, *claim, kept, now)?, kept.customer);
        step.changes.nodes.insert(*claim, Some(node));
        if let Some(customer) = customer.filter(|_| is_other) {
            announce(plan, step, customer, now)?;
        }
    }
    Ok(changing.len())
}

/// Tells destinations of profiles that have rested. How many timers fired.
fn fire_timers(plan: &Plan, step: &mut Step<'_, impl View>, position: u64, now: Timestamp) -> Read<usize> {
    let due = step.before().due(now, limits::TICK_TIMERS_MAX)?;
    let fired = due.len();
    for (ordinal, (at, id)) in (0..).zip(due) {
        step.changes.timers.insert((at, id), false);
        let mut customer = customer_of(step, id)?;
        customer.pending = None;
        if plan.matching {
            let changed =
                if customer.claims.is_empty() { merged(step, id)? } else { json!({ "customer_id": id }).to_string().into() };
            deliver(step, MATCHING_LANE, &changed)?;
        }
        if plan.profile_lanes.is_empty() {
            customer.told = !customer.claims.is_empty();
            save(step, id, customer);
            continue;
        }
        let told = if customer.claims.is_empty() { merged(step, id)? } else { profile_of(plan, step, id, &customer, now)? };
        customer.told = !customer.claims.is_empty();
        let heard = customer.told.then_some(Heard::Has);
        for lane in plan.profile_lanes.iter().filter(|lane| !plan.consent.contains_key(*lane)) {
            customer.note_heard(lane, heard);
        }
        save(step, id, customer);
        if told.len() > limits::PROFILE_BYTES_MAX {
            too_large(step, (position, ordinal), now, id, told.len());
            continue;
        }
        for lane in &plan.profile_lanes {
            consent::tell(plan, step, lane, id, &told)?;
        }
    }
    Ok(fired)
}

/// What destinations are told of a customer.
fn profile_of(plan: &Plan, step: &Step<'_, impl View>, id: CustomerId, customer: &Customer, now: Timestamp) -> Read<Arc<str>> {
    let found = customer.claims.iter().map(|claim| Ok((*claim, step.node(*claim)?))).collect::<Read<Vec<_>>>()?;
    let nodes: Vec<_> = found.iter().filter_map(|(claim, node)| Some((*claim, &**node.as_ref()?))).collect();
    let mut profile = Profile::unite(id, &nodes.iter().map(|(_, node)| *node).collect::<Vec<_>>());
    profile.add(&measure(plan, &step.standings(), &nodes, now, |tally| step.tally(tally))?);
    let text = serde_json::to_string(&profile).expect("a profile has string keys and valid JSON in it");
    Ok(text.into())
}

/// Takes in what the matcher says of two customers.
fn take_match(plan: &Plan, step: &mut Step<'_, impl View>, proposal: &Proposal) -> Read<()> {
    let moves = compare(&plan.identity, step, proposal)?;
    let settled = step.before().clock().plus_ms(limits::PROFILE_SETTLE_MS);
    carry_out(plan, step, &moves, settled)
}

/// Takes in a piece of a pass through history, where the pass stands at its beginning.
fn take_sweep(plan: &Plan, step: &mut Step<'_, impl View>, sweep: &Sweep) -> Read<()> {
    let standings = step.standings();
    let stands = |pass: &Pass| pass.since == sweep.since && pass.after == sweep.after;
    let Some(place) = standings.passes.iter().position(stands) else { return Ok(()) };
    let (attributes, now) = (&standings.passes[place].attributes, step.before().clock());
    step.stand(|standings| match sweep.through {
        Some(_) => standings.passes[place].after = sweep.through,
        None => drop(standings.passes.remove(place)),
    });
    if sweep.missing > 0 {
        step.stand(|standings| {
            for id in attributes {
                standings.attributes.entry(*id).or_default().missing_total += sweep.missing;
            }
        });
    }
    for swept in &sweep.claims {
        let Some(mut node) = step.node(swept.claim)? else { continue };
        let kept = Arc::make_mut(&mut node);
        measure::sweep(plan, step, attributes, (kept, swept), now)?;
        let customer = kept.customer;
        step.changes.nodes.insert(swept.claim, Some(node));
        if let Some(customer) = customer {
            announce(plan, step, customer, now.plus_ms(limits::PROFILE_SETTLE_MS))?;
        }
    }
    Ok(())
}

/// What destinations are told of a customer who turned out to be another.
fn merged(step: &Step<'_, impl View>, id: CustomerId) -> Read<Arc<str>> {
    let into = step.node(id.into())?.and_then(|node| node.customer);
    Ok(json!({ "customer_id": id, "merged_into": into }).to_string().into())
}

fn deliver(step: &mut Step<'_, impl View>, name: &str, told: &Arc<str>) -> Read<()> {
    let mut lane = step.lane(name)?;
    let number = lane.profiles_next;
    lane.profiles_next += 1;
    step.changes.lanes.insert(name.to_owned(), lane);
    step.changes.deliveries.insert((name.to_owned(), number), Some(told.clone()));
    Ok(())
}

/// Notes what became of deliveries: cursors move, rows go, what was refused becomes a dead letter.
fn close_deliveries(plan: &Plan, step: &mut Step<'_, impl View>, position: u64, receipts: &Receipts) -> Read<()> {
    let mut lane = step.lane(&receipts.lane)?;
    let again = end_again(step, &mut lane, receipts)?;
    for (ordinal, refused) in (0..).zip(&receipts.rejected).filter(|(_, refused)| refused.code != ERASED) {
        let bytes = match receipts.stream {
            Stream::Events => LetterBytes::Event(refused.position),
            Stream::Profiles => {
                let row = step.before().delivery(&receipts.lane, refused.position)?;
                LetterBytes::Here(row.as_deref().unwrap_or_default().to_owned())
            }
        };
        let tried_before = match again.get(&refused.position) {
            None => 0,
            Some(Some(letter)) => letter.attempts,
            // Its letter was dropped while it was on its way.
            Some(None) => continue,
        };
        let (code, message) = (refused.code.clone(), refused.message.clone());
        let attempts = refused.attempts.saturating_add(tried_before);
        let letter = Letter { stage: receipts.lane.clone(), code, message, attempts, at: receipts.at, bytes };
        set_aside(step, (position, ordinal), letter);
    }
    for (reason, count) in &receipts.withheld.by_reason {
        let is_known = lane.withheld.contains_key(reason) || lane.withheld.len() < limits::WITHHELD_REASONS_MAX;
        *lane.withheld.entry(if is_known { reason.clone() } else { String::new() }).or_default() += count;
    }
    match receipts.stream {
        Stream::Events => lane.events_through = lane.events_through.max(receipts.through),
        Stream::Profiles => {
            let through = receipts.through.min(lane.profiles_next);
            let ended = lane.profiles_through..through;
            for number in ended.clone() {
                step.changes.deliveries.insert((receipts.lane.clone(), number), None);
            }
            lane.profiles_through = lane.profiles_through.max(through);
            step.changes.lanes.insert(receipts.lane.clone(), lane);
            return consent::close(plan, step, receipts, ended);
        }
    }
    step.changes.lanes.insert(receipts.lane.clone(), lane);
    Ok(())
}

/// Lets letters go whose events were delivered again, whatever came of it. By the places of the events, the letters that waited for them; none
/// where nobody waits any more.
fn end_again(step: &mut Step<'_, impl View>, lane: &mut Lane, receipts: &Receipts) -> Read<BTreeMap<u64, Option<Arc<Letter>>>> {
    let mut ended = BTreeMap::new();
    for event in &receipts.again {
        let letter = match step.again(&receipts.lane, *event)? {
            None => None,
            Some(again) => {
                step.changes.again.insert((receipts.lane.clone(), *event), None);
                lane.again = lane.again.saturating_sub(1);
                let letter = step.letter(again.letter)?;
                let_go(step, again.letter)?;
                letter
            }
        };
        ended.entry(*event).or_insert(letter);
    }
    Ok(ended)
}

/// A profile that no row holds: nobody hears of it until it shrinks, and the dead letter says so.
fn too_large(step: &mut Step<'_, impl View>, (position, ordinal): (u64, u32), now: Timestamp, id: CustomerId, bytes: usize) {
    let message = format!("the profile has {bytes} bytes, and {} can be delivered", limits::PROFILE_BYTES_MAX);
    let (code, here) = ("profile_too_large".to_owned(), json!({ "customer_id": id }).to_string());
    let bytes = LetterBytes::Here(here);
    let letter = Letter { stage: "profiles".into(), code, message, attempts: 0, at: Some(now), bytes };
    set_aside(step, (position, ordinal), letter);
}

fn keep_letter(step: &mut Step<'_, impl View>, position: u64, letter: &DeadLetter) {
    let DeadLetter { stage, code, message, at, .. } = letter.clone();
    let letter = Letter { stage, code, message, attempts: 1, at, bytes: LetterBytes::Record(position) };
    set_aside(step, (position, 0), letter);
}

fn set_aside(step: &mut Step<'_, impl View>, id: (u64, u32), letter: Letter) {
    step.changes.letters.insert(id, Some(Arc::new(letter)));
    step.count(|totals| totals.letters += 1);
}

/// A letter waits no longer, where it did.
fn let_go(step: &mut Step<'_, impl View>, id: (u64, u32)) -> Read<()> {
    if step.letter(id)?.is_some() {
        step.changes.letters.insert(id, None);
        step.count(|totals| totals.letters -= 1);
    }
    Ok(())
}

/// Puts a value into a stage's small store or takes one away, and counts its keys. Whether there is room was asked before history.
fn keep_value(step: &mut Step<'_, impl View>, Kv { stage, key, value }: &Kv) -> Read<()> {
    let before = step.before();
    let (had, keys) = (before.has_key(stage, key)?, before.keys(stage)?);
    match (had, value) {
        (false, Some(_)) => drop(step.changes.keys.insert(stage.clone(), keys + 1)),
        (true, None) => drop(step.changes.keys.insert(stage.clone(), keys.saturating_sub(1))),
        _ => (),
    }
    step.changes.kv.insert((stage.clone(), key.clone()), value.clone());
    Ok(())
}

/// Lets letters go. What is on its way to be delivered again because of one goes no further than where it is.
fn drop_letters(step: &mut Step<'_, impl View>, letters: &[(u64, u32)]) -> Read<()> {
    for id in letters {
        let Some(letter) = step.letter(*id)? else { continue };
        let_go(step, *id)?;
        let LetterBytes::Event(event) = letter.bytes else { continue };
        if step.again(&letter.stage, event)?.is_some_and(|again| again.letter == *id) {
            step.changes.again.insert((letter.stage.clone(), event), None);
            let mut lane = step.lane(&letter.stage)?;
            lane.again = lane.again.saturating_sub(1);
            step.changes.lanes.insert(letter.stage.clone(), lane);
        }
    }
    Ok(())
}

/// Has destinations get events again that they refused. Asked twice, it is as if it were asked once.
fn deliver_again(plan: &Plan, step: &mut Step<'_, impl View>, position: u64, letters: &[(u64, u32)]) -> Read<()> {
    for id in letters {
        let Some(letter) = step.letter(*id)? else { continue };
        let Some(event) = refused_event(plan, &letter) else { continue };
        if step.again(&letter.stage, event)?.is_some() {
            continue;
        }
        step.changes.again.insert((letter.stage.clone(), event), Some(Arc::new(Again { letter: *id, position })));
        let mut lane = step.lane(&letter.stage)?;
        lane.again += 1;
        lane.again_total += 1;
        step.changes.lanes.insert(letter.stage.clone(), lane);
    }
    Ok(())
}

/// The place in history of the event that a destination refused; none where a letter is of something else, or the destination is fed with no events
/// any more.
#[must_use]
pub fn refused_event(plan: &Plan, letter: &Letter) -> Option<u64> {
    match letter.bytes {
        LetterBytes::Event(position) if plan.event_lanes.contains(&letter.stage) => Some(position),
        _ => None,
    }
}

/// Delivers profiles again that a destination refused, each as it is now: what was refused may long be wrong.
fn tell_again(plan: &Plan, step: &mut Step<'_, impl View>, letters: &[(u64, u32)]) -> Read<()> {
    for id in letters {
        let Some(letter) = step.letter(*id)? else { continue };
        let Some(customer) = refused_customer(plan, &letter) else { continue };
        let row = customer_of(step, customer)?;
        let now = step.before().clock();
        let told = if row.claims.is_empty() { merged(step, customer)? } else { profile_of(plan, step, customer, &row, now)? };
        if told.len() > limits::PROFILE_BYTES_MAX {
            continue;
        }
        let LetterBytes::Here(refused) = &letter.bytes else { continue };
        consent::tell_again(plan, step, &letter.stage, (customer, refused), &told)?;
        let_go(step, *id)?;
    }
    Ok(())
}

/// The customer whose profile a destination refused; none where a letter is of something else.
#[must_use]
pub fn refused_customer(plan: &Plan, letter: &Letter) -> Option<CustomerId> {
    let LetterBytes::Here(text) = &letter.bytes else { return None };
    customer_in(text).filter(|_| plan.profile_lanes.contains(&letter.stage))
}

/// The customer whom a profile, as destinations get it, is of.
fn customer_in(told: &str) -> Option<CustomerId> {
    merged_from(told).map(|(id, _)| id)
}

/// The same, and the customer whom that one turned out to be.
fn merged_from(told: &str) -> Option<(CustomerId, Option<CustomerId>)> {
    #[derive(serde::Deserialize)]
    struct Named {
        customer_id: CustomerId,
        merged_into: Option<CustomerId>,
    }
    let Named { customer_id, merged_into } = serde_json::from_str(told).ok()?;
    Some((customer_id, merged_into))
}

/// Pauses a destination, or resumes it. One that is paused already was paused then.
fn pause(step: &mut Step<'_, impl View>, name: &str, since: Option<Timestamp>) -> Read<()> {
    let mut lane = step.lane(name)?;
    lane.paused = since.map(|now| lane.paused.unwrap_or(now));
    step.changes.lanes.insert(name.to_owned(), lane);
    Ok(())
}

fn obey(plan: &Plan, step: &mut Step<'_, impl View>, position: u64, command: &Command) -> Read<()> {
    let moves = match command {
        Command::Retract { claim, reason } => retract(&plan.identity, step, *claim, Some(reason))?,
        Command::Restore { claim } => retract(&plan.identity, step, *claim, None)?,
        Command::Split { parts, reason } => return split(plan, step, parts, Some(reason)),
        Command::Rejoin { parts } => return split(plan, step, parts, None),
        Command::Decide { claim, decision, reason } => {
            let verdict = decision.map(|decision| Verdict { decision, reason: reason.clone() });
            decide(&plan.identity, step, *claim, verdict)?
        }
        Command::DecideMatch { pair, decision, reason } => {
            let verdict = decision.map(|decision| Verdict { decision, reason: reason.clone() });
            decide_match(&plan.identity, step, *pair, verdict)?
        }
        Command::DropLetters { letters, .. } => return drop_letters(step, letters),
        Command::DeliverAgain { letters } => return deliver_again(plan, step, position, letters),
        Command::TellAgain { letters } => return tell_again(plan, step, letters),
        Command::Erase(gone) => return erase::erase(plan, step, gone),
        Command::Pause { lane } => return pause(step, lane, Some(step.before().clock())),
        Command::Resume { lane } => return pause(step, lane, None),
    };
    let now = step.before().clock();
    carry_out(plan, step, &moves, now)
}

/// Takes apart what a person says is not one person's, or (with no reason) lets it join again.
fn split(plan: &Plan, step: &mut Step<'_, impl View>, parts: &[Part], reason: Option<&str>) -> Read<()> {
    let (rules, now) = (&plan.identity, step.before().clock());
    for part in parts {
        let moves = match part {
            Part::Claim { claim } => retract(rules, step, *claim, reason)?,
            Part::Word { claim, source } => strike(rules, step, *claim, source, reason)?,
            Part::Match { pair } => {
                let refused = |reason: &str| Verdict { decision: Decision::Refuse, reason: reason.to_owned() };
                decide_match(rules, step, *pair, reason.map(refused))?
            }
            Part::Pair { one, other, of } => separate(rules, step, [*one, *other], *of, reason)?,
        };
        carry_out(plan, step, &moves, now)?;
    }
    Ok(())
}
