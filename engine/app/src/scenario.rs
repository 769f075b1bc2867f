//! Plays the `tests:` of a workspace: its events through its transforms and the production writer, with a clock of its own.
//!
//! Nothing is simulated but time and the outside: each scenario has a data folder that is thrown away, and what destinations
//! would get is read from history and from the deliveries that the fold made. Times of day are those of 2026-01-01 in the workspace's zone.

use std::collections::BTreeMap;

use jiff::civil::{Date, date};
use jiff::tz::TimeZone;
use serde_json::Value;
use weft_domain::claim::CustomerId;
use weft_domain::consent::Rule;
use weft_domain::event::{Event, Identifier, Learnt};
use weft_domain::explain::whose;
use weft_domain::input::{Arrival, Input, Named, Receipts, Stream, Withheld, event_json};
use weft_domain::permission::{self, Permission};
use weft_domain::portrait::{Portrait, portray};
use weft_domain::profile::Profile;
use weft_domain::value::{Json, Timestamp};
use weft_domain::view::{View, ViewError};

use crate::assembly::{Connections, Plugins, settings, stages};
use crate::clock::Clock;
use crate::config::spec::scenario::{Expected, ExpectedDelivery, ExpectedProfile, Given, Moment, Scenario};
use crate::config::zone;
use crate::config::{Config, Destination};
use crate::delivery::Filter;
use crate::engine::{Engine, EngineError, Stages};
use crate::intake::Arrived;
use crate::vault::DataFolder;

/// The first day, which begins at midnight.
const FIRST_DAY: Date = date(2026, 1, 1);

/// Times that a scenario without `until` is moved on to the next timer.
const TIMERS_MAX: usize = 10_000;

/// Plays a scenario. What did not come out as expected, in words; empty where all did.
///
/// # Errors
/// [`EngineError`], where the engine cannot be started, or failed.
pub async fn play(config: &Config, plugins: &Plugins, scenario: &Scenario) -> Result<Vec<String>, EngineError> {
    let folder = tempfile::tempdir().map_err(|error| EngineError::Broken(format!("no folder for a test: {error}")))?;
    let zone = zone::find(&config.zone).unwrap_or(TimeZone::UTC);
    let mut now = zone::instant(FIRST_DAY, 0, &zone);
    let clock = Clock::at(now);
    let mut settings = settings(config, clock.clone());
    (settings.data, settings.listen) = (DataFolder::at(folder.path()), None);
    let chains = async |ledger: &_| {
        let Stages { chains, .. } = stages(config, plugins, ledger, &mut Connections::default())?;
        Ok(Stages { chains, ..Stages::default() })
    };
    let engine = Engine::start(settings, chains, |_| ()).await?;
    let mut delivered = Delivered::default();
    for given in &scenario.given {
        now = moment(given.at, now, &zone);
        clock.set(now);
        pass(&engine, config, &mut delivered, now).await?;
        tell(&engine, config, given, now).await?;
        pass(&engine, config, &mut delivered, now).await?;
    }
    match scenario.until {
        Some(until) => {
            now = moment(Some(until), now, &zone);
            clock.set(now);
            pass(&engine, config, &mut delivered, now).await?;
        }
        None => run_down(&engine, config, &mut delivered, &clock).await?,
    }
    let failures = match engine.report().trouble {
        Some(trouble) => vec![trouble],
        None => compare(&engine, delivered, &scenario.expect, clock.now()),
    };
    engine.stop().await?;
    Ok(failures)
}

fn moment(at: Option<Moment>, before: Timestamp, zone: &TimeZone) -> Timestamp {
    match at {
        None => before,
        Some(Moment::Clock(ms)) => zone::instant(FIRST_DAY, ms, zone),
        Some(Moment::After(wait)) => before.plus_ms(i64::try_from(wait.as_ms()).unwrap_or(i64::MAX)),
        Some(Moment::Instant(instant)) => instant,
    }
}

/// Waits until nothing more happens by itself now, and takes in what would be delivered.
async fn pass(engine: &Engine, config: &Config, delivered: &mut Delivered, now: Timestamp) -> Result<(), EngineError> {
    loop {
        rest(engine, now).await;
        if !delivered.take(engine, config).await? {
            return Ok(());
        }
    }
}

/// Waits until everything that has arrived is folded and every timer due has fired.
async fn rest(engine: &Engine, now: Timestamp) {
    loop {
        let arrived = engine.intake().reader().durable_end() <= engine.ledger().intake_through();
        let fired = {
            let state = engine.ledger().state();
            state.due(now, 1).is_ok_and(|due| due.is_empty()) && state.changing(now, 1).is_ok_and(|changing| changing.is_empty())
        };
        let durable = engine.ledger().history().durable_end() >= engine.ledger().state().position();
        let compared = engine.matcher().is_idle(engine.ledger());
        if (arrived && fired && durable && compared) || engine.report().trouble.is_some() {
            return;
        }
        tokio::time::sleep(std::time::Duration::from_millis(1)).await;
    }
}

/// Moves the clock from timer to timer until none is left.
async fn run_down(engine: &Engine, config: &Config, delivered: &mut Delivered, clock: &Clock) -> Result<(), EngineError> {
    for _ in 0..TIMERS_MAX {
        pass(engine, config, delivered, clock.now()).await?;
        let next = engine.ledger().state().due(Timestamp(i64::MAX), 1).ok().and_then(|due| due.first().copied());
        let Some((due, _)) = next else { return Ok(()) };
        clock.set(due.max(clock.now()));
    }
    Ok(())
}

async fn tell(engine: &Engine, config: &Config, given: &Given, now: Timestamp) -> Result<(), EngineError> {
    let source = given.source.as_ref().or_else(|| config.sources.keys().next());
    let Some(source) = source else { return Err(EngineError::Broken("there is no source to tell an event".into())) };
    let environment = config.sources.get(source).map(|source| source.environment).unwrap_or_default();
    let mut event = event_of(given);
    // Checked as a plugin's would be.
    event = Event::parse(&event.to_json()).map_err(|message| EngineError::Broken(format!("a given event: {message}")))?;
    event.occurred = Some(now);
    event.stamp(now, environment);
    let mut arrived = Arrived::default();
    let named = if event.message_id.is_some() { Named::BySender } else { Named::ByPlace };
    arrived.push(&Arrival::Event { source, named, json: &event.to_json() });
    engine.intake().append(arrived).await.map_err(|error| EngineError::Broken(error.to_string()))?;
    Ok(())
}

fn event_of(given: &Given) -> Event {
    let mut event = Event::parse(br#"{"type":"page"}"#).expect("it is an event");
    event.kind = given.kind;
    event.name.clone_from(&given.event);
    event.message_id.clone_from(&given.message_id);
    event.environment = given.environment;
    event.traits.clone_from(&given.traits);
    event.products.clone_from(&given.products);
    event.context.clone_from(&given.context);
    event.consent.clone_from(&given.consent);
    event.group.clone_from(&given.group);
    if !given.properties.is_empty() {
        let text = serde_json::to_string(&given.properties).expect("properties are JSON");
        event.properties = Json::parse(&text).ok();
    }
    let named =
        [("user_id", &given.user_id), ("anonymous_id", &given.anonymous_id), ("email", &given.email), ("phone", &given.phone)];
    let named = named.into_iter().filter_map(|(kind, value)| Some((kind, value.as_deref()?)));
    let others = given.identifiers.iter().map(|(kind, value)| (&**kind, &**value));
    let identifier = |(kind, value): (&str, &str), how| Identifier { kind: kind.into(), value: value.into(), how };
    event.claims = named.chain(others).map(|one| identifier(one, Learnt::Observed)).collect();
    event.claims.extend(given.previous_id.iter().map(|value| identifier(("user_id", value), Learnt::Alias)));
    event
}

fn compare(engine: &Engine, delivered: Delivered, expected: &Expected, now: Timestamp) -> Vec<String> {
    let mut failures = Vec::new();
    let customers = engine.ledger().state().totals().customers;
    if let Some(want) = expected.customers.filter(|want| *want != customers) {
        failures.push(format!("expected {want} customers, and there are {customers}"));
    }
    for want in expected.profiles.iter().flatten() {
        failures.extend(compare_profile(engine, want, now));
    }
    if let Some(want) = &expected.deliveries {
        failures.extend(compare_deliveries(&delivered.all(), want));
    }
    failures
}

/// The identifiers that an expectation names.
fn identifiers<'a>(
    named: [(&'static str, &'a Option<String>); 4],
    others: impl Iterator<Item = (&'a String, &'a String)>,
) -> Vec<(&'a str, &'a str)> {
    let named = named.into_iter().filter_map(|(kind, value)| Some((kind, value.as_deref()?)));
    named.chain(others.map(|(kind, value)| (&**kind, &**value))).collect()
}

fn compare_profile(engine: &Engine, want: &ExpectedProfile, now: Timestamp) -> Vec<String> {
    let named =
        [("user_id", &want.user_id), ("anonymous_id", &want.anonymous_id), ("email", &want.email), ("phone", &want.phone)];
    let wanted = identifiers(named, want.identifiers.iter());
    let state = engine.ledger().state();
    let find = |(kind, value): &(&str, &str)| whose(&*state, kind, value).ok().flatten();
    let found: Vec<Option<CustomerId>> = wanted.iter().map(find).collect();
    let shown = wanted.iter().map(|(kind, value)| format!("{kind} {value}")).collect::<Vec<_>>().join(", ");
    let Some(Some(id)) = found.first() else { return vec![format!("expected a customer with {shown}, and there is none")] };
    if found.iter().any(|other| *other != Some(*id)) {
        return vec![format!("expected one customer with {shown}, and they are not one customer's")];
    }
    let portrayed = portray(state.plan(), &*state, *id, now);
    let Ok(Some(Portrait { explained, .. })) = portrayed else {
        return vec![format!("the customer with {shown} cannot be read")];
    };
    drop(state);
    let mut failures = compare_facts(&shown, &explained.profile, want);
    if let Some(events) = want.events.filter(|events| *events != explained.profile.events_total) {
        let have = explained.profile.events_total;
        failures.push(format!("{shown}: expected {events} events, and there are {have}"));
    }
    failures
}

fn compare_facts(shown: &str, profile: &Profile, want: &ExpectedProfile) -> Vec<String> {
    let mut failures = Vec::new();
    let traits = want.traits.iter().map(|(name, value)| ("trait", name, value, profile.traits.get(name)));
    let attributes = want.attributes.iter().map(|(name, value)| ("attribute", name, value, profile.attributes.get(name)));
    for (what, name, value, have) in traits.chain(attributes) {
        let wanted = || format!("{shown}: expected the {what} `{name}` to be {}", value.text());
        match have {
            Some(have) if have == value => (),
            None if value.is_null() => (),
            Some(have) => failures.push(format!("{}, and it is {}", wanted(), have.text())),
            None => failures.push(format!("{}, and there is none", wanted())),
        }
    }
    for (purpose, given) in &want.consent.0 {
        let have = profile.consent.0.get(purpose);
        if have != Some(given) {
            failures.push(format!("{shown}: expected consent to `{purpose}` to be {given}, and it is {have:?}"));
        }
    }
    failures
}

/// A delivery that a destination would have got.
struct Delivery {
    to: String,
    json: Value,
}

/// What destinations would have got until now: events in the order of history, and profiles in the order of their numbers.
#[derive(Default)]
struct Delivered {
    events: Vec<Delivery>,
    /// By destination.
    profiles: BTreeMap<String, Vec<Delivery>>,
    /// The place in history before which everything was looked at.
    through: u64,
    /// The same, of the profiles of each destination.
    numbers: BTreeMap<String, u64>,
}

impl Delivered {
    /// Takes in what would leave now, by what people have said until now. Whether there was anything that may have consequences.
    async fn take(&mut self, engine: &Engine, config: &Config) -> Result<bool, EngineError> {
        self.take_events(engine, config)?;
        let mut has_more = false;
        for (to, destination) in &config.destinations {
            let Some(receipts) = self.take_profiles(engine, to, destination.consent.as_ref())? else { continue };
            engine
                .ledger()
                .log(Input::Receipts(receipts))
                .await
                .ok_or_else(|| EngineError::Broken("the writer has ended".into()))?;
            has_more = true;
        }
        Ok(has_more)
    }

    fn take_events(&mut self, engine: &Engine, config: &Config) -> Result<(), EngineError> {
        let history = engine.ledger().history();
        let filter = |(name, destination): (&String, &Destination)| {
            let names = match destination.events.as_ref()? {
                crate::config::EventsSpec::Named(names) => names.clone(),
                crate::config::EventsSpec::All(_) => Vec::new(),
            };
            Some((name.clone(), destination.consent.clone(), Filter { environment: Some(destination.environment), names }))
        };
        let filters: Vec<_> = config.destinations.iter().filter_map(filter).collect();
        let from = self.through.max(history.start());
        self.through = history.durable_end();
        for position in from..self.through {
            let Ok(record) = history.record(position) else { continue };
            let Some(json) = event_json(record.kind, &record.bytes) else { continue };
            for (to, rule, _) in filters.iter().filter(|(.., filter)| filter.wants(json)) {
                let state = engine.ledger().state();
                let leaves = match (rule, Event::parse(json)) {
                    (Some(rule), Ok(event)) => permission::of_event(rule, &*state, &config.identity, &event).map_err(unread)?,
                    _ => Permission::Granted,
                };
                if leaves == Permission::Granted {
                    self.events.push(Delivery { to: to.clone(), json: serde_json::from_slice(json).unwrap_or_default() });
                }
            }
        }
        Ok(())
    }

    /// The receipts, where the destination asks for consent: what it has follows from them.
    fn take_profiles(&mut self, engine: &Engine, to: &str, rule: Option<&Rule>) -> Result<Option<Receipts>, EngineError> {
        let state = engine.ledger().state();
        let end = state.lane(to).map_err(unread)?.profiles_next;
        let from = self.numbers.insert(to.to_owned(), end).unwrap_or(0);
        let mut withheld = Withheld::default();
        for number in from..end {
            let Some(text) = state.delivery(to, number).map_err(unread)? else { continue };
            match rule.map(|rule| permission::of_profile(rule, &*state, text.as_bytes())).transpose().map_err(unread)? {
                Some(Permission::Withheld(missing)) => {
                    *withheld.by_reason.entry(missing.to_string()).or_default() += 1;
                    withheld.profiles.push(number);
                }
                _ => {
                    let json = serde_json::from_str(&text).unwrap_or_default();
                    self.profiles.entry(to.to_owned()).or_default().push(Delivery { to: to.to_owned(), json });
                }
            }
        }
        let (lane, stream, rejected) = (to.to_owned(), Stream::Profiles, Vec::new());
        let receipts = Receipts { lane, stream, through: end, rejected, again: Vec::new(), at: None, withheld };
        Ok(Some(receipts).filter(|_| rule.is_some() && from < end))
    }

    fn all(self) -> Vec<Delivery> {
        self.events.into_iter().chain(self.profiles.into_values().flatten()).collect()
    }
}

fn unread(error: ViewError) -> EngineError {
    EngineError::Broken(error.to_string())
}

fn compare_deliveries(have: &[Delivery], want: &[ExpectedDelivery]) -> Vec<String> {
    let mut failures = Vec::new();
    for (place, want) in want.iter().enumerate() {
        match have.get(place) {
            None => failures.push(format!("expected delivery {} to `{}`, and there are only {}", place + 1, want.to, have.len())),
            Some(have) => failures.extend(compare_delivery(place + 1, have, want)),
        }
    }
    if have.len() > want.len() {
        let more = &have[want.len()];
        let count = have.len() - want.len();
        failures.push(format!("{count} deliveries more than expected; the first of them to `{}`: {}", more.to, more.json));
    }
    failures
}

fn compare_delivery(number: usize, have: &Delivery, want: &ExpectedDelivery) -> Vec<String> {
    let mut failures = Vec::new();
    let mut differs =
        |what: &str, want: &str| failures.push(format!("delivery {number}: expected {what} {want}, and it is {}", have.json));
    if have.to != want.to {
        differs("it to go to", &want.to);
    }
    if let Some(event) = want.event.as_ref().filter(|event| have.json["name"] != ***event) {
        differs("the event", event);
    }
    if let Some(withdrawn) = want.withdrawn.filter(|withdrawn| *withdrawn != (have.json["withdrawn"] == Value::Bool(true))) {
        differs("`withdrawn` to be", &withdrawn.to_string());
    }
    let claims = ["claims", "identifiers"].map(|key| have.json[key].as_array().cloned().unwrap_or_default()).concat();
    let named =
        [("user_id", &want.user_id), ("anonymous_id", &want.anonymous_id), ("email", &want.email), ("phone", &want.phone)];
    for (kind, value) in identifiers(named, std::iter::empty()) {
        if !claims.iter().any(|one| one["type"] == *kind && one["value"] == *value) {
            differs(kind, value);
        }
    }
    for (section, facts) in [("traits", &want.traits), ("properties", &want.properties)] {
        for (name, value) in facts {
            let wanted: Value = serde_json::from_str(value.text()).unwrap_or_default();
            if have.json[section][name] != wanted {
                differs(&format!("{section}.{name} to be"), value.text());
            }
        }
    }
    failures
}
