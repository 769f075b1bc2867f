//! The engine that touches the world: configuration, doors, logs, the writer, lanes, pages and commands.
//!
//! Read [`engine`] for how the parts fit, then [`writer`]. The rules are in `weft-domain`, the disk in `weft-store`, the sandbox in
//! `weft-host`; nothing here decides who somebody is or what follows from an event. Each module uses only those before it.

pub mod limits;
pub mod bounds;
pub mod patience;
pub mod pace;
pub mod clock;
pub mod watch;
pub mod telemetry;
pub mod signature;
pub mod config;
pub mod lock;
pub mod supply;
pub mod render;
pub mod graph;
pub mod egress;
pub mod suppression;
pub mod intake;
pub mod writer;
pub mod vault;
pub mod keeper;
pub mod lending;
pub mod driver;
pub mod pipeline;
pub mod delivery;
pub mod door;
pub mod matcher;
pub mod status;
pub mod letters;
pub mod events;
pub mod past;
pub mod selection;
pub mod moment;
pub mod profiles;
pub mod export;
pub mod sweeper;
pub mod erasure;
pub mod tail;
pub mod access;
pub mod retry;
pub mod identity;
pub mod review;
pub mod api;
pub mod listener;
pub mod engine;
pub mod assembly;
pub mod probe;
pub mod scenario;
pub mod reload;
pub mod rehearsal;
pub mod cases;
pub mod conformance;
pub mod workshop;
pub mod table;
pub mod command;
