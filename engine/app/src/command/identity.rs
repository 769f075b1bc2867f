//! `weft identity`: claims that are held, and splits, and rows of files that are one person (`matching`); `weft explain A B`: why two are one customer, or
//! what keeps them apart.

mod matching;
pub(super) mod review;

use std::fmt::Write as _;
use std::path::PathBuf;

use anyhow::{Context, anyhow};
use clap::Subcommand;
use serde::Serialize;
use serde::de::DeserializeOwned;
use weft_domain::between::{Between, Link, Reason, between};
use weft_domain::claim::{ClaimId, CustomerId, Decision};
use weft_domain::event::Identifier;
use weft_domain::explain::Who;
use weft_domain::impact::{Became, Impact, Standing};
use weft_domain::value::Timestamp;

use super::dlq::plain;
use super::{Failed, Output, client, load, print, report_progress};
use crate::identity::{self, Asked, Decided, Held, List, Named, Outcome, Waiting};
use crate::limits;
use crate::vault::{DataFolder, Vault};

/// What to do about who is who.
#[derive(Subcommand)]
pub(super) enum Identity {
    /// List the claims that are held, each with what would come of accepting it.
    Held {
        /// Only those after this one: to go on where a list ended.
        #[arg(long, value_name = "CLAIM")]
        after: Option<ClaimId>,
        /// So many at most, and never more than 100.
        #[arg(long, default_value_t = limits::HELD_SHOWN)]
        limit: usize,
        #[command(flatten)]
        place: Place,
    },
    /// Let a claim that is held join customers. The engine must run.
    Accept(Decide),
    /// Have a claim that is held join no customers, whatever the rules are later. The engine must run.
    Refuse(Decide),
    /// List the matches by comparison that wait for a person: what each field says, and what would come of saying that they are one.
    Review(review::Listing),
    /// Say that two customers are one person, whatever a comparison says. The engine must run.
    Join(review::Say),
    /// Say that two customers are not one person, whatever a comparison says. The engine must run.
    KeepApart(review::Say),
    /// Take back what was said of two customers with `join` or `keep-apart`. The engine must run.
    Undecide(review::Unsay),
    /// Take apart what is not one person's. The engine must run.
    Split(Change),
    /// Take a split back, in the words in which it was made. The engine must run.
    Restore(Change),
    /// Find out which rows of a file are one person.
    Resolve(matching::Resolve),
    /// Learn how much each field says: from a file, and write it down as a model; or, without one, have the running engine learn from its
    /// customers.
    Train(matching::Train),
    /// Show the model by which a running engine compares customers: what each level of each field says.
    Model(Place),
    /// Say why two rows of a file are one person, or are not, field by field.
    Compare(matching::Compare),
}

/// Where, and how it is shown.
#[derive(clap::Args)]
pub(super) struct Place {
    /// The workspace: a folder, or its weft.yaml.
    #[arg(long, default_value = ".", value_parser = crate::command::there)]
    workspace: PathBuf,
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

/// A decision.
#[derive(clap::Args)]
pub(super) struct Decide {
    /// The claim, as a list has it.
    claim: ClaimId,
    /// Why, for the next person who asks: history keeps it.
    #[arg(long)]
    reason: String,
    #[command(flatten)]
    place: Place,
}

/// What is taken apart, or is to be as before.
#[derive(clap::Args)]
#[command(group = clap::ArgGroup::new("which").args(["claim", "source", "between", "identifier"]).multiple(true).required(true))]
pub(super) struct Change {
    /// A claim, as `weft profile` shows it: it joins nothing, and what parts because of it stays apart.
    #[arg(long, value_name = "CLAIM", conflicts_with_all = ["source", "between", "identifier"])]
    claim: Vec<ClaimId>,
    /// A source: what it said joins nothing, unless another source says so too.
    #[arg(long, value_name = "NAME", conflicts_with = "identifier")]
    source: Option<String>,
    /// What was first said in this time, from and before: times of RFC 3339, such as 2026-03-01T09:30:00Z.
    #[arg(long, num_args = 2, value_names = ["FROM", "TO"], conflicts_with = "identifier")]
    between: Vec<Timestamp>,
    /// An identifier out of a customer, such as email:ann@example.com. More than one stay together.
    #[arg(long, value_name = "TYPE:VALUE")]
    identifier: Vec<Named>,
    /// What it is kept apart from. Default: what the customer signs in with; of one who does not, all others.
    #[arg(long, value_name = "TYPE:VALUE", requires = "identifier")]
    apart_from: Vec<Named>,
    /// Why, for the next person who asks: history keeps it. A split needs one.
    #[arg(long)]
    reason: Option<String>,
    /// Only show who would become whom.
    #[arg(long)]
    dry_run: bool,
    #[command(flatten)]
    place: Place,
}

pub(super) async fn run(command: Identity) -> Result<(), Failed> {
    match command {
        Identity::Held { after, limit, place } => {
            let waiting = Waiting { after, limit: Some(limit) };
            show(&held(&place, &waiting).await?, Output::of(place.json), list)
        }
        Identity::Accept(decide) => decision(decide, "accept", "may join customers").await,
        Identity::Refuse(decide) => decision(decide, "refuse", "joins no customers").await,
        Identity::Review(listing) => review::list(&listing).await,
        Identity::Join(say) => review::say(say, Decision::Accept).await,
        Identity::KeepApart(say) => review::say(say, Decision::Refuse).await,
        Identity::Undecide(unsay) => review::unsay(unsay).await,
        Identity::Split(change) => changed(change, "split").await,
        Identity::Restore(change) => changed(change, "restore").await,
        Identity::Resolve(resolve) => matching::resolve(&resolve),
        Identity::Train(train) => matching::train(&train).await,
        Identity::Model(place) => matching::model(&place).await,
        Identity::Compare(compare) => matching::compare(&compare),
    }
}

/// Why two are one customer, or what keeps them apart.
pub(super) async fn explain(a: &Who, b: &Who, workspace: &std::path::Path, output: Output) -> Result<(), Failed> {
    let (config, _) = load(workspace, output).await?;
    let named = [a, b].map(|who| client::escape(&who.to_string()));
    let found: Option<Between> =
        match client::get(&client::Engine::configured(&config), &format!("/api/v1/explain?a={}&b={}", named[0], named[1])).await?
        {
            client::Answer::Nobody => {
                let vault = Vault::open(&DataFolder::at(&config.data), report_progress())?;
                let found = between(&vault.overlay, a, b)?;
                vault.close()?;
                found
            }
            client::Answer::NotFound => None,
            client::Answer::Body(bytes) => Some(serde_json::from_slice(&bytes).context("the engine's answer cannot be read")?),
        };
    let found = found.ok_or_else(|| anyhow!("nobody is known by `{a}`, or nobody by `{b}`"))?;
    show(&found, output, |found| told(found, a, b))
}

async fn held(place: &Place, asked: &Waiting) -> Result<List, Failed> {
    let (config, _) = load(&place.workspace, Output::of(place.json)).await?;
    let after = asked.after.map_or_else(String::new, |after| format!("&after={after}"));
    let path = format!("/api/v1/identity/held?limit={}{after}", asked.limit.unwrap_or(limits::HELD_SHOWN));
    Ok(match client::get(&client::Engine::configured(&config), &path).await? {
        client::Answer::Nobody => {
            let vault = Vault::open(&DataFolder::at(&config.data), report_progress())?;
            let plan = vault.overlay.plan().clone();
            let list = identity::held(&vault.overlay, |from, max| vault.overlay.held(from, max), &plan, asked)?;
            vault.close()?;
            list
        }
        client::Answer::NotFound => return Err(anyhow!("the engine that runs is of a version without this page").into()),
        client::Answer::Body(bytes) => serde_json::from_slice(&bytes).context("the engine's answer cannot be read")?,
    })
}

async fn decision(Decide { claim, reason, place }: Decide, what: &str, so: &str) -> Result<(), Failed> {
    let path = format!("/api/v1/identity/held/{claim}/{what}");
    let unknown = format!("the engine that runs has no claim {claim}: `weft identity held` lists those that wait");
    let decided: Decided = post(&place, &path, &serde_json::json!({ "reason": reason }), &unknown).await?;
    show(&decided, Output::of(place.json), |decided| match decided.position {
        Some(position) => format!("the claim {claim} {so}: record {position} of history\n"),
        None => "that had been decided so before: nothing has changed\n".to_owned(),
    })
}

async fn changed(change: Change, what: &str) -> Result<(), Failed> {
    let Change { claim, source, between, identifier, apart_from, reason, dry_run, place } = change;
    let (from, to) = (between.first().copied(), between.get(1).copied());
    let asked = Asked { claims: claim, source, from, to, identifiers: identifier, apart_from, reason, dry_run };
    let body = serde_json::to_value(&asked).context("what is asked for has no form")?;
    let unknown = "the engine that runs is of a version without this page";
    let outcome: Outcome = post(&place, &format!("/api/v1/identity/{what}"), &body, unknown).await?;
    show(&outcome, Output::of(place.json), done)
}

/// Posts to the engine that must run.
async fn post<T: DeserializeOwned>(place: &Place, path: &str, body: &serde_json::Value, unknown: &str) -> anyhow::Result<T> {
    let engine = client::Engine::of(&place.workspace);
    match client::post(&engine, path, body).await? {
        client::Answer::Nobody => Err(anyhow!("no engine listens on {engine}: `weft run` starts it")),
        client::Answer::NotFound => Err(anyhow!("{unknown}")),
        client::Answer::Body(bytes) => serde_json::from_slice(&bytes).context("the engine's answer cannot be read"),
    }
}

fn show<T: Serialize>(value: &T, output: Output, text: impl FnOnce(&T) -> String) -> Result<(), Failed> {
    match output {
        Output::Json => print(&serde_json::to_string_pretty(value)?),
        Output::People => print(&text(value)),
    }
    Ok(())
}

/// Identifiers came from strangers: what would move a terminal's cursor is spelt out.
fn names(identifiers: &[Identifier]) -> String {
    identifiers.iter().map(name).collect::<Vec<_>>().join(" + ")
}

fn name(one: &Identifier) -> String {
    format!("{} {}", one.kind, plain(&one.value))
}

/// Why two are one, for people.
fn told(between: &Between, a: &Who, b: &Who) -> String {
    let who = |who: &Who, id: Option<CustomerId>| match id {
        Some(id) => format!("{} is customer {id}", plain(&who.to_string())),
        None => format!("{} is nobody's: every claim had to set it aside", plain(&who.to_string())),
    };
    let verdict = if between.together { "one customer" } else { "not one customer" };
    let mut text = format!("{verdict}\n  {}\n  {}\n", who(a, between.a), who(b, between.b));
    let why = if between.together { "why" } else { "how they hang together, and what keeps them apart" };
    let _ = writeln!(text, "\n{why}");
    for reason in &between.reasons {
        match reason {
            Reason::Claim(one) => text.push_str(&link(one)),
            Reason::Match(one) => text.push_str(&review::matched(one)),
            Reason::Separation(one) => {
                let _ = writeln!(text, "  {} and {} were separated: {}", name(&one.a), name(&one.b), plain(&one.reason));
            }
            Reason::NothingInCommon => {
                text.push_str("  nothing: no claim names anything of both, nor do claims that hang together\n")
            }
            Reason::TooMany => text.push_str("  too many claims hang together to look for the way\n"),
        }
    }
    text
}

fn link(link: &Link) -> String {
    let because = &link.because;
    let mut text = format!("  {}  {}\n", because.occurred, names(&because.identifiers));
    let _ =
        writeln!(text, "{:28}said by {} in message {}; claim {}", "", because.source, plain(&because.message_id), because.claim);
    for aside in &link.kept_apart {
        let _ = writeln!(text, "{:28}KEPT APART: it had to set aside {} ({})", "", name(&aside.identifier), aside.guard.name());
    }
    if let Some(verdict) = &because.verdict {
        let _ = writeln!(text, "{:28}decided: {}, {}", "", verdict.decision.name(), plain(&verdict.reason));
    }
    if let Some(why) = &because.retracted {
        let _ = writeln!(text, "{:28}retracted: {}", "", plain(why));
    }
    text
}

/// Claims that are held, for people.
fn list(list: &List) -> String {
    if list.held.is_empty() {
        return "no claim is held\n".to_owned();
    }
    let mut text: String = list.held.iter().map(one_held).collect();
    if let Some(next) = list.next {
        let _ = writeln!(text, "there may be more: --after {next}");
    }
    text
}

fn one_held(Held { claim, impact }: &Held) -> String {
    let mut text = format!("claim {}\n  {}  {}\n", claim.claim, claim.occurred, names(&claim.identifiers));
    for aside in &claim.set_aside {
        let _ = writeln!(text, "  {:24}  {} ({})", "waits", name(&aside.identifier), aside.guard.name());
    }
    let _ = writeln!(text, "  said by {} in message {}, {} events", claim.source, plain(&claim.message_id), claim.events_total);
    let _ = write!(text, "  if it were accepted\n{}", impacted(impact));
    text
}

/// What has come of a split or its way back, for people.
fn done(outcome: &Outcome) -> String {
    let Some(impact) = &outcome.impact else {
        let commands = outcome.positions.len();
        let last = outcome.positions.last().copied().unwrap_or_default();
        return format!("{} parts in {commands} commands, the last of them record {last} of history\n", outcome.parts);
    };
    let mut text = format!("{} parts; nothing has been changed\n{}", outcome.parts, impacted(impact));
    if outcome.not_played > 0 {
        let _ = writeln!(text, "  {} parts more were not looked at: there are too many", outcome.not_played);
    }
    text
}

fn impacted(impact: &Impact) -> String {
    let mut text = format!("  {} customers would change, {} events would move\n", impact.customers_total, impact.events_moved);
    for one in &impact.customers {
        text.push_str(&became(one));
    }
    let more = impact.customers_total.saturating_sub(impact.customers.len());
    if more > 0 {
        let _ = writeln!(text, "  and {more} customers more");
    }
    text
}

fn became(one: &Became) -> String {
    let mut text = format!("    customer {}\n", one.customer);
    for (when, standing) in [("is", &one.before), ("would be", &one.after)] {
        let _ = match standing {
            Some(standing) => writeln!(text, "      {when:<9} {}", standing_of(standing)),
            None => writeln!(text, "      {when:<9} nobody"),
        };
    }
    if let Some(becomes) = one.becomes {
        let _ = writeln!(text, "      {:<9} customer {becomes}", "becomes");
    }
    for (trait_name, change) in &one.traits {
        let shown = |value: &Option<weft_domain::value::Json>| {
            value.as_ref().map_or_else(|| "nothing".to_owned(), |one| plain(one.text()))
        };
        let _ =
            writeln!(text, "      {:<9} {}: {} -> {}", "trait", plain(trait_name), shown(&change.before), shown(&change.after));
    }
    text
}

fn standing_of(standing: &Standing) -> String {
    let more = standing.identifiers_total.saturating_sub(standing.identifiers.len());
    let more = if more > 0 { format!(" and {more} more") } else { String::new() };
    let limits: Vec<String> = standing.limits.iter().map(|one| format!("{} {} of {}", one.kind, one.has, one.limit)).collect();
    format!("{}{more}; {} events; {}", names(&standing.identifiers), standing.events_total, limits.join(", "))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn id(number: u8) -> String {
        format!("{number:032x}")
    }

    #[test]
    fn what_keeps_two_apart_is_told() {
        let claim = |number: u8, identifiers: [&str; 2], aside: serde_json::Value| {
            let identifier = |text: &str| text.split_once(' ').map(|(kind, value)| json!({ "type": kind, "value": value }));
            json!({
                "kind": "claim", "claim": id(number), "identifiers": identifiers.map(identifier), "shared": [], "set_aside": aside,
                "kept_apart": aside, "occurred": format!("2026-03-01T12:0{number}:00.000Z"), "message_id": format!("m{number}"),
                "source": "web", "events_total": 1
            })
        };
        let aside = json!([{ "type": "email", "value": "x\u{7}", "guard": "limit" }]);
        let separation = json!({
            "kind": "separation", "a": { "type": "user_id", "value": "ann" }, "b": { "type": "user_id", "value": "bob" }, "reason": "two people"
        });
        let reasons =
            [claim(1, ["email x\u{7}", "user_id ann"], json!([])), claim(2, ["email x\u{7}", "user_id bob"], aside), separation];
        let found = json!({ "together": false, "a": id(1), "b": id(2), "reasons": reasons });
        let found: Between = serde_json::from_value(found).expect("reads");
        let who = |value: &str| Who::Identifier("user_id".into(), value.into());
        let want = "not one customer\n  user_id:ann is customer 00000000000000000000000000000001\n  \
                    user_id:bob is customer 00000000000000000000000000000002\n\n\
                    how they hang together, and what keeps them apart\n  \
                    2026-03-01T12:01:00.000Z  email x\\u{7} + user_id ann\n\
                    \x20                           said by web in message m1; claim 00000000000000000000000000000001\n  \
                    2026-03-01T12:02:00.000Z  email x\\u{7} + user_id bob\n\
                    \x20                           said by web in message m2; claim 00000000000000000000000000000002\n\
                    \x20                           KEPT APART: it had to set aside email x\\u{7} (limit)\n  \
                    user_id ann and user_id bob were separated: two people\n";
        assert_eq!(told(&found, &who("ann"), &who("bob")), want);
    }

    #[test]
    fn what_would_come_of_a_split_is_told() {
        let standing = |count: u64, events: u64| {
            json!({
                "identifiers": [{ "type": "user_id", "value": "ann" }], "identifiers_total": count, "events_total": events,
                "limits": [{ "type": "user_id", "has": 1, "limit": 1 }]
            })
        };
        let ann = json!({
            "customer": id(1), "before": standing(3, 7), "after": standing(1, 4), "traits": { "city": { "before": "Ulm", "after": "Bonn" } }
        });
        let other = json!({ "customer": id(2), "before": standing(1, 3), "becomes": id(1) });
        let impact = json!({ "customers": [ann, other], "customers_total": 3, "events_moved": 3 });
        let text = json!({ "parts": 2, "impact": impact, "not_played": 5 }).to_string();
        let outcome: Outcome = serde_json::from_str(&text).expect("reads");
        let want = "2 parts; nothing has been changed\n  3 customers would change, 3 events would move\n    \
                    customer 00000000000000000000000000000001\n      \
                    is        user_id ann and 2 more; 7 events; user_id 1 of 1\n      \
                    would be  user_id ann; 4 events; user_id 1 of 1\n      \
                    trait     city: \"Ulm\" -> \"Bonn\"\n    \
                    customer 00000000000000000000000000000002\n      \
                    is        user_id ann; 3 events; user_id 1 of 1\n      \
                    would be  nobody\n      \
                    becomes   customer 00000000000000000000000000000001\n  \
                    and 1 customers more\n  \
                    5 parts more were not looked at: there are too many\n";
        assert_eq!(done(&outcome), want);
        let held = json!({
            "claim": id(3), "identifiers": [{ "type": "email", "value": "x" }, { "type": "user_id", "value": "bob" }], "shared": [],
            "set_aside": [{ "type": "email", "value": "x", "guard": "held" }], "occurred": "2026-03-01T12:00:00.000Z",
            "message_id": "m3", "source": "web", "events_total": 1, "impact": impact
        });
        let text = json!({ "held": [held], "next": id(3) }).to_string();
        let shown = list(&serde_json::from_str(&text).expect("reads"));
        let (head, end) = shown.split_once("  if it were accepted\n").expect("what would come of it");
        let want = "claim 00000000000000000000000000000003\n  2026-03-01T12:00:00.000Z  email x + user_id bob\n  \
                    waits                     email x (held)\n  said by web in message m3, 1 events\n";
        assert_eq!(head, want);
        assert!(end.ends_with("there may be more: --after 00000000000000000000000000000003\n"), "{end}");
        let done = done(&serde_json::from_value(json!({ "parts": 300, "positions": [7, 8] })).expect("reads"));
        assert_eq!(done, "300 parts in 2 commands, the last of them record 8 of history\n");
    }
}
