//! Bounds that the operator sets, and may set anew while the engine runs. Those that nobody sets are in [`crate::limits`].

use tokio::sync::watch;

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
            requests_max: None,
        }
    }
}

/// The bounds in force.
pub type InForce = watch::Receiver<Bounds>;
