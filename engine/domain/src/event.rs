//! The canonical event: one shape for what every source tells, the same in the logs, in plugins, in the API and in tests.
//!
//! A source plugin gives events as JSON documents of this shape; [`Event::stamp`] completes them at the door. `docs/events.md`
//! is the page for those who write connectors, and `schemas/event.schema.json` is generated from these types. Nothing here
//! decides who an event is about: see [`crate::resolve`].

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::consent::{Purposes, Statement};
use crate::limits;
use crate::value::{Amount, Json, Timestamp};

/// Something that happened, told by a source.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Event {
    /// What kind of fact this is.
    #[serde(rename = "type")]
    pub kind: Kind,
    /// The event's name for `track` (`Order Completed`), the page's or screen's for `page` and `screen`, the record type
    /// for `record`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// The sender's own id for this event, by which a repetition is known. Where the sender gives none, the engine derives
    /// one from the source and the event's place in the intake log.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub message_id: Option<String>,
    /// When it happened. From a plugin: by the sender's clock. In the logs: corrected ([`Event::stamp`]).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub occurred: Option<Timestamp>,
    /// When the sender sent it, by the sender's clock.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sent: Option<Timestamp>,
    /// When the engine received it. The engine's to set.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub received: Option<Timestamp>,
    /// What the sender's clock said, where the correction had to discard it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub claimed: Option<Timestamp>,
    /// Where it counts. A source has a default; an event may say otherwise.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub environment: Option<Environment>,
    /// Identifiers that this event says belong to one person.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub claims: Vec<Identifier>,
    /// What is true of the person from now on. A null takes a trait away.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub traits: BTreeMap<String, Json>,
    /// What is true of this event: a JSON object.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub properties: Option<Json>,
    /// Products that it is about.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub products: Vec<Product>,
    /// Where and on what it happened.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub context: Option<Context>,
    /// Purposes that the person agreed to or refused, such as `marketing`, under regulations or under none.
    #[serde(default, skip_serializing_if = "Purposes::is_empty")]
    pub consent: Purposes<Statement>,
    /// The group (company, household, account) that it is about.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub group: Option<Group>,
    /// The delivery that this answers.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub in_response_to: Option<Answer>,
}

/// The kinds of events: Segment's six calls, and `record` for facts without a person.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// Somebody did something.
    Track,
    /// Somebody saw a page of a web site.
    Page,
    /// Somebody saw a screen of an app.
    Screen,
    /// Something is true of somebody.
    Identify,
    /// Somebody belongs to a group.
    Group,
    /// Two identifiers are the same person's, said outright.
    Alias,
    /// A fact without a person: an ad's cost, a product of the catalogue.
    Record,
}

/// Development events reach development destinations only, as at mParticle.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Environment {
    /// Tests and trials.
    Development,
    /// Real customers.
    #[default]
    Production,
}

/// An identifier of a person.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Identifier {
    /// `user_id`, `email`, `phone`, `anonymous_id`, or any type that the workspace declares.
    #[serde(rename = "type")]
    pub kind: String,
    /// Compared byte by byte: normalise before.
    pub value: String,
    /// How it was learnt.
    #[serde(default)]
    #[schemars(skip_serializing_if = "Learnt::goes_without_saying")]
    pub how: Learnt,
}

impl Identifier {
    /// An identifier that was observed.
    #[must_use]
    pub fn observed(kind: &str, value: &str) -> Self {
        Identifier { kind: kind.to_owned(), value: value.to_owned(), how: Learnt::Observed }
    }
}

impl Serialize for Identifier {
    /// JSON leaves out what goes without saying; a row has every field, since its format has no names.
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        use serde::ser::SerializeStruct;
        let is_brief = serializer.is_human_readable() && self.how.goes_without_saying();
        let mut fields = serializer.serialize_struct("Identifier", if is_brief { 2 } else { 3 })?;
        fields.serialize_field("type", &self.kind)?;
        fields.serialize_field("value", &self.value)?;
        if !is_brief {
            fields.serialize_field("how", &self.how)?;
        }
        fields.end()
    }
}

/// How an identifier was learnt.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Learnt {
    /// It stood on the event beside the others.
    #[default]
    Observed,
    /// The sender says that this is an earlier identifier of the same person: it does not count towards its type's limit.
    Alias,
    /// The sender says outright that it is this person's, and takes back that it was [`Learnt::Removed`]. The event is about who has its
    /// other identifiers.
    Added,
    /// The sender says that it is not this person's any more: it joins nobody here, and is kept apart from the person.
    Removed,
}

impl Learnt {
    /// Whether JSON leaves it out.
    #[allow(clippy::trivially_copy_pass_by_ref)]
    fn goes_without_saying(&self) -> bool {
        *self == Learnt::Observed
    }
}

/// A product of a commerce event.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Product {
    /// The shop's own id.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub id: Option<String>,
    /// The stock keeping unit.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sku: Option<String>,
    /// Its name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// Its brand.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub brand: Option<String>,
    /// Its category.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub category: Option<String>,
    /// Its variant: size, colour.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub variant: Option<String>,
    /// The price of one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub price: Option<Amount>,
    /// How many.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub quantity: Option<Amount>,
    /// The coupon used.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub coupon: Option<String>,
    /// Its place in the list.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub position: Option<Amount>,
    /// Whatever else the sender says of it: a JSON object.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub properties: Option<Json>,
}

/// Where and on what an event happened.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Context {
    /// The device: a JSON object (`id`, `type`, `model`, `manufacturer`, `os`, `screen` …).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub device: Option<Json>,
    /// The app: a JSON object (`name`, `version`, `build`).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub app: Option<Json>,
    /// The place: a JSON object (`city`, `country`, `latitude`, `longitude` …).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub place: Option<Json>,
    /// The campaign that led here: a JSON object (`name`, `source`, `medium`, `term`, `content`).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub campaign: Option<Json>,
    /// The page: a JSON object (`url`, `path`, `title`, `referrer`, `search`).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub page: Option<Json>,
    /// The IANA time zone of the person.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub zone: Option<String>,
    /// The BCP 47 locale of the person.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub locale: Option<String>,
    /// The address that it came from.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ip: Option<String>,
    /// The user agent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub user_agent: Option<String>,
    /// The library that sent it: a JSON object (`name`, `version`).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub library: Option<Json>,
    /// Whatever else the sender says: a JSON object.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub extra: Option<Json>,
}

/// A group of people.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Group {
    /// The group's id.
    pub id: String,
    /// What is true of the group.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub traits: BTreeMap<String, Json>,
}

/// What somebody did with a delivery.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Answer {
    /// The delivery's idempotency key.
    pub delivery: String,
    /// What was done with it.
    pub action: Action,
}

/// The ways to answer a delivery.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Action {
    /// It arrived.
    Delivered,
    /// It was opened.
    Opened,
    /// A link in it was followed.
    Clicked,
    /// It could not be delivered.
    Bounced,
    /// The person wants no more.
    Unsubscribed,
    /// The person called it spam.
    Complained,
}

impl Event {
    /// Reads an event from the JSON that a plugin gave, and checks it.
    ///
    /// # Errors
    /// What is wrong, in words for the author of the plugin.
    pub fn parse(bytes: &[u8]) -> Result<Event, String> {
        if bytes.len() > limits::EVENT_BYTES_MAX {
            return Err(format!("the event has {} bytes, and {} are allowed", bytes.len(), limits::EVENT_BYTES_MAX));
        }
        if is_too_deep(bytes) {
            return Err(format!("the event is nested deeper than {} levels", limits::EVENT_DEPTH_MAX));
        }
        let event: Event = serde_json::from_slice(bytes).map_err(|error| format!("not a canonical event: {error}"))?;
        event.check()?;
        Ok(event)
    }

    /// The JSON text in which the engine keeps the event.
    #[must_use]
    pub fn to_json(&self) -> Vec<u8> {
        serde_json::to_vec(self).expect("an event has string keys and valid JSON in it")
    }

    fn check(&self) -> Result<(), String> {
        let within = |what: &str, bytes: usize, max: usize| {
            if bytes > max { Err(format!("{what} has {bytes} bytes, and {max} are allowed")) } else { Ok(()) }
        };
        let few = |what: &str, count: usize, max: usize| {
            if count > max { Err(format!("there are {count} {what}, and {max} are allowed")) } else { Ok(()) }
        };
        let object = |what: &str, json: &Option<Json>| match json {
            Some(json) if !json.is_object() => Err(format!("{what} must be an object")),
            _ => Ok(()),
        };
        if self.kind == Kind::Track && self.name.as_deref().unwrap_or_default().is_empty() {
            return Err("a track event needs a name".into());
        }
        within("the name", self.name.as_ref().map_or(0, String::len), limits::EVENT_NAME_BYTES_MAX)?;
        match self.message_id.as_deref() {
            Some("") => return Err("the message id is empty: leave it out instead".into()),
            Some(id) => within("the message id", id.len(), limits::MESSAGE_ID_BYTES_MAX)?,
            None => (),
        }
        few("identifiers", self.claims.len(), limits::EVENT_IDENTIFIERS_MAX)?;
        for identifier in &self.claims {
            if identifier.kind.is_empty() || identifier.value.is_empty() {
                return Err("an identifier needs a type and a value".into());
            }
            within("an identifier's type", identifier.kind.len(), limits::IDENTIFIER_TYPE_BYTES_MAX)?;
            within("an identifier's value", identifier.value.len(), limits::IDENTIFIER_VALUE_BYTES_MAX)?;
        }
        for (purpose, said) in &self.consent.0 {
            purpose.check()?;
            said.proof.check()?;
        }
        few("traits", self.traits.len(), limits::EVENT_TRAITS_MAX)?;
        for (name, value) in &self.traits {
            within("a trait's name", name.len(), limits::TRAIT_NAME_BYTES_MAX)?;
            within(&format!("the trait `{}`", crate::value::Excerpt(name)), value.text().len(), limits::TRAIT_VALUE_BYTES_MAX)?;
        }
        few("products", self.products.len(), limits::EVENT_PRODUCTS_MAX)?;
        object("properties", &self.properties)?;
        self.products.iter().try_for_each(|product| object("a product's properties", &product.properties))?;
        let Some(context) = &self.context else { return Ok(()) };
        object("context.device", &context.device)?;
        object("context.app", &context.app)?;
        object("context.place", &context.place)?;
        object("context.campaign", &context.campaign)?;
        object("context.page", &context.page)?;
        object("context.library", &context.library)?;
        object("context.extra", &context.extra)
    }

    /// Completes an event at the door: when it was received, where it counts, and when it really happened.
    ///
    /// The clock rule is Segment's: the sender's clock is wrong by `received - sent`, so that is added to `occurred`. What
    /// then lies after `received` or before the year 2000 comes from a clock that cannot be trusted at all; it becomes
    /// `received`, and `claimed` keeps what the sender said.
    pub fn stamp(&mut self, received: Timestamp, environment: Environment) {
        self.received = Some(received);
        self.environment.get_or_insert(environment);
        self.claimed = None;
        let Some(said) = self.occurred else {
            self.occurred = Some(received);
            return;
        };
        let skew_ms = self.sent.map_or(0, |sent| received.0.saturating_sub(sent.0));
        let corrected = said.plus_ms(skew_ms);
        let trusted = (limits::OCCURRED_MS_MIN..=received.0).contains(&corrected.0);
        if !trusted {
            self.claimed = Some(said);
        }
        self.occurred = Some(if trusted { corrected } else { received });
    }

    /// When it happened; the epoch for an event that was never stamped.
    #[must_use]
    pub fn occurred(&self) -> Timestamp {
        self.occurred.or(self.received).unwrap_or_default()
    }
}

/// Whether a JSON text is nested deeper than [`limits::EVENT_DEPTH_MAX`]. Of what is no JSON, some answer.
#[must_use]
pub fn is_too_deep(json: &[u8]) -> bool {
    // Most texts do not open as many brackets in all, which is seen at a glance.
    if json.iter().filter(|byte| matches!(byte, b'{' | b'[')).count() <= limits::EVENT_DEPTH_MAX {
        return false;
    }
    let (mut depth, mut deepest, mut inside, mut escaped) = (0_usize, 0, false, false);
    for byte in json {
        match byte {
            _ if escaped => escaped = false,
            b'\\' => escaped = inside,
            b'"' => inside = !inside,
            b'{' | b'[' if !inside => {
                depth += 1;
                deepest = deepest.max(depth);
            }
            b'}' | b']' if !inside => depth = depth.saturating_sub(1),
            _ => (),
        }
    }
    deepest > limits::EVENT_DEPTH_MAX
}

#[cfg(test)]
mod tests {
    use super::*;

    fn event(json: &str) -> Event {
        Event::parse(json.as_bytes()).expect("a valid event")
    }

    #[test]
    fn the_clock_rule() {
        let check = |occurred: &str, sent: &str, want: &str, claimed: bool| {
            let mut event = event(r#"{"type":"page"}"#);
            event.occurred = (!occurred.is_empty()).then(|| occurred.parse().expect("valid"));
            event.sent = (!sent.is_empty()).then(|| sent.parse().expect("valid"));
            event.stamp("2026-03-01T12:00:00Z".parse().expect("valid"), Environment::Production);
            assert_eq!(event.occurred(), want.parse().expect("valid"), "occurred {occurred}, sent {sent}");
            assert_eq!(event.claimed.is_some(), claimed, "occurred {occurred}, sent {sent}");
        };
        check("", "", "2026-03-01T12:00:00Z", false);
        check("2026-03-01T11:00:00Z", "", "2026-03-01T11:00:00Z", false);
        // A clock an hour ahead: it happened five seconds before it was sent.
        check("2026-03-01T12:59:55Z", "2026-03-01T13:00:00Z", "2026-03-01T11:59:55Z", false);
        // A clock that was never set is wrong by the same amount both times.
        check("1970-01-01T00:00:00Z", "1970-01-01T00:00:10Z", "2026-03-01T11:59:50Z", false);
        check("1970-01-01T00:00:00Z", "", "2026-03-01T12:00:00Z", true);
        check("2099-01-01T00:00:00Z", "", "2026-03-01T12:00:00Z", true);
        check("2099-01-01T00:00:00Z", "2026-03-01T12:00:00Z", "2026-03-01T12:00:00Z", true);
    }

    #[test]
    fn what_is_not_an_event_is_refused_with_its_reason() {
        let check = |json: &str, want: &str| {
            let error = Event::parse(json.as_bytes()).expect_err(json);
            assert!(error.contains(want), "{json}: {error}");
        };
        check("", "not a canonical event");
        check("[]", "not a canonical event");
        check(r#"{"type":"walk"}"#, "walk");
        check(r#"{"type":"track"}"#, "needs a name");
        check(r#"{"type":"page","colour":1}"#, "colour");
        check(r#"{"type":"page","type":"page"}"#, "duplicate");
        check(r#"{"type":"page","properties":[]}"#, "must be an object");
        check(r#"{"type":"page","message_id":""}"#, "empty");
        check(r#"{"type":"page","claims":[{"type":"email","value":""}]}"#, "needs a type and a value");
        check("{\"type\":\"page\",\"name\":\"\u{0}", "not a canonical event");
        let many = format!(r#"{{"type":"page","claims":[{}]}}"#, vec![r#"{"type":"email","value":"x"}"#; 4000].join(","));
        check(&many, "4000 identifiers");
        check(&format!(r#"{{"type":"page","name":"{}"}}"#, "x".repeat(300_000)), "bytes");
        check(&format!(r#"{{"type":"page","properties":{{"a\"[":{}{}}}}}"#, "[".repeat(63), "]".repeat(63)), "nested deeper");
        event(&format!(r#"{{"type":"page","properties":{{"a\"[":{}{}}}}}"#, "[".repeat(62), "]".repeat(62)));
    }

    #[test]
    fn an_event_is_the_same_after_a_round_trip() {
        let json = r#"{"type":"track","name":"Order Completed","message_id":"m1","occurred":"2026-03-01T12:00:00.000Z","claims":[{"type":"user_id","value":"ann"},{"type":"user_id","value":"old","how":"alias"}],"traits":{"age":null},"properties":{"total":19.90,"deep":{"a":[1,2]}},"products":[{"id":"p1","price":9.95,"quantity":2}],"context":{"page":{"url":"https://shop.example/"},"zone":"Europe/Berlin"},"consent":{"marketing":true}}"#;
        assert_eq!(String::from_utf8(event(json).to_json()).expect("UTF-8"), json);
    }
}
