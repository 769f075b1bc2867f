//! How a connection proves who it is, on each request anew: what the configuration says, as headers.
//!
//! Tokens are had in `auth/token.rs` with assertions of `auth/assertion.rs`; signatures are in `auth/signature.rs` and
//! `auth/aws.rs`.

mod assertion;
mod aws;
mod signature;
mod token;

use std::sync::Arc;

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use http_body_util::Full;
use hyper::Request;
use hyper::body::Bytes;
use hyper::header::{self, HeaderName};
use weft_domain::value::Timestamp;
use weft_host::{Failure, FailureKind};

use super::EgressError;
use super::head::hidden;
use crate::config::connection::{AwsV4, Hmac, is_host_only};
use crate::config::{Auth, Secret};

pub(super) use assertion::assertion;
pub(super) use token::{Token, Tokens};

/// The means of proof.
pub(super) enum Proof {
    /// None: the plugin may set `authorization` itself.
    None,
    /// The same header on each request.
    Header(HeaderName, Shown),
    /// A bearer token, had when it is needed.
    Token(Arc<Tokens>),
    /// A signature under a shared secret.
    Hmac(Box<Signer>),
    /// AWS Signature Version 4.
    AwsV4(Box<AwsV4>),
}

/// What a header shows.
pub(super) enum Shown {
    Bearer(Secret),
    Basic { user: String, password: Secret },
    Plain(Secret),
}

/// HMAC, with the names of its headers read.
pub(super) struct Signer {
    pub(super) hmac: Hmac,
    pub(super) header: HeaderName,
    pub(super) timestamp_header: Option<HeaderName>,
}

impl Proof {
    /// The means that need nothing from outside. OAuth is not among them: see [`Tokens`].
    pub(super) fn of(auth: Option<Auth>) -> Result<Proof, EgressError> {
        let proof = match auth {
            None | Some(Auth::OAuth2(_)) => Proof::None,
            Some(Auth::Bearer(token)) => Proof::Header(header::AUTHORIZATION, Shown::Bearer(token)),
            Some(Auth::Basic { user, password }) => Proof::Header(header::AUTHORIZATION, Shown::Basic { user, password }),
            Some(Auth::Header { name, value }) => Proof::Header(free(&name)?, Shown::Plain(value)),
            Some(Auth::Hmac(hmac)) => {
                let (header, timestamp_header) = (free(&hmac.header)?, hmac.timestamp_header.as_deref().map(free).transpose()?);
                if timestamp_header.as_ref() == Some(&header) {
                    return Err(EgressError::Auth("signature and time have the same header"));
                }
                Proof::Hmac(Box::new(Signer { hmac, header, timestamp_header }))
            }
            Some(Auth::AwsV4(aws)) => Proof::AwsV4(Box::new(aws)),
        };
        match &proof {
            Proof::Header(_, shown) => drop(shown.value().map_err(EgressError::Auth)?),
            Proof::Hmac(signer) if signer.hmac.secret.is_empty() => return Err(EgressError::Auth("the secret is empty")),
            Proof::AwsV4(aws) if aws.secret_access_key.is_empty() => return Err(EgressError::Auth("the access key is empty")),
            _ => (),
        }
        Ok(proof)
    }

    /// Whether it sets this header, which is then no plugin's to set.
    pub(super) fn sets(&self, name: &HeaderName) -> bool {
        match self {
            Proof::None => false,
            Proof::Header(own, _) => own == name,
            Proof::Token(_) => *name == header::AUTHORIZATION,
            Proof::Hmac(signer) => signer.header == *name || signer.timestamp_header.as_ref() == Some(name),
            Proof::AwsV4(_) => *name == header::AUTHORIZATION || aws::sets(name),
        }
    }

    /// Puts the proof into a request; the token, if it is one.
    pub(super) async fn put(
        &self,
        request: &mut Request<Full<Bytes>>,
        body: &[u8],
        now: Timestamp,
    ) -> Result<Option<Arc<Token>>, Failure> {
        // Renewed secrets are looked at here for the first time.
        let unfit = |reason| Failure::new(FailureKind::Credentials, format!("the credentials cannot be sent: {reason}"));
        match self {
            Proof::None => (),
            Proof::Header(name, shown) => {
                let value = shown.value().map_err(unfit)?;
                request.headers_mut().insert(name.clone(), value);
            }
            Proof::Token(tokens) => {
                let token = tokens.get(None).await?;
                request.headers_mut().insert(header::AUTHORIZATION, token.header());
                return Ok(Some(token));
            }
            Proof::Hmac(signer) => signer.sign(request, body, now).map_err(unfit)?,
            Proof::AwsV4(aws) => aws::sign(aws, request, body, now).map_err(unfit)?,
        }
        Ok(None)
    }
}

impl Shown {
    fn value(&self) -> Result<header::HeaderValue, &'static str> {
        match self {
            Shown::Bearer(token) if token.is_empty() => Err("the token is empty"),
            Shown::Bearer(token) => bearer(&token.expose()),
            Shown::Basic { user, .. } if user.contains(':') => Err("the user has a colon"),
            Shown::Basic { user, password } => basic(user.as_bytes(), &password.expose()),
            Shown::Plain(value) if value.is_empty() => Err("the header's value is empty"),
            Shown::Plain(value) => hidden(&value.expose()),
        }
    }
}

/// `Bearer …` (RFC 6750).
fn bearer(token: &[u8]) -> Result<header::HeaderValue, &'static str> {
    hidden(&[b"Bearer ", token].concat())
}

/// `Basic …` (RFC 7617).
pub(super) fn basic(user: &[u8], password: &[u8]) -> Result<header::HeaderValue, &'static str> {
    hidden(format!("Basic {}", BASE64_STANDARD.encode([user, b":", password].concat())).as_bytes())
}

fn free(name: &str) -> Result<HeaderName, EgressError> {
    if is_host_only(name) {
        return Err(EgressError::Auth("the header is not free to be set"));
    }
    HeaderName::from_bytes(name.as_bytes()).map_err(|_| EgressError::Auth("the header's name is no name of a header"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn credentials_become_a_header_that_is_not_shown() {
        let check = async |auth: Auth, name: &str, value: &str| {
            let proof = Proof::of(Some(auth.clone())).expect("valid");
            let mut request = Request::new(Full::default());
            assert!(proof.put(&mut request, b"", Timestamp(0)).await.expect("is put").is_none());
            assert_eq!(request.headers()[name].as_bytes(), value.as_bytes());
            let shown = format!("{auth:?} {request:?}");
            assert!(!shown.contains("s3cret") && !shown.contains("czNjcmV0"), "{shown}");
        };
        check(Auth::Bearer("s3cret".into()), "authorization", "Bearer s3cret").await;
        // The example of RFC 7617, section 2.
        let (user, password) = ("Aladdin".into(), "open sesame".into());
        check(Auth::Basic { user, password }, "authorization", "Basic QWxhZGRpbjpvcGVuIHNlc2FtZQ==").await;
        check(Auth::Basic { user: "key".into(), password: "".into() }, "authorization", "Basic a2V5Og==").await;
        check(Auth::Header { name: "X-Api-Key".into(), value: "s3cret".into() }, "x-api-key", "s3cret").await;
    }

    #[test]
    fn credentials_that_cannot_be_sent_are_found_at_the_start() {
        let check = |auth: Auth| {
            let Err(error) = Proof::of(Some(auth.clone())) else { panic!("{auth:?} passes") };
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
}
