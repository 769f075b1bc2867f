//! What crosses between the engine and a plugin, as the plugin's code sees it.
//!
//! One for one the types of `plugins/contract/weft.wit`; the generated ones stay inside [`crate::guest`], so that the same plugin
//! compiles natively for its tests. Nothing here does anything.

use std::fmt;

/// Why a whole call failed, and with that what the engine does next.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum FailureKind {
    /// The configuration cannot work: the stage stops until it is changed.
    Config,
    /// The other side refuses our credentials: the stage stops until they are changed.
    Credentials,
    /// The other side asks for patience: the engine waits, at least [`Failure::retry_after_ms`].
    RateLimited,
    /// The other side is not there or is broken: retried with backoff.
    Unavailable,
    /// The other side will never take this batch as it is: not retried.
    Rejected,
    /// The engine asked the plugin to stop.
    Cancelled,
    /// Something that the plugin did not expect: retried a few times, then treated as a trap.
    Internal,
}

/// Why a whole call failed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failure {
    /// What is to be done about it.
    pub kind: FailureKind,
    /// For people: lower case, no full stop, no secret.
    pub message: String,
    /// Not sooner than this, where the other side said so.
    pub retry_after_ms: Option<u64>,
}

impl Failure {
    /// A failure without a time to wait.
    pub fn new(kind: FailureKind, message: impl Into<String>) -> Self {
        Failure { kind, message: message.into(), retry_after_ms: None }
    }

    /// [`FailureKind::Config`].
    pub fn config(message: impl Into<String>) -> Self {
        Failure::new(FailureKind::Config, message)
    }

    /// [`FailureKind::Credentials`].
    pub fn credentials(message: impl Into<String>) -> Self {
        Failure::new(FailureKind::Credentials, message)
    }

    /// [`FailureKind::RateLimited`], with the time that the other side named.
    pub fn rate_limited(message: impl Into<String>, retry_after_ms: Option<u64>) -> Self {
        Failure { retry_after_ms, ..Failure::new(FailureKind::RateLimited, message) }
    }

    /// [`FailureKind::Unavailable`].
    pub fn unavailable(message: impl Into<String>) -> Self {
        Failure::new(FailureKind::Unavailable, message)
    }

    /// [`FailureKind::Rejected`].
    pub fn rejected(message: impl Into<String>) -> Self {
        Failure::new(FailureKind::Rejected, message)
    }

    /// [`FailureKind::Internal`].
    pub fn internal(message: impl Into<String>) -> Self {
        Failure::new(FailureKind::Internal, message)
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for Failure {}

/// Why one record is refused: it becomes a dead letter with these words.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rejection {
    /// Stable, in snake case; for filters and counts.
    pub code: String,
    /// For people: lower case, no full stop.
    pub message: String,
}

impl Rejection {
    /// A reason by its stable code and in words.
    pub fn new(code: impl Into<String>, message: impl Into<String>) -> Self {
        Rejection { code: code.into(), message: message.into() }
    }
}

/// A mistake in a plugin's configuration.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConfigProblem {
    /// A JSON pointer (RFC 6901) into the configuration, such as `/columns/2`.
    pub path: String,
    /// What is wrong.
    pub message: String,
    /// How to mend it.
    pub hint: Option<String>,
}

impl ConfigProblem {
    /// A mistake at a place.
    pub fn at(path: impl Into<String>, message: impl Into<String>) -> Self {
        ConfigProblem { path: path.into(), message: message.into(), hint: None }
    }

    /// The same, with a way to mend it.
    #[must_use]
    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }
}

/// The body of a request to a source.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Body {
    /// As it arrived, decompressed.
    Bytes(Vec<u8>),
    /// The engine could not read it (a broken gzip, a size past the limit), and why. Authenticate the sender and answer all
    /// the same.
    Unreadable(String),
}

/// A request at a source's path.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Request {
    /// In upper case, such as `POST`.
    pub method: String,
    /// What follows the source's own path, beginning with `/`.
    pub path: String,
    /// Without the `?`; empty where there is none.
    pub query: String,
    /// Names in lower case.
    pub headers: Vec<(String, String)>,
    /// What was sent.
    pub body: Body,
    /// Milliseconds since 1970 UTC, by the engine's clock.
    pub received_ms: u64,
    /// The sender's address, without a port.
    pub remote: String,
}

impl Request {
    /// The first header of that name, which is in lower case.
    #[must_use]
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(header, _)| header == name).map(|(_, value)| value.as_str())
    }

    /// Whether the body is what the plugin gave as [`Refused::bytes`] of a part of an earlier request, and is given to it again with the head of that
    /// request. Its sender was known then; a signature of the whole body says nothing of a part. No sender can claim this of itself: HTTP has no
    /// colon in a header's name.
    #[must_use]
    pub fn is_part(&self) -> bool {
        self.header(":part").is_some()
    }
}

/// What a sender is told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Response {
    /// An HTTP status from 200 to 599.
    pub status: u16,
    /// Names in lower case.
    pub headers: Vec<(String, String)>,
    /// As it is sent.
    pub body: Vec<u8>,
}

impl Response {
    /// A status without a body.
    #[must_use]
    pub fn empty(status: u16) -> Self {
        Response { status, headers: Vec::new(), body: Vec::new() }
    }

    /// A status with a body of JSON text.
    #[must_use]
    pub fn json(status: u16, json: impl Into<String>) -> Self {
        let headers = vec![("content-type".to_owned(), "application/json".to_owned())];
        Response { status, headers, body: json.into().into_bytes() }
    }

    /// The same answer with one more header, whose name is in lower case.
    #[must_use]
    pub fn header(mut self, name: &str, value: impl Into<String>) -> Self {
        self.headers.push((name.to_owned(), value.into()));
        self
    }
}

/// Bytes from an authenticated sender that could not become an event: kept as a dead letter.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refused {
    /// Why.
    pub rejection: Rejection,
    /// None: the request's whole body as it arrived. Else a body that says this record alone, if the request came again with it: see [`crate::Parts`].
    pub bytes: Option<Vec<u8>>,
}

/// What a source made of a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Received {
    /// For the sender, once events and refused bytes are durable.
    pub response: Response,
    /// Canonical events, one JSON document each: see [`crate::EventBuilder`].
    pub events: Vec<Vec<u8>>,
    /// What becomes dead letters.
    pub refused: Vec<Refused>,
}

impl Received {
    /// An answer, and nothing taken.
    #[must_use]
    pub fn answer(response: Response) -> Self {
        Received { response, events: Vec::new(), refused: Vec::new() }
    }
}

/// What a transform made of one record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// As it was; nothing is copied back.
    Keep,
    /// Left out on purpose: counted, not kept.
    Drop,
    /// One document in its place.
    Replace(Vec<u8>),
    /// Several in its place, in this order.
    Split(Vec<Vec<u8>>),
    /// A dead letter.
    Reject(Rejection),
}

impl Outcome {
    /// A dead letter by its stable code and in words.
    pub fn reject(code: impl Into<String>, message: impl Into<String>) -> Self {
        Outcome::Reject(Rejection::new(code, message))
    }
}

/// What a destination is asked to deliver.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Batch {
    /// What the records are, such as `events` or `profiles`.
    pub stream: String,
    /// The same whenever this batch is tried again.
    pub key: String,
    /// One JSON document each.
    pub records: Vec<Vec<u8>>,
    /// For each record its place in history; it grows along the stream. With the stream it is the record's idempotency key.
    pub positions: Vec<u64>,
}

/// What became of one record of a batch.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Receipt {
    /// Delivered.
    Ok,
    /// To be tried again, not sooner than these milliseconds. Whoever stops at a record that has to wait answers this for it and for
    /// all behind it: those behind were not tried, and lose no attempt.
    Retry(u64),
    /// Never to be tried again: a dead letter.
    Reject(Rejection),
}

impl Receipt {
    /// A dead letter by its stable code and in words.
    pub fn reject(code: impl Into<String>, message: impl Into<String>) -> Self {
        Receipt::Reject(Rejection::new(code, message))
    }
}
