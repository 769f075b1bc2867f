//! Where Weft keeps things: two logs, which are the truth, and one state, which can be made again from them.
//!
//! Read in this order: [`key`] and [`mod@format`] (what a row looks like), [`files`] (the few file operations that durability
//! rests on), [`log`] (segment files: intake and history), [`state`] (rows in sled, and the folder that swaps them). The
//! bytes on disk are written down in `docs/format.md`.
//!
//! This crate never knows what a record or a row means, never reads a clock, and never goes to the network. Nothing
//! outside it knows that sled exists.

mod error;
pub mod files;
pub mod format;
pub mod key;
pub mod log;
pub mod state;
pub mod rows;
pub mod overlay;

pub use error::{Damage, StoreError};
