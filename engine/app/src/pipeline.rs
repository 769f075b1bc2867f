//! From intake to history: reads what came through the doors, runs the transforms, and hands the outcome to the writer in order.
//!
//! A few batches are worked on at once, and their order is kept. What a transform cannot take becomes a dead letter with its
//! bytes (invariant 3); a transform that is down holds up the pipeline, never the doors. It starts where history ends: each record
//! of history names the record of intake that it answers for, so a crash between the two logs loses and repeats nothing.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use tokio::sync::{mpsc, oneshot, watch};
use tokio::task::JoinHandle;
use weft_domain::event::Event;
use weft_domain::input::{Arrival, Coming, DeadLetter, Input, Kv, Named, Passed, name_by_place, positions_of};
use weft_domain::plan::Plan;
use weft_domain::value::Timestamp;
use weft_host::{Fault, Outcome, Transform};
use weft_store::StoreError;
use weft_store::log::{Block, LogReader, TOMBSTONE};

use crate::clock::Clock;
use crate::config::OnError;
use crate::limits;
use crate::writer::{Ledger, Order, Prepared};

/// A transform and what to do with what it cannot take.
#[derive(Clone)]
pub struct Step {
    /// The stage's name.
    pub name: Arc<str>,
    /// The plugin at work.
    pub transform: Arc<Transform>,
    /// In YAML: `on_error`.
    pub on_error: OnError,
}

/// The transforms that the events of each source go through, in order.
pub type Chains = BTreeMap<String, Vec<Step>>;

/// Other transforms, from a batch boundary on.
pub struct Switch {
    /// The transforms.
    pub chains: Arc<Chains>,
    /// The plan that they belong to: it enters history between what the old ones gave and what the new ones give.
    pub plan: Plan,
    /// Told when they are at work.
    pub done: oneshot::Sender<()>,
}

/// Why the pipeline ended.
#[derive(Debug, thiserror::Error)]
pub enum PipelineError {
    /// The intake log cannot be read.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The intake log holds a record that this version cannot read.
    #[error("intake, record {position}: {unreadable}")]
    Unreadable {
        /// Its place.
        position: u64,
        /// What is wrong.
        unreadable: weft_domain::input::Unreadable,
    },
    /// A transform with `on_error: stop` could not take a record.
    #[error("the transform `{stage}` could not take record {position} of intake, and its `on_error` is `stop`: {message}")]
    Stopped {
        /// The transform.
        stage: String,
        /// The record.
        position: u64,
        /// What the transform said.
        message: String,
    },
    /// A worker of the pipeline panicked.
    #[error("the pipeline failed: {0}")]
    Broken(String),
}

/// Runs until it is told to stop, has nothing left to do, and has done it. A switch takes hold at once, also where the old transforms do not
/// answer: what they were working on begins anew, which costs nothing, since they are pure.
///
/// # Errors
/// [`PipelineError`], after which nothing more reaches history; what arrived stays in intake.
pub async fn run(
    intake: LogReader,
    mut durable: watch::Receiver<u64>,
    mut chains: Arc<Chains>,
    ledger: Ledger,
    mut switches: mpsc::Receiver<Switch>,
    (clock, mut stop): (Clock, watch::Receiver<bool>),
) -> Result<(), PipelineError> {
    let mut cursor = intake.cursor(ledger.state().intake_through());
    let mut under_way: VecDeque<UnderWay> = VecDeque::new();
    loop {
        while under_way.len() < limits::TRANSFORM_BATCHES_MAX {
            let mut block = Block::default();
            if !cursor.next_into(&mut block)? {
                break;
            }
            under_way.push_back(UnderWay {
                first: block.first(),
                work: tokio::spawn(transform(block, chains.clone(), clock.clone())),
            });
        }
        let switch = if let Some(first) = under_way.front_mut() {
            tokio::select! {
                prepared = &mut first.work => {
                    under_way.pop_front();
                    let prepared = prepared.map_err(|error| PipelineError::Broken(error.to_string()))??;
                    if !hand_over(&ledger, prepared).await {
                        return Ok(());
                    }
                    continue;
                }
                Some(switch) = switches.recv() => switch,
            }
        } else {
            if *stop.borrow() {
                return Ok(());
            }
            tokio::select! {
                changed = durable.changed() => {
                    if changed.is_err() {
                        return Ok(());
                    }
                    continue;
                }
                _ = stop.changed() => continue,
                Some(switch) = switches.recv() => switch,
            }
        };
        if let Some(first) = under_way.front() {
            cursor = intake.cursor(first.first);
        }
        under_way.clear();
        ledger.log(Input::Plan(switch.plan)).await;
        chains = switch.chains;
        // Whoever asked may have gone away.
        let _ = switch.done.send(());
    }
}

/// A block of intake in the transforms.
struct UnderWay {
    /// Its first record.
    first: u64,
    work: JoinHandle<Result<Vec<Prepared>, PipelineError>>,
}

impl Drop for UnderWay {
    fn drop(&mut self) {
        self.work.abort();
    }
}

/// Gives the writer blocks that history takes: what came in one block may have grown.
async fn hand_over(ledger: &Ledger, prepared: Vec<Prepared>) -> bool {
    let (mut batch, mut bytes) = (Vec::with_capacity(prepared.len()), 0);
    let mut last = None;
    for one in prepared {
        let (intake, size) = match &one {
            Prepared::Event { intake, json, .. } => (Some(*intake), json.len()),
            Prepared::Other(Input::DeadLetter(letter)) => (letter.intake, letter.bytes.len()),
            Prepared::Other(Input::Position { intake, kv }) => (Some(*intake), kv.value.as_ref().map_or(0, Vec::len)),
            Prepared::Other(input) => (input.intake(), 64),
        };
        // What one record of intake gave stays together: history answers for it whole or not at all.
        if bytes + size > limits::INTAKE_GROUP_BYTES_MAX && last != intake {
            if !ledger.order(Order::Batch(std::mem::take(&mut batch))).await {
                return false;
            }
            bytes = 0;
        }
        (bytes, last) = (bytes + size, intake);
        batch.push(one);
    }
    ledger.order(Order::Batch(batch)).await
}

/// An event on its way through the transforms.
struct Traveller {
    source: Arc<str>,
    intake: u64,
    json: Bytes,
}

/// Runs a block of intake through the transforms.
async fn transform(block: Block, chains: Arc<Chains>, clock: Clock) -> Result<Vec<Prepared>, PipelineError> {
    let mut prepared: Vec<(u64, Vec<Prepared>)> = Vec::with_capacity(block.len());
    let mut travellers: BTreeMap<Arc<str>, Vec<Traveller>> = BTreeMap::new();
    for (position, record) in block.records() {
        if record.kind == TOMBSTONE {
            continue;
        }
        let arrival = Arrival::decode(record.kind, record.bytes)
            .map_err(|unreadable| PipelineError::Unreadable { position, unreadable })?;
        match arrival {
            Arrival::Event { source, named, json } => {
                let source = travellers.get_key_value(source).map_or_else(|| source.into(), |(known, _)| known.clone());
                let json = match named {
                    Named::BySender => Bytes::copy_from_slice(json),
                    Named::ByPlace => name_by_place(&source, position, json).into(),
                };
                travellers.entry(source.clone()).or_default().push(Traveller { source, intake: position, json });
            }
            Arrival::Refused { source, code, message, coming, bytes } => {
                let (stage, code, message) = (source.to_owned(), code.to_owned(), message.to_owned());
                let (source, intake, bytes) = (Some(stage.clone()), Some(position), bytes.to_vec());
                // Older versions noted nothing, and what cannot be read is worth no more.
                let Coming { at, carrier } = serde_json::from_str(coming).unwrap_or_default();
                let letter = DeadLetter { stage, code, message, source, intake, at, carrier, bytes };
                prepared.push((position, vec![Prepared::Other(Input::DeadLetter(letter))]));
            }
            Arrival::Position { source, key, value } => {
                let value = Some(value.to_vec()).filter(|value| !value.is_empty());
                let kv = Kv { stage: positions_of(source), key: key.to_owned(), value };
                prepared.push((position, vec![Prepared::Other(Input::Position { intake: position, kv })]));
            }
        }
    }
    for (source, travellers) in travellers {
        let steps = chains.get(&*source).map_or(&[][..], Vec::as_slice);
        prepared.extend(travel(steps, travellers, &clock).await?);
    }
    prepared.sort_by_key(|(position, _)| *position);
    Ok(prepared.into_iter().flat_map(|(_, prepared)| prepared).collect())
}

/// Takes the events of one source through its transforms. For each record of intake, what it comes to.
async fn travel(
    steps: &[Step],
    mut travellers: Vec<Traveller>,
    clock: &Clock,
) -> Result<Vec<(u64, Vec<Prepared>)>, PipelineError> {
    let mut arrived: BTreeMap<u64, Vec<Prepared>> = BTreeMap::new();
    for step in steps {
        let records: Vec<Bytes> = travellers.iter().map(|one| one.json.clone()).collect();
        let mut outcomes = Vec::with_capacity(records.len());
        for batch in batches(&records, step.transform.limits()) {
            outcomes.extend(apply(step, batch).await);
        }
        let mut onwards = Vec::with_capacity(travellers.len());
        for (traveller, outcome) in travellers.into_iter().zip(outcomes) {
            match outcome {
                Outcome::Keep => onwards.push(traveller),
                Outcome::Replace(json) => onwards.push(Traveller { json, ..traveller }),
                Outcome::Split(parts) if parts.is_empty() => drop_on_purpose(&step.name, traveller.intake, &mut arrived),
                Outcome::Split(parts) => onwards.extend(parts.into_iter().map(|json| Traveller {
                    source: traveller.source.clone(),
                    intake: traveller.intake,
                    json,
                })),
                Outcome::Drop => drop_on_purpose(&step.name, traveller.intake, &mut arrived),
                Outcome::Reject(rejection) => match step.on_error {
                    OnError::Pass => onwards.push(traveller),
                    OnError::Stop => {
                        let (stage, position, message) = (step.name.to_string(), traveller.intake, rejection.message);
                        return Err(PipelineError::Stopped { stage, position, message });
                    }
                    OnError::DeadLetter => {
                        let letter = dead_letter(&step.name, (rejection.code, rejection.message), &traveller, clock.now());
                        arrived.entry(traveller.intake).or_default().push(letter);
                    }
                },
            }
        }
        travellers = onwards;
    }
    let last = steps.last().map(|step| step.name.clone());
    let mut of_record: (u64, usize) = (u64::MAX, 0);
    for traveller in travellers {
        of_record = if of_record.0 == traveller.intake { (of_record.0, of_record.1 + 1) } else { (traveller.intake, 0) };
        let entry = arrived.entry(traveller.intake).or_default();
        entry.push(finish(traveller, of_record.1, last.as_deref(), clock));
    }
    Ok(arrived.into_iter().collect())
}

fn drop_on_purpose(stage: &str, intake: u64, arrived: &mut BTreeMap<u64, Vec<Prepared>>) {
    let passed = Input::Passed { intake, reason: Passed::Dropped { stage: stage.to_owned() } };
    arrived.entry(intake).or_default().push(Prepared::Other(passed));
}

/// Records in batches that a transform takes.
fn batches<'a>(records: &'a [Bytes], limits: &weft_host::Limits) -> Vec<&'a [Bytes]> {
    let (mut batches, mut start, mut bytes) = (Vec::new(), 0, 0);
    for (place, record) in records.iter().enumerate() {
        let full = place - start >= limits.batch_records as usize || bytes + record.len() as u64 > limits.batch_bytes;
        if full && place > start {
            batches.push(&records[start..place]);
            (start, bytes) = (place, 0);
        }
        bytes += record.len() as u64;
    }
    batches.push(&records[start..]);
    batches
}

/// Asks a transform until it answers: while its plugin is quarantined or unavailable, intake waits here and nothing is lost.
async fn apply(step: &Step, records: &[Bytes]) -> Vec<Outcome> {
    if records.is_empty() {
        return Vec::new();
    }
    let mut wait = Duration::from_millis(100);
    loop {
        match step.transform.apply(records).await {
            Ok(outcomes) => return outcomes,
            Err(fault) => {
                tracing::warn!(stage = &*step.name, code = fault.code(), error = %fault, "transform does not answer");
                if let weft_host::Retry::Never = fault.retry() {
                    return vec![rejected(&fault); records.len()];
                }
            }
        }
        tokio::time::sleep(wait).await;
        wait = (wait * 2).min(Duration::from_secs(10));
    }
}

fn rejected(fault: &Fault) -> Outcome {
    Outcome::Reject(weft_host::Rejection { code: fault.code().to_owned(), message: fault.to_string() })
}

/// An event at its journey's end: read, and fit for history, or a dead letter. Of several parts of one record, those after the
/// first get a message id of their own.
fn finish(traveller: Traveller, part: usize, stage: Option<&str>, clock: &Clock) -> Prepared {
    let mut event = match Event::parse(&traveller.json) {
        Ok(event) => event,
        Err(message) => {
            let stage = stage.unwrap_or(&traveller.source).to_owned();
            return dead_letter(&stage, ("invalid_event".into(), message), &traveller, clock.now());
        }
    };
    let Traveller { source, intake, mut json } = traveller;
    if part > 0 || event.message_id.is_none() {
        let id = event.message_id.get_or_insert_with(|| format!("{source}-{intake}"));
        if part > 0 {
            id.push_str(&format!("/{part}"));
        }
        json = event.to_json().into();
    }
    Prepared::Event { source, intake, event: Box::new(event), json }
}

fn dead_letter(stage: &str, (code, message): (String, String), traveller: &Traveller, now: Timestamp) -> Prepared {
    let (stage, source, bytes) = (stage.to_owned(), Some(traveller.source.to_string()), traveller.json.to_vec());
    let (intake, at) = (Some(traveller.intake), Some(now));
    Prepared::Other(Input::DeadLetter(DeadLetter { stage, code, message, source, intake, at, carrier: None, bytes }))
}
