//! Who is erased is as if they had never been: state without a person is what the events of the others alone make of it (invariants 4, 6, 10).

use std::collections::BTreeSet;

use weft_domain::claim::CustomerId;
use weft_domain::event::Event;
use weft_domain::explain::claims_of;
use weft_domain::fold::fold;
use weft_domain::input::{Command, Erase, Input};
use weft_domain::value::Timestamp;
use weft_domain::view::Memory;

const EVENTS: u64 = 60;
const WORLDS: u64 = 60;

/// SplitMix64: the same seed, the same numbers.
struct Dice(u64);

impl Dice {
    fn below(&mut self, bound: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (mixed ^ (mixed >> 31)) % bound
    }
}

/// Events of people who share devices and addresses, in an order that is not that of time.
fn world(seed: u64) -> Vec<Event> {
    let mut dice = Dice(seed);
    let mut event = |number: u64| {
        let mut claims = Vec::new();
        for (kind, among, chance) in [("user_id", 6, 2), ("email", 8, 3), ("anonymous_id", 10, 2)] {
            if dice.below(chance) == 0 {
                claims.push(format!(r#"{{"type":"{kind}","value":"{kind}-{}"}}"#, dice.below(among)));
            }
        }
        let city = dice.below(9);
        let json = format!(
            r#"{{"type":"identify","message_id":"m{number}","claims":[{}],"traits":{{"city":"c{city}"}}}}"#,
            claims.join(",")
        );
        let mut event = Event::parse(json.as_bytes()).expect("valid");
        event.occurred = Some(Timestamp(1_772_000_000_000 + dice.below(1_000) as i64));
        event
    };
    (0..EVENTS).map(&mut event).collect()
}

fn take(memory: &mut Memory, position: u64, input: &Input) {
    let plan = memory.plan.clone();
    let changes = fold(&plan, memory, position, input).expect("readable");
    memory.apply(changes);
}

/// State after those of the events that are wanted, each at its own place.
fn folded(events: &[Event], wanted: impl Fn(u64) -> bool) -> Memory {
    let mut memory = Memory::default();
    for (position, event) in (0..).zip(events).filter(|(position, _)| wanted(*position)) {
        let input = Input::Event { source: "web".into(), intake: position, event: Box::new(event.clone()) };
        take(&mut memory, position, &input);
    }
    memory
}

#[test]
fn who_is_erased_is_as_if_they_had_never_been() {
    let mut erased = 0;
    for seed in 0..WORLDS {
        let events = world(seed);
        let whole = folded(&events, |_| true);
        let customers: BTreeSet<CustomerId> = whole.nodes.values().filter_map(|node| node.customer).collect();
        for customer in customers {
            let claims = claims_of(&whole, customer).expect("readable");
            let theirs: BTreeSet<u64> =
                claims.iter().flat_map(|claim| &whole.nodes[claim].page).map(|entry| entry.position).collect();
            let mut without = whole.clone();
            let erase = Erase { erasure: "e".into(), claims, ..Erase::default() };
            take(&mut without, EVENTS, &Input::Command(Command::Erase(Box::new(erase))));

            let others = folded(&events, |position| !theirs.contains(&position));
            assert_eq!(without.claims, others.claims, "seed {seed}, {customer}");
            assert_eq!(without.identifiers, others.identifiers, "seed {seed}, {customer}");
            assert_eq!(without.customers, others.customers, "seed {seed}, {customer}");
            assert_eq!(without.nodes, others.nodes, "seed {seed}, {customer}");
            let counts = |memory: &Memory| (memory.totals.customers, memory.totals.claims, memory.totals.identifiers);
            assert_eq!(counts(&without), counts(&others), "seed {seed}, {customer}");
            erased += 1;
        }
    }
    assert!(erased > WORLDS, "only {erased} were erased");
}

#[test]
fn who_came_back_since_they_were_looked_at_stays_as_a_whole() {
    let event = |number: u32, claims: &[(&str, &str)]| {
        let one = |(kind, value): &(&str, &str)| format!(r#"{{"type":"{kind}","value":"{value}"}}"#);
        let claims: Vec<String> = claims.iter().map(one).collect();
        let json = format!(r#"{{"type":"track","name":"Seen","message_id":"m{number}","claims":[{}]}}"#, claims.join(","));
        let mut event = Event::parse(json.as_bytes()).expect("valid");
        event.occurred = Some(Timestamp(1_772_000_000_000));
        event
    };
    let silent = [("user_id", "ann"), ("email", "ann@shop.example")];
    let events = [event(1, &silent), event(2, &silent[..1]), event(3, &[("user_id", "bob")])];
    let whole = folded(&events, |_| true);
    let ann = whole.nodes.values().find(|node| node.events_total > 0 && node.began == 0).and_then(|node| node.customer);
    let claims = claims_of(&whole, ann.expect("she is known")).expect("readable");
    let still = claims.iter().map(|claim| (whole.nodes[claim].began, whole.nodes[claim].events_total)).collect();
    let order = Input::Command(Command::Erase(Box::new(Erase { erasure: "e".into(), claims, still, ..Erase::default() })));

    let mut gone = whole.clone();
    take(&mut gone, 10, &order);
    assert_eq!(gone.totals.customers, 1, "nothing has come: she goes");
    // Somebody of the same identifiers is not her: the order, done once more, takes nobody.
    let again = |memory: &mut Memory, number: u32, claims: &[(&str, &str)]| {
        let input = Input::Event { source: "web".into(), intake: 11, event: Box::new(event(number, claims)) };
        take(memory, 11, &input);
    };
    again(&mut gone, 4, &silent);
    again(&mut gone, 5, &silent[..1]);
    let before = gone.nodes.clone();
    take(&mut gone, 12, &order);
    assert_eq!((gone.nodes, gone.totals.customers), (before, 2));

    // An event has come, of a claim that there was; or somebody turned out to be her.
    for claims in [&silent[..], &[("email", "ann@shop.example"), ("phone", "+49 1")]] {
        let mut back = whole.clone();
        again(&mut back, 6, claims);
        let before = back.nodes.clone();
        take(&mut back, 12, &order);
        assert_eq!((back.nodes, back.totals.customers), (before, 2), "{claims:?}");
    }
}
