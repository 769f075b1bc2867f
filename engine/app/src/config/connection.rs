//! Connections, checked: where they go, who one is there, whom to trust on the way.
//!
//! Built once everything that was written has passed `connection/check.rs`. Secrets in here are cells
//! ([`Secret`]): what is made of one is made at the time of use.

mod check;
mod template;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use ring::signature::RsaKeyPair;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use url::Url;

use super::schema;
use super::secret::Secret;
use super::spec::connection::{AuthSpec, ConnectionSpec, HmacSpec, TlsSpec};
use super::spec::{SecretText, ValueText};
use super::units::{Duration, Rate};

pub use super::spec::connection::{ClientAuth, HmacAlgorithm, HmacEncoding};
pub(super) use check::check;
pub use check::{is_host_only, proxy_url};
pub use template::{Part, Template};

/// An address of the outside, and how to be let in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Connection {
    /// What requests begin with; its path ends with a slash. `http`, `https`, `smtp` or `smtps`.
    pub base_url: Url,
    /// The credentials.
    pub auth: Option<Auth>,
    /// Headers of each request, by name.
    pub headers: Vec<(String, Secret)>,
    /// How many requests are sent at most.
    pub rate_limit: Option<Rate>,
    /// How long an answer may take.
    pub timeout: Duration,
    /// How often a request is tried again.
    pub retries: u32,
    /// The URL of the proxy, perhaps with credentials.
    pub proxy: Option<Secret>,
    /// Whom to trust.
    pub tls: Tls,
    /// Whether addresses that are not public may be reached.
    pub allow_private: bool,
}

impl Connection {
    /// Whether it takes messages, not requests.
    #[must_use]
    pub fn is_mail(&self) -> bool {
        is_mail(&self.base_url)
    }

    /// All that is secret of it, so that it can be looked for where it must not be.
    #[must_use]
    pub fn secrets(&self) -> Vec<&Secret> {
        let auth: Vec<&Secret> = match &self.auth {
            None => Vec::new(),
            Some(Auth::Bearer(secret) | Auth::Basic { password: secret, .. } | Auth::Header { value: secret, .. }) => {
                vec![secret]
            }
            Some(Auth::Hmac(hmac)) => vec![&hmac.secret],
            Some(Auth::AwsV4(aws)) => {
                [&aws.access_key_id, &aws.secret_access_key].into_iter().chain(&aws.session_token).collect()
            }
            Some(Auth::OAuth2(OAuth2 { grant, .. })) => match grant {
                Grant::ClientCredentials { client_id, client_secret, .. } => vec![client_id, client_secret],
                Grant::RefreshToken { client_id, client_secret, refresh_token } => {
                    [client_id, refresh_token].into_iter().chain(client_secret).collect()
                }
                Grant::JwtBearer { issuer, subject, private_key, .. } => {
                    [issuer, private_key].into_iter().chain(subject).collect()
                }
            },
        };
        auth.into_iter().chain(&self.proxy).chain(self.headers.iter().map(|(_, value)| value)).collect()
    }
}

/// Whether this is the address of a mail server.
pub(super) fn is_mail(url: &Url) -> bool {
    matches!(url.scheme(), "smtp" | "smtps")
}

/// Credentials.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Auth {
    /// `Authorization: Bearer …`.
    Bearer(Secret),
    /// `Authorization: Basic …`; over SMTP, `AUTH`.
    Basic {
        /// Without a colon.
        user: String,
        /// May be empty: some APIs take a key as the user.
        password: Secret,
    },
    /// A header of any name.
    Header {
        /// Its name.
        name: String,
        /// Its value.
        value: Secret,
    },
    /// A bearer token that is had from a token endpoint.
    OAuth2(OAuth2),
    /// Each request is signed under a shared secret.
    Hmac(Hmac),
    /// Each request is signed as AWS wants it.
    AwsV4(AwsV4),
}

/// How a bearer token is had (RFC 6749).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OAuth2 {
    /// Where.
    pub token_url: Url,
    /// For what.
    pub grant: Grant,
    /// Where the client's id and secret go.
    pub client_auth: ClientAuth,
    /// What the token is to be good for.
    pub scopes: Vec<String>,
    /// Further parameters.
    pub params: BTreeMap<String, String>,
}

/// What a token is given for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Grant {
    /// A client's id and secret (RFC 6749, section 4.4).
    ClientCredentials {
        /// The client's id.
        client_id: Secret,
        /// Its secret.
        client_secret: Secret,
        /// Whom the token is for.
        audience: Option<String>,
    },
    /// A refresh token (RFC 6749, section 6).
    RefreshToken {
        /// The client's id.
        client_id: Secret,
        /// Its secret.
        client_secret: Option<Secret>,
        /// The refresh token to begin with.
        refresh_token: Secret,
    },
    /// A signed assertion (RFC 7523).
    JwtBearer {
        /// Who signs.
        issuer: Secret,
        /// For whom one acts.
        subject: Option<Secret>,
        /// Whom the assertion is for; without it the token endpoint.
        audience: Option<String>,
        /// An RSA key: [`rsa_key`] reads it.
        private_key: Secret,
        /// The key's id.
        key_id: Option<String>,
    },
}

/// How requests are signed under a shared secret (RFC 2104).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Hmac {
    /// The shared secret.
    pub secret: Secret,
    /// The hash.
    pub algorithm: HmacAlgorithm,
    /// The header of the signature.
    pub header: String,
    /// What is signed.
    pub signs: Template,
    /// How the signature is written.
    pub encoding: HmacEncoding,
    /// What stands before it.
    pub prefix: Template,
    /// The header of the time.
    pub timestamp_header: Option<String>,
}

/// AWS Signature Version 4.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AwsV4 {
    /// Such as `eu-central-1`.
    pub region: String,
    /// Such as `s3`.
    pub service: String,
    /// The access key's id.
    pub access_key_id: Secret,
    /// The access key.
    pub secret_access_key: Secret,
    /// The token of temporary credentials.
    pub session_token: Option<Secret>,
}

/// Whom to trust, and who one is, in TLS.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tls {
    /// Authorities to trust.
    pub roots: Vec<CertificateDer<'static>>,
    /// Whether Mozilla's list is trusted too.
    pub public_roots: bool,
    /// Who one is.
    pub identity: Option<Identity>,
    /// The files that this was read from.
    pub files: Vec<PathBuf>,
}

impl Default for Tls {
    /// The public authorities, and no certificate of one's own.
    fn default() -> Self {
        Tls { roots: Vec::new(), public_roots: true, identity: None, files: Vec::new() }
    }
}

/// A client's certificate.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Identity {
    /// The client's own, then those between it and its authority.
    pub certificates: Vec<CertificateDer<'static>>,
    /// In PEM: [`private_key`] reads it.
    pub key: Secret,
}

/// The certificates of a file in PEM.
pub(super) fn certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, String> {
    let bytes = std::fs::read(path).map_err(|error| error.to_string())?;
    let read: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&bytes).collect();
    match read {
        Ok(certificates) if certificates.is_empty() => Err("it has no certificate in PEM".into()),
        Ok(certificates) => Ok(certificates),
        Err(_) => Err("it is not PEM, or is cut off".into()),
    }
}

/// The private key that a secret in PEM holds.
///
/// # Errors
/// Why there is none, without a word of the secret.
pub fn private_key(secret: &Secret) -> Result<PrivateKeyDer<'static>, &'static str> {
    let text = secret.expose_text();
    // In JSON, as Google hands out its keys, line breaks are two letters.
    let text = if text.contains('\n') { text } else { text.replace("\\n", "\n") };
    if text.contains("BEGIN ENCRYPTED PRIVATE KEY") {
        return Err("the private key is locked with a passphrase: store it without one");
    }
    PrivateKeyDer::from_pem_slice(text.as_bytes())
        .map_err(|_| "it is no private key in PEM, which begins with `-----BEGIN PRIVATE KEY-----`")
}

/// The RSA key that a secret in PEM holds, to sign with.
///
/// # Errors
/// Why there is none, without a word of the secret.
pub fn rsa_key(secret: &Secret) -> Result<RsaKeyPair, &'static str> {
    let unfit = "it is no RSA key of 2048 bits or more";
    match private_key(secret)? {
        PrivateKeyDer::Pkcs8(key) => RsaKeyPair::from_pkcs8(key.secret_pkcs8_der()).map_err(|_| unfit),
        PrivateKeyDer::Pkcs1(key) => RsaKeyPair::from_der(key.secret_pkcs1_der()).map_err(|_| unfit),
        _ => Err(unfit),
    }
}

/// Makes connections of what was written and checked.
pub(super) struct Builder<'a> {
    /// The workspace.
    pub folder: &'a Path,
    /// The secrets of the workspace's own sections, by handle.
    pub secrets: &'a BTreeMap<String, Secret>,
}

impl Builder<'_> {
    pub(super) fn connection(&self, spec: ConnectionSpec) -> Connection {
        let mut base_url = schema::url(&spec.base_url.0).expect("the format was checked");
        if !is_mail(&base_url) && !base_url.path().ends_with('/') {
            // Relative addresses would otherwise replace the last part of the path.
            base_url.set_path(&format!("{}/", base_url.path()));
        }
        Connection {
            base_url,
            auth: spec.auth.map(|auth| self.auth(auth)),
            headers: spec.headers.into_iter().map(|(name, value)| (name, self.value(value))).collect(),
            rate_limit: spec.rate_limit,
            timeout: spec.timeout,
            retries: spec.retries,
            proxy: spec.proxy.map(|proxy| self.value(proxy)),
            tls: spec.tls.map(|tls| self.tls(tls)).unwrap_or_default(),
            allow_private: spec.allow_private,
        }
    }

    pub(super) fn secret(&self, SecretText(handle): SecretText) -> Secret {
        self.secrets.get(&handle).cloned().expect("the schema makes it a secret")
    }

    pub(super) fn value(&self, ValueText(handle): ValueText) -> Secret {
        self.secret(SecretText(handle))
    }

    fn auth(&self, auth: AuthSpec) -> Auth {
        let token_url = |url: &str| schema::token_url(url).expect("the format was checked");
        match auth {
            AuthSpec::Bearer(token) => Auth::Bearer(self.secret(token)),
            AuthSpec::Basic(basic) => Auth::Basic { user: basic.user, password: self.secret(basic.password) },
            AuthSpec::Header(header) => Auth::Header { name: header.name, value: self.secret(header.value) },
            AuthSpec::ClientCredentials(spec) => Auth::OAuth2(OAuth2 {
                token_url: token_url(&spec.token_url.0),
                grant: Grant::ClientCredentials {
                    client_id: self.value(spec.client_id),
                    client_secret: self.secret(spec.client_secret),
                    audience: spec.audience,
                },
                client_auth: spec.client_auth,
                scopes: spec.scopes,
                params: spec.params,
            }),
            AuthSpec::RefreshToken(spec) => Auth::OAuth2(OAuth2 {
                token_url: token_url(&spec.token_url.0),
                grant: Grant::RefreshToken {
                    client_id: self.value(spec.client_id),
                    client_secret: spec.client_secret.map(|secret| self.secret(secret)),
                    refresh_token: self.secret(spec.refresh_token),
                },
                client_auth: spec.client_auth,
                scopes: spec.scopes,
                params: BTreeMap::new(),
            }),
            AuthSpec::JwtBearer(spec) => Auth::OAuth2(OAuth2 {
                token_url: token_url(&spec.token_url.0),
                grant: Grant::JwtBearer {
                    issuer: self.value(spec.issuer),
                    subject: spec.subject.map(|subject| self.value(subject)),
                    audience: spec.audience,
                    private_key: self.secret(spec.private_key),
                    key_id: spec.key_id,
                },
                client_auth: ClientAuth::Body,
                scopes: spec.scopes,
                params: BTreeMap::new(),
            }),
            AuthSpec::Hmac(hmac) => Auth::Hmac(self.hmac(hmac)),
            AuthSpec::AwsV4(spec) => Auth::AwsV4(AwsV4 {
                region: spec.region,
                service: spec.service,
                access_key_id: self.value(spec.access_key_id),
                secret_access_key: self.secret(spec.secret_access_key),
                session_token: spec.session_token.map(|token| self.secret(token)),
            }),
        }
    }

    fn hmac(&self, spec: HmacSpec) -> Hmac {
        Hmac {
            secret: self.secret(spec.secret),
            algorithm: spec.algorithm,
            header: spec.header,
            signs: Template::signed(&spec.signs.0).expect("the format was checked"),
            encoding: spec.encoding,
            prefix: Template::prefix(&spec.prefix.0).expect("the format was checked"),
            timestamp_header: spec.timestamp_header,
        }
    }

    fn tls(&self, spec: TlsSpec) -> Tls {
        let file = |name: &String| self.folder.join(name);
        // Read a moment ago, by the check; what changed since is seen in the handshake.
        let read = |name: &String| certificates(&file(name)).unwrap_or_default();
        let identity = spec
            .certificate
            .as_ref()
            .zip(spec.key)
            .map(|(name, key)| Identity { certificates: read(name), key: self.secret(key) });
        Tls {
            roots: spec.roots.as_ref().map(read).unwrap_or_default(),
            public_roots: spec.public_roots,
            identity,
            files: spec.roots.iter().chain(&spec.certificate).map(file).collect(),
        }
    }
}
