//! Calls of Segment's spec, and the canonical events that they are. No plugin: what `segment` gets over HTTP and `ndjson` from files means
//! the same.
//!
//! `call.rs` reads what was sent, `event.rs` says what it means, `product.rs` knows the e-commerce spec. The mapping, field by field, is in
//! the README of `segment`, whose tests hold it.
#![deny(clippy::unwrap_used)]

mod call;
mod event;
mod product;

pub use call::{Batch, Call};
pub use event::{Arrival, Calls, Ip, event, typed};
