//! Where a lane's records come from: history for events, the numbered deliveries of state for profiles, and history again for events that
//! somebody wants delivered again. It reads what is durable, in order, and decides nothing but which events the lane wants.

use bytes::Bytes;
use weft_domain::claim::fingerprint;
use weft_domain::event::{Environment, Event};
use weft_domain::input::{Stream, event_json};
use weft_domain::view::{Lane, View};
use weft_store::StoreError;
use weft_store::log::{Block, Cursor, LogReader};

use crate::writer::Ledger;

/// The events that a lane wants.
#[derive(Clone, Debug, Default)]
pub struct Filter {
    /// Of this environment only.
    pub environment: Option<Environment>,
    /// With one of these names only; empty for all.
    pub names: Vec<String>,
}

impl Filter {
    /// Whether an event is among them.
    #[must_use]
    pub fn wants(&self, json: &[u8]) -> bool {
        if self.environment.is_none() && self.names.is_empty() {
            return true;
        }
        let Ok(event) = Event::parse(json) else { return false };
        self.environment.is_none_or(|wanted| event.environment.unwrap_or_default() == wanted)
            && (self.names.is_empty() || event.name.is_some_and(|name| self.names.contains(&name)))
    }
}

/// Reads one stream from a place on.
pub(super) enum Feed {
    /// Events, out of history.
    Events(Box<Events>),
    /// Profiles: the number of the next delivery.
    Profiles(u64),
}

/// A place in history, and the block around it.
pub(super) struct Events {
    cursor: Cursor,
    block: Block,
    next: u64,
}

impl Feed {
    /// From where the lane stands.
    pub(super) fn from(stream: Stream, lane: &Lane, ledger: &Ledger) -> Feed {
        match stream {
            Stream::Events => {
                let cursor = ledger.history().cursor(lane.events_through);
                Feed::Events(Box::new(Events { cursor, block: Block::default(), next: lane.events_through }))
            }
            Stream::Profiles => Feed::Profiles(lane.profiles_through),
        }
    }

    /// The place before which everything was looked at.
    pub(super) fn position(&self) -> u64 {
        match self {
            Feed::Events(events) => events.next,
            Feed::Profiles(next) => *next,
        }
    }

    /// The next records, with their places, while there is room for any: the last may go past `bytes_max`.
    ///
    /// # Errors
    /// [`StoreError`], where history cannot be read.
    pub(super) fn read(
        &mut self,
        (records_max, bytes_max): (usize, usize),
        (name, filter): (&str, &Filter),
        ledger: &Ledger,
        durable: u64,
    ) -> Result<Vec<(u64, Bytes)>, StoreError> {
        match self {
            Feed::Events(events) => events.read(records_max, bytes_max, filter),
            Feed::Profiles(next) => Ok(profiles(next, (records_max, bytes_max), name, ledger, durable)),
        }
    }
}

impl Events {
    fn read(&mut self, records_max: usize, bytes_max: usize, filter: &Filter) -> Result<Vec<(u64, Bytes)>, StoreError> {
        let (mut records, mut bytes) = (Vec::new(), 0);
        while records.len() < records_max && bytes < bytes_max {
            if self.next >= self.block.end() || self.block.is_empty() {
                if !self.cursor.next_into(&mut self.block)? {
                    break;
                }
                self.next = self.block.first();
            }
            while self.next < self.block.end() && records.len() < records_max && bytes < bytes_max {
                let record = self.block.get(self.next).expect("it is inside the block");
                if let Some(json) = event_json(record.kind, record.bytes).filter(|json| filter.wants(json)) {
                    bytes += json.len();
                    records.push((self.next, Bytes::copy_from_slice(json)));
                }
                self.next += 1;
            }
        }
        Ok(records)
    }
}

/// The next profile deliveries that follow from durable history. What cannot be read now is read the next time.
fn profiles(
    next: &mut u64,
    (records_max, bytes_max): (usize, usize),
    name: &str,
    ledger: &Ledger,
    durable: u64,
) -> Vec<(u64, Bytes)> {
    let (mut records, mut bytes) = (Vec::new(), 0);
    let state = ledger.state();
    let Ok(end) = state.lane(name).map(|lane| lane.profiles_next) else { return records };
    while *next < end && records.len() < records_max && bytes < bytes_max {
        match state.waiting(name, *next) {
            Ok(Some(waiting)) if waiting.position >= durable => break,
            Ok(Some(waiting)) => {
                bytes += waiting.text.len();
                records.push((*next, Bytes::copy_from_slice(waiting.text.as_bytes())));
            }
            Ok(None) => (),
            Err(_) => break,
        }
        *next += 1;
    }
    records
}

/// An event that is to go again.
pub(super) struct Repeat {
    /// Its place in history.
    pub position: u64,
    /// The place of the command.
    pub command: u64,
    /// Its JSON, or why it is not there.
    pub json: Result<Bytes, String>,
}

/// The events that a lane is to have again, as of the commands that are durable, while there is room for any: the last may go past `bytes_max`. Those
/// that `has` knows already are passed over.
pub(super) fn repeats(
    (records_max, bytes_max): (usize, usize),
    wanted: impl IntoIterator<Item = (u64, u64)>,
    has: impl Fn(u64) -> bool,
    (history, durable): (&LogReader, u64),
) -> Vec<Repeat> {
    let (mut repeats, mut bytes) = (Vec::new(), 0);
    for (position, command) in wanted {
        if repeats.len() >= records_max || bytes >= bytes_max {
            break;
        }
        if command < durable && !has(position) {
            let json = event(history, position);
            bytes += json.as_ref().map_or(0, Bytes::len);
            repeats.push(Repeat { position, command, json });
        }
    }
    repeats
}

/// The JSON of an event in history, or why it is not there.
fn event(history: &LogReader, position: u64) -> Result<Bytes, String> {
    let record = history.record(position).map_err(|error| error.to_string())?;
    let json = event_json(record.kind, &record.bytes).map(Bytes::copy_from_slice);
    json.ok_or_else(|| format!("record {position} of history is no event, or was erased"))
}

/// Whose a record is: of a profile its customer, of an event the first identifier that it claims.
pub(super) fn customer(stream: Stream, json: &[u8]) -> Option<u64> {
    match stream {
        Stream::Profiles => {
            #[derive(serde::Deserialize)]
            struct Named {
                customer_id: String,
            }
            serde_json::from_slice::<Named>(json).ok().map(|named| fingerprint(&named.customer_id))
        }
        Stream::Events => {
            let event = Event::parse(json).ok()?;
            event.claims.first().map(|one| fingerprint(&format!("{}:{}", one.kind, one.value)))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn records_of_one_customer_are_known_by_what_names_it() {
        let profile = |json: &str| customer(Stream::Profiles, json.as_bytes());
        assert_eq!(profile(r#"{"customer_id":"a","traits":{}}"#), profile(r#"{"customer_id":"a","merged_into":"b"}"#));
        assert_ne!(profile(r#"{"customer_id":"a"}"#), profile(r#"{"customer_id":"b"}"#));
        let event = |claims: &str| customer(Stream::Events, format!(r#"{{"type":"identify","claims":{claims}}}"#).as_bytes());
        let (ann, visit) = (r#"{"type":"user_id","value":"ann"}"#, r#"{"type":"anonymous_id","value":"x"}"#);
        assert_eq!(event(&format!("[{ann}]")), event(&format!("[{ann},{visit}]")));
        assert_ne!(event(&format!("[{ann}]")), event(&format!("[{visit}]")));
        assert!(event(&format!("[{ann}]")).is_some());
        assert_eq!(event("[]"), None);
    }
}
