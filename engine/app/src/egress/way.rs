//! The way to one place: its sockets, its proxy, and what it means when nothing comes back.

use std::error::Error;
use std::sync::Arc;

use http_body_util::Full;
use hyper::body::{Bytes, Incoming};
use hyper::header;
use hyper::{Request, Response};
use hyper_util::client::legacy::{Client, Error as ClientError};
use hyper_util::rt::{TokioExecutor, TokioTimer};
use rustls::ClientConfig;
use tower_service::Service;
use url::Url;
use weft_host::{Failure, FailureKind};

use super::address::{Guard, Network};
use super::dial::{Connector, DialError, Dialler, Proxy, Resolve};
use super::limits;
use crate::config::Secret;

/// What all ways of a connection have in common.
#[derive(Clone)]
pub(super) struct Means {
    pub(super) resolver: Arc<dyn Resolve>,
    pub(super) allow_private: Vec<Network>,
    pub(super) tls: Arc<ClientConfig>,
    pub(super) proxy: Option<Secret>,
}

impl Means {
    /// Opens sockets to the host and port of this address, and to no other that is not public.
    pub(super) fn dialler(&self, base: &Url) -> Dialler {
        let proxy = self.proxy.clone().map(|address| Proxy { address, allow_private: self.allow_private.clone() });
        Dialler::new(self.resolver.clone(), Guard::new(base, self.allow_private.clone()), proxy)
    }
}

/// A pool of sockets to one place.
pub(super) struct Way {
    client: Client<Connector, Full<Bytes>>,
    connector: Connector,
    dialler: Dialler,
}

impl Way {
    /// For `https` alone if that is the address's scheme, so that no mistake elsewhere sends anything in the clear.
    pub(super) fn to(base: &Url, means: &Means) -> Way {
        let dialler = means.dialler(base);
        let connector = Connector::new(base.scheme(), means.tls.clone(), dialler.clone());
        let client = Client::builder(TokioExecutor::new())
            .timer(TokioTimer::new())
            .pool_timer(TokioTimer::new())
            .pool_idle_timeout(limits::IDLE_TIME_MAX)
            .pool_max_idle_per_host(limits::IDLE_MAX)
            .http1_max_buf_size(limits::ANSWER_HEAD_BYTES_MAX)
            // A kept socket may be closed by the other side just when it is taken from the pool. What was certainly not sent, a `POST`
            // too, goes out on a fresh one.
            .retry_canceled_requests(true)
            .build(connector.clone());
        Way { client, connector, dialler }
    }

    /// Opens a socket, says all hellos, and closes it again.
    pub(super) async fn try_out(&self, base: &Url) -> Result<(), Failure> {
        let uri = base.as_str().parse().map_err(|_| Failure::new(FailureKind::Config, "the base url is no address"))?;
        self.connector.clone().call(uri).await.map(drop).map_err(|error| failed(&*error, base.authority()))
    }

    pub(super) async fn request(&self, mut request: Request<Full<Bytes>>) -> Result<Response<Incoming>, ClientError> {
        if request.uri().scheme_str() == Some("http")
            && let Some(value) = self.dialler.proxy_authorization()
        {
            request.headers_mut().insert(header::PROXY_AUTHORIZATION, value);
        }
        self.client.request(request).await
    }

    /// What it means that there was no answer.
    pub(super) fn unanswered(&self, error: &ClientError, host: &str) -> Failure {
        if !error.is_connect() {
            return Failure::new(FailureKind::Unavailable, format!("{host} does not answer: {}", innermost(error)));
        }
        failed(error, host)
    }
}

/// What it means that there was no connection.
fn failed(error: &(dyn Error + 'static), host: &str) -> Failure {
    let (kind, message) = match cause::<DialError>(error) {
        Some(error) => (error.kind(), error.to_string()),
        None => (FailureKind::Unavailable, format!("{host} cannot be connected to: {}", innermost(error))),
    };
    Failure::new(kind, message)
}

/// The first error of a type among the causes of another.
pub(super) fn cause<'a, E: Error + 'static>(error: &'a (dyn Error + 'static)) -> Option<&'a E> {
    std::iter::successors(Some(error), |&error| error.source()).find_map(|error| error.downcast_ref())
}

/// What it comes down to. The errors of hyper, rustls and the system name no header, path or query.
fn innermost<'a>(error: &'a (dyn Error + 'static)) -> &'a (dyn Error + 'static) {
    std::iter::successors(Some(error), |&error| error.source()).last().unwrap_or(error)
}
