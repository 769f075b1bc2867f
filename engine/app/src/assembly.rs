//! From a configuration to plugins at work: loads what it names, gives each stage what it is granted, and opens it.
//!
//! Loading happens twice: manifests first, because each plugin's block is checked against that plugin's own schema, then the
//! stages of a configuration that is right.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use weft_domain::input::Stream;
use weft_domain::problem::{Code, Problems};
use weft_host::{Host, HostError, Manifest, Plugin, Stage, WantedLimits};

use crate::clock::Clock;
use crate::config::{self, Block, Config, Environment, EventsSpec, Refusal};
use crate::delivery::{Filter, Lane};
use crate::door::Door;
use crate::egress::Outlet;
use crate::engine::{EngineError, Settings, Stages};
use crate::lending::Desk;
use crate::pipeline::{Chains, Step};
use crate::vault::DataFolder;
use crate::writer::Ledger;

/// Plugins by the names that a workspace gives them; those that cannot be loaded with the reason.
pub struct Plugins(BTreeMap<String, Result<Plugin, Refusal>>);

impl Plugins {
    /// Loads the plugins that a workspace names.
    ///
    /// # Errors
    /// What is wrong with the files of the workspace, where they cannot be read at all.
    pub async fn load(host: &Host, workspace: &Path, environment: &Environment) -> Result<Plugins, Problems> {
        let mut loaded = BTreeMap::new();
        for file in config::plugins(workspace, environment)? {
            let plugin = host.load(&file.path).await.map_err(|error| refusal(&error));
            loaded.insert(file.name, plugin);
        }
        Ok(Plugins(loaded))
    }

    pub(crate) fn get(&self, name: &str) -> Option<&Plugin> {
        self.0.get(name).and_then(|plugin| plugin.as_ref().ok())
    }
}

impl config::Manifests for Plugins {
    fn manifest(&self, plugin: &str) -> Result<Manifest, Refusal> {
        match self.0.get(plugin) {
            Some(Ok(plugin)) => Ok(plugin.manifest().clone()),
            Some(Err(refusal)) => Err(refusal.clone()),
            None => Err(Refusal { code: Code::PLUGIN_NOT_FOUND, message: "it was not loaded".into(), hint: None }),
        }
    }
}

fn refusal(error: &HostError) -> Refusal {
    let (code, hint) = match error {
        HostError::Read { source, .. } if source.kind() == std::io::ErrorKind::NotFound => {
            (Code::PLUGIN_NOT_FOUND, Some("build the plugins first: `cargo xtask plugins`".to_owned()))
        }
        _ => (Code::PLUGIN_UNUSABLE, None),
    };
    Refusal { code, message: error.to_string(), hint }
}

/// Reads a workspace and checks all of it, each plugin's word about its own block included.
///
/// # Errors
/// Everything that is wrong with it.
pub async fn check(host: &Host, workspace: &Path, environment: &Environment) -> Result<(Config, Plugins), Problems> {
    let plugins = Plugins::load(host, workspace, environment).await?;
    let config = config::load(workspace, environment, &plugins)?;
    let mut problems = config.warnings.clone();
    let sources = config.sources.iter().map(|(name, stage)| ("sources", name, &stage.plugin, &stage.block));
    let transforms = config.transforms.iter().map(|(name, stage)| ("transforms", name, &stage.plugin, &stage.block));
    let destinations = config.destinations.iter().map(|(name, stage)| ("destinations", name, &stage.plugin, &stage.block));
    for (section, name, plugin, block) in sources.chain(transforms).chain(destinations) {
        let Some(plugin) = plugins.get(plugin) else { continue };
        for found in plugin.validate(&block.json).await.err().into_iter().flatten() {
            problems.push(config.plugin_problem(section, name, &found));
        }
    }
    if problems.has_errors() { Err(problems) } else { Ok((config, plugins)) }
}

/// What the engine needs to know of a configuration before its plugins.
#[must_use]
pub fn settings(config: &Config, clock: Clock) -> Settings {
    let mut data = DataFolder::at(&config.data);
    data.state_options.cache_bytes = config.limits.state_cache.as_bytes();
    Settings {
        data,
        listen: Some(config.listen),
        plan: config.plan(0),
        tokens: config.tokens.values().cloned().collect(),
        intake_lag_max: config.limits.intake_lag,
        intake_bytes_max: config.limits.intake_kept.as_bytes(),
        history_bytes_max: config.limits.history_kept.map(|kept| kept.as_bytes()),
        clock,
    }
}

/// Makes the stages of a configuration ready.
///
/// # Errors
/// [`EngineError`], where a plugin is used as what it is not, a connection cannot be made, or a folder cannot be made.
pub fn stages(config: &Config, plugins: &Plugins, ledger: &Ledger) -> Result<Stages, EngineError> {
    let connections = connections(config)?;
    let desk = |name: &str, block: &Block, connection: Option<&String>| -> Result<Stage, EngineError> {
        for folder in block.folders.values() {
            std::fs::create_dir_all(folder)
                .map_err(|error| EngineError::Broken(format!("cannot make the folder {}: {error}", folder.display())))?;
        }
        let desk = Desk {
            stage: name.to_owned(),
            secrets: block.secrets.clone(),
            folders: block.folders.clone(),
            connection: connection.and_then(|name| connections.get(name).cloned()),
            ledger: Some(ledger.clone()),
        };
        let limits = WantedLimits::default();
        Ok(Stage { name: name.to_owned(), config: block.json.clone(), lent: Arc::new(desk), limits })
    };
    let plugin = |name: &str| plugins.get(name).ok_or_else(|| EngineError::Broken(format!("the plugin `{name}` is not loaded")));
    let mut stages = Stages::default();
    for (name, source) in &config.sources {
        let Some(path) = &source.http_path else { continue };
        let stage = desk(name, &source.block, source.connection.as_ref())?;
        let (name, path, environment) = (name.clone(), path.clone(), source.environment);
        stages.doors.push(Door { name, path, environment, source: plugin(&source.plugin)?.source(stage)? });
    }
    let mut transforms = BTreeMap::new();
    for (name, transform) in &config.transforms {
        let stage = desk(name, &transform.block, None)?;
        let transform_at_work = Arc::new(plugin(&transform.plugin)?.transform(stage)?);
        let step = Step { name: name.as_str().into(), transform: transform_at_work, on_error: transform.on_error };
        transforms.insert(&**name, step);
    }
    let chain = |source: &String| -> Vec<Step> {
        config.chain(source).into_iter().filter_map(|name| transforms.get(name).cloned()).collect()
    };
    stages.chains = config.sources.keys().map(|source| (source.clone(), chain(source))).collect::<Chains>();
    for (name, destination) in &config.destinations {
        let stage = desk(name, &destination.block, destination.connection.as_ref())?;
        let at_work = Arc::new(plugin(&destination.plugin)?.destination(stage)?);
        let limits = *at_work.limits();
        let lane = |stream: Stream, filter: Filter| Lane {
            name: name.clone(),
            stream,
            filter,
            batch_records: destination.batch_records_max.min(limits.batch_records) as usize,
            batch_bytes: usize::try_from(destination.batch_bytes_max.min(limits.batch_bytes)).unwrap_or(usize::MAX),
            attempts_max: destination.attempts_max,
            destination: at_work.clone(),
            standing: Arc::default(),
        };
        if let Some(events) = &destination.events {
            let names = if let EventsSpec::Named(names) = events { names.clone() } else { Vec::new() };
            stages.lanes.push(lane(Stream::Events, Filter { environment: Some(destination.environment), names }));
        }
        if destination.profiles.is_some() {
            stages.lanes.push(lane(Stream::Profiles, Filter::default()));
        }
    }
    Ok(stages)
}

/// The connections of a configuration, by name.
pub(crate) fn connections(config: &Config) -> Result<BTreeMap<String, Outlet>, EngineError> {
    let connect = |(name, spec): (&String, &config::Connection)| {
        let made = Outlet::new(name, spec);
        Ok((name.clone(), made.map_err(|error| EngineError::Broken(format!("connection `{name}`: {error}")))?))
    };
    config.connections.iter().map(connect).collect()
}

#[cfg(test)]
mod tests {
    use std::net::{IpAddr, Ipv4Addr};

    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::TcpListener;
    use weft_host::{FailureKind, HttpRequest};

    use super::*;
    use crate::egress::{self, Connection, ConnectionOptions};

    /// Every name leads to this machine.
    struct Home;

    impl egress::Resolve for Home {
        fn resolve<'a>(&'a self, _: &'a str) -> egress::Resolving<'a> {
            Box::pin(async { Ok(vec![IpAddr::V4(Ipv4Addr::LOCALHOST)]) })
        }
    }

    #[tokio::test]
    async fn a_private_address_is_reached_where_the_connection_allows_it() {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let port = listener.local_addr().expect("an address").port();
        let server = tokio::spawn(async move {
            let (mut stream, _) = listener.accept().await.expect("a caller");
            let _ = stream.read(&mut [0; 1_024]).await;
            stream.write_all(b"HTTP/1.1 204 No Content\r\n\r\n").await.expect("answers");
        });
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("weft.yaml");
        let connection = |name: &str, more: &str| format!("  {name}: {{ base_url: \"http://crm.example:{port}/\"{more} }}\n");
        let yaml =
            ["version: 1\nname: acme\nconnections:\n", &connection("shut", ""), &connection("open", ", allow_private: true")];
        std::fs::write(&path, yaml.concat()).expect("the folder takes a file");
        let none = |_: &str| -> Result<Manifest, Refusal> { unreachable!("there is no plugin") };
        let config = config::load(&path, &Environment::default(), &none).expect("a configuration");

        let ask = async |name: &str| {
            let options = ConnectionOptions::of(name, &config.connections[name]);
            let connection = Connection::with_resolver(options, Arc::new(Home)).expect("a connection");
            let request =
                HttpRequest { method: "GET".into(), target: "x".into(), headers: Vec::new(), body: Vec::new(), timeout_ms: None };
            connection.send(request).await.map(|answer| answer.status).map_err(|failure| (failure.kind, failure.message))
        };
        let (kind, message) = ask("shut").await.expect_err("is not dialled");
        assert_eq!(kind, FailureKind::Config);
        assert!(message.ends_with("a loopback address: if it is meant, give the connection `allow_private: true`"), "{message}");
        assert_eq!(ask("open").await, Ok(204));
        server.await.expect("was asked");
    }
}
