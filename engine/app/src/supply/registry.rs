//! Artifacts of OCI registries (OCI distribution specification 1.1): a manifest, and in it the one layer that is the plugin.
//!
//! As `wkg` and `oras` push them: a layer of the media type `application/wasm`. A registry that wants to know who asks is told by a token that
//! it gives (anonymous, or for a user), or by the user's password itself.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use hyper::HeaderMap;
use hyper::StatusCode;
use hyper::header::{self, HeaderValue};
use serde::Deserialize;
use url::Url;

use super::{Courier, DOCUMENT_BYTES_MAX, SupplyError, holds};
use crate::config::origin::{Artifact, is_guarded};

const LAYER: &str = "application/wasm";

const MANIFESTS: &str = "application/vnd.oci.image.manifest.v1+json, application/vnd.docker.distribution.manifest.v2+json";

/// Who asks.
#[derive(Clone, Default)]
pub struct Credentials {
    /// A user and a password, for every registry.
    user: Option<(String, String)>,
    /// What Docker knows: the text of its `config.json`.
    docker: Option<String>,
}

impl Credentials {
    /// `WEFT_REGISTRY_USER` and `WEFT_REGISTRY_PASSWORD`, else what `docker login` left in `$DOCKER_CONFIG/config.json` or
    /// `~/.docker/config.json`. Helpers that keep passwords elsewhere are not asked.
    #[must_use]
    pub fn of_process() -> Credentials {
        let variable = |name: &str| std::env::var(name).ok().filter(|value| !value.is_empty());
        let user = variable("WEFT_REGISTRY_USER").zip(variable("WEFT_REGISTRY_PASSWORD"));
        let folder = variable("DOCKER_CONFIG").or_else(|| Some(format!("{}/.docker", variable("HOME")?)));
        let docker = folder.and_then(|folder| std::fs::read_to_string(format!("{folder}/config.json")).ok());
        Credentials { user, docker }
    }

    /// What comes after `Basic` for a registry.
    fn basic(&self, registry: &str) -> Option<String> {
        if let Some((user, password)) = &self.user {
            return Some(BASE64.encode(format!("{user}:{password}")));
        }
        let docker: serde_json::Value = serde_json::from_str(self.docker.as_deref()?).ok()?;
        // Docker files its own registry under the address that it once had.
        let named = if registry == "registry-1.docker.io" { "https://index.docker.io/v1/" } else { registry };
        let auth = docker.get("auths")?.get(named)?.get("auth")?.as_str()?;
        (!auth.is_empty()).then(|| auth.to_owned())
    }
}

#[derive(Deserialize)]
struct Manifest {
    #[serde(default)]
    layers: Vec<Layer>,
    #[serde(default)]
    manifests: Vec<serde::de::IgnoredAny>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Layer {
    media_type: String,
    digest: String,
    size: u64,
}

/// The plugin of an artifact. Where its digest is known, its layer is asked for by that: a tag that has moved does not matter.
pub(super) async fn fetch(
    courier: &Courier,
    artifact: &Artifact,
    digest: Option<&str>,
    credentials: &Credentials,
) -> Result<Vec<u8>, SupplyError> {
    let mut desk = Desk { courier, artifact, credentials, authorization: None };
    let digest = match digest {
        Some(digest) => digest.to_owned(),
        None => desk.layer().await?,
    };
    let url = desk.url("blobs", &digest)?;
    let blob = desk.get(&url, "*/*", weft_host::limits::PLUGIN_BYTES_MAX).await?;
    holds(blob, &format!("what {} gives", artifact.registry), &digest)
}

struct Desk<'a> {
    courier: &'a Courier,
    artifact: &'a Artifact,
    credentials: &'a Credentials,
    authorization: Option<HeaderValue>,
}

impl Desk<'_> {
    fn url(&self, what: &str, reference: &str) -> Result<Url, SupplyError> {
        let text = format!("{}/v2/{}/{what}/{reference}", self.artifact.base(), self.artifact.repository);
        Url::parse(&text).map_err(|error| SupplyError::NoPlugin(format!("`{text}` is no address: {error}")))
    }

    /// The digest of the layer that is the plugin.
    async fn layer(&mut self) -> Result<String, SupplyError> {
        let url = self.url("manifests", &self.artifact.reference)?;
        let bytes = self.get(&url, MANIFESTS, DOCUMENT_BYTES_MAX).await?;
        let bytes = match self.artifact.reference.contains(':') {
            true => holds(bytes, "the manifest", &self.artifact.reference)?,
            false => bytes,
        };
        let manifest: Manifest = serde_json::from_slice(&bytes)
            .map_err(|error| SupplyError::NoPlugin(format!("{url} is no manifest of an artifact: {error}")))?;
        if !manifest.manifests.is_empty() {
            return Err(SupplyError::NoPlugin(format!("{url} is an index of several artifacts; name one of them by its digest")));
        }
        let found: Vec<&str> = manifest.layers.iter().map(|layer| &*layer.media_type).collect();
        let mut layers = manifest.layers.iter().filter(|layer| layer.media_type == LAYER);
        let (Some(layer), None) = (layers.next(), layers.next()) else {
            return Err(SupplyError::NoPlugin(format!(
                "{url} has not exactly one layer of `{LAYER}`, but [{}]",
                found.join(", ")
            )));
        };
        if layer.size > weft_host::limits::PLUGIN_BYTES_MAX {
            return Err(SupplyError::TooLarge { url: url.to_string(), bytes: weft_host::limits::PLUGIN_BYTES_MAX });
        }
        if !layer
            .digest
            .strip_prefix("sha256:")
            .is_some_and(|hex| hex.len() == 64 && hex.bytes().all(|byte| byte.is_ascii_hexdigit()))
        {
            return Err(SupplyError::NoPlugin(format!("{url} names its layer by `{}`, which is no sha256", layer.digest)));
        }
        Ok(layer.digest.clone())
    }

    /// Asks, and once more after saying who asks where the registry wants to know.
    async fn get(&mut self, url: &Url, accept: &'static str, bytes_max: u64) -> Result<Vec<u8>, SupplyError> {
        let answer = self.courier.get(url, &self.headers(accept), bytes_max).await?;
        if answer.status != StatusCode::UNAUTHORIZED || self.authorization.is_some() {
            return answer.whole(url);
        }
        let challenge = answer.headers.get_all(header::WWW_AUTHENTICATE).iter().filter_map(|value| value.to_str().ok());
        let challenge: Vec<String> = challenge.map(str::to_owned).collect();
        let authorization = match challenge.iter().find_map(|challenge| after(challenge, "bearer")) {
            Some(bearer) => Some(format!("Bearer {}", self.token(bearer).await?)),
            None if challenge.iter().any(|challenge| after(challenge, "basic").is_some()) => {
                self.credentials.basic(&self.artifact.registry).map(|basic| format!("Basic {basic}"))
            }
            None => None,
        };
        let Some(authorization) = authorization else { return answer.whole(url) };
        self.authorization = secret(&authorization);
        self.courier.get(url, &self.headers(accept), bytes_max).await?.whole(url)
    }

    fn headers(&self, accept: &'static str) -> HeaderMap {
        let mut headers = HeaderMap::from_iter([(header::ACCEPT, HeaderValue::from_static(accept))]);
        if let Some(authorization) = &self.authorization {
            headers.insert(header::AUTHORIZATION, authorization.clone());
        }
        headers
    }

    /// A token for this repository (the token authentication of Docker's registries, which OCI registries share).
    async fn token(&self, challenge: &str) -> Result<String, SupplyError> {
        let realm = parameter(challenge, "realm").unwrap_or_default();
        let mut url = Url::parse(realm)
            .map_err(|_| SupplyError::NoPlugin(format!("{} names no address where it gives tokens", self.artifact.registry)))?;
        if !is_guarded(&url) {
            return Err(SupplyError::Unguarded(url.to_string()));
        }
        if let Some(service) = parameter(challenge, "service") {
            url.query_pairs_mut().append_pair("service", service);
        }
        let scope = format!("repository:{}:pull", self.artifact.repository);
        url.query_pairs_mut().append_pair("scope", parameter(challenge, "scope").unwrap_or(&scope));
        let mut headers = HeaderMap::new();
        if let Some(basic) = self.credentials.basic(&self.artifact.registry).and_then(|basic| secret(&format!("Basic {basic}"))) {
            headers.insert(header::AUTHORIZATION, basic);
        }
        let answer = self.courier.get(&url, &headers, DOCUMENT_BYTES_MAX).await?.whole(&url)?;
        let answer: serde_json::Value = serde_json::from_slice(&answer).unwrap_or_default();
        let token = ["token", "access_token"].into_iter().find_map(|name| answer.get(name)?.as_str());
        token.map(str::to_owned).ok_or_else(|| SupplyError::NoPlugin(format!("{} gives no token", url.authority())))
    }
}

fn secret(text: &str) -> Option<HeaderValue> {
    let mut value = HeaderValue::try_from(text).ok()?;
    value.set_sensitive(true);
    Some(value)
}

/// What follows a scheme in a challenge (RFC 9110, section 11.6.1).
fn after<'a>(challenge: &'a str, scheme: &str) -> Option<&'a str> {
    let (name, rest) = challenge.split_once(' ').unwrap_or((challenge, ""));
    name.eq_ignore_ascii_case(scheme).then_some(rest)
}

/// A parameter of a challenge: `name="value"`.
fn parameter<'a>(challenge: &'a str, name: &str) -> Option<&'a str> {
    let mut rest = challenge;
    while let Some((before, after)) = rest.split_once("=\"") {
        let (value, next) = after.split_once('"')?;
        if before.trim_start_matches([',', ' ']).eq_ignore_ascii_case(name) {
            return Some(value);
        }
        rest = next;
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn challenges_are_read() {
        let challenge =
            r#"Bearer realm="https://auth.example/token",service="registry.example",scope="repository:a/b:pull,push""#;
        let bearer = after(challenge, "bearer").expect("it is one");
        let check = |name: &str, want: Option<&str>| assert_eq!(parameter(bearer, name), want);
        check("realm", Some("https://auth.example/token"));
        check("service", Some("registry.example"));
        check("scope", Some("repository:a/b:pull,push"));
        check("error", None);
        assert_eq!(after("Basic realm=\"x\"", "basic"), Some("realm=\"x\""));
        assert_eq!(after("Negotiate", "basic"), None);
    }

    #[test]
    fn what_docker_knows_is_for_its_registry_alone() {
        let docker = Some(r#"{"auths":{"registry.example":{"auth":"bWU6cHc="},"other.example":{}}}"#.to_owned());
        let credentials = Credentials { user: None, docker };
        assert_eq!(credentials.basic("registry.example").as_deref(), Some("bWU6cHc="));
        assert_eq!(credentials.basic("other.example"), None);
        let named = Credentials { user: Some(("me".into(), "pw".into())), ..credentials };
        assert_eq!(named.basic("other.example").as_deref(), Some("bWU6cHc="));
    }
}
