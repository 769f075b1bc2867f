//! Bounds that the operator sets, and may set anew while the engine runs. Those that nobody sets are in [`crate::limits`].

use tokio::sync::watch;
use weft_domain::value::Timestamp;

use crate::limits;

/// Bounds that the operator sets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bounds {
    /// Records of intake that may wait for the transforms before doors answer 503, and drivers wait.
    pub intake_lag_max: u64,
    /// Bytes of the intake log kept after they have reached history.
    pub intake_bytes_max: u64,
    /// Bytes of history kept; none for all of it.
    pub history_bytes_max: Option<u64>,
    /// Whether events that name somebody who was erased are left out.
    pub suppress: bool,
    /// When customers who are silent are forgotten; none where they are not.
    pub inactive: Option<Inactive>,
    /// Requests that one sender may make in a second; none for as many as it likes.
    pub requests_max: Option<u32>,
}

impl Default for Bounds {
    fn default() -> Self {
        Bounds {
            intake_lag_max: limits::INTAKE_LAG_RECORDS_MAX,
            intake_bytes_max: limits::INTAKE_BYTES_MAX,
            history_bytes_max: None,
            suppress: true,
            inactive: None,
            requests_max: None,
        }
    }
}

/// When customers who are silent are forgotten.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Inactive {
    /// Milliseconds after the latest event of one who is known; none for never.
    pub after_ms: Option<u64>,
    /// The same of one who is anonymous: who has no identifier that proves a login.
    pub anonymous_after_ms: Option<u64>,
    /// How many go in one pass, of which there is one in an hour at most.
    pub at_once_max: usize,
}

impl Inactive {
    /// Whether somebody of whom was heard last at this instant is silent.
    #[must_use]
    pub fn is_silent(&self, last_seen: Timestamp, now: Timestamp, is_known: bool) -> bool {
        let after_ms = if is_known { self.after_ms } else { self.anonymous_after_ms.or(self.after_ms) };
        after_ms.is_some_and(|after_ms| last_seen.0.saturating_add_unsigned(after_ms) <= now.0)
    }
}

/// The bounds in force.
pub type InForce = watch::Receiver<Bounds>;
