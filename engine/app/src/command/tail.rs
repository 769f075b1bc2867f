//! `weft tail`: events as the running engine makes them durable. An engine that goes away is waited for, and gone on with where it was.

use std::fmt::Write as _;
use std::io::Write as _;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context, anyhow};
use serde_json::{Value, json};

use super::client::{self, Message};
use super::events::line;
use super::{Failed, complain};
use crate::events::{Shown, Who};
use crate::limits;
use crate::render::Style;
use crate::tail::LeftOut;

#[derive(clap::Args)]
pub(super) struct Tail {
    /// Only events of this source.
    #[arg(long)]
    source: Option<String>,
    /// Only events of this type, such as `track`.
    #[arg(long = "type", value_name = "TYPE")]
    kind: Option<String>,
    /// Only events of this name.
    #[arg(long)]
    name: Option<String>,
    /// Only events of this customer: `TYPE:VALUE`, such as `email:ann@example.com`, or an id.
    #[arg(long, value_name = "WHO")]
    customer: Option<Who>,
    /// So many events in a second at most; what is more is counted.
    #[arg(long, default_value_t = limits::TAIL_EVENTS)]
    limit: u64,
    /// The workspace: a folder, or its weft.yaml.
    #[arg(long, default_value = ".", value_parser = crate::command::there)]
    workspace: PathBuf,
    /// Print a JSON document in each line.
    #[arg(long)]
    json: bool,
}

/// How long to wait for an engine that has gone away before it is looked for again.
const AGAIN: Duration = Duration::from_secs(1);

pub(super) async fn run(tail: Tail) -> Result<(), Failed> {
    let engine = client::Engine::of(&tail.workspace);
    let path = tail.path();
    let (mut last, mut been_there): (Option<String>, bool) = (None, false);
    loop {
        match client::follow(&engine, &path, last.as_deref()).await {
            Ok(Some(mut messages)) => {
                if been_there {
                    complain("the engine is there again");
                }
                been_there = true;
                while let Some(message) = messages.next().await {
                    let written = tail.written(&message)?;
                    last = message.id.or(last);
                    // Whoever read has had enough.
                    if writeln!(std::io::stdout(), "{written}").and_then(|()| std::io::stdout().flush()).is_err() {
                        return Ok(());
                    }
                }
                complain("the engine has gone away; waiting for it");
            }
            Ok(None) if !been_there => return Err(anyhow!("no engine listens on {engine}: `weft run` starts it").into()),
            Err(error) if !been_there => return Err(error.into()),
            Ok(None) | Err(_) => (),
        }
        tokio::time::sleep(AGAIN).await;
    }
}

impl Tail {
    fn path(&self) -> String {
        let mut path = format!("/api/v1/tail?limit={}", self.limit);
        let customer = self.customer.as_ref().map(Who::to_string);
        for (name, value) in [("source", &self.source), ("type", &self.kind), ("name", &self.name), ("customer", &customer)] {
            let _ = value.as_ref().map(|value| write!(path, "&{name}={}", client::escape(value)));
        }
        path
    }

    fn written(&self, message: &Message) -> anyhow::Result<String> {
        let unreadable = || format!("the engine's message cannot be read: {}", message.event);
        if self.json {
            let data: Value = serde_json::from_str(&message.data).with_context(unreadable)?;
            return Ok(if message.event == "event" { message.data.clone() } else { json!({ "left_out": data }).to_string() });
        }
        let style = Style::of(&std::io::stdout());
        if message.event == "event" {
            let shown: Shown = serde_json::from_str(&message.data).with_context(unreadable)?;
            return Ok(line(&shown, style));
        }
        let LeftOut { events, records } = serde_json::from_str(&message.data).with_context(unreadable)?;
        let mut said = Vec::new();
        if events > 0 {
            said.push(format!("{events} events more than --limit {} a second are not shown", self.limit));
        }
        if records > 0 {
            said.push(format!("{records} records of history were passed over: this reader is too slow"));
        }
        Ok(style.paint("33", &format!("… {}", said.join("; "))))
    }
}
