//! What customers' events come to, and traits of which more decides than the latest event, as they are written.

use std::borrow::Cow;
use std::str::FromStr;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Serialize};
use weft_domain::event::Kind;
use weft_domain::value::{Excerpt, Timestamp};

use super::super::units::Duration;

/// What the events of a customer come to: one calculation, over the events that are selected.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct AttributeSpec {
    /// How many events there are: `events`; or how many values at a path, such as `products[]`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub count: Option<CountText>,
    /// The exact sum of the numbers at a path, such as `properties.total`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sum: Option<PathText>,
    /// The smallest number at a path.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub min: Option<PathText>,
    /// The largest number at a path.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max: Option<PathText>,
    /// The mean of the numbers at a path, to ten decimals.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub average: Option<PathText>,
    /// The value at a path that occurs most often; of several, that which was seen last.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub most_frequent: Option<PathText>,
    /// How many different values there are at a path.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub unique_count: Option<PathText>,
    /// The different values at a path, those seen last, in alphabetical order.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub unique_list: Option<PathText>,
    /// The value at a path of the event that occurred first.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub first: Option<PathText>,
    /// The value at a path of the event that occurred last.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last: Option<PathText>,
    /// When the first of the events occurred.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub first_at: Option<Events>,
    /// When the last of the events occurred.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_at: Option<Events>,
    /// How many days in a row there was such an event, by the workspace's zone: those that go on to now, or the most that there ever were.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub streak: Option<StreakSpec>,
    /// The names of the events that count. Default: all events.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub event: Option<EventNames>,
    /// The type of the events that count. Default: every type.
    #[serde(default, rename = "type", skip_serializing_if = "Option::is_none")]
    pub kind: Option<Kind>,
    /// What else must be true of the events that count: a condition in CEL, such as `event.properties.total > 100`.
    #[serde(default, rename = "where", skip_serializing_if = "Option::is_none")]
    pub condition: Option<ConditionText>,
    /// Only events that occurred less than so long ago count.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub within: Option<Duration>,
    /// Only events that occurred on this day or later count, by the workspace's zone; or at this time or later.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub since: Option<SinceText>,
    /// Of `unique_list`: how many values are kept. Default: 100.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 200))]
    pub at_most: Option<u32>,
}

/// What decides a trait.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct TraitSpec {
    /// What of all that was said of it is kept.
    pub keep: Keep,
    /// Of `most_trusted`: the sources, the most trusted first. Others are trusted less.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 100))]
    pub trust: Vec<String>,
    /// Of `set` and `list`: how many values are kept. Default: 100.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 200))]
    pub at_most: Option<u32>,
}

/// What of all that was said of a trait is kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Keep {
    /// What was said last, as of every trait without a rule.
    Last,
    /// What was said first.
    First,
    /// What the most trusted source said last.
    MostTrusted,
    /// Every value that was ever said, those said last, in alphabetical order.
    Set,
    /// The values that were said last, in the order of time.
    List,
}

/// Which days in a row.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum StreakSpec {
    /// Those that go on to this day, or to the day before.
    Current,
    /// The most that there ever were.
    Longest,
}

/// Names of events: one, or a list.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(untagged)]
pub enum EventNames {
    /// One.
    One(String),
    /// Several.
    Several(Vec<String>),
}

impl EventNames {
    /// The names, sorted.
    #[must_use]
    pub fn sorted(&self) -> Vec<String> {
        let mut names = match self {
            EventNames::One(name) => vec![name.clone()],
            EventNames::Several(names) => names.clone(),
        };
        names.sort();
        names.dedup();
        names
    }
}

impl JsonSchema for EventNames {
    fn schema_name() -> Cow<'static, str> {
        "EventNames".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        let name = json_schema!({ "type": "string", "minLength": 1 });
        json_schema!({
            "anyOf": [
                name,
                { "type": "array", "items": name, "minItems": 1, "maxItems": weft_domain::limits::ATTRIBUTE_EVENTS_MAX },
            ],
        })
    }
}

/// A path into an event.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
pub struct PathText(pub String);

/// `events`, or a path into an event.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
pub struct CountText(pub String);

/// The word `events`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Events {
    /// The events as such.
    Events,
}

/// A condition in CEL.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
pub struct ConditionText(pub String);

/// A day or an instant.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
pub struct SinceText(pub String);

/// What is counted where it is no path.
pub const EVENTS: &str = "events";

text_schema!(PathText, { "type": "string", "format": "weft-event-path", "examples": ["properties.total", "products[].price"] });
text_schema!(CountText, { "type": "string", "format": "weft-count", "examples": ["events", "products[]"] });
text_schema!(ConditionText, { "type": "string", "format": "weft-condition", "examples": ["event.properties.total > 100"] });
text_schema!(SinceText, { "type": "string", "format": "weft-since", "examples": ["2026-01-01", "2026-03-01T12:00:00Z"] });

/// From when on something counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Since {
    /// The beginning of a day, by the workspace's zone.
    Day(jiff::civil::Date),
    /// An instant.
    Instant(Timestamp),
}

impl FromStr for Since {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if text.contains(['T', ' ']) {
            return text.parse().map(Since::Instant);
        }
        text.parse().map(Since::Day).map_err(|_| format!("`{}` is not a day such as 2026-01-01", Excerpt(text)))
    }
}
