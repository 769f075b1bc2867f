//! What the logs hold: the records of intake, and the inputs of the fold, which are the records of history.
//!
//! A record is a kind byte and a payload. Texts are preceded by their length (u32, little-endian), numbers are u64
//! little-endian, and the rest is JSON, so that both logs can be read in fifty years with nothing but this page.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::attribute::{AttributeId, Place, Tally};
use crate::claim::{ClaimId, Decision, IdentifierId, Proposal};
use crate::event::Event;
use crate::plan::Plan;
use crate::value::Timestamp;

/// A record of the intake log: what came through a door.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Arrival<'a> {
    /// A stamped event, as JSON. `Named` where the sender gave a message id.
    Event {
        /// The source stage.
        source: &'a str,
        /// Whether the JSON has a message id.
        named: Named,
        /// The event.
        json: &'a [u8],
    },
    /// Bytes from an authenticated sender that could not become an event.
    Refused {
        /// The source stage.
        source: &'a str,
        /// A stable code.
        code: &'a str,
        /// For people.
        message: &'a str,
        /// When and how they came: a [`Coming`] as JSON. Empty in records of older versions.
        coming: &'a str,
        /// The bytes as they came.
        bytes: &'a [u8],
    },
    /// How far a source has read, in the same block as what it read to get there.
    Position {
        /// The source stage.
        source: &'a str,
        /// What of the source's: a file, an object; empty where there is one for all.
        key: &'a str,
        /// The position, in the words of the driver; empty takes it away.
        value: &'a [u8],
    },
}

/// When and how bytes came that a source could not take.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Coming {
    /// When they were received, which is when they were set aside.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub at: Option<Timestamp>,
    /// In what, where they can be given to their source again.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub carrier: Option<Carrier>,
}

/// What carried bytes to a source: with it and the bytes, they can be given to the source again.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Carrier {
    /// A request at the source's path.
    Request(Head),
    /// A file, an object or a stream. The bytes mean the same as a whole one.
    File,
}

/// A request at a source's path, without its body. Where one of the source's secrets stood there is the handle by which the configuration
/// knows it, in braces: `{secret:/write_keys/0}`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Head {
    /// Such as `POST`.
    pub method: String,
    /// What follows the source's own path, beginning with `/`.
    pub path: String,
    /// Without the `?`; empty where there is none.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub query: String,
    /// Names in lower case, in the order in which they came.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub headers: Vec<(String, String)>,
    /// The sender's address, without a port.
    pub remote: String,
    /// Whether the bytes are the whole body as it came, compressed where `content-encoding` says so. Else they are what the plugin gave as a
    /// body that says a part of it.
    pub whole: bool,
}

/// Whether an event brought its own message id.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Named {
    /// It did.
    BySender,
    /// Its place in the intake log names it.
    ByPlace,
}

/// A record that cannot be read: not written by this version, or damaged past what checksums see.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a record of kind {kind} cannot be read: {message}")]
pub struct Unreadable {
    /// The record's kind byte.
    pub kind: u8,
    /// What is wrong with it.
    pub message: String,
}

const ARRIVAL_EVENT: u8 = 1;
const ARRIVAL_UNNAMED: u8 = 2;
const ARRIVAL_REFUSED: u8 = 3;
const ARRIVAL_POSITION: u8 = 4;
const ARRIVAL_REFUSED_COMING: u8 = 5;

impl<'a> Arrival<'a> {
    /// The record's kind byte; the payload is appended to `out`.
    pub fn encode(&self, out: &mut Vec<u8>) -> u8 {
        match *self {
            Arrival::Event { source, named, json } => {
                put_text(out, source);
                out.extend_from_slice(json);
                if named == Named::BySender { ARRIVAL_EVENT } else { ARRIVAL_UNNAMED }
            }
            Arrival::Refused { source, code, message, coming, bytes } => {
                put_text(out, source);
                put_text(out, code);
                put_text(out, message);
                put_text(out, coming);
                out.extend_from_slice(bytes);
                ARRIVAL_REFUSED_COMING
            }
            Arrival::Position { source, key, value } => {
                put_text(out, source);
                put_text(out, key);
                out.extend_from_slice(value);
                ARRIVAL_POSITION
            }
        }
    }

    /// Reads a record.
    ///
    /// # Errors
    /// [`Unreadable`], where it was not written by [`Arrival::encode`].
    pub fn decode(kind: u8, payload: &'a [u8]) -> Result<Self, Unreadable> {
        let mut reader = Reader { kind, rest: payload };
        let source = reader.text()?;
        match kind {
            ARRIVAL_EVENT => Ok(Arrival::Event { source, named: Named::BySender, json: reader.rest }),
            ARRIVAL_UNNAMED => Ok(Arrival::Event { source, named: Named::ByPlace, json: reader.rest }),
            ARRIVAL_REFUSED => {
                let (code, message) = (reader.text()?, reader.text()?);
                Ok(Arrival::Refused { source, code, message, coming: "", bytes: reader.rest })
            }
            ARRIVAL_REFUSED_COMING => {
                let (code, message, coming) = (reader.text()?, reader.text()?, reader.text()?);
                Ok(Arrival::Refused { source, code, message, coming, bytes: reader.rest })
            }
            ARRIVAL_POSITION => Ok(Arrival::Position { source, key: reader.text()?, value: reader.rest }),
            _ => Err(reader.error("the kind is unknown")),
        }
    }
}

/// The JSON of an event that brought no message id, with one made of its source and its place in the intake log.
#[must_use]
pub fn name_by_place(source: &str, place: u64, json: &[u8]) -> Vec<u8> {
    let id = serde_json::Value::from(format!("{source}-{place}")).to_string();
    let rest = json.strip_prefix(b"{").unwrap_or(json);
    [b"{\"message_id\":", id.as_bytes(), b",", rest].concat()
}

/// A record of the history log: what the fold consumes.
#[derive(Clone, Debug, PartialEq)]
pub enum Input {
    /// An event, after the transforms and known not to be a repetition.
    Event {
        /// The source stage.
        source: String,
        /// Its place in the intake log.
        intake: u64,
        /// The event.
        event: Box<Event>,
    },
    /// A record of intake from which nothing follows, and why.
    Passed {
        /// Its place in the intake log.
        intake: u64,
        /// The reason.
        reason: Passed,
    },
    /// A record that a stage could not take, with its bytes.
    DeadLetter(DeadLetter),
    /// The time, as the fold knows it.
    Tick(Timestamp),
    /// What became of a batch of deliveries.
    Receipts(Receipts),
    /// New rules.
    Plan(Plan),
    /// An operator's order.
    Command(Command),
    /// A value of a stage's own small store.
    Kv(Kv),
    /// How far a source has read.
    Position {
        /// Its place in the intake log.
        intake: u64,
        /// Under the stage that [`positions_of`] names.
        kv: Kv,
    },
    /// What events come to that were there before an attribute was.
    Sweep(Sweep),
    /// What the matcher says of two customers.
    Match(Proposal),
    /// A model by which the matcher compares from here on.
    Model(Model),
}

/// The stage under which the positions of a source are kept: no stage has a slash in its name, so no plugin reaches them.
#[must_use]
pub fn positions_of(source: &str) -> String {
    format!("{source}/position")
}

/// Why nothing follows from a record of intake.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Passed {
    /// Its message id is in the duplicate window.
    Duplicate,
    /// This transform dropped it on purpose.
    Dropped {
        /// The transform.
        stage: String,
    },
    /// It names somebody who was erased.
    Suppressed,
}

/// A record that a stage could not take: kept with its bytes until somebody replays or drops it (invariant 3).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DeadLetter {
    /// The stage that gave up.
    pub stage: String,
    /// A stable code for filters and counts.
    pub code: String,
    /// For people.
    pub message: String,
    /// The source that it came from.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub source: Option<String>,
    /// Its place in the intake log, where it came from there.
    pub intake: Option<u64>,
    /// When the stage gave up; older versions did not note it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub at: Option<Timestamp>,
    /// What carried the bytes to their source, where that is the stage and can have them again.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub carrier: Option<Carrier>,
    /// The bytes as the stage got them.
    #[serde(skip)]
    pub bytes: Vec<u8>,
}

/// What became of a batch of deliveries.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Receipts {
    /// The destination.
    pub lane: String,
    /// What was delivered.
    pub stream: Stream,
    /// Everything before this place has come to an end: delivered or a dead letter.
    pub through: u64,
    /// Deliveries that came to nothing.
    pub rejected: Vec<Rejected>,
    /// The places of events that were delivered again, one by one, and have come to an end: delivered, or among `rejected`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub again: Vec<u64>,
    /// When that was; older versions did not note it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub at: Option<Timestamp>,
    /// What did not leave for want of consent.
    #[serde(default, skip_serializing_if = "Withheld::is_nothing")]
    pub withheld: Withheld,
}

/// What did not leave, because somebody has not agreed.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Withheld {
    /// How many records, by what was missing.
    pub by_reason: BTreeMap<String, u64>,
    /// The profiles among them, by number.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub profiles: Vec<u64>,
}

impl Withheld {
    /// Whether everything left as it was.
    #[must_use]
    pub fn is_nothing(&self) -> bool {
        *self == Withheld::default()
    }

    /// How many records did not leave.
    #[must_use]
    pub fn total(&self) -> u64 {
        self.by_reason.values().sum()
    }
}

/// What a destination is fed with.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Stream {
    /// Events, straight from history.
    Events,
    /// Changed profiles.
    Profiles,
}

impl Stream {
    /// Its name, as plugins and YAML know it.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Stream::Events => "events",
            Stream::Profiles => "profiles",
        }
    }
}

/// The code of a delivery that came to nothing and was of somebody who was erased: its place among the others stays, and no letter waits.
pub const ERASED: &str = "erased";

/// A delivery that came to nothing.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Rejected {
    /// The place in the stream: of an event its place in history, of a profile its row's.
    pub position: u64,
    /// A stable code.
    pub code: String,
    /// For people.
    pub message: String,
    /// How often it was tried.
    pub attempts: u32,
}

/// An operator's order.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Command {
    /// A claim was a mistake: from now on it joins nothing.
    Retract {
        /// The claim.
        claim: ClaimId,
        /// Why, for the next person who asks.
        reason: String,
    },
    /// A retraction was a mistake.
    Restore {
        /// The claim.
        claim: ClaimId,
    },
    /// What was taken for one person's is not: a person says so.
    Split {
        /// What is taken apart. What is not there changes nothing.
        parts: Vec<Part>,
        /// Why, for the next person who asks.
        reason: String,
    },
    /// A split was a mistake.
    Rejoin {
        /// What of it. What is not there changes nothing.
        parts: Vec<Part>,
    },
    /// A claim that is held may join customers, or may not; or, with no decision, is as if nobody had decided.
    Decide {
        /// The claim.
        claim: ClaimId,
        /// Which; none takes a decision back.
        decision: Option<Decision>,
        /// Why, for the next person who asks.
        reason: String,
    },
    /// Two customers are one person, whatever the matcher says, or are not; or, with no decision, it is as if nobody had decided.
    DecideMatch {
        /// The two, by their earliest claims.
        pair: [ClaimId; 2],
        /// Which; none takes a decision back.
        decision: Option<Decision>,
        /// Why, for the next person who asks.
        reason: String,
    },
    /// A destination is given nothing until it is resumed; what it would be given waits.
    Pause {
        /// The destination.
        lane: String,
    },
    /// A destination that was paused is given what waits for it.
    Resume {
        /// The destination.
        lane: String,
    },
    /// Destinations hear again of customers whose profiles they refused: of each as it is now. Those letters wait no longer.
    TellAgain {
        /// The letters, by place in history and ordinal. One that is not there, or of something else, changes nothing.
        letters: Vec<(u64, u32)>,
    },
    /// Destinations get events again that they refused: those events and no others, by the places that they have in history. Each of the letters
    /// waits until its event has come to an end.
    DeliverAgain {
        /// The letters, by place in history and ordinal. One that is not there, or of something else, changes nothing.
        letters: Vec<(u64, u32)>,
    },
    /// Dead letters that nobody needs any more: they wait no longer, and no longer hold history.
    DropLetters {
        /// The letters, by place in history and ordinal. One that is not there changes nothing.
        letters: Vec<(u64, u32)>,
        /// Why, for the next person who asks.
        reason: String,
    },
    /// A person goes, with everything that state has of them.
    Erase(Box<Erase>),
}

/// What goes of a person. Ids of claims can be guessed from what they join, so the record itself goes as well, once state is durable
/// without them: what stays of an erasure are keyed hashes.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Erase {
    /// The erasure's own id.
    pub erasure: String,
    /// The claims, with all that is filed under them.
    pub claims: Vec<ClaimId>,
    /// How the claims must still stand, in their order, or else nothing is done: the place in history of the event that was filed first, and
    /// how many there are. So nobody is forgotten for being silent who has come back meanwhile. Empty where that does not matter.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub still: Vec<(u64, u64)>,
    /// Dead letters, by place in history and ordinal.
    pub letters: Vec<(u64, u32)>,
    /// Dead letters of others whose message names the person: it becomes [`ERASED`].
    #[serde(default)]
    pub reworded: Vec<(u64, u32)>,
    /// Reasons that name the person, of what people said of others' claims and identifiers: each becomes [`ERASED`].
    #[serde(default)]
    pub reasons: Vec<String>,
    /// The claims of which something was said for such a reason.
    #[serde(default)]
    pub reasoned_claims: Vec<ClaimId>,
    /// The identifiers that were separated for such a reason.
    #[serde(default)]
    pub reasoned_identifiers: Vec<IdentifierId>,
    /// Deliveries that wait, by destination and number.
    pub deliveries: Vec<(String, u64)>,
    /// Values of stages' small stores, by stage and key.
    pub values: Vec<(String, String)>,
}

/// What a split takes apart.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Part {
    /// A claim, whoever says so: it joins nothing.
    Claim {
        /// The claim.
        claim: ClaimId,
    },
    /// A source's word for a claim: the claim joins nothing, unless another source says so too.
    Word {
        /// The claim.
        claim: ClaimId,
        /// The source.
        source: String,
    },
    /// A match: the two claims are not one person's because of it, whatever the matcher says later.
    Match {
        /// The two claims.
        pair: [ClaimId; 2],
    },
    /// Two identifiers: they are not one person's, whatever says so later.
    Pair {
        /// One of them. Ids, so that a command names nobody.
        one: IdentifierId,
        /// The other.
        other: IdentifierId,
        /// The claim whose split says so.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        of: Option<ClaimId>,
    },
}

/// A value of a stage's own small store.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Kv {
    /// The stage.
    pub stage: String,
    /// The key.
    pub key: String,
    /// The value; none takes the key away.
    pub value: Option<Vec<u8>>,
}

/// A model as the matcher learned it. Its version is its place in history.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Model {
    /// When it was learned.
    pub at: Timestamp,
    /// The model, as JSON.
    pub json: String,
}

/// A piece of a pass through history: what the events of some claims come to for attributes that came after them. It is made outside the
/// fold, which has no history, and counts once: the fold takes it only if the pass stands where the piece begins.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Sweep {
    /// The place in history of the plan that brought the attributes.
    pub since: u64,
    /// Where the pass stands.
    pub after: Option<Place>,
    /// Where it stands after this piece; none where this is the last.
    pub through: Option<Place>,
    /// The claims in between of which there is something to say.
    pub claims: Vec<Swept>,
    /// Events of theirs that history does not have any more.
    #[serde(default)]
    pub missing: u64,
}

/// What the events of one claim come to.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Swept {
    /// The claim.
    pub claim: ClaimId,
    /// By attribute and stretch of time.
    pub tallies: Vec<(AttributeId, i64, Tally)>,
    /// How many values could not be used.
    pub unusable: Vec<(AttributeId, u64)>,
}

const EVENT: u8 = 1;
const PASSED: u8 = 2;
const DEAD_LETTER: u8 = 3;
const TICK: u8 = 4;
const RECEIPTS: u8 = 5;
const PLAN: u8 = 6;
const COMMAND: u8 = 7;
const KV: u8 = 8;
const POSITION: u8 = 9;
const SWEEP: u8 = 10;
const MATCH: u8 = 11;
const MODEL: u8 = 12;

/// Appends the payload of an event record; its kind is [`kind_of_event`]. Apart from [`Input::encode`] so that an event's
/// JSON reaches history as the bytes that it already is.
pub fn encode_event(source: &str, intake: u64, json: &[u8], out: &mut Vec<u8>) {
    put_text(out, source);
    out.extend_from_slice(&intake.to_le_bytes());
    out.extend_from_slice(json);
}

/// The kind byte of an event record.
#[must_use]
pub fn kind_of_event() -> u8 {
    EVENT
}

/// The JSON of an event record, without reading it; none for a record of another kind.
#[must_use]
pub fn event_json(kind: u8, payload: &[u8]) -> Option<&[u8]> {
    event_parts(kind, payload).map(|(_, json)| json)
}

/// The source and the JSON of an event record, without reading it; none for a record of another kind.
#[must_use]
pub fn event_parts(kind: u8, payload: &[u8]) -> Option<(&str, &[u8])> {
    let mut reader = Reader { kind, rest: payload };
    let source = (kind == EVENT).then(|| reader.text().ok()).flatten()?;
    reader.number().ok()?;
    Some((source, reader.rest))
}

impl Input {
    /// The record's kind byte; the payload is appended to `out`.
    pub fn encode(&self, out: &mut Vec<u8>) -> u8 {
        let json = |out: &mut Vec<u8>, value: &dyn erased::Json| value.write(out);
        match self {
            Input::Event { source, intake, event } => {
                encode_event(source, *intake, &event.to_json(), out);
                EVENT
            }
            Input::Passed { intake, reason } => {
                out.extend_from_slice(&intake.to_le_bytes());
                json(out, reason);
                PASSED
            }
            Input::DeadLetter(letter) => {
                let mut head = Vec::new();
                json(&mut head, letter);
                out.extend_from_slice(&(head.len() as u32).to_le_bytes());
                out.extend_from_slice(&head);
                out.extend_from_slice(&letter.bytes);
                DEAD_LETTER
            }
            Input::Tick(now) => {
                out.extend_from_slice(&now.0.to_le_bytes());
                TICK
            }
            Input::Receipts(receipts) => {
                json(out, receipts);
                RECEIPTS
            }
            Input::Plan(plan) => {
                json(out, plan);
                PLAN
            }
            Input::Command(command) => {
                json(out, command);
                COMMAND
            }
            Input::Kv(kv) => {
                json(out, kv);
                KV
            }
            Input::Position { intake, kv } => {
                out.extend_from_slice(&intake.to_le_bytes());
                put_text(out, &kv.stage);
                put_text(out, &kv.key);
                out.extend_from_slice(kv.value.as_deref().unwrap_or_default());
                POSITION
            }
            Input::Sweep(sweep) => {
                json(out, sweep);
                SWEEP
            }
            Input::Match(proposal) => {
                json(out, proposal);
                MATCH
            }
            Input::Model(model) => {
                json(out, model);
                MODEL
            }
        }
    }

    /// Reads a record.
    ///
    /// # Errors
    /// [`Unreadable`], where it was not written by [`Input::encode`] of this version or an earlier one.
    pub fn decode(kind: u8, payload: &[u8]) -> Result<Self, Unreadable> {
        let mut reader = Reader { kind, rest: payload };
        Ok(match kind {
            EVENT => {
                let (source, intake) = (reader.text()?.to_owned(), reader.number()?);
                let event = Box::new(Event::parse(reader.rest).map_err(|message| Unreadable { kind, message })?);
                Input::Event { source, intake, event }
            }
            PASSED => Input::Passed { intake: reader.number()?, reason: reader.json()? },
            DEAD_LETTER => {
                let head = reader.text()?;
                let mut letter: DeadLetter = serde_json::from_str(head).map_err(|error| reader.error(&error.to_string()))?;
                letter.bytes = reader.rest.to_vec();
                Input::DeadLetter(letter)
            }
            TICK => Input::Tick(Timestamp(reader.number()? as i64)),
            RECEIPTS => Input::Receipts(reader.json()?),
            PLAN => Input::Plan(reader.json()?),
            COMMAND => Input::Command(reader.json()?),
            KV => Input::Kv(reader.json()?),
            POSITION => {
                let (intake, stage, key) = (reader.number()?, reader.text()?.to_owned(), reader.text()?.to_owned());
                let value = Some(reader.rest.to_vec()).filter(|value| !value.is_empty());
                Input::Position { intake, kv: Kv { stage, key, value } }
            }
            SWEEP => Input::Sweep(reader.json()?),
            MATCH => Input::Match(reader.json()?),
            MODEL => Input::Model(reader.json()?),
            _ => return Err(reader.error("the kind is unknown")),
        })
    }

    /// The place in the intake log that this record answers for, where it does.
    #[must_use]
    pub fn intake(&self) -> Option<u64> {
        match self {
            Input::Event { intake, .. } | Input::Passed { intake, .. } | Input::Position { intake, .. } => Some(*intake),
            Input::DeadLetter(letter) => letter.intake,
            _ => None,
        }
    }
}

mod erased {
    /// Something that can be written as JSON, whatever it is.
    pub(super) trait Json {
        fn write(&self, out: &mut Vec<u8>);
    }

    impl<T: serde::Serialize> Json for T {
        fn write(&self, out: &mut Vec<u8>) {
            serde_json::to_writer(out, self).expect("records have string keys");
        }
    }
}

fn put_text(out: &mut Vec<u8>, text: &str) {
    out.extend_from_slice(&(text.len() as u32).to_le_bytes());
    out.extend_from_slice(text.as_bytes());
}

struct Reader<'a> {
    kind: u8,
    rest: &'a [u8],
}

impl<'a> Reader<'a> {
    fn error(&self, message: &str) -> Unreadable {
        Unreadable { kind: self.kind, message: message.to_owned() }
    }

    fn take(&mut self, bytes: usize) -> Result<&'a [u8], Unreadable> {
        let (taken, rest) = self.rest.split_at_checked(bytes).ok_or_else(|| self.error("it is too short"))?;
        self.rest = rest;
        Ok(taken)
    }

    fn number(&mut self) -> Result<u64, Unreadable> {
        let bytes = self.take(8)?;
        Ok(u64::from_le_bytes(bytes.try_into().expect("eight bytes were taken")))
    }

    fn text(&mut self) -> Result<&'a str, Unreadable> {
        let bytes = self.take(4)?;
        let length = u32::from_le_bytes(bytes.try_into().expect("four bytes were taken"));
        std::str::from_utf8(self.take(length as usize)?).map_err(|_| self.error("a text in it is not UTF-8"))
    }

    fn json<T: serde::de::DeserializeOwned>(&self) -> Result<T, Unreadable> {
        serde_json::from_slice(self.rest).map_err(|error| self.error(&error.to_string()))
    }
}

#[cfg(test)]
mod tests;
