//! The HTTP side: paths, sizes, and what senders are told.
//!
//! Nothing is looked into before its sender is known. Answers are those that mParticle documents; where it answers 202 and throws away, this
//! answers 202 and keeps a dead letter. What a batch means is in `event.rs`, what an identity call does in `identity.rs`.

use serde_json::json;
use weft_plugin::web::{cross_origin, percent_decoded};
use weft_plugin::{Body, RawValue, Received, Refused, Rejection, Request, Response};

use crate::Config;
use crate::batch::{Around, Channel};
use crate::change;
use crate::event::take;
use crate::identities::Mpid;
use crate::identity::{self, Call};
use crate::key::{self, Sender, Stranger};
use crate::search::{self, Unfound};

/// Bytes of a request: mParticle's limit.
pub(crate) const REQUEST_BYTES_MAX: usize = 256 * 1024;
/// Batches in a bulk request: mParticle's limit.
pub(crate) const BULK_BATCHES_MAX: usize = 100;

/// Headers that the SDK sends besides those that every page may.
const HEADERS: &str = "content-type, x-mp-key";

/// What a path asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Route<'a> {
    /// A batch of a server.
    Events,
    /// Batches of a server.
    Bulk(Channel),
    /// A batch of a web page, by its key.
    PageEvents(&'a str),
    /// Who is there.
    Identity(Call),
    /// Other identities of an mpid.
    Modify(&'a str),
    /// Two mpids are one person's, by the sender's key.
    Alias(&'a str),
    /// Whether somebody has these identities.
    Search,
    /// What the SDK asks for before it begins, by its key.
    Settings(&'a str),
    Nowhere,
}

/// How mistakes are told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Manner {
    /// As the Events API does.
    Events,
    /// As identity calls do.
    Identity,
    /// As aliases do.
    Alias,
}

/// Takes a request.
pub(crate) fn receive(config: &Config, request: &Request) -> Received {
    let mut received = route(config, request);
    cross_origin(&mut received.response, request, HEADERS);
    received
}

fn route(config: &Config, request: &Request) -> Received {
    if request.method == "OPTIONS" {
        return Received::answer(Response::empty(204));
    }
    let route = Route::of(&request.path);
    let manner = route.manner();
    let method = if matches!(route, Route::Settings(_)) { "GET" } else { "POST" };
    if route == Route::Nowhere {
        return tell(manner, 404, "NOT_FOUND", "there is no such call; the README of this plugin lists those that there are");
    }
    if request.method != method {
        let mut received = tell(manner, 405, "METHOD_NOT_ALLOWED", &format!("this path takes {method}"));
        received.response = received.response.header("allow", format!("{method}, OPTIONS"));
        return received;
    }
    let sender = match route {
        Route::Events | Route::Bulk(_) => key::server(config, request),
        Route::Identity(_) | Route::Modify(_) | Route::Search => key::either(config, request),
        Route::Alias(_) if request.header("authorization").is_some() => key::server(config, request),
        Route::PageEvents(key) | Route::Alias(key) | Route::Settings(key) => key::page(config, &percent_decoded(key)),
        Route::Nowhere => Err(Stranger::Nobody),
    };
    match sender {
        Ok(sender) => known(config, request, route, sender),
        Err(stranger) => unknown(manner, stranger),
    }
}

impl<'a> Route<'a> {
    /// Reads a path: as mParticle has it, or with the segment before it that a domain of one's own has there.
    fn of(path: &'a str) -> Self {
        let path = path.trim_matches('/');
        let parts: Vec<&str> = path.split('/').collect();
        match *parts {
            ["v2", "events"] => Route::Events,
            ["v2", "bulkevents"] => Route::Bulk(Channel::Server),
            ["v2", "bulkevents", "historical"] => Route::Bulk(Channel::Historical),
            ["v3", "JS", key, "events"] | ["webevents", "v3", "JS", key, "events"] => Route::PageEvents(key),
            // The SDK for the web writes it with a capital, the others do not.
            ["v1", "identity", key, "Alias" | "alias"] | ["webevents", "v1", "identity", key, "Alias" | "alias"] => {
                Route::Alias(key)
            }
            ["v1", mpid, "modify"] | ["identity", "v1", mpid, "modify"] => Route::Modify(mpid),
            ["v1", call] | ["identity", "v1", call] => match call {
                "identify" => Route::Identity(Call::Identify),
                "login" => Route::Identity(Call::Login),
                "logout" => Route::Identity(Call::Logout),
                "search" => Route::Search,
                _ => Route::Nowhere,
            },
            ["JS", "v2", key, "config"] | ["tags", "JS", "v2", key, "config"] => Route::Settings(key),
            _ => Route::Nowhere,
        }
    }

    fn manner(self) -> Manner {
        match self {
            Route::Identity(_) | Route::Modify(_) | Route::Search => Manner::Identity,
            Route::Alias(_) => Manner::Alias,
            _ => Manner::Events,
        }
    }
}

fn known(config: &Config, request: &Request, route: Route<'_>, sender: Sender<'_>) -> Received {
    let manner = route.manner();
    if matches!(route, Route::Settings(_)) {
        return settings(sender);
    }
    let raw = match read(request) {
        Ok(raw) => raw,
        Err(rejection) => return refuse_whole(manner, rejection),
    };
    let around = |channel| Around { request, sender, channel, ip: config.ip };
    let done = match route {
        Route::Events => one(raw, &around(Channel::Server)),
        Route::PageEvents(_) => one(raw, &around(Channel::Page)),
        Route::Bulk(channel) => bulk(raw, &around(channel)),
        Route::Identity(call) => identity::known(call, raw, sender),
        Route::Modify(mpid) => match Mpid::parse(mpid) {
            Some(mpid) => change::modify(mpid, raw, sender),
            None => Err(Rejection::new("bad_identity", "the mpid in the path must be a number")),
        },
        Route::Alias(_) => change::alias(raw, sender),
        // Nothing is lost by a question that was wrong.
        Route::Search => return searched(raw, sender),
        Route::Settings(_) | Route::Nowhere => Err(Rejection::new("no_call", "there is no such call")),
    };
    done.unwrap_or_else(|rejection| refuse_whole(manner, rejection))
}

fn searched(raw: &RawValue, sender: Sender<'_>) -> Received {
    let tell = |status, code, message: &str| tell(Manner::Identity, status, code, message);
    if !sender.may_search {
        return tell(
            403,
            "FORBIDDEN",
            "this key may not search for people; `search: true` in the configuration of its source lets it",
        );
    }
    match search::search(raw) {
        Ok(received) => received,
        Err(Unfound::Wrong(rejection)) => tell(400, "BAD_REQUEST", &rejection.message),
        Err(Unfound::Nobody) => tell(404, "NOT_FOUND_ERROR", "nobody is known by these identities"),
        Err(Unfound::Unknown(failure)) => {
            let mut received = tell(503, "SERVICE_UNAVAILABLE", &failure.message);
            received.response = received.response.header("retry-after", "1");
            received
        }
    }
}

/// The body as JSON. The content type does not matter: pages send JSON as plain text, which needs no preflight.
fn read(request: &Request) -> Result<&RawValue, Rejection> {
    let body = match &request.body {
        Body::Bytes(body) => body,
        Body::Unreadable(why) => return Err(Rejection::new("unreadable", format!("the body cannot be read: {why}"))),
    };
    if body.len() > REQUEST_BYTES_MAX {
        return Err(Rejection::new(
            "too_large",
            format!("the body has {} bytes, and {REQUEST_BYTES_MAX} are allowed", body.len()),
        ));
    }
    let text = std::str::from_utf8(body).map_err(|error| error.to_string());
    let raw = text.and_then(|text| serde_json::from_str(text.trim_start_matches('\u{feff}')).map_err(|error| error.to_string()));
    raw.map_err(|error| Rejection::new("invalid_json", format!("the body is no JSON: {error}")))
}

fn one(raw: &RawValue, around: &Around<'_>) -> Result<Received, Rejection> {
    let mut received = Received::answer(Response::empty(202));
    take(raw, around, &mut received)?;
    Ok(received)
}

/// Batches, each taken or refused alone: some bad ones do not fail the others, as at mParticle.
fn bulk(raw: &RawValue, around: &Around<'_>) -> Result<Received, Rejection> {
    let batches: Vec<&RawValue> =
        serde_json::from_str(raw.get()).map_err(|_| Rejection::new("not_a_list", "a bulk request must be a list of batches"))?;
    if batches.len() > BULK_BATCHES_MAX {
        let words = format!("there are {} batches, and {BULK_BATCHES_MAX} are allowed", batches.len());
        return Err(Rejection::new("too_many_batches", words));
    }
    let mut received = Received::answer(Response::empty(202));
    for batch in batches {
        if let Err(rejection) = take(batch, around, &mut received) {
            received.refused.push(Refused { rejection, bytes: Some(batch.get().as_bytes().to_vec()) });
        }
    }
    Ok(received)
}

/// What the SDK for the web wants before it begins: no kits of others, no pixels. Events are sent a few at a time. What could not be sent
/// waits in the page, which sends it when it is left: in the browser's storage (`offlineStorage`) the SDK would write one batch over another
/// where it sends several at once.
fn settings(sender: Sender<'_>) -> Received {
    let settings = json!({
        "workspaceToken": sender.name,
        "minWebviewBridgeVersion": 1,
        "kitConfigs": [],
        "pixelConfigs": [],
        "flags": { "eventBatchingIntervalMillis": "1000", "offlineStorage": "0", "directURLRouting": "False" },
    });
    Received::answer(Response::json(200, settings.to_string()).header("cache-control", "public, max-age=120"))
}

/// Without `WWW-Authenticate`, at which a browser would ask the person for a password.
fn unknown(manner: Manner, stranger: Stranger) -> Received {
    match (manner, stranger) {
        (_, Stranger::Nobody) => tell(manner, 401, "UNAUTHORIZED", "the request names no key"),
        (Manner::Identity, Stranger::Wrong) => tell(manner, 401, "UNAUTHORIZED", "there is no such key"),
        (Manner::Events | Manner::Alias, Stranger::Wrong) => {
            tell(manner, 403, "FORBIDDEN", "there is no such key, or its secret is another")
        }
    }
}

/// Keeps the whole body as a dead letter, and says that it was not taken.
fn refuse_whole(manner: Manner, rejection: Rejection) -> Received {
    let mut received = tell(manner, 400, "BAD_REQUEST", &rejection.message);
    received.refused.push(Refused { rejection, bytes: None });
    received
}

fn tell(manner: Manner, status: u16, code: &str, message: &str) -> Received {
    let errors = json!([{ "code": code, "message": message }]);
    let body = match manner {
        Manner::Events => json!({ "errors": errors }),
        Manner::Identity => json!({ "Errors": errors, "ErrorCode": code, "StatusCode": status }),
        Manner::Alias => json!({ "code": code, "message": message, "errors": errors }),
    };
    Received::answer(Response::json(status, body.to_string()))
}
