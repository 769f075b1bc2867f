//! Quarantine: a stage whose plugin keeps crashing is left alone for a while, and says so.
//!
//! Pure: time arrives as an input. Crashes in a row without a success between them open the quarantine; each further crash
//! after it doubles it; a success closes the account.

use serde::Serialize;
use tokio::time::Instant;

use crate::limits::{CRASHES_IN_A_ROW_MAX, QUARANTINE_MAX, QUARANTINE_MIN};

/// How a stage is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum HealthState {
    /// Calls go through.
    Healthy,
    /// It has been crashing; calls go through, and the next crash means quarantine.
    OnTrial,
    /// Calls are answered with [`crate::Fault::Quarantined`] until then.
    Quarantined,
}

/// What a stage says about itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Health {
    /// How it is now.
    pub state: HealthState,
    /// Crashes since the stage was made, of any kind: traps, timeouts, memory, broken answers.
    pub traps_total: u64,
    /// What the last one said.
    pub last_fault: Option<String>,
    /// When the quarantine ends, if there is one.
    pub until: Option<Instant>,
}

/// Proof that a call was admitted, and when: a crash of a call that began before the present quarantine adds nothing to it.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Ticket {
    quarantines: u32,
}

/// A stage's account of crashes.
#[derive(Debug, Default)]
pub(crate) struct Ward {
    traps_total: u64,
    in_a_row: u32,
    quarantines: u32,
    until: Option<Instant>,
    last_fault: Option<String>,
}

impl Ward {
    /// Lets a call in, or says until when not.
    pub(crate) fn admit(&mut self, now: Instant) -> Result<Ticket, (Instant, String)> {
        match self.until {
            Some(until) if now < until => Err((until, self.last_fault.clone().unwrap_or_default())),
            Some(_) | None => Ok(Ticket { quarantines: self.quarantines }),
        }
    }

    /// A call came through.
    pub(crate) fn succeeded(&mut self, ticket: Ticket) {
        if ticket.quarantines == self.quarantines {
            self.in_a_row = 0;
            self.quarantines = 0;
            self.until = None;
        }
    }

    /// A call crashed, and nothing of it came through.
    pub(crate) fn crashed(&mut self, ticket: Ticket, now: Instant) {
        if ticket.quarantines != self.quarantines {
            return;
        }
        self.in_a_row = self.in_a_row.saturating_add(1);
        if self.quarantines > 0 || self.in_a_row >= CRASHES_IN_A_ROW_MAX {
            let length =
                QUARANTINE_MIN.saturating_mul(1_u32.checked_shl(self.quarantines).unwrap_or(u32::MAX)).min(QUARANTINE_MAX);
            self.quarantines = self.quarantines.saturating_add(1);
            self.until = Some(now + length);
        }
    }

    /// An instance crashed, whatever became of the call.
    pub(crate) fn note(&mut self, message: &str) {
        self.traps_total = self.traps_total.saturating_add(1);
        self.last_fault = Some(message.to_owned());
    }

    /// What to say.
    pub(crate) fn health(&self, now: Instant) -> Health {
        let until = self.until.filter(|until| now < *until);
        Health {
            state: match (until, self.quarantines) {
                (Some(_), _) => HealthState::Quarantined,
                (None, 0) => HealthState::Healthy,
                (None, _) => HealthState::OnTrial,
            },
            traps_total: self.traps_total,
            last_fault: self.last_fault.clone(),
            until,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn crash(ward: &mut Ward, now: Instant) {
        let ticket = ward.admit(now).unwrap();
        ward.crashed(ticket, now);
    }

    /// How long a stage is out after so many crashes in a row, each as soon as it is let in.
    #[tokio::test]
    async fn quarantine_doubles_to_its_bound() {
        let mut ward = Ward::default();
        let mut now = Instant::now();
        for _ in 1..CRASHES_IN_A_ROW_MAX {
            crash(&mut ward, now);
            assert_eq!(ward.health(now).until, None);
        }
        for seconds in [1, 2, 4, 8, 16, 32, 64, 128, 256, 300, 300, 300] {
            crash(&mut ward, now);
            let until = now + Duration::from_secs(seconds);
            assert_eq!(ward.health(now).until, Some(until));
            assert!(ward.admit(until - Duration::from_millis(1)).is_err());
            now = until;
        }
    }

    #[tokio::test]
    async fn a_success_between_ends_the_row() {
        let mut ward = Ward::default();
        let now = Instant::now();
        for _ in 0..10 {
            for _ in 1..CRASHES_IN_A_ROW_MAX {
                crash(&mut ward, now);
            }
            let ticket = ward.admit(now).unwrap();
            ward.succeeded(ticket);
        }
        assert_eq!(ward.health(now).state, HealthState::Healthy);
    }

    #[tokio::test]
    async fn calls_that_began_before_a_quarantine_neither_lengthen_nor_end_it() {
        let mut ward = Ward::default();
        let now = Instant::now();
        let late = ward.admit(now).unwrap();
        for _ in 0..CRASHES_IN_A_ROW_MAX {
            crash(&mut ward, now);
        }
        let until = ward.health(now).until;
        ward.crashed(late, now);
        ward.succeeded(late);
        assert_eq!(ward.health(now).until, until);
    }
}
