//! The one writer: it puts inputs into history, folds them, and commits state now and then.
//!
//! ```text
//! orders ─► append to history ─► fold in memory ─► sync history ─► wake the lanes
//!                                      └──► once a second: freeze what changed ─► another thread writes it to sled
//! ```
//!
//! History is synced before a commit covers it and before a lane sees it (invariants 2 and 4), so nothing that was caused by an
//! input leaves the machine before the input is durable. A failed write ends the writer: the log is poisoned, the process is told,
//! and what is on disk is what the next start begins with. It never calls a plugin and never touches the network.

use std::collections::HashSet;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, TrySendError, sync_channel};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use tokio::sync::{oneshot, watch};
use weft_domain::claim::fingerprint;
use weft_domain::event::Event;
use weft_domain::fold::fold;
use weft_domain::input::{DeadLetter, Input, Kv, Passed, encode_event, kind_of_event};
use weft_domain::value::Timestamp;
use weft_domain::view::View;
use weft_store::StoreError;
use weft_store::log::{Draft, Log, LogReader, Record};
use weft_store::overlay::{Committed, Frozen, Overlay};
use weft_store::state::StateStore;

use crate::clock::Clock;
use crate::limits;
use crate::suppression::Suppression;
use crate::telemetry::Metrics;

/// Something for the writer to do.
pub enum Order {
    /// What the transforms made of records of intake, in the order of intake.
    Batch(Vec<Prepared>),
    /// Another input; the answer, where one is wanted, comes when it is durable and folded, or refused.
    Input(Box<Input>, Option<Answer>),
    /// Let go of segments of history wholly below a record.
    Trim(u64),
    /// Seal the segment of history being written, so that it can be written anew.
    Rotate(oneshot::Sender<()>),
    /// Give a segment of history that was written anew its place.
    Adopt(Box<Draft>, oneshot::Sender<Result<(), StoreError>>),
    /// Commit everything now, and say so.
    Commit(oneshot::Sender<()>),
    /// Finish what is in the queue, commit, and end.
    Stop,
}

/// Where an input's place in history is told, or that it was refused before it got one.
pub type Answer = oneshot::Sender<Result<u64, Full>>;

/// The small store of a stage has all the keys that it may have.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the stage keeps {} keys, and no more are allowed: delete those that are not needed", limits::KV_KEYS_MAX)]
pub struct Full;

/// What became of a record of intake on its way to history.
#[allow(clippy::large_enum_variant, reason = "nearly all are events, and a batch of them is short-lived")]
pub enum Prepared {
    /// An event, with the bytes that history keeps.
    Event {
        /// The source stage.
        source: Arc<str>,
        /// Its place in the intake log.
        intake: u64,
        /// The event.
        event: Box<Event>,
        /// The event as JSON.
        json: bytes::Bytes,
    },
    /// Anything else that answers for a record of intake.
    Other(Input),
}

/// Why the writer ended before it was told to.
#[derive(Debug, thiserror::Error)]
pub enum WriterError {
    /// The disk or the logs failed.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// A row of state could not be read.
    #[error(transparent)]
    View(#[from] weft_domain::view::ViewError),
    /// History holds a record that this version cannot read.
    #[error("history, record {position}: {unreadable}")]
    Unreadable {
        /// Its place.
        position: u64,
        /// What is wrong.
        unreadable: weft_domain::input::Unreadable,
    },
}

/// What everybody else sees of the writer.
#[derive(Clone)]
pub struct Ledger {
    orders: SyncSender<Order>,
    state: Arc<Mutex<Overlay>>,
    history: LogReader,
    durable: watch::Receiver<u64>,
    intake_through: Arc<AtomicU64>,
    suppression: Arc<Suppression>,
}

impl Ledger {
    /// Hands an order over. Waits while the queue is full: this is the back-pressure. False where the writer has ended.
    pub fn send(&self, order: Order) -> bool {
        self.orders.send(order).is_ok()
    }

    /// The same from asynchronous code.
    pub async fn order(&self, mut order: Order) -> bool {
        loop {
            match self.orders.try_send(order) {
                Ok(()) => return true,
                Err(TrySendError::Disconnected(_)) => return false,
                Err(TrySendError::Full(back)) => order = back,
            }
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    }

    /// Logs an input and waits until it is durable and folded. Its place in history; none where the writer has ended.
    pub async fn log(&self, input: Input) -> Option<u64> {
        self.logged(input).await?.ok()
    }

    /// Puts a value into a stage's small store, or takes one away, and waits until that is durable. None where the writer has ended.
    pub async fn keep(&self, kv: Kv) -> Option<Result<(), Full>> {
        self.logged(Input::Kv(kv)).await.map(|logged| logged.map(drop))
    }

    async fn logged(&self, input: Input) -> Option<Result<u64, Full>> {
        let (answer, answered) = oneshot::channel();
        self.order(Order::Input(Box::new(input), Some(answer))).await;
        answered.await.ok()
    }

    /// Commits everything now.
    pub async fn commit(&self) {
        let (answer, answered) = oneshot::channel();
        if self.order(Order::Commit(answer)).await {
            let _ = answered.await;
        }
    }

    /// Seals the segment of history being written. False where the writer has ended.
    pub async fn rotate(&self) -> bool {
        let (done, rotated) = oneshot::channel();
        self.order(Order::Rotate(done)).await && rotated.await.is_ok()
    }

    /// Gives a segment of history that was written anew its place. None where the writer has ended.
    pub async fn adopt(&self, draft: Draft) -> Option<Result<(), StoreError>> {
        let (done, adopted) = oneshot::channel();
        if self.order(Order::Adopt(Box::new(draft), done)).await { adopted.await.ok() } else { None }
    }

    /// Whose events are not taken.
    #[must_use]
    pub fn suppression(&self) -> &Arc<Suppression> {
        &self.suppression
    }

    /// State, as far as it has been folded. Hold it shortly: the writer waits.
    pub fn state(&self) -> MutexGuard<'_, Overlay> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The record of intake before which all have been folded. Never waits for the writer.
    #[must_use]
    pub fn intake_through(&self) -> u64 {
        self.intake_through.load(Ordering::Acquire)
    }

    /// History.
    #[must_use]
    pub fn history(&self) -> &LogReader {
        &self.history
    }

    /// The place in history before which all is durable; wakes those who wait for it to move.
    #[must_use]
    pub fn durable(&self) -> watch::Receiver<u64> {
        self.durable.clone()
    }
}

/// The writer's thread.
pub struct Writer {
    thread: JoinHandle<Result<(), WriterError>>,
    ledger: Ledger,
}

impl Writer {
    /// Starts it over a history whose records before `state.position()` are folded already.
    #[must_use]
    pub fn start(
        history: Log,
        overlay: Overlay,
        base: Arc<dyn StateStore>,
        clock: Clock,
        metrics: Arc<Metrics>,
        suppression: Arc<Suppression>,
    ) -> Writer {
        metrics.counted(&overlay.totals());
        let (orders, inbox) = sync_channel(limits::WRITER_ORDERS_MAX);
        let (durable, durable_seen) = watch::channel(history.durable_end());
        let state = Arc::new(Mutex::new(overlay));
        let intake_through = Arc::new(AtomicU64::new(state.lock().unwrap_or_else(PoisonError::into_inner).intake_through()));
        let (reader, seen) = (history.reader(), intake_through.clone());
        let ledger = Ledger {
            orders,
            state: state.clone(),
            history: reader,
            durable: durable_seen,
            intake_through: seen,
            suppression: suppression.clone(),
        };
        let desk = Desk {
            history,
            state,
            clock,
            metrics,
            durable,
            committer: Committer::start(base),
            answers: Vec::new(),
            commits: Vec::new(),
            payload: Vec::new(),
            unsynced_since: None,
            committed_at: Instant::now(),
            clean: true,
            intake_through,
            suppression,
        };
        let thread = std::thread::Builder::new().name("writer".into()).spawn(move || desk.work(&inbox));
        Writer { thread: thread.expect("the system has room for a thread at the start"), ledger }
    }

    /// What everybody else sees of it.
    #[must_use]
    pub fn ledger(&self) -> &Ledger {
        &self.ledger
    }

    /// Whether it has ended.
    #[must_use]
    pub fn is_finished(&self) -> bool {
        self.thread.is_finished()
    }

    /// Finishes what is in the queue, commits, and ends.
    ///
    /// # Errors
    /// What made the writer end, now or before.
    pub fn stop(self) -> Result<(), WriterError> {
        self.ledger.send(Order::Stop);
        self.thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
    }
}

/// The writer at work.
struct Desk {
    history: Log,
    state: Arc<Mutex<Overlay>>,
    clock: Clock,
    metrics: Arc<Metrics>,
    durable: watch::Sender<u64>,
    committer: Committer,
    answers: Vec<(Answer, u64)>,
    commits: Vec<oneshot::Sender<()>>,
    payload: Vec<u8>,
    unsynced_since: Option<Instant>,
    committed_at: Instant,
    clean: bool,
    intake_through: Arc<AtomicU64>,
    suppression: Arc<Suppression>,
}

impl Desk {
    fn work(mut self, inbox: &Receiver<Order>) -> Result<(), WriterError> {
        loop {
            let mut stopping = false;
            match inbox.recv_timeout(self.patience()?) {
                Ok(order) => {
                    stopping = self.obey(order)?;
                    let until = Instant::now() + limits::WRITER_ROUND;
                    while !stopping && Instant::now() < until {
                        match inbox.try_recv() {
                            Ok(order) => stopping = self.obey(order)?,
                            Err(_) => break,
                        }
                    }
                }
                Err(RecvTimeoutError::Timeout) => (),
                Err(RecvTimeoutError::Disconnected) => stopping = true,
            }
            self.tick()?;
            self.sync()?;
            self.settle()?;
            if stopping {
                return self.finish();
            }
            if !self.commits.is_empty() || (!self.clean && self.is_commit_due()) {
                self.commit()?;
            }
        }
    }

    /// How long to wait for the next order: until something else is due.
    fn patience(&self) -> Result<Duration, WriterError> {
        let next = {
            let (state, ever) = (self.lock(), Timestamp(i64::MAX));
            let due = state.due(ever, 1)?.first().map(|(due, _)| *due);
            due.into_iter().chain(state.changing(ever, 1)?.first().map(|(at, _)| *at)).min()
        };
        let timer = next.map_or(limits::WRITER_IDLE, |due| {
            Duration::from_millis(u64::try_from(due.0.saturating_sub(self.clock.now().0)).unwrap_or(0))
        });
        let commit = if self.clean && !self.committer.is_busy() { limits::WRITER_IDLE } else { limits::COMMIT_EVERY / 8 };
        // A virtual clock moves without telling anybody.
        let shortest = if matches!(self.clock, Clock::Wall) { Duration::from_millis(1) } else { Duration::from_micros(200) };
        let longest = if matches!(self.clock, Clock::Wall) { limits::WRITER_IDLE } else { Duration::from_millis(1) };
        Ok(timer.min(commit).clamp(shortest, longest))
    }

    fn obey(&mut self, order: Order) -> Result<bool, WriterError> {
        match order {
            Order::Batch(batch) => self.take_batch(batch)?,
            Order::Input(input, answer) if self.is_full(&input)? => {
                // Nobody may be waiting any more.
                let _ = answer.map(|answer| answer.send(Err(Full)));
            }
            Order::Input(input, answer) => {
                let position = self.take_input(&input)?;
                self.answers.extend(answer.map(|answer| (answer, position)));
            }
            Order::Trim(before) => drop(self.history.trim(before)?),
            Order::Rotate(done) => {
                self.sync()?;
                self.history.rotate()?;
                // Whoever asked may have gone away; so below.
                let _ = done.send(());
            }
            Order::Adopt(draft, done) => match self.history.adopt(*draft) {
                Err(error @ StoreError::Refused(_)) => drop(done.send(Err(error))),
                adopted => {
                    adopted?;
                    let _ = done.send(Ok(()));
                }
            },
            Order::Commit(answer) => self.commits.push(answer),
            Order::Stop => return Ok(true),
        }
        Ok(false)
    }

    /// Puts a batch into history as one block, without its repetitions, and folds it.
    fn take_batch(&mut self, batch: Vec<Prepared>) -> Result<(), WriterError> {
        if batch.is_empty() {
            return Ok(());
        }
        let (inputs, spans) = self.lay_out(batch);
        let records: Vec<Record<'_>> =
            spans.iter().map(|(kind, span)| Record { kind: *kind, bytes: &self.payload[span.clone()] }).collect();
        let positions = self.history.append(&records)?;
        drop(records);
        self.begin_unsynced();
        let started = Instant::now();
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        for (position, input) in positions.zip(&inputs) {
            let plan = state.plan().clone();
            let changes = fold(&plan, &*state, position, input)?;
            state.apply(position, input.intake(), changes)?;
        }
        self.intake_through.store(state.intake_through(), Ordering::Release);
        self.metrics.counted(&state.totals());
        drop(state);
        self.metrics.folded(&inputs, started.elapsed());
        Ok(())
    }

    /// The inputs of a batch and where each stands in the payload. An event whose message id the duplicate window knows, or
    /// that came before in the same batch, has become [`Passed::Duplicate`]; what names somebody who was erased [`Passed::Suppressed`].
    fn lay_out(&mut self, batch: Vec<Prepared>) -> (Vec<Input>, Vec<(u8, std::ops::Range<usize>)>) {
        self.payload.clear();
        let (mut inputs, mut spans) = (Vec::with_capacity(batch.len()), Vec::with_capacity(batch.len()));
        let mut fresh = HashSet::with_capacity(batch.len());
        let state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        for prepared in batch {
            let start = self.payload.len();
            let passed = self.suppressed(&prepared);
            let (kind, input) = match passed.map_or(prepared, Prepared::Other) {
                Prepared::Event { source, intake, event, json } => {
                    let tie = event.message_id.as_deref().map(fingerprint);
                    let repeated = tie.is_some_and(|tie| state.repeated(tie) || !fresh.insert(tie));
                    if repeated {
                        let passed = Input::Passed { intake, reason: Passed::Duplicate };
                        (passed.encode(&mut self.payload), passed)
                    } else {
                        encode_event(&source, intake, &json, &mut self.payload);
                        (kind_of_event(), Input::Event { source: source.to_string(), intake, event })
                    }
                }
                Prepared::Other(input) => (input.encode(&mut self.payload), input),
            };
            spans.push((kind, start..self.payload.len()));
            inputs.push(input);
        }
        (inputs, spans)
    }

    /// What a record comes to that names somebody who was erased. It is known here for the first time where a transform brought the
    /// identifier, or where it was in intake before.
    fn suppressed(&self, prepared: &Prepared) -> Option<Input> {
        let (refused, intake) = match prepared {
            Prepared::Event { source, intake, event, .. } => (self.suppression.refuses(source, &event.claims), *intake),
            Prepared::Other(Input::DeadLetter(DeadLetter { source, bytes, intake: Some(intake), .. })) => {
                (self.suppression.refuses_bytes(source.as_deref().unwrap_or_default(), bytes), *intake)
            }
            Prepared::Other(_) => return None,
        };
        if refused {
            self.suppression.note_late(intake);
        }
        refused.then_some(Input::Passed { intake, reason: Passed::Suppressed })
    }

    /// Whether there is no room for a value. Asked before it enters history, so that history has only what was kept (invariant 4).
    fn is_full(&self, input: &Input) -> Result<bool, WriterError> {
        let Input::Kv(Kv { stage, key, value: Some(_) }) = input else { return Ok(false) };
        // What the engine keeps under a stage of its own is no plugin's, and is bounded where it is kept.
        if stage.contains('/') {
            return Ok(false);
        }
        let state = self.lock();
        Ok(state.keys(stage)? >= limits::KV_KEYS_MAX && !state.has_key(stage, key)?)
    }

    fn take_input(&mut self, input: &Input) -> Result<u64, WriterError> {
        self.payload.clear();
        let kind = input.encode(&mut self.payload);
        let position = self.history.append(&[Record { kind, bytes: &self.payload }])?.start;
        self.begin_unsynced();
        self.fold_one(position, input)?;
        Ok(position)
    }

    /// Folds an input; true where it left timers due.
    fn fold_one(&mut self, position: u64, input: &Input) -> Result<bool, WriterError> {
        let mut state = self.lock();
        let plan = state.plan().clone();
        let changes = fold(&plan, &*state, position, input)?;
        let more_due = changes.more_due;
        state.apply(position, input.intake(), changes)?;
        self.metrics.counted(&state.totals());
        Ok(more_due)
    }

    /// Tells the fold the time, if a timer waits for it.
    fn tick(&mut self) -> Result<(), WriterError> {
        let now = self.clock.now();
        for _ in 0..limits::TICKS_PER_ROUND_MAX {
            let is_idle = {
                let state = self.lock();
                state.due(now, 1)?.is_empty() && state.changing(now, 1)?.is_empty()
            };
            if is_idle {
                return Ok(());
            }
            self.take_input(&Input::Tick(now))?;
        }
        Ok(())
    }

    fn begin_unsynced(&mut self) {
        self.clean = false;
        self.unsynced_since.get_or_insert_with(Instant::now);
    }

    /// Makes history durable and wakes those who wait for it.
    fn sync(&mut self) -> Result<(), WriterError> {
        if self.unsynced_since.take().is_none() {
            return Ok(());
        }
        let started = Instant::now();
        self.history.sync()?;
        self.metrics.history_synced(started.elapsed());
        self.durable.send_replace(self.history.durable_end());
        for (answer, position) in self.answers.drain(..) {
            let _ = answer.send(Ok(position));
        }
        Ok(())
    }

    fn is_commit_due(&self) -> bool {
        let dirty = self.lock().dirty();
        self.committed_at.elapsed() >= limits::COMMIT_EVERY || dirty >= limits::COMMIT_ROWS
    }

    /// Hands what changed to the committer, once it is done with what it has.
    fn commit(&mut self) -> Result<(), WriterError> {
        let wanted = !self.commits.is_empty() || self.lock().dirty() >= limits::COMMIT_ROWS_MAX;
        if self.committer.is_busy() && !wanted {
            return Ok(());
        }
        self.wait()?;
        let frozen = self.lock().freeze();
        self.committer.begin(frozen);
        (self.committed_at, self.clean) = (Instant::now(), true);
        if !self.commits.is_empty() {
            self.wait()?;
            self.answer_commits();
        }
        Ok(())
    }

    /// Lets go of what the committer has finished, if it has.
    fn settle(&mut self) -> Result<(), WriterError> {
        if let Some(committed) = self.committer.finished() {
            let committed = committed?;
            self.metrics.committed(committed.rows, self.committed_at.elapsed());
            self.lock().settle(committed);
        }
        Ok(())
    }

    fn wait(&mut self) -> Result<(), WriterError> {
        if let Some(committed) = self.committer.wait() {
            let committed = committed?;
            self.lock().settle(committed);
        }
        Ok(())
    }

    fn answer_commits(&mut self) {
        for answer in self.commits.drain(..) {
            // Nobody may be waiting any more.
            let _ = answer.send(());
        }
    }

    fn finish(mut self) -> Result<(), WriterError> {
        self.sync()?;
        self.wait()?;
        let frozen = self.lock().freeze();
        self.committer.begin(frozen);
        self.wait()?;
        self.answer_commits();
        self.history.close()?;
        Ok(())
    }

    fn lock(&self) -> MutexGuard<'_, Overlay> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Writes commits to sled on a thread of its own, one at a time.
struct Committer {
    work: Option<SyncSender<Frozen>>,
    done: Receiver<Result<Committed, StoreError>>,
    busy: bool,
    thread: Option<JoinHandle<()>>,
}

impl Committer {
    fn start(base: Arc<dyn StateStore>) -> Self {
        let (work, inbox) = sync_channel::<Frozen>(1);
        let (outbox, done) = sync_channel(1);
        let run = move || {
            for frozen in inbox {
                if outbox.send(frozen.commit(&*base)).is_err() {
                    return;
                }
            }
        };
        let thread = std::thread::Builder::new().name("committer".into()).spawn(run);
        let thread = thread.expect("the system has room for a thread at the start");
        Committer { work: Some(work), done, busy: false, thread: Some(thread) }
    }

    fn is_busy(&self) -> bool {
        self.busy
    }

    fn begin(&mut self, frozen: Frozen) {
        self.busy = self.work.as_ref().is_some_and(|work| work.send(frozen).is_ok());
    }

    fn finished(&mut self) -> Option<Result<Committed, StoreError>> {
        let done = if self.busy { self.done.try_recv().ok() } else { None };
        self.busy &= done.is_none();
        done
    }

    fn wait(&mut self) -> Option<Result<Committed, StoreError>> {
        let done = if self.busy { self.done.recv().ok() } else { None };
        self.busy = false;
        done
    }
}

impl Drop for Committer {
    /// Ends the thread, so that nobody holds state any more.
    fn drop(&mut self) {
        self.work = None;
        if let Some(thread) = self.thread.take() {
            // It hands its failures over and does not panic.
            let _ = thread.join();
        }
    }
}

/// Folds what history holds past the overlay's position: the tail after a crash, or all of it for a rebuild. `progress` is told
/// now and then how many records are done, and of how many.
///
/// # Errors
/// [`WriterError`], where history or state cannot be read, or state not be written.
pub fn catch_up(
    history: &LogReader,
    overlay: &mut Overlay,
    base: &dyn StateStore,
    mut progress: impl FnMut(u64, u64),
) -> Result<(), WriterError> {
    let (start, end) = (overlay.position(), history.durable_end());
    let mut cursor = history.cursor(start);
    while let Some(block) = cursor.next()? {
        for (position, record) in block.records() {
            if record.kind == weft_store::log::TOMBSTONE {
                overlay.apply(position, None, weft_domain::view::Changes::default())?;
                continue;
            }
            let input = Input::decode(record.kind, record.bytes)
                .map_err(|unreadable| WriterError::Unreadable { position, unreadable })?;
            let plan = overlay.plan().clone();
            let changes = fold(&plan, overlay, position, &input)?;
            overlay.apply(position, input.intake(), changes)?;
        }
        if overlay.dirty() >= limits::COMMIT_ROWS {
            let committed = overlay.freeze().commit(base)?;
            overlay.settle(committed);
        }
        progress(overlay.position() - start, end - start);
    }
    let committed = overlay.freeze().commit(base)?;
    overlay.settle(committed);
    Ok(())
}
