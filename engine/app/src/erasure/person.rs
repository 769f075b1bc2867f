//! A person who is to go: claims, identifiers, and where state and history have something of them.
//!
//! Everything is read from state and history; nothing is changed. It is gathered in short looks, so that the writer need not wait.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};
use weft_domain::claim::{ClaimId, CustomerId, IdentifierId};
use weft_domain::explain::{claims_of, whose};
use weft_domain::input::{Carrier, Command, DeadLetter, ERASED, Erase, Input, Stream};
use weft_domain::view::{Letter, LetterBytes, Read, View, ViewError};
use weft_store::log::LogReader;
use weft_store::rows::{Delivery, Value, delivery_of, letter_of, value_of};
use weft_store::state::{Space, StateStore};
use weft_store::{format, key};

use super::names::{Left, Names};
use crate::events::Who;
use crate::limits;
use crate::writer::Ledger;

/// What there is of a person.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Person {
    /// The claims that make the person.
    pub claims: BTreeSet<ClaimId>,
    /// Identifiers that the person has, by type and value.
    pub identifiers: BTreeSet<(String, String)>,
    /// Those of them that nobody else's claim names.
    pub own: BTreeSet<(String, String)>,
    /// The places of the person's events in history.
    pub events: BTreeSet<u64>,
    /// Dead letters that are the person's, by place in history and ordinal.
    pub letters: BTreeSet<(u64, u32)>,
    /// Dead letters of others whose message names the person.
    pub reworded: BTreeSet<(u64, u32)>,
    /// Deliveries that wait, by destination and number.
    pub deliveries: BTreeSet<(String, u64)>,
    /// Values of plugins' small stores, by stage and key.
    pub values: BTreeSet<(String, String)>,
}

impl Person {
    /// Who somebody is, with everything that state has of them: the claims as they are now, those that were retracted and name an
    /// identifier of the person, and what is filed under them. Counts what was not known before.
    ///
    /// # Errors
    /// [`ViewError`], where state cannot be read.
    pub(crate) fn gather(&mut self, who: &Who, ledger: &Ledger, state: &dyn StateStore) -> Read<usize> {
        let before = self.count();
        if let Who::Identifier(kind, value) = who {
            self.identifiers.insert((kind.clone(), value.clone()));
        }
        let mut customers: BTreeSet<CustomerId> = who.today(&*ledger.state())?.into_iter().collect();
        for (kind, value) in self.identifiers.clone() {
            customers.extend(whose(&*ledger.state(), &kind, &value)?);
        }
        for customer in customers {
            self.gather_claims(customer, ledger)?;
        }
        self.gather_events(ledger)?;
        self.gather_own(ledger)?;
        let (names, history) = (self.names(), ledger.history());
        self.gather_letters(state, history, &names)?;
        self.gather_deliveries(state)?;
        self.gather_values(state, &names)?;
        Ok(self.count() - before)
    }

    fn count(&self) -> usize {
        let Person { claims, identifiers, own: _, events, letters, reworded, deliveries, values } = self;
        let people = claims.len() + identifiers.len() + events.len();
        people + letters.len() + reworded.len() + deliveries.len() + values.len()
    }

    /// What names the person.
    pub(crate) fn names(&self) -> Names {
        Names::of(&self.identifiers)
    }

    fn gather_claims(&mut self, customer: CustomerId, ledger: &Ledger) -> Read<()> {
        let state = ledger.state();
        for id in claims_of(&*state, customer)? {
            self.claims.insert(id);
            let Some(claim) = state.claim(id)? else { continue };
            for one in &claim.identifiers {
                let row = state.identifier(IdentifierId::of(&one.kind, &one.value))?;
                if row.as_ref().is_none_or(|row| row.customer != Some(customer)) {
                    continue;
                }
                self.identifiers.insert((one.kind.clone(), one.value.clone()));
                for named_by in row.iter().flat_map(|row| &row.claims) {
                    if state.claim(*named_by)?.is_some_and(|claim| claim.retracted.is_some()) {
                        self.claims.insert(*named_by);
                    }
                }
            }
        }
        Ok(())
    }

    fn gather_events(&mut self, ledger: &Ledger) -> Read<()> {
        let mut full = Vec::new();
        for claim in &self.claims {
            let Some(node) = ledger.state().node(*claim)? else { continue };
            self.events.extend(node.page.iter().map(|entry| entry.position));
            full.extend((0..node.pages).map(|number| (*claim, number)));
        }
        for some in full.chunks(limits::INDEX_PAGES_READ_ONCE) {
            let state = ledger.state();
            for (claim, number) in some {
                let page = state.page(*claim, *number)?;
                self.events.extend(page.iter().flat_map(|page| page.iter()).map(|entry| entry.position));
            }
        }
        Ok(())
    }

    /// An identifier that somebody else's claim names too, such as that of a device in a family, is not the person's alone.
    fn gather_own(&mut self, ledger: &Ledger) -> Read<()> {
        for (kind, value) in self.identifiers.difference(&self.own).cloned().collect::<Vec<_>>() {
            let row = ledger.state().identifier(IdentifierId::of(&kind, &value))?;
            if row.is_none_or(|row| row.claims.iter().all(|claim| self.claims.contains(claim))) {
                self.own.insert((kind, value));
            }
        }
        Ok(())
    }

    fn gather_letters(&mut self, state: &dyn StateStore, history: &LogReader, names: &Names) -> Read<()> {
        let (mut found, mut reworded) = (Vec::new(), Vec::new());
        each(state, Space::DeadLetter, |key, bytes| {
            let id = letter_of(key).ok_or_else(|| malformed("a dead letter"))?;
            let letter: Letter = format::decode(bytes).map_err(unreadable)?.1;
            if self.has_letter(&letter, history, names) {
                found.push(id);
            } else if names.in_text(&letter.message) {
                reworded.push(id);
            }
            Ok(())
        })?;
        self.letters.extend(found);
        self.reworded.extend(reworded);
        Ok(())
    }

    fn has_letter(&self, letter: &Letter, history: &LogReader, names: &Names) -> bool {
        match &letter.bytes {
            LetterBytes::Event(position) => self.events.contains(position),
            LetterBytes::Here(profile) => self.is_told_in(profile),
            LetterBytes::Record(position) => {
                let Ok(record) = history.record(*position) else { return false };
                match Input::decode(record.kind, &record.bytes) {
                    Ok(Input::DeadLetter(letter)) => without(&letter, names) == Left::Nothing,
                    _ => false,
                }
            }
        }
    }

    /// Whether a profile as destinations get it is the person's.
    fn is_told_in(&self, profile: &str) -> bool {
        #[derive(Deserialize)]
        struct Told {
            customer_id: CustomerId,
            merged_into: Option<CustomerId>,
        }
        let told = serde_json::from_str::<Told>(profile);
        told.is_ok_and(|told| {
            let ids = [Some(told.customer_id), told.merged_into];
            ids.into_iter().flatten().any(|id| self.claims.contains(&id.into()))
        })
    }

    fn gather_deliveries(&mut self, state: &dyn StateStore) -> Read<()> {
        let mut found = Vec::new();
        each(state, Space::Delivery, |key, bytes| {
            let id = delivery_of(key).ok_or_else(|| malformed("a delivery"))?;
            let delivery: Delivery = format::decode(bytes).map_err(unreadable)?.1;
            if self.is_told_in(&delivery.text) {
                found.push(id);
            }
            Ok(())
        })?;
        self.deliveries.extend(found);
        Ok(())
    }

    fn gather_values(&mut self, state: &dyn StateStore, names: &Names) -> Read<()> {
        let mut found = Vec::new();
        each(state, Space::Kv, |key, bytes| {
            let (stage, name) = value_of(key).ok_or_else(|| malformed("a value"))?;
            // What the engine keeps itself has a slash in it; under the empty key is a count.
            if stage.contains('/') || name.is_empty() {
                return Ok(());
            }
            let Value(value) = format::decode(bytes).map_err(unreadable)?.1;
            if names.in_text(&name) || names.in_bytes(&value) {
                found.push((stage, name));
            }
            Ok(())
        })?;
        self.values.extend(found);
        Ok(())
    }

    /// The commands that take all of it out of state, each of a size that a record has.
    pub(crate) fn commands(&self, erasure: &str) -> Vec<Erase> {
        let named = || Erase { erasure: erasure.to_owned(), ..Erase::default() };
        let mut commands = vec![Erase { claims: self.claims.iter().copied().collect(), ..named() }];
        let letters: Vec<_> = self.letters.iter().copied().collect();
        commands.extend(letters.chunks(limits::ERASED_AT_ONCE).map(|some| Erase { letters: some.to_vec(), ..named() }));
        let reworded: Vec<_> = self.reworded.iter().copied().collect();
        commands.extend(reworded.chunks(limits::ERASED_AT_ONCE).map(|some| Erase { reworded: some.to_vec(), ..named() }));
        let deliveries: Vec<_> = self.deliveries.iter().cloned().collect();
        commands.extend(deliveries.chunks(limits::ERASED_AT_ONCE).map(|some| Erase { deliveries: some.to_vec(), ..named() }));
        let values: Vec<_> = self.values.iter().cloned().collect();
        commands.extend(values.chunks(limits::ERASED_AT_ONCE).map(|some| Erase { values: some.to_vec(), ..named() }));
        commands
    }

    /// What is left of a record of history: its payload where it changes, none where it goes.
    pub(crate) fn left_of(&self, names: &Names, position: u64, input: Input) -> Option<Option<Input>> {
        let gone = None;
        match input {
            Input::Event { .. } if self.events.contains(&position) => gone,
            Input::DeadLetter(mut letter) => {
                let named = names.in_text(&letter.message);
                match without(&letter, names) {
                    Left::Nothing => return gone,
                    Left::All if !named => return Some(None),
                    Left::All => (),
                    // A signature would not fit any more, and the head may name the person.
                    Left::Some(bytes) => (letter.bytes, letter.carrier) = (bytes, None),
                }
                if named {
                    ERASED.clone_into(&mut letter.message);
                }
                Some(Some(Input::DeadLetter(letter)))
            }
            Input::Receipts(mut receipts) => {
                let mut has_changed = false;
                for (ordinal, refused) in (0..).zip(&mut receipts.rejected) {
                    let of_event = receipts.stream == Stream::Events && self.events.contains(&refused.position);
                    let is_gone = of_event || self.letters.contains(&(position, ordinal));
                    if is_gone {
                        ERASED.clone_into(&mut refused.code);
                    }
                    if is_gone || names.in_text(&refused.message) {
                        has_changed = true;
                        ERASED.clone_into(&mut refused.message);
                    }
                }
                Some(has_changed.then_some(Input::Receipts(receipts)))
            }
            Input::Command(command) => self.left_of_command(names, command),
            Input::Kv(kv) if !kv.stage.contains('/') => {
                let named = names.in_text(&kv.key) || kv.value.as_ref().is_some_and(|value| names.in_bytes(value));
                if named { gone } else { Some(None) }
            }
            _ => Some(None),
        }
    }

    fn left_of_command(&self, names: &Names, command: Command) -> Option<Option<Input>> {
        match command {
            Command::Erase(_) => None,
            Command::Retract { claim, .. } | Command::Restore { claim } if self.claims.contains(&claim) => None,
            Command::Retract { claim, reason } if names.in_text(&reason) => {
                Some(Some(Input::Command(Command::Retract { claim, reason: ERASED.to_owned() })))
            }
            Command::DropLetters { letters, reason } if names.in_text(&reason) => {
                Some(Some(Input::Command(Command::DropLetters { letters, reason: ERASED.to_owned() })))
            }
            _ => Some(None),
        }
    }

    /// How much there is of the person, by place.
    pub(crate) fn by_place(&self) -> BTreeMap<&'static str, u64> {
        let count = |number: usize| number as u64;
        BTreeMap::from([
            ("claims", count(self.claims.len())),
            ("identifiers", count(self.identifiers.len())),
            ("events", count(self.events.len())),
            ("dead_letters", count(self.letters.len())),
            ("deliveries", count(self.deliveries.len())),
            ("values", count(self.values.len())),
        ])
    }
}

/// What is left of a dead letter's bytes. A request whose head names the person and that has nothing else is the person's.
fn without(letter: &DeadLetter, names: &Names) -> Left {
    let is_headed = matches!(&letter.carrier, Some(Carrier::Request(head)) if names.in_head(head));
    match names.without(&letter.bytes) {
        Left::All if is_headed && letter.bytes.is_empty() => Left::Nothing,
        Left::All if is_headed => Left::Some(letter.bytes.clone()),
        left => left,
    }
}

/// Shows every committed row of a kind.
fn each(state: &dyn StateStore, space: Space, mut visit: impl FnMut(&[u8], &[u8]) -> Read<()>) -> Read<()> {
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

fn unreadable(error: weft_store::StoreError) -> ViewError {
    ViewError(error.to_string())
}

fn malformed(what: &str) -> ViewError {
    ViewError(format!("the key of {what} is malformed"))
}
