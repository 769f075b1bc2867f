//! Configuration: from YAML files to one immutable [`Config`], or to everything that is wrong with them.
//!
//! ```text
//! files ─► trees with places ─► one tree ─► placeholders ─► schemas: ours, each plugin's ─► specs ─► references ─► Config
//!  workspace      tree         workspace    placeholder         schema, settle              spec      reference
//! ```
//!
//! Every step reports all that it finds, each with a place, and the next goes on with what is right ([`source::Report`]).
//! Nothing here loads a plugin, opens a socket or makes a folder: manifests are handed in, and what cannot be checked
//! without the outside is left to others. A bad configuration never becomes a `Config` (invariant 8), and a secret never
//! stands in one as a text (invariant 7). `format` lays files out, and changes nothing of what they say.

pub mod alone;
mod attribute;
mod build;
pub mod connection;
mod cron;
mod diff;
pub mod edit;
pub mod format;
mod inline;
mod kept;
pub mod limits;
pub mod origin;
mod placeholder;
mod reference;
mod rights;
mod schema;
pub mod secret;
mod settle;
pub mod source;
pub mod spec;
pub mod tree;
pub mod units;
mod workspace;
pub mod zone;

use std::collections::BTreeMap;
use std::fmt;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use weft_domain::attribute::Attribute;
use weft_domain::consent::Rule;
use weft_domain::event::Environment as EventEnvironment;
use weft_domain::identity::Rules;
use weft_domain::plan::Plan;
use weft_domain::problem::{Code, Place, Problem, Problems, Severity};
use weft_host::{ConfigProblem, Digest, Manifest};

pub use connection::{Auth, Connection};
pub use cron::Cron;
pub use diff::{Change, ChangeKind};
pub use kept::{Kept, MARK};
pub use origin::Origin;
pub use rights::OpenDsr;
pub(crate) use schema::nearest;
pub use secret::{Environment, Secret};
pub use spec::matching::{MatchingSpec, Wrong as Contradiction};
pub(crate) use spec::plain;
pub use spec::rights::InactiveSpec;
pub use spec::scenario::Scenario;
pub use spec::stage::{BucketSpec, EventsSpec, OnError};
pub use spec::{ErasureSpec, LimitsSpec, Scope};
pub use units::{Duration, Rate, Size};
pub use workspace::MAIN_FILE;

use crate::signature::PublicKey;
use inline::Inlined;
use placeholder::Recipe;
use source::{At, Sources, join};
use tree::Node;

/// The variable that names the folder of secrets. Without it: `secrets` in the workspace.
pub const SECRETS_VARIABLE: &str = "WEFT_SECRETS";

/// What a workspace says, checked as a whole. It never changes: another configuration is another value.
#[derive(Clone)]
pub struct Config {
    /// The folder that relative paths begin from.
    pub folder: PathBuf,
    /// The name of the workspace.
    pub name: String,
    /// The name of an IANA time zone, which [`zone::find`] knows.
    pub zone: String,
    /// Where to listen. Where others can reach it, there are tokens.
    pub listen: SocketAddr,
    /// The data folder.
    pub data: PathBuf,
    /// Bounds that the operator sets.
    pub limits: LimitsSpec,
    /// What happens after somebody was erased.
    pub erasure: ErasureSpec,
    /// When customers who are silent are forgotten.
    pub inactive: Option<InactiveSpec>,
    /// How requests of people are taken in the form of OpenDSR.
    pub opendsr: Option<Arc<OpenDsr>>,
    /// Who may use the API, by name.
    pub tokens: BTreeMap<String, Token>,
    /// Plugins by name.
    pub plugins: BTreeMap<String, PluginFile>,
    /// The outside, by name.
    pub connections: BTreeMap<String, Connection>,
    /// Sources by name.
    pub sources: BTreeMap<String, Source>,
    /// Transforms by name. [`Config::chain`] puts them in order.
    pub transforms: BTreeMap<String, Transform>,
    /// Who is who.
    pub identity: Rules,
    /// How people are found who are one and share no identifier; none where they are not looked for.
    pub matching: Option<MatchingSpec>,
    /// What events come to, and traits with a rule of their own, by their ids.
    pub attributes: Vec<Attribute>,
    /// Destinations by name.
    pub destinations: BTreeMap<String, Destination>,
    /// Scenarios, in the order of the files.
    pub tests: Vec<Scenario>,
    /// What works, and probably not as meant.
    pub warnings: Problems,
    files: Sources,
    inlined: Inlined,
    tree: Node,
    recipes: Vec<Recipe>,
}

/// A token of the API.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Token {
    /// SHA-256 of the token.
    pub hash: [u8; 32],
    /// What may be done with it.
    pub scopes: Vec<Scope>,
}

/// A plugin's file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PluginFile {
    /// The name that stages use.
    pub name: String,
    /// Where its file is from.
    pub origin: Origin,
    /// The keys of which one must have signed it; empty where it need not be signed.
    pub keys: Vec<PublicKey>,
}

/// A plugin's own block, and what its handles stand for. They mean nothing to another stage.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Block {
    /// JSON text for the plugin: secrets are `secret:<pointer>`, folders `folder:<n>`.
    pub json: String,
    /// Secrets by handle.
    pub secrets: BTreeMap<String, Secret>,
    /// Folders by handle; they need not exist.
    pub folders: BTreeMap<String, PathBuf>,
}

/// Where events come from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Source {
    /// A plugin of this kind, by name.
    pub plugin: String,
    /// How its plugin comes by what it reads.
    pub reads: Reads,
    /// The connection of the plugin's own requests, or that of its bucket, by name.
    pub connection: Option<String>,
    /// The plugin's block.
    pub block: Block,
    /// Where its events count, unless an event says otherwise.
    pub environment: EventEnvironment,
}

/// How a source's plugin comes by what it reads.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reads {
    /// Requests at this path of the listener, which has no slash at its end.
    Http(String),
    /// An API, every so many milliseconds.
    PollEvery(Duration),
    /// An API, at these times of the day, in milliseconds since midnight, in ascending order.
    PollAt(Vec<u64>),
    /// An API, by five fields.
    PollCron(Cron),
    /// Files.
    Files {
        /// The whole path, with wildcards.
        pattern: String,
        /// Whether they are followed while they grow.
        tail: bool,
        /// How long they must not have changed.
        rest: Duration,
        /// How often it is looked for them.
        every: Duration,
    },
    /// Objects of the bucket at the source's connection.
    Bucket(BucketSpec),
}

impl Source {
    /// The path of the listener, where it has one.
    #[must_use]
    pub fn http_path(&self) -> Option<&str> {
        if let Reads::Http(path) = &self.reads { Some(path) } else { None }
    }
}

/// What is done with events.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Transform {
    /// A plugin of this kind, by name.
    pub plugin: String,
    /// Sources and transforms that are read. Nothing else reads them.
    pub inputs: Vec<String>,
    /// The plugin's block.
    pub block: Block,
    /// What happens to an event that the plugin fails on.
    pub on_error: OnError,
}

/// Where events and profiles go.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Destination {
    /// A plugin of this kind, by name.
    pub plugin: String,
    /// The connection of the plugin's requests, by name.
    pub connection: Option<String>,
    /// The events that it is fed with.
    pub events: Option<EventsSpec>,
    /// Whether it hears of changed profiles.
    pub profiles: Option<spec::stage::All>,
    /// What somebody must have agreed to before anything about them goes there.
    pub consent: Option<Rule>,
    /// Where the events count that it is fed with.
    pub environment: EventEnvironment,
    /// The plugin's block.
    pub block: Block,
    /// Attempts before a delivery becomes a dead letter.
    pub attempts_max: u32,
    /// Deliveries in one batch.
    pub batch_records_max: u32,
    /// Bytes in one batch.
    pub batch_bytes_max: u64,
    /// How long a batch that is not full waits for more.
    pub batch_wait: std::time::Duration,
    /// Batches under way at once.
    pub concurrency: u32,
}

/// All that a stage at work was made of: another that would be made of the same would be the same.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Making {
    /// The plugin.
    pub plugin: Digest,
    /// Its connection.
    pub connection: Option<Connection>,
    /// Its part of the configuration.
    pub stage: Ingredients,
}

/// A stage's part of the configuration.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Ingredients {
    /// Of a source.
    Source(Source),
    /// Of a destination.
    Destination(Destination),
}

/// What plugins say of themselves. The caller has loaded them; here they are only asked for.
pub trait Manifests {
    /// The manifest of the plugin that the workspace calls so.
    ///
    /// # Errors
    /// Why there is none; it is reported where the plugin is declared.
    fn manifest(&self, plugin: &str) -> Result<Manifest, Refusal>;
}

impl<F: Fn(&str) -> Result<Manifest, Refusal>> Manifests for F {
    fn manifest(&self, plugin: &str) -> Result<Manifest, Refusal> {
        self(plugin)
    }
}

/// Why a plugin could not be loaded.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// One of the codes of plugins.
    pub code: Code,
    /// For people: lower case, no full stop.
    pub message: String,
    /// How to mend it.
    pub hint: Option<String>,
}

/// Reads a workspace: a folder with `weft.yaml`, that file, or another file that is a workspace by itself.
///
/// # Errors
/// Everything that is wrong with it, warnings among it, sorted by place.
pub fn load(path: &Path, environment: &Environment, manifests: &dyn Manifests) -> Result<Config, Problems> {
    build::load(path, environment, manifests)
}

/// The plugins that a workspace names, for a first look: what to load before [`load`] asks for manifests. An entry with a
/// mistake in it is left out; [`load`] reports it.
///
/// # Errors
/// What is wrong, where the files cannot be read at all.
pub fn plugins(path: &Path, environment: &Environment) -> Result<Vec<PluginFile>, Problems> {
    build::plugins(path, environment)
}

/// The public keys by which all plugins of a workspace must be signed; none where the files cannot be read.
#[must_use]
pub fn trusted_keys(path: &Path, environment: &Environment) -> Vec<PublicKey> {
    build::trusted_keys(path, environment)
}

/// The folder of the workspace at a path: what relative paths begin from.
#[must_use]
pub fn folder(path: &Path) -> PathBuf {
    if path.is_dir() {
        return Kept::read(path).map_or_else(|| path.to_owned(), |kept| kept.folder);
    }
    path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new(".")).to_owned()
}

/// The data folder of the workspace at a path, as far as its files can be read; where they cannot, the usual one.
#[must_use]
pub fn data_folder(path: &Path, environment: &Environment) -> PathBuf {
    let (folder, data) = build::setting(path, environment, "data");
    folder.join(data.unwrap_or_else(spec::default_data))
}

/// Where the engine of the workspace at a path listens, as far as its files can be read; where they cannot, where one usually does.
#[must_use]
pub fn listen(path: &Path, environment: &Environment) -> SocketAddr {
    let named = build::setting(path, environment, "listen").1.and_then(|listen| listen.parse().ok());
    named.unwrap_or_else(|| spec::default_listen().0.parse().expect("it is an address"))
}

/// What the workspace at a path is called, as far as its files can be read.
#[must_use]
pub fn name(path: &Path, environment: &Environment) -> Option<String> {
    build::setting(path, environment, "name").1
}

/// Whether something can be called this in a workspace.
#[must_use]
pub fn is_name(text: &str) -> bool {
    let rest = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || matches!(byte, b'-' | b'_');
    text.len() <= 63 && text.starts_with(|first: char| first.is_ascii_lowercase()) && text.bytes().all(rest)
}

/// The JSON Schema of a workspace, as text: what `schemas/workspace.schema.json` holds.
#[must_use]
pub fn schema_text() -> String {
    let mut text = serde_json::to_string_pretty(&spec::schema()).expect("a schema is JSON");
    text.push('\n');
    text
}

impl Config {
    /// The transforms that the events of a source go through, in order.
    #[must_use]
    pub fn chain(&self, source: &str) -> Vec<&str> {
        let mut chain = Vec::new();
        let mut stage = source;
        // No stage has two readers and there is no circle: this was checked.
        while let Some((name, _)) =
            self.transforms.iter().find(|(_, transform)| transform.inputs.iter().any(|input| input == stage))
        {
            chain.push(&**name);
            stage = name;
        }
        chain
    }

    /// The rules of the fold.
    #[must_use]
    pub fn plan(&self, generation: u64) -> Plan {
        let lanes = |is_fed: fn(&Destination) -> bool| {
            self.destinations.iter().filter(|(_, destination)| is_fed(destination)).map(|(name, _)| name.clone()).collect()
        };
        Plan {
            generation,
            identity: self.identity.clone(),
            event_lanes: lanes(|destination| destination.events.is_some()),
            profile_lanes: lanes(|destination| destination.profiles.is_some()),
            duplicate_window_events: self.limits.duplicate_window as usize,
            attributes: self.attributes.clone(),
            matching: self.matching.is_some(),
            consent: self
                .destinations
                .iter()
                .filter_map(|(name, destination)| Some((name.clone(), destination.consent.clone()?)))
                .collect(),
        }
    }

    /// Reads secrets again, and gives what has changed to all who hold them: connections, and the stages that they are lent
    /// to. To be called when something in the folder of secrets ([`Config::secrets_folder`]) changed, as often as one likes.
    /// Nothing else of the configuration changes, and nothing is opened anew.
    ///
    /// How many changed, and a problem for each that could not be read: it stays as it was.
    pub fn renew_secrets(&self, environment: &Environment) -> (usize, Problems) {
        let (vault, mut renewed, mut problems) = (build::vault(&self.folder, environment), 0, Problems::new());
        for recipe in &self.recipes {
            match recipe.renew(&vault) {
                Ok(is_other) => renewed += usize::from(is_other),
                Err(problem) => problems.push(problem.at(self.files.place(&recipe.at))),
            }
        }
        problems.sort();
        (renewed, problems)
    }

    /// The texts of all secrets that placeholders stand for. For who must not write them down.
    #[must_use]
    pub fn secret_texts(&self) -> Vec<String> {
        self.recipes.iter().map(Recipe::text_now).collect()
    }

    /// The folder with a file for each secret; it need not exist.
    #[must_use]
    pub fn secrets_folder(&self, environment: &Environment) -> PathBuf {
        build::vault(&self.folder, environment).folder
    }

    /// The files that it was read from: YAML, what plugins' blocks name, and certificates.
    pub fn files(&self) -> impl Iterator<Item = &Path> {
        let certificates = self.connections.values().flat_map(|connection| &connection.tls.files);
        let certificates = certificates.chain(self.opendsr.iter().flat_map(|opendsr| &opendsr.files));
        self.files.paths().chain(self.inlined.keys().map(PathBuf::as_path)).chain(certificates.map(PathBuf::as_path))
    }

    /// Where something stands: what a JSON pointer names in the merged configuration, or the nearest thing around it.
    #[must_use]
    pub fn place(&self, pointer: &str) -> Place {
        let mut nearest = pointer;
        loop {
            if let Some((_, span)) = self.tree.find(nearest) {
                let span = if nearest.is_empty() { source::Span::top(span.file) } else { span };
                return self.files.place(&At { span, path: pointer.to_owned() });
            }
            nearest = nearest.rsplit_once('/').map_or("", |(above, _)| above);
        }
    }

    /// What a plugin finds wrong with its own block, as a problem with a place. `section` is `sources`, `transforms` or
    /// `destinations`.
    #[must_use]
    pub fn plugin_problem(&self, section: &str, stage: &str, found: &ConfigProblem) -> Problem {
        let block = join(&join(&join("", section), stage), "config");
        let problem = Problem {
            hint: found.hint.clone(),
            severity: Severity::Error,
            ..Problem::error(Code::PLUGIN_CONFIG, found.message.clone())
        };
        problem.at(self.place(&format!("{block}{}", found.path)))
    }
}

/// Without the files: their secrets are blotted out of excerpts only.
impl fmt::Debug for Config {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Config")
            .field("folder", &self.folder)
            .field("name", &self.name)
            .field("listen", &self.listen)
            .field("data", &self.data)
            .field("limits", &self.limits)
            .field("erasure", &self.erasure)
            .field("plugins", &self.plugins)
            .field("connections", &self.connections)
            .field("sources", &self.sources)
            .field("transforms", &self.transforms)
            .field("identity", &self.identity)
            .field("attributes", &self.attributes)
            .field("destinations", &self.destinations)
            .finish_non_exhaustive()
    }
}
