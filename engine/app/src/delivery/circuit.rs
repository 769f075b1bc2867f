//! Whether a destination is tried at all: a circuit breaker (M. Nygard, *Release It!*, chapter "Stability Patterns").
//!
//! A call that fails as a whole opens the circuit: nothing is tried until a wait is over. Then one record is the probe; where the
//! destination answers for it, the circuit closes and full batches go again, else the next wait is longer. So whoever is down is
//! asked a little, and not by all batches that were under way.

use std::time::Duration;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use tokio::time::Instant;

use crate::limits;
use crate::patience::backoff;

/// Whether a destination is tried.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Circuit {
    /// With full batches.
    #[default]
    Closed,
    /// With one record, to see whether it is there again.
    HalfOpen,
    /// Not at all, until a wait is over.
    Open,
}

/// With what a destination was tried.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Try {
    /// A batch.
    Batch,
    /// One record, while the circuit is half open.
    Probe,
}

/// The circuit of a lane. It begins closed.
#[derive(Default)]
pub(super) struct Breaker {
    circuit: Circuit,
    /// Failures since the destination last answered for a batch.
    failures: u32,
    until: Option<Instant>,
}

impl Breaker {
    /// Whether the destination is tried now.
    pub(super) fn look(&mut self, now: Instant) -> Circuit {
        if self.circuit == Circuit::Open && self.until.is_none_or(|until| until <= now) {
            (self.circuit, self.until) = (Circuit::HalfOpen, None);
        }
        self.circuit
    }

    /// When it is tried again, while it is not.
    pub(super) fn until(&self) -> Option<Instant> {
        self.until
    }

    /// Failures since the destination last answered for a batch.
    pub(super) fn failures(&self) -> u32 {
        self.failures
    }

    /// The destination answered for every record, whatever it said. A probe closes the circuit, and only a batch forgets the failures: one
    /// that answers probes and fails batches is asked less and less too. What was under way when the circuit opened does not close it.
    pub(super) fn answered(&mut self, tried: Try) {
        match (tried, self.circuit) {
            (Try::Probe, _) => (self.circuit, self.until) = (Circuit::Closed, None),
            (Try::Batch, Circuit::Closed) => self.failures = 0,
            (Try::Batch, Circuit::HalfOpen | Circuit::Open) => (),
        }
    }

    /// A call failed as a whole: no other for a while, and not sooner than `least`. Batches that were under way together count once.
    pub(super) fn failed(&mut self, tried: Try, least: Duration, now: Instant) {
        let least = least.min(limits::DELIVERY_ASKED_WAIT_MAX);
        if tried == Try::Batch && self.circuit != Circuit::Closed {
            self.until = self.until.map(|until| until.max(now + least));
            return;
        }
        self.failures = self.failures.saturating_add(1);
        self.circuit = Circuit::Open;
        self.until = Some(now + least.max(backoff(self.failures)));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failure_opens_it_and_a_probe_closes_it() {
        let start = Instant::now();
        let mut breaker = Breaker::default();
        assert_eq!(breaker.look(start), Circuit::Closed);
        breaker.failed(Try::Batch, Duration::from_secs(20), start);
        assert_eq!(breaker.look(start + Duration::from_secs(19)), Circuit::Open);
        assert_eq!(breaker.look(start + Duration::from_secs(20)), Circuit::HalfOpen);
        breaker.answered(Try::Probe);
        assert_eq!((breaker.look(start), breaker.failures(), breaker.until()), (Circuit::Closed, 1, None));
        breaker.answered(Try::Batch);
        assert_eq!(breaker.failures(), 0);
    }

    #[test]
    fn each_failed_probe_waits_longer_within_the_bound() {
        let mut now = Instant::now();
        let (mut breaker, mut waits) = (Breaker::default(), Vec::new());
        breaker.failed(Try::Batch, Duration::ZERO, now);
        for _ in 0..20 {
            let until = breaker.until().expect("it is open");
            waits.push(until - now);
            now = until;
            assert_eq!(breaker.look(now), Circuit::HalfOpen);
            breaker.failed(Try::Probe, Duration::ZERO, now);
        }
        assert!(waits[0] < Duration::from_secs(1) && waits[6] > waits[0] * 16, "{waits:?}");
        assert!(waits.iter().all(|wait| *wait <= limits::DELIVERY_WAIT_MAX * 5 / 4), "{waits:?}");
    }

    #[test]
    fn what_was_under_way_when_it_opened_neither_closes_it_nor_counts_again() {
        let start = Instant::now();
        let mut breaker = Breaker::default();
        for _ in 0..4 {
            breaker.failed(Try::Batch, Duration::ZERO, start);
        }
        breaker.answered(Try::Batch);
        assert_eq!((breaker.look(start), breaker.failures()), (Circuit::Open, 1));
        breaker.failed(Try::Batch, Duration::from_secs(90_000), start);
        assert_eq!(breaker.until(), Some(start + limits::DELIVERY_ASKED_WAIT_MAX), "what is asked for has a bound");
    }
}
