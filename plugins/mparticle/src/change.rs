//! Calls that say something of an mpid: that its identities change, and that another one is the same person's.
//!
//! Nothing is looked up, so what a call says holds for whomever the engine finds when the event comes to it.

use serde_json::json;
use weft_plugin::{Json, Kind, RawValue, Received, Rejection, Response};

use crate::identities::{self, Identity, Mpid};
use crate::identity::{TAKEN, begin, value_of};
use crate::key::Sender;
use crate::object::Object;

/// What becomes of an identity that is the mpid's no longer.
enum Gone<'a> {
    /// It is kept apart from the person.
    Removed(Identity<'a>),
    /// It stays the person's, as an earlier one: what the person did is known by it.
    Earlier(Identity<'a>),
}

/// Answers a call that changes the identities of an mpid.
///
/// # Errors
/// What is wrong with it.
pub(crate) fn modify<'a>(mpid: &'a str, raw: &'a RawValue, sender: Sender<'_>) -> Result<Received, Rejection> {
    let fields = Object::read(raw, "the call")?;
    let mut event = begin(Kind::Identify, &fields, sender)?;
    let (mut gone, mut results, mut signs_in) = (Vec::new(), Vec::new(), Mpid::says_login(mpid));
    for change in fields.list("identity_changes")? {
        let change = Object::read(change, "identity_changes")?;
        let Some(kind) = change.string("identity_type") else {
            return Err(Rejection::new("bad_identity", "every one of `identity_changes` needs an identity_type"));
        };
        results.push(json!({ "identity_type": kind, "modified_mpid": mpid }));
        let value = |name: &str| change.get(name).map_or(Ok(None), |value| identities::one(kind.clone(), value));
        let (old, new) = (value("old_value")?, value("new_value")?);
        if let (Some(name), Ok(value)) = (trait_of(&kind), Json::of(&new.as_ref().map(|new| &*new.value))) {
            event.fact(name, value);
        }
        let keeps = new.as_ref().is_some_and(|new| new.is_login() || !Mpid::says_login(mpid));
        gone.extend(
            old.filter(|old| new.as_ref() != Some(old)).map(|old| if keeps { Gone::Earlier(old) } else { Gone::Removed(old) }),
        );
        if let Some(new) = new {
            signs_in |= new.is_login();
            event.claim_added(new.kind, new.value);
        }
    }
    if results.is_empty() {
        return Err(Rejection::new("no_identity", "`identity_changes` must name at least one change"));
    }
    event.claim("mpid", mpid);
    // After what is new: an identity that changes its place among the types is not gone.
    for gone in gone {
        match gone {
            Gone::Removed(old) => event.claim_removed(old.kind, old.value),
            Gone::Earlier(old) => event.claim_alias(old.kind, old.value),
        };
    }
    let answer = json!({
        "context": fields.get("context").and_then(value_of),
        "mpid": mpid,
        "change_results": results,
        "matched_identities": {},
        "is_logged_in": signs_in,
        "is_ephemeral": false,
    });
    event.context.extra = Some(Json::object(fields.without(&TAKEN)));
    let mut received = Received::answer(Response::json(200, answer.to_string()));
    received.events.push(event.finish()?);
    Ok(received)
}

/// The trait that an identity is besides.
fn trait_of(kind: &str) -> Option<&'static str> {
    match kind {
        "email" => Some("email"),
        "mobile_number" => Some("phone"),
        _ => None,
    }
}

/// Answers a call that says of two mpids that they are one person's.
///
/// # Errors
/// What is wrong with it.
pub(crate) fn alias(raw: &RawValue, sender: Sender<'_>) -> Result<Received, Rejection> {
    let fields = Object::read(raw, "the call")?;
    if fields.string("request_type").is_some_and(|kind| kind != "alias") {
        return Err(Rejection::new("bad_request_type", "the `request_type` of an alias is `alias`"));
    }
    let data = fields.object("data")?;
    let mpid = |name: &str| {
        let mpid = data.id(name, "bad_identity")?;
        let mpid = mpid.ok_or_else(|| Rejection::new("no_identity", format!("an alias needs a `{name}` in `data`")))?;
        match Mpid::parse(&mpid) {
            Some(_) => Ok(mpid),
            None => Err(Rejection::new("bad_identity", format!("`{name}` must be a number"))),
        }
    };
    let (source, destination) = (mpid("source_mpid")?, mpid("destination_mpid")?);
    if source == destination {
        return Err(Rejection::new("bad_identity", "`source_mpid` and `destination_mpid` are the same"));
    }
    match (data.time("start_unixtime_ms")?, data.time("end_unixtime_ms")?) {
        (Some(start), Some(end)) if start > end => {
            return Err(Rejection::new("bad_timestamp", "`end_unixtime_ms` is before `start_unixtime_ms`"));
        }
        (Some(_), None) | (None, Some(_)) => {
            return Err(Rejection::new("bad_timestamp", "say both `start_unixtime_ms` and `end_unixtime_ms`, or neither"));
        }
        _ => {}
    }
    let mut event = begin(Kind::Alias, &fields, sender)?;
    event.claim("mpid", destination).claim_alias("mpid", source);
    event.context.extra = Some(Json::object(fields.without(&TAKEN)));
    let mut received = Received::answer(Response::empty(202));
    received.events.push(event.finish()?);
    Ok(received)
}
