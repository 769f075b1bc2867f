//! A source that is Segment's HTTP tracking API: SDKs are pointed here and notice nothing.
//!
//! It turns calls into canonical events and keeps nothing: no session, no identity, no duplicate is known here. `door.rs` is
//! the HTTP side (paths, keys, answers), the library `segment-calls` reads what was sent and says what it means. The mapping, field by
//! field, is in README.md.
#![deny(clippy::unwrap_used)]

mod door;

use schemars::JsonSchema;
pub use segment_calls::Ip;
use serde::Deserialize;
use weft_plugin::{About, Capability, ConfigProblem, Example, Failure, Reads, Received, Request, Secret, Source};

/// What the source lets in, and how it answers.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// The write keys that senders may use.
    #[schemars(length(min = 1))]
    pub write_keys: Vec<Secret>,
    /// Which address of the sender events keep.
    #[serde(default)]
    pub ip: Ip,
    /// Where senders reach this source, such as `https://events.acme.example/segment`. With it, the settings that the
    /// browser library asks for name this source; without it, name it in `analytics.load` (README.md).
    #[serde(default)]
    pub public_url: Option<String>,
}

/// The plugin.
#[derive(Debug)]
pub struct Segment {
    config: Config,
}

impl Source for Segment {
    const ABOUT: About = About {
        reads: &[Reads::Receive],
        capabilities: &[Capability::Crypto],
        // It remembers nothing between requests, and most of them bring a single call: a fresh instance would cost ten times the call.
        reuse: true,
        docs: include_str!("../README.md"),
        examples: &[
            Example { title: "One key", config: include_str!("../examples/minimal.json") },
            Example { title: "Several keys, for browsers", config: include_str!("../examples/browser.json") },
        ],
        ..weft_plugin::about!()
    };
    type Config = Config;

    fn open(config: Config) -> Result<Self, Failure> {
        Ok(Segment { config })
    }

    fn validate(config: &Config) -> Vec<ConfigProblem> {
        let mut problems = Vec::new();
        if config.write_keys.is_empty() {
            problems
                .push(ConfigProblem::at("/write_keys", "there is no write key, so nobody could send").hint("name at least one"));
        }
        if config.public_url.as_deref().is_some_and(|url| door::Public::parse(url).is_none()) {
            let hint = "such as https://events.acme.example/segment";
            problems.push(ConfigProblem::at("/public_url", "not the address of an HTTP server, without query").hint(hint));
        }
        problems
    }

    fn receive(&mut self, request: Request) -> Result<Received, Failure> {
        Ok(door::receive(&self.config, &request))
    }
}

weft_plugin::source!(Segment);
