//! The host against guests that misbehave: what is proven of invariants 7, 9 and 11.
//!
//! Guests are WAT text in `plugins/fixtures/`, so that no guest toolchain is needed. One module for each kind of stage,
//! one for the shelf, one for plugins built from Rust where they have been built.

// Tests may unwrap.
#![allow(clippy::unwrap_used, missing_docs)]

mod built;
mod destination;
mod shelf;
mod source;
mod support;
mod transform;
