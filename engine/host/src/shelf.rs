//! The shelf: from a path to a plugin that can be used.
//!
//! A file is read and named by its SHA-256; compiled, or taken from the cache of compiled code; its imports and exports are held
//! against the worlds of the contract; and it is asked once for its manifest, with nothing lent. Nothing here runs a stage.
//!
//! `shelf/cache.rs` keeps what compiling and describing gave; `shelf/fit.rs` verifies imports and exports.

mod cache;
mod fit;

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::Duration;

use sha2::{Digest as _, Sha256};
use wasmtime::component::Component;

use crate::contract::wit::exports;
use crate::contract::{ConfigProblem, Kind, Limits, Manifest, ManifestProblem, Nothing};
use crate::limits;
use crate::sandbox::engine::{Engine, PoolSizes};
use crate::sandbox::instance::{Bare, Exports, Grant, Instance, Prepared};
use crate::sandbox::{Crash, Destination, Source, Stage, Transform};
use cache::Cache;

/// How a host is made.
#[derive(Debug, Clone)]
pub struct HostOptions {
    /// Where compiled code is kept. The host makes the folder its owner's alone, since what is in it is run.
    pub cache_dir: PathBuf,
    /// Instances alive at once, over all stages. Each reserves address space (some 8 GiB), not memory.
    pub instances_max: u32,
    /// The ceiling of any instance's linear memory, in bytes.
    pub memory_bytes_max: u64,
    /// Memory that a place in the pool keeps between instances, in bytes; more than most guests touch, or it costs instead.
    pub keep_resident_bytes: usize,
}

impl HostOptions {
    /// The usual sizes.
    pub fn new(cache_dir: impl Into<PathBuf>) -> Self {
        Self { cache_dir: cache_dir.into(), instances_max: 128, memory_bytes_max: 256 << 20, keep_resident_bytes: 4 << 20 }
    }
}

/// Why a plugin cannot be used, or a host not be made.
#[derive(Debug, thiserror::Error)]
pub enum HostError {
    /// The pool or the clock could not be made.
    #[error("the sandbox cannot be set up: {0}")]
    Engine(String),
    /// The cache folder cannot be used.
    #[error("the cache folder {path} cannot be used: {source}")]
    CacheFolder {
        /// The folder.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// The file cannot be read.
    #[error("the plugin {path} cannot be read: {source}")]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// The file is larger than [`limits::PLUGIN_BYTES_MAX`].
    #[error("the plugin {path} is larger than {} bytes", limits::PLUGIN_BYTES_MAX)]
    TooLarge {
        /// The file.
        path: PathBuf,
    },
    /// The file is not a component that compiles.
    #[error("the plugin {path} is no WebAssembly component: {message}")]
    NotAComponent {
        /// The file.
        path: PathBuf,
        /// Why.
        message: String,
    },
    /// It imports what no world of the contract has.
    #[error("the plugin {path} imports `{import}`, which Weft does not lend to anybody{hint}")]
    UnknownImport {
        /// The file.
        path: PathBuf,
        /// The first such import.
        import: String,
        /// How this usually comes about, beginning with a semicolon; or empty.
        hint: &'static str,
    },
    /// It imports what another kind's world has.
    #[error("the plugin {path} is a {kind} and imports `{import}`, which is never lent to a {kind}")]
    ForeignImport {
        /// The file.
        path: PathBuf,
        /// What it is, by its exports.
        kind: Kind,
        /// The first such import.
        import: String,
    },
    /// It was built for another version of the contract.
    #[error("the plugin {path} was built for `{found}`; this engine supports `{supported}`")]
    OtherContract {
        /// The file.
        path: PathBuf,
        /// The interface that it names.
        found: String,
        /// What this engine has in its place.
        supported: String,
    },
    /// It does not export what one of the worlds exports.
    #[error("the plugin {path} {message}")]
    NotAPlugin {
        /// The file.
        path: PathBuf,
        /// What is missing, as the end of a sentence.
        message: String,
    },
    /// Its imports or exports have the right names and the wrong types.
    #[error("the plugin {path} does not fit the contract: {message}")]
    Misfit {
        /// The file.
        path: PathBuf,
        /// Which, and how.
        message: String,
    },
    /// It broke down over `describe`.
    #[error("the plugin {path} does not say what it is: {crash}")]
    Describe {
        /// The file.
        path: PathBuf,
        /// How it broke down.
        crash: Crash,
    },
    /// Its manifest is wrong.
    #[error("the plugin {path}: {problem}")]
    Manifest {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        problem: ManifestProblem,
    },
    /// It is used as what it is not.
    #[error("the plugin `{name}` is a {is} and cannot be used as a {wanted}")]
    WrongKind {
        /// Its name.
        name: String,
        /// What it is.
        is: Kind,
        /// What was wanted.
        wanted: Kind,
    },
}

impl HostError {
    /// The stable code.
    #[must_use]
    pub fn code(&self) -> &'static str {
        match self {
            HostError::Engine(_) => "sandbox_unavailable",
            HostError::CacheFolder { .. } => "plugin_cache_unusable",
            HostError::Read { .. } => "plugin_unreadable",
            HostError::TooLarge { .. } => "plugin_too_large",
            HostError::NotAComponent { .. } => "plugin_not_a_component",
            HostError::UnknownImport { .. } => "plugin_unknown_import",
            HostError::ForeignImport { .. } => "plugin_foreign_import",
            HostError::OtherContract { .. } => "plugin_other_contract",
            HostError::NotAPlugin { .. } => "plugin_not_a_plugin",
            HostError::Misfit { .. } => "plugin_misfit",
            HostError::Describe { .. } => "plugin_describe_crashed",
            HostError::Manifest { .. } => "plugin_manifest_invalid",
            HostError::WrongKind { .. } => "plugin_wrong_kind",
        }
    }
}

/// A plugin's SHA-256, as pinned in `weft.lock`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Digest([u8; 32]);

impl Digest {
    /// Of a file's bytes.
    #[must_use]
    pub fn of(bytes: &[u8]) -> Self {
        Self(Sha256::digest(bytes).into())
    }

    /// The 32 bytes.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }
}

impl std::fmt::Display for Digest {
    /// 64 hexadecimal digits in lower case.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

/// Where a plugin's code came from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Origin {
    /// From the cache.
    Cached,
    /// Compiled now, and put into the cache.
    Compiled,
    /// Compiled now; it could not be put into the cache, and why. The next start compiles it again.
    CompiledUncached(String),
}

/// The host of all plugins of a process. Cheap to clone.
#[derive(Clone)]
pub struct Host {
    engine: Arc<Engine>,
    cache: Arc<Cache>,
    loaded: Arc<Mutex<HashMap<Digest, Weak<Loaded>>>>,
}

/// A plugin that can be used. Cheap to clone.
#[derive(Clone)]
pub struct Plugin {
    path: Arc<Path>,
    engine: Arc<Engine>,
    loaded: Arc<Loaded>,
}

/// What plugins of one digest share.
struct Loaded {
    digest: Digest,
    manifest: Manifest,
    prepared: Prepared,
    origin: Origin,
    imports: Vec<String>,
    bytes: u64,
}

impl Host {
    /// Makes the pool and the cache folder. Blocks for some milliseconds.
    ///
    /// # Errors
    /// [`HostError::Engine`] where the machine cannot give the address space, [`HostError::CacheFolder`].
    pub fn new(options: HostOptions) -> Result<Self, HostError> {
        let engine = Engine::new(PoolSizes {
            instances_max: options.instances_max.max(1),
            memory_bytes_max: options.memory_bytes_max.max(limits::DESCRIBE_MEMORY_BYTES),
            keep_resident_bytes: options.keep_resident_bytes,
        })
        .map_err(|error| HostError::Engine(format!("{error:#}")))?;
        let cache = Cache::open(&options.cache_dir, engine.wasmtime())
            .map_err(|source| HostError::CacheFolder { path: options.cache_dir, source })?;
        Ok(Self { engine: Arc::new(engine), cache: Arc::new(cache), loaded: Arc::default() })
    }

    /// Loads a plugin. A millisecond where its code is in the cache; else a tenth of a second of compiling for each 150 KB,
    /// on a thread where it blocks nobody. Text in the WAT format is taken too.
    ///
    /// # Errors
    /// Each says what is wrong with the plugin and has a code.
    pub async fn load(&self, path: &Path) -> Result<Plugin, HostError> {
        let reading = path.to_owned();
        let read = tokio::task::spawn_blocking(move || read(&reading));
        let bytes = read.await.unwrap_or_else(|panic| Err(HostError::Engine(format!("reading a plugin panicked: {panic}"))))?;
        self.load_bytes(path, bytes).await
    }

    /// Loads a plugin whose file has been read, so that a caller who looked at the bytes knows that these are what will run. The
    /// path is only a name here.
    ///
    /// # Errors
    /// As [`Host::load`].
    pub async fn load_bytes(&self, path: &Path, bytes: Vec<u8>) -> Result<Plugin, HostError> {
        let path: Arc<Path> = Arc::from(path);
        let host = self.clone();
        let naming = Arc::clone(&path);
        let length = bytes.len() as u64;
        let found = tokio::task::spawn_blocking(move || host.find(&naming, &bytes))
            .await
            .unwrap_or_else(|panic| Err(HostError::Engine(format!("loading a plugin panicked: {panic}"))))?;
        let loaded = match found {
            Found::Loaded(loaded) => loaded,
            Found::Component { digest, component, origin } => self.describe(&path, length, digest, &component, origin).await?,
        };
        Ok(Plugin { path, engine: Arc::clone(&self.engine), loaded })
    }

    /// Compiles, or finds it done. Blocks.
    fn find(&self, path: &Path, bytes: &[u8]) -> Result<Found, HostError> {
        if bytes.len() as u64 > limits::PLUGIN_BYTES_MAX {
            return Err(HostError::TooLarge { path: path.to_owned() });
        }
        let digest = Digest::of(bytes);
        if let Some(loaded) = self.shelved(&digest) {
            return Ok(Found::Loaded(loaded));
        }
        let engine = self.engine.wasmtime();
        if let Some(component) = self.cache.code(&digest, engine) {
            return Ok(Found::Component { digest, component, origin: Origin::Cached });
        }
        let not_a_component = |message: String| HostError::NotAComponent { path: path.to_owned(), message };
        if bytes.starts_with(b"\0asm\x01\0\0\0") {
            return Err(not_a_component("it is a core module; build it with `wasm-component-ld` as its linker".to_owned()));
        }
        let code = engine.precompile_component(bytes).map_err(|error| not_a_component(format!("{error:#}")))?;
        let origin = match self.cache.keep_code(&digest, &code) {
            Ok(()) => Origin::Compiled,
            Err(error) => Origin::CompiledUncached(error.to_string()),
        };
        let component = cache::runnable(engine, &code).map_err(|error| not_a_component(format!("{error:#}")))?;
        Ok(Found::Component { digest, component, origin })
    }

    /// Verifies a component, asks it for its manifest unless the cache knows it, and puts it on the shelf.
    async fn describe(
        &self,
        path: &Path,
        bytes: u64,
        digest: Digest,
        component: &Component,
        origin: Origin,
    ) -> Result<Arc<Loaded>, HostError> {
        let kind = fit::kind(path, component, self.engine.wasmtime())?;
        let prepared = Prepared::new(&self.engine, component, kind)
            .map_err(|error| HostError::Misfit { path: path.to_owned(), message: format!("{error:#}") })?;
        let known = self.cache.manifest(&digest).and_then(|text| Manifest::parse(&text, kind).ok());
        let manifest = match known {
            Some(manifest) => manifest,
            None => {
                let text =
                    ask(&self.engine, &prepared).await.map_err(|crash| HostError::Describe { path: path.to_owned(), crash })?;
                let manifest =
                    Manifest::parse(&text, kind).map_err(|problem| HostError::Manifest { path: path.to_owned(), problem })?;
                // Only a cache: what cannot be kept is asked for again, and `origin` has told of a cache that cannot be written.
                let _ = self.cache.keep_manifest(&digest, &text);
                manifest
            }
        };
        let imports = fit::imports(component, self.engine.wasmtime());
        let loaded = Arc::new(Loaded { digest, manifest, prepared, origin, imports, bytes });
        let mut shelf = self.loaded.lock().unwrap_or_else(PoisonError::into_inner);
        shelf.retain(|_, loaded| loaded.strong_count() > 0);
        shelf.insert(digest, Arc::downgrade(&loaded));
        Ok(loaded)
    }

    fn shelved(&self, digest: &Digest) -> Option<Arc<Loaded>> {
        let shelf = self.loaded.lock().unwrap_or_else(PoisonError::into_inner);
        shelf.get(digest)?.upgrade()
    }
}

enum Found {
    Loaded(Arc<Loaded>),
    Component { digest: Digest, component: Component, origin: Origin },
}

/// A plugin's file, within its bound.
///
/// # Errors
/// [`HostError::Read`], [`HostError::TooLarge`].
pub fn read(path: &Path) -> Result<Vec<u8>, HostError> {
    let unreadable = |source| HostError::Read { path: path.to_owned(), source };
    let length = std::fs::metadata(path).map_err(unreadable)?.len();
    if length > limits::PLUGIN_BYTES_MAX {
        return Err(HostError::TooLarge { path: path.to_owned() });
    }
    std::fs::read(path).map_err(unreadable)
}

async fn ask(engine: &Engine, prepared: &Prepared) -> Result<String, Crash> {
    let grant = Grant {
        lent: Arc::new(Nothing),
        capabilities: Vec::new(),
        memory_bytes: limits::DESCRIBE_MEMORY_BYTES,
        body_bytes: 0,
        budget: Duration::from_millis(limits::DESCRIBE_MS),
        usage: Arc::default(),
    };
    Instance::<Bare>::new(engine, prepared, &(), &grant).await?.describe().await
}

impl Plugin {
    /// What it says about itself.
    #[must_use]
    pub fn manifest(&self) -> &Manifest {
        &self.loaded.manifest
    }

    /// What it is.
    #[must_use]
    pub fn kind(&self) -> Kind {
        self.loaded.manifest.kind
    }

    /// Its file's SHA-256.
    #[must_use]
    pub fn digest(&self) -> Digest {
        self.loaded.digest
    }

    /// Its file, as it was named.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The interfaces that it imports, by their names in the component; sorted.
    #[must_use]
    pub fn imports(&self) -> &[String] {
        &self.loaded.imports
    }

    /// Its file's length in bytes.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        self.loaded.bytes
    }

    /// Its stages' limits, where no operator says otherwise.
    #[must_use]
    pub fn limits(&self) -> Limits {
        Limits::resolve(
            self.kind(),
            self.manifest().limits,
            crate::contract::WantedLimits::default(),
            Limits::ceiling(self.engine.memory_bytes_max()),
        )
    }

    /// Where its code came from.
    #[must_use]
    pub fn origin(&self) -> &Origin {
        &self.loaded.origin
    }

    /// What the plugin finds wrong with a configuration beyond its JSON Schema, which is the caller's to check. Nothing is
    /// lent, so that it can be asked anywhere. A plugin that crashes over it says so as a problem at the root.
    ///
    /// # Errors
    /// The problems.
    pub async fn validate(&self, config_json: &str) -> Result<(), Vec<ConfigProblem>> {
        let grant = Grant::new(Arc::new(Nothing), &self.manifest().capabilities, &self.limits());
        let validated =
            async { Instance::<Bare>::new(&self.engine, &self.loaded.prepared, &(), &grant).await?.validate(config_json).await };
        let problems = validated.await.unwrap_or_else(|crash| {
            vec![ConfigProblem {
                path: String::new(),
                message: format!("the plugin broke down over this configuration: {crash}"),
                hint: Some("report it to the plugin's author".to_owned()),
            }]
        });
        if problems.is_empty() { Ok(()) } else { Err(problems) }
    }

    /// Makes a source of it. Runs nothing yet.
    ///
    /// # Errors
    /// [`HostError::WrongKind`].
    pub fn source(&self, stage: Stage) -> Result<Source, HostError> {
        Ok(Source { runner: self.runner::<exports::source::Guest>(Kind::Source, stage)? })
    }

    /// Makes a transform of it. Runs nothing yet.
    ///
    /// # Errors
    /// [`HostError::WrongKind`].
    pub fn transform(&self, stage: Stage) -> Result<Transform, HostError> {
        Ok(Transform { runner: self.runner::<exports::transform::Guest>(Kind::Transform, stage)? })
    }

    /// Makes a destination of it. Runs nothing yet.
    ///
    /// # Errors
    /// [`HostError::WrongKind`].
    pub fn destination(&self, stage: Stage) -> Result<Destination, HostError> {
        Ok(Destination { runner: self.runner::<exports::destination::Guest>(Kind::Destination, stage)? })
    }

    fn runner<E: Exports>(&self, wanted: Kind, stage: Stage) -> Result<crate::sandbox::Runner<E>, HostError> {
        if self.kind() != wanted {
            return Err(HostError::WrongKind { name: self.manifest().name.clone(), is: self.kind(), wanted });
        }
        crate::sandbox::Runner::new(Arc::clone(&self.engine), self.loaded.prepared.clone(), self.manifest(), stage)
            .map_err(|error| HostError::Misfit { path: self.path.to_path_buf(), message: format!("{error:#}") })
    }
}

impl std::fmt::Debug for Host {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Host").finish_non_exhaustive()
    }
}

impl std::fmt::Debug for Plugin {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Plugin").field("name", &self.manifest().name).field("digest", &self.digest()).finish_non_exhaustive()
    }
}
