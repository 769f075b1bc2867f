//! Properties of the rules over thousands of small worlds: arrival order does not matter, repetitions change nothing, and a
//! retracted claim leaves no trace (invariants 5 and 6).

use std::collections::BTreeMap;

use proptest::prelude::*;
use weft_domain::claim::ClaimId;
use weft_domain::event::{Event, Identifier, Learnt};
use weft_domain::fold::{fold, is_repetition};
use weft_domain::input::{Command, Input};
use weft_domain::plan::Plan;
use weft_domain::profile::Profile;
use weft_domain::value::Timestamp;
use weft_domain::view::{Memory, View};

/// An event in short: when it occurred, its identifiers as places in small pools, and a city.
#[derive(Clone, Debug)]
struct Told {
    occurred: i64,
    identifiers: Vec<(usize, u8, bool)>,
    city: Option<u8>,
}

const KINDS: [&str; 4] = ["user_id", "email", "phone", "anonymous_id"];

impl Told {
    fn event(&self, place: usize) -> Event {
        let mut event = Event::parse(br#"{"type":"identify"}"#).expect("valid");
        event.occurred = Some(Timestamp(self.occurred));
        event.received = Some(Timestamp(1_000));
        event.message_id = Some(format!("m{place}"));
        event.claims = self.claims();
        if let Some(city) = self.city {
            event.traits.insert("city".into(), weft_domain::value::Json::string(&city.to_string()));
        }
        event
    }

    fn claims(&self) -> Vec<Identifier> {
        let how = |alias: bool| if alias { Learnt::Alias } else { Learnt::Observed };
        let identifier = |(kind, value, alias): &(usize, u8, bool)| Identifier {
            kind: KINDS[*kind].into(),
            value: format!("{}{value}", KINDS[*kind]),
            how: how(*alias && *kind == 0),
        };
        self.identifiers.iter().map(identifier).collect()
    }
}

fn told() -> impl Strategy<Value = Told> {
    let identifier = (0..4usize, 0..4u8, prop::bool::weighted(0.1));
    (0..50i64, prop::collection::vec(identifier, 0..4), prop::option::of(0..5u8)).prop_map(|(occurred, identifiers, city)| Told {
        occurred,
        identifiers,
        city,
    })
}

fn events(told: &[Told]) -> Vec<Event> {
    told.iter().enumerate().map(|(place, told)| told.event(place)).collect()
}

fn plan() -> Plan {
    Plan { profile_lanes: vec!["lake".into()], ..Plan::default() }
}

/// A world in which inputs are folded one after the other, repetitions left out as the writer does.
#[derive(Default)]
struct World {
    state: Memory,
    position: u64,
}

impl World {
    fn of(events: &[Event]) -> World {
        let mut world = World::default();
        events.iter().for_each(|event| world.tell(event));
        world
    }

    fn tell(&mut self, event: &Event) {
        if !is_repetition(&self.state, event) {
            self.take(Input::Event { source: "web".into(), intake: self.position, event: Box::new(event.clone()) });
        }
    }

    fn take(&mut self, input: Input) {
        let changes = fold(&plan(), &self.state, self.position, &input).expect("memory can be read");
        self.state.apply(changes);
        self.position += 1;
    }

    fn profiles(&self) -> Vec<Profile> {
        let mut claims: BTreeMap<_, Vec<ClaimId>> = BTreeMap::new();
        for (id, node) in &self.state.nodes {
            claims.entry(node.customer.expect("every node has a customer")).or_default().push(*id);
        }
        for (id, claims) in &claims {
            let row = self.state.customer(*id).expect("readable").map(|row| row.claims.clone());
            let expected = row.unwrap_or_else(|| vec![(*id).into()]);
            assert_eq!(&expected, claims, "a customer's row names the claims whose nodes name the customer");
        }
        assert_eq!(self.state.totals.customers, claims.len() as u64);
        assert_eq!(self.state.totals.identifiers, self.state.identifiers.len() as u64);
        assert_eq!(self.state.totals.claims, self.state.claims.len() as u64);
        let nodes = |claims: &[ClaimId]| claims.iter().map(|id| self.state.nodes[id].clone()).collect::<Vec<_>>();
        let unite = |(id, claims): (_, Vec<ClaimId>)| {
            let nodes = nodes(&claims);
            Profile::unite(id, &nodes.iter().map(|node| &**node).collect::<Vec<_>>())
        };
        claims.into_iter().map(unite).collect()
    }

    /// The profiles without their ids, in an order of their own.
    fn people(&self) -> Vec<String> {
        let nameless = |profile: &Profile| {
            let identifiers: Vec<&str> = profile.identifiers.iter().map(|one| &*one.value).collect();
            format!("{identifiers:?} {:?} {}", profile.traits, profile.events_total)
        };
        let mut people: Vec<String> = self.profiles().iter().map(nameless).collect();
        people.sort();
        people
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: cases(), failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn the_order_of_arrival_does_not_matter(told in prop::collection::vec(told(), 1..14), seed in any::<u64>()) {
        let events = events(&told);
        let mut shuffled = events.clone();
        shuffle(&mut shuffled, seed);
        let (one, other) = (World::of(&events), World::of(&shuffled));
        prop_assert_eq!(&one.state.claims, &other.state.claims);
        prop_assert_eq!(&one.state.identifiers, &other.state.identifiers);
        prop_assert_eq!(one.profiles(), other.profiles());
    }

    #[test]
    fn repetitions_change_nothing(told in prop::collection::vec(told(), 1..14), seed in any::<u64>()) {
        let events = events(&told);
        let mut world = World::of(&events);
        let before = (world.state.claims.clone(), world.state.nodes.clone(), world.state.totals, world.position);
        let mut again = events;
        shuffle(&mut again, seed);
        again.iter().for_each(|event| world.tell(event));
        prop_assert_eq!(before, (world.state.claims.clone(), world.state.nodes.clone(), world.state.totals, world.position));
    }

    #[test]
    fn a_retracted_claim_leaves_no_trace(told in prop::collection::vec(told(), 1..14), which in any::<prop::sample::Index>(), when in any::<prop::sample::Index>()) {
        let rules = plan().identity;
        let mistaken = ClaimId::of(&rules.identifying(&told[which.index(told.len())].claims()));
        let events = events(&told);
        // One world learns everything and is then told, at some time after the claim was made, that it was a mistake.
        let mut one = World::default();
        let first = told.iter().position(|told| ClaimId::of(&rules.identifying(&told.claims())) == mistaken).expect("it is there");
        let at = first + 1 + when.index(events.len() - first);
        for (place, event) in events.iter().enumerate() {
            if place == at {
                one.take(Input::Command(Command::Retract { claim: mistaken, reason: "a mistake".into() }));
            }
            one.tell(event);
        }
        if at >= events.len() {
            one.take(Input::Command(Command::Retract { claim: mistaken, reason: "a mistake".into() }));
        }
        // In the other the events said no more than who they were about.
        let innocent = |event: &Event| {
            let mut event = event.clone();
            let mut known = rules.identifying(&event.claims);
            if ClaimId::of(&known) == mistaken {
                known.sort_by_key(|one| (one.how, rules.priority(&one.kind)));
                known.truncate(1);
                event.claims = known;
            }
            event
        };
        let other = World::of(&events.iter().map(innocent).collect::<Vec<_>>());
        prop_assert_eq!(one.people(), other.people());
        // And taking the retraction back is as if it had not been.
        one.take(Input::Command(Command::Restore { claim: mistaken }));
        let never = World::of(&events);
        prop_assert_eq!(&one.state.claims, &never.state.claims);
        prop_assert_eq!(one.profiles(), never.profiles());
    }

    #[test]
    fn destinations_end_up_knowing_every_customer(told in prop::collection::vec(told(), 1..14), ticks in prop::collection::vec(any::<bool>(), 14)) {
        let mut world = World::default();
        for (event, tick) in events(&told).iter().zip(ticks) {
            world.tell(event);
            if tick {
                world.take(Input::Tick(Timestamp(10_000)));
            }
        }
        world.take(Input::Tick(Timestamp(10_000)));
        prop_assert!(world.state.timers.is_empty());
        let mut heard: BTreeMap<String, serde_json::Value> = BTreeMap::new();
        for text in world.state.deliveries.values() {
            let told: serde_json::Value = serde_json::from_str(text).expect("valid");
            let id = told["customer_id"].as_str().expect("an id").to_owned();
            if told.get("merged_into").is_some() { heard.remove(&id); } else { heard.insert(id, told); }
        }
        let knows = |told: &serde_json::Value| (told["identifiers"].clone(), told["traits"].clone());
        for profile in world.profiles() {
            let told = heard.remove(&profile.customer_id.to_string()).expect("destinations heard of every customer");
            prop_assert_eq!(knows(&told), knows(&serde_json::to_value(&profile).expect("serialises")));
        }
        prop_assert!(heard.is_empty(), "destinations were told who is gone: {heard:?}");
    }
}

#[test]
fn a_component_stays_whole_at_its_bound() {
    // A chain longer than a component may be, each event naming the last one's identifier and one more.
    let chain: Vec<Told> = (0..weft_domain::limits::COMPONENT_CLAIMS_MAX as i64 + 100)
        .map(|place| Told { occurred: place, identifiers: vec![], city: None })
        .collect();
    let mut events = events(&chain);
    for (place, event) in events.iter_mut().enumerate() {
        let identifier =
            |number: usize| Identifier { kind: "anonymous_id".into(), value: format!("a{number}"), how: Learnt::Observed };
        event.claims = vec![identifier(place), identifier(place + 1)];
    }
    let mut world = World::of(&events);
    let before = world.profiles();
    let total: u64 = before.iter().map(|profile| profile.events_total).sum();
    assert_eq!(total, events.len() as u64, "every event is somebody's");
    let retracted = ClaimId::of(&events[10].claims);
    world.take(Input::Command(Command::Retract { claim: retracted, reason: "a test".into() }));
    assert_ne!(world.profiles(), before);
    world.take(Input::Command(Command::Restore { claim: retracted }));
    assert_eq!(world.profiles(), before);
    for (id, row) in &world.state.identifiers {
        for claim in &row.claims {
            let named = &world.state.claims[claim].identifiers;
            assert!(named.iter().any(|one| weft_domain::claim::IdentifierId::of(&one.kind, &one.value) == *id));
        }
    }
    let named: usize = world.state.claims.values().map(|claim| claim.identifiers.len()).sum();
    assert_eq!(named, world.state.identifiers.values().map(|row| row.claims.len()).sum::<usize>(), "no claim is orphaned");
}

#[test]
fn a_destination_gets_events_from_the_plan_that_names_it_on() {
    let mut world = World::default();
    let check = |world: &mut World, event_lanes: &[&str], want: u64| {
        world.take(Input::Tick(Timestamp(0)));
        let event_lanes = event_lanes.iter().map(|name| (*name).to_owned()).collect();
        let before = world.state.plan.clone();
        let input = Input::Plan(Plan { event_lanes, ..plan() });
        let changes = fold(&before, &world.state, world.position, &input).expect("memory can be read");
        world.state.apply(changes);
        world.position += 1;
        assert_eq!(world.state.lane("lake").expect("readable").events_through, want);
    };
    // Profiles first, so that the lane has a row of its own before it is one of events.
    world.tell(&events(&[Told { occurred: 0, identifiers: vec![(0, 1, false)], city: Some(1) }])[0]);
    world.take(Input::Tick(Timestamp(10_000)));
    assert_eq!(world.state.lane("lake").expect("readable").profiles_next, 1);
    check(&mut world, &[], 0);
    check(&mut world, &["lake"], 5);
    check(&mut world, &["lake", "other"], 5);
    check(&mut world, &[], 5);
    check(&mut world, &["lake"], 11);
}

/// Thousands of worlds; a world is small, so that each of `WEFT_SEEDS` stands for forty more.
fn cases() -> u32 {
    let seeds: Option<u32> = std::env::var("WEFT_SEEDS").ok().and_then(|text| text.parse().ok());
    seeds.map_or(4_000, |seeds| seeds.saturating_mul(40).max(4_000))
}

fn shuffle(events: &mut [Event], mut seed: u64) {
    for place in (1..events.len()).rev() {
        seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        events.swap(place, (seed >> 33) as usize % (place + 1));
    }
}
