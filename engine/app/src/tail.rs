//! Events as they become history, for those who look on: server-sent events (HTML Living Standard, 9.2).
//!
//! Each tail reads history for itself, with a cursor of its own, and sees only what is durable: it delays nobody (invariant 11). Who
//! reads too slowly falls behind, and past a bound is put near the end again. What was passed over, and what was more than was asked for in a
//! second, is counted and told: nothing is left out in silence. Who asks is [`crate::api`], and `weft tail` for people.

use std::fmt::Write as _;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use axum::body::Body;
use bytes::Bytes;
use hyper::body::Frame;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc, watch};
use tokio::time::{Instant, MissedTickBehavior};
use weft_domain::event::{Identifier, Kind};
use weft_domain::explain::whose;
use weft_domain::view::Read;
use weft_store::StoreError;
use weft_store::log::{Block, Cursor};

use crate::events::{Shown, Who};
use crate::limits;
use crate::writer::Ledger;

/// Which events are wanted.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Asked {
    /// Those of this source.
    pub source: Option<String>,
    /// Those of this type.
    #[serde(rename = "type")]
    pub kind: Option<Kind>,
    /// Those of this name.
    pub name: Option<String>,
    /// Those of this customer: `TYPE:VALUE` or an id. Nothing comes while nobody is known by it.
    pub customer: Option<Who>,
    /// So many in a second at most; [`limits::TAIL_EVENTS`] unless it is said, and never more than [`limits::TAIL_EVENTS_MAX`].
    pub limit: Option<u64>,
}

/// What was left out since it was last told.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct LeftOut {
    /// Events that were wanted, and more than the limit of a second.
    pub events: u64,
    /// Records of history that were not looked at, because the reader is too slow or they are not kept any more.
    pub records: u64,
}

/// The tails that there may be at once.
pub struct Tails {
    room: Arc<Semaphore>,
    stop: watch::Receiver<bool>,
}

/// One tail.
struct Tail {
    ledger: Ledger,
    asked: Asked,
    cursor: Cursor,
    block: Block,
    /// When this second began, and how many were sent in it.
    second: (Instant, u64),
    left_out: LeftOut,
}

impl Tails {
    /// Room for [`limits::TAILS_MAX`], all of which end when `stop` says so.
    #[must_use]
    pub fn new(stop: watch::Receiver<bool>) -> Self {
        Tails { room: Arc::new(Semaphore::new(limits::TAILS_MAX)), stop }
    }

    /// Begins a tail after a place in history, or with what comes from now on; none where there are too many.
    #[must_use]
    pub fn open(&self, ledger: Ledger, asked: Asked, after: Option<u64>) -> Option<Body> {
        let permit = self.room.clone().try_acquire_owned().ok()?;
        let end = ledger.history().durable_end();
        let from = after.map_or(end, |after| after.saturating_add(1).min(end));
        let cursor = ledger.history().cursor(from);
        let (out, lines) = mpsc::channel(limits::TAIL_CHUNKS_WAITING_MAX);
        let second = (Instant::now(), 0);
        let tail = Tail { ledger, asked, cursor, block: Block::default(), second, left_out: LeftOut::default() };
        tokio::spawn(tail.run(out, self.stop.clone(), permit));
        Some(Body::new(Lines(lines)))
    }
}

impl Tail {
    async fn run(mut self, out: mpsc::Sender<Bytes>, mut stop: watch::Receiver<bool>, _permit: OwnedSemaphorePermit) {
        let mut durable = self.ledger.durable();
        let mut ticks = tokio::time::interval(limits::TAIL_TELL_EVERY);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        // The first line says that the tail is there, before anything has happened.
        let (mut lines, mut told_at) = (": from here on\n\n".to_owned(), Instant::now());
        while !out.is_closed() && !*stop.borrow() {
            if told_at.elapsed() >= limits::TAIL_TELL_EVERY && self.left_out != LeftOut::default() {
                lines.push_str(&message("left-out", None, &std::mem::take(&mut self.left_out)));
            } else if told_at.elapsed() >= limits::TAIL_HEARTBEAT {
                lines.push_str(": still here\n\n");
            }
            if !lines.is_empty() {
                told_at = Instant::now();
                tokio::select! {
                    sent = out.send(std::mem::take(&mut lines).into()) => if sent.is_err() { return },
                    _ = stop.wait_for(|stop| *stop) => return,
                }
            }
            // Copied, since the writer waits for whoever looks at it.
            let end = *durable.borrow_and_update();
            if self.cursor.position() < end {
                self.catch_up(end);
                let looked = tokio::task::spawn_blocking(move || {
                    let looked = self.look();
                    (self, looked)
                });
                match looked.await {
                    Ok((tail, Ok(found))) => (self, lines) = (tail, found),
                    Ok((_, Err(error))) => return tracing::warn!(%error, "a tail cannot read history and ends"),
                    Err(_) => return,
                }
                continue;
            }
            tokio::select! {
                changed = durable.changed() => if changed.is_err() { return },
                _ = ticks.tick() => (),
                () = out.closed() => return,
                _ = stop.wait_for(|stop| *stop) => return,
            }
        }
    }

    /// Passes over what there is too much of, or what is not kept any more.
    fn catch_up(&mut self, end: u64) {
        let oldest = end.saturating_sub(limits::TAIL_BEHIND_RECORDS_MAX).max(self.ledger.history().start());
        let behind = oldest.saturating_sub(self.cursor.position());
        if behind > 0 {
            self.left_out.records += behind;
            self.cursor.seek(oldest);
        }
    }

    /// What of the next block is wanted, as lines.
    fn look(&mut self) -> Result<String, Unread> {
        let mut lines = String::new();
        match self.cursor.next_into(&mut self.block) {
            Ok(_) => (),
            // Retention was quicker; the next round begins where history does.
            Err(StoreError::Trimmed { .. }) => return Ok(lines),
            Err(error) => return Err(error.into()),
        }
        for (position, record) in self.block.records() {
            let Some(shown) = Shown::of(position, record.kind, record.bytes) else { continue };
            if !self.asked.wants(&shown, &self.ledger)? {
                continue;
            }
            let limit = self.asked.limit.unwrap_or(limits::TAIL_EVENTS).clamp(1, limits::TAIL_EVENTS_MAX);
            if self.second.0.elapsed().as_secs() >= 1 {
                self.second = (Instant::now(), 0);
            }
            if self.second.1 >= limit {
                self.left_out.events += 1;
                continue;
            }
            self.second.1 += 1;
            lines.push_str(&message("event", Some(position), &shown));
        }
        Ok(lines)
    }
}

/// Why a tail ends.
#[derive(Debug, thiserror::Error)]
enum Unread {
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error(transparent)]
    View(#[from] weft_domain::view::ViewError),
}

impl Asked {
    fn wants(&self, shown: &Shown, ledger: &Ledger) -> Read<bool> {
        if self.source.as_ref().is_some_and(|source| *source != shown.source) {
            return Ok(false);
        }
        if self.kind.is_none() && self.name.is_none() && self.customer.is_none() {
            return Ok(true);
        }
        let Ok(glimpse) = serde_json::from_str::<Glimpse>(shown.event.get()) else { return Ok(false) };
        if self.kind.is_some_and(|kind| kind != glimpse.kind) || self.name.is_some() && self.name != glimpse.name {
            return Ok(false);
        }
        let Some(who) = &self.customer else { return Ok(true) };
        let state = ledger.state();
        let Some(customer) = who.today(&*state)? else { return Ok(false) };
        for Identifier { kind, value, .. } in &glimpse.claims {
            if whose(&*state, kind, value)? == Some(customer) {
                return Ok(true);
            }
        }
        Ok(false)
    }
}

/// What of an event decides whether it is wanted.
#[derive(Deserialize)]
struct Glimpse {
    #[serde(rename = "type")]
    kind: Kind,
    name: Option<String>,
    #[serde(default)]
    claims: Vec<Identifier>,
}

/// A message: JSON has no line ends of its own.
fn message(name: &str, id: Option<u64>, data: &impl Serialize) -> String {
    let mut text = format!("event: {name}\n");
    let _ = id.map(|id| writeln!(text, "id: {id}"));
    let _ = write!(text, "data: {}\n\n", serde_json::to_string(data).expect("what a tail shows has string keys"));
    text
}

/// A body that is written while it is read.
pub(crate) struct Lines(pub(crate) mpsc::Receiver<Bytes>);

impl hyper::body::Body for Lines {
    type Data = Bytes;
    type Error = std::convert::Infallible;

    fn poll_frame(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Self::Error>>> {
        self.0.poll_recv(context).map(|lines| lines.map(|lines| Ok(Frame::data(lines))))
    }
}
