//! `weft plugin new` and `build`: from nothing to a `.wasm` file. The work is done in [`crate::workshop`].

use std::path::PathBuf;

use crate::command::{Failed, print};
use crate::workshop::{self, Kind, Language, Project};

/// A plugin to begin.
#[derive(clap::Args)]
pub(in crate::command) struct New {
    /// What it is called, and its folder unless --folder says another.
    name: String,
    /// What it is written in.
    #[arg(long)]
    lang: Lang,
    /// What it is to be.
    #[arg(long)]
    kind: What,
    /// The folder; it must not be there, or be empty.
    #[arg(long)]
    folder: Option<PathBuf>,
}

#[derive(Clone, Copy, clap::ValueEnum)]
enum Lang {
    /// Rust, with the SDK: small and fast.
    Rust,
    /// JavaScript: 12 MB, and slower to compile and to start.
    Js,
    /// Python: 18 MB, and slower to compile and to start.
    Python,
    /// C: small and fast, and everything by hand.
    C,
}

#[derive(Clone, Copy, clap::ValueEnum)]
enum What {
    /// Turns requests into events.
    Source,
    /// Changes, drops or refuses events.
    Transform,
    /// Delivers to the outside.
    Destination,
}

/// A plugin to build.
#[derive(clap::Args)]
pub(in crate::command) struct Build {
    /// Its folder.
    #[arg(default_value = ".")]
    folder: PathBuf,
}

pub(super) fn new(new: New) -> Result<(), Failed> {
    let language = match new.lang {
        Lang::Rust => Language::Rust,
        Lang::Js => Language::JavaScript,
        Lang::Python => Language::Python,
        Lang::C => Language::C,
    };
    let kind = match new.kind {
        What::Source => Kind::Source,
        What::Transform => Kind::Transform,
        What::Destination => Kind::Destination,
    };
    let folder = new.folder.unwrap_or_else(|| PathBuf::from(&new.name));
    let project = Project { name: new.name, language, kind };
    let names = workshop::write(&project, &folder)?;
    let shown = folder.display();
    let own: Vec<&str> = names.iter().map(String::as_str).filter(|name| !name.starts_with("vendor/")).collect();
    print(&format!(
        "wrote a {kind} to {shown}/

  {}

next
  cd {shown}
  weft plugin build     dist/{name}.wasm
  weft plugin check dist/{name}.wasm
  weft plugin test      its own tests
README.md says what is where.",
        own.join("\n  "),
        name = project.name,
    ));
    Ok(())
}

pub(super) async fn build(build: Build) -> Result<(), Failed> {
    // Compilers run for minutes; whatever else this process does goes on.
    let built = tokio::task::spawn_blocking(move || workshop::build(&build.folder)).await??;
    let plugin = super::load(&built).await?;
    let manifest = plugin.manifest();
    print(&format!(
        "{}: {} {}, a {}, {}",
        built.display(),
        manifest.name,
        manifest.version,
        manifest.kind,
        crate::conformance::shown_size(plugin.bytes())
    ));
    Ok(())
}
