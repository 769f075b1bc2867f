//! `weft dlq retry` and `weft dlq edit`: dead letters that go again.

use std::io::Write as _;
use std::path::Path;
use std::process::Command;

use anyhow::{Context, anyhow, bail};
use bytes::Bytes;

use super::{Id, bytes_of, plain, reach};
use crate::command::{Failed, Output, client, print, report_progress_of};
use crate::config::Config;
use crate::letters::Shown;
use crate::limits;
use crate::retry::Retried;
use crate::vault::Progress;

/// Has dead letters go again as they are, or says which would.
pub(super) async fn some(config: &Config, ids: &[Id], dry_run: bool) -> anyhow::Result<Retried> {
    let (mut all, count) = (Retried::default(), ids.len() as u64);
    let doing = if dry_run { "looking at dead letters" } else { "retrying dead letters" };
    let mut progress = report_progress_of(limits::LETTERS_RETRIED_MAX as u64 + 1);
    for ids in ids.chunks(limits::LETTERS_RETRIED_MAX) {
        let body = serde_json::json!({ "letters": ids, "dry_run": dry_run });
        let answer =
            reach(config, client::post(&client::Engine::configured(config), "/api/v1/dead-letters/retry", &body).await?)?;
        let part: Retried = serde_json::from_slice(&answer).context("the engine's answer cannot be read")?;
        all.retried.extend(part.retried);
        all.kept.extend(part.kept);
        progress(Progress { doing, done: (all.retried.len() + all.kept.len()) as u64, all: count });
    }
    Ok(all)
}

/// Has a dead letter go again with these bytes in place of its own.
pub(super) async fn with(config: &Config, id: Id, bytes: Bytes) -> anyhow::Result<Retried> {
    let path = format!("/api/v1/dead-letters/{id}/retry");
    let answer = reach(config, client::post_bytes(&client::Engine::configured(config), &path, bytes).await?)?;
    serde_json::from_slice(&answer).context("the engine's answer cannot be read")
}

/// The bytes that are to go in place of a letter's own; none where nobody changed them.
pub(super) async fn edited(config: &Config, id: Id, file: Option<&Path>) -> anyhow::Result<Option<Bytes>> {
    if let Some(file) = file {
        let bytes = std::fs::read(file).with_context(|| format!("cannot read {}", file.display()))?;
        return if bytes.is_empty() { Err(anyhow!("{} is empty", file.display())) } else { Ok(Some(bytes.into())) };
    }
    let editor = std::env::var("VISUAL").or_else(|_| std::env::var("EDITOR"));
    let editor = editor.map_err(|_| anyhow!("$EDITOR is not set: set it, or give the bytes with `--with FILE`"))?;
    let answer = reach(config, client::get(&client::Engine::configured(config), &format!("/api/v1/dead-letters/{id}")).await?)
        .with_context(|| format!("the dead letter `{id}` cannot be had"))?;
    let shown: Shown = serde_json::from_slice(&answer).context("the engine's answer cannot be read")?;
    let before = bytes_of(&shown)?;
    let mut file = tempfile::Builder::new().prefix("weft-letter-").suffix(".json").tempfile()?;
    file.write_all(&before)?;
    file.flush()?;
    // As git does: the editor may have arguments, and a shell knows how to part them.
    let status = Command::new("sh").arg("-c").arg(format!("{editor} \"$1\"")).arg("sh").arg(file.path()).status();
    let status = status.with_context(|| format!("cannot run `{editor}`"))?;
    if !status.success() {
        bail!("`{editor}` failed, and the letter stays");
    }
    let after = std::fs::read(file.path()).context("what was edited cannot be read")?;
    Ok((after != before && !after.is_empty()).then(|| after.into()))
}

/// Says what came of it; an error where nothing went.
pub(super) fn say(outcome: &Retried, dry_run: bool, output: Output) -> Result<(), Failed> {
    match output {
        Output::Json => print(&serde_json::to_string(outcome)?),
        Output::People => {
            let what = if dry_run { "would go again" } else { "go again" };
            let mut text = format!("{} dead letters {what}\n", outcome.retried.len());
            for kept in &outcome.kept {
                text.push_str(&format!("{} stays: {}\n", kept.id, plain(&kept.why)));
            }
            print(&text);
        }
    }
    let nothing_went = outcome.retried.is_empty() && !outcome.kept.is_empty();
    if nothing_went { Err(Failed::Shown) } else { Ok(()) }
}
