//! Events as the pages show them: those of a customer by time, a page at a time.
//!
//! State has an index of a customer's events, history has the events. A page of the answer is found by going through the whole index
//! of the customer, which costs a look at state for every [`INDEX_PAGE_ENTRIES`](weft_domain::limits::INDEX_PAGE_ENTRIES) events, in
//! short looks, so that the writer need not wait. What is not durable yet is not shown. Who shows events is [`crate::api`], and
//! `weft events` where no engine runs.

use std::fmt;
use std::ops::{ControlFlow, Deref};
use std::str::FromStr;

use schemars::JsonSchema;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::value::RawValue;
use weft_domain::claim::{ClaimId, fingerprint};
use weft_domain::explain::claims_of;
use weft_domain::input::{Input, event_parts};
use weft_domain::profile::{Entry, Node, Told};
use weft_domain::value::{Excerpt, Timestamp};
use weft_domain::view::{Read, View, ViewError};
use weft_store::StoreError;
use weft_store::log::LogReader;
use weft_store::overlay::Overlay;

use crate::limits;

pub use weft_domain::explain::Who;

/// Which events of a customer are asked for.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Asked {
    /// Those that occurred then or later.
    pub from: Option<Timestamp>,
    /// Those that occurred before.
    pub to: Option<Timestamp>,
    /// Those that follow this place in the order.
    pub after: Option<Cursor>,
    /// So many at most; [`limits::EVENTS_SHOWN`] unless it is said, and never more than [`limits::EVENTS_SHOWN_MAX`].
    pub limit: Option<usize>,
    /// Which come first.
    #[serde(default)]
    pub order: Order,
}

/// Which events come first.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, JsonSchema, clap::ValueEnum)]
#[serde(rename_all = "snake_case")]
pub enum Order {
    /// Those that occurred last.
    #[default]
    Newest,
    /// Those that occurred first.
    Oldest,
}

/// A place among a customer's events: no event that arrives later moves it. As text `1772366400000-1204`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, JsonSchema)]
#[schemars(with = "String")]
pub struct Cursor(Entry);

/// Some events of a customer.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
pub struct List {
    /// The events, in the order that was asked for.
    pub events: Vec<Shown>,
    /// How many are not here because history does not have them any more.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub missing: usize,
    /// Where there are more: what `after` must be to go on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next: Option<Cursor>,
}

/// An event of history.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
pub struct Shown {
    /// Its place in history.
    pub position: u64,
    /// The source that told it.
    pub source: String,
    /// The event.
    #[schemars(with = "weft_domain::event::Event")]
    pub event: Box<RawValue>,
}

/// The events of a customer that are asked for; none where there is no such customer. `state` is a look at state.
///
/// # Errors
/// [`weft_domain::view::ViewError`], where state cannot be read.
pub fn list<G: Deref<Target = Overlay>>(
    state: impl Fn() -> G,
    history: &LogReader,
    who: &Who,
    asked: &Asked,
) -> Read<Option<List>> {
    let limit = asked.limit.unwrap_or(limits::EVENTS_SHOWN).clamp(1, limits::EVENTS_SHOWN_MAX);
    let Some(mut entries) = entries(state, history.durable_end(), who, asked, limit + 1)? else { return Ok(None) };
    let mut more = entries.len() > limit;
    entries.truncate(limit);
    let (mut list, mut bytes, mut last) = (List { events: Vec::with_capacity(entries.len()), missing: 0, next: None }, 0, None);
    for (place, entry) in entries.iter().enumerate() {
        match Shown::read(history, entry.position) {
            Some(shown) => {
                bytes += shown.event.get().len();
                list.events.push(shown);
            }
            None => list.missing += 1,
        }
        last = Some(Cursor(*entry));
        if bytes > limits::EVENTS_BYTES_SHOWN_MAX {
            more |= place + 1 < entries.len();
            break;
        }
    }
    list.next = last.filter(|_| more);
    Ok(Some(list))
}

/// All entries of the index of a claim's events, in no order. `state` is a look at state.
///
/// # Errors
/// [`weft_domain::view::ViewError`], where state cannot be read.
pub fn entries_of<G: Deref<Target = Overlay>>(state: impl Fn() -> G, claim: ClaimId, node: &Node) -> Read<Vec<Entry>> {
    let mut entries = node.page.clone();
    let full: Vec<u32> = (0..node.pages).collect();
    // A full page never changes: it may be read after the look that named it.
    for some in full.chunks(limits::INDEX_PAGES_READ_ONCE) {
        let state = state();
        for number in some {
            entries.extend(state.page(claim, *number)?.iter().flat_map(|page| page.iter()));
        }
    }
    Ok(entries)
}

/// Shows events of history to `each`, for as long as it wants to go on. How many history does not have any more.
///
/// # Errors
/// [`weft_domain::view::ViewError`], where history is damaged.
pub fn each_of(history: &LogReader, entries: &[Entry], mut each: impl FnMut(&Told<'_>) -> ControlFlow<()>) -> Read<u64> {
    let mut missing = 0;
    for Entry { position, .. } in entries {
        let record = match history.record(*position) {
            Ok(record) => record,
            Err(StoreError::Trimmed { .. }) => {
                missing += 1;
                continue;
            }
            Err(error) => return Err(ViewError(error.to_string())),
        };
        let Ok(Input::Event { source, event, .. }) = Input::decode(record.kind, &record.bytes) else {
            missing += 1;
            continue;
        };
        let tie = fingerprint(event.message_id.as_deref().unwrap_or_default());
        if each(&Told { event: &event, source: &source, position: *position, tie }).is_break() {
            break;
        }
    }
    Ok(missing)
}

/// The first `count` entries of the index that are asked for, in order.
fn entries<G: Deref<Target = Overlay>>(
    state: impl Fn() -> G,
    durable: u64,
    who: &Who,
    asked: &Asked,
    count: usize,
) -> Read<Option<Vec<Entry>>> {
    let (mut found, full) = {
        let state = state();
        let Some(id) = who.today(&*state)? else { return Ok(None) };
        let (mut found, mut full): (Vec<Entry>, Vec<(ClaimId, u32)>) = (Vec::new(), Vec::new());
        for claim in claims_of(&*state, id)? {
            let Some(node) = state.node(claim)? else { continue };
            found.extend(&node.page);
            full.extend((0..node.pages).map(|number| (claim, number)));
        }
        (found, full)
    };
    let settle = |found: &mut Vec<Entry>| {
        found.retain(|entry| entry.position < durable && asked.wants(entry));
        match asked.order {
            Order::Newest => found.sort_unstable_by(|one, other| other.cmp(one)),
            Order::Oldest => found.sort_unstable(),
        }
        found.truncate(count);
    };
    // A full page never changes: it may be read after the look that named it.
    for some in full.chunks(limits::INDEX_PAGES_READ_ONCE) {
        let state = state();
        for (claim, number) in some {
            found.extend(state.page(*claim, *number)?.iter().flat_map(|page| page.iter()));
        }
        drop(state);
        settle(&mut found);
    }
    settle(&mut found);
    Ok(Some(found))
}

impl Asked {
    fn wants(&self, entry: &Entry) -> bool {
        self.from.is_none_or(|from| entry.occurred >= from)
            && self.to.is_none_or(|to| entry.occurred < to)
            && self.after.is_none_or(|Cursor(place)| match self.order {
                Order::Newest => *entry < place,
                Order::Oldest => *entry > place,
            })
    }
}

impl Shown {
    /// The event at a place in history; none where something else is there, or nothing any more.
    fn read(history: &LogReader, position: u64) -> Option<Shown> {
        let record = history.record(position).ok()?;
        Shown::of(position, record.kind, &record.bytes)
    }

    /// An event's record of history; none of another record.
    #[must_use]
    pub fn of(position: u64, kind: u8, bytes: &[u8]) -> Option<Shown> {
        let (source, json) = event_parts(kind, bytes)?;
        Some(Shown { position, source: source.to_owned(), event: serde_json::from_slice(json).ok()? })
    }
}

impl fmt::Display for Cursor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}", self.0.occurred.0, self.0.position)
    }
}

impl FromStr for Cursor {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        // The time may have a sign.
        let parts = text.rsplit_once('-').and_then(|(time, place)| Some((time.parse().ok()?, place.parse().ok()?)));
        let (time, position) = parts.ok_or_else(|| {
            format!("`{}` is no place among events: take what `next` says, such as 1772366400000-1204", Excerpt(text))
        })?;
        Ok(Cursor(Entry { occurred: Timestamp(time), position }))
    }
}

impl Serialize for Cursor {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Cursor {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
    }
}

#[allow(clippy::trivially_copy_pass_by_ref)]
fn is_zero(count: &usize) -> bool {
    *count == 0
}
