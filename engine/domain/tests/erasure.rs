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
