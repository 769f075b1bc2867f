//! What time it is: the one place that asks, so that a test can turn the hands itself.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use weft_domain::value::Timestamp;

/// A clock on the wall, or one that stands still until it is moved.
#[derive(Clone, Debug)]
pub enum Clock {
    /// The system's clock.
    Wall,
    /// Shows what it was last set to.
    Virtual(Arc<AtomicI64>),
}

impl Clock {
    /// A clock that shows `start` until it is moved.
    #[must_use]
    pub fn at(start: Timestamp) -> Self {
        Clock::Virtual(Arc::new(AtomicI64::new(start.0)))
    }

    /// The time.
    #[must_use]
    pub fn now(&self) -> Timestamp {
        match self {
            Clock::Wall => {
                let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or(Duration::ZERO);
                Timestamp(i64::try_from(since.as_millis()).unwrap_or(i64::MAX))
            }
            Clock::Virtual(hands) => Timestamp(hands.load(Ordering::Acquire)),
        }
    }

    /// Moves a virtual clock; a clock on the wall is not moved.
    pub fn set(&self, now: Timestamp) {
        if let Clock::Virtual(hands) = self {
            hands.store(now.0, Ordering::Release);
        }
    }
}
