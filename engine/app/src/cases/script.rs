//! The other side: the exchanges of a case in their order, or a real connection that is listened to.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use serde_json::{Value, json};
use weft_host::{Failure, FailureKind, HttpRequest, HttpResponse, Lending};

use super::compare::{bytes, headers, shown};
use super::format::{Exchange, Fail, Sent};
use crate::egress::Connection;
use crate::rehearsal::Peer;

/// Answers with the exchanges of a case, in their order.
pub struct Script(Mutex<State>);

struct State {
    left: VecDeque<Exchange>,
    done: usize,
    failures: Vec<String>,
}

impl Script {
    pub(super) fn new(exchanges: Vec<Exchange>) -> Arc<Script> {
        Arc::new(Script(Mutex::new(State { left: exchanges.into(), done: 0, failures: Vec::new() })))
    }

    /// What was asked otherwise than expected, and what was not asked at all.
    #[must_use]
    pub fn failures(&self) -> Vec<String> {
        let state = held(&self.0);
        let left = state.left.iter().enumerate();
        let missing = left.map(|(place, exchange)| {
            format!("request {} is not made: {} {}", state.done + place + 1, exchange.ask.method, exchange.ask.target)
        });
        state.failures.iter().cloned().chain(missing).collect()
    }
}

fn held<T>(shared: &Mutex<T>) -> MutexGuard<'_, T> {
    shared.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Peer for Script {
    fn answer(&self, request: HttpRequest) -> Lending<'_, Result<HttpResponse, Failure>> {
        let mut state = held(&self.0);
        let number = state.done + 1;
        let answer = match state.left.pop_front() {
            Some(exchange) => {
                state.done = number;
                if let Some(difference) = differs(&exchange, &request) {
                    state.failures.push(format!("request {number}: {difference}"));
                }
                answer(exchange)
            }
            None => {
                let body = shown(&request.body);
                state.failures.push(format!("request {number} is not expected: {} {} {body}", request.method, request.target));
                Err(Failure::new(FailureKind::Unavailable, "this test has no answer to that"))
            }
        };
        Box::pin(std::future::ready(answer))
    }
}

fn differs(exchange: &Exchange, request: &HttpRequest) -> Option<String> {
    let ask = &exchange.ask;
    if ask.method != request.method || ask.target != request.target {
        return Some(format!("expected {} {}, and it is {} {}", ask.method, ask.target, request.method, request.target));
    }
    headers(&ask.headers, &request.headers).or_else(|| Some(format!("the body: {}", bytes(ask.body.as_ref()?, &request.body)?)))
}

fn answer(exchange: Exchange) -> Result<HttpResponse, Failure> {
    if let Some(Fail { kind, message, retry_after_ms }) = exchange.fail {
        let message = message.unwrap_or_else(|| "the other side does not answer".into());
        return Err(Failure { kind, message, retry_after_ms });
    }
    let Some(answer) = exchange.answer else {
        return Ok(HttpResponse { status: 200, headers: Vec::new(), body: Vec::new() });
    };
    let body = match answer.body_base64 {
        Some(text) => {
            BASE64.decode(text).map_err(|error| Failure::new(FailureKind::Internal, format!("body_base64: {error}")))?
        }
        None => answer.body.as_ref().map(Sent::bytes).unwrap_or_default().to_vec(),
    };
    let headers = answer.headers.into_iter().map(|(name, value)| (name.to_lowercase(), value)).collect();
    Ok(HttpResponse { status: answer.status, headers, body })
}

/// Lets requests out through a connection, and writes down what is said.
pub struct Recorder {
    connection: Arc<Connection>,
    secrets: Vec<String>,
    heard: Mutex<Vec<(HttpRequest, Result<HttpResponse, Failure>)>>,
}

/// What stands in a recording for a secret.
const BLOT: &str = "[secret]";

/// Headers of answers that say who is answered, and mean nothing to a plugin.
const UNHEARD: [&str; 3] = ["set-cookie", "www-authenticate", "date"];

/// The shortest secret that is blotted out: shorter ones stand everywhere by chance.
const SECRET_BYTES_MIN: usize = 6;

impl Recorder {
    /// Of a connection. The texts of `secrets` are never written, whoever says them.
    #[must_use]
    pub fn new(connection: Arc<Connection>, secrets: Vec<String>) -> Arc<Recorder> {
        Arc::new(Recorder { connection, secrets, heard: Mutex::default() })
    }

    /// What was said since the last time, as a file of exchanges; and what of it cannot be written.
    pub(super) fn take<'a>(&'a self, more: impl Iterator<Item = &'a String>) -> (String, Vec<String>) {
        let heard = std::mem::take(&mut *held(&self.heard));
        let secrets: Vec<&String> = self.secrets.iter().chain(more).filter(|secret| secret.len() >= SECRET_BYTES_MIN).collect();
        let mut text = String::from(
            "# Recorded by `weft plugin test --record`. What is secret is blotted out; look for what should be.\nexchanges:\n",
        );
        let mut unwritable = Vec::new();
        for (number, (request, answer)) in heard.iter().enumerate() {
            let ask = json!({
                "method": request.method,
                "target": request.target,
                "headers": named(&request.headers),
                "body": written(&request.body),
            });
            let answer = match answer {
                Ok(answer) => {
                    let kept: Vec<(String, String)> =
                        answer.headers.iter().filter(|(name, _)| !UNHEARD.contains(&&*name.to_lowercase())).cloned().collect();
                    let body = written(&answer.body);
                    match (body, answer.body.is_empty()) {
                        (Value::Null, false) => {
                            json!({ "answer": { "status": answer.status, "headers": named(&kept), "body_base64": BASE64.encode(&answer.body) } })
                        }
                        (body, _) => json!({ "answer": { "status": answer.status, "headers": named(&kept), "body": body } }),
                    }
                }
                Err(failure) => {
                    json!({ "fail": { "kind": failure.kind.code(), "message": failure.message, "retry_after_ms": failure.retry_after_ms } })
                }
            };
            let (mut lines, answer) = (String::new(), plain(answer));
            lines.push_str(&format!("  - ask: {}\n", plain(ask)));
            for (name, value) in answer.as_object().into_iter().flatten() {
                lines.push_str(&format!("    {name}: {value}\n"));
            }
            for secret in &secrets {
                let escaped = Value::from(secret.as_str()).to_string();
                lines = lines.replace(escaped.trim_matches('"'), BLOT).replace(&BASE64.encode(secret.as_bytes()), BLOT);
            }
            if std::str::from_utf8(&request.body).is_err() {
                unwritable.push(format!(
                    "the body of request {} is no text: it is not compared when the recording is played",
                    number + 1
                ));
            }
            text.push_str(&lines);
        }
        if heard.is_empty() {
            text = text.replace("exchanges:\n", "exchanges: []\n");
        }
        (text, unwritable)
    }
}

impl Peer for Recorder {
    fn answer(&self, request: HttpRequest) -> Lending<'_, Result<HttpResponse, Failure>> {
        Box::pin(async move {
            let answer = self.connection.send(request.clone()).await;
            held(&self.heard).push((request, answer.clone()));
            answer
        })
    }
}

fn named(headers: &[(String, String)]) -> BTreeMap<String, String> {
    headers.iter().map(|(name, value)| (name.to_lowercase(), value.clone())).collect()
}

/// Bytes as a test writes them; null for none and for what is no text.
fn written(bytes: &[u8]) -> Value {
    match (serde_json::from_slice::<Value>(bytes), std::str::from_utf8(bytes)) {
        // A text would stand for itself and not for its JSON.
        (Ok(value), _) if !value.is_string() && !value.is_null() => value,
        (_, Ok(text)) if !text.is_empty() => Value::from(text),
        _ => Value::Null,
    }
}

/// Without what is absent.
fn plain(value: Value) -> Value {
    match value {
        Value::Object(fields) => Value::Object(
            fields
                .into_iter()
                .filter(|(name, value)| {
                    let is_empty = name == "headers" && value.as_object().is_some_and(serde_json::Map::is_empty);
                    !value.is_null() && !is_empty
                })
                .map(|(name, value)| if name == "body" { (name, value) } else { (name, plain(value)) })
                .collect(),
        ),
        other => other,
    }
}
