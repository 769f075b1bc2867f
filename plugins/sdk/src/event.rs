//! Builds canonical events as JSON bytes, without a tree in between.
//!
//! What an event is, field by field, is on `docs/events.md`. The builder borrows what the sender said and writes it once; it
//! holds the engine's bounds ([`crate::limits`]), so that what it finishes is an event to the engine.

use std::borrow::Cow;

use schemars::JsonSchema;
use serde::Deserialize;

use crate::contract::Rejection;
use crate::json::{Json, amount_of, push_string};
use crate::limits;
use crate::time::{TEXT_BYTES, Timestamp};

/// The kinds of events.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// Somebody did something; needs a name.
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

impl Kind {
    /// Its name in an event's `type`.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Kind::Track => "track",
            Kind::Page => "page",
            Kind::Screen => "screen",
            Kind::Identify => "identify",
            Kind::Group => "group",
            Kind::Alias => "alias",
            Kind::Record => "record",
        }
    }

    /// The kind of that name.
    #[must_use]
    pub fn of(name: &str) -> Option<Self> {
        const ALL: [Kind; 7] = [Kind::Track, Kind::Page, Kind::Screen, Kind::Identify, Kind::Group, Kind::Alias, Kind::Record];
        ALL.into_iter().find(|kind| kind.name() == name)
    }
}

/// How an identifier was learnt.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Learnt {
    /// It stood on the event beside the others.
    #[default]
    Observed,
    /// The sender says that this is an earlier identifier of the same person.
    Alias,
    /// The sender says outright that this is the person's.
    Added,
    /// The sender says that this is not the person's any more.
    Removed,
}

impl Learnt {
    /// How an event says it; none where it goes without saying.
    fn word(self) -> Option<&'static str> {
        match self {
            Learnt::Observed => None,
            Learnt::Alias => Some("alias"),
            Learnt::Added => Some("added"),
            Learnt::Removed => Some("removed"),
        }
    }
}

/// Where an event counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Environment {
    /// It is real.
    Production,
    /// It is somebody's who tries something.
    Development,
}

impl Environment {
    /// The environment of that name.
    #[must_use]
    pub fn of(name: &str) -> Option<Self> {
        [Environment::Production, Environment::Development].into_iter().find(|environment| environment.name() == name)
    }

    fn name(self) -> &'static str {
        match self {
            Environment::Production => "production",
            Environment::Development => "development",
        }
    }
}

/// The ways to answer a delivery.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
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

/// An event in the making. Set what the sender said, then [`EventBuilder::finish`].
#[derive(Clone, Debug)]
pub struct EventBuilder<'a> {
    /// What kind of fact it is.
    pub kind: Kind,
    /// The event's name; a page's or a screen's; a record's type.
    pub name: Option<Cow<'a, str>>,
    /// The sender's own id for it, by which a repetition is known. Without one the engine derives it.
    pub message_id: Option<Cow<'a, str>>,
    /// When it happened, by the sender's clock.
    pub occurred: Option<Timestamp>,
    /// When it was sent, by the sender's clock: with it the engine corrects `occurred`.
    pub sent: Option<Timestamp>,
    /// Where it counts, where the sender says so. Without it, the source's own holds.
    pub environment: Option<Environment>,
    /// What is true of the event: an object.
    pub properties: Option<Json<'a>>,
    /// The products that it is about.
    pub products: Vec<ProductBuilder<'a>>,
    /// Where and on what it happened.
    pub context: ContextBuilder<'a>,
    /// The group that it is about.
    pub group: Option<GroupBuilder<'a>>,
    /// The delivery that it answers, by its idempotency key.
    pub in_response_to: Option<(Cow<'a, str>, Action)>,
    claims: Vec<(Cow<'a, str>, Cow<'a, str>, Learnt)>,
    traits: Vec<(Cow<'a, str>, Json<'a>)>,
    consent: Vec<(Option<Cow<'a, str>>, Cow<'a, str>, ConsentBuilder<'a>)>,
}

/// What somebody said of a purpose.
#[derive(Clone, Debug, Default)]
pub struct ConsentBuilder<'a> {
    /// Whether the person agreed.
    pub granted: bool,
    /// When the person said so, where that was before the event.
    pub at: Option<Timestamp>,
    /// The document or its version that the person agreed to or refused.
    pub document: Option<Cow<'a, str>>,
    /// Where the person said so.
    pub location: Option<Cow<'a, str>>,
    /// The device on which the person said so.
    pub hardware_id: Option<Cow<'a, str>>,
}

/// A product of a commerce event.
#[derive(Clone, Debug, Default)]
pub struct ProductBuilder<'a> {
    /// The shop's own id.
    pub id: Option<Cow<'a, str>>,
    /// The stock keeping unit.
    pub sku: Option<Cow<'a, str>>,
    /// Its name.
    pub name: Option<Cow<'a, str>>,
    /// Its brand.
    pub brand: Option<Cow<'a, str>>,
    /// Its category.
    pub category: Option<Cow<'a, str>>,
    /// Its variant.
    pub variant: Option<Cow<'a, str>>,
    /// The coupon used.
    pub coupon: Option<Cow<'a, str>>,
    /// The price of one: set it by [`ProductBuilder::amount`], which says whether it is one.
    pub price: Option<&'a str>,
    /// How many: see `price`.
    pub quantity: Option<&'a str>,
    /// Its place in a list: see `price`.
    pub position: Option<&'a str>,
    /// Whatever else the sender says of it: an object.
    pub properties: Option<Json<'a>>,
}

impl ProductBuilder<'_> {
    /// The exact decimal that a JSON number, or a JSON string of one, is; none where the engine would not read it as one.
    #[must_use]
    pub fn amount(json: &str) -> Option<&str> {
        amount_of(json)
    }
}

/// Where and on what an event happened. What is `Json` is an object.
#[derive(Clone, Debug, Default)]
pub struct ContextBuilder<'a> {
    /// `id`, `type`, `model`, `manufacturer`, `os`, `screen` …
    pub device: Option<Json<'a>>,
    /// `name`, `version`, `build`.
    pub app: Option<Json<'a>>,
    /// `city`, `country`, `latitude`, `longitude` …
    pub place: Option<Json<'a>>,
    /// `name`, `source`, `medium`, `term`, `content`.
    pub campaign: Option<Json<'a>>,
    /// `url`, `path`, `title`, `referrer`, `search`.
    pub page: Option<Json<'a>>,
    /// The IANA time zone of the person.
    pub zone: Option<Cow<'a, str>>,
    /// The BCP 47 locale of the person.
    pub locale: Option<Cow<'a, str>>,
    /// The address that it came from.
    pub ip: Option<Cow<'a, str>>,
    /// The user agent.
    pub user_agent: Option<Cow<'a, str>>,
    /// `name`, `version`.
    pub library: Option<Json<'a>>,
    /// Whatever else the sender says.
    pub extra: Option<Json<'a>>,
}

/// A group of people.
#[derive(Clone, Debug)]
pub struct GroupBuilder<'a> {
    /// Its id.
    pub id: Cow<'a, str>,
    /// What is true of it.
    pub traits: Vec<(Cow<'a, str>, Json<'a>)>,
}

impl ConsentBuilder<'_> {
    fn write(&self, out: &mut Vec<u8>) {
        let granted: &[u8] = if self.granted { b"true" } else { b"false" };
        if self.at.is_none() && self.document.is_none() && self.location.is_none() && self.hardware_id.is_none() {
            out.extend_from_slice(granted);
            return;
        }
        object(out, |out| {
            key(out, "granted");
            out.extend_from_slice(granted);
            instant(out, "at", self.at);
            text(out, "document", self.document.as_deref());
            text(out, "location", self.location.as_deref());
            text(out, "hardware_id", self.hardware_id.as_deref());
        });
    }
}

impl<'a> EventBuilder<'a> {
    /// An event that says nothing yet.
    #[must_use]
    pub fn new(kind: Kind) -> Self {
        EventBuilder {
            kind,
            name: None,
            message_id: None,
            occurred: None,
            sent: None,
            environment: None,
            properties: None,
            products: Vec::new(),
            context: ContextBuilder::default(),
            group: None,
            in_response_to: None,
            claims: Vec::new(),
            traits: Vec::new(),
            consent: Vec::new(),
        }
    }

    /// Says that the event is about whoever has this identifier. An empty value says nothing, a repetition nothing more.
    pub fn claim(&mut self, kind: impl Into<Cow<'a, str>>, value: impl Into<Cow<'a, str>>) -> &mut Self {
        self.claim_learnt(kind, value, Learnt::Observed)
    }

    /// Says that this is an earlier identifier of the same person.
    pub fn claim_alias(&mut self, kind: impl Into<Cow<'a, str>>, value: impl Into<Cow<'a, str>>) -> &mut Self {
        self.claim_learnt(kind, value, Learnt::Alias)
    }

    /// Says outright that this is the person's, and takes back that it was removed.
    pub fn claim_added(&mut self, kind: impl Into<Cow<'a, str>>, value: impl Into<Cow<'a, str>>) -> &mut Self {
        self.claim_learnt(kind, value, Learnt::Added)
    }

    /// Says that this is not the person's any more; the person is who has the event's other identifiers.
    pub fn claim_removed(&mut self, kind: impl Into<Cow<'a, str>>, value: impl Into<Cow<'a, str>>) -> &mut Self {
        self.claim_learnt(kind, value, Learnt::Removed)
    }

    fn claim_learnt(&mut self, kind: impl Into<Cow<'a, str>>, value: impl Into<Cow<'a, str>>, how: Learnt) -> &mut Self {
        let (kind, value) = (kind.into(), value.into());
        let known = |claim: &(Cow<str>, Cow<str>, Learnt)| claim.0 == kind && claim.1 == value;
        if !kind.is_empty() && !value.is_empty() && !self.claims.iter().any(known) {
            self.claims.push((kind, value, how));
        }
        self
    }

    /// The identifiers so far: type and value.
    pub fn claims(&self) -> impl Iterator<Item = (&str, &str)> {
        self.claims.iter().map(|(kind, value, _)| (kind.as_ref(), value.as_ref()))
    }

    /// Says what is true of the person from now on; null takes a trait away. The last value of a name counts.
    pub fn fact(&mut self, name: impl Into<Cow<'a, str>>, value: impl Into<Json<'a>>) -> &mut Self {
        self.traits.push((name.into(), value.into()));
        self
    }

    /// Says that the person agreed to a purpose, or refused it.
    pub fn consent(&mut self, purpose: impl Into<Cow<'a, str>>, agreed: bool) -> &mut Self {
        self.consent.push((None, purpose.into(), ConsentBuilder { granted: agreed, ..ConsentBuilder::default() }));
        self
    }

    /// Says that the person agreed to a purpose that falls under a regulation, such as `gdpr`, or refused it.
    pub fn consent_under(
        &mut self,
        regulation: impl Into<Cow<'a, str>>,
        purpose: impl Into<Cow<'a, str>>,
        said: ConsentBuilder<'a>,
    ) -> &mut Self {
        self.consent.push((Some(regulation.into()), purpose.into(), said));
        self
    }

    /// The canonical event as JSON bytes.
    ///
    /// # Errors
    /// The bound or rule that it breaks, which the engine would refuse it for: refuse the sender's bytes with it.
    pub fn finish(&self) -> Result<Vec<u8>, Rejection> {
        self.check()?;
        let mut out = Vec::with_capacity(self.bytes_about());
        out.extend_from_slice(b"{\"type\":\"");
        out.extend_from_slice(self.kind.name().as_bytes());
        out.push(b'"');
        text(&mut out, "name", self.name.as_deref());
        text(&mut out, "message_id", self.message_id.as_deref());
        instant(&mut out, "occurred", self.occurred);
        instant(&mut out, "sent", self.sent);
        text(&mut out, "environment", self.environment.map(Environment::name));
        self.write_claims(&mut out);
        if !self.traits.is_empty() {
            key(&mut out, "traits");
            pairs(&mut out, &self.traits);
        }
        json(&mut out, "properties", self.properties.as_ref());
        if !self.products.is_empty() {
            key(&mut out, "products");
            out.push(b'[');
            for (place, product) in self.products.iter().enumerate() {
                if place > 0 {
                    out.push(b',');
                }
                product.write(&mut out);
            }
            out.push(b']');
        }
        self.context.write(&mut out);
        self.write_consent(&mut out);
        if let Some(group) = &self.group {
            key(&mut out, "group");
            object(&mut out, |out| {
                text(out, "id", Some(&group.id));
                if !group.traits.is_empty() {
                    key(out, "traits");
                    pairs(out, &group.traits);
                }
            });
        }
        if let Some((delivery, action)) = &self.in_response_to {
            key(&mut out, "in_response_to");
            object(&mut out, |out| {
                text(out, "delivery", Some(delivery));
                text(out, "action", Some(action.name()));
            });
        }
        out.push(b'}');
        within("event_too_large", "the event", out.len(), limits::EVENT_BYTES_MAX)?;
        Ok(out)
    }

    fn write_claims(&self, out: &mut Vec<u8>) {
        if self.claims.is_empty() {
            return;
        }
        key(out, "claims");
        out.push(b'[');
        for (place, (kind, value, how)) in self.claims.iter().enumerate() {
            if place > 0 {
                out.push(b',');
            }
            object(out, |out| {
                text(out, "type", Some(kind));
                text(out, "value", Some(value));
                text(out, "how", how.word());
            });
        }
        out.push(b']');
    }

    fn write_consent(&self, out: &mut Vec<u8>) {
        if self.consent.is_empty() {
            return;
        }
        let mut regulations: Vec<&str> = Vec::new();
        for regulation in self.consent.iter().filter_map(|(regulation, ..)| regulation.as_deref()) {
            if !regulations.contains(&regulation) {
                regulations.push(regulation);
            }
        }
        key(out, "consent");
        object(out, |out| {
            for (_, purpose, said) in self.consent.iter().filter(|(regulation, ..)| regulation.is_none()) {
                their_key(out, purpose);
                said.write(out);
            }
            for regulation in regulations {
                their_key(out, regulation);
                object(out, |out| {
                    for (_, purpose, said) in self.consent.iter().filter(|(of, ..)| of.as_deref() == Some(regulation)) {
                        their_key(out, purpose);
                        said.write(out);
                    }
                });
            }
        });
    }

    fn check(&self) -> Result<(), Rejection> {
        if self.kind == Kind::Track && self.name.as_deref().unwrap_or_default().is_empty() {
            return Err(Rejection::new("no_name", "a track event needs a name"));
        }
        within("name_too_long", "the name", self.name.as_ref().map_or(0, |name| name.len()), limits::EVENT_NAME_BYTES_MAX)?;
        if let Some(id) = &self.message_id {
            if id.is_empty() {
                return Err(Rejection::new("bad_message_id", "the message id is empty"));
            }
            within("bad_message_id", "the message id", id.len(), limits::MESSAGE_ID_BYTES_MAX)?;
        }
        few("too_many_identifiers", "identifiers", self.claims.len(), limits::EVENT_IDENTIFIERS_MAX)?;
        for (kind, value, _) in &self.claims {
            within("identifier_too_long", "an identifier's type", kind.len(), limits::IDENTIFIER_TYPE_BYTES_MAX)?;
            within("identifier_too_long", "an identifier's value", value.len(), limits::IDENTIFIER_VALUE_BYTES_MAX)?;
        }
        few("too_many_traits", "traits", self.traits.len(), limits::EVENT_TRAITS_MAX)?;
        for (name, value) in &self.traits {
            within("trait_too_long", "a trait's name", name.len(), limits::TRAIT_NAME_BYTES_MAX)?;
            within("trait_too_long", "a trait's value", value.text().len(), limits::TRAIT_VALUE_BYTES_MAX)?;
        }
        few("too_many_purposes", "purposes", self.consent.len(), limits::PURPOSES_MAX)?;
        for (regulation, purpose, said) in &self.consent {
            for name in regulation.iter().chain([purpose]) {
                within("purpose_too_long", "the name of a purpose", name.len(), limits::PURPOSE_NAME_BYTES_MAX)?;
            }
            for text in [&said.document, &said.location, &said.hardware_id].into_iter().flatten() {
                within("purpose_too_long", "what a consent was said in", text.len(), limits::PROOF_BYTES_MAX)?;
            }
        }
        few("too_many_products", "products", self.products.len(), limits::EVENT_PRODUCTS_MAX)?;
        let context = &self.context;
        let mut objects = [
            &self.properties,
            &context.device,
            &context.app,
            &context.place,
            &context.campaign,
            &context.page,
            &context.library,
            &context.extra,
        ]
        .into_iter()
        .chain(self.products.iter().map(|product| &product.properties))
        .flatten();
        if objects.any(|json| !json.is_object()) {
            return Err(Rejection::new("not_an_object", "properties, and the parts of the context, must be objects"));
        }
        Ok(())
    }

    /// A little more than the event will have, so that it is written without growing.
    fn bytes_about(&self) -> usize {
        let texts =
            |pairs: &[(Cow<str>, Json)]| -> usize { pairs.iter().map(|(name, value)| name.len() + value.text().len() + 4).sum() };
        let json = |json: &Option<Json>| json.as_ref().map_or(0, |json| json.text().len() + 16);
        let context = &self.context;
        let objects =
            [&context.device, &context.app, &context.place, &context.campaign, &context.page, &context.library, &context.extra];
        512 + json(&self.properties)
            + texts(&self.traits)
            + self.products.len() * 256
            + objects.into_iter().map(json).sum::<usize>()
            + context.user_agent.as_ref().map_or(0, |agent| agent.len())
    }
}

impl ProductBuilder<'_> {
    fn write(&self, out: &mut Vec<u8>) {
        object(out, |out| {
            text(out, "id", self.id.as_deref());
            text(out, "sku", self.sku.as_deref());
            text(out, "name", self.name.as_deref());
            text(out, "brand", self.brand.as_deref());
            text(out, "category", self.category.as_deref());
            text(out, "variant", self.variant.as_deref());
            text(out, "coupon", self.coupon.as_deref());
            for (name, amount) in [("price", self.price), ("quantity", self.quantity), ("position", self.position)] {
                // Whatever was set past `amount` must not break the document.
                if let Some(amount) = amount.and_then(amount_of) {
                    key(out, name);
                    out.extend_from_slice(amount.as_bytes());
                }
            }
            json(out, "properties", self.properties.as_ref());
        });
    }
}

impl ContextBuilder<'_> {
    fn write(&self, out: &mut Vec<u8>) {
        let start = out.len();
        key(out, "context");
        let empty = out.len() + 2;
        object(out, |out| {
            json(out, "device", self.device.as_ref());
            json(out, "app", self.app.as_ref());
            json(out, "place", self.place.as_ref());
            json(out, "campaign", self.campaign.as_ref());
            json(out, "page", self.page.as_ref());
            text(out, "zone", self.zone.as_deref());
            text(out, "locale", self.locale.as_deref());
            text(out, "ip", self.ip.as_deref());
            text(out, "user_agent", self.user_agent.as_deref());
            json(out, "library", self.library.as_ref());
            json(out, "extra", self.extra.as_ref());
        });
        if out.len() == empty {
            out.truncate(start);
        }
    }
}

impl Action {
    fn name(self) -> &'static str {
        match self {
            Action::Delivered => "delivered",
            Action::Opened => "opened",
            Action::Clicked => "clicked",
            Action::Bounced => "bounced",
            Action::Unsubscribed => "unsubscribed",
            Action::Complained => "complained",
        }
    }
}

/// Writes a name of the event's own, which needs no escape, and the comma before it where it is not the first.
fn key(out: &mut Vec<u8>, name: &'static str) {
    out.extend_from_slice(if out.last() == Some(&b'{') { b"\"" } else { b",\"" });
    out.extend_from_slice(name.as_bytes());
    out.extend_from_slice(b"\":");
}

/// Writes a name of the sender's.
fn their_key(out: &mut Vec<u8>, name: &str) {
    if out.last() != Some(&b'{') {
        out.push(b',');
    }
    push_string(out, name);
    out.push(b':');
}

fn text(out: &mut Vec<u8>, name: &'static str, text: Option<&str>) {
    if let Some(text) = text {
        key(out, name);
        push_string(out, text);
    }
}

fn instant(out: &mut Vec<u8>, name: &'static str, instant: Option<Timestamp>) {
    if let Some(instant) = instant {
        text(out, name, Some(instant.write(&mut [0; TEXT_BYTES])));
    }
}

fn json(out: &mut Vec<u8>, name: &'static str, json: Option<&Json>) {
    if let Some(json) = json {
        key(out, name);
        out.extend_from_slice(json.text().as_bytes());
    }
}

fn object(out: &mut Vec<u8>, fields: impl FnOnce(&mut Vec<u8>)) {
    out.push(b'{');
    fields(out);
    out.push(b'}');
}

fn pairs(out: &mut Vec<u8>, pairs: &[(Cow<str>, Json)]) {
    object(out, |out| {
        for (name, value) in pairs {
            their_key(out, name);
            out.extend_from_slice(value.text().as_bytes());
        }
    });
}

fn within(code: &str, what: &str, bytes: usize, max: usize) -> Result<(), Rejection> {
    if bytes > max { Err(Rejection::new(code, format!("{what} has {bytes} bytes, and {max} are allowed"))) } else { Ok(()) }
}

fn few(code: &str, what: &str, count: usize, max: usize) -> Result<(), Rejection> {
    if count > max { Err(Rejection::new(code, format!("there are {count} {what}, and {max} are allowed"))) } else { Ok(()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn full() -> EventBuilder<'static> {
        let object = |text: &'static str| Some(Json::parse(text).expect("JSON"));
        let mut event = EventBuilder::new(Kind::Track);
        event.name = Some("Order \"Completed\"\n".into());
        event.message_id = Some("m-1".into());
        event.occurred = Timestamp::from_ms(1_772_357_400_123);
        event.sent = Timestamp::from_ms(1_772_357_401_000);
        event.environment = Environment::of("development");
        event.claim("user_id", "ann").claim("user_id", "ann").claim("email", "").claim_alias("anonymous_id", "a");
        event.fact("age", Json::of(&7).expect("JSON")).fact("\u{1}", Json::parse("null").expect("JSON"));
        event.properties = object("{\"total\": 19.90}");
        event.products =
            vec![ProductBuilder { id: Some("p".into()), price: ProductBuilder::amount("\"9.95\""), ..Default::default() }];
        event.context = ContextBuilder { zone: Some("Europe/Berlin".into()), extra: object("{\"a\":1}"), ..Default::default() };
        event.consent("marketing", true).consent("ads", false);
        let at = Timestamp::parse("2026-03-01T09:00:00Z");
        let said = ConsentBuilder { granted: true, at, document: Some("v3".into()), ..ConsentBuilder::default() };
        event.consent_under("gdpr", "mail", said).consent_under("gdpr", "sms", ConsentBuilder::default());
        event.group = Some(GroupBuilder { id: "g".into(), traits: vec![("plan".into(), Json::of("pro").expect("JSON"))] });
        event.in_response_to = Some(("k".into(), Action::Opened));
        event
    }

    #[test]
    fn the_engine_reads_what_is_built() {
        let bytes = full().finish().expect("within bounds");
        let event = weft_domain::event::Event::parse(&bytes).expect("an event");
        let want = r#"{"type":"track","name":"Order \"Completed\"\n","message_id":"m-1","occurred":"2026-03-01T09:30:00.123Z","sent":"2026-03-01T09:30:01.000Z","environment":"development","claims":[{"type":"user_id","value":"ann"},{"type":"anonymous_id","value":"a","how":"alias"}],"traits":{"\u0001":null,"age":7},"properties":{"total":19.90},"products":[{"id":"p","price":9.95}],"context":{"zone":"Europe/Berlin","extra":{"a":1}},"consent":{"ads":false,"marketing":true,"gdpr":{"mail":{"granted":true,"at":"2026-03-01T09:00:00.000Z","document":"v3"},"sms":false}},"group":{"id":"g","traits":{"plan":"pro"}},"in_response_to":{"delivery":"k","action":"opened"}}"#;
        assert_eq!(String::from_utf8(event.to_json()).expect("UTF-8"), want);
        assert_eq!(EventBuilder::new(Kind::Page).finish().expect("within bounds"), br#"{"type":"page"}"#);
    }

    #[test]
    fn what_the_engine_would_refuse_is_refused_here() {
        let check = |code: &str, change: fn(&mut EventBuilder<'static>)| {
            let mut event = full();
            change(&mut event);
            assert_eq!(event.finish().expect_err(code).code, code);
        };
        check("no_name", |event| event.name = None);
        check("name_too_long", |event| event.name = Some("x".repeat(513).into()));
        check("bad_message_id", |event| event.message_id = Some("".into()));
        check("bad_message_id", |event| event.message_id = Some("x".repeat(257).into()));
        check("too_many_identifiers", |event| {
            (0..32).for_each(|n| _ = event.claim("id", n.to_string()));
        });
        check("identifier_too_long", |event| {
            event.claim("id", "x".repeat(513));
        });
        check("identifier_too_long", |event| {
            event.claim("x".repeat(65), "x");
        });
        check("too_many_traits", |event| {
            (0..300).for_each(|n| _ = event.fact(n.to_string(), Json::of(&n).expect("JSON")));
        });
        check("trait_too_long", |event| {
            event.fact("x", Json::of(&"x".repeat(8192)).expect("JSON"));
        });
        check("too_many_products", |event| event.products = vec![ProductBuilder::default(); 501]);
        check("not_an_object", |event| event.context.page = Some(Json::of("x").expect("JSON")));
        check("event_too_large", |event| {
            event.properties = Some(
                Json::of(&[("x", "x".repeat(262_144))].into_iter().collect::<std::collections::BTreeMap<_, _>>()).expect("JSON"),
            )
        });
    }
}
