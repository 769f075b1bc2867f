//! What becomes of the records of both logs when a person goes.

use std::collections::BTreeSet;

use weft_domain::event::Event;
use weft_domain::input::{Arrival, Input, Passed, event_json};
use weft_store::StoreError;
use weft_store::log::{LogReader, TOMBSTONE, Verdict};

use super::names::{Left, Names};
use super::person::Person;

/// What history has of a person.
#[derive(Default)]
pub(super) struct Found {
    /// Segments with records that change.
    pub segments: BTreeSet<u64>,
    /// Records of intake that those came from.
    pub intake: BTreeSet<u64>,
}

/// Reads all of history that is sealed.
pub(super) fn look_over(history: &LogReader, person: &Person) -> Result<Found, StoreError> {
    let (names, mut found) = (person.names(), Found::default());
    for segment in history.segments().into_iter().filter(|segment| segment.sealed) {
        let mut cursor = history.cursor(segment.first);
        while cursor.position() < segment.end {
            let Some(block) = cursor.next()? else { break };
            for (position, record) in block.records().filter(|(_, record)| record.kind != TOMBSTONE) {
                if event_json(record.kind, record.bytes).is_some() && !person.events.contains(&position) {
                    continue;
                }
                // One that cannot be read is nobody's, and is named where it is folded.
                let Ok(input) = Input::decode(record.kind, record.bytes) else { continue };
                let intake = input.intake();
                if matches!(input, Input::Passed { reason: Passed::Suppressed, .. }) {
                    found.intake.extend(intake);
                } else if !matches!(person.left_of(&names, position, input), Some(None)) {
                    found.intake.extend(intake);
                    found.segments.insert(segment.first);
                }
            }
        }
    }
    Ok(found)
}

/// What becomes of a record of history.
pub(super) fn judge(person: &Person, names: &Names, position: u64, kind: u8, payload: &[u8]) -> Verdict {
    if event_json(kind, payload).is_some() {
        return if person.events.contains(&position) { Verdict::Tombstone } else { Verdict::Keep };
    }
    let Ok(input) = Input::decode(kind, payload) else { return Verdict::Keep };
    match person.left_of(names, position, input) {
        None => Verdict::Tombstone,
        Some(None) => Verdict::Keep,
        Some(Some(left)) => {
            let mut bytes = Vec::new();
            left.encode(&mut bytes);
            Verdict::Replace(bytes)
        }
    }
}

/// Whether a record of intake names the person. Of what is history's by now it is a copy, so what names others as well goes too.
pub(super) fn arrived_from(names: &Names, kind: u8, payload: &[u8]) -> bool {
    match Arrival::decode(kind, payload) {
        Ok(Arrival::Event { json, .. }) => Event::parse(json).is_ok_and(|event| names.claimed(&event.claims)),
        Ok(Arrival::Refused { message, bytes, .. }) => names.in_text(message) || names.without(bytes) != Left::All,
        Ok(Arrival::Position { .. }) | Err(_) => false,
    }
}
