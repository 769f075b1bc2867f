//! A source of whatever a service posts as JSON: a mapping says which fields make the event.
//!
//! It keeps nothing between requests, and knows nobody's format but the ways in which senders sign. `signature.rs` says who
//! sent, `door.rs` is the HTTP side, `mapping.rs` makes the events.
#![deny(clippy::unwrap_used)]

mod door;
mod mapping;
mod path;
mod signature;

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::{Number, Value};
use weft_plugin::{About, Capability, ConfigProblem, Example, Failure, Kind, Reads, Received, Request, Source};

use crate::mapping::Mapping;
pub use crate::signature::Signature;

/// Who may send, and what becomes of it. A path is dotted (`customer.email`) or a JSON pointer (`/customer/e.mail`), within
/// an item of `each` where there is one; `$` begins at the whole payload, `$header.x-topic` is a header.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// How senders are known.
    pub signature: Signature,
    /// Whether a service that asks if this address is ours is answered.
    #[serde(default)]
    pub challenge: Challenge,
    /// A path to a list: each of its items becomes an event. Without it, the payload is one.
    #[serde(default)]
    pub each: Option<String>,
    /// Paths and what they must be, one value or any of a list; what is otherwise makes no event.
    #[serde(default)]
    pub only: BTreeMap<String, Values>,
    /// The kind of event.
    #[serde(default, rename = "type")]
    pub kind: Type,
    /// The event's name: a text, or where it stands.
    #[serde(default)]
    pub event: Option<Name>,
    /// A path to the sender's own id, by which a repetition is known.
    #[serde(default)]
    pub message_id: Option<Pick>,
    /// A path to when it happened: ISO 8601, or seconds or milliseconds since 1970.
    #[serde(default)]
    pub occurred: Option<String>,
    /// Types of identifiers, and paths to their values.
    #[serde(default)]
    pub claims: BTreeMap<String, String>,
    /// What is true of the person: names and paths, `all` fields, or `none`.
    #[serde(default = "Pairs::none")]
    pub traits: Pairs,
    /// What is true of the event: names and paths, `all` fields, or `none`.
    #[serde(default = "Pairs::all")]
    pub properties: Pairs,
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

/// The kind of event: the same for all, or where it stands.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(untagged)]
pub enum Type {
    /// The same for all.
    Fixed(FixedType),
    /// Where it stands.
    Found(Found),
}

impl Default for Type {
    fn default() -> Self {
        Type::Fixed(FixedType::Track)
    }
}

/// The kinds of events that a mapping can say.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum FixedType {
    /// Somebody did something; needs a name.
    Track,
    /// Somebody saw a page of a site.
    Page,
    /// Somebody saw a screen of an app.
    Screen,
    /// Something is true of somebody.
    Identify,
    /// A fact without a person.
    Record,
}

impl FixedType {
    fn to_kind(self) -> Kind {
        match self {
            FixedType::Track => Kind::Track,
            FixedType::Page => Kind::Page,
            FixedType::Screen => Kind::Screen,
            FixedType::Identify => Kind::Identify,
            FixedType::Record => Kind::Record,
        }
    }
}

/// The event's name: the same for all, or where it stands.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(untagged)]
pub enum Name {
    /// The same for all.
    Fixed(String),
    /// Where it stands.
    Found(Found),
}

/// A path, or a path with what is put before what it finds.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(untagged)]
pub enum Pick {
    /// A path.
    Path(String),
    /// A path and a prefix.
    Prefixed(Found),
}

/// Where a text stands.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Found {
    /// Its path.
    pub path: String,
    /// What is put before it, such as `stripe/`.
    #[serde(default)]
    pub prefix: String,
}

/// Names and paths, or all, or none.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(untagged)]
pub enum Pairs {
    /// All, or none.
    Choice(Choice),
    /// Names and paths to their values.
    Named(BTreeMap<String, String>),
}

impl Pairs {
    fn all() -> Self {
        Pairs::Choice(Choice::All)
    }

    fn none() -> Self {
        Pairs::Choice(Choice::None)
    }
}

/// All fields of the item, or none.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Choice {
    /// All.
    All,
    /// None.
    None,
}

/// What a value must be.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(untagged)]
pub enum Values {
    /// This.
    One(Scalar),
    /// One of these.
    Any(Vec<Scalar>),
}

impl Values {
    fn to_list(&self) -> Vec<Value> {
        match self {
            Values::One(value) => vec![value.to_value()],
            Values::Any(values) => values.iter().map(Scalar::to_value).collect(),
        }
    }
}

/// A simple value.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(untagged)]
pub enum Scalar {
    /// Yes or no.
    Bool(bool),
    /// A number.
    Number(Number),
    /// A text.
    Text(String),
    /// Nothing: also where the field is missing.
    Null,
}

impl Scalar {
    fn to_value(&self) -> Value {
        match self {
            Scalar::Bool(value) => Value::Bool(*value),
            Scalar::Number(value) => Value::Number(value.clone()),
            Scalar::Text(value) => Value::String(value.clone()),
            Scalar::Null => Value::Null,
        }
    }
}

/// The plugin.
#[derive(Debug)]
pub struct Webhook {
    signature: Signature,
    challenge: Challenge,
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
        let mapping = Mapping::open(&config)?;
        Ok(Webhook { signature: config.signature, challenge: config.challenge, mapping })
    }

    fn validate(config: &Config) -> Vec<ConfigProblem> {
        let mut problems = Mapping::read(config).err().unwrap_or_default();
        if config.signature.secrets().is_empty() && !matches!(config.signature, Signature::None {}) {
            problems.push(ConfigProblem::at("/signature/secrets", "there is no secret, so nobody could send"));
        }
        problems
    }

    fn receive(&mut self, request: Request) -> Result<Received, Failure> {
        door::receive(self, &request)
    }
}

weft_plugin::source!(Webhook);
