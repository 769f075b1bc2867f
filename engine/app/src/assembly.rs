//! From a configuration to plugins at work: loads what it names, gives each stage what it is granted, and opens it.
//!
//! Loading happens twice: manifests first, because each plugin's block is checked against that plugin's own schema, then the
//! stages of a configuration that is right.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use weft_domain::input::Stream;
use weft_domain::problem::{Code, Problems};
use weft_host::{Digest, Host, Manifest, Plugin, Stage, WantedLimits};

use crate::bounds::{Bounds, Inactive};
use crate::clock::Clock;
use crate::config::{self, Block, BucketSpec, Config, Environment, EventsSpec, Ingredients, Making, Reads, Refusal};
use crate::delivery::{Filter, Lane};
use crate::door::Door;
use crate::driver::{self, Bucket, Driver, Files, Schedule};
use crate::egress::{Connection, Gateway};
use crate::engine::{EngineError, Settings, Stages, Terms};
use crate::lending::Desk;
use crate::lock::{Admission, refusal};
use crate::matcher::Rules;
use crate::pipeline::{Chains, Step};
use crate::vault::DataFolder;
use crate::writer::Ledger;

/// Plugins by the names that a workspace gives them; those that cannot be loaded with the reason.
pub struct Plugins(BTreeMap<String, Result<Plugin, Refusal>>);

impl Plugins {
    /// Loads the plugins that a workspace names.
    ///
    /// # Errors
    /// What is wrong with the files of the workspace, where they cannot be read at all, and with its lock.
    pub async fn load(host: &Host, workspace: &Path, environment: &Environment) -> Result<Plugins, Problems> {
        let mut loaded = BTreeMap::new();
        let kept = config::Kept::read(workspace);
        let admission = Admission::read(&config::folder(workspace), environment)?;
        for file in config::plugins(workspace, environment)? {
            // What is kept was admitted when it was taken on.
            let copy = kept.as_ref().and_then(|kept| kept.plugin(workspace, &file.name));
            let found = match copy {
                Some(copy) => std::fs::read(&copy).map(|bytes| (copy, bytes)).map_err(|error| lost(&error)),
                None => admission.admit(&file),
            };
            let plugin = match found {
                Ok((path, bytes)) => host.load_bytes(&path, bytes).await.map_err(|error| refusal(&error)),
                Err(refusal) => Err(refusal),
            };
            loaded.insert(file.name, plugin);
        }
        Ok(Plugins(loaded))
    }

    /// The digest and the file of each, by name.
    #[must_use]
    pub fn files(&self) -> BTreeMap<String, (String, PathBuf)> {
        let loaded = self.0.iter().filter_map(|(name, plugin)| Some((name, plugin.as_ref().ok()?)));
        loaded.map(|(name, plugin)| (name.clone(), (plugin.digest().to_string(), plugin.path().to_owned()))).collect()
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

fn lost(error: &std::io::Error) -> Refusal {
    Refusal { code: Code::PLUGIN_NOT_FOUND, message: format!("its copy cannot be read: {error}"), hint: None }
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
    Settings { data, listen: Some(config.listen), terms: terms(config), clock }
}

/// What of a configuration is in force beside its stages.
#[must_use]
pub fn terms(config: &Config) -> Terms {
    let bounds = Bounds {
        intake_lag_max: config.limits.intake_lag,
        intake_bytes_max: config.limits.intake_kept.as_bytes(),
        history_bytes_max: config.limits.history_kept.map(|kept| kept.as_bytes()),
        suppress: config.erasure.suppress,
        inactive: config.inactive.map(|inactive| Inactive {
            after_ms: inactive.after.map(|after| after.as_ms()),
            anonymous_after_ms: inactive.anonymous_after.map(|after| after.as_ms()),
            at_once_max: inactive.per_hour as usize,
        }),
        requests_max: config.limits.requests_per_sender,
    };
    let matching = config.matching.as_ref().and_then(Rules::of);
    let (tokens, opendsr) = (config.tokens.values().cloned().collect(), config.opendsr.clone());
    Terms { name: config.name.clone(), plan: config.plan(0), matching, tokens, bounds, opendsr }
}

/// Connections that are in use, from one configuration to the next: one that is the same goes on, with its pace and its open sockets.
#[derive(Clone, Default)]
pub struct Connections(BTreeMap<String, (config::Connection, Gateway)>);

impl Connections {
    /// Has the connections of a configuration, and no others.
    pub(crate) fn adopt(&mut self, config: &Config) -> Result<(), EngineError> {
        let mut before = std::mem::take(&mut self.0);
        for (name, spec) in &config.connections {
            let made = match before.remove(name) {
                Some((same, connection)) if same == *spec => connection,
                _ => Gateway::new(name, spec).map_err(|error| EngineError::Broken(format!("connection `{name}`: {error}")))?,
            };
            self.0.insert(name.clone(), (spec.clone(), made));
        }
        Ok(())
    }

    pub(crate) fn get(&self, name: &str) -> Option<Gateway> {
        self.0.get(name).map(|(_, connection)| connection.clone())
    }
}

/// One connection by itself, with the texts that must not be written down of what it says: every secret of the workspace.
///
/// # Errors
/// Where there is no connection of this name, or it cannot be made.
pub fn connection(config: &Config, name: &str) -> Result<(Arc<Connection>, Vec<String>), EngineError> {
    let spec = config.connections.get(name);
    let spec = spec.ok_or_else(|| EngineError::Broken(format!("the workspace has no connection `{name}`")))?;
    let made = Gateway::new(name, spec);
    let made = made.map_err(|error| EngineError::Broken(format!("connection `{name}`: {error}")))?;
    let Gateway::Http(made) = made else {
        return Err(EngineError::Broken(format!("the connection `{name}` takes messages, and no requests")));
    };
    // What is written into the file itself has no placeholder.
    let secrets = config.secret_texts().into_iter().chain(spec.secrets().into_iter().map(config::Secret::expose_text)).collect();
    Ok((made, secrets))
}

/// Makes the stages of a configuration ready.
///
/// # Errors
/// [`EngineError`], where a plugin is used as what it is not, a connection cannot be made, or a folder cannot be made.
pub fn stages(config: &Config, plugins: &Plugins, ledger: &Ledger, connections: &mut Connections) -> Result<Stages, EngineError> {
    connections.adopt(config)?;
    let bench = Bench { config, plugins, ledger, connections };
    let mut stages = Stages { chains: bench.chains()?, ..Stages::default() };
    for (name, source) in &config.sources {
        match &source.reads {
            Reads::Http(path) => stages.doors.push(bench.door(name, source, path)?),
            reads => stages.drivers.push(bench.driver(name, source, reads)?),
        }
    }
    for (name, destination) in &config.destinations {
        stages.lanes.extend(bench.lanes(name, destination)?);
    }
    Ok(stages)
}

/// Where stages are put together.
struct Bench<'a> {
    config: &'a Config,
    plugins: &'a Plugins,
    ledger: &'a Ledger,
    connections: &'a Connections,
}

impl Bench<'_> {
    fn plugin(&self, name: &str) -> Result<&Plugin, EngineError> {
        self.plugins.get(name).ok_or_else(|| EngineError::Broken(format!("the plugin `{name}` is not loaded")))
    }

    /// A stage with what it is lent.
    fn stage(&self, name: &str, block: &Block, connection: Option<&String>) -> Result<Stage, EngineError> {
        for folder in block.folders.values() {
            std::fs::create_dir_all(folder)
                .map_err(|error| EngineError::Broken(format!("cannot make the folder {}: {error}", folder.display())))?;
        }
        let desk = Desk {
            stage: name.to_owned(),
            secrets: block.secrets.clone(),
            folders: block.folders.clone(),
            connection: connection.and_then(|name| self.connections.get(name)),
            ledger: Some(self.ledger.clone()),
        };
        let limits = WantedLimits::default();
        Ok(Stage { name: name.to_owned(), config: block.json.clone(), lent: Arc::new(desk), limits })
    }

    fn making(&self, plugin: &Plugin, connection: Option<&String>, stage: Ingredients) -> Option<Arc<Making>> {
        let connection = connection.and_then(|name| self.config.connections.get(name)).cloned();
        Some(Arc::new(Making { plugin: plugin.digest(), connection, stage }))
    }

    fn door(&self, name: &str, source: &config::Source, path: &str) -> Result<Door, EngineError> {
        let stage = self.stage(name, &source.block, source.connection.as_ref())?;
        let (name, path, environment) = (name.to_owned(), path.to_owned(), source.environment);
        let secrets = source.block.secrets.clone();
        Ok(Door { name, path, environment, source: self.plugin(&source.plugin)?.source(stage)?, secrets })
    }

    fn driver(&self, name: &str, source: &config::Source, reads: &Reads) -> Result<Driver, EngineError> {
        let plugin = self.plugin(&source.plugin)?;
        let stage = self.stage(name, &source.block, source.connection.as_ref())?;
        let reads = match reads {
            Reads::Http(_) => return Err(EngineError::Broken(format!("the source `{name}` is asked, and not read"))),
            Reads::PollEvery(every) => driver::Reads::Api(Schedule::Every(every.as_ms())),
            Reads::PollAt(times_ms) => {
                let zone = config::zone::find(&self.config.zone).expect("the zone was checked");
                driver::Reads::Api(Schedule::Daily { times_ms: times_ms.clone(), zone })
            }
            Reads::PollCron(cron) => {
                let zone = config::zone::find(&self.config.zone).expect("the zone was checked");
                driver::Reads::Api(Schedule::Cron { cron: cron.clone(), zone })
            }
            Reads::Files { pattern, tail, rest, every } => {
                let data = DataFolder::at(&self.config.data);
                let closed = [data.intake(), data.history(), data.state(), data.matching()];
                let closed = closed.iter().filter_map(|folder| folder.canonicalize().ok()).collect();
                let (pattern, rest, every) = (pattern.clone(), (*rest).into(), (*every).into());
                driver::Reads::Files(Files { pattern, closed, tail: *tail, rest, every })
            }
            Reads::Bucket(spec) => driver::Reads::Bucket(self.bucket(name, source, spec)?),
        };
        Ok(Driver {
            name: name.to_owned(),
            environment: source.environment,
            fingerprint: format!("{} {}", plugin.digest(), Digest::of(source.block.json.as_bytes())),
            making: self.making(plugin, source.connection.as_ref(), Ingredients::Source(source.clone())),
            source: Arc::new(plugin.source(stage)?),
            reads,
            standing: Arc::default(),
        })
    }

    fn bucket(&self, name: &str, source: &config::Source, spec: &BucketSpec) -> Result<Bucket, EngineError> {
        let named = source.connection.as_ref();
        let base_url = named.and_then(|name| Some(&self.config.connections.get(name)?.base_url));
        let (Some(base_url), Some(Gateway::Http(connection))) = (base_url, named.and_then(|name| self.connections.get(name)))
        else {
            return Err(EngineError::Broken(format!("the source `{name}` has no connection that takes requests")));
        };
        let made = Bucket::new(base_url, connection, &spec.prefix, &spec.suffix, spec.every.into());
        made.map_err(|error| EngineError::Broken(format!("the source `{name}`: {error}")))
    }

    /// The transforms of each source.
    fn chains(&self) -> Result<Chains, EngineError> {
        let mut transforms = BTreeMap::new();
        for (name, transform) in &self.config.transforms {
            let stage = self.stage(name, &transform.block, None)?;
            let at_work = Arc::new(self.plugin(&transform.plugin)?.transform(stage)?);
            let step = Step { name: name.as_str().into(), transform: at_work, on_error: transform.on_error };
            transforms.insert(&**name, step);
        }
        let chain = |source: &String| -> Vec<Step> {
            self.config.chain(source).into_iter().filter_map(|name| transforms.get(name).cloned()).collect()
        };
        Ok(self.config.sources.keys().map(|source| (source.clone(), chain(source))).collect())
    }

    fn lanes(&self, name: &str, destination: &config::Destination) -> Result<Vec<Lane>, EngineError> {
        let plugin = self.plugin(&destination.plugin)?;
        let stage = self.stage(name, &destination.block, destination.connection.as_ref())?;
        let at_work = Arc::new(plugin.destination(stage)?);
        let limits = *at_work.limits();
        let ingredients = Ingredients::Destination(destination.clone());
        let making = self.making(plugin, destination.connection.as_ref(), ingredients);
        let lane = |stream: Stream, filter: Filter| Lane {
            name: name.to_owned(),
            stream,
            filter,
            batch_records: destination.batch_records_max.min(limits.batch_records) as usize,
            batch_bytes: usize::try_from(destination.batch_bytes_max.min(limits.batch_bytes)).unwrap_or(usize::MAX),
            batch_wait: destination.batch_wait,
            concurrency: destination.concurrency as usize,
            attempts_max: destination.attempts_max,
            ordered: plugin.manifest().ordered,
            destination: at_work.clone(),
            standing: Arc::default(),
            making: making.clone(),
        };
        let mut lanes = Vec::new();
        if let Some(events) = &destination.events {
            let names = if let EventsSpec::Named(names) = events { names.clone() } else { Vec::new() };
            lanes.push(lane(Stream::Events, Filter { environment: Some(destination.environment), names }));
        }
        if destination.profiles.is_some() {
            lanes.push(lane(Stream::Profiles, Filter::default()));
        }
        Ok(lanes)
    }
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
