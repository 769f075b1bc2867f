//! The host of plugins: it finds a plugin's file, proves what it asks for, and runs it in a sandbox.
//!
//! The only crate that knows wasmtime. It never touches the network, a secret's source, a log or the store: whatever a
//! plugin may reach is lent to it by the caller through [`Lent`] and [`Output`], and what comes back is data.
//!
//! ```text
//! Host::load(path) ─► Plugin { manifest, digest } ─► plugin.transform(stage) ─► Transform::apply(records) ─► outcomes
//!   shelf: verify,        contract: what both            sandbox: a fresh instance, a budget,
//!   compile, cache        sides agreed on                classify what went wrong, bisect, quarantine
//! ```
//!
//! Modules import only from those before them: [`limits`] (every bound, with its reason), [`contract`] (the types of
//! `plugins/contract/weft.wit`, the manifest, what is lent), [`sandbox`], [`shelf`]. Read `shelf.rs` for the face, then
//! `sandbox/stage.rs` for what happens to a batch. Upholds invariants 7, 9 and 11.

// Tests may unwrap.
#![cfg_attr(test, allow(clippy::unwrap_used))]

pub mod limits;

pub mod contract;
pub mod sandbox;
pub mod shelf;

pub use contract::{
    Batch, Body, Capability, ConfigProblem, Email, Example, Failure, FailureKind, HttpRequest, HttpResponse, Identifier, Kind,
    Known, Lending, Lent, Level, Limits, Mailbox, Mailed, Manifest, Nothing, Outcome, Output, PART, Reads, Receipt, Received,
    Refused, Rejection, Request, Response, Stream, WantedLimits,
};
pub use sandbox::{
    Crash, CrashKind, Destination, Fault, Health, HealthState, Mender, Place, Retry, Source, Stage, Transform, Used,
};
pub use shelf::{Digest, Host, HostError, HostOptions, Origin, Plugin, read};
