//! What fits an expectation. One rule everywhere: an object names the fields that matter, `null` stands for what is not there, everything else is
//! as it is written, and lists are whole. Numbers are compared as numbers.

use std::collections::BTreeMap;

use bytes::Bytes;
use serde_json::Value;
use weft_domain::value::Json;

use super::format::{Expect, ExpectedOutcome, ExpectedReceipt, ExpectedResponse, Fail};
use super::{Failure, Outcome, Receipt, Received};
use crate::rehearsal::Folder;

/// What came of a call.
#[derive(Default)]
pub(super) struct Came {
    pub(super) outcomes: Vec<Outcome>,
    pub(super) receipts: Vec<Receipt>,
    pub(super) received: Option<Received>,
    pub(super) events: Vec<Bytes>,
    /// Codes of what a poll or a file gave and is no event.
    pub(super) refused: Vec<String>,
    pub(super) state: Option<String>,
    pub(super) failure: Option<Failure>,
}

/// How much of a value a failure shows.
const SHOWN_CHARS: usize = 300;

/// What did not come out as expected.
pub(super) fn failures(expect: &Expect, came: &Came, files: &BTreeMap<String, Folder>) -> Vec<String> {
    let mut failures = Vec::new();
    let mut note = |difference: Option<String>| failures.extend(difference);
    note(failure(expect.failure.as_ref(), came.failure.as_ref()));
    if let Some(want) = &expect.outcomes {
        note(count("outcome", want.len(), came.outcomes.len()));
        for (place, (want, have)) in want.iter().zip(&came.outcomes).enumerate() {
            note(outcome(want, have).map(|difference| format!("outcome {}: {difference}", place + 1)));
        }
    }
    if let Some(want) = &expect.receipts {
        note(count("receipt", want.len(), came.receipts.len()));
        for (place, (want, have)) in want.iter().zip(&came.receipts).enumerate() {
            note(receipt(want, have).map(|difference| format!("receipt {}: {difference}", place + 1)));
        }
    }
    let received = came.received.as_ref();
    if let Some(want) = &expect.response {
        note(match received {
            Some(have) => response(want, have),
            None => Some("there is no response".into()),
        });
    }
    if let Some(want) = &expect.events {
        let have = received.map_or(&came.events[..], |received| &received.events);
        note(count("event", want.len(), have.len()));
        for (place, (want, have)) in want.iter().zip(have).enumerate() {
            note(bytes(want, have).map(|difference| format!("event {}: {difference}", place + 1)));
        }
    }
    if let Some(want) = &expect.refused {
        let of_request = received.iter().flat_map(|received| &received.refused).map(|refused| &refused.rejection.code);
        let have: Vec<&str> = of_request.chain(&came.refused).map(String::as_str).collect();
        note((*want != have).then(|| format!("expected to be refused: {want:?}, and it is {have:?}")));
    }
    if let Some(want) = &expect.state {
        note(match &came.state {
            Some(have) => bytes(want, have.as_bytes()).map(|difference| format!("state: {difference}")),
            None => Some("no state is proposed".into()),
        });
    }
    for (name, want) in expect.files.iter().flatten() {
        let have = files.values().find_map(|folder| folder.get(name)).map(|bytes| String::from_utf8_lossy(bytes).into_owned());
        note(match have {
            Some(have) if have == *want => None,
            Some(have) => Some(format!("the file `{name}`: expected {want:?}, and it is {have:?}")),
            None => {
                let names: Vec<&str> = files.values().flat_map(|folder| folder.keys()).map(String::as_str).collect();
                Some(format!("there is no file `{name}`, only [{}]", names.join(", ")))
            }
        });
    }
    failures
}

fn count(what: &str, want: usize, have: usize) -> Option<String> {
    (want != have).then(|| format!("expected {want} {what}s, and there are {have}"))
}

fn failure(want: Option<&Fail>, have: Option<&Failure>) -> Option<String> {
    let shown = |failure: &Failure| {
        let wait = failure.retry_after_ms.map_or_else(String::new, |ms| format!(", again after {ms} ms"));
        format!("{}: {}{wait}", failure.kind.code(), failure.message)
    };
    match (want, have) {
        (None, None) => None,
        (None, Some(have)) => Some(format!("the call fails: {}", shown(have))),
        (Some(want), None) => Some(format!("expected the call to fail with `{}`, and it does not", want.kind.code())),
        (Some(want), Some(have)) => {
            let fits = want.kind == have.kind
                && want.retry_after_ms.is_none_or(|ms| have.retry_after_ms == Some(ms))
                && want.message.as_ref().is_none_or(|part| have.message.contains(&**part));
            (!fits).then(|| format!("expected another failure, `{}`; it is {}", want.kind.code(), shown(have)))
        }
    }
}

fn outcome(want: &ExpectedOutcome, have: &Outcome) -> Option<String> {
    match (want, have) {
        (ExpectedOutcome::Keep, Outcome::Keep) | (ExpectedOutcome::Drop, Outcome::Drop) => None,
        (ExpectedOutcome::Replace(want), Outcome::Replace(have)) => bytes(want, have),
        (ExpectedOutcome::Split(want), Outcome::Split(have)) if want.len() == have.len() => {
            let parts = want.iter().zip(have).enumerate();
            parts.into_iter().find_map(|(place, (want, have))| Some(format!("part {}: {}", place + 1, bytes(want, have)?)))
        }
        (ExpectedOutcome::Reject(want), Outcome::Reject(have)) if *want == have.code => None,
        _ => Some(format!(
            "it is {}",
            match have {
                Outcome::Keep => "keep".into(),
                Outcome::Drop => "drop".into(),
                Outcome::Replace(bytes) => format!("replace, {}", shown(bytes)),
                Outcome::Split(parts) => format!("split into {}", parts.len()),
                Outcome::Reject(rejection) => format!("reject `{}`: {}", rejection.code, rejection.message),
            }
        )),
    }
}

fn receipt(want: &ExpectedReceipt, have: &Receipt) -> Option<String> {
    let (is, shown) = match have {
        Receipt::Ok => (ExpectedReceipt::Ok, "ok".to_owned()),
        Receipt::Retry(ms) => (ExpectedReceipt::RetryMs(*ms), format!("retry_ms: {ms}")),
        Receipt::Reject(rejection) => {
            (ExpectedReceipt::Reject(rejection.code.clone()), format!("reject `{}`: {}", rejection.code, rejection.message))
        }
    };
    (is != *want).then(|| format!("it is {shown}"))
}

fn response(want: &ExpectedResponse, have: &Received) -> Option<String> {
    let have = &have.response;
    if want.status != have.status {
        return Some(format!("expected the status {}, and it is {}: {}", want.status, have.status, shown(&have.body)));
    }
    headers(&want.headers, &have.headers)
        .or_else(|| Some(format!("the response's body: {}", bytes(want.body.as_ref()?, &have.body)?)))
}

/// The first header that is not there as it is expected.
pub(super) fn headers(want: &BTreeMap<String, String>, have: &[(String, String)]) -> Option<String> {
    want.iter().find_map(|(name, want)| {
        let found: Vec<&str> =
            have.iter().filter(|(known, _)| known.eq_ignore_ascii_case(name)).map(|(_, value)| &**value).collect();
        (!found.contains(&&**want)).then(|| format!("the header `{name}`: expected {want:?}, and it is {found:?}"))
    })
}

/// How bytes differ from what is expected of them; none where they fit.
pub(super) fn bytes(want: &Json, have: &[u8]) -> Option<String> {
    let wanted: Value = serde_json::from_str(want.text()).unwrap_or_default();
    if let Value::String(text) = &wanted
        && text.as_bytes() == have
    {
        return None;
    }
    match serde_json::from_slice::<Value>(have) {
        Ok(value) => differs(&wanted, &value, ""),
        Err(_) => Some(format!("expected {}, and it is {}", want.text(), shown(have))),
    }
}

fn differs(want: &Value, have: &Value, at: &str) -> Option<String> {
    let here = if at.is_empty() { String::new() } else { format!("`{}`: ", at.trim_start_matches('.')) };
    match (want, have) {
        (Value::Object(want), Value::Object(have)) => {
            want.iter().find_map(|(name, want)| differs(want, have.get(name).unwrap_or(&Value::Null), &format!("{at}.{name}")))
        }
        (Value::Array(want), Value::Array(have)) if want.len() == have.len() => {
            want.iter().zip(have).enumerate().find_map(|(place, (want, have))| differs(want, have, &format!("{at}[{place}]")))
        }
        (Value::Number(one), Value::Number(other)) if one.as_f64() == other.as_f64() => None,
        (want, have) if want == have => None,
        (want, have) => Some(format!("{here}expected {want}, and it is {}", shown(have.to_string().as_bytes()))),
    }
}

/// The beginning of something.
pub(super) fn shown(bytes: &[u8]) -> String {
    let text = String::from_utf8_lossy(bytes);
    let cut: String = text.chars().take(SHOWN_CHARS).collect();
    if cut.len() < text.len() { format!("{cut}…") } else { cut }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_expectation_names_what_matters() {
        let check = |want: &str, have: &str, difference: Option<&str>| {
            let want: Json = serde_json::from_str(want).expect("JSON");
            assert_eq!(bytes(&want, have.as_bytes()).as_deref(), difference);
        };
        check(r#"{"a":{"b":1}}"#, r#"{"a":{"b":1.0,"c":2},"d":3}"#, None);
        check(r#"{"a":null}"#, r#"{"b":1}"#, None);
        check(r#"{"a":null}"#, r#"{"a":1}"#, Some("`a`: expected null, and it is 1"));
        check("[1]", "[1,2]", Some("expected [1], and it is [1,2]"));
        check(r#"{"a":[{"b":1}]}"#, r#"{"a":[{"b":2}]}"#, Some("`a[0].b`: expected 1, and it is 2"));
        check(r#""plain""#, "plain", None);
        check(r#""plain""#, "other", Some(r#"expected "plain", and it is other"#));
        check(r#"{"a":1}"#, "no JSON", Some(r#"expected {"a":1}, and it is no JSON"#));
    }
}
