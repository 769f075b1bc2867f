//! The store under everything that a disk can do to it.
//!
//! Quick by default; `WEFT_SEEDS=5000` makes every seeded test try that many seeds. A failure prints its seed, and
//! `WEFT_SEED=…` runs that one alone.

#![expect(clippy::unwrap_used, clippy::print_stdout, clippy::print_stderr, reason = "a test may stop and speak")]

mod damage;
mod faults;
mod format;
mod kill;
mod live;
mod log;
mod model;
mod power;
mod state;
