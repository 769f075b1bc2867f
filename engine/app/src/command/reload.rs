//! `weft reload` and `weft plan`: what a workspace would change, and changing it.

use std::path::{Path, PathBuf};

use anyhow::{Context, anyhow};

use super::{Failed, Output, client, complain, host, load, print};
use crate::assembly::check;
use crate::config::{self, Change, Environment};
use crate::reload::kept_beside;
use crate::render::{self, Style};
use crate::status::{Outcome, Reloaded};

/// Looks at a workspace's files, and has the running engine take on what is different.
pub(super) async fn reload(workspace: &Path, output: Output) -> Result<(), Failed> {
    let address = config::listen(workspace, &Environment::of_process());
    let Some(reloaded) = ask(address, "/api/v1/config/reload").await? else {
        return Err(anyhow!("no engine listens on {address}: `weft run` starts it").into());
    };
    show(&reloaded, output)
}

/// Says what would change: in the running engine where there is one, else since the last time that one ran.
pub(super) async fn plan(workspace: &Path, output: Output) -> Result<(), Failed> {
    let environment = Environment::of_process();
    if let Some(reloaded) = ask(config::listen(workspace, &environment), "/api/v1/config/reload?dry_run=true").await? {
        return show(&reloaded, output);
    }
    let (config, _) = load(workspace, output).await?;
    let kept: Option<PathBuf> = kept_beside(workspace, &environment);
    let before = match &kept {
        Some(kept) => check(&host()?, kept, &environment).await.ok(),
        None => None,
    };
    let changes = config.changes_since(before.as_ref().map(|(before, _)| before));
    match output {
        Output::Json => print(&serde_json::json!({ "outcome": "planned", "changes": changes }).to_string()),
        Output::People => {
            let since = if before.is_some() { "since the engine last ran" } else { "for an engine that has never run" };
            print(&listed(&changes, &format!("no engine runs; {since}")));
        }
    }
    Ok(())
}

async fn ask(address: std::net::SocketAddr, path: &str) -> anyhow::Result<Option<Reloaded>> {
    match client::post(address, path, &serde_json::json!({})).await? {
        client::Answer::Nobody => Ok(None),
        client::Answer::NotFound => Err(anyhow!("what listens on {address} is no engine of this version")),
        client::Answer::Body(bytes) => Ok(Some(serde_json::from_slice(&bytes).context("the engine's answer cannot be read")?)),
    }
}

fn show(reloaded: &Reloaded, output: Output) -> Result<(), Failed> {
    match output {
        Output::Json => print(&serde_json::to_string(reloaded)?),
        Output::People => {
            complain(&render::text(&reloaded.problems, Style::of(&std::io::stderr())));
            let generation = reloaded.generation;
            print(&match reloaded.outcome {
                Outcome::Applied => listed(&reloaded.changes, &format!("generation {generation} is in force")),
                Outcome::Unchanged => format!("nothing is different: generation {generation} goes on"),
                Outcome::Planned => listed(&reloaded.changes, &format!("generation {generation} is in force; with these files")),
                Outcome::Refused => format!("refused: generation {generation} goes on"),
            });
        }
    }
    if reloaded.outcome == Outcome::Refused { Err(Failed::Refused) } else { Ok(()) }
}

fn listed(changes: &[Change], head: &str) -> String {
    if changes.is_empty() {
        return format!("{head}: nothing is different");
    }
    let lines: String = changes.iter().map(|change| format!("\n  {change}")).collect();
    format!("{head}:{lines}")
}
