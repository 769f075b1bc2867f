//! The call that asks whether somebody has some identities. Nobody is made by it.

use serde_json::{Map, Value, json};
use weft_plugin::identity::{self, Identifier, Known};
use weft_plugin::{Failure, RawValue, Received, Rejection, Response};

use crate::identities::{self, Identity, Mpid};
use crate::identity::value_of;
use crate::object::Object;

/// Why there is no customer in the answer.
#[derive(Debug)]
pub(crate) enum Unfound {
    /// The call is wrong.
    Wrong(Rejection),
    /// Nobody has any of these.
    Nobody,
    /// The engine cannot say now.
    Unknown(Failure),
}

/// Answers a call.
///
/// # Errors
/// [`Unfound`].
pub(crate) fn search(raw: &RawValue) -> Result<Received, Unfound> {
    let (fields, asked) = read(raw).map_err(Unfound::Wrong)?;
    // For each identifier that is looked up, which of those asked for it is a spelling of.
    let (mut identifiers, mut of) = (Vec::new(), Vec::new());
    for (place, (_, _, one)) in asked.iter().enumerate() {
        for value in spellings(one) {
            identifiers.push(Identifier { kind: one.kind.to_string(), value });
            of.push(place);
        }
    }
    let known = identity::lookup(identifiers).map_err(Unfound::Unknown)?.ok_or(Unfound::Nobody)?;
    let matched = known.matched.iter().filter_map(|place| asked.get(*of.get(*place as usize)?));
    let matched: Map<String, Value> = matched.filter_map(|(name, value, _)| Some((name.clone(), value_of(value)?))).collect();
    let answer = json!({
        "context": fields.get("context").and_then(value_of),
        "mpid": mpid_of(&known),
        "matched_identities": matched,
        "is_logged_in": known.signs_in,
        "is_ephemeral": false,
    });
    Ok(Received::answer(Response::json(200, answer.to_string())))
}

/// What a call asks for: each identity by its name there, as it stands there, and as it is claimed.
type Asked<'a> = Vec<(String, &'a RawValue, Identity<'a>)>;

fn read(raw: &RawValue) -> Result<(Object<'_>, Asked<'_>), Rejection> {
    let fields = Object::read(raw, "the call")?;
    let mut asked = Vec::new();
    for (name, value) in fields.object("known_identities")?.0 {
        let called = name.to_string();
        asked.extend(identities::one(name, value)?.map(|one| (called, value, one)));
    }
    match asked.len() {
        0 => Err(Rejection::new("no_identity", "`known_identities` must name at least one identity")),
        // Each may have two spellings.
        count if count > identity::IDENTIFIERS_MAX / 2 => {
            let most = identity::IDENTIFIERS_MAX / 2;
            Err(Rejection::new("bad_identity", format!("there are {count} identities, and {most} are looked up at once")))
        }
        _ => Ok((fields, asked)),
    }
}

/// What an identity may be known as: transforms put addresses in small letters.
fn spellings(one: &Identity<'_>) -> Vec<String> {
    let small = one.value.trim().to_lowercase();
    match &*one.kind {
        "email" if small != one.value => vec![one.value.to_string(), small],
        _ => vec![one.value.to_string()],
    }
}

/// The mpid that a customer's devices were told, or would be: that of the strongest identity.
fn mpid_of(known: &Known) -> Option<String> {
    let (mpids, others): (Vec<&Identifier>, Vec<&Identifier>) = known.identifiers.iter().partition(|one| one.kind == "mpid");
    let others: Vec<Identity<'_>> =
        others.iter().map(|one| Identity { kind: (&*one.kind).into(), value: (&*one.value).into() }).collect();
    let derived = Mpid::of(&others).map(|mpid| mpid.to_string());
    // Where the strongest was put right on the way, what was told followed from what was sent.
    let told = mpids.first().filter(|_| !mpids.iter().any(|mpid| Some(&mpid.value) == derived.as_ref()));
    told.map(|mpid| mpid.value.clone()).or(derived)
}
