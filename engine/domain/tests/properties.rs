//! Properties of the rules over thousands of small worlds: arrival order does not matter, repetitions change nothing, and a
//! retracted claim leaves no trace (invariants 5 and 6). Worlds have all kinds of rules: see [`rules`].

use std::collections::{BTreeMap, BTreeSet};

use proptest::prelude::*;
use weft_domain::claim::{Bits, ClaimId, CustomerId, Decision, Evidence, Guard, IdentifierId, Outcome, Proposal, pair};
use weft_domain::event::{Event, Identifier, Learnt};
use weft_domain::explain::claims_of;
use weft_domain::fold::{fold, is_repetition};
use weft_domain::identity::{MergeLimit, OnLogin, OnLogout, Quarantine, Rules, Strategy as Preset};
use weft_domain::input::{Command, Erase, Input, Part};
use weft_domain::plan::Plan;
use weft_domain::profile::Profile;
use weft_domain::value::Timestamp;
use weft_domain::view::{Memory, View};

/// An event in short: its source, when it occurred, its identifiers as places in small pools, and a city.
#[derive(Clone, Debug)]
struct Told {
    source: usize,
    occurred: i64,
    identifiers: Vec<(usize, u8, bool)>,
    city: Option<u8>,
}

const SOURCES: [&str; 3] = ["web", "crm", "list"];

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
    let city = prop::option::of(0..5u8);
    (0..3usize, 0..50i64, prop::collection::vec(identifier, 0..4), city).prop_map(|(source, occurred, identifiers, city)| Told {
        source,
        occurred,
        identifiers,
        city,
    })
}

/// Rules of every kind, and of several kinds at once.
fn rules() -> impl Strategy<Value = Rules> {
    let known = prop_oneof![
        3 => Just(Rules::default()),
        2 => prop::sample::select(Preset::ALL.to_vec()).prop_map(Preset::rules),
    ];
    let types = prop::collection::vec((prop::option::of(1..3u32), prop::option::of(1..20u64), any::<[bool; 4]>()), 4);
    let own = types.prop_map(|types| {
        let mut rules = Rules::default();
        for (rule, (limit, within, [login, unique, immutable, device])) in rules.identifiers.iter_mut().zip(types) {
            (rule.limit, rule.within_ms) = (limit, within.filter(|_| limit.is_some()));
            (rule.login, rule.unique, rule.device) = (login, unique, device);
            rule.immutable = immutable && login && unique;
        }
        rules
    });
    let on_login = prop::sample::select(vec![OnLogin::Join, OnLogin::New, OnLogin::NewWithHistory]);
    let on_logout = prop::sample::select(vec![OnLogout::Stay, OnLogout::New]);
    let few = || prop::option::of(1..6u32);
    let own = (own, on_login, on_logout, (few(), few()), (any::<bool>(), few())).prop_map(
        |(rules, on_login, on_logout, (merges, identifiers), (known_with_known, larger_than))| Rules {
            on_login,
            on_logout,
            merge_limit: MergeLimit { merges, identifiers },
            quarantine: Quarantine { known_with_known, larger_than },
            ..rules
        },
    );
    prop_oneof![2 => known, 3 => own]
}

/// What people say, as places among the events and the identifiers.
#[derive(Clone, Debug)]
enum Said {
    Retract(prop::sample::Index),
    Strike(prop::sample::Index, usize),
    Decide(prop::sample::Index, bool),
    Separate([(usize, u8); 2]),
    Alike([prop::sample::Index; 2], bool),
}

fn said() -> impl Strategy<Value = Said> {
    let identifier = || (0..4usize, 0..4u8);
    prop_oneof![
        any::<prop::sample::Index>().prop_map(Said::Retract),
        (any::<prop::sample::Index>(), 0..3usize).prop_map(|(which, source)| Said::Strike(which, source)),
        (any::<prop::sample::Index>(), any::<bool>()).prop_map(|(which, accept)| Said::Decide(which, accept)),
        (identifier(), identifier()).prop_map(|(one, other)| Said::Separate([one, other])),
        (any::<[prop::sample::Index; 2]>(), any::<bool>()).prop_map(|(pair, accept)| Said::Alike(pair, accept)),
    ]
}

impl Said {
    /// As a command, and the one that takes it back.
    fn commands(&self, rules: &Rules, told: &[Told]) -> [Command; 2] {
        let claim = |which: &prop::sample::Index| ClaimId::of(&rules.identifying(&told[which.index(told.len())].claims()));
        let reason = || "a mistake".to_owned();
        let part = match self {
            Said::Retract(which) => Part::Claim { claim: claim(which) },
            Said::Strike(which, source) => Part::Word { claim: claim(which), source: SOURCES[*source].into() },
            Said::Separate(pair) => {
                let [one, other] = pair.map(|(kind, value)| IdentifierId::of(KINDS[kind], &format!("{}{value}", KINDS[kind])));
                Part::Pair { one, other, of: None }
            }
            Said::Alike([one, other], accept) => {
                let decision = Some(if *accept { Decision::Accept } else { Decision::Refuse });
                let pair = pair(claim(one), claim(other));
                let decide = |decision| Command::DecideMatch { pair, decision, reason: reason() };
                return [decide(decision), decide(None)];
            }
            Said::Decide(which, accept) => {
                let decision = Some(if *accept { Decision::Accept } else { Decision::Refuse });
                let decide = |decision| Command::Decide { claim: claim(which), decision, reason: reason() };
                return [decide(decision), decide(None)];
            }
        };
        [Command::Split { parts: vec![part.clone()], reason: reason() }, Command::Rejoin { parts: vec![part] }]
    }
}

fn events(told: &[Told]) -> Vec<(&'static str, Event)> {
    told.iter().enumerate().map(|(place, told)| (SOURCES[told.source], told.event(place))).collect()
}

fn plan(identity: &Rules) -> Plan {
    Plan { profile_lanes: vec!["lake".into()], identity: identity.clone(), ..Plan::default() }
}

/// A world in which inputs are folded one after the other, repetitions left out as the writer does.
struct World {
    plan: Plan,
    state: Memory,
    position: u64,
}

impl World {
    fn new(rules: &Rules) -> World {
        World { plan: plan(rules), state: Memory::default(), position: 0 }
    }

    fn of(rules: &Rules, events: &[(&str, Event)]) -> World {
        let mut world = World::new(rules);
        events.iter().for_each(|event| world.tell(event));
        world
    }

    fn tell(&mut self, (source, event): &(&str, Event)) {
        if !is_repetition(&self.state, event) {
            self.take(Input::Event { source: (*source).into(), intake: self.position, event: Box::new(event.clone()) });
        }
    }

    fn order(&mut self, command: &Command) {
        self.take(Input::Command(command.clone()));
    }

    fn take(&mut self, input: Input) {
        let changes = fold(&self.plan, &self.state, self.position, &input).expect("memory can be read");
        self.state.apply(changes);
        self.position += 1;
    }

    /// Whether everything is there that an order speaks of.
    fn knows(&self, command: &Command) -> bool {
        let says_so = |claim: &ClaimId, source: &str| {
            self.state.claims.get(claim).is_some_and(|claim| claim.witnesses.iter().any(|one| one.source == source))
        };
        match command {
            Command::Decide { claim, .. } => self.state.claims.contains_key(claim),
            Command::DecideMatch { pair, .. } => pair.iter().all(|claim| self.state.claims.contains_key(claim)),
            Command::Split { parts, .. } => parts.iter().all(|part| match part {
                Part::Claim { claim } => self.state.claims.contains_key(claim),
                Part::Word { claim, source } => says_so(claim, source),
                Part::Match { pair } => pair.iter().all(|claim| self.state.claims.contains_key(claim)),
                Part::Pair { one, other, .. } => [one, other].iter().all(|id| self.state.identifiers.contains_key(*id)),
            }),
            _ => false,
        }
    }

    /// Erases one of the customers; the places in history of their events.
    fn erase(&mut self, which: &prop::sample::Index) -> BTreeSet<u64> {
        let customers: BTreeSet<CustomerId> = self.state.nodes.values().filter_map(|node| node.customer).collect();
        if customers.is_empty() {
            return BTreeSet::new();
        }
        let customer = *customers.iter().nth(which.index(customers.len())).expect("it is there");
        let claims = claims_of(&self.state, customer).expect("memory can be read");
        let theirs = claims.iter().flat_map(|claim| &self.state.nodes[claim].page).map(|entry| entry.position).collect();
        self.order(&Command::Erase(Box::new(Erase { erasure: "e".into(), claims, ..Erase::default() })));
        theirs
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
        let kept_by = |guard: Guard| {
            let by = move |set_aside: &[(Identifier, Guard)]| set_aside.iter().any(|(_, one)| *one == guard);
            self.state.claims.iter().filter(move |(_, claim)| by(&claim.set_aside)).map(|(id, _)| *id)
        };
        assert!(self.state.held.iter().copied().eq(kept_by(Guard::Held)), "the list of what is held is what is held");
        assert_eq!(self.state.totals.claims_held, self.state.held.len() as u64);
        assert_eq!(self.state.totals.claims_past_limit, kept_by(Guard::MergeLimit).count() as u64);
        self.check_matches();
        for claim in self.state.claims.values() {
            let aside = |one: &&Identifier| claim.set_aside.iter().any(|(aside, _)| aside == *one);
            for kept in claim.identifiers.iter().filter(|one| !aside(one)) {
                let row = &self.state.identifiers[&IdentifierId::of(&kept.kind, &kept.value)];
                assert_eq!(row.customer, Some(claim.customer), "who has a claim has what is not set aside of it");
            }
        }
        let nodes = |claims: &[ClaimId]| claims.iter().map(|id| self.state.nodes[id].clone()).collect::<Vec<_>>();
        let unite = |(id, claims): (_, Vec<ClaimId>)| {
            let nodes = nodes(&claims);
            Profile::unite(id, &nodes.iter().map(|node| &**node).collect::<Vec<_>>())
        };
        claims.into_iter().map(unite).collect()
    }

    /// Both claims of a match know it, the list of those that wait is right, and who is joined is one customer.
    fn check_matches(&self) {
        let (mut open, mut joined) = (Vec::new(), 0);
        for (id, claim) in &self.state.claims {
            assert!(claim.matches.is_sorted_by_key(|known| known.other));
            for known in &claim.matches {
                let other = &self.state.claims[&known.other];
                let back = other.matched(*id).expect("the other knows it too");
                assert_eq!(
                    (back.outcome, &back.evidence, &back.verdict, back.guard),
                    (known.outcome, &known.evidence, &known.verdict, known.guard)
                );
                if known.other < *id {
                    continue;
                }
                open.extend(known.is_open().then_some([*id, known.other]));
                joined += u64::from(known.is_joined());
                assert!(!known.is_joined() || claim.customer == other.customer, "who is joined is one customer");
            }
        }
        assert!(self.state.open_matches.iter().copied().eq(open), "the list of what waits is what waits");
        assert_eq!(
            (self.state.totals.matches_open, self.state.totals.matches_joined),
            (self.state.open_matches.len() as u64, joined)
        );
    }

    /// The customers, by their ids.
    fn customers(&self) -> Vec<CustomerId> {
        self.profiles().into_iter().map(|profile| profile.customer_id).collect()
    }

    /// Has the matcher speak of two customers.
    fn compare(&mut self, pair: [ClaimId; 2], outcome: Outcome, weight: i32) {
        let (weight, at) = (Bits(weight), Timestamp(0));
        let evidence = Evidence { weight, prior: Bits(0), shared: Bits(0), fields: Vec::new(), merge_at: Bits(0), model: 0, at };
        self.take(Input::Match(Proposal { pair, outcome, evidence }));
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
    fn the_order_of_arrival_does_not_matter(rules in rules(), told in prop::collection::vec(told(), 1..14), seed in any::<u64>()) {
        let events = events(&told);
        let mut shuffled = events.clone();
        shuffle(&mut shuffled, seed);
        let (one, other) = (World::of(&rules, &events), World::of(&rules, &shuffled));
        prop_assert_eq!(&one.state.claims, &other.state.claims);
        prop_assert_eq!(&one.state.identifiers, &other.state.identifiers);
        prop_assert_eq!(one.profiles(), other.profiles());
    }

    #[test]
    fn repetitions_change_nothing(rules in rules(), told in prop::collection::vec(told(), 1..14), seed in any::<u64>()) {
        let events = events(&told);
        let mut world = World::of(&rules, &events);
        let before = (world.state.claims.clone(), world.state.nodes.clone(), world.state.totals, world.position);
        let mut again = events;
        shuffle(&mut again, seed);
        again.iter().for_each(|event| world.tell(event));
        prop_assert_eq!(before, (world.state.claims.clone(), world.state.nodes.clone(), world.state.totals, world.position));
    }

    #[test]
    fn a_retracted_claim_leaves_no_trace(rules in rules(), told in prop::collection::vec(told(), 1..14), which in any::<prop::sample::Index>(), when in any::<prop::sample::Index>()) {
        let mistaken = ClaimId::of(&rules.identifying(&told[which.index(told.len())].claims()));
        let events = events(&told);
        // One world learns everything and is then told, at some time after the claim was made, that it was a mistake.
        let mut one = World::new(&rules);
        let first = told.iter().position(|told| ClaimId::of(&rules.identifying(&told.claims())) == mistaken).expect("it is there");
        let at = first + 1 + when.index(events.len() - first);
        let retract = Command::Retract { claim: mistaken, reason: "a mistake".into() };
        for (place, event) in events.iter().enumerate() {
            if place == at {
                one.order(&retract);
            }
            one.tell(event);
        }
        if at >= events.len() {
            one.order(&retract);
        }
        // In the other the events said no more than who they were about.
        let other = World::of(&rules, &innocent(&rules, &events, |_, claim| claim == mistaken));
        prop_assert_eq!(one.people(), other.people());
        // And taking the retraction back is as if it had not been.
        one.order(&Command::Restore { claim: mistaken });
        let never = World::of(&rules, &events);
        prop_assert_eq!(&one.state.claims, &never.state.claims);
        prop_assert_eq!(one.profiles(), never.profiles());
    }

    #[test]
    fn what_a_struck_source_said_leaves_no_trace(rules in rules(), told in prop::collection::vec(told(), 1..14), source in 0..3usize, when in any::<prop::sample::Index>()) {
        let (events, source) = (events(&told), SOURCES[source]);
        let mut one = World::new(&rules);
        let at = when.index(events.len());
        let strike = |one: &World| -> Vec<Part> {
            let says_so = |claim: &weft_domain::claim::Claim| claim.witnesses.iter().any(|witness| witness.source == source);
            let claims = one.state.claims.iter().filter(|(_, claim)| says_so(claim));
            claims.map(|(claim, _)| Part::Word { claim: *claim, source: source.into() }).collect()
        };
        events[..at].iter().for_each(|event| one.tell(event));
        let early = strike(&one);
        one.order(&Command::Split { parts: early, reason: "a wrong list".into() });
        events[at..].iter().for_each(|event| one.tell(event));
        let parts = strike(&one);
        one.order(&Command::Split { parts: parts.clone(), reason: "a wrong list".into() });
        let other = World::of(&rules, &innocent(&rules, &events, |of, _| of == source));
        prop_assert_eq!(one.people(), other.people());
        one.order(&Command::Rejoin { parts });
        let never = World::of(&rules, &events);
        prop_assert_eq!(&one.state.claims, &never.state.claims);
        prop_assert_eq!(one.profiles(), never.profiles());
    }

    #[test]
    fn who_is_erased_is_as_if_they_had_never_been(rules in rules(), told in prop::collection::vec(told(), 1..14), said in prop::collection::vec((said(), any::<prop::sample::Index>()), 0..5), erasures in prop::collection::vec((any::<prop::sample::Index>(), any::<prop::sample::Index>()), 1..4)) {
        let mut said = said;
        let about = |(said, _): &(Said, prop::sample::Index)| format!("{:?}", said.commands(&rules, &told)[1]);
        said.sort_by_key(about);
        said.dedup_by_key(|said| about(said));
        let events = events(&told);
        let (mut one, mut places, mut orders) = (World::new(&rules), BTreeMap::new(), Vec::new());
        for place in 0..=events.len() {
            for (said, _) in said.iter().filter(|(_, when)| when.index(events.len() + 1) == place) {
                let command = said.commands(&rules, &told)[0].clone();
                if one.knows(&command) {
                    one.order(&command);
                    orders.push(command);
                }
            }
            for (who, _) in erasures.iter().filter(|(_, when)| when.index(events.len() + 1) == place) {
                let gone = one.erase(who);
                places.retain(|position, _| !gone.contains(position));
                // What was said of those who are there holds.
                orders.retain(|command| one.knows(command));
            }
            if let Some(event) = events.get(place) {
                places.insert(one.position, event.clone());
                one.tell(event);
            }
        }
        let others: Vec<(&str, Event)> = places.into_values().collect();
        let mut other = World::of(&rules, &others);
        orders.iter().for_each(|command| other.order(command));
        prop_assert_eq!(&one.state.claims, &other.state.claims);
        prop_assert_eq!(&one.state.identifiers, &other.state.identifiers);
        prop_assert_eq!(&one.state.held, &other.state.held);
        prop_assert_eq!(one.profiles(), other.profiles());
        let made_of = |world: &World| -> BTreeMap<CustomerId, Vec<ClaimId>> {
            world.state.customers.iter().filter(|(_, row)| row.claims.len() > 1).map(|(id, row)| (*id, row.claims.clone())).collect()
        };
        prop_assert_eq!(made_of(&one), made_of(&other));
    }

    #[test]
    fn what_people_say_commutes_with_what_events_say(rules in rules(), told in prop::collection::vec(told(), 1..10), said in prop::collection::vec(said(), 1..5), seed in any::<u64>(), when in any::<prop::sample::Index>()) {
        // Of two words about the same thing the later holds, and who speaks of what is not there is not heard: here everything is
        // said once, of what both worlds know.
        let mut said = said;
        let about = |said: &Said| format!("{:?}", said.commands(&rules, &told)[1]);
        said.sort_by_key(about);
        said.dedup_by_key(|said| about(said));
        let events = events(&told);
        let mut shuffled = events.clone();
        shuffle(&mut shuffled, seed);
        let all = World::of(&rules, &events);
        let at = when.index(shuffled.len() + 1);
        let mut other = World::of(&rules, &shuffled[..at]);
        let known = |world: &World, said: &Said| world.knows(&said.commands(&rules, &told)[0]);
        let mut one = all;
        let early: Vec<bool> = said.iter().map(|said| known(&other, said)).collect();
        said.iter().zip(&early).filter(|(_, early)| **early).for_each(|(said, _)| other.order(&said.commands(&rules, &told)[0]));
        shuffled[at..].iter().for_each(|event| other.tell(event));
        said.iter().zip(&early).filter(|(_, early)| !**early).rev().for_each(|(said, _)| other.order(&said.commands(&rules, &told)[0]));
        said.iter().for_each(|said| one.order(&said.commands(&rules, &told)[0]));
        prop_assert_eq!(&one.state.claims, &other.state.claims);
        prop_assert_eq!(&one.state.identifiers, &other.state.identifiers);
        prop_assert_eq!(&one.state.held, &other.state.held);
        prop_assert_eq!(one.profiles(), other.profiles());
        // Who was separated is never together.
        for (id, row) in &one.state.identifiers {
            for apart in &row.apart {
                let both = row.customer.is_some() && row.customer == one.state.identifiers[&apart.other].customer;
                prop_assert!(!both || *id == apart.other, "{} is with whom it was separated from", row.value);
            }
        }
        // What is taken back has never been.
        said.iter().rev().for_each(|said| one.order(&said.commands(&rules, &told)[1]));
        let never = World::of(&rules, &events);
        prop_assert_eq!(&one.state.claims, &never.state.claims);
        prop_assert_eq!(&one.state.identifiers, &never.state.identifiers);
        prop_assert_eq!(one.profiles(), never.profiles());
    }

    #[test]
    fn a_match_that_is_taken_back_leaves_no_trace(rules in rules(), told in prop::collection::vec(told(), 2..14), when in any::<prop::sample::Index>(), alike in prop::collection::vec((any::<[prop::sample::Index; 2]>(), any::<bool>(), -500..3000i32), 1..6), seed in any::<u64>()) {
        let events = events(&told);
        let at = when.index(events.len() + 1);
        let mut world = World::of(&rules, &events[..at]);
        let mut pairs = Vec::new();
        for (which, merge, weight) in &alike {
            let customers = world.customers();
            if customers.len() < 2 {
                break;
            }
            let [one, other] = which.map(|which| ClaimId::from(customers[which.index(customers.len())]));
            world.compare(pair(one, other), if *merge { Outcome::Merge } else { Outcome::Review }, *weight);
            pairs.push(pair(one, other));
            world.check_matches();
        }
        // The same matches weigh the same in whatever order the rest arrives.
        let mut shuffled = events[at..].to_vec();
        shuffle(&mut shuffled, seed);
        let mut other = World { plan: world.plan.clone(), state: world.state.clone(), position: world.position };
        events[at..].iter().for_each(|event| world.tell(event));
        shuffled.iter().for_each(|event| other.tell(event));
        prop_assert_eq!(&world.state.claims, &other.state.claims);
        prop_assert_eq!(world.profiles(), other.profiles());
        pairs.iter().for_each(|pair| world.compare(*pair, Outcome::Apart, 0));
        let never = World::of(&rules, &events);
        prop_assert_eq!(&world.state.claims, &never.state.claims);
        prop_assert_eq!(&world.state.identifiers, &never.state.identifiers);
        prop_assert_eq!(world.profiles(), never.profiles());
    }

    #[test]
    fn destinations_end_up_knowing_every_customer(rules in rules(), told in prop::collection::vec(told(), 1..14), ticks in prop::collection::vec(any::<bool>(), 14)) {
        let mut world = World::new(&rules);
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
        .map(|place| Told { source: 0, occurred: place, identifiers: vec![], city: None })
        .collect();
    let mut events = events(&chain);
    for (place, (_, event)) in events.iter_mut().enumerate() {
        let identifier =
            |number: usize| Identifier { kind: "anonymous_id".into(), value: format!("a{number}"), how: Learnt::Observed };
        event.claims = vec![identifier(place), identifier(place + 1)];
    }
    let mut world = World::of(&Rules::default(), &events);
    let before = world.profiles();
    let total: u64 = before.iter().map(|profile| profile.events_total).sum();
    assert_eq!(total, events.len() as u64, "every event is somebody's");
    let retracted = ClaimId::of(&events[10].1.claims);
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
    let mut world = World::new(&Rules::default());
    let check = |world: &mut World, event_lanes: &[&str], want: u64| {
        world.take(Input::Tick(Timestamp(0)));
        let event_lanes = event_lanes.iter().map(|name| (*name).to_owned()).collect();
        let before = world.state.plan.clone();
        let input = Input::Plan(Plan { event_lanes, ..world.plan.clone() });
        let changes = fold(&before, &world.state, world.position, &input).expect("memory can be read");
        world.state.apply(changes);
        world.position += 1;
        assert_eq!(world.state.lane("lake").expect("readable").events_through, want);
    };
    // Profiles first, so that the lane has a row of its own before it is one of events.
    world.tell(&events(&[Told { source: 0, occurred: 0, identifiers: vec![(0, 1, false)], city: Some(1) }])[0]);
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

/// Events of which some say no more than who they are about: those of which `is_mistaken` says so, by source and claim.
fn innocent(
    rules: &Rules,
    events: &[(&'static str, Event)],
    is_mistaken: impl Fn(&str, ClaimId) -> bool,
) -> Vec<(&'static str, Event)> {
    let mut events = events.to_vec();
    for (source, event) in &mut events {
        let mut known = rules.identifying(&event.claims);
        if is_mistaken(source, ClaimId::of(&known)) {
            known.sort_by_key(|one| (one.how, rules.priority(&one.kind)));
            known.truncate(1);
            event.claims = known;
        }
    }
    events
}

fn shuffle<T>(events: &mut [T], mut seed: u64) {
    for place in (1..events.len()).rev() {
        seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        events.swap(place, (seed >> 33) as usize % (place + 1));
    }
}
