//! What peers need, from where every machine gets it: interpreters that are there, packages from their indexes, a browser.
//!
//! Packages are installed into `target/peers/`, once; versions are said, so that a run is the same tomorrow. What cannot be had is said, and
//! why, and the test is skipped: but not on a machine that runs the tests for all (`CI`), where it would be missed by nobody.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::{Mutex, PoisonError};

use crate::root;

/// Says that a test does not run, and why; fails where it must run.
pub fn skip(what: &str, why: &str) {
    assert!(std::env::var_os("CI").is_none(), "{what} cannot be run: {why}");
    #[expect(clippy::print_stderr, reason = "a test that is skipped says so, or nobody would know")]
    {
        eprintln!("SKIPPED: {what}: {why}");
    }
}

/// The interpreter of a virtual environment of this name with these packages in it, or why there is none.
///
/// # Errors
/// Why there is none.
pub fn python(name: &str, packages: &[&str]) -> Result<PathBuf, String> {
    let folder = root().join("target/peers").join(name);
    let python = folder.join("bin/python");
    once(&folder, packages, || {
        quiet(Command::new("python3").args(["-m", "venv", "--clear"]).arg(&folder))?;
        let pip = ["-m", "pip", "install", "--quiet", "--disable-pip-version-check"];
        quiet(Command::new(&python).args(pip).args(packages))
    })?;
    Ok(python)
}

/// The folder of this name with these packages for Node and for pages in it.
///
/// # Errors
/// Why there is none.
pub fn node(name: &str, packages: &[&str]) -> Result<PathBuf, String> {
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

/// A headless Chromium, or why there is none and what would help: the last line of `xtask/setup-chromium.sh`.
pub fn chromium() -> Result<PathBuf, String> {
    let script = root().join("xtask/setup-chromium.sh");
    let output = Command::new("bash").arg(script).stdin(Stdio::null()).output();
    let output = output.map_err(|error| format!("`bash` cannot be started: {error}"))?;
    let last = |bytes: &[u8]| String::from_utf8_lossy(bytes).lines().last().unwrap_or_default().to_owned();
    if output.status.success() { Ok(PathBuf::from(last(&output.stdout))) } else { Err(last(&output.stderr)) }
}

/// Installs these packages into a folder, unless they are there.
fn once(folder: &Path, packages: &[&str], install: impl FnOnce() -> Result<(), String>) -> Result<(), String> {
    // Tests of one process run at once.
    static ONE: Mutex<()> = Mutex::new(());
    let _one = ONE.lock().unwrap_or_else(PoisonError::into_inner);
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
