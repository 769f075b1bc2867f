//! Dead letters that go again: their bytes enter intake as an event, and take the whole way from there.
//!
//! A letter goes once its successor is durable in intake (invariant 3). If the process dies in between, both are there; then a second try
//! is a repetition, because the successor has the letter's own message id or one that is made of the letter's (invariant 5). The
//! original stays in history. A profile that a destination refused is told again as it is now, in the same step in which the letter goes.

use bytes::Bytes;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use weft_domain::event::{Environment, Event};
use weft_domain::fold::refused_customer;
use weft_domain::input::{Arrival, Command, Input, Named};
use weft_domain::value::Timestamp;
use weft_domain::view::{LetterBytes, View};
use weft_store::log::LogReader;

use crate::intake::{Arrived, Intake};
use crate::letters::{self, Id};
use crate::writer::Ledger;

/// What came of trying dead letters again.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Retried {
    /// Those that went, or would go.
    pub retried: Vec<Id>,
    /// Those that stay.
    pub kept: Vec<Kept>,
}

/// A dead letter that does not go again.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Kept {
    /// The letter.
    pub id: Id,
    /// Why.
    pub why: String,
}

/// Whether letters go, or are only looked at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Earnest {
    /// They go.
    Go,
    /// It is said which would.
    Look,
}

/// Why letters could not be tried again, none of them.
#[derive(Debug, thiserror::Error)]
pub enum RetryError {
    /// Intake or the writer takes nothing more.
    #[error("the engine takes nothing now: try again")]
    Closed,
}

/// Has dead letters go again, each with its own bytes, or with `edited` in their place. `knows` says whether a source is in the
/// configuration: what came from one that is not would pass no transform.
///
/// # Errors
/// [`RetryError`]; then no letter is gone.
pub async fn retry(
    (intake, ledger): (&Intake, &Ledger),
    ids: &[Id],
    edited: Option<&Bytes>,
    knows: impl Fn(&str) -> bool,
    (now, earnest): (Timestamp, Earnest),
) -> Result<Retried, RetryError> {
    let (mut arrived, mut outcome) = (Arrived::default(), Retried::default());
    let (mut told, mut gone) = (Vec::new(), Vec::new());
    for id in ids {
        if edited.is_none() && is_profile(ledger, *id) {
            told.push((id.0, id.1));
            outcome.retried.push(*id);
            continue;
        }
        match successor(ledger, *id, edited, &knows, now) {
            Ok((source, event)) => {
                arrived.push(&Arrival::Event { source: &source, named: Named::BySender, json: &event.to_json() });
                gone.push((id.0, id.1));
                outcome.retried.push(*id);
            }
            Err(why) => outcome.kept.push(Kept { id: *id, why }),
        }
    }
    if earnest == Earnest::Look || outcome.retried.is_empty() {
        return Ok(outcome);
    }
    if !gone.is_empty() {
        intake.append(arrived).await.map_err(|_| RetryError::Closed)?;
        let drop = Command::DropLetters { letters: gone, reason: "retried".to_owned() };
        ledger.log(Input::Command(drop)).await.ok_or(RetryError::Closed)?;
    }
    if !told.is_empty() {
        ledger.log(Input::Command(Command::TellAgain { letters: told })).await.ok_or(RetryError::Closed)?;
    }
    Ok(outcome)
}

/// Whether a letter is a profile that a destination of the plan in force refused.
fn is_profile(ledger: &Ledger, Id(position, ordinal): Id) -> bool {
    let state = ledger.state();
    let letter = state.letter((position, ordinal)).ok().flatten();
    letter.is_some_and(|letter| refused_customer(state.plan(), &letter).is_some())
}

/// The event that takes a letter's place, and the source that it came from; or why there is none.
fn successor(
    ledger: &Ledger,
    id: Id,
    edited: Option<&Bytes>,
    knows: impl Fn(&str) -> bool,
    now: Timestamp,
) -> Result<(String, Event), String> {
    let letter = ledger.state().letter((id.0, id.1)).map_err(|error| error.to_string())?;
    let letter = letter.filter(|_| id.0 < ledger.history().durable_end()).ok_or("there is no such dead letter")?;
    let LetterBytes::Record(position) = letter.bytes else {
        return Err(format!("`{}` refused it, and events that a destination refused are not sent again yet", letter.stage));
    };
    let (source, bytes) = source_and_bytes(ledger.history(), position)?;
    let source = source.unwrap_or_else(|| letter.stage.clone());
    if !knows(&source) {
        return Err(format!("it came from the source `{source}`, which is not in the configuration"));
    }
    let bytes = edited.map_or(&bytes[..], |edited| edited);
    let mut event = Event::parse(bytes).map_err(|message| format!("the bytes are no event: {message}; edit them"))?;
    event.message_id.get_or_insert_with(|| format!("letter-{id}"));
    // One that was stamped was received then, and corrected once.
    if event.received.is_none() {
        event.stamp(now, Environment::default());
    }
    Ok((source, event))
}

fn source_and_bytes(history: &LogReader, position: u64) -> Result<(Option<String>, Vec<u8>), String> {
    let record = history.record(position).map_err(|error| error.to_string())?;
    match Input::decode(record.kind, &record.bytes) {
        Ok(Input::DeadLetter(letter)) => Ok((letter.source, letter.bytes)),
        _ => Err(letters::erased(position)),
    }
}
