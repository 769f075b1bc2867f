//! A source that speaks mParticle's HTTP: servers and web pages that send to mParticle are pointed here and notice nothing.
//!
//! It turns batches into canonical events and keeps nothing: no session, no duplicate, no person is known here, and an mpid follows from the
//! identities that are sent. `door.rs` is the HTTP side (paths, answers), `key.rs` says who sends, `batch.rs` reads a batch, `event.rs` with
//! `names.rs` and `commerce.rs` what its events mean, `identity.rs` answers identity calls. The mapping, field by field, is in README.md.
#![deny(clippy::unwrap_used)]

mod key;
mod object;
mod identities;
mod names;
mod commerce;
mod batch;
mod event;
mod identity;
mod change;
mod search;
mod door;

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::Deserialize;
use weft_plugin::{About, Capability, ConfigProblem, Environment, Example, Failure, Reads, Received, Request, Secret, Source};

/// Who may send, and what events keep of the sender.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// The keys that may send, by names of your own.
    #[schemars(extend("minProperties" = 1))]
    pub keys: BTreeMap<String, Key>,
    /// Which address of the sender events keep.
    #[serde(default)]
    pub ip: Ip,
}

/// A key.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(untagged)]
pub enum Key {
    /// The secret of a key that is its own name: of a server.
    Secret(Secret),
    /// A key said in full.
    Full(FullKey),
}

/// A key said in full.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct FullKey {
    /// What senders call it. Without it, the name.
    #[serde(default)]
    pub key: Option<Secret>,
    /// Its secret, which servers send. A key of web pages has none: whoever reads the page reads the key.
    #[serde(default)]
    pub secret: Option<Secret>,
    /// Where its events count, whatever the sender says.
    #[serde(default)]
    pub environment: Option<Environment>,
    /// Whether it may search for people. A key with a secret may unless this says no, a page's key only where this says yes:
    /// whoever reads the page can then find out whether an address is known here.
    #[serde(default)]
    pub search: Option<bool>,
}

/// Which address of the sender an event keeps.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Ip {
    /// The batch's `ip`; else, from web pages, the one that the request came from.
    #[default]
    Client,
    /// The batch's `ip` only.
    Sent,
    /// None.
    Never,
}

/// The plugin.
#[derive(Debug)]
pub struct MParticle {
    config: Config,
}

impl Source for MParticle {
    const ABOUT: About = About {
        reads: &[Reads::Receive],
        capabilities: &[Capability::Crypto, Capability::Identity],
        // It remembers nothing between requests, and those of web pages bring an event or two.
        reuse: true,
        docs: include_str!("../README.md"),
        examples: &[
            Example { title: "A server", config: include_str!("../examples/server.json") },
            Example { title: "A web site and a server, with a key for tests", config: include_str!("../examples/web.json") },
        ],
        ..weft_plugin::about!()
    };
    type Config = Config;

    fn open(config: Config) -> Result<Self, Failure> {
        Ok(MParticle { config })
    }

    fn validate(config: &Config) -> Vec<ConfigProblem> {
        let mut problems = Vec::new();
        if config.keys.is_empty() {
            problems.push(ConfigProblem::at("/keys", "there is no key, so nobody could send").hint("name at least one"));
        }
        for name in config.keys.keys().filter(|name| name.is_empty() || name.len() > key::NAME_BYTES_MAX) {
            let words = format!("the name of a key has {} bytes, and from 1 to {} are allowed", name.len(), key::NAME_BYTES_MAX);
            problems.push(ConfigProblem::at("/keys", words));
        }
        problems
    }

    fn receive(&mut self, request: Request) -> Result<Received, Failure> {
        Ok(door::receive(&self.config, &request))
    }
}

weft_plugin::source!(MParticle);
