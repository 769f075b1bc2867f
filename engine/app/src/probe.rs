//! Whether what a configuration names outside is there and lets us in: each connection by itself, and each stage that has one.
//!
//! Nothing is delivered, polled or kept. Of a connection, a token is had where one is needed, and a socket opened, with TLS and all hellos; of a stage, the
//! plugin's own `check` is asked, which knows more: a token may be good and not good for this.

use std::sync::Arc;
use std::time::{Duration, Instant};

use serde::Serialize;
use tokio::sync::Semaphore;
use weft_host::{Destination, Failure, Fault, Source, Stage, WantedLimits};

use crate::assembly::{Connections, Plugins};
use crate::config::{Block, Config};
use crate::egress::Gateway;
use crate::engine::EngineError;
use crate::lending::Desk;
use crate::limits;

/// What was found.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// What was tried.
    pub what: What,
    /// Its name in the configuration.
    pub name: String,
    /// Of a stage: the connection that it goes through.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub connection: Option<String>,
    /// How long it took, in milliseconds.
    pub ms: u64,
    /// What is in the way; nothing, where it is there and lets us in.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub failed: Option<Obstacle>,
}

/// What was tried.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum What {
    /// A connection: its token, its socket.
    Connection,
    /// A source: what its plugin asks.
    Source,
    /// A destination: what its plugin asks.
    Destination,
}

/// What is in the way.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Obstacle {
    /// Who can mend it, as of a failure (`credentials`, `unavailable` …), or the code of a plugin's crash.
    pub kind: String,
    /// For people.
    pub message: String,
}

/// What is tried.
enum Trial {
    Connection(Gateway),
    Source(Source),
    Destination(Destination),
}

impl Trial {
    async fn run(&self) -> Result<(), Obstacle> {
        let of_failure = |failure: Failure| Obstacle { kind: failure.kind.code().to_owned(), message: failure.message };
        let fault = match self {
            Trial::Connection(gateway) => return gateway.try_out().await.map_err(of_failure),
            Trial::Source(source) => source.check().await,
            Trial::Destination(destination) => destination.check().await,
        };
        fault.map_err(|fault| match fault {
            Fault::Failure(failure) => of_failure(failure),
            Fault::Crash(crash) => Obstacle { kind: crash.kind.code().to_owned(), message: crash.message },
            other => Obstacle { kind: "internal".to_owned(), message: other.to_string() },
        })
    }
}

/// Tries everything at once, up to a number, and says what was found in the order of the configuration: connections, sources,
/// destinations.
///
/// # Errors
/// A connection or a stage cannot be made.
pub async fn probe(config: &Config, plugins: &Plugins) -> Result<Vec<Finding>, EngineError> {
    let mut connections = Connections::default();
    connections.adopt(config)?;
    let stage = |name: &str, block: &Block, connection: &str| Stage {
        name: name.to_owned(),
        config: block.json.clone(),
        lent: Arc::new(Desk {
            stage: name.to_owned(),
            secrets: block.secrets.clone(),
            folders: block.folders.clone(),
            connection: connections.get(connection),
            ledger: None,
        }),
        limits: WantedLimits::default(),
    };
    let plugin = |name: &str| plugins.get(name).ok_or_else(|| EngineError::Broken(format!("the plugin `{name}` is not loaded")));
    let mut trials = Vec::new();
    for name in config.connections.keys() {
        let Some(gateway) = connections.get(name) else { continue };
        trials.push((What::Connection, name.clone(), None, Trial::Connection(gateway)));
    }
    for (name, source) in &config.sources {
        let Some(connection) = &source.connection else { continue };
        let made = plugin(&source.plugin)?.source(stage(name, &source.block, connection))?;
        trials.push((What::Source, name.clone(), Some(connection.clone()), Trial::Source(made)));
    }
    for (name, destination) in &config.destinations {
        let Some(connection) = &destination.connection else { continue };
        let made = plugin(&destination.plugin)?.destination(stage(name, &destination.block, connection))?;
        trials.push((What::Destination, name.clone(), Some(connection.clone()), Trial::Destination(made)));
    }
    let turns = Arc::new(Semaphore::new(limits::PROBES_AT_ONCE));
    let mut running = Vec::new();
    for (what, name, connection, trial) in trials {
        let turns = turns.clone();
        running.push(tokio::spawn(async move {
            let _turn = turns.acquire().await;
            let began = Instant::now();
            let failed = trial.run().await.err();
            Finding { what, name, connection, ms: millis(began.elapsed()), failed }
        }));
    }
    let mut findings = Vec::new();
    for trial in running {
        findings.push(trial.await.map_err(|error| EngineError::Broken(error.to_string()))?);
    }
    Ok(findings)
}

fn millis(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}
