//! What a request says about itself: the plugin's headers, and the credentials that the host adds.
//!
//! A plugin neither sees nor sets the header that carries the credentials (invariant 7), nor one that frames the message.

use std::fmt;
use std::sync::Arc;

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use hyper::header::{self, HeaderMap, HeaderName, HeaderValue};

use super::{EgressError, limits};

/// Bytes that are never shown.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(Arc<[u8]>);

impl From<Arc<[u8]>> for Secret {
    fn from(bytes: Arc<[u8]>) -> Self {
        Secret(bytes)
    }
}

impl From<&[u8]> for Secret {
    fn from(bytes: &[u8]) -> Self {
        Secret(bytes.into())
    }
}

impl From<&str> for Secret {
    fn from(text: &str) -> Self {
        Secret(text.as_bytes().into())
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("[secret]")
    }
}

/// How a connection proves who it is.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Auth {
    /// Not at all; the plugin may set `authorization` itself.
    #[default]
    None,
    /// `authorization: Bearer …` (RFC 6750).
    Bearer(Secret),
    /// `authorization: Basic …` (RFC 7617).
    Basic {
        /// Without a colon.
        user: String,
        /// May be empty: some APIs take a key as the user.
        password: Secret,
    },
    /// A header of the API's own, such as `x-api-key`.
    Header {
        /// Its name.
        name: String,
        /// Its value.
        value: Secret,
    },
}

/// The header that carries the credentials.
#[derive(Clone)]
pub(super) struct Credentials {
    pub(super) name: HeaderName,
    pub(super) value: HeaderValue,
}

impl Auth {
    pub(super) fn credentials(&self) -> Result<Option<Credentials>, EgressError> {
        let invalid = EgressError::Auth;
        let (name, value) = match self {
            Auth::None => return Ok(None),
            Auth::Bearer(token) if token.0.is_empty() => return Err(invalid("the token is empty")),
            Auth::Bearer(token) => (header::AUTHORIZATION, [b"Bearer ", &*token.0].concat()),
            Auth::Basic { user, .. } if user.contains(':') => return Err(invalid("the user has a colon")),
            Auth::Basic { user, password } => {
                let pair = [user.as_bytes(), b":", &password.0].concat();
                (header::AUTHORIZATION, format!("Basic {}", BASE64_STANDARD.encode(pair)).into_bytes())
            }
            Auth::Header { value, .. } if value.0.is_empty() => return Err(invalid("the header's value is empty")),
            Auth::Header { name, value } => {
                let name =
                    HeaderName::from_bytes(name.as_bytes()).map_err(|_| invalid("the header's name is no name of a header"))?;
                if is_host_only(&name) {
                    return Err(invalid("the header is not free to be set"));
                }
                (name, value.0.to_vec())
            }
        };
        let mut value =
            HeaderValue::from_bytes(&value).map_err(|_| invalid("the secret has a line break or a control character"))?;
        // Keeps it out of the `Debug` of every request.
        value.set_sensitive(true);
        Ok(Some(Credentials { name, value }))
    }
}

/// The plugin's headers, checked.
pub(super) fn checked(headers: &[(String, String)], credentials: Option<&Credentials>) -> Result<HeaderMap, String> {
    let bytes: usize = headers.iter().map(|(name, value)| name.len() + value.len()).sum();
    if headers.len() > weft_host::limits::HEADERS_MAX || bytes > limits::HEADERS_BYTES_MAX {
        return Err("the request has too many headers".into());
    }
    let mut checked = HeaderMap::with_capacity(headers.len() + 3);
    for (name, value) in headers {
        // A wrong name is not repeated: it may be the attempt to smuggle in a line.
        let name = HeaderName::from_bytes(name.as_bytes()).map_err(|_| "a header's name is no name of a header")?;
        let value = HeaderValue::from_bytes(value.as_bytes())
            .map_err(|_| format!("the header `{name}` has a line break or a control character"))?;
        if is_host_only(&name) {
            return Err(format!("the header `{name}` is the host's to set"));
        }
        if credentials.is_some_and(|credentials| credentials.name == name) {
            return Err(format!("the header `{name}` carries the connection's credentials"));
        }
        checked.append(name, value);
    }
    Ok(checked)
}

/// Headers that frame the message, choose the host, speak to proxies, or ask for what [`super::answer`] must understand.
fn is_host_only(name: &HeaderName) -> bool {
    const HOST_ONLY: [HeaderName; 10] = [
        header::HOST,
        header::CONTENT_LENGTH,
        header::TRANSFER_ENCODING,
        header::CONNECTION,
        header::UPGRADE,
        header::TE,
        header::TRAILER,
        header::EXPECT,
        header::ACCEPT_ENCODING,
        header::PROXY_AUTHORIZATION,
    ];
    HOST_ONLY.contains(name) || matches!(name.as_str(), "keep-alive" | "proxy-connection")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn credentials_become_a_header_that_is_not_shown() {
        let check = |auth: Auth, name: &str, value: &str| {
            let credentials = auth.credentials().expect("valid").expect("some");
            assert_eq!((credentials.name.as_str(), credentials.value.as_bytes()), (name, value.as_bytes()));
            let shown = format!("{auth:?} {:?}", credentials.value);
            assert!(!shown.contains("s3cret") && !shown.contains("czNjcmV0"), "{shown}");
        };
        check(Auth::Bearer("s3cret".into()), "authorization", "Bearer s3cret");
        // The example of RFC 7617, section 2.
        check(
            Auth::Basic { user: "Aladdin".into(), password: "open sesame".into() },
            "authorization",
            "Basic QWxhZGRpbjpvcGVuIHNlc2FtZQ==",
        );
        check(Auth::Basic { user: "key".into(), password: "".into() }, "authorization", "Basic a2V5Og==");
        check(Auth::Header { name: "X-Api-Key".into(), value: "s3cret".into() }, "x-api-key", "s3cret");
    }

    #[test]
    fn credentials_that_cannot_be_sent_are_found_at_the_start() {
        let check = |auth: Auth| {
            let Err(error) = auth.credentials() else { panic!("{auth:?} passes") };
            assert!(!error.to_string().contains("s3cret"), "{error}");
        };
        check(Auth::Bearer("".into()));
        check(Auth::Bearer("s3cret\n".into()));
        check(Auth::Bearer("s3cret\r\nx: y".into()));
        check(Auth::Basic { user: "a:b".into(), password: "s3cret".into() });
        check(Auth::Header { name: "x-api-key".into(), value: "".into() });
        check(Auth::Header { name: "x api key".into(), value: "s3cret".into() });
        check(Auth::Header { name: "Host".into(), value: "s3cret".into() });
        check(Auth::Header { name: "content-length".into(), value: "s3cret".into() });
    }

    #[test]
    fn a_plugin_sets_only_headers_that_are_its_own() {
        let check = |auth: &Auth, name: &str, value: &str, is_ok: bool| {
            let credentials = auth.credentials().expect("valid");
            let headers = [("x-first".to_owned(), "1".to_owned()), (name.to_owned(), value.to_owned())];
            assert_eq!(checked(&headers, credentials.as_ref()).is_ok(), is_ok, "{name}: {value}");
        };
        let (none, bearer) = (Auth::None, Auth::Bearer("s3cret".into()));
        let key = Auth::Header { name: "x-api-key".into(), value: "s3cret".into() };
        check(&none, "content-type", "application/json", true);
        check(&none, "X-Trace", "käse", true);
        check(&none, "x-first", "2", true);
        check(&none, "authorization", "Bearer own", true);
        check(&key, "authorization", "Bearer own", true);
        check(&bearer, "authorization", "Bearer own", false);
        check(&bearer, "AUTHORIZATION", "", false);
        check(&key, "X-API-KEY", "own", false);
        for name in [
            "Host",
            "content-length",
            "Transfer-Encoding",
            "connection",
            "upgrade",
            "TE",
            "expect",
            "keep-alive",
            "proxy-authorization",
        ] {
            check(&none, name, "x", false);
        }
        check(&none, "accept-encoding", "br", false);
        for (name, value) in
            [("x-a", "1\r\nx-b: 2"), ("x-a", "1\n"), ("x-a", "\0"), ("x-a\r\nx-b", "1"), ("x a", "1"), ("", "1"), ("x-a:", "1")]
        {
            check(&none, name, value, false);
        }
        check(&none, "x-long", &"x".repeat(limits::HEADERS_BYTES_MAX), false);
    }
}
