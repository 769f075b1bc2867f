//! How many customers a configuration would have forgotten for being silent, counted before it does. Nothing is changed.
//!
//! Those are counted whom [`super::silence`] would find, as they are now: where the configuration would also have others be one customer, that is
//! not looked into. What is gone through is what sled has, a piece at a time, and nobody waits for it: state is held for one customer at a time.

use std::ops::Deref;
use std::sync::Arc;
use std::thread;
use std::time::Instant;

use weft_domain::explain::claims_of;
use weft_domain::identity::Rules;
use weft_domain::value::Timestamp;
use weft_domain::view::Read;
use weft_store::overlay::Overlay;

use super::silence::{self, last_heard};
use super::{EraseError, Eraser, blocking, list_in};
use crate::bounds::Inactive;
use crate::limits;
use crate::status::Forecast;

impl Eraser {
    /// Counts whom such a configuration would have forgotten. It takes [`limits::FORECAST_TIME_MAX`] at most, and ends where nobody waits for it
    /// any more.
    ///
    /// # Errors
    /// [`EraseError`], where state cannot be read.
    pub async fn forecast(&self, terms: Inactive, identity: Rules) -> Result<Forecast, EraseError> {
        self.ledger.commit().await;
        let (ledger, now, waits) = (self.ledger.clone(), self.clock.now(), Arc::new(()));
        let asked = Arc::downgrade(&waits);
        let count = move || {
            let began = Instant::now();
            let goes_on = || asked.strong_count() > 0 && began.elapsed() < limits::FORECAST_TIME_MAX;
            forecast(|| ledger.state(), (&terms, &identity), now, goes_on)
        };
        let counted = blocking(count).await??;
        drop(waits);
        Ok(counted)
    }
}

/// Counts them for as long as it may go on. `look` is a look at state.
///
/// # Errors
/// [`weft_domain::view::ViewError`], where state cannot be read.
pub fn forecast<G: Deref<Target = Overlay>>(
    look: impl Fn() -> G,
    (terms, identity): (&Inactive, &Rules),
    now: Timestamp,
    goes_on: impl Fn() -> bool,
) -> Read<Forecast> {
    let before = |after_ms: Option<u64>| after_ms.map(|ms| Timestamp(now.0.saturating_sub_unsigned(ms)));
    let anonymous_after_ms = terms.anonymous_after_ms.or(terms.after_ms);
    let mut counted =
        Forecast { known_before: before(terms.after_ms), anonymous_before: before(anonymous_after_ms), ..Forecast::default() };
    let last = silence::last_pass(&list_in(&look)?);
    let (committed, mut after) = (look().committed(), None);
    loop {
        if !goes_on() {
            counted.at_least = true;
            break;
        }
        let claims = committed.claims(after, limits::CLAIMS_LISTED_ONCE)?;
        // Each customer has the id of one of its claims, and so is met once.
        for claim in claims.iter().filter(|claim| claim.customer == Some(claim.id.into())) {
            counted.profiles += 1;
            let may_be = |last_seen| terms.is_silent(last_seen, now, true) || terms.is_silent(last_seen, now, false);
            if !claim.last_seen.is_some_and(may_be) {
                continue;
            }
            let state = look();
            match last_heard(claims_of(&state.peek(), claim.id.into())?, &state.peek(), identity)? {
                Some((last, is_known)) if terms.is_silent(last, now, is_known) && is_known => counted.known += 1,
                Some((last, is_known)) if terms.is_silent(last, now, is_known) => counted.anonymous += 1,
                _ => (),
            }
        }
        after = claims.last().map(|claim| claim.id).or(after);
        if claims.len() < limits::CLAIMS_LISTED_ONCE {
            break;
        }
        thread::sleep(limits::EXPORT_REST);
    }
    counted.last_pass = last_pass(counted.total(), terms.at_once_max as u64, last, now);
    Ok(counted)
}

/// When the last pass would begin of those that take so many, by the rests of [`Eraser::forget_inactive`]. `last` is when one began last.
fn last_pass(total: u64, at_once_max: u64, last: Option<Timestamp>, now: Timestamp) -> Option<Timestamp> {
    let rested = |rest_ms: i64| last.map_or(now, |last| now.max(last.plus_ms(rest_ms)));
    let (full, is_some_left) = (total / at_once_max.max(1), !total.is_multiple_of(at_once_max.max(1)));
    let Some(others) = full.checked_sub(1) else {
        return is_some_left.then(|| rested(limits::FORGETTING_REST_MS_MAX));
    };
    let others = i64::try_from(others).unwrap_or(i64::MAX);
    let last_full = rested(limits::FORGETTING_REST_MS).plus_ms(others.saturating_mul(limits::FORGETTING_REST_MS));
    Some(if is_some_left { last_full.plus_ms(limits::FORGETTING_REST_MS_MAX) } else { last_full })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn passes_come_by_the_hour_while_there_are_enough_and_else_by_the_day() {
        const HOUR_MS: i64 = 3_600_000;
        let now = Timestamp(1_000 * HOUR_MS);
        let check = |total: u64, last_hours_ago: Option<i64>, hours: Option<i64>| {
            let last = last_hours_ago.map(|ago| now.plus_ms(-ago * HOUR_MS));
            assert_eq!(last_pass(total, 10, last, now), hours.map(|hours| now.plus_ms(hours * HOUR_MS)), "{total}");
        };
        check(0, None, None);
        check(9, None, Some(0));
        check(9, Some(5), Some(19));
        check(9, Some(50), Some(0));
        check(10, None, Some(0));
        check(10, Some(0), Some(1));
        check(30, None, Some(2));
        check(31, None, Some(26));
    }
}
