//! The way out: what a plugin's `http` goes through, one [`Connection`] for each that the configuration names.
//!
//! A connection belongs to one `base_url`. It puts a plugin's target behind that and nowhere else, adds the credentials, which the
//! plugin never sees (invariant 7), keeps to the rate, bounds every time and size (invariant 9), and reaches no address that is not public
//! unless the configuration grants it. It asks a proxy only where the configuration names one, keeps no cookies, and puts no secret, path or
//! query into an error.
//!
//! What is granted beside public addresses: those in [`ConnectionOptions::allow_private`], and loopback where the `base_url` itself names
//! `localhost` or a loopback address; both only at the port of the `base_url`. Any other private address written there is no
//! grant. A cloud's metadata address is granted only by itself, never by a network around it; YAML's `allow_private: true` grants
//! [`Network::all`].
//!
//! Redirects are followed within the host, not from https to http. The body, the credentials and the plugin's headers go along only to
//! where the plugin could have sent them itself: the same origin, under the base path. Beyond that, only a bare `GET` or `HEAD` goes on.
//!
//! Addresses are in `egress/address.rs`, sockets in `egress/dial.rs` and `way.rs`, trust in `egress/tls.rs`, targets and redirects in
//! `egress/target.rs` and `hop.rs`, mail in `egress/mail.rs`, headers in `egress/head.rs`, credentials in `egress/auth.rs`, answers in `egress/answer.rs`, the rate in
//! `egress/pace.rs`, bounds in `egress/limits.rs`.

mod address;
mod answer;
mod auth;
mod dial;
mod head;
mod hop;
pub mod limits;
mod mail;
mod pace;
mod target;
mod tls;
mod way;

use std::fmt;
use std::hash::{BuildHasher, RandomState};
use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use hyper::body::Incoming;
use hyper::header::{self, HeaderValue};
use hyper::{Method, Response, StatusCode};
use hyper_util::client::legacy::Error as ClientError;
use tokio::time::{Instant, sleep, timeout, timeout_at};
use url::Url;
use weft_host::{Failure, FailureKind, HttpRequest, HttpResponse};

use crate::clock::Clock;
use crate::config::connection::Tls;

pub use crate::config::{Auth, Secret};
pub use address::{Class, Network};
pub use dial::{Resolve, Resolving, System};
pub use mail::Mailer;
pub use pace::RateLimit;

use answer::BrokenAnswer;
use auth::{Proof, Token, Tokens};
use dial::DialError;
use head::Added;
use hop::{Hop, Reach};
use pace::{NoTurn, Pace};
use target::Base;
use way::{Means, Way, cause};

/// What a connection is told by the configuration.
#[derive(Clone, Debug)]
pub struct ConnectionOptions {
    /// Its name in the configuration, for messages.
    pub name: String,
    /// Where it goes: `http` or `https`, a host, perhaps a port and a path; no credentials, query or fragment.
    pub base_url: Url,
    /// Who it is there.
    pub auth: Option<Auth>,
    /// Headers of each request, in place of what the plugin says there.
    pub headers: Vec<(String, Secret)>,
    /// How often it may ask; as often as it likes where there is none.
    pub rate_limit: Option<RateLimit>,
    /// The most that a request may take, waiting for its turn, redirects and retries included; a plugin may ask for less.
    pub timeout: Duration,
    /// Tries after the first, where a repetition changes nothing.
    pub retries: u32,
    /// The URL of an HTTP proxy, perhaps with credentials.
    pub proxy: Option<Secret>,
    /// Whom to trust, and who one is.
    pub tls: Tls,
    /// Bytes of an answer's body, as it arrives and inflated.
    pub answer_bytes_max: usize,
    /// Addresses that may be reached although they are not public.
    pub allow_private: Vec<Network>,
    /// What signatures and assertions take the time from.
    pub clock: Clock,
}

impl ConnectionOptions {
    /// Without credentials, rate or grants, and with the default bounds of [`limits`].
    #[must_use]
    pub fn new(name: impl Into<String>, base_url: Url) -> Self {
        ConnectionOptions {
            name: name.into(),
            base_url,
            auth: None,
            headers: Vec::new(),
            rate_limit: None,
            timeout: limits::TIMEOUT,
            retries: limits::RETRIES,
            proxy: None,
            tls: Tls::default(),
            answer_bytes_max: limits::ANSWER_BYTES_MAX,
            allow_private: Vec::new(),
            clock: Clock::Wall,
        }
    }

    /// What the configuration says of a connection.
    #[must_use]
    pub fn of(name: &str, spec: &crate::config::Connection) -> Self {
        let rate_limit = spec.rate_limit.and_then(|rate| {
            Some(RateLimit { count: NonZeroU32::new(rate.count())?, per: Duration::from_millis(rate.period_ms()) })
        });
        ConnectionOptions {
            auth: spec.auth.clone(),
            headers: spec.headers.clone(),
            rate_limit,
            timeout: spec.timeout.into(),
            retries: spec.retries,
            proxy: spec.proxy.clone(),
            tls: spec.tls.clone(),
            allow_private: if spec.allow_private { Network::all().to_vec() } else { Vec::new() },
            ..ConnectionOptions::new(name, spec.base_url.clone())
        }
    }
}

impl ConnectionOptions {
    fn check(&self) -> Result<(), EgressError> {
        if self.rate_limit.is_some_and(|limit| limit.per.is_zero() || limit.per > limits::RATE_PER_MAX) {
            return Err(EgressError::RateLimit);
        }
        if self.timeout.is_zero() || self.timeout > limits::TIMEOUT_MAX {
            return Err(EgressError::Timeout);
        }
        Ok(())
    }
}

/// Why a connection cannot be made of its options.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum EgressError {
    /// The base URL does not say where to go, or says more.
    #[error("the base url cannot be used: {0}")]
    BaseUrl(&'static str),
    /// The credentials cannot be used.
    #[error("the credentials cannot be sent: {0}")]
    Auth(&'static str),
    /// A header cannot be sent.
    #[error("the headers cannot be sent: {0}")]
    Header(&'static str),
    /// The proxy is no address.
    #[error("the proxy cannot be used: {0}")]
    Proxy(&'static str),
    /// A certificate or its key cannot be used.
    #[error("tls cannot be spoken: {0}")]
    Tls(&'static str),
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

/// One way out, with its pool of sockets. Shared by the stages that name it, so that they share its rate and its tokens.
pub struct Connection {
    name: String,
    base: Base,
    proof: Proof,
    added: Added,
    pace: Pace,
    timeout: Duration,
    retries: u32,
    answer_bytes_max: usize,
    way: Way,
    clock: Clock,
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
        options.check()?;
        let base = Base::new(options.base_url)?;
        if let Some(proxy) = &options.proxy {
            crate::config::connection::proxy_url(proxy).map_err(EgressError::Proxy)?;
        }
        let ConnectionOptions { allow_private, proxy, clock, .. } = options;
        let means = Means { resolver, allow_private, tls: tls::client_config(&options.tls)?, proxy };
        let proof = match options.auth {
            Some(Auth::OAuth2(oauth2)) => {
                let way = Way::to(&oauth2.token_url, &means);
                let host = base.url().host_str().unwrap_or_default();
                Proof::Token(Tokens::new(&options.name, host, oauth2, way, clock.clone())?)
            }
            auth => Proof::of(auth)?,
        };
        Ok(Connection {
            name: options.name,
            added: Added::new(options.headers, &proof)?,
            proof,
            pace: Pace::new(options.rate_limit),
            timeout: options.timeout,
            retries: options.retries,
            answer_bytes_max: options.answer_bytes_max,
            way: Way::to(base.url(), &means),
            base,
            clock,
        })
    }

    /// Tries the way there without a request: a token is had where one is needed, and a socket opened, through the proxy and with
    /// TLS if there are such.
    ///
    /// # Errors
    /// What is in the way, as [`Connection::send`] would tell it.
    pub async fn try_out(&self) -> Result<(), Failure> {
        let trying = async {
            if let Proof::Token(tokens) = &self.proof {
                tokens.get(None).await?;
            }
            self.way.try_out(self.base.url()).await
        };
        timeout(self.timeout, trying).await.unwrap_or_else(|_| Err(self.late(self.timeout)))
    }

    /// Sends a request and waits for the whole answer. An answer of any status is `Ok`; one of 429 or 503 with a `Retry-After` also
    /// stills the connection for that long.
    ///
    /// # Errors
    /// There was no answer. `Config`: the request is not one that this connection sends, or leads to an address that it may not reach, or for
    /// good to another host. `Credentials`: there is no token to be had, or a secret that was renewed cannot be sent. `RateLimited`: its turn
    /// does not come in time. `Rejected`: the answer is too large. `Unavailable`: all else.
    pub async fn send(&self, request: HttpRequest) -> Result<HttpResponse, Failure> {
        let timeout = request.timeout_ms.map_or(self.timeout, |ms| self.timeout.min(Duration::from_millis(ms.into())));
        let deadline = Instant::now() + timeout;
        let hop = self.first_hop(request)?;
        timeout_at(deadline, self.follow(hop, deadline)).await.unwrap_or_else(|_| Err(self.late(timeout)))
    }

    fn first_hop(&self, request: HttpRequest) -> Result<Hop, Failure> {
        let method = match Method::from_bytes(request.method.as_bytes()) {
            Ok(method) if method != Method::CONNECT && method != Method::TRACE => method,
            _ => return Err(unsendable("the method is not one that can be sent")),
        };
        let url = self.base.resolve(&request.target).map_err(unsendable)?;
        let mut headers = head::checked(&request.headers, &self.proof).map_err(unsendable)?;
        headers.entry(header::USER_AGENT).or_insert(HeaderValue::from_static(USER_AGENT));
        Hop::new(method, url, headers, request.body.into(), Reach::Own).map_err(unsendable)
    }

    /// Asks until there is an answer that leads nowhere else.
    async fn follow(&self, mut hop: Hop, deadline: Instant) -> Result<HttpResponse, Failure> {
        let mut renewal = Renewal::Due;
        for _ in 0..=limits::REDIRECTS_MAX {
            let (response, told) = self.ask(&hop, deadline, &mut renewal).await?;
            match hop.after(&response, &self.base) {
                Ok(None) => {
                    let read = answer::read(response, self.answer_bytes_max).await;
                    let mut answer = read.map_err(|broken| self.broken(&broken))?;
                    answer::blot(&mut answer, &told);
                    return Ok(answer);
                }
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

    /// Asks once, and what was told there that no plugin may see; again where the first time certainly changes nothing (RFC 9110, section 9.2.2), and once more with another token
    /// where the first was refused.
    async fn ask(
        &self,
        hop: &Hop,
        deadline: Instant,
        renewal: &mut Renewal,
    ) -> Result<(Response<Incoming>, Vec<HeaderValue>), Failure> {
        let mut retries = 0;
        loop {
            self.pace.turn(deadline).await.map_err(|no_turn| self.rate_limited(&no_turn))?;
            let (request, token) = self.request(hop).await?;
            let told: Vec<HeaderValue> = request.headers().values().filter(|value| value.is_sensitive()).cloned().collect();
            let wait = match self.way.request(request).await {
                Ok(response) => {
                    let patience = answer::patience(response.status(), response.headers(), SystemTime::now());
                    if let Some(wait) = patience {
                        self.pace.pause(wait);
                    }
                    if let Some(token) = token.filter(|_| response.status() == StatusCode::UNAUTHORIZED)
                        && let Proof::Token(tokens) = &self.proof
                        && *renewal == Renewal::Due
                        && token.is_worth_renewing()
                    {
                        *renewal = Renewal::Done;
                        tokens.get(Some(&token)).await?;
                        continue;
                    }
                    let wait = patience.unwrap_or_else(|| backoff(retries));
                    let is_final = !is_busy(response.status()) || !hop.is_idempotent() || retries >= self.retries;
                    if is_final || Instant::now() + wait.min(limits::PAUSE_MAX) >= deadline {
                        return Ok((response, told));
                    }
                    wait
                }
                Err(error) => {
                    let may_repeat = hop.is_idempotent() || error.is_connect();
                    if !is_passing(&error) || !may_repeat || retries >= self.retries {
                        return Err(self.way.unanswered(&error, self.base.authority()));
                    }
                    backoff(retries)
                }
            };
            retries += 1;
            sleep(wait).await;
        }
    }

    /// The request as it goes out, with what the configuration adds where the plugin could have sent it itself.
    async fn request(
        &self,
        hop: &Hop,
    ) -> Result<(hyper::Request<http_body_util::Full<hyper::body::Bytes>>, Option<Arc<Token>>), Failure> {
        let mut request = hop.request();
        if hop.reach == Reach::Foreign {
            return Ok((request, None));
        }
        let unfit = |reason| Failure::new(FailureKind::Credentials, format!("a header cannot be sent: {reason}"));
        self.added.put(request.headers_mut()).map_err(unfit)?;
        let token = self.proof.put(&mut request, &hop.body, self.clock.now()).await?;
        Ok((request, token))
    }

    fn late(&self, timeout: Duration) -> Failure {
        unavailable(format!("{} gives no whole answer within {} ms", self.base.authority(), timeout.as_millis()))
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
}

/// A connection of the configuration, as what its address makes it.
#[derive(Clone, Debug)]
pub enum Gateway {
    /// `http` and `https`: requests.
    Http(Arc<Connection>),
    /// `smtp` and `smtps`: messages.
    Mail(Arc<Mailer>),
}

impl Gateway {
    /// What the configuration says of a connection, made ready. Opens nothing yet.
    ///
    /// # Errors
    /// [`EgressError`], where what it says does not hold together.
    pub fn new(name: &str, spec: &crate::config::Connection) -> Result<Gateway, EgressError> {
        let options = ConnectionOptions::of(name, spec);
        Ok(if spec.is_mail() {
            Gateway::Mail(Arc::new(Mailer::new(options)?))
        } else {
            Gateway::Http(Arc::new(Connection::new(options)?))
        })
    }

    /// Tries the way there, and sends nothing.
    ///
    /// # Errors
    /// What is in the way.
    pub async fn try_out(&self) -> Result<(), Failure> {
        match self {
            Gateway::Http(connection) => connection.try_out().await,
            Gateway::Mail(mailer) => mailer.try_out().await,
        }
    }
}

const USER_AGENT: &str = concat!("weft/", env!("CARGO_PKG_VERSION"));

/// Whether a refused token may be had anew: once for each request of a plugin.
#[derive(PartialEq, Eq)]
enum Renewal {
    Due,
    Done,
}

/// Answers of those who are there and have no time, or stand before somebody who is not there (RFC 9110, section 15.6).
fn is_busy(status: StatusCode) -> bool {
    matches!(status.as_u16(), 429 | 502..=504)
}

/// The wait before a try: doubling, with up to a quarter more or less so that stages do not march in step.
fn backoff(retries: u32) -> Duration {
    let wait = limits::RETRY_WAIT.saturating_mul(1 << retries.min(16)).min(limits::RETRY_WAIT_MAX);
    let quarter = u64::try_from(wait.as_millis() / 4).unwrap_or(u64::MAX).max(1);
    // The seeds of the standard hash map are the randomness that is always at hand.
    let noise = RandomState::new().hash_one(retries);
    wait - Duration::from_millis(quarter) + Duration::from_millis(noise % (2 * quarter))
}

/// Whether the same request may fare better in a moment: the way there failed, not the policy and not the answer.
fn is_passing(error: &ClientError) -> bool {
    let is_policy = cause::<DialError>(error).is_some_and(|error| !error.is_passing());
    let is_answer = cause::<hyper::Error>(error).is_some_and(|error| error.is_parse() || error.is_user());
    let is_trust = cause::<rustls::Error>(error).is_some();
    !is_policy && !is_answer && !is_trust
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
