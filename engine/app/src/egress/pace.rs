//! How fast a connection asks: the configured rate, and the patience that the other side asks for.
//!
//! A bucket of tokens, kept as one time (the "generic cell rate algorithm", ITU-T I.371): a token is reserved, then waited for, so that
//! requests go in the order in which they came. Nobody waits longer than the request's own time.

use std::num::NonZeroU32;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tokio::time::{Instant, sleep_until};

use super::limits;

/// So many requests in a time: as many at once after a rest, then one each `per / count`. Within any `per` at most twice the
/// count goes out; an API that counts strictly is given half.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RateLimit {
    /// Requests, redirects and retries among them.
    pub count: NonZeroU32,
    /// In this time; more than nothing, at most 31 days.
    pub per: Duration,
}

#[derive(Debug)]
pub(super) struct Pace {
    /// Between two tokens.
    interval: Duration,
    /// How far requests may run ahead of one each interval.
    ahead: Duration,
    times: Mutex<Times>,
}

#[derive(Debug)]
struct Times {
    /// When the bucket is full again.
    full: Instant,
    /// The other side asked for patience until then.
    paused: Instant,
}

/// There is no turn before the deadline, but after this time.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct NoTurn(pub(super) Duration);

impl Pace {
    pub(super) fn new(limit: Option<RateLimit>) -> Pace {
        let interval = limit.map_or(Duration::ZERO, |limit| limit.per / limit.count.get());
        let ahead = limit.map_or(Duration::ZERO, |limit| limit.per.saturating_sub(interval));
        let now = Instant::now();
        Pace { interval, ahead, times: Mutex::new(Times { full: now, paused: now }) }
    }

    /// Waits for a turn.
    pub(super) async fn turn(&self, deadline: Instant) -> Result<(), NoTurn> {
        let mut turn = self.reserve(Instant::now(), deadline)?;
        while turn > Instant::now() {
            sleep_until(turn).await;
            // Patience may have been asked for while this request waited.
            turn = self.with(|times| times.paused);
            if turn >= deadline {
                return Err(NoTurn(turn - Instant::now()));
            }
        }
        Ok(())
    }

    /// Asks nothing for this long, though not longer than [`limits::PAUSE_MAX`].
    pub(super) fn pause(&self, wait: Duration) {
        let until = Instant::now() + wait.min(limits::PAUSE_MAX);
        self.with(|times| times.paused = times.paused.max(until));
    }

    fn reserve(&self, now: Instant, deadline: Instant) -> Result<Instant, NoTurn> {
        self.with(|times| {
            let start = now.max(times.paused);
            let full = start.max(times.full);
            let turn = full.checked_sub(self.ahead).map_or(start, |turn| turn.max(start));
            if turn >= deadline && turn > now {
                return Err(NoTurn(turn - now));
            }
            times.full = full + self.interval;
            Ok(turn)
        })
    }

    fn with<T>(&self, work: impl FnOnce(&mut Times) -> T) -> T {
        work(&mut self.times.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    fn pace(count: u32, per: Duration) -> Pace {
        Pace::new(Some(RateLimit { count: NonZeroU32::new(count).expect("more than none"), per }))
    }

    #[tokio::test(start_paused = true)]
    async fn a_burst_goes_at_once_and_the_rest_one_each_interval() {
        let check = async |count: u32, per: Duration, requests: u32, want: Duration| {
            let (pace, start) = (pace(count, per), Instant::now());
            for _ in 0..requests {
                pace.turn(start + 100 * SECOND).await.expect("a turn");
            }
            let took = start.elapsed();
            assert!(took >= want && took < want + Duration::from_millis(5), "{requests} at {count} in {per:?} took {took:?}");
        };
        check(1, SECOND, 1, Duration::ZERO).await;
        check(1, SECOND, 4, 3 * SECOND).await;
        check(10, SECOND, 10, Duration::ZERO).await;
        check(10, SECOND, 30, 2 * SECOND).await;
        check(60, 60 * SECOND, 65, 5 * SECOND).await;
    }

    #[tokio::test(start_paused = true)]
    async fn a_rest_fills_the_bucket_and_no_more() {
        let (pace, start) = (pace(5, SECOND), Instant::now());
        for _ in 0..5 {
            pace.turn(start + SECOND).await.expect("a turn");
        }
        tokio::time::sleep(60 * SECOND).await;
        let rested = Instant::now();
        for _ in 0..10 {
            pace.turn(rested + 10 * SECOND).await.expect("a turn");
        }
        assert!(rested.elapsed() >= SECOND, "five at once, five in a second");
    }

    #[tokio::test(start_paused = true)]
    async fn who_would_wait_past_the_deadline_is_told_at_once_and_takes_no_token() {
        let (pace, start) = (pace(1, 10 * SECOND), Instant::now());
        pace.turn(start + SECOND).await.expect("the first");
        for _ in 0..3 {
            assert_eq!(pace.turn(start + SECOND).await, Err(NoTurn(10 * SECOND)));
        }
        assert_eq!(start.elapsed(), Duration::ZERO);
        pace.turn(start + 11 * SECOND).await.expect("the second");
        assert!(start.elapsed() >= 10 * SECOND);
    }

    #[tokio::test(start_paused = true)]
    async fn patience_holds_for_those_who_wait_already() {
        let (pace, start) = (Arc::new(pace(1, SECOND)), Instant::now());
        pace.turn(start + SECOND).await.expect("the first");
        let waiting = tokio::spawn({
            let pace = pace.clone();
            async move { pace.turn(start + 60 * SECOND).await.map(|()| start.elapsed()) }
        });
        tokio::time::sleep(SECOND / 2).await;
        pace.pause(30 * SECOND);
        let turn = waiting.await.expect("ends").expect("a turn");
        assert!(turn >= 30 * SECOND && turn < 31 * SECOND, "{turn:?}");
    }

    #[tokio::test(start_paused = true)]
    async fn patience_is_bounded_and_a_shorter_one_does_not_cut_a_longer() {
        let (pace, start) = (Pace::new(None), Instant::now());
        pace.pause(Duration::from_secs(u64::MAX));
        pace.pause(SECOND);
        assert_eq!(pace.turn(start + SECOND).await, Err(NoTurn(limits::PAUSE_MAX)));
    }
}
