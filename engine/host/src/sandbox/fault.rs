//! What went wrong in a call, who can mend it, and whether to try again.

use std::time::Duration;

use serde::{Deserialize, Serialize};
use wasmtime::Trap;

use super::guest::{Broken, Guest, Ungranted};
use crate::contract::{Failure, FailureKind, Rejection};
use crate::limits;

/// How a guest broke down.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum CrashKind {
    /// It trapped: a panic, a bad address, a stack without end.
    Trapped,
    /// It used up the time of a call.
    Timeout,
    /// It asked for more memory than it may have.
    OutOfMemory,
    /// Its answer breaks the contract: too few outcomes, too much output, text that is not UTF-8.
    BrokenAnswer,
    /// It answered with a failure of kind `internal`.
    Failed,
    /// It crashed so often over one batch that some records were not tried by themselves.
    Exhausted,
}

impl CrashKind {
    /// The stable code, as in dead letters and metrics.
    #[must_use]
    pub fn code(self) -> &'static str {
        match self {
            CrashKind::Trapped => "plugin_trapped",
            CrashKind::Timeout => "plugin_timeout",
            CrashKind::OutOfMemory => "plugin_out_of_memory",
            CrashKind::BrokenAnswer => "plugin_broken_answer",
            CrashKind::Failed => "plugin_failed",
            CrashKind::Exhausted => "plugin_exhausted",
        }
    }
}

/// A guest that broke down. Its instance is gone.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
#[error("{message}")]
pub struct Crash {
    /// How.
    pub kind: CrashKind,
    /// For people, with the guest's last line at level `error`: the SDK writes a panic's text there.
    pub message: String,
}

impl Crash {
    pub(crate) fn new(kind: CrashKind, message: impl Into<String>) -> Self {
        Self { kind, message: message.into() }
    }

    pub(crate) fn broken(message: impl Into<String>) -> Self {
        Self::new(CrashKind::BrokenAnswer, message)
    }

    /// What becomes of a record that the guest cannot take.
    pub(crate) fn rejection(&self) -> Rejection {
        Rejection { code: self.kind.code().to_owned(), message: self.message.clone() }
    }

    /// What an error out of wasmtime means, given what the guest did before it.
    pub(crate) fn classify(error: &wasmtime::Error, guest: &Guest) -> Self {
        let last_words = match guest.last_error() {
            Some(line) => format!("; its last error: {line}"),
            None => String::new(),
        };
        if let Some(asked) = guest.memory_refused() {
            return Self::new(
                CrashKind::OutOfMemory,
                format!("the plugin asked for {asked} bytes of memory, more than it may have{last_words}"),
            );
        }
        if let Some(broken) = error.downcast_ref::<Broken>() {
            return Self::broken(broken.0.clone());
        }
        if let Some(ungranted) = error.downcast_ref::<Ungranted>() {
            return Self::new(CrashKind::Trapped, ungranted.to_string());
        }
        if let Some(trap) = error.downcast_ref::<Trap>() {
            let trap = trap.to_string();
            let trap = trap.strip_prefix("wasm trap: ").unwrap_or(&trap);
            return Self::new(CrashKind::Trapped, format!("the plugin trapped: {trap}{last_words}"));
        }
        // What is left comes from reading the guest's memory: a list past its end, text that is not UTF-8, an unknown case.
        Self::broken(format!("the plugin's answer cannot be read: {}{last_words}", error.root_cause()))
    }
}

/// Why one call gave nothing: the inside view, before retries and bisection.
#[derive(Debug)]
pub(crate) enum Trouble {
    /// The guest broke down over what it was given.
    Crash(Crash),
    /// The guest broke down before it was given anything: while it was made or opened.
    Start(Crash),
    /// The guest says why.
    Failure(Failure),
}

impl From<Crash> for Trouble {
    fn from(crash: Crash) -> Self {
        Trouble::Crash(crash)
    }
}

impl From<Failure> for Trouble {
    /// An `internal` failure is what the plugin did not expect: it is treated like a trap.
    fn from(failure: Failure) -> Self {
        match failure.kind {
            FailureKind::Internal => Trouble::Crash(Crash::new(CrashKind::Failed, failure.message)),
            FailureKind::Config
            | FailureKind::Credentials
            | FailureKind::RateLimited
            | FailureKind::Unavailable
            | FailureKind::Rejected
            | FailureKind::Cancelled => Trouble::Failure(failure),
        }
    }
}

/// Why a stage's call gave nothing.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Fault {
    /// The plugin said so itself.
    #[error("{0}")]
    Failure(Failure),
    /// The plugin broke down, twice, and no record is to blame. Whoever calls backs off, and what is to become of the records in
    /// the end is the stage's policy.
    #[error("{0}")]
    Crash(Crash),
    /// The plugin broke down too often; nothing was called.
    #[error("the plugin is quarantined for {} more ms after {last_fault}", wait.as_millis())]
    Quarantined {
        /// How long the quarantine still lasts.
        wait: Duration,
        /// Why it began.
        last_fault: String,
    },
    /// The batch is past the stage's limits, or its parts do not fit together; nothing was called.
    #[error("{0}")]
    BadBatch(String),
}

/// Who can mend a fault.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Mender {
    /// Whoever writes the configuration.
    Operator,
    /// Whoever wrote the plugin.
    Author,
    /// The other side, or time.
    Outside,
    /// The host asked for it.
    Host,
}

/// Whether to try a call again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Retry {
    /// With backoff, and not sooner than this.
    After(Duration),
    /// Only after the configuration or the credentials have changed.
    WhenChanged,
    /// Never: the records go to dead letters.
    Never,
}

impl Fault {
    /// The stable code, as in status and metrics.
    #[must_use]
    pub fn code(&self) -> &'static str {
        match self {
            Fault::Failure(failure) => failure.kind.code(),
            Fault::Crash(crash) => crash.kind.code(),
            Fault::Quarantined { .. } => "plugin_quarantined",
            Fault::BadBatch(_) => "bad_batch",
        }
    }

    /// Who can mend it.
    #[must_use]
    pub fn mender(&self) -> Mender {
        match self {
            Fault::Failure(failure) => match failure.kind {
                FailureKind::Config | FailureKind::Credentials => Mender::Operator,
                FailureKind::RateLimited | FailureKind::Unavailable | FailureKind::Rejected => Mender::Outside,
                FailureKind::Cancelled => Mender::Host,
                FailureKind::Internal => Mender::Author,
            },
            Fault::Crash(_) | Fault::Quarantined { .. } => Mender::Author,
            Fault::BadBatch(_) => Mender::Host,
        }
    }

    /// Whether to try again.
    #[must_use]
    pub fn retry(&self) -> Retry {
        match self {
            Fault::Failure(failure) => match failure.kind {
                FailureKind::Config | FailureKind::Credentials => Retry::WhenChanged,
                FailureKind::RateLimited | FailureKind::Unavailable | FailureKind::Internal | FailureKind::Cancelled => {
                    Retry::After(Duration::from_millis(failure.retry_after_ms.unwrap_or(0)))
                }
                FailureKind::Rejected => Retry::Never,
            },
            Fault::Crash(_) => Retry::After(limits::QUARANTINE_MIN),
            Fault::Quarantined { wait, .. } => Retry::After(*wait),
            Fault::BadBatch(_) => Retry::Never,
        }
    }
}
