//! What a record says to Segment: the mapping of the source `segment`, read the other way round.
//!
//! Values keep the text that they have. What Segment has no place for goes where Segment's own libraries put such things: `context`.

use std::borrow::Cow;
use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::value::{RawValue, to_raw_value};
use weft_plugin::place::field;
use weft_plugin::{Fields, Json, Rejection, Text, fields, hash};

use crate::Config;
use crate::batch::CALL_BYTES_MAX;

/// Segment's bound on message ids is "under 100 characters".
const MESSAGE_ID_BYTES_MAX: usize = 99;

/// Events whose products are in their properties already (Segment's e-commerce spec, version 2).
const ABOUT_ONE: [&str; 6] = [
    "Product Clicked",
    "Product Viewed",
    "Product Added",
    "Product Removed",
    "Product Added to Wishlist",
    "Product Removed from Wishlist",
];

/// An event, as far as calls have it.
#[derive(Deserialize)]
struct Event<'a> {
    #[serde(borrow, rename = "type")]
    kind: Text<'a>,
    #[serde(borrow, default)]
    name: Option<Text<'a>>,
    #[serde(borrow, default)]
    message_id: Option<Text<'a>>,
    #[serde(borrow, default)]
    occurred: Option<&'a RawValue>,
    #[serde(borrow, default)]
    claims: Vec<Identifier<'a>>,
    #[serde(borrow, default)]
    traits: Option<&'a RawValue>,
    #[serde(borrow, default)]
    properties: Option<&'a RawValue>,
    #[serde(borrow, default)]
    products: Vec<&'a RawValue>,
    #[serde(borrow, default)]
    context: Option<&'a RawValue>,
    #[serde(borrow, default)]
    consent: Option<&'a RawValue>,
    #[serde(borrow, default)]
    group: Option<Group<'a>>,
}

/// A profile, as far as calls have it.
#[derive(Deserialize)]
struct Profile<'a> {
    #[serde(borrow, default)]
    merged_into: Option<&'a RawValue>,
    #[serde(borrow, default)]
    identifiers: Vec<Identifier<'a>>,
    #[serde(borrow, default)]
    traits: Option<&'a RawValue>,
    #[serde(borrow, default)]
    consent: Option<&'a RawValue>,
    #[serde(borrow, default)]
    last_seen: Option<&'a RawValue>,
}

#[derive(Deserialize)]
struct Identifier<'a> {
    #[serde(borrow, rename = "type")]
    kind: Text<'a>,
    #[serde(borrow)]
    value: Text<'a>,
    #[serde(borrow, default)]
    how: Option<Text<'a>>,
}

impl Identifier<'_> {
    fn is_alias(&self) -> bool {
        self.how.as_ref().is_some_and(|how| how.0 == "alias")
    }

    /// Whether it says who somebody is now: it is no earlier one, and was not removed.
    fn is_own(&self) -> bool {
        self.how.as_ref().is_none_or(|how| how.0 == "added")
    }
}

#[derive(Deserialize)]
struct Group<'a> {
    #[serde(borrow)]
    id: Text<'a>,
    #[serde(borrow, default)]
    traits: Option<&'a RawValue>,
}

/// A JSON object in the making. What is set first stays.
#[derive(Default)]
struct Object<'a>(Vec<(Cow<'a, str>, Box<RawValue>)>);

impl<'a> Object<'a> {
    fn raw(&mut self, name: impl Into<Cow<'a, str>>, value: Option<&RawValue>) -> &mut Self {
        let name = name.into();
        if let Some(value) = value
            && !self.0.iter().any(|(known, _)| *known == name)
        {
            self.0.push((name, value.to_owned()));
        }
        self
    }

    fn text(&mut self, name: &'a str, text: Option<&str>) -> &mut Self {
        let raw = text.and_then(|text| to_raw_value(text).ok());
        self.raw(name, raw.as_deref())
    }

    fn object(&mut self, name: &'a str, object: &Object<'_>) -> &mut Self {
        if !object.0.is_empty() {
            self.raw(name, Some(&object.json()));
        }
        self
    }

    fn json(&self) -> Box<RawValue> {
        let json = Json::object(self.0.iter().map(|(name, value)| (&**name, &**value)));
        RawValue::from_string(json.text().to_owned()).expect("an object is JSON")
    }
}

/// The call that a record is; none where there is nothing to say.
///
/// # Errors
/// Segment has no such call, or does not take it.
pub(crate) fn call(config: &Config, stream: &str, record: &[u8], position: u64) -> Result<Option<String>, Rejection> {
    let unreadable = |error: &dyn std::fmt::Display| Rejection::new("unreadable", format!("the record cannot be read: {error}"));
    let text = std::str::from_utf8(record).map_err(|error| unreadable(&error))?;
    let call = match stream {
        "profiles" => {
            let profile: Profile = serde_json::from_str(text).map_err(|error| unreadable(&error))?;
            // Segment has no way to take a person away, and the other profile comes by itself.
            if profile.merged_into.is_some() {
                return Ok(None);
            }
            of_profile(config, &profile, &format!("weft-profile-{position}-{}", &hash::sha256(text, None)[..16]))?
        }
        _ => {
            let event: Event = serde_json::from_str(text).map_err(|error| unreadable(&error))?;
            of_event(config, &event, &format!("weft-event-{position}-{}", &hash::sha256(text, None)[..16]))?
        }
    };
    let bytes = call.len();
    if bytes > CALL_BYTES_MAX {
        let words = format!("the call has {bytes} bytes, and Segment takes {CALL_BYTES_MAX}");
        return Err(Rejection::new("too_large", words));
    }
    Ok(Some(call))
}

fn of_event(config: &Config, event: &Event<'_>, own_id: &str) -> Result<String, Rejection> {
    let kind = &*event.kind.0;
    if kind == "record" {
        return Err(Rejection::new("no_person", "a record is about nobody, and Segment has no call for it"));
    }
    let (mut call, mut context) = (Object::default(), Object::default());
    call.text("type", Some(kind));
    let said = event.message_id.as_ref().map_or(own_id, |id| &*id.0);
    let short = if said.len() > MESSAGE_ID_BYTES_MAX { &*format!("weft-{}", hash::sha256(said, None)) } else { said };
    call.text("messageId", Some(short)).raw("timestamp", event.occurred);
    let own: Vec<&Identifier> = event.claims.iter().filter(|claim| claim.is_own()).collect();
    who(config, &own, &mut call, &mut context, kind == "alias")?;
    let name = event.name.as_ref().map(|name| &*name.0);
    let extra = part(event.context, "extra");
    match kind {
        "track" => _ = call.text("event", name).object("properties", &properties(event)),
        "page" | "screen" => {
            call.text("name", name).raw("category", part(extra, "category")).raw("properties", event.properties);
        }
        "group" => {
            let group = event.group.as_ref();
            call.text("groupId", group.map(|group| &*group.id.0)).raw("traits", group.and_then(|group| group.traits));
        }
        "alias" => {
            let previous = event.claims.iter().find(|claim| claim.is_alias()).map(|claim| &*claim.value.0);
            let no_previous = || Rejection::new("no_previous_id", "an alias names no earlier identifier");
            call.text("previousId", Some(previous.ok_or_else(no_previous)?));
        }
        _ => _ = call.raw("traits", event.traits),
    }
    if kind != "group" {
        context.text("groupId", event.group.as_ref().map(|group| &*group.id.0));
    }
    let traits = if kind == "identify" { None } else { event.traits };
    contacts(&own, traits.or(part(extra, "traits")), &mut context);
    place(event.context, &mut context);
    consent(event.consent, &mut context);
    integrations(config, extra, &mut call);
    call.object("context", &context);
    Ok(call.json().get().to_owned())
}

fn of_profile(config: &Config, profile: &Profile<'_>, id: &str) -> Result<String, Rejection> {
    let (mut call, mut context) = (Object::default(), Object::default());
    call.text("type", Some("identify")).text("messageId", Some(id)).raw("timestamp", profile.last_seen);
    let own: Vec<&Identifier> = profile.identifiers.iter().filter(|identifier| identifier.is_own()).collect();
    who(config, &own, &mut call, &mut context, false)?;
    call.raw("traits", profile.traits);
    consent(profile.consent, &mut context);
    integrations(config, None, &mut call);
    call.object("context", &context);
    Ok(call.json().get().to_owned())
}

/// `userId`, `anonymousId`, and every other identifier.
fn who<'a>(
    config: &Config,
    own: &[&Identifier<'a>],
    call: &mut Object<'_>,
    context: &mut Object<'_>,
    may_be_nobody: bool,
) -> Result<(), Rejection> {
    let first = |types: &[String]| types.iter().find_map(|kind| own.iter().position(|known| known.kind.0 == **kind));
    let (user, anonymous) = (first(&config.user_id), first(&config.anonymous_id));
    if user.is_none() && anonymous.is_none() && !may_be_nobody {
        let types: Vec<&str> = config.user_id.iter().chain(&config.anonymous_id).map(String::as_str).collect();
        return Err(Rejection::new("no_identity", format!("there is none of {}, and Segment needs one", types.join(", "))));
    }
    let value = |place: usize| &*own[place].value.0;
    call.text("userId", user.map(value)).text("anonymousId", anonymous.map(value));
    let others = own.iter().enumerate().filter(|(place, known)| {
        Some(*place) != user && Some(*place) != anonymous && !matches!(&*known.kind.0, "email" | "phone")
    });
    let external = |(_, other): (usize, &&Identifier<'_>)| {
        let mut id = Object::default();
        id.text("id", Some(&other.value.0)).text("type", Some(&other.kind.0));
        id.text("collection", Some("users")).text("encoding", Some("none"));
        id.json()
    };
    let ids: Vec<Box<RawValue>> = others.map(external).collect();
    if !ids.is_empty() {
        context.raw("externalIds", to_raw_value(&ids).ok().as_deref());
    }
    Ok(())
}

/// E-mail addresses and phone numbers are traits of the context, as Segment's libraries send them.
fn contacts(own: &[&Identifier<'_>], traits: Option<&RawValue>, context: &mut Object<'_>) {
    let mut all = Object::default();
    for (name, value) in fields_of(traits).unwrap_or_default() {
        all.raw(name, Some(value));
    }
    for kind in ["email", "phone"] {
        all.text(kind, own.iter().find(|known| known.kind.0 == kind).map(|known| &*known.value.0));
    }
    context.object("traits", &all);
}

/// Properties, and products as Segment's e-commerce spec has them.
fn properties<'a>(event: &Event<'a>) -> Object<'a> {
    let mut properties = Object::default();
    for (name, value) in fields_of(event.properties).unwrap_or_default() {
        properties.raw(name, Some(value));
    }
    let is_about_one = event.name.as_ref().is_some_and(|name| ABOUT_ONE.contains(&&*name.0));
    if !is_about_one && !event.products.is_empty() {
        let products: Vec<Box<RawValue>> = event.products.iter().map(|product| of_product(product)).collect();
        properties.raw("products", to_raw_value(&products).ok().as_deref());
    }
    properties
}

fn of_product(product: &RawValue) -> Box<RawValue> {
    let (mut call, mut more) = (Object::default(), Vec::new());
    for (name, value) in fields(product).unwrap_or_default() {
        match &*name {
            "id" => _ = call.raw("product_id", Some(value)),
            "properties" => more = fields(value).unwrap_or_default(),
            _ => _ = call.raw(name, Some(value)),
        }
    }
    for (name, value) in more {
        call.raw(name, Some(value));
    }
    call.json()
}

/// Where and on what it happened.
fn place<'a>(from: Option<&'a RawValue>, context: &mut Object<'a>) {
    for (name, value) in fields_of(from).unwrap_or_default() {
        match &*name {
            "device" => device(value, context),
            "place" => _ = context.raw("location", Some(value)),
            "zone" => _ = context.raw("timezone", Some(value)),
            "user_agent" => _ = context.raw("userAgent", Some(value)),
            "extra" => {}
            _ => _ = context.raw(name, Some(value)),
        }
    }
    for (name, value) in fields_of(part(from, "extra")).unwrap_or_default() {
        if !matches!(&*name, "integrations" | "category" | "traits") {
            context.raw(name, Some(value));
        }
    }
}

/// The device, and what Segment has beside it.
fn device<'a>(from: &'a RawValue, context: &mut Object<'a>) {
    let mut device = Object::default();
    for (name, value) in fields(from).unwrap_or_default() {
        match &*name {
            "os" | "screen" => _ = context.raw(name, Some(value)),
            _ => _ = device.raw(name, Some(value)),
        }
    }
    context.object("device", &device);
}

fn consent(consent: Option<&RawValue>, context: &mut Object<'_>) {
    let Some(said) = consent.and_then(fields) else { return };
    // Segment knows categories by their names alone. One that is said of twice, under two regulations, is refused where one of them is.
    let mut categories: BTreeMap<Cow<'_, str>, bool> = BTreeMap::new();
    let mut note = |name: Cow<'_, str>, raw: &RawValue| {
        let granted = match fields(raw) {
            Some(more) => more.iter().any(|(key, value)| key == "granted" && value.get() == "true"),
            None => raw.get() == "true",
        };
        let known = categories.entry(Cow::Owned(name.into_owned())).or_insert(true);
        *known &= granted;
    };
    for (name, raw) in said {
        match fields(raw) {
            Some(purposes) => purposes.into_iter().for_each(|(purpose, raw)| note(purpose, raw)),
            None => note(name, raw),
        }
    }
    let mut preferences = Object::default();
    context.object("consent", preferences.raw("categoryPreferences", to_raw_value(&categories).ok().as_deref()));
}

/// What the event says of Segment's destinations, and then the configuration.
fn integrations(config: &Config, extra: Option<&RawValue>, call: &mut Object<'_>) {
    let mut all = Object::default();
    for (name, value) in fields_of(part(extra, "integrations")).unwrap_or_default() {
        all.raw(name, Some(value));
    }
    for (name, value) in &config.integrations {
        all.raw(&**name, to_raw_value(value).ok().as_deref());
    }
    call.object("integrations", &all);
}

fn fields_of(raw: Option<&RawValue>) -> Option<Fields<'_>> {
    raw.and_then(fields)
}

fn part<'a>(raw: Option<&'a RawValue>, name: &str) -> Option<&'a RawValue> {
    field(&fields_of(raw)?, name)
}
