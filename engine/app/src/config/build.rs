//! The steps from files to a [`Config`], in their order.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::LazyLock;

use serde::de::DeserializeOwned;
use weft_domain::attribute::Attribute;
use weft_domain::identity::Rules;
use weft_domain::problem::{Code, Problem, Problems};
use weft_host::Manifest;

use super::attribute;
use super::connection;
use super::inline::{self, Inlined};
use super::origin::Origin;
use super::placeholder::{self, Recipe};
use super::reference::References;
use super::rights;
use super::schema::{self, Schema};
use super::secret::{Environment, Secret, Vault};
use super::settle::{self, Ground};
use super::source::{Report, Sources, Span, join};
use super::spec::consent::ConsentSpec;
use super::spec::stage::{FileSpec, HttpSpec, KeyText, PluginSpec, PollSpec, SourceSpec};
use super::spec::{self, WorkspaceSpec};
use super::tree::{Entry, Node, Value};
use super::workspace::{self, Workspace};
use super::{Block, Config, Destination, Manifests, PluginFile, Reads, Refusal, SECRETS_VARIABLE, Source, Token, Transform};
use crate::signature::PublicKey;

/// The sections of stages, each with a plugin's block in it.
const STAGES: [&str; 3] = ["sources", "transforms", "destinations"];

pub(super) fn plugins(path: &Path, environment: &Environment) -> Result<Vec<PluginFile>, Problems> {
    let mut report = Report::default();
    let Workspace { folder, sources, tree, .. } = workspace::read(path, &mut report);
    let Some(mut tree) = tree else { return Err(report.finish(&sources)) };
    placeholder::fill(&mut tree, &vault(&folder, environment), &mut report);
    let trusted = keys(&tree);
    let entries = tree.get("plugins").map_or(&[][..], Node::entries);
    let file = |entry: &Entry| {
        let text = |key: &str| entry.node.get(key).and_then(Node::text).map(str::to_owned);
        let key = text("key").map(KeyText);
        plugin_file(&folder, &entry.key, [text("path"), text("url"), text("oci")], key.as_ref(), &trusted)
    };
    Ok(entries.iter().filter(|entry| !report.has_errors_under(&join("/plugins", &entry.key))).filter_map(file).collect())
}

/// The folder of a workspace, and the text of one of its settings, as far as its files can be read.
pub(super) fn setting(path: &Path, environment: &Environment, name: &str) -> (PathBuf, Option<String>) {
    let mut report = Report::default();
    let Workspace { folder, tree, .. } = workspace::read(path, &mut report);
    let named = tree.and_then(|mut tree| {
        placeholder::fill(&mut tree, &vault(&folder, environment), &mut report);
        tree.get(name).and_then(Node::text).map(str::to_owned)
    });
    (folder, named)
}

pub(super) fn trusted_keys(path: &Path, environment: &Environment) -> Vec<PublicKey> {
    let mut report = Report::default();
    let Workspace { folder, tree, .. } = workspace::read(path, &mut report);
    let Some(mut tree) = tree else { return Vec::new() };
    placeholder::fill(&mut tree, &vault(&folder, environment), &mut report);
    keys(&tree)
}

fn keys(tree: &Node) -> Vec<PublicKey> {
    let keys = tree.get("trusted_keys").map_or(&[][..], Node::items);
    keys.iter().filter_map(|key| key.text()?.parse().ok()).collect()
}

/// Where a plugin's file is from, and who must have signed it; none where that is not said, or said wrongly.
fn plugin_file(
    folder: &Path,
    name: &str,
    places: [Option<String>; 3],
    key: Option<&KeyText>,
    trusted: &[PublicKey],
) -> Option<PluginFile> {
    let origin = match places {
        [Some(path), None, None] => Origin::File { path: folder.join(&path), written: path },
        [None, Some(url), None] => url.parse().ok()?,
        [None, None, Some(artifact)] => artifact.parse().ok()?,
        _ => return None,
    };
    let keys = match key {
        Some(key) => vec![key.0.parse().ok()?],
        None => trusted.to_vec(),
    };
    Some(PluginFile { name: name.to_owned(), origin, keys })
}

/// A plugin is in one place.
fn places(tree: &Node, report: &mut Report) {
    for entry in tree.get("plugins").map_or(&[][..], Node::entries) {
        let path = join("/plugins", &entry.key);
        if report.has_errors_under(&path) || !matches!(entry.node.value, Value::Map(_)) {
            continue;
        }
        let places: Vec<&Entry> = ["path", "url", "oci"].into_iter().filter_map(|key| entry.node.entry(key)).collect();
        let dotted = schema::dotted(&path);
        match places[..] {
            [_] => {}
            [] => {
                let problem = Problem::error(Code::CONFIG_MISSING_KEY, format!("the key `path` is missing in `{dotted}`"));
                report.add(entry.span.at(path), problem.expected("path: a text, or `url`, or `oci`"));
            }
            [first, second, ..] => {
                let message = format!("`{dotted}` has both `{}` and `{}`: a plugin is in one place", first.key, second.key);
                let problem = Problem::error(Code::CONFIG_REFUSED, message).hint("leave one of them");
                report.add_with(second.span.at(join(&path, &second.key)), problem, "it is said here first", first.span.at(path));
            }
        }
    }
}

pub(super) fn load(path: &Path, environment: &Environment, manifests: &dyn Manifests) -> Result<Config, Problems> {
    let mut report = Report::default();
    let Workspace { folder, mut sources, kept, tree } = workspace::read(path, &mut report);
    let Some(mut tree) = tree else { return Err(report.finish(&sources)) };

    let vault = vault(&folder, environment);
    let recipes = placeholder::fill(&mut tree, &vault, &mut report);
    fill_empty_sections(&mut tree);
    hide_slips(&tree, &mut sources);
    let secrets = check_shape(&mut tree, &mut sources, &mut report);
    places(&tree, &mut report);

    let data = tree.get("data").and_then(Node::text).map_or_else(|| folder.join("data"), |data| folder.join(data));
    let ours =
        DATA_PARTS.iter().map(|part| (data.join(part), "the logs and the state")).chain([(vault.folder.clone(), "secrets")]);
    let ground = Ground { workspace: &folder, closed: ours.collect() };
    let kept = kept.map(|kept| kept.inlined(path));
    let inlined = inline(&mut tree, &ground, kept.as_ref(), &mut sources, &mut report);
    let manifests = ask(&tree, manifests, &mut report);
    let closed = vec![(data.clone(), "the logs and the state"), (vault.folder.clone(), "secrets")];
    let ground = Ground { workspace: &folder, closed };
    let blocks = blocks(&mut tree, &manifests, &ground, &mut sources, &mut report);

    let spec = read_spec(&tree, &mut report);
    References { tree: &tree, spec: &spec, folder: &folder, manifests: &manifests }.check(&mut report);
    let identity = spec.identity.rules().unwrap_or_else(|_| Rules::default());
    if report.has_errors() {
        return Err(report.finish(&sources));
    }
    let attributes = attribute::build(&spec).expect("formats and references were checked");
    let parts = Parts { folder, data, secrets, recipes, inlined, blocks, identity, attributes };
    Ok(parts.config(spec, report.finish(&sources), sources, tree))
}

/// What the engine keeps in its data folder.
const DATA_PARTS: [&str; 7] = ["intake", "history", "state", "matching", "generations", "erasure", "rights"];

/// Puts what is in the files that plugins' blocks name in their places.
fn inline(tree: &mut Node, ground: &Ground<'_>, kept: Option<&Inlined>, sources: &mut Sources, report: &mut Report) -> Inlined {
    let mut inlined = Inlined::new();
    for section in STAGES {
        let names: Vec<String> = tree.get(section).map_or(&[][..], Node::entries).iter().map(|entry| entry.key.clone()).collect();
        for name in names {
            let base = join(&join(&join("", section), &name), "config");
            if let Some(block) = tree.find_mut(&base) {
                inlined.extend(inline::fill(block, &base, ground, kept, sources, report));
            }
        }
    }
    inlined
}

pub(super) fn vault<'a>(folder: &Path, environment: &'a Environment) -> Vault<'a> {
    let named = environment.get(SECRETS_VARIABLE).ok().flatten().filter(|name| !name.is_empty());
    Vault { folder: named.map_or_else(|| folder.join("secrets"), PathBuf::from), environment }
}

/// A section whose entries are all commented out is an empty one.
fn fill_empty_sections(tree: &mut Node) {
    let Value::Map(entries) = &mut tree.value else { return };
    let may_be_empty = |key: &str| {
        spec::NAMED_SECTIONS.contains(&key) || ["identity", "limits", "erasure", "retention", "rights"].contains(&key)
    };
    for entry in entries.iter_mut().filter(|entry| entry.node.value == Value::Null) {
        if may_be_empty(&entry.key) {
            entry.node.value = Value::Map(Vec::new());
        } else if entry.key == "tests" {
            entry.node.value = Value::List(Vec::new());
        }
    }
    for section in entries.iter_mut().filter(|entry| STAGES.contains(&&*entry.key)) {
        let Value::Map(stages) = &mut section.node.value else { continue };
        for stage in stages {
            if let Some(config) = stage.node.find_mut("/config")
                && config.value == Value::Null
            {
                config.value = Value::Map(Vec::new());
            }
        }
    }
}

/// Blots out what is probably a secret in the wrong place: a token where its hash belongs, a password in an address.
fn hide_slips(tree: &Node, sources: &mut Sources) {
    let entries = |section: &str| tree.get(section).map_or(&[][..], Node::entries);
    let hashes = entries("tokens").iter().filter_map(|token| token.node.get("hash"));
    let tokens = hashes.filter(|hash| hash.text().is_some_and(|text| !text.starts_with("sha256:")));
    tokens.for_each(|node| sources.hide(node.span));
    let has_user = |text: &str| text.split_once("://").is_some_and(|(_, rest)| rest.contains('@'));
    for connection in entries("connections") {
        connection.node.scalars("", &mut |_, node| {
            if node.text().is_some_and(has_user) {
                sources.hide(node.span);
            }
        });
    }
}

/// Checks the workspace against its own schema. The secrets of its own sections, by handle.
fn check_shape(tree: &mut Node, sources: &mut Sources, report: &mut Report) -> BTreeMap<String, Secret> {
    static SCHEMA: LazyLock<Schema> = LazyLock::new(|| Schema::compile(spec::schema()).expect("a test loads workspaces with it"));
    let leaves = SCHEMA.formats(tree).unwrap_or_else(|message| {
        report.add_nowhere(Problem::error(Code::YAML_TOO_LARGE, message));
        Vec::new()
    });
    let (marked, open) = (settle::of_format(&leaves, "secret"), settle::of_format(&leaves, "weft-value"));
    // `/sources/<name>/config` and what is in it belongs to the plugin.
    let is_in_block = |pointer: &str| {
        let mut steps = pointer.split('/').skip(1);
        let section = steps.next().is_some_and(|section| STAGES.contains(&section));
        section && steps.nth(1) == Some("config")
    };
    // First of all, so that nothing that is said later quotes a secret.
    let mut secrets = settle::secrets(tree, "", &marked, sources, report);
    secrets.extend(settle::values(tree, &open, sources, report));
    SCHEMA.check(tree, "", sources, report);
    settle::misplaced(tree, "", &marked.union(&open).cloned().collect(), is_in_block, report);
    secrets
}

/// The manifests of the plugins that are declared and could be loaded.
fn ask(tree: &Node, manifests: &dyn Manifests, report: &mut Report) -> BTreeMap<String, Manifest> {
    let mut known = BTreeMap::new();
    for entry in tree.get("plugins").map_or(&[][..], Node::entries) {
        let path = join("/plugins", &entry.key);
        if report.has_errors_under(&path) {
            continue;
        }
        match manifests.manifest(&entry.key) {
            Ok(manifest) => drop(known.insert(entry.key.clone(), manifest)),
            Err(Refusal { code, message, hint }) => {
                let place = ["path", "url", "oci"].into_iter().find_map(|key| entry.node.entry(key));
                let (span, path) = match place {
                    Some(file) => (file.node.span, join(&path, &file.key)),
                    None => (entry.span, path),
                };
                report.add(span.at(path), Problem { hint, ..Problem::error(code, message) });
            }
        }
    }
    known
}

/// The plugins' blocks, by section and stage, as far as they are right. The tree is left with handles in them.
fn blocks(
    tree: &mut Node,
    manifests: &BTreeMap<String, Manifest>,
    ground: &Ground<'_>,
    sources: &mut Sources,
    report: &mut Report,
) -> BTreeMap<(String, String), Block> {
    let mut schemas: BTreeMap<String, Option<Schema>> = BTreeMap::new();
    let mut blocks = BTreeMap::new();
    for section in STAGES {
        let stages: Vec<(String, Span)> =
            tree.get(section).map_or(&[][..], Node::entries).iter().map(|entry| (entry.key.clone(), entry.span)).collect();
        for (stage, span) in stages {
            let path = join(&join("", section), &stage);
            let declared = tree.find(&join(&path, "plugin")).and_then(|(node, _)| node.text().map(str::to_owned));
            let base = join(&path, "config");
            let mut missing = Node::empty_map(span);
            let node = tree.find_mut(&base).unwrap_or(&mut missing);
            let manifest = declared.as_ref().and_then(|name| Some((name, manifests.get(name)?)));
            let schema = manifest.and_then(|(name, manifest)| {
                let compiled =
                    schemas.entry(name.clone()).or_insert_with(|| compile(name, manifest, tree_place(name, span), report));
                compiled.as_ref()
            });
            let Some(schema) = schema else {
                settle::hide_all(node, sources);
                continue;
            };
            if let Value::Map(_) = node.value
                && let Some(block) = block(node, &base, schema, ground, sources, report)
            {
                blocks.insert((section.to_owned(), stage), block);
            }
        }
    }
    blocks
}

/// A broken schema is shown where the plugin is first used: its own file is not YAML.
fn tree_place(plugin: &str, span: Span) -> super::source::At {
    span.at(join("/plugins", plugin))
}

fn compile(name: &str, manifest: &Manifest, at: super::source::At, report: &mut Report) -> Option<Schema> {
    Schema::compile(manifest.config.clone())
        .map_err(|message| {
            let problem = Problem::error(Code::PLUGIN_SCHEMA, format!("the plugin `{name}` has a broken schema: {message}"));
            report.add(at, problem.hint("tell the plugin's author"));
        })
        .ok()
}

/// One block: checked against the plugin's schema, its secrets and folders taken out.
pub(super) fn block(
    node: &mut Node,
    base: &str,
    schema: &Schema,
    ground: &Ground<'_>,
    sources: &mut Sources,
    report: &mut Report,
) -> Option<Block> {
    let leaves = match schema.formats(node) {
        Ok(leaves) => leaves,
        Err(message) => {
            settle::hide_all(node, sources);
            report.add(
                node.span.at(base),
                Problem::error(Code::PLUGIN_SCHEMA, format!("the schema of the plugin cannot be used: {message}")),
            );
            return None;
        }
    };
    // The schema sees handles: what it says of a secret's own text beyond its format is not checked.
    let marked = settle::of_format(&leaves, "secret");
    let secrets = settle::secrets(node, base, &marked, sources, report);
    schema.check(node, base, sources, report);
    settle::misplaced(node, base, &marked, |_| false, report);
    let folders = settle::folders(node, base, &settle::of_format(&leaves, "folder"), ground, report);
    Some(Block { json: node.to_json_text(), secrets, folders })
}

/// What of the configuration is right, as specs. The rest has been reported, and has its default.
fn read_spec(tree: &Node, report: &mut Report) -> WorkspaceSpec {
    let mut read = Reader { tree, report };
    WorkspaceSpec {
        version: spec::Version(1),
        name: read.setting("name").unwrap_or_else(|| spec::Name(String::new())),
        zone: read.setting("zone").unwrap_or_else(spec::default_zone),
        listen: read.setting("listen").unwrap_or_else(spec::default_listen),
        data: read.setting("data").unwrap_or_else(spec::default_data),
        limits: read.setting("limits").unwrap_or_default(),
        erasure: read.setting("erasure").unwrap_or_default(),
        retention: read.setting("retention").unwrap_or_default(),
        rights: read.setting("rights").unwrap_or_default(),
        tokens: read.named("tokens"),
        trusted_keys: read.setting("trusted_keys").unwrap_or_default(),
        plugins: read.named("plugins"),
        connections: read.named("connections"),
        sources: read.named("sources"),
        transforms: read.named("transforms"),
        identity: read.setting("identity").unwrap_or_default(),
        attributes: read.named("attributes"),
        traits: read.named("traits"),
        destinations: read.named("destinations"),
        tests: read.setting("tests").unwrap_or_default(),
    }
}

struct Reader<'a> {
    tree: &'a Node,
    report: &'a mut Report,
}

impl Reader<'_> {
    fn setting<T: DeserializeOwned>(&mut self, key: &str) -> Option<T> {
        let entry = self.tree.entry(key)?;
        self.read(entry, join("", key))
    }

    fn named<T: DeserializeOwned>(&mut self, section: &str) -> BTreeMap<String, T> {
        let entries = self.tree.get(section).map_or(&[][..], Node::entries);
        let read = |entry: &Entry| Some((entry.key.clone(), self.read(entry, join(&join("", section), &entry.key))?));
        entries.iter().filter_map(read).collect()
    }

    fn read<T: DeserializeOwned>(&mut self, entry: &Entry, path: String) -> Option<T> {
        if self.report.has_errors_under(&path) {
            return None;
        }
        let read = serde_json::from_str(&entry.node.to_json_text());
        // The schema and the specs come from the same types; where they differ all the same, the user hears of it.
        read.map_err(|error| {
            let problem = Problem::error(Code::CONFIG_BAD_VALUE, format!("`{}` cannot be read: {error}", schema::dotted(&path)));
            self.report.add(entry.span.at(path), problem);
        })
        .ok()
    }
}

/// What the specs do not hold.
struct Parts {
    folder: PathBuf,
    data: PathBuf,
    secrets: BTreeMap<String, Secret>,
    recipes: Vec<Recipe>,
    inlined: Inlined,
    blocks: BTreeMap<(String, String), Block>,
    identity: Rules,
    attributes: Vec<Attribute>,
}

impl Parts {
    /// Puts the configuration together. There are no errors: every reference and every text was checked.
    fn config(mut self, spec: WorkspaceSpec, warnings: Problems, files: Sources, tree: Node) -> Config {
        let opendsr = rights::build(&spec, &connection::Builder { folder: &self.folder, secrets: &self.secrets });
        let trusted: Vec<PublicKey> =
            spec.trusted_keys.iter().map(|key| key.0.parse().expect("the format was checked")).collect();
        let plugin = |(name, plugin): (String, PluginSpec)| {
            let places = [plugin.path, plugin.url.map(|url| url.0), plugin.oci.map(|artifact| artifact.0)];
            let file = plugin_file(&self.folder, &name, places, plugin.key.as_ref(), &trusted);
            (name, file.expect("places and formats were checked"))
        };
        let plugins = spec.plugins.into_iter().map(plugin).collect();
        let build = connection::Builder { folder: &self.folder, secrets: &self.secrets };
        let connections = spec.connections.into_iter().map(|(name, spec)| (name, build.connection(spec))).collect();
        let token = |token: spec::TokenSpec| Token { hash: hash_bytes(&token.hash.0), scopes: token.scopes };
        let sources = spec.sources.into_iter().map(|(name, source)| {
            let block = self.block("sources", &name);
            let reads = self.reads(&source);
            let SourceSpec { plugin, connection, environment, .. } = source;
            (name, Source { plugin, reads, connection, block, environment })
        });
        let sources = sources.collect();
        let transforms = spec.transforms.into_iter().map(|(name, transform)| {
            let block = self.block("transforms", &name);
            (name, Transform { plugin: transform.plugin, inputs: transform.inputs, block, on_error: transform.on_error })
        });
        let transforms = transforms.collect();
        let destinations = spec.destinations.into_iter().map(|(name, destination)| {
            let block = self.block("destinations", &name);
            let destination = Destination {
                plugin: destination.plugin,
                connection: destination.connection,
                events: destination.from.events,
                profiles: destination.from.profiles,
                consent: destination.consent.as_ref().map(ConsentSpec::rule),
                environment: destination.environment,
                block,
                attempts_max: destination.retry.attempts,
                batch_records_max: destination.batch.records,
                batch_bytes_max: destination.batch.bytes.as_bytes(),
                batch_wait: destination.batch.wait.into(),
                concurrency: destination.concurrency,
            };
            (name, destination)
        });
        let destinations = destinations.collect();
        Config {
            folder: self.folder,
            name: spec.name.0,
            zone: spec.zone.0,
            listen: spec.listen.0.parse().expect("the format was checked"),
            data: self.data,
            limits: spec.limits,
            erasure: spec.erasure,
            inactive: spec.retention.inactive_profiles,
            opendsr,
            tokens: spec.tokens.into_iter().map(|(name, spec)| (name, token(spec))).collect(),
            plugins,
            connections,
            sources,
            transforms,
            identity: self.identity,
            matching: spec.identity.matching,
            attributes: self.attributes,
            destinations,
            tests: spec.tests,
            warnings,
            files,
            inlined: self.inlined,
            tree,
            recipes: self.recipes,
        }
    }

    fn block(&mut self, section: &str, stage: &str) -> Block {
        self.blocks.remove(&(section.to_owned(), stage.to_owned())).expect("a stage without errors has a block")
    }

    /// What the source reads; that it reads one thing was checked.
    fn reads(&self, source: &SourceSpec) -> Reads {
        if let Some(HttpSpec { path }) = &source.http {
            return Reads::Http(path.0.trim_end_matches('/').to_owned());
        }
        if let Some(FileSpec { path, tail, rest, every }) = &source.file {
            let pattern = self.folder.join(path).display().to_string();
            return Reads::Files { pattern, tail: *tail, rest: *rest, every: *every };
        }
        match (&source.poll, &source.bucket) {
            (Some(PollSpec::At(times)), _) => {
                let mut times: Vec<u64> = times.iter().filter_map(|time| schema::time_of_day(&time.0).ok()).collect();
                times.sort_unstable();
                times.dedup();
                Reads::PollAt(times)
            }
            (Some(PollSpec::Cron(cron)), _) => Reads::PollCron(cron.0.parse().expect("its format was checked")),
            (Some(PollSpec::Every(every)), _) => Reads::PollEvery(*every),
            (None, bucket) => Reads::Bucket(bucket.clone().unwrap_or_default()),
        }
    }
}

/// The 32 bytes of `sha256:` and 64 hexadecimal digits.
fn hash_bytes(text: &str) -> [u8; 32] {
    let digits = text.strip_prefix("sha256:").unwrap_or_default().as_bytes();
    let digit = |byte: u8| (byte as char).to_digit(16).and_then(|digit| u8::try_from(digit).ok()).unwrap_or(0);
    let mut hash = [0; 32];
    for (byte, pair) in hash.iter_mut().zip(digits.chunks_exact(2)) {
        *byte = digit(pair[0]) << 4 | digit(pair[1]);
    }
    hash
}
