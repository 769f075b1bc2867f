//! How long to wait before something is tried again.

use std::collections::hash_map::RandomState;
use std::hash::BuildHasher;
use std::time::Duration;

use crate::limits;

/// The wait after so many tries: doubling, with up to a quarter more or less so that those who wait do not march in step.
#[must_use]
pub fn backoff(tries: u32) -> Duration {
    let doubled = limits::DELIVERY_WAIT.saturating_mul(1 << tries.saturating_sub(1).min(16)).min(limits::DELIVERY_WAIT_MAX);
    let quarter = u64::try_from(doubled.as_millis() / 4).unwrap_or(u64::MAX).max(1);
    // The seeds of the standard hash map are the randomness that is always at hand.
    let noise = RandomState::new().hash_one(tries);
    let jitter = Duration::from_millis(noise % (2 * quarter));
    doubled - Duration::from_millis(quarter) + jitter
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_double_within_their_bound_and_are_not_all_alike() {
        for (tries, want_ms) in [(1, 500), (2, 1_000), (4, 4_000), (30, 300_000)] {
            let waits: std::collections::BTreeSet<Duration> = (0..50).map(|_| backoff(tries)).collect();
            let near = |wait: &Duration| (want_ms * 3 / 4..=want_ms * 5 / 4).contains(&wait.as_millis());
            assert!(waits.iter().all(near), "{tries}: {waits:?}");
            assert!(waits.len() > 10, "{tries}: {waits:?}");
        }
    }
}
