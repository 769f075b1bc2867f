//! `weft destination`: pausing a destination of the running engine, and letting it go on.

use std::path::PathBuf;

use anyhow::{Context, anyhow};
use clap::Subcommand;
use serde_json::Value;
use weft_domain::value::Excerpt;

use super::{Failed, Output, client, print};

/// What to do with a destination.
#[derive(Subcommand)]
pub(super) enum Destination {
    /// Give it nothing until it is resumed, also after a restart. What it would be given waits. The engine must run.
    Pause(Which),
    /// Give it what waits for it, and what comes. The engine must run.
    Resume(Which),
}

/// Which destination.
#[derive(clap::Args)]
pub(super) struct Which {
    /// Its name, as under `destinations:`.
    name: String,
    /// The workspace: a folder, or its weft.yaml.
    #[arg(long, default_value = ".", value_parser = crate::command::there)]
    workspace: PathBuf,
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

pub(super) async fn run(command: Destination) -> Result<(), Failed> {
    let (Which { name, workspace, json }, what) = match command {
        Destination::Pause(which) => (which, "pause"),
        Destination::Resume(which) => (which, "resume"),
    };
    let engine = client::Engine::of(&workspace);
    let path = format!("/api/v1/destinations/{}/{what}", client::escape(&name));
    let answer: Value = match client::post(&engine, &path, &serde_json::json!({})).await? {
        client::Answer::Nobody => return Err(anyhow!("no engine listens on {engine}: `weft run` starts it").into()),
        client::Answer::NotFound => {
            let name = Excerpt(&name);
            return Err(anyhow!("the engine that runs has no destination `{name}`: `weft status` lists them").into());
        }
        client::Answer::Body(bytes) => serde_json::from_slice(&bytes).context("the engine's answer cannot be read")?,
    };
    match Output::of(json) {
        Output::Json => print(&answer.to_string()),
        Output::People => print(&match answer["paused"].as_str() {
            Some(since) => format!("`{name}` is paused since {since}: what comes for it waits"),
            None => format!("`{name}` is given what waits for it"),
        }),
    }
    Ok(())
}
