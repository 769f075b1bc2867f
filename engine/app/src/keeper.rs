//! What is let go, and when: the oldest intake, the oldest history, and the space that sled does not give back.
//!
//! Never what is still needed: intake that has not reached history durably; history that a lane or a dead letter has yet to be read
//! from, or that no base stands for. It decides and looks on a slow clock; the owners of the logs cut. What goes wrong here is
//! warned of and tried again: nothing is lost by keeping more.

use std::sync::Arc;

use tokio::sync::watch;
use weft_domain::view::{LetterBytes, Read, View};
use weft_store::StoreError;
use weft_store::log::SegmentInfo;
use weft_store::state::{Live, StateStore};

use crate::bounds::InForce;
use crate::intake::Intake;
use crate::limits;
use crate::writer::{Ledger, Order};

/// Looks after what is kept.
pub struct Keeper {
    /// The intake log.
    pub intake: Intake,
    /// History, and state as it is folded.
    pub ledger: Ledger,
    /// State as sled has it.
    pub state: Arc<Live>,
    /// How much to keep.
    pub bounds: InForce,
}

impl Keeper {
    /// Looks every ten seconds until it is told to stop.
    pub async fn run(self: Arc<Self>, mut stop: watch::Receiver<bool>) {
        loop {
            tokio::select! {
                () = tokio::time::sleep(limits::RETENTION_EVERY) => (),
                _ = stop.wait_for(|stop| *stop) => return,
            }
            self.look().await;
        }
    }

    /// Looks once.
    pub async fn look(self: &Arc<Self>) {
        self.trim_intake().await;
        let keeper = self.clone();
        // Copies of state take their time.
        let kept = tokio::task::spawn_blocking(move || keeper.trim_history().and_then(|()| keeper.give_back())).await;
        if let Ok(Err(error)) = kept {
            tracing::warn!(%error, "what could be let go is kept for now");
        }
    }

    async fn trim_intake(&self) {
        let (position, folded) = {
            let state = self.ledger.state();
            (state.position(), state.intake_through())
        };
        let through = if self.ledger.history().durable_end() >= position { folded } else { 0 };
        let reader = self.intake.reader();
        let (before, _) = excess(&reader.segments(), reader.bytes(), self.bounds.borrow().intake_bytes_max, through);
        if before > 0 {
            self.intake.trim(before).await;
        }
    }

    /// Lets go of the oldest history past the bound. A base that stands for more of it costs a copy of state, so one is made when as
    /// much history can go.
    fn trim_history(&self) -> Result<(), StoreError> {
        let reader = self.ledger.history();
        let max = self.bounds.borrow().history_bytes_max;
        let Some(max) = max.filter(|max| reader.bytes() > *max) else { return Ok(()) };
        let (segments, bytes) = (reader.segments(), reader.bytes());
        let needed = match self.needed_from() {
            Ok(needed) => needed,
            Err(error) => {
                tracing::warn!(%error, "history is kept for now");
                return Ok(());
            }
        };
        let mut base = self.state.base_position().unwrap_or(0);
        let possible = excess(&segments, bytes, max, needed.min(self.state.position()));
        if possible.0 > base && possible.1 >= self.state.sizes()?.live_bytes {
            base = self.state.keep_base()?;
            tracing::info!(position = base, "kept a base of state, to let go of history before it");
        }
        let (before, freed) = excess(&segments, bytes, max, needed.min(base));
        if before > 0 {
            tracing::info!(before, freed, "let go of the oldest history");
            self.ledger.send(Order::Trim(before));
        }
        Ok(())
    }

    /// The first record of history that somebody has yet to read: a lane, whoever looks at a dead letter, or an attribute that is new.
    fn needed_from(&self) -> Read<u64> {
        let mut needed = {
            let state = self.ledger.state();
            if !state.standings().passes.is_empty() {
                return Ok(0);
            }
            let lanes = state.plan().event_lanes.iter().map(|name| Ok(state.lane(name)?.events_through));
            lanes.collect::<Read<Vec<u64>>>()?.into_iter().min().unwrap_or(u64::MAX)
        };
        let mut from = (0, 0);
        loop {
            let letters = self.ledger.state().letters(from, LETTERS_AT_ONCE)?;
            for (_, letter) in &letters {
                if let LetterBytes::Record(position) | LetterBytes::Event(position) = letter.bytes {
                    needed = needed.min(position);
                }
            }
            match letters.last() {
                Some(((position, ordinal), _)) if letters.len() == LETTERS_AT_ONCE => from = (*position, ordinal + 1),
                _ => return Ok(needed),
            }
        }
    }

    /// Gives back what sled holds and nobody needs, once that is most of it.
    fn give_back(&self) -> Result<(), StoreError> {
        let before = self.state.sizes()?;
        let idle = before.disk_bytes.saturating_sub(before.live_bytes);
        if idle < limits::COMPACT_IDLE_BYTES_MIN || before.disk_bytes < limits::COMPACT_RATIO * before.live_bytes {
            return Ok(());
        }
        self.state.compact()?;
        let after = self.state.sizes()?;
        tracing::info!(before = before.disk_bytes, after = after.disk_bytes, "compacted state");
        Ok(())
    }
}

/// Dead letters looked at while state is held.
const LETTERS_AT_ONCE: usize = 1_000;

/// The record before which whole segments lie that are past the bound and wholly below `through`, and the bytes of these; 0 for none.
fn excess(segments: &[SegmentInfo], mut bytes: u64, max: u64, through: u64) -> (u64, u64) {
    let (mut before, mut freed) = (0, 0);
    for segment in segments {
        if bytes <= max || segment.end > through || !segment.sealed {
            break;
        }
        (before, bytes, freed) = (segment.end, bytes - segment.bytes, freed + segment.bytes);
    }
    (before, freed)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_whole_segments_past_the_bound_go_and_none_that_is_needed() {
        let segment = |first: u64, sealed| SegmentInfo { first, end: first + 10, bytes: 100, sealed };
        let segments = [segment(0, true), segment(10, true), segment(20, true), segment(30, false)];
        let cases = [
            ((400, 400, 40), (0, 0)),
            ((400, 399, 40), (10, 100)),
            ((400, 200, 40), (20, 200)),
            ((400, 0, 40), (30, 300)),
            ((400, 0, 19), (10, 100)),
            ((400, 0, 9), (0, 0)),
        ];
        for ((bytes, max, through), want) in cases {
            assert_eq!(excess(&segments, bytes, max, through), want, "{max} of {bytes}, needed from {through}");
        }
    }
}
