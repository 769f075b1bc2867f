//! How a socket is opened: one resolution, every address checked, and then that very address dialled.
//!
//! The check is made here and nowhere else, because only here is it known where the bytes will go: a name may resolve to
//! something else a moment later ("DNS rebinding"). Variables such as `HTTPS_PROXY` are not looked at: a proxy would resolve for itself.

use std::error::Error;
use std::future::Future;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use hyper::Uri;
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder, MaybeHttpsStream};
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};
use tower_service::Service;

use super::address::{Class, Guard};
use super::limits;

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
}

fn advice(class: Class) -> &'static str {
    if class.is_grantable() { ": if it is meant, give the connection `allow_private: true`" } else { "" }
}

type Opening<T, E> = Pin<Box<dyn Future<Output = Result<T, E>> + Send>>;

/// Opens a socket to a checked address.
#[derive(Clone)]
pub(super) struct Dialler {
    resolver: Arc<dyn Resolve>,
    guard: Arc<Guard>,
}

impl Dialler {
    async fn open(self, uri: Uri) -> Result<TokioIo<TcpStream>, DialError> {
        let host = uri.host().unwrap_or_default();
        let host = host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host);
        let port = uri.port_u16().unwrap_or(if uri.scheme_str() == Some("https") { 443 } else { 80 });
        let addresses = match host.parse::<IpAddr>() {
            Ok(address) => vec![address],
            Err(_) => {
                let resolved = self.resolver.resolve(host).await;
                resolved.map_err(|error| DialError::Unresolved { host: host.to_owned(), error })?
            }
        };
        // One forbidden address among good ones is not left out but refuses the name: nobody publishes such a mix in good faith.
        for address in &addresses {
            let forbidden = |class| DialError::Forbidden { host: host.to_owned(), address: *address, class };
            self.guard.admit(*address, port).map_err(forbidden)?;
        }
        let addresses = addresses.into_iter().take(limits::DIALS_MAX).map(|address| SocketAddr::new(address, port));
        match dial(addresses).await {
            Some(Ok(stream)) => Ok(TokioIo::new(stream)),
            Some(Err(error)) => Err(DialError::Unreachable { host: host.to_owned(), error }),
            None => Err(DialError::NoAddress { host: host.to_owned() }),
        }
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
    type Response = TokioIo<TcpStream>;
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
    /// For `https` alone if that is the base's scheme, so that no mistake elsewhere sends anything in the clear.
    pub(super) fn new(scheme: &str, resolver: Arc<dyn Resolve>, guard: Guard) -> Connector {
        let builder = HttpsConnectorBuilder::new().with_webpki_roots();
        let builder = if scheme == "https" { builder.https_only() } else { builder.https_or_http() };
        Connector(builder.enable_http1().wrap_connector(Dialler { resolver, guard: Arc::new(guard) }))
    }
}

impl Service<Uri> for Connector {
    type Response = MaybeHttpsStream<TokioIo<TcpStream>>;
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
