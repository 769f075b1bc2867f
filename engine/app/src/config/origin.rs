//! Where a plugin's file is from: a path, an address, or an artifact of an OCI registry.
//!
//! Nothing here fetches anything; [`crate::supply`] does.

use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;

use url::{Host, Url};

/// Where a plugin's file is from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Origin {
    /// A file of this machine.
    File {
        /// Where it is.
        path: PathBuf,
        /// As it was written.
        written: String,
    },
    /// An address that gives the file.
    Url(Url),
    /// An artifact of a registry.
    Artifact(Artifact),
}

/// An artifact of an OCI registry, whose one layer of `application/wasm` is the plugin.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Artifact {
    /// The registry's host, and its port if there is one.
    pub registry: String,
    /// The repository: names between slashes.
    pub repository: String,
    /// A tag, or `sha256:` and a digest.
    pub reference: String,
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Origin::File { written, .. } => f.write_str(written),
            Origin::Url(url) => f.write_str(url.as_str()),
            Origin::Artifact(artifact) => {
                let mark = if artifact.reference.contains(':') { '@' } else { ':' };
                write!(f, "oci://{}/{}{mark}{}", artifact.registry, artifact.repository, artifact.reference)
            }
        }
    }
}

/// Of an address: `https://…`, `oci://…`. Whatever has no `://` is none.
impl FromStr for Origin {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if let Some(rest) = text.strip_prefix("oci://") {
            return Ok(Origin::Artifact(artifact(rest)?));
        }
        let url = Url::parse(text).map_err(|error| format!("it is not an address: {error}"))?;
        if !is_guarded(&url) {
            return Err("a plugin is fetched by `https://`, or from this machine: anybody between could replace it".into());
        }
        if !url.username().is_empty() || url.password().is_some() || url.fragment().is_some() {
            return Err("the address of a plugin holds no credentials and no `#`".into());
        }
        Ok(Origin::Url(url))
    }
}

impl Origin {
    pub(super) fn is_url(&self) -> Result<(), String> {
        match self {
            Origin::Url(_) => Ok(()),
            Origin::File { .. } | Origin::Artifact(_) => Err("it is not an address that begins with `https://`".into()),
        }
    }

    pub(super) fn is_artifact(&self) -> Result<(), String> {
        match self {
            Origin::Artifact(_) => Ok(()),
            Origin::File { .. } | Origin::Url(_) => Err("it does not begin with `oci://`".into()),
        }
    }
}

impl Artifact {
    /// The registry's own address: in the clear only on this machine.
    #[must_use]
    pub fn base(&self) -> String {
        let clear = Url::parse(&format!("http://{}/", self.registry)).ok().filter(is_guarded);
        format!("{}://{}", if clear.is_some() { "http" } else { "https" }, self.registry)
    }
}

/// Whether nobody can listen in: by TLS, or because it stays on this machine.
#[must_use]
pub fn is_guarded(url: &Url) -> bool {
    match (url.scheme(), url.host()) {
        ("https", Some(_)) => true,
        ("http", Some(Host::Ipv4(address))) => address.is_loopback(),
        ("http", Some(Host::Ipv6(address))) => address.is_loopback(),
        ("http", Some(Host::Domain(name))) => name == "localhost",
        _ => false,
    }
}

/// The grammar of names and tags is that of the OCI distribution specification.
fn artifact(rest: &str) -> Result<Artifact, String> {
    let (registry, rest) = rest.split_once('/').ok_or("after `oci://` come a registry, `/`, and a repository")?;
    let (repository, reference) = match rest.split_once('@') {
        Some((repository, digest)) => (repository, digest),
        None => rest.rsplit_once(':').ok_or("it names neither a tag (`:1.2.0`) nor a digest (`@sha256:…`)")?,
    };
    let is_host = Url::parse(&format!("https://{registry}/")).is_ok_and(|url| {
        url.has_host() && url.path() == "/" && url.username().is_empty() && url.query().is_none() && url.fragment().is_none()
    });
    if registry.is_empty() || !is_host {
        return Err(format!("`{registry}` is no host of a registry"));
    }
    let name = |part: &str| {
        let fits = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"._-".contains(&byte);
        !part.is_empty() && part.bytes().all(fits) && part.as_bytes()[0].is_ascii_alphanumeric()
    };
    if repository.len() > 255 || !repository.split('/').all(name) {
        return Err(format!("`{repository}` is no repository: small letters, digits, `.`, `_` and `-` between slashes"));
    }
    let is_digest = reference.strip_prefix("sha256:").is_some_and(|hex| hex.len() == 64 && hex.bytes().all(is_hex));
    let is_tag = reference.len() <= 128
        && reference.bytes().next().is_some_and(|first| first.is_ascii_alphanumeric() || first == b'_')
        && reference.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"._-".contains(&byte));
    if !is_digest && !is_tag {
        return Err(format!("`{reference}` is neither a tag nor `sha256:` and 64 digits"));
    }
    Ok(Artifact { registry: registry.to_owned(), repository: repository.to_owned(), reference: reference.to_owned() })
}

fn is_hex(byte: u8) -> bool {
    byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn origins_are_read_as_they_are_written() {
        let digest = "a".repeat(64);
        for text in [
            "https://plugins.example.com/a/clearbit.wasm?v=1",
            "http://127.0.0.1:8000/x.wasm",
            "oci://ghcr.io/acme/clearbit:1.2.0",
            "oci://localhost:5000/a/b_c.d:latest",
            &format!("oci://ghcr.io/acme/clearbit@sha256:{digest}"),
        ] {
            assert_eq!(text.parse::<Origin>().map(|origin| origin.to_string()), Ok(text.to_owned()));
        }
    }

    #[test]
    fn what_is_no_safe_origin_is_refused() {
        let check = |text: &str, want: &str| {
            let error = text.parse::<Origin>().expect_err(text);
            assert!(error.contains(want), "{text}: {error}");
        };
        check("http://plugins.example.com/x.wasm", "by `https://`");
        check("file:///etc/passwd", "by `https://`");
        check("https://me:pw@x/x.wasm", "no credentials");
        check("oci://ghcr.io/Acme/x:1", "no repository");
        check("oci://ghcr.io/acme/x", "neither a tag");
        check("oci://ghcr.io/acme/../x:1", "no repository");
        check("oci://me@ghcr.io/acme/x:1", "no host");
        check("oci://ghcr.io/acme/x@sha256:00", "neither a tag nor");
        check("clearbit.wasm", "not an address");
    }

    #[test]
    fn a_registry_is_asked_in_the_clear_on_this_machine_alone() {
        let base = |text: &str| match text.parse() {
            Ok(Origin::Artifact(artifact)) => artifact.base(),
            other => panic!("{other:?}"),
        };
        assert_eq!(base("oci://localhost:5000/a:1"), "http://localhost:5000");
        assert_eq!(base("oci://127.0.0.1:5000/a:1"), "http://127.0.0.1:5000");
        assert_eq!(base("oci://ghcr.io/a:1"), "https://ghcr.io");
    }
}
