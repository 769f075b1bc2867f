//! `weft events`: a customer's events by time. It asks the running engine, and reads the data folder itself where none runs.

use std::fmt::Write as _;
use std::path::PathBuf;

use anyhow::{Context, anyhow};
use serde_json::Value;
use weft_domain::value::Timestamp;

use super::dlq::plain;
use super::{Failed, Output, client, load, print, report_progress};
use crate::config::Config;
use crate::events::{self, Asked, Cursor, List, Order, Shown, Who};
use crate::limits;
use crate::render::Style;
use crate::vault::{DataFolder, Vault};

#[derive(clap::Args)]
pub(super) struct Events {
    /// `TYPE:VALUE`, such as `email:ann@example.com`, or a customer's id.
    who: Who,
    /// Those that occurred then or later: a time of RFC 3339, such as 2026-03-01T09:30:00Z.
    #[arg(long, value_name = "TIME")]
    since: Option<Timestamp>,
    /// Those that occurred before.
    #[arg(long, value_name = "TIME")]
    until: Option<Timestamp>,
    /// So many at most, and never more than 1000 at once.
    #[arg(long, default_value_t = limits::EVENTS_SHOWN)]
    limit: usize,
    /// Which come first.
    #[arg(long, value_enum, default_value_t = Order::Newest)]
    order: Order,
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

pub(super) async fn run(events: Events) -> Result<(), Failed> {
    let Events { who, since, until, limit, order, after, workspace, json } = events;
    let output = Output::of(json);
    let (config, _) = load(&workspace, output).await?;
    let asked = Asked { from: since, to: until, after, limit: Some(limit), order };
    let found = match client::get(&client::Engine::configured(&config), &path(&who, &asked)).await? {
        client::Answer::Nobody => read_the_folder(&config, &who, &asked)?,
        client::Answer::NotFound => None,
        client::Answer::Body(bytes) => Some(serde_json::from_slice(&bytes).context("the engine's answer cannot be read")?),
    };
    let Some(list) = found else { return Err(anyhow!("nobody is known by `{who}`").into()) };
    match output {
        Output::Json => print(&serde_json::to_string_pretty(&list)?),
        Output::People => print(&table(&list)),
    }
    Ok(())
}

fn read_the_folder(config: &Config, who: &Who, asked: &Asked) -> anyhow::Result<Option<List>> {
    let vault = Vault::open(&DataFolder::at(&config.data), report_progress())?;
    let list = events::list(|| &vault.overlay, &vault.history.reader(), who, asked)?;
    vault.close()?;
    Ok(list)
}

fn path(who: &Who, asked: &Asked) -> String {
    let mut path = match who {
        Who::Identifier(kind, value) => format!("/api/v1/profiles/{}/{}", client::escape(kind), client::escape(value)),
        Who::Customer(id) => format!("/api/v1/profiles/{id}"),
    };
    let order = match asked.order {
        Order::Newest => "newest",
        Order::Oldest => "oldest",
    };
    let _ = write!(path, "/events?order={order}");
    let Asked { from, to, after, limit, order: _ } = asked;
    for (name, value) in [("from", from), ("to", to)] {
        let _ = value.map(|value| write!(path, "&{name}={value}"));
    }
    let _ = after.map(|after| write!(path, "&after={after}"));
    let _ = limit.map(|limit| write!(path, "&limit={limit}"));
    path
}

/// A line for each event.
fn table(list: &List) -> String {
    let mut text: String = list.events.iter().map(|event| format!("{}\n", line(event, Style::of(&std::io::stdout())))).collect();
    if list.events.is_empty() {
        text.push_str("no event of that time\n");
    }
    if list.missing > 0 {
        let _ = writeln!(text, "{} are not in history any more", list.missing);
    }
    if let Some(next) = list.next {
        let _ = writeln!(text, "there are more: --after {next}");
    }
    text
}

/// An event in a line: when it occurred, the source, what it is, of whom, and what it says.
pub(super) fn line(shown: &Shown, style: Style) -> String {
    let event: Value = serde_json::from_str(shown.event.get()).unwrap_or_default();
    let text = |key: &str| event[key].as_str().unwrap_or_default();
    let named =
        |one: &Value| format!("{}:{}", one["type"].as_str().unwrap_or_default(), one["value"].as_str().unwrap_or_default());
    let whose: Vec<String> = event["claims"].as_array().into_iter().flatten().map(named).collect();
    let said = ["traits", "properties"].iter().filter_map(|key| event[key].as_object()).flatten();
    let said: Vec<String> = said.map(|(name, value)| format!("{name}={value}")).collect();
    let what = if text("name").is_empty() { text("type").to_owned() } else { format!("{} {:?}", text("type"), text("name")) };
    // What strangers say is made harmless before colours are added.
    let painted = |colour, text: &str| style.paint(colour, &plain(text).replace(['\n', '\t'], " "));
    format!(
        "{}  {}  {}  {}  {}",
        painted(DIM, text("occurred")),
        painted(CYAN, &format!("{:<12}", shown.source)),
        painted(BOLD, &what),
        painted(CYAN, &whose.join(" ")),
        painted(PLAIN, &said.join(" "))
    )
}

const DIM: &str = "2";
const CYAN: &str = "36";
const BOLD: &str = "1";
const PLAIN: &str = "0";
