//! Whether two records are of one person: comparison, weight, candidates, training and clusters.
//!
//! The model is Fellegi and Sunter's, with term frequencies, and with a third class beside *match* and *stranger*: the
//! *household*, people who share an address, a telephone or a family name and are not one person ([`model`]). Records come
//! from anywhere: a customer's claims in the running engine, lines of a file in `weft identity resolve`. The same [`Model`] compares
//! both, so that a batch and the stream never disagree about a pair.
//!
//! ```text
//! values ─► Record ─► keys ─► candidates ─► pattern of levels ─► weight ─► clusters
//!           record    block   pairs         compare              model     cluster
//! ```
//!
//! Deliberately absent: I/O, the clock, randomness (samples are drawn by hash), configuration, events, claims. Where threads
//! are used (`work`), what comes out does not depend on how many there are.

pub mod limits;
pub mod field;
pub mod work;
mod text;
mod name;
mod form;
pub mod record;
pub mod compare;
pub mod block;
pub mod model;
mod typical;
pub mod pairs;
mod train;
pub mod cluster;
pub mod resolve;

pub use field::{Field, Fields, Kind};
pub use model::{Evidence, Model, Reason};
pub use record::Record;
