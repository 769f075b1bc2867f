//! Where plugins are made: a folder to begin with in one of four languages, and building what is in it.
//!
//! A new folder is whole by itself: it holds the contract, and in Rust the SDK, as this program has them, and needs nothing of the repository. Its plugin
//! builds with what the public registries give, and passes the checks ([`crate::conformance`]) and its own test ([`crate::cases`]) before a
//! line of it is changed. `workshop/template.rs` has what is written, `workshop/c.rs` builds C.

mod c;
mod template;

use std::io;
use std::path::{Path, PathBuf};
use std::process::Command;

pub use template::{NewError, Project, write};
pub use weft_host::Kind;

/// The languages that there is a template for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Language {
    /// With the SDK.
    Rust,
    /// By componentize-js, with StarlingMonkey.
    JavaScript,
    /// By componentize-py, with CPython.
    Python,
    /// By clang, without a libc.
    C,
}

/// Why nothing was built.
#[derive(Debug, thiserror::Error)]
pub enum BuildError {
    /// The folder holds no plugin.
    #[error("{0} holds no plugin: there is neither a Cargo.toml, a package.json, a requirements.txt nor a src/manifest.json")]
    NoPlugin(PathBuf),
    /// A program that it takes is not there.
    #[error("`{program}` is not installed: {hint}")]
    Missing {
        /// Its name.
        program: &'static str,
        /// How to install it.
        hint: &'static str,
    },
    /// A program said no.
    #[error("{program} ended with {status}; what it said is above")]
    Failed {
        /// Its name.
        program: String,
        /// How it ended.
        status: std::process::ExitStatus,
    },
    /// The contract or the manifest in the folder cannot be read.
    #[error("{0}")]
    Contract(String),
    /// What the compiler gave is no component.
    #[error("the compiler's output makes no component: {0}")]
    Component(String),
    /// The disk.
    #[error(transparent)]
    Disk(#[from] io::Error),
}

impl Language {
    /// Of the plugin in a folder, by what it is built from.
    fn of(folder: &Path) -> Option<Language> {
        let has = |name: &str| folder.join(name).is_file();
        match () {
            () if has("Cargo.toml") => Some(Language::Rust),
            () if has("package.json") => Some(Language::JavaScript),
            () if has("requirements.txt") => Some(Language::Python),
            () if has("src/manifest.json") => Some(Language::C),
            () => None,
        }
    }
}

/// Builds the plugin in a folder and puts it into its `dist`; the file.
///
/// # Errors
/// What is missing and how to install it, or what the language's own tools said.
pub fn build(folder: &Path) -> Result<PathBuf, BuildError> {
    let language = Language::of(folder).ok_or_else(|| BuildError::NoPlugin(folder.to_owned()))?;
    let built = match language {
        Language::Rust => rust(folder)?,
        Language::JavaScript => javascript(folder)?,
        Language::Python => python(folder)?,
        Language::C => c::build(folder, kind(folder)?)?,
    };
    let name = std::path::absolute(folder)?.file_name().unwrap_or_default().to_string_lossy().into_owned();
    let dist = folder.join("dist");
    std::fs::create_dir_all(&dist)?;
    let place = dist.join(format!("{name}.wasm"));
    let beside = place.with_extension("part");
    // Whoever watches the file never sees half of it.
    std::fs::copy(built, &beside)?;
    std::fs::rename(&beside, &place)?;
    Ok(place)
}

fn rust(folder: &Path) -> Result<PathBuf, BuildError> {
    let toolchain = std::env::var("WEFT_RUST_TOOLCHAIN").ok().filter(|name| !name.is_empty());
    let mut cargo = Command::new("cargo");
    cargo.current_dir(folder);
    if let Some(toolchain) = &toolchain {
        cargo.arg(format!("+{toolchain}"));
    }
    cargo.args(["build", "--release", "--target", "wasm32-unknown-unknown", "--message-format", "json-render-diagnostics"]);
    cargo.stderr(std::process::Stdio::inherit());
    let output = cargo
        .output()
        .map_err(|error| missing(error, "cargo", "https://rustup.rs, then `rustup target add wasm32-unknown-unknown`"))?;
    if !output.status.success() {
        return Err(BuildError::Failed {
            program: "cargo (for the target: `rustup target add wasm32-unknown-unknown`)".into(),
            status: output.status,
        });
    }
    // Cargo says where the file is: the target folder may be anywhere.
    let said = String::from_utf8_lossy(&output.stdout);
    let messages = said.lines().filter_map(|line| serde_json::from_str::<serde_json::Value>(line).ok());
    let files = messages.filter_map(|message| Some(message.get("filenames")?.as_array()?.clone())).flatten();
    let built =
        files.filter_map(|file| file.as_str().map(PathBuf::from)).rfind(|path| path.extension().is_some_and(|one| one == "wasm"));
    built.ok_or_else(|| BuildError::Component("cargo built no `.wasm`: the crate's type must be `cdylib`".into()))
}

fn javascript(folder: &Path) -> Result<PathBuf, BuildError> {
    if !folder.join("node_modules").is_dir() {
        let mut npm = Command::new("npm");
        run(npm.current_dir(folder).args(["install", "--no-audit", "--no-fund"]), "npm")?;
    }
    let mut npm = Command::new("npm");
    run(npm.current_dir(folder).args(["run", "--silent", "build"]), "npm")?;
    Ok(folder.join("build/plugin.wasm"))
}

fn python(folder: &Path) -> Result<PathBuf, BuildError> {
    let tool = folder.join(".venv/bin/componentize-py");
    if !tool.is_file() {
        run(Command::new("python3").current_dir(folder).args(["-m", "venv", ".venv"]), "python3")?;
        let mut pip = Command::new(std::path::absolute(folder.join(".venv/bin/pip"))?);
        run(pip.current_dir(folder).args(["install", "--quiet", "--requirement", "requirements.txt"]), "pip")?;
    }
    std::fs::create_dir_all(folder.join("build"))?;
    let world = format!("{}-plugin", kind(folder)?.name());
    let mut componentize = Command::new(std::path::absolute(tool)?);
    componentize.current_dir(folder).args(["--wit-path", "wit", "--world", &world, "componentize", "--stub-wasi"]);
    componentize.args(["--python-path", "src", "plugin", "--output", "build/plugin.wasm"]);
    run(&mut componentize, "componentize-py")?;
    Ok(folder.join("build/plugin.wasm"))
}

/// What the plugin in a folder is: C and Python name their world where they are built.
fn kind(folder: &Path) -> Result<Kind, BuildError> {
    let path = folder.join("src/manifest.json");
    let wrong = |message: String| BuildError::Contract(format!("{}: {message}", path.display()));
    let text = std::fs::read_to_string(&path).map_err(|error| wrong(error.to_string()))?;
    let manifest: serde_json::Value = serde_json::from_str(&text).map_err(|error| wrong(error.to_string()))?;
    let said = manifest.get("kind").and_then(serde_json::Value::as_str).unwrap_or_default();
    let kind = Kind::ALL.into_iter().find(|kind| kind.name() == said);
    kind.ok_or_else(|| wrong("`kind` must be `source`, `transform` or `destination`".into()))
}

/// Runs a program, whose words go where ours go.
fn run(command: &mut Command, program: &'static str) -> Result<(), BuildError> {
    let hint = match program {
        "npm" => "it comes with Node.js 20 or later, https://nodejs.org",
        "python3" | "pip" => "Python 3.10 or later with venv, https://www.python.org (Debian: `apt-get install python3-venv`)",
        _ => "see the README of the plugin",
    };
    // What it says on the way is no result of ours.
    command.stdout(std::io::stderr());
    let status = command.status().map_err(|error| missing(error, program, hint))?;
    if status.success() { Ok(()) } else { Err(BuildError::Failed { program: program.to_owned(), status }) }
}

fn missing(error: io::Error, program: &'static str, hint: &'static str) -> BuildError {
    if error.kind() == io::ErrorKind::NotFound { BuildError::Missing { program, hint } } else { BuildError::Disk(error) }
}
