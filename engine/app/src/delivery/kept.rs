//! What consent kept from leaving, until the lane's receipts say so. It decides nothing: see [`weft_domain::permission`].

use std::collections::BTreeMap;

use weft_domain::consent::Missing;
use weft_domain::input::{Stream, Withheld};

use super::queue::Record;

/// Records of a lane that did not leave, by their places, with what was missing.
#[derive(Debug, Default)]
pub(super) struct Kept {
    stream: BTreeMap<u64, String>,
    again: BTreeMap<u64, String>,
}

impl Kept {
    /// A record does not leave.
    pub(super) fn withhold(&mut self, record: &Record, missing: &Missing) {
        let kept = if record.again.is_some() { &mut self.again } else { &mut self.stream };
        kept.insert(record.position, missing.to_string());
    }

    /// Whether all has been said.
    pub(super) fn is_empty(&self) -> bool {
        self.stream.is_empty() && self.again.is_empty()
    }

    /// What there is to say of the stream up to a place.
    pub(super) fn before(&mut self, through: u64, stream: Stream) -> Withheld {
        let behind = self.stream.split_off(&through);
        withheld(std::mem::replace(&mut self.stream, behind), stream)
    }

    /// What there is to say of events that were to go again.
    pub(super) fn of_again(&mut self, places: &[u64]) -> Withheld {
        withheld(places.iter().filter_map(|place| self.again.remove_entry(place)).collect(), Stream::Events)
    }
}

fn withheld(records: BTreeMap<u64, String>, stream: Stream) -> Withheld {
    // Of events nobody asks which they were, and there may be many.
    let profiles = if stream == Stream::Profiles { records.keys().copied().collect() } else { Vec::new() };
    let mut by_reason = BTreeMap::new();
    for reason in records.into_values() {
        *by_reason.entry(reason).or_default() += 1;
    }
    Withheld { by_reason, profiles }
}
