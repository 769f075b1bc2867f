//! A destination that writes events and profiles to files: NDJSON or CSV, each record exactly once.
//!
//! It reads nothing that it did not write, and never changes a file that it has finished. `format.rs` turns records into
//! bytes; `book.rs` is the protocol that makes a batch that comes twice appear once; start there.
#![deny(clippy::unwrap_used)]

mod book;
mod format;
mod path;

use std::borrow::Cow;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::de::Error as _;
use serde::{Deserialize, Deserializer};
use weft_plugin::{About, Batch, Capability, ConfigProblem, Destination, Example, Failure, Fields, Folder, Limits, Receipt};

use crate::book::{Book, RUN_BYTES_MAX, Run};
use crate::format::Writer;
use crate::path::Path;

/// Where files are written, and how.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// The folder. Nothing else should write to it.
    pub path: Folder,
    /// How records are written.
    #[serde(default)]
    pub format: Format,
    /// The columns of `csv`, in order.
    #[serde(default)]
    pub columns: Vec<Column>,
    /// What becomes of texts that a spreadsheet would run as a formula.
    #[serde(default)]
    pub formulas: Formulas,
    /// When a file is finished and the next one begun.
    #[serde(default)]
    pub rotate: Rotate,
}

/// How records are written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Format {
    /// One JSON document a line, whole.
    #[default]
    Ndjson,
    /// RFC 4180, with a line of names first.
    Csv,
}

/// A column of a CSV file: a path, or a path with a name of its own.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(untagged)]
pub enum Column {
    /// A dotted path (`properties.total`) or a JSON pointer (`/claims/0/value`), which is also the column's name.
    Path(String),
    /// A path under another name.
    Named(NamedColumn),
}

/// A path under another name.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct NamedColumn {
    /// The name in the first line.
    pub name: String,
    /// A dotted path (`properties.total`) or a JSON pointer (`/claims/0/value`).
    pub path: String,
}

/// What becomes of texts that begin with `=`, `+`, `-`, `@`, a tab or a carriage return.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Formulas {
    /// They get a `'` in front, so that a spreadsheet shows them and runs nothing. Numbers are left alone.
    #[default]
    Guard,
    /// They stay: for programs that read the file back.
    Keep,
}

/// When a file is finished. Whatever comes first.
#[derive(Clone, Copy, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Rotate {
    /// At the first batch after it has reached this size, such as `64MiB`.
    pub size: Size,
    /// At the first record of a later date. The date is the record's own (`received` of an event, `last_seen` of a profile),
    /// in UTC: a destination has no clock.
    pub every: Every,
}

impl Default for Rotate {
    fn default() -> Self {
        Rotate { size: Size(64 * 1024 * 1024), every: Every::Day }
    }
}

/// A part of a date that finishes a file when it changes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Every {
    /// The hour.
    Hour,
    /// The day.
    #[default]
    Day,
    /// None of it.
    Never,
}

/// A number of bytes, written with its unit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Size(pub u64);

impl Size {
    fn parse(text: &str) -> Option<Self> {
        let digits = text.len() - text.trim_start_matches(|letter: char| letter.is_ascii_digit()).len();
        let (number, unit) = text.split_at(digits);
        let unit: u64 = match unit.trim_start() {
            "B" => 1,
            "KB" => 1_000,
            "MB" => 1_000_000,
            "GB" => 1_000_000_000,
            "KiB" => 1 << 10,
            "MiB" => 1 << 20,
            "GiB" => 1 << 30,
            _ => return None,
        };
        number.parse::<u64>().ok()?.checked_mul(unit).map(Size)
    }
}

impl<'de> Deserialize<'de> for Size {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        Size::parse(&text).ok_or_else(|| D::Error::custom(format!("`{text}` is no size with its unit, such as 64MiB")))
    }
}

impl JsonSchema for Size {
    fn schema_name() -> Cow<'static, str> {
        "Size".into()
    }
    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": "string", "pattern": "^[0-9]+ ?(B|[KMG]i?B)$", "description": "a number of bytes with its unit, such as 64MiB" })
    }
}

/// The plugin.
#[derive(Debug)]
pub struct File {
    folder: Folder,
    rotate: Rotate,
    writer: Writer,
}

impl Destination for File {
    const ABOUT: About = About {
        accepts: &["events", "profiles"],
        // A file says how far it is by its last position.
        ordered: true,
        capabilities: &[Capability::Files],
        // What it knows of a folder it reads there, at each batch.
        reuse: true,
        limits: Limits { batch_records: Some(1024), ..weft_plugin::about!().limits },
        docs: include_str!("../README.md"),
        examples: &[
            Example { title: "Everything, as NDJSON", config: include_str!("../examples/ndjson.json") },
            Example { title: "Orders for a spreadsheet", config: include_str!("../examples/csv.json") },
        ],
        ..weft_plugin::about!()
    };
    type Config = Config;

    fn open(config: Config) -> Result<Self, Failure> {
        let writer = match config.format {
            Format::Ndjson => Writer::Ndjson,
            Format::Csv => Writer::csv(&config.columns, config.formulas),
        };
        Ok(File { folder: config.path, rotate: config.rotate, writer })
    }

    fn validate(config: &Config) -> Vec<ConfigProblem> {
        let mut problems = Vec::new();
        match config.format {
            Format::Csv if config.columns.is_empty() => {
                let hint = "such as [message_id, name, properties.total]";
                problems.push(ConfigProblem::at("/columns", "csv needs its columns").hint(hint));
            }
            Format::Ndjson if !config.columns.is_empty() => {
                problems.push(
                    ConfigProblem::at("/columns", "ndjson writes whole records").hint("set format: csv, or leave out columns"),
                );
            }
            Format::Csv | Format::Ndjson => {}
        }
        for (place, column) in config.columns.iter().enumerate() {
            let (Column::Path(path) | Column::Named(NamedColumn { path, .. })) = column;
            if Path::parse(path).is_none() {
                problems.push(
                    ConfigProblem::at(format!("/columns/{place}"), "no path").hint("such as properties.total or /claims/0/value"),
                );
            }
        }
        if config.rotate.size.0 == 0 {
            problems.push(ConfigProblem::at("/rotate/size", "a file of no bytes holds nothing").hint("such as 64MiB"));
        }
        problems
    }

    fn check(&mut self) -> Result<(), Failure> {
        self.folder.list().map(drop)
    }

    fn deliver(&mut self, batch: Batch) -> Result<Vec<Receipt>, Failure> {
        let records: Vec<_> = batch.records.iter().map(|record| weft_plugin::document(record)).collect();
        let times: Vec<Option<String>> = records.iter().map(|fields| fields.as_ref().ok().and_then(time_of)).collect();
        let positions = batch.positions.iter().copied();
        let mut book = Book::open(&self.folder, &batch.stream, &self.writer, &self.rotate, positions.clone().zip(&times))?;
        let mut receipts = Vec::with_capacity(records.len());
        let (mut run, mut line): (Option<Run>, Vec<u8>) = (None, Vec::new());
        // Each line as long as its record and a line break: a run of NDJSON is written without growing.
        let bytes_about = batch.records.iter().map(|record| record.len() + 1).sum::<usize>().min(RUN_BYTES_MAX);
        for (((record, fields), position), time) in batch.records.iter().zip(&records).zip(positions).zip(times) {
            match fields {
                Ok(fields) => self.writer.write(record, fields, &mut line),
                Err(error) => {
                    receipts.push(Receipt::reject("not_json", format!("the record is no JSON object: {error}")));
                    continue;
                }
            }
            if line.len() > RUN_BYTES_MAX {
                let words = format!("the line has {} bytes, and {RUN_BYTES_MAX} are allowed", line.len());
                receipts.push(Receipt::reject("line_too_long", words));
                continue;
            }
            receipts.push(Receipt::Ok);
            if book.has(position) {
                continue;
            }
            let date = self.rotate.every.date_of(time.as_deref());
            match &mut run {
                Some(run) if book.belongs(run, &date) => {
                    run.bytes.extend_from_slice(&line);
                    run.latest = run.latest.take().max(time);
                }
                _ => {
                    if let Some(run) = run.take() {
                        book.write(run)?;
                    }
                    let mut bytes = Vec::with_capacity(bytes_about);
                    bytes.extend_from_slice(&line);
                    run = Some(Run { first: position, date, latest: time, bytes });
                }
            }
        }
        if let Some(run) = run {
            book.write(run)?;
        }
        Ok(receipts)
    }
}

/// When a record came to be, in the engine's own writing, which sorts as text: `2026-03-01T09:30:00.000Z`.
fn time_of(record: &Fields<'_>) -> Option<String> {
    const TIME_BYTES: usize = 24;
    let text = path::text_at(record, &["received", "last_seen"])?;
    let good = |byte: u8| byte.is_ascii_digit() || matches!(byte, b'-' | b':' | b'.' | b'T' | b'Z');
    (text.len() == TIME_BYTES && text.bytes().all(good)).then(|| text.into_owned())
}

impl Every {
    /// The part of a record's time that names its file; none where it does not matter, or the record has none. It has no colon,
    /// which no file's name may have.
    fn date_of(self, time: Option<&str>) -> Option<String> {
        /// `2026-03-01` and `2026-03-01T09`.
        const DAY_BYTES: usize = 10;
        const HOUR_BYTES: usize = 13;
        let length = match self {
            Every::Never => return None,
            Every::Day => DAY_BYTES,
            Every::Hour => HOUR_BYTES,
        };
        time?.get(..length).filter(|date| !date.contains(':')).map(str::to_owned)
    }
}

weft_plugin::destination!(File);
