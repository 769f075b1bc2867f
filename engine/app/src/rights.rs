//! Requests of people about what is known of them, in the form of OpenDSR (formerly OpenGDPR): taken, followed, answered and told.
//!
//! ```text
//! request ─► erasure: [`crate::erasure`]                ─┐
//!         └► access, portability: a copy, to be fetched ─┴► status ─► callbacks
//! ```
//!
//! What is kept of a request names nobody: its id, its times, whom to tell, and a keyed hash of its body, by which it is known when it is sent
//! again. Who is meant stands in the file of the erasure, or of the copy that is wanted, until that is done. Every answer and every callback is
//! signed (`rights/answer.rs`). What a request must say is in `rights/request.rs`, how it is told in `rights/callbacks.rs`, and how those see all of
//! them who work on them in `rights/list.rs`.
//!
//! The framework: <https://github.com/opengdpr/OpenDSR>; sections are those of its specification.

mod answer;
mod callbacks;
mod list;
mod request;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use bytes::Bytes;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;
use tokio::sync::{Mutex, Notify, mpsc, watch};
use tokio::task::JoinSet;
use weft_domain::input::Kv;
use weft_domain::value::Timestamp;
use weft_domain::view::ViewError;

use crate::access::{self, Unknown};
use crate::clock::Clock;
use crate::config::OpenDsr;
use crate::copies::Copies;
use crate::erasure::{self, EraseError, Eraser, Progress};
use crate::events::Who;
use crate::limits;
use crate::suppression::Print;
use crate::telemetry::{Metrics, Right};
use crate::writer::Ledger;

pub use answer::{Cancellation, Discovery, Receipt, Refusal, Refused, Shown, SupportedIdentity, VERSION, signature};
pub use list::{Asked, Kept, Known, List, Place};

use answer::Told;
use callbacks::{Calls, Key};
use request::Request;

/// How far a request is, in the words of OpenDSR (section 8): those of an erasure.
pub use crate::erasure::Progress as Status;

/// The stage under whose name requests are kept, by their ids. It has a slash, so no plugin reaches it.
const STAGE: &str = "rights/requests";

/// What somebody may want (section 6.2).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// To know what is known.
    Access,
    /// To have it gone.
    Erasure,
    /// To have it in a form that others read: here, the same as access.
    Portability,
}

impl Kind {
    const ALL: [Kind; 3] = [Kind::Access, Kind::Erasure, Kind::Portability];

    /// As it is written.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Kind::Access => "access",
            Kind::Erasure => "erasure",
            Kind::Portability => "portability",
        }
    }
}

/// What is kept of a request.
#[derive(Clone, Debug, Serialize, Deserialize)]
struct Record {
    id: String,
    kind: Kind,
    regulation: String,
    #[serde(default)]
    group: Option<String>,
    /// The keyed hash of the body.
    body: String,
    submitted: Timestamp,
    received: Timestamp,
    expected: Timestamp,
    /// What became of it, first that it was taken.
    changes: Vec<Change>,
    callbacks: Vec<Callback>,
    #[serde(default)]
    result: Option<Outcome>,
}

/// What became of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[schemars(rename = "RightsChange")]
pub struct Change {
    /// How far it was then.
    pub status: Status,
    /// When.
    pub at: Timestamp,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
struct Callback {
    url: String,
    /// How many of the changes were told there, or given up.
    told: usize,
}

/// A copy that can be fetched.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
struct Outcome {
    lines: u64,
    until: Timestamp,
    /// Whether it was taken away.
    is_gone: bool,
}

impl Record {
    fn status(&self) -> Status {
        self.changes.last().map_or(Status::Pending, |change| change.status)
    }

    fn is_open(&self) -> bool {
        matches!(self.status(), Status::Pending | Status::InProgress)
    }

    fn is_told(&self) -> bool {
        self.callbacks.iter().all(|callback| callback.told >= self.changes.len())
    }
}

/// Takes requests, and follows them until all who want to have heard.
pub struct Desk {
    eraser: Arc<Eraser>,
    ledger: Ledger,
    copies: Arc<Copies>,
    clock: Clock,
    metrics: Arc<Metrics>,
    terms: watch::Receiver<Option<Arc<OpenDsr>>>,
    records: Mutex<BTreeMap<String, Record>>,
    asked: Notify,
}

impl Desk {
    /// With the requests that state knows. What is left of those that it does not know is taken away: nobody was told that they were taken.
    ///
    /// # Errors
    /// [`EraseError`], where state or the folder of the copies cannot be read.
    pub fn new(
        eraser: Arc<Eraser>,
        ledger: Ledger,
        copies: Arc<Copies>,
        clock: Clock,
        metrics: Arc<Metrics>,
        terms: watch::Receiver<Option<Arc<OpenDsr>>>,
    ) -> Result<Desk, EraseError> {
        let values = ledger.state().values(STAGE)?;
        let read = |value: &weft_store::rows::Value| serde_json::from_slice::<Record>(&value.0).ok();
        let records: BTreeMap<String, Record> =
            values.values().filter_map(|value| read(value)).map(|record| (record.id.clone(), record)).collect();
        let failed = |error| EraseError::File { path: copies.folder().to_owned(), error };
        for id in copies.ids().map_err(failed)? {
            if !records.get(&id).is_some_and(|record| record.is_open() || record.result.is_some_and(|result| !result.is_gone)) {
                copies.remove(&id).map_err(failed)?;
            }
        }
        Ok(Desk { eraser, ledger, copies, clock, metrics, terms, records: Mutex::new(records), asked: Notify::new() })
    }

    /// How requests are taken now.
    ///
    /// # Errors
    /// [`Refusal`], where they are not.
    pub fn terms(&self) -> Result<Arc<OpenDsr>, Refusal> {
        self.terms
            .borrow()
            .clone()
            .ok_or_else(|| Refusal::new(404, "this workspace takes no such requests: it has no `rights.opendsr`"))
    }

    /// Takes a request. When this returns it will be fulfilled, whatever happens to the process. Sent again it is the same request.
    ///
    /// # Errors
    /// [`Refusal`]; then it was not taken.
    pub async fn submit(&self, body: &[u8]) -> Result<Receipt, Refusal> {
        let terms = self.terms()?;
        if body.len() > limits::RIGHTS_REQUEST_BYTES_MAX {
            return Err(Refusal::new(400, format!("the request has more than {} bytes", limits::RIGHTS_REQUEST_BYTES_MAX)));
        }
        let request = Request::read(body, &terms).map_err(|details| {
            let message = details.iter().map(|one| one.message()).collect::<Vec<_>>().join("; ");
            Refusal { code: 400, message, details }
        })?;
        let print = self.print("opendsr/body", &hex(&Sha256::digest(body)))?.text();
        let mut records = self.records.lock().await;
        if let Some(known) = records.get(&request.id) {
            if known.body != print {
                return Err(Refusal::new(409, "another request has this `subject_request_id`"));
            }
            return Ok(receipt(known, body, &terms));
        }
        self.make_room(&mut records).await?;
        let record = self.begin(request, print, &terms).await?;
        self.keep(&record).await?;
        let receipt = receipt(&record, body, &terms);
        self.count(&record);
        records.insert(record.id.clone(), record);
        self.asked.notify_one();
        Ok(receipt)
    }

    /// Has it done, and says what is kept of it.
    async fn begin(&self, request: Request, body: String, terms: &OpenDsr) -> Result<Record, Refusal> {
        let Request { id, kind, regulation, group, submitted, whom, callbacks, skips_wait } = request;
        let whom: Vec<Who> = whom.into_iter().map(|(kind, value)| Who::Identifier(kind, value)).collect();
        let received = self.clock.now();
        if kind == Kind::Erasure {
            let waits = (terms.erasure_wait.as_ms() > 0 && !skips_wait).then(|| after(received, terms.erasure_wait.as_ms()));
            let reason = format!("OpenDSR, {regulation}");
            self.eraser.ask_as(id.clone(), &whom, reason, waits).await.map_err(|error| unable(&error))?;
        } else {
            self.copies.want(&id, &whom).map_err(|error| unable(&error))?;
        }
        Ok(Record {
            id,
            kind,
            regulation,
            group,
            body,
            submitted,
            received,
            expected: after(received, terms.complete_within.as_ms()),
            changes: vec![Change { status: Status::Pending, at: received }],
            callbacks: callbacks.into_iter().map(|url| Callback { url, told: 0 }).collect(),
            result: None,
        })
    }

    /// Lets go of the oldest request that has come to an end and was told, where there are too many.
    async fn make_room(&self, records: &mut BTreeMap<String, Record>) -> Result<(), Refusal> {
        if records.len() < limits::RIGHTS_REMEMBERED_MAX {
            return Ok(());
        }
        let is_done =
            |record: &&Record| !record.is_open() && record.is_told() && record.result.is_none_or(|result| result.is_gone);
        let oldest = records.values().filter(is_done).min_by_key(|record| record.received).map(|record| record.id.clone());
        let Some(oldest) = oldest else { return Err(Refusal::new(503, "too many requests are open")) };
        self.put(&oldest, None).await?;
        records.remove(&oldest);
        Ok(())
    }

    /// How far a request is.
    ///
    /// # Errors
    /// [`Refusal`], where there is none.
    pub async fn status(&self, id: &str) -> Result<Shown, Refusal> {
        let terms = self.terms()?;
        let records = self.records.lock().await;
        let record = records.get(id).ok_or_else(no_such)?;
        Ok(self.shown(record, record.changes.len(), &terms))
    }

    /// How far the requests of a group are.
    ///
    /// # Errors
    /// [`Refusal`], where no requests are taken.
    pub async fn group(&self, group: &str) -> Result<Vec<Shown>, Refusal> {
        let terms = self.terms()?;
        let records = self.records.lock().await;
        let of_group = records.values().filter(|record| record.group.as_deref() == Some(group));
        Ok(of_group.map(|record| self.shown(record, record.changes.len(), &terms)).collect())
    }

    /// Calls a request off that has not begun.
    ///
    /// # Errors
    /// [`Refusal`], where it has begun, or there is none.
    pub async fn cancel(&self, id: &str) -> Result<Cancellation, Refusal> {
        let terms = self.terms()?;
        let mut records = self.records.lock().await;
        let record = records.get_mut(id).ok_or_else(no_such)?;
        let received_time = self.clock.now();
        if record.status() != Status::Cancelled {
            let has_begun = || Refusal::new(400, "the request has begun: only one that is pending can be cancelled");
            if record.status() != Status::Pending {
                return Err(has_begun());
            }
            if record.kind == Kind::Erasure {
                self.eraser.cancel(id).await.map_err(|error| unable(&error))?.ok_or_else(has_begun)?;
            }
            let mut next = record.clone();
            next.changes.push(Change { status: Status::Cancelled, at: received_time });
            self.keep(&next).await?;
            if record.kind != Kind::Erasure {
                // What is left of it is taken away at the next start at the latest.
                self.copies.remove(id).map_err(|error| unable(&error))?;
            }
            self.count(&next);
            *record = next;
            self.asked.notify_one();
        }
        let (controller_id, subject_request_id) = (terms.controller.clone(), id.to_owned());
        Ok(Cancellation {
            controller_id,
            expected_completion_time: None,
            received_time,
            subject_request_id,
            api_version: VERSION.into(),
        })
    }

    /// What is supported.
    ///
    /// # Errors
    /// [`Refusal`], where no requests are taken.
    pub fn discovery(&self) -> Result<Discovery, Refusal> {
        let terms = self.terms()?;
        let raw = |kind: &String| SupportedIdentity { identity_type: kind.clone(), identity_format: "raw".into() };
        Ok(Discovery {
            api_version: VERSION.into(),
            supported_identities: terms.identities.keys().map(raw).collect(),
            supported_subject_request_types: Kind::ALL.to_vec(),
            processor_certificate: format!("https://{}/opendsr/v3/certificate", terms.domain),
        })
    }

    /// The copy of a request, by its id and what nobody can guess.
    ///
    /// # Errors
    /// [`Refusal`], where there is none, or none any more.
    pub async fn result(&self, id: &str, secret: &str) -> Result<mpsc::Receiver<Bytes>, Refusal> {
        let records = self.records.lock().await;
        let result = records.get(id).and_then(|record| record.result);
        let is_theirs = bool::from(self.secret(id)?.as_bytes().ct_eq(secret.as_bytes()));
        let Some(result) = result.filter(|_| is_theirs) else { return Err(Refusal::new(404, "there is no such result")) };
        let gone = || Refusal::new(410, "the result is not kept any more: send the request again under another id");
        if result.is_gone || result.until <= self.clock.now() {
            return Err(gone());
        }
        self.copies.open(id).map_err(|error| unable(&error))?.ok_or_else(gone)
    }

    /// What is told of a request after so many changes.
    fn shown(&self, record: &Record, changes: usize, terms: &OpenDsr) -> Shown {
        let status = record.changes[..changes].last().map_or(Status::Pending, |change| change.status);
        let result =
            record.result.filter(|result| status == Status::Completed && !result.is_gone && result.until > self.clock.now());
        let secret = result.and_then(|_| self.secret(&record.id).ok());
        Shown {
            controller_id: terms.controller.clone(),
            expected_completion_time: (status != Status::Cancelled).then_some(record.expected),
            subject_request_id: record.id.clone(),
            group_id: record.group.clone(),
            request_status: status,
            api_version: VERSION.into(),
            results_url: secret.map(|secret| format!("https://{}/opendsr/v3/results/{}/{secret}", terms.domain, record.id)),
            results_count: result.map(|result| result.lines),
            extensions: None,
        }
    }

    /// What of the address of a result nobody can guess: it follows from the key of the data folder, and is written down nowhere.
    fn secret(&self, id: &str) -> Result<String, Refusal> {
        Ok(self.print("opendsr/result", id)?.text())
    }

    fn print(&self, kind: &str, value: &str) -> Result<Print, Refusal> {
        self.ledger.suppression().print(kind, value).map_err(|error| unable(&error))
    }

    async fn keep(&self, record: &Record) -> Result<(), Refusal> {
        self.put(&record.id, Some(serde_json::to_vec(record).expect("a record has string keys"))).await
    }

    async fn put(&self, id: &str, value: Option<Vec<u8>>) -> Result<(), Refusal> {
        let kv = Kv { stage: STAGE.to_owned(), key: id.to_owned(), value };
        // What the engine keeps itself is never full.
        self.ledger.keep(kv).await.map(drop).ok_or_else(|| Refusal::new(503, "the engine stops"))
    }

    fn count(&self, record: &Record) {
        let right = Right { kind: record.kind.name().into(), status: record.status().name().into() };
        self.metrics.rights_requests.get_or_create(&right).inc();
    }

    /// Works until it is told to stop; what is not done then is done after the next start.
    pub async fn run(self: Arc<Self>, mut stop: watch::Receiver<bool>) {
        let (mut calls, mut exports) = (Calls::default(), JoinSet::new());
        loop {
            if let Err(refusal) = self.round(&mut calls, &mut exports).await {
                tracing::warn!(error = refusal.message, "requests of people cannot be followed; it is tried again");
            }
            tokio::select! {
                () = self.asked.notified() => (),
                (key, heard) = calls.back() => {
                    if let Err(refusal) = self.called(&mut calls, key, heard).await {
                        tracing::warn!(error = refusal.message, "a callback is made again");
                    }
                }
                Some(_) = exports.join_next() => (),
                () = tokio::time::sleep(limits::RIGHTS_LOOK_EVERY) => (),
                () = async { drop(stop.wait_for(|stop| *stop).await) } => return,
            }
        }
    }

    async fn round(self: &Arc<Self>, calls: &mut Calls, exports: &mut JoinSet<()>) -> Result<(), Refusal> {
        self.follow_erasures().await?;
        self.let_go_of_results().await?;
        if exports.is_empty()
            && let Some(id) = self.next_export().await
        {
            let desk = self.clone();
            exports.spawn(async move {
                if let Err(refusal) = desk.export(&id).await {
                    tracing::warn!(
                        request = id,
                        error = refusal.message,
                        "what is known of somebody cannot be written down; it is tried again"
                    );
                    tokio::time::sleep(limits::RETENTION_EVERY).await;
                }
            });
        }
        self.call(calls).await;
        Ok(())
    }

    /// Notes how far the erasures are.
    async fn follow_erasures(&self) -> Result<(), Refusal> {
        let mut records = self.records.lock().await;
        for record in records.values_mut().filter(|record| record.kind == Kind::Erasure && record.is_open()) {
            let found = erasure::find(&self.ledger, &record.id).map_err(|error| unable(&error))?;
            let Some(progress) = found.map(|erasure| erasure.status) else { continue };
            let new: &[Status] = match (record.status(), progress) {
                (Status::Pending, Progress::InProgress) => &[Status::InProgress],
                (Status::Pending, Progress::Completed) => &[Status::InProgress, Status::Completed],
                (_, Progress::Completed) => &[Status::Completed],
                (_, Progress::Cancelled) => &[Status::Cancelled],
                _ => continue,
            };
            for status in new {
                *record = self.changed(record, *status, |_| ()).await?;
            }
        }
        Ok(())
    }

    /// The record after a change, once that is durable.
    async fn changed(&self, record: &Record, status: Status, more: impl FnOnce(&mut Record)) -> Result<Record, Refusal> {
        let mut next = record.clone();
        next.changes.push(Change { status, at: self.clock.now() });
        more(&mut next);
        self.keep(&next).await?;
        self.count(&next);
        Ok(next)
    }

    async fn let_go_of_results(&self) -> Result<(), Refusal> {
        let (now, mut records) = (self.clock.now(), self.records.lock().await);
        let is_due = |record: &&mut Record| record.result.is_some_and(|result| !result.is_gone && result.until <= now);
        for record in records.values_mut().filter(is_due) {
            self.copies.remove(&record.id).map_err(|error| unable(&error))?;
            let mut next = record.clone();
            next.result.iter_mut().for_each(|result| result.is_gone = true);
            self.keep(&next).await?;
            *record = next;
        }
        Ok(())
    }

    async fn next_export(&self) -> Option<String> {
        let records = self.records.lock().await;
        let waiting = records.values().filter(|record| record.kind != Kind::Erasure && record.is_open());
        waiting.min_by_key(|record| record.received).map(|record| record.id.clone())
    }

    /// Writes down what is known of somebody.
    async fn export(&self, id: &str) -> Result<(), Refusal> {
        {
            let mut records = self.records.lock().await;
            let Some(record) = records.get_mut(id).filter(|record| record.is_open()) else { return Ok(()) };
            if record.status() == Status::Pending {
                *record = self.changed(record, Status::InProgress, |_| ()).await?;
            }
        }
        let Some(whom) = self.copies.wanted(id).map_err(|error| unable(&error))? else {
            tracing::error!(request = id, "the file of who is meant by a request is not there any more: it is cancelled");
            return self.end(id, Status::Cancelled, None).await;
        };
        let writing = self.copies.writing().await;
        self.ledger.commit().await;
        let (ledger, state, copies) = (self.ledger.clone(), self.eraser.state().clone(), self.copies.clone());
        let (now, name) = (self.clock.now(), id.to_owned());
        let write = move || {
            let known = access::open(whom, Unknown::IsEmpty, now, ledger.clone(), &*state).map_err(|error| unable(&error))?;
            let known = known.ok_or_else(|| unable(&ViewError("nobody is no answer".into())))?;
            let print = |(kind, value): &(String, String)| ledger.suppression().print(kind, value);
            let about =
                known.identifiers.iter().map(print).collect::<Result<BTreeSet<_>, _>>().map_err(|error| unable(&error))?;
            copies.write(&name, &about, known.lines).map_err(|error| unable(&error))
        };
        let written = tokio::task::spawn_blocking(write).await.map_err(|panic| unable(&panic))??;
        drop(writing);
        let kept_ms = self.terms.borrow().as_ref().map_or(limits::RESULTS_KEPT_MS, |terms| terms.results_kept.as_ms());
        let until = after(self.clock.now(), kept_ms);
        self.end(id, Status::Completed, Some(Outcome { lines: written.lines, until, is_gone: false })).await
    }

    async fn end(&self, id: &str, status: Status, result: Option<Outcome>) -> Result<(), Refusal> {
        let mut records = self.records.lock().await;
        let Some(record) = records.get_mut(id) else { return Ok(()) };
        *record = self.changed(record, status, |record| record.result = result).await?;
        self.asked.notify_one();
        self.copies.no_longer_wanted(id).map_err(|error| unable(&error))
    }

    /// Calls all whom there is something to tell, as many as may be called at once.
    async fn call(&self, calls: &mut Calls) {
        // Without a key nothing can be signed: it waits.
        let Ok(terms) = self.terms() else { return };
        let records = self.records.lock().await;
        for record in records.values() {
            for (place, callback) in record.callbacks.iter().enumerate().filter(|(_, one)| one.told < record.changes.len()) {
                let key = (record.id.clone(), place);
                if calls.may_call(&key) {
                    let shown = self.shown(record, callback.told + 1, &terms);
                    let told = Told { shown, status_callback_url: callback.url.clone() };
                    calls.call(key, told, terms.clone(), self.clock.clone());
                }
            }
        }
    }

    /// Notes what came of a call.
    async fn called(&self, calls: &mut Calls, key: Key, heard: Result<(), String>) -> Result<(), Refusal> {
        let mut records = self.records.lock().await;
        let Some(record) = records.get_mut(&key.0) else { return Ok(()) };
        let since = record.changes.get(record.callbacks[key.1].told).map_or(record.received, |change| change.at);
        let outcome = match heard {
            Ok(()) => "ok",
            Err(error) if after(since, limits::CALLBACK_PATIENCE_MS) <= self.clock.now() => {
                // The address may say who is meant, so it is not told here.
                tracing::warn!(request = key.0, callback = key.1, error, "a callback is given up: it could not be told for days");
                "given_up"
            }
            Err(error) => {
                tracing::debug!(request = key.0, callback = key.1, error, "a callback is made again later");
                self.metrics
                    .rights_callbacks
                    .get_or_create(&Right { kind: record.kind.name().into(), status: "failed".into() })
                    .inc();
                return Ok(());
            }
        };
        let mut next = record.clone();
        next.callbacks[key.1].told += 1;
        self.keep(&next).await?;
        calls.give_up(&key);
        self.metrics.rights_callbacks.get_or_create(&Right { kind: record.kind.name().into(), status: outcome.into() }).inc();
        *record = next;
        Ok(())
    }
}

fn receipt(record: &Record, body: &[u8], terms: &OpenDsr) -> Receipt {
    Receipt {
        controller_id: terms.controller.clone(),
        expected_completion_time: record.expected,
        received_time: record.received,
        encoded_request: BASE64_STANDARD.encode(body),
        subject_request_id: record.id.clone(),
        group_id: record.group.clone(),
    }
}

fn no_such() -> Refusal {
    Refusal::new(404, "there is no such request")
}

/// The engine is not able to, for now.
fn unable(error: &dyn std::fmt::Display) -> Refusal {
    Refusal::new(503, error.to_string())
}

fn after(at: Timestamp, ms: u64) -> Timestamp {
    Timestamp(at.0.saturating_add_unsigned(ms))
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
