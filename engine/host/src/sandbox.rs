//! The sandbox: an engine, instances, calls under a budget, and what to do when a guest misbehaves.
//!
//! A guest can waste only its own budget (invariant 7): memory by a limiter, time by epochs and a meter, output by bounds on
//! what crosses the border, and lines by count. It never sees a secret, a socket, a file or a clock. A guest that spins gives
//! the executor back every tick, so that its neighbours go on (invariant 11).
//!
//! Begin with `sandbox/stage.rs` (what happens to a batch), then `sandbox/instance.rs` (one instance and its calls),
//! `sandbox/guest.rs` (what a guest may call), `sandbox/bisect.rs`, `sandbox/health.rs`, `sandbox/engine.rs`.

mod bisect;
pub(crate) mod engine;
mod fault;
mod guest;
mod health;
pub(crate) mod instance;
mod runner;
mod stage;

pub use fault::{Crash, CrashKind, Fault, Mender, Retry};
pub use health::{Health, HealthState};
pub(crate) use runner::Runner;
pub use runner::{Stage, Used};
pub use stage::{Destination, Place, Source, Transform};
