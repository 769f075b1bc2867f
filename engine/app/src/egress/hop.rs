//! One request on its way: what the plugin asked for, and what a redirect makes of it.

use http_body_util::Full;
use hyper::body::Bytes;
use hyper::header::{self, HeaderMap, HeaderName, HeaderValue};
use hyper::{Method, Request, Response, Uri};
use url::Url;

use super::target::Base;

const IDEMPOTENCY_KEY: HeaderName = HeaderName::from_static("idempotency-key");

/// One request on its way: the plugin's own, or where a redirect leads it.
pub(super) struct Hop {
    method: Method,
    url: Url,
    uri: Uri,
    headers: HeaderMap,
    pub(super) body: Bytes,
    pub(super) reach: Reach,
}

#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Reach {
    /// Where the plugin may send requests, with credentials.
    Own,
    /// Elsewhere at the host, and wherever that leads: without anything that is ours.
    Foreign,
}

impl Hop {
    pub(super) fn new(method: Method, url: Url, headers: HeaderMap, body: Bytes, reach: Reach) -> Result<Hop, &'static str> {
        let uri = Uri::try_from(url.as_str()).map_err(|_| "the target is no valid path and query")?;
        Ok(Hop { method, url, uri, headers, body, reach })
    }

    /// The request as it goes out, but for what the configuration adds.
    pub(super) fn request(&self) -> Request<Full<Bytes>> {
        let mut request = Request::new(Full::new(self.body.clone()));
        *request.method_mut() = self.method.clone();
        *request.uri_mut() = self.uri.clone();
        *request.headers_mut() = self.headers.clone();
        request.headers_mut().insert(header::ACCEPT_ENCODING, HeaderValue::from_static("gzip"));
        request
    }

    /// Whether doing it twice is the same as doing it once (RFC 9110, section 9.2.2).
    pub(super) fn is_idempotent(&self) -> bool {
        matches!(self.method, Method::GET | Method::HEAD | Method::PUT | Method::DELETE)
            || self.headers.contains_key(IDEMPOTENCY_KEY)
    }

    /// The request that an answer asks for; none where the answer is the end, `Err` where it leads to what is not followed.
    pub(super) fn after<B>(&self, response: &Response<B>, base: &Base) -> Result<Option<Hop>, &'static str> {
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
