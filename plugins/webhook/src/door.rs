//! The HTTP side: who may send, what is read, and what senders are told.
//!
//! Nothing is looked into before its sender is known, and nothing of an unknown one is kept. What a payload means is in
//! the SDK's `mapping`.

use serde_json::json;
use weft_plugin::mapping::Scope;
use weft_plugin::{Body, Failure, Parts, RawValue, Received, Refused, Rejection, Request, Response, fields, string};

use crate::signature::{Sender, Signature};
use crate::{Challenge, Webhook};

/// Events in one answer: the contract's bound.
const EVENTS_MAX: usize = 10_000;

/// Takes a request.
///
/// # Errors
/// The engine does not know a secret of the configuration.
pub(crate) fn receive(plugin: &Webhook, request: &Request) -> Result<Received, Failure> {
    if !matches!(&*request.method, "POST" | "PUT") {
        let answer = problem(405, "Method not allowed", "this address takes POST");
        return Ok(Received::answer(answer.header("allow", "POST, PUT")));
    }
    let body = match &request.body {
        Body::Bytes(body) => body,
        Body::Unreadable(why) => return unreadable(&plugin.signature, request, why),
    };
    if let Sender::Unknown(why) = plugin.signature.sender(request, body)? {
        return Ok(Received::answer(unauthorized(why)));
    }
    let payload = match std::str::from_utf8(body).map_err(|error| error.to_string()).and_then(|text| {
        // A byte order mark is no JSON, and senders write it.
        serde_json::from_str::<&RawValue>(text.trim_start_matches('\u{feff}')).map_err(|error| error.to_string())
    }) {
        Ok(payload) => payload,
        Err(error) => return Ok(refused_whole(400, "Not JSON", "invalid_json", format!("the body is no JSON: {error}"))),
    };
    if plugin.challenge == Challenge::UrlVerification
        && let Some(challenge) = challenge(payload)
    {
        return Ok(Received::answer(Response::json(200, json!({ "challenge": challenge }).to_string())));
    }
    Ok(take(plugin, request, payload))
}

/// Makes events of a payload.
fn take(plugin: &Webhook, request: &Request, payload: &RawValue) -> Received {
    let (mapping, each) = (&plugin.mapping, &plugin.each);
    let scope = |item| Scope { headers: &request.headers, payload, item };
    let mut parts = None;
    let items: Vec<&RawValue> = match each {
        None => vec![payload],
        Some(each) => match each.find(payload).and_then(|list| Some((list, serde_json::from_str(list.get()).ok()?))) {
            Some((list, items)) => {
                parts = Some(around(payload, list));
                items
            }
            None => {
                // What is not meant need not have a list.
                if !mapping.is_wanted(&scope(payload)) {
                    return Received::answer(taken());
                }
                return refused_whole(422, "No events", "no_list", "there is no list where `each` says".into());
            }
        },
    };
    if items.len() > EVENTS_MAX {
        let words = format!("there are {} events, and {EVENTS_MAX} are allowed", items.len());
        return refused_whole(422, "Too many events", "too_many_events", words);
    }
    let mut received = Received::answer(taken());
    for (number, item) in items.into_iter().enumerate() {
        // Stands for an item before this part, which has its number.
        if request.is_part() && item.get() == "null" {
            continue;
        }
        let scope = scope(item);
        if !mapping.is_wanted(&scope) {
            continue;
        }
        match mapping.event(&scope, each.as_ref().map(|_| number)).and_then(|event| event.finish()) {
            Ok(event) => received.events.push(event),
            Err(rejection) => {
                let nulls = if mapping.is_numbered() { number } else { 0 };
                let bytes = parts.as_mut().map(|parts| parts.alone(item.get(), nulls));
                received.refused.push(Refused { rejection, bytes });
            }
        }
    }
    // Where some became events, the sender must not send it all again.
    if received.events.is_empty()
        && let Some(first) = received.refused.first()
    {
        received.response = problem(422, "No event", &first.rejection.message);
    }
    received
}

/// What stands around the items of a list in a payload.
fn around(payload: &RawValue, list: &RawValue) -> Parts {
    let text = payload.get();
    // The list is a part of the text, from its bracket on.
    let start = list.get().as_ptr() as usize - text.as_ptr() as usize;
    Parts::around(&text[..=start], &text[start + list.get().len() - 1..])
}

/// The text that is to be repeated, where this is Slack's question whether we are there.
fn challenge(payload: &RawValue) -> Option<String> {
    let fields = fields(payload)?;
    let text = |wanted: &str| fields.iter().find(|(name, _)| name == wanted).and_then(|(_, value)| string(value));
    (text("type")? == "url_verification").then(|| text("challenge"))?.map(|text| text.into_owned())
}

/// What could not be read is kept where its sender is known all the same.
fn unreadable(signature: &Signature, request: &Request, why: &str) -> Result<Received, Failure> {
    let words = format!("the body cannot be read: {why}");
    if !signature.is_without_body() {
        return Ok(Received::answer(problem(400, "Unreadable", &words)));
    }
    Ok(match signature.sender(request, &[])? {
        Sender::Known => refused_whole(400, "Unreadable", "unreadable", words),
        Sender::Unknown(why) => Received::answer(unauthorized(why)),
    })
}

fn taken() -> Response {
    Response::json(200, "{}")
}

fn unauthorized(why: &str) -> Response {
    problem(401, "Unauthorized", why)
}

/// Keeps the whole body as a dead letter, and says why it was not taken.
fn refused_whole(status: u16, title: &str, code: &str, words: String) -> Received {
    let mut received = Received::answer(problem(status, title, &words));
    received.refused.push(Refused { rejection: Rejection::new(code, words), bytes: None });
    received
}

/// A problem in the form of RFC 9457.
fn problem(status: u16, title: &str, detail: &str) -> Response {
    let body = json!({ "title": title, "status": status, "detail": detail }).to_string();
    let headers = vec![("content-type".to_owned(), "application/problem+json".to_owned())];
    Response { status, headers, body: body.into_bytes() }
}
