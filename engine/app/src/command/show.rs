//! What commands show to people, and the same for machines.

use std::fmt::Write as _;
use std::io::IsTerminal;

use anyhow::bail;
use serde_json::json;
use tracing_subscriber::EnvFilter;
use weft_domain::consent::Proof;
use weft_domain::event::Identifier;
use weft_domain::explain::{Because, Before, Stated};
use weft_domain::measure::Note;
use weft_domain::portrait::{More, Portrait, Reach, Source};
use weft_domain::problem::Code;
use weft_store::log::Report as LogReport;
use weft_store::state::Sizes;

use crate::delivery::{self, Circuit};
use crate::matcher;
use crate::probe::{Finding, Obstacle, What};
use crate::status::{AttributeReport, Outcome, Report};

/// Log lines to standard error: `WEFT_LOG` filters them (default `info`), `WEFT_LOG_FORMAT=json` makes them JSON.
pub(super) fn start_logging() {
    let filter = EnvFilter::try_from_env("WEFT_LOG").unwrap_or_else(|_| EnvFilter::new("info"));
    let lines = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr).with_target(false);
    let lines = lines.with_ansi(std::io::stderr().is_terminal());
    // A second start in one process, as in tests, keeps the first one's lines.
    let _ = if std::env::var("WEFT_LOG_FORMAT").is_ok_and(|format| format == "json") {
        lines.json().try_init()
    } else {
        lines.try_init()
    };
}

/// What is outside, a line each.
pub(super) fn findings(workspace: &str, findings: &[Finding]) -> String {
    let mut text = String::new();
    for Finding { what, name, connection, ms, failed } in findings {
        let what = match what {
            What::Connection => "connection",
            What::Source => "source",
            What::Destination => "destination",
        };
        let verdict = if failed.is_some() { "FAILED" } else { "ok" };
        let _ = write!(text, "{verdict:<7} {what:<12} {name:<20} {ms:>6} ms");
        if let Some(connection) = connection {
            let _ = write!(text, "  through {connection}");
        }
        if let Some(Obstacle { kind, message }) = failed {
            let _ = write!(text, "  {kind}: {message}");
        }
        text.push('\n');
    }
    let failed = findings.iter().filter(|finding| finding.failed.is_some()).count();
    let _ = match (findings.len(), failed) {
        (0, _) => writeln!(text, "{workspace}: there is no connection"),
        (tried, 0) => writeln!(text, "{workspace}: {tried} tried, all are there and let us in"),
        (tried, failed) => writeln!(text, "{workspace}: {tried} tried, {failed} failed"),
    };
    text
}

/// What a code means.
pub(super) fn code(text: &str) -> anyhow::Result<String> {
    match Code::ALL.iter().find(|(code, _)| code.as_str() == text) {
        Some((code, title)) => Ok(format!("{code}: {title}\n\nMore in docs/errors/{code}.md")),
        None => {
            let all: Vec<&str> = Code::ALL.iter().map(|(code, _)| code.as_str()).collect();
            bail!("there is no code `{text}`; there are: {}", all.join(", "))
        }
    }
}

/// A customer, with the reasons.
pub(super) fn portrait(portrait: &Portrait) -> String {
    let Portrait { explained, more: More { attributes, as_of, missing, destinations } } = portrait;
    let profile = &explained.profile;
    let mut text = format!("customer {}\n", profile.customer_id);
    if let Some(at) = as_of {
        let _ = writeln!(text, "  as of {at}");
    }
    if let Some(missing) = missing {
        let _ = writeln!(text, "  {missing} events are left out: history does not have them any more");
    }
    let _ = writeln!(text, "  {} events, from {} to {}", profile.events_total, profile.first_seen, profile.last_seen);
    let _ = writeln!(text, "\nidentifiers");
    for Identifier { kind, value, .. } in &profile.identifiers {
        let _ = writeln!(text, "  {kind:<14} {value}");
    }
    if !explained.facts.is_empty() {
        let _ = writeln!(text, "\ntraits");
    }
    for (name, fact) in &explained.facts {
        let _ = writeln!(text, "  {name:<14} {:<28} said by {} on {}", fact.value.text(), fact.source, fact.occurred);
    }
    if !profile.groups.is_empty() {
        let _ = writeln!(text, "  {:<14} {}", "groups", profile.groups.join(", "));
    }
    if !explained.consent.is_empty() {
        let _ = writeln!(text, "\nconsent");
    }
    for one in &explained.consent {
        let _ = writeln!(text, "  {}", stated(one));
    }
    if !destinations.is_empty() {
        let _ = writeln!(text, "\ndestinations that ask for consent");
    }
    for Reach { destination, withheld, heard } in destinations {
        let said = withheld.as_ref().map_or_else(|| "told".to_owned(), |why| format!("withheld: {why}"));
        let has = if *heard { "has the profile" } else { "" };
        let _ = writeln!(text, "  {}", format!("{destination:<22} {said:<36} {has}").trim_end());
    }
    if !attributes.is_empty() {
        let _ = writeln!(text, "\nattributes");
    }
    for (name, source) in attributes {
        let _ = writeln!(text, "  {name:<14} {}", attribute(source));
    }
    let _ = writeln!(text, "\nwhy this is one customer");
    for reason in &explained.claims {
        let _ = writeln!(text, "  {}", because(reason));
    }
    if !explained.matches.is_empty() {
        let _ = writeln!(text, "\nwho was compared with it");
    }
    for one in &explained.matches {
        text.push_str(&super::identity::review::matched(one));
    }
    text
}

/// What somebody said of a purpose, and before.
fn stated(one: &Stated) -> String {
    let word = |granted: bool| if granted { "granted" } else { "refused" };
    let proof = |Proof { document, location, hardware_id }: &Proof| {
        let parts = [("document", document), ("at", location), ("on device", hardware_id)];
        parts.iter().filter_map(|(what, text)| Some(format!(", {what} {}", text.as_ref()?))).collect::<String>()
    };
    let Stated { granted, occurred, source, before, .. } = one;
    let purpose = one.purpose().to_string();
    let mut text = format!("{purpose:<28} {:<8} said by {source} on {occurred}{}", word(*granted), proof(&one.proof));
    if let Some(Before { occurred, source, proof: said, .. }) = before {
        let _ = write!(text, "\n  {:<28} {:<8} said by {source} on {occurred}{}, before", "", word(!granted), proof(said));
    }
    text
}

/// What the events come to, and where that is from.
fn attribute(Source { value, occurred, source, note, .. }: &Source) -> String {
    let mut text = format!("{:<28}", value.as_ref().map_or("-", |value| value.text()));
    if let (Some(occurred), Some(source)) = (occurred, source) {
        let _ = write!(text, " last by {source} on {occurred}");
    }
    let note = match note {
        None => "",
        Some(Note::Building) => " (being built: what came before it is gone through)",
        Some(Note::Estimate) => " (an estimate)",
        Some(Note::TooMany) => " (too many different values)",
        Some(Note::Coarse) => " (so many events that they leave the window in groups)",
    };
    (text + note).trim_end().to_owned()
}

/// One reason, in a sentence.
fn because(reason: &Because) -> String {
    let names = |identifiers: &[Identifier]| {
        identifiers.iter().map(|one| format!("{} {}", one.kind, one.value)).collect::<Vec<_>>().join(" + ")
    };
    let aside = |one: &Identifier| reason.set_aside.iter().any(|aside| aside.identifier == *one);
    let held: Vec<Identifier> = reason.identifiers.iter().filter(|one| !aside(one)).cloned().collect();
    let mut text = format!("{}  {}", reason.occurred, names(&held));
    if !reason.shared.is_empty() && reason.shared.len() < held.len() {
        let _ = write!(text, ", joined through {}", names(&reason.shared));
    }
    for one in &reason.set_aside {
        let _ = write!(text, "; set aside {} ({})", names(std::slice::from_ref(&one.identifier)), one.guard.name());
    }
    if let Some(why) = &reason.retracted {
        let _ = write!(text, "; retracted: {why}");
    }
    if let Some(verdict) = &reason.verdict {
        let _ = write!(text, "; decided: {}, {}", verdict.decision.name(), verdict.reason);
    }
    for word in &reason.words {
        let struck = word.struck.as_ref().map_or_else(String::new, |why| format!(", which was taken back: {why}"));
        let _ = write!(text, "\n{:28}{} says so since {}{struck}", "", word.source, word.occurred);
    }
    let Because { source, message_id, events_total, claim, .. } = reason;
    let _ = write!(text, "\n{:28}said by {source} in message {message_id}, {events_total} events; claim {claim}", "");
    text
}

/// What is to be said of an attribute, where something is.
fn standing(attribute: &AttributeReport) -> Option<String> {
    let AttributeReport { name, is_trait, building, unusable_total, coarse_total, too_many_total, missing_total } = attribute;
    let mut said: Vec<String> = building.iter().map(|percent| format!("being built, {percent} %")).collect();
    let counts = [
        (*unusable_total, "values could not be used"),
        (*coarse_total, "windows have so many events that they leave in groups"),
        (*too_many_total, "claims have too many different values"),
        (*missing_total, "events before it are not in history any more"),
    ];
    said.extend(counts.iter().filter(|(count, _)| *count > 0).map(|(count, what)| format!("{count} {what}")));
    let name = if *is_trait { format!("{name} (trait)") } else { name.clone() };
    (!said.is_empty()).then(|| format!("  {name:<22} {}", said.join(", ")))
}

/// How the engine is doing.
pub(super) fn status(report: &Report) -> String {
    let mut text = match &report.trouble {
        Some(trouble) => format!("IN TROUBLE: {trouble}\n"),
        None => format!("runs, by generation {} of its configuration\n", report.generation),
    };
    if let Some(refused) = report.config.as_ref().filter(|last| last.outcome == Outcome::Refused) {
        let problems = refused.problems.iter().count();
        let _ = writeln!(text, "  its files were refused at {}: {problems} problems, which `weft check` shows", refused.at);
    }
    let totals = &report.totals;
    let counts = [
        (totals.customers, "customers"),
        (totals.events, "events"),
        (totals.identifiers, "identifiers"),
        (totals.letters, "dead letters"),
    ];
    let _ = writeln!(text, "  {}", counts.map(|(count, what)| format!("{count} {what}")).join(", "));
    for (log, waiting) in [("intake", report.intake), ("history", report.history)] {
        let _ = writeln!(
            text,
            "  {log:<9} {} records, {} waiting",
            waiting.records,
            waiting.records - waiting.through.min(waiting.records)
        );
    }
    let _ = writeln!(text, "\nsources");
    for source in &report.sources {
        let way = source.path.as_ref().map_or_else(|| source.reads.clone(), |path| format!("{} {path}", source.reads));
        let Some(standing) = &source.standing else {
            let _ = writeln!(text, "  {:<16} {way}", source.name);
            continue;
        };
        let reading = standing.reading.as_ref().map_or_else(String::new, |what| format!(", reading {what}"));
        let _ = writeln!(text, "  {:<16} {way}, {} events since start{reading}", source.name, standing.events_total);
        if let Some(error) = &standing.last_error {
            let _ = writeln!(text, "    cannot be read: {error}");
        }
    }
    let _ = writeln!(text, "\n{:<24}{:>12}{:>12}{:>12}", "destinations, since start", "delivered", "refused", "waiting");
    for lane in &report.lanes {
        let (name, standing) = (format!("{} ({})", lane.name, lane.stream), &lane.standing);
        let _ =
            writeln!(text, "  {name:<22}{:>12}{:>12}{:>12}", standing.delivered_total, standing.rejected_total, standing.waiting);
        if let Some(error) = &standing.last_error {
            let _ = writeln!(text, "    does not take what it is given: {error}");
        }
        if let Some(state) = lane_state(standing) {
            let _ = writeln!(text, "    {state}");
        }
        for (reason, count) in &standing.withheld {
            let reason = if reason.is_empty() { "other purposes" } else { reason };
            let _ = writeln!(text, "    {count} withheld for want of consent, ever: {reason}");
        }
        if standing.again > 0 {
            let _ = writeln!(text, "    {} events that it refused are on their way again", standing.again);
        }
    }
    if let Some(matching) = &report.matching {
        text.push_str(&matched(matching));
    }
    let said: Vec<String> = report.attributes.iter().filter_map(standing).collect();
    if !said.is_empty() {
        let _ = writeln!(text, "\nattributes and traits\n{}", said.join("\n"));
    }
    text
}

/// How customers are compared.
fn matched(matching: &matcher::Standing) -> String {
    let matcher::Standing { customers, waiting, building, compared_total, .. } = matching;
    let mut text =
        format!("\nmatching\n  {customers} customers, {waiting} waiting; since start {compared_total} pairs compared: ");
    let (merges, reviews, aparts) = (matching.merges_total, matching.reviews_total, matching.aparts_total);
    let _ = writeln!(text, "{merges} are one, {reviews} to decide, {aparts} taken back");
    let model = &matching.model;
    let _ = match model.learned {
        Some(at) => writeln!(text, "  by the model of record {}, learned {at} from {} customers", model.version, model.records),
        None => writeln!(text, "  by the model that Weft comes with: `weft identity train` learns one"),
    };
    let notes = [
        building.map(|done| format!("walks through all customers: {done} %")),
        matching.learning.then(|| "learns a model".to_owned()),
        (matching.keys_closed > 0).then(|| format!("{} keys are shared by too many to compare them", matching.keys_closed)),
        (matching.left_out_total > 0)
            .then(|| format!("{} claims and customers past the bounds were left out", matching.left_out_total)),
        matching.last_error.as_ref().map(|error| format!("FAILS, and is tried again: {error}")),
    ];
    for note in notes.into_iter().flatten() {
        let _ = writeln!(text, "  {note}");
    }
    text
}

/// Why a lane gives its destination less than it could, where it does.
fn lane_state(standing: &delivery::Standing) -> Option<String> {
    let since = standing.since.map_or_else(String::new, |since| format!(" since {since}"));
    let again = standing.next_try.map_or_else(String::new, |at| format!(", again at {at}"));
    match (standing.paused, standing.circuit) {
        (Some(since), _) => Some(format!("paused since {since}: `weft destination resume` lets it go on")),
        (None, Circuit::Open) => Some(format!("not tried{since}{again}")),
        (None, Circuit::HalfOpen) => Some(format!("tried with one record, down{since}")),
        (None, Circuit::Closed) => None,
    }
}

/// What the doctor found.
#[derive(Default)]
pub(super) struct Findings {
    found: Vec<(String, String)>,
    bad: Vec<(String, String)>,
}

impl Findings {
    /// Whether nothing is wrong.
    pub(super) fn is_sound(&self) -> bool {
        self.bad.is_empty()
    }

    /// Something worth saying.
    pub(super) fn note(&mut self, part: &str, text: &str) {
        self.found.push((part.to_owned(), text.to_owned()));
    }

    /// Something wrong.
    pub(super) fn bad(&mut self, part: &str, text: &str) {
        self.bad.push((part.to_owned(), text.to_owned()));
    }

    /// A log.
    pub(super) fn log(&mut self, part: &str, report: &LogReport) {
        let (records, segments) = (report.end - report.start, report.segments);
        let ratio = report.raw_bytes as f64 / report.bytes.max(1) as f64;
        self.note(
            part,
            &format!("{records} records in {segments} segments, {} on disk, packed {ratio:.1} times", bytes(report.bytes)),
        );
        if report.tombstones > 0 {
            self.note(part, &format!("{} records were erased or lost earlier", report.tombstones));
        }
        if let Some(torn) = &report.torn {
            self.note(part, &format!("the next start cuts off {} that a crash left unfinished", bytes(torn.bytes)));
        }
        for damage in &report.damage {
            self.bad(part, &damage.to_string());
        }
    }

    /// State.
    pub(super) fn state(&mut self, sizes: &Sizes, position: u64, end: u64) {
        let Sizes { rows, live_bytes, disk_bytes } = *sizes;
        self.note(
            "state",
            &format!("{rows} rows, {} live, {} on disk, at record {position} of {end}", bytes(live_bytes), bytes(disk_bytes)),
        );
    }

    /// For people.
    pub(super) fn text(&self) -> String {
        let line = |mark: &str, (part, text): &(String, String)| format!("{mark} {part:<12} {text}\n");
        let good: String = self.found.iter().map(|one| line("ok ", one)).collect();
        let bad: String = self.bad.iter().map(|one| line("BAD", one)).collect();
        let end = if self.is_sound() { "nothing is wrong" } else { "see docs/concepts/durability.md for what to do" };
        format!("{good}{bad}{end}\n")
    }

    /// For machines.
    pub(super) fn json(&self) -> String {
        let list =
            |all: &[(String, String)]| all.iter().map(|(part, text)| json!({ "part": part, "text": text })).collect::<Vec<_>>();
        json!({ "sound": self.is_sound(), "found": list(&self.found), "damage": list(&self.bad) }).to_string()
    }
}

fn bytes(count: u64) -> String {
    const UNITS: [&str; 5] = ["B", "KiB", "MiB", "GiB", "TiB"];
    let (mut count, mut unit) = (count as f64, 0);
    while count >= 1024.0 && unit + 1 < UNITS.len() {
        (count, unit) = (count / 1024.0, unit + 1);
    }
    if unit == 0 { format!("{count} B") } else { format!("{count:.1} {}", UNITS[unit]) }
}
