//! The part of a configuration that is a mapping: what stands in YAML, for serde and for the JSON Schema.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::{Number, Value};

use crate::event::Kind;

/// What becomes of an item. A path is dotted (`customer.email`) or a JSON pointer (`/customer/e.mail`), within the item; `$`
/// begins at the whole payload, `$header.x-topic` is a header of a request.
///
/// A configuration has it among its own options, by `#[serde(flatten)]`. Unknown options are then the schema's to refuse: say
/// `#[schemars(deny_unknown_fields)]`.
#[derive(Clone, Debug, PartialEq, Deserialize, JsonSchema)]
pub struct Spec {
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

impl Default for Spec {
    fn default() -> Self {
        Spec {
            only: BTreeMap::new(),
            kind: Type::default(),
            event: None,
            message_id: None,
            occurred: None,
            claims: BTreeMap::new(),
            traits: Pairs::none(),
            properties: Pairs::all(),
        }
    }
}

/// The kind of event: the same for all, or where it stands.
#[derive(Clone, Debug, PartialEq, Deserialize, JsonSchema)]
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
    /// The kind of event that it names.
    #[must_use]
    pub fn to_kind(self) -> Kind {
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
#[derive(Clone, Debug, PartialEq, Deserialize, JsonSchema)]
#[serde(untagged)]
pub enum Name {
    /// The same for all.
    Fixed(String),
    /// Where it stands.
    Found(Found),
}

/// A path, or a path with what is put before what it finds.
#[derive(Clone, Debug, PartialEq, Deserialize, JsonSchema)]
#[serde(untagged)]
pub enum Pick {
    /// A path.
    Path(String),
    /// A path and a prefix.
    Prefixed(Found),
}

/// Where a text stands.
#[derive(Clone, Debug, PartialEq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Found {
    /// Its path.
    pub path: String,
    /// What is put before it, such as `stripe/`.
    #[serde(default)]
    pub prefix: String,
}

/// Names and paths, or all, or none.
#[derive(Clone, Debug, PartialEq, Deserialize, JsonSchema)]
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
#[derive(Clone, Debug, PartialEq, Deserialize, JsonSchema)]
#[serde(untagged)]
pub enum Values {
    /// This.
    One(Scalar),
    /// One of these.
    Any(Vec<Scalar>),
}

impl Values {
    pub(super) fn to_list(&self) -> Vec<Value> {
        match self {
            Values::One(value) => vec![value.to_value()],
            Values::Any(values) => values.iter().map(Scalar::to_value).collect(),
        }
    }
}

/// A simple value.
#[derive(Clone, Debug, PartialEq, Deserialize, JsonSchema)]
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
