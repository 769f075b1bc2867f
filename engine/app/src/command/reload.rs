//! `weft reload` and `weft plan`: what a workspace would change, and changing it.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::time::Instant;

use anyhow::{Context, anyhow};
use weft_domain::problem::Problems;

use super::{Failed, Output, client, complain, host, load, print, report_progress};
use crate::assembly::{check, terms};
use crate::bounds::Bounds;
use crate::clock::Clock;
use crate::config::{Change, Config, Environment};
use crate::engine::Terms;
use crate::erasure::forecast::forecast;
use crate::limits;
use crate::reload::{kept_beside, large};
use crate::render::{self, Style};
use crate::status::{Forecast, Outcome, Reloaded};
use crate::vault::{DataFolder, Vault};

/// Looks at a workspace's files, and has the running engine take on what is different.
pub(super) async fn reload(workspace: &Path, output: Output) -> Result<(), Failed> {
    let engine = client::Engine::of(workspace);
    let Some(reloaded) = ask(&engine, "/api/v1/config/reload").await? else {
        return Err(anyhow!("no engine listens on {engine}: `weft run` starts it").into());
    };
    show(&reloaded, output)
}

/// Says what would change: in the running engine where there is one, else since the last time that one ran.
pub(super) async fn plan(workspace: &Path, output: Output) -> Result<(), Failed> {
    let environment = Environment::of_process();
    if let Some(reloaded) = ask(&client::Engine::of(workspace), "/api/v1/config/reload?dry_run=true").await? {
        return show(&reloaded, output);
    }
    let (config, _) = load(workspace, output).await?;
    let kept: Option<PathBuf> = kept_beside(workspace, &environment);
    let before = match &kept {
        Some(kept) => check(&host()?, kept, &environment).await.ok(),
        None => None,
    };
    let changes = config.changes_since(before.as_ref().map(|(before, _)| before));
    let inactive = count(&config);
    let large = inactive.iter().filter_map(|forecast| large(&config, forecast));
    let problems: Problems = config.warnings.iter().cloned().chain(large).collect();
    match output {
        Output::Json => {
            let mut planned = serde_json::json!({ "outcome": "planned", "changes": changes, "problems": problems });
            if let Some(forecast) = inactive {
                planned["inactive"] = serde_json::to_value(forecast)?;
            }
            print(&planned.to_string());
        }
        Output::People => {
            complain(&render::text(&problems, Style::of(&std::io::stderr())));
            let since = if before.is_some() { "since the engine last ran" } else { "for an engine that has never run" };
            print(&with(inactive.as_ref(), listed(&changes, &format!("no engine runs; {since}"))));
        }
    }
    Ok(())
}

/// How many a configuration would have forgotten of those whom the data folder knows. None where it has nobody forgotten, or there is nobody; where
/// the folder cannot be opened, that is said, and the plan goes on without.
fn count(config: &Config) -> Option<Forecast> {
    let Terms { bounds: Bounds { inactive: Some(inactive), .. }, plan, .. } = terms(config) else { return None };
    let data = DataFolder::at(&config.data);
    if !data.history().is_dir() {
        return None;
    }
    let counted = || -> anyhow::Result<Forecast> {
        let (vault, began) = (Vault::open(&data, report_progress())?, Instant::now());
        let goes_on = || began.elapsed() < limits::FORECAST_TIME_MAX;
        let counted = forecast(|| &vault.overlay, (&inactive, &plan.identity), Clock::Wall.now(), goes_on)?;
        vault.close()?;
        Ok(counted)
    };
    counted().inspect_err(|error| complain(&format!("inactive profiles are not counted: {error:#}"))).ok()
}

async fn ask(engine: &client::Engine, path: &str) -> anyhow::Result<Option<Reloaded>> {
    match client::post(engine, path, &serde_json::json!({})).await? {
        client::Answer::Nobody => Ok(None),
        client::Answer::NotFound => Err(anyhow!("what listens on {engine} is no engine of this version")),
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
                Outcome::Planned => {
                    let changes = listed(&reloaded.changes, &format!("generation {generation} is in force; with these files"));
                    with(reloaded.inactive.as_ref(), changes)
                }
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

/// What would change, and below it who would be forgotten.
fn with(inactive: Option<&Forecast>, changes: String) -> String {
    match inactive {
        Some(forecast) => format!("{changes}\n{}", forgotten(forecast)),
        None => changes,
    }
}

fn forgotten(forecast: &Forecast) -> String {
    let Forecast { profiles, known, known_before, anonymous, anonymous_before, last_pass, at_least } = forecast;
    let mut text = match (at_least, forecast.total()) {
        (true, total) => format!("inactive profiles: at least {total} would be forgotten; there was time to look at {profiles}"),
        (false, 0) => format!("inactive profiles: none of {profiles} would be forgotten"),
        (false, total) => format!("inactive profiles: {total} of {profiles} would be forgotten"),
    };
    for (who, count, before) in [("known", known, known_before), ("anonymous", anonymous, anonymous_before)] {
        if let Some(before) = before {
            let _ = write!(text, "\n  {who:<9}  {count}: their latest events are of {before} or before");
        }
    }
    if let Some(last_pass) = last_pass {
        let since = if *at_least { "not before" } else { "about" };
        let _ = write!(text, "\n  the last of them {since} {last_pass}, unless they come back");
    }
    text
}
