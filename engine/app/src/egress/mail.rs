//! The way out of mail: SMTP (RFC 5321) to one server, for messages that plugins write by their fields.
//!
//! As for requests, the configuration alone says where to and as whom, addresses are checked before they are dialled, and rate and times are
//! bounded. `smtps://` speaks TLS from the first byte, `smtp://` by STARTTLS (RFC 3207), which is insisted on except towards this
//! machine. Connections are kept for a while; a message goes out on one at a time.
//!
//! Each command's answer says who can mend it: see [`Mailer::send`]. A message whose end was sent and not answered may be there or
//! not; it comes again under the same id. What a message looks like is in `mail/message.rs`.

mod message;

use std::error::Error;
use std::fmt;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use lettre::Address;
use lettre::address::Envelope;
use lettre::transport::smtp::authentication::{Credentials, Mechanism};
use lettre::transport::smtp::client::{AsyncSmtpConnection, Certificate, CertificateStore, TlsParameters};
use lettre::transport::smtp::commands::{Data, Mail, Rcpt, Rset};
use lettre::transport::smtp::extension::{ClientId, Extension, MailParameter};
use lettre::transport::smtp::response::Severity;
use lettre::transport::smtp::{Error as SmtpError, response::Code};
use tokio::time::{Instant, timeout_at};
use url::Url;
use weft_host::{Email, Failure, FailureKind, Mailed, Rejection};

use super::dial::{Dialler, Resolve, System};
use super::pace::{NoTurn, Pace};
use super::way::Means;
use super::{Auth, ConnectionOptions, EgressError, Secret, limits, tls};
use crate::config::connection::Tls;

/// One way to a mail server, with its pool of connections. Shared by the stages that name it.
pub struct Mailer {
    name: String,
    host: String,
    port: u16,
    security: Security,
    login: Option<(String, Secret)>,
    tls: TlsParameters,
    dialler: Dialler,
    pace: Pace,
    timeout: Duration,
    idle: Mutex<Vec<(AsyncSmtpConnection, Instant)>>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Security {
    /// TLS from the first byte.
    Implicit,
    /// STARTTLS, or nothing is said.
    Required,
    /// STARTTLS where it is offered: only towards this machine.
    Offered,
}

impl fmt::Debug for Mailer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Mailer").field("name", &self.name).field("host", &self.host).finish_non_exhaustive()
    }
}

/// How far a message came before something went wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Step {
    /// Before it was spoken of: greeting, encryption.
    Hello,
    /// Who we are.
    Login,
    /// From whom.
    Sender,
    /// To whom.
    Recipient,
    /// The message itself.
    Content,
}

impl Mailer {
    /// A mailer that resolves names as the system does. Opens nothing yet.
    ///
    /// # Errors
    /// [`EgressError`], where the options do not hold together.
    pub fn new(options: ConnectionOptions) -> Result<Mailer, EgressError> {
        Mailer::with_resolver(options, Arc::new(System))
    }

    /// A mailer that resolves names with this resolver.
    ///
    /// # Errors
    /// [`EgressError`], where the options do not hold together.
    pub fn with_resolver(options: ConnectionOptions, resolver: Arc<dyn Resolve>) -> Result<Mailer, EgressError> {
        options.check()?;
        let url = with_port(options.base_url)?;
        let host = url.host_str().unwrap_or_default();
        let host = host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host).to_owned();
        let security = match url.scheme() {
            "smtps" => Security::Implicit,
            _ if host == "localhost" || host.parse().is_ok_and(|address: std::net::IpAddr| address.is_loopback()) => {
                Security::Offered
            }
            _ => Security::Required,
        };
        let login = match options.auth {
            None => None,
            Some(Auth::Basic { user, password }) => Some((user, password)),
            Some(_) => return Err(EgressError::Auth("a mail server takes a user and a password")),
        };
        let means = Means { resolver, allow_private: options.allow_private, tls: tls::client_config(&options.tls)?, proxy: None };
        Ok(Mailer {
            name: options.name,
            port: url.port().unwrap_or_default(),
            security,
            login,
            tls: parameters(&options.tls, host.clone())?,
            dialler: means.dialler(&url),
            pace: Pace::new(options.rate_limit),
            timeout: options.timeout,
            idle: Mutex::default(),
            host,
        })
    }

    /// Sends a message: to all its recipients, or to none.
    ///
    /// # Errors
    /// The server takes no message for now. `Config`: it has no encryption, or does not take this sender. `Credentials`: it does not let us
    /// in. `RateLimited`: it asks for patience, or the message has no turn in its time. `Unavailable`: all else; where the end of the message was sent,
    /// nobody knows whether it arrived.
    pub async fn send(&self, email: Email) -> Result<Mailed, Failure> {
        let (envelope, bytes) = match message::written(email) {
            Ok(written) => written,
            Err(rejection) => return Ok(Mailed::Refused(rejection)),
        };
        let deadline = Instant::now() + self.timeout;
        timeout_at(deadline, self.deliver(&envelope, &bytes, deadline)).await.unwrap_or_else(|_| Err(self.late()))
    }

    /// Whether the server is there and lets us in. Sends nothing.
    ///
    /// # Errors
    /// As of [`Mailer::send`].
    pub async fn try_out(&self) -> Result<(), Failure> {
        let deadline = Instant::now() + self.timeout;
        let mut connection = timeout_at(deadline, self.open()).await.unwrap_or_else(|_| Err(self.late()))?;
        let _ = timeout_at(deadline, connection.quit()).await;
        Ok(())
    }

    async fn deliver(&self, envelope: &Envelope, bytes: &[u8], deadline: Instant) -> Result<Mailed, Failure> {
        self.pace.turn(deadline).await.map_err(|no_turn| self.no_turn(&no_turn))?;
        if let Some(mut kept) = self.kept()
            // The server may have closed it meanwhile: then nothing was said yet, and a fresh one takes its place.
            && kept.command(Rset).await.is_ok()
        {
            return self.hand_over(kept, envelope, bytes).await;
        }
        let fresh = self.open().await?;
        self.hand_over(fresh, envelope, bytes).await
    }

    fn kept(&self) -> Option<AsyncSmtpConnection> {
        let mut idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner);
        idle.retain(|(_, since)| since.elapsed() < limits::IDLE_TIME_MAX);
        idle.pop().map(|(connection, _)| connection)
    }

    fn keep(&self, connection: AsyncSmtpConnection) {
        let mut idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner);
        if idle.len() < limits::IDLE_MAX && !connection.has_broken() {
            idle.push((connection, Instant::now()));
        }
    }

    async fn open(&self) -> Result<AsyncSmtpConnection, Failure> {
        let addresses = self.dialler.addresses(&self.host, self.port).await;
        let addresses = addresses.map_err(|error| Failure::new(error.kind(), error.to_string()))?;
        // These very addresses are dialled, and no name is resolved again.
        let connecting = async |tls: Option<TlsParameters>| {
            AsyncSmtpConnection::connect_tokio1(&*addresses as &[SocketAddr], Some(limits::CONNECT_TIME_MAX), &hello(), tls, None)
                .await
        };
        let is_implicit = self.security == Security::Implicit;
        let connection = connecting(is_implicit.then(|| self.tls.clone())).await;
        let mut connection = connection.map_err(|error| self.failed(Step::Hello, &error))?;
        if !is_implicit && connection.can_starttls() {
            let upgraded = connection.starttls(self.tls.clone(), &hello()).await;
            upgraded.map_err(|error| self.failed(Step::Hello, &error))?;
        } else if self.security == Security::Required {
            let message = format!("{} offers no encryption (STARTTLS): is it `smtps://`?", self.host);
            return Err(Failure::new(FailureKind::Config, message));
        }
        if let Some((user, password)) = &self.login {
            const MECHANISMS: [Mechanism; 2] = [Mechanism::Plain, Mechanism::Login];
            if connection.server_info().get_auth_mechanism(&MECHANISMS).is_none() {
                let message = format!("{} takes no user and password in a way that is known here (PLAIN, LOGIN)", self.host);
                return Err(Failure::new(FailureKind::Config, message));
            }
            let credentials = Credentials::new(user.clone(), password.expose_text());
            connection.auth(&MECHANISMS, &credentials).await.map_err(|error| self.failed(Step::Login, &error))?;
        }
        Ok(connection)
    }

    async fn hand_over(&self, mut connection: AsyncSmtpConnection, envelope: &Envelope, bytes: &[u8]) -> Result<Mailed, Failure> {
        match converse(&mut connection, envelope, bytes).await {
            Ok(Said::Accepted) => {
                self.keep(connection);
                Ok(Mailed::Accepted)
            }
            Ok(Said::Unsaid(rejection)) => {
                self.keep(connection);
                Ok(Mailed::Refused(rejection))
            }
            Err((step, error)) => {
                let is_over = error.status().is_none_or(|code| code.to_string() == "421");
                let judged = self.judged(step, &error);
                if !is_over {
                    // The next begins with RSET.
                    self.keep(connection);
                }
                judged
            }
        }
    }

    /// What an answer means for the message, or for all messages.
    fn judged(&self, step: Step, error: &SmtpError) -> Result<Mailed, Failure> {
        let Some(code) = error.status() else { return Err(self.failed(step, error)) };
        let words = words(error);
        let is_permanent = code.severity == Severity::PermanentNegativeCompletion;
        match step {
            Step::Recipient | Step::Content if is_permanent && !is_login(code) => {
                let what = if step == Step::Recipient { "recipient_refused" } else { "message_refused" };
                Ok(Mailed::Refused(Rejection { code: what.to_owned(), message: format!("{}: {code} {words}", self.host) }))
            }
            Step::Recipient | Step::Content if !is_permanent && !is_patience(code, &words) => {
                Ok(Mailed::Later(u64::try_from(limits::MAIL_LATER.as_millis()).unwrap_or(u64::MAX)))
            }
            _ => Err(self.failed(step, error)),
        }
    }

    /// Why no message is taken.
    fn failed(&self, step: Step, error: &SmtpError) -> Failure {
        let host = &self.host;
        let Some(code) = error.status() else {
            return Failure::new(FailureKind::Unavailable, format!("{host} {}", silence(error)));
        };
        let words = words(error);
        let is_permanent = code.severity == Severity::PermanentNegativeCompletion;
        if is_permanent && (step == Step::Login || is_login(code)) {
            // Without its words: some repeat what they were given.
            return Failure::new(FailureKind::Credentials, format!("{host} does not let us in: {code}"));
        }
        if !is_permanent && is_patience(code, &words) {
            self.pace.pause(limits::MAIL_PATIENCE);
            let wait_ms = u64::try_from(limits::MAIL_PATIENCE.as_millis()).ok();
            let failure = Failure::new(FailureKind::RateLimited, format!("{host} asks for patience: {code} {words}"));
            return Failure { retry_after_ms: wait_ms, ..failure };
        }
        let kind = if is_permanent && step == Step::Sender { FailureKind::Config } else { FailureKind::Unavailable };
        let what = match step {
            Step::Hello => "does not talk to us",
            Step::Login => "cannot look at our credentials",
            Step::Sender => "does not take the sender",
            Step::Recipient => "does not take recipients",
            Step::Content => "does not take messages",
        };
        Failure::new(kind, format!("{host} {what}: {code} {words}"))
    }

    fn late(&self) -> Failure {
        Failure::new(FailureKind::Unavailable, format!("{} does not answer within {} ms", self.host, self.timeout.as_millis()))
    }

    fn no_turn(&self, NoTurn(wait): &NoTurn) -> Failure {
        let message = format!("the connection `{}` has no turn within the message's time", self.name);
        let wait_ms = u64::try_from(wait.as_nanos().div_ceil(1_000_000)).unwrap_or(u64::MAX);
        Failure { retry_after_ms: Some(wait_ms), ..Failure::new(FailureKind::RateLimited, message) }
    }
}

enum Said {
    Accepted,
    /// Nothing was said, because the server would not understand it.
    Unsaid(Rejection),
}

async fn converse(connection: &mut AsyncSmtpConnection, envelope: &Envelope, bytes: &[u8]) -> Result<Said, (Step, SmtpError)> {
    let mut options = Vec::new();
    if envelope.to().iter().chain(envelope.from()).any(|address| !AsRef::<str>::as_ref(address).is_ascii()) {
        if !connection.server_info().supports_feature(Extension::SmtpUtfEight) {
            let message = "an address has letters beyond ASCII, which the server does not know".to_owned();
            return Ok(Said::Unsaid(Rejection { code: "invalid_address".to_owned(), message }));
        }
        options.push(MailParameter::SmtpUtfEight);
    }
    let at = |step: Step| move |error| (step, error);
    connection.command(Mail::new(envelope.from().cloned(), options)).await.map_err(at(Step::Sender))?;
    for recipient in envelope.to() {
        let recipient: Address = recipient.clone();
        connection.command(Rcpt::new(recipient, Vec::new())).await.map_err(at(Step::Recipient))?;
    }
    connection.command(Data).await.map_err(at(Step::Content))?;
    connection.message(bytes).await.map_err(at(Step::Content))?;
    Ok(Said::Accepted)
}

/// The address with the port that its scheme stands for: submission (RFC 6409, RFC 8314).
fn with_port(mut url: Url) -> Result<Url, EgressError> {
    let port = match url.scheme() {
        "smtp" => 587,
        "smtps" => 465,
        _ => return Err(EgressError::BaseUrl("it begins with neither `smtp://` nor `smtps://`")),
    };
    if url.host_str().is_none_or(str::is_empty) {
        return Err(EgressError::BaseUrl("it names no host"));
    }
    let port = url.port().unwrap_or(port);
    url.set_port(Some(port)).map_err(|()| EgressError::BaseUrl("it has no port"))?;
    Ok(url)
}

/// Trust, as lettre wants to be told.
fn parameters(tls: &Tls, host: String) -> Result<TlsParameters, EgressError> {
    let unfit = |_| EgressError::Tls("one of the authorities has a certificate that cannot be read");
    if tls.identity.is_some() {
        return Err(EgressError::Tls("mail servers are not shown a certificate"));
    }
    let store = if tls.public_roots { CertificateStore::WebpkiRoots } else { CertificateStore::None };
    let mut builder = TlsParameters::builder(host).certificate_store(store);
    for root in &tls.roots {
        builder = builder.add_root_certificate(Certificate::from_der(root.to_vec()).map_err(unfit)?);
    }
    builder.build_rustls().map_err(unfit)
}

/// Who we say we are. The machine's own name is nobody's business, and often no name at all.
fn hello() -> ClientId {
    ClientId::Domain("localhost".to_owned())
}

/// Whether a code says that we are not let in (RFC 4954, section 6).
fn is_login(code: Code) -> bool {
    matches!(code.to_string().as_str(), "530" | "534" | "535" | "538")
}

/// Whether it is about how much is sent, or by whom, and not about this message: a policy for now (RFC 3463, `4.7.x`), or the server
/// closes.
fn is_patience(code: Code, words: &str) -> bool {
    matches!(code.to_string().as_str(), "421" | "454") || words.starts_with("4.7.")
}

/// The server's own words, in one line.
fn words(error: &SmtpError) -> String {
    let words = error.source().map(ToString::to_string).unwrap_or_default();
    words.chars().map(|char| if char.is_control() { ' ' } else { char }).take(200).collect::<String>().trim().to_owned()
}

/// What it comes down to where there was no answer.
fn silence(error: &SmtpError) -> String {
    let innermost = std::iter::successors(error.source(), |&error| error.source()).last();
    let doing = if error.is_tls() { "cannot be encrypted with" } else { "does not answer" };
    innermost.map_or_else(|| format!("{doing}: {error}"), |innermost| format!("{doing}: {innermost}"))
}
