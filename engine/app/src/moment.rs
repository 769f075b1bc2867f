//! Where in history an instant is.
//!
//! What the engine took in by then stands before that place, the rest behind it: to the second or so, since records bear the times of the doors
//! that they came through. The same instant is always the same place, and of two instants the later is never before the earlier. So
//! stretches of time that adjoin each other have each record once.

use weft_domain::input::Input;
use weft_domain::value::Timestamp;
use weft_domain::view::{Read, ViewError};
use weft_store::StoreError;
use weft_store::log::LogReader;

use crate::limits;

/// The place in history at which an instant is; its end for one that is to come.
///
/// # Errors
/// [`ViewError`], where history cannot be read.
pub fn position_at(history: &LogReader, at: Timestamp) -> Read<u64> {
    let end = history.durable_end();
    let is_before = |place: u64| Ok::<_, ViewError>(place < end && time_at(history, place, end)?.is_some_and(|time| time < at));
    if !is_before(0)? {
        return Ok(0);
    }
    // The places that are looked at depend on nothing but the answers, so that they are the same tomorrow.
    let mut before = 0;
    for bit in (0..u64::BITS - 1).rev() {
        let place = before | 1 << bit;
        if is_before(place)? {
            before = place;
        }
    }
    Ok(before + 1)
}

/// When the first record at or after a place came that bears a time; none where there is no such record nearby. What retention let go came
/// before all.
fn time_at(history: &LogReader, place: u64, end: u64) -> Read<Option<Timestamp>> {
    for place in place..end.min(place.saturating_add(limits::RECORDS_WITHOUT_TIME_MAX)) {
        let record = match history.record(place) {
            Ok(record) => record,
            Err(StoreError::Trimmed { .. }) => return Ok(Some(Timestamp(i64::MIN))),
            Err(error) => return Err(ViewError(error.to_string())),
        };
        match Input::decode(record.kind, &record.bytes) {
            Ok(Input::Event { event, .. }) if event.received.is_some() => return Ok(event.received),
            Ok(Input::Tick(now)) => return Ok(Some(now)),
            _ => {}
        }
    }
    Ok(None)
}
