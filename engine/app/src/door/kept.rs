//! What is kept of a request beside bytes that its source could not take, so that they can be given to it again: its head, without secrets.
//!
//! A sender is known by a secret of the source's in a header, the path or the query. Each is replaced by the handle under which the
//! configuration knows it, and put back when the request goes again, so that none is written down (invariant 7). What a signature was made of
//! is no secret and is kept. Where a secret cannot be told from the rest, nothing is kept.

use std::borrow::Cow;
use std::collections::BTreeMap;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, percent_decode_str, utf8_percent_encode};
use weft_domain::input::Head;

use crate::config::Secret;

/// The secrets of a source, by handle.
pub type Secrets = BTreeMap<String, Secret>;

/// Headers of which nothing is kept: credentials for somebody else than the source, and how long a body was.
const DROPPED: [&str; 3] = ["cookie", "proxy-authorization", "content-length"];

/// How a part of an address is written: all but what RFC 3986, section 2.3, calls unreserved.
const RESERVED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

/// How a handle begins where it stands in a secret's place.
const BEGINS: &str = "{secret:";

/// The head of a request without the source's secrets; none where they cannot be taken out.
pub(super) fn keep(head: &Head, secrets: &Secrets) -> Option<Head> {
    let secrets = Known::of(secrets)?;
    let mut headers = Vec::with_capacity(head.headers.len());
    for (name, value) in &head.headers {
        let is_dropped = DROPPED.contains(&&**name) || !head.whole && name == "content-encoding";
        let kept = match &**name {
            _ if is_dropped => None,
            "authorization" => secrets.credentials(value),
            _ => Some(secrets.masked(value, Cow::Borrowed)?),
        };
        headers.extend(kept.map(|value| (name.clone(), value)));
    }
    let encoded = |secret| Cow::Owned(utf8_percent_encode(secret, RESERVED).to_string());
    let (path, query) = (secrets.masked(&head.path, encoded)?, secrets.masked(&head.query, encoded)?);
    let kept = Head { path, query, headers, ..head.clone() };
    let is_clean = |text: &str| secrets.is_free(text) && secrets.is_free(&percent_decode_str(text).decode_utf8_lossy());
    let texts = kept.headers.iter().map(|(_, value)| value).chain([&kept.path, &kept.query]);
    let is_clean = texts.into_iter().all(|text| is_clean(text));
    is_clean.then_some(kept)
}

/// The head again as it came, with the source's secrets of today.
///
/// # Errors
/// In words, where a secret is not in the configuration any more.
pub(super) fn restore(kept: &Head, secrets: &Secrets) -> Result<Head, String> {
    let mut headers = Vec::with_capacity(kept.headers.len());
    for (name, value) in &kept.headers {
        let value = filled(value, secrets, |secret| secret)?;
        let value = match value.strip_prefix("Basic ").filter(|_| name == "authorization") {
            Some(text) => format!("Basic {}", STANDARD.encode(text)),
            None => value,
        };
        headers.push((name.clone(), value));
    }
    let encoded = |secret: String| utf8_percent_encode(&secret, RESERVED).to_string();
    let (path, query) = (filled(&kept.path, secrets, encoded)?, filled(&kept.query, secrets, encoded)?);
    Ok(Head { path, query, headers, ..kept.clone() })
}

/// The secrets of a source, the longest first: one may begin like another.
struct Known(Vec<(String, String)>);

impl Known {
    /// None where a handle could not be told from what stands around it.
    fn of(secrets: &Secrets) -> Option<Known> {
        let mut known: Vec<(String, String)> =
            secrets.iter().map(|(handle, secret)| (format!("{{{handle}}}"), secret.expose_text())).collect();
        known.retain(|(_, text)| !text.is_empty());
        known.sort_by_key(|(_, text)| std::cmp::Reverse(text.len()));
        let is_plain = |(mark, _): &(String, String)| mark.starts_with(BEGINS) && mark.find('}') == Some(mark.len() - 1);
        known.iter().all(is_plain).then_some(Known(known))
    }

    /// A text with handles in the place of secrets, as they are and as `written`. None where it has something already that looks like a handle.
    fn masked<'s>(&'s self, text: &str, written: impl Fn(&'s str) -> Cow<'s, str>) -> Option<String> {
        if text.contains(BEGINS) {
            return None;
        }
        let mut parts: Vec<Result<String, &str>> = vec![Ok(text.to_owned())];
        for (mark, secret) in &self.0 {
            let mut next = Vec::with_capacity(parts.len());
            for part in parts {
                match part {
                    Ok(text) => divide(&text, &[&*written(secret), secret], mark, &mut next),
                    mark => next.push(mark),
                }
            }
            parts = next;
        }
        Some(parts.iter().map(|part| part.as_ref().map_or_else(|mark| *mark, String::as_str)).collect())
    }

    /// What is kept of `authorization`: what is a secret of the source's there, and the name that goes with one. Passwords and tokens that are none
    /// of its own are nobody's business.
    fn credentials(&self, value: &str) -> Option<String> {
        let (scheme, rest) = value.split_once(' ')?;
        let rest = rest.trim();
        let mark = |text: &str| self.0.iter().find(|(_, secret)| secret == text).map(|(mark, _)| mark.as_str());
        if !scheme.eq_ignore_ascii_case("basic") {
            return mark(rest).map(|mark| format!("{scheme} {mark}"));
        }
        let text = String::from_utf8(STANDARD.decode(rest).ok()?).ok()?;
        let (user, password) = text.split_once(':').unwrap_or((&text, ""));
        let (name, word) = (mark(user), mark(password));
        if name.is_none() && (word.is_none() || user.contains(BEGINS)) {
            return None;
        }
        Some(format!("Basic {}:{}", name.unwrap_or(user), word.unwrap_or_default()))
    }

    fn is_free(&self, text: &str) -> bool {
        self.0.iter().all(|(_, secret)| !text.contains(&**secret))
    }
}

/// Divides a text at whatever is one of `needles`, with `mark` in their places.
fn divide<'m>(text: &str, needles: &[&str], mark: &'m str, into: &mut Vec<Result<String, &'m str>>) {
    let mut rest = text;
    loop {
        let places = needles.iter().filter_map(|needle| Some((rest.find(needle)?, needle.len())));
        let found = places.min_by_key(|(at, length)| (*at, std::cmp::Reverse(*length)));
        let Some((at, length)) = found else { break };
        into.push(Ok(rest[..at].to_owned()));
        into.push(Err(mark));
        rest = &rest[at + length..];
    }
    into.push(Ok(rest.to_owned()));
}

/// A text with secrets in the place of their handles.
fn filled(text: &str, secrets: &Secrets, write: impl Fn(String) -> String) -> Result<String, String> {
    let (mut whole, mut rest) = (String::with_capacity(text.len()), text);
    while let Some((before, after)) = rest.split_once(BEGINS) {
        let (pointer, after) = after.split_once('}').ok_or("its head cannot be read")?;
        let secret = secrets.get(&format!("secret:{pointer}")).ok_or_else(|| {
            format!(
                "its sender was known by the secret at `{pointer}` of the source's configuration, which is not there any more"
            )
        })?;
        whole.push_str(before);
        whole.push_str(&write(secret.expose_text()));
        rest = after;
    }
    Ok(whole + rest)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn secrets() -> Secrets {
        let secret = |handle: &str, text: &str| (format!("secret:{handle}"), Secret::new(text));
        Secrets::from([secret("/keys/0", "k/1+x"), secret("/keys/1", "k/1+x-longer"), secret("/password", "pass word")])
    }

    fn head(path: &str, query: &str, headers: &[(&str, &str)]) -> Head {
        let headers = headers.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        let (method, remote) = ("POST".to_owned(), "192.0.2.1".to_owned());
        Head { method, path: path.into(), query: query.into(), headers, remote, whole: true }
    }

    fn basic(text: &str) -> String {
        format!("Basic {}", STANDARD.encode(text))
    }

    #[test]
    fn secrets_are_taken_out_and_put_back() {
        let check = |sent: &Head, kept: &Head| {
            assert_eq!(keep(sent, &secrets()).as_ref(), Some(kept));
            assert_eq!(restore(kept, &secrets()).as_ref(), Ok(sent));
        };
        let plain = head("/v1/track", "a=b%20c", &[("content-type", "text/plain"), ("x-signature", "sha256=00ff")]);
        check(&plain, &plain);
        check(
            &head("/JS/k%2F1%2Bx/events", "key=k%2F1%2Bx-longer&a=1", &[("x-key", "k/1+x-longer"), ("x-two", "k/1+x,pass word")]),
            &head(
                "/JS/{secret:/keys/0}/events",
                "key={secret:/keys/1}&a=1",
                &[("x-key", "{secret:/keys/1}"), ("x-two", "{secret:/keys/0},{secret:/password}")],
            ),
        );
        check(
            &head("/", "", &[("authorization", "Bearer k/1+x")]),
            &head("/", "", &[("authorization", "Bearer {secret:/keys/0}")]),
        );
        check(
            &head("/", "", &[("authorization", &basic("acme-ios:pass word"))]),
            &head("/", "", &[("authorization", "Basic acme-ios:{secret:/password}")]),
        );
        check(
            &head("/", "", &[("authorization", &basic("k/1+x:"))]),
            &head("/", "", &[("authorization", "Basic {secret:/keys/0}:")]),
        );
    }

    #[test]
    fn what_others_are_known_by_is_not_kept() {
        let (somebody, ours) = (basic("ann:her password"), basic("k/1+x:her password"));
        let sent = [("cookie", "a=b"), ("proxy-authorization", "Basic x"), ("authorization", &*somebody), ("accept", "*/*")];
        assert_eq!(keep(&head("/", "", &sent), &secrets()), Some(head("/", "", &[("accept", "*/*")])));
        let kept = keep(&head("/", "", &[("authorization", &ours)]), &secrets()).expect("is kept");
        assert_eq!(kept.headers, [("authorization".to_owned(), "Basic {secret:/keys/0}:".to_owned())]);
        assert_eq!(
            keep(&head("/", "", &[("authorization", "Digest k/1+x, b")]), &secrets()).map(|kept| kept.headers),
            Some(vec![])
        );
    }

    #[test]
    fn nothing_is_kept_where_a_secret_would_be() {
        for (path, query, header) in [
            ("/k%2f1+x", "", ""),
            ("/", "key=%6b/1%2bx", ""),
            ("/", "", "k%2F1+x"),
            ("/", "", "{secret:/keys/0}"),
            ("/{secret:/keys/0}", "", ""),
        ] {
            assert_eq!(keep(&head(path, query, &[("x", header)]), &secrets()), None, "{path} {query} {header}");
        }
    }

    #[test]
    fn a_secret_that_was_replaced_is_named() {
        let kept = head("/", "key={secret:/keys/7}", &[]);
        let why = restore(&kept, &secrets()).expect_err("there are two keys");
        assert!(why.contains("the secret at `/keys/7` of the source's configuration"), "{why}");
        let renewed = Secrets::from([("secret:/keys/7".to_owned(), Secret::new("new&"))]);
        assert_eq!(restore(&kept, &renewed).map(|head| head.query), Ok("key=new%26".into()));
    }
}
