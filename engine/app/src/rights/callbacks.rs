//! Telling those who asked to hear of a request's status: signed, over `https`, in the order of the changes, again and again until they have it.
//!
//! Whom to call, a request says; so every address is looked at as a connection of the configuration looks at it, and once more where it is
//! opened: nobody is led into a private network. A slow one holds up nobody but itself.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use tokio::task::JoinSet;
use tokio::time::Instant;
use weft_host::HttpRequest;

use super::answer::{Told, signature};
use super::request;
use crate::clock::Clock;
use crate::config::OpenDsr;
use crate::egress::{Connection, ConnectionOptions, Network};
use crate::limits;

/// A callback: of which request, and the place among its callbacks.
pub(super) type Key = (String, usize);

/// Calls that are under way, and those that wait for another try.
#[derive(Default)]
pub(super) struct Calls {
    flying: JoinSet<(Key, Result<(), String>)>,
    out: BTreeSet<Key>,
    waits: BTreeMap<Key, (u32, Instant)>,
}

impl Calls {
    /// Whether this one may be called now.
    pub(super) fn may_call(&self, key: &Key) -> bool {
        let rested = self.waits.get(key).is_none_or(|(_, until)| *until <= Instant::now());
        self.out.len() < limits::CALLBACKS_AT_ONCE && !self.out.contains(key) && rested
    }

    /// Calls.
    pub(super) fn call(&mut self, key: Key, told: Told, terms: Arc<OpenDsr>, clock: Clock) {
        self.out.insert(key.clone());
        self.flying.spawn(async move { (key, tell(&told, &terms, clock).await) });
    }

    /// Waits for one that comes back, for ever where none is out: whose it is, and whether it was heard.
    pub(super) async fn back(&mut self) -> (Key, Result<(), String>) {
        loop {
            match self.flying.join_next().await {
                Some(Ok((key, heard))) => {
                    self.out.remove(&key);
                    match &heard {
                        Ok(()) => drop(self.waits.remove(&key)),
                        Err(_) => {
                            let tries = self.waits.get(&key).map_or(1, |(tries, _)| tries + 1);
                            self.waits.insert(key.clone(), (tries, Instant::now() + patience(tries)));
                        }
                    }
                    return (key, heard);
                }
                // One that panicked is forgotten, and called again at the next start.
                Some(Err(panic)) => tracing::error!(%panic, "a callback failed"),
                None => std::future::pending().await,
            }
        }
    }

    /// Nothing more is to be told there.
    pub(super) fn give_up(&mut self, key: &Key) {
        self.waits.remove(key);
    }
}

/// The wait after so many tries: doubling.
fn patience(tries: u32) -> Duration {
    limits::CALLBACK_WAIT.saturating_mul(1 << tries.saturating_sub(1).min(16)).min(limits::CALLBACK_WAIT_MAX)
}

/// Tells it once.
async fn tell(told: &Told, terms: &OpenDsr, clock: Clock) -> Result<(), String> {
    let url = request::callback(&told.status_callback_url, terms)?;
    let body = serde_json::to_vec(told).expect("what is told has string keys");
    let signature = signature(terms, &body).map_err(|reason| format!("the private key cannot be used: {reason}"))?;
    let mut origin = url.clone();
    origin.set_path("/");
    origin.set_query(None);
    let options = ConnectionOptions {
        timeout: limits::CALLBACK_TIME_MAX,
        retries: 0,
        proxy: terms.proxy.clone(),
        tls: terms.tls.clone(),
        answer_bytes_max: limits::CALLBACK_ANSWER_BYTES_MAX,
        allow_private: if terms.allow_private { Network::all().to_vec() } else { Vec::new() },
        clock,
        ..ConnectionOptions::new("callback", origin)
    };
    let connection = Connection::new(options).map_err(|error| error.to_string())?;
    let target = url.query().map_or_else(|| url.path().to_owned(), |query| format!("{}?{query}", url.path()));
    let headers = [
        ("content-type", "application/json"),
        ("x-opendsr-processor-domain", &*terms.domain),
        ("x-opendsr-signature", &*signature),
    ];
    let headers = headers.map(|(name, value)| (name.to_owned(), value.to_owned())).to_vec();
    let request = HttpRequest { method: "POST".into(), target, headers, body, timeout_ms: None };
    let answer = connection.send(request).await.map_err(|failure| failure.message)?;
    if (200..300).contains(&answer.status) { Ok(()) } else { Err(format!("it answers {}", answer.status)) }
}
