//! Requests signed under a shared secret (HMAC, RFC 2104), in the ways that receivers of webhooks check.

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use hmac::{Hmac as Hashed, KeyInit, Mac};
use http_body_util::Full;
use hyper::Request;
use hyper::body::Bytes;
use hyper::header::HeaderValue;
use sha1::Sha1;
use sha2::{Sha256, Sha512};
use weft_domain::value::Timestamp;

use super::Signer;
use super::hidden;
use crate::config::connection::{HmacAlgorithm, HmacEncoding, Part, Template};

impl Signer {
    pub(super) fn sign(&self, request: &mut Request<Full<Bytes>>, body: &[u8], now: Timestamp) -> Result<(), &'static str> {
        let timestamp = now.0.div_euclid(1_000).to_string();
        let message = fill(&self.hmac.signs, request, body, &timestamp);
        let secret = self.hmac.secret.expose();
        let signature = match self.hmac.algorithm {
            HmacAlgorithm::Sha1 => mac::<Hashed<Sha1>>(&secret, &message),
            HmacAlgorithm::Sha256 => mac::<Hashed<Sha256>>(&secret, &message),
            HmacAlgorithm::Sha512 => mac::<Hashed<Sha512>>(&secret, &message),
        };
        let mut value = fill(&self.hmac.prefix, request, &[], &timestamp);
        value.extend_from_slice(
            match self.hmac.encoding {
                HmacEncoding::Hex => hex(&signature),
                HmacEncoding::Base64 => BASE64_STANDARD.encode(&signature),
            }
            .as_bytes(),
        );
        request.headers_mut().insert(self.header.clone(), hidden(&value)?);
        if let Some(name) = &self.timestamp_header {
            let value = HeaderValue::from_str(&timestamp).map_err(|_| "the time is no header")?;
            request.headers_mut().insert(name.clone(), value);
        }
        Ok(())
    }
}

fn fill(template: &Template, request: &Request<Full<Bytes>>, body: &[u8], timestamp: &str) -> Vec<u8> {
    let mut filled = Vec::new();
    for part in template.parts() {
        filled.extend_from_slice(match part {
            Part::Text(text) => text.as_bytes(),
            Part::Body => body,
            Part::Timestamp => timestamp.as_bytes(),
            Part::Method => request.method().as_str().as_bytes(),
            Part::Target => request.uri().path_and_query().map_or("/", |target| target.as_str()).as_bytes(),
        });
    }
    filled
}

pub(super) fn mac<M: Mac + KeyInit>(secret: &[u8], message: &[u8]) -> Vec<u8> {
    let mut mac = <M as KeyInit>::new_from_slice(secret).expect("HMAC takes a key of any length (RFC 2104)");
    mac.update(message);
    mac.finalize().into_bytes().to_vec()
}

pub(super) fn hex(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    bytes.iter().flat_map(|byte| [byte >> 4, byte & 15]).map(|digit| char::from(DIGITS[usize::from(digit)])).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Auth;
    use crate::config::connection::Hmac;
    use crate::egress::auth::Proof;

    #[tokio::test]
    async fn a_request_is_signed_as_receivers_check_it() {
        let check = async |hmac: Hmac, body: &str, now_s: i64, want: &[(&str, &str)]| {
            let proof = Proof::of(Some(Auth::Hmac(hmac))).expect("valid");
            let mut request = Request::post("https://hooks.example/in?x=1").body(Full::default()).expect("a request");
            proof.put(&mut request, body.as_bytes(), Timestamp(now_s * 1_000 + 999)).await.expect("signs");
            for (name, value) in want {
                assert_eq!(request.headers()[*name], value, "{name}");
            }
        };
        let hmac = |secret: &str, header: &str, signs: &str, prefix: &str| Hmac {
            secret: secret.into(),
            algorithm: HmacAlgorithm::Sha256,
            header: header.into(),
            signs: Template::signed(signs).expect("valid"),
            encoding: HmacEncoding::Hex,
            prefix: Template::prefix(prefix).expect("valid"),
            timestamp_header: None,
        };
        // The example of GitHub's documentation on validating webhook deliveries.
        let github = hmac("It's a Secret to Everybody", "X-Hub-Signature-256", "{body}", "sha256=");
        let signature = "sha256=757107ea0eb2509fc211221cce984b8a37570b6d7586c22c46f4379c8b043e17";
        check(github, "Hello, World!", 0, &[("x-hub-signature-256", signature)]).await;
        // The example of Slack's documentation on verifying requests.
        let slack = Hmac {
            timestamp_header: Some("X-Slack-Request-Timestamp".into()),
            ..hmac("8f742231b10e8888abcd99yyyzzz85a5", "X-Slack-Signature", "v0:{timestamp}:{body}", "v0=")
        };
        let body = "token=xyzz0WbapA4vBCDEFasx0q6G&team_id=T1DC2JH3J&team_domain=testteamnow&channel_id=G8PSS9T3V&\
            channel_name=foobar&user_id=U2CERLKJA&user_name=roadrunner&command=%2Fwebhook-collect&text=&\
            response_url=https%3A%2F%2Fhooks.slack.com%2Fcommands%2FT1DC2JH3J%2F397700885554%2F96rGlfmibIGlgcZRskXaIFfN&\
            trigger_id=398738663015.47445629121.803a0bc887a14d10d2c447fce8b6703c";
        let signature = "v0=a2114d57b48eac39b9ad189dd8316235a7b4a8d21a10bd27519666489c69b503";
        check(slack, body, 1_531_420_618, &[("x-slack-signature", signature), ("x-slack-request-timestamp", "1531420618")]).await;
        // RFC 4231, test case 2, and the same in SHA-1 (RFC 2202, test case 2).
        let jefe = || hmac("Jefe", "x-signature", "{body}", "");
        let message = "what do ya want for nothing?";
        let base64 = Hmac { encoding: HmacEncoding::Base64, ..jefe() };
        check(base64, message, 0, &[("x-signature", "W9zBRr9gdU5qBCQmCJV1x1oAPwidJzmDnexYuWTsOEM=")]).await;
        let sha1 = Hmac { algorithm: HmacAlgorithm::Sha1, ..jefe() };
        check(sha1, message, 0, &[("x-signature", "effcdf6ae5eb2fa2d27416d5f184df9c259a7c79")]).await;
        let stripe = hmac("Jefe", "Stripe-Signature", "what do ya {timestamp} {body}", "t={timestamp},v1=");
        let request = async |now_s: i64| {
            let mut request = Request::post("https://hooks.example/in?x=1").body(Full::default()).expect("a request");
            let proof = Proof::of(Some(Auth::Hmac(stripe.clone()))).expect("valid");
            proof.put(&mut request, b"x", Timestamp(now_s * 1_000)).await.expect("signs");
            request.headers()["stripe-signature"].to_str().expect("ASCII").to_owned()
        };
        let (first, second) = (request(1).await, request(2).await);
        assert!(first.starts_with("t=1,v1=") && second.starts_with("t=2,v1=") && first[7..] != second[7..], "{first} {second}");
    }
}
