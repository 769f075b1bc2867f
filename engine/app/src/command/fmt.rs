//! `weft fmt`: formats the YAML of a workspace, or says what it would change.
//!
//! Nothing is written unless all files that were named can be. A file that is formatted already is not touched: an engine may be watching it.

use std::io::Read as _;
use std::path::{Path, PathBuf};

use anyhow::{Context, anyhow, bail};
use serde_json::json;
use similar::TextDiff;

use super::{Failed, Output, complain, print, replace};
use crate::config::format::{self, Document};
use crate::config::limits;
use crate::render::{self, Style};

/// What to format.
#[derive(clap::Args)]
pub(super) struct Fmt {
    /// Folders, of which all YAML of the workspace is meant; files; or `-` for what comes by standard input.
    #[arg(default_value = ".")]
    paths: Vec<PathBuf>,
    /// Write nothing: show what would change, and end with 1 where something would.
    #[arg(long)]
    check: bool,
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

/// What stands for standard input.
const STDIN: &str = "-";

pub(super) fn run(fmt: &Fmt) -> Result<(), Failed> {
    let output = Output::of(fmt.json);
    if fmt.paths.iter().any(|path| path == Path::new(STDIN)) {
        return through(fmt, output);
    }
    let (documents, warnings) = format::files(&fmt.paths).map_err(|problems| Failed::Problems(problems, output))?;
    complain(&render::text(&warnings, Style::of(&std::io::stderr())));
    if fmt.check {
        return check(&documents, output);
    }
    let changed: Vec<&Document> = documents.iter().filter(|document| document.is_changed()).collect();
    changed.iter().try_for_each(|document| write(document))?;
    match output {
        Output::Json => print(&json!({ "files": documents.iter().map(told).collect::<Vec<_>>() }).to_string()),
        Output::People => {
            changed.iter().for_each(|document| print(&format!("formatted {}", document.path.display())));
            complain(&format!("{} of {} files changed", changed.len(), documents.len()));
        }
    }
    Ok(())
}

/// From standard input to standard output.
fn through(fmt: &Fmt, output: Output) -> Result<(), Failed> {
    if fmt.paths.len() > 1 {
        return Err(anyhow!("`{STDIN}` stands alone").into());
    }
    let mut text = String::new();
    let read = std::io::stdin().take(limits::FILE_BYTES_MAX + 1).read_to_string(&mut text);
    read.context("what comes by standard input cannot be read")?;
    if text.len() as u64 > limits::FILE_BYTES_MAX {
        return Err(anyhow!("more than {} bytes come by standard input", limits::FILE_BYTES_MAX).into());
    }
    let document = format::text(Path::new("<stdin>"), text).map_err(|problems| Failed::Problems(problems, output))?;
    match output {
        _ if fmt.check => return check(&[document], output),
        Output::Json => print(&json!({ "changed": document.is_changed(), "text": document.after }).to_string()),
        // As it is, to the last byte: an editor puts it in the place of what it sent.
        Output::People => super::put(&document.after),
    }
    Ok(())
}

fn check(documents: &[Document], output: Output) -> Result<(), Failed> {
    let changed: Vec<&Document> = documents.iter().filter(|document| document.is_changed()).collect();
    match output {
        Output::Json => print(&json!({ "files": documents.iter().map(told).collect::<Vec<_>>() }).to_string()),
        Output::People => {
            changed.iter().for_each(|document| super::put(&diff(document)));
            complain(&format!("{} of {} files would change", changed.len(), documents.len()));
        }
    }
    if changed.is_empty() { Ok(()) } else { Err(Failed::Shown) }
}

fn told(document: &Document) -> serde_json::Value {
    let mut told = json!({ "file": document.path.display().to_string(), "changed": document.is_changed() });
    if document.is_changed() {
        told["diff"] = diff(document).into();
    }
    told
}

/// What changes, in the form that `patch` reads.
fn diff(document: &Document) -> String {
    let path = document.path.display().to_string();
    TextDiff::from_lines(&document.before, &document.after).unified_diff().header(&path, &path).to_string()
}

fn write(document: &Document) -> anyhow::Result<()> {
    let path = &document.path;
    let now = std::fs::read(path).with_context(|| format!("cannot read {}", path.display()))?;
    if now != document.before.as_bytes() {
        bail!("{} was changed meanwhile, and is left as it is: try again", path.display());
    }
    replace(path, document.after.as_bytes())
}
