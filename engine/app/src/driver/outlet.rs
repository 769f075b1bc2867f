//! Where a plugin puts what it reads: held until it says how far it has come, then committed with that, in one block of intake.

use std::sync::Arc;

use bytes::Bytes;
use tokio::sync::watch;
use weft_domain::input::{Arrival, Carrier};
use weft_host::{Failure, FailureKind, Lending, Output, Rejection};

use super::{Driver, Shore};
use crate::intake::{Arrived, Origin};
use crate::limits;
use crate::telemetry::Stage;

/// The way from one driver's plugin into intake.
pub(super) struct Outlet {
    driver: Driver,
    shore: Shore,
    stop: watch::Receiver<bool>,
    /// The key under which `checkpoint` keeps its state; none where the driver keeps it, as for `decode`.
    key: Option<&'static str>,
    held: tokio::sync::Mutex<Held>,
}

#[derive(Default)]
struct Held {
    arrived: Arrived,
    /// The last state that was committed.
    state: Option<String>,
}

impl Outlet {
    pub(super) fn new(driver: &Driver, shore: &Shore, stop: &watch::Receiver<bool>, key: Option<&'static str>) -> Arc<Outlet> {
        let (driver, shore, stop) = (driver.clone(), shore.clone(), stop.clone());
        Arc::new(Outlet { driver, shore, stop, key, held: tokio::sync::Mutex::default() })
    }

    /// Forgets what was emitted and not committed: it will be read again.
    pub(super) async fn discard(&self) {
        self.held.lock().await.arrived = Arrived::default();
    }

    /// Commits what was emitted with positions; of those, an empty value takes one away.
    ///
    /// # Errors
    /// `cancelled`, where the driver is to stop; then nothing was committed.
    pub(super) async fn commit(&self, positions: &[(&str, &[u8])]) -> Result<(), Failure> {
        let mut held = self.held.lock().await;
        self.commit_held(&mut held, positions).await
    }

    /// Keeps bytes that nothing could be made of as a dead letter, with whatever is committed next.
    pub(super) async fn dead_letter(&self, code: &str, message: &str, bytes: &[u8]) {
        self.origin().refuse((code, message), None, bytes, &mut self.held.lock().await.arrived);
    }

    /// The last state that `checkpoint` committed.
    pub(super) async fn state(&self) -> Option<String> {
        self.held.lock().await.state.take()
    }

    async fn commit_held(&self, held: &mut Held, positions: &[(&str, &[u8])]) -> Result<(), Failure> {
        let mut arrived = std::mem::take(&mut held.arrived);
        let events = arrived.count() as u64;
        for (key, value) in positions {
            arrived.push(&Arrival::Position { source: &self.driver.name, key, value });
        }
        if arrived.is_empty() {
            return Ok(());
        }
        self.wait_for_room().await?;
        self.shore.intake.append_in_turn(arrived).await.map_err(|_| cancelled())?;
        let stage = Stage { stage: self.driver.name.clone() };
        self.shore.metrics.received.get_or_create(&stage).inc_by(events);
        self.driver.note(|standing| standing.events_total += events);
        Ok(())
    }

    /// Waits while too much waits for the transforms: this is the back-pressure.
    async fn wait_for_room(&self) -> Result<(), Failure> {
        let mut stop = self.stop.clone();
        loop {
            if *stop.borrow_and_update() {
                return Err(cancelled());
            }
            let waiting = self.shore.intake.reader().durable_end().saturating_sub(self.shore.ledger.intake_through());
            if waiting <= self.shore.bounds.borrow().intake_lag_max {
                return Ok(());
            }
            super::wait_for(limits::WATCH_EVERY, &mut stop).await;
        }
    }

    fn origin(&self) -> Origin<'_> {
        let (environment, suppression) = (self.driver.environment, &**self.shore.ledger.suppression());
        Origin { source: &self.driver.name, environment, at: self.shore.clock.now(), suppression }
    }

    async fn take(&self, events: Vec<Bytes>) -> Result<(), Failure> {
        let origin = self.origin();
        self.hold(|arrived| events.iter().for_each(|json| origin.event(json, arrived))).await
    }

    async fn take_refused(&self, refused: Vec<(Rejection, Bytes)>) -> Result<(), Failure> {
        let origin = self.origin();
        // What an API gave is had by asking it again; a part of a file is there only once.
        let carrier = if self.key.is_none() { Some(Carrier::File) } else { None };
        let push = |arrived: &mut Arrived| {
            for (Rejection { code, message }, bytes) in &refused {
                origin.refuse((code, message), carrier.clone(), bytes, arrived);
            }
        };
        self.hold(push).await
    }

    async fn hold(&self, put: impl FnOnce(&mut Arrived)) -> Result<(), Failure> {
        let mut held = self.held.lock().await;
        put(&mut held.arrived);
        // Past the bound they go without a position: after a crash they may come a second time, and are known by their message ids.
        if held.arrived.len() > limits::OUTPUT_HELD_BYTES_MAX {
            self.commit_held(&mut held, &[]).await?;
        }
        if *self.stop.borrow() { Err(cancelled()) } else { Ok(()) }
    }

    async fn keep(&self, state: String) -> Result<(), Failure> {
        let Some(key) = self.key else {
            return Err(Failure::new(FailureKind::Internal, "`decode` returns its state, and has no checkpoints"));
        };
        let mut held = self.held.lock().await;
        self.commit_held(&mut held, &[(key, state.as_bytes())]).await?;
        held.state = Some(state);
        Ok(())
    }
}

pub(super) fn cancelled() -> Failure {
    Failure::new(FailureKind::Cancelled, "the engine asks for an end")
}

impl Output for Outlet {
    fn emit(&self, events: Vec<Bytes>) -> Lending<'_, Result<(), Failure>> {
        Box::pin(self.take(events))
    }

    fn refuse(&self, refused: Vec<(Rejection, Bytes)>) -> Lending<'_, Result<(), Failure>> {
        Box::pin(self.take_refused(refused))
    }

    fn checkpoint(&self, state: String) -> Lending<'_, Result<(), Failure>> {
        Box::pin(self.keep(state))
    }
}
