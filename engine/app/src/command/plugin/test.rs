//! `weft plugin test`: plays a plugin's own tests, or records what the other side answers. The format is in [`crate::cases`].

use std::path::{Path, PathBuf};

use anyhow::{Context, anyhow};

use super::{Home, load, replace};
use crate::assembly::{check, connection};
use crate::cases::{Ended, Recorder, suites};
use crate::command::{Failed, Output, host, print};
use crate::config::Environment;

/// What to test.
#[derive(clap::Args)]
pub(in crate::command) struct Test {
    /// The plugin's folder, or its `.wasm` file.
    #[arg(default_value = ".")]
    plugin: PathBuf,
    /// The folder of the tests; `tests` in the plugin's folder unless it is said.
    #[arg(long)]
    tests: Option<PathBuf>,
    /// Play only cases whose name holds this.
    #[arg(long)]
    only: Option<String>,
    /// Make the requests of cases with a file of exchanges for real, through `--connection`, and write what is answered there.
    #[arg(long, requires = "connection")]
    record: bool,
    /// With --record: the connection of the workspace that requests go through.
    #[arg(long, requires = "record")]
    connection: Option<String>,
    /// With --record: the workspace.
    #[arg(long, default_value = ".")]
    workspace: PathBuf,
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

pub(super) async fn run(test: Test) -> Result<(), Failed> {
    let home = Home::of(&test.plugin)?;
    let folder = test.tests.clone().unwrap_or(home.tests);
    if !folder.is_dir() {
        return Err(
            anyhow!("there are no tests: {} is no folder (docs/plugin-tests.md says what is in it)", folder.display()).into()
        );
    }
    let output = Output::of(test.json);
    Home::note_changes(&home.wasm);
    let plugin = load(&home.wasm).await?;
    let recorder = match &test.connection {
        Some(name) => Some(recorder(&test.workspace, name, output).await?),
        None => None,
    };
    let (mut passed, mut failed, mut outcomes) = (0, 0, Vec::new());
    for suite in suites(&folder).map_err(|problems| Failed::Problems(problems, output))? {
        let file = suite.path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        for case in suite.cases().iter().filter(|case| test.only.as_ref().is_none_or(|part| case.name.contains(&**part))) {
            let problems = |problems| Failed::Problems(problems, output);
            let ended = match &recorder {
                None => suite.play(&plugin, case).await.map_err(problems)?,
                Some(recorder) => match suite.record(&plugin, case, recorder).await.map_err(problems)? {
                    Some((ended, path, text)) => {
                        write(&path, &text)?;
                        ended
                    }
                    None => continue,
                },
            };
            let verdict = if ended.failures.is_empty() { "ok" } else { "FAILED" };
            (passed, failed) = if ended.failures.is_empty() { (passed + 1, failed) } else { (passed, failed + 1) };
            if output == Output::People {
                print(&shown(&format!("{file}: {}", case.name), verdict, &ended));
            }
            outcomes.push(serde_json::json!({ "file": file, "name": case.name, "failures": ended.failures, "log": ended.lines }));
        }
    }
    match output {
        Output::Json => print(&serde_json::json!({ "tests": outcomes }).to_string()),
        Output::People => print(&format!("{passed} passed, {failed} failed")),
    }
    if outcomes.is_empty() {
        return Err(anyhow!("no case was played").into());
    }
    if failed == 0 { Ok(()) } else { Err(Failed::Shown) }
}

fn shown(name: &str, verdict: &str, ended: &Ended) -> String {
    let mut out = format!("test {name} ... {verdict}");
    if !ended.failures.is_empty() {
        let lines = ended.lines.iter().map(|line| format!("it logged at {line}"));
        for line in ended.failures.iter().cloned().chain(lines) {
            out.push_str(&format!("\n    {line}"));
        }
    }
    out
}

async fn recorder(workspace: &Path, name: &str, output: Output) -> Result<std::sync::Arc<Recorder>, Failed> {
    let checked = check(&host()?, workspace, &Environment::of_process()).await;
    let (config, _) = checked.map_err(|problems| Failed::Problems(problems, output))?;
    let (connection, secrets) = connection(&config, name)?;
    Ok(Recorder::new(connection, secrets))
}

fn write(path: &Path, text: &str) -> anyhow::Result<()> {
    if let Some(folder) = path.parent() {
        std::fs::create_dir_all(folder).with_context(|| format!("cannot make {}", folder.display()))?;
    }
    replace(path, text.as_bytes())
}
