//! A destination that is Segment, or whatever speaks its HTTP tracking API: events go on as the calls that they would have been there.
//!
//! `call.rs` makes calls of records, `batch.rs` puts them together and sends them. It is the other side of the source `segment`: what one
//! takes apart the other puts together again.
#![deny(clippy::unwrap_used)]

mod batch;
mod call;

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::Value;
use weft_plugin::{About, Batch, Capability, ConfigProblem, Destination, Example, Failure, Limits, Receipt};

/// Who is who at Segment, and where calls go on from there.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// Types of identifiers: the first that a record has becomes its `userId`.
    #[serde(default = "user_id")]
    pub user_id: Vec<String>,
    /// Types of identifiers: the first that a record has becomes its `anonymousId`.
    #[serde(default = "anonymous_id")]
    pub anonymous_id: Vec<String>,
    /// Segment's destinations that calls go to, or not: `{ All: false, Amplitude: true }`. What an event says of them goes before it.
    #[serde(default)]
    pub integrations: BTreeMap<String, Value>,
    /// The path of the API's batches, below the connection's address.
    #[serde(default = "path")]
    pub path: String,
}

fn user_id() -> Vec<String> {
    vec!["user_id".into()]
}

fn anonymous_id() -> Vec<String> {
    vec!["anonymous_id".into()]
}

fn path() -> String {
    "v1/batch".into()
}

/// The plugin.
#[derive(Debug)]
pub struct SegmentOut {
    config: Config,
}

impl Destination for SegmentOut {
    const ABOUT: About = About {
        accepts: &["events", "profiles"],
        capabilities: &[Capability::Http],
        reuse: true,
        // A little more than one request takes, so that requests are full.
        limits: Limits { batch_records: Some(1_000), batch_bytes: Some(1024 * 1024), ..weft_plugin::about!().limits },
        docs: include_str!("../README.md"),
        examples: &[
            Example { title: "By user ids and anonymous ids", config: include_str!("../examples/minimal.json") },
            Example { title: "By e-mail where there is no user id", config: include_str!("../examples/email.json") },
        ],
        ..weft_plugin::about!()
    };
    type Config = Config;

    fn open(config: Config) -> Result<Self, Failure> {
        Ok(SegmentOut { config })
    }

    fn validate(config: &Config) -> Vec<ConfigProblem> {
        let mut problems = Vec::new();
        let is_odd = |text: &str| text.contains(['#', '?', '\\']) || text.contains(char::is_whitespace) || text.contains("://");
        if config.path.is_empty() || is_odd(&config.path) {
            let hint = "such as v1/batch: the connection has the host";
            problems.push(ConfigProblem::at("/path", "not a path below the connection's address").hint(hint));
        }
        if config.user_id.is_empty() && config.anonymous_id.is_empty() {
            problems.push(ConfigProblem::at("/user_id", "nobody would have an id, and Segment takes no call without one"));
        }
        problems
    }

    fn deliver(&mut self, batch: Batch) -> Result<Vec<Receipt>, Failure> {
        batch::deliver(&self.config, &batch)
    }
}

weft_plugin::destination!(SegmentOut);
