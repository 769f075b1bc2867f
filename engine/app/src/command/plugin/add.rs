//! `weft plugin add`, `fetch` and `lock`: how plugins come into a workspace, and what is pinned.

use std::io::{BufRead as _, IsTerminal, Write as _};
use std::path::{Path, PathBuf};

use anyhow::{Context, anyhow, bail};
use weft_domain::problem::Problems;
use weft_host::{Capability, Digest, Host, Plugin};

use super::{host, replace};
use crate::command::{Failed, Output, complain, print};
use crate::config::{self, Environment, Origin, PluginFile, edit};
use crate::lock::{LOCK_FILE, Lock, Store};
use crate::signature;
use crate::supply::{self, Credentials};

/// A plugin to add.
#[derive(clap::Args)]
pub(in crate::command) struct Add {
    /// A `.wasm` file, an address, or `oci://REGISTRY/REPOSITORY:TAG`.
    from: String,
    /// What the workspace calls it; the plugin's own name unless it is said.
    #[arg(long)]
    name: Option<String>,
    /// The workspace: a folder, or its weft.yaml.
    #[arg(long, default_value = ".", value_parser = crate::command::there)]
    workspace: PathBuf,
    /// The public key that must have signed it; it is written into the workspace.
    #[arg(long)]
    key: Option<String>,
    /// Ask nothing.
    #[arg(long, short)]
    yes: bool,
}

/// Plugins to fetch, or to pin.
#[derive(clap::Args)]
pub(in crate::command) struct Of {
    /// The workspace: a folder, or its weft.yaml.
    #[arg(default_value = ".", value_parser = crate::command::there)]
    workspace: PathBuf,
}

pub(super) async fn add(add: Add) -> Result<(), Failed> {
    let folder = config::folder(&add.workspace);
    let known = declared(&add.workspace)?;
    let lock = lock(&folder)?;
    let key: Option<signature::PublicKey> = match &add.key {
        Some(key) => Some(key.parse().map_err(|message| anyhow!("--key: {message}"))?),
        None => None,
    };
    let origin = origin(&add.from, &folder)?;
    let bytes = bytes(&origin, None).await?;
    let host = host()?;
    let plugin = host.load_bytes(Path::new(&add.from), bytes.clone()).await?;
    let name = add.name.unwrap_or_else(|| plugin.manifest().name.clone());
    let mut file = PluginFile { name, origin, keys: key.into_iter().collect() };
    let before = known.iter().find(|before| before.name == file.name);
    if let Some(before) = before {
        if before.origin.to_string() != file.origin.to_string() {
            return Err(anyhow!(
                "the workspace has a plugin `{}` from {}: change it there, and run `weft plugin lock`, or choose another --name",
                file.name,
                before.origin
            )
            .into());
        }
        file.keys.extend(&before.keys);
    } else {
        file.keys.extend(trusted(&add.workspace, &file.keys));
    }
    if !file.keys.is_empty() {
        signature::verify(&bytes, &file.keys).map_err(|why| anyhow!("the plugin {} {why}", file.origin))?;
    }
    print(&introduced(&plugin, &bytes));
    if !add.yes && !agreed(&format!("\nadd it as `{}`?", file.name))? {
        return Err(anyhow!("nothing was added").into());
    }
    pin_one(&folder, &file, &bytes, &plugin, lock, &host, &known).await?;
    if before.is_none() {
        declare(&add.workspace, &file, key.as_ref())?;
    }
    Ok(())
}

/// Keys that every plugin of the workspace must be signed by, where none is named for this one.
fn trusted(workspace: &Path, named: &[signature::PublicKey]) -> Vec<signature::PublicKey> {
    if named.is_empty() { config::trusted_keys(workspace, &Environment::of_process()) } else { Vec::new() }
}

/// Keeps a plugin that was fetched, and pins it. It comes before the workspace names it, which is whole at any moment.
async fn pin_one(
    folder: &Path,
    file: &PluginFile,
    bytes: &[u8],
    plugin: &Plugin,
    lock: Option<Lock>,
    host: &Host,
    known: &[PluginFile],
) -> anyhow::Result<()> {
    if !matches!(file.origin, Origin::File { .. }) {
        Store::of(folder, &Environment::of_process()).keep(bytes).context("cannot keep the plugin")?;
    }
    let mut lock = match lock {
        Some(lock) => lock,
        // With the first lock every plugin must be in it.
        None => pinned(host, known).await?,
    };
    lock.pin(file, &plugin.manifest().version, &plugin.digest());
    lock.write(folder).with_context(|| format!("cannot write {LOCK_FILE}"))?;
    print(&format!("pinned in {}", folder.join(LOCK_FILE).display()));
    Ok(())
}

/// Writes the plugin into the workspace, or says what to write.
fn declare(workspace: &Path, file: &PluginFile, key: Option<&signature::PublicKey>) -> anyhow::Result<()> {
    let line = entry(&file.origin, key);
    match edit::add_plugin(workspace, &file.name, &line) {
        Ok(edit) => {
            replace(&edit.file, edit.text.as_bytes())?;
            print(&format!("added to {}", edit.file.display()));
        }
        Err(why) => print(&format!("{why}; add it yourself:\n\nplugins:\n  {}: {line}", file.name)),
    }
    Ok(())
}

/// What follows the name in `plugins:`.
fn entry(origin: &Origin, key: Option<&signature::PublicKey>) -> String {
    let place = match origin {
        Origin::File { .. } => "path",
        Origin::Url(_) => "url",
        Origin::Artifact(_) => "oci",
    };
    let key = key.map_or_else(String::new, |key| format!(", key: \"{key}\""));
    format!("{{ {place}: {}{key} }}", serde_json::Value::from(origin.to_string()))
}

/// Where the plugin is from, as the workspace will say it: files relative to its folder.
fn origin(from: &str, folder: &Path) -> anyhow::Result<Origin> {
    if from.contains("://") {
        return from.parse().map_err(|message| anyhow!("`{from}`: {message}"));
    }
    let path = Path::new(from).canonicalize().with_context(|| format!("cannot find {from}"))?;
    let folder = folder.canonicalize().with_context(|| format!("cannot find {}", folder.display()))?;
    Ok(Origin::File { written: relative(&path, &folder).display().to_string(), path })
}

/// The way from a folder to a file.
fn relative(path: &Path, folder: &Path) -> PathBuf {
    let shared = path.components().zip(folder.components()).take_while(|(one, other)| one == other).count();
    let up = folder.components().skip(shared).map(|_| std::path::Component::ParentDir);
    up.chain(path.components().skip(shared)).collect()
}

async fn bytes(origin: &Origin, digest: Option<&str>) -> anyhow::Result<Vec<u8>> {
    match origin {
        Origin::File { path, .. } => Ok(weft_host::read(path)?),
        Origin::Url(_) | Origin::Artifact(_) => Ok(supply::fetch(origin, digest, &Credentials::of_process()).await?),
    }
}

/// What somebody should know before they say yes.
fn introduced(plugin: &Plugin, bytes: &[u8]) -> String {
    let manifest = plugin.manifest();
    let mut out = format!("{} {}, a {}: {}\n", manifest.name, manifest.version, manifest.kind, manifest.summary);
    out.push_str(&format!("  digest     sha256:{}\n", plugin.digest()));
    let signers = signature::signers(bytes).unwrap_or_default();
    let signers: Vec<String> = signers.iter().map(ToString::to_string).collect();
    out.push_str(&format!("  signed by  {}\n", if signers.is_empty() { "nobody".to_owned() } else { signers.join(", ") }));
    let wants = manifest.capabilities.iter().map(|capability| match capability {
        Capability::Http => "to send requests through the connection that its stage names",
        Capability::Crypto => "to compare and sign with the secrets of its configuration, which it never sees",
        Capability::Kv => "a small store of its own",
        Capability::Identity => "to look up who is known by an identifier",
        Capability::Email => "to send messages through the mail server that its stage names",
        Capability::Files => "to read and write in the folders of its configuration",
    });
    let wants: Vec<&str> = wants.collect();
    out.push_str(&format!("  wants      {}", if wants.is_empty() { "nothing but to log" } else { &wants[0] }));
    for want in wants.iter().skip(1) {
        out.push_str(&format!("\n             {want}"));
    }
    out
}

/// Whether whoever sits there says yes. Without a terminal nobody does.
fn agreed(question: &str) -> anyhow::Result<bool> {
    if !std::io::stdin().is_terminal() {
        bail!("nobody is there to say yes: look at it, and give --yes");
    }
    let mut out = std::io::stdout();
    write!(out, "{question} [y/N] ").and_then(|()| out.flush())?;
    let mut answer = String::new();
    std::io::stdin().lock().read_line(&mut answer)?;
    Ok(matches!(answer.trim(), "y" | "Y" | "yes"))
}

pub(super) async fn fetch(of: Of) -> Result<(), Failed> {
    let folder = config::folder(&of.workspace);
    let known = declared(&of.workspace)?;
    let store = Store::of(&folder, &Environment::of_process());
    let lock = lock(&folder)?.unwrap_or_default();
    let (mut fetched, mut failed) = (0, 0);
    for file in known.iter().filter(|file| !matches!(file.origin, Origin::File { .. })) {
        let Some(pinned) = lock.plugins.get(&file.name).filter(|pinned| pinned.from == file.origin.to_string()) else {
            complain(&format!("{}: not pinned in {LOCK_FILE}: `weft plugin lock` pins it", file.name));
            failed += 1;
            continue;
        };
        let is_here = std::fs::read(store.path(&pinned.digest))
            .is_ok_and(|bytes| format!("sha256:{}", Digest::of(&bytes)) == pinned.digest);
        if is_here {
            continue;
        }
        match bytes(&file.origin, Some(&pinned.digest)).await.and_then(|bytes| Ok(store.keep(&bytes)?)) {
            Ok(()) => {
                print(&format!("{}: fetched {} from {}", file.name, pinned.digest, file.origin));
                fetched += 1;
            }
            Err(error) => {
                complain(&format!("{}: {error:#}", file.name));
                failed += 1;
            }
        }
    }
    print(&format!("{fetched} fetched, {failed} failed"));
    if failed == 0 { Ok(()) } else { Err(Failed::Shown) }
}

pub(super) async fn pin(of: Of) -> Result<(), Failed> {
    let folder = config::folder(&of.workspace);
    let known = declared(&of.workspace)?;
    let before = lock(&folder)?.unwrap_or_default();
    let host = host()?;
    let mut after =
        pinned(&host, &known.iter().filter(|file| matches!(file.origin, Origin::File { .. })).cloned().collect::<Vec<_>>())
            .await?;
    let store = Store::of(&folder, &Environment::of_process());
    for file in known.iter().filter(|file| !matches!(file.origin, Origin::File { .. })) {
        match before.plugins.get(&file.name).filter(|pinned| pinned.from == file.origin.to_string()) {
            // What an address gives today is nobody's to take over silently.
            Some(pinned) => drop(after.plugins.insert(file.name.clone(), pinned.clone())),
            None => {
                let bytes = bytes(&file.origin, None).await.with_context(|| format!("the plugin `{}`", file.name))?;
                let plugin = host.load_bytes(Path::new(&file.origin.to_string()), bytes.clone()).await?;
                store.keep(&bytes).context("cannot keep the plugin")?;
                after.pin(file, &plugin.manifest().version, &plugin.digest());
            }
        }
    }
    for (name, pinned) in &after.plugins {
        match before.plugins.get(name) {
            Some(known) if known == pinned => {}
            Some(known) => {
                print(&format!("{name}: {} {} becomes {} {}", known.version, known.digest, pinned.version, pinned.digest))
            }
            None => print(&format!("{name}: {} {}", pinned.version, pinned.digest)),
        }
    }
    for name in before.plugins.keys().filter(|name| !after.plugins.contains_key(*name)) {
        print(&format!("{name}: no longer there"));
    }
    after.write(&folder).with_context(|| format!("cannot write {LOCK_FILE}"))?;
    print(&format!("{} plugins are pinned in {}", after.plugins.len(), folder.join(LOCK_FILE).display()));
    Ok(())
}

/// The files of a workspace's plugins as they are, pinned.
async fn pinned(host: &Host, known: &[PluginFile]) -> anyhow::Result<Lock> {
    let mut lock = Lock::default();
    for file in known {
        let Origin::File { path, .. } = &file.origin else { continue };
        let plugin = host.load(path).await.with_context(|| format!("the plugin `{}` cannot be pinned", file.name))?;
        lock.pin(file, &plugin.manifest().version, &plugin.digest());
    }
    Ok(lock)
}

fn declared(workspace: &Path) -> Result<Vec<PluginFile>, Failed> {
    config::plugins(workspace, &Environment::of_process()).map_err(problems)
}

fn lock(folder: &Path) -> Result<Option<Lock>, Failed> {
    Lock::read(folder).map_err(problems)
}

fn problems(problems: Problems) -> Failed {
    Failed::Problems(problems, Output::People)
}
