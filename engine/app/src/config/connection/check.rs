//! What the schema of a connection cannot say: that its parts fit together, and that its files and keys are what they should be.

use std::collections::BTreeSet;
use std::path::Path;

use hyper::header::{self, HeaderName};
use url::Url;
use weft_domain::problem::{Code, Problem};
use weft_domain::value::Excerpt;

use super::super::limits;
use super::super::schema;
use super::super::secret::Secret;
use super::super::settle::secret_of;
use super::super::source::{Report, Span, join};
use super::super::spec::connection::{AuthSpec, ConnectionSpec, TlsSpec};
use super::super::tree::Node;
use super::{certificates, is_mail, private_key, rsa_key};

/// Reports what is wrong with a connection.
pub(in super::super) fn check(tree: &Node, folder: &Path, name: &str, spec: &ConnectionSpec, report: &mut Report) {
    let Ok(url) = schema::url(&spec.base_url.0) else { return };
    let mut look = Look { tree, folder, path: join("/connections", name), url, spec, report };
    look.timeout();
    look.auth(name);
    look.headers();
    look.proxy();
    look.tls();
    look.mail();
}

struct Look<'a> {
    tree: &'a Node,
    folder: &'a Path,
    path: String,
    url: Url,
    spec: &'a ConnectionSpec,
    report: &'a mut Report,
}

impl Look<'_> {
    /// Reports something at a place below the connection.
    fn say(&mut self, below: &str, problem: Problem) {
        let path = format!("{}{below}", self.path);
        let span = self.tree.find(&path).map_or(Span::top(0), |(_, span)| span);
        self.report.add(span.at(path), problem);
    }

    /// The secret at a place below the connection.
    fn secret(&self, below: &str) -> Option<Secret> {
        secret_of(self.tree.find(&format!("{}{below}", self.path)).map(|(node, _)| node))
    }

    fn timeout(&mut self) {
        if !limits::TIMEOUT_MS.contains(&self.spec.timeout.as_ms()) {
            let problem =
                Problem::error(Code::CONFIG_OUT_OF_RANGE, format!("an answer cannot be waited for `{}`", self.spec.timeout));
            self.say("/timeout", problem.expected("between `10ms` and `10m`"));
        }
    }

    fn auth(&mut self, name: &str) {
        let Some(auth) = &self.spec.auth else { return };
        let token_url = match auth {
            AuthSpec::Bearer(_) => return self.carried("/auth/bearer").cleartext(name, "/base_url", None),
            AuthSpec::Basic(_) => return self.carried("/auth/basic/password").cleartext(name, "/base_url", None),
            AuthSpec::Header(_) => return self.carried("/auth/header/value").cleartext(name, "/base_url", None),
            // Neither secret travels.
            AuthSpec::Hmac(_) => return,
            AuthSpec::AwsV4(_) => {
                self.carried("/auth/aws_v4/session_token").carried("/auth/aws_v4/access_key_id");
                return;
            }
            AuthSpec::ClientCredentials(spec) => ("/auth/oauth2_client_credentials/token_url", &spec.token_url),
            AuthSpec::RefreshToken(spec) => ("/auth/oauth2_refresh_token/token_url", &spec.token_url),
            AuthSpec::JwtBearer(spec) => {
                let place = "/auth/oauth2_jwt_bearer/private_key";
                if let Some(Err(reason)) = self.secret(place).map(|key| rsa_key(&key).map(drop)) {
                    self.say(place, Problem::error(Code::CONNECTION_KEY, format!("the private key cannot be used: {reason}")));
                }
                ("/auth/oauth2_jwt_bearer/token_url", &spec.token_url)
            }
        };
        self.cleartext(name, "/base_url", None);
        self.cleartext(name, token_url.0, schema::token_url(&token_url.1.0).ok());
    }

    /// A secret that a header carries has no line break.
    fn carried(&mut self, below: &str) -> &mut Self {
        let is_control = |byte: &u8| *byte < 0x20 && *byte != b'\t' || *byte == 0x7f;
        if !is_mail(&self.url) && self.secret(below).is_some_and(|secret| secret.expose().iter().any(is_control)) {
            let problem = Problem::error(
                Code::SECRET_UNREADABLE,
                "the secret has a line break or another control character in it, which no header can carry",
            );
            self.say(below, problem);
        }
        self
    }

    fn cleartext(&mut self, name: &str, below: &str, url: Option<Url>) {
        let url = url.unwrap_or_else(|| self.url.clone());
        if url.scheme() == "http" && !is_loopback(&url) {
            let problem =
                Problem::warning(Code::SECRET_CLEARTEXT, format!("the credentials of `{name}` would travel without encryption"));
            self.say(below, problem.hint("use `https://`"));
        }
    }

    fn headers(&mut self) {
        let of_auth = match &self.spec.auth {
            Some(AuthSpec::Header(header)) => vec![header.name.clone()],
            Some(AuthSpec::Hmac(hmac)) => [&hmac.header].into_iter().chain(&hmac.timestamp_header).cloned().collect(),
            Some(AuthSpec::AwsV4(_)) => {
                ["authorization", "x-amz-date", "x-amz-content-sha256", "x-amz-security-token"].map(str::to_owned).into()
            }
            Some(_) => vec!["authorization".to_owned()],
            None => Vec::new(),
        };
        for (below, name) in [("/auth/header/name", 0), ("/auth/hmac/header", 0), ("/auth/hmac/timestamp_header", 1)] {
            let is_there = self.tree.find(&format!("{}{below}", self.path)).is_some();
            if let Some(name) = of_auth.get(name).filter(|name| is_there && is_host_only(name)) {
                let message = format!("the header `{}` is the engine's own to set", Excerpt(name));
                self.say(below, Problem::error(Code::CONNECTION_UNFIT, message));
            }
        }
        let mut seen = BTreeSet::new();
        for name in self.spec.headers.keys() {
            let below = join("/headers", name);
            let shown = Excerpt(name);
            if is_host_only(name) {
                let message = format!("the header `{shown}` is the engine's own to set");
                self.say(&below, Problem::error(Code::CONNECTION_UNFIT, message).hint("take it away"));
            } else if of_auth.iter().any(|taken| taken.eq_ignore_ascii_case(name)) {
                let message = format!("the header `{shown}` carries the credentials already");
                self.say(&below, Problem::error(Code::CONNECTION_UNFIT, message).hint("take it away, or `auth`"));
            } else if !seen.insert(name.to_ascii_lowercase()) {
                let message = format!("the header `{shown}` stands here twice: capitals make no difference in it");
                self.say(&below, Problem::error(Code::CONNECTION_UNFIT, message));
            }
            self.carried(&below);
        }
    }

    fn proxy(&mut self) {
        let Some(text) = self.secret("/proxy") else { return };
        let problem = match proxy_url(&text) {
            Err(reason) => Problem::error(Code::CONFIG_BAD_VALUE, format!("the proxy cannot be used: {reason}")),
            Ok(_) => return,
        };
        self.say("/proxy", problem.expected("an address such as `http://proxy.example:3128`"));
    }

    fn tls(&mut self) {
        let Some(TlsSpec { roots, public_roots, certificate, key }) = &self.spec.tls else { return };
        let unfit = |message: &str| Problem::error(Code::CONNECTION_UNFIT, message);
        let speaks_tls = self.url.scheme() != "http" || matches!(&self.spec.auth, Some(auth) if token_is_https(auth));
        if !speaks_tls {
            self.say("/tls", unfit("`base_url` begins with `http://`, so that no TLS is spoken").hint("write `https://` there"));
        }
        if roots.is_none() && !public_roots {
            self.say("/tls/public_roots", unfit("nobody would be trusted: there are no `roots` either").hint("add `roots`"));
        }
        match (certificate, key) {
            (Some(_), None) => {
                self.say("/tls/certificate", unfit("the certificate's private key is not there").hint("add `key`"))
            }
            (None, Some(_)) => self.say("/tls/key", unfit("the key's certificate is not there").hint("add `certificate`")),
            _ => (),
        }
        for (below, name) in [("/tls/roots", roots), ("/tls/certificate", certificate)] {
            let Some(name) = name else { continue };
            if let Err(reason) = certificates(&self.folder.join(name)) {
                let message = format!("the file `{}` cannot be used: {reason}", Excerpt(name));
                self.say(
                    below,
                    Problem::error(Code::CONNECTION_FILE, message).expected("certificates in PEM, relative to the workspace"),
                );
            }
        }
        if let Some(Err(reason)) = self.secret("/tls/key").map(|key| private_key(&key).map(drop)) {
            let problem = Problem::error(Code::CONNECTION_KEY, format!("the private key cannot be used: {reason}"));
            self.say("/tls/key", problem.hint("write \"${secret:NAME}\", and keep the key in a file of the folder of secrets"));
        }
    }

    /// What a connection to a mail server does not have.
    fn mail(&mut self) {
        if !is_mail(&self.url) {
            return;
        }
        let unfit = |message: &str| Problem::error(Code::CONNECTION_UNFIT, message);
        if !matches!(self.spec.auth, None | Some(AuthSpec::Basic(_))) {
            self.say("/auth", unfit("a mail server takes a user and a password").expected("`basic: { user: …, password: … }`"));
        }
        if !self.spec.headers.is_empty() {
            self.say(
                "/headers",
                unfit("a mail server takes no headers of requests").hint("a message's headers are the plugin's"),
            );
        }
        if self.spec.tls.as_ref().is_some_and(|tls| tls.certificate.is_some()) {
            self.say("/tls/certificate", unfit("a mail server is not shown a certificate").hint("take it and `key` away"));
        }
        if self.spec.proxy.is_some() {
            self.say("/proxy", unfit("mail does not go through an HTTP proxy").hint("take `proxy` away"));
        }
    }
}

fn token_is_https(auth: &AuthSpec) -> bool {
    let url = match auth {
        AuthSpec::ClientCredentials(spec) => &spec.token_url,
        AuthSpec::RefreshToken(spec) => &spec.token_url,
        AuthSpec::JwtBearer(spec) => &spec.token_url,
        _ => return false,
    };
    url.0.starts_with("https:")
}

/// Headers that frame the message, choose the host, speak to proxies, or ask for what must be understood on the way back.
pub fn is_host_only(name: &str) -> bool {
    const HOST_ONLY: [HeaderName; 10] = [
        header::HOST,
        header::CONTENT_LENGTH,
        header::TRANSFER_ENCODING,
        header::CONNECTION,
        header::UPGRADE,
        header::TE,
        header::TRAILER,
        header::EXPECT,
        header::ACCEPT_ENCODING,
        header::PROXY_AUTHORIZATION,
    ];
    HOST_ONLY.iter().any(|own| own.as_str().eq_ignore_ascii_case(name))
        || ["keep-alive", "proxy-connection"].iter().any(|own| own.eq_ignore_ascii_case(name))
}

/// The address of a proxy.
///
/// # Errors
/// What is wrong with it, without a word of it: it may hold a password.
pub fn proxy_url(text: &Secret) -> Result<Url, &'static str> {
    let url = Url::parse(&text.expose_text()).map_err(|_| "it is no address")?;
    match url.scheme() {
        "http" if url.host_str().is_none_or(str::is_empty) => Err("it names no host"),
        "http" if url.path() != "/" || url.query().is_some() || url.fragment().is_some() => {
            Err("it has more than a host and a port")
        }
        "http" => Ok(url),
        "https" => Err("it is spoken to over `http://` only, through which `https://` goes untouched"),
        _ => Err("it does not begin with `http://`"),
    }
}

fn is_loopback(url: &Url) -> bool {
    match url.host() {
        Some(url::Host::Ipv4(address)) => address.is_loopback(),
        Some(url::Host::Ipv6(address)) => address.is_loopback(),
        Some(url::Host::Domain(name)) => name == "localhost",
        None => false,
    }
}
