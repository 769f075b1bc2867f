//! How many batches a lane has under way: one more after each that was taken in good time, half after one that was slow or refused
//! (additive increase, multiplicative decrease, as TCP finds its pace: RFC 5681, section 3.1).

use std::time::Duration;

use crate::limits;

/// Batches that may be under way at once.
pub(super) struct Width {
    now: usize,
    max: usize,
}

impl Width {
    /// Begins with one, and never goes past `max`.
    pub(super) fn up_to(max: usize) -> Self {
        Width { now: 1, max: max.max(1) }
    }

    /// How many may be under way now.
    pub(super) fn now(&self) -> usize {
        self.now
    }

    /// A batch was answered after so long.
    pub(super) fn answered(&mut self, took: Duration) {
        if took >= limits::DELIVERY_SLOW { self.failed() } else { self.now = (self.now + 1).min(self.max) }
    }

    /// A batch failed as a whole.
    pub(super) fn failed(&mut self) {
        self.now = (self.now / 2).max(1);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_grows_by_one_and_shrinks_by_half_within_its_bounds() {
        let mut width = Width::up_to(8);
        let mut seen = vec![width.now()];
        for step in [1, 1, 1, 1, 1, 1, 1, 1, 0, 20, 1, 0, 0, 0] {
            if step == 0 {
                width.failed()
            } else {
                width.answered(Duration::from_secs(step))
            }
            seen.push(width.now());
        }
        assert_eq!(seen, [1, 2, 3, 4, 5, 6, 7, 8, 8, 4, 2, 3, 1, 1, 1]);
        assert_eq!(Width::up_to(0).now(), 1);
    }
}
