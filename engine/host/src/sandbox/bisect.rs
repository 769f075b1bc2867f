//! Finding the poison: a batch over which a plugin crashes twice is halved until what is left crashes by itself.
//!
//! Its neighbours come through unharmed. Each part goes to a fresh instance, so that one crash does not explain the next.
//! Bounded: past [`limits::BISECT_CRASHES_MAX`] crashes the plugin is what is broken. Knows nothing of wasm.

use std::future::Future;
use std::ops::Range;

use super::fault::{Crash, CrashKind, Trouble};
use crate::contract::{Failure, Rejection};
use crate::limits;

/// Whether an instance that has served before will do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Freshness {
    /// As the manifest asks.
    AsAsked,
    /// After a crash: a fresh one, whatever the manifest asks.
    Fresh,
}

/// Something that can be tried over a part of a batch.
pub(crate) trait Attempt: Sync {
    /// What comes of one record.
    type Answer: Send;
    /// Tries a part; one answer for each record in it.
    fn attempt(
        &self,
        part: Range<usize>,
        freshness: Freshness,
    ) -> impl Future<Output = Result<Vec<Self::Answer>, Trouble>> + Send;
    /// What comes of a record that crashes the plugin.
    fn poison(&self, rejection: Rejection) -> Self::Answer;
    /// What comes of a part that the plugin refuses with a failure, when other parts have come through; `None` ends the
    /// whole with that failure.
    fn refused(&self, failure: &Failure) -> Option<Self::Answer>;
}

/// What came of a batch.
pub(crate) struct Tried<A> {
    /// One for each record, in order.
    pub(crate) answers: Vec<A>,
    /// Records that the plugin answered for itself.
    pub(crate) through: usize,
}

/// Tries a whole batch; if the plugin crashes, once more on a fresh instance; if it crashes again, in parts.
pub(crate) async fn tried<A: Attempt>(attempt: &A, records: usize) -> Result<Tried<A::Answer>, Trouble> {
    let mut first = attempt.attempt(0..records, Freshness::AsAsked).await;
    if let Err(Trouble::Crash(_) | Trouble::Start(_)) = first {
        first = attempt.attempt(0..records, Freshness::Fresh).await;
    }
    match first {
        Ok(answers) => Ok(Tried { through: answers.len(), answers }),
        Err(Trouble::Crash(crash)) => bisect(attempt, records, crash).await,
        Err(trouble) => Err(trouble),
    }
}

/// Takes a batch of `records` apart over which the plugin has just crashed with `crash`. Parts are tried from the first record
/// to the last, so that a destination keeps its order. `Err` where the bound is reached and nothing came through: no record is
/// to blame then.
async fn bisect<A: Attempt>(attempt: &A, records: usize, crash: Crash) -> Result<Tried<A::Answer>, Trouble> {
    let mut answers = Vec::with_capacity(records);
    let mut through = 0_usize;
    let mut spent = Spent::default();
    let mut last = crash;
    // Parts yet to be tried, the first on top: at most one for each halving.
    let mut parts = Vec::new();
    if records <= 1 {
        answers.extend((0..records).map(|_| attempt.poison(last.rejection())));
    } else {
        halve(0..records, &mut parts);
    }
    while let Some(part) = parts.pop() {
        if spent.is_all() {
            if through == 0 {
                return Err(last.into());
            }
            let exhausted = Crash::new(
                CrashKind::Exhausted,
                format!(
                    "the plugin crashed {} times over this batch, and this record was not tried by itself: {}",
                    spent.crashes, last.message
                ),
            );
            answers.extend(part.map(|_| attempt.poison(exhausted.rejection())));
            continue;
        }
        match attempt.attempt(part.clone(), Freshness::Fresh).await {
            Ok(given) => {
                through += given.len();
                answers.extend(given);
            }
            Err(Trouble::Crash(crash)) => {
                spent.note(&crash);
                if part.len() == 1 {
                    answers.push(attempt.poison(crash.rejection()));
                } else {
                    halve(part, &mut parts);
                }
                last = crash;
            }
            // Not over a record: the plugin does not even start.
            Err(Trouble::Start(crash)) => return Err(Trouble::Start(crash)),
            Err(Trouble::Failure(failure)) if through == 0 => return Err(failure.into()),
            Err(Trouble::Failure(failure)) => match attempt.refused(&failure) {
                Some(_) => answers.extend(part.filter_map(|_| attempt.refused(&failure))),
                None => return Err(failure.into()),
            },
        }
    }
    Ok(Tried { answers, through })
}

fn halve(part: Range<usize>, parts: &mut Vec<Range<usize>>) {
    let middle = part.start + part.len() / 2;
    parts.push(middle..part.end);
    parts.push(part.start..middle);
}

#[derive(Default)]
struct Spent {
    crashes: u32,
    timeouts: u32,
}

impl Spent {
    fn note(&mut self, crash: &Crash) {
        self.crashes += 1;
        self.timeouts += u32::from(crash.kind == CrashKind::Timeout);
    }

    fn is_all(&self) -> bool {
        self.crashes >= limits::BISECT_CRASHES_MAX || self.timeouts >= limits::BISECT_TIMEOUTS_MAX
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use super::*;
    use crate::contract::FailureKind;

    /// Crashes over any part that holds one of these.
    struct Fake {
        poison: Vec<usize>,
        kind: CrashKind,
        down_from: usize,
        tried: Mutex<Vec<Range<usize>>>,
    }

    impl Attempt for Fake {
        type Answer = String;

        async fn attempt(&self, part: Range<usize>, _: Freshness) -> Result<Vec<String>, Trouble> {
            self.tried.lock().unwrap().push(part.clone());
            if self.poison.iter().any(|at| part.contains(at)) {
                return Err(Crash::new(self.kind, "boom").into());
            }
            if part.end > self.down_from {
                return Err(Failure::new(FailureKind::Unavailable, "down").into());
            }
            Ok(part.map(|at| at.to_string()).collect())
        }

        fn poison(&self, rejection: Rejection) -> String {
            rejection.code
        }

        fn refused(&self, failure: &Failure) -> Option<String> {
            Some(failure.message.clone())
        }
    }

    fn fake(poison: impl IntoIterator<Item = usize>, kind: CrashKind) -> Fake {
        Fake { poison: poison.into_iter().collect(), kind, down_from: usize::MAX, tried: Mutex::default() }
    }

    async fn check(poison: &[usize], records: usize) {
        let fake = fake(poison.iter().copied(), CrashKind::Trapped);
        let tried = tried(&fake, records).await.unwrap();
        let expected: Vec<String> =
            (0..records).map(|at| if poison.contains(&at) { "plugin_trapped".to_owned() } else { at.to_string() }).collect();
        assert_eq!(tried.answers, expected);
        assert_eq!(tried.through, records - poison.len());
        let order: Vec<usize> = fake.tried.lock().unwrap().iter().skip(2).map(|part| part.start).collect();
        assert!(order.is_sorted(), "not from the first record to the last: {order:?}");
    }

    #[tokio::test]
    async fn every_poison_is_found_wherever_it_is() {
        check(&[], 1).await;
        for records in [1, 2, 3, 7, 64] {
            for at in 0..records {
                check(&[at], records).await;
            }
        }
        check(&[0, 1], 2).await;
        check(&[0, 3, 4, 9], 10).await;
        check(&[0, 511, 1_023], 1_024).await;
    }

    #[tokio::test]
    async fn one_poison_costs_two_tries_and_its_halvings() {
        let fake = fake([0], CrashKind::Trapped);
        tried(&fake, 1_024).await.unwrap();
        assert_eq!(fake.tried.lock().unwrap().len(), 2 + 2 * 10);
    }

    #[tokio::test]
    async fn past_the_bound_the_plugin_is_to_blame() {
        for (kind, bound) in [(CrashKind::Trapped, limits::BISECT_CRASHES_MAX), (CrashKind::Timeout, limits::BISECT_TIMEOUTS_MAX)]
        {
            let fake = fake(0..1_000, kind);
            assert!(matches!(tried(&fake, 1_000).await, Err(Trouble::Crash(crash)) if crash.kind == kind));
            assert_eq!(fake.tried.lock().unwrap().len(), 2 + bound as usize);
        }
    }

    #[tokio::test]
    async fn past_the_bound_what_came_through_stays() {
        let fake = fake(1..1_000, CrashKind::Trapped);
        let tried = tried(&fake, 1_000).await.unwrap();
        assert_eq!(tried.answers.len(), 1_000);
        assert_eq!((tried.through, tried.answers[0].as_str()), (1, "0"));
        assert_eq!(tried.answers[1], "plugin_trapped");
        assert_eq!(tried.answers[999], "plugin_exhausted");
    }

    #[tokio::test]
    async fn a_failure_half_way_leaves_what_came_through() {
        let fake = Fake { down_from: 3, ..fake([1], CrashKind::Trapped) };
        assert_eq!(tried(&fake, 4).await.unwrap().answers, ["0", "plugin_trapped", "down", "down"]);
        let fake = Fake { down_from: 0, ..super::tests::fake([1], CrashKind::Trapped) };
        assert!(matches!(tried(&fake, 4).await, Err(Trouble::Failure(_))));
    }
}
