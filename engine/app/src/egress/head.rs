//! What a request says about itself: the plugin's headers, and those that the configuration adds.
//!
//! A plugin neither sees nor sets a header that carries credentials (invariant 7), nor one that frames the message.

use hyper::header::{HeaderMap, HeaderName, HeaderValue};

use super::auth::Proof;
use super::{EgressError, limits};
use crate::config::Secret;
use crate::config::connection::is_host_only;

/// The plugin's headers, checked.
pub(super) fn checked(headers: &[(String, String)], proof: &Proof) -> Result<HeaderMap, String> {
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
        if is_host_only(name.as_str()) {
            return Err(format!("the header `{name}` is the host's to set"));
        }
        if proof.sets(&name) {
            return Err(format!("the header `{name}` carries the connection's credentials"));
        }
        checked.append(name, value);
    }
    Ok(checked)
}

/// Headers that the configuration adds to each request, in place of the plugin's.
pub(super) struct Added(Vec<(HeaderName, Secret)>);

impl Added {
    pub(super) fn new(headers: Vec<(String, Secret)>, proof: &Proof) -> Result<Added, EgressError> {
        let name = |name: String| {
            let name =
                HeaderName::from_bytes(name.as_bytes()).map_err(|_| EgressError::Header("a name is no name of a header"))?;
            if is_host_only(name.as_str()) || proof.sets(&name) {
                return Err(EgressError::Header("one is not free to be set"));
            }
            Ok(name)
        };
        let headers = headers.into_iter().map(|(text, value)| Ok((name(text)?, value)));
        let added = Added(headers.collect::<Result<_, EgressError>>()?);
        added.put(&mut HeaderMap::new()).map_err(EgressError::Header)?;
        Ok(added)
    }

    /// Sets them.
    pub(super) fn put(&self, headers: &mut HeaderMap) -> Result<(), &'static str> {
        for (name, value) in &self.0 {
            headers.insert(name.clone(), hidden(&value.expose())?);
        }
        Ok(())
    }
}

/// A header's value that stays out of the `Debug` of every request.
pub(super) fn hidden(bytes: &[u8]) -> Result<HeaderValue, &'static str> {
    let mut value = HeaderValue::from_bytes(bytes).map_err(|_| "the secret has a line break or a control character")?;
    value.set_sensitive(true);
    Ok(value)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Auth;

    #[test]
    fn a_plugin_sets_only_headers_that_are_its_own() {
        let check = |auth: &Option<Auth>, name: &str, value: &str, is_ok: bool| {
            let proof = Proof::of(auth.clone()).expect("valid");
            let headers = [("x-first".to_owned(), "1".to_owned()), (name.to_owned(), value.to_owned())];
            assert_eq!(checked(&headers, &proof).is_ok(), is_ok, "{name}: {value}");
        };
        let (none, bearer) = (None, Some(Auth::Bearer("s3cret".into())));
        let key = Some(Auth::Header { name: "x-api-key".into(), value: "s3cret".into() });
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
