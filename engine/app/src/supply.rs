//! Fetching plugins: a file by its address, or the layer of an artifact in an OCI registry.
//!
//! For `weft plugin add` and `fetch` alone, never for a running engine. By TLS, or from this machine; bounded in bytes and time; redirects
//! are followed, and credentials go only to the origin that they are for. Nothing here decides whether what came is to be used:
//! the digest does ([`crate::lock`]). Registries are in `supply/registry.rs`.

mod registry;

use std::time::Duration;

use http_body_util::{BodyExt, Empty};
use hyper::body::Bytes;
use hyper::header::{self, HeaderValue};
use hyper::{HeaderMap, Method, Request, Response, StatusCode, Uri};
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use url::Url;
use weft_host::Digest;

use crate::config::Origin;
use crate::config::origin::is_guarded;

pub use registry::Credentials;

/// What one fetch may take in all: eighty megabytes over a slow line.
const TIME_MAX: Duration = Duration::from_secs(300);

/// Redirects in a row. Registries use one, to where their files lie.
const REDIRECTS_MAX: usize = 5;

/// A registry's manifest or token, in bytes.
const DOCUMENT_BYTES_MAX: u64 = 4 << 20;

/// Why nothing was fetched.
#[derive(Debug, thiserror::Error)]
pub enum SupplyError {
    /// The address leads to where anybody could listen in.
    #[error("{0} is neither https nor on this machine")]
    Unguarded(String),
    /// There was no answer.
    #[error("{host} does not answer: {why}")]
    Unanswered {
        /// Who was asked.
        host: String,
        /// Why.
        why: String,
    },
    /// The answer is not the file.
    #[error("{url} answers {status}{hint}")]
    Status {
        /// What was asked for.
        url: String,
        /// The HTTP status.
        status: u16,
        /// What to do, beginning with a colon; or empty.
        hint: &'static str,
    },
    /// It is larger than what is looked for may be.
    #[error("{url} gives more than {bytes} bytes")]
    TooLarge {
        /// What was asked for.
        url: String,
        /// The bound.
        bytes: u64,
    },
    /// It leads in circles, or elsewhere.
    #[error("{0} redirects more than {REDIRECTS_MAX} times")]
    Redirects(String),
    /// What came is not what the registry or the lock says.
    #[error("{what} has the digest sha256:{is}, and should have {wanted}")]
    Digest {
        /// What came.
        what: String,
        /// What its digest is.
        is: Digest,
        /// What it should be.
        wanted: String,
    },
    /// The registry's answer is no artifact with one plugin in it.
    #[error("{0}")]
    NoPlugin(String),
    /// It took too long.
    #[error("nothing within {} s", TIME_MAX.as_secs())]
    TimedOut,
}

/// Fetches the plugin of an origin that is no file. Where its digest is known (`sha256:…`), that very file or none.
///
/// # Errors
/// [`SupplyError`].
pub async fn fetch(origin: &Origin, digest: Option<&str>, credentials: &Credentials) -> Result<Vec<u8>, SupplyError> {
    let courier = Courier::new();
    let fetching = async {
        match origin {
            Origin::File { written, .. } => Err(SupplyError::NoPlugin(format!("`{written}` is a file, and is not fetched"))),
            Origin::Url(url) => courier.get(url, &HeaderMap::new(), weft_host::limits::PLUGIN_BYTES_MAX).await?.whole(url),
            Origin::Artifact(artifact) => registry::fetch(&courier, artifact, digest, credentials).await,
        }
    };
    let bytes = tokio::time::timeout(TIME_MAX, fetching).await.map_err(|_| SupplyError::TimedOut)??;
    match digest {
        Some(wanted) => holds(bytes, &origin.to_string(), wanted),
        None => Ok(bytes),
    }
}

/// The bytes, if their digest is this one.
fn holds(bytes: Vec<u8>, what: &str, wanted: &str) -> Result<Vec<u8>, SupplyError> {
    let is = Digest::of(&bytes);
    if wanted == format!("sha256:{is}") {
        return Ok(bytes);
    }
    Err(SupplyError::Digest { what: what.to_owned(), is, wanted: wanted.to_owned() })
}

/// Asks, and follows where it is led.
struct Courier {
    client: Client<HttpsConnector<HttpConnector>, Empty<Bytes>>,
}

/// An answer, within its bound.
struct Answer {
    status: StatusCode,
    headers: HeaderMap,
    body: Vec<u8>,
}

impl Answer {
    /// The body of an answer of 200.
    fn whole(self, url: &Url) -> Result<Vec<u8>, SupplyError> {
        if self.status == StatusCode::OK {
            return Ok(self.body);
        }
        let hint = match self.status.as_u16() {
            401 | 403 => {
                ": it wants to know who asks; for a registry, log in with docker, or set WEFT_REGISTRY_USER and WEFT_REGISTRY_PASSWORD"
            }
            404 => ": there is no such thing",
            429 => ": it asks for patience; try again later",
            _ => "",
        };
        Err(SupplyError::Status { url: shown(url), status: self.status.as_u16(), hint })
    }
}

/// An address without what may be a secret in it: registries sign the addresses that they redirect to.
fn shown(url: &Url) -> String {
    let mut url = url.clone();
    url.set_query(None);
    url.to_string()
}

impl Courier {
    fn new() -> Courier {
        let connector = HttpsConnectorBuilder::new().with_webpki_roots().https_or_http().enable_http1().build();
        Courier { client: Client::builder(TokioExecutor::new()).build(connector) }
    }

    /// Asks for something and follows redirects. The headers go along for as long as the origin stays the same.
    async fn get(&self, url: &Url, headers: &HeaderMap, bytes_max: u64) -> Result<Answer, SupplyError> {
        let (mut next, first) = (url.clone(), url.origin());
        for _ in 0..=REDIRECTS_MAX {
            if !is_guarded(&next) {
                return Err(SupplyError::Unguarded(shown(&next)));
            }
            let mut own = headers.clone();
            if next.origin() != first {
                own.remove(header::AUTHORIZATION);
            }
            let response = self.ask(&next, own).await?;
            let location = response.headers().get(header::LOCATION).and_then(|location| location.to_str().ok());
            match location.filter(|_| response.status().is_redirection()).and_then(|location| next.join(location).ok()) {
                Some(location) => next = location,
                None => return read(response, &next, bytes_max).await,
            }
        }
        Err(SupplyError::Redirects(shown(url)))
    }

    async fn ask(&self, url: &Url, headers: HeaderMap) -> Result<Response<hyper::body::Incoming>, SupplyError> {
        let unanswered = |why: String| SupplyError::Unanswered { host: url.authority().to_owned(), why };
        let uri = Uri::try_from(url.as_str()).map_err(|error| unanswered(error.to_string()))?;
        let mut request = Request::new(Empty::new());
        *request.method_mut() = Method::GET;
        *request.uri_mut() = uri;
        *request.headers_mut() = headers;
        let agent = HeaderValue::from_static(concat!("weft/", env!("CARGO_PKG_VERSION")));
        request.headers_mut().insert(header::USER_AGENT, agent);
        self.client.request(request).await.map_err(|error| unanswered(innermost(&error)))
    }
}

/// The whole body, within the bound.
async fn read(response: Response<hyper::body::Incoming>, url: &Url, bytes_max: u64) -> Result<Answer, SupplyError> {
    let (head, mut incoming) = response.into_parts();
    let mut body = Vec::new();
    while let Some(frame) = incoming.frame().await {
        let unanswered = |why: String| SupplyError::Unanswered { host: url.authority().to_owned(), why };
        let frame = frame.map_err(|error| unanswered(innermost(&error)))?;
        if let Some(data) = frame.data_ref() {
            if (body.len() + data.len()) as u64 > bytes_max {
                return Err(SupplyError::TooLarge { url: shown(url), bytes: bytes_max });
            }
            body.extend_from_slice(data);
        }
    }
    Ok(Answer { status: head.status, headers: head.headers, body })
}

/// What an error comes down to: the outer ones say little.
fn innermost(error: &dyn std::error::Error) -> String {
    let mut error = error;
    while let Some(source) = error.source() {
        error = source;
    }
    error.to_string()
}
