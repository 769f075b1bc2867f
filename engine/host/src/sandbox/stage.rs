//! What happens to a batch, a request and a poll: the three kinds of stage.
//!
//! A call that crashes is tried once more on a fresh instance. If it crashes again and it was a batch, the batch is taken
//! apart until the poison record stands alone (invariant 11 within a batch). If nothing came through at all, it counts
//! towards quarantine. All calls take `&self` and may run at once; a stage has at most
//! [`crate::limits::STAGE_INSTANCES_MAX`] instances, and further calls wait.

use std::ops::Range;
use std::sync::Arc;

use bytes::Bytes;

use super::bisect::{Attempt, Freshness, tried};
use super::fault::{Fault, Trouble};
use super::health::Health;
use super::runner::{Runner, Used};
use crate::contract::wit::exports::{destination, source, transform};
use crate::contract::{Batch, Body, Failure, FailureKind, Limits, Outcome, Output, Receipt, Received, Rejection, Request};

macro_rules! common {
    ($stage:ident) => {
        impl $stage {
            /// The stage's name.
            #[must_use]
            pub fn name(&self) -> &str {
                self.runner.name()
            }

            /// Its limits, resolved: batches are composed to fit them.
            #[must_use]
            pub fn limits(&self) -> &Limits {
                self.runner.limits()
            }

            /// How it is.
            #[must_use]
            pub fn health(&self) -> Health {
                self.runner.health()
            }

            /// The most that an instance has used so far.
            #[must_use]
            pub fn used(&self) -> Used {
                self.runner.used()
            }

            /// Makes an instance and opens it: whether the plugin takes this configuration. Reaches nothing outside unless
            /// the plugin's `open` does.
            ///
            /// # Errors
            /// The plugin's failure, or its crash. Does not count towards quarantine.
            pub async fn open(&self) -> Result<(), Fault> {
                match self.runner.lease(Freshness::AsAsked).await {
                    Ok(lease) => lease.end(Ok(())).map_err(untried),
                    Err(trouble) => Err(untried(trouble)),
                }
            }

            /// Asks the plugin whether the outside is there and lets it in.
            ///
            /// # Errors
            /// The plugin's failure, or its crash. Does not count towards quarantine.
            pub async fn check(&self) -> Result<(), Fault> {
                let mut lease = self.runner.lease(Freshness::AsAsked).await.map_err(untried)?;
                let answer = lease.instance.check().await;
                lease.end(answer).map_err(untried)
            }
        }

        impl std::fmt::Debug for $stage {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.debug_struct(stringify!($stage)).field("name", &self.name()).finish_non_exhaustive()
            }
        }
    };
}

fn untried(trouble: Trouble) -> Fault {
    match trouble {
        Trouble::Crash(crash) | Trouble::Start(crash) => Fault::Crash(crash),
        Trouble::Failure(failure) => Fault::Failure(failure),
    }
}

/// Where a chunk stands in what is decoded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Place {
    /// More will follow.
    Middle,
    /// The final chunk, which may be empty.
    Last,
}

/// A stage that turns bytes into events.
pub struct Source {
    pub(crate) runner: Runner<source::Guest>,
}

common!(Source);

impl Source {
    /// Reads a request at the source's path. A body past the stage's limit reaches the plugin as unreadable.
    ///
    /// # Errors
    /// [`Fault::Crash`] after two crashes, and [`Fault::Quarantined`]: answer 503 for this source alone.
    pub async fn receive(&self, mut request: Request) -> Result<Received, Fault> {
        let ticket = self.runner.admit()?;
        let bytes_max = self.limits().body_bytes;
        if let Body::Bytes(bytes) = &request.body
            && bytes.len() as u64 > bytes_max
        {
            request.body = Body::Unreadable(format!("the body has {} bytes, more than {bytes_max}", bytes.len()));
        }
        let mut received = self.receive_once(&request, Freshness::AsAsked).await;
        if let Err(Trouble::Crash(_) | Trouble::Start(_)) = received {
            received = self.receive_once(&request, Freshness::Fresh).await;
        }
        match received {
            Ok(received) => {
                self.runner.succeeded(ticket);
                Ok(received)
            }
            Err(trouble) => Err(self.runner.fault(ticket, trouble)),
        }
    }

    /// One call on a fresh instance: no second try. For those who want to see what the plugin itself does.
    ///
    /// # Errors
    /// The plugin's failure, or its crash. Does not count towards quarantine.
    pub async fn receive_bare(&self, request: &Request) -> Result<Received, Fault> {
        self.receive_once(request, Freshness::Fresh).await.map_err(untried)
    }

    async fn receive_once(&self, request: &Request, freshness: Freshness) -> Result<Received, Trouble> {
        let mut lease = self.runner.lease(freshness).await?;
        let answer = lease.instance.receive(request).await;
        lease.end(answer)
    }

    /// Reads an API until there is no more for now. Not tried again here: what was emitted is already the host's, and the
    /// next poll begins at the last state that the host committed.
    ///
    /// # Errors
    /// The plugin's failure, its crash, or its quarantine.
    pub async fn poll(&self, state: Option<&str>, output: Arc<dyn Output>) -> Result<(), Fault> {
        let ticket = self.runner.admit()?;
        let mut lease = match self.runner.lease(Freshness::AsAsked).await {
            Ok(lease) => lease,
            Err(trouble) => return Err(self.runner.fault(ticket, trouble)),
        };
        let answer = lease.instance.poll(state, output).await;
        match lease.end(answer) {
            Ok(()) => {
                self.runner.succeeded(ticket);
                Ok(())
            }
            Err(trouble) => Err(self.runner.fault(ticket, trouble)),
        }
    }

    /// Reads one chunk of a file or a stream; the state for the next one. Not tried again here, as with `poll`.
    ///
    /// # Errors
    /// The plugin's failure, its crash, or its quarantine.
    pub async fn decode(
        &self,
        chunk: &[u8],
        place: Place,
        state: Option<&str>,
        output: Arc<dyn Output>,
    ) -> Result<Option<String>, Fault> {
        let ticket = self.runner.admit()?;
        let mut lease = match self.runner.lease(Freshness::AsAsked).await {
            Ok(lease) => lease,
            Err(trouble) => return Err(self.runner.fault(ticket, trouble)),
        };
        let answer = lease.instance.decode(chunk, place == Place::Last, state, output).await;
        match lease.end(answer) {
            Ok(state) => {
                self.runner.succeeded(ticket);
                Ok(state)
            }
            Err(trouble) => Err(self.runner.fault(ticket, trouble)),
        }
    }
}

/// A stage that turns events into events.
pub struct Transform {
    pub(crate) runner: Runner<transform::Guest>,
}

common!(Transform);

impl Transform {
    /// One outcome for each record, in order. Records are handed over in batches of the stage's limits. A record that
    /// crashes the plugin is rejected with the crash's code; one that is larger than `batch_bytes`, with `record_too_large`.
    ///
    /// # Errors
    /// A failure of the plugin (a bad configuration), a crash for which no record is to blame, or quarantine: then none of
    /// the records has an outcome, and since transforms are pure they may all be given again.
    pub async fn apply(&self, records: &[Bytes]) -> Result<Vec<Outcome>, Fault> {
        let mut outcomes = Vec::with_capacity(records.len());
        let mut from = 0;
        while from < records.len() {
            let batch = self.fitting(&records[from..]);
            if batch == 0 {
                outcomes.push(Outcome::Reject(Rejection {
                    code: "record_too_large".to_owned(),
                    message: format!(
                        "the record has {} bytes, more than a batch of this stage may have ({})",
                        records[from].len(),
                        self.limits().batch_bytes
                    ),
                }));
                from += 1;
                continue;
            }
            outcomes.extend(self.apply_batch(&records[from..from + batch]).await?);
            from += batch;
        }
        Ok(outcomes)
    }

    /// One call on a fresh instance, with all records in one batch, none of them too: no second try, and nothing is taken apart. For
    /// those who want to see what the plugin itself does.
    ///
    /// # Errors
    /// The plugin's failure, or its crash. Does not count towards quarantine.
    pub async fn apply_bare(&self, records: &[Bytes]) -> Result<Vec<Outcome>, Fault> {
        let applying = Applying { stage: self, records };
        applying.attempt(0..records.len(), Freshness::Fresh).await.map_err(untried)
    }

    /// How many of these records make a batch.
    fn fitting(&self, records: &[Bytes]) -> usize {
        let mut bytes = 0_u64;
        records
            .iter()
            .take(self.limits().batch_records as usize)
            .take_while(|record| {
                bytes = bytes.saturating_add(record.len() as u64);
                bytes <= self.limits().batch_bytes
            })
            .count()
    }

    async fn apply_batch(&self, records: &[Bytes]) -> Result<Vec<Outcome>, Fault> {
        let ticket = self.runner.admit()?;
        let applying = Applying { stage: self, records };
        let tried = tried(&applying, records.len()).await;
        self.runner.settled(ticket, tried)
    }
}

struct Applying<'a> {
    stage: &'a Transform,
    records: &'a [Bytes],
}

impl Attempt for Applying<'_> {
    type Answer = Outcome;

    async fn attempt(&self, part: Range<usize>, freshness: Freshness) -> Result<Vec<Outcome>, Trouble> {
        let mut lease = self.stage.runner.lease(freshness).await?;
        let answer = lease.instance.apply(&self.records[part]).await;
        lease.end(answer)
    }

    fn poison(&self, rejection: Rejection) -> Outcome {
        Outcome::Reject(rejection)
    }

    fn refused(&self, _: &Failure) -> Option<Outcome> {
        None
    }
}

/// A stage that delivers.
pub struct Destination {
    pub(crate) runner: Runner<destination::Guest>,
}

common!(Destination);

impl Destination {
    /// One receipt for each record, in order. A record that crashes the plugin is rejected with the crash's code.
    ///
    /// A crash leaves open what was delivered: the batch is tried again with the same key, and its parts with keys of their
    /// own (see [`Batch::key`]), so that a destination which honours keys or positions delivers once (invariant 5). If, while
    /// a batch is being taken apart, the other side fails after some records were delivered, the rest come back as
    /// [`Receipt::Retry`].
    ///
    /// # Errors
    /// The plugin's failure, passed through; a crash for which no record is to blame; quarantine; [`Fault::BadBatch`] where
    /// records and positions do not match or the batch is past [`Limits::batch_records`] or [`Limits::batch_bytes`].
    pub async fn deliver(&self, batch: &Batch) -> Result<Vec<Receipt>, Fault> {
        self.fits(batch)?;
        if batch.records.is_empty() {
            return Ok(Vec::new());
        }
        let ticket = self.runner.admit()?;
        let delivering = Delivering { stage: self, batch };
        let tried = tried(&delivering, batch.records.len()).await;
        self.runner.settled(ticket, tried)
    }

    /// One call on a fresh instance, with an empty batch too: no second try, and nothing is taken apart. For those who want to see
    /// what the plugin itself does.
    ///
    /// # Errors
    /// The plugin's failure, or its crash; [`Fault::BadBatch`] as in [`Destination::deliver`]. Does not count towards quarantine.
    pub async fn deliver_bare(&self, batch: &Batch) -> Result<Vec<Receipt>, Fault> {
        self.fits(batch)?;
        let delivering = Delivering { stage: self, batch };
        delivering.attempt(0..batch.records.len(), Freshness::Fresh).await.map_err(untried)
    }

    fn fits(&self, batch: &Batch) -> Result<(), Fault> {
        let limits = self.limits();
        let bytes: u64 = batch.records.iter().map(|record| record.len() as u64).sum();
        if batch.records.len() != batch.positions.len() {
            return Err(Fault::BadBatch(format!(
                "the batch has {} records and {} positions",
                batch.records.len(),
                batch.positions.len()
            )));
        }
        if batch.records.len() > limits.batch_records as usize || bytes > limits.batch_bytes {
            return Err(Fault::BadBatch(format!(
                "the batch has {} records and {bytes} bytes, more than {} or {}",
                batch.records.len(),
                limits.batch_records,
                limits.batch_bytes
            )));
        }
        Ok(())
    }
}

struct Delivering<'a> {
    stage: &'a Destination,
    batch: &'a Batch,
}

impl Attempt for Delivering<'_> {
    type Answer = Receipt;

    async fn attempt(&self, part: Range<usize>, freshness: Freshness) -> Result<Vec<Receipt>, Trouble> {
        let key = if part.len() == self.batch.records.len() {
            self.batch.key.clone()
        } else {
            format!("{}/{}-{}", self.batch.key, part.start, part.end)
        };
        let mut lease = self.stage.runner.lease(freshness).await?;
        let answer = lease.instance.deliver(self.batch, &key, part).await;
        lease.end(answer)
    }

    fn poison(&self, rejection: Rejection) -> Receipt {
        Receipt::Reject(rejection)
    }

    fn refused(&self, failure: &Failure) -> Option<Receipt> {
        Some(match failure.kind {
            FailureKind::Rejected => {
                Receipt::Reject(Rejection { code: failure.kind.code().to_owned(), message: failure.message.clone() })
            }
            // The next try shows the failure itself, and to the whole batch.
            FailureKind::Config
            | FailureKind::Credentials
            | FailureKind::RateLimited
            | FailureKind::Unavailable
            | FailureKind::Cancelled
            | FailureKind::Internal => Receipt::Retry(failure.retry_after_ms.unwrap_or(0)),
        })
    }
}
