//! Reading an API by a schedule.
//!
//! What was missed while nothing ran is caught up with by one poll, since a poll reads everything that is new. A poll that fails is tried
//! again with backoff, and not later than the schedule says.

use std::collections::BTreeMap;

use jiff::ToSpan;
use jiff::tz::TimeZone;
use tokio::sync::watch;
use weft_domain::value::Timestamp;
use weft_host::{Failure, FailureKind, Fault};

use super::outlet::Outlet;
use super::{Driver, Shore, pause, unless_stopped, wait_until};
use crate::config::{Cron, zone};

/// The state that the plugin keeps.
const STATE: &str = "state";
/// When the last poll that came to its end began, in milliseconds since 1970.
const POLLED: &str = "polled";

/// When an API is read.
#[derive(Clone, Debug)]
pub enum Schedule {
    /// So many milliseconds after the last poll began.
    Every(u64),
    /// At times of the day, in milliseconds since midnight, in ascending order.
    Daily {
        /// At least one.
        times_ms: Vec<u64>,
        /// Whose clocks.
        zone: TimeZone,
    },
    /// By five fields.
    Cron {
        /// When.
        cron: Cron,
        /// By whose clocks.
        zone: TimeZone,
    },
}

impl Schedule {
    /// When to poll next, after a poll that began at a time.
    #[must_use]
    pub fn after(&self, polled: Timestamp) -> Timestamp {
        match self {
            Schedule::Every(ms) => polled.plus_ms(i64::try_from(*ms).unwrap_or(i64::MAX)),
            Schedule::Daily { times_ms, zone } => {
                let at = jiff::Timestamp::from_millisecond(polled.0).unwrap_or(jiff::Timestamp::MIN);
                let today = zone.to_datetime(at).date();
                // The clocks may be put forward over a time, but not over a day.
                let days = (0..3).filter_map(|ahead| today.checked_add(ahead.days()).ok());
                let moments = days.flat_map(|day| times_ms.iter().map(move |ms| zone::instant(day, *ms, zone)));
                moments.filter(|moment| *moment > polled).min().unwrap_or(Timestamp(i64::MAX))
            }
            Schedule::Cron { cron, zone } => cron.after(polled, zone).unwrap_or(Timestamp(i64::MAX)),
        }
    }
}

pub(super) async fn run(
    driver: &Driver,
    schedule: &Schedule,
    shore: &Shore,
    mut stop: watch::Receiver<bool>,
    mut positions: BTreeMap<String, Vec<u8>>,
) {
    let mut state = positions.remove(STATE).and_then(|state| String::from_utf8(state).ok());
    let polled = positions.remove(POLLED).and_then(|ms| std::str::from_utf8(&ms).ok()?.parse().ok());
    let mut next = polled.map_or(Timestamp(0), |ms| schedule.after(Timestamp(ms)));
    let mut tries = 0;
    loop {
        driver.note(|standing| (standing.next_at, standing.reading) = (Some(next), None));
        if !wait_until(next, &shore.clock, &mut stop).await {
            return;
        }
        let began = shore.clock.now();
        driver.note(|standing| (standing.next_at, standing.reading) = (None, Some("the API".into())));
        let outlet = Outlet::new(driver, shore, &stop, Some(STATE));
        let Some(polled) = unless_stopped(driver.source.poll(state.as_deref(), outlet.clone()), &stop).await else { return };
        let ended = match polled {
            Ok(()) => outlet.commit(&[(POLLED, began.0.to_string().as_bytes())]).await.map_err(Fault::Failure),
            Err(fault) => Err(fault),
        };
        state = outlet.state().await.or(state);
        next = match ended {
            Ok(()) => {
                tries = 0;
                driver.note(|standing| (standing.done_at, standing.last_error) = (Some(shore.clock.now()), None));
                schedule.after(began)
            }
            Err(Fault::Failure(Failure { kind: FailureKind::Cancelled, .. })) if *stop.borrow() => return,
            Err(fault) => {
                tries += 1;
                driver.complain("", fault.code(), &fault, tries);
                let wait_ms = i64::try_from(pause(&fault, tries).as_millis()).unwrap_or(i64::MAX);
                shore.clock.now().plus_ms(wait_ms)
            }
        };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOUR: u64 = 3_600_000;

    #[test]
    fn a_schedule_says_when_it_is_next() {
        let at = |text: &str| Timestamp(text.parse::<jiff::Timestamp>().expect("a time").as_millisecond());
        let berlin = zone::find("Europe/Berlin").expect("a zone");
        let daily = |times: &[u64]| Schedule::Daily { times_ms: times.to_vec(), zone: berlin.clone() };
        let check = |schedule: &Schedule, polled: &str, want: &str| assert_eq!(schedule.after(at(polled)), at(want), "{polled}");
        check(&Schedule::Every(900_000), "2026-03-01T10:00:00Z", "2026-03-01T10:15:00Z");
        check(&daily(&[3 * HOUR, 15 * HOUR]), "2026-01-10T01:59:59Z", "2026-01-10T02:00:00Z");
        check(&daily(&[3 * HOUR, 15 * HOUR]), "2026-01-10T02:00:00Z", "2026-01-10T14:00:00Z");
        check(&daily(&[3 * HOUR]), "2026-01-10T23:30:00Z", "2026-01-11T02:00:00Z");
        // On this night the clocks go from 02:00 to 03:00, and half past two is half past three.
        check(&daily(&[5 * HOUR / 2]), "2026-03-28T12:00:00Z", "2026-03-29T01:30:00Z");
        check(&daily(&[5 * HOUR / 2]), "2026-03-29T01:30:00Z", "2026-03-30T00:30:00Z");
    }
}
