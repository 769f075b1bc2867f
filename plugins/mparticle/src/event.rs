//! Events of a batch: from mParticle's specification to canonical events.
//!
//! README.md has the mapping as a table. What a type of event has of its own are properties, beside the sender's custom attributes; what all
//! types share and has no place of its own goes to `context.extra`. Of a bad event the batch is kept with it, and its neighbours are unharmed.

use std::collections::BTreeMap;

use weft_plugin::{EventBuilder, Fields, Json, Kind, RawValue, Received, Refused, Rejection, Timestamp, fields};

use crate::batch::{Around, Batch, Channel, place, trait_name};
use crate::names::{Meaning, meaning};
use crate::object::{Object, with_attributes};
use crate::{commerce, identities};

/// How old an event of the past must be: mParticle's limit, below which it belongs to the present.
const HISTORICAL_MS_MIN: i64 = 72 * 60 * 60 * 1_000;

/// Events in a request: what the engine takes of one answer.
const REQUEST_EVENTS_MAX: usize = 10_000;

/// What a request may become, in bytes: each event repeats what its batch says of the device. Beyond, events are refused.
const MADE_BYTES_MAX: usize = 24 << 20;

/// Fields that every type of event has and that have a place of their own.
const TAKEN: [&str; 5] = ["timestamp_unixtime_ms", "source_message_id", "custom_attributes", "location", "page_url"];

/// Fields that describe how it was measured, and are no properties.
const BESIDE: [&str; 18] = [
    "session_id",
    "session_uuid",
    "session_start_unixtime_ms",
    "event_start_unixtime_ms",
    "event_id",
    "event_num",
    "custom_flags",
    "custom_event_type",
    "device_current_state",
    "is_goal_defined",
    "lifetime_value_change",
    "lifetime_value_attribute_name",
    "data_connection_type",
    "view_controller",
    "is_main_thread",
    "canonical_name",
    "event_system_notification_info",
    "active_time_on_site_ms",
];

/// Takes a batch: its events, and what of them could not be taken.
///
/// # Errors
/// What is wrong with it as a whole.
pub(crate) fn take(raw: &RawValue, around: &Around<'_>, received: &mut Received) -> Result<(), Rejection> {
    let batch = Batch::read(raw, around)?;
    if around.channel == Channel::Historical {
        is_of_the_past(&batch, around.request.received_ms)?;
    }
    let count = received.events.len() + batch.events.len();
    if count > REQUEST_EVENTS_MAX {
        let words = format!("there are {count} events in the request, and {REQUEST_EVENTS_MAX} are allowed");
        return Err(Rejection::new("too_many_events", words));
    }
    if batch.events.is_empty() {
        let mut event = EventBuilder::new(Kind::Identify);
        batch.begin(&mut event);
        event.message_id = batch.message_id(None, 0, false);
        event.occurred = batch.at;
        event.context.extra = extra(batch.extra());
        batch.tell(&mut event);
        received.events.push(event.finish()?);
        return Ok(());
    }
    let (events, refused) = events(&batch, received.events.iter().map(Vec::len).sum());
    received.events.extend(events);
    received.refused.extend(refused.into_iter().map(|(code, (message, events))| {
        let message = if events.len() > 1 { format!("{message} (the first of {} events)", events.len()) } else { message };
        Refused { rejection: Rejection::new(code, message), bytes: Some(batch.with_only(&events)) }
    }));
    Ok(())
}

/// Events that could not be taken, by the code of why: the first message, and all of them.
type Bad<'a> = BTreeMap<String, (String, Vec<&'a RawValue>)>;

/// Makes the events of a batch. What the batch says of the person goes with the last of them: it is how the person was when it was sent.
fn events<'a>(batch: &Batch<'a>, mut bytes_made: usize) -> (Vec<Vec<u8>>, Bad<'a>) {
    let (mut made, mut bad) = (Vec::with_capacity(batch.events.len()), Bad::new());
    let mut refuse = |rejection: Rejection, raw: &'a RawValue| {
        bad.entry(rejection.code).or_insert_with(|| (rejection.message, Vec::new())).1.push(raw);
    };
    let mut last = None;
    for (number, raw) in batch.events.iter().enumerate() {
        let finished = event(batch, raw, number).and_then(|event| Ok((event.finish()?, event)));
        match finished {
            Ok((bytes, _)) if bytes_made + bytes.len() > MADE_BYTES_MAX => {
                let words = "the events of this request become too large, each with what its batch says of the device";
                refuse(Rejection::new("too_large", words), raw);
            }
            Ok((bytes, event)) => {
                bytes_made += bytes.len();
                made.push(bytes);
                last = Some(event);
            }
            Err(rejection) => refuse(rejection, raw),
        }
    }
    if let (Some(mut event), Some(bytes)) = (last, made.last_mut())
        && batch.tells()
    {
        batch.tell(&mut event);
        match event.finish() {
            Ok(with_facts) => *bytes = with_facts,
            // The event is taken without them, and they are kept: a batch without events.
            Err(rejection) => {
                bad.entry(rejection.code).or_insert_with(|| (rejection.message, Vec::new()));
            }
        }
    }
    (made, bad)
}

/// One event of a batch.
fn event<'a>(batch: &Batch<'a>, raw: &'a RawValue, number: usize) -> Result<EventBuilder<'a>, Rejection> {
    let outer = Object::read(raw, "event")?;
    let data = outer.object("data")?;
    let event_type = outer.string("event_type").unwrap_or_default();
    let Meaning { kind, name, named_by } = meaning(&event_type, &data, batch.platform)?;
    let mut event = EventBuilder::new(kind);
    batch.begin(&mut event);
    event.name = name;
    let at = data.time("timestamp_unixtime_ms")?;
    event.occurred = at.or(batch.at);
    let own = data.id("source_message_id", "bad_message_id")?;
    event.message_id = batch.message_id(own.as_deref(), number, at.is_some());
    if let Some(place) = place(&data)? {
        event.context.place = Some(place);
    }
    event.context.page = data.get("page_url").map(|url| Json::object([("url", url)]));
    let mut own: Fields<'a> = Fields::new();
    match &*event_type {
        "commerce_event" => own = commerce::split(&mut event, &data)?,
        "user_attribute_change" => attribute(&mut event, &data)?,
        "user_identity_change" => identity(&mut event, &data)?,
        _ => {}
    }
    let split: &[&str] = if event_type == "commerce_event" { &commerce::TAKEN } else { &[] };
    let is_taken = |name: &str| name == named_by || [&TAKEN[..], &BESIDE, split].iter().any(|names| names.contains(&name));
    own.extend(data.0.iter().filter(|(name, _)| !is_taken(name)).cloned());
    let own: Vec<_> = own.iter().map(|(name, value)| (name.as_ref(), *value)).collect();
    event.properties = with_attributes(&own, data.get("custom_attributes"))?;
    let beside = data.0.iter().filter(|(name, _)| BESIDE.contains(&&**name)).map(|(name, value)| (name.as_ref(), *value));
    let others = outer.without(&["event_type", "data"]);
    event.context.extra = extra(batch.extra().into_iter().chain(beside).chain(others));
    Ok(event)
}

fn extra<'e>(fields: impl IntoIterator<Item = (&'e str, &'e RawValue)>) -> Option<Json<'static>> {
    let fields: Vec<_> = fields.into_iter().filter(|(_, value)| !matches!(value.get(), "{}" | "[]")).collect();
    (!fields.is_empty()).then(|| Json::object(fields))
}

/// An attribute that became another, or is there no more.
fn attribute<'a>(event: &mut EventBuilder<'a>, data: &Object<'a>) -> Result<(), Rejection> {
    let name = data.string("user_attribute_name").filter(|name| !name.is_empty());
    let name = name.ok_or_else(|| Rejection::new("bad_attribute", "a user_attribute_change needs a user_attribute_name"))?;
    match data.get("new").filter(|_| data.truth("deleted") != Some(true)) {
        Some(value) => event.fact(trait_name(name), value),
        None => event.fact(trait_name(name), Json::of(&()).expect("nothing is null")),
    };
    Ok(())
}

/// An identity that became another: the new one names the person. An identity that was taken away is kept as a property, and what was seen
/// under it stays.
fn identity<'a>(event: &mut EventBuilder<'a>, data: &Object<'a>) -> Result<(), Rejection> {
    let new = data.object("new")?;
    if let (Some(kind), Some(value)) = (new.string("identity_type"), new.get("identity"))
        && let Some(identity) = identities::one(kind, value)?
    {
        event.claim(identity.kind, identity.value);
    }
    Ok(())
}

/// Whether all of a batch is of the past, as mParticle wants it where the past is told.
fn is_of_the_past(batch: &Batch<'_>, received_ms: u64) -> Result<(), Rejection> {
    if batch.events.is_empty() {
        return Err(Rejection::new("no_events", "a historical batch needs events"));
    }
    let latest = i64::try_from(received_ms).unwrap_or(i64::MAX) - HISTORICAL_MS_MIN;
    for raw in &batch.events {
        let data = fields(raw).and_then(|event| event.into_iter().find(|(name, _)| name == "data"));
        let at = data.and_then(|(_, data)| Object::read(data, "data").ok()?.time("timestamp_unixtime_ms").ok()?);
        match at.map(Timestamp::ms) {
            None => {
                return Err(Rejection::new("no_timestamp", "every event of a historical batch needs a timestamp_unixtime_ms"));
            }
            Some(at) if at > latest => {
                let words = "an event of this historical batch is younger than 72 hours: it belongs to /v2/bulkevents";
                return Err(Rejection::new("not_historical", words));
            }
            Some(_) => {}
        }
    }
    Ok(())
}
