//! A source of whatever a service posts as JSON: a mapping says which fields make the event.
//!
//! It keeps nothing between requests, and knows nobody's format but the ways in which senders sign. `signature.rs` says who
//! sent, `door.rs` is the HTTP side, the SDK's `mapping` makes the events.
#![deny(clippy::unwrap_used)]

mod door;
mod signature;

use schemars::JsonSchema;
use serde::Deserialize;
use weft_plugin::mapping::{self, Headers, Mapping};
use weft_plugin::place::Place;
use weft_plugin::{About, Capability, ConfigProblem, Example, Failure, Reads, Received, Request, Source};

pub use crate::signature::Signature;

/// Who may send, and what becomes of it. A path is dotted (`customer.email`) or a JSON pointer (`/customer/e.mail`), within
/// an item of `each` where there is one; `$` begins at the whole payload, `$header.x-topic` is a header.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[schemars(deny_unknown_fields)]
pub struct Config {
    /// How senders are known.
    pub signature: Signature,
    /// Whether a service that asks if this address is ours is answered.
    #[serde(default)]
    pub challenge: Challenge,
    /// A path to a list: each of its items becomes an event. Without it, the payload is one.
    #[serde(default)]
    pub each: Option<String>,
    /// What an item becomes.
    #[serde(flatten)]
    pub mapping: mapping::Spec,
}

/// Which question is answered.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Challenge {
    /// None.
    #[default]
    None,
    /// A payload of `type: url_verification`, as Slack sends: its `challenge` is repeated, and no event is made of it.
    UrlVerification,
}

/// The plugin.
#[derive(Debug)]
pub struct Webhook {
    signature: Signature,
    challenge: Challenge,
    each: Option<Place>,
    mapping: Mapping,
}

impl Source for Webhook {
    const ABOUT: About = About {
        reads: &[Reads::Receive],
        capabilities: &[Capability::Crypto],
        // It remembers nothing between requests, and most of them bring a single event.
        reuse: true,
        docs: include_str!("../README.md"),
        examples: &[
            Example { title: "Paid invoices from Stripe", config: include_str!("../examples/stripe.json") },
            Example { title: "Orders from Shopify", config: include_str!("../examples/shopify.json") },
            Example { title: "Whatever GitHub sends", config: include_str!("../examples/github.json") },
            Example { title: "Messages from Slack", config: include_str!("../examples/slack.json") },
            Example { title: "A list of events under a token", config: include_str!("../examples/list.json") },
        ],
        ..weft_plugin::about!()
    };
    type Config = Config;

    fn open(config: Config) -> Result<Self, Failure> {
        let mapping = Mapping::open(&config.mapping, Headers::There)?;
        let each = config.each.as_deref().and_then(list);
        Ok(Webhook { signature: config.signature, challenge: config.challenge, each, mapping })
    }

    fn validate(config: &Config) -> Vec<ConfigProblem> {
        let mut problems = Mapping::read(&config.mapping, Headers::There).err().unwrap_or_default();
        if let Some(each) = &config.each
            && list(each).is_none()
        {
            let hint = "such as data.items, /data/items, or $ for the payload itself";
            problems.push(ConfigProblem::at("/each", format!("`{each}` leads to no list")).hint(hint));
        }
        if config.signature.secrets().is_empty() && !matches!(config.signature, Signature::None {}) {
            problems.push(ConfigProblem::at("/signature/secrets", "there is no secret, so nobody could send"));
        }
        problems
    }

    fn receive(&mut self, request: Request) -> Result<Received, Failure> {
        door::receive(self, &request)
    }
}

/// Where the list is, in the payload; none where this is no path, or a header, which holds no list.
fn list(each: &str) -> Option<Place> {
    match each.strip_prefix('$') {
        None => Place::parse(each),
        Some("") => Some(Place::default()),
        Some(rest) if rest.starts_with("header.") || rest.starts_with(".header.") => None,
        Some(rest) => Place::parse(rest.strip_prefix('.').or_else(|| rest.starts_with('/').then_some(rest))?),
    }
}

weft_plugin::source!(Webhook);
