//! The HTTP side: paths, write keys, sizes, and what senders are told.
//!
//! Nothing is looked into before its sender is known. Answers are those that Segment documents; where it answers 200 and
//! throws away, this answers 200 and keeps a dead letter. What a call means is in `segment-calls`.

use std::borrow::Cow;

use segment_calls::{Arrival, Batch, Call, Calls, event, typed};
use serde_json::json;
use weft_plugin::web::{Credentials, base64_decoded, cross_origin, percent_decoded, query};
use weft_plugin::{Body, Kind, Parts, RawValue, Received, Refused, Rejection, Request, Response, Secret, document, string};

use crate::Config;

/// Bytes of one call, on its own or in a batch: Segment's limit.
pub(crate) const CALL_BYTES_MAX: usize = 32 * 1024;
/// Bytes of a batch: Segment's limit.
pub(crate) const BATCH_BYTES_MAX: usize = 500 * 1024;
/// Calls in a batch: Segment's limit.
pub(crate) const BATCH_CALLS_MAX: usize = 2_500;
/// Headers that the SDKs send besides those that every page may.
const HEADERS: &str = "authorization, content-type, anonymousid";

/// A transparent GIF of one pixel, for the pixel API.
const PIXEL: &[u8] = b"GIF89a\x01\x00\x01\x00\x80\x00\x00\x00\x00\x00\xff\xff\xff!\xf9\x04\x01\x00\x00\x00\x00,\x00\x00\x00\x00\x01\x00\x01\x00\x00\x02\x02D\x01\x00;";

/// What a path asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Route<'a> {
    /// One call, of a kind that the path says.
    Call(Kind),
    /// Many calls, each of which says its kind.
    Batch,
    /// One call in the query of an image's address, as e-mails send it.
    Pixel(Kind),
    /// What `@segment/analytics-next` asks for before it begins, by its write key.
    Settings(&'a str),
    /// What RudderStack's SDKs ask for before they begin.
    SourceConfig,
    /// The library itself, which the pasted snippet loads.
    Library,
    Nowhere,
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
    let method = match route {
        Route::Call(_) | Route::Batch => "POST",
        Route::Pixel(_) | Route::Settings(_) | Route::SourceConfig | Route::Library => "GET",
        Route::Nowhere => {
            return refuse(
                404,
                "there is no such call; see https://segment.com/docs/connections/sources/catalog/libraries/server/http-api/",
            );
        }
    };
    if request.method != method {
        let mut received = refuse(405, &format!("this path takes {method}"));
        received.response = received.response.header("allow", format!("{method}, OPTIONS"));
        return received;
    }
    match route {
        Route::Call(kind) => post(config, request, Post::Call(kind)),
        Route::Batch => post(config, request, Post::Batch),
        Route::Pixel(kind) => pixel(config, request, kind),
        Route::Settings(key) => settings(config, &percent_decoded(key)),
        Route::SourceConfig => source_config(config, request),
        Route::Library | Route::Nowhere => refuse(
            404,
            "this is a collector and does not serve the library: load @segment/analytics-next from npm or a CDN, and name this source in \
             analytics.load",
        ),
    }
}

impl<'a> Route<'a> {
    /// Reads a path: with `/v1` or without, with a slash at its end or without, by long names or by the browser's short ones.
    fn of(path: &'a str) -> Self {
        let path = path.trim_matches('/');
        let path = path.strip_prefix("beacon/").unwrap_or(path);
        let path = path.strip_prefix("v1/").unwrap_or(path);
        let kind = match path.strip_prefix("pixel/").map(|rest| rest.strip_prefix("v1/").unwrap_or(rest)) {
            Some(name) => return kind_of(name).map_or(Route::Nowhere, Route::Pixel),
            None => kind_of(path),
        };
        match (kind, path) {
            (Some(kind), _) => Route::Call(kind),
            (None, "batch" | "b" | "import") => Route::Batch,
            (None, "sourceConfig") => Route::SourceConfig,
            (None, _) if path.starts_with("analytics.js/") || path.starts_with("analytics-next/") => Route::Library,
            (None, _) => match path.strip_prefix("projects/").and_then(|rest| rest.strip_suffix("/settings")) {
                Some(key) if !key.is_empty() && !key.contains('/') => Route::Settings(key),
                _ => Route::Nowhere,
            },
        }
    }
}

fn kind_of(name: &str) -> Option<Kind> {
    Some(match name {
        "identify" | "i" => Kind::Identify,
        "track" | "t" => Kind::Track,
        "page" | "p" => Kind::Page,
        "screen" | "s" => Kind::Screen,
        "group" | "g" => Kind::Group,
        "alias" | "a" => Kind::Alias,
        _ => return None,
    })
}

/// What is posted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Post {
    Call(Kind),
    Batch,
}

fn post(config: &Config, request: &Request, what: Post) -> Received {
    let key = Key::of_request(request);
    if let Key::Sent(key) = &key
        && !known(config, key)
    {
        return unauthorized();
    }
    // A part has no key in it, and where it was in the body it was looked at when the whole came.
    let is_known = key != Key::None || request.is_part();
    let body = match &request.body {
        Body::Bytes(body) => body,
        Body::Unreadable(_) if !is_known => return unauthorized(),
        Body::Unreadable(why) => return refuse_whole("unreadable", format!("the body cannot be read: {why}")),
    };
    let bytes_max = match what {
        Post::Call(_) => CALL_BYTES_MAX,
        Post::Batch => BATCH_BYTES_MAX,
    };
    if body.len() > bytes_max {
        let too_large = || refuse_whole("too_large", format!("the body has {} bytes, and {bytes_max} are allowed", body.len()));
        // A key that is in the body only is not looked for in a body of any size.
        return if is_known { too_large() } else { unauthorized() };
    }
    let text = std::str::from_utf8(body).map_err(|error| error.to_string());
    let call = text
        .and_then(|text| serde_json::from_str::<Call>(text.trim_start_matches('\u{feff}')).map_err(|error| error.to_string()));
    let mut call = match call {
        Ok(call) => call,
        Err(_) if !is_known => return unauthorized(),
        Err(error) => return refuse_whole("invalid_json", format!("the body is no JSON object: {error}")),
    };
    if !is_known {
        let key = call.write_key.and_then(string);
        if !key.is_some_and(|key| known(config, &key)) {
            return unauthorized();
        }
    }
    match what {
        Post::Call(kind) => one(config, request, &call, kind),
        Post::Batch => match call.batch.take() {
            Some(Batch::Calls(calls)) if calls.len() > BATCH_CALLS_MAX => {
                refuse_whole("too_many_calls", format!("there are {} calls, and {BATCH_CALLS_MAX} are allowed", calls.len()))
            }
            Some(Batch::Calls(calls)) => many(config, request, (body, &call), &calls),
            Some(Batch::NoList) | None => refuse_whole("no_batch", "a batch needs a list of calls in `batch`".to_owned()),
        },
    }
}

fn one(config: &Config, request: &Request, call: &Call<'_>, kind: Kind) -> Received {
    let mut received = Received::answer(success());
    match event(call, kind, &Calls { arrival: sent(request), ip: config.ip, envelope: None }).and_then(|event| event.finish()) {
        Ok(event) => received.events.push(event),
        Err(rejection) => received.refused.push(Refused { rejection, bytes: None }),
    }
    received
}

fn many(config: &Config, request: &Request, (body, envelope): (&[u8], &Call<'_>), calls: &[&RawValue]) -> Received {
    let mut received = Received::answer(success());
    received.events.reserve(calls.len());
    let around = Calls { arrival: sent(request), ip: config.ip, envelope: Some(envelope) };
    let mut parts: Option<Parts> = None;
    for raw in calls {
        match of_batch(raw.get(), &around) {
            Ok(event) => received.events.push(event),
            Err(rejection) => {
                let parts = parts.get_or_insert_with(|| batch_of_one(body));
                received.refused.push(Refused { rejection, bytes: Some(parts.alone(raw.get(), 0)) });
            }
        }
    }
    received
}

/// What stands around the calls of a batch, but for the key.
fn batch_of_one(body: &[u8]) -> Parts {
    let mut before = "{".to_owned();
    for (name, value) in document(body).unwrap_or_default() {
        if !matches!(&*name, "batch" | "writeKey") {
            before.push_str(&format!("{}:{},", json!(name), value.get()));
        }
    }
    before.push_str("\"batch\":[");
    Parts::around(before, "]}")
}

fn of_batch<'a>(text: &'a str, around: &Calls<'_, 'a>) -> Result<Vec<u8>, Rejection> {
    if text.len() > CALL_BYTES_MAX {
        return Err(Rejection::new("too_large", format!("the call has {} bytes, and {CALL_BYTES_MAX} are allowed", text.len())));
    }
    let (call, kind) = typed(text)?;
    event(&call, kind, around)?.finish()
}

fn sent(request: &Request) -> Arrival<'_> {
    Arrival::Sent { remote: &request.remote }
}

/// The pixel API: `?data=` holds a call as JSON in base64. The answer is an image whatever happens, since a mail client shows it.
fn pixel(config: &Config, request: &Request, kind: Kind) -> Received {
    let image = Response { status: 200, headers: vec![("content-type".into(), "image/gif".into())], body: PIXEL.to_vec() };
    let mut received = Received::answer(image.header("cache-control", "no-store"));
    let Some(data) = query(&request.query, "data") else { return received };
    let Some(bytes) = base64_decoded(&data) else { return received };
    let Ok(call) = serde_json::from_slice::<Call>(&bytes) else { return received };
    let key = call.write_key.and_then(string).or_else(|| query(&request.query, "writeKey"));
    if !key.is_some_and(|key| known(config, &key)) {
        return received;
    }
    match event(&call, kind, &Calls { arrival: sent(request), ip: config.ip, envelope: None }).and_then(|event| event.finish()) {
        Ok(event) => received.events.push(event),
        Err(rejection) => received.refused.push(Refused { rejection, bytes: Some(bytes.clone()) }),
    }
    received
}

/// A write key as it was sent outside the body.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Key<'a> {
    Sent(Cow<'a, str>),
    None,
}

impl<'a> Key<'a> {
    /// The user of `Authorization: Basic`, else `writeKey` in the query. A header of another scheme is a wrong key.
    fn of_request(request: &'a Request) -> Self {
        match Credentials::of(request) {
            Credentials::Basic { user, .. } => Key::Sent(Cow::Owned(user)),
            Credentials::Unreadable => Key::Sent(Cow::Borrowed("")),
            Credentials::None => query(&request.query, "writeKey").map_or(Key::None, Key::Sent),
        }
    }
}

/// Whether a key is one of ours. Every key is compared, so that the time does not say which.
fn known(config: &Config, key: &str) -> bool {
    let equal = |secret: &Secret| secret.equals(key.as_bytes());
    !key.is_empty() && config.write_keys.iter().filter(|secret| equal(secret)).count() > 0
}

/// The settings that `@segment/analytics-next` wants before it sends anything: of this source alone, without plugins of
/// others, and with its own telemetry off.
fn settings(config: &Config, key: &str) -> Received {
    if !known(config, key) {
        return refuse(404, "there is no source with this write key");
    }
    let mut segment = json!({ "apiKey": key, "unbundledIntegrations": [], "addBundledMetadata": false });
    if let Some(Public { protocol, host }) = config.public_url.as_deref().and_then(Public::parse) {
        segment["apiHost"] = json!(format!("{host}/v1"));
        segment["protocol"] = json!(protocol);
    }
    let plan = json!({ "__default": { "enabled": true, "integrations": {} } });
    let settings = json!({
        "integrations": { "Segment.io": segment },
        "plan": { "track": plan, "identify": plan, "group": plan },
        "edgeFunction": {},
        "enabledMiddleware": {},
        "middlewareSettings": {},
        "analyticsNextEnabled": true,
        "legacyVideoPluginsEnabled": false,
        "metrics": { "sampleRate": 0 },
        "remotePlugins": [],
    });
    Received::answer(Response::json(200, settings.to_string()).header("cache-control", "public, max-age=120"))
}

/// What RudderStack's browser SDKs want before they begin: a source that is on and has no destinations in the browser.
fn source_config(config: &Config, request: &Request) -> Received {
    let Key::Sent(key) = Key::of_request(request) else { return unauthorized() };
    if !known(config, &key) {
        return unauthorized();
    }
    let off = json!({ "enabled": false });
    let source = json!({
        "id": "weft",
        "name": "weft",
        "writeKey": key,
        "enabled": true,
        "workspaceId": "weft",
        "config": { "statsCollection": { "errors": off, "metrics": off } },
        "connections": [],
        "destinations": [],
        "dataplanes": {},
    });
    Received::answer(Response::json(200, json!({ "source": source }).to_string()))
}

/// An address that senders use, in its parts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Public<'a> {
    protocol: &'a str,
    /// With the path, without a slash at its end.
    host: &'a str,
}

impl<'a> Public<'a> {
    pub(crate) fn parse(url: &'a str) -> Option<Self> {
        let (protocol, rest) = url.split_once("://")?;
        let host = rest.trim_end_matches('/');
        let plain = |byte: u8| byte.is_ascii_graphic() && !matches!(byte, b'?' | b'#' | b'@' | b'"' | b'\\' | b'<' | b'>');
        let good =
            matches!(protocol, "http" | "https") && host.starts_with(|first: char| first.is_ascii_alphanumeric() || first == '[');
        (good && host.bytes().all(plain)).then_some(Public { protocol, host })
    }
}

fn success() -> Response {
    Response::json(200, "{\"success\":true}")
}

fn refuse(status: u16, message: &str) -> Received {
    Received::answer(Response::json(status, json!({ "success": false, "message": message }).to_string()))
}

/// Without `WWW-Authenticate`, at which a browser would ask the person for a password.
fn unauthorized() -> Received {
    refuse(401, "the write key is missing or wrong")
}

/// Keeps the whole body as a dead letter, and says that it was not taken.
fn refuse_whole(code: &str, message: String) -> Received {
    let mut received = refuse(400, &message);
    received.refused.push(Refused { rejection: Rejection::new(code, message), bytes: None });
    received
}
