//! `weft erase` and `weft access`: what people may ask of a company that knows them. The engine must run, since it goes on meanwhile.

use std::path::PathBuf;

use anyhow::{Context, anyhow};
use serde_json::{Value, json};

use super::{Failed, Output, client, print, put};
use crate::erasure::{Erasure, Progress};
use crate::events::Who;

#[derive(clap::Args)]
pub(super) struct Erase {
    /// Who is to be erased: `TYPE:VALUE`, such as `email:ann@example.com`, or a customer's id.
    #[arg(required_unless_present_any = ["status", "lift"], conflicts_with_all = ["status", "lift"])]
    who: Option<Who>,
    /// Why. It is kept, so it should name nobody.
    #[arg(long, required_unless_present_any = ["status", "lift"])]
    reason: Option<String>,
    /// Wait until nothing is left.
    #[arg(long, conflicts_with_all = ["status", "lift"])]
    wait: bool,
    /// Say how far erasures are: all, or the one with this id.
    #[arg(long, value_name = "ID", num_args = 0..=1, default_missing_value = "")]
    status: Option<String>,
    /// Take events of an identifier again that was erased: `TYPE:VALUE`.
    #[arg(long, value_name = "TYPE:VALUE", conflicts_with = "status")]
    lift: Option<Who>,
    /// The workspace: a folder, or its weft.yaml.
    #[arg(long, default_value = ".", value_parser = crate::command::there)]
    workspace: PathBuf,
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

#[derive(clap::Args)]
pub(super) struct Access {
    /// `TYPE:VALUE`, such as `email:ann@example.com`, or a customer's id.
    who: Who,
    /// The workspace: a folder, or its weft.yaml.
    #[arg(long, default_value = ".", value_parser = crate::command::there)]
    workspace: PathBuf,
}

pub(super) async fn run(erase: Erase) -> Result<(), Failed> {
    let Erase { who, reason, wait, status, lift, workspace, json } = erase;
    let (engine, output) = (client::Engine::of(&workspace), Output::of(json));
    if let Some(who) = lift {
        return lifted(&engine, &who, output).await;
    }
    if let Some(id) = status {
        return show_all(&engine, &id, output).await;
    }
    let (who, reason) = who.zip(reason).context("give who is to be erased, and `--reason`")?;
    let asked = client::post(&engine, "/api/v1/erasures", &json!({ "who": who.to_string(), "reason": reason })).await?;
    let mut erasure: Erasure = serde_json::from_slice(&body(&engine, asked, &who.to_string())?).context(UNREADABLE)?;
    while wait && !matches!(erasure.status, Progress::Completed | Progress::Cancelled) {
        tokio::time::sleep(WATCH_EVERY).await;
        let answer = client::get(&engine, &format!("/api/v1/erasures/{}", erasure.id)).await?;
        erasure = serde_json::from_slice(&body(&engine, answer, &erasure.id)?).context(UNREADABLE)?;
    }
    match output {
        Output::Json => print(&serde_json::to_string_pretty(&erasure)?),
        Output::People => print(&line(&erasure)),
    }
    Ok(())
}

pub(super) async fn access(access: Access) -> Result<(), Failed> {
    let engine = client::Engine::of(&access.workspace);
    let path = match &access.who {
        Who::Identifier(kind, value) => format!("/api/v1/access/{}/{}", client::escape(kind), client::escape(value)),
        Who::Customer(id) => format!("/api/v1/access/{id}"),
    };
    let lines = body(&engine, client::get(&engine, &path).await?, &access.who.to_string())?;
    put(&String::from_utf8_lossy(&lines));
    Ok(())
}

const UNREADABLE: &str = "the engine's answer cannot be read";

/// How often it is asked whether an erasure is done.
const WATCH_EVERY: std::time::Duration = std::time::Duration::from_millis(300);

async fn lifted(engine: &client::Engine, who: &Who, output: Output) -> Result<(), Failed> {
    let asked = client::post(engine, "/api/v1/erasures/lift", &json!({ "who": who.to_string() })).await?;
    let answer: Value = serde_json::from_slice(&body(engine, asked, &who.to_string())?).context(UNREADABLE)?;
    match output {
        Output::Json => print(&answer.to_string()),
        Output::People if answer["lifted"] == true => print(&format!("events of `{who}` are taken again")),
        Output::People => print(&format!("`{who}` was not suppressed")),
    }
    Ok(())
}

async fn show_all(engine: &client::Engine, id: &str, output: Output) -> Result<(), Failed> {
    let path = if id.is_empty() { "/api/v1/erasures".to_owned() } else { format!("/api/v1/erasures/{}", client::escape(id)) };
    let answer: Value = serde_json::from_slice(&body(engine, client::get(engine, &path).await?, id)?).context(UNREADABLE)?;
    if output == Output::Json {
        print(&serde_json::to_string_pretty(&answer)?);
        return Ok(());
    }
    let all = if id.is_empty() { answer["erasures"].clone() } else { json!([answer]) };
    let all: Vec<Erasure> = serde_json::from_value(all).context(UNREADABLE)?;
    let lines: Vec<String> = all.iter().map(line).collect();
    print(&if lines.is_empty() { "nobody was erased".to_owned() } else { lines.join("\n") });
    Ok(())
}

/// An erasure in a line or two.
fn line(erasure: &Erasure) -> String {
    let status = match erasure.status {
        Progress::Pending => "pending",
        Progress::InProgress => "in progress",
        Progress::Completed => "completed",
        Progress::Cancelled => "cancelled",
    };
    let removed = erasure.removed.iter().filter(|(_, count)| **count > 0);
    let removed: Vec<String> = removed.map(|(place, count)| format!("{place} {count}")).collect();
    let mut text = format!("{}  {status:<11}  {}  {}", erasure.id, erasure.requested, super::dlq::plain(&erasure.reason));
    if erasure.status == Progress::Completed {
        let removed = if removed.is_empty() { "there was nothing".to_owned() } else { removed.join(", ") };
        text.push_str(&format!("\n    {removed}; {} identifiers suppressed", erasure.suppressed));
        if erasure.together > 1 {
            text.push_str(&format!("; of the logs, for all {} that went together", erasure.together));
        }
    }
    if let Some(trouble) = &erasure.trouble {
        text.push_str(&format!("\n    it is tried again: {trouble}"));
    }
    text
}

fn body(engine: &client::Engine, answer: client::Answer, what: &str) -> anyhow::Result<bytes::Bytes> {
    match answer {
        client::Answer::Nobody => Err(anyhow!("no engine listens on {engine}: `weft run` starts it")),
        client::Answer::NotFound => Err(anyhow!("the engine that runs knows nothing of `{}`", super::dlq::plain(what))),
        client::Answer::Body(body) => Ok(body),
    }
}
