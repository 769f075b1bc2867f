//! Whether a plugin keeps the contract: a suite of checks, run in the real sandbox with everything outside played.
//!
//! Each check has a name that stays the same, and `docs/plugin-checks.md` says what it asks and what to do when it fails. A plugin
//! is checked with every configuration that its manifest gives as an example, and with those that its author names. Nothing here judges what a
//! plugin is for: that is what its own tests say ([`crate::cases`]).
//!
//! What all kinds have in common is here; `conformance/transform.rs`, `source.rs` and `destination.rs` have the rest, `samples.rs` what
//! plugins are given. What an API answers that is content, only the plugin's author knows: `polls.rs` plays the polls of the plugin's own tests.

mod destination;
mod polls;
mod samples;
mod source;
mod transform;

use std::collections::BTreeSet;
use std::path::Path;
use std::time::Duration;

use serde::Serialize;
use weft_domain::problem::Problems;
use weft_host::{CrashKind, Fault, Kind, Limits, Manifest, Plugin, Reads, Used};

use crate::cases::GoodPoll;
use crate::config::{Block, Environment, alone};
use crate::render::{self, Style};

/// A check: its name, and what to do when it fails.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Check {
    /// Stable, in lower case with dashes.
    pub name: &'static str,
    /// What to do.
    pub hint: &'static str,
}

macro_rules! checks {
    ($($name:ident = $text:literal, $hint:literal;)*) => {
        $(const $name: Check = Check { name: $text, hint: $hint };)*

        /// Every check there is, in the order in which they are run.
        pub const CHECKS: &[Check] = &[$($name),*];
    };
}

checks! {
    MANIFEST = "manifest", "mend what `describe` answers, or how the component is built: the contract says what each field means";
    SCHEMA = "schema", "give `config` a JSON Schema (2020-12) that is whole by itself and says `additionalProperties: false`";
    EXAMPLES = "examples", "give the manifest an example of a configuration, or name one with --config";
    CONFIG = "config", "an example must be a configuration that works: mend the example or the schema";
    VALIDATE = "validate", "`validate` must take every configuration that can work, and needs nothing lent";
    OPEN = "open", "`open` must take what `validate` takes, and reach nothing outside";
    EMPTY_BATCH = "empty-batch", "answer an empty list for an empty batch";
    ANSWERS = "answers", "answer one outcome or receipt for each record, in order; a record that cannot be worked on is rejected by itself";
    EVENTS = "events", "what comes out must be canonical events (docs/events.md); of a split, each part but the first has a message_id of its own";
    DETERMINISTIC = "deterministic", "let nothing but the record and the configuration decide: no order of a hash map, no state of an earlier call";
    CUT = "cut", "an outcome must not depend on the other records of the batch, since the engine cuts batches as it pleases";
    GARBAGE = "garbage", "bytes that are not what was expected are rejected, or answered with 4xx: never a trap, never dropped";
    DEEP = "deep", "bound the depth of JSON before you descend into it";
    LARGE = "large", "the largest input within the limits must not crash the plugin: ask for a smaller `batch_bytes` or `body_bytes`, or for more memory";
    FULL_BATCH = "full-batch", "a batch as large as the limits allow must be done within the time and memory asked for";
    STRANGERS = "strangers", "whoever does not prove to be the sender gets 4xx, and nothing of theirs is kept";
    UNREADABLE = "unreadable", "authenticate without the body where that is possible, and answer 4xx";
    AGAIN = "again", "a batch that comes again under the same key must change nothing: send the same requests with an idempotency key, write at the same place";
    OUTSIDE = "outside", "say by a failure or a receipt what the other side answered: never a trap, never `ok` for what was not taken";
    POLL = "poll", "against the answers of its own tests a poll must end well, and emit canonical events that each have a `message_id`";
    POLL_AGAIN = "poll-again", "derive `message_id` and all else from the record, never from the time, the order or an earlier call";
    CANCELLED = "cancelled", "return soon, with the same failure, when `emit` or `checkpoint` answers `cancelled`";
    LIMITS = "limits", "ask for the memory and time that the plugin needs, or let it need less";
}

/// What came of a check.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(tag = "verdict", rename_all = "snake_case")]
pub enum Verdict {
    /// It holds.
    Passed,
    /// It does not.
    Failed {
        /// What was seen.
        message: String,
        /// What to do.
        hint: String,
    },
    /// It does not concern this plugin or this configuration.
    Skipped {
        /// Why.
        message: String,
    },
}

/// One check with one configuration.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// The check's name.
    pub check: &'static str,
    /// The configuration's title; none where it does not depend on one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub config: Option<String>,
    /// What came of it.
    #[serde(flatten)]
    pub verdict: Verdict,
}

/// A configuration to check a plugin with.
#[derive(Clone, Debug)]
pub struct Given {
    /// What it is called: an example's title, a file's name.
    pub title: String,
    /// YAML or JSON. What `${secret:…}` and `${env:…}` ask for is made up.
    pub text: String,
}

/// What all checks found.
#[derive(Debug, Default)]
pub struct Conformance {
    /// In the order of the checks.
    pub findings: Vec<Finding>,
    /// The most that was used in any call.
    pub used: Used,
    crashes: BTreeSet<&'static str>,
}

impl Conformance {
    /// Whether nothing failed.
    #[must_use]
    pub fn holds(&self) -> bool {
        !self.findings.iter().any(|finding| matches!(finding.verdict, Verdict::Failed { .. }))
    }

    /// What a file that is no plugin fails in: the first check, after which there is nothing to run.
    #[must_use]
    pub fn of_no_plugin(message: String) -> Conformance {
        let mut conformance = Conformance::default();
        conformance.judge(MANIFEST, None, Err(message));
        conformance
    }

    fn judge(&mut self, check: Check, config: Option<&str>, result: Result<(), String>) {
        let verdict = match result {
            Ok(()) => Verdict::Passed,
            Err(message) => Verdict::Failed { message, hint: check.hint.to_owned() },
        };
        self.findings.push(Finding { check: check.name, config: config.map(str::to_owned), verdict });
    }

    fn skip(&mut self, check: Check, config: Option<&str>, why: &str) {
        let verdict = Verdict::Skipped { message: why.to_owned() };
        self.findings.push(Finding { check: check.name, config: config.map(str::to_owned), verdict });
    }

    fn use_up(&mut self, used: Used) {
        self.used.memory_bytes = self.used.memory_bytes.max(used.memory_bytes);
        self.used.call = self.used.call.max(used.call);
    }
}

/// A plugin with one configuration, and where its findings go.
struct Bench<'a> {
    plugin: &'a Plugin,
    block: &'a Block,
    title: &'a str,
    found: &'a mut Conformance,
}

impl Bench<'_> {
    fn judge(&mut self, check: Check, result: Result<(), String>) {
        self.found.judge(check, Some(self.title), result);
    }

    fn skip(&mut self, check: Check, why: &str) {
        self.found.skip(check, Some(self.title), why);
    }

    /// What a call gave, or its crash in words. A failure that the plugin answers for the whole call is no crash.
    fn lived<T>(&mut self, what: &str, answer: Result<T, Fault>) -> Result<Result<T, weft_host::Failure>, String> {
        match answer {
            Ok(answer) => Ok(Ok(answer)),
            Err(Fault::Failure(failure)) => Ok(Err(failure)),
            Err(fault) => {
                if let Fault::Crash(crash) = &fault
                    && matches!(crash.kind, CrashKind::Timeout | CrashKind::OutOfMemory)
                {
                    self.found.crashes.insert(crash.kind.code());
                }
                Err(format!("{what}: {} ({})", fault, fault.code()))
            }
        }
    }

    fn limits(&self) -> Limits {
        self.plugin.limits()
    }

    fn manifest(&self) -> &Manifest {
        self.plugin.manifest()
    }
}

/// Runs all checks with the manifest's examples and with `more`, and those of a source that polls with its own tests' `polls`.
pub async fn check(plugin: &Plugin, more: &[Given], polls: &[GoodPoll]) -> Conformance {
    let mut found = Conformance::default();
    found.judge(MANIFEST, None, Ok(()));
    found.judge(SCHEMA, None, schema(plugin.manifest()));
    let examples = plugin.manifest().examples.iter();
    let examples = examples.map(|example| Given { title: example.title.clone(), text: example.config.to_string() });
    let given: Vec<Given> = examples.chain(more.iter().cloned()).collect();
    let none =
        if given.is_empty() { Err("the manifest has no example, so there is nothing to check with".into()) } else { Ok(()) };
    found.judge(EXAMPLES, None, none);
    for given in &given {
        with(plugin, given, &mut found).await;
    }
    if plugin.kind() == Kind::Source && reads(plugin.manifest(), Reads::Poll) {
        polls::check(plugin, polls, &mut found).await;
    }
    found.judge(LIMITS, None, limits(plugin, &found));
    found
}

async fn with(plugin: &Plugin, given: &Given, found: &mut Conformance) {
    let title = Some(&*given.title);
    let made_up: Environment = alone::asked_for(&given.text).into_iter().map(|name| (name.clone(), made_up(&name))).collect();
    let block = alone::block(Path::new(&given.title), &given.text, plugin.manifest(), &made_up);
    let block = match block {
        Ok(block) => block,
        Err(problems) => return found.judge(CONFIG, title, Err(brief(&problems))),
    };
    found.judge(CONFIG, title, Ok(()));
    let validated = plugin.validate(&block.json).await;
    let is_valid = validated.is_ok();
    let problems = validated.map_err(|problems| {
        let told: Vec<String> = problems.iter().map(|problem| format!("at `{}`: {}", problem.path, problem.message)).collect();
        told.join("; ")
    });
    found.judge(VALIDATE, title, problems);
    if !is_valid {
        return;
    }
    let mut bench = Bench { plugin, block: &block, title: &given.title, found };
    match plugin.kind() {
        Kind::Transform => transform::check(&mut bench).await,
        Kind::Source => source::check(&mut bench).await,
        Kind::Destination => destination::check(&mut bench).await,
    }
}

/// A value for a secret or a variable that an example names.
fn made_up(name: &str) -> String {
    format!("made-up-{}", name.to_ascii_lowercase())
}

/// What is wrong, in one line.
fn brief(problems: &Problems) -> String {
    let shown: Vec<String> =
        problems.iter().map(|problem| render::one(problem, Style::Plain).lines().next().unwrap_or_default().to_owned()).collect();
    shown.join("; ")
}

fn schema(manifest: &Manifest) -> Result<(), String> {
    alone::schema_holds(manifest)?;
    // `false`, or what another name means: a plugin may take any, and say what they are.
    let closes = |schema: &serde_json::Value| {
        let said = |key: &str| schema.get(key).is_some_and(|said| *said != serde_json::Value::Bool(true));
        said("additionalProperties") || said("unevaluatedProperties")
    };
    let branches = ["oneOf", "anyOf"].into_iter().filter_map(|key| manifest.config.get(key)?.as_array());
    let is_closed = closes(&manifest.config) || branches.into_iter().any(|branches| branches.iter().all(closes));
    if is_closed {
        Ok(())
    } else {
        Err("it does not say `additionalProperties: false`: misspelt options would pass unseen".into())
    }
}

fn limits(plugin: &Plugin, found: &Conformance) -> Result<(), String> {
    if found.crashes.is_empty() {
        return Ok(());
    }
    let limits = plugin.limits();
    let crashes: Vec<&str> = found.crashes.iter().copied().collect();
    Err(format!(
        "it went past what it asks for ({} of memory, {} ms a call): {}",
        shown_size(limits.memory_bytes),
        limits.call_ms,
        crashes.join(", ")
    ))
}

/// The most that was used beside what was asked for, for people.
#[must_use]
pub fn used(found: &Conformance, limits: &Limits) -> String {
    let Used { memory_bytes, call } = found.used;
    let percent = memory_bytes.saturating_mul(100) / limits.memory_bytes.max(1);
    format!(
        "at most {} of {} memory ({percent} %), {} of {} ms a call",
        shown_size(memory_bytes),
        shown_size(limits.memory_bytes),
        ms(call),
        limits.call_ms
    )
}

fn ms(time: Duration) -> String {
    if time < Duration::from_millis(10) { format!("{:.1}", time.as_secs_f64() * 1e3) } else { time.as_millis().to_string() }
}

/// A size as people read it.
#[must_use]
pub fn shown_size(bytes: u64) -> String {
    match bytes {
        0..0x2800 => format!("{bytes} B"),
        0x2800..0x100000 => format!("{} KiB", bytes >> 10),
        _ => format!("{:.1} MiB", bytes as f64 / f64::from(1 << 20)),
    }
}

fn reads(manifest: &Manifest, what: Reads) -> bool {
    manifest.reads.contains(&what)
}
