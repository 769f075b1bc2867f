//! `weft profiles`: all customers by their ids, a page at a time. It asks the running engine, and reads the data folder itself where none runs.

use std::fmt::Write as _;
use std::path::PathBuf;

use anyhow::{Context, anyhow};
use serde_json::Value;
use serde_json::value::RawValue;
use weft_domain::value::Timestamp;

use super::dlq::plain;
use super::{Failed, Output, client, load, print, report_progress};
use crate::clock::Clock;
use crate::config::Config;
use crate::limits;
use crate::moment::position_at;
use crate::profiles::{Cursor, List, Stretch, page};
use crate::selection::{Of, Selection, names_of};
use crate::vault::{DataFolder, Vault};

#[derive(clap::Args)]
pub(super) struct Profiles {
    /// Only those of whom something has changed since what had come in by then: a time of RFC 3339, such as 2026-03-01T09:30:00Z.
    #[arg(long, value_name = "TIME")]
    changed_since: Option<Timestamp>,
    /// The fields that are wanted, such as traits.email,attributes,identifiers.
    #[arg(long, value_name = "FIELDS")]
    fields: Option<String>,
    /// So many at most, and never more than 1000 at once.
    #[arg(long, default_value_t = limits::PROFILES_SHOWN)]
    limit: usize,
    /// Only those after this one: to go on where a list ended.
    #[arg(long, value_name = "PLACE")]
    after: Option<Cursor>,
    /// The workspace: a folder, or its weft.yaml.
    #[arg(long, default_value = ".", value_parser = crate::command::there)]
    workspace: PathBuf,
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

pub(super) async fn run(profiles: Profiles) -> Result<(), Failed> {
    let output = Output::of(profiles.json);
    let (config, _) = load(&profiles.workspace, output).await?;
    let list: List = match client::get(&client::Engine::configured(&config), &path(&profiles)).await? {
        client::Answer::Nobody => read_the_folder(&config, &profiles)?,
        client::Answer::NotFound => return Err(anyhow!("the engine that runs is of a version without this page").into()),
        client::Answer::Body(bytes) => serde_json::from_slice(&bytes).context("the engine's answer cannot be read")?,
    };
    match output {
        Output::Json => print(&serde_json::to_string_pretty(&list)?),
        Output::People => print(&table(&list)),
    }
    Ok(())
}

fn path(Profiles { changed_since, fields, limit, after, .. }: &Profiles) -> String {
    let mut path = format!("/api/v1/profiles?limit={limit}");
    let _ = changed_since.map(|since| write!(path, "&changed_since={since}"));
    let _ = after.map(|after| write!(path, "&after={after}"));
    let _ = fields.as_ref().map(|fields| write!(path, "&fields={}", client::escape(fields)));
    path
}

fn read_the_folder(config: &Config, asked: &Profiles) -> anyhow::Result<List> {
    let vault = Vault::open(&DataFolder::at(&config.data), report_progress())?;
    let attributes = names_of(&vault.overlay.plan().attributes);
    let selection = match &asked.fields {
        Some(fields) => Selection::parse(fields, Of::Profile(&attributes)).map_err(|message| anyhow!(message))?,
        None => Selection::default(),
    };
    let since = asked.changed_since.map_or(Ok(0), |since| position_at(&vault.history.reader(), since))?;
    let most = asked.limit.clamp(1, limits::PROFILES_SHOWN_MAX);
    let stretch = Stretch { after: asked.after, since, most };
    let list = page(|| &vault.overlay, Clock::Wall.now(), stretch, &selection)?;
    vault.close()?;
    Ok(list)
}

/// A line for each customer, and where to go on.
fn table(list: &List) -> String {
    let mut text: String = list.profiles.iter().map(|profile| format!("{}\n", line(profile))).collect();
    if list.profiles.is_empty() {
        text.push_str("no customer\n");
    }
    if let Some(next) = list.next {
        let _ = writeln!(text, "there may be more: --after {next}");
    }
    text
}

/// A profile in a line: the id, and each field with its value.
fn line(profile: &RawValue) -> String {
    let profile: Value = serde_json::from_str(profile.get()).unwrap_or_default();
    let mut line = profile["customer_id"].as_str().unwrap_or_default().to_owned();
    for (name, value) in said(&profile).into_iter().filter(|(name, _)| name != "customer_id") {
        let _ = write!(line, "  {name}={value}");
    }
    plain(&line).replace(['\n', '\t'], " ")
}

/// What a profile says, as names and values: each trait by itself, identifiers by their types.
pub(super) fn said(profile: &Value) -> Vec<(String, String)> {
    let text = |value: &Value| value.as_str().map_or_else(|| value.to_string(), str::to_owned);
    let mut said = Vec::new();
    for (name, value) in profile.as_object().into_iter().flatten() {
        match value {
            Value::Object(parts) => said.extend(parts.iter().map(|(part, value)| (format!("{name}.{part}"), text(value)))),
            Value::Array(all) if name == "identifiers" => {
                said.extend(all.iter().map(|one| (text(&one["type"]), text(&one["value"]))));
            }
            Value::Array(all) if all.is_empty() => {}
            value => said.push((name.clone(), text(value))),
        }
    }
    said
}
