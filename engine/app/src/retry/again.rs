//! Bytes that a source refused, given to its plugin again: after its configuration was mended, it may take them.
//!
//! They come as they came then, in the same request and at the same time, so that the plugin knows the sender again, and a signature is not too
//! old. What it refuses again, or makes nothing of, stays the letter that it is.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use weft_domain::event::Environment;
use weft_domain::input::{Carrier, Head};
use weft_domain::value::Timestamp;
use weft_host::{Failure, FailureKind, Lending, Output, Place, Refused, Rejection};

use super::Ways;
use crate::intake::{Arrived, Origin};
use crate::letters::Id;
use crate::limits;

impl Ways<'_> {
    /// What a source's plugin makes of a letter's bytes, as records of intake; or why it makes nothing of them.
    pub(super) async fn through_source(
        self,
        (id, source): (Id, &str),
        carrier: &Carrier,
        bytes: &Bytes,
        at: Timestamp,
    ) -> Result<Arrived, String> {
        let (made, environment) = match carrier {
            Carrier::Request(head) => {
                let (received, environment) = self.doors.receive_again(source, head, bytes, at).await?;
                let kept = |refused: Refused| match refused.bytes {
                    Some(part) => (refused.rejection, part, part_of(carrier)),
                    None => (refused.rejection, bytes.clone(), carrier.clone()),
                };
                let refused = received.refused.into_iter().map(kept).collect();
                let answer = format!("its source makes nothing of it and answers {}", received.response.status);
                (Made { events: received.events, refused, answer, bytes: 0 }, environment)
            }
            Carrier::File => self.decode(source, bytes).await?,
        };
        made.arrive(id, Origin { source, environment, at, suppression: self.ledger.suppression() })
    }

    async fn decode(self, source: &str, bytes: &[u8]) -> Result<(Made, Environment), String> {
        let drivers = self.status.shown().drivers;
        let driver = drivers.into_iter().find(|driver| driver.name == source && driver.reads != "poll");
        let driver = driver.ok_or_else(|| format!("it was read from a file, and the source `{source}` reads none now"))?;
        let outlet = Arc::new(Outlet::default());
        let decoded = driver.source.decode(bytes, Place::Last, None, outlet.clone()).await;
        decoded.map_err(|fault| format!("the source's plugin does not read it: {fault}"))?;
        let made = std::mem::take(&mut *outlet.made());
        Ok((Made { answer: "its source makes nothing of it".to_owned(), ..made }, driver.environment))
    }
}

/// What a plugin made of bytes.
#[derive(Default)]
struct Made {
    events: Vec<Bytes>,
    /// With what each can be given to the plugin once more.
    refused: Vec<(Rejection, Bytes, Carrier)>,
    /// In words, where it is nothing.
    answer: String,
    bytes: usize,
}

impl Made {
    /// Records of intake. Those events without a message id are named after the letter, so that one that is tried twice counts once.
    fn arrive(self, id: Id, origin: Origin<'_>) -> Result<Arrived, String> {
        if self.events.is_empty() {
            return Err(match self.refused.first() {
                Some((rejection, ..)) => format!("its source refuses it again: {} ({})", rejection.message, rejection.code),
                None => format!("{}; drop it if that is right", self.answer),
            });
        }
        let mut arrived = Arrived::default();
        for (place, json) in self.events.iter().enumerate() {
            let name = if place == 0 { format!("letter-{id}") } else { format!("letter-{id}/{place}") };
            origin.event_named(json, Some(&name), &mut arrived);
        }
        for (rejection, bytes, carrier) in self.refused {
            origin.refuse((&rejection.code, &rejection.message), Some(carrier), &bytes, &mut arrived);
        }
        Ok(arrived)
    }
}

/// What carries a part of what was carried: bytes that mean it alone.
fn part_of(carrier: &Carrier) -> Carrier {
    match carrier {
        Carrier::Request(head) => {
            let mut head = Head { whole: false, ..head.clone() };
            head.headers.retain(|(name, _)| name != "content-encoding");
            Carrier::Request(head)
        }
        Carrier::File => Carrier::File,
    }
}

/// Where `decode` puts what it makes: held until it has come to its end.
#[derive(Default)]
struct Outlet(Mutex<Made>);

impl Outlet {
    fn made(&self) -> MutexGuard<'_, Made> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn put(&self, bytes: usize, put: impl FnOnce(&mut Made)) -> Lending<'_, Result<(), Failure>> {
        let mut made = self.made();
        made.bytes += bytes;
        let is_past = made.bytes > limits::OUTPUT_HELD_BYTES_MAX;
        if !is_past {
            put(&mut made);
        }
        drop(made);
        let failure = || Failure::new(FailureKind::Rejected, "it is more than one dead letter can be");
        Box::pin(std::future::ready(if is_past { Err(failure()) } else { Ok(()) }))
    }
}

impl Output for Outlet {
    fn emit(&self, events: Vec<Bytes>) -> Lending<'_, Result<(), Failure>> {
        self.put(events.iter().map(Bytes::len).sum(), |made| made.events.extend(events))
    }

    fn refuse(&self, refused: Vec<(Rejection, Bytes)>) -> Lending<'_, Result<(), Failure>> {
        let kept = |(rejection, bytes)| (rejection, bytes, Carrier::File);
        self.put(refused.iter().map(|(_, bytes)| bytes.len()).sum(), |made| made.refused.extend(refused.into_iter().map(kept)))
    }

    fn checkpoint(&self, _: String) -> Lending<'_, Result<(), Failure>> {
        let failure = Failure::new(FailureKind::Internal, "`decode` returns its state, and has no checkpoints");
        Box::pin(std::future::ready(Err(failure)))
    }
}
