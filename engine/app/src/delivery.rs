//! Lanes: each destination instance at its own pace.
//!
//! A lane of events is a cursor over history; a lane of profiles takes the numbered deliveries that the fold made. Either gathers
//! a batch, asks the plugin until every record has come to an end, and logs what became of it as one record of history; only
//! then does the cursor move. A lane that is slow, broken or wrong delays nothing but itself (invariant 11). It sees only what is
//! durable, and each record's key is the same at every try (invariant 5).

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use tokio::sync::watch;
use weft_domain::event::{Environment, Event};
use weft_domain::input::{Input, Receipts, Rejected, Stream, event_json};
use weft_domain::view::View;
use weft_host::{Batch, Destination, Receipt, Retry};
use weft_store::StoreError;
use weft_store::log::{Block, Cursor};

use crate::config::Making;
use crate::limits;
use crate::patience::backoff;
use crate::telemetry::{Ending, Metrics, Stage};
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
    /// Tries before a record that the destination wants again becomes a dead letter.
    pub attempts_max: u32,
    /// The plugin at work.
    pub destination: Arc<Destination>,
    /// For `status`.
    pub standing: Arc<Mutex<Standing>>,
    /// What it was made of.
    pub making: Option<Arc<Making>>,
}

/// The events that a lane wants.
#[derive(Clone, Debug, Default)]
pub struct Filter {
    /// Of this environment only.
    pub environment: Option<Environment>,
    /// With one of these names only; empty for all.
    pub names: Vec<String>,
}

impl Filter {
    /// Whether an event is among them.
    #[must_use]
    pub fn wants(&self, json: &[u8]) -> bool {
        if self.environment.is_none() && self.names.is_empty() {
            return true;
        }
        let Ok(event) = Event::parse(json) else { return false };
        self.environment.is_none_or(|wanted| event.environment.unwrap_or_default() == wanted)
            && (self.names.is_empty() || event.name.is_some_and(|name| self.names.contains(&name)))
    }
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
    /// Records delivered since the start.
    pub delivered_total: u64,
    /// Records that became dead letters since the start.
    pub rejected_total: u64,
    /// What the destination said when it last failed; none since it last took something.
    pub last_error: Option<String>,
}

/// Records on their way out.
struct Gathered {
    /// The place in the stream after the last record looked at.
    through: u64,
    records: Vec<(u64, Bytes)>,
}

impl Lane {
    /// Runs until it is told to stop; a batch under way is finished first, unless it waits for another try.
    ///
    /// # Errors
    /// [`StoreError`], where history cannot be read.
    pub async fn run(self, ledger: Ledger, metrics: Arc<Metrics>, mut stop: watch::Receiver<bool>) -> Result<(), StoreError> {
        let mut durable = ledger.durable();
        let mut reader = self.reader(&ledger);
        while !*stop.borrow() {
            // Copied, since the writer waits for whoever looks at it, and gathering may wait for the writer's state.
            let end = *durable.borrow_and_update();
            let gathered = match &mut reader {
                Reader::Events(events) => self.gather_events(events)?,
                Reader::Profiles { next } => self.gather_profiles(&ledger, next, end),
            };
            let Some(gathered) = gathered else {
                let seen = reader.position();
                self.note(&metrics, |standing| (standing.seen, standing.waiting) = (seen, 0));
                tokio::select! {
                    changed = durable.changed() => if changed.is_err() { return Ok(()) },
                    _ = stop.changed() => (),
                }
                continue;
            };
            self.note(&metrics, |standing| standing.waiting = self.backlog(&ledger, gathered.through));
            let Some(rejected) = self.deliver(&gathered.records, &metrics, &mut stop).await else { return Ok(()) };
            let (refused, all) = (rejected.len() as u64, gathered.records.len() as u64);
            for one in &rejected {
                metrics.dead_letter(&self.name, &one.code);
            }
            let receipts = Receipts { lane: self.name.clone(), stream: self.stream, through: gathered.through, rejected };
            if !ledger.order(Order::Input(Box::new(Input::Receipts(receipts)), None)).await {
                return Ok(());
            }
            self.note(&metrics, |standing| {
                standing.through = gathered.through;
                standing.waiting = self.backlog(&ledger, gathered.through);
                standing.delivered_total += all - refused;
                standing.rejected_total += refused;
            });
        }
        Ok(())
    }

    fn reader(&self, ledger: &Ledger) -> Reader {
        let lane = ledger.state().lane(&self.name).unwrap_or_default();
        match self.stream {
            Stream::Events => {
                let cursor = ledger.history().cursor(lane.events_through);
                Reader::Events(Box::new(Events {
                    cursor,
                    block: Block::default(),
                    next: lane.events_through,
                    reported: lane.events_through,
                }))
            }
            Stream::Profiles => Reader::Profiles { next: lane.profiles_through },
        }
    }

    /// The next events, none where there is nothing to do yet.
    fn gather_events(&self, events: &mut Events) -> Result<Option<Gathered>, StoreError> {
        let (mut records, mut bytes) = (Vec::new(), 0);
        while records.len() < self.batch_records && bytes < self.batch_bytes {
            if events.next >= events.block.end() || events.block.is_empty() {
                if !events.cursor.next_into(&mut events.block)? {
                    break;
                }
                events.next = events.block.first();
            }
            while events.next < events.block.end() && records.len() < self.batch_records {
                let record = events.block.get(events.next).expect("it is inside the block");
                if let Some(json) = event_json(record.kind, record.bytes).filter(|json| self.filter.wants(json)) {
                    if !records.is_empty() && bytes + json.len() > self.batch_bytes {
                        bytes = self.batch_bytes;
                        break;
                    }
                    bytes += json.len();
                    records.push((events.next, Bytes::copy_from_slice(json)));
                }
                events.next += 1;
            }
        }
        // Records that are no events, a lane's own receipts among them, are passed over in silence up to a point: noting each
        // would make another.
        let passed = events.next - events.reported;
        if records.is_empty() && passed < PASSED_MAX {
            return Ok(None);
        }
        events.reported = events.next;
        Ok(Some(Gathered { through: events.next, records }))
    }

    /// The next profile deliveries that follow from durable history, none where there is nothing to do yet.
    fn gather_profiles(&self, ledger: &Ledger, next: &mut u64, durable: u64) -> Option<Gathered> {
        let state = ledger.state();
        let (mut records, mut bytes) = (Vec::new(), 0);
        let end = state.lane(&self.name).ok()?.profiles_next;
        while *next < end && records.len() < self.batch_records && bytes < self.batch_bytes {
            if let Some(waiting) = state.waiting(&self.name, *next).ok()? {
                if waiting.position >= durable {
                    break;
                }
                bytes += waiting.text.len();
                records.push((*next, Bytes::copy_from_slice(waiting.text.as_bytes())));
            }
            *next += 1;
        }
        (!records.is_empty()).then_some(Gathered { through: *next, records })
    }

    /// Asks the plugin until every record has come to an end. Those that came to nothing; none where the lane is to stop.
    async fn deliver(
        &self,
        records: &[(u64, Bytes)],
        metrics: &Metrics,
        stop: &mut watch::Receiver<bool>,
    ) -> Option<Vec<Rejected>> {
        let (mut rejected, mut open): (Vec<Rejected>, Vec<usize>) = (Vec::new(), (0..records.len()).collect());
        let (mut attempts, mut tries) = (0, 0);
        while !open.is_empty() {
            let mut wait = Duration::ZERO;
            tries += 1;
            match self.destination.deliver(&self.batch(records, &open)).await {
                Ok(receipts) => {
                    attempts += 1;
                    self.note(metrics, |standing| standing.last_error = None);
                    let mut again = Vec::new();
                    for (place, receipt) in open.iter().copied().zip(receipts) {
                        let position = records[place].0;
                        match receipt {
                            Receipt::Ok => self.count(metrics, "ok"),
                            Receipt::Reject(rejection) => {
                                self.count(metrics, &rejection.code);
                                let (code, message) = (rejection.code, rejection.message);
                                rejected.push(Rejected { position, code, message, attempts });
                            }
                            Receipt::Retry(_) if attempts >= self.attempts_max => {
                                self.count(metrics, "retries_exhausted");
                                let message = format!("the destination asked for another try {attempts} times");
                                rejected.push(Rejected { position, code: "retries_exhausted".into(), message, attempts });
                            }
                            Receipt::Retry(after_ms) => {
                                wait = wait.max(Duration::from_millis(after_ms));
                                again.push(place);
                            }
                        }
                    }
                    open = again;
                }
                Err(fault) => {
                    let ending = Ending { stage: self.name.clone(), outcome: fault.code().to_owned() };
                    metrics.failures.get_or_create(&ending).inc();
                    self.note(metrics, |standing| standing.last_error = Some(fault.to_string()));
                    match fault.retry() {
                        Retry::After(least) => wait = least,
                        Retry::WhenChanged => wait = limits::DELIVERY_WAIT_MAX,
                        Retry::Never => {
                            let (code, message) = (fault.code().to_owned(), fault.to_string());
                            rejected.extend(open.drain(..).map(|place| {
                                let (code, message) = (code.clone(), message.clone());
                                Rejected { position: records[place].0, code, message, attempts: tries }
                            }));
                        }
                    }
                    if tries == 1 || tries % 16 == 0 {
                        tracing::warn!(stage = self.name, code = fault.code(), error = %fault, tries, "destination does not take a batch");
                    }
                }
            }
            if !open.is_empty() {
                let pause = wait.max(backoff(tries)).min(limits::DELIVERY_WAIT_MAX);
                tokio::select! {
                    () = tokio::time::sleep(pause) => (),
                    _ = stop.wait_for(|stop| *stop) => return None,
                }
            }
        }
        rejected.sort_by_key(|one| one.position);
        Some(rejected)
    }

    fn batch(&self, records: &[(u64, Bytes)], open: &[usize]) -> Batch {
        let positions: Vec<u64> = open.iter().map(|place| records[*place].0).collect();
        let (first, last) = (positions.first().copied().unwrap_or(0), positions.last().copied().unwrap_or(0));
        let stream = self.stream.name().to_owned();
        let key = format!("{}:{stream}:{first}-{last}:{}", self.name, positions.len());
        Batch { stream, key, records: open.iter().map(|place| records[*place].1.clone()).collect(), positions }
    }

    fn backlog(&self, ledger: &Ledger, through: u64) -> u64 {
        match self.stream {
            Stream::Events => ledger.history().durable_end().saturating_sub(through),
            Stream::Profiles => ledger.state().lane(&self.name).map_or(0, |lane| lane.profiles_next.saturating_sub(through)),
        }
    }

    fn count(&self, metrics: &Metrics, outcome: &str) {
        let ending = Ending { stage: self.name.clone(), outcome: outcome.to_owned() };
        metrics.deliveries.get_or_create(&ending).inc();
    }

    fn note(&self, metrics: &Metrics, change: impl FnOnce(&mut Standing)) {
        let mut standing = self.standing.lock().unwrap_or_else(PoisonError::into_inner);
        change(&mut standing);
        let stage = Stage { stage: format!("{}/{}", self.name, self.stream.name()) };
        metrics.lane_waiting.get_or_create(&stage).set(i64::try_from(standing.waiting).unwrap_or(i64::MAX));
    }
}

/// Records that a lane of events passes over before it notes how far it is.
const PASSED_MAX: u64 = 100_000;

enum Reader {
    Events(Box<Events>),
    Profiles { next: u64 },
}

impl Reader {
    fn position(&self) -> u64 {
        match self {
            Reader::Events(events) => events.next,
            Reader::Profiles { next } => *next,
        }
    }
}

struct Events {
    cursor: Cursor,
    block: Block,
    next: u64,
    reported: u64,
}
