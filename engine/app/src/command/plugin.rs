//! `weft plugin`: what authors of plugins and those who install them need.
//!
//! Making a plugin: `new.rs`. Looking at one: `inspect.rs`, `check.rs`, `test.rs`. Into a workspace: `add.rs`. Who made it: `sign.rs`. Each command does its work in the modules that it is
//! about; here it is typed, and what came of it is shown.

mod add;
mod check;
mod inspect;
mod new;
mod sign;
mod test;

use std::path::{Path, PathBuf};
use std::time::SystemTime;

use anyhow::anyhow;
use clap::Subcommand;
use weft_host::Plugin;

use super::{Failed, complain, host, replace};
use crate::config::{self, Environment};
use crate::lock::Admission;

#[derive(Subcommand)]
pub(super) enum Command {
    /// Begin a plugin: a folder that builds, with a README and a test.
    New(new::New),
    /// Build the plugin in a folder by its language's own tools.
    Build(new::Build),
    /// Show what a plugin is: its manifest, digest, signatures, imports, limits, and its configuration in words.
    Inspect(inspect::Inspect),
    /// Check whether a plugin keeps the contract, in the real sandbox. `docs/plugin-checks.md` lists the checks.
    Check(check::Check),
    /// Add a plugin to the workspace, and pin it.
    Add(add::Add),
    /// Fetch the plugins that are pinned and not here.
    Fetch(add::Of),
    /// Pin the plugins that the workspace names, as they are now.
    Lock(add::Of),
    /// Play a plugin's own tests, in the real sandbox and without a network. `docs/plugin-tests.md` has the format.
    Test(test::Test),
    /// Make a pair of keys to sign plugins with.
    Key(sign::Key),
    /// Sign a plugin's file, in place.
    Sign(sign::Sign),
    /// Say whether a plugin's file is signed by a key.
    Verify(sign::Verify),
}

pub(super) async fn run(command: Command) -> Result<(), Failed> {
    match command {
        Command::New(new) => new::new(new),
        Command::Build(build) => new::build(build).await,
        Command::Inspect(inspect) => inspect::run(inspect).await,
        Command::Check(check) => check::run(check).await,
        Command::Add(add) => add::add(add).await,
        Command::Fetch(of) => add::fetch(of).await,
        Command::Lock(of) => add::pin(of).await,
        Command::Test(test) => test::run(test).await,
        Command::Key(key) => sign::key(&key),
        Command::Sign(sign) => sign::sign(&sign),
        Command::Verify(verify) => sign::verify(&verify),
    }
}

/// A plugin as it is named on the command line: a file, or a name of the workspace.
#[derive(clap::Args)]
struct Named {
    /// A `.wasm` file, or the name of a plugin of the workspace.
    plugin: String,
    /// The workspace whose names are meant: a folder, or its weft.yaml.
    #[arg(long, default_value = ".", value_parser = crate::command::there)]
    workspace: PathBuf,
}

impl Named {
    /// The file that is meant.
    fn file(&self) -> anyhow::Result<PathBuf> {
        let path = Path::new(&self.plugin);
        if path.is_file() {
            return Ok(path.to_owned());
        }
        let looks_like_a_file = self.plugin.contains(['/', '.']);
        let known = config::plugins(&self.workspace, &Environment::of_process()).unwrap_or_default();
        let named = known.iter().find(|file| file.name == self.plugin);
        match named {
            Some(file) => {
                let admission = Admission::read(&config::folder(&self.workspace), &Environment::of_process());
                let admission = admission.map_err(|_| anyhow!("weft.lock cannot be read: `weft check` says why"))?;
                admission.locate(file).map_err(|refusal| anyhow!("{}", refusal.message))
            }
            None if looks_like_a_file || known.is_empty() => Err(anyhow!("there is no file `{}`", self.plugin)),
            None => {
                let names: Vec<&str> = known.iter().map(|file| &*file.name).collect();
                Err(anyhow!("there is neither a file nor a plugin `{}`; the workspace has {}", self.plugin, names.join(", ")))
            }
        }
    }
}

/// A plugin's folder: what was built, and its tests.
struct Home {
    wasm: PathBuf,
    tests: PathBuf,
}

impl Home {
    /// By the folder, or by the file that was built. A folder has one `.wasm` file in `dist`, where `weft plugin build` puts it.
    fn of(path: &Path) -> anyhow::Result<Home> {
        if path.is_file() {
            let tests = Home::tests_of_built(path).unwrap_or_else(|| path.with_file_name("tests"));
            return Ok(Home { wasm: path.to_owned(), tests });
        }
        let dist = path.join("dist");
        let entries = std::fs::read_dir(&dist).into_iter().flatten().flatten().map(|entry| entry.path());
        let mut built: Vec<PathBuf> = entries.filter(|path| path.extension().is_some_and(|one| one == "wasm")).collect();
        built.sort();
        match &built[..] {
            [wasm] => Ok(Home { wasm: wasm.clone(), tests: path.join("tests") }),
            [] => Err(anyhow!("{} has no plugin in it: `weft plugin build` makes it", dist.display())),
            _ => Err(anyhow!("{} has more than one plugin in it: name the file", dist.display())),
        }
    }

    /// What of a plugin's own sources was changed since its file was built, where they lie beside its `dist`.
    fn changed_since(wasm: &Path) -> Option<PathBuf> {
        let sources = Home::tests_of_built(wasm)?.with_file_name("src");
        let built = modified(wasm)?;
        newer(&sources, built, SOURCE_FOLDERS_MAX)
    }

    /// Says so, since what is looked at then is not what its author thinks.
    fn note_changes(wasm: &Path) {
        if let Some(source) = Home::changed_since(wasm) {
            let (source, wasm) = (source.display(), wasm.display());
            complain(&format!("note: {source} was changed after {wasm} was built: `weft plugin build` builds it"));
        }
    }

    /// Where the tests of a file would be, if `weft plugin build` made it. A file elsewhere may have any folder beside it.
    fn tests_of_built(path: &Path) -> Option<PathBuf> {
        let dist = path.parent().filter(|folder| folder.file_name().is_some_and(|name| name == "dist"))?;
        Some(dist.with_file_name("tests"))
    }
}

/// How deep folders of sources are looked into: those of people are not nested deeper.
const SOURCE_FOLDERS_MAX: u32 = 8;

fn modified(path: &Path) -> Option<SystemTime> {
    path.metadata().and_then(|metadata| metadata.modified()).ok()
}

/// A file below a folder that was changed after this time.
fn newer(folder: &Path, than: SystemTime, depth: u32) -> Option<PathBuf> {
    let mut paths: Vec<PathBuf> = std::fs::read_dir(folder).ok()?.flatten().map(|entry| entry.path()).collect();
    paths.sort();
    paths.into_iter().find_map(|path| match path.is_dir() {
        true => newer(&path, than, depth.checked_sub(1)?),
        false => (modified(&path)? > than).then_some(path),
    })
}

/// Loads a plugin from a file.
async fn load(path: &Path) -> anyhow::Result<Plugin> {
    Ok(host()?.load(path).await?)
}

fn read(path: &Path) -> anyhow::Result<Vec<u8>> {
    Ok(weft_host::read(path)?)
}
