//! Identity calls: what an SDK must hear before it sends events.
//!
//! No profile is looked up: the mpid follows from the identities that are sent, and whose it is, the engine decides from all that it has seen.
//! A call that names somebody is an `identify`, so that the identities are known to belong together, and to the mpid. Calls that say
//! something of an mpid are in `change.rs`, the one that asks is in `search.rs`.

use serde_json::{Map, Value, json};
use weft_plugin::{Environment, EventBuilder, Json, Kind, RawValue, Received, Rejection, Response};

use crate::identities::{self, Identity, Mpid};
use crate::key::Sender;
use crate::object::Object;

/// A call that says who is there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Call {
    /// Who is there, as far as is known.
    Identify,
    /// Somebody signed in.
    Login,
    /// Somebody signed out. Who is there then is nobody's business: no event.
    Logout,
}

/// Fields of a call that become something else; the others are kept in `context.extra`.
pub(crate) const TAKEN: [&str; 4] = ["known_identities", "environment", "request_id", "api_key"];

/// Answers a call that says who is there.
///
/// # Errors
/// What is wrong with it.
pub(crate) fn known(call: Call, raw: &RawValue, sender: Sender<'_>) -> Result<Received, Rejection> {
    let fields = Object::read(raw, "the call")?;
    let known = fields.object("known_identities")?;
    let identities = fields.get("known_identities").map(|raw| identities::read(raw, "known_identities"));
    let identities = identities.transpose()?.unwrap_or_default();
    let Some(mpid) = Mpid::of(&identities) else {
        return Err(Rejection::new("no_identity", "`known_identities` must name at least one identity"));
    };
    let matched: Map<String, Value> =
        known.0.iter().filter_map(|(name, value)| Some((name.to_string(), value_of(value)?))).collect();
    let answer = json!({
        "context": fields.get("context").and_then(value_of),
        "mpid": mpid.to_string(),
        "matched_identities": matched,
        "is_logged_in": identities.iter().any(Identity::is_login),
        "is_ephemeral": false,
    });
    let mut received = Received::answer(Response::json(200, answer.to_string()));
    if call != Call::Logout && identities.iter().any(Identity::is_personal) {
        let mpid = Identity { kind: "mpid".into(), value: mpid.to_string().into() };
        received.events.push(identify(&fields, identities.into_iter().chain([mpid]), sender)?);
    }
    Ok(received)
}

/// The event that says which identities are one person's.
fn identify<'a>(
    fields: &Object<'a>,
    identities: impl Iterator<Item = Identity<'a>>,
    sender: Sender<'_>,
) -> Result<Vec<u8>, Rejection> {
    let mut event = begin(Kind::Identify, fields, sender)?;
    for identity in identities {
        if let ("email" | "phone", Ok(value)) = (&*identity.kind, Json::of(&*identity.value)) {
            event.fact(identity.kind.clone(), value);
        }
        event.claim(identity.kind, identity.value);
    }
    let rest: Vec<_> = fields.without(&TAKEN).collect();
    event.context.extra = (!rest.is_empty()).then(|| Json::object(rest));
    event.finish()
}

pub(crate) fn begin<'a>(kind: Kind, fields: &Object<'a>, sender: Sender<'_>) -> Result<EventBuilder<'a>, Rejection> {
    let mut event = EventBuilder::new(kind);
    let request = fields.id("request_id", "bad_message_id")?;
    event.message_id = request.map(|id| format!("mparticle/{}/identity/{id}", sender.name).into());
    event.environment = sender.environment.or_else(|| Environment::of(&fields.string("environment")?));
    Ok(event)
}

pub(crate) fn value_of(raw: &RawValue) -> Option<Value> {
    serde_json::from_str(raw.get()).ok()
}
