//! Builds the plugins: components for `wasm32-unknown-unknown`, in a workspace of their own, with the same bytes wherever it lies.
//!
//! Which toolchain has that target is `setup-wasm-target.sh`'s to find out, or to mend. Cargo knows what is fresh: nothing is skipped
//! here, and a build with nothing to do takes under a second.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail};

use crate::steps::{cargo, root, run, step, without_cargos_own};

/// The plugins that the repository ships, by the names of their crates.
const PLUGINS: &[&str] = &[
    "segment",
    "mparticle",
    "webhook",
    "csv",
    "ndjson",
    "rest",
    "normalize",
    "map",
    "redact",
    "filter",
    "tracking-plan",
    "enrich",
    "file",
    "webhook-out",
    "slack",
    "email",
    "segment-out",
];

const TARGET: &str = "wasm32-unknown-unknown";

/// Builds all plugins and puts them into `plugins/dist`; returns that folder.
///
/// # Errors
/// There is no toolchain for the target, a plugin does not build, or a file cannot be written.
pub(crate) fn build() -> Result<PathBuf> {
    step("plugins");
    let (root, toolchain) = (root(), toolchain()?);
    let folder = root.join("plugins");
    // Through rustup, not by `cargo +toolchain`: under `cargo xtask` the first cargo on the path may be one that knows no toolchains.
    let mut command = Command::new("rustup");
    command.current_dir(&folder).args(["run", &toolchain, "cargo", "build", "--release", "--workspace", "--target", TARGET]);
    // Added to the flags of plugins/.cargo/config.toml; flags in the environment would take their place, and a plugin would
    // differ from machine to machine.
    command.arg("--config").arg(remapped(&root, &toolchain)?);
    command.args(["--target-dir", "target"]);
    without_cargos_own(&mut command);
    for flags in ["RUSTFLAGS", "CARGO_ENCODED_RUSTFLAGS", "CARGO_BUILD_RUSTFLAGS", "CARGO_TARGET_DIR", "CARGO_BUILD_TARGET_DIR"] {
        command.env_remove(flags);
    }
    println!("   $ cargo +{toolchain} build --release --target {TARGET}    (in plugins/)");
    let status = command.status().context("`rustup run` could not be started")?;
    if !status.success() {
        bail!("the plugins do not build: `cargo build` ended with {status}");
    }
    let dist = folder.join("dist");
    std::fs::create_dir_all(&dist).with_context(|| format!("{} cannot be made", dist.display()))?;
    for plugin in PLUGINS {
        let built = folder.join("target").join(TARGET).join("release").join(format!("{}.wasm", plugin.replace('-', "_")));
        put(&built, &dist.join(format!("{plugin}.wasm")))?;
    }
    Ok(dist)
}

/// Runs the plugins' own tests, which need no sandbox, on the host's toolchain.
///
/// # Errors
/// A test fails.
pub(crate) fn test() -> Result<()> {
    step("tests of the plugins");
    run(cargo(&root().join("plugins")).args(["test", "--workspace"]), "one plugin alone: `cargo test -p NAME` in plugins/")
}

/// The toolchain to build with: the last line that the script says.
pub(crate) fn toolchain() -> Result<String> {
    let mut command = Command::new("bash");
    command.arg(root().join("xtask/setup-wasm-target.sh")).stderr(Stdio::inherit());
    let output = command.output().context("bash could not be started")?;
    if !output.status.success() {
        bail!(
            "no toolchain for {TARGET}: its setup ended with {}\n  hint: `rustup target add {TARGET}` where that is possible",
            output.status
        );
    }
    let said = String::from_utf8_lossy(&output.stdout);
    said.lines().last().map(str::to_owned).context("the setup of the target named no toolchain")
}

/// The setting that takes this machine's folders out of panic messages, and so out of the bytes.
fn remapped(root: &Path, toolchain: &str) -> Result<String> {
    let output = Command::new("rustup")
        .args(["run", toolchain, "rustc", "--print", "sysroot"])
        .output()
        .context("rustc could not be started")?;
    let sysroot = String::from_utf8_lossy(&output.stdout).trim().to_owned();
    let home = |variable: &str, folder: &str| {
        std::env::var(variable).ok().or_else(|| Some(Path::new(&std::env::var("HOME").ok()?).join(folder).display().to_string()))
    };
    let mut flags = Vec::new();
    let mut remap = |from: &str, to: &str| {
        // TOML's literal strings have no escapes, and so no quote of their own.
        if !from.is_empty() && !from.contains('\'') {
            flags.push(format!("'--remap-path-prefix={from}={to}'"));
        }
    };
    // The last that fits counts: narrower folders come later.
    if let Some(cargo) = home("CARGO_HOME", ".cargo") {
        remap(&cargo, "/cargo");
    }
    remap(&sysroot, "/rust");
    remap(&root.display().to_string(), "/weft");
    Ok(format!("target.{TARGET}.rustflags=[{}]", flags.join(",")))
}

/// Puts a file in its place at once, so that an engine which watches never sees half of it; leaves an equal one alone.
fn put(built: &Path, place: &Path) -> Result<()> {
    let name = place.file_name().unwrap_or_default().to_string_lossy();
    let bytes = std::fs::read(built).with_context(|| format!("the build left no {}", built.display()))?;
    let is_new = std::fs::read(place).ok().as_deref() != Some(&bytes);
    if is_new {
        let beside = place.with_extension("part");
        std::fs::write(&beside, &bytes)
            .and_then(|()| std::fs::rename(&beside, place))
            .with_context(|| format!("{} cannot be written", place.display()))?;
    }
    println!("   plugins/dist/{name:<15} {:>4} kB{}", bytes.len().div_ceil(1_000), if is_new { "" } else { "  unchanged" });
    Ok(())
}
