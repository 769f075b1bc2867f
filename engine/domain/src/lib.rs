//! The rules of Weft: what an event is, who it is about, and what follows from it.
//!
//! Everything here is a pure function over values. There is no I/O, no async, no clock, no randomness and no logging in this
//! crate: time and ids arrive as inputs, and outcomes are data that others act on. That is what makes state a fold of history
//! (invariant 4), and a test a table.
//!
//! Start with [`fold`], then [`resolve`]. Each module uses only those listed before it.

pub mod limits;
pub mod value;
pub mod problem;
pub mod consent;
pub mod event;
pub mod claim;
pub mod identity;
pub mod document;
pub mod path;
pub mod attribute;
pub mod profile;
pub mod plan;
pub mod input;
pub mod view;
pub mod measure;
pub mod resolve;
pub mod correction;
pub mod fold;
pub mod explain;
pub mod permission;
pub mod impact;
pub mod between;
pub mod portrait;
