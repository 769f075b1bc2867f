//! Who sends: a key with its secret for servers, a key alone for web pages.
//!
//! A key that has a secret is of no use without it, or whoever reads a page could speak as the server.

use weft_plugin::web::Credentials;
use weft_plugin::{Environment, Request, Secret};

use crate::{Config, FullKey, Key};

/// Bytes of a key's name: it begins the message ids of events, which have 256.
pub(crate) const NAME_BYTES_MAX: usize = 64;

/// A sender who is known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Sender<'c> {
    /// The key's name in the configuration.
    pub(crate) name: &'c str,
    /// Where its events count, whatever it says itself.
    pub(crate) environment: Option<Environment>,
    /// Whether it may search for people.
    pub(crate) may_search: bool,
}

/// Why a sender is not let in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Stranger {
    /// It says nothing of itself.
    Nobody,
    /// It says something, and there is no such key, or another secret.
    Wrong,
}

/// The sender of a request from a server: `Authorization: Basic`, the key as the user and its secret as the password.
pub(crate) fn server<'c>(config: &'c Config, request: &Request) -> Result<Sender<'c>, Stranger> {
    match Credentials::of(request) {
        Credentials::None => Err(Stranger::Nobody),
        Credentials::Unreadable => Err(Stranger::Wrong),
        Credentials::Basic { user, password } => find(config, &user, Some(&password)).ok_or(Stranger::Wrong),
    }
}

/// The sender of a request from a web page, by the key that it names.
pub(crate) fn page<'c>(config: &'c Config, key: &str) -> Result<Sender<'c>, Stranger> {
    find(config, key, None).ok_or(Stranger::Wrong)
}

/// The sender of an identity call: a server, or a web page whose key stands in `x-mp-key`.
pub(crate) fn either<'c>(config: &'c Config, request: &Request) -> Result<Sender<'c>, Stranger> {
    match request.header("x-mp-key") {
        Some(key) => page(config, key),
        None => server(config, request),
    }
}

/// Every key is compared, so that the time does not say which.
fn find<'c>(config: &'c Config, key: &str, secret: Option<&str>) -> Option<Sender<'c>> {
    let equals = |known: &Secret, sent: &str| !sent.is_empty() && known.equals(sent.as_bytes());
    let mut found = None;
    for (name, known) in &config.keys {
        let full = known.in_full();
        let is_key = full.key.as_ref().map_or(name == key, |known| equals(known, key));
        let is_secret = match (&full.secret, secret) {
            (Some(known), Some(sent)) => equals(known, sent),
            (None, None) => true,
            _ => false,
        };
        if is_key && is_secret {
            let may_search = full.search.unwrap_or(full.secret.is_some());
            found = found.or(Some(Sender { name, environment: full.environment, may_search }));
        }
    }
    found
}

impl Key {
    fn in_full(&self) -> FullKey {
        match self {
            Key::Secret(secret) => FullKey { key: None, secret: Some(secret.clone()), environment: None, search: None },
            Key::Full(full) => full.clone(),
        }
    }
}
