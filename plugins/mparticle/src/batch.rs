//! A batch: what its events share, read once. Who is meant, what is true of them, where it happened and on what.

use std::borrow::Cow;
use std::cell::OnceCell;

use weft_plugin::{
    ConsentBuilder, ContextBuilder, Environment, EventBuilder, Json, RawValue, Rejection, Request, Timestamp, hash, limits,
    string,
};

use crate::Ip;
use crate::identities::{self, Identity};
use crate::key::Sender;
use crate::names::Platform;
use crate::object::Object;

/// Where a batch came from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Channel {
    /// A server.
    Server,
    /// A server that tells of the past.
    Historical,
    /// A web page.
    Page,
}

/// What batches share that came together.
pub(crate) struct Around<'r> {
    pub(crate) request: &'r Request,
    pub(crate) sender: Sender<'r>,
    pub(crate) channel: Channel,
    pub(crate) ip: Ip,
}

/// A batch.
#[derive(Debug)]
pub(crate) struct Batch<'a> {
    /// As it was sent.
    raw: &'a RawValue,
    fields: Object<'a>,
    pub(crate) events: Vec<&'a RawValue>,
    /// The sender's own id of it.
    request_id: Option<Cow<'a, str>>,
    pub(crate) at: Option<Timestamp>,
    pub(crate) platform: Platform,
    environment: Option<Environment>,
    /// What message ids begin with.
    scope: String,
    digest: OnceCell<String>,
    identities: Vec<Identity<'a>>,
    facts: Vec<(Cow<'a, str>, Json<'a>)>,
    consent: Vec<Said<'a>>,
    context: ContextBuilder<'a>,
    /// The batch's own `context`.
    said_beside: Object<'a>,
}

/// Fields of a batch that have a place of their own, and those that are credentials; the others are kept in `context.extra`.
const TAKEN: [&str; 16] = [
    "events",
    "user_identities",
    "user_attributes",
    "deleted_user_attributes",
    "device_info",
    "application_info",
    "environment",
    "mpid",
    "mp_deviceid",
    "ip",
    "timestamp_unixtime_ms",
    "sdk_version",
    "attribution_info",
    "context",
    "api_key",
    "api_keys",
];

/// The name of the library that pages send by, as JSON.
const WEB_SDK: &str = "\"@mparticle/web-sdk\"";

/// Names of `device_info`, and of what they are in `context.device`; others keep their names.
const DEVICE: [(&str, &str); 3] = [("platform", "type"), ("device_model", "model"), ("device_manufacturer", "manufacturer")];

/// Names of `application_info`, and of what they are in `context.app`; others keep their names.
const APP: [(&str, &str); 3] =
    [("application_name", "name"), ("application_version", "version"), ("application_build_number", "build")];

/// Reserved attributes, and the traits that they are. The others that begin with a `$` lose it.
const RESERVED: [(&str, &str); 3] = [("$firstname", "first_name"), ("$lastname", "last_name"), ("$mobile", "phone")];

impl<'a> Batch<'a> {
    /// Reads a batch.
    ///
    /// # Errors
    /// What is wrong with it as a whole.
    pub(crate) fn read(raw: &'a RawValue, around: &Around<'_>) -> Result<Self, Rejection> {
        let fields = Object::read(raw, "batch")?;
        let device = fields.object("device_info")?;
        let is_web = device.string("platform").is_some_and(|platform| platform.eq_ignore_ascii_case("web"));
        let identities = who(&fields, &device)?;
        if identities.is_empty() {
            let words = "a batch needs user_identities, an mpid, an mp_deviceid or an id in device_info";
            return Err(Rejection::new("no_identity", words));
        }
        let named = fields.string("environment");
        Ok(Batch {
            raw,
            events: fields.list("events")?,
            request_id: fields.id("source_request_id", "bad_message_id")?,
            at: fields.time("timestamp_unixtime_ms")?,
            platform: if is_web || around.channel == Channel::Page { Platform::Web } else { Platform::Other },
            environment: around.sender.environment.or_else(|| Environment::of(&named?)),
            scope: format!("mparticle/{}", around.sender.name),
            digest: OnceCell::new(),
            facts: facts(&fields, &identities)?,
            consent: consent(&fields)?,
            context: context(&fields, &device, around)?,
            said_beside: fields.object("context")?,
            identities,
            fields,
        })
    }

    /// An event begins with what the batch says of it.
    pub(crate) fn begin(&self, event: &mut EventBuilder<'a>) {
        event.environment = self.environment;
        event.context = self.context.clone();
        for identity in &self.identities {
            event.claim(identity.kind.clone(), identity.value.clone());
        }
    }

    /// Says what the batch says of the person.
    pub(crate) fn tell(&self, event: &mut EventBuilder<'a>) {
        for (name, value) in &self.facts {
            event.fact(name.clone(), value.clone());
        }
        for (regulation, purpose, said) in &self.consent {
            event.consent_under(*regulation, purpose.clone(), said.clone());
        }
    }

    /// Whether it says anything of the person but who it is.
    pub(crate) fn tells(&self) -> bool {
        !self.facts.is_empty() || !self.consent.is_empty()
    }

    /// What is kept beside an event and has no place of its own.
    pub(crate) fn extra(&self) -> Vec<(&str, &'a RawValue)> {
        self.fields.without(&TAKEN).chain(self.said_beside.without(&["location"])).collect()
    }

    /// The id by which a repetition of the event at this place is known; none where there is nothing to tell a repetition from a second
    /// event of the same words by.
    pub(crate) fn message_id(&self, own: Option<&str>, place: usize, has_time: bool) -> Option<Cow<'a, str>> {
        let scope = &self.scope;
        match (own, &self.request_id) {
            (Some(own), _) => Some(format!("{scope}/{own}").into()),
            (None, Some(request)) => Some(format!("{scope}/{request}/{place}").into()),
            // The same words of the same moment were sent again. Without a moment they may have happened again.
            (None, None) if has_time || self.at.is_some() => {
                let digest = self.digest.get_or_init(|| hash::sha256(self.raw.get(), None));
                Some(format!("{scope}/{}/{place}", &digest[..32]).into())
            }
            (None, None) => None,
        }
    }

    /// The batch with these events alone, as a dead letter keeps what could not be taken: whole enough to be sent again.
    pub(crate) fn with_only(&self, events: &[&RawValue]) -> Vec<u8> {
        let mut text = vec![b'{'];
        for (name, value) in self.fields.without(&["events", "api_key", "api_keys"]) {
            text.extend_from_slice(Json::of(name).expect("a name is a string").text().as_bytes());
            text.extend_from_slice(b":");
            text.extend_from_slice(value.get().as_bytes());
            text.push(b',');
        }
        text.extend_from_slice(b"\"events\":[");
        for (place, event) in events.iter().enumerate() {
            if place > 0 {
                text.push(b',');
            }
            text.extend_from_slice(event.get().as_bytes());
        }
        text.extend_from_slice(b"]}");
        text
    }
}

/// Whom a batch is about.
fn who<'a>(fields: &Object<'a>, device: &Object<'a>) -> Result<Vec<Identity<'a>>, Rejection> {
    let users = fields.get("user_identities").map(|raw| identities::read(raw, "user_identities"));
    let mut all = users.transpose()?.unwrap_or_default();
    for (field, kind) in [("mp_deviceid", "anonymous_id"), ("mpid", "mpid")] {
        // Zero is what SDKs send of a profile that they do not know yet.
        let value = fields.id(field, "bad_identity")?.filter(|value| value != "0");
        all.extend(value.map(|value| Identity { kind: kind.into(), value }));
    }
    all.extend(identities::of_device(device)?);
    Ok(all)
}

/// What is true of the person: attributes, those to be forgotten, and the address and number by which they are known.
fn facts<'a>(fields: &Object<'a>, identities: &[Identity<'a>]) -> Result<Vec<(Cow<'a, str>, Json<'a>)>, Rejection> {
    let mut facts = Vec::new();
    for name in ["email", "phone"] {
        let identity = identities.iter().find(|identity| identity.kind == name);
        facts.extend(identity.and_then(|identity| Some((name.into(), Json::of(&*identity.value).ok()?))));
    }
    let attributes = fields.object("user_attributes")?;
    for name in fields.list("deleted_user_attributes")? {
        let name = string(name).ok_or_else(|| Rejection::new("bad_attribute", "`deleted_user_attributes` must be names"))?;
        if attributes.get(&name).is_none() {
            facts.push((trait_name(name), Json::of(&()).expect("nothing is null")));
        }
    }
    facts.extend(attributes.0.into_iter().map(|(name, value)| (trait_name(name), value.into())));
    Ok(facts)
}

/// The trait that an attribute is.
pub(crate) fn trait_name(name: Cow<'_, str>) -> Cow<'_, str> {
    if let Some((_, known)) = RESERVED.iter().find(|(reserved, _)| *reserved == name) {
        return Cow::Borrowed(known);
    }
    match name.strip_prefix('$') {
        Some(rest) => Cow::Owned(rest.to_owned()),
        None => name,
    }
}

/// What was said of a purpose of a regulation.
type Said<'a> = (&'static str, Cow<'a, str>, ConsentBuilder<'a>);

/// Purposes of the GDPR by their own names; the one of the CCPA, which says that data may not be sold, the other way round.
fn consent<'a>(fields: &Object<'a>) -> Result<Vec<Said<'a>>, Rejection> {
    let (state, mut consent) = (fields.object("consent_state")?, Vec::new());
    for (purpose, raw) in state.object("gdpr")?.0 {
        let said = said(&Object::read(raw, &purpose)?)?;
        consent.extend(said.map(|said| ("gdpr", purpose, said)));
    }
    if let Some(opted_out) = said(&state.object("ccpa")?.object("data_sale_opt_out")?)? {
        consent.push(("ccpa", "data_sale".into(), ConsentBuilder { granted: !opted_out.granted, ..opted_out }));
    }
    Ok(consent)
}

/// What was said, and in what. A text that is too long to be kept is cut: it proves less, and the word holds all the same.
fn said<'a>(said: &Object<'a>) -> Result<Option<ConsentBuilder<'a>>, Rejection> {
    let Some(granted) = said.truth("consented") else { return Ok(None) };
    let text = |name: &str| {
        said.string(name).map(|text| match text.floor_char_boundary(limits::PROOF_BYTES_MAX) {
            end if end == text.len() => text,
            end => Cow::Owned(text[..end].to_owned()),
        })
    };
    let at = said.time("timestamp_unixtime_ms")?;
    Ok(Some(ConsentBuilder {
        granted,
        at,
        document: text("document"),
        location: text("location"),
        hardware_id: text("hardware_id"),
    }))
}
