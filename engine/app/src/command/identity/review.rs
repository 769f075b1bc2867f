//! `weft identity review`, `join`, `keep-apart`, `undecide`: matches by comparison, and what people decide of any two customers.

use std::collections::BTreeSet;
use std::fmt::Write as _;

use anyhow::{Context, anyhow};
use serde_json::json;
use weft_domain::claim::{Bits, Decision, Outcome};
use weft_domain::explain::{Matched, Who};
use weft_domain::value::Json;

use super::super::dlq::plain;
use super::super::{Failed, Output, client, load, report_progress};
use super::{Place, impacted, names, post, show};
use crate::identity::Decided;
use crate::limits;
use crate::review::{self, After, List, Open, Person, Said, Waiting};
use crate::vault::{DataFolder, Vault};

#[derive(clap::Args)]
pub(in crate::command) struct Listing {
    /// Only those after this one: to go on where a list ended.
    #[arg(long, value_name = "CLAIM,CLAIM")]
    after: Option<After>,
    /// So many at most, and never more than 100.
    #[arg(long, default_value_t = limits::HELD_SHOWN)]
    limit: usize,
    #[command(flatten)]
    place: Place,
}

#[derive(clap::Args)]
pub(in crate::command) struct Say {
    /// One of the two: TYPE:VALUE, such as email:ann@example.com, a customer's id, or the claim that a match names.
    a: Who,
    /// The other, in the same way.
    b: Who,
    /// Why, for the next person who asks: history keeps it.
    #[arg(long)]
    reason: String,
    #[command(flatten)]
    place: Place,
}

#[derive(clap::Args)]
pub(in crate::command) struct Unsay {
    /// One of the two: TYPE:VALUE, such as email:ann@example.com, a customer's id, or the claim that a match names.
    a: Who,
    /// The other, in the same way.
    b: Who,
    #[command(flatten)]
    place: Place,
}

pub(super) async fn list(Listing { after, limit, place }: &Listing) -> Result<(), Failed> {
    let (config, _) = load(&place.workspace, Output::of(place.json)).await?;
    let from = after.map_or_else(String::new, |after| format!("&after={after}"));
    let list: List = match client::get(
        &client::Engine::configured(&config),
        &format!("/api/v1/identity/matches?limit={limit}{from}"),
    )
    .await?
    {
        client::Answer::Nobody => {
            let vault = Vault::open(&DataFolder::at(&config.data), report_progress())?;
            let (plan, asked) = (vault.overlay.plan().clone(), Waiting { after: *after, limit: Some(*limit) });
            let list = review::open(&vault.overlay, |from, max| vault.overlay.open_matches(from, max), &plan, &asked)?;
            vault.close()?;
            list
        }
        client::Answer::NotFound => return Err(anyhow!("the engine that runs is of a version without this page").into()),
        client::Answer::Body(bytes) => serde_json::from_slice(&bytes).context("the engine's answer cannot be read")?,
    };
    show(&list, Output::of(place.json), listed)
}

pub(super) async fn say(Say { a, b, reason, place }: Say, decision: Decision) -> Result<(), Failed> {
    let said = Said { a: a.to_string(), b: b.to_string(), decision: Some(decision), reason: Some(reason) };
    tell(&said, &place).await
}

pub(super) async fn unsay(Unsay { a, b, place }: Unsay) -> Result<(), Failed> {
    tell(&Said { a: a.to_string(), b: b.to_string(), decision: None, reason: None }, &place).await
}

async fn tell(said: &Said, place: &Place) -> Result<(), Failed> {
    let unknown = "the engine that runs is of a version without this page";
    let decided: Decided = post(place, "/api/v1/identity/matches", &json!(said), unknown).await?;
    let so = match said.decision {
        Some(Decision::Accept) => "are one person",
        Some(Decision::Refuse) => "are not one person",
        None => "are as if nobody had decided",
    };
    show(&decided, Output::of(place.json), |decided| match decided.position {
        Some(position) => format!("{} and {} {so}: record {position} of history\n", plain(&said.a), plain(&said.b)),
        None => "that had been decided so before: nothing has changed\n".to_owned(),
    })
}

fn listed(list: &List) -> String {
    if list.matches.is_empty() {
        return "no match waits\n".to_owned();
    }
    let mut text: String = list.matches.iter().map(one).collect::<Vec<_>>().join("\n");
    text.push_str("\n`weft identity join A B` says that two are one person, `weft identity keep-apart A B` that they are not, each with `--reason`\n");
    if let Some(next) = list.next {
        let _ = writeln!(text, "there may be more: --after {next}");
    }
    text
}

/// A match that waits: the two beside each other, what each field says, what would come of it.
fn one(Open { matched: found, people, impact }: &Open) -> String {
    let [a, b] = people;
    let mut text = format!("  {:<16} {:<38} {}\n", "", a.customer.to_string(), b.customer);
    let _ = writeln!(text, "  {:<16} {:<38} {}", "identifiers", names(&a.identifiers), names(&b.identifiers));
    let traits: BTreeSet<&String> = a.traits.keys().chain(b.traits.keys()).collect();
    for name in traits {
        let value = |person: &Person| person.traits.get(name).map_or_else(String::new, |value| plain(&spoken(value)));
        let _ = writeln!(text, "  {:<16} {:<38} {}", plain(name), value(a), value(b));
    }
    text.push_str(&matched(found));
    let _ = write!(text, "  if they were one person\n{}", impacted(impact));
    text
}

/// A value as people say it: a text without its quotes.
fn spoken(value: &Json) -> String {
    value.as_string().unwrap_or_else(|| value.text().to_owned())
}

/// A match, field by field with weights.
pub(in crate::command) fn matched(one: &Matched) -> String {
    let [a, b] = one.pair;
    let so = match (one.joined, one.outcome) {
        (true, _) => "they look like one person",
        (false, Outcome::Merge) => "they look like one person, and are kept apart all the same",
        (false, Outcome::Review) => "they may be one person",
        (false, Outcome::Apart) => "nothing says that they are one person",
    };
    let mut text = format!("  {a} and {b}: {so}");
    if let Some(evidence) = &one.evidence {
        let _ = writeln!(text, " ({:.1} % likely)", 100.0 * probability(evidence.weight));
        let mut said = |weight: Bits, what: &str| writeln!(text, "  {:>+28.1}  {what}", weight.get());
        let _ = said(evidence.prior, "two customers are hardly ever one person");
        let other = if evidence.weight < evidence.merge_at { "one person" } else { "two people" };
        for field in &evidence.fields {
            let instead = if field.decides(evidence) { format!(": {other}") } else { String::new() };
            let without = format!("without it {:>5.1}{instead}", field.without.get());
            let _ = said(field.weight, &format!("{:<16} {:<28} {without}", plain(&field.field), field.level));
        }
        if evidence.shared.get() < -0.05 {
            let _ = said(evidence.shared, "people of one household, or namesakes, look like this as well");
        }
        let model = match evidence.model {
            0 => "the model that Weft comes with".to_owned(),
            version => format!("the model of record {version} of history"),
        };
        let _ = said(evidence.weight, &format!("together: bits, each doubles the odds; compared {} by {model}", evidence.at));
        let alone = match evidence.fields.iter().any(|field| field.decides(evidence)) {
            true => "",
            false => ". No field decides it alone",
        };
        let _ = said(evidence.merge_at, &format!("or more were needed to be one person{alone}"));
    } else {
        text.push('\n');
    }
    if let Some(guard) = one.guard {
        let _ = writeln!(text, "{:30}KEPT APART by a guard ({})", "", guard.name());
    }
    if let Some(verdict) = &one.verdict {
        let _ = writeln!(text, "{:30}decided: {}, {}", "", verdict.decision.name(), plain(&verdict.reason));
    }
    text
}

/// The probability that a weight stands for.
pub(super) fn probability(weight: Bits) -> f64 {
    weft_matching::model::probability(weight.get())
}
