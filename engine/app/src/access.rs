//! Everything that is known of a person, as lines of JSON: what an access request is answered with, before an erasure or without one.
//!
//! First the profile with the claims that it rests on and what the events come to, then events by time, dead letters with their bytes, for which destinations a profile waits, and values
//! that plugins keep under an identifier of the person. It is gathered as [`crate::erasure`] gathers, and written while it is read.

use axum::body::Body;
use bytes::Bytes;
use serde::Serialize;
use serde_json::json;
use tokio::sync::mpsc;
use weft_domain::portrait::portray;
use weft_domain::value::Timestamp;
use weft_domain::view::{Read, View};
use weft_store::state::StateStore;

use crate::erasure::person::Person;
use crate::events::{self, Asked, Order, Who};
use crate::letters;
use crate::limits;
use crate::tail::Lines;
use crate::writer::Ledger;

/// Everything about somebody as it is at `now`; none where nothing is known. Blocks: for a thread that may wait for the disk. What is written is read by the
/// body that is given, on a thread of its own.
///
/// # Errors
/// [`weft_domain::view::ViewError`], where state cannot be read.
pub fn open(who: Who, now: Timestamp, ledger: Ledger, state: &dyn StateStore) -> Read<Option<Body>> {
    let mut person = Person::default();
    let found = person.gather(&who, &ledger, state)?;
    // The identifier that was asked for is not known for having been asked for.
    if found == 0 || (person.claims.is_empty() && person.letters.is_empty() && person.values.is_empty()) {
        return Ok(None);
    }
    let (out, lines) = mpsc::channel(limits::TAIL_CHUNKS_WAITING_MAX);
    tokio::task::spawn_blocking(move || {
        let writing = Writing { ledger, now, person, out };
        if let Err(error) = writing.all(&who) {
            // The reader must not take half of it for all of it.
            writing.line("error", &json!({ "message": error.to_string() }));
        }
    });
    Ok(Some(Body::new(Lines(lines))))
}

struct Writing {
    ledger: Ledger,
    now: Timestamp,
    person: Person,
    out: mpsc::Sender<Bytes>,
}

impl Writing {
    fn all(&self, who: &Who) -> Read<()> {
        let mut told = std::collections::BTreeSet::new();
        for claim in &self.person.claims {
            let customer = self.ledger.state().node(*claim)?.and_then(|node| node.customer);
            let Some(customer) = customer.filter(|customer| told.insert(*customer)) else { continue };
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
        self.line("end", &json!({ "of": who.to_string() }));
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
