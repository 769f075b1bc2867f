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
use weft_domain::view::Read;

use super::{Failed, Output, client, load, print, report_progress};
use crate::config::Config;
use crate::letters::{self, Asked, Id, List, Shown};
use crate::limits;
use crate::vault::{DataFolder, Vault};

/// What to do with dead letters.
#[derive(Subcommand)]
pub(super) enum Dlq {
    /// List dead letters, the oldest first.
    List {
        /// Only those of this stage.
        #[arg(long)]
        stage: Option<String>,
        /// Only those with this code.
        #[arg(long)]
        code: Option<String>,
        /// Only those after this one: to go on where a list ended.
        #[arg(long, value_name = "ID")]
        after: Option<Id>,
        /// So many at most, and never more than 500.
        #[arg(long, default_value_t = crate::limits::LETTERS_SHOWN)]
        limit: usize,
        /// The workspace: a folder, or its weft.yaml.
        #[arg(long, default_value = ".")]
        workspace: PathBuf,
        /// Print JSON.
        #[arg(long)]
        json: bool,
    },
    /// Drop dead letters that nobody needs any more. The engine must run.
    #[command(group = clap::ArgGroup::new("which").args(["ids", "stage", "code"]).multiple(true).required(true))]
    Drop {
        /// Their ids, as a list has them.
        #[arg(value_name = "ID", conflicts_with_all = ["stage", "code"])]
        ids: Vec<Id>,
        /// All of this stage.
        #[arg(long)]
        stage: Option<String>,
        /// All with this code.
        #[arg(long)]
        code: Option<String>,
        /// Why, for the next person who asks: history keeps it.
        #[arg(long)]
        reason: String,
        /// The workspace: a folder, or its weft.yaml.
        #[arg(long, default_value = ".")]
        workspace: PathBuf,
        /// Print JSON.
        #[arg(long)]
        json: bool,
    },
    /// Have dead letters go again: events through all transforms, profiles that a destination refused as they are now. The engine must run.
    #[command(group = clap::ArgGroup::new("some").args(["ids", "stage", "code"]).multiple(true).required(true))]
    Retry {
        /// Their ids, as a list has them.
        #[arg(value_name = "ID", conflicts_with_all = ["stage", "code"])]
        ids: Vec<Id>,
        /// All of this stage.
        #[arg(long)]
        stage: Option<String>,
        /// All with this code.
        #[arg(long)]
        code: Option<String>,
        /// Only say which would go.
        #[arg(long)]
        dry_run: bool,
        /// The workspace: a folder, or its weft.yaml.
        #[arg(long, default_value = ".")]
        workspace: PathBuf,
        /// Print JSON.
        #[arg(long)]
        json: bool,
    },
    /// Edit the bytes of a dead letter in `$EDITOR`, and have them go again. The original stays in history. The engine must run.
    Edit {
        /// Its id, as a list has it.
        id: Id,
        /// A file with the bytes that are to go in place of the original; without it, `$EDITOR` is opened.
        #[arg(long, value_name = "FILE")]
        with: Option<PathBuf>,
        /// The workspace: a folder, or its weft.yaml.
        #[arg(long, default_value = ".")]
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
        #[arg(long, default_value = ".")]
        workspace: PathBuf,
        /// Print JSON.
        #[arg(long)]
        json: bool,
        /// Print nothing but the bytes, as they came.
        #[arg(long, conflicts_with = "json")]
        raw: bool,
    },
}

/// Letters of a message in a list: with the rest of the line some 140, which terminals of today show.
const MESSAGE_LETTERS_MAX: usize = 80;

pub(super) async fn run(command: Dlq) -> Result<(), Failed> {
    match command {
        Dlq::List { stage, code, after, limit, workspace, json } => {
            let output = Output::of(json);
            let (config, _) = load(&workspace, output).await?;
            let asked = Asked { stage, code, after, limit: Some(limit) };
            let read = |vault: &Vault| {
                letters::list(|from, max| vault.overlay.letters(from, max), &vault.history.reader(), &asked).map(Some)
            };
            let list: Option<List> = ask(&config, &path_of_list(&asked), read).await?;
            let list = list.ok_or_else(|| anyhow!("the engine that runs is of a version without this page"))?;
            match output {
                Output::Json => print(&serde_json::to_string_pretty(&list)?),
                Output::People => print(&table(&list)),
            }
        }
        Dlq::Drop { ids, stage, code, reason, workspace, json } => {
            let output = Output::of(json);
            let (config, _) = load(&workspace, output).await?;
            let ids = if ids.is_empty() { all_of(&config, stage, code).await? } else { ids };
            let dropped = drop_some(&config, &ids, &reason).await?;
            match output {
                Output::Json => print(&serde_json::json!({ "dropped": dropped }).to_string()),
                Output::People => print(&format!("dropped {dropped} dead letters")),
            }
        }
        Dlq::Retry { ids, stage, code, dry_run, workspace, json } => {
            let output = Output::of(json);
            let (config, _) = load(&workspace, output).await?;
            let ids = if ids.is_empty() { all_of(&config, stage, code).await? } else { ids };
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
            let read = |vault: &Vault| letters::find(|from, max| vault.overlay.letters(from, max), &vault.history.reader(), id);
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

/// The ids of all dead letters of a stage, with a code, or both.
async fn all_of(config: &Config, stage: Option<String>, code: Option<String>) -> anyhow::Result<Vec<Id>> {
    let (mut ids, mut asked) = (Vec::new(), Asked { stage, code, after: None, limit: Some(limits::LETTERS_SHOWN_MAX) });
    loop {
        let list: List = serde_json::from_slice(&reach(config, client::get(config.listen, &path_of_list(&asked)).await?)?)?;
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
        let answer = reach(config, client::post(config.listen, "/api/v1/dead-letters/drop", &body).await?)?;
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
    match client::get(config.listen, path).await? {
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
    let Asked { stage, code, after, limit } = asked;
    let named = [
        ("stage", stage.clone()),
        ("code", code.clone()),
        ("after", after.map(|id| id.to_string())),
        ("limit", limit.map(|limit| limit.to_string())),
    ];
    let named = named.into_iter().filter_map(|(name, value)| Some(format!("{name}={}", client::escape(&value?))));
    format!("/api/v1/dead-letters?{}", named.collect::<Vec<_>>().join("&"))
}

/// A list for people: a line for each letter.
fn table(list: &List) -> String {
    let mut rows = vec![["id", "stage", "code", "tries", "message"].map(str::to_owned)];
    rows.extend(list.letters.iter().map(|letter| {
        let Shown { id, stage, code, attempts, message, .. } = letter;
        [id.to_string(), plain(stage), plain(code), attempts.to_string(), first_line(message)]
    }));
    let width = |column: usize| rows.iter().map(|row| row[column].chars().count()).max().unwrap_or(0);
    let widths = [0, 1, 2, 3].map(width);
    let mut text = String::new();
    if list.letters.is_empty() {
        text.push_str("no such dead letter waits\n");
        rows.clear();
    }
    for [id, stage, code, tries, message] in &rows {
        let [ids, stages, codes, all_tries] = widths;
        let _ = writeln!(text, "{id:<ids$}  {stage:<stages$}  {code:<codes$}  {tries:>all_tries$}  {message}");
    }
    if let Some(next) = list.next {
        let _ = writeln!(text, "there may be more: --after {next}");
    }
    text
}

/// One letter for people, with all of its original.
fn page(letter: &Shown) -> anyhow::Result<String> {
    let Shown { id, stage, code, message, attempts, received, original, missing } = letter;
    let mut text = format!("dead letter {id}\n");
    let mut line = |name: &str, value: String| {
        let _ = writeln!(text, "  {name:<9} {value}");
    };
    line("stage", plain(stage));
    line("code", plain(code));
    line("message", plain(message));
    line("tries", attempts.to_string());
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
            "id      stage  code         tries  message\n\
             7-0     web    no_identity      1  nobody is named\n\
             1204-0  web    bad              1  \\u{{1b}}[31m{}…\n\
             there may be more: --after 1204-0\n",
            "x".repeat(70)
        );
        assert_eq!(table(&List { letters, next: Some(Id(1_204, 0)) }), want);
        assert_eq!(table(&List { letters: Vec::new(), next: None }), "no such dead letter waits\n");
    }

    #[test]
    fn a_letter_is_shown_whole_and_harmless() {
        let want = "dead letter 7-0\n  stage     web\n  code      no_identity\n  message   nobody is named\n  tries     1\n  \
                    original  8 bytes\n\n{\n\"a\\u{7}\": \n";
        assert_eq!(page(&letter(Id(7, 0), "no_identity", "nobody is named", b"{\n\"a\x07\": ")).expect("has a form"), want);
        let lost = Shown { original: None, missing: Some("it was erased".into()), ..letter(Id(7, 0), "bad", "b", b"") };
        assert!(page(&lost).expect("has words").ends_with("  original  not there: it was erased\n"));
        assert!(bytes_of(&lost).expect_err("has no bytes").to_string().contains("it was erased"));
    }

    #[test]
    fn what_is_asked_stands_in_the_path() {
        let asked = Asked { stage: Some("a&b".into()), code: None, after: Some(Id(1, 2)), limit: Some(3) };
        assert_eq!(path_of_list(&asked), "/api/v1/dead-letters?stage=a%26b&after=1-2&limit=3");
    }
}
