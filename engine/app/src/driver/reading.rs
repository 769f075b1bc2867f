//! Takes bytes through a plugin's `decode`, and remembers how far.

use std::collections::BTreeMap;
use std::io;
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use tokio::sync::watch;
use weft_host::{FailureKind, Fault, Place, Retry};

use super::content::{Content, chunk};
use super::outlet::Outlet;
use super::{Driver, Shore, unless_stopped};
use crate::limits;

/// How far something has been read: a file or an object.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(super) struct Mark {
    /// What it was called when it was last seen. For people: it is known by what is in it.
    pub name: String,
    /// Bytes that have been read, unpacked.
    pub offset: u64,
    /// What the plugin handed back at that place.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub state: Option<String>,
    /// It was read to its end.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub done: bool,
    /// It could not be read by a plugin and configuration of this fingerprint, and is a dead letter.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub refused_by: Option<String>,
    /// When it was last seen or changed, in milliseconds since 1970: the oldest is forgotten first.
    pub seen_ms: i64,
    /// Of what is followed while it grows: how it begins.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub head: Option<Head>,
}

/// How a file begins: by that it is known whatever its name is.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Head {
    /// How many bytes.
    pub bytes: u64,
    /// Their SHA-256, in hexadecimal, the first half.
    pub digest: String,
    /// The file's number on its disk: of two that begin alike, it is the one.
    pub inode: u64,
}

/// Whether more may come.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Ending {
    /// The end of what there is now is not the end.
    Open,
    /// It is complete.
    Final,
}

/// Why reading came to no end.
#[derive(Debug)]
pub(super) enum Halt {
    /// The driver is to stop.
    Stopped,
    /// The plugin.
    Fault(Fault),
    /// The disk, the network, or a packed file that is torn.
    Unreadable(io::Error),
}

impl From<io::Error> for Halt {
    fn from(error: io::Error) -> Self {
        Halt::Unreadable(error)
    }
}

/// A driver at work: what it has read, and the way from there.
pub(super) struct Reading<'a> {
    pub driver: &'a Driver,
    pub shore: &'a Shore,
    pub stop: watch::Receiver<bool>,
    /// Marks by key, as state has them.
    pub marks: BTreeMap<String, Mark>,
    outlet: Arc<Outlet>,
    /// Tries in a row that came to nothing, by key, and when the next one is due.
    troubles: BTreeMap<String, (u32, tokio::time::Instant)>,
}

impl<'a> Reading<'a> {
    pub(super) fn new(
        driver: &'a Driver,
        shore: &'a Shore,
        stop: watch::Receiver<bool>,
        positions: BTreeMap<String, Vec<u8>>,
    ) -> Self {
        let marks = positions.into_iter().filter_map(|(key, value)| {
            let mark = serde_json::from_slice(&value);
            let mark = mark.inspect_err(|error| tracing::error!(stage = driver.name, key, %error, "a position cannot be read"));
            Some((key, mark.ok()?))
        });
        let marks: BTreeMap<String, Mark> = marks.collect();
        let outlet = Outlet::new(driver, shore, &stop, None);
        Reading { driver, shore, stop, marks, outlet, troubles: BTreeMap::new() }
    }

    pub(super) fn is_stopped(&self) -> bool {
        *self.stop.borrow()
    }

    /// The mark of something, as it was left.
    pub(super) fn mark(&self, key: &str) -> Mark {
        self.marks.get(key).cloned().unwrap_or_default()
    }

    /// Whether there is nothing more to do about something: it was read, or could not be read as things are.
    pub(super) fn is_settled(&self, key: &str) -> bool {
        self.marks.get(key).is_some_and(|mark| mark.done || mark.refused_by.as_ref() == Some(&self.driver.fingerprint))
    }

    /// Whether something waits after a trouble with it.
    pub(super) fn is_resting(&self, key: &str) -> bool {
        self.troubles.get(key).is_some_and(|(_, until)| tokio::time::Instant::now() < *until)
    }

    /// Reads on from the mark of something to the end of what there is. The trouble with it is noted, and it rests for a while;
    /// what the plugin will never take becomes a dead letter. False where the driver is to stop.
    pub(super) async fn read(&mut self, key: &str, mark: Mark, content: io::Result<Content>, ending: Ending) -> bool {
        self.driver.note(|standing| standing.reading = Some(mark.name.clone()));
        let name = mark.name.clone();
        let read = match content {
            Ok(content) => self.read_on(key, mark, content, ending).await,
            Err(error) => Err(error.into()),
        };
        self.driver.note(|standing| standing.reading = None);
        match read {
            Ok(()) => {
                if self.troubles.remove(key).is_some() && self.troubles.is_empty() {
                    self.driver.note(|standing| standing.last_error = None);
                }
            }
            Err(Halt::Stopped) => return false,
            Err(Halt::Unreadable(error)) => self.rest(key, &name, "unreadable", &error, std::time::Duration::ZERO),
            Err(Halt::Fault(fault)) => {
                let tries = self.troubles.get(key).map_or(1, |(tries, _)| tries + 1);
                let is_hopeless =
                    fault.retry() == Retry::Never || matches!(fault, Fault::Crash(_)) && tries >= limits::DECODE_ATTEMPTS_MAX;
                if is_hopeless && !self.refuse(key, &name, &fault).await {
                    return false;
                }
                self.rest(key, &name, fault.code(), &fault, super::pause(&fault, tries));
            }
        }
        !self.is_stopped()
    }

    async fn read_on(&mut self, key: &str, mut mark: Mark, mut content: Content, ending: Ending) -> Result<(), Halt> {
        loop {
            let bytes = chunk(&mut content, limits::CHUNK_BYTES).await?;
            let is_end = bytes.is_empty();
            if is_end && ending == Ending::Open {
                return Ok(());
            }
            let place = if is_end { Place::Last } else { Place::Middle };
            let decoding = self.driver.source.decode(&bytes, place, mark.state.as_deref(), self.outlet.clone());
            let Some(decoded) = unless_stopped(decoding, &self.stop).await else { return Err(Halt::Stopped) };
            match decoded {
                Ok(state) => mark.state = state.filter(|_| !is_end),
                Err(fault) => {
                    self.outlet.discard().await;
                    let is_cancelled = matches!(&fault, Fault::Failure(failure) if failure.kind == FailureKind::Cancelled);
                    return Err(if is_cancelled && self.is_stopped() { Halt::Stopped } else { Halt::Fault(fault) });
                }
            }
            mark.offset += bytes.len() as u64;
            (mark.done, mark.refused_by) = (is_end, None);
            self.keep(key, mark.clone()).await?;
            if is_end {
                self.driver.note(|standing| standing.finished += 1);
                return Ok(());
            }
        }
    }

    /// Commits what was emitted with a mark.
    async fn keep(&mut self, key: &str, mut mark: Mark) -> Result<(), Halt> {
        mark.seen_ms = self.shore.clock.now().0;
        self.commit(key, &mark).await?;
        self.marks.insert(key.to_owned(), mark);
        Ok(())
    }

    /// Commits a mark that stands for no one thing.
    pub(super) async fn commit(&self, key: &str, mark: &Mark) -> Result<(), Halt> {
        let value = serde_json::to_vec(mark).expect("a mark has string keys");
        self.outlet.commit(&[(key, &value)]).await.map_err(|_| Halt::Stopped)
    }

    /// Forgets a mark.
    pub(super) async fn forget(&mut self, key: &str) {
        if self.marks.remove(key).is_some() {
            // At a stop it is forgotten the next time.
            let _ = self.outlet.commit(&[(key, &[])]).await;
        }
    }

    /// Forgets the oldest of the marks that `wanted` does not want, where there are too many.
    pub(super) async fn forget_oldest(&mut self, wanted: impl Fn(&str) -> bool) {
        let excess = self.marks.len().saturating_sub(limits::MARKS_MAX);
        if excess == 0 {
            return;
        }
        let mut idle: Vec<(i64, String)> =
            self.marks.iter().filter(|(key, _)| !wanted(key)).map(|(key, mark)| (mark.seen_ms, key.clone())).collect();
        idle.sort_unstable();
        for (_, key) in idle.into_iter().take(excess) {
            self.forget(&key).await;
        }
    }

    /// Keeps as a dead letter that something cannot be read any further. False where the driver is to stop.
    async fn refuse(&mut self, key: &str, name: &str, fault: &Fault) -> bool {
        let mark = Mark { name: name.to_owned(), refused_by: Some(self.driver.fingerprint.clone()), ..self.mark(key) };
        let message = format!("{name} cannot be read from byte {} on: {fault}", mark.offset);
        self.outlet.dead_letter(fault.code(), &message, name.as_bytes()).await;
        self.keep(key, mark).await.is_ok()
    }

    fn rest(&mut self, key: &str, name: &str, code: &str, error: &dyn std::fmt::Display, least: std::time::Duration) {
        let tries = self.troubles.get(key).map_or(1, |(tries, _)| tries + 1);
        self.driver.complain(name, code, error, tries);
        let pause = least.max(crate::patience::backoff(tries));
        self.troubles.insert(key.to_owned(), (tries, tokio::time::Instant::now() + pause));
    }
}
