//! How a socket is opened: one resolution, every address checked, and then that very address dialled.
//!
//! The check is made here and nowhere else, because only here is it known where the bytes will go: a name may resolve to
//! something else a moment later ("DNS rebinding"). Where the configuration names a proxy, its address is the one that is checked, since the
//! proxy resolves for itself; variables such as `HTTPS_PROXY` are not looked at.

use std::error::Error;
use std::future::Future;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use hyper::Uri;
use hyper::header::HeaderValue;
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder, MaybeHttpsStream};
use hyper_util::client::legacy::connect::{Connected, Connection};
use hyper_util::rt::TokioIo;
use rustls::ClientConfig;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, ReadBuf};
use tokio::net::TcpStream;
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};
use tower_service::Service;
use url::Url;
use weft_host::FailureKind;

use super::address::{Class, Guard, Network};
use super::auth::basic;
use super::limits;
use crate::config::Secret;
use crate::config::connection::proxy_url;

/// A name being resolved.
pub type Resolving<'a> = Pin<Box<dyn Future<Output = io::Result<Vec<IpAddr>>> + Send + 'a>>;

/// Where names become addresses. Asked once for each socket; what it answers is checked.
pub trait Resolve: Send + Sync + 'static {
    /// All addresses of a host, the best first.
    fn resolve<'a>(&'a self, host: &'a str) -> Resolving<'a>;
}

/// The system's resolver (`getaddrinfo`), with its hosts file and its order of addresses.
#[derive(Clone, Copy, Debug, Default)]
pub struct System;

impl Resolve for System {
    fn resolve<'a>(&'a self, host: &'a str) -> Resolving<'a> {
        Box::pin(async move { Ok(tokio::net::lookup_host((host, 0)).await?.map(|address| address.ip()).collect()) })
    }
}

/// Why no socket was opened.
#[derive(Debug, thiserror::Error)]
pub(super) enum DialError {
    #[error("{host} is {address}, {class}{}", advice(*class))]
    Forbidden { host: String, address: IpAddr, class: Class },
    #[error("{host} has no address")]
    NoAddress { host: String },
    #[error("{host} cannot be resolved: {error}")]
    Unresolved { host: String, error: io::Error },
    #[error("{host} cannot be reached: {error}")]
    Unreachable { host: String, error: io::Error },
    #[error("no connection within {} s", limits::CONNECT_TIME_MAX.as_secs())]
    TimedOut,
    #[error("the proxy cannot be used: {0}")]
    Proxy(&'static str),
    #[error("the proxy {proxy} does not let us through to {host}: it answers {status}")]
    Shut { proxy: String, host: String, status: u16 },
    #[error("the proxy {proxy} does not answer as a proxy does")]
    NoProxy { proxy: String },
}

impl DialError {
    /// Who can mend it.
    pub(super) fn kind(&self) -> FailureKind {
        match self {
            DialError::Forbidden { .. } | DialError::Proxy(_) | DialError::Shut { status: 400..=406 | 408..=499, .. } => {
                FailureKind::Config
            }
            DialError::Shut { status: 407, .. } => FailureKind::Credentials,
            _ => FailureKind::Unavailable,
        }
    }

    /// Whether another try in a moment may fare better.
    pub(super) fn is_passing(&self) -> bool {
        self.kind() == FailureKind::Unavailable && !matches!(self, DialError::TimedOut)
    }
}

fn advice(class: Class) -> &'static str {
    if class.is_grantable() { ": if it is meant, give the connection `allow_private: true`" } else { "" }
}

type Opening<T, E> = Pin<Box<dyn Future<Output = Result<T, E>> + Send>>;

/// The proxy that the configuration names.
#[derive(Clone)]
pub(super) struct Proxy {
    /// Its URL, perhaps with credentials.
    pub(super) address: Secret,
    /// Addresses that may be reached although they are not public.
    pub(super) allow_private: Vec<Network>,
}

impl Proxy {
    fn url(&self) -> Result<Url, DialError> {
        proxy_url(&self.address).map_err(DialError::Proxy)
    }
}

fn authorization(url: &Url) -> Option<HeaderValue> {
    if url.username().is_empty() && url.password().is_none() {
        return None;
    }
    let decoded = |text: &str| percent_encoding::percent_decode_str(text).collect::<Vec<u8>>();
    basic(&decoded(url.username()), &decoded(url.password().unwrap_or_default())).ok()
}

/// Opens sockets to checked addresses.
#[derive(Clone)]
pub(super) struct Dialler {
    resolver: Arc<dyn Resolve>,
    guard: Arc<Guard>,
    proxy: Option<Proxy>,
}

impl Dialler {
    pub(super) fn new(resolver: Arc<dyn Resolve>, guard: Guard, proxy: Option<Proxy>) -> Dialler {
        Dialler { resolver, guard: Arc::new(guard), proxy }
    }

    /// What a request in the clear tells the proxy.
    pub(super) fn proxy_authorization(&self) -> Option<HeaderValue> {
        authorization(&self.proxy.as_ref()?.url().ok()?)
    }

    async fn open(self, uri: Uri) -> Result<TokioIo<Wire>, DialError> {
        let host = uri.host().unwrap_or_default();
        let host = host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host);
        let is_https = uri.scheme_str() == Some("https");
        let port = uri.port_u16().unwrap_or(if is_https { 443 } else { 80 });
        let Some(proxy) = &self.proxy else {
            let stream = self.dial(host, port, &self.guard).await?;
            return Ok(TokioIo::new(Wire { stream, is_forward: false }));
        };
        // What is named by its address is known before the proxy is asked.
        if let Ok(address) = host.parse::<IpAddr>() {
            admit(host, address, port, &self.guard)?;
        }
        let url = proxy.url()?;
        let guard = Guard::new(&url, proxy.allow_private.clone());
        let (name, its_port) = (url.host_str().unwrap_or_default(), url.port_or_known_default().unwrap_or(80));
        let name = name.strip_prefix('[').and_then(|name| name.strip_suffix(']')).unwrap_or(name);
        let mut stream = self.dial(name, its_port, &guard).await?;
        if is_https {
            tunnel(&mut stream, &url, &uri, port).await?;
        }
        Ok(TokioIo::new(Wire { stream, is_forward: !is_https }))
    }

    /// The addresses of a host that may be dialled, the best first; at least one.
    pub(super) async fn addresses(&self, host: &str, port: u16) -> Result<Vec<SocketAddr>, DialError> {
        let resolving = self.checked(host, port, &self.guard);
        timeout(limits::CONNECT_TIME_MAX, resolving).await.unwrap_or(Err(DialError::TimedOut))
    }

    async fn dial(&self, host: &str, port: u16, guard: &Guard) -> Result<TcpStream, DialError> {
        match dial(self.checked(host, port, guard).await?.into_iter()).await {
            Some(Ok(stream)) => Ok(stream),
            Some(Err(error)) => Err(DialError::Unreachable { host: host.to_owned(), error }),
            None => Err(DialError::NoAddress { host: host.to_owned() }),
        }
    }

    async fn checked(&self, host: &str, port: u16, guard: &Guard) -> Result<Vec<SocketAddr>, DialError> {
        let addresses = match host.parse::<IpAddr>() {
            Ok(address) => vec![address],
            Err(_) => {
                let resolved = self.resolver.resolve(host).await;
                resolved.map_err(|error| DialError::Unresolved { host: host.to_owned(), error })?
            }
        };
        if addresses.is_empty() {
            return Err(DialError::NoAddress { host: host.to_owned() });
        }
        // One forbidden address among good ones is not left out but refuses the name: nobody publishes such a mix in good faith.
        for address in &addresses {
            admit(host, *address, port, guard)?;
        }
        Ok(addresses.into_iter().take(limits::DIALS_MAX).map(|address| SocketAddr::new(address, port)).collect())
    }
}

fn admit(host: &str, address: IpAddr, port: u16, guard: &Guard) -> Result<(), DialError> {
    guard.admit(address, port).map_err(|class| DialError::Forbidden { host: host.to_owned(), address, class })
}

/// Asks the proxy for a tunnel (`CONNECT`, RFC 9110, section 9.3.6).
async fn tunnel(stream: &mut TcpStream, proxy: &Url, uri: &Uri, port: u16) -> Result<(), DialError> {
    let to = format!("{}:{port}", uri.host().unwrap_or_default());
    let mut head = format!("CONNECT {to} HTTP/1.1\r\nHost: {to}\r\n").into_bytes();
    if let Some(value) = authorization(proxy) {
        head.extend_from_slice(&[b"Proxy-Authorization: ", value.as_bytes(), b"\r\n"].concat());
    }
    head.extend_from_slice(b"\r\n");
    let unreachable = |error| DialError::Unreachable { host: proxy.authority().to_owned(), error };
    let name = || format!("{}:{}", proxy.host_str().unwrap_or_default(), proxy.port_or_known_default().unwrap_or(80));
    stream.write_all(&head).await.map_err(unreachable)?;
    // Nothing follows its answer before we speak, so that no byte of the tunnel is read here.
    let (mut answer, mut buffer) = (Vec::new(), [0; 512]);
    while !answer.ends_with(b"\r\n\r\n") {
        let read = stream.read(&mut buffer).await.map_err(unreachable)?;
        answer.extend_from_slice(&buffer[..read]);
        if read == 0 || answer.len() > limits::PROXY_HEAD_BYTES_MAX {
            return Err(DialError::NoProxy { proxy: name() });
        }
        // A refusal may have a body: its first line is enough.
        if answer.contains(&b'\n') && !matches!(status(&answer), None | Some(200..=299)) {
            break;
        }
    }
    match status(&answer) {
        Some(200..=299) => Ok(()),
        Some(status) => Err(DialError::Shut { proxy: name(), host: to, status }),
        None => Err(DialError::NoProxy { proxy: name() }),
    }
}

/// The status of an answer that begins with these bytes.
fn status(answer: &[u8]) -> Option<u16> {
    let line = answer.split(|byte| *byte == b'\r').next()?;
    let rest = std::str::from_utf8(line).ok()?.strip_prefix("HTTP/1.")?;
    rest.split(' ').nth(1)?.parse().ok()
}

/// A socket, and whether requests on it are told to a proxy as a whole (RFC 9112, section 3.2.2).
pub(super) struct Wire {
    stream: TcpStream,
    is_forward: bool,
}

impl Connection for Wire {
    fn connected(&self) -> Connected {
        Connected::new().proxy(self.is_forward)
    }
}

impl AsyncRead for Wire {
    fn poll_read(mut self: Pin<&mut Self>, context: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(context, buffer)
    }
}

impl AsyncWrite for Wire {
    fn poll_write(mut self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(context, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}

/// The first connection of several, each begun a moment after the one before ("happy eyeballs", RFC 8305); none without an address.
async fn dial(mut addresses: impl ExactSizeIterator<Item = SocketAddr>) -> Option<io::Result<TcpStream>> {
    let (mut dials, mut failed) = (JoinSet::new(), None);
    loop {
        if let Some(address) = addresses.next() {
            dials.spawn(connect(address));
        } else if dials.is_empty() {
            return failed.map(Err);
        }
        tokio::select! {
            dialled = dials.join_next() => match dialled {
                Some(Ok(Ok(stream))) => return Some(Ok(stream)),
                Some(Ok(Err(error))) => failed = Some(error),
                Some(Err(error)) => failed = Some(io::Error::other(error)),
                None => (),
            },
            () = sleep(limits::DIAL_HEAD_START), if addresses.len() > 0 => (),
        }
    }
}

async fn connect(address: SocketAddr) -> io::Result<TcpStream> {
    let stream = TcpStream::connect(address).await?;
    stream.set_nodelay(true)?;
    Ok(stream)
}

impl Service<Uri> for Dialler {
    type Response = TokioIo<Wire>;
    type Error = DialError;
    type Future = Opening<Self::Response, DialError>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), DialError>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, uri: Uri) -> Self::Future {
        Box::pin(self.clone().open(uri))
    }
}

/// Opens a socket, speaks TLS over it where the URL says so, and does not take for ever over both.
#[derive(Clone)]
pub(super) struct Connector(HttpsConnector<Dialler>);

impl Connector {
    /// For `https` alone if that is the scheme.
    pub(super) fn new(scheme: &str, tls: Arc<ClientConfig>, dialler: Dialler) -> Connector {
        let builder = HttpsConnectorBuilder::new().with_tls_config(ClientConfig::clone(&tls));
        let builder = if scheme == "https" { builder.https_only() } else { builder.https_or_http() };
        Connector(builder.enable_http1().wrap_connector(dialler))
    }
}

impl Service<Uri> for Connector {
    type Response = MaybeHttpsStream<TokioIo<Wire>>;
    type Error = Box<dyn Error + Send + Sync>;
    type Future = Opening<Self::Response, Self::Error>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        self.0.poll_ready(context)
    }

    fn call(&mut self, uri: Uri) -> Self::Future {
        let opening = self.0.call(uri);
        Box::pin(
            async move { timeout(limits::CONNECT_TIME_MAX, opening).await.unwrap_or_else(|_| Err(DialError::TimedOut.into())) },
        )
    }
}
