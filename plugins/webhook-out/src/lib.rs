//! A destination that is any HTTP API: one request for each record, or for each batch.
//!
//! It knows nobody's format: what is sent is the record, or what a template takes of it. `request.rs` makes requests, `answer.rs` reads
//! answers, the SDK's `template` finds values. Order is kept: a record that has to wait holds up those behind it.
#![deny(clippy::unwrap_used)]

mod answer;
mod request;

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::Deserialize;
use weft_plugin::{
    About, Batch, Capability, ConfigProblem, Destination, Example, Failure, Limits, Receipt, Rejection, Secret, document, http,
};

use crate::answer::{Fate, fate};
use crate::request::{Maker, Shape, key, time_ms};
use weft_plugin::template::{Part, Template};

/// What is sent, and where to. A path of a record is dotted (`properties.total`) or a JSON pointer (`/properties/total`);
/// `claims.email` is the claim of that type.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// The address, relative to the connection's. With `send: record` it may have `{{ paths }}` of the record.
    pub path: String,
    /// Whether a request has one record, or a list of them.
    #[serde(default)]
    pub send: Send,
    /// The request's method.
    #[serde(default)]
    pub method: Method,
    /// Headers that every request has. Credentials belong to the connection.
    #[serde(default)]
    pub headers: BTreeMap<String, String>,
    /// `record`, or names and the paths of what they hold; objects in it are objects.
    #[serde(default)]
    pub body: Body,
    /// A signature over time and body, by which the other side knows us.
    #[serde(default)]
    pub signature: Option<Signature>,
    /// The header with the key that is the same whenever the same is sent again.
    #[serde(default = "idempotency_header")]
    pub idempotency_header: String,
    /// What becomes of a record that is answered with 500.
    #[serde(default)]
    pub on_500: OnServerError,
}

fn idempotency_header() -> String {
    "Idempotency-Key".into()
}

/// How many records a request has.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Send {
    /// One.
    #[default]
    Record,
    /// A list of those that wait, as many as a batch has.
    Batch,
}

/// The methods that change something.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "UPPERCASE")]
pub enum Method {
    /// `POST`.
    #[default]
    Post,
    /// `PUT`.
    Put,
    /// `PATCH`.
    Patch,
    /// `DELETE`.
    Delete,
}

impl Method {
    fn name(self) -> &'static str {
        match self {
            Method::Post => "POST",
            Method::Put => "PUT",
            Method::Patch => "PATCH",
            Method::Delete => "DELETE",
        }
    }
}

/// What a record looks like in the body.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(untagged)]
pub enum Body {
    /// `record`: all of it. Within an object: the path of a value.
    Path(String),
    /// Names and what they hold. What is missing in a record is left out.
    Object(BTreeMap<String, Body>),
}

impl Default for Body {
    fn default() -> Self {
        Body::Path("record".into())
    }
}

/// How requests are signed.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Signature {
    /// What both sides know.
    pub secret: Secret,
    /// The header that carries it.
    #[serde(default = "signature_header")]
    pub header: String,
}

fn signature_header() -> String {
    "X-Weft-Signature".into()
}

/// What becomes of a record that is answered with 500.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum OnServerError {
    /// It is sent again until it is taken, and those behind it wait.
    #[default]
    Wait,
    /// It becomes a dead letter: for services that answer 500 to what they do not like.
    Reject,
}

/// The plugin.
#[derive(Debug)]
pub struct WebhookOut {
    maker: Maker,
}

impl Destination for WebhookOut {
    const ABOUT: About = About {
        accepts: &["events", "profiles"],
        capabilities: &[Capability::Http, Capability::Crypto],
        reuse: true,
        limits: Limits { batch_records: Some(100), ..weft_plugin::about!().limits },
        docs: include_str!("../README.md"),
        examples: &[
            Example { title: "Every record, signed", config: include_str!("../examples/signed.json") },
            Example { title: "An order's own address and body", config: include_str!("../examples/order.json") },
            Example { title: "Lists of records", config: include_str!("../examples/batch.json") },
        ],
        ..weft_plugin::about!()
    };
    type Config = Config;

    fn open(config: Config) -> Result<Self, Failure> {
        read(config)
            .map(|maker| WebhookOut { maker })
            .map_err(|problems| Failure::config(problems.into_iter().next().map_or_else(String::new, |problem| problem.message)))
    }

    fn validate(config: &Config) -> Vec<ConfigProblem> {
        read(config.clone()).err().unwrap_or_default()
    }

    fn deliver(&mut self, batch: Batch) -> Result<Vec<Receipt>, Failure> {
        match self.maker.config.send {
            Send::Record => self.each(&batch),
            Send::Batch => self.together(&batch),
        }
    }
}

/// Reads templates and names.
fn read(config: Config) -> Result<Maker, Vec<ConfigProblem>> {
    let mut problems = Vec::new();
    let path = Template::parse(&config.path).unwrap_or_else(|message| {
        problems.push(ConfigProblem::at("/path", message));
        Template::default()
    });
    if config.send == Send::Batch && path.parts().iter().any(|part| matches!(part, Part::Value(_))) {
        problems.push(ConfigProblem::at("/path", "a batch has many records and one path").hint("use `send: record`"));
    }
    let is_odd = |text: &str| text.contains(['#', '\\']) || text.contains(char::is_whitespace) || text.contains("://");
    if path.parts().iter().any(|part| matches!(part, Part::Text(text) if is_odd(text))) {
        let hint = "a path and query such as v1/events?source=weft: the connection has the host";
        problems.push(ConfigProblem::at("/path", "not a path below the connection's address").hint(hint));
    }
    let mut wrong = |at: String, text: &str| {
        problems.push(ConfigProblem::at(at, format!("`{text}` is no path")).hint("such as properties.total or claims.email"));
    };
    let shape = Shape::read(&config.body, "/body", &mut wrong);
    if matches!(shape, Shape::Value(_)) {
        problems.push(ConfigProblem::at("/body", "neither `record` nor an object"));
    }
    let mut own: Vec<(String, &str)> = vec![("/idempotency_header".into(), &config.idempotency_header)];
    own.extend(config.signature.as_ref().map(|signature| ("/signature/header".into(), &*signature.header)));
    for name in config.headers.keys() {
        if own.iter().any(|(_, other)| other.eq_ignore_ascii_case(name)) {
            problems.push(ConfigProblem::at(format!("/headers/{name}"), "the plugin sets this header itself"));
        }
        own.push((format!("/headers/{}", name.replace('~', "~0").replace('/', "~1")), name));
    }
    for (at, name) in own {
        if !is_header_name(name) {
            problems.push(ConfigProblem::at(at, format!("`{name}` is no header that can be set")));
        }
    }
    for (name, value) in &config.headers {
        if value.bytes().any(|byte| byte.is_ascii_control()) {
            problems.push(ConfigProblem::at(format!("/headers/{name}"), "a header's value has a control character"));
        }
    }
    if problems.is_empty() { Ok(Maker { config, path, shape }) } else { Err(problems) }
}

/// Whether this is the name of a header (RFC 9110, 5.6.2) that the engine does not set itself.
fn is_header_name(name: &str) -> bool {
    const THE_ENGINES: [&str; 7] =
        ["host", "content-length", "transfer-encoding", "connection", "upgrade", "expect", "accept-encoding"];
    let token = |byte: u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte);
    !name.is_empty() && name.bytes().all(token) && !THE_ENGINES.iter().any(|other| other.eq_ignore_ascii_case(name))
}

impl WebhookOut {
    /// A request for each record, until one has to wait.
    fn each(&self, batch: &Batch) -> Result<Vec<Receipt>, Failure> {
        let mut receipts = Vec::with_capacity(batch.records.len());
        for (bytes, position) in batch.records.iter().zip(&batch.positions) {
            let fate = match self.one(&batch.stream, bytes, *position) {
                Ok(request) => fate(http::send(request?), self.maker.config.on_500),
                Err(rejection) => Fate::Refused(rejection),
            };
            match fate {
                Fate::Taken => receipts.push(Receipt::Ok),
                Fate::Refused(rejection) => receipts.push(Receipt::Reject(rejection)),
                // The first of a batch: a failure, at which the engine waits for as long as it takes.
                Fate::Waits(failure) if receipts.is_empty() => return Err(failure),
                // Those before it are through. It comes again first, and those behind it after it.
                Fate::Waits(failure) => {
                    let wait = Receipt::Retry(failure.retry_after_ms.unwrap_or(0));
                    receipts.resize(batch.records.len(), wait);
                    break;
                }
            }
        }
        Ok(receipts)
    }

    /// The request for a record; or why there can be none.
    fn one(&self, stream: &str, bytes: &[u8], position: u64) -> Result<Result<http::Request, Failure>, Rejection> {
        let record = document(bytes).map_err(|error| not_json(&error))?;
        let text = std::str::from_utf8(bytes).map_err(|error| not_json(&error))?;
        let target = self.maker.target(&record)?;
        let body = self.maker.body(text, &record).into_owned();
        let key = key(&format!("{stream}-{position}"), bytes);
        Ok(self.maker.request(target, body, &key, time_ms(&record)))
    }

    /// One request for all records.
    fn together(&self, batch: &Batch) -> Result<Vec<Receipt>, Failure> {
        let (mut receipts, mut body, mut newest_ms) = (Vec::with_capacity(batch.records.len()), String::from("["), 0);
        for bytes in &batch.records {
            let record = document(bytes).map_err(|error| not_json(&error));
            match record.and_then(|record| Ok((record, std::str::from_utf8(bytes).map_err(|error| not_json(&error))?))) {
                Err(rejection) => receipts.push(Receipt::Reject(rejection)),
                Ok((record, text)) => {
                    if body.len() > 1 {
                        body.push(',');
                    }
                    body.push_str(&self.maker.body(text, &record));
                    newest_ms = newest_ms.max(time_ms(&record));
                    receipts.push(Receipt::Ok);
                }
            }
        }
        body.push(']');
        if !receipts.contains(&Receipt::Ok) {
            return Ok(receipts);
        }
        let key = key(&batch.key, body.as_bytes());
        let request = self.maker.request(self.maker.config.path.clone(), body, &key, newest_ms)?;
        match fate(http::send(request), self.maker.config.on_500) {
            Fate::Taken => {}
            Fate::Waits(failure) => return Err(failure),
            Fate::Refused(rejection) => {
                receipts.iter_mut().filter(|receipt| **receipt == Receipt::Ok).for_each(|receipt| {
                    *receipt = Receipt::Reject(rejection.clone());
                });
            }
        }
        Ok(receipts)
    }
}

fn not_json(error: &impl std::fmt::Display) -> Rejection {
    Rejection::new("not_json", format!("the record is no JSON object: {error}"))
}

weft_plugin::destination!(WebhookOut);
