//! The intake log: where everything that comes through a door is made durable before its sender is answered (invariant 1).
//!
//! One thread owns the log. It takes what has queued up, writes it as one block, asks for one barrier, and answers all who
//! waited: many small requests share one `fdatasync`. After a failed write it takes nothing more, and every door answers 503.
//! What the bytes mean is no concern of this module: [`crate::door`] writes them and [`crate::pipeline`] reads them.

use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Instant;

use tokio::sync::{mpsc, oneshot, watch};
use weft_domain::event::{Environment, Event};
use weft_domain::input::{Arrival, Carrier, Coming, Named};
use weft_domain::value::Timestamp;
use weft_store::StoreError;
use weft_store::log::{Draft, Log, LogReader, Record};

use crate::limits;
use crate::suppression::Suppression;
use crate::telemetry::Metrics;

/// Records on their way into the log: encoded once, by those who made them.
#[derive(Debug, Default)]
pub struct Arrived {
    bytes: Vec<u8>,
    records: Vec<(u8, std::ops::Range<usize>)>,
}

impl Arrived {
    /// Adds all records of another.
    pub fn append(&mut self, other: Arrived) {
        let start = self.bytes.len();
        self.bytes.extend_from_slice(&other.bytes);
        self.records.extend(other.records.into_iter().map(|(kind, span)| (kind, start + span.start..start + span.end)));
    }

    /// Adds a record.
    pub fn push(&mut self, arrival: &Arrival<'_>) {
        let start = self.bytes.len();
        let kind = arrival.encode(&mut self.bytes);
        self.records.push((kind, start..self.bytes.len()));
    }

    /// How many records there are.
    #[must_use]
    pub fn count(&self) -> usize {
        self.records.len()
    }

    /// Whether there is nothing in it.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.records.is_empty()
    }

    /// How many bytes it has.
    #[must_use]
    pub fn len(&self) -> usize {
        self.bytes.len()
    }

    fn records(&self) -> impl Iterator<Item = Record<'_>> {
        self.records.iter().map(|(kind, span)| Record { kind: *kind, bytes: &self.bytes[span.clone()] })
    }
}

/// Where events come from: what the engine adds to what a source's plugin says of them.
#[derive(Clone, Copy)]
pub struct Origin<'a> {
    /// The source stage.
    pub source: &'a str,
    /// Where its events count unless they say otherwise.
    pub environment: Environment,
    /// When they were received.
    pub at: Timestamp,
    /// Whose events are not taken.
    pub suppression: &'a Suppression,
}

impl Origin<'_> {
    /// Adds what a plugin gave as an event; as a dead letter where it is none (invariant 3). Of somebody who was erased nothing is added,
    /// and it is counted.
    pub fn event(&self, json: &[u8], arrived: &mut Arrived) {
        self.event_named(json, None, arrived);
    }

    /// The same for an event whose message id is this one, unless it has one.
    pub fn event_named(&self, json: &[u8], name: Option<&str>, arrived: &mut Arrived) {
        let source = self.source;
        match Event::parse(json) {
            Ok(event) if self.suppression.refuses(source, &event.claims) => (),
            Ok(mut event) => {
                event.message_id = event.message_id.or_else(|| name.map(str::to_owned));
                event.stamp(self.at, self.environment);
                let named = if event.message_id.is_some() { Named::BySender } else { Named::ByPlace };
                arrived.push(&Arrival::Event { source, named, json: &event.to_json() });
            }
            Err(message) => {
                tracing::warn!(stage = source, error = message, "the plugin gave something that is no event");
                self.refuse(("invalid_event", &message), None, json, arrived);
            }
        }
    }

    /// Adds bytes that could not become an event, with a code and a message, as a dead letter (invariant 3). `carrier` is with what they can be
    /// given to the source again, where they can.
    pub fn refuse(&self, (code, message): (&str, &str), carrier: Option<Carrier>, bytes: &[u8], arrived: &mut Arrived) {
        let coming = Coming { at: Some(self.at), carrier };
        let coming = serde_json::to_string(&coming).expect("it has string keys");
        arrived.push(&Arrival::Refused { source: self.source, code, message, coming: &coming, bytes });
    }
}

/// Why records could not be taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Unavailable {
    /// Too many wait already.
    #[error("too many requests wait for the disk")]
    Busy,
    /// The log takes nothing more: the disk failed, or the engine stops.
    #[error("the intake log takes nothing more")]
    Closed,
}

enum Order {
    Append(Arrived, oneshot::Sender<()>),
    Trim(u64),
    Rotate(oneshot::Sender<()>),
    Adopt(Box<Draft>, oneshot::Sender<Result<(), StoreError>>),
}

/// The way into the intake log.
#[derive(Clone)]
pub struct Intake {
    queue: mpsc::Sender<Order>,
    reader: LogReader,
    durable: watch::Receiver<u64>,
}

impl Intake {
    /// Starts the thread that owns the log. It ends when the last `Intake` is dropped, or when the disk fails.
    #[must_use]
    pub fn start(log: Log, metrics: Arc<Metrics>) -> (Intake, JoinHandle<Result<(), StoreError>>) {
        let (queue, inbox) = mpsc::channel(limits::INTAKE_QUEUE_MAX);
        let (durable, seen) = watch::channel(log.durable_end());
        let intake = Intake { queue, reader: log.reader(), durable: seen };
        let run = move || work(log, inbox, &durable, &metrics);
        let thread = std::thread::Builder::new().name("intake".into()).spawn(run);
        (intake, thread.expect("the system has room for a thread at the start"))
    }

    /// Makes records durable. When this returns, neither a crash nor a power cut takes them away.
    ///
    /// # Errors
    /// [`Unavailable`]; then it is not known whether they were kept, and the sender must send them again.
    pub async fn append(&self, arrived: Arrived) -> Result<(), Unavailable> {
        let (done, durable) = oneshot::channel();
        self.queue.try_send(Order::Append(arrived, done)).map_err(|error| match error {
            mpsc::error::TrySendError::Full(_) => Unavailable::Busy,
            mpsc::error::TrySendError::Closed(_) => Unavailable::Closed,
        })?;
        durable.await.map_err(|_| Unavailable::Closed)
    }

    /// The same for those who would rather wait than be turned away.
    ///
    /// # Errors
    /// [`Unavailable::Closed`].
    pub async fn append_in_turn(&self, arrived: Arrived) -> Result<(), Unavailable> {
        let (done, durable) = oneshot::channel();
        self.queue.send(Order::Append(arrived, done)).await.map_err(|_| Unavailable::Closed)?;
        durable.await.map_err(|_| Unavailable::Closed)
    }

    /// Lets go of segments wholly below a record.
    pub async fn trim(&self, before: u64) {
        let _ = self.queue.send(Order::Trim(before)).await;
    }

    /// Seals the segment being written, so that it can be written anew. False where the log takes nothing more.
    pub async fn rotate(&self) -> bool {
        let (done, rotated) = oneshot::channel();
        self.queue.send(Order::Rotate(done)).await.is_ok() && rotated.await.is_ok()
    }

    /// Gives a segment that was written anew its place. None where the log takes nothing more.
    pub async fn adopt(&self, draft: Draft) -> Option<Result<(), StoreError>> {
        let (done, adopted) = oneshot::channel();
        self.queue.send(Order::Adopt(Box::new(draft), done)).await.ok()?;
        adopted.await.ok()
    }

    /// Reads the log.
    #[must_use]
    pub fn reader(&self) -> &LogReader {
        &self.reader
    }

    /// The record before which all is durable; wakes those who wait for it to move.
    #[must_use]
    pub fn durable(&self) -> watch::Receiver<u64> {
        self.durable.clone()
    }
}

fn work(
    mut log: Log,
    mut inbox: mpsc::Receiver<Order>,
    durable: &watch::Sender<u64>,
    metrics: &Metrics,
) -> Result<(), StoreError> {
    let mut group: Vec<(Arrived, oneshot::Sender<()>)> = Vec::new();
    while let Some(order) = inbox.blocking_recv() {
        let (mut order, mut records, mut bytes) = (Some(order), 0, 0);
        let mut upkeep = Vec::new();
        while let Some(next) = order.take() {
            match next {
                Order::Append(arrived, done) => {
                    records += arrived.records.len();
                    bytes += arrived.bytes.len();
                    group.push((arrived, done));
                }
                other => upkeep.push(other),
            }
            if records < limits::INTAKE_GROUP_RECORDS_MAX && bytes < limits::INTAKE_GROUP_BYTES_MAX {
                order = inbox.try_recv().ok();
            }
        }
        let started = Instant::now();
        append(&mut log, &group)?;
        log.sync()?;
        metrics.intake_sync.observe(started.elapsed().as_secs_f64());
        durable.send_replace(log.durable_end());
        for (_, done) in group.drain(..) {
            // A sender that went away meanwhile keeps its events all the same.
            let _ = done.send(());
        }
        for order in upkeep {
            keep_up(&mut log, order)?;
        }
    }
    log.close()
}

/// What is done to the log beside appending to it.
fn keep_up(log: &mut Log, order: Order) -> Result<(), StoreError> {
    match order {
        Order::Append(..) => (),
        Order::Trim(before) => drop(log.trim(before)?),
        Order::Rotate(done) => {
            log.rotate()?;
            // Whoever asked may have gone away; so below.
            let _ = done.send(());
        }
        Order::Adopt(draft, done) => match log.adopt(*draft) {
            Err(error @ StoreError::Refused(_)) => drop(done.send(Err(error))),
            adopted => {
                adopted?;
                let _ = done.send(Ok(()));
            }
        },
    }
    Ok(())
}

/// Appends a group in as few blocks as its bytes allow; one request's records may fill a block, and are never divided.
fn append(log: &mut Log, group: &[(Arrived, oneshot::Sender<()>)]) -> Result<(), StoreError> {
    let mut block: Vec<Record<'_>> = Vec::new();
    let mut bytes = 0;
    for (arrived, _) in group {
        if bytes + arrived.bytes.len() > limits::INTAKE_GROUP_BYTES_MAX {
            log.append(&block)?;
            (bytes, block) = (0, Vec::new());
        }
        bytes += arrived.bytes.len();
        block.extend(arrived.records());
    }
    log.append(&block)?;
    Ok(())
}
