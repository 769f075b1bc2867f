//! What there is of people beside their claims and events: dead letters, deliveries that wait, values of plugins' stores, and reasons that
//! name them, in what was said of others.
//!
//! State is gone through once, however many people are looked for. Who is named is decided for all of them as one: a letter of two who both
//! go is nobody's then, and goes as well. What is found is noted with one of those whom it names.

use serde::Deserialize;
use weft_domain::claim::CustomerId;
use weft_domain::event::Identifier;
use weft_domain::input::{DeadLetter, Input};
use weft_domain::view::{IdentifierRow, Letter, LetterBytes, Read, ViewError};
use weft_store::log::LogReader;
use weft_store::rows::{Delivery, Filed, Value, claim_of, delivery_of, identifier_of, letter_of, value_of};
use weft_store::state::{Space, StateStore};
use weft_store::{format, key};

use super::names::{Left, Names};
use super::person::{Person, without};
use crate::limits;

/// Finds the traces of these people. Counts what was not known before.
///
/// # Errors
/// [`ViewError`], where state cannot be read.
pub(crate) fn find(people: &mut [&mut Person], history: &LogReader, state: &dyn StateStore) -> Read<usize> {
    let before: usize = people.iter().map(|person| person.count()).sum();
    let all = Person::union(people.iter().map(|person| &**person));
    let mut search =
        Search { names: people.iter().map(|person| person.names()).collect(), every: all.names(), all, people, history };
    search.letters(state)?;
    search.deliveries(state)?;
    search.values(state)?;
    Ok(people.iter().map(|person| person.count()).sum::<usize>() - before)
}

/// Finds the reasons that name these people, of what people said of others: a look at everybody. Counts what was not known before.
///
/// # Errors
/// [`ViewError`], where state cannot be read.
pub(super) fn find_reasons(people: &mut [&mut Person], history: &LogReader, state: &dyn StateStore) -> Read<usize> {
    let before: usize = people.iter().map(|person| person.count()).sum();
    let all = Person::union(people.iter().map(|person| &**person));
    let mut search =
        Search { names: people.iter().map(|person| person.names()).collect(), every: all.names(), all, people, history };
    search.reasons(state)?;
    Ok(people.iter().map(|person| person.count()).sum::<usize>() - before)
}

struct Search<'a, 'p> {
    people: &'a mut [&'p mut Person],
    /// What names each of them.
    names: Vec<Names>,
    /// All of them as one, and what names any of them.
    all: Person,
    every: Names,
    history: &'a LogReader,
}

impl Search<'_, '_> {
    /// Who of the people it is with whom something is noted: the first who is named, or the first of all where only several together are.
    fn whose(&mut self, is_named: impl Fn(&Person, &Names) -> bool) -> &mut Person {
        let place = self.people.iter().zip(&self.names).position(|(person, names)| is_named(person, names));
        self.people[place.unwrap_or(0)]
    }

    fn letters(&mut self, state: &dyn StateStore) -> Read<()> {
        each(state, Space::DeadLetter, |key, bytes| {
            let id = letter_of(key).ok_or_else(|| malformed("a dead letter"))?;
            let letter: Letter = format::decode(bytes).map_err(unreadable)?.1;
            let is_theirs = match &letter.bytes {
                LetterBytes::Event(position) => self.all.events.contains(position),
                LetterBytes::Here(profile) => is_told_in(&self.all, profile, &self.every),
                LetterBytes::Record(position) => match self.record(*position) {
                    Some(record) if without(&record, &self.every) == Left::Nothing => {
                        self.whose(|_, names| without(&record, names) != Left::All).letters.insert(id);
                        return Ok(());
                    }
                    _ => false,
                },
            };
            if is_theirs {
                let is_named = |person: &Person, names: &Names| match &letter.bytes {
                    LetterBytes::Event(position) => person.events.contains(position),
                    LetterBytes::Here(profile) => is_told_in(person, profile, names),
                    LetterBytes::Record(_) => false,
                };
                self.whose(is_named).letters.insert(id);
            } else if self.every.in_text(&letter.message) {
                self.whose(|_, names| names.in_text(&letter.message)).reworded.insert(id);
            }
            Ok(())
        })
    }

    fn record(&self, position: u64) -> Option<DeadLetter> {
        let record = self.history.record(position).ok()?;
        match Input::decode(record.kind, &record.bytes) {
            Ok(Input::DeadLetter(letter)) => Some(letter),
            _ => None,
        }
    }

    fn deliveries(&mut self, state: &dyn StateStore) -> Read<()> {
        each(state, Space::Delivery, |key, bytes| {
            let id = delivery_of(key).ok_or_else(|| malformed("a delivery"))?;
            let delivery: Delivery = format::decode(bytes).map_err(unreadable)?.1;
            if is_told_in(&self.all, &delivery.text, &self.every) {
                self.whose(|person, names| is_told_in(person, &delivery.text, names)).deliveries.insert(id);
            }
            Ok(())
        })
    }

    fn values(&mut self, state: &dyn StateStore) -> Read<()> {
        each(state, Space::Kv, |key, bytes| {
            let (stage, name) = value_of(key).ok_or_else(|| malformed("a value"))?;
            // What the engine keeps itself has a slash in it; under the empty key is a count.
            if stage.contains('/') || name.is_empty() {
                return Ok(());
            }
            let Value(value) = format::decode(bytes).map_err(unreadable)?.1;
            let is_named = |names: &Names| names.in_text(&name) || names.in_bytes(&value);
            if is_named(&self.every) {
                self.whose(|_, names| is_named(names)).values.insert((stage, name.clone()));
            }
            Ok(())
        })
    }

    fn reasons(&mut self, state: &dyn StateStore) -> Read<()> {
        each(state, Space::Claim, |key, bytes| {
            let id = claim_of(key).ok_or_else(|| malformed("a claim"))?;
            let filed: Filed = format::decode(bytes).map_err(unreadable)?.1;
            let Some(claim) = filed.claim.filter(|_| !self.all.claims.contains(&id)) else { return Ok(()) };
            let verdict = claim.verdict.iter().map(|verdict| &verdict.reason);
            let verdicts = verdict.chain(claim.matches.iter().filter_map(|known| known.verdict.as_ref()).map(|one| &one.reason));
            for reason in claim.retracted.iter().chain(claim.struck.values()).chain(verdicts) {
                if self.every.in_text(reason) {
                    let person = self.whose(|_, names| names.in_text(reason));
                    person.reasons.insert(reason.clone());
                    person.reasoned_claims.insert(id);
                }
            }
            Ok(())
        })?;
        each(state, Space::Identifier, |key, bytes| {
            let id = identifier_of(key).ok_or_else(|| malformed("an identifier"))?;
            let row: IdentifierRow = format::decode(bytes).map_err(unreadable)?.1;
            if row.claims.iter().all(|claim| self.all.claims.contains(claim)) {
                return Ok(());
            }
            for apart in &row.apart {
                if self.every.in_text(&apart.reason) {
                    let person = self.whose(|_, names| names.in_text(&apart.reason));
                    person.reasons.insert(apart.reason.clone());
                    person.reasoned_identifiers.insert(id);
                }
            }
            Ok(())
        })
    }
}

/// Whether a profile as destinations get it is the person's, or was made when the person was taken for one with somebody else.
fn is_told_in(person: &Person, profile: &str, names: &Names) -> bool {
    #[derive(Deserialize)]
    struct Told {
        customer_id: CustomerId,
        merged_into: Option<CustomerId>,
        #[serde(default)]
        identifiers: Vec<Identifier>,
    }
    let told = serde_json::from_str::<Told>(profile);
    told.is_ok_and(|told| {
        let ids = [Some(told.customer_id), told.merged_into];
        ids.into_iter().flatten().any(|id| person.claims.contains(&id.into())) || names.claimed(&told.identifiers)
    })
}

/// Shows every committed row of a kind.
pub(super) fn each(state: &dyn StateStore, space: Space, mut visit: impl FnMut(&[u8], &[u8]) -> Read<()>) -> Read<()> {
    let mut from = Vec::new();
    loop {
        let rows = state.scan(space, &from, None, limits::LETTERS_LOOKED_AT_ONCE).map_err(unreadable)?;
        for (key, bytes) in &rows {
            visit(key, bytes)?;
        }
        match rows.last() {
            Some((last, _)) if rows.len() == limits::LETTERS_LOOKED_AT_ONCE => from = key::after(last),
            _ => return Ok(()),
        }
    }
}

pub(super) fn unreadable(error: weft_store::StoreError) -> ViewError {
    ViewError(error.to_string())
}

fn malformed(what: &str) -> ViewError {
    ViewError(format!("the key of {what} is malformed"))
}
