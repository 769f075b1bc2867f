//! Drivers: sources that the engine reads by itself, at an API, in files, in a bucket.
//!
//! ```text
//! schedule ─► poll ─┐                    ┌─ events ───┐
//! folder   ─► read ─┼─► source plugin ─► │            ├─► intake, in one block
//! bucket   ─► read ─┘   (decode)         └─ position ─┘
//! ```
//!
//! A plugin remembers nothing: it says how far it has read, and that position enters the intake log in one block with the events that it
//! covers (invariant 2). It goes through history into state like everything else, so a driver that begins finds there where the last one
//! stood, once all of intake has been folded. What was read and not committed is read again; what was committed is not. A driver reads
//! one thing at a time and never twice at once, is held back by what waits behind it, and delays nothing but itself (invariant 11).
//!
//! `outlet` is where plugins put what they read; `poll` keeps a schedule; `content` opens what is packed; `reading` takes bytes through
//! a plugin; `files` and `tail` find files, `bucket` objects.

mod bucket;
mod content;
mod files;
mod outlet;
mod poll;
mod reading;
mod tail;

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::watch;
use weft_domain::event::Environment;
use weft_domain::input::positions_of;
use weft_domain::value::Timestamp;
use weft_host::{Fault, Retry, Source};

use crate::bounds::InForce;
use crate::clock::Clock;
use crate::config::Making;
use crate::intake::Intake;
use crate::limits;
use crate::patience::backoff;
use crate::telemetry::Metrics;
use crate::writer::Ledger;

pub use bucket::{Bucket, BucketError};
pub use files::Files;
pub use poll::Schedule;

/// A source that is read.
#[derive(Clone)]
pub struct Driver {
    /// The stage's name.
    pub name: String,
    /// Where its events count unless they say otherwise.
    pub environment: Environment,
    /// The plugin at work.
    pub source: Arc<Source>,
    /// The plugin and its configuration in one word, without secrets: what could not be read is tried again when it changes.
    pub fingerprint: String,
    /// What it was made of.
    pub making: Option<Arc<Making>>,
    /// What is read.
    pub reads: Reads,
    /// For `status`.
    pub standing: Arc<Mutex<Standing>>,
}

/// What a driver reads.
#[derive(Clone)]
pub enum Reads {
    /// An API, by a schedule.
    Api(Schedule),
    /// Files.
    Files(Files),
    /// Objects of a bucket.
    Bucket(Bucket),
}

impl Reads {
    /// Its name, as in YAML.
    #[must_use]
    pub fn name(&self) -> &'static str {
        match self {
            Reads::Api(_) => "poll",
            Reads::Files(_) => "file",
            Reads::Bucket(_) => "bucket",
        }
    }
}

/// What stands behind a driver.
#[derive(Clone)]
pub struct Shore {
    /// Where events go.
    pub intake: Intake,
    /// Where positions come from.
    pub ledger: Ledger,
    /// What time it is.
    pub clock: Clock,
    /// Metrics.
    pub metrics: Arc<Metrics>,
    /// How much may wait for the transforms before a driver waits too.
    pub bounds: InForce,
}

/// How a driver is doing.
#[derive(Clone, Debug, Default, PartialEq, serde::Serialize, serde::Deserialize, schemars::JsonSchema)]
pub struct Standing {
    /// Events read since the start.
    pub events_total: u64,
    /// When it last came to the end of what there was.
    pub done_at: Option<Timestamp>,
    /// When it looks again, where that is known.
    pub next_at: Option<Timestamp>,
    /// What it reads now.
    pub reading: Option<String>,
    /// Files or objects that it has read to their end, as far as it remembers them.
    pub finished: u64,
    /// What it could not read, and why; none since it last got on.
    pub last_error: Option<String>,
}

impl Driver {
    /// Runs until it is told to stop. A call of the plugin that is under way then has a little time to end by itself.
    pub async fn run(self, shore: Shore, mut stop: watch::Receiver<bool>) {
        let ready = tokio::select! {
            positions = positions(&shore, &self.name) => positions,
            _ = stop.wait_for(|stop| *stop) => return,
        };
        let reads = self.reads.clone();
        match reads {
            Reads::Api(schedule) => poll::run(&self, &schedule, &shore, stop, ready).await,
            Reads::Files(files) => files::run(&self, &files, &shore, stop, ready).await,
            Reads::Bucket(bucket) => bucket::run(&self, &bucket, &shore, stop, ready).await,
        }
    }

    fn note(&self, change: impl FnOnce(&mut Standing)) {
        change(&mut self.standing.lock().unwrap_or_else(PoisonError::into_inner));
    }

    /// Says what went wrong, where it can be seen: at the first try and now and then.
    fn complain(&self, what: &str, code: &str, error: &dyn std::fmt::Display, tries: u32) {
        let message = error.to_string();
        if tries == 1 || tries.is_multiple_of(16) {
            tracing::warn!(stage = self.name, reading = what, code, error = message, tries, "source cannot be read");
        }
        self.note(|standing| {
            standing.last_error = Some(if what.is_empty() { message } else { format!("{what}: {message}") });
        });
    }
}

/// Positions by key, as earlier lives of a driver left them. Waits until all of intake that there is has been folded: a position may be in it.
async fn positions(shore: &Shore, name: &str) -> BTreeMap<String, Vec<u8>> {
    let end = shore.intake.reader().durable_end();
    while shore.ledger.intake_through() < end {
        tokio::time::sleep(limits::WATCH_EVERY).await;
    }
    let values = shore.ledger.state().values(&positions_of(name));
    match values {
        Ok(values) => values.into_iter().map(|(key, value)| (key, value.0.clone())).collect(),
        Err(error) => {
            // State that cannot be read ends the writer as well, and with it the engine.
            tracing::error!(stage = name, %error, "positions cannot be read");
            std::future::pending().await
        }
    }
}

/// How long to wait after a fault.
fn pause(fault: &Fault, tries: u32) -> Duration {
    let least = match fault.retry() {
        Retry::After(least) => least,
        Retry::WhenChanged => limits::DELIVERY_WAIT_MAX,
        Retry::Never => Duration::ZERO,
    };
    least.max(backoff(tries)).min(limits::DELIVERY_WAIT_MAX)
}

/// Waits for a moment; false where the driver is to stop before. A clock that is turned, or put back, is asked again and again.
async fn wait_until(at: Timestamp, clock: &Clock, stop: &mut watch::Receiver<bool>) -> bool {
    loop {
        let Ok(left_ms @ 1..) = u64::try_from(at.0.saturating_sub(clock.now().0)) else { return !*stop.borrow() };
        let turn = if matches!(clock, Clock::Wall) { Duration::from_secs(10) } else { Duration::from_millis(2) };
        if !wait_for(Duration::from_millis(left_ms).min(turn), stop).await {
            return false;
        }
    }
}

/// Waits for a time; false where the driver is to stop before.
async fn wait_for(time: Duration, stop: &mut watch::Receiver<bool>) -> bool {
    tokio::time::timeout(time, stop.wait_for(|stop| *stop)).await.is_err()
}

/// What a call of a plugin gives; none where the driver is to stop and the call does not end in time.
async fn unless_stopped<T>(call: impl Future<Output = T>, stop: &watch::Receiver<bool>) -> Option<T> {
    let mut stop = stop.clone();
    let patience = async {
        let _ = stop.wait_for(|stop| *stop).await;
        tokio::time::sleep(limits::GOODBYE_TIME_MAX).await;
    };
    tokio::select! { answer = call => Some(answer), () = patience => None }
}
