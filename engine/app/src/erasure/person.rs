//! A person who is to go: claims, identifiers, and where state and history have something of them.
//!
//! Everything is read from state and history; nothing is changed. It is gathered in short looks, so that the writer need not wait.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};
use weft_domain::claim::{ClaimId, CustomerId, IdentifierId};
use weft_domain::explain::{claims_of, whose};
use weft_domain::input::{Carrier, Command, DeadLetter, ERASED, Erase, Input, Part, Receipts, Stream, Sweep};
use weft_domain::view::{Read, View};

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
    /// Reasons that name the person, of what people said of others' claims and identifiers.
    #[serde(default)]
    pub reasons: BTreeSet<String>,
    /// The claims of others of which something was said for such a reason.
    #[serde(default)]
    pub reasoned_claims: BTreeSet<ClaimId>,
    /// The identifiers of others that were separated for such a reason.
    #[serde(default)]
    pub reasoned_identifiers: BTreeSet<IdentifierId>,
    /// What nobody else knows, from which follows what stands in a record of a pass for a claim of the person ([`Person::stand_in`]).
    #[serde(default)]
    pub salt: String,
    /// The place in history before which it was seen who the person is. None before that was looked at.
    #[serde(default)]
    pub seen: Option<u64>,
    /// The places in history and in intake from which on what names the person is of somebody who came again. None where nobody may.
    #[serde(default)]
    pub before: Option<(u64, u64)>,
    /// Of several people as one: what stands for each claim, from the salt of whose it is.
    #[serde(skip)]
    stand_ins: BTreeMap<ClaimId, ClaimId>,
}

impl Person {
    /// Nobody yet.
    pub(crate) fn salted(salt: String) -> Person {
        Person { salt, ..Person::default() }
    }

    /// What is to be erased of somebody: who they are ([`Person::look_up`]), and the claims that were retracted and name an identifier of theirs,
    /// with their events. What else there is, [`super::traces`] finds. Counts what was not known before.
    ///
    /// # Errors
    /// [`ViewError`](weft_domain::view::ViewError), where state cannot be read; so for the others.
    pub(crate) fn gather(&mut self, whom: &[Who], ledger: &Ledger) -> Read<usize> {
        let before = self.count();
        self.seen = Some(ledger.state().position());
        for customer in self.look_up(whom, ledger)? {
            self.gather_mistakes(customer, ledger)?;
        }
        self.gather_events(ledger)?;
        self.gather_own(ledger)?;
        Ok(self.count() - before)
    }

    /// Who somebody is, as it is known now: claims, identifiers, and the customers that these make.
    #[allow(clippy::missing_errors_doc)]
    pub(crate) fn look_up(&mut self, whom: &[Who], ledger: &Ledger) -> Read<BTreeSet<CustomerId>> {
        let mut customers: BTreeSet<CustomerId> = BTreeSet::new();
        for who in whom {
            if let Who::Identifier(kind, value) = who {
                self.identifiers.insert((kind.clone(), value.clone()));
            }
            customers.extend(who.today(&*ledger.state())?);
        }
        for (kind, value) in self.identifiers.clone() {
            customers.extend(whose(&*ledger.state(), &kind, &value)?);
        }
        for customer in &customers {
            self.gather_claims(*customer, ledger)?;
        }
        Ok(customers)
    }

    /// What has come of a person who was seen before, and is on the way out of state. Once their claims are gone, what they shared belongs to
    /// whom they shared it with, who stay: only what was theirs alone leads to them. Counts what was not known before.
    #[allow(clippy::missing_errors_doc)]
    pub(super) fn gather_since(&mut self, seen: u64, ledger: &Ledger) -> Read<usize> {
        let before = self.count();
        self.gather_own(ledger)?;
        for (kind, value) in self.own.clone() {
            let Some(row) = ledger.state().identifier(IdentifierId::of(&kind, &value))? else { continue };
            match row.customer {
                Some(customer) if self.came_since(seen, customer, ledger)? => {
                    self.gather_claims(customer, ledger)?;
                    self.gather_mistakes(customer, ledger)?;
                }
                // Somebody who was known already has said something with an identifier of the person meanwhile: that goes, and no more.
                _ => self.claims.extend(&row.claims),
            }
        }
        self.gather_events(ledger)?;
        self.gather_own(ledger)?;
        Ok(self.count() - before)
    }

    /// Whether there is nothing of a customer but what is the person's already, or began after the person was seen.
    fn came_since(&self, seen: u64, customer: CustomerId, ledger: &Ledger) -> Read<bool> {
        let state = ledger.state();
        for claim in claims_of(&*state, customer)? {
            let is_new = || Ok(state.node(claim)?.is_some_and(|node| node.began >= seen));
            if !self.claims.contains(&claim) && !is_new()? {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// All of them as one: what is looked for and taken away in one pass.
    pub(crate) fn union<'a>(people: impl IntoIterator<Item = &'a Person>) -> Person {
        let mut all = Person::default();
        for person in people {
            all.stand_ins.extend(person.claims.iter().map(|claim| (*claim, person.stand_in(*claim))));
            all.before = all.before.or(person.before);
            all.claims.extend(&person.claims);
            all.identifiers.extend(person.identifiers.iter().cloned());
            all.own.extend(person.own.iter().cloned());
            all.events.extend(&person.events);
            all.letters.extend(&person.letters);
            all.reworded.extend(&person.reworded);
            all.deliveries.extend(person.deliveries.iter().cloned());
            all.values.extend(person.values.iter().cloned());
            all.reasons.extend(person.reasons.iter().cloned());
            all.reasoned_claims.extend(&person.reasoned_claims);
            all.reasoned_identifiers.extend(&person.reasoned_identifiers);
        }
        all
    }

    /// How much is known of the person.
    pub(super) fn count(&self) -> usize {
        let Person { claims, identifiers, own: _, events, letters, reworded, deliveries, values, .. } = self;
        let Person { reasons, reasoned_claims, reasoned_identifiers, .. } = self;
        let people = claims.len() + identifiers.len() + events.len();
        let said = reasons.len() + reasoned_claims.len() + reasoned_identifiers.len();
        people + letters.len() + reworded.len() + deliveries.len() + values.len() + said
    }

    /// What names the person: identifiers, and the ids of the customers that the claims ever began, by which plugins may know one.
    pub(crate) fn names(&self) -> Names {
        Names::of(&self.identifiers).with(self.claims.iter().map(ClaimId::to_string))
    }

    /// Whether an identifier is the person's alone, by its id.
    fn has_id(&self, id: IdentifierId) -> bool {
        self.own.iter().any(|(kind, value)| IdentifierId::of(kind, value) == id)
    }

    fn has_one_of(&self, pair: &[ClaimId; 2]) -> bool {
        pair.iter().any(|claim| self.claims.contains(claim))
    }

    /// What stands for a claim of the person in records of a pass, which must go on fitting each other: nobody can guess it.
    fn stand_in(&self, claim: ClaimId) -> ClaimId {
        match self.stand_ins.get(&claim) {
            Some(stand_in) => *stand_in,
            None if self.claims.contains(&claim) => ClaimId(IdentifierId::of(&self.salt, &claim.to_string()).0),
            None => claim,
        }
    }

    fn gather_claims(&mut self, customer: CustomerId, ledger: &Ledger) -> Read<()> {
        let state = ledger.state();
        for id in claims_of(&*state, customer)? {
            self.claims.insert(id);
            let Some(claim) = state.claim(id)? else { continue };
            for one in &claim.identifiers {
                let row = state.identifier(IdentifierId::of(&one.kind, &one.value))?;
                if row.is_some_and(|row| row.customer == Some(customer)) {
                    self.identifiers.insert((one.kind.clone(), one.value.clone()));
                }
            }
        }
        Ok(())
    }

    /// Claims that were retracted and name what the customer has, whosever they are.
    fn gather_mistakes(&mut self, customer: CustomerId, ledger: &Ledger) -> Read<()> {
        let state = ledger.state();
        for (kind, value) in &self.identifiers {
            let row = state.identifier(IdentifierId::of(kind, value))?;
            for claim in row.iter().filter(|row| row.customer == Some(customer)).flat_map(|row| &row.claims) {
                if state.claim(*claim)?.is_some_and(|claim| claim.is_retracted()) {
                    self.claims.insert(*claim);
                }
            }
        }
        Ok(())
    }

    pub(crate) fn gather_events(&mut self, ledger: &Ledger) -> Read<()> {
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

    /// Several people as one person, of whom only what was found before counts as well.
    pub(super) fn as_one(people: &[&Person], salt: &str, before: (u64, u64)) -> Person {
        let all = Person::union(people.iter().copied());
        Person { salt: salt.to_owned(), before: Some(before), stand_ins: BTreeMap::new(), ..all }
    }

    /// Forgets traces that are not among those that were found before.
    pub(super) fn keep_only(&mut self, found: &Person) {
        self.letters.retain(|one| found.letters.contains(one));
        self.reworded.retain(|one| found.reworded.contains(one) || found.letters.contains(one));
        self.deliveries.retain(|one| found.deliveries.contains(one));
        self.values.retain(|one| found.values.contains(one));
    }

    /// The commands that take all of it out of state, each of a size that a record has.
    pub(crate) fn commands(&self, erasure: &str) -> Vec<Erase> {
        let claims = Erase { erasure: erasure.to_owned(), claims: self.claims.iter().copied().collect(), ..Erase::default() };
        std::iter::once(claims).chain(self.commands_beside(erasure)).collect()
    }

    /// Those of them that take away what there is beside claims and events.
    pub(super) fn commands_beside(&self, erasure: &str) -> Vec<Erase> {
        let named = || Erase { erasure: erasure.to_owned(), ..Erase::default() };
        let mut commands = Vec::new();
        let reasons: Vec<String> = self.reasons.iter().cloned().collect();
        let said = || Erase { reasons: reasons.clone(), ..named() };
        let claims: Vec<_> = self.reasoned_claims.iter().copied().collect();
        commands.extend(claims.chunks(limits::ERASED_AT_ONCE).map(|some| Erase { reasoned_claims: some.to_vec(), ..said() }));
        let identifiers: Vec<_> = self.reasoned_identifiers.iter().copied().collect();
        commands.extend(
            identifiers.chunks(limits::ERASED_AT_ONCE).map(|some| Erase { reasoned_identifiers: some.to_vec(), ..said() }),
        );
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

    /// What is left of a record of history: what it becomes where it changes, none where it goes. Every kind of record is named, so that
    /// none is forgotten.
    pub(crate) fn left_of(&self, names: &Names, position: u64, input: Input) -> Option<Option<Input>> {
        let (gone, as_it_was) = (None, Some(None));
        let came_again = self.before.is_some_and(|(before, _)| position >= before);
        if came_again && !matches!(&input, Input::Command(Command::Erase(_))) {
            return as_it_was;
        }
        match input {
            Input::Event { .. } if self.events.contains(&position) => gone,
            Input::DeadLetter(letter) => self.left_of_letter(names, letter),
            Input::Receipts(receipts) => Some(self.left_of_receipts(names, position, receipts).map(Input::Receipts)),
            Input::Command(command) => self.left_of_command(names, command),
            Input::Kv(kv) if !kv.stage.contains('/') => {
                let named = names.in_text(&kv.key) || kv.value.as_ref().is_some_and(|value| names.in_bytes(value));
                if named { gone } else { as_it_was }
            }
            Input::Sweep(sweep) => Some(self.left_of_sweep(sweep).map(Input::Sweep)),
            Input::Match(proposal) if self.has_one_of(&proposal.pair) => gone,
            // Of others; without anything of a person; of the engine's own, which names nobody; where a source stands; and what a model says
            // of all together, which are shares of values that several have.
            Input::Event { .. }
            | Input::Passed { .. }
            | Input::Tick(_)
            | Input::Plan(_)
            | Input::Kv(_)
            | Input::Match(_)
            | Input::Model(_)
            | Input::Position { .. } => as_it_was,
        }
    }

    fn left_of_letter(&self, names: &Names, mut letter: DeadLetter) -> Option<Option<Input>> {
        let named = names.in_text(&letter.message);
        match without(&letter, names) {
            Left::Nothing => return None,
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

    fn left_of_receipts(&self, names: &Names, position: u64, mut receipts: Receipts) -> Option<Receipts> {
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
        has_changed.then_some(receipts)
    }

    /// A piece of a pass without the person's claims. Where it begins or ends at one, something else stands for that: the next piece begins
    /// where this one ends.
    fn left_of_sweep(&self, sweep: Sweep) -> Option<Sweep> {
        let place = |place: Option<(ClaimId, _)>| place.map(|(claim, attribute)| (self.stand_in(claim), attribute));
        let claims: Vec<_> = sweep.claims.iter().filter(|swept| !self.claims.contains(&swept.claim)).cloned().collect();
        let left = Sweep { after: place(sweep.after), through: place(sweep.through), claims, ..sweep.clone() };
        (left != sweep).then_some(left)
    }

    /// What is left of an order. Ids of claims and identifiers can be guessed, so what is said of the person's goes whole.
    fn left_of_command(&self, names: &Names, command: Command) -> Option<Option<Input>> {
        let left = match command.clone() {
            Command::Erase(_) => return None,
            Command::Retract { claim, .. } | Command::Restore { claim } | Command::Decide { claim, .. }
                if self.claims.contains(&claim) =>
            {
                return None;
            }
            Command::DecideMatch { pair, .. } if self.has_one_of(&pair) => return None,
            Command::DecideMatch { pair, decision, reason } => {
                Command::DecideMatch { pair, decision, reason: without_names(names, reason) }
            }
            Command::Retract { claim, reason } => Command::Retract { claim, reason: without_names(names, reason) },
            Command::Decide { claim, decision, reason } => {
                Command::Decide { claim, decision, reason: without_names(names, reason) }
            }
            Command::Split { parts, reason } => {
                Command::Split { parts: self.left_of_parts(parts)?, reason: without_names(names, reason) }
            }
            Command::Rejoin { parts } => Command::Rejoin { parts: self.left_of_parts(parts)? },
            Command::DropLetters { letters, reason } => Command::DropLetters { letters, reason: without_names(names, reason) },
            Command::Restore { .. }
            | Command::Pause { .. }
            | Command::Resume { .. }
            | Command::TellAgain { .. }
            | Command::DeliverAgain { .. } => return Some(None),
        };
        Some((left != command).then_some(Input::Command(left)))
    }

    /// Parts that say nothing of the person; none where there are no others.
    fn left_of_parts(&self, parts: Vec<Part>) -> Option<Vec<Part>> {
        let is_theirs = |part: &Part| match part {
            Part::Claim { claim } | Part::Word { claim, .. } => self.claims.contains(claim),
            Part::Match { pair } => self.has_one_of(pair),
            Part::Pair { one, other, of } => {
                of.is_some_and(|of| self.claims.contains(&of)) || self.has_id(*one) || self.has_id(*other)
            }
        };
        let had = parts.len();
        let left: Vec<Part> = parts.into_iter().filter(|part| !is_theirs(part)).collect();
        (had == 0 || !left.is_empty()).then_some(left)
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

/// A reason; where it names the person, that it did.
fn without_names(names: &Names, reason: String) -> String {
    if names.in_text(&reason) { ERASED.to_owned() } else { reason }
}

/// What is left of a dead letter's bytes. A request whose head names the person and that has nothing else is the person's.
pub(super) fn without(letter: &DeadLetter, names: &Names) -> Left {
    let is_headed = matches!(&letter.carrier, Some(Carrier::Request(head)) if names.in_head(head));
    match names.without(&letter.bytes) {
        Left::All if is_headed && letter.bytes.is_empty() => Left::Nothing,
        Left::All if is_headed => Left::Some(letter.bytes.clone()),
        left => left,
    }
}
