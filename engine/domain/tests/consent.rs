//! Consent over thousands of small worlds: what holds does not depend on the order of arrival; and whatever crossed on the way, a destination
//! ends up with the profiles of those who agree, and of nobody else (invariant 6).

use std::collections::{BTreeMap, BTreeSet};

use proptest::prelude::*;
use weft_domain::claim::{ClaimId, CustomerId};
use weft_domain::consent::{Assumed, Need, Purpose, Rule, Unsaid};
use weft_domain::event::{Event, Identifier, Learnt};
use weft_domain::fold::fold;
use weft_domain::input::{Command, Input, Receipts, Rejected, Stream, Withheld};
use weft_domain::permission::{self, Permission};
use weft_domain::plan::Plan;
use weft_domain::value::Timestamp;
use weft_domain::view::{Memory, View};

const LANE: &str = "ads";
const KINDS: [&str; 3] = ["user_id", "email", "anonymous_id"];

/// Something that happens.
#[derive(Clone, Debug)]
enum Happening {
    /// An event that occurred then: who it is about, what is said of the purpose and when that was said, and a trait.
    Event { occurred: i64, identifiers: Vec<(usize, u8)>, said: Option<(bool, Option<i64>)>, city: u8 },
    /// A claim was a mistake; or it was none.
    Retract(prop::sample::Index, bool),
    /// So many seconds pass.
    Wait(i64),
    /// The destination is told so many of the deliveries that wait.
    Send(usize),
    /// So many of those are noted.
    Land(usize),
}

fn happening() -> impl Strategy<Value = Happening> {
    let identifiers = prop::collection::vec((0..3_usize, 0..3_u8), 1..3);
    let said = prop::option::weighted(0.6, (any::<bool>(), prop::option::of(0..60_i64)));
    let event = (0..60_i64, identifiers, said, 0..4_u8).prop_map(|(occurred, identifiers, said, city)| Happening::Event {
        occurred,
        identifiers,
        said,
        city,
    });
    prop_oneof![
        8 => event,
        1 => (any::<prop::sample::Index>(), any::<bool>()).prop_map(|(which, back)| Happening::Retract(which, back)),
        3 => (1..40_i64).prop_map(Happening::Wait),
        4 => (1..3_usize).prop_map(Happening::Send),
        3 => (1..3_usize).prop_map(Happening::Land),
    ]
}

fn rule(unless_said: Assumed) -> Rule {
    let needs = Need::Purpose(Purpose::of(Some("gdpr"), "ads"));
    Rule { needs, unless_said: Unsaid { usually: unless_said, under: BTreeMap::new() } }
}

struct World {
    plan: Plan,
    state: Memory,
    position: u64,
    now: i64,
    /// The number of the next delivery that the destination is told.
    next: u64,
    /// What became of those that it was told and that are not noted.
    told: Vec<(u64, Option<String>)>,
    /// Whose profiles the destination has.
    has: BTreeMap<CustomerId, String>,
    /// Whose it ever had.
    had: BTreeSet<CustomerId>,
}

impl World {
    fn new(unless_said: Assumed) -> World {
        let consent = BTreeMap::from([(LANE.to_owned(), rule(unless_said))]);
        let plan = Plan { profile_lanes: vec![LANE.into()], consent, ..Plan::default() };
        World {
            plan,
            state: Memory::default(),
            position: 0,
            now: 100,
            next: 0,
            told: Vec::new(),
            has: BTreeMap::new(),
            had: BTreeSet::new(),
        }
    }

    fn take(&mut self, input: Input) {
        let changes = fold(&self.plan, &self.state, self.position, &input).expect("memory can be read");
        self.state.apply(changes);
        self.position += 1;
    }

    fn event(&self, happening: &Happening, place: usize) -> Event {
        let Happening::Event { occurred, identifiers, said, city } = happening else { panic!("it is no event") };
        let consent = said.map_or_else(String::new, |(granted, at)| {
            let at = at.map_or_else(String::new, |at| format!(r#","at":"{}""#, Timestamp(at * 1_000)));
            format!(r#","consent":{{"gdpr":{{"ads":{{"granted":{granted}{at}}}}}}}"#)
        });
        let json = format!(r#"{{"type":"identify","message_id":"m{place}","traits":{{"city":"c{city}"}}{consent}}}"#);
        let mut event = Event::parse(json.as_bytes()).unwrap_or_else(|error| panic!("{error}: {json}"));
        event.occurred = Some(Timestamp(occurred * 1_000));
        event.received = Some(Timestamp(self.now * 1_000));
        let named = |(kind, value): &(usize, u8)| Identifier {
            kind: KINDS[*kind].into(),
            value: format!("v{value}"),
            how: Learnt::Observed,
        };
        event.claims = identifiers.iter().map(named).collect();
        event
    }

    fn happen(&mut self, happening: &Happening, place: usize) {
        match happening {
            Happening::Event { .. } => {
                let event = Box::new(self.event(happening, place));
                self.take(Input::Event { source: "web".into(), intake: self.position, event });
            }
            Happening::Retract(which, back) if !self.state.claims.is_empty() => {
                let claim = *self.state.claims.keys().nth(which.index(self.state.claims.len())).expect("it is there");
                let retract = Command::Retract { claim, reason: "a mistake".into() };
                self.take(Input::Command(if *back { Command::Restore { claim } } else { retract }));
            }
            Happening::Retract(..) => (),
            Happening::Wait(seconds) => {
                self.now += seconds;
                self.take(Input::Tick(Timestamp(self.now * 1_000)));
            }
            Happening::Send(count) => (0..*count).for_each(|_| self.send()),
            Happening::Land(count) => self.land(*count),
        }
    }

    /// As a lane does: judges the next delivery by what is known now, and tells it or not.
    fn send(&mut self) {
        if self.next >= self.state.lane(LANE).expect("readable").profiles_next {
            return;
        }
        let told = self.state.delivery(LANE, self.next).expect("readable").expect("it waits");
        let rule = &self.plan.consent[LANE];
        let missing = match permission::of_profile(rule, &self.state, told.as_bytes()).expect("readable") {
            Permission::Withheld(missing) => Some(missing.to_string()),
            Permission::Granted => {
                self.hear(&told);
                None
            }
        };
        self.told.push((self.next, missing));
        self.next += 1;
    }

    /// As a destination does.
    fn hear(&mut self, told: &str) {
        let json: serde_json::Value = serde_json::from_str(told).expect("JSON");
        let id = |key: &str| json.get(key).map(|id| id.as_str().expect("a text").parse::<CustomerId>().expect("an id"));
        let customer = id("customer_id").expect("a customer");
        if json.get("withdrawn").is_some() {
            assert_eq!((&json["traits"], &json["groups"]), (&serde_json::json!({}), &serde_json::json!([])));
            // What it has of somebody may have become another's in between; of whom it never heard it is told nothing.
            self.has.remove(&customer);
            assert!(self.had.contains(&customer), "it never had whom it is to take away: {told}");
        } else if let Some(into) = id("merged_into") {
            let had = self.has.remove(&customer);
            if let Some(profile) = had {
                self.has.entry(into).or_insert(profile);
                self.had.insert(into);
            }
        } else {
            self.has.insert(customer, json["traits"]["city"].to_string());
            self.had.insert(customer);
        }
    }

    fn land(&mut self, count: usize) {
        let ended: Vec<(u64, Option<String>)> = self.told.drain(..count.min(self.told.len())).collect();
        let Some((last, _)) = ended.last() else { return };
        let (through, mut withheld) = (last + 1, Withheld::default());
        for (number, missing) in ended {
            let Some(missing) = missing else { continue };
            *withheld.by_reason.entry(missing).or_default() += 1;
            withheld.profiles.push(number);
        }
        let (lane, stream) = (LANE.to_owned(), Stream::Profiles);
        let receipts = Receipts { lane, stream, through, rejected: Vec::new(), again: Vec::new(), at: None, withheld };
        self.take(Input::Receipts(receipts));
    }

    /// Until nothing happens by itself any more.
    fn rest(&mut self) {
        for _ in 0..1_000 {
            self.now += 100;
            self.take(Input::Tick(Timestamp(self.now * 1_000)));
            while self.next < self.state.lane(LANE).expect("readable").profiles_next {
                self.send();
            }
            self.land(usize::MAX);
            let lane = self.state.lane(LANE).expect("readable");
            if self.state.timers.is_empty() && lane.profiles_through == lane.profiles_next {
                return;
            }
        }
        panic!("it never rests");
    }

    fn customers(&self) -> BTreeSet<CustomerId> {
        self.state.nodes.values().filter_map(|node| node.customer).collect()
    }

    /// The customers who may be told of, with what is known of them.
    fn agreed(&self) -> BTreeMap<CustomerId, String> {
        let rule = &self.plan.consent[LANE];
        let may = |id: &CustomerId| rule.judge(&permission::given_by(&self.state, *id).expect("readable")).is_ok();
        let city = |id: CustomerId| {
            let explained = weft_domain::explain::explain(&self.state, id).expect("readable").expect("a customer");
            explained.profile.traits["city"].text().to_owned()
        };
        self.customers().into_iter().filter(may).map(|id| (id, city(id))).collect()
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: cases(), failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn a_destination_has_those_who_agree_and_nobody_else(happenings in prop::collection::vec(happening(), 1..40), grant in any::<bool>()) {
        let mut world = World::new(if grant { Assumed::Grant } else { Assumed::Refuse });
        happenings.iter().enumerate().for_each(|(place, happening)| world.happen(happening, place));
        world.rest();
        prop_assert_eq!(&world.has, &world.agreed());
        // And what is noted of it is so.
        let noted: BTreeSet<CustomerId> =
            world.state.customers.iter().filter(|(_, row)| row.is_heard_by(LANE)).map(|(id, _)| *id).collect();
        prop_assert_eq!(noted, world.has.keys().copied().collect::<BTreeSet<_>>());
    }

    #[test]
    fn what_holds_does_not_depend_on_the_order_of_arrival(happenings in prop::collection::vec(happening(), 1..20), seed in any::<u64>()) {
        let is_event = |(_, happening): &(usize, &Happening)| matches!(happening, Happening::Event { .. });
        let mut events: Vec<(usize, &Happening)> = happenings.iter().enumerate().filter(is_event).collect();
        let mut worlds = Vec::new();
        for _ in 0..2 {
            let mut world = World::new(Assumed::Refuse);
            events.iter().for_each(|(place, happening)| world.happen(happening, *place));
            shuffle(&mut events, seed);
            let said: BTreeMap<ClaimId, _> = world.state.nodes.iter().map(|(id, node)| (*id, holds(node))).collect();
            let given: BTreeMap<CustomerId, _> =
                world.customers().into_iter().map(|id| (id, permission::given_by(&world.state, id).expect("readable"))).collect();
            worlds.push((said, given));
        }
        prop_assert_eq!(&worlds[0], &worlds[1]);
    }
}

/// What a claim knows of purposes, wherever in history it is from.
fn holds(node: &weft_domain::profile::Node) -> Vec<String> {
    let fact = |fact: &Option<weft_domain::profile::Fact>| fact.as_ref().map(|fact| (fact.occurred, fact.tie));
    node.consent.iter().map(|(purpose, said)| format!("{purpose} {:?} {:?}", fact(&said.granted), fact(&said.refused))).collect()
}

#[test]
fn a_withdrawal_that_was_refused_is_told_again_as_long_as_it_is_so() {
    let said = |granted: bool, occurred: i64| Happening::Event {
        occurred,
        identifiers: vec![(0, 1)],
        said: Some((granted, None)),
        city: 1,
    };
    let mut world = World::new(Assumed::Refuse);
    world.happen(&said(true, 1), 0);
    world.rest();
    assert_eq!(world.has.len(), 1);
    world.happen(&said(false, 2), 1);
    world.take(Input::Tick(Timestamp(world.now * 1_000 + 100_000)));
    let number = world.next;
    let told = world.state.delivery(LANE, number).expect("readable").expect("it waits");
    assert!(told.contains(r#""withdrawn":true"#), "{told}");
    let rejected = vec![Rejected { position: number, code: "denied".into(), message: "no".into(), attempts: 1 }];
    let (lane, stream, withheld) = (LANE.to_owned(), Stream::Profiles, Withheld::default());
    let receipts = Receipts { lane, stream, through: number + 1, rejected, again: Vec::new(), at: None, withheld };
    world.take(Input::Receipts(receipts));
    world.next += 1;
    let (letter, kept) = world.state.letters.first_key_value().map(|(id, letter)| (*id, letter.clone())).expect("a letter waits");
    assert_eq!(kept.stage, LANE);
    world.take(Input::Command(Command::TellAgain { letters: vec![letter] }));
    world.rest();
    assert!(world.has.is_empty() && world.state.letters.is_empty());
}

/// Thousands of worlds; each of `WEFT_SEEDS` stands for ten more.
fn cases() -> u32 {
    let seeds: Option<u32> = std::env::var("WEFT_SEEDS").ok().and_then(|text| text.parse().ok());
    seeds.map_or(4_000, |seeds| seeds.saturating_mul(10).max(4_000))
}

fn shuffle<T>(things: &mut [T], mut seed: u64) {
    for place in (1..things.len()).rev() {
        seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        things.swap(place, (seed >> 33) as usize % (place + 1));
    }
}
