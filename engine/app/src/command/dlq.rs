//! `weft dlq`: dead letters, listed, shown whole, dropped or tried again (`again`). It asks the running engine, and reads the data folder itself where none runs.
//!
//! Originals come from strangers: where people read them in a terminal, what would move its cursor or its colours is spelt out.

mod again;

use std::fmt::Write as _;
use std::io::Write as _;
use std::path::PathBuf;

use anyhow::{Context, anyhow};
use clap::Subcommand;
use serde::de::DeserializeOwned;
use weft_domain::value::Timestamp;
use weft_domain::view::Read;

use super::{Failed, Output, client, load, print, report_progress};
use crate::clock::Clock;
use crate::config::{Config, Duration};
use crate::letters::{self, Asked, Id, List, Shown};
use crate::limits;
use crate::vault::{DataFolder, Vault};

/// What to do with dead letters.
#[derive(Subcommand)]
pub(super) enum Dlq {
    /// List dead letters, the oldest first.
    List {
        #[command(flatten)]
        which: Which,
        /// Only those after this one: to go on where a list ended.
        #[arg(long, value_name = "ID")]
        after: Option<Id>,
        /// So many at most, and never more than 500.
        #[arg(long, default_value_t = crate::limits::LETTERS_SHOWN)]
        limit: usize,
        /// The workspace: a folder, or its weft.yaml.
        #[arg(long, default_value = ".", value_parser = crate::command::there)]
        workspace: PathBuf,
        /// Print JSON.
        #[arg(long)]
        json: bool,
    },
    /// Drop dead letters that nobody needs any more. The engine must run.
    #[command(group = clap::ArgGroup::new("chosen").args(["ids", "stage", "code", "since", "until"]).multiple(true).required(true))]
    Drop {
        /// Their ids, as a list has them.
        #[arg(value_name = "ID", conflicts_with_all = ["stage", "code", "since", "until"])]
        ids: Vec<Id>,
        #[command(flatten)]
        which: Which,
        /// Why, for the next person who asks: history keeps it.
        #[arg(long)]
        reason: String,
        /// The workspace: a folder, or its weft.yaml.
        #[arg(long, default_value = ".", value_parser = crate::command::there)]
        workspace: PathBuf,
        /// Print JSON.
        #[arg(long)]
        json: bool,
    },
    /// Have dead letters go again: bytes through their source, events through all transforms or to the destination that refused them, profiles as they are
    /// now. The engine must run.
    #[command(group = clap::ArgGroup::new("chosen").args(["ids", "stage", "code", "since", "until"]).multiple(true).required(true))]
    Retry {
        /// Their ids, as a list has them.
        #[arg(value_name = "ID", conflicts_with_all = ["stage", "code", "since", "until"])]
        ids: Vec<Id>,
        #[command(flatten)]
        which: Which,
        /// Only say which would go.
        #[arg(long)]
        dry_run: bool,
        /// The workspace: a folder, or its weft.yaml.
        #[arg(long, default_value = ".", value_parser = crate::command::there)]
        workspace: PathBuf,
        /// Print JSON.
        #[arg(long)]
        json: bool,
    },
    /// Edit the bytes of a dead letter into an event in `$EDITOR`, and have it go through all transforms. The original stays in history. The engine must
    /// run.
    Edit {
        /// Its id, as a list has it.
        id: Id,
        /// A file with the bytes that are to go in place of the original; without it, `$EDITOR` is opened.
        #[arg(long, value_name = "FILE")]
        with: Option<PathBuf>,
        /// The workspace: a folder, or its weft.yaml.
        #[arg(long, default_value = ".", value_parser = crate::command::there)]
        workspace: PathBuf,
        /// Print JSON.
        #[arg(long)]
        json: bool,
    },
    /// Show one dead letter, with all its bytes.
    Show {
        /// Its id, as a list has it.
        id: Id,
        /// The workspace: a folder, or its weft.yaml.
        #[arg(long, default_value = ".", value_parser = crate::command::there)]
        workspace: PathBuf,
        /// Print JSON.
        #[arg(long)]
        json: bool,
        /// Print nothing but the bytes, as they came.
        #[arg(long, conflicts_with = "json")]
        raw: bool,
    },
}

/// Some dead letters, by what they have in common.
#[derive(clap::Args)]
pub(super) struct Which {
    /// Those of this stage.
    #[arg(long)]
    stage: Option<String>,
    /// Those with this code.
    #[arg(long)]
    code: Option<String>,
    /// Those that were set aside then or later: a time of RFC 3339, such as 2026-03-01T09:30:00Z, or how long ago, such as 2h.
    #[arg(long, value_name = "TIME", value_parser = moment)]
    since: Option<Timestamp>,
    /// Those that were set aside before: like --since.
    #[arg(long, value_name = "TIME", value_parser = moment)]
    until: Option<Timestamp>,
}

/// Reads a time, or how long ago it was.
fn moment(text: &str) -> Result<Timestamp, String> {
    ago(text, Clock::Wall.now())
}

fn ago(text: &str, now: Timestamp) -> Result<Timestamp, String> {
    let time = text.parse::<Timestamp>();
    match text.parse::<Duration>() {
        Ok(long) => Ok(now.plus_ms(-i64::try_from(long.as_ms()).unwrap_or(i64::MAX))),
        // Whoever begins like a date meant one.
        Err(_) if time.is_ok() || text.contains('-') => time,
        Err(wrong) => Err(format!("{wrong}; a time such as 2026-03-01T09:30:00Z, or how long ago, such as 2h, is wanted")),
    }
}

/// Letters of a message in a list: with the rest of the line some 140, which terminals of today show.
const MESSAGE_LETTERS_MAX: usize = 60;

pub(super) async fn run(command: Dlq) -> Result<(), Failed> {
    match command {
        Dlq::List { which: Which { stage, code, since, until }, after, limit, workspace, json } => {
            let output = Output::of(json);
            let (config, _) = load(&workspace, output).await?;
            let asked = Asked { stage, code, since, until, after, limit: Some(limit) };
            let read = |vault: &Vault| letters::list(|| &vault.overlay, &vault.history.reader(), &asked).map(Some);
            let list: Option<List> = ask(&config, &path_of_list(&asked), read).await?;
            let list = list.ok_or_else(|| anyhow!("the engine that runs is of a version without this page"))?;
            match output {
                Output::Json => print(&serde_json::to_string_pretty(&list)?),
                Output::People if list.letters.is_empty() && asked.is_narrow() => print("no such dead letter waits"),
                Output::People => print(&table(&list)),
            }
        }
        Dlq::Drop { ids, which, reason, workspace, json } => {
            let output = Output::of(json);
            let (config, _) = load(&workspace, output).await?;
            let ids = if ids.is_empty() { all_of(&config, which).await? } else { ids };
            let dropped = drop_some(&config, &ids, &reason).await?;
            match output {
                Output::Json => print(&serde_json::json!({ "dropped": dropped }).to_string()),
                Output::People => print(&format!("dropped {dropped} dead letters")),
            }
        }
        Dlq::Retry { ids, which, dry_run, workspace, json } => {
            let output = Output::of(json);
            let (config, _) = load(&workspace, output).await?;
            let ids = if ids.is_empty() { all_of(&config, which).await? } else { ids };
            again::say(&again::some(&config, &ids, dry_run).await?, dry_run, output)?;
        }
        Dlq::Edit { id, with, workspace, json } => {
            let output = Output::of(json);
            let (config, _) = load(&workspace, output).await?;
            let Some(edited) = again::edited(&config, id, with.as_deref()).await? else {
                return Err(anyhow!("nothing was changed, and the letter stays").into());
            };
            again::say(&again::with(&config, id, edited).await?, false, output)?;
        }
        Dlq::Show { id, workspace, json, raw } => {
            let output = Output::of(json);
            let (config, _) = load(&workspace, output).await?;
            let read = |vault: &Vault| letters::find(|| &vault.overlay, &vault.history.reader(), id);
            let found: Option<Shown> = ask(&config, &format!("/api/v1/dead-letters/{id}"), read).await?;
            let shown = found.ok_or_else(|| anyhow!("there is no dead letter `{id}`"))?;
            match output {
                _ if raw => print_bytes(&bytes_of(&shown)?)?,
                Output::Json => print(&serde_json::to_string_pretty(&shown)?),
                Output::People => print(&page(&shown)?),
            }
        }
    }
    Ok(())
}

/// The ids of all dead letters that are meant.
async fn all_of(config: &Config, Which { stage, code, since, until }: Which) -> anyhow::Result<Vec<Id>> {
    let limit = Some(limits::LETTERS_SHOWN_MAX);
    let (mut ids, mut asked) = (Vec::new(), Asked { stage, code, since, until, after: None, limit });
    loop {
        let list: List = serde_json::from_slice(&reach(
            config,
            client::get(&client::Engine::configured(config), &path_of_list(&asked)).await?,
        )?)?;
        ids.extend(list.letters.iter().map(|letter| letter.id));
        match list.next {
            Some(next) => asked.after = Some(next),
            None => return Ok(ids),
        }
    }
}

/// Has dead letters dropped; how many of them were there.
async fn drop_some(config: &Config, ids: &[Id], reason: &str) -> anyhow::Result<u64> {
    let mut dropped = 0;
    for ids in ids.chunks(limits::LETTERS_DROPPED_MAX) {
        let body = serde_json::json!({ "letters": ids, "reason": reason });
        let answer = reach(config, client::post(&client::Engine::configured(config), "/api/v1/dead-letters/drop", &body).await?)?;
        let answer: serde_json::Value = serde_json::from_slice(&answer).context("the engine's answer cannot be read")?;
        dropped += answer["dropped"].as_u64().unwrap_or_default();
    }
    Ok(dropped)
}

/// The body of an answer that only a running engine can give.
fn reach(config: &Config, answer: client::Answer) -> anyhow::Result<bytes::Bytes> {
    match answer {
        client::Answer::Body(bytes) => Ok(bytes),
        client::Answer::Nobody => Err(anyhow!("no engine listens on {}: `weft run` starts it", config.listen)),
        client::Answer::NotFound => Err(anyhow!("the engine that runs is of a version without this page")),
    }
}

/// Asks the engine that listens, or else reads what is asked from the data folder. None where there is no such thing.
async fn ask<T: DeserializeOwned>(
    config: &Config,
    path: &str,
    read: impl FnOnce(&Vault) -> Read<Option<T>>,
) -> anyhow::Result<Option<T>> {
    match client::get(&client::Engine::configured(config), path).await? {
        client::Answer::Nobody => {
            let vault = Vault::open(&DataFolder::at(&config.data), report_progress())?;
            let found = read(&vault)?;
            vault.close()?;
            Ok(found)
        }
        client::Answer::NotFound => Ok(None),
        client::Answer::Body(bytes) => serde_json::from_slice(&bytes).map(Some).context("the engine's answer cannot be read"),
    }
}

fn path_of_list(asked: &Asked) -> String {
    let Asked { stage, code, since, until, after, limit } = asked;
    let named = [
        ("stage", stage.clone()),
        ("code", code.clone()),
        ("since", since.map(|since| since.to_string())),
        ("until", until.map(|until| until.to_string())),
        ("after", after.map(|id| id.to_string())),
        ("limit", limit.map(|limit| limit.to_string())),
    ];
    let named = named.into_iter().filter_map(|(name, value)| Some(format!("{name}={}", client::escape(&value?))));
    format!("/api/v1/dead-letters?{}", named.collect::<Vec<_>>().join("&"))
}

/// A list for people: a line for each letter.
fn table(list: &List) -> String {
    let mut rows = vec![["id", "set aside", "stage", "code", "tries", "message"].map(str::to_owned)];
    rows.extend(list.letters.iter().map(|letter| {
        let Shown { id, stage, code, attempts, set_aside, again, message, .. } = letter;
        // To the second: what is finer stands on the letter's own page.
        let time = set_aside.map_or_else(|| "?".to_owned(), |at| at.to_string().replacen('T', " ", 1).chars().take(19).collect());
        let message = first_line(&if *again { format!("(goes again) {message}") } else { message.clone() });
        [id.to_string(), time, plain(stage), plain(code), attempts.to_string(), message]
    }));
    let width = |column: usize| rows.iter().map(|row| row[column].chars().count()).max().unwrap_or(0);
    let [ids, times, stages, codes, all_tries] = [0, 1, 2, 3, 4].map(width);
    let mut text = String::new();
    if list.letters.is_empty() {
        text.push_str("no dead letter waits\n");
        rows.clear();
    }
    for [id, time, stage, code, tries, message] in &rows {
        let _ = writeln!(text, "{id:<ids$}  {time:<times$}  {stage:<stages$}  {code:<codes$}  {tries:>all_tries$}  {message}");
    }
    if let Some(next) = list.next {
        let _ = writeln!(text, "there may be more: --after {next}");
    }
    text
}

/// One letter for people, with all of its original.
fn page(letter: &Shown) -> anyhow::Result<String> {
    let Shown { id, stage, code, message, attempts, set_aside, again, received, original, missing } = letter;
    let mut text = format!("dead letter {id}\n");
    let mut line = |name: &str, value: String| {
        let _ = writeln!(text, "  {name:<9} {value}");
    };
    line("stage", plain(stage));
    line("code", plain(code));
    line("message", plain(message));
    line("tries", attempts.to_string());
    line("set aside", set_aside.map_or_else(|| "nobody noted when".to_owned(), |at| at.to_string()));
    if *again {
        line("again", "on its way to the destination".to_owned());
    }
    if let Some(received) = received {
        line("received", received.to_string());
    }
    match (original, missing) {
        (Some(original), _) => {
            let form = if original.base64.is_some() { "bytes, here in base64" } else { "bytes" };
            line("original", format!("{} {form}", original.bytes));
            let shown = match &original.base64 {
                Some(base64) => base64.clone(),
                None => String::from_utf8(bytes_of(letter)?)?,
            };
            let _ = write!(text, "\n{}\n", plain(&shown));
        }
        (None, missing) => line("original", format!("not there: {}", missing.as_deref().map(plain).unwrap_or_default())),
    }
    Ok(text)
}

fn bytes_of(letter: &Shown) -> anyhow::Result<Vec<u8>> {
    let missing = || anyhow!("the original is not there: {}", letter.missing.as_deref().unwrap_or("nothing says why"));
    letter.original.as_ref().ok_or_else(missing)?.to_bytes().map_err(anyhow::Error::msg)
}

fn print_bytes(bytes: &[u8]) -> anyhow::Result<()> {
    let mut out = std::io::stdout().lock();
    match out.write_all(bytes).and_then(|()| out.flush()) {
        Err(error) if error.kind() != std::io::ErrorKind::BrokenPipe => Err(error.into()),
        // A reader that went away is no error.
        _ => Ok(()),
    }
}

/// The first line of a message, short enough for a table.
fn first_line(message: &str) -> String {
    let line = plain(message.lines().next().unwrap_or_default());
    match line.char_indices().nth(MESSAGE_LETTERS_MAX) {
        Some((at, _)) => format!("{}…", &line[..at]),
        None => line,
    }
}

/// A text as a terminal may have it: without control characters but for the end of a line.
pub(super) fn plain(text: &str) -> String {
    let spelt = |letter: char| {
        let harmless = !letter.is_control() || matches!(letter, '\n' | '\t');
        if harmless { letter.to_string() } else { letter.escape_unicode().to_string() }
    };
    text.chars().map(spelt).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::letters::Original;

    fn letter(id: Id, code: &str, message: &str, original: &[u8]) -> Shown {
        let original =
            Original { bytes: original.len(), text: Some(String::from_utf8_lossy(original).into_owned()), ..Original::default() };
        Shown {
            id,
            stage: "web".into(),
            code: code.into(),
            message: message.into(),
            attempts: 1,
            set_aside: Some(Timestamp(1_772_366_400_123)),
            again: code == "bad",
            received: None,
            original: Some(original),
            missing: None,
        }
    }

    #[test]
    fn a_list_is_a_table() {
        let long = "x".repeat(90);
        let letters = vec![
            letter(Id(7, 0), "no_identity", "nobody is named\nhint: name somebody", b""),
            letter(Id(1_204, 0), "bad", &format!("\u{1b}[31m{long}"), b""),
        ];
        let want = format!(
            "id      set aside            stage  code         tries  message\n\
             7-0     2026-03-01 12:00:00  web    no_identity      1  nobody is named\n\
             1204-0  2026-03-01 12:00:00  web    bad              1  (goes again) \\u{{1b}}[31m{}…\n\
             there may be more: --after 1204-0\n",
            "x".repeat(37)
        );
        assert_eq!(table(&List { letters, next: Some(Id(1_204, 0)) }), want);
        assert_eq!(table(&List { letters: Vec::new(), next: None }), "no dead letter waits\n");
    }

    #[test]
    fn a_letter_is_shown_whole_and_harmless() {
        let want = "dead letter 7-0\n  stage     web\n  code      no_identity\n  message   nobody is named\n  tries     1\n  \
                    set aside 2026-03-01T12:00:00.123Z\n  original  8 bytes\n\n{\n\"a\\u{7}\": \n";
        assert_eq!(page(&letter(Id(7, 0), "no_identity", "nobody is named", b"{\n\"a\x07\": ")).expect("has a form"), want);
        let lost = Shown { original: None, missing: Some("it was erased".into()), ..letter(Id(7, 0), "bad", "b", b"") };
        assert!(page(&lost).expect("has words").ends_with("  original  not there: it was erased\n"));
        assert!(bytes_of(&lost).expect_err("has no bytes").to_string().contains("it was erased"));
    }

    #[test]
    fn what_is_asked_stands_in_the_path() {
        let (stage, since, limit) = (Some("a&b".into()), Some(Timestamp(0)), Some(3));
        let asked = Asked { stage, since, after: Some(Id(1, 2)), limit, ..Asked::default() };
        let want = "/api/v1/dead-letters?stage=a%26b&since=1970-01-01T00%3A00%3A00.000Z&after=1-2&limit=3";
        assert_eq!(path_of_list(&asked), want);
    }

    #[test]
    fn a_time_is_one_or_so_long_ago() {
        let now = "2026-03-01T12:00:00Z".parse().expect("a time");
        let check = |text: &str, want: &str| {
            let got = ago(text, now).map_or_else(|error| error, |time| time.to_string());
            assert!(got.starts_with(want), "{text}: {got}");
        };
        check("2h", "2026-03-01T10:00:00.000Z");
        check("1d 12h", "2026-02-28T00:00:00.000Z");
        check("2026-02-28T01:00:00+01:00", "2026-02-28T00:00:00.000Z");
        check("2026-02-28", "`2026-02-28` is not an RFC 3339 time");
        check("2 hours", "`hours` is not a unit of time: write `2h`");
        check("lately", "`lately` is not a duration; a time such as");
    }
}
