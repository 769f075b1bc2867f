//! Bearer tokens that are had from a token endpoint (RFC 6749, RFC 7523): when one is needed, by one request at a time, and kept until
//! shortly before they end.
//!
//! The endpoint may be at another host than the connection's `base_url`. Nothing but tokens is asked for there, through the same
//! checks of addresses, and redirects are not followed. A refresh token that comes with a token takes the old one's place while the
//! process lives. It is stored nowhere: a server that makes each refresh token good for one use needs a new one after a restart.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::SystemTime;

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use http_body_util::Full;
use hyper::body::Bytes;
use hyper::header::{self, HeaderValue};
use hyper::{Method, Request, StatusCode, Uri};
use serde::Deserialize;
use tokio::time::{Duration, Instant, timeout};
use url::form_urlencoded;
use weft_host::{Failure, FailureKind};

use super::assertion::Claims;
use super::{assertion, basic, bearer};
use crate::clock::Clock;
use crate::config::Secret;
use crate::config::connection::{ClientAuth, Grant, OAuth2};
use crate::egress::way::Way;
use crate::egress::{EgressError, USER_AGENT, answer, limits};

/// The tokens of one connection.
pub(in super::super) struct Tokens {
    /// The connection's name, for messages.
    name: String,
    /// The host that requests go to.
    base_host: String,
    oauth2: OAuth2,
    uri: Uri,
    way: Way,
    clock: Clock,
    current: Mutex<Option<Arc<Token>>>,
    /// Requests to the endpoint that came to an end.
    asked: AtomicU64,
    asking: tokio::sync::Mutex<Asking>,
    told_of_instance: AtomicBool,
}

/// What whoever asks the endpoint knows of those who asked before.
#[derive(Default)]
struct Asking {
    /// How the last request failed.
    failed: Option<Failure>,
    /// The endpoint asked for patience until then.
    paused: Option<Instant>,
    /// The refresh token that took the place of the configured one.
    rotated: Option<Rotated>,
}

struct Rotated {
    /// The one in the configuration at that time: once it is another, that one counts again.
    configured: String,
    now: Secret,
}

/// A bearer token.
pub(in super::super) struct Token {
    value: HeaderValue,
    /// When it is no longer used; as long as it works where that was not said.
    until: Option<Instant>,
    had: Instant,
    /// It was had because another was refused.
    after_refusal: bool,
}

impl Token {
    pub(in super::super) fn header(&self) -> HeaderValue {
        self.value.clone()
    }

    /// Whether another token may fare better where this one is refused. One that was had for this very reason, and is refused
    /// as well, shows that tokens are not the trouble.
    pub(in super::super) fn is_worth_renewing(&self) -> bool {
        !self.after_refusal || self.had.elapsed() > limits::TOKEN_REFUSED_PAUSE
    }
}

/// What an endpoint answers, either way (RFC 6749, sections 5.1 and 5.2).
#[derive(Deserialize)]
struct Answer {
    access_token: Option<String>,
    token_type: Option<String>,
    expires_in: Option<serde_json::Value>,
    refresh_token: Option<String>,
    instance_url: Option<String>,
    error: Option<String>,
    error_description: Option<String>,
}

impl Tokens {
    pub(in super::super) fn new(
        name: &str,
        base_host: &str,
        oauth2: OAuth2,
        way: Way,
        clock: Clock,
    ) -> Result<Arc<Tokens>, EgressError> {
        if let Grant::JwtBearer { private_key, .. } = &oauth2.grant {
            crate::config::connection::rsa_key(private_key).map_err(EgressError::Auth)?;
        }
        let uri = Uri::try_from(oauth2.token_url.as_str()).map_err(|_| EgressError::Auth("the token endpoint is no address"))?;
        Ok(Arc::new(Tokens {
            name: name.to_owned(),
            base_host: base_host.to_owned(),
            oauth2,
            uri,
            way,
            clock,
            current: Mutex::default(),
            asked: AtomicU64::new(0),
            asking: tokio::sync::Mutex::default(),
            told_of_instance: AtomicBool::new(false),
        }))
    }

    /// A token that is good; another one than `refused`.
    pub(in super::super) async fn get(self: &Arc<Self>, refused: Option<&Arc<Token>>) -> Result<Arc<Token>, Failure> {
        if let Some(token) = self.good(refused) {
            return Ok(token);
        }
        let (tokens, seen, refused) = (self.clone(), self.asked.load(Ordering::Acquire), refused.cloned());
        // In a task of its own: a caller who gives up must not take an answer along that has a new refresh token in it.
        let asking = tokio::spawn(async move { tokens.renew(seen, refused.as_ref()).await });
        asking.await.unwrap_or_else(|error| Err(Failure::new(FailureKind::Internal, error.to_string())))
    }

    fn good(&self, refused: Option<&Arc<Token>>) -> Option<Arc<Token>> {
        let current = self.current.lock().unwrap_or_else(PoisonError::into_inner);
        let token = current.as_ref()?;
        let is_over = token.until.is_some_and(|until| Instant::now() >= until);
        let is_refused = refused.is_some_and(|refused| Arc::ptr_eq(refused, token));
        (!is_over && !is_refused).then(|| token.clone())
    }

    /// One at a time: who waited behind another takes what that one got, also its failure.
    async fn renew(&self, seen: u64, refused: Option<&Arc<Token>>) -> Result<Arc<Token>, Failure> {
        let mut asking = self.asking.lock().await;
        if let Some(token) = self.good(refused) {
            return Ok(token);
        }
        if let Some(failure) = &asking.failed
            && self.asked.load(Ordering::Acquire) > seen
        {
            return Err(failure.clone());
        }
        if let Some(wait) =
            asking.paused.and_then(|until| until.checked_duration_since(Instant::now())).filter(|wait| !wait.is_zero())
        {
            return Err(self.patience(wait));
        }
        let answered = match timeout(limits::TOKEN_TIME_MAX, self.ask(&mut asking)).await {
            Ok(answered) => answered,
            Err(_) => Err(self.failure(FailureKind::Unavailable, "does not answer in time")),
        };
        self.asked.fetch_add(1, Ordering::AcqRel);
        match answered {
            Ok((value, life)) => {
                asking.failed = None;
                let had = Instant::now();
                let token = Arc::new(Token { value, until: life.map(|life| had + life), had, after_refusal: refused.is_some() });
                *self.current.lock().unwrap_or_else(PoisonError::into_inner) = Some(token.clone());
                Ok(token)
            }
            Err(failure) => {
                asking.failed = Some(failure.clone());
                Err(failure)
            }
        }
    }

    /// Asks the endpoint. The token as a header, and how long it is used.
    async fn ask(&self, asking: &mut Asking) -> Result<(HeaderValue, Option<Duration>), Failure> {
        let asked = self.request(asking.rotated.as_ref())?;
        let response = self.way.request(asked.request).await.map_err(|error| self.way.unanswered(&error, self.host()))?;
        let status = response.status();
        let wait = answer::patience(status, response.headers(), SystemTime::now());
        let read = answer::read(response, limits::TOKEN_ANSWER_BYTES_MAX).await;
        let read = read.map_err(|broken| self.failure(FailureKind::Unavailable, &broken.to_string()))?;
        let told: Option<Answer> = serde_json::from_slice(&read.body).ok();
        if let Some(wait) = wait {
            let wait = wait.min(limits::PAUSE_MAX);
            asking.paused = Some(Instant::now() + wait);
            return Err(self.patience(wait));
        }
        let token = told.as_ref().filter(|_| status.is_success()).and_then(|told| told.access_token.as_deref());
        let (Some(token), Some(told)) = (token.filter(|token| !token.is_empty()), &told) else {
            return Err(self.refusal(status, told.as_ref(), &asked.secrets));
        };
        if told.token_type.as_ref().is_some_and(|kind| !kind.eq_ignore_ascii_case("bearer")) {
            return Err(self.failure(FailureKind::Config, "gives tokens that are no bearer tokens"));
        }
        let value = bearer(token.as_bytes())
            .map_err(|_| self.failure(FailureKind::Unavailable, "gives a token that no header can carry"))?;
        if let (Grant::RefreshToken { refresh_token, .. }, Some(new)) = (&self.oauth2.grant, &told.refresh_token)
            && !new.is_empty()
        {
            asking.rotated = Some(Rotated { configured: refresh_token.expose_text(), now: Secret::new(new) });
        }
        if let Some(instance) = told.instance_url.as_deref() {
            self.tell_of_instance(instance);
        }
        Ok((value, told.expires_in.as_ref().and_then(life)))
    }

    fn request(&self, rotated: Option<&Rotated>) -> Result<Asked, Failure> {
        let unfit = |reason: &str| self.failure(FailureKind::Credentials, &format!("is not asked: {reason}"));
        let mut form = form_urlencoded::Serializer::new(String::new());
        let mut secrets = Vec::new();
        let mut client: Option<(String, Option<String>)> = None;
        match &self.oauth2.grant {
            Grant::ClientCredentials { client_id, client_secret, audience } => {
                form.append_pair("grant_type", "client_credentials");
                if let Some(audience) = audience {
                    form.append_pair("audience", audience);
                }
                client = Some((client_id.expose_text(), Some(client_secret.expose_text())));
            }
            Grant::RefreshToken { client_id, client_secret, refresh_token } => {
                let configured = refresh_token.expose_text();
                let rotated = rotated.filter(|rotated| rotated.configured == configured).map(|rotated| rotated.now.expose_text());
                let token = rotated.unwrap_or(configured);
                form.append_pair("grant_type", "refresh_token").append_pair("refresh_token", &token);
                secrets.push(token);
                client = Some((client_id.expose_text(), client_secret.as_ref().map(Secret::expose_text)));
            }
            Grant::JwtBearer { issuer, subject, audience, private_key, key_id } => {
                let (issuer, subject) = (issuer.expose_text(), subject.as_ref().map(Secret::expose_text));
                let claims = Claims {
                    issuer: &issuer,
                    subject: subject.as_deref(),
                    audience: audience.as_deref().unwrap_or(self.oauth2.token_url.as_str()),
                    scopes: &self.oauth2.scopes,
                    key_id: key_id.as_deref(),
                };
                let assertion = assertion(&claims, private_key, self.clock.now()).map_err(unfit)?;
                form.append_pair("grant_type", "urn:ietf:params:oauth:grant-type:jwt-bearer")
                    .append_pair("assertion", &assertion);
                secrets.push(assertion);
            }
        }
        if !self.oauth2.scopes.is_empty() {
            form.append_pair("scope", &self.oauth2.scopes.join(" "));
        }
        form.extend_pairs(&self.oauth2.params);
        let mut request = Request::new(Full::default());
        match client {
            Some((id, Some(secret))) if self.oauth2.client_auth == ClientAuth::Basic => {
                // RFC 6749, section 2.3.1: each is form-encoded before both become one text.
                let encoded = |text: &str| form_urlencoded::byte_serialize(text.as_bytes()).collect::<String>();
                let value = basic(encoded(&id).as_bytes(), encoded(&secret).as_bytes()).map_err(unfit)?;
                request.headers_mut().insert(header::AUTHORIZATION, value);
                secrets.push(secret);
            }
            Some((id, secret)) => {
                form.append_pair("client_id", &id);
                if let Some(secret) = secret {
                    form.append_pair("client_secret", &secret);
                    secrets.push(secret);
                }
            }
            None => (),
        }
        *request.method_mut() = Method::POST;
        *request.uri_mut() = self.uri.clone();
        let constant = [
            (header::CONTENT_TYPE, "application/x-www-form-urlencoded"),
            (header::ACCEPT, "application/json"),
            (header::USER_AGENT, USER_AGENT),
        ];
        for (name, value) in constant {
            request.headers_mut().insert(name, HeaderValue::from_static(value));
        }
        *request.body_mut() = Full::from(form.finish());
        Ok(Asked { request, secrets })
    }

    /// Why there is no token, and who can mend it.
    fn refusal(&self, status: StatusCode, told: Option<&Answer>, secrets: &[String]) -> Failure {
        let error = told.and_then(|told| told.error.as_deref()).filter(|error| is_code(error));
        let kind = match error {
            Some("invalid_client" | "invalid_grant" | "unauthorized_client" | "access_denied") => FailureKind::Credentials,
            Some("temporarily_unavailable" | "server_error") => FailureKind::Unavailable,
            _ if status == StatusCode::TOO_MANY_REQUESTS => FailureKind::RateLimited,
            _ if status.is_server_error() || status == StatusCode::REQUEST_TIMEOUT => FailureKind::Unavailable,
            _ if matches!(status, StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN) => FailureKind::Credentials,
            _ => FailureKind::Config,
        };
        let description = told.and_then(|told| shown(told.error_description.as_deref()?, secrets));
        let mut message = match (error, status) {
            (Some(error), _) => format!("gives no token: {error}"),
            (None, status) if status.is_success() => "answers without an `access_token`".to_owned(),
            (None, status) if status.is_redirection() => "redirects, which is not followed: is its address right?".to_owned(),
            (None, status) => format!("gives no token: it answers {}", status.as_u16()),
        };
        if let Some(description) = description {
            message = format!("{message} ({description})");
        }
        self.failure(kind, &message)
    }

    fn patience(&self, wait: Duration) -> Failure {
        let failure = self.failure(FailureKind::RateLimited, "asks for patience");
        Failure { retry_after_ms: Some(u64::try_from(wait.as_millis()).unwrap_or(u64::MAX)), ..failure }
    }

    fn failure(&self, kind: FailureKind, what: &str) -> Failure {
        Failure::new(kind, format!("the token endpoint of `{}`, {}, {what}", self.name, self.host()))
    }

    fn host(&self) -> &str {
        self.oauth2.token_url.authority()
    }

    /// Salesforce names the host that requests of this token are for. The configuration alone says where requests go; but whoever
    /// wrote another host there wants to know.
    fn tell_of_instance(&self, instance: &str) {
        let Some(host) = url::Url::parse(instance).ok().and_then(|url| url.host_str().map(str::to_owned)) else { return };
        if host != self.base_host && !self.told_of_instance.swap(true, Ordering::Relaxed) {
            let (connection, base_host) = (&self.name, &self.base_host);
            tracing::warn!(connection, base_host, instance = host, "the token is for another host than the one of base_url");
        }
    }
}

/// A request, and what of it must not come back in a message.
struct Asked {
    request: Request<Full<Bytes>>,
    secrets: Vec<String>,
}

/// How long a token is used that is good for `expires_in` seconds, which some write as a text: not to its very end.
fn life(expires_in: &serde_json::Value) -> Option<Duration> {
    let seconds = match expires_in {
        serde_json::Value::Number(number) => number.as_f64()?,
        serde_json::Value::String(text) => text.trim().parse().ok()?,
        _ => return None,
    };
    let life = Duration::try_from_secs_f64(seconds.max(0.0)).ok()?.min(limits::TOKEN_LIFE_MAX);
    Some(life - limits::TOKEN_MARGIN.min(life / 5))
}

/// Whether a text is a code of RFC 6749, and not a sentence.
fn is_code(error: &str) -> bool {
    !error.is_empty() && error.len() <= 64 && error.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"_-.".contains(&byte))
}

/// The other side's words, where they are short and repeat nothing secret.
fn shown(description: &str, secrets: &[String]) -> Option<String> {
    let repeats = |secret: &String| {
        let encoded: String = form_urlencoded::byte_serialize(secret.as_bytes()).collect();
        let hidden = [secret.clone(), encoded, BASE64_STANDARD.encode(secret)];
        hidden.iter().any(|hidden| !hidden.is_empty() && description.contains(&**hidden))
    };
    if secrets.iter().any(repeats) {
        return None;
    }
    let line: String = description.chars().map(|char| if char.is_control() { ' ' } else { char }).take(200).collect();
    Some(line.trim().to_owned()).filter(|line| !line.is_empty())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_token_is_not_used_to_its_very_end() {
        let check = |expires_in: serde_json::Value, want: Option<u64>| {
            assert_eq!(life(&expires_in).map(|life| life.as_secs()), want, "{expires_in}");
        };
        check(json!(3600), Some(3540));
        check(json!("3600"), Some(3540));
        check(json!(10), Some(8));
        check(json!(0), Some(0));
        check(json!(-5), Some(0));
        check(json!(1e300), None);
        check(json!(null), None);
        check(json!("soon"), None);
    }

    #[test]
    fn words_of_the_other_side_are_shown_unless_they_repeat_a_secret() {
        let check = |description: &str, want: Option<&str>| {
            assert_eq!(shown(description, &["s3cret/=".into()]).as_deref(), want, "{description}");
        };
        check("audience is invalid\r\n", Some("audience is invalid"));
        check("client s3cret/= is unknown", None);
        check("client s3cret%2F%3D is unknown", None);
        check("client czNjcmV0Lz0= is unknown", None);
        check("", None);
    }
}
