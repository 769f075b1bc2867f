//! What people may ask, checked: who signs, what the types of identities are here, and how those are reached who want to hear of it.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustls::client::verify_server_name;
use rustls::crypto::ring::default_provider;
use rustls::pki_types::ServerName;
use rustls::server::ParsedCertificate;
use rustls::sign::CertifiedKey;
use weft_domain::problem::{Code, Problem};
use weft_domain::value::Excerpt;

use super::connection::{Builder, Tls, certificates, private_key, proxy_url, rsa_key};
use super::limits;
use super::schema::nearest;
use super::secret::Secret;
use super::settle::secret_of;
use super::source::{Report, Span, join};
use super::spec::WorkspaceSpec;
use super::spec::rights::{InactiveSpec, OpenDsrSpec};
use super::tree::Node;
use super::units::Duration;

/// The types of identities of OpenDSR, section 5.1.
const TYPES: [&str; 11] = [
    "android_advertising_id",
    "android_id",
    "controller_customer_id",
    "email",
    "fire_advertising_id",
    "ios_advertising_id",
    "ios_vendor_id",
    "microsoft_advertising_id",
    "microsoft_publisher_id",
    "roku_advertising_id",
    "roku_publisher_id",
];

/// How requests are taken in the form of OpenDSR.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OpenDsr {
    /// The domain under which others reach the engine, and for which the certificate was issued.
    pub domain: String,
    /// Who the company is in answers.
    pub controller: String,
    /// What everything is signed with: [`rsa_key`] reads it.
    pub key: Secret,
    /// The certificate and those between it and its authority, in PEM.
    pub certificate: String,
    /// Types of identities in requests, and the type of identifier that each is here.
    pub identities: BTreeMap<String, String>,
    /// All types of identifiers of the workspace.
    pub identifiers: Vec<String>,
    /// How long an erasure waits.
    pub erasure_wait: Duration,
    /// Until when a request is expected to be completed.
    pub complete_within: Duration,
    /// How long a result can be downloaded.
    pub results_kept: Duration,
    /// Whom to trust on the way to those who want to hear of it.
    pub tls: Tls,
    /// The proxy on that way.
    pub proxy: Option<Secret>,
    /// Whether that way may lead into a private network.
    pub allow_private: bool,
    /// The files that this was read from.
    pub files: Vec<PathBuf>,
}

/// Makes it of what was written and checked.
pub(super) fn build(spec: &WorkspaceSpec, build: &Builder<'_>) -> Option<Arc<OpenDsr>> {
    let opendsr = spec.rights.opendsr.clone()?;
    let identifiers = identifiers(spec);
    let identities = if opendsr.identities.is_empty() { usual(&identifiers) } else { opendsr.identities };
    let certificate = build.folder.join(&opendsr.certificate);
    let roots = opendsr.callbacks.roots.map(|name| build.folder.join(name));
    // Read a moment ago, by the check.
    let text = std::fs::read_to_string(&certificate).unwrap_or_default();
    let trusted = roots.as_deref().map(certificates).and_then(Result::ok).unwrap_or_default();
    Some(Arc::new(OpenDsr {
        domain: opendsr.domain,
        controller: opendsr.controller.unwrap_or_else(|| spec.name.0.clone()),
        key: build.secret(opendsr.key),
        certificate: text,
        identities,
        identifiers,
        erasure_wait: opendsr.erasure_wait,
        complete_within: opendsr.complete_within,
        results_kept: opendsr.results_kept,
        tls: Tls { roots: trusted, ..Tls::default() },
        proxy: opendsr.callbacks.proxy.map(|proxy| build.value(proxy)),
        allow_private: opendsr.callbacks.allow_private,
        files: std::iter::once(certificate).chain(roots).collect(),
    }))
}

fn identifiers(spec: &WorkspaceSpec) -> Vec<String> {
    let rules = spec.identity.rules().unwrap_or_default();
    rules.identifiers.into_iter().map(|rule| rule.kind).collect()
}

/// What the types of OpenDSR are here unless somebody says it.
fn usual(identifiers: &[String]) -> BTreeMap<String, String> {
    let here = |kind: &str| if kind == "controller_customer_id" { "user_id".to_owned() } else { kind.to_owned() };
    let pairs = TYPES.iter().map(|kind| ((*kind).to_owned(), here(kind)));
    pairs.filter(|(_, here)| identifiers.contains(here)).collect()
}

/// Reports what is wrong with `rights` and `retention`.
pub(super) fn check(tree: &Node, folder: &Path, spec: &WorkspaceSpec, report: &mut Report) {
    let mut look = Look { tree, report };
    if let Some(opendsr) = &spec.rights.opendsr {
        look.times(opendsr);
        look.identities(opendsr, &identifiers(spec));
        look.signature(opendsr, folder);
        look.callbacks(opendsr, folder);
    }
    if let Some(inactive) = &spec.retention.inactive_profiles {
        look.inactive(inactive);
    }
}

struct Look<'a> {
    tree: &'a Node,
    report: &'a mut Report,
}

impl Look<'_> {
    fn say(&mut self, path: &str, problem: Problem) {
        let span = self.tree.find(path).map_or(Span::top(0), |(_, span)| span);
        self.report.add(span.at(path), problem);
    }

    fn times(&mut self, spec: &OpenDsrSpec) {
        let OpenDsrSpec { erasure_wait, complete_within, results_kept, .. } = spec;
        if complete_within.as_ms() == 0 || complete_within < erasure_wait {
            let message =
                format!("a request cannot be completed within `{complete_within}` where an erasure waits `{erasure_wait}`");
            let problem = Problem::error(Code::CONFIG_OUT_OF_RANGE, message).expected("more than `erasure_wait`");
            let written = ["/rights/opendsr/complete_within", "/rights/opendsr/erasure_wait"];
            self.say(written.into_iter().find(|path| self.tree.find(path).is_some()).unwrap_or(written[0]), problem);
        }
        if !limits::RESULTS_KEPT_MS.contains(&results_kept.as_ms()) {
            let message = format!("a result cannot be kept for `{results_kept}`");
            let problem = Problem::error(Code::CONFIG_OUT_OF_RANGE, message).expected("between `1h` and `90d`");
            self.say("/rights/opendsr/results_kept", problem);
        }
    }

    fn identities(&mut self, spec: &OpenDsrSpec, identifiers: &[String]) {
        for (kind, here) in &spec.identities {
            if !identifiers.contains(here) {
                let message = format!("there is no type of identifier `{}`", Excerpt(here));
                let problem = Problem::error(Code::REFERENCE_UNKNOWN, message);
                let problem = match nearest(here, identifiers.iter().map(String::as_str)) {
                    Some(near) => problem.hint(format!("did you mean `{near}`?")),
                    None => problem.expected("a type of `identity.identifiers`"),
                };
                self.say(&join("/rights/opendsr/identities", kind), problem);
            }
        }
        if spec.identities.is_empty() && usual(identifiers).is_empty() {
            let message = "no type of identity that OpenDSR has is a type of identifier here";
            let problem = Problem::error(Code::CONFIG_REFUSED, message).hint("say which is which: `identities: { email: mail }`");
            self.say("/rights/opendsr", problem);
        }
    }

    /// The key must be RSA, be that of the certificate, and the certificate be for the domain: else nobody could check a signature.
    fn signature(&mut self, spec: &OpenDsrSpec, folder: &Path) {
        let key = secret_of(self.tree.find("/rights/opendsr/key").map(|(node, _)| node));
        let usable = key.as_ref().map(|key| rsa_key(key).map(drop));
        if let Some(Err(reason)) = usable {
            let problem = Problem::error(Code::CONNECTION_KEY, format!("the private key cannot be used: {reason}"));
            self.say(
                "/rights/opendsr/key",
                problem.hint("OpenDSR signs with RSA: keep such a key in a file of the folder of secrets"),
            );
        }
        let unusable = |reason: &str| {
            let message = format!("the file `{}` cannot be used: {reason}", Excerpt(&spec.certificate));
            Problem::error(Code::CONNECTION_FILE, message)
        };
        let place = "/rights/opendsr/certificate";
        let chain = match certificates(&folder.join(&spec.certificate)) {
            Ok(chain) => chain,
            Err(reason) => {
                let problem = unusable(&reason).expected("the certificate in PEM, relative to the workspace");
                return self.say(place, problem);
            }
        };
        let is_for_domain = ParsedCertificate::try_from(&chain[0]).ok().zip(ServerName::try_from(&*spec.domain).ok());
        if is_for_domain.is_none_or(|(certificate, name)| verify_server_name(&certificate, &name).is_err()) {
            let problem = unusable(&format!("it was not issued to `{}`", Excerpt(&spec.domain)));
            self.say(place, problem.hint("who checks a signature compares the certificate's name with `domain`"));
        }
        let signing = match (usable, key.as_ref().map(private_key)) {
            (Some(Ok(())), Some(Ok(key))) => default_provider().key_provider.load_private_key(key).ok(),
            _ => None,
        };
        if let Some(key) = signing
            && CertifiedKey::new(chain, key).keys_match().is_err()
        {
            self.say(place, unusable("it is not the certificate of `key`").hint("the key and the certificate are made together"));
        }
    }

    fn callbacks(&mut self, spec: &OpenDsrSpec, folder: &Path) {
        if let Some(name) = &spec.callbacks.roots
            && let Err(reason) = certificates(&folder.join(name))
        {
            let message = format!("the file `{}` cannot be used: {reason}", Excerpt(name));
            let problem =
                Problem::error(Code::CONNECTION_FILE, message).expected("certificates in PEM, relative to the workspace");
            self.say("/rights/opendsr/callbacks/roots", problem);
        }
        let place = "/rights/opendsr/callbacks/proxy";
        let proxy = secret_of(self.tree.find(place).map(|(node, _)| node));
        if let Some(Err(reason)) = proxy.map(|proxy| proxy_url(&proxy).map(drop)) {
            let problem = Problem::error(Code::CONFIG_BAD_VALUE, format!("the proxy cannot be used: {reason}"));
            self.say(place, problem.expected("an address such as `http://proxy.example:3128`"));
        }
    }

    fn inactive(&mut self, spec: &InactiveSpec) {
        let path = "/retention/inactive_profiles";
        for (key, after) in [("after", spec.after), ("anonymous_after", spec.anonymous_after)] {
            if after.is_some_and(|after| after.as_ms() < limits::INACTIVE_MS_MIN) {
                let message = format!("nobody is inactive after `{}`", after.unwrap_or_default());
                let problem = Problem::error(Code::CONFIG_OUT_OF_RANGE, message).expected("`1d` or more");
                self.say(&join(path, key), problem);
            }
        }
        match (spec.after, spec.anonymous_after) {
            (None, None) => {
                let problem = Problem::error(
                    Code::CONFIG_MISSING_KEY,
                    format!("the key `after` is missing in `{}`", &path[1..].replace('/', ".")),
                );
                self.say(path, problem.expected("after: a duration, or `anonymous_after`"));
            }
            (Some(after), Some(anonymous)) if anonymous > after => {
                let message = format!("anonymous customers would stay for `{anonymous}`, known ones for `{after}`");
                let problem = Problem::error(Code::CONFIG_REFUSED, message);
                self.say(&join(path, "anonymous_after"), problem.expected("not more than `after`"));
            }
            _ => (),
        }
    }
}
