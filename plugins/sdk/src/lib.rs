//! Write a Weft plugin in Rust: implement one of three traits, name it to one macro, and `cargo build` gives a component.
//!
//! | To … | implement | and end the file with |
//! | --- | --- | --- |
//! | turn bytes into events | [`Source`] | `weft_plugin::source!(MySource);` |
//! | change, drop or refuse events | [`Transform`] | `weft_plugin::transform!(MyTransform);` |
//! | deliver to the outside | [`Destination`] | `weft_plugin::destination!(MyDestination);` |
//!
//! A plugin can reach nothing but what the engine lends it ([`log`], [`http`], [`email`], [`crypto`], [`kv`], [`identity`], [`files`], [`output`]):
//! there is no file system, socket, clock or randomness here. The same code compiles natively, where [`testing`] stands in
//! for the engine, so that plugins are tested with plain `cargo test`. The contract in prose is
//! `plugins/contract/README.md`; a plugin of forty lines is in this crate's README.

mod about;
mod contract;
mod event;
pub mod hash;
mod json;
mod lent;
pub mod limits;
pub mod mapping;
mod outbox;
mod parts;
mod path;
pub mod place;
mod record;
pub mod template;
mod time;
mod traits;
pub mod web;

#[cfg(target_arch = "wasm32")]
#[doc(hidden)]
pub mod guest;
#[cfg(all(target_arch = "wasm32", getrandom_backend = "custom"))]
mod random;
#[cfg(not(target_arch = "wasm32"))]
pub mod testing;

pub use about::{About, Capability, Example, Limits, Reads};
pub use contract::{
    Batch, Body, ConfigProblem, Failure, FailureKind, Outcome, Receipt, Received, Refused, Rejection, Request, Response,
};
pub use event::{Action, ConsentBuilder, ContextBuilder, Environment, EventBuilder, GroupBuilder, Kind, Learnt, ProductBuilder};
pub use json::{Fields, Json, Text, document, fields, is_visible, string, string_or_number};
pub use lent::config::{Folder, Secret};
pub use lent::{crypto, email, files, http, identity, kv, log, output};
pub use outbox::{Leftover, Outbox};
pub use parts::Parts;
pub use path::{For, Path, PathError};
pub use record::{Change, Record};
pub use schemars::JsonSchema;
pub use time::Timestamp;
pub use traits::{Destination, Source, Transform};

#[doc(hidden)]
pub use traits::{manifest_of_destination, manifest_of_source, manifest_of_transform};

/// Re-exported for `#[derive(Deserialize)]` on configurations: `#[serde(crate = "weft_plugin::serde")]` is not needed where the
/// plugin depends on serde itself.
pub use serde;
pub use serde_json;
pub use serde_json::value::RawValue;

/// What Cargo knows of the plugin, as the beginning of its [`About`]: the package's name (without a leading `weft-`), version
/// and description.
#[macro_export]
macro_rules! about {
    () => {
        $crate::About::of(env!("CARGO_PKG_NAME"), env!("CARGO_PKG_VERSION"), env!("CARGO_PKG_DESCRIPTION"))
    };
}

/// Makes this crate the source plugin that the type implements.
#[macro_export]
macro_rules! source {
    ($plugin:ty) => {
        #[cfg(target_arch = "wasm32")]
        #[allow(unsafe_code, missing_docs)]
        const _: () = {
            type Exported = $crate::guest::AsSource<$plugin>;
    $crate::guest::plugin::export_plugin!(Exported with_types_in $crate::guest::plugin);
    $crate::guest::source::export_source!(Exported with_types_in $crate::guest::source);
        };
    };
}

/// Makes this crate the transform plugin that the type implements.
#[macro_export]
macro_rules! transform {
    ($plugin:ty) => {
        #[cfg(target_arch = "wasm32")]
        #[allow(unsafe_code, missing_docs)]
        const _: () = {
            type Exported = $crate::guest::AsTransform<$plugin>;
    $crate::guest::plugin::export_plugin!(Exported with_types_in $crate::guest::plugin);
    $crate::guest::transform::export_transform!(Exported with_types_in $crate::guest::transform);
        };
    };
}

/// Makes this crate the destination plugin that the type implements.
#[macro_export]
macro_rules! destination {
    ($plugin:ty) => {
        #[cfg(target_arch = "wasm32")]
        #[allow(unsafe_code, missing_docs)]
        const _: () = {
            type Exported = $crate::guest::AsDestination<$plugin>;
    $crate::guest::plugin::export_plugin!(Exported with_types_in $crate::guest::plugin);
    $crate::guest::destination::export_destination!(Exported with_types_in $crate::guest::destination);
        };
    };
}

/// The README's plugin compiles.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
