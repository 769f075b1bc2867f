//! `weft export`: all profiles or all events as lines of JSON, in constant memory. It asks the running engine and goes on by itself where the
//! connection breaks; where none runs, it reads the data folder.
//!
//! What is written is whole lines. A file bears another name until it is complete.

use std::fmt::Write as _;
use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Context, anyhow, bail};
use clap::Subcommand;
use flate2::write::GzEncoder;
use serde_json::Value;
use weft_domain::value::Timestamp;

use super::{Failed, Output, client, complain, load, report_progress, report_progress_of, told_to_stop};
use crate::clock::Clock;
use crate::config::Config;
use crate::export::{AskedEvents, AskedProfiles, Export, ExportError};
use crate::moment::position_at;
use crate::profiles;
use crate::vault::{DataFolder, Progress, Vault};

#[derive(Subcommand)]
pub(super) enum What {
    /// All profiles by the ids of their customers.
    Profiles {
        /// Only those after this customer: to go on where an export ended.
        #[arg(long, value_name = "CUSTOMER")]
        after: Option<profiles::Cursor>,
        /// Only those of whom something has changed since what had come in by then: a time of RFC 3339, such as 2026-03-01T09:30:00Z.
        #[arg(long, value_name = "TIME")]
        since: Option<Timestamp>,
        #[command(flatten)]
        place: Place,
    },
    /// All events in the order in which they came, each with its place in history and its source.
    Events {
        /// Only those after this place in history: to go on where an export ended.
        #[arg(long, value_name = "POSITION")]
        after: Option<u64>,
        /// Only those that the engine took in then or later: a time of RFC 3339, such as 2026-03-01T09:30:00Z.
        #[arg(long, value_name = "TIME")]
        since: Option<Timestamp>,
        /// Only those that it took in before.
        #[arg(long, value_name = "TIME")]
        until: Option<Timestamp>,
        #[command(flatten)]
        place: Place,
    },
}

#[derive(clap::Args)]
pub(super) struct Place {
    /// The fields that are wanted, with commas between them, such as traits.email,identifiers or name,properties.total.
    #[arg(long, value_name = "FIELDS")]
    fields: Option<String>,
    /// Where to: a file, packed where its name ends with .gz or .zst. Without it, standard output.
    #[arg(long, short, value_name = "FILE")]
    output: Option<PathBuf>,
    /// The workspace: a folder, or its weft.yaml.
    #[arg(long, default_value = ".", value_parser = crate::command::there)]
    workspace: PathBuf,
}

/// How often an export goes on after its connection broke, with nothing new in between.
const TRIES_MAX: u32 = 10;
/// Between two tries.
const TRY_AGAIN: Duration = Duration::from_secs(1);

pub(super) async fn run(what: What) -> Result<(), Failed> {
    let place = what.place();
    let (config, _) = load(&place.workspace, Output::People).await?;
    let mut out = Out::create(place.output.as_deref())?;
    let written = tokio::select! {
        written = write(&config, &what, &mut out) => written,
        () = told_to_stop() => Err(anyhow!("stopped")),
    };
    let finished = out.finish(written.is_ok());
    let go_on = || {
        out.go_on().map(|after| format!("; what is written is whole lines, and `--after {after}` goes on")).unwrap_or_default()
    };
    match written.and(finished) {
        Ok(()) => Ok(()),
        // Whoever read it has enough.
        Err(error) if is_closed(&error) => Ok(()),
        Err(error) => Err(Failed::Other(anyhow!("the export is not complete: {error:#}{}", go_on()))),
    }
}

fn is_closed(error: &anyhow::Error) -> bool {
    error.downcast_ref::<io::Error>().is_some_and(|error| error.kind() == io::ErrorKind::BrokenPipe)
}

async fn write(config: &Config, what: &What, out: &mut Out) -> anyhow::Result<()> {
    let mut progress = Told::default();
    let (mut tries, mut began) = (0, Instant::now());
    loop {
        let lines_before = out.lines;
        let path = what.path(out.go_on());
        let Some(mut streamed) = client::stream(&client::Engine::configured(config), &path).await? else {
            if out.lines == 0 {
                return read_the_folder(config, what, out);
            }
            wait(&mut tries, "the engine has gone").await?;
            continue;
        };
        progress.begin(what, &streamed, out.lines);
        if matches!(what, What::Profiles { .. }) && out.began.is_none() {
            out.began = streamed.header("weft-position");
        }
        let broken = loop {
            match streamed.next().await {
                Ok(Some(bytes)) => out.take(&bytes)?,
                Ok(None) => break None,
                Err(error) => break Some(error),
            }
            if began.elapsed() > Duration::from_millis(500) {
                began = Instant::now();
                progress.say(out.lines);
            }
        };
        let Some(error) = broken else {
            progress.end(out.lines);
            return Ok(());
        };
        out.forget_half_a_line();
        tries = if out.lines > lines_before { 0 } else { tries };
        wait(&mut tries, &format!("{error:#}")).await?;
    }
}

async fn wait(tries: &mut u32, why: &str) -> anyhow::Result<()> {
    *tries += 1;
    if *tries > TRIES_MAX {
        bail!("{why}");
    }
    complain(&format!("{why}: goes on in a second"));
    tokio::time::sleep(TRY_AGAIN).await;
    Ok(())
}

fn read_the_folder(config: &Config, what: &What, out: &mut Out) -> anyhow::Result<()> {
    let vault = Vault::open(&DataFolder::at(&config.data), report_progress())?;
    let history = vault.history.reader();
    let begun = match what {
        What::Profiles { after, since, place } => {
            let asked = AskedProfiles { after: *after, since: *since, fields: place.fields.clone() };
            let since = since.map_or(Ok(0), |since| position_at(&history, since))?;
            Export::profiles(&vault.overlay, since, &asked)
        }
        What::Events { after, since, until, place } => {
            let asked = AskedEvents { after: *after, since: *since, until: *until, fields: place.fields.clone() };
            Export::events(&history, &asked)
        }
    };
    let mut export = begun.map_err(|error| match error {
        ExportError::Wrong(message) => anyhow!(message),
        ExportError::View(error) => error.into(),
    })?;
    let (mut report, mut done, doing) = (report_progress_of(1_000), 0, what.doing());
    tell_missing(export.missing);
    while let Some(piece) = export.next(|| &vault.overlay, Clock::Wall.now())? {
        out.take(&piece.lines)?;
        done += piece.done;
        report(Progress { doing, done: done.min(export.total), all: export.total });
    }
    let lines = out.lines;
    vault.close()?;
    complain(&format!("{doing}: {lines} lines, as of {} records of history; no engine runs", export.position));
    Ok(())
}

fn tell_missing(missing: u64) {
    if missing > 0 {
        complain(&format!(
            "{missing} records of history are not kept any more (limits.history_kept), and their events are not here"
        ));
    }
}

/// What an engine said of the export, for those who wait.
#[derive(Default)]
struct Told {
    doing: &'static str,
    began: Option<String>,
    total: u64,
    before: u64,
}

impl Told {
    fn begin(&mut self, what: &What, streamed: &client::Streamed, lines: u64) {
        self.doing = what.doing();
        if self.began.is_none() {
            self.began = streamed.header("weft-began");
            tell_missing(streamed.header("weft-missing").and_then(|missing| missing.parse().ok()).unwrap_or(0));
        }
        self.total = streamed.header("weft-total").and_then(|total| total.parse().ok()).unwrap_or(0);
        self.before = lines;
    }

    fn say(&self, lines: u64) {
        // Of events, how many of the records are events is not known before.
        complain(&format!("{}: {lines} lines of at most {}", self.doing, self.total + self.before));
    }

    fn end(&self, lines: u64) {
        let began = self.began.as_deref().unwrap_or_default();
        complain(&format!(
            "{}: {lines} lines; all that had come in by {began} is here, `--since {began}` gets what comes after",
            self.doing
        ));
    }
}

impl What {
    fn place(&self) -> &Place {
        match self {
            What::Profiles { place, .. } | What::Events { place, .. } => place,
        }
    }

    fn doing(&self) -> &'static str {
        match self {
            What::Profiles { .. } => "profiles",
            What::Events { .. } => "events",
        }
    }

    /// The page to ask for, after the last line that there is.
    fn path(&self, go_on: Option<String>) -> String {
        let mut path = format!("/api/v1/export/{}?", self.doing());
        let mut put = |name: &str, value: Option<String>| {
            if let Some(value) = value {
                let _ = write!(path, "{name}={}&", client::escape(&value));
            }
        };
        let (after, since, until) = match self {
            What::Profiles { after, since, .. } => (after.map(|after| after.to_string()), *since, None),
            What::Events { after, since, until, .. } => (after.map(|after| after.to_string()), *since, *until),
        };
        put("after", go_on.or(after));
        put("since", since.map(|since| since.to_string()));
        put("until", until.map(|until| until.to_string()));
        put("fields", self.place().fields.clone());
        path.truncate(path.len() - 1);
        path
    }
}

/// Where lines go.
struct Out {
    writer: Option<Packer>,
    /// The file's name until it is complete, and then.
    names: Option<(PathBuf, PathBuf)>,
    /// The beginning of a line that is not whole yet.
    half: Vec<u8>,
    /// How many lines there are.
    lines: u64,
    /// The greatest place of a line.
    last: Option<String>,
    /// Where history was when it began, where that belongs to a place.
    began: Option<String>,
}

enum Packer {
    Plain(BufWriter<Box<dyn Write + Send>>),
    Gzip(GzEncoder<BufWriter<File>>),
    Zstd(zstd::stream::write::Encoder<'static, BufWriter<File>>),
}

impl Out {
    fn create(file: Option<&Path>) -> anyhow::Result<Out> {
        let Some(file) = file else {
            let writer = Packer::Plain(BufWriter::new(Box::new(io::stdout())));
            return Ok(Out { writer: Some(writer), names: None, half: Vec::new(), lines: 0, last: None, began: None });
        };
        let mut part = file.as_os_str().to_owned();
        part.push(".part");
        let part = PathBuf::from(part);
        let created = File::options().write(true).create_new(true).open(&part);
        let created = created.map_err(|error| match error.kind() {
            io::ErrorKind::AlreadyExists => {
                anyhow!("{} is there, of an export that did not end: keep it under another name, or delete it", part.display())
            }
            _ => anyhow!("{}: {error}", part.display()),
        })?;
        let writer = match file.extension().and_then(|extension| extension.to_str()) {
            Some("gz") => Packer::Gzip(GzEncoder::new(BufWriter::new(created), flate2::Compression::default())),
            Some("zst") => Packer::Zstd(zstd::stream::write::Encoder::new(BufWriter::new(created), 0)?),
            _ => Packer::Plain(BufWriter::new(Box::new(created))),
        };
        Ok(Out {
            writer: Some(writer),
            names: Some((part, file.to_owned())),
            half: Vec::new(),
            lines: 0,
            last: None,
            began: None,
        })
    }

    /// Takes bytes as they come, and writes the lines that are whole.
    fn take(&mut self, bytes: &[u8]) -> anyhow::Result<()> {
        let Some(end) = bytes.iter().rposition(|byte| *byte == b'\n') else {
            self.half.extend_from_slice(bytes);
            return Ok(());
        };
        let (whole, half) = bytes.split_at(end + 1);
        let last = match whole[..end].iter().rposition(|byte| *byte == b'\n') {
            Some(before) => place_of(&whole[before + 1..end]),
            None => place_of(&[&self.half, &whole[..end]].concat()),
        };
        // A customer who is shown again stands behind those of its place; numbers grow in length first.
        let last = last.into_iter().chain(self.last.take()).max_by_key(|place| (place.len(), place.clone()));
        let writer = self.writer.as_mut().context("nothing is written after the end")?;
        writer.write_all(&self.half)?;
        writer.write_all(whole)?;
        self.lines += whole.iter().filter(|byte| **byte == b'\n').count() as u64;
        self.last = last;
        self.half = half.to_vec();
        Ok(())
    }

    /// What `--after` must be to go on.
    fn go_on(&self) -> Option<String> {
        let began = self.began.as_ref().map(|began| format!("-{began}")).unwrap_or_default();
        self.last.as_ref().map(|last| format!("{last}{began}"))
    }

    fn forget_half_a_line(&mut self) {
        self.half.clear();
    }

    /// Ends what is written; the file gets its name where it is complete.
    fn finish(&mut self, complete: bool) -> anyhow::Result<()> {
        let Some(writer) = self.writer.take() else { return Ok(()) };
        match writer {
            Packer::Plain(mut writer) => writer.flush()?,
            Packer::Gzip(writer) => writer.finish()?.into_inner()?.sync_all()?,
            Packer::Zstd(writer) => writer.finish()?.into_inner()?.sync_all()?,
        }
        match &self.names {
            Some((part, name)) if complete => {
                std::fs::rename(part, name).with_context(|| format!("{} cannot be named {}", part.display(), name.display()))
            }
            _ => Ok(()),
        }
    }
}

/// The place of a line: a customer's id, or a place in history.
fn place_of(line: &[u8]) -> Option<String> {
    let line: Value = serde_json::from_slice(line).ok()?;
    line["customer_id"].as_str().map(str::to_owned).or_else(|| line["position"].as_u64().map(|position| position.to_string()))
}

impl Write for Packer {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self {
            Packer::Plain(writer) => writer.write(bytes),
            Packer::Gzip(writer) => writer.write(bytes),
            Packer::Zstd(writer) => writer.write(bytes),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        match self {
            Packer::Plain(writer) => writer.flush(),
            Packer::Gzip(writer) => writer.flush(),
            Packer::Zstd(writer) => writer.flush(),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io::Read;

    use super::*;

    #[test]
    fn what_is_written_is_whole_lines_however_it_comes() {
        let folder = tempfile::tempdir().expect("a folder");
        let text = "{\"position\":1}\n{\"position\":22}\n{\"position\":3";
        for name in ["e.ndjson", "e.ndjson.gz", "e.ndjson.zst"] {
            for size in 1..text.len() {
                let file = folder.path().join(format!("{size}-{name}"));
                let mut out = Out::create(Some(&file)).expect("created");
                text.as_bytes().chunks(size).for_each(|chunk| out.take(chunk).expect("written"));
                assert_eq!((out.lines, out.last.as_deref()), (2, Some("22")), "{size}");
                assert!(!file.exists(), "it is not complete");
                out.finish(true).expect("finished");
                let bytes = std::fs::read(&file).expect("it is there");
                let mut read = Vec::new();
                match name {
                    "e.ndjson.gz" => drop(flate2::read::GzDecoder::new(&*bytes).read_to_end(&mut read).expect("gzip")),
                    "e.ndjson.zst" => read = zstd::stream::decode_all(&*bytes).expect("zstd"),
                    _ => read = bytes,
                }
                assert_eq!(String::from_utf8_lossy(&read), &text[..text.rfind('\n').expect("a line") + 1]);
            }
        }
    }

    #[test]
    fn what_another_export_left_is_not_written_over() {
        let folder = tempfile::tempdir().expect("a folder");
        let file = folder.path().join("p.ndjson");
        let mut out = Out::create(Some(&file)).expect("created");
        out.take(b"{\"customer_id\":\"c\"}\n").expect("written");
        out.finish(false).expect("finished");
        assert!(!file.exists() && Out::create(Some(&file)).is_err());
        assert_eq!(std::fs::read(folder.path().join("p.ndjson.part")).expect("it is there"), b"{\"customer_id\":\"c\"}\n");
    }
}
