//! What customers' events come to, over thousands of small worlds: late events, repetitions, merges, splits, retractions, the passing of time,
//! and attributes that come and go. Whatever happened, it must be what a plain look at the list of a customer's events gives, what a
//! fresh fold gives, and what destinations heard last (invariants 4 to 6).

use std::collections::{BTreeMap, BTreeSet};
use std::sync::LazyLock;

use proptest::prelude::*;
use weft_conditions::Condition;
use weft_domain::attribute::{Attribute, Calculation, Meaning, Of, Streak, Window, Zone};
use weft_domain::claim::{ClaimId, CustomerId, fingerprint};
use weft_domain::document::Document;
use weft_domain::event::{Event, Identifier, Kind, Learnt};
use weft_domain::fold::{fold, is_repetition};
use weft_domain::input::{Command, Erase, Input, Sweep, Swept};
use weft_domain::measure::Count;
use weft_domain::path::Path;
use weft_domain::plan::Plan;
use weft_domain::portrait::portray;
use weft_domain::profile::Told;
use weft_domain::value::{Json, Timestamp};
use weft_domain::view::{Memory, View};

const HOUR: i64 = 3_600_000;
/// 2026-01-01, so that days are those of a zone that puts its clocks forward in between.
const BEGIN: i64 = 1_767_225_600_000;

/// Something that happens.
#[derive(Clone, Debug)]
enum Happening {
    /// An event, so many hours late.
    Event { late: i64, identifiers: Vec<(usize, u8)>, name: usize, total: u8, category: u8, tags: Vec<u8> },
    /// An event that was told before is told again.
    Again(prop::sample::Index),
    /// A claim was a mistake; or it was none.
    Retract(prop::sample::Index, bool),
    /// A customer is erased.
    Erase(prop::sample::Index),
    /// So many hours pass.
    Wait(i64),
    /// Which attributes there are is another: those whose bit is set.
    Plan(u32),
    /// The worker goes through so many claims.
    Sweep(usize),
}

fn happening() -> impl Strategy<Value = Happening> {
    let identifiers = prop::collection::vec((0..4_usize, 0..3_u8), 1..3);
    let tags = prop::collection::vec(0..4_u8, 0..3);
    let event = (prop_oneof![3 => Just(0), 1 => 0..200_i64], identifiers, 0..3_usize, 0..9_u8, 0..4_u8, tags).prop_map(
        |(late, identifiers, name, total, category, tags)| Happening::Event { late, identifiers, name, total, category, tags },
    );
    prop_oneof![
        12 => event,
        1 => any::<prop::sample::Index>().prop_map(Happening::Again),
        1 => (any::<prop::sample::Index>(), any::<bool>()).prop_map(|(which, back)| Happening::Retract(which, back)),
        1 => any::<prop::sample::Index>().prop_map(Happening::Erase),
        4 => (1..40_i64).prop_map(Happening::Wait),
        1 => any::<u32>().prop_map(Happening::Plan),
        2 => (1..4_usize).prop_map(Happening::Sweep),
    ]
}

const KINDS: [&str; 4] = ["user_id", "email", "phone", "anonymous_id"];
const NAMES: [&str; 3] = ["Order Completed", "Product Viewed", "Signed In"];

/// One attribute of every kind, over every kind of window.
static ATTRIBUTES: LazyLock<Vec<Attribute>> = LazyLock::new(|| {
    let path = |text: &str| Of::Path(Path::try_from(text.to_owned()).expect("a path"));
    let zone = || Zone::try_from("Europe/Berlin".to_owned()).expect("a zone");
    let (total, category, price) = (path("properties.total"), path("properties.category"), path("products[].price"));
    let (ever, week, since) = (Window::Ever, Window::Within(7 * 24 * HOUR), Window::Since(Timestamp(BEGIN + 100 * HOUR)));
    let cheap = "event.name == 'Order Completed' && event.properties.category == 'c1'";
    let all = [
        (Calculation::Count, Of::Nothing, ever, None),
        (Calculation::Count, Of::Nothing, week, Some(cheap)),
        (Calculation::Count, path("products[]"), Window::Within(90_001), None),
        (Calculation::Sum, total.clone(), ever, None),
        (Calculation::Sum, price.clone(), week, None),
        (Calculation::Sum, total.clone(), since, None),
        (Calculation::Min, price.clone(), ever, None),
        (Calculation::Max, total.clone(), week, None),
        (Calculation::Average, total.clone(), ever, Some(cheap)),
        (Calculation::Average, price, since, None),
        (Calculation::MostFrequent, category.clone(), ever, None),
        (Calculation::MostFrequent, category.clone(), week, None),
        (Calculation::UniqueCount, path("properties.tags[]"), week, None),
        (Calculation::UniqueCount, path("properties.tags[]"), ever, None),
        (Calculation::UniqueList { at_most: 2 }, path("properties.tags[]"), ever, None),
        (Calculation::UniqueList { at_most: 3 }, category.clone(), week, None),
        (Calculation::First, category.clone(), ever, None),
        (Calculation::First, path("properties.tags[]"), week, None),
        (Calculation::Last, path("properties.tags[]"), ever, None),
        (Calculation::Last, category, since, None),
        (Calculation::FirstAt, Of::Nothing, week, None),
        (Calculation::LastAt, Of::Nothing, ever, Some(cheap)),
        (Calculation::Streak { of: Streak::Current, zone: zone() }, Of::Nothing, ever, None),
        (Calculation::Streak { of: Streak::Longest, zone: zone() }, Of::Nothing, since, None),
    ];
    let attribute = |(place, (calculation, of, window, condition)): (usize, (Calculation, Of, Window, Option<&str>))| {
        let condition = condition.map(|text| Condition::parse(text).expect("a condition"));
        let events = if place % 3 == 0 { vec![NAMES[0].to_owned(), NAMES[1].to_owned()] } else { Vec::new() };
        Attribute::new(format!("a{place}"), Meaning { calculation, of, events, kind: Some(Kind::Track), condition, window })
    };
    let traits = [
        Attribute::of_trait("plan", Calculation::First),
        Attribute::of_trait("city", Calculation::MostTrusted { sources: vec!["crm".into(), "web".into()] }),
        Attribute::of_trait("tags", Calculation::UniqueList { at_most: 3 }),
        Attribute::of_trait("notes", Calculation::List { at_most: 2 }),
    ];
    all.into_iter().enumerate().map(attribute).chain(traits).collect()
});

fn plan(bits: u32) -> Plan {
    let chosen = ATTRIBUTES.iter().cloned().enumerate().filter(|(place, _)| bits >> place & 1 == 1);
    let mut attributes: Vec<Attribute> = chosen.map(|(_, attribute)| attribute).collect();
    attributes.sort_by_key(|attribute| (attribute.id, attribute.name.clone()));
    Plan { profile_lanes: vec!["lake".into()], attributes, ..Plan::default() }
}

/// A world with a history, and what was told in it.
struct World {
    now: i64,
    state: Memory,
    history: Vec<Input>,
    /// The places in history that are empty by now.
    gone: BTreeSet<u64>,
}

impl World {
    fn of(happenings: &[Happening], bits: u32) -> World {
        let mut world = World { now: BEGIN, state: Memory::default(), history: Vec::new(), gone: BTreeSet::new() };
        world.take(Input::Plan(plan(bits)));
        happenings.iter().for_each(|happening| world.happen(happening));
        world
    }

    fn take(&mut self, input: Input) {
        let before = self.state.plan.clone();
        let changes = fold(&before, &self.state, self.history.len() as u64, &input).expect("memory can be read");
        self.state.apply(changes);
        self.history.push(input);
    }

    fn happen(&mut self, happening: &Happening) {
        let told = self.told().count();
        match happening {
            Happening::Event { .. } => {
                let (event, source) = self.event(happening);
                self.tell(event, source);
            }
            Happening::Again(which) if told > 0 => {
                let (event, source) = self.told().nth(which.index(told)).expect("it was told");
                let (event, source) = (event.clone(), source.to_owned());
                self.tell(event, &source);
            }
            Happening::Retract(which, back) if !self.state.claims.is_empty() => {
                let claim = *self.state.claims.keys().nth(which.index(self.state.claims.len())).expect("it is there");
                let retract = Command::Retract { claim, reason: "a mistake".into() };
                self.take(Input::Command(if *back { Command::Restore { claim } } else { retract }));
            }
            Happening::Erase(which) => self.erase(which),
            Happening::Wait(hours) => {
                self.now += hours * HOUR;
                self.tick();
            }
            Happening::Plan(bits) => self.take(Input::Plan(plan(*bits))),
            Happening::Sweep(claims) => self.sweep(*claims),
            Happening::Again(_) | Happening::Retract(..) => (),
        }
    }

    fn event(&self, happening: &Happening) -> (Event, &'static str) {
        let Happening::Event { late, identifiers, name, total, category, tags } = happening else { panic!("it is no event") };
        let place = self.history.len();
        let tags: Vec<String> = tags.iter().map(|tag| format!("\"t{tag}\"")).collect();
        // Now and then a value of another type, or none.
        let total = match total {
            0 => "\"free\"".to_owned(),
            1 => "null".to_owned(),
            total => format!("{total}.1{}", place % 10),
        };
        let products: Vec<String> = (0..tags.len()).map(|tag| format!("{{\"price\":{category}.5{}}}", tag + 1)).collect();
        let list = format!("[{}]", tags.join(","));
        let properties = format!("{{\"total\":{total},\"category\":\"c{category}\",\"tags\":{list}}}");
        let city = if *category == 3 { "null".to_owned() } else { format!("\"k{category}\"") };
        let traits = format!(
            "{{\"plan\":{total},\"city\":{city},\"tags\":{},\"notes\":{city}}}",
            if *category == 3 { "null" } else { &list }
        );
        let products = products.join(",");
        let text = format!(
            r#"{{"type":"track","name":"{}","message_id":"m{place}","traits":{traits},"properties":{properties},"products":[{products}]}}"#,
            NAMES[*name]
        );
        let mut event = Event::parse(text.as_bytes()).unwrap_or_else(|error| panic!("{error}: {text}"));
        event.occurred = Some(Timestamp((self.now - late * HOUR).max(BEGIN)));
        event.received = Some(Timestamp(self.now));
        let identifier = |(kind, value): &(usize, u8)| Identifier {
            kind: KINDS[*kind].into(),
            value: format!("v{value}"),
            how: Learnt::Observed,
        };
        event.claims = identifiers.iter().map(identifier).collect();
        (event, ["web", "crm", "shop"][place % 3])
    }

    fn tell(&mut self, event: Event, source: &str) {
        // A moment for each, so that seldom two occurred at the same time.
        self.now += 7;
        if !is_repetition(&self.state, &event) {
            self.take(Input::Event { source: source.into(), intake: 0, event: Box::new(event) });
        }
    }

    /// Erases one of the customers, with what waits to be delivered of them.
    fn erase(&mut self, which: &prop::sample::Index) {
        let customers = self.customers();
        if customers.is_empty() {
            return;
        }
        let claims = customers.into_values().nth(which.index(self.customers().len())).expect("it is there");
        self.gone.extend(claims.iter().flat_map(|claim| &self.state.nodes[claim].page).map(|entry| entry.position));
        let is_told_of = |told: &str| claims.iter().any(|claim| told.contains(&claim.to_string()));
        let of_them = self.state.deliveries.iter().filter(|(_, told)| is_told_of(told));
        let deliveries = of_them.map(|(id, _)| id.clone()).collect();
        let claims = claims.into_iter().collect();
        self.take(Input::Command(Command::Erase(Box::new(Erase {
            erasure: "e".into(),
            claims,
            deliveries,
            ..Erase::default()
        }))));
    }

    /// Events with their places and sources, as history has them.
    fn placed(&self) -> impl Iterator<Item = (u64, &Event, &str)> {
        (0..).zip(&self.history).filter(|(place, _)| !self.gone.contains(place)).filter_map(|(place, input)| match input {
            Input::Event { event, source, .. } => Some((place, &**event, &**source)),
            _ => None,
        })
    }

    /// Events with their sources.
    fn told(&self) -> impl Iterator<Item = (&Event, &str)> {
        self.placed().map(|(_, event, source)| (event, source))
    }

    /// Tells the time until nothing is due.
    fn tick(&mut self) {
        for _ in 0..100 {
            self.take(Input::Tick(Timestamp(self.now)));
            let due = self.state.due(Timestamp(self.now), 1).expect("readable");
            if due.is_empty() && self.state.changing(Timestamp(self.now), 1).expect("readable").is_empty() {
                return;
            }
        }
        panic!("timers are due for ever");
    }

    /// Goes through so many claims, as the worker does: from the history that was there before the plan.
    fn sweep(&mut self, claims: usize) {
        let standings = self.state.standings();
        let Some(pass) = standings.passes.first() else { return };
        let known: Vec<ClaimId> = self.state.nodes.keys().copied().collect();
        let from = pass.after.map_or(0, |(after, _)| known.partition_point(|claim| *claim <= after));
        let some = &known[from..(from + claims).min(known.len())];
        let plan = self.state.plan.clone();
        let attributes: Vec<&Attribute> = plan.meanings().filter(|one| pass.attributes.contains(&one.id)).collect();
        let swept = some.iter().map(|claim| {
            let mut count = Count::begin(attributes.clone(), Timestamp(self.now));
            for (position, event, source) in self.placed().filter(|(place, ..)| *place < pass.since) {
                if ClaimId::of(&plan.identity.identifying(&event.claims)) == *claim {
                    let tie = fingerprint(event.message_id.as_deref().unwrap_or_default());
                    count.take(&Told { event, source, position, tie });
                }
            }
            let tallies = count.tallies.into_iter().map(|((id, stretch), tally)| (id, stretch, tally)).collect();
            Swept { claim: *claim, tallies, unusable: count.unusable.into_iter().collect() }
        });
        let claims: Vec<Swept> = swept.collect();
        let last = weft_domain::attribute::AttributeId(u64::MAX);
        let through = some.last().filter(|_| from + some.len() < known.len()).map(|claim| (*claim, last));
        let sweep = Input::Sweep(Sweep { since: pass.since, after: pass.after, through, claims, missing: 0 });
        // As it is read from history.
        let mut bytes = Vec::new();
        let kind = sweep.encode(&mut bytes);
        let sweep = Input::decode(kind, &bytes).expect("it reads back");
        self.take(sweep.clone());
        // A piece that comes again, as after a crash, counts for nothing.
        self.take(sweep);
    }

    /// All passes, to their end.
    fn build(&mut self) {
        while !self.state.standings().passes.is_empty() {
            self.sweep(2);
        }
    }

    fn customers(&self) -> BTreeMap<CustomerId, BTreeSet<ClaimId>> {
        let mut customers: BTreeMap<CustomerId, BTreeSet<ClaimId>> = BTreeMap::new();
        for (claim, node) in &self.state.nodes {
            customers.entry(node.customer.expect("a customer")).or_default().insert(*claim);
        }
        customers
    }

    /// What every customer's events come to, by customer and name.
    fn measured(&self) -> BTreeMap<(CustomerId, String), Option<String>> {
        let mut all = BTreeMap::new();
        for id in self.customers().keys() {
            let portrait =
                portray(&self.state.plan, &self.state, *id, Timestamp(self.now)).expect("readable").expect("a customer");
            for attribute in &self.state.plan.attributes {
                let profile = &portrait.explained.profile;
                let values = if attribute.is_trait { &profile.traits } else { &profile.attributes };
                all.insert((*id, attribute.name.clone()), values.get(&attribute.name).map(|value| value.text().to_owned()));
            }
        }
        all
    }

    /// The same by a plain look at the list of each customer's events.
    fn expected(&self) -> BTreeMap<(CustomerId, String), Option<String>> {
        let mut all = BTreeMap::new();
        let rules = &self.state.plan.identity;
        for (id, claims) in self.customers() {
            let its = |(event, _): &(&Event, &str)| claims.contains(&ClaimId::of(&rules.identifying(&event.claims)));
            let mut events: Vec<(&Event, &str)> = self.told().filter(its).collect();
            events.sort_by_key(|(event, _)| (event.occurred(), fingerprint(event.message_id.as_deref().unwrap_or_default())));
            for attribute in &self.state.plan.attributes {
                all.insert((id, attribute.name.clone()), plainly(attribute, &events, self.now));
            }
        }
        all
    }
}

/// What an attribute comes to, by the list of a customer's events in the order of time.
fn plainly(attribute: &Attribute, events: &[(&Event, &str)], now: i64) -> Option<String> {
    let Meaning { calculation, of, events: names, condition, window, .. } = &attribute.meaning;
    let counts = |event: &Event| {
        let document = Document::of(event);
        let in_window = match window {
            Window::Ever => true,
            Window::Within(ms) => event.occurred().0 + ms > now,
            Window::Since(since) => event.occurred() >= *since,
        };
        in_window
            && (names.is_empty() || names.contains(event.name.as_ref().expect("a name")))
            && condition.as_ref().is_none_or(|condition| condition.is_met(document.fields()))
    };
    // Each value with the time and the source of its event; nulls of traits take away.
    let mut values: Vec<(serde_json::Value, i64, &str)> = Vec::new();
    for (event, source) in events.iter().filter(|(event, _)| counts(event)) {
        let json: serde_json::Value = serde_json::from_slice(&event.to_json()).expect("JSON");
        let found: Vec<serde_json::Value> = match of {
            Of::Nothing => vec![true.into()],
            Of::Path(path) => match path.to_string().as_str() {
                "products[]" => json["products"].as_array().cloned().unwrap_or_default(),
                "products[].price" => {
                    json["products"].as_array().into_iter().flatten().map(|product| product["price"].clone()).collect()
                }
                "properties.tags[]" => json["properties"]["tags"].as_array().cloned().unwrap_or_default(),
                "properties.total" => vec![json["properties"]["total"].clone()],
                _ => vec![json["properties"]["category"].clone()],
            },
            Of::Trait(name) => match &json["traits"][name] {
                serde_json::Value::Array(list) => list.clone(),
                serde_json::Value::Null if *calculation == Calculation::First => Vec::new(),
                one => vec![one.clone()],
            },
        };
        let is_trait = matches!(of, Of::Trait(_));
        values.extend(
            found.into_iter().filter(|value| is_trait || !value.is_null()).map(|value| (value, event.occurred().0, *source)),
        );
    }
    let cents = |value: &serde_json::Value| {
        let text = value.as_number()?.to_string();
        let (whole, rest) = text.split_once('.').unwrap_or((&text, ""));
        Some(whole.parse::<i64>().ok()? * 10_000 + format!("{rest:0<4}").parse::<i64>().ok()?)
    };
    let decimal = |cents: i64| {
        let text = format!("{}.{:04}", cents / 10_000, cents % 10_000);
        text.trim_end_matches('0').trim_end_matches('.').to_owned()
    };
    let numbers: Vec<i64> = values.iter().filter_map(|(value, ..)| cents(value)).collect();
    let texts: Vec<String> = values.iter().map(|(value, ..)| value.to_string()).collect();
    let time = |at: Option<&(serde_json::Value, i64, &str)>| at.map(|(_, at, _)| format!("\"{}\"", Timestamp(*at)));
    // What remains after the last null, and of each value the last occurrence.
    let kept = || texts[texts.iter().rposition(|text| text == "null").map_or(0, |place| place + 1)..].to_vec();
    let list = |texts: &[String]| if texts.is_empty() { None } else { Some(format!("[{}]", texts.join(","))) };
    match calculation {
        Calculation::Count => Some(values.len().to_string()),
        Calculation::Sum => Some(decimal(numbers.iter().sum())),
        Calculation::Min => numbers.iter().min().map(|cents| decimal(*cents)),
        Calculation::Max => numbers.iter().max().map(|cents| decimal(*cents)),
        Calculation::Average => {
            let (sum, count) = (numbers.iter().map(|cents| i128::from(*cents)).sum::<i128>(), numbers.len() as i128);
            if count == 0 {
                return None;
            }
            let (scaled, left) = (sum * 1_000_000 / count, sum * 1_000_000 % count);
            let up = 2 * left > count || (2 * left == count && scaled % 2 == 1);
            let digits = scaled + i128::from(up);
            let text = format!("{}.{:010}", digits / 10_000_000_000, digits % 10_000_000_000);
            Some(text.trim_end_matches('0').trim_end_matches('.').to_owned())
        }
        Calculation::MostFrequent => {
            let count = |text: &String| texts.iter().filter(|other| *other == text).count();
            let last = |text: &String| texts.iter().rposition(|other| other == text);
            texts.iter().max_by_key(|text| (count(text), last(text))).cloned()
        }
        Calculation::UniqueCount => Some(texts.iter().collect::<BTreeSet<_>>().len().to_string()),
        Calculation::UniqueList { at_most } => {
            let mut latest: Vec<String> = Vec::new();
            for text in kept().iter().rev() {
                if !latest.contains(text) && latest.len() < *at_most as usize {
                    latest.push(text.clone());
                }
            }
            latest.sort();
            list(&latest)
        }
        Calculation::List { at_most } => {
            let kept = kept();
            list(&kept[kept.len().saturating_sub(*at_most as usize)..])
        }
        Calculation::First => texts.first().cloned(),
        Calculation::Last => texts.last().cloned(),
        Calculation::FirstAt => time(values.first()),
        Calculation::LastAt => time(values.last()),
        Calculation::MostTrusted { sources } => {
            let rank = |source: &str| sources.iter().position(|one| one == source).unwrap_or(sources.len());
            let best = values.iter().map(|(_, _, source)| rank(source)).min()?;
            let decides = values.iter().rev().find(|(_, _, source)| rank(source) == best)?;
            Some(decides.0.to_string()).filter(|text| text != "null")
        }
        Calculation::Streak { of, zone } => {
            let days: BTreeSet<i32> = values.iter().map(|(_, at, _)| zone.day(Timestamp(*at))).collect();
            let run = |last: i32| (0..).take_while(|back| days.contains(&(last - back))).count();
            let today = zone.day(Timestamp(now));
            Some(match of {
                Streak::Longest => days.iter().map(|day| run(*day)).max().unwrap_or(0).to_string(),
                Streak::Current => run(if days.contains(&today) { today } else { today - 1 }).to_string(),
            })
        }
    }
}

/// All of them: the first plan has every attribute.
const EVERY: u32 = u32::MAX;

proptest! {
    #![proptest_config(ProptestConfig { cases: cases(), failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn what_events_come_to_is_what_a_list_of_them_says(happenings in prop::collection::vec(happening(), 1..40), bits in any::<u32>()) {
        let mut world = World::of(&happenings, bits);
        world.build();
        prop_assert_eq!(world.measured(), world.expected());
        let nodes = &world.state.nodes;
        prop_assert!(world.state.tallies.keys().all(|(claim, ..)| nodes.contains_key(claim)), "a tally of who was erased is left");
        prop_assert!(world.state.changing.iter().all(|(_, claim)| nodes.contains_key(claim)), "a timer of who was erased is left");
        // And a fresh fold of history gives the same state.
        let mut again = World { now: world.now, state: Memory::default(), history: Vec::new(), gone: BTreeSet::new() };
        world.history.iter().for_each(|input| again.take(input.clone()));
        prop_assert_eq!(&again.state.tallies, &world.state.tallies);
        prop_assert_eq!(&again.state.nodes, &world.state.nodes);
        prop_assert_eq!(&again.state.standings, &world.state.standings);
    }

    #[test]
    fn nothing_is_left_behind(happenings in prop::collection::vec(happening(), 1..40)) {
        let mut world = World::of(&happenings, EVERY);
        world.take(Input::Plan(plan(0)));
        world.build();
        prop_assert!(world.state.tallies.is_empty());
        prop_assert!(world.state.nodes.values().all(|node| node.tallies.is_empty()));
        world.now += 1_000 * HOUR;
        world.tick();
        prop_assert!(world.state.changing.is_empty());
    }

    #[test]
    fn the_order_of_arrival_does_not_matter(happenings in prop::collection::vec(happening(), 1..20), seed in any::<u64>()) {
        let told = World::of(&happenings, EVERY);
        let mut events: Vec<(Event, String)> = told.told().map(|(event, source)| (event.clone(), source.to_owned())).collect();
        let mut worlds = Vec::new();
        for _ in 0..2 {
            let mut world = World { now: told.now, state: Memory::default(), history: Vec::new(), gone: BTreeSet::new() };
            world.take(Input::Plan(plan(EVERY)));
            for (event, source) in &events {
                world.take(Input::Event { source: source.clone(), intake: 0, event: Box::new(event.clone()) });
            }
            worlds.push(world);
            shuffle(&mut events, seed);
        }
        prop_assert_eq!(worlds[0].measured(), worlds[1].measured());
    }

    #[test]
    fn destinations_hear_of_what_time_changes(happenings in prop::collection::vec(happening(), 1..40), waits in prop::collection::vec(1..400_i64, 3)) {
        let mut world = World::of(&happenings, EVERY);
        world.build();
        for wait in waits {
            world.now += wait * HOUR / 2 + 2_000;
            world.tick();
            let mut heard: BTreeMap<(CustomerId, String), Option<String>> = BTreeMap::new();
            for told in world.state.deliveries.values() {
                let told: BTreeMap<String, Json> = serde_json::from_str(told).expect("an object");
                let id: CustomerId = told["customer_id"].as_string().expect("a text").parse().expect("an id");
                heard.retain(|(known, _), _| *known != id);
                if told.contains_key("merged_into") {
                    continue;
                }
                let values = |shelf: &str| -> BTreeMap<String, Json> {
                    told.get(shelf).map(|json| serde_json::from_str(json.text()).expect("an object")).unwrap_or_default()
                };
                let (attributes, traits) = (values("attributes"), values("traits"));
                for attribute in &world.state.plan.attributes {
                    let value = if attribute.is_trait { &traits } else { &attributes }.get(&attribute.name);
                    heard.insert((id, attribute.name.clone()), value.map(|value| value.text().to_owned()));
                }
            }
            prop_assert_eq!(heard, world.measured());
        }
    }
}

fn shuffle<T>(things: &mut [T], mut seed: u64) {
    for place in (1..things.len()).rev() {
        seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        things.swap(place, (seed >> 33) as usize % (place + 1));
    }
}

/// Thousands of worlds; each of `WEFT_SEEDS` stands for ten more.
fn cases() -> u32 {
    let seeds: Option<u32> = std::env::var("WEFT_SEEDS").ok().and_then(|text| text.parse().ok());
    seeds.map_or(2_000, |seeds| seeds.saturating_mul(10).max(2_000))
}
