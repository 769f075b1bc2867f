//! What a call means: from Segment's spec to the canonical event.
//!
//! The README of `segment` has the mapping as a table. Nothing is looked up and nothing guessed: what the spec has no place for goes to
//! `context.extra`, and what breaks a rule is refused with a stable code.

use std::borrow::Cow;

use schemars::JsonSchema;
use serde::Deserialize;
use weft_plugin::{
    EventBuilder, Fields, GroupBuilder, Json, Kind, RawValue, Rejection, Timestamp, fields, is_visible, string, string_or_number,
};

use crate::call::{Call, Context, Sent};
use crate::product;

/// Which address of the sender an event keeps.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Ip {
    /// The one in `context.ip`; else, from libraries that run at the person's, the one that the request came from.
    #[default]
    Client,
    /// The one in `context.ip` only.
    Sent,
    /// None.
    Never,
}

/// How calls came.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Arrival<'r> {
    /// From their sender, just now: the clock of the sender is to be corrected.
    Sent {
        /// The sender's address.
        remote: &'r str,
    },
    /// Out of an archive: `timestamp` is Segment's own correction, and there is nothing left to correct.
    Kept,
}

/// What calls share that came together.
#[derive(Debug)]
pub struct Calls<'r, 'a> {
    /// How they came.
    pub arrival: Arrival<'r>,
    /// Which address is kept.
    pub ip: Ip,
    /// The batch's own fields, which hold for each call that does not say otherwise.
    pub envelope: Option<&'r Call<'a>>,
}

/// Names that libraries at the person's give themselves: their request comes from the person's own address. A server's does not.
const CLIENT_LIBRARIES: [&str; 12] = [
    "analytics.js",
    "analytics-ios",
    "analytics-android",
    "analytics-swift",
    "analytics-kotlin",
    "analytics-react-native",
    "analytics_flutter",
    "RudderLabs JavaScript SDK",
    "rudder-ios-library",
    "rudder-android-library",
    "rudder-react-native-library",
    "rudder-flutter-library",
];

/// Fields of a call that are never kept: the key is a credential, the others describe the transport.
const DROPPED: [&str; 3] = ["writeKey", "_metadata", "receivedAt"];

/// Reads a call that says itself of which type it is.
///
/// # Errors
/// It is no call, or of no type that there is.
pub fn typed(text: &str) -> Result<(Call<'_>, Kind), Rejection> {
    if !text.starts_with('{') {
        return Err(Rejection::new("not_an_object", "a call must be an object"));
    }
    // What was read as JSON before need not be: a name can be half a surrogate pair.
    let call: Call = serde_json::from_str(text)
        .map_err(|error| Rejection::new("invalid_json", format!("the call cannot be read: {error}")))?;
    let name = call.kind.and_then(string);
    // Segment has no call of that name.
    let kind = name.as_deref().and_then(Kind::of).filter(|kind| *kind != Kind::Record);
    let bad = || Rejection::new("bad_type", "the type of a call must be track, page, screen, identify, group or alias");
    Ok((call, kind.ok_or_else(bad)?))
}

/// The canonical event that a call is, but for what its source adds.
///
/// # Errors
/// The rule of the spec, or of an event, that it breaks.
pub fn event<'a>(call: &Call<'a>, kind: Kind, around: &Calls<'_, 'a>) -> Result<EventBuilder<'a>, Rejection> {
    let envelope = around.envelope;
    let mut event = EventBuilder::new(kind);
    event.message_id = identifier("messageId", call.message_id).map_err(|bad| Rejection::new("bad_message_id", bad.message))?;
    let (named, own) = (instant(call.timestamp)?, instant(call.original_timestamp)?);
    event.occurred = named.or(own);
    // Where both are there, the SDK's clock said the second, and the first is somebody's who knew better: who called the SDK
    // (RudderStack's), or a server that has corrected it. Else it is the SDK's clock's, and is corrected.
    if matches!(around.arrival, Arrival::Sent { .. }) && (named.is_none() || own.is_none()) {
        // Only a correction hangs on it: what cannot be read corrects nothing.
        event.sent = call.sent_at.or(envelope.and_then(|envelope| envelope.sent_at)).and_then(Timestamp::from_json);
    }
    event.name = match kind {
        Kind::Track => call.event.and_then(string),
        Kind::Page | Kind::Screen => call.name.and_then(string).or_else(|| call.category.and_then(string)),
        _ => None,
    };
    let context = match (call.context.sent, envelope) {
        (Sent::Nothing, Some(envelope)) => &envelope.context,
        _ => &call.context,
    };
    if context.sent == Sent::SomethingElse {
        return Err(Rejection::new("not_an_object", "`context` must be an object"));
    }
    claims(&mut event, call)?;
    if call.properties.is_some_and(|properties| !properties.get().starts_with('{')) {
        return Err(Rejection::new("not_an_object", "`properties` must be an object"));
    }
    let traits =
        call.traits.map(|traits| fields(traits).ok_or_else(|| Rejection::new("not_an_object", "`traits` must be an object")));
    let traits = traits.transpose()?;
    let context_traits = context.traits.and_then(fields).unwrap_or_default();
    match kind {
        Kind::Identify => {
            // RudderStack's libraries send traits in the context alone; where both speak, the call's own come later and count.
            for (name, value) in context_traits.iter().chain(traits.iter().flatten()) {
                event.fact(name.clone(), *value);
            }
            contact_claims(&mut event, traits.as_deref().unwrap_or_default());
        }
        Kind::Group => {
            let id = identifier("groupId", call.group_id)?
                .ok_or_else(|| Rejection::new("no_group_id", "a group call needs a groupId"))?;
            let traits = traits.unwrap_or_default().into_iter().map(|(name, value)| (name, value.into())).collect();
            event.group = Some(GroupBuilder { id, traits });
        }
        _ => {}
    }
    contact_claims(&mut event, &context_traits);
    external_claims(&mut event, context.external_ids);
    match kind {
        Kind::Track => product::split(&mut event, call.properties),
        _ => event.properties = call.properties.filter(|properties| properties.get() != "{}").map(Json::from),
    }
    consent(&mut event, context.consent);
    place(&mut event, context, around);
    event.context.extra = extra(call, kind, context, envelope);
    Ok(event)
}

/// Who the call names outright.
fn claims<'a>(event: &mut EventBuilder<'a>, call: &Call<'a>) -> Result<(), Rejection> {
    let user = identifier("userId", call.user_id)?;
    let anonymous = identifier("anonymousId", call.anonymous_id)?;
    let previous = if event.kind == Kind::Alias { identifier("previousId", call.previous_id)? } else { None };
    if user.is_none() && anonymous.is_none() && previous.is_none() {
        return Err(Rejection::new("no_identity", "a call needs a userId or an anonymousId"));
    }
    if let Some(user) = &user {
        event.claim("user_id", user.clone());
    }
    if let Some(anonymous) = &anonymous {
        event.claim("anonymous_id", anonymous.clone());
    }
    match previous {
        // The spec does not say of which type it is. Where it is the anonymous id of this very call, that is known; else it
        // is said of both, and the wrong one of them names nobody.
        Some(previous) if Some(&previous) == anonymous.as_ref() || Some(&previous) == user.as_ref() => {}
        Some(previous) => {
            event.claim_alias("user_id", previous.clone()).claim_alias("anonymous_id", previous);
        }
        None if event.kind == Kind::Alias => return Err(Rejection::new("no_previous_id", "an alias call needs a previousId")),
        None => {}
    }
    Ok(())
}

/// E-mail and phone of traits, where they can be ones. They are claimed as they were sent: making them alike is the transform
/// `normalize`'s.
fn contact_claims<'a>(event: &mut EventBuilder<'a>, traits: &[(Cow<'a, str>, &'a RawValue)]) {
    for (name, value) in traits {
        match name.as_ref() {
            "email" => {
                let address = string(value).filter(|address| address.len() <= 254 && address.contains('@'));
                event.claim("email", address.unwrap_or_default());
            }
            "phone" => {
                let number = string_or_number(value)
                    .filter(|number| number.len() <= 40 && number.bytes().filter(u8::is_ascii_digit).count() >= 5);
                event.claim("phone", number.unwrap_or_default());
            }
            _ => {}
        }
    }
}

/// `context.externalIds`: identifiers of people; those of accounts, and those in an encoding, name nobody here.
fn external_claims<'a>(event: &mut EventBuilder<'a>, ids: Option<&'a RawValue>) {
    let Some(ids) = ids.and_then(|ids| serde_json::from_str::<Vec<&RawValue>>(ids.get()).ok()) else { return };
    for id in ids.into_iter().filter_map(fields) {
        let field = |name: &str| id.iter().find(|(known, _)| known == name).and_then(|(_, value)| string_or_number(value));
        let people = field("collection").is_none_or(|collection| collection == "users");
        let plain = field("encoding").is_none_or(|encoding| encoding == "none");
        if let (Some(value), Some(kind), true, true) = (field("id"), field("type"), people, plain) {
            event.claim(kind, value);
        }
    }
}

fn consent<'a>(event: &mut EventBuilder<'a>, consent: Option<&'a RawValue>) {
    for (category, agreed) in consent.and_then(categories).into_iter().flatten() {
        match agreed.get() {
            "true" => _ = event.consent(category, true),
            "false" => _ = event.consent(category, false),
            _ => {}
        }
    }
}

/// `categoryPreferences`, where they are preferences.
fn categories(consent: &RawValue) -> Option<Fields<'_>> {
    fields(consent)?.into_iter().find(|(name, _)| name == "categoryPreferences").and_then(|(_, preferences)| fields(preferences))
}

/// Where and on what it happened.
fn place<'a>(event: &mut EventBuilder<'a>, context: &Context<'a>, around: &Calls<'_, '_>) {
    let object = |raw: Option<&'a RawValue>| raw.filter(|raw| raw.get().starts_with('{')).map(Json::from);
    let to = &mut event.context;
    to.device = device(context);
    to.app = object(context.app);
    to.place = object(context.location);
    to.campaign = object(context.campaign);
    to.page = object(context.page);
    to.library = object(context.library);
    to.zone = context.timezone.and_then(string);
    to.locale = context.locale.and_then(string);
    to.user_agent = context.user_agent.and_then(string);
    to.ip = match around.ip {
        Ip::Never => None,
        Ip::Sent => context.ip.and_then(string),
        Ip::Client => context.ip.and_then(string).or_else(|| {
            let Arrival::Sent { remote } = around.arrival else { return None };
            (!remote.is_empty() && is_client(context.library)).then(|| Cow::Owned(remote.to_owned()))
        }),
    };
}

/// The device, with what Segment has beside it: `os` and `screen`.
fn device<'a>(context: &Context<'a>) -> Option<Json<'a>> {
    let beside = [("os", context.os), ("screen", context.screen)];
    if beside.iter().all(|(_, value)| value.is_none()) {
        return context.device.filter(|raw| raw.get().starts_with('{')).map(Json::from);
    }
    let mut device = context.device.and_then(fields).unwrap_or_default();
    for (name, value) in beside {
        if let Some(value) = value
            && !device.iter().any(|(known, _)| known == name)
        {
            device.push((Cow::Borrowed(name), value));
        }
    }
    Some(Json::object(device.iter().map(|(name, value)| (name.as_ref(), *value))))
}

fn is_client(library: Option<&RawValue>) -> bool {
    let name = library.and_then(fields).and_then(|fields| fields.into_iter().find(|(name, _)| name == "name"));
    let name = name.and_then(|(_, name)| string(name));
    name.is_some_and(|name| CLIENT_LIBRARIES.contains(&name.as_ref()))
}

/// What has no place of its own, under the names that it was sent by; values of an unexpected type among them.
fn extra<'a>(call: &Call<'a>, kind: Kind, context: &Context<'a>, envelope: Option<&Call<'a>>) -> Option<Json<'static>> {
    let no_object = |raw: &&RawValue| !raw.get().starts_with('{');
    let no_string = |raw: &&RawValue| !raw.get().starts_with('"');
    let mut extra: Vec<(&str, &RawValue)> = Vec::new();
    let mut some = |name, value: Option<&'a RawValue>| extra.extend(value.map(|value| (name, value)));
    // Every library sends these, most of them empty.
    let integrations = call.integrations.or(envelope.and_then(|envelope| envelope.integrations));
    some("integrations", integrations.filter(|integrations| integrations.get() != "{}"));
    // On any other call they name somebody and change nothing, as at Segment: README.md, "Traits".
    some("traits", context.traits.filter(|raw| kind != Kind::Identify || no_object(raw)));
    some("category", call.category);
    some("device", context.device.filter(no_object));
    some("app", context.app.filter(no_object));
    some("location", context.location.filter(no_object));
    some("campaign", context.campaign.filter(no_object));
    some("page", context.page.filter(no_object));
    some("library", context.library.filter(no_object));
    some("timezone", context.timezone.filter(no_string));
    some("locale", context.locale.filter(no_string));
    some("userAgent", context.user_agent.filter(no_string));
    some("consent", context.consent.filter(|consent| categories(consent).is_none()));
    if kind != Kind::Group {
        some("groupId", call.group_id);
    }
    if !matches!(kind, Kind::Identify | Kind::Group) {
        some("callTraits", call.traits);
    }
    for (name, value) in context.rest.iter().chain(&call.rest) {
        if !DROPPED.contains(&name.as_ref()) {
            extra.push((name, value));
        }
    }
    (!extra.is_empty()).then(|| Json::object(extra))
}

/// An identifier: a string, or a number by its digits. Empty is none, and so is one in which there is nothing to see: it names nobody,
/// and `normalize` would leave the event to nobody without a word.
fn identifier<'a>(name: &str, raw: Option<&'a RawValue>) -> Result<Option<Cow<'a, str>>, Rejection> {
    let Some(raw) = raw else { return Ok(None) };
    match string_or_number(raw) {
        Some(text) => Ok(Some(text).filter(|text| is_visible(text))),
        None => Err(Rejection::new("bad_identifier", format!("`{name}` must be a string or a number"))),
    }
}

fn instant(raw: Option<&RawValue>) -> Result<Option<Timestamp>, Rejection> {
    let Some(raw) = raw else { return Ok(None) };
    if raw.get() == "\"\"" {
        return Ok(None);
    }
    match Timestamp::from_json(raw) {
        Some(at) => Ok(Some(at)),
        None => Err(Rejection::new(
            "bad_timestamp",
            "the timestamp is no ISO 8601 time, and no number of seconds or milliseconds since 1970",
        )),
    }
}
