//! What is sent: the address, the body and the headers that say who sent it and whether it came before.

use std::borrow::Cow;

use weft_plugin::crypto::{self, Algorithm};
use weft_plugin::{Failure, Fields, Json, RawValue, Rejection, Timestamp, http};

use crate::{Body, Config};
use weft_plugin::place::{Place, field, plain};
use weft_plugin::template::{Part, Template, in_record};

/// Bytes of a value in an address: it is a word and not a text.
const PATH_VALUE_BYTES_MAX: usize = 512;

/// What every request has in common.
#[derive(Debug)]
pub(crate) struct Maker {
    pub(crate) config: Config,
    pub(crate) path: Template,
    pub(crate) shape: Shape,
}

/// What a record looks like in a body.
#[derive(Debug)]
pub(crate) enum Shape {
    /// As it is.
    Record,
    /// What is at a path.
    Value(Place),
    /// These names, and what they hold.
    Object(Vec<(String, Shape)>),
}

impl Shape {
    /// Reads the body's template; what is no path is told with its place.
    pub(crate) fn read(body: &Body, at: &str, wrong: &mut impl FnMut(String, &str)) -> Shape {
        match body {
            Body::Path(text) if text == "record" && at == "/body" => Shape::Record,
            Body::Path(text) => in_record(text).map_or_else(
                || {
                    wrong(at.to_owned(), text);
                    Shape::Record
                },
                Shape::Value,
            ),
            Body::Object(pairs) => Shape::Object(
                pairs
                    .iter()
                    .map(|(name, body)| {
                        let at = format!("{at}/{}", name.replace('~', "~0").replace('/', "~1"));
                        (name.clone(), Shape::read(body, &at, wrong))
                    })
                    .collect(),
            ),
        }
    }

    /// A record in this shape; none where there is nothing to say.
    fn of<'a>(&self, text: &'a str, record: &Fields<'a>) -> Option<Cow<'a, str>> {
        Some(match self {
            Shape::Record => Cow::Borrowed(text),
            Shape::Value(path) => Cow::Borrowed(path.find_in(record)?.get()),
            Shape::Object(pairs) => {
                let raw = |text: Cow<str>| RawValue::from_string(text.into_owned()).ok();
                let found: Vec<(&str, Box<RawValue>)> =
                    pairs.iter().filter_map(|(name, shape)| Some((&**name, raw(shape.of(text, record)?)?))).collect();
                Cow::Owned(Json::object(found.iter().map(|(name, value)| (*name, &**value))).text().to_owned())
            }
        })
    }
}

impl Maker {
    /// A record's text in a body.
    pub(crate) fn body<'a>(&self, text: &'a str, record: &Fields<'a>) -> Cow<'a, str> {
        self.shape.of(text, record).unwrap_or(Cow::Borrowed("null"))
    }

    /// The address of a record's request.
    ///
    /// # Errors
    /// A value that belongs into it is missing, or would lead elsewhere.
    pub(crate) fn target(&self, record: &Fields<'_>) -> Result<String, Rejection> {
        let (mut target, mut bare) = (String::new(), String::new());
        for part in self.path.parts() {
            match part {
                Part::Text(text) => {
                    target.push_str(text);
                    bare.push_str(text);
                }
                Part::Value(path) => {
                    let value = path.find_in(record).map(plain).unwrap_or_default();
                    if value.trim().is_empty() {
                        return Err(Rejection::new("missing_value", "a value of the path is missing"));
                    }
                    // What is encoded twice is somebody's attempt, or nobody's id.
                    if value.len() > PATH_VALUE_BYTES_MAX || value.contains('%') {
                        return Err(Rejection::new("bad_path", "a value of the path is too long, or has a percent sign"));
                    }
                    http::push_encoded(&mut target, &value);
                    bare.push_str(&value);
                }
            }
        }
        // The engine refuses such an address for the whole stage: here it is this record's fault.
        let mut segments = bare.split('?').next().unwrap_or_default().split(['/', '\\']);
        if segments.any(|segment| matches!(segment.split(';').next(), Some("." | ".."))) {
            return Err(Rejection::new("bad_path", "a value of the path leads out of it"));
        }
        Ok(target)
    }

    /// A request of a body, under a key by which the other side can know a repetition. `newest_ms` is when its newest record
    /// came to be.
    ///
    /// # Errors
    /// The engine does not know the secret.
    pub(crate) fn request(&self, target: String, body: String, key: &str, newest_ms: i64) -> Result<http::Request, Failure> {
        let config = &self.config;
        let mut headers: Vec<(String, String)> =
            config.headers.iter().map(|(name, value)| (name.to_ascii_lowercase(), value.clone())).collect();
        if !headers.iter().any(|(name, _)| name == "content-type") {
            headers.push(("content-type".into(), "application/json".into()));
        }
        headers.push((config.idempotency_header.to_ascii_lowercase(), key.to_owned()));
        if let Some(signature) = &config.signature {
            let seconds = newest_ms.div_euclid(1000);
            let mac = signature.secret.hmac(Algorithm::Sha256, format!("{seconds}.{body}").as_bytes())?;
            headers.push((signature.header.to_ascii_lowercase(), format!("t={seconds},v1={}", hex(&mac))));
        }
        let method = config.method.name().to_owned();
        Ok(http::Request { method, target, headers, body: body.into_bytes(), timeout_ms: None })
    }
}

/// When a record came to be, by the engine's clock.
pub(crate) fn time_ms(record: &Fields<'_>) -> i64 {
    let time = field(record, "received").or_else(|| field(record, "last_seen"));
    time.and_then(Timestamp::from_json).map_or(0, Timestamp::ms)
}

/// A name with as much of a hash as tells contents apart: positions begin anew where history does.
pub(crate) fn key(name: &str, contents: &[u8]) -> String {
    const HASH_BYTES: usize = 8;
    format!("{name}-{}", hex(&crypto::hash(Algorithm::Sha256, contents)[..HASH_BYTES]))
}

fn hex(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    bytes.iter().flat_map(|byte| [byte >> 4, byte & 15]).map(|half| char::from(DIGITS[usize::from(half)])).collect()
}
