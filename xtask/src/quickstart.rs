//! The first quarter of an hour: builds everything, runs the example, sends it a month of a shop's events and shows what came of it.
//!
//! Events go in by the door that an SDK would use, and answers come out of the API and the commands: nothing is done here that a user
//! could not do by hand.

use std::fs;
use std::io::{IsTerminal as _, Write as _};
use std::path::Path;
use std::process::Command;
use std::thread::sleep;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};

use crate::engine::{Engine, LISTEN_VARIABLE, Status, address};
use crate::plugins;
use crate::steps::{QUICKSTART, cargo, root, run, seconds, step};
use crate::wire;

/// Where the quickstart's source listens, and the call that takes many others.
const DOOR: &str = "/segment/v1/batch";
/// Calls in a batch: as many as an SDK sends at once.
const BATCH_CALLS: usize = 100;
/// A month of a small shop goes through in a moment; whoever waits longer should know.
const THROUGH_TIME_MAX: Duration = Duration::from_secs(120);
/// Everything is through when nothing has changed for so long: the engine commits about every second.
const QUIET_TIME: Duration = Duration::from_secs(2);
/// Who is shown at the end.
const SHOWN: &str = "email:ann@example.com";

/// What becomes of the data of the last run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Data {
    /// It is thrown away.
    Fresh,
    /// The run goes on with it: every event is known already, and none counts twice.
    Kept,
}

/// Does all of it.
///
/// # Errors
/// The first step that fails.
pub(crate) fn all(data: Data) -> Result<()> {
    let began = Instant::now();
    let root = root();
    let workspace = root.join(QUICKSTART);
    plugins::build()?;
    step("the engine (the first build takes a few minutes)");
    run(cargo(&root).args(["build", "--release", "--package", "weft"]), "Rust 1.95 and a C compiler are needed")?;

    step("a run of pipelines/quickstart");
    let (listen, is_unusual) = address()?;
    if data == Data::Fresh {
        ["data", "out"].iter().try_for_each(|folder| wipe(&workspace.join(folder)))?;
    }
    let engine = Engine::start(&root, listen)?;
    println!("   it takes events at http://{listen}/segment");
    let before = engine.status()?;

    step("a month of a shop's events");
    let calls = sample(&workspace)?;
    let key = key(&workspace)?;
    send(&engine, &key, &calls)?;
    let after = wait(&engine)?;

    step("what came of it");
    report(&before, &after, calls.len(), &workspace);
    step("one customer, and why it is one");
    let weft = root.join("target/release/weft");
    run(
        Command::new(&weft)
            .current_dir(&root)
            .args(["profile", SHOWN, "--workspace", QUICKSTART])
            .env(LISTEN_VARIABLE, listen.to_string()),
        "the engine's own words are above",
    )?;

    step("the end");
    engine.stop()?;
    println!("   the engine has stopped; everything took {}", seconds(began.elapsed()));
    let set = if is_unusual { format!("{LISTEN_VARIABLE}={listen} ") } else { String::new() };
    println!("\nGo on by hand:\n");
    println!("  {set}target/release/weft run {QUICKSTART}");
    println!("  curl http://{listen}/api/v1/profiles/email/ann@example.com");
    println!("\nThe API is at http://{listen}/api/v1 while the engine runs. {QUICKSTART}/README.md says what to try next.");
    Ok(())
}

/// Removes a folder of a former run.
fn wipe(folder: &Path) -> Result<()> {
    match fs::remove_dir_all(folder) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            Err(error).with_context(|| format!("{} cannot be removed", folder.display()))
        }
        _ => Ok(()),
    }
}

/// The sample calls, each a line.
fn sample(workspace: &Path) -> Result<Vec<String>> {
    let file = workspace.join("events.ndjson");
    let text = fs::read_to_string(&file).with_context(|| format!("{} cannot be read", file.display()))?;
    Ok(text.lines().map(str::to_owned).collect())
}

/// The write key of the quickstart's source.
fn key(workspace: &Path) -> Result<String> {
    let file = workspace.join("secrets/WEB_KEY");
    Ok(fs::read_to_string(&file).with_context(|| format!("{} cannot be read", file.display()))?.trim_end().to_owned())
}

fn send(engine: &Engine, key: &str, calls: &[String]) -> Result<()> {
    let (began, mut sent) = (Instant::now(), 0);
    for batch in calls.chunks(BATCH_CALLS) {
        let answer = wire::post(engine.address, DOOR, key, &format!("{{\"batch\":[{}]}}", batch.join(",")))?;
        if answer.status != 200 {
            bail!("the engine answered {} to a batch of events: {}", answer.status, answer.body);
        }
        sent += batch.len();
        progress(&format!("{sent} of {} calls sent and durable", calls.len()));
    }
    arrived(&format!("{sent} calls sent and durable, {BATCH_CALLS} at a time, in {}", seconds(began.elapsed())));
    Ok(())
}

/// Waits until everything that was sent has gone all the way, and nothing new has come of it for a while.
fn wait(engine: &Engine) -> Result<Status> {
    let began = Instant::now();
    let (mut last, mut since) = (engine.status()?, Instant::now());
    loop {
        let status = engine.status()?;
        progress(&status.to_string());
        if !status.is_through() || status.outcome() != last.outcome() {
            since = Instant::now();
        }
        // What was committed a moment ago may still have to be delivered.
        if since.elapsed() > QUIET_TIME {
            arrived(&status.to_string());
            return Ok(status);
        }
        if began.elapsed() > THROUGH_TIME_MAX {
            arrived("");
            bail!("after {} s not everything is through: {status}", THROUGH_TIME_MAX.as_secs());
        }
        last = status;
        sleep(Duration::from_millis(200));
    }
}

/// On a terminal: a line that the next one replaces. Elsewhere only results are worth a line.
fn progress(line: &str) {
    let mut out = std::io::stdout();
    if out.is_terminal() {
        // A terminal that is gone takes no progress, and that is no failure.
        _ = write!(out, "\r\x1b[K   {line}").and_then(|()| out.flush());
    }
}

/// The last line of a progress.
fn arrived(line: &str) {
    progress("");
    println!("{}{line}", if std::io::stdout().is_terminal() { "" } else { "   " });
}

fn report(before: &Status, after: &Status, sent: usize, workspace: &Path) {
    let (events, letters) = (after.events - before.events, after.letters - before.letters);
    let duplicates = (sent as u64).saturating_sub(events + letters);
    let fact = |what: &str, count: u64, note: &str| println!("   {what:<22} {count:>6}   {note}");
    fact("calls sent", sent as u64, "");
    fact("events", events, "each once, with its person");
    fact("duplicates", duplicates, "sent before, and left out");
    fact("dead letters", letters, "calls that are no events: kept with their bytes and the reason");
    fact("identifiers", after.identifiers, "user ids, e-mail addresses, phone numbers, devices");
    fact("customers", after.customers, "whom those identifiers belong to");
    for lane in &after.lanes {
        fact(&format!("{} to {}", lane.stream, lane.name), lane.delivered, "");
    }
    for (name, bytes) in files(&workspace.join("out")) {
        println!("   {QUICKSTART}/out/{name}  {} kB", bytes.div_ceil(1_000));
    }
}

/// The files below a folder, by their paths in it.
fn files(folder: &Path) -> Vec<(String, u64)> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        let name = entry.file_name().to_string_lossy().into_owned();
        match entry.metadata() {
            Ok(about) if about.is_dir() => {
                found.extend(files(&entry.path()).into_iter().map(|(below, bytes)| (format!("{name}/{below}"), bytes)))
            }
            Ok(about) => found.push((name, about.len())),
            // Renamed at this moment: it comes again under its new name.
            Err(_) => {}
        }
    }
    found.sort();
    found
}
