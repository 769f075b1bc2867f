//! Lanes: each destination instance at its own pace.
//!
//! A lane of events is a cursor over history; a lane of profiles takes the numbered deliveries that the fold made. Either reads ahead a
//! little, has batches under way, and logs what became of them; its place passes only what has come to an end without a gap. A lane that
//! is slow, broken or wrong delays nothing but itself (invariant 11). It sees only what is durable, and a record has the same name at
//! every try (invariant 5).
//!
//! Events that a destination refused and that somebody wants delivered again have a queue of their own beside that of the stream: they go in batches of
//! their own, by turns with the stream, and each is noted by itself, since the lane's place has long passed them.
//!
//! In it: `feed` reads, `queue` knows what is open and in which order it may go, `circuit` whether the destination is tried at all, `width`
//! how many batches at once. This file carries batches to the plugin and back.

mod circuit;
mod feed;
mod kept;
mod queue;
mod width;

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::Instant;
use weft_domain::event::Event;
use weft_domain::input::{Input, Receipts, Rejected, Stream};
use weft_domain::permission::{self, Permission};
use weft_domain::value::Timestamp;
use weft_domain::view::{self, View};
use weft_host::{Batch, Destination, Fault, Receipt, Retry};
use weft_store::StoreError;

pub use self::circuit::Circuit;
use self::circuit::{Breaker, Try};
pub use self::feed::Filter;
use self::feed::{Feed, Repeat};
use self::kept::Kept;
use self::queue::{Bounds, Next, Order as Sequence, Queue, Record};
use self::width::Width;
use crate::clock::Clock;
use crate::config::Making;
use crate::limits;
use crate::patience::backoff;
use crate::telemetry::{Ending, Metrics, Stage, Wanting};
use crate::writer::{Ledger, Order};

/// A destination fed with one stream.
pub struct Lane {
    /// The stage's name.
    pub name: String,
    /// What it is fed with.
    pub stream: Stream,
    /// Which events it wants.
    pub filter: Filter,
    /// Records in one batch.
    pub batch_records: usize,
    /// Bytes in one batch.
    pub batch_bytes: usize,
    /// How long a batch that is not full waits for more.
    pub batch_wait: Duration,
    /// Batches under way at once, at most. With one, the order is that of the stream; with more, that of each customer.
    pub concurrency: usize,
    /// Tries before a record that the destination wants again becomes a dead letter.
    pub attempts_max: u32,
    /// Whether the plugin must have records in the order of their places, so that none can go again that it refused.
    pub ordered: bool,
    /// The plugin at work.
    pub destination: Arc<Destination>,
    /// For `status`.
    pub standing: Arc<Mutex<Standing>>,
    /// What it was made of.
    pub making: Option<Arc<Making>>,
}

/// How a lane is doing.
#[derive(Clone, Debug, Default, serde::Serialize, serde::Deserialize, schemars::JsonSchema)]
pub struct Standing {
    /// Everything before this place has come to an end.
    pub through: u64,
    /// Everything before this place has been looked at, and nothing of it waits.
    pub seen: u64,
    /// How many records wait at most.
    pub waiting: u64,
    /// How many events are to be delivered again that it refused.
    #[serde(default)]
    pub again: u64,
    /// Records delivered since the start.
    pub delivered_total: u64,
    /// Records that became dead letters since the start.
    pub rejected_total: u64,
    /// Records that did not leave for want of consent, ever, by what was missing. The destination's other lane may have some of them.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub withheld: BTreeMap<String, u64>,
    /// What the destination said when it last failed; none since it last took something.
    pub last_error: Option<String>,
    /// Whether the destination is tried.
    #[serde(default)]
    pub circuit: Circuit,
    /// Since when it is not, or only with one record.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub since: Option<Timestamp>,
    /// When it is tried again, where it is not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next_try: Option<Timestamp>,
    /// Since when somebody has it paused.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub paused: Option<Timestamp>,
}

/// A batch that came back.
struct Landed {
    records: Vec<Record>,
    tried: Try,
    took: Duration,
    answer: Result<Vec<Receipt>, Fault>,
}

/// A lane at work.
struct Work {
    lane: Lane,
    ledger: Ledger,
    metrics: Arc<Metrics>,
    clock: Clock,
    feed: Feed,
    queue: Queue,
    /// What goes again.
    again: Queue,
    /// How many were ever to go again, of those that have been read.
    again_read: u64,
    turn: Turn,
    breaker: Breaker,
    width: Width,
    under_way: JoinSet<Landed>,
    /// What consent kept from leaving, until it is noted.
    kept: Kept,
}

/// Whose turn it was last.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Turn {
    Stream,
    Again,
}

/// What came of reading.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Read {
    /// All that was read is open.
    Open,
    /// Some of it has come to an end already, and that is to be noted first.
    Ended,
}

impl Lane {
    /// Runs until it is told to stop; batches under way are finished first, and nothing else is tried.
    ///
    /// # Errors
    /// [`StoreError`], where history cannot be read.
    pub async fn run(
        self,
        ledger: Ledger,
        metrics: Arc<Metrics>,
        clock: Clock,
        mut stop: watch::Receiver<bool>,
    ) -> Result<(), StoreError> {
        let stands = ledger.state().lane(&self.name).unwrap_or_default();
        let feed = Feed::from(self.stream, &stands, &ledger);
        let sequence = if self.concurrency > 1 { Sequence::Customer } else { Sequence::Stream };
        let (queue, again) = (Queue::new(sequence, feed.position()), Queue::new(sequence, 0));
        let (width, again_read, turn) = (Width::up_to(self.concurrency), 0, Turn::Stream);
        let mut durable = ledger.durable();
        let (breaker, under_way, kept) = (Breaker::default(), JoinSet::new(), Kept::default());
        let mut work =
            Work { lane: self, ledger, metrics, clock, feed, queue, again, again_read, turn, breaker, width, under_way, kept };
        loop {
            let is_stopping = *stop.borrow();
            if !work.log().await || !work.log_again().await || (is_stopping && work.under_way.is_empty()) {
                return Ok(());
            }
            // Copied, since the writer waits for whoever looks at it, and reading may wait for the writer's state.
            let end = *durable.borrow_and_update();
            let wake = if is_stopping { None } else { work.go_on(end)? };
            work.show(wake);
            tokio::select! {
                Some(landed) = work.under_way.join_next() => match landed {
                    Ok(landed) => work.land(landed),
                    Err(panic) => std::panic::resume_unwind(panic.into_panic()),
                },
                changed = durable.changed() => if changed.is_err() { return Ok(()) },
                () = tokio::time::sleep_until(wake.unwrap_or_else(Instant::now)), if wake.is_some() => (),
                changed = stop.changed(), if !is_stopping => if changed.is_err() { return Ok(()) },
            }
        }
    }
}

impl Work {
    /// Reads ahead and sends what may go now. When to look again, where time alone changes something.
    fn go_on(&mut self, durable: u64) -> Result<Option<Instant>, StoreError> {
        let stands = self.ledger.state().lane(&self.lane.name).unwrap_or_default();
        self.note(|standing| standing.paused = stands.paused);
        if stands.paused.is_some() {
            return Ok(None);
        }
        self.read_ahead(durable)?;
        if self.read_again(&stands, durable) == Read::Ended {
            return Ok(Some(Instant::now()));
        }
        let mut has_withheld = false;
        loop {
            let now = Instant::now();
            let lane = &self.lane;
            let full = Bounds { records: lane.batch_records, bytes: lane.batch_bytes, wait: lane.batch_wait };
            let (tried, bounds, width) = match self.breaker.look(now) {
                Circuit::Open => return Ok(self.breaker.until()),
                Circuit::HalfOpen => (Try::Probe, Bounds { records: 1, ..full }, 1),
                Circuit::Closed => (Try::Batch, full, self.width.now()),
            };
            if self.under_way.len() >= width {
                return Ok(None);
            }
            match self.next(now, bounds) {
                Next::Batch(records) => {
                    let count = records.len();
                    let permitted = self.permitted(records);
                    has_withheld |= permitted.len() < count;
                    if !permitted.is_empty() {
                        self.send(permitted, tried);
                    }
                }
                // What did not leave is noted first.
                Next::Nothing(_) if has_withheld => return Ok(Some(now)),
                Next::Nothing(until) => return Ok(until),
            }
        }
    }

    /// The next batch: of the stream and of what goes again by turns, so that neither holds up the other.
    fn next(&mut self, now: Instant, bounds: Bounds) -> Next {
        let mut soonest = None;
        for _ in 0..2 {
            let next = if self.turn == Turn::Stream {
                self.turn = Turn::Again;
                self.again.next(now, Bounds { wait: Duration::ZERO, ..bounds }, self.queue.busy())
            } else {
                self.turn = Turn::Stream;
                self.queue.next(now, bounds, self.again.busy())
            };
            match next {
                Next::Batch(records) => return Next::Batch(records),
                Next::Nothing(until) => soonest = soonest.into_iter().chain(until).min(),
            }
        }
        Next::Nothing(soonest)
    }

    fn read_ahead(&mut self, durable: u64) -> Result<(), StoreError> {
        let lane = &self.lane;
        // What others may pass while one waits is twice what can be under way.
        let ahead = if lane.concurrency > 1 { 2 * lane.concurrency } else { 1 };
        let room = self.queue.room(ahead * lane.batch_records, ahead * lane.batch_bytes);
        if room.0 == 0 || room.1 == 0 {
            return Ok(());
        }
        let found = self.feed.read(room, (&lane.name, &lane.filter), &self.ledger, durable)?;
        let records = found.into_iter().map(|(position, bytes)| self.lane.record(position, bytes, None)).collect();
        self.queue.admit(records, self.feed.position());
        Ok(())
    }

    /// Reads what is to go again, where state says that there is something else than is known here. What cannot go has ended with that.
    fn read_again(&mut self, stands: &view::Lane, durable: u64) -> Read {
        let open = self.again.open();
        let is_known = stands.again_total == self.again_read && stands.again == open as u64;
        if self.lane.stream != Stream::Events || is_known {
            return Read::Open;
        }
        let ahead = if self.lane.concurrency > 1 { 2 * self.lane.concurrency } else { 1 };
        let room = self.again.room(ahead * self.lane.batch_records, ahead * self.lane.batch_bytes);
        if room.0 == 0 || room.1 == 0 {
            return Read::Open;
        }
        // What cannot be read now is read the next time.
        let Ok(wanted) = self.ledger.state().all_again(&self.lane.name, open + room.0) else { return Read::Open };
        self.again.keep(|record| wanted.get(&record.position).is_some_and(|row| Some(row.position) == record.again));
        let again = wanted.iter().map(|(position, row)| (*position, row.position));
        let repeats = feed::repeats(room, again, |position| self.again.has(position), (self.ledger.history(), durable));
        if wanted.values().all(|row| row.position < durable) {
            self.again_read = stands.again_total;
        }
        let (mut records, mut read) = (Vec::with_capacity(repeats.len()), Read::Open);
        for Repeat { position, command, json } in repeats {
            let (bytes, refused) = match json {
                Ok(bytes) if !self.lane.ordered => (bytes, None),
                Ok(_) => (Bytes::new(), Some(("out_of_order", OUT_OF_ORDER.to_owned()))),
                Err(why) => (Bytes::new(), Some(("record_gone", why))),
            };
            let record = self.lane.record(position, bytes, Some(command));
            match refused {
                None => records.push(record),
                Some((code, message)) => {
                    self.reject(&record, code.to_owned(), message);
                    read = Read::Ended;
                }
            }
        }
        self.again.admit(records, 0);
        read
    }

    /// Those of a batch that may leave by what people have said until now. The others have come to their end. It is asked
    /// at every try, so that a withdrawal holds for what was tried before.
    fn permitted(&mut self, records: Vec<Record>) -> Vec<Record> {
        let plan = self.ledger.state().plan().clone();
        let Some(rule) = plan.consent.get(&self.lane.name) else { return records };
        let mut permitted = Vec::with_capacity(records.len());
        for mut record in records {
            let judged = {
                // One look for each, so that the writer need not wait for a batch.
                let state = self.ledger.state();
                match (self.lane.stream, Event::parse(&record.bytes)) {
                    (Stream::Events, Ok(event)) => permission::of_event(rule, &*state, &plan.identity, &event),
                    // What is no event is nobody's who agreed.
                    _ => permission::of_profile(rule, &*state, &record.bytes),
                }
            };
            match judged {
                Ok(Permission::Granted) => permitted.push(record),
                Ok(Permission::Withheld(missing)) => {
                    self.count("withheld");
                    let (stage, purpose) = (self.lane.name.clone(), missing.purpose.to_string());
                    let said = if missing.refused { "refused" } else { "nothing" }.to_owned();
                    self.metrics.withheld.get_or_create(&Wanting { stage, purpose, said }).inc();
                    self.kept.withhold(&record, &missing);
                    self.queue_of(&record).end(&record, None);
                }
                Err(error) => {
                    tracing::warn!(stage = self.lane.name, %error, "what people have said cannot be read: a delivery waits");
                    record.not_before = Some(Instant::now() + limits::DELIVERY_WAIT);
                    self.queue_of(&record).again(record);
                }
            }
        }
        permitted
    }

    fn send(&mut self, records: Vec<Record>, tried: Try) {
        let positions: Vec<u64> = records.iter().map(|record| record.position).collect();
        let (first, last) = (positions.first().copied().unwrap_or(0), positions.last().copied().unwrap_or(0));
        let (stream, name) = (self.lane.stream.name().to_owned(), &self.lane.name);
        let mut key = format!("{name}:{stream}:{first}-{last}:{}", positions.len());
        // Whoever knows batches by their keys would answer for this one what it answered the first time.
        if let Some(command) = records.iter().filter_map(|record| record.again).max() {
            key.push_str(&format!(":again-{command}"));
        }
        let batch = Batch { stream, key, records: records.iter().map(|record| record.bytes.clone()).collect(), positions };
        let destination = self.lane.destination.clone();
        self.under_way.spawn(async move {
            let began = Instant::now();
            let answer = destination.deliver(&batch).await;
            Landed { records, tried, took: began.elapsed(), answer }
        });
    }

    /// Takes in what came of a batch.
    fn land(&mut self, Landed { records, tried, took, answer }: Landed) {
        match answer {
            Ok(receipts) => {
                self.breaker.answered(tried);
                self.width.answered(took);
                self.note(|standing| standing.last_error = None);
                self.settle(records, receipts);
            }
            Err(fault) => self.failed(records, tried, &fault),
        }
    }

    fn settle(&mut self, records: Vec<Record>, receipts: Vec<Receipt>) {
        let wait = receipts.iter().filter_map(|receipt| if let Receipt::Retry(ms) = receipt { Some(*ms) } else { None }).max();
        let wait = Duration::from_millis(wait.unwrap_or(0)).min(limits::DELIVERY_ASKED_WAIT_MAX);
        let tried = tried(&receipts);
        let mut lead = 1;
        for (place, (mut record, receipt)) in records.into_iter().zip(receipts).enumerate() {
            if place < tried {
                record.attempts += 1;
                lead = lead.max(record.attempts);
            }
            match receipt {
                Receipt::Ok => {
                    self.count("ok");
                    self.queue_of(&record).end(&record, None);
                }
                Receipt::Reject(rejection) => self.reject(&record, rejection.code, rejection.message),
                Receipt::Retry(_) if record.attempts >= self.lane.attempts_max => {
                    let message = format!("the destination asked for another try {} times", record.attempts);
                    self.reject(&record, "retries_exhausted".into(), message);
                }
                Receipt::Retry(_) => {
                    record.not_before = Some(Instant::now() + wait.max(backoff(lead)));
                    self.queue_of(&record).again(record);
                }
            }
        }
    }

    fn failed(&mut self, records: Vec<Record>, tried: Try, fault: &Fault) {
        let ending = Ending { stage: self.lane.name.clone(), outcome: fault.code().to_owned() };
        self.metrics.failures.get_or_create(&ending).inc();
        self.note(|standing| standing.last_error = Some(fault.to_string()));
        let least = match fault.retry() {
            Retry::After(least) => least,
            Retry::WhenChanged => limits::DELIVERY_WAIT_MAX,
            Retry::Never => {
                self.breaker.answered(tried);
                for mut record in records {
                    record.attempts += 1;
                    self.reject(&record, fault.code().to_owned(), fault.to_string());
                }
                return;
            }
        };
        self.width.failed();
        self.breaker.failed(tried, least, Instant::now());
        let failures = self.breaker.failures();
        if failures == 1 || failures.is_multiple_of(16) {
            tracing::warn!(stage = self.lane.name, code = fault.code(), error = %fault, failures, "destination does not take a batch");
        }
        for record in records {
            self.queue_of(&record).again(record);
        }
    }

    fn queue_of(&mut self, record: &Record) -> &mut Queue {
        if record.again.is_some() { &mut self.again } else { &mut self.queue }
    }

    fn reject(&mut self, record: &Record, code: String, message: String) {
        self.count(&code);
        let rejected = Rejected { position: record.position, code, message, attempts: record.attempts };
        self.queue_of(record).end(record, Some(rejected));
    }

    /// Logs how far everything has come to an end. False where the writer has ended.
    async fn log(&mut self) -> bool {
        let Some(progress) = self.queue.progress(PASSED_MAX) else { return true };
        for one in &progress.rejected {
            self.metrics.dead_letter(&self.lane.name, &one.code);
        }
        let (ended, refused) = (progress.ended as u64, progress.rejected.len() as u64);
        let (lane, stream, through) = (self.lane.name.clone(), self.lane.stream, progress.through);
        let (again, at) = (Vec::new(), Some(self.clock.now()));
        let withheld = self.kept.before(through, stream);
        let kept = withheld.total();
        let receipts = Receipts { lane, stream, through, rejected: progress.rejected, again, at, withheld };
        // What was withheld is counted by state, and shown from there: it is waited for.
        let logged = match kept {
            0 => self.ledger.order(Order::Input(Box::new(Input::Receipts(receipts)), None)).await,
            _ => self.ledger.log(Input::Receipts(receipts)).await.is_some(),
        };
        if !logged {
            return false;
        }
        self.note(|standing| {
            standing.through = through;
            standing.delivered_total += ended - refused - kept;
            standing.rejected_total += refused;
        });
        true
    }

    /// Logs what went again and has come to an end, and waits until state knows it: else it would be read anew. False where the writer has ended.
    async fn log_again(&mut self) -> bool {
        let ended = self.again.take_ended();
        if ended.is_empty() {
            return true;
        }
        let (again, rejected): (Vec<u64>, Vec<Option<Rejected>>) = ended.into_iter().unzip();
        let rejected: Vec<Rejected> = rejected.into_iter().flatten().collect();
        for one in &rejected {
            self.metrics.dead_letter(&self.lane.name, &one.code);
        }
        let (ended, refused) = (again.len() as u64, rejected.len() as u64);
        let (lane, stream, through, at) = (self.lane.name.clone(), self.lane.stream, self.queue.noted(), Some(self.clock.now()));
        let withheld = self.kept.of_again(&again);
        let kept = withheld.total();
        let receipts = Receipts { lane, stream, through, rejected, again, at, withheld };
        if self.ledger.log(Input::Receipts(receipts)).await.is_none() {
            return false;
        }
        self.note(|standing| {
            standing.delivered_total += ended - refused - kept;
            standing.rejected_total += refused;
        });
        true
    }

    /// Shows how it is doing. `wake` is when it looks again.
    fn show(&mut self, wake: Option<Instant>) {
        let now = Instant::now();
        let stands = self.ledger.state().lane(&self.lane.name).unwrap_or_default();
        let again = if self.lane.stream == Stream::Events { stands.again } else { 0 };
        let (circuit, seen) = (self.breaker.look(now), self.feed.position());
        let idle = self.queue.is_idle() && self.kept.is_empty();
        let waiting = if idle { 0 } else { self.backlog(self.queue.through()) };
        let at = self.clock.now();
        let until = |at_last: Instant| at.plus_ms(i64::try_from((at_last - now).as_millis()).unwrap_or(i64::MAX));
        let next_try = wake.filter(|_| circuit == Circuit::Open).map(until);
        self.note(|standing| {
            if standing.circuit != circuit {
                standing.since = (circuit != Circuit::Closed).then_some(standing.since.unwrap_or(at));
            }
            (standing.circuit, standing.next_try) = (circuit, next_try);
            (standing.waiting, standing.again, standing.withheld) = (waiting, again, stands.withheld);
            if idle {
                standing.seen = seen;
            }
        });
        let stage = Stage { stage: format!("{}/{}", self.lane.name, self.lane.stream.name()) };
        self.metrics.lane_waiting.get_or_create(&stage).set(i64::try_from(waiting).unwrap_or(i64::MAX));
        let is_paused = self.standing().paused.is_some();
        let tried = match circuit {
            _ if is_paused => 0,
            Circuit::Closed => 2,
            Circuit::HalfOpen => 1,
            Circuit::Open => 0,
        };
        self.metrics.lane_tried.get_or_create(&stage).set(tried);
    }

    fn backlog(&self, through: u64) -> u64 {
        match self.lane.stream {
            Stream::Events => self.ledger.history().durable_end().saturating_sub(through),
            Stream::Profiles => {
                let lane = self.ledger.state().lane(&self.lane.name);
                lane.map_or(0, |lane| lane.profiles_next.saturating_sub(through))
            }
        }
    }

    fn count(&self, outcome: &str) {
        let ending = Ending { stage: self.lane.name.clone(), outcome: outcome.to_owned() };
        self.metrics.deliveries.get_or_create(&ending).inc();
    }

    fn standing(&self) -> std::sync::MutexGuard<'_, Standing> {
        self.lane.standing.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn note(&self, change: impl FnOnce(&mut Standing)) {
        change(&mut self.standing());
    }
}

impl Lane {
    /// A record that was read now.
    fn record(&self, position: u64, bytes: Bytes, again: Option<u64>) -> Record {
        let customer = if self.concurrency > 1 { feed::customer(self.stream, &bytes) } else { None };
        Record { position, bytes, customer, attempts: 0, not_before: None, gathered: Instant::now(), again }
    }
}

/// How many records of a batch were tried, by what the destination says of them. Where it stops at one that has to wait, that one and
/// all behind it are `retry`: those behind were not tried, and no attempt counts.
fn tried(receipts: &[Receipt]) -> usize {
    let behind = receipts.iter().rev().take_while(|receipt| matches!(receipt, Receipt::Retry(_))).count();
    receipts.len() - behind.saturating_sub(1)
}

/// Why a destination that is `ordered` is given nothing again.
pub(crate) const OUT_OF_ORDER: &str =
    "the destination takes events in the order of history only (its plugin says `ordered`), and has had later ones";

/// Records that a lane of events passes over before it notes how far it is.
const PASSED_MAX: u64 = 100_000;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_behind_the_first_that_waits_was_not_tried() {
        let check = |receipts: &str, want: usize| {
            let receipt = |letter: char| if letter == 'o' { Receipt::Ok } else { Receipt::Retry(0) };
            assert_eq!(tried(&receipts.chars().map(receipt).collect::<Vec<_>>()), want, "{receipts}");
        };
        check("", 0);
        check("ooo", 3);
        check("oor", 3);
        check("orr", 2);
        check("rrr", 1);
        check("ror", 3);
    }
}
