//! Conditions over events in CEL, the Common Expression Language: one meaning for the fold, for plugins, and for whoever asks next
//! (invariant 12).
//!
//! ```text
//! text ─► compile (CEL's grammar) ─► check (names, functions, cost) ─► Condition ─► is_met(fields of an event)
//! ```
//!
//! CEL is the crate `cel`'s. What is ours: what an event has ([`shape`]), so that a wrong name is told from a right one; that a condition
//! calls what there is and that its cost is bounded; and how an event's JSON is shown to CEL without a tree of it. A condition that fails over
//! an event, such as one that reads a field which the event lacks, is not met.
//!
//! Deliberately absent: I/O, the clock, randomness, patterns, types of events. It compiles natively and for WebAssembly.

pub mod limits;
pub mod shape;
pub mod json;
mod mistake;
mod value;
mod check;
mod condition;

pub use condition::Condition;
pub use mistake::{Mistake, Place};
