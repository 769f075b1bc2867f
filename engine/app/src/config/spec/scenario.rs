//! Scenarios: events that are given, and what is expected to come of them, as they are written under `tests`.
//!
//! `weft test` plays them with a clock of its own; here they are only read.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use weft_domain::consent::{Purposes, Statement};
use weft_domain::event::{Context, Environment, Group, Kind, Product};
use weft_domain::value::{Excerpt, Json, Timestamp};

use super::super::units::Duration;

/// A story with an expected end.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Scenario {
    /// What it shows, in a few words.
    #[schemars(length(min = 1))]
    pub name: String,
    /// What happens, in order.
    #[schemars(length(min = 1))]
    pub given: Vec<Given>,
    /// How long the engine goes on. Default: until nothing is left to do.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub until: Option<Moment>,
    /// What has come of it.
    pub expect: Expected,
}

/// An event that is given to the engine as if a source had told it.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Given {
    /// When it happens: `"09:00"` on the first day (2026-01-01) by the clocks of the workspace's `zone`, `30m` after the one before it,
    /// or a time such as `2026-03-01T09:00:00Z`. Default: with the one before it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub at: Option<Moment>,
    /// The source that tells it. Default: the first by name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub source: Option<String>,
    /// What kind of fact it is.
    #[serde(rename = "type", default = "track")]
    pub kind: Kind,
    /// Its name, such as `Order Completed`; of a page or screen, that of the page or screen.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub event: Option<String>,
    /// Its id, to give the same event twice.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub message_id: Option<String>,
    /// Who did it: an identifier of the type `user_id`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub user_id: Option<String>,
    /// Who did it: an identifier of the type `anonymous_id`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub anonymous_id: Option<String>,
    /// Who did it: an identifier of the type `email`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub email: Option<String>,
    /// Who did it: an identifier of the type `phone`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub phone: Option<String>,
    /// Identifiers of other types, by type.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub identifiers: BTreeMap<String, String>,
    /// Of an alias: the earlier `user_id`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub previous_id: Option<String>,
    /// What is true of the person from now on.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub traits: BTreeMap<String, Json>,
    /// What is true of this event.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub properties: BTreeMap<String, Json>,
    /// The products that it is about.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub products: Vec<Product>,
    /// Where and on what it happened.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub context: Option<Context>,
    /// Purposes that the person agreed to or refused.
    #[serde(default, skip_serializing_if = "Purposes::is_empty")]
    pub consent: Purposes<Statement>,
    /// The group that it is about.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub group: Option<Group>,
    /// Where it counts. Default: as its source says.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub environment: Option<Environment>,
}

fn track() -> Kind {
    Kind::Track
}

/// What has come of a scenario. What is not mentioned is not looked at.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(extend("minProperties" = 1))]
pub struct Expected {
    /// How many customers there are.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub customers: Option<u64>,
    /// Customers that there are.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub profiles: Option<Vec<ExpectedProfile>>,
    /// Everything that was delivered, in order. An empty list: nothing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub deliveries: Option<Vec<ExpectedDelivery>>,
}

/// A customer: found by the identifiers, then compared with the rest.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ExpectedProfile {
    /// An identifier of the type `user_id`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub user_id: Option<String>,
    /// An identifier of the type `anonymous_id`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub anonymous_id: Option<String>,
    /// An identifier of the type `email`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub email: Option<String>,
    /// An identifier of the type `phone`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub phone: Option<String>,
    /// Identifiers of other types, by type.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub identifiers: BTreeMap<String, String>,
    /// Traits that the person has, with these values. A null: a trait that the person does not have.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub traits: BTreeMap<String, Json>,
    /// What the events come to, with these values. A null: an attribute that has no value.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub attributes: BTreeMap<String, Json>,
    /// Purposes agreed to or refused.
    #[serde(default, skip_serializing_if = "Purposes::is_empty")]
    pub consent: Purposes<bool>,
    /// How many events there are of this customer.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub events: Option<u64>,
}

/// A delivery.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ExpectedDelivery {
    /// The destination.
    pub to: String,
    /// The name of the event that was delivered.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub event: Option<String>,
    /// An identifier of the type `user_id` in what was delivered.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub user_id: Option<String>,
    /// An identifier of the type `anonymous_id` in what was delivered.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub anonymous_id: Option<String>,
    /// An identifier of the type `email` in what was delivered.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub email: Option<String>,
    /// An identifier of the type `phone` in what was delivered.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub phone: Option<String>,
    /// Traits that were delivered, with these values.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub traits: BTreeMap<String, Json>,
    /// Properties that were delivered, with these values.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub properties: BTreeMap<String, Json>,
    /// Whether it says that the person does not agree any more and is to be taken away.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub withdrawn: Option<bool>,
}

/// A moment of a scenario.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Moment {
    /// A time of the first day, 2026-01-01, by the clocks of the workspace's zone: milliseconds since midnight.
    Clock(u64),
    /// So long after the moment before it; of `until`, after the last.
    After(Duration),
    /// An instant.
    Instant(Timestamp),
}

impl FromStr for Moment {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if let Some(ms) = clock_ms(text) {
            return Ok(Moment::Clock(ms));
        }
        if text.contains('T') {
            return text.parse().map(Moment::Instant);
        }
        if text.contains(':') {
            return Err(format!("`{}` is not a time of day such as 09:30", Excerpt(text)));
        }
        text.parse().map(Moment::After)
    }
}

/// `HH:MM` or `HH:MM:SS`, as milliseconds since midnight.
fn clock_ms(text: &str) -> Option<u64> {
    let mut parts = text.split(':').map(|part| (part.len() == 2).then(|| part.parse::<u64>().ok()).flatten());
    let (hour, minute) = (parts.next()??, parts.next()??);
    let second = match parts.next() {
        Some(second) => second?,
        None => 0,
    };
    let fits = hour < 24 && minute < 60 && second < 60 && parts.next().is_none();
    fits.then_some(((hour * 60 + minute) * 60 + second) * 1_000)
}

impl fmt::Display for Moment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Moment::Clock(ms) => write!(f, "{:02}:{:02}:{:02}", ms / 3_600_000, ms / 60_000 % 60, ms / 1_000 % 60),
            Moment::After(duration) => write!(f, "{duration}"),
            Moment::Instant(instant) => write!(f, "{instant}"),
        }
    }
}

impl Serialize for Moment {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Moment {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Cow::<'de, str>::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
    }
}

impl JsonSchema for Moment {
    fn schema_name() -> Cow<'static, str> {
        "Moment".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": "string", "format": "weft-moment", "examples": ["09:30", "30m", "2026-03-01T09:30:00Z"] })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn moments() {
        let check = |text: &str, want: &str| {
            let got = text.parse::<Moment>().map_or_else(|error| error, |moment| moment.to_string());
            assert_eq!(got, want, "{text}");
        };
        check("09:30", "09:30:00");
        check("23:59:59", "23:59:59");
        check("30m", "30m");
        check("2026-03-01T10:30:00+01:00", "2026-03-01T09:30:00.000Z");
        check("24:00", "`24:00` is not a time of day such as 09:30");
        check("9:30", "`9:30` is not a time of day such as 09:30");
        check("09:30:00:00", "`09:30:00:00` is not a time of day such as 09:30");
        check("30", "the duration `30` has no unit");
        check("2026-03-01T10:30:00", "`2026-03-01T10:30:00` is not an RFC 3339 time such as 2026-03-01T09:30:00.000Z");
    }
}
