//! The way out: what a plugin's `http` goes through, one [`Connection`] for each that the configuration names.
//!
//! A connection belongs to one `base_url`. It puts a plugin's target behind that and nowhere else, adds the credentials, which the
//! plugin never sees (invariant 7), keeps to the rate, bounds every time and size (invariant 9), and reaches no address that is not public
//! unless the configuration grants it. It never asks a proxy, keeps no cookies, and puts no secret, path or query into an
//! error.
//!
//! What is granted beside public addresses: those in [`ConnectionOptions::allow_private`], and loopback where the `base_url` itself names
//! `localhost` or a loopback address; both only at the port of the `base_url`. Any other private address written there is no
//! grant. A cloud's metadata address is granted only by itself, never by a network around it; YAML's `allow_private: true` grants
//! [`Network::all`].
//!
//! Redirects are followed within the host, not from https to http. The body, the credentials and the plugin's headers go along only to
//! where the plugin could have sent them itself: the same origin, under the base path. Beyond that, only a bare `GET` or `HEAD` goes on.
//!
//! Addresses are in `egress/address.rs`, sockets in `egress/dial.rs`, targets and redirects in `egress/target.rs`, headers and credentials
//! in `egress/head.rs`, answers in `egress/answer.rs`, the rate in `egress/pace.rs`, bounds in `egress/limits.rs`.

mod address;
mod answer;
mod dial;
mod head;
pub mod limits;
mod pace;
mod target;

use std::error::Error;
use std::fmt;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use http_body_util::Full;
use hyper::body::{Bytes, Incoming};
use hyper::header::{self, HeaderMap, HeaderName, HeaderValue};
use hyper::{Method, Request, Response, StatusCode, Uri};
use hyper_util::client::legacy::{Client, Error as ClientError};
use hyper_util::rt::{TokioExecutor, TokioTimer};
use tokio::time::{Instant, sleep, timeout_at};
use url::Url;
use weft_host::{Failure, FailureKind, HttpRequest, HttpResponse};

pub use address::{Class, Network};
pub use dial::{Resolve, Resolving, System};
pub use head::{Auth, Secret};
pub use pace::RateLimit;

use address::Guard;
use answer::BrokenAnswer;
use dial::{Connector, DialError};
use head::Credentials;
use pace::{NoTurn, Pace};
use target::Base;

/// What a connection is told by the configuration.
#[derive(Clone, Debug)]
pub struct ConnectionOptions {
    /// Its name in the configuration, for messages.
    pub name: String,
    /// Where it goes: `http` or `https`, a host, perhaps a port and a path; no credentials, query or fragment.
    pub base_url: Url,
    /// Who it is there.
    pub auth: Auth,
    /// How often it may ask; as often as it likes where there is none.
    pub rate_limit: Option<RateLimit>,
    /// The most that a request may take, waiting for its turn, redirects and retries included; a plugin may ask for less.
    pub timeout: Duration,
    /// Bytes of an answer's body, as it arrives and inflated.
    pub answer_bytes_max: usize,
    /// Addresses that may be reached although they are not public.
    pub allow_private: Vec<Network>,
}

impl ConnectionOptions {
    /// Without credentials, rate or grants, and with the default bounds of [`limits`].
    #[must_use]
    pub fn new(name: impl Into<String>, base_url: Url) -> Self {
        ConnectionOptions {
            name: name.into(),
            base_url,
            auth: Auth::None,
            rate_limit: None,
            timeout: limits::TIMEOUT,
            answer_bytes_max: limits::ANSWER_BYTES_MAX,
            allow_private: Vec::new(),
        }
    }
}

/// Why a connection cannot be made of its options.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum EgressError {
    /// The base URL does not say where to go, or says more.
    #[error("the base url cannot be used: {0}")]
    BaseUrl(&'static str),
    /// The credentials cannot be put into a header.
    #[error("the credentials cannot be sent: {0}")]
    Auth(&'static str),
    /// A text is no network.
    #[error("`{text}` is no network such as `10.0.0.0/8`: {reason}")]
    Network {
        /// The text, or its beginning.
        text: String,
        /// What is wrong with it.
        reason: &'static str,
    },
    /// The rate's time is nothing, or more than 31 days.
    #[error("the rate limit's time is nothing or more than 31 days")]
    RateLimit,
    /// The time-out is nothing, or more than ten minutes.
    #[error("the timeout is nothing or more than {} s", limits::TIMEOUT_MAX.as_secs())]
    Timeout,
}

/// One way out, with its pool of sockets. Shared by the stages that name it, so that they share its rate.
pub struct Connection {
    name: String,
    base: Base,
    credentials: Option<Credentials>,
    pace: Pace,
    timeout: Duration,
    answer_bytes_max: usize,
    client: Client<Connector, Full<Bytes>>,
}

impl fmt::Debug for Connection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Connection")
            .field("name", &self.name)
            .field("base_url", &self.base.url().as_str())
            .finish_non_exhaustive()
    }
}

impl Connection {
    /// A connection that resolves names as the system does. Opens nothing yet.
    ///
    /// # Errors
    /// [`EgressError`], where the options do not hold together.
    pub fn new(options: ConnectionOptions) -> Result<Connection, EgressError> {
        Connection::with_resolver(options, Arc::new(System))
    }

    /// A connection that resolves names with this resolver. What it answers is checked like any other's answer.
    ///
    /// # Errors
    /// [`EgressError`], where the options do not hold together.
    pub fn with_resolver(options: ConnectionOptions, resolver: Arc<dyn Resolve>) -> Result<Connection, EgressError> {
        if options.rate_limit.is_some_and(|limit| limit.per.is_zero() || limit.per > limits::RATE_PER_MAX) {
            return Err(EgressError::RateLimit);
        }
        if options.timeout.is_zero() || options.timeout > limits::TIMEOUT_MAX {
            return Err(EgressError::Timeout);
        }
        let base = Base::new(options.base_url)?;
        let guard = Guard::new(base.url(), options.allow_private);
        let client = Client::builder(TokioExecutor::new())
            .timer(TokioTimer::new())
            .pool_timer(TokioTimer::new())
            .pool_idle_timeout(limits::IDLE_TIME_MAX)
            .pool_max_idle_per_host(limits::IDLE_MAX)
            .http1_max_buf_size(limits::ANSWER_HEAD_BYTES_MAX)
            // A kept socket may be closed by the other side just when it is taken from the pool. What was certainly not sent, a `POST`
            // too, goes out on a fresh one.
            .retry_canceled_requests(true)
            .build(Connector::new(base.url().scheme(), resolver, guard));
        Ok(Connection {
            name: options.name,
            credentials: options.auth.credentials()?,
            pace: Pace::new(options.rate_limit),
            timeout: options.timeout,
            answer_bytes_max: options.answer_bytes_max,
            base,
            client,
        })
    }

    /// Sends a request and waits for the whole answer. An answer of any status is `Ok`; one of 429 or 503 with a `Retry-After` also
    /// stills the connection for that long.
    ///
    /// # Errors
    /// There was no answer. `Config`: the request is not one that this connection sends, or leads to an address that it may not reach, or for
    /// good to another host. `RateLimited`: its turn does not come in time. `Rejected`: the answer is too large. `Unavailable`: all else.
    pub async fn send(&self, request: HttpRequest) -> Result<HttpResponse, Failure> {
        let timeout = request.timeout_ms.map_or(self.timeout, |ms| self.timeout.min(Duration::from_millis(ms.into())));
        let deadline = Instant::now() + timeout;
        let hop = self.first_hop(request)?;
        match timeout_at(deadline, self.follow(hop, deadline)).await {
            Ok(answer) => answer,
            Err(_) => {
                Err(unavailable(format!("{} gives no whole answer within {} ms", self.base.authority(), timeout.as_millis())))
            }
        }
    }

    fn first_hop(&self, request: HttpRequest) -> Result<Hop, Failure> {
        let method = match Method::from_bytes(request.method.as_bytes()) {
            Ok(method) if method != Method::CONNECT && method != Method::TRACE => method,
            _ => return Err(unsendable("the method is not one that can be sent")),
        };
        let url = self.base.resolve(&request.target).map_err(unsendable)?;
        let mut headers = head::checked(&request.headers, self.credentials.as_ref()).map_err(unsendable)?;
        headers.entry(header::USER_AGENT).or_insert(HeaderValue::from_static(USER_AGENT));
        Hop::new(method, url, headers, request.body.into(), Reach::Own).map_err(unsendable)
    }

    /// Asks until there is an answer that leads nowhere else.
    async fn follow(&self, mut hop: Hop, deadline: Instant) -> Result<HttpResponse, Failure> {
        for _ in 0..=limits::REDIRECTS_MAX {
            let response = self.ask(&hop, deadline).await?;
            match hop.after(&response, &self.base) {
                Ok(None) => return answer::read(response, self.answer_bytes_max).await.map_err(|broken| self.broken(&broken)),
                Ok(Some(next)) => hop = next,
                Err(reason) => {
                    let message = format!("{} redirects {reason}", self.base.authority());
                    let is_for_good = matches!(response.status(), StatusCode::MOVED_PERMANENTLY | StatusCode::PERMANENT_REDIRECT);
                    // What has moved for good needs another base url; what has not may come back.
                    return Err(if is_for_good { refused(message) } else { unavailable(message) });
                }
            }
        }
        Err(unavailable(format!("{} redirects more than {} times", self.base.authority(), limits::REDIRECTS_MAX)))
    }

    /// Asks once, or again where the first time certainly changes nothing (RFC 9110, section 9.2.2).
    async fn ask(&self, hop: &Hop, deadline: Instant) -> Result<Response<Incoming>, Failure> {
        let mut retries = 0;
        loop {
            self.pace.turn(deadline).await.map_err(|no_turn| self.rate_limited(&no_turn))?;
            let error = match self.client.request(hop.request(self.credentials.as_ref())).await {
                Ok(response) => {
                    if let Some(wait) = answer::patience(response.status(), response.headers(), SystemTime::now()) {
                        self.pace.pause(wait);
                    }
                    return Ok(response);
                }
                Err(error) => error,
            };
            if !is_passing(&error) || !hop.is_idempotent() || retries == limits::RETRIES_MAX {
                return Err(self.unanswered(&error));
            }
            retries += 1;
            sleep(limits::RETRY_WAIT * retries).await;
        }
    }

    fn rate_limited(&self, NoTurn(wait): &NoTurn) -> Failure {
        let message = format!("the connection `{}` has no turn within the request's time", self.name);
        // Rounded up: a millisecond too early would find no turn again.
        let wait_ms = u64::try_from(wait.as_nanos().div_ceil(1_000_000)).unwrap_or(u64::MAX);
        Failure { retry_after_ms: Some(wait_ms), ..Failure::new(FailureKind::RateLimited, message) }
    }

    fn broken(&self, broken: &BrokenAnswer) -> Failure {
        let kind = if matches!(broken, BrokenAnswer::TooLarge(_)) { FailureKind::Rejected } else { FailureKind::Unavailable };
        Failure::new(kind, format!("{}: {broken}", self.base.authority()))
    }

    fn unanswered(&self, error: &ClientError) -> Failure {
        match cause(error) {
            Some(forbidden @ DialError::Forbidden { .. }) => refused(forbidden.to_string()),
            Some(error) => unavailable(error.to_string()),
            None => {
                let doing = if error.is_connect() { "cannot be connected to" } else { "does not answer" };
                unavailable(format!("{} {doing}: {}", self.base.authority(), innermost(error)))
            }
        }
    }
}

const USER_AGENT: &str = concat!("weft/", env!("CARGO_PKG_VERSION"));

const IDEMPOTENCY_KEY: HeaderName = HeaderName::from_static("idempotency-key");

/// One request on its way: the plugin's own, or where a redirect leads it.
struct Hop {
    method: Method,
    url: Url,
    uri: Uri,
    headers: HeaderMap,
    body: Bytes,
    reach: Reach,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Reach {
    /// Where the plugin may send requests, with credentials.
    Own,
    /// Elsewhere at the host, and wherever that leads: without anything that is ours.
    Foreign,
}

impl Hop {
    fn new(method: Method, url: Url, headers: HeaderMap, body: Bytes, reach: Reach) -> Result<Hop, &'static str> {
        let uri = Uri::try_from(url.as_str()).map_err(|_| "the target is no valid path and query")?;
        Ok(Hop { method, url, uri, headers, body, reach })
    }

    fn request(&self, credentials: Option<&Credentials>) -> Request<Full<Bytes>> {
        let mut request = Request::new(Full::new(self.body.clone()));
        *request.method_mut() = self.method.clone();
        *request.uri_mut() = self.uri.clone();
        *request.headers_mut() = self.headers.clone();
        request.headers_mut().insert(header::ACCEPT_ENCODING, HeaderValue::from_static("gzip"));
        if let (Reach::Own, Some(Credentials { name, value })) = (self.reach, credentials) {
            request.headers_mut().insert(name.clone(), value.clone());
        }
        request
    }

    fn is_idempotent(&self) -> bool {
        matches!(self.method, Method::GET | Method::HEAD | Method::PUT | Method::DELETE)
            || self.headers.contains_key(IDEMPOTENCY_KEY)
    }

    /// The request that an answer asks for; none where the answer is the end, `Err` where it leads to what is not followed.
    fn after<B>(&self, response: &Response<B>, base: &Base) -> Result<Option<Hop>, &'static str> {
        let status = response.status();
        let Some(location) =
            response.headers().get(header::LOCATION).filter(|_| matches!(status.as_u16(), 301..=303 | 307 | 308))
        else {
            return Ok(None);
        };
        let location = std::str::from_utf8(location.as_bytes()).map_err(|_| "to something that is no url")?;
        let url = base.redirect(&self.url, location)?;
        let reach = if self.reach == Reach::Own && base.owns(&url) { Reach::Own } else { Reach::Foreign };
        let (mut method, mut headers, mut body) = (self.method.clone(), self.headers.clone(), self.body.clone());
        // RFC 9110, section 15.4: 303 asks for a look elsewhere, and everybody reads 301 and 302 after a `POST` in this way.
        let becomes_get = match status.as_u16() {
            303 => method != Method::HEAD,
            301 | 302 => method == Method::POST,
            _ => false,
        };
        if becomes_get {
            (method, body) = (Method::GET, Bytes::new());
            for name in [
                header::CONTENT_TYPE,
                header::CONTENT_ENCODING,
                header::CONTENT_LANGUAGE,
                header::CONTENT_LOCATION,
                IDEMPOTENCY_KEY,
            ] {
                headers.remove(name);
            }
        }
        if reach == Reach::Foreign {
            if !matches!(method, Method::GET | Method::HEAD) || !body.is_empty() {
                return Err("out of the connection's base url, where a body and credentials do not follow");
            }
            // Any other header may be a key.
            let mut harmless = HeaderMap::new();
            for name in [header::ACCEPT, header::USER_AGENT] {
                harmless.extend(headers.remove(&name).map(|value| (name, value)));
            }
            headers = harmless;
        }
        Hop::new(method, url, headers, body, reach).map(Some).map_err(|_| "to something that is no url")
    }
}

/// Whether the same request may fare better in a moment: the way there failed, not the policy and not the answer.
fn is_passing(error: &ClientError) -> bool {
    let is_policy = matches!(cause::<DialError>(error), Some(DialError::Forbidden { .. } | DialError::TimedOut));
    let is_answer = cause::<hyper::Error>(error).is_some_and(|error| error.is_parse() || error.is_user());
    !is_policy && !is_answer
}

/// The first error of a type among the causes of another.
fn cause<'a, E: Error + 'static>(error: &'a (dyn Error + 'static)) -> Option<&'a E> {
    std::iter::successors(Some(error), |&error| error.source()).find_map(|error| error.downcast_ref())
}

/// What it comes down to. The errors of hyper, rustls and the system name no header, path or query.
fn innermost<'a>(error: &'a (dyn Error + 'static)) -> &'a (dyn Error + 'static) {
    std::iter::successors(Some(error), |&error| error.source()).last().unwrap_or(error)
}

/// A request that no connection sends: the fault of the record that it was made for, not of the configuration.
fn unsendable(message: impl Into<String>) -> Failure {
    Failure::new(FailureKind::Rejected, message)
}

fn refused(message: impl Into<String>) -> Failure {
    Failure::new(FailureKind::Config, message)
}

fn unavailable(message: impl Into<String>) -> Failure {
    Failure::new(FailureKind::Unavailable, message)
}
