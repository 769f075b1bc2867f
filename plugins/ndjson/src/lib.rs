//! A source of JSON in files: canonical events, Segment's calls, or any JSON by a mapping.
//!
//! It keeps nothing: what is left of a record that a chunk does not end is in the state that it hands back. `frame.rs` finds where records
//! end, the SDK's `mapping` and the library `segment-calls` say what they mean.
#![deny(clippy::unwrap_used)]

mod frame;

use schemars::JsonSchema;
use segment_calls::{Arrival, Calls, Ip};
use serde::{Deserialize, Serialize};
use weft_plugin::mapping::{self, Headers, Mapping, Scope};
use weft_plugin::{
    About, ConfigProblem, Example, Failure, Json, Leftover, Outbox, RawValue, Reads, Rejection, Source, document, hash, log,
};

use crate::frame::{Frame, Place};

/// Digits of a hash in an id: 96 bits, which do not meet by chance.
const ID_DIGITS: usize = 24;
/// Fields of an event that are the engine's, or that would have it correct a clock again.
const NOT_AGAIN: [&str; 3] = ["received", "claimed", "sent"];

/// What the records are. A path is dotted (`customer.email`) or a JSON pointer (`/customer/e.mail`).
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[schemars(deny_unknown_fields)]
pub struct Config {
    /// What the records are.
    #[serde(default)]
    pub format: Format,
    /// Of `format: json`: what a record becomes.
    #[serde(flatten)]
    pub mapping: mapping::Spec,
}

/// What the records are.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Format {
    /// Canonical events, as the destination `file` writes them.
    #[default]
    Weft,
    /// Calls of Segment's spec, as Segment's and RudderStack's archives have them.
    Segment,
    /// Any JSON: the mapping says what it means.
    Json,
}

/// The plugin.
#[derive(Debug)]
pub struct Ndjson {
    reading: Reading,
}

#[derive(Debug)]
enum Reading {
    Weft,
    Segment,
    Json(Box<Mapping>),
}

impl Source for Ndjson {
    const ABOUT: About = About {
        reads: &[Reads::Decode],
        docs: include_str!("../README.md"),
        examples: &[
            Example { title: "Canonical events", config: include_str!("../examples/weft.json") },
            Example { title: "An archive of Segment's", config: include_str!("../examples/segment.json") },
            Example { title: "Orders of a shop, by a mapping", config: include_str!("../examples/orders.json") },
        ],
        ..weft_plugin::about!()
    };
    type Config = Config;

    fn open(config: Config) -> Result<Self, Failure> {
        let reading = match config.format {
            Format::Weft => Reading::Weft,
            Format::Segment => Reading::Segment,
            Format::Json => Reading::Json(Box::new(Mapping::open(&config.mapping, Headers::None)?)),
        };
        Ok(Ndjson { reading })
    }

    fn validate(config: &Config) -> Vec<ConfigProblem> {
        match config.format {
            Format::Json => Mapping::read(&config.mapping, Headers::None).err().unwrap_or_default(),
            _ if config.mapping == mapping::Spec::default() => Vec::new(),
            _ => {
                let problem = ConfigProblem::at("/format", "there is a mapping, and the format has none");
                vec![problem.hint("a mapping is for `format: json`")]
            }
        }
    }

    fn decode(&mut self, chunk: Vec<u8>, last: bool, state: Option<String>) -> Result<Option<String>, Failure> {
        let unreadable = |error: serde_json::Error| Failure::internal(format!("the state cannot be read: {error}"));
        let state = state.as_deref().map(serde_json::from_str).transpose().map_err(unreadable)?;
        let State { mut place, mut records, record: Leftover(mut input) } = state.unwrap_or_default();
        input.extend_from_slice(&chunk);
        let (mut at, mut outbox) = (0, Outbox::default());
        loop {
            let (bytes, made) = match place.next(&input, &mut at, last) {
                Frame::Open => break,
                Frame::Record(bytes) => (bytes, self.event(bytes, records + 1)),
                Frame::Broken(bytes, why) => (bytes, Err(why)),
            };
            records += 1;
            match made {
                Ok(None) => {}
                Ok(Some(event)) => outbox.put(Ok(event), bytes)?,
                Err(why) => {
                    let message = format!("record {records}: {}", why.message);
                    outbox.put(Err(Rejection { message, ..why }), bytes)?;
                }
            }
        }
        outbox.flush()?;
        if last {
            if matches!(place, Place::List | Place::LongItem(_)) {
                log::warn("the file ends within a list: it may be cut off");
            }
            return Ok(None);
        }
        let state = State { place, records, record: Leftover(input.split_off(at)) };
        serde_json::to_string(&state).map(Some).map_err(|error| Failure::internal(error.to_string()))
    }
}

/// What is known of a file after some of its bytes.
#[derive(Debug, Default, Serialize, Deserialize)]
struct State {
    place: Place,
    /// So far.
    records: u64,
    /// The beginning of one whose end has not been seen.
    record: Leftover,
}

impl Ndjson {
    /// The event that a record is; none where it is not meant.
    fn event(&self, bytes: &[u8], number: u64) -> Result<Option<Vec<u8>>, Rejection> {
        let no_json = |error: &dyn std::fmt::Display| Rejection::new("invalid_json", format!("it is no JSON: {error}"));
        let text = std::str::from_utf8(bytes).map_err(|error| no_json(&error))?;
        let item: &RawValue = serde_json::from_str(text).map_err(|error| no_json(&error))?;
        let id = || {
            let mut digits = hash::sha256(text, None);
            digits.truncate(ID_DIGITS);
            format!("ndjson/{digits}/{number}")
        };
        let mut event = match &self.reading {
            Reading::Weft => return canonical(item, id).map(Some),
            Reading::Segment => {
                let (call, kind) = segment_calls::typed(item.get())?;
                segment_calls::event(&call, kind, &Calls { arrival: Arrival::Kept, ip: Ip::Sent, envelope: None })?
            }
            Reading::Json(mapping) => {
                let scope = Scope { headers: &[], payload: item, item };
                if !mapping.is_wanted(&scope) {
                    return Ok(None);
                }
                mapping.event(&scope, None)?
            }
        };
        if event.message_id.is_none() {
            event.message_id = Some(id().into());
        }
        event.finish().map(Some)
    }
}

/// A canonical event, with an id and without what is not to be said again. The engine checks the rest.
fn canonical(event: &RawValue, id: impl FnOnce() -> String) -> Result<Vec<u8>, Rejection> {
    let fields = document(event.get().as_bytes())
        .map_err(|error| Rejection::new("not_an_object", format!("an event is an object: {error}")))?;
    let has_id = fields.iter().any(|(name, _)| name == "message_id");
    if has_id && !fields.iter().any(|(name, _)| NOT_AGAIN.contains(&&**name)) {
        return Ok(event.get().as_bytes().to_vec());
    }
    let id = if has_id { None } else { serde_json::value::to_raw_value(&id()).ok() };
    let kept = fields.iter().filter(|(name, _)| !NOT_AGAIN.contains(&&**name)).map(|(name, value)| (&**name, *value));
    Ok(Json::object(id.iter().map(|id| ("message_id", &**id)).chain(kept)).text().as_bytes().to_vec())
}

weft_plugin::source!(Ndjson);
