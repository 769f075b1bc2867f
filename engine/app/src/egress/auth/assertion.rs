//! A signed assertion for a token (RFC 7523): a JSON Web Token (RFC 7519) under RS256 (RFC 7518, section 3.3).

use base64::Engine as _;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use ring::rand::SystemRandom;
use ring::signature::RSA_PKCS1_SHA256;
use serde_json::json;
use weft_domain::value::Timestamp;

use crate::config::Secret;
use crate::config::connection::rsa_key;
use crate::egress::limits;

/// What an assertion says.
pub(in super::super) struct Claims<'a> {
    pub(in super::super) issuer: &'a str,
    pub(in super::super) subject: Option<&'a str>,
    pub(in super::super) audience: &'a str,
    pub(in super::super) scopes: &'a [String],
    pub(in super::super) key_id: Option<&'a str>,
}

/// The assertion, good from now on for some minutes.
pub(in super::super) fn assertion(claims: &Claims<'_>, key: &Secret, now: Timestamp) -> Result<String, &'static str> {
    let key = rsa_key(key)?;
    let now_s = now.0.div_euclid(1_000);
    let mut head = json!({ "alg": "RS256", "typ": "JWT" });
    if let Some(key_id) = claims.key_id {
        head["kid"] = json!(key_id);
    }
    let expires = now_s.saturating_add_unsigned(limits::ASSERTION_LIFE.as_secs());
    let mut body = json!({ "iss": claims.issuer, "aud": claims.audience, "iat": now_s, "exp": expires });
    if let Some(subject) = claims.subject {
        body["sub"] = json!(subject);
    }
    if !claims.scopes.is_empty() {
        body["scope"] = json!(claims.scopes.join(" "));
    }
    let part = |value: &serde_json::Value| BASE64_URL_SAFE_NO_PAD.encode(value.to_string());
    let signed = format!("{}.{}", part(&head), part(&body));
    let mut signature = vec![0; key.public().modulus_len()];
    key.sign(&RSA_PKCS1_SHA256, &SystemRandom::new(), signed.as_bytes(), &mut signature).map_err(|_| "it cannot sign")?;
    Ok(format!("{signed}.{}", BASE64_URL_SAFE_NO_PAD.encode(signature)))
}
