//! Dead letters that go again, each by the way that fits it.
//!
//! | What was refused | by | goes |
//! |---|---|---|
//! | bytes | a source | to its plugin again, in the request or as the file in which they came; what comes out enters intake |
//! | an event | a transform | into intake, under its source, and from there the whole way |
//! | an event | a destination | to that destination alone, from its place in history ([`crate::delivery`]) |
//! | a profile | a destination | to that destination, as it is now |
//!
//! What enters intake is durable there before its letter goes (invariant 3). If the process dies in between, both are there; then a second try is a
//! repetition, because each successor has the letter's own message id or one that is made of the letter's (invariant 5). The other two are
//! commands in history, and the same twice as once. The original stays in history.

mod again;

use bytes::Bytes;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use weft_domain::event::{Environment, Event};
use weft_domain::fold::{refused_customer, refused_event};
use weft_domain::input::{Arrival, Carrier, Command, DeadLetter, Input, Named};
use weft_domain::value::Timestamp;
use weft_domain::view::{LetterBytes, View};
use weft_store::log::LogReader;

use crate::clock::Clock;
use crate::delivery::OUT_OF_ORDER;
use crate::door::Doors;
use crate::intake::{Arrived, Intake};
use crate::letters::{self, Id};
use crate::limits;
use crate::status::Status;
use crate::writer::Ledger;

/// What came of trying dead letters again.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Retried {
    /// Those that went, are on their way, or would go.
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
    /// It is said which would. No plugin is asked, so a source may refuse again what would go to it.
    Look,
}

/// Why no more letters could be tried again. Those before may have gone; to ask for all of them once more changes nothing for those.
#[derive(Debug, thiserror::Error)]
pub enum RetryError {
    /// Intake or the writer takes nothing more.
    #[error("the engine takes nothing now: try again")]
    Closed,
}

/// What letters go through.
#[derive(Clone, Copy)]
pub struct Ways<'a> {
    /// The way into intake.
    pub intake: &'a Intake,
    /// State, history, and the way for commands.
    pub ledger: &'a Ledger,
    /// Which sources and destinations there are.
    pub status: &'a Status,
    /// Sources that take requests.
    pub doors: &'a Doors,
    /// What time it is.
    pub clock: &'a Clock,
}

/// The way by which one letter goes.
enum Way {
    /// It enters intake as an event of this source.
    Event(String, Box<Event>),
    /// Its bytes go to this source's plugin again, as they came then.
    Source { name: String, carrier: Carrier, bytes: Bytes, at: Timestamp },
    /// Its event goes to the destination again.
    Deliver,
    /// Its customer's profile goes to the destination again.
    Tell,
}

impl Ways<'_> {
    /// Has dead letters go again, each with its own bytes, or with `edited` in their place.
    ///
    /// # Errors
    /// [`RetryError`].
    pub async fn retry(self, ids: &[Id], edited: Option<&Bytes>, earnest: Earnest) -> Result<Retried, RetryError> {
        let mut outcome = Retried::default();
        let (mut arrived, mut gone) = (Arrived::default(), Vec::new());
        let (mut told, mut delivered) = (Vec::new(), Vec::new());
        for id in ids {
            let key = (id.0, id.1);
            let way = self.way(*id, edited);
            let went = match way {
                Err(why) => Err(why),
                Ok(_) if earnest == Earnest::Look => Ok(()),
                Ok(Way::Deliver) => {
                    delivered.push(key);
                    Ok(())
                }
                Ok(Way::Tell) => {
                    told.push(key);
                    Ok(())
                }
                Ok(Way::Event(source, event)) => {
                    arrived.push(&Arrival::Event { source: &source, named: Named::BySender, json: &event.to_json() });
                    gone.push(key);
                    Ok(())
                }
                Ok(Way::Source { name, carrier, bytes, at }) => {
                    let made = self.through_source((*id, &name), &carrier, &bytes, at).await;
                    made.map(|made| {
                        arrived.append(made);
                        gone.push(key);
                    })
                }
            };
            match went {
                Ok(()) => outcome.retried.push(*id),
                Err(why) => outcome.kept.push(Kept { id: *id, why }),
            }
            if arrived.len() > limits::LETTERS_RETRIED_BYTES {
                self.enter(&mut arrived, &mut gone).await?;
            }
        }
        self.enter(&mut arrived, &mut gone).await?;
        if !told.is_empty() {
            self.order(Command::TellAgain { letters: told }).await?;
        }
        if !delivered.is_empty() {
            self.order(Command::DeliverAgain { letters: delivered }).await?;
        }
        Ok(outcome)
    }

    /// Makes successors durable in intake, and lets their letters go.
    async fn enter(self, arrived: &mut Arrived, gone: &mut Vec<(u64, u32)>) -> Result<(), RetryError> {
        if !arrived.is_empty() {
            self.intake.append(std::mem::take(arrived)).await.map_err(|_| RetryError::Closed)?;
        }
        if gone.is_empty() {
            return Ok(());
        }
        self.order(Command::DropLetters { letters: std::mem::take(gone), reason: "retried".to_owned() }).await
    }

    async fn order(self, command: Command) -> Result<(), RetryError> {
        self.ledger.log(Input::Command(command)).await.map(drop).ok_or(RetryError::Closed)
    }

    /// The way by which a letter goes, or why it stays.
    fn way(self, id: Id, edited: Option<&Bytes>) -> Result<Way, String> {
        let state = self.ledger.state();
        let letter = state.letter((id.0, id.1)).map_err(|error| error.to_string())?;
        let letter = letter.filter(|_| id.0 < self.ledger.history().durable_end()).ok_or("there is no such dead letter")?;
        let plan = state.plan().clone();
        // What follows reads history, and the writer need not wait for that.
        drop(state);
        let stage = &letter.stage;
        match letter.bytes {
            LetterBytes::Event(_) if edited.is_some() => Err(format!(
                "`{stage}` refused it as it stands in history, and what is edited is another event: have it go as it is, or send the other one to \
                 a source, with a message id of its own"
            )),
            LetterBytes::Event(_) if refused_event(&plan, &letter).is_none() => {
                Err(format!("`{stage}` refused it, and is no destination of events now"))
            }
            LetterBytes::Event(_) if self.status.is_ordered(stage) => Err(format!("`{stage}` refused it: {OUT_OF_ORDER}")),
            LetterBytes::Event(_) => Ok(Way::Deliver),
            LetterBytes::Here(_) if edited.is_some() => Err("a profile follows from events, and cannot be edited".into()),
            LetterBytes::Here(_) if refused_customer(&plan, &letter).is_some() => Ok(Way::Tell),
            LetterBytes::Here(_) => Err(format!("`{stage}` set it aside, and is no destination of profiles now")),
            LetterBytes::Record(position) => self.way_of(id, dead_letter(self.ledger.history(), position)?, edited),
        }
    }

    /// The way of what a source or a transform could not take.
    fn way_of(self, id: Id, letter: DeadLetter, edited: Option<&Bytes>) -> Result<Way, String> {
        let DeadLetter { stage, source, carrier, at, bytes, .. } = letter;
        let name = source.unwrap_or_else(|| stage.clone());
        if !self.status.has_source(&name) {
            return Err(format!("it came from the source `{name}`, which is not in the configuration"));
        }
        if let (Some(carrier), Some(at), None) = (carrier, at, edited) {
            return Ok(Way::Source { name, carrier, bytes: bytes.into(), at });
        }
        let bytes = edited.map_or(&bytes[..], |edited| edited);
        let mut event = Event::parse(bytes).map_err(|message| {
            let is_raw = edited.is_none() && stage == name;
            let by_itself = "; it cannot go through its source again, since no more than its bytes was kept";
            format!("the bytes are no event: {message}; edit them{}", if is_raw { by_itself } else { "" })
        })?;
        event.message_id.get_or_insert_with(|| format!("letter-{id}"));
        // One that was stamped was received then, and corrected once.
        if event.received.is_none() {
            event.stamp(self.clock.now(), Environment::default());
        }
        Ok(Way::Event(name, Box::new(event)))
    }
}

fn dead_letter(history: &LogReader, position: u64) -> Result<DeadLetter, String> {
    let record = history.record(position).map_err(|error| error.to_string())?;
    match Input::decode(record.kind, &record.bytes) {
        Ok(Input::DeadLetter(letter)) => Ok(letter),
        _ => Err(letters::erased(position)),
    }
}
