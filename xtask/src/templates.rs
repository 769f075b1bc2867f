//! Makes plugins by the templates, as a stranger would: `weft plugin new`, `build`, `check`, `test`, in folders of their own.

use std::path::Path;
use std::process::Command;
use std::time::Instant;

use anyhow::{Context, Result, bail};

use crate::plugins;
use crate::steps::{cargo, root, run, seconds, step};

/// Which languages.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Which {
    /// What needs no more than the rest of the tests: Rust, and C where there is a clang.
    Light,
    /// All four, with what they need from npm and PyPI: some 1.4 GB and seven minutes on two cores.
    All,
}

const KINDS: [&str; 3] = ["source", "transform", "destination"];

/// Makes, builds, checks and tests a plugin of every kind in these languages. `weft` must have been built.
///
/// # Errors
/// The first plugin that does not build, does not keep the contract, or fails its own test.
pub(crate) fn all(which: Which) -> Result<()> {
    let weft = root().join("target/debug/weft");
    let has_clang = Command::new("clang").arg("--version").output().is_ok_and(|output| output.status.success());
    let mut languages = vec!["rust"];
    match which {
        Which::Light if has_clang => languages.push("c"),
        Which::Light => println!("   the templates in C are left out: there is no clang"),
        Which::All => languages.extend(["c", "js", "python"]),
    }
    if which == Which::All {
        step("the engine");
        run(cargo(&root()).args(["build", "--package", "weft"]), "the templates are in it")?;
    }
    let toolchain = plugins::toolchain()?;
    for language in languages {
        for kind in KINDS {
            // Of the light ones the kinds differ only where the engine's own tests look.
            if which == Which::Light && language == "rust" && kind != "transform" {
                continue;
            }
            let began = Instant::now();
            step(&format!("a {kind} in {language}, from its template"));
            let folder = root().join("target/templates").join(format!("acme-{language}-{kind}"));
            let _ = std::fs::remove_dir_all(&folder);
            make(&weft, &toolchain, language, kind, &folder)?;
            println!("   builds, keeps the contract and passes its test, in {}", seconds(began.elapsed()));
        }
    }
    Ok(())
}

fn make(weft: &Path, toolchain: &str, language: &str, kind: &str, folder: &Path) -> Result<()> {
    let name = folder.file_name().unwrap_or_default().to_string_lossy().into_owned();
    let shown = folder.display().to_string();
    let file = folder.join("dist").join(format!("{name}.wasm")).display().to_string();
    let steps: [&[&str]; 4] = [
        &["plugin", "new", &name, "--lang", language, "--kind", kind, "--folder", &shown],
        &["plugin", "build", &shown],
        &["plugin", "check", &file],
        &["plugin", "test", &shown],
    ];
    for words in steps {
        let mut command = Command::new(weft);
        command.args(words).env("WEFT_RUST_TOOLCHAIN", toolchain);
        // What the plugins of this repository are built of is built already.
        command.env("CARGO_TARGET_DIR", root().join("plugins/target"));
        let output = command.output().context("weft could not be started: `cargo build` makes it")?;
        if !output.status.success() {
            let said = [output.stdout, output.stderr].concat();
            bail!("`weft {}` ended with {}\n{}", words.join(" "), output.status, String::from_utf8_lossy(&said));
        }
    }
    Ok(())
}
