//! Everything that is known of a person, as lines of JSON: what an access request is answered with, before an erasure or without one.
//!
//! First the profile with the claims that it rests on and what the events come to, then events by time, dead letters with their bytes, for which destinations a profile waits, and values
//! that plugins keep under an identifier of the person. It is gathered as [`crate::erasure`] gathers, and written while it is read.

use std::collections::BTreeSet;

use bytes::Bytes;
use serde::Serialize;
use serde_json::json;
use tokio::sync::mpsc;
use weft_domain::claim::CustomerId;
use weft_domain::portrait::portray;
use weft_domain::value::Timestamp;
use weft_domain::view::Read;
use weft_store::state::StateStore;

use crate::erasure::person::Person;
use crate::erasure::traces;
use crate::events::{self, Asked, Order, Who};
use crate::letters;
use crate::limits;
use crate::writer::Ledger;

/// What is known of somebody.
pub struct Known {
    /// The person's identifiers, by type and value, with those that were asked for.
    pub identifiers: BTreeSet<(String, String)>,
    /// The lines, written while they are read, on a thread of their own. The last one has the kind `end`, or else it is not all.
    pub lines: mpsc::Receiver<Bytes>,
}

/// Whether somebody of whom nothing is known is told so in lines.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unknown {
    /// There is no answer then.
    IsNone,
    /// The answer is that there is nothing.
    IsEmpty,
}

/// Everything about somebody as it is at `now`. Blocks: for a thread that may wait for the disk.
///
/// # Errors
/// [`weft_domain::view::ViewError`], where state cannot be read.
pub fn open(whom: Vec<Who>, unknown: Unknown, now: Timestamp, ledger: Ledger, state: &dyn StateStore) -> Read<Option<Known>> {
    let mut person = Person::default();
    // Not what `gather` adds: events of a retracted claim are told to whom they belong, with whom the person may have nothing in common.
    let customers = person.look_up(&whom, &ledger)?;
    person.gather_events(&ledger)?;
    traces::find(&mut [&mut person], ledger.history(), state)?;
    let is_unknown = person.claims.is_empty() && person.letters.is_empty() && person.values.is_empty();
    if is_unknown && unknown == Unknown::IsNone {
        return Ok(None);
    }
    let (out, lines) = mpsc::channel(limits::TAIL_CHUNKS_WAITING_MAX);
    let identifiers = person.identifiers.clone();
    tokio::task::spawn_blocking(move || {
        let writing = Writing { ledger, now, person, customers, out };
        if let Err(error) = writing.all(&whom) {
            // The reader must not take half of it for all of it.
            writing.line("error", &json!({ "message": error.to_string() }));
        }
    });
    Ok(Some(Known { identifiers, lines }))
}

struct Writing {
    ledger: Ledger,
    now: Timestamp,
    person: Person,
    customers: BTreeSet<CustomerId>,
    out: mpsc::Sender<Bytes>,
}

impl Writing {
    fn all(&self, whom: &[Who]) -> Read<()> {
        let mut told = BTreeSet::new();
        for customer in &self.customers {
            // One may have turned out to be another meanwhile.
            let today = Who::Customer(*customer).today(&*self.ledger.state())?;
            let Some(customer) = today.filter(|customer| told.insert(*customer)) else { continue };
            let plan = self.ledger.state().plan().clone();
            let portrait = portray(&plan, &*self.ledger.state(), customer, self.now)?;
            self.line("profile", &portrait);
            self.events(&Who::Customer(customer))?;
        }
        for (position, ordinal) in &self.person.letters {
            let look = || self.ledger.state();
            let letter = letters::find(look, self.ledger.history(), letters::Id(*position, *ordinal))?;
            self.line("dead_letter", &letter);
        }
        for (lane, number) in &self.person.deliveries {
            // Not what is in it: it may have been made when somebody else was taken for the same person.
            self.line("delivery", &json!({ "destination": lane, "number": number }));
        }
        for (stage, key) in &self.person.values {
            let value = self.ledger.state().value(stage, key)?;
            let value = value.map(|value| String::from_utf8_lossy(&value.0).into_owned());
            self.line("value", &json!({ "stage": stage, "key": key, "value": value }));
        }
        let of: Vec<String> = whom.iter().map(Who::to_string).collect();
        self.line("end", &json!({ "of": of.join(", ") }));
        Ok(())
    }

    fn events(&self, who: &Who) -> Read<()> {
        let mut asked = Asked { limit: Some(limits::EVENTS_SHOWN_MAX), order: Order::Oldest, ..Asked::default() };
        loop {
            let Some(list) = events::list(|| self.ledger.state(), self.ledger.history(), who, &asked)? else { return Ok(()) };
            for event in &list.events {
                self.line("event", event);
            }
            match list.next {
                Some(next) if !self.out.is_closed() => asked.after = Some(next),
                _ => return Ok(()),
            }
        }
    }

    /// Writes a line; a reader who went away is no error.
    fn line(&self, kind: &str, what: &impl Serialize) {
        let what = serde_json::to_string(what).expect("what is shown has string keys");
        let _ = self.out.blocking_send(format!("{{\"kind\":\"{kind}\",\"{kind}\":{what}}}\n").into());
    }
}
