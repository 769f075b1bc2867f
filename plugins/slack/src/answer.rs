//! What Slack's answers mean.
//!
//! The Web API answers 200 with `"ok": false` and a word; an incoming webhook answers a status and the word as text. The words
//! are sorted by who can mend it: the token, time, or nobody but who wrote the message.

use serde::Deserialize;
use weft_plugin::{Failure, FailureKind, Rejection, http};

/// The longest word that is taken for a code.
const WORD_BYTES_MAX: usize = 64;

/// What became of a message.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Fate {
    /// It was posted.
    Posted,
    /// It will never be.
    Refused(Rejection),
    /// It, and all that comes after it, has to wait.
    Waits(Failure),
}

/// How Slack is talked to, and so how it answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Api {
    Web,
    IncomingWebhook,
}

/// An answer of the Web API.
#[derive(Deserialize)]
struct Said {
    ok: bool,
    #[serde(default)]
    error: Option<String>,
    /// Of `missing_scope`.
    #[serde(default)]
    needed: Option<String>,
}

/// Reads what `http` gave.
pub(crate) fn fate(answer: Result<http::Response, Failure>, api: Api) -> Fate {
    let answer = match answer {
        Ok(answer) => answer,
        Err(failure) if failure.kind == FailureKind::Rejected => {
            return Fate::Refused(Rejection::new("answer_too_large", failure.message));
        }
        Err(failure) => return Fate::Waits(failure),
    };
    let status = answer.status;
    let waits =
        |kind: FailureKind, message: String| Fate::Waits(Failure { kind, message, retry_after_ms: answer.retry_after_ms() });
    match status {
        429 => return waits(FailureKind::RateLimited, "slack asks for patience".into()),
        408 | 500.. => return waits(FailureKind::Unavailable, format!("slack answers {status}")),
        _ => {}
    }
    let (word, more) = match api {
        Api::IncomingWebhook if (200..300).contains(&status) => return Fate::Posted,
        Api::IncomingWebhook => (String::from_utf8_lossy(&answer.body).trim().to_owned(), None),
        Api::Web => match serde_json::from_slice::<Said>(&answer.body) {
            Ok(Said { ok: true, .. }) => return Fate::Posted,
            Ok(said) => (said.error.unwrap_or_default(), said.needed),
            // A proxy's page, or not Slack at all: a wrong address is no record's fault.
            Err(_) => {
                let message = format!(
                    "the answer is {status} and none of slack's: the connection's base_url should be https://slack.com/api/"
                );
                return waits(FailureKind::Unavailable, message);
            }
        },
    };
    let more = more.map(|scope| format!(", which needs the scope {scope}")).unwrap_or_default();
    match meaning(&word) {
        Meaning::Token => waits(FailureKind::Credentials, format!("slack does not let us in: {word}{more}")),
        Meaning::Patience => waits(FailureKind::RateLimited, format!("slack asks for patience: {word}")),
        Meaning::Trouble => waits(FailureKind::Unavailable, format!("slack is in trouble: {word}")),
        Meaning::Message if is_code(&word) => Fate::Refused(Rejection::new(&*word, format!("slack refuses the message: {word}"))),
        Meaning::Message if matches!(status, 401 | 403) => {
            waits(FailureKind::Credentials, format!("slack does not let us in: the answer is {status}"))
        }
        Meaning::Message => Fate::Refused(Rejection::new("refused", format!("slack refuses the message with {status}"))),
    }
}

/// Who can mend it.
enum Meaning {
    Token,
    Patience,
    Trouble,
    Message,
}

fn meaning(word: &str) -> Meaning {
    match word {
        "invalid_auth" | "not_authed" | "account_inactive" | "token_revoked" | "token_expired" | "missing_scope" | "no_permission"
        | "not_allowed_token_type" | "org_login_required" | "two_factor_setup_required" | "access_denied" | "accesslimited"
        | "ekm_access_denied" | "enterprise_is_restricted" | "team_access_not_granted"
        // Of incoming webhooks: the address is the token.
        | "invalid_token" | "no_service" | "no_service_id" | "no_active_hooks" | "no_team" | "team_disabled" => Meaning::Token,
        "ratelimited" | "rate_limited" | "message_limit_exceeded" => Meaning::Patience,
        "internal_error" | "fatal_error" | "service_unavailable" | "request_timeout" | "team_added_to_org" | "rollup_error" => {
            Meaning::Trouble
        }
        _ => Meaning::Message,
    }
}

/// Whether a word of Slack's can stand as a code of ours.
fn is_code(word: &str) -> bool {
    (1..=WORD_BYTES_MAX).contains(&word.len())
        && word.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_')
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(api: Api, status: u16, body: &str) -> Fate {
        let headers = vec![("retry-after".to_owned(), "30".to_owned())];
        fate(Ok(http::Response { status, headers, body: body.into() }), api)
    }

    #[track_caller]
    fn check_waits(fate: Fate, kind: FailureKind, words: &str) {
        let Fate::Waits(failure) = fate else { panic!("{fate:?}") };
        assert_eq!((failure.kind, failure.retry_after_ms), (kind, Some(30_000)));
        assert!(failure.message.contains(words), "{}", failure.message);
    }

    #[track_caller]
    fn check_refused(fate: Fate, code: &str) {
        let Fate::Refused(rejection) = fate else { panic!("{fate:?}") };
        assert_eq!(rejection.code, code);
    }

    #[test]
    fn the_web_api_says_it_in_the_body() {
        let not_ok = |word: &str| of(Api::Web, 200, &format!(r#"{{"ok":false,"error":"{word}"}}"#));
        assert_eq!(of(Api::Web, 200, r#"{"ok":true,"ts":"1"}"#), Fate::Posted);
        check_waits(of(Api::Web, 429, "ratelimited"), FailureKind::RateLimited, "patience");
        check_waits(not_ok("ratelimited"), FailureKind::RateLimited, "ratelimited");
        check_waits(not_ok("invalid_auth"), FailureKind::Credentials, "invalid_auth");
        check_waits(not_ok("internal_error"), FailureKind::Unavailable, "internal_error");
        check_waits(of(Api::Web, 503, "<html>"), FailureKind::Unavailable, "503");
        check_waits(of(Api::Web, 404, "<html>"), FailureKind::Unavailable, "base_url");
        let scope = r#"{"ok":false,"error":"missing_scope","needed":"chat:write"}"#;
        check_waits(of(Api::Web, 200, scope), FailureKind::Credentials, "chat:write");
        for word in ["channel_not_found", "not_in_channel", "is_archived", "msg_too_long", "invalid_blocks", "a_new_one"] {
            check_refused(not_ok(word), word);
        }
        check_refused(not_ok("Strange Words"), "refused");
        check_refused(of(Api::Web, 200, r#"{"ok":false}"#), "refused");
    }

    #[test]
    fn an_incoming_webhook_says_it_by_a_status() {
        let of = |status: u16, body: &str| of(Api::IncomingWebhook, status, body);
        assert_eq!(of(200, "ok"), Fate::Posted);
        check_waits(of(403, "invalid_token"), FailureKind::Credentials, "invalid_token");
        check_waits(of(404, "no_service"), FailureKind::Credentials, "no_service");
        check_waits(of(403, "<html>"), FailureKind::Credentials, "403");
        check_waits(of(429, ""), FailureKind::RateLimited, "patience");
        check_refused(of(400, "invalid_payload"), "invalid_payload");
        check_refused(of(404, "channel_not_found"), "channel_not_found");
        check_refused(of(410, "channel_is_archived\n"), "channel_is_archived");
        check_refused(of(404, "<html>"), "refused");
    }

    #[test]
    fn no_answer_waits() {
        let gone = Failure::unavailable("gone");
        assert_eq!(fate(Err(gone.clone()), Api::Web), Fate::Waits(gone));
        assert_eq!(fate(Err(Failure::rejected("5 MiB")), Api::Web), Fate::Refused(Rejection::new("answer_too_large", "5 MiB")));
    }
}
