//! An export over HTTP, as fast as its reader takes it.
//!
//! A few pieces wait for a reader who is slower, and then the export waits; nobody else does. A body that ends without its end is an error
//! that the reader sees: half an export never passes for a whole one. Exports have a bound, and end with the engine.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use axum::body::Body;
use bytes::Bytes;
use hyper::body::Frame;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc, watch};

use super::Export;
use crate::clock::Clock;
use crate::limits;
use crate::writer::Ledger;

/// Room for exports.
pub struct Exports {
    room: Arc<Semaphore>,
    stop: watch::Receiver<bool>,
}

/// Room for one.
pub struct Room {
    _permit: OwnedSemaphorePermit,
}

impl Exports {
    /// Room for [`limits::EXPORTS_MAX`], all of which break off when `stop` says so.
    #[must_use]
    pub fn new(stop: watch::Receiver<bool>) -> Self {
        Exports { room: Arc::new(Semaphore::new(limits::EXPORTS_MAX)), stop }
    }

    /// Room for one more; none where there are too many.
    #[must_use]
    pub fn enter(&self) -> Option<Room> {
        self.room.clone().try_acquire_owned().ok().map(|permit| Room { _permit: permit })
    }

    /// The body of an export.
    pub fn body(&self, room: Room, export: Export, ledger: Ledger, clock: Clock) -> Body {
        let (out, pieces) = mpsc::channel(limits::EXPORT_PIECES_WAITING_MAX);
        tokio::spawn(run(room, export, (ledger, clock), out, self.stop.clone()));
        Body::new(Pieces { pieces, ended: false })
    }
}

/// What goes to the reader.
enum Sent {
    Lines(Bytes),
    End,
}

async fn run(
    _room: Room,
    mut export: Export,
    (ledger, clock): (Ledger, Clock),
    out: mpsc::Sender<Sent>,
    mut stop: watch::Receiver<bool>,
) {
    loop {
        let (ledger, clock) = (ledger.clone(), clock.clone());
        let made = tokio::task::spawn_blocking(move || {
            let piece = export.next(|| ledger.state(), clock.now());
            (export, piece)
        });
        let (sent, is_end) = match made.await {
            Ok((rest, Ok(Some(piece)))) => {
                export = rest;
                if piece.lines.is_empty() {
                    continue;
                }
                (Sent::Lines(piece.lines.into()), false)
            }
            Ok((rest, Ok(None))) => {
                export = rest;
                (Sent::End, true)
            }
            Ok((_, Err(error))) => return tracing::warn!(%error, "an export cannot go on and breaks off"),
            Err(panic) => return tracing::error!(%panic, "an export breaks off"),
        };
        tokio::select! {
            taken = tokio::time::timeout(limits::EXPORT_PATIENCE, out.send(sent)) => match taken {
                Ok(Ok(())) if !is_end => (),
                Ok(_) => return,
                Err(_) => return tracing::info!("the reader of an export takes no more, and it breaks off"),
            },
            _ = stop.wait_for(|stop| *stop) => return,
        }
        tokio::time::sleep(limits::EXPORT_REST).await;
    }
}

/// A body that is written while it is read.
struct Pieces {
    pieces: mpsc::Receiver<Sent>,
    ended: bool,
}

impl hyper::body::Body for Pieces {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<io::Result<Frame<Bytes>>>> {
        if self.ended {
            return Poll::Ready(None);
        }
        self.pieces.poll_recv(context).map(|sent| match sent {
            Some(Sent::Lines(lines)) => Some(Ok(Frame::data(lines))),
            Some(Sent::End) => {
                self.ended = true;
                None
            }
            None => {
                self.ended = true;
                Some(Err(io::Error::other("the export broke off")))
            }
        })
    }
}
