//! Dead letters of events that a destination refused, and their second way: whatever is ordered and whatever comes of it, each event of which nobody let
//! go is taken or a letter, counts agree with rows, and what was asked twice is as if it was asked once.

use std::collections::{BTreeMap, BTreeSet};

use proptest::prelude::*;
use weft_domain::fold::fold;
use weft_domain::input::{Command, Input, Receipts, Rejected, Stream, Withheld};
use weft_domain::plan::Plan;
use weft_domain::value::Timestamp;
use weft_domain::view::{LetterBytes, Memory};

const LANES: [&str; 2] = ["crm", "lake"];
/// The lane is past these when the world begins, and has refused all of them.
const EVENTS: u64 = 6;

/// Something happens; numbers are places among what there is.
#[derive(Clone, Debug)]
enum Step {
    /// Somebody wants letters to go again.
    Again(Vec<usize>),
    /// Somebody drops letters.
    Drop(Vec<usize>),
    /// A lane notes what came of events, and which it refused.
    End(usize, Vec<(u64, bool)>),
    /// The destination leaves the plan, or comes back.
    Adopt(bool),
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let letters = || prop::collection::vec(0..12usize, 0..4);
    let step = prop_oneof![
        4 => letters().prop_map(Step::Again),
        1 => letters().prop_map(Step::Drop),
        4 => (0..2usize, prop::collection::vec((0..EVENTS, any::<bool>()), 0..4)).prop_map(|(lane, ended)| Step::End(lane, ended)),
        1 => any::<bool>().prop_map(Step::Adopt),
    ];
    prop::collection::vec(step, 0..40)
}

struct World {
    state: Memory,
    position: u64,
}

impl World {
    fn take(&mut self, input: Input) {
        let mut payload = Vec::new();
        let kind = input.encode(&mut payload);
        let input = Input::decode(kind, &payload).expect("it reads back");
        let changes = fold(&self.state.plan.clone(), &self.state, self.position, &input).expect("memory can be read");
        self.state.apply(changes);
        self.position += 1;
    }

    fn receipts(&mut self, lane: &str, again: Vec<u64>, rejected: impl IntoIterator<Item = u64>) {
        let refused = |position| Rejected { position, code: "denied".into(), message: "no".into(), attempts: 2 };
        let rejected = rejected.into_iter().map(refused).collect();
        let (lane, at) = (lane.to_owned(), Some(Timestamp(self.position as i64)));
        self.take(Input::Receipts(Receipts {
            lane,
            stream: Stream::Events,
            through: EVENTS,
            rejected,
            again,
            at,
            withheld: Withheld::default(),
        }));
    }

    /// The events that wait in letters, by lane.
    fn waiting(&self) -> BTreeSet<(String, u64)> {
        let event = |(stage, bytes): (&String, &LetterBytes)| match bytes {
            LetterBytes::Event(position) => (stage.clone(), *position),
            other => panic!("{other:?}"),
        };
        self.state.letters.values().map(|letter| event((&letter.stage, &letter.bytes))).collect()
    }

    fn check(&self) {
        let Memory { letters, again, lanes, totals, .. } = &self.state;
        assert_eq!(totals.letters, letters.len() as u64);
        for name in LANES {
            let open = again.keys().filter(|(lane, _)| lane == name).count() as u64;
            let lane = lanes.get(name).cloned().unwrap_or_default();
            assert_eq!((lane.again, lane.events_through >= EVENTS), (open, true), "{name}");
        }
        for ((lane, position), row) in again {
            let letter = letters.get(&row.letter).expect("what goes again has its letter");
            assert_eq!((&letter.stage, &letter.bytes), (lane, &LetterBytes::Event(*position)));
        }
    }
}

fn plan(has_lake: bool) -> Plan {
    let lanes = if has_lake { &LANES[..] } else { &LANES[..1] };
    Plan { event_lanes: lanes.iter().map(|&lane| lane.to_owned()).collect(), ..Plan::default() }
}

proptest! {
    #[test]
    fn what_goes_again_is_taken_or_a_letter(steps in steps()) {
        let mut world = World { state: Memory::default(), position: EVENTS };
        world.take(Input::Plan(plan(true)));
        let mut owed = BTreeSet::new();
        for lane in LANES {
            world.receipts(lane, Vec::new(), 0..EVENTS);
            owed.extend((0..EVENTS).map(|event| (lane.to_owned(), event)));
        }
        for step in steps {
            let chosen = |places: Vec<usize>| -> Vec<(u64, u32)> {
                let letters: Vec<_> = world.state.letters.keys().copied().collect();
                places.into_iter().map(|place| letters.get(place).copied().unwrap_or((999, 0))).collect()
            };
            match step {
                Step::Again(places) => {
                    let letters = chosen(places);
                    world.take(Input::Command(Command::DeliverAgain { letters: letters.clone() }));
                    let before = world.state.clone();
                    world.take(Input::Command(Command::DeliverAgain { letters }));
                    prop_assert_eq!((&world.state.again, &world.state.lanes), (&before.again, &before.lanes), "asked twice");
                }
                Step::Drop(places) => {
                    let letters = chosen(places);
                    for id in &letters {
                        if let Some(letter) = world.state.letters.get(id) && let LetterBytes::Event(event) = letter.bytes {
                            owed.remove(&(letter.stage.clone(), event));
                        }
                    }
                    world.take(Input::Command(Command::DropLetters { letters, reason: "a test".into() }));
                }
                Step::End(lane, ended) => {
                    let lane = LANES[lane];
                    let ended: BTreeMap<u64, bool> = ended.into_iter().collect();
                    for (event, is_refused) in &ended {
                        if !is_refused && world.state.again.contains_key(&(lane.to_owned(), *event)) {
                            owed.remove(&(lane.to_owned(), *event));
                        }
                    }
                    let refused: Vec<u64> = ended.iter().filter(|(_, refused)| **refused).map(|(event, _)| *event).collect();
                    world.receipts(lane, ended.keys().copied().collect(), refused);
                }
                Step::Adopt(has_lake) => {
                    world.take(Input::Plan(plan(has_lake)));
                    let before = world.state.again.clone();
                    let all = world.state.letters.keys().copied().collect();
                    world.take(Input::Command(Command::DeliverAgain { letters: all }));
                    let of_lake = |again: &BTreeMap<(String, u64), _>| again.keys().filter(|(lane, _)| lane == "lake").count();
                    prop_assert!(has_lake || of_lake(&world.state.again) == of_lake(&before), "who is not there gets nothing");
                }
            }
            world.check();
            prop_assert_eq!(&world.waiting(), &owed);
        }
    }
}

#[test]
fn a_letter_that_is_refused_again_is_a_new_one_that_counts_all_tries() {
    let mut world = World { state: Memory::default(), position: EVENTS };
    world.take(Input::Plan(plan(true)));
    world.receipts("lake", Vec::new(), [3]);
    let (first, letter) = world.state.letters.first_key_value().map(|(id, letter)| (*id, letter.clone())).expect("a letter");
    assert_eq!((letter.attempts, letter.at), (2, Some(Timestamp(first.0 as i64))));
    world.take(Input::Command(Command::DeliverAgain { letters: vec![first] }));
    assert!(world.state.letters.contains_key(&first), "it waits until there is an end");
    world.receipts("lake", vec![3], [3]);
    let (second, letter) = world.state.letters.first_key_value().expect("a letter");
    assert_ne!(*second, first);
    assert_eq!((letter.attempts, letter.at), (4, Some(Timestamp(second.0 as i64))));
    assert_eq!((world.state.letters.len(), world.state.again.len()), (1, 0));
}
