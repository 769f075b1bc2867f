//! Where a request goes: a plugin's target under the connection's `base_url`, and a redirect within the same host.
//!
//! A target is only ever put behind the base path, so that it cannot name another scheme, host or port. What a server may read as a
//! way up (dots, also percent-encoded, also behind backslashes or before a `;`) is refused instead of being tidied up: somebody tries.

use url::Url;

use super::{EgressError, limits};

/// A connection's `base_url`, whose path ends with `/`.
#[derive(Clone, Debug)]
pub(super) struct Base(Url);

impl Base {
    pub(super) fn new(mut url: Url) -> Result<Base, EgressError> {
        let invalid = |reason| Err(EgressError::BaseUrl(reason));
        if !matches!(url.scheme(), "http" | "https") {
            return invalid("it begins with neither `https://` nor `http://`");
        }
        if url.host_str().is_none_or(str::is_empty) {
            return invalid("it names no host");
        }
        if has_userinfo(&url) {
            return invalid("credentials belong in `auth`");
        }
        if url.query().is_some() || url.fragment().is_some() {
            return invalid("it has a query or a fragment");
        }
        if !url.path().ends_with('/') {
            url.set_path(&format!("{}/", url.path()));
        }
        Ok(Base(url))
    }

    pub(super) fn url(&self) -> &Url {
        &self.0
    }

    /// Host and port as a person would write them.
    pub(super) fn authority(&self) -> &str {
        self.0.authority()
    }

    /// The URL of a target. One `/` at its beginning stands for the base path.
    pub(super) fn resolve(&self, target: &str) -> Result<Url, &'static str> {
        if target.len() > limits::TARGET_BYTES_MAX {
            return Err("the target is too long");
        }
        if target.chars().any(|char| char.is_control() || char.is_whitespace()) {
            return Err("the target has a control character or white space");
        }
        let (path, query) = match target.split_once('?') {
            Some((path, query)) => (path, Some(query)),
            None => (target, None),
        };
        let path = path.strip_prefix('/').unwrap_or(path);
        if path.starts_with('/') {
            return Err("the target begins with `//`");
        }
        if path.contains('\\') {
            return Err("the target has a backslash");
        }
        if target.contains('#') {
            return Err("the target has a fragment");
        }
        if is_absolute(path) {
            return Err("the target is a whole url; the connection has the host");
        }
        if climbs(path) {
            return Err("the target climbs out of its path");
        }
        let mut url = self.0.clone();
        url.set_path(&format!("{}{path}", self.0.path()));
        url.set_query(query);
        if self.owns(&url) { Ok(url) } else { Err("the target is outside of the connection's base url") }
    }

    /// Whether a URL is of the base's origin and under its path: credentials may go there.
    pub(super) fn owns(&self, url: &Url) -> bool {
        let below = url.path().strip_prefix(self.0.path());
        url.origin() == self.0.origin() && !has_userinfo(url) && below.is_some_and(|path| !climbs(path))
    }

    /// Where a `Location` leads, seen from the URL that answered with it (RFC 9110, section 10.2.2).
    pub(super) fn redirect(&self, from: &Url, location: &str) -> Result<Url, &'static str> {
        let mut url = from.join(location).map_err(|_| "to something that is no url")?;
        if !matches!(url.scheme(), "http" | "https") {
            return Err("to another scheme");
        }
        if url.host() != self.0.host() {
            return Err("to another host");
        }
        if from.scheme() == "https" && url.scheme() != "https" {
            return Err("from https to http");
        }
        if has_userinfo(&url) {
            return Err("to a url with credentials");
        }
        url.set_fragment(None);
        Ok(url)
    }
}

fn has_userinfo(url: &Url) -> bool {
    !url.username().is_empty() || url.password().is_some()
}

/// A scheme (RFC 3986, section 3.1) and `://`. A colon alone is common in paths: `messages:send`.
fn is_absolute(path: &str) -> bool {
    path.split_once("://")
        .is_some_and(|(scheme, _)| scheme.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"+-.".contains(&byte)))
}

/// Whether a server could take a segment for `.` or `..`, however often it decodes.
fn climbs(path: &str) -> bool {
    let mut path = path.as_bytes().to_vec();
    for _ in 0..limits::DECODINGS_MAX {
        let mut segments = path.split(|byte| matches!(byte, b'/' | b'\\'));
        // Some servers cut parameters off a segment: `..;x=1` is `..` to them.
        if segments.any(|segment| matches!(segment.split(|byte| *byte == b';').next(), Some(b"." | b".."))) {
            return true;
        }
        let decoded = decode(&path);
        if decoded.len() == path.len() {
            return false;
        }
        path = decoded;
    }
    // Encoded more often than anybody means it.
    decode(&path).len() != path.len()
}

/// Percent-decodes once; what is no triplet stays.
fn decode(path: &[u8]) -> Vec<u8> {
    let digit =
        |at: usize| path.get(at).and_then(|byte| char::from(*byte).to_digit(16)).and_then(|digit| u8::try_from(digit).ok());
    let (mut decoded, mut at) = (Vec::with_capacity(path.len()), 0);
    while at < path.len() {
        match (path[at], digit(at + 1), digit(at + 2)) {
            (b'%', Some(high), Some(low)) => {
                decoded.push(high << 4 | low);
                at += 3;
            }
            (byte, ..) => {
                decoded.push(byte);
                at += 1;
            }
        }
    }
    decoded
}

#[cfg(test)]
mod tests {
    use super::*;

    fn base(url: &str) -> Base {
        Base::new(url.parse().expect("a url")).expect("a base url")
    }

    #[test]
    fn a_target_stays_under_the_base_path() {
        let check = |base_url: &str, target: &str, want: &str| {
            assert_eq!(base(base_url).resolve(target).as_ref().map(Url::as_str), Ok(want), "{target}");
        };
        check("https://slack.com/api/", "chat.postMessage?pretty=1", "https://slack.com/api/chat.postMessage?pretty=1");
        check("https://slack.com/api", "chat.postMessage", "https://slack.com/api/chat.postMessage");
        check("https://slack.com/api/", "/chat.postMessage", "https://slack.com/api/chat.postMessage");
        check("https://slack.com", "api/x", "https://slack.com/api/x");
        check("https://slack.com:8443/", "", "https://slack.com:8443/");
        check("https://slack.com/api/", "?page=2", "https://slack.com/api/?page=2");
        check("https://fcm.example/v1/", "projects/p/messages:send", "https://fcm.example/v1/projects/p/messages:send");
        check("https://fcm.example/v1/", "messages:send", "https://fcm.example/v1/messages:send");
        check("https://a.example/", "users/ann%40example.com?q=../..//x", "https://a.example/users/ann%40example.com?q=../..//x");
        check("https://a.example/", "käse/a..b/...", "https://a.example/k%C3%A4se/a..b/...");
        check("https://a.example/v1/", "files/a%2Fb/100%25", "https://a.example/v1/files/a%2Fb/100%25");
        check("https://a.example/v1/", "next?url=https://b.example/", "https://a.example/v1/next?url=https://b.example/");
        // Userinfo and ports are only names in a path.
        check("https://a.example", "@evil.example/x", "https://a.example/@evil.example/x");
        check("https://a.example", ":8080/x", "https://a.example/:8080/x");
        check("https://a.example", "user:pass@evil.example", "https://a.example/user:pass@evil.example");
    }

    #[test]
    fn a_target_that_tries_to_leave_is_refused() {
        let base = base("https://a.example/v1/tenant/");
        let check =
            |target: &str| assert!(base.resolve(target).is_err(), "{target} gave {:?}", base.resolve(target).map(String::from));
        for target in ["..", ".", "../x", "x/../../y", "x/..", "/..", "./x", "x/./y", "..?q=1"] {
            check(target);
        }
        for target in
            ["%2e%2e/x", "%2E%2E/x", ".%2e/x", "x/%2e%2e%2fy", "..%2fx", "..%2Fx", "%2e/x", "%252e%252e/x", "%25252e%25252e/x"]
        {
            check(target);
        }
        for target in ["..\\x", "x\\..\\y", "\\\\evil.example\\x", "/\\evil.example", "..%5cx", "..;/x", "..;a=b/x", "x/..%3b/y"]
        {
            check(target);
        }
        for target in [
            "//evil.example/x",
            "///evil.example/x",
            "https://evil.example/x",
            "/https://evil.example",
            "HTTP://evil.example",
            "file:///etc/passwd",
        ] {
            check(target);
        }
        for target in ["x#y", "x y", "x\r\nHost: evil.example", "x\0y", "x\ty", "\u{2028}x", "x?a=b c"] {
            check(target);
        }
        check(&"%25".repeat(9).replace("%25", "%25252525252525"));
        check(&"x".repeat(limits::TARGET_BYTES_MAX + 1));
    }

    #[test]
    fn a_base_url_names_a_host_and_nothing_secret() {
        let check = |url: &str, is_ok: bool| assert_eq!(Base::new(url.parse().expect(url)).is_ok(), is_ok, "{url}");
        check("https://a.example", true);
        check("http://10.0.0.1:8080/api", true);
        check("ftp://a.example", false);
        check("data:text/plain,x", false);
        check("https://ann:secret@a.example", false);
        check("https://ann@a.example", false);
        check("https://a.example/?key=secret", false);
        check("https://a.example/#x", false);
    }

    #[test]
    fn a_redirect_stays_at_its_host_and_is_not_downgraded() {
        let check = |base_url: &str, location: &str, want: Option<(&str, bool)>| {
            let base = base(base_url);
            let from = base.resolve("from/here").expect("a target");
            let led = base.redirect(&from, location).ok().map(|url| (url.to_string(), base.owns(&url)));
            assert_eq!(led, want.map(|(url, is_owned)| (url.to_owned(), is_owned)), "{location}");
        };
        let api = "https://a.example/api/";
        check(api, "there", Some(("https://a.example/api/from/there", true)));
        check(api, "/api/there?x=1#y", Some(("https://a.example/api/there?x=1", true)));
        check(api, "https://A.EXAMPLE:443/api/x", Some(("https://a.example/api/x", true)));
        check(api, "/elsewhere", Some(("https://a.example/elsewhere", false)));
        check(api, "../../x", Some(("https://a.example/x", false)));
        check(api, "/api/..%2fx", Some(("https://a.example/api/..%2fx", false)));
        check(api, "https://a.example:8443/api/x", Some(("https://a.example:8443/api/x", false)));
        check(api, "http://a.example/api/x", None);
        check(api, "https://b.example/api/x", None);
        check(api, "//b.example/x", None);
        check(api, "\\\\b.example\\x", None);
        check(api, "https://a.example@b.example/", None);
        check(api, "https://ann:secret@a.example/api/x", None);
        check(api, "https://sub.a.example/", None);
        check(api, "https://a.example./", None);
        check(api, "javascript:alert(1)", None);
        check(api, "file:///etc/passwd", None);
        check(api, "https://", None);
        check("http://a.example/api/", "https://a.example/api/x", Some(("https://a.example/api/x", false)));
        check("http://a.example/api/", "http://a.example/api/x", Some(("http://a.example/api/x", true)));
    }
}
