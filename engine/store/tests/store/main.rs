//! The store under everything that a disk can do to it.
//!
//! Quick by default; `WEFT_SEEDS=5000` makes every seeded test try that many seeds. A failure prints its seed, and
//! `WEFT_SEED=…` runs that one alone.

mod damage;
mod faults;
mod live;
mod log;
mod model;
mod power;
mod speed;
mod state;
