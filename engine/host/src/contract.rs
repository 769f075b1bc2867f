//! What plugins and the engine agreed on: the types of `plugins/contract/weft.wit` as the rest of the engine sees them.
//!
//! These are the engine's own types and not the generated ones, so that nothing above this crate depends on wasmtime or
//! on one version of the contract. Nothing here runs anything. The manifest is in `contract/manifest.rs`, the
//! bounds of a stage in `contract/budget.rs`, what the app lends in `contract/lent.rs`, the generated bindings in
//! `contract/wit.rs`. The prose is `plugins/contract/README.md`.

mod budget;
mod lent;
mod manifest;
pub(crate) mod wit;

use bytes::Bytes;
use serde::{Deserialize, Serialize};

pub use budget::{Limits, WantedLimits};
pub use lent::{Email, HttpRequest, HttpResponse, Identifier, Known, Lending, Lent, Level, Mailbox, Mailed, Nothing, Output};
pub use manifest::{Capability, Example, Kind, Manifest, ManifestProblem, Reads, Stream};

/// Versions of the contract that a manifest may name, newest first. The engine supports the current one and the one
/// before it; `1.0` is the first.
pub const SUPPORTED: &[&str] = &["1.0"];

/// The WIT package that `1.0` stands for, as it appears in a component's imports and exports.
pub const PACKAGE: &str = "weft:plugin";

/// The version of [`PACKAGE`] that this engine links.
pub const PACKAGE_VERSION: &str = "1.0.0";

/// Why a whole call failed, and with that what the host does next.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FailureKind {
    /// The configuration cannot work: the stage stops until it is changed.
    Config,
    /// The other side refuses our credentials: the stage stops until they are changed.
    Credentials,
    /// The other side asks for patience: wait, at least `retry_after_ms`.
    RateLimited,
    /// The other side is not there or is broken: retried with backoff.
    Unavailable,
    /// The other side will never take this as it is: not retried.
    Rejected,
    /// The host asked the plugin to stop.
    Cancelled,
    /// Something that the plugin did not expect: retried, then treated as a trap.
    Internal,
}

impl FailureKind {
    /// Its name in snake case, as in errors, metrics and status.
    #[must_use]
    pub fn code(self) -> &'static str {
        match self {
            FailureKind::Config => "config",
            FailureKind::Credentials => "credentials",
            FailureKind::RateLimited => "rate_limited",
            FailureKind::Unavailable => "unavailable",
            FailureKind::Rejected => "rejected",
            FailureKind::Cancelled => "cancelled",
            FailureKind::Internal => "internal",
        }
    }
}

/// A failure that one side of the border tells the other.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
#[error("{message}")]
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
        Self { kind, message: message.into(), retry_after_ms: None }
    }
}

/// Why one record is refused: it becomes a dead letter with these words.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Rejection {
    /// Stable, in snake case; for filters and counts. The host's own are in [`crate::CrashKind::code`].
    pub code: String,
    /// For people.
    pub message: String,
}

/// A mistake in a plugin's configuration, found by the plugin itself.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ConfigProblem {
    /// A JSON pointer (RFC 6901) into the configuration.
    pub path: String,
    /// What is wrong.
    pub message: String,
    /// How to mend it.
    pub hint: Option<String>,
}

/// The body of a request to a source.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Body {
    /// As it arrived, decompressed.
    Bytes(Bytes),
    /// It could not be read, and why. The plugin still authenticates the sender and answers.
    Unreadable(String),
}

/// A header that says that the body is a part of a request that came before, as the plugin itself gave it when it refused that part. Its sender was
/// known then, and a signature of the whole says nothing of it. No sender can send a header of this name: HTTP has no colon in one.
pub const PART: &str = ":part";

/// A request at a source's path.
#[derive(Debug, Clone, PartialEq, Eq)]
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
    /// Milliseconds since 1970 UTC, by the host's clock.
    pub received_ms: u64,
    /// The sender's address, without a port.
    pub remote: String,
}

/// What a sender is told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Response {
    /// An HTTP status from 200 to 599.
    pub status: u16,
    /// Names in lower case.
    pub headers: Vec<(String, String)>,
    /// As it is sent.
    pub body: Bytes,
}

/// Bytes from an authenticated sender that could not become an event.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refused {
    /// Why.
    pub rejection: Rejection,
    /// `None`: the request's whole body as it arrived.
    pub bytes: Option<Bytes>,
}

/// What a source made of a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Received {
    /// For the sender, once events and refused bytes are durable (invariant 1).
    pub response: Response,
    /// Canonical events, one JSON document each. UTF-8 has been checked, JSON has not.
    pub events: Vec<Bytes>,
    /// Dead letters.
    pub refused: Vec<Refused>,
}

/// What a transform made of one record.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// As it was; nothing was copied back.
    Keep,
    /// Left out on purpose: counted, not kept.
    Drop,
    /// One document in its place. UTF-8 has been checked, JSON has not.
    Replace(Bytes),
    /// Several in its place, in this order.
    Split(Vec<Bytes>),
    /// A dead letter.
    Reject(Rejection),
}

/// What a destination is asked to deliver.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Batch {
    /// What the records are: `events` or `profiles`.
    pub stream: String,
    /// The same whenever this batch is tried again. Where the host has to take a batch apart (see
    /// [`crate::Destination::deliver`]), a part's key is this one and the part's range: `KEY/FROM-TO`.
    pub key: String,
    /// One JSON document each.
    pub records: Vec<Bytes>,
    /// For each record its place in history: with the stream, its idempotency key (invariant 5).
    pub positions: Vec<u64>,
}

/// What became of one record of a batch.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Receipt {
    /// Delivered.
    Ok,
    /// To be tried again, not sooner than these milliseconds.
    Retry(u64),
    /// Never to be tried again: a dead letter.
    Reject(Rejection),
}
