//! What sources share to which SDKs and browsers send: credentials, values in a query, and what a browser needs to hear.
//!
//! Whether a key is right is the plugin's to say ([`crate::Secret::equals`]): here it is only read.

use std::borrow::Cow;

use base64::Engine as _;
use base64::engine::general_purpose::{GeneralPurpose, GeneralPurposeConfig};

use crate::contract::{Request, Response};

/// Bytes of a preflight's list of headers that is repeated to it: SDKs ask for three or four.
const ASKED_HEADERS_BYTES_MAX: usize = 1024;

/// Base64 as senders write it: with padding or without, in the standard alphabet or in the one for URLs.
const LENIENT: GeneralPurposeConfig = GeneralPurposeConfig::new()
    .with_decode_padding_mode(base64::engine::DecodePaddingMode::Indifferent)
    .with_decode_allow_trailing_bits(true);
const STANDARD: GeneralPurpose = GeneralPurpose::new(&base64::alphabet::STANDARD, LENIENT);
const URL_SAFE: GeneralPurpose = GeneralPurpose::new(&base64::alphabet::URL_SAFE, LENIENT);

/// What a request's `Authorization` says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Credentials {
    /// There is no such header.
    None,
    /// A user and a password (RFC 7617). The password is empty where none was sent.
    Basic {
        /// What stands before the first colon.
        user: String,
        /// What stands after it.
        password: String,
    },
    /// Another scheme, or what cannot be read: a sender who means to be known and is not.
    Unreadable,
}

impl Credentials {
    /// Those of a request.
    #[must_use]
    pub fn of(request: &Request) -> Self {
        let Some(header) = request.header("authorization") else { return Credentials::None };
        let basic = header.split_once(' ').filter(|(scheme, _)| scheme.eq_ignore_ascii_case("basic"));
        let Some(text) = basic.and_then(|(_, text)| String::from_utf8(STANDARD.decode(text.trim()).ok()?).ok()) else {
            return Credentials::Unreadable;
        };
        let (user, password) = text.split_once(':').unwrap_or((&text, ""));
        Credentials::Basic { user: user.to_owned(), password: password.to_owned() }
    }
}

/// Base64 with padding or without, in either alphabet; none where it is neither.
#[must_use]
pub fn base64_decoded(text: &str) -> Option<Vec<u8>> {
    STANDARD.decode(text).or_else(|_| URL_SAFE.decode(text)).ok()
}

/// The first value of a name in a query, decoded.
#[must_use]
pub fn query<'q>(query: &'q str, name: &str) -> Option<Cow<'q, str>> {
    query
        .split('&')
        .find_map(|pair| pair.split_once('=').filter(|(key, _)| *key == name))
        .map(|(_, value)| percent_decoded(value))
}

/// Decodes `%41`; a `+` stays one, since base64 has it. What is not UTF-8 afterwards, or no escape, stays as it was.
#[must_use]
pub fn percent_decoded(text: &str) -> Cow<'_, str> {
    if !text.contains('%') {
        return Cow::Borrowed(text);
    }
    let (bytes, mut decoded, mut at) = (text.as_bytes(), Vec::with_capacity(text.len()), 0);
    while at < bytes.len() {
        let escape = bytes.get(at + 1..at + 3).filter(|_| bytes[at] == b'%').and_then(|hex| std::str::from_utf8(hex).ok());
        match escape.and_then(|hex| u8::from_str_radix(hex, 16).ok()) {
            Some(byte) => {
                decoded.push(byte);
                at += 3;
            }
            None => {
                decoded.push(bytes[at]);
                at += 1;
            }
        }
    }
    String::from_utf8(decoded).map_or(Cow::Borrowed(text), Cow::Owned)
}

/// Lets pages of every origin send, and read the answer: a key that stands in a page is no cookie, and any site may send that has
/// it. To a preflight it says which headers may be sent: those asked for, else `allowed`.
pub fn cross_origin(response: &mut Response, request: &Request, allowed: &str) {
    let Some(origin) = request.header("origin") else { return };
    let mut add = |name: &str, value: &str| response.headers.push((name.to_owned(), value.to_owned()));
    add("access-control-allow-origin", origin);
    // A beacon is sent in credentials mode, which asks for this and for a named origin.
    add("access-control-allow-credentials", "true");
    add("vary", "Origin");
    if request.method != "OPTIONS" {
        return;
    }
    let harmless = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b',' | b' ');
    let asked = request.header("access-control-request-headers");
    let asked = asked.filter(|asked| asked.len() <= ASKED_HEADERS_BYTES_MAX && asked.bytes().all(harmless));
    add("access-control-allow-methods", "GET, POST, OPTIONS");
    add("access-control-allow-headers", asked.unwrap_or(allowed));
    add("access-control-max-age", "86400");
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::contract::Body;

    fn request(headers: &[(&str, &str)]) -> Request {
        Request {
            method: "POST".into(),
            path: "/".into(),
            query: String::new(),
            headers: headers.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect(),
            body: Body::Bytes(Vec::new()),
            received_ms: 0,
            remote: String::new(),
        }
    }

    #[test]
    fn credentials_are_read_as_senders_write_them() {
        let check = |header: &str, want: Option<(&str, &str)>| {
            let want = want.map_or(Credentials::Unreadable, |(user, password)| Credentials::Basic {
                user: user.into(),
                password: password.into(),
            });
            assert_eq!(Credentials::of(&request(&[("authorization", header)])), want, "{header}");
        };
        check("Basic a2V5OnNlYzpyZXQ=", Some(("key", "sec:ret")));
        check("basic a2V5OnNlYzpyZXQ", Some(("key", "sec:ret")));
        check("Basic a2V5Og==", Some(("key", "")));
        check("Basic a2V5", Some(("key", "")));
        check("Basic ???", None);
        check("Bearer a2V5", None);
        check("", None);
        assert_eq!(Credentials::of(&request(&[])), Credentials::None);
    }

    #[test]
    fn values_of_a_query_are_decoded() {
        let check = |text: &str, want: Option<&str>| assert_eq!(query(text, "k").as_deref(), want, "{text}");
        check("a=1&k=x%2By+z&k=2", Some("x+y+z"));
        check("k=%C3%A4", Some("ä"));
        check("k=%zz%", Some("%zz%"));
        check("k=%ff", Some("%ff"));
        check("kk=1", None);
        assert_eq!(base64_decoded("_-8").or_else(|| base64_decoded("/+8=")), Some(vec![0xff, 0xef]));
        assert_eq!(base64_decoded("?"), None);
    }
}
