//! The format of a plugin's own tests, as it is written.
//!
//! Bytes are written as what they are: a text stands for itself, everything else for its JSON.

use std::collections::BTreeMap;

use bytes::Bytes;
use schemars::JsonSchema;
use serde::{Deserialize, Deserializer};
use weft_domain::value::{Json, Timestamp};
use weft_host::{Body, FailureKind, Request};

/// A file of cases.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct CaseFile {
    /// The configuration of cases that have none of their own.
    #[serde(default)]
    pub config: Option<Json>,
    /// What `${secret:…}` and `${env:…}` in configurations stand for, by name.
    #[serde(default)]
    pub secrets: BTreeMap<String, String>,
    /// The cases, each by itself.
    #[schemars(length(min = 1))]
    pub cases: Vec<Case>,
}

/// One call of the plugin, and what must come of it.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, try_from = "CaseSpec")]
#[schemars(with = "CaseSpec")]
pub struct Case {
    /// What it shows, in a few words.
    pub name: String,
    pub(super) config: Option<Json>,
    pub(super) secrets: BTreeMap<String, String>,
    pub(super) given: Given,
    pub(super) http: Option<Http>,
    pub(super) expect: Expect,
}

/// One call of the plugin, and what must come of it.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct CaseSpec {
    /// What it shows, in a few words.
    #[schemars(length(min = 1))]
    name: String,
    /// The plugin's configuration.
    #[serde(default)]
    config: Option<Json>,
    /// What `${secret:…}` and `${env:…}` in the configuration stand for, by name.
    #[serde(default)]
    secrets: BTreeMap<String, String>,
    /// Of a transform: the events of a batch.
    #[serde(default)]
    apply: Option<Vec<Sent>>,
    /// Of a destination: a batch.
    #[serde(default)]
    deliver: Option<Deliver>,
    /// Of a source: a request.
    #[serde(default)]
    receive: Option<Receive>,
    /// Of a source: a poll.
    #[serde(default)]
    poll: Option<Poll>,
    /// Of a source: the chunks of a file, in order.
    #[serde(default)]
    decode: Option<Vec<String>>,
    /// Of a source or a destination: `true` asks whether the outside is there.
    #[serde(default)]
    check: Option<bool>,
    /// What the plugin asks the other side and what that answers, in order: a list, or the file that it was recorded in.
    #[serde(default)]
    http: Option<Http>,
    /// What must come of it.
    expect: Expect,
}

impl TryFrom<CaseSpec> for Case {
    type Error = String;

    fn try_from(spec: CaseSpec) -> Result<Self, String> {
        let given = [
            spec.apply.map(Given::Apply),
            spec.deliver.map(Given::Deliver),
            spec.receive.map(Given::Receive),
            spec.poll.map(Given::Poll),
            spec.decode.map(Given::Decode),
            spec.check.filter(|asks| *asks).map(|_| Given::Check),
        ];
        let mut given = given.into_iter().flatten();
        let (Some(given), None) = (given.next(), given.next()) else {
            return Err(format!(
                "the case `{}` has not exactly one of `apply`, `deliver`, `receive`, `poll`, `decode`, `check`",
                spec.name
            ));
        };
        Ok(Case { name: spec.name, config: spec.config, secrets: spec.secrets, given, http: spec.http, expect: spec.expect })
    }
}

/// What the plugin is given.
#[derive(Clone, Debug)]
pub(super) enum Given {
    Apply(Vec<Sent>),
    Deliver(Deliver),
    Receive(Receive),
    Poll(Poll),
    Decode(Vec<String>),
    Check,
}

/// Bytes: a text for itself, anything else for its JSON.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(transparent)]
pub(super) struct Sent(pub(super) Json);

impl Sent {
    pub(super) fn bytes(&self) -> Bytes {
        match serde_json::from_str::<String>(self.0.text()) {
            Ok(text) => Bytes::from(text),
            Err(_) => Bytes::from(self.0.text().to_owned()),
        }
    }
}

/// A batch for a destination.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Deliver {
    /// What the records are.
    #[serde(default = "events")]
    pub(super) stream: String,
    /// The key of the batch.
    #[serde(default = "key")]
    pub(super) key: String,
    /// The position of the first record; the others follow it.
    #[serde(default = "one")]
    pub(super) first_position: u64,
    /// The records.
    pub(super) records: Vec<Sent>,
}

fn events() -> String {
    "events".into()
}

fn key() -> String {
    "test:events:1".into()
}

fn one() -> u64 {
    1
}

/// A request to a source.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Receive {
    #[serde(default = "post")]
    method: String,
    /// What follows the source's own path.
    #[serde(default = "root")]
    path: String,
    /// Without the `?`.
    #[serde(default)]
    query: String,
    /// Names in lower case.
    #[serde(default)]
    headers: BTreeMap<String, String>,
    /// The body; absent for none.
    #[serde(default)]
    body: Option<Sent>,
    /// Instead of a body: why the engine could not read it.
    #[serde(default)]
    unreadable: Option<String>,
    /// When it arrives.
    #[serde(default)]
    received: Option<Timestamp>,
    /// The sender's address.
    #[serde(default = "remote")]
    remote: String,
}

fn post() -> String {
    "POST".into()
}

fn root() -> String {
    "/".into()
}

fn remote() -> String {
    "203.0.113.7".into()
}

impl Receive {
    pub(super) fn request(&self, now_ms: u64) -> Request {
        let body = match &self.unreadable {
            Some(why) => Body::Unreadable(why.clone()),
            None => Body::Bytes(self.body.as_ref().map(Sent::bytes).unwrap_or_default()),
        };
        Request {
            method: self.method.clone(),
            path: self.path.clone(),
            query: self.query.clone(),
            headers: self.headers.iter().map(|(name, value)| (name.to_lowercase(), value.clone())).collect(),
            body,
            received_ms: self.received.and_then(|received| u64::try_from(received.0).ok()).unwrap_or(now_ms),
            remote: self.remote.clone(),
        }
    }
}

/// A poll of a source.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Poll {
    /// The state that the last poll left behind; absent for the first.
    #[serde(default)]
    pub(super) state: Option<Json>,
}

/// What the other side is asked and answers.
#[derive(Clone, Debug, JsonSchema)]
#[serde(untagged)]
pub(super) enum Http {
    /// The file, relative to the cases, that they were recorded in.
    File(String),
    /// In order.
    Exchanges(Vec<Exchange>),
}

impl<'de> Deserialize<'de> for Http {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        // Not untagged: JSON that is kept as its text cannot be read in two tries.
        let json = Json::deserialize(deserializer)?;
        let read = serde_json::from_str(json.text()).map(Http::File);
        read.or_else(|_| serde_json::from_str(json.text()).map(Http::Exchanges)).map_err(serde::de::Error::custom)
    }
}

/// A file of recorded exchanges.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Exchanges {
    /// In order.
    pub(super) exchanges: Vec<Exchange>,
}

/// A request and its answer.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Exchange {
    /// What is asked.
    pub(super) ask: Ask,
    /// The answer.
    #[serde(default)]
    pub(super) answer: Option<Answer>,
    /// Instead of an answer: why there is none.
    #[serde(default)]
    pub(super) fail: Option<Fail>,
}

/// A request that is expected. What is absent may be anything.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Ask {
    pub(super) method: String,
    /// The path and query, relative to the connection.
    pub(super) target: String,
    /// Headers that must be there.
    #[serde(default)]
    pub(super) headers: BTreeMap<String, String>,
    /// The body, where it matters: a text exactly, JSON by the fields that it names.
    #[serde(default)]
    pub(super) body: Option<Json>,
}

/// An answer of the other side.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Answer {
    #[serde(default = "ok")]
    #[schemars(range(min = 100, max = 599))]
    pub(super) status: u16,
    #[serde(default)]
    pub(super) headers: BTreeMap<String, String>,
    #[serde(default)]
    pub(super) body: Option<Sent>,
    /// Instead of a body: bytes that are no text, in base64.
    #[serde(default)]
    pub(super) body_base64: Option<String>,
}

fn ok() -> u16 {
    200
}

/// A failure.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Fail {
    /// `config`, `credentials`, `rate_limited`, `unavailable`, `rejected`, `cancelled` or `internal`.
    #[schemars(with = "FailureName")]
    pub(super) kind: FailureKind,
    /// A part of its message.
    #[serde(default)]
    pub(super) message: Option<String>,
    #[serde(default)]
    pub(super) retry_after_ms: Option<u64>,
}

#[derive(JsonSchema)]
#[serde(rename_all = "snake_case")]
#[allow(dead_code, reason = "the schema of the host's own type")]
enum FailureName {
    Config,
    Credentials,
    RateLimited,
    Unavailable,
    Rejected,
    Cancelled,
    Internal,
}

/// What must come of a call. What is absent may be anything, but a failure that is not named fails the case.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Expect {
    /// Of a transform: one outcome for each event.
    pub(super) outcomes: Option<Vec<ExpectedOutcome>>,
    /// Of a destination: one receipt for each record.
    pub(super) receipts: Option<Vec<ExpectedReceipt>>,
    /// Of a source: what the sender is told.
    pub(super) response: Option<ExpectedResponse>,
    /// Of a source: all events, in order.
    pub(super) events: Option<Vec<Json>>,
    /// Of a source: the codes of what it refused, in order.
    pub(super) refused: Option<Vec<String>>,
    /// Of a poll or a file: the state that is proposed.
    pub(super) state: Option<Json>,
    /// Of a destination: files as they are left behind, by name.
    pub(super) files: Option<BTreeMap<String, String>>,
    /// The failure of the whole call.
    pub(super) failure: Option<Fail>,
}

/// An outcome that is expected.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub(super) enum ExpectedOutcome {
    /// As it was.
    Keep,
    /// Left out.
    Drop,
    /// Another in its place: the fields that matter.
    Replace(Json),
    /// Several in its place.
    Split(Vec<Json>),
    /// Refused with this code.
    Reject(String),
}

/// A receipt that is expected.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub(super) enum ExpectedReceipt {
    /// Delivered.
    Ok,
    /// Again after so many milliseconds.
    RetryMs(u64),
    /// Refused with this code.
    Reject(String),
}

/// An answer to a sender that is expected.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct ExpectedResponse {
    pub(super) status: u16,
    /// Headers that must be there.
    #[serde(default)]
    pub(super) headers: BTreeMap<String, String>,
    /// The body, where it matters: a text exactly, JSON by the fields that it names.
    #[serde(default)]
    pub(super) body: Option<Json>,
}
