//! What programs of others need, from where every machine gets it: interpreters that are there, packages from their indexes, a browser.
//!
//! Packages are installed into `target/peers/`, once; versions are said, so that a run is the same tomorrow. What cannot be had is said, and
//! why, and the test is skipped: but not on a machine that runs the tests for all (`CI`), where it would be missed by nobody.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::OnceLock;

use crate::root;

/// What is installed for Python.
const PYTHON: [&str; 3] = ["segment-analytics-python==2.4.0", "mparticle==0.16.1", "rudder-sdk-python==2.1.9"];

/// What is installed for Node and for pages.
const NODE: [&str; 6] = [
    "@segment/analytics-node@3.1.0",
    "@segment/analytics-next@1.84.3",
    "@rudderstack/rudder-sdk-node@3.0.13",
    "@rudderstack/analytics-js@3.34.1",
    "@mparticle/web-sdk@2.68.0",
    "mparticle@1.0.8",
];

/// Says that a test does not run, and why.
///
/// # Panics
/// Where it must run.
pub fn skip(what: &str, why: &str) {
    assert!(std::env::var_os("CI").is_none(), "{what} cannot be run: {why}");
    #[expect(clippy::print_stderr, reason = "a test that is skipped says so, or nobody would know")]
    {
        eprintln!("SKIPPED: {what}: {why}");
    }
}

/// The interpreter with the SDKs for Python in it.
///
/// # Errors
/// Why there is none.
pub fn python() -> Result<PathBuf, String> {
    static FOUND: OnceLock<Result<PathBuf, String>> = OnceLock::new();
    FOUND.get_or_init(|| Ok(from_pypi("py", &PYTHON)?.join("python"))).clone()
}

/// The folder with the SDKs for Node and for pages in it.
///
/// # Errors
/// Why there is none.
pub fn node() -> Result<PathBuf, String> {
    static FOUND: OnceLock<Result<PathBuf, String>> = OnceLock::new();
    FOUND.get_or_init(|| from_npm("js", &NODE)).clone()
}

/// A program that says whether a document is OpenAPI.
///
/// # Errors
/// Why there is none.
pub fn openapi_validator() -> Result<PathBuf, String> {
    Ok(from_pypi("openapi", &["openapi-spec-validator==0.9.0"])?.join("openapi-spec-validator"))
}

/// The program by which editors complete and check YAML, to be run by Node.
///
/// # Errors
/// Why there is none.
pub fn yaml_language_server() -> Result<PathBuf, String> {
    Ok(from_npm("yaml", &["yaml-language-server@2.0.0"])?.join("node_modules/yaml-language-server/bin/yaml-language-server"))
}

/// Packages of PyPI in an environment of their own: the folder of its programs.
fn from_pypi(name: &str, packages: &[&str]) -> Result<PathBuf, String> {
    let folder = root().join("target/peers").join(name);
    let programs = folder.join("bin");
    once(&folder, packages, || {
        quiet(Command::new("python3").args(["-m", "venv", "--clear"]).arg(&folder))?;
        let pip = ["-m", "pip", "install", "--quiet", "--disable-pip-version-check"];
        quiet(Command::new(programs.join("python")).args(pip).args(packages))
    })?;
    Ok(programs)
}

/// Packages of npm in a folder of their own.
fn from_npm(name: &str, packages: &[&str]) -> Result<PathBuf, String> {
    let folder = root().join("target/peers").join(name);
    quiet(Command::new("node").arg("--version"))?;
    once(&folder, packages, || {
        fs::create_dir_all(&folder).map_err(|error| error.to_string())?;
        fs::write(folder.join("package.json"), r#"{"private":true}"#).map_err(|error| error.to_string())?;
        // No program of a package is run: none of these needs one to be installed.
        let npm = ["install", "--no-audit", "--no-fund", "--silent", "--ignore-scripts"];
        quiet(Command::new("npm").current_dir(&folder).args(npm).args(packages))
    })?;
    Ok(folder)
}

/// A headless Chromium.
///
/// # Errors
/// Why there is none, and what would help: the last line of `xtask/setup-chromium.sh`.
pub fn chromium() -> Result<PathBuf, String> {
    let script = root().join("xtask/setup-chromium.sh");
    let output = Command::new("bash").arg(script).stdin(Stdio::null()).output();
    let output = output.map_err(|error| format!("`bash` cannot be started: {error}"))?;
    let last = |bytes: &[u8]| String::from_utf8_lossy(bytes).lines().last().unwrap_or_default().to_owned();
    if output.status.success() { Ok(PathBuf::from(last(&output.stdout))) } else { Err(last(&output.stderr)) }
}

/// Installs these packages into a folder, unless they are there.
fn once(folder: &Path, packages: &[&str], install: impl FnOnce() -> Result<(), String>) -> Result<(), String> {
    let (note, list) = (folder.join("installed"), packages.join("\n"));
    if fs::read_to_string(&note).is_ok_and(|known| known == list) {
        return Ok(());
    }
    install()?;
    fs::write(&note, list).map_err(|error| format!("{} cannot be written: {error}", note.display()))
}

/// Runs a command to its end; an error says what it was and what it said.
fn quiet(command: &mut Command) -> Result<(), String> {
    let program = command.get_program().to_string_lossy().into_owned();
    let output = command.stdin(Stdio::null()).output().map_err(|error| format!("`{program}` cannot be started: {error}"))?;
    if output.status.success() {
        return Ok(());
    }
    let words = String::from_utf8_lossy(&output.stderr).trim().to_owned();
    Err(format!("`{program}` ended with {}: {}", output.status, words.lines().last().unwrap_or("without a word")))
}
