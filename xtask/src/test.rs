//! Every test there is, in one command: engine, plugins, and the example that a newcomer starts with.

use std::process::Command;
use std::time::Instant;

use anyhow::Result;

use crate::plugins;
use crate::steps::{QUICKSTART, cargo, root, run, seconds, step};
use crate::templates::{self, Which};

/// Seeds of the simulation and crashes of the engine in a full run: an hour or so on a small machine.
const FULL: [(&str, &str); 2] = [("WEFT_SEEDS", "500"), ("WEFT_KILLS", "300")];

/// How long to look for trouble.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Depth {
    /// As long as one waits for it.
    Usual,
    /// With many more seeds and crashes.
    Full,
}

/// Builds the plugins, then runs all tests.
///
/// # Errors
/// The first step that fails.
pub(crate) fn all(depth: Depth) -> Result<()> {
    let began = Instant::now();
    let (root, dist) = (root(), plugins::build()?);
    step("tests of the engine");
    let mut tests = cargo(&root);
    tests.args(["test", "--workspace"]).env("WEFT_PLUGINS_DIST", &dist);
    if depth == Depth::Full {
        tests.envs(FULL);
    }
    run(&mut tests, "one test alone: `cargo test -p CRATE NAME`")?;
    plugins::test()?;
    // Built by the tests of its own package, which start it.
    let weft = root.join("target/debug/weft");
    templates::all(Which::Light)?;
    step("scenarios of the quickstart");
    run(Command::new(&weft).current_dir(&root).args(["test", QUICKSTART]), "the scenarios are under `tests:` in its weft.yaml")?;
    step("configuration of the quickstart");
    run(Command::new(&weft).current_dir(&root).args(["check", QUICKSTART]), "the lines above say what is wrong, and where")?;
    println!("\nall tests passed, in {}", seconds(began.elapsed()));
    Ok(())
}
